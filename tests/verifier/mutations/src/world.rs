//! The packages that are spoilt, and who could have signed them.

use std::{collections::BTreeMap, rc::Rc};

use guitai_crypto::{
    sm2,
    x509::{Authority, Identity, Subject, Usage},
};
use guitai_evidence::{Header, README_TEXT, canonical, fingerprint, layout};
use guitai_types::Epoch;
use serde_json::{Value, json};

use crate::{
    dice::Dice,
    log::Log,
    media,
    package::{Later, Package, Signer, about},
};

/// When the packages were sealed, in milliseconds since 1970.
pub(crate) const SEALED_AT: u64 = 1_795_000_070_500;
/// The same in seconds.
pub(crate) const SEALED_SECONDS: u64 = SEALED_AT / 1000;
const STARTED_AT: u64 = 1_795_000_000_000;
const DAY_SECONDS: u64 = 86_400;
/// The cluster: O of its certificates.
pub(crate) const CLUSTER: &str = "5e1f5e1f5e1f5e1f5e1f5e1f5e1f5e1f";

/// One cluster with its root, another that calls itself the same, and packages of the first.
pub(crate) struct World {
    pub(crate) root: Authority,
    pub(crate) authority: Authority,
    pub(crate) stranger: Authority,
    /// A package with everything in it: a hole, a new publication, a medium that is missing, segments of no
    /// turn, a certificate under an intermediate authority.
    pub(crate) rich: Package,
    /// Another call of the same cluster, recorded by another node.
    pub(crate) other: Package,
    /// The first as a recorder of the release before makes it, of format 2.
    pub(crate) rich_2: Package,
    /// The second, likewise.
    pub(crate) other_2: Package,
    /// The cluster's log, and one that calls itself the same.
    pub(crate) log: Rc<Log>,
    /// See [`Self::log`].
    pub(crate) strange_log: Rc<Log>,
    /// The time stamp authority: another node of the cluster.
    pub(crate) stamper: Signer,
}

impl World {
    /// Makes it; keys and signatures are new in each run.
    pub(crate) fn new() -> Self {
        let made = SEALED_SECONDS - DAY_SECONDS;
        let root = Authority::create_root("root", CLUSTER, 1, 3650, made).expect("a root");
        let authority = root.create_intermediate("authority", CLUSTER, 1800, made);
        let stranger = Authority::create_root("root", CLUSTER, 1, 3650, made).expect("a root");
        let mut world = Self {
            authority: authority.expect("an authority"),
            rich: empty(&root),
            other: empty(&root),
            rich_2: empty(&root),
            other_2: empty(&root),
            log: Rc::new(Log::new()),
            strange_log: Rc::new(Log::new()),
            stamper: empty(&root).signer,
            root,
            stranger,
        };
        world.stamper = world.stamper_by(&world.authority, CLUSTER);
        let (first, second) = (
            world.signer(&world.authority, "a1-2"),
            world.signer(&world.root, "a2-2"),
        );
        world.rich = world.make(&rich(), &first, 3);
        world.other = world.make(&plain(), &second, 3);
        world.rich_2 = world.make(&rich(), &first, 2);
        world.other_2 = world.make(&plain(), &second, 2);
        world
    }

    /// SM3 of the root that a verifier expects.
    pub(crate) fn expected_root(&self) -> [u8; 32] {
        fingerprint(self.root.certificate_der())
    }

    /// A node's identity, by `by` and under the cluster's root.
    pub(crate) fn signer(&self, by: &Authority, node: &str) -> Signer {
        let made = SEALED_SECONDS - DAY_SECONDS;
        self.signer_of(by, node, CLUSTER, Usage::Documents, made, 365)
    }

    /// The same in every particular.
    pub(crate) fn signer_of(
        &self,
        by: &Authority,
        node: &str,
        cluster: &str,
        usage: Usage,
        made: u64,
        days: u32,
    ) -> Signer {
        let key = sm2::SecretKey::generate();
        let subject = Subject {
            common_name: node.to_owned(),
            organization: cluster.to_owned(),
            dns_names: vec![],
        };
        let leaf = by.issue(&subject, &key.public(), usage, days, made);
        let mut chain = vec![leaf.expect("a certificate")];
        chain.extend(by.chain());
        let root = chain.pop().expect("the root is the last");
        Signer {
            identity: Rc::new(Identity { chain, key }),
            root,
        }
    }

    /// A time stamp authority's identity, by `by`.
    pub(crate) fn stamper_by(&self, by: &Authority, cluster: &str) -> Signer {
        let made = SEALED_SECONDS - DAY_SECONDS;
        self.signer_of(by, "b1-1", cluster, Usage::TimeStamping, made, 365)
    }

    fn make(&self, draft: &Draft, signer: &Signer, format: u32) -> Package {
        let mut dice = Dice(draft.session.len() as u64);
        let mut package = Package {
            manifest: draft.manifest(format),
            signer: signer.clone(),
            ..empty(&self.root)
        };
        if format == 3 {
            package.put(layout::VIEW, "<!doctype html>\n<title>view</title>\n");
            package.later = Some(Later {
                log: self.log.clone(),
                lines: vec![],
                stamper: self.stamper.clone(),
                missing: json!([]),
                at: SEALED_AT + 2_000,
            });
        }
        package.put(layout::README, README_TEXT.as_bytes());
        package.put(layout::EVENTS, lines(&draft.events()));
        for (track, segments) in draft.tracks.iter().zip(draft.segments()) {
            package.put(
                &layout::init(track.number),
                media::init(&[&about(track.number)]),
            );
            for segment in &segments {
                let number = segment["number"].as_u64().unwrap_or_default() as u32;
                let header = Header {
                    session: draft.session.parse().expect("an id"),
                    node: draft.recorder.parse().expect("an id"),
                    epoch: Epoch(segment["epoch"].as_u64().unwrap_or_default()),
                    assignment: segment["assignment"].as_u64().unwrap_or_default() as u32,
                    track: track.number,
                    segment: number,
                };
                let count = frames(track.number, u64::from(number));
                let frame = |n: u32| {
                    let (bytes, last) = (10 + dice.below(20), n + 1 == count);
                    // A second in all.
                    let us = if last { 1_000_000 - n * 66_666 } else { 66_666 };
                    (us, dice.bytes(bytes), n == 0)
                };
                let frames: Vec<media::Frame> = (0..count).map(frame).collect();
                let content = [header.encode(), media::segment(number, 0, &frames)].concat();
                package.put(&layout::segment(track.number, number), content);
            }
        }
        package.refit();
        package.seal();
        package
    }
}

/// Frames of a segment, which lasts a second; one of them has a single one, which has a form of its own.
fn frames(track: u32, segment: u64) -> u32 {
    if (track, segment) == (3, 2) { 1 } else { 15 }
}

/// Canonical lines.
pub(crate) fn lines(events: &[Value]) -> Vec<u8> {
    let line = |event| {
        let mut line = canonical::to_bytes(event).expect("an event has a form");
        line.push(b'\n');
        line
    };
    events.iter().flat_map(line).collect()
}

fn empty(root: &Authority) -> Package {
    let identity = Identity {
        chain: vec![],
        key: sm2::SecretKey::generate(),
    };
    Package {
        entries: BTreeMap::new(),
        manifest: Value::Null,
        signer: Signer {
            identity: Rc::new(identity),
            root: root.certificate_der().to_vec(),
        },
        later: None,
        container: None,
        readers_policy: false,
        film: None,
    }
}

struct TrackDraft {
    number: u32,
    party: &'static str,
    media: &'static str,
    /// Where its first segment begins, in microseconds.
    first_us: u64,
    /// After this segment three seconds are missing.
    hole_after: Option<u64>,
    segments: u64,
}

struct Draft {
    session: &'static str,
    recorder: &'static str,
    tracks: Vec<TrackDraft>,
    gaps: Value,
    disowned: Value,
}

fn track(number: u32, party: &'static str, media: &'static str, segments: u64) -> TrackDraft {
    TrackDraft {
        number,
        party,
        media,
        first_us: 40_000,
        hole_after: None,
        segments,
    }
}

fn rich() -> Draft {
    let mut tracks = vec![
        track(1, "customer", "video", 5),
        track(2, "customer", "audio", 6),
        track(3, "agent", "audio", 6),
        track(4, "customer", "video", 3),
    ];
    tracks[0].hole_after = Some(2);
    tracks[3].first_us = 9_000_000;
    let gap = |media: &str, from: u64, cause: &str| json!({ "party": "customer", "media": media, "from_ms": from, "length_ms": 3000, "cause": cause });
    let mut hole = gap("video", 2_040, "frames-missing");
    for (name, value) in [("track", 1), ("segment", 2), ("resumed", 1)] {
        hole[name] = json!(value);
    }
    let mut again = gap("video", 8_040, "republished");
    for (name, value) in [("track", 1), ("segment", 5), ("resumed", 4)] {
        again[name] = json!(value);
    }
    let mut none = gap("video", 0, "no-media");
    none["party"] = json!("agent");
    Draft {
        session: "5e55000000000000000000000000aaaa",
        recorder: "a1-2",
        tracks,
        gaps: json!([none, hole, again]),
        disowned: json!([{ "track": 2, "from": 3, "to": 4 }]),
    }
}

fn plain() -> Draft {
    Draft {
        session: "5e55000000000000000000000000bbbb",
        recorder: "a2-2",
        tracks: vec![
            track(1, "customer", "video", 5),
            track(2, "customer", "audio", 5),
            track(3, "agent", "audio", 5),
            track(4, "agent", "video", 4),
        ],
        gaps: json!([]),
        disowned: json!([]),
    }
}

impl Draft {
    fn segments(&self) -> Vec<Vec<Value>> {
        let of_track = |track: &TrackDraft| {
            let segment = |number: u64| {
                let late = track.hole_after.is_some_and(|hole| number > hole);
                let first = track.first_us + (number - 1) * 1_000_000 + u64::from(late) * 3_000_000;
                // The disowned were written before the node heard of the epoch that it has a turn in.
                let disowned = self.disowned.as_array().into_iter().flatten().any(|it| {
                    it["track"] == json!(track.number)
                        && it["from"].as_u64() <= Some(number)
                        && Some(number) <= it["to"].as_u64()
                });
                json!({
                    "number": number, "frames": frames(track.number, number), "first_us": first, "end_us": first + 1_000_000, "key": true,
                    "assignment": 2, "epoch": if disowned { 2 } else { 3 },
                })
            };
            (1..=track.segments).map(segment).collect()
        };
        self.tracks.iter().map(of_track).collect()
    }

    fn events(&self) -> Vec<Value> {
        let event = |number: u64, actor: &str, kind: &str, details: Value| json!({ "number": number, "at": STARTED_AT + number * 1000, "actor": actor, "kind": kind, "details": details });
        vec![
            event(1, "customer", "consent", json!({ "wording": "2026-11" })),
            event(2, "agent", "accepted", json!({ "agent": "张伟 · 8001" })),
            event(3, "agent", "step", json!({ "step": "identity" })),
            event(4, "customer", "confirmed", json!({ "step": "identity" })),
            event(5, "agent", "step", json!({ "step": "disclosure" })),
            event(
                6,
                "customer",
                "hung-up",
                json!({ "reason": "customer-hung-up" }),
            ),
        ]
    }

    fn manifest(&self, format: u32) -> Value {
        let text = |zh: &str, en: &str| json!({ "zh": zh, "en": en });
        let party = |role: &str, id: &str| json!({ "role": role, "id": id, "display": id });
        let tracks = self.tracks.iter().zip(self.segments()).map(|(track, segments)| {
            let video = track.media == "video";
            let (first, last) = (&segments[0]["first_us"], &segments[segments.len() - 1]["end_us"]);
            let length = last.as_u64().unwrap_or_default() - first.as_u64().unwrap_or_default();
            json!({
                "number": track.number, "party": track.party, "media": track.media,
                "broadcast": format!("{}/5e1f.hang", track.party),
                "codec": if video { "avc1.42c01f" } else { "opus" },
                "width": if video { 640 } else { 0 }, "height": if video { 360 } else { 0 },
                "sample_rate": if video { 0 } else { 48_000 }, "channels": if video { 0 } else { 1 },
                "started_at": STARTED_AT + 200, "first_us": first, "end_us": last,
                "duration_ms": length / 1000, "frames": segments.iter().filter_map(|it| it["frames"].as_u64()).sum::<u64>(), "bytes": 0, "refused": 0,
                "segments": segments, "root": "",
            })
        });
        let tracks: Vec<Value> = tracks.collect();
        let mut manifest = json!({
            "format": format!("guitai-evidence/{format}"), "cluster": CLUSTER,
            "institution": { "id": "demo-bank", "name": text("示范银行", "Demo Bank") },
            "session": {
                "id": self.session, "ticket": "71c4", "queue": "wealth", "edge": "edge-a1", "epoch": 1,
                "started_at": STARTED_AT, "ended_at": STARTED_AT + 70_000, "end_reason": "customer-hung-up",
            },
            "participants": [{ "role": "customer", "display": "王先生" }, party("agent", "demo-bank/zhangwei"), party("recorder", "a1-2"), party("recorder", "a2-2")],
            "consent": { "recording": true, "wording": "2026-11", "at": STARTED_AT - 1 },
            "policy": { "ring_ms": 20_000, "away_ms": 30_000, "unrecorded_ms": 30_000, "media_sealed": true },
            "steps": [
                { "id": "identity", "name": text("核身", "Identity"), "required": true, "done_at": STARTED_AT + 3000 },
                { "id": "disclosure", "name": text("风险揭示", "Disclosure"), "required": true, "done_at": STARTED_AT + 5000 },
                { "id": "confirm", "name": text("确认", "Confirmation"), "required": false },
            ],
            "events": self.events().len(), "tracks": tracks,
            "playable": [{ "file": "customer-1.mp4", "tracks": [1, 2] }, { "file": "agent-1.mp4", "tracks": if self.gaps == json!([]) { json!([3, 4]) } else { json!([3]) } }],
            "gaps": self.gaps,
            "assignments": [
                { "number": 1, "node": if self.recorder == "a1-2" { "a2-2" } else { "a1-2" }, "epoch": 1, "since": STARTED_AT, "until": STARTED_AT + 100, "cause": "recorder-gone" },
                { "number": 2, "node": self.recorder, "epoch": 3, "since": STARTED_AT + 100 },
            ],
            "recorder": self.recorder, "started_at": STARTED_AT + 100, "sealed_at": SEALED_AT,
            "files": [], "root": "",
        });
        if self.disowned != json!([]) {
            manifest["disowned"] = self.disowned.clone();
        }
        manifest
    }
}
