//! Two implementations that share no code with ours must agree: the crate `sm-crypto`, and the
//! `openssl` program where it is installed and knows SM2.
//!
//! `sm-crypto` panics on altered input, so it is given honest input only.

use std::process::Command;

use guitai_crypto::x509::{Authority, Subject, Usage};
use guitai_crypto::{random, sm2, sm3, sm4, x509};

fn bytes(length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    random::fill(&mut bytes);
    bytes
}

#[test]
fn sm3_agrees_with_sm_crypto() {
    for length in (0..200).chain([1000, 5000]) {
        let data = bytes(length);
        let theirs = sm_crypto::sm3::sm3_hash(&data);
        assert_eq!(hex::encode(sm3::hash(&data)), theirs, "{length} bytes");
    }
}

#[test]
fn sm4_blocks_agree_with_sm_crypto() {
    for _ in 0..200 {
        let (key, mut block): ([u8; 16], [u8; 16]) = (random::array(), random::array());
        // It pads: its first block is the one asked for.
        let theirs = sm_crypto::sm4::CryptSM4ECB::new(&key).encrypt_ecb(&block);
        sm4::Block::new(&key).encrypt(&mut block);
        assert_eq!(block[..], theirs[..16]);
    }
}

#[test]
fn sm_crypto_accepts_our_signatures_and_we_its() {
    let key = sm2::SecretKey::generate();
    let public = key.public();
    let private_hex = private_hex(&key);
    let public_hex = hex::encode(&public.to_point()[1..]);
    let signer = sm_crypto::sm2::Sign::new(&private_hex);
    let verifier = sm_crypto::sm2::Verify::new(&public_hex);
    for length in 0..40 {
        let message = bytes(length);
        assert!(verifier.verify_der(&message, &key.sign(&message), true));
        public
            .verify(&message, &signer.sign_der(&message, true))
            .unwrap();
    }
}

#[test]
fn sm_crypto_opens_what_we_encrypt_and_we_its() {
    let key = sm2::SecretKey::generate();
    let private_hex = private_hex(&key);
    let public_hex = hex::encode(&key.public().to_point()[1..]);
    let decryptor = sm_crypto::sm2::Decrypt::new(&private_hex);
    let encryptor = sm_crypto::sm2::Encrypt::new(&public_hex);
    for length in [1, 16, 31, 32, 33, 65, 1024] {
        let mut message = bytes(length);
        // It drops leading zero bytes of what it decrypts.
        message[0] |= 1;
        let ours = key.public().encrypt(&message).unwrap();
        // It leaves out the point's leading 0x04.
        assert_eq!(decryptor.decrypt(&ours[1..]), message);
        let theirs = [&[0x04][..], &encryptor.encrypt(&message)].concat();
        assert_eq!(*key.decrypt(&theirs).unwrap(), message);
    }
}

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

/// The private scalar, from its place in the PKCS#8 that we write.
fn private_hex(key: &sm2::SecretKey) -> String {
    let der = key.to_pkcs8_der();
    let marker = [0x02, 0x01, 0x01, 0x04, 0x20];
    let at = der.windows(5).position(|window| window == marker).unwrap() + 5;
    hex::encode(&der[at..at + 32])
}
