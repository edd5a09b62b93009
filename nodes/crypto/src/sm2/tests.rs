//! The standard's examples and the public functions; beside them the arithmetic against
//! RustCrypto's, and bytes made to deceive.

mod arithmetic;
mod hostile;
mod oracle;
#[cfg(target_arch = "x86_64")]
pub(super) mod taint;

use super::*;

/// The random number of both examples, and what the signature's passes through.
const NONCE: &str = "59276e27d506861a16680f3ad9c02dccef3cc1fa3cdbe4ce6d54b80deac1bc21";
const Z: &str = "b2e14c5c79c6df5b85f4fe7ed8db7a262b9da7e07ccb0ea9f4747b8ccda8a4f3";
const DIGEST: &str = "f0b43e94ba45accaace692ed534382eb17e6ab5a19ce7b31f4486fdfc0d28640";

/// The key of every example in GB/T 32918.5.
const PRIVATE: &str = "3945208f7b2144b13f36e38ac6d39f95889393692860b51a42fb81ef4df7c5b8";
const PUBLIC: &str = concat!(
    "0409f9df311e5421a150dd7d161e4bc5c672179fad1833fc076bb08ff356f35020",
    "ccea490ce26775a52dc6ea718cc1aa600aed05fbf35e084a6632f6072da9ad13"
);

/// How many random cases each comparison runs: `GUITAI_CASES`, or few enough for every run.
///
/// # Panics
/// When `GUITAI_CASES` is no number: a typing mistake must not pass for a run.
fn cases() -> usize {
    match std::env::var("GUITAI_CASES") {
        Ok(text) => text.parse().expect("GUITAI_CASES is a number"),
        Err(_) => 2000,
    }
}

/// A random scalar from 1 to n − 1, one time in four of few set or few unset bits.
fn random_scalar() -> Scalar {
    loop {
        let mut bytes: [u8; 32] = random::array();
        match bytes[0] % 8 {
            0 => (1..32).for_each(|_| thin(&mut bytes, |a, b| a & b)),
            1 => (1..32).for_each(|_| thin(&mut bytes, |a, b| a | b)),
            _ => {}
        }
        if let Some(scalar) = Scalar::from_bytes_nonzero(&bytes) {
            return scalar;
        }
    }
}

/// Combines one random byte of `bytes` with fresh ones until runs of equal bits appear.
fn thin(bytes: &mut [u8; 32], combine: impl Fn(u8, u8) -> u8) {
    let [at, a, b, c] = random::array();
    let byte = &mut bytes[usize::from(at % 32)];
    *byte = combine(combine(combine(*byte, a), b), c);
}

/// A small number as a scalar.
fn small(number: u64) -> Scalar {
    Scalar::reduced(&[number, 0, 0, 0])
}

/// The number below n that is −`number`.
fn minus(number: u64) -> Scalar {
    Scalar::reduced(&[0; 4]).sub(&small(number))
}

fn unhex(hex: &str) -> Vec<u8> {
    hex::decode(hex).unwrap()
}

fn scalar(hex: &str) -> Scalar {
    Scalar::from_bytes_nonzero(&unhex(hex).try_into().unwrap()).unwrap()
}

fn key(scalar: &[u8]) -> Option<SecretKey> {
    SecretKey::from_scalar(scalar.try_into().unwrap())
}

#[test]
fn gbt_32918_5_signature_example() {
    let key = key(&unhex(PRIVATE)).unwrap();
    assert_eq!(key.public().to_point()[..], unhex(PUBLIC));
    let signature = unhex(concat!(
        "3046",
        "022100f5a03b0648d2c4630eeac513e1bb81a15944da3827d5b74143ac7eaceee720b3",
        "022100b1b6aa29df212fd8763182bc0d421ca1bb9038fd1f7f42d4840b69c485bbc1aa"
    ));
    let public = PublicKey::from_point(&unhex(PUBLIC)).unwrap();
    assert_eq!(public.z(DEFAULT_ID)[..], unhex(Z));
    let e = public.digest(b"message digest");
    assert_eq!(e[..], unhex(DIGEST));
    let (k, e) = (scalar(NONCE), Scalar::from_bytes_reduced(&e));
    let signed = Signer::new(&key.scalar).sign_with(&k, &e).unwrap();
    assert_eq!(signed.to_der(), signature);
    public.verify(b"message digest", &signature).unwrap();
    public.verify(b"message Digest", &signature).unwrap_err();
}

#[test]
fn gbt_32918_5_encryption_example() {
    let sealed = unhex(concat!(
        "0404ebfc718e8d1798620432268e77feb6415e2ede0e073c0f4f640ecd2e149a73",
        "e858f9d81e5430a57b36daab8f950a3c64e6ee6a63094d99283aff767e124df0",
        "59983c18f809e262923c53aec295d30383b54e39d609d160afcb1908d0bd8766",
        "21886ca989ca9c7d58087307ca93092d651efa"
    ));
    let key = key(&unhex(PRIVATE)).unwrap();
    let message = b"encryption standard";
    assert_eq!(*key.decrypt(&sealed).unwrap(), message);
    let again = encryption::encrypt_with(&scalar(NONCE), &key.public.0, message);
    assert_eq!(again.unwrap(), sealed);
}

#[test]
fn signatures_fit_key_message_and_form_only() {
    let (key, other) = (SecretKey::generate(), SecretKey::generate());
    let signature = key.sign(b"message");
    assert_ne!(signature, key.sign(b"message"), "nonces are drawn anew");
    key.public().verify(b"message", &signature).unwrap();
    key.public().verify(b"massage", &signature).unwrap_err();
    other.public().verify(b"message", &signature).unwrap_err();
    for bit in 0..signature.len() * 8 {
        let mut altered = signature.clone();
        altered[bit / 8] ^= 1 << (bit % 8);
        key.public().verify(b"message", &altered).unwrap_err();
    }
    for length in 0..signature.len() {
        key.public()
            .verify(b"message", &signature[..length])
            .unwrap_err();
    }
    let longer = [&signature[..], &[0]].concat();
    key.public().verify(b"message", &longer).unwrap_err();
}

#[test]
fn sealed_keys_open_unaltered_only() {
    let key = SecretKey::generate();
    let sealed = key.public().encrypt(&[7; 32]).unwrap();
    assert_eq!(sealed.len(), OVERHEAD_BYTES + 32);
    assert_eq!(sealed[0], 0x04);
    assert_eq!(*key.decrypt(&sealed).unwrap(), [7; 32]);
    SecretKey::generate().decrypt(&sealed).unwrap_err();
    for index in 0..sealed.len() {
        let mut altered = sealed.clone();
        altered[index] ^= 1;
        key.decrypt(&altered).unwrap_err();
        key.decrypt(&sealed[..index]).unwrap_err();
    }
    key.public().encrypt(b"").unwrap_err();
    key.public()
        .encrypt(&[0; MESSAGE_BYTES_MAX + 1])
        .unwrap_err();
}

#[test]
fn keys_read_back_and_the_unusable_ones_are_refused() {
    let key = SecretKey::generate();
    let pem = SecretKey::from_pkcs8_pem(&key.to_pkcs8_pem()).unwrap();
    let der = SecretKey::from_pkcs8_der(&key.to_pkcs8_der()).unwrap();
    assert_eq!(pem.public(), key.public());
    assert_eq!(der.public(), key.public());
    assert_eq!(format!("{key:?}"), "sm2::SecretKey(..)");
    assert!(self::key(&ORDER_MINUS_ONE).is_none());
    SecretKey::from_pkcs8_pem("").unwrap_err();
    for point in [
        &[][..],
        &[0],
        &[4; 65],
        &[4; 66],
        &key.public().to_point()[..33],
    ] {
        PublicKey::from_point(point).unwrap_err();
    }
}

/// n − 1, which cannot sign.
const ORDER_MINUS_ONE: [u8; 32] = [
    0xff, 0xff, 0xff, 0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
    0x72, 0x03, 0xdf, 0x6b, 0x21, 0xc6, 0x05, 0x2b, 0x53, 0xbb, 0xf4, 0x09, 0x39, 0xd5, 0x41, 0x22,
];
