//! The matrix as people read it.

use std::{collections::BTreeSet, fmt::Display};

use guitai_flow::{Effect, Fault, Finding, Matrix, Reach, Sentence, Touch, Ways, Word as _};
use guitai_types::Date;

use crate::{Language, table::Table};

/// Every row, ordered by who opens to whom.
pub(super) fn matrix(matrix: &Matrix, digest: &str, on: Date, lang: Language) -> String {
    let (name, version) = (matrix.name(), matrix.version());
    let mut text = match lang {
        Language::Zh => format!("流转矩阵 {name} 第 {version} 版\nSM3 {digest}\n\n"),
        Language::En => format!("flow matrix {name}, version {version}\nSM3 {digest}\n\n"),
    };
    let mut table = Table::new(match lang {
        Language::Zh => [
            "行",
            "由谁建立",
            "至",
            "协议",
            "监听",
            "数据",
            "级别",
            "加封",
            "至日",
            "用途",
        ],
        Language::En => [
            "row",
            "opened by",
            "to",
            "protocol",
            "listens",
            "data",
            "class",
            "sealed",
            "until",
            "purpose",
        ],
    });
    let mut rows: Vec<_> = matrix.rows().iter().collect();
    rows.sort_by_key(|row| (row.opener(), row.listener(), row.protocol));
    for row in rows {
        let (from, to) = (row.from.role.word(), row.to.role.word());
        let data = match row.data {
            Ways::FromTo => format!("{from} → {to}"),
            Ways::ToFrom => format!("{to} → {from}"),
            Ways::Both => format!("{from} ↔ {to}"),
        };
        let sealed = if row.sealed_for.is_empty() {
            "-"
        } else {
            lang.pick("是", "yes")
        };
        let until = if row.holds(on) {
            row.expires.to_string()
        } else {
            format!("{} {}", row.expires, lang.pick("已到期", "EXPIRED"))
        };
        table.row([
            row.id.to_string(),
            row.opener().to_string(),
            row.listener().to_string(),
            row.protocol.to_string(),
            format!("{} {}", row.transport, row.port),
            data,
            row.class.word().to_uppercase(),
            sealed.to_owned(),
            until,
            lang.of(&row.purpose).to_owned(),
        ]);
    }
    text.push_str(&table.render());
    text
}

/// What keeps a file from being a matrix.
pub(super) fn faults(faults: &[Fault], lang: Language) -> String {
    let mut table = Table::new(match lang {
        Language::Zh => ["行号", "行", "字段", "错误"],
        Language::En => ["line", "row", "field", "fault"],
    });
    for fault in faults {
        let line = if fault.line == 0 {
            "-".to_owned()
        } else {
            fault.line.to_string()
        };
        table.row([
            line,
            fault.row.clone().unwrap_or_else(|| "-".to_owned()),
            fault.field.to_owned(),
            lang.of(&fault.why.words()).to_owned(),
        ]);
    }
    table.render()
}

/// What was found in a matrix.
pub(super) fn findings(
    matrix: &Matrix,
    digest: &str,
    findings: &[Finding],
    on: Date,
    lang: Language,
) -> String {
    let mut text = String::new();
    for finding in findings {
        let mark = if finding.is_remark() {
            lang.pick("提示", "note")
        } else {
            lang.pick("不符", "FINDING")
        };
        text.push_str(&format!("{mark}  {}\n", lang.of(&finding.words())));
    }
    let wrong = findings.iter().filter(|it| !it.is_remark()).count();
    let (name, version, rows) = (matrix.name(), matrix.version(), matrix.rows().len());
    text.push_str(&match lang {
        Language::Zh => {
            format!("{name} 第 {version} 版,{rows} 行,{on}:不符 {wrong} 项\nSM3 {digest}\n")
        }
        Language::En => {
            format!("{name} version {version}, {rows} rows, {on}: {wrong} findings\nSM3 {digest}\n")
        }
    });
    text
}

/// What one version allows that another did not.
pub(super) fn sentences(sentences: &[Sentence], lang: Language) -> String {
    if sentences.is_empty() {
        return format!("{}\n", lang.pick("两版相同", "both are the same"));
    }
    let mut table = Table::new(match lang {
        Language::Zh => ["", "行", "变化"],
        Language::En => ["", "row", "change"],
    });
    for it in sentences {
        let mark = match it.effect {
            Effect::Widens => lang.pick("+ 放宽", "+ widens"),
            Effect::Narrows => lang.pick("- 收紧", "- narrows"),
            Effect::Neutral => lang.pick("  不变", "  neutral"),
        };
        table.row([
            mark.to_owned(),
            it.row
                .as_ref()
                .map_or_else(|| "-".to_owned(), ToString::to_string),
            lang.of(&it.words).to_owned(),
        ]);
    }
    table.render()
}

/// What a role that was taken over has in its hands.
pub(crate) fn reach(matrix: &Matrix, reach: &Reach, lang: Language) -> String {
    let (from, on) = (reach.from, reach.on);
    let mut text = match lang {
        Language::Zh => format!(
            "{from} 失陷时({on},仅按矩阵 {} 第 {} 版推断)\n",
            matrix.name(),
            matrix.version()
        ),
        Language::En => format!(
            "if {from} is taken over ({on}, by the matrix {} version {} alone)\n",
            matrix.name(),
            matrix.version()
        ),
    };
    let opens = lang.pick("可主动建立", "it can open");
    part(&mut text, opens, &touches(&reach.opens, lang));
    let answers = lang.pick("可应答", "it can answer");
    part(&mut text, answers, &touches(&reach.answers, lang));
    let mut line = |what: &str, words: String| {
        text.push_str(&format!("\n{what}\n  {words}\n"));
    };
    let upper = |all: &BTreeSet<guitai_flow::DataClass>| match all.is_empty() {
        true => list(all, lang),
        false => list(all, lang).to_uppercase(),
    };
    line(
        lang.pick("读得到的数据级别", "classes of data it reads"),
        upper(&reach.reads),
    );
    line(
        lang.pick(
            "只能加封转发的级别(可丢弃,不可读)",
            "classes it passes on sealed (it can drop them, not read them)",
        ),
        upper(&reach.passes),
    );
    line(
        lang.pick("读得到的消息", "messages it reads"),
        list(&reach.messages_read, lang),
    );
    line(
        lang.pick("加封转发的消息", "messages it passes on sealed"),
        list(&reach.messages_passed, lang),
    );
    line(
        lang.pick("可发出(伪造)的消息", "messages it can send, and forge"),
        list(&reach.messages_sent, lang),
    );
    let cannot = &reach.cannot;
    line(
        lang.pick("不能:向其建立连接", "it cannot open a connection to"),
        list(&cannot.open_to, lang),
    );
    line(
        lang.pick("不能:与其有任何连接", "it cannot have any connection with"),
        list(&cannot.meet, lang),
    );
    line(
        lang.pick("不能:使用的协议", "it cannot speak"),
        list(&cannot.speak, lang),
    );
    line(
        lang.pick("不能:读取的数据级别", "it cannot read data of"),
        upper(&cannot.read),
    );
    line(
        lang.pick("不能:发出的消息", "it cannot send"),
        list(&cannot.send, lang),
    );
    text
}

fn part(text: &mut String, title: &str, body: &str) {
    text.push_str(&format!("\n{title}\n"));
    for line in body.lines() {
        text.push_str(&format!("  {line}\n"));
    }
}

fn touches(touches: &[Touch], lang: Language) -> String {
    if touches.is_empty() {
        return lang.pick("无", "nothing").to_owned();
    }
    let mut table = Table::new(match lang {
        Language::Zh => ["行", "对端", "协议", "监听", "级别", "可读"],
        Language::En => ["row", "with", "protocol", "listens", "class", "reads it"],
    });
    for touch in touches {
        let reads = if touch.reads {
            lang.pick("是", "yes")
        } else {
            lang.pick("否,加封", "no, sealed")
        };
        table.row([
            touch.row.to_string(),
            touch.peer.to_string(),
            touch.protocol.to_string(),
            format!("{} {}", touch.transport, touch.port),
            touch.class.word().to_uppercase(),
            reads.to_owned(),
        ]);
    }
    table.render()
}

fn list<T: Display>(all: &BTreeSet<T>, lang: Language) -> String {
    if all.is_empty() {
        return lang.pick("无", "none").to_owned();
    }
    let all: Vec<String> = all.iter().map(ToString::to_string).collect();
    all.join(" ")
}
