//! Whole key stores: what survives, what is refused, what is never said.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use super::place::{Memory, Place as _};
use super::*;

const NOW: u64 = 1_790_000_000;
const PURPOSES: [Purpose; 2] = [Purpose::Recording, Purpose::Identity];

fn pass(text: &str) -> Unlock {
    Unlock::Given(Passphrase::new(text).unwrap())
}

fn unlock() -> Unlock {
    pass("correct horse battery")
}

fn create(dir: &Path) -> KeyStore {
    let root = NewRoot::software(Cost::MIN);
    KeyStore::create(dir, "a1-1", Zone::Inner, &PURPOSES, root, unlock(), NOW).unwrap()
}

/// An error with all its causes.
fn words(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        text = format!("{text}: {inner}");
        source = inner.source();
    }
    text
}

#[test]
fn a_store_opens_again_and_data_keys_open_in_their_own_place_only() {
    let dir = tempfile::tempdir().unwrap();
    let keys = dir.path().join("keys");
    let store = create(&keys);
    let wrapped = store
        .wrap(Purpose::Recording, b"recording 1", b"sixteen byte key")
        .unwrap();
    let again = KeyStore::open(&keys, unlock()).unwrap();
    let open = |purpose, context: &[u8], wrapped: &[u8]| {
        again
            .unwrap(purpose, context, wrapped)
            .map(|key| key.to_vec())
    };
    assert_eq!(
        open(Purpose::Recording, b"recording 1", &wrapped).unwrap(),
        b"sixteen byte key"
    );
    assert!(matches!(
        open(Purpose::Recording, b"recording 2", &wrapped),
        Err(DataKeyError::NotOpen(_))
    ));
    assert!(matches!(
        open(Purpose::Identity, b"recording 1", &wrapped),
        Err(DataKeyError::Unknown { .. })
    ));
    assert!(matches!(
        store.wrap(Purpose::Backup, b"", b"key"),
        Err(DataKeyError::NoKek {
            purpose: Purpose::Backup
        })
    ));
    for index in 0..wrapped.len() {
        let mut altered = wrapped.clone();
        altered[index] ^= 1;
        open(Purpose::Recording, b"recording 1", &altered).unwrap_err();
        open(Purpose::Recording, b"recording 1", &wrapped[..index]).unwrap_err();
    }
}

#[test]
fn another_passphrase_opens_nothing_and_an_existing_store_is_never_overwritten() {
    let dir = tempfile::tempdir().unwrap();
    let keys = dir.path().join("keys");
    create(&keys);
    let refused = KeyStore::open(&keys, pass("correct horse batterz")).unwrap_err();
    assert!(matches!(refused, StoreError::Locked { .. }), "{refused}");
    let root = NewRoot::software(Cost::MIN);
    let twice = KeyStore::create(&keys, "a1-1", Zone::Inner, &PURPOSES, root, unlock(), NOW);
    assert!(matches!(twice, Err(StoreError::Exists { .. })));
    assert!(matches!(
        KeyStore::open(&dir.path().join("nowhere"), unlock()),
        Err(StoreError::Absent { .. })
    ));
}

#[test]
fn files_are_private() {
    let dir = tempfile::tempdir().unwrap();
    let keys = dir.path().join("keys");
    create(&keys);
    let chmod = |path: &Path, mode| {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    };
    for (name, sound, open) in [
        ("root", 0o600, 0o640),
        ("ring", 0o600, 0o604),
        ("", 0o700, 0o750),
    ] {
        let path = keys.join(name);
        let mode = std::fs::metadata(&path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, sound, "{name}");
        chmod(&path, open);
        let refused = words(&KeyStore::open(&keys, unlock()).unwrap_err());
        assert!(refused.contains(&format!("{open:03o}")), "{refused}");
        chmod(&path, sound);
    }
    KeyStore::open(&keys, unlock()).unwrap();
}

#[test]
fn every_wrong_byte_of_root_and_ring_is_refused_with_a_typed_error() {
    let dir = tempfile::tempdir().unwrap();
    let keys = dir.path().join("keys");
    create(&keys);
    for name in ["root", "ring"] {
        let path = keys.join(name);
        let honest = std::fs::read(&path).unwrap();
        // Every fifth byte, another fifth each time would add nothing but Argon2.
        for index in (0..honest.len()).step_by(5) {
            let mut altered = honest.clone();
            altered[index] ^= 1;
            std::fs::write(&path, &altered).unwrap();
            let refused = KeyStore::open(&keys, unlock()).unwrap_err();
            let known = matches!(
                refused,
                StoreError::Root(_)
                    | StoreError::Ring { .. }
                    | StoreError::Locked { .. }
                    | StoreError::AnotherRoot { .. }
            );
            assert!(known, "{name} byte {index}: {}", words(&refused));
        }
        for cut in [0, 1, honest.len() / 2, honest.len() - 1] {
            std::fs::write(&path, &honest[..cut]).unwrap();
            KeyStore::open(&keys, unlock()).unwrap_err();
        }
        let oversize = vec![b'-'; KEY_FILE_BYTES_MAX + 1];
        std::fs::write(&path, oversize).unwrap();
        let refused = KeyStore::open(&keys, unlock()).unwrap_err();
        assert!(words(&refused).contains("262144"), "{}", words(&refused));
        std::fs::write(&path, &honest).unwrap();
    }
    let (root, ring) = (keys.join("root"), keys.join("ring"));
    let (root_text, ring_text) = (std::fs::read(&root).unwrap(), std::fs::read(&ring).unwrap());
    assert!(matches!(
        RootFile::parse(&ring_text),
        Err(FormatError::Label { .. })
    ));
    assert!(matches!(
        RingFile::parse(&root_text),
        Err(FormatError::Label { .. })
    ));
}

#[test]
fn a_later_release_s_file_is_told_from_a_damaged_one() {
    let dir = tempfile::tempdir().unwrap();
    let keys = dir.path().join("keys");
    create(&keys);
    for name in ["root", "ring"] {
        let text = std::fs::read(keys.join(name)).unwrap();
        let (label, mut bytes) = der::pem::decode_vec(&text).unwrap();
        // The version is the first field: INTEGER, one byte.
        let at = bytes.windows(3).position(|w| w == [2, 1, 1]).unwrap();
        bytes[at + 2] = 9;
        let later = der::pem::encode_string(label, der::pem::LineEnding::LF, &bytes).unwrap();
        let refused = match name {
            "root" => RootFile::parse(later.as_bytes()).unwrap_err(),
            _ => RingFile::parse(later.as_bytes()).unwrap_err(),
        };
        assert!(
            matches!(
                refused,
                FormatError::Version {
                    found: 9,
                    wanted: 1,
                    ..
                }
            ),
            "{refused}"
        );
    }
}

#[test]
fn a_hostile_root_file_cannot_ask_for_an_absurd_cost() {
    let dir = tempfile::tempdir().unwrap();
    let keys = dir.path().join("keys");
    let store = create(&keys);
    let mut root = store.root();
    let file::RootBody::Software(sealed) = &mut root.body else {
        panic!("a software root")
    };
    sealed.cost = Cost::MAX;
    let text = root.to_text();
    let (_, bytes) = der::pem::decode_vec(text.as_bytes()).unwrap();
    // 1 GiB in KiB, as INTEGER of three bytes; the next larger power is still three bytes.
    let at = bytes
        .windows(5)
        .position(|w| w == [2, 3, 0x10, 0, 0])
        .unwrap();
    let mut absurd = bytes;
    absurd[at + 2] = 0x40;
    let absurd =
        der::pem::encode_string("GUITAI ROOT KEY", der::pem::LineEnding::LF, &absurd).unwrap();
    let refused = RootFile::parse(absurd.as_bytes()).unwrap_err();
    assert!(matches!(refused, FormatError::Cost(_)), "{refused}");
}

#[test]
fn nothing_can_be_taken_out_of_a_ring_nor_put_into_another_node_s() {
    let dir = tempfile::tempdir().unwrap();
    let keys = dir.path().join("keys");
    let store = create(&keys);
    store.rotate_kek(Purpose::Recording, NOW).unwrap();
    let path = keys.join("ring");
    let honest = RingFile::parse(&std::fs::read(&path).unwrap()).unwrap();
    let refused = |ring: &RingFile, why: &str| {
        std::fs::write(&path, ring.to_text()).unwrap();
        let refused = KeyStore::open(&keys, unlock()).unwrap_err();
        assert!(
            matches!(refused, StoreError::Ring { .. }),
            "{why}: {refused}"
        );
    };
    let mut shorter = honest.clone();
    shorter.keks.remove(1);
    refused(&shorter, "a KEK taken out");
    let mut renamed = honest.clone();
    renamed.node = "a1-2".to_owned();
    refused(&renamed, "another node's");
    let mut later = honest.clone();
    later.keks[0].created_unix += 1;
    refused(&later, "another date");
    let mut twice = honest.clone();
    twice.keks.insert(0, honest.keks[0].clone());
    refused(&twice, "one twice");
    let mut edge = honest.clone();
    edge.zone = Zone::Dmz;
    refused(&edge, "an edge with a KEK of recordings");
    std::fs::write(&path, honest.to_text()).unwrap();
    KeyStore::open(&keys, unlock()).unwrap();
}

#[test]
fn an_edge_holds_no_kek_but_its_own_identity_s() {
    let dir = tempfile::tempdir().unwrap();
    let root = NewRoot::software(Cost::MIN);
    let edge = dir.path().join("edge");
    let own = [Purpose::Identity];
    let store = KeyStore::create(&edge, "edge-a1", Zone::Dmz, &own, root, unlock(), NOW).unwrap();
    for purpose in Purpose::ALL {
        let made = store.rotate_kek(purpose, NOW);
        let is_refused = matches!(made, Err(StoreError::Zone { .. }));
        assert_eq!(is_refused, purpose != Purpose::Identity, "{purpose}");
    }
}

#[test]
fn each_layer_rotates_while_another_process_has_the_store_open() {
    let dir = tempfile::tempdir().unwrap();
    let keys = dir.path().join("keys");
    let store = create(&keys);
    let running = KeyStore::open(&keys, unlock()).unwrap();
    let context = recording_context("5e55");
    let old = running
        .wrap(Purpose::Recording, &context, b"data key")
        .unwrap();

    assert_eq!(store.rotate_kek(Purpose::Recording, NOW + 1).unwrap(), 2);
    let new = store
        .wrap(Purpose::Recording, &context, b"data key")
        .unwrap();
    // The running process meets a KEK it has not heard of, looks, and goes on with it.
    for wrapped in [&old, &new] {
        let key = running
            .unwrap(Purpose::Recording, &context, wrapped)
            .unwrap();
        assert_eq!(key.as_slice(), b"data key");
    }
    assert_eq!(running.generation(Purpose::Recording), Some(2));
    assert!(!running.refresh().unwrap());
    let moved = running
        .rewrap(Purpose::Recording, &context, &old)
        .unwrap()
        .unwrap();
    assert_eq!(
        running
            .rewrap(Purpose::Recording, &context, &moved)
            .unwrap(),
        None
    );

    let first_root = store.root_id();
    let second_root = store
        .rotate_root(NewRoot::software(Cost::MIN), &unlock(), NOW + 2)
        .unwrap();
    assert_ne!(first_root, second_root);
    assert!(running.refresh().unwrap());
    assert_eq!(running.root_id(), second_root);
    assert_eq!(running.root().name.generation, 2);
    for wrapped in [&old, &new, &moved] {
        running
            .unwrap(Purpose::Recording, &context, wrapped)
            .unwrap();
    }

    assert_eq!(running.destroy_old(Purpose::Recording).unwrap(), 1);
    store.refresh().unwrap();
    store.unwrap(Purpose::Recording, &context, &moved).unwrap();
    let gone = store
        .unwrap(Purpose::Recording, &context, &old)
        .unwrap_err();
    assert!(
        matches!(gone, DataKeyError::Unknown { generation: 1, .. }),
        "{gone}"
    );
    store.verify().unwrap();
}

/// A crash between any two changes of a file, before and after which every data key ever wrapped
/// opens, and the next rotation works.
#[test]
fn a_crash_at_any_point_of_any_rotation_loses_nothing() {
    let context = recording_context("5e55");
    for rotation in ["root", "kek"] {
        for changes in 0..=4 {
            let memory = Memory::default();
            let store = KeyStore::create_at(
                Box::new(memory.clone()),
                "a1-1",
                Zone::Inner,
                &PURPOSES,
                NewRoot::software(Cost::MIN),
                unlock(),
                NOW,
            )
            .unwrap();
            let wrapped = store
                .wrap(Purpose::Recording, &context, b"data key")
                .unwrap();
            let rotate = |store: &KeyStore| match rotation {
                "root" => store
                    .rotate_root(NewRoot::software(Cost::MIN), &unlock(), NOW)
                    .map(drop),
                _ => store.rotate_kek(Purpose::Recording, NOW).map(drop),
            };
            memory.cut_after(Some(changes));
            let crashed = rotate(&store).is_err();
            let needed = if rotation == "root" { 3 } else { 1 };
            assert_eq!(crashed, changes < needed, "{rotation} after {changes}");
            drop(store);
            memory.cut_after(None);
            let again = KeyStore::open_at(Box::new(memory.clone()), unlock())
                .unwrap_or_else(|error| panic!("{rotation} after {changes}: {}", words(&error)));
            let key = again
                .unwrap(Purpose::Recording, &context, &wrapped)
                .unwrap();
            assert_eq!(key.as_slice(), b"data key");
            rotate(&again).unwrap();
            assert!(memory.read("root.next").unwrap().is_none(), "tidied up");
            let last = KeyStore::open_at(Box::new(memory), unlock()).unwrap();
            last.unwrap(Purpose::Recording, &context, &wrapped).unwrap();
        }
    }
}

#[test]
fn what_a_crash_leaves_of_a_half_written_file_is_ignored_and_replaced() {
    let dir = tempfile::tempdir().unwrap();
    let keys = dir.path().join("keys");
    let store = create(&keys);
    std::fs::write(keys.join("ring.new"), "-----BEGIN GUITAI KEY R").unwrap();
    KeyStore::open(&keys, unlock()).unwrap();
    store.rotate_kek(Purpose::Recording, NOW).unwrap();
    assert!(!keys.join("ring.new").exists());
    let mode = std::fs::metadata(keys.join("ring"))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600, "not the mode of what was left");
}

#[test]
fn a_lost_root_is_restored_from_its_secret_and_no_other() {
    let dir = tempfile::tempdir().unwrap();
    let keys = dir.path().join("keys");
    let store = create(&keys);
    let (secret, name) = (store.export_root().unwrap(), store.root());
    let wrapped = store.wrap(Purpose::Recording, b"", b"data key").unwrap();
    std::fs::remove_file(keys.join("root")).unwrap();
    assert!(matches!(
        KeyStore::open(&keys, unlock()),
        Err(StoreError::Absent { .. })
    ));
    let new_pass = pass("another passphrase");
    let restored = |secret| {
        let name = name.name;
        NewRoot::restored(Cost::MIN, RestoredRoot { name, secret })
    };
    let wrong = restored(zeroize::Zeroizing::new([9; 16]));
    let refused = KeyStore::restore_root(&keys, wrong, new_pass.clone()).unwrap_err();
    assert!(matches!(refused, StoreError::Ring { .. }), "{refused}");
    let other = NewRoot::software(Cost::MIN);
    let refused = KeyStore::restore_root(&keys, other, new_pass.clone()).unwrap_err();
    assert!(
        matches!(refused, StoreError::AnotherRoot { .. }),
        "{refused}"
    );
    assert!(!keys.join("root").exists(), "nothing was written");
    let again = KeyStore::restore_root(&keys, restored(secret), new_pass.clone()).unwrap();
    assert_eq!(
        again
            .unwrap(Purpose::Recording, b"", &wrapped)
            .unwrap()
            .as_slice(),
        b"data key"
    );
    KeyStore::open(&keys, new_pass).unwrap();
}

#[test]
fn the_release_before_is_read_and_nothing_new_goes_under_its_key() {
    let dir = tempfile::tempdir().unwrap();
    let keys = dir.path().join("keys");
    let store = create(&keys);
    // Written by the release before: KEK of sixteen 5s, data key "sixteen byte key", nonce of 3s.
    let old_file = "-----BEGIN GUITAI KEY ENCRYPTION KEY-----\nBQUFBQUFBQUFBQUFBQUFBQ==\n-----END GUITAI KEY ENCRYPTION KEY-----\n";
    let context = recording_context("5e55");
    let mut sealed = b"sixteen byte key".to_vec();
    let aad = [b"guitai wrapped key 1\0", &context[..]].concat();
    let tag = crate::sm4::Gcm::new(&[5; 16]).seal_in_place(&[3; 12], &aad, &mut sealed);
    let wrapped = [&[1][..], &[3; 12], &sealed, &tag].concat();

    let not_yet = store
        .unwrap(Purpose::Recording, &context, &wrapped)
        .unwrap_err();
    assert!(matches!(not_yet, DataKeyError::NotImported), "{not_yet}");
    let path = dir.path().join("kek.bin");
    std::fs::write(&path, old_file).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    for _ in 0..2 {
        store
            .import_version_1(Purpose::Recording, &path, NOW)
            .unwrap();
    }
    let key = store
        .unwrap(Purpose::Recording, &context, &wrapped)
        .unwrap();
    assert_eq!(key.as_slice(), b"sixteen byte key");
    assert_eq!(store.generation(Purpose::Recording), Some(1));
    let moved = store
        .rewrap(Purpose::Recording, &context, &wrapped)
        .unwrap()
        .unwrap();
    assert!(matches!(
        WrappedBy::of(&moved).unwrap(),
        WrappedBy::Kek { generation: 1, .. }
    ));
    let key = store.unwrap(Purpose::Recording, &context, &moved).unwrap();
    assert_eq!(key.as_slice(), b"sixteen byte key");
}

#[test]
fn private_key_files_are_wrapped_and_cannot_be_swapped() {
    let dir = tempfile::tempdir().unwrap();
    let store = create(&dir.path().join("keys"));
    let path = dir.path().join("identity.key.pem");
    std::fs::write(&path, "-----BEGIN PRIVATE KEY-----\n").unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    let read = |name| store.read_key_file(&path, name);
    assert!(matches!(read("identity"), Ok(KeyFile::Plain(_))));
    assert!(store.rewrap_key_file(&path, "identity").unwrap());
    assert!(!store.rewrap_key_file(&path, "identity").unwrap());
    let text = std::fs::read_to_string(&path).unwrap();
    assert!(!text.contains("PRIVATE"), "{text}");
    match read("identity").unwrap() {
        KeyFile::Wrapped(key) => assert_eq!(key.as_slice(), b"-----BEGIN PRIVATE KEY-----\n"),
        KeyFile::Plain(_) => panic!("it was wrapped"),
    }
    assert!(matches!(read("seal"), Err(StoreError::AnotherKey { .. })));
    store.rotate_kek(Purpose::Identity, NOW).unwrap();
    assert!(store.rewrap_key_file(&path, "identity").unwrap());
    assert!(matches!(read("identity"), Ok(KeyFile::Wrapped(_))));
}

#[test]
fn no_secret_in_debug_or_errors() {
    let dir = tempfile::tempdir().unwrap();
    let keys = dir.path().join("keys");
    let store = create(&keys);
    let secret = store.export_root().unwrap();
    let passphrase = Passphrase::new("correct horse battery").unwrap();
    let refused = KeyStore::open(&keys, pass("wrong horse battery")).unwrap_err();
    let name = store.root().name;
    let root = RestoredRoot {
        name,
        secret: secret.clone(),
    };
    let said = format!(
        "{store:?} {passphrase:?} {:?} {refused:?} {} {:?} {:?} {:?}",
        unlock(),
        words(&refused),
        NewRoot::restored(Cost::MIN, root),
        KeyFile::Plain(secret.to_vec().into()),
        software::SoftwareRoot::new(secret.clone()),
    );
    let listed = format!("{:?}", secret.as_slice());
    let banned = [
        "horse".to_owned(),
        hex::encode(secret.as_slice()),
        listed.trim_matches(['[', ']']).to_owned(),
    ];
    for secret in banned {
        assert!(!said.contains(&secret), "{said}");
    }
}
