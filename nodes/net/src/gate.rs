//! What the deployment says of each connection of the mesh, beside the zones' own rule ([`crate::rule`]): asked by both
//! ends, so that neither has to trust the other.

use std::sync::{Arc, OnceLock};

use crate::Peer;

/// Decides for one node. Called for each connection, in both directions, and for each call that comes in: it must not
/// wait.
pub trait Gate: Send + Sync + 'static {
    /// Whether this node may open a connection for `alpn` to that one; the reason if not, for people.
    fn may_dial(&self, alpn: &str, to: &Peer) -> Result<(), String>;
    /// Whether that node may open one for `alpn` to this one.
    fn may_enter(&self, alpn: &str, from: &Peer) -> Result<(), String>;
    /// Whether that node may send this one a call of `kind` with so many bytes, now.
    fn may_call(&self, alpn: &str, from: &Peer, kind: &str, bytes: usize) -> Result<(), String>;
}

/// The gate of a mesh, once it has one.
#[derive(Clone, Default)]
pub(crate) struct Place(Arc<OnceLock<Arc<dyn Gate>>>);

impl Place {
    /// Sets it; the first one stays.
    pub(crate) fn set(&self, gate: Arc<dyn Gate>) {
        if self.0.set(gate).is_err() {
            tracing::error!("a mesh has a gate already");
        }
    }

    pub(crate) fn may_dial(&self, alpn: &str, to: &Peer) -> Result<(), String> {
        self.0.get().map_or(Ok(()), |gate| gate.may_dial(alpn, to))
    }

    pub(crate) fn may_enter(&self, alpn: &str, from: &Peer) -> Result<(), String> {
        self.0
            .get()
            .map_or(Ok(()), |gate| gate.may_enter(alpn, from))
    }

    pub(crate) fn may_call(
        &self,
        alpn: &str,
        from: &Peer,
        kind: &str,
        bytes: usize,
    ) -> Result<(), String> {
        self.0
            .get()
            .map_or(Ok(()), |gate| gate.may_call(alpn, from, kind, bytes))
    }
}
