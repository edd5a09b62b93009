//! `crypto inventory` and `crypto selftest`.

use guitai_crypto::selftest;
use guitai_types::{
    Code,
    inventory::{CryptoPolicy, Grade, InventoryView, NodeInventory},
    record::Duty,
};
use serde_json::json;
use time::{OffsetDateTime, macros::format_description};

use crate::{
    Asked, Done, FAILED, FINDINGS, Language, Selftest, failure::Failure, show, staff, table::Table,
};

/// Environment variable that names a self-test check to be broken on purpose: the check must turn red
/// and a node must not start.
pub const BREAK_SELFTEST: &str = "GUITAI_BREAK_SELFTEST";

/// Fetches the inventory of a running cluster; findings are a failure of the command.
pub(crate) async fn inventory(asked: &Asked, lang: Language) -> Result<Done, Failure> {
    let door = staff::enter(&asked.access, &[Duty::Operator, Duty::Auditor]).await?;
    let inventory: InventoryView = door.get("/api/v1/crypto").await?;
    let text = if asked.output.json {
        show::json(&inventory)?
    } else {
        words(&inventory, lang)
    };
    let exit = if inventory.findings.is_empty() {
        0
    } else {
        FINDINGS
    };
    Ok(Done { text, exit })
}

/// Runs the standards' examples on this machine.
pub(crate) fn selftest(arguments: &Selftest, lang: Language) -> Result<Done, Failure> {
    let broken = arguments
        .break_check
        .clone()
        .or_else(|| std::env::var(BREAK_SELFTEST).ok());
    let checks = selftest::run(broken.as_deref());
    let ok = selftest::all_passed(&checks);
    let text = if arguments.output.json {
        let rows: Vec<_> = checks
            .iter()
            .map(
                |check| json!({"name": check.name, "source": check.source, "passed": check.passed}),
            )
            .collect();
        show::json(&json!({"ok": ok, "checks": rows}))?
    } else {
        let mut table = Table::new(match lang {
            Language::Zh => ["项目", "依据", "结果"],
            Language::En => ["check", "source", "result"],
        });
        for check in &checks {
            let result = if check.passed {
                lang.pick("通过", "passed")
            } else {
                lang.pick("未通过", "FAILED")
            };
            table.row([
                check.name.clone(),
                check.source.to_owned(),
                result.to_owned(),
            ]);
        }
        let verdict = if ok {
            lang.pick("自检通过", "self-test passed").to_owned()
        } else {
            let (zh, en) = Code::SelfTestFailed.cause();
            format!("{} {}", Code::SelfTestFailed, lang.pick(zh, en))
        };
        format!("{}\n{verdict}\n", table.render())
    };
    let exit = if ok { 0 } else { FAILED };
    Ok(Done { text, exit })
}

fn words(inventory: &InventoryView, lang: Language) -> String {
    let mut text = String::new();
    for node in &inventory.nodes {
        text.push_str(&node_words(node, lang));
        text.push('\n');
    }
    let policy = match inventory.policy {
        CryptoPolicy::Strict => "strict",
        CryptoPolicy::Mixed => "mixed",
    };
    let (head, none) = (
        lang.pick("策略", "policy"),
        lang.pick("未发现不符项", "nothing found against it"),
    );
    if inventory.findings.is_empty() {
        text.push_str(&format!("{head} {policy}: {none}\n"));
        return text;
    }
    let (zh, en) = Code::CryptoFinding.cause();
    text.push_str(&format!(
        "{head} {policy}: {} {} ({})\n",
        Code::CryptoFinding,
        lang.pick(zh, en),
        inventory.findings.len()
    ));
    for finding in &inventory.findings {
        text.push_str(&format!("  {}: {}\n", finding.node, lang.of(&finding.what)));
    }
    text
}

fn node_words(node: &NodeInventory, lang: Language) -> String {
    let (passed, checks) = node.selftest;
    let kernels: Vec<String> = node
        .kernels
        .iter()
        .map(|kernel| format!("{} {}", kernel.algorithm, kernel.path))
        .collect();
    let mut text = format!(
        "{} · {} · {} {passed}/{checks} · {}\n  {}\n",
        node.node,
        node.zone,
        lang.pick("自检", "self-test"),
        kernels.join(" · "),
        lang.of(&node.module),
    );
    let mut certificates = Table::new(match lang {
        Language::Zh => ["  证书", "主体", "算法", "SM3 指纹", "有效期至"],
        Language::En => [
            "  certificate",
            "subject",
            "algorithm",
            "fingerprint",
            "until",
        ],
    });
    for row in &node.certificates {
        certificates.row([
            format!("  {}", row.purpose),
            row.subject.clone(),
            row.algorithm.clone(),
            row.fingerprint.clone(),
            day(row.not_after.0),
        ]);
    }
    text.push_str(&certificates.render());
    let mut notes = Notes::default();
    let mut hops = Table::new(match lang {
        Language::Zh => [
            "  链路", "方向", "端点", "协议", "算法", "密钥", "评级", "条款",
        ],
        Language::En => [
            "  hop", "opened", "at", "protocol", "by", "bits", "grade", "clause",
        ],
    });
    for hop in &node.hops {
        hops.row([
            format!("  {}", lang.of(&hop.what)),
            format!("{} → {}", hop.from, hop.to),
            hop.at.clone(),
            hop.protocol.clone(),
            notes.number(&hop.algorithms),
            hop.key_bits.to_string(),
            grade(hop.grade, lang),
            hop.clause.clone(),
        ]);
    }
    text.push_str(&hops.render());
    let mut stores = Table::new(match lang {
        Language::Zh => [
            "  存储",
            "位置",
            "算法",
            "密钥",
            "密钥由谁加密",
            "评级",
            "条款",
        ],
        Language::En => [
            "  store",
            "path",
            "by",
            "bits",
            "key wrapped by",
            "grade",
            "clause",
        ],
    });
    for store in &node.stores {
        stores.row([
            format!("  {}", lang.of(&store.what)),
            store.path.clone(),
            notes.number(&store.algorithms),
            store.key_bits.to_string(),
            store.wrapped_by.clone(),
            grade(store.grade, lang),
            store.clause.clone(),
        ]);
    }
    text.push_str(&stores.render());
    text.push_str(&notes.render());
    text
}

/// Lists of algorithms are long and few: a table has their number, the lists stand under it.
#[derive(Default)]
struct Notes(Vec<String>);

impl Notes {
    fn number(&mut self, algorithms: &[String]) -> String {
        if algorithms.is_empty() {
            return "-".to_owned();
        }
        let list = algorithms.join(", ");
        let known = self.0.iter().position(|known| *known == list);
        let index = known.unwrap_or_else(|| {
            self.0.push(list);
            self.0.len() - 1
        });
        format!("[{}]", index + 1)
    }

    fn render(&self) -> String {
        let lines = (1..).zip(&self.0);
        lines
            .map(|(number, list)| format!("  [{number}] {list}\n"))
            .collect()
    }
}

fn grade(grade: Grade, lang: Language) -> String {
    let (zh, en) = grade.words();
    lang.pick(zh, en).to_owned()
}

fn day(unix_ms: u64) -> String {
    let seconds = i64::try_from(unix_ms / 1000).unwrap_or(i64::MAX);
    OffsetDateTime::from_unix_timestamp(seconds)
        .ok()
        .and_then(|at| at.format(format_description!("[year]-[month]-[day]")).ok())
        .unwrap_or_else(|| "-".to_owned())
}
