//! Where a package goes while it is made: a directory, a tar stream, or nowhere (only its digests
//! are wanted).

use std::{
    fs,
    io::{self, Read, Write},
    path::{Path, PathBuf},
};

/// Takes the files of a package one after the other.
pub trait Sink {
    /// Takes one file of exactly `size` bytes. The path was checked by the builder.
    fn put(&mut self, path: &str, size: u64, content: &mut dyn Read) -> io::Result<()>;
    /// Called once, after the last file.
    fn finish(&mut self) -> io::Result<()>;
}

/// Writes into a directory that must be empty or not exist.
#[derive(Debug)]
pub struct DirSink {
    dir: PathBuf,
}

impl DirSink {
    /// Creates the directory; refuses one that holds anything.
    pub fn create(dir: &Path) -> io::Result<Self> {
        fs::create_dir_all(dir)?;
        if fs::read_dir(dir)?.next().is_some() {
            let text = format!("{} is not empty", dir.display());
            return Err(io::Error::new(io::ErrorKind::DirectoryNotEmpty, text));
        }
        Ok(Self {
            dir: dir.to_path_buf(),
        })
    }
}

impl Sink for DirSink {
    fn put(&mut self, path: &str, size: u64, content: &mut dyn Read) -> io::Result<()> {
        let to = self.dir.join(path);
        if let Some(parent) = to.parent() {
            fs::create_dir_all(parent)?;
        }
        let mut file = fs::File::create_new(&to)?;
        exactly(size, io::copy(&mut content.take(size), &mut file)?)
    }

    fn finish(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Writes a tar stream: POSIX headers, mode 0644, no owner, no times, so that the same package is
/// the same bytes.
pub struct TarSink<W: Write> {
    tar: tar::Builder<W>,
}

impl<W: Write> TarSink<W> {
    /// Starts a stream.
    pub fn new(out: W) -> Self {
        Self {
            tar: tar::Builder::new(out),
        }
    }
}

impl<W: Write> Sink for TarSink<W> {
    fn put(&mut self, path: &str, size: u64, content: &mut dyn Read) -> io::Result<()> {
        let mut header = tar::Header::new_ustar();
        header.set_size(size);
        header.set_mode(0o644);
        header.set_entry_type(tar::EntryType::Regular);
        let mut counted = Counted {
            inner: content.take(size),
            read: 0,
        };
        self.tar.append_data(&mut header, path, &mut counted)?;
        exactly(size, counted.read)
    }

    fn finish(&mut self) -> io::Result<()> {
        self.tar.finish()?;
        self.tar.get_mut().flush()
    }
}

/// Takes every file and keeps none.
#[derive(Debug, Default)]
pub struct NoSink;

impl Sink for NoSink {
    fn put(&mut self, _path: &str, size: u64, content: &mut dyn Read) -> io::Result<()> {
        exactly(size, io::copy(&mut content.take(size), &mut io::sink())?)
    }

    fn finish(&mut self) -> io::Result<()> {
        Ok(())
    }
}

struct Counted<R> {
    inner: R,
    read: u64,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(out)?;
        self.read += read as u64;
        Ok(read)
    }
}

fn exactly(wanted: u64, got: u64) -> io::Result<()> {
    if got == wanted {
        return Ok(());
    }
    let text = format!("content has {got} bytes, {wanted} were announced");
    Err(io::Error::new(io::ErrorKind::UnexpectedEof, text))
}
