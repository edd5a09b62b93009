//! The report of a disaster recovery run: a statement in canonical JSON (RFC 8785), signed by the node
//! that made it (SM2 SignedData, GB/T 35275), and everything a stranger needs to count again: the plan,
//! the approvals with their keys and signatures, what the probes were told and what the cluster holds.
//! Described for other implementers in `docs/reference/dr-report.md`.

mod page;

use std::collections::BTreeSet;

use guitai_crypto::{cms, sm2, sm3, x509};
use guitai_types::{
    CentreId, Hex, NodeName, UnixMillis,
    dr::{Approval, Kind, Lane, OFFICERS_NEEDED, Report, Run, RunState, Serials, Verdict},
    place::Text,
};
use serde::{Deserialize, Serialize};

use crate::canonical::{self, CanonicalError};

pub use page::page;

/// Format and version of [`Statement`].
pub const FORMAT: &str = "guitai-dr-report/1";
/// Name of the statement's file.
pub const STATEMENT_FILE: &str = "report.json";
/// Name of the signature's file.
pub const SIGNATURE_FILE: &str = "report.p7s";
/// Name of the page for people.
pub const PAGE_FILE: &str = "report.html";
/// Name of the root certificate's file.
pub const ROOT_FILE: &str = "root.pem";
/// Largest statement in bytes.
pub const STATEMENT_BYTES_MAX: usize = 16 * 1024 * 1024;
/// A negative control older than this, in days, proves little about the checker of today.
pub const CONTROL_DAYS_MAX: u64 = 92;

/// The clauses a report answers, kept as data; `checked` says whether a person held it against the text.
const CLAUSES: &str = include_str!("drill/clauses.json");

/// What is stated.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Statement {
    /// [`FORMAT`].
    pub format: String,
    /// When it was made.
    pub made_at: UnixMillis,
    /// By which node.
    pub made_by: NodeName,
    /// Release of the product.
    pub version: String,
    /// The nodes at that time.
    pub nodes: Vec<Node>,
    /// The run: plan, approvals, journal, measurements, verdict.
    pub run: Run,
    /// Serials the cluster held when this was made.
    pub present: Vec<Present>,
    /// When a negative control last turned red, as it must; left out if never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub control_at: Option<UnixMillis>,
    /// What the run answers of rules and standards.
    pub clauses: Vec<Clause>,
}

/// A node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Node {
    /// Name.
    pub name: NodeName,
    /// Centre.
    pub centre: CentreId,
    /// Whether it votes.
    pub votes: bool,
}

/// What the cluster holds of one lane.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Present {
    /// Which.
    pub lane: Lane,
    /// Its serials.
    pub serials: Serials,
}

/// A clause of a rule or standard.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Clause {
    /// Document.
    pub document: String,
    /// Clause.
    pub clause: String,
    /// What it asks.
    pub asks: Text,
    /// What of the report answers it.
    pub answer: Text,
    /// A person has compared it with the document's text.
    pub checked: bool,
}

/// The clauses this release knows.
pub fn clauses() -> Vec<Clause> {
    // The file is a constant of the program; a test reads it.
    serde_json::from_str(CLAUSES).unwrap_or_default()
}

/// Why a report was not made.
#[derive(Debug, thiserror::Error)]
pub enum SignError {
    /// No canonical form.
    #[error("the statement has no canonical form")]
    Canonical(#[from] CanonicalError),
    /// The signer's certificates cannot be used.
    #[error("the statement cannot be signed")]
    Sign(#[from] cms::SignError),
}

/// Signs a statement.
///
/// # Errors
/// When it has no canonical form or the identity no certificate.
pub fn sign(
    statement: &Statement,
    identity: &x509::Identity,
    root: &[u8],
) -> Result<Report, SignError> {
    let bytes = canonical::to_bytes(statement)?;
    let signature = cms::sign_detached(identity, &bytes, statement.made_at.0 / 1000)?;
    Ok(Report {
        statement: Hex(bytes),
        signature: Hex(signature),
        root: Hex(root.to_vec()),
    })
}

/// SM3 over the plan's canonical JSON: what officers sign.
///
/// # Errors
/// When the plan has no canonical form.
pub fn plan_hash(plan: &guitai_types::dr::Plan) -> Result<Hex, CanonicalError> {
    Ok(Hex(sm3::hash(&canonical::to_bytes(plan)?).to_vec()))
}

/// One thing that was checked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Short name: `form`, `signature`, `root`, `plan`, `approvals`, `count`, `verdict`, `control`.
    pub check: &'static str,
    /// It holds.
    pub ok: bool,
    /// What was found.
    pub detail: String,
}

/// Everything that was checked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Verified {
    /// In the order of checking.
    pub findings: Vec<Finding>,
    /// The statement, if it could be read.
    #[serde(skip)]
    pub statement: Option<Statement>,
}

impl Verified {
    /// All of it holds. That the run itself ended green is another question.
    pub fn ok(&self) -> bool {
        self.statement.is_some() && self.findings.iter().all(|finding| finding.ok)
    }
}

/// Checks a report offline. With `expected_root` (a fingerprint, [`crate::fingerprint`]) the root must be
/// that one; without it the report's own is named, to be compared by the reader.
pub fn verify(report: &Report, expected_root: Option<[u8; 32]>) -> Verified {
    let mut findings = Vec::new();
    let mut note = |check, ok, detail: String| findings.push(Finding { check, ok, detail });
    let bytes = &report.statement.0;
    if bytes.len() > STATEMENT_BYTES_MAX {
        let detail = format!("{} bytes, at most {STATEMENT_BYTES_MAX}", bytes.len());
        note("form", false, detail);
        return Verified {
            findings,
            statement: None,
        };
    }
    let statement: Statement = match canonical::from_bytes(bytes) {
        Ok(statement) => statement,
        Err(error) => {
            note("form", false, error.to_string());
            return Verified {
                findings,
                statement: None,
            };
        }
    };
    note("form", statement.format == FORMAT, statement.format.clone());
    let root = report.root.0.clone();
    let fingerprint = crate::fingerprint(&root);
    let shown = Hex(fingerprint.to_vec());
    match expected_root {
        Some(expected) => note("root", expected == fingerprint, shown.to_string()),
        None => note("root", true, format!("{shown}: compare it with your own")),
    }
    match cms::verify_detached(&report.signature.0, bytes, &[root]) {
        Ok(info) => {
            let same = info.leaf.common_name == statement.made_by.as_str()
                && info.signing_time_unix == statement.made_at.0 / 1000;
            let detail = format!("{} at {}", info.leaf.common_name, info.signing_time_unix);
            note("signature", same, detail);
        }
        Err(error) => note("signature", false, error.to_string()),
    }
    let run = &statement.run;
    match plan_hash(&run.plan) {
        Ok(hash) => note("plan", hash == run.plan_hash, hash.to_string()),
        Err(error) => note("plan", false, error.to_string()),
    }
    let (ok, detail) = approvals(run);
    note("approvals", ok, detail);
    let (ok, detail) = count(&statement);
    note("count", ok, detail);
    let (ok, detail) = control(&statement);
    note("control", ok, detail);
    Verified {
        findings,
        statement: Some(statement),
    }
}

/// Whether an approval is signed by its key over this very run.
pub fn is_signed(run: &Run, approval: &Approval) -> bool {
    let text = Approval::text(
        &run.id,
        &run.plan_hash,
        run.kind,
        approval.at,
        approval.off_since,
    );
    let key = sm2::PublicKey::from_point(&approval.key.0);
    key.is_ok_and(|key| key.verify(text.as_bytes(), &approval.signature.0).is_ok())
}

fn approvals(run: &Run) -> (bool, String) {
    let officers: BTreeSet<_> = run.approvals.iter().map(|it| &it.officer).collect();
    let keys: BTreeSet<_> = run.approvals.iter().map(|it| &it.key.0).collect();
    let distinct = officers.len() == run.approvals.len() && keys.len() == run.approvals.len();
    if let Some(wrong) = run.approvals.iter().find(|it| !is_signed(run, it)) {
        let detail = format!("the signature of {} does not verify", wrong.officer);
        return (false, detail);
    }
    let begun = run.journal.iter().any(|line| line.what == "begun");
    let needed = if run.kind == Kind::Real && begun {
        OFFICERS_NEEDED
    } else {
        0
    };
    let names: Vec<String> = officers.iter().map(ToString::to_string).collect();
    let detail = format!("{} of {needed} needed: {}", officers.len(), names.join(" "));
    (distinct && officers.len() >= needed, detail)
}

/// Counts again what was lost, from what the probes were told and what the cluster holds.
fn count(statement: &Statement) -> (bool, String) {
    let run = &statement.run;
    let Some(stated) = &run.verdict else {
        let over = matches!(run.state, RunState::Aborted { .. });
        return (over, "the run was not judged".to_owned());
    };
    let none = Serials::default();
    let (mut acked, mut lost) = (0, 0);
    for report in &run.lanes {
        if report.lane.service.is_counted() {
            let mut held = statement.present.iter();
            let held = held.find(|present| present.lane == report.lane);
            let held = held.map_or(&none, |present| &present.serials);
            acked += report.serials.count();
            lost += report.serials.missing_in(held, usize::MAX).len() as u64;
        }
    }
    let Verdict {
        acked: stated_acked,
        lost: stated_lost,
        green,
        ..
    } = stated;
    let same = (acked, lost) == (*stated_acked, *stated_lost) && !(*green && lost > 0);
    let detail = format!(
        "{lost} of {acked} acknowledged serials are missing; stated {stated_lost} of {stated_acked}"
    );
    (same, detail)
}

fn control(statement: &Statement) -> (bool, String) {
    if statement.run.inject_loss {
        let verdict = statement.run.verdict.as_ref();
        let red = verdict.is_some_and(|verdict| !verdict.green);
        let detail = "this is a negative control: it must be red".to_owned();
        return (red, detail);
    }
    let Some(at) = statement.control_at else {
        // A lack, and said so; the report itself is no less true for it.
        let detail = "no negative control was made before; guitai dr rehearse --inject-loss";
        return (true, detail.to_owned());
    };
    let days = statement.made_at.since(at) / (24 * 60 * 60 * 1000);
    let old = if days > CONTROL_DAYS_MAX {
        format!(", more than {CONTROL_DAYS_MAX}: repeat it")
    } else {
        String::new()
    };
    let detail = format!("the last negative control turned red {days} days before{old}");
    (true, detail)
}

#[cfg(test)]
mod tests;
