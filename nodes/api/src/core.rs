//! The inner door: staff ask, the metadata answers.

mod account;
mod audit;
mod cluster;
mod desk;
mod dr;
mod films;
mod flows;
mod keeping;
mod lineage;
mod marks;
mod numbers;
mod package;
mod search;
mod session;
mod tlog;
mod view;

use std::{sync::Arc, time::Duration};

use axum::{Router, http::HeaderMap};
use futures::{FutureExt as _, future::BoxFuture};
use guitai_crypto::x509::Identity;
use guitai_dr::Recovery;
use guitai_flowlog::FlowLog;
use guitai_host::{Clock, Entropy};
use guitai_meta::{Meta, State};
use guitai_net::Mesh;
use guitai_recorder::Recorder;
use guitai_relay::{
    Relay,
    guard::Tunnels,
    token::{Signer, Verifier},
};
use guitai_types::{
    Code, Epoch, Member, NodeName, Role, UnixMillis,
    claims::{Claims, Grant},
    command::{Command, Reply},
    inventory::CryptoPolicy,
    limits::TOKEN_LIFE_MS,
    view::{DoorView, DoorsView},
};
use utoipa_axum::router::OpenApiRouter;

pub use self::{
    account::{LoggedIn, Login},
    cluster::HEARD_MS_MAX,
    desk::SetPresence,
    flows::FlowJudge,
    package::PACKAGES_MAX,
    session::{AddStep, SESSIONS_LISTED_MAX, Transfer},
};
use crate::{
    between,
    door::{self, DoorSource, Doorway},
    doors::{DoorList, Doors},
    gate::{Gate, StaffBearer},
    inventory::{
        FlowsSource, InventorySource, KeysSource, MeasureSource, PassedSource, SandboxSource,
    },
    layers,
    login::Logins,
    messages::Exchange,
    metrics::Metrics,
    openapi, pages,
    problem::Refusal,
    streams::Streams,
};

/// How often it is looked whether a leader is still heard, in milliseconds, while an operator waits for one.
const SILENCE_LOOK_MS: u64 = 100;

/// What an inner node's door needs.
pub struct CoreDeps {
    /// This node.
    pub member: Member,
    /// The cluster's metadata.
    pub meta: Meta,
    /// The other nodes.
    pub mesh: Mesh,
    /// The media relay, on a node with that role.
    pub relay: Option<Relay>,
    /// The recorder, on a node with that role.
    pub recorder: Option<Recorder>,
    /// Makes tokens.
    pub signer: Arc<Signer>,
    /// Checks them.
    pub verifier: Verifier,
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// Chance, for session ids and media keys.
    pub entropy: Arc<dyn Entropy>,
    /// This node's own door.
    pub door: DoorSource,
    /// The doors of the cluster, kept by [`Doors::keep`].
    pub doors: Doors,
    /// The tunnels to the edges.
    pub tunnels: Tunnels,
    /// What this node says of its own cryptography.
    pub inventory: InventorySource,
    /// What this node says of the keys it holds.
    pub keys: KeysSource,
    /// What this node says of the connections it saw.
    pub connections: FlowsSource,
    /// What all nodes saw, kept by the minute.
    pub flow_log: FlowLog,
    /// What this node's relay counted of one session, where it has one.
    pub passed: Option<PassedSource>,
    /// What this node says it was started from.
    pub measure: MeasureSource,
    /// What this node says of its sandbox.
    pub sandbox: SandboxSource,
    /// What the deployment demands of every node's.
    pub policy: CryptoPolicy,
    /// Plans and runs of disaster recovery.
    pub recovery: Recovery,
    /// Says what is wrong with a flow matrix.
    pub judge: FlowJudge,
    /// This node's certificates and key: signs reports.
    pub identity: Identity,
    /// The root that they lead to, DER.
    pub root: Vec<u8>,
    /// What the parties of calls say to each other.
    pub exchange: Exchange,
}

pub(crate) struct Core {
    member: Member,
    meta: Meta,
    mesh: Mesh,
    relay: Option<Relay>,
    recorder: Option<Recorder>,
    signer: Arc<Signer>,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    door: DoorSource,
    tunnels: Tunnels,
    inventory: InventorySource,
    keys: KeysSource,
    connections: FlowsSource,
    flow_log: FlowLog,
    passed: Option<PassedSource>,
    measure: MeasureSource,
    sandbox: SandboxSource,
    policy: CryptoPolicy,
    recovery: Recovery,
    judge: FlowJudge,
    identity: Identity,
    root: Vec<u8>,
    exchange: Exchange,
    gate: Gate,
    logins: Logins,
    streams: Streams,
    doors: DoorList,
    /// What is known of the other doors.
    known: Doors,
}

pub(crate) type CoreState = Arc<Core>;

/// Routes of an inner node.
pub fn core_router(deps: CoreDeps) -> Router {
    let CoreDeps {
        member,
        meta,
        mesh,
        relay,
        recorder,
        signer,
        verifier,
        clock,
        entropy,
        door,
        doors,
        tunnels,
        inventory,
        keys,
        connections,
        flow_log,
        passed,
        measure,
        sandbox,
        policy,
        recovery,
        judge,
        identity,
        root,
        exchange,
    } = deps;
    let epochs = meta.clone();
    let epoch = Box::new(move || epochs.peek(State::epoch));
    let gate = Gate {
        verifier,
        clock: clock.clone(),
        epoch,
    };
    let logins = Logins::new(clock.clone());
    let streams = Streams::default();
    let known = doors.clone();
    let doors = DoorList {
        node: member.name.clone(),
        doors: doors.inner(),
    };
    let core = Arc::new(Core {
        member,
        meta,
        mesh,
        relay,
        recorder,
        signer,
        clock: clock.clone(),
        entropy,
        door,
        tunnels,
        inventory,
        keys,
        connections,
        flow_log,
        passed,
        measure,
        sandbox,
        policy,
        recovery,
        judge,
        identity,
        root,
        exchange,
        gate,
        logins,
        streams,
        doors: doors.clone(),
        known,
    });
    let (staff, _) = routes().split_for_parts();
    let (common, _) = door::routes().split_for_parts();
    let (files, _) = session::file_routes().split_for_parts();
    let files = files.with_state(core.clone());
    let router = staff
        .with_state(core.clone())
        .merge(common.with_state(core))
        .merge(openapi::route())
        .merge(pages::staff(&doors));
    layers::wrap(router, files, clock, Arc::new(doors))
}

/// The documented routes.
pub(crate) fn routes() -> OpenApiRouter<CoreState> {
    OpenApiRouter::new()
        .merge(account::routes())
        .merge(desk::routes())
        .merge(session::routes())
        .merge(package::routes())
        .merge(keeping::routes())
        .merge(films::routes())
        .merge(cluster::routes())
        .merge(dr::routes())
        .merge(lineage::routes())
        .merge(marks::routes())
        .merge(tlog::routes())
        .merge(flows::routes())
        .merge(audit::routes())
}

/// Those whose bodies are files.
pub(crate) fn file_routes() -> OpenApiRouter<CoreState> {
    session::file_routes()
}

impl Core {
    /// The logged-in bearer, with the duties the account has now: one that was taken away since the login
    /// is gone at once, and so is a removed account.
    fn staff(&self, headers: &HeaderMap) -> Result<StaffBearer, Refusal> {
        let mut bearer = self.gate.staff(headers)?;
        let now = self
            .meta
            .peek(|state| state.staff(&bearer.staff).map(|staff| staff.duties.clone()))
            .ok_or_else(|| Refusal::new(Code::BadToken, "the account does not exist any more"))?;
        bearer.duties.retain(|duty| now.contains(duty));
        Ok(bearer)
    }

    /// Has a command agreed on; a refusal by the core becomes ours.
    async fn write(&self, command: Command) -> Result<Reply, Refusal> {
        match self.meta.write(command).await {
            Ok(Reply::Refused { problem }) => Err(Refusal(problem)),
            Ok(reply) => Ok(reply),
            Err(error) => Err(Refusal(error.problem())),
        }
    }

    /// Looks after everything that was acknowledged before.
    async fn read<T>(&self, look: impl FnOnce(&State) -> T) -> Result<T, Refusal> {
        self.meta
            .read(look)
            .await
            .map_err(|error| Refusal(error.problem()))
    }

    /// As [`Core::read`], or, when no leader answers or none is heard any more, what this node has applied.
    async fn read_or_here<T>(&self, look: impl Fn(&State) -> T) -> T {
        let silence = async {
            while self.meta.leader_heard().is_some() {
                tokio::time::sleep(Duration::from_millis(SILENCE_LOOK_MS)).await;
            }
        };
        let read = tokio::select! {
            biased;
            read = self.read(&look) => read.ok(),
            () = silence => None,
        };
        read.unwrap_or_else(|| self.meta.peek(&look))
    }

    /// Makes tokens for views, in the epoch of the state they are made from.
    fn issue(&self, epoch: Epoch) -> impl Fn(&Grant) -> String {
        issue(&self.signer, self.clock.wall(), epoch)
    }
}

/// Makes tokens that live for [`TOKEN_LIFE_MS`].
pub(crate) fn issue(signer: &Signer, now: UnixMillis, epoch: Epoch) -> impl Fn(&Grant) -> String {
    move |grant| {
        let grant = grant.clone();
        signer.sign(&Claims {
            v: 1,
            expires_at: now.plus(TOKEN_LIFE_MS),
            epoch,
            grant,
        })
    }
}

impl Doorway for Core {
    fn node(&self) -> NodeName {
        self.member.name.clone()
    }

    fn fit(&self) -> Result<(), Refusal> {
        if self.meta.status().leader.is_none() {
            return Err(Refusal::new(Code::NoLeader, "this node knows no leader"));
        }
        if !self.relay.as_ref().is_none_or(Relay::accepts_new) {
            let detail = "no leader has let this node's relay take new calls for some seconds";
            return Err(Refusal::new(Code::NoPermit, detail));
        }
        Ok(())
    }

    /// A node without relay names one that has it, in its own centre if possible.
    fn media_door(&self) -> BoxFuture<'_, Result<DoorView, Refusal>> {
        async move {
            if self.relay.is_some() {
                return Ok((self.door)());
            }
            let mut relays: Vec<Member> = self.meta.peek(|state| {
                let relays = state.members().filter(|member| member.has(Role::Relay));
                relays
                    .filter(|member| member.zone == self.member.zone)
                    .cloned()
                    .collect()
            });
            relays.sort_by_key(|member| (member.centre != self.member.centre, member.id));
            for relay in &relays {
                match between::ask_door(&self.mesh, relay).await {
                    Ok(door) => return Ok(door),
                    Err(error) => tracing::debug!(node = %relay.name, %error, "no door from it"),
                }
            }
            Err(Refusal::new(Code::NoLeader, "no relay inside answers"))
        }
        .boxed()
    }

    fn doors(&self) -> DoorsView {
        self.doors.view()
    }

    fn relay(&self) -> Option<&Relay> {
        self.relay.as_ref()
    }

    fn metrics(&self) -> Metrics {
        numbers::of(self)
    }
}
