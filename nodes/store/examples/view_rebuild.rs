//! How long until a garbled view is whole again: opened, found damaged, set aside, filled anew
//! as a node does from its snapshot and log, sealed, flushed.
//!
//! ```text
//! cargo run --release -p guitai-store --example view_rebuild      # GUITAI_KEYS=1000000 GUITAI_ROUNDS=3
//! ```

#![expect(
    clippy::disallowed_methods,
    reason = "a measurement reads the real clock"
)]

use std::{
    error::Error,
    fs,
    os::unix::fs::FileExt as _,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use guitai_host::{Entropy as _, Kv, Pair, SeededEntropy, fill};
use guitai_store::{
    OpenOutcome, OpenViewError, RedbView, STORAGE_KEY_BYTES, SealedView, Sealing, SledView,
};

/// The product's.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// A record of the state has about this many bytes.
const VALUE_BYTES: usize = 200;
/// Bytes overwritten to garble a view.
const GARBLED: u64 = 64;

type Outcome<T> = Result<T, Box<dyn Error>>;

fn main() -> Outcome<()> {
    let asked = |name: &str, usual: u64| {
        let text = std::env::var(name).ok();
        text.and_then(|text| text.parse().ok()).unwrap_or(usual)
    };
    let (keys, rounds) = (asked("GUITAI_KEYS", 1_000_000), asked("GUITAI_ROUNDS", 3));
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    println!(
        "{keys} keys of {VALUE_BYTES} bytes, sealed; load {}",
        load.trim()
    );
    for round in 0..rounds {
        // In turn, so that what else the machine does meets both.
        measure("sled", round, keys, SledView::open)?;
        measure("redb", round, keys, RedbView::open)?;
    }
    Ok(())
}

fn measure<V: Kv>(
    engine: &str,
    seed: u64,
    keys: u64,
    open: impl Fn(&Path) -> Result<OpenOutcome<V>, OpenViewError>,
) -> Outcome<()> {
    let parent = tempfile::tempdir()?;
    let dir = parent.path().join("view");
    let sealing = Arc::new(Sealing::new(&[7; STORAGE_KEY_BYTES]));
    let view = SealedView::new(open(&dir)?.view, Arc::clone(&sealing));
    fill(&view, state(keys))?;
    view.flush()?;
    drop(view);

    // Until a reader notices: a few bytes may lie where nothing is.
    let seeded = SeededEntropy::new(seed);
    let mut tries = 0;
    let (opened, found, view) = loop {
        tries += 1;
        garble(&dir, &seeded)?;
        let began = Instant::now();
        let OpenOutcome { view, rebuilt, .. } = open(&dir)?;
        if rebuilt {
            break (began, began.elapsed(), view);
        }
    };
    let view = SealedView::new(view, sealing);
    fill(&view, state(keys))?;
    view.flush()?;
    let whole = opened.elapsed();
    let there = view.scan(b"state/")?.len() as u64;
    if there != keys {
        return Err(format!("{engine}: {there} of {keys} keys are there").into());
    }
    let seconds = |time: Duration| time.as_secs_f64();
    println!(
        "{engine:<5} whole again after {:>6.2} s, of which {:>5.2} s to find the damage ({tries} tries to do any)",
        seconds(whole),
        seconds(found)
    );
    Ok(())
}

fn state(keys: u64) -> impl Iterator<Item = Pair> {
    (0..keys).map(|key| {
        let mut value = vec![0; VALUE_BYTES];
        SeededEntropy::new(key).fill(&mut value);
        (format!("state/ticket/{key:032x}").into_bytes(), value)
    })
}

/// Overwrites bytes here and there in the largest file of the view.
fn garble(dir: &Path, seeded: &SeededEntropy) -> Outcome<()> {
    let mut files = Vec::new();
    if dir.is_file() {
        files.push(dir.to_owned());
    } else {
        for entry in fs::read_dir(dir)? {
            files.push(entry?.path());
        }
    }
    let size = |path: &std::path::PathBuf| path.metadata().map_or(0, |meta| meta.len());
    let largest = files.into_iter().max_by_key(size).ok_or("an empty view")?;
    let file = fs::File::options().write(true).open(&largest)?;
    let len = file.metadata()?.len();
    for _ in 0..GARBLED {
        file.write_all_at(
            &seeded.next().to_le_bytes(),
            seeded.below(len.saturating_sub(8)),
        )?;
    }
    Ok(())
}
