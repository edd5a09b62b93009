//! Getting something from the leader, whoever that is by now.

use std::time::Duration;

use guitai_types::{
    Hex, NodeId, RequestId,
    command::{Command, PROPOSAL_VERSION, Proposal, Reply},
    sync::WriteClass,
    tlog::SALT_BYTES,
};
use openraft::{
    ReadPolicy, ServerState, async_runtime::WatchReceiver as _, vote::RaftLeaderId as _,
};
use serde::de::DeserializeOwned;

use crate::{
    meta::Meta,
    raft::LogId,
    transport::Topic,
    wire::{LeaderReply, parse},
};

/// One attempt; a leader that lost its quorum would keep a caller waiting for ever, in milliseconds.
pub(crate) const ATTEMPT_MS: u64 = 2_000;
/// Pause between attempts that failed at once, in milliseconds.
const PAUSE_MS: u64 = 20;

impl Meta {
    /// Proposes on this node and answers when the command's class allows it; `None` if this node does
    /// not lead, lost the lead before that, or no guard has taken a sync write in time (it may still
    /// happen: the request id makes a retry harmless).
    pub(crate) async fn propose_here(
        &self,
        request: RequestId,
        command: &Command,
    ) -> Option<Reply> {
        let (reply, log) = self.apply_here(request, command).await?;
        if command.class() == WriteClass::Sync {
            let guarded = self.is_guarded(&log);
            let guarded = tokio::time::timeout(Duration::from_millis(ATTEMPT_MS), guarded).await;
            guarded.ok()?;
        }
        Some(reply)
    }

    /// Proposes on this node and gives the reply once it is applied. Nobody may be told it: a sync
    /// write may not be where it must be yet. The leader's clock is the one that counts, so it is
    /// taken here and not where the command came from.
    pub(crate) async fn apply_here(
        &self,
        request: RequestId,
        command: &Command,
    ) -> Option<(Reply, LogId)> {
        // After a takeover nothing is agreed on before its epoch is: a token of the old one would be
        // void a moment later.
        let lineage = self.lineage();
        let due = matches!(command, Command::RaiseEpoch { .. } | Command::Found { .. });
        let early = !due && self.peek(|state| Some(state.epoch()) < lineage.epoch());
        if lineage.is_quarantined() || early {
            return None;
        }
        let applied = self
            .proposals()
            .propose(self.proposal(request, command.clone()));
        let applied = tokio::time::timeout(Duration::from_millis(ATTEMPT_MS), applied)
            .await
            .ok()?;
        applied
            .inspect_err(|error| tracing::error!(%error, "a proposal has no JSON"))
            .ok()?
    }

    /// A command as it is proposed here and now.
    pub(crate) fn proposal(&self, request: RequestId, command: Command) -> Proposal {
        Proposal {
            v: PROPOSAL_VERSION,
            request,
            at: self.wall(),
            salt: self.salt(&command),
            command,
        }
    }

    /// Chance for a command that may be logged for everybody to see.
    fn salt(&self, command: &Command) -> Option<Hex> {
        let mut salt = vec![0; SALT_BYTES];
        command.is_logged().then(|| {
            self.entropy().fill(&mut salt);
            Hex(salt)
        })
    }

    /// The log index a linearizable reader must have applied; `None` if this node cannot prove that
    /// it leads.
    pub(crate) async fn read_index_here(&self) -> Option<u64> {
        if self.lineage().is_quarantined() {
            return None;
        }
        let read = self.raft().get_read_log_id(ReadPolicy::ReadIndex);
        let read = tokio::time::timeout(Duration::from_millis(ATTEMPT_MS), read)
            .await
            .ok()?;
        read.ok().map(|(read, _applied)| read.index())
    }

    /// Gets something from the leader, whoever it is by now: here if this node leads, else by asking.
    pub(crate) async fn at_leader<T, F>(
        &self,
        within_ms: u64,
        topic: Topic,
        request: &[u8],
        here: impl Fn() -> F,
    ) -> Result<T, Failed>
    where
        T: DeserializeOwned,
        F: Future<Output = Option<T>>,
    {
        let deadline = self.now() + Duration::from_millis(within_ms);
        let metrics = self.raft().metrics();
        // Of who leads alone: what says how far the log is changes with every entry, and would wake every writer.
        let mut server = self.raft().server_metrics();
        loop {
            if let Some(quarantine) = self.lineage().quarantine() {
                return Err(Failed::Quarantined(quarantine.heard));
            }
            let leader = server.borrow_and_update().current_leader.map(NodeId);
            if let Err(fatal) = &metrics.borrow_watched().running_state {
                return Err(Failed::Stopped(fatal.to_string()));
            }
            let attempt = async {
                match leader {
                    Some(leader) if leader == self.id() => here().await,
                    Some(leader) => {
                        let reply = self.ask(leader, topic, request.to_vec(), ATTEMPT_MS).await;
                        reply.and_then(|reply| match reply {
                            LeaderReply::Done(reply) => Some(reply),
                            LeaderReply::NotLeader => None,
                        })
                    }
                    None => None,
                }
            };
            let left = deadline.saturating_sub(self.now());
            if left.is_zero() {
                return Err(Failed::Late);
            }
            // When another leader is known, there is no sense in waiting for the old one.
            let moved = async {
                while server.changed().await.is_ok() {
                    let present = server.borrow_watched().current_leader.map(NodeId);
                    if present.is_some() && present != leader {
                        return;
                    }
                }
                // Consensus has stopped; the attempt fails by itself.
                std::future::pending::<()>().await;
            };
            tokio::select! {
                biased;
                got = attempt => if let Some(got) = got { return Ok(got) },
                () = moved => continue,
                () = tokio::time::sleep(left) => return Err(Failed::Late),
            }
            tokio::time::sleep(Duration::from_millis(PAUSE_MS)).await;
        }
    }

    /// The term, if this node leads.
    pub(crate) fn leading(&self) -> Option<u64> {
        // A vote read from the disk says "leader" of a node that was one before its restart.
        let leads = self.raft().metrics().borrow_watched().state == ServerState::Leader;
        let leader = self.raft().as_leader().ok().filter(|_| leads)?;
        Some(leader.leader_id().term())
    }

    pub(crate) async fn ask<T: DeserializeOwned>(
        &self,
        node: NodeId,
        topic: Topic,
        request: Vec<u8>,
        within_ms: u64,
    ) -> Option<T> {
        let member = self.directory().by_id(node)?;
        let within = Duration::from_millis(within_ms);
        let answer = self.transport().ask(&member, topic, request, within).await;
        let answer = answer
            .inspect_err(|error| tracing::debug!(%error, "not answered"))
            .ok()?;
        parse(&answer)
    }
}

/// Why nothing came from the leader.
pub(crate) enum Failed {
    Late,
    Quarantined(guitai_types::Epoch),
    Stopped(String),
}
