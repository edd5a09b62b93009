//! What nodes say that flowed: since each started, or in a stretch of time that the flow log has.

use clap::Args;
use guitai_host::{Clock as _, SystemClock};
use guitai_types::{
    NodeName, UnixMillis, Zone,
    flowlog::{FlowsKept, KEPT_DAYS_ASKED_MAX},
    observed::{FlowFinding, FlowStanding, FlowWay, FlowsSeen, NodeFlows, SeenFlow},
};
use serde_json::{Value, json};

use super::online::READERS;
use crate::{
    Done, Language,
    args::Asked,
    failure::{FINDINGS, Failure},
    http::Door,
    show, staff,
};

/// Where it is asked for.
const SEEN: &str = "/api/v1/flows/seen";
const KEPT: &str = "/api/v1/flows/kept";

/// Which stretch of time.
#[derive(Debug, Args)]
pub struct Span {
    /// 自多久以前起,取自逐分钟留存的流转日志:30d、24h、15m / From so long ago on, out of the flow log that is kept by the minute: 30d, 24h, 15m
    #[arg(long, value_name = "AGO", value_parser = ago)]
    pub since: Option<Ago>,
}

/// A time ago, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ago(u64);

/// Milliseconds of a minute, an hour, a day.
const UNITS: [(char, u64); 3] = [('m', 60_000), ('h', 3_600_000), ('d', 86_400_000)];

pub(crate) fn ago(text: &str) -> Result<Ago, String> {
    let how =
        || format!("{text:?} is no time: a number and m, h or d, at most {KEPT_DAYS_ASKED_MAX}d");
    let (unit, number) = UNITS
        .iter()
        .find_map(|(letter, unit)| Some((unit, text.strip_suffix(*letter)?)))
        .ok_or_else(how)?;
    let number: u64 = number.parse().map_err(|_| how())?;
    let millis = number.checked_mul(*unit).filter(|it| *it > 0);
    let days = |it: &u64| *it <= KEPT_DAYS_ASKED_MAX * UNITS[2].1;
    millis.filter(days).map(Ago).ok_or_else(how)
}

impl Ago {
    /// As it is typed.
    pub(crate) fn word(self) -> String {
        let fits = UNITS
            .iter()
            .rev()
            .find(|(_, unit)| self.0.is_multiple_of(*unit));
        fits.map_or_else(
            || format!("{}m", self.0 / UNITS[0].1),
            |(letter, unit)| format!("{}{letter}", self.0 / unit),
        )
    }

    /// In milliseconds.
    pub(crate) const fn millis(self) -> u64 {
        self.0
    }
}

impl Span {
    /// A number of days.
    pub(super) const fn days(days: u64) -> Self {
        let since = Some(Ago(days.saturating_mul(UNITS[2].1)));
        Self { since }
    }
}

/// The answer.
pub(super) enum Told {
    /// Since each node started.
    Now(FlowsSeen),
    /// Out of the flow log.
    Then(FlowsKept),
}

/// Asks the cluster.
pub(super) async fn ask(asked: &Asked, span: &Span) -> Result<Told, Failure> {
    let door = staff::enter(&asked.access, READERS).await?;
    ask_by(&door, span).await
}

pub(super) async fn ask_by(door: &Door, span: &Span) -> Result<Told, Failure> {
    match span.since {
        None => door.get(SEEN).await.map(Told::Now),
        Some(Ago(ago)) => {
            let to = SystemClock::new().wall();
            let from = to.0.saturating_sub(ago);
            let kept = door.get(&format!("{KEPT}?from={from}&to={to}")).await?;
            Ok(Told::Then(kept))
        }
    }
}

impl Told {
    pub(super) fn nodes(&self) -> &[NodeFlows] {
        match self {
            Self::Now(seen) => &seen.nodes,
            Self::Then(kept) => &kept.nodes,
        }
    }

    /// Leaves out all that is not about nodes like these.
    pub(super) fn of(mut self, is_wanted: impl Fn(&NodeFlows) -> bool) -> Self {
        let (nodes, findings, silent) = match &mut self {
            Self::Now(seen) => (&mut seen.nodes, &mut seen.findings, Some(&mut seen.silent)),
            Self::Then(kept) => (&mut kept.nodes, &mut kept.findings, None),
        };
        let others: Vec<NodeName> = nodes
            .iter()
            .filter(|node| !is_wanted(node))
            .map(|node| node.node.clone())
            .collect();
        nodes.retain(|node| !others.contains(&node.node));
        findings.retain(|it| !others.contains(&it.node));
        if let Some(silent) = silent {
            silent.retain(|it| !others.contains(it));
        }
        self
    }

    pub(super) fn findings(&self) -> &[FlowFinding] {
        match self {
            Self::Now(seen) => &seen.findings,
            Self::Then(kept) => &kept.findings,
        }
    }

    /// Leaves out findings that a question is not about.
    pub(super) fn about(mut self, is_about: impl Fn(&FlowFinding) -> bool) -> Self {
        match &mut self {
            Self::Now(seen) => seen.findings.retain(is_about),
            Self::Then(kept) => kept.findings.retain(is_about),
        }
        self
    }

    /// Whether a node is known, even as one that did not answer.
    pub(super) fn knows(&self, name: &NodeName) -> bool {
        let is_silent = match self {
            Self::Now(seen) => seen.silent.contains(name),
            Self::Then(_) => false,
        };
        is_silent || self.nodes().iter().any(|it| it.node == *name)
    }

    /// All of it.
    pub(super) fn json(&self) -> Result<String, Failure> {
        match self {
            Self::Now(seen) => show::json(seen),
            Self::Then(kept) => show::json(kept),
        }
    }

    /// What every answer says besides what was asked.
    pub(super) fn frame(&self) -> Value {
        match self {
            Self::Now(seen) => json!({
                "at": seen.at, "matrix": seen.matrix, "checkpoint": seen.checkpoint, "silent": seen.silent,
                "since": seen.nodes.iter().map(|node| node.since).max(), "findings": seen.findings,
            }),
            Self::Then(kept) => json!({
                "from": kept.from, "to": kept.to, "minutes": kept.minutes, "matrix": kept.matrix,
                "checkpoint": kept.checkpoint, "gaps": kept.gaps, "findings": kept.findings,
            }),
        }
    }

    /// The text, and that somebody has to look at it.
    pub(super) fn judged(&self, text: String) -> Done {
        let exit = if self.findings().is_empty() {
            0
        } else {
            FINDINGS
        };
        Done { text, exit }
    }

    /// Findings, and what the answer was made from.
    pub(super) fn closing(&self, lang: Language) -> String {
        let mut text = String::new();
        for finding in self.findings() {
            let what = lang.of(&finding.what);
            text.push_str(&format!("! {}: {what}\n", finding.node));
        }
        if self.findings().is_empty() {
            text.push_str(lang.pick("无须处理之事\n", "Nothing that somebody has to look at\n"));
        }
        let (matrix, checkpoint) = match self {
            Self::Now(seen) => {
                if let Some(since) = seen.nodes.iter().map(|node| node.since).max() {
                    let since = since.utc();
                    text.push_str(&match lang {
                        Language::Zh => format!("自各节点启动起,最晚 {since}\n"),
                        Language::En => format!("Since each node started, the latest at {since}\n"),
                    });
                }
                (&seen.matrix, &seen.checkpoint)
            }
            Self::Then(kept) => {
                let (from, to, minutes) = (kept.from.utc(), kept.to.utc(), kept.minutes);
                text.push_str(&match lang {
                    Language::Zh => format!("流转日志 {from} 至 {to},{minutes} 个分钟\n"),
                    Language::En => {
                        format!("The flow log from {from} to {to}, {minutes} minutes\n")
                    }
                });
                (&kept.matrix, &kept.checkpoint)
            }
        };
        if let Some(matrix) = matrix {
            text.push_str(&match lang {
                Language::Zh => format!("现行矩阵 {matrix}\n"),
                Language::En => format!("Matrix in force {matrix}\n"),
            });
        }
        text.push_str(&as_of(checkpoint.as_deref(), lang));
        text
    }
}

/// The checkpoint that an answer was made from, in one line: tree, size and root.
pub(crate) fn as_of(checkpoint: Option<&str>, lang: Language) -> String {
    let mut lines = checkpoint.unwrap_or_default().lines();
    let (Some(origin), Some(size), Some(root)) = (lines.next(), lines.next(), lines.next()) else {
        return String::new();
    };
    match lang {
        Language::Zh => format!("检查点 {origin},{size} 条,根 {root}\n"),
        Language::En => format!("Checkpoint {origin}, {size} entries, root {root}\n"),
    }
}

/// The other end of a flow, with its zone where that is known.
pub(super) fn party(zone: Option<Zone>, peer: &str) -> String {
    zone.map_or_else(|| peer.to_owned(), |zone| format!("{zone}/{peer}"))
}

pub(super) fn who_opens(flow: &SeenFlow, lang: Language) -> String {
    let who = match flow.way {
        FlowWay::Opened => lang.pick("本节点", "this node"),
        FlowWay::Accepted => lang.pick("对端", "other end"),
    };
    who.to_owned()
}

pub(super) fn standing(standing: FlowStanding, lang: Language) -> String {
    let word = match standing {
        FlowStanding::Declared => lang.pick("已声明", "declared"),
        FlowStanding::RunOut => lang.pick("已到期", "run out"),
        FlowStanding::Refused => lang.pick("被拒绝", "REFUSED"),
        FlowStanding::Undeclared => lang.pick("未声明", "UNDECLARED"),
    };
    word.to_owned()
}

/// Bytes in powers of ten, three digits.
pub(crate) fn bytes(count: u64) -> String {
    let mut unit = ["B", "kB", "MB", "GB", "TB"].into_iter();
    let (mut whole, mut rest) = (count, 0);
    let mut name = unit.next().unwrap_or("B");
    while whole >= 1_000 {
        let Some(next) = unit.next() else { break };
        (rest, whole, name) = (whole % 1_000 / 100, whole / 1_000, next);
    }
    if name == "B" || whole >= 100 {
        format!("{whole} {name}")
    } else {
        format!("{whole}.{rest} {name}")
    }
}

/// How long before `now` something was.
pub(super) fn before(then: UnixMillis, now: UnixMillis, lang: Language) -> String {
    let seconds = now.since(then) / 1_000;
    let (count, zh, en) = match seconds {
        0..120 => (seconds, "秒前", "s ago"),
        120..7_200 => (seconds / 60, "分钟前", "min ago"),
        _ => (seconds / 3_600, "小时前", "h ago"),
    };
    format!("{count} {}", lang.pick(zh, en))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_have_three_digits_and_a_unit() {
        let cases = [
            (0, "0 B"),
            (999, "999 B"),
            (1_000, "1.0 kB"),
            (12_345, "12.3 kB"),
            (999_999, "999 kB"),
            (1_950_000, "1.9 MB"),
            (u64::MAX, "18446744 TB"),
        ];
        for (count, text) in cases {
            assert_eq!(bytes(count), text);
        }
    }

    #[test]
    fn a_time_ago_is_a_number_and_a_unit() {
        assert_eq!(ago("30d"), Ok(Ago(30 * 86_400_000)));
        assert_eq!(ago("24h"), Ok(Ago(86_400_000)));
        assert_eq!(ago("15m"), Ok(Ago(900_000)));
        for wrong in [
            "",
            "d",
            "0h",
            "-1h",
            "1.5h",
            "201d",
            "99999999999999999999d",
            "3w",
            "3",
        ] {
            assert!(ago(wrong).unwrap_err().contains("200d"), "{wrong}");
        }
    }
}
