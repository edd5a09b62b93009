//! One call from the catalogue to the verified package.

use std::{convert::Infallible, time::Duration};

use guitai_crypto::{sframe::Party, sm2::SecretKey};
use guitai_host::Clock;
use guitai_types::{
    Code, SessionId,
    record::{Presence, RecordingState},
    view::{CallView, DoorView, MediaAccess},
};
use tokio::sync::watch;
use url::Url;

use super::{
    CallReport, Setting, StageFailure,
    media::{self, MediaKey, Part, Tally},
    parties::{Agent, Customer},
    proof::{check_package, wait_until_sealed},
    sample::Samples,
    stage::stage,
    witness::Witness,
};
use crate::{Account, http::Door, staff};

/// Where and with whom one call is made.
pub(super) struct Plan<'a> {
    pub(super) number: usize,
    pub(super) edge: &'a Url,
    pub(super) core: &'a Url,
    pub(super) agent: &'a Account,
    pub(super) auditor: &'a Account,
    pub(super) setting: &'a Setting,
    /// Held from the agent's arrival until the call is accepted: with one customer waiting and one agent ready, it is
    /// they who meet.
    pub(super) ringing: &'a tokio::sync::Mutex<()>,
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
    let ringing = plan.ringing.lock().await;
    let mut agent = stage("agent-login", Agent::arrive(plan)).await?;
    let mut customer = stage("ticket", Customer::arrive(plan, &agent, clock)).await?;
    let parties = (&mut customer, &mut agent);
    let served = serve(plan, parties, ringing, samples, clock, report).await;
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
    (customer, agent): (&mut Customer, &mut Agent),
    ringing: tokio::sync::MutexGuard<'_, ()>,
    samples: &Samples,
    clock: &dyn Clock,
    report: &mut CallReport,
) -> Result<SessionId, StageFailure> {
    stage("agent-ready", agent.set_presence(Presence::Ready)).await?;
    let reservation = stage("ring", agent.wait_for_ring(&customer.name(plan))).await?;
    report.ring_ms = Some(now_ms(clock) - customer.asked_ms);

    let accepted_ms = now_ms(clock);
    let desk_call = stage("accept", agent.accept(&reservation)).await?;
    drop(ringing);
    report.session = Some(desk_call.session.clone());
    let call = stage("session", customer.wait_for_call(|_| true)).await?;
    let calls = (&call, &desk_call);
    let shown = (samples, plan.setting.witness.as_ref());
    talk(customer, agent, calls, shown, clock, accepted_ms, report).await?;
    report.stars = Some(stage("rating", customer.rate()).await?);
    stage("wrap-up", agent.leave()).await?;
    Ok(desk_call.session)
}

/// Both sides connect, talk, walk through the steps, and the customer hangs up.
async fn talk(
    customer: &mut Customer,
    agent: &mut Agent,
    (call, desk_call): (&CallView, &CallView),
    (samples, witness): (&Samples, Option<&Witness>),
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
    let (customer_keys, of_customer) = watch::channel(open_key(&customer.key, &call.media)?);
    let (agent_keys, of_agent) = watch::channel(open_key(&agent.key, &desk_call.media)?);
    let customer_part = Part {
        role: Party::Customer,
        access: &call.media,
        door: &edge,
        keys: of_customer,
        shows: &samples.customer,
        sees: &samples.agent,
        witness,
    };
    let agent_part = Part {
        role: Party::Agent,
        access: &desk_call.media,
        door: &core,
        keys: of_agent,
        shows: &samples.agent,
        sees: &samples.customer,
        witness,
    };
    let connecting =
        async { tokio::try_join!(media::connect(&customer_part), media::connect(&agent_part)) };
    let (customer_media, agent_media) = stage("media", connecting).await?;
    report.set_up_ms = Some(now_ms(clock) - accepted_ms);

    let (hang_up, over) = watch::channel(false);
    let (customer_tally, agent_tally) = (Tally::default(), Tally::default());
    let flow = async {
        let keys = (&customer_keys, &agent_keys);
        let flow = walk(
            customer,
            agent,
            call,
            keys,
            (clock, accepted_ms, samples.talk),
            report,
        )
        .await;
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
    agent: &mut Agent,
    call: &CallView,
    keys: (&watch::Sender<MediaKey>, &watch::Sender<MediaKey>),
    (clock, accepted_ms, talk): (&dyn Clock, u64, Duration),
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
    rekey(customer, agent, keys, report).await?;
    tokio::select! {
        biased;
        () = tokio::time::sleep(talk) => {}
        failed = follow_keys(customer, agent, keys) => return failed.map(|never| match never {}),
    }
    stage("hang-up", customer.hang_up()).await
}

/// Both go on under each next media key: the cluster draws one when another recorder takes over.
async fn follow_keys(
    customer: &mut Customer,
    agent: &mut Agent,
    (customer_keys, agent_keys): (&watch::Sender<MediaKey>, &watch::Sender<MediaKey>),
) -> Result<Infallible, StageFailure> {
    loop {
        let (customer_has, agent_has) = (customer_keys.borrow().epoch, agent_keys.borrow().epoch);
        tokio::select! {
            call = customer.wait_for_call(|call| call.media.epoch > customer_has) => {
                let call = stage("follow", async { call }).await?;
                customer_keys.send_replace(open_key(&customer.key, &call.media)?);
            }
            call = agent.wait_for_call(|call| call.media.epoch > agent_has) => {
                let call = stage("follow", async { call }).await?;
                agent_keys.send_replace(open_key(&agent.key, &call.media)?);
            }
        }
    }
}

/// The customer's page is loaded again, as seen from outside: it takes part with another key pair, and
/// the call goes on under the next media key. The former page's key no longer opens anything.
async fn rekey(
    customer: &mut Customer,
    agent: &mut Agent,
    (customer_keys, agent_keys): (&watch::Sender<MediaKey>, &watch::Sender<MediaKey>),
    report: &mut CallReport,
) -> Result<(), StageFailure> {
    let former = std::mem::replace(&mut customer.key, SecretKey::generate());
    let call = stage("rejoin", customer.rejoin()).await?;
    let epoch = call.media.epoch;
    if call.media.sealed && former.decrypt(&call.media.key.wrapped.0).is_ok() {
        return Err(StageFailure {
            stage: "rekey",
            code: Code::Internal,
            detail: "the page that is gone opens the new media key".to_owned(),
        });
    }
    customer_keys.send_replace(open_key(&customer.key, &call.media)?);
    let newer = |call: &CallView| call.media.epoch >= epoch;
    let desk_call = stage("rekey", agent.wait_for_call(newer)).await?;
    agent_keys.send_replace(open_key(&agent.key, &desk_call.media)?);
    report.key_epoch = epoch;
    Ok(())
}

/// The media key of a party; nothing where media is not sealed.
fn open_key(own: &SecretKey, access: &MediaAccess) -> Result<MediaKey, StageFailure> {
    let epoch = access.epoch;
    if !access.sealed {
        return Ok(MediaKey {
            epoch,
            key: [0; 32],
        });
    }
    let opened = own.decrypt(&access.key.wrapped.0).ok();
    let key = opened.and_then(|key| <[u8; 32]>::try_from(key.as_slice()).ok());
    key.map(|key| MediaKey { epoch, key })
        .ok_or_else(|| StageFailure {
            stage: "media-key",
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
