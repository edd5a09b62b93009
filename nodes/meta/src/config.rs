//! What a core node must be told before it can take part.

/// How long consensus waits for what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timing {
    /// The leader speaks at least this often.
    pub heartbeat_ms: u64,
    /// Lower bound of the random part of the election timeout; more than two heartbeats.
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
    /// preference is a delay; forbidding election here leaves the cluster without leader when the
    /// newest entry is only here.
    pub const FAR: Self = Self {
        heartbeat_ms: 50,
        election_min_ms: 600,
        election_max_ms: 900,
    };
}
