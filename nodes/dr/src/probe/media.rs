//! Frames as probers send them: a node with a relay publishes numbered frames into the run's room, in the
//! relay of its own process, and asks two things. *Media*: does a frame come back from a relay of another
//! centre? It has then gone over the link between the centres and out to a subscriber there, the way of
//! every call between them. *Recording*: does any recorder say that the frame is durable?
//!
//! The first copy counts, from whichever relay or recorder it comes: a call, too, needs only one of them.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use futures::future::join_all;
use guitai_net::Target;
use guitai_recorder::canary::{self, Ask, CANARY_CALL, Held};
use guitai_relay::{
    Relay, RoomName,
    client::{Connection, Event},
    hang::{AudioConfig, Catalog},
};
use guitai_types::{
    Member, Role, RunId, Zone,
    dr::{Aim, Serials, Service},
};
use tokio::task::JoinSet;

use super::{Prober, cadence};
use crate::recovery::Inner;

/// How far a group may fall behind before a subscriber gives it up.
const AGE_MAX: Duration = Duration::from_secs(2);
/// Pause before a relay is connected again.
const AGAIN: Duration = Duration::from_millis(200);
/// Pause between two questions to a recorder.
const RECORDER_ASKED: Duration = Duration::from_millis(100);
/// How long a recorder may take to answer; to read back it opens a journal.
const RECORDER_MS_MAX: u64 = 2_000;
/// Bits per second that the catalog says; a frame has eight bytes.
const BITRATE: u64 = 6_400;

/// Where frames go: the run's room, and who is asked for them.
pub(super) struct Room {
    run: RunId,
    name: RoomName,
    relay: Relay,
    relays: Vec<Target>,
    recorders: Vec<Target>,
}

/// When each frame was sent, by serial.
type Sent = Arc<Mutex<Vec<Duration>>>;

impl Room {
    /// `None` on a node that relays nothing. After a takeover the other city's nodes are not asked.
    pub(super) fn of(inner: &Inner, run: &RunId, aim: &Aim) -> Option<Self> {
        let relay = inner.relay.clone()?;
        let me = &inner.member;
        let (relays, recorders) = inner.meta.peek(|state| {
            let city = |member: &Member| state.centre(&member.centre).map(|it| it.city.clone());
            let is_left =
                |member: &&Member| !matches!(aim, Aim::City { .. }) || city(member) == city(me);
            let there = |role: Role| {
                let members = state.members();
                let there = members.filter(move |it| it.zone == Zone::Inner && it.has(role));
                there.filter(|it| it.id != me.id).filter(is_left)
            };
            let relays = there(Role::Relay).filter(|it| it.centre != me.centre);
            (
                relays.map(Target::from).collect(),
                there(Role::Recorder).map(Target::from).collect(),
            )
        });
        Some(Self {
            run: run.clone(),
            name: canary::room(run)?,
            relay,
            relays,
            recorders,
        })
    }

    /// Publishes and asks; nothing where nobody can be asked.
    pub(super) fn begin(&self, inner: &Arc<Inner>, tasks: &mut JoinSet<()>) -> Vec<Prober> {
        let sent = Sent::default();
        let mut probers = Vec::new();
        if !self.relays.is_empty() {
            let prober = Prober::new(inner, Service::Media);
            for relay in &self.relays {
                let seen = Seen::new(inner, &prober, &sent);
                tasks.spawn(receive(seen, relay.clone(), self.name.clone()));
            }
            probers.push(prober);
        }
        if !self.recorders.is_empty() {
            let prober = Prober::new(inner, Service::Recording);
            for recorder in &self.recorders {
                let seen = Seen::new(inner, &prober, &sent);
                tasks.spawn(ask(seen, recorder.clone(), self.run.clone()));
            }
            probers.push(prober);
        }
        if !probers.is_empty() {
            let (relay, name) = (self.relay.clone(), self.name.clone());
            tasks.spawn(publish(inner.clone(), relay, name, probers.clone(), sent));
        }
        probers
    }

    /// What recorders hold of this prober's frames, read back from their disks; `None` if none is asked.
    pub(super) async fn read_back(&self, inner: &Inner) -> Option<Serials> {
        let asked = self.recorders.iter().map(|recorder| {
            let ask = Ask {
                run: self.run.clone(),
                prober: inner.member.name.clone(),
                read_back: true,
            };
            held(inner, recorder, ask)
        });
        let mut all = Serials::default();
        for held in join_all(asked).await.into_iter().flatten() {
            all.insert_all(&held);
        }
        (!self.recorders.is_empty()).then_some(all)
    }
}

/// Sends a frame at the cadence. Both lanes count every frame, so that their serials are the same.
async fn publish(inner: Arc<Inner>, relay: Relay, room: RoomName, lanes: Vec<Prober>, sent: Sent) {
    let catalog = Catalog::new(None, Some(AudioConfig::opus(1, BITRATE)));
    let name = canary::broadcast(&inner.member.name);
    let mut publisher = match relay.publish(&room, &name, &catalog) {
        Ok(publisher) => publisher,
        Err(error) => {
            let error: &dyn std::error::Error = &error;
            tracing::warn!(%room, error, "canary frames are not published");
            return;
        }
    };
    let mut cadence = cadence(Service::Media);
    loop {
        cadence.tick().await;
        let now = inner.clock.monotonic();
        let serial = {
            let mut sent = sent.lock().unwrap_or_else(PoisonError::into_inner);
            sent.push(now);
            sent.len() as u64
        };
        for lane in &lanes {
            lane.meter().send();
        }
        let us = u64::try_from(now.as_micros()).unwrap_or(u64::MAX);
        if let Err(error) = publisher.audio(us, &canary::payload(serial)) {
            let error: &dyn std::error::Error = &error;
            tracing::warn!(%room, error, "a canary frame was not published");
        }
    }
}

/// What one way back has to say.
struct Seen {
    inner: Arc<Inner>,
    prober: Prober,
    sent: Sent,
}

impl Seen {
    fn new(inner: &Arc<Inner>, prober: &Prober, sent: &Sent) -> Self {
        Self {
            inner: inner.clone(),
            prober: prober.clone(),
            sent: sent.clone(),
        }
    }

    fn frame(&self, serial: u64) {
        let now = self.inner.clock.monotonic();
        let sent = self.sent.lock().unwrap_or_else(PoisonError::into_inner);
        let at = usize::try_from(serial.saturating_sub(1));
        // A number that was not sent is none of ours.
        if let Some(begin) = at.ok().and_then(|at| sent.get(at)) {
            self.prober
                .meter()
                .good(serial, now, now.saturating_sub(*begin));
        }
    }
}

/// Subscribes at another centre's relay, again and again.
async fn receive(seen: Seen, relay: Target, room: RoomName) {
    let name = canary::broadcast(&seen.inner.member.name);
    loop {
        let connected = Connection::connect_mesh(&seen.inner.mesh, &relay, &room.to_string()).await;
        match connected {
            Ok(connection) => {
                tokio::select! {
                    () = frames(&seen, &connection, &name) => {}
                    closed = connection.closed() => {
                        tracing::debug!(relay = %relay.name, %closed, "canary frames no longer come");
                    }
                }
            }
            Err(error) => {
                let error: &dyn std::error::Error = &error;
                tracing::debug!(relay = %relay.name, error, "canary frames are not received");
            }
        }
        tokio::time::sleep(AGAIN).await;
    }
}

async fn frames(seen: &Seen, connection: &Connection, name: &str) {
    let Ok(mut subscriber) = connection.room().subscribe(name, AGE_MAX).await else {
        return;
    };
    while let Some(event) = subscriber.next().await {
        if let Event::Frame(frame) = event
            && let Some(serial) = canary::serial(&frame.payload)
        {
            seen.frame(serial);
        }
    }
}

/// Asks a recorder what is durable, again and again.
async fn ask(seen: Seen, recorder: Target, run: RunId) {
    let mut pace = tokio::time::interval(RECORDER_ASKED);
    pace.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        pace.tick().await;
        let ask = Ask {
            run: run.clone(),
            prober: seen.inner.member.name.clone(),
            read_back: false,
        };
        let Some(held) = held(&seen.inner, &recorder, ask).await else {
            continue;
        };
        let new = held.missing_in(&seen.prober.meter().serials, usize::MAX);
        new.into_iter().for_each(|serial| seen.frame(serial));
    }
}

async fn held(inner: &Inner, recorder: &Target, ask: Ask) -> Option<Serials> {
    let within = Duration::from_millis(RECORDER_MS_MAX);
    let body = serde_json::to_vec(&ask).ok()?;
    let asked = inner
        .mesh
        .call_kind_within(recorder, CANARY_CALL, body, within);
    match asked.await {
        Ok(answer) => serde_json::from_slice::<Held>(&answer)
            .ok()
            .map(|held| held.serials),
        Err(error) => {
            let error: &dyn std::error::Error = &error;
            tracing::debug!(recorder = %recorder.name, error, "not asked what is durable");
            None
        }
    }
}
