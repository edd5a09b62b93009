//! The handle everybody uses.

use futures::Stream;
use guitai_meta_core::State;
use guitai_types::{
    command::{Command, Reply},
    event::Event,
};

use crate::{RaftStatus, ReadError, WriteError};

/// A node's part in the cluster's metadata. Cheap to clone.
#[derive(Clone)]
pub struct Meta {}

impl Meta {
    /// First entry of a new cluster; see `start`.
    pub async fn found(&self, _command: Command) -> Result<Reply, WriteError> {
        unimplemented!()
    }

    /// Has a command agreed on and answers with what the core said, a refusal included.
    pub async fn write(&self, _command: Command) -> Result<Reply, WriteError> {
        unimplemented!()
    }

    /// Reads after everything that was acknowledged anywhere before this call.
    pub async fn read<T>(&self, _look: impl FnOnce(&State) -> T) -> Result<T, ReadError> {
        unimplemented!()
    }

    /// Reads what this node has applied so far.
    pub fn peek<T>(&self, _look: impl FnOnce(&State) -> T) -> T {
        unimplemented!()
    }

    /// Events from number `from` on, those of the past as far as they are kept, then live.
    pub fn events(&self, _from: u64) -> impl Stream<Item = Event> + Send + Unpin + 'static {
        futures::stream::empty()
    }

    /// How consensus stands.
    pub fn status(&self) -> RaftStatus {
        unimplemented!()
    }

    /// Stops taking part; returns when nothing is written any more.
    pub async fn shutdown(&self) {
        unimplemented!()
    }
}
