use der::{Decode as _, Encode as _};

use super::*;
use crate::cms::Link;
use crate::sm2::SecretKey;
use crate::x509::{Authority, Identity, Subject, Usage};
use crate::{cms, sm3};

const NOW: u64 = 1_795_000_000;
const CONTENT: &[u8] = b"the bytes of manifest.p7s";

fn authority() -> Authority {
    Authority::create_root("root", "demo", 1, 3650, NOW - 86_400).expect("a root")
}

fn identity(by: &Authority, usage: Usage) -> Identity {
    let key = SecretKey::generate();
    let subject = Subject {
        common_name: "a1-1".to_owned(),
        organization: "demo".to_owned(),
        dns_names: vec![],
    };
    let leaf = by.issue(&subject, &key.public(), usage, 30, NOW - 3_600);
    let mut chain = vec![leaf.expect("a leaf")];
    chain.extend(by.chain());
    Identity { chain, key }
}

fn request() -> Request {
    Request::new(sm3::hash(CONTENT), [0xab; NONCE_BYTES]).expect("a request")
}

fn asked(identity: &Identity) -> Vec<u8> {
    let request = request().to_der().expect("DER");
    let (answer, refusal) =
        answer(&request, identity, Some(NOW), [0xff; SERIAL_BYTES]).expect("an answer");
    assert_eq!(refusal, None);
    answer
}

#[test]
fn what_is_stamped_is_believed_with_and_without_an_authority_between() {
    let root = authority();
    let between = root.create_intermediate("between", "demo", 300, NOW - 7_200);
    let roots = [root.certificate_der().to_vec()];
    for by in [&root, &between.expect("an authority")] {
        let made = asked(&identity(by, Usage::TimeStamping));
        let stamp = verify(&made, CONTENT, &roots).expect("a stamp");
        assert_eq!((stamp.time_unix, stamp.serial[0]), (NOW, 0x7f));
        assert_eq!(stamp.leaf.common_name, "a1-1");
        assert_eq!(verify_answer(&made, &request(), &roots).unwrap(), stamp);
        let other = Request::new(sm3::hash(CONTENT), [1; NONCE_BYTES]).unwrap();
        assert!(matches!(
            verify_answer(&made, &other, &roots),
            Err(StampError::Nonce)
        ));
        assert!(matches!(
            verify(&made, b"other", &roots),
            Err(StampError::Content)
        ));
        let strange = [authority().certificate_der().to_vec()];
        assert!(matches!(
            verify(&made, CONTENT, &strange),
            Err(StampError::Chain(_))
        ));
    }
}

#[test]
fn no_byte_of_a_stamp_may_change_and_none_be_cut_or_added() {
    let root = authority();
    let roots = [root.certificate_der().to_vec()];
    let made = asked(&identity(&root, Usage::TimeStamping));
    for at in 0..made.len() {
        let mut spoilt = made.clone();
        spoilt[at] ^= 1 << (at % 8);
        assert!(verify(&spoilt, CONTENT, &roots).is_err(), "byte {at}");
        assert!(verify(&made[..at], CONTENT, &roots).is_err(), "cut at {at}");
    }
    let more = [&made[..], &[0]].concat();
    assert!(verify(&more, CONTENT, &roots).is_err());
    let huge = vec![0x30; STAMP_BYTES_MAX + 1];
    assert!(matches!(
        verify(&huge, CONTENT, &roots),
        Err(StampError::TooLarge)
    ));
}

/// A stamp and a seal whose certificates have the root among them, as the first authority that asks for one does.
#[test]
fn a_root_among_the_certificates_is_refused() {
    let root = authority();
    let roots = [root.certificate_der().to_vec()];
    let identity = identity(&root, Usage::TimeStamping);
    let links: Vec<_> = identity.chain.iter().map(|it| Link::parse(it)).collect();
    let links: Vec<Link> = links.into_iter().map(|it| it.expect("a link")).collect();
    assert_eq!(links.len(), 2);
    assert!(matches!(
        cms::refuse_roots(&links, &roots),
        Err(cms::VerifyError::Form(_))
    ));
    assert!(cms::refuse_roots(&links[..1], &roots).is_ok());
    let made = asked(&identity);
    let response = form::Response::from_der(&made).expect("a response");
    let signed = response.token.expect("a token").content;
    let info = signed.content.content.as_bytes();
    let attributes = form::attributes(info, &links[0].der, NOW).expect("attributes");
    let signature = identity.key.sign(&attributes.to_der().expect("DER"));
    for (chain, is_good) in [(&links[..], false), (&links[..1], true)] {
        let made = form::granted(chain, info, attributes.clone(), &signature).expect("DER");
        let found = verify(&made, CONTENT, &roots);
        assert_eq!(found.is_ok(), is_good, "{found:?}");
    }
}

#[test]
fn a_certificate_for_anything_else_stamps_nothing() {
    let root = authority();
    let roots = [root.certificate_der().to_vec()];
    for usage in Usage::ALL {
        let made = asked(&identity(&root, usage));
        let found = verify(&made, CONTENT, &roots);
        assert_eq!(found.is_ok(), usage == Usage::TimeStamping, "{usage:?}");
    }
}

#[test]
fn a_stamp_is_refused_by_the_words_of_the_rfc() {
    let root = authority();
    let identity = identity(&root, Usage::TimeStamping);
    let good = request().to_der().unwrap();
    let ask = |request: &[u8], now| {
        let (answer, refusal) = answer(request, &identity, now, [7; SERIAL_BYTES]).unwrap();
        let refusal = refusal.expect("refused");
        let found = verify(&answer, CONTENT, &[root.certificate_der().to_vec()]);
        let Err(StampError::Status { status: 2, failure }) = found else {
            panic!("{found:?}");
        };
        assert_eq!(failure, Some(refusal), "what is written is what is read");
        refusal
    };
    assert_eq!(ask(&good, None), Refusal::Time);
    assert_eq!(ask(b"", Some(NOW)), Refusal::Format);
    assert_eq!(
        ask(&vec![0; REQUEST_BYTES_MAX + 1], Some(NOW)),
        Refusal::Format
    );
    // As OpenSSL asks: `ts -query -sm3 -cert -tspolicy …`, with other words in each place.
    let spoilt = |from: &[u8], to: &[u8]| {
        let at = good.windows(from.len()).position(|it| it == from);
        let at = at.expect("it is there");
        let mut spoilt = good.clone();
        spoilt[at..at + to.len()].copy_from_slice(to);
        spoilt
    };
    // SM3 1.2.156.10197.1.401 ends with 83 11; 1.2.156.10197.1.402 is nothing.
    let algorithm = spoilt(&[0xcf, 0x55, 1, 0x83, 0x11], &[0xcf, 0x55, 1, 0x83, 0x12]);
    assert_eq!(ask(&algorithm, Some(NOW)), Refusal::Algorithm);
    assert_eq!(
        ask(&spoilt(&[2, 1, 1], &[2, 1, 2]), Some(NOW)),
        Refusal::Format
    );
    let policy = spoilt(&[0x69, 0x86], &[0x69, 0x87]);
    assert_eq!(ask(&policy, Some(NOW)), Refusal::Policy);
    // Without certificates: the boolean, which is the last, left out.
    let mut silent = good[..good.len() - 3].to_vec();
    silent[1] -= 3;
    assert_eq!(ask(&silent, Some(NOW)), Refusal::Request);
    let mut extended = [&good[..], &[0xa0, 9, 0x30, 7, 6, 3, 0x2a, 3, 4, 4, 0]].concat();
    extended[1] += 11;
    assert_eq!(ask(&extended, Some(NOW)), Refusal::Extension);
}

#[test]
fn hostile_requests_are_answered_and_never_panic() {
    let identity = identity(&authority(), Usage::TimeStamping);
    let good = request().to_der().unwrap();
    for at in 0..good.len() {
        for bit in 0..8 {
            let mut spoilt = good.clone();
            spoilt[at] ^= 1 << bit;
            answer(&spoilt, &identity, Some(NOW), [7; SERIAL_BYTES]).expect("an answer");
            answer(&spoilt[..at], &identity, Some(NOW), [7; SERIAL_BYTES]).expect("an answer");
        }
    }
}

#[test]
fn an_authority_without_certificates_and_a_time_past_the_calendar_are_refused() {
    let root = authority();
    let request = request().to_der().unwrap();
    let mut identity = identity(&root, Usage::TimeStamping);
    let late = answer(&request, &identity, Some(u64::MAX), [7; SERIAL_BYTES]).unwrap();
    assert_eq!(late.1, Some(Refusal::System));
    identity.chain.clear();
    let bare = answer(&request, &identity, Some(NOW), [7; SERIAL_BYTES]).unwrap();
    assert_eq!(bare.1, Some(Refusal::System));
    let signed = cms::sign_detached(&identity, CONTENT, NOW);
    assert!(matches!(signed, Err(cms::SignError::NoCertificate)));
}
