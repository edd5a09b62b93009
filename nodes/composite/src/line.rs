//! A time line that always has exactly one value at every instant: it begins with one value for the whole, and
//! later values are painted over it.

use std::collections::BTreeMap;

/// A stretch of a line, `from` included, `to` not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Span<T> {
    /// Begins at.
    pub from: u64,
    /// Ends before.
    pub to: u64,
    /// What holds in it.
    pub value: T,
}

#[derive(Debug)]
pub(crate) struct Line<T> {
    end: u64,
    starts: BTreeMap<u64, T>,
}

impl<T: Clone + PartialEq> Line<T> {
    pub(crate) fn new(end: u64, value: T) -> Self {
        Self {
            end,
            starts: BTreeMap::from([(0, value)]),
        }
    }

    /// Lays `value` over whatever is there; what is outside of the line is cut off.
    pub(crate) fn paint(&mut self, from: u64, to: u64, value: T) {
        let to = to.min(self.end);
        if from >= to {
            return;
        }
        let after = self.starts.range(..=to).next_back();
        let after = after.map(|(_, value)| value.clone());
        let hidden: Vec<u64> = self.starts.range(from..to).map(|(at, _)| *at).collect();
        for at in hidden {
            self.starts.remove(&at);
        }
        self.starts.insert(from, value);
        if let Some(after) = after.filter(|_| to < self.end) {
            self.starts.entry(to).or_insert(after);
        }
    }

    /// The line from begin to end; neighbours differ.
    pub(crate) fn spans(&self) -> Vec<Span<T>> {
        let mut spans: Vec<Span<T>> = Vec::new();
        for (at, value) in &self.starts {
            match spans.last_mut() {
                Some(last) if last.value == *value => {}
                last => {
                    if let Some(last) = last {
                        last.to = *at;
                    }
                    spans.push(Span {
                        from: *at,
                        to: self.end,
                        value: value.clone(),
                    });
                }
            }
        }
        spans
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_painted_last_is_seen_and_nothing_is_left_out() {
        let mut seed = 7_u64;
        let mut roll = |below: u64| {
            seed = seed
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (seed >> 33) % below
        };
        for _ in 0..300 {
            let end = 1 + roll(60);
            let mut line = Line::new(end, 0);
            let mut plain = vec![0; end as usize];
            for _ in 0..roll(12) {
                let (from, to, value) = (roll(80), roll(80), roll(4));
                line.paint(from, to, value);
                for at in from..to.min(end) {
                    plain[at as usize] = value;
                }
            }
            let spans = line.spans();
            let mut read = Vec::new();
            for span in &spans {
                assert_eq!(span.from, read.len() as u64);
                read.extend((span.from..span.to).map(|_| span.value));
            }
            assert_eq!(read, plain);
            assert!(spans.windows(2).all(|two| two[0].value != two[1].value));
        }
    }
}
