//! The planner: from how the cluster is to what would be done, step by step, and whether it may be. A
//! plan whose margin is missing is still shown, so that the reader sees what is missing; it cannot be
//! run.

use std::collections::{BTreeMap, BTreeSet};

use guitai_types::{
    Centre, CentreId, Member, NodeId, NodeName, Role, Voice,
    dr::{
        Act, Aim, Check, Cut, Expected, ExpectedGap, HOLD_MS, PLAN_VERSION, Plan, Rpo, Service,
        Step,
    },
};

use crate::{
    Facts,
    model::{self, Timers},
    words::{nothing, text},
};

/// A node that is behind by more entries than this leads nothing.
pub const LAG_MAX: u64 = guitai_meta::BEHIND_MAX;
/// A node not heard of for this long, in milliseconds, is not counted on.
pub const HEARD_MS_MAX: u64 = guitai_meta::SILENT_MS;
/// Clocks further apart than this, in milliseconds, would make times in a report doubtful.
pub const CLOCK_MS_MAX: u64 = 50;
/// Free disk below which nothing is moved to a node, in bytes.
pub const DISK_FREE_MIN: u64 = 1024 * 1024 * 1024;
/// Days a node's certificate must still be good.
pub const CERTIFICATE_DAYS_MIN: u64 = 7;
/// The margin that only a takeover has: nobody else can agree on anything.
pub(crate) const NO_QUORUM: &str = "no-quorum";
/// How long the probes run before and after, in milliseconds.
const BASE_LINE_MS: u64 = 3_000;
/// How long they run after a takeover, in which every service of the city must come back, in milliseconds:
/// the other survivors, a recorder among them, start anew in the new epoch only when it is agreed on.
const BACK_MS: u64 = 20_000;
/// Steps that wait for nodes to come back, in milliseconds.
const SETTLE_MS: u64 = 30_000;

/// Why there is no plan.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PlanError {
    /// The cluster does not know itself yet.
    #[error("the cluster is not founded")]
    NotFounded,
    /// A name that nothing has.
    #[error("there is no {what} {name}")]
    Unknown {
        /// What.
        what: &'static str,
        /// The name.
        name: String,
    },
    /// A time that is too short or too long.
    #[error("hold for {ms} ms: HOLD_MS is {HOLD_MS:?}")]
    Hold {
        /// What was asked for.
        ms: u64,
    },
    /// Both ends of a link are the same centre.
    #[error("a link has two ends; both are {0}")]
    OneEnd(CentreId),
    /// The node that should take over stands in the lost city.
    #[error("{on} stands in the lost city {lost}")]
    InLostCity {
        /// Which node.
        on: NodeName,
        /// The city.
        lost: String,
    },
}

/// Plans `aim` for a cluster that is as `facts` say.
///
/// # Errors
/// When the aim names what is not there, or a time past [`HOLD_MS`].
pub fn plan(facts: &Facts, aim: Aim) -> Result<Plan, PlanError> {
    let cluster = facts.cluster.clone().ok_or(PlanError::NotFounded)?;
    let planner = Planner { facts };
    planner.check_aim(&aim)?;
    let (checks, steps) = match &aim {
        Aim::Node { node, hold_ms } => {
            let cut = Cut::Node { node: node.clone() };
            planner.held_apart(cut, *hold_ms)
        }
        Aim::Centre { centre, hold_ms } => {
            let centre = centre.clone();
            planner.held_apart(Cut::Centre { centre }, *hold_ms)
        }
        Aim::Link {
            from,
            to,
            one_way,
            hold_ms,
        } => {
            let cut = Cut::Link {
                from: from.clone(),
                to: to.clone(),
                one_way: *one_way,
            };
            planner.held_apart(cut, *hold_ms)
        }
        Aim::City { on, .. } => planner.city(on),
        Aim::Switch { to } => planner.switch(to),
    };
    let expected = planner.expected(&aim);
    Ok(Plan {
        v: PLAN_VERSION,
        cluster,
        epoch: facts.epoch,
        made_at: facts.now,
        aim,
        checks,
        steps,
        expected,
        round_trips_us: facts.round_trips_us.clone(),
        binary: facts.binary.clone(),
    })
}

/// The node of each centre that probes during a run: the first of its core nodes, but not the one that
/// is held apart alone.
pub fn probers(members: &[Member], aim: &Aim) -> BTreeMap<CentreId, NodeName> {
    let aside = match aim {
        Aim::Node { node, .. } => Some(node),
        _ => None,
    };
    let mut probers = BTreeMap::new();
    for member in members.iter().filter(|member| member.has(Role::Core)) {
        if Some(&member.name) != aside {
            let name = member.name.clone();
            probers.entry(member.centre.clone()).or_insert(name);
        }
    }
    probers
}

struct Planner<'a> {
    facts: &'a Facts,
}

impl Planner<'_> {
    fn check_aim(&self, aim: &Aim) -> Result<(), PlanError> {
        let hold = |ms: &u64| {
            let fits = HOLD_MS.contains(ms);
            fits.then_some(()).ok_or(PlanError::Hold { ms: *ms })
        };
        match aim {
            Aim::Node { node, hold_ms } => {
                self.core(node)?;
                hold(hold_ms)
            }
            Aim::Centre { centre, hold_ms } => {
                self.centre(centre)?;
                hold(hold_ms)
            }
            Aim::Link {
                from, to, hold_ms, ..
            } => {
                self.centre(from)?;
                self.centre(to)?;
                if from == to {
                    return Err(PlanError::OneEnd(from.clone()));
                }
                hold(hold_ms)
            }
            Aim::City { lost, on } => {
                let known = self.facts.centres.iter().any(|centre| &centre.city == lost);
                if !known {
                    return Err(unknown("city", lost));
                }
                let member = self.core(on)?;
                let city = self.centre(&member.centre)?;
                if &city.city == lost {
                    return Err(PlanError::InLostCity {
                        on: on.clone(),
                        lost: lost.to_string(),
                    });
                }
                Ok(())
            }
            Aim::Switch { to } => self.centre(to).map(drop),
        }
    }

    fn core(&self, name: &NodeName) -> Result<&Member, PlanError> {
        let mut members = self.facts.members.iter();
        let found = members.find(|member| &member.name == name && member.has(Role::Core));
        found.ok_or_else(|| unknown("core node", name))
    }

    fn centre(&self, id: &CentreId) -> Result<&Centre, PlanError> {
        let found = self.facts.centres.iter().find(|centre| &centre.id == id);
        found.ok_or_else(|| unknown("centre", id))
    }

    /// Something is held apart and comes back: base line, cut, settling, proof.
    fn held_apart(&self, cut: Cut, ms: u64) -> (Vec<Check>, Vec<Step>) {
        let gone = self.gone(&cut);
        let mut checks = self.common_checks();
        checks.push(self.quorum_without(&gone));
        checks.push(self.door_without(&gone));
        let what = match &cut {
            Cut::Node { node } => text(format!("节点 {node}"), format!("node {node}")),
            Cut::Centre { centre } => text(format!("中心 {centre}"), format!("centre {centre}")),
            Cut::Link { from, to, one_way } => {
                let arrow = if *one_way { "→" } else { "—" };
                text(
                    format!("链路 {from}{arrow}{to}"),
                    format!("link {from}{arrow}{to}"),
                )
            }
        };
        let hold = Step {
            id: "hold-apart".to_owned(),
            act: Act::Isolate { cut, ms },
            title: text(
                format!("隔离{} {ms} 毫秒", what.zh),
                format!("hold {} apart for {ms} ms", what.en),
            ),
            precondition: text("其余节点仍有多数派", "the others still have a quorum"),
            effect: text(
                "被隔离一侧收发的节点间报文全部丢弃,如同断电或断线",
                "what it sends to and hears from other nodes is dropped, as if power or line had failed",
            ),
            rollback: text(
                "到时自动恢复,或中止演练时立即恢复",
                "ends by itself in time, or at once when the run is aborted",
            ),
            irreversible: false,
            within_ms: ms + 5_000,
        };
        (
            checks,
            vec![
                self.base_line("base-line"),
                hold,
                settle(),
                self.base_line("aftermath"),
                judge(),
            ],
        )
    }

    /// Leadership moves: voices so that the place has a quorum, preference, hand-over.
    fn switch(&self, to: &CentreId) -> (Vec<Check>, Vec<Step>) {
        let mut checks = self.common_checks();
        checks.push(self.heir_in(to));
        let mut steps = vec![self.base_line("base-line")];
        let (voices, before) = self.voices_for(to);
        if !voices.is_empty() {
            let said = |voices: &BTreeMap<NodeName, Voice>| {
                let words = voices
                    .iter()
                    .map(|(name, voice)| format!("{name}={}", voice_word(*voice)));
                words.collect::<Vec<_>>().join(" ")
            };
            steps.push(Step {
                id: "voices".to_owned(),
                title: text(
                    format!("调整投票权:{}", said(&voices)),
                    format!("change who votes: {}", said(&voices)),
                ),
                precondition: text(
                    "新投票者已追上日志",
                    "those who begin to vote have caught up",
                ),
                effect: text(
                    "目标城市先有多数派,再成为主用",
                    "the city to lead has a quorum before it leads",
                ),
                rollback: text(
                    format!("恢复:{}", said(&before)),
                    format!("back to: {}", said(&before)),
                ),
                irreversible: false,
                within_ms: SETTLE_MS,
                act: Act::Voices { voices, before },
            });
        }
        steps.push(Step {
            id: "prefer".to_owned(),
            act: Act::Prefer {
                centre: Some(to.clone()),
            },
            title: text(format!("首选 {to}"), format!("prefer {to}")),
            precondition: nothing_needed(),
            effect: text(
                "主节点不再自动切回原中心",
                "leadership no longer returns to where it was",
            ),
            rollback: text("恢复配置中的首选", "back to what the profile prefers"),
            irreversible: false,
            within_ms: 5_000,
        });
        steps.push(Step {
            id: "lead".to_owned(),
            act: Act::Lead { centre: to.clone() },
            title: text(
                format!("主节点移交 {to}"),
                format!("hand leadership to {to}"),
            ),
            precondition: text(
                format!("{to} 有投票者落后不超过 {LAG_MAX} 条"),
                format!("a voter in {to} is at most {LAG_MAX} entries behind"),
            ),
            effect: text("写入由新中心确认", "writes are acknowledged there"),
            rollback: text("移交回原中心", "handed back"),
            irreversible: false,
            within_ms: 10_000,
        });
        steps.extend([settle(), self.base_line("aftermath"), judge()]);
        (checks, steps)
    }

    /// By force, on a node of the other city.
    fn city(&self, on: &NodeName) -> (Vec<Check>, Vec<Step>) {
        let epoch = guitai_types::Epoch(self.facts.epoch.0 + 1);
        let checks = vec![
            check(
                NO_QUORUM,
                text("多数派确已不可达", "no quorum can be reached"),
                self.facts.leader.is_none() && self.facts.takeover_refused.is_none(),
                match (self.facts.leader, &self.facts.takeover_refused) {
                    (Some(id), _) => format!("{} leads", self.name_of(id)),
                    (None, Some(why)) => why.clone(),
                    (None, None) => "no leader".to_owned(),
                },
                "no leader",
            ),
            self.disks(|member| &member.name == on),
        ];
        let take_over = Step {
            id: "take-over".to_owned(),
            act: Act::TakeOver {
                on: on.clone(),
                epoch,
            },
            title: text(
                format!("由 {on} 接管,启用纪元 {}", epoch.0),
                format!("{on} takes over, epoch {}", epoch.0),
            ),
            precondition: text(
                "两名授权人确认失联城市已断电或断网",
                "two officers attest that the lost city is powered or cut off",
            ),
            effect: text(
                "本节点日志中的全部条目生效,成为唯一成员;旧纪元的节点一律被拒绝",
                "every entry of its log holds; it is the one member; nodes of the old epoch are refused",
            ),
            rollback: text(
                "不可回退;旧节点以 guitai node rejoin 重新加入",
                "none; old nodes come back by guitai node rejoin",
            ),
            irreversible: true,
            within_ms: 30_000,
        };
        (
            checks,
            vec![take_over, measure("aftermath", BACK_MS), judge()],
        )
    }

    fn base_line(&self, id: &str) -> Step {
        measure(id, BASE_LINE_MS)
    }

    // --- margins -------------------------------------------------------------------------------

    fn common_checks(&self) -> Vec<Check> {
        let facts = self.facts;
        let leader = facts.leader.map(|id| self.name_of(id));
        let cores = || self.facts.members.iter().filter(|it| it.has(Role::Core));
        let silent = cores().filter(|member| !self.is_heard(member.id));
        let silent: Vec<String> = silent.map(|member| member.name.to_string()).collect();
        let behind = cores().filter(|member| self.lag(member.id).is_none_or(|lag| lag > LAG_MAX));
        let behind: Vec<String> = behind.map(|member| member.name.to_string()).collect();
        let clocks = facts.vitals.values().map(|vitals| vitals.clock_off_ms);
        let worst = clocks.max().unwrap_or(0);
        let days = facts.vitals.values().map(|vitals| vitals.certificate_days);
        let fewest = days.min().unwrap_or(0);
        vec![
            check(
                "leader",
                text("有主节点", "there is a leader"),
                leader.is_some(),
                leader.unwrap_or_else(|| "none".to_owned()),
                "a leader",
            ),
            check(
                "all-heard",
                text("全部核心节点在线", "every core node is heard"),
                silent.is_empty(),
                list(&silent, "all"),
                &format!("each within {HEARD_MS_MAX} ms"),
            ),
            check(
                "caught-up",
                text("全部核心节点日志同步", "every core node has caught up"),
                behind.is_empty(),
                list(&behind, "all"),
                &format!("at most {LAG_MAX} entries behind"),
            ),
            check(
                "clocks",
                text("时钟偏差", "clocks agree"),
                worst <= CLOCK_MS_MAX,
                format!("{worst} ms apart"),
                &format!("at most {CLOCK_MS_MAX} ms"),
            ),
            self.disks(|_| true),
            check(
                "certificates",
                text("节点证书有效期", "certificates are good"),
                fewest >= CERTIFICATE_DAYS_MIN,
                format!("{fewest} days left"),
                &format!("at least {CERTIFICATE_DAYS_MIN} days"),
            ),
        ]
    }

    fn disks(&self, which: impl Fn(&Member) -> bool) -> Check {
        let members = self.facts.members.iter().filter(|member| which(member));
        let vitals = members.filter_map(|member| self.facts.vitals.get(&member.name));
        let least = vitals.map(|vitals| vitals.disk_free).min();
        check(
            "disks",
            text("磁盘余量", "disks have room"),
            least.is_some_and(|free| free >= DISK_FREE_MIN),
            least.map_or_else(
                || "no answer".to_owned(),
                |free| format!("{} MiB", free >> 20),
            ),
            &format!("at least {} MiB free", DISK_FREE_MIN >> 20),
        )
    }

    fn quorum_without(&self, gone: &BTreeSet<NodeId>) -> Check {
        let voters = &self.facts.voters;
        let left = voters
            .iter()
            .filter(|id| !gone.contains(id) && self.is_heard(**id))
            .count();
        let needed = voters.len() / 2 + 1;
        check(
            "quorum",
            text("剩余投票者构成多数派", "the voters left are a quorum"),
            left >= needed,
            format!("{left} of {}", voters.len()),
            &format!("at least {needed}"),
        )
    }

    fn door_without(&self, gone: &BTreeSet<NodeId>) -> Check {
        let members = self.facts.members.iter();
        let left = members.filter(|it| it.has(Role::Relay) && !gone.contains(&it.id));
        let left = left.count();
        check(
            "relay",
            text("其余中心有媒体转发节点", "a relay is left elsewhere"),
            left > 0,
            left.to_string(),
            "at least 1",
        )
    }

    fn heir_in(&self, centre: &CentreId) -> Check {
        let ready = self.cores_in(centre).filter(|member| {
            self.is_heard(member.id) && self.lag(member.id).is_some_and(|lag| lag <= LAG_MAX)
        });
        let ready: Vec<String> = ready.map(|member| member.name.to_string()).collect();
        check(
            "heir",
            text("目标中心有可接任的节点", "a node there can lead"),
            !ready.is_empty(),
            list(&ready, "none"),
            "at least 1, caught up",
        )
    }

    // --- what follows from the facts -------------------------------------------------------------

    /// Core nodes that do not reach the rest. Of two centres that do not hear each other none is gone.
    fn gone(&self, cut: &Cut) -> BTreeSet<NodeId> {
        let members = self.facts.members.iter();
        let gone = members.filter(|member| match cut {
            Cut::Node { node } => &member.name == node,
            Cut::Centre { centre } => &member.centre == centre,
            Cut::Link { .. } => false,
        });
        gone.map(|member| member.id).collect()
    }

    /// Who must vote so that the city of `centre` has a quorum by itself: all its core nodes, and of
    /// the others as many fewer as make the number odd; those who vote now go first, and no centre
    /// gives a second voice before each gave one. Only what changes, and what it was.
    fn voices_for(
        &self,
        centre: &CentreId,
    ) -> (BTreeMap<NodeName, Voice>, BTreeMap<NodeName, Voice>) {
        let facts = self.facts;
        let city_of = |member: &Member| {
            let mut centres = facts.centres.iter();
            let found = centres.find(|centre| centre.id == member.centre);
            found.map(|centre| &centre.city)
        };
        let mut centres = facts.centres.iter();
        let lead = centres.find(|it| &it.id == centre).map(|it| &it.city);
        let cores = facts.members.iter().filter(|member| member.has(Role::Core));
        let (near, mut far): (Vec<&Member>, Vec<&Member>) =
            cores.partition(|member| city_of(member) == lead);
        let mut nth = BTreeMap::<&CentreId, usize>::new();
        let mut rank = BTreeMap::new();
        for member in &far {
            let nth = nth.entry(&member.centre).or_default();
            // The leader first: it cannot hand over the lead and its voice in one breath.
            let leads = facts.leader == Some(member.id);
            rank.insert(
                member.id,
                (!leads, *nth, !facts.voters.contains(&member.id)),
            );
            *nth += 1;
        }
        far.sort_by_key(|member| (rank.get(&member.id).copied(), member.id));
        let mut others = far.len().min(near.len().saturating_sub(1));
        if (near.len() + others).is_multiple_of(2) {
            others = others.saturating_sub(1);
        }
        let votes: BTreeSet<NodeId> = near
            .iter()
            .copied()
            .chain(far.into_iter().take(others))
            .map(|member| member.id)
            .collect();
        let voice = |votes: bool| if votes { Voice::Voter } else { Voice::Learner };
        let cores = facts.members.iter().filter(|member| member.has(Role::Core));
        let changed = cores
            .map(|member| {
                (
                    &member.name,
                    votes.contains(&member.id),
                    facts.voters.contains(&member.id),
                )
            })
            .filter(|(_, after, before)| after != before);
        changed
            .map(|(name, after, before)| {
                let (after, before) = (voice(after), voice(before));
                ((name.clone(), after), (name.clone(), before))
            })
            .unzip()
    }

    fn expected(&self, aim: &Aim) -> Expected {
        let facts = self.facts;
        let timers = self.timers(aim);
        let lead_is_gone = facts.leader.is_some_and(|leader| match aim {
            Aim::Node { node, .. } => self.name_of(leader) == node.as_str(),
            Aim::Centre { centre, .. } => self.is_in(leader, centre),
            _ => false,
        });
        let (p50, p99) = match aim {
            Aim::Switch { .. } => model::handed_over(&timers),
            Aim::City { .. } => (4_000, 10_000),
            _ if lead_is_gone => model::leader_lost(&timers),
            Aim::Link { .. } => model::leader_lost(&timers),
            _ => model::follower_lost(&timers),
        };
        Expected {
            rto_ms_p50: p50,
            rto_ms_p99: p99,
            rpo: match aim {
                Aim::City { .. } => Rpo::SyncZero,
                _ => Rpo::Zero,
            },
            services: self.services(aim, p50, p99, &timers),
        }
    }

    fn services(
        &self,
        aim: &Aim,
        p50: u64,
        p99: u64,
        timers: &Timers,
    ) -> BTreeMap<Service, ExpectedGap> {
        let mut services = model::services(p50, p99, timers);
        if matches!(aim, Aim::City { .. }) {
            // The other centres are lost: there is no relay to send a frame to.
            services.remove(&Service::Media);
            services.remove(&Service::Recording);
        }
        services
    }

    fn timers(&self, aim: &Aim) -> Timers {
        let facts = self.facts;
        let gone = match aim {
            Aim::Node { node, .. } => self.gone(&Cut::Node { node: node.clone() }),
            Aim::Centre { centre, .. } => {
                let centre = centre.clone();
                self.gone(&Cut::Centre { centre })
            }
            _ => BTreeSet::new(),
        };
        let left = facts.voters.iter().filter(|id| !gone.contains(id));
        let trips = left.filter_map(|id| {
            let name = self.name_of(*id);
            let mut known = facts.round_trips_us.iter();
            known
                .find(|(node, _)| node.as_str() == name)
                .map(|(_, us)| *us)
        });
        Timers {
            heartbeat_ms: facts.heartbeat_ms,
            election_ms: facts.election_ms,
            round_trips_us: trips.collect(),
            answers: facts.voters.len() / 2,
        }
    }

    fn cores_in<'a>(&'a self, centre: &'a CentreId) -> impl Iterator<Item = &'a Member> {
        let members = self.facts.members.iter();
        members.filter(move |member| member.has(Role::Core) && &member.centre == centre)
    }

    fn is_in(&self, id: NodeId, centre: &CentreId) -> bool {
        self.cores_in(centre).any(|member| member.id == id)
    }

    fn is_heard(&self, id: NodeId) -> bool {
        let heard = self.facts.heard_ms.get(&id);
        heard.is_some_and(|ms| *ms <= HEARD_MS_MAX)
    }

    fn lag(&self, id: NodeId) -> Option<u64> {
        let newest = self.facts.matched.values().max()?;
        let own = self.facts.matched.get(&id)?;
        Some(newest.saturating_sub(*own))
    }

    fn name_of(&self, id: NodeId) -> String {
        let mut members = self.facts.members.iter();
        let found = members.find(|member| member.id == id);
        found.map_or_else(|| id.to_string(), |member| member.name.to_string())
    }
}

/// The probes run for so long, and nothing changes.
fn measure(id: &str, ms: u64) -> Step {
    Step {
        id: id.to_owned(),
        act: Act::Measure { ms },
        title: text("探针测量", "probes measure"),
        precondition: nothing_needed(),
        effect: text(
            "每个中心每 20 毫秒对每项服务发出带序号的探针(呼叫建立每 250 毫秒)",
            "each centre asks each service with a serial every 20 ms (a call every 250 ms)",
        ),
        rollback: nothing(),
        irreversible: false,
        within_ms: ms + 5_000,
    }
}

fn settle() -> Step {
    Step {
        id: "settle".to_owned(),
        act: Act::Settle,
        title: text("等待全部核心节点恢复", "wait until every core node is back"),
        precondition: nothing_needed(),
        effect: text("不改变任何状态", "changes nothing"),
        rollback: nothing(),
        irreversible: false,
        within_ms: SETTLE_MS,
    }
}

fn judge() -> Step {
    Step {
        id: "judge".to_owned(),
        act: Act::Judge,
        title: text("核对探针序号", "compare the serials"),
        precondition: text("各中心探针已上报", "the probers have reported"),
        effect: text(
            "逐一核对已确认的序号,得出 RPO 与 RTO",
            "each acknowledged serial is looked for; RPO and RTO follow",
        ),
        rollback: nothing(),
        irreversible: false,
        within_ms: 20_000,
    }
}

fn nothing_needed() -> guitai_types::place::Text {
    text("无", "none")
}

fn check(
    id: &str,
    title: guitai_types::place::Text,
    ok: bool,
    found: impl Into<String>,
    need: &str,
) -> Check {
    Check {
        id: id.to_owned(),
        title,
        ok,
        found: found.into(),
        need: need.to_owned(),
    }
}

fn list(names: &[String], none: &str) -> String {
    if names.is_empty() {
        none.to_owned()
    } else {
        names.join(" ")
    }
}

fn voice_word(voice: Voice) -> &'static str {
    match voice {
        Voice::Voter => "voter",
        Voice::Learner => "learner",
        Voice::None => "none",
    }
}

fn unknown(what: &'static str, name: &impl ToString) -> PlanError {
    PlanError::Unknown {
        what,
        name: name.to_string(),
    }
}

#[cfg(test)]
pub(crate) mod tests;
