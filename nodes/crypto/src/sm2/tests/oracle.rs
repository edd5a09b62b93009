//! Equality with RustCrypto's `sm2`: multiples of points, signatures, nonces.

use ::sm2::dsa::signature::Verifier as _;
use ::sm2::dsa::signature::hazmat::{PrehashSigner as _, RandomizedPrehashSigner as _};
use ::sm2::elliptic_curve::Group as _;
use ::sm2::elliptic_curve::ecdh::diffie_hellman;
use ::sm2::elliptic_curve::ops::Reduce as _;
use ::sm2::elliptic_curve::sec1::{FromSec1Point as _, ToSec1Point as _};
use ::sm2::{AffinePoint, ProjectivePoint, Sec1Point};

use super::super::multiply::{multiply, multiply_sum_public};
use super::super::point::{GENERATOR, Jacobian};
use super::*;

fn theirs(scalar: &Scalar) -> ::sm2::Scalar {
    ::sm2::Scalar::reduce(&::sm2::FieldBytes::from(scalar.to_bytes()))
}

/// The affine point in bytes; one zero byte for infinity.
fn bytes(point: &Jacobian) -> Vec<u8> {
    match point.is_infinity().reveal() {
        true => vec![0],
        false => PublicKey(point.to_affine()).to_point().to_vec(),
    }
}

fn their_bytes(point: &ProjectivePoint) -> Vec<u8> {
    point.to_affine().to_sec1_point(false).as_bytes().to_vec()
}

fn their_point(point: &Affine) -> ProjectivePoint {
    let bytes = PublicKey(*point).to_point();
    let encoded = Sec1Point::from_bytes(bytes).unwrap();
    AffinePoint::from_sec1_point(&encoded).unwrap().into()
}

fn random_point() -> Affine {
    generator::multiply(&random_scalar()).to_affine()
}

/// Scalars where digits, carries and exceptional sums of the algorithms meet.
fn edge_scalars() -> Vec<Scalar> {
    let mut edges: Vec<Scalar> = (1..130).flat_map(|i| [small(i), minus(i)]).collect();
    let half = small(2).invert();
    edges.extend([half, half.sub(&small(1)), half.add(&small(1))]);
    let mut power = small(1);
    for _ in 0..256 {
        edges.extend([power, power.sub(&small(1)), power.add(&small(1))]);
        edges.push(minus(0).sub(&power));
        power = power.add(&power);
    }
    for digit in 0..=u8::MAX {
        edges.push(Scalar::from_bytes_reduced(&[digit; 32]));
        let mut top = [0; 32];
        top[0] = digit;
        edges.push(Scalar::from_bytes_reduced(&top));
    }
    edges.retain(|scalar| !scalar.is_zero().reveal());
    edges
}

#[test]
fn multiples_of_the_generator_are_theirs() {
    let random = (0..cases()).map(|_| random_scalar());
    for k in edge_scalars().into_iter().chain(random) {
        let expected = their_bytes(&ProjectivePoint::mul_by_generator(&theirs(&k)));
        assert_eq!(
            bytes(&generator::multiply(&k)),
            expected,
            "{:x?}",
            k.limbs()
        );
        let public = generator::add_multiple_public(Jacobian::INFINITY, &k);
        assert_eq!(bytes(&public), expected, "{:x?}", k.limbs());
    }
}

#[test]
fn multiples_of_any_point_are_theirs() {
    let random = (0..cases()).map(|_| (random_scalar(), random_point()));
    let edges = edge_scalars()
        .into_iter()
        .zip(std::iter::repeat_with(random_point));
    for (k, point) in edges.chain(random) {
        let expected = their_bytes(&(their_point(&point) * theirs(&k)));
        assert_eq!(bytes(&multiply(&k, &point)), expected, "{:x?}", k.limbs());
    }
}

/// n − 6 is the scalar whose last step adds a point to itself.
#[test]
fn the_one_double_among_the_secret_sums_is_met() {
    let k = minus(6);
    let (negative, size) = k.digit::<5>(0);
    assert!(negative.reveal() && size == 3);
    for point in [GENERATOR, random_point()] {
        let expected = their_bytes(&(their_point(&point) * theirs(&k)));
        assert_eq!(bytes(&multiply(&k, &point)), expected);
    }
}

#[test]
fn sums_of_two_multiples_are_theirs() {
    for _ in 0..cases() {
        let (s, t, point) = (random_scalar(), random_scalar(), random_point());
        let expected = ProjectivePoint::generator() * theirs(&s) + their_point(&point) * theirs(&t);
        let sum = multiply_sum_public(&s, &t, &point);
        assert_eq!(bytes(&sum), their_bytes(&expected));
    }
}

/// Small keys and scalars meet infinity, equal and opposite points at every step of a sum.
#[test]
fn sums_of_related_points_are_right() {
    let values: Vec<u64> = (0..10)
        .chain([15, 16, 17, 31, 32, 33, 63, 64, 65])
        .collect();
    for d in values.iter().filter(|d| **d != 0) {
        let point = generator::multiply(&small(*d)).to_affine();
        for t in &values {
            for s in values.iter().flat_map(|s| [small(*s), minus(*s)]) {
                let sum = multiply_sum_public(&s, &small(*t), &point);
                let total = s.add(&small(d * t));
                let expected = match total.is_zero().reveal() {
                    true => Jacobian::INFINITY,
                    false => generator::multiply(&total),
                };
                assert_eq!(bytes(&sum), bytes(&expected), "{d} {t} {:x?}", s.limbs());
            }
        }
    }
}

#[test]
fn complete_sums_are_complete() {
    let mut points = vec![Jacobian::INFINITY];
    for point in [GENERATOR, GENERATOR.neg(), random_point(), random_point()] {
        let jacobian = point.to_jacobian();
        // The same points over other denominators, and their doubles and opposites.
        let double = jacobian.double();
        let again = double.add_affine_public(&point.neg());
        points.extend([jacobian, double, double.neg(), again, again.neg()]);
    }
    let their = |point: &Jacobian| match point.is_infinity().reveal() {
        true => ProjectivePoint::identity(),
        false => their_point(&point.to_affine()),
    };
    for a in &points {
        assert_eq!(bytes(&a.double()), their_bytes(&their(a).double()));
        for b in &points {
            let expected = their_bytes(&(their(a) + their(b)));
            assert_eq!(bytes(&a.add_complete(b)), expected);
            assert_eq!(bytes(&a.add_public(b)), expected);
            if !b.is_infinity().reveal() {
                assert_eq!(bytes(&a.add_affine_public(&b.to_affine())), expected);
            }
        }
    }
}

/// RFC 6979 to the letter, with and without fresh randomness: RustCrypto's signatures, bit for bit.
#[test]
fn signatures_are_theirs_for_the_same_randomness() {
    for _ in 0..cases() / 4 {
        let key = SecretKey::generate();
        let their_key = ::sm2::dsa::SigningKey::new(DEFAULT_ID, &key.encodable()).unwrap();
        let digest: [u8; 32] = random::array();
        let plain: ::sm2::dsa::Signature = their_key.sign_prehash(&digest).unwrap();
        let ours = Signer::new(&key.scalar).sign(&digest, &[]);
        assert_eq!(ours.to_der(), plain.to_der().as_bytes());

        let fresh: [u8; 32] = random::array();
        let mut source = Fixed(fresh);
        let hedged = their_key.sign_prehash_with_rng(&mut source, &digest);
        let hedged: ::sm2::dsa::Signature = hedged.unwrap();
        let ours = Signer::new(&key.scalar).sign(&digest, &fresh);
        assert_eq!(ours.to_der(), hedged.to_der().as_bytes());
        assert_ne!(plain, hedged, "randomness goes into the nonce");
    }
}

/// A random source that gives the same bytes each time.
struct Fixed([u8; 32]);

impl ::sm2::elliptic_curve::rand_core::TryRng for Fixed {
    type Error = std::convert::Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Self::Error> {
        Ok(0)
    }

    fn try_next_u64(&mut self) -> Result<u64, Self::Error> {
        Ok(0)
    }

    fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), Self::Error> {
        out.copy_from_slice(&self.0[..out.len()]);
        Ok(())
    }
}

impl ::sm2::elliptic_curve::rand_core::TryCryptoRng for Fixed {}

#[test]
fn each_side_accepts_what_the_other_signs_under_both_ids() {
    const HANDSHAKE_ID: &str = "TLSv1.3+GM+Cipher+Suite";
    for round in 0..cases() {
        let id = [DEFAULT_ID, HANDSHAKE_ID][round % 2];
        let other_id = [HANDSHAKE_ID, DEFAULT_ID][round % 2];
        let key = SecretKey::generate();
        let their_key = ::sm2::dsa::SigningKey::new(id, &key.encodable()).unwrap();
        let message: [u8; 40] = random::array();
        let ours = sign(&key.signing_key(id), &message);
        let parsed = ::sm2::dsa::Signature::from_der(&ours).unwrap();
        their_key.verifying_key().verify(&message, &parsed).unwrap();

        let theirs: ::sm2::dsa::Signature =
            ::sm2::dsa::signature::Signer::sign(&their_key, &message);
        let theirs = theirs.to_der();
        let public = key.public();
        public
            .verify_with_id(id, &message, theirs.as_bytes())
            .unwrap();
        public
            .verify_with_id(other_id, &message, theirs.as_bytes())
            .unwrap_err();
    }
}

#[test]
fn agreed_secrets_are_theirs() {
    for _ in 0..cases() / 4 {
        let (key, peer) = (SecretKey::generate(), SecretKey::generate());
        let (a, b) = (key.encodable(), peer.encodable());
        let theirs = diffie_hellman(a.to_nonzero_scalar(), b.public_key().as_affine());
        assert_eq!(key.agree(&peer.public())[..], theirs.raw_secret_bytes()[..]);
        assert_eq!(peer.agree(&key.public())[..], theirs.raw_secret_bytes()[..]);
    }
}

#[test]
fn each_side_opens_what_the_other_encrypts() {
    for round in 0..cases() / 4 {
        let key = SecretKey::generate();
        let length = match round % 4 {
            0 => 1 + round / 4 % 3,
            _ => 1 + round % MESSAGE_BYTES_MAX,
        };
        let mut message = vec![0; length];
        random::fill(&mut message);
        let ours = key.public().encrypt(&message).unwrap();
        let opened = ::sm2::pke::DecryptingKey::new(key.encodable()).decrypt(&ours);
        assert_eq!(opened.unwrap(), message);
        let their_public = key.encodable().public_key();
        let theirs = ::sm2::pke::EncryptingKey::new(their_public);
        let theirs = theirs.encrypt(&mut getrandom::SysRng, &message).unwrap();
        assert_eq!(*key.decrypt(&theirs).unwrap(), message);
    }
}

#[test]
fn key_files_are_theirs() {
    for _ in 0..20 {
        let theirs = {
            use ::sm2::elliptic_curve::Generate as _;
            ::sm2::SecretKey::generate()
        };
        let key = SecretKey::from_pkcs8_der(theirs.to_pkcs8_der().unwrap().as_bytes()).unwrap();
        assert_eq!(key.scalar.to_bytes()[..], theirs.to_bytes()[..]);
        let point = theirs.public_key().to_sec1_point(false);
        assert_eq!(key.public().to_point(), point.as_bytes());
        assert_eq!(
            key.to_pkcs8_der()[..],
            *theirs.to_pkcs8_der().unwrap().as_bytes()
        );
        let spki = theirs.public_key().to_public_key_der().unwrap();
        assert_eq!(key.public().to_spki_der(), spki.as_bytes());
    }
}
