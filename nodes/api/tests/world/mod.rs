//! One core node and one edge on loopback, with everything real but the disk and the recorder.

use std::{
    str::FromStr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use axum::{Router, body::Body, extract::Request};
use futures::{FutureExt as _, StreamExt as _, TryFutureExt as _, future::BoxFuture};
use guitai_api::{
    CoreDeps, CoreDesk, DoorSource, Doors, DoorsDeps, EdgeDeps, Exchange, FlowsSource,
    InventorySource, KeysSource, MeasureSource, Rules, SandboxSource, Shelves, core_router,
    draw_and_wrap, edge_router, follow_recorders, register_door, register_inventory,
    register_measures, register_sandbox,
};
use guitai_crypto::password;
use guitai_crypto::{
    sm2::SecretKey,
    sm3,
    x509::{Authority, Identity, Subject, Usage},
};
use guitai_dr::Recovery;
use guitai_flowlog::FlowLog;
use guitai_host::{Clock, MemoryKv, SimDisk, SystemClock, SystemEntropy};
use guitai_meta::{Config, Meta};
use guitai_net::{Calls, Mesh, Peer, TUNNEL_ALPN, Target};
use guitai_recorder::Letter;
use guitai_relay::{
    Limits, Relay,
    guard::{self, AnyKind, Guard, OrderSink, Tunnels, ViewStream},
    token::Signer,
};
use guitai_types::{
    Centre, City, Epoch, Hex, Member, MessageId, NodeId, NodeName, Problem, Role, SessionId,
    StaffRef, TicketId, UnixMillis, Voice, Zone,
    attest::{MeasuredFile, MeasuredKind, NodeMeasure},
    command::{Command, RecordingReport},
    control::{Answer as Answered, Ask},
    flows::FlowPlan,
    inventory::{CryptoPolicy, NodeInventory},
    keys::{KeyLayer, KeyRow, NodeKeys},
    message::{Action, Message, MessageRules, Pattern},
    observed::{FlowStanding, NodeFlows, SeenSocket},
    place::Text,
    profile::Raft,
    record::{Branch, Duty, Institution, Participant, Policy, Queue, Staff, Step},
    sandbox::{NodeSandbox, SandboxMode},
    view::DoorView,
};
use serde_json::{Value, json};
use tower::ServiceExt as _;

pub(crate) type Outcome<T = ()> = Result<T, Box<dyn std::error::Error>>;

const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) struct World {
    meta: Meta,
    core: Router,
    edge: Router,
    other_edge: Router,
    recorder: SecretKey,
    crossed: Crossed,
    pub(crate) shelves: Arc<Memory>,
    _tunnels: Tunnels,
}

/// What a door answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub status: u16,
    pub headers: http::HeaderMap,
    pub body: Value,
}

/// An edge that no inner node has dialled.
pub(crate) struct LonelyEdge(Router);

/// Everything that crossed the guard, as it is written.
type Crossed = Arc<Mutex<Vec<String>>>;

/// The core's side of the guard, with somebody who reads along.
struct Tap {
    desk: CoreDesk,
    crossed: Crossed,
}

fn note(crossed: &Crossed, message: &impl serde::Serialize) {
    let text = serde_json::to_string(message).expect("a message of ours has a JSON form");
    crossed.lock().expect("nobody panics with it").push(text);
}

impl guard::Core for Tap {
    fn handle(&self, ask: Ask, edge: Peer) -> BoxFuture<'_, Answered> {
        note(&self.crossed, &ask);
        let answered = guard::Core::handle(&self.desk, ask, edge);
        answered
            .inspect(|answer| note(&self.crossed, answer))
            .boxed()
    }

    fn take_file(&self, ask: Ask, file: Vec<u8>, edge: Peer) -> BoxFuture<'_, Answered> {
        note(&self.crossed, &ask);
        guard::Core::take_file(&self.desk, ask, file, edge)
    }

    fn give_file(&self, ask: Ask, edge: Peer) -> BoxFuture<'_, (Answered, Vec<u8>)> {
        note(&self.crossed, &ask);
        guard::Core::give_file(&self.desk, ask, edge)
    }

    fn watch(&self, ticket: TicketId, edge: Peer) -> BoxFuture<'_, Result<ViewStream, Problem>> {
        let crossed = self.crossed.clone();
        let watching = guard::Core::watch(&self.desk, ticket, edge);
        watching
            .map_ok(move |views| views.inspect(move |view| note(&crossed, view)).boxed())
            .boxed()
    }

    fn epoch(&self) -> Epoch {
        guard::Core::epoch(&self.desk)
    }
}

/// Recorders that keep messages in memory; what lies there is what a recorder would have sealed.
#[derive(Default)]
pub(crate) struct Memory {
    kept: Mutex<Vec<(SessionId, Message, Vec<u8>)>>,
    /// None of them takes anything.
    pub(crate) is_full: AtomicBool,
}

impl Shelves for Memory {
    fn keep<'a>(
        &'a self,
        nodes: &'a [NodeName],
        letter: &'a Letter,
        file: &'a [u8],
    ) -> BoxFuture<'a, u32> {
        if self.is_full.load(Ordering::Relaxed) {
            return std::future::ready(0).boxed();
        }
        let kept = (
            letter.session.clone(),
            letter.message.clone(),
            file.to_vec(),
        );
        self.kept.lock().expect("nobody panics with it").push(kept);
        std::future::ready(u32::try_from(nodes.len()).unwrap_or(u32::MAX)).boxed()
    }

    fn messages<'a>(
        &'a self,
        _: &'a [NodeName],
        session: &'a SessionId,
        ids: &'a [MessageId],
    ) -> BoxFuture<'a, Vec<Message>> {
        let kept = self.kept.lock().expect("nobody panics with it");
        let wanted = kept
            .iter()
            .filter(|(of, it, _)| of == session && ids.contains(&it.id));
        let messages = wanted.map(|(_, message, _)| message.clone()).collect();
        std::future::ready(messages).boxed()
    }

    fn file<'a>(
        &'a self,
        _: &'a [NodeName],
        session: &'a SessionId,
        id: &'a MessageId,
    ) -> BoxFuture<'a, Option<Vec<u8>>> {
        let kept = self.kept.lock().expect("nobody panics with it");
        let mut found = kept
            .iter()
            .filter(|(of, it, _)| of == session && it.id == *id);
        let file = found.next().map(|(_, _, file)| file.clone());
        std::future::ready(file).boxed()
    }
}

struct NoOrders;

impl OrderSink for NoOrders {
    fn end_session(&self, _: SessionId) {}
    fn revoke_ticket(&self, _: TicketId) {}
    fn set_epoch(&self, _: Epoch) {}
}

/// A node that says nothing of itself but who it is.
fn inventory(member: &Member) -> InventorySource {
    let (node, zone) = (member.name.clone(), member.zone);
    Arc::new(move || NodeInventory {
        node: node.clone(),
        zone,
        version: guitai_api::VERSION.to_owned(),
        module: Text::default(),
        kernels: Vec::new(),
        selftest: (1, 1),
        certificates: Vec::new(),
        hops: Vec::new(),
        stores: Vec::new(),
    })
}

/// A node that was started from one file.
fn measure(member: &Member) -> MeasureSource {
    let (node, zone) = (member.name.clone(), member.zone);
    Arc::new(move || NodeMeasure {
        node: node.clone(),
        zone,
        version: "1".to_owned(),
        since: UnixMillis(1),
        matrix: Hex(vec![1; 32]),
        files: Some(vec![MeasuredFile {
            kind: MeasuredKind::Program,
            path: "/opt/guitai".to_owned(),
            bytes: 1,
            sm3: Some(Hex(vec![2; 32])),
            why: None,
        }]),
    })
}

/// A node that is held by nothing.
fn sandbox(member: &Member) -> SandboxSource {
    let (node, zone) = (member.name.clone(), member.zone);
    Arc::new(move || NodeSandbox {
        node: node.clone(),
        zone,
        mode: SandboxMode::Off,
        rows: Vec::new(),
        written: Vec::new(),
    })
}

/// A node with one key.
fn keys(member: &Member) -> KeysSource {
    let (node, zone) = (member.name.clone(), member.zone);
    Arc::new(move || NodeKeys {
        node: node.clone(),
        zone,
        verified: true,
        why: None,
        rotation_unfinished: false,
        keys: vec![KeyRow {
            node: node.clone(),
            key: "root".to_owned(),
            layer: KeyLayer::Root,
            id: None,
            generation: Some(1),
            created_unix: None,
            algorithm: "SM4-GCM".to_owned(),
            national: true,
            lives: "keys/root".to_owned(),
            under: "passphrase (Argon2id)".to_owned(),
            protects: Text::default(),
            zone,
        }],
    })
}

/// A node that saw one socket that nothing declares, if it is the edge.
fn connections(member: &Member) -> FlowsSource {
    let (node, zone) = (member.name.clone(), member.zone);
    Arc::new(move || NodeFlows {
        node: node.clone(),
        zone,
        matrix: Hex(vec![1]),
        since: UnixMillis(1),
        at: UnixMillis(2),
        flows: Vec::new(),
        sockets: (zone == Zone::Dmz).then(hole).into_iter().collect(),
        messages: Vec::new(),
        no_sockets: None,
        left_out: 0,
    })
}

fn hole() -> SeenSocket {
    SeenSocket {
        transport: "tcp".to_owned(),
        local: "127.0.0.1:6666".to_owned(),
        remote: None,
        what: "no row lets this node listen there".to_owned(),
        standing: FlowStanding::Undeclared,
        first: UnixMillis(1),
        last: UnixMillis(2),
    }
}

fn id<T: FromStr>(text: &str) -> Outcome<T>
where
    T::Err: std::error::Error + 'static,
{
    Ok(text.parse()?)
}

impl World {
    pub(crate) async fn new() -> Outcome<Self> {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let now_unix = clock.wall().0 / 1000;
        let authority = Authority::create("test root", "test", 30, now_unix)?;
        let roots = [authority.certificate_der().to_vec()];
        let (core_mesh, recorder) = mesh(&authority, &roots, "core-1", "inner", &clock)?;
        let (edge_mesh, _) = mesh(&authority, &roots, "edge-1", "dmz", &clock)?;
        let (other_mesh, _) = mesh(&authority, &roots, "edge-2", "dmz", &clock)?;
        let core_member = member(1, "core-1", &core_mesh, &recorder, Zone::Inner)?;
        let edge_member = member(2, "edge-1", &edge_mesh, &recorder, Zone::Dmz)?;
        let other_member = member(3, "edge-2", &other_mesh, &recorder, Zone::Dmz)?;

        let signer = Arc::new(Signer::new(SecretKey::generate()));
        let verifier = signer.verifier();
        let entropy = Arc::new(SystemEntropy);
        let (disk, view) = (Arc::new(SimDisk::new()), Arc::new(MemoryKv::new()));
        let peers = vec![core_member.clone()];
        let config = Config::new(core_member.clone(), peers, disk.clone(), view);
        let calls = Calls::new();
        let meta = Meta::start(config, &core_mesh, &calls, clock.clone(), entropy.clone()).await?;
        calls.attach(&core_mesh);
        let members = vec![
            core_member.clone(),
            edge_member.clone(),
            other_member.clone(),
        ];
        meta.found(found(members)?).await?;

        let mut message_rules = MessageRules::default();
        message_rules.text.patterns.push(Pattern {
            name: "ticket".to_owned(),
            pattern: "BLOCKED-[0-9]".to_owned(),
            action: Action::Block,
        });
        let rules = Rules::new(&message_rules)?;
        let shelves = Arc::new(Memory::default());
        let exchange = Exchange {
            meta: meta.clone(),
            shelves: shelves.clone(),
            rules: rules.clone(),
            clock: clock.clone(),
            entropy: entropy.clone(),
        };
        let desk = CoreDesk::new(signer.clone(), exchange.clone());
        let crossed = Crossed::default();
        let tap = Tap {
            desk,
            crossed: crossed.clone(),
        };
        let tunnels = Tunnels::new(
            core_mesh.clone(),
            Arc::new(tap),
            Arc::new(AnyKind),
            clock.clone(),
        );
        let guard = guard_of(&edge_mesh, &edge_member, &clock);
        let other_guard = guard_of(&other_mesh, &other_member, &clock);
        tunnels.keep(&[target(&edge_member), target(&other_member)]);
        let wait = async {
            while guard.tunnels().is_empty() || other_guard.tunnels().is_empty() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(PATIENCE, wait).await?;

        let relay = |member: &Member| {
            let config = guitai_relay::Config {
                name: member.name.clone(),
                zone: member.zone,
                limits: Limits::default(),
            };
            Relay::new(config, verifier.clone(), clock.clone())
        };
        let edge_of = |member: &Member, guard: Guard| {
            edge_router(EdgeDeps {
                node: member.name.clone(),
                guard,
                relay: relay(member),
                verifier: verifier.clone(),
                clock: clock.clone(),
                door: door(member),
                certificates: Arc::new(guitai_net::CertificateStats::default),
                sandbox: sandbox(member),
                rules: rules.clone(),
                door_stats: Arc::new(Vec::new),
            })
        };
        let edge = edge_of(&edge_member, guard);
        let other_edge = edge_of(&other_member, other_guard);
        let doors = Doors::default();
        tokio::spawn(doors.clone().keep(DoorsDeps {
            me: core_member.clone(),
            meta: meta.clone(),
            mesh: core_mesh.clone(),
            door: door(&core_member),
            origins: std::collections::BTreeMap::new(),
            permit: Arc::new(|| None),
            sandbox: sandbox(&core_member),
            tunnels: tunnels.clone(),
            clock: clock.clone(),
        }));
        let following = follow_recorders(meta.clone(), core_member.id, entropy.clone());
        tokio::spawn(following);
        let recovery = Recovery::new(
            guitai_dr::Config {
                member: core_member.clone(),
                raft: Raft::default(),
                binary: std::env::current_exe()?,
                version: guitai_api::VERSION,
                identity: Identity {
                    chain: Vec::new(),
                    key: SecretKey::generate(),
                },
                root: Vec::new(),
                relay: None,
                wrap: {
                    let entropy = entropy.clone();
                    Arc::new(move |holders| draw_and_wrap(&*entropy, holders))
                },
            },
            meta.clone(),
            core_mesh.clone(),
            disk.clone(),
            clock.clone(),
            entropy.clone(),
            &Calls::new(),
        );
        tokio::spawn(recovery.clone().run());
        let (log_mesh, log_clock) = (core_mesh.clone(), clock.clone());
        let core = core_router(CoreDeps {
            member: core_member.clone(),
            meta: meta.clone(),
            mesh: core_mesh,
            relay: Some(relay(&core_member)),
            recorder: None,
            signer,
            verifier: verifier.clone(),
            clock,
            entropy,
            door: door(&core_member),
            doors,
            tunnels: tunnels.clone(),
            inventory: inventory(&core_member),
            keys: keys(&core_member),
            connections: connections(&core_member),
            flow_log: FlowLog::new(
                guitai_flowlog::Deps {
                    me: core_member.clone(),
                    meta: meta.clone(),
                    mesh: log_mesh,
                    disk,
                    sealing: None,
                    clock: log_clock,
                    minutes: Arc::new(|_, _| Vec::new()),
                },
                &Calls::new(),
            ),
            passed: None,
            measure: measure(&core_member),
            sandbox: sandbox(&core_member),
            policy: CryptoPolicy::Mixed,
            recovery,
            exchange,
            judge: Arc::new(|matrix| {
                let digest = sm3::hash(matrix.as_bytes()).to_vec();
                let is_one = matrix.starts_with("version = ");
                FlowPlan {
                    sm3: is_one.then_some(Hex(digest)),
                    faults: (!is_one)
                        .then(|| "no matrix".to_owned())
                        .into_iter()
                        .collect(),
                    widens: false,
                    changes: Vec::new(),
                }
            }),
            identity: Identity {
                chain: Vec::new(),
                key: SecretKey::generate(),
            },
            root: Vec::new(),
        });
        // The edge's mesh lives as long as its tunnel's handler, which the endpoint keeps.
        tokio::spawn(async move {
            let _meshes = (edge_mesh, other_mesh);
            std::future::pending::<()>().await;
        });
        Ok(Self {
            meta,
            core,
            edge,
            other_edge,
            recorder,
            crossed,
            shelves,
            _tunnels: tunnels,
        })
    }

    pub(crate) fn lonely_edge() -> Outcome<LonelyEdge> {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let verifier = Signer::new(SecretKey::generate()).verifier();
        let config = guitai_relay::Config {
            name: id("edge-9")?,
            zone: Zone::Dmz,
            limits: Limits::default(),
        };
        let door: DoorSource = Arc::new(|| unreachable!("nobody asks for media here"));
        Ok(LonelyEdge(edge_router(EdgeDeps {
            node: id("edge-9")?,
            guard: Guard::new(Arc::new(NoOrders), Arc::new(AnyKind), clock.clone()),
            relay: Relay::new(config, verifier.clone(), clock.clone()),
            verifier,
            clock,
            door,
            certificates: Arc::new(guitai_net::CertificateStats::default),
            sandbox: Arc::new(|| unreachable!("nobody asks what holds it")),
            rules: Rules::new(&MessageRules::default())?,
            door_stats: Arc::new(Vec::new),
        })))
    }

    pub(crate) async fn edge(
        &self,
        method: &str,
        path: &str,
        token: Option<&str>,
        body: Option<Value>,
    ) -> Outcome<Answer> {
        ask(&self.edge, method, path, token, body).await
    }

    pub(crate) async fn other_edge(
        &self,
        method: &str,
        path: &str,
        token: Option<&str>,
        body: Option<Value>,
    ) -> Outcome<Answer> {
        ask(&self.other_edge, method, path, token, body).await
    }

    /// What a browser with a page of `origin` is told, before it asks (`OPTIONS`) or when it does.
    pub(crate) async fn edge_from(
        &self,
        origin: &str,
        method: &str,
        path: &str,
    ) -> Outcome<Answer> {
        let mut request = request(method, path, None, None)?;
        let headers = request.headers_mut();
        headers.insert("origin", origin.parse()?);
        if method == "OPTIONS" {
            headers.insert("access-control-request-method", "PUT".parse()?);
        }
        answer(&self.edge, request).await
    }

    pub(crate) async fn core(
        &self,
        method: &str,
        path: &str,
        token: Option<&str>,
        body: Option<Value>,
    ) -> Outcome<Answer> {
        ask(&self.core, method, path, token, body).await
    }

    /// The token of a login.
    /// Sends a file through the edge.
    pub(crate) async fn send_file(
        &self,
        path: &str,
        token: &str,
        kind: &str,
        body: &[u8],
    ) -> Outcome<Answer> {
        let request = http::Request::post(path)
            .header("authorization", format!("Bearer {token}"))
            .header("content-type", kind)
            .body(Body::from(body.to_vec()))?;
        answer(&self.edge, request).await
    }

    /// The bytes of a file, from the edge or from the core.
    pub(crate) async fn file(&self, edge: bool, path: &str, token: &str) -> Outcome<Vec<u8>> {
        let request = http::Request::get(path)
            .header("authorization", format!("Bearer {token}"))
            .body(Body::empty())?;
        let router = if edge { &self.edge } else { &self.core };
        let response = router.clone().oneshot(request).await?;
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-disposition"], "attachment");
        assert_eq!(response.headers()["content-type"], "image/png");
        Ok(axum::body::to_bytes(response.into_body(), 8 << 20)
            .await?
            .to_vec())
    }

    pub(crate) async fn login(&self, name: &str, password: &str) -> Outcome<String> {
        let body = json!({ "institution": "bank", "name": name, "password": password });
        self.core("POST", "/api/v1/login", None, Some(body))
            .await?
            .text("token")
    }

    pub(crate) async fn edge_events(&self, path: &str, token: &str) -> Outcome<Events> {
        events(&self.edge, path, token, 0).await
    }

    pub(crate) async fn core_events(&self, path: &str, token: &str) -> Outcome<Events> {
        events(&self.core, path, token, 0).await
    }

    /// The same at the other edge, by a page that has seen something already.
    pub(crate) async fn other_edge_events(
        &self,
        path: &str,
        token: &str,
        seen: u64,
    ) -> Outcome<Events> {
        events(&self.other_edge, path, token, seen).await
    }

    /// A ticket's edge, as the cluster knows it.
    pub(crate) fn edge_of(&self, ticket: &str) -> Outcome<String> {
        let ticket: TicketId = id(ticket)?;
        let edge = self
            .meta
            .peek(|state| Some(state.ticket(&ticket)?.edge.to_string()));
        edge.ok_or_else(|| "no such ticket".into())
    }

    /// The media key as the recorder opens it.
    pub(crate) fn recorder_key(&self, session: &SessionId, who: &Participant) -> Outcome<Vec<u8>> {
        let keys = self
            .meta
            .peek(|state| state.session(session).map(|s| s.keys.clone()));
        let keys = keys.ok_or("no session")?;
        let wrapped = keys
            .iter()
            .find(|key| key.recipient == *who)
            .ok_or("no key for it")?;
        Ok(self.recorder.decrypt(&wrapped.wrapped.0)?.to_vec())
    }

    /// Everything that has crossed the guard so far.
    pub(crate) fn crossed(&self) -> Vec<String> {
        self.crossed.lock().expect("nobody panics with it").clone()
    }

    /// The recorder's node gets another key pair, as after its certificate was renewed.
    pub(crate) async fn renew_recorder(&mut self) -> Outcome {
        let name = id("core-1")?;
        let member = self.meta.peek(|state| state.member(&name).cloned());
        let mut member = member.ok_or("no such node")?;
        self.recorder = SecretKey::generate();
        member.public_key = Hex(self.recorder.public().to_point().to_vec());
        self.meta.write(Command::PutMember { member }).await?;
        Ok(())
    }

    /// The recorder says that it records.
    pub(crate) async fn recording_runs(&self, session: &SessionId) -> Outcome {
        let (session, node) = (session.clone(), id("core-1")?);
        let report = RecordingReport::Running;
        self.meta
            .write(Command::ReportRecording {
                session,
                node,
                assignment: 1,
                report,
            })
            .await?;
        Ok(())
    }
}

impl LonelyEdge {
    pub(crate) async fn get(&self, path: &str) -> Outcome<Answer> {
        ask(&self.0, "GET", path, None, None).await
    }
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
    }

    pub(crate) fn text(&self, field: &str) -> Outcome<String> {
        let text = self.body[field].as_str();
        Ok(text
            .ok_or_else(|| format!("no {field} in {self:?}"))?
            .to_owned())
    }
}

/// Server-sent events as text.
pub(crate) struct Events {
    pieces: axum::body::BodyDataStream,
}

impl Events {
    /// The next event but for those that tell of doors.
    pub(crate) async fn next(&mut self) -> Outcome<String> {
        loop {
            let event = self.any().await?;
            if !event.contains("event: doors\n") {
                return Ok(event);
            }
        }
    }

    /// The next list of doors.
    pub(crate) async fn doors(&mut self) -> Outcome<Value> {
        loop {
            let event = self.any().await?;
            if let Some((_, data)) = event.split_once("event: doors\ndata: ") {
                assert!(!event.contains("id: "), "doors have no number: {event}");
                return Ok(serde_json::from_str(data.trim())?);
            }
        }
    }

    async fn any(&mut self) -> Outcome<String> {
        loop {
            let piece = tokio::time::timeout(PATIENCE, self.pieces.next()).await?;
            let piece = piece.ok_or("the stream has ended")??.to_vec();
            let event = String::from_utf8(piece)?;
            // A comment only says that the door is there.
            if !event.starts_with(':') {
                return Ok(event);
            }
        }
    }
}

fn request(method: &str, path: &str, token: Option<&str>, body: Option<Value>) -> Outcome<Request> {
    let mut request = Request::builder().method(method).uri(path);
    if let Some(token) = token {
        request = request.header("authorization", format!("Bearer {token}"));
    }
    Ok(match body {
        Some(body) => request
            .header("content-type", "application/json")
            .body(Body::from(serde_json::to_vec(&body)?))?,
        None => request.body(Body::empty())?,
    })
}

async fn events(router: &Router, path: &str, token: &str, seen: u64) -> Outcome<Events> {
    let mut request = request("GET", path, Some(token), None)?;
    if seen > 0 {
        let seen = seen.to_string().parse()?;
        request.headers_mut().insert("last-event-id", seen);
    }
    let response = router.clone().oneshot(request).await?;
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    Ok(Events {
        pieces: response.into_body().into_data_stream(),
    })
}

/// The guard of an edge, whose mesh answers what any edge answers.
fn guard_of(mesh: &Mesh, member: &Member, clock: &Arc<dyn Clock>) -> Guard {
    let guard = Guard::new(Arc::new(NoOrders), Arc::new(AnyKind), clock.clone());
    let serving = guard.clone();
    let serve = move |link| -> guitai_net::BoxFuture<'static, ()> {
        let guard = serving.clone();
        Box::pin(async move { guard.serve_tunnel(link).await })
    };
    mesh.serve(TUNNEL_ALPN, Arc::new(serve));
    let questions = Calls::new();
    register_inventory(
        &questions,
        inventory(member),
        keys(member),
        connections(member),
    );
    let (fit, permit) = (Arc::new(|| true), Arc::new(|| None));
    register_door(&questions, door(member), fit, permit, sandbox(member));
    register_sandbox(&questions, sandbox(member));
    register_measures(&questions, measure(member));
    questions.attach_questions(mesh);
    guard
}

fn target(member: &Member) -> Target {
    Target {
        addr: member.mesh,
        name: member.name.clone(),
        zone: member.zone,
    }
}

async fn ask(
    router: &Router,
    method: &str,
    path: &str,
    token: Option<&str>,
    body: Option<Value>,
) -> Outcome<Answer> {
    answer(router, request(method, path, token, body)?).await
}

async fn answer(router: &Router, request: Request) -> Outcome<Answer> {
    let response = router.clone().oneshot(request).await?;
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    let bytes = axum::body::to_bytes(response.into_body(), 1 << 20).await?;
    let text = String::from_utf8(bytes.to_vec())?;
    let body = serde_json::from_str(&text).unwrap_or(Value::String(text));
    Ok(Answer {
        status,
        headers,
        body,
    })
}

fn mesh(
    authority: &Authority,
    roots: &[Vec<u8>],
    name: &str,
    zone: &str,
    clock: &Arc<dyn Clock>,
) -> Outcome<(Mesh, SecretKey)> {
    let key = SecretKey::generate();
    let copy = SecretKey::from_pkcs8_pem(&key.to_pkcs8_pem())?;
    let subject = Subject {
        common_name: name.to_owned(),
        organization: "test".to_owned(),
        dns_names: vec![format!("{name}.{zone}.guitai.internal")],
    };
    let now_unix = clock.wall().0 / 1000;
    let leaf = authority.issue(&subject, &key.public(), Usage::Tls, 30, now_unix)?;
    let identity = Identity {
        chain: vec![leaf],
        key,
    };
    Ok((
        Mesh::bind("127.0.0.1:0".parse()?, &identity, roots, clock.clone())?,
        copy,
    ))
}

fn member(number: u64, name: &str, mesh: &Mesh, key: &SecretKey, zone: Zone) -> Outcome<Member> {
    let inner = zone == Zone::Inner;
    let address = mesh.local_addr()?;
    Ok(Member {
        id: NodeId(number),
        name: id(name)?,
        centre: id("a1")?,
        zone,
        roles: if inner {
            vec![Role::Core, Role::Relay, Role::Recorder]
        } else {
            vec![Role::Edge]
        },
        voice: if inner { Voice::Voter } else { Voice::None },
        mesh: address,
        door: address,
        public_key: Hex(key.public().to_point().to_vec()),
    })
}

fn door(member: &Member) -> DoorSource {
    let (node, centre, address) = (member.name.clone(), member.centre.clone(), member.door);
    Arc::new(move || DoorView {
        node: node.clone(),
        centre: centre.clone(),
        webtransport: format!("https://{address}"),
        websocket: format!("ws://{address}"),
        certificate_hashes: Vec::new(),
        version: guitai_api::VERSION.to_owned(),
    })
}

fn found(members: Vec<Member>) -> Outcome<Command> {
    let text = |en: &str| Text {
        zh: en.to_owned(),
        en: en.to_owned(),
    };
    let staff = |name: &str, number: &str, duty: Duty| -> Outcome<Staff> {
        Ok(Staff {
            id: StaffRef {
                institution: id("bank")?,
                name: id(name)?,
            },
            display: name.to_owned(),
            number: number.to_owned(),
            branch: id("main")?,
            team: id("one")?,
            skills: Vec::new(),
            duties: vec![duty],
            password_phc: password::hash("right password")?,
            approval_key: None,
        })
    };
    let step = Step {
        id: "identity".to_owned(),
        name: text("Identity"),
        wording: text(""),
        required: true,
    };
    Ok(Command::Found {
        cluster: id("test")?,
        cities: vec![City {
            id: id("a")?,
            name: text("A"),
        }],
        centres: vec![Centre {
            id: id("a1")?,
            city: id("a")?,
            name: text("A1"),
        }],
        members,
        institutions: vec![Institution {
            id: id("bank")?,
            name: text("Bank"),
            branches: vec![Branch {
                id: id("main")?,
                name: text("Main"),
                teams: vec![id("one")?],
            }],
            queues: vec![Queue {
                id: id("retail")?,
                name: text("Retail"),
                skills: Vec::new(),
                steps: vec![step],
            }],
        }],
        staff: vec![
            staff("wang", "8001", Duty::Agent)?,
            staff("zhao", "8022", Duty::Agent)?,
            staff("zhou", "9001", Duty::Auditor)?,
        ],
        policy: Policy::default(),
    })
}
