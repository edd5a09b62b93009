//! The object store against moto, an S3 server with object lock that is not ours, and through a door that can be shut.

#[path = "../../../tests/peers/moto.rs"]
mod moto;

use std::{io, path::Path, sync::Arc};

use bytes::Bytes;
use guitai_sink::{
    Body, OpenError, Store, StoreError,
    store::{Deleted, PART_BYTES},
};
use guitai_types::{
    NodeName, SessionId, UnixMillis,
    sink::{LockMode, Sink},
};
use moto::{Moto, Way};

const BUCKET: &str = "recordings";
const LATER: UnixMillis = UnixMillis(4_000_000_000_000);

/// A server with a bucket, and a client with the right keys.
struct World {
    moto: Moto,
    dir: tempfile::TempDir,
    sink: Sink,
    store: Store,
}

impl World {
    fn new(lock: LockMode, bucket_locks: bool) -> Option<Self> {
        let moto = Moto::start()?;
        moto.bucket(BUCKET, bucket_locks);
        let dir = tempfile::tempdir().unwrap();
        let (id, secret) = moto.demand_keys();
        let credentials_file = dir.path().join("credentials.toml");
        moto::write_keys(&credentials_file, &id, &secret);
        let sink = Sink {
            endpoint: format!("http://{}", moto.door),
            bucket: BUCKET.to_owned(),
            region: "us-east-1".to_owned(),
            prefix: "bank/a".to_owned(),
            path_style: true,
            ca_file: None,
            credentials_file,
            lock,
            allow_http: false,
        };
        let store = Store::open(&sink).unwrap();
        Some(Self {
            moto,
            dir,
            sink,
            store,
        })
    }
}

fn session() -> SessionId {
    "5e55".parse().unwrap()
}

fn node() -> NodeName {
    "a1-1".parse().unwrap()
}

#[tokio::test]
async fn what_is_put_comes_back_with_its_version_whatever_is_put_over_it() {
    let Some(world) = World::new(LockMode::Compliance, true) else {
        return;
    };
    let (store, session, node) = (&world.store, session(), node());
    store.check().await.unwrap();
    let first = store
        .put(&session, &node, "journal", &Body::of(b"first".to_vec()))
        .await
        .unwrap();
    assert_eq!(first.bytes, 5);
    assert!(first.version.is_some());
    let second = store
        .put(&session, &node, "journal", &Body::of(b"other".to_vec()))
        .await
        .unwrap();
    assert_ne!(first.version, second.version);
    let mut got = Vec::new();
    let write = |at: u64, piece: Bytes| {
        assert_eq!(at, got.len() as u64);
        got.extend_from_slice(&piece);
        Ok(())
    };
    store
        .fetch(&session, &node, "journal", &first, write)
        .await
        .unwrap();
    assert_eq!(got, b"first");
    // Empty files are files.
    store
        .put(&session, &node, "empty", &Body::of(Vec::new()))
        .await
        .unwrap();
    // Of another length, digest or version than what was put.
    let mut other = first.clone();
    other.version = second.version.clone();
    let differs = store.read(&session, &node, "journal", &other).await;
    assert!(
        matches!(differs, Err(StoreError::Differs { .. })),
        "{differs:?}"
    );
    let missing = store
        .read(&session, &node, "seal", &first)
        .await
        .unwrap_err();
    assert!(matches!(missing, StoreError::Missing { .. }), "{missing}");
}

#[tokio::test]
async fn a_long_file_goes_in_parts_and_is_one_object() {
    let Some(world) = World::new(LockMode::None, false) else {
        return;
    };
    let (store, session, node) = (&world.store, session(), node());
    store.check().await.unwrap();
    let long: Vec<u8> = (0..PART_BYTES + 77).map(|at| (at % 251) as u8).collect();
    let body = Body::of(long.clone());
    let object = store.put(&session, &node, "journal", &body).await.unwrap();
    assert_eq!(object.bytes, long.len() as u64);
    let mut got = Vec::new();
    let write = |_: u64, piece: Bytes| {
        got.extend_from_slice(&piece);
        Ok(())
    };
    store
        .fetch(&session, &node, "journal", &object, write)
        .await
        .unwrap();
    assert!(got == long);
    // The connection breaks off while it is under way, and again while it is read back.
    for requests in 0..5 {
        world.moto.set(Way::After(requests));
        let cut = store.put(&session, &node, "seal", &body).await;
        assert!(
            matches!(
                cut,
                Err(StoreError::Unanswered { .. } | StoreError::Failing { .. })
            ),
            "{requests}: {cut:?}"
        );
    }
    world.moto.set(Way::Open);
    // A disk that ends before its file does.
    let short = Body {
        bytes: 9,
        read: Arc::new(|_, _| Ok(Bytes::new())),
    };
    let cut = store
        .put(&session, &node, "seal", &short)
        .await
        .unwrap_err();
    assert!(
        matches!(&cut, StoreError::Local { source, .. } if source.kind() == io::ErrorKind::UnexpectedEof)
    );
}

#[tokio::test]
async fn what_is_locked_stays_until_its_day_and_under_a_hold() {
    let Some(world) = World::new(LockMode::Compliance, true) else {
        return;
    };
    let (store, session, node) = (&world.store, session(), node());
    let put = async |name: &str| {
        store
            .put(&session, &node, name, &Body::of(b"noise".to_vec()))
            .await
            .unwrap()
    };
    let (dated, held, free) = (
        put("journal").await,
        put("seal").await,
        put("summary.json").await,
    );
    let lock = async |name: &str, object: &_, until, held| {
        store.lock(&session, &node, name, object, until, held).await
    };
    let dated = lock("journal", &dated, Some(LATER), false).await.unwrap();
    assert_eq!(dated.until, Some(LATER));
    let held = lock("seal", &held, None, true).await.unwrap();
    assert!(held.held);
    assert_eq!(
        lock("summary.json", &free, None, false).await.unwrap(),
        free
    );
    // An earlier day is not even asked for, a later one is.
    let asked = world.moto.requests();
    assert_eq!(
        lock("journal", &dated, Some(UnixMillis(1)), false)
            .await
            .unwrap(),
        dated
    );
    assert_eq!(world.moto.requests(), asked);
    let later = lock("journal", &dated, Some(LATER.plus(86_400_000)), false)
        .await
        .unwrap();
    assert_eq!(later.until, Some(LATER.plus(86_400_000)));
    // Another recording with the same beginning is nobody's business.
    let other: SessionId = "5e555".parse().unwrap();
    let kept = store
        .put(&other, &node, "journal", &Body::of(b"other".to_vec()))
        .await
        .unwrap();
    assert_eq!(
        store.delete(&session, &node).await.unwrap(),
        Deleted { gone: 1, locked: 2 }
    );
    store
        .read(&session, &node, "journal", &later)
        .await
        .unwrap();
    // The hold ends.
    lock("seal", &held, None, false).await.unwrap();
    assert_eq!(
        store.delete(&session, &node).await.unwrap(),
        Deleted { gone: 1, locked: 1 }
    );
    store.read(&other, &node, "journal", &kept).await.unwrap();
    assert_eq!(
        store.delete(&other, &node).await.unwrap(),
        Deleted { gone: 1, locked: 0 }
    );
    let gone = store
        .read(&other, &node, "journal", &kept)
        .await
        .unwrap_err();
    assert!(matches!(gone, StoreError::Missing { .. }), "{gone}");
}

#[tokio::test]
async fn a_bucket_that_cannot_lock_is_refused_in_words() {
    let Some(world) = World::new(LockMode::Governance, false) else {
        return;
    };
    let error = world.store.check().await.unwrap_err();
    assert!(matches!(error, StoreError::NoLock { .. }), "{error}");
    let words = error.to_string();
    assert!(
        words.contains("sink.lock") && words.contains(BUCKET),
        "{words}"
    );
    let mut sink = world.sink.clone();
    sink.lock = LockMode::None;
    Store::open(&sink).unwrap().check().await.unwrap();
    sink.bucket = "another".to_owned();
    let error = Store::open(&sink).unwrap().check().await.unwrap_err();
    assert!(
        matches!(
            error,
            StoreError::Refused { .. } | StoreError::Missing { .. }
        ),
        "{error}"
    );
}

#[tokio::test]
async fn wrong_keys_are_refused_and_right_ones_taken_without_a_restart() {
    let Some(world) = World::new(LockMode::Compliance, true) else {
        return;
    };
    let path: &Path = &world.sink.credentials_file;
    let right = std::fs::read(path).unwrap();
    let body = Body::of(b"noise".to_vec());
    let aside = world.dir.path().join("aside");
    let swap = |write: &dyn Fn(&Path)| {
        write(&aside);
        std::fs::rename(&aside, path).unwrap();
    };
    let id = String::from_utf8_lossy(&right)
        .split('"')
        .nth(1)
        .unwrap()
        .to_owned();
    for wrong in ["AKIANOBODY", &id] {
        swap(&|to| moto::write_keys(to, wrong, "0123456789SECRET"));
        let put = world
            .store
            .put(&session(), &node(), "journal", &body)
            .await
            .unwrap_err();
        let check = world.store.check().await.unwrap_err();
        for error in [put, check] {
            assert!(matches!(error, StoreError::Refused { .. }), "{error:?}");
            let words = format!("{error} {error:?}");
            assert!(
                !words.contains(wrong) && !words.contains("SECRET"),
                "{words}"
            );
        }
    }
    swap(&|to| {
        moto::write_keys(to, "x", "y");
        std::fs::write(to, &right).unwrap();
    });
    world.store.check().await.unwrap();
    world
        .store
        .put(&session(), &node(), "journal", &body)
        .await
        .unwrap();
    std::fs::remove_file(path).unwrap();
    let error = world.store.check().await.unwrap_err();
    assert!(error.to_string().contains("credentials_file"), "{error}");
    assert!(matches!(
        Store::open(&world.sink),
        Err(OpenError::Credentials(_))
    ));
}

#[tokio::test]
async fn a_store_that_is_away_full_or_broken_says_so() {
    let Some(world) = World::new(LockMode::Compliance, true) else {
        return;
    };
    let body = Body::of(b"noise".to_vec());
    let put = async || world.store.put(&session(), &node(), "journal", &body).await;
    world.moto.set(Way::Shut);
    let error = put().await.unwrap_err();
    assert!(matches!(error, StoreError::Unanswered { .. }), "{error:?}");
    for (answer, word) in [
        (
            "HTTP/1.1 500 x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
            "HTTP 500",
        ),
        (
            "HTTP/1.1 507 x\r\nContent-Length: 40\r\nConnection: close\r\n\r\n<Error><Code>XMinioStorageFull</Code>....",
            "XMinioStorageFull",
        ),
    ] {
        world.moto.set(Way::Answer(answer));
        let before = world.moto.requests();
        let error = put().await.unwrap_err();
        assert!(
            matches!(&error, StoreError::Failing { code, .. } if code == word),
            "{error:?}"
        );
        assert!(
            world.moto.requests() - before <= 3,
            "tried again at once, and then left to the caller"
        );
        let error = world.store.check().await.unwrap_err();
        assert!(
            matches!(&error, StoreError::Failing { code, .. } if code == word),
            "{error:?}"
        );
    }
    world.moto.set(Way::Open);
    put().await.unwrap();
}

#[tokio::test]
async fn authorities_that_are_none_are_refused_by_their_key() {
    let dir = tempfile::tempdir().unwrap();
    let credentials_file = dir.path().join("credentials.toml");
    moto::write_keys(&credentials_file, "A", "B");
    let ca_file = dir.path().join("ca.pem");
    let sink = Sink {
        endpoint: "https://127.0.0.1:1".to_owned(),
        bucket: BUCKET.to_owned(),
        region: "us-east-1".to_owned(),
        prefix: String::new(),
        path_style: true,
        ca_file: Some(ca_file.clone()),
        credentials_file,
        lock: LockMode::None,
        allow_http: false,
    };
    for content in [None, Some("no certificate")] {
        if let Some(content) = content {
            std::fs::write(&ca_file, content).unwrap();
        }
        let error = Store::open(&sink).map(drop).unwrap_err();
        assert!(matches!(error, OpenError::Authorities { .. }), "{error:?}");
        assert!(error.to_string().contains("ca_file"), "{error}");
    }
}
