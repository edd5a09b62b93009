//! SM3 for any processor: no intrinsics, no `unsafe`.

use super::path::{Kernel, Lanes};
use super::{Block, State, T};

pub(super) const KERNEL: Kernel = Kernel {
    name: "portable",
    runs_here: || true,
    compress,
    lanes: Lanes::Sixteen(compress_lanes),
    lanes_min: 8,
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

/// A word of sixteen messages. So many that compilers make vector loops of the loops over it (SSE2,
/// NEON or LSX), where they would unroll those over four and leave them scalar.
type Row = [u32; 16];

/// Blocks of each of sixteen messages.
fn compress_lanes(state: &mut [Row; 8], blocks: &[&[Block]; 16]) {
    for step in 0..blocks[0].len() {
        let mut w = [[0; 16]; 16];
        for (lane, blocks) in blocks.iter().enumerate() {
            for (row, bytes) in w.iter_mut().zip(blocks[step].as_chunks::<4>().0) {
                row[lane] = u32::from_be_bytes(*bytes);
            }
        }
        compress_rows(state, &mut w);
    }
}

/// One block of each message; `w` is its words.
fn compress_rows(state: &mut [Row; 8], w: &mut [Row; 16]) {
    let before = *state;
    let [a, b, c, d, e, f, g, h] = state;
    macro_rules! four {
        ($j:expr, $late:literal) => {
            round_rows::<$late>(a, b, c, d, e, f, g, h, w, $j);
            round_rows::<$late>(d, a, b, c, h, e, f, g, w, $j + 1);
            round_rows::<$late>(c, d, a, b, g, h, e, f, w, $j + 2);
            round_rows::<$late>(b, c, d, a, f, g, h, e, w, $j + 3);
        };
    }
    for j in (0..16).step_by(4) {
        four!(j, false);
    }
    for j in (16..64).step_by(4) {
        four!(j, true);
    }
    for (row, before) in state.iter_mut().zip(before) {
        for (word, before) in row.iter_mut().zip(before) {
            *word ^= before;
        }
    }
}

/// Round `j`, and word `j + 16` in the place of word `j`. A function by itself, so that the compiler
/// knows the rows apart.
#[inline(never)]
#[expect(clippy::too_many_arguments, reason = "the eight words of SM3's state")]
fn round_rows<const LATE: bool>(
    a: &Row,
    b: &mut Row,
    c: &Row,
    d: &mut Row,
    e: &Row,
    f: &mut Row,
    g: &Row,
    h: &mut Row,
    w: &mut [Row; 16],
    j: usize,
) {
    let t = T[j];
    let mut next = [0; 16];
    let [w0, w3, w4, w7, w10, w13] = [0, 3, 4, 7, 10, 13].map(|i| &w[(j + i) % 16]);
    for i in 0..16 {
        let a12 = a[i].rotate_left(12);
        let ss1 = e[i].wrapping_add(a12.wrapping_add(t)).rotate_left(7);
        let (ff, gg) = if LATE {
            (
                (a[i] & b[i]) | (c[i] & (a[i] ^ b[i])),
                g[i] ^ (e[i] & (f[i] ^ g[i])),
            )
        } else {
            (a[i] ^ b[i] ^ c[i], e[i] ^ f[i] ^ g[i])
        };
        let tt1 = d[i].wrapping_add(w0[i] ^ w4[i]).wrapping_add(ff);
        d[i] = tt1.wrapping_add(ss1 ^ a12);
        let tt2 = h[i].wrapping_add(w0[i]).wrapping_add(gg).wrapping_add(ss1);
        h[i] = tt2 ^ tt2.rotate_left(9) ^ tt2.rotate_left(17);
        b[i] = b[i].rotate_left(9);
        f[i] = f[i].rotate_left(19);
        let x = w0[i] ^ w7[i] ^ w13[i].rotate_left(15);
        let x = x ^ x.rotate_left(15) ^ x.rotate_left(23);
        next[i] = x ^ w3[i].rotate_left(7) ^ w10[i];
    }
    w[j % 16] = next;
}
