//! The transparency log's entries, what is behind them, and whom its readers believe.
//!
//! An entry is public: kind, time, and a digest of the salted record, nothing about a person. The record
//! and its salt, the *opening*, stay inside; whoever is shown an opening can see that it is what the entry
//! was made of, and without the salt nobody can guess it. Format document:
//! `docs/reference/transparency-log.md`.

use serde::{Deserialize, Serialize};

use crate::{
    CentreId, ClusterId, Epoch, Hex, Member, NodeName, RunId, SessionId, StaffRef, UnixMillis,
    canonical,
    custody::{CustodyChange, HeldCertificate, HeldKey, HeldList, Told},
    flowlog::AgreedMinute,
    flows::{FlowStep, FlowVersion},
    record::{Duty, Policy, RecordingSummary, Staff},
    retention::{Erasure, Health, Matrix, Noted},
    sync::SyncMode,
};

/// Version of [`Entry`] written by this release.
pub const ENTRY_VERSION: u16 = 1;
/// Bytes of a salt and of a digest.
pub const SALT_BYTES: usize = 32;

/// What an entry is about; the record has the same word under `kind`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum EntryKind {
    /// The log began, or its keys and witnesses changed.
    Trust,
    /// A recording was sealed: its evidence root.
    RecordingSealed,
    /// A recorder's root over what it closed in one second.
    RecorderRoot,
    /// The policy changed.
    Policy,
    /// A staff account was made or changed.
    Staff,
    /// A node was added or changed.
    Member,
    /// A line of a disaster recovery run's journal.
    Dr,
    /// The cluster's epoch was raised.
    Epoch,
    /// Sync writes wait for the guard city from now on, or do not.
    SyncMode,
    /// A recording was exported, played or copied.
    Access,
    /// A witness was shown two trees.
    Alarm,
    /// The retention matrix changed.
    Retention,
    /// A recording's classes or holds changed.
    RecordingKept,
    /// A node's copy of a recording was found damaged, or a replica took its place.
    RecordingCopy,
    /// Recorders destroyed the key of a recording whose time was over.
    RecordingErased,
    /// A node's certificates, or the revocation lists it obeys, changed.
    Certificate,
    /// A node's keys that wrap others changed.
    Key,
    /// A flow matrix was proposed, approved, came into force, or was taken back.
    FlowMatrix,
    /// What flowed in a minute is kept: its root.
    FlowLog,
    /// Somebody logged in, or was locked out.
    Login,
}

impl EntryKind {
    /// Every kind.
    pub const ALL: [Self; 20] = [
        Self::Trust,
        Self::RecordingSealed,
        Self::RecorderRoot,
        Self::Policy,
        Self::Staff,
        Self::Member,
        Self::Dr,
        Self::Epoch,
        Self::SyncMode,
        Self::Access,
        Self::Alarm,
        Self::Retention,
        Self::RecordingKept,
        Self::RecordingCopy,
        Self::RecordingErased,
        Self::Certificate,
        Self::Key,
        Self::FlowMatrix,
        Self::FlowLog,
        Self::Login,
    ];

    /// Whether nodes enter it by the clock, and not because something happened: lists leave it out unless it is asked
    /// for.
    #[must_use]
    pub const fn is_of_the_clock(self) -> bool {
        matches!(self, Self::RecorderRoot | Self::FlowLog)
    }

    /// The word that stands in an entry.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Trust => "trust",
            Self::RecordingSealed => "recording-sealed",
            Self::RecorderRoot => "recorder-root",
            Self::Policy => "policy",
            Self::Staff => "staff",
            Self::Member => "member",
            Self::Dr => "dr",
            Self::Epoch => "epoch",
            Self::SyncMode => "sync-mode",
            Self::Access => "access",
            Self::Alarm => "alarm",
            Self::Retention => "retention",
            Self::RecordingKept => "recording-kept",
            Self::RecordingCopy => "recording-copy",
            Self::RecordingErased => "recording-erased",
            Self::Certificate => "certificate",
            Self::Key => "key",
            Self::FlowMatrix => "flow-matrix",
            Self::FlowLog => "flow-log",
            Self::Login => "login",
        }
    }
}

/// One entry of the log. Its bytes are the canonical JSON of this, and nothing else is ever hashed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// When, in milliseconds since 1970, by the leader that proposed it; never goes back along the log.
    pub at: UnixMillis,
    /// SM3 of salt and record, one after the other.
    pub digest: Hex,
    /// What it is about.
    pub kind: EntryKind,
    /// Format version, [`ENTRY_VERSION`].
    pub v: u16,
}

impl Entry {
    /// The entry's text.
    pub fn to_text(&self) -> String {
        // Hex digits, a word of ours and integers: nothing that would be escaped.
        format!(
            r#"{{"at":{},"digest":"{}","kind":"{}","v":{}}}"#,
            self.at.0,
            self.digest,
            self.kind.as_str(),
            self.v
        )
    }

    /// Reads an entry of this version; `None` for any bytes but the canonical ones.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let entry: Self = serde_json::from_slice(bytes).ok()?;
        (entry.v == ENTRY_VERSION && entry.to_text().as_bytes() == bytes).then_some(entry)
    }
}

/// What is behind an entry. Never leaves the bank unless somebody with the right to it hands it out.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Opening {
    /// Canonical JSON of a [`Record`], as it was hashed.
    pub record: String,
    /// The salt that was hashed before it.
    pub salt: Hex,
}

impl std::fmt::Debug for Opening {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Opening({} bytes)", self.record.len())
    }
}

/// How an attempt to log in ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum LoginOutcome {
    /// With a token.
    Granted,
    /// Too many wrong passwords: the next ones are refused unseen for a while.
    LockedOut,
}

/// Somebody logged in to a node, or was locked out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Login {
    /// Who.
    pub who: StaffRef,
    /// By which node's door.
    pub door: NodeName,
    /// With which rights.
    pub duties: Vec<Duty>,
    /// How it ended.
    pub outcome: LoginOutcome,
}

/// What an entry hides.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "kind")]
pub enum Record {
    /// The log began, or its keys and witnesses changed.
    Trust {
        /// Of which cluster.
        cluster: ClusterId,
        /// In which epoch.
        epoch: Epoch,
        /// Whom to believe from now on.
        trust: Box<LogTrust>,
        /// The policy at that time.
        policy: Policy,
        /// The nodes at that time.
        members: Vec<Member>,
    },
    /// A recording was sealed.
    RecordingSealed {
        /// The call.
        session: SessionId,
        /// Which turn at recording it.
        assignment: u32,
        /// What was sealed, with its root.
        summary: RecordingSummary,
    },
    /// A recorder's root of one second.
    RecorderRoot {
        /// As the recorder signed it.
        root: RecorderRoot,
    },
    /// The policy changed.
    Policy {
        /// To this.
        policy: Policy,
    },
    /// A staff account was made or changed.
    Staff {
        /// To this, without its password.
        account: Box<StaffFacts>,
    },
    /// A node was added or changed.
    Member {
        /// To this.
        member: Box<Member>,
    },
    /// A line of a disaster recovery run's journal.
    Dr {
        /// Which run.
        run: RunId,
        /// The step, if it is about one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        step: Option<String>,
        /// As [`crate::dr::JournalLine::what`]; `entered` for a takeover that was written down afterwards.
        what: String,
        /// Details.
        note: String,
    },
    /// The cluster's epoch was raised.
    Epoch {
        /// To this.
        epoch: Epoch,
    },
    /// The mode of sync writes changed.
    SyncMode {
        /// Which change it is.
        counter: u64,
        /// To this.
        mode: SyncMode,
    },
    /// Somebody has seen a recording.
    Access {
        /// Who, what and why.
        access: Access,
    },
    /// A witness was shown two trees.
    Alarm {
        /// Which witness, and what it saw.
        alarm: LogAlarm,
    },
    /// The retention matrix changed.
    Retention {
        /// To this.
        matrix: Matrix,
        /// By whom; left out for the one that the product ships with.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        by: Option<StaffRef>,
    },
    /// A recording's classes or holds changed.
    RecordingKept {
        /// The call.
        session: SessionId,
        /// Who said so.
        by: StaffRef,
        /// What.
        noted: Noted,
    },
    /// A node's copy of a recording was found damaged, or a replica took its place.
    RecordingCopy {
        /// The call.
        session: SessionId,
        /// The node.
        node: NodeName,
        /// How its copy is.
        health: Health,
    },
    /// Recorders destroyed the key of a recording whose time was over.
    RecordingErased {
        /// The call.
        session: SessionId,
        /// Where its key is destroyed.
        nodes: Vec<NodeName>,
        /// Where it is still to be destroyed: another entry follows. Empty when it is erased everywhere.
        awaited: Vec<NodeName>,
        /// What allowed it.
        erasure: Erasure,
    },
    /// A node's certificates, or the revocation lists it obeys, changed.
    Certificate {
        /// Whose, and who says so.
        #[serde(flatten)]
        told: Told,
        /// Certificates.
        certificates: CustodyChange<HeldCertificate>,
        /// Revocation lists.
        lists: CustodyChange<HeldList>,
    },
    /// A node's keys that wrap others changed.
    Key {
        /// Whose, and who says so.
        #[serde(flatten)]
        told: Told,
        /// Made, and destroyed.
        keys: CustodyChange<HeldKey>,
    },
    /// A flow matrix was proposed, approved, came into force, or was taken back.
    FlowMatrix {
        /// What happened.
        step: FlowStep,
        /// To which version; its text with the proposal and when it comes into force.
        version: Box<FlowVersion>,
        /// By whom; left out for the one that the cluster was founded with.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        by: Option<StaffRef>,
    },
    /// What flowed in a minute is kept.
    FlowLog {
        /// Which minute, and its root.
        #[serde(flatten)]
        kept: AgreedMinute,
    },
    /// Somebody logged in, or was locked out.
    Login {
        /// Who, where, with what right.
        #[serde(flatten)]
        login: Login,
    },
}

impl Record {
    /// What the entry says it is about.
    pub const fn kind(&self) -> EntryKind {
        match self {
            Self::Trust { .. } => EntryKind::Trust,
            Self::RecordingSealed { .. } => EntryKind::RecordingSealed,
            Self::RecorderRoot { .. } => EntryKind::RecorderRoot,
            Self::Policy { .. } => EntryKind::Policy,
            Self::Staff { .. } => EntryKind::Staff,
            Self::Member { .. } => EntryKind::Member,
            Self::Dr { .. } => EntryKind::Dr,
            Self::Epoch { .. } => EntryKind::Epoch,
            Self::SyncMode { .. } => EntryKind::SyncMode,
            Self::Access { .. } => EntryKind::Access,
            Self::Alarm { .. } => EntryKind::Alarm,
            Self::Retention { .. } => EntryKind::Retention,
            Self::RecordingKept { .. } => EntryKind::RecordingKept,
            Self::RecordingCopy { .. } => EntryKind::RecordingCopy,
            Self::RecordingErased { .. } => EntryKind::RecordingErased,
            Self::Certificate { .. } => EntryKind::Certificate,
            Self::Key { .. } => EntryKind::Key,
            Self::FlowMatrix { .. } => EntryKind::FlowMatrix,
            Self::FlowLog { .. } => EntryKind::FlowLog,
            Self::Login { .. } => EntryKind::Login,
        }
    }

    /// Its canonical JSON; what is unknown is left out.
    ///
    /// # Errors
    /// When a number in it is past [`canonical::INTEGER_MAX`].
    pub fn to_text(&self) -> Result<String, canonical::CanonicalError> {
        let value = serde_json::to_value(self).map_err(canonical::CanonicalError::Json)?;
        let bytes = canonical::to_bytes(&without_nulls(value))?;
        // Canonical JSON is UTF-8.
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }
}

fn without_nulls(value: serde_json::Value) -> serde_json::Value {
    use serde_json::Value;
    match value {
        Value::Object(members) => {
            let known = members.into_iter().filter(|(_, value)| !value.is_null());
            Value::Object(known.map(|(key, it)| (key, without_nulls(it))).collect())
        }
        Value::Array(items) => Value::Array(items.into_iter().map(without_nulls).collect()),
        plain => plain,
    }
}

/// A staff account as the log knows it: everything but the password.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StaffFacts {
    /// Institution and login name.
    pub id: StaffRef,
    /// Shown to customers and colleagues.
    pub display: String,
    /// Work number.
    pub number: String,
    /// Branch and team, one after the other.
    pub place: String,
    /// Skills for routing.
    pub skills: Vec<crate::Skill>,
    /// Rights.
    pub duties: Vec<Duty>,
    /// The key by which an officer approves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approval_key: Option<Hex>,
}

impl From<&Staff> for StaffFacts {
    fn from(staff: &Staff) -> Self {
        Self {
            id: staff.id.clone(),
            display: staff.display.clone(),
            number: staff.number.clone(),
            place: format!("{}/{}", staff.branch, staff.team),
            skills: staff.skills.clone(),
            duties: staff.duties.clone(),
            approval_key: staff.approval_key.clone(),
        }
    }
}

/// A recorder's root over the segments that it closed within one second of wall time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RecorderRoot {
    /// The recorder.
    pub node: NodeName,
    /// Which second, since 1970, by the recorder's clock; rises along the log for each recorder.
    pub second: u64,
    /// Segments under the root, at least 1.
    pub count: u32,
    /// SM3 root over them, 32 bytes.
    pub root: Hex,
    /// Signature by the recorder's seal key (GB/T 32918.2, DER) over [`RecorderRoot::text`], at most
    /// [`crate::limits::SIGNATURE_BYTES_MAX`] bytes.
    pub signature: Hex,
}

impl RecorderRoot {
    /// What the recorder signs.
    pub fn text(node: &NodeName, second: u64, count: u32, root: &Hex) -> String {
        format!("guitai-recorder-root/1\n{node}\n{second}\n{count}\n{root}\n")
    }
}

/// What somebody does with a recording.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum AccessKind {
    /// Its evidence package is handed out.
    Export,
    /// It is played.
    Play,
    /// It is copied to somewhere else.
    Copy,
    /// A film of it is handed out.
    Film,
}

/// An access to a recording.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Access {
    /// Who.
    pub who: StaffRef,
    /// The call.
    pub session: SessionId,
    /// What for.
    pub what: AccessKind,
    /// Why, in the person's own words; not empty, at most [`crate::limits::REASON_BYTES_MAX`] bytes.
    pub reason: String,
}

/// One of the two trees over the same entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum TreeName {
    /// The primary one: SM3, signed by SM2.
    Sm3,
    /// The twin, to the letter of C2SP: SHA-256, signed by Ed25519.
    Sha256,
}

/// A witness was shown a head, signed by the log, that is not of the tree it knows. It has refused; somebody
/// must find out who made the other tree.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct LogAlarm {
    /// The witness' node.
    pub witness: NodeName,
    /// Which tree.
    pub tree: TreeName,
    /// How many entries the head is over.
    pub size: u64,
    /// The root that the witness knows for so many entries, 32 bytes.
    pub known: Hex,
    /// The root that it was shown.
    pub shown: Hex,
}

/// An alarm, as it was taken down.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RaisedAlarm {
    /// When, by the core's clock.
    pub at: UnixMillis,
    /// What was seen.
    pub alarm: LogAlarm,
}

/// How the transparency log stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct LogStatus {
    /// Entries that this node has.
    pub size: u64,
    /// Entries under the newest published checkpoints, 0 before the first.
    pub published: u64,
    /// When those were published.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub published_at: Option<UnixMillis>,
    /// Full tiles and bundles that this node still has to fetch from others.
    pub missing: u64,
    /// How many witnesses a checkpoint needs.
    pub needed: usize,
    /// Whom to believe.
    pub trust: LogTrust,
    /// What witnesses saw, oldest first, at most [`crate::limits::LOG_ALARMS_KEPT`].
    pub alarms: Vec<RaisedAlarm>,
}

/// The keys of one party for both trees, as vkeys (signed-note): `name+id+key`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TreeKeys {
    /// For the SM3 tree: SM2, note type 0xff.
    pub sm3: String,
    /// For its twin: Ed25519.
    pub sha256: String,
}

/// A centre's witness.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct LogWitness {
    /// The core node that it runs on.
    pub node: NodeName,
    /// The centre it stands for.
    pub centre: CentreId,
    /// Its keys.
    pub keys: TreeKeys,
}

/// Whom a reader of the log believes: a majority of the witnesses, one per centre that has a core.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct LogTrust {
    /// The log's keys; their names are the trees' origins.
    pub log: TreeKeys,
    /// The witnesses, at most [`crate::limits::WITNESSES_MAX`].
    pub witnesses: Vec<LogWitness>,
}

impl LogTrust {
    /// How many witnesses must have cosigned: more than half of them.
    pub fn needed(&self) -> usize {
        self.witnesses.len() / 2 + usize::from(!self.witnesses.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn root() -> RecorderRoot {
        RecorderRoot {
            node: "a1-1".parse().unwrap(),
            second: 1_764_000_000,
            count: 3,
            root: Hex(vec![7; 32]),
            signature: Hex(vec![48, 1]),
        }
    }

    #[test]
    fn the_bytes_of_an_entry_are_frozen() {
        let entry = Entry {
            at: UnixMillis(1_764_000_000_123),
            digest: Hex(vec![0xab; 32]),
            kind: EntryKind::RecorderRoot,
            v: ENTRY_VERSION,
        };
        let text = entry.to_text();
        let digest = "ab".repeat(32);
        assert_eq!(
            text,
            format!(r#"{{"at":1764000000123,"digest":"{digest}","kind":"recorder-root","v":1}}"#)
        );
        assert_eq!(canonical::to_bytes(&entry).unwrap(), text.as_bytes());
        assert_eq!(Entry::parse(text.as_bytes()), Some(entry));
        assert_eq!(Entry::parse(format!("{text} ").as_bytes()), None, "form");
        let later = text.replace("\"v\":1", "\"v\":2");
        assert_eq!(Entry::parse(later.as_bytes()), None, "a later version");
    }

    #[test]
    fn every_kind_is_written_as_it_is_named() {
        let kinds = [
            EntryKind::Trust,
            EntryKind::RecordingSealed,
            EntryKind::RecorderRoot,
            EntryKind::Policy,
            EntryKind::Staff,
            EntryKind::Member,
            EntryKind::Dr,
            EntryKind::Epoch,
            EntryKind::SyncMode,
            EntryKind::Access,
            EntryKind::Alarm,
            EntryKind::Retention,
            EntryKind::RecordingKept,
            EntryKind::RecordingCopy,
            EntryKind::RecordingErased,
        ];
        for kind in kinds {
            let written = serde_json::to_string(&kind).unwrap();
            assert_eq!(written, format!("\"{}\"", kind.as_str()));
        }
    }

    #[test]
    fn the_bytes_of_records_are_frozen() {
        let record = Record::RecorderRoot { root: root() };
        let text = record.to_text().unwrap();
        let expected = format!(
            r#"{{"kind":"recorder-root","root":{{"count":3,"node":"a1-1","root":"{}","second":1764000000,"signature":"3001"}}}}"#,
            "07".repeat(32)
        );
        assert_eq!(text, expected);
        let access = Record::Access {
            access: Access {
                who: StaffRef {
                    institution: "bank".parse().unwrap(),
                    name: "wang".parse().unwrap(),
                },
                session: "s1".parse().unwrap(),
                what: AccessKind::Play,
                reason: "投诉".to_owned(),
            },
        };
        assert_eq!(
            access.to_text().unwrap(),
            r#"{"access":{"reason":"投诉","session":"s1","what":"play","who":{"institution":"bank","name":"wang"}},"kind":"access"}"#
        );
        let epoch = Record::Epoch { epoch: Epoch(4) };
        assert_eq!(epoch.to_text().unwrap(), r#"{"epoch":4,"kind":"epoch"}"#);
        assert_eq!(serde_json::from_str::<Record>(&text).unwrap(), record);
    }

    #[test]
    fn a_record_says_its_kind_and_leaves_out_what_is_unknown() {
        let record = Record::Dr {
            run: "r1".parse().unwrap(),
            step: None,
            what: "approved".to_owned(),
            note: String::new(),
        };
        let text = record.to_text().unwrap();
        assert_eq!(
            text,
            r#"{"kind":"dr","note":"","run":"r1","what":"approved"}"#
        );
        assert!(text.contains(record.kind().as_str()));
        let past = Record::SyncMode {
            counter: canonical::INTEGER_MAX + 1,
            mode: SyncMode::Unguarded,
        };
        assert!(past.to_text().is_err());
    }

    #[test]
    fn what_a_recorder_signs_is_frozen() {
        let RecorderRoot {
            node,
            second,
            count,
            root,
            ..
        } = root();
        let text = RecorderRoot::text(&node, second, count, &root);
        let hash = "07".repeat(32);
        assert_eq!(
            text,
            format!("guitai-recorder-root/1\na1-1\n1764000000\n3\n{hash}\n")
        );
    }

    #[test]
    fn more_than_half_of_the_witnesses_are_needed() {
        let needed = |count: usize| {
            let keys = TreeKeys {
                sm3: String::new(),
                sha256: String::new(),
            };
            let witness = LogWitness {
                node: "a1-1".parse().unwrap(),
                centre: "a1".parse().unwrap(),
                keys: keys.clone(),
            };
            let trust = LogTrust {
                log: keys,
                witnesses: vec![witness; count],
            };
            trust.needed()
        };
        assert_eq!([0, 1, 2, 3, 4, 5].map(needed), [0, 1, 2, 2, 3, 3]);
    }
}
