//! Keeps one recording: receives, opens, writes, reports, seals. What to do is decided in
//! [`crate::take`]; here it is done.

use std::{
    io,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use guitai_crypto::sframe::{self, OpenError};
use guitai_evidence::{Signer, manifest::Media};
use guitai_relay::{RoomName, hang::Catalog};
use guitai_types::{
    SessionId, UnixMillis,
    command::RecordingReport,
    record::{RecordingState, RecordingSummary},
};
use serde::{Deserialize, Serialize};
use tokio::{sync::watch, task};

use crate::{
    Shared, attaching,
    cluster::{Call, ReportError},
    fmp4::Setup,
    lost,
    package::{self, Sealed},
    room::Arrival,
    roots::Closed,
    seals::{Sealed as SealedFrame, Seals, TRACK_KIDS, sealer},
    take::{Arrived, PARTIES, Pending, SegmentRecord, Stamp, Take, Write, cause},
    vault::Vault,
};

/// Name of the sealed document that ends a recording.
pub(crate) const SEAL: &str = "seal";
/// Name of the small open document that lists need.
pub(crate) const SUMMARY: &str = "summary.json";

/// How often time is looked at.
const TICK: Duration = Duration::from_millis(250);
/// After the session's end frames still under way are taken for this long at most.
const DRAIN_MAX: Duration = Duration::from_secs(3);
/// When no frame came for this long while draining, none is under way.
const DRAIN_IDLE: Duration = Duration::from_millis(400);
/// Pause before something that failed is tried again.
const RETRY: Duration = Duration::from_secs(1);
/// How often sealing is tried before a segment that the disk does not give is given up: about a minute.
const SEAL_TRIES_MAX: u32 = 12;
/// Broadcasts whose catalog is remembered.
const CATALOGS_MAX: usize = 256;
/// What the leader says of a recorder that nobody hears.
const GONE: &str = "recorder-gone";

/// A record of the journal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "is", deny_unknown_fields)]
pub(crate) enum Record {
    /// The recording was opened.
    Opened {
        v: u16,
        at: UnixMillis,
        call: Box<Call>,
    },
    /// A recorder went on with it.
    Resumed { at: UnixMillis },
    /// A segment is durable.
    Segment { segment: Box<SegmentRecord> },
}

/// Where the keeper stands with its session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    /// Record.
    Keep,
    /// Another node records; the session runs: make durable what is open and wait.
    Rest,
    /// The session is over: seal.
    Seal,
    /// The node stops: make durable what is open and leave the rest to the next start.
    Stop,
}

/// A recording in the hands of this process.
struct Keeper {
    shared: Arc<Shared>,
    session: SessionId,
    vault: Arc<Mutex<Vault>>,
    call: Call,
    opened_at: UnixMillis,
    seals: Seals,
    take: Take,
    catalogs: Vec<(Arc<str>, Catalog)>,
    reports: watch::Sender<Option<(u32, RecordingReport)>>,
    /// The number of this node's turn; 0 before it has one.
    turn: u32,
    /// When the cluster last said that this node was gone, as far as it was seen.
    gone_at: Option<UnixMillis>,
}

/// Keeps `session` until it is sealed and the cluster knows, or the node stops.
pub(crate) async fn keep(
    shared: Arc<Shared>,
    session: SessionId,
    mut orders: watch::Receiver<Order>,
) {
    let Some((vault, journal)) = open(&shared, &session, &mut orders).await else {
        return;
    };
    let vault = Arc::new(Mutex::new(vault));
    if let Some(sealed) = stored_seal(&vault, &session).await {
        return tell_sealed(&shared, &session, sealed.summary, &mut orders).await;
    }
    let Some((call, opened_at)) = begin(&shared, &session, &vault, &journal, &mut orders).await
    else {
        return;
    };
    keep_checkpoint(&shared, &session, &vault).await;
    let segments = segments(&journal);
    for segment in &segments {
        shared.rooting.closed(closed(&session, segment));
    }
    let take = Take::new(call.session.started_at, shared.clock.monotonic(), &segments);
    let (reports, reported) = watch::channel(None);
    let reporter = tokio::spawn(report_changes(shared.clone(), session.clone(), reported));
    let seals = Seals::new(&call.session);
    let catalogs = Vec::new();
    let mut keeper = Keeper {
        shared,
        session,
        vault,
        call,
        opened_at,
        seals,
        take,
        catalogs,
        reports,
        turn: 0,
        gone_at: None,
    };
    let order = loop {
        let order = keeper.receive(&mut orders).await;
        for pending in keeper.take.finish() {
            keeper.store(pending).await;
        }
        if order != Order::Rest {
            break order;
        }
        tracing::info!(session = %keeper.session, "another node records this call");
        keeper.take.rests();
        let changed = orders.wait_for(|order| *order != Order::Rest).await;
        if changed.is_err() {
            break Order::Stop;
        }
    };
    reporter.abort();
    if order == Order::Seal {
        keeper.seal(&mut orders).await;
    }
}

impl Keeper {
    /// Receives until ordered otherwise; then takes what is still under way.
    async fn receive(&mut self, orders: &mut watch::Receiver<Order>) -> Order {
        let first = *orders.borrow_and_update();
        if first != Order::Keep {
            return first;
        }
        self.look_at_turn();
        let room = RoomName {
            institution: self.call.session.institution.clone(),
            session: self.session.clone(),
        };
        let mut arrivals = self.shared.rooms.receive(room);
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                changed = orders.changed() => {
                    let order = if changed.is_ok() { *orders.borrow_and_update() } else { Order::Stop };
                    if order == Order::Keep { continue }
                    if order == Order::Rest { return order }
                    let drained = self.drain(&mut arrivals);
                    if tokio::time::timeout(DRAIN_MAX, drained).await.is_err() {
                        tracing::info!(session = %self.session, "frames still came after the session's end");
                    }
                    return order;
                }
                _ = ticks.tick() => self.tick().await,
                arrival = arrivals.recv() => match arrival {
                    Some(arrival) => self.arrived(arrival).await,
                    // The rooms end only with the process; until then the ticks go on.
                    None => tokio::time::sleep(TICK).await,
                },
            }
        }
    }

    async fn drain(&mut self, arrivals: &mut tokio::sync::mpsc::Receiver<Arrival>) {
        while let Ok(Some(arrival)) = tokio::time::timeout(DRAIN_IDLE, arrivals.recv()).await {
            self.arrived(arrival).await;
        }
    }

    /// What the cluster says of this node's turn: whether it is another than before, and whether it was
    /// taken for gone meanwhile.
    fn look_at_turn(&mut self) {
        let node = &self.shared.config.name;
        let Some(turn) = self.shared.cluster.turn(&self.session, node) else {
            return;
        };
        if turn.number != self.turn {
            let is_first = turn.since <= self.call.session.started_at;
            let is_next = self.turn != 0;
            self.turn = turn.number;
            tracing::info!(session = %self.session, turn = turn.number, "this node's turn");
            if is_next || !is_first && self.take.kept().is_empty() {
                self.take.joins();
            }
            self.take.begins(self.shared.clock.monotonic());
        }
        match turn.recording {
            RecordingState::Lost { cause, at } if cause == GONE && self.gone_at != Some(at) => {
                self.gone_at = Some(at);
                self.take.was_gone();
            }
            _ => {}
        }
    }

    async fn tick(&mut self) {
        self.look_at_turn();
        for frame in self.seals.due(&self.shared, &self.session) {
            for pending in self.frame(frame) {
                self.store(pending).await;
            }
        }
        let (closed, report) = self.take.tick(self.shared.clock.monotonic());
        self.report(report);
        for pending in closed {
            self.store(pending).await;
        }
        self.shared.note(&self.session, &self.take);
    }

    async fn arrived(&mut self, arrival: Arrival) {
        let closed = match arrival {
            Arrival::Catalog { broadcast, catalog } => {
                self.catalogs.retain(|(name, _)| *name != broadcast);
                if self.catalogs.len() < CATALOGS_MAX {
                    self.catalogs.push((broadcast, *catalog));
                }
                Vec::new()
            }
            Arrival::Frame {
                broadcast,
                track,
                timestamp_us,
                payload,
            } => {
                let frame = SealedFrame {
                    broadcast,
                    track,
                    timestamp_us,
                    payload,
                };
                // Frames that waited for their key go before the one that came with it.
                let mut closed = Vec::new();
                for frame in self.seals.sorted(&self.shared, &self.session, frame) {
                    closed.extend(self.frame(frame));
                }
                closed
            }
            Arrival::Skipped { broadcast, track } => {
                if let Some((_, media, _)) = self.lane(&broadcast, &track) {
                    self.take.skipped(&broadcast, media);
                }
                Vec::new()
            }
            Arrival::Ended { broadcast } => self.take.ended(&broadcast),
        };
        for pending in closed {
            self.store(pending).await;
        }
    }

    fn frame(&mut self, frame: SealedFrame) -> Vec<Pending> {
        let (broadcast, track) = (&*frame.broadcast, &*frame.track);
        let Some((party, media, sound)) = self.lane(broadcast, track) else {
            return Vec::new();
        };
        let plain = match self.opened(broadcast, party, media, track, &frame.payload) {
            Ok(plain) => plain,
            Err(reason) => {
                tracing::debug!(session = %self.session, broadcast, track, reason, "a frame was refused");
                self.take.refuse(broadcast, media);
                return Vec::new();
            }
        };
        self.take.frame(&Arrived {
            party,
            media,
            broadcast,
            timestamp_us: frame.timestamp_us,
            payload: &plain,
            sound,
            wall: self.shared.clock.wall(),
            now: self.shared.clock.monotonic(),
        })
    }

    /// Whose track it is, what it carries, and the set-up if it carries sound. One picture and one
    /// sound of a broadcast are kept: the tracks that sealed frames are made for.
    fn lane(&self, broadcast: &str, track: &str) -> Option<(&'static str, Media, Setup)> {
        let party = broadcast.split('/').next()?;
        let party = PARTIES.into_iter().find(|known| *known == party)?;
        let (_, catalog) = self
            .catalogs
            .iter()
            .find(|(name, _)| **name == *broadcast)?;
        let silent = Setup::Opus {
            sample_rate: 48_000,
            channels: 1,
        };
        if track == Media::Video.as_str() {
            let video = catalog.video.renditions.get(track)?;
            return video
                .codec
                .starts_with("avc")
                .then_some((party, Media::Video, silent));
        }
        let audio = catalog
            .audio
            .renditions
            .get(track)
            .filter(|_| track == Media::Audio.as_str())?;
        let channels = u8::try_from(audio.number_of_channels).ok()?;
        let sound = Setup::Opus {
            sample_rate: audio.sample_rate,
            channels,
        };
        (audio.codec == "opus").then_some((party, Media::Audio, sound))
    }

    fn opened(
        &self,
        broadcast: &str,
        party: &str,
        media: Media,
        track: &str,
        payload: &[u8],
    ) -> Result<Vec<u8>, &'static str> {
        let catalog = self.catalogs.iter().find(|(name, _)| **name == *broadcast);
        let is_sealed = catalog.is_some_and(|(_, catalog)| catalog.sealed().is_some());
        if !is_sealed {
            // Under a policy of sealed media an open frame can come from anybody on the way.
            let allowed = !self.call.policy.media_sealed;
            return allowed.then(|| payload.to_vec()).ok_or("not sealed");
        }
        let kid = sframe::kid_of(payload).map_err(|_| "cut short")?;
        if kid % TRACK_KIDS != sframe::kid(1, sealer(party), media == Media::Audio) {
            return Err("sealed by another party or for another track");
        }
        let now = self.shared.clock.monotonic();
        let opened = self.seals.ring.open(track.as_bytes(), payload, now);
        opened.map_err(|error| match error {
            OpenError::Ahead => "no media key for this recorder",
            OpenError::Retired => "of a media key that is over",
            OpenError::Short | OpenError::Sealed => "does not open",
        })
    }

    /// Makes a closed segment durable, or notes that it is lost.
    async fn store(&mut self, pending: Pending) {
        let stamp = Stamp {
            session: self.session.clone(),
            node: self.shared.config.name.clone(),
            epoch: self.shared.cluster.epoch(),
            assignment: self.turn,
        };
        let write = match self.take.prepare(pending, &stamp) {
            Ok(write) => write,
            Err(error) => {
                tracing::error!(session = %self.session, %error, "a segment has no MP4 form");
                return;
            }
        };
        let vault = self.vault.clone();
        let stored = task::spawn_blocking(move || {
            let stored = store(&vault, &write);
            (write, stored)
        });
        let report = match stored.await {
            Ok((write, Ok(()))) => {
                let closed = closed(&self.session, &write.record);
                self.shared.rooting.closed(closed);
                self.take.durable(&write)
            }
            Ok((write, Err(error))) => {
                tracing::error!(session = %self.session, %error, "a segment was not kept");
                self.take.failed(&write, &error)
            }
            Err(error) => {
                tracing::error!(session = %self.session, %error, "the writer broke off");
                None
            }
        };
        self.report(report);
    }

    fn report(&self, report: Option<RecordingReport>) {
        if let Some(report) = report {
            tracing::info!(session = %self.session, ?report, "recording");
            self.shared.set_state(&self.session, &report);
            self.reports.send_replace(Some((self.turn, report)));
        }
    }

    async fn seal(mut self, orders: &mut watch::Receiver<Order>) {
        let mut tries = 0;
        loop {
            tries += 1;
            // The last events (who hung up) are in the cluster's view, perhaps not in ours.
            if let Some(call) = self.shared.cluster.call(&self.session) {
                self.call = call;
            }
            let sealed = self.seal_once(tries >= SEAL_TRIES_MAX).await;
            match sealed {
                Ok(sealed) => {
                    return tell_sealed(&self.shared, &self.session, sealed.summary, orders).await;
                }
                Err(error) => {
                    tracing::error!(
                        session = %self.session,
                        error = &error as &dyn std::error::Error,
                        "sealing failed; trying again"
                    );
                    if wait(orders, RETRY * 5).await == Order::Stop {
                        return;
                    }
                }
            }
        }
    }

    /// `is_final`: a segment that the disk does not give is given up.
    async fn seal_once(&self, is_final: bool) -> Result<Sealed, SealError> {
        let at = self.shared.clock.wall();
        let ended_at = self.call.session.ended_at.unwrap_or(at);
        let closing = self.take.closing_gaps(ended_at);
        let (shared, vault) = (self.shared.clone(), self.vault.clone());
        let (call, session, opened_at) = (self.call.clone(), self.session.clone(), self.opened_at);
        let roots = shared.rooting.clone().of(&session).await?;
        task::spawn_blocking(move || {
            let (_, journal) = shared.shelf.open::<Record>(&session)?;
            let segments = segments(&journal);
            let vault = vault.lock().unwrap_or_else(PoisonError::into_inner);
            attaching::keep_checkpoint(&*shared.cluster, &vault)?;
            let seal = shared.config.seal.borrow().clone();
            let signer = Signer {
                identity: &seal,
                root: &shared.config.root,
            };
            let node = &shared.config.name;
            let lost =
                lost::find(&vault, &segments, is_final).map_err(|(track, number, source)| {
                    package::PackageError::Segment {
                        track,
                        number,
                        source,
                    }
                })?;
            let sealed = package::seal(
                &vault, &segments, closing, &call, opened_at, at, node, signer, &roots, &lost,
            )?;
            vault.put_document(SEAL, &sealed)?;
            Ok(sealed)
        })
        .await?
    }
}

/// Why a recording is not sealed yet.
#[derive(Debug, thiserror::Error)]
enum SealError {
    /// Journal or seal.
    #[error("the recording's directory")]
    Io(#[from] io::Error),
    /// Package.
    #[error("the package")]
    Package(#[from] package::PackageError),
    /// The task.
    #[error("the sealing task broke off")]
    Task(#[from] task::JoinError),
}

/// A checkpoint that cannot be kept now is kept when it is sealed.
async fn keep_checkpoint(shared: &Arc<Shared>, session: &SessionId, vault: &Arc<Mutex<Vault>>) {
    let (shared, vault) = (shared.clone(), vault.clone());
    let kept = task::spawn_blocking(move || {
        let vault = vault.lock().unwrap_or_else(PoisonError::into_inner);
        attaching::keep_checkpoint(&*shared.cluster, &vault)
    });
    if !matches!(kept.await, Ok(Ok(()))) {
        tracing::warn!(%session, "the log's checkpoint was not kept at the beginning");
    }
}

/// What is to be under a root.
fn closed(session: &SessionId, record: &SegmentRecord) -> Closed {
    Closed {
        session: session.clone(),
        track: record.track,
        segment: record.number,
        sm3: record.sm3.clone(),
    }
}

/// The segment first, then the record that says so.
fn store(vault: &Mutex<Vault>, write: &Write) -> io::Result<()> {
    let mut vault = vault.lock().unwrap_or_else(PoisonError::into_inner);
    let record = &write.record;
    vault.put_segment(record.track, record.number, &write.content)?;
    vault.append(&[Record::Segment {
        segment: Box::new(record.clone()),
    }])
}

/// Opens the recording's directory, as often as it takes.
async fn open(
    shared: &Arc<Shared>,
    session: &SessionId,
    orders: &mut watch::Receiver<Order>,
) -> Option<(Vault, Vec<Record>)> {
    let mut told = false;
    loop {
        let (shelf, id) = (shared.shelf.clone(), session.clone());
        let opened = task::spawn_blocking(move || shelf.open::<Record>(&id)).await;
        let error = match opened {
            Ok(Ok(opened)) => return Some(opened),
            Ok(Err(error)) => error,
            Err(error) => io::Error::other(error),
        };
        tracing::error!(%session, %error, "the recording cannot be opened");
        if !told {
            let lost = RecordingReport::Lost {
                cause: cause(&error).to_owned(),
            };
            shared.set_state(session, &lost);
            // Whichever turn is its own now.
            let reported = shared
                .cluster
                .report(session, &shared.config.name, 0, lost)
                .await;
            told = reported.is_ok();
        }
        if wait(orders, RETRY).await == Order::Stop {
            return None;
        }
    }
}

/// Writes the journal's first record, or that a recorder goes on, and gives what the journal knows
/// of the call.
async fn begin(
    shared: &Arc<Shared>,
    session: &SessionId,
    vault: &Arc<Mutex<Vault>>,
    journal: &[Record],
    orders: &mut watch::Receiver<Order>,
) -> Option<(Call, UnixMillis)> {
    let opened = journal.iter().find_map(|record| match record {
        Record::Opened { at, call, .. } => {
            let mut call = Call::clone(call);
            call.session.fill_assignments();
            Some((call, *at))
        }
        _ => None,
    });
    let at = shared.clock.wall();
    let known = shared.cluster.call(session);
    let (record, begun) = match (opened, known) {
        (Some((old, opened_at)), known) => {
            (Record::Resumed { at }, (known.unwrap_or(old), opened_at))
        }
        (None, Some(call)) => (
            Record::Opened {
                v: 1,
                at,
                call: Box::new(call.clone()),
            },
            (call, at),
        ),
        (None, None) => {
            tracing::error!(%session, "a recording without a journal, of a call nobody knows");
            return None;
        }
    };
    loop {
        let (vault, record) = (vault.clone(), record.clone());
        let written = task::spawn_blocking(move || {
            vault
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .append(&[record])
        });
        match written.await {
            Ok(Ok(())) => return Some(begun),
            Ok(Err(error)) => tracing::error!(%session, %error, "the journal cannot be written"),
            Err(error) => tracing::error!(%session, %error, "the writer broke off"),
        }
        if wait(orders, RETRY).await == Order::Stop {
            return None;
        }
    }
}

async fn stored_seal(vault: &Arc<Mutex<Vault>>, session: &SessionId) -> Option<Sealed> {
    let vault = vault.clone();
    let read = task::spawn_blocking(move || {
        vault
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .document::<Sealed>(SEAL)
    });
    match read.await {
        Ok(Ok(sealed)) => sealed,
        Ok(Err(error)) => {
            tracing::error!(%session, %error, "the seal cannot be read; sealing again");
            None
        }
        Err(_) => None,
    }
}

/// Notes the summary beside the recording and tells the cluster until it knows.
async fn tell_sealed(
    shared: &Arc<Shared>,
    session: &SessionId,
    summary: RecordingSummary,
    orders: &mut watch::Receiver<Order>,
) {
    shared.rooting.clone().forget(session).await;
    let (shelf, id, stat) = (
        shared.shelf.clone(),
        session.clone(),
        shared.sealed(session, &summary),
    );
    let noted = task::spawn_blocking(move || {
        let json = serde_json::to_vec(&stat)?;
        shelf.put_note(&id, SUMMARY, &json)
    });
    if !matches!(noted.await, Ok(Ok(()))) {
        tracing::warn!(%session, "the summary was not written; it will be made again at the next start");
    }
    shared.stamping.sealed(session);
    let report = RecordingReport::Sealed { summary };
    loop {
        match shared
            .cluster
            .report(session, &shared.config.name, 0, report.clone())
            .await
        {
            Ok(()) => return tracing::info!(%session, "recording sealed"),
            Err(error @ ReportError::Refused(_)) => {
                return tracing::error!(%session, %error, "sealed, but not in the index");
            }
            Err(error) => tracing::warn!(%session, %error, "sealed; telling the cluster again"),
        }
        if wait(orders, RETRY).await == Order::Stop {
            return;
        }
    }
}

/// Reports the newest state until the cluster has it; an older one that was not delivered is stale.
async fn report_changes(
    shared: Arc<Shared>,
    session: SessionId,
    mut reports: watch::Receiver<Option<(u32, RecordingReport)>>,
) {
    while reports.changed().await.is_ok() {
        let Some((turn, report)) = reports.borrow_and_update().clone() else {
            continue;
        };
        let reported = shared
            .cluster
            .report(&session, &shared.config.name, turn, report)
            .await;
        match reported {
            Ok(()) => {}
            Err(error @ ReportError::Refused(_)) => {
                tracing::warn!(%session, %error, "report refused");
            }
            Err(error) => {
                tracing::warn!(%session, %error, "report not delivered; trying again");
                tokio::time::sleep(RETRY).await;
                reports.mark_changed();
            }
        }
    }
}

/// Waits, but not past an order to stop.
async fn wait(orders: &mut watch::Receiver<Order>, pause: Duration) -> Order {
    let stopped = orders.wait_for(|order| *order == Order::Stop);
    if tokio::time::timeout(pause, stopped).await.is_ok() {
        return Order::Stop;
    }
    *orders.borrow()
}

/// The segments a journal knows.
pub(crate) fn segments(journal: &[Record]) -> Vec<SegmentRecord> {
    let segment = |record: &Record| match record {
        Record::Segment { segment } => Some(SegmentRecord::clone(segment)),
        _ => None,
    };
    journal.iter().filter_map(segment).collect()
}

/// The state a report leads to.
pub(crate) fn state(report: &RecordingReport, at: UnixMillis) -> RecordingState {
    match report {
        RecordingReport::Running => RecordingState::Running { since: at },
        RecordingReport::Lost { cause } => RecordingState::Lost {
            cause: cause.clone(),
            at,
        },
        RecordingReport::Sealed { summary } => RecordingState::Sealed {
            summary: summary.clone(),
        },
    }
}
