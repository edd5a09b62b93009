//! How much may cross: what the flow matrix says of each kind of message, and how often one ticket may ask.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use guitai_host::Clock;
use guitai_net::{
    Peer,
    pace::{Buckets, Rate},
};
use guitai_types::{TicketId, control::Ask, limits::CONTROL_BYTES_MAX};

use super::Refusal;

/// How often a second one ticket may ask, whoever holds it: a page asks when its customer does something, and some ten times
/// when it is loaded.
pub const TICKET_PER_SECOND: u64 = 10;
/// Seconds whose questions may come at once.
const TICKET_SECONDS: u64 = 6;
/// Tickets whose pace is remembered: more than the tickets that there are at once.
const TICKETS_PACED: usize = 16_384;

/// The rows of the flow matrix in force that are about the guard. Asked for each message: it must not wait.
pub trait Rows: Send + Sync + 'static {
    /// Whether a message of a kind, `ask.rate`, with so many bytes may cross now; `peer` is its sender where that is
    /// another node.
    ///
    /// # Errors
    /// [`Refusal::Undeclared`], [`Refusal::TooLarge`] or [`Refusal::TooFast`], by the row.
    fn admit(&self, kind: &str, bytes: usize, peer: Option<&Peer>) -> Result<(), Refusal>;
}

/// Every kind that there is, as long as a message may be and as often as it comes: for where there is no matrix.
#[derive(Debug, Clone, Copy, Default)]
pub struct AnyKind;

impl Rows for AnyKind {
    fn admit(&self, _kind: &str, bytes: usize, _peer: Option<&Peer>) -> Result<(), Refusal> {
        if bytes > CONTROL_BYTES_MAX {
            let (length, max) = (bytes, CONTROL_BYTES_MAX);
            return Err(Refusal::TooLarge { length, max });
        }
        Ok(())
    }
}

/// What a guard asks before a message crosses.
pub(super) struct Scales {
    rows: Arc<dyn Rows>,
    tickets: Mutex<Buckets<TicketId>>,
    clock: Arc<dyn Clock>,
}

impl Scales {
    pub(super) fn new(rows: Arc<dyn Rows>, clock: Arc<dyn Clock>) -> Self {
        let tickets = Mutex::new(Buckets::new(TICKETS_PACED));
        Self {
            rows,
            tickets,
            clock,
        }
    }

    /// Weighs a question.
    pub(super) fn ask(&self, ask: &Ask, bytes: usize, peer: Option<&Peer>) -> Result<(), Refusal> {
        self.rows
            .admit(&format!("ask.{}", ask.kind()), bytes, peer)?;
        let Some(ticket) = ticket_of(ask) else {
            return Ok(());
        };
        let rate = Rate::each_second(TICKET_PER_SECOND, TICKET_SECONDS);
        let now = self.clock.monotonic();
        let mut tickets = self.tickets.lock().unwrap_or_else(PoisonError::into_inner);
        if tickets.take(ticket.clone(), rate, now) {
            Ok(())
        } else {
            let max = TICKET_PER_SECOND;
            Err(Refusal::TooFast { of: "ticket", max })
        }
    }

    /// Weighs an answer.
    pub(super) fn answer(
        &self,
        kind: &str,
        bytes: usize,
        peer: Option<&Peer>,
    ) -> Result<(), Refusal> {
        self.rows.admit(&format!("answer.{kind}"), bytes, peer)
    }

    /// Weighs an order.
    pub(super) fn order(
        &self,
        kind: &str,
        bytes: usize,
        peer: Option<&Peer>,
    ) -> Result<(), Refusal> {
        self.rows.admit(&format!("order.{kind}"), bytes, peer)
    }
}

impl fmt::Debug for Scales {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Scales")
    }
}

fn ticket_of(ask: &Ask) -> Option<&TicketId> {
    match ask {
        Ask::Catalogue | Ask::OpenTicket(_) => None,
        Ask::Ticket { ticket }
        | Ask::WatchTicket { ticket }
        | Ask::CloseTicket { ticket, .. }
        | Ask::Rate { ticket, .. }
        | Ask::Rejoin { ticket, .. }
        | Ask::Leave { ticket, .. }
        | Ask::Confirm { ticket, .. }
        | Ask::Say { ticket, .. }
        | Ask::SendFile { ticket, .. }
        | Ask::FetchFile { ticket, .. }
        | Ask::Messages { ticket, .. } => Some(ticket),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use guitai_host::ManualClock;
    use guitai_types::UnixMillis;

    use super::*;

    #[test]
    fn one_ticket_asks_no_more_than_its_share_and_no_other_pays_for_it() {
        let clock = Arc::new(ManualClock::new(UnixMillis(0)));
        let scales = Scales::new(Arc::new(AnyKind), clock.clone());
        let ask = |ticket: &str| {
            let ticket = ticket.parse().unwrap();
            scales.ask(&Ask::Ticket { ticket }, 40, None)
        };
        for _ in 0..TICKET_PER_SECOND * TICKET_SECONDS {
            assert_eq!(ask("one"), Ok(()));
        }
        let (of, max) = ("ticket", TICKET_PER_SECOND);
        assert_eq!(ask("one"), Err(Refusal::TooFast { of, max }));
        assert_eq!(ask("other"), Ok(()));
        assert_eq!(
            scales.ask(&Ask::Catalogue, 40, None),
            Ok(()),
            "has no ticket"
        );
        clock.advance(Duration::from_secs(1));
        let after = (0..20).filter(|_| ask("one").is_ok()).count();
        assert_eq!(after, 10);
    }
}
