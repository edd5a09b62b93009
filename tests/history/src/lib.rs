//! What clients did to registers and saw of them, and whether one register per key could have answered so.
//!
//! The checker is Wing and Gong's search with Lowe's cache: try every order that respects real time,
//! remember which (set of operations, value) led nowhere. Written here because the ready-made ones
//! (stateright's `LinearizabilityTester`) search without a cache, and writes whose outcome is unknown
//! make that exponential.

use std::collections::HashSet;

/// Positions of the cache tried for one key before the checker gives up, which is a violation too.
const SEARCHED_MAX: usize = 2_000_000;

/// An operation on one register.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Op {
    /// Sets it to a serial that nobody else writes.
    Write(u64),
    /// Saw this serial.
    Read(u64),
}

/// One operation with the time it took, in ticks of the history.
#[derive(Debug, Clone, Copy)]
pub struct Done {
    /// What was done.
    pub op: Op,
    /// When it was asked for.
    pub from: u64,
    /// When it was answered; `u64::MAX` if never.
    pub to: u64,
}

/// Whether a register that begins at 0 could have answered so.
pub fn check(all: &[Done]) -> Result<(), String> {
    let read: HashSet<u64> = all
        .iter()
        .filter_map(|done| match done.op {
            Op::Read(serial) => Some(serial),
            Op::Write(_) => None,
        })
        .collect();
    // A write that was never acknowledged and that nobody read may as well never have happened.
    let mut done: Vec<Done> = all
        .iter()
        .filter(|done| match done.op {
            Op::Write(serial) => done.to != u64::MAX || read.contains(&serial),
            Op::Read(_) => true,
        })
        .copied()
        .collect();
    done.sort_by_key(|done| done.from);
    let mut search = Search {
        done: &done,
        tried: HashSet::new(),
        deepest: 0,
    };
    search.run()
}

struct Search<'a> {
    done: &'a [Done],
    /// Positions that led nowhere.
    tried: HashSet<(Position, u64)>,
    deepest: usize,
}

/// Which operations are placed: all below `first`, and those in the set.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Position {
    first: usize,
    beyond: Vec<usize>,
}

impl Position {
    fn has(&self, at: usize) -> bool {
        at < self.first || self.beyond.binary_search(&at).is_ok()
    }

    fn with(&self, at: usize) -> Self {
        let mut next = self.clone();
        if let Err(place) = next.beyond.binary_search(&at) {
            next.beyond.insert(place, at);
        }
        while next.beyond.first() == Some(&next.first) {
            next.beyond.remove(0);
            next.first += 1;
        }
        next
    }
}

impl Search<'_> {
    fn run(&mut self) -> Result<(), String> {
        let begin = Position {
            first: 0,
            beyond: Vec::new(),
        };
        let mut stack = vec![(begin, 0)];
        while let Some((position, value)) = stack.pop() {
            if position.first == self.done.len() {
                return Ok(());
            }
            self.deepest = self.deepest.max(position.first);
            if self.tried.len() >= SEARCHED_MAX {
                return Err(format!("not decided after {SEARCHED_MAX} positions"));
            }
            if !self.tried.insert((position.clone(), value)) {
                continue;
            }
            self.follow(&position, value, &mut stack);
        }
        let stuck = self.done.get(self.deepest);
        Err(format!(
            "no order of the operations explains the answers; stuck at {stuck:?}, \
             the {} of {}",
            self.deepest,
            self.done.len()
        ))
    }

    /// Every operation that may come next: begun before the first answer that is still to be placed.
    fn follow(&self, position: &Position, value: u64, stack: &mut Vec<(Position, u64)>) {
        let mut answered_first = u64::MAX;
        let mut next = Vec::new();
        for (at, done) in self.done.iter().enumerate().skip(position.first) {
            if done.from > answered_first {
                break;
            }
            if position.has(at) {
                continue;
            }
            answered_first = answered_first.min(done.to);
            next.push(at);
        }
        for at in next.into_iter().rev() {
            let Some(done) = self.done.get(at).filter(|done| done.from <= answered_first) else {
                continue;
            };
            match done.op {
                Op::Write(serial) => stack.push((position.with(at), serial)),
                Op::Read(serial) if serial == value => stack.push((position.with(at), value)),
                Op::Read(_) => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(serial: u64, from: u64, to: u64) -> Done {
        let op = Op::Write(serial);
        Done { op, from, to }
    }

    fn read(serial: u64, from: u64, to: u64) -> Done {
        let op = Op::Read(serial);
        Done { op, from, to }
    }

    #[test]
    fn a_read_sees_the_last_write_or_one_beside_it() {
        assert!(check(&[read(0, 1, 2), write(1, 3, 4), read(1, 5, 6)]).is_ok());
        assert!(check(&[write(1, 1, 2), read(0, 3, 4)]).is_err(), "stale");
        assert!(check(&[write(1, 1, 10), read(0, 2, 3), read(1, 4, 5)]).is_ok());
        assert!(
            check(&[write(1, 1, 10), read(1, 2, 3), read(0, 4, 5)]).is_err(),
            "new, then old"
        );
        assert!(check(&[read(7, 1, 2)]).is_err(), "from nowhere");
    }

    #[test]
    fn an_unknown_write_may_happen_late_or_never_but_once() {
        let unknown = write(1, 1, u64::MAX);
        assert!(check(&[unknown, write(2, 2, 3), read(2, 4, 5)]).is_ok());
        assert!(check(&[unknown, write(2, 2, 3), read(2, 4, 5), read(1, 6, 7)]).is_ok());
        let twice = [
            unknown,
            write(2, 2, 3),
            read(1, 4, 5),
            write(3, 6, 7),
            read(3, 8, 9),
            read(1, 10, 11),
        ];
        assert!(check(&twice).is_err());
    }

    #[test]
    fn a_long_history_with_many_unknown_writes_is_decided() {
        let mut all = Vec::new();
        for step in 0..300 {
            let at = step * 10;
            all.push(write(1_000 + step, at + 1, u64::MAX));
            all.push(write(2_000 + step, at + 2, at + 5));
            all.push(read(2_000 + step, at + 6, at + 7));
            if step % 10 == 9 {
                all.push(read(1_000 + step, at + 8, at + 9));
            }
        }
        assert!(check(&all).is_ok());
        all.push(read(2_000, 9_000, 9_001));
        assert!(check(&all).is_err());
    }
}
