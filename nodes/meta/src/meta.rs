//! The handle everybody uses.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use futures::Stream;
use guitai_host::{Clock, Entropy, random_id};
use guitai_meta_core::State;
use guitai_net::{Calls, Mesh};
use guitai_store::{Snapshots, Wal, wal};
use guitai_types::{
    Member, NodeId, RequestId, UnixMillis, Voice,
    command::{Command, PROPOSAL_VERSION, Proposal, Reply},
    event::Event,
    limits::COMMAND_BYTES_MAX,
};
use openraft::{
    BasicNode, ReadPolicy, SnapshotPolicy,
    async_runtime::WatchReceiver as _,
    errors::{ClientWriteError, InitializeError, RaftError},
};
use serde::de::DeserializeOwned;
use tokio::sync::watch;

use crate::{
    Config, RaftStatus, ReadError, StartError, WriteError,
    directory::Directory,
    duties, events,
    log::LogStore,
    machine::Machine,
    network::Network,
    raft::{Agreed, Raft},
    service::Service,
    transport::{self, OverMesh, Topic, Transport},
    view::View,
    wire::{LeaderReply, Write, parse},
};

/// How long a write is tried before the caller is told that there is no leader, in milliseconds.
pub const WRITE_MS_MAX: u64 = 10_000;
/// How long a linearizable read is tried, in milliseconds.
pub const READ_MS_MAX: u64 = 5_000;
/// One attempt; a leader that lost its quorum would keep a caller waiting for ever, in milliseconds.
const ATTEMPT_MS: u64 = 2_000;
/// Pause between attempts that failed at once, in milliseconds.
const PAUSE_MS: u64 = 20;
/// Log entries left before a snapshot, so that a node that was away for a moment needs no snapshot.
const LOG_KEPT: u64 = 2_000;
/// Entries sent at once.
const ENTRIES_SENT_MAX: u64 = 512;

/// A node's part in the cluster's metadata. Cheap to clone.
#[derive(Clone)]
pub struct Meta(Arc<Inner>);

struct Inner {
    node: Member,
    homes: Vec<NodeId>,
    raft: Raft,
    machine: Machine,
    directory: Directory,
    transport: Arc<dyn Transport>,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    stop: watch::Sender<bool>,
}

impl Meta {
    /// Opens what the node keeps and takes part in consensus. `calls` is the node's router for
    /// `guitai-call/1`; this registers the kinds `meta.*` in it and serves raft on the mesh. The
    /// kinds answer from now on; the node attaches the router to the mesh when all are registered.
    pub async fn start(
        config: Config,
        mesh: &Mesh,
        calls: &Calls,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
    ) -> Result<Self, StartError> {
        let transport = Arc::new(OverMesh(mesh.clone()));
        let (meta, service) = Self::assemble(config, transport, clock, entropy).await?;
        transport::serve(mesh, calls, &service);
        Ok(meta)
    }

    /// As [`Meta::start`], over any transport; the caller brings requests to the service.
    pub(crate) async fn assemble(
        config: Config,
        transport: Arc<dyn Transport>,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
    ) -> Result<(Self, Service), StartError> {
        config.timing.check()?;
        let (wal, _) = Wal::open(config.disk.clone(), wal::Config::new("raft-log"))?;
        let log = LogStore::new(wal);
        let last = log.last().map_err(StartError::Log)?;
        let snapshots = Snapshots::open(config.disk.clone(), "raft-snapshots");
        let snapshots = snapshots.map_err(StartError::Snapshot)?;
        let machine = Machine::open(View::new(config.view.clone()), snapshots, last);
        let machine = machine.map_err(StartError::Snapshot)?;

        let directory = Directory::new(machine.applied.clone(), config.peers.clone());
        let network = Network {
            transport: transport.clone(),
            directory: directory.clone(),
        };
        let settings = Arc::new(settings(&config)?);
        let id = config.node.id.0;
        let raft = Raft::new(id, settings, network, log, machine.clone()).await;
        let raft = raft.map_err(|error| StartError::Raft(error.to_string()))?;
        let (stop, stopped) = watch::channel(false);
        let meta = Self(Arc::new(Inner {
            node: config.node,
            homes: config.homes,
            raft,
            machine,
            directory,
            transport,
            clock,
            entropy,
            stop,
        }));
        tokio::spawn(duties::run(meta.clone(), stopped));
        let service = Service::new(meta.clone());
        Ok((meta, service))
    }

    /// Whether this node already belongs to a cluster (its log is not empty).
    pub async fn is_founded(&self) -> bool {
        self.0.raft.is_initialized().await.unwrap_or(true)
    }

    /// Founds the cluster: makes the voters of `command`, a [`Command::Found`], the membership, and
    /// writes it as the first entry. Called on the voter with the lowest id when its log is empty.
    /// Called again, it only writes, and the core answers `Done` for the same cluster.
    pub async fn found(&self, command: Command) -> Result<Reply, WriteError> {
        let Command::Found { members, .. } = &command else {
            return self.write(command).await;
        };
        let with = |voice| {
            let members = members.iter().filter(move |member| member.voice == voice);
            members.map(|member| (member.id.0, BasicNode::new(&member.name)))
        };
        let voters: BTreeMap<u64, BasicNode> = with(Voice::Voter).collect();
        let learners: Vec<(u64, BasicNode)> = with(Voice::Learner).collect();
        match self.0.raft.initialize(voters).await {
            Ok(()) | Err(RaftError::APIError(InitializeError::NotAllowed(_))) => {}
            Err(error) => return Err(WriteError::Stopped(error.to_string())),
        }
        let reply = self.write(command).await?;
        for (id, node) in learners {
            if let Err(error) = self.0.raft.add_learner(id, node, false).await {
                tracing::warn!(%error, id, "the learner was not added");
            }
        }
        Ok(reply)
    }

    /// Has a command agreed on and answers with what the core said, a refusal included. Any core
    /// node takes it; it goes to the leader, again and again under the same request id while leaders
    /// change, for at most [`WRITE_MS_MAX`].
    pub async fn write(&self, command: Command) -> Result<Reply, WriteError> {
        let request = random_id(self.entropy(), RequestId::from_random);
        let body = Write { request, command };
        let encoded = serde_json::to_vec(&body).unwrap_or_default();
        let bytes = encoded.len();
        if bytes > COMMAND_BYTES_MAX {
            return Err(WriteError::TooLarge { bytes });
        }
        let Write { request, command } = body;
        let tried = self.at_leader(WRITE_MS_MAX, Topic::Write, &encoded, || {
            self.propose_here(request.clone(), &command)
        });
        match tried.await {
            Ok(reply) => Ok(reply),
            Err(Failed::Stopped(why)) => Err(WriteError::Stopped(why)),
            Err(Failed::Late) => Err(WriteError::NoLeader {
                request,
                waited_ms: WRITE_MS_MAX,
            }),
        }
    }

    /// Reads after everything that was acknowledged anywhere before this call: the leader proves
    /// that it leads and says how far the log was; this node waits until it has applied that.
    pub async fn read<T>(&self, look: impl FnOnce(&State) -> T) -> Result<T, ReadError> {
        let late = || ReadError::NoLeader {
            waited_ms: READ_MS_MAX,
        };
        let index = self.at_leader(READ_MS_MAX, Topic::Read, b"{}", || self.read_index_here());
        let index = match index.await {
            Ok(index) => index,
            Err(Failed::Stopped(why)) => return Err(ReadError::Stopped(why)),
            Err(Failed::Late) => return Err(late()),
        };
        let wait = self.0.raft.wait(Some(Duration::from_millis(READ_MS_MAX)));
        let applied = wait.applied_index_at_least(Some(index), "read").await;
        applied.map_err(|_| late())?;
        Ok(self.peek(look))
    }

    /// Reads what this node has applied so far. The look must be short: nothing is applied meanwhile.
    pub fn peek<T>(&self, look: impl FnOnce(&State) -> T) -> T {
        self.0.machine.applied.look(|base| look(&base.state))
    }

    /// Events from number `from` on, those of the past as far as they are kept, then live. A reader
    /// that falls behind what is kept sees a gap in the numbers. Ends at shutdown.
    pub fn events(&self, from: u64) -> impl Stream<Item = Event> + Send + Unpin + use<> {
        events::stream(
            self.0.machine.applied.clone(),
            from,
            self.0.stop.subscribe(),
        )
    }

    /// How consensus stands as this node sees it.
    pub fn status(&self) -> RaftStatus {
        RaftStatus::of(self)
    }

    /// How consensus stands as the leader sees it: only it knows how far every node is. Falls back to
    /// this node's own view when the leader does not answer; `applied` is always this node's.
    pub async fn leader_status(&self) -> RaftStatus {
        let own = self.status();
        let Some(leader) = own.leader.filter(|leader| *leader != self.id()) else {
            return own;
        };
        let asked = self
            .ask(leader, Topic::Status, b"{}".to_vec(), ATTEMPT_MS)
            .await;
        match asked {
            Some(LeaderReply::Done(status)) => RaftStatus {
                applied: own.applied,
                ..status
            },
            Some(LeaderReply::NotLeader) | None => own,
        }
    }

    /// Stops taking part; nothing is applied or written any more when it returns.
    pub async fn shutdown(&self) {
        self.0.stop.send_replace(true);
        if let Err(error) = self.0.raft.shutdown().await {
            tracing::warn!(%error, "consensus did not stop cleanly");
        }
        self.0.machine.view.flush();
    }
}

/// What the other modules of this crate need of it.
impl Meta {
    pub(crate) fn raft(&self) -> &Raft {
        &self.0.raft
    }

    pub(crate) fn directory(&self) -> &Directory {
        &self.0.directory
    }

    pub(crate) fn entropy(&self) -> &dyn Entropy {
        &*self.0.entropy
    }

    pub(crate) fn homes(&self) -> &[NodeId] {
        &self.0.homes
    }

    pub(crate) fn id(&self) -> NodeId {
        self.0.node.id
    }

    /// Process time, for how long things take.
    pub(crate) fn now(&self) -> Duration {
        self.0.clock.monotonic()
    }

    /// Wall time, for what people see.
    pub(crate) fn wall(&self) -> UnixMillis {
        self.0.clock.wall()
    }

    /// Proposes on this node; `None` if it does not lead or lost the lead before the entry was
    /// applied (which may still happen: the request id makes a retry harmless). The leader's clock
    /// is the one that counts, so it is taken here and not where the command came from.
    pub(crate) async fn propose_here(
        &self,
        request: RequestId,
        command: &Command,
    ) -> Option<Reply> {
        let proposal = Proposal {
            v: PROPOSAL_VERSION,
            request,
            at: self.wall(),
            command: command.clone(),
        };
        let written = self.0.raft.client_write(Agreed(proposal));
        let written = tokio::time::timeout(Duration::from_millis(ATTEMPT_MS), written)
            .await
            .ok()?;
        match written {
            Ok(written) => Some(written.data),
            Err(RaftError::APIError(ClientWriteError::ForwardToLeader(_))) => None,
            Err(error) => {
                tracing::debug!(%error, "the proposal was not applied");
                None
            }
        }
    }

    /// The log index a linearizable reader must have applied; `None` if this node cannot prove that
    /// it leads.
    pub(crate) async fn read_index_here(&self) -> Option<u64> {
        let read = self.0.raft.get_read_log_id(ReadPolicy::ReadIndex);
        let read = tokio::time::timeout(Duration::from_millis(ATTEMPT_MS), read)
            .await
            .ok()?;
        read.ok().map(|(read, _applied)| read.index())
    }

    /// Gets something from the leader, whoever it is by now: here if this node leads, else by asking.
    async fn at_leader<T, F>(
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
        let mut metrics = self.0.raft.metrics();
        loop {
            let (leader, running) = {
                let metrics = metrics.borrow_and_update();
                (
                    metrics.current_leader.map(NodeId),
                    metrics.running_state.clone(),
                )
            };
            if let Err(fatal) = running {
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
                while metrics.changed().await.is_ok() {
                    let present = metrics.borrow_watched().current_leader.map(NodeId);
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

    async fn ask<T: DeserializeOwned>(
        &self,
        node: NodeId,
        topic: Topic,
        request: Vec<u8>,
        within_ms: u64,
    ) -> Option<T> {
        let member = self.0.directory.by_id(node)?;
        let within = Duration::from_millis(within_ms);
        let answer = self.0.transport.ask(&member, topic, request, within).await;
        let answer = answer
            .inspect_err(|error| tracing::debug!(%error, "not answered"))
            .ok()?;
        parse(&answer)
    }
}

/// Why nothing came from the leader.
enum Failed {
    Late,
    Stopped(String),
}

fn settings(config: &Config) -> Result<openraft::Config, StartError> {
    let settings = openraft::Config {
        cluster_name: "guitai".to_owned(),
        heartbeat_interval: config.timing.heartbeat_ms,
        election_timeout_min: config.timing.election_min_ms,
        election_timeout_max: config.timing.election_max_ms,
        enable_pre_vote: Some(true),
        // A restarted leader must be elected again: it may have lost entries that it had sent before
        // they were durable here, and it does not know exactly what was committed, so going on in
        // the old term could give two contents to one log id, or an old answer to a read.
        enable_leader_restore: Some(false),
        max_payload_entries: ENTRIES_SENT_MAX,
        snapshot_policy: SnapshotPolicy::LogsSinceLast(config.snapshot_every),
        max_in_snapshot_log_to_keep: LOG_KEPT.min(config.snapshot_every),
        ..openraft::Config::default()
    };
    settings
        .validate()
        .map_err(|error| StartError::Timing(error.to_string()))
}
