//! All of it in one table: ours on every path that this processor has, beside RustCrypto, gmcrypto-core, OpenSSL 4
//! and the AES, SHA-256 and P-256 of ring and OpenSSL.
//!
//! ```text
//! GUITAI_OPENSSL=$(tests/peers/openssl) cargo bench -p guitai-crypto [-- --json]
//! ```
//!
//! Every cell is measured in windows of CPU time of its own thread, in turn with all others, and the best window
//! counts: other work on the machine takes time away from a window, it never gives any. `GUITAI_BENCH_WINDOWS`
//! sets how many windows (default 9). One thread runs at a time.

mod measure;
#[path = "../../../../tests/peers/oracle.rs"]
mod openssl;
mod rows;

use measure::{Cell, Column, Row};

fn main() {
    let json = std::env::args().any(|argument| argument == "--json");
    let windows = std::env::var("GUITAI_BENCH_WINDOWS").map_or(9, |windows| {
        windows.parse().expect("GUITAI_BENCH_WINDOWS is a number")
    });
    let mut openssl = openssl::OpenSsl::start();
    let mut rows = rows::all(openssl.is_some());
    let load_before = load();
    for _ in 0..windows {
        for row in &mut rows {
            row.measure(openssl.as_mut());
        }
    }
    let machine = Machine {
        processor: processor(),
        load_before,
        load_after: load(),
        windows,
    };
    if json {
        print_json(&machine, &rows);
    } else {
        print_table(&machine, &rows);
    }
}

struct Machine {
    processor: String,
    load_before: String,
    load_after: String,
    windows: u32,
}

/// The system's load averages over 1, 5 and 15 minutes.
fn load() -> String {
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    load.split_whitespace()
        .take(3)
        .collect::<Vec<_>>()
        .join(" ")
}

fn processor() -> String {
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let field = |name: &str| {
        let line = info.lines().find(|line| line.starts_with(name))?;
        Some(line.split_once(':')?.1.trim().to_owned())
    };
    let name = field("model name").unwrap_or_else(|| std::env::consts::ARCH.to_owned());
    match (field("cpu family"), field("model\t")) {
        (Some(family), Some(model)) => format!("{name}, family {family} model {model}"),
        _ => name,
    }
}

fn print_table(machine: &Machine, rows: &[Row]) {
    let Machine {
        processor,
        load_before,
        load_after,
        windows,
    } = machine;
    println!(
        "{processor}; load {load_before} before, {load_after} after; best of {windows} windows of CPU time"
    );
    println!("MB/s for GCM and hashes, operations a second for the rest; one thread");
    println!();
    let heads: Vec<&str> = Column::ALL.iter().map(|column| column.head()).collect();
    println!("| implementation | {} |", heads.join(" | "));
    println!("|---|{}", "---:|".repeat(heads.len()));
    for row in rows {
        let cell = |column: &Column| match row.cell(*column) {
            Cell::None => "–".to_owned(),
            Cell::Missing => "not built".to_owned(),
            Cell::Measured(value) => format!("{value:.0}"),
        };
        let cells: Vec<String> = Column::ALL.iter().map(cell).collect();
        println!("| {} | {} |", row.name, cells.join(" | "));
    }
}

fn print_json(machine: &Machine, rows: &[Row]) {
    let rows: Vec<serde_json::Value> = rows
        .iter()
        .map(|row| {
            let cells = Column::ALL.iter().map(|column| {
                let value = match row.cell(*column) {
                    Cell::Measured(value) => Some(value.round()),
                    Cell::None | Cell::Missing => None,
                };
                (column.head().to_owned(), serde_json::json!(value))
            });
            serde_json::json!({ "implementation": row.name, "cells": cells.collect::<serde_json::Map<_, _>>() })
        })
        .collect();
    let document = serde_json::json!({
        "processor": machine.processor,
        "load_before": machine.load_before,
        "load_after": machine.load_after,
        "windows": machine.windows,
        "rows": rows,
    });
    println!("{document:#}");
}
