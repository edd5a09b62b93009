//! QUIC settings common to mesh and door, with the reason for each.

use std::{sync::Arc, time::Duration};

use guitai_crypto::sm3::HmacKey;
use guitai_types::limits::MEDIA_STREAMS_MAX;
use quinn::{
    EndpointConfig, IdleTimeout, TransportConfig, VarInt,
    crypto::{CryptoError, HmacKey as ResetKey},
};
use quinn_proto::RandomConnectionIdGenerator;

use crate::TUNNEL_ALPN;

/// A connection that says nothing sends a sign of life this often, in milliseconds.
pub const KEEP_ALIVE_MS: u64 = 4_000;
/// A connection that hears nothing for so long is lost, in milliseconds. More than two signs of
/// life, so that one lost packet ends nothing.
pub const IDLE_MS_MAX: u32 = 10_000;
/// The same for tunnels and media, set by the inner node that dials: an edge must know soon that a core
/// node is gone, because customers' questions wait for it; a relay that another relay is gone, because
/// until then it offers broadcasts nobody can reach.
pub const TUNNEL_KEEP_ALIVE_MS: u64 = 500;
/// Idle time of a tunnel and of a media link, in milliseconds.
pub const TUNNEL_IDLE_MS_MAX: u32 = 2_000;
/// A door's connection that says nothing sends a sign of life this often, in milliseconds.
pub const DOOR_KEEP_ALIVE_MS: u64 = 1_000;
/// Idle time of a page's media connection, in milliseconds: a page whose door is dead, and a door whose
/// page is gone, both know by then. Longer than a tunnel's: radio networks pause for seconds.
pub const DOOR_IDLE_MS_MAX: u32 = 4_000;
/// What a line between nodes is taken to need there and back before it was measured, in milliseconds. RFC 9002
/// (6.2.2) begins with 333, so a handshake that loses a packet stands still for a second; between a bank's
/// centres a round trip of 50 is long, and now it is sent again after 300.
const MESH_RTT_FIRST_MS: u64 = 100;
/// Streams each way of a stranger's connection: those of HTTP/3 and the request, or of a MoQ handshake.
const STRANGER_STREAMS_MAX: u32 = 16;
/// Bytes that a stranger may send before it is read, on all streams together.
const STRANGER_WINDOW_BYTES: u32 = 64 * 1024;
/// The same for who has shown a ticket, and what is sent to a page and not acknowledged: seconds of a 1080p call.
const WINDOW_BYTES: u32 = 8 * 1024 * 1024;
/// Bytes of a handshake that wait for others before them; a client's first flight is under 4 KiB.
const HANDSHAKE_BYTES_MAX: usize = 16 * 1024;
/// Bytes of datagrams that wait to be read; nothing of ours sends any.
const DATAGRAM_BYTES_MAX: usize = 64 * 1024;
/// First packets that wait until somebody looks at them.
const INCOMING_MAX: usize = 1_024;
/// Bytes of each that may wait, and a quarter of them all together.
const INCOMING_BYTES_MAX: u64 = 16 * 1024;
/// Wanted receive buffer of a door's socket in bytes: a tenth of a second of a flood.
const SOCKET_BYTES: usize = 4 * 1024 * 1024;
/// Connections that the kernel has taken and nobody has let in yet; it holds fewer where it is told to.
const BACKLOG: i32 = 4_096;
/// Bytes that the kernel holds of what is sent to one reader over TCP.
const SEND_BYTES: usize = 256 * 1024;
/// ALPNs of ours begin so; every other one on the mesh is media.
const OWN_ALPN_PREFIX: &str = "guitai-";
/// Length of our connection ids in bytes; long enough that a stateless reset cannot be mistaken.
const CONNECTION_ID_BYTES: usize = 8;

const _: () = assert!(IDLE_MS_MAX as u64 > 2 * KEEP_ALIVE_MS);
const _: () = assert!(TUNNEL_IDLE_MS_MAX as u64 > 2 * TUNNEL_KEEP_ALIVE_MS);
const _: () = assert!(DOOR_IDLE_MS_MAX as u64 > 2 * DOOR_KEEP_ALIVE_MS);

/// Settings of a connection this end dials for `alpn`.
pub(crate) fn dialling(alpn: &str) -> Arc<TransportConfig> {
    if alpn == TUNNEL_ALPN || !alpn.starts_with(OWN_ALPN_PREFIX) {
        mesh(TUNNEL_KEEP_ALIVE_MS, TUNNEL_IDLE_MS_MAX)
    } else {
        accepting()
    }
}

/// Settings of accepted connections of the mesh. The shorter idle time of the two ends holds.
fn accepting() -> Arc<TransportConfig> {
    mesh(KEEP_ALIVE_MS, IDLE_MS_MAX)
}

fn mesh(keep_alive_ms: u64, idle_ms_max: u32) -> Arc<TransportConfig> {
    let mut config = config(keep_alive_ms, idle_ms_max);
    config.initial_rtt(Duration::from_millis(MESH_RTT_FIRST_MS));
    Arc::new(config)
}

/// Streams, signs of life and idle time. Datagrams and MTU discovery stay as quinn has them.
fn config(keep_alive_ms: u64, idle_ms_max: u32) -> TransportConfig {
    let mut config = TransportConfig::default();
    config
        .max_concurrent_bidi_streams(VarInt::from_u32(MEDIA_STREAMS_MAX))
        .max_concurrent_uni_streams(VarInt::from_u32(MEDIA_STREAMS_MAX))
        .keep_alive_interval(Some(Duration::from_millis(keep_alive_ms)))
        .max_idle_timeout(Some(IdleTimeout::from(VarInt::from_u32(idle_ms_max))));
    config
}

/// What accepts, with the transport settings.
pub(crate) fn server(crypto: Arc<dyn quinn::crypto::ServerConfig>) -> quinn::ServerConfig {
    // Resumed or not, every handshake stays one round trip (no 0-RTT), so tokens for returning peers
    // would save nothing: defaults otherwise.
    let mut config = quinn::ServerConfig::with_crypto(crypto);
    config.transport_config(accepting());
    config
}

/// The same for a door: with the room that a stranger gets.
pub(crate) fn door(crypto: Arc<dyn quinn::crypto::ServerConfig>) -> quinn::ServerConfig {
    let mut transport = config(DOOR_KEEP_ALIVE_MS, DOOR_IDLE_MS_MAX);
    transport
        .max_concurrent_bidi_streams(VarInt::from_u32(STRANGER_STREAMS_MAX))
        .max_concurrent_uni_streams(VarInt::from_u32(STRANGER_STREAMS_MAX))
        .receive_window(VarInt::from_u32(STRANGER_WINDOW_BYTES))
        .send_window(WINDOW_BYTES.into())
        .crypto_buffer_size(HANDSHAKE_BYTES_MAX)
        .datagram_receive_buffer_size(Some(DATAGRAM_BYTES_MAX));
    let mut server = quinn::ServerConfig::with_crypto(crypto);
    server
        .transport_config(Arc::new(transport))
        .max_incoming(INCOMING_MAX)
        .incoming_buffer_size(INCOMING_BYTES_MAX)
        .incoming_buffer_size_total(INCOMING_BYTES_MAX * INCOMING_MAX as u64 / 4);
    server
}

/// Gives a door's connection the room that media take.
pub(crate) fn make_room(connection: &quinn::Connection) {
    connection.set_receive_window(VarInt::from_u32(WINDOW_BYTES));
    connection.set_max_concurrent_bi_streams(VarInt::from_u32(MEDIA_STREAMS_MAX));
    connection.set_max_concurrent_uni_streams(VarInt::from_u32(MEDIA_STREAMS_MAX));
}

/// Lets the kernel hold more of what comes in while others are served, as far as it permits.
pub(crate) fn widen(socket: &std::net::UdpSocket) {
    if let Err(error) = rustix::net::sockopt::set_socket_recv_buffer_size(socket, SOCKET_BYTES) {
        tracing::debug!(%error, "the receive buffer stays as it is");
    }
}

/// A TCP listener of a door: more newcomers wait in the kernel while others are let in, and a reader that does not read
/// makes it hold no more than this.
pub fn widen_listener(listener: &impl std::os::fd::AsFd) {
    let widened = rustix::net::sockopt::set_socket_send_buffer_size(listener, SEND_BYTES)
        .and_then(|()| rustix::net::listen(listener, BACKLOG));
    if let Err(error) = widened {
        tracing::debug!(%error, "the listener stays as it is");
    }
}

/// An endpoint whose stateless reset tokens follow from `secret`. With a secret that outlives the
/// process, a node that restarts tells its peers at once that the old connections are gone,
/// instead of leaving them to their idle timeout. Connection ids carry no check of their own:
/// with one drawn per process, packets of old connections would be dropped, not answered.
pub(crate) fn endpoint(secret: &[u8]) -> EndpointConfig {
    let key = HmacKey::new(&guitai_crypto::sm3::hmac(secret, &[RESET_LABEL]));
    let mut config = EndpointConfig::new(Arc::new(Reset(key)));
    config.cid_generator(|| Box::new(RandomConnectionIdGenerator::new(CONNECTION_ID_BYTES)));
    config
}

const RESET_LABEL: &[u8] = b"guitai stateless reset 1";

struct Reset(HmacKey);

impl ResetKey for Reset {
    fn sign(&self, data: &[u8], signature_out: &mut [u8]) {
        signature_out.copy_from_slice(&self.0.tag(&[data]));
    }

    fn signature_len(&self) -> usize {
        guitai_crypto::sm3::DIGEST_BYTES
    }

    /// Only tokens are derived from this key; nobody presents one to be checked, and so nothing
    /// here needs constant time.
    fn verify(&self, data: &[u8], signature: &[u8]) -> Result<(), CryptoError> {
        if self.0.tag(&[data]) == signature {
            Ok(())
        } else {
            Err(CryptoError)
        }
    }
}
