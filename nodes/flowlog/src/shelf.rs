//! Minutes on disk: `flowlog/<day>/<minute>`, both counted from 1970, deflated (RFC 1951) and, where metadata is sealed,
//! sealed. Beside the minutes of a day that is long over lies their `sum`, which can be made again at any time.

use std::{
    io::{self, Read as _, Write as _},
    path::PathBuf,
    sync::Arc,
};

use flate2::{Compression, read::DeflateDecoder, write::DeflateEncoder};
use guitai_host::Disk;
use guitai_store::Sealing;
use guitai_types::flowlog::MINUTE_BYTES_MAX;

use crate::sum::Flat;

/// Above the days.
const DIR: &str = "flowlog";
/// Name of a day's sum.
const SUM: &str = "sum";
/// Minutes of a day.
pub(crate) const DAY: u64 = 24 * 60;
/// Largest sum of a day in bytes.
const SUM_BYTES_MAX: u64 = 256 * 1024 * 1024;

/// The minutes that a node keeps.
#[derive(Clone)]
pub(crate) struct Shelf {
    disk: Arc<dyn Disk>,
    sealing: Option<Arc<Sealing>>,
}

impl Shelf {
    pub(crate) fn new(disk: Arc<dyn Disk>, sealing: Option<Arc<Sealing>>) -> Self {
        Self { disk, sealing }
    }

    /// Keeps a minute, durably; one that is there already is replaced.
    pub(crate) fn write(&self, minute: u64, text: &str) -> io::Result<()> {
        self.put(minute / DAY, &minute.to_string(), text.as_bytes())
    }

    /// A minute, if it is here.
    pub(crate) fn read(&self, minute: u64) -> io::Result<Option<String>> {
        let limit = MINUTE_BYTES_MAX as u64;
        let text = self.get(minute / DAY, &minute.to_string(), limit)?;
        text.map(|text| String::from_utf8(text).map_err(io::Error::other))
            .transpose()
    }

    pub(crate) fn remove(&self, minute: u64) -> io::Result<()> {
        let path = path(minute / DAY, &minute.to_string());
        self.disk.remove(&path)
    }

    /// Keeps the sum of a day.
    pub(crate) fn write_sum(&self, day: u64, sum: &Flat) -> io::Result<()> {
        let text = serde_json::to_vec(sum)?;
        self.put(day, SUM, &text)
    }

    /// The sum of a day, if it was made.
    pub(crate) fn read_sum(&self, day: u64) -> io::Result<Option<Flat>> {
        let text = self.get(day, SUM, SUM_BYTES_MAX)?;
        Ok(text.map(|text| serde_json::from_slice(&text)).transpose()?)
    }

    /// Minutes of a day that are here, in order.
    pub(crate) fn minutes(&self, day: u64) -> io::Result<Vec<u64>> {
        numbers(&self.names(&dir(day))?)
    }

    /// Days of which there is something, in order.
    pub(crate) fn days(&self) -> io::Result<Vec<u64>> {
        numbers(&self.names(&PathBuf::from(DIR))?)
    }

    /// Removes a day and all that is in it.
    pub(crate) fn remove_day(&self, day: u64) -> io::Result<()> {
        for name in self.names(&dir(day))? {
            self.disk.remove(&path(day, &name))?;
        }
        self.disk.remove_dir(&dir(day))
    }

    fn names(&self, dir: &std::path::Path) -> io::Result<Vec<String>> {
        if self.disk.exists(dir)? {
            self.disk.list(dir)
        } else {
            Ok(Vec::new())
        }
    }

    fn put(&self, day: u64, name: &str, bytes: &[u8]) -> io::Result<()> {
        let mut deflated = DeflateEncoder::new(Vec::new(), Compression::default());
        deflated.write_all(bytes)?;
        let mut bytes = deflated.finish()?;
        let path = path(day, name);
        if let Some(sealing) = &self.sealing {
            bytes = sealing.seal(&[path.as_os_str().as_encoded_bytes()], &bytes);
        }
        self.disk.create_dir(&dir(day))?;
        self.disk.write_whole(&path, &bytes)
    }

    fn get(&self, day: u64, name: &str, limit: u64) -> io::Result<Option<Vec<u8>>> {
        let path = path(day, name);
        if !self.disk.exists(&path)? {
            return Ok(None);
        }
        let mut bytes = self.disk.read(&path, limit)?;
        if let Some(sealing) = &self.sealing {
            let place = [path.as_os_str().as_encoded_bytes()];
            bytes = sealing.open(&place, &bytes).map_err(io::Error::other)?;
        }
        let mut plain = Vec::new();
        let mut inflated = DeflateDecoder::new(bytes.as_slice()).take(limit + 1);
        inflated.read_to_end(&mut plain)?;
        if plain.len() as u64 > limit {
            let why = format!("{} holds more than {limit} bytes", path.display());
            return Err(io::Error::other(why));
        }
        Ok(Some(plain))
    }
}

fn dir(day: u64) -> PathBuf {
    PathBuf::from(format!("{DIR}/{day}"))
}

fn path(day: u64, name: &str) -> PathBuf {
    dir(day).join(name)
}

fn numbers(names: &[String]) -> io::Result<Vec<u64>> {
    let mut numbers: Vec<u64> = names.iter().filter_map(|name| name.parse().ok()).collect();
    numbers.sort_unstable();
    Ok(numbers)
}

#[cfg(test)]
mod tests {
    use guitai_host::SystemDisk;
    use guitai_store::STORAGE_KEY_BYTES;

    use super::*;

    #[test]
    fn minutes_are_kept_by_day_sealed_and_small() {
        let dir = tempfile::tempdir().unwrap();
        let disk = Arc::new(SystemDisk::new(dir.path()).unwrap());
        let sealing = Arc::new(Sealing::new(&[7; STORAGE_KEY_BYTES]));
        let shelf = Shelf::new(disk.clone(), Some(sealing));
        assert!(shelf.days().unwrap().is_empty());
        assert_eq!(shelf.read(5).unwrap(), None);
        let text = "what one node saw, again and again\n".repeat(1_000);
        for minute in [DAY * 3 + 7, DAY * 3 + 2, DAY * 4] {
            shelf.write(minute, &text).unwrap();
        }
        assert_eq!(shelf.days().unwrap(), [3, 4]);
        assert_eq!(shelf.minutes(3).unwrap(), [DAY * 3 + 2, DAY * 3 + 7]);
        assert_eq!(shelf.read(DAY * 4).unwrap(), Some(text.clone()));
        let file = dir.path().join(format!("flowlog/4/{}", DAY * 4));
        let raw = std::fs::read(&file).unwrap();
        assert!(raw.len() < text.len() / 50);
        // One bit of it, and it is not read as something else.
        let mut spoilt = raw.clone();
        spoilt[40] ^= 1;
        std::fs::write(&file, &spoilt).unwrap();
        shelf.read(DAY * 4).unwrap_err();
        // Nor is another minute's file.
        std::fs::copy(dir.path().join(format!("flowlog/3/{}", DAY * 3 + 2)), &file).unwrap();
        shelf.read(DAY * 4).unwrap_err();
        shelf.remove_day(3).unwrap();
        assert_eq!(shelf.days().unwrap(), [4]);
    }

    #[test]
    fn what_would_fill_the_memory_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let shelf = Shelf::new(Arc::new(SystemDisk::new(dir.path()).unwrap()), None);
        shelf.write(1, &" ".repeat(MINUTE_BYTES_MAX + 1)).unwrap();
        let refused = shelf.read(1).unwrap_err().to_string();
        assert!(refused.contains("more than"), "{refused}");
    }
}
