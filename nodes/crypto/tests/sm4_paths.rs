//! Every SM4 path that runs here against RustCrypto, on random cases: keys, nonces, AAD, lengths and
//! the place of the data in its buffer. The seed is fixed; `GUITAI_CASES` sets how many (default
//! [`CASES`], a few seconds).

use aes_gcm::aead::consts::U12;
use aes_gcm::aead::{AeadInOut as _, KeyInit as _};
use guitai_crypto::sm4::{Block, Gcm, Path};
use sm4::cipher::BlockCipherEncrypt as _;

/// Cases by default; each runs on every path.
const CASES: u64 = 4000;
/// Most bytes of data, of AAD, and before the data in its buffer.
const DATA_BYTES_MAX: u64 = 4096;
const AAD_BYTES_MAX: u64 = 600;
const OFFSET_MAX: u64 = 63;
/// What lies around the data, and must still lie there afterwards.
const GUARD: u8 = 0xc5;

fn cases() -> u64 {
    match std::env::var("GUITAI_CASES") {
        Ok(count) => count.parse().expect("GUITAI_CASES is a number"),
        Err(_) => CASES,
    }
}

/// SplitMix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }

    fn up_to(&mut self, most: u64) -> usize {
        (self.next() % (most + 1)) as usize
    }

    /// Short ones half of the time: most edges lie there.
    fn length(&mut self, most: u64) -> usize {
        let most = if self.next() & 1 == 0 {
            most / 16
        } else {
            most
        };
        self.up_to(most)
    }

    fn bytes(&mut self, length: usize) -> Vec<u8> {
        (0..length).map(|_| self.next() as u8).collect()
    }

    fn array<const N: usize>(&mut self) -> [u8; N] {
        std::array::from_fn(|_| self.next() as u8)
    }
}

/// `data` behind `offset` bytes of guard and before 64 more.
fn guarded(offset: usize, data: &[u8]) -> Vec<u8> {
    let mut buffer = vec![GUARD; offset];
    buffer.extend_from_slice(data);
    buffer.resize(offset + data.len() + 64, GUARD);
    buffer
}

#[test]
fn gcm_equals_rustcrypto() {
    let mut random = Random(0x5a34);
    for case in 0..cases() {
        let (key, nonce) = (random.array::<16>(), random.array::<12>());
        let length = random.length(AAD_BYTES_MAX);
        let aad = random.bytes(length);
        let length = random.length(DATA_BYTES_MAX);
        let plain = random.bytes(length);
        let offset = random.up_to(OFFSET_MAX);
        let place = offset..offset + length;

        let mut sealed = plain.clone();
        let tag: [u8; 16] = aes_gcm::AesGcm::<sm4::Sm4, U12>::new(&key.into())
            .encrypt_inout_detached(&nonce.into(), &aad, sealed.as_mut_slice().into())
            .unwrap()
            .into();
        let (expected, opened) = (guarded(offset, &sealed), guarded(offset, &plain));
        let flipped = random.up_to(127);
        for path in Path::available() {
            let gcm = Gcm::with_path(path, &key).unwrap();
            let mut buffer = opened.clone();
            let ours = gcm.seal_in_place(&nonce, &aad, &mut buffer[place.clone()]);
            assert_eq!((&buffer, ours), (&expected, tag), "{path}, case {case}");

            let mut forged = tag;
            forged[flipped / 8] ^= 1 << (flipped % 8);
            let refused = gcm.open_in_place(&nonce, &aad, &mut buffer[place.clone()], &forged);
            assert!(refused.is_err(), "{path}, case {case}");
            assert_eq!(buffer, expected, "{path}, case {case}");

            gcm.open_in_place(&nonce, &aad, &mut buffer[place.clone()], &tag)
                .unwrap();
            assert_eq!(buffer, opened, "{path}, case {case}");
        }
    }
}

#[test]
fn counter_mode_and_many_blocks_equal_rustcrypto() {
    let mut random = Random(0xc7);
    for case in 0..cases() / 4 {
        let key = random.array::<16>();
        let oracle = sm4::Sm4::new(&key.into());
        let length = random.length(DATA_BYTES_MAX);
        let plain = random.bytes(length);
        let offset = random.up_to(OFFSET_MAX);
        // Half of the counters are about to carry out of 32 bits, or of all 128.
        let mut iv = u128::from_le_bytes(random.array());
        if random.next() & 1 == 0 {
            let near = u128::from(random.next() % 64);
            let top = if random.next() & 1 == 0 { 32 } else { 128 };
            iv |= u128::MAX >> (128 - top);
            iv -= near;
        }
        let mut stream: Vec<[u8; 16]> = (0..length.div_ceil(16))
            .map(|index| iv.wrapping_add(index as u128).to_be_bytes())
            .collect();
        let counters = stream.clone();
        for block in &mut stream {
            oracle.encrypt_block(block.into());
        }
        let mut expected = plain.clone();
        for (byte, stream) in expected.iter_mut().zip(stream.as_flattened()) {
            *byte ^= stream;
        }
        let expected = guarded(offset, &expected);
        for path in Path::available() {
            let block = Block::with_path(path, &key).unwrap();
            let mut blocks = counters.clone();
            block.encrypt_many(&mut blocks);
            assert_eq!(blocks, stream, "{path}, case {case}");
            let mut buffer = guarded(offset, &plain);
            block.ctr_in_place(&iv.to_be_bytes(), &mut buffer[offset..offset + length]);
            assert_eq!(buffer, expected, "{path}, case {case}");
        }
    }
}
