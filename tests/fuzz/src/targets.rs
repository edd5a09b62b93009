//! What is fuzzed: every function takes any bytes and must neither panic nor accept what it should
//! not. libFuzzer calls them (tests/fuzz/run), and so does a plain test over the kept corpus.
//!
//! The first byte chooses a reader among those of the target; the rest is its input.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use guitai_crypto::keys::{
    KeyStore, Passphrase, Purpose, RingFile, RootFile, SealedShare, WrappedBy, WrappedFile,
    sdf::answer,
};
use guitai_crypto::sframe::{self, OpenError, Opener, Party, Ring, Sealer, Suite};
use guitai_crypto::x509::{self, Authority, Crl, Demands, Identity, Request, Subject, Usage};
use guitai_crypto::{cms, sm2, sm3, tls};
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
        let time = UnixTime::since_unix_epoch(Duration::from_secs(NOW));
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

/// Sealed media frames, and a session's keys over time.
pub fn sframe(data: &[u8]) {
    let Some((choice, data)) = data.split_first() else {
        return;
    };
    let suite = if choice & 2 == 0 {
        Suite::Sm4GcmSm3_128
    } else {
        Suite::Sm4CtrHmacSm3_80
    };
    if choice & 4 != 0 {
        ring(suite, data);
    } else if choice % 2 == 0 {
        drop(Opener::new(suite, &KEY).open(b"video", data));
    } else if let Some((ids, frame)) = data.split_first_chunk::<16>() {
        // Any frame under any KID and counter opens again.
        let (kid, ctr) = ids.split_at(8);
        let number = |bytes: &[u8]| bytes.iter().fold(0, |n, byte| n << 8 | u64::from(*byte));
        // The counter never wraps: a sealer that is out of counters is the caller's error.
        let (kid, ctr) = (number(kid), number(ctr) >> 1);
        let sealed = Sealer::new(suite, &KEY, kid, ctr).seal(b"video", frame);
        assert_eq!(sframe::kid_of(&sealed), Ok(kid));
        let opened = Opener::new(suite, &KEY).open(b"video", &sealed);
        assert_eq!(opened.as_deref(), Ok(frame));
    }
}

/// A key ring through steps of five bytes: what to do, and a number. Bytes to open follow their step.
fn ring(audio: Suite, mut data: &[u8]) {
    const STEPS_MAX: usize = 24;
    let mut ring = Ring::new(audio, Duration::from_secs(2));
    let (mut now, mut newest) = (Duration::ZERO, 0);
    let key_of = |epoch: u32| sm3::hash(&epoch.to_be_bytes());
    for _ in 0..STEPS_MAX {
        let Some(([step, number @ ..], rest)) = data.split_first_chunk::<5>() else {
            return;
        };
        data = rest;
        let number = u32::from_be_bytes(*number);
        match step % 4 {
            0 => {
                ring.add(number, &key_of(number), now);
                newest = newest.max(number);
                assert_eq!(ring.epoch(), newest, "epochs only rise");
            }
            1 => {
                now += Duration::from_millis(u64::from(number % 4096));
                ring.retire(now);
                assert_eq!(ring.epoch(), newest, "the newest key never retires");
            }
            2 => {
                // An honest frame of some epoch; the newest opens, one to come waits, an old one may go.
                let epoch = if number == 0 { newest } else { number }.max(1);
                let is_sound = step & 4 != 0;
                let suite = if is_sound {
                    audio
                } else {
                    Suite::Sm4GcmSm3_128
                };
                let kid = sframe::kid(epoch, Party::Agent, is_sound);
                let sealed = Sealer::new(suite, &key_of(epoch), kid, 1 << 32).seal(b"", b"frame");
                match ring.open(b"", &sealed, now) {
                    Ok(plain) => assert!(epoch <= newest && plain == b"frame"),
                    Err(OpenError::Ahead) => assert!(epoch > newest),
                    Err(OpenError::Retired) => assert!(epoch < newest),
                    Err(other) => panic!("epoch {epoch} of {newest}: {other}"),
                }
            }
            _ => {
                let (frame, rest) = data.split_at(data.len().min(number as usize % 256));
                data = rest;
                drop(ring.open(b"", frame, now));
            }
        }
    }
}

/// Keys at rest: PKCS#8, root, ring and wrapped-key files, shares, wrapped keys, and ciphertexts of SM2.
pub fn key_file(data: &[u8]) {
    let Some((choice, data)) = data.split_first() else {
        return;
    };
    match choice % 9 {
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
            // Its keys are new in every process: nothing kept can open.
            assert!(
                key_store()
                    .unwrap(Purpose::Recording, b"context", data)
                    .is_err()
            );
            drop(WrappedBy::of(data));
        }
        3 => {
            let _ = sm2::PublicKey::from_point(data);
            drop(identity().key.decrypt(data));
            let _ = identity().key.public().verify(b"message", data);
        }
        4 => read_key_file(data),
        5 => {
            let text = String::from_utf8_lossy(data);
            drop(SealedShare::from_text(&text));
            drop(Passphrase::new(&text));
        }
        6 => {
            // What is inside the armour, which bytes changed at random would seldom get through.
            let Some((label, contents)) = data.split_first() else {
                return;
            };
            let label = KEY_FILE_LABELS[usize::from(*label) % KEY_FILE_LABELS.len()];
            let text = der::pem::encode_string(label, der::pem::LineEnding::LF, contents)
                .expect("the label is one of ours");
            read_key_file(text.as_bytes());
        }
        7 => {
            if let Ok(share) = SealedShare::from_text(&share_text(data)) {
                let again = SealedShare::from_text(&share.to_text());
                assert!(again == Ok(share), "what is printed is what was typed");
            }
        }
        _ => wrap_and_unwrap(data),
    }
}

fn key_store() -> &'static KeyStore {
    static KEYS: OnceLock<KeyStore> = OnceLock::new();
    KEYS.get_or_init(|| {
        KeyStore::in_memory("a1-1", &[Purpose::Recording, Purpose::Backup])
            .expect("a store is made")
    })
}

/// The PEM labels of a key store's files.
pub const KEY_FILE_LABELS: [&str; 3] = ["GUITAI ROOT KEY", "GUITAI KEY RING", "GUITAI WRAPPED KEY"];

/// At most one reader takes a file.
fn read_key_file(text: &[u8]) {
    let readers = [
        RootFile::parse(text).map(drop),
        RingFile::parse(text).map(drop),
        WrappedFile::parse(text).map(drop),
    ];
    let taken = readers.iter().filter(|read| read.is_ok()).count();
    assert!(taken <= 1, "taken by {taken} readers");
    assert!(readers[2].is_err() || WrappedFile::is_one(text));
}

/// A share's text around any contents: its groups and sums are right, so that the contents are looked at.
pub fn share_text(contents: &[u8]) -> String {
    const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
    let sum = sm3::hash(contents);
    let bytes = [contents, &sum[..4]].concat();
    let bit = |at: usize| bytes[at / 8] >> (7 - at % 8) & 1;
    let digits: Vec<u8> = (0..bytes.len() * 8 / 5)
        .map(|digit| (0..5).fold(0, |value, offset| value << 1 | bit(digit * 5 + offset)))
        .collect();
    let mut text = String::new();
    for (place, group) in digits.chunks(4).enumerate() {
        // The weights are powers of x in GF(2)[x] / (x^5 + x^2 + 1).
        let twice = |digit: u8| ((digit << 1) ^ ((digit >> 4) * 0b10_0101)) & 31;
        let sum = group.iter().fold(0, |sum, digit| twice(sum ^ digit));
        let check = sum ^ (place % 32) as u8;
        let letters = group.iter().chain([&check]);
        text.extend(letters.map(|digit| char::from(ALPHABET[usize::from(*digit)])));
        text.push(' ');
    }
    text
}

/// Any key comes back from its wrapping under the same purpose and context, and under no other.
fn wrap_and_unwrap(data: &[u8]) {
    let Some(([context, at], key)) = data.split_first_chunk::<2>() else {
        return;
    };
    let (keys, context) = (key_store(), [*context]);
    let Ok(mut wrapped) = keys.wrap(Purpose::Recording, &context, key) else {
        return;
    };
    let opened = keys.unwrap(Purpose::Recording, &context, &wrapped);
    assert_eq!(opened.ok().as_deref().map(Vec::as_slice), Some(key));
    let other = [context[0] ^ 1];
    assert!(keys.unwrap(Purpose::Recording, &other, &wrapped).is_err());
    assert!(keys.unwrap(Purpose::Backup, &context, &wrapped).is_err());
    let at = usize::from(*at) % wrapped.len();
    wrapped[at] ^= 0x10;
    assert!(keys.unwrap(Purpose::Recording, &context, &wrapped).is_err());
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
