//! Reading one broadcast: its catalog, and the frames of every track in it, in order.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use bytes::Bytes;
use guitai_types::limits::FRAME_BYTES_MAX;
use moq_net::{broadcast, group, track};
use tokio::{
    sync::mpsc,
    task::{JoinHandle, JoinSet},
};

use crate::hang::{self, CATALOG_TRACK, Catalog};

/// Events waiting for the reader: about two seconds of a call. When it is full the tracks wait, and
/// groups that grow older than the subscription's `age_max` meanwhile are skipped.
const EVENTS_WAITING_MAX: usize = 256;
/// How long tracks may take to end after their broadcast was withdrawn.
const ENDING_GRACE: Duration = Duration::from_secs(5);

/// A subscription to one broadcast. Dropping it ends the subscription.
pub struct Subscriber {
    catalog: Catalog,
    events: mpsc::Receiver<Event>,
    reader: JoinHandle<()>,
}

/// What a subscription yields.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// A frame.
    Frame(Frame),
    /// Frames of this group are missing from here on: it grew older than `age_max`, was evicted or
    /// was abandoned by its publisher. The track goes on.
    Skipped {
        /// Track name.
        track: Arc<str>,
        /// Group number.
        group: u64,
    },
    /// Another version of the catalog; the tracks it adds are read as well.
    Catalog(Catalog),
    /// The broadcast is over; nothing follows.
    Ended(End),
}

/// A frame as it was published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// Track name.
    pub track: Arc<str>,
    /// Group number; grows, may leave gaps.
    pub group: u64,
    /// Whether it is the first of its group: in a video track, a key frame.
    pub first_in_group: bool,
    /// Presentation time in microseconds on the publisher's clock.
    pub timestamp_us: u64,
    /// Codec bytes, or their sealed form.
    pub payload: Bytes,
}

/// How a broadcast ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// Its publisher finished it.
    Finished,
    /// It broke off: publisher, relay or connection gone.
    Lost(String),
}

/// Why a broadcast cannot be subscribed to.
#[derive(Debug, thiserror::Error)]
pub enum SubscribeError {
    /// It did not appear, or its catalog did not, in time.
    #[error(
        "the broadcast or its catalog did not appear within {:?}",
        super::room::SUBSCRIBE_DEADLINE
    )]
    Deadline,
    /// It ended before its catalog came.
    #[error("the broadcast ended before its catalog came")]
    NoCatalog,
    /// Its catalog cannot be read.
    #[error("the catalog of the broadcast cannot be read")]
    Catalog(#[from] hang::CatalogError),
    /// The media layer.
    #[error("the broadcast cannot be subscribed to")]
    Media(#[from] moq_net::Error),
}

impl Subscriber {
    pub(super) async fn open(
        broadcast: broadcast::Consumer,
        age_max: Duration,
    ) -> Result<Self, SubscribeError> {
        let subscription = track::Subscription::default().with_priority(u8::MAX);
        let catalogs = broadcast.track(CATALOG_TRACK)?.subscribe(subscription);
        let mut catalogs = catalogs.await?.ordered();
        let json = next_catalog(&mut catalogs).await?;
        let catalog = Catalog::decode(&json.ok_or(SubscribeError::NoCatalog)?)?;

        let (sender, events) = mpsc::channel(EVENTS_WAITING_MAX);
        let reader = Reader {
            broadcast,
            age_max,
            sender,
            known: BTreeSet::new(),
            tracks: JoinSet::new(),
        };
        Ok(Self {
            reader: tokio::spawn(reader.run(catalog.clone(), catalogs)),
            catalog,
            events,
        })
    }

    /// The catalog as it was when the subscription began; later versions are events.
    pub fn catalog(&self) -> &Catalog {
        &self.catalog
    }

    /// The next event; `None` after [`Event::Ended`]. Frames of one track are in order; tracks are
    /// interleaved as they arrive.
    pub async fn next(&mut self) -> Option<Event> {
        self.events.recv().await
    }
}

impl Drop for Subscriber {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

/// The task behind a [`Subscriber`].
struct Reader {
    broadcast: broadcast::Consumer,
    age_max: Duration,
    sender: mpsc::Sender<Event>,
    known: BTreeSet<String>,
    tracks: JoinSet<End>,
}

impl Reader {
    async fn run(mut self, first: Catalog, mut catalogs: track::Ordered) {
        self.read_tracks_of(&first);
        let (versions, mut version) = mpsc::channel(1);
        self.tracks.spawn(async move {
            loop {
                let json = match next_catalog(&mut catalogs).await {
                    Ok(Some(json)) => json,
                    Ok(None) => return End::Finished,
                    Err(error) => return End::Lost(error.to_string()),
                };
                if versions.send(json).await.is_err() {
                    return End::Finished;
                }
            }
        });

        let mut end = End::Finished;
        let broadcast = self.broadcast.clone();
        let withdrawn = async move {
            let _gone: moq_net::Error = broadcast.closed().await;
            tokio::time::sleep(ENDING_GRACE).await;
        };
        tokio::pin!(withdrawn);
        loop {
            tokio::select! {
                Some(json) = version.recv() => match Catalog::decode(&json) {
                    Ok(catalog) => {
                        self.read_tracks_of(&catalog);
                        if self.sender.send(Event::Catalog(catalog)).await.is_err() {
                            return;
                        }
                    }
                    Err(error) => tracing::debug!(%error, "a catalog was skipped"),
                },
                ended = self.tracks.join_next() => match ended {
                    Some(Ok(End::Finished)) => {}
                    Some(Ok(lost)) => end = lost,
                    Some(Err(error)) => end = End::Lost(error.to_string()),
                    None => break,
                },
                () = &mut withdrawn => {
                    end = End::Lost("withdrawn while tracks were open".to_owned());
                    break;
                }
            }
        }
        // Refused only when the subscriber is gone, who then needs no end.
        let _told = self.sender.send(Event::Ended(end)).await;
    }

    fn read_tracks_of(&mut self, catalog: &Catalog) {
        for name in catalog.tracks() {
            if self.known.insert(name.clone()) {
                let lane = Lane {
                    track: name.into(),
                    sender: self.sender.clone(),
                };
                let reading = lane.read(self.broadcast.clone(), self.age_max);
                self.tracks.spawn(reading);
            }
        }
    }
}

/// One track being read.
struct Lane {
    track: Arc<str>,
    sender: mpsc::Sender<Event>,
}

/// The subscriber is gone.
struct Unwanted;

impl Lane {
    async fn read(self, broadcast: broadcast::Consumer, age_max: Duration) -> End {
        match self.read_groups(broadcast, age_max).await {
            Ok(()) => End::Finished,
            Err(error) => End::Lost(error.to_string()),
        }
    }

    async fn read_groups(
        &self,
        broadcast: broadcast::Consumer,
        age_max: Duration,
    ) -> Result<(), moq_net::Error> {
        let subscription = track::Subscription::default().with_max_age(age_max);
        let track = broadcast.track(&self.track)?.subscribe(subscription);
        let mut groups = track.await?.ordered();
        while let Some(group) = groups.next_group().await? {
            if let Err(Unwanted) = self.read_group(group).await {
                break;
            }
        }
        Ok(())
    }

    async fn read_group(&self, mut group: group::Consumer) -> Result<(), Unwanted> {
        let number = group.sequence;
        let mut first_in_group = true;
        loop {
            let frame = match group.read_frame().await {
                Ok(Some(frame)) if frame.payload.len() <= FRAME_BYTES_MAX => frame,
                Ok(None) => return Ok(()),
                // The error says the group is too old, evicted or reset; if the whole track is
                // gone the next group says so.
                Ok(Some(_)) | Err(_) => return self.skip(number).await,
            };
            let Ok((timestamp_us, payload)) = hang::decode_frame(frame.payload) else {
                return self.skip(number).await;
            };
            if payload.is_empty() {
                continue;
            }
            let frame = Frame {
                track: Arc::clone(&self.track),
                group: number,
                first_in_group,
                timestamp_us,
                payload,
            };
            first_in_group = false;
            let sent = self.sender.send(Event::Frame(frame)).await;
            sent.map_err(|_| Unwanted)?;
        }
    }

    async fn skip(&self, group: u64) -> Result<(), Unwanted> {
        let track = Arc::clone(&self.track);
        let sent = self.sender.send(Event::Skipped { track, group }).await;
        sent.map_err(|_| Unwanted)
    }
}

/// The newest catalog's JSON; `None` when the track is finished. A catalog group that grew old has
/// been replaced.
async fn next_catalog(catalogs: &mut track::Ordered) -> Result<Option<Bytes>, moq_net::Error> {
    while let Some(mut group) = catalogs.next_group().await? {
        if let Ok(Some(frame)) = group.read_frame().await {
            return Ok(Some(frame.payload));
        }
    }
    Ok(None)
}
