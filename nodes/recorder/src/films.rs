//! Films of recordings, made here because the cluster's queue says so, kept sealed, and handed out.
//!
//! One at a time and with the lowest priority: calls come first. What is made lies in plain in the work directory
//! while it is made and no longer; a killed process goes on with the pieces that it finds there. The finished film
//! is sealed like a recording, under a data key of its own for each call, and ends with the recording.
//!
//! Read in this order: this file (what there is to do), [`job`] (one film), [`queue`] (the cluster's side),
//! [`kept`] (films at rest).

mod job;
mod kept;
mod queue;

use std::{
    collections::BTreeMap,
    ffi::OsString,
    fs, io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use guitai_composite::{Stop, Tools};
use guitai_types::{
    NodeName, SessionId,
    film::{Film, FilmMaker, FilmOrder, FilmStage},
    limits::FILM_WHY_BYTES_MAX,
    problem::chain,
};
use tokio::task;

use crate::{RECONCILE, Shared, vault::Shelf};

pub(crate) use kept::register;
pub use kept::{FILM_CALL, FilmPart, fetch_film};
pub(crate) use queue::Queue;

/// Where films are kept among the recordings; no session has such a name.
pub(crate) const DIR: &str = "_films";
/// How often it is looked whether ffmpeg and a font are there, while they are not.
const TOOLS_LOOK: Duration = Duration::from_secs(60);
/// How soon a job that was told to stop is looked at again.
const STOP_LOOK: Duration = Duration::from_millis(50);
/// Room that must be free where films are made, in bytes, beside twice what the package has: recordings may lie on
/// the same disk, and come first.
pub const WORK_FREE_MIN: u64 = 512 * 1024 * 1024;

/// Where films are made, and with what.
#[derive(Debug, Clone)]
pub struct Workshop {
    /// What is in the making lies here in plain. Made if it is not there, its owner's alone.
    pub work: PathBuf,
    /// Where ffmpeg is looked for: directories as in `PATH`.
    pub path: OsString,
    /// Font file with Chinese characters; the usual places are searched without it.
    pub font: Option<PathBuf>,
    /// Usually [`WORK_FREE_MIN`].
    pub free_bytes_min: u64,
}

/// What a recorder has to do with films.
pub(crate) struct Films {
    pub(crate) shop: Workshop,
    pub(crate) queue: Arc<dyn Queue>,
    shelf: Shelf,
    table: Mutex<Table>,
}

#[derive(Default)]
struct Table {
    /// Films that lie on the shelf, whole or in part.
    lying: BTreeMap<u32, SessionId>,
    /// What is made now.
    running: Option<(SessionId, Stop)>,
}

impl Films {
    pub(crate) fn new(shop: Workshop, queue: Arc<dyn Queue>, shelf: &Shelf) -> io::Result<Self> {
        let is_there = shelf.disk().exists(Path::new(DIR))?;
        let shelf = shelf.beside(DIR);
        let mut table = Table::default();
        let sessions = is_there.then(|| shelf.sessions()).transpose()?;
        for session in sessions.unwrap_or_default() {
            for number in kept::numbers(&shelf, &session)? {
                table.lying.insert(number, session.clone());
            }
        }
        Ok(Self {
            shop,
            queue,
            shelf,
            table: Mutex::new(table),
        })
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Stops what is made of a call, and returns when nobody has it open.
    pub(crate) async fn let_go(&self, session: &SessionId) {
        loop {
            match &self.table().running {
                Some((of, stop)) if of == session => stop.stop(),
                _ => return,
            }
            tokio::time::sleep(STOP_LOOK).await;
        }
    }

    /// Destroys the key of a call's films, and removes what lies in plain. Only after [`Films::let_go`].
    pub(crate) fn destroy(&self, session: &SessionId, note: &[u8]) -> io::Result<()> {
        for (of, dir) in self.work_dirs()? {
            if of.0 == *session {
                fs::remove_dir_all(dir)?;
            }
        }
        self.table().lying.retain(|_, of| of != session);
        match self.shelf.is_there(session)? {
            true => self.shelf.destroy_key(session, note),
            false => Ok(()),
        }
    }

    /// Removes the noise that is left.
    pub(crate) fn sweep(&self, session: &SessionId) -> io::Result<()> {
        match self.shelf.is_there(session)? {
            true => self.shelf.sweep(session),
            false => Ok(()),
        }
    }

    /// Where a film is made.
    fn work_dir(&self, session: &SessionId, number: u32) -> PathBuf {
        // No id has a dot in it.
        self.shop.work.join(format!("{session}.{number}"))
    }

    /// What lies in the work directory; names that are not ours are left alone.
    fn work_dirs(&self) -> io::Result<Vec<((SessionId, u32), PathBuf)>> {
        let entries = match fs::read_dir(&self.shop.work) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let mut dirs = Vec::new();
        for entry in entries {
            let path = entry?.path();
            if let Some(film) = film_of(&path) {
                dirs.push((film, path));
            }
        }
        Ok(dirs)
    }
}

fn film_of(dir: &Path) -> Option<(SessionId, u32)> {
    let (session, number) = dir.file_name()?.to_str()?.rsplit_once('.')?;
    Some((session.parse().ok()?, number.parse().ok()?))
}

/// Runs until the node stops.
pub(crate) async fn run(shared: Arc<Shared>) {
    shared.cluster.ready().await;
    let mut tools: Option<Tools> = None;
    let mut found: Option<FilmMaker> = None;
    let mut looks_from = Duration::ZERO;
    loop {
        if tools.is_none() && shared.clock.monotonic() >= looks_from {
            looks_from = shared.clock.monotonic() + TOOLS_LOOK;
            let (maker, present) = look(&shared).await;
            (found, tools) = (Some(maker), present);
        }
        if let Some(maker) = &found {
            tell(&shared, maker).await;
        }
        if let Err(error) = clear(&shared).await {
            tracing::warn!(%error, "films that nobody wants any more are not removed; trying again");
        }
        let node = &shared.config.name;
        let next = shared.films.queue.next(node, shared.clock.wall());
        if let (Some(film), Some(present)) = (next, &tools)
            && !shared.is_ending(&film.session)
            && job::make(&shared, present, film).await == job::Ended::ToolsAreGone
        {
            (tools, looks_from) = (None, Duration::ZERO);
        }
        tokio::time::sleep(RECONCILE).await;
    }
}

/// Looks for ffmpeg and a font.
async fn look(shared: &Arc<Shared>) -> (FilmMaker, Option<Tools>) {
    let shop = shared.films.shop.clone();
    let looked = task::spawn_blocking(move || Tools::find(&shop.path, shop.font.as_deref())).await;
    let node = shared.config.name.clone();
    let lacks = |why: String| FilmMaker {
        node: node.clone(),
        ffmpeg: None,
        lacks: Some(why),
    };
    match looked {
        Ok(Ok(tools)) => {
            let maker = FilmMaker {
                node,
                ffmpeg: Some(cut(tools.ffmpeg_version().to_owned())),
                lacks: None,
            };
            (maker, Some(tools))
        }
        Ok(Err(error)) => (lacks(cut(chain(&error))), None),
        Err(error) => (lacks(cut(error.to_string())), None),
    }
}

/// Says what was found, where the cluster knows something else.
async fn tell(shared: &Shared, maker: &FilmMaker) {
    if shared.films.queue.maker(&maker.node).as_ref() == Some(maker) {
        return;
    }
    match &maker.lacks {
        Some(lacks) => tracing::info!(%lacks, "this node makes no films"),
        None => tracing::info!(ffmpeg = maker.ffmpeg, "this node makes films"),
    }
    let maker = maker.clone();
    let told = shared.films.queue.order(FilmOrder::Maker { maker }).await;
    if let Err(error) = told {
        tracing::debug!(%error, "what this node can make was not told; trying again");
    }
}

/// Removes what the cluster, asked anew, does not know this node to make or to have: cancelled, grown old, made by
/// another one meanwhile.
async fn clear(shared: &Arc<Shared>) -> io::Result<()> {
    let films = &shared.films;
    let node = &shared.config.name;
    let known = films.queue.known(node);
    let is_strange = |known: &[Film]| {
        let lying = films.table().lying.clone();
        let has = move |number: u32| known.iter().any(|film| film.number == number);
        let mut sealed: Vec<(SessionId, u32)> = lying
            .into_iter()
            .filter(|(number, _)| !has(*number))
            .map(|(number, session)| (session, number))
            .collect();
        sealed.sort_unstable();
        // Of a film that is done nothing lies in plain.
        let is_made = |number: u32| {
            let mut making = known
                .iter()
                .filter(|film| matches!(film.stage, FilmStage::Making { .. }));
            making.any(|film| film.number == number)
        };
        let dirs = films.work_dirs()?.into_iter();
        let plain: Vec<PathBuf> = dirs
            .filter(|((_, number), _)| !is_made(*number))
            .map(|(_, dir)| dir)
            .collect();
        Ok::<_, io::Error>((sealed, plain))
    };
    let (sealed, plain) = is_strange(&known)?;
    if sealed.is_empty() && plain.is_empty() {
        return Ok(());
    }
    // What this node knows may be old.
    let Some(known) = films.queue.asked_anew(node).await else {
        return Ok(());
    };
    let (sealed, plain) = is_strange(&known)?;
    let shared = shared.clone();
    let removed = task::spawn_blocking(move || {
        for dir in plain {
            fs::remove_dir_all(&dir)?;
        }
        for (session, number) in sealed {
            kept::remove(&shared.films.shelf, &session, number)?;
            shared.films.table().lying.remove(&number);
            tracing::debug!(%session, film = number, "a film is removed");
        }
        Ok(())
    });
    removed
        .await
        .unwrap_or_else(|error| Err(io::Error::other(error)))
}

/// One line of at most [`FILM_WHY_BYTES_MAX`] bytes.
fn cut(mut text: String) -> String {
    text.retain(|it| !it.is_control());
    text.truncate(text.floor_char_boundary(FILM_WHY_BYTES_MAX));
    text
}

/// Says that nobody makes anything any more, however that came.
struct Running<'a> {
    films: &'a Films,
    stop: Stop,
}

impl<'a> Running<'a> {
    fn begin(films: &'a Films, session: &SessionId) -> Self {
        let stop = Stop::default();
        films.table().running = Some((session.clone(), stop.clone()));
        Self { films, stop }
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.stop.stop();
        self.films.table().running = None;
    }
}

/// Whether this node is the one whose turn at a film it is, as far as it knows: what it knows may be old, but a
/// later turn, another stage of this turn, or no film at all is not.
fn is_ours(known: Option<&Film>, node: &NodeName, turn: u32) -> bool {
    known.is_some_and(|film| match &film.stage {
        _ if film.turns < turn => true,
        FilmStage::Making { node: at, .. } => film.turns == turn && at == node,
        _ => false,
    })
}
