//! `trace session`: one call's path, zone by zone: who, by which node, by which row of the matrix, when, and what was
//! kept of it.

use clap::{Args, Subcommand};
use guitai_flow::{End, Matrix, Role};
use guitai_types::{
    NodeName, SessionId, UnixMillis,
    passed::Passed,
    record::{Duty, RecordingState},
    view::{SessionView, StatusView},
};
use serde_json::{Value, json};

use crate::{
    Done, Language,
    args::Asked,
    failure::Failure,
    flow::told::bytes,
    relay::{Answer, matrix},
    staff,
    table::Table,
};

const READERS: &[Duty] = &[Duty::Operator, Duty::Auditor];

/// `trace …`
#[derive(Debug, Subcommand)]
pub enum Trace {
    /// 一次会话经由各区之路径、时间与字节 / One session's path, zone by zone, with times and bytes
    Session(Session),
}

/// Arguments of `trace session`.
#[derive(Debug, Args)]
pub struct Session {
    /// 会话号 / Which session
    pub id: SessionId,
    /// Which cluster, as whom, and how to show it.
    #[command(flatten)]
    pub asked: Asked,
}

/// One leg of the way.
struct Leg {
    from: String,
    to: String,
    rows: Vec<String>,
    opened: &'static str,
    sealed: bool,
    since: UnixMillis,
    until: Option<UnixMillis>,
    bytes: Option<u64>,
}

/// Runs one `guitai trace …` command.
pub(crate) async fn run(command: &Trace, lang: Language) -> Result<Done, Failure> {
    let Trace::Session(arguments) = command;
    let door = staff::enter(&arguments.asked.access, READERS).await?;
    let session: SessionView = door
        .get(&format!("/api/v1/sessions/{}", arguments.id))
        .await?;
    let status: StatusView = door.get("/api/v1/status").await?;
    let passed: Passed = door
        .get(&format!("/api/v1/sessions/{}/passed", arguments.id))
        .await?;
    let matrix = matrix(&door).await?;
    let mut answer = trace(&session, &status, &matrix, lang);
    answer.text.push_str(&counted(&passed, lang));
    answer.value["passed"] = json!(passed.nodes);
    answer.value["silent"] = json!(passed.silent);
    answer
        .findings
        .extend(passed.silent.iter().map(|node| match lang {
            Language::Zh => format!("{node} 无应答:经由该节点的字节不明"),
            Language::En => format!("{node} does not answer: what passed it is not known"),
        }));
    answer.as_of(&door).await;
    answer.done(arguments.asked.output.json, lang)
}

/// Rows of media between two roles, whoever opens.
fn rows(matrix: &Matrix, one: Role, other: Role) -> (Vec<String>, bool) {
    let (one, other) = (End::of(one), End::of(other));
    let between = matrix.rows().iter().filter(|row| {
        let ends = (row.from, row.to);
        !row.sealed_for.is_empty() && (ends == (one, other) || ends == (other, one))
    });
    let names: Vec<String> = between.map(|row| row.id.to_string()).collect();
    let sealed = !names.is_empty();
    (names, sealed)
}

/// What the relays counted, connection by connection.
fn counted(passed: &Passed, lang: Language) -> String {
    let mut table = Table::new(match lang {
        Language::Zh => [
            "经由",
            "连接属于",
            "载体",
            "起",
            "止",
            "收到字节",
            "送出字节",
        ],
        Language::En => [
            "by",
            "connection of",
            "carried by",
            "since",
            "until",
            "bytes in",
            "bytes out",
        ],
    });
    for node in &passed.nodes {
        for connection in &node.connections {
            table.row([
                format!("{}/{}", node.zone, node.node),
                connection.who.clone(),
                connection.transport.clone(),
                connection.since.utc(),
                connection.until.map(UnixMillis::utc).unwrap_or_default(),
                connection.received.map(bytes).unwrap_or_default(),
                connection.sent.map(bytes).unwrap_or_default(),
            ]);
        }
    }
    format!("\n{}", table.render())
}

fn trace(session: &SessionView, status: &StatusView, matrix: &Matrix, lang: Language) -> Answer {
    let zone = |name: &NodeName| {
        let mut nodes = status.nodes.iter();
        let found = nodes.find(|node| node.member.name == *name);
        found.map_or_else(
            || name.to_string(),
            |node| format!("{}/{name}", node.member.zone),
        )
    };
    let (since, until) = (session.started_at, session.ended_at);
    let leg = |from: String, to: String, one: Role, other: Role, opened: &'static str| {
        let (rows, sealed) = rows(matrix, one, other);
        Leg {
            from,
            to,
            rows,
            opened,
            sealed,
            since,
            until,
            bytes: None,
        }
    };
    let customer = lang.pick("outer/客户", "outer/customer").to_owned();
    let relays = lang.pick("inner/中继", "inner/relays").to_owned();
    let mut legs = vec![
        leg(
            customer,
            zone(&session.edge),
            Role::Customer,
            Role::Edge,
            "from",
        ),
        leg(
            zone(&session.edge),
            relays.clone(),
            Role::Edge,
            Role::Relay,
            "to",
        ),
        leg(
            relays.clone(),
            format!("inner/{}", session.agent),
            Role::Relay,
            Role::Agent,
            "to",
        ),
    ];
    for assignment in &session.assignments {
        let kept = match &assignment.recording {
            RecordingState::Sealed { summary } => Some(summary.bytes),
            _ => None,
        };
        legs.push(Leg {
            since: assignment.since,
            until: assignment.until.or(until),
            bytes: kept,
            ..leg(
                relays.clone(),
                zone(&assignment.node),
                Role::Relay,
                Role::Recorder,
                "to",
            )
        });
    }
    let mut table = Table::new(match lang {
        Language::Zh => [
            "自",
            "至",
            "由谁建立",
            "矩阵行",
            "端到端加封",
            "起",
            "止",
            "留存字节",
        ],
        Language::En => [
            "from",
            "to",
            "opened by",
            "rows",
            "sealed end to end",
            "since",
            "until",
            "bytes kept",
        ],
    });
    let mut answer = Answer::default();
    for leg in &legs {
        let opener = if leg.opened == "from" {
            &leg.from
        } else {
            &leg.to
        };
        table.row([
            leg.from.clone(),
            leg.to.clone(),
            opener.clone(),
            leg.rows.join(" "),
            lang.pick(
                if leg.sealed { "是" } else { "!否" },
                if leg.sealed { "yes" } else { "NO" },
            )
            .to_owned(),
            leg.since.utc(),
            leg.until.map(UnixMillis::utc).unwrap_or_default(),
            leg.bytes.map(bytes).unwrap_or_default(),
        ]);
        if leg.rows.is_empty() {
            answer.findings.push(match lang {
                Language::Zh => format!("{} 与 {} 之间:现行矩阵无加封媒体之行", leg.from, leg.to),
                Language::En => {
                    format!(
                        "between {} and {}: the matrix in force has no row of sealed media",
                        leg.from, leg.to
                    )
                }
            });
        }
    }
    let mut events = Table::new(match lang {
        Language::Zh => ["序号", "时间", "谁", "何事"],
        Language::En => ["number", "at", "who", "what"],
    });
    for event in &session.events {
        let number = event.number.to_string();
        events.row([
            number,
            event.at.utc(),
            event.actor.clone(),
            event.kind.clone(),
        ]);
    }
    let legs: Vec<Value> = legs
        .iter()
        .map(|leg| {
            json!({
                "from": leg.from, "to": leg.to, "opened_by": leg.opened, "rows": leg.rows, "sealed": leg.sealed,
                "since": leg.since, "until": leg.until, "bytes": leg.bytes,
            })
        })
        .collect();
    answer.text = format!("{}\n{}", table.render(), events.render());
    answer.value = json!({
        "session": session.id, "queue": session.queue, "edge": session.edge, "agent": session.agent,
        "legs": legs, "key_holders": session.key, "events": session.events,
    });
    answer
}
