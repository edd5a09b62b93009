//! Spoils evidence packages and asks both verifiers.
//!
//! ```text
//! GUITAI_MUTATIONS=10000 cargo run -p guitai-mutations
//! cargo run -p guitai-mutations -- --write DIR     the packages, the root and the policy, as files
//! ```
//!
//! Every spoilt package must be refused by the verifier of the product and by the one in Python, and both must
//! name the same check first; a forged one, the check that it was forged against. Then the first fault that is
//! named means the same whoever looks. Exit status 1 if one package was not.
//!
//! `GUITAI_SEED` chooses the changes (keys and signatures are new in each run); the seed of a package that was
//! missed is printed, and repeats it.

#[path = "../../../../nodes/evidence/tests/consistency/mod.rs"]
mod consistency;
mod der;
mod dice;
mod disk;
mod forged;
mod log;
#[path = "../../../../nodes/evidence/tests/media/mod.rs"]
mod media;
mod noise;
mod package;
mod peer;
mod table;
mod tar;
mod world;

use std::{
    env, fs, io,
    path::{Path, PathBuf},
    process::ExitCode,
    thread,
};

use guitai_crypto::x509;
use guitai_evidence::{Options, composite, log::Policy, verify};

use crate::{
    dice::Dice,
    disk::Disk,
    package::Package,
    peer::{Peer, Verdict},
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
    let policy = scratch.path().join("policy");
    fs::write(&policy, world.log.policy())?;
    let folder = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/.."));
    let believed = Policy::parse(&world.log.policy()).map_err(io::Error::other)?;
    let mut judges = Judges {
        options: [None, Some(believed)].map(|policy| Options {
            expected_root: Some(world.expected_root()),
            policy,
            composite: None,
        }),
        peers: [
            Peer::start(&folder, &root, None)?,
            Peer::start(&folder, &root, Some(&policy))?,
        ],
        disk: Disk::new(scratch.path().join("package")),
        file: scratch.path().join("package.vcep"),
        film: scratch.path().join("film.mp4"),
    };
    fs::create_dir(judges.disk.dir())?;
    let mut table = Table::default();
    for (name, good) in good(&world) {
        let (product, python) = judges.ask(&good)?;
        let (failing, theirs) = (&product.failing, &python.failing);
        if !failing.is_empty() || !theirs.is_empty() || product.statuses != python.statuses {
            let text = format!(
                "a good package, {name}, is refused or read otherwise: {failing:?}, {theirs:?}"
            );
            return Err(io::Error::other(text));
        }
    }
    // By chance most of these would not come up in a short run.
    for (what, bad) in forged::film::stated_otherwise(&world) {
        let (product, python) = judges.ask(&bad)?;
        let expected = ["composite"];
        if product.failing != expected || python.failing != expected {
            let (ours, theirs) = (&product.failing, &python.failing);
            let text = format!("a film of which {what} fails at {ours:?}, {theirs:?}");
            return Err(io::Error::other(text));
        }
    }
    let (both, later) = (forged::all(), forged::later());
    for number in numbers {
        let mut dice = Dice(seed ^ number.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        // Of each four one is noise, and a quarter of what formats 2 and 3 share is of format 2.
        let place = (number / 4) as usize;
        let old = place % 4 == 3;
        let (kind, expected, mut package, what) = match number % 4 {
            0 => {
                // In turn, so that each way comes as often as the others.
                let (kind, way) = noise::NOISE[place % noise::NOISE.len()];
                let (package, what) = spoil(&world, way, old, &mut dice);
                (kind, None, package, what)
            }
            1 => {
                let (kind, check, forge) = both[place % both.len()];
                let mut package = if old { &world.rich_2 } else { &world.rich }.clone();
                let what = forge(&mut package, &world, &mut dice);
                (kind, Some(check), package, what)
            }
            part => {
                let place = 2 * place + part as usize - 2;
                let (kind, check, forge) = later[place % later.len()];
                let mut package = world.rich.clone();
                let what = forge(&mut package, &world, &mut dice);
                (kind, Some(check), package, what)
            }
        };
        // Some are shown as one file, some to readers who know the log.
        if dice.below(5) == 0 && package.container.is_none() {
            package.container = tar::pack(&package.entries).map(|(bytes, _)| bytes);
        }
        package.readers_policy |= dice.below(4) == 0;
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

/// Packages that nothing is wrong with, in every form.
fn good(world: &World) -> Vec<(&'static str, Package)> {
    let in_one_file = |package: &Package, turned: usize| {
        let mut package = package.clone();
        let (bytes, places) = tar::pack(&package.entries).unwrap_or_default();
        // The files are in any order.
        let at = places.get(turned).map_or(0, |place| place.0);
        let end = bytes.len().saturating_sub(2 * tar::BLOCK);
        package.container = Some([&bytes[at..end], &bytes[..at], &bytes[end..]].concat());
        package
    };
    let mut renewed = world.rich.clone();
    forged::roots::renewed(&mut renewed, &world.signer(&world.root, "a1-2"));
    let mut logless = world.rich.clone();
    forged::attached::without_log(&mut logless);
    logless.sign_attached();
    let mut unstamped = world.rich.clone();
    forged::stamped::without(&mut unstamped, "unanswered");
    let mut early = world.rich.clone();
    forged::stamped::at(&mut early, world::SEALED_SECONDS - 59);
    let mut straight = world.rich.clone();
    straight.later().stamper = world.stamper_by(&world.root, world::CLUSTER);
    straight.attach();
    let mut known = world.rich.clone();
    known.readers_policy = true;
    let filmed = |package: &Package| {
        let mut package = package.clone();
        package.film = Some(forged::film::of(&package, &mut Dice(1)));
        package
    };
    vec![
        ("rich", world.rich.clone()),
        ("plain", world.other.clone()),
        ("rich, format 2", world.rich_2.clone()),
        ("plain, format 2", world.other_2.clone()),
        ("rich in one file", in_one_file(&world.rich, 0)),
        (
            "rich in one file, in another order",
            in_one_file(&world.rich, 9),
        ),
        ("format 2 in one file", in_one_file(&world.other_2, 0)),
        ("a certificate renewed", renewed),
        ("of a cluster without a log", logless),
        ("without a time stamp", unstamped),
        ("stamped by a clock that is a minute behind", early),
        ("stamped right under the root", straight),
        ("read by who knows the log", known),
        ("with its film", filmed(&world.rich)),
        ("of format 2, with its film", filmed(&world.other_2)),
    ]
}

/// Applies a way until it changes something: a byte may be replaced by itself.
fn spoil(world: &World, way: noise::Noise, old: bool, dice: &mut Dice) -> (Package, String) {
    let (rich, other) = match old {
        true => (&world.rich_2, &world.other_2),
        false => (&world.rich, &world.other),
    };
    let packages = [(rich, other), (other, rich)];
    loop {
        let (package, other) = dice.one_of(&packages);
        let mut package = (*package).clone();
        if let Some(what) = way(&mut package, other, dice) {
            return (package, what);
        }
    }
}

struct Judges {
    /// Without a policy of the reader's, and with it.
    options: [Options; 2],
    peers: [Peer; 2],
    disk: Disk,
    file: PathBuf,
    film: PathBuf,
}

impl Judges {
    /// The verdicts of the product and of the verifier in Python.
    fn ask(&mut self, package: &Package) -> io::Result<(Verdict, Verdict)> {
        let place = match &package.container {
            Some(bytes) => {
                fs::write(&self.file, bytes)?;
                self.file.clone()
            }
            None => {
                self.disk.show(&package.entries)?;
                self.disk.dir().to_owned()
            }
        };
        let reader = usize::from(package.readers_policy);
        let options = &mut self.options[reader];
        options.composite = None;
        if let Some(film) = &package.film {
            fs::write(&self.film, &film.bytes)?;
            fs::write(composite::description_path(&self.film), &film.description)?;
            options.composite = Some(self.film.clone());
        }
        let report = verify(&place, options);
        let name = |value: serde_json::Value| value.as_str().unwrap_or_default().to_owned();
        let mut failing: Vec<String> = Vec::new();
        for item in report.faults() {
            let name = name(serde_json::to_value(item.what)?);
            if !failing.contains(&name) {
                failing.push(name);
            }
        }
        let statuses = report
            .checks
            .iter()
            .map(|it| Ok(name(serde_json::to_value(it.status)?)));
        let product = Verdict {
            statuses: statuses.collect::<io::Result<_>>()?,
            failing,
        };
        if report.ok != product.failing.is_empty() {
            return Err(io::Error::other("the product's report contradicts itself"));
        }
        let film = self.options[reader].composite.as_deref();
        Ok((product, self.peers[reader].verdict(&place, film)?))
    }
}

fn write_world(dir: &Path) -> io::Result<()> {
    let world = World::new();
    fs::create_dir_all(dir)?;
    fs::write(
        dir.join("root.pem"),
        x509::certificates_to_pem(&[world.root.certificate_der().to_vec()]),
    )?;
    fs::write(dir.join("policy"), world.log.policy())?;
    let packages = [
        ("rich", &world.rich),
        ("plain", &world.other),
        ("rich-2", &world.rich_2),
        ("plain-2", &world.other_2),
    ];
    for (name, package) in packages {
        let at = dir.join(name);
        fs::create_dir(&at)?;
        Disk::new(at).show(&package.entries)?;
        if let Some((bytes, _)) = tar::pack(&package.entries) {
            fs::write(dir.join(format!("{name}.vcep")), bytes)?;
        }
    }
    Ok(())
}
