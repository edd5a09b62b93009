//! What a relay counts, for the metrics page.

use std::sync::atomic::{AtomicU64, Ordering};
use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
};

use moq_net::stats;
use serde::Serialize;

use crate::{admission::Refused, table::Transport};

/// Counters since the relay's start.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct RelayStats {
    /// Connections now.
    pub sessions: usize,
    /// Connections let in.
    pub accepted: u64,
    /// Connections refused, by [`Refused::kind`].
    pub refused: BTreeMap<&'static str, u64>,
    /// Tasks that panicked; each is a bug and ended one connection.
    pub panics: u64,
    /// Media at the door: browsers, WebSockets.
    pub door: Traffic,
    /// Media from and to other nodes.
    pub mesh: Traffic,
}

/// Media payload; no overhead, no retransmission.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Traffic {
    /// Bytes received.
    pub bytes_in: u64,
    /// Bytes sent.
    pub bytes_out: u64,
    /// Frames received.
    pub frames_in: u64,
    /// Frames sent.
    pub frames_out: u64,
    /// Groups received.
    pub groups_in: u64,
    /// Groups sent.
    pub groups_out: u64,
    /// Groups not sent because they had grown older than the subscriber wanted.
    pub groups_stale: u64,
}

const DOOR: &str = "door";
const MESH: &str = "mesh";

/// The counters themselves.
pub(crate) struct Counters {
    accepted: AtomicU64,
    panics: AtomicU64,
    refused: Mutex<BTreeMap<&'static str, u64>>,
    registry: stats::Registry,
}

impl Default for Counters {
    fn default() -> Self {
        Self {
            accepted: AtomicU64::new(0),
            panics: AtomicU64::new(0),
            refused: Mutex::default(),
            registry: stats::Registry::new(stats::Config::new()),
        }
    }
}

impl Counters {
    pub(crate) fn accepted(&self) {
        self.accepted.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn panicked(&self) {
        self.panics.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn refused(&self, why: &Refused) {
        let mut refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        *refused.entry(why.kind()).or_default() += 1;
    }

    /// The media layer's own counters for one connection.
    pub(crate) fn session(&self, transport: Transport) -> stats::Session {
        let tier = match transport {
            Transport::Mesh => MESH,
            Transport::WebTransport | Transport::Quic | Transport::WebSocket => DOOR,
        };
        self.registry.tier(stats::Tier::new(tier)).session("")
    }

    pub(crate) fn read(&self, sessions: usize) -> RelayStats {
        let refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        let mut read = RelayStats {
            sessions,
            accepted: self.accepted.load(Ordering::Relaxed),
            refused: refused.clone(),
            panics: self.panics.load(Ordering::Relaxed),
            ..RelayStats::default()
        };
        for (tier, role, counted) in self.registry.snapshot().traffic() {
            let traffic = match tier.as_str() {
                MESH => &mut read.mesh,
                _ => &mut read.door,
            };
            match role {
                stats::Role::Publisher => {
                    traffic.bytes_out += counted.bytes;
                    traffic.frames_out += counted.frames;
                    traffic.groups_out += counted.groups;
                    traffic.groups_stale += counted.stale.groups;
                }
                stats::Role::Subscriber => {
                    traffic.bytes_in += counted.bytes;
                    traffic.frames_in += counted.frames;
                    traffic.groups_in += counted.groups;
                }
            }
        }
        read
    }
}
