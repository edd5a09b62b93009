//! The twin log as somebody else's libraries read it: Cloudflare's `tlog_tiles` and `signed_note`, ports of Go's
//! `sumdb/tlog` and `sumdb/note`. Of the product there is nothing here but the bytes of its files.

use signed_note::{Note, StandardVerifier, VerifierList};
use tlog_tiles::{Checkpoint, Hash, HashReader as _, Tile, TileHashReader, TileReader};

/// Files of a log by their path below it.
pub(crate) type Files<'a> = &'a dyn Fn(&str) -> Option<Vec<u8>>;

/// Tiles of 256 hashes.
const HEIGHT: u8 = 8;

struct Tiles<'a>(Files<'a>);

impl TileReader for Tiles<'_> {
    fn height(&self) -> u8 {
        HEIGHT
    }

    fn read_tiles(&self, tiles: &[Tile]) -> Result<Vec<Vec<u8>>, tlog_tiles::Error> {
        let read = |tile: &Tile| {
            // The library writes the height as Go's checksum database does; tlog-tiles has it fixed.
            let path = tile.path().replacen("tile/8/", "tile/", 1);
            (self.0)(&path).ok_or(tlog_tiles::Error::InvalidTile)
        };
        tiles.iter().map(read).collect()
    }

    fn save_tiles(&self, _: &[Tile], _: &[Vec<u8>]) {}
}

/// A log whose checkpoint is signed by `key`: how many entries it has and its root.
pub(crate) fn opened(files: Files<'_>, key: &str) -> Result<(u64, Hash), String> {
    let note = files("checkpoint").ok_or("no checkpoint")?;
    let note = Note::from_bytes(&note).map_err(|error| error.to_string())?;
    let key = StandardVerifier::new(key).map_err(|error| error.to_string())?;
    let known = VerifierList::new(vec![Box::new(key)]);
    let (by_the_log, _) = note.verify(&known).map_err(|error| error.to_string())?;
    if by_the_log.len() != 1 {
        return Err("not signed by the log".to_owned());
    }
    let head = Checkpoint::from_bytes(note.text()).map_err(|error| error.to_string())?;
    Ok((head.size(), *head.hash()))
}

/// Whether these are the log's entries: each is at its place, by a proof from its tiles, and the library's own
/// tree over them has the root that was signed.
pub(crate) fn holds(
    files: Files<'_>,
    (size, root): (u64, Hash),
    entries: &[Vec<u8>],
) -> Result<(), String> {
    let said = |error: tlog_tiles::Error| error.to_string();
    if entries.len() as u64 != size {
        return Err(format!("{} entries of {size}", entries.len()));
    }
    let tiles = Tiles(files);
    let reader = TileHashReader::new(size, root, &tiles);
    if tlog_tiles::tree_hash(size, &reader).map_err(said)? != root {
        return Err("another root".to_owned());
    }
    // The library reads tiles anew for every proof: of a long log every 997th entry.
    let step = if size > 1_000 { 997 } else { 1 };
    for (index, entry) in (0..size).zip(entries).step_by(step) {
        let leaf = tlog_tiles::record_hash(entry);
        let proof = tlog_tiles::prove_record(size, index, &reader).map_err(said)?;
        tlog_tiles::check_record(&proof, size, root, index, leaf).map_err(said)?;
        let stored = tlog_tiles::stored_hash_index(0, index);
        if reader.read_hashes(&[stored]).map_err(said)? != [leaf] {
            return Err(format!("entry {index} is another in the tiles"));
        }
    }
    Ok(())
}

/// Whether a log continues an older head of it.
pub(crate) fn continues(
    files: Files<'_>,
    (size, root): (u64, Hash),
    (old_size, old_root): (u64, Hash),
) -> Result<(), String> {
    let said = |error: tlog_tiles::Error| error.to_string();
    let tiles = Tiles(files);
    let reader = TileHashReader::new(size, root, &tiles);
    let proof = tlog_tiles::prove_tree(size, old_size, &reader).map_err(said)?;
    tlog_tiles::check_tree(&proof, size, root, old_size, old_root).map_err(said)
}

/// The entries of bundles as tlog-tiles lays them out: two bytes of length, big-endian, then the entry.
pub(crate) fn entries(files: Files<'_>, size: u64) -> Option<Vec<Vec<u8>>> {
    let mut entries = Vec::new();
    for index in 0..size.div_ceil(256) {
        let width = (size - index * 256).min(256) as u32;
        let path = Tile::new(HEIGHT, 0, index, width, true).path();
        let path = path.replacen("tile/8/data/", "tile/entries/", 1);
        let bundle = files(&path)?;
        let mut rest = bundle.as_slice();
        while let [high, low, tail @ ..] = rest {
            let length = usize::from(u16::from_be_bytes([*high, *low]));
            entries.push(tail.get(..length)?.to_vec());
            rest = tail.get(length..)?;
        }
    }
    Some(entries)
}
