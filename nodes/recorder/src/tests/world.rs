//! A recorder's surroundings as a script: one call, two parties, a disk, a clock.

use std::{
    io,
    ops::Range,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use futures::{StreamExt as _, future::BoxFuture, stream::BoxStream};
use guitai_crypto::{
    keys::{KeyStore, Purpose},
    random,
    sframe::{Sealer, Suite},
    sm2, tsp, x509,
};
use guitai_evidence::manifest::Named;
use guitai_host::{ManualClock, SimDisk};
use guitai_meta::Proofs;
use guitai_net::Target;
use guitai_relay::{
    RoomName,
    hang::{AudioConfig, Catalog, VideoConfig},
};
use guitai_sink::plan::Promise;
use guitai_types::{
    Epoch, Hex, NodeName, SessionId, StaffRef, UnixMillis,
    command::RecordingReport,
    media::{MediaSuite, PastKeys},
    place::Text,
    record::{
        Assignment, Business, Consent, EndReason, Participant, Policy, RecordingState, Session,
        SessionEvent, Step, WrappedKey,
    },
    retention::{Erasure, KeepOrder, SinkCopy},
    tlog::RecorderRoot,
};
use tokio::sync::{mpsc, watch};

use super::{films::FilmScript, media::Clip};
use crate::{
    Recorder, Seat, Surroundings,
    cluster::{Call, Cluster, Duty, Kept, ReportError, duty_of},
    copies::{Pieces, Siblings},
    films::Workshop,
    proving::Wanted,
    room::{Arrival, Rooms},
    sinking::Sinking,
    stamping::{AskError, Authorities, Place},
    vault::Shelf,
};

const BEGAN: UnixMillis = UnixMillis(1_795_000_000_000);
/// With what the scripted call seals sound.
const AUDIO: MediaSuite = MediaSuite::Sm4CtrHmacSm3_80;

fn media_key(epoch: u32) -> [u8; 32] {
    [9 + epoch as u8; 32]
}
/// Longest any of these tests waits for something that happens in milliseconds.
const PATIENCE: Duration = Duration::from_secs(20);

pub(super) struct World {
    pub(super) clock: Arc<ManualClock>,
    pub(super) disk: Arc<SimDisk>,
    keys: KeyStore,
    pub(super) root: Vec<u8>,
    /// Signs packages.
    seal: watch::Sender<x509::Identity>,
    authority: x509::Authority,
    identity: (Vec<Vec<u8>>, sm2::SecretKey),
    script: Arc<Script>,
    /// Where films are made; nowhere is ffmpeg looked for unless a test says so.
    pub(super) shop: Workshop,
    /// What is told of films.
    pub(super) queue: Arc<FilmScript>,
    work: tempfile::TempDir,
    recorder: Option<Recorder>,
    pub(super) sinking: Option<Arc<Sinking>>,
    instance: u64,
    latest: UnixMillis,
    /// Epoch of the media key that parties seal with.
    sealing_epoch: u32,
}

/// What cluster and room answer.
struct Script {
    call: Mutex<Call>,
    reports: Mutex<Vec<RecordingReport>>,
    /// Turn of each report, in order; never forgotten.
    turns: Mutex<Vec<u32>>,
    /// Roots in the log, in order; never forgotten.
    roots: Mutex<Vec<RecorderRoot>>,
    /// The epoch this node knows.
    epoch: Mutex<Epoch>,
    room: Mutex<Option<mpsc::Sender<Arrival>>>,
    /// How the authorities answer, in the order they are asked.
    authorities: Mutex<Vec<Stamper>>,
    /// What is to be erased.
    erasures: Mutex<Vec<(SessionId, Erasure)>>,
    /// What was said to be erased.
    erased: Mutex<Vec<SessionId>>,
    /// A hold that this node has not heard of yet.
    held: AtomicBool,
    /// Recordings that this node should have.
    copies: Mutex<Vec<SessionId>>,
    /// Replicas that this node is to get.
    replicas: Mutex<Vec<(SessionId, NodeName)>>,
    /// What was said about keeping.
    kept: Mutex<Vec<KeepOrder>>,
    /// What the cluster promised of the recording, and what it was told of the sink.
    promised: Mutex<Kept>,
    /// The package that the other recorder gives out.
    package: Mutex<Option<Vec<u8>>>,
}

/// A time stamp authority of the script.
#[derive(Clone)]
pub(super) enum Stamper {
    /// A core node of the release before.
    OfBefore,
    /// One that is cut off.
    Away,
    /// One that stamps by this identity, so many seconds after the call began.
    Stamps(Box<x509::Identity>, i64),
}

impl World {
    /// A running call; its media sealed or not.
    pub(super) fn new(media_sealed: bool) -> Self {
        let unix = BEGAN.0 / 1000;
        let authority = x509::Authority::create("root", "demo", 30, unix).unwrap();
        let seal = seal_of(&authority);
        let key = sm2::SecretKey::generate();
        let subject = x509::Subject {
            common_name: "a1-2".to_owned(),
            organization: "demo".to_owned(),
            dns_names: vec!["a1-2.inner.guitai.internal".to_owned()],
        };
        let leaf = authority
            .issue(&subject, &key.public(), x509::Usage::Tls, 30, unix)
            .unwrap();
        let wrapped = Hex(key.public().encrypt(&media_key(1)).unwrap());
        let recipient = Participant::Recorder { node: name("a1-2") };
        let call = call(media_sealed, vec![WrappedKey { recipient, wrapped }]);
        let clock = Arc::new(ManualClock::new(BEGAN.plus(200)));
        let work = tempfile::tempdir().unwrap();
        let shop = Workshop {
            work: work.path().join("films"),
            path: std::ffi::OsString::new(),
            font: None,
            free_bytes_min: 0,
        };
        Self {
            shop,
            queue: Arc::new(FilmScript::default()),
            work,
            clock,
            disk: Arc::new(SimDisk::new()),
            keys: KeyStore::in_memory("a1-2", &[Purpose::Recording]).unwrap(),
            root: authority.certificate_der().to_vec(),
            identity: (vec![leaf], key),
            seal: watch::Sender::new(seal),
            authority,
            script: Arc::new(Script {
                call: Mutex::new(call),
                reports: Mutex::default(),
                turns: Mutex::default(),
                roots: Mutex::default(),
                epoch: Mutex::new(Epoch(1)),
                room: Mutex::default(),
                authorities: Mutex::default(),
                erasures: Mutex::default(),
                erased: Mutex::default(),
                held: AtomicBool::default(),
                copies: Mutex::default(),
                replicas: Mutex::default(),
                kept: Mutex::default(),
                promised: Mutex::new(Kept {
                    is_tracked: true,
                    ..Kept::default()
                }),
                package: Mutex::default(),
            }),
            recorder: None,
            sinking: None,
            sealing_epoch: 1,
            instance: 0,
            latest: BEGAN,
        }
    }

    /// The parties seal with the next media key from now on; the cluster's word about it comes later.
    pub(super) fn seal_with_next(&mut self) {
        self.sealing_epoch += 1;
    }

    /// The cluster says what the media key is by now.
    pub(super) fn agree_on_next(&self) {
        let mut call = self.script.call.lock().unwrap();
        let session = &mut call.session;
        session.keys_past.push(PastKeys {
            epoch: session.key_epoch,
            until: guitai_host::Clock::wall(&*self.clock),
            keys: std::mem::take(&mut session.keys),
        });
        session.key_epoch += 1;
        let public = self.identity.1.public();
        let wrapped = Hex(public.encrypt(&media_key(session.key_epoch)).unwrap());
        let recipient = Participant::Recorder { node: name("a1-2") };
        session.keys = vec![WrappedKey { recipient, wrapped }];
    }

    /// The cluster puts another node in this one's place, and its next media key is not for this one.
    pub(super) fn is_replaced(&self) {
        let mut call = self.script.call.lock().unwrap();
        let session = &mut call.session;
        let now = guitai_host::Clock::wall(&*self.clock);
        let turn = session
            .assignments
            .iter_mut()
            .rfind(|it| it.node == name("a1-2"));
        let turn = turn.unwrap();
        turn.until = Some(now);
        turn.cause = Some("recorder-gone".to_owned());
        session.recorders.retain(|node| *node != name("a1-2"));
    }

    /// The cluster gives this node a turn, from now on.
    pub(super) fn takes_over(&self) {
        let mut call = self.script.call.lock().unwrap();
        let session = &mut call.session;
        let number = session.assignments.len() as u32 + 1;
        session.assignments.push(Assignment {
            number,
            node: name("a1-2"),
            epoch: Epoch(1),
            since: guitai_host::Clock::wall(&*self.clock),
            until: None,
            cause: None,
            recording: RecordingState::Starting,
        });
        session.recorders.push(name("a1-2"));
    }

    /// The leader did not hear of this node for a while, and said so in its name.
    pub(super) fn is_said_to_be_gone(&self) {
        let mut call = self.script.call.lock().unwrap();
        let at = guitai_host::Clock::wall(&*self.clock);
        let mut turns = call.session.assignments.iter_mut();
        let turn = turns.rfind(|it| it.node == name("a1-2")).unwrap();
        let cause = "recorder-gone".to_owned();
        turn.recording = RecordingState::Lost { cause, at };
    }

    /// The cluster went on in a higher epoch without this node, and gave its turn to another.
    pub(super) fn is_left_behind(&self) {
        let mut call = self.script.call.lock().unwrap();
        for turn in &mut call.session.assignments {
            turn.epoch = Epoch(2);
        }
        *self.script.epoch.lock().unwrap() = Epoch(2);
    }

    /// The turn of each report so far.
    pub(super) fn turns(&self) -> Vec<u32> {
        self.script.turns.lock().unwrap().clone()
    }

    /// The roots that the log has, when they are so many.
    pub(super) async fn told(&self, count: usize) -> Vec<RecorderRoot> {
        let roots = || {
            let roots = self.script.roots.lock().unwrap();
            (roots.len() >= count).then(|| roots.clone())
        };
        eventually(roots, "the roots are told").await
    }

    /// Waits until the recorder has looked away from the room.
    pub(super) async fn rests(&self) {
        let room = self.room().await;
        eventually(|| room.is_closed().then_some(()), "the recorder looks away").await;
        self.script.room.lock().unwrap().take();
    }

    /// The cluster says that the recording is to be erased; `held` if a hold has come that this node has not
    /// heard of.
    pub(super) fn is_over_since(&self, until: &str, held: bool) {
        let erasure = Erasure {
            until: until.parse().unwrap(),
            class: "loan".parse().unwrap(),
            version: 1,
        };
        self.script.held.store(held, Ordering::SeqCst);
        *self.script.erasures.lock().unwrap() = vec![(self.session(), erasure)];
    }

    /// Returns when the node says that it has erased the recording.
    pub(super) async fn erased(&self) {
        let look = || (!self.script.erased.lock().unwrap().is_empty()).then_some(());
        eventually(look, "erased").await;
    }

    /// The cluster believes that this node has that recording.
    pub(super) fn should_have(&self, session: &str) {
        *self.script.copies.lock().unwrap() = vec![session.parse().unwrap()];
    }

    /// The first thing that is said about keeping.
    pub(super) async fn said_first(&self) -> KeepOrder {
        eventually(|| self.kept().into_iter().next(), "a word about keeping").await
    }

    /// The node is to get a replica of what another recorder gives out; returns when it says that it has.
    pub(super) async fn replicates(&self, package: Vec<u8>) {
        *self.script.package.lock().unwrap() = Some(package);
        *self.script.replicas.lock().unwrap() = vec![(self.session(), name("a2-1"))];
        let look = || {
            self.script
                .replicas
                .lock()
                .unwrap()
                .is_empty()
                .then_some(())
        };
        eventually(look, "a replica").await;
    }

    /// What was said about keeping, and is now forgotten.
    pub(super) fn kept(&self) -> Vec<KeepOrder> {
        std::mem::take(&mut self.script.kept.lock().unwrap())
    }

    /// What the cluster was told of the sink.
    pub(super) fn in_sink(&self) -> Option<SinkCopy> {
        self.script.promised.lock().unwrap().sink.clone()
    }

    /// The cluster promises that the recording is kept until then, and says whether it is held.
    pub(super) fn promises(&self, until: Option<UnixMillis>, held: bool) {
        self.script.promised.lock().unwrap().promise = Promise { until, held };
    }

    /// Whether it has said so.
    pub(super) fn has_erased(&self) -> bool {
        !self.script.erased.lock().unwrap().is_empty()
    }

    /// A directory of the test's own.
    pub(super) fn aside(&self) -> &std::path::Path {
        self.work.path()
    }

    pub(super) fn session(&self) -> SessionId {
        "5e55".parse().unwrap()
    }

    pub(super) fn recorder(&self) -> &Recorder {
        self.recorder.as_ref().unwrap()
    }

    pub(super) fn start(&mut self) {
        let (chain, key) = self.identity.clone();
        let seal = self.seal.subscribe();
        let identity = x509::Identity { chain, key };
        let seat = Seat {
            name: name("a1-2"),
            identity,
            seal,
            root: self.root.clone(),
            films: self.shop.clone(),
        };
        let shelf = Shelf::new(self.disk.clone(), self.keys.clone());
        let around = Surroundings {
            cluster: self.script.clone(),
            rooms: self.script.clone(),
            authorities: self.script.clone(),
            siblings: self.script.clone(),
            sinking: self.sinking.clone(),
            queue: self.queue.clone(),
        };
        let started = Recorder::start_with(seat, shelf, around, self.clock.clone());
        self.recorder = Some(started.unwrap());
    }

    /// From now on these authorities are asked, in this order.
    pub(super) fn authorities_are(&self, authorities: Vec<Stamper>) {
        *self.script.authorities.lock().unwrap() = authorities;
    }

    /// Waits until a stamp is kept beside the recording.
    pub(super) async fn stamped(&self) {
        let path = std::path::Path::new("5e55/stamp");
        let kept = || {
            let there = guitai_host::Disk::exists(&*self.disk, path);
            there.unwrap_or(false).then_some(())
        };
        eventually(kept, "the seal is stamped").await;
    }

    /// A time stamp authority under the cluster's root; with another usage it is none.
    pub(super) fn stamper(&self, usage: x509::Usage, cluster: &str) -> Stamper {
        let key = sm2::SecretKey::generate();
        let subject = x509::Subject {
            common_name: "b1-1".to_owned(),
            organization: cluster.to_owned(),
            dns_names: Vec::new(),
        };
        let unix = BEGAN.0 / 1000;
        let leaf = self
            .authority
            .issue(&subject, &key.public(), usage, 30, unix);
        let chain = vec![leaf.unwrap()];
        Stamper::Stamps(Box::new(x509::Identity { chain, key }), 0)
    }

    /// The authority renews the seal while the recorder runs; gives the new certificate.
    pub(super) fn renew_seal(&self) -> Vec<u8> {
        let seal = seal_of(&self.authority);
        let leaf = seal.chain[0].clone();
        self.seal.send_replace(seal);
        leaf
    }

    /// Kills the recorder, and the power too when `seed` is odd.
    pub(super) async fn kill(&mut self, seed: u64) {
        let recorder = self.recorder.take().unwrap();
        // A dead disk is how a process that no longer runs looks to the disk.
        self.disk.cut_after(0);
        recorder.shutdown().await;
        drop(recorder);
        self.script.room.lock().unwrap().take();
        self.script.reports.lock().unwrap().clear();
        if seed % 2 == 1 {
            self.disk.crash(seed);
        } else {
            self.disk.restart();
        }
    }

    /// Both parties publish the same clip, sealed by their own keys if the call is sealed.
    pub(super) async fn publish_all(&mut self, clip: &Clip, broadcast: &str, span_ms: Range<u64>) {
        let sealed = self.script.call.lock().unwrap().policy.media_sealed;
        let by = |participant: u64| sealed.then_some(participant);
        self.publish_as(
            &[("customer", by(1)), ("agent", by(2))],
            broadcast,
            clip,
            span_ms,
        )
        .await;
    }

    /// One party publishes part of a clip, sealed as `participant`.
    pub(super) async fn publish(
        &mut self,
        party: &str,
        broadcast: &str,
        clip: &Clip,
        span_ms: Range<u64>,
        participant: Option<u64>,
    ) {
        self.publish_as(&[(party, participant)], broadcast, clip, span_ms)
            .await;
    }

    async fn publish_as(
        &mut self,
        parties: &[(&str, Option<u64>)],
        broadcast: &str,
        clip: &Clip,
        span_ms: Range<u64>,
    ) {
        self.instance += 1;
        let room = self.room().await;
        let mut lanes = Vec::new();
        for (party, participant) in parties {
            let video = VideoConfig::h264("avc1.42e01f", 640, 360, 15.0, 600_000);
            let catalog = Catalog::new(Some(video), Some(AudioConfig::opus(1, 32_000)));
            let catalog = Box::new(match participant {
                Some(participant) => catalog.sealed_by(*participant, AUDIO),
                None => catalog,
            });
            let broadcast: Arc<str> = format!("{party}/{broadcast}.hang").into();
            room.send(Arrival::Catalog {
                broadcast: broadcast.clone(),
                catalog,
            })
            .await
            .unwrap();
            let sealer = |sound: u64| {
                let counter = self.instance << 32;
                participant.map(|p| {
                    let suite = if sound == 1 {
                        Suite::Sm4CtrHmacSm3_80
                    } else {
                        Suite::Sm4GcmSm3_128
                    };
                    let kid = u64::from(self.sealing_epoch - 1) * 8 + p * 2 + sound;
                    Sealer::new(suite, &media_key(self.sealing_epoch), kid, counter)
                })
            };
            lanes.push((broadcast, sealer(0), sealer(1)));
        }
        let pictures = clip.video.iter().map(|(us, _, data)| (*us, "video", data));
        let packets = clip.audio.iter().map(|(us, data)| (*us, "audio", data));
        let mut frames: Vec<_> = pictures.chain(packets).collect();
        frames.sort_by_key(|(us, ..)| *us);
        for (timestamp_us, track, data) in frames {
            if !span_ms.contains(&(timestamp_us / 1000)) {
                continue;
            }
            self.clock.set(BEGAN.plus(200 + timestamp_us / 1000));
            for (broadcast, video, audio) in &mut lanes {
                let sealer = if track == "video" { video } else { audio };
                let payload = match sealer {
                    Some(sealer) => sealer.seal(track.as_bytes(), data),
                    None => data.clone(),
                };
                let (broadcast, payload) = (broadcast.clone(), payload.into());
                let frame = Arrival::Frame {
                    broadcast,
                    track: track.into(),
                    timestamp_us,
                    payload,
                };
                room.send(frame).await.unwrap();
            }
        }
        self.latest = self.latest.max(BEGAN.plus(200 + span_ms.end));
        self.clock.set(self.latest);
    }

    async fn room(&self) -> mpsc::Sender<Arrival> {
        eventually(
            || self.script.room.lock().unwrap().clone(),
            "the recorder looks into the room",
        )
        .await
    }

    /// Waits for a report and forgets all up to it.
    pub(super) async fn reported(&self, wanted: impl Fn(&RecordingReport) -> bool) {
        let found = || {
            let mut reports = self.script.reports.lock().unwrap();
            let at = reports.iter().position(&wanted)?;
            reports.drain(..=at);
            Some(())
        };
        eventually(found, "the report comes").await;
    }

    /// Waits until so many segments are durable.
    pub(super) async fn settled(&self, segments: u64) {
        let stat = || {
            self.recorder()
                .stat(&self.session())
                .filter(|stat| stat.segments >= segments)
        };
        eventually(stat, "segments become durable").await;
    }

    /// Waits until everything sent has been taken.
    pub(super) async fn quiet(&self) {
        let room = self.room().await;
        eventually(
            || (room.capacity() == room.max_capacity()).then_some(()),
            "all is taken",
        )
        .await;
    }

    pub(super) fn mark_ended(&self) {
        let mut call = self.script.call.lock().unwrap();
        call.session.ended_at = Some(guitai_host::Clock::wall(&*self.clock));
        call.session.end_reason = Some(EndReason::AgentHungUp);
    }

    /// Ends the call and waits for the seal.
    pub(super) async fn end(&mut self) {
        self.mark_ended();
        self.sealed().await;
    }

    pub(super) async fn sealed(&self) {
        self.reported(|report| matches!(report, RecordingReport::Sealed { .. }))
            .await;
    }
}

/// A seal with a key of its own.
fn seal_of(authority: &x509::Authority) -> x509::Identity {
    let key = sm2::SecretKey::generate();
    let subject = x509::Subject {
        common_name: "a1-2".to_owned(),
        organization: "demo".to_owned(),
        dns_names: Vec::new(),
    };
    let usage = x509::Usage::Documents;
    let leaf = authority.issue(&subject, &key.public(), usage, 30, BEGAN.0 / 1000);
    x509::Identity {
        // To the root, as a node's own.
        chain: vec![leaf.unwrap(), authority.certificate_der().to_vec()],
        key,
    }
}

/// Looks until there is an answer; fails after [`PATIENCE`].
pub(super) async fn eventually<T>(mut look: impl FnMut() -> Option<T>, what: &str) -> T {
    for _ in 0..PATIENCE.as_millis() / 10 {
        if let Some(found) = look() {
            return found;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("{what}: not within {PATIENCE:?}");
}

impl Siblings for Script {
    fn package(
        &self,
        _from: &NodeName,
        _session: &SessionId,
    ) -> BoxFuture<'static, Result<Pieces, String>> {
        let package = self.package.lock().unwrap().clone();
        Box::pin(async move {
            let package = package.ok_or("not reached")?;
            let pieces = package
                .chunks(50_000)
                .map(|it| Ok(Bytes::copy_from_slice(it)));
            let pieces: Vec<io::Result<Bytes>> = pieces.collect();
            Ok(futures::stream::iter(pieces).boxed())
        })
    }
}

impl Cluster for Script {
    fn ready(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {})
    }

    fn calls_of(&self, node: &NodeName) -> Vec<Duty> {
        let call = self.call.lock().unwrap();
        duty_of(&call.session, node).into_iter().collect()
    }

    fn erasures(&self, _node: &NodeName) -> Vec<(SessionId, Erasure)> {
        self.erasures.lock().unwrap().clone()
    }

    fn is_to_erase(
        &self,
        _session: &SessionId,
        _node: &NodeName,
        _erasure: &Erasure,
    ) -> BoxFuture<'static, bool> {
        Box::pin(std::future::ready(!self.held.load(Ordering::SeqCst)))
    }

    fn copies(&self, _node: &NodeName) -> Vec<SessionId> {
        self.copies.lock().unwrap().clone()
    }

    fn copies_to_read(&self, _node: &NodeName, _now: UnixMillis) -> Vec<SessionId> {
        Vec::new()
    }

    fn kept(&self, _session: &SessionId, _node: &NodeName) -> Option<Kept> {
        Some(self.promised.lock().unwrap().clone())
    }

    fn replicas(&self, _node: &NodeName) -> Vec<(SessionId, NodeName)> {
        self.replicas.lock().unwrap().clone()
    }

    fn keep(&self, order: KeepOrder) -> BoxFuture<'static, Result<(), ReportError>> {
        match &order {
            KeepOrder::Erased { session, .. } => {
                let mut erasures = self.erasures.lock().unwrap();
                erasures.retain(|(it, _)| it != session);
                self.erased.lock().unwrap().push(session.clone());
            }
            KeepOrder::Sink { copy, .. } => {
                self.promised.lock().unwrap().sink.clone_from(copy);
            }
            KeepOrder::Replicated { session, .. } => {
                let mut replicas = self.replicas.lock().unwrap();
                replicas.retain(|(it, _)| it != session);
            }
            _ => {}
        }
        self.kept.lock().unwrap().push(order);
        Box::pin(std::future::ready(Ok(())))
    }

    fn turn(&self, session: &SessionId, node: &NodeName) -> Option<Assignment> {
        let call = self.call.lock().unwrap();
        assert_eq!(call.session.id, *session);
        call.session.assignment_of(node).cloned()
    }

    fn call(&self, session: &SessionId) -> Option<Call> {
        let call = self.call.lock().unwrap();
        (call.session.id == *session).then(|| call.clone())
    }

    fn epoch(&self) -> Epoch {
        *self.epoch.lock().unwrap()
    }

    fn keys(&self, session: &SessionId, node: &NodeName, epoch: u32) -> Vec<(u32, Hex)> {
        let call = self.call.lock().unwrap();
        assert_eq!(call.session.id, *session);
        crate::cluster::keys_of(&call.session, node, epoch)
    }

    fn wakes(&self) -> BoxStream<'static, ()> {
        Box::pin(futures::stream::pending())
    }

    fn report(
        &self,
        _session: &SessionId,
        _node: &NodeName,
        assignment: u32,
        report: RecordingReport,
    ) -> BoxFuture<'static, Result<(), ReportError>> {
        self.turns.lock().unwrap().push(assignment);
        self.reports.lock().unwrap().push(report);
        Box::pin(async { Ok(()) })
    }

    fn has_log(&self) -> bool {
        true
    }

    fn checkpoint(&self) -> Option<String> {
        None
    }

    fn proofs(
        &self,
        _wanted: Wanted,
        _older: Option<u64>,
    ) -> BoxFuture<'static, io::Result<Option<Proofs<String>>>> {
        Box::pin(async { Ok(None) })
    }

    fn append_root(&self, root: RecorderRoot) -> BoxFuture<'static, Result<(), ReportError>> {
        let mut roots = self.roots.lock().unwrap();
        let is_next = roots.last().is_none_or(|last| last.second < root.second);
        if is_next {
            roots.push(root);
        }
        let refused = || ReportError::Refused("not of a later second".to_owned());
        let answer = is_next.then_some(()).ok_or_else(refused);
        Box::pin(async { answer })
    }

    fn relays(&self, _near: &NodeName) -> Vec<Target> {
        Vec::new()
    }
}

impl Authorities for Script {
    fn places(&self) -> Vec<Place> {
        let authorities = self.authorities.lock().unwrap();
        authorities.iter().map(|_| Place::Here).collect()
    }

    /// The first of them; whoever was asked goes to the end of the line.
    fn ask(
        &self,
        _place: &Place,
        request: Vec<u8>,
    ) -> BoxFuture<'static, Result<Vec<u8>, AskError>> {
        let mut authorities = self.authorities.lock().unwrap();
        authorities.rotate_left(1);
        let answer = match authorities.last().unwrap() {
            Stamper::OfBefore => Err(AskError::NoAuthority),
            Stamper::Away => Err(AskError::Unanswered("cut off".to_owned())),
            Stamper::Stamps(identity, late) => {
                let at = (BEGAN.0 / 1000).saturating_add_signed(*late);
                let made = tsp::answer(&request, identity, Some(at), random::array());
                Ok(made.unwrap().0)
            }
        };
        Box::pin(async { answer })
    }
}

impl Rooms for Script {
    fn receive(&self, room: RoomName) -> mpsc::Receiver<Arrival> {
        assert_eq!(room.to_string(), "/bank/5e55");
        let (sender, receiver) = mpsc::channel(1);
        *self.room.lock().unwrap() = Some(sender);
        receiver
    }
}

fn name(text: &str) -> NodeName {
    text.parse().unwrap()
}

fn call(media_sealed: bool, keys: Vec<WrappedKey>) -> Call {
    let text = |text: &str| Text {
        zh: text.to_owned(),
        en: text.to_owned(),
    };
    let step = |id: &str, name: &str| Step {
        id: id.to_owned(),
        name: text(name),
        wording: Text::default(),
        required: true,
    };
    let event = |number: u64, kind: &str, detail: &str| SessionEvent {
        number,
        at: BEGAN.plus(number * 100),
        actor: "agent".to_owned(),
        kind: kind.to_owned(),
        details: [("step".to_owned(), detail.to_owned())].into(),
    };
    let bank = || "bank".parse().unwrap();
    let mut call = Call {
        cluster: "demo".parse().unwrap(),
        institution: Named {
            id: bank(),
            name: text("示范银行"),
        },
        consent: Some(Consent {
            recording: true,
            wording: "2026-11".to_owned(),
            at: BEGAN,
        }),
        steps: vec![step("identity", "核身"), step("signature", "签字")],
        policy: Policy {
            media_sealed,
            ..Policy::default()
        },
        session: Session {
            id: "5e55".parse().unwrap(),
            institution: bank(),
            queue: "loans".parse().unwrap(),
            ticket: "71c4".parse().unwrap(),
            customer: "王先生".to_owned(),
            agent: StaffRef {
                institution: bank(),
                name: "li".parse().unwrap(),
            },
            agent_display: "李经理".to_owned(),
            branch: None,
            business: Business::default(),
            edge: name("edge-a1"),
            recorders: vec![name("a1-2"), name("a2-2")],
            recorders_wanted: 2,
            assignments: Vec::new(),
            epoch: Epoch(1),
            keys,
            key_epoch: 1,
            key_since: BEGAN,
            key_holders: Vec::new(),
            keys_past: Vec::new(),
            audio_suite: AUDIO,
            started_at: BEGAN,
            ended_at: None,
            end_reason: None,
            recording: RecordingState::Starting,
            events: vec![event(1, "accepted", ""), event(2, "step", "identity")],
            stars: None,
        },
    };
    call.session.fill_assignments();
    call
}
