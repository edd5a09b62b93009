//! The manifest: everything a package states. Fields are never renamed or reused; a release that adds
//! one writes a new `format` and still reads the ones before. Version 2 added turns at recording: a field
//! of it is left out of a package of version 1, whose bytes are as they were. Version 3 has more files
//! and no other field; version 4 is version 3 with numbers missing, each declared.

use guitai_types::{
    ClusterId, Epoch, Hex, InstitutionId, NodeName, QueueId, SessionId, TicketId, UnixMillis,
    place::Text,
    record::{Consent, EndReason, Policy},
};
use serde::{Deserialize, Serialize};

/// The `format` that this release writes.
pub const FORMAT: &str = "guitai-evidence/3";
/// The `format` of a recording that was sealed after its disk had lost segments: their numbers are missing.
pub const FORMAT_4: &str = "guitai-evidence/4";
/// The `format` before roots by the second and attachments; it is still read.
pub const FORMAT_2: &str = "guitai-evidence/2";
/// The `format` before segments had a header ([`crate::header`]); it is still read.
pub const FORMAT_1: &str = "guitai-evidence/1";

/// What a package states. Canonical JSON, signed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// [`FORMAT`], [`FORMAT_4`], [`FORMAT_2`] or [`FORMAT_1`].
    pub format: String,
    /// The cluster that recorded.
    pub cluster: ClusterId,
    /// The institution that served.
    pub institution: Named,
    /// The call.
    pub session: SessionFacts,
    /// Who took part, recorders included.
    pub participants: Vec<Party>,
    /// The customer's consent to being recorded; left out if the cluster no longer held it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub consent: Option<Consent>,
    /// The policy in force.
    pub policy: Policy,
    /// The business flow: what was required and what was done.
    pub steps: Vec<StepFacts>,
    /// Business events in `events.jsonl`.
    pub events: u64,
    /// The media, by track number.
    pub tracks: Vec<Track>,
    /// Files made of the tracks for a double click.
    pub playable: Vec<Playable>,
    /// What is missing, declared by the recorder.
    pub gaps: Vec<Gap>,
    /// Who was to record the session when, as the cluster agreed; not in version 1.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub assignments: Vec<Turn>,
    /// Segments that were written under no turn of the recorder's that the cluster knows, or in an epoch
    /// below its turn's: the node was on a side that was left behind. They are kept, and this is said.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub disowned: Vec<Disowned>,
    /// The node that recorded and signs.
    pub recorder: NodeName,
    /// The recording was opened at.
    pub started_at: UnixMillis,
    /// The recording was sealed at; the signature's time.
    pub sealed_at: UnixMillis,
    /// Every file but [`crate::layout::UNLISTED`], ordered by path.
    pub files: Vec<File>,
    /// Root of the RFC 6962 tree over SM3 whose leaves are the lines of `SM3SUMS`.
    pub root: Hex,
}

/// Cause of a gap where segments were durable and cannot be read any more.
pub const SEGMENT_LOST: &str = "segment-lost";
/// The same of all segments of a track.
pub const TRACK_LOST: &str = "track-lost";

impl Manifest {
    /// Whether it is of the format that may lack numbers of segments and tracks.
    #[must_use]
    pub fn may_lack(&self) -> bool {
        self.format == FORMAT_4
    }

    /// The format that what it states needs.
    #[must_use]
    pub fn format_needed(&self) -> &'static str {
        let is_lost = |gap: &Gap| [SEGMENT_LOST, TRACK_LOST].contains(&gap.cause.as_str());
        if self.gaps.iter().any(is_lost) {
            FORMAT_4
        } else {
            FORMAT
        }
    }

    /// Whether it is of a format that has roots by the second and attachments.
    #[must_use]
    pub fn has_attachments(&self) -> bool {
        ![FORMAT_1, FORMAT_2].contains(&self.format.as_str())
    }

    /// Whether a segment was written under a turn that the recorder had, in an epoch not below it.
    #[must_use]
    pub fn owns(&self, segment: &Segment) -> bool {
        let mut turns = self.assignments.iter();
        segment.assignment == 0
            || turns.any(|turn| {
                turn.number == segment.assignment
                    && turn.node == self.recorder
                    && turn.epoch <= segment.epoch
            })
    }
}

/// An institution.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Named {
    /// Short id.
    pub id: InstitutionId,
    /// Name for people.
    pub name: Text,
}

/// The call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SessionFacts {
    /// Session id.
    pub id: SessionId,
    /// The ticket it came from.
    pub ticket: TicketId,
    /// The queue.
    pub queue: QueueId,
    /// The edge through which the customer came.
    pub edge: NodeName,
    /// Cluster epoch at its start.
    pub epoch: Epoch,
    /// Started.
    pub started_at: UnixMillis,
    /// Ended; left out if its end was not known when the recording was sealed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<UnixMillis>,
    /// Why it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end_reason: Option<EndReason>,
}

/// A participant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Party {
    /// `customer`, `agent` or `recorder`.
    pub role: String,
    /// Account or node; left out for a guest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// Name shown to the others.
    pub display: String,
}

/// One step of the business flow.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StepFacts {
    /// Short id.
    pub id: String,
    /// Name for people.
    pub name: Text,
    /// A call without it is not complete.
    pub required: bool,
    /// First done at; left out if never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub done_at: Option<UnixMillis>,
}

/// A node's turn at recording the session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Turn {
    /// From 1, without gap.
    pub number: u32,
    /// Who.
    pub node: NodeName,
    /// Cluster epoch it was assigned in: a segment of a lower one is not of this turn.
    pub epoch: Epoch,
    /// Assigned at.
    pub since: UnixMillis,
    /// Over since; left out if it lasted to the end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<UnixMillis>,
    /// Why it was over: `recorder-gone`, `disk-full` or `io-error`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<String>,
}

/// Segments of one track that follow each other and belong to no turn.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Disowned {
    /// The track.
    pub track: u32,
    /// First of the segments.
    pub from: u32,
    /// Last of them.
    pub to: u32,
}

/// Sound or picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Media {
    /// Picture.
    Video,
    /// Sound.
    Audio,
}

impl Media {
    /// `video` or `audio`: also the name of the track on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Video => "video",
            Self::Audio => "audio",
        }
    }

    /// A hole between two frames longer than this must be declared as a gap, in microseconds:
    /// a camera may slow down in the dark, sound may not stop.
    #[must_use]
    pub const fn hole_us_max(self) -> u64 {
        match self {
            Self::Video => 1_000_000,
            Self::Audio => 200_000,
        }
    }
}

/// One unbroken publication of one medium by one party, as received and never re-encoded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Track {
    /// Number in the package, from 1.
    pub number: u32,
    /// `customer` or `agent`.
    pub party: String,
    /// Sound or picture.
    pub media: Media,
    /// Name of the MoQ broadcast it came in.
    pub broadcast: String,
    /// Codec as in RFC 6381, for example `avc1.42e01f` or `opus`.
    pub codec: String,
    /// Pixels across; 0 for sound.
    pub width: u32,
    /// Pixels down; 0 for sound.
    pub height: u32,
    /// Samples per second; 0 for picture.
    pub sample_rate: u32,
    /// Channels; 0 for picture.
    pub channels: u32,
    /// The recorder's clock at its first frame, by the least delay seen.
    pub started_at: UnixMillis,
    /// First frame's timestamp by the publisher's clock, microseconds.
    pub first_us: u64,
    /// Last frame's timestamp plus its duration, microseconds.
    pub end_us: u64,
    /// From first to end, milliseconds.
    pub duration_ms: u64,
    /// Frames.
    pub frames: u64,
    /// Bytes of all segments.
    pub bytes: u64,
    /// Frames that arrived but could not be opened or used, and are missing.
    pub refused: u64,
    /// The segments, in order.
    pub segments: Vec<Segment>,
    /// Root of the RFC 6962 tree over SM3 whose leaves are the lines of the track's `tree.sm3`.
    pub root: Hex,
}

/// One segment of a track.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Segment {
    /// Number in the track, from 1 without a gap; in version 4 rising.
    pub number: u32,
    /// Frames.
    pub frames: u32,
    /// First frame's timestamp, microseconds.
    pub first_us: u64,
    /// Last frame's timestamp plus its duration, microseconds.
    pub end_us: u64,
    /// Starts with a key frame.
    pub key: bool,
    /// The recorder's turn it was written in; left out where segments had no header.
    #[serde(default, skip_serializing_if = "is_none")]
    pub assignment: u32,
    /// The cluster's epoch as the recorder knew it then; left out where segments had no header.
    #[serde(default, skip_serializing_if = "is_no_epoch")]
    pub epoch: Epoch,
}

fn is_none(assignment: &u32) -> bool {
    *assignment == 0
}

fn is_no_epoch(epoch: &Epoch) -> bool {
    *epoch == Epoch::default()
}

/// A file made of tracks: one initialisation part and their segments, interleaved.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Playable {
    /// File name.
    pub file: String,
    /// Tracks in it.
    pub tracks: Vec<u32>,
}

/// Something that should be in the recording and is not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Gap {
    /// Whose media.
    pub party: String,
    /// Sound or picture.
    pub media: Media,
    /// Where it begins, milliseconds from the session's start.
    pub from_ms: u64,
    /// How long, milliseconds.
    pub length_ms: u64,
    /// `frames-missing`, `frames-refused`, `republished`, `recorder-restart`, `recorder-away`,
    /// `recorder-joined`, `recorder-replaced`, `disk-full`, `io-error` or `no-media`; in version 4
    /// also [`SEGMENT_LOST`] and [`TRACK_LOST`].
    pub cause: String,
    /// The track that stops there; left out if there was none yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub track: Option<u32>,
    /// The last segment before it in that track; left out if there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub segment: Option<u32>,
    /// The track that goes on after it; left out if none does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resumed: Option<u32>,
    /// The recorder's turn that begins after it, or ends before it; left out where no turn is the cause.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub assignment: Option<u32>,
}

/// A file of the package.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct File {
    /// Path inside the package.
    pub path: String,
    /// Size in bytes.
    pub size: u64,
    /// SM3 of its bytes.
    pub sm3: Hex,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_package_of_version_1_states_keeps_its_bytes() {
        let segment = r#"{"number":1,"frames":2,"first_us":3,"end_us":4,"key":true}"#;
        let read: Segment = serde_json::from_str(segment).unwrap();
        assert_eq!(serde_json::to_string(&read).unwrap(), segment);
        let gap =
            r#"{"party":"agent","media":"audio","from_ms":1,"length_ms":2,"cause":"no-media"}"#;
        let read: Gap = serde_json::from_str(gap).unwrap();
        assert_eq!(serde_json::to_string(&read).unwrap(), gap);
    }

    #[test]
    fn what_version_2_states_is_frozen() {
        let segment = r#"{"number":1,"frames":2,"first_us":3,"end_us":4,"key":true,"assignment":2,"epoch":3}"#;
        let read: Segment = serde_json::from_str(segment).unwrap();
        assert_eq!((read.assignment, read.epoch), (2, Epoch(3)));
        assert_eq!(serde_json::to_string(&read).unwrap(), segment);
        let turn =
            r#"{"number":1,"node":"a1-2","epoch":3,"since":4,"until":5,"cause":"recorder-gone"}"#;
        let read: Turn = serde_json::from_str(turn).unwrap();
        assert_eq!(serde_json::to_string(&read).unwrap(), turn);
        let disowned = r#"{"track":1,"from":2,"to":3}"#;
        let read: Disowned = serde_json::from_str(disowned).unwrap();
        assert_eq!(serde_json::to_string(&read).unwrap(), disowned);
    }
}
