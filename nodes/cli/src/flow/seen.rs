//! `flow seen|listeners|denied|unused`: what did flow, beside what may.

use std::collections::BTreeSet;

use clap::Args;
use guitai_flow::Matrix;
use guitai_types::{
    NodeName, UnixMillis, Zone,
    flows::Flows,
    observed::{FlowFault, FlowFinding, FlowStanding, FlowWay, FlowsSeen, NodeFlows, SeenFlow},
};
use serde_json::json;

use super::{
    done,
    online::{FLOWS, READERS},
    refused,
};
use crate::{
    Done, Language,
    args::Asked,
    failure::{FINDINGS, Failure},
    show, staff,
    table::Table,
};

/// Where it is asked for.
const SEEN: &str = "/api/v1/flows/seen";

/// Arguments of `flow seen`.
#[derive(Debug, Args)]
pub struct Seen {
    /// 只看此节点 / This node alone
    #[arg(long, value_name = "NODE")]
    pub node: Option<NodeName>,
    /// Which cluster, as whom, and how to show it.
    #[command(flatten)]
    pub asked: Asked,
}

/// Arguments of `flow listeners`.
#[derive(Debug, Args)]
pub struct Listeners {
    /// 只看此区域:outer、dmz、inner / This zone alone: outer, dmz, inner
    #[arg(long, value_name = "ZONE", value_parser = zone)]
    pub zone: Option<Zone>,
    /// Which cluster, as whom, and how to show it.
    #[command(flatten)]
    pub asked: Asked,
}

fn zone(text: &str) -> Result<Zone, String> {
    let all = [Zone::Outer, Zone::Dmz, Zone::Inner];
    let found = all.into_iter().find(|zone| zone.to_string() == text);
    found.ok_or_else(|| format!("no zone is called {text}: outer, dmz, inner"))
}

async fn ask(asked: &Asked) -> Result<FlowsSeen, Failure> {
    let door = staff::enter(&asked.access, READERS).await?;
    door.get(SEEN).await
}

/// What is shown, and that somebody has to look at it.
fn judged(text: String, findings: &[FlowFinding]) -> Done {
    let exit = if findings.is_empty() { 0 } else { FINDINGS };
    Done { text, exit }
}

pub(super) async fn seen(arguments: &Seen, lang: Language) -> Result<Done, Failure> {
    let mut seen = ask(&arguments.asked).await?;
    if let Some(node) = &arguments.node {
        let known = seen.nodes.iter().any(|it| it.node == *node) || seen.silent.contains(node);
        if !known {
            return Err(Failure::usage(
                format!("no node is called {node}"),
                "guitai status 列出节点",
                "guitai status lists the nodes",
            ));
        }
        seen.nodes.retain(|it| it.node == *node);
        seen.silent.retain(|it| it == node);
        seen.findings.retain(|it| it.node == *node);
    }
    if arguments.asked.output.json {
        return show::json(&seen).map(|text| judged(text, &seen.findings));
    }
    let mut table = Table::new(match lang {
        Language::Zh => [
            "节点",
            "发起",
            "对端",
            "协议",
            "矩阵行",
            "状态",
            "现有",
            "累计",
            "发出",
            "收到",
            "末次",
        ],
        Language::En => [
            "node",
            "who opens",
            "other end",
            "protocol",
            "rows",
            "standing",
            "open",
            "ever",
            "sent",
            "received",
            "last",
        ],
    });
    for node in &seen.nodes {
        for flow in &node.flows {
            table.row(flow_row(node, flow, lang));
        }
    }
    let text = format!("{}\n{}", table.render(), closing(&seen, lang));
    Ok(judged(text, &seen.findings))
}

fn flow_row(node: &NodeFlows, flow: &SeenFlow, lang: Language) -> [String; 11] {
    let who = match flow.way {
        FlowWay::Opened => lang.pick("本节点", "this node"),
        FlowWay::Accepted => lang.pick("对端", "other end"),
    };
    let zone = flow.zone.map(|zone| format!("{zone}/")).unwrap_or_default();
    [
        node.node.to_string(),
        who.to_owned(),
        format!("{zone}{}", flow.peer),
        flow.protocol.clone(),
        flow.rows.join(" "),
        standing(flow.standing, lang).to_owned(),
        flow.open.to_string(),
        flow.connections.to_string(),
        bytes(flow.sent),
        bytes(flow.received),
        ago(flow.last, node.at, lang),
    ]
}

const fn standing(standing: FlowStanding, lang: Language) -> &'static str {
    match standing {
        FlowStanding::Declared => lang.pick("已声明", "declared"),
        FlowStanding::RunOut => lang.pick("已到期", "run out"),
        FlowStanding::Refused => lang.pick("被拒绝", "REFUSED"),
        FlowStanding::Undeclared => lang.pick("未声明", "UNDECLARED"),
    }
}

/// Bytes in powers of ten, three digits.
fn bytes(count: u64) -> String {
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

fn ago(then: UnixMillis, now: UnixMillis, lang: Language) -> String {
    let seconds = now.since(then) / 1_000;
    let (count, zh, en) = match seconds {
        0..120 => (seconds, "秒前", "s ago"),
        120..7_200 => (seconds / 60, "分钟前", "min ago"),
        _ => (seconds / 3_600, "小时前", "h ago"),
    };
    format!("{count} {}", lang.pick(zh, en))
}

/// Findings, and what the answer was made from.
fn closing(seen: &FlowsSeen, lang: Language) -> String {
    let mut text = String::new();
    for finding in &seen.findings {
        let what = lang.of(&finding.what);
        text.push_str(&format!("! {}: {what}\n", finding.node));
    }
    if seen.findings.is_empty() {
        text.push_str(lang.pick(
            "所见流转均在矩阵之内,两端一致\n",
            "All that was seen is in the matrix, and both ends agree\n",
        ));
    }
    let since = seen.nodes.iter().map(|node| node.since).max();
    if let Some(since) = since {
        let since = show::when(since.0);
        text.push_str(&match lang {
            Language::Zh => format!("自各节点启动起,最晚 {since}\n"),
            Language::En => format!("Since each node started, the latest at {since}\n"),
        });
    }
    if let (Some(matrix), Some(size)) = (&seen.matrix, seen.log_size) {
        text.push_str(&match lang {
            Language::Zh => format!("现行矩阵 {matrix},日志第 {size} 条之时\n"),
            Language::En => format!("Matrix in force {matrix}, when the log had {size} entries\n"),
        });
    }
    text
}

pub(super) async fn listeners(arguments: &Listeners, lang: Language) -> Result<Done, Failure> {
    let mut seen = ask(&arguments.asked).await?;
    if let Some(zone) = arguments.zone {
        seen.nodes.retain(|node| node.zone == zone);
        let left: BTreeSet<_> = seen.nodes.iter().map(|node| node.node.clone()).collect();
        let silent = |it: &FlowFinding| it.fault == FlowFault::Silent;
        seen.findings
            .retain(|it| left.contains(&it.node) || silent(it));
    }
    // Of connections only who came in matters here.
    let about = |it: &FlowFinding| {
        matches!(
            it.fault,
            FlowFault::Socket | FlowFault::Blind | FlowFault::Silent
        )
    };
    seen.findings.retain(about);
    seen.findings
        .extend(seen.nodes.iter().flat_map(from_outside));
    if arguments.asked.output.json {
        let nodes = seen.nodes.iter().map(|node| {
            let sockets: Vec<_> = node
                .sockets
                .iter()
                .filter(|it| it.remote.is_none())
                .collect();
            let taken: Vec<_> = accepted(node).collect();
            json!({ "node": node.node, "zone": node.zone, "sockets": sockets, "accepted": taken })
        });
        let nodes: Vec<_> = nodes.collect();
        let value = json!({
            "at": seen.at, "matrix": seen.matrix, "log_size": seen.log_size, "nodes": nodes, "silent": seen.silent,
            "findings": seen.findings,
        });
        return show::json(&value).map(|text| judged(text, &seen.findings));
    }
    let mut table = Table::new(match lang {
        Language::Zh => ["节点", "区域", "监听", "用途", "状态"],
        Language::En => ["node", "zone", "listens at", "what", "standing"],
    });
    for node in &seen.nodes {
        for socket in node.sockets.iter().filter(|it| it.remote.is_none()) {
            table.row([
                node.node.to_string(),
                node.zone.to_string(),
                socket.named(),
                socket.what.clone(),
                standing(socket.standing, lang).to_owned(),
            ]);
        }
    }
    let mut came = Table::new(match lang {
        Language::Zh => ["节点", "由谁建立", "协议", "矩阵行", "累计"],
        Language::En => ["node", "who opened", "protocol", "rows", "ever"],
    });
    for node in &seen.nodes {
        for flow in accepted(node) {
            let zone = flow.zone.map(|zone| format!("{zone}/")).unwrap_or_default();
            came.row([
                node.node.to_string(),
                format!("{zone}{}", flow.peer),
                flow.protocol.clone(),
                flow.rows.join(" "),
                flow.connections.to_string(),
            ]);
        }
    }
    let text = format!(
        "{}\n{}\n{}",
        table.render(),
        came.render(),
        closing(&seen, lang)
    );
    Ok(judged(text, &seen.findings))
}

fn accepted(node: &NodeFlows) -> impl Iterator<Item = &SeenFlow> {
    let came = |it: &&SeenFlow| it.way == FlowWay::Accepted && it.standing != FlowStanding::Refused;
    node.flows.iter().filter(came)
}

/// Promise of the design: nothing of the inner zone takes a connection from outside it.
fn from_outside(node: &NodeFlows) -> Vec<FlowFinding> {
    let outside = |it: &&SeenFlow| {
        node.zone == Zone::Inner && it.zone.is_some_and(|zone| zone != Zone::Inner)
    };
    let found = accepted(node).filter(outside).map(|flow| {
        let SeenFlow { peer, protocol, .. } = flow;
        FlowFinding {
            node: node.node.clone(),
            fault: FlowFault::Flow,
            what: guitai_types::place::Text {
                zh: format!("内区节点接受了来自 {peer} 的 {protocol} 连接"),
                en: format!("a node of the inner zone took a {protocol} connection from {peer}"),
            },
        }
    });
    found.collect()
}

pub(super) async fn denied(asked: &Asked, lang: Language) -> Result<Done, Failure> {
    let seen = ask(asked).await?;
    let refused = |it: &&SeenFlow| it.standing == FlowStanding::Refused;
    let findings: Vec<FlowFinding> = seen
        .findings
        .iter()
        .filter(|it| matches!(it.fault, FlowFault::Refused | FlowFault::Silent))
        .cloned()
        .collect();
    if asked.output.json {
        let nodes = seen.nodes.iter().map(|node| {
            let flows: Vec<_> = node.flows.iter().filter(refused).collect();
            json!({ "node": node.node, "zone": node.zone, "since": node.since, "refused": flows })
        });
        let nodes: Vec<_> = nodes.collect();
        let value = json!({
            "at": seen.at, "matrix": seen.matrix, "log_size": seen.log_size, "nodes": nodes, "silent": seen.silent,
        });
        return show::json(&value).map(|text| judged(text, &findings));
    }
    let mut table = Table::new(match lang {
        Language::Zh => ["节点", "发起", "对端", "协议", "次数", "缘由", "末次"],
        Language::En => [
            "node",
            "who opens",
            "other end",
            "protocol",
            "times",
            "why",
            "last",
        ],
    });
    for node in &seen.nodes {
        for flow in node.flows.iter().filter(refused) {
            let [name, who, peer, protocol, _, _, _, times, _, _, last] =
                flow_row(node, flow, lang);
            let why = flow.why.clone().unwrap_or_default();
            table.row([name, who, peer, protocol, times, why, last]);
        }
    }
    let seen = FlowsSeen { findings, ..seen };
    let closing = if seen.findings.is_empty() {
        lang.pick("没有被拒绝的流转\n", "Nothing was refused\n")
            .to_owned()
    } else {
        closing(&seen, lang)
    };
    Ok(judged(
        format!("{}\n{closing}", table.render()),
        &seen.findings,
    ))
}

pub(super) async fn unused(asked: &Asked, lang: Language) -> Result<Done, Failure> {
    let door = staff::enter(&asked.access, READERS).await?;
    let flows: Flows = door.get(FLOWS).await?;
    let seen: FlowsSeen = door.get(SEEN).await?;
    let matrix = Matrix::parse(&flows.present.matrix);
    let matrix = matrix.map_err(|error| refused("the matrix in force", &error))?;
    let used: BTreeSet<&str> = seen
        .nodes
        .iter()
        .flat_map(|node| &node.flows)
        .filter(|flow| flow.connections > 0 && flow.standing != FlowStanding::Refused)
        .flat_map(|flow| flow.rows.iter().map(String::as_str))
        .collect();
    let unused: Vec<_> = matrix
        .rows()
        .iter()
        .filter(|row| !used.contains(row.id.as_str()))
        .collect();
    if asked.output.json {
        let rows: Vec<_> = unused
            .iter()
            .map(|row| json!({ "row": row.id, "purpose": row.purpose }))
            .collect();
        let since = seen.nodes.iter().map(|node| node.since).max();
        let value = json!({
            "at": seen.at, "matrix": seen.matrix, "log_size": seen.log_size, "since": since, "unused": rows,
            "silent": seen.silent,
        });
        return show::json(&value).map(done);
    }
    let mut table = Table::new(match lang {
        Language::Zh => ["矩阵行", "用途"],
        Language::En => ["row", "what for"],
    });
    for row in &unused {
        let purpose = lang.of(&row.purpose);
        table.row([row.id.to_string(), purpose.to_owned()]);
    }
    let seen = FlowsSeen {
        findings: seen
            .findings
            .into_iter()
            .filter(|it| it.fault == FlowFault::Silent)
            .collect(),
        ..seen
    };
    let closing = match (unused.is_empty(), seen.findings.is_empty()) {
        (true, true) => lang
            .pick("每一行都有流转\n", "Every row was used\n")
            .to_owned(),
        (false, true) => String::new(),
        (_, false) => closing(&seen, lang),
    };
    Ok(done(format!("{}\n{closing}", table.render())))
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
}
