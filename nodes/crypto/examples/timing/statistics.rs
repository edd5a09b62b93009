//! Welch's t-test on cropped measurements.

use crate::subjects::Class;

/// Shares of the fastest measurements that are kept, one test each.
const KEPT: [f64; 7] = [0.3, 0.5, 0.7, 0.85, 0.95, 0.99, 1.0];

/// Measured times by class, in nanoseconds.
#[derive(Default)]
pub(crate) struct Samples(Vec<(Class, f64)>);

impl Samples {
    pub(crate) fn push(&mut self, class: Class, nanoseconds: f64) {
        self.0.push((class, nanoseconds));
    }

    /// t with the largest magnitude over all crops; positive when the fixed class is slower.
    pub(crate) fn largest_t(mut self) -> f64 {
        // The first are measured with cold caches.
        self.0.drain(..self.0.len() / 50);
        let mut sorted: Vec<f64> = self.0.iter().map(|(_, time)| *time).collect();
        sorted.sort_by(f64::total_cmp);
        let mut largest: f64 = 0.0;
        for kept in KEPT {
            let last = ((sorted.len() as f64 * kept) as usize).saturating_sub(1);
            let Some(limit) = sorted.get(last) else {
                continue;
            };
            let (mut fixed, mut random) = (Moments::default(), Moments::default());
            for (class, time) in self.0.iter().filter(|(_, time)| time <= limit) {
                match class {
                    Class::Fixed => fixed.push(*time),
                    Class::Random => random.push(*time),
                }
            }
            let t = welch(&fixed, &random);
            if t.abs() > largest.abs() {
                largest = t;
            }
        }
        largest
    }
}

/// Running mean and variance (Welford).
#[derive(Default)]
struct Moments {
    count: f64,
    mean: f64,
    squares: f64,
}

impl Moments {
    fn push(&mut self, value: f64) {
        self.count += 1.0;
        let distance = value - self.mean;
        self.mean += distance / self.count;
        self.squares += distance * (value - self.mean);
    }

    fn error(&self) -> f64 {
        self.squares / (self.count - 1.0) / self.count
    }
}

fn welch(a: &Moments, b: &Moments) -> f64 {
    if a.count < 100.0 || b.count < 100.0 {
        return 0.0;
    }
    let error = (a.error() + b.error()).sqrt();
    if error > 0.0 {
        (a.mean - b.mean) / error
    } else {
        0.0
    }
}
