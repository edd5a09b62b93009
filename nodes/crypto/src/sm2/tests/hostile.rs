//! Signatures, points and ciphertexts made to deceive, in the manner of Wycheproof.

use ::sm2::elliptic_curve::point::DecompressPoint as _;
use ::sm2::elliptic_curve::sec1::ToSec1Point as _;

use super::super::field::{self, Field};
use super::super::limbs;
use super::super::point::GENERATOR;
use super::super::scalar::ORDER;
use super::*;

/// One ASN.1 element with a short or one-byte length.
fn element(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = u8::try_from(content.len()).unwrap();
    let head = if length < 128 {
        vec![tag, length]
    } else {
        vec![tag, 0x81, length]
    };
    [&head, content].concat()
}

fn integer(content: &[u8]) -> Vec<u8> {
    element(0x02, content)
}

/// A DER signature of any two unsigned numbers.
fn der(r: &[u8], s: &[u8]) -> Vec<u8> {
    let unsigned = |number: &[u8]| {
        let start = number.iter().position(|byte| *byte != 0);
        let number = start.map_or(&[0][..], |start| &number[start..]);
        let zero: &[u8] = if number[0] > 0x7f { &[0] } else { &[] };
        integer(&[zero, number].concat())
    };
    element(0x30, &[unsigned(r), unsigned(s)].concat())
}

#[test]
fn numbers_out_of_range_are_no_signature() {
    let key = SecretKey::generate();
    let digest = key.public().digest(b"message");
    let honest = key.sign_digest(&digest);
    let Signature { r, s } = Signature::from_der(&honest).unwrap();
    let (r, s) = (r.to_bytes(), s.to_bytes());
    let public = key.public();
    public.verify_digest(&digest, &honest).unwrap();
    assert_eq!(der(&r, &s), honest, "the writer above writes DER");

    let order = limbs::to_bytes(&ORDER);
    let plus_order = |number: &[u8; 32]| {
        let (sum, carry) = limbs::add(&limbs::from_bytes(number), &ORDER);
        [&[u8::from(carry)][..], &limbs::to_bytes(&sum)].concat()
    };
    let order_plus_one = plus_order(&small(1).to_bytes());
    let minus_r = minus(0).sub(&Scalar::from_bytes_reduced(&r)).to_bytes();
    let bad: Vec<(&[u8], &[u8])> = vec![
        (&[0], &s),
        (&r, &[0]),
        (&[0], &[0]),
        (&order, &s),
        (&r, &order),
        (&order, &order),
        (&order_plus_one, &s),
        (&r, &order_plus_one),
        (&[0xff; 32], &s),
        (&r, &[0xff; 32]),
        (&[0x01; 33], &s),
        (&r, &[0x01; 33]),
        (&[0x7f; 60], &s),
        (&[1], &[1]),
        (&r, &minus_r),
        (&s, &r),
        (&r, &r),
    ];
    for (r, s) in &bad {
        public.verify_digest(&digest, &der(r, s)).unwrap_err();
    }
    // The honest numbers plus n are the same modulo n, and yet another signature.
    public
        .verify_digest(&digest, &der(&plus_order(&r), &s))
        .unwrap_err();
    public
        .verify_digest(&digest, &der(&r, &plus_order(&s)))
        .unwrap_err();
    let minus_s = minus(0).sub(&Scalar::from_bytes_reduced(&s)).to_bytes();
    public
        .verify_digest(&digest, &der(&r, &minus_s))
        .unwrap_err();
    public
        .verify_digest(&digest, &der(&minus_r, &minus_s))
        .unwrap_err();
}

/// The equation holds for each of these, so that nothing but the range refuses those outside it.
#[test]
fn the_range_is_checked_beside_the_equation() {
    let public = PublicKey(generator::multiply(&random_scalar()).to_affine());
    let digest_for = |r: &Scalar, s: &Scalar| {
        let sum = multiply::multiply_sum_public(s, &r.add(s), &public.0);
        let x = Scalar::reduced(&sum.to_affine().x.to_limbs());
        r.sub(&x).to_bytes()
    };
    let plus_order = |number: u64| limbs::to_bytes(&limbs::add(&ORDER, &[number, 0, 0, 0]).0);
    for number in 0..20 {
        let (little, other) = (small(number), random_scalar());
        let (plain, above) = (little.to_bytes(), plus_order(number));
        let cases = [(little, other, true), (other, little, false)];
        for (r, s, first) in cases {
            let digest = digest_for(&r, &s);
            let with = |number: &[u8]| match first {
                true => der(number, &s.to_bytes()),
                false => der(&r.to_bytes(), number),
            };
            let accepted = public.verify_digest(&digest, &with(&plain)).is_ok();
            assert_eq!(accepted, number != 0, "{number}");
            public.verify_digest(&digest, &with(&above)).unwrap_err();
        }
    }
}

#[test]
fn only_der_is_a_signature() {
    let key = SecretKey::generate();
    // Drawn until neither number has a leading zero byte to strip.
    let (digest, r, s) = loop {
        let digest: [u8; 32] = random::array();
        let signature = Signature::from_der(&key.sign_digest(&digest)).unwrap();
        let (r, s) = (signature.r.to_bytes(), signature.s.to_bytes());
        if (1..0x80).contains(&r[0]) && s[0] >= 0x80 {
            break (digest, r, s);
        }
    };
    let zero_s = [&[0][..], &s].concat();
    let (good_r, good_s) = (integer(&r), integer(&zero_s));
    let body = [&good_r[..], &good_s].concat();
    let length = u8::try_from(body.len()).unwrap();
    let honest = element(0x30, &body);
    key.public().verify_digest(&digest, &honest).unwrap();
    let sequence = |parts: &[&[u8]]| element(0x30, &parts.concat());
    let bad = [
        // Lengths that are not the shortest, indefinite, too long, too short, huge.
        [&[0x30, 0x81, length][..], &body].concat(),
        [&[0x30, 0x82, 0, length][..], &body].concat(),
        [&[0x30, 0x80][..], &body, &[0, 0]].concat(),
        [&[0x30, length + 1][..], &body].concat(),
        [&[0x30, length - 1][..], &body].concat(),
        [&[0x30, 0x84, 0xff, 0xff, 0xff, 0xff][..], &body].concat(),
        [
            &[0x30, 0x88, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff][..],
            &body,
        ]
        .concat(),
        // Something after the signature, inside it, or missing.
        [&honest[..], &[0]].concat(),
        [&honest[..], &[5, 0]].concat(),
        sequence(&[&good_r, &good_s, &[5, 0]]),
        sequence(&[&good_r, &good_s, &good_s]),
        sequence(&[&good_r]),
        sequence(&[]),
        vec![],
        // Zeros too many or too few, empty numbers.
        sequence(&[&integer(&[&[0][..], &r].concat()), &good_s]),
        sequence(&[&good_r, &integer(&[&[0][..], &zero_s].concat())]),
        sequence(&[&good_r, &integer(&s)]),
        sequence(&[&good_r, &integer(&[])]),
        sequence(&[&integer(&[]), &good_s]),
        sequence(&[&integer(&[0x81]), &good_s]),
        // Other types.
        element(0x31, &body),
        element(0x10, &body),
        sequence(&[&element(0x04, &r), &good_s]),
        sequence(&[&element(0x03, &r), &good_s]),
        sequence(&[&element(0x0a, &r), &good_s]),
        sequence(&[&element(0x22, &r), &good_s]),
        // The bare numbers.
        [r, s].concat(),
        [&[0x04][..], &r, &s].concat(),
    ];
    for signature in &bad {
        assert_ne!(signature, &honest);
        let refused = key.public().verify_digest(&digest, signature);
        assert_eq!(refused, Err(VerifyError), "{}", hex::encode(signature));
    }
}

/// x of the point may lie between n and p; then r came from x − n. Such a point is one in 2^128, so it
/// is built here: for a point R with such an x and any s and t, the key P = (R − s·G)/t fits.
#[test]
fn a_point_with_x_above_the_order_is_accepted() {
    let mut found = 0;
    for above in 0..40 {
        let (x, _) = limbs::add(&ORDER, &[above, 0, 0, 0]);
        let x_bytes = limbs::to_bytes(&x);
        let Some(point) = decompress(&x_bytes) else {
            continue;
        };
        found += 1;
        let (s, t) = (random_scalar(), random_scalar());
        let rest = generator::add_multiple_public(point.to_jacobian(), &minus(0).sub(&s));
        let public = multiply::multiply(&t.invert(), &rest.to_affine()).to_affine();
        let r = t.sub(&s);
        let e = r.sub(&small(above)).to_bytes();
        let signature = Signature { r, s };
        assert!(signature::verify(&public, &e, &signature), "n + {above}");
        let other = r.sub(&small(above + 1)).to_bytes();
        assert!(!signature::verify(&public, &other, &signature));
    }
    assert!(found > 5, "{found} points between n and p");
}

/// The point of the curve with this x and an even y.
fn decompress(x: &[u8; 32]) -> Option<Affine> {
    let point = ::sm2::AffinePoint::decompress(&(*x).into(), 0.into()).into_option()?;
    let point = point.to_sec1_point(false);
    Some(PublicKey::from_point(point.as_bytes()).unwrap().0)
}

#[test]
fn sums_that_vanish_or_double_are_judged_right() {
    for _ in 0..50 {
        let (d, t) = (random_scalar(), random_scalar());
        let public = generator::multiply(&d).to_affine();
        // s·G + t·P = 0: there is no x, whatever the digest.
        let s = minus(0).sub(&t.mul(&d));
        let signature = Signature { r: t.sub(&s), s };
        for digest in [signature.r.to_bytes(), [0; 32], random::array()] {
            assert!(!signature::verify(&public, &digest, &signature));
        }
        // t = r + s = 0: the key would have no part in the equation.
        let r = minus(0).sub(&s);
        let x = generator::multiply(&s).to_affine().x.to_limbs();
        let digest = r.sub(&Scalar::reduced(&x)).to_bytes();
        assert!(!signature::verify(&public, &digest, &Signature { r, s }));
        // s·G = t·P: the sum is a double.
        let s = t.mul(&d);
        let r = t.sub(&s);
        let x = generator::multiply(&s.add(&s)).to_affine().x.to_limbs();
        let digest = r.sub(&Scalar::reduced(&x)).to_bytes();
        assert!(signature::verify(&public, &digest, &Signature { r, s }));
    }
}

#[test]
fn nonces_that_the_standard_refuses_give_no_signature() {
    for _ in 0..20 {
        let (d, k) = (random_scalar(), random_scalar());
        let signer = Signer::new(&d);
        let x = generator::multiply(&k).to_affine().x.to_limbs();
        let x = Scalar::reduced(&x);
        let with_r = |r: &Scalar| signer.sign_with(&k, &r.sub(&x));
        assert!(with_r(&minus(0)).is_none(), "r = 0");
        assert!(with_r(&minus(0).sub(&k)).is_none(), "r + k = n");
        assert!(with_r(&k.mul(&d.invert())).is_none(), "s = 0");
        assert!(with_r(&small(1)).is_some());
    }
}

#[test]
fn only_uncompressed_points_of_the_curve_are_keys() {
    let point = SecretKey::generate().public().to_point();
    PublicKey::from_point(&point).unwrap();
    for prefix in (0..=u8::MAX).filter(|prefix| *prefix != 4) {
        let mut other = point;
        other[0] = prefix;
        PublicKey::from_point(&other).unwrap_err();
        PublicKey::from_point(&other[..33]).unwrap_err();
    }
    for length in 0..65 {
        PublicKey::from_point(&point[..length]).unwrap_err();
    }
    PublicKey::from_point(&[&point[..], &[0]].concat()).unwrap_err();
    for bit in 8..point.len() * 8 {
        let mut other = point;
        other[bit / 8] ^= 1 << (bit % 8);
        PublicKey::from_point(&other).unwrap_err();
    }
    PublicKey::from_point(&[[4; 1].as_slice(), &[0; 64]].concat()).unwrap_err();
    PublicKey::from_point(&[0]).unwrap_err();
}

/// A point written with x + p is the same modulo p, and yet no encoding of it.
#[test]
fn coordinates_from_p_on_are_refused() {
    let mut found = 0;
    for x in 0..30u64 {
        let plain = limbs::to_bytes(&[x, 0, 0, 0]);
        let Some(point) = decompress(&plain) else {
            continue;
        };
        found += 1;
        let (above, carry) = limbs::add(&[x, 0, 0, 0], &field::MODULUS);
        assert!(!carry);
        let y = point.y.to_bytes();
        assert!(Affine::from_bytes(&plain, &y) == Some(point));
        assert!(Affine::from_bytes(&limbs::to_bytes(&above), &y).is_none());
    }
    assert!(found > 5, "{found} points with a small x");
    let g = GENERATOR;
    assert!(Affine::from_bytes(&g.x.to_bytes(), &[0xff; 32]).is_none());
    let p = limbs::to_bytes(&field::MODULUS);
    assert!(Affine::from_bytes(&p, &p).is_none());
    assert!(Affine::from_bytes(&Field::ZERO.to_bytes(), &p).is_none());
}

#[test]
fn ciphertexts_with_bad_points_or_lengths_do_not_open() {
    let key = SecretKey::generate();
    let sealed = key.public().encrypt(b"key").unwrap();
    assert_eq!(*key.decrypt(&sealed).unwrap(), b"key");
    for (at, value) in [(0, 2), (0, 3), (0, 6), (64, sealed[64] ^ 1)] {
        let mut other = sealed.clone();
        other[at] = value;
        assert_eq!(key.decrypt(&other), Err(DecryptError));
    }
    assert_eq!(key.decrypt(&sealed[..OVERHEAD_BYTES]), Err(DecryptError));
    let longest = [&sealed[..OVERHEAD_BYTES], &[0; MESSAGE_BYTES_MAX]].concat();
    assert_eq!(key.decrypt(&longest), Err(DecryptError));
    let longer = [&longest[..], &[0]].concat();
    assert_eq!(key.decrypt(&longer), Err(DecryptError));
    assert_eq!(key.public().encrypt(&[]), Err(EncryptError::Length));
}

/// One byte of key stream is zero for one number in 256; the standard then takes another number, and
/// such a ciphertext is refused.
#[test]
fn a_key_stream_of_zeros_is_never_used() {
    let key = SecretKey::generate();
    let (mut refused, mut made) = (0, 0);
    while refused == 0 {
        match encryption::encrypt_with(&random_scalar(), &key.public.0, b"k") {
            None => refused += 1,
            Some(sealed) => {
                made += 1;
                assert_ne!(sealed.last(), Some(&b'k'));
                assert_eq!(*key.decrypt(&sealed).unwrap(), b"k");
            }
        }
        assert!(made < 10_000);
    }
}

#[test]
fn private_numbers_out_of_range_are_no_keys() {
    let order = limbs::to_bytes(&ORDER);
    let order_minus_two = minus(2).to_bytes();
    for bad in [[0; 32], order, ORDER_MINUS_ONE, [0xff; 32]] {
        assert!(SecretKey::from_scalar(&bad).is_none());
    }
    for good in [small(1).to_bytes(), order_minus_two] {
        let key = SecretKey::from_scalar(&good).unwrap();
        key.public().verify(b"m", &key.sign(b"m")).unwrap();
    }
}
