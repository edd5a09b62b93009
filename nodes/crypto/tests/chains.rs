//! Certificates and signature files: what is issued is accepted, and every altered byte is refused.

use guitai_crypto::x509::{Authority, ChainError, Identity, Subject, Usage, verify_chain};
use guitai_crypto::{cms, sm2, x509};

const NOW: u64 = 1_790_000_000;
const DAY: u64 = 86_400;

fn authority() -> Authority {
    Authority::create("Guitai Root", "cluster 1", 3650, NOW).unwrap()
}

fn identity(authority: &Authority, usage: Usage) -> Identity {
    let subject = Subject {
        common_name: "a1-1".into(),
        organization: "cluster, 1".into(),
        dns_names: vec!["a1-1.inner.guitai.internal".into()],
    };
    let key = sm2::SecretKey::generate();
    let leaf = authority
        .issue(&subject, &key.public(), usage, 365, NOW)
        .unwrap();
    Identity {
        chain: vec![leaf, authority.certificate_der().to_vec()],
        key,
    }
}

fn roots(authority: &Authority) -> Vec<Vec<u8>> {
    vec![authority.certificate_der().to_vec()]
}

#[test]
fn a_chain_is_accepted_with_and_without_its_root() {
    let authority = authority();
    let identity = identity(&authority, Usage::Tls);
    for chain in [&identity.chain[..1], &identity.chain[..]] {
        let leaf = verify_chain(chain, &roots(&authority), NOW).unwrap();
        assert_eq!(leaf.common_name, "a1-1");
        assert_eq!(leaf.organization, "cluster, 1");
        assert_eq!(leaf.dns_names, ["a1-1.inner.guitai.internal"]);
        assert_eq!(leaf.public_key, identity.key.public());
        assert_eq!(leaf.not_after, NOW + 365 * DAY);
        let unverified = x509::dangerous_read_unverified(&chain[0]).unwrap();
        assert_eq!(unverified, leaf);
    }
}

#[test]
fn foreign_roots_other_times_and_stray_certificates_are_refused() {
    let (authority, other) = (authority(), authority());
    let identity = identity(&authority, Usage::Tls);
    let check = |chain: &[Vec<u8>], roots: &[Vec<u8>], at| verify_chain(chain, roots, at);
    let leaf = &identity.chain[..1];
    let untrusted = |result| assert!(matches!(result, Err(ChainError::Untrusted(_))));
    // The other root has the same name, and another key.
    let foreign = check(leaf, &roots(&other), NOW);
    assert!(matches!(foreign, Err(ChainError::Tampered(_))));
    untrusted(check(leaf, &[], NOW));
    let early = check(leaf, &roots(&authority), NOW - 2 * 3600);
    assert!(matches!(early, Err(ChainError::NotYetValid(_))));
    let late = check(leaf, &roots(&authority), NOW + 366 * DAY);
    assert!(matches!(late, Err(ChainError::Expired(_))));
    // A root is not a leaf.
    untrusted(check(&identity.chain[1..], &roots(&authority), NOW));
    let stray = vec![leaf[0].clone(), other.certificate_der().to_vec()];
    let stray = check(&stray, &roots(&authority), NOW);
    assert!(matches!(stray, Err(ChainError::Unused)), "{stray:?}");
    assert!(matches!(check(&[], &[], NOW), Err(ChainError::Empty)));
    let long = vec![leaf[0].clone(); 5];
    let long = check(&long, &roots(&authority), NOW);
    assert!(matches!(long, Err(ChainError::TooLong)));
}

#[test]
fn every_altered_bit_of_a_certificate_is_refused() {
    let authority = authority();
    let identity = identity(&authority, Usage::Tls);
    let roots = roots(&authority);
    for index in 0..identity.chain.len() {
        for bit in 0..identity.chain[index].len() * 8 {
            let mut chain = identity.chain.clone();
            chain[index][bit / 8] ^= 1 << (bit % 8);
            verify_chain(&chain, &roots, NOW).expect_err(&format!("{index}: bit {bit}"));
        }
        let mut chain = identity.chain.clone();
        chain[index].push(0);
        verify_chain(&chain, &roots, NOW).unwrap_err();
    }
}

#[test]
fn pem_reads_back_and_refuses_another_key() {
    let authority = authority();
    let identity = identity(&authority, Usage::Tls);
    let (chain, key) = identity.to_pem();
    let again = Identity::from_pem(&chain, &key).unwrap();
    assert_eq!(again.chain, identity.chain);
    assert_eq!(again.key.public(), identity.key.public());
    let other = sm2::SecretKey::generate().to_pkcs8_pem();
    assert!(matches!(
        Identity::from_pem(&chain, &other),
        Err(x509::PemError::Mismatch)
    ));
    Identity::from_pem("", &key).unwrap_err();
    Identity::from_pem(&chain, "").unwrap_err();

    let (certificate, key) = authority.to_pem();
    let again = Authority::from_pem(&certificate, &key).unwrap();
    let issued = self::identity(&again, Usage::Tls);
    verify_chain(&issued.chain, &roots(&authority), NOW).unwrap();
}

#[test]
fn leaves_end_with_their_root_and_bad_names_are_refused() {
    let authority = Authority::create("Guitai Root", "cluster 1", 10, NOW).unwrap();
    let leaf = verify_chain(
        &identity(&authority, Usage::Tls).chain,
        &roots(&authority),
        NOW,
    );
    assert_eq!(leaf.unwrap().not_after, NOW + 10 * DAY);

    let public = sm2::SecretKey::generate().public();
    let issue = |common_name: &str, dns: &str| {
        let subject = Subject {
            common_name: common_name.into(),
            organization: "o".into(),
            dns_names: vec![dns.into()],
        };
        authority.issue(&subject, &public, Usage::Tls, 1, NOW)
    };
    issue("node", "node.inner.guitai.internal").unwrap();
    for name in ["", "a\nb", &"x".repeat(65)] {
        issue(name, "node.example").unwrap_err();
    }
    for dns in ["", "a b", "节点.example", "a..b"] {
        issue("node", dns).unwrap_err();
    }
}

#[test]
fn a_signed_document_verifies_with_name_and_time() {
    let authority = authority();
    for usage in [Usage::Tls, Usage::Documents] {
        let identity = identity(&authority, usage);
        let signature = cms::sign_detached(&identity, b"manifest", NOW + 5).unwrap();
        let signer = cms::verify_detached(&signature, b"manifest", &roots(&authority)).unwrap();
        assert_eq!(signer.leaf.common_name, "a1-1");
        assert_eq!(signer.signing_time_unix, NOW + 5);
    }
}

#[test]
fn another_document_root_or_time_is_refused() {
    let (authority, other) = (authority(), authority());
    let identity = identity(&authority, Usage::Documents);
    let trusted = roots(&authority);
    let signature = cms::sign_detached(&identity, b"manifest", NOW).unwrap();
    assert!(matches!(
        cms::verify_detached(&signature, b"manifesto", &trusted),
        Err(cms::VerifyError::Content)
    ));
    assert!(matches!(
        cms::verify_detached(&signature, b"manifest", &roots(&other)),
        Err(cms::VerifyError::Chain(_))
    ));
    let late = cms::sign_detached(&identity, b"manifest", NOW + 400 * DAY).unwrap();
    assert!(matches!(
        cms::verify_detached(&late, b"manifest", &trusted),
        Err(cms::VerifyError::Chain(_))
    ));
    let thief = Identity {
        chain: identity.chain.clone(),
        key: sm2::SecretKey::generate(),
    };
    let forged = cms::sign_detached(&thief, b"manifest", NOW).unwrap();
    assert!(matches!(
        cms::verify_detached(&forged, b"manifest", &trusted),
        Err(cms::VerifyError::Signature(_))
    ));
    let nobody = Identity {
        chain: vec![authority.certificate_der().to_vec()],
        key: sm2::SecretKey::generate(),
    };
    assert!(matches!(
        cms::sign_detached(&nobody, b"manifest", NOW),
        Err(cms::SignError::NoCertificate)
    ));
}

#[test]
fn every_altered_bit_and_every_cut_of_a_signature_file_is_refused() {
    let authority = authority();
    let identity = identity(&authority, Usage::Documents);
    let roots = roots(&authority);
    let signature = cms::sign_detached(&identity, b"manifest", NOW).unwrap();
    for bit in 0..signature.len() * 8 {
        let mut altered = signature.clone();
        altered[bit / 8] ^= 1 << (bit % 8);
        cms::verify_detached(&altered, b"manifest", &roots).expect_err(&format!("bit {bit}"));
    }
    for length in 0..signature.len() {
        cms::verify_detached(&signature[..length], b"manifest", &roots).unwrap_err();
    }
    for byte in 0..=255 {
        let longer = [&signature[..], &[byte]].concat();
        cms::verify_detached(&longer, b"manifest", &roots).unwrap_err();
    }
}
