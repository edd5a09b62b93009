//! Gives evidence packages out: to this node's API, and to other nodes over the mesh.

use std::{
    io::{self, Write},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use futures::{Stream, StreamExt as _};
use guitai_evidence::{TarSink, attach::Attached};
use guitai_net::{BoxFuture, Calls, Peer, SendStream, VarInt};
use guitai_types::SessionId;
use tokio::sync::mpsc;

use crate::{Recorder, attaching, copies, keeper, package, package::Sealed, vault::Vault};

/// Kind of the streaming call that exports a package; its body is the session id.
pub const EXPORT_CALL: &str = "recording.export";

/// Pieces of a package made ahead of its reader.
const PIECES_MAX: usize = 8;
/// Bytes of a piece.
const PIECE_BYTES: usize = 128 * 1024;
/// Code of a stream that was broken off: what arrived is not a package.
const CODE_BROKEN: VarInt = VarInt::from_u32(1);

/// Why there is no package.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// Not kept here.
    #[error("no recording of session {0} on this node")]
    Unknown(SessionId),
    /// Its key is destroyed.
    #[error("the recording of session {0} was erased")]
    Erased(SessionId),
    /// Still running.
    #[error("the recording of session {0} is not sealed yet")]
    NotSealed(SessionId),
    /// This node does not have that film of it.
    #[error("no film {1} of session {0} on this node")]
    NoFilm(SessionId, u32),
    /// It cannot be read.
    #[error("the recording of session {session} cannot be read")]
    Read {
        /// Which.
        session: SessionId,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// A package as it is made: pieces of a tar stream. An error in it means that it is not complete,
/// and names the file of the recording that has changed.
pub struct Package {
    pieces: mpsc::Receiver<io::Result<Bytes>>,
}

impl Package {
    /// A package whose pieces `make` sends, on a thread that may block.
    pub(crate) fn made_by(
        make: impl FnOnce(&mpsc::Sender<io::Result<Bytes>>) + Send + 'static,
    ) -> Self {
        let (sender, pieces) = mpsc::channel(PIECES_MAX);
        tokio::task::spawn_blocking(move || make(&sender));
        Self { pieces }
    }
}

impl Stream for Package {
    type Item = io::Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.pieces.poll_recv(context)
    }
}

impl Recorder {
    /// The evidence package of a sealed recording, as a tar stream. Where this node has a replica of another
    /// node's recording it is that one: what this node itself had is damaged or was never there.
    pub async fn export(&self, session: &SessionId) -> Result<Package, ExportError> {
        if self.shared.is_ending(session) || self.shared.shelf.is_erased(session).unwrap_or(false) {
            return Err(ExportError::Erased(session.clone()));
        }
        if let Some(package) = copies::replica(&self.shared, session).await? {
            return Ok(package);
        }
        if self.stat(session).is_none() {
            return Err(ExportError::Unknown(session.clone()));
        }
        let (shelf, id) = (self.shared.shelf.clone(), session.clone());
        let read = tokio::task::spawn_blocking(move || -> io::Result<_> {
            let (vault, journal) = shelf.open::<keeper::Record>(&id)?;
            let sealed = vault.document::<Sealed>(keeper::SEAL)?;
            Ok((vault, journal, sealed))
        });
        let read = read
            .await
            .unwrap_or_else(|error| Err(io::Error::other(error)));
        let (vault, journal, sealed) = read.map_err(|source| {
            let session = session.clone();
            ExportError::Read { session, source }
        })?;
        let Some(sealed) = sealed else {
            return Err(ExportError::NotSealed(session.clone()));
        };
        let attached = attaching::attached(&self.shared, &vault, &sealed).await;
        let attached = attached.map_err(|source| {
            let session = session.clone();
            ExportError::Read { session, source }
        })?;
        Ok(Package::made_by(move |sender| {
            write(&vault, &journal, &sealed, attached.as_ref(), sender);
        }))
    }
}

/// Answers [`EXPORT_CALL`]. Only inner nodes reach it: the ALPN is closed to other zones.
pub(crate) fn register(calls: &Calls, recorder: &Recorder) {
    // Weak: the router outlives the recorder in some assemblies, and must not keep its disk open.
    let shared = Arc::downgrade(&recorder.shared);
    calls.register_stream(
        EXPORT_CALL,
        Arc::new(move |peer: Peer, body: Vec<u8>| {
            let shared = shared.clone();
            Box::pin(async move {
                let shared = shared.upgrade().ok_or("the recorder has stopped")?;
                let session = String::from_utf8(body)
                    .ok()
                    .and_then(|id| SessionId::try_from(id).ok());
                let session = session.ok_or("not a session id")?;
                let package = Recorder { shared }.export(&session).await;
                let package = package.map_err(|error| error.to_string())?;
                tracing::info!(%session, %peer, "package exported to another node");
                Ok(Box::new(move |send| send_all(package, send))
                    as guitai_net::calls::StreamWriter)
            })
        }),
    );
}

pub(crate) fn send_all(mut package: Package, mut send: SendStream) -> BoxFuture<'static, ()> {
    Box::pin(async move {
        while let Some(piece) = package.next().await {
            let sent = match piece {
                Ok(piece) => send.write_all(&piece).await.map_err(io::Error::other),
                Err(error) => Err(error),
            };
            if let Err(error) = sent {
                tracing::error!(%error, "package not sent to its end");
                // Already closed means that the reader is gone: there is nobody to warn.
                let _closed = send.reset(CODE_BROKEN);
                return;
            }
        }
    })
}

fn write(
    vault: &Vault,
    journal: &[keeper::Record],
    sealed: &Sealed,
    attached: Option<&Attached>,
    sender: &mpsc::Sender<io::Result<Bytes>>,
) {
    let segments = keeper::segments(journal);
    let out = io::BufWriter::with_capacity(
        PIECE_BYTES,
        Pieces {
            sender: sender.clone(),
        },
    );
    if let Err(error) = package::export(vault, &segments, sealed, attached, TarSink::new(out)) {
        // Refused when the reader is gone, who then needs no reason.
        let _told = sender.blocking_send(Err(io::Error::other(error)));
    }
}

/// Hands a tar stream over in pieces; waits for its reader.
struct Pieces {
    sender: mpsc::Sender<io::Result<Bytes>>,
}

impl Write for Pieces {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        let sent = self.sender.blocking_send(Ok(Bytes::copy_from_slice(data)));
        sent.map_err(|_| io::Error::from(io::ErrorKind::BrokenPipe))?;
        Ok(data.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
