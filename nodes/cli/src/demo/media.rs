//! One side's media: publish the sample, sealed; watch the other side, open it, compare.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use guitai_crypto::sframe::{self, OpenError, Ring, Sealer, Suite, kid};
use guitai_host::Clock;
use guitai_relay::{
    client::{Announcement, Connection, Event, Publisher, Room, Subscriber},
    hang::{AUDIO_TRACK, AudioConfig, Catalog, VIDEO_TRACK, VideoConfig},
};
use guitai_types::{
    Code, Hex,
    media::MediaSuite,
    view::{DoorView, MediaAccess},
};
use tokio::sync::watch;
use url::Url;

use super::{
    report::Side,
    sample::{Frame, Sample, Track},
    witness::Witness,
};
use crate::failure::Failure;

/// How old a group may grow before a viewer gives it up: on a loaded machine, rather late than never.
const AGE_MAX: Duration = Duration::from_secs(5);
/// No time yet.
const NEVER: u64 = u64::MAX;

/// How long a media key that was replaced still opens frames, and how long a frame waits for the next
/// key, as in the pages.
const GRACE: Duration = Duration::from_secs(2);

/// A media key as a page holds it.
#[derive(Clone, Copy)]
pub(super) struct MediaKey {
    pub(super) epoch: u32,
    pub(super) key: [u8; 32],
}

/// What one side needs to take part.
pub(super) struct Part<'a> {
    pub(super) role: sframe::Party,
    pub(super) access: &'a MediaAccess,
    pub(super) door: &'a DoorView,
    /// The present media key; a newer one takes its place while the call runs.
    pub(super) keys: watch::Receiver<MediaKey>,
    pub(super) shows: &'a Sample,
    pub(super) sees: &'a Sample,
    pub(super) witness: Option<&'a Witness>,
}

/// What one side has done so far.
#[derive(Debug)]
pub(super) struct Tally {
    sent: AtomicU64,
    seen: AtomicU64,
    broken: AtomicU64,
    first_picture_ms: AtomicU64,
}

impl Default for Tally {
    fn default() -> Self {
        let zero = || AtomicU64::new(0);
        Self {
            sent: zero(),
            seen: zero(),
            broken: zero(),
            first_picture_ms: AtomicU64::new(NEVER),
        }
    }
}

impl Tally {
    /// As the report shows it; times are since `since_ms`.
    pub(super) fn side(&self, since_ms: u64) -> Side {
        let first = self.first_picture_ms.load(Ordering::Relaxed);
        Side {
            sent: self.sent.load(Ordering::Relaxed),
            seen: self.seen.load(Ordering::Relaxed),
            broken: self.broken.load(Ordering::Relaxed),
            first_frame_ms: (first != NEVER).then(|| first.saturating_sub(since_ms)),
        }
    }

    fn saw(&self, track: Track, sound: bool, now_ms: u64) {
        if !sound {
            self.broken.fetch_add(1, Ordering::Relaxed);
            return;
        }
        self.seen.fetch_add(1, Ordering::Relaxed);
        if track == Track::Video {
            self.first_picture_ms.fetch_min(now_ms, Ordering::Relaxed);
        }
    }
}

/// Connects as a browser does: over WebTransport, or over WebSocket where the door names no
/// certificate for browsers (the strict policy).
pub(super) async fn connect(part: &Part<'_>) -> Result<Connection, Failure> {
    let MediaAccess { room, token, .. } = part.access;
    let hashes = &part.door.certificate_hashes;
    let base = match hashes.is_empty() {
        true => part.door.websocket.as_str(),
        false => part.door.webtransport.as_str(),
    };
    let address = format!("{base}{room}?jwt={token}");
    // The address holds a token: it is not told.
    let url =
        Url::parse(&address).map_err(|error| Failure::local("making the media address", &error))?;
    let pins = hashes
        .iter()
        .map(|hash| Hex::parse(hash).and_then(|hash| <[u8; 32]>::try_from(hash.0).ok()));
    let pins: Option<Vec<_>> = pins.collect();
    let pins = pins.ok_or_else(|| Failure::new(Code::Internal, "the door names a wrong hash"))?;
    let connection = match pins.is_empty() {
        true => Connection::connect_websocket(&url).await,
        false => Connection::connect_webtransport(&url, &pins).await,
    };
    connection.map_err(|error| Failure::not_reachable(base, &error))
}

/// Publishes and watches until `over` says so.
pub(super) async fn take_part(
    part: &Part<'_>,
    connection: &Connection,
    tally: &Tally,
    clock: &dyn Clock,
    over: watch::Receiver<bool>,
) -> Result<(), Failure> {
    let publish = publish(part, connection, tally, clock, over.clone());
    let watch = watch_other(part, connection.room().clone(), tally, clock, over);
    let (published, watched) = tokio::join!(publish, watch);
    published.and(watched)
}

async fn publish(
    part: &Part<'_>,
    connection: &Connection,
    tally: &Tally,
    clock: &dyn Clock,
    mut over: watch::Receiver<bool>,
) -> Result<(), Failure> {
    let mut publisher = announce(part, connection)?;
    let mut seals = part.access.sealed.then(|| Seals::new(part));
    if let Some(witness) = part.witness {
        witness.key(part.keys.borrow().key);
    }
    let began = clock.monotonic();
    for frame in part.shows.endless() {
        let due = began + Duration::from_micros(frame.at_us);
        let wait = due.saturating_sub(clock.monotonic());
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            _ = over.wait_for(|over| *over) => break,
        }
        if let Some(seals) = &mut seals {
            seals.follow(part);
        }
        write(&mut publisher, seals.as_mut(), &frame, part.witness)?;
        tally.sent.fetch_add(1, Ordering::Relaxed);
    }
    publisher
        .finish()
        .map_err(|error| Failure::local("ending the broadcast", &error))
}

fn announce(part: &Part<'_>, connection: &Connection) -> Result<Publisher, Failure> {
    let instance = Hex(guitai_crypto::random::array::<8>().to_vec());
    let name = format!("{}/{instance}.hang", part.access.publish);
    let video = VideoConfig::h264("avc1.42c01f", 640, 360, 15.0, 200_000);
    let mut catalog = Catalog::new(Some(video), Some(AudioConfig::opus(1, 32_000)));
    if part.access.sealed {
        catalog = catalog.sealed_by(part.role as u64, part.access.audio_suite);
    }
    connection
        .publish(&name, &catalog)
        .map_err(|error| Failure::local("publishing", &error))
}

fn write(
    publisher: &mut Publisher,
    seals: Option<&mut Seals>,
    frame: &Frame,
    witness: Option<&Witness>,
) -> Result<(), Failure> {
    let sealed = seals.map(|seals| seals.seal(frame));
    if let (Some(witness), Some(sealed)) = (witness, &sealed) {
        let track = match frame.track {
            Track::Video => VIDEO_TRACK,
            Track::Audio => AUDIO_TRACK,
        };
        witness.frame(track, frame.data, sealed);
    }
    let payload = sealed.as_deref().unwrap_or(frame.data);
    let written = match frame.track {
        Track::Video => publisher.video(frame.at_us, frame.key, payload),
        Track::Audio => publisher.audio(frame.at_us, payload),
    };
    written.map_err(|error| Failure::local("publishing a frame", &error))
}

/// The two tracks' keys. Counters begin at a random place for each broadcast, so that one published again
/// never repeats a nonce.
struct Seals {
    epoch: u32,
    video: Sealer,
    audio: Sealer,
}

impl Seals {
    fn new(part: &Part<'_>) -> Self {
        let instance = u32::from_be_bytes(guitai_crypto::random::array());
        let first = u64::from(instance) << 32;
        let MediaKey { epoch, key } = *part.keys.borrow();
        let sealer = |suite, sound| Sealer::new(suite, &key, kid(epoch, part.role, sound), first);
        Self {
            epoch,
            video: sealer(Suite::Sm4GcmSm3_128, false),
            audio: sealer(audio_suite(part), true),
        }
    }

    /// Goes on under the newest media key.
    fn follow(&mut self, part: &Part<'_>) {
        let MediaKey { epoch, key } = *part.keys.borrow();
        if epoch > self.epoch {
            self.epoch = epoch;
            self.video.rekey(&key, kid(epoch, part.role, false));
            self.audio.rekey(&key, kid(epoch, part.role, true));
            if let Some(witness) = part.witness {
                witness.key(key);
            }
        }
    }

    fn seal(&mut self, frame: &Frame) -> Vec<u8> {
        match frame.track {
            Track::Video => self.video.seal(VIDEO_TRACK.as_bytes(), frame.data),
            Track::Audio => self.audio.seal(AUDIO_TRACK.as_bytes(), frame.data),
        }
    }
}

fn audio_suite(part: &Part<'_>) -> Suite {
    match part.access.audio_suite {
        MediaSuite::Sm4GcmSm3_128 => Suite::Sm4GcmSm3_128,
        MediaSuite::Sm4CtrHmacSm3_80 => Suite::Sm4CtrHmacSm3_80,
    }
}

/// Opens what the other side seals, under one media key after the other.
struct Opens {
    ring: Ring,
    keys: watch::Receiver<MediaKey>,
}

impl Opens {
    fn new(part: &Part<'_>) -> Self {
        Self {
            ring: Ring::new(audio_suite(part), GRACE),
            keys: part.keys.clone(),
        }
    }

    /// A frame that is ahead of this side's key waits for it.
    async fn open(&mut self, track: &str, sealed: &[u8], clock: &dyn Clock) -> Option<Vec<u8>> {
        self.learn(clock);
        let opened = self.ring.open(track.as_bytes(), sealed, clock.monotonic());
        if opened != Err(OpenError::Ahead) {
            return opened.ok();
        }
        let newer = self.ring.epoch() + 1;
        let learned = self.keys.wait_for(|key| key.epoch >= newer);
        drop(tokio::time::timeout(GRACE, learned).await);
        self.learn(clock);
        self.ring
            .open(track.as_bytes(), sealed, clock.monotonic())
            .ok()
    }

    fn learn(&mut self, clock: &dyn Clock) {
        let MediaKey { epoch, key } = *self.keys.borrow_and_update();
        self.ring.add(epoch, &key, clock.monotonic());
    }
}

async fn watch_other(
    part: &Part<'_>,
    room: Room,
    tally: &Tally,
    clock: &dyn Clock,
    mut over: watch::Receiver<bool>,
) -> Result<(), Failure> {
    let mut opens = part.access.sealed.then(|| Opens::new(part));
    let mut broadcasts = room.announced(&part.access.watch);
    let watching = async {
        while let Some(change) = broadcasts.next().await {
            let Announcement::Started(name) = change else {
                continue;
            };
            let subscriber = room.subscribe(&name, AGE_MAX).await;
            let subscriber =
                subscriber.map_err(|error| Failure::local("watching the other side", &error))?;
            read(part, subscriber, opens.as_mut(), tally, clock).await;
        }
        Ok(())
    };
    tokio::select! {
        watched = watching => watched,
        _ = over.wait_for(|over| *over) => Ok(()),
    }
}

async fn read(
    part: &Part<'_>,
    mut subscriber: Subscriber,
    mut opens: Option<&mut Opens>,
    tally: &Tally,
    clock: &dyn Clock,
) {
    while let Some(event) = subscriber.next().await {
        let Event::Frame(frame) = event else { continue };
        let track = match &*frame.track {
            VIDEO_TRACK => Track::Video,
            AUDIO_TRACK => Track::Audio,
            _ => continue,
        };
        let opened = match &mut opens {
            Some(opens) => opens.open(&frame.track, &frame.payload, clock).await,
            None => Some(frame.payload.to_vec()),
        };
        let sound = opened.is_some_and(|data| part.sees.has(track, frame.timestamp_us, &data));
        let now_ms = u64::try_from(clock.monotonic().as_millis()).unwrap_or(NEVER);
        tally.saw(track, sound, now_ms);
    }
}
