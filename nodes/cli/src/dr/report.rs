//! The report of a run: fetched, written as files, checked offline.

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use guitai_crypto::x509;
use guitai_evidence::drill::{
    self, ROOT_FILE, SIGNATURE_FILE, STATEMENT_BYTES_MAX, STATEMENT_FILE, Verified,
};
use guitai_types::{Code, Hex, dr};
use serde_json::json;

use super::{VIEWERS, args};
use crate::{Done, Language, NOT_VERIFIED, failure::Failure, show, staff, table::Table};

pub(crate) use guitai_evidence::drill::PAGE_FILE;

/// Name of the printable file, where a Chromium is there to print it.
const PDF_FILE: &str = "report.pdf";
/// Browsers that print.
const PRINTERS: [&str; 3] = ["chromium", "chromium-browser", "google-chrome"];
/// Largest of the small files in bytes.
const SMALL_BYTES_MAX: u64 = 256 * 1024;

/// Fetches a report and writes its files.
pub(crate) async fn fetch(arguments: &args::Report, lang: Language) -> Result<Done, Failure> {
    let door = staff::enter(&arguments.asked.access, VIEWERS).await?;
    let path = format!("/api/v1/dr/runs/{}/report", arguments.run);
    let report: dr::Report = door.get(&path).await?;
    let verified = drill::verify(&report, None);
    let out = &arguments.out;
    let local = |doing: &str| {
        let doing = format!("{doing} {}", out.display());
        move |error: std::io::Error| Failure::local(&doing, &error)
    };
    std::fs::create_dir_all(out).map_err(local("making"))?;
    let mut present = std::fs::read_dir(out).map_err(local("reading"))?;
    if present.next().is_some() {
        return Err(Failure::usage(
            format!("{} is not empty", out.display()),
            "换一个新目录",
            "Name a new directory",
        ));
    }
    let root = x509::certificates_to_pem(std::slice::from_ref(&report.root.0));
    let page = verified
        .statement
        .as_ref()
        .map(|statement| drill::page(statement, &verified));
    let files = [
        (STATEMENT_FILE, report.statement.0.clone()),
        (SIGNATURE_FILE, report.signature.0.clone()),
        (ROOT_FILE, root.into_bytes()),
        (PAGE_FILE, page.unwrap_or_default().into_bytes()),
    ];
    let mut written = Vec::new();
    for (name, bytes) in files {
        std::fs::write(out.join(name), bytes).map_err(local("writing to"))?;
        written.push(name);
    }
    if print(out) {
        written.push(PDF_FILE);
    }
    done(&verified, arguments.asked.output.json, lang, &written)
}

/// Checks the files of a report; the page is not evidence and is not looked at.
pub(crate) fn verify(arguments: &args::Verify, lang: Language) -> Result<Done, Failure> {
    let dir = &arguments.dir;
    let root = certificate(&dir.join(ROOT_FILE))?;
    let expected = arguments
        .root
        .as_deref()
        .map(|path| certificate(path).map(|der| guitai_evidence::fingerprint(&der)))
        .transpose()?;
    let report = dr::Report {
        statement: Hex(read(&dir.join(STATEMENT_FILE), STATEMENT_BYTES_MAX as u64)?),
        signature: Hex(read(&dir.join(SIGNATURE_FILE), SMALL_BYTES_MAX)?),
        root: Hex(root),
    };
    let verified = drill::verify(&report, expected);
    done(&verified, arguments.output.json, lang, &[])
}

fn done(
    verified: &Verified,
    json: bool,
    lang: Language,
    written: &[&str],
) -> Result<Done, Failure> {
    let verdict = verified
        .statement
        .as_ref()
        .and_then(|statement| statement.run.verdict.clone());
    let text = if json {
        show::json(&json!({
            "ok": verified.ok(),
            "findings": verified.findings,
            "verdict": verdict,
            "files": written,
        }))?
    } else {
        let mut table = Table::new(match lang {
            Language::Zh => ["项目", "结果", "内容"],
            Language::En => ["check", "", "found"],
        });
        for finding in &verified.findings {
            let mark = if finding.ok {
                lang.pick("通过", "ok")
            } else {
                lang.pick("不符", "FAULT")
            };
            table.row([
                finding.check.to_owned(),
                mark.to_owned(),
                finding.detail.clone(),
            ]);
        }
        let said = match (verified.ok(), &verdict) {
            (false, _) => lang.pick("报告校验不通过", "the report does not verify"),
            (true, Some(verdict)) if verdict.green => lang.pick(
                "报告可信,结论为绿",
                "the report holds; its verdict is GREEN",
            ),
            (true, Some(_)) => {
                lang.pick("报告可信,结论为红", "the report holds; its verdict is RED")
            }
            (true, None) => lang.pick("报告可信,未判定", "the report holds; nothing was judged"),
        };
        let mut text = format!("{}\n{said}\n", table.render());
        if !written.is_empty() {
            let word = lang.pick("文件", "files");
            text.push_str(&format!("{word}: {}\n", written.join(" ")));
        }
        text
    };
    let exit = if verified.ok() { 0 } else { NOT_VERIFIED };
    Ok(Done { text, exit })
}

/// Prints the page to PDF by a browser of this machine; without one the page itself can be printed.
pub(crate) fn print(out: &Path) -> bool {
    let Ok(dir) = out.canonicalize() else {
        return false;
    };
    let pdf = dir.join(PDF_FILE);
    PRINTERS.iter().any(|printer| {
        let printed = Command::new(printer)
            .args(["--headless", "--no-sandbox", "--disable-gpu"])
            .arg("--no-pdf-header-footer")
            .arg(format!("--print-to-pdf={}", pdf.display()))
            .arg(format!("file://{}", dir.join(PAGE_FILE).display()))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
        printed.is_ok_and(|status| status.success()) && pdf.exists()
    })
}

pub(crate) fn certificate(path: &Path) -> Result<Vec<u8>, Failure> {
    let bytes = read(path, SMALL_BYTES_MAX)?;
    let fault =
        |detail: String| Failure::new(Code::BadRequest, format!("{}: {detail}", path.display()));
    let text = String::from_utf8(bytes).map_err(|_| fault("no PEM text".to_owned()))?;
    let found = x509::certificates_from_pem(&text).map_err(|error| fault(error.to_string()))?;
    found
        .into_iter()
        .next()
        .ok_or_else(|| fault("no certificate".to_owned()))
}

fn read(path: &Path, bytes_max: u64) -> Result<Vec<u8>, Failure> {
    let path: PathBuf = path.to_owned();
    let doing = format!("reading {}", path.display());
    let size = std::fs::metadata(&path).map_err(|error| Failure::local(&doing, &error))?;
    if size.len() > bytes_max {
        let detail = format!("{doing}: {} bytes, at most {bytes_max}", size.len());
        return Err(Failure::new(Code::TooLarge, detail));
    }
    std::fs::read(&path).map_err(|error| Failure::local(&doing, &error))
}
