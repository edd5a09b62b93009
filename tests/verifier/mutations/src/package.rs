//! A package in memory, with the key that signed it: it can be changed in any way and signed again, also
//! into what no recorder would write.

use std::{collections::BTreeMap, rc::Rc};

use guitai_crypto::{cms, sm3, x509};
use guitai_evidence::{canonical, layout, tree};
use guitai_types::Hex;
use serde_json::{Value, json};

/// What lies under a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Entry {
    /// A regular file.
    File(Rc<Vec<u8>>),
    /// A symbolic link to there.
    Link(String),
    /// A directory with nothing in it.
    Empty,
    /// Something that is neither.
    Socket,
}

/// Who signs.
#[derive(Clone)]
pub(crate) struct Signer {
    pub(crate) identity: Rc<x509::Identity>,
    pub(crate) root: Vec<u8>,
}

/// A package and what it takes to sign it again.
#[derive(Clone)]
pub(crate) struct Package {
    pub(crate) entries: BTreeMap<String, Entry>,
    pub(crate) manifest: Value,
    pub(crate) signer: Signer,
}

impl Package {
    /// Puts a file in place of what was there.
    pub(crate) fn put(&mut self, path: &str, content: impl Into<Vec<u8>>) {
        let file = Entry::File(Rc::new(content.into()));
        self.entries.insert(path.to_owned(), file);
    }

    /// Bytes of a file that is there.
    pub(crate) fn bytes(&self, path: &str) -> &Rc<Vec<u8>> {
        match &self.entries[path] {
            Entry::File(bytes) => bytes,
            other => panic!("{path} is {other:?}"),
        }
    }

    /// A place in the manifest that is there.
    pub(crate) fn at(&mut self, pointer: &str) -> &mut Value {
        let found = self.manifest.pointer_mut(pointer);
        found.unwrap_or_else(|| panic!("the manifest has no {pointer}"))
    }

    /// An array in the manifest that is there.
    pub(crate) fn array(&mut self, pointer: &str) -> &mut Vec<Value> {
        let found = self.at(pointer).as_array_mut();
        found.unwrap_or_else(|| panic!("{pointer} is no array"))
    }

    /// The numbers of tracks and of their segments.
    pub(crate) fn segments(&self) -> Vec<(usize, usize)> {
        let tracks = self.manifest["tracks"].as_array().into_iter().flatten();
        let count = |track: &Value| track["segments"].as_array().map_or(0, Vec::len);
        let of = |(track, count): (usize, usize)| (1..=count).map(move |n| (track + 1, n));
        tracks.map(count).enumerate().flat_map(of).collect()
    }

    /// The certificates as files.
    pub(crate) fn write_trust(&mut self) {
        let chain = x509::certificates_to_pem(&self.signer.identity.chain);
        self.put(layout::CHAIN, chain);
        let root = x509::certificates_to_pem(std::slice::from_ref(&self.signer.root));
        self.put(layout::ROOT, root);
    }

    /// `gaps.json` as the manifest has it.
    pub(crate) fn write_gaps(&mut self) {
        let gaps = canonical::to_bytes(&self.manifest["gaps"]).expect("gaps have a form");
        self.put(layout::GAPS, gaps);
    }

    /// Lists, roots and bytes of all tracks, from their files.
    pub(crate) fn write_tracks(&mut self) {
        let count = self.manifest["tracks"].as_array().map_or(0, Vec::len);
        for track in 0..count {
            let number = self.manifest["tracks"][track]["number"].as_u64();
            let number = number.expect("a track has a number") as u32;
            let segments = self.manifest["tracks"][track]["segments"].as_array();
            let segments = segments.map_or(0, Vec::len) as u32;
            let mut lines = String::new();
            let mut bytes = 0;
            let parts = (1..=segments).map(|n| layout::segment(number, n));
            for path in [layout::init(number)].into_iter().chain(parts) {
                let Some(Entry::File(content)) = self.entries.get(&path) else {
                    continue;
                };
                let name = path.rsplit('/').next().unwrap_or_default();
                lines += &(layout::sum_line(&sm3::hash(content), name) + "\n");
                bytes += if name == "init.mp4" { 0 } else { content.len() };
            }
            let root = Hex(tree::root_of_lines(lines.lines()).to_vec()).to_string();
            self.manifest["tracks"][track]["root"] = json!(root);
            self.manifest["tracks"][track]["bytes"] = json!(bytes);
            self.put(&layout::tree(number), lines);
        }
    }

    /// `files` and the root of the manifest, and `SM3SUMS`, from the files.
    pub(crate) fn write_list(&mut self) {
        let listed = |(path, entry): (&String, &Entry)| match entry {
            Entry::File(bytes) if !layout::UNLISTED.contains(&path.as_str()) => {
                let sm3 = Hex(sm3::hash(bytes).to_vec()).to_string();
                Some(json!({ "path": path, "size": bytes.len(), "sm3": sm3 }))
            }
            _ => None,
        };
        let files: Vec<Value> = self.entries.iter().filter_map(listed).collect();
        self.manifest["files"] = json!(files);
        self.write_sums();
    }

    /// `SM3SUMS` and the root, from `files` of the manifest.
    pub(crate) fn write_sums(&mut self) {
        let files = self.manifest["files"].as_array().into_iter().flatten();
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let line = |file: &Value| format!("{}  {}\n", text(&file["sm3"]), text(&file["path"]));
        let sums: String = files.map(line).collect();
        let root = Hex(tree::root_of_lines(sums.lines()).to_vec()).to_string();
        self.manifest["root"] = json!(root);
        self.put(layout::SUMS, sums);
    }

    /// The manifest as it stands now, signed.
    pub(crate) fn sign(&mut self) {
        let manifest = canonical::to_bytes(&self.manifest).expect("the manifest has a form");
        self.sign_as(manifest);
    }

    /// These bytes as the manifest, signed.
    pub(crate) fn sign_as(&mut self, manifest: Vec<u8>) {
        let at = self.manifest["sealed_at"].as_u64().unwrap_or_default() / 1000;
        let signed = cms::sign_detached(&self.signer.identity, &manifest, at);
        self.put(layout::MANIFEST, manifest);
        self.put(layout::SIGNED_DATA, signed.expect("an identity signs"));
        self.sign_plainly();
    }

    /// `manifest.sig` over what lies there.
    pub(crate) fn sign_plainly(&mut self) {
        let both = [
            self.bytes(layout::MANIFEST).as_slice(),
            self.bytes(layout::SIGNED_DATA),
        ];
        let signature = self.signer.identity.key.sign(&both.concat());
        self.put(layout::SIGNATURE, signature);
    }

    /// Everything that follows from files and statements.
    pub(crate) fn seal(&mut self) {
        self.write_trust();
        self.write_gaps();
        self.write_tracks();
        self.write_list();
        self.sign();
    }

    /// The package under another name, signed by somebody else.
    pub(crate) fn seal_by(&mut self, signer: &Signer) {
        self.signer = signer.clone();
        self.seal();
    }
}
