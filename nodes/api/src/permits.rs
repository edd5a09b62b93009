//! Permits for relays and edges to take new calls: the leader signs one for each every
//! [`PERMIT_RENEWED_MS`], as long as it can prove that it leads; whoever gets none stops by itself. The
//! rules are in `guitai_relay::permit`.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use futures::{StreamExt as _, stream::FuturesUnordered};
use guitai_meta::{Meta, State};
use guitai_net::{Calls, Mesh};
use guitai_relay::{permit::Permits, token::Signer};
use guitai_types::{
    Epoch, Hex, Member, NodeName, Role,
    permit::{PERMIT_MS, PERMIT_RENEWED_MS, Permit, PermitAnswer, PermitOffer},
};

use crate::between::target;

/// Asks for a nonce and brings a permit.
const PERMIT_QUESTION: &str = "api.permit";
/// How long a node may take to answer, and the leader to prove that it leads, in milliseconds.
const ANSWER_MS_MAX: u64 = 700;

/// Lets the leader bring permits to this node; called once when a node is assembled.
pub fn register_permits(questions: &Calls, permits: Permits) {
    questions.register(
        PERMIT_QUESTION,
        Arc::new(move |_peer, body| {
            let offer = serde_json::from_slice::<PermitOffer>(&body);
            let answer = offer.map(|offer| permits.answer(&offer));
            let answer = answer.and_then(|answer| serde_json::to_vec(&answer));
            Box::pin(std::future::ready(
                answer.map_err(|error| error.to_string()),
            ))
        }),
    );
}

/// What [`renew_permits`] works with.
pub struct PermitDeps {
    /// This node.
    pub me: Member,
    /// Who leads, and who there is.
    pub meta: Meta,
    /// The way to the others.
    pub mesh: Mesh,
    /// Signs.
    pub signer: Arc<Signer>,
    /// This node's own, if it relays media.
    pub own: Option<Permits>,
}

/// Renews for ever. Runs on every core node; the one that leads acts.
pub async fn renew_permits(deps: PermitDeps) {
    let mut pace = tokio::time::interval(Duration::from_millis(PERMIT_RENEWED_MS));
    pace.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut nonces = BTreeMap::new();
    loop {
        pace.tick().await;
        let Some(epoch) = deps.proved().await else {
            nonces.clear();
            continue;
        };
        let members: Vec<Member> = deps.meta.peek(|state| {
            let relays = state.members().filter(|member| carries(member));
            relays.cloned().collect()
        });
        let mut renewed: FuturesUnordered<_> = members
            .iter()
            .map(|member| deps.renew(member, nonces.get(&member.name).cloned(), epoch))
            .collect();
        let mut next = BTreeMap::new();
        while let Some(answer) = renewed.next().await {
            next.extend(answer);
        }
        drop(renewed);
        nonces = next;
    }
}

impl PermitDeps {
    /// The epoch, if this node leads and a quorum has just confirmed it.
    async fn proved(&self) -> Option<Epoch> {
        let leads = || self.meta.status().leader == Some(self.me.id);
        if !leads() {
            return None;
        }
        let within = Duration::from_millis(ANSWER_MS_MAX);
        let proved = tokio::time::timeout(within, self.meta.read(State::epoch)).await;
        // Whoever is in quarantine may believe that it leads.
        proved
            .ok()?
            .ok()
            .filter(|epoch| leads() && *epoch >= self.meta.epoch())
    }

    /// Brings a node its permit, asking for a nonce first where there is none; gives the next nonce.
    async fn renew(
        &self,
        member: &Member,
        mut nonce: Option<Hex>,
        epoch: Epoch,
    ) -> Option<(NodeName, Hex)> {
        // A node that was started anew knows no nonce of before.
        for _ in 0..2 {
            let permit = nonce.map(|nonce| {
                self.signer.permit(&Permit {
                    v: 1,
                    node: member.name.clone(),
                    epoch,
                    nonce,
                    life_ms: PERMIT_MS,
                })
            });
            let is_offered = permit.is_some();
            let answer = self.offer(member, &PermitOffer { permit }).await?;
            if is_offered && answer.refused.is_none() {
                return Some((member.name.clone(), answer.nonce));
            }
            if let Some(why) = &answer.refused {
                tracing::debug!(node = %member.name, why, "a permit was not taken");
            }
            nonce = Some(answer.nonce);
        }
        None
    }

    async fn offer(&self, member: &Member, offer: &PermitOffer) -> Option<PermitAnswer> {
        if member.name == self.me.name {
            return Some(self.own.as_ref()?.answer(offer));
        }
        let within = Duration::from_millis(ANSWER_MS_MAX);
        let (to, body) = (target(member), serde_json::to_vec(offer).ok()?);
        let asked = self.mesh.question(&to, PERMIT_QUESTION, body, within);
        match asked.await {
            Ok(answer) => serde_json::from_slice(&answer).ok(),
            Err(error) => {
                let error: &dyn std::error::Error = &error;
                tracing::trace!(node = %member.name, error, "no permit was brought");
                None
            }
        }
    }
}

fn carries(member: &Member) -> bool {
    member.has(Role::Relay) || member.has(Role::Edge)
}
