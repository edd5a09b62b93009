//! How a recording ends here: when the cluster says that its time is over and this node's own calendar agrees,
//! its key is destroyed, the cluster is told, and what is left is swept.
//!
//! The order matters. Told is only what is durably gone, so a process killed at any moment never leaves a key
//! behind that the log says is destroyed; one that was away finds the same order when it is back. The node's own
//! clock is a second opinion: a leader whose clock has run ahead by a year has nothing erased.

use std::sync::Arc;

use guitai_types::{
    Date, SessionId,
    retention::{Erasure, KeepOrder},
};
use tokio::task;

use crate::{RECONCILE, Shared, cluster::ReportError, keeper::Order};

/// Runs until the node stops.
pub(crate) async fn run(shared: Arc<Shared>) {
    shared.cluster.ready().await;
    loop {
        for (session, erasure) in shared.cluster.erasures(&shared.config.name) {
            if Date::of(shared.clock.wall()) > erasure.until {
                erase(&shared, &session, &erasure).await;
            } else {
                tracing::warn!(%session, until = %erasure.until, "to be erased, but by this node's clock it is too early");
            }
        }
        tokio::time::sleep(RECONCILE).await;
    }
}

/// Erases one recording and says so; what fails is tried again by the next look.
async fn erase(shared: &Arc<Shared>, session: &SessionId, erasure: &Erasure) {
    let node = &shared.config.name;
    if !shared.cluster.is_to_erase(session, node, erasure).await {
        return;
    }
    shared.let_go(session).await;
    shared.films.let_go(session).await;
    let (shelf, id, note) = (
        shared.shelf.clone(),
        session.clone(),
        serde_json::to_vec(erasure),
    );
    let (copies, owner) = (shared.copies.clone(), shared.clone());
    let destroyed = task::spawn_blocking(move || {
        let note = note?;
        // What lies in plain goes first: the key of the recording would not take it along.
        owner.films.destroy(&id, &note)?;
        shelf.destroy_key(&id, &note)?;
        // A replica has a key of its own.
        match copies.is_there(&id)? {
            true => copies.destroy_key(&id, &note),
            false => Ok(()),
        }
    })
    .await;
    let destroyed = destroyed.unwrap_or_else(|error| Err(std::io::Error::other(error)));
    if let Err(error) = destroyed {
        return tracing::error!(%session, %error, "the recording's key was not destroyed; trying again");
    }
    // From here on nothing can be opened; that the noise still takes room is no reason to keep it a secret.
    let (shelf, copies, id) = (shared.shelf.clone(), shared.copies.clone(), session.clone());
    let owner = shared.clone();
    let swept = task::spawn_blocking(move || {
        owner.films.sweep(&id)?;
        shelf.sweep(&id)?;
        match copies.is_there(&id)? {
            true => copies.sweep(&id),
            false => Ok(()),
        }
    })
    .await;
    if !matches!(swept, Ok(Ok(()))) {
        tracing::warn!(%session, "the recording's key is destroyed, but not all of its files are removed");
    }
    let order = KeepOrder::Erased {
        session: session.clone(),
        node: node.clone(),
    };
    match shared.cluster.keep(order).await {
        Ok(()) => {
            tracing::info!(%session, class = %erasure.class, until = %erasure.until, "recording erased");
        }
        Err(error @ ReportError::Refused(_)) => {
            tracing::error!(%session, %error, "erased, but the cluster does not take it");
        }
        Err(error) => tracing::warn!(%session, %error, "erased; telling the cluster again"),
    }
}

impl Shared {
    /// Stops whoever has the recording open, for good.
    async fn let_go(&self, session: &SessionId) {
        let keeper = {
            let mut table = self.table();
            table.ending.insert(session.clone());
            table.stats.remove(session);
            table.keepers.remove(session)
        };
        if let Some((orders, keeper)) = keeper {
            orders.send_replace(Order::Stop);
            // One that panicked has nothing open any more.
            let _ended = keeper.await;
        }
    }
}
