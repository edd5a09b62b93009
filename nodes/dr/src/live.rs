//! What the page shows of this moment: every core node is asked what it sees, and what nobody answers is
//! said to be so. Each node speaks for itself, so it works without a leader and in quarantine.

use std::{sync::Arc, time::Duration};

use futures::future::join_all;
use guitai_net::{CallError, Calls, Target};
use guitai_types::{
    Member, NodeName, Role,
    dr::Run,
    live::{LANES_LIVE_MAX, LINES_MAX, LiveView, NodeLive},
};

use crate::{
    facts,
    recovery::{Inner, Recovery},
};

/// Name of the question.
const KIND: &str = "dr.live";
/// How long a node is given to answer, in milliseconds: the page asks every second.
const ANSWER_MS: u64 = 700;

/// Why a node's answer is not known.
#[derive(Debug, thiserror::Error)]
enum AskError {
    #[error("asking")]
    Call(#[from] CallError),
    #[error("understanding the answer")]
    Answer(#[from] serde_json::Error),
    #[error("{0} answered for another node")]
    Stranger(NodeName),
    #[error("more than {limit} of a kind")]
    TooLong { limit: usize },
}

/// Answers the question on this node.
pub(crate) fn register(calls: &Calls, inner: &Arc<Inner>) {
    let inner = inner.clone();
    calls.register(
        KIND,
        Arc::new(move |_, _| {
            let inner = inner.clone();
            Box::pin(
                async move { serde_json::to_vec(&own(&inner)).map_err(|error| error.to_string()) },
            )
        }),
    );
}

impl Recovery {
    /// What is seen now. Nobody is waited for longer than a moment.
    pub async fn live(&self) -> LiveView {
        let inner = &self.0;
        let members = inner.meta.peek(|state| {
            let cores = state.members().filter(|member| member.has(Role::Core));
            cores.cloned().collect::<Vec<Member>>()
        });
        let others = members.iter().filter(|it| it.id != inner.member.id);
        let answers = join_all(others.map(|member| async move {
            let answer = ask(inner, member).await;
            if let Err(error) = &answer {
                let error: &dyn std::error::Error = error;
                tracing::debug!(node = %member.name, error, "it says nothing of itself");
            }
            (member.name.clone(), answer.ok())
        }))
        .await;
        let (mut nodes, mut silent) = (vec![own(inner)], Vec::new());
        for (name, answer) in answers {
            match answer {
                Some(answer) => nodes.push(answer),
                None => silent.push(name),
            }
        }
        nodes.sort_by(|one, other| one.node.cmp(&other.node));
        let status = inner.meta.status();
        let leader = inner.meta.leader_heard();
        let leader = leader.and_then(|id| members.iter().find(|member| member.id == id));
        LiveView {
            at: inner.clock.wall(),
            node: inner.member.name.clone(),
            applied: status.applied,
            leader: leader.map(|member| member.name.clone()),
            nodes,
            silent,
            run: self.open(),
            control_at: self.control_at(),
        }
    }

    /// The run that is not over, as this node knows it.
    fn open(&self) -> Option<Run> {
        let inner = &self.0;
        let kept = inner.city.run().filter(|run| !run.state.is_over());
        kept.or_else(|| inner.meta.peek(|state| state.run_open().cloned()))
    }
}

fn own(inner: &Inner) -> NodeLive {
    let status = inner.meta.status();
    let now = inner.clock.monotonic();
    let members = inner.meta.peek(|state| {
        let cores = state.members().filter(|member| member.has(Role::Core));
        cores.cloned().collect::<Vec<Member>>()
    });
    let leads = status.leader == Some(inner.member.id);
    let named = |id| members.iter().find(|member: &&Member| member.id == id);
    let behind = inner.heads(|heads| {
        let known = status.matched.iter().filter(|_| leads);
        let known =
            known.filter_map(|(id, matched)| Some((named(*id)?, heads.behind(now, *matched))));
        known
            .map(|(member, behind)| (member.name.clone(), behind))
            .collect()
    });
    let mut round_trips_us = facts::round_trips(&inner.mesh, &members);
    round_trips_us.remove(&inner.member.name);
    NodeLive {
        node: inner.member.name.clone(),
        epoch: inner.meta.peek(|state| state.epoch()),
        leads,
        applied: status.applied,
        quarantine: inner.meta.lineage_view().quarantine,
        round_trips_us,
        behind,
        lanes: inner.lanes_live(now),
        verdict: inner.meta.verdict(),
    }
}

async fn ask(inner: &Inner, member: &Member) -> Result<NodeLive, AskError> {
    let within = Duration::from_millis(ANSWER_MS);
    let target = Target::from(member);
    let answer = inner
        .mesh
        .question(&target, KIND, Vec::new(), within)
        .await?;
    believed(member, serde_json::from_slice(&answer)?)
}

/// A node speaks for itself only, and not without end.
fn believed(member: &Member, answer: NodeLive) -> Result<NodeLive, AskError> {
    if answer.node != member.name {
        return Err(AskError::Stranger(answer.node));
    }
    if answer.lanes.len() > LANES_LIVE_MAX {
        let limit = LANES_LIVE_MAX;
        return Err(AskError::TooLong { limit });
    }
    if answer.round_trips_us.len().max(answer.behind.len()) > LINES_MAX {
        let limit = LINES_MAX;
        return Err(AskError::TooLong { limit });
    }
    Ok(answer)
}

#[cfg(test)]
mod tests {
    use guitai_types::Epoch;

    use super::*;
    use crate::plan::tests::members;

    fn said(name: &str) -> NodeLive {
        NodeLive {
            node: name.parse().unwrap(),
            epoch: Epoch(1),
            leads: false,
            applied: 7,
            quarantine: None,
            round_trips_us: Default::default(),
            behind: Default::default(),
            lanes: Vec::new(),
            verdict: None,
        }
    }

    #[test]
    fn who_answers_for_another_or_without_end_is_not_believed() {
        let members = members();
        let member = members.first().unwrap();
        let own = member.name.as_str();
        assert!(believed(member, said(own)).is_ok());
        assert!(matches!(
            believed(member, said("somebody")),
            Err(AskError::Stranger(_))
        ));
        let mut long = said(own);
        for number in 0..=LINES_MAX {
            let name: NodeName = format!("n-{number}").parse().unwrap();
            long.round_trips_us.insert(name, 1);
        }
        assert!(matches!(
            believed(member, long),
            Err(AskError::TooLong { limit: LINES_MAX })
        ));
    }

    #[test]
    fn what_a_node_says_is_frozen() {
        let bytes = r#"{"node":"b-1","epoch":2,"leads":true,"applied":9,"round_trips_us":{"a1-1":31000},"behind":{"a1-1":{"entries":4,"ms":150}},"lanes":[]}"#;
        let read: NodeLive = serde_json::from_str(bytes).unwrap();
        assert_eq!(serde_json::to_string(&read).unwrap(), bytes);
    }
}
