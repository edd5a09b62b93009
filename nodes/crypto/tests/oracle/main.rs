//! Implementations that share no code with ours must agree with it on random input, for every path that this
//! processor has: RustCrypto, the crates `gmcrypto-core` and `sm-crypto`, and OpenSSL 4 where `GUITAI_OPENSSL`
//! names a tree built by `tests/peers/openssl`.
//!
//! `GUITAI_CASES` sets the number of cases of each comparison (the default keeps it within seconds), and
//! `GUITAI_SEED` repeats a run: a failing test prints its seed.

mod certificates;
#[path = "../../../../tests/peers/oracle.rs"]
mod openssl;
mod sm2;
mod sm3;
mod sm4;

use openssl::OpenSsl;

/// Longest random message.
const BYTES_MAX: usize = 4096;

/// A generator of test cases (SplitMix64).
struct Random(u64);

impl Random {
    /// Seeded by `GUITAI_SEED`, else from the system; the seed is printed, which shows when a test fails.
    fn new() -> Self {
        let seed = match std::env::var("GUITAI_SEED") {
            Ok(seed) => seed.parse().expect("GUITAI_SEED is a number"),
            Err(_) => u64::from_be_bytes(guitai_crypto::random::array()),
        };
        eprintln!("GUITAI_SEED={seed}");
        Self(seed)
    }

    /// The generator of a test that runs one part of the cases.
    fn of_part(part: usize) -> Self {
        let Self(seed) = Self::new();
        Self(seed ^ (part as u64) << 56)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let x = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        x ^ (x >> 31)
    }

    fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit as u64) as usize
    }

    /// Every second length is short, where the special cases are.
    fn length(&mut self) -> usize {
        let limit = if self.next().is_multiple_of(2) {
            300
        } else {
            BYTES_MAX
        };
        self.below(limit + 1)
    }

    fn fill(&mut self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(8) {
            chunk.copy_from_slice(&self.next().to_le_bytes()[..chunk.len()]);
        }
    }

    fn array<const N: usize>(&mut self) -> [u8; N] {
        let mut array = [0; N];
        self.fill(&mut array);
        array
    }

    fn bytes(&mut self, length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        self.fill(&mut bytes);
        bytes
    }

    /// Bytes of a random length at a random alignment: the buffer, and where they begin in it.
    fn placed(&mut self) -> (Vec<u8>, usize) {
        let (from, length) = (self.below(64), self.length());
        (self.bytes(from + length), from)
    }
}

/// How many cases a test runs.
fn cases(default: usize) -> usize {
    let number = |cases: String| cases.parse().expect("GUITAI_CASES is a number");
    std::env::var("GUITAI_CASES").map_or(default, number)
}

/// How many of the cases fall to one of `parts` tests; together they run every case.
fn part_of_cases(part: usize, parts: usize, default: usize) -> usize {
    let cases = cases(default);
    cases / parts + usize::from(part < cases % parts)
}

/// OpenSSL, or a loud word that it is missing.
fn openssl() -> Option<OpenSsl> {
    let openssl = OpenSsl::start();
    if openssl.is_none() {
        eprintln!(
            "SKIPPED: GUITAI_OPENSSL is not set; GUITAI_OPENSSL=$(tests/peers/openssl) compares with OpenSSL too"
        );
    }
    openssl
}
