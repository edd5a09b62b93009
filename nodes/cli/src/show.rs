//! `status`, `nodes`, `sessions`, `recordings`: fetch a view and show it.

use std::fmt::Write as _;

use guitai_types::{
    Code, NodeId, UnixMillis, Voice, Zone,
    lineage::Quarantine,
    record::{Duty, RecordingState},
    sync::{DegradeCause, SyncMode},
    tlog::RaisedAlarm,
    view::{NodeView, SessionView, StatusView},
};
use serde::Serialize;

use crate::{
    Access, Asked, Language, SessionState, Sessions, failure::Failure, staff, table::Table,
};

/// Who may look.
const VIEWERS: &[Duty] = &[Duty::Operator, Duty::Auditor, Duty::Agent];

pub(crate) async fn status(asked: &Asked, lang: Language) -> Result<String, Failure> {
    let status: StatusView = fetch(&asked.access, "/api/v1/status").await?;
    if asked.output.json {
        json(&status)
    } else {
        Ok(status_words(&status, lang))
    }
}

pub(crate) async fn nodes(asked: &Asked, lang: Language) -> Result<String, Failure> {
    let nodes: Vec<NodeView> = fetch(&asked.access, "/api/v1/nodes").await?;
    if asked.output.json {
        json(&nodes)
    } else {
        Ok(node_table(&nodes, lang).render())
    }
}

pub(crate) async fn sessions(arguments: &Sessions, lang: Language) -> Result<String, Failure> {
    let path = match arguments.state {
        None => "/api/v1/sessions",
        Some(SessionState::Running) => "/api/v1/sessions?state=running",
        Some(SessionState::Ended) => "/api/v1/sessions?state=ended",
    };
    let sessions: Vec<SessionView> = fetch(&arguments.asked.access, path).await?;
    if arguments.asked.output.json {
        json(&sessions)
    } else {
        Ok(session_table(&sessions, lang).render())
    }
}

pub(crate) async fn recordings(asked: &Asked, lang: Language) -> Result<String, Failure> {
    let door = staff::enter(&asked.access, &[Duty::Operator, Duty::Auditor]).await?;
    let recordings: Vec<SessionView> = door.get("/api/v1/recordings").await?;
    if asked.output.json {
        json(&recordings)
    } else {
        Ok(recording_table(&recordings, lang).render())
    }
}

async fn fetch<T: serde::de::DeserializeOwned>(access: &Access, path: &str) -> Result<T, Failure> {
    // A node that was named is asked even when it knows no leader: it may be in quarantine.
    let door = if access.url.is_some() {
        staff::enter_node(access, VIEWERS).await?
    } else {
        staff::enter(access, VIEWERS).await?
    };
    door.get(path).await
}

/// What `--json` prints: the API's own form, one document, one line ending.
pub(crate) fn json(value: &impl Serialize) -> Result<String, Failure> {
    let mut text = serde_json::to_string_pretty(value)
        .map_err(|error| Failure::new(Code::Internal, error.to_string()))?;
    text.push('\n');
    Ok(text)
}

/// Whether sync writes wait for the guard city, and whether that city could prove RPO 0 right now.
fn sync_words(status: &StatusView, lang: Language) -> String {
    let name = |id: NodeId| {
        let node = status.nodes.iter().find(|node| node.member.id == id);
        node.map_or_else(|| id.to_string(), |node| node.member.name.to_string())
    };
    let mut words = match &status.sync.state.mode {
        SyncMode::Unguarded => lang
            .pick(
                "没有见证城市,多数派即确认",
                "no guard city, a quorum is enough",
            )
            .to_owned(),
        SyncMode::Sync { .. } => lang
            .pick("等待见证城市", "wait for the guard city")
            .to_owned(),
        SyncMode::Degraded { cause, guarded_to } => {
            let cause = match cause {
                DegradeCause::Silent => lang.pick("无应答", "silent"),
                DegradeCause::Behind => lang.pick("跟不上", "behind"),
                DegradeCause::Released => lang.pick("已停止", "stopped"),
            };
            let degraded = lang.pick(
                "已降级:不等待见证城市",
                "DEGRADED: the guard city is not waited for",
            );
            let after = lang.pick("未受保护自日志号", "unguarded after entry");
            format!("{degraded} ({cause}; {after} {guarded_to})")
        }
    };
    for guard in &status.sync.guards {
        let proves = match guard.proves_ms {
            0 => lang.pick("此刻不能证明", "proves nothing now").to_owned(),
            ms => format!("{} {ms} ms", lang.pick("可证明 RPO 0", "proves RPO 0 for")),
        };
        let lag = guard
            .lag
            .map_or_else(|| "?".to_owned(), |lag| lag.to_string());
        let behind = lang.pick("落后条数", "entries behind");
        // Writing to a String does not fail.
        let _ = write!(words, "; {} {proves}, {behind} {lag}", name(guard.node));
    }
    if let Some(verdict) = &status.sync.verdict {
        let until = verdict
            .proven_until
            .map_or_else(|| "-".to_owned(), |until| when(until.0));
        let proven = lang.pick("本节点证明至", "this node has proved up to");
        let _ = write!(words, "; {proven} {until}");
    }
    words
}

/// What is said of a node in quarantine.
pub(crate) fn quarantine(it: &Quarantine, lang: Language) -> String {
    let (heard, by, at) = (it.heard.0, &it.told_by, when(it.at.0));
    match lang {
        Language::Zh => format!(
            "!! 本节点已隔离,只读:已有纪元 {heard}({by} 于 {at} 告知);在本节点执行 guitai node rejoin\n"
        ),
        Language::En => format!(
            "!! This node is in quarantine, read-only: epoch {heard} exists ({by} said so at {at}); run guitai node rejoin on it\n"
        ),
    }
}

/// What is said of a witness that was shown two trees.
pub(crate) fn log_alarm(it: &RaisedAlarm, lang: Language) -> String {
    let (witness, size, at) = (&it.alarm.witness, it.alarm.size, when(it.at.0));
    match lang {
        Language::Zh => format!(
            "!! 透明日志出现两棵树:见证方 {witness} 于 {at} 拒签 {size} 个条目的检查点;保全各节点数据并查明来源\n"
        ),
        Language::En => format!(
            "!! The transparency log shows two trees: the witness {witness} refused a checkpoint of {size} entries at {at}; keep every node's data and find out who made the other\n"
        ),
    }
}

fn status_words(status: &StatusView, lang: Language) -> String {
    let leader = status.nodes.iter().find(|node| node.leader);
    let leader = leader.map_or_else(|| "-".to_owned(), |node| node.member.name.to_string());
    let quorum = status.quorum;
    let mut text = String::new();
    if let Some(it) = &status.quarantine {
        text.push_str(&quarantine(it, lang));
    }
    for it in &status.log_alarms {
        text.push_str(&log_alarm(it, lang));
    }
    let mut line = |zh: &str, en: &str, value: String| {
        // Writing to a String does not fail.
        let _ = writeln!(text, "{}{}{value}", lang.pick(zh, en), lang.pick(":", ": "));
    };
    line(
        "集群",
        "cluster",
        format!("{} ({})", status.cluster, status.version),
    );
    line(
        "主节点",
        "leader",
        format!("{leader}, term {}, epoch {}", status.term, status.epoch.0),
    );
    line(
        "法定人数",
        "quorum",
        format!("{}/{} (≥ {})", quorum.up, quorum.voters, quorum.needed),
    );
    line("同步写入", "sync writes", sync_words(status, lang));
    line(
        "进行中的会话",
        "sessions running",
        status.sessions_running.to_string(),
    );
    line(
        "已封存的录制",
        "recordings sealed",
        status.recordings.to_string(),
    );
    text.push('\n');
    text.push_str(&node_table(&status.nodes, lang).render());
    text.push('\n');
    let mut queues = Table::new(match lang {
        Language::Zh => ["机构", "队列", "等待", "最长等待", "空闲坐席", "通话坐席"],
        Language::En => [
            "institution",
            "queue",
            "waiting",
            "longest",
            "ready",
            "busy",
        ],
    });
    for queue in &status.queues {
        queues.row([
            queue.institution.to_string(),
            lang.of(&queue.name).to_owned(),
            queue.waiting.to_string(),
            format!("{} s", queue.longest_wait_ms / 1000),
            queue.ready.to_string(),
            queue.busy.to_string(),
        ]);
    }
    text.push_str(&queues.render());
    text
}

fn node_table(nodes: &[NodeView], lang: Language) -> Table {
    let mut table = Table::new(match lang {
        Language::Zh => [
            "节点", "中心", "区域", "角色", "表决", "状态", "沙箱", "日志", "地址",
        ],
        Language::En => [
            "node", "centre", "zone", "roles", "voice", "state", "sandbox", "log", "door",
        ],
    });
    for node in nodes {
        let member = &node.member;
        let roles: Vec<_> = member
            .roles
            .iter()
            .map(|role| format!("{role:?}").to_lowercase())
            .collect();
        let state = match (node.up, node.leader) {
            (true, _) if node.permit.is_some_and(|permit| !permit.accepts) => {
                lang.pick("停接新话", "no new calls")
            }
            (true, true) => lang.pick("主", "leader"),
            (true, false) => lang.pick("正常", "up"),
            (false, _) => lang.pick("失联", "down"),
        };
        table.row([
            member.name.to_string(),
            member.centre.to_string(),
            zone(member.zone, lang).to_owned(),
            roles.join("+"),
            voice(member.voice, lang).to_owned(),
            state.to_owned(),
            node.sandbox
                .map_or("-", |sandbox| {
                    let (zh, en) = sandbox.words();
                    lang.pick(zh, en)
                })
                .to_owned(),
            node.matched
                .map_or_else(|| "-".to_owned(), |matched| matched.to_string()),
            member.door.to_string(),
        ]);
    }
    table
}

fn zone(zone: Zone, lang: Language) -> &'static str {
    match zone {
        Zone::Outer => lang.pick("外网", "outer"),
        Zone::Dmz => lang.pick("缓冲区", "dmz"),
        Zone::Inner => lang.pick("内网", "inner"),
    }
}

fn voice(voice: Voice, lang: Language) -> &'static str {
    match voice {
        Voice::Voter => lang.pick("投票", "voter"),
        Voice::Learner => lang.pick("学习", "learner"),
        Voice::None => "-",
    }
}

fn session_table(sessions: &[SessionView], lang: Language) -> Table {
    let mut table = Table::new(match lang {
        Language::Zh => [
            "会话", "队列", "客户", "坐席", "开始", "时长", "录制", "评分",
        ],
        Language::En => [
            "session",
            "queue",
            "customer",
            "agent",
            "started",
            "length",
            "recording",
            "stars",
        ],
    });
    for session in sessions {
        let length = session
            .ended_at
            .map(|ended| seconds(ended.since(session.started_at)));
        table.row([
            session.id.to_string(),
            session.queue.to_string(),
            session.customer.clone(),
            session.agent_display.clone(),
            when(session.started_at.0),
            length.unwrap_or_else(|| lang.pick("进行中", "running").to_owned()),
            recording_word(&session.recording, lang),
            session
                .stars
                .map_or_else(|| "-".to_owned(), |stars| stars.to_string()),
        ]);
    }
    table
}

fn recording_table(sessions: &[SessionView], lang: Language) -> Table {
    let mut table = Table::new(match lang {
        Language::Zh => [
            "会话",
            "状态",
            "节点",
            "时长",
            "分段",
            "帧",
            "字节",
            "缺口",
            "封存于",
        ],
        Language::En => [
            "session",
            "state",
            "node",
            "length",
            "segments",
            "frames",
            "bytes",
            "gaps",
            "sealed at",
        ],
    });
    for session in sessions {
        let dash = || "-".to_owned();
        let state = recording_word(&session.recording, lang);
        let cells = match &session.recording {
            RecordingState::Sealed { summary } => [
                summary.node.to_string(),
                seconds(summary.duration_ms),
                summary.segments.to_string(),
                summary.frames.to_string(),
                summary.bytes.to_string(),
                summary.gaps.to_string(),
                when(summary.at.0),
            ],
            _ => std::array::from_fn(|_| dash()),
        };
        let [node, length, segments, frames, bytes, gaps, at] = cells;
        table.row([
            session.id.to_string(),
            state,
            node,
            length,
            segments,
            frames,
            bytes,
            gaps,
            at,
        ]);
    }
    table
}

pub(crate) fn recording_word(state: &RecordingState, lang: Language) -> String {
    match state {
        RecordingState::Starting => lang.pick("启动中", "starting").to_owned(),
        RecordingState::Running { .. } => lang.pick("录制中", "running").to_owned(),
        RecordingState::Lost { cause, .. } => format!("{}: {cause}", lang.pick("中断", "lost")),
        RecordingState::Sealed { .. } => lang.pick("已封存", "sealed").to_owned(),
    }
}

fn seconds(ms: u64) -> String {
    format!("{}.{} s", ms / 1000, ms % 1000 / 100)
}

/// Wall time in UTC, to the second.
pub(crate) fn when(unix_ms: u64) -> String {
    UnixMillis(unix_ms).utc()
}

#[cfg(test)]
mod tests {
    use guitai_types::{Member, NodeId, Role, sandbox::SandboxState};

    use super::*;

    #[test]
    fn a_node_table_lines_up_in_both_languages() -> Result<(), Box<dyn std::error::Error>> {
        let member = Member {
            id: NodeId(1),
            name: "a1-1".parse()?,
            centre: "a1".parse()?,
            zone: Zone::Inner,
            roles: vec![Role::Core, Role::Relay],
            voice: Voice::Voter,
            mesh: "127.1.2.1:7443".parse()?,
            door: "127.1.2.1:4443".parse()?,
            public_key: guitai_types::Hex::default(),
        };
        let edge = Member {
            id: NodeId(6),
            name: "edge-a1".parse()?,
            zone: Zone::Dmz,
            roles: vec![Role::Edge],
            voice: Voice::None,
            ..member.clone()
        };
        let nodes = [
            NodeView {
                member,
                up: true,
                leader: true,
                matched: Some(42),
                permit: None,
                sandbox: Some(SandboxState::Whole),
                heard_ms: Some(0),
            },
            NodeView {
                member: edge,
                up: false,
                leader: false,
                matched: None,
                permit: None,
                sandbox: None,
                heard_ms: None,
            },
        ];
        assert_eq!(
            node_table(&nodes, Language::Zh).render(),
            "节点     中心  区域    角色        表决  状态  沙箱  日志  地址\n\
             a1-1     a1    内网    core+relay  投票  主    完整  42    127.1.2.1:4443\n\
             edge-a1  a1    缓冲区  edge        -     失联  -     -     127.1.2.1:4443\n"
        );
        assert_eq!(
            node_table(&nodes, Language::En).render(),
            "node     centre  zone   roles       voice  state   sandbox  log  door\n\
             a1-1     a1      inner  core+relay  voter  leader  whole    42   127.1.2.1:4443\n\
             edge-a1  a1      dmz    edge        -      down    -        -    127.1.2.1:4443\n"
        );
        Ok(())
    }

    #[test]
    fn times_are_utc() {
        assert_eq!(when(1_795_300_000_123), "2026-11-21 22:26:40Z");
        assert_eq!(seconds(61_250), "61.2 s");
    }
}
