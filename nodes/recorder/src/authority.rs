//! The time stamp authority of a core node: answers recorders over the mesh, with its own clock and its own
//! certificate (RFC 3161; what it signs is in `docs/reference/evidence-package.md`).

use std::sync::Arc;

use guitai_crypto::{
    random,
    tsp::{self, Refusal},
    x509::Identity,
};
use guitai_host::Clock;
use guitai_meta::{Meta, State};
use guitai_net::{Calls, Peer};
use guitai_types::UnixMillis;
use tokio::{sync::watch, task};

/// Kind of the call that asks for a time stamp: a TimeStampReq in DER, answered by a TimeStampResp. A core node
/// that stamps nothing does not know it.
pub const STAMP_CALL: &str = "tsa.stamp";

/// How far a node's clock may be behind the cluster's, in milliseconds, and still be believed: the clocks of a
/// cluster are kept together within far less, and a stamp a minute early is refused by every verifier.
const BEHIND_MS_MAX: u64 = 60_000;

/// Answers requests for time stamps. Cheap to clone.
#[derive(Clone)]
pub struct Authority {
    identity: watch::Receiver<Identity>,
    meta: Meta,
    clock: Arc<dyn Clock>,
}

impl Authority {
    /// Stamps with `identity`, whose renewer sends the next one, by `clock` as long as it is not behind what
    /// the cluster has agreed on in `meta`.
    pub const fn new(
        identity: watch::Receiver<Identity>,
        meta: Meta,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self {
            identity,
            meta,
            clock,
        }
    }

    /// Answers [`STAMP_CALL`]. Only inner nodes reach it: the ALPN is closed to other zones.
    pub fn register(&self, calls: &Calls) {
        let authority = self.clone();
        calls.register(
            STAMP_CALL,
            Arc::new(move |peer: Peer, request: Vec<u8>| {
                let authority = authority.clone();
                Box::pin(async move {
                    tracing::debug!(%peer, "asked for a time stamp");
                    authority.answer(request).await
                })
            }),
        );
    }

    /// The answer to a request, in DER; a refusal is an answer too.
    pub(crate) async fn answer(&self, request: Vec<u8>) -> Result<Vec<u8>, String> {
        let agreed = self.meta.peek(State::clock);
        let now = believed(self.clock.wall(), agreed);
        let identity = self.identity.borrow().clone();
        // A signature takes a moment, and this thread serves others.
        let answered =
            task::spawn_blocking(move || tsp::answer(&request, &identity, now, random::array()));
        let answered = answered.await.map_err(|error| error.to_string())?;
        let (answer, refusal) = answered.map_err(|error| error.to_string())?;
        match refusal {
            Some(Refusal::Time) => {
                tracing::error!(%agreed, "no time stamp: this node's clock is behind the cluster's");
            }
            Some(refusal) => tracing::warn!(%refusal, "a time stamp was refused"),
            None => {}
        }
        Ok(answer)
    }
}

/// The time in seconds, unless the clock is further behind the cluster's than may be. One that is ahead cannot
/// be told from a cluster that was idle.
const fn believed(wall: UnixMillis, agreed: UnixMillis) -> Option<u64> {
    if wall.0.saturating_add(BEHIND_MS_MAX) < agreed.0 {
        return None;
    }
    Some(wall.0 / 1000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_behind_the_clusters_stamps_nothing() {
        let agreed = UnixMillis(1_795_000_000_000);
        let at = |behind: u64| believed(UnixMillis(agreed.0 - behind), agreed);
        assert_eq!(at(0), Some(1_795_000_000));
        assert_eq!(at(BEHIND_MS_MAX), Some(1_794_999_940));
        assert_eq!(at(BEHIND_MS_MAX + 1), None);
        assert_eq!(
            believed(agreed.plus(86_400_000), agreed),
            Some(1_795_086_400)
        );
    }
}
