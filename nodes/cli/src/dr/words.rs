//! Plans and runs as people read them.

use guitai_types::dr::{
    Aim, Expected, Histogram, JournalLine, Kind, Plan, Rpo, Run, RunState, Verdict,
};
use guitai_types::view::RunView;

use crate::{Language, show::when, table::Table};

/// A plan: margins, steps, expectation.
pub(crate) fn plan(plan: &Plan, lang: Language) -> String {
    let mut text = format!("{}\n\n", aim(&plan.aim, lang));
    let mut checks = Table::new(match lang {
        Language::Zh => ["余量", "结果", "现状", "要求"],
        Language::En => ["margin", "", "found", "needed"],
    });
    for check in &plan.checks {
        let mark = if check.ok {
            lang.pick("通过", "ok")
        } else {
            lang.pick("不足", "MISSING")
        };
        checks.row([
            lang.of(&check.title).to_owned(),
            mark.to_owned(),
            check.found.clone(),
            check.need.clone(),
        ]);
    }
    text.push_str(&checks.render());
    text.push('\n');
    for (at, step) in plan.steps.iter().enumerate() {
        let never = if step.irreversible {
            lang.pick(
                "(不可回退,之前可中止)",
                " (cannot be undone; abort point before)",
            )
        } else {
            ""
        };
        text.push_str(&format!("{}. {}{never}\n", at + 1, lang.of(&step.title)));
        let rows = [
            (lang.pick("前提", "needs"), &step.precondition),
            (lang.pick("效果", "does"), &step.effect),
            (lang.pick("回退", "undone by"), &step.rollback),
        ];
        for (word, said) in rows {
            text.push_str(&format!("   {word}: {}\n", lang.of(said)));
        }
    }
    text.push_str(&format!("\n{}\n", expected(&plan.expected, lang)));
    let missing = plan.missing().count();
    if missing > 0 {
        let said = lang.pick("余量不足,不能执行", "margins are missing; it cannot be run");
        text.push_str(&format!("{said} ({missing})\n"));
    }
    text
}

/// A run with its journal, measurements and verdict.
pub(crate) fn run(run: &Run, lang: Language) -> String {
    let mut text = format!(
        "{} {} · {} · {}\n",
        lang.pick("运行", "run"),
        run.id,
        kind(run.kind, lang),
        aim(&run.plan.aim, lang),
    );
    text.push_str(&format!("{}\n", state(&run.state, lang)));
    for approval in &run.approvals {
        let said = lang.pick("批准", "approved by");
        text.push_str(&format!(
            "{said} {} {}\n",
            approval.officer,
            when(approval.at.0)
        ));
    }
    text.push('\n');
    for line in &run.journal {
        text.push_str(&format!("{}\n", journal_line(line, lang)));
    }
    if !run.lanes.is_empty() {
        text.push('\n');
        text.push_str(&lanes(run, lang));
    }
    if let Some(verdict) = &run.verdict {
        text.push('\n');
        text.push_str(&judged(verdict, lang));
    }
    text
}

fn lanes(run: &Run, lang: Language) -> String {
    let mut table = Table::new(match lang {
        Language::Zh => ["探针", "每", "发出", "确认", "最长中断", "中位", "p99"],
        Language::En => [
            "probe",
            "every",
            "sent",
            "acked",
            "longest gap",
            "median",
            "p99",
        ],
    });
    for lane in &run.lanes {
        table.row([
            lane.lane.to_string(),
            format!("{} ms", lane.cadence_ms),
            lane.sent.to_string(),
            lane.acked.to_string(),
            format!("{} ms", lane.gap_ms),
            at_most(&lane.latency, 50),
            at_most(&lane.latency, 99),
        ]);
    }
    table.render()
}

/// The bound under which so many of a hundred answers came.
fn at_most(histogram: &Histogram, percent: u64) -> String {
    let all: u64 = histogram.counts.iter().sum();
    if all == 0 {
        return "-".to_owned();
    }
    let mut seen = 0;
    for (count, bound) in histogram.counts.iter().zip(Histogram::BOUNDS_MS) {
        seen += count;
        if seen * 100 >= all * percent {
            return format!("≤ {bound} ms");
        }
    }
    format!("> {} ms", Histogram::BOUNDS_MS.last().copied().unwrap_or(0))
}

fn judged(verdict: &Verdict, lang: Language) -> String {
    let colour = if verdict.green {
        lang.pick("绿", "GREEN")
    } else {
        lang.pick("红", "RED")
    };
    let mut text = format!(
        "{} {colour} · RPO {} {} / {} {}\n",
        lang.pick("结论", "verdict"),
        verdict.lost,
        lang.pick("条丢失", "lost"),
        verdict.acked,
        lang.pick("条已确认", "acknowledged"),
    );
    for (service, ms) in &verdict.rto_ms {
        text.push_str(&format!("  RTO {service:<9} {ms} ms\n"));
    }
    if !verdict.lost_first.is_empty() {
        let said = lang.pick("丢失", "lost");
        text.push_str(&format!("  {said}: {}\n", verdict.lost_first.join(" ")));
    }
    text
}

/// All runs, the newest first.
pub(crate) fn history(runs: &[RunView], lang: Language) -> String {
    let mut table = Table::new(match lang {
        Language::Zh => ["编号", "时间", "方式", "场景", "提出人", "状态", "结论"],
        Language::En => ["run", "at", "kind", "aim", "by", "state", "verdict"],
    });
    for run in runs {
        let verdict = match &run.verdict {
            None => "-".to_owned(),
            Some(verdict) => {
                let colour = if verdict.green { "green" } else { "RED" };
                let control = if run.inject_loss {
                    lang.pick("(负向检验)", " (control)")
                } else {
                    ""
                };
                format!("{colour}{control}")
            }
        };
        table.row([
            run.id.to_string(),
            when(run.at.0),
            kind(run.kind, lang).to_owned(),
            aim(&run.aim, lang),
            run.by.to_string(),
            state(&run.state, lang),
            verdict,
        ]);
    }
    table.render()
}

/// One line of what happened.
pub(crate) fn journal_line(line: &JournalLine, lang: Language) -> String {
    let what = match line.what.as_str() {
        "proposed" => lang.pick("提出", "proposed"),
        "approved" => lang.pick("批准", "approved"),
        "begun" => lang.pick("开始", "begun"),
        "done" => lang.pick("完成", "done"),
        "failed" => lang.pick("失败", "failed"),
        "undone" => lang.pick("已回退", "undone"),
        "abort" => lang.pick("中止", "abort"),
        "abort-point" => lang.pick("可中止点", "abort point"),
        "measured" => lang.pick("已测量", "measured"),
        "judged" => lang.pick("判定", "judged"),
        other => other,
    };
    let step = line.step.as_deref().unwrap_or("");
    let text = format!("{} {what} {step} {}", when(line.at.0), line.note);
    text.trim_end().to_owned()
}

/// What to do now that it was proposed.
pub(crate) fn waits_for_officers(run: &Run, lang: Language) -> String {
    let said = lang.pick(
        "等待两名授权人批准,各执行一次",
        "waiting for two officers, each of whom runs",
    );
    format!("{said}: guitai dr approve {} --key FILE", run.id)
}

fn aim(aim: &Aim, lang: Language) -> String {
    match aim {
        Aim::Node { node, hold_ms } => format!(
            "{} {node}, {hold_ms} ms",
            lang.pick("隔离节点", "hold apart node")
        ),
        Aim::Centre { centre, hold_ms } => format!(
            "{} {centre}, {hold_ms} ms",
            lang.pick("隔离中心", "hold apart centre")
        ),
        Aim::Link {
            from,
            to,
            one_way,
            hold_ms,
        } => {
            let arrow = if *one_way { "→" } else { "—" };
            let said = lang.pick("切断链路", "cut link");
            format!("{said} {from}{arrow}{to}, {hold_ms} ms")
        }
        Aim::City { lost, on } => {
            let (lost_word, on_word) = match lang {
                Language::Zh => ("城市失联", "接管节点"),
                Language::En => ("city lost", "taken over by"),
            };
            format!("{lost_word} {lost}, {on_word} {on}")
        }
        Aim::Switch { to } => format!("{} {to}", lang.pick("切换至", "switch to")),
    }
}

fn kind(kind: Kind, lang: Language) -> &'static str {
    match kind {
        Kind::Rehearsal => lang.pick("预演", "rehearsal"),
        Kind::Real => lang.pick("正式", "real"),
    }
}

fn state(state: &RunState, lang: Language) -> String {
    match state {
        RunState::Proposed => lang.pick("等待批准", "waits for approvals").to_owned(),
        RunState::Running { step, .. } => {
            format!("{} {}", lang.pick("执行步骤", "at step"), step + 1)
        }
        RunState::AbortPoint { step, .. } => format!(
            "{} {}",
            lang.pick("可中止点,其后为步骤", "abort point before step"),
            step + 1
        ),
        RunState::Undoing { step, why } => format!(
            "{} {} ({why})",
            lang.pick("回退步骤", "undoing step"),
            step + 1
        ),
        RunState::Aborted { why } => format!("{} ({why})", lang.pick("已中止", "aborted")),
        RunState::Done => lang.pick("完成", "done").to_owned(),
    }
}

fn expected(expected: &Expected, lang: Language) -> String {
    let rpo = match expected.rpo {
        Rpo::Zero => "0".to_owned(),
        Rpo::SyncZero => lang.pick("同步类写入 0", "0 of the sync class").to_owned(),
        Rpo::Unproven => lang.pick("无法证明", "not proven").to_owned(),
    };
    let mut text = format!(
        "{} RTO {} ms (p99 {} ms), RPO {rpo}",
        lang.pick("预计", "expected"),
        expected.rto_ms_p50,
        expected.rto_ms_p99
    );
    for (service, gap) in &expected.services {
        let cadence = service.cadence_ms();
        text.push_str(&format!(
            "\n  {service:<9} {} ms (p99 {} ms) · {} {cadence} ms",
            gap.p50_ms,
            gap.p99_ms,
            lang.pick("探针每", "asked every"),
        ));
    }
    text
}
