//! The media key of a session: drawn at accept and whenever who takes part changes, wrapped by SM2 to
//! everybody who may see the call, and forgotten here. Edges and relays are not among them. Who that is
//! decides the core ([`State::next_keys`]); here it is done.

use std::{sync::Arc, time::Duration};

use futures::StreamExt as _;
use guitai_crypto::sm2::PublicKey;
use guitai_host::Entropy;
use guitai_meta::{Meta, State};
use guitai_types::{
    Code, Hex, NodeId, Problem, SessionId,
    command::{Command, Reply},
    event::Change,
    media::KeyChange,
    record::{Participant, WrappedKey},
};
use zeroize::Zeroizing;

/// How often a change is tried when another change of the same session comes in between.
const ATTEMPTS_MAX: usize = 4;

/// How often the leader looks whether a recorder must be replaced, whatever events say.
const HAND_OVER_LOOK: Duration = Duration::from_millis(200);
/// Hand-overs in one look; the rest waits for the next.
const HAND_OVERS_PER_LOOK_MAX: usize = 256;
/// Media keys wrapped and agreed on at the same time.
const REKEYS_AT_ONCE: usize = 16;

/// Changes who takes part in a session and gives those who then do its next media key.
pub(crate) async fn rekey(
    meta: &Meta,
    entropy: &Arc<dyn Entropy>,
    session: &SessionId,
    change: &KeyChange,
) -> Result<(), Problem> {
    let mut refused = Problem::new(Code::WrongState, "the session changes too often");
    for _ in 0..ATTEMPTS_MAX {
        let look = |state: &State| {
            (
                state.next_keys(session, change),
                state.policy().media_sealed,
            )
        };
        let (next, is_sealed) = meta.read(look).await.map_err(|error| error.problem())?;
        let Some(next) = next? else { return Ok(()) };
        let holders = next.holders.into_iter().filter(|_| is_sealed);
        let holders: Vec<_> = holders
            .map(|holder| (holder.participant, holder.public_key))
            .collect();
        let entropy = entropy.clone();
        // Some milliseconds of curve arithmetic per participant do not belong on an async thread.
        let wrap = move || draw_and_wrap(entropy.as_ref(), holders);
        let keys = tokio::task::spawn_blocking(wrap)
            .await
            .map_err(|error| Problem::new(Code::Internal, error.to_string()))??;
        let command = Command::Rekey {
            session: session.clone(),
            epoch: next.epoch,
            change: change.clone(),
            keys,
        };
        match meta.write(command).await {
            Ok(Reply::Refused { problem }) if problem.code == Code::WrongState => refused = problem,
            Ok(Reply::Refused { problem }) => return Err(problem),
            Ok(_) => return Ok(()),
            Err(error) => return Err(error.problem()),
        }
    }
    Err(refused)
}

/// Gives sessions another media key when a recorder has another key pair, and puts another recorder in
/// the place of one that can record no longer: it gets the next key, and the one before does not. Runs
/// on every core node; the one that leads acts, so that it is done once.
pub async fn follow_recorders(meta: Meta, me: NodeId, entropy: Arc<dyn Entropy>) {
    let from = meta.peek(State::event_number);
    let mut events = meta.events(from.saturating_add(1));
    let mut hearing = meta.hearing();
    let mut look = tokio::time::interval(HAND_OVER_LOOK);
    look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            biased;
            changed = hearing.changed() => if changed.is_err() { return },
            _ = look.tick() => {}
            event = events.next() => {
                let Some(event) = event else { return };
                if event.change == Change::Cluster && meta.status().leader == Some(me) {
                    let stale = meta.peek(State::sessions_to_rekey).into_iter();
                    let due = stale.map(|session| (session, KeyChange::Recorders));
                    rekey_all(&meta, &entropy, due.collect()).await;
                }
                continue;
            }
        }
        let heard = hearing.borrow_and_update().clone();
        if let Some(heard) = heard {
            let due = meta.peek(|state| state.hand_overs(&heard, HAND_OVERS_PER_LOOK_MAX));
            rekey_all(&meta, &entropy, due).await;
        }
    }
}

async fn rekey_all(meta: &Meta, entropy: &Arc<dyn Entropy>, due: Vec<(SessionId, KeyChange)>) {
    let one = |(session, change): (SessionId, KeyChange)| async move {
        if let KeyChange::HandOver { from, to, cause } = &change {
            let from = from.as_ref().map(ToString::to_string);
            tracing::warn!(%session, from, %to, cause, "another recorder takes over");
        }
        if let Err(problem) = rekey(meta, entropy, &session, &change).await {
            tracing::warn!(%session, detail = problem.detail, "the media key was not renewed");
        }
    };
    futures::stream::iter(due)
        .for_each_concurrent(REKEYS_AT_ONCE, one)
        .await;
}

/// Draws a key and wraps it to each participant's public key (uncompressed point).
///
/// # Errors
/// When a participant's key is no point of the curve.
pub fn draw_and_wrap(
    entropy: &dyn Entropy,
    participants: impl IntoIterator<Item = (Participant, Hex)>,
) -> Result<Vec<WrappedKey>, Problem> {
    let mut key = Zeroizing::new([0; 32]);
    entropy.fill(key.as_mut_slice());
    let wrap = |(recipient, public): (Participant, Hex)| {
        let refuse = |why: &str| {
            Problem::new(
                Code::WrongState,
                format!("the public key of {recipient:?} {why}"),
            )
        };
        let public =
            PublicKey::from_point(&public.0).map_err(|_| refuse("is no point of the curve"))?;
        let wrapped = public
            .encrypt(key.as_slice())
            .map_err(|_| refuse("cannot be used"))?;
        Ok(WrappedKey {
            recipient,
            wrapped: Hex(wrapped),
        })
    };
    participants.into_iter().map(wrap).collect()
}

#[cfg(test)]
mod tests {
    use guitai_crypto::sm2::SecretKey;
    use guitai_host::SystemEntropy;

    use super::*;

    #[test]
    fn everybody_opens_the_same_key() -> Result<(), Box<dyn std::error::Error>> {
        let (customer, agent) = (SecretKey::generate(), SecretKey::generate());
        let point = |secret: &SecretKey| Hex(secret.public().to_point().to_vec());
        let wrapped = draw_and_wrap(
            &SystemEntropy,
            [
                (Participant::Customer, point(&customer)),
                (Participant::Agent, point(&agent)),
            ],
        )?;
        let [for_customer, for_agent] = wrapped.as_slice() else {
            return Err("two keys".into());
        };
        assert_eq!(for_customer.recipient, Participant::Customer);
        let opened = customer.decrypt(&for_customer.wrapped.0)?;
        assert_eq!(opened.len(), 32);
        assert_eq!(
            opened.as_slice(),
            agent.decrypt(&for_agent.wrapped.0)?.as_slice()
        );
        Ok(())
    }

    #[test]
    fn a_key_that_is_no_point_is_refused() {
        let bad = draw_and_wrap(&SystemEntropy, [(Participant::Agent, Hex(vec![4; 65]))]);
        assert_eq!(bad.map_err(|problem| problem.code), Err(Code::WrongState));
    }
}
