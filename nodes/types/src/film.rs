//! Films: composites that people ask for and nodes make in the background.
//!
//! A film is derived from a recording and can be made again at any time, so it is kept for days, not for years,
//! and ends with the recording that it is of. Who may have it is asked when it is handed out, not when it is made.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{Hex, InstitutionId, NodeName, SessionId, StaffRef, UnixMillis};

/// How the panes of a film are arranged.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum FilmLayout {
    /// Agent left, customer right, of one size.
    #[default]
    SideBySide,
    /// The customer fills the picture, the agent is a small one in it.
    PictureInPicture,
}

/// A film that somebody asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Film {
    /// From 1, never used again in this cluster; also the place in the queue.
    pub number: u32,
    /// The call.
    pub session: SessionId,
    /// Whose it is.
    pub institution: InstitutionId,
    /// How its panes are arranged.
    pub layout: FilmLayout,
    /// What is burnt in beside institution and session; at most [`crate::limits::FILM_WATERMARK_CHARS_MAX`]
    /// characters. Where nobody said one, it is the number of the business.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub watermark: Option<String>,
    /// Who asked for it.
    pub by: StaffRef,
    /// What for, in the person's own words; may be empty. What counts is the reason given when it is handed out.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// When.
    pub at: UnixMillis,
    /// How often a node has taken it up. Also the fence: what a node says under an earlier turn does not count.
    #[serde(default)]
    pub turns: u32,
    /// Nodes that could not make it, each with why, in one line. They are not asked again.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub failed_on: BTreeMap<NodeName, String>,
    /// Where it stands.
    pub stage: FilmStage,
}

/// Where a film stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case", tag = "is")]
pub enum FilmStage {
    /// Nobody makes it yet, or not any more.
    Waiting {
        /// Since when.
        since: UnixMillis,
    },
    /// A node makes it.
    Making {
        /// Which.
        node: NodeName,
        /// Since when.
        since: UnixMillis,
        /// When the node last said so.
        heard_at: UnixMillis,
        /// Pieces that are done: a minute of the picture each, and the sound.
        done: u32,
        /// Of so many; 0 before that is known.
        of: u32,
    },
    /// It can be had.
    Done {
        /// The node that has it.
        node: NodeName,
        /// Since when.
        at: UnixMillis,
        /// What was made.
        made: FilmMade,
    },
    /// It cannot be made.
    Failed {
        /// Since when that is known.
        at: UnixMillis,
        /// Why, in one line of at most [`crate::limits::FILM_WHY_BYTES_MAX`] bytes.
        why: String,
    },
    /// Somebody does not want it any more.
    Cancelled {
        /// Since when.
        at: UnixMillis,
        /// Who.
        by: StaffRef,
    },
}

/// A film that was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct FilmMade {
    /// The recorder whose recording it is made of: its package is the one that the film is checked with.
    pub recorder: NodeName,
    /// Root of that package, 32 bytes.
    pub root: Hex,
    /// Bytes of the film.
    pub bytes: u64,
    /// Their SM3, 32 bytes.
    pub sm3: Hex,
    /// Length of the call in milliseconds.
    pub length_ms: u64,
    /// What made it, and in which version: another one may give other bytes.
    pub compositor: String,
    /// Processor milliseconds that ffmpeg took for the pieces that this turn made.
    pub cpu_ms: u64,
    /// Pieces that an earlier turn on the same node had made.
    pub kept: u32,
}

/// Whether a node can make films.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct FilmMaker {
    /// The node.
    pub node: NodeName,
    /// The ffmpeg that it found, if it found all it needs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ffmpeg: Option<String>,
    /// What it lacks, in one line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lacks: Option<String>,
}

/// A film with its place in the queue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct FilmView {
    /// The film.
    pub film: Film,
    /// Films of the cluster that wait before it; 0 when it does not wait.
    pub ahead: u64,
    /// When it goes by itself; left out while it is not finished.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<UnixMillis>,
}

/// What is ordered about films.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "is")]
pub enum FilmOrder {
    /// A film is to be made. The same one, if it waits, is made or is there, is not made twice.
    Make {
        /// The call.
        session: SessionId,
        /// As [`Film::layout`].
        layout: FilmLayout,
        /// As [`Film::watermark`].
        #[serde(default, skip_serializing_if = "Option::is_none")]
        watermark: Option<String>,
        /// Who asks.
        by: StaffRef,
        /// As [`Film::reason`].
        #[serde(default, skip_serializing_if = "String::is_empty")]
        reason: String,
    },
    /// A film is not wanted: one that is not finished is cancelled, any other is forgotten.
    Cancel {
        /// Which.
        film: u32,
        /// Who says so.
        by: StaffRef,
    },
    /// A node says whether it can make films.
    Maker {
        /// The node, and what it found.
        maker: FilmMaker,
    },
    /// A node takes a film up, or up again after it was killed.
    Claim {
        /// Which.
        film: u32,
        /// The node.
        node: NodeName,
    },
    /// How far it is; also a sign of life.
    Progress {
        /// Which, by whom and in which turn.
        claim: Claim,
        /// As [`FilmStage::Making`].
        done: u32,
        /// As [`FilmStage::Making`].
        of: u32,
    },
    /// It is made, and sealed at rest.
    Done {
        /// Which, by whom and in which turn.
        claim: Claim,
        /// What was made.
        made: FilmMade,
    },
    /// The node cannot make it.
    Failed {
        /// Which, by whom and in which turn.
        claim: Claim,
        /// Why, in one line.
        why: String,
        /// No other node could either.
        for_all: bool,
    },
    /// The node that makes it is gone: another one may.
    Release {
        /// Which, by whom and in which turn.
        claim: Claim,
    },
}

/// A node's turn at a film.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Claim {
    /// The film.
    pub film: u32,
    /// The node.
    pub node: NodeName,
    /// As [`Film::turns`] was when it was taken up.
    pub turn: u32,
}

impl Film {
    /// Whether it waits or is made.
    pub const fn is_open(&self) -> bool {
        matches!(
            self.stage,
            FilmStage::Waiting { .. } | FilmStage::Making { .. }
        )
    }

    /// When it was done, failed or cancelled.
    pub const fn finished_at(&self) -> Option<UnixMillis> {
        match self.stage {
            FilmStage::Waiting { .. } | FilmStage::Making { .. } => None,
            FilmStage::Done { at, .. }
            | FilmStage::Failed { at, .. }
            | FilmStage::Cancelled { at, .. } => Some(at),
        }
    }

    /// Whether this turn at it is the present one.
    pub fn is_held_by(&self, claim: &Claim) -> bool {
        let FilmStage::Making { node, .. } = &self.stage else {
            return false;
        };
        self.number == claim.film && self.turns == claim.turn && *node == claim.node
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::Command;

    #[test]
    fn the_bytes_of_a_film_and_of_an_order_are_frozen() {
        let by = StaffRef {
            institution: "bank".parse().unwrap(),
            name: "wang".parse().unwrap(),
        };
        let film = Film {
            number: 3,
            session: "s1".parse().unwrap(),
            institution: "bank".parse().unwrap(),
            layout: FilmLayout::PictureInPicture,
            watermark: Some("2026-1".to_owned()),
            by: by.clone(),
            reason: String::new(),
            at: UnixMillis(5),
            turns: 1,
            failed_on: BTreeMap::new(),
            stage: FilmStage::Making {
                node: "a1-2".parse().unwrap(),
                since: UnixMillis(6),
                heard_at: UnixMillis(7),
                done: 1,
                of: 4,
            },
        };
        let bytes = r#"{"number":3,"session":"s1","institution":"bank","layout":"picture-in-picture","watermark":"2026-1","by":{"institution":"bank","name":"wang"},"at":5,"turns":1,"stage":{"is":"making","node":"a1-2","since":6,"heard_at":7,"done":1,"of":4}}"#;
        assert_eq!(serde_json::to_string(&film).unwrap(), bytes);
        assert_eq!(serde_json::from_str::<Film>(bytes).unwrap(), film);
        let order = FilmOrder::Make {
            session: "s1".parse().unwrap(),
            layout: FilmLayout::SideBySide,
            watermark: None,
            by,
            reason: String::new(),
        };
        let command = Command::Film {
            order: Box::new(order),
        };
        let bytes = r#"{"do":"film","order":{"is":"make","session":"s1","layout":"side-by-side","by":{"institution":"bank","name":"wang"}}}"#;
        assert_eq!(serde_json::to_string(&command).unwrap(), bytes);
        assert_eq!(serde_json::from_str::<Command>(bytes).unwrap(), command);
    }
}
