//! `recordings placement` and `recordings scrub`: where the copies are, and whether they can be read.

use std::io::{IsTerminal as _, Write as _};

use guitai_types::{
    Date, SessionId, UnixMillis,
    retention::{CopyView, Found, Health, KeptView, Reading, Stage},
};
use reqwest::Method;
use serde_json::json;

use super::{CLERKS, Placement, Scrub, VIEWERS};
use crate::{Done, FINDINGS, Language, failure::Failure, show, staff, table::Table};

/// `recordings placement`; findings when whole copies are in too few centres.
pub(super) async fn placement(it: &Placement, lang: Language) -> Result<Done, Failure> {
    let door = staff::enter(&it.asked.access, VIEWERS).await?;
    let mut kept: Vec<KeptView> = match &it.session {
        Some(session) => vec![
            door.get(&format!("/api/v1/recordings/{session}/keeping"))
                .await?,
        ],
        None => door.get("/api/v1/recordings/kept?state=kept").await?,
    };
    if it.short {
        kept.retain(is_short);
    }
    let text = if it.asked.output.json {
        show::json(&kept)?
    } else {
        placement_table(&kept, lang).render()
    };
    let exit = if kept.iter().any(is_short) {
        FINDINGS
    } else {
        0
    };
    Ok(Done { text, exit })
}

/// Whether whole copies are in too few centres.
fn is_short(kept: &KeptView) -> bool {
    kept.stage == Stage::Kept && kept.centres.len() < kept.centres_wanted as usize
}

fn placement_table(kept: &[KeptView], lang: Language) -> Table {
    let mut table = Table::new(match lang {
        Language::Zh => [
            "会话",
            "中心",
            "节点",
            "副本",
            "上次通读",
            "完好副本所在中心",
            "对象存储",
        ],
        Language::En => [
            "session",
            "centre",
            "node",
            "copy",
            "last read",
            "centres with a whole one",
            "object store",
        ],
    });
    for it in kept {
        let (there, wanted) = (it.centres.len(), it.centres_wanted);
        for copy in &it.copies {
            table.row([
                it.session.to_string(),
                copy.centre
                    .as_ref()
                    .map_or_else(|| "-".to_owned(), ToString::to_string),
                copy.node.to_string(),
                health(copy, lang),
                copy.read_at
                    .map_or_else(|| "-".to_owned(), |at| show::when(at.0)),
                format!("{there}/{wanted}"),
                in_sink(copy, lang),
            ]);
        }
    }
    table
}

/// What a node has in the sink, and how it is locked.
fn in_sink(copy: &CopyView, lang: Language) -> String {
    let Some(sink) = &copy.sink else {
        return "-".to_owned();
    };
    let mut text = match lang {
        Language::Zh => format!("{} 个文件", sink.files),
        Language::En => format!("{} files", sink.files),
    };
    if let Some(until) = sink.until {
        let day = Date::of(UnixMillis(until.0.saturating_sub(1)));
        text += &match lang {
            Language::Zh => format!(",锁定至 {day}"),
            Language::En => format!(", locked until {day}"),
        };
    }
    if sink.held {
        text += lang.pick(",保全", ", held");
    }
    if copy.erased_at.is_some() {
        text += lang.pick(",待删除", ", to be deleted");
    }
    text
}

fn health(copy: &CopyView, lang: Language) -> String {
    match &copy.health {
        _ if copy.erased_at.is_some() => lang.pick("已销毁", "erased").to_owned(),
        Health::Unsealed => lang.pick("未封存", "not sealed").to_owned(),
        Health::Whole => lang.pick("完好", "whole").to_owned(),
        Health::Damaged { what, .. } => format!("{}: {what}", lang.pick("损坏", "damaged")),
        Health::Ordered { from, .. } => match lang {
            Language::Zh => format!("正从 {from} 补副本"),
            Language::En => format!("getting a replica from {from}"),
        },
        Health::Replica { from, .. } => match lang {
            Language::Zh => format!("{from} 的副本,完好"),
            Language::En => format!("replica of {from}, whole"),
        },
    }
}

/// `recordings scrub`; findings when a copy is damaged, or a node was not reached.
pub(super) async fn scrub(it: &Scrub, lang: Language) -> Result<Done, Failure> {
    let door = staff::enter(&it.asked.access, CLERKS).await?;
    let sessions: Vec<SessionId> = match &it.session {
        Some(session) => vec![session.clone()],
        None => {
            let kept: Vec<KeptView> = door.get("/api/v1/recordings/kept?state=kept").await?;
            kept.into_iter().map(|it| it.session).collect()
        }
    };
    let all = sessions.len();
    let mut read: Vec<(SessionId, Vec<Reading>)> = Vec::new();
    for (number, session) in (1..).zip(sessions) {
        let path = format!("/api/v1/recordings/{session}/scrub");
        let readings = door.send(Method::POST, &path, &json!({})).await?;
        read.push((session, readings));
        progress(number, all);
    }
    let mut readings = read.iter().flat_map(|(_, readings)| readings);
    let is_clean = readings.all(|reading| reading.found == Found::Whole);
    let text = if it.asked.output.json {
        let entry = |(session, readings): &(SessionId, Vec<Reading>)| json!({ "session": session, "copies": readings });
        show::json(&read.iter().map(entry).collect::<Vec<_>>())?
    } else {
        scrub_table(&read, lang).render()
    };
    let exit = if is_clean { 0 } else { FINDINGS };
    Ok(Done { text, exit })
}

/// How far it is, where somebody looks.
fn progress(number: usize, all: usize) {
    let mut to = std::io::stderr();
    if all > 1 && to.is_terminal() {
        let end = if number == all { "\n" } else { "" };
        // A terminal that is gone has nobody to tell.
        let _told = write!(to, "\r{number}/{all} {} %{end}", number * 100 / all);
        let _flushed = to.flush();
    }
}

fn scrub_table(read: &[(SessionId, Vec<Reading>)], lang: Language) -> Table {
    let mut table = Table::new(match lang {
        Language::Zh => ["会话", "节点", "通读字节", "用时", "结果"],
        Language::En => ["session", "node", "bytes read", "took", "found"],
    });
    for (session, readings) in read {
        for Reading {
            node,
            bytes,
            took_ms,
            found,
        } in readings
        {
            let found = match found {
                Found::Whole => lang.pick("完好", "whole").to_owned(),
                Found::Damaged { what } => format!("{}: {what}", lang.pick("损坏", "damaged")),
                Found::Unreached { why } => {
                    format!("{}: {why}", lang.pick("不可达", "not reached"))
                }
            };
            table.row([
                session.to_string(),
                node.to_string(),
                bytes.to_string(),
                format!("{took_ms} ms"),
                found,
            ]);
        }
    }
    table
}
