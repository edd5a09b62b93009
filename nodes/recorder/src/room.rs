//! Frames of a room, through whichever inner relay can be reached: the one in this process, or one
//! over the mesh. A connection that breaks is replaced; the relay then repeats what it still has.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use guitai_net::{Mesh, Target};
use guitai_relay::{
    Relay, RoomName,
    client::{Announcement, Connection, Event, Room},
    hang::Catalog,
};
use tokio::{sync::mpsc, task::JoinSet};

use crate::{cluster::Cluster, take::PARTIES};

/// How far a group may fall behind before it is given up, and how much of the past is received by a
/// recorder that comes back.
const AGE_MAX: Duration = Duration::from_secs(30);
/// Frames waiting for the recording, over all broadcasts; when it is full, the relay's cache waits.
const WAITING_MAX: usize = 1_024;
/// Broadcasts of one room received at once; a party that publishes more than this is not recorded
/// more, and meanwhile the other party is.
const BROADCASTS_MAX: usize = 16;
/// Pause before the next relay is tried; doubles up to [`PAUSE_MAX`].
const PAUSE_MIN: Duration = Duration::from_millis(100);
/// Longest such pause: half of what a gap may be.
const PAUSE_MAX: Duration = Duration::from_secs(1);

/// What a room gives.
#[derive(Debug)]
pub(crate) enum Arrival {
    /// A broadcast's catalog, before its first frame and whenever it changes.
    Catalog {
        broadcast: Arc<str>,
        catalog: Box<Catalog>,
    },
    /// A frame, as published.
    Frame {
        broadcast: Arc<str>,
        track: Arc<str>,
        timestamp_us: u64,
        payload: Bytes,
    },
    /// Frames of a track are missing from here on.
    Skipped {
        broadcast: Arc<str>,
        track: Arc<str>,
    },
    /// A broadcast is over, or can no longer be received.
    Ended { broadcast: Arc<str> },
}

/// Receives a room until the receiver is dropped.
pub(crate) trait Rooms: Send + Sync {
    fn receive(&self, room: RoomName) -> mpsc::Receiver<Arrival>;
}

/// Rooms of the cluster's relays.
pub(crate) struct Relays {
    pub(crate) cluster: Arc<dyn Cluster>,
    pub(crate) mesh: Mesh,
    pub(crate) local: Option<Relay>,
}

impl Rooms for Relays {
    fn receive(&self, room: RoomName) -> mpsc::Receiver<Arrival> {
        let (sender, receiver) = mpsc::channel(WAITING_MAX);
        let (cluster, mesh, local) = (self.cluster.clone(), self.mesh.clone(), self.local.clone());
        tokio::spawn(async move {
            let closed = sender.clone();
            tokio::select! {
                () = closed.closed() => {}
                () = follow(&cluster, &mesh, local.as_ref(), &room, &sender) => {}
            }
        });
        receiver
    }
}

async fn follow(
    cluster: &Arc<dyn Cluster>,
    mesh: &Mesh,
    local: Option<&Relay>,
    room: &RoomName,
    sender: &mpsc::Sender<Arrival>,
) {
    let mut pause = PAUSE_MIN;
    for attempt in 0_usize.. {
        let received = match local {
            Some(relay) => match relay.consume(room) {
                Ok(view) => receive_all(view, sender).await,
                Err(error) => {
                    tracing::warn!(%room, %error, "this node's relay does not show the room");
                    false
                }
            },
            None => match pick(cluster.relays(&mesh.me().name), attempt) {
                Some(relay) => over_mesh(mesh, &relay, room, sender).await,
                None => false,
            },
        };
        if sender.is_closed() {
            return;
        }
        pause = if received {
            PAUSE_MIN
        } else {
            (pause * 2).min(PAUSE_MAX)
        };
        tokio::time::sleep(pause).await;
    }
}

/// The relays in turn, the nearest first.
fn pick(relays: Vec<Target>, attempt: usize) -> Option<Target> {
    let count = relays.len().max(1);
    relays.into_iter().nth(attempt % count)
}

/// Returns whether anything was received, when the connection is over.
async fn over_mesh(
    mesh: &Mesh,
    relay: &Target,
    room: &RoomName,
    sender: &mpsc::Sender<Arrival>,
) -> bool {
    let connection = match Connection::connect_mesh(mesh, relay, &room.to_string()).await {
        Ok(connection) => connection,
        Err(error) => {
            let error: &dyn std::error::Error = &error;
            tracing::warn!(%room, relay = %relay.name, error, "relay not reached");
            return false;
        }
    };
    tracing::info!(%room, relay = %relay.name, "receiving");
    let view = connection.room().clone();
    tokio::select! {
        received = receive_all(view, sender) => received,
        closed = connection.closed() => {
            tracing::warn!(%room, relay = %relay.name, %closed, "connection to the relay is over");
            true
        }
    }
}

async fn receive_all(room: Room, sender: &mpsc::Sender<Arrival>) -> bool {
    let mut announced = room.announced("");
    let mut receiving = JoinSet::new();
    let mut received = false;
    while let Some(news) = announced.next().await {
        let Announcement::Started(name) = news else {
            continue;
        };
        while receiving.try_join_next().is_some() {}
        let party = name.split('/').next().unwrap_or_default();
        if !PARTIES.contains(&party) {
            continue;
        }
        if receiving.len() >= BROADCASTS_MAX {
            tracing::warn!(
                name,
                "more than BROADCASTS_MAX = {BROADCASTS_MAX} broadcasts in a room"
            );
            continue;
        }
        received = true;
        receiving.spawn(receive(room.clone(), name, sender.clone()));
    }
    // Dropping the set ends every subscription of this connection.
    received
}

/// Receives one broadcast to its end. An error in sending means that the recording is over.
async fn receive(room: Room, name: String, sender: mpsc::Sender<Arrival>) {
    let broadcast: Arc<str> = name.as_str().into();
    let mut subscriber = match room.subscribe(&name, AGE_MAX).await {
        Ok(subscriber) => subscriber,
        Err(error) => {
            let error: &dyn std::error::Error = &error;
            tracing::warn!(name, error, "broadcast not received");
            return;
        }
    };
    let catalog = Box::new(subscriber.catalog().clone());
    let mut arrival = Some(Arrival::Catalog {
        broadcast: broadcast.clone(),
        catalog,
    });
    while let Some(next) = arrival.take() {
        if sender.send(next).await.is_err() {
            return;
        }
        let broadcast = broadcast.clone();
        arrival = subscriber.next().await.map(|event| match event {
            Event::Frame(frame) => Arrival::Frame {
                broadcast,
                track: frame.track,
                timestamp_us: frame.timestamp_us,
                payload: frame.payload,
            },
            Event::Skipped { track, .. } => Arrival::Skipped { broadcast, track },
            Event::Catalog(catalog) => Arrival::Catalog {
                broadcast,
                catalog: Box::new(catalog),
            },
            Event::Ended(_) => Arrival::Ended { broadcast },
        });
    }
}
