//! How long recordings are kept: the retention matrix, and what is known of each recording's end.
//!
//! The rules are in `meta/core`'s `keeping`; for the bank's records manager: `docs/operating/keeping.md`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub use crate::date::Period;
use crate::{
    CentreId, ClassId, Date, InstitutionId, NodeName, SessionId, StaffRef, UnixMillis,
    officer::OfficerWord, place::Text,
};

/// The matrix that the product ships with.
const SHIPPED: &str = include_str!("retention/shipped.json");

/// When a class's period begins. Dates but that of the recording come from the bank's core system.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum StartsAt {
    /// The product ends.
    ProductEnd,
    /// The contract ends.
    ContractEnd,
    /// The customer's business with the bank ends.
    RelationshipEnd,
    /// The day of the recording itself: nobody has to name a date.
    Recorded,
}

/// A row of the matrix.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// The class.
    pub id: ClassId,
    /// Its name for people.
    pub name: Text,
    /// What its period begins with.
    pub starts: StartsAt,
    /// For how long at least.
    pub minimum: Period,
    /// For how long at least after a dispute was settled, where there was one. While one goes on, the recording
    /// must be held.
    #[serde(default)]
    pub dispute: Period,
    /// The text that asks for it; at most [`crate::limits::REASON_BYTES_MAX`] bytes.
    pub clause: String,
    /// It is never shortened again, not even for recordings to come, and never unlocked.
    #[serde(default)]
    pub locked: bool,
}

/// The retention matrix. A version is never edited: a change is the next version, whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Matrix {
    /// From 1, one more with every change.
    pub version: u32,
    /// The classes; at most [`crate::limits::CLASSES_MAX`].
    pub classes: Vec<Rule>,
}

impl Matrix {
    /// Version 1, as the product ships it. Each row names its clause.
    pub fn shipped() -> Self {
        // The file is a constant of the program; a test reads it.
        serde_json::from_str(SHIPPED).unwrap_or(Self {
            version: 1,
            classes: Vec::new(),
        })
    }

    /// The rule of a class.
    pub fn rule(&self, class: &ClassId) -> Option<&Rule> {
        self.classes.iter().find(|rule| &rule.id == class)
    }
}

/// What a class promised from a version on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Promise {
    /// Version of the matrix.
    pub version: u32,
    /// Since when.
    pub since: UnixMillis,
    /// As [`Rule::minimum`].
    pub minimum: Period,
    /// As [`Rule::dispute`].
    pub dispute: Period,
}

/// The matrix in force, and whatever it promised before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Retention {
    /// In force now.
    pub matrix: Matrix,
    /// Since when.
    pub at: UnixMillis,
    /// By whom; left out for the one that the product ships with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<StaffRef>,
    /// What each class promised, oldest first: a recording keeps the longest of its lifetime.
    pub promises: BTreeMap<ClassId, Vec<Promise>>,
    /// Recordings that found no room in the list of [`crate::limits::RECORDINGS_KEPT_MAX`]; kept for ever.
    #[serde(default)]
    pub untracked: u64,
}

/// A class of a recording.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Classing {
    /// Which.
    pub class: ClassId,
    /// The day on which product, contract or relationship ended. Without it the recording is never deleted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ends: Option<Date>,
    /// The day on which a dispute about it was settled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dispute_ended: Option<Date>,
}

/// A recording must be kept whatever its classes say.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Hold {
    /// From 1, never used again for this recording.
    pub number: u32,
    /// The officer who placed it.
    pub by: StaffRef,
    /// When.
    pub at: UnixMillis,
    /// Why, in the officer's words; one line, at most [`crate::limits::REASON_BYTES_MAX`] bytes.
    pub reason: String,
    /// Officers who have said that it may end, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub releases: Vec<OfficerWord>,
}

impl Hold {
    /// What an officer signs who says that hold `number` of a recording may end.
    pub fn release_text(session: &SessionId, number: u32, at: UnixMillis) -> String {
        format!("guitai-hold-release/1\n{session}\n{number}\n{at}\n")
    }
}

/// What allows an erasure: the rule that asked for the longest time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Erasure {
    /// The last day on which it had to be kept.
    pub until: Date,
    /// The class that said so.
    pub class: ClassId,
    /// The version of the matrix whose promise it was.
    pub version: u32,
}

/// Where a recording stands.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case", tag = "is")]
pub enum Stage {
    /// Kept.
    #[default]
    Kept,
    /// Its time is over: recorders are to destroy its key.
    Erasing {
        /// Since when.
        since: UnixMillis,
        /// Why it may be.
        erasure: Erasure,
    },
    /// No recorder has its key any more.
    Erased {
        /// Since when.
        at: UnixMillis,
        /// Why it might be.
        erasure: Erasure,
        /// Number of the entry of the transparency log that says so; left out where there is no log.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        entry: Option<u64>,
    },
}

/// A recording as the cluster keeps it, for as long as it is kept and after.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recording {
    /// The call.
    pub session: SessionId,
    /// Whose it is.
    pub institution: InstitutionId,
    /// When it began to exist.
    pub started_at: UnixMillis,
    /// When the call ended: the date of a class that begins with the recording.
    pub ended_at: UnixMillis,
    /// Nodes that may have something of it.
    pub copies: BTreeMap<NodeName, KeptCopy>,
    /// Its classes.
    #[serde(default)]
    pub classes: BTreeMap<ClassId, Ends>,
    /// Holds on it.
    #[serde(default)]
    pub holds: Vec<Hold>,
    /// Holds ever placed on it.
    #[serde(default)]
    pub holds_placed: u32,
    /// Where it stands.
    #[serde(default)]
    pub stage: Stage,
}

impl Recording {
    /// Copies of which a whole package can be had, with their nodes.
    pub fn whole(&self) -> impl Iterator<Item = (&NodeName, &KeptCopy)> {
        self.copies.iter().filter(|(_, copy)| copy.is_whole())
    }
}

/// What one node has of a recording.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeptCopy {
    /// How it is, as far as it was read.
    pub health: Health,
    /// When it was last read through, from the first byte to the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub read_at: Option<UnixMillis>,
    /// Since when the node has nothing of it that could be opened.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub erased_at: Option<UnixMillis>,
    /// What it has in the sink, as it says; left out where that is nothing, or not yet all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sink: Option<SinkCopy>,
}

/// A node's recording in the object store, every object of it read back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SinkCopy {
    /// Since when it is as told here.
    pub at: UnixMillis,
    /// How many files.
    pub files: u32,
    /// Their bytes.
    pub bytes: u64,
    /// Every object is locked until then at least; left out where there is no lock, or no date is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<UnixMillis>,
    /// A legal hold is on every object.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub held: bool,
}

impl KeptCopy {
    /// One of which nothing is known yet but how it is.
    pub const fn new(health: Health) -> Self {
        Self {
            health,
            read_at: None,
            erased_at: None,
            sink: None,
        }
    }

    /// Whether a whole package can be had from it.
    pub const fn is_whole(&self) -> bool {
        let is_whole = matches!(self.health, Health::Whole | Health::Replica { .. });
        is_whole && self.erased_at.is_none()
    }
}

/// How a node's copy of a recording is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case", tag = "is")]
pub enum Health {
    /// The node had a part in recording, and has not sealed it, or not yet.
    Unsealed,
    /// What the node sealed is there.
    Whole,
    /// Something of it is missing or has changed.
    Damaged {
        /// Since when that is known.
        at: UnixMillis,
        /// What was found, in one line.
        what: String,
    },
    /// The node is to get a replica of another node's recording.
    Ordered {
        /// Since when.
        at: UnixMillis,
        /// Whose.
        from: NodeName,
    },
    /// The node has a replica of another node's recording.
    Replica {
        /// Since when.
        at: UnixMillis,
        /// Whose.
        from: NodeName,
    },
}

/// The known dates of a recording's class.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Ends {
    /// As [`Classing::ends`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ends: Option<Date>,
    /// As [`Classing::dispute_ended`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dispute_ended: Option<Date>,
}

/// What is ordered about keeping.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "is")]
pub enum KeepOrder {
    /// The matrix changes; its first version begins the keeping of recordings.
    Matrix {
        /// The next version.
        matrix: Matrix,
        /// By whom; `None` is the leader, for the first one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        by: Option<StaffRef>,
    },
    /// A recording gets classes, or their dates become known.
    Class {
        /// The call.
        session: SessionId,
        /// Who says so.
        by: StaffRef,
        /// Classes to add; one that is there gets these dates where they are given.
        classes: Vec<Classing>,
    },
    /// A recording must be kept.
    Hold {
        /// The call.
        session: SessionId,
        /// The officer.
        by: StaffRef,
        /// Why.
        reason: String,
    },
    /// An officer says that a hold may end; it does with the second one.
    Release {
        /// The call.
        session: SessionId,
        /// Which hold.
        hold: u32,
        /// Signed word; that it is signed, the door has checked.
        release: OfficerWord,
    },
    /// A recorder has nothing of the recording any more that could be opened.
    Erased {
        /// The call.
        session: SessionId,
        /// The recorder.
        node: NodeName,
    },
    /// A recorder has read its copy through.
    Read {
        /// The call.
        session: SessionId,
        /// The recorder.
        node: NodeName,
        /// What is wrong with it, one line of at most [`crate::limits::DAMAGE_BYTES_MAX`] bytes; `None` when it
        /// is whole.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        damage: Option<String>,
    },
    /// A node is to get a replica of another's recording: there are whole ones in too few centres.
    Replicate {
        /// The call.
        session: SessionId,
        /// Who gets it.
        node: NodeName,
        /// Whose recording.
        from: NodeName,
    },
    /// What a recorder has in the sink is otherwise than before.
    Sink {
        /// The call.
        session: SessionId,
        /// The recorder.
        node: NodeName,
        /// What it has there; `None` when it is deleted, or no longer whole.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        copy: Option<SinkCopy>,
    },
    /// A node has the replica that it was to get.
    Replicated {
        /// The call.
        session: SessionId,
        /// The node.
        node: NodeName,
        /// Whose recording.
        from: NodeName,
    },
}

/// What the log notes of a recording's keeping.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "is")]
pub enum Noted {
    /// It got classes or dates.
    Classed {
        /// Which.
        classes: Vec<Classing>,
    },
    /// A hold was placed.
    Held {
        /// Its number.
        hold: u32,
        /// Why.
        reason: String,
    },
    /// An officer has said that a hold may end.
    ReleaseApproved {
        /// Its number.
        hold: u32,
        /// The signed word.
        release: OfficerWord,
    },
    /// A hold has ended.
    Released {
        /// Its number.
        hold: u32,
    },
}

/// A recording's keeping as people see it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct KeptView {
    /// The call.
    pub session: SessionId,
    /// Whose it is.
    pub institution: InstitutionId,
    /// When the call ended.
    pub ended_at: UnixMillis,
    /// Nodes that may have something of it.
    pub copies: Vec<CopyView>,
    /// Its classes, each with the longest that it was ever promised to this recording.
    pub classes: Vec<ClassView>,
    /// Holds on it.
    pub holds: Vec<Hold>,
    /// The last day on which it must be kept, by its classes; none while one of them has no known end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub due: Option<Erasure>,
    /// Where it stands.
    pub stage: Stage,
    /// Centres that have a whole copy of it.
    pub centres: Vec<CentreId>,
    /// In how many there should be one.
    pub centres_wanted: u32,
}

/// A node's part of a recording.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CopyView {
    /// The node.
    pub node: NodeName,
    /// Its centre; none when the node is no member any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub centre: Option<CentreId>,
    /// How it is, as far as it was read.
    pub health: Health,
    /// When it was last read through.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub read_at: Option<UnixMillis>,
    /// Since when it has nothing of it that could be opened.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub erased_at: Option<UnixMillis>,
    /// What it has in the sink, an object store; left out where that is nothing, or not yet all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sink: Option<SinkCopy>,
}

/// What reading a copy through gave.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Reading {
    /// The node.
    pub node: NodeName,
    /// Bytes of the package that were read.
    pub bytes: u64,
    /// How long it took, in milliseconds.
    pub took_ms: u64,
    /// What was found.
    pub found: Found,
}

/// How a copy was when it was read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case", tag = "is")]
pub enum Found {
    /// Every byte is what was sealed.
    Whole,
    /// Something is missing or has changed.
    Damaged {
        /// What, in one line.
        what: String,
    },
    /// The node was not reached: nothing is known.
    Unreached {
        /// Why, in one line.
        why: String,
    },
}

/// A class of a recording as people see it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ClassView {
    /// Which.
    pub class: ClassId,
    /// Its name.
    pub name: Text,
    /// The longest minimum that was promised to this recording.
    pub minimum: Period,
    /// The version of the matrix that promised it.
    pub version: u32,
    /// Known dates.
    pub dates: Ends,
    /// The last day by this class alone, if its end is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Date>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_matrix_that_ships_is_whole_and_every_row_names_its_clause() {
        let matrix = Matrix::shipped();
        assert_eq!(matrix.version, 1);
        let minimum = |class: &str| {
            matrix
                .rule(&class.parse().unwrap())
                .unwrap()
                .minimum
                .to_string()
        };
        assert_eq!(minimum("agency-sale"), "20y");
        assert_eq!(minimum("insurance-short"), "5y");
        assert_eq!(minimum("insurance-long"), "10y");
        assert_eq!(minimum("identity"), "10y");
        assert_eq!(minimum("loan"), "10y");
        assert_eq!(minimum("inspection"), "5y");
        assert_eq!(minimum("access-log"), "3y");
        assert_eq!(minimum("audit-log"), "forever");
        assert_eq!(matrix.classes.len(), 8);
        for rule in &matrix.classes {
            assert!(
                !rule.clause.is_empty() && !rule.name.zh.is_empty() && !rule.name.en.is_empty()
            );
            assert!(rule.clause.len() <= crate::limits::REASON_BYTES_MAX);
        }
    }

    #[test]
    fn a_copy_without_a_sink_is_written_as_before_and_one_with_it_is_frozen() {
        let mut copy = KeptCopy::new(Health::Whole);
        let before = r#"{"health":{"is":"whole"}}"#;
        assert_eq!(serde_json::to_string(&copy).unwrap(), before);
        assert_eq!(serde_json::from_str::<KeptCopy>(before).unwrap(), copy);
        copy.sink = Some(SinkCopy {
            at: UnixMillis(1),
            files: 2,
            bytes: 3,
            until: Some(UnixMillis(4)),
            held: false,
        });
        let with = r#"{"health":{"is":"whole"},"sink":{"at":1,"files":2,"bytes":3,"until":4}}"#;
        assert_eq!(serde_json::to_string(&copy).unwrap(), with);
    }

    #[test]
    fn what_an_officer_signs_and_what_is_logged_is_frozen() {
        let session: SessionId = "s1".parse().unwrap();
        let text = Hold::release_text(&session, 2, UnixMillis(5));
        assert_eq!(text, "guitai-hold-release/1\ns1\n2\n5\n");
        let record = crate::tlog::Record::RecordingErased {
            session,
            nodes: vec!["a1-1".parse().unwrap()],
            awaited: Vec::new(),
            erasure: Erasure {
                until: "2031-05-09".parse().unwrap(),
                class: "loan".parse().unwrap(),
                version: 3,
            },
        };
        assert_eq!(
            record.to_text().unwrap(),
            r#"{"awaited":[],"erasure":{"class":"loan","until":"2031-05-09","version":3},"kind":"recording-erased","nodes":["a1-1"],"session":"s1"}"#
        );
    }
}
