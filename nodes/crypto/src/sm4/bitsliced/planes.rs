//! Blocks as bit planes and back.
//!
//! A [`Word`] holds one of SM4's four 32-bit words of [`BLOCKS`] blocks: plane `i` has bit `i` of
//! every byte. A lane's 32 bits are four bytes' worth of eight blocks, the byte's place in the word
//! in the upper two bits of the index, so that rotating a word by whole bytes rotates each lane.

/// Lanes of a plane: together one 128-bit vector register where the processor has them.
pub(super) const LANES: usize = 4;
/// Blocks that go through the cipher together.
pub(super) const BLOCKS: usize = 8 * LANES;

/// Bits of one plane.
pub(super) type Plane = [u32; LANES];
/// One word of every block.
pub(super) type Word = [Plane; 8];

/// Splits blocks into the planes of their four words.
pub(super) fn split(blocks: &[[u8; 16]; BLOCKS]) -> [Word; 4] {
    let mut words = [[[0; LANES]; 8]; 4];
    for (index, block) in blocks.iter().enumerate() {
        let (parts, _) = block.as_chunks::<4>();
        for (word, part) in words.iter_mut().zip(parts) {
            word[index / LANES][index % LANES] = u32::from_be_bytes(*part);
        }
    }
    words.iter_mut().for_each(transpose);
    words
}

/// Joins planes into blocks, the words in reverse: SM4's last step (GB/T 32907, 7.2 R).
pub(super) fn join_reversed(mut words: [Word; 4], blocks: &mut [[u8; 16]; BLOCKS]) {
    words.iter_mut().for_each(transpose);
    for (index, block) in blocks.iter_mut().enumerate() {
        let (parts, _) = block.as_chunks_mut::<4>();
        for (word, part) in words.iter().rev().zip(parts) {
            *part = word[index / LANES][index % LANES].to_be_bytes();
        }
    }
}

/// Exchanges the index of a plane with the index of a bit within its byte; its own inverse.
fn transpose(word: &mut Word) {
    for low in [0, 2, 4, 6] {
        exchange::<1>(word, low, 0x5555_5555);
    }
    for low in [0, 1, 4, 5] {
        exchange::<2>(word, low, 0x3333_3333);
    }
    for low in [0, 1, 2, 3] {
        exchange::<4>(word, low, 0x0f0f_0f0f);
    }
}

/// Exchanges the upper bits of plane `low` with the lower bits (`mask`) of plane `low + DISTANCE`.
#[inline(always)]
fn exchange<const DISTANCE: usize>(word: &mut Word, low: usize, mask: u32) {
    let (below, above) = word.split_at_mut(low + DISTANCE);
    for (a, b) in below[low].iter_mut().zip(&mut above[0]) {
        let swapped = ((*a >> DISTANCE) ^ *b) & mask;
        *a ^= swapped << DISTANCE;
        *b ^= swapped;
    }
}
