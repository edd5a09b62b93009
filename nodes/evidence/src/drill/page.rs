//! The report as a page that can be printed: one HTML file without script or anything fetched.

use std::fmt::Write as _;

use guitai_types::{
    UnixMillis,
    dr::{Histogram, LaneReport, Run, RunState, Service},
    place::Text,
};
use time::{OffsetDateTime, macros::format_description};

use super::Statement;

/// Width of the drawings in user units.
const WIDE: u64 = 900;
const STYLE: &str = include_str!("page.css");

/// The page of a statement, both languages beside each other.
pub fn page(statement: &Statement, verified: &super::Verified) -> String {
    let run = &statement.run;
    let mut body = String::new();
    head(&mut body, statement);
    verdict(&mut body, run);
    section(&mut body, "核验", "Verification");
    let rows = verified.findings.iter().map(|finding| {
        let mark = if finding.ok { "✓" } else { "✗" };
        vec![
            mark.to_owned(),
            finding.check.to_owned(),
            finding.detail.clone(),
        ]
    });
    table(&mut body, &["", "项目 check", "结果 found"], rows);
    section(&mut body, "时间线", "Timeline");
    timeline(&mut body, run);
    let rows = run.journal.iter().map(|line| {
        vec![
            clock(line.at),
            line.step.clone().unwrap_or_default(),
            line.what.clone(),
            line.note.clone(),
        ]
    });
    table(
        &mut body,
        &["时间 at", "步骤 step", "事件 what", "说明 note"],
        rows,
    );
    section(&mut body, "计划", "Plan");
    let rows = run.plan.steps.iter().map(|step| {
        vec![
            step.id.clone(),
            both(&step.title),
            both(&step.precondition),
            both(&step.rollback),
        ]
    });
    table(
        &mut body,
        &["步骤 step", "做什么 what", "前提 needs", "回退 undone by"],
        rows,
    );
    section(&mut body, "余量", "Margins");
    let rows = run.plan.checks.iter().map(|check| {
        let mark = if check.ok { "✓" } else { "✗" };
        vec![
            mark.to_owned(),
            both(&check.title),
            check.found.clone(),
            check.need.clone(),
        ]
    });
    table(
        &mut body,
        &["", "余量 margin", "现状 found", "要求 needed"],
        rows,
    );
    section(&mut body, "探针", "Probes");
    services(&mut body, run);
    for lane in &run.lanes {
        histogram(&mut body, lane);
    }
    section(&mut body, "批准", "Approvals");
    let rows = run.approvals.iter().map(|approval| {
        let off = approval.off_since.map(clock).unwrap_or_default();
        vec![
            approval.officer.to_string(),
            clock(approval.at),
            off,
            approval.key.to_string(),
        ]
    });
    let columns = ["授权人 officer", "时间 at", "失联自 off since", "公钥 key"];
    table(&mut body, &columns, rows);
    section(&mut body, "条款", "Clauses");
    let rows = statement.clauses.iter().map(|clause| {
        let checked = if clause.checked {
            "已核对 checked"
        } else {
            "未与原文核对 not checked against the text"
        };
        vec![
            format!("{} {}", clause.document, clause.clause),
            both(&clause.asks),
            both(&clause.answer),
            checked.to_owned(),
        ]
    });
    let columns = ["文件 document", "要求 asks", "本报告 answer", ""];
    table(&mut body, &columns, rows);
    format!(
        "<!doctype html>\n<html lang=\"zh-CN\"><head><meta charset=\"utf-8\">\
         <title>灾备报告 {id}</title><style>{STYLE}</style></head><body>{body}</body></html>\n",
        id = run.id
    )
}

fn head(out: &mut String, statement: &Statement) {
    let run = &statement.run;
    let title = format!("灾备报告 · Disaster recovery report · {}", run.id);
    push(out, "h1", &title);
    let binary = run.plan.binary.to_string();
    let control = statement.control_at.map_or_else(
        || "从未 never".to_owned(),
        |at| format!("{} UTC", clock(at)),
    );
    let rows = [
        ("集群 cluster", run.plan.cluster.to_string()),
        ("纪元 epoch", run.plan.epoch.0.to_string()),
        ("方式 kind", run.kind.to_string()),
        ("场景 aim", aim(run)),
        ("提出 by", format!("{} {} UTC", run.by, clock(run.at))),
        (
            "出具 made by",
            format!("{} {} UTC", statement.made_by, clock(statement.made_at)),
        ),
        ("版本 release", statement.version.clone()),
        ("程序 SM3 binary", binary),
        ("计划 SM3 plan", run.plan_hash.to_string()),
        ("最近负向检验 last control", control),
    ];
    let rows = rows.map(|(word, said)| vec![word.to_owned(), said]);
    table(out, &[], rows);
}

fn aim(run: &Run) -> String {
    // Its JSON is short and has one meaning.
    serde_json::to_string(&run.plan.aim).unwrap_or_default()
}

fn verdict(out: &mut String, run: &Run) {
    let Some(verdict) = &run.verdict else {
        let why = match &run.state {
            RunState::Aborted { why } => why.as_str(),
            _ => "",
        };
        let said = format!("未判定 not judged {why}");
        return push(out, "p class=red", &said);
    };
    let (class, word) = if verdict.green {
        ("p class=green", "绿 GREEN")
    } else {
        ("p class=red", "红 RED")
    };
    let said = format!(
        "{word} · RPO {} / {} · {}",
        verdict.lost,
        verdict.acked,
        verdict
            .rto_ms
            .iter()
            .map(|(service, ms)| format!("RTO {service} {ms} ms"))
            .collect::<Vec<_>>()
            .join(" · ")
    );
    push(out, class, &said);
    if !verdict.lost_first.is_empty() {
        let said = format!("丢失 lost: {}", verdict.lost_first.join(" "));
        push(out, "p", &said);
    }
}

/// Steps as bars, and under them the longest gap of each lane.
fn timeline(out: &mut String, run: &Run) {
    let Some((first, last)) = run.journal.first().zip(run.journal.last()) else {
        return;
    };
    let (begin, span) = (first.at, last.at.since(first.at).max(1));
    let x = |at: UnixMillis| at.since(begin) * WIDE / span;
    let begun = run.journal.iter().filter(|line| line.what == "begun");
    let bars: Vec<_> = begun
        .filter_map(|line| {
            let step = line.step.as_deref()?;
            let mut after = run.journal.iter().filter(|other| {
                other.step.as_deref() == Some(step) && other.what != "begun" && other.at >= line.at
            });
            let end = after.next().map_or(last.at, |other| other.at);
            Some((step, x(line.at), x(end)))
        })
        .collect();
    let high = 22 * (bars.len() + run.lanes.len()) + 8;
    // Writing to a string does not fail.
    let _ = write!(out, "<svg viewBox=\"0 0 {} {high}\">", WIDE + 200);
    let mut y = 4;
    for (step, from, to) in bars {
        bar(out, "step", y, from, to, step);
        y += 22;
    }
    for lane in &run.lanes {
        let until = lane.gap_from.plus(lane.gap_ms);
        let said = format!("{} {} ms", lane.lane, lane.gap_ms);
        bar(out, "gap", y, x(lane.gap_from), x(until), &said);
        y += 22;
    }
    out.push_str("</svg>");
}

fn bar(out: &mut String, class: &str, y: usize, from: u64, to: u64, said: &str) {
    let wide = to.saturating_sub(from).max(2);
    let said = escape(said);
    let _ = write!(
        out,
        "<rect class=\"{class}\" x=\"{from}\" y=\"{y}\" width=\"{wide}\" height=\"14\"/>\
         <text x=\"{}\" y=\"{}\">{said}</text>",
        from + wide + 6,
        y + 12
    );
}

/// Per service: what was expected, and the longest gap of a prober that was not held apart.
fn services(out: &mut String, run: &Run) {
    let expected = &run.plan.expected.services;
    let measured = run.verdict.as_ref().map(|verdict| &verdict.rto_ms);
    let rows = Service::ALL.into_iter().filter_map(|service| {
        let asked = run.lanes.iter().find(|it| it.lane.service == service)?;
        let ms = |ms: Option<u64>| ms.map_or_else(|| "-".to_owned(), |ms| format!("{ms} ms"));
        let expected = expected.get(&service);
        Some(vec![
            service.to_string(),
            format!("{} ms", asked.cadence_ms),
            ms(expected.map(|it| it.p50_ms)),
            ms(expected.map(|it| it.p99_ms)),
            ms(measured.and_then(|it| it.get(&service).copied())),
        ])
    });
    let columns = [
        "服务 service",
        "每 every",
        "预计中位 expected p50",
        "预计 p99",
        "实测 RTO measured",
    ];
    table(out, &columns, rows);
}

fn histogram(out: &mut String, lane: &LaneReport) {
    let said = format!(
        "{} · 每 {} ms · {} 发出 sent · {} 确认 acked · 最长中断 longest gap {} ms",
        lane.lane, lane.cadence_ms, lane.sent, lane.acked, lane.gap_ms
    );
    push(out, "h3", &said);
    let most = lane
        .latency
        .counts
        .iter()
        .copied()
        .max()
        .unwrap_or(0)
        .max(1);
    let _ = write!(out, "<svg viewBox=\"0 0 {WIDE} 90\">");
    for (at, count) in lane.latency.counts.iter().enumerate() {
        let x = at as u64 * 68;
        let high = count * 60 / most;
        let bound = Histogram::BOUNDS_MS
            .get(at)
            .map_or_else(|| "more".to_owned(), |bound| format!("≤{bound} ms"));
        let _ = write!(
            out,
            "<rect class=\"bin\" x=\"{x}\" y=\"{}\" width=\"60\" height=\"{high}\"/>\
             <text x=\"{x}\" y=\"86\">{bound}</text>",
            72 - high
        );
        if *count > 0 {
            let _ = write!(out, "<text x=\"{x}\" y=\"{}\">{count}</text>", 68 - high);
        }
    }
    out.push_str("</svg>");
}

fn section(out: &mut String, zh: &str, en: &str) {
    push(out, "h2", &format!("{zh} · {en}"));
}

fn table(out: &mut String, head: &[&str], rows: impl IntoIterator<Item = Vec<String>>) {
    out.push_str("<table>");
    if !head.is_empty() {
        out.push_str("<tr>");
        head.iter().for_each(|cell| push(out, "th", cell));
        out.push_str("</tr>");
    }
    for row in rows {
        out.push_str("<tr>");
        row.iter().for_each(|cell| push(out, "td", cell));
        out.push_str("</tr>");
    }
    out.push_str("</table>");
}

/// An element; what stands in it was written by people and nodes, and is escaped.
fn push(out: &mut String, tag: &str, said: &str) {
    let name = tag.split(' ').next().unwrap_or(tag);
    let _ = write!(out, "<{tag}>{}</{name}>", escape(said));
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}

fn both(text: &Text) -> String {
    format!("{} / {}", text.zh, text.en)
}

fn clock(at: UnixMillis) -> String {
    let format =
        format_description!("[year]-[month]-[day] [hour]:[minute]:[second].[subsecond digits:3]");
    let nanos = i128::from(at.0) * 1_000_000;
    let time = OffsetDateTime::from_unix_timestamp_nanos(nanos).ok();
    let written = time.and_then(|time| time.format(&format).ok());
    written.unwrap_or_else(|| at.to_string())
}
