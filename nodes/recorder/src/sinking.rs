//! The recordings of this node in the sink: what [`guitai_sink::plan`] says is done, here.
//!
//! A note for each recording, outside of its directory, says what is there; everything in it was read back. It is
//! written before the first object is put, so that nothing is ever there that this node does not know of, and after
//! every step, so that a process killed at any moment goes on where it was. One recording at a time; its objects a few
//! at once. What the store does not take is tried again after pauses that double; nobody waits for it.

mod files;

use std::{
    collections::BTreeMap,
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures::{StreamExt as _, stream};
use guitai_sink::{
    Body, Store, StoreError,
    plan::{self, Here, MANIFEST, Object, Promise, Step, There},
    store::OBJECTS_AT_ONCE_MAX,
};
use guitai_types::{
    SessionId, UnixMillis,
    problem::chain,
    record::RecordingState,
    retention::{Found, KeepOrder, SinkCopy},
    sink::LockMode,
};

use crate::{RECONCILE, Recorder, Shared, cluster::Kept, copies::blocking};
use files::Files;

/// Where the notes are, among the recordings; no session has such a name.
pub(crate) const DIR: &str = "_sink";
/// A recording at rest is looked at again after so long, in milliseconds, then after twice that: a proof or a stamp
/// may come after the seal.
const LOOK_AGAIN_MS: u64 = 60 * 60 * 1000;
/// And at the latest after so long: thirty days.
const LOOK_AGAIN_MS_MAX: u64 = 30 * 24 * 60 * 60 * 1000;
/// Recordings that the store may refuse in one look before the rest waits: wrong keys refuse them all.
const REFUSED_IN_LOOK_MAX: u32 = 8;

/// A recorder's part in the sink.
pub(crate) struct Sinking {
    store: Store,
    mode: LockMode,
    table: Mutex<Table>,
    /// Held by whoever writes files of a recording.
    mending: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct Table {
    stat: SinkStat,
    known: BTreeMap<SessionId, Known>,
    /// Looks so far.
    looks: u64,
}

/// What is known of a recording between two looks.
#[derive(Debug, Clone, Copy, Default)]
struct Known {
    at: Standing,
    promise: Promise,
    is_erased: bool,
    /// Nothing is to be done before, unless the promise is another.
    rests_until: UnixMillis,
    rest_ms: u64,
    /// The look that tried it last.
    tried: u64,
}

/// How a recording stands in the sink.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Standing {
    /// Not all of it is there yet.
    #[default]
    Waiting,
    /// All of it is there, locked as promised.
    Whole,
    /// Erased here, and still there: its lock has not run out.
    Locked,
    /// Nothing of it is there, and nothing is to be.
    Gone,
}

/// How the sink of a node does.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SinkStat {
    /// Sealed recordings of which not all is there.
    pub waiting: u64,
    /// Recordings of which all is there.
    pub whole: u64,
    /// Erased recordings whose objects cannot be deleted yet.
    pub locked: u64,
    /// Objects put and read back.
    pub objects_put: u64,
    /// Their bytes.
    pub bytes_put: u64,
    /// Objects found otherwise than they were put, or missing.
    pub damaged: u64,
    /// Files of this node that were fetched back.
    pub mended: u64,
    /// Versions of objects that were deleted.
    pub deleted: u64,
    /// Requests and checks that failed.
    pub failures: u64,
    /// Why the last look did not come to its end; none when it did.
    pub failing: Option<String>,
}

/// Why a recording was left as it is for now.
#[derive(Debug, thiserror::Error)]
enum DriveError {
    /// The store, or a file.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The note.
    #[error("the note about it")]
    Note(#[from] io::Error),
    /// This node's recording does not read as it was sealed.
    #[error("the recording is damaged here: {0}")]
    Damaged(String),
}

impl Sinking {
    pub(crate) fn new(store: Store, mode: LockMode) -> Self {
        Self {
            store,
            mode,
            table: Mutex::default(),
            mending: tokio::sync::Mutex::default(),
        }
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn count(&self, count: impl FnOnce(&mut SinkStat)) {
        count(&mut self.table().stat);
    }
}

impl Recorder {
    /// How the sink does; `None` where there is none.
    pub fn sink_stat(&self) -> Option<SinkStat> {
        let table = self.shared.sinking.as_ref()?.table();
        let standing = |at| table.known.values().filter(|known| known.at == at).count() as u64;
        Some(SinkStat {
            waiting: standing(Standing::Waiting),
            whole: standing(Standing::Whole),
            locked: standing(Standing::Locked),
            ..table.stat.clone()
        })
    }
}

/// Runs until the node stops.
pub(crate) async fn run(shared: Arc<Shared>) {
    let Some(sinking) = shared.sinking.clone() else {
        return;
    };
    shared.cluster.ready().await;
    let (mut failures, mut is_checked) = (0_u32, false);
    loop {
        let looked = look(&shared, &sinking, &mut is_checked).await;
        sinking.table().stat.failing = looked.as_ref().err().map(|error| chain(error));
        let pause = match looked {
            Ok(()) => {
                failures = 0;
                // A look at two hundred thousand recordings takes some tenths of a second.
                let known = u64::try_from(sinking.table().known.len()).unwrap_or(u64::MAX);
                RECONCILE + Duration::from_millis(known / 10)
            }
            Err(error) => {
                failures = failures.saturating_add(1);
                sinking.count(|stat| stat.failures += 1);
                let pause = Duration::from_millis(plan::pause_ms(failures));
                let error = chain(&error);
                tracing::warn!(
                    error,
                    pause_s = pause.as_secs(),
                    "the sink is not served; trying again"
                );
                pause
            }
        };
        tokio::time::sleep(pause).await;
    }
}

/// Goes once through all recordings that may have something to do.
async fn look(
    shared: &Arc<Shared>,
    sinking: &Arc<Sinking>,
    is_checked: &mut bool,
) -> Result<(), DriveError> {
    let due = due(shared, sinking).await?;
    if due.is_empty() {
        return Ok(());
    }
    if !*is_checked {
        sinking.store.check().await?;
        *is_checked = true;
    }
    let (mut refused, mut last) = (0, None);
    for session in due {
        let Err(error) = drive(shared, sinking, &session).await else {
            continue;
        };
        let is_away = matches!(
            error,
            DriveError::Store(StoreError::Unanswered { .. } | StoreError::Failing { .. })
        );
        tracing::warn!(%session, error = chain(&error), "a recording is not in the sink as it is to be");
        // What is damaged here is told to the cluster; until something is otherwise it stays so.
        if let DriveError::Damaged(_) = error {
            rest(shared, sinking, &session, Standing::Waiting);
            continue;
        }
        refused += 1;
        last = Some(error);
        if is_away || refused >= REFUSED_IN_LOOK_MAX {
            break;
        }
    }
    match last {
        Some(error) => {
            // The bucket may be another than it was.
            *is_checked = false;
            Err(error)
        }
        None => Ok(()),
    }
}

/// Recordings that may have something to do, those first that were not tried for the longest time.
async fn due(shared: &Arc<Shared>, sinking: &Arc<Sinking>) -> io::Result<Vec<SessionId>> {
    let files = Files::of(shared);
    let noted = blocking(move || files.noted()).await?;
    let (sealed, ending) = {
        let table = shared.table();
        let sealed = table.stats.values();
        let sealed = sealed.filter(|stat| matches!(stat.state, RecordingState::Sealed { .. }));
        let sealed: Vec<SessionId> = sealed.map(|stat| stat.session.clone()).collect();
        (sealed, table.ending.clone())
    };
    let now = shared.clock.wall();
    let mut table = sinking.table();
    table.looks += 1;
    let mut due: Vec<(u64, SessionId)> = Vec::new();
    for session in sealed.into_iter().chain(noted) {
        let kept = shared
            .cluster
            .kept(&session, &shared.config.name)
            .unwrap_or_default();
        let known = table.known.entry(session.clone()).or_default();
        let is_same = known.promise == kept.promise && known.is_erased == ending.contains(&session);
        if !(is_same && now < known.rests_until) {
            due.push((known.tried, session));
        }
    }
    due.sort();
    due.dedup();
    Ok(due.into_iter().map(|(_, session)| session).collect())
}

/// Does everything that is to be done now for one recording.
async fn drive(
    shared: &Arc<Shared>,
    sinking: &Arc<Sinking>,
    session: &SessionId,
) -> Result<(), DriveError> {
    {
        let mut table = sinking.table();
        let looks = table.looks;
        table.known.entry(session.clone()).or_default().tried = looks;
    }
    let (store, node) = (&sinking.store, &shared.config.name);
    let mut is_read = false;
    loop {
        let (files, id) = (Files::of(shared), session.clone());
        let is_ending = shared.is_ending(session);
        let (here, noted) =
            blocking(move || Ok((files.here(&id, is_ending)?, files.note(&id)?))).await?;
        let kept = shared.cluster.kept(session, node).unwrap_or_default();
        let is_noted = noted.is_some();
        let mut there = noted.unwrap_or_else(There::new);
        if here == Here::Erased && !is_noted {
            rest(shared, sinking, session, Standing::Gone);
            return Ok(());
        }
        match plan::next(
            &here,
            &there,
            kept.promise,
            sinking.mode,
            shared.clock.wall(),
        ) {
            Step::Rest => {
                rest(shared, sinking, session, Standing::Whole);
                tell(shared, session, &kept, &there).await;
                return Ok(());
            }
            Step::Locked => {
                rest(shared, sinking, session, Standing::Locked);
                tell(shared, session, &kept, &there).await;
                return Ok(());
            }
            Step::Mend(names) => {
                let fetched = mend(shared, sinking, session, &mut there, names).await;
                note(shared, session, &there).await?;
                fetched?;
            }
            Step::Put(names) => {
                // What is not what was sealed must not become what others are mended from.
                if !is_read {
                    is_read = true;
                    if shared.copies.has(session) {
                        let what = "a replica has taken its place".to_owned();
                        return Err(DriveError::Damaged(what));
                    }
                    if let Found::Damaged { what } = read(shared, session).await {
                        return Err(DriveError::Damaged(what));
                    }
                    // Reading may have mended something.
                    continue;
                }
                note(shared, session, &there).await?;
                let put = put(shared, sinking, session, names).await;
                let mut failed = None;
                for (name, put) in put {
                    match put {
                        Ok(object) => {
                            sinking.count(|stat| {
                                stat.objects_put += 1;
                                stat.bytes_put += object.bytes;
                            });
                            there.put(&name, object);
                        }
                        Err(error) => failed = Some(error),
                    }
                }
                note(shared, session, &there).await?;
                failed.map_or(Ok(()), Err)?;
            }
            Step::Close => {
                let body = Body::of(there.manifest_bytes(session, node));
                let object = store.put(session, node, MANIFEST, &body).await?;
                sinking.count(|stat| {
                    stat.objects_put += 1;
                    stat.bytes_put += object.bytes;
                });
                there.put(MANIFEST, object);
                there.read_at = Some(shared.clock.wall());
                note(shared, session, &there).await?;
                tracing::info!(%session, files = there.files.len(), "a recording is in the sink");
            }
            Step::Lock { names, until, held } => {
                let locked = lock(sinking, shared, session, &there, names, until, held).await;
                let mut failed = None;
                for (name, locked) in locked {
                    match (locked, there.object_mut(&name)) {
                        (Ok(locked), Some(object)) => *object = locked,
                        (Err(error), _) => failed = Some(error),
                        (Ok(_), None) => {}
                    }
                }
                note(shared, session, &there).await?;
                failed.map_or(Ok(()), Err)?;
            }
            Step::Read => {
                read_back(shared, sinking, session, &mut there).await?;
                there.read_at = Some(shared.clock.wall());
                note(shared, session, &there).await?;
            }
            Step::Delete => {
                let deleted = store.delete(session, node).await?;
                sinking.count(|stat| stat.deleted += deleted.gone);
                if deleted.locked > 0 {
                    there.refused_at = Some(shared.clock.wall());
                    note(shared, session, &there).await?;
                } else {
                    let (files, id) = (Files::of(shared), session.clone());
                    blocking(move || files.forget(&id)).await?;
                    tell(shared, session, &kept, &There::new()).await;
                    rest(shared, sinking, session, Standing::Gone);
                    tracing::info!(%session, versions = deleted.gone, "an erased recording is deleted from the sink");
                    return Ok(());
                }
            }
        }
    }
}

/// Nothing is to be done for a while.
fn rest(shared: &Shared, sinking: &Sinking, session: &SessionId, at: Standing) {
    let kept = shared
        .cluster
        .kept(session, &shared.config.name)
        .unwrap_or_default();
    let is_erased = shared.is_ending(session);
    let mut table = sinking.table();
    if at == Standing::Gone {
        table.known.remove(session);
        if is_erased {
            return;
        }
    }
    let known = table.known.entry(session.clone()).or_default();
    known.rest_ms = match known.at == at {
        true => (known.rest_ms * 2).clamp(LOOK_AGAIN_MS, LOOK_AGAIN_MS_MAX),
        false => LOOK_AGAIN_MS,
    };
    known.at = at;
    known.promise = kept.promise;
    known.is_erased = is_erased;
    known.rests_until = shared.clock.wall().plus(known.rest_ms);
}

async fn put(
    shared: &Arc<Shared>,
    sinking: &Arc<Sinking>,
    session: &SessionId,
    names: Vec<String>,
) -> Vec<(String, Result<Object, StoreError>)> {
    let (store, node) = (&sinking.store, &shared.config.name);
    let put = stream::iter(names).map(async |name| {
        let (files, id, of) = (Files::of(shared), session.clone(), name.clone());
        let body = blocking(move || files.body(&id, &of)).await;
        let put = match body {
            Ok(body) => store.put(session, node, &name, &body).await,
            Err(source) => Err(StoreError::Local {
                name: name.clone(),
                source,
            }),
        };
        (name, put)
    });
    put.buffer_unordered(OBJECTS_AT_ONCE_MAX).collect().await
}

async fn lock(
    sinking: &Arc<Sinking>,
    shared: &Arc<Shared>,
    session: &SessionId,
    there: &There,
    names: Vec<String>,
    until: Option<UnixMillis>,
    held: bool,
) -> Vec<(String, Result<Object, StoreError>)> {
    let (store, node) = (&sinking.store, &shared.config.name);
    let objects: Vec<(String, Object)> = there
        .objects()
        .filter(|(name, _)| names.iter().any(|it| it == name))
        .map(|(name, object)| (name.to_owned(), object.clone()))
        .collect();
    let locked = stream::iter(objects).map(async |(name, object)| {
        let locked = store.lock(session, node, &name, &object, until, held).await;
        (name, locked)
    });
    locked.buffer_unordered(OBJECTS_AT_ONCE_MAX).collect().await
}

/// Reads everything there back; what is not what was put is to be put again.
async fn read_back(
    shared: &Arc<Shared>,
    sinking: &Arc<Sinking>,
    session: &SessionId,
    there: &mut There,
) -> Result<(), StoreError> {
    let (store, node) = (&sinking.store, &shared.config.name);
    let objects: Vec<(String, Object)> = there
        .objects()
        .map(|(name, object)| (name.to_owned(), object.clone()))
        .collect();
    let read = stream::iter(objects).map(async |(name, object)| {
        let read = store.read(session, node, &name, &object).await;
        (name, read)
    });
    let mut read = Box::pin(read.buffer_unordered(OBJECTS_AT_ONCE_MAX));
    let mut lost = Vec::new();
    while let Some((name, read)) = read.next().await {
        match read {
            Ok(()) => {}
            Err(StoreError::Differs { .. } | StoreError::Missing { .. }) => lost.push(name),
            Err(error) => return Err(error),
        }
    }
    drop(read);
    for name in lost {
        tracing::error!(%session, name, "an object of the sink is not what was put; it is put again");
        sinking.count(|stat| stat.damaged += 1);
        there.lost(&name);
    }
    Ok(())
}

/// Gets files back from the sink; what is not what was put there stays away.
async fn mend(
    shared: &Arc<Shared>,
    sinking: &Arc<Sinking>,
    session: &SessionId,
    there: &mut There,
    names: Vec<String>,
) -> Result<u64, StoreError> {
    let _alone = sinking.mending.lock().await;
    let mut mended = 0;
    for name in names {
        let Some(object) = there.files.get(&name).cloned() else {
            continue;
        };
        if shared.is_ending(session) {
            break;
        }
        let files = Files::of(shared);
        let half = files.begin(session, &name);
        let half = half.map_err(|source| local(&name, source))?;
        let store = &sinking.store;
        let write = |at, piece: bytes::Bytes| half.write_at(at, &piece);
        let fetched = store
            .fetch(session, &shared.config.name, &name, &object, write)
            .await;
        match fetched {
            Ok(()) => {
                files
                    .finish(session, &name, half)
                    .map_err(|source| local(&name, source))?;
                mended += 1;
                sinking.count(|stat| stat.mended += 1);
                tracing::warn!(%session, name, "a file of a recording was fetched back from the sink");
            }
            Err(StoreError::Differs { .. } | StoreError::Missing { .. }) => {
                tracing::error!(%session, name, "a file is lost here, and in the sink as well");
                sinking.count(|stat| stat.damaged += 1);
                there.lost(&name);
            }
            Err(error) => return Err(error),
        }
    }
    Ok(mended)
}

fn local(name: &str, source: io::Error) -> StoreError {
    StoreError::Local {
        name: name.to_owned(),
        source,
    }
}

/// Mends a recording that does not read as it was sealed, as far as the sink has what is missing; whether anything
/// was fetched back. A recording without its key is not mended: nothing would open it.
pub(crate) async fn mend_all(shared: &Arc<Shared>, session: &SessionId) -> bool {
    let Some(sinking) = shared.sinking.clone() else {
        return false;
    };
    let (files, id) = (Files::of(shared), session.clone());
    let noted = blocking(move || match files.has_key(&id) {
        true => files.note(&id),
        false => Ok(None),
    });
    let Ok(Some(mut there)) = noted.await else {
        return false;
    };
    let (files, id, of) = (Files::of(shared), session.clone(), there.clone());
    let Ok(rotten) = blocking(move || Ok(files.rotten(&id, &of))).await else {
        return false;
    };
    let mended = mend(shared, &sinking, session, &mut there, rotten).await;
    if let Err(error) = note(shared, session, &there).await {
        tracing::warn!(%session, %error, "what is in the sink was not noted");
    }
    match mended {
        Ok(mended) => mended > 0,
        Err(error) => {
            tracing::error!(%session, error = chain(&error), "the sink does not mend a recording");
            sinking.count(|stat| stat.failures += 1);
            false
        }
    }
}

/// Reads this node's own recording through, as for a scrub.
async fn read(shared: &Arc<Shared>, session: &SessionId) -> Found {
    let recorder = Recorder {
        shared: shared.clone(),
    };
    recorder.read_through(session).await.found
}

async fn note(shared: &Arc<Shared>, session: &SessionId, there: &There) -> io::Result<()> {
    let (files, id, there) = (Files::of(shared), session.clone(), there.clone());
    blocking(move || files.put_note(&id, &there)).await
}

/// Tells the cluster what is there, when that is not what it knows. What is not told is told by a later look.
async fn tell(shared: &Arc<Shared>, session: &SessionId, kept: &Kept, there: &There) {
    let copy = there.summary().map(|it| SinkCopy {
        at: shared.clock.wall(),
        files: it.files,
        bytes: it.bytes,
        until: it.until,
        held: it.held,
    });
    let said = |copy: &SinkCopy| (copy.files, copy.bytes, copy.until, copy.held);
    if !kept.is_tracked || copy.as_ref().map(said) == kept.sink.as_ref().map(said) {
        return;
    }
    let order = KeepOrder::Sink {
        session: session.clone(),
        node: shared.config.name.clone(),
        copy,
    };
    if let Err(error) = shared.cluster.keep(order).await {
        tracing::warn!(%session, %error, "what is in the sink was not told");
    }
}
