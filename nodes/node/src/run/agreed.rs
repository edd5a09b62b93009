//! The matrix that the cluster agreed on reaches this node, and from the leader every edge, within seconds.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use guitai_meta::{Meta, State};
use guitai_net::{Calls, Mesh, Target};
use guitai_types::{
    Hex, Member, NodeName, Role, Zone,
    command::{Command, Reply},
    flows::{FLOWS_BYTES_MAX, FlowOrder},
};
use serde::{Deserialize, Serialize};

use crate::flows::Door;

/// Name of the question by which an edge is brought a matrix.
const KIND: &str = "flows.take";
/// How often it is looked whether another one is in force.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// After so many looks every edge is brought it again: one that started anew obeys that of its founding, and nobody says so.
const LOOKS_A_ROUND: u32 = 4;
/// How long an edge is given to answer.
const ANSWER: Duration = Duration::from_secs(2);

/// What an edge is brought.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Take {
    number: u32,
    matrix: String,
}

/// What it obeys then.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Taken {
    sm3: Hex,
}

/// On an edge: takes what an inner core node brings. A lower number than one that was brought before is not taken: it
/// would be from somebody who was left behind.
pub(crate) fn register(questions: &Calls, door: &Arc<Door>, mesh: &Mesh) {
    let (door, mesh) = (door.clone(), mesh.clone());
    let newest = Arc::new(std::sync::Mutex::new(0_u32));
    questions.register(
        KIND,
        Arc::new(move |from, body| {
            let (door, mesh, newest) = (door.clone(), mesh.clone(), newest.clone());
            Box::pin(async move {
                if from.zone != Zone::Inner {
                    return Err("only inner nodes bring a matrix".to_owned());
                }
                if body.len() > 2 * FLOWS_BYTES_MAX {
                    let detail =
                        format!("{} bytes, FLOWS_BYTES_MAX is {FLOWS_BYTES_MAX}", body.len());
                    return Err(detail);
                }
                let take: Take =
                    serde_json::from_slice(&body).map_err(|error| error.to_string())?;
                {
                    // Nothing that can panic runs under it.
                    let mut newest = newest
                        .lock()
                        .unwrap_or_else(std::sync::PoisonError::into_inner);
                    if take.number < *newest {
                        return Err(format!("version {} is in force here", *newest));
                    }
                    if door.present().1 != take.matrix {
                        door.take(&take.matrix)?;
                    }
                    *newest = take.number;
                }
                mesh.recheck();
                let taken = Taken {
                    sm3: door.present().0,
                };
                serde_json::to_vec(&taken).map_err(|error| error.to_string())
            })
        }),
    );
}

/// On an inner node: begins with what the deployment was founded with, takes what is agreed on, and as leader brings it
/// to the edges.
pub(crate) async fn follow(me: Member, door: Arc<Door>, meta: Meta, mesh: Mesh) {
    let mut told: BTreeMap<NodeName, u32> = BTreeMap::new();
    for look in (0..LOOKS_A_ROUND).cycle() {
        tokio::time::sleep(LOOK_EVERY).await;
        if look == 0 {
            told.clear();
        }
        let leads = meta.leader_heard() == Some(me.id);
        let (logs, flows) = meta.peek(|state| {
            let flows = state.flows().map(|flows| flows.present.clone());
            // What begins before the log does would never be in it.
            (state.log().is_some(), flows)
        });
        let Some(version) = flows else {
            if logs && leads {
                begin(&door, &meta).await;
            }
            continue;
        };
        let (present, _) = door.present();
        if present != version.sm3 {
            match door.take(&version.matrix) {
                Ok(()) => mesh.recheck(),
                Err(why) => {
                    tracing::error!(
                        number = version.number,
                        why,
                        "the agreed flow matrix is not obeyed here"
                    );
                }
            }
        }
        if !leads {
            told.clear();
            continue;
        }
        let edges: Vec<Member> = meta.peek(|state: &State| {
            let edges = state.members().filter(|member| member.has(Role::Edge));
            edges.cloned().collect()
        });
        let due = edges
            .iter()
            .filter(|edge| told.get(&edge.name) != Some(&version.number));
        let take = Take {
            number: version.number,
            matrix: version.matrix.clone(),
        };
        let body = serde_json::to_vec(&take).unwrap_or_default();
        let asked = due.map(|edge| bring(&mesh, edge, &body, &version.sm3));
        for name in futures::future::join_all(asked).await.into_iter().flatten() {
            told.insert(name, version.number);
        }
    }
}

/// The edge's name when it obeys that matrix.
async fn bring(mesh: &Mesh, edge: &Member, body: &[u8], sm3: &Hex) -> Option<NodeName> {
    let target = Target::from(edge);
    let answer = mesh.question(&target, KIND, body.to_vec(), ANSWER).await;
    let taken = answer.map(|answer| serde_json::from_slice::<Taken>(&answer));
    match taken {
        Ok(Ok(taken)) if taken.sm3 == *sm3 => Some(edge.name.clone()),
        Ok(_) => {
            tracing::error!(edge = %edge.name, "it obeys another flow matrix");
            None
        }
        Err(error) => {
            tracing::debug!(edge = %edge.name, %error, "the flow matrix was not brought");
            None
        }
    }
}

async fn begin(door: &Door, meta: &Meta) {
    let (sm3, matrix) = door.present();
    let order = Box::new(FlowOrder::Begin { matrix, sm3 });
    if let Ok(Reply::Refused { problem }) = meta.write(Command::Flow { order }).await {
        tracing::warn!(%problem, "the flow matrix is not agreed on");
    }
}
