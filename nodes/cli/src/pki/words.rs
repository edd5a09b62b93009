//! What `guitai pki` prints.

use std::path::Path;

use guitai_crypto::x509::Crl;
use guitai_types::{Hex, place::Text};
use serde_json::{Value, json};

use super::{
    PkiError,
    directory::{DAY_S, Directory},
    index::{AuthorityState, Entry, Pending, State},
    journal::{Act, Record},
};
use crate::{Language, show::when, table::Table};

/// An entry in JSON.
pub(super) fn view(entry: &Entry, now: u64) -> Value {
    let mut view = json!(entry);
    view["status"] = json!(status(entry, now).0);
    view["days_left"] = json!(days_left(entry, now));
    view
}

/// A revocation list in JSON.
pub(super) fn crl_view(crl: &Crl) -> Value {
    let revoked = crl.entries().iter().map(|(serial, entry)| {
        let serial = Hex(serial.clone()).to_string();
        json!({ "serial": serial, "at": entry.at_unix, "reason": entry.reason.as_str() })
    });
    json!({
        "issuer": crl.issuer_text(),
        "number": crl.number().to_string(),
        "this_update": crl.this_update(),
        "next_update": crl.next_update(),
        "revoked": revoked.collect::<Vec<_>>(),
    })
}

/// How a certificate stands now: its word in JSON, Chinese and English.
fn status(entry: &Entry, now: u64) -> (&'static str, &'static str, &'static str) {
    match entry.state {
        State::Revoked { .. } => ("revoked", "已吊销", "revoked"),
        _ if now > entry.not_after => ("expired", "已过期", "expired"),
        _ if now < entry.not_before => ("not-yet-valid", "未生效", "not valid yet"),
        State::Superseded => ("superseded", "已换发", "superseded"),
        State::Current => ("current", "有效", "current"),
    }
}

fn days_left(entry: &Entry, now: u64) -> u64 {
    entry.not_after.saturating_sub(now) / DAY_S
}

pub(super) fn table(entries: &[Entry], lang: Language, now: u64) -> String {
    let mut table = Table::new(match lang {
        Language::Zh => ["名称", "用途", "状态", "到期", "剩余天数", "序列号"],
        Language::En => ["name", "kind", "state", "ends", "days left", "serial"],
    });
    for entry in entries {
        let (_, zh, en) = status(entry, now);
        table.row([
            entry.name.clone(),
            entry.kind.as_str().to_owned(),
            lang.pick(zh, en).to_owned(),
            when(entry.not_after * 1000),
            days_left(entry, now).to_string(),
            entry.serial.to_string(),
        ]);
    }
    table.render()
}

pub(super) fn listing(
    directory: &Directory,
    crl: Option<&Crl>,
    lang: Language,
    now: u64,
) -> String {
    let mut text = table(directory.entries(), lang, now);
    if !directory.requests().is_empty() {
        let mut waiting = Table::new(match lang {
            Language::Zh => ["待导入的申请", "用途", "申请于"],
            Language::En => ["request waiting", "kind", "made at"],
        });
        for Pending {
            name,
            kind,
            made_at,
            ..
        } in directory.requests()
        {
            waiting.row([name.clone(), kind.as_str().to_owned(), when(made_at * 1000)]);
        }
        text.push('\n');
        text += &waiting.render();
    }
    text.push('\n');
    text += match directory.authority_state() {
        AuthorityState::None => lang.pick("本目录无 CA\n", "no authority here\n"),
        AuthorityState::Requested => lang.pick(
            "CA 申请待导入\n",
            "the authority's request waits for its answer\n",
        ),
        AuthorityState::Active => "",
    };
    if let Some(crl) = crl {
        let (number, revoked) = (crl.number(), crl.entries().len());
        let next = when(crl.next_update() * 1000);
        text += &match lang {
            Language::Zh => {
                format!("吊销列表第 {number} 号:已吊销 {revoked} 张,下次更新 {next}\n")
            }
            Language::En => {
                format!("revocation list {number}: {revoked} revoked, next update {next}\n")
            }
        };
    }
    text
}

pub(super) fn journal(records: &[Record], lang: Language) -> String {
    let mut table = Table::new(match lang {
        Language::Zh => ["序号", "时间", "操作", "名称", "序列号", "说明"],
        Language::En => ["no", "time", "act", "name", "serial", "detail"],
    });
    for record in records {
        let act = match record.act {
            Act::Founded => lang.pick("建立", "founded"),
            Act::Requested => lang.pick("申请", "requested"),
            Act::Imported => lang.pick("导入", "imported"),
            Act::Issued => lang.pick("签发", "issued"),
            Act::Rotated => lang.pick("换发", "rotated"),
            Act::Revoked => lang.pick("吊销", "revoked"),
        };
        table.row([
            record.seq.to_string(),
            when(record.at * 1000),
            act.to_owned(),
            record.name.clone(),
            record.serial.clone(),
            record.detail.clone(),
        ]);
    }
    let sound = lang.pick("日志链完整\n", "the journal's chain is whole\n");
    table.render() + "\n" + sound
}

pub(super) fn initialised(dir: &Path, request: Option<&str>, lang: Language) -> String {
    let dir = dir.display();
    match (request, lang) {
        (None, Language::Zh) => format!("已建立 {dir}\n"),
        (None, Language::En) => format!("made {dir}\n"),
        (Some(pem), Language::Zh) => {
            format!(
                "{pem}\n请行内 CA 签发后执行 guitai pki import ca 证书链 --root 根证书 --dir {dir}\n"
            )
        }
        (Some(pem), Language::En) => {
            format!(
                "{pem}\nlet the bank's CA sign it, then: guitai pki import ca CHAIN --root ROOT --dir {dir}\n"
            )
        }
    }
}

pub(super) fn requested(name: &str, request: &str, lang: Language) -> String {
    match lang {
        Language::Zh => format!("{request}\n签发后执行 guitai pki import {name} 证书链\n"),
        Language::En => format!("{request}\nwhen it is signed: guitai pki import {name} CHAIN\n"),
    }
}

/// Cause and next step of an error that is not this machine's.
pub(super) fn advice(error: &PkiError) -> (Text, Text) {
    let (cause, next) = match error {
        PkiError::NotThere(_) => (
            ("该目录中没有证书目录", "There is no PKI in this directory"),
            (
                "核对 --dir,或先执行 guitai pki init",
                "Check --dir, or make one with guitai pki init",
            ),
        ),
        PkiError::NoPassphrase { .. } => (
            (
                "CA 私钥由口令封存,口令文件不在",
                "The authority's key is sealed by a passphrase, and its file is not there",
            ),
            (
                "写一个 600 权限的口令文件,用 --passphrase-file 或 GUITAI_PKI_PASSPHRASE_FILE 指明",
                "Write the passphrase to a file of mode 600 and name it with --passphrase-file or \
                 GUITAI_PKI_PASSPHRASE_FILE",
            ),
        ),
        PkiError::Keys(_) => (
            ("CA 私钥打不开", "The authority's key does not open"),
            (
                "核对口令;口令遗失则从备份恢复目录与口令",
                "Check the passphrase; if it is lost, restore directory and passphrase from backup",
            ),
        ),
        PkiError::Exists(_) | PkiError::Known(_) => (
            ("已经存在", "It is there already"),
            (
                "换一个名称,或用 rotate 换发",
                "Take another name, or replace it with rotate",
            ),
        ),
        PkiError::Unknown(_) => (
            (
                "没有这个名称或序列号",
                "There is no such name or serial number",
            ),
            ("用 guitai pki list 查看", "See guitai pki list"),
        ),
        PkiError::Foreign(_) | PkiError::KeyElsewhere(_) | PkiError::NoAuthority(_) => (
            (
                "此证书不由本目录签发或保管",
                "This directory did not issue it, or does not hold its key",
            ),
            ("向签发它的 CA 申请", "Ask the authority that issued it"),
        ),
        PkiError::Revoked(_) => (
            ("已经吊销", "It is revoked already"),
            (
                "如需新证书,用 rotate 换发",
                "For a new certificate use rotate",
            ),
        ),
        PkiError::NoRoot | PkiError::OtherRoot => (
            (
                "信任的根证书未给出或不一致",
                "The root to trust is missing or another one",
            ),
            (
                "用 --root 给出当面核对过的根证书",
                "Name the root, compared with its owner, with --root",
            ),
        ),
        PkiError::Fit(_) | PkiError::Authority(_) | PkiError::Chain(_) | PkiError::Pem(_) => (
            (
                "证书与申请不符或不可信",
                "The certificate does not fit the request, or is not trusted",
            ),
            (
                "按细节请 CA 重新签发",
                "Let the authority sign again, as the detail says",
            ),
        ),
        PkiError::Request(_) => (
            ("证书申请无效", "The request is not valid"),
            ("请申请人重新生成", "Let its maker make it again"),
        ),
        _ => (
            ("参数不合要求", "An argument is not acceptable"),
            ("按细节修改后重试", "Act on the detail and try again"),
        ),
    };
    let text = |(zh, en): (&str, &str)| Text {
        zh: zh.to_owned(),
        en: en.to_owned(),
    };
    (text(cause), text(next))
}
