//! Spoils evidence packages and asks both verifiers.
//!
//! ```text
//! GUITAI_MUTATIONS=10000 cargo run -p guitai-mutations
//! cargo run -p guitai-mutations -- --write DIR     the two packages and the root, as files
//! ```
//!
//! Every spoilt package must be refused by the verifier of the product and by the one in Python, and both must
//! name the same check first; a forged one, the check that it was forged against. Then the first fault that is
//! named means the same whoever looks. Exit status 1 if one package was not.
//!
//! `GUITAI_SEED` chooses the changes (keys and signatures are new in each run); the seed of a package that was
//! missed is printed, and repeats it.

mod dice;
mod disk;
mod forged;
mod noise;
mod package;
mod peer;
mod table;
mod world;

use std::{
    env, fs, io,
    path::{Path, PathBuf},
    process::ExitCode,
    thread,
};

use guitai_crypto::x509;
use guitai_evidence::{Options, verify};

use crate::{
    dice::Dice,
    disk::Disk,
    package::Package,
    peer::Peer,
    table::{Outcome, Table},
    world::World,
};

/// Enough for every way a few times, within about a minute.
const MUTATIONS: u64 = 500;
const SEED: u64 = 20_261_122;
/// Each has a verifier in Python beside it; more than the cores of a small machine gain nothing.
const WORKERS_MAX: usize = 8;

fn main() -> ExitCode {
    match run() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::from(2)
        }
    }
}

fn run() -> io::Result<bool> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    match arguments.as_slice() {
        [] => {}
        [write, dir] if write == "--write" => return write_world(Path::new(dir)).map(|()| true),
        _ => return Err(io::Error::other("usage: mutations [--write DIR]")),
    }
    let (count, seed) = (
        number("GUITAI_MUTATIONS", MUTATIONS)?,
        number("GUITAI_SEED", SEED)?,
    );
    let workers = thread::available_parallelism().map_or(1, usize::from);
    let workers = workers.min(WORKERS_MAX);
    let tables: Vec<io::Result<Table>> = thread::scope(|scope| {
        let start = |part| scope.spawn(move || work((part..count).step_by(workers), seed));
        let running: Vec<_> = (0..workers as u64).map(start).collect();
        let joined = running.into_iter().map(|worker| match worker.join() {
            Ok(table) => table,
            Err(_) => Err(io::Error::other("a worker panicked")),
        });
        joined.collect()
    });
    let mut table = Table::default();
    for part in tables {
        table.add(part?);
    }
    print!("{table}");
    Ok(table.is_good(count))
}

fn number(name: &str, default: u64) -> io::Result<u64> {
    match env::var(name) {
        Err(_) => Ok(default),
        Ok(text) => text
            .parse()
            .map_err(|_| io::Error::other(format!("{name} is no number"))),
    }
}

/// Where packages lie while they are looked at: in memory where there is such a place.
fn scratch() -> io::Result<tempfile::TempDir> {
    let memory = Path::new("/dev/shm");
    match memory.is_dir() {
        true => tempfile::tempdir_in(memory).or_else(|_| tempfile::tempdir()),
        false => tempfile::tempdir(),
    }
}

fn work(numbers: impl Iterator<Item = u64>, seed: u64) -> io::Result<Table> {
    let (world, scratch) = (World::new(), scratch()?);
    let root = scratch.path().join("root.pem");
    fs::write(
        &root,
        x509::certificates_to_pem(&[world.root.certificate_der().to_vec()]),
    )?;
    let mut judges = Judges {
        options: Options {
            expected_root: Some(world.expected_root()),
        },
        peer: Peer::start(
            &PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/..")),
            &root,
        )?,
        disk: Disk::new(scratch.path().join("package")),
    };
    fs::create_dir(judges.disk.dir())?;
    let mut table = Table::default();
    for good in [&world.rich, &world.other] {
        let (product, python) = judges.ask(good)?;
        if !product.is_empty() || !python.is_empty() {
            let text = format!("a good package is refused: {product:?}, {python:?}");
            return Err(io::Error::other(text));
        }
    }
    let forgeries = forged::all();
    for number in numbers {
        let mut dice = Dice(seed ^ number.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let (kind, expected, package, what) = match number % 2 {
            0 => {
                // In turn, so that each way comes as often as the others.
                let (kind, way) = noise::NOISE[(number / 2) as usize % noise::NOISE.len()];
                let (package, what) = spoil(&world, way, &mut dice);
                (kind, None, package, what)
            }
            _ => {
                let (kind, check, forge) = forgeries[(number / 2) as usize % forgeries.len()];
                let mut package = world.rich.clone();
                let what = forge(&mut package, &world, &mut dice);
                (kind, Some(check), package, what)
            }
        };
        let (product, python) = judges.ask(&package)?;
        table.note(Outcome {
            number,
            kind,
            what,
            expected,
            product,
            python,
        });
    }
    Ok(table)
}

/// Applies a way until it changes something: a byte may be replaced by itself.
fn spoil(world: &World, way: noise::Noise, dice: &mut Dice) -> (Package, String) {
    let packages = [(&world.rich, &world.other), (&world.other, &world.rich)];
    loop {
        let (package, other) = dice.one_of(&packages);
        let mut package = (*package).clone();
        if let Some(what) = way(&mut package, other, dice) {
            return (package, what);
        }
    }
}

struct Judges {
    options: Options,
    peer: Peer,
    disk: Disk,
}

impl Judges {
    /// Names of the checks that fail, by the product and by the verifier in Python, each in their order.
    fn ask(&mut self, package: &Package) -> io::Result<(Vec<String>, Vec<String>)> {
        self.disk.show(&package.entries)?;
        let report = verify(self.disk.dir(), self.options);
        let mut product: Vec<String> = Vec::new();
        for item in report.faults() {
            let name = serde_json::to_value(item.what)?;
            let name = name.as_str().unwrap_or_default().to_owned();
            if !product.contains(&name) {
                product.push(name);
            }
        }
        if report.ok != product.is_empty() {
            return Err(io::Error::other("the product's report contradicts itself"));
        }
        Ok((product, self.peer.failing(self.disk.dir())?))
    }
}

fn write_world(dir: &Path) -> io::Result<()> {
    let world = World::new();
    fs::create_dir_all(dir)?;
    fs::write(
        dir.join("root.pem"),
        x509::certificates_to_pem(&[world.root.certificate_der().to_vec()]),
    )?;
    for (name, package) in [("rich", &world.rich), ("plain", &world.other)] {
        let at = dir.join(name);
        fs::create_dir(&at)?;
        Disk::new(at).show(&package.entries)?;
    }
    Ok(())
}
