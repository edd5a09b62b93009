//! What is compared.

use std::hint::black_box;

use ::sm2::dsa::signature::{Signer as _, Verifier as _};
use ::sm2::elliptic_curve::Generate as _;
use ::sm3::Digest as _;
use aes_gcm::aead::consts::U12;
use aes_gcm::aead::{AeadInOut as _, KeyInit as _};
use guitai_crypto::{sm2, sm3, sm4};

use crate::measure::{Column, MANY, Row};

const AAD: &[u8] = b"header of packet";
const MESSAGE: &[u8] = b"one message of thirty-two bytes.";

/// All rows; those of OpenSSL say "not built" unless `openssl`.
pub(crate) fn all(openssl: bool) -> Vec<Row> {
    let mut rows: Vec<Row> = sm4::Path::available().into_iter().map(ours_sm4).collect();
    rows.extend(sm3::Path::available().into_iter().map(ours_sm3));
    rows.extend([ours_sm2(), rustcrypto(), gmcrypto(), openssl_sm(openssl)]);
    rows.extend([ring_aes(), openssl_aes(openssl)]);
    rows
}

fn data(length: usize) -> Vec<u8> {
    vec![0x5a; length]
}

fn messages() -> Vec<Vec<u8>> {
    vec![data(MANY.1); MANY.0]
}

fn ours_sm4(path: sm4::Path) -> Row {
    let mut row = Row::new(format!("ours: SM4 {path}"));
    for (column, length) in Column::GCM {
        // The path is one of those available.
        let gcm = sm4::Gcm::with_path(path, &[7; 16]).unwrap();
        let (mut buffer, mut nonce) = (data(length), [0u8; 12]);
        row = row.with(column, move || {
            nonce[0] = nonce[0].wrapping_add(1);
            black_box(gcm.seal_in_place(&nonce, AAD, black_box(&mut buffer)));
        });
    }
    row
}

fn ours_sm3(path: sm3::Path) -> Row {
    let one = data(16_384);
    let many = messages();
    Row::new(format!(
        "ours: SM3 {} ({} lanes)",
        path.name(),
        path.lanes()
    ))
    .with(Column::Hash16k, move || {
        black_box(path.hash(black_box(&one)));
    })
    .with(Column::HashMany, move || {
        let many: Vec<&[u8]> = many.iter().map(Vec::as_slice).collect();
        black_box(path.hash_many(black_box(&many)));
    })
}

fn ours_sm2() -> Row {
    let key = sm2::SecretKey::generate();
    let public = key.public();
    let signature = key.sign(MESSAGE);
    let peer = sm2::SecretKey::generate().public();
    Row::new("ours: SM2")
        .with(Column::Verify, move || {
            assert!(public.verify(black_box(MESSAGE), &signature).is_ok());
        })
        .with(Column::Sign, {
            let key = key.clone();
            move || drop(black_box(key.sign(black_box(MESSAGE))))
        })
        .with(Column::Keygen, || {
            black_box(sm2::SecretKey::generate().public());
        })
        .with(Column::Ecdh, move || {
            drop(black_box(key.agree(black_box(&peer))));
        })
}

fn rustcrypto() -> Row {
    let mut row = Row::new("RustCrypto sm2 0.14, sm3 0.5, sm4 0.6 + aes-gcm 0.11");
    for (column, length) in Column::GCM {
        let gcm = aes_gcm::AesGcm::<::sm4::Sm4, U12>::new(&[7; 16].into());
        let mut buffer = data(length);
        row = row.with(column, move || {
            let buffer = black_box(&mut buffer[..]).into();
            black_box(
                gcm.encrypt_inout_detached(&[1; 12].into(), AAD, buffer)
                    .unwrap(),
            );
        });
    }
    let (one, many) = (data(16_384), messages());
    let secret = ::sm2::SecretKey::generate();
    let peer = ::sm2::SecretKey::generate().public_key();
    let signer = ::sm2::dsa::SigningKey::new(sm2::DEFAULT_ID, &secret).unwrap();
    let verifier = signer.verifying_key().clone();
    let signature: ::sm2::dsa::Signature = signer.sign(MESSAGE);
    row.with(Column::Hash16k, move || {
        black_box(::sm3::Sm3::digest(black_box(&one)));
    })
    .with(Column::HashMany, move || {
        for message in black_box(&many) {
            black_box(::sm3::Sm3::digest(message));
        }
    })
    .with(Column::Sign, move || {
        let signature: ::sm2::dsa::Signature = signer.sign(black_box(MESSAGE));
        black_box(signature);
    })
    .with(Column::Verify, move || {
        assert!(verifier.verify(black_box(MESSAGE), &signature).is_ok());
    })
    .with(Column::Keygen, || {
        black_box(::sm2::SecretKey::generate().public_key());
    })
    .with(Column::Ecdh, move || {
        let scalar = secret.to_nonzero_scalar();
        let point = black_box(&peer).as_affine();
        black_box(::sm2::elliptic_curve::ecdh::diffie_hellman(scalar, point));
    })
}

/// Its one-shot calls take the raw key, so the key schedule is in every call.
fn gmcrypto() -> Row {
    use gmcrypto_core::sm2::{Sm2PrivateKey, sign_with_id, verify_with_id};
    let mut row = Row::new("gmcrypto-core 1.17");
    for (column, length) in Column::GCM {
        let buffer = data(length);
        row = row.with(column, move || {
            let buffer = black_box(&buffer);
            black_box(gmcrypto_core::sm4::mode_gcm::encrypt(
                &[7; 16], &[1; 12], AAD, buffer,
            ));
        });
    }
    let (one, many) = (data(16_384), messages());
    let generate = || loop {
        let bytes = guitai_crypto::random::array();
        if let Some(key) = Sm2PrivateKey::from_bytes_be(&bytes).into_option() {
            break key;
        }
    };
    let (key, id) = (generate(), sm2::DEFAULT_ID.as_bytes());
    let public = key.public_key();
    let signature = sign_with_id(&key, id, MESSAGE, &mut getrandom::SysRng).unwrap();
    row.with(Column::Hash16k, move || {
        black_box(gmcrypto_core::sm3::hash(black_box(&one)));
    })
    .with(Column::HashMany, move || {
        for message in black_box(&many) {
            black_box(gmcrypto_core::sm3::hash(message));
        }
    })
    .with(Column::Sign, move || {
        drop(black_box(sign_with_id(
            &key,
            id,
            black_box(MESSAGE),
            &mut getrandom::SysRng,
        )));
    })
    .with(Column::Verify, move || {
        assert!(verify_with_id(&public, id, black_box(MESSAGE), &signature));
    })
    .with(Column::Keygen, move || {
        black_box(generate().public_key());
    })
}

/// Its signatures are over a ready digest of 32 bytes.
fn openssl_sm(present: bool) -> Row {
    let mut row = Row::new("OpenSSL 4.0.3: SM");
    for (column, length) in Column::GCM {
        row = row.with_openssl(column, present, "sm4-gcm", length as u32);
    }
    row.with_openssl(Column::Hash16k, present, "sm3", 16_384)
        .with_openssl(Column::Sign, present, "sm2-sign", 0)
        .with_openssl(Column::Verify, present, "sm2-verify", 0)
        .with_openssl(Column::Keygen, present, "sm2-keygen", 0)
}

fn openssl_aes(present: bool) -> Row {
    let mut row = Row::new("OpenSSL 4.0.3: AES-128-GCM, SHA-256, P-256");
    for (column, length) in Column::GCM {
        row = row.with_openssl(column, present, "aes-128-gcm", length as u32);
    }
    row.with_openssl(Column::Hash16k, present, "sha256", 16_384)
        .with_openssl(Column::Sign, present, "p256-sign", 0)
        .with_openssl(Column::Verify, present, "p256-verify", 0)
        .with_openssl(Column::Keygen, present, "p256-keygen", 0)
        .with_openssl(Column::Ecdh, present, "p256-dh", 0)
}

fn ring_aes() -> Row {
    use ring::signature::{
        ECDSA_P256_SHA256_ASN1, ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _,
        UnparsedPublicKey,
    };
    use ring::{aead, agreement, digest};
    let mut row = Row::new("ring 0.17: AES-128-GCM, SHA-256, P-256");
    for (column, length) in Column::GCM {
        let key = aead::UnboundKey::new(&aead::AES_128_GCM, &[7; 16]).unwrap();
        let key = aead::LessSafeKey::new(key);
        let mut buffer = data(length);
        row = row.with(column, move || {
            let nonce = aead::Nonce::assume_unique_for_key([1; 12]);
            let buffer = black_box(&mut buffer);
            let tag = key.seal_in_place_separate_tag(nonce, aead::Aad::from(AAD), buffer);
            assert!(tag.is_ok());
        });
    }
    let (one, many) = (data(16_384), messages());
    let random = ring::rand::SystemRandom::new();
    let algorithm = &ECDSA_P256_SHA256_ASN1_SIGNING;
    let pkcs8 = EcdsaKeyPair::generate_pkcs8(algorithm, &random).unwrap();
    let key = EcdsaKeyPair::from_pkcs8(algorithm, pkcs8.as_ref(), &random).unwrap();
    let public =
        UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, key.public_key().as_ref().to_vec());
    let signature = key.sign(&random, MESSAGE).unwrap();
    row.with(Column::Hash16k, move || {
        black_box(digest::digest(&digest::SHA256, black_box(&one)));
    })
    .with(Column::HashMany, move || {
        for message in black_box(&many) {
            black_box(digest::digest(&digest::SHA256, message));
        }
    })
    .with(Column::Verify, move || {
        assert!(
            public
                .verify(black_box(MESSAGE), signature.as_ref())
                .is_ok()
        );
    })
    .with(Column::Sign, {
        let random = random.clone();
        move || assert!(key.sign(&random, black_box(MESSAGE)).is_ok())
    })
    .with(Column::Keygen, move || {
        let key = agreement::EphemeralPrivateKey::generate(&agreement::ECDH_P256, &random);
        black_box(key.unwrap().compute_public_key().unwrap());
    })
}
