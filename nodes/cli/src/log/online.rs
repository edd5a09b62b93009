//! `log status|checkpoint|policy|prove|mirror`: what a cluster's log says, and what can be carried away.

use std::{
    fs,
    path::{Path, PathBuf},
};

use clap::{Args, ValueEnum};
use futures::StreamExt as _;
use guitai_evidence::log::{
    Checkpoint,
    note::{NOTE_BYTES_MAX, Note},
    policy::POLICY_BYTES_MAX,
    tiles::Resource,
};
use guitai_types::{
    Code, SessionId, UnixMillis,
    record::Duty,
    tlog::{Access, AccessKind, EntryKind, LogStatus, Opening},
};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{FILE_BYTES_MAX, Tree};
use crate::{Language, args::Asked, failure::Failure, http::Door, show, staff, table::Table};

/// Who asks about the log.
pub(super) const READERS: &[Duty] = &[Duty::Operator, Duty::Auditor];
/// The trees that are copied.
const TREES: [Tree; 2] = [Tree::Sm3, Tree::Sha256];

/// Arguments of `log checkpoint` and `log policy`.
#[derive(Debug, Args)]
pub struct OfTree {
    /// 哪棵树 / Which tree
    #[arg(long, value_enum, default_value_t = Tree::Sm3)]
    pub tree: Tree,
    /// Which cluster, as whom, and how to show it.
    #[command(flatten)]
    pub asked: Asked,
}

/// What an entry of a session is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum About {
    /// 录制已封存 / Its recording was sealed
    RecordingSealed,
    /// 录制被查看或导出 / Somebody was given its recording
    Access,
    /// 类别、保全或其解除 / Its classes, holds and releases
    RecordingKept,
    /// 某份副本损坏或已补副本 / A copy was found damaged, or replaced
    RecordingCopy,
    /// 录制已销毁 / Its recording was erased
    RecordingErased,
}

impl About {
    const fn kind(self) -> EntryKind {
        match self {
            Self::RecordingSealed => EntryKind::RecordingSealed,
            Self::Access => EntryKind::Access,
            Self::RecordingKept => EntryKind::RecordingKept,
            Self::RecordingCopy => EntryKind::RecordingCopy,
            Self::RecordingErased => EntryKind::RecordingErased,
        }
    }
}

/// Arguments of `log prove`.
#[derive(Debug, Args)]
pub struct Prove {
    /// 条目序号 / Number of the entry
    #[arg(required_unless_present = "session", conflicts_with = "session")]
    pub index: Option<u64>,
    /// 此会话最近的条目 / The newest entry that is about this session
    #[arg(long)]
    pub session: Option<SessionId>,
    /// 会话的哪类条目 / Which kind of entry of the session
    #[arg(long, value_enum, default_value_t = About::RecordingSealed, requires = "session")]
    pub kind: About,
    /// 证明写入何处(c2sp.org/tlog-proof) / Where the proof is written (c2sp.org/tlog-proof)
    #[arg(long)]
    pub out: PathBuf,
    /// 条目的原始字节写入何处 / Where the entry's bytes are written
    #[arg(long)]
    pub entry: PathBuf,
    /// 条目背后的记录与盐写入何处 / Where the record and the salt behind it are written
    #[arg(long)]
    pub opening: Option<PathBuf>,
    /// 哪棵树 / Which tree
    #[arg(long, value_enum, default_value_t = Tree::Sm3)]
    pub tree: Tree,
    /// Which cluster, as whom, and how to show it.
    #[command(flatten)]
    pub asked: Asked,
}

/// Arguments of `log accesses`.
#[derive(Debug, Args)]
pub struct Accesses {
    /// 只看此会话 / Of this session only
    #[arg(long)]
    pub session: Option<SessionId>,
    /// Which cluster, as whom, and how to show it.
    #[command(flatten)]
    pub asked: Asked,
}

/// Arguments of `log mirror`.
#[derive(Debug, Args)]
pub struct Mirror {
    /// 副本目录;已有的整块不再下载 / Directory of the copy; full tiles that are there are not fetched again
    pub dir: PathBuf,
    /// Which cluster, as whom, and how to show it.
    #[command(flatten)]
    pub asked: Asked,
}

/// Somebody was given a recording.
#[derive(Deserialize, Serialize)]
struct AccessView {
    index: u64,
    at: UnixMillis,
    access: Access,
}

/// What the door says of an entry.
#[derive(Deserialize, Serialize)]
struct Proof {
    index: u64,
    entry: String,
    sm3: String,
    sha256: String,
    #[serde(default)]
    opening: Option<Opening>,
}

pub(super) async fn status(asked: &Asked, lang: Language) -> Result<String, Failure> {
    let door = staff::enter(&asked.access, READERS).await?;
    let status: LogStatus = door.get("/api/v1/log").await?;
    if asked.output.json {
        return show::json(&status);
    }
    let mut text = String::new();
    for alarm in &status.alarms {
        text += &show::log_alarm(alarm, lang);
    }
    let mut table = Table::default();
    let mut fact = |zh: &str, en: &str, value: String| {
        table.row([lang.pick(zh, en).to_owned(), value]);
    };
    fact("条目数", "entries", status.size.to_string());
    fact("已发布", "published", status.published.to_string());
    let at = status.published_at;
    let at = at.map_or_else(|| "-".to_owned(), |at| show::when(at.0));
    fact("发布于", "published at", at);
    fact("本节点缺少", "missing here", status.missing.to_string());
    let needed = format!("{}/{}", status.needed, status.trust.witnesses.len());
    fact("所需见证", "witnesses needed", needed);
    for witness in &status.trust.witnesses {
        fact(
            "见证方",
            "witness",
            format!("{} ({})", witness.centre, witness.node),
        );
    }
    Ok(text + &table.render())
}

pub(super) async fn text(of: &OfTree, file: &str) -> Result<String, Failure> {
    let door = staff::enter(&of.asked.access, READERS).await?;
    let path = format!("/log/{}/{file}", of.tree.name());
    let bytes = fetch(&door, &path, POLICY_BYTES_MAX as u64).await?;
    let text = String::from_utf8_lossy(&bytes).into_owned();
    if of.asked.output.json {
        return show::json(&json!({ "tree": of.tree.name(), "text": text }));
    }
    Ok(text)
}

pub(super) async fn prove(arguments: &Prove, lang: Language) -> Result<String, Failure> {
    let door = staff::enter(&arguments.asked.access, READERS).await?;
    let index = match (&arguments.session, arguments.index) {
        (Some(session), _) => {
            let kind = arguments.kind.kind().as_str();
            let path = format!("/api/v1/log/entries?session={session}&kind={kind}");
            let found: Vec<u64> = door.get(&path).await?;
            let none = || {
                let detail = format!("the log has no {kind} entry about {session}");
                Failure::new(Code::NotFound, detail)
            };
            found.first().copied().ok_or_else(none)?
        }
        (None, index) => index.unwrap_or_default(),
    };
    let opening = arguments.opening.is_some();
    let path = format!("/api/v1/log/entries/{index}?opening={opening}");
    let proof: Proof = door.get(&path).await?;
    let text = match arguments.tree {
        Tree::Sm3 => &proof.sm3,
        Tree::Sha256 => &proof.sha256,
    };
    write(&arguments.out, text.as_bytes())?;
    write(&arguments.entry, proof.entry.as_bytes())?;
    if let (Some(path), Some(opening)) = (&arguments.opening, &proof.opening) {
        write(path, show::json(opening)?.as_bytes())?;
    }
    if arguments.asked.output.json {
        return show::json(&json!({ "index": index, "entry": proof.entry }));
    }
    let (out, entry) = (arguments.out.display(), arguments.entry.display());
    Ok(match lang {
        Language::Zh => format!("条目 {index} 的证明已写入 {out},条目本身写入 {entry}\n"),
        Language::En => format!("the proof of entry {index} is in {out}, the entry in {entry}\n"),
    })
}

pub(crate) async fn accesses(arguments: &Accesses, lang: Language) -> Result<String, Failure> {
    let door = staff::enter(&arguments.asked.access, READERS).await?;
    let session = arguments.session.as_ref();
    let of = session.map(|session| format!("?session={session}"));
    let path = format!("/api/v1/log/accesses{}", of.unwrap_or_default());
    let found: Vec<AccessView> = door.get(&path).await?;
    if arguments.asked.output.json {
        return show::json(&found);
    }
    let mut table = Table::new(match lang {
        Language::Zh => ["条目", "时间", "谁", "会话", "何事", "原因"],
        Language::En => ["entry", "at", "who", "session", "what", "why"],
    });
    for AccessView { index, at, access } in found {
        let what = match access.what {
            AccessKind::Export => lang.pick("导出", "export"),
            AccessKind::Play => lang.pick("播放", "play"),
            AccessKind::Copy => lang.pick("复制", "copy"),
            AccessKind::Film => lang.pick("合成录像", "film"),
        };
        table.row([
            index.to_string(),
            show::when(at.0),
            access.who.to_string(),
            access.session.to_string(),
            what.to_owned(),
            access.reason,
        ]);
    }
    Ok(table.render())
}

pub(super) async fn mirror(arguments: &Mirror, lang: Language) -> Result<String, Failure> {
    let door = staff::enter(&arguments.asked.access, READERS).await?;
    let (mut fetched, mut kept, mut size) = (0_u64, 0_u64, 0);
    for tree in TREES {
        let dir = arguments.dir.join(tree.name());
        let at = |file: &dyn std::fmt::Display| format!("/log/{}/{file}", tree.name());
        let policy = fetch(&door, &at(&"policy"), POLICY_BYTES_MAX as u64).await?;
        let checkpoint = fetch(&door, &at(&"checkpoint"), NOTE_BYTES_MAX as u64).await?;
        let broken = |why: String| Failure::new(Code::EvidenceBroken, why);
        let note = Note::parse(&checkpoint).map_err(|error| broken(error.to_string()))?;
        let head = Checkpoint::of(&note).map_err(|error| broken(error.to_string()))?;
        size = head.head.size;
        for resource in Resource::of_tree(size) {
            let path = dir.join(resource.to_string());
            // A file of a full tile never changes; whether it is right, `log audit` finds.
            if path.exists() {
                kept += 1;
                continue;
            }
            let bytes = fetch(&door, &at(&resource), FILE_BYTES_MAX).await?;
            write(&path, &bytes)?;
            fetched += 1;
        }
        write(&dir.join("policy"), &policy)?;
        // Last: what it is over is there.
        write(&dir.join("checkpoint"), &checkpoint)?;
    }
    if arguments.asked.output.json {
        let dir = &arguments.dir;
        return show::json(
            &json!({ "dir": dir, "entries": size, "fetched": fetched, "kept": kept }),
        );
    }
    let dir = arguments.dir.join(Tree::Sm3.name());
    let dir = dir.display();
    Ok(match lang {
        Language::Zh => format!(
            "{size} 个条目:下载 {fetched} 个文件,已有 {kept} 个\n用 guitai log audit {dir} --policy {dir}/policy 核对\n"
        ),
        Language::En => format!(
            "{size} entries: {fetched} files fetched, {kept} were there\ncheck them with guitai log audit {dir} --policy {dir}/policy\n"
        ),
    })
}

async fn fetch(door: &Door, path: &str, bytes_max: u64) -> Result<Vec<u8>, Failure> {
    let mut pieces = door.download(path).await?;
    let mut bytes = Vec::new();
    while let Some(piece) = pieces.next().await {
        bytes.extend_from_slice(&piece?);
        if bytes.len() as u64 > bytes_max {
            let limit = format!("{path}: the limit is {bytes_max} bytes");
            return Err(Failure::new(Code::TooLarge, limit));
        }
    }
    Ok(bytes)
}

/// Writes a file whole: a copy that was interrupted has no half ones.
fn write(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    let local = |error: &std::io::Error| Failure::local("writing a file", error);
    if let Some(dir) = path.parent() {
        fs::create_dir_all(dir).map_err(|error| local(&error))?;
    }
    let mut name = path.file_name().unwrap_or_default().to_os_string();
    name.push(".tmp");
    let partial = path.with_file_name(name);
    fs::write(&partial, bytes).map_err(|error| local(&error))?;
    fs::rename(&partial, path).map_err(|error| local(&error))
}
