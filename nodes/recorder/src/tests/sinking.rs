//! A recorder with an object store beside it: a real S3 server, with a door before it that can be shut.

#[path = "../../../../tests/peers/moto.rs"]
mod moto;

use std::{path::Path, sync::Arc};

use guitai_host::Disk as _;
use guitai_sink::Store;
use guitai_types::{
    UnixMillis,
    retention::{Found, KeepOrder},
    sink::{LockMode, Sink},
};
use moto::{Moto, Way};

use super::{Clip, World, package, world::eventually};
use crate::{SinkStat, sinking::Sinking};

const BUCKET: &str = "recordings";
/// Later than any clock of these tests.
const LATER: UnixMillis = UnixMillis(4_000_000_000_000);

struct Bank {
    moto: Moto,
    dir: tempfile::TempDir,
    sink: Sink,
}

impl Bank {
    fn new() -> Option<Self> {
        let moto = Moto::start()?;
        moto.bucket(BUCKET, true);
        let dir = tempfile::tempdir().expect("a directory");
        let (id, secret) = moto.demand_keys();
        let credentials_file = dir.path().join("credentials.toml");
        moto::write_keys(&credentials_file, &id, &secret);
        let sink = Sink {
            endpoint: format!("http://{}", moto.door),
            bucket: BUCKET.to_owned(),
            region: "us-east-1".to_owned(),
            prefix: "bank".to_owned(),
            path_style: true,
            ca_file: None,
            credentials_file,
            lock: LockMode::Compliance,
            allow_http: false,
        };
        Some(Self { moto, dir, sink })
    }

    /// The sink of a process that starts now.
    fn sinking(&self) -> Option<Arc<Sinking>> {
        assert!(self.dir.path().exists());
        let store = Store::open(&self.sink).expect("a store");
        Some(Arc::new(Sinking::new(store, self.sink.lock)))
    }

    /// What the bucket has, as somebody sees it whom nobody asks for keys.
    fn listing(&self) -> String {
        let (status, _) = self.moto.ask("POST", "/moto-api/reset-auth", &[], b"1");
        assert_eq!(status, 200);
        let (status, text) = self
            .moto
            .ask("GET", &format!("/{BUCKET}?versions="), &[], b"");
        assert_eq!(status, 200, "{text}");
        text
    }
}

fn stat(world: &World) -> SinkStat {
    world.recorder().sink_stat().expect("it has a sink")
}

async fn record(world: &mut World) {
    world.start();
    let clip = Clip::synthetic(6);
    world.publish_all(&clip, "5e1f", 0..4_000).await;
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recording_is_whole_in_the_sink_whatever_breaks_off_and_mends_what_rots_here() {
    let Some(bank) = Bank::new() else { return };
    let mut world = World::new(true);
    world.sinking = bank.sinking();
    bank.moto.set(Way::Shut);
    record(&mut world).await;
    package(&world).await;
    let fails = |word: &'static str| {
        let world = &world;
        async move {
            let look = || stat(world).failing.filter(|why| why.contains(word));
            eventually(look, word).await
        }
    };
    fails("the connection broke off").await;
    let full = "HTTP/1.1 507 x\r\nContent-Length: 40\r\nConnection: close\r\n\r\n<Error><Code>XMinioStorageFull</Code>....";
    bank.moto.set(Way::Answer(full));
    fails("XMinioStorageFull").await;
    // It begins, breaks off in the middle, and the power fails.
    bank.moto.set(Way::After(6));
    fails("the connection broke off").await;
    assert_eq!(
        (stat(&world).waiting, stat(&world).whole, world.in_sink()),
        (1, 0, None)
    );
    world.kill(3).await;
    bank.moto.set(Way::Open);
    world.sinking = bank.sinking();
    world.start();
    let copy = eventually(|| world.in_sink(), "the copy is told").await;
    assert_eq!((copy.until, copy.held), (None, false));
    eventually(|| (stat(&world).whole == 1).then_some(()), "whole").await;
    let listing = bank.listing();
    let dir = Path::new("5e55");
    let files = world.disk.list(dir).expect("a directory");
    for name in &files {
        let key = format!("<Key>bank/5e55/a1-2/{name}</Key>");
        assert_eq!(listing.contains(&key), name != "key", "{key}");
    }
    assert!(listing.contains("<Key>bank/5e55/a1-2/manifest.json</Key>"));
    assert_eq!(copy.files as usize, files.len() - 1);

    // A byte turns, a journal loses its end, a file is gone.
    let path = dir.join("t1-000001.seg");
    let mut bytes = world.disk.read(&path, 1 << 24).expect("bytes");
    bytes[40] ^= 1;
    world.disk.write_whole(&path, &bytes).expect("written");
    let journal = world.disk.open(&dir.join("journal")).expect("a journal");
    journal.set_len(99).expect("cut");
    world
        .disk
        .remove(&dir.join("t2-000001.seg"))
        .expect("removed");
    world.kept();
    let reading = world.recorder().read_through(&world.session()).await;
    assert_eq!(reading.found, Found::Whole);
    assert_eq!(stat(&world).mended, 3);
    let told = world.kept();
    let damage: Vec<bool> = told
        .iter()
        .filter_map(|order| match order {
            KeepOrder::Read { damage, .. } => Some(damage.is_some()),
            _ => None,
        })
        .collect();
    assert_eq!(
        damage,
        [true, false],
        "what was damaged is told, and that it is mended"
    );
    assert!(
        world
            .disk
            .exists(&dir.join("t1-000001.seg.damaged"))
            .expect("a disk")
    );
    package(&world).await;

    // Without its key nothing would open: nothing is fetched.
    world.disk.remove(&dir.join("key")).expect("removed");
    let reading = world.recorder().read_through(&world.session()).await;
    assert!(
        matches!(reading.found, Found::Damaged { .. }),
        "{reading:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hold_locks_and_its_end_and_the_erasure_delete_everything() {
    let Some(bank) = Bank::new() else { return };
    let mut world = World::new(true);
    world.sinking = bank.sinking();
    record(&mut world).await;
    eventually(|| world.in_sink(), "the copy is told").await;
    world.promises(None, true);
    let held = || world.in_sink().filter(|copy| copy.held);
    eventually(held, "held").await;
    world.promises(None, false);
    world.is_over_since("2026-01-01", false);
    world.erased().await;
    let gone = || world.in_sink().is_none().then_some(());
    eventually(gone, "gone").await;
    assert!(stat(&world).deleted > 0);
    assert!(!bank.listing().contains("<Key>"));
    assert_eq!(
        world.disk.list(Path::new("_sink")).expect("a directory"),
        Vec::<String>::new()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_locked_outlives_the_erasure_and_is_counted_and_not_asked_for_again() {
    let Some(bank) = Bank::new() else { return };
    let mut world = World::new(true);
    world.sinking = bank.sinking();
    record(&mut world).await;
    eventually(|| world.in_sink(), "the copy is told").await;
    world.promises(Some(LATER), false);
    let locked = || world.in_sink().filter(|copy| copy.until == Some(LATER));
    eventually(locked, "locked").await;
    world.is_over_since("2026-01-01", false);
    world.erased().await;
    eventually(|| (stat(&world).locked == 1).then_some(()), "counted").await;
    let asked = bank.moto.requests();
    // Longer than two looks.
    tokio::time::sleep(2 * crate::RECONCILE + crate::RECONCILE / 2).await;
    assert_eq!(bank.moto.requests(), asked);
    assert!(world.in_sink().is_some());
    assert!(bank.listing().contains("<Key>bank/5e55/a1-2/journal</Key>"));
    // A restart counts it again.
    world.kill(5).await;
    world.sinking = bank.sinking();
    world.start();
    eventually(|| (stat(&world).locked == 1).then_some(()), "counted again").await;
}
