//! Our twin tree, shown to libraries that know nothing of us.

mod reader;

use std::collections::BTreeMap;

use guitai_crypto::sm2::SecretKey;
use guitai_tlog::{Checkpoint, Digest, Edge, Party, Signer, check::Head, note::Note, tiles};

type Written = BTreeMap<String, Vec<u8>>;

/// The files of a log of the first `size` of `entries`, signed by the log and cosigned by a witness.
fn log(log: &Signer, witness: &Signer, entries: &[Vec<u8>]) -> Written {
    let digest = Digest::Sha256;
    let mut edge = Edge::new(digest);
    let mut files = Written::new();
    for entry in entries {
        let full = edge.push(digest.leaf(entry));
        files.extend(
            full.into_iter()
                .map(|it| (it.resource.to_string(), it.bytes)),
        );
    }
    let partial = edge.partial();
    files.extend(partial.map(|it| (it.resource.to_string(), it.bytes)));
    for (index, bundle) in entries.chunks(256).enumerate() {
        let bytes = tiles::bundle(bundle.iter().map(Vec::as_slice)).unwrap();
        let resource = tiles::Resource::Entries {
            index: index as u64,
            width: bundle.len() as u16,
        };
        files.insert(resource.to_string(), bytes);
    }
    let head = Head {
        size: edge.size(),
        root: edge.root(),
    };
    let origin = log.key(digest).name().to_owned();
    let mut note = Note::new(Checkpoint { origin, head }.to_string()).unwrap();
    for signer in [log, witness] {
        let line = signer.sign(digest, note.text(), 1_795_000_000);
        note.add(line).unwrap();
    }
    files.insert("checkpoint".to_owned(), note.to_string().into_bytes());
    files
}

#[test]
fn a_log_of_seventy_thousand_entries_is_read_proven_and_continued_by_a_stock_library() {
    let keys = |party, name| Signer::new(party, name, SecretKey::generate()).unwrap();
    let ours = keys(Party::Log, "bank.example/log");
    let witness = keys(Party::Witness, "b.bank.example/witness");
    let key = ours.key(Digest::Sha256).to_string();
    let entry = |number: u32| format!("{{\"number\":{number}}}").into_bytes();
    let entries: Vec<Vec<u8>> = (0..70_000).map(entry).collect();
    let mut older = None;
    for size in [1, 255, 256, 257, 65_536, 70_000] {
        let written = log(&ours, &witness, &entries[..size]);
        let files = |path: &str| written.get(path).cloned();
        let head = reader::opened(&files, &key).unwrap();
        assert_eq!(head.0, size as u64);
        let read = reader::entries(&files, head.0).unwrap();
        assert!(read == entries[..size], "entries of {size}");
        reader::holds(&files, head, &read).unwrap();
        if let Some(older) = older {
            reader::continues(&files, head, older).unwrap();
        }
        older = Some(head);
    }

    // It is no friend of ours: another key, another entry, another tile, another past.
    let written = log(&ours, &witness, &entries[..700]);
    let files = |path: &str| written.get(path).cloned();
    let head = reader::opened(&files, &key).unwrap();
    let stranger = keys(Party::Log, "bank.example/log");
    let stranger = stranger.key(Digest::Sha256).to_string();
    assert!(reader::opened(&files, &stranger).is_err());
    let mut read = reader::entries(&files, head.0).unwrap();
    read[300].push(b' ');
    assert!(reader::holds(&files, head, &read).is_err());
    let spoilt = |path: &str| {
        let mut bytes = written.get(path).cloned()?;
        if path == "tile/0/001" {
            bytes[40] ^= 1;
        }
        Some(bytes)
    };
    let read = reader::entries(&spoilt, head.0).unwrap();
    assert!(reader::holds(&spoilt, head, &read).is_err());
    assert!(reader::continues(&files, head, (256, head.1)).is_err());
}
