//! Business events: numbered without a gap, never going back in time, and the ground of every step
//! that the manifest says was done.

use guitai_types::record::SessionEvent;

use super::Package;
use crate::{
    canonical, layout,
    manifest::Manifest,
    report::{Check, Findings},
};

pub(super) fn check(package: &Package, manifest: &Manifest, findings: &mut Findings) {
    match read(package).and_then(|events| holds(&events, manifest).map(|()| events.len())) {
        Ok(count) => findings.holds(Check::Events, format!("{count} events")),
        Err(fault) => findings.fault(Check::Events, layout::EVENTS, fault),
    }
}

fn read(package: &Package) -> Result<Vec<SessionEvent>, String> {
    let lines = package.lines(layout::EVENTS)?;
    let event = |(index, line): (usize, &[u8])| {
        canonical::from_bytes(line).map_err(|error| format!("line {}: {error}", index + 1))
    };
    lines.iter().enumerate().map(event).collect()
}

fn holds(events: &[SessionEvent], manifest: &Manifest) -> Result<(), String> {
    if events.len() as u64 != manifest.events {
        return Err(format!(
            "has {} events, {} are stated",
            events.len(),
            manifest.events
        ));
    }
    if let Some((index, _)) = events
        .iter()
        .zip(1u64..)
        .enumerate()
        .find(|(_, (e, n))| e.number != *n)
    {
        return Err(format!("event {} is missing or out of order", index + 1));
    }
    if let Some(event) = events
        .windows(2)
        .find(|pair| matches!(pair, [a, b] if b.at < a.at))
    {
        let number = event.last().map_or(0, |event| event.number);
        return Err(format!("event {number} is before the one it follows"));
    }
    for step in &manifest.steps {
        let Some(done_at) = step.done_at else {
            continue;
        };
        let ground = |event: &SessionEvent| {
            event.at == done_at && event.details.values().any(|value| *value == step.id)
        };
        if !events.iter().any(ground) {
            return Err(format!(
                "no event for the step {:?}, which is stated as done",
                step.id
            ));
        }
    }
    Ok(())
}
