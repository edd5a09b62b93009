//! What nodes say of themselves: the cryptographic inventory, which keys they hold, which connections they saw, and
//! what holds them. Every node is asked when somebody asks.

use std::{sync::Arc, time::Duration};

use futures::{FutureExt as _, StreamExt as _, future::BoxFuture, stream};
use guitai_net::{CallError, Calls, Mesh};
use guitai_types::{
    Member, NodeName, UnixMillis, Zone,
    inventory::{CryptoPolicy, InventoryView, NodeInventory, ROWS_MAX, findings},
    keys::{KEY_ROWS_MAX, KeysView, NodeKeys},
    observed::{NodeFlows, SEEN_FLOWS_MAX},
    sandbox::{NodeSandbox, SANDBOX_ROWS_MAX, SandboxView},
};
use serde::{Serialize, de::DeserializeOwned};

use crate::between::target;

/// How long a node may take to answer, in milliseconds; one that is down holds up nobody longer.
pub const INVENTORY_MS_MAX: u64 = 2_000;
/// Nodes asked at once.
const ASKED_AT_ONCE: usize = 16;

/// Says one thing of this node, now.
pub type Source<T> = Arc<dyn Fn() -> T + Send + Sync>;
/// What this node says of its own cryptography.
pub type InventorySource = Source<NodeInventory>;
/// What this node says of the keys it holds; it reads files, never a key.
pub type KeysSource = Source<NodeKeys>;
/// What this node says of the connections it saw.
pub type FlowsSource = Source<NodeFlows>;
/// What this node says of its sandbox.
pub type SandboxSource = Source<NodeSandbox>;

/// Why a node's answer is not known.
#[derive(Debug, thiserror::Error)]
enum AskError {
    #[error("asking")]
    Call(#[from] CallError),
    #[error("understanding the answer")]
    Answer(#[from] serde_json::Error),
    #[error("{0} answered for another node")]
    Stranger(NodeName),
    #[error("more than {limit} rows")]
    TooLong { limit: usize },
}

/// An answer of one node about itself.
trait Answer: Serialize + DeserializeOwned + Send + 'static {
    /// What the question is called between nodes.
    const QUESTION: &'static str;
    /// Most rows believed.
    const ROWS_MAX: usize;
    /// Who says so.
    fn of(&self) -> (&NodeName, Zone);
    /// Rows of its longest list.
    fn rows(&self) -> usize;
}

impl Answer for NodeInventory {
    const QUESTION: &'static str = "api.inventory";
    const ROWS_MAX: usize = ROWS_MAX;

    fn of(&self) -> (&NodeName, Zone) {
        (&self.node, self.zone)
    }

    fn rows(&self) -> usize {
        let lists = [
            self.hops.len(),
            self.stores.len(),
            self.certificates.len(),
            self.kernels.len(),
        ];
        lists.into_iter().max().unwrap_or(0)
    }
}

impl Answer for NodeKeys {
    const QUESTION: &'static str = "api.keys";
    const ROWS_MAX: usize = KEY_ROWS_MAX;

    fn of(&self) -> (&NodeName, Zone) {
        (&self.node, self.zone)
    }

    fn rows(&self) -> usize {
        self.keys.len()
    }
}

impl Answer for NodeFlows {
    const QUESTION: &'static str = "api.flows";
    // Declared and refused connections of one party are two rows.
    const ROWS_MAX: usize = 2 * SEEN_FLOWS_MAX;

    fn of(&self) -> (&NodeName, Zone) {
        (&self.node, self.zone)
    }

    fn rows(&self) -> usize {
        self.flows.len().max(self.sockets.len())
    }
}

impl Answer for NodeSandbox {
    const QUESTION: &'static str = "api.sandbox";
    const ROWS_MAX: usize = SANDBOX_ROWS_MAX;

    fn of(&self) -> (&NodeName, Zone) {
        (&self.node, self.zone)
    }

    fn rows(&self) -> usize {
        self.rows.len()
    }
}

/// Lets inner nodes ask this one, edge or not, for its sandbox; called once when a node is assembled.
pub fn register_sandbox(calls: &Calls, sandbox: SandboxSource) {
    register(calls, sandbox);
}

/// Lets inner nodes ask this one, edge or not, for its cryptography, its keys and its connections; called once when
/// a node is assembled.
pub fn register_inventory(
    calls: &Calls,
    inventory: InventorySource,
    keys: KeysSource,
    flows: FlowsSource,
) {
    register(calls, inventory);
    register(calls, keys);
    register(calls, flows);
}

fn register<T: Answer>(calls: &Calls, source: Source<T>) {
    calls.register(
        T::QUESTION,
        Arc::new(move |_peer, _body| {
            let answer = said(source.clone());
            async move {
                let answer = answer.await.ok_or("the answer was not made")?;
                serde_json::to_vec(&answer).map_err(|error| error.to_string())
            }
            .boxed()
        }),
    );
}

/// What a source says. It reads files, so it may not hold up what the node serves; `None` if it panics.
fn said<T: Answer>(source: Source<T>) -> BoxFuture<'static, Option<T>> {
    async move { tokio::task::spawn_blocking(move || source()).await.ok() }.boxed()
}

/// Asks every member, this node directly, and judges the answers.
pub(crate) async fn take(
    mesh: &Mesh,
    own: &InventorySource,
    policy: CryptoPolicy,
    members: Vec<Member>,
    at: UnixMillis,
) -> InventoryView {
    let (nodes, silent) = ask_all(mesh, own, members).await;
    let findings = findings(policy, &nodes, &silent);
    InventoryView {
        policy,
        at,
        nodes,
        silent,
        findings,
    }
}

/// Asks every member, this node directly, which keys it holds.
pub(crate) async fn whereabouts(
    mesh: &Mesh,
    own: &KeysSource,
    members: Vec<Member>,
    at: UnixMillis,
) -> KeysView {
    let (nodes, silent) = ask_all(mesh, own, members).await;
    KeysView { at, nodes, silent }
}

/// Asks every member, this node directly, which connections it saw.
pub(crate) async fn connections(
    mesh: &Mesh,
    own: &FlowsSource,
    members: Vec<Member>,
) -> (Vec<NodeFlows>, Vec<NodeName>) {
    ask_all(mesh, own, members).await
}

/// Asks every member, this node directly, how its sandbox stands.
pub(crate) async fn sandboxes(
    mesh: &Mesh,
    own: &SandboxSource,
    members: Vec<Member>,
    at: UnixMillis,
) -> SandboxView {
    let (nodes, silent) = ask_all(mesh, own, members).await;
    SandboxView { at, nodes, silent }
}

/// The answers and those who gave none, each by name.
async fn ask_all<T: Answer>(
    mesh: &Mesh,
    own: &Source<T>,
    members: Vec<Member>,
) -> (Vec<T>, Vec<NodeName>) {
    let me = &mesh.me().name;
    let mut answers: Vec<(NodeName, Option<T>)> = stream::iter(members)
        .map(|member| async move {
            if member.name == *me {
                return (member.name, said(own.clone()).await);
            }
            match ask(mesh, &member).await {
                Ok(answer) => (member.name, Some(answer)),
                Err(error) => {
                    let error: &dyn std::error::Error = &error;
                    tracing::warn!(node = %member.name, question = T::QUESTION, error, "no answer");
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
            Some(answer) => nodes.push(answer),
            None => silent.push(name),
        }
    }
    (nodes, silent)
}

async fn ask<T: Answer>(mesh: &Mesh, member: &Member) -> Result<T, AskError> {
    let deadline = Duration::from_millis(INVENTORY_MS_MAX);
    let answer = mesh
        .question(&target(member), T::QUESTION, Vec::new(), deadline)
        .await?;
    let answer: T = serde_json::from_slice(&answer)?;
    if answer.of() != (&member.name, member.zone) {
        return Err(AskError::Stranger(member.name.clone()));
    }
    if answer.rows() > T::ROWS_MAX {
        return Err(AskError::TooLong { limit: T::ROWS_MAX });
    }
    Ok(answer)
}
