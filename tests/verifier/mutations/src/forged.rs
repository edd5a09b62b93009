//! Packages that are wrong and signed: what a recorder with a fault, somebody with another key, or somebody
//! with the right key could make. Each names the check that has to fail first.

mod bytes;
mod media;
mod record;
mod seals;
mod statement;
mod trust;

use crate::{dice::Dice, package::Package, world::World};

/// A way to forge a package; what it did, for people.
pub(crate) type Forge = fn(&mut Package, &World, &mut Dice) -> String;

/// A name, the check that fails first, and the way.
pub(crate) type Forgery = (&'static str, &'static str, Forge);

/// Every way there is.
pub(crate) fn all() -> Vec<Forgery> {
    let parts = [
        bytes::FORGERIES,
        statement::FORGERIES,
        trust::FORGERIES,
        seals::FORGERIES,
        media::FORGERIES,
        record::FORGERIES,
    ];
    parts.concat()
}
