//! SM2 certificates of ours read by OpenSSL, and its read by ours.

use std::collections::BTreeMap;

use guitai_crypto::{
    sm2,
    x509::{self, Purpose, Reason, Request, Revoked, Subject, Usage},
};

use crate::{Cluster, NAME, now, openssl::OpenSsl};

#[test]
#[ignore = "needs GUITAI_OPENSSL"]
fn ours_are_verified_and_shown_by_it() {
    let (cluster, openssl) = (Cluster::new(), OpenSsl::new());
    let [_, node, _, key] = openssl.identity(&cluster.identity());
    let root = openssl.file("root.pem", cluster.root_pem());
    let verify = ["verify", "-x509_strict", "-CAfile", &root, "-purpose"];
    for purpose in ["sslserver", "sslclient"] {
        let said = openssl.run(&[&verify[..], &[purpose, &node]].concat()).ok();
        assert!(said.trim_end().ends_with(": OK"), "{said}");
    }
    let refused = openssl.run(&[&verify[..], &["smimesign", &node]].concat());
    assert!(!refused.success, "not a purpose of ours: {}", refused.text);
    let other = openssl.file("other.pem", Cluster::new().root_pem());
    let refused = openssl.run(&["verify", "-CAfile", &other, &node]);
    assert!(!refused.success, "another root: {}", refused.text);

    let text = openssl.run(&["x509", "-in", &node, "-noout", "-text"]).ok();
    for expected in [
        "Signature Algorithm: SM2-with-SM3",
        "ASN1 OID: SM2",
        &format!("DNS:{NAME}"),
        "Subject: O=cluster, CN=a1-1",
        "Issuer: O=cluster, CN=Guitai Root",
    ] {
        assert!(text.contains(expected), "{expected} is not in:\n{text}");
    }
    let public = |command: &[&str]| openssl.run(command).ok();
    let from_certificate = public(&["x509", "-in", &node, "-noout", "-pubkey"]);
    assert_eq!(from_certificate, public(&["pkey", "-in", &key, "-pubout"]));
}

#[test]
#[ignore = "needs GUITAI_OPENSSL"]
fn its_are_verified_and_read_by_ours() {
    let openssl = OpenSsl::new();
    let path = |name: &str| openssl.path(name);
    for name in ["ca", "node"] {
        let key = path(&format!("{name}.key"));
        openssl
            .run(&["genpkey", "-algorithm", "SM2", "-out", &key])
            .ok();
        let pem = std::fs::read_to_string(&key).unwrap();
        let ours = sm2::SecretKey::from_pkcs8_pem(&pem).unwrap();
        let public = openssl.run(&[
            "pkey",
            "-in",
            &key,
            "-pubout",
            "-outform",
            "DER",
            "-out",
            &path("public"),
        ]);
        public.ok();
        let public = std::fs::read(path("public")).unwrap();
        assert_eq!(ours.public().to_spki_der(), public);
    }
    let (ca, ca_key) = (path("ca.pem"), path("ca.key"));
    let new_ca = ["req", "-x509", "-new", "-sm3", "-key", &ca_key, "-out", &ca];
    let subject = ["-days", "30", "-subj", "/O=bank/CN=Bank Root"];
    let extensions = ["-addext", "basicConstraints=critical,CA:TRUE"];
    openssl
        .run(&[&new_ca[..], &subject, &extensions].concat())
        .ok();

    let (request, node) = (path("node.csr"), path("node.pem"));
    let (name, key) = (format!("subjectAltName=DNS:{NAME}"), path("node.key"));
    let new = ["req", "-new", "-sm3", "-key", &key, "-out", &request];
    let subject = ["-subj", "/O=bank/CN=a1-1", "-addext", &name];
    let usage = ["-addext", "keyUsage=critical,digitalSignature"];
    openssl.run(&[&new[..], &subject, &usage].concat()).ok();
    let sign = ["x509", "-req", "-sm3", "-in", &request, "-out", &node];
    let by = [
        "-CA",
        &ca,
        "-CAkey",
        &ca_key,
        "-days",
        "30",
        "-copy_extensions",
        "copyall",
    ];
    openssl.run(&[&sign[..], &by].concat()).ok();

    let read = |path: &str| {
        let pem = std::fs::read_to_string(path).unwrap();
        x509::certificates_from_pem(&pem).unwrap()
    };
    let leaf = x509::verify_chain(&read(&node), &read(&ca), now()).unwrap();
    assert_eq!(leaf.common_name, "a1-1");
    assert_eq!(leaf.organization, "bank");
    assert_eq!(leaf.dns_names, [NAME]);
    let pem = std::fs::read_to_string(&key).unwrap();
    let key = sm2::SecretKey::from_pkcs8_pem(&pem).unwrap();
    assert_eq!(leaf.public_key, key.public());
    let other = vec![Cluster::new().roots().remove(0)];
    x509::verify_chain(&read(&node), &other, now()).unwrap_err();
}

/// The default ID 1234567812345678 (GM/T 0009, 10) holds outside of TLS on both sides.
#[test]
#[ignore = "needs GUITAI_OPENSSL"]
fn signatures_go_both_ways() {
    let openssl = OpenSsl::new();
    let key = sm2::SecretKey::generate();
    let key_file = openssl.file("key.pem", &*key.to_pkcs8_pem());
    let message = openssl.file("message", "柜台");
    let id = ["-pkeyopt", "distid:1234567812345678"];
    let with_key = [
        "pkeyutl", "-inkey", &key_file, "-rawin", "-digest", "sm3", "-in", &message,
    ];

    let signature = openssl.path("theirs.sig");
    let sign = ["-sign", "-out", &signature];
    openssl.run(&[&with_key[..], &sign, &id].concat()).ok();
    let theirs = std::fs::read(&signature).unwrap();
    key.public().verify("柜台".as_bytes(), &theirs).unwrap();
    key.public().verify(b"other", &theirs).unwrap_err();

    let signature = openssl.file("ours.sig", key.sign("柜台".as_bytes()));
    let verify = ["-verify", "-sigfile", &signature];
    openssl.run(&[&with_key[..], &verify, &id].concat()).ok();
}

#[test]
#[ignore = "needs GUITAI_OPENSSL"]
fn requests_go_both_ways() {
    let openssl = OpenSsl::new();
    let key = sm2::SecretKey::generate();
    let subject = Subject {
        common_name: "a1-1".into(),
        organization: "bank".into(),
        dns_names: vec![NAME.into()],
    };
    let ours = Request::create(&subject, Purpose::Leaf(Usage::Tls), &key).unwrap();
    let file = openssl.file("ours.csr", x509::request_to_pem(&ours));
    let show = ["req", "-in", &file, "-noout", "-text", "-verify"];
    let text = openssl.run(&show).ok();
    for expected in [
        "self-signature verify OK",
        "Subject: O=bank, CN=a1-1",
        "ASN1 OID: SM2",
        &format!("DNS:{NAME}"),
    ] {
        assert!(text.contains(expected), "{expected} is not in:\n{text}");
    }
    let mut altered = ours;
    *altered.last_mut().unwrap() ^= 1;
    openssl.file("ours.csr", x509::request_to_pem(&altered));
    let refused = openssl.run(&show);
    assert!(!refused.text.contains("verify OK"), "{}", refused.text);

    let (key_file, theirs) = (openssl.path("their.key"), openssl.path("their.csr"));
    let generate = ["genpkey", "-algorithm", "SM2", "-out", &key_file];
    openssl.run(&generate).ok();
    let name = format!("subjectAltName=DNS:{NAME}");
    let new = ["req", "-new", "-sm3", "-key", &key_file, "-out", &theirs];
    let what = ["-subj", "/O=bank/CN=a1-1", "-addext", &name];
    openssl.run(&[&new[..], &what].concat()).ok();
    let pem = std::fs::read_to_string(&theirs).unwrap();
    let read = Request::from_der(&x509::request_from_pem(&pem).unwrap()).unwrap();
    assert_eq!(read.subject, subject);
    let pem = std::fs::read_to_string(&key_file).unwrap();
    let key = sm2::SecretKey::from_pkcs8_pem(&pem).unwrap();
    assert_eq!(read.public_key, key.public());
}

#[test]
#[ignore = "needs GUITAI_OPENSSL"]
fn it_obeys_our_revocation_lists() {
    let (cluster, openssl) = (Cluster::new(), OpenSsl::new());
    let (good, bad) = (cluster.identity(), cluster.identity());
    let serial = x509::identify(&bad.chain[0]).unwrap().serial;
    let revoked = Revoked {
        at_unix: now() - 60,
        reason: Reason::KeyCompromise,
    };
    let entries = BTreeMap::from([(serial, revoked)]);
    let list = cluster.0.issue_crl(7, &entries, now() - 60, now() + 3_600);
    let list = openssl.file("list.pem", x509::crl_to_pem(&list.unwrap()));
    let root = openssl.file("root.pem", cluster.root_pem());
    let show = ["crl", "-in", &list, "-CAfile", &root, "-noout", "-text"];
    let text = openssl.run(&show).ok();
    for expected in ["verify OK", "Key Compromise", "SM2-with-SM3"] {
        assert!(text.contains(expected), "{expected} is not in:\n{text}");
    }
    let check = ["verify", "-CAfile", &root, "-CRLfile", &list, "-crl_check"];
    let [_, node, ..] = openssl.identity(&good);
    openssl.run(&[&check[..], &[&node]].concat()).ok();
    let [_, node, ..] = openssl.identity(&bad);
    let refused = openssl.run(&[&check[..], &[&node]].concat());
    assert!(!refused.success, "{}", refused.text);
    assert!(
        refused.text.contains("certificate revoked"),
        "{}",
        refused.text
    );
}
