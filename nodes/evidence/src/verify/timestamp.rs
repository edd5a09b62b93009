//! The time stamp over the seal: that somebody else than the recorder saw it, and when.

use guitai_crypto::tsp;

use super::{Package, attached::Found, trust::Trust};
use crate::{
    attach::What,
    layout,
    manifest::Manifest,
    report::{Check, Findings},
};

/// How far the authority's clock may be behind the recorder's, in milliseconds; a stamp from earlier than that
/// is over something that was not sealed yet.
pub const BEFORE_SEAL_MS_MAX: u64 = 60_000;

/// Whether a stamp's time, in seconds, is late enough for a seal of `sealed_at`, in milliseconds.
#[must_use]
pub const fn is_after_seal(time_unix: u64, sealed_at_ms: u64) -> bool {
    time_unix
        .saturating_mul(1000)
        .saturating_add(BEFORE_SEAL_MS_MAX)
        >= sealed_at_ms
}

pub(super) fn check(
    package: &Package,
    manifest: &Manifest,
    attached: &Found,
    trust: &Trust,
    findings: &mut Findings,
) {
    let what = What::Timestamp;
    let is_there = attached.has(layout::TIMESTAMP);
    attached.check_missing(what, is_there, findings);
    if is_there {
        match stamped(package, manifest, trust) {
            Ok(detail) => findings.holds(Check::Timestamp, detail),
            Err(fault) => findings.fault(Check::Timestamp, layout::TIMESTAMP, fault),
        }
    } else if attached.is_read() || !manifest.has_attachments() {
        findings.absent(Check::Timestamp, attached.why_missing(manifest, what));
    }
}

fn stamped(package: &Package, manifest: &Manifest, trust: &Trust) -> Result<String, String> {
    let read = |path: &str| {
        package
            .read(path)
            .map_err(|error| format!("{path}: {error}"))
    };
    let (der, seal) = (read(layout::TIMESTAMP)?, read(layout::SIGNED_DATA)?);
    let stamp = tsp::verify(&der, &seal, std::slice::from_ref(&trust.root));
    let stamp = stamp.map_err(|error| {
        let cause = std::error::Error::source(&error);
        cause.map_or_else(|| error.to_string(), |cause| format!("{error}: {cause}"))
    })?;
    let (authority, at) = (&stamp.leaf.common_name, stamp.time_unix);
    if stamp.leaf.organization != manifest.cluster.as_str() {
        let cluster = &stamp.leaf.organization;
        return Err(format!(
            "is by {authority} of {cluster}, not of the cluster"
        ));
    }
    if !is_after_seal(at, manifest.sealed_at.0) {
        return Err(format!("is of {at}, more than 60 s before the seal"));
    }
    Ok(format!("stamped by {authority} at {at}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_may_be_a_minute_before_the_seal_and_no_more() {
        assert!(is_after_seal(1_000, 1_060_000));
        assert!(!is_after_seal(1_000, 1_060_001));
        assert!(is_after_seal(u64::MAX, u64::MAX));
    }
}
