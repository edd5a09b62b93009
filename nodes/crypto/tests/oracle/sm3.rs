//! SM3 and HMAC-SM3.

use ::hmac::{KeyInit as _, Mac as _};
use ::sm3::Digest as _;
use guitai_crypto::sm3::{self, Hasher, Path};

use crate::openssl::Operation;
use crate::{Random, cases, openssl};

#[test]
fn every_path_agrees_with_rustcrypto_and_gmcrypto() {
    let names: Vec<&str> = Path::available().iter().map(|path| path.name()).collect();
    eprintln!("SM3 paths: {}", names.join(" "));
    let mut random = Random::new();
    for _ in 0..cases(10_000) {
        let (buffer, from) = random.placed();
        let message = &buffer[from..];
        let expected: [u8; 32] = ::sm3::Sm3::digest(message).into();
        assert_eq!(gmcrypto_core::sm3::hash(message), expected);
        for path in Path::available() {
            assert_eq!(path.hash(message), expected, "{path:?} {}", message.len());
        }
        let mut hasher = Hasher::new();
        let (first, second) = message.split_at(random.below(message.len() + 1));
        hasher.update(first);
        hasher.update(second);
        assert_eq!(
            hasher.finish(),
            expected,
            "{} and {}",
            first.len(),
            second.len()
        );
    }
}

#[test]
fn every_path_agrees_on_many_messages_at_once() {
    let mut random = Random::new();
    let mut left = cases(10_000);
    while left > 0 {
        let count = random.below(100).min(left);
        left -= count.max(1);
        let messages: Vec<Vec<u8>> = (0..count)
            .map(|_| {
                let length = random.length();
                random.bytes(length)
            })
            .collect();
        let messages: Vec<&[u8]> = messages.iter().map(Vec::as_slice).collect();
        let expected: Vec<[u8; 32]> = messages
            .iter()
            .map(|message| ::sm3::Sm3::digest(message).into())
            .collect();
        for path in Path::available() {
            assert_eq!(path.hash_many(&messages), expected, "{path:?} {count}");
        }
    }
}

#[test]
fn hmac_agrees_with_rustcrypto_and_gmcrypto() {
    let mut random = Random::new();
    for _ in 0..cases(10_000) {
        let length = random.below(200);
        let key = random.bytes(length);
        let (buffer, from) = random.placed();
        let message = &buffer[from..];
        let mut other = ::hmac::Hmac::<::sm3::Sm3>::new_from_slice(&key).unwrap();
        other.update(message);
        let expected: [u8; 32] = other.finalize().into_bytes().into();
        assert_eq!(gmcrypto_core::hmac::hmac_sm3(&key, message), expected);
        let (first, second) = message.split_at(random.below(message.len() + 1));
        assert_eq!(
            sm3::hmac(&key, &[first, second]),
            expected,
            "key of {length} bytes"
        );
    }
}

#[test]
fn sm_crypto_agrees() {
    let mut random = Random::new();
    for _ in 0..cases(2000) {
        let length = random.length();
        let message = random.bytes(length);
        let theirs = sm_crypto::sm3::sm3_hash(&message);
        assert_eq!(hex::encode(sm3::hash(&message)), theirs, "{length} bytes");
    }
}

#[test]
fn openssl_agrees() {
    let Some(mut openssl) = openssl() else { return };
    let mut random = Random::new();
    for _ in 0..cases(5000) {
        let (buffer, from) = random.placed();
        let message = &buffer[from..];
        let theirs = openssl.ask(Operation::Sm3, &[message]);
        assert_eq!(theirs.as_deref(), Some(&sm3::hash(message)[..]));
        let length = 1 + random.below(200);
        let key = random.bytes(length);
        let theirs = openssl.ask(Operation::HmacSm3, &[&key, message]);
        assert_eq!(theirs.as_deref(), Some(&sm3::hmac(&key, &[message])[..]));
    }
}
