//! Tasks and blocking work of a node: tokio's, or in the simulation such as end with their node.

use std::{future::Future, io};

/// Starts a task of this node.
pub(crate) fn spawn(work: impl Future<Output = ()> + Send + 'static) {
    tokio::spawn(task(work));
}

/// A future as a task of this node, to be started by whoever wants to wait for it.
#[cfg(not(feature = "sim"))]
pub(crate) fn task<T>(
    work: impl Future<Output = T> + Send + 'static,
) -> impl Future<Output = T> + Send + 'static {
    work
}

/// A future as a task of this node's life.
#[cfg(feature = "sim")]
pub(crate) fn task<T>(work: impl Future<Output = T> + Send + 'static) -> crate::sim::Lived<T> {
    crate::sim::Life::of_present(work)
}

/// Work that takes the disk or long, away from the runtime's threads. In the simulation it is done at
/// once: when a thread is done is chance without a seed.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    #[cfg(feature = "sim")]
    if crate::sim::Life::present().is_some() {
        return work();
    }
    tokio::task::spawn_blocking(work)
        .await
        .unwrap_or_else(|error| Err(io::Error::other(error)))
}
