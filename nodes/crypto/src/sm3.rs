//! SM3 (GB/T 32905), HMAC-SM3 and HKDF-SM3 (RFC 5869 with SM3).
//!
//! [`path`] says which of our implementations runs here, see [`Path`]. [`hash_many`] is several times
//! as fast as [`hash`] where many messages are at hand, such as the leaves of a Merkle tree.

use zeroize::Zeroize as _;

#[cfg(target_arch = "aarch64")]
mod arm;
#[cfg(target_arch = "x86_64")]
mod lanes;
mod many;
mod path;
mod portable;
#[cfg(target_arch = "x86_64")]
mod x86;

pub use path::Path;

/// Bytes of an SM3 digest.
pub const DIGEST_BYTES: usize = 32;

/// Bytes of the block that SM3 compresses; HMAC pads its key to it.
const BLOCK_BYTES: usize = 64;

type Block = [u8; BLOCK_BYTES];

/// Words A to H.
type State = [u32; 8];

/// IV (GB/T 32905, 4.1).
const INITIAL: State = [
    0x7380_166f,
    0x4914_b2b9,
    0x1724_42d7,
    0xda8a_0600,
    0xa96f_30bc,
    0x1631_38aa,
    0xe38d_ee4d,
    0xb0fb_0e4e,
];

/// T_j <<< (j mod 32) (GB/T 32905, 4.2 and 5.3.3).
const T: [u32; 64] = {
    let mut t = [0; 64];
    let mut j = 0;
    while j < 64 {
        let word: u32 = if j < 16 { 0x79cc_4519 } else { 0x7a87_9d8a };
        t[j] = word.rotate_left(j as u32 % 32);
        j += 1;
    }
    t
};

/// The name of the implementation that runs on this processor, for status pages and the inventory.
#[must_use]
pub fn path() -> &'static str {
    Path::best().name()
}

/// SM3 of `data`.
#[must_use]
pub fn hash(data: &[u8]) -> [u8; DIGEST_BYTES] {
    Path::best().hash(data)
}

/// SM3 of each message, several at once; their lengths may differ, but the work is shared best
/// where they do not differ much.
#[must_use]
pub fn hash_many(messages: &[&[u8]]) -> Vec<[u8; DIGEST_BYTES]> {
    Path::best().hash_many(messages)
}

/// SM3 over data that arrives in parts. A clone continues from the same state. What it holds is
/// erased when it is dropped or finished.
#[derive(Clone)]
pub struct Hasher {
    path: Path,
    state: State,
    /// The start of a block that is not whole yet.
    rest: Block,
    rest_bytes: usize,
    total_bytes: u64,
}

impl Hasher {
    /// Starts an empty digest.
    #[must_use]
    pub fn new() -> Self {
        Self::on(Path::best())
    }

    fn on(path: Path) -> Self {
        Self {
            path,
            state: INITIAL,
            rest: [0; BLOCK_BYTES],
            rest_bytes: 0,
            total_bytes: 0,
        }
    }

    /// Adds `data`. SM3 counts up to 2^64 − 1 bits: 2 EiB.
    pub fn update(&mut self, data: &[u8]) {
        self.total_bytes = self.total_bytes.wrapping_add(data.len() as u64);
        let mut data = data;
        if self.rest_bytes > 0 {
            let free = &mut self.rest[self.rest_bytes..];
            let (fits, after) = data.split_at(data.len().min(free.len()));
            free[..fits.len()].copy_from_slice(fits);
            self.rest_bytes += fits.len();
            data = after;
            if self.rest_bytes < BLOCK_BYTES {
                return;
            }
            self.path.compress(&mut self.state, &[self.rest]);
        }
        let (blocks, rest) = data.as_chunks();
        if !blocks.is_empty() {
            self.path.compress(&mut self.state, blocks);
        }
        self.rest[..rest.len()].copy_from_slice(rest);
        self.rest_bytes = rest.len();
    }

    /// The digest of everything added.
    #[must_use]
    pub fn finish(mut self) -> [u8; DIGEST_BYTES] {
        let (mut tail, count) = padding(&self.rest[..self.rest_bytes], self.total_bytes);
        self.path.compress(&mut self.state, &tail[..count]);
        tail.zeroize();
        to_bytes(&self.state)
    }
}

impl Default for Hasher {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Hasher {
    fn drop(&mut self) {
        self.state.zeroize();
        self.rest.zeroize();
    }
}

impl std::fmt::Debug for Hasher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("sm3::Hasher")
    }
}

/// The last one or two blocks of a message of `total_bytes` that ends with `rest`, less than a
/// block (GB/T 32905, 5.2), and how many they are.
fn padding(rest: &[u8], total_bytes: u64) -> ([Block; 2], usize) {
    let mut blocks = [[0; BLOCK_BYTES]; 2];
    let bytes = blocks.as_flattened_mut();
    bytes[..rest.len()].copy_from_slice(rest);
    bytes[rest.len()] = 0x80;
    let count = if rest.len() < BLOCK_BYTES - 8 { 1 } else { 2 };
    let bits = total_bytes.wrapping_mul(8).to_be_bytes();
    bytes[count * BLOCK_BYTES - 8..count * BLOCK_BYTES].copy_from_slice(&bits);
    (blocks, count)
}

fn to_bytes(state: &State) -> [u8; DIGEST_BYTES] {
    let mut bytes = [0; DIGEST_BYTES];
    for (bytes, word) in bytes.as_chunks_mut().0.iter_mut().zip(state) {
        *bytes = word.to_be_bytes();
    }
    bytes
}

/// An HMAC-SM3 key with both paddings already compressed, so each tag costs two blocks less. Erased
/// when dropped.
#[derive(Clone)]
pub struct HmacKey {
    inner: Hasher,
    outer: Hasher,
}

impl HmacKey {
    /// Takes a key of any length.
    #[must_use]
    pub fn new(key: &[u8]) -> Self {
        let mut block = zeroize::Zeroizing::new([0u8; BLOCK_BYTES]);
        if key.len() > BLOCK_BYTES {
            block[..DIGEST_BYTES].copy_from_slice(&hash(key));
        } else {
            block[..key.len()].copy_from_slice(key);
        }
        let padded = |pad: u8| {
            let bytes = zeroize::Zeroizing::new(block.map(|byte| byte ^ pad));
            let mut hasher = Hasher::new();
            hasher.update(bytes.as_slice());
            hasher
        };
        Self {
            inner: padded(0x36),
            outer: padded(0x5c),
        }
    }

    /// The tag of `parts`, as if they were one message.
    #[must_use]
    pub fn tag(&self, parts: &[&[u8]]) -> [u8; DIGEST_BYTES] {
        let mut inner = self.inner.clone();
        for part in parts {
            inner.update(part);
        }
        let mut outer = self.outer.clone();
        outer.update(&inner.finish());
        outer.finish()
    }
}

impl std::fmt::Debug for HmacKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("sm3::HmacKey")
    }
}

/// HMAC-SM3 of `parts`, as if they were one message.
#[must_use]
pub fn hmac(key: &[u8], parts: &[&[u8]]) -> [u8; DIGEST_BYTES] {
    HmacKey::new(key).tag(parts)
}

/// HKDF-Extract (RFC 5869, 2.2).
#[must_use]
pub fn hkdf_extract(salt: &[u8], input: &[u8]) -> [u8; DIGEST_BYTES] {
    hmac(salt, &[input])
}

/// HKDF-Expand (RFC 5869, 2.3) to `N` bytes; `info` is one string given in parts.
///
/// `N` past 255 digests, the limit of RFC 5869, does not compile.
#[must_use]
pub fn hkdf_expand<const N: usize>(secret: &[u8; DIGEST_BYTES], info: &[&[u8]]) -> [u8; N] {
    const { assert!(N <= 255 * DIGEST_BYTES, "RFC 5869: at most 255 digests") }
    let key = HmacKey::new(secret);
    let mut out = [0; N];
    let mut previous: &[u8] = &[];
    let mut block;
    for (counter, chunk) in (1u8..=255).zip(out.chunks_mut(DIGEST_BYTES)) {
        let mut parts = vec![previous];
        parts.extend_from_slice(info);
        let last = [counter];
        parts.push(&last);
        block = key.tag(&parts);
        chunk.copy_from_slice(&block[..chunk.len()]);
        previous = &block;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use ::hmac::{KeyInit as _, Mac as _};
    use ::sm3::Digest as _;

    #[test]
    fn gbt_32905_examples() {
        assert_eq!(
            hex::encode(hash(b"abc")),
            "66c7f0f462eeedd9d1f2d46bdc10e4e24167c4875cf2f7a2297da02b8f4ba8e0"
        );
        let long = b"abcd".repeat(16);
        let digest = "debe9ff92275b8a138604889c18e5a4d6fdb70e5387e5765293dcba39c0c5732";
        assert_eq!(hex::encode(hash(&long)), digest);
        let mut parts = Hasher::new();
        long.chunks(7).for_each(|part| parts.update(part));
        assert_eq!(hex::encode(parts.finish()), digest);
    }

    /// Bytes that follow no pattern of 64.
    fn bytes(length: usize) -> Vec<u8> {
        (0..length).map(|i| ((i * 167) >> 3) as u8).collect()
    }

    #[test]
    fn every_path_equals_rustcrypto_for_every_length() {
        let all = bytes(4200);
        for length in (0..1100).chain([2048, 4095, 4096, 4097, 4200]) {
            let expected: [u8; 32] = ::sm3::Sm3::digest(&all[..length]).into();
            for path in Path::available() {
                // Every alignment of the start, too.
                let from = length % 64;
                let mut shifted = vec![0; from];
                shifted.extend_from_slice(&all[..length]);
                assert_eq!(path.hash(&shifted[from..]), expected, "{path:?} {length}");
            }
        }
    }

    #[test]
    fn every_path_hashes_many_as_it_hashes_one() {
        let all = bytes(3000);
        for count in (0..70).chain([257]) {
            // Lengths that differ in every way: lanes end and are refilled at different steps.
            let length = |i: usize| (i * i * 37 + count * 11) % 700;
            let messages: Vec<&[u8]> = (0..count).map(|i| &all[i..i + length(i)]).collect();
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
    fn parts_of_every_length_join() {
        let all = bytes(400);
        for path in Path::available() {
            for part in 1..200 {
                let mut hasher = Hasher::on(path);
                all.chunks(part).for_each(|part| hasher.update(part));
                let copy = hasher.clone();
                assert_eq!(hasher.finish(), hash(&all), "{path:?} {part}");
                assert_eq!(copy.finish(), hash(&all), "{path:?} {part}");
            }
        }
    }

    #[test]
    fn the_best_path_comes_first_and_the_portable_one_is_always_there() {
        let names: Vec<&str> = Path::available().iter().map(|path| path.name()).collect();
        assert_eq!(names.first(), Some(&path()));
        assert_eq!(names.last(), Some(&"portable"));
    }

    #[test]
    fn hmac_equals_the_hmac_crate_for_every_key_length() {
        for length in 0..200 {
            let key: Vec<u8> = (0..length).map(|i| i as u8 ^ 0xa5).collect();
            let mut other = ::hmac::Hmac::<::sm3::Sm3>::new_from_slice(&key).unwrap();
            other.update(b"one message");
            let ours = hmac(&key, &[b"one ", b"", b"message"]);
            assert_eq!(ours[..], other.finalize().into_bytes()[..], "{length}");
        }
    }

    #[test]
    fn hkdf_is_rfc_5869_over_hmac() {
        let secret = hkdf_extract(b"salt", b"input");
        assert_eq!(secret, hmac(b"salt", &[b"input"]));
        let first = hmac(&secret, &[b"info", &[1]]);
        let second = hmac(&secret, &[&first, b"info", &[2]]);
        let out: [u8; 50] = hkdf_expand(&secret, &[b"in", b"fo"]);
        assert_eq!(out[..32], first);
        assert_eq!(out[32..], second[..18]);
    }
}
