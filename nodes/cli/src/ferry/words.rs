//! What the commands of the ferry say to people.

use guitai_ferry::report::{Direction, Report, Standing};

use super::{
    fault_name,
    receive::{Ended, Received},
    send::Sent,
    state::{Config, State},
};
use crate::{Language, show::when, table::Table};

pub(super) fn made(config: &Config, lang: Language) -> String {
    let key = &config.key;
    let mut text = match lang {
        Language::Zh => format!("本侧公钥(交对侧用 --peer-key 钉定):\n{key}\n"),
        Language::En => format!("this side's key, for the other side's --peer-key:\n{key}\n"),
    };
    text += match &config.peer_key {
        Some(_) => lang.pick("已钉定对侧公钥\n", "the other side's key is pinned\n"),
        None => lang.pick(
            "尚未钉定对侧公钥:guitai ferry init --peer-key KEY\n",
            "the other side's key is not pinned yet: guitai ferry init --peer-key KEY\n",
        ),
    };
    text
}

pub(super) fn sent(sent: &Sent, lang: Language) -> String {
    let mut text = String::new();
    for item in &sent.queued {
        text += &format!("+ {} {} ({} B)\n", item.number, item.name, item.bytes);
    }
    for skipped in &sent.skipped {
        let file = skipped.file.display();
        text += &format!("! {file}: {}\n", skipped.why);
    }
    let (made, put, outstanding, waiting) = (
        sent.made.len(),
        sent.sent.len(),
        sent.outstanding,
        sent.waiting,
    );
    text += &match lang {
        Language::Zh => {
            format!("新装 {made} 包,投放 {put} 包,未确认 {outstanding} 包,待装 {waiting} 项\n")
        }
        Language::En => format!(
            "{made} bundle(s) made, {put} put into the drop folder, {outstanding} unacknowledged, {waiting} item(s) waiting\n"
        ),
    };
    if sent.full {
        text += lang.pick(
            "! 未确认的包已达上限,暂停装包\n",
            "! too many bundles are unacknowledged; no more are made\n",
        );
    }
    text
}

pub(super) fn received(received: &Received, lang: Language) -> String {
    let mut text = String::new();
    let line = |mark: &str, it: &Ended| {
        let why = it
            .why
            .map(|why| format!(" ({})", why.name()))
            .unwrap_or_default();
        let Ended {
            item, inspection, ..
        } = it;
        format!("{mark} {} {}{why}: {inspection}\n", item.number, item.name)
    };
    received.kept.iter().for_each(|it| text += &line("+", it));
    received
        .refused
        .iter()
        .for_each(|it| text += &line("!", it));
    for bad in &received.files {
        text += &format!("! {} ({}): {}\n", bad.file, bad.why.name(), bad.detail);
    }
    let (taken, again, waiting) = (
        received.taken.len(),
        received.duplicates.len(),
        received.waiting.len(),
    );
    text += &match lang {
        Language::Zh => format!("收下 {taken} 包,重复 {again} 包,等候前包 {waiting} 包\n"),
        Language::En => format!(
            "{taken} bundle(s) taken, {again} had been taken before, {waiting} wait for one before them\n"
        ),
    };
    if !received.missing.is_empty() {
        let numbers = numbers(&received.missing);
        text += &match lang {
            Language::Zh => format!("缺少编号 {numbers} 的包,随下一确认告知对侧\n"),
            Language::En => {
                format!("missing {numbers}; the next acknowledgement says so\n")
            }
        };
    }
    if received.unsettled > 0 {
        let count = received.unsettled;
        text += &match lang {
            Language::Zh => format!("{count} 个文件尚在写入,下次再读\n"),
            Language::En => format!("{count} file(s) are too fresh and left for the next run\n"),
        };
    }
    text
}

fn numbers(numbers: &[u64]) -> String {
    let numbers: Vec<String> = numbers.iter().map(ToString::to_string).collect();
    numbers.join(", ")
}

pub(super) fn report(report: &Report, lang: Language) -> String {
    let mut table = Table::new(match lang {
        Language::Zh => [
            "方向",
            "包",
            "字节",
            "重复",
            "未确认",
            "收下",
            "字节",
            "拒收",
            "坏文件",
        ],
        Language::En => [
            "direction",
            "bundles",
            "bytes",
            "again",
            "outstanding",
            "kept",
            "bytes",
            "refused",
            "bad files",
        ],
    });
    for (zh, en, it) in [
        ("发出", "sent", &report.sent),
        ("收入", "received", &report.received),
    ] {
        table.row([
            lang.pick(zh, en).to_owned(),
            it.bundles.to_string(),
            it.bundle_bytes.to_string(),
            it.again.to_string(),
            it.outstanding.to_string(),
            it.kept.to_string(),
            it.kept_bytes.to_string(),
            it.refused.to_string(),
            it.files_refused.to_string(),
        ]);
    }
    let mut text = table.render();
    for (zh, en, it) in [
        ("发出", "sent", &report.sent),
        ("收入", "received", &report.received),
    ] {
        if !it.items.is_empty() {
            text += &format!("\n{}\n{}", lang.pick(zh, en), items(it, lang));
        }
    }
    text.push('\n');
    for finding in &report.findings {
        let (zh, en) = fault_name(finding.fault);
        text += &format!("! {}: {}\n", lang.pick(zh, en), lang.of(&finding.what));
    }
    if report.findings.is_empty() {
        text += lang.pick("没有发现问题\n", "No findings\n");
    }
    let (length, end) = (report.journal.length, report.journal.sm3);
    text += &match lang {
        Language::Zh => format!("依据账本 {length} 条,末条 SM3 {end}\n"),
        Language::En => format!("From a journal of {length} records, the last of SM3 {end}\n"),
    };
    text
}

fn items(direction: &Direction, lang: Language) -> String {
    let mut table = Table::new(match lang {
        Language::Zh => [
            "#", "时间", "类别", "名称", "字节", "SM3", "状态", "包", "检查",
        ],
        Language::En => [
            "#",
            "when",
            "kind",
            "name",
            "bytes",
            "SM3",
            "standing",
            "bundle",
            "inspection",
        ],
    });
    for it in &direction.items {
        let why = it
            .why
            .map(|why| format!("{}: ", why.name()))
            .unwrap_or_default();
        table.row([
            it.item.number.to_string(),
            when(it.at.0),
            it.item.kind.to_string(),
            it.item.name.to_string(),
            it.item.bytes.to_string(),
            it.item.sm3.to_string(),
            standing(it.standing, lang).to_owned(),
            it.bundle
                .map(|number| number.to_string())
                .unwrap_or_default(),
            format!("{why}{}", it.inspection),
        ]);
    }
    table.render()
}

const fn standing(standing: Standing, lang: Language) -> &'static str {
    match standing {
        Standing::Queued => lang.pick("待装", "queued"),
        Standing::Outstanding => lang.pick("未确认", "outstanding"),
        Standing::Partial => lang.pick("部分到达", "partial"),
        Standing::Kept => lang.pick("收下", "kept"),
        Standing::Refused => lang.pick("拒收", "refused"),
    }
}

pub(super) fn status(state: &State, lang: Language) -> String {
    let (out, into) = (&state.side.out, &state.side.into);
    let mut table = Table::default();
    let mut row = |zh: &str, en: &str, value: String| {
        table.row([lang.pick(zh, en).to_owned(), value]);
    };
    let terms = &state.side.terms;
    let (ferry, me, peer) = (&terms.ferry, &terms.me, &terms.peer);
    row("网闸", "ferry", format!("{ferry}: {me} ⇄ {peer}"));
    row("已装包", "bundles made", out.last().to_string());
    row(
        "已确认至",
        "acknowledged up to",
        out.acknowledged_up_to().to_string(),
    );
    row(
        "未确认",
        "unacknowledged",
        out.outstanding().len().to_string(),
    );
    row("待装", "items waiting", out.waiting().count().to_string());
    let missing: Vec<u64> = out.missing().iter().copied().collect();
    row("对侧缺包", "missing there", numbers(&missing));
    row("已收至", "received up to", into.received().to_string());
    row("已收项", "items", into.items().to_string());
    let missing: Vec<u64> = into.missing().into_iter().collect();
    row("本侧缺包", "missing here", numbers(&missing));
    if let Some((item, there)) = into.open() {
        let (name, bytes) = (&item.name, item.bytes);
        row("未收全", "coming", format!("{name}: {there}/{bytes} B"));
    }
    let pinned = state.config.peer_key.as_deref().unwrap_or("–");
    row("对侧公钥", "its key", pinned.to_owned());
    table.render()
}
