//! `flow matrix|plan|approve|withdraw|undo|history`: the matrix that a cluster has agreed on, and how another comes
//! into force.

use std::path::PathBuf;

use clap::Args;
use guitai_flow::{Diff, Matrix};
use guitai_host::{Clock as _, SystemClock};
use guitai_types::{
    Date,
    flows::{FlowVersion, Flows},
    officer::OfficerWord,
    record::Duty,
};
use reqwest::Method;
use serde_json::{Value, json};

use super::{changes, done, read_text, refused, words};
use crate::{
    Done, Language,
    args::Asked,
    dr::{args::Signer, officer::Officer},
    failure::{FINDINGS, Failure},
    http::Door,
    show, staff,
    table::Table,
};

/// Where it is asked for.
pub(super) const FLOWS: &str = "/api/v1/flows";
const PROPOSALS: &str = "/api/v1/flows/proposals";
/// Who may look.
pub(super) const READERS: &[Duty] = &[Duty::Operator, Duty::Officer, Duty::Auditor];
/// Who may propose and take back.
const PROPOSERS: &[Duty] = &[Duty::Operator, Duty::Officer];

/// Arguments of `flow matrix`.
#[derive(Debug, Args)]
pub struct InForce {
    /// 已知的某一版;默认生效版 / A version that is known; the one in force unless given
    #[arg(long)]
    pub number: Option<u32>,
    /// 把原文写入此文件 / Write its text into this file
    #[arg(long)]
    pub out: Option<PathBuf>,
    /// Which cluster, as whom, and how to show it.
    #[command(flatten)]
    pub asked: Asked,
}

/// Arguments of `flow plan`.
#[derive(Debug, Args)]
pub struct Plan {
    /// 新矩阵 / The new matrix
    pub file: PathBuf,
    /// 提交,等待两名授权人批准 / Propose it: it then waits for two officers
    #[arg(long, requires = "reason")]
    pub submit: bool,
    /// 缘由,记入日志 / Why; it goes into the log
    #[arg(long)]
    pub reason: Option<String>,
    /// Which cluster, as whom, and how to show it.
    #[command(flatten)]
    pub asked: Asked,
}

/// Arguments of `flow approve`.
#[derive(Debug, Args)]
pub struct Approve {
    /// 版本号 / Which version
    pub number: u32,
    /// Whose key signs.
    #[command(flatten)]
    pub signer: Signer,
    /// Which cluster, as whom, and how to show it.
    #[command(flatten)]
    pub asked: Asked,
}

/// Arguments of `flow withdraw`.
#[derive(Debug, Args)]
pub struct Withdraw {
    /// 版本号 / Which version
    pub number: u32,
    /// Which cluster, as whom, and how to show it.
    #[command(flatten)]
    pub asked: Asked,
}

/// Arguments of `flow undo`.
#[derive(Debug, Args)]
pub struct Undo {
    /// 缘由,记入日志 / Why; it goes into the log
    #[arg(long)]
    pub reason: String,
    /// Which cluster, as whom, and how to show it.
    #[command(flatten)]
    pub asked: Asked,
}

pub(super) async fn matrix(arguments: &InForce, lang: Language) -> Result<Done, Failure> {
    let door = staff::enter(&arguments.asked.access, READERS).await?;
    let flows: Flows = door.get(FLOWS).await?;
    let version = match arguments.number {
        None => &flows.present,
        Some(number) => versions(&flows)
            .find(|version| version.number == number)
            .ok_or_else(|| unknown(number))?,
    };
    if let Some(out) = &arguments.out {
        let written = std::fs::write(out, &version.matrix);
        written.map_err(|error| Failure::local(&out.display().to_string(), &error))?;
    }
    if arguments.asked.output.json {
        return show::json(version).map(done);
    }
    let matrix = parsed(version)?;
    let on = Date::of(SystemClock::new().wall());
    let mut text = words::matrix(&matrix, &version.sm3.to_string(), on, lang);
    text.push_str(&state(version, lang));
    Ok(done(text))
}

pub(super) async fn history(asked: &Asked, lang: Language) -> Result<Done, Failure> {
    let door = staff::enter(&asked.access, READERS).await?;
    let flows: Flows = door.get(FLOWS).await?;
    if asked.output.json {
        return show::json(&flows).map(done);
    }
    let mut table = Table::new(match lang {
        Language::Zh => ["版本", "状态", "提出", "批准", "缘由", "SM3"],
        Language::En => ["version", "state", "proposed", "approved", "why", "SM3"],
    });
    for version in versions(&flows) {
        let officers = version.approvals.iter().map(|it| it.officer.to_string());
        let by = version.by.as_ref().map(ToString::to_string);
        let by = by.unwrap_or_else(|| lang.pick("建群", "founding").to_owned());
        let sm3: String = version.sm3.to_string().chars().take(16).collect();
        table.row([
            version.number.to_string(),
            condition(version, &flows, lang),
            format!("{} {by}", show::when(version.at.0)),
            officers.collect::<Vec<_>>().join(", "),
            version.reason.clone(),
            sm3,
        ]);
    }
    Ok(done(table.render()))
}

pub(super) async fn plan(arguments: &Plan, lang: Language) -> Result<Done, Failure> {
    let text = read_text(&arguments.file)?;
    let after = Matrix::parse(&text)
        .map_err(|error| refused(&arguments.file.display().to_string(), &error))?;
    let duties = if arguments.submit { PROPOSERS } else { READERS };
    let door = staff::enter(&arguments.asked.access, duties).await?;
    let flows: Flows = door.get(FLOWS).await?;
    let (mut value, mut said, widens) = difference(&parsed(&flows.present)?, &after, lang);
    if let (true, Some(reason)) = (arguments.submit, &arguments.reason) {
        let flows = submit(&door, &text, reason).await?;
        let number = flows.proposed.as_ref().map_or(0, |version| version.number);
        value["proposed"] = json!(number);
        said.push_str(&next_step(number, lang));
    }
    if arguments.asked.output.json {
        return show::json(&value).map(done);
    }
    // What is only looked at, and would allow more, is a finding.
    let exit = if widens && !arguments.submit {
        FINDINGS
    } else {
        0
    };
    Ok(Done { text: said, exit })
}

pub(super) async fn approve(arguments: &Approve, lang: Language) -> Result<Done, Failure> {
    let officer = Officer::read(&arguments.asked.access, &arguments.signer).await?;
    let flows: Flows = officer.door.get(FLOWS).await?;
    let number = arguments.number;
    let open = flows.proposed.as_ref().filter(|open| open.number == number);
    let open = open.ok_or_else(|| unknown(number))?;
    // What is signed is what is shown: the digest is of the text that came with it.
    let (_, said, _) = difference(&parsed(&flows.present)?, &parsed(open)?, lang);
    let at = SystemClock::new().wall();
    let word = OfficerWord {
        officer: officer.staff.clone(),
        at,
        key: officer.public.clone(),
        signature: officer.sign(&FlowVersion::text(number, &open.sm3, at)),
    };
    let path = format!("{PROPOSALS}/{number}");
    let flows: Flows = officer.door.send(Method::POST, &path, &word).await?;
    if arguments.asked.output.json {
        return show::json(&flows).map(done);
    }
    let version = versions(&flows).find(|version| version.number == number);
    let state = version.map_or_else(String::new, |version| state(version, lang));
    Ok(done(format!("{said}{state}")))
}

pub(super) async fn withdraw(arguments: &Withdraw, lang: Language) -> Result<Done, Failure> {
    let door = staff::enter(&arguments.asked.access, PROPOSERS).await?;
    let path = format!("{PROPOSALS}/{}", arguments.number);
    let flows: Flows = door.send(Method::DELETE, &path, &json!({})).await?;
    if arguments.asked.output.json {
        return show::json(&flows).map(done);
    }
    let number = arguments.number;
    Ok(done(match lang {
        Language::Zh => format!("第 {number} 版已撤回\n"),
        Language::En => format!("version {number} is taken back\n"),
    }))
}

pub(super) async fn undo(arguments: &Undo, lang: Language) -> Result<Done, Failure> {
    let door = staff::enter(&arguments.asked.access, PROPOSERS).await?;
    let flows: Flows = door.get(FLOWS).await?;
    let before = flows.before.first().ok_or_else(|| {
        Failure::usage(
            "there is no version before the one in force".to_owned(),
            "guitai flow history 列出各版本",
            "guitai flow history lists the versions",
        )
    })?;
    let (mut value, mut said, _) = difference(&parsed(&flows.present)?, &parsed(before)?, lang);
    let flows = submit(&door, &before.matrix, &arguments.reason).await?;
    let number = flows.proposed.as_ref().map_or(0, |version| version.number);
    if arguments.asked.output.json {
        value["proposed"] = json!(number);
        return show::json(&value).map(done);
    }
    said.push_str(&next_step(number, lang));
    Ok(done(said))
}

async fn submit(door: &Door, matrix: &str, reason: &str) -> Result<Flows, Failure> {
    let body = json!({ "matrix": matrix, "reason": reason });
    door.send(Method::POST, PROPOSALS, &body).await
}

fn versions(flows: &Flows) -> impl Iterator<Item = &FlowVersion> {
    let proposed = flows.proposed.iter();
    proposed.chain([&flows.present]).chain(&flows.before)
}

fn unknown(number: u32) -> Failure {
    Failure::usage(
        format!("no version {number} is known"),
        "guitai flow history 列出各版本;更早的见透明日志",
        "guitai flow history lists the versions; earlier ones are in the transparency log",
    )
}

/// What a cluster agreed on was read by a node of it; a later release may know more than this one.
fn parsed(version: &FlowVersion) -> Result<Matrix, Failure> {
    let matrix = Matrix::parse(&version.matrix);
    let name = format!("version {}", version.number);
    let matrix = matrix.map_err(|error| refused(&name, &error))?;
    let digest = matrix.digest().ok().filter(|digest| *digest == version.sm3);
    digest.ok_or_else(|| {
        let detail = format!("{name}: its digest is not that of its text");
        Failure::new(guitai_types::Code::EvidenceBroken, detail)
    })?;
    Ok(matrix)
}

/// As JSON, in sentences, and whether more is allowed.
fn difference(before: &Matrix, after: &Matrix, lang: Language) -> (Value, String, bool) {
    let diff = Diff::between(before, after);
    let sentences = diff.sentences(before);
    let value = json!({ "widens": diff.widens(), "changes": changes(&sentences) });
    (value, words::sentences(&sentences, lang), diff.widens())
}

fn next_step(number: u32, lang: Language) -> String {
    match lang {
        Language::Zh => format!(
            "\n第 {number} 版已提交。两名授权人各执行一次:guitai flow approve {number} --key 本人密钥\n"
        ),
        Language::En => format!(
            "\nversion {number} is proposed. Two officers, each once: guitai flow approve {number} --key KEY\n"
        ),
    }
}

fn state(version: &FlowVersion, lang: Language) -> String {
    let number = version.number;
    match version.in_force {
        Some(at) => {
            let at = show::when(at.0);
            match lang {
                Language::Zh => format!("\n第 {number} 版自 {at} 生效\n"),
                Language::En => format!("\nversion {number} is in force since {at}\n"),
            }
        }
        None => {
            let count = version.approvals.len();
            match lang {
                Language::Zh => format!("\n第 {number} 版待批准,已有 {count} 名授权人\n"),
                Language::En => format!("\nversion {number} waits for approval, {count} so far\n"),
            }
        }
    }
}

fn condition(version: &FlowVersion, flows: &Flows, lang: Language) -> String {
    let word = if version.number == flows.present.number {
        lang.pick("生效", "in force")
    } else if version.in_force.is_some() {
        lang.pick("曾生效", "was in force")
    } else {
        lang.pick("待批准", "proposed")
    };
    word.to_owned()
}
