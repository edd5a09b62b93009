//! Full parts of the log that this node lacks are fetched from others, each checked against what the state
//! says before it is kept: a snapshot from afar brings only the right edge.

use std::{io, sync::Arc, time::Duration};

use guitai_tlog::{
    Digest, Hash,
    tiles::{Resource, TILE_WIDTH, Tiles as _},
};
use tokio::sync::watch;

use super::{
    Answer, Ask,
    files::{Part, TILE_BYTES, decode},
    serve::Reading,
};
use crate::{meta::Meta, runtime::blocking, transport::Topic};

/// How often is looked whether something may be missing, in milliseconds.
const LOOK_MS: u64 = 500;
/// How long another node may take for a part, in milliseconds.
const ASK_MS: u64 = 5_000;
/// Bits of [`TILE_WIDTH`].
const HEIGHT: u32 = 8;
/// Levels of tiles of the largest tree.
const LEVELS: u8 = 8;

/// Runs until the node stops.
pub(crate) async fn run(meta: Meta, mut stopped: watch::Receiver<bool>) {
    let mut look = tokio::time::interval(Duration::from_millis(LOOK_MS));
    look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            biased;
            _ = stopped.wait_for(|stopped| *stopped) => return,
            _ = look.tick() => {}
        }
        if !meta.log_files().take_suspicion() {
            continue;
        }
        let Some(reading) = meta.reading() else {
            continue;
        };
        let missing = complete(&meta, Arc::new(reading)).await;
        meta.log_files().set_missing(missing);
        if missing > 0 {
            tracing::warn!(
                missing,
                "parts of the transparency log are missing here; asking again"
            );
            meta.log_files().suspect();
        }
    }
}

/// Fetches what is missing, from the top down; says how much of it nobody had.
async fn complete(meta: &Meta, reading: Arc<Reading>) -> u64 {
    let size = reading.log.size();
    let mut missing = 0;
    for level in (1..LEVELS).rev() {
        for index in 0..full(size, level) {
            missing += lacks(meta, &reading, Part::Tile { level, index }).await;
        }
    }
    for index in 0..full(size, 0) {
        missing += lacks(meta, &reading, Part::Bundle { index }).await;
    }
    missing
}

/// How many tiles of a level are full.
fn full(size: u64, level: u8) -> u64 {
    let bits = HEIGHT * (u32::from(level) + 1);
    size.checked_shr(bits).unwrap_or(0)
}

/// 1 if the part is not here and nobody has it.
async fn lacks(meta: &Meta, reading: &Arc<Reading>, part: Part) -> u64 {
    let (files, known) = (meta.log_files().clone(), reading.clone());
    let looked = blocking(move || {
        let expected = expected(&known, part);
        let present = files.read(part)?;
        let is_right = |bytes: &Vec<u8>| expected.is_some_and(|it| fits(part, bytes, &it));
        Ok((expected, present.as_ref().is_some_and(is_right)))
    });
    let expected = match looked.await {
        Ok((_, true)) => return 0,
        // Its parent is missing, too.
        Ok((None, false)) => return 1,
        Ok((Some(expected), false)) => expected,
        Err(error) => {
            tracing::warn!(%error, ?part, "a part of the transparency log cannot be read");
            return 1;
        }
    };
    let ask = match part {
        Part::Bundle { index } => Ask::Bundle { index },
        Part::Tile { level, index } => Ask::Tile { level, index },
    };
    let Ok(request) = serde_json::to_vec(&ask) else {
        return 1;
    };
    for other in meta.directory().others(meta.id()) {
        let answer = meta
            .ask(other.id, Topic::Log, request.clone(), ASK_MS)
            .await;
        let Some(Answer::File { bytes }) = answer else {
            continue;
        };
        if !fits(part, &bytes.0, &expected) {
            tracing::error!(node = %other.name, ?part, "a node has another part of the transparency log");
            continue;
        }
        let files = meta.log_files().clone();
        match blocking(move || files.keep(part, &bytes.0)).await {
            Ok(()) => return 0,
            Err(error) => tracing::warn!(%error, "a part of the transparency log was not kept"),
        }
    }
    1
}

/// The hash of a part in each tree: it stands in the tile above.
fn expected(reading: &Reading, part: Part) -> Option<[Hash; 2]> {
    let (level, index) = match part {
        Part::Bundle { index } => (0, index),
        Part::Tile { level, index } => (level, index),
    };
    let at = index % TILE_WIDTH as u64;
    let above = Resource::Tile {
        level: level + 1,
        index: index / TILE_WIDTH as u64,
        width: at as u16 + 1, // at most 256
    };
    let hash = |digest: Digest| -> Option<Hash> {
        let bytes = reading.of(digest).get(above).ok()?;
        bytes.last_chunk().copied()
    };
    Some([hash(Digest::Sm3)?, hash(Digest::Sha256)?])
}

/// Whether bytes are the part with these hashes.
fn fits(part: Part, bytes: &[u8], expected: &[Hash; 2]) -> bool {
    let digests = [Digest::Sm3, Digest::Sha256];
    let roots = match part {
        Part::Bundle { .. } => {
            let entries = decode(bytes);
            let Some(entries) = entries.filter(|all| all.iter().all(|it| it.is_whole())) else {
                return false;
            };
            digests.map(|digest| {
                let leaves = digest.leaves(entries.iter().map(|kept| kept.entry.as_bytes()));
                digest.root(&leaves)
            })
        }
        Part::Tile { .. } => {
            let Some((sm3, sha256)) = bytes.split_at_checked(TILE_BYTES) else {
                return false;
            };
            if sha256.len() != TILE_BYTES {
                return false;
            }
            [
                Digest::Sm3.root(sm3.as_chunks().0),
                Digest::Sha256.root(sha256.as_chunks().0),
            ]
        }
    };
    roots == *expected
}

impl Meta {
    /// Answers another core node.
    pub(crate) async fn answer_log(&self, ask: Ask) -> Answer {
        let part = match ask {
            Ask::Bundle { index } => Part::Bundle { index },
            Ask::Tile { level, index } => Part::Tile { level, index },
            Ask::Cosign { sm3, sha256 } => {
                let Some(watch) = self.watch() else {
                    return Answer::Absent;
                };
                let [sm3, sha256] = watch.cosign(self, &sm3, &sha256).await;
                return Answer::Cosigned { sm3, sha256 };
            }
        };
        let files = self.log_files().clone();
        let read: io::Result<Option<Vec<u8>>> = blocking(move || files.read(part)).await;
        match read {
            Ok(Some(bytes)) => Answer::File {
                bytes: guitai_types::Hex(bytes),
            },
            Ok(None) => Answer::Absent,
            Err(error) => {
                tracing::warn!(%error, ?part, "a part of the transparency log cannot be read");
                Answer::Absent
            }
        }
    }
}
