//! What a node of the buffer area has in hand once it is taken over: by the matrix, by the keys that lie on it, and by
//! what its kernel holds it to.

use guitai_flow::{DataClass, End, Role};
use guitai_types::{
    Date, UnixMillis, Zone,
    keys::KeysView,
    sandbox::{SandboxState, SandboxView},
};
use serde_json::json;

use super::{Answer, matrix};
use crate::{Language, failure::Failure, flow::words, http::Door, table::Table};

pub(super) async fn blast_radius(door: &Door, lang: Language) -> Result<Answer, Failure> {
    let matrix = matrix(door).await?;
    let keys: KeysView = door.get("/api/v1/keys").await?;
    let sandbox: SandboxView = door.get("/api/v1/sandbox").await?;
    let on = Date::of(UnixMillis(keys.at.0));
    let edge = End::of(Role::Edge);
    let none = || {
        Failure::usage(
            format!("the matrix does not declare {edge}"),
            "guitai flow matrix 列出现行矩阵",
            "guitai flow matrix shows the matrix in force",
        )
    };
    let reach = matrix.reach(edge, on).ok_or_else(none)?;
    let mut answer = Answer {
        text: words::reach(&matrix, &reach, lang),
        ..Answer::default()
    };
    for row in &reach.opens {
        answer.findings.push(match lang {
            Language::Zh => format!("行 {}:失陷的边缘可主动连接 {}", row.row, row.peer),
            Language::En => format!(
                "row {}: an edge that is taken over can connect to {}",
                row.row, row.peer
            ),
        });
    }
    if reach.reads.contains(&DataClass::C3) {
        answer.findings.push(
            lang.pick(
                "失陷的边缘可读 C3 数据",
                "an edge that is taken over reads C3 data",
            )
            .to_owned(),
        );
    }
    let mut held = Table::new(match lang {
        Language::Zh => ["边缘", "其上之密钥", "算法", "用于", "受何保护"],
        Language::En => ["edge", "key on it", "algorithm", "for", "under"],
    });
    let mut found = Vec::new();
    for node in keys.nodes.iter().filter(|node| node.zone == Zone::Dmz) {
        for key in &node.keys {
            held.row([
                node.node.to_string(),
                key.key.clone(),
                key.algorithm.clone(),
                lang.of(&key.protects).to_owned(),
                key.under.clone(),
            ]);
            found.push(json!({ "node": node.node, "key": key.key, "protects": key.protects, "zone": key.zone }));
            // A key that only another zone may use has no business there.
            if key.zone != Zone::Dmz {
                let (node, key, zone) = (&node.node, &key.key, key.zone);
                answer.findings.push(match lang {
                    Language::Zh => format!("{node} 上有属于 {zone} 区的密钥 {key}"),
                    Language::En => format!("{node} has {key}, which belongs to the zone {zone}"),
                });
            }
        }
    }
    let recording = keys.nodes.iter().filter(|node| node.zone == Zone::Dmz);
    let recording = recording
        .flat_map(|node| &node.keys)
        .any(|key| key.key.contains("recording"));
    if recording {
        answer.findings.push(
            lang.pick("边缘上有录制密钥", "a key of recordings lies on an edge")
                .to_owned(),
        );
    }
    let mut kernels = Table::new(match lang {
        Language::Zh => ["边缘", "沙箱"],
        Language::En => ["edge", "sandbox"],
    });
    let mut states = Vec::new();
    for node in sandbox.nodes.iter().filter(|node| node.zone == Zone::Dmz) {
        let state = node.state();
        let (zh, en) = state.words();
        kernels.row([node.node.to_string(), lang.pick(zh, en).to_owned()]);
        states.push(json!({ "node": node.node, "state": state }));
        if state != SandboxState::Whole {
            let name = &node.node;
            answer.findings.push(match lang {
                Language::Zh => format!("{name} 的沙箱不完整:内核不完全阻止其越出矩阵"),
                Language::En => format!(
                    "the sandbox of {name} is not whole: its kernel does not hold it to all of this"
                ),
            });
        }
    }
    for name in keys.silent.iter().chain(&sandbox.silent) {
        answer.findings.push(match lang {
            Language::Zh => format!("{name} 没有应答,情况不明"),
            Language::En => format!("{name} did not answer: nothing is known of it"),
        });
    }
    answer.text = format!("{}\n{}\n{}", answer.text, held.render(), kernels.render());
    answer.value = json!({
        "at": keys.at, "reach": reach, "keys": found, "recordings_open": recording, "sandboxes": states,
    });
    Ok(answer)
}
