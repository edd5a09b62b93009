//! Edge and core over real tunnels; and each of them against an end that cheats.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use futures::{FutureExt as _, StreamExt as _, future::BoxFuture};
use guitai_crypto::{
    sm2,
    x509::{Authority, Identity, Subject, Usage},
};
use guitai_host::{Clock, SystemClock};
use guitai_net::{
    ConnectionError, Link, Mesh, Peer, TUNNEL_ALPN, Target,
    frame::{read_frame, write_frame},
};
use guitai_types::{
    Code, Epoch, Hex, Problem, SessionId, TicketId, UnixMillis,
    control::{Answer, Ask, Catalogue, OpenTicket, Order},
    limits::{CONTROL_BYTES_MAX, REFUSALS_MAX},
    message::{FileHead, FileType},
    record::{Consent, EndReason},
    view::{TicketPhase, TicketView},
};
use tokio::sync::{mpsc, watch};

use super::*;

/// A root, and nodes it vouches for.
struct Cluster {
    authority: Authority,
    clock: Arc<dyn Clock>,
}

impl Cluster {
    fn new() -> Self {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let now = clock.wall().0 / 1000;
        let authority = Authority::create("test root", "test", 30, now).unwrap();
        Self { authority, clock }
    }

    fn node(&self, name: &str, zone: &str) -> Mesh {
        let key = sm2::SecretKey::generate();
        let subject = Subject {
            common_name: name.to_owned(),
            organization: "test".to_owned(),
            dns_names: vec![format!("{name}.{zone}.guitai.internal")],
        };
        let now = self.clock.wall().0 / 1000;
        let public = key.public();
        let leaf = self.authority.issue(&subject, &public, Usage::Tls, 30, now);
        let chain = vec![leaf.unwrap()];
        let roots = [self.authority.certificate_der().to_vec()];
        let any = "127.0.0.1:0".parse().unwrap();
        Mesh::bind(any, &Identity { chain, key }, &roots, self.clock.clone()).unwrap()
    }

    fn edge(&self) -> Edge {
        self.edge_that_lets(Arc::new(AnyKind))
    }

    fn edge_that_lets(&self, rows: Arc<dyn Rows>) -> Edge {
        let mesh = self.node("edge-a1", "dmz");
        let orders = Arc::new(Sink::default());
        let guard = Guard::new(orders.clone(), rows, self.clock.clone());
        let serving = guard.clone();
        mesh.serve(
            TUNNEL_ALPN,
            Arc::new(move |link| {
                let guard = serving.clone();
                Box::pin(async move { guard.serve_tunnel(link).await })
            }),
        );
        Edge {
            target: target(&mesh),
            guard,
            orders,
            _mesh: mesh,
        }
    }

    fn tunnels(&self, mesh: Mesh, fake: Arc<Fake>) -> Tunnels {
        Tunnels::new(mesh, fake, Arc::new(AnyKind), self.clock.clone())
    }

    /// A core node with a tunnel to the edge.
    async fn core(&self, name: &str, fake: &Arc<Fake>, edge: &Edge) -> (Mesh, Tunnels) {
        let mesh = self.node(name, "inner");
        let tunnels = self.tunnels(mesh.clone(), fake.clone());
        tunnels.keep(std::slice::from_ref(&edge.target));
        let peer = mesh.me().clone();
        until(|| edge.guard.tunnels().contains(&peer)).await;
        (mesh, tunnels)
    }
}

fn target(mesh: &Mesh) -> Target {
    Target {
        addr: mesh.local_addr().unwrap(),
        name: mesh.me().name.clone(),
        zone: mesh.me().zone,
    }
}

/// Waits for something that comes of itself.
async fn until(mut holds: impl FnMut() -> bool) {
    let waiting = async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let limit = Duration::from_secs(20);
    tokio::time::timeout(limit, waiting).await.expect("in time");
}

struct Edge {
    target: Target,
    guard: Guard,
    orders: Arc<Sink>,
    _mesh: Mesh,
}

/// Remembers what it was ordered.
#[derive(Default)]
struct Sink(Mutex<Vec<String>>);

impl Sink {
    fn note(&self, order: String) {
        self.0.lock().unwrap().push(order);
    }

    fn has(&self, order: &str) -> bool {
        self.0.lock().unwrap().iter().any(|noted| noted == order)
    }
}

impl OrderSink for Sink {
    fn end_session(&self, session: SessionId) {
        self.note(format!("end {session}"));
    }

    fn revoke_ticket(&self, ticket: TicketId) {
        self.note(format!("revoke {ticket}"));
    }

    fn set_epoch(&self, epoch: Epoch) {
        self.note(format!("epoch {}", epoch.0));
    }
}

/// A core whose answers the test chooses.
struct Fake {
    epoch: u64,
    answer: Box<dyn Fn(&Ask) -> Answer + Send + Sync>,
    asked: AtomicUsize,
    views: watch::Sender<TicketView>,
    /// Watches that live.
    watched: Arc<AtomicUsize>,
}

impl Fake {
    fn new(answer: impl Fn(&Ask) -> Answer + Send + Sync + 'static) -> Arc<Self> {
        Self::of_epoch(3, answer)
    }

    fn of_epoch(epoch: u64, answer: impl Fn(&Ask) -> Answer + Send + Sync + 'static) -> Arc<Self> {
        Arc::new(Self {
            epoch,
            answer: Box::new(answer),
            asked: AtomicUsize::new(0),
            views: watch::Sender::new(waiting(1)),
            watched: Arc::default(),
        })
    }
}

struct Watched(Arc<AtomicUsize>);

impl Drop for Watched {
    fn drop(&mut self) {
        self.0.fetch_sub(1, SeqCst);
    }
}

impl Core for Fake {
    fn handle(&self, ask: Ask, _edge: Peer) -> BoxFuture<'_, Answer> {
        self.asked.fetch_add(1, SeqCst);
        async move { (self.answer)(&ask) }.boxed()
    }

    fn take_file(&self, ask: Ask, file: Vec<u8>, _edge: Peer) -> BoxFuture<'_, Answer> {
        self.asked.fetch_add(file.len(), SeqCst);
        async move { (self.answer)(&ask) }.boxed()
    }

    fn give_file(&self, ask: Ask, _edge: Peer) -> BoxFuture<'_, (Answer, Vec<u8>)> {
        async move { ((self.answer)(&ask), given_file()) }.boxed()
    }

    fn watch(&self, ticket: TicketId, _edge: Peer) -> BoxFuture<'_, Result<ViewStream, Problem>> {
        if ticket != ticket_id() {
            let problem = Problem::new(Code::NotFound, "no such ticket");
            return async { Err(problem) }.boxed();
        }
        self.watched.fetch_add(1, SeqCst);
        let watched = Watched(self.watched.clone());
        let mut views = self.views.subscribe();
        views.mark_changed();
        let state = (views, watched);
        let views = futures::stream::unfold(state, |(mut views, watched)| async {
            views.changed().await.ok()?;
            let view = views.borrow_and_update().clone();
            Some((view, (views, watched)))
        });
        async { Ok(views.boxed()) }.boxed()
    }

    fn epoch(&self) -> Epoch {
        Epoch(self.epoch)
    }
}

fn ticket_id() -> TicketId {
    "t-1".parse().unwrap()
}

fn view(number: u64, phase: TicketPhase) -> TicketView {
    TicketView {
        ticket: ticket_id(),
        institution: "bank".parse().unwrap(),
        queue: "loans".parse().unwrap(),
        number,
        opened_at: UnixMillis(1),
        phase,
    }
}

fn waiting(position: u64) -> TicketView {
    view(
        position,
        TicketPhase::Waiting {
            position,
            agents: 1,
        },
    )
}

fn ended() -> TicketView {
    let phase = TicketPhase::Ended {
        reason: EndReason::CustomerLeft,
        session: None,
        stars: None,
    };
    view(9, phase)
}

fn open_ticket() -> Ask {
    Ask::OpenTicket(OpenTicket {
        institution: "bank".parse().unwrap(),
        queue: "loans".parse().unwrap(),
        customer: "王".to_owned(),
        consent: Consent {
            recording: true,
            wording: "2026-11".to_owned(),
            at: UnixMillis(1),
        },
        media_key: Hex(sm2::SecretKey::generate().public().to_point().to_vec()),
    })
}

fn honest(ask: &Ask) -> Answer {
    let view = Box::new(waiting(1));
    match ask {
        Ask::Catalogue => Answer::Catalogue {
            catalogue: Catalogue::default(),
        },
        Ask::OpenTicket(_) => Answer::Opened {
            ticket: ticket_id(),
            token: "claims.signature".to_owned(),
            view,
        },
        Ask::Ticket { .. } => Answer::Ticket { view },
        _ => Answer::Done,
    }
}

fn counted(counts: &[Count], direction: Direction, verdict: Verdict) -> u64 {
    let fit = |count: &&Count| count.direction == direction && count.verdict == verdict;
    counts.iter().filter(fit).map(|count| count.count).sum()
}

#[tokio::test]
async fn questions_go_in_and_answers_come_out() {
    let cluster = Cluster::new();
    let edge = cluster.edge();
    let none = edge.guard.ask(Ask::Catalogue).await;
    assert_eq!(none, Err(AskError::NoTunnel));
    let fake = Fake::new(honest);
    let (_mesh, tunnels) = cluster.core("a1-1", &fake, &edge).await;
    let ticket = ticket_id();
    let stars = 5;
    let comment = "谢谢".to_owned();
    for ask in [
        Ask::Catalogue,
        open_ticket(),
        Ask::Ticket {
            ticket: ticket.clone(),
        },
        Ask::Rate {
            ticket,
            stars,
            comment,
        },
    ] {
        assert_eq!(edge.guard.ask(ask.clone()).await, Ok(honest(&ask)));
    }
    assert_eq!(tunnels.up(), ["edge-a1".parse().unwrap()]);
    assert_eq!(edge.guard.epoch(), Epoch(3));
    // The edge has one more: the question that found no tunnel. Out came four answers and a hello;
    // the core counts an answer once it is written, which the edge may read before.
    let passed = |stats: &[Count], direction| counted(stats, direction, Verdict::Passed);
    assert_eq!(passed(&edge.guard.stats(), Direction::Inward), 5);
    assert_eq!(passed(&edge.guard.stats(), Direction::Outward), 5);
    assert_eq!(passed(&tunnels.stats(), Direction::Inward), 4);
    until(|| passed(&tunnels.stats(), Direction::Outward) == 5).await;
}

/// What the core has of a file; longer than one message.
fn given_file() -> Vec<u8> {
    (0..CONTROL_BYTES_MAX * 2 + 5).map(|n| n as u8).collect()
}

fn head_of(file: &[u8]) -> FileHead {
    FileHead {
        name: "合同.pdf".to_owned(),
        kind: FileType::Pdf,
        bytes: file.len() as u64,
        sm3: Hex(guitai_crypto::sm3::hash(file).to_vec()),
    }
}

#[tokio::test]
async fn a_file_goes_in_and_comes_out_whole_or_not_at_all() {
    let cluster = Cluster::new();
    let edge = cluster.edge();
    let fake = Fake::new(|ask| match ask {
        Ask::FetchFile { .. } => Answer::File {
            file: head_of(&given_file()),
        },
        _ => Answer::Messages {
            messages: Vec::new(),
        },
    });
    let (_mesh, _tunnels) = cluster.core("a1-1", &fake, &edge).await;
    let (ticket, file) = (ticket_id(), given_file());
    let message = "m-1".parse().unwrap();
    let fetch = Ask::FetchFile {
        ticket: ticket.clone(),
        message,
    };
    let (_, got) = edge.guard.ask_with(fetch, &[]).await.unwrap();
    assert_eq!(got, file);
    let send = |head: FileHead| Ask::SendFile {
        ticket: ticket.clone(),
        file: head,
    };
    let taken = edge.guard.ask_with(send(head_of(&file)), &file).await;
    assert!(
        matches!(taken, Ok((Answer::Messages { .. }, _))),
        "{taken:?}"
    );
    assert_eq!(fake.asked.load(SeqCst), file.len());
    // An edge that sends other bytes than it announced is refused, and the core never sees them.
    for other in [&file[..100], &[&[1], &file[1..]].concat()[..]] {
        let refused = edge.guard.ask_with(send(head_of(&file)), other).await;
        assert!(
            matches!(refused, Ok((Answer::Refused { .. }, _))),
            "{refused:?}"
        );
    }
    assert_eq!(fake.asked.load(SeqCst), file.len());
    let mut path = head_of(&file);
    path.name = "../合同.pdf".to_owned();
    let refused = edge.guard.ask_with(send(path), &file).await;
    assert!(matches!(refused, Err(AskError::Refused(_))));
}

#[tokio::test]
async fn what_a_customer_may_not_ask_never_reaches_the_tunnel() {
    let cluster = Cluster::new();
    let edge = cluster.edge();
    let fake = Fake::new(honest);
    let (_mesh, _tunnels) = cluster.core("a1-1", &fake, &edge).await;
    let (ticket, stars) = (ticket_id(), 6);
    let comment = String::new();
    let refused = edge
        .guard
        .ask(Ask::Rate {
            ticket,
            stars,
            comment,
        })
        .await;
    let error = refused.unwrap_err();
    assert!(matches!(
        error,
        AskError::Refused(Refusal::BadValue { field: "stars", .. })
    ));
    assert_eq!(error.problem().code, Code::BadRequest);
    let stats = edge.guard.stats();
    assert_eq!(counted(&stats, Direction::Inward, Verdict::BadValue), 1);
    assert_eq!(fake.asked.load(SeqCst), 0);
}

/// An edge in somebody else's hands: its raw tunnel, and the core that distrusts it.
async fn rogue_edge(cluster: &Cluster, fake: Arc<Fake>) -> (Mesh, Tunnels, Link) {
    rogue_edge_of(cluster, fake, Arc::new(AnyKind)).await
}

/// The same beside a core whose matrix lets through what `rows` do.
async fn rogue_edge_of(
    cluster: &Cluster,
    fake: Arc<Fake>,
    rows: Arc<dyn Rows>,
) -> (Mesh, Tunnels, Link) {
    let edge = cluster.node("edge-a1", "dmz");
    let (send, mut links) = mpsc::channel(1);
    edge.serve(
        TUNNEL_ALPN,
        Arc::new(move |link: Link| {
            let send = send.clone();
            Box::pin(async move {
                let conn = link.conn.clone();
                drop(send.send(link).await);
                conn.closed().await;
            })
        }),
    );
    let mesh = cluster.node("a1-1", "inner");
    let tunnels = Tunnels::new(mesh, fake, rows, cluster.clock.clone());
    tunnels.keep(&[target(&edge)]);
    let link = links.recv().await.unwrap();
    (edge, tunnels, link)
}

/// Sends bytes as a question and reads the answer.
async fn raw_ask(link: &Link, message: &[u8]) -> Option<Answer> {
    let (mut send, mut receive) = link.conn.open_bi().await.ok()?;
    write_frame(&mut send, message).await.ok()?;
    let answer = read_frame(&mut receive, CONTROL_BYTES_MAX).await.ok()??;
    serde_json::from_slice(&answer).ok()
}

#[tokio::test]
async fn the_core_refuses_and_counts_what_a_rogue_edge_sends_and_then_hangs_up() {
    let cluster = Cluster::new();
    let fake = Fake::new(honest);
    let (_edge, tunnels, link) = rogue_edge(&cluster, fake.clone()).await;
    let oversize = vec![b' '; CONTROL_BYTES_MAX + 1];
    let cases: [(&[u8], Verdict); 7] = [
        (br#"{"ask":"shell"}"#, Verdict::UnknownType),
        (br#"{"ask":"catalogue","x":1}"#, Verdict::UnknownField),
        (&oversize, Verdict::TooLarge),
        (br#"{"answer":"done"}"#, Verdict::WrongDirection),
        (br#"{"order":"hello","epoch":9}"#, Verdict::WrongDirection),
        (
            br#"{"ask":"rate","ticket":"t","stars":9,"comment":""}"#,
            Verdict::BadValue,
        ),
        (b"\xff\x00", Verdict::Malformed),
    ];
    assert_eq!(cases.len() + 1, REFUSALS_MAX as usize);
    for (message, verdict) in cases {
        let before = counted(&tunnels.stats(), Direction::Inward, verdict);
        let answer = raw_ask(&link, message).await;
        assert!(
            matches!(answer, Some(Answer::Refused { .. })),
            "{verdict:?}"
        );
        let after = counted(&tunnels.stats(), Direction::Inward, verdict);
        assert_eq!(after, before + 1, "{verdict:?}");
    }
    // Good questions are still answered; the last refusal is one too many.
    let good = raw_ask(&link, br#"{"ask":"catalogue"}"#).await;
    assert!(matches!(good, Some(Answer::Catalogue { .. })));
    assert_eq!(raw_ask(&link, b"[]").await, None);
    let closed = link.conn.closed().await;
    let ConnectionError::ApplicationClosed(close) = closed else {
        panic!("{closed:?}");
    };
    assert_eq!(close.error_code, guitai_net::VarInt::from_u32(CODE_REFUSED));
    assert_eq!(fake.asked.load(SeqCst), 1);
}

#[tokio::test]
async fn what_the_core_should_not_say_stays_inside() {
    let cluster = Cluster::new();
    // A view of another ticket, as a confused core would give it.
    let fake = Fake::new(|_| Answer::Ticket {
        view: Box::new(waiting(1)),
    });
    let (_edge, tunnels, link) = rogue_edge(&cluster, fake).await;
    let answer = raw_ask(&link, br#"{"ask":"ticket","ticket":"t-2"}"#).await;
    let Some(Answer::Refused { problem }) = answer else {
        panic!("{answer:?}");
    };
    assert_eq!(problem.code, Code::Internal);
    let stats = tunnels.stats();
    assert_eq!(
        counted(&stats, Direction::Outward, Verdict::WrongDirection),
        1
    );
}

#[tokio::test]
async fn the_edge_refuses_and_counts_what_a_rogue_core_sends_and_then_hangs_up() {
    let cluster = Cluster::new();
    let edge = cluster.edge();
    let core = cluster.node("a1-1", "inner");
    let link = core.dial(TUNNEL_ALPN, &edge.target).await.unwrap();
    let order = async |message: &[u8]| {
        let mut stream = link.conn.open_uni().await.unwrap();
        write_frame(&mut stream, message).await.unwrap();
    };
    order(br#"{"order":"hello","epoch":4}"#).await;
    until(|| edge.guard.tunnels().len() == 1).await;

    let cases: [(&[u8], Verdict); 5] = [
        (br#"{"answer":"done"}"#, Verdict::WrongDirection),
        (br#"{"answer":"secrets"}"#, Verdict::UnknownType),
        (
            br#"{"answer":"catalogue","catalogue":{"institutions":[],"x":1}}"#,
            Verdict::UnknownField,
        ),
        (br#"{"ask":"catalogue"}"#, Verdict::WrongDirection),
        (b"nothing", Verdict::Malformed),
    ];
    for (message, verdict) in cases {
        let answering = async {
            let (mut send, mut receive) = link.conn.accept_bi().await.unwrap();
            read_frame(&mut receive, CONTROL_BYTES_MAX).await.unwrap();
            write_frame(&mut send, message).await.unwrap();
            send.finish().unwrap();
        };
        let before = counted(&edge.guard.stats(), Direction::Outward, verdict);
        let (refused, ()) = tokio::join!(edge.guard.ask(Ask::Catalogue), answering);
        assert!(matches!(refused, Err(AskError::Refused(_))), "{refused:?}");
        let after = counted(&edge.guard.stats(), Direction::Outward, verdict);
        assert_eq!(after, before + 1, "{verdict:?}");
    }
    for message in [
        &br#"{"ask":"catalogue"}"#[..],
        br#"{"order":"format-disk"}"#,
        br#"{"order":"end-session","session":"../x"}"#,
    ] {
        order(message).await;
    }
    let closed = link.conn.closed().await;
    assert!(
        matches!(closed, ConnectionError::ApplicationClosed(_)),
        "{closed:?}"
    );
    let refused: u64 = [
        Verdict::WrongDirection,
        Verdict::UnknownType,
        Verdict::UnknownField,
        Verdict::Malformed,
    ]
    .iter()
    .map(|&verdict| counted(&edge.guard.stats(), Direction::Outward, verdict))
    .sum();
    assert_eq!(refused, u64::from(REFUSALS_MAX));
    until(|| edge.guard.tunnels().is_empty()).await;
}

/// Lets only these kinds through.
struct Only(&'static [&'static str]);

impl Rows for Only {
    fn admit(&self, kind: &str, _bytes: usize, _peer: Option<&Peer>) -> Result<(), Refusal> {
        let lets = self.0.contains(&kind);
        lets.then_some(()).ok_or(Refusal::Undeclared)
    }
}

#[tokio::test]
async fn an_edge_passes_nothing_that_the_matrix_does_not_declare() {
    let cluster = Cluster::new();
    let kinds = &["ask.ticket", "order.hello", "order.revoke-ticket"];
    let edge = cluster.edge_that_lets(Arc::new(Only(kinds)));
    let fake = Fake::new(honest);
    let (_mesh, tunnels) = cluster.core("a1-1", &fake, &edge).await;
    let undeclared = |direction| counted(&edge.guard.stats(), direction, Verdict::Undeclared);
    let refused = Err(AskError::Refused(Refusal::Undeclared));
    assert_eq!(edge.guard.ask(Ask::Catalogue).await, refused);
    assert_eq!(fake.asked.load(SeqCst), 0, "the core does not hear of it");
    assert_eq!(undeclared(Direction::Inward), 1);

    // Asked, answered, and the answer does not come out; however often, the tunnel stays.
    let ticket = ticket_id();
    for _ in 0..=REFUSALS_MAX {
        let ask = Ask::Ticket {
            ticket: ticket.clone(),
        };
        assert_eq!(edge.guard.ask(ask).await, refused);
    }
    assert_eq!(fake.asked.load(SeqCst), REFUSALS_MAX as usize + 1);
    let session = "s-1".parse().unwrap();
    tunnels.order(Order::EndSession { session });
    tunnels.order(Order::RevokeTicket { ticket });
    until(|| edge.orders.has("revoke t-1")).await;
    let expected = u64::from(REFUSALS_MAX) + 2;
    until(|| undeclared(Direction::Outward) == expected).await;
    assert!(!edge.orders.has("end s-1"));
    assert_eq!(edge.guard.tunnels().len(), 1);
}

#[tokio::test]
async fn a_core_takes_nothing_that_the_matrix_does_not_declare_and_says_so() {
    let cluster = Cluster::new();
    let fake = Fake::new(honest);
    let rows = Arc::new(Only(&["ask.catalogue", "answer.refused", "order.hello"]));
    let (_edge, tunnels, link) = rogue_edge_of(&cluster, fake.clone(), rows).await;
    let told = async |message: &[u8]| match raw_ask(&link, message).await {
        Some(Answer::Refused { problem }) => problem.code,
        other => panic!("{other:?}"),
    };
    for _ in 0..=REFUSALS_MAX {
        let code = told(br#"{"ask":"ticket","ticket":"t-1"}"#).await;
        assert_eq!(code, Code::GuardRefused);
    }
    assert_eq!(fake.asked.load(SeqCst), 0);
    // A question that may come in, with an answer that may not go out.
    assert_eq!(told(br#"{"ask":"catalogue"}"#).await, Code::GuardRefused);
    assert_eq!(fake.asked.load(SeqCst), 1);
    let undeclared = |direction| counted(&tunnels.stats(), direction, Verdict::Undeclared);
    assert_eq!(undeclared(Direction::Inward), u64::from(REFUSALS_MAX) + 1);
    assert_eq!(undeclared(Direction::Outward), 1);
}

#[tokio::test]
async fn orders_reach_an_edge_also_when_it_was_away() {
    let cluster = Cluster::new();
    let edge = cluster.edge();
    let mesh = cluster.node("a1-1", "inner");
    let tunnels = cluster.tunnels(mesh, Fake::new(honest));
    let session = "s-1".parse().unwrap();
    tunnels.order(Order::EndSession { session });
    tunnels.keep(std::slice::from_ref(&edge.target));
    until(|| edge.orders.has("end s-1") && edge.orders.has("epoch 3")).await;
    let ticket = ticket_id();
    tunnels.order(Order::RevokeTicket { ticket });
    until(|| edge.orders.has("revoke t-1")).await;

    tunnels.keep(&[]);
    until(|| edge.guard.tunnels().is_empty()).await;
    let session = "s-2".parse().unwrap();
    tunnels.order(Order::EndSession { session });
    tunnels.keep(std::slice::from_ref(&edge.target));
    until(|| edge.orders.has("end s-2")).await;
}

#[tokio::test]
async fn a_core_of_an_old_epoch_is_refused() {
    let cluster = Cluster::new();
    let edge = cluster.edge();
    let new = Fake::of_epoch(5, honest);
    let (_mesh, _tunnels) = cluster.core("a1-1", &new, &edge).await;
    let old = Fake::of_epoch(4, honest);
    let stale = cluster.tunnels(cluster.node("b-1", "inner"), old.clone());
    stale.keep(std::slice::from_ref(&edge.target));
    let refused = || counted(&edge.guard.stats(), Direction::Outward, Verdict::OldEpoch);
    until(|| refused() > 0).await;
    for _ in 0..4 {
        edge.guard.ask(Ask::Catalogue).await.unwrap();
    }
    assert_eq!((new.asked.load(SeqCst), old.asked.load(SeqCst)), (4, 0));
    assert_eq!(edge.guard.epoch(), Epoch(5));
}

#[tokio::test]
async fn only_what_may_be_repeated_is_asked_twice() {
    let cluster = Cluster::new();
    let edge = cluster.edge();
    let fail = |_: &Ask| -> Answer { panic!("on purpose") };
    let (one, two) = (Fake::new(fail), Fake::new(fail));
    let _one = cluster.core("a1-1", &one, &edge).await;
    let _two = cluster.core("a1-2", &two, &edge).await;
    let asked = || one.asked.load(SeqCst) + two.asked.load(SeqCst);
    assert_eq!(edge.guard.ask(open_ticket()).await, Err(AskError::Lost));
    assert_eq!(asked(), 1);
    assert_eq!(edge.guard.ask(Ask::Catalogue).await, Err(AskError::Lost));
    assert_eq!(asked(), 3);
}

#[tokio::test]
async fn a_core_without_a_leader_and_one_that_left_are_passed_over() {
    let cluster = Cluster::new();
    let edge = cluster.edge();
    let leaderless = Fake::new(|_| Answer::Refused {
        problem: Problem::new(Code::NoLeader, "no quorum"),
    });
    let good = Fake::new(honest);
    let _cut = cluster.core("b-1", &leaderless, &edge).await;
    let (mesh, tunnels) = cluster.core("a1-1", &good, &edge).await;
    for _ in 0..6 {
        let answer = edge.guard.ask(Ask::Catalogue).await.unwrap();
        assert!(matches!(answer, Answer::Catalogue { .. }));
    }
    assert!(leaderless.asked.load(SeqCst) <= 1, "known to be leaderless");

    tunnels.keep(&[]);
    mesh.close().await;
    until(|| edge.guard.tunnels().len() == 1).await;
    let answer = edge.guard.ask(Ask::Catalogue).await.unwrap();
    assert!(matches!(answer, Answer::Refused { .. }));
}

#[tokio::test]
async fn a_watch_moves_to_another_tunnel_and_ends_with_its_ticket() {
    let cluster = Cluster::new();
    let edge = cluster.edge();
    let (one, two) = (Fake::new(honest), Fake::new(honest));
    let (_mesh, tunnels) = cluster.core("a1-1", &one, &edge).await;
    let mut views = edge.guard.watch(ticket_id()).await.unwrap();
    assert_eq!(views.next().await, Some(waiting(1)));
    one.views.send_replace(waiting(2));
    assert_eq!(views.next().await, Some(waiting(2)));

    let _two = cluster.core("a1-2", &two, &edge).await;
    two.views.send_replace(waiting(3));
    tunnels.keep(&[]);
    assert_eq!(views.next().await, Some(waiting(3)));
    two.views.send_replace(ended());
    assert_eq!(views.next().await, Some(ended()));
    assert_eq!(views.next().await, None);
    until(|| one.watched.load(SeqCst) + two.watched.load(SeqCst) == 0).await;
}

#[tokio::test]
async fn a_watch_that_is_dropped_ends_inside_and_a_strangers_is_refused() {
    let cluster = Cluster::new();
    let edge = cluster.edge();
    let fake = Fake::new(honest);
    let _core = cluster.core("a1-1", &fake, &edge).await;
    let mut views = edge.guard.watch(ticket_id()).await.unwrap();
    assert_eq!(StreamView::next(&mut views).await, Some(waiting(1)));
    assert_eq!(fake.watched.load(SeqCst), 1);
    drop(views);
    until(|| fake.watched.load(SeqCst) == 0).await;
    let refused = edge.guard.watch("t-2".parse().unwrap()).await.unwrap_err();
    assert_eq!(refused.problem().code, Code::NotFound);
}

/// The watch as a stream, the way a page's event source reads it.
struct StreamView;

impl StreamView {
    async fn next(views: &mut Watch) -> Option<TicketView> {
        futures::StreamExt::next(views).await
    }
}
