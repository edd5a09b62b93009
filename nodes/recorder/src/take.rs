//! Decides what a recording does: which track a frame belongs to, when a segment is closed, what is
//! a gap, when the recording runs and when it is lost. No I/O, no clock: the driver feeds frames and
//! times, writes what it is given, and says whether that is durable.

use std::{
    collections::{BTreeMap, btree_map::Entry},
    io,
    time::Duration,
};

use guitai_evidence::{
    Header,
    manifest::{Gap, Media},
};
use guitai_types::{
    Epoch, Hex, NodeName, SessionId, UnixMillis, command::RecordingReport, limits::SEGMENT_MS_MAX,
};
use serde::{Deserialize, Serialize};

use crate::{
    cut::{Closed, Cutter, Frame},
    fmp4::{self, Mp4Error, Setup},
    h264,
};

/// Both parties, as their broadcasts are prefixed.
pub(crate) const PARTIES: [&str; 2] = ["customer", "agent"];
/// A running recording without frames of a required track for this long is lost.
pub(crate) const NO_MEDIA: Duration = Duration::from_secs(8);
/// A recording that has not begun after this long is lost: people take time to permit a camera.
pub(crate) const START: Duration = Duration::from_secs(30);
/// Media may end this much before the session does without being a gap: hanging up is not instant.
const TAIL_MS: u64 = 3_000;
/// Causes of gaps that come of who records.
const JOINED: &str = "recorder-joined";
const REPLACED: &str = "recorder-replaced";
const GONE: &str = "recorder-gone";
/// Most tracks of a recording; past it frames are refused, and that is a gap.
pub(crate) const TRACKS_MAX: usize = 400;

/// A track as the journal keeps it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct TrackRecord {
    pub(crate) number: u32,
    pub(crate) party: String,
    pub(crate) media: Media,
    pub(crate) broadcast: String,
    pub(crate) setup: Setup,
    /// The recorder's clock at its first frame, by the least delay seen.
    pub(crate) started_at: UnixMillis,
    pub(crate) first_us: u64,
    pub(crate) init: Hex,
}

/// A durable segment as the journal keeps it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SegmentRecord {
    /// Present with the first segment of a track.
    pub(crate) opens: Option<TrackRecord>,
    pub(crate) track: u32,
    pub(crate) number: u32,
    pub(crate) frames: u32,
    pub(crate) first_us: u64,
    pub(crate) end_us: u64,
    /// Last frame's timestamp: what a relay repeats up to here is known.
    pub(crate) last_us: u64,
    pub(crate) key: bool,
    pub(crate) size: u64,
    pub(crate) sm3: Hex,
    /// The frame log of this segment, see [`Closed::log`].
    pub(crate) log: String,
    /// Frames of the track refused so far.
    pub(crate) refused: u64,
    /// The gap that ends with this segment.
    pub(crate) gap: Option<Gap>,
    /// The turn it was written in; 0 by the release before, whose segments have no header.
    #[serde(default)]
    pub(crate) assignment: u32,
    /// The cluster's epoch as this node knew it then.
    #[serde(default)]
    pub(crate) epoch: Epoch,
}

/// What goes into the header of every segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Stamp {
    pub(crate) session: SessionId,
    pub(crate) node: NodeName,
    pub(crate) epoch: Epoch,
    pub(crate) assignment: u32,
}

/// A segment to be made durable.
#[derive(Debug)]
pub(crate) struct Write {
    lane: Lane,
    broadcast: String,
    setup: Setup,
    pub(crate) record: SegmentRecord,
    pub(crate) content: Vec<u8>,
}

/// A segment that was closed and has no place yet.
#[derive(Debug)]
pub(crate) struct Pending {
    lane: Lane,
    broadcast: String,
    source: Source,
    closed: Closed,
}

/// What a publication was when a segment of it was closed.
#[derive(Debug, Clone)]
struct Source {
    setup: Setup,
    /// Known once its first segment is durable.
    number: Option<u32>,
    refused: u64,
    /// Recorder's clock minus publisher's, milliseconds, the least seen.
    offset_ms: i64,
}

/// What arrived: one frame, opened.
#[derive(Debug)]
pub(crate) struct Arrived<'a> {
    pub(crate) party: &'a str,
    pub(crate) media: Media,
    pub(crate) broadcast: &'a str,
    pub(crate) timestamp_us: u64,
    pub(crate) payload: &'a [u8],
    /// Set-up of sound from the catalog; picture brings its own.
    pub(crate) sound: Setup,
    pub(crate) wall: UnixMillis,
    pub(crate) now: Duration,
}

/// One medium of one party, over all its tracks.
type Lane = (String, Media);

#[derive(Debug, Default)]
struct LaneState {
    /// A segment has become durable since the recording last was not running.
    fresh: bool,
    last_frame: Option<Duration>,
    /// Why what comes next comes after a gap.
    pending: Option<String>,
    /// Where that gap began if no track had begun yet, milliseconds of the session.
    pending_from_ms: Option<u64>,
    /// Newest track.
    track: Option<u32>,
}

/// A publication being received.
#[derive(Debug)]
struct Draft {
    source: Source,
    cutter: Cutter,
    /// Frames before this were taken already.
    floor_us: u64,
    needs_key: bool,
    touched: Duration,
}

/// A durable track.
#[derive(Debug)]
pub(crate) struct Kept {
    pub(crate) record: TrackRecord,
    pub(crate) segments: u32,
    pub(crate) end_us: u64,
    last_us: u64,
    pub(crate) frames: u64,
    pub(crate) bytes: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Status {
    Starting,
    Running,
    Lost,
}

/// The state of one recording.
#[derive(Debug)]
pub(crate) struct Take {
    session_start: UnixMillis,
    opened: Duration,
    status: Status,
    lanes: BTreeMap<Lane, LaneState>,
    drafts: BTreeMap<(String, Media), Draft>,
    kept: Vec<Kept>,
    gaps: u32,
}

impl Take {
    /// Starts, or goes on after what the journal has: then whatever comes next comes after a gap.
    pub(crate) fn new(session_start: UnixMillis, now: Duration, journal: &[SegmentRecord]) -> Self {
        let lanes = PARTIES.iter().flat_map(|party| {
            [Media::Video, Media::Audio]
                .map(|media| (((*party).to_owned(), media), LaneState::default()))
        });
        let mut take = Self {
            session_start,
            opened: now,
            status: Status::Starting,
            lanes: lanes.collect(),
            drafts: BTreeMap::new(),
            kept: Vec::new(),
            gaps: 0,
        };
        for record in journal {
            take.keep(record);
        }
        for lane in take.lanes.values_mut().filter(|_| !journal.is_empty()) {
            lane.fresh = false;
            lane.pending = Some("recorder-restart".to_owned());
        }
        take
    }

    /// Another node recorded before this one: whatever comes next comes after a gap, from the session's
    /// start if nothing was kept here.
    pub(crate) fn joins(&mut self) {
        for lane in self.lanes.values_mut() {
            lane.pending = Some(JOINED.to_owned());
            lane.pending_from_ms = lane.track.is_none().then_some(0);
        }
    }

    /// Another node records from now on: should this one ever go on, then after a gap.
    pub(crate) fn rests(&mut self) {
        self.drafts.clear();
        for lane in self.lanes.values_mut() {
            lane.pending = Some(REPLACED.to_owned());
            lane.pending_from_ms = lane.track.is_none().then_some(0);
        }
        self.status = Status::Lost;
        self.lanes.values_mut().for_each(|lane| lane.fresh = false);
    }

    /// This node's turn begins at `now`: it is given as long as any other to begin.
    pub(crate) fn begins(&mut self, now: Duration) {
        self.opened = now;
        self.status = Status::Starting;
    }

    /// The cluster said that this node was gone. Whether it records has to be shown anew.
    pub(crate) fn was_gone(&mut self) {
        if self.status == Status::Running {
            self.lose(GONE);
        }
    }

    /// Durable tracks.
    pub(crate) fn kept(&self) -> &[Kept] {
        &self.kept
    }

    /// Declared gaps so far.
    pub(crate) fn gaps(&self) -> u32 {
        self.gaps
    }

    /// Takes a frame; gives the segments it closes.
    pub(crate) fn frame(&mut self, arrived: &Arrived<'_>) -> Vec<Pending> {
        let lane = (arrived.party.to_owned(), arrived.media);
        let Some(state) = self.lanes.get_mut(&lane) else {
            return Vec::new();
        };
        state.last_frame = Some(arrived.now);
        let key = (arrived.broadcast.to_owned(), arrived.media);
        let Some((setup, frame)) = self.usable(&key, arrived) else {
            self.refuse(arrived.broadcast, arrived.media);
            return Vec::new();
        };
        let mut pending = Vec::new();
        if !self.drafts.contains_key(&key) {
            // A party publishes one broadcast at a time: what is open of the one before ends here.
            pending.extend(self.flush(|(broadcast, media), _| {
                *media == lane.1 && broadcast != arrived.broadcast && party_of(broadcast) == lane.0
            }));
        }
        if self
            .drafts
            .get(&key)
            .is_some_and(|draft| draft.source.setup != setup)
        {
            let replaced = self.drafts.remove(&key);
            pending.extend(replaced.and_then(|mut draft| draft.flush(&lane, arrived.broadcast)));
        }
        let draft = match self.drafts.entry(key) {
            Entry::Occupied(draft) => draft.into_mut(),
            Entry::Vacant(place) => {
                let same = |kept: &&Kept| {
                    kept.record.broadcast == arrived.broadcast
                        && kept.record.media == arrived.media
                        && kept.record.setup == setup
                };
                let known = self.kept.iter().rev().find(same);
                place.insert(Draft::begin(setup, arrived, known))
            }
        };
        draft.touched = arrived.now;
        if frame.timestamp_us < draft.floor_us {
            // Seen before: a relay repeats the last seconds to whoever comes back.
            return pending;
        }
        if draft.needs_key && !frame.key {
            draft.source.refused += 1;
            return pending;
        }
        draft.needs_key = false;
        draft.floor_us = frame.timestamp_us.saturating_add(1);
        let offset_ms = offset_ms(arrived.wall, frame.timestamp_us);
        draft.source.offset_ms = draft.source.offset_ms.min(offset_ms);
        if let Some(closed) = draft.cutter.push(frame) {
            pending.push(draft.pending(&lane, arrived.broadcast, closed));
        }
        pending
    }

    /// Notes that a frame arrived that could not be opened.
    pub(crate) fn refuse(&mut self, broadcast: &str, media: Media) {
        if let Some(draft) = self.drafts.get_mut(&(broadcast.to_owned(), media)) {
            draft.source.refused += 1;
        }
    }

    /// Frames of a group are missing: picture goes on at a key frame.
    pub(crate) fn skipped(&mut self, broadcast: &str, media: Media) {
        if let Some(draft) = self.drafts.get_mut(&(broadcast.to_owned(), media)) {
            draft.needs_key = media == Media::Video;
        }
    }

    /// The broadcast is over: what is open of it is closed.
    pub(crate) fn ended(&mut self, broadcast: &str) -> Vec<Pending> {
        self.flush(|(name, _), _| name == broadcast)
    }

    /// Time passes: segments that wait for a frame too long are closed, and media that does not come
    /// is noticed.
    pub(crate) fn tick(&mut self, now: Duration) -> (Vec<Pending>, Option<RecordingReport>) {
        let longest = Duration::from_millis(SEGMENT_MS_MAX);
        let closed = self.flush(|_, draft| now.saturating_sub(draft.touched) > longest);
        let silent = |lane: &LaneState| {
            lane.last_frame
                .is_none_or(|at| now.saturating_sub(at) > NO_MEDIA)
        };
        let lost = match self.status {
            Status::Starting => now.saturating_sub(self.opened) > START,
            Status::Running => self.lanes.values().any(silent),
            Status::Lost => false,
        };
        (closed, lost.then(|| self.lose("no-media")))
    }

    /// Nothing more comes: everything open is closed.
    pub(crate) fn finish(&mut self) -> Vec<Pending> {
        self.flush(|_, _| true)
    }

    /// Gives a closed segment its place and content.
    pub(crate) fn prepare(&self, pending: Pending, stamp: &Stamp) -> Result<Write, Mp4Error> {
        let Pending {
            lane,
            broadcast,
            source,
            closed,
        } = pending;
        let kept = source.number.and_then(|number| self.kept_track(number));
        let opens = match kept {
            Some(_) => None,
            None => Some(self.open_track(&lane, &broadcast, &source, closed.first_us)?),
        };
        let opened = opens
            .as_ref()
            .map(|opens| (opens.number, 1, opens.first_us));
        let known = kept.map(|kept| (kept.record.number, kept.segments + 1, kept.record.first_us));
        let (track, segment, origin_us) = known.or(opened).unwrap_or_default();
        let gap = self.gap_before(&lane, track, opens.as_ref(), &closed);
        let by_turn = |gap: &Gap| [JOINED, REPLACED].contains(&gap.cause.as_str());
        let gap = gap.map(|gap| Gap {
            assignment: by_turn(&gap).then_some(stamp.assignment),
            ..gap
        });
        let (key, log) = (closed.key(), closed.log());
        let frames = u32::try_from(closed.samples.len()).unwrap_or(u32::MAX);
        let (first_us, end_us) = (closed.first_us, closed.end_us);
        let last_us = closed
            .samples
            .last()
            .map_or(first_us, |sample| sample.timestamp_us);
        let header = Header {
            session: stamp.session.clone(),
            node: stamp.node.clone(),
            epoch: stamp.epoch,
            assignment: stamp.assignment,
            track,
            segment,
        };
        let has_turn = stamp.assignment != 0;
        let header = if has_turn {
            header.encode()
        } else {
            Vec::new()
        };
        let media = fmp4::segment(segment, first_us.saturating_sub(origin_us), closed.samples)?;
        let content = [header, media].concat();
        let record = SegmentRecord {
            opens,
            track,
            number: segment,
            frames,
            first_us,
            end_us,
            last_us,
            key,
            size: content.len() as u64,
            sm3: Hex(guitai_crypto::sm3::hash(&content).to_vec()),
            log,
            refused: source.refused,
            gap,
            assignment: stamp.assignment,
            epoch: if has_turn {
                stamp.epoch
            } else {
                Epoch::default()
            },
        };
        Ok(Write {
            lane,
            broadcast,
            setup: source.setup,
            record,
            content,
        })
    }

    /// The segment is durable.
    pub(crate) fn durable(&mut self, write: &Write) -> Option<RecordingReport> {
        self.keep(&write.record);
        let draft = self
            .drafts
            .get_mut(&(write.broadcast.clone(), write.lane.1));
        if let Some(draft) = draft.filter(|draft| draft.source.setup == write.setup) {
            draft.source.number = Some(write.record.track);
        }
        let all_fresh = self.lanes.values().all(|lane| lane.fresh);
        (all_fresh && self.status != Status::Running).then(|| {
            self.status = Status::Running;
            RecordingReport::Running
        })
    }

    /// The segment is gone: it could not be written. What follows follows a gap.
    pub(crate) fn failed(&mut self, write: &Write, error: &io::Error) -> Option<RecordingReport> {
        let cause = cause(error);
        let started = write
            .record
            .opens
            .as_ref()
            .map(|opens| self.session_ms(opens.started_at));
        if let Some(lane) = self.lanes.get_mut(&write.lane) {
            lane.pending = Some(cause.to_owned());
            lane.pending_from_ms = lane.pending_from_ms.or(started);
        }
        let already = self.status == Status::Lost;
        let report = self.lose(cause);
        (!already).then_some(report)
    }

    /// What is missing at the end of each required lane.
    pub(crate) fn closing_gaps(&self, ended_at: UnixMillis) -> Vec<Gap> {
        let length = self.session_ms(ended_at);
        let gap = |((party, media), lane): (&Lane, &LaneState)| {
            let kept = lane.track.and_then(|number| self.kept_track(number));
            let from_ms = kept.map_or(0, |kept| self.track_ms(&kept.record, kept.end_us));
            let length_ms = length.saturating_sub(from_ms);
            let is_gap = lane.pending.is_some() || length_ms > TAIL_MS || kept.is_none();
            is_gap.then(|| Gap {
                party: party.clone(),
                media: *media,
                from_ms,
                length_ms,
                cause: lane
                    .pending
                    .clone()
                    .unwrap_or_else(|| "no-media".to_owned()),
                track: kept.map(|kept| kept.record.number),
                segment: kept.map(|kept| kept.segments),
                resumed: None,
                assignment: None,
            })
        };
        self.lanes.iter().filter_map(gap).collect()
    }

    /// The set-up and the sample of a frame, if it can be used.
    fn usable(&self, key: &(String, Media), arrived: &Arrived<'_>) -> Option<(Setup, Frame)> {
        let timestamp_us = arrived.timestamp_us;
        if arrived.media == Media::Audio {
            let data = arrived.payload.to_vec();
            let frame = Frame {
                timestamp_us,
                key: true,
                data,
            };
            return (!frame.data.is_empty()).then(|| (arrived.sound.clone(), frame));
        }
        let unit = h264::access_unit(arrived.payload)?;
        let frame = Frame {
            timestamp_us,
            key: unit.key,
            data: unit.sample,
        };
        let setup = match (unit.sps, unit.pps) {
            (Some(sps), Some(pps)) => {
                let (width, height) = h264::dimensions(&sps)?;
                Setup::Avc {
                    width: u16::try_from(width).ok()?,
                    height: u16::try_from(height).ok()?,
                    sps: Hex(sps),
                    pps: Hex(pps),
                }
            }
            _ => self.drafts.get(key)?.source.setup.clone(),
        };
        let known = self
            .drafts
            .get(key)
            .is_some_and(|draft| draft.source.setup == setup);
        (known || self.kept.len() < TRACKS_MAX).then_some((setup, frame))
    }

    fn open_track(
        &self,
        lane: &Lane,
        broadcast: &str,
        source: &Source,
        first_us: u64,
    ) -> Result<TrackRecord, Mp4Error> {
        let offset_ms = self.offset_of(broadcast, source);
        let started = offset_ms.saturating_add_unsigned(first_us / 1000);
        Ok(TrackRecord {
            number: u32::try_from(self.kept.len())
                .unwrap_or(u32::MAX)
                .saturating_add(1),
            party: lane.0.clone(),
            media: lane.1,
            broadcast: broadcast.to_owned(),
            started_at: UnixMillis(u64::try_from(started).unwrap_or(0)),
            first_us,
            init: Hex(fmp4::init(&[(fmp4::TRACK_ID, &source.setup)])?),
            setup: source.setup.clone(),
        })
    }

    /// What a broadcast's timestamps are laid on the recorder's clock by. Its publisher has one clock, so all its
    /// tracks have one offset: with one of its own each, sound and picture would be apart by as much as their
    /// quickest frames were under way.
    fn offset_of(&self, broadcast: &str, source: &Source) -> i64 {
        let is_of_it = |kept: &&Kept| kept.record.broadcast == broadcast;
        if let Some(Kept { record, .. }) = self.kept.iter().find(is_of_it) {
            return offset_ms(record.started_at, record.first_us);
        }
        let drafts = self.drafts.iter();
        let of_it = drafts.filter(|((name, _), _)| name == broadcast);
        let offsets = of_it.map(|(_, draft)| draft.source.offset_ms);
        offsets.fold(source.offset_ms, i64::min)
    }

    /// The gap that `closed` ends, if it ends one.
    fn gap_before(
        &self,
        lane: &Lane,
        track: u32,
        opens: Option<&TrackRecord>,
        closed: &Closed,
    ) -> Option<Gap> {
        let state = self.lanes.get(lane)?;
        let before = state.track.and_then(|number| self.kept_track(number));
        let (from_ms, length_ms, usual) = match (before, opens) {
            (Some(before), None) => {
                let hole_us = closed.first_us.saturating_sub(before.end_us);
                if state.pending.is_none() && hole_us <= lane.1.hole_us_max() {
                    return None;
                }
                (
                    self.track_ms(&before.record, before.end_us),
                    hole_us / 1000,
                    "frames-missing",
                )
            }
            (Some(before), Some(opens)) => {
                let from_ms = self.track_ms(&before.record, before.end_us);
                let resumed_ms = self.track_ms(opens, closed.first_us);
                (from_ms, resumed_ms.saturating_sub(from_ms), "republished")
            }
            (None, opened) => {
                let from_ms = state.pending_from_ms.filter(|_| state.pending.is_some())?;
                let resumed_ms = self.track_ms(opened?, closed.first_us);
                (from_ms, resumed_ms.saturating_sub(from_ms), "io-error")
            }
        };
        Some(Gap {
            party: lane.0.clone(),
            media: lane.1,
            from_ms,
            length_ms,
            cause: state.pending.clone().unwrap_or_else(|| usual.to_owned()),
            track: before.map(|kept| kept.record.number),
            segment: before.map(|kept| kept.segments),
            resumed: Some(track),
            assignment: None,
        })
    }

    fn keep(&mut self, record: &SegmentRecord) {
        if let Some(opens) = &record.opens {
            self.kept.push(Kept {
                record: opens.clone(),
                segments: 0,
                end_us: 0,
                last_us: 0,
                frames: 0,
                bytes: 0,
            });
        }
        self.gaps += u32::from(record.gap.is_some());
        let Some(kept) = self
            .kept
            .iter_mut()
            .find(|kept| kept.record.number == record.track)
        else {
            return;
        };
        kept.segments = record.number;
        kept.end_us = record.end_us;
        kept.last_us = record.last_us;
        kept.frames += u64::from(record.frames);
        kept.bytes += record.size;
        let lane = (kept.record.party.clone(), kept.record.media);
        if let Some(lane) = self.lanes.get_mut(&lane) {
            lane.fresh = true;
            lane.pending = None;
            lane.pending_from_ms = None;
            lane.track = Some(record.track);
        }
    }

    fn lose(&mut self, cause: &str) -> RecordingReport {
        self.status = Status::Lost;
        self.lanes.values_mut().for_each(|lane| lane.fresh = false);
        RecordingReport::Lost {
            cause: cause.to_owned(),
        }
    }

    fn flush(&mut self, which: impl Fn(&(String, Media), &Draft) -> bool) -> Vec<Pending> {
        let due = self
            .drafts
            .iter_mut()
            .filter(|(key, draft)| which(key, draft));
        let closed = due.filter_map(|((broadcast, media), draft)| {
            draft.flush(&(party_of(broadcast).to_owned(), *media), broadcast)
        });
        closed.collect()
    }

    fn kept_track(&self, number: u32) -> Option<&Kept> {
        self.kept.iter().find(|kept| kept.record.number == number)
    }

    fn session_ms(&self, at: UnixMillis) -> u64 {
        at.since(self.session_start)
    }

    fn track_ms(&self, track: &TrackRecord, at_us: u64) -> u64 {
        self.session_ms(track.started_at)
            .saturating_add(at_us.saturating_sub(track.first_us) / 1000)
    }
}

impl Draft {
    fn begin(setup: Setup, arrived: &Arrived<'_>, known: Option<&Kept>) -> Self {
        Self {
            source: Source {
                setup,
                number: known.map(|kept| kept.record.number),
                refused: 0,
                offset_ms: offset_ms(arrived.wall, arrived.timestamp_us),
            },
            cutter: Cutter::new(arrived.media),
            floor_us: known.map_or(0, |kept| kept.last_us.saturating_add(1)),
            needs_key: arrived.media == Media::Video,
            touched: arrived.now,
        }
    }

    fn flush(&mut self, lane: &Lane, broadcast: &str) -> Option<Pending> {
        let closed = self.cutter.flush()?;
        Some(self.pending(lane, broadcast, closed))
    }

    fn pending(&self, lane: &Lane, broadcast: &str, closed: Closed) -> Pending {
        let (lane, broadcast) = (lane.clone(), broadcast.to_owned());
        Pending {
            lane,
            broadcast,
            source: self.source.clone(),
            closed,
        }
    }
}

/// The first part of a broadcast's name says whose it is.
fn party_of(broadcast: &str) -> &str {
    broadcast.split('/').next().unwrap_or_default()
}

fn offset_ms(wall: UnixMillis, timestamp_us: u64) -> i64 {
    let wall = i64::try_from(wall.0).unwrap_or(i64::MAX);
    wall.saturating_sub_unsigned(timestamp_us / 1000)
}

/// The word for what went wrong, as `RecordingState::Lost` lists them.
pub(crate) fn cause(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => "disk-full",
        _ => "io-error",
    }
}
