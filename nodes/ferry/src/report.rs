//! What passed the gap, from a side's records: count, size, digests, what the inspection found, what was refused.

use std::collections::BTreeMap;

use guitai_types::{FerryId, SideName, UnixMillis, place::Text};
use serde::Serialize;

use crate::{
    manifest::{Ack, Item, WhyFile, WhyItem},
    name::Hash,
    record::{End, Outcome, Record},
    side::{Side, Terms},
};

/// Hours that a bundle may be unacknowledged before it is a finding, unless asked otherwise.
pub const OVERDUE_HOURS_DEFAULT: u64 = 24;
/// Milliseconds of an hour.
const HOUR_MS: u64 = 3_600_000;

/// What passed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Which gap.
    pub ferry: FerryId,
    /// Whose account it is.
    pub side: SideName,
    /// The other side.
    pub peer: SideName,
    /// When it was made.
    pub at: UnixMillis,
    /// What happened before is left out; all of it where this is left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<UnixMillis>,
    /// Where the journal ended that it was made from.
    pub journal: End,
    /// What left.
    pub sent: Direction,
    /// What entered.
    pub received: Direction,
    /// What somebody must look at.
    pub findings: Vec<Finding>,
}

/// One direction.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Direction {
    /// Bundles that were made or taken.
    pub bundles: u64,
    /// Bytes of their files.
    pub bundle_bytes: u64,
    /// Bundles that went or came more than once.
    pub again: u64,
    /// Bundles that are not acknowledged; of what entered, those that wait for one before them.
    pub outstanding: u64,
    /// Numbers that the receiving side misses.
    pub missing: Vec<u64>,
    /// Items that were kept by the receiving side.
    pub kept: u64,
    /// Their bytes.
    pub kept_bytes: u64,
    /// Items that it refused.
    pub refused: u64,
    /// Files in its drop folder that were no bundles.
    pub files_refused: u64,
    /// Every item.
    pub items: Vec<Passed>,
    /// Those files, where it is this side that refused them.
    pub files: Vec<FileRefused>,
}

/// An item and how far it came.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Passed {
    /// When it was queued or came, and again when more became known.
    pub at: UnixMillis,
    /// Which.
    pub item: Item,
    /// The bundle with its last part.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bundle: Option<u64>,
    /// How far it came.
    pub standing: Standing,
    /// Why it was refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<WhyItem>,
    /// What the inspection found, where this side knows it.
    pub inspection: String,
}

/// How far an item came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Standing {
    /// It is not wholly in bundles.
    Queued,
    /// It is in bundles that are not acknowledged.
    Outstanding,
    /// Some of it came.
    Partial,
    /// It is kept.
    Kept,
    /// It was refused.
    Refused,
}

/// A file that was no bundle.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FileRefused {
    /// When.
    pub at: UnixMillis,
    /// Its name.
    pub file: String,
    /// Its length.
    pub bytes: u64,
    /// SM3 of it, where it was read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sm3: Option<Hash>,
    /// Why.
    pub why: WhyFile,
    /// More, for people.
    pub detail: String,
}

/// What somebody must look at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Of which sort.
    pub fault: Fault,
    /// In both languages.
    pub what: Text,
}

/// Sorts of findings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fault {
    /// An item was refused.
    ItemRefused,
    /// A file in a drop folder was no bundle.
    FileRefused,
    /// A bundle is missing while later ones came.
    Missing,
    /// A bundle is unacknowledged for too long.
    Overdue,
}

/// Answers what passed since a time. `overdue_hours` is how long a bundle may be unacknowledged.
#[must_use]
pub fn report(
    terms: &Terms,
    records: &[Record],
    journal: End,
    since: Option<UnixMillis>,
    at: UnixMillis,
    overdue_hours: u64,
) -> Report {
    let from = since.unwrap_or_default();
    let side = Side::of(terms.clone(), records);
    let mut reading = Reading {
        from,
        ..Reading::default()
    };
    records.iter().for_each(|record| reading.take(record));
    let Reading {
        mut sent,
        mut received,
        out,
        into,
        their_files,
        ..
    } = reading;
    sent.items = shown(out, from);
    received.items = shown(into, from);
    sent.files_refused = their_files;
    sent.outstanding = side.out.outstanding().len() as u64;
    sent.missing = side.out.missing().iter().copied().collect();
    received.outstanding = side.into.waiting().len() as u64;
    received.missing = side.into.missing().into_iter().collect();
    for direction in [&mut sent, &mut received] {
        for it in &direction.items {
            match it.standing {
                Standing::Kept => {
                    direction.kept += 1;
                    direction.kept_bytes += it.item.bytes;
                }
                Standing::Refused => direction.refused += 1,
                Standing::Queued | Standing::Outstanding | Standing::Partial => {}
            }
        }
    }
    let overdue = side.out.outstanding().iter().filter(|(_, it)| {
        it.has_parts && at.since(it.made) >= overdue_hours.saturating_mul(HOUR_MS)
    });
    let overdue: Vec<u64> = overdue.map(|(number, _)| *number).collect();
    let findings = findings(&sent, &received, &overdue, overdue_hours);
    Report {
        ferry: terms.ferry.clone(),
        side: terms.me.clone(),
        peer: terms.peer.clone(),
        at,
        since,
        journal,
        sent,
        received,
        findings,
    }
}

#[derive(Default)]
struct Reading {
    from: UnixMillis,
    sent: Direction,
    received: Direction,
    out: BTreeMap<u64, Passed>,
    into: BTreeMap<u64, Passed>,
    times_sent: BTreeMap<u64, u64>,
    /// Files that the other side had refused in all, and how many of them since.
    their_files_ever: u64,
    their_files: u64,
}

impl Reading {
    fn take(&mut self, record: &Record) {
        let at = record.at();
        let counts = at >= self.from;
        match record {
            Record::Queued { item, .. } => {
                let passed = Passed {
                    at,
                    item: item.clone(),
                    bundle: None,
                    standing: Standing::Queued,
                    why: None,
                    inspection: String::new(),
                };
                self.out.insert(item.number, passed);
            }
            Record::Made {
                number,
                bytes,
                parts,
                ..
            } => {
                if counts {
                    self.sent.bundles += 1;
                    self.sent.bundle_bytes += bytes;
                }
                for part in parts.iter().filter(|part| part.is_last()) {
                    let passed = self.out.get_mut(&part.item.number);
                    // One of which the other side refused the beginning goes on to its end all the same.
                    if let Some(passed) = passed.filter(|it| it.standing == Standing::Queued) {
                        (passed.at, passed.bundle) = (at, Some(*number));
                        passed.standing = Standing::Outstanding;
                    }
                }
            }
            Record::Sent { numbers, .. } => {
                for number in numbers {
                    let times = self.times_sent.entry(*number).or_default();
                    *times += 1;
                    self.sent.again += u64::from(counts && *times > 1);
                }
            }
            Record::Received {
                number,
                bytes,
                parts,
                outcomes,
                ack,
                ..
            } => {
                if counts {
                    self.received.bundles += 1;
                    self.received.bundle_bytes += bytes;
                }
                for part in parts {
                    let outcome = outcomes.iter().find(|it| it.item == part.item.number);
                    self.came(at, *number, &part.item, outcome);
                }
                self.heard(at, ack);
            }
            Record::Duplicate { .. } => self.received.again += u64::from(counts),
            Record::FileRefused {
                file,
                bytes,
                sm3,
                why,
                detail,
                ..
            } => {
                if counts {
                    self.received.files_refused += 1;
                    self.received.files.push(FileRefused {
                        at,
                        file: file.clone(),
                        bytes: *bytes,
                        sm3: *sm3,
                        why: *why,
                        detail: detail.clone(),
                    });
                }
            }
            Record::Answered { ack, .. } => self.heard(at, ack),
            Record::Waiting { .. } => {}
        }
    }

    fn came(&mut self, at: UnixMillis, bundle: u64, item: &Item, outcome: Option<&Outcome>) {
        let passed = self.into.entry(item.number).or_insert_with(|| Passed {
            at,
            item: item.clone(),
            bundle: None,
            standing: Standing::Partial,
            why: None,
            inspection: String::new(),
        });
        passed.at = at;
        if let Some(Outcome {
            refused,
            inspection,
            ..
        }) = outcome
        {
            passed.bundle = Some(bundle);
            passed.standing = refused.map_or(Standing::Kept, |_| Standing::Refused);
            passed.why = *refused;
            passed.inspection.clone_from(inspection);
        }
    }

    fn heard(&mut self, at: UnixMillis, ack: &Ack) {
        let news = ack.files_refused.saturating_sub(self.their_files_ever);
        self.their_files_ever = self.their_files_ever.max(ack.files_refused);
        if at >= self.from {
            self.their_files += news;
        }
        for passed in self.out.values_mut() {
            let is_taken = passed.bundle.is_some_and(|bundle| bundle <= ack.received);
            if is_taken && passed.standing == Standing::Outstanding {
                (passed.at, passed.standing) = (at, Standing::Kept);
            }
        }
        for refused in &ack.refused {
            let passed = self.out.get_mut(&refused.item);
            if let Some(passed) = passed.filter(|it| it.standing != Standing::Refused) {
                (passed.at, passed.standing) = (at, Standing::Refused);
                passed.why = Some(refused.why);
                passed.inspection.clone_from(&refused.detail);
            }
        }
    }
}

/// Items that something happened to since, and those that are on the way whenever they began.
fn shown(items: BTreeMap<u64, Passed>, from: UnixMillis) -> Vec<Passed> {
    let is_over = |it: &Passed| matches!(it.standing, Standing::Kept | Standing::Refused);
    let items = items.into_values();
    items.filter(|it| it.at >= from || !is_over(it)).collect()
}

fn findings(
    sent: &Direction,
    received: &Direction,
    overdue: &[u64],
    overdue_hours: u64,
) -> Vec<Finding> {
    let mut found = Vec::new();
    let mut add = |fault, zh: String, en: String| {
        found.push(Finding {
            fault,
            what: Text { zh, en },
        });
    };
    for (direction, zh_who, en_who) in [
        (sent, "对方", "the other side"),
        (received, "本方", "this side"),
    ] {
        for it in direction
            .items
            .iter()
            .filter(|it| it.standing == Standing::Refused)
        {
            let why = it.why.map_or("", WhyItem::name);
            let (name, inspection) = (&it.item.name, &it.inspection);
            add(
                Fault::ItemRefused,
                format!("{zh_who}拒收 {name}({why}):{inspection}"),
                format!("{en_who} refused {name} ({why}): {inspection}"),
            );
        }
        if !direction.missing.is_empty() {
            let numbers: Vec<String> = direction.missing.iter().map(ToString::to_string).collect();
            let numbers = numbers.join(", ");
            add(
                Fault::Missing,
                format!("{zh_who}缺少编号 {numbers} 的包,后续的包已到"),
                format!("{en_who} misses bundles {numbers} while later ones are there"),
            );
        }
    }
    for file in &received.files {
        let FileRefused {
            file, why, detail, ..
        } = file;
        let why = why.name();
        add(
            Fault::FileRefused,
            format!("本方拒收文件 {file}({why}):{detail}"),
            format!("this side refused the file {file} ({why}): {detail}"),
        );
    }
    if sent.files_refused > 0 {
        let count = sent.files_refused;
        add(
            Fault::FileRefused,
            format!("对方拒收 {count} 个文件"),
            format!("the other side refused {count} file(s)"),
        );
    }
    if !overdue.is_empty() {
        let numbers: Vec<String> = overdue.iter().map(ToString::to_string).collect();
        let numbers = numbers.join(", ");
        add(
            Fault::Overdue,
            format!("编号 {numbers} 的包逾 {overdue_hours} 小时未获确认"),
            format!("bundles {numbers} are unacknowledged for more than {overdue_hours} hours"),
        );
    }
    found
}
