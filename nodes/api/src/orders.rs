//! When a session or a ticket is over, its media tokens are void: here the relays and edges are told.

use futures::StreamExt as _;
use guitai_meta::{Meta, State};
use guitai_relay::Relay;
use guitai_types::{Epoch, SessionId, TicketId, event::Change, record::TicketState};

/// Something that is to be told to those who let media in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Notice {
    /// The session is over.
    SessionEnded(SessionId),
    /// The ticket is over.
    TicketEnded(TicketId),
    /// Tokens of an earlier epoch are void.
    Epoch(Epoch),
}

/// Follows the cluster's events for ever and tells `tell` what to order. Runs once per core node; every
/// node tells its own relay and its own tunnels, so that the loss of a node loses no order.
pub async fn follow(meta: Meta, tell: impl Fn(Notice)) {
    let (number, mut epoch) = meta.peek(|state| (state.event_number(), state.epoch()));
    tell(Notice::Epoch(epoch));
    let mut events = meta.events(number + 1);
    while let Some(event) = events.next().await {
        match event.change {
            Change::SessionEnded { session, .. } => tell(Notice::SessionEnded(session)),
            Change::Ticket { ticket } if meta.peek(|state| is_over(state, &ticket)) => {
                tell(Notice::TicketEnded(ticket));
            }
            Change::Cluster => {
                let now = meta.peek(State::epoch);
                if now > epoch {
                    epoch = now;
                    tell(Notice::Epoch(now));
                }
            }
            _ => {}
        }
    }
}

/// Does what a notice says at a relay of this node.
pub fn apply_to_relay(relay: &Relay, notice: &Notice) {
    match notice {
        Notice::SessionEnded(session) => relay.revoke_session(session),
        Notice::TicketEnded(ticket) => relay.revoke_ticket(ticket),
        Notice::Epoch(epoch) => relay.set_epoch(*epoch),
    }
}

fn is_over(state: &State, ticket: &TicketId) -> bool {
    let ticket = state.ticket(ticket);
    ticket.is_none_or(|ticket| matches!(ticket.state, TicketState::Ended { .. }))
}
