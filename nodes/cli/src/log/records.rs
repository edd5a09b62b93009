//! `log records`: what was entered, and what is behind it, in words.

use clap::Args;
use guitai_host::{Clock as _, SystemClock};
use guitai_types::{
    UnixMillis,
    custody::{CertificateUse, CustodyChange, HeldCertificate, HeldKey, HeldList},
    flows::FlowVersion,
    tlog::{EntryKind, Record},
};
use serde::{Deserialize, Serialize};

use super::online::READERS;
use crate::{Language, args::Asked, failure::Failure, show, staff, table::Table};

/// Milliseconds of a day.
const DAY_MS: u64 = 24 * 60 * 60 * 1000;

/// Arguments of `log records`.
#[derive(Debug, Args)]
pub struct Records {
    /// 只看此类条目,如 certificate、key、policy;默认除 recorder-root 外全部 / Entries of this kind only, for example certificate, key, policy; all but recorder-root unless given
    #[arg(long, value_parser = kind)]
    pub kind: Option<EntryKind>,
    /// 只看最近多少天 / Of the last so many days only
    #[arg(long)]
    pub days: Option<u64>,
    /// Which cluster, as whom, and how to show it.
    #[command(flatten)]
    pub asked: Asked,
}

fn kind(word: &str) -> Result<EntryKind, String> {
    let all = EntryKind::ALL;
    let found = all.into_iter().find(|kind| kind.as_str() == word);
    found.ok_or_else(|| format!("one of {}", all.map(EntryKind::as_str).join(", ")))
}

#[derive(Deserialize, Serialize)]
pub(crate) struct RecordView {
    pub(crate) index: u64,
    pub(crate) at: UnixMillis,
    pub(crate) kind: EntryKind,
    pub(crate) record: Record,
}

pub(super) async fn records(arguments: &Records, lang: Language) -> Result<String, Failure> {
    let door = staff::enter(&arguments.asked.access, READERS).await?;
    let kind = arguments.kind.map(|kind| format!("kind={}", kind.as_str()));
    let since = arguments.days.map(|days| {
        let now = SystemClock::new().wall();
        format!(
            "since={}",
            now.0.saturating_sub(days.saturating_mul(DAY_MS))
        )
    });
    let asked: Vec<String> = kind.into_iter().chain(since).collect();
    let path = format!("/api/v1/log/records?{}", asked.join("&"));
    let found: Vec<RecordView> = door.get(&path).await?;
    if arguments.asked.output.json {
        return show::json(&found);
    }
    let mut table = Table::new(match lang {
        Language::Zh => ["条目", "时间", "类别", "内容"],
        Language::En => ["entry", "at", "kind", "what"],
    });
    for view in &found {
        table.row([
            view.index.to_string(),
            show::when(view.at.0),
            view.kind.as_str().to_owned(),
            words(&view.record, lang),
        ]);
    }
    Ok(table.render())
}

/// One line on what is behind an entry. The whole record is in `--json`.
pub(crate) fn words(record: &Record, lang: Language) -> String {
    match record {
        Record::Trust { trust, .. } => {
            let witnesses = trust.witnesses.iter().map(|it| it.node.to_string());
            format!(
                "{} {}",
                lang.pick("见证人", "witnesses"),
                witnesses.collect::<Vec<_>>().join(" ")
            )
        }
        Record::RecordingSealed {
            session, summary, ..
        } => format!("{session} {}", summary.node),
        Record::RecorderRoot { root } => format!("{} {}", root.node, root.second),
        Record::Policy { .. } => lang.pick("策略已更改", "the policy changed").to_owned(),
        Record::Staff { account } => {
            let duties: Vec<String> = account.duties.iter().map(|it| format!("{it:?}")).collect();
            format!("{} {}", account.id, duties.join(" ").to_lowercase())
        }
        Record::Member { member } => format!("{} {}", member.name, member.centre),
        Record::Dr {
            run, what, note, ..
        } => format!("{run} {what} {note}"),
        Record::Epoch { epoch } => epoch.0.to_string(),
        Record::SyncMode { counter, mode } => {
            let word = serde_json::to_value(mode).ok();
            let word = word.as_ref().and_then(|mode| mode["is"].as_str());
            format!("{counter} {}", word.unwrap_or_default())
        }
        Record::Access { access } => {
            format!("{} {} {}", access.who, access.session, access.reason)
        }
        Record::Alarm { alarm } => alarm.witness.to_string(),
        Record::Retention { matrix, by } => {
            let by = by.as_ref().map(ToString::to_string).unwrap_or_default();
            format!("{} {by}", matrix.version)
        }
        Record::RecordingKept { session, by, .. } => format!("{session} {by}"),
        Record::RecordingCopy { session, node, .. } => format!("{session} {node}"),
        Record::RecordingErased { session, nodes, .. } => {
            let nodes: Vec<String> = nodes.iter().map(ToString::to_string).collect();
            format!("{session} {}", nodes.join(" "))
        }
        Record::Certificate {
            told,
            certificates,
            lists,
        } => [
            told.node.to_string(),
            change(certificates, certificate, lang),
            change(lists, list, lang),
        ]
        .join(" "),
        Record::Login { login } => format!("{} @ {} {:?}", login.who, login.door, login.outcome),
        Record::FlowLog { kept } => format!("minute {}", kept.minute),
        Record::FlowMatrix { step, version, by } => {
            let step = serde_json::to_value(step).ok();
            let step = step.as_ref().and_then(|step| step.as_str());
            let by = by.as_ref().map(ToString::to_string).unwrap_or_default();
            let FlowVersion { number, reason, .. } = version.as_ref();
            format!("{number} {} {by} {reason}", step.unwrap_or_default())
        }
        Record::Key { told, keys } => format!("{} {}", told.node, change(keys, key, lang)),
    }
}

fn change<T>(
    change: &CustodyChange<T>,
    word: fn(&T, Language) -> String,
    lang: Language,
) -> String {
    let side = |items: &[T], zh, en| {
        let items: Vec<String> = items.iter().map(|item| word(item, lang)).collect();
        (!items.is_empty()).then(|| format!("{} {}", lang.pick(zh, en), items.join(", ")))
    };
    let sides = [
        side(&change.taken, "启用", "taken"),
        side(&change.gone, "停用", "gone"),
    ];
    let sides: Vec<String> = sides.into_iter().flatten().collect();
    sides.join("; ")
}

fn certificate(held: &HeldCertificate, lang: Language) -> String {
    let usage = match held.usage {
        CertificateUse::Node => lang.pick("节点证书", "node certificate"),
        CertificateUse::Seal => lang.pick("签章证书", "seal"),
        CertificateUse::Tsa => lang.pick("时间戳证书", "time stamp certificate"),
    };
    format!("{usage} {}", held.serial)
}

fn list(held: &HeldList, lang: Language) -> String {
    format!(
        "{} {}",
        lang.pick("吊销列表", "revocation list"),
        held.number
    )
}

fn key(held: &HeldKey, _: Language) -> String {
    format!("{}/{} {}", held.purpose, held.generation, held.id)
}
