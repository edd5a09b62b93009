//! One minute of all nodes: lines of JSON, the first of which says which minute it is and who was silent. Each of the
//! others is what one node saw in a minute, this one or an earlier one that nobody had asked for.

use std::collections::BTreeSet;

use guitai_tlog::Digest;
use guitai_types::{
    Hex, NodeName,
    flowlog::{AgreedMinute, MINUTE_BYTES_MAX},
    observed::NodeFlows,
};
use serde::{Deserialize, Serialize};

/// Version of the format.
const VERSION: u16 = 1;

/// The first line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Head {
    v: u16,
    minute: u64,
    silent: BTreeSet<NodeName>,
}

/// A minute that was put together or read back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Book {
    pub(crate) minute: u64,
    /// Nodes that did not answer when it was put together.
    pub(crate) silent: BTreeSet<NodeName>,
    pub(crate) nodes: Vec<NodeFlows>,
}

/// Why a text is no minute.
#[derive(Debug, thiserror::Error)]
pub enum BookError {
    /// A line cannot be read.
    #[error("line {line} of a minute of the flow log cannot be read")]
    Line {
        /// Counted from 1.
        line: usize,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
    /// There is not even a first line, or it is of another version.
    #[error("a minute of the flow log begins with another line")]
    Head,
    /// It is longer than any.
    #[error("a minute of the flow log has {bytes} bytes, MINUTE_BYTES_MAX is {MINUTE_BYTES_MAX}")]
    TooLong {
        /// How long.
        bytes: usize,
    },
}

impl Book {
    /// The text that is kept. Sockets, and then flows, of the longest accounts are left out until it fits; how many
    /// flows, the account says.
    pub(crate) fn to_text(&self) -> String {
        let text = self.encode();
        if text.len() <= MINUTE_BYTES_MAX {
            return text;
        }
        let mut less = self.clone();
        // All nodes get the same share.
        let share = MINUTE_BYTES_MAX / 2 / self.nodes.len().max(1);
        for node in &mut less.nodes {
            let mut bytes = 0;
            let before = node.flows.len();
            node.flows.retain(|flow| {
                bytes += serde_json::to_string(flow).map_or(0, |text| text.len());
                bytes <= share
            });
            let gone = before - node.flows.len();
            node.left_out = node.left_out.saturating_add(gone as u64);
            if gone > 0 {
                node.sockets.clear();
            }
        }
        less.encode()
    }

    fn encode(&self) -> String {
        let head = Head {
            v: VERSION,
            minute: self.minute,
            silent: self.silent.clone(),
        };
        // Plain data always has a JSON form.
        let mut text = serde_json::to_string(&head).unwrap_or_default();
        for node in &self.nodes {
            text.push('\n');
            text.push_str(&serde_json::to_string(node).unwrap_or_default());
        }
        text
    }

    /// Reads a text.
    ///
    /// # Errors
    /// When it is none, or longer than [`MINUTE_BYTES_MAX`].
    pub(crate) fn parse(text: &str) -> Result<Self, BookError> {
        if text.len() > MINUTE_BYTES_MAX {
            return Err(BookError::TooLong { bytes: text.len() });
        }
        let mut lines = text.lines().enumerate();
        let (_, head) = lines.next().ok_or(BookError::Head)?;
        let head: Head =
            serde_json::from_str(head).map_err(|source| BookError::Line { line: 1, source })?;
        if head.v != VERSION {
            return Err(BookError::Head);
        }
        let node = |(line, text): (usize, &str)| {
            let line = line + 1;
            serde_json::from_str(text).map_err(|source| BookError::Line { line, source })
        };
        Ok(Self {
            minute: head.minute,
            silent: head.silent,
            nodes: lines.map(node).collect::<Result<_, _>>()?,
        })
    }
}

/// What is agreed on of a text.
pub(crate) fn agreed(minute: u64, text: &str) -> AgreedMinute {
    let leaves = Digest::Sm3.leaves(text.lines().map(str::as_bytes));
    AgreedMinute {
        minute,
        root: Hex(Digest::Sm3.root(&leaves).to_vec()),
        lines: u32::try_from(leaves.len()).unwrap_or(u32::MAX),
    }
}
