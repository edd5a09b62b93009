//! A package in memory, with the key that signed it: it can be changed in any way and signed again, also
//! into what no recorder would write.

use std::{collections::BTreeMap, rc::Rc};

use guitai_crypto::{cms, random, sm3, tsp, x509};
use guitai_evidence::{canonical, layout, log::Digest, roots, tree};
use guitai_types::Hex;
use serde_json::{Value, json};

use crate::{
    log::{Log, Logged, WITNESSES, WITNESSES_OLD},
    media,
};

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
    /// What format 3 adds.
    pub(crate) later: Option<Later>,
    /// Bytes of the one file that is shown instead of a directory.
    pub(crate) container: Option<Vec<u8>>,
    /// The readers have a policy of their own.
    pub(crate) readers_policy: bool,
    /// A composite that the readers are to check with it.
    pub(crate) film: Option<Film>,
}

/// A composite and what it says of itself.
#[derive(Clone)]
pub(crate) struct Film {
    pub(crate) bytes: Vec<u8>,
    pub(crate) description: Vec<u8>,
}

/// What format 3 adds: roots by the second, and what is attached.
#[derive(Clone)]
pub(crate) struct Later {
    pub(crate) log: Rc<Log>,
    /// Lines of `roots.jsonl`.
    pub(crate) lines: Vec<Value>,
    /// Who stamps.
    pub(crate) stamper: Signer,
    /// `missing` of `attached.json`.
    pub(crate) missing: Value,
    /// When it was attached, in milliseconds.
    pub(crate) at: u64,
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
        if self.later.is_some() {
            self.put(&layout::recorder_chain(1), chain.clone());
        }
        self.put(layout::CHAIN, chain);
        let root = x509::certificates_to_pem(std::slice::from_ref(&self.signer.root));
        self.put(layout::ROOT, root);
    }

    /// `gaps.json` as the manifest has it.
    pub(crate) fn write_gaps(&mut self) {
        let gaps = canonical::to_bytes(&self.manifest["gaps"]).expect("gaps have a form");
        self.put(layout::GAPS, gaps);
    }

    /// Numbers of a track's segments and when they begin, as the manifest has them.
    fn starts(&self, track: &Value) -> Vec<(u32, u64)> {
        let segments = track["segments"].as_array().into_iter().flatten();
        let first = |segment: &Value| segment["first_us"].as_u64().unwrap_or_default();
        (1..).zip(segments.map(first)).collect()
    }

    fn content(&self, path: &str) -> Option<&[u8]> {
        match self.entries.get(path) {
            Some(Entry::File(bytes)) => Some(bytes),
            _ => None,
        }
    }

    /// Frame logs and playable files, from the segments.
    pub(crate) fn write_media(&mut self) {
        let mut made: Vec<(String, Vec<u8>)> = Vec::new();
        let tracks = self.manifest["tracks"]
            .as_array()
            .cloned()
            .unwrap_or_default();
        let number = |track: &Value| track["number"].as_u64().unwrap_or_default() as u32;
        for track in &tracks {
            let mut log = media::FRAMES_HEADER.to_owned();
            for (segment, first) in self.starts(track) {
                let content = self.content(&layout::segment(number(track), segment));
                log += &media::lines(content.unwrap_or_default(), first);
            }
            made.push((layout::frames(number(track)), log.into_bytes()));
        }
        let playable = self.manifest["playable"]
            .as_array()
            .cloned()
            .unwrap_or_default();
        for play in &playable {
            let is_in = |track: &&Value| {
                play["tracks"]
                    .as_array()
                    .is_some_and(|it| it.contains(&track["number"]))
            };
            let mut mine: Vec<&Value> = tracks.iter().filter(is_in).collect();
            mine.sort_by_key(|track| track["media"] != "video");
            let about: Vec<Vec<u8>> = mine.iter().map(|track| about(number(track))).collect();
            let about: Vec<&[u8]> = about.iter().map(Vec::as_slice).collect();
            let segments = mine.iter().map(|track| {
                let content = |(segment, first)| {
                    let content = self.content(&layout::segment(number(track), segment));
                    Some((first, content?.to_vec()))
                };
                self.starts(track).into_iter().filter_map(content).collect()
            });
            let segments: Vec<Vec<(u64, Vec<u8>)>> = segments.collect();
            let file = play["file"].as_str().unwrap_or_default().to_owned();
            made.push((file, media::playable(&media::init(&about), &segments)));
        }
        for (path, content) in made {
            self.put(&path, content);
        }
    }

    /// Gives each segment the place in its `moof` that the manifest says it has.
    pub(crate) fn refit(&mut self) {
        let tracks = self.manifest["tracks"]
            .as_array()
            .cloned()
            .unwrap_or_default();
        for track in &tracks {
            let origin = track["first_us"].as_u64().unwrap_or_default();
            for (segment, first) in self.starts(track) {
                let number = track["number"].as_u64().unwrap_or_default() as u32;
                let path = layout::segment(number, segment);
                let content = self.content(&path).unwrap_or_default();
                let base = first.saturating_sub(origin);
                if let Some(content) = media::placed(content, segment, 1, base) {
                    self.put(&path, content);
                }
            }
        }
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
            Entry::File(bytes)
                if !layout::UNLISTED.contains(&path.as_str()) && !layout::is_attached(path) =>
            {
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
        self.attach();
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
        self.write_media();
        self.write_tracks();
        self.write_roots();
        self.write_list();
        self.sign();
    }

    /// `roots.jsonl` over the segments that are there: those of one number are in one second, between segments of
    /// another session.
    pub(crate) fn write_roots(&mut self) {
        if self.later.is_none() {
            return;
        }
        let mut seconds: BTreeMap<usize, Vec<(usize, [u8; 32])>> = BTreeMap::new();
        for (track, segment) in self.segments() {
            let path = layout::segment(track as u32, segment as u32);
            if let Some(Entry::File(content)) = self.entries.get(&path) {
                let place = (track, sm3::hash(content));
                seconds.entry(segment).or_default().push(place);
            }
        }
        let (node, key) = (&self.manifest["recorder"], &self.signer.identity.key);
        let lines = seconds.into_iter().map(|(segment, tracks)| {
            let other = roots::leaf(&[1; 32], &[segment as u8; 32]);
            let mut leaves = vec![other];
            let mut places = Vec::new();
            for (track, digest) in tracks {
                let salt = [(track + 10 * segment) as u8; 32];
                places.push((leaves.len(), track, salt));
                leaves.extend([roots::leaf(&salt, &digest), other]);
            }
            let hex = |bytes: &[u8]| Hex(bytes.to_vec()).to_string();
            let place = |(index, track, salt): &(usize, usize, [u8; 32])| {
                let path: Vec<String> = tree::path(&leaves, *index).iter().map(|it| hex(it)).collect();
                json!({ "index": index, "track": track, "segment": segment, "salt": hex(salt), "path": path })
            };
            let mut line = json!({
                "node": node, "second": 1_795_000_001 + segment, "count": leaves.len(), "signer": 1,
                "root": hex(&Digest::Sm3.root(&leaves)), "segments": places.iter().map(place).collect::<Vec<_>>(),
            });
            sign_line(&mut line, key);
            line
        });
        let lines = lines.collect();
        self.put_lines(lines);
    }

    /// These lines as `roots.jsonl`, for the package to be listed and signed after.
    pub(crate) fn put_lines(&mut self, lines: Vec<Value>) {
        self.put(layout::ROOTS, crate::world::lines(&lines));
        self.later().lines = lines;
    }

    /// What a package of format 3 has.
    pub(crate) fn later(&mut self) -> &mut Later {
        self.later.as_mut().expect("a package of format 3")
    }

    /// What the log says of the seal and the roots.
    pub(crate) fn logged(&self) -> Logged {
        let Some(later) = &self.later else {
            return Logged::new(vec![]);
        };
        let of_line = |line: &Value| {
            let second = line["second"].as_u64().unwrap_or_default();
            let mut root = line.clone();
            if let Some(root) = root.as_object_mut() {
                root.retain(|name, _| name != "segments" && name != "signer");
            }
            (
                layout::root_proof(second),
                json!({ "kind": "recorder-root", "root": root }),
            )
        };
        let mut records: Vec<(String, Value)> = later.lines.iter().map(of_line).collect();
        let manifest = &self.manifest;
        let summary =
            json!({ "node": manifest["recorder"], "root": manifest["root"], "frames": 9 });
        let record = json!({ "kind": "recording-sealed", "session": manifest["session"]["id"],
            "assignment": 2, "summary": summary });
        records.push((layout::SEAL_PROOF.to_owned(), record));
        Logged::new(records)
    }

    /// Attaches what the log says of the package as it stands now.
    pub(crate) fn attach(&mut self) {
        if self.later.is_some() {
            let logged = self.logged();
            self.put_logged(&logged);
            self.put_stamp();
            self.sign_attached();
        }
    }

    /// `manifest.tsr`, of a second after the seal.
    pub(crate) fn put_stamp(&mut self) {
        let at = self.manifest["sealed_at"].as_u64().unwrap_or_default() / 1000 + 1;
        let stamp = stamp(
            &self.later().stamper.identity.clone(),
            self.bytes(layout::SIGNED_DATA),
            at,
        );
        self.put(layout::TIMESTAMP, stamp);
    }

    /// Everything under `log/`, with the checkpoints that the log and its witnesses sign.
    pub(crate) fn put_logged(&mut self, logged: &Logged) {
        let log = self.later().log.clone();
        let checkpoint = log.checkpoint(logged.head(logged.leaves.len()), WITNESSES);
        let old = log.checkpoint(logged.head(logged.old), WITNESSES_OLD);
        self.put_logged_as(logged, &checkpoint, &old);
    }

    /// The same with other checkpoints.
    pub(crate) fn put_logged_as(&mut self, logged: &Logged, checkpoint: &str, old: &str) {
        let log = self.later().log.clone();
        self.entries.retain(|path, _| !path.starts_with("log/"));
        for (path, proof) in &logged.proofs {
            self.put(path, proof.text(checkpoint));
        }
        self.put(layout::LOG_POLICY, log.policy());
        self.put(layout::CHECKPOINT, checkpoint);
        self.put(layout::CHECKPOINT_OLD, old);
        let proof = logged.consistency(logged.old);
        self.put(layout::CONSISTENCY, crate::log::lines(&proof));
    }

    /// `attached.json` of what lies there to be attached.
    pub(crate) fn attached(&self) -> Value {
        let later = self.later.as_ref().expect("a package of format 3");
        let listed = |(path, entry): (&String, &Entry)| match entry {
            Entry::File(bytes) if layout::is_attached(path) => {
                let sm3 = Hex(sm3::hash(bytes).to_vec()).to_string();
                Some(json!({ "path": path, "size": bytes.len(), "sm3": sm3 }))
            }
            _ => None,
        };
        let sealed = [layout::MANIFEST, layout::SIGNED_DATA, layout::SIGNATURE];
        let sealed: Vec<u8> = sealed
            .iter()
            .flat_map(|path| match self.entries.get(*path) {
                Some(Entry::File(bytes)) => bytes.to_vec(),
                _ => vec![],
            })
            .collect();
        json!({
            "format": "guitai-evidence-attached/1", "sealed": Hex(sm3::hash(&sealed).to_vec()).to_string(), "at": later.at,
            "files": self.entries.iter().filter_map(listed).collect::<Vec<_>>(), "missing": later.missing,
        })
    }

    /// Lists and signs what lies there to be attached.
    pub(crate) fn sign_attached(&mut self) {
        let list = self.attached();
        self.sign_attached_as(canonical::to_bytes(&list).expect("a list has a form"));
    }

    /// These bytes as the list, signed by the package's signer.
    pub(crate) fn sign_attached_as(&mut self, list: Vec<u8>) {
        let at = self.later().at / 1000;
        let signed = cms::sign_detached(&self.signer.identity, &list, at);
        self.put(layout::ATTACHED, list);
        self.put(layout::ATTACHED_SIGNED, signed.expect("an identity signs"));
    }

    /// The package under another name, signed by somebody else.
    pub(crate) fn seal_by(&mut self, signer: &Signer) {
        self.signer = signer.clone();
        self.seal();
    }
}

/// What an authority answers who is asked to stamp `content` at a time in seconds: past the calendar a refusal.
pub(crate) fn stamp(identity: &x509::Identity, content: &[u8], at: u64) -> Vec<u8> {
    let request = tsp::Request::new(sm3::hash(content), random::array()).and_then(|it| it.to_der());
    let request = request.expect("a request has a form");
    let answer = tsp::answer(&request, identity, Some(at), random::array());
    answer.expect("an answer has a form").0
}

/// Signs a line of `roots.jsonl` as it stands.
pub(crate) fn sign_line(line: &mut Value, key: &guitai_crypto::sm2::SecretKey) {
    let text = |name: &str| match &line[name] {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let names = ["node", "second", "count", "root"];
    let lines: Vec<String> = names.iter().map(|name| text(name) + "\n").collect();
    let text = format!("guitai-recorder-root/1\n{}", lines.concat());
    line["signature"] = json!(Hex(key.sign(text.as_bytes())).to_string());
}

/// What the initialisation part of a track says of it.
pub(crate) fn about(track: u32) -> Vec<u8> {
    format!("what track {track} is, and how to decode it").into_bytes()
}
