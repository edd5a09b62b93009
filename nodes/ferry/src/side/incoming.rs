//! What a side takes: in order, each bundle once, each item whole or refused by name.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use guitai_types::UnixMillis;

use crate::{
    bundle::Opened,
    limits::{
        AHEAD_MAX, ANSWERS_MAX, MISSING_MAX, REFUSED_FILES_MAX, REFUSED_ITEMS_MAX, REPORT_BYTES_MAX,
    },
    manifest::{
        ANSWER_FORMAT, Ack, Answer, Item, Manifest, Part, RefusedFile, RefusedItem, WhyFile,
        WhyItem, detail,
    },
    name::{Hash, Kind},
    record::{Outcome, Record},
    side::{Side, outgoing::refused_up_to},
};

/// What a side takes.
#[derive(Debug, Clone, Default)]
pub struct Incoming {
    received: u64,
    /// Statements of the last bundles that were taken, by number.
    taken: BTreeMap<u64, Hash>,
    /// The item that is not whole yet.
    open: Option<Open>,
    items: u64,
    /// Refused items that the other side is not known to have heard of.
    refused: Vec<RefusedItem>,
    /// The last acknowledgement could not say everything.
    is_withheld: bool,
    /// Up to which bundle the other side was told that it was taken.
    told: u64,
    /// Bundles without content that came since.
    untold: u64,
    files: VecDeque<RefusedFile>,
    files_refused: u64,
    pub(super) waiting: BTreeSet<u64>,
    /// Something with content came since the last bundle went.
    has_news: bool,
    missing_told: BTreeSet<u64>,
}

#[derive(Debug, Clone)]
struct Open {
    item: Item,
    offset: u64,
    is_refused: bool,
}

/// What is done with a bundle that the other side signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Judged {
    /// It is the next.
    Take,
    /// It was taken before.
    Duplicate,
    /// It waits for one before it.
    Ahead,
    /// It is refused.
    Refused(WhyFile, String),
}

/// What became of an item.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kept {
    /// It is where it belongs; what the inspection says.
    Accepted(String),
    /// It is nowhere; why, and what the inspection says.
    Refused(WhyItem, String),
}

/// Where items are put together, inspected and kept. Every act may be asked for again after a crash and then
/// gives the same.
pub trait Shelf {
    /// Why it did not work; nothing was decided then.
    type Error;
    /// Keeps a part; what was kept of the item from `offset` on is replaced.
    ///
    /// # Errors
    /// As the place says.
    fn append(&mut self, item: &Item, offset: u64, content: &[u8]) -> Result<(), Self::Error>;
    /// Compares the whole with its digests, inspects it and puts it where it belongs.
    ///
    /// # Errors
    /// As the place says.
    fn finish(&mut self, item: &Item, kind: Kind) -> Result<Kept, Self::Error>;
    /// Forgets what was kept of an item that is refused.
    ///
    /// # Errors
    /// As the place says.
    fn discard(&mut self, item: &Item) -> Result<(), Self::Error>;
}

impl Incoming {
    /// Everything up to this number was taken.
    #[must_use]
    pub const fn received(&self) -> u64 {
        self.received
    }

    /// How many items came whole or were refused.
    #[must_use]
    pub const fn items(&self) -> u64 {
        self.items
    }

    /// The item that is not whole yet, and how much of it is there.
    #[must_use]
    pub fn open(&self) -> Option<(&Item, u64)> {
        self.open.as_ref().map(|open| (&open.item, open.offset))
    }

    /// Bundles that are there and wait for one before them.
    #[must_use]
    pub const fn waiting(&self) -> &BTreeSet<u64> {
        &self.waiting
    }

    /// Numbers that are missing before one that is there.
    #[must_use]
    pub fn missing(&self) -> BTreeSet<u64> {
        let last = self.waiting.last().copied().unwrap_or(0);
        let absent = (self.received + 1..last).filter(|number| !self.waiting.contains(number));
        absent.take(MISSING_MAX).collect()
    }

    /// What the next bundle says of the other direction.
    #[must_use]
    pub fn ack(&self) -> Ack {
        let (received, named) = refused_up_to(&self.refused, self.received, REFUSED_ITEMS_MAX);
        let missing = self.missing().into_iter();
        Ack {
            received,
            tip: self.taken.get(&received).copied(),
            more: received < self.received,
            missing: missing.collect(),
            refused: self.refused.iter().take(named).cloned().collect(),
            files: self.files.iter().cloned().collect(),
            files_refused: self.files_refused,
        }
    }

    pub(super) fn has_news(&self) -> bool {
        let missing = self.missing();
        self.has_news || (!missing.is_empty() && missing != self.missing_told)
    }

    /// Whether bundles came that the other side does not know to be taken.
    pub(super) const fn has_progress(&self) -> bool {
        self.received > self.told
    }

    /// A bundle said this to the other side.
    pub(super) fn told(&mut self, ack: &Ack) {
        self.has_news = false;
        self.is_withheld = ack.more;
        self.told = ack.received;
        self.untold = 0;
        self.missing_told = ack.missing.iter().copied().collect();
    }

    /// The other side knows what became of its bundles up to this number.
    pub(super) fn heard(&mut self, settled: u64) {
        let before = self.refused.len();
        self.refused.retain(|it| it.bundle > settled);
        self.has_news |= self.is_withheld && self.refused.len() < before;
    }

    /// The other side has more to say once it hears that this was heard.
    pub(super) fn asked(&mut self, ack: &Ack) {
        self.has_news |= ack.more;
    }

    pub(super) fn took(
        &mut self,
        number: u64,
        statement: Hash,
        parts: &[Part],
        outcomes: &[Outcome],
    ) {
        self.received = number;
        self.taken.insert(number, statement);
        while self.taken.len() as u64 > 2 * AHEAD_MAX {
            self.taken.pop_first();
        }
        self.waiting.retain(|it| *it > number);
        // Not every acknowledgement is acknowledged, but the other side keeps them until some are.
        self.untold += u64::from(parts.is_empty());
        self.has_news |= !parts.is_empty() || self.untold >= ANSWERS_MAX / 2;
        let refused = |item: u64| {
            let mut refused = outcomes.iter().filter(|it| it.refused.is_some());
            refused.any(|it| it.item == item)
        };
        for part in parts {
            let was_refused = self.open.take().is_some_and(|open| open.is_refused);
            if part.is_last() {
                self.items = part.item.number;
            } else {
                self.open = Some(Open {
                    item: part.item.clone(),
                    offset: part.offset + part.bytes,
                    is_refused: was_refused || refused(part.item.number),
                });
            }
        }
        for outcome in outcomes {
            if let Some(why) = outcome.refused {
                self.refused.push(RefusedItem {
                    item: outcome.item,
                    bundle: number,
                    why,
                    detail: detail(&outcome.inspection),
                });
            }
        }
    }

    pub(super) fn refused_file(&mut self, file: &str, sm3: Option<Hash>, why: WhyFile) {
        self.files_refused += 1;
        self.has_news = true;
        self.files.push_back(RefusedFile {
            file: detail(file),
            sm3,
            why,
        });
        while self.files.len() > REFUSED_FILES_MAX {
            self.files.pop_front();
        }
    }

    /// Whether the parts continue what came before.
    fn follows(&self, parts: &[Part]) -> bool {
        let mut open = self
            .open
            .as_ref()
            .map(|open| (open.item.clone(), open.offset));
        let mut items = self.items;
        for part in parts {
            let continues = match &open {
                Some((item, offset)) => part.item == *item && part.offset == *offset,
                None => part.item.number == items + 1 && part.offset == 0,
            };
            if !continues {
                return false;
            }
            open = (!part.is_last()).then(|| (part.item.clone(), part.offset + part.bytes));
            if part.is_last() {
                items = part.item.number;
            }
        }
        true
    }
}

impl Side {
    /// What is to be done with a bundle that the other side signed.
    #[must_use]
    pub fn judge(&self, manifest: &Manifest, statement: Hash) -> Judged {
        let refused = |why, detail: String| Judged::Refused(why, detail);
        let Manifest {
            ferry,
            from,
            to,
            number,
            previous,
            ack,
            parts,
            ..
        } = manifest;
        if *ferry != self.terms.ferry || *from != self.terms.peer || *to != self.terms.me {
            return refused(WhyFile::Foreign, format!("of {ferry}, from {from} to {to}"));
        }
        let received = self.into.received;
        if *number <= received {
            return match self.into.taken.get(number) {
                Some(taken) if *taken != statement => refused(
                    WhyFile::Conflict,
                    format!("bundle {number} was taken as {taken}"),
                ),
                _ => Judged::Duplicate,
            };
        }
        if *number > received + AHEAD_MAX {
            return refused(
                WhyFile::Ahead,
                format!("bundle {number}, and {received} was the last taken"),
            );
        }
        if *number > received + 1 {
            return Judged::Ahead;
        }
        if *previous != self.into.taken.get(&received).copied() {
            return refused(
                WhyFile::Previous,
                format!("bundle {number} continues another bundle {received}"),
            );
        }
        if !self.into.follows(parts) {
            return refused(
                WhyFile::Parts,
                format!(
                    "parts of bundle {number} do not continue item {}",
                    self.into.items
                ),
            );
        }
        if !self.out.believes(ack) || manifest.settled > received {
            let up_to = ack.received;
            return refused(
                WhyFile::Acknowledgement,
                format!("acknowledges bundle {up_to}, which was not sent so"),
            );
        }
        Judged::Take
    }

    /// Takes a bundle that was judged so: parts go to the shelf, whole items are inspected there, and the record
    /// by which all of it has happened comes back.
    ///
    /// # Errors
    /// As the shelf says; then nothing has happened, and the bundle is taken again.
    pub fn take<S: Shelf>(
        &self,
        opened: &Opened<'_>,
        at: UnixMillis,
        shelf: &mut S,
    ) -> Result<Record, S::Error> {
        let Opened {
            manifest,
            statement,
            sm3,
            bytes,
            contents,
        } = opened;
        let mut outcomes: Vec<Outcome> = Vec::new();
        for (part, content) in manifest.parts.iter().zip(contents) {
            let item = &part.item;
            let open = self
                .into
                .open
                .as_ref()
                .filter(|open| open.item.number == item.number);
            let is_refused = open.is_some_and(|open| open.is_refused);
            if is_refused || outcomes.iter().any(|it| it.item == item.number) {
                continue;
            }
            let kept = match self.admits(item) {
                Ok(kind) => {
                    shelf.append(item, part.offset, content)?;
                    if !part.is_last() {
                        continue;
                    }
                    shelf.finish(item, kind)?
                }
                Err((why, detail)) => Kept::Refused(why, detail),
            };
            let (refused, inspection) = match kept {
                Kept::Accepted(inspection) => (None, inspection),
                Kept::Refused(why, inspection) => {
                    shelf.discard(item)?;
                    (Some(why), inspection)
                }
            };
            let inspection = detail(&inspection);
            outcomes.push(Outcome {
                item: item.number,
                refused,
                inspection,
            });
        }
        Ok(Record::Received {
            at,
            number: manifest.number,
            statement: *statement,
            sm3: *sm3,
            bytes: *bytes,
            parts: manifest.parts.clone(),
            outcomes,
            settled: manifest.settled,
            ack: manifest.ack.clone(),
        })
    }

    /// The kind of an item, where such a one is taken at all.
    fn admits(&self, item: &Item) -> Result<Kind, (WhyItem, String)> {
        let Some(kind) = item.kind.known() else {
            return Err((
                WhyItem::UnknownKind,
                format!("no kind {} is known here", item.kind),
            ));
        };
        if !kind.may_have(&item.name) {
            let endings = kind.endings().join(" ");
            return Err((
                WhyItem::Name,
                format!("the name of a {} ends in one of {endings}", kind.name()),
            ));
        }
        let most = match kind {
            Kind::Report => self.terms.item_bytes.min(REPORT_BYTES_MAX),
            Kind::Recording | Kind::Log => self.terms.item_bytes,
        };
        if item.bytes > most {
            return Err((
                WhyItem::TooLarge,
                format!("{} bytes; at most {most} are taken", item.bytes),
            ));
        }
        Ok(kind)
    }

    /// The acknowledgement that is carried by hand.
    #[must_use]
    pub fn answer(&self, at: UnixMillis) -> Answer {
        Answer {
            format: ANSWER_FORMAT.to_owned(),
            ferry: self.terms.ferry.clone(),
            from: self.terms.me.clone(),
            to: self.terms.peer.clone(),
            at,
            ack: self.into.ack(),
        }
    }
}
