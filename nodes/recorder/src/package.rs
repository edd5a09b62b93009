//! From a recording at rest to an evidence package: once to seal it, then as often as it is asked
//! for, byte for byte the same.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{self, Read},
};

use guitai_crypto::x509;
use guitai_evidence::{
    BuildError, Builder, Header, NoSink, Seal, Signer, Sink,
    attach::Attached,
    canonical::{self, CanonicalError},
    documents, layout,
    manifest::{
        Disowned, FORMAT, Gap, Manifest, Media, Party, Playable, Segment, SessionFacts, StepFacts,
        Track, Turn,
    },
    roots::RootLine,
    tree, view,
};
use guitai_types::{
    Hex, NodeName, SessionId, UnixMillis,
    record::{Assignment, RecordingSummary, Session, SessionEvent, Step},
};
use serde::{Deserialize, Serialize};

use crate::{
    cluster::Call,
    fmp4::{self, Mp4Error, Setup},
    lost::{self, Lost},
    roots::{self, Kept},
    take::{SegmentRecord, TrackRecord},
    vault::Vault,
};

/// Why a recording has no package.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PackageError {
    /// The recording at rest cannot be read.
    #[error("segment {number} of track {track}")]
    Segment {
        /// Track.
        track: u32,
        /// Segment.
        number: u32,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A segment says otherwise whose it is.
    #[error("segment {number} of track {track}: {fault}")]
    Header {
        /// Track.
        track: u32,
        /// Segment.
        number: u32,
        /// What is wrong.
        fault: &'static str,
    },
    /// The package cannot be made.
    #[error("the package")]
    Build(#[from] BuildError),
    /// A statement has no canonical form.
    #[error("a document of the package")]
    Document(#[from] CanonicalError),
    /// A playable file cannot be made.
    #[error("a playable file")]
    Mp4(#[from] Mp4Error),
}

/// What is kept of a sealed recording beside its segments.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Sealed {
    /// Format version, 1.
    pub(crate) v: u16,
    pub(crate) summary: RecordingSummary,
    /// The small files as they were, texts included: a later release may word them otherwise.
    documents: Vec<(String, Hex)>,
    plays: Vec<Play>,
    seal: Seal,
}

/// How a playable file is put together.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Play {
    file: String,
    init: Hex,
    parts: Vec<Part>,
}

/// A segment in a playable file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Part {
    track: u32,
    number: u32,
    size: u64,
    /// Track id in the file.
    id: u32,
    /// Start in the file.
    base_us: u64,
}

/// A track with its segments, gathered from the journal.
struct Whole<'a> {
    record: &'a TrackRecord,
    segments: Vec<&'a SegmentRecord>,
}

/// Seals: hashes what is not hashed yet, makes the manifest and signs it. The documents are those of
/// this moment.
#[expect(
    clippy::too_many_arguments,
    reason = "a package is made of just these parts, once"
)]
pub(crate) fn seal(
    vault: &Vault,
    journal: &[SegmentRecord],
    closing: Vec<Gap>,
    call: &Call,
    opened_at: UnixMillis,
    at: UnixMillis,
    node: &NodeName,
    signer: Signer<'_>,
    roots: &[Kept],
    lost: &Lost,
) -> Result<Sealed, PackageError> {
    let wholes = wholes(journal, lost);
    let gaps: Vec<Gap> = journal
        .iter()
        .filter_map(|s| s.gap.clone())
        .chain(closing)
        .collect();
    let gaps = lost::declare(gaps, journal, lost, call.session.started_at);
    let plays = plays(&wholes)?;
    let gaps: Vec<Gap> = gaps
        .into_iter()
        .map(|gap| of_turn(gap, &call.session, node))
        .collect();
    let mut small = documents(&call.session.events, &gaps, signer)?;
    let mut builder = Builder::new(NoSink);
    let mut tracks = Vec::new();
    for whole in &wholes {
        let number = whole.record.number;
        let mut log = layout::FRAMES_HEADER.to_owned();
        builder.add(&layout::init(number), &whole.record.init.0)?;
        small.push((layout::init(number), whole.record.init.0.clone()));
        for segment in &whole.segments {
            log.push_str(&segment.log);
            let digest = <tree::Hash>::try_from(segment.sm3.0.as_slice()).unwrap_or_default();
            builder.count(
                &layout::segment(number, segment.number),
                segment.size,
                digest,
            )?;
        }
        let sums = builder.track_sums(number);
        tracks.push(track(whole, &tree::root_of_lines(sums.lines())));
        small.push((layout::tree(number), sums.into_bytes()));
        small.push((layout::frames(number), log.into_bytes()));
    }
    let mut draft = manifest(call, tracks, &plays, gaps, opened_at, at, node);
    draft.disowned = disowned(&draft);
    small.extend(rooted(&call.session.id, roots, signer.root, lost)?);
    let logs: Vec<(u32, &str)> = draft
        .tracks
        .iter()
        .filter_map(|track| {
            let path = layout::frames(track.number);
            let (_, log) = small.iter().find(|(name, _)| *name == path)?;
            Some((track.number, std::str::from_utf8(log).ok()?))
        })
        .collect();
    let page = view::page(&draft, &call.session.events, &logs);
    small.push((layout::VIEW.to_owned(), page.into_bytes()));
    for (path, content) in small
        .iter()
        .filter(|(path, _)| !path.ends_with("/init.mp4"))
    {
        builder.add(path, content)?;
    }
    for play in &plays {
        let mut content = PlayReader::new(vault, play);
        builder.add_from(&play.file, play.size(), &mut content)?;
    }
    for run in &draft.disowned {
        let (session, track, from, to) = (&call.session.id, run.track, run.from, run.to);
        tracing::warn!(%session, track, from, to, "segments of no turn of this node's");
    }
    let (manifest, seal) = builder.seal(draft, signer)?;
    let sum = |count: fn(&Track) -> u64| manifest.tracks.iter().map(count).sum::<u64>();
    let summary = RecordingSummary {
        node: node.clone(),
        root: manifest.root.clone(),
        duration_ms: manifest
            .tracks
            .iter()
            .map(|track| track.duration_ms)
            .max()
            .unwrap_or(0),
        bytes: sum(|track| track.bytes),
        segments: sum(|track| track.segments.len() as u64),
        frames: sum(|track| track.frames),
        gaps: u32::try_from(manifest.gaps.len()).unwrap_or(u32::MAX),
        at,
    };
    let documents = small
        .into_iter()
        .map(|(path, content)| (path, Hex(content)))
        .collect();
    Ok(Sealed {
        v: 1,
        summary,
        documents,
        plays,
        seal,
    })
}

/// Gives the package to a sink; fails, naming the file, if the recording at rest is no longer what
/// was sealed.
pub(crate) fn export<S: Sink>(
    vault: &Vault,
    journal: &[SegmentRecord],
    sealed: &Sealed,
    attached: Option<&Attached>,
    sink: S,
) -> Result<(), PackageError> {
    let mut builder = Builder::new(sink);
    for (path, content) in &sealed.documents {
        builder.add(path, &content.0)?;
    }
    let manifest = sealed.manifest()?;
    let listed: BTreeSet<(u32, u32)> = manifest
        .tracks
        .iter()
        .flat_map(|track| track.segments.iter().map(|it| (track.number, it.number)))
        .collect();
    let is_listed = |it: &&SegmentRecord| listed.contains(&(it.track, it.number));
    for segment in journal.iter().filter(is_listed) {
        let (track, number) = (segment.track, segment.number);
        let content = vault.segment(track, number);
        let content = content.map_err(|source| PackageError::Segment {
            track,
            number,
            source,
        })?;
        check_header(&content, segment).map_err(|fault| PackageError::Header {
            track,
            number,
            fault,
        })?;
        builder.add(&layout::segment(track, number), &content)?;
    }
    for play in &sealed.plays {
        builder.add_from(&play.file, play.size(), &mut PlayReader::new(vault, play))?;
    }
    Ok(builder.close(&sealed.seal, attached)?)
}

impl Sealed {
    /// What was sealed.
    pub(crate) const fn seal(&self) -> &Seal {
        &self.seal
    }

    /// The roots by the second that the package has.
    pub(crate) fn roots(&self) -> Result<Vec<RootLine>, CanonicalError> {
        let mut documents = self.documents.iter();
        let found = documents.find(|(path, _)| path == layout::ROOTS);
        let text = found.map_or(&[][..], |(_, text)| &text.0);
        let lines = text.split_inclusive(|byte| *byte == b'\n');
        lines
            .map(|line| canonical::from_bytes(line.strip_suffix(b"\n").unwrap_or(line)))
            .collect()
    }

    /// What the package states.
    pub(crate) fn manifest(&self) -> Result<Manifest, CanonicalError> {
        canonical::from_bytes(&self.seal.manifest.0)
    }
}

/// The roots by the second, and by whose certificates they were signed.
fn rooted(
    session: &SessionId,
    kept: &[Kept],
    root: &[u8],
    lost: &Lost,
) -> Result<Vec<(String, Vec<u8>)>, CanonicalError> {
    let (lines, chains) = roots::lines(session, kept, lost);
    let mut text = Vec::new();
    for line in &lines {
        text.extend(canonical::to_bytes(line)?);
        text.push(b'\n');
    }
    let chain = |(signer, chain): (u32, Vec<Hex>)| {
        // A node's chain ends with the root, which has a file of its own.
        let chain = chain.into_iter().map(|der| der.0);
        let chain: Vec<Vec<u8>> = chain.filter(|der| der != root).collect();
        let pem = x509::certificates_to_pem(&chain).into_bytes();
        (layout::recorder_chain(signer), pem)
    };
    let mut files: Vec<_> = (1..).zip(chains).map(chain).collect();
    files.push((layout::ROOTS.to_owned(), text));
    Ok(files)
}

/// A gap at the end of a recording whose turn ended before the call did names that turn.
fn of_turn(gap: Gap, session: &Session, node: &NodeName) -> Gap {
    let mut turns = session.assignments.iter().rev();
    let last = turns.find(|turn| turn.node == *node);
    let is_ours = gap.resumed.is_none() && gap.cause == "recorder-replaced";
    let ended = last.filter(|turn| is_ours && turn.until.is_some());
    Gap {
        assignment: gap.assignment.or_else(|| ended.map(|turn| turn.number)),
        ..gap
    }
}

/// The session's turns, as the cluster agreed.
fn turns(session: &Session) -> Vec<Turn> {
    let turn = |turn: &Assignment| Turn {
        number: turn.number,
        node: turn.node.clone(),
        epoch: turn.epoch,
        since: turn.since,
        until: turn.until,
        cause: turn.cause.clone(),
    };
    session.assignments.iter().map(turn).collect()
}

/// Segments of no turn of the recorder's, in runs.
fn disowned(manifest: &Manifest) -> Vec<Disowned> {
    let mut runs: Vec<Disowned> = Vec::new();
    for track in &manifest.tracks {
        for segment in track.segments.iter().filter(|it| !manifest.owns(it)) {
            match runs.last_mut() {
                Some(run) if run.track == track.number && run.to + 1 == segment.number => {
                    run.to = segment.number;
                }
                _ => runs.push(Disowned {
                    track: track.number,
                    from: segment.number,
                    to: segment.number,
                }),
            }
        }
    }
    runs
}

/// Whether a segment's own header names the turn and epoch that the journal has for it.
fn check_header(content: &[u8], record: &SegmentRecord) -> Result<(), &'static str> {
    let header = Header::parse(content).map_err(|_| "its header cannot be read")?;
    let found = header.map(|(it, _)| (it.assignment, it.epoch, it.track, it.segment));
    let (track, number) = (record.track, record.number);
    let kept = (record.assignment, record.epoch, track, number);
    let kept = (record.assignment != 0).then_some(kept);
    if found == kept {
        Ok(())
    } else {
        Err("its header names another turn, epoch or place than the journal")
    }
}

fn wholes<'a>(journal: &'a [SegmentRecord], lost: &Lost) -> Vec<Whole<'a>> {
    let mut wholes: Vec<Whole<'_>> = Vec::new();
    for segment in journal {
        if let Some(record) = &segment.opens {
            wholes.push(Whole {
                record,
                segments: Vec::new(),
            });
        }
        if let Some(whole) = wholes
            .iter_mut()
            .find(|whole| whole.record.number == segment.track)
            && !lost.contains(&(segment.track, segment.number))
        {
            whole.segments.push(segment);
        }
    }
    wholes.retain(|whole| !whole.segments.is_empty());
    wholes
}

fn track(whole: &Whole<'_>, root: &tree::Hash) -> Track {
    let record = whole.record;
    let segment = |s: &&SegmentRecord| Segment {
        number: s.number,
        frames: s.frames,
        first_us: s.first_us,
        end_us: s.end_us,
        key: s.key,
        assignment: s.assignment,
        epoch: s.epoch,
    };
    let (width, height, sample_rate, channels) = match &record.setup {
        Setup::Avc { width, height, .. } => (u32::from(*width), u32::from(*height), 0, 0),
        Setup::Opus {
            sample_rate,
            channels,
        } => (0, 0, *sample_rate, u32::from(*channels)),
    };
    let end_us = whole
        .segments
        .last()
        .map_or(record.first_us, |segment| segment.end_us);
    Track {
        number: record.number,
        party: record.party.clone(),
        media: record.media,
        broadcast: record.broadcast.clone(),
        codec: record.setup.codec(),
        width,
        height,
        sample_rate,
        channels,
        started_at: record.started_at,
        first_us: record.first_us,
        end_us,
        duration_ms: end_us.saturating_sub(record.first_us) / 1000,
        frames: whole
            .segments
            .iter()
            .map(|segment| u64::from(segment.frames))
            .sum(),
        bytes: whole.segments.iter().map(|segment| segment.size).sum(),
        refused: whole.segments.last().map_or(0, |segment| segment.refused),
        segments: whole.segments.iter().map(segment).collect(),
        root: Hex(root.to_vec()),
    }
}

/// One file per picture track of a publication; the first takes its sound along.
fn plays(wholes: &[Whole<'_>]) -> Result<Vec<Play>, Mp4Error> {
    let mut publications: Vec<(&str, &str)> = Vec::new();
    for whole in wholes {
        let publication = (whole.record.party.as_str(), whole.record.broadcast.as_str());
        if !publications.contains(&publication) {
            publications.push(publication);
        }
    }
    let mut numbers: BTreeMap<&str, u32> = BTreeMap::new();
    let mut plays = Vec::new();
    for (party, broadcast) in publications {
        let of = |media: Media| {
            let mine = wholes.iter().filter(move |whole| {
                whole.record.party == party
                    && whole.record.broadcast == broadcast
                    && whole.record.media == media
            });
            mine.collect::<Vec<_>>()
        };
        let (pictures, sounds) = (of(Media::Video), of(Media::Audio));
        let first: Vec<&Whole<'_>> = pictures.iter().take(1).chain(&sounds).copied().collect();
        let others = pictures.iter().skip(1).map(|picture| vec![*picture]);
        for tracks in [first]
            .into_iter()
            .chain(others)
            .filter(|tracks| !tracks.is_empty())
        {
            let number = numbers.entry(party).or_insert(0);
            *number += 1;
            plays.push(play(format!("{party}-{number}.mp4"), &tracks)?);
        }
    }
    Ok(plays)
}

fn play(file: String, tracks: &[&Whole<'_>]) -> Result<Play, Mp4Error> {
    let setups: Vec<(u32, &Setup)> = (1..)
        .zip(tracks)
        .map(|(id, t)| (id, &t.record.setup))
        .collect();
    let origin_us = tracks
        .iter()
        .map(|whole| whole.record.first_us)
        .min()
        .unwrap_or(0);
    let part = |id: u32, segment: &SegmentRecord| Part {
        track: segment.track,
        number: segment.number,
        size: segment.size,
        id,
        base_us: segment.first_us.saturating_sub(origin_us),
    };
    let parts = (1..)
        .zip(tracks)
        .flat_map(|(id, whole)| whole.segments.iter().map(move |s| (id, *s)));
    let mut parts: Vec<Part> = parts.map(|(id, segment)| part(id, segment)).collect();
    parts.sort_by_key(|part| (part.base_us, part.id));
    Ok(Play {
        file,
        init: Hex(fmp4::init(&setups)?),
        parts,
    })
}

fn manifest(
    call: &Call,
    tracks: Vec<Track>,
    plays: &[Play],
    gaps: Vec<Gap>,
    opened_at: UnixMillis,
    at: UnixMillis,
    node: &NodeName,
) -> Manifest {
    let session = &call.session;
    let playable = |play: &Play| {
        let mut tracks: Vec<u32> = play.parts.iter().map(|part| part.track).collect();
        tracks.sort_unstable();
        tracks.dedup();
        Playable {
            file: play.file.clone(),
            tracks,
        }
    };
    Manifest {
        format: FORMAT.to_owned(),
        cluster: call.cluster.clone(),
        institution: call.institution.clone(),
        session: SessionFacts {
            id: session.id.clone(),
            ticket: session.ticket.clone(),
            queue: session.queue.clone(),
            edge: session.edge.clone(),
            epoch: session.epoch,
            started_at: session.started_at,
            ended_at: session.ended_at,
            end_reason: session.end_reason,
        },
        participants: participants(session),
        consent: call.consent.clone(),
        policy: call.policy.clone(),
        steps: call
            .steps
            .iter()
            .map(|step| step_facts(step, &session.events))
            .collect(),
        events: session.events.len() as u64,
        tracks,
        playable: plays.iter().map(playable).collect(),
        gaps,
        assignments: turns(session),
        disowned: Vec::new(),
        recorder: node.clone(),
        started_at: opened_at,
        sealed_at: at,
        files: Vec::new(),
        root: Hex::default(),
    }
}

fn participants(session: &Session) -> Vec<Party> {
    let customer = Party {
        role: "customer".to_owned(),
        id: None,
        display: session.customer.clone(),
    };
    let agent = Party {
        role: "agent".to_owned(),
        id: Some(session.agent.to_string()),
        display: session.agent_display.clone(),
    };
    let recorder = |node: &NodeName| Party {
        role: "recorder".to_owned(),
        id: Some(node.to_string()),
        display: node.to_string(),
    };
    let mut nodes: Vec<&NodeName> = Vec::new();
    for turn in &session.assignments {
        if !nodes.contains(&&turn.node) {
            nodes.push(&turn.node);
        }
    }
    [customer, agent]
        .into_iter()
        .chain(nodes.into_iter().map(recorder))
        .collect()
}

/// A step is done when the agent records it or the customer confirms it.
fn step_facts(step: &Step, events: &[SessionEvent]) -> StepFacts {
    let does = |event: &&SessionEvent| {
        ["step", "confirmed"].contains(&event.kind.as_str())
            && event.details.get("step") == Some(&step.id)
    };
    StepFacts {
        id: step.id.clone(),
        name: step.name.clone(),
        required: step.required,
        done_at: events.iter().find(does).map(|event| event.at),
    }
}

impl Play {
    fn size(&self) -> u64 {
        self.init.0.len() as u64 + self.parts.iter().map(|part| part.size).sum::<u64>()
    }
}

/// Reads a playable file, one segment in memory at a time.
struct PlayReader<'a> {
    vault: &'a Vault,
    play: &'a Play,
    next: usize,
    current: io::Cursor<Vec<u8>>,
}

impl<'a> PlayReader<'a> {
    fn new(vault: &'a Vault, play: &'a Play) -> Self {
        Self {
            vault,
            play,
            next: 0,
            current: io::Cursor::new(play.init.0.clone()),
        }
    }
}

impl Read for PlayReader<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        loop {
            let read = self.current.read(out)?;
            if read > 0 || out.is_empty() {
                return Ok(read);
            }
            let Some(part) = self.play.parts.get(self.next) else {
                return Ok(0);
            };
            self.next += 1;
            let mut content = self.vault.segment(part.track, part.number)?;
            let sequence = u32::try_from(self.next).unwrap_or(u32::MAX);
            let placed = fmp4::rebase(&mut content, sequence, part.id, part.base_us);
            placed.ok_or_else(|| io::Error::from(io::ErrorKind::InvalidData))?;
            self.current = io::Cursor::new(content);
        }
    }
}
