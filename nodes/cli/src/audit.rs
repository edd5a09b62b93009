//! `audit …`: who did what, and the report that binds every answer together.

mod page;
mod report;

use clap::{Args, Subcommand};
use guitai_host::{Clock as _, SystemClock};
use guitai_types::{
    SessionId, UnixMillis,
    record::Duty,
    tlog::{EntryKind, LoginOutcome, Record},
};
use serde_json::{Value, json};

use crate::{
    Done, Language, Output,
    args::Asked,
    failure::Failure,
    flow::told::{Ago, ago},
    http::Door,
    log::{self, Accesses, RecordView},
    relay::Answer,
    staff,
    table::Table,
};

pub use report::{Report, Verify};

const READERS: &[Duty] = &[Duty::Operator, Duty::Auditor];
/// Entries of one kind in one answer of the door.
const FOUND_MAX: usize = 256;
/// What somebody with rights does, by kind of entry.
const ACTS: [EntryKind; 12] = [
    EntryKind::Login,
    EntryKind::Policy,
    EntryKind::Staff,
    EntryKind::Member,
    EntryKind::Dr,
    EntryKind::Epoch,
    EntryKind::Access,
    EntryKind::Retention,
    EntryKind::RecordingKept,
    EntryKind::FlowMatrix,
    EntryKind::Key,
    EntryKind::Certificate,
];

/// `audit …`
#[derive(Debug, Subcommand)]
pub enum Audit {
    /// 谁登录了节点、以何权限、做了什么 / Who logged in to a node, with what right, and what was done
    Admin(Admin),
    /// 谁查看、复制或导出过此录制 / Who viewed, copied or exported this recording
    Access(OfRecording),
    /// 逐问作答,合成一份签名报告(HTML,有 Chromium 时另有 PDF) / Every question answered in one signed report (HTML, and PDF where a Chromium is there)
    Report(Report),
    /// 离线核验报告 / Check a report, offline
    Verify(Verify),
}

/// Arguments of `audit admin`.
#[derive(Debug, Args)]
pub struct Admin {
    /// 自多久以前起:7d、24h、15m / From so long ago on: 7d, 24h, 15m
    #[arg(long, value_name = "AGO", value_parser = ago, default_value = "7d")]
    pub since: Ago,
    /// Which cluster, as whom, and how to show it.
    #[command(flatten)]
    pub asked: Asked,
}

/// Arguments of `audit access`.
#[derive(Debug, Args)]
pub struct OfRecording {
    /// 会话号 / Which session
    pub session: SessionId,
    /// Which cluster, as whom, and how to show it.
    #[command(flatten)]
    pub asked: Asked,
}

impl Audit {
    pub(crate) const fn output(&self) -> &Output {
        match self {
            Self::Admin(admin) => &admin.asked.output,
            Self::Access(access) => &access.asked.output,
            Self::Report(report) => &report.asked.output,
            Self::Verify(verify) => &verify.output,
        }
    }
}

/// Runs one `guitai audit …` command.
pub(crate) async fn run(command: &Audit, lang: Language) -> Result<Done, Failure> {
    match command {
        Audit::Admin(arguments) => {
            let door = staff::enter(&arguments.asked.access, READERS).await?;
            let mut answer = admin(&door, arguments.since, lang).await?;
            answer.as_of(&door).await;
            answer.done(arguments.asked.output.json, lang)
        }
        Audit::Access(OfRecording { session, asked }) => {
            let accesses = Accesses {
                session: Some(session.clone()),
                asked: asked.clone(),
            };
            let text = log::accesses(&accesses, lang).await?;
            Ok(Done { text, exit: 0 })
        }
        Audit::Report(arguments) => report::make(arguments, lang).await,
        Audit::Verify(arguments) => report::verify(arguments, lang),
    }
}

async fn admin(door: &Door, since: Ago, lang: Language) -> Result<Answer, Failure> {
    let since = UnixMillis(SystemClock::new().wall().0.saturating_sub(since.millis()));
    let mut acts: Vec<RecordView> = Vec::new();
    let mut cut = Vec::new();
    for kind in ACTS {
        let path = format!(
            "/api/v1/log/records?kind={}&since={}",
            kind.as_str(),
            since.0
        );
        let found: Vec<RecordView> = door.get(&path).await?;
        if found.len() >= FOUND_MAX {
            cut.push(kind.as_str());
        }
        acts.extend(found);
    }
    acts.sort_by_key(|act| act.index);
    let mut answer = Answer::default();
    let mut table = Table::new(match lang {
        Language::Zh => ["条目", "时间", "谁", "在何处、以何权限", "做了什么"],
        Language::En => ["entry", "at", "who", "where, with what right", "what"],
    });
    for act in &acts {
        let (who, right) = who(&act.record);
        table.row([
            act.index.to_string(),
            act.at.utc(),
            who.clone(),
            right,
            format!(
                "{} {}",
                act.kind.as_str(),
                log::record_words(&act.record, lang)
            ),
        ]);
        if let Record::Login { login } = &act.record
            && login.outcome == LoginOutcome::LockedOut
        {
            let (door, at) = (&login.door, act.at.utc());
            answer.findings.push(match lang {
                Language::Zh => format!("{who} 于 {at} 在 {door} 连续输错口令,被锁"),
                Language::En => {
                    format!("{who} was locked out at {door} on {at}: too many wrong passwords")
                }
            });
        }
    }
    answer.text = table.render();
    if !cut.is_empty() {
        let kinds = cut.join(" ");
        answer.text.push_str(&match lang {
            Language::Zh => format!("以下各类仅列最近 {FOUND_MAX} 条,可缩短 --since:{kinds}\n"),
            Language::En => format!(
                "Of these kinds only the newest {FOUND_MAX} are listed, shorten --since: {kinds}\n"
            ),
        });
    }
    answer.value = json!({ "since": since, "acts": acts, "cut": cut });
    Ok(answer)
}

/// Who did it, and where and by which right, as far as the record says.
fn who(record: &Record) -> (String, String) {
    let by = |staff: &Option<guitai_types::StaffRef>| {
        staff.as_ref().map(ToString::to_string).unwrap_or_default()
    };
    match record {
        Record::Login { login } => {
            let duties = serde_json::to_value(&login.duties).unwrap_or(Value::Null);
            let duties: Vec<String> = serde_json::from_value(duties).unwrap_or_default();
            (
                login.who.to_string(),
                format!("{}: {}", login.door, duties.join(" ")),
            )
        }
        Record::Access { access } => (access.who.to_string(), String::new()),
        Record::Retention { by: who, .. } | Record::FlowMatrix { by: who, .. } => {
            (by(who), String::new())
        }
        Record::RecordingKept { by, .. } => (by.to_string(), String::new()),
        Record::Certificate { told, .. } | Record::Key { told, .. } => {
            (told.node.to_string(), String::new())
        }
        _ => (String::new(), String::new()),
    }
}
