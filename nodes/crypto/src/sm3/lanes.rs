//! SM3's compression of one block for several messages at once, whatever a vector is: written once,
//! over the few operations that the instruction sets spell differently.

use super::T;

/// The same word of several messages.
pub(super) trait Vector: Copy {
    fn splat(word: u32) -> Self;
    fn add(self, other: Self) -> Self;
    fn xor(self, other: Self) -> Self;
    fn rotate<const LEFT: i32, const RIGHT: i32>(self) -> Self;

    fn xor3(self, b: Self, c: Self) -> Self {
        self.xor(b).xor(c)
    }
    /// (a ∧ b) ∨ (a ∧ c) ∨ (b ∧ c)
    fn majority(self, b: Self, c: Self) -> Self;
    /// (a ∧ b) ∨ (¬a ∧ c)
    fn choose(self, b: Self, c: Self) -> Self;
}

/// `x <<< $n`
macro_rules! rotate {
    ($x:expr, $n:literal) => {
        $x.rotate::<$n, { 32 - $n }>()
    };
}

/// Compresses: `state` is word by word, `w` the sixteen words of the blocks.
#[inline(always)]
pub(super) fn compress<V: Vector>(state: &mut [V; 8], w: &mut [V; 16]) {
    let [mut a, mut b, mut c, mut d, mut e, mut f, mut g, mut h] = *state;
    // A round writes two of the eight words; the others only change their names, which the order of
    // the arguments does.
    macro_rules! round {
        ($j:expr, $ff:ident, $gg:ident, $a:ident $b:ident $c:ident $d:ident $e:ident $f:ident $g:ident $h:ident) => {
            let a12 = rotate!($a, 12);
            let ss1 = rotate!($e.add(a12.add(V::splat(T[$j]))), 7);
            let word = w[$j % 16];
            let mixed = word.xor(w[($j + 4) % 16]);
            $d = $d.add(mixed).add($a.$ff($b, $c)).add(ss1.xor(a12));
            let tt2 = $h.add(word).add($e.$gg($f, $g)).add(ss1);
            $h = tt2.xor3(rotate!(tt2, 9), rotate!(tt2, 17));
            $b = rotate!($b, 9);
            $f = rotate!($f, 19);
            if $j < 52 {
                let x = w[$j % 16].xor3(w[($j + 7) % 16], rotate!(w[($j + 13) % 16], 15));
                let x = x.xor3(rotate!(x, 15), rotate!(x, 23));
                w[$j % 16] = x.xor3(rotate!(w[($j + 3) % 16], 7), w[($j + 10) % 16]);
            }
        };
    }
    macro_rules! four {
        ($($j:literal)*, $ff:ident, $gg:ident) => {$(
            round!($j, $ff, $gg, a b c d e f g h);
            round!($j + 1, $ff, $gg, d a b c h e f g);
            round!($j + 2, $ff, $gg, c d a b g h e f);
            round!($j + 3, $ff, $gg, b c d a f g h e);
        )*};
    }
    four!(0 4 8 12, xor3, xor3);
    four!(16 20 24 28 32 36 40 44 48 52 56 60, majority, choose);
    for (word, new) in state.iter_mut().zip([a, b, c, d, e, f, g, h]) {
        *word = word.xor(new);
    }
}
