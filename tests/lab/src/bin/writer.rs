//! `writer DIR ENTRIES`: appends to the product's log and says what was acknowledged; something to kill,
//! and to cut the power of.

use std::{path::Path, process::ExitCode};

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let (Some(dir), Some(entries)) = (arguments.next(), arguments.next()) else {
        eprintln!("usage: writer DIR ENTRIES");
        return ExitCode::from(2);
    };
    let Ok(entries) = entries.parse() else {
        eprintln!("{entries} is no number of entries");
        return ExitCode::from(2);
    };
    match guitai_lab::workload::write(Path::new(&dir), entries) {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("{why}");
            ExitCode::FAILURE
        }
    }
}
