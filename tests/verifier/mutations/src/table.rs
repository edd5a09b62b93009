//! What came of it, by the way a package was spoilt.

use std::{collections::BTreeMap, fmt};

use crate::peer::Verdict;

/// Faults printed in full; the rest are only counted.
const PRINTED_MAX: usize = 40;

/// One spoilt package and what was found.
pub(crate) struct Outcome {
    pub(crate) number: u64,
    pub(crate) kind: &'static str,
    pub(crate) what: String,
    /// The check that has to fail first, where that is known.
    pub(crate) expected: Option<&'static str>,
    /// What the product's verifier says.
    pub(crate) product: Verdict,
    /// And the one in Python.
    pub(crate) python: Verdict,
}

impl Outcome {
    fn fault(&self) -> Option<&'static str> {
        let (product, python) = (self.product.failing.first(), self.python.failing.first());
        // Behind a container that is none the format says nothing of what else is found.
        let readable = product.is_some_and(|name| name != "container");
        match (product, python) {
            (None, None) => Some("MISSED BY BOTH"),
            (None, _) => Some("MISSED BY THE PRODUCT"),
            (_, None) => Some("MISSED BY PYTHON"),
            _ if product != python => Some("NOT AGREED"),
            _ if self
                .expected
                .is_some_and(|it| product.is_none_or(|name| name != it)) =>
            {
                Some("ANOTHER CHECK")
            }
            _ if readable && self.product.statuses != self.python.statuses => Some("OTHER POINTS"),
            _ => None,
        }
    }
}

#[derive(Default)]
struct Row {
    packages: u64,
    product: u64,
    python: u64,
    agreed: u64,
    agreed_wholly: u64,
    first: BTreeMap<String, u64>,
}

/// Sums by kind, and what went wrong.
#[derive(Default)]
pub(crate) struct Table {
    rows: BTreeMap<&'static str, Row>,
    faults: Vec<String>,
}

impl Table {
    /// Notes one package.
    pub(crate) fn note(&mut self, outcome: Outcome) {
        let row = self.rows.entry(outcome.kind).or_default();
        row.packages += 1;
        let (failing, theirs) = (&outcome.product.failing, &outcome.python.failing);
        row.product += u64::from(!failing.is_empty());
        row.python += u64::from(!theirs.is_empty());
        row.agreed += u64::from(failing.first() == theirs.first());
        row.agreed_wholly += u64::from(failing == theirs);
        if let Some(first) = failing.first() {
            *row.first.entry(first.clone()).or_default() += 1;
        }
        if let Some(fault) = outcome.fault() {
            let Outcome {
                number,
                kind,
                what,
                expected,
                product,
                python,
            } = outcome;
            let points = match fault {
                "OTHER POINTS" => format!(", {:?} and {:?}", product.statuses, python.statuses),
                _ => String::new(),
            };
            let (product, python) = (product.failing, python.failing);
            let wanted = expected.map_or_else(String::new, |check| format!(", expected {check}"));
            self.faults.push(format!("{fault}: number {number}, {kind}, {what:?}: product {product:?}, python {python:?}{wanted}{points}"));
        }
    }

    /// Adds another table.
    pub(crate) fn add(&mut self, other: Self) {
        for (kind, more) in other.rows {
            let row = self.rows.entry(kind).or_default();
            row.packages += more.packages;
            row.product += more.product;
            row.python += more.python;
            row.agreed += more.agreed;
            row.agreed_wholly += more.agreed_wholly;
            for (name, count) in more.first {
                *row.first.entry(name).or_default() += count;
            }
        }
        self.faults.extend(other.faults);
    }

    /// All `count` packages were found by both, by the same name.
    pub(crate) fn is_good(&self, count: u64) -> bool {
        self.faults.is_empty() && self.sum(|row| row.packages) == count
    }

    fn sum(&self, of: impl Fn(&Row) -> u64) -> u64 {
        self.rows.values().map(of).sum()
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "| spoilt | packages | guitai | python | same first check | same checks | first check |"
        )?;
        writeln!(f, "| --- | --- | --- | --- | --- | --- | --- |")?;
        for (kind, row) in &self.rows {
            let first: Vec<_> = row
                .first
                .iter()
                .map(|(name, count)| format!("{name} {count}"))
                .collect();
            let Row {
                packages,
                product,
                python,
                agreed,
                agreed_wholly,
                ..
            } = row;
            writeln!(
                f,
                "| {kind} | {packages} | {product} | {python} | {agreed} | {agreed_wholly} | {} |",
                first.join(", ")
            )?;
        }
        let sums = [
            self.sum(|row| row.packages),
            self.sum(|row| row.product),
            self.sum(|row| row.python),
            self.sum(|row| row.agreed),
            self.sum(|row| row.agreed_wholly),
        ];
        writeln!(
            f,
            "| **all** | {} | {} | {} | {} | {} | |",
            sums[0], sums[1], sums[2], sums[3], sums[4]
        )?;
        for fault in self.faults.iter().take(PRINTED_MAX) {
            writeln!(f, "{fault}")?;
        }
        writeln!(f, "{} packages, {} faults", sums[0], self.faults.len())
    }
}
