//! SM3 for any processor: no intrinsics, no `unsafe`.

use super::lanes::{self, Vector};
use super::path::{Kernel, Lanes};
use super::{Block, State, T};

pub(super) const KERNEL: Kernel = Kernel {
    name: "portable",
    runs_here: || true,
    compress,
    lanes: Lanes::Four(compress_lanes),
};

/// Compresses `blocks` into `state` (GB/T 32905, 5.3).
pub(super) fn compress(state: &mut State, blocks: &[Block]) {
    for block in blocks {
        compress_block(state, block);
    }
}

fn compress_block(state: &mut State, block: &Block) {
    let mut w = [0u32; 68];
    for (word, bytes) in w.iter_mut().zip(block.as_chunks().0) {
        *word = u32::from_be_bytes(*bytes);
    }
    for j in 16..68 {
        let x = w[j - 16] ^ w[j - 9] ^ w[j - 3].rotate_left(15);
        let x = x ^ x.rotate_left(15) ^ x.rotate_left(23);
        w[j] = x ^ w[j - 13].rotate_left(7) ^ w[j - 6];
    }
    let [mut a, mut b, mut c, mut d, mut e, mut f, mut g, mut h] = *state;
    macro_rules! round {
        ($j:expr, $ff:ident, $gg:ident, $a:ident $b:ident $c:ident $d:ident $e:ident $f:ident $g:ident $h:ident) => {
            let a12 = $a.rotate_left(12);
            let ss1 = $e.wrapping_add(a12.wrapping_add(T[$j])).rotate_left(7);
            let mixed = w[$j] ^ w[$j + 4];
            $d = $d.wrapping_add(mixed).wrapping_add($ff($a, $b, $c));
            $d = $d.wrapping_add(ss1 ^ a12);
            let tt2 = $h.wrapping_add(w[$j]).wrapping_add($gg($e, $f, $g));
            let tt2 = tt2.wrapping_add(ss1);
            $h = tt2 ^ tt2.rotate_left(9) ^ tt2.rotate_left(17);
            $b = $b.rotate_left(9);
            $f = $f.rotate_left(19);
        };
    }
    macro_rules! four {
        ($j:expr, $ff:ident, $gg:ident) => {
            round!($j, $ff, $gg, a b c d e f g h);
            round!($j + 1, $ff, $gg, d a b c h e f g);
            round!($j + 2, $ff, $gg, c d a b g h e f);
            round!($j + 3, $ff, $gg, b c d a f g h e);
        };
    }
    let xor3 = |a: u32, b: u32, c: u32| a ^ b ^ c;
    let majority = |a: u32, b: u32, c: u32| (a & b) | (c & (a ^ b));
    let choose = |a: u32, b: u32, c: u32| c ^ (a & (b ^ c));
    for j in (0..16).step_by(4) {
        four!(j, xor3, xor3);
    }
    for j in (16..64).step_by(4) {
        four!(j, majority, choose);
    }
    for (word, new) in state.iter_mut().zip([a, b, c, d, e, f, g, h]) {
        *word ^= new;
    }
}

/// Four lanes as plain arrays: compilers turn them into SSE2 or NEON.
fn compress_lanes(state: &mut [[u32; 4]; 8], blocks: &[&Block; 4]) {
    let mut words: [Four; 16] = std::array::from_fn(|word| {
        // 16 words of 4 bytes are the 64 of a block.
        let read = |block: &Block| u32::from_be_bytes(block.as_chunks().0[word]);
        Four(blocks.map(read))
    });
    let mut vectors = state.map(Four);
    lanes::compress(&mut vectors, &mut words);
    *state = vectors.map(|vector| vector.0);
}

#[derive(Clone, Copy)]
struct Four([u32; 4]);

impl Four {
    #[inline(always)]
    fn zip(self, other: Self, f: impl Fn(u32, u32) -> u32) -> Self {
        Self(std::array::from_fn(|i| f(self.0[i], other.0[i])))
    }
}

impl Vector for Four {
    #[inline(always)]
    fn splat(word: u32) -> Self {
        Self([word; 4])
    }
    #[inline(always)]
    fn add(self, other: Self) -> Self {
        self.zip(other, u32::wrapping_add)
    }
    #[inline(always)]
    fn xor(self, other: Self) -> Self {
        self.zip(other, |a, b| a ^ b)
    }
    #[inline(always)]
    fn rotate<const LEFT: i32, const RIGHT: i32>(self) -> Self {
        Self(self.0.map(|word| word.rotate_left(LEFT as u32)))
    }
    #[inline(always)]
    fn majority(self, b: Self, c: Self) -> Self {
        let either = self.xor(b).zip(c, |ab, c| ab & c);
        self.zip(b, |a, b| a & b).xor(either)
    }
    #[inline(always)]
    fn choose(self, b: Self, c: Self) -> Self {
        self.zip(b.xor(c), |a, bc| a & bc).xor(c)
    }
}
