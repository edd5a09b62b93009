//! The handle everybody uses.

use std::{collections::BTreeMap, path::PathBuf, sync::Arc, time::Duration};

use futures::Stream;
use guitai_host::{Clock, Entropy, random_id};
use guitai_meta_core::{Hearing, State};
use guitai_net::{Calls, Mesh};
use guitai_store::{OpenWalError, Wal};
use guitai_types::{
    Member, NodeId, NodeName, RequestId, UnixMillis, Voice,
    command::{Command, Reply},
    event::Event,
    limits::COMMAND_BYTES_MAX,
    lineage::EPOCH_FIRST,
};
use openraft::{
    BasicNode,
    async_runtime::WatchReceiver as _,
    errors::{InitializeError, RaftError},
};
use tokio::sync::watch;

use crate::{
    Config, RaftStatus, ReadError, Seal, StartError, WriteError,
    applied::Applied,
    directory::Directory,
    duties, events,
    fence::Fence,
    leader::{ATTEMPT_MS, Failed},
    lease::{self, Lease},
    lineage::Lineage,
    log::LogStore,
    machine::Machine,
    network::Network,
    proposals::{self, Proposals},
    raft::{LogId, Raft},
    runtime,
    service::Service,
    storage, succession, takeover,
    tlog::{self, Files, Watch},
    transport::{self, OverMesh, Topic, Transport},
    view,
    wire::{LeaderReply, Write},
};

/// How long a write is tried before the caller is told that there is no leader, in milliseconds.
pub const WRITE_MS_MAX: u64 = 10_000;
/// How long a linearizable read is tried, in milliseconds.
pub const READ_MS_MAX: u64 = 5_000;
/// A node's part in the cluster's metadata. Cheap to clone.
#[derive(Clone)]
pub struct Meta(Arc<Inner>);

struct Inner {
    node: Member,
    homes: Vec<NodeId>,
    replace_after: Option<Duration>,
    lease: Lease,
    seal: Option<Seal>,
    /// The witness of this node's centre, where this node is it.
    watch: Option<Watch>,
    raft: Raft,
    proposals: Proposals,
    log: LogStore,
    machine: Machine,
    lineage: Lineage,
    directory: Directory,
    transport: Arc<dyn Transport>,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    stop: watch::Sender<bool>,
    /// What this node hears of recorders while it leads.
    hearing: watch::Sender<Option<Hearing>>,
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
        let open_log = storage::open_log(config.disk.clone());
        Self::assemble_on(open_log, config, transport, clock, entropy).await
    }

    /// As [`Meta::assemble`], on a log that the caller opens in the directory it is given.
    pub(crate) async fn assemble_on(
        open_log: impl FnOnce(PathBuf) -> Result<Wal, OpenWalError> + Send,
        config: Config,
        transport: Arc<dyn Transport>,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
    ) -> Result<(Self, Service), StartError> {
        let lineage = Lineage::open(config.disk.clone()).map_err(StartError::Lineage)?;
        takeover::rebuild(&config, &lineage)?;
        let (log, machine) = storage::open(&config, lineage.generation(), open_log)?;
        let is_empty = {
            let (log, applied) = (log.clone(), machine.applied.clone());
            move || matches!(log.last(), Ok(None)) && applied.look(|base| base.last.is_none())
        };
        if !is_empty() {
            let epoch = machine.applied.look(|base| base.state.epoch());
            lineage.settle(epoch).map_err(StartError::Lineage)?;
        }
        lineage.know_emptiness(is_empty);
        let transport: Arc<dyn Transport> = Arc::new(Fence {
            inner: transport,
            lineage: lineage.clone(),
            clock: clock.clone(),
        });

        let directory = Directory::new(machine.applied.clone(), config.peers.clone());
        let network = Network {
            transport: transport.clone(),
            directory: directory.clone(),
        };
        let settings = Arc::new(config.settings()?);
        let id = config.node.id.0;
        let raft = Raft::new(id, settings, network, log.clone(), machine.clone()).await;
        let raft = raft.map_err(|error| StartError::Raft(error.to_string()))?;
        raft.runtime_config().tick(!lineage.is_quarantined());
        let (stop, stopped) = watch::channel(false);
        let signer = config.log.as_ref().and_then(|keys| keys.witness.clone());
        let watch = signer.map(|signer| Watch::open(signer, config.disk.clone()));
        let watch = watch.transpose().map_err(StartError::Witness)?;
        let lease = Lease::open(
            config.node.id,
            config.guards,
            config.sync_lease,
            config.disk,
            &*entropy,
        );
        let (proposals, queue) = Proposals::new();
        runtime::spawn(proposals::run(raft.clone(), queue, stopped.clone()));
        let meta = Self(Arc::new(Inner {
            node: config.node,
            homes: config.homes,
            replace_after: config.replace_after,
            lease,
            seal: config.seal,
            watch,
            raft,
            proposals,
            log,
            machine,
            lineage,
            directory,
            transport,
            clock,
            entropy,
            stop,
            hearing: watch::Sender::new(None),
        }));
        runtime::spawn(duties::run(meta.clone(), stopped.clone()));
        runtime::spawn(lease::run(meta.clone(), stopped.clone()));
        runtime::spawn(lease::follow(meta.clone(), stopped.clone()));
        runtime::spawn(lease::keep(meta.clone(), stopped.clone()));
        runtime::spawn(view::keep(meta.0.machine.clone(), stopped.clone()));
        if let Some(keys) = config.log {
            runtime::spawn(tlog::publish(meta.clone(), keys, stopped.clone()));
        }
        runtime::spawn(tlog::fetch(meta.clone(), stopped.clone()));
        runtime::spawn(succession::run(meta.clone(), stopped));
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
        // A node that left an old lineage is empty and founds nothing: it is taken in.
        if self.lineage().generation() > 0 {
            return self.write(command).await;
        }
        let founded = self.lineage().settle(EPOCH_FIRST);
        founded.map_err(|error| WriteError::Stopped(error.to_string()))?;
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
            Err(Failed::Quarantined(heard)) => Err(WriteError::Quarantined { heard }),
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
            Err(Failed::Quarantined(heard)) => return Err(ReadError::Quarantined { heard }),
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
        // One that nobody heard of for seconds is not waited for: a takeover is planned meanwhile.
        let Some(leader) = self.leader_heard().filter(|leader| *leader != self.id()) else {
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

    /// Resolves when consensus cannot go on here, with the reason: a disk that fails, above all. What
    /// was acknowledged stays true, and what this node would say from now on could not be: its process
    /// must end, and start anew from what is durable. At shutdown it resolves too.
    pub async fn failed(&self) -> String {
        let mut metrics = self.0.raft.metrics();
        loop {
            if let Err(fatal) = &metrics.borrow_and_update().running_state {
                return fatal.to_string();
            }
            if metrics.changed().await.is_err() {
                return "consensus is gone".to_owned();
            }
        }
    }

    /// Which recorders this node hears of, as long as it leads; `None` while it does not.
    pub fn hearing(&self) -> watch::Receiver<Option<Hearing>> {
        self.0.hearing.subscribe()
    }

    /// Stops taking part; nothing is applied or written any more when it returns. A guard gives its
    /// promise back first, so that no sync write waits for it.
    pub async fn shutdown(&self) {
        self.release().await;
        self.0.stop.send_replace(true);
        if let Err(error) = self.0.raft.shutdown().await {
            tracing::warn!(%error, "consensus did not stop cleanly");
        }
        let Machine { view, applied, .. } = &self.0.machine;
        view.write(applied);
        view.flush();
    }
}

/// What the other modules of this crate need of it.
impl Meta {
    pub(crate) fn raft(&self) -> &Raft {
        &self.0.raft
    }

    pub(crate) fn proposals(&self) -> &Proposals {
        &self.0.proposals
    }

    pub(crate) fn lease(&self) -> &Lease {
        &self.0.lease
    }

    pub(crate) fn hears(&self, hearing: Option<Hearing>) {
        self.0.hearing.send_if_modified(|present| {
            let is_news = *present != hearing;
            *present = hearing;
            is_news
        });
    }

    pub(crate) fn applied(&self) -> &Applied {
        &self.0.machine.applied
    }

    #[cfg(feature = "sim")]
    pub(crate) fn applied_base<T>(&self, look: impl FnOnce(&crate::applied::Base) -> T) -> T {
        self.0.machine.applied.look(look)
    }

    pub(crate) fn directory(&self) -> &Directory {
        &self.0.directory
    }

    pub(crate) fn transport(&self) -> &dyn Transport {
        &*self.0.transport
    }

    pub(crate) fn lineage(&self) -> &Lineage {
        &self.0.lineage
    }

    pub(crate) fn clock(&self) -> &dyn Clock {
        &*self.0.clock
    }

    pub(crate) fn name(&self) -> &NodeName {
        &self.0.node.name
    }

    pub(crate) fn watch(&self) -> Option<&Watch> {
        self.0.watch.as_ref()
    }

    /// Full parts of the transparency log.
    pub(crate) fn log_files(&self) -> &Files {
        &self.0.machine.files
    }

    pub(crate) fn log(&self) -> &LogStore {
        &self.0.log
    }

    pub(crate) fn seal(&self) -> Option<&Seal> {
        self.0.seal.as_ref()
    }

    /// The last entry, in the log or, when that was emptied, in the state.
    pub(crate) fn log_last(&self) -> std::io::Result<Option<LogId>> {
        let applied = self.0.machine.applied.look(|base| base.last);
        Ok(self.0.log.last()?.max(applied))
    }

    pub(crate) fn entropy(&self) -> &dyn Entropy {
        &*self.0.entropy
    }

    pub(crate) fn homes(&self) -> &[NodeId] {
        &self.0.homes
    }

    pub(crate) fn replace_after(&self) -> Option<Duration> {
        self.0.replace_after
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
}
