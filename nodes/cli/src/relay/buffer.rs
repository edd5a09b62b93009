//! What is in the buffer area: what it stores, and whether anything of customers stayed there.

use guitai_flow::{DataClass, Role, Word as _};
use guitai_types::{
    NodeName, Zone,
    inventory::{Grade, InventoryView},
    sandbox::{Protection, SandboxMode, SandboxView, Standing},
};
use serde_json::json;

use super::{Answer, matrix};
use crate::{Language, failure::Failure, http::Door, table::Table};

/// What a node that did not answer is worth.
fn silent(names: &[NodeName], lang: Language) -> Vec<String> {
    let words = |name: &NodeName| match lang {
        Language::Zh => format!("{name} 没有应答,所存未知"),
        Language::En => format!("{name} did not answer: what it has is not known"),
    };
    names.iter().map(words).collect()
}

pub(super) async fn store(door: &Door, lang: Language) -> Result<Answer, Failure> {
    let inventory: InventoryView = door.get("/api/v1/crypto").await?;
    let sandbox: SandboxView = door.get("/api/v1/sandbox").await?;
    let mut table = Table::new(match lang {
        Language::Zh => ["节点", "所存", "位置", "加密", "密钥由何保护", "判定"],
        Language::En => [
            "node",
            "what",
            "where",
            "encrypted by",
            "key wrapped by",
            "grade",
        ],
    });
    let mut answer = Answer::default();
    let mut stores = Vec::new();
    for node in inventory.nodes.iter().filter(|node| node.zone == Zone::Dmz) {
        for store in &node.stores {
            let (zh, en) = store.grade.words();
            table.row([
                node.node.to_string(),
                lang.of(&store.what).to_owned(),
                store.path.clone(),
                store.algorithms.join(" "),
                store.wrapped_by.clone(),
                lang.pick(zh, en).to_owned(),
            ]);
            if store.grade == Grade::Plain || store.grade == Grade::Foreign {
                let (node, what) = (&node.node, lang.of(&store.what));
                answer.findings.push(match lang {
                    Language::Zh => format!("{node}:“{what}”{zh}"),
                    Language::En => format!("{node}: \"{what}\" {en}"),
                });
            }
            stores.push(json!({ "node": node.node, "store": store }));
        }
    }
    let mut written = Vec::new();
    for node in sandbox.nodes.iter().filter(|node| node.zone == Zone::Dmz) {
        written.push(json!({ "node": node.node, "written": node.written }));
        for file in &node.written {
            let node = &node.node;
            answer.findings.push(match lang {
                Language::Zh => format!("{node} 正在写文件 {file}"),
                Language::En => format!("{node} has {file} open for writing"),
            });
        }
    }
    answer.findings.extend(silent(&inventory.silent, lang));
    answer.text = table.render();
    answer.text.push_str(lang.pick(
        "保存期限:证书与密钥与节点同寿;媒体只在内存中,随会话结束而失;节点日志(标准输出)由启动者保存,其中没有消息内容\n",
        "For how long: certificates and keys as long as the node; media are in memory only and go with their session; \
         the node's log (standard output) whoever started it keeps, and no message's content is in it\n",
    ));
    answer.value = json!({ "at": inventory.at, "stores": stores, "written": written, "silent": inventory.silent });
    Ok(answer)
}

/// Whether C2 or C3 data could stay in the buffer area or reach the outer zone otherwise than sealed or to its owner.
pub(super) async fn residue(door: &Door, lang: Language) -> Result<Answer, Failure> {
    let matrix = matrix(door).await?;
    let sandbox: SandboxView = door.get("/api/v1/sandbox").await?;
    let mut answer = Answer::default();
    let mut rows = Table::new(match lang {
        Language::Zh => ["矩阵行", "自", "至", "级别", "边缘可读", "加封给"],
        Language::En => [
            "row",
            "from",
            "to",
            "class",
            "the edge reads it",
            "sealed for",
        ],
    });
    let mut crossing = Vec::new();
    let sensitive = matrix.rows().iter().filter(|row| {
        let zones = [row.from.zone, row.to.zone];
        row.class >= DataClass::C2 && (zones.contains(&Zone::Dmz) || zones.contains(&Zone::Outer))
    });
    for row in sensitive {
        let is_read = row.is_read_by(Role::Edge);
        let sealed: Vec<&str> = row.sealed_for.iter().map(|role| role.word()).collect();
        rows.row([
            row.id.to_string(),
            row.from.to_string(),
            row.to.to_string(),
            row.class.word().to_uppercase(),
            lang.pick(
                if is_read { "是" } else { "否" },
                if is_read { "yes" } else { "no" },
            )
            .to_owned(),
            sealed.join(" "),
        ]);
        if is_read && row.class == DataClass::C3 {
            answer.findings.push(match lang {
                Language::Zh => format!("行 {}:边缘可读 C3 数据", row.id),
                Language::En => format!("row {}: the edge reads C3 data", row.id),
            });
        }
        crossing.push(json!({
            "row": row.id, "from": row.from, "to": row.to, "class": row.class, "edge_reads": is_read,
            "sealed_for": row.sealed_for,
        }));
    }
    let mut disks = Table::new(match lang {
        Language::Zh => [
            "边缘",
            "内核禁止写文件",
            "服务中仅限所需调用",
            "正在写的文件",
        ],
        Language::En => [
            "edge",
            "kernel forbids files",
            "only calls that serving takes",
            "files open for writing",
        ],
    });
    let mut edges = Vec::new();
    for node in sandbox.nodes.iter().filter(|node| node.zone == Zone::Dmz) {
        let holds = |protection| {
            let is_it = |row: &&guitai_types::sandbox::ProtectionRow| row.protection == protection;
            let row = node.rows.iter().find(is_it);
            let refuses = matches!(node.mode, SandboxMode::Enforce | SandboxMode::Require);
            refuses && row.is_some_and(|row| row.standing == Standing::InForce)
        };
        let (files, calls) = (holds(Protection::Files), holds(Protection::Door));
        let word = |held: bool| {
            let (yes, no) = (lang.pick("是", "yes"), lang.pick("!否", "NO"));
            if held { yes } else { no }.to_owned()
        };
        disks.row([
            node.node.to_string(),
            word(files),
            word(calls),
            node.written.join(" "),
        ]);
        let name = &node.node;
        if !files || !calls {
            answer.findings.push(match lang {
                Language::Zh => format!("{name}:内核不阻止其写文件(guitai sandbox status)"),
                Language::En => format!(
                    "{name}: its kernel does not keep it from writing files (guitai sandbox status)"
                ),
            });
        }
        for file in &node.written {
            answer.findings.push(match lang {
                Language::Zh => format!("{name} 正在写文件 {file}"),
                Language::En => format!("{name} has {file} open for writing"),
            });
        }
        edges.push(json!({
            "node": node.node, "files_held": files, "calls_held": calls, "written": node.written,
        }));
    }
    answer.findings.extend(silent(&sandbox.silent, lang));
    answer.text = format!("{}\n{}", rows.render(), disks.render());
    answer.value = json!({
        "at": sandbox.at, "crossing": crossing, "edges": edges, "silent": sandbox.silent,
    });
    Ok(answer)
}
