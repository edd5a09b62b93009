//! A writer over the product's log that says what was acknowledged, and the check of what is there
//! afterwards. What an entry holds follows from its index, so that a later life knows what to expect.

use std::{
    collections::BTreeMap,
    io::Write as _,
    path::Path,
    sync::{Arc, mpsc},
};

use guitai_host::{Entropy as _, SeededEntropy, SystemDisk};
use guitai_store::{Wal, wal::Config};

/// Longest entry.
const ENTRY_BYTES_MAX: u64 = 3_000;
/// Requests that wait for their acknowledgement at one time.
const IN_FLIGHT_MAX: usize = 16;
/// Every so many entries those long past are purged, so that segments are removed, too.
const PURGE_EVERY: u64 = 400;
/// So many stay.
const KEPT: u64 = 200;

/// A log with small segments, so that a short run closes, opens and removes many.
fn config() -> Config {
    let mut config = Config::new("log");
    config.segment_bytes = 96 << 10;
    config.grow_bytes = 16 << 10;
    config
}

/// What the entry of this index holds.
fn entry(index: u64) -> Vec<u8> {
    let seeded = SeededEntropy::new(index);
    let mut data = vec![0; 8 + seeded.below(ENTRY_BYTES_MAX) as usize];
    seeded.fill(&mut data);
    data
}

/// Opens the log under `root` and appends until `entries` more are acknowledged; each acknowledgement
/// is a line `entry N`, `vote N` or `purge N` on standard output, written when the log gives it.
///
/// # Errors
/// What the log says when it cannot be opened or stops.
pub fn write(root: &Path, entries: u64) -> Result<(), String> {
    let disk = SystemDisk::new(root).map_err(|error| error.to_string())?;
    let (wal, found) =
        Wal::open(Arc::new(disk), config()).map_err(|error| format!("{error}: {error:?}"))?;
    let (answers, answered) = mpsc::channel();
    let mut next = found.entries.end;
    let until = next.saturating_add(entries);
    let seeded = SeededEntropy::new(next);
    let mut in_flight = 0;
    while next < until || in_flight > 0 {
        if next < until && in_flight < IN_FLIGHT_MAX {
            let first = next;
            next = (first + 1 + seeded.below(4)).min(until);
            let last = next - 1;
            let say = |line: String| {
                let answers = answers.clone();
                move |result: std::io::Result<()>| {
                    if result.is_ok() {
                        let mut out = std::io::stdout().lock();
                        // Nobody listens any more: then nothing was acknowledged to anybody.
                        drop(writeln!(out, "{line}").and_then(|()| out.flush()));
                    }
                    answers.send(result).ok();
                }
            };
            wal.append(
                first,
                (first..next).map(entry).collect(),
                say(format!("entry {last}")),
            );
            in_flight += 1;
            if seeded.chance(5) {
                wal.save_vote_then(last.to_be_bytes().to_vec(), say(format!("vote {last}")));
                in_flight += 1;
            }
            if last / PURGE_EVERY > first.saturating_sub(1) / PURGE_EVERY && last > KEPT {
                let purge = last - KEPT;
                let marker = purge.to_be_bytes().to_vec();
                wal.purge_through_then(purge, marker, say(format!("purge {purge}")));
                in_flight += 1;
            }
            continue;
        }
        let answer = answered.recv().map_err(|error| error.to_string())?;
        answer.map_err(|error| error.to_string())?;
        in_flight -= 1;
    }
    Ok(())
}

/// What was acknowledged: the highest of each kind.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Acknowledged(BTreeMap<String, u64>);

impl Acknowledged {
    /// Takes what the writer said; a line without its end was not said.
    pub fn hear(&mut self, said: &str) {
        for line in said
            .split_inclusive('\n')
            .filter_map(|line| line.strip_suffix('\n'))
        {
            if let Some((kind, number)) = line.split_once(' ')
                && let Ok(number) = number.parse()
            {
                let best = self.0.entry(kind.to_owned()).or_insert(number);
                *best = (*best).max(number);
            }
        }
    }

    /// The highest of a kind.
    pub fn of(&self, kind: &str) -> Option<u64> {
        self.0.get(kind).copied()
    }

    /// Opens the log under `root` and looks for everything acknowledged, byte by byte.
    ///
    /// # Errors
    /// What is missing or wrong.
    pub fn check(&self, root: &Path) -> Result<(), String> {
        let disk = SystemDisk::new(root).map_err(|error| error.to_string())?;
        let (wal, found) =
            Wal::open(Arc::new(disk), config()).map_err(|error| format!("{error}: {error:?}"))?;
        let there = found.entries;
        let wanted = self.of("entry").map_or(0, |last| last + 1);
        if there.end < wanted {
            return Err(format!("acknowledged up to {wanted}, found {there:?}"));
        }
        let purged = found.purged.map_or(0, |purged| purged.index + 1);
        if there.start > purged || self.of("purge").is_some_and(|purge| purge >= purged) {
            return Err(format!(
                "found {there:?}, purged up to {purged}, acknowledged {self:?}"
            ));
        }
        let vote = found
            .vote
            .and_then(|vote| vote.try_into().ok())
            .map(u64::from_be_bytes);
        if vote < self.of("vote") {
            return Err(format!(
                "acknowledged vote {:?}, found {vote:?}",
                self.of("vote")
            ));
        }
        let entries = wal.read(there).map_err(|error| error.to_string())?;
        match entries.iter().find(|(index, data)| *data != entry(*index)) {
            Some((index, _)) => Err(format!("entry {index} is not what was written")),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_lines_were_said() {
        let mut acknowledged = Acknowledged::default();
        acknowledged.hear("entry 3\nvote 2\nentry 2\nentry 9");
        assert_eq!(
            (acknowledged.of("entry"), acknowledged.of("vote")),
            (Some(3), Some(2))
        );
        assert_eq!(acknowledged.of("purge"), None);
    }

    #[test]
    fn what_is_missing_is_found_missing() {
        let dir = tempfile::tempdir().expect("a directory");
        write(dir.path(), 50).expect("written");
        let mut acknowledged = Acknowledged::default();
        acknowledged.hear("entry 49\n");
        acknowledged.check(dir.path()).expect("all there");
        acknowledged.hear("entry 50\n");
        acknowledged
            .check(dir.path())
            .expect_err("50 was never written");
    }
}
