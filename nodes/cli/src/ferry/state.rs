//! A side's state folder.
//!
//! ```text
//! ferry.json      what the side was told, and whose keys and roots it trusts
//! side.key        its signing key, sealed by a passphrase; `passphrase` beside it unless another file is named
//! journal         every act, a line each; the state is what they add up to
//! spool/<n>       items that no bundle has wholly
//! outbox/<n>.tar  bundles that are not acknowledged
//! partial/<n>     items that came, until they are whole and in their place
//! refused/        files from the drop folder that were no bundles
//! ```

use std::{
    fs::{self, File, OpenOptions},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use guitai_crypto::{
    keys::{Cost, OfficerKey, Passphrase},
    random,
};
use guitai_evidence::log::{
    Policy,
    note::{Kind, VerifierKey},
};
use guitai_ferry::{
    Side, Terms,
    bundle::{self, Signer},
    record::{self, End, Record},
};
use guitai_types::{Code, Hex, canonical};
use serde::{Deserialize, Serialize};

use super::args::{Init, MIB, Place};
use crate::{
    failure::{Failure, NOT_VERIFIED},
    files::{FileError, Files, PUBLIC, SECRET, failed, read_if_there},
};

const CONFIG: &str = "ferry.json";
const KEY: &str = "side.key";
const PASSPHRASE: &str = "passphrase";
const JOURNAL: &str = "journal";
const LOCK: &str = "lock";
/// Format and version of [`Config`].
const FORMAT: &str = "guitai-ferry-side/1";

/// What a side was told, and whom it trusts.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Config {
    pub(super) format: String,
    pub(super) terms: Terms,
    /// This side's key, as the other side pins it.
    pub(super) key: String,
    /// The other side's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) peer_key: Option<String>,
    pub(super) drop_out: PathBuf,
    pub(super) drop_in: PathBuf,
    pub(super) into: PathBuf,
    /// SM3 of the root certificate that recordings must lead to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) root: Option<Hex>,
    /// Texts of the policies that logs must satisfy.
    pub(super) policies: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) inspector: Option<PathBuf>,
    pub(super) settle_ms: u64,
}

/// A side that is open; nobody else opens it meanwhile.
pub(super) struct State {
    pub(super) dir: PathBuf,
    pub(super) config: Config,
    pub(super) side: Side,
    pub(super) records: Vec<Record>,
    pub(super) end: End,
    pub(super) disk: Files,
    pub(super) policies: Vec<Policy>,
    passphrase: PathBuf,
    _lock: File,
}

impl State {
    /// Sets a side up, or pins the other side's key in one that is.
    pub(super) fn init(arguments: &Init) -> Result<Config, Failure> {
        let dir = &arguments.place.state;
        let disk = Files::default();
        if dir.join(CONFIG).exists() {
            return pin(dir, arguments, &disk);
        }
        let Init {
            ferry: Some(ferry),
            me: Some(me),
            peer: Some(peer),
            drop_out: Some(drop_out),
            drop_in: Some(drop_in),
            into: Some(into),
            ..
        } = arguments
        else {
            return Err(usage(
                "a new side needs --ferry, --me, --peer, --drop-out, --drop-in and --into",
            ));
        };
        let terms = Terms {
            content_bytes: arguments.content_mib * MIB,
            outstanding: arguments.outstanding,
            again_ms: arguments.again_minutes.saturating_mul(60_000),
            ..Terms::new(ferry.clone(), me.clone(), peer.clone())
        };
        if !terms.is_sound() {
            return Err(usage("the two sides have two names"));
        }
        let root = arguments.root.as_deref();
        let root = root.map(crate::evidence::read_root).transpose()?;
        let policies = arguments.policy.iter().map(|path| policy_text(path));
        let policies: Vec<String> = policies.collect::<Result<_, _>>()?;
        let mut folders = Vec::new();
        disk.make_dir(dir).map_err(|error| local(&error))?;
        for path in [drop_out, drop_in, into] {
            fs::create_dir_all(path).map_err(|error| local(&failed(path, error)))?;
            let whole = path.canonicalize();
            folders.push(whole.map_err(|error| local(&failed(path, error)))?);
        }
        let [drop_out, drop_in, into] =
            <[PathBuf; 3]>::try_from(folders).map_err(|_| usage("three folders are needed"))?;
        if drop_out == drop_in {
            return Err(usage("the two directions have two drop folders"));
        }
        let key = draw_key(dir, &arguments.place, &terms, &disk)?;
        let config = Config {
            format: FORMAT.to_owned(),
            terms,
            key,
            peer_key: None,
            drop_out,
            drop_in,
            into,
            root: root.map(|root| Hex(root.to_vec())),
            policies,
            inspector: arguments.inspector.clone(),
            settle_ms: arguments.settle_seconds.saturating_mul(1000),
        };
        let config = with_peer(config, arguments.peer_key.as_deref())?;
        // Last: a side without it is none, and init begins again.
        write(dir, &config, &disk)?;
        Ok(config)
    }

    /// Opens a side: reads its journal, and cuts half a line that a crash left.
    pub(super) fn open(place: &Place) -> Result<Self, Failure> {
        Self::open_on(place, Files::default())
    }

    pub(super) fn open_on(place: &Place, disk: Files) -> Result<Self, Failure> {
        let dir = place.state.clone();
        let config = config(&dir)?.ok_or_else(|| {
            let detail = format!("{}: no side of a ferry", dir.display());
            usage(&detail)
        })?;
        let lock = lock(&dir)?;
        for folder in ["spool", "outbox", "partial", "refused"] {
            let made = disk.make_dir(&dir.join(folder));
            made.map_err(|error| local(&error))?;
        }
        let path = dir.join(JOURNAL);
        let text = read_if_there(&path).map_err(|error| local(&error))?;
        let text = text.unwrap_or_default();
        let journal = record::read(&text).map_err(|error| Failure {
            exit: NOT_VERIFIED,
            ..Failure::new(Code::EvidenceBroken, format!("{}: {error}", path.display()))
        })?;
        if journal.bytes < text.len() as u64 {
            let cut = disk.cut(&path, journal.bytes);
            cut.map_err(|error| local(&error))?;
        }
        let policies = config.policies.iter().map(|text| Policy::parse(text));
        let policies = policies.collect::<Result<_, _>>();
        let policies = policies.map_err(|error| Failure::local("reading a policy", &error))?;
        let passphrase = passphrase(&dir, place);
        Ok(Self {
            side: Side::of(config.terms.clone(), &journal.records),
            records: journal.records,
            end: journal.end,
            dir,
            config,
            disk,
            policies,
            passphrase,
            _lock: lock,
        })
    }

    /// Writes down what happened; from then on it has.
    pub(super) fn happened(&mut self, record: Record) -> Result<(), Failure> {
        let (line, end) = self
            .end
            .next(&record)
            .map_err(|error| Failure::local("writing the journal", &error))?;
        let written = self.disk.append(&self.dir.join(JOURNAL), line.as_bytes());
        written.map_err(|error| local(&error))?;
        self.side.apply(&record);
        self.end = end;
        self.records.push(record);
        Ok(())
    }

    /// The key with which this side signs.
    pub(super) fn signer(&self) -> Result<Signer, Failure> {
        let failed = |error: &dyn std::error::Error| Failure::local("opening the key", error);
        let text = fs::read(self.dir.join(KEY)).map_err(|error| failed(&error))?;
        let sealed = OfficerKey::parse(&text).map_err(|error| failed(&error))?;
        let passphrase = Passphrase::load(&self.passphrase).map_err(|error| failed(&error))?;
        let secret = sealed.open(&passphrase).map_err(|error| failed(&error))?;
        Signer::new(&self.config.terms.me, secret).map_err(|error| failed(&error))
    }

    /// The other side's key.
    pub(super) fn peer(&self) -> Result<VerifierKey, Failure> {
        let key = self.config.peer_key.as_deref().ok_or_else(|| {
            usage("the other side's key is not pinned yet: guitai ferry init --peer-key KEY")
        })?;
        VerifierKey::parse(key).map_err(|error| Failure::local("reading the peer's key", &error))
    }
}

fn pin(dir: &Path, arguments: &Init, disk: &Files) -> Result<Config, Failure> {
    let _lock = lock(dir)?;
    let config = config(dir)?.ok_or_else(|| usage("no side of a ferry"))?;
    if arguments.peer_key.is_none() {
        return Err(usage(
            "this side is set up already; --peer-key pins the other side's key",
        ));
    }
    let config = with_peer(config, arguments.peer_key.as_deref())?;
    write(dir, &config, disk)?;
    Ok(config)
}

fn with_peer(config: Config, peer_key: Option<&str>) -> Result<Config, Failure> {
    let Some(peer_key) = peer_key.map(str::trim) else {
        return Ok(config);
    };
    let key = VerifierKey::parse(peer_key).map_err(|error| usage(&error.to_string()))?;
    if key.name() != config.terms.peer.as_str() || key.kind() != Kind::Sm2 {
        let name = key.name();
        let peer = &config.terms.peer;
        return Err(usage(&format!("a key of {name}; the other side is {peer}")));
    }
    // Another key for the same chain would let whoever replaces it continue somebody's account.
    if config
        .peer_key
        .as_deref()
        .is_some_and(|pinned| pinned != peer_key)
    {
        return Err(usage("another key is pinned; a new key is a new ferry"));
    }
    let peer_key = Some(peer_key.to_owned());
    Ok(Config { peer_key, ..config })
}

fn config(dir: &Path) -> Result<Option<Config>, Failure> {
    let path = dir.join(CONFIG);
    let text = read_if_there(&path).map_err(|error| local(&error))?;
    let Some(text) = text else {
        return Ok(None);
    };
    let config: Config = canonical::from_bytes(text.as_bytes())
        .map_err(|error| Failure::local(&path.display().to_string(), &error))?;
    if config.format != FORMAT || !config.terms.is_sound() {
        return Err(usage(&format!("{}: of another version", path.display())));
    }
    Ok(Some(config))
}

fn write(dir: &Path, config: &Config, disk: &Files) -> Result<(), Failure> {
    let bytes =
        canonical::to_bytes(config).map_err(|error| Failure::local("writing the side", &error))?;
    let written = disk.write(&dir.join(CONFIG), &bytes, PUBLIC);
    written.map_err(|error| local(&error))
}

/// Draws the signing key, and its passphrase where none is named; gives the public half.
fn draw_key(dir: &Path, place: &Place, terms: &Terms, disk: &Files) -> Result<String, Failure> {
    let failed = |error: &dyn std::error::Error| Failure::local("drawing the key", error);
    let path = passphrase(dir, place);
    if place.passphrase_file.is_none() && !path.exists() {
        let drawn = Hex(random::array::<32>().to_vec()).to_string();
        let written = disk.write(&path, format!("{drawn}\n").as_bytes(), SECRET);
        written.map_err(|error| local(&error))?;
    }
    // One that was drawn cannot be guessed; stretching is for what people think of.
    let cost = if place.passphrase_file.is_none() {
        Cost::MIN
    } else {
        Cost::DEFAULT
    };
    let passphrase = Passphrase::load(&path).map_err(|error| failed(&error))?;
    let name = format!("{}/{}", terms.ferry, terms.me);
    let key = OfficerKey::create(&name, &passphrase, cost);
    let written = disk.write(&dir.join(KEY), key.to_text().as_bytes(), SECRET);
    written.map_err(|error| local(&error))?;
    let key = bundle::verifier(&terms.me, &key.public).map_err(|error| failed(&error))?;
    Ok(key.to_string())
}

fn passphrase(dir: &Path, place: &Place) -> PathBuf {
    let named = place.passphrase_file.clone();
    named.unwrap_or_else(|| dir.join(PASSPHRASE))
}

fn policy_text(path: &Path) -> Result<String, Failure> {
    let failed = |error: &dyn std::error::Error| {
        Failure::local(&format!("reading {}", path.display()), error)
    };
    let text = fs::read_to_string(path).map_err(|error| failed(&error))?;
    Policy::parse(&text).map_err(|error| failed(&error))?;
    Ok(text)
}

fn lock(dir: &Path) -> Result<File, Failure> {
    let path = dir.join(LOCK);
    let mut options = OpenOptions::new();
    let options = options
        .write(true)
        .create(true)
        .truncate(false)
        .mode(SECRET);
    let file = options.open(&path);
    let file = file.map_err(|error| local(&failed(&path, error)))?;
    let locked = file.try_lock();
    locked.map_err(|_| {
        let detail = format!("{}: another guitai ferry is at work", dir.display());
        Failure::new(Code::WrongState, detail)
    })?;
    Ok(file)
}

pub(super) fn local(error: &FileError) -> Failure {
    Failure::local("the ferry's folders", error)
}

pub(super) fn usage(detail: &str) -> Failure {
    Failure::usage(
        detail,
        "参见 guitai ferry init --help 与 docs/operating/ferry.md",
        "See guitai ferry init --help and docs/operating/ferry.md",
    )
}
