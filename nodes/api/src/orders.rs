//! When a session or a ticket is over, its media tokens are void: here relay and edges are told.

use futures::StreamExt as _;
use guitai_meta::{Meta, State};
use guitai_relay::{Relay, guard::Tunnels};
use guitai_types::{Epoch, TicketId, control::Order, event::Change, record::TicketState};

/// Follows the cluster's events for ever. Runs once on every core node and tells that node's own relay and
/// tunnels, so that the loss of a node loses no order.
pub async fn follow(meta: Meta, relay: Option<Relay>, tunnels: Tunnels) {
    let tell = |order: Order| {
        if let Some(relay) = &relay {
            tell_relay(relay, &order);
        }
        tunnels.order(order);
    };
    let (number, mut epoch) = meta.peek(|state| (state.event_number(), state.epoch()));
    tell(Order::Hello { epoch });
    let mut events = meta.events(number + 1);
    while let Some(event) = events.next().await {
        match event.change {
            Change::SessionEnded { session, .. } => tell(Order::EndSession { session }),
            Change::Ticket { ticket } if meta.peek(|state| is_over(state, &ticket)) => {
                tell(Order::RevokeTicket { ticket });
            }
            Change::Cluster => {
                let now: Epoch = meta.peek(State::epoch);
                if now > epoch {
                    epoch = now;
                    tell(Order::Hello { epoch });
                }
            }
            _ => {}
        }
    }
}

fn tell_relay(relay: &Relay, order: &Order) {
    match order {
        Order::Hello { epoch } => relay.set_epoch(*epoch),
        Order::EndSession { session } => relay.revoke_session(session),
        Order::RevokeTicket { ticket } => relay.revoke_ticket(ticket),
        // An inner relay's pages ask their own node.
        Order::Doors { .. } => {}
    }
}

fn is_over(state: &State, ticket: &TicketId) -> bool {
    let ticket = state.ticket(ticket);
    ticket.is_none_or(|ticket| matches!(ticket.state, TicketState::Ended { .. }))
}
