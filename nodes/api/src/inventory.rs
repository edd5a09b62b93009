//! The cryptographic inventory: every node asked what protects its hops and stores.

use std::{sync::Arc, time::Duration};

use futures::{StreamExt as _, stream};
use guitai_net::{CallError, Calls, Mesh};
use guitai_types::{
    Member, NodeName, UnixMillis,
    inventory::{CryptoPolicy, InventoryView, NodeInventory, ROWS_MAX, findings},
};

use crate::between::target;

/// Answers what a node knows of its own cryptography.
const INVENTORY_QUESTION: &str = "api.inventory";
/// How long a node may take to answer, in milliseconds; one that is down holds up nobody longer.
pub const INVENTORY_MS_MAX: u64 = 2_000;
/// Nodes asked at once.
const ASKED_AT_ONCE: usize = 16;

/// What this node says of its own cryptography now.
pub type InventorySource = Arc<dyn Fn() -> NodeInventory + Send + Sync>;

/// Why a node's inventory is not known.
#[derive(Debug, thiserror::Error)]
enum AskError {
    #[error("asking")]
    Call(#[from] CallError),
    #[error("understanding the answer")]
    Answer(#[from] serde_json::Error),
    #[error("{0} answered for another node")]
    Stranger(NodeName),
    #[error("more than {ROWS_MAX} rows")]
    TooLong,
}

/// Lets inner nodes ask this one, edge or not; called once when a node is assembled.
pub fn register_inventory(calls: &Calls, source: InventorySource) {
    calls.register(
        INVENTORY_QUESTION,
        Arc::new(move |_peer, _body| {
            let answer = serde_json::to_vec(&source()).map_err(|error| error.to_string());
            Box::pin(std::future::ready(answer))
        }),
    );
}

/// Asks every member, this node directly, and judges the answers.
pub(crate) async fn take(
    mesh: &Mesh,
    own: &InventorySource,
    policy: CryptoPolicy,
    members: Vec<Member>,
    at: UnixMillis,
) -> InventoryView {
    let me = &mesh.me().name;
    let mut answers: Vec<(NodeName, Option<NodeInventory>)> = stream::iter(members)
        .map(|member| async move {
            if member.name == *me {
                return (member.name, Some(own()));
            }
            match ask(mesh, &member).await {
                Ok(inventory) => (member.name, Some(inventory)),
                Err(error) => {
                    let error: &dyn std::error::Error = &error;
                    tracing::warn!(node = %member.name, error, "no inventory");
                    (member.name, None)
                }
            }
        })
        .buffer_unordered(ASKED_AT_ONCE)
        .collect()
        .await;
    answers.sort_by(|a, b| a.0.cmp(&b.0));
    let (mut nodes, mut silent) = (Vec::new(), Vec::new());
    for (name, answer) in answers {
        match answer {
            Some(inventory) => nodes.push(inventory),
            None => silent.push(name),
        }
    }
    let findings = findings(policy, &nodes, &silent);
    InventoryView {
        policy,
        at,
        nodes,
        silent,
        findings,
    }
}

async fn ask(mesh: &Mesh, member: &Member) -> Result<NodeInventory, AskError> {
    let deadline = Duration::from_millis(INVENTORY_MS_MAX);
    let answer = mesh
        .question(&target(member), INVENTORY_QUESTION, Vec::new(), deadline)
        .await?;
    let inventory: NodeInventory = serde_json::from_slice(&answer)?;
    if inventory.node != member.name || inventory.zone != member.zone {
        return Err(AskError::Stranger(member.name.clone()));
    }
    let rows = [
        inventory.hops.len(),
        inventory.stores.len(),
        inventory.certificates.len(),
        inventory.kernels.len(),
    ];
    if rows.iter().any(|rows| *rows > ROWS_MAX) {
        return Err(AskError::TooLong);
    }
    Ok(inventory)
}
