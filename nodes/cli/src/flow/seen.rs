//! `flow seen|listeners|denied|unused` and `flow diff --since`: what did flow, beside what may.

use std::collections::BTreeSet;

use clap::Args;
use guitai_flow::{Matrix, Word as _};
use guitai_types::{
    NodeName, Zone,
    flowlog::KEPT_DAYS_ASKED_MAX,
    flows::Flows,
    observed::{FlowFault, FlowFinding, FlowStanding, FlowWay, NodeFlows, SeenFlow},
};
use serde_json::{Value, json};

use super::{
    done,
    online::{FLOWS, READERS},
    refused,
    told::{Span, Told, ask, ask_by, before, bytes, party, standing, who_opens},
};
use crate::{
    Done, Language,
    args::Asked,
    failure::{FINDINGS, Failure},
    show, staff,
    table::Table,
};

/// Arguments of `flow seen`.
#[derive(Debug, Args)]
pub struct Seen {
    /// 只看此节点 / This node alone
    #[arg(long, value_name = "NODE")]
    pub node: Option<NodeName>,
    /// Which stretch of time.
    #[command(flatten)]
    pub span: Span,
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
    /// Which stretch of time.
    #[command(flatten)]
    pub span: Span,
    /// Which cluster, as whom, and how to show it.
    #[command(flatten)]
    pub asked: Asked,
}

/// Arguments of `flow denied`.
#[derive(Debug, Args)]
pub struct Denied {
    /// Which stretch of time.
    #[command(flatten)]
    pub span: Span,
    /// Which cluster, as whom, and how to show it.
    #[command(flatten)]
    pub asked: Asked,
}

/// Arguments of `flow unused`.
#[derive(Debug, Args)]
pub struct Unused {
    /// 最近多少天,取自留存的流转日志 / In so many days, out of the flow log that is kept
    #[arg(long, value_name = "DAYS", value_parser = clap::value_parser!(u64).range(1..=KEPT_DAYS_ASKED_MAX))]
    pub days: Option<u64>,
    /// Which cluster, as whom, and how to show it.
    #[command(flatten)]
    pub asked: Asked,
}

fn zone(text: &str) -> Result<Zone, String> {
    Zone::read(text).map_err(|error| error.to_string())
}

pub(super) async fn seen(arguments: &Seen, lang: Language) -> Result<Done, Failure> {
    let mut told = ask(&arguments.asked, &arguments.span).await?;
    if let Some(node) = &arguments.node {
        if !told.knows(node) {
            return Err(Failure::usage(
                format!("no node is called {node}"),
                "guitai status 列出节点",
                "guitai status lists the nodes",
            ));
        }
        told = told.of(|it| it.node == *node);
    }
    if arguments.asked.output.json {
        return told.json().map(|text| told.judged(text));
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
    for node in told.nodes() {
        for flow in &node.flows {
            table.row([
                node.node.to_string(),
                who_opens(flow, lang),
                party(flow.zone, &flow.peer),
                flow.protocol.clone(),
                flow.rows.join(" "),
                standing(flow.standing, lang),
                flow.open.to_string(),
                flow.connections.to_string(),
                bytes(flow.sent),
                bytes(flow.received),
                before(flow.last, node.at, lang),
            ]);
        }
    }
    let text = format!("{}\n{}", table.render(), told.closing(lang));
    Ok(told.judged(text))
}

pub(super) async fn listeners(arguments: &Listeners, lang: Language) -> Result<Done, Failure> {
    let told = ask(&arguments.asked, &arguments.span).await?;
    let told = match arguments.zone {
        Some(zone) => told.of(|node| node.zone == zone),
        None => told,
    };
    // Of connections only who came in matters here.
    let told = told.about(|it| {
        use FlowFault::{Blind, Outside, Silent, Socket, Unknown};
        matches!(it.fault, Outside | Socket | Blind | Silent | Unknown)
    });
    if arguments.asked.output.json {
        let nodes = told.nodes().iter().map(|node| {
            let bound = node.sockets.iter().filter(|it| it.remote.is_none());
            let (bound, taken): (Vec<_>, Vec<_>) = (bound.collect(), accepted(node).collect());
            json!({ "node": node.node, "zone": node.zone, "sockets": bound, "accepted": taken })
        });
        let nodes: Vec<Value> = nodes.collect();
        let mut value = told.frame();
        value["nodes"] = Value::Array(nodes);
        return show::json(&value).map(|text| told.judged(text));
    }
    let mut table = Table::new(match lang {
        Language::Zh => ["节点", "区域", "监听", "用途", "状态"],
        Language::En => ["node", "zone", "listens at", "what", "standing"],
    });
    for node in told.nodes() {
        for socket in node.sockets.iter().filter(|it| it.remote.is_none()) {
            table.row([
                node.node.to_string(),
                node.zone.to_string(),
                socket.named(),
                socket.what.clone(),
                standing(socket.standing, lang),
            ]);
        }
    }
    let mut came = Table::new(match lang {
        Language::Zh => ["节点", "由谁建立", "协议", "矩阵行", "累计"],
        Language::En => ["node", "who opened", "protocol", "rows", "ever"],
    });
    for node in told.nodes() {
        for flow in accepted(node) {
            came.row([
                node.node.to_string(),
                party(flow.zone, &flow.peer),
                flow.protocol.clone(),
                flow.rows.join(" "),
                flow.connections.to_string(),
            ]);
        }
    }
    let (table, came) = (table.render(), came.render());
    let text = format!("{table}\n{came}\n{}", told.closing(lang));
    Ok(told.judged(text))
}

fn accepted(node: &NodeFlows) -> impl Iterator<Item = &SeenFlow> {
    let came = |it: &&SeenFlow| it.way == FlowWay::Accepted && it.standing != FlowStanding::Refused;
    node.flows.iter().filter(came)
}

/// Whether nothing is known of somebody for some time.
const fn is_unknown(finding: &FlowFinding) -> bool {
    matches!(finding.fault, FlowFault::Silent | FlowFault::Unknown)
}

pub(super) async fn denied(arguments: &Denied, lang: Language) -> Result<Done, Failure> {
    let told = ask(&arguments.asked, &arguments.span).await?;
    let told = told
        .about(|it| matches!(it.fault, FlowFault::Refused | FlowFault::Message) || is_unknown(it));
    let refused = |it: &&SeenFlow| it.standing == FlowStanding::Refused;
    if arguments.asked.output.json {
        let nodes = told.nodes().iter().map(|node| {
            let flows: Vec<_> = node.flows.iter().filter(refused).collect();
            let messages = node.messages.iter().filter(|it| it.is_refused());
            let messages: Vec<_> = messages.collect();
            json!({
                "node": node.node, "zone": node.zone, "since": node.since, "refused": flows, "messages": messages,
            })
        });
        let nodes: Vec<Value> = nodes.collect();
        let mut value = told.frame();
        value["nodes"] = Value::Array(nodes);
        return show::json(&value).map(|text| told.judged(text));
    }
    let flows = told.nodes().iter().flat_map(|node| {
        let refused = node.flows.iter().filter(refused);
        refused.map(move |flow| (node, flow))
    });
    let mut messages = Table::new(match lang {
        Language::Zh => ["节点", "方向", "消息", "缘由", "次数"],
        Language::En => ["node", "direction", "message", "why", "times"],
    });
    for node in told.nodes() {
        for it in node.messages.iter().filter(|it| it.is_refused()) {
            messages.row([
                node.node.to_string(),
                it.direction.clone(),
                it.kind.clone(),
                it.verdict.clone(),
                it.count.to_string(),
            ]);
        }
    }
    let (flows, messages) = (strange(flows, lang), messages.render());
    let text = format!("{flows}\n{messages}\n{}", told.closing(lang));
    Ok(told.judged(text))
}

/// A table of flows that are not as the matrix has them.
fn strange<'a>(
    flows: impl Iterator<Item = (&'a NodeFlows, &'a SeenFlow)>,
    lang: Language,
) -> String {
    let mut table = Table::new(match lang {
        Language::Zh => [
            "节点", "发起", "对端", "协议", "状态", "次数", "缘由", "末次",
        ],
        Language::En => [
            "node",
            "who opens",
            "other end",
            "protocol",
            "standing",
            "times",
            "why",
            "last",
        ],
    });
    for (node, flow) in flows {
        table.row([
            node.node.to_string(),
            who_opens(flow, lang),
            party(flow.zone, &flow.peer),
            flow.protocol.clone(),
            standing(flow.standing, lang),
            flow.connections.to_string(),
            flow.why.clone().unwrap_or_default(),
            before(flow.last, node.at, lang),
        ]);
    }
    table.render()
}

/// What the matrix in force has, beside what was told.
struct Beside {
    told: Told,
    /// Rows that nothing used, with what they are for.
    unused: Vec<(String, String)>,
    /// Rows that something used, and that the matrix in force does not have.
    gone: BTreeSet<String>,
}

async fn beside(asked: &Asked, span: &Span, lang: Language) -> Result<Beside, Failure> {
    let door = staff::enter(&asked.access, READERS).await?;
    let flows: Flows = door.get(FLOWS).await?;
    let told = ask_by(&door, span).await?;
    let matrix = Matrix::parse(&flows.present.matrix);
    let matrix = matrix.map_err(|error| refused("the matrix in force", &error))?;
    let used: BTreeSet<&str> = told
        .nodes()
        .iter()
        .flat_map(|node| &node.flows)
        .filter(|flow| flow.standing != FlowStanding::Refused)
        .filter(|flow| flow.connections > 0 || flow.sent > 0 || flow.received > 0)
        .flat_map(|flow| flow.rows.iter().map(String::as_str))
        .collect();
    let (mut unused, mut known) = (Vec::new(), BTreeSet::new());
    for row in matrix.rows() {
        known.insert(row.id.as_str());
        if !used.contains(row.id.as_str()) {
            unused.push((row.id.to_string(), lang.of(&row.purpose).to_owned()));
        }
    }
    let gone = used
        .difference(&known)
        .map(|row| (*row).to_owned())
        .collect();
    Ok(Beside { told, unused, gone })
}

/// Rows as JSON.
fn rows(rows: &[(String, String)]) -> Value {
    let row = |(row, purpose): &(String, String)| json!({ "row": row, "purpose": purpose });
    rows.iter().map(row).collect()
}

fn unused_table(unused: &[(String, String)], lang: Language) -> String {
    let mut table = Table::new(match lang {
        Language::Zh => ["未用到的矩阵行", "用途"],
        Language::En => ["row that nothing used", "what for"],
    });
    for (row, purpose) in unused {
        table.row([row.clone(), purpose.clone()]);
    }
    table.render()
}

pub(super) async fn unused(arguments: &Unused, lang: Language) -> Result<Done, Failure> {
    let span = arguments.days.map_or(Span { since: None }, Span::days);
    let Beside { told, unused, .. } = beside(&arguments.asked, &span, lang).await?;
    let told = told.about(is_unknown);
    if arguments.asked.output.json {
        let mut value = told.frame();
        value["unused"] = rows(&unused);
        return show::json(&value).map(done);
    }
    let table = unused_table(&unused, lang);
    Ok(done(format!("{table}\n{}", told.closing(lang))))
}

/// `flow diff --since`: where what flowed differs from what may.
pub(super) async fn differs(span: &Span, asked: &Asked, lang: Language) -> Result<Done, Failure> {
    let Beside { told, unused, gone } = beside(asked, span, lang).await?;
    let is_strange = |flow: &&SeenFlow| {
        flow.standing != FlowStanding::Declared || flow.rows.iter().any(|row| gone.contains(row))
    };
    let strangers = told.nodes().iter().flat_map(|node| {
        let flows = node.flows.iter().filter(is_strange);
        flows.map(move |flow| (node, flow))
    });
    let exit = if told.findings().is_empty() && gone.is_empty() {
        0
    } else {
        FINDINGS
    };
    if asked.output.json {
        let flow =
            |(node, flow): (&NodeFlows, &SeenFlow)| json!({ "node": node.node, "flow": flow });
        let differ: Vec<Value> = strangers.map(flow).collect();
        let mut value = told.frame();
        value["differ"] = Value::Array(differ);
        value["rows_gone"] = json!(gone);
        value["unused"] = rows(&unused);
        return show::json(&value).map(|text| Done { text, exit });
    }
    let mut text = strange(strangers, lang);
    for row in &gone {
        text.push_str(&match lang {
            Language::Zh => format!("! 行 {row} 当时允许,现行矩阵已无此行\n"),
            Language::En => {
                format!("! row {row} allowed some of it; the matrix in force has no such row\n")
            }
        });
    }
    text.push_str(&format!(
        "\n{}\n{}",
        unused_table(&unused, lang),
        told.closing(lang)
    ));
    Ok(Done { text, exit })
}

/// `flow plugins`: what leaves the deployment for somebody who is no node of it and no person, an AI plug-in above all.
pub(super) async fn plugins(asked: &Asked, lang: Language) -> Result<Done, Failure> {
    let door = staff::enter(&asked.access, READERS).await?;
    let flows: Flows = door.get(FLOWS).await?;
    let matrix = Matrix::parse(&flows.present.matrix);
    let matrix = matrix.map_err(|error| refused("the matrix in force", &error))?;
    let told = ask_by(&door, &Span { since: None })
        .await?
        .about(|it| matches!(it.fault, FlowFault::Socket | FlowFault::Blind) || is_unknown(it));
    let leaves = |row: &&guitai_flow::Row| {
        let (opener, listener) = (row.opener().role, row.listener().role);
        opener.is_node() && !listener.is_node() && !listener.is_person()
    };
    let mut table = Table::new(match lang {
        Language::Zh => ["矩阵行", "自", "去往", "协议", "级别", "用途"],
        Language::En => ["row", "from", "to", "protocol", "class", "what for"],
    });
    let mut rows = Vec::new();
    for row in matrix.rows().iter().filter(leaves) {
        table.row([
            row.id.to_string(),
            row.opener().to_string(),
            row.listener().to_string(),
            row.protocol.to_string(),
            row.class.word().to_uppercase(),
            lang.of(&row.purpose).to_owned(),
        ]);
        rows.push(json!({ "row": row.id, "from": row.opener(), "to": row.listener(), "class": row.class }));
    }
    let mut addresses = Table::new(match lang {
        Language::Zh => ["节点", "连接", "用途", "状态"],
        Language::En => ["node", "connection", "what", "standing"],
    });
    let mut open = Vec::new();
    for node in told.nodes() {
        for socket in node.sockets.iter().filter(|it| it.remote.is_some()) {
            let standing = standing(socket.standing, lang);
            addresses.row([
                node.node.to_string(),
                socket.named(),
                socket.what.clone(),
                standing,
            ]);
            open.push(json!({ "node": node.node, "socket": socket }));
        }
    }
    if asked.output.json {
        let mut value = told.frame();
        value["rows"] = Value::Array(rows);
        value["connections"] = Value::Array(open);
        value["plugins"] = json!([]);
        return show::json(&value).map(|text| told.judged(text));
    }
    let none = lang.pick(
        "矩阵中没有任何 AI 插件角色:没有数据离开去往插件,亦无须客户同意\n",
        "No role of the matrix is an AI plug-in: nothing leaves for one, and no customer was asked to agree\n",
    );
    let (table, addresses) = (table.render(), addresses.render());
    Ok(told.judged(format!(
        "{none}\n{table}\n{addresses}\n{}",
        told.closing(lang)
    )))
}
