//! `recordings`: what is kept, for how long, what is held, and what was erased.

mod copies;
pub mod films;
mod find;

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use guitai_host::{Clock as _, SystemClock};
use guitai_types::{
    BranchId, ClassId, Date, QueueId, SessionId,
    officer::OfficerWord,
    record::Duty,
    retention::{Classing, Hold, KeptView, Matrix, Retention, Stage, StartsAt},
};
use reqwest::Method;
use serde_json::json;

use crate::{
    Asked, Done, Language, Output,
    dr::{args::Signer, officer::Officer},
    failure::Failure,
    show, staff,
    table::Table,
};

/// Who may look.
const VIEWERS: &[Duty] = &[Duty::Operator, Duty::Officer, Duty::Auditor];
/// Who may say what a recording is.
const CLERKS: &[Duty] = &[Duty::Operator, Duty::Officer];
/// Who may hold, and change the matrix.
const OFFICERS: &[Duty] = &[Duty::Officer];
/// Largest file with a matrix, in bytes.
const FILE_BYTES_MAX: u64 = 64 * 1024;

/// `recordings …`; without a command, how the newest recordings went.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Recordings {
    /// What to do.
    #[command(subcommand)]
    pub command: Option<Keeping>,
    /// Which cluster, as whom, and how to show it.
    #[command(flatten)]
    pub asked: Asked,
}

/// What may be typed after `recordings`.
#[derive(Debug, Subcommand)]
pub enum Keeping {
    /// 各录制保存到哪天、是否保全、是否已销毁 / Until when each is kept, what is held, what was erased
    List(List),
    /// 查找:业务编号、客户号、姓名、机构网点等 / Find by number of business or customer, name, branch and more
    Find(Find),
    /// 一次录制:类别、保全、期限 / One recording: its classes, holds and last day
    Show(One),
    /// 给录制定类别,登记终止日 / Say which classes a recording is of, and when what it is about ended
    Class(Class),
    /// 保全:从此不得销毁,一名授权人即可 / Hold: from now on it is not erased; one officer is enough
    Hold(PlaceHold),
    /// 解除保全,须两名授权人以本人密钥批准 / Release a hold; two officers must approve with their own keys
    Release(ReleaseHold),
    /// 各副本在哪些中心、是否完好 / In which centres its copies are, and how each is
    Placement(Placement),
    /// 通读副本:逐字节与封存时比对,损坏的自动补 / Read copies through, byte by byte; a damaged one is replaced
    Scrub(Scrub),
    /// 合成录像:请制作、看进度、下载 / Films: have one made, see how far it is, download it
    #[command(subcommand)]
    Film(films::Film),
    /// 保存期限表 / The retention matrix
    #[command(subcommand)]
    Policy(Policy),
}

/// Arguments of `recordings placement`.
#[derive(Debug, Args)]
pub struct Placement {
    /// 会话;省略则全部 / Session; all of them without it
    pub session: Option<SessionId>,
    /// 只看完好副本所在中心不足的 / Only those with whole copies in too few centres
    #[arg(long)]
    pub short: bool,
    /// Which cluster, as whom, and how to show it.
    #[command(flatten)]
    pub asked: Asked,
}

/// Arguments of `recordings scrub`.
#[derive(Debug, Args)]
pub struct Scrub {
    /// 会话;省略则全部(最多 RECORDINGS_LISTED_MAX 个) / Session; all of them without it (at most RECORDINGS_LISTED_MAX)
    pub session: Option<SessionId>,
    /// Which cluster, as whom, and how to show it.
    #[command(flatten)]
    pub asked: Asked,
}

/// Arguments of `recordings list`.
#[derive(Debug, Args)]
pub struct List {
    /// 只看此类别 / Of this class only
    #[arg(long)]
    pub class: Option<ClassId>,
    /// 只看保全中的 / Held ones only
    #[arg(long)]
    pub held: bool,
    /// 只看在此日(北京时间)之前到期的 / Only those whose last day is before this one (Beijing)
    #[arg(long, value_name = "YYYY-MM-DD")]
    pub due_before: Option<Date>,
    /// 只看此状态的 / Only those in this state
    #[arg(long, value_enum)]
    pub state: Option<State>,
    /// Which cluster, as whom, and how to show it.
    #[command(flatten)]
    pub asked: Asked,
}

/// State of a recording.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum State {
    /// 保存中 / Kept
    Kept,
    /// 销毁中 / Being erased
    Erasing,
    /// 已销毁 / Erased
    Erased,
}

/// Arguments of `recordings show`.
#[derive(Debug, Args)]
pub struct One {
    /// 会话 / Session
    pub session: SessionId,
    /// Which cluster, as whom, and how to show it.
    #[command(flatten)]
    pub asked: Asked,
}

/// Arguments of `recordings find`; all that is given must fit.
#[derive(Debug, Args)]
pub struct Find {
    /// 词语:业务编号、客户号、会话、姓名、工号、队列、节点或根的开头 / Words: number of the business or of the customer, session, name, queue, node, or the beginning of a root
    pub words: Vec<String>,
    /// 坐席所属网点 / The agent's branch
    #[arg(long)]
    pub branch: Option<BranchId>,
    /// 业务队列 / The service
    #[arg(long)]
    pub queue: Option<QueueId>,
    /// 自此日(北京时间)起 / From this day on (Beijing)
    #[arg(long, value_name = "YYYY-MM-DD")]
    pub from: Option<Date>,
    /// 到此日(含,北京时间) / Until this day, with it (Beijing)
    #[arg(long, value_name = "YYYY-MM-DD")]
    pub to: Option<Date>,
    /// 只看有缺口的 / Only those that declare a gap
    #[arg(long)]
    pub gaps: bool,
    /// Which cluster, as whom, and how to show it.
    #[command(flatten)]
    pub asked: Asked,
}

/// Arguments of `recordings class`.
#[derive(Debug, Args)]
pub struct Class {
    /// 会话 / Session
    pub session: SessionId,
    /// 类别,可多次给出 / Class; may be given several times
    #[arg(long = "class", value_name = "CLASS", required = true)]
    pub classes: Vec<ClassId>,
    /// 所给各类别的产品、合同或关系终止日(北京时间) / The day on which product, contract or relationship ended, for the classes given (Beijing)
    #[arg(long, value_name = "YYYY-MM-DD")]
    pub ends: Option<Date>,
    /// 争议终结日(北京时间) / The day on which a dispute was settled (Beijing)
    #[arg(long, value_name = "YYYY-MM-DD")]
    pub dispute_ended: Option<Date>,
    /// Which cluster, as whom, and how to show it.
    #[command(flatten)]
    pub asked: Asked,
}

/// Arguments of `recordings hold`.
#[derive(Debug, Args)]
pub struct PlaceHold {
    /// 会话 / Session
    pub session: SessionId,
    /// 原因,记入透明日志 / Why; it goes into the transparency log
    #[arg(long)]
    pub reason: String,
    /// Which cluster, as whom, and how to show it.
    #[command(flatten)]
    pub asked: Asked,
}

/// Arguments of `recordings release`.
#[derive(Debug, Args)]
pub struct ReleaseHold {
    /// 会话 / Session
    pub session: SessionId,
    /// 哪一项保全;仅一项时可省略 / Which hold; may be left out when there is one
    #[arg(long)]
    pub hold: Option<u32>,
    /// Whose key signs.
    #[command(flatten)]
    pub signer: Signer,
    /// Which cluster, as whom, and how to show it.
    #[command(flatten)]
    pub asked: Asked,
}

/// `recordings policy …`
#[derive(Debug, Subcommand)]
pub enum Policy {
    /// 现行期限表与版本 / The matrix in force, and its version
    Show(Asked),
    /// 以文件(TOML 或 JSON)设为下一版;已有录制不缩短 / Set the next version from a file (TOML or JSON); what exists is not shortened
    Set(SetPolicy),
}

/// Arguments of `recordings policy set`.
#[derive(Debug, Args)]
pub struct SetPolicy {
    /// 文件:version 与全部 classes / File with version and all classes
    pub file: PathBuf,
    /// Which cluster, as whom, and how to show it.
    #[command(flatten)]
    pub asked: Asked,
}

impl Recordings {
    /// How to show it.
    pub(crate) fn output(&self) -> &Output {
        let asked = match &self.command {
            None => &self.asked,
            Some(Keeping::List(it)) => &it.asked,
            Some(Keeping::Find(it)) => &it.asked,
            Some(Keeping::Show(it)) => &it.asked,
            Some(Keeping::Class(it)) => &it.asked,
            Some(Keeping::Hold(it)) => &it.asked,
            Some(Keeping::Release(it)) => &it.asked,
            Some(Keeping::Placement(it)) => &it.asked,
            Some(Keeping::Scrub(it)) => &it.asked,
            Some(Keeping::Film(it)) => it.asked(),
            Some(Keeping::Policy(Policy::Show(asked))) => asked,
            Some(Keeping::Policy(Policy::Set(it))) => &it.asked,
        };
        &asked.output
    }
}

/// Answers one command.
pub(crate) async fn answer(typed: &Recordings, lang: Language) -> Result<Done, Failure> {
    let text = match &typed.command {
        None => show::recordings(&typed.asked, lang).await,
        Some(Keeping::List(it)) => list(it, lang).await,
        Some(Keeping::Find(it)) => find::find(it, lang).await,
        Some(Keeping::Show(it)) => {
            let door = staff::enter(&it.asked.access, VIEWERS).await?;
            let path = format!("/api/v1/recordings/{}/keeping", it.session);
            shown(&door.get(&path).await?, &it.asked, lang)
        }
        Some(Keeping::Class(it)) => {
            let door = staff::enter(&it.asked.access, CLERKS).await?;
            let classing = |class: &ClassId| Classing {
                class: class.clone(),
                ends: it.ends,
                dispute_ended: it.dispute_ended,
            };
            let classes: Vec<Classing> = it.classes.iter().map(classing).collect();
            let path = format!("/api/v1/recordings/{}/classes", it.session);
            let body = json!({ "classes": classes });
            shown(
                &door.send(Method::PUT, &path, &body).await?,
                &it.asked,
                lang,
            )
        }
        Some(Keeping::Hold(it)) => {
            let door = staff::enter(&it.asked.access, OFFICERS).await?;
            let path = format!("/api/v1/recordings/{}/holds", it.session);
            let body = json!({ "reason": it.reason });
            shown(
                &door.send(Method::POST, &path, &body).await?,
                &it.asked,
                lang,
            )
        }
        Some(Keeping::Release(it)) => release(it, lang).await,
        Some(Keeping::Placement(it)) => return copies::placement(it, lang).await,
        Some(Keeping::Scrub(it)) => return copies::scrub(it, lang).await,
        Some(Keeping::Film(it)) => return films::answer(it, lang).await,
        Some(Keeping::Policy(Policy::Show(asked))) => {
            let door = staff::enter(&asked.access, VIEWERS).await?;
            policy_shown(&door.get("/api/v1/retention").await?, asked, lang)
        }
        Some(Keeping::Policy(Policy::Set(it))) => {
            let matrix = read_matrix(&it.file)?;
            let door = staff::enter(&it.asked.access, OFFICERS).await?;
            let set = door.send(Method::PUT, "/api/v1/retention", &matrix).await?;
            policy_shown(&set, &it.asked, lang)
        }
    };
    text.map(|text| Done { text, exit: 0 })
}

async fn list(it: &List, lang: Language) -> Result<String, Failure> {
    let mut filter = Vec::new();
    if let Some(class) = &it.class {
        filter.push(format!("class={class}"));
    }
    if it.held {
        filter.push("held=true".to_owned());
    }
    if let Some(day) = it.due_before {
        filter.push(format!("due_before={day}"));
    }
    if let Some(state) = it.state {
        let word = match state {
            State::Kept => "kept",
            State::Erasing => "erasing",
            State::Erased => "erased",
        };
        filter.push(format!("state={word}"));
    }
    let door = staff::enter(&it.asked.access, VIEWERS).await?;
    let path = format!("/api/v1/recordings/kept?{}", filter.join("&"));
    let kept: Vec<KeptView> = door.get(&path).await?;
    if it.asked.output.json {
        show::json(&kept)
    } else {
        Ok(table(&kept, lang).render())
    }
}

/// Signs with the officer's own key over what was shown, and sends it.
async fn release(it: &ReleaseHold, lang: Language) -> Result<String, Failure> {
    let ReleaseHold {
        session,
        hold,
        signer,
        asked,
    } = it;
    let officer = Officer::read(&asked.access, signer).await?;
    let hold = match hold {
        Some(hold) => *hold,
        None => {
            let path = format!("/api/v1/recordings/{session}/keeping");
            the_hold(&officer.door.get::<KeptView>(&path).await?)?
        }
    };
    let at = SystemClock::new().wall();
    let release = OfficerWord {
        officer: officer.staff.clone(),
        at,
        key: officer.public.clone(),
        signature: officer.sign(&Hold::release_text(session, hold, at)),
    };
    let path = format!("/api/v1/recordings/{session}/holds/{hold}/releases");
    let kept = officer.door.send(Method::POST, &path, &release).await?;
    shown(&kept, asked, lang)
}

fn the_hold(kept: &KeptView) -> Result<u32, Failure> {
    match kept.holds.as_slice() {
        [hold] => Ok(hold.number),
        holds => Err(Failure::usage(
            format!("the recording has {} holds", holds.len()),
            "用 --hold 指定编号;参见 guitai recordings show",
            "Name one by --hold; see guitai recordings show",
        )),
    }
}

fn read_matrix(file: &std::path::Path) -> Result<Matrix, Failure> {
    let doing = format!("reading {}", file.display());
    let size = std::fs::metadata(file).map_err(|error| Failure::local(&doing, &error))?;
    if size.len() > FILE_BYTES_MAX {
        let detail = format!("{doing}: {} bytes, at most {FILE_BYTES_MAX}", size.len());
        return Err(Failure::new(guitai_types::Code::TooLarge, detail));
    }
    let text = std::fs::read_to_string(file).map_err(|error| Failure::local(&doing, &error))?;
    let wrong = |detail: String| {
        Failure::usage(
            format!("{}: {detail}", file.display()),
            "文件含 version 与 classes,见 docs/operating/keeping.md",
            "The file has version and classes, see docs/operating/keeping.md",
        )
    };
    if text.trim_start().starts_with('{') {
        serde_json::from_str(&text).map_err(|error| wrong(error.to_string()))
    } else {
        toml::from_str(&text).map_err(|error| wrong(error.to_string()))
    }
}

fn shown(kept: &KeptView, asked: &Asked, lang: Language) -> Result<String, Failure> {
    if asked.output.json {
        return show::json(kept);
    }
    let mut text = table(std::slice::from_ref(kept), lang).render();
    if !kept.classes.is_empty() {
        text.push('\n');
        text.push_str(&class_table(kept, lang).render());
    }
    for hold in &kept.holds {
        text.push('\n');
        text.push_str(&hold_words(hold, lang));
    }
    Ok(text)
}

fn table(kept: &[KeptView], lang: Language) -> Table {
    let mut table = Table::new(match lang {
        Language::Zh => ["会话", "结束于", "类别", "保存至", "保全", "状态", "节点"],
        Language::En => [
            "session",
            "ended at",
            "classes",
            "keep until",
            "holds",
            "state",
            "nodes",
        ],
    });
    for it in kept {
        let classes: Vec<&str> = it
            .classes
            .iter()
            .map(|class| class.class.as_str())
            .collect();
        let none = || lang.pick("无期限", "no end").to_owned();
        let nodes = it.copies.iter().map(|copy| match copy.erased_at {
            Some(_) => format!("({})", copy.node),
            None => copy.node.to_string(),
        });
        table.row([
            it.session.to_string(),
            show::when(it.ended_at.0),
            if classes.is_empty() {
                "-".to_owned()
            } else {
                classes.join(",")
            },
            it.due
                .as_ref()
                .map_or_else(none, |due| due.until.to_string()),
            it.holds.len().to_string(),
            stage(&it.stage, lang),
            nodes.collect::<Vec<_>>().join(" "),
        ]);
    }
    table
}

/// Where it stands; an erased one with its date and its entry of the log.
fn stage(stage: &Stage, lang: Language) -> String {
    match stage {
        Stage::Kept => lang.pick("保存中", "kept").to_owned(),
        Stage::Erasing { .. } => lang.pick("销毁中", "being erased").to_owned(),
        Stage::Erased { at, entry, .. } => {
            let day = Date::of(*at);
            let entry = entry.map_or_else(|| "-".to_owned(), |entry| entry.to_string());
            match lang {
                Language::Zh => format!("已销毁 {day},日志条目 {entry}"),
                Language::En => format!("erased {day}, log entry {entry}"),
            }
        }
    }
}

fn class_table(kept: &KeptView, lang: Language) -> Table {
    let mut table = Table::new(match lang {
        Language::Zh => [
            "类别",
            "名称",
            "至少",
            "依据版本",
            "终止日",
            "争议终结",
            "保存至",
        ],
        Language::En => [
            "class",
            "name",
            "minimum",
            "by version",
            "ended",
            "dispute settled",
            "until",
        ],
    });
    let day = |day: Option<Date>| day.map_or_else(|| "-".to_owned(), |day| day.to_string());
    for it in &kept.classes {
        table.row([
            it.class.to_string(),
            lang.of(&it.name).to_owned(),
            it.minimum.to_string(),
            it.version.to_string(),
            day(it.dates.ends),
            day(it.dates.dispute_ended),
            day(it.until),
        ]);
    }
    table
}

fn hold_words(hold: &Hold, lang: Language) -> String {
    let Hold {
        number,
        by,
        at,
        reason,
        releases,
    } = hold;
    let at = show::when(at.0);
    // What an officer typed cannot move the cursor: the core takes one line without control characters.
    let mut text = match lang {
        Language::Zh => format!("保全 {number}:{by} 于 {at}:{reason}\n"),
        Language::En => format!("hold {number} by {by} at {at}: {reason}\n"),
    };
    for release in releases {
        let (officer, at) = (&release.officer, show::when(release.at.0));
        text += &match lang {
            Language::Zh => format!("  {officer} 于 {at} 批准解除;还须另一名授权人批准\n"),
            Language::En => {
                format!("  {officer} approved its end at {at}; another officer must as well\n")
            }
        };
    }
    text
}

fn policy_shown(retention: &Retention, asked: &Asked, lang: Language) -> Result<String, Failure> {
    if asked.output.json {
        return show::json(retention);
    }
    let Retention {
        matrix,
        at,
        by,
        untracked,
        ..
    } = retention;
    let shipped = || lang.pick("产品自带", "as shipped").to_owned();
    let by = by.as_ref().map_or_else(shipped, ToString::to_string);
    let (version, at) = (matrix.version, show::when(at.0));
    let mut text = match lang {
        Language::Zh => format!("第 {version} 版,自 {at}({by})\n"),
        Language::En => format!("version {version}, since {at} ({by})\n"),
    };
    let mut table = Table::new(match lang {
        Language::Zh => ["类别", "名称", "起算", "至少", "争议终结后", "锁定", "依据"],
        Language::En => [
            "class",
            "name",
            "starts at",
            "minimum",
            "after a dispute",
            "locked",
            "clause",
        ],
    });
    for rule in &matrix.classes {
        let starts = match rule.starts {
            StartsAt::ProductEnd => lang.pick("产品终止", "product-end"),
            StartsAt::ContractEnd => lang.pick("合同终止", "contract-end"),
            StartsAt::RelationshipEnd => lang.pick("关系终止", "relationship-end"),
            StartsAt::Recorded => lang.pick("录制当日", "recorded"),
        };
        table.row([
            rule.id.to_string(),
            lang.of(&rule.name).to_owned(),
            starts.to_owned(),
            rule.minimum.to_string(),
            rule.dispute.to_string(),
            (if rule.locked {
                lang.pick("是", "yes")
            } else {
                "-"
            })
            .to_owned(),
            rule.clause.clone(),
        ]);
    }
    text.push_str(&table.render());
    if *untracked > 0 {
        text += &match lang {
            Language::Zh => format!("另有 {untracked} 次录制超出清单容量,永久保存\n"),
            Language::En => format!(
                "{untracked} recording(s) found no room in the list and are kept for ever\n"
            ),
        };
    }
    Ok(text)
}
