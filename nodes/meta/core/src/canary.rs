//! The canary tenant, in which probers set calls up while a drill goes on. It is decided by the very
//! rules of a bank's calls, in a state of its own inside the state: no queue, statistic, recording or
//! evidence of a bank can see it, since none looks there. One tenant a prober; each call begins with a
//! new one, so that it never grows.

use guitai_types::{
    NodeName, Problem, RequestId, StaffRef,
    command::{CanaryStep, Command, PROPOSAL_VERSION, Proposal, Reply},
    dr::LANES_MAX,
    place::Text,
    record::{Branch, Duty, Institution, Queue, Reservation, Staff},
};

use crate::{RecordKey, State, apply::Turn, check};

/// Id of the tenant, of its queue, branch, team, agent. A bank of the same name would be in another state.
const CANARY: &str = "canary";

/// The ids of a canary tenant, as its prober needs them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CanaryIds {
    /// The tenant.
    pub institution: guitai_types::InstitutionId,
    /// Its one queue.
    pub queue: guitai_types::QueueId,
    /// Its one agent.
    pub agent: StaffRef,
}

impl CanaryIds {
    /// The ids; `None` never, since the word is one that every id takes.
    pub fn known() -> Option<Self> {
        let institution: guitai_types::InstitutionId = CANARY.parse().ok()?;
        Some(Self {
            institution: institution.clone(),
            queue: CANARY.parse().ok()?,
            agent: StaffRef {
                institution,
                name: CANARY.parse().ok()?,
            },
        })
    }
}

impl State {
    /// The canary tenant of a prober, while a run goes on.
    pub fn canary(&self, node: &NodeName) -> Option<&Self> {
        self.canaries.get(node)
    }

    /// The reservation that rings at the canary's agent.
    pub fn canary_rings(&self, node: &NodeName) -> Option<&Reservation> {
        self.canary(node)?.reservations.values().next()
    }
}

impl Turn<'_> {
    /// One step of a canary's call. Refused while no run goes on, and for every order that is none of a
    /// call's set-up.
    pub(crate) fn canary(
        &mut self,
        request: &RequestId,
        node: &NodeName,
        step: &CanaryStep,
    ) -> Result<Reply, Problem> {
        if self.state.run_under_way().is_none() {
            return Err(check::wrong("no run is under way, so nobody probes"));
        }
        self.state
            .member(node)
            .ok_or_else(|| check::missing("node"))?;
        let (tenant, reply) = match step {
            CanaryStep::Begin => {
                let present = self.state.canaries.len();
                if !self.state.canaries.contains_key(node) {
                    check::room("canary tenants", present, "LANES_MAX", LANES_MAX)?;
                }
                let mut tenant = State::default();
                let founding = self.founding()?;
                let reply = self.decide_in(&mut tenant, request, founding);
                (tenant, reply)
            }
            CanaryStep::Order { command } => {
                let allowed = matches!(
                    **command,
                    Command::SetPresence { .. }
                        | Command::OpenTicket { .. }
                        | Command::Accept { .. }
                );
                if !allowed {
                    return Err(check::bad("a canary only sets calls up"));
                }
                let tenant = self.state.canaries.remove(node);
                let mut tenant = tenant.ok_or_else(|| check::missing("canary tenant"))?;
                let reply = self.decide_in(&mut tenant, request, (**command).clone());
                (tenant, reply)
            }
        };
        self.state.canaries.insert(node.clone(), tenant);
        self.changed(RecordKey::Canary(node.clone()));
        match reply {
            Reply::Refused { problem } => Err(problem),
            reply => Ok(reply),
        }
    }

    /// Nobody probes any more.
    pub(crate) fn forget_canaries(&mut self) {
        for node in std::mem::take(&mut self.state.canaries).into_keys() {
            self.changed(RecordKey::Canary(node));
        }
    }

    fn decide_in(&self, tenant: &mut State, request: &RequestId, command: Command) -> Reply {
        let proposal = Proposal {
            v: PROPOSAL_VERSION,
            request: request.clone(),
            at: self.now,
            command,
            salt: None,
        };
        tenant.apply(&proposal).reply
    }

    /// A tenant with one queue and one agent, on the nodes and under the policy of the cluster.
    fn founding(&self) -> Result<Command, Problem> {
        let ids = CanaryIds::known().ok_or_else(|| check::bad("no canary"))?;
        let word = || check::bad("no canary");
        let branch: guitai_types::BranchId = CANARY.parse().map_err(|_| word())?;
        let team: guitai_types::TeamId = CANARY.parse().map_err(|_| word())?;
        let skill: guitai_types::Skill = CANARY.parse().map_err(|_| word())?;
        let name = Text {
            zh: "演练租户".to_owned(),
            en: "Canary".to_owned(),
        };
        Ok(Command::Found {
            cluster: CANARY.parse().map_err(|_| word())?,
            cities: self.state.places.cities.clone(),
            centres: self.state.places.centres.clone(),
            members: self.state.members.values().cloned().collect(),
            institutions: vec![Institution {
                id: ids.institution,
                name: name.clone(),
                branches: vec![Branch {
                    id: branch.clone(),
                    name: name.clone(),
                    teams: vec![team.clone()],
                }],
                queues: vec![Queue {
                    id: ids.queue,
                    name,
                    skills: vec![skill.clone()],
                    steps: Vec::new(),
                }],
            }],
            staff: vec![Staff {
                id: ids.agent,
                display: CANARY.to_owned(),
                number: String::new(),
                branch,
                team,
                skills: vec![skill],
                duties: vec![Duty::Agent],
                password_phc: String::new(),
                approval_key: None,
            }],
            policy: self.state.head.policy.clone(),
        })
    }
}
