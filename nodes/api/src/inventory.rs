//! What nodes say of themselves: the cryptographic inventory, which keys they hold, which connections they saw, and
//! what holds them. Every node is asked when somebody asks.

use std::{sync::Arc, time::Duration};

use futures::{FutureExt as _, StreamExt as _, future::BoxFuture, stream};
use guitai_net::{CallError, Calls, Mesh};
use guitai_types::{
    Hex, Member, NodeName, Role, SessionId, UnixMillis, Zone,
    attest::{MEASURED_FILES_MAX, Measures, NodeMeasure},
    inventory::{CryptoPolicy, InventoryView, NodeInventory, ROWS_MAX, findings},
    keys::{KEY_ROWS_MAX, KeysView, NodeKeys},
    observed::{NodeFlows, SEEN_FLOWS_MAX},
    passed::{NodePassed, PASSED_MAX, Passed},
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
/// What this node says it was started from; it waits while the files are being read.
pub type MeasureSource = Source<NodeMeasure>;
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

impl Answer for NodeMeasure {
    const QUESTION: &'static str = "api.measures";
    const ROWS_MAX: usize = MEASURED_FILES_MAX;

    fn of(&self) -> (&NodeName, Zone) {
        (&self.node, self.zone)
    }

    fn rows(&self) -> usize {
        self.files.as_ref().map_or(0, Vec::len)
    }
}

/// Lets inner nodes ask this one, edge or not, what it was started from; called once when a node is assembled.
pub fn register_measures(calls: &Calls, measure: MeasureSource) {
    register(calls, measure);
}

impl Answer for NodePassed {
    const QUESTION: &'static str = "api.passed";
    const ROWS_MAX: usize = PASSED_MAX;

    fn of(&self) -> (&NodeName, Zone) {
        (&self.node, self.zone)
    }

    fn rows(&self) -> usize {
        self.connections.len()
    }
}

/// What this node's relay counted of one session.
pub type PassedSource = Arc<dyn Fn(&SessionId) -> NodePassed + Send + Sync>;

/// Lets inner nodes ask this one what passed its relay of one session; called once when a node with one is assembled.
pub fn register_passed(calls: &Calls, passed: PassedSource) {
    calls.register(
        NodePassed::QUESTION,
        Arc::new(move |_peer, body| {
            let passed = passed.clone();
            async move {
                let session: SessionId =
                    serde_json::from_slice(&body).map_err(|error| error.to_string())?;
                serde_json::to_vec(&passed(&session)).map_err(|error| error.to_string())
            }
            .boxed()
        }),
    );
}

/// Asks every node that has a relay, this one directly, what passed it of one session.
pub(crate) async fn passed(
    mesh: &Mesh,
    own: Option<&PassedSource>,
    members: Vec<Member>,
    session: &SessionId,
    at: UnixMillis,
) -> Passed {
    let relays = members
        .into_iter()
        .filter(|it| it.has(Role::Relay) || it.has(Role::Edge));
    let body = serde_json::to_vec(session).unwrap_or_default();
    let asked = relays.map(|member| {
        let body = body.clone();
        async move {
            if let Some(own) = own.filter(|_| member.name == mesh.me().name) {
                return (member.name, Some(own(session)));
            }
            let answer = known(ask::<NodePassed>(mesh, &member, body).await, &member.name);
            (member.name, answer)
        }
    });
    let answers = stream::iter(asked).buffer_unordered(ASKED_AT_ONCE);
    let (nodes, silent) = apart(answers.collect().await);
    Passed { at, nodes, silent }
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

/// Asks every member, this node directly, what it was started from; `matrix` is the one that they should obey.
pub(crate) async fn measures(
    mesh: &Mesh,
    own: &MeasureSource,
    members: Vec<Member>,
    matrix: Option<Hex>,
    at: UnixMillis,
) -> Measures {
    let (nodes, silent) = ask_all(mesh, own, members).await;
    Measures {
        at,
        matrix,
        nodes,
        silent,
    }
}

/// The answers and those who gave none, each by name.
async fn ask_all<T: Answer>(
    mesh: &Mesh,
    own: &Source<T>,
    members: Vec<Member>,
) -> (Vec<T>, Vec<NodeName>) {
    let me = &mesh.me().name;
    let answers: Vec<(NodeName, Option<T>)> = stream::iter(members)
        .map(|member| async move {
            if member.name == *me {
                return (member.name, said(own.clone()).await);
            }
            let answer = known(ask(mesh, &member, Vec::new()).await, &member.name);
            (member.name, answer)
        })
        .buffer_unordered(ASKED_AT_ONCE)
        .collect()
        .await;
    apart(answers)
}

/// The answer, or a line in the log.
fn known<T: Answer>(answer: Result<T, AskError>, node: &NodeName) -> Option<T> {
    answer
        .inspect_err(|error| {
            let error: &dyn std::error::Error = error;
            tracing::warn!(%node, question = T::QUESTION, error, "no answer");
        })
        .ok()
}

/// The answers and those who gave none, each by name.
fn apart<T>(mut answers: Vec<(NodeName, Option<T>)>) -> (Vec<T>, Vec<NodeName>) {
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

async fn ask<T: Answer>(mesh: &Mesh, member: &Member, body: Vec<u8>) -> Result<T, AskError> {
    let deadline = Duration::from_millis(INVENTORY_MS_MAX);
    let answer = mesh
        .question(&target(member), T::QUESTION, body, deadline)
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
