//! Evidence: the package of one recorded call, how it is made, and how anyone checks it offline.
//!
//! Read in this order: [`layout`] (which files), [`manifest`] (what is stated), [`canonical`] and
//! [`tree`] (how it is made exact), [`Builder`] (how it is written), [`attach`] (what comes after the
//! seal), [`verify`] (how it is checked).
//! No network, no clock, no state: bytes in, a package or a [`Report`] out. The format is described
//! for other implementers in `docs/reference/evidence-package.md`.

pub mod attach;
mod boxes;
mod builder;
pub mod composite;
mod container;
mod documents;
pub mod drill;
pub mod header;
pub mod layout;
pub mod manifest;
pub mod quality;
mod reader;
mod report;
pub mod roots;
mod sink;
pub mod tree;
mod unpack;
mod verify;
pub mod view;

pub use builder::{BuildError, Builder, Seal, Signer};
pub use documents::{README_TEXT, documents};
pub use guitai_tlog as log;
pub use guitai_types::canonical;
pub use header::{Header, HeaderError};
pub use manifest::Manifest;
pub use reader::Reader;
pub use report::{Check, Facts, Item, Point, Report, Status, Verdict};
pub use sink::{DirSink, NoSink, Sink, TarSink};
pub use unpack::{UnpackError, unpack};
pub use verify::{BEFORE_SEAL_MS_MAX, Options, is_after_seal, verify};

/// SM3 of a root certificate's DER: the short text two people compare to know whose root it is.
#[must_use]
pub fn fingerprint(root_der: &[u8]) -> [u8; 32] {
    guitai_crypto::sm3::hash(root_der)
}
