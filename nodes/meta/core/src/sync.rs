//! The agreed mode of sync writes. When it may change, the sync lease says (`lease`); here is only
//! that a change which comes late, or from a leader that is none any more, changes nothing.

use guitai_types::{
    Problem, Role,
    command::Reply,
    event::Change,
    limits::MEMBERS_MAX,
    profile::{SYNC_LEASE_MS_MAX, SYNC_LEASE_MS_MIN},
    sync::{SyncMode, SyncState},
    tlog::Record,
};

use crate::{State, apply::Turn, check};

impl State {
    /// Whether sync writes wait for the guard city.
    pub fn sync(&self) -> &SyncState {
        &self.head.sync
    }
}

impl Turn<'_> {
    pub(crate) fn set_sync_mode(
        &mut self,
        counter: u64,
        mode: &SyncMode,
    ) -> Result<Reply, Problem> {
        let present = &self.state.head.sync;
        if counter.checked_sub(1) != Some(present.counter) {
            let detail = format!(
                "change {counter} of the sync mode does not follow change {}",
                present.counter
            );
            return Err(check::wrong(detail));
        }
        match mode {
            SyncMode::Sync { guards, lease_ms } => check_guards(self.state, guards, *lease_ms)?,
            SyncMode::Degraded { .. } if present.guards().is_empty() => {
                return Err(check::wrong(
                    "no guard is waited for that could be given up",
                ));
            }
            SyncMode::Degraded { .. } => {}
            SyncMode::Unguarded => {
                return Err(check::wrong(
                    "only a cluster without guards begins unguarded",
                ));
            }
        }
        let state = SyncState {
            counter,
            mode: mode.clone(),
            since: self.now,
        };
        let guarded = !state.guards().is_empty();
        self.state.head.sync = state;
        self.log(Record::SyncMode {
            counter,
            mode: mode.clone(),
        });
        self.emit(None, Change::SyncMode { counter, guarded });
        Ok(Reply::Done)
    }
}

fn check_guards(
    state: &State,
    guards: &[guitai_types::NodeId],
    lease_ms: u64,
) -> Result<(), Problem> {
    check::at_most("guards", guards.len(), "MEMBERS_MAX", MEMBERS_MAX)?;
    if guards.is_empty() {
        return Err(check::bad("there is no guard to wait for"));
    }
    let is_core = |id| state.members().any(|it| it.id == id && it.has(Role::Core));
    if let Some(stranger) = guards.iter().find(|id| !is_core(**id)) {
        return Err(check::bad(format!("guard {stranger} is no core node")));
    }
    if !(SYNC_LEASE_MS_MIN..=SYNC_LEASE_MS_MAX).contains(&lease_ms) {
        let detail = format!(
            "lease_ms is {lease_ms}, allowed is {SYNC_LEASE_MS_MIN} to {SYNC_LEASE_MS_MAX}"
        );
        return Err(check::bad(detail));
    }
    Ok(())
}
