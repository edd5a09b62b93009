//! SM4's two round functions on registers of words: by GFNI's inverse, or by AES's S-box.
//!
//! Words are in the kernels' form (see [`super::linear`]). Neither way looks anything up in memory
//! by secret data or branches on it; `PSHUFB` looks nibbles up inside a register.

use std::hint::black_box;
use std::marker::PhantomData;

use super::linear::{
    DATA, DATA_CONSTANT, ENTER, KEY, KEY_CONSTANT, LEAVE, Matrix, aes_constant, after_aes, to_gfni,
    to_nibbles,
};
use super::vector::{Aes, AesLast, Affine, Base, Gfni, Vector};

/// The round functions for registers `V` of machine `M`.
pub(super) trait Sbox<M, V>: Copy {
    fn new(machine: M) -> Self;
    /// Each byte into the kernels' form.
    fn enter(self, machine: M, x: V) -> V;
    /// Each byte out of the kernels' form.
    fn leave(self, machine: M, x: V) -> V;
    /// `sum` plus T of each word of `x`, which carries its round key (GB/T 32907, 6.2).
    fn add_data_step(self, sum: V, x: V) -> V;
    /// `sum` plus T′ of each word of `x`, which carries its CK (GB/T 32907, 7.3).
    fn add_key_step(self, machine: M, sum: V, x: V) -> V;
}

/// By `GF2P8AFFINEINVQB`: one instruction from the input to each rotated part of the output.
#[derive(Clone, Copy)]
pub(super) struct ByGfni<M, V> {
    data: [V; 3],
    /// Rotations of each word left by 1, 2 and 3 bytes.
    rotations: [V; 3],
    machine: PhantomData<M>,
}

#[inline(always)]
fn splat_matrix<M: Base, V: Vector<M>>(machine: M, matrix: &Matrix) -> V {
    let half = u128::from(to_gfni(matrix));
    V::splat(machine, &(half << 64 | half).to_le_bytes())
}

impl<M: Base + Gfni, V: Vector<M> + Affine<M>> Sbox<M, V> for ByGfni<M, V> {
    #[inline(always)]
    fn new(machine: M) -> Self {
        let [m0, m1, m3] = &DATA;
        // Hidden from the compiler, which would make rotate instructions of these: they share a port
        // with the Galois field's in 512 bits, shuffles do not.
        let [r1, r2, r3] = black_box(&ROTATIONS);
        Self {
            data: [
                splat_matrix(machine, m0),
                splat_matrix(machine, m1),
                splat_matrix(machine, m3),
            ],
            rotations: [
                V::splat(machine, r1),
                V::splat(machine, r2),
                V::splat(machine, r3),
            ],
            machine: PhantomData,
        }
    }

    #[inline(always)]
    fn enter(self, machine: M, x: V) -> V {
        x.affine(splat_matrix(machine, &ENTER))
    }

    #[inline(always)]
    fn leave(self, machine: M, x: V) -> V {
        x.affine(splat_matrix(machine, &LEAVE))
    }

    #[inline(always)]
    fn add_data_step(self, sum: V, x: V) -> V {
        let [m0, m1, m3] = self.data;
        let [r1, r2, r3] = self.rotations;
        let z0 = x.affine_inverse::<{ DATA_CONSTANT as i32 }>(m0);
        let z1 = x.affine_inverse::<0>(m1);
        let z3 = x.affine_inverse::<0>(m3);
        sum.xor3(z0, z1.shuffle(r1))
            .xor3(z1.shuffle(r2), z3.shuffle(r3))
    }

    #[inline(always)]
    fn add_key_step(self, machine: M, sum: V, x: V) -> V {
        let [m0, m1, m2, m3] = &KEY;
        let [r1, r2, r3] = self.rotations;
        let z0 = x.affine_inverse::<{ KEY_CONSTANT as i32 }>(splat_matrix(machine, m0));
        let z1 = x.affine_inverse::<0>(splat_matrix(machine, m1));
        let z2 = x.affine_inverse::<0>(splat_matrix(machine, m2));
        let z3 = x.affine_inverse::<0>(splat_matrix(machine, m3));
        sum.xor3(z0, z1.shuffle(r1))
            .xor3(z2.shuffle(r2), z3.shuffle(r3))
    }
}

/// By `AESENCLAST`: AES's S-box holds the same inverse. Linear maps go nibble by nibble through
/// tables in registers, and the shuffles that rotate words undo AES's ShiftRows as well.
#[derive(Clone, Copy)]
pub(super) struct ByAes<M, V> {
    data: [[V; 2]; 2],
    /// ShiftRows undone, then each word rotated left by 0, 1, 2 and 3 bytes.
    rotations: [V; 4],
    low_nibble: V,
    machine: PhantomData<M>,
}

impl<M: Base, V: Vector<M>> ByAes<M, V> {
    #[inline(always)]
    fn tables(machine: M, [low, high]: &[[u8; 16]; 2]) -> [V; 2] {
        [V::splat(machine, low), V::splat(machine, high)]
    }

    /// The low and the high nibble of each byte.
    #[inline(always)]
    fn nibbles(self, x: V) -> [V; 2] {
        [
            x.and(self.low_nibble),
            x.shift_right_4().and(self.low_nibble),
        ]
    }
}

/// The linear map given by `tables` of `nibbles`.
#[inline(always)]
fn look_up<M: Base, V: Vector<M>>(tables: [V; 2], nibbles: [V; 2]) -> V {
    let [low_table, high_table] = tables;
    let [low, high] = nibbles;
    low_table.shuffle(low).xor(high_table.shuffle(high))
}

impl<M: Base + Aes, V: Vector<M> + AesLast<M>> Sbox<M, V> for ByAes<M, V> {
    #[inline(always)]
    fn new(machine: M) -> Self {
        const MAPS: [Matrix; 3] = after_aes(&DATA);
        // The middle map is used twice, so its share of the constant cancels out.
        const CONSTANT: u8 = DATA_CONSTANT ^ aes_constant(&[DATA[0], DATA[2]]);
        // The last map is the sum of the others (see `DATA`), so what the first adds cancels out and
        // what the middle one adds stays once.
        const TABLES: [[[u8; 16]; 2]; 2] =
            [to_nibbles(&MAPS[0], 0), to_nibbles(&MAPS[1], CONSTANT)];
        let [t0, t1] = &TABLES;
        let [r0, r1, r2, r3] = &UNSHIFTED_ROTATIONS;
        Self {
            data: [Self::tables(machine, t0), Self::tables(machine, t1)],
            rotations: [
                V::splat(machine, r0),
                V::splat(machine, r1),
                V::splat(machine, r2),
                V::splat(machine, r3),
            ],
            low_nibble: V::splat(machine, &[0x0f; 16]),
            machine: PhantomData,
        }
    }

    #[inline(always)]
    fn enter(self, machine: M, x: V) -> V {
        const TABLES: [[u8; 16]; 2] = to_nibbles(&ENTER, 0);
        look_up(Self::tables(machine, &TABLES), self.nibbles(x))
    }

    #[inline(always)]
    fn leave(self, machine: M, x: V) -> V {
        const TABLES: [[u8; 16]; 2] = to_nibbles(&LEAVE, 0);
        look_up(Self::tables(machine, &TABLES), self.nibbles(x))
    }

    #[inline(always)]
    fn add_data_step(self, sum: V, x: V) -> V {
        let nibbles = self.nibbles(x.aes_last());
        let [t0, t1] = self.data;
        let [r0, r1, r2, r3] = self.rotations;
        let z0 = look_up(t0, nibbles);
        let z1 = look_up(t1, nibbles);
        let z3 = z0.xor(z1);
        let sum = sum.xor3(z0.shuffle(r0), z1.shuffle(r1));
        sum.xor3(z1.shuffle(r2), z3.shuffle(r3))
    }

    #[inline(always)]
    fn add_key_step(self, machine: M, sum: V, x: V) -> V {
        const MAPS: [Matrix; 4] = after_aes(&KEY);
        const CONSTANT: u8 = KEY_CONSTANT ^ aes_constant(&KEY);
        const TABLES: [[[u8; 16]; 2]; 4] = [
            to_nibbles(&MAPS[0], CONSTANT),
            to_nibbles(&MAPS[1], 0),
            to_nibbles(&MAPS[2], 0),
            to_nibbles(&MAPS[3], 0),
        ];
        let nibbles = self.nibbles(x.aes_last());
        let [t0, t1, t2, t3] = &TABLES;
        let [r0, r1, r2, r3] = self.rotations;
        let z0 = look_up(Self::tables(machine, t0), nibbles);
        let z1 = look_up(Self::tables(machine, t1), nibbles);
        let z2 = look_up(Self::tables(machine, t2), nibbles);
        let z3 = look_up(Self::tables(machine, t3), nibbles);
        let sum = sum.xor3(z0.shuffle(r0), z1.shuffle(r1));
        sum.xor3(z2.shuffle(r2), z3.shuffle(r3))
    }
}

/// Each word of a lane rotated left by 1, 2 and 3 bytes.
static ROTATIONS: [[u8; 16]; 3] = [rotation(1), rotation(2), rotation(3)];

const fn rotation(places: usize) -> [u8; 16] {
    let mut out = [0; 16];
    let mut byte = 0;
    while byte < 16 {
        out[byte] = (byte / 4 * 4 + (byte + 4 - places) % 4) as u8;
        byte += 1;
    }
    out
}

/// The same after ShiftRows is undone (FIPS 197, 5.3.1): row r of column c comes from column c − r.
static UNSHIFTED_ROTATIONS: [[u8; 16]; 4] = [
    unshifted_rotation(0),
    unshifted_rotation(1),
    unshifted_rotation(2),
    unshifted_rotation(3),
];

const fn unshifted_rotation(places: usize) -> [u8; 16] {
    let mut out = rotation(places);
    let mut byte = 0;
    while byte < 16 {
        let (column, row) = (out[byte] / 4, out[byte] % 4);
        out[byte] = (column + 4 - row) % 4 * 4 + row;
        byte += 1;
    }
    out
}
