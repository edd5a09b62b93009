//! Holding nodes apart in a drill: what is sent to or comes from certain addresses is dropped below
//! QUIC, so that everything above sees what a dead node or a cut line looks like: silence.

use std::{
    collections::BTreeSet,
    io::{self, IoSliceMut},
    net::SocketAddr,
    pin::Pin,
    sync::{Arc, PoisonError, RwLock},
    task::{Context, Poll},
};

use quinn::{
    AsyncUdpSocket, UdpPoller,
    udp::{RecvMeta, Transmit},
};

/// Addresses a node is held apart from, each way.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Apart {
    /// What is sent there is lost.
    pub mute_to: BTreeSet<SocketAddr>,
    /// What comes from there is lost.
    pub deaf_to: BTreeSet<SocketAddr>,
}

impl Apart {
    /// Nothing is held apart.
    pub fn is_empty(&self) -> bool {
        self.mute_to.is_empty() && self.deaf_to.is_empty()
    }
}

/// The present order, shared by the mesh and its socket.
#[derive(Debug, Clone, Default)]
pub(crate) struct Order(Arc<RwLock<Apart>>);

impl Order {
    pub(crate) fn set(&self, apart: Apart) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = apart;
    }

    pub(crate) fn get(&self) -> Apart {
        self.0
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn is_mute_to(&self, to: &SocketAddr) -> bool {
        let apart = self.0.read().unwrap_or_else(PoisonError::into_inner);
        !apart.mute_to.is_empty() && apart.mute_to.contains(to)
    }

    fn is_deaf_to(&self, from: &SocketAddr) -> bool {
        let apart = self.0.read().unwrap_or_else(PoisonError::into_inner);
        !apart.deaf_to.is_empty() && apart.deaf_to.contains(from)
    }
}

/// A UDP socket that obeys an [`Order`].
#[derive(Debug)]
pub(crate) struct Socket {
    pub(crate) real: Arc<dyn AsyncUdpSocket>,
    pub(crate) order: Order,
}

impl AsyncUdpSocket for Socket {
    fn create_io_poller(self: Arc<Self>) -> Pin<Box<dyn UdpPoller>> {
        self.real.clone().create_io_poller()
    }

    fn try_send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        if self.order.is_mute_to(&transmit.destination) {
            return Ok(());
        }
        self.real.try_send(transmit)
    }

    fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        let received = self.real.poll_recv(cx, bufs, meta);
        if let Poll::Ready(Ok(count)) = &received {
            for meta in meta.iter_mut().take(*count) {
                // A datagram without bytes is skipped by quinn.
                if self.order.is_deaf_to(&meta.addr) {
                    meta.len = 0;
                }
            }
        }
        received
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.real.local_addr()
    }

    fn max_transmit_segments(&self) -> usize {
        self.real.max_transmit_segments()
    }

    fn max_receive_segments(&self) -> usize {
        self.real.max_receive_segments()
    }

    fn may_fragment(&self) -> bool {
        self.real.may_fragment()
    }
}
