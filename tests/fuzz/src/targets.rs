//! What is fuzzed: every function takes any bytes and must neither panic nor accept what it should
//! not. libFuzzer calls them (tests/fuzz/run), and so does a plain test over the kept corpus.
//!
//! The first byte chooses a reader among those of the target; the rest is its input.

use std::sync::{Arc, OnceLock};

use guitai_crypto::keys::{
    KeyStore, Purpose, RingFile, RootFile, SealedShare, WrappedBy, WrappedFile, sdf::answer,
};
use guitai_crypto::sframe::{Opener, Sealer, Suite};
use guitai_crypto::x509::{self, Authority, Crl, Demands, Identity, Request, Subject, Usage};
use guitai_crypto::{cms, sm2, tls};
use rustls::crypto::cipher::{
    AeadKey, InboundOpaqueMessage, Iv, MessageDecrypter, OutboundPlainMessage,
};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ContentType, ProtocolVersion, RootCertStore};

/// The time at which the fixtures are valid.
pub const NOW: u64 = 1_790_000_000;
/// The root that the certificates among the seeds chain to.
pub const ROOT: &[u8] = include_bytes!("../fixtures/root.der");
/// The node that they name.
pub const NAME: &str = "a1-1.inner.guitai.internal";
/// The key under which seeds of records, frames and wrapped keys are sealed.
pub const KEY: [u8; 32] = [7; 32];

/// A target by the name of its corpus.
pub type Target = (&'static str, fn(&[u8]));

/// All targets.
pub const ALL: &[Target] = &[
    ("record", record),
    ("certificate", certificate),
    ("sframe", sframe),
    ("key_file", key_file),
    ("sdf", sdf),
];

/// TLS and QUIC: sealed records, packets, whole connections, and the checks of the peer's
/// certificate and signature.
pub fn record(data: &[u8]) {
    let Some((choice, data)) = data.split_first() else {
        return;
    };
    match choice % 6 {
        0 => drop(open_record(data)),
        1 => inner_plaintext(data),
        2 => packet(data),
        3 => drop(read_by_server(data)),
        4 => drop(read_by_client(data)),
        _ => peer(data),
    }
}

fn suite() -> &'static rustls::Tls13CipherSuite {
    let provider = tls::provider();
    let suite = provider.cipher_suites.first().and_then(|s| s.tls13());
    suite.expect("the provider has one suite, of TLS 1.3")
}

fn decrypter() -> Box<dyn MessageDecrypter> {
    let (key, iv) = (AeadKey::from(KEY), Iv::from([3; 12]));
    suite().aead_alg.decrypter(key, iv)
}

/// What is inside a record, if it opens.
fn open_record(data: &[u8]) -> Option<Vec<u8>> {
    let mut payload = data.to_vec();
    let (kind, version) = (ContentType::ApplicationData, ProtocolVersion::TLSv1_2);
    let message = InboundOpaqueMessage::new(kind, version, &mut payload);
    let opened = decrypter().decrypt(message, 0).ok()?;
    Some(opened.payload.to_vec())
}

/// Any plaintext comes back from a record as it went in, so that whatever a peer with the right
/// keys may put inside has been read once.
fn inner_plaintext(data: &[u8]) {
    let data = &data[..data.len().min(16_384)];
    let (key, iv) = (AeadKey::from(KEY), Iv::from([3; 12]));
    let message = OutboundPlainMessage {
        typ: ContentType::ApplicationData,
        version: ProtocolVersion::TLSv1_2,
        payload: data.into(),
    };
    let sealed = suite().aead_alg.encrypter(key, iv).encrypt(message, 0);
    let sealed = sealed
        .expect("a record of at most 16 KiB is sealed")
        .encode();
    // Five bytes of header come first.
    assert_eq!(open_record(&sealed[5..]).as_deref(), Some(data));
}

fn packet(data: &[u8]) {
    let quic = suite().quic.expect("the suite has a QUIC half");
    let key = quic.packet_key(AeadKey::from(KEY), Iv::from([3; 12]));
    let (header, payload) = data.split_at(data.len().min(20));
    let mut payload = payload.to_vec();
    drop(key.decrypt_in_place(u64::from(data.len() as u32), header, &mut payload));
    let headers = quic.header_protection_key(AeadKey::from(KEY));
    let (sample, rest) = data.split_at(data.len().min(16));
    let (mut first, mut number) = (rest.first().copied().unwrap_or(0), rest.to_vec());
    drop(headers.decrypt_in_place(sample, &mut first, &mut number));
}

fn roots() -> Arc<RootCertStore> {
    let mut store = RootCertStore::empty();
    let root = CertificateDer::from(ROOT);
    store.add(root).expect("the fixture is a root");
    Arc::new(store)
}

/// A node of some cluster; its key is made anew in every process.
fn identity() -> &'static Identity {
    static IDENTITY: OnceLock<Identity> = OnceLock::new();
    IDENTITY.get_or_init(|| {
        let authority = Authority::create("root", "fuzz", 30, NOW).expect("a root is made");
        let key = sm2::SecretKey::generate();
        let subject = Subject {
            common_name: "node".into(),
            organization: "fuzz".into(),
            dns_names: vec![NAME.into()],
        };
        let leaf = authority
            .issue(&subject, &key.public(), Usage::Tls, 30, NOW)
            .expect("a leaf is issued");
        Identity {
            chain: vec![leaf],
            key,
        }
    })
}

fn read_by_server(mut data: &[u8]) -> Result<(), rustls::Error> {
    let roots = [ROOT.to_vec()];
    let config = tls::server_config(identity(), &roots, &[b"guitai-call/1"])
        .expect("the configuration is complete");
    let mut connection = rustls::ServerConnection::new(Arc::new(config))?;
    while !data.is_empty() && connection.read_tls(&mut data).is_ok_and(|read| read > 0) {
        connection.process_new_packets()?;
    }
    Ok(())
}

fn read_by_client(mut data: &[u8]) -> Result<(), rustls::Error> {
    let roots = [ROOT.to_vec()];
    let config = tls::client_config(identity(), &roots, &[b"guitai-call/1"])
        .expect("the configuration is complete");
    let name = ServerName::try_from(NAME).expect("a DNS name");
    let mut connection = rustls::ClientConnection::new(Arc::new(config), name)?;
    let mut hello = Vec::new();
    connection.write_tls(&mut hello).expect("written to memory");
    while !data.is_empty() && connection.read_tls(&mut data).is_ok_and(|read| read > 0) {
        connection.process_new_packets()?;
    }
    Ok(())
}

/// The peer's certificates, each with two bytes of length before it, and its signature.
fn peer(data: &[u8]) {
    let provider = tls::provider();
    let parts = parts(data);
    let certificates: Vec<CertificateDer<'_>> = parts
        .iter()
        .map(|part| CertificateDer::from(*part))
        .collect();
    if let Some((leaf, others)) = certificates.split_first() {
        let time = UnixTime::since_unix_epoch(std::time::Duration::from_secs(NOW));
        let name = ServerName::try_from(NAME).expect("a DNS name");
        let server =
            rustls::client::WebPkiServerVerifier::builder_with_provider(roots(), provider.clone())
                .build()
                .expect("there is a root");
        drop(
            rustls::client::danger::ServerCertVerifier::verify_server_cert(
                &*server,
                leaf,
                others,
                &name,
                &[],
                time,
            ),
        );
        let client =
            rustls::server::WebPkiClientVerifier::builder_with_provider(roots(), provider.clone())
                .build()
                .expect("there is a root");
        drop(client.verify_client_cert(leaf, others, time));
    }
    if let [key, message, signature, ..] = parts[..] {
        for verifier in provider.signature_verification_algorithms.all {
            let _ = verifier.verify_signature(key, message, signature);
        }
    }
}

/// Cuts `data` into parts of the lengths that stand before them.
fn parts(mut data: &[u8]) -> Vec<&[u8]> {
    let mut parts = Vec::new();
    while let Some((length, rest)) = data.split_first_chunk() {
        let length = usize::from(u16::from_be_bytes(*length)).min(rest.len());
        let (part, rest) = rest.split_at(length);
        parts.push(part);
        data = rest;
    }
    parts
}

/// The parts as [`parts`] reads them.
pub fn join(parts: &[&[u8]]) -> Vec<u8> {
    let mut joined = Vec::new();
    for part in parts {
        let length = u16::try_from(part.len()).expect("seeds are short");
        joined.extend_from_slice(&length.to_be_bytes());
        joined.extend_from_slice(part);
    }
    joined
}

/// Certificates, chains, requests, revocation lists and signature files.
pub fn certificate(data: &[u8]) {
    let Some((choice, data)) = data.split_first() else {
        return;
    };
    let roots = [ROOT.to_vec()];
    match choice % 7 {
        0 => {
            let chain: Vec<Vec<u8>> = parts(data).into_iter().map(<[u8]>::to_vec).collect();
            for usage in Usage::ALL {
                let demands = Demands {
                    usage: Some(usage),
                    crls: &[],
                };
                let verified = x509::verify_chain_for(&chain, &roots, NOW, demands);
                // Who may only encrypt may not sign; every other usage is a signer's.
                assert!(
                    verified.is_err()
                        || usage == Usage::Encryption
                        || x509::verify_chain(&chain, &roots, NOW).is_ok(),
                    "fit for {usage:?}, but not to sign"
                );
            }
        }
        1 => {
            drop(x509::dangerous_read_unverified(data));
            drop(x509::describe(data));
            drop(x509::identify(data));
            drop(x509::check_may_sign(data));
            drop(x509::check_pair(data, ROOT));
        }
        2 => drop(Request::from_der(data)),
        3 => {
            if let Ok(list) = Crl::from_der(data) {
                assert_eq!(list.as_der(), data, "what was read is what was given");
                drop(list.verify(ROOT, NOW));
                drop(list.check_current(NOW));
            }
        }
        4 => {
            drop(cms::verify_detached(data, b"content", &roots));
        }
        5 => {
            let text = String::from_utf8_lossy(data);
            drop(x509::certificates_from_pem(&text));
            drop(x509::request_from_pem(&text));
            drop(x509::crl_from_pem(&text));
        }
        _ => {
            let parts = parts(data);
            if let [chain, rest @ ..] = &parts[..] {
                let lists: Vec<Crl> = rest.iter().filter_map(|r| Crl::from_der(r).ok()).collect();
                let demands = Demands {
                    usage: None,
                    crls: &lists,
                };
                drop(x509::verify_chain_for(
                    &[chain.to_vec()],
                    &roots,
                    NOW,
                    demands,
                ));
            }
        }
    }
}

/// Sealed media frames.
pub fn sframe(data: &[u8]) {
    let Some((choice, data)) = data.split_first() else {
        return;
    };
    let suite = if choice & 2 == 0 {
        Suite::Sm4GcmSm3_128
    } else {
        Suite::Sm4CtrHmacSm3_80
    };
    if choice % 2 == 0 {
        drop(Opener::new(suite, &KEY).open(b"video", data));
    } else if let Some((ids, frame)) = data.split_first_chunk::<16>() {
        // Any frame under any KID and counter opens again.
        let (kid, ctr) = ids.split_at(8);
        let number = |bytes: &[u8]| bytes.iter().fold(0, |n, byte| n << 8 | u64::from(*byte));
        // The counter never wraps: a sealer that is out of counters is the caller's error.
        let ctr = number(ctr) >> 1;
        let sealed = Sealer::new(suite, &KEY, number(kid), ctr).seal(b"video", frame);
        let opened = Opener::new(suite, &KEY).open(b"video", &sealed);
        assert_eq!(opened.as_deref(), Ok(frame));
    }
}

/// Keys at rest: PKCS#8, root, ring and wrapped-key files, shares, wrapped keys, and ciphertexts of SM2.
pub fn key_file(data: &[u8]) {
    let Some((choice, data)) = data.split_first() else {
        return;
    };
    match choice % 6 {
        0 => {
            if let Ok(key) = sm2::SecretKey::from_pkcs8_der(data) {
                let again = sm2::SecretKey::from_pkcs8_der(&key.to_pkcs8_der());
                assert_eq!(again.map(|key| key.public()), Ok(key.public()));
            }
        }
        1 => drop(sm2::SecretKey::from_pkcs8_pem(&String::from_utf8_lossy(
            data,
        ))),
        2 => {
            static KEYS: OnceLock<KeyStore> = OnceLock::new();
            let keys = KEYS.get_or_init(|| {
                KeyStore::in_memory("a1-1", &[Purpose::Recording]).expect("a store is made")
            });
            // Its keys are new in every process: nothing kept can open.
            assert!(keys.unwrap(Purpose::Recording, b"context", data).is_err());
            drop(WrappedBy::of(data));
        }
        3 => {
            let _ = sm2::PublicKey::from_point(data);
            drop(identity().key.decrypt(data));
            let _ = identity().key.public().verify(b"message", data);
        }
        4 => {
            drop(RootFile::parse(data));
            drop(RingFile::parse(data));
            drop(WrappedFile::parse(data));
        }
        _ => drop(SealedShare::from_text(&String::from_utf8_lossy(data))),
    }
}

/// What a key device answers through SDF (GM/T 0018).
pub fn sdf(data: &[u8]) {
    let Some((choice, data)) = data.split_first() else {
        return;
    };
    match choice % 4 {
        0 => drop(answer::device_info(data)),
        1 => {
            if let Ok(key) = answer::public_key(data) {
                let point = key.to_point();
                assert_eq!(
                    sm2::PublicKey::from_point(&point),
                    Ok(key),
                    "a point of the curve"
                );
            }
        }
        2 => drop(answer::signature(data)),
        _ => {
            if let Some((claimed, _)) = data.split_first_chunk() {
                let claimed = u32::from_ne_bytes(*claimed);
                let length = answer::length("SDF_Encrypt", claimed, 0..=1024);
                assert_eq!(length.is_ok(), claimed <= 1024);
                assert!(!answer::error_words(claimed).is_empty());
            }
        }
    }
}
