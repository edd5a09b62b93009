//! Who takes part in a call holds its media key, and nobody who left ever gets a later one: otherwise an
//! agent who handed a call over, or whoever finds a customer's former page, could go on listening.

use std::collections::{BTreeMap, BTreeSet};

use guitai_meta_core::State;
use guitai_types::{
    Hex, SessionId,
    media::KeyHolder,
    record::{Participant, Session, WrappedKey},
};

use super::{Invariant, Step, Violation};

/// Every member can open the present epoch; a former member no later one. Relies on the wraps of the
/// simulation, which say by whose key pair they open (`bank::wrapped`).
#[derive(Debug, Default)]
pub struct OnlyMembersHoldTheKey {
    /// Of each running session: the newest epoch in which each key pair was a member.
    last_seen: BTreeMap<SessionId, BTreeMap<Hex, u32>>,
}

impl Invariant for OnlyMembersHoldTheKey {
    fn name(&self) -> &'static str {
        "only members hold the key"
    }

    fn see(&mut self, step: Step<'_>) -> Result<(), Violation> {
        let waiting: BTreeSet<SessionId> = step.state.sessions_to_rekey().into_iter().collect();
        for session in step.state.sessions_running() {
            let members = members(step.state, session);
            let seen = self.last_seen.entry(session.id.clone()).or_default();
            check_wraps(session, &members, waiting.contains(&session.id))?;
            check_former(session, seen)?;
            for holder in &session.key_holders {
                seen.insert(holder.public_key.clone(), session.key_epoch);
            }
        }
        let runs = |id: &SessionId| {
            step.state
                .session(id)
                .is_some_and(|it| it.ended_at.is_none())
        };
        self.last_seen.retain(|session, _| runs(session));
        Ok(())
    }
}

/// Who takes part now, told from tickets, desks and nodes.
fn members(state: &State, session: &Session) -> Vec<KeyHolder> {
    let ticket = state.ticket(&session.ticket).map(|it| it.media_key.clone());
    let desk = state.desk(&session.agent).map(|it| it.media_key.clone());
    let mut members = vec![(Participant::Customer, ticket), (Participant::Agent, desk)];
    members.extend(session.recorders.iter().map(|node| {
        let key = state.member(node).map(|member| member.public_key.clone());
        (Participant::Recorder { node: node.clone() }, key)
    }));
    let there = members.into_iter().filter_map(|(participant, public_key)| {
        let public_key = public_key.filter(|key| !key.0.is_empty())?;
        Some(KeyHolder {
            participant,
            public_key,
        })
    });
    there.collect()
}

fn check_wraps(
    session: &Session,
    members: &[KeyHolder],
    recorder_waits: bool,
) -> Result<(), Violation> {
    let id = &session.id;
    for member in members {
        let is_recorder = matches!(member.participant, Participant::Recorder { .. });
        let mine = session
            .keys
            .iter()
            .find(|key| key.recipient == member.participant);
        let opens = mine.and_then(opens_by) == Some((&member.public_key.0, session.key_epoch));
        // A recorder whose certificate was renewed waits for the next key, and the leader knows.
        if !(opens || is_recorder && recorder_waits) {
            return Err(format!(
                "{:?} of session {id} lacks its key",
                member.participant
            ));
        }
    }
    match session.keys.iter().find(|key| {
        members
            .iter()
            .all(|member| member.participant != key.recipient)
    }) {
        Some(key) => Err(format!(
            "{:?} is not in session {id} and holds its key",
            key.recipient
        )),
        None => Ok(()),
    }
}

/// No wrap that is kept anywhere is of a later epoch than its key pair was a member in.
fn check_former(session: &Session, seen: &BTreeMap<Hex, u32>) -> Result<(), Violation> {
    let past = session.keys_past.iter().flat_map(|past| &past.keys);
    for key in past.chain(&session.keys) {
        let Some((point, epoch)) = opens_by(key) else {
            return Err(format!("a wrap of session {} says nothing", session.id));
        };
        let pair = Hex(point.to_vec());
        let is_member = session.key_holders.iter().any(|it| it.public_key == pair);
        if !is_member && seen.get(&pair).is_none_or(|last| epoch > *last) {
            let who = &key.recipient;
            return Err(format!(
                "{who:?} left session {} and got key {epoch}",
                session.id
            ));
        }
    }
    Ok(())
}

/// By whose key pair a wrap opens, and its epoch.
fn opens_by(key: &WrappedKey) -> Option<(&[u8], u32)> {
    let (point, epoch) = key.wrapped.0.split_last_chunk::<4>()?;
    Some((point, u32::from_be_bytes(*epoch)))
}
