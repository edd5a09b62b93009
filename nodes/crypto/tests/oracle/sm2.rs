//! SM2: every side takes what every other makes.
//!
//! Each comparison is [`PARTS`] tests, so that 100,000 cases of it use every core and stay within what one
//! test may take.

use ::sm2::dsa::signature::{Signer as _, Verifier as _};
use der::{Decode as _, Encode as _, Sequence};
use guitai_crypto::sm2::{DEFAULT_ID, PublicKey, SecretKey};

use crate::openssl::Operation;
use crate::{Random, openssl, part_of_cases};

/// Tests that a comparison is cut into.
const PARTS: usize = 16;
/// Cases with one key: making it in four implementations costs as much as using it.
const CASES_PER_KEY: usize = 8;

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

impl Keys {
    /// Calls `compare` with a key and a message of `1..=longest` bytes for each case of a part, and says how
    /// many there were.
    fn each_case(
        (part, default): (usize, usize),
        peer: &str,
        longest: usize,
        mut compare: impl FnMut(&Self, &[u8], &mut Random),
    ) {
        let mut random = Random::of_part(part);
        let cases = part_of_cases(part, PARTS, default);
        let mut keys = Self::new(&mut random);
        for case in 0..cases {
            if case.is_multiple_of(CASES_PER_KEY) {
                keys = Self::new(&mut random);
            }
            let length = 1 + random.below(longest);
            let message = random.bytes(length);
            compare(&keys, &message, &mut random);
        }
        eprintln!("{peer}: {cases} cases in part {part}");
    }

    /// Scalar and coordinates as sm-crypto takes them.
    fn hexadecimal(&self) -> (String, String) {
        let point = self.public.to_point();
        (hex::encode(self.scalar), hex::encode(&point[1..]))
    }

    fn gmcrypto_public(&self) -> gmcrypto_core::sm2::Sm2PublicKey {
        gmcrypto_core::sm2::Sm2PublicKey::from_sec1_bytes(&self.public.to_point()).unwrap()
    }
}

/// The tests of a comparison: a module of its name with a test for each part.
macro_rules! in_parts {
    ($compare:ident, $default:literal cases) => {
        in_parts!($compare, $default: part_01 0, part_02 1, part_03 2, part_04 3, part_05 4, part_06 5, part_07 6,
            part_08 7, part_09 8, part_10 9, part_11 10, part_12 11, part_13 12, part_14 13, part_15 14, part_16 15);
    };
    ($compare:ident, $default:literal: $($name:ident $part:literal),*) => {
        const _: () = assert!([$($part),*].len() == PARTS, "every part has a test");
        mod $compare {
            $(#[test]
            fn $name() {
                super::$compare(($part, $default));
            })*
        }
    };
}
in_parts!(rustcrypto_signatures, 320 cases);
in_parts!(rustcrypto_ciphertexts, 320 cases);
in_parts!(rustcrypto_agreement, 320 cases);
in_parts!(gmcrypto_signatures, 320 cases);
in_parts!(gmcrypto_ciphertexts, 320 cases);
in_parts!(sm_crypto_signatures, 48 cases);
in_parts!(sm_crypto_ciphertexts, 48 cases);
in_parts!(openssl_signatures, 160 cases);
in_parts!(openssl_ciphertexts, 160 cases);
in_parts!(openssl_agreement, 160 cases);

fn rustcrypto_signatures(part: (usize, usize)) {
    Keys::each_case(part, "RustCrypto, signatures", 300, |keys, message, _| {
        let point = keys.rustcrypto.public_key();
        let their_point = ::sm2::elliptic_curve::sec1::ToSec1Point::to_sec1_point(&point, false);
        assert_eq!(keys.public.to_point()[..], *their_point.as_bytes());

        let ours = keys.ours.sign(message);
        let signature = ::sm2::dsa::Signature::from_der(&ours).unwrap();
        let verifier = ::sm2::dsa::VerifyingKey::new(DEFAULT_ID, point).unwrap();
        verifier.verify(message, &signature).unwrap();
        let signer = ::sm2::dsa::SigningKey::new(DEFAULT_ID, &keys.rustcrypto).unwrap();
        let theirs: ::sm2::dsa::Signature = signer.sign(message);
        let theirs = theirs.to_der();
        keys.public.verify(message, theirs.as_bytes()).unwrap();

        // Both refuse the same.
        let altered = [message, &[0]].concat();
        keys.public.verify(&altered, &ours).unwrap_err();
        verifier.verify(&altered, &signature).unwrap_err();
    });
}

fn gmcrypto_signatures(part: (usize, usize)) {
    let id = DEFAULT_ID.as_bytes();
    Keys::each_case(
        part,
        "gmcrypto-core, signatures",
        300,
        |keys, message, _| {
            let (ours, public) = (keys.ours.sign(message), keys.gmcrypto_public());
            let verify =
                |message: &[u8]| gmcrypto_core::sm2::verify_with_id(&public, id, message, &ours);
            assert!(verify(message));
            assert!(!verify(&[message, &[0]].concat()));
            let rng = &mut getrandom::SysRng;
            let theirs =
                gmcrypto_core::sm2::sign_with_id(&keys.gmcrypto, id, message, rng).unwrap();
            keys.public.verify(message, &theirs).unwrap();
        },
    );
}

fn rustcrypto_ciphertexts(part: (usize, usize)) {
    Keys::each_case(
        part,
        "RustCrypto, encryption",
        200,
        |keys, message, random| {
            let mut ours = keys.public.encrypt(message).unwrap();
            let decryptor = ::sm2::pke::DecryptingKey::new(keys.rustcrypto.clone());
            assert_eq!(decryptor.decrypt(&ours).unwrap(), message);
            let encryptor = ::sm2::pke::EncryptingKey::new(keys.rustcrypto.public_key());
            let theirs = encryptor.encrypt(&mut getrandom::SysRng, message).unwrap();
            assert_eq!(*keys.ours.decrypt(&theirs).unwrap(), message);

            // Both refuse the same: a bit of hash or cipher is another.
            let at = 65 + random.below(ours.len() - 65);
            ours[at] ^= 1 << random.below(8);
            keys.ours.decrypt(&ours).unwrap_err();
            decryptor.decrypt(&ours).unwrap_err();
        },
    );
}

fn gmcrypto_ciphertexts(part: (usize, usize)) {
    Keys::each_case(
        part,
        "gmcrypto-core, encryption",
        200,
        |keys, message, _| {
            let ours = keys.public.encrypt(message).unwrap();
            let opened = gmcrypto_core::sm2::decrypt(&keys.gmcrypto, &to_der(&ours)).unwrap();
            assert_eq!(opened, message);
            let rng = &mut getrandom::SysRng;
            let theirs =
                gmcrypto_core::sm2::encrypt(&keys.gmcrypto_public(), message, rng).unwrap();
            assert_eq!(*keys.ours.decrypt(&from_der(&theirs)).unwrap(), message);
        },
    );
}

/// The agreement of TLS (RFC 8998): the x-coordinate of the common point, computed by both sides of both.
fn rustcrypto_agreement(part: (usize, usize)) {
    Keys::each_case(part, "RustCrypto, agreement", 1, |keys, _, random| {
        let other = Keys::new(random);
        let secret = keys.ours.agree(&other.public);
        assert_eq!(*secret, *other.ours.agree(&keys.public));
        let theirs = ::sm2::elliptic_curve::ecdh::diffie_hellman(
            keys.rustcrypto.to_nonzero_scalar(),
            other.rustcrypto.public_key().as_affine(),
        );
        assert_eq!(secret[..], theirs.raw_secret_bytes()[..]);
    });
}

fn sm_crypto_signatures(part: (usize, usize)) {
    Keys::each_case(part, "sm-crypto, signatures", 200, |keys, message, _| {
        let (private, public) = keys.hexadecimal();
        let ours = keys.ours.sign(message);
        assert!(sm_crypto::sm2::Verify::new(&public).verify_der(message, &ours, true));
        let theirs = sm_crypto::sm2::Sign::new(&private).sign_der(message, true);
        keys.public.verify(message, &theirs).unwrap();
    });
}

fn sm_crypto_ciphertexts(part: (usize, usize)) {
    Keys::each_case(part, "sm-crypto, encryption", 200, |keys, message, _| {
        let (private, public) = keys.hexadecimal();
        // It drops leading zero bytes of what it decrypts.
        let mut message = message.to_vec();
        message[0] |= 1;
        let ours = keys.public.encrypt(&message).unwrap();
        // It leaves out the point's leading 0x04, and panics on altered input: it gets honest input only.
        let opened = sm_crypto::sm2::Decrypt::new(&private).decrypt(&ours[1..]);
        assert_eq!(opened, message);
        // Where the derived key is all zero (GB/T 32918.4, 6.1, A5), it gives nothing instead of drawing again:
        // once in 256 messages of one byte.
        let theirs = loop {
            let theirs = sm_crypto::sm2::Encrypt::new(&public).encrypt(&message);
            if !theirs.is_empty() {
                break [&[0x04][..], &theirs].concat();
            }
        };
        assert_eq!(*keys.ours.decrypt(&theirs).unwrap(), message);
    });
}

fn openssl_signatures(part: (usize, usize)) {
    let Some(mut openssl) = openssl() else { return };
    Keys::each_case(part, "OpenSSL, signatures", 200, |keys, message, _| {
        let (private, public) = (keys.ours.to_pkcs8_der(), keys.public.to_spki_der());
        let ours = keys.ours.sign(message);
        let mut verify = |message: &[u8]| {
            let accepted = openssl.ask(Operation::Sm2Verify, &[&public, message, &ours]);
            accepted.is_some()
        };
        assert!(verify(message));
        assert!(!verify(&[message, b"."].concat()));
        let theirs = openssl.ask(Operation::Sm2Sign, &[&private, message]);
        keys.public.verify(message, &theirs.unwrap()).unwrap();
    });
}

fn openssl_ciphertexts(part: (usize, usize)) {
    let Some(mut openssl) = openssl() else { return };
    Keys::each_case(part, "OpenSSL, encryption", 200, |keys, message, _| {
        let (private, public) = (keys.ours.to_pkcs8_der(), keys.public.to_spki_der());
        let ours = to_der(&keys.public.encrypt(message).unwrap());
        let opened = openssl.ask(Operation::Sm2Decrypt, &[&private, &ours]);
        assert_eq!(opened.as_deref(), Some(message));
        let theirs = openssl.ask(Operation::Sm2Encrypt, &[&public, message]);
        let theirs = from_der(&theirs.unwrap());
        assert_eq!(*keys.ours.decrypt(&theirs).unwrap(), message);
    });
}

fn openssl_agreement(part: (usize, usize)) {
    let Some(mut openssl) = openssl() else { return };
    Keys::each_case(part, "OpenSSL, agreement", 1, |keys, _, random| {
        let other = Keys::new(random);
        let point = other.public.to_point();
        let theirs = openssl.ask(Operation::Sm2Agree, &[&keys.scalar, &point]);
        assert_eq!(theirs.as_deref(), Some(&keys.ours.agree(&other.public)[..]));
    });
}
