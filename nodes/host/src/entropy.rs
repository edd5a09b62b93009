//! Chance arrives as an argument; this is where it comes from.

use std::sync::atomic::{AtomicU64, Ordering};

/// A source of random bytes.
pub trait Entropy: Send + Sync {
    /// Fills `out` with random bytes.
    fn fill(&self, out: &mut [u8]);
}

/// Draws sixteen bytes: one id.
pub fn draw16(entropy: &dyn Entropy) -> [u8; 16] {
    let mut out = [0; 16];
    entropy.fill(&mut out);
    out
}

/// Draws an id: `random_id(entropy, TicketId::from_random)`.
pub fn random_id<T>(entropy: &dyn Entropy, from_random: impl FnOnce([u8; 16]) -> T) -> T {
    from_random(draw16(entropy))
}

/// The kernel's generator.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemEntropy;

impl Entropy for SystemEntropy {
    /// # Panics
    /// When the kernel has no generator: such a machine cannot hold a key either.
    #[expect(
        clippy::disallowed_methods,
        reason = "the one place where the kernel is asked"
    )]
    fn fill(&self, out: &mut [u8]) {
        getrandom::fill(out).expect("the kernel gives random bytes");
    }
}

/// The same bytes for the same seed, for tests and the simulator. Guessable by design.
#[derive(Debug)]
pub struct SeededEntropy(AtomicU64);

impl SeededEntropy {
    /// A generator that starts at `seed`.
    pub const fn new(seed: u64) -> Self {
        Self(AtomicU64::new(seed))
    }

    /// The next number (SplitMix64, so that neighbouring seeds give unlike streams).
    pub fn next(&self) -> u64 {
        const STEP: u64 = 0x9e37_79b9_7f4a_7c15;
        let mut z = self.0.fetch_add(STEP, Ordering::Relaxed).wrapping_add(STEP);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number in `0..bound`; 0 when `bound` is 0.
    pub fn below(&self, bound: u64) -> u64 {
        self.next().checked_rem(bound).unwrap_or(0)
    }

    /// True `percent` times of a hundred.
    pub fn chance(&self, percent: u64) -> bool {
        self.below(100) < percent
    }
}

impl Entropy for SeededEntropy {
    fn fill(&self, out: &mut [u8]) {
        for piece in out.chunks_mut(8) {
            let bytes = self.next().to_le_bytes();
            piece.copy_from_slice(&bytes[..piece.len()]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_repeats_and_its_neighbour_does_not() {
        let draw = |seed| draw16(&SeededEntropy::new(seed));
        assert_eq!(draw(7), draw(7));
        assert_ne!(draw(7), draw(8));
    }

    #[test]
    fn the_kernel_does_not_repeat() {
        assert_ne!(draw16(&SystemEntropy), draw16(&SystemEntropy));
    }

    #[test]
    fn bounds_hold() {
        let seeded = SeededEntropy::new(1);
        assert!((0..1_000).all(|_| seeded.below(3) < 3));
        assert_eq!(seeded.below(0), 0);
        assert!(!seeded.chance(0) && seeded.chance(100));
    }
}
