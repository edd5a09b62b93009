//! Whole recordings: scripted cluster and room, a disk that can fail or lose power, and at the end
//! the offline verifier, ffprobe and ffmpeg as judges.

mod clocks;
mod films;
mod media;
mod sinking;
mod world;

use std::{io, process::Command, time::Duration};

use futures::StreamExt as _;
use guitai_crypto::x509::Usage;
use guitai_evidence::{
    Header, Manifest, Options, fingerprint, layout, manifest::Segment, roots::RootLine, unpack,
    verify,
};
use guitai_types::{
    Epoch,
    command::RecordingReport,
    record::RecordingState,
    retention::{Found, KeepOrder},
};
use media::Clip;
use world::{Stamper, World};

/// A package as it is given out.
async fn tar(world: &World) -> Vec<u8> {
    let mut stream = world
        .recorder()
        .export(&world.session())
        .await
        .expect("a package");
    let mut tar = Vec::new();
    while let Some(piece) = stream.next().await {
        tar.extend_from_slice(&piece.expect("whole"));
    }
    tar
}

/// Exports, unpacks and verifies; gives the directory and the manifest.
async fn package(world: &World) -> (tempfile::TempDir, Manifest) {
    let tar = tar(world).await;
    let dir = tempfile::tempdir().expect("a directory");
    unpack(&tar[..], dir.path()).expect("unpacks");
    let expected_root = Some(fingerprint(&world.root));
    let report = verify(
        dir.path(),
        &Options {
            expected_root,
            ..Options::default()
        },
    );
    assert!(report.ok, "{:#?}", report.faults().collect::<Vec<_>>());
    let manifest = std::fs::read(dir.path().join(layout::MANIFEST)).expect("a manifest");
    (dir, serde_json::from_slice(&manifest).expect("reads"))
}

/// The certificate that a package says it was sealed with.
fn sealed_with(package: &tempfile::TempDir) -> Vec<u8> {
    let chain = std::fs::read_to_string(package.path().join(layout::CHAIN)).expect("a chain");
    guitai_crypto::x509::certificates_from_pem(&chain).expect("reads")[0].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_seal_renewed_during_a_call_seals_it_and_what_was_sealed_keeps_its_own() {
    let mut world = World::new(true);
    world.start();
    let clip = Clip::synthetic(6);
    world.publish_all(&clip, "5e1f", 0..4_000).await;
    world
        .reported(|report| *report == RecordingReport::Running)
        .await;
    let renewed = world.renew_seal();
    world.publish_all(&clip, "5e1f", 4_000..6_000).await;
    world.end().await;
    // `package` verifies it.
    let (first, _) = package(&world).await;
    assert_eq!(sealed_with(&first), renewed);
    assert_ne!(world.renew_seal(), renewed);
    let (again, _) = package(&world).await;
    assert_eq!(sealed_with(&again), renewed);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sealed_call_becomes_a_package_that_verifies_and_repeats() {
    let mut world = World::new(true);
    world.start();
    let clip = Clip::synthetic(6);
    world.publish_all(&clip, "5e1f", 0..6_000).await;
    world
        .reported(|report| *report == RecordingReport::Running)
        .await;
    world.end().await;
    let (first, manifest) = package(&world).await;
    assert_eq!(manifest.tracks.len(), 4);
    assert_eq!(manifest.gaps, []);
    assert_eq!(manifest.playable.len(), 2);
    assert!(
        manifest
            .tracks
            .iter()
            .all(|track| track.duration_ms >= 5_900),
        "{:#?}",
        manifest.tracks
    );
    assert!(manifest.tracks.iter().all(|track| track.refused == 0));
    assert_eq!(
        manifest.tracks.iter().map(|t| t.frames).sum::<u64>(),
        2 * (90 + 300)
    );
    let step = |id: &str| {
        manifest
            .steps
            .iter()
            .find(|step| step.id == id)
            .unwrap()
            .done_at
    };
    assert!(step("identity").is_some() && step("signature").is_none());
    let (second, _) = package(&world).await;
    let read = |dir: &tempfile::TempDir, path: &str| std::fs::read(dir.path().join(path)).unwrap();
    for path in [
        layout::MANIFEST,
        layout::SIGNED_DATA,
        layout::SIGNATURE,
        "customer-1.mp4",
    ] {
        assert_eq!(read(&first, path), read(&second, path), "{path}");
    }
    let stat = world.recorder().stat(&world.session()).unwrap();
    assert!(matches!(stat.state, RecordingState::Sealed { .. }));
    assert_eq!(stat.frames, 780);
}

/// Why a package has no time stamp, or the stamp.
fn stamp(package: &tempfile::TempDir) -> Result<Vec<u8>, String> {
    let read = |path: &str| std::fs::read(package.path().join(path));
    let list: serde_json::Value =
        serde_json::from_slice(&read(layout::ATTACHED).expect("a list")).expect("reads");
    let missing = list["missing"].as_array().expect("a list").iter();
    let mut causes = missing.filter(|it| it["what"] == "timestamp");
    match causes.next() {
        Some(missing) => Err(missing["cause"].as_str().expect("a cause").to_owned()),
        None => Ok(read(layout::TIMESTAMP).expect("a stamp")),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_seal_is_stamped_by_whoever_can_and_keeps_its_stamp() {
    let mut world = World::new(true);
    let other = world.stamper(Usage::TimeStamping, "another");
    let wrong = world.stamper(Usage::Documents, "demo");
    let Stamper::Stamps(identity, _) = world.stamper(Usage::TimeStamping, "demo") else {
        unreachable!("a stamper stamps")
    };
    let late = Stamper::Stamps(identity.clone(), 3_600);
    let early = Stamper::Stamps(identity, -3_600);
    world.start();
    let clip = Clip::synthetic(4);
    world.publish_all(&clip, "5e1f", 0..4_000).await;
    world
        .reported(|report| *report == RecordingReport::Running)
        .await;
    world.end().await;
    // `package` verifies each of them.
    for (authorities, cause) in [
        (vec![], "no-authority"),
        (vec![Stamper::OfBefore, Stamper::OfBefore], "no-authority"),
        (vec![Stamper::OfBefore, Stamper::Away], "unanswered"),
        (vec![Stamper::Away, other, Stamper::OfBefore], "refused"),
        (vec![wrong, Stamper::Away], "refused"),
        (vec![early], "refused"),
    ] {
        world.authorities_are(authorities);
        let (made, _) = package(&world).await;
        assert_eq!(stamp(&made), Err(cause.to_owned()));
    }
    world.authorities_are(vec![Stamper::Away, late]);
    let (made, _) = package(&world).await;
    let first = stamp(&made).expect("stamped by the second");
    world.kill(1).await;
    world.authorities_are(vec![Stamper::Away]);
    world.start();
    let (again, _) = package(&world).await;
    assert_eq!(stamp(&again), Ok(first), "kept through a power cut");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_seal_is_stamped_before_anybody_asks_for_its_package() {
    let mut world = World::new(true);
    let stamper = world.stamper(Usage::TimeStamping, "demo");
    world.authorities_are(vec![stamper]);
    world.start();
    let clip = Clip::synthetic(4);
    world.publish_all(&clip, "5e1f", 0..4_000).await;
    world
        .reported(|report| *report == RecordingReport::Running)
        .await;
    world.end().await;
    world.stamped().await;
    world.authorities_are(vec![]);
    let (made, _) = package(&world).await;
    assert!(stamp(&made).is_ok());
}

/// The roots that a package names.
fn roots(package: &tempfile::TempDir) -> Vec<RootLine> {
    let text = std::fs::read_to_string(package.path().join(layout::ROOTS)).expect("roots");
    let line = |line: &str| serde_json::from_str(line).expect("reads");
    text.lines().map(line).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_root_of_a_package_was_told_through_kills_and_power_cuts() {
    let mut world = World::new(true);
    world.start();
    let clip = Clip::synthetic(12);
    for (seed, from) in (0..).zip([0, 4_000, 8_000]) {
        world
            .publish_all(&clip, &format!("5e1{seed}"), from..from + 4_000)
            .await;
        world
            .reported(|report| *report == RecordingReport::Running)
            .await;
        // Sometimes with roots that were kept and not told, sometimes with segments under none.
        tokio::time::sleep(Duration::from_millis(1_500 * seed.min(1))).await;
        if seed < 2 {
            world.kill(seed).await;
            world.start();
        }
    }
    world.end().await;
    // `package` verifies that every segment is under one of them.
    let (package, manifest) = package(&world).await;
    let named = roots(&package);
    let told = world.told(named.len()).await;
    for line in &named {
        let same = told.iter().find(|root| root.second == line.second);
        let same = same.expect("told");
        assert_eq!((&same.root, &same.signature), (&line.root, &line.signature));
    }
    let rooted: usize = named.iter().map(|line| line.segments.len()).sum();
    let segments: usize = manifest.tracks.iter().map(|it| it.segments.len()).sum();
    assert_eq!(rooted, segments);
    assert!(named.len() >= 2, "of two lives at least: {}", named.len());
    assert!(told.is_sorted_by(|a, b| a.second < b.second));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_is_replaced_stops_and_what_it_has_is_sealed_with_the_call() {
    let mut world = World::new(true);
    world.start();
    let clip = Clip::synthetic(20);
    world.publish_all(&clip, "5e1f", 0..5_000).await;
    world
        .reported(|report| *report == RecordingReport::Running)
        .await;
    world.is_replaced();
    world.rests().await;
    // The call goes on without it, for longer than any tail.
    world.clock.advance(Duration::from_secs(9));
    world.end().await;
    let (_dir, manifest) = package(&world).await;
    assert_eq!(manifest.tracks.len(), 4, "what it has is kept");
    assert_eq!(manifest.gaps.len(), 4);
    assert!(
        manifest.gaps.iter().all(|gap| {
            gap.cause == "recorder-replaced" && gap.length_ms > 8_000 && gap.resumed.is_none()
        }),
        "{:#?}",
        manifest.gaps
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_takes_over_declares_what_was_before_it() {
    let mut world = World::new(true);
    world.is_replaced();
    world.clock.advance(Duration::from_secs(30));
    world.takes_over();
    world.start();
    let clip = Clip::synthetic(40);
    world.publish_all(&clip, "5e1f", 30_000..36_000).await;
    world
        .reported(|report| *report == RecordingReport::Running)
        .await;
    assert_eq!(world.turns(), [3], "it speaks of its own turn");
    world.end().await;
    let (_dir, manifest) = package(&world).await;
    assert_eq!(manifest.tracks.len(), 4);
    assert_eq!(manifest.gaps.len(), 4);
    for gap in &manifest.gaps {
        assert_eq!((gap.cause.as_str(), gap.from_ms), ("recorder-joined", 0));
        assert!((29_900..31_500).contains(&gap.length_ms), "{gap:?}");
        assert!(gap.resumed.is_some() && gap.track.is_none());
    }
    let recorders = manifest
        .participants
        .iter()
        .filter(|it| it.role == "recorder");
    let recorders: Vec<_> = recorders.map(|it| it.display.as_str()).collect();
    assert_eq!(recorders, ["a1-2", "a2-2"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn segments_of_an_epoch_that_was_left_behind_are_kept_and_disowned() {
    let mut world = World::new(true);
    world.start();
    let clip = Clip::synthetic(20);
    world.publish_all(&clip, "5e1f", 0..5_000).await;
    world.settled(8).await;
    world.is_left_behind();
    world.publish_all(&clip, "5e1f", 5_000..10_000).await;
    world.end().await;
    // `package` verifies it: what is declared is no fault.
    let (dir, manifest) = package(&world).await;
    assert_eq!(manifest.assignments[0].epoch, Epoch(2));
    assert_eq!(manifest.disowned.len(), 4, "one run a track");
    for run in &manifest.disowned {
        let track = &manifest.tracks[run.track as usize - 1];
        assert_eq!(run.from, 1);
        let epochs = |segments: &[Segment]| segments.iter().map(|it| it.epoch).collect::<Vec<_>>();
        let (before, after) = track.segments.split_at(run.to as usize);
        assert!(epochs(before).iter().all(|epoch| *epoch == Epoch(1)));
        assert!(!after.is_empty() && epochs(after).iter().all(|epoch| *epoch == Epoch(2)));
    }
    // The header stands in the segment itself.
    let first = std::fs::read(dir.path().join(layout::segment(1, 1))).expect("a segment");
    let (header, _) = Header::parse(&first).expect("reads").expect("has one");
    assert_eq!(
        (header.epoch, header.assignment, header.segment),
        (Epoch(1), 1, 1)
    );
    assert_eq!(header.node.as_str(), "a1-2");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_was_taken_for_gone_shows_anew_that_it_records() {
    let mut world = World::new(true);
    world.start();
    let clip = Clip::synthetic(20);
    world.publish_all(&clip, "5e1f", 0..5_000).await;
    world
        .reported(|report| *report == RecordingReport::Running)
        .await;
    world.is_said_to_be_gone();
    // It looks four times a second; nothing else tells it.
    tokio::time::sleep(Duration::from_millis(600)).await;
    world.publish_all(&clip, "5e1f", 5_000..10_000).await;
    world
        .reported(|report| *report == RecordingReport::Running)
        .await;
    world.end().await;
    let (_dir, manifest) = package(&world).await;
    assert_eq!(manifest.gaps, [], "nothing was lost");
}

#[tokio::test(flavor = "multi_thread")]
async fn frames_that_are_not_the_partys_own_are_refused() {
    let mut world = World::new(true);
    world.start();
    let clip = Clip::synthetic(4);
    // The agent's media under the customer's name, and open frames where sealed ones are agreed.
    world
        .publish("customer", "5e1f", &clip, 0..4_000, Some(2))
        .await;
    world.publish("agent", "a9e7", &clip, 0..4_000, None).await;
    world.end().await;
    let (_dir, manifest) = package(&world).await;
    assert_eq!(manifest.tracks, []);
    assert_eq!(manifest.gaps.len(), 4);
    assert!(
        manifest
            .gaps
            .iter()
            .all(|gap| gap.cause == "no-media" && gap.from_ms == 0)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_media_key_leaves_no_gap_though_this_node_hears_of_it_late() {
    let mut world = World::new(true);
    world.start();
    let clip = Clip::synthetic(9);
    world.publish_all(&clip, "5e1f", 0..4_000).await;
    world.quiet().await;
    world.seal_with_next();
    world.publish_all(&clip, "5e1f", 4_000..5_000).await;
    world.agree_on_next();
    world.publish_all(&clip, "5e1f", 5_000..7_000).await;
    // Once more, and this time the cluster is the first to know.
    world.agree_on_next();
    world.seal_with_next();
    world.publish_all(&clip, "5e1f", 7_000..9_000).await;
    world.end().await;
    let (_dir, manifest) = package(&world).await;
    assert_eq!(manifest.gaps, []);
    assert_eq!(manifest.tracks.len(), 4, "no track was begun anew");
    assert!(manifest.tracks.iter().all(|track| track.refused == 0));
    let frames: u64 = manifest.tracks.iter().map(|track| track.frames).sum();
    assert_eq!(frames, 2 * (9 * 15 + 9 * 50));
}

#[tokio::test(flavor = "multi_thread")]
async fn frames_of_a_media_key_that_was_never_agreed_are_refused() {
    let mut world = World::new(true);
    world.start();
    let clip = Clip::synthetic(12);
    world.publish_all(&clip, "5e1f", 0..3_000).await;
    world.seal_with_next();
    world.publish_all(&clip, "5e1f", 3_000..11_000).await;
    world.end().await;
    let (_dir, manifest) = package(&world).await;
    assert!(manifest.gaps.iter().any(|gap| gap.length_ms > 7_000));
    assert!(
        manifest
            .tracks
            .iter()
            .all(|track| track.duration_ms <= 3_000)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn missing_frames_and_a_new_publication_are_declared_in_place() {
    let mut world = World::new(false);
    world.start();
    let clip = Clip::synthetic(20);
    world.publish("agent", "a9e7", &clip, 0..12_000, None).await;
    world
        .publish("customer", "5e1f", &clip, 0..4_000, None)
        .await;
    world.quiet().await;
    world
        .publish("customer", "5e1f", &clip, 6_000..8_000, None)
        .await;
    world.quiet().await;
    world
        .publish("customer", "77aa", &clip, 0..4_000, None)
        .await;
    world.end().await;
    let (_dir, manifest) = package(&world).await;
    assert_eq!(
        manifest.tracks.len(),
        6,
        "two of the agent, four of the customer"
    );
    let missing: Vec<_> = manifest
        .gaps
        .iter()
        .filter(|gap| gap.cause == "frames-missing")
        .collect();
    assert_eq!(missing.len(), 2, "{:#?}", manifest.gaps);
    for gap in missing {
        assert_eq!(
            (gap.party.as_str(), gap.track, gap.resumed),
            ("customer", gap.resumed, gap.track)
        );
        assert!((1_900..=2_100).contains(&gap.length_ms), "{gap:?}");
        // The call began 200 ms before the first frame; the last frame may wait a little to be taken.
        assert!((4_150..=4_400).contains(&gap.from_ms), "{gap:?}");
    }
    let again = manifest
        .gaps
        .iter()
        .filter(|gap| gap.cause == "republished");
    assert_eq!(again.filter(|gap| gap.party == "customer").count(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_recorder_loses_at_most_the_open_segments_and_says_so() {
    for seed in 0..6 {
        let mut world = World::new(true);
        world.start();
        let clip = Clip::synthetic(20);
        world.publish_all(&clip, "5e1f", 0..5_300).await;
        world
            .reported(|report| *report == RecordingReport::Running)
            .await;
        world.settled(4 * 5).await;
        let before = world.recorder().stat(&world.session()).unwrap();
        // SIGKILL keeps what the system had, a power cut only what was synced.
        world.kill(seed).await;
        world.start();
        // The relay repeats what it still has; then the call goes on after a pause.
        world.publish_all(&clip, "5e1f", 2_000..5_300).await;
        world.publish_all(&clip, "5e1f", 6_500..10_000).await;
        world
            .reported(|report| *report == RecordingReport::Running)
            .await;
        world.end().await;
        let (_dir, manifest) = package(&world).await;
        assert_eq!(
            manifest.tracks.len(),
            4,
            "the same publications go on in the same tracks"
        );
        let restarts = manifest
            .gaps
            .iter()
            .filter(|gap| gap.cause == "recorder-restart");
        assert_eq!(restarts.count(), 4, "{:#?}", manifest.gaps);
        assert!(
            manifest.gaps.iter().all(|gap| gap.length_ms <= 2_000),
            "P6: {:#?}",
            manifest.gaps
        );
        let frames: u64 = manifest.tracks.iter().map(|track| track.frames).sum();
        assert!(frames > before.frames, "no closed segment was lost");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recorder_that_was_away_at_the_end_seals_with_a_declared_gap() {
    let mut world = World::new(true);
    world.start();
    let clip = Clip::synthetic(5);
    world.publish_all(&clip, "5e1f", 0..5_000).await;
    world.settled(4 * 4).await;
    world.kill(3).await;
    world.clock.advance(Duration::from_secs(60));
    world.mark_ended();
    world.start();
    world.sealed().await;
    let (_dir, manifest) = package(&world).await;
    assert_eq!(manifest.gaps.len(), 4);
    assert!(
        manifest
            .gaps
            .iter()
            .all(|gap| gap.resumed.is_none() && gap.length_ms > 50_000)
    );
    assert!(
        manifest
            .gaps
            .iter()
            .all(|gap| gap.cause == "recorder-restart")
    );
}

/// Takes segments off the disk, or spoils them, while the call goes on; what is left must make a package.
async fn sealed_without(removed: &[(u32, u32)], spoilt: &[(u32, u32)]) -> Manifest {
    let mut world = World::new(true);
    world.start();
    let clip = Clip::synthetic(6);
    world.publish_all(&clip, "5e1f", 0..6_000).await;
    world
        .reported(|report| *report == RecordingReport::Running)
        .await;
    world.settled(12).await;
    let session = world.session();
    let path = |(track, number): &(u32, u32)| {
        std::path::Path::new(session.as_str()).join(format!("t{track}-{number:06}.seg"))
    };
    for segment in removed {
        guitai_host::Disk::remove(&*world.disk, &path(segment)).expect("was there");
    }
    for segment in spoilt {
        world.disk.dangerous_flip_bit(&path(segment), 900).unwrap();
    }
    world.end().await;
    // `package` verifies it.
    package(&world).await.1
}

#[tokio::test(flavor = "multi_thread")]
async fn segments_that_the_disk_lost_before_the_seal_are_declared_and_the_rest_is_sealed() {
    let manifest = sealed_without(&[(1, 2), (3, 1)], &[(2, 2)]).await;
    assert_eq!(manifest.format, guitai_evidence::manifest::FORMAT_4);
    let numbers = |number: u32| -> Vec<u32> {
        let track = manifest.tracks.iter().find(|it| it.number == number);
        track.map_or_else(Vec::new, |it| {
            it.segments.iter().map(|it| it.number).collect()
        })
    };
    assert_eq!(numbers(1).get(..2), Some(&[1, 3][..]));
    assert_eq!(numbers(2).get(..2), Some(&[1, 3][..]));
    assert_eq!(numbers(3).first(), Some(&2));
    let lost: Vec<_> = manifest
        .gaps
        .iter()
        .filter(|gap| gap.cause == "segment-lost")
        .map(|gap| (gap.track, gap.segment, gap.resumed))
        .collect();
    let inside = |track| (Some(track), Some(1), Some(track));
    assert_eq!(lost, [inside(1), inside(2), (None, None, Some(3))]);
    assert!(
        manifest.gaps.iter().all(|gap| gap.length_ms > 500),
        "{:?}",
        manifest.gaps
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_track_that_is_lost_whole_is_declared_too() {
    let all: Vec<(u32, u32)> = (1..=6).map(|number| (1, number)).collect();
    let whole = sealed_without(&[], &[]).await;
    assert_eq!(whole.format, guitai_evidence::manifest::FORMAT);
    let there = whole.tracks.iter().find(|it| it.number == 1).unwrap();
    // The last one is closed by the end of the call.
    let closed = there.segments.len() - 1;
    let manifest = sealed_without(&all[..closed], &[]).await;
    let left = manifest.tracks.iter().find(|it| it.number == 1);
    assert_eq!(
        left.map_or(0, |track| track.segments.len()),
        1,
        "{:?}",
        manifest.gaps
    );
    assert_eq!(
        manifest.gaps.len(),
        1,
        "neighbours are one gap: {:?}",
        manifest.gaps
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_stops_the_recording_until_there_is_room_again() {
    let mut world = World::new(true);
    world.start();
    let clip = Clip::synthetic(20);
    world.publish_all(&clip, "5e1f", 0..4_000).await;
    world
        .reported(|report| *report == RecordingReport::Running)
        .await;
    world.settled(4 * 3).await;
    world.disk.fail_after(1_000, io::ErrorKind::StorageFull);
    world.publish_all(&clip, "5e1f", 4_000..8_000).await;
    world
        .reported(|r| matches!(r, RecordingReport::Lost { cause } if cause == "disk-full"))
        .await;
    world.quiet().await;
    world.disk.fail_after(u64::MAX, io::ErrorKind::StorageFull);
    world.publish_all(&clip, "5e1f", 8_000..12_000).await;
    world
        .reported(|report| *report == RecordingReport::Running)
        .await;
    world.end().await;
    let (_dir, manifest) = package(&world).await;
    let full: Vec<_> = manifest
        .gaps
        .iter()
        .filter(|gap| gap.cause == "disk-full")
        .collect();
    assert_eq!(full.len(), 4, "{:#?}", manifest.gaps);
    assert!(
        full.iter()
            .all(|gap| gap.length_ms >= 2_000 && gap.length_ms <= 6_500),
        "{full:#?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_byte_at_rest_stops_the_export() {
    let mut world = World::new(true);
    world.start();
    world
        .publish_all(&Clip::synthetic(3), "5e1f", 0..3_000)
        .await;
    world.end().await;
    let path = std::path::Path::new(world.session().as_str()).join("t1-000001.seg");
    world.disk.dangerous_flip_bit(&path, 4_000).unwrap();
    let mut stream = world.recorder().export(&world.session()).await.unwrap();
    let mut fault = None;
    while let Some(piece) = stream.next().await {
        fault = fault.or_else(|| piece.err());
    }
    let fault = fault.expect("an error").to_string();
    assert!(fault.contains("segment 1 of track 1"), "{fault}");
}

#[tokio::test(flavor = "multi_thread")]
async fn real_media_is_kept_playable() {
    let Some(clip) = Clip::encoded(8) else {
        eprintln!("SKIPPED: ffmpeg with libx264 and libopus, and ffprobe, are not installed");
        return;
    };
    let mut world = World::new(true);
    world.start();
    world.publish_all(&clip, "5e1f", 0..8_000).await;
    world
        .reported(|report| *report == RecordingReport::Running)
        .await;
    world.end().await;
    let (dir, manifest) = package(&world).await;
    let run = |program: &str, args: &[&str]| {
        let output = Command::new(program)
            .args(args)
            .current_dir(dir.path())
            .output()
            .unwrap();
        (
            String::from_utf8(output.stdout).unwrap(),
            String::from_utf8(output.stderr).unwrap(),
        )
    };
    let entries = "stream=codec_name,width,height,channels,nb_read_packets";
    let probe = |file: &str| {
        run(
            "ffprobe",
            &[
                "-v",
                "error",
                "-count_packets",
                "-show_entries",
                entries,
                "-of",
                "csv=p=0",
                file,
            ],
        )
    };
    let (streams, errors) = probe("customer-1.mp4");
    assert_eq!(errors, "");
    assert!(streams.contains("h264,640,360,120"), "{streams}");
    assert!(streams.contains("opus,1,"), "{streams}");
    for track in &manifest.tracks {
        let n = track.number;
        let parts = format!("cat tracks/{n}/init.mp4 tracks/{n}/*.m4s > /dev/stdout");
        let file = dir.path().join(format!("joined-{n}.mp4"));
        let joined = Command::new("sh")
            .args(["-c", &parts])
            .current_dir(dir.path())
            .output()
            .unwrap();
        std::fs::write(&file, joined.stdout).unwrap();
        let (streams, errors) = probe(file.to_str().unwrap());
        assert_eq!(errors, "");
        assert!(
            streams.trim_end().ends_with(&track.frames.to_string()),
            "{streams} of {track:?}"
        );
    }
    let (_, errors) = run(
        "ffmpeg",
        &[
            "-v",
            "error",
            "-xerror",
            "-i",
            "customer-1.mp4",
            "-f",
            "null",
            "-",
        ],
    );
    assert_eq!(errors, "", "every frame decodes");
    let (duration, _) = run(
        "ffprobe",
        &[
            "-v",
            "error",
            "-show_entries",
            "format=duration",
            "-of",
            "csv=p=0",
            "agent-1.mp4",
        ],
    );
    let duration: f64 = duration.trim().parse().unwrap();
    assert!((7.8..8.3).contains(&duration), "{duration}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recording_whose_time_is_over_is_erased_once_every_opinion_agrees() {
    let mut world = World::new(true);
    world.start();
    let clip = Clip::synthetic(6);
    world.publish_all(&clip, "5e1f", 0..2_000).await;
    world.end().await;
    package(&world).await;
    // A leader whose clock ran ahead says so, and this node's calendar does not agree.
    world.is_over_since("2030-01-01", false);
    tokio::time::sleep(Duration::from_millis(2_500)).await;
    assert!(!world.has_erased());
    // The cluster said so, but an officer's hold came meanwhile.
    world.is_over_since("2026-01-01", true);
    tokio::time::sleep(Duration::from_millis(2_500)).await;
    assert!(!world.has_erased());
    package(&world).await;

    world.is_over_since("2026-01-01", false);
    world.erased().await;
    let refused = world.recorder().export(&world.session()).await.err();
    assert!(matches!(refused, Some(crate::ExportError::Erased(_))));
    let dir = std::path::Path::new("5e55");
    let left = guitai_host::Disk::list(&*world.disk, dir).expect("a directory");
    assert_eq!(left, ["erased.json"]);
    // Nothing takes it up again, not even after a power cut.
    world.kill(7).await;
    world.start();
    let refused = world.recorder().export(&world.session()).await.err();
    assert!(matches!(refused, Some(crate::ExportError::Erased(_))));
    assert_eq!(world.recorder().list(), []);
    let left = guitai_host::Disk::list(&*world.disk, dir).expect("a directory");
    assert_eq!(left, ["erased.json"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_that_rots_is_found_and_a_replica_takes_its_place() {
    let mut world = World::new(true);
    world.start();
    let clip = Clip::synthetic(6);
    world.publish_all(&clip, "5e1f", 0..2_000).await;
    world.end().await;
    package(&world).await;
    let reading = world.recorder().read_through(&world.session()).await;
    assert_eq!(reading.found, Found::Whole);
    let given = tar(&world).await;
    assert_eq!(reading.bytes, given.len() as u64);
    assert!(matches!(
        world.kept().as_slice(),
        [KeepOrder::Read { damage: None, .. }]
    ));

    // One bit of one segment.
    let dir = std::path::Path::new("5e55");
    let names = guitai_host::Disk::list(&*world.disk, dir).expect("a directory");
    let segment = names
        .iter()
        .find(|name| name.ends_with(".seg"))
        .expect("a segment");
    let path = dir.join(segment);
    let mut bytes = guitai_host::Disk::read(&*world.disk, &path, 1 << 20).expect("bytes");
    bytes[40] ^= 1;
    guitai_host::Disk::write_whole(&*world.disk, &path, &bytes).expect("written");
    let reading = world.recorder().read_through(&world.session()).await;
    let Found::Damaged { what } = &reading.found else {
        panic!("{reading:?}");
    };
    assert!(what.contains("segment"), "{what}");
    let kept = world.kept();
    assert!(
        matches!(
            kept.as_slice(),
            [KeepOrder::Read {
                damage: Some(_),
                ..
            }]
        ),
        "{kept:?}"
    );

    // Another recorder's package, longer than a piece, comes in place of it, and stays after a power cut.
    let other: Vec<u8> = (0..2_500_000_u32)
        .flat_map(u32::to_le_bytes)
        .take(2_500_001)
        .collect();
    world.replicates(other.clone()).await;
    assert_eq!(tar(&world).await, other);
    world.kill(3).await;
    world.start();
    assert_eq!(tar(&world).await, other);
    let reading = world.recorder().read_through(&world.session()).await;
    assert_eq!((reading.bytes, reading.found), (2_500_001, Found::Whole));
    assert!(!given.is_empty() && given != other);

    // A replica rots as well.
    let dir = std::path::Path::new("_copies/5e55");
    let path = dir.join("t1-000002.seg");
    let mut bytes = guitai_host::Disk::read(&*world.disk, &path, 2 << 20).expect("bytes");
    bytes[40] ^= 1;
    guitai_host::Disk::write_whole(&*world.disk, &path, &bytes).expect("written");
    let reading = world.recorder().read_through(&world.session()).await;
    assert!(
        matches!(&reading.found, Found::Damaged { what } if what.contains("piece 2")),
        "{reading:?}"
    );

    // And it ends with the recording: no key of either is left.
    world.is_over_since("2026-01-01", false);
    world.erased().await;
    let left = guitai_host::Disk::list(&*world.disk, dir).expect("a directory");
    assert_eq!(left, ["erased.json"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_was_taken_away_is_noticed_at_the_next_start() {
    let mut world = World::new(true);
    world.should_have("5e56");
    world.start();
    let told = world.said_first().await;
    assert!(
        matches!(
            told,
            KeepOrder::Read {
                damage: Some(_),
                ..
            }
        ),
        "{told:?}"
    );
}
