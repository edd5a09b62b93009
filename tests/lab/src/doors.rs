//! Forwards the nodes' doors to this machine: `127.1.2.1:4443` of a namespace's loopback appears at the
//! same address of the host's, TCP and UDP, so that a browser has a secure context and the addresses a
//! node hands out are right. A gateway of the bank's stands there in a real deployment.

use std::{
    collections::BTreeMap,
    io,
    net::{SocketAddr, TcpStream as StdTcp, UdpSocket as StdUdp},
    sync::Arc,
    time::Duration,
};

use tokio::{
    net::{TcpListener, TcpStream, UdpSocket},
    runtime::Runtime,
    sync::mpsc,
};

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
/// A loopback connection is made or refused at once.
const CONNECT_MAX: Duration = Duration::from_secs(2);

/// The forwarders of all doors; they end when this is dropped.
#[derive(Debug)]
pub(crate) struct Doors {
    runtime: Option<Runtime>,
}

impl Doors {
    /// Opens every door on this machine.
    pub(crate) fn open(doors: Vec<(SocketAddr, Inside)>) -> Result<Self, LabError> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .map_err(io_error("start", "the forwarders of the doors"))?;
        for (door, inside) in doors {
            let open = async { Ok((TcpListener::bind(door).await?, UdpSocket::bind(door).await?)) };
            let at = door.to_string();
            let (tcp, udp) = runtime
                .block_on(open)
                .map_err(io_error("open the door", &at))?;
            runtime.spawn(connections(tcp, door, inside.clone()));
            runtime.spawn(datagrams(Arc::new(udp), door, inside));
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

async fn connections(listener: TcpListener, door: SocketAddr, inside: Inside) {
    loop {
        let Ok((mut outer, _)) = listener.accept().await else {
            tokio::time::sleep(Duration::from_millis(10)).await;
            continue;
        };
        let inside = inside.clone();
        tokio::spawn(async move {
            // A node that is off refuses; the caller sees its connection closed.
            if let Ok(mut inner) = connect(door, inside).await {
                drop(outer.set_nodelay(true));
                drop(tokio::io::copy_bidirectional(&mut outer, &mut inner).await);
            }
        });
    }
}

async fn connect(door: SocketAddr, inside: Inside) -> io::Result<TcpStream> {
    let made = tokio::task::spawn_blocking(move || {
        inside.run(move || StdTcp::connect_timeout(&door, CONNECT_MAX))
    });
    let stream = made.await?.map_err(io::Error::other)??;
    stream.set_nonblocking(true)?;
    stream.set_nodelay(true)?;
    TcpStream::from_std(stream)
}

async fn datagrams(outer: Arc<UdpSocket>, door: SocketAddr, inside: Inside) {
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
            let Ok(inner) = flow_socket(door, inside.clone()).await else {
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

async fn flow_socket(door: SocketAddr, inside: Inside) -> io::Result<UdpSocket> {
    let made = tokio::task::spawn_blocking(move || {
        inside.run(move || {
            let socket = StdUdp::bind(("127.0.0.1", 0))?;
            socket.connect(door)?;
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
