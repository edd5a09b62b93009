//! The constants of SM4's rounds, worked out by the compiler: linear maps on bytes over GF(2).
//!
//! SM4's S-box is OUT · inverse(IN · x ⊕ c) ⊕ d, with the inverse taken in AES's field. The kernels
//! keep every word of the state multiplied by IN, byte for byte, so that a round begins with the
//! inverse itself. The linear step L then meets one map per byte rotation instead of S-box and bit
//! rotations: with zₖ the inverse rotated by k bytes, L(S(x)) is
//!
//! (1 ⊕ ≪2)·OUT·z₀ ⊕ (≪2 ⊕ ≫6)·OUT·(z₁ ⊕ z₂) ⊕ (1 ⊕ ≫6)·OUT·z₃ ⊕ a constant,
//!
//! because rotating a word left by two bits shifts each byte left by two and lets its two top bits
//! into the next. The key expansion's L′ splits the same way.

/// A linear map on bytes: the images of the bits, lowest first.
pub(super) type Matrix = [u8; 8];

/// IN and OUT in GFNI's notation, and the two constants. Found by search over all 256 bytes; the
/// tests compare the whole S-box with GB/T 32907.
const IN: Matrix = from_gfni(0x4c28_7db9_1a22_505d);
const IN_CONSTANT: u8 = 0x3e;
const OUT: Matrix = from_gfni(0xf3ab_34a9_74a6_b589);
const OUT_CONSTANT: u8 = 0xd3;

/// Into the kernels' form of a word, and out of it.
pub(super) const ENTER: Matrix = IN;
pub(super) const LEAVE: Matrix = inverse(IN);

/// What follows the inverse in a round: the maps of the bytes rotated by 0, by 1 and 2 (the same),
/// and by 3 places, and the constant. The third is the sum of the first two.
pub(super) const DATA: [Matrix; 3] = [
    after_inverse(add(shift(0), shift(2))),
    after_inverse(add(shift(2), shift(-6))),
    after_inverse(add(shift(0), shift(-6))),
];
pub(super) const DATA_CONSTANT: u8 = apply(&IN, OUT_CONSTANT.rotate_left(2));

/// The same for the key expansion, by 0, 1, 2 and 3 places: L′ rotates by 13 = 8 + 5 and 23 = 16 + 7.
pub(super) const KEY: [Matrix; 4] = [
    after_inverse(shift(0)),
    after_inverse(shift(5)),
    after_inverse(add(shift(-3), shift(7))),
    after_inverse(shift(-1)),
];
pub(super) const KEY_CONSTANT: u8 = apply(
    &IN,
    OUT_CONSTANT ^ OUT_CONSTANT.rotate_left(5) ^ OUT_CONSTANT.rotate_left(7),
);

/// FK (GB/T 32907, 7.3).
pub(super) const FK: [u32; 4] = [0xa3b1_bac6, 0x56aa_3350, 0x677d_9197, 0xb270_22dc];

/// CK (GB/T 32907, 7.3: byte j of word i is 7·(4i + j) mod 256) in the kernels' form, with the
/// constant that the S-box adds to its input.
pub(super) const CK: [u32; 32] = {
    let mut words = [0; 32];
    let mut byte = 0;
    while byte < 128 {
        let value = apply(&IN, (7 * byte) as u8) ^ IN_CONSTANT;
        words[byte / 4] |= (value as u32) << (24 - 8 * (byte % 4));
        byte += 1;
    }
    words
};

/// [`IN_CONSTANT`] in each byte: what turns an expanded word into a round key that carries it.
pub(super) const ROUND_KEY_CONSTANT: u32 = u32::from_ne_bytes([IN_CONSTANT; 4]);

/// The maps and the constant of `maps` for a value that AES's S-box has passed instead of the
/// inverse alone.
pub(super) const fn after_aes<const N: usize>(maps: &[Matrix; N]) -> [Matrix; N] {
    let undo = inverse(AES);
    let mut out = [[0; 8]; N];
    let mut index = 0;
    while index < N {
        out[index] = compose(&maps[index], &undo);
        index += 1;
    }
    out
}

/// What the maps of [`after_aes`] make of AES's own constant, together.
pub(super) const fn aes_constant<const N: usize>(maps: &[Matrix; N]) -> u8 {
    let maps = after_aes(maps);
    let mut sum = 0;
    let mut index = 0;
    while index < N {
        sum ^= apply(&maps[index], AES_CONSTANT);
        index += 1;
    }
    sum
}

/// AES's S-box is AES · inverse(x) ⊕ 0x63 (FIPS 197, 5.1.1).
const AES: Matrix = from_gfni(0xf1e3_c78f_1f3e_7cf8);
const AES_CONSTANT: u8 = 0x63;

/// The map in GFNI's notation: byte 7 − i holds the input bits that make output bit i.
pub(super) const fn to_gfni(map: &Matrix) -> u64 {
    let mut out = 0;
    let mut cell = 0;
    while cell < 64 {
        let (row, column) = (cell / 8, cell % 8);
        out |= ((map[column] >> row & 1) as u64) << (8 * (7 - row) + column);
        cell += 1;
    }
    out
}

const fn from_gfni(rows: u64) -> Matrix {
    let mut map = [0; 8];
    let mut cell = 0;
    while cell < 64 {
        let (row, column) = (cell / 8, cell % 8);
        map[column] |= ((rows >> (8 * (7 - row) + column) & 1) as u8) << row;
        cell += 1;
    }
    map
}

/// The map as two tables of sixteen: of the low nibble, with `constant` added, and of the high one.
pub(super) const fn to_nibbles(map: &Matrix, constant: u8) -> [[u8; 16]; 2] {
    let mut tables = [[0; 16]; 2];
    let mut nibble = 0;
    while nibble < 16 {
        tables[0][nibble] = apply(map, nibble as u8) ^ constant;
        tables[1][nibble] = apply(map, (nibble as u8) << 4);
        nibble += 1;
    }
    tables
}

const fn apply(map: &Matrix, byte: u8) -> u8 {
    let mut sum = 0;
    let mut bit = 0;
    while bit < 8 {
        if byte >> bit & 1 == 1 {
            sum ^= map[bit];
        }
        bit += 1;
    }
    sum
}

/// First `inner`, then `outer`.
const fn compose(outer: &Matrix, inner: &Matrix) -> Matrix {
    let mut map = [0; 8];
    let mut bit = 0;
    while bit < 8 {
        map[bit] = apply(outer, inner[bit]);
        bit += 1;
    }
    map
}

const fn add(mut a: Matrix, b: Matrix) -> Matrix {
    let mut bit = 0;
    while bit < 8 {
        a[bit] ^= b[bit];
        bit += 1;
    }
    a
}

/// The byte shifted left by `places`, or right where negative; bits fall off.
const fn shift(places: i32) -> Matrix {
    let mut map = [0; 8];
    let mut bit = 0;
    while bit < 8 {
        let target = bit as i32 + places;
        map[bit] = if target >= 0 && target < 8 {
            1 << target
        } else {
            0
        };
        bit += 1;
    }
    map
}

/// The map of a bijection, undone.
const fn inverse(map: Matrix) -> Matrix {
    let mut out = [0; 8];
    let mut byte = 0;
    while byte < 256 {
        let image = apply(&map, byte as u8);
        if image.is_power_of_two() {
            out[image.trailing_zeros() as usize] = byte as u8;
        }
        byte += 1;
    }
    out
}

/// From the inverse to the kernels' form, by way of SM4's byte and `step`.
const fn after_inverse(step: Matrix) -> Matrix {
    compose(&IN, &compose(&step, &OUT))
}
