//! What else of DER and of SM2 comes from outside: time stamps and requests for them, wrapped keys, points, stored
//! passwords. Certificates, requests and revocation lists are among the targets beside these.

use std::sync::OnceLock;

use guitai_crypto::{
    password,
    sm2::{PublicKey, SecretKey},
    sm3, tsp,
    x509::{Authority, Identity, Subject, Usage},
};

use crate::{Seed, key};

const NOW: u64 = 1_790_000_000;
/// What is stamped.
const CONTENT: &[u8] = b"the manifest of a call";

pub(crate) fn run(data: &[u8]) -> bool {
    let Some((choice, bytes)) = data.split_first() else {
        return false;
    };
    match choice % 6 {
        0 => asked(bytes),
        1 => stamped(bytes),
        2 => unwrapped(bytes),
        3 => point(bytes),
        4 => signature(bytes),
        _ => stored(bytes),
    }
}

/// An authority and its root; new in every process, so stamps among the seeds are of another one.
fn stamper() -> &'static (Vec<u8>, Identity) {
    static STAMPER: OnceLock<(Vec<u8>, Identity)> = OnceLock::new();
    STAMPER.get_or_init(|| {
        let authority = Authority::create("root", "fuzz", 30, NOW).expect("a root");
        let subject = Subject {
            common_name: "b1-1".to_owned(),
            organization: "fuzz".to_owned(),
            dns_names: Vec::new(),
        };
        let leaf = authority.issue(&subject, &key().public(), Usage::TimeStamping, 30, NOW);
        let identity = Identity {
            chain: vec![leaf.expect("a leaf")],
            key: key(),
        };
        (authority.certificate_der().to_vec(), identity)
    })
}

fn asked(bytes: &[u8]) -> bool {
    let (root, identity) = stamper();
    let (answer, refused) =
        tsp::answer(bytes, identity, Some(NOW + 1), [7; 16]).expect("an answer");
    let Ok(request) = tsp::Request::from_der(bytes) else {
        assert!(refused.is_some(), "stamped and not understood");
        return false;
    };
    assert_eq!(refused, None, "understood and not stamped");
    let roots = [root.clone()];
    let stamp = tsp::verify_answer(&answer, &request, &roots).expect("our own answer");
    drop(stamp);
    assert!(
        tsp::verify_imprint(&answer, &sm3::hash(b"other"), &roots).is_err()
            || request.imprint == sm3::hash(b"other")
    );
    true
}

/// A stamp that somebody brings. Its form decides here: nobody else has the root's key.
fn stamped(bytes: &[u8]) -> bool {
    let (root, _) = stamper();
    let stamp = tsp::verify(bytes, CONTENT, std::slice::from_ref(root));
    if stamp.is_ok() {
        let other = tsp::verify(bytes, b"something else", std::slice::from_ref(root));
        assert!(other.is_err(), "a stamp of anything");
    }
    // Of the right form, but of another authority: as far as seeds get.
    stamp.is_ok() || matches!(stamp, Err(error) if !error.to_string().contains("DER"))
}

fn unwrapped(bytes: &[u8]) -> bool {
    key().decrypt(bytes).is_ok()
}

fn point(bytes: &[u8]) -> bool {
    let Ok(public) = PublicKey::from_point(bytes) else {
        return false;
    };
    let again = PublicKey::from_point(&public.to_point()).expect("a point");
    assert!(again == public, "another point after it was written");
    drop(key().agree(&public));
    true
}

/// A signature, and what is signed behind it: 72 bytes at most are the signature, their number comes first.
fn signature(bytes: &[u8]) -> bool {
    let Some((length, rest)) = bytes.split_first() else {
        return false;
    };
    let (signature, message) = rest.split_at(usize::from(*length).min(rest.len()));
    if key().public().verify(message, signature).is_err() {
        return false;
    }
    let other = [message, b"."].concat();
    assert!(
        key().public().verify(&other, signature).is_err(),
        "a signature over anything"
    );
    true
}

/// A stored password: what its text claims of memory and time is bounded.
fn stored(bytes: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return false;
    };
    drop(SecretKey::from_pkcs8_pem(text));
    password::verify(text, b"a password of the seeds")
}

pub(crate) fn seeds() -> Vec<Seed> {
    let (_, identity) = stamper();
    let request = tsp::Request::new(sm3::hash(CONTENT), [9; tsp::NONCE_BYTES]).expect("a request");
    let request = request.to_der().expect("a request");
    let (answer, _) = tsp::answer(&request, identity, Some(NOW + 1), [7; 16]).expect("an answer");
    let sealed = key().public().encrypt(&[7; 32]).expect("32 bytes");
    let signed = key().sign(CONTENT);
    let length = u8::try_from(signed.len()).expect("short");
    vec![
        Seed::new("request", 0, &request),
        Seed::new("stamp", 1, &answer),
        Seed::new("wrapped", 2, &sealed),
        Seed::new("point", 3, &key().public().to_point()),
        Seed::new("signature", 4, &[&[length][..], &signed, CONTENT].concat()),
    ]
}
