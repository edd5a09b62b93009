//! What doors of one cluster ask of each other over the mesh, so that each can answer for all.

use std::{collections::BTreeMap, sync::Arc};

use guitai_meta::{Meta, RaftStatus};
use guitai_net::{Calls, Mesh, Target};
use guitai_types::{Member, NodeId, NodeName, sync::GuardView, view::DoorView};
use serde::{Deserialize, Serialize};

use crate::door::DoorSource;

/// Answers the node's own door.
const DOOR_CALL: &str = "api.door";
/// Answers how consensus stands.
const CONSENSUS_CALL: &str = "api.consensus";

/// Why another node did not answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AskError {
    #[error("calling")]
    Call(#[from] guitai_net::CallError),
    #[error("understanding the answer")]
    Answer(#[from] serde_json::Error),
}

/// How consensus stands, as one node sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Consensus {
    /// The node that says so.
    pub(crate) said_by: NodeName,
    pub(crate) leader: Option<NodeId>,
    pub(crate) matched: BTreeMap<NodeId, u64>,
    pub(crate) heard_ms: BTreeMap<NodeId, u64>,
    #[serde(default)]
    pub(crate) guards: Vec<GuardView>,
}

impl Consensus {
    pub(crate) fn of(said_by: NodeName, status: RaftStatus) -> Self {
        let RaftStatus {
            leader,
            matched,
            heard_ms,
            guards,
            ..
        } = status;
        Self {
            said_by,
            leader,
            matched,
            heard_ms,
            guards,
        }
    }
}

/// Lets other nodes ask this one; called once when a core node is assembled.
pub fn register_calls(calls: &Calls, node: NodeName, meta: Meta, door: DoorSource) {
    calls.register(
        DOOR_CALL,
        Arc::new(move |_peer, _body| {
            let answer = serde_json::to_vec(&door()).map_err(|error| error.to_string());
            Box::pin(std::future::ready(answer))
        }),
    );
    calls.register(
        CONSENSUS_CALL,
        Arc::new(move |_peer, _body| {
            let consensus = Consensus::of(node.clone(), meta.status());
            let answer = serde_json::to_vec(&consensus).map_err(|error| error.to_string());
            Box::pin(std::future::ready(answer))
        }),
    );
}

pub(crate) async fn ask_door(mesh: &Mesh, member: &Member) -> Result<DoorView, AskError> {
    let answer = mesh
        .call_kind(&target(member), DOOR_CALL, Vec::new())
        .await?;
    Ok(serde_json::from_slice(&answer)?)
}

pub(crate) async fn ask_consensus(mesh: &Mesh, member: &Member) -> Result<Consensus, AskError> {
    let deadline = std::time::Duration::from_millis(CONSENSUS_MS_MAX);
    let answer = mesh
        .call_kind_within(&target(member), CONSENSUS_CALL, Vec::new(), deadline)
        .await?;
    Ok(serde_json::from_slice(&answer)?)
}

/// A status page does not wait longer for a leader that may just have died, in milliseconds.
const CONSENSUS_MS_MAX: u64 = 500;

/// Where a member is dialled.
pub(crate) fn target(member: &Member) -> Target {
    Target {
        addr: member.mesh,
        name: member.name.clone(),
        zone: member.zone,
    }
}
