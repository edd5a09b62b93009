//! Memories of nodes, read while they carried a call: whether a key of the call is in one, by its very bytes wherever they
//! stand, and by trying whatever looks like a key on frames of the call.
//!
//! A recorder's memory has the keys, and the same search finds them there. A key put into an edge's memory afterwards is
//! found by both: a check that cannot fail would say nothing.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fs::{self, File},
    os::unix::fs::FileExt as _,
};

use guitai_cli::demo::SealedFrame;
use guitai_crypto::{
    sframe::{Opener, Party, Suite, kid, kid_of},
    sm3,
    sm4::{Gcm, KEY_BYTES, NONCE_BYTES, TAG_BYTES},
};

use super::{call::Seen, site::Site};

/// Keys of an epoch and its tracks have these KIDs; a call here has two or three epochs.
const EPOCHS: u32 = 4;
const TRACKS: [(Party, bool); 4] = [
    (Party::Customer, false),
    (Party::Customer, true),
    (Party::Agent, false),
    (Party::Agent, true),
];
/// Bytes of a media key, and of what is derived of it for all tracks.
const SECRET_BYTES: usize = 32;
/// Allocations and fields begin at multiples of it; the search for known bytes looks everywhere.
const ALIGN: usize = 8;
/// Different bytes in something drawn by chance, at least: of 16 and of 32. One key in a million has fewer.
const DISTINCT_16: u32 = 11;
const DISTINCT_32: u32 = 23;
/// Candidates that are tried at most; past it the test would be a slow one, and says so.
const CANDIDATES_MAX: usize = 12_000_000;
/// A page of the machine.
const PAGE: u64 = 4_096;
/// Bytes of a page's entry in the table.
const ENTRY: u64 = 8;

/// One mapping of a process that could be read.
pub(crate) struct Mapping {
    name: String,
    is_written: bool,
    bytes: Vec<u8>,
}

/// Memories by node.
pub(crate) struct Dumps(BTreeMap<String, Vec<Mapping>>);

impl Dumps {
    /// Of every edge, and of the nodes that may record.
    pub(crate) fn take(site: &Site) -> Self {
        let nodes = ["edge-a1", "edge-a2", "edge-b", "a1-2", "a2-2", "b-2"];
        let dump = |node: &str| (node.to_owned(), memory(site.pid(node)));
        Self(nodes.map(dump).into())
    }
}

/// Runs of pages that are in memory or in swap, of a range of addresses (`/proc/PID/pagemap`): most of a stack, and of what
/// an allocator holds ready, was never touched.
fn present(table: &File, from: u64, to: u64) -> Vec<(u64, u64)> {
    let pages = (to - from) / PAGE;
    let mut entries = vec![0; usize::try_from(pages * ENTRY).expect("an address")];
    table
        .read_exact_at(&mut entries, from / PAGE * ENTRY)
        .expect("its table of pages");
    let mut runs: Vec<(u64, u64)> = Vec::new();
    for (index, entry) in entries.chunks_exact(8).enumerate() {
        // Little endian; the two highest bits.
        if entry[7] & 0xc0 == 0 {
            continue;
        }
        let at = from + index as u64 * PAGE;
        match runs.last_mut() {
            Some(last) if last.1 == at => last.1 = at + PAGE,
            _ => runs.push((at, at + PAGE)),
        }
    }
    runs
}

/// Every readable mapping of a process, as a core dump has it and more: a file's pages too.
fn memory(pid: u32) -> Vec<Mapping> {
    let maps = fs::read_to_string(format!("/proc/{pid}/maps")).expect("its mappings");
    let memory = File::open(format!("/proc/{pid}/mem"));
    let memory = memory.expect("root may read a process' memory: without that nothing is shown");
    let table = File::open(format!("/proc/{pid}/pagemap")).expect("its table of pages");
    let mut found = Vec::new();
    for line in maps.lines() {
        let mut words = line.split_whitespace();
        let (Some(range), Some(rights)) = (words.next(), words.next()) else {
            continue;
        };
        let name = words.nth(3).unwrap_or_default().to_owned();
        // The kernel's own page is not memory.
        if !rights.starts_with('r') || name.starts_with("[v") {
            continue;
        }
        let bounds = range.split_once('-').expect("a range");
        let [from, to] = [bounds.0, bounds.1].map(|it| u64::from_str_radix(it, 16).expect("hex"));
        let mut bytes = Vec::new();
        for (from, to) in present(&table, from, to) {
            let mut run = vec![0; usize::try_from(to - from).expect("an address")];
            // What is gone meanwhile was not of the call.
            if memory.read_exact_at(&mut run, from).is_ok() {
                bytes.append(&mut run);
            }
        }
        found.push(Mapping {
            name,
            is_written: rights.contains('w'),
            bytes,
        });
    }
    found
}

/// The verdict over all dumps.
pub(crate) fn opens_nothing(site: &Site, seen: &Seen) {
    let keys: BTreeSet<[u8; SECRET_BYTES]> = seen.witnessed.keys.iter().copied().collect();
    assert!(keys.len() >= 2, "a key for each epoch");
    let forms: Vec<(String, Vec<u8>)> = keys.iter().flat_map(forms).collect();
    let frames = chosen(&seen.witnessed.frames, &keys);
    let (mut relayed, mut recorders) = (0, 0);
    for (node, dump) in &seen.dumps.0 {
        let is_edge = site.hosts().any(|host| host.node == *node && host.is_edge);
        let bytes: Vec<&[u8]> = forms.iter().map(|(_, bytes)| &bytes[..]).collect();
        let known = dump.iter().flat_map(|it| found(&it.bytes, &bytes));
        let known: BTreeSet<&str> = known.map(|index| forms[index].0.as_str()).collect();
        let size: usize = dump.iter().map(|it| it.bytes.len()).sum();
        eprintln!(
            "          {node}: {} KiB, known bytes of keys: {known:?}",
            size / 1024
        );
        if !is_edge {
            recorders += usize::from(!known.is_empty());
            continue;
        }
        assert!(known.is_empty(), "{node}: {known:?}");
        // Sealed frames in it: it is the memory of who passed them on.
        let ends = seen.witnessed.frames.iter().map(|frame| &frame.sealed);
        let ends: Vec<&[u8]> = ends.map(|it| &it[it.len().saturating_sub(24)..]).collect();
        let frames_in = dump.iter().flat_map(|it| found(&it.bytes, &ends));
        let frames_in = frames_in.collect::<BTreeSet<usize>>().len();
        relayed += usize::from(frames_in > 0);
        if frames_in == 0 {
            continue;
        }
        let candidates = candidates(dump);
        let count = candidates.keys.len() + candidates.secrets.len();
        eprintln!("          {node}: {frames_in} frames of the call in it, {count} candidates");
        assert_eq!(candidates.open(&frames), Vec::<String>::new(), "{node}");
        planted_keys_are_found(dump, &keys, &forms, &frames);
    }
    assert!(relayed > 0, "some edge carried the call");
    assert!(
        recorders > 0,
        "a recorder has the keys: the search would find them"
    );
}

/// The same search and the same trial, on a memory into which one key was put: each form, at an odd address for the
/// search, and as the allocator would have it for the trial.
fn planted_keys_are_found(
    dump: &[Mapping],
    keys: &BTreeSet<[u8; SECRET_BYTES]>,
    forms: &[(String, Vec<u8>)],
    frames: &[Frame],
) {
    let largest = dump
        .iter()
        .filter(|it| it.is_written)
        .max_by_key(|it| it.bytes.len());
    let bytes = &largest.expect("a heap").bytes;
    let planted = |at: usize, form: &[u8]| {
        let mut bytes = bytes.clone();
        bytes[at..at + form.len()].copy_from_slice(form);
        [Mapping {
            name: String::new(),
            is_written: true,
            bytes,
        }]
    };
    let page = usize::try_from(PAGE).expect("small");
    let middle = bytes.len() / 2 / page * page;
    for (name, form) in forms {
        let dump = planted(middle + 13, form);
        assert_eq!(found(&dump[0].bytes, &[form]).len(), 1, "{name}");
    }
    let media_key = keys.iter().next_back().expect("a key");
    let epoch = frames.iter().find(|frame| frame.base_key == *media_key);
    let frame = epoch.expect("a frame of every key");
    for form in [&media_key[..], &frame.track_key] {
        let found = candidates(&planted(middle + 2 * ALIGN + page, form)).open(frames);
        assert!(!found.is_empty(), "a planted key of {} bytes", form.len());
    }
}

/// A frame to try keys on.
struct Frame {
    track: &'static str,
    sealed: Vec<u8>,
    base_key: [u8; SECRET_BYTES],
    track_key: [u8; KEY_BYTES],
    /// Who tries a track's key is given its nonce, which he would have to find as well.
    nonce: [u8; NONCE_BYTES],
    header_bytes: usize,
}

/// The shortest frame of each media key and track.
fn chosen(all: &[SealedFrame], keys: &BTreeSet<[u8; SECRET_BYTES]>) -> Vec<Frame> {
    let mut shortest: BTreeMap<([u8; SECRET_BYTES], u64), &SealedFrame> = BTreeMap::new();
    for frame in all {
        let number = kid_of(&frame.sealed).expect("a header");
        let opens = |key: &&[u8; SECRET_BYTES]| {
            let opener = Opener::new(Suite::Sm4GcmSm3_128, key);
            opener
                .open(frame.track.as_bytes(), &frame.sealed)
                .is_ok_and(|it| it == frame.plain)
        };
        // By length first: opening is dear.
        let is_shorter = |key: &[u8; SECRET_BYTES]| {
            let best = shortest.get(&(*key, number));
            best.is_none_or(|best| frame.sealed.len() < best.sealed.len())
        };
        if let Some(key) = keys.iter().filter(|key| is_shorter(key)).find(opens) {
            shortest.insert((*key, number), frame);
        }
    }
    let frames: Vec<Frame> = shortest
        .into_iter()
        .map(|((base_key, number), frame)| {
            let secret = sm3::hkdf_extract(b"", &base_key);
            let (track_key, salt) = derived(&secret, number);
            let header_bytes = frame.sealed.len() - frame.plain.len() - TAG_BYTES;
            let mut nonce = salt;
            // The counter ends the header: eight bytes at the most, as many as its low bits say.
            let counter = usize::from(frame.sealed[0] & 7) + 1;
            let counter = &frame.sealed[header_bytes - counter..header_bytes];
            for (byte, counter) in nonce.iter_mut().rev().zip(counter.iter().rev()) {
                *byte ^= counter;
            }
            Frame {
                track: frame.track,
                sealed: frame.sealed.clone(),
                base_key,
                track_key,
                nonce,
                header_bytes,
            }
        })
        .collect();
    for key in keys {
        assert!(
            frames.iter().any(|frame| frame.base_key == *key),
            "a frame of every key"
        );
    }
    for frame in &frames {
        assert!(
            opens_with_track_key(frame, &frame.track_key),
            "the key of a track opens it"
        );
    }
    frames
}

fn derived(secret: &[u8; SECRET_BYTES], number: u64) -> ([u8; KEY_BYTES], [u8; NONCE_BYTES]) {
    let (number, suite) = (
        number.to_be_bytes(),
        Suite::Sm4GcmSm3_128.number().to_be_bytes(),
    );
    let key: [&[u8]; 3] = [b"SFrame 1.0 Secret key ", &number, &suite];
    let salt: [&[u8]; 3] = [b"SFrame 1.0 Secret salt ", &number, &suite];
    (
        sm3::hkdf_expand(secret, &key),
        sm3::hkdf_expand(secret, &salt),
    )
}

/// Everything by which a media key could be known: itself, what is derived of it, and its hexadecimal digits.
fn forms(key: &[u8; SECRET_BYTES]) -> Vec<(String, Vec<u8>)> {
    let secret = sm3::hkdf_extract(b"", key);
    let digits: String = key.iter().map(|byte| format!("{byte:02x}")).collect();
    let mut forms = vec![
        ("media key".to_owned(), key.to_vec()),
        ("media key, in digits".to_owned(), digits.into_bytes()),
        ("secret".to_owned(), secret.to_vec()),
    ];
    for epoch in 1..=EPOCHS {
        for (party, is_sound) in TRACKS {
            let number = kid(epoch, party, is_sound);
            let (track_key, salt) = derived(&secret, number);
            forms.push((format!("key {number}"), track_key.to_vec()));
            forms.push((format!("salt {number}"), salt.to_vec()));
        }
    }
    forms
}

/// What looks like a key.
struct Candidates {
    keys: Vec<[u8; KEY_BYTES]>,
    secrets: Vec<[u8; SECRET_BYTES]>,
}

/// Whatever looks drawn by chance in what a process may write.
fn candidates(dump: &[Mapping]) -> Candidates {
    let mut found = Candidates {
        keys: Vec::new(),
        secrets: Vec::new(),
    };
    for mapping in dump.iter().filter(|it| it.is_written) {
        for at in (0..mapping.bytes.len()).step_by(ALIGN) {
            let rest = &mapping.bytes[at..];
            if let Some(window) = rest.first_chunk::<KEY_BYTES>()
                && distinct(window) >= DISTINCT_16
            {
                found.keys.push(*window);
            }
            if let Some(window) = rest.first_chunk::<SECRET_BYTES>()
                && distinct(window) >= DISTINCT_32
            {
                found.secrets.push(*window);
            }
        }
    }
    // The same text stands in many places.
    found.keys.sort_unstable();
    found.keys.dedup();
    found.secrets.sort_unstable();
    found.secrets.dedup();
    let count = found.keys.len() + found.secrets.len();
    let names: Vec<&str> = dump.iter().map(|it| it.name.as_str()).collect();
    assert!(count <= CANDIDATES_MAX, "{count} candidates in {names:?}");
    found
}

fn distinct(window: &[u8]) -> u32 {
    let mut seen = [0_u64; 4];
    for byte in window {
        seen[usize::from(byte >> 6)] |= 1 << (byte & 63);
    }
    seen.iter().map(|bits| bits.count_ones()).sum()
}

impl Candidates {
    /// What opened a frame.
    fn open(&self, frames: &[Frame]) -> Vec<String> {
        // A media key opens every track of its epoch: one frame for each key is enough.
        let mut of_key: BTreeMap<[u8; SECRET_BYTES], &Frame> = BTreeMap::new();
        for frame in frames {
            of_key.entry(frame.base_key).or_insert(frame);
        }
        let of_key: Vec<&Frame> = of_key.into_values().collect();
        let half = |length: usize| length.div_ceil(2).max(1);
        let keys = self.keys.chunks(half(self.keys.len()));
        let secrets = self.secrets.chunks(half(self.secrets.len()));
        std::thread::scope(|scope| {
            let keys = keys.map(|keys| {
                scope.spawn(move || {
                    let opens = |key: &&[u8; KEY_BYTES]| {
                        frames.iter().any(|frame| opens_with_track_key(frame, key))
                    };
                    keys.iter()
                        .filter(opens)
                        .map(|_| "a track's key".to_owned())
                        .collect::<Vec<_>>()
                })
            });
            let keys: Vec<_> = keys.collect();
            let secrets = secrets.map(|secrets| {
                let of_key = &of_key;
                scope.spawn(move || {
                    let opens = |secret: &&[u8; SECRET_BYTES]| {
                        let opener = Opener::new(Suite::Sm4GcmSm3_128, secret);
                        let mut frames = of_key.iter();
                        frames.any(|it| opener.open(it.track.as_bytes(), &it.sealed).is_ok())
                    };
                    secrets
                        .iter()
                        .filter(opens)
                        .map(|_| "a media key".to_owned())
                        .collect::<Vec<_>>()
                })
            });
            let threads = keys.into_iter().chain(secrets.collect::<Vec<_>>());
            let found = threads.map(|thread| thread.join().expect("it does not panic"));
            found.flatten().collect()
        })
    }
}

fn opens_with_track_key(frame: &Frame, key: &[u8; KEY_BYTES]) -> bool {
    let (header, rest) = frame.sealed.split_at(frame.header_bytes);
    let Some((data, tag)) = rest.split_last_chunk::<TAG_BYTES>() else {
        return false;
    };
    let aad = [header, frame.track.as_bytes()].concat();
    let mut data = data.to_vec();
    Gcm::new(key)
        .open_in_place(&frame.nonce, &aad, &mut data, tag)
        .is_ok()
}

/// Which of many pieces, of at least four bytes each, stand somewhere: one pass over the bytes.
pub(crate) fn found(bytes: &[u8], pieces: &[&[u8]]) -> BTreeSet<usize> {
    let mut by_head: HashMap<[u8; 4], Vec<usize>> = HashMap::new();
    let mut may_begin = vec![false; 1 << 16];
    let pair = |a: u8, b: u8| usize::from(u16::from_be_bytes([a, b]));
    for (index, piece) in pieces.iter().enumerate() {
        let head = piece
            .first_chunk::<4>()
            .expect("pieces have four bytes and more");
        by_head.entry(*head).or_default().push(index);
        may_begin[pair(head[0], head[1])] = true;
    }
    let mut found = BTreeSet::new();
    for (at, head) in bytes.windows(4).enumerate() {
        if !may_begin[pair(head[0], head[1])] {
            continue;
        }
        let head: &[u8; 4] = head.first_chunk().expect("a window of four");
        let begun = by_head.get(head).into_iter().flatten();
        found.extend(begun.filter(|index| bytes[at..].starts_with(pieces[**index])));
    }
    found
}
