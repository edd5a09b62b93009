//! `evidence export` and `evidence verify`.

use std::{
    fs::File,
    io::{Seek as _, Write as _},
    path::Path,
};

use futures::StreamExt as _;
use guitai_evidence::{
    Options, Report, Status, UnpackError, log::Policy, log::policy::POLICY_BYTES_MAX,
};
use guitai_types::{Code, NodeName, Problem, SessionId, record::Duty};
use serde_json::json;

use crate::{
    Export, Language, Verify,
    failure::{Failure, NOT_VERIFIED},
    http::Door,
    show, staff,
    table::Table,
};

/// Longest package in bytes that is downloaded: eight hours of two parties at 2 Mbit/s.
pub(crate) const PACKAGE_BYTES_MAX: u64 = 16 * 1024 * 1024 * 1024;

/// How the name of a package in one file ends.
const EXTENSION: &str = "vcep";

/// What a command printed, and whether the evidence verifies.
pub(crate) struct Verified {
    pub(crate) text: String,
    pub(crate) ok: bool,
}

pub(crate) async fn export(arguments: &Export, lang: Language) -> Result<String, Failure> {
    let door = staff::enter(&arguments.asked.access, &[Duty::Operator, Duty::Auditor]).await?;
    let Export {
        session,
        recorder,
        out,
        reason,
        asked,
    } = arguments;
    let bytes = fetch(&door, session, recorder.as_ref(), reason, out).await?;
    if asked.output.json {
        return show::json(&json!({ "session": session, "out": out, "bytes": bytes }));
    }
    let out = out.display();
    Ok(match lang {
        Language::Zh => {
            format!("证据包已写入 {out}({bytes} 字节)\n用 guitai evidence verify {out} 校验\n")
        }
        Language::En => {
            format!(
                "package written to {out} ({bytes} bytes)\ncheck it with guitai evidence verify {out}\n"
            )
        }
    })
}

/// Downloads the package of `session`, the one that a node made or the most complete, and unpacks it
/// into `out`, or keeps it as one file where that is what `out` is called; gives the bytes downloaded.
pub(crate) async fn fetch(
    door: &Door,
    session: &SessionId,
    recorder: Option<&NodeName>,
    reason: &str,
    out: &Path,
) -> Result<u64, Failure> {
    let recorder = recorder.map(|node| format!("&recorder={node}"));
    let recorder = recorder.unwrap_or_default();
    let reason = in_query(reason);
    let path = format!("/api/v1/recordings/{session}/package?reason={reason}{recorder}");
    let mut pieces = door.download(&path).await?;
    // The whole stream first: half a package in a directory would look like a broken one.
    let local = |error: &std::io::Error| Failure::local("keeping the download", error);
    let mut file: File = tempfile::tempfile().map_err(|error| local(&error))?;
    let mut bytes = 0;
    while let Some(piece) = pieces.next().await {
        let piece = piece?;
        bytes += piece.len() as u64;
        if bytes > PACKAGE_BYTES_MAX {
            let limit = format!("the limit PACKAGE_BYTES_MAX is {PACKAGE_BYTES_MAX} bytes");
            return Err(Failure::new(Code::TooLarge, limit));
        }
        file.write_all(&piece).map_err(|error| local(&error))?;
    }
    file.rewind().map_err(|error| local(&error))?;
    let out = out.to_owned();
    if out.extension().is_some_and(|name| name == EXTENSION) {
        let kept = tokio::task::spawn_blocking(move || keep(file, &out)).await;
        let kept = kept.unwrap_or_else(|error| Err(std::io::Error::other(error)));
        return kept.map_err(|error| Failure::local("writing the package", &error));
    }
    let unpacked = tokio::task::spawn_blocking(move || guitai_evidence::unpack(file, &out)).await;
    match unpacked {
        Ok(Ok(())) => Ok(bytes),
        Ok(Err(error @ (UnpackError::Entry(_) | UnpackError::TooLarge))) => {
            let problem = Problem::new(Code::EvidenceBroken, error.to_string());
            Err(Failure {
                exit: NOT_VERIFIED,
                problem,
                cause: None,
                next: None,
            })
        }
        Ok(Err(error)) => Err(Failure::local("unpacking", &error)),
        Err(error) => Err(Failure::local("unpacking", &error)),
    }
}

/// Text as the value of a query's field (RFC 3986, 2.1).
pub(crate) fn in_query(text: &str) -> String {
    let byte = |byte: u8| match byte {
        b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
            char::from(byte).to_string()
        }
        other => format!("%{other:02X}"),
    };
    text.bytes().map(byte).collect()
}

/// Keeps a package as one file, which must be new; it has its name only when it is whole and synced.
fn keep(mut file: File, out: &Path) -> std::io::Result<u64> {
    let dir = out.parent().filter(|dir| !dir.as_os_str().is_empty());
    let mut whole = tempfile::NamedTempFile::new_in(dir.unwrap_or_else(|| Path::new(".")))?;
    let bytes = std::io::copy(&mut file, &mut whole)?;
    whole.as_file().sync_all()?;
    whole.persist_noclobber(out).map_err(|error| error.error)?;
    Ok(bytes)
}

pub(crate) fn verify(arguments: &Verify, lang: Language) -> Result<Verified, Failure> {
    let Verify {
        package,
        root,
        policy,
        composite,
        complete,
        output,
    } = arguments;
    if !package.is_dir() && !package.is_file() {
        return Err(Failure::usage(
            format!("{} is no directory and no file", package.display()),
            "给出证据包所在的目录,或 .vcep 文件",
            "Name the directory of the package, or its .vcep file",
        ));
    }
    let options = Options {
        composite: composite.clone(),
        ..options(root.as_deref(), policy.as_deref())?
    };
    let report = guitai_evidence::verify(package, &options);
    let text = if output.json {
        show::json(&report)?
    } else {
        words(&report, lang)
    };
    Ok(Verified {
        text,
        ok: report.ok && (report.complete || !complete),
    })
}

/// What is known of a package from elsewhere.
pub(crate) fn options(root: Option<&Path>, policy: Option<&Path>) -> Result<Options, Failure> {
    Ok(Options {
        expected_root: root.map(read_root).transpose()?,
        policy: policy.map(read_policy).transpose()?,
        composite: None,
    })
}

fn read_policy(path: &Path) -> Result<Policy, Failure> {
    let failed = |error: &dyn std::error::Error| Failure::local("reading the policy", error);
    let size = std::fs::metadata(path)
        .map_err(|error| failed(&error))?
        .len();
    if size > POLICY_BYTES_MAX as u64 {
        let limit = format!("a policy has at most POLICY_BYTES_MAX = {POLICY_BYTES_MAX} bytes");
        return Err(Failure::new(Code::TooLarge, limit));
    }
    let text = std::fs::read_to_string(path).map_err(|error| failed(&error))?;
    Policy::parse(&text).map_err(|error| failed(&error))
}

/// Fingerprint of the root certificate in a PEM file.
pub(crate) fn read_root(path: &Path) -> Result<[u8; 32], Failure> {
    let pem = std::fs::read_to_string(path)
        .map_err(|error| Failure::local("reading the root certificate", &error))?;
    let roots = guitai_crypto::x509::certificates_from_pem(&pem)
        .map_err(|error| Failure::local("reading the root certificate", &error))?;
    match <[Vec<u8>; 1]>::try_from(roots) {
        Ok([root]) => Ok(guitai_evidence::fingerprint(&root)),
        Err(roots) => Err(Failure::usage(
            format!(
                "{} holds {} certificates, one is needed",
                path.display(),
                roots.len()
            ),
            "给出仅含一张根证书的 PEM 文件",
            "Name a PEM file with one root certificate",
        )),
    }
}

fn words(report: &Report, lang: Language) -> String {
    let mut points = Table::new(match lang {
        Language::Zh => ["#", "要点", "结论", "名称"],
        Language::En => ["#", "point", "status", "name"],
    });
    for it in &report.checks {
        points.row([
            it.number.to_string(),
            lang.of(&it.name.text()).to_owned(),
            match it.status {
                Status::Pass => lang.pick("通过", "pass"),
                Status::Fail => lang.pick("不通过", "FAIL"),
                Status::Absent => lang.pick("没有", "absent"),
            }
            .to_owned(),
            it.name.as_str().to_owned(),
        ]);
    }
    let mut text = points.render();
    text.push('\n');
    let mut items = Table::new(match lang {
        Language::Zh => ["结果", "检查项", "文件", "细节"],
        Language::En => ["result", "check", "file", "detail"],
    });
    for item in &report.items {
        items.row([
            if item.absent {
                lang.pick("没有", "absent")
            } else if item.ok {
                lang.pick("通过", "ok")
            } else {
                lang.pick("不符", "FAULT")
            }
            .to_owned(),
            lang.of(&item.what.text()).to_owned(),
            item.file.clone().unwrap_or_default(),
            item.detail.clone(),
        ]);
    }
    text.push_str(&items.render());
    text.push('\n');
    if let Some(facts) = &report.facts {
        let mut table = Table::default();
        let mut fact = |zh: &str, en: &str, value: String| {
            table.row([lang.pick(zh, en).to_owned(), value]);
        };
        fact("会话", "session", facts.session.to_string());
        fact("签名者", "signer", facts.signer.clone());
        fact("封存于", "sealed at", show::when(facts.sealed_at.0));
        fact("时长", "length", format!("{} ms", facts.duration_ms));
        fact("轨道", "tracks", facts.tracks.to_string());
        fact(
            "文件",
            "files",
            format!("{} ({} B)", facts.files, facts.bytes),
        );
        fact("声明的缺口", "declared gaps", facts.gaps.to_string());
        if facts.segments_disowned > 0 {
            let count = facts.segments_disowned.to_string();
            fact("不属于任何任期的分段", "segments of no turn", count);
        }
        fact(
            "未完成的必做步骤",
            "required steps missing",
            if facts.steps_missing.is_empty() {
                "–".to_owned()
            } else {
                facts.steps_missing.join(", ")
            },
        );
        fact("默克尔根", "Merkle root", facts.root.to_string());
        fact(
            "根证书指纹",
            "root fingerprint",
            facts.root_fingerprint.to_string(),
        );
        text.push_str(&table.render());
        if !facts.root_expected {
            text.push_str(lang.pick(
                "注意:未用 --root 指定信任的根证书,请当面核对上面的根证书指纹\n",
                "note: no --root was given; compare the root fingerprint above with its owner\n",
            ));
        }
        text.push('\n');
    }
    let faults = report.faults().count();
    text.push_str(&match (report.ok, lang) {
        (true, Language::Zh) if !report.complete => "校验通过;上列“没有”的要点缺失\n".to_owned(),
        (true, Language::En) if !report.complete => {
            "verified; the points above that are absent are missing\n".to_owned()
        }
        (true, Language::Zh) => "校验通过\n".to_owned(),
        (true, Language::En) => "verified\n".to_owned(),
        (false, Language::Zh) => format!("校验不通过:{faults} 处不符\n"),
        (false, Language::En) => format!("NOT verified: {faults} fault(s)\n"),
    });
    text
}

#[cfg(test)]
mod tests {
    use guitai_evidence::{Check, Facts, Item, Point, Verdict};
    use guitai_types::{Hex, UnixMillis};

    use super::*;

    fn report(faulty: bool) -> Result<Report, guitai_types::IdError> {
        let mut items = vec![
            Item {
                what: Check::Manifest,
                ok: true,
                absent: false,
                detail: "version 1".to_owned(),
                file: None,
            },
            Item {
                what: Check::Files,
                ok: !faulty,
                absent: false,
                detail: "12 files".to_owned(),
                file: None,
            },
        ];
        if faulty {
            items[1].detail = "SM3 differs".to_owned();
            items[1].file = Some("tracks/1/000003.m4s".to_owned());
        }
        let facts = Facts {
            session: "5e55".parse()?,
            signer: "a1-2".to_owned(),
            root_fingerprint: Hex(vec![0xab; 4]),
            root_expected: false,
            root: Hex(vec![0xcd; 4]),
            sealed_at: UnixMillis(1_795_300_000_000),
            duration_ms: 8_000,
            files: 30,
            bytes: 512_000,
            tracks: 4,
            gaps: 0,
            segments_disowned: 0,
            steps_missing: Vec::new(),
        };
        let verdict = |(number, name, status)| Verdict {
            number,
            name,
            status,
        };
        let checks = [
            (1, Point::Manifest, Status::Pass),
            (
                2,
                Point::Files,
                if faulty { Status::Fail } else { Status::Pass },
            ),
            (5, Point::Timestamp, Status::Absent),
        ];
        Ok(Report {
            ok: !faulty,
            complete: false,
            checks: checks.map(verdict).to_vec(),
            items,
            facts: Some(facts),
        })
    }

    #[test]
    fn a_sound_package_in_english() -> Result<(), guitai_types::IdError> {
        assert_eq!(
            words(&report(false)?, Language::En),
            "\
#  point                            status  name
1  manifest canonical and complete  pass    manifest
2  every file unchanged             pass    files
5  time stamp                       absent  timestamp

result  check                            file  detail
ok      manifest canonical and complete        version 1
ok      size and SM3 of every file             12 files

session                 5e55
signer                  a1-2
sealed at               2026-11-21 22:26:40Z
length                  8000 ms
tracks                  4
files                   30 (512000 B)
declared gaps           0
required steps missing  –
Merkle root             cdcdcdcd
root fingerprint        abababab
note: no --root was given; compare the root fingerprint above with its owner

verified; the points above that are absent are missing
"
        );
        Ok(())
    }

    #[test]
    fn a_broken_package_in_chinese() -> Result<(), guitai_types::IdError> {
        assert_eq!(
            words(&report(true)?, Language::Zh),
            "\
#  要点              结论    名称
1  清单规范且完整    通过    manifest
2  每个文件未被改动  不通过  files
5  可信时间戳        没有    timestamp

结果  检查项                文件                 细节
通过  清单为规范格式且完整                       version 1
不符  每个文件的大小和 SM3  tracks/1/000003.m4s  SM3 differs

会话              5e55
签名者            a1-2
封存于            2026-11-21 22:26:40Z
时长              8000 ms
轨道              4
文件              30 (512000 B)
声明的缺口        0
未完成的必做步骤  –
默克尔根          cdcdcdcd
根证书指纹        abababab
注意:未用 --root 指定信任的根证书,请当面核对上面的根证书指纹

校验不通过:1 处不符
"
        );
        Ok(())
    }

    #[test]
    fn json_is_the_report() -> Result<(), Box<dyn std::error::Error>> {
        let text = show::json(&report(true)?)?;
        let value: serde_json::Value = serde_json::from_str(&text)?;
        assert_eq!(value["ok"], false);
        assert_eq!(value["checks"][1]["name"], "files");
        assert_eq!(value["checks"][1]["status"], "fail");
        assert_eq!(value["checks"][2]["status"], "absent");
        assert_eq!(value["items"][1]["what"], "files");
        assert_eq!(value["items"][1]["file"], "tracks/1/000003.m4s");
        assert_eq!(value["facts"]["tracks"], 4);
        Ok(())
    }
}
