//! The agent's desk: presence, what rings, accept, reject, wrap-up.

use axum::{extract::State, http::HeaderMap, response::Response};
use guitai_types::{
    Code, Hex, Member, NodeName, ReservationId, SessionId, StaffRef,
    command::Command,
    limits::RECORDERS_PER_SESSION,
    media::KeyChange,
    record::{Duty, Participant, Presence},
    view::DeskView,
};
use serde::{Deserialize, Serialize};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{Core, CoreState, view};
use crate::{
    edge::PageKey,
    extract::{Json, Path},
    media_key,
    problem::{ProblemBody, Refusal},
    streams::{last_seen, lasting_ms, newer_than},
};

pub(super) fn routes() -> OpenApiRouter<CoreState> {
    OpenApiRouter::new()
        .routes(routes!(desk))
        .routes(routes!(desk_events))
        .routes(routes!(set_presence))
        .routes(routes!(rejoin_desk))
        .routes(routes!(leave_desk))
        .routes(routes!(accept))
        .routes(routes!(reject))
        .routes(routes!(finish))
}

/// Body of `PUT /api/v1/me/presence`.
#[derive(Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SetPresence {
    /// `offline`, `break` or `ready`.
    pub presence: Presence,
    /// SM2 public key of the agent's page, uncompressed point (65 bytes) in hex; needed with `ready`.
    #[serde(default)]
    pub media_key: Hex,
}

/// The desk.
#[utoipa::path(get, path = "/api/v1/desk", tag = "desk", security(("staff" = [])),
    responses((status = 200, body = DeskView), (status = "default", body = ProblemBody)))]
async fn desk(
    State(core): State<CoreState>,
    headers: HeaderMap,
) -> Result<Json<DeskView>, Refusal> {
    let agent = agent(&core, &headers)?;
    core.desk(&agent).await.map(Json)
}

/// Says whenever the desk changes: events `desk`, numbered, content DeskView; and `doors`, not numbered,
/// content DoorsView, whenever the list of doors changes.
#[utoipa::path(get, path = "/api/v1/desk/events", tag = "desk", security(("staff" = [])),
    responses((status = 200, body = DeskView, content_type = "text/event-stream"),
        (status = "default", body = ProblemBody)))]
async fn desk_events(
    State(core): State<CoreState>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let bearer = core.staff(&headers)?;
    bearer.must_have(&[Duty::Agent])?;
    let views = view::follow_desk(core.clone(), bearer.staff.clone());
    let lasting = lasting_ms(&headers, bearer.expires_in_ms);
    let views = newer_than(last_seen(&headers), lasting, views);
    core.streams
        .answer(format!("desk/{}", bearer.staff), "desk", views, &core.doors)
}

/// Goes on or off duty.
#[utoipa::path(put, path = "/api/v1/me/presence", tag = "desk", security(("staff" = [])),
    request_body = SetPresence,
    responses((status = 200, body = DeskView), (status = "default", body = ProblemBody)))]
async fn set_presence(
    State(core): State<CoreState>,
    headers: HeaderMap,
    Json(SetPresence {
        presence,
        media_key,
    }): Json<SetPresence>,
) -> Result<Json<DeskView>, Refusal> {
    let staff = agent(&core, &headers)?;
    core.write(Command::SetPresence {
        staff: staff.clone(),
        presence,
        media_key,
    })
    .await?;
    core.desk(&staff).await.map(Json)
}

/// A desk page that was loaded again in a call takes part with its new key pair.
#[utoipa::path(put, path = "/api/v1/me/key", tag = "desk", security(("staff" = [])),
    request_body = PageKey,
    responses((status = 200, body = DeskView), (status = "default", body = ProblemBody)))]
async fn rejoin_desk(
    State(core): State<CoreState>,
    headers: HeaderMap,
    Json(PageKey { media_key }): Json<PageKey>,
) -> Result<Json<DeskView>, Refusal> {
    let staff = agent(&core, &headers)?;
    let participant = Participant::Agent;
    let change = KeyChange::Joined {
        participant,
        media_key,
    };
    core.rekey_call(&staff, &change).await
}

/// A desk page goes away in a call and may come back; its key pair opens nothing new.
#[utoipa::path(post, path = "/api/v1/me/leave", tag = "desk", security(("staff" = [])),
    request_body = PageKey,
    responses((status = 200, body = DeskView), (status = "default", body = ProblemBody)))]
async fn leave_desk(
    State(core): State<CoreState>,
    headers: HeaderMap,
    Json(PageKey { media_key }): Json<PageKey>,
) -> Result<Json<DeskView>, Refusal> {
    let staff = agent(&core, &headers)?;
    let participant = Participant::Agent;
    let change = KeyChange::Left {
        participant,
        media_key,
    };
    core.rekey_call(&staff, &change).await
}

/// Accepts what rings: it becomes a session.
#[utoipa::path(post, path = "/api/v1/reservations/{reservation}/accept", tag = "desk",
    params(("reservation" = ReservationId, Path)), security(("staff" = [])),
    responses((status = 200, body = DeskView), (status = "default", body = ProblemBody)))]
async fn accept(
    State(core): State<CoreState>,
    Path(reservation): Path<ReservationId>,
    headers: HeaderMap,
) -> Result<Json<DeskView>, Refusal> {
    let staff = agent(&core, &headers)?;
    let participants = core.participants(&reservation, &staff).await?;
    let entropy = core.entropy.clone();
    // Some milliseconds of curve arithmetic per participant do not belong on an async thread.
    let wrap = move || media_key::draw_and_wrap(entropy.as_ref(), participants);
    let keys = tokio::task::spawn_blocking(wrap)
        .await
        .map_err(|error| Refusal::internal("wrapping the media key", &error))??;
    let session = SessionId::from_random(guitai_host::draw16(core.entropy.as_ref()));
    core.write(Command::Accept {
        reservation,
        staff: staff.clone(),
        session,
        keys,
        silent: core.silent().await,
        recorders: RECORDERS_PER_SESSION,
    })
    .await?;
    core.desk(&staff).await.map(Json)
}

/// Rejects what rings; the customer keeps the place, the agent goes on a break.
#[utoipa::path(post, path = "/api/v1/reservations/{reservation}/reject", tag = "desk",
    params(("reservation" = ReservationId, Path)), security(("staff" = [])),
    responses((status = 200, body = DeskView), (status = "default", body = ProblemBody)))]
async fn reject(
    State(core): State<CoreState>,
    Path(reservation): Path<ReservationId>,
    headers: HeaderMap,
) -> Result<Json<DeskView>, Refusal> {
    let staff = agent(&core, &headers)?;
    core.write(Command::Reject {
        reservation,
        staff: staff.clone(),
    })
    .await?;
    core.desk(&staff).await.map(Json)
}

/// Finishes the wrap-up; the agent is ready again.
#[utoipa::path(post, path = "/api/v1/me/finish", tag = "desk", security(("staff" = [])),
    responses((status = 200, body = DeskView), (status = "default", body = ProblemBody)))]
async fn finish(
    State(core): State<CoreState>,
    headers: HeaderMap,
) -> Result<Json<DeskView>, Refusal> {
    let staff = agent(&core, &headers)?;
    core.write(Command::FinishWrapUp {
        staff: staff.clone(),
    })
    .await?;
    core.desk(&staff).await.map(Json)
}

fn agent(core: &Core, headers: &HeaderMap) -> Result<StaffRef, Refusal> {
    let bearer = core.staff(headers)?;
    bearer.must_have(&[Duty::Agent])?;
    Ok(bearer.staff)
}

impl Core {
    async fn rekey_call(
        &self,
        staff: &StaffRef,
        change: &KeyChange,
    ) -> Result<Json<DeskView>, Refusal> {
        let session = self
            .read(|state| state.desk(staff)?.session.clone())
            .await?;
        let session =
            session.ok_or_else(|| Refusal::new(Code::WrongState, "the desk is in no call"))?;
        self.rekey(&session, change).await?;
        self.desk(staff).await.map(Json)
    }

    /// Changes who takes part in a session, and with that its media key.
    pub(super) async fn rekey(
        &self,
        session: &SessionId,
        change: &KeyChange,
    ) -> Result<(), Refusal> {
        let done = media_key::rekey(&self.meta, &self.entropy, session, change);
        done.await.map_err(Refusal)
    }

    /// Recorders the leader does not hear of: no new call is given to them.
    async fn silent(&self) -> Vec<NodeName> {
        let status = self.meta.leader_status().await;
        let is_silent = |member: &&Member| status.is_silent(member.id);
        self.meta.peek(|state| {
            let recorders = state.recorders().filter(is_silent);
            recorders.map(|member| member.name.clone()).collect()
        })
    }

    /// Everybody who gets the media key, each with a public key. All recorders of the cluster do: which
    /// ones record is decided when the session starts, and may change when one is lost.
    async fn participants(
        &self,
        reservation: &ReservationId,
        staff: &StaffRef,
    ) -> Result<Vec<(Participant, Hex)>, Refusal> {
        let found = self.read(|state| {
            let reservation = state.reservation(reservation)?;
            let ticket = state.ticket(&reservation.ticket)?;
            let desk = state.desk(&reservation.staff)?;
            let mut participants = vec![
                (Participant::Customer, ticket.media_key.clone()),
                (Participant::Agent, desk.media_key.clone()),
            ];
            participants.extend(state.recorders().map(|member| {
                let node = member.name.clone();
                (Participant::Recorder { node }, member.public_key.clone())
            }));
            Some((reservation.staff.clone(), participants))
        });
        match found.await? {
            Some((reserved, participants)) if reserved == *staff => Ok(participants),
            // Another agent's reservation is no more this agent's business than none.
            _ => Err(Refusal::new(
                Code::NotFound,
                "no such reservation at this desk",
            )),
        }
    }
}
