//! Intermediates, pairs, requests and revocation lists: what is made is accepted, by us and by
//! OpenSSL, and everything else is refused with an error of its own.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use guitai_crypto::sm2::SecretKey;
use guitai_crypto::x509::{
    self, Authority, AuthorityError, CERTIFICATE_BYTES_MAX, CRL_BYTES_MAX, ChainError, Crl,
    CrlError, Demands, FitError, Identity, IssueError, PairError, Purpose, REQUEST_BYTES_MAX,
    Reason, Request, RequestError, Revoked, Subject, Usage, verify_chain, verify_chain_for,
};

const NOW: u64 = 1_795_300_000;
const DAY: u64 = 86_400;

struct Bank {
    root: Authority,
    issuing: Authority,
}

impl Bank {
    fn new() -> Self {
        let root = Authority::create_root("Bank Root", "bank", 1, 7300, NOW).unwrap();
        let issuing = root
            .create_intermediate("Bank Issuing", "bank", 3650, NOW)
            .unwrap();
        Self { root, issuing }
    }

    fn roots(&self) -> Vec<Vec<u8>> {
        vec![self.root.certificate_der().to_vec()]
    }

    fn identity(&self, usage: Usage) -> Identity {
        let key = SecretKey::generate();
        let leaf = self
            .issuing
            .issue(&subject(), &key.public(), usage, 90, NOW)
            .unwrap();
        let mut chain = vec![leaf];
        chain.append(&mut self.issuing.chain());
        Identity { chain, key }
    }
}

fn subject() -> Subject {
    Subject {
        common_name: "edge-a1".into(),
        organization: "cluster 1".into(),
        dns_names: vec!["edge-a1.dmz.guitai.internal".into()],
    }
}

fn serial(certificate: &[u8]) -> Vec<u8> {
    x509::identify(certificate).unwrap().serial
}

fn revoked(certificates: &[&[u8]]) -> BTreeMap<Vec<u8>, Revoked> {
    let entry = Revoked {
        at_unix: NOW,
        reason: Reason::KeyCompromise,
    };
    certificates
        .iter()
        .map(|der| (serial(der), entry))
        .collect()
}

fn flip(bytes: &[u8], index: usize) -> Vec<u8> {
    let mut altered = bytes.to_vec();
    altered[index] ^= 1;
    altered
}

/// Replaces the only occurrence of `from`.
fn swap(bytes: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    let hits: Vec<usize> = (0..bytes.len())
        .filter(|at| bytes[*at..].starts_with(from))
        .collect();
    assert_eq!(hits.len(), 1, "one occurrence");
    let (before, after) = (&bytes[..hits[0]], &bytes[hits[0] + from.len()..]);
    [before, to, after].concat()
}

#[test]
fn an_intermediate_signs_leaves_and_its_chain_verifies() {
    let bank = Bank::new();
    for usage in Usage::ALL {
        let identity = bank.identity(usage);
        assert_eq!(identity.chain.len(), 3);
        let demands = Demands {
            usage: Some(usage),
            crls: &[],
        };
        for chain in [&identity.chain[..2], &identity.chain[..]] {
            let leaf = verify_chain_for(chain, &bank.roots(), NOW, demands).unwrap();
            assert_eq!(leaf.common_name, "edge-a1");
            assert_eq!(leaf.not_after, NOW + 90 * DAY);
        }
        // Without its issuer the leaf leads nowhere.
        let alone = verify_chain(&identity.chain[..1], &bank.roots(), NOW);
        assert!(matches!(alone, Err(ChainError::Untrusted(_))), "{alone:?}");
    }
    let (chain, key) = bank.issuing.to_pem();
    let again = Authority::from_pem(&chain, &key).unwrap();
    again.check(&bank.roots(), NOW).unwrap();
    assert_eq!(again.chain(), bank.issuing.chain());
}

#[test]
fn path_lengths_hold_when_issuing_and_when_verifying() {
    let bank = Bank::new();
    let refused = bank.issuing.create_intermediate("below", "bank", 30, NOW);
    assert!(matches!(refused, Err(IssueError::PathLength)));
    let plain = Authority::create("Root", "bank", 30, NOW).unwrap();
    let refused = plain.create_intermediate("below", "bank", 30, NOW);
    assert!(matches!(refused, Err(IssueError::PathLength)));

    // Two intermediates fit into four certificates; one below a root that allows one does not.
    let root = Authority::create_root("Root", "bank", 2, 3650, NOW).unwrap();
    let key = SecretKey::generate();
    let upper = root
        .issue_authority("Upper", "bank", &key.public(), 1, 3650, NOW)
        .unwrap();
    let pem = x509::certificates_to_pem(&[upper, root.certificate_der().to_vec()]);
    let upper = Authority::from_pem(&pem, &key.to_pkcs8_pem()).unwrap();
    let lower = upper
        .create_intermediate("Lower", "bank", 3650, NOW)
        .unwrap();
    lower
        .check(&[root.certificate_der().to_vec()], NOW)
        .unwrap();
}

#[test]
fn an_authority_that_is_none_or_over_is_refused() {
    let bank = Bank::new();
    let leaf = bank.identity(Usage::Tls);
    let (chain, key) = leaf.to_pem();
    let fake = Authority::from_pem(&chain, &key).unwrap();
    let refused = fake.check(&bank.roots(), NOW);
    assert!(matches!(refused, Err(AuthorityError::NotAuthority)));
    // What a leaf signs is refused by the verifier too.
    let victim = SecretKey::generate();
    let forged = fake
        .issue(&subject(), &victim.public(), Usage::Tls, 30, NOW)
        .unwrap();
    let mut chain = vec![forged];
    chain.extend_from_slice(&leaf.chain[..2]);
    let refused = verify_chain(&chain, &bank.roots(), NOW);
    assert!(
        matches!(refused, Err(ChainError::Usage("signing certificates"))),
        "{refused:?}"
    );

    let late = NOW + 3651 * DAY;
    let refused = bank
        .issuing
        .issue(&subject(), &victim.public(), Usage::Tls, 30, late);
    assert!(matches!(refused, Err(IssueError::Ended { .. })));
    let other = Bank::new();
    let refused = bank.issuing.check(&other.roots(), NOW);
    assert!(matches!(refused, Err(AuthorityError::Chain(_))));
}

#[test]
fn every_kind_of_wrong_certificate_has_an_error_of_its_own() {
    let bank = Bank::new();
    let identity = bank.identity(Usage::Tls);
    let roots = bank.roots();
    let verify = |leaf: Vec<u8>, at| {
        let mut chain = identity.chain.clone();
        chain[0] = leaf;
        verify_chain(&chain, &roots, at)
    };
    let leaf = &identity.chain[0];
    for length in 0..leaf.len() {
        let cut = verify(leaf[..length].to_vec(), NOW);
        assert!(
            matches!(cut, Err(ChainError::Parse(_))),
            "{length}: {cut:?}"
        );
    }
    let huge = verify(vec![0x30; CERTIFICATE_BYTES_MAX + 1], NOW);
    assert!(matches!(huge, Err(ChainError::TooLarge)));
    let tampered = verify(flip(leaf, leaf.len() - 1), NOW);
    assert!(
        matches!(tampered, Err(ChainError::Tampered(_))),
        "{tampered:?}"
    );
    let expired = verify(leaf.clone(), NOW + 91 * DAY);
    assert!(
        matches!(expired, Err(ChainError::Expired(_))),
        "{expired:?}"
    );
    let early = verify(leaf.clone(), NOW - DAY);
    assert!(
        matches!(early, Err(ChainError::NotYetValid(_))),
        "{early:?}"
    );
    // The curve's identifier becomes P-256's (two bytes longer), or another of the same length.
    let sm2_curve = [0x2a, 0x81, 0x1c, 0xcf, 0x55, 0x01, 0x82, 0x2d];
    let other_curve = [0x2a, 0x81, 0x1c, 0xcf, 0x55, 0x01, 0x82, 0x2e];
    let curve = verify(swap(leaf, &sm2_curve, &other_curve), NOW);
    assert!(matches!(curve, Err(ChainError::Curve)), "{curve:?}");
    let point = identity.key.public().to_point();
    let off = flip(&point, 64);
    let off = verify(swap(leaf, &point, &off), NOW);
    assert!(matches!(off, Err(ChainError::Point)), "{off:?}");

    let demand = |usage, wanted| {
        let demands = Demands {
            usage: Some(wanted),
            crls: &[],
        };
        verify_chain_for(&bank.identity(usage).chain, &roots, NOW, demands)
    };
    let wrong = demand(Usage::Tls, Usage::Staff);
    assert!(matches!(wrong, Err(ChainError::Usage(_))), "{wrong:?}");
    let wrong = demand(Usage::Encryption, Usage::Tls);
    assert!(matches!(wrong, Err(ChainError::Usage(_))), "{wrong:?}");
    let wrong = demand(Usage::Staff, Usage::Service);
    assert!(matches!(wrong, Err(ChainError::Purpose)), "{wrong:?}");
    let wrong = demand(Usage::Service, Usage::Tls);
    assert!(matches!(wrong, Err(ChainError::Purpose)), "{wrong:?}");
    let wrong = demand(Usage::Documents, Usage::Staff);
    assert!(matches!(wrong, Err(ChainError::Purpose)), "{wrong:?}");
    let encryption = bank.identity(Usage::Encryption);
    let signs = verify_chain(&encryption.chain, &roots, NOW);
    assert!(matches!(signs, Err(ChainError::Usage(_))), "{signs:?}");
    x509::check_may_sign(&encryption.chain[0]).unwrap_err();
    x509::check_may_sign(leaf).unwrap();
}

#[test]
fn a_pair_has_one_holder_two_keys_and_two_usages() {
    let bank = Bank::new();
    let (sign, encrypt) = (SecretKey::generate(), SecretKey::generate());
    let issue = |encrypt: &SecretKey| {
        let (sign, encrypt) = (sign.public(), encrypt.public());
        bank.issuing
            .issue_pair(&subject(), &sign, &encrypt, Usage::Service, 90, NOW)
    };
    let pair = issue(&encrypt).unwrap();
    x509::check_pair(&pair.signing, &pair.encryption).unwrap();
    let words = x509::describe(&pair.encryption).unwrap();
    let usages = ["keyEncipherment", "dataEncipherment", "keyAgreement"];
    assert_eq!(words.key_usage, usages);
    assert_eq!(
        words.subject,
        x509::describe(&pair.signing).unwrap().subject
    );

    assert!(matches!(issue(&sign), Err(IssueError::OneKey)));
    let swapped = x509::check_pair(&pair.encryption, &pair.signing);
    assert!(matches!(swapped, Err(PairError::Certificate(_))));
    let other = Subject {
        common_name: "edge-a2".into(),
        ..subject()
    };
    let other = bank
        .issuing
        .issue(&other, &encrypt.public(), Usage::Encryption, 90, NOW)
        .unwrap();
    let strangers = x509::check_pair(&pair.signing, &other);
    assert!(matches!(strangers, Err(PairError::Subject)));
    let elsewhere = Bank::new()
        .issuing
        .issue(&subject(), &encrypt.public(), Usage::Encryption, 90, NOW)
        .unwrap();
    // The same issuer's name with another key is told apart when the chains are verified.
    x509::check_pair(&pair.signing, &elsewhere).unwrap();
    let elsewhere = bank
        .root
        .issue(&subject(), &encrypt.public(), Usage::Encryption, 90, NOW)
        .unwrap();
    let issuers = x509::check_pair(&pair.signing, &elsewhere);
    assert!(matches!(issuers, Err(PairError::Issuer)));
}

#[test]
fn a_request_is_read_back_and_the_answer_to_it_fits_or_not() {
    let bank = Bank::new();
    let key = SecretKey::generate();
    let purposes = Usage::ALL.map(Purpose::Leaf);
    let authority = Purpose::Authority { path_length: 0 };
    for purpose in purposes.into_iter().chain([authority]) {
        let der = Request::create(&subject(), purpose, &key).unwrap();
        let pem = x509::request_to_pem(&der);
        assert_eq!(x509::request_from_pem(&pem).unwrap(), der);
        let request = Request::from_der(&der).unwrap();
        assert_eq!(request.subject, subject());
        assert_eq!(request.purpose, Some(purpose));
        assert_eq!(request.public_key, key.public());
    }

    let answer = |subject: &Subject, key: &SecretKey, usage| {
        let leaf = bank
            .issuing
            .issue(subject, &key.public(), usage, 90, NOW)
            .unwrap();
        let mut chain = vec![leaf];
        chain.append(&mut bank.issuing.chain());
        chain
    };
    let check = |chain: Vec<Vec<u8>>, at| {
        let key = key.clone();
        Identity { chain, key }.check(&bank.roots(), &subject(), Usage::Tls, at)
    };
    check(answer(&subject(), &key, Usage::Tls), NOW).unwrap();
    let other_key = check(answer(&subject(), &SecretKey::generate(), Usage::Tls), NOW);
    assert!(matches!(other_key, Err(FitError::Key)));
    let usage = check(answer(&subject(), &key, Usage::Service), NOW);
    assert!(matches!(usage, Err(FitError::Chain(ChainError::Purpose))));
    let late = check(answer(&subject(), &key, Usage::Tls), NOW + 91 * DAY);
    assert!(matches!(late, Err(FitError::Chain(ChainError::Expired(_)))));
    let mut renamed = subject();
    renamed.common_name = "edge-a2".into();
    let renamed = check(answer(&renamed, &key, Usage::Tls), NOW);
    assert!(matches!(renamed, Err(FitError::Name { .. })));
    let mut more = subject();
    more.dns_names.push("a1-1.inner.guitai.internal".into());
    let more = check(answer(&more, &key, Usage::Tls), NOW);
    assert!(matches!(more, Err(FitError::DnsNames { .. })));
}

#[test]
fn a_request_altered_cut_or_without_the_key_is_refused() {
    let key = SecretKey::generate();
    let der = Request::create(&subject(), Purpose::Leaf(Usage::Tls), &key).unwrap();
    for length in 0..der.len() {
        let cut = Request::from_der(&der[..length]);
        assert!(matches!(cut, Err(RequestError::Parse(_))), "{length}");
    }
    for bit in 0..der.len() * 8 {
        let mut altered = der.clone();
        altered[bit / 8] ^= 1 << (bit % 8);
        Request::from_der(&altered).expect_err(&format!("bit {bit}"));
    }
    let huge = Request::from_der(&vec![0x30; REQUEST_BYTES_MAX + 1]);
    assert!(matches!(huge, Err(RequestError::TooLarge)));
    // Somebody else's key under our signature.
    let (ours, theirs) = (key.public().to_point(), SecretKey::generate().public());
    let stolen = Request::from_der(&swap(&der, &ours, &theirs.to_point()));
    assert!(matches!(stolen, Err(RequestError::Proof(_))), "{stolen:?}");
    let off = Request::from_der(&swap(&der, &ours, &flip(&ours, 64)));
    assert!(matches!(off, Err(RequestError::Key(ChainError::Point))));
    x509::request_from_pem("-----BEGIN CERTIFICATE REQUEST-----\n").unwrap_err();
}

#[test]
fn a_revoked_leaf_and_a_revoked_intermediate_are_refused() {
    let bank = Bank::new();
    let (good, bad) = (bank.identity(Usage::Tls), bank.identity(Usage::Tls));
    let list = |authority: &Authority, number, entries| {
        let der = authority
            .issue_crl(number, &entries, NOW, NOW + 7 * DAY)
            .unwrap();
        assert_eq!(x509::crl_from_pem(&x509::crl_to_pem(&der)).unwrap(), der);
        let crl = Crl::from_der(&der).unwrap();
        crl.verify(authority.certificate_der(), NOW).unwrap();
        crl
    };
    let crl = list(&bank.issuing, 7, revoked(&[&bad.chain[0]]));
    let entry = crl.revokes(&x509::identify(&bad.chain[0]).unwrap());
    assert_eq!(entry.unwrap().reason, Reason::KeyCompromise);
    assert_eq!(crl.revokes(&x509::identify(&good.chain[0]).unwrap()), None);
    let verify = |identity: &Identity, crls: &[Crl], at| {
        let demands = Demands { usage: None, crls };
        verify_chain_for(&identity.chain, &bank.roots(), at, demands)
    };
    let crls = [crl];
    verify(&good, &crls, NOW).unwrap();
    let refused = verify(&bad, &crls, NOW);
    assert!(
        matches!(refused, Err(ChainError::Revoked(_))),
        "{refused:?}"
    );
    // A list that should have been renewed still revokes.
    let overdue = NOW + 8 * DAY;
    let refused = verify(&bad, &crls, overdue);
    assert!(
        matches!(refused, Err(ChainError::Revoked(_))),
        "{refused:?}"
    );
    let said = crls[0].check_current(overdue);
    assert!(matches!(said, Err(CrlError::Overdue { .. })));
    crls[0].check_current(NOW).unwrap();

    let root_list = list(&bank.root, 1, revoked(&[&good.chain[1]]));
    let refused = verify(&good, &[root_list], NOW);
    assert!(
        matches!(refused, Err(ChainError::Revoked(_))),
        "{refused:?}"
    );
    // The same serial number of another issuer is another certificate.
    let foreign = list(&bank.root, 2, revoked(&[&good.chain[0]]));
    verify(&good, &[foreign], NOW).unwrap();
    let empty = list(&bank.issuing, 8, BTreeMap::new());
    assert!(empty.entries().is_empty());
    verify(&bad, &[empty], NOW).unwrap();
}

#[test]
fn every_kind_of_wrong_list_has_an_error_of_its_own() {
    let (bank, other) = (Bank::new(), Bank::new());
    let leaf = bank.identity(Usage::Tls);
    let der = bank
        .issuing
        .issue_crl(7, &revoked(&[&leaf.chain[0]]), NOW, NOW + 7 * DAY)
        .unwrap();
    let issuer = bank.issuing.certificate_der();
    let crl = Crl::from_der(&der).unwrap();
    for length in 0..der.len() {
        let cut = Crl::from_der(&der[..length]);
        assert!(matches!(cut, Err(CrlError::Parse(_))), "{length}");
    }
    for bit in 0..der.len() * 8 {
        let mut altered = der.clone();
        altered[bit / 8] ^= 1 << (bit % 8);
        let refused = Crl::from_der(&altered).and_then(|crl| crl.verify(issuer, NOW));
        refused.expect_err(&format!("bit {bit}"));
    }
    let huge = Crl::from_der(&vec![0x30; CRL_BYTES_MAX + 1]);
    assert!(matches!(huge, Err(CrlError::TooLarge)));
    let tampered = Crl::from_der(&flip(&der, der.len() - 1)).unwrap();
    let tampered = tampered.verify(issuer, NOW);
    assert!(matches!(tampered, Err(CrlError::Signature(_))));
    // Another issuer by name, and one that only has the name.
    let wrong = crl.verify(bank.root.certificate_der(), NOW);
    assert!(matches!(wrong, Err(CrlError::Issuer { .. })));
    let wrong = crl.verify(other.issuing.certificate_der(), NOW);
    assert!(matches!(wrong, Err(CrlError::Signature(_))));
    // A leaf with the issuer's name: its key usage signs no lists.
    let key = SecretKey::generate();
    let posing = Subject {
        common_name: "Bank Issuing".into(),
        organization: "bank".into(),
        dns_names: vec![],
    };
    let posing = bank
        .root
        .issue(&posing, &key.public(), Usage::Tls, 30, NOW)
        .unwrap();
    let wrong = crl.verify(&posing, NOW);
    assert!(matches!(wrong, Err(CrlError::Usage)), "{wrong:?}");
    let early = crl.verify(issuer, NOW - DAY);
    assert!(matches!(early, Err(CrlError::NotYetValid { .. })));

    let numbered = |authority: &Authority, number| {
        let der = authority
            .issue_crl(number, &BTreeMap::new(), NOW, NOW + DAY)
            .unwrap();
        Crl::from_der(&der).unwrap()
    };
    numbered(&bank.issuing, 8).check_newer_than(&crl).unwrap();
    for number in [0, 6, 7] {
        let rollback = numbered(&bank.issuing, number).check_newer_than(&crl);
        assert!(matches!(rollback, Err(CrlError::Rollback { .. })));
    }
    let foreign = numbered(&bank.root, 9).check_newer_than(&crl);
    assert!(matches!(foreign, Err(CrlError::Issuer { .. })));
    assert_eq!(crl.number().to_string(), "7");
    assert!(numbered(&bank.issuing, u64::MAX).number() > crl.number());
}

/// `openssl` of this machine, if it knows SM2.
fn openssl(dir: &Path, words: &[&str]) -> Option<(bool, String)> {
    let output = Command::new("openssl")
        .args(words)
        .current_dir(dir)
        .output();
    let Ok(output) = output else {
        eprintln!("SKIPPED: no openssl on this machine; {words:?} was not compared");
        return None;
    };
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text).into_owned();
    Some((output.status.success(), text))
}

fn write(dir: &Path, name: &str, text: &str) -> PathBuf {
    let path = dir.join(name);
    std::fs::write(&path, text).unwrap();
    path
}

#[test]
fn openssl_reads_what_we_make_and_says_the_same() {
    let bank = Bank::new();
    let identity = bank.identity(Usage::Tls);
    let dir = tempfile::tempdir().unwrap();
    let pem = x509::certificates_to_pem;
    write(dir.path(), "root.pem", &pem(&bank.roots()));
    write(dir.path(), "ca.pem", &pem(&bank.issuing.chain()[..1]));
    write(dir.path(), "leaf.pem", &pem(&identity.chain[..1]));
    let request = Request::create(&subject(), Purpose::Leaf(Usage::Tls), &identity.key).unwrap();
    write(dir.path(), "leaf.csr", &x509::request_to_pem(&request));
    let entries = revoked(&[&identity.chain[0]]);
    let crl = bank
        .issuing
        .issue_crl(7, &entries, NOW, NOW + 7 * DAY)
        .unwrap();
    write(dir.path(), "ca.crl", &x509::crl_to_pem(&crl));
    let ask = |words: &str| {
        let words: Vec<&str> = words.split(' ').collect();
        openssl(dir.path(), &words)
    };

    // OpenSSL 3 applies the ID to the certificate at the end only, so the path is walked in two steps.
    for (issuer, certificate) in [("root.pem", "ca.pem"), ("ca.pem", "leaf.pem")] {
        let verify = format!(
            "verify -attime {NOW} -x509_strict -partial_chain -vfyopt distid:1234567812345678 -CAfile {issuer} {certificate}"
        );
        let Some((ok, text)) = ask(&verify) else {
            return;
        };
        assert!(ok, "{text}");
    }
    let (ok, text) = ask("req -in leaf.csr -noout -verify -vfyopt distid:1234567812345678 -text")
        .expect("openssl was there");
    assert!(ok && text.contains("verify OK"), "{text}");
    assert!(text.contains("DNS:edge-a1.dmz.guitai.internal"), "{text}");

    let (ok, text) = ask("crl -in ca.crl -noout -text").expect("openssl was there");
    assert!(ok, "{text}");
    let serial = hex::encode_upper(serial(&identity.chain[0]));
    for part in [
        "Version 2",
        "SM2-with-SM3",
        "X509v3 CRL Number: \n                7",
        "Key Compromise",
        &serial,
    ] {
        assert!(text.contains(part), "{part:?} in {text}");
    }
    let words = x509::describe(&identity.chain[0]).unwrap();
    let fields = "x509 -in leaf.pem -noout -serial -subject -issuer -startdate -enddate \
                  -dateopt iso_8601 -nameopt RFC2253,utf8 -fingerprint -sha256 \
                  -ext keyUsage,extendedKeyUsage,subjectAltName,subjectKeyIdentifier";
    let fields: Vec<&str> = fields.split_whitespace().collect();
    let (_, text) = openssl(dir.path(), &fields).expect("openssl was there");
    let hex_colons = |bytes: &[u8]| {
        let pairs: Vec<String> = bytes.iter().map(|byte| format!("{byte:02X}")).collect();
        pairs.join(":")
    };
    for part in [
        format!("serial={}", hex::encode_upper(&words.serial)),
        format!("subject={}", words.subject),
        format!("issuer={}", words.issuer),
        hex_colons(&words.sha256),
        hex_colons(words.subject_key_id.as_deref().unwrap()),
        words.alternative_names.join(", "),
    ] {
        assert!(text.contains(&part), "{part:?} in {text}");
    }
    assert!(text.contains("Digital Signature"), "{text}");
    assert_eq!(words.key_usage, ["digitalSignature"]);
    assert_eq!(words.extended_key_usage, ["serverAuth", "clientAuth"]);
}

#[test]
fn a_certificate_that_openssl_signed_for_our_request_fits() {
    let dir = tempfile::tempdir().unwrap();
    let key = SecretKey::generate();
    let request = Request::create(&subject(), Purpose::Leaf(Usage::Tls), &key).unwrap();
    write(dir.path(), "node.csr", &x509::request_to_pem(&request));
    let config = "[req]\ndistinguished_name=dn\nprompt=no\nx509_extensions=ca\n\
                  [dn]\nCN=Their Root\n[ca]\nbasicConstraints=critical,CA:true\n\
                  keyUsage=critical,keyCertSign,cRLSign\nsubjectKeyIdentifier=hash\n";
    write(dir.path(), "openssl.cnf", config);
    let sigopt = "-sigopt distid:1234567812345678 -sm3";
    for line in [
        "ecparam -name SM2 -genkey -noout -out ca.key".to_owned(),
        format!("req -x509 -new -key ca.key -config openssl.cnf -days 30 {sigopt} -out ca.pem"),
        format!(
            "x509 -req -in node.csr -CA ca.pem -CAkey ca.key -set_serial 0x5151515151 -days 20 \
             -copy_extensions copy -vfyopt distid:1234567812345678 {sigopt} -out node.pem"
        ),
    ] {
        let words: Vec<&str> = line.split_whitespace().collect();
        let Some((ok, text)) = openssl(dir.path(), &words) else {
            return;
        };
        assert!(ok, "{line}: {text}");
    }
    let read = |name: &str| {
        let pem = std::fs::read_to_string(dir.path().join(name)).unwrap();
        x509::certificates_from_pem(&pem).unwrap()
    };
    let (roots, chain) = (read("ca.pem"), read("node.pem"));
    let now = x509::dangerous_read_unverified(&chain[0])
        .unwrap()
        .not_before
        + 60;
    let identity = Identity { chain, key };
    let leaf = identity.check(&roots, &subject(), Usage::Tls, now).unwrap();
    assert_eq!(leaf.common_name, "edge-a1");
}
