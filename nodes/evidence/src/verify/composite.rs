//! The composite, where the caller gave one: whether it is of this package, and every byte of it.

use std::path::Path;

use guitai_crypto::sm3;

use crate::{
    composite::{Description, description_path},
    manifest::Manifest,
    report::{Check, Findings},
};

/// Checks the film at `film` and the description beside it against the manifest that was read as `bytes`.
pub(super) fn check(
    film: Option<&Path>,
    bytes: &[u8],
    manifest: &Manifest,
    findings: &mut Findings,
) {
    let Some(film) = film else {
        return findings.absent(Check::Composite, "no composite was given");
    };
    let name = |path: &Path| {
        let name = path.file_name().unwrap_or_default();
        name.to_string_lossy().into_owned()
    };
    let stated = name(&description_path(film));
    let description = match Description::beside(film) {
        Ok(description) => description,
        Err(why) => return findings.fault(Check::Composite, &stated, why),
    };
    let of_this_call = [
        description.is_of(manifest, &sm3::hash(bytes)),
        description.has_the_calls_pieces(manifest),
    ];
    for why in of_this_call.into_iter().filter_map(Result::err) {
        findings.fault(Check::Composite, &stated, why);
    }
    match description.check_film(film) {
        Ok(found) => findings.holds_unless_faulty(Check::Composite, found),
        Err(why) => findings.fault(Check::Composite, &name(film), why),
    }
}
