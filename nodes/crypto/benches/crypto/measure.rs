//! Rows, columns, and how a cell is measured.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::openssl::{OpenSsl, Operation};

/// CPU time of one window of one cell.
const WINDOW: Duration = Duration::from_millis(20);

/// Messages of one `hash_many`, and the bytes of each.
pub(crate) const MANY: (usize, usize) = (256, 1024);

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Column {
    Gcm80,
    Gcm1200,
    Gcm16k,
    Hash16k,
    HashMany,
    Sign,
    Verify,
    Keygen,
    Ecdh,
}

impl Column {
    pub(crate) const ALL: [Self; 9] = [
        Self::Gcm80,
        Self::Gcm1200,
        Self::Gcm16k,
        Self::Hash16k,
        Self::HashMany,
        Self::Sign,
        Self::Verify,
        Self::Keygen,
        Self::Ecdh,
    ];

    /// Those of an AEAD, with the bytes of a message.
    pub(crate) const GCM: [(Self, usize); 3] = [
        (Self::Gcm80, 80),
        (Self::Gcm1200, 1200),
        (Self::Gcm16k, 16_384),
    ];

    pub(crate) fn head(self) -> &'static str {
        match self {
            Self::Gcm80 => "GCM 80 B",
            Self::Gcm1200 => "GCM 1200 B",
            Self::Gcm16k => "GCM 16 KiB",
            Self::Hash16k => "hash 16 KiB",
            Self::HashMany => "hash 256 × 1 KiB",
            Self::Sign => "sign/s",
            Self::Verify => "verify/s",
            Self::Keygen => "keygen/s",
            Self::Ecdh => "ECDH/s",
        }
    }

    /// What one call counts: millions of bytes, or one operation.
    fn unit(self) -> f64 {
        match self {
            Self::Gcm80 => 80e-6,
            Self::Gcm1200 => 1200e-6,
            Self::Gcm16k | Self::Hash16k => 16_384e-6,
            Self::HashMany => (MANY.0 * MANY.1) as f64 / 1e6,
            _ => 1.0,
        }
    }
}

pub(crate) enum Cell {
    /// The implementation has no such thing, or no way to measure it alone.
    None,
    /// OpenSSL is not there.
    Missing,
    /// MB/s or operations a second.
    Measured(f64),
}

/// What is measured.
enum Source {
    Here(Box<dyn FnMut()>),
    /// The name of a measure of `oracle.c`, and its bytes.
    OpenSsl(&'static str, u32),
    Missing,
}

pub(crate) struct Row {
    pub(crate) name: String,
    cells: BTreeMap<Column, (Source, f64)>,
}

impl Row {
    pub(crate) fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            cells: BTreeMap::new(),
        }
    }

    pub(crate) fn with(mut self, column: Column, call: impl FnMut() + 'static) -> Self {
        self.cells
            .insert(column, (Source::Here(Box::new(call)), 0.0));
        self
    }

    /// Measured inside OpenSSL, `present` or not.
    pub(crate) fn with_openssl(
        mut self,
        column: Column,
        present: bool,
        name: &'static str,
        bytes: u32,
    ) -> Self {
        let source = if present {
            Source::OpenSsl(name, bytes)
        } else {
            Source::Missing
        };
        self.cells.insert(column, (source, 0.0));
        self
    }

    pub(crate) fn cell(&self, column: Column) -> Cell {
        match self.cells.get(&column) {
            None => Cell::None,
            Some((Source::Missing, _)) => Cell::Missing,
            Some((_, best)) => Cell::Measured(best * column.unit()),
        }
    }

    /// One window of every cell.
    pub(crate) fn measure(&mut self, mut openssl: Option<&mut OpenSsl>) {
        for (source, best) in self.cells.values_mut() {
            let rate = match (source, openssl.as_deref_mut()) {
                (Source::Here(call), _) => rate(call),
                (Source::OpenSsl(name, bytes), Some(openssl)) => remote(openssl, name, *bytes),
                _ => continue,
            };
            *best = best.max(rate);
        }
    }
}

/// Calls per second of CPU time over one window.
fn rate(call: &mut dyn FnMut()) -> f64 {
    let begin = cpu_time();
    let mut calls = 0u32;
    let mut batch = 1;
    loop {
        for _ in 0..batch {
            call();
        }
        calls += batch;
        let spent = cpu_time() - begin;
        if spent >= WINDOW {
            return f64::from(calls) / spent.as_secs_f64();
        }
        // Asking the time costs something: ask every half millisecond or so.
        if spent < WINDOW / 40 {
            batch *= 2;
        }
    }
}

fn remote(openssl: &mut OpenSsl, name: &str, bytes: u32) -> f64 {
    let milliseconds = (WINDOW.as_millis() as u32).to_be_bytes();
    let parts = [name.as_bytes(), &bytes.to_be_bytes(), &milliseconds];
    let answer = openssl.ask(Operation::Bench, &parts);
    let answer = answer.unwrap_or_else(|| panic!("OpenSSL does not know {name}"));
    String::from_utf8(answer).unwrap().parse().unwrap()
}

/// CPU time that this thread has used.
fn cpu_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}
