//! Whether what was sealed can still be read, and replicas of what others sealed.
//!
//! A copy is read by giving its package out to nobody: every byte is opened, hashed and compared with what was
//! signed. What cannot be read is told to the cluster, which has somebody else keep a replica. A replica is a
//! package as its recorder gave it out, in pieces under a key of its own; the note that says how long it is, and
//! with which digest, is written last, so that half a replica is none.

use std::{io, sync::Arc, time::Duration};

use bytes::{Buf as _, Bytes, BytesMut};
use futures::{StreamExt as _, stream::BoxStream};
use guitai_crypto::sm3;
use guitai_meta::Meta;
use guitai_net::{BoxFuture, CallError, Calls, Mesh, Peer, Target};
use guitai_types::{
    Hex, NodeName, SessionId,
    limits::DAMAGE_BYTES_MAX,
    problem::chain,
    retention::{Found, KeepOrder, Reading},
};
use serde::{Deserialize, Serialize};
use tokio::{sync::mpsc, task};

use crate::{
    RECONCILE, Recorder, Shared,
    export::{EXPORT_CALL, ExportError, Package},
    sinking,
    vault::Vault,
};

/// Kind of the streaming call that reads a copy through; its body is the session id, its answer a [`Reading`] as
/// JSON.
pub const READ_CALL: &str = "recording.read";
/// Where replicas are kept among the recordings; no session has such a name.
pub(crate) const DIR: &str = "_copies";
/// Name of the sealed document that says what a replica is.
const NOTE: &str = "replica";
/// The pieces of a replica lie where a recording has the segments of its first track.
const TRACK: u32 = 1;
/// Bytes of a piece.
const PIECE_BYTES: usize = 1024 * 1024;
/// Largest replica in bytes.
const REPLICA_BYTES_MAX: u64 = 64 * 1024 * 1024 * 1024;
/// How often it is looked which copies have not been read for long.
const LOOK: Duration = Duration::from_secs(60);
/// Copies are read again no faster than this, in bytes a second: calls that are being recorded come first.
const READ_BYTES_PER_S: u64 = 16 * 1024 * 1024;
/// Bytes read from another node at once.
const CHUNK_BYTES: usize = 64 * 1024;

/// What a replica is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Replica {
    /// Format version, 1.
    v: u16,
    /// Whose recording.
    from: NodeName,
    pieces: u32,
    bytes: u64,
    /// Of all its bytes.
    sm3: Hex,
}

/// A package on its way from another node.
pub type Pieces = BoxStream<'static, io::Result<Bytes>>;

/// Asks another node for the package of a session.
///
/// # Errors
/// The node is not reached, or refuses.
pub async fn fetch(mesh: &Mesh, target: &Target, session: &SessionId) -> Result<Pieces, CallError> {
    let body = session.as_str().as_bytes().to_vec();
    let asked = mesh.ask_stream(target, EXPORT_CALL, body).await?;
    let pieces = futures::stream::try_unfold(asked, async |mut stream| {
        let chunk = stream.read_chunk(CHUNK_BYTES, true).await;
        let chunk = chunk.map_err(io::Error::other)?;
        Ok(chunk.map(|chunk| (chunk.bytes, stream)))
    });
    Ok(pieces.boxed())
}

/// The other recorders. A cluster's in a node, a script's in the tests.
pub(crate) trait Siblings: Send + Sync {
    /// The package of a session from one of them.
    fn package(
        &self,
        from: &NodeName,
        session: &SessionId,
    ) -> BoxFuture<'static, Result<Pieces, String>>;
}

/// The nodes of the cluster.
pub(crate) struct Members {
    pub(crate) meta: Meta,
    pub(crate) mesh: Mesh,
}

impl Siblings for Members {
    fn package(
        &self,
        from: &NodeName,
        session: &SessionId,
    ) -> BoxFuture<'static, Result<Pieces, String>> {
        let target = self.meta.peek(|state| state.member(from).map(Target::from));
        let (mesh, session, from) = (self.mesh.clone(), session.clone(), from.clone());
        Box::pin(async move {
            let target = target.ok_or_else(|| format!("{from} is no member"))?;
            let fetched = fetch(&mesh, &target, &session).await;
            fetched.map_err(|error| error.to_string())
        })
    }
}

/// Answers [`READ_CALL`]. Only inner nodes reach it: the ALPN is closed to other zones.
pub(crate) fn register(calls: &Calls, recorder: &Recorder) {
    let shared = Arc::downgrade(&recorder.shared);
    calls.register_stream(
        READ_CALL,
        Arc::new(move |_peer: Peer, body: Vec<u8>| {
            let shared = shared.clone();
            Box::pin(async move {
                let shared = shared.upgrade().ok_or("the recorder has stopped")?;
                let session = String::from_utf8(body).ok();
                let session = session.and_then(|id| SessionId::try_from(id).ok());
                let session = session.ok_or("not a session id")?;
                // What is read may be long: the answer has begun before it is.
                let write = move |mut send: guitai_net::SendStream| -> BoxFuture<'static, ()> {
                    Box::pin(async move {
                        let reading = Recorder { shared }.read_through(&session).await;
                        let json = serde_json::to_vec(&reading).unwrap_or_default();
                        if let Err(error) = send.write_all(&json).await {
                            tracing::debug!(%session, %error, "nobody waits for the reading");
                        }
                    })
                };
                Ok(Box::new(write) as guitai_net::calls::StreamWriter)
            })
        }),
    );
}

impl Recorder {
    /// Reads this node's copy of a recording from its first byte to its last, and tells the cluster how it is.
    pub async fn read_through(&self, session: &SessionId) -> Reading {
        let begun = self.shared.clock.monotonic();
        let (bytes, damage) = self.read_or_mend(session).await;
        let took = self.shared.clock.monotonic().saturating_sub(begun);
        let node = self.shared.config.name.clone();
        let order = KeepOrder::Read {
            session: session.clone(),
            node: node.clone(),
            damage: damage.clone(),
        };
        match &damage {
            Some(what) => tracing::error!(%session, %what, "a copy of a recording is damaged"),
            None => tracing::debug!(%session, bytes, "a copy of a recording was read through"),
        }
        if let Err(error) = self.shared.cluster.keep(order).await {
            tracing::warn!(%session, %error, "how a copy is was not told; it is read again later");
        }
        Reading {
            node,
            bytes,
            took_ms: u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
            found: damage.map_or(Found::Whole, |what| Found::Damaged { what }),
        }
    }

    /// Reads it; where it is damaged and the sink has what is missing, once more. What was found first is told then.
    async fn read_or_mend(&self, session: &SessionId) -> (u64, Option<String>) {
        let (bytes, damage) = self.read(session).await;
        let Some(what) = damage else {
            return (bytes, None);
        };
        if !sinking::mend_all(&self.shared, session).await {
            return (bytes, Some(what));
        }
        tracing::error!(%session, %what, "a copy of a recording was damaged, and is mended from the sink");
        let order = KeepOrder::Read {
            session: session.clone(),
            node: self.shared.config.name.clone(),
            damage: Some(what),
        };
        let (bytes, damage) = self.read(session).await;
        if damage.is_none()
            && let Err(error) = self.shared.cluster.keep(order).await
        {
            tracing::warn!(%session, %error, "that a copy was damaged was not told");
        }
        (bytes, damage)
    }

    async fn read(&self, session: &SessionId) -> (u64, Option<String>) {
        let mut package = match self.export(session).await {
            Ok(package) => package,
            Err(error) => return (0, Some(one_line(&error))),
        };
        let mut bytes = 0;
        while let Some(piece) = package.next().await {
            match piece {
                Ok(piece) => bytes += piece.len() as u64,
                Err(error) => return (bytes, Some(one_line(&error))),
            }
        }
        (bytes, None)
    }
}

/// An error and its causes on one line of at most [`DAMAGE_BYTES_MAX`] bytes.
fn one_line(error: &dyn std::error::Error) -> String {
    let mut text = chain(error);
    text.retain(|it| !it.is_control());
    text.truncate(text.floor_char_boundary(DAMAGE_BYTES_MAX));
    text
}

/// Runs until the node stops: gets the replicas that this node is to have, and reads again what has not been read
/// for long.
pub(crate) async fn run(shared: Arc<Shared>) {
    shared.cluster.ready().await;
    let recorder = Recorder {
        shared: shared.clone(),
    };
    // A disk that was taken away says nothing by itself.
    for session in shared.cluster.copies(&shared.config.name) {
        if !shared.shelf.has(&session) && !shared.copies.has(&session) {
            recorder.read_through(&session).await;
        }
    }
    let mut looks_from = shared.clock.monotonic();
    loop {
        for (session, from) in shared.cluster.replicas(&shared.config.name) {
            if let Err(error) = replicate(&shared, &session, &from).await {
                tracing::error!(%session, %from, %error, "no replica yet; trying again");
            }
        }
        if shared.clock.monotonic() >= looks_from {
            looks_from = shared.clock.monotonic() + LOOK;
            let now = shared.clock.wall();
            for session in shared.cluster.copies_to_read(&shared.config.name, now) {
                let reading = recorder.read_through(&session).await;
                let pause = reading.bytes.saturating_mul(1000) / READ_BYTES_PER_S;
                tokio::time::sleep(Duration::from_millis(pause)).await;
            }
        }
        tokio::time::sleep(RECONCILE).await;
    }
}

/// Gets one replica, reads it back, and says so.
async fn replicate(shared: &Arc<Shared>, session: &SessionId, from: &NodeName) -> io::Result<()> {
    let fetched = shared.siblings.package(from, session).await;
    let mut pieces = fetched.map_err(io::Error::other)?;
    let (copies, id) = (shared.copies.clone(), session.clone());
    let vault = blocking(move || {
        // Of an earlier one nothing is left but its key: what is half old and half new is neither.
        let (vault, _) = copies.open::<()>(&id)?;
        vault.remove_document(NOTE)?;
        Ok(Arc::new(vault))
    })
    .await?;
    let mut hasher = sm3::Hasher::new();
    let (mut number, mut bytes) = (0_u32, 0_u64);
    let mut waiting = BytesMut::with_capacity(PIECE_BYTES + CHUNK_BYTES);
    loop {
        let piece = pieces.next().await.transpose()?;
        let is_last = piece.is_none();
        waiting.extend_from_slice(&piece.unwrap_or_default());
        while waiting.len() >= PIECE_BYTES || (is_last && waiting.has_remaining()) {
            let piece = waiting.split_to(waiting.len().min(PIECE_BYTES)).freeze();
            hasher.update(&piece);
            (number, bytes) = (number + 1, bytes + piece.len() as u64);
            if bytes > REPLICA_BYTES_MAX {
                let text = format!("more than REPLICA_BYTES_MAX = {REPLICA_BYTES_MAX} bytes");
                return Err(io::Error::new(io::ErrorKind::FileTooLarge, text));
            }
            let vault = vault.clone();
            blocking(move || vault.put_segment(TRACK, number, &piece)).await?;
        }
        if is_last {
            break;
        }
    }
    let replica = Replica {
        v: 1,
        from: from.clone(),
        pieces: number,
        bytes,
        sm3: Hex(hasher.finish().to_vec()),
    };
    blocking(move || vault.put_document(NOTE, &replica)).await?;
    let recorder = Recorder {
        shared: shared.clone(),
    };
    let (_, damage) = recorder.read(session).await;
    if let Some(what) = damage {
        return Err(io::Error::new(io::ErrorKind::InvalidData, what));
    }
    let order = KeepOrder::Replicated {
        session: session.clone(),
        node: shared.config.name.clone(),
        from: from.clone(),
    };
    shared.cluster.keep(order).await.map_err(io::Error::other)?;
    tracing::warn!(%session, %from, bytes, "a replica was made");
    Ok(())
}

/// The package that a replica is; `None` when this node has none of that session.
pub(crate) async fn replica(
    shared: &Arc<Shared>,
    session: &SessionId,
) -> Result<Option<Package>, ExportError> {
    let (copies, id) = (shared.copies.clone(), session.clone());
    let read = blocking(move || {
        if !copies.has(&id) {
            return Ok(None);
        }
        let (vault, _) = copies.open::<()>(&id)?;
        let replica = vault.document::<Replica>(NOTE)?;
        Ok(replica.map(|replica| (vault, replica)))
    });
    let read = read.await.map_err(|source| ExportError::Read {
        session: session.clone(),
        source,
    })?;
    Ok(read.map(|(vault, replica)| Package::made_by(move |sender| give(&vault, &replica, sender))))
}

fn give(vault: &Vault, replica: &Replica, sender: &mpsc::Sender<io::Result<Bytes>>) {
    let mut hasher = sm3::Hasher::new();
    for number in 1..=replica.pieces {
        let piece = vault.segment(TRACK, number);
        if let Ok(piece) = &piece {
            hasher.update(piece);
        }
        let is_whole = piece.is_ok();
        let piece = piece.map(Bytes::from).map_err(|error| {
            io::Error::new(
                error.kind(),
                format!("piece {number} of the replica: {error}"),
            )
        });
        // Nobody waits for the rest of what is damaged, nor of what nobody reads.
        if sender.blocking_send(piece).is_err() || !is_whole {
            return;
        }
    }
    if hasher.finish()[..] != replica.sm3.0 {
        let changed = io::Error::new(io::ErrorKind::InvalidData, "the replica has changed");
        let _told = sender.blocking_send(Err(changed));
    }
}

pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    let done = task::spawn_blocking(work).await;
    done.unwrap_or_else(|error| Err(io::Error::other(error)))
}
