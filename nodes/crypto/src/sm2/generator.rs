//! Multiples of the generator G from a table, which takes additions only.
//!
//! Row i holds 1·2^(6i)·G to 32·2^(6i)·G: 43 rows of 32 points, 86 KiB, computed at first use in
//! under a millisecond. Five-bit digits would need 52 rows of 16 (52 KiB) and a fifth more additions,
//! seven-bit digits 148 KiB to read for every secret multiplication; six were the fastest.

use std::sync::LazyLock;

use super::field::Field;
use super::limbs::Mask;
use super::point::{Affine, GENERATOR, Jacobian};
use super::scalar::Scalar;

/// Bits of a digit.
const WIDTH: usize = 6;
/// Digits of a scalar: 258 bits, so that the last one is never negative.
const DIGITS: usize = 43;
/// The largest size of a digit.
const ROW: usize = 1 << (WIDTH - 1);

static TABLE: LazyLock<Box<[Row]>> = LazyLock::new(table);

/// The multiples 1 to 32 of one power of two times G, on cache lines of their own.
#[repr(align(64))]
struct Row([Affine; ROW]);

/// k·G for any k but 0, with the same operations and addresses for every k.
///
/// Why [`Jacobian::add_affine_distinct`] is right here. Before the digit d at row i is added, the sum
/// is an integer a times G with |a| ≤ 32·(2^(6i) − 1)/63 < 0.51·2^(6i), and what is added is
/// b = d·2^(6i) with 1 ≤ |d| ≤ 32 (d = 0 and a = 0 are chosen around). So a ≠ b as integers. They
/// are also different modulo n: below the last row |a − b| < 33·2^246 < n. At the last row d is
/// from 1 to 16 and a − b > −16.51·2^252, so a − b = −n needs d = 16 and a = 2^256 − n, but then
/// k = a + b = 2^257 − n > n.
pub(super) fn multiply(k: &Scalar) -> Jacobian {
    let mut sum = Jacobian::INFINITY;
    let mut empty = Mask::from_bit(1);
    for (position, row) in TABLE.iter().enumerate() {
        let (negative, size) = k.digit::<WIDTH>(position);
        let zero = Mask::is_zero(size);
        let entry = row.scan(size).negated_if(negative);
        let added = sum.add_affine_distinct(&entry);
        let next = Jacobian::select(empty, &entry.to_jacobian(), &added);
        sum = Jacobian::select(zero, &sum, &next);
        empty = empty.and(zero);
    }
    sum
}

/// start + k·G in a time that depends on both: for public values.
pub(super) fn add_multiple_public(start: Jacobian, k: &Scalar) -> Jacobian {
    let mut sum = start;
    for (position, row) in TABLE.iter().enumerate() {
        let (negative, size) = k.digit::<WIDTH>(position);
        let Some(index) = (size as usize).checked_sub(1) else {
            continue;
        };
        // A digit's size is at most ROW.
        let entry = &row.0[index];
        let entry = if negative.reveal() {
            entry.neg()
        } else {
            *entry
        };
        sum = sum.add_affine_public(&entry);
    }
    sum
}

impl Row {
    /// The multiple `size` of 1 to 32, by reading all of them; zeros for 0.
    #[inline(always)]
    fn scan(&self, size: u64) -> Affine {
        let mut found = Affine {
            x: Field::ZERO,
            y: Field::ZERO,
        };
        for (entry, multiple) in self.0.iter().zip(1u64..) {
            let here = Mask::is_zero(multiple ^ size);
            found.x.take(here, &entry.x);
            found.y.take(here, &entry.y);
        }
        found
    }
}

fn table() -> Box<[Row]> {
    let mut rows = Vec::with_capacity(DIGITS);
    let mut base = GENERATOR;
    for _ in 0..DIGITS {
        let mut multiples = [base.to_jacobian(); ROW];
        for i in 1..ROW {
            // 2·base is a double, (i + 1)·base beyond it a sum of different points.
            multiples[i] = match i {
                1 => multiples[0].double(),
                _ => multiples[i - 1].add_affine_distinct(&base),
            };
        }
        let row = normalize(&multiples);
        base = multiples[ROW - 1].double().to_affine();
        rows.push(Row(row));
    }
    rows.into_boxed_slice()
}

/// Affine coordinates of points that are not infinity, by one inversion.
fn normalize(points: &[Jacobian; ROW]) -> [Affine; ROW] {
    // before[i] is the product of all z before i.
    let mut before = [Field::ONE; ROW];
    let mut product = Field::ONE;
    for (before, point) in before.iter_mut().zip(points) {
        *before = product;
        product = product.mul(&point.z);
    }
    let mut inverse = product.invert();
    let mut affine = [GENERATOR; ROW];
    for i in (0..ROW).rev() {
        let z_inverse = inverse.mul(&before[i]);
        inverse = inverse.mul(&points[i].z);
        let z_inverse_squared = z_inverse.square();
        affine[i] = Affine {
            x: points[i].x.mul(&z_inverse_squared),
            y: points[i].y.mul(&z_inverse_squared).mul(&z_inverse),
        };
    }
    affine
}
