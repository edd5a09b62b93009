//! One film: taken up, made on a thread of the lowest priority, sealed, told.

use std::{
    fs::{self, File},
    io::{self, Write as _},
    path::Path,
    sync::Arc,
    thread,
    time::Duration,
};

use futures::{StreamExt as _, executor::block_on};
use guitai_composite::{
    Failing, Layout, MakeError, Progress, Request, RunError, Settings, Size, Stop, Tools,
    WorkError, lowest_priority,
};
use guitai_evidence::Options;
use guitai_host::{Disk as _, SystemDisk};
use guitai_types::{
    SessionId,
    command::Reply,
    film::{Claim, Film, FilmLayout, FilmMade, FilmOrder},
    problem::chain,
};
use tokio::sync::{oneshot, watch};

use super::{Running, cut, is_ours, kept};
use crate::{Recorder, Shared, cluster::ReportError, export::Package};

/// Pixels across and down, and frames a second: what `guitai evidence composite make` makes when nothing is said.
const SIZE: (u32, u32) = (640, 360);
const FPS: u32 = 15;
/// How often it is looked whether the film is still wanted.
const LOOK: Duration = Duration::from_secs(1);
/// Progress is told when it is this much more than what was told last, in per cent.
const STEP_PERCENT: u32 = 5;
/// And at least so often: whoever says nothing for `FILM_SILENT_MS` loses the turn.
const ALIVE: Duration = Duration::from_secs(30);
/// Pause before what is done is told again.
const RETRY: Duration = Duration::from_secs(2);
/// The package that a film is made of, in the work directory.
const PACKAGE: &str = "package.vcep";
/// The film, until it is sealed.
const FILM: &str = "film.mp4";

/// How a job ended.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Ended {
    /// There is nothing more to do about it now.
    Told,
    /// ffmpeg does not start any more.
    ToolsAreGone,
}

/// Why there is no film.
enum Fault {
    /// Somebody said so.
    Stopped,
    /// What an earlier job of this process left has not ended yet.
    Busy,
    /// It cannot be made here, or not at all.
    Failed { why: String, for_all: bool },
    /// ffmpeg does not start any more.
    ToolsAreGone(String),
}

/// Takes a film up and sees to it until it is told how that went, or is not wanted any more.
pub(super) async fn make(shared: &Arc<Shared>, tools: &Tools, film: Film) -> Ended {
    let films = &shared.films;
    let running = Running::begin(films, &film.session);
    // Whoever erases says so first and then looks for what runs: one of the two sees the other.
    if shared.is_ending(&film.session) {
        return Ended::Told;
    }
    let node = shared.config.name.clone();
    let order = FilmOrder::Claim {
        film: film.number,
        node: node.clone(),
    };
    let turn = match films.queue.order(order).await {
        Ok(Reply::Film { turn, .. }) => turn,
        Ok(_) => return Ended::Told,
        Err(error) => {
            tracing::debug!(film = film.number, %error, "a film was not taken up");
            return Ended::Told;
        }
    };
    let claim = Claim {
        film: film.number,
        node,
        turn,
    };
    let (session, number) = (film.session.clone(), film.number);
    tracing::info!(%session, film = number, turn, "making a film");
    let package = Recorder {
        shared: shared.clone(),
    }
    .export(&session)
    .await;
    let made = match package {
        Ok(package) => {
            let work = Work {
                shared: shared.clone(),
                tools: tools.clone(),
                film: film.clone(),
                stop: running.stop.clone(),
            };
            follow(shared, work, package, &claim).await
        }
        Err(error) => Err(Fault::Failed {
            why: cut(chain(&error)),
            for_all: false,
        }),
    };
    let order = match made {
        Ok(made) => {
            tracing::info!(%session, film = number, bytes = made.bytes, cpu_ms = made.cpu_ms, "a film was made");
            FilmOrder::Done { claim, made }
        }
        Err(Fault::Stopped) => {
            tracing::info!(%session, film = number, "a film is not wanted any more");
            clean(&film, &films.work_dir(&session, number));
            return Ended::Told;
        }
        Err(Fault::Busy) => return Ended::Told,
        Err(Fault::Failed { why, for_all }) => failed(claim, why, for_all),
        Err(Fault::ToolsAreGone(why)) => {
            tell(shared, &session, failed(claim, why, false)).await;
            return Ended::ToolsAreGone;
        }
    };
    tell(shared, &session, order).await;
    Ended::Told
}

fn failed(claim: Claim, why: String, for_all: bool) -> FilmOrder {
    tracing::error!(film = claim.film, %why, "a film could not be made");
    FilmOrder::Failed {
        claim,
        why,
        for_all,
    }
}

/// Says how it went until somebody has heard it.
async fn tell(shared: &Shared, session: &SessionId, order: FilmOrder) {
    while !shared.is_ending(session) {
        match shared.films.queue.order(order.clone()).await {
            Ok(_) => return,
            // Whatever was made is removed by the next look around.
            Err(error @ ReportError::Refused(_)) => {
                return tracing::warn!(%error, "what became of a film is not taken");
            }
            Err(error) => {
                tracing::warn!(%error, "what became of a film was not told; trying again");
            }
        }
        tokio::time::sleep(RETRY).await;
    }
}

/// Has it made, tells how far it is, and stops it when it is not wanted any more.
async fn follow(
    shared: &Arc<Shared>,
    work: Work,
    package: Package,
    claim: &Claim,
) -> Result<FilmMade, Fault> {
    let films = &shared.films;
    let (stop, session) = (work.stop.clone(), work.film.session.clone());
    let (say, mut done) = oneshot::channel();
    let (tell, told) = watch::channel((0, 0));
    let thread = thread::Builder::new().name("film".to_owned());
    let begun = thread.spawn(move || {
        if let Err(error) = lowest_priority() {
            tracing::warn!(%error, "films are made at the priority of calls");
        }
        // Nobody waits for it when the node stops.
        drop(say.send(work.make(package, &tell)));
    });
    if let Err(error) = begun {
        return Err(machine(&error));
    }
    let mut looks = tokio::time::interval(LOOK);
    let mut last = ((0, 0), shared.clock.monotonic());
    loop {
        tokio::select! {
            biased;
            made = &mut done => {
                let gone = || machine(&io::Error::other("the thread that made it ended"));
                return made.unwrap_or_else(|_| Err(gone()));
            }
            _ = looks.tick() => {}
        }
        let known = films.queue.film(claim.film);
        if shared.is_ending(&session) || !is_ours(known.as_ref(), &claim.node, claim.turn) {
            stop.stop();
            continue;
        }
        let (pieces, now) = (*told.borrow(), shared.clock.monotonic());
        if is_news(last.0, pieces) || now.saturating_sub(last.1) >= ALIVE {
            last = (pieces, now);
            let order = FilmOrder::Progress {
                claim: claim.clone(),
                done: pieces.0,
                of: pieces.1,
            };
            // What is not heard now is heard with the next.
            if let Err(error) = films.queue.order(order).await {
                tracing::debug!(film = claim.film, %error, "how far a film is was not told");
            }
        }
    }
}

fn is_news((told, of_told): (u32, u32), (done, of): (u32, u32)) -> bool {
    of != of_told || done.saturating_sub(told) * 100 >= of.max(1) * STEP_PERCENT
}

/// What the thread has.
struct Work {
    shared: Arc<Shared>,
    tools: Tools,
    film: Film,
    stop: Stop,
}

impl Work {
    fn make(&self, package: Package, tell: &watch::Sender<(u32, u32)>) -> Result<FilmMade, Fault> {
        let films = &self.shared.films;
        let (session, number) = (&self.film.session, self.film.number);
        let dir = films.work_dir(session, number);
        let made = self.make_in(&dir, package, tell);
        // Whoever stopped it says whether that was for good: a node that starts again goes on with the pieces.
        if !matches!(made, Err(Fault::Busy | Fault::Stopped)) {
            clean(&self.film, &dir);
        }
        made
    }

    fn make_in(
        &self,
        dir: &Path,
        package: Package,
        tell: &watch::Sender<(u32, u32)>,
    ) -> Result<FilmMade, Fault> {
        let settings = settings(&self.film)?;
        let disk = SystemDisk::new(dir).map_err(|error| machine(&error))?;
        let wants = self.shared.films.shop.free_bytes_min;
        let has_room = |more: u64| {
            let free = disk.free_bytes().map_err(|error| machine(&error))?;
            if free >= wants.saturating_add(more) {
                return Ok(());
            }
            let why = format!(
                "{free} bytes are free where films are made, wanted are {}",
                wants.saturating_add(more)
            );
            Err(Fault::Failed {
                why,
                for_all: false,
            })
        };
        has_room(0)?;
        let (path, out) = (dir.join(PACKAGE), dir.join(FILM));
        let size = write_package(&path, package, &self.stop)?;
        // Pieces, and the film that is put together of them.
        has_room(size.saturating_mul(2))?;
        // Of a film that was made and not sealed nothing counts.
        remove(&out).map_err(|error| machine(&error))?;
        // What a recorder exports is checked against itself: whom to trust is for whoever is handed it.
        let options = Options::default();
        let request = Request {
            package: &path,
            out: &out,
            settings: &settings,
            options: &options,
            tools: &self.tools,
            stop: &self.stop,
        };
        let made = guitai_composite::make(&request, &mut |step| match step {
            Progress::Verified { pieces } => {
                tell.send_replace((0, pieces));
            }
            Progress::Piece { done, pieces, .. } => {
                tell.send_replace((done, pieces));
                // Recordings may lie on the same disk.
                if has_room(0).is_err() {
                    self.stop.stop();
                }
            }
            Progress::Assembling => {}
        });
        let made = match made {
            Ok(made) => made,
            Err(error) => {
                has_room(0)?;
                return Err(fault(&error));
            }
        };
        let recipe = &made.stated.recipe;
        let description = fs::read(&made.description).map_err(|error| machine(&error))?;
        let films = &self.shared.films;
        let (session, number) = (&self.film.session, self.film.number);
        films.table().lying.insert(number, session.clone());
        let sealed = kept::seal(
            &films.shelf,
            session,
            number,
            &made.film,
            description,
            &self.stop,
        );
        sealed
            .map_err(|error| machine(&error))?
            .ok_or(Fault::Stopped)?;
        let reader = guitai_evidence::Reader::open(&path).map_err(|error| machine(&error))?;
        Ok(FilmMade {
            recorder: reader.manifest.recorder.clone(),
            root: recipe.root.clone(),
            bytes: made.stated.film.bytes,
            sm3: made.stated.film.sm3.clone(),
            length_ms: recipe.length_ms,
            compositor: recipe.compositor.clone(),
            cpu_ms: made.cpu_ms,
            kept: made.kept,
        })
    }
}

/// Nothing of a film lies in plain any more.
fn clean(film: &Film, dir: &Path) {
    if let Err(error) = remove(dir) {
        let (session, film) = (&film.session, film.number);
        tracing::error!(%session, film, %error, "the work directory is not removed; trying again");
    }
}

fn settings(film: &Film) -> Result<Settings, Fault> {
    let layout = match film.layout {
        FilmLayout::SideBySide => Layout::SideBySide,
        FilmLayout::PictureInPicture => Layout::PictureInPicture,
    };
    let size = Size::new(SIZE.0, SIZE.1);
    let settings = size.and_then(|size| Settings::new(layout, size, FPS, film.watermark.clone()));
    settings.map_err(|error| Fault::Failed {
        why: cut(error.to_string()),
        for_all: true,
    })
}

/// Writes the package as it comes; gives its size.
fn write_package(path: &Path, mut package: Package, stop: &Stop) -> Result<u64, Fault> {
    let mut write = || -> io::Result<Option<u64>> {
        let mut file = File::create(path)?;
        let mut size = 0;
        while let Some(piece) = block_on(package.next()).transpose()? {
            if stop.is_stopped() {
                return Ok(None);
            }
            size += piece.len() as u64;
            file.write_all(&piece)?;
        }
        Ok(Some(size))
    };
    let size = write().map_err(|error| machine(&error))?;
    size.ok_or(Fault::Stopped)
}

fn fault(error: &MakeError) -> Fault {
    match error {
        MakeError::Stopped => Fault::Stopped,
        MakeError::Work(WorkError::Busy(_)) => Fault::Busy,
        MakeError::Run {
            source: RunError::Start(_),
            ..
        } => Fault::ToolsAreGone(cut(chain(error))),
        _ => Fault::Failed {
            why: cut(chain(error)),
            for_all: error.failing() == Failing::Request,
        },
    }
}

fn machine(error: &io::Error) -> Fault {
    Fault::Failed {
        why: cut(chain(error)),
        for_all: false,
    }
}

/// Removes a file or a directory with all that is in it; one that is not there is no error.
fn remove(path: &Path) -> io::Result<()> {
    let removed = match path.is_dir() {
        true => fs::remove_dir_all(path),
        false => fs::remove_file(path),
    };
    match removed {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
