//! The 64 rounds of every block of a group, and beside them the message words of the group that
//! follows, in one piece of assembly.
//!
//! The order of the lines is not for the reader. The processor that it was found on (family 6, model
//! 207) binds an instruction to an execution port when it enters the queue, six a cycle, before it
//! is known which others will wait for the same port; a plain order of the same instructions takes
//! 7.1 cycles a round instead of 6.4. A round is thirty instructions, five times six, and each `nop` is
//! one of them. Measure before you move a line: `docs/benchmarks.md` says how this one was found.

#![expect(
    unsafe_code,
    reason = "a naked function; the attribute cannot stand beside it"
)]

use std::arch::naked_asm;

use super::{MIXED_AT, ROW_BYTES, Rows, WORDS_A_BLOCK};
use crate::sm3::{State, T};

/// One round, as text. `$a` to `$h` are the words of the state by the names of their 64-bit
/// registers; W and GG of this round are in `$h` already, and the round ends by adding those of the
/// next round to `$g`, which will be its `$h`. That takes GG off the chain from E to E, see
/// [`super::super::rounds`]. `$x` and `$y` are what may stand beside it.
#[rustfmt::skip]
macro_rules! round {
    // FF = GG = ⊕, also in the round after.
    (early $j:literal [$x:expr] [$y:expr] $a:literal $b:literal $c:literal $d:literal $e:literal $f:literal $g:literal $h:literal) => {
        round!(@ $j [$x] [$y]
            ["nop\n"]
            ["nop\n"]
            [concat!("xor ecx,", $a, "d\n")]
            ["nop\n"]
            [concat!("mov eax,", $h, "d\n")]
            ["xor eax,edi\n"]
            ["nop\n"]
            [concat!("add ", $g, "d,[rsi+{row}+{row}*", $j, "]\n")]
            [concat!("add ", $g, "d,eax\n")]
            $a $b $c $d $e $f $g $h)
    };
    // The last of those rounds.
    (turn $j:literal [$x:expr] [$y:expr] $a:literal $b:literal $c:literal $d:literal $e:literal $f:literal $g:literal $h:literal) => {
        round!(@ $j [$x] [$y]
            ["nop\n"]
            ["nop\n"]
            [concat!("xor ecx,", $a, "d\n")]
            ["nop\n"]
            [concat!("andn eax,", $h, "d,edi\n")]
            [concat!("xor eax,", $e, "d\n")]
            ["and ebp,edi\n"]
            [concat!("add ", $g, "d,[rsi+{row}+{row}*", $j, "]\n")]
            [concat!("add ", $g, "d,eax\n")]
            $a $b $c $d $e $f $g $h)
    };
    // FF = (B ∧ C) + (A ∧ (B ⊕ C)): the two have no bit in common.
    (late $j:literal [$x:expr] [$y:expr] $a:literal $b:literal $c:literal $d:literal $e:literal $f:literal $g:literal $h:literal) => {
        round!(@ $j [$x] [$y]
            [concat!("mov ebp,", $b, "d\n")]
            [concat!("and ebp,", $c, "d\n")]
            [concat!("and ecx,", $a, "d\n")]
            [concat!("add ", $d, "d,ebp\n")]
            [concat!("andn eax,", $h, "d,edi\n")]
            [concat!("xor eax,", $e, "d\n")]
            ["and ebp,edi\n"]
            [concat!("add ", $g, "d,[rsi+{row}+{row}*", $j, "]\n")]
            [concat!("add ", $g, "d,eax\n")]
            $a $b $c $d $e $f $g $h)
    };
    // No round follows.
    (last $j:literal [$x:expr] [$y:expr] $a:literal $b:literal $c:literal $d:literal $e:literal $f:literal $g:literal $h:literal) => {
        round!(@ $j [$x] [$y]
            [concat!("mov ebp,", $b, "d\n")]
            [concat!("and ebp,", $c, "d\n")]
            [concat!("and ecx,", $a, "d\n")]
            [concat!("add ", $d, "d,ebp\n")]
            [concat!("andn eax,", $h, "d,edi\n")]
            [concat!("xor eax,", $e, "d\n")]
            ["and ebp,edi\n"]
            ["nop\n"]
            ["nop\n"]
            $a $b $c $d $e $f $g $h)
    };
    (@ $j:literal [$x:expr] [$y:expr]
        [$both:expr] [$both_c:expr] [$ff:expr] [$both_add:expr]
        [$gg0:expr] [$gg1:expr] [$gg2:expr] [$next_w:expr] [$next_gg:expr]
        $a:literal $b:literal $c:literal $d:literal $e:literal $f:literal $g:literal $h:literal) => {
        concat!(
            "rorx eax,", $a, "d,20\n", // A <<< 12
            "lea ebx,[", $e, "+rax+{t", $j, "}]\n",
            "mov ecx,", $b, "d\n",
            "mov edi,", $e, "d\n",
            $both,
            "rorx ebx,ebx,25\n", // SS1
            $both_c,
            "xor ecx,", $c, "d\n",
            "add ", $d, "d,[rsi+{mixed}+{row}*", $j, "]\n", // W′
            $next_w,
            $x,
            $both_add,
            $ff,
            $y,
            "add ", $h, "d,ebx\n", // TT2
            "xor eax,ebx\n", // SS2
            "rorx ", $b, "d,", $b, "d,23\n",
            "rorx ", $f, "d,", $f, "d,13\n",
            "rorx ebp,", $h, "d,23\n",
            "rorx ebx,", $h, "d,15\n",
            "add ", $d, "d,ecx\n",
            "xor ebp,ebx\n", // u
            "xor edi,", $f, "d\n", // F ⊕ G of the next round
            "add ", $d, "d,eax\n", // TT1, the next A
            $gg0,
            $gg1,
            "xor ", $h, "d,ebp\n", // the next E
            $gg2,
            "xor eax,ebp\n",
            $next_gg,
        )
    };
}

/// One of the eleven steps that make word `$i` past `rdx`, as text:
/// W[j] = P1(W[j−16] ⊕ W[j−9] ⊕ (W[j−3] <<< 15)) ⊕ (W[j−13] <<< 7) ⊕ W[j−6], and
/// W′[j−4] = W[j−4] ⊕ W[j].
#[rustfmt::skip]
macro_rules! expand {
    ($i:literal 0) => { concat!("vprold ymm16,[rdx+{row}*(", $i, "-3)],15\n") };
    ($i:literal 1) => { concat!("vmovdqu32 ymm17,[rdx+{row}*(", $i, "-9)]\n") };
    ($i:literal 2) => { concat!("vpternlogd ymm16,ymm17,[rdx+{row}*(", $i, "-16)],0x96\n") };
    ($i:literal 3) => { "vprold ymm17,ymm16,15\n" };
    ($i:literal 4) => { "vprold ymm18,ymm16,23\n" };
    ($i:literal 5) => { "vpternlogd ymm16,ymm17,ymm18,0x96\n" };
    ($i:literal 6) => { concat!("vprold ymm17,[rdx+{row}*(", $i, "-13)],7\n") };
    ($i:literal 7) => { concat!("vpternlogd ymm16,ymm17,[rdx+{row}*(", $i, "-6)],0x96\n") };
    ($i:literal 8) => { concat!("vmovdqu32 [rdx+{row}*", $i, "],ymm16\n") };
    ($i:literal 9) => { concat!("vpxord ymm16,ymm16,[rdx+{row}*(", $i, "-4)]\n") };
    ($i:literal 10) => { concat!("vmovdqu32 [rdx+{mixed}+{row}*(", $i, "-4)],ymm16\n") };
}

/// Compresses the first `count` blocks of the group `now`, and makes [`WORDS_A_BLOCK`] rows of the
/// group `next` with each, from W[16] and W′[12] on.
///
/// No branch and no address depends on the data.
///
/// # Safety
/// The processor has BMI1, BMI2, AVX-512F and AVX-512VL. `count` is 1 to the blocks of a group. All words
/// of the blocks are written in `now`, and sixteen rows of W and twelve of W′ in `next`, unless what
/// comes of them is not used.
#[unsafe(naked)]
pub(super) unsafe extern "sysv64" fn rounds(
    state: &mut State,
    now: &Rows,
    next: &mut Rows,
    count: usize,
) {
    naked_asm!(
        "push rbx",
        "push rbp",
        "push r12",
        "push r13",
        "push r14",
        "push r15",
        "push rcx", // blocks to go
        "push rdi",
        "mov r8d,[rdi]",
        "mov r9d,[rdi+4]",
        "mov r10d,[rdi+8]",
        "mov r11d,[rdi+12]",
        "mov r12d,[rdi+16]",
        "mov r13d,[rdi+20]",
        "mov r14d,[rdi+24]",
        "mov r15d,[rdi+28]",
        "add rdx,{first}",
        ".p2align 6",
        "2:",
        "add r15d,[rsi]",
        "mov eax,r12d",
        "xor eax,r13d",
        "xor eax,r14d",
        "add r15d,eax",
        round!(early "0" ["nop\n"] [expand!("0" 0)] "r8" "r9" "r10" "r11" "r12" "r13" "r14" "r15"),
        round!(early "1" ["nop\n"] [expand!("0" 1)] "r11" "r8" "r9" "r10" "r15" "r12" "r13" "r14"),
        round!(early "2" [expand!("0" 2)] ["nop\n"] "r10" "r11" "r8" "r9" "r14" "r15" "r12" "r13"),
        round!(early "3" [expand!("0" 3)] ["nop\n"] "r9" "r10" "r11" "r8" "r13" "r14" "r15" "r12"),
        round!(early "4" [expand!("0" 4)] [expand!("0" 5)] "r8" "r9" "r10" "r11" "r12" "r13" "r14" "r15"),
        round!(early "5" ["nop\n"] [expand!("0" 6)] "r11" "r8" "r9" "r10" "r15" "r12" "r13" "r14"),
        round!(early "6" ["nop\n"] [expand!("0" 7)] "r10" "r11" "r8" "r9" "r14" "r15" "r12" "r13"),
        round!(early "7" [expand!("0" 8)] ["nop\n"] "r9" "r10" "r11" "r8" "r13" "r14" "r15" "r12"),
        round!(early "8" [expand!("0" 9)] ["nop\n"] "r8" "r9" "r10" "r11" "r12" "r13" "r14" "r15"),
        round!(early "9" [expand!("0" 10)] [expand!("1" 0)] "r11" "r8" "r9" "r10" "r15" "r12" "r13" "r14"),
        round!(early "10" ["nop\n"] [expand!("1" 1)] "r10" "r11" "r8" "r9" "r14" "r15" "r12" "r13"),
        round!(early "11" ["nop\n"] [expand!("1" 2)] "r9" "r10" "r11" "r8" "r13" "r14" "r15" "r12"),
        round!(early "12" [expand!("1" 3)] ["nop\n"] "r8" "r9" "r10" "r11" "r12" "r13" "r14" "r15"),
        round!(early "13" [expand!("1" 4)] ["nop\n"] "r11" "r8" "r9" "r10" "r15" "r12" "r13" "r14"),
        round!(early "14" [expand!("1" 5)] [expand!("1" 6)] "r10" "r11" "r8" "r9" "r14" "r15" "r12" "r13"),
        round!(turn "15" ["nop\n"] [expand!("1" 7)] "r9" "r10" "r11" "r8" "r13" "r14" "r15" "r12"),
        round!(late "16" ["nop\n"] [expand!("1" 8)] "r8" "r9" "r10" "r11" "r12" "r13" "r14" "r15"),
        round!(late "17" [expand!("1" 9)] ["nop\n"] "r11" "r8" "r9" "r10" "r15" "r12" "r13" "r14"),
        round!(late "18" [expand!("1" 10)] ["nop\n"] "r10" "r11" "r8" "r9" "r14" "r15" "r12" "r13"),
        round!(late "19" [expand!("2" 0)] [expand!("2" 1)] "r9" "r10" "r11" "r8" "r13" "r14" "r15" "r12"),
        round!(late "20" ["nop\n"] [expand!("2" 2)] "r8" "r9" "r10" "r11" "r12" "r13" "r14" "r15"),
        round!(late "21" ["nop\n"] [expand!("2" 3)] "r11" "r8" "r9" "r10" "r15" "r12" "r13" "r14"),
        round!(late "22" [expand!("2" 4)] ["nop\n"] "r10" "r11" "r8" "r9" "r14" "r15" "r12" "r13"),
        round!(late "23" [expand!("2" 5)] ["nop\n"] "r9" "r10" "r11" "r8" "r13" "r14" "r15" "r12"),
        round!(late "24" [expand!("2" 6)] [expand!("2" 7)] "r8" "r9" "r10" "r11" "r12" "r13" "r14" "r15"),
        round!(late "25" ["nop\n"] [expand!("2" 8)] "r11" "r8" "r9" "r10" "r15" "r12" "r13" "r14"),
        round!(late "26" ["nop\n"] [expand!("2" 9)] "r10" "r11" "r8" "r9" "r14" "r15" "r12" "r13"),
        round!(late "27" [expand!("2" 10)] ["nop\n"] "r9" "r10" "r11" "r8" "r13" "r14" "r15" "r12"),
        round!(late "28" [expand!("3" 0)] ["nop\n"] "r8" "r9" "r10" "r11" "r12" "r13" "r14" "r15"),
        round!(late "29" [expand!("3" 1)] [expand!("3" 2)] "r11" "r8" "r9" "r10" "r15" "r12" "r13" "r14"),
        round!(late "30" ["nop\n"] [expand!("3" 3)] "r10" "r11" "r8" "r9" "r14" "r15" "r12" "r13"),
        round!(late "31" ["nop\n"] [expand!("3" 4)] "r9" "r10" "r11" "r8" "r13" "r14" "r15" "r12"),
        round!(late "32" [expand!("3" 5)] ["nop\n"] "r8" "r9" "r10" "r11" "r12" "r13" "r14" "r15"),
        round!(late "33" [expand!("3" 6)] ["nop\n"] "r11" "r8" "r9" "r10" "r15" "r12" "r13" "r14"),
        round!(late "34" [expand!("3" 7)] [expand!("3" 8)] "r10" "r11" "r8" "r9" "r14" "r15" "r12" "r13"),
        round!(late "35" ["nop\n"] [expand!("3" 9)] "r9" "r10" "r11" "r8" "r13" "r14" "r15" "r12"),
        round!(late "36" ["nop\n"] [expand!("3" 10)] "r8" "r9" "r10" "r11" "r12" "r13" "r14" "r15"),
        round!(late "37" [expand!("4" 0)] ["nop\n"] "r11" "r8" "r9" "r10" "r15" "r12" "r13" "r14"),
        round!(late "38" [expand!("4" 1)] ["nop\n"] "r10" "r11" "r8" "r9" "r14" "r15" "r12" "r13"),
        round!(late "39" [expand!("4" 2)] [expand!("4" 3)] "r9" "r10" "r11" "r8" "r13" "r14" "r15" "r12"),
        round!(late "40" ["nop\n"] [expand!("4" 4)] "r8" "r9" "r10" "r11" "r12" "r13" "r14" "r15"),
        round!(late "41" ["nop\n"] [expand!("4" 5)] "r11" "r8" "r9" "r10" "r15" "r12" "r13" "r14"),
        round!(late "42" [expand!("4" 6)] ["nop\n"] "r10" "r11" "r8" "r9" "r14" "r15" "r12" "r13"),
        round!(late "43" [expand!("4" 7)] ["nop\n"] "r9" "r10" "r11" "r8" "r13" "r14" "r15" "r12"),
        round!(late "44" [expand!("4" 8)] [expand!("4" 9)] "r8" "r9" "r10" "r11" "r12" "r13" "r14" "r15"),
        round!(late "45" ["nop\n"] [expand!("4" 10)] "r11" "r8" "r9" "r10" "r15" "r12" "r13" "r14"),
        round!(late "46" ["nop\n"] [expand!("5" 0)] "r10" "r11" "r8" "r9" "r14" "r15" "r12" "r13"),
        round!(late "47" [expand!("5" 1)] ["nop\n"] "r9" "r10" "r11" "r8" "r13" "r14" "r15" "r12"),
        round!(late "48" [expand!("5" 2)] ["nop\n"] "r8" "r9" "r10" "r11" "r12" "r13" "r14" "r15"),
        round!(late "49" [expand!("5" 3)] [expand!("5" 4)] "r11" "r8" "r9" "r10" "r15" "r12" "r13" "r14"),
        round!(late "50" ["nop\n"] [expand!("5" 5)] "r10" "r11" "r8" "r9" "r14" "r15" "r12" "r13"),
        round!(late "51" ["nop\n"] [expand!("5" 6)] "r9" "r10" "r11" "r8" "r13" "r14" "r15" "r12"),
        round!(late "52" [expand!("5" 7)] ["nop\n"] "r8" "r9" "r10" "r11" "r12" "r13" "r14" "r15"),
        round!(late "53" [expand!("5" 8)] ["nop\n"] "r11" "r8" "r9" "r10" "r15" "r12" "r13" "r14"),
        round!(late "54" [expand!("5" 9)] [expand!("5" 10)] "r10" "r11" "r8" "r9" "r14" "r15" "r12" "r13"),
        round!(late "55" ["nop\n"] [expand!("6" 0)] "r9" "r10" "r11" "r8" "r13" "r14" "r15" "r12"),
        round!(late "56" ["nop\n"] [expand!("6" 1)] "r8" "r9" "r10" "r11" "r12" "r13" "r14" "r15"),
        round!(late "57" [expand!("6" 2)] ["nop\n"] "r11" "r8" "r9" "r10" "r15" "r12" "r13" "r14"),
        round!(late "58" [expand!("6" 3)] ["nop\n"] "r10" "r11" "r8" "r9" "r14" "r15" "r12" "r13"),
        round!(late "59" [expand!("6" 4)] [expand!("6" 5)] "r9" "r10" "r11" "r8" "r13" "r14" "r15" "r12"),
        round!(late "60" ["nop\n"] [expand!("6" 6)] "r8" "r9" "r10" "r11" "r12" "r13" "r14" "r15"),
        round!(late "61" ["nop\n"] [expand!("6" 7)] "r11" "r8" "r9" "r10" "r15" "r12" "r13" "r14"),
        round!(late "62" [expand!("6" 8)] ["nop\n"] "r10" "r11" "r8" "r9" "r14" "r15" "r12" "r13"),
        round!(last "63" [expand!("6" 9)] [expand!("6" 10)] "r9" "r10" "r11" "r8" "r13" "r14" "r15" "r12"),
        "mov rdi,[rsp]",
        "xor r8d,[rdi]",
        "xor r9d,[rdi+4]",
        "xor r10d,[rdi+8]",
        "xor r11d,[rdi+12]",
        "xor r12d,[rdi+16]",
        "xor r13d,[rdi+20]",
        "xor r14d,[rdi+24]",
        "xor r15d,[rdi+28]",
        "mov [rdi],r8d",
        "mov [rdi+4],r9d",
        "mov [rdi+8],r10d",
        "mov [rdi+12],r11d",
        "mov [rdi+16],r12d",
        "mov [rdi+20],r13d",
        "mov [rdi+24],r14d",
        "mov [rdi+28],r15d",
        "add rsi,4",
        "add rdx,{made}",
        "dec qword ptr [rsp+8]",
        "jnz 2b",
        "pop rdi",
        "pop rcx",
        "pop r15",
        "pop r14",
        "pop r13",
        "pop r12",
        "pop rbp",
        "pop rbx",
        "ret",
        row = const ROW_BYTES,
        mixed = const MIXED_AT,
        first = const 16 * ROW_BYTES,
        made = const WORDS_A_BLOCK * ROW_BYTES,
        t0 = const T[0] as i32,
        t1 = const T[1] as i32,
        t2 = const T[2] as i32,
        t3 = const T[3] as i32,
        t4 = const T[4] as i32,
        t5 = const T[5] as i32,
        t6 = const T[6] as i32,
        t7 = const T[7] as i32,
        t8 = const T[8] as i32,
        t9 = const T[9] as i32,
        t10 = const T[10] as i32,
        t11 = const T[11] as i32,
        t12 = const T[12] as i32,
        t13 = const T[13] as i32,
        t14 = const T[14] as i32,
        t15 = const T[15] as i32,
        t16 = const T[16] as i32,
        t17 = const T[17] as i32,
        t18 = const T[18] as i32,
        t19 = const T[19] as i32,
        t20 = const T[20] as i32,
        t21 = const T[21] as i32,
        t22 = const T[22] as i32,
        t23 = const T[23] as i32,
        t24 = const T[24] as i32,
        t25 = const T[25] as i32,
        t26 = const T[26] as i32,
        t27 = const T[27] as i32,
        t28 = const T[28] as i32,
        t29 = const T[29] as i32,
        t30 = const T[30] as i32,
        t31 = const T[31] as i32,
        t32 = const T[32] as i32,
        t33 = const T[33] as i32,
        t34 = const T[34] as i32,
        t35 = const T[35] as i32,
        t36 = const T[36] as i32,
        t37 = const T[37] as i32,
        t38 = const T[38] as i32,
        t39 = const T[39] as i32,
        t40 = const T[40] as i32,
        t41 = const T[41] as i32,
        t42 = const T[42] as i32,
        t43 = const T[43] as i32,
        t44 = const T[44] as i32,
        t45 = const T[45] as i32,
        t46 = const T[46] as i32,
        t47 = const T[47] as i32,
        t48 = const T[48] as i32,
        t49 = const T[49] as i32,
        t50 = const T[50] as i32,
        t51 = const T[51] as i32,
        t52 = const T[52] as i32,
        t53 = const T[53] as i32,
        t54 = const T[54] as i32,
        t55 = const T[55] as i32,
        t56 = const T[56] as i32,
        t57 = const T[57] as i32,
        t58 = const T[58] as i32,
        t59 = const T[59] as i32,
        t60 = const T[60] as i32,
        t61 = const T[61] as i32,
        t62 = const T[62] as i32,
        t63 = const T[63] as i32,
    )
}
