//! Certificates and signatures of ours with the `openssl` program of the system, where it knows SM2.

use std::process::Command;

use guitai_crypto::x509::{Authority, Subject, Usage};
use guitai_crypto::{sm2, x509};

/// `openssl` is asked as a program: certificates must chain, and a signature of each side must
/// satisfy the other.
#[test]
fn openssl_agrees_where_it_is_installed() {
    let Some(version) = openssl_with_sm2() else {
        eprintln!("SKIPPED: no openssl program that knows SM2 on this machine");
        return;
    };
    eprintln!("checking against {version}");
    let now = std::time::SystemTime::UNIX_EPOCH
        .elapsed()
        .unwrap()
        .as_secs();
    let dir = tempfile::tempdir().unwrap();
    let file = |name: &str| dir.path().join(name).display().to_string();
    let authority = Authority::create("Guitai Root", "cluster 1", 30, now).unwrap();
    let key = sm2::SecretKey::generate();
    let subject = Subject {
        common_name: "a1-1".into(),
        organization: "cluster 1".into(),
        dns_names: vec!["a1-1.inner.guitai.internal".into()],
    };
    let leaf = authority
        .issue(&subject, &key.public(), Usage::Tls, 30, now)
        .unwrap();
    std::fs::write(file("root.pem"), authority.to_pem().0).unwrap();
    std::fs::write(file("leaf.pem"), x509::certificates_to_pem(&[leaf])).unwrap();
    std::fs::write(file("key.pem"), key.to_pkcs8_pem().as_bytes()).unwrap();
    std::fs::write(file("message"), b"one message").unwrap();
    std::fs::write(file("ours.sig"), key.sign(b"one message")).unwrap();

    let distid = "distid:1234567812345678";
    let verified = openssl(&[
        "verify",
        "-vfyopt",
        distid,
        "-x509_strict",
        "-CAfile",
        &file("root.pem"),
        &file("leaf.pem"),
    ]);
    assert!(verified.contains("OK"), "{verified}");
    let text = openssl(&["x509", "-noout", "-text", "-in", &file("leaf.pem")]);
    for part in [
        "SM2-with-SM3",
        "ASN1 OID: SM2",
        "DNS:a1-1.inner.guitai.internal",
    ] {
        assert!(text.contains(part), "{part} in {text}");
    }
    let (message, signature) = (file("message"), file("ours.sig"));
    let mut check = vec!["pkeyutl", "-rawin", "-digest", "sm3", "-pkeyopt", distid];
    check.extend(["-in", &message, "-inkey"]);
    let (leaf, key_file, theirs) = (file("leaf.pem"), file("key.pem"), file("theirs.sig"));
    let verify = [
        &check[..],
        &[&leaf, "-certin", "-verify", "-sigfile", &signature],
    ]
    .concat();
    let verified = openssl(&verify);
    assert!(verified.contains("Success"), "{verified}");
    openssl(&[&check[..], &[&key_file, "-sign", "-out", &theirs]].concat());
    key.public()
        .verify(b"one message", &std::fs::read(theirs).unwrap())
        .unwrap();
}

/// The version of `openssl`, if it is there and has the curve.
fn openssl_with_sm2() -> Option<String> {
    let output = |arguments: &[&str]| {
        let output = Command::new("openssl").args(arguments).output().ok()?;
        Some(String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let curves = output(&["ecparam", "-list_curves"])?;
    curves.contains("SM2").then(|| output(&["version"]))?
}

fn openssl(arguments: &[&str]) -> String {
    let output = Command::new("openssl").args(arguments).output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text).into_owned();
    assert!(output.status.success(), "openssl {arguments:?}: {text}");
    text
}
