//! Films of a recording, made by the real ffmpeg: killed in the middle, spoilt, cancelled, erased. A shell script
//! before ffmpeg holds the sound up, so that there is a middle. Without ffmpeg and a font they say that they skip.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    sync::Mutex,
    time::Duration,
};

use futures::{StreamExt as _, future::BoxFuture};
use guitai_composite::Tools;
use guitai_crypto::sm3;
use guitai_evidence::{Options, composite::description_path};
use guitai_host::Disk as _;
use guitai_types::{
    NodeName, UnixMillis,
    command::Reply,
    film::{Film, FilmLayout, FilmMade, FilmMaker, FilmOrder, FilmStage},
};

use super::{media::Clip, tar, world::World};
use crate::{FilmPart, cluster::ReportError, films::Queue};

/// The cluster's queue of one film.
#[derive(Default)]
pub(super) struct FilmScript {
    film: Mutex<Option<Film>>,
    maker: Mutex<Option<FilmMaker>>,
}

impl FilmScript {
    fn film(&self) -> Film {
        self.film.lock().unwrap().clone().unwrap()
    }

    fn stage_is(&self, stage: FilmStage) {
        self.film.lock().unwrap().as_mut().unwrap().stage = stage;
    }

    fn made(&self) -> Option<FilmMade> {
        match self.film().stage {
            FilmStage::Done { made, .. } => Some(made),
            _ => None,
        }
    }

    fn failed(&self) -> Option<String> {
        match self.film().stage {
            FilmStage::Failed { why, .. } => Some(why),
            _ => None,
        }
    }

    fn apply(&self, order: FilmOrder) -> Result<Reply, ReportError> {
        let mut film = self.film.lock().unwrap();
        let over = || ReportError::Refused("the turn is over".to_owned());
        match order {
            FilmOrder::Maker { maker } => *self.maker.lock().unwrap() = Some(maker),
            FilmOrder::Claim { node, .. } => {
                let film = film.as_mut().filter(|it| it.is_open()).ok_or_else(over)?;
                film.turns += 1;
                film.stage = making(node, 0, 0);
                return Ok(Reply::Film {
                    film: film.number,
                    turn: film.turns,
                });
            }
            FilmOrder::Progress { claim, done, of } => {
                let film = film.as_mut().filter(|it| it.is_held_by(&claim));
                film.ok_or_else(over)?.stage = making(claim.node, done, of);
            }
            FilmOrder::Done { claim, made } => {
                let film = film.as_mut().filter(|it| it.is_held_by(&claim));
                film.ok_or_else(over)?.stage = FilmStage::Done {
                    node: claim.node,
                    at: UnixMillis(9),
                    made,
                };
            }
            FilmOrder::Failed { claim, why, .. } => {
                let film = film.as_mut().filter(|it| it.is_held_by(&claim));
                film.ok_or_else(over)?.stage = FilmStage::Failed {
                    at: UnixMillis(9),
                    why,
                };
            }
            other => panic!("a recorder does not say {other:?}"),
        }
        Ok(Reply::Done)
    }
}

fn making(node: NodeName, done: u32, of: u32) -> FilmStage {
    FilmStage::Making {
        node,
        since: UnixMillis(2),
        heard_at: UnixMillis(2),
        done,
        of,
    }
}

impl Queue for FilmScript {
    fn next(&self, _node: &NodeName, _now: UnixMillis) -> Option<Film> {
        self.film.lock().unwrap().clone().filter(Film::is_open)
    }

    fn film(&self, number: u32) -> Option<Film> {
        let film = self.film.lock().unwrap().clone();
        film.filter(|film| film.number == number)
    }

    fn known(&self, _node: &NodeName) -> Vec<Film> {
        let film = self.film.lock().unwrap().clone();
        let is_here = |film: &Film| {
            matches!(
                film.stage,
                FilmStage::Making { .. } | FilmStage::Done { .. }
            )
        };
        film.into_iter().filter(is_here).collect()
    }

    fn asked_anew(&self, node: &NodeName) -> BoxFuture<'static, Option<Vec<Film>>> {
        let known = self.known(node);
        Box::pin(async move { Some(known) })
    }

    fn maker(&self, _node: &NodeName) -> Option<FilmMaker> {
        self.maker.lock().unwrap().clone()
    }

    fn order(&self, order: FilmOrder) -> BoxFuture<'static, Result<Reply, ReportError>> {
        let applied = self.apply(order);
        Box::pin(async move { applied })
    }
}

/// Looks until there is an answer. Films are made with what everything else leaves of the machine.
async fn patiently<T>(mut look: impl FnMut() -> Option<T>, what: &str) -> T {
    for _ in 0..12_000 {
        if let Some(found) = look() {
            return found;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("{what}: not within two minutes");
}

/// A film that somebody asks for.
fn order(world: &World) {
    let film = Film {
        number: 7,
        session: world.session(),
        institution: "bank".parse().unwrap(),
        layout: FilmLayout::SideBySide,
        watermark: Some("业务编号 2026-1".to_owned()),
        by: guitai_types::StaffRef {
            institution: "bank".parse().unwrap(),
            name: "wang".parse().unwrap(),
        },
        reason: String::new(),
        at: UnixMillis(1),
        turns: 0,
        failed_on: std::collections::BTreeMap::new(),
        stage: FilmStage::Waiting {
            since: UnixMillis(1),
        },
    };
    *world.queue.film.lock().unwrap() = Some(film);
}

fn tools() -> Option<Tools> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    match Tools::find(&path, None) {
        Ok(tools) => Some(tools),
        Err(error) => {
            println!("skipped: {error}");
            None
        }
    }
}

/// A sealed call on a node with an ffmpeg whose sound waits for [`open_gate`].
async fn recorded() -> Option<World> {
    tools()?;
    let mut world = World::new(true);
    let bin = world.aside().join("bin");
    fs::create_dir(&bin).unwrap();
    let script = format!(
        "#!/bin/sh\ncase \"$*\" in *adts*) while [ ! -e {} ]; do sleep 0.05; done;; esac\nexec {} \"$@\"\n",
        gate(&world).display(),
        real_ffmpeg().display(),
    );
    let file = bin.join("ffmpeg");
    fs::write(&file, script).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
    world.shop.path = bin.into_os_string();
    world.start();
    let clip = Clip::encoded(4)?;
    world.publish_all(&clip, "5e1f", 0..4_000).await;
    world.end().await;
    Some(world)
}

fn real_ffmpeg() -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut files = std::env::split_paths(&path).map(|dir| dir.join("ffmpeg"));
    files.find(|file| file.is_file()).unwrap()
}

fn gate(world: &World) -> PathBuf {
    world.aside().join("gate")
}

fn open_gate(world: &World) {
    fs::write(gate(world), "").unwrap();
}

/// Until the picture is done and the sound is not.
async fn in_the_middle(world: &World) -> PathBuf {
    let is = || {
        matches!(
            world.queue.film().stage,
            FilmStage::Making { done: 1, of: 2, .. }
        )
        .then_some(())
    };
    patiently(is, "the middle").await;
    world.shop.work.join("5e55.7")
}

async fn made(world: &World) -> FilmMade {
    let ended = || {
        let failed = world.queue.failed().map(Err);
        world.queue.made().map(Ok).or(failed)
    };
    patiently(ended, "a film").await.expect("a film")
}

async fn is_gone(path: &Path) {
    patiently(
        || (!path.exists()).then_some(()),
        "what lay in plain is gone",
    )
    .await;
}

async fn part(world: &World, part: FilmPart) -> Vec<u8> {
    let given = world.recorder().film(&world.session(), 7, part).await;
    let mut given = given.expect("a film");
    let mut bytes = Vec::new();
    while let Some(piece) = given.next().await {
        bytes.extend_from_slice(&piece.expect("whole"));
    }
    bytes
}

/// Everything that lies on the recorder's disk under the films of the call.
fn lying(world: &World) -> Vec<Vec<u8>> {
    let dir = Path::new("_films/5e55");
    let names = world.disk.list(dir).unwrap_or_default();
    let read = |name: String| world.disk.read(&dir.join(name), u64::MAX).unwrap();
    names.into_iter().map(read).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_film_is_made_sealed_and_verifies_and_nothing_lies_in_plain() {
    let Some(world) = recorded().await else {
        return;
    };
    open_gate(&world);
    order(&world);
    let made = made(&world).await;
    let film = part(&world, FilmPart::Film).await;
    assert_eq!(film.len() as u64, made.bytes);
    assert_eq!(made.sm3.0, sm3::hash(&film));
    assert_eq!(made.recorder.as_str(), "a1-2");
    assert!(made.cpu_ms > 0 && made.length_ms >= 3_900, "{made:?}");
    is_gone(&world.shop.work.join("5e55.7")).await;
    let lying = lying(&world);
    assert!(lying.len() >= 3, "key, note, pieces");
    let some = &film[film.len() / 2..film.len() / 2 + 64];
    assert!(
        lying
            .iter()
            .all(|file| !file.windows(64).any(|it| it == some)),
        "sealed"
    );

    // Whoever is handed it checks it with the package.
    let (package, out) = (
        world.aside().join("call.vcep"),
        world.aside().join("film.mp4"),
    );
    fs::write(&package, tar(&world).await).unwrap();
    fs::write(&out, film).unwrap();
    fs::write(
        description_path(&out),
        part(&world, FilmPart::Description).await,
    )
    .unwrap();
    let outcome = guitai_composite::verify(&package, &out, &Options::default(), None, &mut |_| ());
    assert!(outcome.ok, "{:?}", outcome.findings);

    // It is forgotten, and with it its key.
    *world.queue.film.lock().unwrap() = None;
    let dir = Path::new("_films/5e55");
    let is_gone = || (!world.disk.exists(dir).unwrap()).then_some(());
    patiently(is_gone, "the film and its key are gone").await;
    let none = world
        .recorder()
        .film(&world.session(), 7, FilmPart::Film)
        .await;
    assert!(matches!(none.err(), Some(crate::ExportError::NoFilm(..))));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_node_goes_on_and_a_spoilt_piece_is_made_again() {
    let Some(mut world) = recorded().await else {
        return;
    };
    order(&world);
    let dir = in_the_middle(&world).await;
    let mode = fs::metadata(&dir).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o700, "its owner's alone");
    world.kill(1).await;
    assert!(dir.exists(), "what is done stays");
    world.start();
    let taken_again = || (world.queue.film().turns == 2).then_some(());
    patiently(taken_again, "the second turn").await;
    in_the_middle(&world).await;
    world.kill(2).await;
    open_gate(&world);
    world.start();
    assert_eq!(made(&world).await.kept, 1, "the picture");
    let first = part(&world, FilmPart::Film).await;

    // The same again, with a bit of the picture turned while the node was down.
    fs::remove_file(gate(&world)).unwrap();
    *world.queue.film.lock().unwrap() = None;
    let is_clear = || (!world.disk.exists(Path::new("_films/5e55")).unwrap()).then_some(());
    patiently(is_clear, "the first is gone").await;
    order(&world);
    let dir = in_the_middle(&world).await;
    world.kill(3).await;
    let piece = dir.join("film.mp4.work/000001.h264");
    let mut bytes = fs::read(&piece).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&piece, bytes).unwrap();
    open_gate(&world);
    world.start();
    assert_eq!(made(&world).await.kept, 0, "nothing of it counts");
    assert!(
        part(&world, FilmPart::Film).await == first,
        "the same bytes"
    );
    is_gone(&dir).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_wanted_any_more_stops_and_goes() {
    let Some(world) = recorded().await else {
        return;
    };
    order(&world);
    let dir = in_the_middle(&world).await;
    world.queue.stage_is(FilmStage::Cancelled {
        at: UnixMillis(3),
        by: world.queue.film().by,
    });
    is_gone(&dir).await;
    // Another node was given it: this one's word does not count, and it knows.
    order(&world);
    let dir = in_the_middle(&world).await;
    {
        let mut film = world.queue.film.lock().unwrap();
        let film = film.as_mut().unwrap();
        film.turns += 1;
        film.stage = FilmStage::Done {
            node: "a2-2".parse().unwrap(),
            at: UnixMillis(4),
            made: FilmMade {
                recorder: "a2-2".parse().unwrap(),
                root: guitai_types::Hex(vec![0; 32]),
                bytes: 1,
                sm3: guitai_types::Hex(vec![0; 32]),
                length_ms: 1,
                compositor: String::new(),
                cpu_ms: 0,
                kept: 0,
            },
        };
    }
    is_gone(&dir).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recording_that_is_erased_takes_its_films_along_in_the_middle_and_at_rest() {
    let Some(mut world) = recorded().await else {
        return;
    };
    order(&world);
    let dir = in_the_middle(&world).await;
    world.is_over_since("2026-01-01", false);
    world.erased().await;
    assert!(!dir.exists(), "before anybody is told");
    // Nothing of it begins again, whatever the queue says, and not after a power cut.
    order(&world);
    world.kill(5).await;
    world.start();
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(world.queue.film().turns, 0);
    assert!(!dir.exists());

    let Some(world) = recorded().await else {
        return;
    };
    open_gate(&world);
    order(&world);
    made(&world).await;
    world.is_over_since("2026-01-01", false);
    world.erased().await;
    let left = world.disk.list(Path::new("_films/5e55")).unwrap();
    assert_eq!(left, ["erased.json"]);
    let refused = world
        .recorder()
        .film(&world.session(), 7, FilmPart::Film)
        .await;
    assert!(matches!(refused.err(), Some(crate::ExportError::Erased(_))));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_without_ffmpeg_says_so_and_one_without_room_fails() {
    let mut world = World::new(true);
    world.start();
    let look = || world.queue.maker.lock().unwrap().clone();
    let maker = patiently(look, "a word about tools").await;
    assert!(maker.lacks.unwrap().contains("no ffmpeg in PATH"));
    let Some(mut world) = recorded().await else {
        return;
    };
    world.kill(2).await;
    world.shop.free_bytes_min = u64::MAX;
    world.start();
    order(&world);
    let why = patiently(|| world.queue.failed(), "a failure").await;
    assert!(why.contains("bytes are free where films are made"), "{why}");
    is_gone(&world.shop.work.join("5e55.7")).await;
}
