//! The rules that a host's kernel has, beside those that the matrix gives. Both are listed by the same `nft`, the ones
//! that should be there out of a network namespace of their own, so that only what differs differs.

use std::{
    collections::BTreeSet,
    io::Write as _,
    process::{Command, Stdio},
};

use guitai_types::Code;
use serde_json::{Value, json};

use crate::{Language, failure::Failure};

/// The table of the product.
const TABLE: [&str; 3] = ["table", "inet", "guitai_flow"];
/// Where the tools may be: a path without the administrators' directories is common.
const NFT: [&str; 3] = ["nft", "/usr/sbin/nft", "/sbin/nft"];
const UNSHARE: [&str; 2] = ["unshare", "/usr/bin/unshare"];
/// Counters of what was dropped.
const DROPPED: [&str; 2] = ["not_in_matrix", "over_limit"];

/// One line of a chain, or a set or counter as a whole.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Line {
    /// `chain input`, `set own-4`.
    block: String,
    text: String,
}

impl Line {
    /// Rows that it counts for.
    fn rows(&self) -> BTreeSet<&str> {
        let named = |prefix| {
            let parts = self.text.split(prefix).skip(1);
            parts.filter_map(|part| part.split(['"', ' ', ':', '{']).next())
        };
        let counters = named("counter name \"row-").chain(named("counter row-"));
        let mut rows: BTreeSet<&str> = counters.collect();
        // A limit has one counter for all: its comment says for which rows it is.
        if let (true, Some(comment)) = (rows.is_empty(), self.text.split("comment \"").nth(1)) {
            let ids = comment.split([':', '"']).next().unwrap_or_default();
            rows.extend(ids.split_whitespace());
        }
        rows
    }

    fn in_json(&self) -> Value {
        json!({ "block": self.block, "text": self.text, "rows": self.rows() })
    }
}

/// What differs.
#[derive(Debug, Default)]
pub(super) struct Compared {
    missing: Vec<Line>,
    surplus: Vec<Line>,
    /// The same rules in another order: another rule comes first.
    is_reordered: bool,
    /// Packets dropped since the rules were loaded, by counter.
    dropped: Vec<(&'static str, u64)>,
}

impl Compared {
    pub(super) const fn is_same(&self) -> bool {
        self.missing.is_empty() && self.surplus.is_empty() && !self.is_reordered
    }

    pub(super) fn in_json(&self) -> Value {
        let lines = |lines: &[Line]| lines.iter().map(Line::in_json).collect::<Vec<_>>();
        let dropped: serde_json::Map<String, Value> = self
            .dropped
            .iter()
            .map(|(name, packets)| ((*name).to_owned(), json!(packets)))
            .collect();
        json!({
            "missing": lines(&self.missing), "surplus": lines(&self.surplus), "reordered": self.is_reordered,
            "dropped": dropped,
        })
    }

    pub(super) fn in_words(&self, lang: Language) -> String {
        let mut text = String::new();
        for (lines, mark) in [
            (&self.missing, lang.pick("! 规则缺失", "! rule is missing")),
            (
                &self.surplus,
                lang.pick("! 规则多出", "! rule is not of the matrix"),
            ),
        ] {
            for line in lines {
                let rows: Vec<&str> = line.rows().into_iter().collect();
                let (block, rule, rows) = (&line.block, &line.text, rows.join(" "));
                text.push_str(&format!("{mark}  {block}  [{rows}]\n    {rule}\n"));
            }
        }
        if self.is_reordered {
            text.push_str(lang.pick("! 规则次序不同\n", "! the rules stand in another order\n"));
        }
        if self.is_same() {
            text.push_str(lang.pick(
                "已加载的规则与矩阵一致\n",
                "the rules that are loaded are those of the matrix\n",
            ));
        }
        let dropped: Vec<String> = self
            .dropped
            .iter()
            .map(|(name, packets)| format!("{name} {packets}"))
            .collect();
        let word = lang.pick("已丢弃报文", "packets dropped");
        text.push_str(&format!("{word}: {}\n", dropped.join(", ")));
        text
    }
}

/// Compares what is loaded with what `rules` would load.
pub(super) fn compare(rules: &str) -> Result<Compared, Failure> {
    let list = [&["-s", "list"][..], &TABLE].concat();
    let loaded = run(&NFT, &list, None)?;
    // No table is no rule.
    let loaded = loaded.unwrap_or_default();
    let nft = NFT.join(" ");
    let script = format!(
        "for nft in {nft}; do command -v $nft >/dev/null && break; done; $nft -f - && $nft {}",
        list.join(" ")
    );
    let wanted = run(&UNSHARE, &["--net", "sh", "-c", &script], Some(rules))?;
    let wanted = wanted.map_err(|said| Failure::new(Code::Internal, format!("nft: {said}")))?;
    let counted = run(&NFT, &[&["list"][..], &TABLE].concat(), None)?.unwrap_or_default();
    let mut compared = differ(&lines(&wanted), &lines(&loaded));
    compared.dropped = DROPPED.map(|name| (name, packets(&counted, name))).into();
    Ok(compared)
}

fn differ(wanted: &[Line], loaded: &[Line]) -> Compared {
    let without = |all: &[Line], others: &[Line]| {
        let mut others = others.to_vec();
        let mut left = all.to_vec();
        left.retain(|line| match others.iter().position(|it| it == line) {
            Some(at) => {
                others.swap_remove(at);
                false
            }
            None => true,
        });
        left
    };
    let missing = without(wanted, loaded);
    let surplus = without(loaded, wanted);
    let rules = |all: &[Line]| {
        let rules = all.iter().filter(|it| it.block.starts_with("chain "));
        rules.cloned().collect::<Vec<_>>()
    };
    let is_reordered = missing.is_empty() && surplus.is_empty() && rules(wanted) != rules(loaded);
    Compared {
        missing,
        surplus,
        is_reordered,
        dropped: Vec::new(),
    }
}

/// Takes a listing apart: every rule of a chain is a line, everything else is one with all that is in it.
fn lines(listing: &str) -> Vec<Line> {
    let mut found: Vec<Line> = Vec::new();
    let mut block = String::new();
    for text in listing.lines().map(str::trim) {
        let opens = text.strip_suffix('{').map(str::trim_end);
        match opens {
            Some(head) if !head.contains('=') && !head.starts_with("table ") => {
                block = head.to_owned();
                if !block.starts_with("chain ") {
                    let (block, text) = (block.clone(), String::new());
                    found.push(Line { block, text });
                }
            }
            _ if text == "}" || text.is_empty() => {
                if text == "}" {
                    block.clear();
                }
            }
            _ if block.is_empty() => {}
            _ if block.starts_with("chain ") => found.push(Line {
                block: block.clone(),
                text: text.to_owned(),
            }),
            _ => {
                if let Some(whole) = found.last_mut() {
                    whole.text.push_str(text);
                    whole.text.push(' ');
                }
            }
        }
    }
    found
}

/// What a named counter says.
fn packets(listing: &str, name: &str) -> u64 {
    let head = format!("counter {name} {{");
    let after = listing.split_once(&head).map(|(_, after)| after);
    let number = after.and_then(|after| after.split_whitespace().nth(1));
    number.and_then(|number| number.parse().ok()).unwrap_or(0)
}

/// Runs a tool by the first of its names that there is: what it printed, or what it complained of.
fn run(
    names: &[&str],
    arguments: &[&str],
    input: Option<&str>,
) -> Result<Result<String, String>, Failure> {
    let start = |name: &&str| {
        Command::new(name)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .ok()
    };
    let name = names.first().copied().unwrap_or_default();
    let mut child = names.iter().find_map(start).ok_or_else(|| {
        Failure::usage(
            format!("{name} is not on this host"),
            "安装 nftables 与 util-linux,或不加 --rules",
            "Install nftables and util-linux, or leave --rules out",
        )
    })?;
    let failed = |error: std::io::Error| Failure::local(name, &error);
    if let (Some(mut stdin), Some(input)) = (child.stdin.take(), input) {
        stdin.write_all(input.as_bytes()).map_err(failed)?;
    }
    let ended = child.wait_with_output().map_err(failed)?;
    let said = String::from_utf8_lossy(&ended.stderr).trim().to_owned();
    if said.contains("Operation not permitted") {
        return Err(Failure::usage(
            format!("{name}: {said}"),
            "以 root 执行,或不加 --rules",
            "Run it as root, or leave --rules out",
        ));
    }
    Ok(match ended.status.success() {
        true => Ok(String::from_utf8_lossy(&ended.stdout).into_owned()),
        false => Err(said),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const LISTING: &str = "table inet guitai_flow {
	counter row-raft {
		packets 3 bytes 9
	}
	counter not_in_matrix {
		packets 7 bytes 9
	}
	set own-4 {
		type ipv4_addr
		flags interval
		elements = { 10.0.0.1,
			     10.0.0.2 }
	}
	chain input {
		type filter hook input priority filter; policy drop;
		iifname \"lo\" accept
		ip saddr @x ct state new limit rate over 5/second burst 5 packets counter name \"over_limit\" drop comment \"raft core-calls: Consensus: log; Core nodes\"
		ip saddr @x ct state new counter name \"row-raft\" counter name \"row-core-calls\" accept comment \"raft core-calls: Consensus\"
	}
}
";

    #[test]
    fn a_listing_is_taken_apart_and_names_its_rows() {
        let lines = lines(LISTING);
        let blocks: Vec<&str> = lines.iter().map(|line| line.block.as_str()).collect();
        let chain = "chain input";
        assert_eq!(
            blocks,
            [
                "counter row-raft",
                "counter not_in_matrix",
                "set own-4",
                chain,
                chain,
                chain,
                chain
            ]
        );
        assert!(lines[2].text.contains("10.0.0.2"), "{}", lines[2].text);
        for line in &lines[5..] {
            assert_eq!(line.rows(), BTreeSet::from(["raft", "core-calls"]));
        }
        assert_eq!(packets(LISTING, "not_in_matrix"), 7);
    }

    #[test]
    fn whatever_differs_is_named() {
        let wanted = lines(LISTING);
        assert!(differ(&wanted, &wanted).is_same());
        for at in 0..wanted.len() {
            let mut loaded = wanted.clone();
            let gone = loaded.remove(at);
            assert_eq!(
                differ(&wanted, &loaded).missing,
                std::slice::from_ref(&gone)
            );
            assert_eq!(differ(&loaded, &wanted).surplus, [gone]);
        }
        let mut turned = wanted.clone();
        turned.swap(4, 5);
        assert!(differ(&wanted, &turned).is_reordered);
        let wider = lines(&LISTING.replace("10.0.0.2 }", "10.0.0.0/8 }"));
        let compared = differ(&wanted, &wider);
        assert_eq!((compared.missing.len(), compared.surplus.len()), (1, 1));
        assert!(compared.in_words(Language::En).contains("set own-4"));
        assert_eq!(differ(&wanted, &[]).missing.len(), wanted.len());
    }
}
