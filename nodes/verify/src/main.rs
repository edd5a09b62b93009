//! `guitai-verify DIR|FILE.vcep [--root ROOT.pem] [--policy FILE] [--composite FILM.mp4] [--complete] [--json]
//! [--lang zh|en]`: checks an evidence package offline.
//!
//! It is `guitai evidence verify` for who has no product and wants none: a court's expert, an auditor, an archive in
//! twenty years. It opens the package's files and the root, and nothing else; it has no network code (a test
//! says so). Exit status 0: every check holds; 1: a file given could not be read; 2: wrong usage; 3: a check
//! does not hold, or with `--complete` one of the first eleven points is absent.

mod arguments;
mod words;

use std::{env, fs, io::Write as _, path::Path, process::ExitCode};

use guitai_crypto::x509;
use guitai_evidence::{
    Options, fingerprint,
    log::{Policy, policy::POLICY_BYTES_MAX},
    verify,
};

use crate::arguments::{Asked, Language, read};

const UNREADABLE: u8 = 1;
const USAGE: u8 = 2;
const NOT_VERIFIED: u8 = 3;

fn main() -> ExitCode {
    // A name that is no UTF-8 reaches no file here; it is said to be missing.
    let given = env::args_os().skip(1);
    let given = given.map(|it| it.to_string_lossy().into_owned());
    let asked = match read(given, &locale()) {
        Ok(asked) => asked,
        Err(wrong) => {
            eprintln!("{wrong}\n{}", words::USAGE);
            return ExitCode::from(USAGE);
        }
    };
    match asked {
        Asked::Help => print(words::HELP),
        Asked::Version => print(concat!("guitai-verify ", env!("CARGO_PKG_VERSION"), "\n")),
        Asked::Verify {
            package,
            root,
            policy,
            composite,
            complete,
            json,
            language,
        } => {
            if !package.is_dir() && !package.is_file() {
                let what = language.pick("不是目录也不是文件", "is no directory and no file");
                eprintln!("{} {what}\n{}", package.display(), words::USAGE);
                return ExitCode::from(USAGE);
            }
            let expected_root = match root.as_deref().map(expected).transpose() {
                Ok(expected_root) => expected_root,
                Err(why) => {
                    eprintln!("--root: {why}");
                    return ExitCode::from(UNREADABLE);
                }
            };
            let policy = match policy.as_deref().map(read_policy).transpose() {
                Ok(policy) => policy,
                Err(why) => {
                    eprintln!("--policy: {why}");
                    return ExitCode::from(UNREADABLE);
                }
            };
            let options = Options {
                expected_root,
                policy,
                composite,
            };
            checked(&package, &options, complete, json, language)
        }
    }
}

fn checked(
    package: &Path,
    options: &Options,
    complete: bool,
    json: bool,
    language: Language,
) -> ExitCode {
    let report = verify(package, options);
    let text = match json {
        true => serde_json::to_string_pretty(&report).map(|text| text + "\n"),
        false => Ok(words::report(&report, language)),
    };
    let ok = report.ok && (report.complete || !complete);
    match text {
        Ok(text) if print(&text) == ExitCode::SUCCESS => match ok {
            true => ExitCode::SUCCESS,
            false => ExitCode::from(NOT_VERIFIED),
        },
        // Nobody saw the report: that must not look like a package that holds.
        _ => ExitCode::from(UNREADABLE),
    }
}

/// SM3 of the one certificate in a PEM file.
fn expected(path: &Path) -> Result<[u8; 32], String> {
    let pem = fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
    let roots = x509::certificates_from_pem(&pem)
        .map_err(|error| format!("{}: {error}", path.display()))?;
    match roots.as_slice() {
        [root] => Ok(fingerprint(root)),
        roots => Err(format!(
            "{} 含 {count} 张证书,需要一张 / holds {count} certificates, one is needed",
            path.display(),
            count = roots.len()
        )),
    }
}

fn read_policy(path: &Path) -> Result<Policy, String> {
    let failed = |error: &dyn std::error::Error| format!("{}: {error}", path.display());
    let size = fs::metadata(path).map_err(|error| failed(&error))?.len();
    if size > POLICY_BYTES_MAX as u64 {
        return Err(format!(
            "{} 超过 / is longer than POLICY_BYTES_MAX = {POLICY_BYTES_MAX} B",
            path.display()
        ));
    }
    let text = fs::read_to_string(path).map_err(|error| failed(&error))?;
    Policy::parse(&text).map_err(|error| failed(&error))
}

fn locale() -> String {
    let names = ["LC_ALL", "LC_MESSAGES", "LANG"];
    let mut values = names.iter().filter_map(|name| env::var(name).ok());
    values.find(|value| !value.is_empty()).unwrap_or_default()
}

fn print(text: &str) -> ExitCode {
    match std::io::stdout().write_all(text.as_bytes()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::from(UNREADABLE),
    }
}
