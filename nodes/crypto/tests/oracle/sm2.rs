//! SM2: every side takes what every other makes.

use ::sm2::dsa::signature::{Signer as _, Verifier as _};
use der::{Decode as _, Encode as _, Sequence};
use guitai_crypto::sm2::{DEFAULT_ID, PublicKey, SecretKey};

use crate::openssl::Operation;
use crate::{Random, cases, openssl};

/// A ciphertext as GM/T 0009 (7.2) writes it in DER; ours is 04 ‖ x ‖ y ‖ hash ‖ cipher.
#[derive(Sequence)]
struct Ciphertext<'a> {
    x: der::asn1::UintRef<'a>,
    y: der::asn1::UintRef<'a>,
    hash: &'a der::asn1::OctetStringRef,
    cipher: &'a der::asn1::OctetStringRef,
}

fn to_der(raw: &[u8]) -> Vec<u8> {
    let text = |bytes| der::asn1::OctetStringRef::new(bytes).unwrap();
    let parts = Ciphertext {
        x: der::asn1::UintRef::new(&raw[1..33]).unwrap(),
        y: der::asn1::UintRef::new(&raw[33..65]).unwrap(),
        hash: text(&raw[65..97]),
        cipher: text(&raw[97..]),
    };
    parts.to_der().unwrap()
}

fn from_der(der: &[u8]) -> Vec<u8> {
    let parts = Ciphertext::from_der(der).unwrap();
    let mut raw = vec![0x04];
    for number in [parts.x, parts.y] {
        let bytes = number.as_bytes();
        raw.resize(raw.len() + 32 - bytes.len(), 0);
        raw.extend_from_slice(bytes);
    }
    [
        raw,
        parts.hash.as_bytes().to_vec(),
        parts.cipher.as_bytes().to_vec(),
    ]
    .concat()
}

/// The same key in every implementation.
struct Keys {
    scalar: [u8; 32],
    ours: SecretKey,
    public: PublicKey,
    rustcrypto: ::sm2::SecretKey,
    gmcrypto: gmcrypto_core::sm2::Sm2PrivateKey,
}

impl Keys {
    fn new(random: &mut Random) -> Self {
        loop {
            let scalar: [u8; 32] = random.array();
            // As good as every scalar is a key.
            let Ok(rustcrypto) = ::sm2::SecretKey::from_slice(&scalar) else {
                continue;
            };
            let pkcs8 = ::sm2::pkcs8::EncodePrivateKey::to_pkcs8_der(&rustcrypto).unwrap();
            let ours = SecretKey::from_pkcs8_der(pkcs8.as_bytes()).unwrap();
            let gmcrypto = gmcrypto_core::sm2::Sm2PrivateKey::from_bytes_be(&scalar);
            return Self {
                scalar,
                public: ours.public(),
                ours,
                rustcrypto,
                gmcrypto: gmcrypto.into_option().unwrap(),
            };
        }
    }
}

#[test]
fn signatures_agree_with_rustcrypto_and_gmcrypto() {
    let mut random = Random::new();
    let id = DEFAULT_ID.as_bytes();
    for _ in 0..cases(200) {
        let keys = Keys::new(&mut random);
        let length = random.below(300);
        let message = random.bytes(length);
        let point = keys.rustcrypto.public_key();
        let their_point = ::sm2::elliptic_curve::sec1::ToSec1Point::to_sec1_point(&point, false);
        assert_eq!(keys.public.to_point()[..], *their_point.as_bytes());

        let ours = keys.ours.sign(&message);
        let signature = ::sm2::dsa::Signature::from_der(&ours).unwrap();
        let verifier = ::sm2::dsa::VerifyingKey::new(DEFAULT_ID, point).unwrap();
        verifier.verify(&message, &signature).unwrap();
        let signer = ::sm2::dsa::SigningKey::new(DEFAULT_ID, &keys.rustcrypto).unwrap();
        let theirs: ::sm2::dsa::Signature = signer.sign(&message);
        keys.public
            .verify(&message, theirs.to_der().as_bytes())
            .unwrap();

        let public = gmcrypto_core::sm2::Sm2PublicKey::from_sec1_bytes(&keys.public.to_point());
        assert!(gmcrypto_core::sm2::verify_with_id(
            &public.unwrap(),
            id,
            &message,
            &ours
        ));
        let rng = &mut getrandom::SysRng;
        let theirs = gmcrypto_core::sm2::sign_with_id(&keys.gmcrypto, id, &message, rng).unwrap();
        keys.public.verify(&message, &theirs).unwrap();

        // Both refuse the same.
        let mut altered = message.clone();
        altered.push(0);
        keys.public.verify(&altered, &ours).unwrap_err();
        verifier.verify(&altered, &signature).unwrap_err();
    }
}

#[test]
fn ciphertexts_agree_with_rustcrypto_and_gmcrypto() {
    let mut random = Random::new();
    for _ in 0..cases(200) {
        let keys = Keys::new(&mut random);
        let length = 1 + random.below(200);
        let message = random.bytes(length);
        let ours = keys.public.encrypt(&message).unwrap();
        let decryptor = ::sm2::pke::DecryptingKey::new(keys.rustcrypto.clone());
        assert_eq!(decryptor.decrypt(&ours).unwrap(), message);
        let rng = &mut getrandom::SysRng;
        let theirs = ::sm2::pke::EncryptingKey::new(keys.rustcrypto.public_key());
        let theirs = theirs.encrypt(rng, &message).unwrap();
        assert_eq!(*keys.ours.decrypt(&theirs).unwrap(), message);

        let opened = gmcrypto_core::sm2::decrypt(&keys.gmcrypto, &to_der(&ours)).unwrap();
        assert_eq!(opened, message);
        let public = gmcrypto_core::sm2::Sm2PublicKey::from_sec1_bytes(&keys.public.to_point());
        let theirs = gmcrypto_core::sm2::encrypt(&public.unwrap(), &message, rng).unwrap();
        assert_eq!(*keys.ours.decrypt(&from_der(&theirs)).unwrap(), message);
    }
}

#[test]
fn sm_crypto_agrees() {
    let mut random = Random::new();
    for _ in 0..cases(40) {
        let keys = Keys::new(&mut random);
        let (private, public) = (
            hex::encode(keys.scalar),
            hex::encode(&keys.public.to_point()[1..]),
        );
        let length = 1 + random.below(200);
        let mut message = random.bytes(length);
        let ours = keys.ours.sign(&message);
        assert!(sm_crypto::sm2::Verify::new(&public).verify_der(&message, &ours, true));
        let theirs = sm_crypto::sm2::Sign::new(&private).sign_der(&message, true);
        keys.public.verify(&message, &theirs).unwrap();
        // It drops leading zero bytes of what it decrypts.
        message[0] |= 1;
        let ours = keys.public.encrypt(&message).unwrap();
        // It leaves out the point's leading 0x04, and panics on altered input: it gets honest input only.
        let opened = sm_crypto::sm2::Decrypt::new(&private).decrypt(&ours[1..]);
        assert_eq!(opened, message);
        let theirs = sm_crypto::sm2::Encrypt::new(&public).encrypt(&message);
        let theirs = [&[0x04][..], &theirs].concat();
        assert_eq!(*keys.ours.decrypt(&theirs).unwrap(), message);
    }
}

#[test]
fn openssl_agrees() {
    let Some(mut openssl) = openssl() else { return };
    let mut random = Random::new();
    for _ in 0..cases(150) {
        let keys = Keys::new(&mut random);
        let (private, public) = (keys.ours.to_pkcs8_der(), keys.public.to_spki_der());
        let length = 1 + random.below(200);
        let message = random.bytes(length);
        let ours = keys.ours.sign(&message);
        assert!(
            openssl
                .ask(Operation::Sm2Verify, &[&public, &message, &ours])
                .is_some()
        );
        let altered = [&message[..], b"."].concat();
        assert!(
            openssl
                .ask(Operation::Sm2Verify, &[&public, &altered, &ours])
                .is_none()
        );
        let theirs = openssl
            .ask(Operation::Sm2Sign, &[&private, &message])
            .unwrap();
        keys.public.verify(&message, &theirs).unwrap();
        let ours = to_der(&keys.public.encrypt(&message).unwrap());
        let opened = openssl.ask(Operation::Sm2Decrypt, &[&private, &ours]);
        assert_eq!(opened.as_deref(), Some(&message[..]));
        let theirs = openssl
            .ask(Operation::Sm2Encrypt, &[&public, &message])
            .unwrap();
        assert_eq!(*keys.ours.decrypt(&from_der(&theirs)).unwrap(), message);
    }
}
