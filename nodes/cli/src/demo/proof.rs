//! After the call: the sealed recording, fetched and verified offline.

use std::{path::PathBuf, time::Duration};

use guitai_evidence::Options;
use guitai_types::{SessionId, record::RecordingState, view::SessionView};

use super::{CallReport, call::Plan};
use crate::{evidence, failure::Failure, http::Door};

/// Between two looks at a session that is being sealed.
const LOOK_MS: u64 = 200;
/// Tracks of a call: a picture and a voice of each side.
const TRACKS: u64 = 4;

/// Waits until the recorder has sealed the session.
pub(super) async fn wait_until_sealed(
    auditor: &Door,
    session: &SessionId,
    report: &mut CallReport,
) -> Result<(), Failure> {
    loop {
        let view: SessionView = auditor.get(&format!("/api/v1/sessions/{session}")).await?;
        match view.recording {
            RecordingState::Sealed { summary } => {
                report.recorder = Some(summary.node);
                report.segments = summary.segments;
                report.frames = summary.frames;
                report.gaps = u64::from(summary.gaps);
                return Ok(());
            }
            _ => tokio::time::sleep(Duration::from_millis(LOOK_MS)).await,
        }
    }
}

/// What the log says of it.
const REASON: &str = "guitai demo";

/// Fetches the package and verifies it offline; it must be sound, whole, and of all four tracks.
pub(super) async fn check_package(
    plan: &Plan<'_>,
    auditor: &Door,
    session: &SessionId,
    report: &mut CallReport,
) -> Result<(), Failure> {
    let temporary = tempfile::tempdir().map_err(|e| Failure::local("making a directory", &e))?;
    let dir: PathBuf = match &plan.setting.keep_package {
        Some(keep) => keep.join(session.as_str()),
        None => temporary.path().join(session.as_str()),
    };
    if let Some(parent) = dir.parent() {
        std::fs::create_dir_all(parent).map_err(|e| Failure::local("making a directory", &e))?;
    }
    evidence::fetch(auditor, session, None, REASON, &dir).await?;
    report.package = plan.setting.keep_package.is_some().then(|| dir.clone());

    let options = Options {
        expected_root: plan.setting.expected_root,
        ..Options::default()
    };
    let found = tokio::task::spawn_blocking(move || guitai_evidence::verify(&dir, &options)).await;
    let found = found.map_err(|error| Failure::local("verifying", &error))?;
    report.faults = found
        .faults()
        .map(|item| {
            format!(
                "{:?} {} {}",
                item.what,
                item.file.as_deref().unwrap_or(""),
                item.detail
            )
        })
        .collect();
    let facts = found.facts.as_ref();
    if facts.is_none_or(|facts| facts.tracks != TRACKS) {
        let tracks = facts.map_or(0, |facts| facts.tracks);
        report
            .faults
            .push(format!("{tracks} tracks are recorded, {TRACKS} were sent"));
    }
    if let Some(missing) = facts
        .map(|f| &f.steps_missing)
        .filter(|missing| !missing.is_empty())
    {
        report.faults.push(format!(
            "required steps are missing: {}",
            missing.join(", ")
        ));
    }
    for (who, side) in [("customer", report.customer), ("agent", report.agent_side)] {
        if side.seen == 0 || side.broken > 0 {
            let fault = format!(
                "the {who} saw {} frames, {} of them broken",
                side.seen, side.broken
            );
            report.faults.push(fault);
        }
    }
    report.verified = found.ok && report.faults.is_empty();
    Ok(())
}
