//! What a side sends: the queue, the bundles that were made, and what the other side says of them.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use guitai_crypto::sm3;
use guitai_types::UnixMillis;

use crate::{
    bundle::{self, SealError, Sealed, Signer},
    limits::{ANSWERS_MAX, NAME_BYTES_MAX, PARTS_MAX},
    manifest::{self, Ack, FORMAT, Manifest, Part, RefusedItem},
    name::Hash,
    record::Record,
    side::Side,
};

/// What a side sends.
#[derive(Debug, Clone, Default)]
pub struct Outgoing {
    /// Items that are not wholly in bundles, each with how much of it is.
    queue: VecDeque<(manifest::Item, u64)>,
    /// Items that are in bundles, until the other side has acknowledged them.
    items: BTreeMap<u64, Item>,
    queued: u64,
    made: u64,
    tip: Option<Hash>,
    outstanding: BTreeMap<u64, Outstanding>,
    acknowledged: u64,
    missing: BTreeSet<u64>,
    /// The other side sent something again, so it may not have our acknowledgement.
    pub(super) echo: bool,
}

/// An item that is in bundles.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// Which.
    pub item: manifest::Item,
    /// The bundle with its last part.
    pub bundle: u64,
}

/// A bundle that is not acknowledged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outstanding {
    /// SM3 of its statement.
    pub statement: Hash,
    /// Length of its file.
    pub bytes: u64,
    /// When it was made.
    pub made: UnixMillis,
    /// When it was put into the drop folder last.
    pub sent: Option<UnixMillis>,
    /// It carries more than an acknowledgement.
    pub has_parts: bool,
}

/// What the next bundle is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Plan {
    /// There is nothing to send and nothing to say.
    Nothing,
    /// There is, but too many bundles are unacknowledged.
    Full,
    /// These stretches: item, where it begins, how long it is.
    Bundle(Vec<(manifest::Item, u64, u64)>),
}

/// Where content comes from.
pub trait Spool {
    /// Why it could not be had.
    type Error;
    /// Reads a stretch of an item.
    ///
    /// # Errors
    /// As the place says.
    fn read(
        &mut self,
        item: &manifest::Item,
        offset: u64,
        bytes: u64,
    ) -> Result<Vec<u8>, Self::Error>;
}

/// Why a bundle was not made.
#[derive(Debug, thiserror::Error)]
pub enum MakeError<E> {
    /// Content could not be had.
    #[error("content could not be read")]
    Spool(E),
    /// It could not be signed.
    #[error(transparent)]
    Seal(#[from] SealError),
}

impl Outgoing {
    /// The number that the next item gets.
    #[must_use]
    pub const fn next_item(&self) -> u64 {
        self.queued + 1
    }

    /// Number of the last bundle.
    #[must_use]
    pub const fn last(&self) -> u64 {
        self.made
    }

    /// Bundles that are unacknowledged, by number.
    #[must_use]
    pub const fn outstanding(&self) -> &BTreeMap<u64, Outstanding> {
        &self.outstanding
    }

    /// Everything up to this number was acknowledged.
    #[must_use]
    pub const fn acknowledged_up_to(&self) -> u64 {
        self.acknowledged
    }

    /// Items that no bundle has wholly, in order, each with the bytes that bundles have.
    pub fn waiting(&self) -> impl Iterator<Item = &(manifest::Item, u64)> {
        self.queue.iter()
    }

    /// Items that are in bundles and not acknowledged.
    pub fn on_the_way(&self) -> impl Iterator<Item = &Item> {
        self.items.values()
    }

    /// Bundles that the other side misses.
    #[must_use]
    pub const fn missing(&self) -> &BTreeSet<u64> {
        &self.missing
    }

    pub(super) fn queue(&mut self, item: &manifest::Item) {
        self.queued = item.number;
        self.queue.push_back((item.clone(), 0));
    }

    pub(super) fn made_one(
        &mut self,
        at: UnixMillis,
        number: u64,
        statement: Hash,
        bytes: u64,
        parts: &[Part],
    ) {
        self.made = number;
        self.tip = Some(statement);
        for part in parts {
            if part.is_last() {
                self.queue.pop_front();
                let item = part.item.clone();
                let bundle = number;
                self.items.insert(item.number, Item { item, bundle });
            } else if let Some((_, cut)) = self.queue.front_mut() {
                *cut = part.offset + part.bytes;
            }
        }
        let has_parts = !parts.is_empty();
        let made = Outstanding {
            statement,
            bytes,
            made: at,
            sent: None,
            has_parts,
        };
        self.outstanding.insert(number, made);
    }

    pub(super) fn put(&mut self, at: UnixMillis, numbers: &[u64]) {
        for number in numbers {
            self.missing.remove(number);
            if let Some(outstanding) = self.outstanding.get_mut(number) {
                outstanding.sent = Some(at);
            }
        }
        self.echo = false;
    }

    pub(super) fn acknowledged(&mut self, ack: &Ack) {
        // An older one says nothing new.
        if ack.received < self.acknowledged {
            return;
        }
        self.acknowledged = ack.received;
        self.outstanding.retain(|number, _| *number > ack.received);
        self.items.retain(|_, item| item.bundle > ack.received);
        let missing = ack.missing.iter().copied();
        self.missing = missing
            .filter(|number| self.outstanding.contains_key(number))
            .collect();
    }

    /// Whether an acknowledgement is of what was made here.
    pub(super) fn believes(&self, ack: &Ack) -> bool {
        let known = self.outstanding.get(&ack.received);
        let is_tip = known.is_none_or(|known| Some(known.statement) == ack.tip);
        ack.received <= self.made && is_tip && ack.missing.iter().all(|it| *it <= self.made)
    }

    pub(super) fn again(&self, now: UnixMillis, every: bool, again_ms: u64) -> Vec<u64> {
        let is_late = |it: &Outstanding| {
            let late = |sent: UnixMillis| again_ms > 0 && now.since(sent) >= again_ms;
            it.sent.is_none_or(late)
        };
        // A late bundle with content is of no use there without those before it, so these go too; an
        // acknowledgement alone is never late.
        let mut late = self.outstanding.iter().rev();
        let late = late.find(|(_, it)| it.sent.is_none() || (it.has_parts && is_late(it)));
        let up_to = late.map_or(0, |(number, _)| *number);
        let due = |number: u64, it: &Outstanding| number <= up_to && is_late(it);
        let goes = |(number, it): &(&u64, &Outstanding)| {
            every
                || due(**number, it)
                || self.missing.contains(number)
                || (self.echo && !it.has_parts)
        };
        self.outstanding
            .iter()
            .filter(goes)
            .map(|(number, _)| *number)
            .collect()
    }
}

impl Side {
    /// What the next bundle would be.
    #[must_use]
    pub fn plan(&self) -> Plan {
        let with_parts = self
            .out
            .outstanding
            .values()
            .filter(|it| it.has_parts)
            .count() as u64;
        let is_full = with_parts >= self.terms.outstanding;
        let mut left = self.terms.content_bytes;
        let mut parts = Vec::new();
        for (item, cut) in &self.out.queue {
            let bytes = (item.bytes - cut).min(left);
            // A part without bytes would bring nothing on, but for an item that has none.
            if is_full || parts.len() == PARTS_MAX || (bytes == 0 && item.bytes > 0) {
                break;
            }
            left -= bytes;
            parts.push((item.clone(), *cut, bytes));
            if cut + bytes < item.bytes {
                break;
            }
        }
        let answers = self.out.outstanding.len() as u64 - with_parts;
        match (parts.is_empty(), self.into.has_news()) {
            (false, _) => Plan::Bundle(parts),
            // That something was taken is always said: the other side may be waiting for it, as full as this one.
            (true, true) if answers < ANSWERS_MAX || self.into.has_progress() => {
                Plan::Bundle(Vec::new())
            }
            (true, true) => Plan::Full,
            (true, false) if self.out.queue.is_empty() => Plan::Nothing,
            (true, false) => Plan::Full,
        }
    }

    /// Makes the bundle of a plan, and the record by which it is made.
    ///
    /// # Errors
    /// When content cannot be had, or the manifest does not fit a note.
    pub fn make<S: Spool>(
        &self,
        plan: &[(manifest::Item, u64, u64)],
        at: UnixMillis,
        signer: &Signer,
        spool: &mut S,
    ) -> Result<(Record, Vec<u8>), MakeError<S::Error>> {
        let mut contents = Vec::new();
        let mut parts = Vec::new();
        for (item, offset, bytes) in plan {
            let content = spool
                .read(item, *offset, *bytes)
                .map_err(MakeError::Spool)?;
            parts.push(Part {
                item: item.clone(),
                offset: *offset,
                bytes: *bytes,
                sm3: Hash(sm3::hash(&content)),
            });
            contents.push(content);
        }
        let manifest = Manifest {
            format: FORMAT.to_owned(),
            ferry: self.terms.ferry.clone(),
            from: self.terms.me.clone(),
            to: self.terms.peer.clone(),
            number: self.out.made + 1,
            previous: self.out.tip,
            at,
            settled: self.out.acknowledged,
            ack: self.into.ack(),
            parts,
        };
        let Sealed { bytes, statement } = bundle::seal(&manifest, &contents, signer)?;
        let record = Record::Made {
            at,
            number: manifest.number,
            statement,
            sm3: Hash(sm3::hash(&bytes)),
            bytes: bytes.len() as u64,
            parts: manifest.parts,
            ack: manifest.ack,
        };
        Ok((record, bytes))
    }

    /// The record of an acknowledgement that came by hand; nothing when it is not of what was sent here.
    #[must_use]
    pub fn answered(&self, answer: &manifest::Answer, at: UnixMillis) -> Option<Record> {
        let is_ours = answer.ferry == self.terms.ferry
            && answer.from == self.terms.peer
            && answer.to == self.terms.me;
        let ack = answer.ack.clone();
        (is_ours && self.out.believes(&ack)).then_some(Record::Answered { at, ack })
    }
}

// The largest manifest fits a note: 600 bytes cover a part or a file beside the item's name, and every byte of a
// detail may need an escape.
const _: () = assert!(
    PARTS_MAX * (600 + NAME_BYTES_MAX)
        + crate::limits::REFUSED_ITEMS_MAX * (150 + 2 * crate::limits::DETAIL_BYTES_MAX)
        + crate::limits::REFUSED_FILES_MAX * 600
        + crate::limits::MISSING_MAX * 17
        + 2048
        <= guitai_tlog::note::NOTE_BYTES_MAX
);

/// Of which items an acknowledgement says that they were refused.
pub(super) fn refused_up_to(refused: &[RefusedItem], received: u64, max: usize) -> (u64, usize) {
    match refused.get(max) {
        // What is not named must not be acknowledged, or the sender would take it for kept.
        Some(first_unnamed) => {
            let up_to = received.min(first_unnamed.bundle.saturating_sub(1));
            let named = refused.iter().take(max).filter(|it| it.bundle <= up_to);
            (up_to, named.count())
        }
        None => (received, refused.len()),
    }
}
