//! The library preloaded into every node: disk faults and clock offsets that come and go while the node
//! runs, and the log of what it writes. Its source is `shim/shim.c`, compiled where the laboratory runs.

use std::{
    fs::{self, File},
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use serde::Serialize;

use crate::error::{LabError, io_error};

/// Words of the control file, in order; `shim.c` names them the same.
#[derive(Debug, Clone, Copy)]
enum Word {
    Sequence,
    WallOffsetNs,
    MonoInNs,
    MonoOutNs,
    MonoPpm,
    SyncsLeft,
    SyncDelayNs,
    Full,
}

/// How many there are.
const WORDS: usize = 8;
/// The largest drift of a node's clock, in parts per million: far past any crystal.
pub const DRIFT_PPM_MAX: i64 = 100_000;

const SOURCE: &str = include_str!("../shim/shim.c");

/// Compiles the shim into `dir`.
///
/// # Errors
/// No compiler, or what it says.
pub fn build(dir: &Path) -> Result<PathBuf, LabError> {
    let (source, library) = (dir.join("shim.c"), dir.join("shim.so"));
    fs::write(&source, SOURCE).map_err(io_error("write", &source))?;
    let output = Command::new("cc")
        .args([
            "-O2",
            "-U_FORTIFY_SOURCE",
            "-Wall",
            "-Werror",
            "-fPIC",
            "-shared",
            "-o",
        ])
        .args([&library, &source])
        .arg("-ldl")
        .output()
        .map_err(io_error("run", "cc (Debian: gcc, libc6-dev)"))?;
    if output.status.success() {
        return Ok(library);
    }
    Err(LabError::Tool {
        line: "cc shim.c".to_owned(),
        said: String::from_utf8_lossy(&output.stderr).into_owned(),
    })
}

/// What is done to one node now.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Faults {
    /// Its wall clock is ahead by so many milliseconds.
    pub clock_ms: i64,
    /// Its monotonic clock runs faster by so many parts per million.
    pub drift_ppm: i64,
    /// After so many more syncs every one fails.
    pub fail_sync_after: Option<u64>,
    /// Every sync takes so much longer, in milliseconds.
    pub slow_ms: u64,
    /// No write finds room.
    pub full: bool,
}

/// The control file of one node's shim.
#[derive(Debug)]
pub(crate) struct Control {
    path: PathBuf,
    file: File,
    sequence: i64,
    faults: Faults,
    /// When the drift began: the machine's monotonic clock, and the node's.
    mono: (i64, i64),
}

impl Control {
    /// A file without faults.
    pub(crate) fn create(path: PathBuf) -> Result<Self, LabError> {
        let file = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(true)
            .open(&path);
        let file = file.map_err(io_error("create", &path))?;
        let mut control = Self {
            path,
            file,
            sequence: 0,
            faults: Faults::default(),
            mono: (0, 0),
        };
        let zeros = [0; WORDS * 8];
        control
            .file
            .write_all_at(&zeros, 0)
            .map_err(io_error("write", &control.path))?;
        control.set(Faults::default())?;
        Ok(control)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) const fn faults(&self) -> Faults {
        self.faults
    }

    /// Puts these faults in force.
    pub(crate) fn set(&mut self, faults: Faults) -> Result<(), LabError> {
        // Odd while the words change: the shim waits for it.
        self.put(Word::Sequence, self.sequence + 1)?;
        if faults.drift_ppm != self.faults.drift_ppm {
            let now = monotonic_ns();
            let node = self.node_monotonic(now);
            self.mono = (now, node);
            self.put(Word::MonoInNs, now)?;
            self.put(Word::MonoOutNs, node)?;
            self.put(Word::MonoPpm, faults.drift_ppm)?;
        }
        self.put(
            Word::WallOffsetNs,
            faults.clock_ms.saturating_mul(1_000_000),
        )?;
        let left = faults
            .fail_sync_after
            .map(|count| i64::try_from(count).unwrap_or(i64::MAX));
        self.put(Word::SyncsLeft, left.unwrap_or(-1))?;
        let slow = Duration::from_millis(faults.slow_ms).as_nanos();
        self.put(Word::SyncDelayNs, i64::try_from(slow).unwrap_or(i64::MAX))?;
        self.put(Word::Full, i64::from(faults.full))?;
        self.sequence += 2;
        self.put(Word::Sequence, self.sequence)?;
        self.faults = faults;
        Ok(())
    }

    fn put(&self, word: Word, value: i64) -> Result<(), LabError> {
        let at = word as u64 * 8;
        let written = self.file.write_all_at(&value.to_ne_bytes(), at);
        written.map_err(io_error("write", &self.path))
    }

    /// The node's monotonic clock, as the shim reckons it.
    const fn node_monotonic(&self, now: i64) -> i64 {
        let (machine, node) = self.mono;
        if machine == 0 {
            return now;
        }
        let passed = now - machine;
        node + passed + passed / 1_000_000 * self.faults.drift_ppm
    }
}

fn monotonic_ns() -> i64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    now.tv_sec
        .saturating_mul(1_000_000_000)
        .saturating_add(now.tv_nsec)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs `sh -c line` under the shim and gives what it said.
    fn under(dir: &Path, faults: Faults, line: &str) -> String {
        let library = build(dir).expect("a C compiler");
        let mut control = Control::create(dir.join("control")).expect("a control file");
        control.set(faults).expect("written");
        let root = dir.join("root");
        fs::create_dir_all(&root).expect("a directory");
        let output = Command::new("sh")
            .args(["-c", line])
            .current_dir(&root)
            .env("LAB_ROOT", &root)
            .env("LAB_CONTROL", control.path())
            .env("LD_PRELOAD", library)
            .output()
            .expect("sh runs");
        String::from_utf8_lossy(&output.stdout).into_owned()
            + &String::from_utf8_lossy(&output.stderr)
    }

    #[test]
    fn a_full_disk_takes_nothing_under_the_root() {
        let dir = tempfile::tempdir().expect("a directory");
        let faults = Faults {
            full: true,
            ..Faults::default()
        };
        let line = "dd if=/dev/zero of=here bs=1 count=1; dd if=/dev/zero of=../there bs=1 count=1";
        let said = under(dir.path(), faults, line);
        assert!(
            said.contains("'here': No space left") || said.contains("No space left"),
            "{said}"
        );
        assert_eq!(
            fs::metadata(dir.path().join("root/here"))
                .expect("made")
                .len(),
            0
        );
        assert_eq!(
            fs::metadata(dir.path().join("there")).expect("made").len(),
            1
        );
        let said = under(
            dir.path(),
            Faults::default(),
            "dd if=/dev/zero of=here bs=1 count=1",
        );
        assert!(!said.contains("No space"), "{said}");
    }

    #[test]
    fn syncs_fail_after_the_number_asked_for() {
        let dir = tempfile::tempdir().expect("a directory");
        let once = "dd if=/dev/zero of=here bs=1 count=1 conv=fdatasync 2>&1";
        let faults = |after| Faults {
            fail_sync_after: after,
            ..Faults::default()
        };
        let said = under(dir.path(), faults(Some(0)), once);
        assert!(said.contains("fdatasync failed"), "{said}");
        let said = under(dir.path(), faults(Some(1)), once);
        assert!(!said.contains("failed"), "{said}");
    }

    #[test]
    fn the_wall_clock_is_where_it_was_put() {
        let dir = tempfile::tempdir().expect("a directory");
        let far = Faults {
            clock_ms: 4_000_000_000_000,
            ..Faults::default()
        };
        let year = |faults| {
            under(dir.path(), faults, "date +%Y")
                .trim()
                .parse::<u32>()
                .expect("a year")
        };
        assert!(year(far) > year(Faults::default()) + 100);
    }
}
