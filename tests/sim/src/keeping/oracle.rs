//! Who judges: counts days by walking along a calendar of its own, keeps its own books of what was said of each
//! recording, and asks the core nothing.

use std::collections::BTreeMap;

use guitai_types::{
    ClassId, NodeName, SessionId,
    record::Session,
    retention::{Classing, Matrix, Period, StartsAt},
};

/// Beijing is eight hours ahead.
const EIGHT_HOURS_MS: u64 = 8 * 60 * 60 * 1000;
const DAY_MS: u64 = 24 * 60 * 60 * 1000;

/// What was promised to a class, as (state clock, months, months after a dispute); no months is for ever.
type Promised = Vec<(u64, Option<u32>, u32)>;

#[derive(Default)]
pub(super) struct Oracle {
    books: BTreeMap<SessionId, Book>,
    promised: BTreeMap<ClassId, Promised>,
    from_recording: BTreeMap<ClassId, bool>,
    away: BTreeMap<NodeName, u64>,
}

/// One recording.
struct Book {
    began: u64,
    ended: u64,
    /// Day numbers: end, end of a dispute.
    classes: BTreeMap<ClassId, (Option<u64>, Option<u64>)>,
    held: bool,
    holds: u32,
    copies: BTreeMap<NodeName, bool>,
    /// When what is known of it last changed.
    moved: u64,
}

impl Oracle {
    pub(super) fn matrix(&mut self, matrix: &Matrix, clock: u64) {
        for rule in &matrix.classes {
            let months = |period: Period| match period {
                Period::Months(months) => Some(months),
                Period::Forever => None,
            };
            let given = self.promised.entry(rule.id.clone()).or_default();
            given.push((
                clock,
                months(rule.minimum),
                months(rule.dispute).unwrap_or(0),
            ));
            let from_recording = rule.starts == StartsAt::Recorded;
            self.from_recording.insert(rule.id.clone(), from_recording);
        }
    }

    /// A new matrix may move every date.
    pub(super) fn all_moved(&mut self, now: u64) {
        self.books.values_mut().for_each(|book| book.moved = now);
    }

    pub(super) fn sealed(&mut self, session: &Session, nodes: &[NodeName], now: u64) {
        let book = Book {
            began: session.started_at.0,
            ended: session.ended_at.map_or(now, |at| at.0),
            classes: BTreeMap::new(),
            held: false,
            holds: 0,
            copies: nodes.iter().map(|node| (node.clone(), false)).collect(),
            moved: now,
        };
        self.books.insert(session.id.clone(), book);
    }

    pub(super) fn classed(&mut self, session: &SessionId, classing: &Classing, now: u64) {
        let Some(book) = self.books.get_mut(session) else {
            return;
        };
        let (ends, dispute) = book.classes.entry(classing.class.clone()).or_default();
        if let Some(day) = classing.ends {
            *ends = Some(number_of(&day.to_string()));
        }
        if let Some(day) = classing.dispute_ended {
            *dispute = Some(number_of(&day.to_string()));
        }
        book.moved = now;
    }

    pub(super) fn held(&mut self, session: &SessionId, now: u64) -> Result<(), String> {
        let book = self.books.get_mut(session).ok_or("no book")?;
        if book.copies.values().any(|erased| *erased) {
            return Err(format!("{session} was held though a copy was erased"));
        }
        book.held = true;
        book.holds += 1;
        book.moved = now;
        Ok(())
    }

    pub(super) fn released(&mut self, session: &SessionId, now: u64) {
        if let Some(book) = self.books.get_mut(session) {
            book.held = false;
            book.moved = now;
        }
    }

    /// The hold that is open; there is never more than one here.
    pub(super) fn hold_of(&self, session: &SessionId) -> Option<u32> {
        let book = self.books.get(session)?;
        book.held.then_some(book.holds)
    }

    /// Whether a copy was erased.
    pub(super) fn is_begun(&self, session: &SessionId) -> bool {
        let book = self.books.get(session);
        book.is_some_and(|book| book.copies.values().any(|erased| *erased))
    }

    /// A node has a replica: it has to be erased there as well.
    pub(super) fn copied(&mut self, session: &SessionId, node: &NodeName) {
        if let Some(book) = self.books.get_mut(session) {
            book.copies.entry(node.clone()).or_insert(false);
        }
    }

    pub(super) fn away(&mut self, node: &NodeName, back: u64) {
        let until = self.away.entry(node.clone()).or_default();
        *until = back.max(*until);
    }

    /// Judges an erasure at the moment it happens.
    pub(super) fn erases(
        &mut self,
        session: &SessionId,
        node: &NodeName,
        now: u64,
    ) -> Result<(), String> {
        let until = self.until(session);
        let today = (now + EIGHT_HOURS_MS) / DAY_MS;
        let book = self
            .books
            .get_mut(session)
            .ok_or("erased before it was sealed")?;
        if book.held {
            return Err(format!("EARLY: {session} was erased under a hold"));
        }
        // When one copy is gone, nothing that is said later brings the recording back.
        let is_begun = book.copies.values().any(|erased| *erased);
        match until {
            _ if is_begun => {}
            Some(until) if today > until => {}
            other => {
                return Err(format!(
                    "EARLY: {session} erased on day {today}, kept until {other:?}"
                ));
            }
        }
        book.copies.insert(node.clone(), true);
        Ok(())
    }

    /// Nothing that may go is there longer than a day after it could.
    pub(super) fn nothing_late(&self, now: u64) -> Result<(), String> {
        for (session, book) in &self.books {
            if book.held || book.classes.is_empty() || book.copies.values().all(|erased| *erased) {
                continue;
            }
            let Some(until) = self.until(session) else {
                continue;
            };
            let over = (until + 1) * DAY_MS - EIGHT_HOURS_MS;
            for (node, _) in book.copies.iter().filter(|(_, erased)| !**erased) {
                let back = self.away.get(node).copied().unwrap_or(0);
                let from = over.max(book.moved).max(back);
                if now > from + DAY_MS {
                    let late = (now - from) / DAY_MS;
                    return Err(format!(
                        "LATE: {session} is still on {node} after {late} days"
                    ));
                }
            }
        }
        Ok(())
    }

    /// The number of the last day; `None` is for ever.
    fn until(&self, session: &SessionId) -> Option<u64> {
        let book = self.books.get(session)?;
        let mut last = None;
        for (class, (ends, dispute)) in &book.classes {
            let promised = self.promised.get(class)?;
            // Every promise that was in force when it began, or came after.
            let first = promised.iter().rposition(|(since, ..)| *since < book.began);
            let in_force = promised.iter().skip(first.unwrap_or(0));
            let mut longest = Some(0);
            let mut after_dispute = 0;
            for (_, months, dispute) in in_force {
                longest = longest.zip(*months).map(|(one, other)| one.max(other));
                after_dispute = after_dispute.max(*dispute);
            }
            let from_recording = self.from_recording.get(class).copied()?;
            let begins = if from_recording {
                (book.ended + EIGHT_HOURS_MS) / DAY_MS
            } else {
                (*ends)?
            };
            let mut day = after(begins, longest?);
            if let Some(settled) = dispute {
                day = day.max(after(*settled, after_dispute));
            }
            last = Some(last.map_or(day, |last: u64| last.max(day)));
        }
        last
    }
}

fn is_leap(year: u64) -> bool {
    year.is_multiple_of(400) || (year.is_multiple_of(4) && !year.is_multiple_of(100))
}

fn length(year: u64, month: u64) -> u64 {
    match month {
        2 if is_leap(year) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days since 1 January 1970, counted month by month.
fn number(year: u64, month: u64, day: u64) -> u64 {
    let years: u64 = (1970..year)
        .map(|it| if is_leap(it) { 366 } else { 365 })
        .sum();
    let months: u64 = (1..month).map(|it| length(year, it)).sum();
    years + months + day - 1
}

fn number_of(text: &str) -> u64 {
    let mut parts = text.split('-').map(|part| part.parse().expect("digits"));
    let mut next = || parts.next().expect("three parts");
    let (year, month, day) = (next(), next(), next());
    number(year, month, day)
}

/// The last day of so many months that begin on a day: walks along the calendar one month at a time.
fn after(begins: u64, months: u32) -> u64 {
    let (mut year, mut left) = (1970, begins);
    while left >= if is_leap(year) { 366 } else { 365 } {
        left -= if is_leap(year) { 366 } else { 365 };
        year += 1;
    }
    let mut month = 1;
    while left >= length(year, month) {
        left -= length(year, month);
        month += 1;
    }
    for _ in 0..months {
        month += 1;
        if month > 12 {
            (year, month) = (year + 1, 1);
        }
    }
    number(year, month, (left + 1).min(length(year, month)))
}
