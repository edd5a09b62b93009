//! Gets a time stamp over each seal, soon after it: from another node in another centre where there is one,
//! from this node last. What was got is kept beside the recording; what was not is asked for again.

use std::{collections::BTreeSet, io, path::Path, sync::Arc, sync::Mutex, time::Duration};

use futures::future::BoxFuture;
use guitai_crypto::{
    random, sm3,
    tsp::{self, Request},
};
use guitai_evidence::{Manifest, is_after_seal};
use guitai_meta::Meta;
use guitai_net::{CallError, Mesh, Target};
use guitai_types::{Hex, NodeName, Role, SessionId, Zone};
use serde::{Deserialize, Serialize};
use tokio::{sync::Notify, task};

use crate::{
    Shared,
    authority::{Authority, STAMP_CALL},
    keeper,
    package::Sealed,
    vault::Vault,
};

/// Name of the sealed document that keeps the stamp.
const STAMP: &str = "stamp";
/// How long an authority has for its answer: it signs once.
const ANSWER_MAX: Duration = Duration::from_secs(2);
/// Pause before seals without a stamp are tried again.
const RETRY: Duration = Duration::from_secs(30);
/// What the router of a node answers to a call that it does not know.
const NOT_KNOWN: &str = "unknown kind";

/// Who is asked.
#[derive(Debug, Clone)]
pub(crate) enum Place {
    /// Another node.
    There(Target),
    /// This node.
    Here,
}

/// Why somebody who was asked gave no answer.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum AskError {
    /// It stamps nothing.
    #[error("is no time stamp authority")]
    NoAuthority,
    /// Nothing was heard.
    #[error("did not answer: {0}")]
    Unanswered(String),
}

/// The time stamp authorities that a recorder knows. A cluster's in a node, a script's in the tests.
pub(crate) trait Authorities: Send + Sync {
    /// Whom to ask, the one to be asked first first.
    fn places(&self) -> Vec<Place>;
    /// Puts a TimeStampReq to one; its answer is a TimeStampResp, unchecked.
    fn ask(&self, place: &Place, request: Vec<u8>)
    -> BoxFuture<'static, Result<Vec<u8>, AskError>>;
}

/// The core nodes of the cluster.
pub(crate) struct CoreNodes {
    pub(crate) me: NodeName,
    pub(crate) meta: Meta,
    pub(crate) mesh: Mesh,
    /// This node's own, if it is one.
    pub(crate) own: Option<Authority>,
}

impl Authorities for CoreNodes {
    fn places(&self) -> Vec<Place> {
        let mut places: Vec<Place> = self.meta.peek(|state| {
            let centre = state.member(&self.me).map(|member| &member.centre);
            let others = state
                .members()
                .filter(|it| it.zone == Zone::Inner && it.has(Role::Core) && it.name != self.me);
            let mut others: Vec<_> = others.collect();
            // Another centre is another site, with other people.
            others.sort_by_key(|it| (Some(&it.centre) == centre, it.id));
            let others = others.into_iter().map(Target::from);
            others.map(Place::There).collect()
        });
        places.extend(self.own.iter().map(|_| Place::Here));
        places
    }

    fn ask(
        &self,
        place: &Place,
        request: Vec<u8>,
    ) -> BoxFuture<'static, Result<Vec<u8>, AskError>> {
        match place {
            Place::There(target) => {
                let (mesh, target) = (self.mesh.clone(), target.clone());
                Box::pin(async move {
                    let asked = mesh.call_kind_within(&target, STAMP_CALL, request, ANSWER_MAX);
                    asked.await.map_err(|error| match error {
                        CallError::Refused { reason, .. } if reason == NOT_KNOWN => {
                            AskError::NoAuthority
                        }
                        error => AskError::Unanswered(error.to_string()),
                    })
                })
            }
            Place::Here => {
                let own = self.own.clone();
                Box::pin(async move {
                    let own = own.ok_or(AskError::NoAuthority)?;
                    own.answer(request).await.map_err(AskError::Unanswered)
                })
            }
        }
    }
}

/// The stamp as it is kept.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Kept {
    /// Format version, 1.
    v: u16,
    /// TimeStampResp, DER.
    stamp: Hex,
}

/// The seals of a recorder that have no stamp yet.
#[derive(Default)]
pub(crate) struct Stamping {
    waiting: Mutex<BTreeSet<SessionId>>,
    /// There is one more.
    more: Notify,
    /// One asks at a time, so that a seal gets one stamp.
    asking: tokio::sync::Mutex<()>,
}

impl Stamping {
    fn waiting(&self) -> std::sync::MutexGuard<'_, BTreeSet<SessionId>> {
        let waiting = self.waiting.lock();
        waiting.unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// A session is sealed.
    pub(crate) fn sealed(&self, session: &SessionId) {
        self.waiting().insert(session.clone());
        self.more.notify_one();
    }
}

/// The stamp over a seal, from the recording or from an authority; or the cause why there is none, as
/// `attached.json` names it.
pub(crate) async fn stamp(
    shared: &Shared,
    vault: &Vault,
    sealed: &Sealed,
    manifest: &Manifest,
) -> io::Result<Result<Vec<u8>, &'static str>> {
    let _one = shared.stamping.asking.lock().await;
    if let Some(kept) = vault.document::<Kept>(STAMP)? {
        return Ok(Ok(kept.stamp.0));
    }
    let imprint = sm3::hash(&sealed.seal().signed_data.0);
    let request = Request::new(imprint, random::array()).map_err(io::Error::other)?;
    let question = request.to_der().map_err(io::Error::other)?;
    let mut cause = "no-authority";
    for place in shared.authorities.places() {
        let session = &manifest.session.id;
        let answer = match shared.authorities.ask(&place, question.clone()).await {
            Ok(answer) => answer,
            Err(AskError::NoAuthority) => continue,
            Err(error) => {
                tracing::debug!(%session, ?place, %error, "no time stamp from there");
                if cause == "no-authority" {
                    cause = "unanswered";
                }
                continue;
            }
        };
        match fits(&answer, &request, &shared.config.root, manifest) {
            Ok(authority) => {
                let stamp = Hex(answer);
                vault.put_document(
                    STAMP,
                    &Kept {
                        v: 1,
                        stamp: stamp.clone(),
                    },
                )?;
                shared.stamping.waiting().remove(session);
                tracing::info!(%session, authority, "time stamp over the seal");
                return Ok(Ok(stamp.0));
            }
            Err(error) => {
                tracing::warn!(%session, ?place, %error, "a time stamp is not used");
                cause = "refused";
            }
        }
    }
    Ok(Err(cause))
}

/// What a verifier will ask of the answer; the name of the authority.
fn fits(
    answer: &[u8],
    request: &Request,
    root: &[u8],
    manifest: &Manifest,
) -> Result<String, String> {
    let stamp = tsp::verify_answer(answer, request, &[root.to_vec()]);
    let stamp = stamp.map_err(|error| match std::error::Error::source(&error) {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    })?;
    if stamp.leaf.organization != manifest.cluster.as_str() {
        return Err("its authority is of another cluster".to_owned());
    }
    if !is_after_seal(stamp.time_unix, manifest.sealed_at.0) {
        return Err("its time is before the seal's".to_owned());
    }
    Ok(stamp.leaf.common_name)
}

/// Stamps for ever what was sealed; `sealed` are the sessions of earlier runs.
pub(crate) async fn follow(shared: Arc<Shared>, sealed: Vec<SessionId>) {
    shared.cluster.ready().await;
    let has_none = |session: &SessionId| {
        let path = Path::new(session.as_str()).join(STAMP);
        !shared.shelf.disk().exists(&path).unwrap_or(true)
    };
    let without = sealed.into_iter().filter(has_none);
    shared.stamping.waiting().extend(without);
    loop {
        let waiting: Vec<SessionId> = shared.stamping.waiting().iter().cloned().collect();
        for session in &waiting {
            // Where there is nobody to ask, nothing is read either.
            if shared.authorities.places().is_empty() {
                break;
            }
            match stamp_one(&shared, session).await {
                Ok(true) => drop(shared.stamping.waiting().remove(session)),
                // Whoever did not stamp this one does not stamp the next one now.
                Ok(false) => break,
                Err(error) => {
                    tracing::warn!(%session, %error, "a seal has no time stamp yet");
                }
            }
        }
        let more = shared.stamping.more.notified();
        // Either way the whole list is gone through again.
        let _woken = tokio::time::timeout(RETRY, more).await;
    }
}

/// Whether nothing is left to be done for a session.
async fn stamp_one(shared: &Arc<Shared>, session: &SessionId) -> io::Result<bool> {
    let (shelf, id) = (shared.shelf.clone(), session.clone());
    let read = task::spawn_blocking(move || {
        let (vault, _) = shelf.open::<keeper::Record>(&id)?;
        let sealed = vault.document::<Sealed>(keeper::SEAL)?;
        Ok::<_, io::Error>((vault, sealed))
    });
    let (vault, sealed) = read.await.map_err(io::Error::other)??;
    let Some(sealed) = sealed else {
        return Ok(true);
    };
    let manifest = sealed.manifest().map_err(io::Error::other)?;
    if !manifest.has_attachments() {
        return Ok(true);
    }
    Ok(stamp(shared, &vault, &sealed, &manifest).await?.is_ok())
}
