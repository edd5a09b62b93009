//! SM4: blocks, counter mode, GCM.

use ::sm4::cipher::{BlockCipherEncrypt as _, KeyInit as _};
use aes_gcm::aead::AeadInOut as _;
use aes_gcm::aead::consts::U12;
use guitai_crypto::sm4::{Block, Gcm, OpenError, Path};

use crate::openssl::Operation;
use crate::{Random, cases, openssl};

/// Counter mode over RustCrypto's block cipher, spelled out.
fn ctr(key: &[u8; 16], iv: &[u8; 16], data: &mut [u8]) {
    let cipher = ::sm4::Sm4::new(key.into());
    let mut counter = u128::from_be_bytes(*iv);
    for chunk in data.chunks_mut(16) {
        let mut mask = counter.to_be_bytes().into();
        cipher.encrypt_block(&mut mask);
        chunk
            .iter_mut()
            .zip(mask)
            .for_each(|(byte, mask)| *byte ^= mask);
        counter = counter.wrapping_add(1);
    }
}

#[test]
fn blocks_and_counter_mode_agree_with_rustcrypto_and_gmcrypto() {
    let mut random = Random::new();
    for round in 0..cases(2000) {
        let (key, mut iv): ([u8; 16], [u8; 16]) = (random.array(), random.array());
        if random.below(4) == 0 {
            // The counter carries over its words.
            iv[4..].fill(0xff);
            iv[15] = 0xff - random.below(20) as u8;
        }
        let (buffer, from) = random.placed();
        let mut expected = buffer.clone();
        ctr(&key, &iv, &mut expected[from..]);
        // It is slow: one in eight.
        if round.is_multiple_of(8) {
            let theirs = gmcrypto_core::sm4::mode_ctr::encrypt(&key, &iv, &buffer[from..]);
            assert_eq!(theirs, expected[from..]);
        }

        let count = random.below(70);
        let blocks: Vec<[u8; 16]> = (0..count).map(|_| random.array()).collect();
        let cipher = ::sm4::Sm4::new(&key.into());
        let expected_blocks: Vec<[u8; 16]> = blocks
            .iter()
            .map(|block| {
                let mut block = (*block).into();
                cipher.encrypt_block(&mut block);
                block.into()
            })
            .collect();
        for path in Path::available() {
            let block = Block::with_path(path, &key).unwrap();
            let mut ours = buffer.clone();
            block.ctr_in_place(&iv, &mut ours[from..]);
            assert_eq!(ours, expected, "{path} {} bytes", buffer.len() - from);
            let mut ours = blocks.clone();
            block.encrypt_many(&mut ours);
            assert_eq!(ours, expected_blocks, "{path} {count} blocks");
        }
    }
}

#[test]
fn gcm_agrees_with_rustcrypto_and_gmcrypto() {
    let mut random = Random::new();
    for round in 0..cases(2000) {
        let (key, nonce): ([u8; 16], [u8; 12]) = (random.array(), random.array());
        let (buffer, from) = random.placed();
        let length = random.below(100);
        let aad = random.bytes(length);
        let mut expected = buffer.clone();
        let theirs = aes_gcm::AesGcm::<::sm4::Sm4, U12>::new(&key.into());
        let data = (&mut expected[from..]).into();
        let tag: [u8; 16] = theirs
            .encrypt_inout_detached(&nonce.into(), &aad, data)
            .unwrap()
            .into();
        // It is slow: one in eight.
        if round.is_multiple_of(8) {
            let theirs =
                gmcrypto_core::sm4::mode_gcm::encrypt(&key, &nonce, &aad, &buffer[from..]).unwrap();
            assert_eq!((theirs.0, theirs.1), (expected[from..].to_vec(), tag));
        }
        for path in Path::available() {
            let gcm = Gcm::with_path(path, &key).unwrap();
            let mut ours = buffer.clone();
            let our_tag = gcm.seal_in_place(&nonce, &aad, &mut ours[from..]);
            let length = buffer.len() - from;
            assert_eq!((&ours, our_tag), (&expected, tag), "{path} {length} bytes");
            gcm.open_in_place(&nonce, &aad, &mut ours[from..], &tag)
                .unwrap();
            assert_eq!(ours, buffer, "{path} {length} bytes");
            let mut altered = tag;
            altered[random.below(16)] ^= 1 << random.below(8);
            let mut sealed = expected.clone();
            let refused = gcm.open_in_place(&nonce, &aad, &mut sealed[from..], &altered);
            assert_eq!(refused, Err(OpenError), "{path} {length} bytes");
            assert_eq!(sealed, expected, "{path}: refused data is as it was");
        }
    }
}

#[test]
fn sm_crypto_agrees_on_blocks() {
    let mut random = Random::new();
    for _ in 0..cases(2000) {
        let (key, mut block): ([u8; 16], [u8; 16]) = (random.array(), random.array());
        // It pads: its first block is the one asked for.
        let theirs = sm_crypto::sm4::CryptSM4ECB::new(&key).encrypt_ecb(&block);
        Block::new(&key).encrypt(&mut block);
        assert_eq!(block[..], theirs[..16]);
    }
}

#[test]
fn openssl_agrees() {
    let Some(mut openssl) = openssl() else { return };
    let mut random = Random::new();
    for _ in 0..cases(1500) {
        let (key, nonce, iv): ([u8; 16], [u8; 12], [u8; 16]) =
            (random.array(), random.array(), random.array());
        let (buffer, from) = random.placed();
        let (data, length) = (&buffer[from..], random.below(100));
        let aad = random.bytes(length);
        let whole = &data[..data.len() / 16 * 16];
        let blocks = openssl.ask(Operation::Sm4Ecb, &[&key, whole]).unwrap();
        let counted = openssl.ask(Operation::Sm4Ctr, &[&key, &iv, data]).unwrap();
        let sealed = openssl
            .ask(Operation::Sm4GcmSeal, &[&key, &nonce, &aad, data])
            .unwrap();
        for path in Path::available() {
            let block = Block::with_path(path, &key).unwrap();
            let mut ours = whole.as_chunks::<16>().0.to_vec();
            block.encrypt_many(&mut ours);
            assert_eq!(ours.as_flattened(), blocks, "{path} {} bytes", whole.len());
            let mut ours = data.to_vec();
            block.ctr_in_place(&iv, &mut ours);
            assert_eq!(ours, counted, "{path} {} bytes", data.len());
            let mut ours = data.to_vec();
            let gcm = Gcm::with_path(path, &key).unwrap();
            let tag = gcm.seal_in_place(&nonce, &aad, &mut ours);
            ours.extend_from_slice(&tag);
            assert_eq!(ours, sealed, "{path} {} bytes", data.len());
        }
        let opened = openssl.ask(Operation::Sm4GcmOpen, &[&key, &nonce, &aad, &sealed]);
        assert_eq!(opened.as_deref(), Some(data));
    }
}
