//! Writes a package.
//!
//! First every file goes through [`Builder::add`]; then [`Builder::seal`] makes the manifest over
//! what went through and signs it. A recorder seals once, into [`crate::NoSink`], and keeps the
//! [`Seal`]; each later export repeats the files and ends with [`Builder::close`], which refuses to
//! hand out files that are not the sealed ones. So what is sealed is the same bytes in every export; what
//! is attached to it ([`crate::attach`]) may be more in a later one.

use std::{
    collections::BTreeMap,
    io::{self, Read},
};

use guitai_crypto::{cms, sm3, x509};
use guitai_types::Hex;
use serde::{Deserialize, Serialize};

use crate::{
    attach::Attached,
    canonical::{self, CanonicalError},
    layout,
    manifest::{File, Manifest},
    sink::Sink,
    tree,
};

/// Who signs, and the root that others know the signer by.
#[derive(Clone, Copy)]
pub struct Signer<'a> {
    /// Chain (leaf first) and key.
    pub identity: &'a x509::Identity,
    /// The root certificate, DER.
    pub root: &'a [u8],
}

/// What sealing made, kept so that every export is the same.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Seal {
    /// Bytes of `manifest.json`.
    pub manifest: Hex,
    /// Bytes of `manifest.p7s`.
    pub signed_data: Hex,
    /// Bytes of `manifest.sig`.
    pub signature: Hex,
}

/// Why a package was not made.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// A file could not be taken or given.
    #[error("file {path} of the package")]
    Io {
        /// Which.
        path: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The path may not be in a package.
    #[error("{0:?} is no path of a package")]
    Path(String),
    /// Two files of one path.
    #[error("{0} was added twice")]
    Twice(String),
    /// Past [`layout::FILES_MAX`].
    #[error("a package has at most {} files", layout::FILES_MAX)]
    TooMany,
    /// A statement has no canonical form.
    #[error("the manifest has no canonical form")]
    Canonical(#[from] CanonicalError),
    /// The signer's certificates cannot be used.
    #[error("the manifest cannot be signed")]
    Sign(#[from] cms::SignError),
    /// A package of format 3 needs a list of what is attached, one of a format before has none.
    #[error("what is attached does not fit the package's format")]
    Attached,
    /// The files are not those that were sealed: the stored recording has changed.
    #[error("{path} is not what was sealed")]
    Changed {
        /// Which.
        path: String,
    },
}

/// A package being made.
pub struct Builder<S> {
    sink: S,
    files: BTreeMap<String, (u64, tree::Hash)>,
}

impl<S: Sink> Builder<S> {
    /// Starts an empty package.
    pub fn new(sink: S) -> Self {
        Self {
            sink,
            files: BTreeMap::new(),
        }
    }

    /// Adds a file held in memory.
    pub fn add(&mut self, path: &str, content: &[u8]) -> Result<(), BuildError> {
        self.add_from(path, content.len() as u64, &mut &*content)
    }

    /// Adds a file of `size` bytes read from `content`.
    pub fn add_from(
        &mut self,
        path: &str,
        size: u64,
        content: &mut dyn Read,
    ) -> Result<(), BuildError> {
        if !layout::path_is_safe(path)
            || layout::UNLISTED.contains(&path)
            || layout::is_attached(path)
        {
            return Err(BuildError::Path(path.to_owned()));
        }
        if self.files.contains_key(path) {
            return Err(BuildError::Twice(path.to_owned()));
        }
        if self.files.len() >= layout::FILES_MAX {
            return Err(BuildError::TooMany);
        }
        let mut hashed = Hashed {
            inner: content,
            hasher: sm3::Hasher::new(),
        };
        self.put(path, size, &mut hashed)?;
        self.files
            .insert(path.to_owned(), (size, hashed.hasher.finish()));
        Ok(())
    }

    /// Counts a file whose digest is already known, without giving it to the sink. For sealing
    /// only: what [`Builder::close`] ends must have gone through the sink.
    pub fn count(&mut self, path: &str, size: u64, digest: tree::Hash) -> Result<(), BuildError> {
        if !layout::path_is_safe(path)
            || layout::UNLISTED.contains(&path)
            || layout::is_attached(path)
        {
            return Err(BuildError::Path(path.to_owned()));
        }
        match self.files.insert(path.to_owned(), (size, digest)) {
            None => Ok(()),
            Some(_) => Err(BuildError::Twice(path.to_owned())),
        }
    }

    /// The checksum list of a track over its files added so far: the content of its `tree.sm3`.
    pub fn track_sums(&self, track: u32) -> String {
        let folder = format!("tracks/{track}/");
        let media = |name: &str| name.ends_with(".mp4") || name.ends_with(".m4s");
        let mut lines: Vec<_> = self
            .files
            .range(folder.clone()..)
            .map_while(|(path, (_, digest))| Some((path.strip_prefix(&folder)?, digest)))
            .filter(|(name, _)| media(name))
            .collect();
        // The init part first, then the segments by number.
        lines.sort_by_key(|(name, _)| (*name != "init.mp4", *name));
        let lines = lines
            .into_iter()
            .map(|(name, digest)| layout::sum_line(digest, name) + "\n");
        lines.collect()
    }

    /// Makes manifest and signatures over everything added. `draft` states everything but `files` and
    /// `root`, which are filled in here.
    pub fn seal(
        &self,
        mut draft: Manifest,
        signer: Signer<'_>,
    ) -> Result<(Manifest, Seal), BuildError> {
        draft.format_needed().clone_into(&mut draft.format);
        draft.files = self.listed();
        draft.root = Hex(sums_root(&draft.files).to_vec());
        let manifest = canonical::to_bytes(&draft)?;
        let signed_data = cms::sign_detached(signer.identity, &manifest, draft.sealed_at.0 / 1000)?;
        let signature = signer
            .identity
            .key
            .sign(&[manifest.as_slice(), &signed_data].concat());
        let seal = Seal {
            manifest: Hex(manifest),
            signed_data: Hex(signed_data),
            signature: Hex(signature),
        };
        Ok((draft, seal))
    }

    /// Ends a package with the seal made earlier and what was attached to it; refuses files that are not
    /// the sealed ones. A package of a format before 3 has nothing attached.
    pub fn close(mut self, seal: &Seal, attached: Option<&Attached>) -> Result<(), BuildError> {
        let sealed: Manifest = canonical::from_bytes(&seal.manifest.0)?;
        let now = self.listed();
        if now != sealed.files {
            return Err(BuildError::Changed {
                path: first_difference(&sealed.files, &now),
            });
        }
        if sealed.has_attachments() != attached.is_some() {
            return Err(BuildError::Attached);
        }
        let sums = sums(&now);
        for (path, content) in [
            (layout::SUMS, sums.as_bytes()),
            (layout::MANIFEST, &seal.manifest.0),
            (layout::SIGNED_DATA, &seal.signed_data.0),
            (layout::SIGNATURE, &seal.signature.0),
        ] {
            self.put(path, content.len() as u64, &mut &*content)?;
        }
        if let Some(attached) = attached {
            let own = [
                (layout::ATTACHED, &attached.list),
                (layout::ATTACHED_SIGNED, &attached.signed),
            ];
            let others = attached.files.iter().map(|(path, it)| (path.as_str(), it));
            for (path, content) in own.into_iter().chain(others) {
                self.put(path, content.0.len() as u64, &mut &*content.0)?;
            }
        }
        let finished = self.sink.finish();
        finished.map_err(|source| BuildError::Io {
            path: layout::MANIFEST.to_owned(),
            source,
        })
    }

    fn put(&mut self, path: &str, size: u64, content: &mut dyn Read) -> Result<(), BuildError> {
        let put = self.sink.put(path, size, content);
        put.map_err(|source| BuildError::Io {
            path: path.to_owned(),
            source,
        })
    }

    fn listed(&self) -> Vec<File> {
        let file = |(path, (size, digest)): (&String, &(u64, tree::Hash))| File {
            path: path.clone(),
            size: *size,
            sm3: Hex(digest.to_vec()),
        };
        self.files.iter().map(file).collect()
    }
}

/// The content of `SM3SUMS` for these files.
pub(crate) fn sums(files: &[File]) -> String {
    files
        .iter()
        .map(|file| format!("{}  {}\n", file.sm3, file.path))
        .collect()
}

/// The root that the manifest states for these files.
pub(crate) fn sums_root(files: &[File]) -> tree::Hash {
    tree::root_of_lines(sums(files).lines())
}

fn first_difference(sealed: &[File], now: &[File]) -> String {
    let missing = sealed.iter().find(|file| !now.contains(file));
    let added = now.iter().find(|file| !sealed.contains(file));
    missing
        .or(added)
        .map_or_else(String::new, |file| file.path.clone())
}

struct Hashed<'a> {
    inner: &'a mut dyn Read,
    hasher: sm3::Hasher,
}

impl Read for Hashed<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(out)?;
        self.hasher.update(out.get(..read).unwrap_or_default());
        Ok(read)
    }
}
