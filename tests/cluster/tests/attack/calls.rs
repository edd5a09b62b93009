//! Calls beside an attack: light ones that talk all the while, and short ones by which it is measured how long a customer
//! waits from asking for a ticket to being answered.

use std::{
    fmt,
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use guitai_relay::{
    client::{Announcement, Connection, Event},
    hang::{AudioConfig, Catalog},
};
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use url::Url;

use super::http::{Events, ask, insist};

/// Frames of a light call's sound in a second, and bytes of each.
const FRAMES_PER_SECOND: u64 = 10;
const FRAME_BYTES: usize = 80;
/// Without a frame for so long, a call's sound is lost.
const SILENCE_MAX: Duration = Duration::from_secs(5);
/// A new call that has not been answered by then has failed.
const ANSWER_MAX: Duration = Duration::from_secs(20);
/// Pause between an agent's looks at the desk.
const LOOK: Duration = Duration::from_millis(50);
/// A valid point of curveSM2: the generator (GB/T 32918.5). Nothing is wrapped for it that anybody opens.
const KEY: &str = "0432c4ae2c1f1981195f9904466a39c9948fe30bbff2660be1715a4589334c74c7\
                   bc3736a2f4f6779c59bdcee36b692153d0a9877cc62a474002df32e52139f0a0";

/// An account of the login file.
#[derive(Clone)]
pub(super) struct Account(pub(super) Value);

/// An agent at an inner door.
struct Agent {
    core: SocketAddr,
    token: String,
}

impl Agent {
    async fn sit_down(core: SocketAddr, account: &Account) -> Self {
        let of = |name: &str| account.0[name].clone();
        let body = json!({ "institution": of("institution"), "name": of("name"), "password": of("password") });
        let login = insist(core, "POST", "/api/v1/login", "", &body.to_string()).await;
        let token = login.expect("a login")["token"].as_str().map(str::to_owned);
        let token = token.expect("a token");
        Self { core, token }
    }

    async fn send(&self, method: &str, path: &str, body: &Value) -> Result<Value, String> {
        insist(self.core, method, path, &self.token, &body.to_string()).await
    }

    async fn ready(&self) -> Result<Value, String> {
        let body = json!({ "presence": "ready", "media_key": KEY });
        self.send("PUT", "/api/v1/me/presence", &body).await
    }

    async fn desk(&self) -> Result<Value, String> {
        let (_, desk) = ask(self.core, "GET", "/api/v1/desk", &self.token, "")
            .await
            .map_err(|error| error.to_string())?;
        Ok(desk)
    }

    /// Takes what rings; gives the call.
    async fn accept(&self, desk: &Value) -> Option<Value> {
        let reservation = desk["ring"]["reservation"].as_str()?;
        let path = format!("/api/v1/reservations/{reservation}/accept");
        let (_, desk) = ask(self.core, "POST", &path, &self.token, "{}")
            .await
            .ok()?;
        (!desk["call"].is_null()).then(|| desk["call"].clone())
    }

    /// Takes one call after the other until it is over.
    async fn serve(self, over: Arc<AtomicBool>) {
        drop(self.ready().await);
        while !over.load(Ordering::Relaxed) {
            let desk = self.desk().await.unwrap_or_default();
            match desk["presence"].as_str() {
                Some("ringing") => drop(self.accept(&desk).await),
                Some("wrap-up") => {
                    drop(self.send("POST", "/api/v1/me/finish", &json!({})).await);
                    drop(self.ready().await);
                }
                Some("ready" | "busy") => {}
                _ => drop(self.ready().await),
            }
            tokio::time::sleep(LOOK).await;
        }
        let body = json!({ "presence": "offline", "media_key": KEY });
        drop(self.send("PUT", "/api/v1/me/presence", &body).await);
    }
}

/// A customer at the edge with a ticket.
struct Customer {
    edge: SocketAddr,
    ticket: String,
    token: String,
    events: Events,
}

impl Customer {
    async fn arrive(edge: SocketAddr, name: &str) -> Result<Self, String> {
        let body = json!({
            "institution": "demo-bank", "queue": "loan", "customer": name, "media_key": KEY,
            "consent": { "recording": true, "wording": "2026-11", "at": 1 },
        });
        let opened = insist(edge, "POST", "/api/v1/tickets", "", &body.to_string()).await?;
        let text = |name: &str| opened[name].as_str().unwrap_or_default().to_owned();
        let (ticket, token) = (text("ticket"), text("token"));
        let events = Self::follow(edge, &ticket, &token).await?;
        Ok(Self {
            edge,
            ticket,
            token,
            events,
        })
    }

    async fn follow(edge: SocketAddr, ticket: &str, token: &str) -> Result<Events, String> {
        let path = format!("/api/v1/tickets/{ticket}/events");
        let events = Events::open(edge, &path, token).await;
        events.map_err(|error| error.to_string())
    }

    /// The call, once it is answered. A stream that breaks off is opened again, as a page does.
    async fn answered(&mut self) -> Result<Value, String> {
        loop {
            match self.events.next().await {
                Ok(view) if view["phase"]["phase"] == "in-session" => {
                    return Ok(view["phase"]["call"].clone());
                }
                Ok(view) if view["phase"]["phase"] == "ended" => {
                    return Err(format!("ended: {view}"));
                }
                Ok(_) => {}
                Err(_) => {
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    if let Ok(events) = Self::follow(self.edge, &self.ticket, &self.token).await {
                        self.events = events;
                    }
                }
            }
        }
    }

    async fn hang_up(&self) {
        let path = format!("/api/v1/tickets/{}/close", self.ticket);
        drop(insist(self.edge, "POST", &path, &self.token, r#"{"hang_up":true}"#).await);
    }
}

/// How long new calls took.
#[derive(Debug, Default)]
pub(super) struct Probed {
    took: Vec<Duration>,
    /// Those that did not come about in time.
    pub(super) failed: usize,
}

impl Probed {
    pub(super) const fn made(&self) -> usize {
        self.took.len()
    }

    fn quantile(&self, part: f64) -> u128 {
        let last = self.took.len().saturating_sub(1);
        let at = (part * last as f64).round() as usize;
        self.took.get(at).map_or(0, Duration::as_millis)
    }
}

impl fmt::Display for Probed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let of = |part| self.quantile(part);
        let (made, failed) = (self.made(), self.failed);
        write!(
            f,
            "{made} made, {failed} failed, p50 {} ms, p99 {} ms, most {} ms",
            of(0.5),
            of(0.99),
            of(1.0)
        )
    }
}

/// Makes one new call after the other for each agent, for so long.
pub(super) fn probe(
    edge: SocketAddr,
    core: SocketAddr,
    agents: &[Account],
    span: Duration,
) -> Probed {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let over = Arc::<AtomicBool>::default();
    let probed = Arc::<Mutex<Probed>>::default();
    runtime.block_on(async {
        let mut tasks = tokio::task::JoinSet::new();
        for account in agents {
            let agent = Agent::sit_down(core, account).await;
            tasks.spawn(agent.serve(over.clone()));
        }
        let until = Instant::now() + span;
        let mut customers = tokio::task::JoinSet::new();
        for number in 0..agents.len() {
            let probed = probed.clone();
            customers.spawn(async move {
                while Instant::now() < until {
                    let asked = Instant::now();
                    let call = tokio::time::timeout(ANSWER_MAX, new_call(edge, number));
                    let made = call.await.unwrap_or_else(|_| Err("not in time".to_owned()));
                    let took = asked.elapsed();
                    let note = |outcome: &dyn Fn(&mut Probed)| {
                        outcome(&mut probed.lock().expect("nobody panics here"));
                    };
                    match made {
                        Ok(customer) => {
                            note(&|it| it.took.push(took));
                            customer.hang_up().await;
                        }
                        Err(why) => {
                            println!("a new call failed after {took:?}: {why}");
                            note(&|it| it.failed += 1);
                        }
                    }
                }
            });
        }
        while customers.join_next().await.is_some() {}
        over.store(true, Ordering::Relaxed);
        while tasks.join_next().await.is_some() {}
    });
    let mut probed = std::mem::take(&mut *probed.lock().expect("nobody panics here"));
    probed.took.sort_unstable();
    probed
}

async fn new_call(edge: SocketAddr, number: usize) -> Result<Customer, String> {
    let mut customer = Customer::arrive(edge, &format!("新客户{number}")).await?;
    customer.answered().await?;
    Ok(customer)
}

/// Light calls that talk until they are ended.
pub(super) struct Talks {
    calls: Vec<Talk>,
}

struct Talk {
    name: String,
    customer: Customer,
    tasks: Vec<JoinHandle<()>>,
    heard: Arc<[Heard; 2]>,
}

/// What one side hears of the other.
#[derive(Default)]
struct Heard {
    frames: AtomicU64,
    last_ms: AtomicU64,
    silence_ms: AtomicU64,
}

impl Talks {
    /// One call for each agent, one after the other.
    pub(super) async fn begin(edge: SocketAddr, core: SocketAddr, agents: &[Account]) -> Self {
        let mut calls = Vec::new();
        for (number, account) in agents.iter().enumerate() {
            let began = Talk::begin(edge, core, account, number).await;
            calls.push(began.unwrap_or_else(|why| panic!("light call {number}: {why}")));
        }
        Self { calls }
    }

    /// Ends them; says of each that was lost why. Each has to be heard for a while yet.
    pub(super) async fn end(self, still: Duration) -> Vec<String> {
        let frames = |talk: &Talk| {
            talk.heard
                .each_ref()
                .map(|it| it.frames.load(Ordering::Relaxed))
        };
        let before: Vec<[u64; 2]> = self.calls.iter().map(frames).collect();
        tokio::time::sleep(still).await;
        let mut lost = Vec::new();
        let (mut all, mut silence) = (0, 0);
        for (talk, before) in self.calls.iter().zip(before) {
            let after = frames(talk);
            let silent = talk
                .heard
                .each_ref()
                .map(|it| it.silence_ms.load(Ordering::Relaxed));
            all += after.iter().sum::<u64>();
            silence = silence.max(silent[0]).max(silent[1]);
            let goes_on = after[0] > before[0] && after[1] > before[1];
            let was_heard = silent
                .iter()
                .all(|it| u128::from(*it) <= SILENCE_MAX.as_millis());
            if !goes_on || !was_heard {
                lost.push(format!(
                    "{}: {before:?} to {after:?} frames, silent {silent:?} ms",
                    talk.name
                ));
            }
            talk.customer.hang_up().await;
            talk.tasks.iter().for_each(JoinHandle::abort);
        }
        println!(
            "light calls: {}, {all} frames heard, the longest silence of one {silence} ms, {} lost",
            self.calls.len(),
            lost.len()
        );
        lost
    }
}

impl Talk {
    async fn begin(
        edge: SocketAddr,
        core: SocketAddr,
        account: &Account,
        number: usize,
    ) -> Result<Self, String> {
        let agent = Agent::sit_down(core, account).await;
        agent.ready().await?;
        let name = format!("客户{number}");
        let mut customer = Customer::arrive(edge, &name).await?;
        let desk_call = loop {
            let desk = agent.desk().await?;
            if let Some(call) = agent.accept(&desk).await {
                break call;
            }
            tokio::time::sleep(LOOK).await;
        };
        let call = customer.answered().await?;
        let heard = Arc::<[Heard; 2]>::default();
        let began = Instant::now();
        let mut tasks = Vec::new();
        for (side, door, call) in [(0, edge, &call), (1, core, &desk_call)] {
            let media = call["media"].clone();
            let connection = Arc::new(connect(door, &media).await?);
            let (publishing, heard) = (connection.clone(), heard.clone());
            let own = media["publish"].as_str().unwrap_or_default().to_owned();
            tasks.push(tokio::spawn(
                async move { publish(&publishing, &own).await },
            ));
            let other = media["watch"].as_str().unwrap_or_default().to_owned();
            tasks.push(tokio::spawn(async move {
                listen(&connection, &other, &heard[side], began).await;
            }));
        }
        // Both parties attend: their tickets and desks have event streams open.
        let mut desk = Events::open(core, "/api/v1/desk/events", &agent.token)
            .await
            .map_err(|error| error.to_string())?;
        tasks.push(tokio::spawn(
            async move { while desk.next().await.is_ok() {} },
        ));
        let (ticket, token) = (customer.ticket.clone(), customer.token.clone());
        tasks.push(tokio::spawn(async move {
            loop {
                if let Ok(mut events) = Customer::follow(edge, &ticket, &token).await {
                    while events.next().await.is_ok() {}
                }
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
        }));
        Ok(Self {
            name,
            customer,
            tasks,
            heard,
        })
    }
}

async fn connect(door: SocketAddr, media: &Value) -> Result<Connection, String> {
    let view = insist(door, "GET", "/api/v1/door", "", "").await?;
    let (base, room, token) = (&view["webtransport"], &media["room"], &media["token"]);
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let url = format!("{}{}?jwt={}", text(base), text(room), text(token));
    let url = Url::parse(&url).map_err(|error| error.to_string())?;
    let connected = Connection::connect_webtransport(&url, &pins(&view)).await;
    connected.map_err(|error| format!("{door}: {error}"))
}

/// The certificates that a door names.
pub(super) fn pins(view: &Value) -> Vec<[u8; 32]> {
    let hashes = view["certificate_hashes"].as_array().into_iter().flatten();
    let byte = |hex: &str, at: usize| u8::from_str_radix(hex.get(2 * at..2 * at + 2)?, 16).ok();
    let pin = |hex: &str| -> Option<[u8; 32]> {
        let bytes: Option<Vec<u8>> = (0..32).map(|at| byte(hex, at)).collect();
        bytes?.try_into().ok()
    };
    hashes.filter_map(|it| pin(it.as_str()?)).collect()
}

/// Sound of nobody, light enough for many calls on one machine.
async fn publish(connection: &Connection, prefix: &str) {
    let catalog = Catalog::new(None, Some(AudioConfig::opus(1, 8_000)));
    let Ok(mut publisher) = connection.publish(&format!("{prefix}/1.hang"), &catalog) else {
        return;
    };
    let mut pace = tokio::time::interval(Duration::from_micros(1_000_000 / FRAMES_PER_SECOND));
    for number in 0_u64.. {
        pace.tick().await;
        let at = number * 1_000_000 / FRAMES_PER_SECOND;
        if publisher.audio(at, &[0x5a; FRAME_BYTES]).is_err() {
            return;
        }
    }
}

async fn listen(connection: &Connection, prefix: &str, heard: &Heard, began: Instant) {
    let mut broadcasts = connection.room().announced(prefix);
    while let Some(change) = broadcasts.next().await {
        let Announcement::Started(name) = change else {
            continue;
        };
        let subscribed = connection.room().subscribe(&name, SILENCE_MAX).await;
        let Ok(mut subscriber) = subscribed else {
            continue;
        };
        while let Some(event) = subscriber.next().await {
            if !matches!(event, Event::Frame(_)) {
                continue;
            }
            let now = began.elapsed().as_millis() as u64;
            let last = heard.last_ms.swap(now, Ordering::Relaxed);
            if heard.frames.fetch_add(1, Ordering::Relaxed) > 0 {
                let silence = now.saturating_sub(last);
                heard.silence_ms.fetch_max(silence, Ordering::Relaxed);
            }
        }
    }
}
