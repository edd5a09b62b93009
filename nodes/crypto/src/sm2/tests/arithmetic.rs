//! The laws of field and scalars against crypto-bigint's long division.

use ::sm2::elliptic_curve::bigint::{NonZero, U256, U512};

use super::super::field::{self, Field};
use super::super::limbs::{self, Limbs};
use super::super::scalar::{ORDER, Scalar};
use super::cases;
use crate::random;

fn big(limbs: &Limbs) -> U256 {
    U256::from_be_slice(&limbs::to_bytes(limbs))
}

fn limbs_of(number: &U256) -> Limbs {
    limbs::from_bytes(&number.to_be_bytes().into())
}

fn modulo(number: &U512, modulus: &Limbs) -> Limbs {
    let modulus = NonZero::new(big(modulus).resize::<8>()).unwrap();
    limbs_of(&number.rem(&modulus).resize())
}

fn wide(limbs: &Limbs) -> U512 {
    big(limbs).resize()
}

fn product(a: &Limbs, b: &Limbs) -> U512 {
    big(a).concatenating_mul(&big(b))
}

/// Numbers below `modulus` that are likely to be wrong: ends, single bits, runs, words of ones.
fn edges(modulus: &Limbs) -> Vec<Limbs> {
    let mut edges = vec![];
    for i in 0..256 {
        let mut bit = [0; 4];
        bit[i / 64] = 1 << (i % 64);
        edges.push(bit);
        edges.push(limbs::sub(&bit, &[1, 0, 0, 0]).0);
        edges.push(limbs::sub(modulus, &bit).0);
    }
    for pattern in 0..16u64 {
        edges.push([0, 1, 2, 3].map(|i| (pattern >> i & 1).wrapping_neg()));
        edges.push([0, 1, 2, 3].map(|i| (pattern >> i & 1) * 0xffff_ffff));
    }
    edges.retain(|edge| limbs::sub(edge, modulus).1);
    edges.sort_unstable();
    edges.dedup();
    edges
}

fn random_below(modulus: &Limbs) -> Limbs {
    loop {
        let number = limbs::from_bytes(&random::array());
        if limbs::sub(&number, modulus).1 {
            return number;
        }
    }
}

fn pairs(modulus: &Limbs) -> impl Iterator<Item = (Limbs, Limbs)> {
    let edges = edges(modulus);
    assert!(edges.len() > 500, "{}", edges.len());
    let modulus = *modulus;
    let all = edges.clone().into_iter();
    let with_edges = all.flat_map(move |a| {
        let others = edges.clone().into_iter().step_by(37);
        others.map(move |b| (a, b))
    });
    let random = (0..cases() * 10).map(move |_| (random_below(&modulus), random_below(&modulus)));
    with_edges.chain(random)
}

#[test]
fn the_field_is_arithmetic_modulo_p() {
    let p = &field::MODULUS;
    for (a, b) in pairs(p) {
        let (x, y) = (Field::from_limbs(&a), Field::from_limbs(&b));
        assert_eq!(x.to_limbs(), a);
        assert_eq!(
            x.mul(&y).to_limbs(),
            modulo(&product(&a, &b), p),
            "{a:x?} {b:x?}"
        );
        assert_eq!(x.square().to_limbs(), modulo(&product(&a, &a), p), "{a:x?}");
        let sum = wide(&a).wrapping_add(&wide(&b));
        assert_eq!(x.add(&y).to_limbs(), modulo(&sum, p), "{a:x?} {b:x?}");
        let difference = wide(&a).wrapping_add(&wide(p)).wrapping_sub(&wide(&b));
        assert_eq!(
            x.sub(&y).to_limbs(),
            modulo(&difference, p),
            "{a:x?} {b:x?}"
        );
        assert!(x.add(&x.neg()) == Field::ZERO);
        assert!(x.double() == x.add(&x));
        assert_eq!(x.is_zero().reveal(), a == [0; 4]);
        assert!(Field::from_bytes(&x.to_bytes()) == Some(x));
    }
}

#[test]
fn scalars_are_arithmetic_modulo_n() {
    let n = &ORDER;
    for (a, b) in pairs(n) {
        let (x, y) = (Scalar::reduced(&a), Scalar::reduced(&b));
        assert_eq!(*x.limbs(), a);
        assert_eq!(
            *x.mul(&y).limbs(),
            modulo(&product(&a, &b), n),
            "{a:x?} {b:x?}"
        );
        let sum = wide(&a).wrapping_add(&wide(&b));
        assert_eq!(*x.add(&y).limbs(), modulo(&sum, n), "{a:x?} {b:x?}");
        let difference = wide(&a).wrapping_add(&wide(n)).wrapping_sub(&wide(&b));
        assert_eq!(*x.sub(&y).limbs(), modulo(&difference, n), "{a:x?} {b:x?}");
        assert_eq!(x.is_zero().reveal(), a == [0; 4]);
    }
}

#[test]
fn inverses_invert() {
    let few = |modulus: &Limbs| {
        let random = (0..cases() / 4).map(|_| random_below(modulus)).collect();
        [edges(modulus), random].concat()
    };
    for a in few(&field::MODULUS) {
        let x = Field::from_limbs(&a);
        let one = if a == [0; 4] { Field::ZERO } else { Field::ONE };
        assert!(x.mul(&x.invert()) == one, "{a:x?}");
    }
    for a in few(&ORDER) {
        let x = Scalar::reduced(&a);
        let one = if a == [0; 4] { x } else { Scalar::ONE };
        assert!(x.mul(&x.invert()) == one, "{a:x?}");
    }
}

#[test]
fn bytes_out_of_range_are_no_numbers() {
    let above = |modulus: &Limbs, by: u64| limbs::to_bytes(&limbs::add(modulus, &[by, 0, 0, 0]).0);
    let below = |modulus: &Limbs| limbs::to_bytes(&limbs::sub(modulus, &[1, 0, 0, 0]).0);
    for by in 0..100 {
        assert!(Field::from_bytes(&above(&field::MODULUS, by)).is_none());
        assert!(Scalar::from_bytes_nonzero(&above(&ORDER, by)).is_none());
        let reduced = Scalar::from_bytes_reduced(&above(&ORDER, by));
        assert_eq!(*reduced.limbs(), [by, 0, 0, 0]);
    }
    assert!(Field::from_bytes(&[0xff; 32]).is_none());
    assert!(Scalar::from_bytes_nonzero(&[0xff; 32]).is_none());
    assert!(Scalar::from_bytes_nonzero(&[0; 32]).is_none());
    assert!(Field::from_bytes(&[0; 32]) == Some(Field::ZERO));
    assert!(Field::from_bytes(&below(&field::MODULUS)) == Some(Field::ONE.neg()));
    assert!(Scalar::from_bytes_nonzero(&below(&ORDER)).is_some());
    let most = modulo(&wide(&[u64::MAX; 4]), &ORDER);
    assert_eq!(*Scalar::from_bytes_reduced(&[0xff; 32]).limbs(), most);
}

/// Both recodings must add up to the number they came from.
#[test]
fn digits_add_up() {
    let numbers = edges(&ORDER).into_iter();
    for number in numbers.chain((0..cases()).map(|_| random_below(&ORDER))) {
        let scalar = Scalar::reduced(&number);
        add_up::<5>(&scalar, 52);
        add_up::<6>(&scalar, 43);
    }
}

fn add_up<const WIDTH: usize>(scalar: &Scalar, digits: usize) {
    let base = Scalar::reduced(&[1 << WIDTH, 0, 0, 0]);
    let mut sum = Scalar::reduced(&[0; 4]);
    for position in (0..digits).rev() {
        let (negative, size) = scalar.digit::<WIDTH>(position);
        assert!(size <= 1 << (WIDTH - 1), "{size}");
        let size = Scalar::reduced(&[size, 0, 0, 0]);
        sum = sum.mul(&base);
        sum = match negative.reveal() {
            true => sum.sub(&size),
            false => sum.add(&size),
        };
    }
    assert_eq!(sum.limbs(), scalar.limbs());
    let (negative, _) = scalar.digit::<WIDTH>(digits - 1);
    assert!(!negative.reveal(), "the first digit is never negative");
}
