//! Films at rest: pieces and a note under the key that the films of a call have together, and how they are handed
//! out. The note is written last, so that half a film is none.

use std::{
    fs::File,
    io::{self, Read as _},
    path::Path,
    sync::Arc,
};

use bytes::Bytes;
use futures::StreamExt as _;
use guitai_composite::Stop;
use guitai_crypto::sm3;
use guitai_net::{CallError, Calls, Mesh, Peer, Target};
use guitai_types::{Hex, SessionId};
use serde::{Deserialize, Serialize};
use tokio::{sync::mpsc, task};

use crate::{
    Recorder,
    copies::Pieces,
    export::{self, ExportError, Package},
    vault::{Shelf, Vault},
};

/// Kind of the streaming call that hands a film out; its body says which, as JSON.
pub const FILM_CALL: &str = "recording.film";
/// Bytes of a piece.
const PIECE_BYTES: usize = 1024 * 1024;
/// Bytes read from another node at once.
const CHUNK_BYTES: usize = 64 * 1024;
/// How the name of a film's note begins; its number follows.
const NOTE: &str = "film-";

/// What of a film is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FilmPart {
    /// The film.
    Film,
    /// Its description: what it is made of, and the digest of every minute.
    Description,
}

/// Body of [`FILM_CALL`].
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    session: SessionId,
    film: u32,
    part: FilmPart,
}

/// What lies on the shelf.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Note {
    /// Format version, 1.
    v: u16,
    pieces: u32,
    bytes: u64,
    /// Of the film.
    sm3: Hex,
    /// The description's bytes.
    description: Hex,
}

/// Seals a film; `None` when it was told to stop.
pub(crate) fn seal(
    shelf: &Shelf,
    session: &SessionId,
    number: u32,
    film: &Path,
    description: Vec<u8>,
    stop: &Stop,
) -> io::Result<Option<()>> {
    let (vault, _) = shelf.open::<()>(session)?;
    vault.remove_document(&note(number))?;
    let mut from = File::open(film)?;
    let mut hasher = sm3::Hasher::new();
    let (mut pieces, mut bytes) = (0_u32, 0_u64);
    loop {
        if stop.is_stopped() {
            return Ok(None);
        }
        let mut piece = Vec::with_capacity(PIECE_BYTES);
        let read = (&mut from)
            .take(PIECE_BYTES as u64)
            .read_to_end(&mut piece)?;
        if read == 0 {
            break;
        }
        hasher.update(&piece);
        (pieces, bytes) = (pieces + 1, bytes + read as u64);
        vault.put_segment(number, pieces, &piece)?;
    }
    let sealed = Note {
        v: 1,
        pieces,
        bytes,
        sm3: Hex(hasher.finish().to_vec()),
        description: Hex(description),
    };
    vault.put_document(&note(number), &sealed)?;
    Ok(Some(()))
}

/// Numbers of the films of a call of which anything lies on the shelf.
pub(crate) fn numbers(shelf: &Shelf, session: &SessionId) -> io::Result<Vec<u32>> {
    let mut numbers: Vec<u32> = shelf
        .files(session)?
        .iter()
        .filter_map(|name| number_of(name))
        .collect();
    numbers.sort_unstable();
    numbers.dedup();
    Ok(numbers)
}

/// Removes one film of a call, the note first; with the last one the key goes too.
pub(crate) fn remove(shelf: &Shelf, session: &SessionId, number: u32) -> io::Result<()> {
    let files = shelf.files(session)?;
    let (mut mine, others): (Vec<_>, Vec<_>) = files
        .into_iter()
        .filter(|name| number_of(name).is_some())
        .partition(|name| number_of(name) == Some(number));
    mine.sort_by_key(|name| !name.starts_with(NOTE));
    shelf.remove_files(session, &mine)?;
    match others.is_empty() && !shelf.is_erased(session)? {
        true => shelf.forget(session),
        false => Ok(()),
    }
}

/// Of which film a file is: its note, or a piece, which lies where a recording has a segment.
fn number_of(name: &str) -> Option<u32> {
    if let Some(number) = name.strip_prefix(NOTE) {
        return number.parse().ok();
    }
    let (track, _) = name.strip_prefix('t')?.split_once('-')?;
    track.parse().ok()
}

fn note(number: u32) -> String {
    format!("{NOTE}{number}")
}

/// Asks another node for a film, or for its description.
///
/// # Errors
/// The node is not reached, or refuses.
pub async fn fetch_film(
    mesh: &Mesh,
    target: &Target,
    session: &SessionId,
    film: u32,
    part: FilmPart,
) -> Result<Pieces, CallError> {
    let asked = Asked {
        session: session.clone(),
        film,
        part,
    };
    // A few plain fields always have a form.
    let body = serde_json::to_vec(&asked).unwrap_or_default();
    let stream = mesh.ask_stream(target, FILM_CALL, body).await?;
    let pieces = futures::stream::try_unfold(stream, async |mut stream| {
        let chunk = stream.read_chunk(CHUNK_BYTES, true).await;
        let chunk = chunk.map_err(io::Error::other)?;
        Ok(chunk.map(|chunk| (chunk.bytes, stream)))
    });
    Ok(pieces.boxed())
}

/// Answers [`FILM_CALL`]. Only inner nodes reach it: the ALPN is closed to other zones.
pub(crate) fn register(calls: &Calls, recorder: &Recorder) {
    let shared = Arc::downgrade(&recorder.shared);
    calls.register_stream(
        FILM_CALL,
        Arc::new(move |peer: Peer, body: Vec<u8>| {
            let shared = shared.clone();
            Box::pin(async move {
                let shared = shared.upgrade().ok_or("the recorder has stopped")?;
                let asked: Asked = serde_json::from_slice(&body).map_err(|it| it.to_string())?;
                let Asked {
                    session,
                    film,
                    part,
                } = asked;
                let package = Recorder { shared }.film(&session, film, part).await;
                let package = package.map_err(|error| error.to_string())?;
                tracing::info!(%session, film, %peer, "film handed to another node");
                Ok(Box::new(move |send| export::send_all(package, send))
                    as guitai_net::calls::StreamWriter)
            })
        }),
    );
}

impl Recorder {
    /// A film that this node has, or its description.
    ///
    /// # Errors
    /// The recording is erased, there is no such film here, or it cannot be read.
    pub async fn film(
        &self,
        session: &SessionId,
        number: u32,
        part: FilmPart,
    ) -> Result<Package, ExportError> {
        if self.shared.is_ending(session) {
            return Err(ExportError::Erased(session.clone()));
        }
        let (shared, id) = (self.shared.clone(), session.clone());
        let read = task::spawn_blocking(move || {
            let shelf = &shared.films.shelf;
            if !shelf.has(&id) {
                return Ok(None);
            }
            let (vault, _) = shelf.open::<()>(&id)?;
            let sealed = vault.document::<Note>(&note(number))?;
            Ok(sealed.map(|sealed| (vault, sealed)))
        });
        let read = read
            .await
            .unwrap_or_else(|error| Err(io::Error::other(error)));
        let read = read.map_err(|source| ExportError::Read {
            session: session.clone(),
            source,
        })?;
        let none = || ExportError::NoFilm(session.clone(), number);
        let (vault, sealed) = read.ok_or_else(none)?;
        Ok(Package::made_by(move |sender| match part {
            FilmPart::Film => give(&vault, number, &sealed, sender),
            FilmPart::Description => {
                // Refused when the reader is gone, who then needs nothing.
                let _told = sender.blocking_send(Ok(Bytes::from(sealed.description.0)));
            }
        }))
    }
}

fn give(vault: &Vault, film: u32, sealed: &Note, sender: &mpsc::Sender<io::Result<Bytes>>) {
    let mut hasher = sm3::Hasher::new();
    for number in 1..=sealed.pieces {
        let piece = vault.segment(film, number);
        if let Ok(piece) = &piece {
            hasher.update(piece);
        }
        let is_whole = piece.is_ok();
        let named = |error: io::Error| {
            io::Error::new(
                error.kind(),
                format!("piece {number} of film {film}: {error}"),
            )
        };
        let piece = piece.map(Bytes::from).map_err(named);
        // Nobody waits for the rest of what is damaged, nor of what nobody reads.
        if sender.blocking_send(piece).is_err() || !is_whole {
            return;
        }
    }
    if hasher.finish()[..] != sealed.sm3.0 {
        let changed = io::Error::new(io::ErrorKind::InvalidData, "the film has changed");
        let _told = sender.blocking_send(Err(changed));
    }
}
