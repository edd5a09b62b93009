//! The judgement over a world that has come to rest: the committed log is replayed through the core.

use std::{collections::BTreeMap, sync::PoisonError};

use guitai_meta::{State, sim};
use guitai_types::{TicketId, command::Reply};

use super::{clients, cluster::Cluster, trace::digest};
use crate::{
    Violation,
    invariants::{self, Step},
};

/// What the committed log says.
#[derive(Default)]
struct Replayed {
    /// Serials written to registers.
    written: BTreeMap<u64, u64>,
    /// Tickets opened, and the serial of each.
    tickets: BTreeMap<TicketId, u64>,
    /// Where the sync writes of the clients are.
    marks: BTreeMap<u64, u64>,
    /// Digest of the state after an entry.
    states: BTreeMap<u64, u64>,
    state: State,
}

/// Everything that can only be said at the end.
pub(super) fn judge(cluster: &Cluster) -> Result<(), Violation> {
    let replayed = replay(cluster)?;
    nothing_acknowledged_is_lost(cluster, &replayed)?;
    what_the_guard_proved_was_there(cluster, &replayed)?;
    states_are_the_logs(cluster, &replayed)?;
    events_are_the_logs(cluster, &replayed.state)?;
    cluster.history().check()
}

/// Replays the log under the core's own invariants.
fn replay(cluster: &Cluster) -> Result<Replayed, Violation> {
    let committed = cluster.oracle().committed();
    let wanted = cluster.oracle().states();
    let mut replayed = Replayed::default();
    let mut watching = invariants::all();
    let mut log = Vec::new();
    for (place, (index, entry)) in committed.into_iter().enumerate() {
        let first = place as u64;
        if index != first && index != first + 1 {
            return Err(format!(
                "entry {index} is committed, one before it was never seen"
            ));
        }
        for proposal in entry.proposals {
            let outcome = replayed.state.apply(&proposal);
            for invariant in &mut watching {
                let step = Step {
                    proposal: &proposal,
                    outcome: &outcome,
                    state: &replayed.state,
                };
                let seen = invariant.see(step);
                seen.map_err(|what| format!("{} at entry {index}: {what}", invariant.name()))?;
            }
            if let Reply::Ticket { serial } = outcome.reply
                && let guitai_types::command::Command::OpenTicket { ticket, .. } = &proposal.command
            {
                replayed.tickets.insert(ticket.clone(), serial);
            }
            if let Some(serial) = clients::written(&proposal.command) {
                replayed.written.insert(serial, index);
            }
            if let Some(mark) = clients::mark(&proposal.command) {
                replayed.marks.insert(mark, index);
            }
            log.push(proposal);
        }
        if wanted.contains_key(&index) {
            let state = digest(replayed.state.to_snapshot());
            replayed.states.insert(index, state);
        }
    }
    for invariant in &mut watching {
        let held = invariant.finish(&log, &replayed.state);
        held.map_err(|what| format!("{} at the end: {what}", invariant.name()))?;
    }
    Ok(replayed)
}

fn nothing_acknowledged_is_lost(cluster: &Cluster, replayed: &Replayed) -> Result<(), Violation> {
    for serial in cluster.history().acknowledged() {
        if !replayed.written.contains_key(&serial) {
            return Err(format!("write {serial} was acknowledged and is nowhere"));
        }
    }
    let tickets = cluster.tickets().lock();
    for (ticket, serial) in tickets.unwrap_or_else(PoisonError::into_inner).iter() {
        if replayed.tickets.get(ticket) != Some(serial) {
            return Err(format!(
                "ticket {ticket} was acknowledged as {serial}, the log says {:?}",
                replayed.tickets.get(ticket)
            ));
        }
    }
    Ok(())
}

fn what_the_guard_proved_was_there(
    cluster: &Cluster,
    replayed: &Replayed,
) -> Result<(), Violation> {
    for (mark, first) in cluster.oracle().unguarded() {
        // Below the beginning of the guard's log it was in its snapshot.
        if let Some(index) = replayed.marks.get(&mark).filter(|index| **index >= first) {
            return Err(format!(
                "P4: entry {index} was acknowledged while the guard said that it has everything, and \
                 it was not on its disk"
            ));
        }
    }
    Ok(())
}

fn states_are_the_logs(cluster: &Cluster, replayed: &Replayed) -> Result<(), Violation> {
    for (index, (state, node)) in cluster.oracle().states() {
        if replayed.states.get(&index) != Some(&state) {
            return Err(format!(
                "the state of node {node} after entry {index} is not the log's"
            ));
        }
    }
    let last = digest(replayed.state.to_snapshot());
    for (node, meta, _) in cluster.logs() {
        let state = sim::applied(&meta, |_, state| digest(state.to_snapshot()));
        if state != last {
            return Err(format!("the last state of node {node} is not the log's"));
        }
    }
    Ok(())
}

fn events_are_the_logs(cluster: &Cluster, state: &State) -> Result<(), Violation> {
    let told = cluster.oracle().events();
    for event in state.events_from(1) {
        let content = digest(serde_json::to_vec(event).unwrap_or_default());
        match told.get(&event.number) {
            Some(known) if *known == content => {}
            Some(_) => return Err(format!("event {} was told otherwise", event.number)),
            None => return Err(format!("event {} was never told", event.number)),
        }
    }
    Ok(())
}
