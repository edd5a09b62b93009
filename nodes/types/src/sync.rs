//! Sync writes: which commands are told "done" only when the guard city has them, and how that stands.
//!
//! The rules are in `meta/core`'s `lease`; the reasons in `docs/decisions/0031-sync-lease.md`.

use serde::{Deserialize, Serialize};

use crate::{
    NodeId, UnixMillis,
    command::{CanaryStep, Command, RecordingReport},
    dr::{Order, Service},
};

/// When a command's answer may be given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WriteClass {
    /// When a quorum and the guard city have it: losing the other city must not lose it.
    Sync,
    /// When a quorum has it.
    Fast,
}

impl Command {
    /// Its write class. Whatever somebody may later rely on (consent, who answered, what was done and
    /// recorded, who may do what) is sync; what a page repeats or a clock repeats is fast.
    pub fn class(&self) -> WriteClass {
        match self {
            Self::Found { .. }
            | Self::PutMember { .. }
            | Self::PutStaff { .. }
            | Self::PutPolicy { .. }
            | Self::RaiseEpoch { .. }
            | Self::OpenTicket { .. }
            | Self::Accept { .. }
            | Self::Rekey { .. }
            | Self::AddStep { .. }
            | Self::NoteMessage { .. }
            | Self::PutBusiness { .. }
            | Self::EndSession { .. }
            | Self::TrustLog { .. }
            | Self::AppendRoot { .. }
            | Self::LogAccess { .. }
            | Self::Keep { .. }
            | Self::PutHolding { .. }
            | Self::Flow { .. }
            | Self::Rate { .. } => WriteClass::Sync,
            // Who approved what is relied on; the steps of a drill that holds the guard city apart must not
            // wait for it.
            Self::Dr { order } => match order {
                Order::Propose { .. } | Order::Approve { .. } | Order::Enter { .. } => {
                    WriteClass::Sync
                }
                Order::Advance { .. } | Order::Abort { .. } | Order::Measured { .. } => {
                    WriteClass::Fast
                }
            },
            // A prober measures the class it stands for.
            Self::Probe { lane, .. } => match lane.service {
                Service::Log => WriteClass::Sync,
                Service::Queue
                | Service::Login
                | Service::Media
                | Service::Call
                | Service::Recording => WriteClass::Fast,
            },
            Self::Canary { step, .. } => match step {
                CanaryStep::Begin => WriteClass::Fast,
                CanaryStep::Order { command } => command.class(),
            },
            Self::ReportRecording { report, .. } => match report {
                RecordingReport::Lost { .. } | RecordingReport::Sealed { .. } => WriteClass::Sync,
                RecordingReport::Running => WriteClass::Fast,
            },
            Self::PutMark { sync: true, .. } => WriteClass::Sync,
            Self::PutMark { sync: false, .. } => WriteClass::Fast,
            // The mode itself must never wait for the guard whose absence it records.
            Self::SetSyncMode { .. }
            | Self::SetPresence { .. }
            | Self::TouchTicket { .. }
            | Self::MoveTicket { .. }
            | Self::CloseTicket { .. }
            | Self::Reject { .. }
            | Self::FinishWrapUp { .. }
            // What it says is in the log already; the next one says it again.
            | Self::PutCheckpoint { .. }
            // Whatever is lost of films is asked for again: they are derived, and the evidence is not.
            | Self::Film { .. }
            // It was granted already: a node whose city is cut off must let its operators in.
            | Self::LogLogin { .. }
            // Nobody must be able to hold an alarm up.
            | Self::AlarmLog { .. }
            | Self::Tick => WriteClass::Fast,
        }
    }
}

/// Whether sync writes wait for the guard city. Agreed on through the log.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case", tag = "is")]
pub enum SyncMode {
    /// There is no guard city, or none was ever reached: every write waits for a quorum only.
    #[default]
    Unguarded,
    /// A sync write is acknowledged only when one of the guards has it on its disk.
    Sync {
        /// Core nodes of the guard city.
        guards: Vec<NodeId>,
        /// How long a grant lasts, in milliseconds. In the record, so that grantor and holder of
        /// whatever term measure the same lease.
        lease_ms: u64,
    },
    /// The guard city was lost from sight: sync writes wait for a quorum only until it is back.
    Degraded {
        /// Why.
        cause: DegradeCause,
        /// Last log index that the leader knew to be on a guard. What is acknowledged after it, and
        /// not on a guard, would be lost with the other city.
        guarded_to: u64,
    },
}

/// Why the guard city is not waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum DegradeCause {
    /// It does not answer.
    Silent,
    /// It answers, but its log does not keep up.
    Behind,
    /// It was stopped in good order and said so.
    Released,
}

/// The agreed mode, and how often it changed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(default)]
pub struct SyncState {
    /// Changes of the mode so far; a change names the next number, so one that comes late changes
    /// nothing.
    pub counter: u64,
    /// The mode.
    pub mode: SyncMode,
    /// Since when, by the clock of the leader that proposed it.
    pub since: UnixMillis,
}

impl SyncState {
    /// The guards that a sync write waits for; empty when it waits for none.
    pub fn guards(&self) -> &[NodeId] {
        match &self.mode {
            SyncMode::Sync { guards, .. } => guards,
            SyncMode::Unguarded | SyncMode::Degraded { .. } => &[],
        }
    }
}

/// What a guard can say by itself, without any other node: how far nothing acknowledged is missing
/// in its city.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Verdict {
    /// The guard.
    pub node: NodeId,
    /// The mode as far as this guard has applied the log.
    pub sync: SyncState,
    /// Every sync write acknowledged before this moment, by this guard's wall clock, is on a guard of
    /// this city. `None`: it has proved nothing yet. The unproven window reaches from here to the
    /// moment at which the other city is attested to be off.
    pub proven_until: Option<UnixMillis>,
    /// The proof still holds now: were the other city to vanish at this moment, nothing acknowledged
    /// would be missing here.
    pub proves_now: bool,
    /// How much longer it holds without renewal, in milliseconds; 0 when it does not hold.
    pub left_ms: u64,
    /// The moment was read from this guard's disk: since its restart it has granted nothing.
    pub from_before_restart: bool,
    /// Last log index that this guard has applied.
    pub applied: u64,
    /// Last log index in this guard's log.
    pub last_index: u64,
}

/// How the sync lease stands, as one node sees it; a part of [`crate::view::StatusView`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(default)]
pub struct SyncView {
    /// The agreed mode.
    pub state: SyncState,
    /// The guards as the leader sees them; empty when there is no guard city or no leader.
    pub guards: Vec<GuardView>,
    /// What the node that answers can say by itself, if it is a guard.
    pub verdict: Option<Verdict>,
}

/// One guard, as the leader sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct GuardView {
    /// Which node.
    pub node: NodeId,
    /// For how many milliseconds its last grant still lasts; 0 when it proves nothing now.
    pub proves_ms: u64,
    /// Entries of the leader's log that it is not known to have; `None` if nothing is known.
    pub lag: Option<u64>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::RecordingSummary;

    #[test]
    fn what_somebody_relies_on_is_sync_and_what_repeats_is_fast() {
        let report = |report| Command::ReportRecording {
            session: "s".parse().unwrap(),
            node: "n".parse().unwrap(),
            assignment: 1,
            report,
        };
        let summary = RecordingSummary {
            node: "n".parse().unwrap(),
            root: crate::Hex(vec![0; 32]),
            duration_ms: 1,
            bytes: 1,
            segments: 1,
            frames: 1,
            gaps: 0,
            at: UnixMillis(0),
        };
        let lost = RecordingReport::Lost {
            cause: "disk-full".to_owned(),
        };
        let step = Command::AddStep {
            session: "s".parse().unwrap(),
            actor: "agent".to_owned(),
            step: "identity".to_owned(),
            details: Default::default(),
        };
        for sync in [
            report(RecordingReport::Sealed { summary }),
            report(lost),
            step,
        ] {
            assert_eq!(sync.class(), WriteClass::Sync, "{sync:?}");
        }
        let mode = Command::SetSyncMode {
            counter: 1,
            mode: SyncMode::Unguarded,
        };
        for fast in [report(RecordingReport::Running), Command::Tick, mode] {
            assert_eq!(fast.class(), WriteClass::Fast, "{fast:?}");
        }
    }

    #[test]
    fn the_bytes_of_a_mode_are_frozen() {
        let sync = Command::SetSyncMode {
            counter: 3,
            mode: SyncMode::Sync {
                guards: vec![NodeId(5)],
                lease_ms: 1_000,
            },
        };
        let degraded = Command::SetSyncMode {
            counter: 4,
            mode: SyncMode::Degraded {
                cause: DegradeCause::Silent,
                guarded_to: 77,
            },
        };
        let bytes = [
            r#"{"do":"set-sync-mode","counter":3,"mode":{"is":"sync","guards":[5],"lease_ms":1000}}"#,
            r#"{"do":"set-sync-mode","counter":4,"mode":{"is":"degraded","cause":"silent","guarded_to":77}}"#,
        ];
        for (command, bytes) in [sync, degraded].into_iter().zip(bytes) {
            assert_eq!(serde_json::to_string(&command).unwrap(), bytes);
            assert_eq!(serde_json::from_str::<Command>(bytes).unwrap(), command);
        }
    }
}
