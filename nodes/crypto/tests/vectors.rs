//! The published SFrame vectors, which the pages' tests read too. They were made with another
//! implementation (see `tests/vectors/sframe.py`), so neither side checks itself against itself.

use guitai_crypto::sframe::{Opener, Sealer, Suite};
use guitai_crypto::{sm3, sm4};
use serde::Deserialize;

#[derive(Deserialize)]
struct File {
    cipher_suite: String,
    sframe: Vec<Vector>,
}

#[derive(Deserialize)]
struct Vector {
    kid: String,
    ctr: String,
    base_key: String,
    sframe_key_label: String,
    sframe_salt_label: String,
    sframe_secret: String,
    sframe_key: String,
    sframe_salt: String,
    header: String,
    metadata: String,
    nonce: String,
    aad: String,
    pt: String,
    ct: String,
}

const FILES: [(Suite, &str); 2] = [
    (
        Suite::Sm4GcmSm3_128,
        include_str!("../../../tests/vectors/sframe-f001.json"),
    ),
    (
        Suite::Sm4CtrHmacSm3_80,
        include_str!("../../../tests/vectors/sframe-f002.json"),
    ),
];

fn bytes(text: &str) -> Vec<u8> {
    hex::decode(text).unwrap()
}

fn vectors() -> impl Iterator<Item = (Suite, Vector)> {
    FILES.into_iter().flat_map(|(suite, text)| {
        let file: File = serde_json::from_str(text).unwrap();
        assert_eq!(file.cipher_suite, format!("0x{:04X}", suite.number()));
        assert!(file.sframe.len() >= 20);
        file.sframe.into_iter().map(move |vector| (suite, vector))
    })
}

#[test]
fn whole_frames() {
    for (suite, vector) in vectors() {
        let base_key: [u8; 32] = bytes(&vector.base_key).try_into().unwrap();
        let (kid, ctr) = (vector.kid.parse().unwrap(), vector.ctr.parse().unwrap());
        let (metadata, plain) = (bytes(&vector.metadata), bytes(&vector.pt));
        let sealed = Sealer::new(suite, &base_key, kid, ctr).seal(&metadata, &plain);
        assert_eq!(hex::encode(&sealed), vector.ct, "{suite:?} {kid} {ctr}");
        let opened = Opener::new(suite, &base_key).open(&metadata, &sealed);
        assert_eq!(opened.unwrap(), plain, "{suite:?} {kid} {ctr}");
    }
}

/// The same frames put together by hand, so that a reader of the vectors finds every step in them.
#[test]
fn every_step_on_the_way() {
    for (suite, vector) in vectors() {
        let secret = sm3::hkdf_extract(b"", &bytes(&vector.base_key));
        assert_eq!(hex::encode(secret), vector.sframe_secret);
        let key: [u8; 48] = sm3::hkdf_expand(&secret, &[&bytes(&vector.sframe_key_label)]);
        let salt: [u8; 12] = sm3::hkdf_expand(&secret, &[&bytes(&vector.sframe_salt_label)]);
        assert_eq!(hex::encode(salt), vector.sframe_salt);
        assert!(hex::encode(key).starts_with(&vector.sframe_key));
        let (enc, auth) = key.split_first_chunk::<16>().unwrap();
        let (nonce, aad) = (bytes(&vector.nonce), bytes(&vector.aad));
        let nonce: [u8; 12] = nonce.try_into().unwrap();
        assert_eq!(vector.aad, format!("{}{}", vector.header, vector.metadata));
        let mut data = bytes(&vector.pt);
        let tag = match suite {
            Suite::Sm4GcmSm3_128 => {
                let tag = sm4::Gcm::new(enc).seal_in_place(&nonce, &aad, &mut data);
                tag.to_vec()
            }
            Suite::Sm4CtrHmacSm3_80 => {
                let cipher = sm4::Block::new(enc);
                for (number, chunk) in (0u32..).zip(data.chunks_mut(16)) {
                    let mut pad: [u8; 16] = [&nonce[..], &number.to_be_bytes()]
                        .concat()
                        .try_into()
                        .unwrap();
                    cipher.encrypt(&mut pad);
                    chunk
                        .iter_mut()
                        .zip(pad)
                        .for_each(|(byte, pad)| *byte ^= pad);
                }
                let lengths =
                    [aad.len(), data.len(), 10].map(|length| (length as u64).to_be_bytes());
                let tag = sm3::hmac(auth, &[lengths.as_flattened(), &nonce, &aad, &data]);
                tag[..10].to_vec()
            }
        };
        let sealed = [bytes(&vector.header), data, tag].concat();
        assert_eq!(hex::encode(sealed), vector.ct);
    }
}
