//! One call from the catalogue to the verified package.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use guitai_crypto::sm2::SecretKey;
use guitai_evidence::Options;
use guitai_host::Clock;
use guitai_types::{
    Code, Hex, ReservationId, SessionId, TicketId,
    control::{Catalogue, OpenTicket},
    record::{Consent, Presence, RecordingState, WrappedKey},
    view::{CallView, DeskView, DoorView, QueueView, SessionView, TicketPhase, TicketView},
};
use reqwest::Method;
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::sync::watch;
use url::Url;

use super::{
    CallReport, Setting, StageFailure,
    media::{self, Part, Role, Tally},
    sample::Samples,
    stage::stage,
};
use crate::{
    Account, evidence,
    failure::Failure,
    http::{Door, Events},
    staff,
};

/// How long both sides talk once the recording runs: several segments of at most 2 s.
const TALK_MS: u64 = 4_000;
/// Between two looks at a session that is being sealed.
const LOOK_MS: u64 = 200;
/// Tracks of a call: a picture and a voice of each side.
const TRACKS: u64 = 4;
/// Stars the customer gives.
const STARS: u8 = 5;
/// Version of the consent's wording.
const WORDING: &str = "2026-11";

const FINISH: &str = "/api/v1/me/finish";

/// Where and with whom one call is made.
pub(super) struct Plan<'a> {
    pub(super) number: usize,
    pub(super) edge: &'a Url,
    pub(super) core: &'a Url,
    pub(super) agent: &'a Account,
    pub(super) auditor: &'a Account,
    pub(super) setting: &'a Setting,
}

#[derive(Deserialize)]
struct Opened {
    ticket: TicketId,
    token: String,
    view: TicketView,
}

/// The customer at the edge.
struct Customer {
    door: Door,
    ticket: TicketId,
    key: SecretKey,
    views: Events<TicketView>,
    seen: TicketView,
}

/// The agent at the inner node.
struct Agent {
    door: Door,
    key: SecretKey,
    views: Events<DeskView>,
}

/// Makes the call; whatever fails is in the report.
pub(super) async fn make(plan: &Plan<'_>, samples: &Samples, clock: &dyn Clock) -> CallReport {
    let mut report = CallReport {
        call: plan.number,
        edge: authority(plan.edge),
        core: authority(plan.core),
        agent: format!("{}/{}", plan.agent.institution, plan.agent.name),
        ..CallReport::default()
    };
    if let Err(failure) = through(plan, samples, clock, &mut report).await {
        report.failure = Some(failure);
    }
    report
}

async fn through(
    plan: &Plan<'_>,
    samples: &Samples,
    clock: &dyn Clock,
    report: &mut CallReport,
) -> Result<(), StageFailure> {
    let mut agent = stage("agent-login", Agent::arrive(plan)).await?;
    let asked_ms = now_ms(clock);
    let mut customer = stage("ticket", Customer::arrive(plan, &agent, clock)).await?;
    stage("agent-ready", agent.set_presence(Presence::Ready)).await?;
    let reservation = stage("ring", agent.wait_for_ring(&customer.name(plan))).await?;
    report.ring_ms = Some(now_ms(clock) - asked_ms);

    let accepted_ms = now_ms(clock);
    let desk_call = stage("accept", agent.accept(&reservation)).await?;
    report.session = Some(desk_call.session.clone());
    let call = stage("session", customer.wait_for_call(|_| true)).await?;
    talk(
        &mut customer,
        &agent,
        (&call, &desk_call),
        samples,
        clock,
        accepted_ms,
        report,
    )
    .await?;
    report.stars = Some(stage("rating", customer.rate()).await?);
    stage("wrap-up", agent.leave()).await?;
    let auditor = stage(
        "auditor-login",
        staff::login(&door(plan.core)?, plan.auditor),
    )
    .await?;
    let session = &desk_call.session;
    stage("sealing", wait_until_sealed(&auditor, session, report)).await?;
    stage("package", check_package(plan, &auditor, session, report)).await
}

/// Both sides connect, talk, walk through the steps, and the customer hangs up.
async fn talk(
    customer: &mut Customer,
    agent: &Agent,
    (call, desk_call): (&CallView, &CallView),
    samples: &Samples,
    clock: &dyn Clock,
    accepted_ms: u64,
    report: &mut CallReport,
) -> Result<(), StageFailure> {
    let doors = async {
        let edge: DoorView = customer.door.get("/api/v1/door").await?;
        let core: DoorView = agent.door.get("/api/v1/door").await?;
        Ok((edge, core))
    };
    let (edge, core) = stage("doors", doors).await?;
    let customer_part = Part {
        role: Role::Customer,
        access: &call.media,
        door: &edge,
        key: open_key("media-key", &customer.key, &call.media.key)?,
        shows: &samples.customer,
        sees: &samples.agent,
    };
    let agent_part = Part {
        role: Role::Agent,
        access: &desk_call.media,
        door: &core,
        key: open_key("media-key", &agent.key, &desk_call.media.key)?,
        shows: &samples.agent,
        sees: &samples.customer,
    };
    let connecting =
        async { tokio::try_join!(media::connect(&customer_part), media::connect(&agent_part)) };
    let (customer_media, agent_media) = stage("media", connecting).await?;
    report.set_up_ms = Some(now_ms(clock) - accepted_ms);

    let (hang_up, over) = watch::channel(false);
    let (customer_tally, agent_tally) = (Tally::default(), Tally::default());
    let flow = async {
        let flow = walk(customer, agent, call, clock, accepted_ms, report).await;
        hang_up.send_replace(true);
        flow
    };
    let (flow, customer_media_end, agent_media_end) = tokio::join!(
        flow,
        media::take_part(
            &customer_part,
            &customer_media,
            &customer_tally,
            clock,
            over.clone()
        ),
        media::take_part(&agent_part, &agent_media, &agent_tally, clock, over),
    );
    report.customer = customer_tally.side(accepted_ms);
    report.agent_side = agent_tally.side(accepted_ms);
    tokio::join!(customer_media.close(), agent_media.close());
    flow?;
    let media_end = async { customer_media_end.and(agent_media_end) };
    stage("media", media_end).await
}

/// What happens while the media flow.
async fn walk(
    customer: &mut Customer,
    agent: &Agent,
    call: &CallView,
    clock: &dyn Clock,
    accepted_ms: u64,
    report: &mut CallReport,
) -> Result<(), StageFailure> {
    let running = |call: &CallView| matches!(call.recording, RecordingState::Running { .. });
    stage("recording", customer.wait_for_call(running)).await?;
    report.recording_ms = Some(now_ms(clock) - accepted_ms);
    for step in &call.steps {
        stage("step", agent.add_step(&call.session, &step.id)).await?;
        stage("confirm", customer.confirm(&step.id)).await?;
        report.steps += 1;
    }
    tokio::time::sleep(Duration::from_millis(TALK_MS)).await;
    stage("hang-up", customer.hang_up()).await
}

impl Agent {
    /// Logs in and sits down, on a break.
    async fn arrive(plan: &Plan<'_>) -> Result<Self, Failure> {
        let door = staff::login(&Door::new(plan.core.clone())?, plan.agent).await?;
        let desk: DeskView = door.get("/api/v1/desk").await?;
        match desk.presence {
            Presence::WrapUp => {
                door.send::<DeskView>(Method::POST, FINISH, &json!({}))
                    .await
                    .map(drop)?;
            }
            Presence::Ringing | Presence::Busy => {
                let detail = "the agent's desk is in use; try again when it is free";
                return Err(Failure::new(Code::WrongState, detail));
            }
            Presence::Offline | Presence::Break | Presence::Ready => {}
        }
        let views = door.events("/api/v1/desk/events").await?;
        let agent = Self {
            door,
            key: SecretKey::generate(),
            views,
        };
        agent.set_presence(Presence::Break).await?;
        Ok(agent)
    }

    async fn set_presence(&self, presence: Presence) -> Result<(), Failure> {
        let media_key = Hex(self.key.public().to_point().to_vec());
        let body = json!({ "presence": presence, "media_key": media_key });
        let path = "/api/v1/me/presence";
        self.door
            .send::<DeskView>(Method::PUT, path, &body)
            .await
            .map(drop)
    }

    async fn wait_for_ring(&mut self, customer: &str) -> Result<ReservationId, Failure> {
        loop {
            let desk = self.views.next().await?.ok_or_else(ended)?;
            match desk.ring {
                Some(ring) if ring.customer == customer => return Ok(ring.reservation),
                Some(_) => {
                    let detail = "another customer came first; make demo calls on an idle cluster";
                    return Err(Failure::new(Code::WrongState, detail));
                }
                None => {}
            }
        }
    }

    async fn accept(&self, reservation: &ReservationId) -> Result<CallView, Failure> {
        let path = format!("/api/v1/reservations/{reservation}/accept");
        let desk: DeskView = self.door.send(Method::POST, &path, &json!({})).await?;
        let none = || Failure::new(Code::WrongState, "the desk shows no call after accepting");
        desk.call.ok_or_else(none)
    }

    async fn add_step(&self, session: &SessionId, step: &str) -> Result<(), Failure> {
        let path = format!("/api/v1/sessions/{session}/steps");
        let body = json!({ "step": step, "details": BTreeMap::<&str, &str>::new() });
        self.door
            .send::<SessionView>(Method::POST, &path, &body)
            .await
            .map(drop)
    }

    /// Finishes writing up and goes home.
    async fn leave(&self) -> Result<(), Failure> {
        self.door
            .send::<DeskView>(Method::POST, FINISH, &json!({}))
            .await
            .map(drop)?;
        self.set_presence(Presence::Offline).await
    }
}

impl Customer {
    /// Chooses a queue that the agent serves, enters it and watches the own place in it.
    async fn arrive(plan: &Plan<'_>, agent: &Agent, clock: &dyn Clock) -> Result<Self, Failure> {
        let door = Door::new(plan.edge.clone())?;
        let catalogue: Catalogue = door.get("/api/v1/catalogue").await?;
        let queue = choose_queue(plan, agent, &catalogue).await?;
        let key = SecretKey::generate();
        let body = OpenTicket {
            institution: plan.agent.institution.clone(),
            queue,
            customer: name(plan, &key),
            consent: Consent {
                recording: true,
                wording: WORDING.to_owned(),
                at: clock.wall(),
            },
            media_key: Hex(key.public().to_point().to_vec()),
        };
        let opened: Opened = door.send(Method::POST, "/api/v1/tickets", &body).await?;
        let door = door.with_token(opened.token);
        let views = door
            .events(&format!("/api/v1/tickets/{}/events", opened.ticket))
            .await?;
        Ok(Self {
            door,
            ticket: opened.ticket,
            key,
            views,
            seen: opened.view,
        })
    }

    fn name(&self, plan: &Plan<'_>) -> String {
        name(plan, &self.key)
    }

    /// Waits until the customer is in a call that is as wanted.
    async fn wait_for_call(
        &mut self,
        wanted: impl Fn(&CallView) -> bool,
    ) -> Result<CallView, Failure> {
        loop {
            match &self.seen.phase {
                TicketPhase::InSession { call } if wanted(call) => return Ok((**call).clone()),
                TicketPhase::Ended { reason, .. } => {
                    let detail = format!("the ticket ended: {reason:?}");
                    return Err(Failure::new(Code::WrongState, detail));
                }
                _ => {}
            }
            self.seen = self.views.next().await?.ok_or_else(ended)?;
        }
    }

    async fn post(&self, what: &str, body: &impl Serialize) -> Result<TicketView, Failure> {
        let path = format!("/api/v1/tickets/{}/{what}", self.ticket);
        self.door.send(Method::POST, &path, body).await
    }

    async fn confirm(&self, step: &str) -> Result<(), Failure> {
        self.post("confirm", &json!({ "step": step }))
            .await
            .map(drop)
    }

    async fn hang_up(&self) -> Result<(), Failure> {
        self.post("close", &json!({ "hang_up": true }))
            .await
            .map(drop)
    }

    async fn rate(&self) -> Result<u8, Failure> {
        let body = json!({ "stars": STARS, "comment": "演示 / demo" });
        let view = self.post("rating", &body).await?;
        match view.phase {
            TicketPhase::Ended {
                stars: Some(stars), ..
            } => Ok(stars),
            _ => Err(Failure::new(Code::WrongState, "the rating was not kept")),
        }
    }
}

/// A name that no other customer has.
fn name(plan: &Plan<'_>, key: &SecretKey) -> String {
    let point = key.public().to_point();
    let tail = Hex(point.iter().rev().take(3).copied().collect());
    format!("演示客户 {}-{tail}", plan.number)
}

/// A queue in which the agent would be found: for a moment ready, then on a break again, so that the
/// customer is seen waiting.
async fn choose_queue(
    plan: &Plan<'_>,
    agent: &Agent,
    catalogue: &Catalogue,
) -> Result<guitai_types::QueueId, Failure> {
    agent.set_presence(Presence::Ready).await?;
    let queues: Vec<QueueView> = agent.door.get("/api/v1/queues").await?;
    agent.set_presence(Presence::Break).await?;
    let institution = catalogue
        .institutions
        .iter()
        .find(|i| i.id == plan.agent.institution);
    let offered = institution
        .map(|institution| institution.queues.as_slice())
        .unwrap_or_default();
    let served = queues.iter().find(|queue| {
        queue.institution == plan.agent.institution
            && queue.ready > 0
            && offered.iter().any(|offered| offered.id == queue.queue)
    });
    let none = || {
        Failure::new(
            Code::WrongState,
            "no queue of the catalogue finds this agent",
        )
    };
    served.map(|queue| queue.queue.clone()).ok_or_else(none)
}

fn open_key(
    name: &'static str,
    own: &SecretKey,
    wrapped: &WrappedKey,
) -> Result<[u8; 32], StageFailure> {
    let opened = own.decrypt(&wrapped.wrapped.0).ok();
    let key = opened.and_then(|key| <[u8; 32]>::try_from(key.as_slice()).ok());
    key.ok_or_else(|| StageFailure {
        stage: name,
        code: Code::Internal,
        detail: "the media key does not open with the page's own key".to_owned(),
    })
}

async fn wait_until_sealed(
    auditor: &Door,
    session: &SessionId,
    report: &mut CallReport,
) -> Result<(), Failure> {
    loop {
        let view: SessionView = auditor.get(&format!("/api/v1/sessions/{session}")).await?;
        match view.recording {
            RecordingState::Sealed { summary } => {
                report.recorder = Some(summary.node);
                report.segments = summary.segments;
                report.frames = summary.frames;
                report.gaps = u64::from(summary.gaps);
                return Ok(());
            }
            _ => tokio::time::sleep(Duration::from_millis(LOOK_MS)).await,
        }
    }
}

/// Fetches the package and verifies it offline; it must be sound, whole, and of all four tracks.
async fn check_package(
    plan: &Plan<'_>,
    auditor: &Door,
    session: &SessionId,
    report: &mut CallReport,
) -> Result<(), Failure> {
    let temporary = tempfile::tempdir().map_err(|e| Failure::local("making a directory", &e))?;
    let dir: PathBuf = match &plan.setting.keep_package {
        Some(keep) => keep.join(session.as_str()),
        None => temporary.path().join(session.as_str()),
    };
    if let Some(parent) = dir.parent() {
        std::fs::create_dir_all(parent).map_err(|e| Failure::local("making a directory", &e))?;
    }
    evidence::fetch(auditor, session, &dir).await?;
    report.package = plan.setting.keep_package.is_some().then(|| dir.clone());

    let options = Options {
        expected_root: plan.setting.expected_root,
    };
    let found = tokio::task::spawn_blocking(move || guitai_evidence::verify(&dir, options)).await;
    let found = found.map_err(|error| Failure::local("verifying", &error))?;
    report.faults = found
        .faults()
        .map(|item| {
            format!(
                "{:?} {} {}",
                item.what,
                item.file.as_deref().unwrap_or(""),
                item.detail
            )
        })
        .collect();
    let facts = found.facts.as_ref();
    if facts.is_none_or(|facts| facts.tracks != TRACKS) {
        let tracks = facts.map_or(0, |facts| facts.tracks);
        report
            .faults
            .push(format!("{tracks} tracks are recorded, {TRACKS} were sent"));
    }
    if let Some(missing) = facts
        .map(|f| &f.steps_missing)
        .filter(|missing| !missing.is_empty())
    {
        report.faults.push(format!(
            "required steps are missing: {}",
            missing.join(", ")
        ));
    }
    for (who, side) in [("customer", report.customer), ("agent", report.agent_side)] {
        if side.seen == 0 || side.broken > 0 {
            let fault = format!(
                "the {who} saw {} frames, {} of them broken",
                side.seen, side.broken
            );
            report.faults.push(fault);
        }
    }
    report.verified = found.ok && report.faults.is_empty();
    Ok(())
}

fn door(url: &Url) -> Result<Door, StageFailure> {
    Door::new(url.clone()).map_err(|failure| StageFailure {
        stage: "door",
        code: failure.problem.code,
        detail: failure.problem.detail,
    })
}

fn ended() -> Failure {
    Failure::new(Code::NoLeader, "the door ended the stream of events")
}

fn authority(url: &Url) -> String {
    url.authority().to_owned()
}

fn now_ms(clock: &dyn Clock) -> u64 {
    u64::try_from(clock.monotonic().as_millis()).unwrap_or(u64::MAX)
}
