//! What reads bytes from outside, as fuzzing calls it: every target takes any bytes and must neither panic nor let
//! through what it should not. libFuzzer calls them (`tests/fuzz/run`), and so does a plain test over the kept corpus.
//!
//! The first byte chooses a reader among those of the target; the rest is its input. A target says whether the
//! reader took it: honest bytes must be, or fuzzing starts from nothing. Those of `guitai-crypto` are beside it.

mod ferry;
mod files;
mod guard;
mod kept;
mod log;
mod matrix;
mod media;
mod package;
mod stamp;
mod store;
mod texts;

/// Whether the reader that the first byte names took the rest.
pub type Run = fn(&[u8]) -> bool;

/// Something that reads bytes from outside.
#[derive(Debug, Clone, Copy)]
pub struct Target {
    /// Name of its corpus and of its program.
    pub name: &'static str,
    /// Reads, and panics where a promise is broken.
    pub run: Run,
    /// Honest inputs, which it takes.
    pub seeds: fn() -> Vec<Seed>,
}

/// An honest input.
#[derive(Debug, Clone)]
pub struct Seed {
    /// What it is; the file is `seed-<name>`.
    pub name: String,
    /// The reader's byte, and the input.
    pub bytes: Vec<u8>,
}

impl Seed {
    pub(crate) fn new(name: &str, reader: u8, bytes: &[u8]) -> Self {
        Self {
            name: name.to_owned(),
            bytes: [&[reader][..], bytes].concat(),
        }
    }
}

/// Every target.
pub const ALL: &[Target] = &[
    Target {
        name: "guard",
        run: guard::run,
        seeds: guard::seeds,
    },
    Target {
        name: "media",
        run: media::run,
        seeds: media::seeds,
    },
    Target {
        name: "files",
        run: files::run,
        seeds: files::seeds,
    },
    Target {
        name: "texts",
        run: texts::run,
        seeds: texts::seeds,
    },
    Target {
        name: "matrix",
        run: matrix::run,
        seeds: matrix::seeds,
    },
    Target {
        name: "ferry",
        run: ferry::run,
        seeds: ferry::seeds,
    },
    Target {
        name: "log",
        run: log::run,
        seeds: log::seeds,
    },
    Target {
        name: "package",
        run: package::run,
        seeds: package::seeds,
    },
    Target {
        name: "stamp",
        run: stamp::run,
        seeds: stamp::seeds,
    },
    Target {
        name: "store",
        run: store::run,
        seeds: store::seeds,
    },
    Target {
        name: "kept",
        run: kept::run,
        seeds: kept::seeds,
    },
];

/// A target by its name.
#[must_use]
pub fn target(name: &str) -> Option<Target> {
    ALL.iter().copied().find(|target| target.name == name)
}

/// The key that honest inputs are signed with, the same in every process. It protects nothing.
pub(crate) fn key() -> guitai_crypto::sm2::SecretKey {
    let der = include_bytes!("../fixtures/key.der");
    guitai_crypto::sm2::SecretKey::from_pkcs8_der(der).expect("the fixture is a key")
}

/// A directory for one input, in memory where the machine has that.
pub(crate) fn scratch() -> tempfile::TempDir {
    let memory = std::path::Path::new("/dev/shm");
    let dir = if memory.is_dir() {
        tempfile::tempdir_in(memory)
    } else {
        tempfile::tempdir()
    };
    dir.expect("a scratch directory")
}
