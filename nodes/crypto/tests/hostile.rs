//! Everything that reads bytes from outside returns an error on rubbish; nothing panics. A panic in
//! a connection's crypto would take the whole endpoint with it.

use guitai_crypto::keys::{KeyStore, Purpose, RingFile, RootFile, WrappedBy, WrappedFile};
use guitai_crypto::sframe::{Opener, Sealer, Suite};
use guitai_crypto::x509::{Authority, Identity, Subject, Usage};
use guitai_crypto::{cms, sm2, tls, x509};

const NOW: u64 = 1_790_000_000;
const ROUNDS: u64 = 3000;

/// A small generator with a fixed seed: a failure repeats.
struct Rubbish(u64);

impl Rubbish {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn bytes(&mut self) -> Vec<u8> {
        let length = self.next() % 200;
        (0..length).map(|_| self.next() as u8).collect()
    }

    /// Honest bytes with pieces cut out, doubled and overwritten.
    fn mangle(&mut self, honest: &[u8]) -> Vec<u8> {
        let mut bytes = honest.to_vec();
        for _ in 0..=self.next() % 3 {
            if bytes.is_empty() {
                break;
            }
            let at = (self.next() % bytes.len() as u64) as usize;
            let end = (at + (self.next() % 20) as usize).min(bytes.len());
            match self.next() % 4 {
                0 => drop(bytes.drain(at..end)),
                1 => bytes.extend_from_within(at..end),
                2 => bytes.truncate(at),
                _ => bytes[at] = self.next() as u8,
            }
        }
        bytes
    }
}

#[test]
fn rubbish_is_refused_everywhere() {
    let mut rubbish = Rubbish(0x9e37_79b9_7f4a_7c15);
    let authority = Authority::create("root", "cluster", 30, NOW).unwrap();
    let key = sm2::SecretKey::generate();
    let subject = Subject {
        common_name: "node".into(),
        organization: "cluster".into(),
        dns_names: vec!["node.inner.guitai.internal".into()],
    };
    let leaf = authority
        .issue(&subject, &key.public(), Usage::Tls, 30, NOW)
        .unwrap();
    let roots = vec![authority.certificate_der().to_vec()];
    let identity = Identity {
        chain: vec![leaf.clone()],
        key: key.clone(),
    };
    let signature_file = cms::sign_detached(&identity, b"content", NOW).unwrap();
    let signature = key.sign(b"message");
    let point = key.public().to_point();
    let sealed_key = key.public().encrypt(&[7; 32]).unwrap();
    let opener = Opener::new(Suite::Sm4GcmSm3_128, &[1; 32]);
    let keys = KeyStore::in_memory("a1-1", &[Purpose::Recording]).unwrap();
    let frame = Sealer::new(Suite::Sm4GcmSm3_128, &[1; 32], 1000, 1 << 50).seal(b"video", b"frame");
    let wrapped = keys.wrap(Purpose::Recording, b"context", b"key").unwrap();
    let (chain_pem, key_pem) = identity.to_pem();
    // A key file's shape: SEQUENCE, version 1, an OCTET STRING.
    let key_file = [&[0x30, 21, 2, 1, 1, 4, 16][..], &[7; 16]].concat();
    let verifiers = tls::provider().signature_verification_algorithms;

    for round in 0..ROUNDS {
        let mut input = |honest: &[u8]| match round % 2 {
            0 => rubbish.mangle(honest),
            _ => rubbish.bytes(),
        };
        let bytes = input(&leaf);
        if bytes != leaf {
            x509::verify_chain(std::slice::from_ref(&bytes), &roots, NOW).unwrap_err();
            // Unchecked reading may accept other bytes; it must only not panic.
            drop(x509::dangerous_read_unverified(&bytes));
        }
        let bytes = input(&roots[0]);
        if bytes != roots[0] {
            x509::verify_chain(&identity.chain, &[bytes], NOW).err();
        }
        let bytes = input(&signature_file);
        if bytes != signature_file {
            cms::verify_detached(&bytes, b"content", &roots).unwrap_err();
        }
        let bytes = input(&signature);
        if bytes != signature {
            key.public().verify(b"message", &bytes).unwrap_err();
            for verifier in verifiers.all {
                let refused = verifier.verify_signature(&point, b"message", &bytes);
                refused.unwrap_err();
            }
        }
        let bytes = input(&point);
        if bytes != point {
            sm2::PublicKey::from_point(&bytes).unwrap_err();
        }
        let bytes = input(&sealed_key);
        if bytes != sealed_key {
            key.decrypt(&bytes).unwrap_err();
        }
        let bytes = input(&frame);
        if bytes != frame {
            opener.open(b"video", &bytes).unwrap_err();
        }
        let bytes = input(&wrapped);
        if bytes != wrapped {
            keys.unwrap(Purpose::Recording, b"context", &bytes)
                .unwrap_err();
            drop(WrappedBy::of(&bytes));
        }
        let text = String::from_utf8_lossy(&input(chain_pem.as_bytes())).into_owned();
        drop(x509::certificates_from_pem(&text));
        let text = String::from_utf8_lossy(&input(key_pem.as_bytes())).into_owned();
        drop(sm2::SecretKey::from_pkcs8_pem(&text));
        for honest in ["GUITAI ROOT KEY", "GUITAI KEY RING", "GUITAI WRAPPED KEY"] {
            let der = input(&key_file);
            let text = der::pem::encode_string(honest, der::pem::LineEnding::LF, &der).unwrap();
            drop(RootFile::parse(text.as_bytes()));
            drop(RingFile::parse(text.as_bytes()));
            drop(WrappedFile::parse(&input(text.as_bytes())));
        }
    }
}
