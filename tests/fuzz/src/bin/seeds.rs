//! Writes the root that the targets trust and honest inputs for them to start from.
//!
//! Everything in `corpus/` that chains to the old root becomes a rejected input: run it only when a
//! format has changed, and fuzz anew.

use std::collections::BTreeMap;
use std::path::Path;

use guitai_crypto::keys::{KeyStore, Purpose};
use guitai_crypto::sframe::{Sealer, Suite};
use guitai_crypto::x509::{
    Authority, Identity, Purpose, Reason, Request, Revoked, Subject, Usage, certificates_to_pem,
    crl_to_pem, request_to_pem,
};
use guitai_crypto::{cms, sm2};
use guitai_fuzz::targets::{KEY, NAME, NOW, join};

fn main() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let write = |target: &str, name: &str, choice: u8, bytes: &[u8]| {
        let dir = here.join("corpus").join(target);
        std::fs::create_dir_all(&dir).expect("the corpus is writable");
        let seed = [&[choice][..], bytes].concat();
        std::fs::write(dir.join(format!("seed-{name}")), seed).expect("the corpus is writable");
    };
    let authority = Authority::create("Guitai Root", "cluster", 30, NOW).expect("a root");
    let root = authority.certificate_der().to_vec();
    std::fs::write(here.join("fixtures/root.der"), &root).expect("fixtures are writable");
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
    let request = Request::create(&subject, Purpose::Leaf(Usage::Tls), &key).expect("a request");
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

    let mut sealer = Sealer::new(Suite::Sm4GcmSm3_128, &KEY, 1000, 1 << 50);
    write(
        "sframe",
        "frame",
        0,
        &sealer.seal(b"video", b"twenty milliseconds"),
    );
    write(
        "sframe",
        "short",
        0,
        &Sealer::new(Suite::Sm4GcmSm3_128, &KEY, 1, 1).seal(b"video", b""),
    );
    write("sframe", "plain", 1, &[0x11; 48]);

    write("key_file", "der", 0, &key.to_pkcs8_der());
    write("key_file", "pem", 1, key.to_pkcs8_pem().as_bytes());
    let keys = KeyStore::in_memory("a1-1", &[Purpose::Recording]).expect("a store is made");
    let wrapped = keys
        .wrap(Purpose::Recording, b"context", b"0123456789abcdef")
        .expect("a key is wrapped");
    write("key_file", "wrapped", 2, &wrapped);
    write(
        "key_file",
        "sealed",
        3,
        &key.public().encrypt(&[7; 32]).expect("32 bytes"),
    );
    write("key_file", "signature", 3, &key.sign(b"message"));
    // GM/T 0018: 40 + 16 + 16 bytes of text and numbers; bits, x and y; r and s, in fields of 64 bytes.
    write("sdf", "device-info", 0, &[0x20; 128]);
    let field = |bytes: &[u8]| [&[0; 32], bytes].concat();
    let (x, y) = (field(&point[1..33]), field(&point[33..]));
    write(
        "sdf",
        "public-key",
        1,
        &[&256u32.to_ne_bytes()[..], &x, &y].concat(),
    );
    write("sdf", "signature", 2, &[x, y].concat());
    write("sdf", "length", 3, &1024u32.to_ne_bytes());
}
