//! What a verification found.

use guitai_types::{Hex, SessionId, UnixMillis, place::Text};
use serde::Serialize;

/// A check of the verifier.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Check {
    /// A package in one file is exactly in the form that it must have.
    Container,
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
    /// What was attached after the seal is listed and signed by the recorder, and what is missing is named.
    Attached,
    /// Every track's list, tree and facts are those of its segments.
    Tracks,
    /// No hole in a track that is not declared.
    Continuity,
    /// The declared gaps are the same in both places.
    Gaps,
    /// Every segment's header says what the manifest says, and of each it is the recorder's turn, in an
    /// epoch not below it, or it is declared to be of none.
    Turns,
    /// The recorder's roots by the second are signed, and every segment is under one.
    Roots,
    /// The business events are numbered and ordered, and support the stated steps.
    Events,
    /// The time stamp is over this seal, and not from before it.
    Timestamp,
    /// The roots by the second are in the log.
    RootsLogged,
    /// The seal is in the log.
    SealLogged,
    /// The log's checkpoints are signed by whom the policy names.
    Checkpoint,
    /// The newer checkpoint continues the older.
    Consistency,
    /// A composite derives from roots that it names.
    Composite,
}

/// One of the twelve points of a verification; its parts are [`Check`]s.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Point {
    /// The manifest is canonical and complete.
    Manifest,
    /// Every file's SM3.
    Files,
    /// Every track's tree, its turns and its roots by the second.
    Tracks,
    /// Signature and chain, valid when it was signed.
    Signature,
    /// The time stamp.
    Timestamp,
    /// Business events.
    Events,
    /// Segments are continuous, gaps declared.
    Continuity,
    /// The roots by the second are in the log.
    RootsLogged,
    /// The seal is in the log.
    SealLogged,
    /// The checkpoint's signatures and witnesses.
    Checkpoint,
    /// The two checkpoints are of one history.
    Consistency,
    /// A composite derives from the raw tracks.
    Composite,
}

impl Point {
    /// All of them, in order.
    pub const ALL: [Self; 12] = [
        Self::Manifest,
        Self::Files,
        Self::Tracks,
        Self::Signature,
        Self::Timestamp,
        Self::Events,
        Self::Continuity,
        Self::RootsLogged,
        Self::SealLogged,
        Self::Checkpoint,
        Self::Consistency,
        Self::Composite,
    ];

    /// Its stable name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Manifest => "manifest",
            Self::Files => "files",
            Self::Tracks => "tracks",
            Self::Signature => "signature",
            Self::Timestamp => "timestamp",
            Self::Events => "events",
            Self::Continuity => "continuity",
            Self::RootsLogged => "roots-logged",
            Self::SealLogged => "seal-logged",
            Self::Checkpoint => "checkpoint",
            Self::Consistency => "consistency",
            Self::Composite => "composite",
        }
    }

    /// What is checked, for people.
    #[must_use]
    pub fn text(self) -> Text {
        let (zh, en) = match self {
            Self::Manifest => ("清单规范且完整", "manifest canonical and complete"),
            Self::Files => ("每个文件未被改动", "every file unchanged"),
            Self::Tracks => (
                "轨道、任期与逐秒根",
                "tracks, turns and roots by the second",
            ),
            Self::Signature => ("签名与证书链", "signature and certificates"),
            Self::Timestamp => ("可信时间戳", "time stamp"),
            Self::Events => ("业务事件", "business events"),
            Self::Continuity => ("连续,缺口已声明", "continuous, gaps declared"),
            Self::RootsLogged => ("逐秒根已入日志", "roots by the second in the log"),
            Self::SealLogged => ("封存已入日志", "seal in the log"),
            Self::Checkpoint => ("检查点与见证", "checkpoint and witnesses"),
            Self::Consistency => ("日志前后一致", "log continues itself"),
            Self::Composite => ("合成录像", "composite"),
        };
        Text {
            zh: zh.to_owned(),
            en: en.to_owned(),
        }
    }
}

/// How a point came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Status {
    /// It holds.
    Pass,
    /// It does not, or could not be checked because something before it does not.
    Fail,
    /// The package has nothing of it.
    Absent,
}

/// A point and how it came out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Verdict {
    /// From 1.
    pub number: u8,
    /// Which.
    pub name: Point,
    /// How.
    pub status: Status,
}

impl Check {
    /// The point it is a part of.
    #[must_use]
    pub const fn point(self) -> Point {
        match self {
            Self::Container | Self::Manifest | Self::Unlisted => Point::Manifest,
            Self::Files | Self::Sums | Self::Attached => Point::Files,
            Self::Tracks | Self::Turns | Self::Roots => Point::Tracks,
            Self::Root | Self::SignedData | Self::Signature => Point::Signature,
            Self::Timestamp => Point::Timestamp,
            Self::Events => Point::Events,
            Self::Continuity | Self::Gaps => Point::Continuity,
            Self::RootsLogged => Point::RootsLogged,
            Self::SealLogged => Point::SealLogged,
            Self::Checkpoint => Point::Checkpoint,
            Self::Consistency => Point::Consistency,
            Self::Composite => Point::Composite,
        }
    }

    /// What is checked, for people.
    #[must_use]
    pub fn text(self) -> Text {
        let (zh, en) = match self {
            Self::Container => ("证据包文件的形式", "form of the package's file"),
            Self::Attached => ("封存后附加的内容", "what was attached after the seal"),
            Self::Roots => ("录制节点的逐秒根", "the recorder's roots by the second"),
            Self::Timestamp => ("封存的时间戳", "time stamp over the seal"),
            Self::RootsLogged => ("逐秒根在透明日志中", "roots by the second in the log"),
            Self::SealLogged => ("封存在透明日志中", "seal in the log"),
            Self::Checkpoint => ("日志检查点的签名", "signatures of the log's checkpoint"),
            Self::Consistency => ("日志前后一致", "the log continues itself"),
            Self::Composite => ("合成录像源自原始轨道", "composite of the raw tracks"),
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
    /// It holds, or there is nothing of it.
    pub ok: bool,
    /// The package has nothing of it.
    #[serde(skip_serializing_if = "is_false")]
    pub absent: bool,
    /// What was seen.
    pub detail: String,
    /// The file concerned, if it is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
}

fn is_false(flag: &bool) -> bool {
    !flag
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
    /// No point fails.
    pub ok: bool,
    /// And none is absent but the composite.
    pub complete: bool,
    /// The twelve points.
    pub checks: Vec<Verdict>,
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
            absent: false,
            detail: detail.into(),
            file: None,
        });
    }

    /// Notes that there is nothing of it.
    pub(crate) fn absent(&mut self, what: Check, detail: impl Into<String>) {
        self.items.push(Item {
            what,
            ok: true,
            absent: true,
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
                absent: false,
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
        let checks: Vec<Verdict> = (1..)
            .zip(Point::ALL)
            .map(|(number, name)| Verdict {
                number,
                name,
                status: self.status(name),
            })
            .collect();
        let is = |verdict: &Verdict, status| verdict.status == status;
        let complete = checks
            .iter()
            .all(|it| is(it, Status::Pass) || it.name == Point::Composite && !is(it, Status::Fail));
        Report {
            ok: !checks.iter().any(|it| is(it, Status::Fail)),
            complete,
            checks,
            items: self.items,
            facts,
        }
    }

    /// Nothing found is nothing checked: that is no pass.
    fn status(&self, point: Point) -> Status {
        let parts = || self.items.iter().filter(|item| item.what.point() == point);
        if parts().next().is_none() || parts().any(|item| !item.ok) {
            Status::Fail
        } else if parts().any(|item| item.absent) {
            Status::Absent
        } else {
            Status::Pass
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_point_is_written_as_it_is_named() {
        for point in Point::ALL {
            let written = serde_json::to_string(&point).unwrap();
            assert_eq!(written, format!("\"{}\"", point.as_str()));
        }
    }

    #[test]
    fn what_was_not_checked_fails() {
        let mut findings = Findings::default();
        findings.holds(Check::Events, "3");
        findings.absent(Check::Timestamp, "none");
        findings.holds(Check::Files, "3");
        findings.fault(Check::Sums, "SM3SUMS", "other");
        let report = findings.into_report(None);
        let status = |point| {
            report
                .checks
                .iter()
                .find(|it| it.name == point)
                .unwrap()
                .status
        };
        assert_eq!(status(Point::Events), Status::Pass);
        assert_eq!(status(Point::Timestamp), Status::Absent);
        assert_eq!(status(Point::Files), Status::Fail);
        assert_eq!(status(Point::Signature), Status::Fail);
        assert!(!report.ok && !report.complete);
    }
}
