//! `split` and `combine`: the root among officers. Passphrases come from files, or are typed at the
//! terminal without being shown; nothing secret is taken from the command line.

use std::{
    io::{BufRead as _, IsTerminal as _, Write as _},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use guitai_crypto::keys::{
    Cost, KeyStore, NewRoot, Passphrase, RestoredRoot, SealedShare, Share, Unlock, combine, split,
};
use guitai_types::Code;
use serde::Serialize;

use super::{Combine, KEYS_DIR, PASSPHRASE_FILE, PKI_NAME, Split, holders, nodes, refused};
use crate::{
    Language,
    failure::{Failure, chain},
    show::json,
};

/// Most lines typed for one share: eight are printed.
const LINES_MAX: usize = 64;

/// What `keys split` wrote.
#[derive(Serialize)]
struct Written {
    root: String,
    generation: u32,
    set: String,
    threshold: u8,
    files: Vec<PathBuf>,
}

/// Splits the root among officers and writes one file for each.
pub(super) fn share_out(arguments: &Split, lang: Language) -> Result<String, Failure> {
    let nodes = match arguments.place.node.as_deref() {
        // The authority's root is split when it is asked for by name.
        Some(PKI_NAME) => holders(&arguments.place)?,
        _ => nodes(&arguments.place)?,
    };
    // Every inner node has the deployment's root; an edge is asked for by name.
    let node = nodes
        .iter()
        .max_by_key(|node| node.inventory.zone == guitai_crypto::keys::Zone::Inner);
    let Some(node) = node else {
        return Err(Failure::new(Code::NotFound, "no node"));
    };
    let store = node.open(&arguments.place)?;
    let (secret, root) = (
        store.export_root().map_err(|error| refused(&error))?,
        store.root().name,
    );
    let shares = split(&secret, root, arguments.threshold, arguments.shares).map_err(|error| {
        Failure::usage(
            error.to_string(),
            "门限至少为 2,且不大于份数",
            "The threshold is at least 2 and at most the number of shares",
        )
    })?;
    let files = &arguments.officer_passphrase_file;
    if !files.is_empty() && files.len() != shares.len() {
        return Err(Failure::usage(
            format!(
                "{} passphrase files for {} shares",
                files.len(),
                shares.len()
            ),
            "每份一个口令文件,依份的次序",
            "One passphrase file for each share, in the order of the shares",
        ));
    }
    let mut sealed = Vec::with_capacity(shares.len());
    for (position, share) in shares.iter().enumerate() {
        let passphrase = match files.get(position) {
            Some(file) => load(file)?,
            None => ask_twice(share.index, lang)?,
        };
        sealed.push(share.seal(&passphrase, Cost::DEFAULT));
    }
    std::fs::create_dir_all(&arguments.out).map_err(|error| at(&arguments.out, &error))?;
    let mut written = Written {
        root: root.id.to_string(),
        generation: root.generation,
        set: String::new(),
        threshold: arguments.threshold,
        files: Vec::new(),
    };
    for share in &sealed {
        let path = arguments
            .out
            .join(format!("share-{}.txt", share.position().0));
        write_new(&path, &share.to_text())?;
        written.set = share.set();
        written.files.push(path);
    }
    if arguments.place.output.json {
        return json(&written);
    }
    let mut text = match lang {
        Language::Zh => format!(
            "根密钥 {} 已分为 {} 份,任意 {} 份可恢复;逐份打印或抄写,交各保管人后删除文件:\n",
            written.root,
            written.files.len(),
            written.threshold
        ),
        Language::En => format!(
            "Root {} is in {} shares, any {} restore it; print or copy each, hand it over, then delete the file:\n",
            written.root,
            written.files.len(),
            written.threshold
        ),
    };
    for path in &written.files {
        text.push_str(&format!("  {}\n", path.display()));
    }
    Ok(text)
}

/// What `keys combine` restored.
#[derive(Serialize)]
struct Restored {
    root: String,
    generation: u32,
    /// Nodes whose root's file was written anew.
    nodes: Vec<String>,
    /// Nodes of other roots, left alone.
    other_roots: Vec<String>,
}

/// Puts the root together from officers' shares and writes its file anew for every node it is of.
pub(super) fn put_together(arguments: &Combine, lang: Language) -> Result<String, Failure> {
    let rings = rings(&arguments.data)?;
    let root = typed_root(arguments, lang)?;
    let name = root.name;
    let mut restored = Restored {
        root: name.id.to_string(),
        generation: name.generation,
        nodes: Vec::new(),
        other_roots: Vec::new(),
    };
    let (ours, others): (Vec<_>, Vec<_>) = rings.into_iter().partition(|ring| ring.root == name.id);
    restored.other_roots = others.into_iter().map(|ring| ring.node).collect();
    if ours.is_empty() {
        return Err(Failure::new(
            Code::KeysRefused,
            format!(
                "the shares give root {}, which no key store here is of",
                name.id
            ),
        ));
    }
    let passphrase = match &arguments.new_passphrase_file {
        Some(file) => Some(load(file)?),
        None => None,
    };
    // The first is sealed anew; the others of the same root get the same file.
    let mut first: Option<KeyStore> = None;
    let mut root = Some(root);
    for ring in ours {
        let file = ring.dir.join(PASSPHRASE_FILE);
        if let Some(passphrase) = &passphrase {
            passphrase
                .save(&file)
                .map_err(|error| Failure::new(Code::KeysRefused, chain(&error)))?;
        }
        let new = match (&first, root.take()) {
            (Some(store), _) => store.root_copy(),
            (None, Some(root)) => NewRoot::restored(Cost::DEFAULT, root),
            (None, None) => return Err(Failure::new(Code::Internal, "the root is used up")),
        };
        let keys = ring.dir.join(KEYS_DIR);
        let store = KeyStore::restore_root(&keys, new, Unlock::File(file))
            .map_err(|error| refused(&error))?;
        first.get_or_insert(store);
        restored.nodes.push(ring.node);
    }
    if arguments.output.json {
        return json(&restored);
    }
    let nodes = restored.nodes.join(" ");
    Ok(match lang {
        Language::Zh => format!("根密钥 {} 已恢复到: {nodes}\n", restored.root),
        Language::En => format!("Root {} is restored on: {nodes}\n", restored.root),
    })
}

/// A ring whose root may be lost.
struct Ring {
    dir: PathBuf,
    node: String,
    root: guitai_crypto::keys::KeyId,
}

fn rings(data: &Path) -> Result<Vec<Ring>, Failure> {
    let mut dirs = vec![data.to_owned()];
    if let Ok(entries) = std::fs::read_dir(data) {
        for entry in entries {
            dirs.push(entry.map_err(|error| at(data, &error))?.path());
        }
    }
    let mut rings = Vec::new();
    for dir in dirs {
        let keys = dir.join(KEYS_DIR);
        if KeyStore::exists(&keys) {
            let ring = KeyStore::read_ring(&keys).map_err(|error| refused(&error))?;
            rings.push(Ring {
                dir,
                node: ring.node,
                root: ring.root,
            });
        }
    }
    rings.sort_by(|a, b| a.node.cmp(&b.node));
    if rings.is_empty() {
        return Err(Failure::usage(
            format!("{} holds no key store", data.display()),
            "用 --data 指明数据目录",
            "Name the data directory with --data",
        ));
    }
    Ok(rings)
}

fn typed_root(arguments: &Combine, lang: Language) -> Result<RestoredRoot, Failure> {
    let (files, passphrases) = (&arguments.share, &arguments.officer_passphrase_file);
    if !passphrases.is_empty() && passphrases.len() != files.len() {
        return Err(Failure::usage(
            format!(
                "{} passphrase files for {} shares",
                passphrases.len(),
                files.len()
            ),
            "每份一个口令文件,依份的次序",
            "One passphrase file for each share, in the order of the shares",
        ));
    }
    let mut shares: Vec<Share> = Vec::new();
    if files.is_empty() {
        let mut needed = 1;
        while shares.len() < needed {
            let sealed = type_share(shares.len() + 1, lang)?;
            needed = usize::from(sealed.position().2);
            let passphrase = ask(&officer(sealed.position().0, lang))?;
            shares.push(open(&sealed, &passphrase)?);
        }
    }
    for (position, file) in files.iter().enumerate() {
        let text = std::fs::read_to_string(file).map_err(|error| at(file, &error))?;
        let sealed = SealedShare::from_text(&text).map_err(|error| {
            Failure::new(
                Code::KeysRefused,
                format!("{}: {}", file.display(), chain(&error)),
            )
        })?;
        let passphrase = match passphrases.get(position) {
            Some(file) => load(file)?,
            None => ask(&officer(sealed.position().0, lang))?,
        };
        shares.push(open(&sealed, &passphrase)?);
    }
    combine(&shares).map_err(|error| Failure::new(Code::KeysRefused, error.to_string()))
}

fn open(sealed: &SealedShare, passphrase: &Passphrase) -> Result<Share, Failure> {
    let share = sealed.open(passphrase);
    share.map_err(|error| Failure::new(Code::KeysRefused, error.to_string()))
}

/// Reads one share from standard input, group by group; a typing error names its group and the share
/// is typed again.
fn type_share(number: usize, lang: Language) -> Result<SealedShare, Failure> {
    let mut input = std::io::stdin().lock();
    loop {
        match lang {
            Language::Zh => eprintln!("键入第 {number} 份(空行结束):"),
            Language::En => eprintln!("Type share {number} (an empty line ends it):"),
        }
        let mut text = String::new();
        for _ in 0..LINES_MAX {
            let mut line = String::new();
            let read = input.read_line(&mut line);
            let read = read.map_err(|error| Failure::local("standard input", &error))?;
            if read == 0 && text.is_empty() {
                return Err(Failure::usage(
                    "standard input ended before a share",
                    "用 --share 指明文件,或在终端键入",
                    "Name files with --share, or type at a terminal",
                ));
            }
            if line.trim().is_empty() {
                break;
            }
            text.push_str(&line);
        }
        match SealedShare::from_text(&text) {
            Ok(share) => return Ok(share),
            Err(error) => eprintln!("{}", chain(&error)),
        }
    }
}

fn officer(index: u8, lang: Language) -> String {
    match lang {
        Language::Zh => format!("第 {index} 份保管人的口令: "),
        Language::En => format!("Passphrase of the officer of share {index}: "),
    }
}

fn ask_twice(index: u8, lang: Language) -> Result<Passphrase, Failure> {
    let first = ask_text(&officer(index, lang))?;
    let again = ask_text(lang.pick("再键入一次: ", "Once more: "))?;
    if *first != *again {
        return Err(Failure::usage(
            "the two passphrases differ",
            "重新执行并键入相同的口令",
            "Run it again and type the same passphrase twice",
        ));
    }
    passphrase(&first)
}

fn ask(prompt: &str) -> Result<Passphrase, Failure> {
    passphrase(&ask_text(prompt)?)
}

fn passphrase(text: &str) -> Result<Passphrase, Failure> {
    Passphrase::new(text).map_err(|error| Failure::new(Code::KeysRefused, error.to_string()))
}

/// One line of standard input; at a terminal it is not shown.
fn ask_text(prompt: &str) -> Result<zeroize::Zeroizing<String>, Failure> {
    let mut out = std::io::stderr();
    // A terminal that is gone shows itself when it is read.
    drop(out.write_all(prompt.as_bytes()).and_then(|()| out.flush()));
    let silent = std::io::stdin().is_terminal().then(Silent::new);
    let mut line = zeroize::Zeroizing::new(String::new());
    let read = std::io::stdin().lock().read_line(&mut line);
    if silent.is_some() {
        eprintln!();
    }
    read.map_err(|error| Failure::local("standard input", &error))?;
    let text = line.trim_end_matches(['\n', '\r']);
    Ok(zeroize::Zeroizing::new(text.to_owned()))
}

/// The terminal shows nothing while this lives. `stty` does it: no crate of ours may call termios.
struct Silent;

impl Silent {
    fn new() -> Self {
        stty("-echo");
        Self
    }
}

impl Drop for Silent {
    fn drop(&mut self) {
        stty("echo");
    }
}

fn stty(argument: &str) {
    let mut command = Command::new("stty");
    // Without stty the passphrase is shown while it is typed, which the person sees.
    drop(command.arg(argument).stdin(Stdio::inherit()).status());
}

fn load(file: &Path) -> Result<Passphrase, Failure> {
    Passphrase::load(file).map_err(|error| Failure::new(Code::KeysRefused, chain(&error)))
}

/// A new file of mode 600; an existing one is another splitting's and is left alone.
fn write_new(path: &Path, text: &str) -> Result<(), Failure> {
    use std::os::unix::fs::OpenOptionsExt as _;
    let written = std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .and_then(|mut file| {
            file.write_all(text.as_bytes())?;
            file.sync_all()
        });
    written.map_err(|error| at(path, &error))
}

fn at(path: &Path, error: &std::io::Error) -> Failure {
    Failure::local(&path.display().to_string(), error)
}
