//! Writes honest inputs for the targets to start from: for those named as arguments, else for all.
//!
//! `certificate` and `record` go together, with the root that the targets trust: everything in their corpus
//! that chains to the old root becomes a rejected input. Run it when a format has changed, and fuzz anew.

use std::collections::BTreeMap;
use std::path::Path;

use guitai_crypto::keys::{
    Cost, KeyStore, NewRoot, Passphrase, Purpose, RootFile, SealedShare, Unlock, Zone, split,
};
use guitai_crypto::sframe::{Sealer, Suite};
use guitai_crypto::x509::{
    Authority, Identity, Purpose as CertificatePurpose, Reason, Request, Revoked, Subject, Usage,
    certificates_to_pem, crl_to_pem, request_to_pem,
};
use guitai_crypto::{cms, sm2};
use guitai_fuzz::targets::{ALL, KEY, KEY_FILE_LABELS, NAME, NOW, join, share_text};

const HERE: &str = env!("CARGO_MANIFEST_DIR");

fn main() {
    let named: Vec<String> = std::env::args().skip(1).collect();
    let known = |name: &String| ALL.iter().any(|(target, _)| target == name);
    assert!(named.iter().all(known), "an argument is not a target");
    let is_wanted = |target: &str| named.is_empty() || named.iter().any(|name| name == target);
    if is_wanted("certificate") || is_wanted("record") {
        connections();
    }
    if is_wanted("sframe") {
        frames();
    }
    if is_wanted("key_file") {
        key_files();
    }
    if is_wanted("sdf") {
        device_answers();
    }
}

fn write(target: &str, name: &str, choice: u8, bytes: &[u8]) {
    let dir = Path::new(HERE).join("corpus").join(target);
    std::fs::create_dir_all(&dir).expect("the corpus is writable");
    let seed = [&[choice][..], bytes].concat();
    std::fs::write(dir.join(format!("seed-{name}")), seed).expect("the corpus is writable");
}

/// The root, certificates, requests, lists, and what of them a connection carries.
fn connections() {
    let authority = Authority::create("Guitai Root", "cluster", 30, NOW).expect("a root");
    let root = authority.certificate_der().to_vec();
    std::fs::write(Path::new(HERE).join("fixtures/root.der"), &root)
        .expect("fixtures are writable");
    let key = sm2::SecretKey::generate();
    let subject = Subject {
        common_name: "a1-1".into(),
        organization: "cluster".into(),
        dns_names: vec![NAME.into()],
    };
    for (name, usage) in ["tls", "documents", "service", "staff", "encryption"]
        .into_iter()
        .zip(Usage::ALL)
    {
        let leaf = authority
            .issue(&subject, &key.public(), usage, 30, NOW)
            .expect("a leaf");
        write(
            "certificate",
            &format!("chain-{name}"),
            0,
            &join(&[&leaf, &root]),
        );
        write("certificate", &format!("leaf-{name}"), 1, &leaf);
    }
    let leaf = authority
        .issue(&subject, &key.public(), Usage::Documents, 30, NOW)
        .expect("a leaf");
    let request =
        Request::create(&subject, CertificatePurpose::Leaf(Usage::Tls), &key).expect("a request");
    write("certificate", "request", 2, &request);
    let revoked = Revoked {
        at_unix: NOW,
        reason: Reason::KeyCompromise,
    };
    let entries = BTreeMap::from([(vec![1, 2, 3], revoked)]);
    let list = authority
        .issue_crl(5, &entries, NOW, NOW + 86_400)
        .expect("a list");
    write("certificate", "crl", 3, &list);
    write("certificate", "leaf-and-crl", 6, &join(&[&leaf, &list]));
    let identity = Identity {
        chain: vec![leaf.clone()],
        key: key.clone(),
    };
    let signature = cms::sign_detached(&identity, b"content", NOW).expect("a signature file");
    write("certificate", "cms", 4, &signature);
    write(
        "certificate",
        "pem",
        5,
        certificates_to_pem(&[leaf.clone()]).as_bytes(),
    );
    write(
        "certificate",
        "request-pem",
        5,
        request_to_pem(&request).as_bytes(),
    );
    write("certificate", "crl-pem", 5, crl_to_pem(&list).as_bytes());

    let tls = authority
        .issue(&subject, &key.public(), Usage::Tls, 30, NOW)
        .expect("a leaf");
    write("record", "peer", 5, &join(&[&tls, &root]));
    let point = key.public().to_point();
    write(
        "record",
        "signature",
        5,
        &join(&[&point, b"message", &key.sign(b"message")]),
    );
    write("record", "plain", 1, b"GET / HTTP/1.1\r\n");
    write("record", "packet", 2, &[0x5a; 64]);
}

/// Frames of both suites, and a ring that is rekeyed.
fn frames() {
    for (suite, choice, name) in [
        (Suite::Sm4GcmSm3_128, 0, "frame"),
        (Suite::Sm4CtrHmacSm3_80, 2, "frame-short-tag"),
    ] {
        let mut sealer = Sealer::new(suite, &KEY, 1000, 1 << 50);
        let frame = sealer.seal(b"video", b"twenty milliseconds");
        write("sframe", name, choice, &frame);
        let empty = Sealer::new(suite, &KEY, 1, 1).seal(b"video", b"");
        write("sframe", &format!("{name}-empty"), choice, &empty);
        let plain = [0x11; 48];
        write("sframe", &format!("{name}-plain"), choice | 1, &plain);
        // Steps as `ring` reads them: two epochs, frames of both and of one to come, time, frames again.
        let step = |what: u8, number: u32| [&[what][..], &number.to_be_bytes()].concat();
        let steps = [
            step(0, 1),
            step(2, 1),
            step(0, 2),
            step(6, 1),
            step(2, 0),
            step(2, 3),
            step(1, 4000),
            step(2, 1),
            step(3, u32::try_from(frame.len()).expect("a frame is short")),
            frame,
            step(6, 0),
        ];
        write(
            "sframe",
            &format!("{name}-ring"),
            choice | 4,
            &steps.concat(),
        );
    }
}

/// Every kind of file that holds a key.
fn key_files() {
    let key = sm2::SecretKey::generate();
    write("key_file", "der", 0, &key.to_pkcs8_der());
    write("key_file", "pem", 1, key.to_pkcs8_pem().as_bytes());
    let sealed = key.public().encrypt(&[7; 32]).expect("32 bytes");
    write("key_file", "sealed", 3, &sealed);
    write("key_file", "signature", 3, &key.sign(b"message"));

    let dir = std::env::temp_dir().join(format!("guitai-seeds-{}", std::process::id()));
    let passphrase = || Passphrase::new("an officer's words").expect("long enough");
    let purposes = [Purpose::Recording, Purpose::Backup, Purpose::Identity];
    let root = NewRoot::software(Cost::MIN);
    let unlock = Unlock::Given(passphrase());
    let keys = KeyStore::create(&dir, "a1-1", Zone::Inner, &purposes, root, unlock, NOW)
        .expect("a store is made");
    keys.rotate_kek(Purpose::Backup, NOW + 1)
        .expect("the KEK is rotated");
    let file = dir.join("tls.key");
    keys.write_key_file(&file, "tls", &key.to_pkcs8_der())
        .expect("a key file is written");
    let files = [dir.join("root"), dir.join("ring"), file];
    for ((file, label), name) in files.iter().zip(0..).zip(["root", "ring", "wrapped-file"]) {
        let text = std::fs::read(file).expect("the store has it");
        write("key_file", name, 4, &text);
        let (found, contents) = der::pem::decode_vec(&text).expect("it is PEM");
        assert_eq!(found, KEY_FILE_LABELS[usize::from(label)]);
        let inside = [&[label][..], &contents].concat();
        write("key_file", &format!("{name}-inside"), 6, &inside);
    }
    write(
        "key_file",
        "root-sdf-inside",
        6,
        &root_file(
            2,
            &[
                (0x0c, b"/usr/lib/libsdf.so"),
                (0x02, &[1]),
                (0x04, &[0x5a; 64]),
            ],
        ),
    );
    write(
        "key_file",
        "root-pkcs11-inside",
        6,
        &root_file(
            3,
            &[
                (0x0c, b"/usr/lib/libpkcs11.so"),
                (0x0c, b"guitai"),
                (0x0c, b"root"),
            ],
        ),
    );
    let wrapped = keys
        .wrap(Purpose::Recording, b"context", b"0123456789abcdef")
        .expect("a key is wrapped");
    write("key_file", "wrapped", 2, &wrapped);
    write("key_file", "wrap", 8, b"cx0123456789abcdef");

    let secret = keys.export_root().expect("a root in a file is exportable");
    let shares = split(&secret, keys.root().name, 2, 3).expect("two of three");
    let text = shares[0].seal(&passphrase(), Cost::MIN).to_text();
    SealedShare::from_text(&text).expect("it was just printed");
    write("key_file", "share", 5, text.as_bytes());
    let contents = share_contents(&text);
    SealedShare::from_text(&share_text(&contents)).expect("the same share");
    write("key_file", "share-inside", 7, &contents);
    std::fs::remove_dir_all(dir).expect("the store is removed");
}

/// A root's file without its armour: `GUITAI ROOT KEY`, a back end and its fields (`keys/file.rs`).
fn root_file(backend: u8, fields: &[(u8, &[u8])]) -> Vec<u8> {
    let tlv = |(tag, contents): &(u8, &[u8])| {
        let length = u8::try_from(contents.len()).expect("seeds are short");
        assert!(length < 0x80, "a length of one byte");
        [&[*tag, length], *contents].concat()
    };
    let body: Vec<u8> = fields.iter().flat_map(tlv).collect();
    let body = tlv(&(0x30, &body));
    let file: Vec<u8> = [
        (0x02, &[1][..]),
        (0x04, &[9; 16]),
        (0x02, &[1]),
        (0x02, &[1]),
        (0x02, &[backend]),
        (0x04, &body),
    ]
    .iter()
    .flat_map(tlv)
    .collect();
    let file = tlv(&(0x30, &file));
    let text = der::pem::encode_string(KEY_FILE_LABELS[0], der::pem::LineEnding::LF, &file)
        .expect("the label is one of ours");
    RootFile::parse(text.as_bytes()).expect("a root's file");
    [&[0][..], &file].concat()
}

/// A printed share's bytes without their checksum: four of a group's five letters carry five bits each.
fn share_contents(text: &str) -> Vec<u8> {
    const ALPHABET: &str = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";
    let lines = text
        .lines()
        .map(|line| line.split('#').next().unwrap_or(""));
    let bits: Vec<u8> = lines
        .flat_map(str::split_whitespace)
        .flat_map(|group| group.chars().take(4))
        .map(|letter| ALPHABET.find(letter).expect("a letter of a share") as u8)
        .flat_map(|digit| (0..5).rev().map(move |bit| digit >> bit & 1))
        .collect();
    let byte = |bits: &[u8]| bits.iter().fold(0, |byte, bit| byte << 1 | bit);
    let mut bytes: Vec<u8> = bits.chunks_exact(8).map(byte).collect();
    bytes.truncate(bytes.len() - 4);
    bytes
}

/// GM/T 0018: 40 + 16 + 16 bytes of text and numbers; bits, x and y; r and s, in fields of 64 bytes.
fn device_answers() {
    let point = sm2::SecretKey::generate().public().to_point();
    write("sdf", "device-info", 0, &[0x20; 128]);
    let field = |bytes: &[u8]| [&[0; 32], bytes].concat();
    let (x, y) = (field(&point[1..33]), field(&point[33..]));
    let public_key = [&256u32.to_ne_bytes()[..], &x, &y].concat();
    write("sdf", "public-key", 1, &public_key);
    write("sdf", "signature", 2, &[x, y].concat());
    write("sdf", "length", 3, &1024u32.to_ne_bytes());
}
