//! `audit report` and `audit verify`: every answer to the auditors' questions in one directory, bound together by a
//! statement that a node of the cluster signs; a page for people, printed where a Chromium is there.

use std::path::{Path, PathBuf};

use clap::{Args, Parser};
use guitai_crypto::{cms, sm3, x509};
use guitai_host::{Clock as _, SystemClock};
use guitai_types::{
    Code, Hex, UnixMillis,
    audit::{FORMAT, ReportFile, SignedStatement, Statement},
    canonical,
    record::Duty,
};
use reqwest::Method;
use serde_json::{Value, json};

use super::page;
use crate::{
    Access, Command, Done, Language, NOT_VERIFIED, Output,
    args::Asked,
    dr::report as printed,
    failure::{FINDINGS, Failure},
    flow::told::{Ago, ago},
    show, staff,
    table::Table,
};

const READERS: &[Duty] = &[Duty::Operator, Duty::Auditor];
const STATEMENT_FILE: &str = "report.json";
const SIGNATURE_FILE: &str = "report.p7s";
const ROOT_FILE: &str = "root.pem";
/// Largest file of a report that is read back, in bytes.
const FILE_BYTES_MAX: u64 = 256 * 1024 * 1024;

/// One question of the auditors.
pub(super) struct Question {
    pub(super) number: u8,
    pub(super) zh: &'static str,
    pub(super) en: &'static str,
    /// The command that answers it; `{since}` and `{session}` are filled in.
    pub(super) line: &'static str,
}

const fn ask(number: u8, line: &'static str, zh: &'static str, en: &'static str) -> Question {
    Question {
        number,
        zh,
        en,
        line,
    }
}

/// In the auditors' order (docs/operating/audit.md).
pub(super) const QUESTIONS: &[Question] = &[
    ask(
        1,
        "flow matrix",
        "哪些区域之间可流转什么、由谁发起、为何",
        "What may flow between which zones, who opens, and why",
    ),
    ask(
        2,
        "flow diff --since {since}",
        "实际流转了什么,与应有之差",
        "What did flow, and does it differ from what may",
    ),
    ask(
        3,
        "flow listeners --zone inner",
        "每条连接由谁建立;内区不接受外来连接",
        "Who opens each connection; the inner zone takes none from outside",
    ),
    ask(
        4,
        "flow denied --since {since}",
        "哪些流转与消息被拒绝、来自何处",
        "Which flows and messages were refused, from where",
    ),
    ask(
        5,
        "flow unused --days 90",
        "哪些规则 90 天未用",
        "Which rules were not used in 90 days",
    ),
    ask(
        6,
        "flow history",
        "谁于何时改过矩阵、谁批准",
        "Who changed the matrix, when, who approved",
    ),
    ask(
        7,
        "relay breaks",
        "各协议在何处终止、重新生成为何物",
        "Where each protocol ends, and as what it is made anew",
    ),
    ask(
        8,
        "relay schema",
        "哪些消息与字段可跨区、限值几何",
        "Which messages and fields may cross, with which limits",
    ),
    ask(
        9,
        "trace session {session}",
        "一次真实会话的路径、时间、字节",
        "One real session's path, with times and bytes",
    ),
    ask(
        10,
        "relay residue",
        "C2、C3 数据是否到过外区或缓冲区磁盘",
        "Did C2 or C3 data reach the outer zone or a disk of the buffer area",
    ),
    ask(
        11,
        "relay store",
        "缓冲区现存何物、由何密钥加密",
        "What is stored in the buffer area, under which key",
    ),
    ask(
        12,
        "keys where --online",
        "哪些密钥与证书在哪个区",
        "Which keys live in which zone",
    ),
    ask(
        13,
        "crypto inventory",
        "每段链路用何算法",
        "Which algorithms protect each hop",
    ),
    ask(
        14,
        "relay blast-radius",
        "缓冲区节点失陷后能触及、伪造、读取什么",
        "What a taken-over edge reaches, forges, reads",
    ),
    ask(
        15,
        "audit admin --since {since}",
        "谁登录、以何权限、做了什么",
        "Who logged in, with what right, and did what",
    ),
    ask(
        16,
        "log accesses",
        "谁查看、复制或导出过录制",
        "Who viewed, copied or exported recordings",
    ),
    ask(
        17,
        "log status",
        "日志是否完整、有无告警",
        "Is the log whole, are there alarms",
    ),
    ask(
        18,
        "attest check",
        "所运行的是否为批准的程序与配置",
        "Is this program the approved one, with this configuration",
    ),
    ask(
        19,
        "flow plugins",
        "有什么去往 AI 插件及其他外部系统",
        "What leaves for AI plug-ins and other systems",
    ),
];

/// Arguments of `audit report`.
#[derive(Debug, Args)]
pub struct Report {
    /// 回看多久:180d、30d、24h / How far back: 180d, 30d, 24h
    #[arg(long, value_name = "AGO", value_parser = ago, default_value = "30d")]
    pub since: Ago,
    /// 写入此新目录 / Into this new directory
    #[arg(long)]
    pub out: PathBuf,
    /// Which cluster, as whom, and how to show it.
    #[command(flatten)]
    pub asked: Asked,
}

/// Arguments of `audit verify`.
#[derive(Debug, Args)]
pub struct Verify {
    /// 报告目录 / Directory of the report
    pub dir: PathBuf,
    /// 自己保管的根证书;不给则须人工比对指纹 / The root that you keep; without it compare the fingerprint yourself
    #[arg(long)]
    pub root: Option<PathBuf>,
    /// How to show it.
    #[command(flatten)]
    pub output: Output,
}

/// What an answer was.
pub(super) struct Answered {
    pub(super) question: &'static Question,
    pub(super) line: String,
    /// Exit code, or none where it was not asked.
    pub(super) exit: Option<u8>,
    pub(super) text: String,
}

#[derive(Parser)]
struct Line {
    #[command(subcommand)]
    command: Command,
}

fn local(what: &Path) -> impl Fn(std::io::Error) -> Failure {
    let doing = format!("{}", what.display());
    move |error| Failure::local(&doing, &error)
}

/// Asks one question as it is typed.
async fn answered(
    line: &str,
    json: bool,
    access: &Access,
    lang: Language,
) -> Result<Done, Failure> {
    let mut words: Vec<String> = std::iter::once("guitai")
        .chain(line.split(' '))
        .map(str::to_owned)
        .collect();
    if json {
        words.push("--json".to_owned());
    }
    let url = access
        .url
        .as_ref()
        .map(ToString::to_string)
        .unwrap_or_default();
    words.extend(["--url".to_owned(), url]);
    words.extend([
        "--token".to_owned(),
        access.token.clone().unwrap_or_default(),
    ]);
    let parsed = Line::try_parse_from(&words);
    let Line { command } =
        parsed.map_err(|error| Failure::local("a question of the report", &error))?;
    // An answer may be a report's, as far as the compiler knows.
    Box::pin(crate::answer(command, lang)).await
}

pub(super) async fn make(arguments: &Report, lang: Language) -> Result<Done, Failure> {
    let out = &arguments.out;
    std::fs::create_dir_all(out).map_err(local(out))?;
    if std::fs::read_dir(out).map_err(local(out))?.next().is_some() {
        return Err(Failure::usage(
            format!("{} is not empty", out.display()),
            "换一个新目录",
            "Name a new directory",
        ));
    }
    let door = staff::enter(&arguments.asked.access, READERS).await?;
    let access = door.access();
    let sessions: Value = door.get("/api/v1/sessions").await?;
    let sessions = sessions
        .as_array()
        .or_else(|| sessions["sessions"].as_array());
    let session =
        sessions.and_then(|all| all.iter().find(|it| it["recording"]["state"] == "sealed"));
    let session = session
        .and_then(|it| it["id"].as_str())
        .unwrap_or_default()
        .to_owned();
    let since = SystemClock::new()
        .wall()
        .0
        .saturating_sub(arguments.since.millis());
    let mut answers = Vec::new();
    let mut files = Vec::new();
    let mut put = |name: String, bytes: &[u8]| -> Result<(), Failure> {
        let path = out.join(&name);
        std::fs::write(&path, bytes).map_err(local(&path))?;
        let sm3 = Hex(sm3::hash(bytes).to_vec());
        files.push(ReportFile { name, sm3 });
        Ok(())
    };
    for question in QUESTIONS {
        let line = question
            .line
            .replace("{since}", &arguments.since.word())
            .replace("{session}", &session);
        if question.line.contains("{session}") && session.is_empty() {
            let none = lang.pick("尚无已封存的会话", "No session is sealed yet");
            answers.push(Answered {
                question,
                line,
                exit: None,
                text: none.to_owned(),
            });
            continue;
        }
        let number = question.number;
        let words = answered(&line, false, &access, lang).await?;
        let value = answered(&line, true, &access, lang).await?;
        put(format!("{number:02}.json"), value.text.as_bytes())?;
        put(format!("{number:02}.txt"), words.text.as_bytes())?;
        answers.push(Answered {
            question,
            line,
            exit: Some(words.exit.max(value.exit)),
            text: words.text,
        });
    }
    let made_at = SystemClock::new().wall();
    let html = page::page(&answers, UnixMillis(since), made_at, lang);
    put(printed::PAGE_FILE.to_owned(), html.as_bytes())?;
    let body = json!({ "since": since, "files": files });
    let signed: SignedStatement = door
        .send(Method::POST, "/api/v1/audit/reports", &body)
        .await?;
    let root = x509::certificates_to_pem(std::slice::from_ref(&signed.root.0));
    for (name, bytes) in [
        (STATEMENT_FILE, signed.statement.0.as_slice()),
        (SIGNATURE_FILE, signed.signature.0.as_slice()),
        (ROOT_FILE, root.as_bytes()),
    ] {
        let path = out.join(name);
        std::fs::write(&path, bytes).map_err(local(&path))?;
    }
    let pdf = printed::print(out);
    let verified = verified(out, &signed, None);
    let with_findings: Vec<u8> = answers
        .iter()
        .filter(|it| it.exit.is_some_and(|exit| exit != 0))
        .map(|it| it.question.number)
        .collect();
    let exit = match (verified.iter().all(|it| it.ok), with_findings.is_empty()) {
        (false, _) => NOT_VERIFIED,
        (true, true) => 0,
        (true, false) => FINDINGS,
    };
    let text = if arguments.asked.output.json {
        show::json(&json!({
            "dir": out, "files": files.len(), "pdf": pdf, "answers": answers.len(), "with_findings": with_findings,
            "verified": exit != NOT_VERIFIED,
        }))?
    } else {
        let mut table = Table::new(match lang {
            Language::Zh => ["#", "问题", "结果"],
            Language::En => ["#", "question", "result"],
        });
        for it in &answers {
            let asked = lang.pick(it.question.zh, it.question.en).to_owned();
            table.row([
                it.question.number.to_string(),
                asked,
                page::result(it, lang).to_owned(),
            ]);
        }
        let (table, dir) = (table.render(), out.display());
        match lang {
            Language::Zh => format!(
                "{table}\n报告在 {dir}(report.html),已签名;核验:guitai audit verify {dir}\n"
            ),
            Language::En => {
                format!(
                    "{table}\nThe report is in {dir} (report.html), signed; check it: guitai audit verify {dir}\n"
                )
            }
        }
    };
    Ok(Done { text, exit })
}

/// One thing that was checked.
struct Checked {
    what: String,
    ok: bool,
    detail: String,
}

fn verified(dir: &Path, signed: &SignedStatement, expected: Option<&[u8]>) -> Vec<Checked> {
    let mut found = Vec::new();
    let mut note = |what: &str, ok: bool, detail: String| {
        let what = what.to_owned();
        found.push(Checked { what, ok, detail });
    };
    let statement: Statement = match canonical::from_bytes(&signed.statement.0) {
        Ok(statement) => statement,
        Err(error) => {
            note("form", false, error.to_string());
            return found;
        }
    };
    note("form", statement.format == FORMAT, statement.format.clone());
    let fingerprint = Hex(guitai_evidence::fingerprint(&signed.root.0).to_vec());
    match expected {
        Some(root) => note("root", root == signed.root.0, fingerprint.to_string()),
        None => note(
            "root",
            true,
            format!("{fingerprint}: compare it with your own"),
        ),
    }
    let roots = [signed.root.0.clone()];
    match cms::verify_detached(&signed.signature.0, &signed.statement.0, &roots) {
        Ok(info) => {
            let is_same = info.leaf.common_name == statement.made_by.as_str()
                && info.signing_time_unix == statement.made_at.0 / 1_000;
            let (who, at) = (&statement.asked_by, statement.made_at.utc());
            note(
                "signature",
                is_same,
                format!("{} for {who} at {at}", info.leaf.common_name),
            );
        }
        Err(error) => note("signature", false, error.to_string()),
    }
    for file in &statement.files {
        let read = crate::log::read_at_most(&dir.join(&file.name), FILE_BYTES_MAX);
        match read {
            Ok(bytes) => {
                let ok = sm3::hash(&bytes).as_slice() == file.sm3.0;
                note(&file.name, ok, file.sm3.to_string());
            }
            Err(why) => note(&file.name, false, why),
        }
    }
    found
}

/// Checks a report offline: its signature, and that no file was changed.
pub(super) fn verify(arguments: &Verify, lang: Language) -> Result<Done, Failure> {
    let dir = &arguments.dir;
    let read = |name: &str| {
        let path = dir.join(name);
        crate::log::read_at_most(&path, FILE_BYTES_MAX)
            .map_err(|why| Failure::new(Code::BadRequest, format!("{}: {why}", path.display())))
    };
    let certificate = |path: &Path| printed::certificate(path);
    let root = certificate(&dir.join(ROOT_FILE))?;
    let expected = arguments.root.as_deref().map(certificate).transpose()?;
    let signed = SignedStatement {
        statement: Hex(read(STATEMENT_FILE)?),
        signature: Hex(read(SIGNATURE_FILE)?),
        root: Hex(root),
    };
    let checked = verified(dir, &signed, expected.as_deref());
    let ok = checked.iter().all(|it| it.ok);
    let text = if arguments.output.json {
        let rows: Vec<Value> = checked
            .iter()
            .map(|it| json!({ "check": it.what, "ok": it.ok, "detail": it.detail }))
            .collect();
        show::json(&json!({ "ok": ok, "checks": rows }))?
    } else {
        let mut table = Table::new(match lang {
            Language::Zh => ["项目", "结果", "内容"],
            Language::En => ["check", "", "found"],
        });
        for it in checked {
            let word = if it.ok {
                lang.pick("通过", "ok")
            } else {
                lang.pick("不符", "FAULT")
            };
            table.row([it.what, word.to_owned(), it.detail]);
        }
        table.render()
    };
    let exit = if ok { 0 } else { NOT_VERIFIED };
    Ok(Done { text, exit })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The handbook says what is bound together, and nothing else is.
    #[test]
    fn every_question_is_a_command_and_stands_in_the_handbook() {
        let book = include_str!("../../../../docs/operating/audit.md");
        for question in QUESTIONS {
            let line = question
                .line
                .replace("{since}", "30d")
                .replace("{session}", "s1");
            let words = std::iter::once("guitai").chain(line.split(' '));
            let parsed = Line::try_parse_from(words);
            assert!(
                parsed.is_ok(),
                "{line}: {}",
                parsed.err().map(|it| it.to_string()).unwrap_or_default()
            );
            let row = book
                .lines()
                .find(|it| it.starts_with(&format!("| {} |", question.number)));
            let row = row
                .unwrap_or_else(|| panic!("question {} is not in the handbook", question.number));
            let group = question.line.split(' ').next().unwrap_or_default();
            let group = if question.number == 16 {
                "audit access"
            } else {
                group
            };
            assert!(row.contains(&format!("`guitai {group}")), "{row}");
        }
    }
}
