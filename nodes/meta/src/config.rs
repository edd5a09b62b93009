//! What a core node must be told before it can take part.

use std::{sync::Arc, time::Duration};

use guitai_host::{Disk, Kv};
use guitai_store::Sealing;
use guitai_types::{Hex, Member, NodeId, profile::SYNC_LEASE_MS};

use openraft::SnapshotPolicy;

use crate::{StartError, tlog::LogKeys};

/// Entries applied since the last snapshot before the next is made. A restart without a view replays at
/// most about this many, and a new leader looks through as many for the end of each follower's log, by halves;
/// a snapshot costs writing the whole state once.
const SNAPSHOT_EVERY: u64 = 10_000;

/// Log entries left before a snapshot, so that a node that was away for a moment needs no snapshot.
const LOG_KEPT: u64 = 2_000;
/// Entries sent at once.
const ENTRIES_SENT_MAX: u64 = 512;

/// What a core node must be told.
#[derive(Clone)]
pub struct Config {
    /// This node.
    pub node: Member,
    /// Core nodes it can reach before it knows the member list; with or without itself.
    pub peers: Vec<Member>,
    /// How long consensus waits.
    pub timing: Timing,
    /// Voters that should lead. When another node leads and one of these has caught up, leadership
    /// is handed to it. Empty: whoever leads stays.
    pub homes: Vec<NodeId>,
    /// Voters of the guard city: the city that sync writes wait for, so that it can prove by itself
    /// what was acknowledged. Empty: every write waits for a quorum only.
    pub guards: Vec<NodeId>,
    /// How long a guard promises at a time, between [`SYNC_LEASE_MS_MIN`] and [`SYNC_LEASE_MS_MAX`];
    /// when all guards are lost, sync writes stall for this and a tenth more.
    ///
    /// [`SYNC_LEASE_MS_MIN`]: guitai_types::profile::SYNC_LEASE_MS_MIN
    /// [`SYNC_LEASE_MS_MAX`]: guitai_types::profile::SYNC_LEASE_MS_MAX
    pub sync_lease: Duration,
    /// A voter not heard of for so long gives its voice to a learner that has caught up. `None`: only an
    /// operator replaces voters.
    pub replace_after: Option<Duration>,
    /// Where log (`raft-log`) and snapshots (`raft-snapshots`) are kept; everything acknowledged is
    /// there.
    pub disk: Arc<dyn Disk>,
    /// A copy of the state for a fast restart; may be lost at any time.
    pub view: Arc<dyn Kv>,
    /// Seals log and snapshots; the view is sealed by whoever opens it. `None` leaves all of it plain.
    pub sealing: Option<Arc<Sealing>>,
    /// Entries between snapshots.
    pub snapshot_every: u64,
    /// Signs what this node sets down about lineages: tombstones and divergent tails. `None` leaves
    /// them unsigned.
    pub seal: Option<Seal>,
    /// The keys of the cluster's transparency log. `None`: this node signs no heads, and begins no log.
    pub log: Option<LogKeys>,
}

/// A node's SM2 key, as far as this crate needs it.
#[derive(Clone)]
pub struct Seal {
    /// Point of the public key.
    pub public_key: Hex,
    /// Signs a message.
    pub sign: Sign,
}

/// Signs a message by a key that this crate does not see.
pub type Sign = Arc<dyn Fn(&[u8]) -> Vec<u8> + Send + Sync>;

impl Config {
    /// The usual configuration.
    pub fn new(node: Member, peers: Vec<Member>, disk: Arc<dyn Disk>, view: Arc<dyn Kv>) -> Self {
        Self {
            node,
            peers,
            timing: Timing::NEAR,
            homes: Vec::new(),
            guards: Vec::new(),
            sync_lease: Duration::from_millis(SYNC_LEASE_MS),
            replace_after: None,
            disk,
            view,
            sealing: None,
            snapshot_every: SNAPSHOT_EVERY,
            seal: None,
            log: None,
        }
    }

    /// The same in openraft's words.
    pub(crate) fn settings(&self) -> Result<openraft::Config, StartError> {
        self.timing.check()?;
        let settings = openraft::Config {
            cluster_name: "guitai".to_owned(),
            heartbeat_interval: self.timing.heartbeat_ms,
            election_timeout_min: self.timing.election_min_ms,
            election_timeout_max: self.timing.election_max_ms,
            enable_pre_vote: Some(true),
            // A restarted leader must be elected again: it may have lost entries that it had sent before
            // they were durable here, and it does not know exactly what was committed, so going on in
            // the old term could give two contents to one log id, or an old answer to a read.
            enable_leader_restore: Some(false),
            max_payload_entries: ENTRIES_SENT_MAX,
            snapshot_policy: SnapshotPolicy::LogsSinceLast(self.snapshot_every),
            max_in_snapshot_log_to_keep: LOG_KEPT.min(self.snapshot_every),
            ..openraft::Config::default()
        };
        settings
            .validate()
            .map_err(|error| StartError::Timing(error.to_string()))
    }
}

/// How long consensus waits for what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timing {
    /// The leader speaks at least this often. At least the round trip to the farthest voter.
    pub heartbeat_ms: u64,
    /// Lower bound of the random part of the election timeout; more than two heartbeats, and ten
    /// times a write to the disk, or a busy disk costs more elections than a dead leader.
    pub election_min_ms: u64,
    /// Upper bound of it, and the length of the leader's lease: a follower stands for election
    /// after `election_max_ms` plus a random time between the two bounds.
    pub election_max_ms: u64,
}

impl Timing {
    /// For centres in the city that should lead: a lost leader is replaced in 0.6 to 0.8 s.
    pub const NEAR: Self = Self {
        heartbeat_ms: 50,
        election_min_ms: 200,
        election_max_ms: 400,
    };
    /// For centres in the other city: they may lead, but only when nobody near stands first. A
    /// preference is a delay: forbidding election here would leave the cluster without a leader
    /// whenever the newest entry is only here. The upper bound is also how long a voter here refuses
    /// everybody else after it heard the leader: it ends before the first of those near stands, or
    /// losing a near centre would cost a second election.
    pub const FAR: Self = Self {
        heartbeat_ms: 50,
        election_min_ms: 500,
        election_max_ms: 550,
    };

    /// Refuses bounds that contradict each other.
    pub(crate) fn check(self) -> Result<(), StartError> {
        let Self {
            heartbeat_ms,
            election_min_ms,
            election_max_ms,
        } = self;
        if heartbeat_ms == 0 || heartbeat_ms.saturating_mul(2) >= election_min_ms {
            let text = format!("election_min_ms {election_min_ms} is not above two heartbeats");
            return Err(StartError::Timing(text));
        }
        if election_min_ms >= election_max_ms {
            let text = format!("election_max_ms {election_max_ms} is not above election_min_ms");
            return Err(StartError::Timing(text));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timing_that_elects_for_ever_is_refused() {
        assert!(Timing::NEAR.check().is_ok());
        assert!(Timing::FAR.check().is_ok());
        let hasty = Timing {
            heartbeat_ms: 100,
            ..Timing::NEAR
        };
        assert!(matches!(hasty.check(), Err(StartError::Timing(_))));
        let flat = Timing {
            election_max_ms: 200,
            ..Timing::NEAR
        };
        assert!(matches!(flat.check(), Err(StartError::Timing(_))));
    }
}
