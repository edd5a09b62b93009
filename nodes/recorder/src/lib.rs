//! Tracks to segments: subscribes as a named participant, writes fragmented MP4, seals it at rest.

use std::{path::PathBuf, pin::Pin, sync::Arc, task};

use bytes::Bytes;
use guitai_crypto::{sealed::Kek, x509::Identity};
use guitai_host::Clock;
use guitai_meta::Meta;
use guitai_net::{Calls, Mesh};
use guitai_relay::Relay;
use guitai_types::{NodeName, SessionId, UnixMillis, record::RecordingState};

/// What a recorder is.
pub struct Config {
    /// This node.
    pub name: NodeName,
    /// Where recordings are kept.
    pub dir: PathBuf,
    /// Wraps every recording's key.
    pub kek: Kek,
    /// Opens media keys and signs packages.
    pub identity: Identity,
    /// The cluster's root certificate, DER; goes into every package.
    pub root: Vec<u8>,
}

/// What a recorder works with.
pub struct Deps {
    /// Which sessions there are, and where it reports.
    pub meta: Meta,
    /// To relays on other nodes.
    pub mesh: Mesh,
    /// The relay of this node, if it has one.
    pub relay: Option<Relay>,
    /// Answers `recording.export`.
    pub calls: Calls,
    /// Time.
    pub clock: Arc<dyn Clock>,
}

/// Kind of the streaming call that exports a package; its body is the session id.
pub const EXPORT_CALL: &str = "recording.export";

/// Why a recorder did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Its directory.
    #[error("recordings directory {dir}")]
    Dir {
        /// Which.
        dir: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}

/// Why there is no package.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// Not kept here.
    #[error("no recording of {0} on this node")]
    Unknown(SessionId),
    /// Still running.
    #[error("the recording of {0} is not sealed yet")]
    NotSealed(SessionId),
}

/// How a recording stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordingStat {
    /// Session.
    pub session: SessionId,
    /// State as last reported.
    pub state: RecordingState,
    /// Opened.
    pub started_at: UnixMillis,
    /// Tracks so far.
    pub tracks: u32,
    /// Durable segments so far.
    pub segments: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Their frames.
    pub frames: u64,
    /// Declared gaps so far.
    pub gaps: u32,
}

/// A node's recorder. Cheap to clone.
#[derive(Clone)]
pub struct Recorder {}

impl Recorder {
    /// Starts recording every session whose first recorder is this node, after sealing or resuming
    /// what an earlier run left. Must be called inside a tokio runtime.
    pub fn start(_config: Config, _deps: Deps) -> Result<Self, StartError> {
        unimplemented!()
    }

    /// The recordings of this node, running ones first.
    pub fn list(&self) -> Vec<RecordingStat> {
        unimplemented!()
    }

    /// One recording.
    pub fn stat(&self, _session: &SessionId) -> Option<RecordingStat> {
        unimplemented!()
    }

    /// The evidence package of a sealed recording, as a tar stream.
    pub async fn export(&self, _session: &SessionId) -> Result<Package, ExportError> {
        unimplemented!()
    }

    /// Closes what is open and waits until it is durable.
    pub async fn shutdown(&self) {
        unimplemented!()
    }
}

/// A package as it is made: pieces of a tar stream. An error in it means that it is not complete.
pub struct Package {
    _private: (),
}

impl futures::Stream for Package {
    type Item = std::io::Result<Bytes>;

    fn poll_next(self: Pin<&mut Self>, _: &mut task::Context<'_>) -> task::Poll<Option<Self::Item>> {
        unimplemented!()
    }
}
