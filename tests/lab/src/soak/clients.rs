//! Who sees what happens: clients of registers, customers who come and go, and followers of events.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use guitai_history::{Done, Op, check};
use guitai_host::SeededEntropy;
use serde_json::Value;
use tokio::task::JoinSet;

use super::seeded;
use crate::measure::{
    Place,
    guitai::{Marker, Operator},
    http::Http,
};

/// Clients of registers.
const CLIENTS: u64 = 6;
/// Registers.
const REGISTERS: u64 = 8;
/// An operation that takes longer is given up; what became of it is unknown.
const ANSWER_MAX: Duration = Duration::from_secs(4);
/// A client's pause between two operations.
const PAUSE: Duration = Duration::from_millis(80);
/// A customer's.
const CUSTOMER_PAUSE: Duration = Duration::from_millis(700);
/// How long a stream of events may be silent before it is opened anew; it is kept alive more often.
const SILENT_MAX: Duration = Duration::from_secs(20);

/// What was seen; clones are the same.
#[derive(Debug, Clone, Default)]
pub(super) struct Witness {
    began: Arc<Mutex<Option<Instant>>>,
    registers: Arc<Mutex<BTreeMap<u64, Vec<Done>>>>,
    serial: Arc<AtomicU64>,
    followers: Arc<Mutex<BTreeMap<SocketAddr, Follower>>>,
}

#[derive(Debug, Default)]
struct Follower {
    first: u64,
    last: u64,
    wrong: Vec<String>,
}

impl Witness {
    /// Starts everybody; they end when `stop` is set, the followers when the tasks are dropped.
    pub(super) fn start(
        &self,
        doors: &[Place],
        edges: &[SocketAddr],
        operator: &Operator,
        seed: u64,
        stop: &Arc<AtomicBool>,
    ) -> JoinSet<()> {
        *lock(&self.began) = Some(Instant::now());
        let mut tasks = JoinSet::new();
        for number in 0..CLIENTS {
            let client = Client {
                witness: self.clone(),
                doors: doors.to_vec(),
                operator: operator.clone(),
                chance: seeded(seed, 10 + number),
                open: None,
            };
            tasks.spawn(client.run(Arc::clone(stop)));
        }
        tasks.spawn(customers(edges.to_vec(), seeded(seed, 5), Arc::clone(stop)));
        for door in doors {
            tasks.spawn(follow(self.clone(), door.clone(), operator.clone()));
        }
        tasks
    }

    /// Reads every register at every door, until each has answered once.
    pub(super) async fn read_all(&self, doors: &[Place], operator: &Operator) {
        for door in doors {
            for register in 0..REGISTERS {
                for _ in 0..20 {
                    let read = self.read(door, operator, register);
                    if tokio::time::timeout(ANSWER_MAX, read)
                        .await
                        .ok()
                        .flatten()
                        .is_some()
                    {
                        break;
                    }
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    }

    async fn read(&self, door: &Place, operator: &Operator, register: u64) -> Option<()> {
        let mut marker = Marker::connect(door, operator).await?;
        let from = self.now();
        let seen = marker.get(&name(register)).await?;
        self.saw(register, from, seen);
        Some(())
    }

    /// Waits until every follower has seen all events up to that number.
    pub(super) async fn caught_up(&self, newest: u64, patience: Duration) -> Result<(), String> {
        let began = Instant::now();
        loop {
            let behind = {
                let followers = lock(&self.followers);
                let behind = followers.iter().find(|(_, it)| it.last < newest);
                behind.map(|(door, it)| (*door, it.last))
            };
            match behind {
                None => return Ok(()),
                Some((door, last)) if began.elapsed() > patience => {
                    return Err(format!("{door} tells events to {last}, there are {newest}"));
                }
                Some(_) => tokio::time::sleep(PAUSE).await,
            }
        }
    }

    /// Operations answered, and writes of unknown outcome.
    pub(super) fn counts(&self) -> (u64, u64) {
        let registers = lock(&self.registers);
        let all = registers.values().flatten();
        let unknown = all.clone().filter(|done| done.to == u64::MAX).count() as u64;
        (all.count() as u64 - unknown, unknown)
    }

    /// Events that the follower who saw the fewest saw.
    pub(super) fn events(&self) -> u64 {
        let followers = lock(&self.followers);
        let seen = followers
            .values()
            .map(|it| it.last.saturating_sub(it.first));
        seen.min().unwrap_or(0)
    }

    /// What cannot be explained.
    pub(super) fn violations(&self) -> Vec<String> {
        let mut all = Vec::new();
        for (register, done) in &*lock(&self.registers) {
            if let Err(what) = check(done) {
                all.push(format!("{}: {what}", name(*register)));
            }
        }
        for (door, follower) in &*lock(&self.followers) {
            all.extend(
                follower
                    .wrong
                    .iter()
                    .map(|what| format!("events at {door}: {what}")),
            );
        }
        all
    }

    /// A register and a value acknowledged for it before another was.
    pub(super) fn older(&self) -> Option<(String, String)> {
        let registers = lock(&self.registers);
        registers.iter().find_map(|(register, done)| {
            let mut written = done.iter().filter_map(|done| match done.op {
                Op::Write(serial) if done.to != u64::MAX => Some((done.to, done.from, serial)),
                _ => None,
            });
            let (answered, _, old) = written.next()?;
            // Another must have begun after it was answered, or the old value would be a right answer.
            written.find(|(_, from, _)| *from > answered)?;
            Some((name(*register), old.to_string()))
        })
    }

    fn now(&self) -> u64 {
        let began = lock(&self.began).map_or(Duration::ZERO, |began| began.elapsed());
        u64::try_from(began.as_nanos()).unwrap_or(u64::MAX - 1)
    }

    fn saw(&self, register: u64, from: u64, seen: Option<String>) {
        let serial = match seen {
            None => 0,
            // What nobody wrote is written by nobody in the history, either.
            Some(text) => text.parse().unwrap_or(u64::MAX),
        };
        let (op, to) = (Op::Read(serial), self.now());
        lock(&self.registers)
            .entry(register)
            .or_default()
            .push(Done { op, from, to });
    }
}

fn name(register: u64) -> String {
    format!("register-{register}")
}

struct Client {
    witness: Witness,
    doors: Vec<Place>,
    operator: Operator,
    chance: SeededEntropy,
    open: Option<Marker>,
}

impl Client {
    async fn run(mut self, stop: Arc<AtomicBool>) {
        while !stop.load(Ordering::Relaxed) {
            let done = tokio::time::timeout(ANSWER_MAX, self.one()).await;
            if !matches!(done, Ok(Some(()))) {
                self.open = None;
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    async fn one(&mut self) -> Option<()> {
        let register = self.chance.below(REGISTERS);
        let writes = self.chance.chance(50);
        let sync = self.chance.chance(50);
        // Clients wander: a read at another node than the write is where staleness would show.
        if self.open.is_none() || self.chance.chance(20) {
            let door = self.chance.below(self.doors.len() as u64) as usize;
            self.open = Marker::connect(self.doors.get(door)?, &self.operator).await;
        }
        let marker = self.open.as_mut()?;
        if !writes {
            let from = self.witness.now();
            let seen = marker.get(&name(register)).await?;
            self.witness.saw(register, from, seen);
            return Some(());
        }
        let serial = self.witness.serial.fetch_add(1, Ordering::Relaxed) + 1;
        let at = {
            let mut registers = lock(&self.witness.registers);
            let done = registers.entry(register).or_default();
            done.push(Done {
                op: Op::Write(serial),
                from: self.witness.now(),
                to: u64::MAX,
            });
            done.len() - 1
        };
        marker
            .put(&name(register), &serial.to_string(), sync)
            .await?;
        let to = self.witness.now();
        let mut registers = lock(&self.witness.registers);
        if let Some(done) = registers.get_mut(&register).and_then(|all| all.get_mut(at)) {
            done.to = to;
        }
        Some(())
    }
}

/// Customers take a ticket and leave; each makes numbered events.
async fn customers(edges: Vec<SocketAddr>, chance: SeededEntropy, stop: Arc<AtomicBool>) {
    // A valid point of curveSM2: the generator (GB/T 32918.5).
    let body = concat!(
        r#"{"institution":"demo-bank","queue":"loan","customer":"测试","#,
        r#""consent":{"recording":true,"wording":"2026-11","at":1},"media_key":""#,
        "0432c4ae2c1f1981195f9904466a39c9948fe30bbff2660be1715a4589334c74c7",
        "bc3736a2f4f6779c59bdcee36b692153d0a9877cc62a474002df32e52139f0a0",
        r#""}"#
    );
    while !stop.load(Ordering::Relaxed) {
        let edge = edges[chance.below(edges.len() as u64) as usize]; // there are edges
        let visit = async {
            let mut http = Http::connect(&Place::here(edge)).await.ok()?;
            let asked = http.ask("POST", "/api/v1/tickets", "", body.as_bytes());
            let answer: Value = serde_json::from_slice(&asked.await.ok()?.body).ok()?;
            let path = format!("/api/v1/tickets/{}/close", answer["ticket"].as_str()?);
            let token = answer["token"].as_str()?;
            http.ask("POST", &path, token, br#"{"hang_up":false}"#)
                .await
                .ok()
        };
        drop(tokio::time::timeout(ANSWER_MAX, visit).await);
        tokio::time::sleep(CUSTOMER_PAUSE).await;
    }
}

/// Follows the events of one node through all that happens to it.
async fn follow(witness: Witness, door: Place, operator: Operator) {
    loop {
        let _ended: Option<()> = listen(&witness, &door, &operator).await;
        tokio::time::sleep(PAUSE).await;
    }
}

async fn listen(witness: &Witness, door: &Place, operator: &Operator) -> Option<()> {
    if operator.token().is_empty() {
        operator.login(door).await?;
    }
    let last = lock(&witness.followers).get(&door.at).map(|it| it.last);
    let from = last.map_or_else(
        || "?from=1".to_owned(),
        |last| format!("?from={}", last + 1),
    );
    let mut http = Http::connect(door).await.ok()?;
    let path = format!("/api/v1/events{from}");
    let token = operator.token();
    let status = tokio::time::timeout(ANSWER_MAX, http.follow(&path, &token));
    match status.await.ok()?.ok()? {
        200 => {}
        401 => return operator.login(door).await,
        _ => return None,
    }
    loop {
        let line = tokio::time::timeout(SILENT_MAX, http.line())
            .await
            .ok()?
            .ok()??;
        let number = line
            .strip_prefix("id:")
            .and_then(|text| text.trim().parse().ok());
        if let Some(number) = number {
            note(witness, door.at, number);
        }
    }
}

fn note(witness: &Witness, door: SocketAddr, number: u64) {
    let mut followers = lock(&witness.followers);
    let follower = followers.entry(door).or_insert_with(|| Follower {
        first: number.saturating_sub(1),
        last: number.saturating_sub(1),
        wrong: Vec::new(),
    });
    if number != follower.last + 1 {
        let last = follower.last;
        follower.wrong.push(format!("{number} comes after {last}"));
    }
    follower.last = follower.last.max(number);
}

/// Nothing that can panic runs under these locks.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
