//! Reads the files of a package one by one, for whoever makes something of them: each is compared with the
//! manifest when it is read, so what was verified before is what is used.

use std::{io, path::Path};

use guitai_crypto::sm3;

use crate::{canonical, layout, manifest::Manifest, report::Findings, tree::Hash, verify::Package};

/// A package that is read: a directory or a `.vcep` file.
pub struct Reader {
    package: Package,
    /// What it states.
    pub manifest: Manifest,
    /// SM3 of `manifest.json`.
    pub manifest_sm3: Hash,
}

impl Reader {
    /// Reads the manifest. It is not verified here: see [`crate::verify`].
    pub fn open(path: &Path) -> io::Result<Self> {
        let package = Package::open_at(path, &mut Findings::default());
        let bytes = package.read(layout::MANIFEST)?;
        let manifest = canonical::from_bytes(&bytes).map_err(io::Error::other)?;
        Ok(Self {
            package,
            manifest,
            manifest_sm3: sm3::hash(&bytes),
        })
    }

    /// A file that the manifest lists, of at most [`layout::DOCUMENT_BYTES_MAX`]; refused if it is not what is
    /// listed.
    pub fn read(&self, path: &str) -> io::Result<Vec<u8>> {
        let mut files = self.manifest.files.iter();
        let listed = files.find(|file| file.path == path);
        let listed = listed.ok_or(io::ErrorKind::NotFound)?;
        let bytes = self.package.read(path)?;
        if layout::digest(&listed.sm3) == Some(sm3::hash(&bytes)) {
            return Ok(bytes);
        }
        let text = format!("{path} is not what the manifest lists");
        Err(io::Error::new(io::ErrorKind::InvalidData, text))
    }
}
