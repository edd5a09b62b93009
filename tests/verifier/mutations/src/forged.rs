//! Packages that are wrong and signed: what a recorder with a fault, somebody with another key, or somebody
//! with the right key could make. Each names the check that has to fail first.

pub(crate) mod attached;
mod bytes;
mod container;
pub(crate) mod film;
mod logged;
mod media;
mod record;
pub(crate) mod roots;
mod seals;
pub(crate) mod stamped;
mod statement;
mod trust;

use crate::{dice::Dice, package::Package, world::World};

/// A way to forge a package; what it did, for people.
pub(crate) type Forge = fn(&mut Package, &World, &mut Dice) -> String;

/// A name, the check that fails first, and the way.
pub(crate) type Forgery = (&'static str, &'static str, Forge);

/// What format 3 adds, and every way there is to forge that.
pub(crate) fn later() -> Vec<Forgery> {
    let parts = [
        roots::FORGERIES,
        attached::FORGERIES,
        logged::FORGERIES,
        stamped::FORGERIES,
        container::FORGERIES,
        film::FORGERIES,
    ];
    parts.concat()
}

/// Every way to forge what packages of all formats have.
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
