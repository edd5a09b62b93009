//! The committed SFrame vectors, which the pages' tests read too. They were computed by another
//! implementation (pyca/cryptography), so neither side checks itself against itself.

use guitai_crypto::sframe::{Opener, SUITE, Sealer};
use guitai_crypto::sm3;
use serde::Deserialize;

#[derive(Deserialize)]
struct File {
    suite: String,
    vectors: Vec<Vector>,
}

#[derive(Deserialize)]
struct Vector {
    base_key: String,
    kid: String,
    ctr: String,
    track: String,
    metadata: String,
    sframe_secret: String,
    plaintext: String,
    sealed: String,
}

#[test]
fn sframe_vectors() {
    let file: File = serde_json::from_str(include_str!("vectors/sframe-sm4.json")).unwrap();
    assert_eq!(file.suite, format!("0x{SUITE:04X}"));
    assert!(file.vectors.len() >= 10);
    for vector in file.vectors {
        let base_key: [u8; 32] = hex::decode(&vector.base_key).unwrap().try_into().unwrap();
        let (kid, ctr) = (vector.kid.parse().unwrap(), vector.ctr.parse().unwrap());
        let metadata = hex::decode(&vector.metadata).unwrap();
        assert_eq!(metadata, vector.track.as_bytes());
        let secret = sm3::hkdf_extract(b"", &base_key);
        assert_eq!(hex::encode(secret), vector.sframe_secret);
        let plain = hex::decode(&vector.plaintext).unwrap();
        let sealed = Sealer::new(&base_key, kid, ctr).seal(&metadata, &plain);
        assert_eq!(hex::encode(&sealed), vector.sealed, "kid {kid} ctr {ctr}");
        let opened = Opener::new(&base_key).open(&metadata, &sealed);
        assert_eq!(opened.unwrap(), plain, "kid {kid} ctr {ctr}");
    }
}
