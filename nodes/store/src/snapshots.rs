//! Snapshots: the state of the cluster in one checked file each, newest two kept.
//!
//! A snapshot file is written aside, synced, renamed and its directory synced, so a power cut
//! leaves it whole or absent. The log may be purged up to a snapshot once [`Snapshots::save`]
//! returned, and never before. Format 1, little-endian:
//!
//! `magic[8] ‖ meta length u32 ‖ data length u64 ‖ meta ‖ data ‖ SM3 of all before`

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use guitai_crypto::sm3;
use guitai_host::Disk;

use crate::sealing::Sealing;

const MAGIC: &[u8; 8] = b"GTSNAP\x00\x01";
const HEAD_BYTES: usize = 8 + 4 + 8;
const DIGEST_BYTES: usize = 32;
/// One to serve and the one before it, should the medium damage the newest.
const KEPT: usize = 2;
/// Longest meta: a log id, a membership of 64 nodes.
const META_BYTES_MAX: usize = 1 << 20;
/// Longest snapshot file: the state of 20,000 ended sessions is under 200 MB.
const FILE_BYTES_MAX: u64 = 2 << 30;

/// One snapshot as it was saved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// What the writer says about it (last log id, membership).
    pub meta: Vec<u8>,
    /// The state.
    pub data: Vec<u8>,
}

/// The snapshots in one directory of a disk. One writer.
pub struct Snapshots {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    sealing: Option<Arc<Sealing>>,
}

/// Separates snapshots from anything else sealed under the same key.
const STATE: &[u8] = b"snapshot\0";

impl Snapshots {
    /// Opens `dir`, creating it when absent; removes what an interrupted save left.
    pub fn open(disk: Arc<dyn Disk>, dir: impl Into<PathBuf>) -> io::Result<Self> {
        let dir = dir.into();
        disk.create_dir(&dir)?;
        for name in disk
            .list(&dir)?
            .iter()
            .filter(|name| name.ends_with(".tmp"))
        {
            disk.remove(&dir.join(name))?;
        }
        // A name left by a killed process may not be durable yet, and the log may be purged on it.
        disk.sync_dir(&dir)?;
        Ok(Self {
            disk,
            dir,
            sealing: None,
        })
    }

    /// Seals the state of every snapshot from now on, and expects those that are there to be sealed.
    /// Their meta, which holds log ids and the membership, stays as it is and is authenticated.
    #[must_use]
    pub fn sealed_by(mut self, sealing: Arc<Sealing>) -> Self {
        self.sealing = Some(sealing);
        self
    }

    /// Saves a snapshot; it is durable when this returns. Older ones than the newest two go.
    pub fn save(&self, meta: &[u8], data: &[u8]) -> Result<(), SaveSnapshotError> {
        let file = match &self.sealing {
            None => encode(meta, data)?,
            Some(sealing) => encode(meta, &sealing.seal(&[STATE, meta], data))?,
        };
        let doing = |doing| move |source| SaveSnapshotError::Io { doing, source };
        let numbers = self.numbers().map_err(doing("list"))?;
        let next = numbers.last().map_or(1, |last| last + 1);
        self.disk
            .write_whole(&self.path(next), &file)
            .map_err(doing("write"))?;
        let surplus = (numbers.len() + 1).saturating_sub(KEPT);
        for old in numbers.iter().take(surplus) {
            // The new one is safe: failing to remove an old one costs space, no more.
            if let Err(error) = self.disk.remove(&self.path(*old)) {
                tracing::warn!(snapshot = old, %error, "an old snapshot stays");
            }
        }
        Ok(())
    }

    /// The newest snapshot that is whole. A damaged one is logged and passed over.
    pub fn latest(&self) -> io::Result<Option<Snapshot>> {
        for number in self.numbers()?.into_iter().rev() {
            let path = self.path(number);
            let file = self.disk.read(&path, FILE_BYTES_MAX)?;
            if let Some(mut snapshot) = decode(&file) {
                if let Some(sealing) = &self.sealing {
                    // The file is whole, so this is another key and not damage: an older snapshot
                    // would not open either, and starting empty would lose what the log was purged of.
                    snapshot.data = sealing
                        .open(&[STATE, &snapshot.meta], &snapshot.data)
                        .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
                }
                return Ok(Some(snapshot));
            }
            tracing::error!(path = %path.display(), "a snapshot is damaged; trying the one before");
        }
        Ok(None)
    }

    fn numbers(&self) -> io::Result<Vec<u64>> {
        let names = self.disk.list(&self.dir)?;
        let numbers = names
            .iter()
            .filter_map(|name| name.strip_suffix(".snapshot")?.parse().ok());
        let mut numbers: Vec<u64> = numbers.collect();
        numbers.sort_unstable();
        Ok(numbers)
    }

    fn path(&self, number: u64) -> PathBuf {
        self.dir.join(Path::new(&format!("{number:020}.snapshot")))
    }
}

impl std::fmt::Debug for Snapshots {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Snapshots")
            .field("dir", &self.dir)
            .finish_non_exhaustive()
    }
}

/// Why a snapshot was not saved.
#[derive(Debug, thiserror::Error)]
pub enum SaveSnapshotError {
    /// It is longer than we would read back.
    #[error("a snapshot has at most {META_BYTES_MAX} bytes of meta and {FILE_BYTES_MAX} in all")]
    TooLong,
    /// The disk refused.
    #[error("we could not {doing} snapshots")]
    Io {
        /// The act.
        doing: &'static str,
        /// The disk's words.
        #[source]
        source: io::Error,
    },
}

fn encode(meta: &[u8], data: &[u8]) -> Result<Vec<u8>, SaveSnapshotError> {
    let len = HEAD_BYTES + meta.len() + data.len() + DIGEST_BYTES;
    if meta.len() > META_BYTES_MAX || len as u64 > FILE_BYTES_MAX {
        return Err(SaveSnapshotError::TooLong);
    }
    let mut file = Vec::with_capacity(len);
    file.extend_from_slice(MAGIC);
    file.extend_from_slice(&(meta.len() as u32).to_le_bytes());
    file.extend_from_slice(&(data.len() as u64).to_le_bytes());
    file.extend_from_slice(meta);
    file.extend_from_slice(data);
    let digest = sm3::hash(&file);
    file.extend_from_slice(&digest);
    Ok(file)
}

fn decode(file: &[u8]) -> Option<Snapshot> {
    let (body, digest) = file.split_last_chunk::<DIGEST_BYTES>()?;
    let rest = body.strip_prefix(MAGIC)?;
    if sm3::hash(body) != *digest {
        return None;
    }
    let (meta_len, rest) = rest.split_first_chunk::<4>()?;
    let (data_len, rest) = rest.split_first_chunk::<8>()?;
    let meta_len = usize::try_from(u32::from_le_bytes(*meta_len)).ok()?;
    let (meta, data) = rest.split_at_checked(meta_len)?;
    if data.len() as u64 != u64::from_le_bytes(*data_len) {
        return None;
    }
    Some(Snapshot {
        meta: meta.to_vec(),
        data: data.to_vec(),
    })
}

#[cfg(test)]
mod tests {
    use guitai_host::{SeededEntropy, SimDisk};

    use super::*;

    fn open(disk: &SimDisk) -> Snapshots {
        Snapshots::open(Arc::new(disk.clone()), "snapshots").unwrap()
    }

    #[test]
    fn the_format_is_frozen() {
        let file = encode(b"m", b"dd").unwrap();
        let head = b"GTSNAP\x00\x01\x01\x00\x00\x00\x02\x00\x00\x00\x00\x00\x00\x00mdd";
        assert_eq!(&file[..head.len()], head);
        assert_eq!(file.len(), head.len() + DIGEST_BYTES);
    }

    #[test]
    fn a_saved_snapshot_survives_every_crash() {
        for seed in 0..500 {
            let seeded = SeededEntropy::new(seed);
            let disk = SimDisk::new();
            let snapshots = open(&disk);
            let mut acked = 0_u64;
            disk.cut_after(1 + seeded.below(40));
            for number in 1..=8_u64 {
                let data = vec![number as u8; 1_000 + seeded.below(2_000) as usize];
                if snapshots.save(&number.to_le_bytes(), &data).is_err() {
                    break;
                }
                acked = number;
            }
            disk.crash(seed);
            let found = open(&disk).latest().unwrap();
            let number = found.as_ref().map_or(0, |found| u64::from(found.data[0]));
            assert!(
                number == acked || number == acked + 1,
                "seed {seed}: {number}, {acked}"
            );
        }
    }

    #[test]
    fn a_sealed_snapshot_opens_under_its_own_key_and_another_key_is_no_damage() {
        let disk = SimDisk::new();
        let sealed_by = |byte: u8| open(&disk).sealed_by(Arc::new(Sealing::new(&[byte; 32])));
        sealed_by(1).save(b"meta", b"customer Zhang").unwrap();
        let found = sealed_by(1).latest().unwrap().unwrap();
        assert_eq!(
            (&found.meta[..], &found.data[..]),
            (&b"meta"[..], &b"customer Zhang"[..])
        );
        let raw = open(&disk).latest().unwrap().unwrap();
        assert!(!raw.data.windows(8).any(|part| part == b"customer"));
        let error = sealed_by(2).latest().unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    }

    #[test]
    fn a_damaged_snapshot_is_passed_over_and_two_are_kept() {
        let disk = SimDisk::new();
        let snapshots = open(&disk);
        for number in 1..=5_u8 {
            snapshots.save(&[number], b"state").unwrap();
        }
        let names = disk.list(Path::new("snapshots")).unwrap();
        assert_eq!(
            names,
            [
                "00000000000000000004.snapshot",
                "00000000000000000005.snapshot"
            ]
        );
        disk.dangerous_flip_bit(&snapshots.path(5), 8 * 22).unwrap();
        assert_eq!(snapshots.latest().unwrap().unwrap().meta, [4]);
        disk.dangerous_flip_bit(&snapshots.path(4), 8 * 60 + 3)
            .unwrap_err();
        disk.dangerous_flip_bit(&snapshots.path(4), 0).unwrap();
        assert_eq!(snapshots.latest().unwrap(), None);
    }
}
