//! `recordings find`: by what the bank knows of a call.

use guitai_types::{record::Duty, view::SessionView};
use reqwest::Url;

use super::Find;
use crate::{Language, failure::Failure, show, staff, table::Table};

/// Who may search.
const SEARCHERS: &[Duty] = &[Duty::Operator, Duty::Auditor];
/// The answer names a path; a search is put together as the query of some address.
const ANY: &str = "http://guitai/api/v1/recordings";

/// `recordings find`, newest first.
pub(super) async fn find(it: &Find, lang: Language) -> Result<String, Failure> {
    let path = path(it)?;
    let door = staff::enter(&it.asked.access, SEARCHERS).await?;
    let found: Vec<SessionView> = door.get(&path).await?;
    if it.asked.output.json {
        show::json(&found)
    } else {
        Ok(table(&found, lang).render())
    }
}

fn path(it: &Find) -> Result<String, Failure> {
    let mut url = Url::parse(ANY).map_err(|error| Failure::local("making an address", &error))?;
    let texts = [
        ("text", Some(it.words.join(" ")).filter(|it| !it.is_empty())),
        ("branch", it.branch.as_ref().map(ToString::to_string)),
        ("queue", it.queue.as_ref().map(ToString::to_string)),
        ("from", it.from.map(|day| day.begins().to_string())),
        ("to", it.to.map(|day| day.over().to_string())),
        ("gaps", it.gaps.then(|| "true".to_owned())),
    ];
    for (name, text) in texts {
        if let Some(text) = text {
            url.query_pairs_mut().append_pair(name, &text);
        }
    }
    let query = url.query().unwrap_or_default();
    Ok(format!("{}?{query}", url.path()))
}

fn table(found: &[SessionView], lang: Language) -> Table {
    let mut table = Table::new(match lang {
        Language::Zh => [
            "会话",
            "业务编号",
            "客户号",
            "客户",
            "坐席",
            "网点",
            "队列",
            "开始",
            "录制",
        ],
        Language::En => [
            "session",
            "business",
            "customer no.",
            "customer",
            "agent",
            "branch",
            "queue",
            "started",
            "recording",
        ],
    });
    let or_none = |text: &str| if text.is_empty() { "-" } else { text }.to_owned();
    for session in found {
        table.row([
            session.id.to_string(),
            or_none(&session.business.number),
            or_none(&session.business.customer),
            session.customer.clone(),
            session.agent_display.clone(),
            or_none(session.branch.as_ref().map_or("", |it| it.as_str())),
            session.queue.to_string(),
            show::when(session.started_at.0),
            show::recording_word(&session.recording, lang),
        ]);
    }
    table
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    #[derive(clap::Parser)]
    struct Typed {
        #[command(flatten)]
        find: Find,
    }

    #[test]
    fn what_is_typed_is_what_is_asked() {
        let asked = |words: &[&str]| {
            let typed = Typed::try_parse_from([&["find"], words].concat()).unwrap();
            path(&typed.find).unwrap()
        };
        assert_eq!(asked(&[]), "/api/v1/recordings?");
        assert_eq!(
            asked(&["李 & 周", "HT#1", "--branch", "pudong", "--gaps"]),
            "/api/v1/recordings?text=%E6%9D%8E+%26+%E5%91%A8+HT%231&branch=pudong&gaps=true"
        );
        // Days begin at 16:00 UTC of the day before.
        assert_eq!(
            asked(&["--from", "2026-11-23", "--to", "2026-11-23"]),
            "/api/v1/recordings?from=1795363200000&to=1795449600000"
        );
    }
}
