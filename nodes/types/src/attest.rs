//! What runs on each node, and what was approved to run: `guitai attest` and `GET /api/v1/measures`.
//!
//! A node measures what it was started from: its program, the libraries that were mapped then, its configuration and the
//! unit that started it. A node that is taken over may say anything; what it cannot do is sign another approval. What
//! it was started from is compared here; that nothing else is executed since is the sandbox's part.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::{Hex, NodeName, UnixMillis, Zone, place::Text};

/// Files that a node measures.
pub const MEASURED_FILES_MAX: usize = 128;
/// Longest path of one, in characters.
pub const PATH_CHARS_MAX: usize = 1_024;
/// Format and version of [`Approved`].
pub const FORMAT: &str = "guitai-approved/1";
/// Files of one approval.
pub const APPROVED_FILES_MAX: usize = 16_384;
/// Signatures of one approval.
pub const SIGNATURES_MAX: usize = 16;

/// What a file is to a node.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    utoipa::ToSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum MeasuredKind {
    /// The program that runs.
    Program,
    /// A library mapped into it when it started.
    Library,
    /// The node's configuration.
    Configuration,
    /// A unit of the service manager, or an addition to it.
    Unit,
}

impl MeasuredKind {
    /// Chinese and English.
    #[must_use]
    pub const fn words(self) -> (&'static str, &'static str) {
        match self {
            Self::Program => ("程序", "program"),
            Self::Library => ("动态库", "library"),
            Self::Configuration => ("配置", "configuration"),
            Self::Unit => ("服务单元", "unit"),
        }
    }
}

/// One file that a node was started from, by the bytes that it had then.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct MeasuredFile {
    /// What it is.
    pub kind: MeasuredKind,
    /// Where it was.
    pub path: String,
    /// Its length.
    pub bytes: u64,
    /// SM3 of it; left out where it could not be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sm3: Option<Hex>,
    /// Why it could not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

/// What one node says it was started from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NodeMeasure {
    /// Who says so.
    pub node: NodeName,
    /// Its zone.
    pub zone: Zone,
    /// Release of the program.
    pub version: String,
    /// When it started.
    pub since: UnixMillis,
    /// Digest of the flow matrix that it obeys.
    pub matrix: Hex,
    /// The files; left out while they are being read for the first time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub files: Option<Vec<MeasuredFile>>,
}

/// What the nodes say, asked at once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Measures {
    /// When.
    pub at: UnixMillis,
    /// Digest of the flow matrix that the cluster agreed on; `null` before it has.
    pub matrix: Option<Hex>,
    /// Those that answered.
    pub nodes: Vec<NodeMeasure>,
    /// Those that did not.
    pub silent: Vec<NodeName>,
}

/// One file that may run.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ApprovedFile {
    /// What it is.
    pub kind: MeasuredKind,
    /// On which node; left out: on any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<NodeName>,
    /// Its name, for people; a node's configuration and units are found by it.
    pub path: String,
    /// SM3 of it.
    pub sm3: Hex,
}

/// What may run: of a release, its program; of a deployment, the configuration and units of its nodes besides.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Approved {
    /// [`FORMAT`].
    pub format: String,
    /// What it is an approval of, for people.
    pub name: String,
    /// When it was written down.
    pub made_at: UnixMillis,
    /// Ordered, each once.
    pub files: Vec<ApprovedFile>,
}

/// A signature of an approval.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ApprovalSignature {
    /// The signer as the key file names it; the key is what counts.
    pub signer: String,
    /// Its SM2 key, uncompressed point.
    pub key: Hex,
    /// SM2 signature over [`signed_text`].
    pub signature: Hex,
}

/// An approval with its signatures.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SignedApproval {
    /// Canonical JSON (RFC 8785) of an [`Approved`].
    pub approved: Hex,
    /// By different keys.
    pub signatures: Vec<ApprovalSignature>,
}

/// What a signer signs: nothing else that is signed here begins so.
#[must_use]
pub fn signed_text(approved: &[u8]) -> Vec<u8> {
    [FORMAT.as_bytes(), b"\n", approved].concat()
}

/// Something that somebody has to look at.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AttestFinding {
    /// Where.
    pub node: NodeName,
    /// Which file, where it is about one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// What.
    pub what: AttestFault,
}

/// What is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AttestFault {
    /// The node did not answer.
    Silent,
    /// It was still reading its files.
    NotMeasured,
    /// A file could not be read.
    Unreadable,
    /// The approval has another digest.
    Differs,
    /// The approval does not know it.
    Unapproved,
    /// The approval has it, and the node was started without it.
    Missing,
    /// The node obeys another flow matrix than the one agreed on.
    OtherMatrix,
    /// Nodes run different programs, and there is no approval to say which is right.
    Mixed,
}

impl AttestFault {
    /// The fault in words.
    #[must_use]
    pub fn words(self) -> Text {
        let (zh, en) = match self {
            Self::Silent => (
                "无应答,所运行者不明",
                "no answer; what runs there is not known",
            ),
            Self::NotMeasured => ("尚在读取,稍后再问", "still reading its files; ask again"),
            Self::Unreadable => ("无法读取", "cannot be read"),
            Self::Differs => ("与批准的不同", "differs from what was approved"),
            Self::Unapproved => ("未经批准", "was not approved"),
            Self::Missing => ("已批准而未使用", "was approved and is not in use"),
            Self::OtherMatrix => (
                "遵行的流转矩阵不是现行的一版",
                "obeys another flow matrix than the one in force",
            ),
            Self::Mixed => (
                "各节点程序不同,又无批准件可依",
                "nodes run different programs, and there is no approval",
            ),
        };
        Text {
            zh: zh.to_owned(),
            en: en.to_owned(),
        }
    }
}

/// Holds what the nodes say against what was approved; without an approval, against each other.
///
/// Programs are compared by digest wherever they lie. Configuration and units are those of the node and path that the
/// approval names; an approval that names none for any node (one of a release) says nothing of them. Libraries are
/// compared by digest where it has any.
#[must_use]
pub fn judge(measures: &Measures, approved: Option<&Approved>) -> Vec<AttestFinding> {
    let mut found = Vec::new();
    for node in &measures.silent {
        found.push(finding(node, None, AttestFault::Silent));
    }
    for node in &measures.nodes {
        if measures
            .matrix
            .as_ref()
            .is_some_and(|it| *it != node.matrix)
        {
            found.push(finding(&node.node, None, AttestFault::OtherMatrix));
        }
        let Some(files) = &node.files else {
            found.push(finding(&node.node, None, AttestFault::NotMeasured));
            continue;
        };
        for file in files.iter().filter(|file| file.sm3.is_none()) {
            let path = Some(file.path.as_str());
            found.push(finding(&node.node, path, AttestFault::Unreadable));
        }
        if let Some(approved) = approved {
            against(approved, &node.node, files, &mut found);
        }
    }
    if approved.is_none() {
        found.extend(mixed(measures));
    }
    found.sort();
    found.dedup();
    found
}

fn against(
    approved: &Approved,
    node: &NodeName,
    files: &[MeasuredFile],
    found: &mut Vec<AttestFinding>,
) {
    let of = |kind: MeasuredKind| approved.files.iter().filter(move |it| it.kind == kind);
    let here = |it: &&ApprovedFile| it.node.as_ref().is_none_or(|named| named == node);
    for file in files {
        let Some(sm3) = &file.sm3 else { continue };
        let fault = match file.kind {
            MeasuredKind::Library if of(file.kind).next().is_none() => None,
            MeasuredKind::Program | MeasuredKind::Library => {
                let known = of(file.kind).filter(here).any(|it| it.sm3 == *sm3);
                (!known).then_some(AttestFault::Unapproved)
            }
            MeasuredKind::Configuration | MeasuredKind::Unit => {
                let mut named = of(file.kind).filter(here).filter(|it| it.path == file.path);
                match named.next() {
                    Some(it) if it.sm3 == *sm3 => None,
                    Some(_) => Some(AttestFault::Differs),
                    // An approval of a release knows no deployment.
                    None if of(MeasuredKind::Configuration).next().is_none() => None,
                    None => Some(AttestFault::Unapproved),
                }
            }
        };
        found.extend(fault.map(|fault| finding(node, Some(&file.path), fault)));
    }
    let is_used = |it: &&ApprovedFile| {
        files
            .iter()
            .any(|file| file.kind == it.kind && file.path == it.path)
    };
    let own = approved.files.iter().filter(|it| {
        it.node.as_ref() == Some(node)
            && matches!(it.kind, MeasuredKind::Configuration | MeasuredKind::Unit)
    });
    for it in own.filter(|it| !is_used(it)) {
        found.push(finding(node, Some(&it.path), AttestFault::Missing));
    }
}

/// Those whose program is not the one that most run.
fn mixed(measures: &Measures) -> Vec<AttestFinding> {
    let program = |node: &NodeMeasure| {
        let files = node.files.as_ref()?;
        let mut programs = files.iter().filter(|it| it.kind == MeasuredKind::Program);
        programs.next()?.sm3.clone()
    };
    let mut runs: BTreeMap<Hex, BTreeSet<&NodeName>> = BTreeMap::new();
    for node in &measures.nodes {
        if let Some(sm3) = program(node) {
            runs.entry(sm3).or_default().insert(&node.node);
        }
    }
    let most = runs.values().map(BTreeSet::len).max().unwrap_or(0);
    let mut kinds: Vec<&BTreeSet<&NodeName>> = runs.values().collect();
    // The one that most run is kept; of two that equally many run, neither is right by itself.
    if let Some(place) = kinds.iter().position(|nodes| nodes.len() == most)
        && kinds.iter().filter(|nodes| nodes.len() == most).count() == 1
    {
        kinds.remove(place);
    } else if kinds.len() == 1 {
        kinds.clear();
    }
    let nodes = kinds.into_iter().flatten();
    nodes
        .map(|node| finding(node, None, AttestFault::Mixed))
        .collect()
}

fn finding(node: &NodeName, path: Option<&str>, what: AttestFault) -> AttestFinding {
    AttestFinding {
        node: node.clone(),
        path: path.map(str::to_owned),
        what,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(kind: MeasuredKind, path: &str, byte: u8) -> MeasuredFile {
        MeasuredFile {
            kind,
            path: path.to_owned(),
            bytes: 1,
            sm3: Some(Hex(vec![byte; 32])),
            why: None,
        }
    }

    fn node(name: &str, files: Option<Vec<MeasuredFile>>) -> NodeMeasure {
        NodeMeasure {
            node: name.parse().unwrap(),
            zone: Zone::Inner,
            version: "1".to_owned(),
            since: UnixMillis(1),
            matrix: Hex(vec![7; 32]),
            files,
        }
    }

    fn measures(nodes: Vec<NodeMeasure>) -> Measures {
        Measures {
            at: UnixMillis(2),
            matrix: Some(Hex(vec![7; 32])),
            nodes,
            silent: Vec::new(),
        }
    }

    fn approved(files: &[(MeasuredKind, Option<&str>, &str, u8)]) -> Approved {
        let files = files.iter().map(|(kind, node, path, byte)| ApprovedFile {
            kind: *kind,
            node: node.map(|name| name.parse().unwrap()),
            path: (*path).to_owned(),
            sm3: Hex(vec![*byte; 32]),
        });
        Approved {
            format: FORMAT.to_owned(),
            name: "test".to_owned(),
            made_at: UnixMillis(0),
            files: files.collect(),
        }
    }

    fn faults(found: &[AttestFinding]) -> Vec<(&str, AttestFault)> {
        let named = found.iter().map(|it| (it.node.as_str(), it.what));
        named.collect()
    }

    use MeasuredKind::{Configuration, Library, Program, Unit};

    #[test]
    fn a_release_speaks_of_the_program_only() {
        let files = vec![
            file(Program, "/a", 1),
            file(Library, "/l", 2),
            file(Configuration, "/c", 3),
        ];
        let seen = measures(vec![node("a1-1", Some(files))]);
        let release = approved(&[(Program, None, "guitai", 1)]);
        assert_eq!(judge(&seen, Some(&release)), []);
        let other = approved(&[(Program, None, "guitai", 9)]);
        let found = judge(&seen, Some(&other));
        assert_eq!(faults(&found), [("a1-1", AttestFault::Unapproved)]);
    }

    #[test]
    fn a_deployment_is_held_to_each_file_of_each_node() {
        let allowed = approved(&[
            (Program, None, "guitai", 1),
            (Library, None, "/l", 2),
            (Configuration, Some("a1-1"), "/c", 3),
            (Configuration, Some("a1-2"), "/c", 4),
            (Unit, Some("a1-1"), "/u", 5),
        ]);
        let good = vec![
            file(Program, "/elsewhere", 1),
            file(Library, "/l2", 2),
            file(Configuration, "/c", 3),
            file(Unit, "/u", 5),
        ];
        let seen = measures(vec![node("a1-1", Some(good))]);
        assert_eq!(judge(&seen, Some(&allowed)), []);

        // The other node's configuration is right there and wrong here; the unit is gone, a library unknown.
        let bad = vec![
            file(Program, "/a", 1),
            file(Library, "/evil", 8),
            file(Configuration, "/c", 4),
            file(Unit, "/u.d/override.conf", 5),
        ];
        let seen = measures(vec![node("a1-1", Some(bad))]);
        let found = judge(&seen, Some(&allowed));
        let expected = [
            ("a1-1", Some("/c"), AttestFault::Differs),
            ("a1-1", Some("/evil"), AttestFault::Unapproved),
            ("a1-1", Some("/u"), AttestFault::Missing),
            ("a1-1", Some("/u.d/override.conf"), AttestFault::Unapproved),
        ];
        let said: Vec<_> = found
            .iter()
            .map(|it| (it.node.as_str(), it.path.as_deref(), it.what))
            .collect();
        assert_eq!(said, expected);
    }

    #[test]
    fn who_says_nothing_or_obeys_another_matrix_is_found() {
        let mut seen = measures(vec![node("a1-1", None), node("a1-2", Some(Vec::new()))]);
        seen.silent.push("b-1".parse().unwrap());
        seen.nodes[1].matrix = Hex(vec![8; 32]);
        let mut unread = file(Program, "/a", 1);
        unread.sm3 = None;
        seen.nodes[1].files = Some(vec![unread]);
        let expected = [
            ("a1-1", AttestFault::NotMeasured),
            ("a1-2", AttestFault::OtherMatrix),
            ("a1-2", AttestFault::Unreadable),
            ("b-1", AttestFault::Silent),
        ];
        let found = judge(&seen, Some(&approved(&[])));
        assert_eq!(faults(&found), expected);
    }

    #[test]
    fn without_an_approval_the_odd_one_is_found() {
        let runs = |name: &str, byte| node(name, Some(vec![file(Program, "/a", byte)]));
        let same = measures(vec![runs("a1-1", 1), runs("a1-2", 1)]);
        assert_eq!(judge(&same, None), []);
        let odd = measures(vec![runs("a1-1", 1), runs("a1-2", 1), runs("b-1", 2)]);
        assert_eq!(faults(&judge(&odd, None)), [("b-1", AttestFault::Mixed)]);
        let split = measures(vec![runs("a1-1", 1), runs("b-1", 2)]);
        let both = [("a1-1", AttestFault::Mixed), ("b-1", AttestFault::Mixed)];
        assert_eq!(faults(&judge(&split, None)), both);
    }
}
