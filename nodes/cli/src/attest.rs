//! `attest …`: whether what runs on every node is what was approved: written down, signed by several, compared.

mod approval;

use std::{path::PathBuf, time::Duration};

use clap::{Args, Subcommand};
use guitai_crypto::sm2::PublicKey;
use guitai_host::{Clock as _, SystemClock};
use guitai_types::{
    Code, Hex,
    attest::{
        APPROVED_FILES_MAX, Approved, ApprovedFile, AttestFinding, FORMAT, MeasuredKind, Measures,
        judge,
    },
    record::Duty,
};
use serde_json::json;

use self::approval::Checked;
use crate::{
    Done, Language, Output,
    args::Asked,
    failure::{Failure, NOT_VERIFIED},
    http::Door,
    relay::Answer,
    show, staff,
    table::Table,
};

const READERS: &[Duty] = &[Duty::Operator, Duty::Auditor];
/// Nodes read their files when they are asked for the first time: so often they are asked again, once a second.
const TRIES_MAX: usize = 60;
const TRY_EVERY: Duration = Duration::from_secs(1);
/// Hexadecimal digits of a digest that a table shows.
const SHORT: usize = 16;

/// `attest …`
#[derive(Debug, Subcommand)]
pub enum Attest {
    /// 各节点所运行的程序、库、配置与服务单元是否为批准者 / Whether program, libraries, configuration and units of every node are the approved ones
    Check(Check),
    /// 记下此刻各节点所运行者,供授权人签名 / Write down what runs on every node now, for officers to sign
    Take(Take),
    /// 记下一个发行版的程序,供发行方签名;离线 / Write down the program of a release, for its publisher to sign; offline
    Release(Release),
    /// 为批准件加一个签名;离线 / Add a signature to an approval; offline
    Sign(Sign),
}

/// Arguments of `attest check`.
#[derive(Debug, Args)]
pub struct Check {
    /// 批准件;不给则各节点相互比较 / The approval; without one nodes are compared with each other
    #[arg(long, requires = "trust")]
    pub approved: Option<PathBuf>,
    /// 认可的签名公钥(十六进制),可多次 / A public key that you believe, in hexadecimal; several times
    #[arg(long, value_name = "KEY", value_parser = key, requires = "approved")]
    pub trust: Vec<Hex>,
    /// 至少须有几个认可的签名;不给则为全部 / How many of them must have signed; all where it is left out
    #[arg(long, value_name = "N", requires = "approved")]
    pub need: Option<usize>,
    /// Which cluster, as whom, and how to show it.
    #[command(flatten)]
    pub asked: Asked,
}

/// Arguments of `attest take`.
#[derive(Debug, Args)]
pub struct Take {
    /// 批准件的名称 / What it is an approval of
    #[arg(long)]
    pub title: String,
    /// 写入此新文件 / Into this new file
    #[arg(long)]
    pub out: PathBuf,
    /// Which cluster, as whom, and how to show it.
    #[command(flatten)]
    pub asked: Asked,
}

/// Arguments of `attest release`.
#[derive(Debug, Args)]
pub struct Release {
    /// 程序文件,可多个(各架构) / Program files, one for each architecture
    #[arg(required = true)]
    pub programs: Vec<PathBuf>,
    /// 批准件的名称 / What it is an approval of
    #[arg(long)]
    pub title: String,
    /// 写入此新文件 / Into this new file
    #[arg(long)]
    pub out: PathBuf,
    /// How to show it.
    #[command(flatten)]
    pub output: Output,
}

/// Arguments of `attest sign`.
#[derive(Debug, Args)]
pub struct Sign {
    /// 批准件 / The approval
    pub approved: PathBuf,
    /// 密钥文件(guitai dr key new) / Key file (guitai dr key new)
    #[arg(long)]
    pub key: PathBuf,
    /// 密钥口令;宜用环境变量 / The key's passphrase; better by the environment
    #[arg(long, env = "GUITAI_OFFICER_PASSPHRASE", hide_env_values = true)]
    pub passphrase: String,
    /// How to show it.
    #[command(flatten)]
    pub output: Output,
}

impl Attest {
    pub(crate) const fn output(&self) -> &Output {
        match self {
            Self::Check(check) => &check.asked.output,
            Self::Take(take) => &take.asked.output,
            Self::Release(release) => &release.output,
            Self::Sign(sign) => &sign.output,
        }
    }
}

/// Runs one `guitai attest …` command.
pub(crate) async fn run(command: &Attest, lang: Language) -> Result<Done, Failure> {
    match command {
        Attest::Check(arguments) => check(arguments, lang).await,
        Attest::Take(arguments) => take(arguments, lang).await,
        Attest::Release(arguments) => release(arguments, lang),
        Attest::Sign(arguments) => approval::sign(arguments, lang),
    }
}

async fn check(arguments: &Check, lang: Language) -> Result<Done, Failure> {
    let Check {
        approved,
        trust,
        need,
        asked,
    } = arguments;
    // An approval that nobody believed in signed is not looked at further.
    let approved = match approved {
        Some(path) => match approval::read(path, trust, need.unwrap_or(trust.len()))? {
            Ok(checked) => Some(checked),
            Err(refused) => return refused.done(asked.output.json, lang),
        },
        None => None,
    };
    let door = staff::enter(&asked.access, READERS).await?;
    let measures = measured(&door).await?;
    let findings = judge(&measures, approved.as_ref().map(|it| &it.approved));
    let mut answer = Answer::default();
    answer.text = words(&measures, approved.as_ref(), &findings, lang);
    answer.value = json!({
        "measures": measures,
        "approved": approved.as_ref().map(Checked::json),
        "faults": findings,
    });
    let said = findings.iter().map(|it| said(it, lang));
    answer.findings.extend(said);
    answer.as_of(&door).await;
    answer.done(asked.output.json, lang)
}

/// What the nodes say, once all that answer have read their files.
async fn measured(door: &Door) -> Result<Measures, Failure> {
    let mut tries = 0;
    loop {
        let measures: Measures = door.get("/api/v1/measures").await?;
        tries += 1;
        let are_read = measures.nodes.iter().all(|node| node.files.is_some());
        if are_read || tries == TRIES_MAX {
            return Ok(measures);
        }
        tokio::time::sleep(TRY_EVERY).await;
    }
}

async fn take(arguments: &Take, lang: Language) -> Result<Done, Failure> {
    let Take { title, out, asked } = arguments;
    let door = staff::enter(&asked.access, READERS).await?;
    let measures = measured(&door).await?;
    // What is not known cannot be approved.
    let unknown = judge(&measures, None)
        .into_iter()
        .find(|it| it.what != guitai_types::attest::AttestFault::Mixed);
    if let Some(finding) = unknown {
        return Err(Failure::new(Code::WrongState, said(&finding, Language::En)));
    }
    let mut files = Vec::new();
    for node in &measures.nodes {
        for file in node.files.iter().flatten() {
            let Some(sm3) = file.sm3.clone() else {
                continue;
            };
            let own = matches!(file.kind, MeasuredKind::Configuration | MeasuredKind::Unit);
            files.push(ApprovedFile {
                kind: file.kind,
                node: own.then(|| node.node.clone()),
                path: file.path.clone(),
                sm3,
            });
        }
    }
    write(title, files, out, &asked.output, lang)
}

fn release(arguments: &Release, lang: Language) -> Result<Done, Failure> {
    let Release {
        programs,
        title,
        out,
        output,
    } = arguments;
    let mut files = Vec::new();
    for path in programs {
        let file = path.file_name().unwrap_or(path.as_os_str());
        files.push(ApprovedFile {
            kind: MeasuredKind::Program,
            node: None,
            path: file.to_string_lossy().into_owned(),
            sm3: approval::digest(path)?,
        });
    }
    write(title, files, out, output, lang)
}

fn write(
    name: &str,
    mut files: Vec<ApprovedFile>,
    out: &std::path::Path,
    output: &Output,
    lang: Language,
) -> Result<Done, Failure> {
    files.sort();
    files.dedup();
    if files.len() > APPROVED_FILES_MAX {
        let detail = format!("{} files, at most {APPROVED_FILES_MAX}", files.len());
        return Err(Failure::new(Code::TooLarge, detail));
    }
    let approved = Approved {
        format: FORMAT.to_owned(),
        name: name.to_owned(),
        made_at: SystemClock::new().wall(),
        files,
    };
    let count = approved.files.len();
    let sm3 = approval::create(&approved, out)?;
    let text = if output.json {
        show::json(&json!({"file": out, "files": count, "sm3": sm3}))?
    } else {
        let (file, next) = (out.display(), "guitai attest sign");
        match lang {
            Language::Zh => format!(
                "已写入 {file}:{count} 个文件,SM3 {sm3}\n由授权人逐一签名:{next} {file} --key …\n"
            ),
            Language::En => format!(
                "{file} written: {count} files, SM3 {sm3}\nOfficers sign it, one after the other: {next} {file} --key …\n"
            ),
        }
    };
    Ok(Done { text, exit: 0 })
}

fn words(
    measures: &Measures,
    approved: Option<&Checked>,
    findings: &[AttestFinding],
    lang: Language,
) -> String {
    let mut table = Table::new(match lang {
        Language::Zh => ["节点", "类别", "文件", "字节", "SM3", "情况"],
        Language::En => ["node", "kind", "file", "bytes", "SM3", "stands"],
    });
    for node in &measures.nodes {
        for file in node.files.iter().flatten() {
            let fault = findings
                .iter()
                .find(|it| it.node == node.node && it.path.as_ref() == Some(&file.path));
            let stands = match (fault, approved) {
                (Some(fault), _) => lang.of(&fault.what.words()).to_owned(),
                (None, Some(checked)) if checked.speaks_of(file.kind) => {
                    lang.pick("已批准", "approved").to_owned()
                }
                (None, _) => "-".to_owned(),
            };
            let sm3 = file.sm3.as_ref().map(ToString::to_string);
            let short = sm3.map_or_else(|| "-".to_owned(), |it| it.chars().take(SHORT).collect());
            let (zh, en) = file.kind.words();
            table.row([
                node.node.to_string(),
                lang.pick(zh, en).to_owned(),
                file.path.clone(),
                file.bytes.to_string(),
                short,
                stands,
            ]);
        }
    }
    let basis = match approved {
        Some(checked) => checked.words(lang),
        None => lang
            .pick(
                "未给批准件:仅比较各节点的程序是否相同\n",
                "No approval was given: it is only compared whether all nodes run the same program\n",
            )
            .to_owned(),
    };
    format!("{}\n{basis}", table.render())
}

fn said(finding: &AttestFinding, lang: Language) -> String {
    let words = finding.what.words();
    let what = lang.of(&words);
    match &finding.path {
        Some(path) => format!("{} {path}: {what}", finding.node),
        None => format!("{}: {what}", finding.node),
    }
}

/// A public key as `attest sign` shows it.
fn key(text: &str) -> Result<Hex, String> {
    let point = Hex::parse(text).filter(|it| PublicKey::from_point(&it.0).is_ok());
    point.ok_or_else(|| "not an SM2 public key: 130 hexadecimal digits".to_owned())
}

/// What is said of an approval that is not believed.
pub(crate) struct Refused {
    pub(crate) zh: String,
    pub(crate) en: String,
}

impl Refused {
    fn done(self, json: bool, lang: Language) -> Result<Done, Failure> {
        let Self { zh, en } = self;
        let text = if json {
            show::json(&json!({"ok": false, "why": {"zh": zh, "en": en}}))?
        } else {
            format!("{}\n", lang.pick(zh.as_str(), en.as_str()))
        };
        let exit = NOT_VERIFIED;
        Ok(Done { text, exit })
    }
}
