//! What a broken or hostile peer can send: each is a typed error at the end that reads it, never a
//! panic, and never a connection.

use rustls::crypto::{ActiveKeyExchange, CompletedKeyExchange, SharedSecret, SupportedKxGroup};
use rustls::{ConnectionCommon, PeerMisbehaved, SideData};

use super::*;

/// Bytes of a record's header, which TLS 1.3 does not authenticate by itself.
const RECORD_HEADER_BYTES: usize = 5;
/// Longest record body (RFC 8446, 5.2).
const RECORD_BYTES_MAX: usize = (1 << 14) + 256;
/// rustls takes no record body of so many bytes (TLS 1.2's limit) or more.
const RECORD_READ_BYTES_MAX: usize = (1 << 14) + 2048;

fn ends(cluster: &Cluster) -> (ClientConnection, ServerConnection) {
    let name = ServerName::try_from(NAME).unwrap();
    let client = ClientConnection::new(Arc::new(cluster.client()), name).unwrap();
    (
        client,
        ServerConnection::new(Arc::new(cluster.server())).unwrap(),
    )
}

/// What `from` has to say now.
fn said<S: SideData>(from: &mut ConnectionCommon<S>) -> Vec<u8> {
    let mut bytes = Vec::new();
    while from.wants_write() {
        from.write_tls(&mut bytes).unwrap();
    }
    bytes
}

/// Gives `bytes` to `to`, all of them unless it refuses them.
fn hears<S: SideData>(to: &mut ConnectionCommon<S>, mut bytes: &[u8]) -> Result<(), Error> {
    while !bytes.is_empty() {
        let read = to.read_tls(&mut bytes);
        to.process_new_packets()?;
        assert_ne!(read.unwrap(), 0, "the buffer is full and nothing was taken");
    }
    Ok(())
}

/// Runs what is left of a handshake; the error is the first that either end reports.
fn finish(client: &mut ClientConnection, server: &mut ServerConnection) -> Result<(), Error> {
    for _ in 0..3 {
        carry(server, client)?;
        carry(client, server)?;
    }
    Ok(())
}

#[test]
fn a_handshake_with_any_byte_altered_fails_at_one_end() {
    let cluster = Cluster::new();
    // A prime step, so that the places differ from message to message.
    for place in (RECORD_HEADER_BYTES..1_700).step_by(23) {
        let (mut client, mut server) = ends(&cluster);
        let mut hello = said(&mut client);
        if let Some(byte) = hello.get_mut(place) {
            *byte ^= 0x10;
            let failed = hears(&mut server, &hello).and_then(|()| finish(&mut client, &mut server));
            assert!(failed.is_err(), "client's byte {place}");
        }

        let (mut client, mut server) = ends(&cluster);
        carry(&mut client, &mut server).unwrap();
        let mut answer = said(&mut server);
        let place = place.min(answer.len() - 1);
        answer[place] ^= 0x10;
        let failed = hears(&mut client, &answer).and_then(|()| finish(&mut client, &mut server));
        let waits = client.is_handshaking() && server.is_handshaking();
        assert!(failed.is_err() || waits, "server's byte {place}");
    }
}

#[test]
fn a_handshake_cut_short_is_no_connection() {
    let cluster = Cluster::new();
    for part in 0..20 {
        let (mut client, mut server) = ends(&cluster);
        let hello = said(&mut client);
        hears(&mut server, &hello[..hello.len() * part / 20]).unwrap();
        assert!(server.is_handshaking() && said(&mut server).is_empty());

        let (mut client, mut server) = ends(&cluster);
        carry(&mut client, &mut server).unwrap();
        let answer = said(&mut server);
        hears(&mut client, &answer[..answer.len() * part / 20]).unwrap();
        assert!(client.is_handshaking());
    }
}

/// A pair whose handshake is done, and a record that the client sealed for the server.
fn record(cluster: &Cluster) -> (ServerConnection, Vec<u8>) {
    let (mut client, mut server) = ends(cluster);
    carry(&mut client, &mut server).unwrap();
    finish(&mut client, &mut server).unwrap();
    client.writer().write_all(&[0x5a; 300]).unwrap();
    (server, said(&mut client))
}

#[test]
fn records_altered_truncated_or_repeated_do_not_open() {
    let cluster = Cluster::new();
    for place in (RECORD_HEADER_BYTES..300 + 22).step_by(29) {
        let (mut server, mut record) = record(&cluster);
        record[place] ^= 1;
        assert_eq!(hears(&mut server, &record), Err(Error::DecryptError));
        assert!(server.reader().read(&mut [0]).is_err(), "nothing came out");
    }
    for length in [0, 1, 15, 16, 17, 100] {
        let (mut server, mut record) = record(&cluster);
        record.truncate(RECORD_HEADER_BYTES + length);
        record[3..5].copy_from_slice(&(length as u16).to_be_bytes());
        let refused = hears(&mut server, &record).unwrap_err();
        // A record without a body is malformed before anything is decrypted.
        let malformed = matches!(refused, Error::InvalidMessage(_));
        assert!(
            refused == Error::DecryptError || (length == 0 && malformed),
            "{refused}"
        );
    }
    let (mut server, record) = record(&cluster);
    hears(&mut server, &record).unwrap();
    assert_eq!(hears(&mut server, &record), Err(Error::DecryptError));
}

#[test]
fn records_longer_than_any_are_refused() {
    let cluster = Cluster::new();
    let long = |length: usize, body: usize| {
        let mut long = vec![0x17, 3, 3];
        long.extend_from_slice(&(length as u16).to_be_bytes());
        long.resize(RECORD_HEADER_BYTES + body, 0);
        long
    };
    // By their header, before a byte of the body is waited for.
    for length in [RECORD_READ_BYTES_MAX, usize::from(u16::MAX)] {
        let (mut server, _) = record(&cluster);
        let refused = hears(&mut server, &long(length, 0)).unwrap_err();
        assert!(matches!(refused, Error::InvalidMessage(_)), "{refused}");
    }
    let (mut server, _) = record(&cluster);
    let length = RECORD_BYTES_MAX + 1;
    let refused = hears(&mut server, &long(length, length)).unwrap_err();
    assert_eq!(refused, Error::DecryptError);
}

/// A key exchange that sends what it was told to.
#[derive(Debug)]
struct Bad {
    group: u16,
    share: Vec<u8>,
}

impl SupportedKxGroup for Bad {
    fn start(&self) -> Result<Box<dyn ActiveKeyExchange>, Error> {
        let (group, share) = (self.group, self.share.clone());
        Ok(Box::new(Self { group, share }))
    }

    fn start_and_complete(&self, _: &[u8]) -> Result<CompletedKeyExchange, Error> {
        Ok(CompletedKeyExchange {
            group: NamedGroup::Unknown(self.group),
            pub_key: self.share.clone(),
            secret: SharedSecret::from(&[0; 32][..]),
        })
    }

    fn name(&self) -> NamedGroup {
        NamedGroup::Unknown(self.group)
    }
}

impl ActiveKeyExchange for Bad {
    fn complete(self: Box<Self>, _: &[u8]) -> Result<SharedSecret, Error> {
        Ok(SharedSecret::from(&[0; 32][..]))
    }

    fn pub_key(&self) -> &[u8] {
        &self.share
    }

    fn group(&self) -> NamedGroup {
        NamedGroup::Unknown(self.group)
    }
}

#[test]
fn key_shares_that_are_none_are_refused_by_both_ends() {
    let hybrid = hybrid::CurveSm2MlKem768.start().unwrap().pub_key().to_vec();
    let point = hybrid[..65].to_vec();
    let mut off_curve = point.clone();
    off_curve[40] ^= 1;
    let mut unreduced = hybrid.clone();
    unreduced[65..68].fill(0xff);
    let with_off_curve = [&off_curve, &hybrid[65..]].concat();
    let cases: [(u16, &[u8]); 10] = [
        (GROUP, &[0]), // the point at infinity
        (GROUP, &off_curve),
        (GROUP, &point[..64]),
        (GROUP, &[0x04; 66]),
        (GROUP, &[&[0x02], &point[1..33]].concat()), // compressed: not in RFC 8998
        (HYBRID_GROUP, &point),
        (HYBRID_GROUP, &hybrid[..hybrid.len() - 1]),
        (HYBRID_GROUP, &[&hybrid[..], &[0]].concat()),
        (HYBRID_GROUP, &unreduced),
        (HYBRID_GROUP, &with_off_curve),
    ];
    let cluster = Cluster::new();
    let identity = cluster.identity(Usage::Tls);
    for (index, (group, share)) in cases.into_iter().enumerate() {
        let share = share.to_vec();
        // rustls wants groups that live for ever; a test may leak them.
        let bad: &'static Bad = Box::leak(Box::new(Bad { group, share }));
        let provider = Arc::new(CryptoProvider {
            kx_groups: vec![bad],
            ..(*provider()).clone()
        });
        let invalid = Error::PeerMisbehaved(PeerMisbehaved::InvalidKeyShare);

        let client = ClientConfig::builder_with_provider(provider.clone())
            .with_protocol_versions(&[&version::TLS13])
            .unwrap()
            .with_root_certificates(roots(&cluster.roots).unwrap())
            .with_no_client_auth();
        let refused = handshake(client, cluster.server()).unwrap_err();
        assert_eq!(refused, invalid, "client's share {index}");

        // An unreduced ciphertext cannot exist; every other case can come from a server too.
        if group == HYBRID_GROUP && bad.share.len() == hybrid.len() {
            continue;
        }
        let server = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&version::TLS13])
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(chain(&identity.chain), private_key(&identity))
            .unwrap();
        let refused = handshake(cluster.client(), server).unwrap_err();
        assert_eq!(refused, invalid, "server's share {index}");
    }
}
