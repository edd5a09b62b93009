//! Is an acknowledged write on the platter? A real process over the product's log, killed again and
//! again, and cut off from power at many points of what it really wrote. These are two things: `SIGKILL`
//! leaves what the kernel holds, a power cut does not.
//!
//! `GUITAI_KILLS` and `GUITAI_REAL_CUTS` set how many; the usual numbers suit a pull request.

use std::{
    io::{BufRead as _, BufReader, Read as _},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use guitai_host::SeededEntropy;
use guitai_lab::{
    shim,
    workload::Acknowledged,
    writes::{Platter, Survives, Write, read},
};

/// Entries of the run whose power is cut: some twenty segments, closed, opened and removed.
const ENTRIES: u64 = 1_000;

fn asked(name: &str, usual: u64) -> u64 {
    let text = std::env::var(name).ok();
    text.and_then(|text| text.parse().ok()).unwrap_or(usual)
}

fn writer(dir: &Path, entries: u64) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_writer"));
    command
        .arg(dir)
        .arg(entries.to_string())
        .stdin(Stdio::null());
    command
}

/// Memory where there is some: a cut is laid out in a moment and thrown away.
fn scratch() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    let made = if memory.is_dir() {
        tempfile::tempdir_in(memory)
    } else {
        tempfile::tempdir()
    };
    made.expect("a directory")
}

#[test]
fn nothing_acknowledged_is_lost_by_a_kill() {
    let dir = tempfile::tempdir().expect("a directory");
    let seeded = SeededEntropy::new(1);
    let mut acknowledged = Acknowledged::default();
    let (kills, mut in_the_middle) = (asked("GUITAI_KILLS", 20), 0);
    for kill in 0..kills {
        let mut child = writer(dir.path(), 1_000_000)
            .stdout(Stdio::piped())
            .spawn()
            .expect("it starts");
        let mut out = BufReader::new(child.stdout.take().expect("piped"));
        let mut said = String::new();
        // Some are killed while they start and open the log, most while they write.
        if !seeded.chance(20) {
            out.read_line(&mut said).expect("text");
        }
        std::thread::sleep(Duration::from_micros(seeded.below(40_000)));
        child.kill().expect("killed");
        out.read_to_string(&mut said).expect("text");
        let status = child.wait().expect("reaped");
        assert_eq!(status.code(), None, "it ended by itself: {status}");
        in_the_middle += u64::from(!said.is_empty());
        acknowledged.hear(&said);
        if let Err(what) = acknowledged.check(dir.path()) {
            panic!("kill {kill}: {what}");
        }
    }
    let last = acknowledged.of("entry").unwrap_or(0);
    println!(
        "{kills} kills, {in_the_middle} after an acknowledgement, {last} entries: nothing lost"
    );
    assert!(
        in_the_middle * 2 > kills,
        "most must fall into the writing: {in_the_middle} of {kills}"
    );
}

/// Runs the writer under the shim; what it wrote, and the directory it wrote to.
fn recorded(dir: &Path) -> (Vec<Write>, PathBuf) {
    let shim = shim::build(dir).expect("a C compiler");
    let root = dir.join("root");
    std::fs::create_dir(&root).expect("made");
    let root = root.canonicalize().expect("it is there");
    let log = dir.join("writes");
    let output = writer(&root, ENTRIES)
        .env("LD_PRELOAD", shim)
        .env("LAB_ROOT", &root)
        .env("LAB_LOG", &log)
        .output()
        .expect("it runs");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    (read(&log).expect("a log of writes"), root)
}

/// Cuts the power at `cuts` points, three ways each; what was lost, by cut.
fn cut(writes: &[Write], root: &Path, cuts: u64, lying: bool) -> Result<u64, String> {
    let scratch = scratch();
    let mut platter = Platter::new(root);
    if lying {
        platter.dangerous_ignore_sync();
    }
    let seeded = SeededEntropy::new(7);
    let total = writes.len() as u64;
    let mut acknowledged = Acknowledged::default();
    let (mut done, mut at) = (0, 0);
    for write in writes {
        platter.take(write);
        at += 1;
        if let Write::Said { text } = write {
            acknowledged.hear(text);
        }
        // Spread evenly over the run, several at one point when there are more cuts than points.
        while done < cuts * 3 && done * total < at * cuts * 3 {
            let survives = match done % 3 {
                0 => Survives::Nothing,
                1 => Survives::Some(seeded.next()),
                _ => Survives::Some(seeded.next() | 1),
            };
            let place = scratch.path().join(done.to_string());
            std::fs::create_dir(&place).expect("made");
            platter
                .cut(survives, &place)
                .map_err(|error| error.to_string())?;
            let checked = acknowledged.check(&place);
            std::fs::remove_dir_all(&place).expect("removed");
            checked
                .map_err(|what| format!("cut {done} after write {at} ({survives:?}): {what}"))?;
            done += 1;
        }
    }
    Ok(done)
}

#[test]
fn nothing_acknowledged_is_lost_by_a_power_cut() {
    let dir = tempfile::tempdir().expect("a directory");
    let (writes, root) = recorded(dir.path());
    let syncs = writes
        .iter()
        .filter(|write| matches!(write, Write::SyncEnds { .. }))
        .count();
    let removed = writes
        .iter()
        .filter(|write| matches!(write, Write::Remove { .. }))
        .count();
    assert!(
        syncs > 30 && removed > 2,
        "{syncs} syncs, {removed} segments removed"
    );
    match cut(&writes, &root, asked("GUITAI_REAL_CUTS", 300) / 3, false) {
        Ok(cuts) => println!(
            "{cuts} power cuts over {} writes, {syncs} syncs: nothing lost",
            writes.len()
        ),
        Err(what) => panic!("{what}"),
    }
}

#[test]
fn a_disk_that_lies_about_syncing_is_found_out() {
    let dir = tempfile::tempdir().expect("a directory");
    let (writes, root) = recorded(dir.path());
    let found = cut(&writes, &root, 20, true).expect_err("nothing was durable");
    assert!(found.contains("acknowledged"), "{found}");
}
