//! Multiples of any point: in constant time for secrets, and faster for a signature's check.

use zeroize::Zeroize as _;

use super::field::Field;
use super::generator;
use super::limbs::{Limbs, Mask};
use super::point::{Affine, Jacobian};
use super::scalar::Scalar;

/// Bits of a secret scalar's digit.
const WIDTH: usize = 5;
/// Digits of a secret scalar: 260 bits, so that the first one is never negative.
const DIGITS: usize = 52;
/// The largest size of a digit: the table holds 1·P to 16·P.
const MULTIPLES: usize = 1 << (WIDTH - 1);

/// k·P for any k but 0, with the same operations and addresses for every k.
///
/// Why [`Jacobian::add_distinct`] is right for all digits but the last. Before a digit d of size 1 to 16 is
/// added, the sum is a·P with a a multiple of 32 (0 is chosen around), so a ≠ d as integers; and as
/// long as digits follow, |a − d| < n/32 + 33 < n, so they differ modulo n too. The last digit can meet
/// its own double (k = n − 6: a = n − 3, d = −3), which [`Jacobian::add_complete`] answers.
pub(super) fn multiply(k: &Scalar, point: &Affine) -> Jacobian {
    let mut table = multiples(point);
    // The first digit is 0, 1 or 2.
    let (_, size) = k.digit::<WIDTH>(DIGITS - 1);
    let mut sum = scan(&table, size);
    let mut empty = Mask::is_zero(size);
    for position in (0..DIGITS - 1).rev() {
        for _ in 0..WIDTH {
            sum = sum.double();
        }
        let (negative, size) = k.digit::<WIDTH>(position);
        let entry = scan(&table, size).negated_if(negative);
        if position == 0 {
            sum = sum.add_complete(&entry);
            break;
        }
        let zero = Mask::is_zero(size);
        let added = sum.add_distinct(&entry);
        let next = Jacobian::select(empty, &entry, &added);
        sum = Jacobian::select(zero, &sum, &next);
        empty = empty.and(zero);
    }
    table.zeroize();
    sum
}

/// 1·P to 16·P.
fn multiples(point: &Affine) -> [Jacobian; MULTIPLES] {
    let mut table = [point.to_jacobian(); MULTIPLES];
    for i in 1..MULTIPLES {
        // table[i] is (i + 1)·P: even multiples are doubles, the others sums of different points.
        table[i] = match i % 2 {
            1 => table[i / 2].double(),
            _ => table[i - 1].add_affine_distinct(point),
        };
    }
    table
}

/// The multiple `size` of 1 to 16, by reading all of them; infinity for 0.
fn scan(table: &[Jacobian; MULTIPLES], size: u64) -> Jacobian {
    let mut found = Jacobian {
        x: Field::ZERO,
        y: Field::ZERO,
        z: Field::ZERO,
    };
    for (entry, multiple) in table.iter().zip(1u64..) {
        let here = Mask::is_zero(multiple ^ size);
        found.x.take(here, &entry.x);
        found.y.take(here, &entry.y);
        found.z.take(here, &entry.z);
    }
    found
}

/// s·G + t·P in a time that depends on all of them: for public values.
pub(super) fn multiply_sum_public(s: &Scalar, t: &Scalar, point: &Affine) -> Jacobian {
    let digits = odd_digits(t);
    let table = odd_multiples(point);
    let mut sum = Jacobian::INFINITY;
    for digit in digits.into_iter().rev() {
        sum = sum.double();
        if digit != 0 {
            // Digits are odd, −15 to 15: their half is below 8.
            let entry = &table[usize::from(digit.unsigned_abs() / 2)];
            let entry = if digit < 0 { entry.neg() } else { *entry };
            sum = sum.add_public(&entry);
        }
    }
    generator::add_multiple_public(sum, s)
}

/// 1·P, 3·P … 15·P.
fn odd_multiples(point: &Affine) -> [Jacobian; 8] {
    let double = point.to_jacobian().double();
    let mut table = [point.to_jacobian(); 8];
    for i in 1..8 {
        // (2i − 1)·P and 2·P are different points.
        table[i] = table[i - 1].add_distinct(&double);
    }
    table
}

/// Digits of the non-adjacent form of width 5: 0 or odd from −15 to 15, four zeros at least after
/// each that is not 0. 257 bits, because the last carry can go one past the number.
fn odd_digits(t: &Scalar) -> [i8; 257] {
    let mut digits = [0; 257];
    let mut rest: Limbs = *t.limbs();
    let mut carried = false;
    let mut position = 0;
    while position < 257 {
        // The bit at hand, which a carry from below turns over.
        let bit = rest[0] & 1 == 1;
        let mut step = 1;
        if bit != carried {
            let window = (rest[0] & 31) as i8 + i8::from(carried);
            carried = window > 16;
            digits[position] = if carried { window - 32 } else { window };
            step = 5;
        }
        shift_right(&mut rest, step);
        position += step as usize;
    }
    digits
}

/// Shifts right by 1 to 63 bits.
const fn shift_right(value: &mut Limbs, bits: u32) {
    value[0] = value[0] >> bits | value[1] << (64 - bits);
    value[1] = value[1] >> bits | value[2] << (64 - bits);
    value[2] = value[2] >> bits | value[3] << (64 - bits);
    value[3] >>= bits;
}
