//! `flow …`: the flow matrix, offline: what may cross between zones, and what follows from it.

mod loaded;
mod minute;
mod online;
mod seen;
pub(crate) mod told;
mod verify;
pub(crate) mod words;

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

use clap::{Args, Subcommand};
use guitai_flow::{
    Diff, End, Matrix, ParseError, Sentence,
    addresses::{self, Addresses},
    firewall, limits,
};
use guitai_host::{Clock as _, SystemClock};
use guitai_types::{Code, Date, profile::Profile};
pub use minute::Minute;
pub use online::{Approve, InForce, Plan, Undo, Withdraw};
pub use seen::{Denied, Listeners, Seen, Unused};
use serde_json::{Value, json};
pub use told::{Ago, Span};
pub use verify::Verify;

use crate::{
    Done, Language, Output,
    args::Asked,
    failure::{FINDINGS, Failure},
    show,
};

/// `flow …`
#[derive(Debug, Subcommand)]
pub enum Flow {
    /// 哪些区域之间可有哪些流转:表格、规范形式、图 / What may flow between which zones: a table, the canonical form, a picture
    Show(Show),
    /// 检查矩阵:错误、到期,及与部署的出入 / Check a matrix: faults, expiry, and where a deployment differs
    Check(Check),
    /// 两版矩阵之差,逐条成句;--since:实际流转与矩阵之差 / What one version allows that another did not, in sentences; --since: what flowed beside what may
    Diff(Compare),
    /// 由矩阵生成主机防火墙规则(nftables) / Rules of a host's firewall (nftables), from the matrix alone
    Firewall(Firewall),
    /// 从本机实测矩阵:该通者通、不该通者不通;--rules 另比对已加载的规则 / Try the matrix from this host: what is declared answers, nothing else does; --rules compares the rules that are loaded
    Verify(Verify),
    /// 某角色失陷后能触及什么、不能触及什么 / What a role that was taken over reaches, and what not
    Reach(Reach),
    /// 集群现行的矩阵 / The matrix that the cluster has in force
    Matrix(InForce),
    /// 新矩阵与现行矩阵之差;--submit 提交 / What a new matrix changes; --submit proposes it
    Plan(Plan),
    /// 批准待批准的一版,须两名授权人各以本人密钥 / Approve the version that is proposed; takes two officers, each with the own key
    Approve(Approve),
    /// 撤回待批准的一版 / Take the version that is proposed back
    Withdraw(Withdraw),
    /// 提交上一版,一步回退 / Propose the version before: one step back
    Undo(Undo),
    /// 历次版本:谁提出、谁批准、何时生效 / The versions: who proposed, who approved, in force since when
    History(Asked),
    /// 各节点所见的流转、内核所见的套接字,与矩阵之出入 / What nodes and their kernels saw, and where it differs from the matrix
    Seen(Seen),
    /// 谁在监听、谁建立了连接;内区不接受外来连接 / Who listens, and who opened; the inner zone takes nothing from outside
    Listeners(Listeners),
    /// 被拒绝的流转:来自何处、缘由 / What was refused, from where, and why
    Denied(Denied),
    /// 从未用到的矩阵行 / Rows that nothing has used
    Unused(Unused),
    /// 有什么去往 AI 插件及其他外部系统 / What leaves for AI plug-ins and other systems outside
    Plugins(Asked),
    /// 流转日志的一分钟,其根与透明日志比对 / One minute of the flow log, its root compared with the transparency log's
    Minute(Minute),
}

/// Arguments of `flow show`.
#[derive(Debug, Args)]
pub struct Show {
    /// 矩阵文件;不给则为内置的演示矩阵 / The matrix; the built-in demonstration's unless given
    pub file: Option<PathBuf>,
    /// 画成图(SVG),写入此文件 / Draw it (SVG) into this file
    #[arg(long, value_name = "FILE")]
    pub svg: Option<PathBuf>,
    /// 规范形式(RFC 8785 JSON),即签名与共识所用的字节 / The canonical form (RFC 8785 JSON): the bytes that are signed and agreed on
    #[arg(long, conflicts_with = "svg")]
    pub canonical: bool,
    /// On which day, and how to show it.
    #[command(flatten)]
    pub asked: Offline,
}

/// Arguments of `flow check`.
#[derive(Debug, Args)]
pub struct Check {
    /// 矩阵文件 / The matrix
    pub file: PathBuf,
    /// 与此部署比对:其监听与连接是否均已声明 / Compare with this profile: is all that it opens and listens on declared?
    #[arg(long)]
    pub profile: Option<PathBuf>,
    /// On which day, and how to show it.
    #[command(flatten)]
    pub asked: Offline,
}

/// Arguments of `flow diff`.
#[derive(Debug, Args)]
pub struct Compare {
    /// 旧矩阵 / The matrix before
    #[arg(required_unless_present = "since", requires = "after")]
    pub before: Option<PathBuf>,
    /// 新矩阵 / The matrix after
    #[arg(conflicts_with = "since")]
    pub after: Option<PathBuf>,
    /// In which stretch of time, where what flowed is wanted.
    #[command(flatten)]
    pub span: Span,
    /// Which cluster, as whom, and how to show it.
    #[command(flatten)]
    pub asked: Asked,
}

/// Arguments of `flow firewall`.
#[derive(Debug, Args)]
pub struct Firewall {
    /// Which host.
    #[command(flatten)]
    pub place: Place,
    /// On which day, and how to show it.
    #[command(flatten)]
    pub asked: Offline,
}

/// A host, as the matrix sees it.
#[derive(Debug, Args)]
pub struct Place {
    /// 矩阵文件 / The matrix
    pub file: PathBuf,
    /// 主机所在区域 / The zone of the host
    #[arg(long, value_name = "ZONE")]
    pub node_zone: String,
    /// 主机上的角色,可多次 / A role on the host; may be given again
    #[arg(long, required = true)]
    pub role: Vec<String>,
    /// 地址:部署配置或地址文件,可多次 / Addresses: a profile or a file of addresses; may be given again
    #[arg(long, required = true, value_name = "FILE")]
    pub addresses: Vec<PathBuf>,
}

impl Place {
    /// What the arguments name, read.
    fn read(&self) -> Result<(Matrix, BTreeSet<End>, Addresses), Failure> {
        let matrix = read_matrix(&self.file)?;
        let roles = self.role.iter();
        let ends = roles
            .map(|role| end(&format!("{}/{role}", self.node_zone)))
            .collect::<Result<_, _>>()?;
        let mut addresses = Addresses::default();
        for file in &self.addresses {
            addresses.add(read_addresses(file)?);
        }
        Ok((matrix, ends, addresses))
    }
}

/// Arguments of `flow reach`.
#[derive(Debug, Args)]
pub struct Reach {
    /// 矩阵文件 / The matrix
    pub file: PathBuf,
    /// 失陷的角色,写作 区域/角色 / The role that was taken over, as zone/role
    #[arg(long, value_name = "ZONE/ROLE")]
    pub from: String,
    /// On which day, and how to show it.
    #[command(flatten)]
    pub asked: Offline,
}

/// On which day, and how to show it.
#[derive(Debug, Args)]
pub struct Offline {
    /// 按哪一天判断到期(YYYY-MM-DD,北京时间);默认今天 / The day by which rows expire (Beijing); today unless given
    #[arg(long, value_name = "DATE", value_parser = day)]
    pub on: Option<Date>,
    /// How to show it.
    #[command(flatten)]
    pub output: Output,
}

fn day(text: &str) -> Result<Date, String> {
    text.parse::<Date>().map_err(|error| error.to_string())
}

impl Offline {
    fn day(&self) -> Date {
        self.on.unwrap_or_else(|| Date::of(SystemClock.wall()))
    }
}

impl Flow {
    pub(crate) const fn output(&self) -> &Output {
        match self {
            Self::Show(it) => &it.asked.output,
            Self::Check(it) => &it.asked.output,
            Self::Diff(it) => &it.asked.output,
            Self::Firewall(it) => &it.asked.output,
            Self::Verify(it) => &it.asked.output,
            Self::Reach(it) => &it.asked.output,
            Self::Matrix(it) => &it.asked.output,
            Self::Plan(it) => &it.asked.output,
            Self::Approve(it) => &it.asked.output,
            Self::Withdraw(it) => &it.asked.output,
            Self::Undo(it) => &it.asked.output,
            Self::Seen(it) => &it.asked.output,
            Self::Listeners(it) => &it.asked.output,
            Self::Denied(it) => &it.asked.output,
            Self::Unused(it) => &it.asked.output,
            Self::Minute(it) => &it.asked.output,
            Self::History(asked) | Self::Plugins(asked) => &asked.output,
        }
    }
}

/// Runs one `guitai flow …` command.
pub(crate) async fn run(command: &Flow, lang: Language) -> Result<Done, Failure> {
    match command {
        Flow::Show(arguments) => show(arguments, lang),
        Flow::Check(arguments) => check(arguments, lang),
        Flow::Diff(arguments) => match (&arguments.before, &arguments.after) {
            (Some(before), Some(after)) => compare(before, after, &arguments.asked.output, lang),
            _ => seen::differs(&arguments.span, &arguments.asked, lang).await,
        },
        Flow::Firewall(arguments) => rules(arguments),
        Flow::Verify(arguments) => verify::verify(arguments, lang).await,
        Flow::Reach(arguments) => reach(arguments, lang),
        Flow::Matrix(arguments) => online::matrix(arguments, lang).await,
        Flow::Plan(arguments) => online::plan(arguments, lang).await,
        Flow::Approve(arguments) => online::approve(arguments, lang).await,
        Flow::Withdraw(arguments) => online::withdraw(arguments, lang).await,
        Flow::Undo(arguments) => online::undo(arguments, lang).await,
        Flow::History(asked) => online::history(asked, lang).await,
        Flow::Seen(arguments) => seen::seen(arguments, lang).await,
        Flow::Listeners(arguments) => seen::listeners(arguments, lang).await,
        Flow::Denied(arguments) => seen::denied(arguments, lang).await,
        Flow::Unused(arguments) => seen::unused(arguments, lang).await,
        Flow::Plugins(asked) => seen::plugins(asked, lang).await,
        Flow::Minute(arguments) => minute::show_one(arguments, lang).await,
    }
}

const fn done(text: String) -> Done {
    Done { text, exit: 0 }
}

fn show(arguments: &Show, lang: Language) -> Result<Done, Failure> {
    let on = arguments.asked.day();
    let matrix = match &arguments.file {
        Some(file) => read_matrix(file)?,
        None => Matrix::shipped().map_err(|error| refused("the built-in matrix", &error))?,
    };
    let canonical = matrix.canonical();
    let canonical = canonical.map_err(|error| Failure::local("the canonical form", &error))?;
    if arguments.canonical {
        return Ok(done(String::from_utf8_lossy(&canonical).into_owned()));
    }
    if let Some(out) = &arguments.svg {
        let picture = guitai_flow::picture::svg(&matrix, lang == Language::Zh, on);
        let written = std::fs::write(out, &picture);
        written.map_err(|error| Failure::local(&out.display().to_string(), &error))?;
    }
    if arguments.asked.output.json {
        let value: Value = serde_json::from_slice(&canonical)
            .map_err(|error| Failure::local("the canonical form", &error))?;
        let expired: Vec<_> = matrix.rows().iter().filter(|row| !row.holds(on)).collect();
        let expired: Vec<_> = expired.iter().map(|row| &row.id).collect();
        return show::json(&json!({
            "matrix": value, "digest": digest(&matrix)?, "on": on, "expired": expired, "svg": arguments.svg,
        }))
        .map(done);
    }
    Ok(done(words::matrix(&matrix, &digest(&matrix)?, on, lang)))
}

fn check(arguments: &Check, lang: Language) -> Result<Done, Failure> {
    let on = arguments.asked.day();
    let asked_json = arguments.asked.output.json;
    let text = read_text(&arguments.file)?;
    let matrix = match Matrix::parse(&text) {
        Ok(matrix) => matrix,
        Err(ParseError::Faults(faults)) => {
            let text = if asked_json {
                let faults: Vec<Value> = faults
                    .iter()
                    .map(|fault| {
                        let row = fault.row.clone().unwrap_or_default();
                        json!({ "line": fault.line, "row": row, "field": fault.field, "words": fault.why.words() })
                    })
                    .collect();
                show::json(&json!({ "ok": false, "on": on, "faults": faults, "findings": [] }))?
            } else {
                words::faults(&faults, lang)
            };
            return Ok(Done {
                text,
                exit: FINDINGS,
            });
        }
        Err(error) => return Err(refused(&arguments.file.display().to_string(), &error)),
    };
    let profile = arguments.profile.as_deref().map(read_profile).transpose()?;
    let findings = guitai_flow::check(&matrix, profile.as_ref(), on);
    let ok = findings.iter().all(guitai_flow::Finding::is_remark);
    let text = if asked_json {
        let findings: Vec<Value> = findings
            .iter()
            .map(|it| {
                let row = it.row().map(ToString::to_string).unwrap_or_default();
                json!({ "kind": it.kind(), "row": row, "remark": it.is_remark(), "words": it.words() })
            })
            .collect();
        let digest = digest(&matrix)?;
        show::json(
            &json!({ "ok": ok, "on": on, "digest": digest, "faults": [], "findings": findings }),
        )?
    } else {
        words::findings(&matrix, &digest(&matrix)?, &findings, on, lang)
    };
    let exit = if ok { 0 } else { FINDINGS };
    Ok(Done { text, exit })
}

fn compare(before: &Path, after: &Path, output: &Output, lang: Language) -> Result<Done, Failure> {
    let (before, after) = (read_matrix(before)?, read_matrix(after)?);
    let diff = Diff::between(&before, &after);
    let sentences = diff.sentences(&before);
    if !output.json {
        return Ok(done(words::sentences(&sentences, lang)));
    }
    let changes = changes(&sentences);
    let version =
        |it: &Matrix| digest(it).map(|digest| json!({ "version": it.version(), "digest": digest }));
    show::json(&json!({
        "before": version(&before)?, "after": version(&after)?, "widens": diff.widens(), "changes": changes,
    }))
    .map(done)
}

/// The sentences of a diff as JSON.
fn changes(sentences: &[Sentence]) -> Vec<Value> {
    let change = |it: &Sentence| {
        let row = it.row.as_ref().map(ToString::to_string).unwrap_or_default();
        json!({ "row": row, "effect": it.effect.name(), "words": it.words })
    };
    sentences.iter().map(change).collect()
}

fn rules(arguments: &Firewall) -> Result<Done, Failure> {
    let on = arguments.asked.day();
    let (matrix, ends, addresses) = arguments.place.read()?;
    let rules = made(&matrix, &ends, &addresses, on)?;
    if arguments.asked.output.json {
        let ends: Vec<String> = ends.iter().map(ToString::to_string).collect();
        let digest = digest(&matrix)?;
        return show::json(&json!({ "for": ends, "on": on, "digest": digest, "nftables": rules }))
            .map(done);
    }
    Ok(done(rules))
}

/// Rules of a firewall, or why there are none.
fn made(
    matrix: &Matrix,
    ends: &BTreeSet<End>,
    addresses: &Addresses,
    on: Date,
) -> Result<String, Failure> {
    firewall::firewall(matrix, ends, addresses, on).map_err(|error| {
        Failure::usage(
            error.to_string(),
            "核对区域、角色与地址文件;参见 docs/reference/flow-matrix.md",
            "Check zone, roles and addresses; see docs/reference/flow-matrix.md",
        )
    })
}

fn reach(arguments: &Reach, lang: Language) -> Result<Done, Failure> {
    let matrix = read_matrix(&arguments.file)?;
    let from = end(&arguments.from)?;
    let on = arguments.asked.day();
    let reach = matrix.reach(from, on).ok_or_else(|| {
        Failure::usage(
            format!("the matrix does not declare {from}"),
            "guitai flow show 列出矩阵中的角色",
            "guitai flow show lists the roles of a matrix",
        )
    })?;
    if arguments.asked.output.json {
        return show::json(&reach).map(done);
    }
    Ok(done(words::reach(&matrix, &reach, lang)))
}

fn end(text: &str) -> Result<End, Failure> {
    text.parse::<End>().map_err(|error| {
        Failure::usage(
            error.to_string(),
            "写作 区域/角色,例如 dmz/edge",
            "Written as zone/role, for example dmz/edge",
        )
    })
}

fn digest(matrix: &Matrix) -> Result<String, Failure> {
    let digest = matrix.digest();
    let digest = digest.map_err(|error| Failure::local("the canonical form", &error))?;
    Ok(digest.to_string())
}

fn read_matrix(file: &Path) -> Result<Matrix, Failure> {
    let text = read_text(file)?;
    Matrix::parse(&text).map_err(|error| refused(&file.display().to_string(), &error))
}

fn read_addresses(file: &Path) -> Result<Addresses, Failure> {
    let text = read_text(file)?;
    if !addresses::is_addresses(&text) {
        return read_profile(file).map(|profile| Addresses::of_profile(&profile));
    }
    Addresses::parse(&text).map_err(|error| refused(&file.display().to_string(), &error))
}

fn read_profile(file: &Path) -> Result<Profile, Failure> {
    let text = read_text(file)?;
    let bad = |detail: String| {
        let detail = format!("{}: {detail}", file.display());
        Failure::usage(
            detail,
            "给出部署配置,例如 profiles/demo.toml",
            "Name a profile, such as profiles/demo.toml",
        )
    };
    let profile: Profile =
        toml::from_str(&text).map_err(|error| bad(error.message().to_owned()))?;
    profile.check().map_err(|error| bad(error.to_string()))?;
    Ok(profile)
}

fn read_text(file: &Path) -> Result<String, Failure> {
    let doing = format!("reading {}", file.display());
    let size = std::fs::metadata(file).map_err(|error| no_file(&doing, &error))?;
    let max = limits::FILE_BYTES_MAX;
    if size.len() > max as u64 {
        let detail = format!("{doing}: {} bytes, at most {max}", size.len());
        return Err(Failure::new(Code::TooLarge, detail));
    }
    std::fs::read_to_string(file).map_err(|error| no_file(&doing, &error))
}

fn no_file(doing: &str, error: &std::io::Error) -> Failure {
    Failure::usage(
        format!("{doing}: {error}"),
        "核对文件路径;文件须为 UTF-8",
        "Check the path; the file must be UTF-8",
    )
}

fn refused(file: &str, error: &ParseError) -> Failure {
    Failure::usage(
        format!("{file}: {error}"),
        "guitai flow check 逐条列出错误;格式见 docs/reference/flow-matrix.md",
        "guitai flow check lists every fault; the format is in docs/reference/flow-matrix.md",
    )
}
