//! Which recordings are looked for.

use guitai_types::{
    BranchId, QueueId, UnixMillis,
    limits::SEARCH_BYTES_MAX,
    record::{EndReason, RecordingState},
    view::SessionView,
};
use serde::Deserialize;

use crate::problem::Refusal;

/// A search among recordings; what is left out does not narrow it, and everything that is given must fit.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub(super) struct Search {
    /// Words, each of which stands in the session's id, the number of the business or of the customer, the customer's
    /// or the agent's name, the agent's login name, the branch, the queue, the edge, a recorder's name, or at the beginning of a root; capitals do not matter. At most
    /// 200 bytes.
    text: String,
    /// Started at this time or later, in milliseconds since 1970.
    #[param(value_type = Option<u64>)]
    from: Option<UnixMillis>,
    /// Started before this time.
    #[param(value_type = Option<u64>)]
    to: Option<UnixMillis>,
    /// The service that was asked for.
    #[param(value_type = Option<String>)]
    queue: Option<QueueId>,
    /// The agent's branch.
    #[param(value_type = Option<String>)]
    branch: Option<BranchId>,
    /// How the call ended.
    end: Option<EndReason>,
    /// Only those that declare a gap (`true`) or none (`false`).
    gaps: Option<bool>,
}

impl Search {
    /// Refuses what is too long.
    pub(super) fn checked(self) -> Result<Self, Refusal> {
        if self.text.len() > SEARCH_BYTES_MAX {
            let limit =
                format!("a search text has at most SEARCH_BYTES_MAX = {SEARCH_BYTES_MAX} bytes");
            return Err(Refusal::new(guitai_types::Code::TooLarge, limit));
        }
        Ok(self)
    }

    pub(super) fn finds(&self, session: &SessionView) -> bool {
        let gaps = match &session.recording {
            RecordingState::Sealed { summary } => Some(summary.gaps > 0),
            _ => None,
        };
        self.from.is_none_or(|from| session.started_at >= from)
            && self.to.is_none_or(|to| session.started_at < to)
            && self
                .queue
                .as_ref()
                .is_none_or(|queue| session.queue == *queue)
            && self
                .branch
                .as_ref()
                .is_none_or(|branch| session.branch.as_ref() == Some(branch))
            && self.end.is_none_or(|end| session.end_reason == Some(end))
            && self.gaps.is_none_or(|wanted| gaps == Some(wanted))
            && self
                .text
                .split_whitespace()
                .all(|word| stands_in(&word.to_lowercase(), session))
    }
}

fn stands_in(word: &str, session: &SessionView) -> bool {
    let root = match &session.recording {
        RecordingState::Sealed { summary } => summary.root.to_string(),
        _ => String::new(),
    };
    let recorders = session.assignments.iter().map(|turn| turn.node.as_str());
    [
        session.id.as_str(),
        &session.customer,
        &session.agent_display,
        session.agent.name.as_str(),
        &session.business.number,
        &session.business.customer,
        session.branch.as_ref().map_or("", |it| it.as_str()),
        session.queue.as_str(),
        session.edge.as_str(),
    ]
    .into_iter()
    .chain(recorders)
    .any(|text| text.to_lowercase().contains(word))
        || !root.is_empty() && root.starts_with(word)
}

#[cfg(test)]
mod tests {
    use guitai_types::record::RecordingSummary;
    use serde_json::json;

    use super::*;

    fn session() -> SessionView {
        serde_json::from_value(json!({
            "id": "5e55", "institution": "demo-bank", "queue": "wealth", "customer": "李女士 Li",
            "agent": {"institution": "demo-bank", "name": "zhangwei"}, "agent_display": "张伟 · 8001",
            "branch": "pudong", "business": {"number": "HT-2026-0042", "customer": "C900001"},
            "edge": "edge-a1", "recorders": ["a1-2"], "started_at": 1_000, "ended_at": 9_000,
            "end_reason": "customer-hung-up", "stars": null,
            "recording": {"state": "sealed", "summary": RecordingSummary {
                node: "a1-2".parse().unwrap(), root: guitai_types::Hex(vec![0xab, 0x12]), duration_ms: 1, bytes: 1, segments: 1,
                frames: 1, gaps: 2, at: UnixMillis(9_500),
            }},
            "assignments": [],
            "key": {"epoch": 1, "since": 1, "audio_suite": "sm4-gcm-sm3-128", "holders": []},
        }))
        .unwrap()
    }

    #[test]
    fn every_word_and_every_limit_must_fit() {
        let finds = |search: serde_json::Value| {
            let search: Search = serde_json::from_value(search).unwrap();
            search.finds(&session())
        };
        for fits in [
            json!({}),
            json!({"text": "  li ZHANGWEI wealth edge-a1 5e "}),
            json!({"text": "李女士 8001 AB1"}),
            json!({"from": 1_000, "to": 1_001}),
            json!({"text": "ht-2026-0042"}),
            json!({"text": "900001 pudong", "branch": "pudong"}),
            json!({"queue": "wealth", "end": "customer-hung-up", "gaps": true}),
        ] {
            assert!(finds(fits.clone()), "{fits}");
        }
        for not in [
            json!({"text": "li wang"}),
            json!({"text": "b12"}),
            json!({"text": "HT-2026-0043"}),
            json!({"branch": "pu"}),
            json!({"from": 1_001}),
            json!({"to": 1_000}),
            json!({"queue": "loans"}),
            json!({"end": "agent-hung-up"}),
            json!({"gaps": false}),
        ] {
            assert!(!finds(not.clone()), "{not}");
        }
        let long = Search {
            text: "x".repeat(SEARCH_BYTES_MAX + 1),
            ..Search::default()
        };
        assert!(long.checked().is_err());
    }
}
