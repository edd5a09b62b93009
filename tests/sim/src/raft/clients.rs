//! Clients: each asks any node, waits for the answer, and remembers.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use guitai_meta::{Meta, State, sim::Watch};
use guitai_types::{
    NodeId, StaffRef, TicketId,
    command::{Command, Reply},
    record::Staff,
};
use tokio::task::JoinHandle;

use super::{Fault, cluster::Cluster, history::SERIAL_FIRST, trace::digest};
use crate::{
    Dice,
    bank::{self, id},
    world::SMALL,
};

/// Clients at a time.
const CLIENTS: u64 = 4;
/// Registers; a register is the number of a staff account.
const KEYS: u64 = 3;
/// Longest pause of a client between two operations, in milliseconds.
const PAUSE_MS: u64 = 120;

/// The clients of one world.
#[derive(Debug)]
pub struct Clients {
    done: Arc<AtomicBool>,
    tasks: Vec<JoinHandle<()>>,
    cluster: Cluster,
}

/// Tickets that were acknowledged, with the serial each was given.
pub type Tickets = Arc<Mutex<Vec<(TicketId, u64)>>>;

/// Starts them.
pub fn start(cluster: &Cluster, dice: &mut Dice) -> Clients {
    let done = Arc::new(AtomicBool::new(false));
    let tasks = (0..CLIENTS).map(|number| {
        let client = Client {
            number,
            cluster: cluster.clone(),
            dice: Dice::new(dice.throw()),
            done: done.clone(),
        };
        tokio::spawn(client.live())
    });
    Clients {
        tasks: tasks.collect(),
        cluster: cluster.clone(),
        done,
    }
}

impl Clients {
    /// Lets every client finish what it does.
    pub async fn stop(self) {
        self.done.store(true, Ordering::Relaxed);
        for task in self.tasks {
            if let Err(error) = task.await {
                self.cluster
                    .oracle()
                    .accuse(format!("a client broke: {error}"));
            }
        }
    }
}

struct Client {
    number: u64,
    cluster: Cluster,
    dice: Dice,
    done: Arc<AtomicBool>,
}

impl Client {
    async fn live(mut self) {
        while !self.done.load(Ordering::Relaxed) {
            let pause_ms = self.dice.below(PAUSE_MS);
            tokio::time::sleep(Duration::from_millis(pause_ms)).await;
            // Some remember who leads, or think so: two nodes may believe it at once.
            let leader = if self.dice.percent(30) {
                self.dice.pick(self.cluster.leaders())
            } else {
                None
            };
            let anybody = self.dice.pick(self.cluster.nodes());
            let Some(node) = leader.or(anybody) else {
                return;
            };
            if self.cluster.meta(node).is_none() {
                continue;
            }
            match self.dice.below(100) {
                0..45 => write(&self.cluster, node, self.dice.below(KEYS)).await,
                45..80 => self.read(node).await,
                _ => self.open_ticket(node).await,
            };
        }
    }

    async fn read(&mut self, node: NodeId) -> bool {
        let key = self.dice.below(KEYS);
        let history = self.cluster.history();
        let from = history.begin_read();
        let stale = self.cluster.fault() == Some(Fault::StaleRead);
        let look = move |meta: Meta| async move {
            if stale && Watch::of(&meta).look().leads {
                return Some(meta.peek(|state| register(state, key)));
            }
            meta.read(move |state| register(state, key)).await.ok()
        };
        let seen = self.cluster.on(node, look).await.flatten();
        let number = self.number;
        self.cluster.trace().note(format_args!(
            "client {number} reads register {key} on {node}: {seen:?}"
        ));
        match seen {
            Some(Some(serial)) => {
                history.seen(key, from, serial);
                self.cluster.oracle().count(|figures| figures.reads += 1);
                true
            }
            Some(None) => {
                let text = format!("register {key} is gone on node {node}");
                self.cluster.oracle().accuse(text);
                false
            }
            None => false,
        }
    }

    async fn open_ticket(&mut self, node: NodeId) -> bool {
        let ticket = TicketId::from_random(self.dice.id());
        let command = Command::OpenTicket {
            ticket: ticket.clone(),
            institution: id("bank1"),
            queue: id("retail"),
            edge: id("edge-a1"),
            customer: "张三".to_owned(),
            consent: bank::consent(true),
            media_key: bank::point(self.dice.below(u64::MAX)),
        };
        let mark = mark(&command);
        let reply = self.cluster.write(node, command).await;
        let number = self.number;
        self.cluster.trace().note(format_args!(
            "client {number} opens {ticket} on {node}: {reply:?}"
        ));
        let oracle = self.cluster.oracle();
        match reply {
            Some(Ok(Reply::Ticket { serial })) => {
                self.cluster.see_acknowledged(mark);
                oracle.count(|figures| figures.writes += 1);
                self.cluster
                    .tickets()
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .push((ticket, serial));
                true
            }
            Some(Ok(other)) => {
                oracle.accuse(format!("a ticket was answered with {other:?}"));
                false
            }
            Some(Err(_)) | None => {
                oracle.count(|figures| figures.unknown += 1);
                false
            }
        }
    }
}

/// Writes a new serial to a register through a node; true if it was acknowledged.
pub async fn write(cluster: &Cluster, node: NodeId, key: u64) -> bool {
    let (pending, serial) = cluster.history().begin_write(key);
    let command = put(key, serial);
    let mark = mark(&command);
    let reply = cluster.write(node, command).await;
    cluster.trace().note(format_args!(
        "register {key} := {serial} on {node}: {reply:?}"
    ));
    let oracle = cluster.oracle();
    match reply {
        Some(Ok(Reply::Done)) => {
            cluster.see_acknowledged(mark);
            cluster.history().written(pending);
            oracle.count(|figures| figures.writes += 1);
            true
        }
        Some(Ok(other)) => {
            oracle.accuse(format!("a write was answered with {other:?}"));
            false
        }
        Some(Err(_)) | None => {
            oracle.count(|figures| figures.unknown += 1);
            false
        }
    }
}

/// The serial in a register; 0 while it holds what the bank was founded with.
pub fn register(state: &State, key: u64) -> Option<u64> {
    let staff = state.staff(&holder(key))?;
    let serial: u64 = staff.number.parse().ok()?;
    Some(if serial < SERIAL_FIRST { 0 } else { serial })
}

/// The serial that a command writes, if it writes a register.
pub fn written(command: &Command) -> Option<u64> {
    match command {
        Command::PutStaff { staff } => staff.number.parse().ok(),
        _ => None,
    }
}

/// What tells the sync writes of the clients apart.
pub fn mark(command: &Command) -> Option<u64> {
    match command {
        Command::PutStaff { staff } => Some(digest(&staff.number)),
        Command::OpenTicket { ticket, .. } => Some(digest(ticket.to_string())),
        _ => None,
    }
}

fn holder(key: u64) -> StaffRef {
    bank::agent(0, key)
}

fn put(key: u64, serial: u64) -> Command {
    let Command::Found { staff, .. } = bank::found(SMALL) else {
        return Command::Tick;
    };
    let holder = holder(key);
    let account = staff.into_iter().find(|staff| staff.id == holder);
    match account {
        Some(account) => Command::PutStaff {
            staff: Box::new(Staff {
                number: serial.to_string(),
                ..account
            }),
        },
        None => Command::Tick,
    }
}
