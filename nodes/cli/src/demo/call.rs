//! One call from the catalogue to the verified package.

use std::time::Duration;

use guitai_crypto::sm2::SecretKey;
use guitai_host::Clock;
use guitai_types::{
    Code, SessionId,
    record::{Presence, RecordingState, WrappedKey},
    view::{CallView, DoorView},
};
use tokio::sync::watch;
use url::Url;

use super::{
    CallReport, Setting, StageFailure,
    media::{self, Part, Role, Tally},
    parties::{Agent, Customer},
    proof::{check_package, wait_until_sealed},
    sample::Samples,
    stage::stage,
};
use crate::{Account, http::Door, staff};

/// How long both sides talk once the recording runs: several segments of at most 2 s.
const TALK_MS: u64 = 4_000;
/// Where and with whom one call is made.
pub(super) struct Plan<'a> {
    pub(super) number: usize,
    pub(super) edge: &'a Url,
    pub(super) core: &'a Url,
    pub(super) agent: &'a Account,
    pub(super) auditor: &'a Account,
    pub(super) setting: &'a Setting,
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
    let mut customer = stage("ticket", Customer::arrive(plan, &agent, clock)).await?;
    let served = serve(plan, &mut customer, &mut agent, samples, clock, report).await;
    if served.is_err() {
        // Nobody is left waiting or ringing for the next call.
        customer.give_up().await;
        agent.give_up().await;
    }
    let session = served?;
    let login = async { staff::login(&Door::new(plan.core.clone())?, plan.auditor).await };
    let auditor = stage("auditor-login", login).await?;
    stage("sealing", wait_until_sealed(&auditor, &session, report)).await?;
    stage("package", check_package(plan, &auditor, &session, report)).await
}

/// From the desk ringing to the agent going home.
async fn serve(
    plan: &Plan<'_>,
    customer: &mut Customer,
    agent: &mut Agent,
    samples: &Samples,
    clock: &dyn Clock,
    report: &mut CallReport,
) -> Result<SessionId, StageFailure> {
    stage("agent-ready", agent.set_presence(Presence::Ready)).await?;
    let reservation = stage("ring", agent.wait_for_ring(&customer.name(plan))).await?;
    report.ring_ms = Some(now_ms(clock) - customer.asked_ms);

    let accepted_ms = now_ms(clock);
    let desk_call = stage("accept", agent.accept(&reservation)).await?;
    report.session = Some(desk_call.session.clone());
    let call = stage("session", customer.wait_for_call(|_| true)).await?;
    let calls = (&call, &desk_call);
    talk(customer, agent, calls, samples, clock, accepted_ms, report).await?;
    report.stars = Some(stage("rating", customer.rate()).await?);
    stage("wrap-up", agent.leave()).await?;
    Ok(desk_call.session)
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

fn authority(url: &Url) -> String {
    url.authority().to_owned()
}

pub(super) fn now_ms(clock: &dyn Clock) -> u64 {
    u64::try_from(clock.monotonic().as_millis()).unwrap_or(u64::MAX)
}
