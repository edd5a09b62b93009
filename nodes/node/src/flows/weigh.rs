//! Messages held against the flow matrix: their kind, their length, how many come in a second.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use guitai_flow::{Matrix, Protocol, Row, RowId};
use guitai_host::Clock;
use guitai_net::{
    Peer,
    pace::{Buckets, Rate},
};
use guitai_relay::guard::{Refusal, Rows};
use guitai_types::NodeName;

use super::Door;

/// Pairs of a row and a peer whose pace is remembered: more than a deployment has.
const PACES_MAX: usize = 4_096;
/// Orders only take rights away, so none waits for its turn.
const ORDERS: &str = "order.";

/// How fast each peer uses each row; what this node makes itself is of no peer.
pub(super) struct Paces(Mutex<Buckets<(RowId, Option<NodeName>)>>);

impl Default for Paces {
    fn default() -> Self {
        Self(Mutex::new(Buckets::new(PACES_MAX)))
    }
}

impl Paces {
    fn take(&self, row: &Row, peer: Option<&Peer>, now: Duration) -> bool {
        let mut paces = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (row.id.clone(), peer.map(|peer| peer.name.clone()));
        let rate = Rate::each_second(row.limits.messages_per_second, 1);
        paces.take(key, rate, now)
    }
}

/// A message on its way.
pub(super) struct Weight<'a> {
    pub(super) kind: &'a str,
    pub(super) bytes: usize,
    pub(super) peer: Option<&'a Peer>,
}

impl Weight<'_> {
    /// The first of these rows that lets it through; else why the last that has its kind does not.
    fn on<'r>(
        &self,
        rows: impl Iterator<Item = &'r Row>,
        paces: &Paces,
        clock: &dyn Clock,
    ) -> Result<(), Refusal> {
        let now = clock.monotonic();
        let mut why = Refusal::Undeclared;
        for row in rows.filter(|row| row.has(self.kind)) {
            let max = usize::try_from(row.limits.message_bytes).unwrap_or(usize::MAX);
            if self.bytes > max {
                let length = self.bytes;
                why = Refusal::TooLarge { length, max };
            } else if !self.kind.starts_with(ORDERS) && !paces.take(row, self.peer, now) {
                let max = row.limits.messages_per_second;
                why = Refusal::TooFast { of: "row", max };
            } else {
                return Ok(());
            }
        }
        Err(why)
    }
}

impl Door {
    /// A call of another node's. A row that has run out lets it through, as it does the connection.
    pub(super) fn weigh_call(
        &self,
        protocol: Protocol,
        from: &Peer,
        kind: &str,
        bytes: usize,
    ) -> Result<(), String> {
        let present = self.present.read().unwrap_or_else(PoisonError::into_inner);
        let (own, other) = (self.own(), self.ends(&present.matrix, from));
        let between = |row: &&Row| {
            row.protocol == protocol
                && other.contains(&row.opener())
                && own.contains(&row.listener())
        };
        let weight = Weight {
            kind,
            bytes,
            peer: Some(from),
        };
        let rows = present.matrix.rows().iter().filter(between);
        let weighed = weight.on(rows, &self.paces, self.clock.as_ref());
        weighed.map_err(|refusal| {
            let what = format!("{kind} from {from}");
            if self.is_news(&what) {
                tracing::warn!(what, %refusal, "the flow matrix does not let this call in");
            }
            format!("{kind}: {refusal}")
        })
    }
}

impl Rows for Door {
    fn admit(&self, kind: &str, bytes: usize, peer: Option<&Peer>) -> Result<(), Refusal> {
        let present = self.present.read().unwrap_or_else(PoisonError::into_inner);
        let weight = Weight { kind, bytes, peer };
        let rows = tunnels(&present.matrix);
        weight.on(rows, &self.paces, self.clock.as_ref())
    }
}

/// The rows that are about the guard.
fn tunnels(matrix: &Matrix) -> impl Iterator<Item = &Row> {
    let rows = matrix.rows().iter();
    rows.filter(|row| row.protocol == Protocol::Tunnel)
}

#[cfg(test)]
mod tests {
    use guitai_host::ManualClock;
    use guitai_types::{UnixMillis, Zone};

    use super::*;

    fn shipped() -> Matrix {
        Matrix::parse(guitai_flow::SHIPPED).unwrap()
    }

    fn peer(name: &str) -> Peer {
        Peer {
            name: name.parse().unwrap(),
            zone: Zone::Dmz,
        }
    }

    #[test]
    fn a_kind_that_no_row_has_is_refused_and_one_that_is_too_long_by_the_row() {
        let (matrix, paces) = (shipped(), Paces::default());
        let clock = ManualClock::new(UnixMillis(0));
        let weigh = |kind, bytes| {
            let weight = Weight {
                kind,
                bytes,
                peer: None,
            };
            weight.on(tunnels(&matrix), &paces, &clock)
        };
        assert_eq!(weigh("ask.rate", 16_384), Ok(()));
        let (length, max) = (16_385, 16_384);
        let long = Err(Refusal::TooLarge { length, max });
        assert_eq!(weigh("ask.rate", 16_385), long);
        assert_eq!(weigh("ask.shell", 1), Err(Refusal::Undeclared));
        assert_eq!(weigh("meta.read", 1), Err(Refusal::Undeclared));
    }

    #[test]
    fn one_peer_does_not_use_up_what_another_may_send_and_orders_never_wait() {
        let text = guitai_flow::SHIPPED.replace(
            "message_bytes = 16384, messages_per_second = 10000",
            "message_bytes = 16384, messages_per_second = 3",
        );
        let matrix = Matrix::parse(&text).unwrap();
        let (paces, clock) = (Paces::default(), ManualClock::new(UnixMillis(0)));
        let (one, other) = (peer("edge-a1"), peer("edge-b"));
        let weigh = |kind, peer| {
            let peer = Some(peer);
            let weight = Weight {
                kind,
                bytes: 1,
                peer,
            };
            weight.on(tunnels(&matrix), &paces, &clock)
        };
        for _ in 0..3 {
            assert_eq!(weigh("ask.ticket", &one), Ok(()));
        }
        let fast = Err(Refusal::TooFast { of: "row", max: 3 });
        assert_eq!(weigh("ask.ticket", &one), fast);
        assert_eq!(weigh("ask.ticket", &other), Ok(()));
        assert_eq!(weigh("order.end-session", &one), Ok(()));
        clock.advance(Duration::from_millis(334));
        assert_eq!(weigh("ask.ticket", &one), Ok(()));
        assert_eq!(weigh("ask.ticket", &one), fast);
    }
}
