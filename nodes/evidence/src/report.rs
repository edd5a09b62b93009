//! What a verification found.

use guitai_types::{Hex, SessionId, UnixMillis, place::Text};
use serde::Serialize;

/// A check of the verifier.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Check {
    /// The manifest is there, canonical, complete and of a known version.
    Manifest,
    /// The trust files lead to one root; it is the expected one, if one was given.
    Root,
    /// The SM2 SignedData is the recorder's over this manifest.
    SignedData,
    /// The plain SM2 signature is the recorder's over manifest and SignedData.
    Signature,
    /// Every listed file is there, with its size and SM3.
    Files,
    /// Nothing is there that is not listed.
    Unlisted,
    /// Checksum list and package root are those of the listed files.
    Sums,
    /// Every track's list, tree and facts are those of its segments.
    Tracks,
    /// No hole in a track that is not declared.
    Continuity,
    /// The declared gaps are the same in both places.
    Gaps,
    /// Every segment's header says what the manifest says, and of each it is the recorder's turn, in an
    /// epoch not below it, or it is declared to be of none.
    Turns,
    /// The business events are numbered and ordered, and support the stated steps.
    Events,
}

impl Check {
    /// What is checked, for people.
    #[must_use]
    pub fn text(self) -> Text {
        let (zh, en) = match self {
            Self::Manifest => ("清单为规范格式且完整", "manifest canonical and complete"),
            Self::Root => ("证书链指向一个根", "certificates lead to one root"),
            Self::SignedData => ("清单的 SM2 签名数据", "SM2 SignedData over the manifest"),
            Self::Signature => ("清单的 SM2 裸签名", "plain SM2 signature over the manifest"),
            Self::Files => ("每个文件的大小和 SM3", "size and SM3 of every file"),
            Self::Unlisted => ("没有多余的文件", "nothing that is not listed"),
            Self::Sums => ("校验和清单与默克尔根", "checksum list and Merkle root"),
            Self::Tracks => ("每条轨道的树与事实", "tree and facts of every track"),
            Self::Continuity => ("没有未声明的缺口", "no undeclared hole"),
            Self::Gaps => ("缺口声明一致", "gap declarations agree"),
            Self::Turns => (
                "每个分段属于录制节点的任期",
                "every segment of the recorder's turn",
            ),
            Self::Events => ("业务事件连续", "business events complete"),
        };
        Text {
            zh: zh.to_owned(),
            en: en.to_owned(),
        }
    }
}

/// One finding, good or bad.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Item {
    /// What was checked.
    pub what: Check,
    /// It holds.
    pub ok: bool,
    /// What was seen.
    pub detail: String,
    /// The file concerned, if it is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
}

/// What a package says, for a reader's first look; believe it only if the report is ok and the
/// root's fingerprint is one you know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Facts {
    /// Session.
    pub session: SessionId,
    /// Who signed: common name of the verified certificate; empty if none verified.
    pub signer: String,
    /// SM3 of the root certificate in the package.
    pub root_fingerprint: Hex,
    /// The root was the one the caller expected (`false` also when none was given).
    pub root_expected: bool,
    /// Merkle root of the package.
    pub root: Hex,
    /// Sealed at.
    pub sealed_at: UnixMillis,
    /// Longest track, milliseconds.
    pub duration_ms: u64,
    /// Segments declared to be of no turn that the cluster knows.
    pub segments_disowned: u64,
    /// Listed files and their bytes.
    pub files: u64,
    /// Bytes of listed files.
    pub bytes: u64,
    /// Tracks.
    pub tracks: u64,
    /// Declared gaps.
    pub gaps: u64,
    /// Required steps that were not done.
    pub steps_missing: Vec<String>,
}

/// Everything a verification found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Every check holds.
    pub ok: bool,
    /// The findings: one line for what holds, one line per fault.
    pub items: Vec<Item>,
    /// What the package says; `None` if its manifest cannot be read.
    pub facts: Option<Facts>,
}

impl Report {
    /// The findings that do not hold.
    pub fn faults(&self) -> impl Iterator<Item = &Item> {
        self.items.iter().filter(|item| !item.ok)
    }
}

/// Collects findings; past [`FAULTS_MAX`] of one check the rest are only counted.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    items: Vec<Item>,
}

/// Faults listed per check: enough to see the pattern in a package that is wrong throughout.
pub(crate) const FAULTS_MAX: usize = 1_000;

impl Findings {
    /// Notes that a check holds.
    pub(crate) fn holds(&mut self, what: Check, detail: impl Into<String>) {
        self.items.push(Item {
            what,
            ok: true,
            detail: detail.into(),
            file: None,
        });
    }

    /// Notes a fault.
    pub(crate) fn fault(&mut self, what: Check, file: &str, detail: impl Into<String>) {
        if self.faults(what) < FAULTS_MAX {
            let (detail, file) = (detail.into(), Some(file.to_owned()));
            self.items.push(Item {
                what,
                ok: false,
                detail,
                file,
            });
        }
    }

    /// Faults of one check so far.
    pub(crate) fn faults(&self, what: Check) -> usize {
        self.items
            .iter()
            .filter(|item| item.what == what && !item.ok)
            .count()
    }

    /// Notes that a check holds unless it has faults.
    pub(crate) fn holds_unless_faulty(&mut self, what: Check, detail: impl Into<String>) {
        if self.faults(what) == 0 {
            self.holds(what, detail);
        }
    }

    pub(crate) fn into_report(mut self, facts: Option<Facts>) -> Report {
        self.items.sort_by_key(|item| item.what);
        Report {
            ok: self.items.iter().all(|item| item.ok),
            items: self.items,
            facts,
        }
    }
}
