//! `log`: the transparency log, read from the cluster and checked without it.

mod consistency;
mod online;
mod records;

use std::{
    fs,
    io::{IsTerminal as _, Read as _},
    path::{Path, PathBuf},
};

use clap::{Args, Subcommand, ValueEnum};
use guitai_evidence::log::{
    Believed, InclusionProof, Policy, audit,
    note::NOTE_BYTES_MAX,
    policy::POLICY_BYTES_MAX,
    tiles::{Resource, Tiles},
};
use guitai_types::{Code, Problem};
use serde_json::json;

use crate::{
    Language,
    args::{Asked, Output},
    failure::{Failure, NOT_VERIFIED},
    show,
    table::Table,
};

pub use consistency::Consistency;
pub use online::{About, Accesses, Mirror, OfTree, Prove};
pub use records::Records;
pub(crate) use {
    online::accesses,
    records::{RecordView, words as record_words},
};

/// Largest file of a log that is read: a bundle of 256 entries of 65,535 bytes.
const FILE_BYTES_MAX: u64 = 256 * (2 + 65_535);

/// Acts on the transparency log.
#[derive(Debug, Subcommand)]
pub enum Log {
    /// 离线校验一份入录证明 / Check a proof that an entry is in the log, offline
    Verify(VerifyProof),
    /// 离线重读整份日志副本 / Read a whole copy of the log again, offline
    Audit(Audit),
    /// 日志状态与告警 / How the log stands, and alarms
    Status(Asked),
    /// 最新检查点 / The newest checkpoint
    Checkpoint(OfTree),
    /// 信任策略文件 / The policy file
    Policy(OfTree),
    /// 取一份入录证明 / Get a proof that an entry is in the log
    Prove(Prove),
    /// 谁因何取用过录音录像 / Who was given recordings, and why
    Accesses(Accesses),
    /// 日志中有哪些事件及其内容 / What was entered in the log, and what is behind it
    Records(Records),
    /// 日志自某一旧检查点起未曾断裂或改写 / The log continues an older checkpoint, unbroken
    Consistency(Consistency),
    /// 复制整份日志,可续传 / Copy the whole log; goes on where it was interrupted
    Mirror(Mirror),
}

/// One of the two trees over the same entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Tree {
    /// SM3 与 SM2 / SM3 and SM2
    Sm3,
    /// SHA-256 与 Ed25519 / SHA-256 and Ed25519
    Sha256,
}

impl Tree {
    const fn name(self) -> &'static str {
        match self {
            Self::Sm3 => "sm3",
            Self::Sha256 => "sha256",
        }
    }
}

impl Log {
    pub(crate) const fn output(&self) -> &Output {
        match self {
            Self::Verify(verify) => &verify.output,
            Self::Audit(audit) => &audit.output,
            Self::Status(asked) => &asked.output,
            Self::Checkpoint(of) | Self::Policy(of) => &of.asked.output,
            Self::Prove(prove) => &prove.asked.output,
            Self::Accesses(accesses) => &accesses.asked.output,
            Self::Records(records) => &records.asked.output,
            Self::Mirror(mirror) => &mirror.asked.output,
            Self::Consistency(it) => &it.asked.output,
        }
    }
}

/// Arguments of `log verify`.
#[derive(Debug, Args)]
pub struct VerifyProof {
    /// 证明文件(c2sp.org/tlog-proof) / The proof (c2sp.org/tlog-proof)
    pub proof: PathBuf,
    /// 条目的原始字节 / The entry's bytes
    #[arg(long)]
    pub entry: PathBuf,
    /// 信任谁(c2sp.org/tlog-policy) / Whom to believe (c2sp.org/tlog-policy)
    #[arg(long)]
    pub policy: PathBuf,
    /// How to show it.
    #[command(flatten)]
    pub output: Output,
}

/// Arguments of `log audit`.
#[derive(Debug, Args)]
pub struct Audit {
    /// 日志副本目录(c2sp.org/tlog-tiles) / Directory of the copy (c2sp.org/tlog-tiles)
    pub dir: PathBuf,
    /// 信任谁(c2sp.org/tlog-policy) / Whom to believe (c2sp.org/tlog-policy)
    #[arg(long)]
    pub policy: PathBuf,
    /// 更早的检查点,日志须由其延续 / An older checkpoint that the log must continue
    #[arg(long)]
    pub from: Option<PathBuf>,
    /// How to show it.
    #[command(flatten)]
    pub output: Output,
}

pub(crate) async fn run(log: &Log, lang: Language) -> Result<String, Failure> {
    match log {
        Log::Verify(arguments) => verify(arguments, lang),
        Log::Audit(arguments) => read_again(arguments, lang),
        Log::Status(asked) => online::status(asked, lang).await,
        Log::Checkpoint(of) => online::text(of, "checkpoint").await,
        Log::Policy(of) => online::text(of, "policy").await,
        Log::Prove(arguments) => online::prove(arguments, lang).await,
        Log::Accesses(arguments) => accesses(arguments, lang).await,
        Log::Records(arguments) => records::records(arguments, lang).await,
        Log::Consistency(arguments) => consistency::check(arguments, lang).await,
        Log::Mirror(arguments) => online::mirror(arguments, lang).await,
    }
}

fn verify(arguments: &VerifyProof, lang: Language) -> Result<String, Failure> {
    let policy = policy(&arguments.policy)?;
    let text = read_text(&arguments.proof, NOTE_BYTES_MAX as u64 * 2)?;
    let entry = read(&arguments.entry, FILE_BYTES_MAX)?;
    let proof = InclusionProof::parse(&text).map_err(|error| not_verified(&error))?;
    let believed = proof.verify(&entry, &policy);
    let believed = believed.map_err(|error| not_verified(&error))?;
    let index = proof.index;
    let text = if arguments.output.json {
        show::json(&json!({ "ok": true, "index": index, "checkpoint": shown(&believed) }))?
    } else {
        let line = match lang {
            Language::Zh => format!("条目 {index} 已入录\n"),
            Language::En => format!("entry {index} is in the log\n"),
        };
        line + &words(&believed, lang)
    };
    Ok(text)
}

fn read_again(arguments: &Audit, lang: Language) -> Result<String, Failure> {
    let policy = policy(&arguments.policy)?;
    let older = arguments.from.as_deref();
    let older = older.map(|path| read(path, NOTE_BYTES_MAX as u64));
    let older = older.transpose()?;
    let copy = Copy(&arguments.dir);
    let is_watched = !arguments.output.json && std::io::stderr().is_terminal();
    let progress = |entries| {
        if is_watched {
            eprint!("\r{entries}");
        }
    };
    let audited = audit(&copy, &policy, older.as_deref(), progress);
    if is_watched {
        eprintln!();
    }
    let audited = audited.map_err(|error| not_verified(&error))?;
    let (tiles, continues) = (audited.tiles, audited.continues);
    let text = if arguments.output.json {
        let checkpoint = shown(&audited.believed);
        show::json(
            &json!({ "ok": true, "tiles": tiles, "continues": continues, "checkpoint": checkpoint }),
        )?
    } else {
        let entries = audited.believed.checkpoint.head.size;
        let mut text = match lang {
            Language::Zh => format!("{entries} 个条目、{tiles} 个哈希块逐一核对无误\n"),
            Language::En => {
                format!("{entries} entries and {tiles} tiles are as the checkpoint says\n")
            }
        };
        if let Some(size) = continues {
            text += &match lang {
                Language::Zh => format!("由较早的 {size} 个条目的检查点延续而来\n"),
                Language::En => format!("it continues the older checkpoint of {size} entries\n"),
            };
        }
        text + &words(&audited.believed, lang)
    };
    Ok(text)
}

/// Files of a copy.
struct Copy<'a>(&'a Path);

impl Tiles for Copy<'_> {
    fn get(&self, resource: Resource) -> Result<Vec<u8>, String> {
        let path = self.0.join(resource.to_string());
        read_at_most(&path, FILE_BYTES_MAX)
    }
}

fn policy(path: &Path) -> Result<Policy, Failure> {
    let text = read_text(path, POLICY_BYTES_MAX as u64)?;
    Policy::parse(&text).map_err(|error| {
        Failure::usage(
            format!("{}: {error}", path.display()),
            "按 c2sp.org/tlog-policy 修正信任策略文件",
            "Correct the policy file, see c2sp.org/tlog-policy",
        )
    })
}

fn read_text(path: &Path, bytes_max: u64) -> Result<String, Failure> {
    let bytes = read(path, bytes_max)?;
    String::from_utf8(bytes).map_err(|_| unreadable(&format!("{}: not UTF-8", path.display())))
}

fn read(path: &Path, bytes_max: u64) -> Result<Vec<u8>, Failure> {
    let bytes = read_at_most(path, bytes_max);
    bytes.map_err(|why| unreadable(&format!("{}: {why}", path.display())))
}

fn unreadable(detail: &str) -> Failure {
    Failure::usage(
        detail.to_owned(),
        "核对文件路径与内容",
        "Check the file's path and content",
    )
}

pub(crate) fn read_at_most(path: &Path, bytes_max: u64) -> Result<Vec<u8>, String> {
    let file = fs::File::open(path).map_err(|error| error.to_string())?;
    let mut bytes = Vec::new();
    let read = file.take(bytes_max + 1).read_to_end(&mut bytes);
    read.map_err(|error| error.to_string())?;
    if bytes.len() as u64 > bytes_max {
        return Err(format!("longer than {bytes_max} bytes"));
    }
    Ok(bytes)
}

fn not_verified(error: &dyn std::error::Error) -> Failure {
    Failure {
        exit: NOT_VERIFIED,
        problem: Problem::new(Code::EvidenceBroken, error.to_string()),
        cause: None,
        next: None,
    }
}

fn shown(believed: &Believed<'_>) -> serde_json::Value {
    let head = &believed.checkpoint.head;
    let witnesses: Vec<_> = believed
        .witnesses
        .iter()
        .map(|signed| json!({ "name": signed.key.name(), "at_unix": signed.at }))
        .collect();
    json!({
        "origin": believed.checkpoint.origin,
        "digest": believed.digest.name(),
        "size": head.size,
        "root": guitai_types::Hex(head.root.to_vec()),
        "witnesses": witnesses,
    })
}

fn words(believed: &Believed<'_>, lang: Language) -> String {
    let head = &believed.checkpoint.head;
    let mut table = Table::new(match lang {
        Language::Zh => ["日志", "条目数", "摘要算法", "见证方"],
        Language::En => ["log", "entries", "digest", "witnesses"],
    });
    let names: Vec<&str> = believed
        .witnesses
        .iter()
        .map(|signed| signed.key.name())
        .collect();
    table.row([
        believed.checkpoint.origin.clone(),
        head.size.to_string(),
        believed.digest.name().to_owned(),
        names.join(" "),
    ]);
    table.render()
}

#[cfg(test)]
mod tests {
    use guitai_crypto::sm2::SecretKey;
    use guitai_evidence::log::{
        Checkpoint, Digest, Edge, Written,
        check::Head,
        note::{Kind, Line, Note, VerifierKey},
        policy,
        tiles::{TILE_WIDTH, Tree, bundle},
    };

    use super::*;

    /// A copy of a log of 300 entries in a directory, with a policy and a proof of entry 7.
    fn written(dir: &Path) {
        let put = |path: &str, bytes: &[u8]| {
            let path = dir.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, bytes).unwrap();
        };
        let keep = |Written { resource, bytes }| put(&resource.to_string(), &bytes);
        let entries: Vec<Vec<u8>> = (0..300).map(|at| vec![7; at]).collect();
        let mut edge = Edge::new(Digest::Sm3);
        for entry in &entries {
            let full = edge.push(Digest::Sm3.leaf(entry));
            full.into_iter().for_each(keep);
        }
        edge.partial().for_each(keep);
        for (index, entries) in (0..).zip(entries.chunks(TILE_WIDTH)) {
            let width = entries.len() as u16;
            let bytes = bundle(entries.iter().map(Vec::as_slice)).unwrap();
            let resource = Resource::Entries { index, width };
            keep(Written { resource, bytes });
        }
        let key = |name, kind| {
            let secret = SecretKey::generate();
            let point = secret.public().to_point();
            (VerifierKey::new(name, kind, &point).unwrap(), secret)
        };
        let (log, log_secret) = key("bank/log/sm3", Kind::Sm2);
        let (witness, witness_secret) = key("w.b", Kind::Sm2Cosignature);
        let head = Head {
            size: edge.size(),
            root: edge.root(),
        };
        let origin = log.name().to_owned();
        let mut note = Note::new(Checkpoint { origin, head }.to_string()).unwrap();
        let text = note.text().to_owned();
        let sign = |message: &[u8]| log_secret.sign(message);
        note.add(Line::sign(&log, &sign, &text, 0)).unwrap();
        let sign = |message: &[u8]| witness_secret.sign(message);
        note.add(Line::sign(&witness, &sign, &text, 1_795_000_000))
            .unwrap();
        put("checkpoint", note.to_string().as_bytes());
        put("policy", policy::text(&log, &[witness], 1).as_bytes());
        put("entry", &entries[7]);
        let tiles = Copy(dir);
        let tree = Tree {
            digest: Digest::Sm3,
            size: 300,
            tiles: &tiles,
        };
        let proof = InclusionProof {
            extra: None,
            index: 7,
            hashes: tree.inclusion(7).unwrap(),
            checkpoint: note,
        };
        put("proof", proof.to_string().as_bytes());
    }

    fn answer(dir: &Path, json: bool, act: &str) -> Result<String, Failure> {
        let output = Output { json, lang: None };
        let policy = dir.join("policy");
        let log = match act {
            "verify" => Log::Verify(VerifyProof {
                proof: dir.join("proof"),
                entry: dir.join("entry"),
                policy,
                output,
            }),
            _ => Log::Audit(Audit {
                dir: dir.to_owned(),
                policy,
                from: Some(dir.join("checkpoint")),
                output,
            }),
        };
        match &log {
            Log::Verify(arguments) => verify(arguments, Language::En),
            Log::Audit(arguments) => read_again(arguments, Language::En),
            online => panic!("{online:?} asks a cluster"),
        }
    }

    #[test]
    fn a_copy_and_a_proof_are_checked_and_a_changed_byte_is_not_verified() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path();
        written(dir);
        for (act, first) in [
            ("verify", "entry 7 is in the log\n"),
            (
                "audit",
                "300 entries and 3 tiles are as the checkpoint says\n",
            ),
        ] {
            let text = answer(dir, false, act).unwrap();
            assert!(text.starts_with(first), "{text}");
            assert!(
                text.contains("bank/log/sm3") && text.contains("w.b"),
                "{text}"
            );
            let json: serde_json::Value =
                serde_json::from_str(&answer(dir, true, act).unwrap()).unwrap();
            assert_eq!(json["ok"], true);
            assert_eq!(json["checkpoint"]["size"], 300);
        }
        fs::write(dir.join("entry"), b"other").unwrap();
        let failure = answer(dir, false, "verify").unwrap_err();
        assert_eq!(failure.exit, NOT_VERIFIED);
        assert_eq!(
            failure.problem.detail,
            "entry 7 is not in the tree of 300 entries"
        );
        let bundle = dir.join("tile/entries/001.p/44");
        let mut bytes = fs::read(&bundle).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        fs::write(&bundle, bytes).unwrap();
        let failure = answer(dir, false, "audit").unwrap_err();
        assert_eq!(failure.exit, NOT_VERIFIED);
        assert_eq!(
            failure.problem.detail,
            "tile/0/001.p/44 is not what the entries give"
        );
        fs::write(dir.join("policy"), "quorum nobody\n").unwrap();
        let failure = answer(dir, false, "audit").unwrap_err();
        assert!(
            failure
                .problem
                .detail
                .ends_with("nobody is not named before")
        );
    }
}
