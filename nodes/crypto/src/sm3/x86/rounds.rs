//! The 64 rounds of SM3 on one block whose message words are expanded already.

use std::arch::asm;

use crate::sm3::{State, T};

/// The message words of one block: W as `plain`, W′ as `mixed` (GB/T 32905, 5.3.2).
#[repr(C, align(64))]
pub(super) struct Words {
    pub(super) plain: [u32; 64],
    pub(super) mixed: [u32; 64],
}

/// Where `mixed` begins.
const MIXED: usize = std::mem::offset_of!(Words, mixed);

/// One round, as text. The words of the state come by the names of their registers; `W` and `GG` of
/// this round are in `h` already, and the round ends by adding those of the next round to `g`, which
/// will be its `h`. That takes GG off the chain from E to E: with u = TT2 <<< 9 ⊕ TT2 <<< 17,
/// E = TT2 ⊕ u, so GG = F ⊕ (¬TT2 ∧ (F ⊕ G)) ⊕ (u ∧ (F ⊕ G)) is there one instruction after E.
///
/// The order of the lines was found by measuring, see [`super::group`]: the same instructions in a
/// plain order take half a cycle a round more.
#[rustfmt::skip]
macro_rules! round {
    // FF = GG = ⊕, also in the round after.
    (early $t:literal $o:literal $a:literal $b:literal $c:literal $d:literal $e:literal $f:literal $g:literal $h:literal) => {
        round!(@ $t $o
            [""]
            [""]
            [concat!("xor {t2:e},", $a, "\n")]
            [""]
            [concat!("mov {t0:e},", $h, "\n")]
            ["xor {t0:e},{t4:e}\n"]
            [""]
            [concat!("add ", $g, ",[{w}+{at}+4+", $o, "]\n")]
            [concat!("add ", $g, ",{t0:e}\n")]
            $a $b $c $d $e $f $g $h)
    };
    // The last of those rounds.
    (turn $t:literal $o:literal $a:literal $b:literal $c:literal $d:literal $e:literal $f:literal $g:literal $h:literal) => {
        round!(@ $t $o
            [""]
            [""]
            [concat!("xor {t2:e},", $a, "\n")]
            [""]
            [concat!("andn {t0:e},", $h, ",{t4:e}\n")]
            [concat!("xor {t0:e},", $e, "\n")]
            ["and {t3:e},{t4:e}\n"]
            [concat!("add ", $g, ",[{w}+{at}+4+", $o, "]\n")]
            [concat!("add ", $g, ",{t0:e}\n")]
            $a $b $c $d $e $f $g $h)
    };
    // FF = (B ∧ C) + (A ∧ (B ⊕ C)): the two have no bit in common.
    (late $t:literal $o:literal $a:literal $b:literal $c:literal $d:literal $e:literal $f:literal $g:literal $h:literal) => {
        round!(@ $t $o
            [concat!("mov {t3:e},", $b, "\n")]
            [concat!("and {t3:e},", $c, "\n")]
            [concat!("and {t2:e},", $a, "\n")]
            [concat!("add ", $d, ",{t3:e}\n")]
            [concat!("andn {t0:e},", $h, ",{t4:e}\n")]
            [concat!("xor {t0:e},", $e, "\n")]
            ["and {t3:e},{t4:e}\n"]
            [concat!("add ", $g, ",[{w}+{at}+4+", $o, "]\n")]
            [concat!("add ", $g, ",{t0:e}\n")]
            $a $b $c $d $e $f $g $h)
    };
    (@ $t:literal $o:literal
        [$both:expr] [$both_c:expr] [$ff:expr] [$both_add:expr]
        [$gg0:expr] [$gg1:expr] [$gg2:expr] [$next_w:expr] [$next_gg:expr]
        $a:literal $b:literal $c:literal $d:literal $e:literal $f:literal $g:literal $h:literal) => {
        concat!(
            "rorx ", $f, ",", $f, ",13\n",
            "mov {t4:e},", $e, "\n",
            "nop\n",
            "rorx {t0:e},", $a, ",20\n", // A <<< 12
            $both,
            "mov {t2:e},", $b, "\n",
            "lea {t1:e},[", $e, "+{t0:e}+{", $t, "}]\n",
            "rorx {t1:e},{t1:e},25\n", // SS1
            "xor {t0:e},{t1:e}\n", // SS2
            "add ", $h, ",{t1:e}\n", // TT2
            "add ", $d, ",[{w}+{mixed}+{at}+", $o, "]\n", // W′
            "nop\n",
            $both_c,
            "xor {t2:e},", $c, "\n",
            $next_w,
            $ff,
            "rorx ", $b, ",", $b, ",23\n",
            $both_add,
            "rorx {t3:e},", $h, ",23\n",
            "rorx {t1:e},", $h, ",15\n",
            "add ", $d, ",{t2:e}\n",
            "xor {t3:e},{t1:e}\n", // u
            "xor {t4:e},", $f, "\n", // F ⊕ G of the next round
            "add ", $d, ",{t0:e}\n", // TT1, the next A
            $gg0,
            $gg1,
            "xor ", $h, ",{t3:e}\n", // the next E
            $gg2,
            "xor {t0:e},{t3:e}\n",
            $next_gg,
        )
    };
}

/// Compresses one block; `beside` is run after every four rounds with their number, 0 to 15, and its
/// instructions fill what the rounds leave free.
///
/// No branch and no address depends on the data.
#[expect(unsafe_code, reason = "assembly")]
#[inline]
#[target_feature(enable = "bmi1,bmi2,avx2")]
pub(super) fn rounds(state: &mut State, words: &Words, mut beside: impl FnMut(usize)) {
    let [mut a, mut b, mut c, mut d, mut e, mut f, mut g, mut h] = *state;
    h = h.wrapping_add(words.plain[0]).wrapping_add(e ^ f ^ g);
    macro_rules! four {
        ($i:literal $kind:ident $last:ident) => {
            // SAFETY: the text reads the words of its four rounds from both arrays and one word more
            // from the first, behind which the second begins; it writes registers that it names, and
            // no memory or stack.
            unsafe {
                asm!(
                    round!($kind "t_0" "0" "{a:e}" "{b:e}" "{c:e}" "{d:e}" "{e:e}" "{f:e}" "{g:e}" "{h:e}"),
                    round!($kind "t_1" "4" "{d:e}" "{a:e}" "{b:e}" "{c:e}" "{h:e}" "{e:e}" "{f:e}" "{g:e}"),
                    round!($kind "t_2" "8" "{c:e}" "{d:e}" "{a:e}" "{b:e}" "{g:e}" "{h:e}" "{e:e}" "{f:e}"),
                    round!($last "t_3" "12" "{b:e}" "{c:e}" "{d:e}" "{a:e}" "{f:e}" "{g:e}" "{h:e}" "{e:e}"),
                    a = inout(reg) a,
                    b = inout(reg) b,
                    c = inout(reg) c,
                    d = inout(reg) d,
                    e = inout(reg) e,
                    f = inout(reg) f,
                    g = inout(reg) g,
                    h = inout(reg) h,
                    w = in(reg) std::ptr::from_ref(words),
                    t0 = out(reg) _,
                    t1 = out(reg) _,
                    t2 = out(reg) _,
                    t3 = out(reg) _,
                    t4 = out(reg) _,
                    at = const 16 * $i,
                    mixed = const MIXED,
                    t_0 = const T[4 * $i] as i32,
                    t_1 = const T[4 * $i + 1] as i32,
                    t_2 = const T[4 * $i + 2] as i32,
                    t_3 = const T[4 * $i + 3] as i32,
                    options(nostack, readonly),
                );
            }
            beside($i);
        };
    }
    four!(0 early early);
    four!(1 early early);
    four!(2 early early);
    four!(3 early turn);
    four!(4 late late);
    four!(5 late late);
    four!(6 late late);
    four!(7 late late);
    four!(8 late late);
    four!(9 late late);
    four!(10 late late);
    four!(11 late late);
    four!(12 late late);
    four!(13 late late);
    four!(14 late late);
    four!(15 late late);
    // The last round has prepared a 65th, with the word behind `plain` as its W: take both out of H.
    let prepared = ((e & f) | (!e & g)).wrapping_add(words.mixed[0]);
    h = h.wrapping_sub(prepared);
    for (word, new) in state.iter_mut().zip([a, b, c, d, e, f, g, h]) {
        *word ^= new;
    }
}
