//! Whole commands on directories as `guitai up` makes them.

use std::{
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use clap::Parser as _;
use guitai_crypto::{
    keys::{KeyFile, KeyStore, Purpose, Unlock, WrappedBy, Zone, recording_context},
    sm4::Gcm,
};
use serde_json::Value;

use super::{KEYS_DIR, Keys, PASSPHRASE_FILE, Seat, answer, found};
use crate::{Language, failure::Failure};

type Outcome = Result<(), Box<dyn std::error::Error>>;

const NOW: u64 = 1_790_000_000;

#[derive(clap::Parser)]
struct Typed {
    #[command(subcommand)]
    keys: Keys,
}

fn run(words: &[&str], now_unix: u64) -> Result<String, Failure> {
    let typed = Typed::try_parse_from([&["keys"], words].concat()).expect("sound arguments");
    answer(&typed.keys, Language::En, now_unix)
}

fn in_json(words: &[&str], now_unix: u64) -> Result<Value, Box<dyn std::error::Error>> {
    let text = run(&[words, &["--json"]].concat(), now_unix)?;
    Ok(serde_json::from_str(&text)?)
}

/// Two inner nodes and an edge, founded.
struct World {
    dir: tempfile::TempDir,
}

impl World {
    fn seats() -> Vec<Seat> {
        let seat = |name: &str, zone| Seat {
            name: name.to_owned(),
            zone,
        };
        vec![
            seat("a1-1", Zone::Inner),
            seat("b-1", Zone::Inner),
            seat("edge-a1", Zone::Dmz),
        ]
    }

    fn new() -> Result<Self, Box<dyn std::error::Error>> {
        let dir = tempfile::tempdir()?;
        for seat in Self::seats() {
            std::fs::create_dir(dir.path().join(&seat.name))?;
        }
        for (seat, store) in Self::seats()
            .iter()
            .zip(found(dir.path(), &Self::seats(), NOW)?)
        {
            let node = dir.path().join(&seat.name);
            store.write_key_file(&node.join("identity.key.pem"), "identity", b"private")?;
        }
        Ok(Self { dir })
    }

    fn data(&self) -> &str {
        self.dir.path().to_str().expect("UTF-8")
    }

    fn node(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn open(&self, name: &str) -> Result<KeyStore, guitai_crypto::keys::StoreError> {
        let dir = self.node(name);
        KeyStore::open(&dir.join(KEYS_DIR), Unlock::File(dir.join(PASSPHRASE_FILE)))
    }

    /// A recording's directory with its wrapped key.
    fn record(&self, node: &str, session: &str, wrapped: &[u8]) -> std::io::Result<PathBuf> {
        let dir = self.node(node).join("data/recordings").join(session);
        std::fs::create_dir_all(&dir)?;
        std::fs::write(dir.join("key"), wrapped)?;
        Ok(dir.join("key"))
    }
}

fn private(path: &Path, text: &str) -> std::io::Result<()> {
    std::fs::write(path, text)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))
}

#[test]
fn where_says_which_zone_can_use_each_key_and_edges_hold_their_own_only() -> Outcome {
    let world = World::new()?;
    let nodes = in_json(&["where", "--data", world.data()], NOW)?;
    let nodes = nodes.as_array().ok_or("a list")?;
    assert_eq!(nodes.len(), 3);
    let mut roots = Vec::new();
    for node in nodes {
        assert_eq!(node["verified"], true, "{node}");
        let keys: Vec<&str> = (node["keys"].as_array().ok_or("keys")?.iter())
            .filter_map(|key| key["key"].as_str())
            .collect();
        if node["zone"] == "dmz" {
            assert_eq!(keys, ["root", "kek identity", "private identity"]);
        } else {
            let inner = [
                "root",
                "kek recording",
                "kek call",
                "kek backup",
                "kek storage",
                "kek identity",
                "private identity",
            ];
            assert_eq!(keys, inner);
        }
        roots.push(node["keys"][0]["id"].clone());
    }
    assert_eq!(roots[0], roots[1], "inner nodes share a root");
    assert_ne!(roots[0], roots[2], "an edge has its own");

    let table = run(&["where", "--data", world.data()], NOW)?;
    assert!(table.contains("every key opened and fits"), "{table}");
    // Without the passphrase the files still say what they hold.
    std::fs::remove_file(world.node("b-1").join(PASSPHRASE_FILE))?;
    let nodes = in_json(&["where", "--data", world.data()], NOW)?;
    assert_eq!(nodes[1]["verified"], false);
    assert_eq!(nodes[0]["verified"], true);
    Ok(())
}

#[test]
fn a_kek_rotates_its_recordings_are_rewrapped_and_the_old_one_is_destroyed_late() -> Outcome {
    let world = World::new()?;
    let store = world.open("a1-1")?;
    let context = recording_context("5e55");
    let wrapped = store.wrap(Purpose::Recording, &context, b"data key")?;
    let key = world.record("a1-1", "5e55", &wrapped)?;
    let listed = |purpose: &str| -> Result<Vec<(u64, u64)>, Box<dyn std::error::Error>> {
        let keks = in_json(&["list", "--data", world.data(), "--node", "a1-1"], NOW)?;
        let keks = keks.as_array().ok_or("a list")?.clone();
        let of = keks.iter().filter(|kek| kek["purpose"] == purpose);
        Ok(of
            .filter_map(|kek| Some((kek["generation"].as_u64()?, kek["keys"].as_u64()?)))
            .collect())
    };
    assert_eq!(listed("recording")?, [(1, 1)]);
    run(&["rotate", "recording", "--data", world.data()], NOW)?;
    assert_eq!(listed("recording")?, [(1, 1), (2, 0)]);

    // The first rewrap moves the key; nothing is destroyed while a node may still use the old KEK.
    let early = run(
        &["rewrap", "--destroy-old", "--data", world.data()],
        NOW + 59,
    );
    let early = early.expect_err("too early").to_string();
    assert!(early.contains("DESTROY_AFTER_SECONDS"), "{early}");
    assert_eq!(listed("recording")?, [(1, 0), (2, 1)]);
    let done = in_json(
        &["rewrap", "--destroy-old", "--data", world.data()],
        NOW + 60,
    )?;
    assert_eq!(done[0]["destroyed"], 1);
    assert_eq!(listed("recording")?, [(2, 1)]);
    let store = world.open("a1-1")?;
    let opened = store.unwrap(Purpose::Recording, &context, &std::fs::read(key)?)?;
    assert_eq!(opened.as_slice(), b"data key");
    Ok(())
}

/// A private key that the commands do not know would stay under a KEK that they destroy.
#[test]
fn every_private_key_file_outlives_the_destruction_of_its_old_kek() -> Outcome {
    let world = World::new()?;
    let files = [
        ("identity.key.pem", "identity"),
        ("media.key.pem", "media"),
        ("token.key.pem", "token"),
        ("seal.key.pem", "seal"),
        ("tsa.key.pem", "tsa"),
        ("log.key.pem", "log"),
        ("witness.key.pem", "witness"),
    ];
    let node = world.node("a1-1");
    for (file, name) in files {
        let store = world.open("a1-1")?;
        store.write_key_file(&node.join(file), name, name.as_bytes())?;
    }
    run(&["rotate", "identity", "--data", world.data()], NOW)?;
    let words = ["rewrap", "--destroy-old", "--data", world.data()];
    let done = in_json(&words, NOW + 60)?;
    assert_eq!(done[0]["key_files"], files.len());
    assert_eq!(done[0]["destroyed"], 1);
    for (file, name) in files {
        let key = world.open("a1-1")?.read_key_file(&node.join(file), name)?;
        assert!(
            matches!(key, KeyFile::Wrapped(key) if key.as_slice() == name.as_bytes()),
            "{file}"
        );
    }
    Ok(())
}

#[test]
fn a_root_rotation_that_was_cut_short_is_finished_by_the_next() -> Outcome {
    let world = World::new()?;
    let before = world.open("edge-a1")?.root_id();
    // As a crash between two nodes leaves it.
    run(
        &["rotate", "root", "--data", world.data(), "--node", "a1-1"],
        NOW,
    )?;
    let newest = world.open("a1-1")?.root_id();
    assert_ne!(world.open("b-1")?.root_id(), newest);
    run(&["rotate", "root", "--data", world.data()], NOW)?;
    assert_eq!(world.open("a1-1")?.root_id(), newest, "no third root");
    assert_eq!(world.open("b-1")?.root_id(), newest);
    assert_ne!(world.open("edge-a1")?.root_id(), before);
    for node in ["a1-1", "b-1", "edge-a1"] {
        let path = world.node(node).join("identity.key.pem");
        let key = world.open(node)?.read_key_file(&path, "identity")?;
        assert!(matches!(key, KeyFile::Wrapped(key) if key.as_slice() == b"private"));
    }
    Ok(())
}

#[test]
fn officers_restore_a_lost_root_and_every_wrong_way_is_refused() -> Outcome {
    let world = World::new()?;
    let lost = world.open("a1-1")?;
    let wrapped = lost.wrap(Purpose::Recording, b"", b"data key")?;
    let officers = tempfile::tempdir()?;
    let at = |name: String| {
        officers
            .path()
            .join(name)
            .to_str()
            .expect("UTF-8")
            .to_owned()
    };
    for officer in 1..=3 {
        private(
            Path::new(&at(format!("pass-{officer}"))),
            &format!("officer number {officer}\n"),
        )?;
    }
    let out = at("shares".to_owned());
    let (one, two, three) = (
        at("pass-1".into()),
        at("pass-2".into()),
        at("pass-3".into()),
    );
    let mut words = vec![
        "split",
        "--data",
        world.data(),
        "--shares",
        "3",
        "--threshold",
        "2",
    ];
    words.extend(["--out", &out]);
    for file in [&one, &two, &three] {
        words.extend(["--officer-passphrase-file", file]);
    }
    let written = in_json(&words, NOW)?;
    assert_eq!(written["files"].as_array().map(Vec::len), Some(3));
    assert!(run(&words, NOW).is_err(), "shares are never overwritten");
    let share = |number: u8| format!("{out}/share-{number}.txt");
    let mode = std::fs::metadata(share(1))?.permissions().mode() & 0o777;
    assert_eq!(mode, 0o600);

    for node in ["a1-1", "b-1"] {
        std::fs::remove_file(world.node(node).join("keys/root"))?;
        std::fs::remove_file(world.node(node).join(PASSPHRASE_FILE))?;
    }
    let new = at("new".to_owned());
    private(Path::new(&new), "the passphrase from now on")?;
    let combine = |shares: &[(String, &String)]| {
        let mut words = vec![
            "combine",
            "--data",
            world.data(),
            "--new-passphrase-file",
            &new,
        ];
        for (share, passphrase) in shares {
            words.extend(["--share", share, "--officer-passphrase-file", passphrase]);
        }
        run(&words, NOW)
    };
    let refused = |shares: &[(String, &String)], why: &str| {
        let error = combine(shares).expect_err(why).to_string();
        assert!(error.contains(why), "{error}");
    };
    refused(&[(share(1), &one)], "fewer than the 2");
    refused(&[(share(1), &one), (share(1), &one)], "twice");
    refused(
        &[(share(1), &one), (share(2), &three)],
        "share 2 does not open",
    );
    let mistyped = at("mistyped".to_owned());
    let text = std::fs::read_to_string(share(2))?;
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    let other = if lines[2].starts_with('0') { "1" } else { "0" };
    lines[2].replace_range(0..1, other);
    std::fs::write(&mistyped, lines.join("\n"))?;
    refused(&[(share(1), &one), (mistyped, &two)], "group 7 is mistyped");
    assert!(
        !world.node("a1-1").join("keys/root").exists(),
        "nothing was written"
    );

    combine(&[(share(3), &three), (share(1), &one)])?;
    for node in ["a1-1", "b-1"] {
        assert_eq!(world.open(node)?.root_id(), lost.root_id());
    }
    let key = world
        .open("a1-1")?
        .unwrap(Purpose::Recording, b"", &wrapped)?;
    assert_eq!(key.as_slice(), b"data key");
    world.open("edge-a1")?;
    Ok(())
}

#[test]
fn a_directory_of_the_release_before_is_taken_over_once() -> Outcome {
    let dir = tempfile::tempdir()?;
    let data = dir.path().to_str().ok_or("path")?;
    let profile = include_str!("../../../../profiles/demo.toml");
    std::fs::write(dir.path().join("profile.toml"), profile)?;
    let parsed: guitai_types::profile::Profile = toml::from_str(profile)?;
    let kek = "-----BEGIN GUITAI KEY ENCRYPTION KEY-----\nBQUFBQUFBQUFBQUFBQUFBQ==\n-----END GUITAI KEY ENCRYPTION KEY-----\n";
    let recorder = parsed
        .nodes
        .iter()
        .find(|node| node.roles.contains(&guitai_types::Role::Recorder))
        .ok_or("a recorder")?;
    let old = |node: &str, file: &str| dir.path().join(node).join(file);
    for node in &parsed.nodes {
        std::fs::create_dir(dir.path().join(node.name.as_str()))?;
        private(
            &old(node.name.as_str(), "identity.key.pem"),
            "-----BEGIN PRIVATE KEY-----\n",
        )?;
    }
    std::fs::create_dir(dir.path().join("pki"))?;
    private(&old("pki", "kek.bin"), kek)?;
    let name = recorder.name.as_str();
    private(&old(name, "kek.bin"), kek)?;
    // A data key as the release before wrapped it: version 1, nonce, ciphertext, tag.
    let mut sealed = b"sixteen byte key".to_vec();
    let aad = [b"guitai wrapped key 1\0", &recording_context("5e55")[..]].concat();
    let tag = Gcm::new(&[5; 16]).seal_in_place(&[3; 12], &aad, &mut sealed);
    let wrapped = [&[1][..], &[3; 12], &sealed, &tag].concat();
    std::fs::create_dir_all(old(name, "data/recordings/5e55"))?;
    std::fs::write(old(name, "data/recordings/5e55/key"), &wrapped)?;

    assert!(
        run(&["where", "--data", data], NOW).is_err(),
        "no key store yet"
    );
    assert_eq!(in_json(&["init", "--data", data], NOW)?["changed"], true);
    assert_eq!(in_json(&["init", "--data", data], NOW)?["changed"], false);
    assert!(!old(name, "kek.bin").exists() && !old("pki", "kek.bin").exists());
    let text = std::fs::read_to_string(old(name, "identity.key.pem"))?;
    assert!(text.contains("GUITAI WRAPPED KEY"), "{text}");
    let unlock = Unlock::File(old(name, PASSPHRASE_FILE));
    let store = KeyStore::open(&old(name, KEYS_DIR), unlock)?;
    let context = recording_context("5e55");
    let opened = store.unwrap(Purpose::Recording, &context, &wrapped)?;
    assert_eq!(opened.as_slice(), b"sixteen byte key");
    run(&["rewrap", "--data", data], NOW)?;
    let moved = std::fs::read(old(name, "data/recordings/5e55/key"))?;
    assert!(matches!(
        WrappedBy::of(&moved)?,
        WrappedBy::Kek { generation: 1, .. }
    ));
    let opened = store.unwrap(Purpose::Recording, &context, &moved)?;
    assert_eq!(opened.as_slice(), b"sixteen byte key");
    Ok(())
}
