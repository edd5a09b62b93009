//! Forwards the nodes' doors to this machine: `127.1.2.1:4443` of a namespace's loopback appears at the
//! same address of the host's, TCP and UDP, so that a browser has a secure context and the addresses a
//! node hands out are right. A gateway of the bank's stands there in a real deployment; where guests are on the WAN, so
//! it does here: TCP crosses the WAN in TLS, and UDP as it is, since QUIC is sealed.

use std::{
    collections::BTreeMap,
    io,
    net::{
        Ipv4Addr, SocketAddr, TcpListener as StdListener, TcpStream as StdTcp, UdpSocket as StdUdp,
    },
    sync::Arc,
    time::Duration,
};

use rustls::pki_types::ServerName;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream, UdpSocket},
    runtime::Runtime,
    sync::mpsc,
};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use crate::{
    error::{LabError, io_error},
    namespace::Inside,
};

/// A flow of datagrams that was silent so long is forgotten.
const FLOW_IDLE: Duration = Duration::from_secs(60);
/// Flows of datagrams at one door; more are not answered.
const FLOWS_MAX: usize = 1_024;
/// Datagrams that wait for one flow.
const FLOW_QUEUE_MAX: usize = 512;
/// Longest datagram.
const DATAGRAM_BYTES_MAX: usize = 65_535;
/// A connection is made or refused at once; one whose packets a filter drops ends here.
const CONNECT_MAX: Duration = Duration::from_secs(2);

/// One forwarder: from an address somewhere to an address somewhere else.
#[derive(Clone)]
pub(crate) struct Way {
    /// Where it listens.
    pub(crate) at: SocketAddr,
    /// In which namespace; this machine's unless given.
    pub(crate) entry: Option<Inside>,
    /// In which namespace it dials.
    pub(crate) inside: Inside,
    /// Whom.
    pub(crate) to: SocketAddr,
    /// What it does to TCP.
    pub(crate) tls: Tls,
}

/// What a forwarder does to TCP.
#[derive(Clone)]
pub(crate) enum Tls {
    /// Nothing.
    Plain,
    /// It ends the dialler's TLS, as a gateway before a node.
    Ends(TlsAcceptor),
    /// It begins TLS, as a browser.
    Begins(TlsConnector),
}

/// The forwarders of all doors; they end when this is dropped.
#[derive(Debug)]
pub(crate) struct Doors {
    runtime: Option<Runtime>,
}

impl Doors {
    /// Opens every way.
    pub(crate) fn open(ways: Vec<Way>) -> Result<Self, LabError> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .map_err(io_error("start", "the forwarders of the doors"))?;
        for way in ways {
            let at = way.at.to_string();
            let bind = {
                let at = way.at;
                move || {
                    let (tcp, udp) = (StdListener::bind(at)?, StdUdp::bind(at)?);
                    tcp.set_nonblocking(true)?;
                    udp.set_nonblocking(true)?;
                    Ok::<_, io::Error>((tcp, udp))
                }
            };
            let bound = match &way.entry {
                Some(entry) => entry.run(bind)?,
                None => bind(),
            };
            let open = async {
                let (tcp, udp) = bound?;
                Ok((TcpListener::from_std(tcp)?, UdpSocket::from_std(udp)?))
            };
            let (tcp, udp) = runtime
                .block_on(open)
                .map_err(io_error("open the door", &at))?;
            runtime.spawn(connections(tcp, way.clone()));
            runtime.spawn(datagrams(Arc::new(udp), way));
        }
        Ok(Self {
            runtime: Some(runtime),
        })
    }
}

impl Drop for Doors {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_timeout(CONNECT_MAX);
        }
    }
}

async fn connections(listener: TcpListener, way: Way) {
    loop {
        let Ok((outer, _)) = listener.accept().await else {
            tokio::time::sleep(Duration::from_millis(10)).await;
            continue;
        };
        let way = way.clone();
        tokio::spawn(async move {
            // A node that is off refuses; the caller sees its connection closed.
            drop(carry(outer, way).await);
        });
    }
}

async fn carry(outer: TcpStream, way: Way) -> io::Result<()> {
    outer.set_nodelay(true)?;
    match way.tls.clone() {
        Tls::Plain => join(outer, connect(&way).await?).await,
        Tls::Ends(tls) => {
            let outer = tls.accept(outer).await?;
            join(outer, connect(&way).await?).await
        }
        Tls::Begins(tls) => {
            let inner = connect(&way).await?;
            let inner = tls.connect(ServerName::from(way.to.ip()), inner).await?;
            join(outer, inner).await
        }
    }
}

async fn join(
    mut outer: impl AsyncRead + AsyncWrite + Unpin,
    mut inner: impl AsyncRead + AsyncWrite + Unpin,
) -> io::Result<()> {
    tokio::io::copy_bidirectional(&mut outer, &mut inner).await?;
    Ok(())
}

async fn connect(way: &Way) -> io::Result<TcpStream> {
    let (to, inside) = (way.to, way.inside.clone());
    let made = tokio::task::spawn_blocking(move || {
        inside.run(move || StdTcp::connect_timeout(&to, CONNECT_MAX))
    });
    let stream = made.await?.map_err(io::Error::other)??;
    stream.set_nonblocking(true)?;
    stream.set_nodelay(true)?;
    TcpStream::from_std(stream)
}

async fn datagrams(outer: Arc<UdpSocket>, way: Way) {
    let mut flows: BTreeMap<SocketAddr, mpsc::Sender<Vec<u8>>> = BTreeMap::new();
    let mut buffer = vec![0; DATAGRAM_BYTES_MAX];
    loop {
        // An error is about a datagram sent before, to somebody who is gone.
        let Ok((bytes, from)) = outer.recv_from(&mut buffer).await else {
            continue;
        };
        flows.retain(|_, flow| !flow.is_closed());
        if !flows.contains_key(&from) {
            if flows.len() >= FLOWS_MAX {
                continue;
            }
            let Ok(inner) = flow_socket(&way).await else {
                continue;
            };
            let (sender, receiver) = mpsc::channel(FLOW_QUEUE_MAX);
            tokio::spawn(flow(Arc::clone(&outer), from, inner, receiver));
            flows.insert(from, sender);
        }
        if let Some(flow) = flows.get(&from) {
            // A full queue drops, as the network does.
            drop(flow.try_send(buffer.get(..bytes).unwrap_or_default().to_vec()));
        }
    }
}

async fn flow_socket(way: &Way) -> io::Result<UdpSocket> {
    let (to, inside) = (way.to, way.inside.clone());
    let made = tokio::task::spawn_blocking(move || {
        inside.run(move || {
            let socket = StdUdp::bind((Ipv4Addr::UNSPECIFIED, 0))?;
            socket.connect(to)?;
            socket.set_nonblocking(true)?;
            Ok::<_, io::Error>(socket)
        })
    });
    UdpSocket::from_std(made.await?.map_err(io::Error::other)??)
}

async fn flow(
    outer: Arc<UdpSocket>,
    client: SocketAddr,
    inner: UdpSocket,
    mut from_client: mpsc::Receiver<Vec<u8>>,
) {
    let mut buffer = vec![0; DATAGRAM_BYTES_MAX];
    loop {
        tokio::select! {
            datagram = from_client.recv() => {
                let Some(datagram) = datagram else { return };
                drop(inner.send(&datagram).await);
            }
            got = inner.recv(&mut buffer) => {
                // A node that is off answers with an ICMP error; it may be back later.
                if let Ok(bytes) = got {
                    drop(outer.send_to(buffer.get(..bytes).unwrap_or_default(), client).await);
                }
            }
            () = tokio::time::sleep(FLOW_IDLE) => return,
        }
    }
}
