//! Tasks and blocking work of a node: tokio's, or in the simulator such as end with their node.

use std::{future::Future, io};

/// Starts a task of this node.
pub(crate) fn spawn(task: impl Future<Output = ()> + Send + 'static) {
    #[cfg(feature = "sim")]
    let task = crate::sim::Life::of_present(task);
    tokio::spawn(task);
}

/// Work that takes the disk or long, away from the runtime's threads. In the simulator it is done at
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
