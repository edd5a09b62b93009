//! SM4 itself: key expansion, blocks, and the keystream of counter mode.
//!
//! Four registers hold a group of 4·LANES blocks, one register for each of SM4's four words. Up to
//! [`Machine::GROUPS_MAX`] groups run interleaved, because the steps of a round depend on each
//! other.

use zeroize::Zeroize as _;

use super::Machine;
use super::linear::{CK, FK, ROUND_KEY_CONSTANT};
use super::sbox::Sbox;
use super::vector::{Vector, Xmm};

/// The round keys, in the kernels' form, each with the constant that the S-box adds to its input.
pub(super) struct Schedule([u32; 32]);

impl Schedule {
    pub(super) const EMPTY: Self = Self([0; 32]);
}

impl Drop for Schedule {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

/// Key expansion (GB/T 32907, 7.3). Writes into `schedule`, so that no copy stays behind.
#[inline(always)]
pub(super) fn expand<M: Machine>(machine: M, schedule: &mut Schedule, key: &[u8; 16]) {
    let sbox = M::NarrowSbox::new(machine);
    let fk = FK.map(|word| u128::from(word.swap_bytes()));
    let fk = fk[3] << 96 | fk[2] << 64 | fk[1] << 32 | fk[0];
    let key = Xmm::load(machine, key).xor(Xmm::from_number(machine, fk));
    let key = sbox.enter(machine, key.shuffle(Xmm::splat(machine, &WORD_BYTES)));
    let [mut a, mut b, mut c, mut d] = words(key);
    let words = schedule.0.as_chunks_mut::<4>().0.iter_mut();
    for ([k0, k1, k2, k3], [c0, c1, c2, c3]) in words.zip(CK.as_chunks::<4>().0) {
        a = sbox.add_key_step(machine, a, d.xor(b.xor3(c, word(machine, *c0))));
        *k0 = round_key(a);
        b = sbox.add_key_step(machine, b, a.xor(c.xor3(d, word(machine, *c1))));
        *k1 = round_key(b);
        c = sbox.add_key_step(machine, c, b.xor(d.xor3(a, word(machine, *c2))));
        *k2 = round_key(c);
        d = sbox.add_key_step(machine, d, c.xor(a.xor3(b, word(machine, *c3))));
        *k3 = round_key(d);
    }
}

#[inline(always)]
fn word<M: Machine>(machine: M, word: u32) -> Xmm<M> {
    Xmm::from_number(machine, u128::from(word))
}

#[inline(always)]
fn round_key<M: Machine>(word: Xmm<M>) -> u32 {
    word.to_number() as u32 ^ ROUND_KEY_CONSTANT
}

/// Each word of a register in the first place of its own.
#[inline(always)]
fn words<M: Machine>(x: Xmm<M>) -> [Xmm<M>; 4] {
    [
        x,
        x.splat_place::<0b01_01_01_01>(),
        x.splat_place::<0b10_10_10_10>(),
        x.splat_place::<0b11_11_11_11>(),
    ]
}

/// Bytes of big-endian words into the order of numbers.
const WORD_BYTES: [u8; 16] = [3, 2, 1, 0, 7, 6, 5, 4, 11, 10, 9, 8, 15, 14, 13, 12];

/// The registers of one group: register w holds word w of each block, in the kernels' form.
type Group<V> = [V; 4];

/// All 32 rounds on `N` groups, interleaved.
#[inline(always)]
fn rounds<M, V, S, const N: usize>(
    machine: M,
    sbox: S,
    schedule: &Schedule,
    groups: &mut [Group<V>; N],
) where
    M: Machine,
    V: Vector<M>,
    S: Sbox<M, V>,
{
    for [k0, k1, k2, k3] in schedule.0.as_chunks::<4>().0 {
        let k0 = V::splat_word(machine, *k0);
        let k1 = V::splat_word(machine, *k1);
        let k2 = V::splat_word(machine, *k2);
        let k3 = V::splat_word(machine, *k3);
        for [a, b, c, d] in groups.iter_mut() {
            *a = sbox.add_data_step(*a, c.xor(*d).xor3(*b, k0));
        }
        for [a, b, c, d] in groups.iter_mut() {
            *b = sbox.add_data_step(*b, c.xor(*d).xor3(*a, k1));
        }
        for [a, b, c, d] in groups.iter_mut() {
            *c = sbox.add_data_step(*c, a.xor(*b).xor3(*d, k2));
        }
        for [a, b, c, d] in groups.iter_mut() {
            *d = sbox.add_data_step(*d, a.xor(*b).xor3(*c, k3));
        }
    }
}

/// The group's blocks in the order of memory: register r holds blocks LANES·r and on. Takes the
/// output words, which are the last four, newest first.
#[inline(always)]
fn to_bytes<M, V, S>(machine: M, sbox: S, [x0, x1, x2, x3]: Group<V>) -> [V; 4]
where
    M: Machine,
    V: Vector<M>,
    S: Sbox<M, V>,
{
    let word_bytes = V::splat(machine, &WORD_BYTES);
    let a = x3.unpack_low_words(x2);
    let b = x3.unpack_high_words(x2);
    let c = x1.unpack_low_words(x0);
    let d = x1.unpack_high_words(x0);
    let mut blocks = [
        a.unpack_low_halves(c),
        a.unpack_high_halves(c),
        b.unpack_low_halves(d),
        b.unpack_high_halves(d),
    ];
    for block in &mut blocks {
        *block = sbox.leave(machine, block.shuffle(word_bytes));
    }
    blocks
}

/// The other way: blocks in the order of memory to words.
#[inline(always)]
fn from_bytes<M, V, S>(machine: M, sbox: S, mut blocks: [V; 4]) -> Group<V>
where
    M: Machine,
    V: Vector<M>,
    S: Sbox<M, V>,
{
    let word_bytes = V::splat(machine, &WORD_BYTES);
    for block in &mut blocks {
        *block = sbox.enter(machine, block.shuffle(word_bytes));
    }
    let [r0, r1, r2, r3] = blocks;
    let a = r0.unpack_low_words(r1);
    let b = r0.unpack_high_words(r1);
    let c = r2.unpack_low_words(r3);
    let d = r2.unpack_high_words(r3);
    [
        a.unpack_low_halves(c),
        a.unpack_high_halves(c),
        b.unpack_low_halves(d),
        b.unpack_high_halves(d),
    ]
}

/// One block, in the first places of 128-bit registers.
#[inline(always)]
pub(super) fn encrypt_block<M: Machine>(machine: M, schedule: &Schedule, block: &mut [u8; 16]) {
    let sbox = M::NarrowSbox::new(machine);
    let order = Xmm::splat(machine, &WORD_BYTES);
    let x = sbox.enter(machine, Xmm::load(machine, block).shuffle(order));
    let mut group = [words(x)];
    rounds(machine, sbox, schedule, &mut group);
    let [[x0, x1, x2, x3]] = group;
    let x = x3
        .unpack_low_words(x2)
        .unpack_low_halves(x1.unpack_low_words(x0));
    sbox.leave(machine, x.shuffle(order)).store(block);
}

/// Encrypts whole registers' worth of blocks: exactly 64·LANES bytes a group.
#[inline(always)]
pub(super) fn encrypt_groups<M: Machine, const N: usize>(
    machine: M,
    schedule: &Schedule,
    blocks: &mut [u8],
) {
    let sbox = M::WideSbox::new(machine);
    let register = 16 * M::Wide::LANES;
    let zero = M::Wide::splat_word(machine, 0);
    let mut groups = [[zero; 4]; N];
    for (group, bytes) in groups.iter_mut().zip(blocks.chunks_exact(4 * register)) {
        let mut loaded = [zero; 4];
        for (x, bytes) in loaded.iter_mut().zip(bytes.chunks_exact(register)) {
            *x = M::Wide::load(machine, bytes);
        }
        *group = from_bytes(machine, sbox, loaded);
    }
    rounds(machine, sbox, schedule, &mut groups);
    for (group, bytes) in groups
        .into_iter()
        .zip(blocks.chunks_exact_mut(4 * register))
    {
        let stored = to_bytes(machine, sbox, group);
        for (x, bytes) in stored.into_iter().zip(bytes.chunks_exact_mut(register)) {
            x.store(bytes);
        }
    }
}

/// The three words of a counter block that stay, in the kernels' form.
#[derive(Clone, Copy)]
pub(super) struct Prefix([u32; 3]);

impl Prefix {
    #[inline(always)]
    pub(super) fn new<M: Machine>(machine: M, bytes: &[u8; 12]) -> Self {
        let mut block = [0; 16];
        block[..12].copy_from_slice(bytes);
        let sbox = M::NarrowSbox::new(machine);
        let x = Xmm::load(machine, &block).shuffle(Xmm::splat(machine, &WORD_BYTES));
        let x = sbox.enter(machine, x).to_number();
        Self([x as u32, (x >> 32) as u32, (x >> 64) as u32])
    }
}

/// The encrypted blocks of the counters from `counter` on, in the order of memory: registers of
/// LANES blocks. The counter wraps at 32 bits, and callers see to it that no block after that is
/// used.
#[inline(always)]
pub(super) fn keystream<M: Machine, const N: usize>(
    machine: M,
    schedule: &Schedule,
    prefix: Prefix,
    counter: u32,
) -> [[M::Wide; 4]; N] {
    let sbox = M::WideSbox::new(machine);
    let places = M::Wide::load(machine, PLACES.for_lanes(M::Wide::LANES));
    let Prefix([a, b, c]) = prefix;
    let a = M::Wide::splat_word(machine, a);
    let b = M::Wide::splat_word(machine, b);
    let c = M::Wide::splat_word(machine, c);
    let mut groups = [[a, b, c, a]; N];
    for (index, group) in (0u32..).zip(&mut groups) {
        let first = counter.wrapping_add(4 * M::Wide::LANES as u32 * index);
        let counters = M::Wide::splat_word(machine, first).add_words(places);
        group[3] = sbox.enter(machine, counters);
    }
    rounds(machine, sbox, schedule, &mut groups);
    for group in &mut groups {
        *group = to_bytes(machine, sbox, *group);
    }
    groups
}

/// Which block of a group sits in which place of a register of words: LANES·e + l in place e of lane
/// l, so that the transposition in [`to_bytes`] leaves blocks that follow each other in one register.
struct Places([[u8; 64]; 3]);

static PLACES: Places = Places([places(1), places(2), places(4)]);

impl Places {
    fn for_lanes(&self, lanes: usize) -> &[u8; 64] {
        let Self([one, two, four]) = self;
        match lanes {
            1 => one,
            2 => two,
            _ => four,
        }
    }
}

const fn places(lanes: usize) -> [u8; 64] {
    let mut out = [0; 64];
    let mut place = 0;
    while place < 4 * lanes {
        out[4 * place] = (lanes * (place % 4) + place / 4) as u8;
        place += 1;
    }
    out
}
