//! A package as one file, `.vcep`: an uncompressed tar in the one form that [`crate::TarSink`] writes. Every
//! byte of it is either content or what it must be, so nothing can hide between the files.

use std::{collections::BTreeMap, fs::File, io, os::unix::fs::FileExt as _, path::Path, sync::Arc};

use crate::layout;

/// Bytes of a block: of a header, and what contents are filled up to.
const BLOCK: u64 = 512;
/// Largest size that eleven octal digits say.
const OCTAL_MAX: u64 = 0o777_7777_7777;

/// Where files are in an archive.
pub(crate) struct Archive {
    file: Arc<File>,
    parts: BTreeMap<String, (u64, u64)>,
}

/// A stretch of a file, read without moving the file's own position.
pub(crate) struct Part {
    file: Arc<File>,
    at: u64,
    left: u64,
}

impl Part {
    pub(crate) fn new(file: Arc<File>, at: u64, size: u64) -> Self {
        Self {
            file,
            at,
            left: size,
        }
    }
}

impl io::Read for Part {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.left)
            .unwrap_or(usize::MAX)
            .min(out.len());
        let read = self
            .file
            .read_at(out.get_mut(..most).unwrap_or_default(), self.at)?;
        self.at += read as u64;
        self.left -= read as u64;
        Ok(read)
    }
}

impl Archive {
    /// Reads the headers. What could be read before the fault is there beside it.
    pub(crate) fn open(path: &Path) -> (Option<Self>, Result<(), String>) {
        let opened = File::open(path).and_then(|file| Ok((file.metadata()?, file)));
        let (meta, file) = match opened {
            Ok(opened) => opened,
            Err(error) => return (None, Err(error.to_string())),
        };
        if !meta.is_file() {
            return (None, Err("is no regular file".to_owned()));
        }
        let mut archive = Self {
            file: Arc::new(file),
            parts: BTreeMap::new(),
        };
        let read = archive.index(meta.len());
        (Some(archive), read)
    }

    /// The paths of its files.
    pub(crate) fn paths(&self) -> impl Iterator<Item = &str> {
        self.parts.keys().map(String::as_str)
    }

    /// A file's content and size.
    pub(crate) fn part(&self, path: &str) -> io::Result<(Part, u64)> {
        let (at, size) = *self.parts.get(path).ok_or(io::ErrorKind::NotFound)?;
        Ok((Part::new(self.file.clone(), at, size), size))
    }

    fn index(&mut self, length: u64) -> Result<(), String> {
        let mut at = 0;
        loop {
            let header = self.block(at)?;
            if header == [0; BLOCK as usize] {
                let is_end = self.block(at + BLOCK)? == header && length == at + 2 * BLOCK;
                let fault = || format!("has bytes after its end at {at}");
                return is_end
                    .then_some(())
                    .ok_or_else(fault)
                    .and_then(|()| self.unpacks());
            }
            let (path, size) =
                read(&header).ok_or_else(|| format!("has no header of a package at {at}"))?;
            if self.parts.len() >= 2 * layout::FILES_MAX {
                return Err(format!("has more than {} files", 2 * layout::FILES_MAX));
            }
            let content = at + BLOCK;
            let end = content.checked_add(size.next_multiple_of(BLOCK));
            let end = end.filter(|end| *end < length);
            let end = end.ok_or_else(|| format!("ends within {path}"))?;
            if size % BLOCK != 0 {
                let block = self.block(end - BLOCK)?;
                let used = usize::try_from(size % BLOCK).unwrap_or_default();
                if block
                    .get(used..)
                    .is_some_and(|rest| rest.iter().any(|byte| *byte != 0))
                {
                    return Err(format!("has bytes between {path} and what follows"));
                }
            }
            if self.parts.insert(path.clone(), (content, size)).is_some() {
                return Err(format!("has {path} twice"));
            }
            at = end;
        }
    }

    /// No file has another below it: no directory could.
    fn unpacks(&self) -> Result<(), String> {
        let folders = |path: &'_ String| -> Vec<String> {
            path.match_indices('/')
                .filter_map(|(at, _)| path.get(..at).map(str::to_owned))
                .collect()
        };
        let below = |path: &&String| folders(path).iter().any(|it| self.parts.contains_key(it));
        match self.parts.keys().find(below) {
            Some(path) => Err(format!("has {path} below a file")),
            None => Ok(()),
        }
    }

    fn block(&self, at: u64) -> Result<[u8; BLOCK as usize], String> {
        let mut block = [0; BLOCK as usize];
        let read = self.file.read_exact_at(&mut block, at);
        read.map_err(|_| format!("ends within the block at {at}"))?;
        Ok(block)
    }
}

/// Path and size of a header, if it is exactly ours.
fn read(bytes: &[u8; BLOCK as usize]) -> Option<(String, u64)> {
    let name = bytes.get(..100)?.split(|byte| *byte == 0).next()?;
    let path = std::str::from_utf8(name)
        .ok()
        .filter(|path| layout::path_is_safe(path))?;
    let size: &[u8; 12] = bytes.get(124..136)?.try_into().ok()?;
    let size = match size {
        [0x80, 0, 0, 0, number @ ..] => u64::from_be_bytes(*number),
        [digits @ .., 0] => u64::from_str_radix(std::str::from_utf8(digits).ok()?, 8).ok()?,
        _ => return None,
    };
    let is_exact = size <= layout::FILE_BYTES_MAX && header(path, size) == *bytes;
    is_exact.then(|| (path.to_owned(), size))
}

/// The one header of a file.
fn header(path: &str, size: u64) -> [u8; BLOCK as usize] {
    let mut content = path.as_bytes().to_vec();
    content.resize(100, 0);
    content.extend_from_slice(b"0000644\0");
    content.resize(124, 0);
    if size <= OCTAL_MAX {
        content.extend_from_slice(format!("{size:011o}\0").as_bytes());
    } else {
        content.extend_from_slice(&[0x80, 0, 0, 0]);
        content.extend_from_slice(&size.to_be_bytes());
    }
    content.extend_from_slice(b"00000000000\0");
    let checksum_at = content.len();
    content.extend_from_slice(b"        0");
    content.resize(257, 0);
    content.extend_from_slice(b"ustar\x0000");
    content.resize(BLOCK as usize, 0);
    let sum: u32 = content.iter().map(|byte| u32::from(*byte)).sum();
    let sum = format!("{sum:07o}\0");
    let mut header = [0; BLOCK as usize];
    for (at, byte) in header.iter_mut().zip(content) {
        *at = byte;
    }
    for (at, byte) in header.iter_mut().skip(checksum_at).zip(sum.bytes()) {
        *at = byte;
    }
    header
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Sink as _, TarSink};

    fn written(size: usize) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut sink = TarSink::new(&mut bytes);
        sink.put("log/a", size as u64, &mut &vec![7; size][..])
            .unwrap();
        sink.put("b.txt", 0, &mut &[][..]).unwrap();
        sink.finish().unwrap();
        drop(sink);
        bytes
    }

    fn open(path: &Path, bytes: &[u8]) -> Result<Vec<String>, String> {
        std::fs::write(path, bytes).unwrap();
        let (archive, read) = Archive::open(path);
        read.map(|()| archive.unwrap().paths().map(str::to_owned).collect())
    }

    #[test]
    fn what_the_sink_writes_is_read_and_every_byte_beside_the_contents_counts() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.vcep");
        let open = |bytes: &[u8]| open(&path, bytes);
        for size in [0, 1, 512, 513] {
            let good = written(size);
            assert_eq!(open(&good).unwrap(), ["b.txt", "log/a"], "{size}");
            for at in (0..good.len()).filter(|at| !(512..512 + size).contains(at)) {
                let mut bad = good.clone();
                bad[at] ^= 1;
                // Another name is another file: the package's lists find it.
                let is_missed = open(&bad).is_ok_and(|paths| paths == ["b.txt", "log/a"]);
                assert!(!is_missed, "byte {at} of {size}");
            }
            for length in (0..good.len()).step_by(7) {
                assert!(open(&good[..length]).is_err(), "{length} bytes of {size}");
            }
            assert!(open(&[&good[..], &[0]].concat()).is_err());
            let entry = good.len() - 1024 - 512;
            let twice = [&good[..entry + 512], &good[entry..]].concat();
            assert!(open(&twice).unwrap_err().contains("twice"));
        }
    }

    #[test]
    fn a_header_of_a_large_file_is_that_of_the_sink() {
        for size in [OCTAL_MAX, OCTAL_MAX + 1, layout::FILE_BYTES_MAX] {
            let mut expected = tar::Header::new_ustar();
            expected.set_path("customer-1.mp4").unwrap();
            expected.set_size(size);
            expected.set_mode(0o644);
            expected.set_entry_type(tar::EntryType::Regular);
            expected.set_cksum();
            assert_eq!(header("customer-1.mp4", size), *expected.as_bytes());
            assert_eq!(
                read(expected.as_bytes()),
                Some(("customer-1.mp4".to_owned(), size))
            );
        }
    }
}
