//! The report for people, in both languages.

use guitai_evidence::{Report, Status};

use crate::arguments::Language;

/// One line.
pub(crate) const USAGE: &str = "guitai-verify DIR|FILE.vcep [--root ROOT.pem] [--policy FILE] [--composite FILM.mp4] [--complete] [--json] [--lang zh|en]";

/// All there is to say.
pub(crate) const HELP: &str = "\
guitai-verify DIR|FILE.vcep [--root ROOT.pem] [--policy FILE] [--composite FILM.mp4] [--complete] [--json] [--lang zh|en]

离线逐项校验证据包;不使用网络
Check an evidence package offline, item by item; no network is used

  DIR|FILE.vcep    证据包:目录或文件 / the package: a directory or a file
  --root ROOT.pem  信任的根证书;不给则只报告包内的根
                   root certificate to trust; without it the package's own is reported
  --policy FILE    信任的日志与见证方(C2SP tlog-policy);不给则用包内的
                   the log and the witnesses to trust; without it the package's own
  --composite FILM.mp4
                   由此包制成的合成录像,一并校验;说明须在其旁(FILM.composite.json)
                   a film made of the package, checked with it; its description is beside it (FILM.composite.json)
  --complete       前十一个要点缺一不可 / none of the first eleven points may be absent
  --json           以 JSON 输出 / print JSON
  --lang zh|en     语言;默认随 LANG / language; by LANG unless given
  --version        版本 / version

退出码 / exit status
  0  每项均通过 / every check holds
  1  无法读取给出的文件 / a file given cannot be read
  2  用法有误 / wrong usage
  3  校验不通过;或指定 --complete 而有要点缺失 / a check does not hold; or a point is absent under --complete
";

/// The twelve points, a line for each finding, then what the package says of itself, then the verdict.
pub(crate) fn report(report: &Report, lang: Language) -> String {
    let mut text = String::new();
    let mut line = |parts: &[&str]| {
        text.push_str(parts.join("  ").trim_end());
        text.push('\n');
    };
    for point in &report.checks {
        line(&[
            &format!("{:>2}", point.number),
            match point.status {
                Status::Pass => lang.pick("通过", "pass  "),
                Status::Fail => lang.pick("不通过", "FAIL  "),
                Status::Absent => lang.pick("没有", "absent"),
            },
            lang.pick(&point.name.text().zh, &point.name.text().en),
        ]);
    }
    line(&[]);
    for item in &report.items {
        let words = item.what.text();
        line(&[
            match (item.absent, item.ok) {
                (true, _) => lang.pick("没有", "absent"),
                (false, true) => lang.pick("通过", "ok   "),
                (false, false) => lang.pick("不符", "FAULT"),
            },
            lang.pick(&words.zh, &words.en),
            item.file.as_deref().unwrap_or("–"),
            &item.detail,
        ]);
    }
    if let Some(facts) = &report.facts {
        line(&[]);
        let missing = match facts.steps_missing.as_slice() {
            [] => "–".to_owned(),
            missing => missing.join(", "),
        };
        for (zh, en, value) in [
            ("会话", "session", facts.session.to_string()),
            ("签名者", "signer", facts.signer.clone()),
            (
                "封存于(毫秒)",
                "sealed at (ms)",
                facts.sealed_at.0.to_string(),
            ),
            ("时长(毫秒)", "length (ms)", facts.duration_ms.to_string()),
            ("轨道", "tracks", facts.tracks.to_string()),
            ("文件", "files", facts.files.to_string()),
            ("声明的缺口", "declared gaps", facts.gaps.to_string()),
            ("未完成的必做步骤", "required steps missing", missing),
            ("默克尔根", "Merkle root", facts.root.to_string()),
            (
                "根证书指纹",
                "root fingerprint",
                facts.root_fingerprint.to_string(),
            ),
        ] {
            line(&[lang.pick(zh, en), &value]);
        }
        if !facts.root_expected {
            line(&[lang.pick(
                "注意:未用 --root 指定信任的根证书,请当面核对上面的根证书指纹",
                "note: no --root was given that fits; compare the root fingerprint above with its owner",
            )]);
        }
    }
    line(&[]);
    let faults = report.faults().count().to_string();
    match (report.ok, report.complete) {
        (true, true) => line(&[lang.pick("校验通过", "verified")]),
        (true, false) => line(&[lang.pick(
            "校验通过;上列“没有”的要点缺失",
            "verified; the points above that are absent are missing",
        )]),
        (false, _) => line(&[
            lang.pick("校验不通过,不符项", "NOT verified, faults"),
            &faults,
        ]),
    }
    text
}
