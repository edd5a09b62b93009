//! A real package and a real copy of the log through the gap, both ways, with loss and damage.

use std::{fs, path::Path, process::ExitCode};

use clap::{Command as Clap, FromArgMatches as _, Subcommand as _};
use guitai_cli::{Command, FINDINGS, NOT_VERIFIED};
use guitai_crypto::{sm2, x509};
use guitai_evidence::{
    Builder, Manifest, Signer, TarSink,
    attach::{self, Missing, What},
    documents, layout,
    log::{
        Checkpoint, Digest, Edge, Written,
        check::Head,
        note::{Kind, Line, Note, VerifierKey},
        policy,
        tiles::{Resource, TILE_WIDTH, bundle},
    },
    manifest::{FORMAT, Gap, Media, Named, SessionFacts},
    view,
};
use guitai_types::{Epoch, Hex, UnixMillis, place::Text, record::Policy};

const SEALED_AT: UnixMillis = UnixMillis(1_795_000_070_500);

async fn run(words: &str) -> ExitCode {
    let parser = Command::augment_subcommands(Clap::new("guitai").subcommand_required(true));
    let words = ["guitai"].into_iter().chain(words.split_whitespace());
    let matches = parser.try_get_matches_from(words).unwrap();
    guitai_cli::run(Command::from_arg_matches(&matches).unwrap()).await
}

fn text(text: &str) -> Text {
    Text {
        zh: text.to_owned(),
        en: text.to_owned(),
    }
}

/// A package of a call of which nothing was recorded, sealed all the same; its root beside it.
fn package(path: &Path, root_pem: &Path) {
    let made = SEALED_AT.0 / 1000 - 86_400;
    let authority = x509::Authority::create("root", "demo", 3650, made).unwrap();
    let key = sm2::SecretKey::generate();
    let subject = x509::Subject {
        common_name: "a1-2".to_owned(),
        organization: "demo".to_owned(),
        dns_names: vec!["a1-2.inner.guitai.internal".to_owned()],
    };
    let leaf = authority.issue(&subject, &key.public(), x509::Usage::Tls, 365, made);
    let root = authority.certificate_der().to_vec();
    let pem = x509::certificates_to_pem(std::slice::from_ref(&root));
    fs::write(root_pem, pem).unwrap();
    let identity = x509::Identity {
        chain: vec![leaf.unwrap()],
        key,
    };
    let signer = || Signer {
        identity: &identity,
        root: &root,
    };
    let mut builder = Builder::new(TarSink::new(fs::File::create(path).unwrap()));
    let gap = |(party, media): (&str, Media)| Gap {
        party: party.to_owned(),
        media,
        from_ms: 0,
        length_ms: 70_000,
        cause: "no-media".to_owned(),
        track: None,
        segment: None,
        resumed: None,
        assignment: None,
    };
    let gaps = [
        ("customer", Media::Video),
        ("customer", Media::Audio),
        ("agent", Media::Video),
        ("agent", Media::Audio),
    ]
    .map(gap);
    for (path, content) in documents(&[], &gaps, signer()).unwrap() {
        builder.add(&path, &content).unwrap();
    }
    let manifest = Manifest {
        format: FORMAT.to_owned(),
        cluster: "demo".parse().unwrap(),
        institution: Named {
            id: "bank".parse().unwrap(),
            name: text("银行"),
        },
        session: SessionFacts {
            id: "5e55".parse().unwrap(),
            ticket: "71c4".parse().unwrap(),
            queue: "loans".parse().unwrap(),
            edge: "edge-a1".parse().unwrap(),
            epoch: Epoch(1),
            started_at: UnixMillis(1_795_000_000_000),
            ended_at: None,
            end_reason: None,
        },
        participants: Vec::new(),
        consent: None,
        policy: Policy::default(),
        steps: Vec::new(),
        events: 0,
        tracks: Vec::new(),
        playable: Vec::new(),
        gaps: gaps.to_vec(),
        assignments: Vec::new(),
        disowned: Vec::new(),
        recorder: "a1-2".parse().unwrap(),
        started_at: UnixMillis(1_795_000_000_100),
        sealed_at: SEALED_AT,
        files: Vec::new(),
        root: Hex::default(),
    };
    let page = view::page(&manifest, &[], &[]);
    for (path, content) in [(layout::ROOTS, String::new()), (layout::VIEW, page)] {
        builder.add(path, content.as_bytes()).unwrap();
    }
    let (_, seal) = builder.seal(manifest, signer()).unwrap();
    let missing = [
        What::Consistency,
        What::RootProofs,
        What::SealProof,
        What::Timestamp,
    ];
    let missing = missing.map(|what| Missing {
        what,
        cause: "no-log".to_owned(),
    });
    let attached = attach::attach(&seal, vec![], missing.to_vec(), SEALED_AT, signer());
    builder.close(&seal, Some(&attached.unwrap())).unwrap();
    let report = guitai_evidence::verify(path, &guitai_evidence::Options::default());
    assert!(report.ok, "{:#?}", report.faults().collect::<Vec<_>>());
}

/// A copy of a log of `size` entries as `guitai log mirror` leaves it, its policy beside it.
fn mirror(dir: &Path, size: usize, secrets: &[sm2::SecretKey; 2]) {
    let put = |path: &str, bytes: &[u8]| {
        let path = dir.join("sm3").join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    };
    let keep = |Written { resource, bytes }| put(&resource.to_string(), &bytes);
    let entries: Vec<Vec<u8>> = (0..size).map(|at| vec![7; at % 300]).collect();
    let mut edge = Edge::new(Digest::Sm3);
    for entry in &entries {
        edge.push(Digest::Sm3.leaf(entry))
            .into_iter()
            .for_each(keep);
    }
    edge.partial().for_each(keep);
    for (index, entries) in (0..).zip(entries.chunks(TILE_WIDTH)) {
        let width = entries.len() as u16;
        let bytes = bundle(entries.iter().map(Vec::as_slice)).unwrap();
        let resource = Resource::Entries { index, width };
        keep(Written { resource, bytes });
    }
    let key = |name, kind, secret: &sm2::SecretKey| {
        VerifierKey::new(name, kind, &secret.public().to_point()).unwrap()
    };
    let log = key("bank/log/sm3", Kind::Sm2, &secrets[0]);
    let witness = key("w.b", Kind::Sm2Cosignature, &secrets[1]);
    let head = Head {
        size: edge.size(),
        root: edge.root(),
    };
    let origin = log.name().to_owned();
    let mut note = Note::new(Checkpoint { origin, head }.to_string()).unwrap();
    let text = note.text().to_owned();
    for (key, secret) in [(&log, &secrets[0]), (&witness, &secrets[1])] {
        let sign = |message: &[u8]| secret.sign(message);
        note.add(Line::sign(key, &sign, &text, 1_795_000_000))
            .unwrap();
    }
    put("checkpoint", note.to_string().as_bytes());
    put("policy", policy::text(&log, &[witness], 1).as_bytes());
}

fn files(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).into_iter().flatten();
    let mut names: Vec<String> = entries
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

fn flip(path: &Path) {
    let mut bytes = fs::read(path).unwrap();
    let at = bytes.len() / 2;
    bytes[at] ^= 1;
    fs::write(path, bytes).unwrap();
}

#[tokio::test]
async fn a_package_and_a_log_cross_both_ways_through_a_bad_gap() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let at = dir.display();
    let ok = ExitCode::SUCCESS;
    let found = ExitCode::from(FINDINGS);
    package(&dir.join("call.vcep"), &dir.join("root.pem"));
    let secrets = [0; 2].map(|_| sm2::SecretKey::generate());
    mirror(&dir.join("mirror"), 300, &secrets);
    fs::write(dir.join("plan.json"), "{\"kind\":\"rehearsal\"}").unwrap();
    for (me, peer) in [("inner", "outer"), ("outer", "inner")] {
        let init = format!(
            "ferry init --state {at}/{me} --ferry gap --me {me} --peer {peer} --drop-out {at}/from-{me} \
             --drop-in {at}/from-{peer} --into {at}/into-{me} --root {at}/root.pem --policy {at}/mirror/sm3/policy \
             --settle-seconds 0"
        );
        assert_eq!(run(&init).await, ok);
    }
    for (me, peer) in [("inner", "outer"), ("outer", "inner")] {
        let config = fs::read(dir.join(peer).join("ferry.json")).unwrap();
        let config: serde_json::Value = serde_json::from_slice(&config).unwrap();
        let key = config["key"].as_str().unwrap();
        let pin = format!("ferry init --state {at}/{me} --peer-key {key}");
        assert_eq!(run(&pin).await, ok);
    }

    // Out: a package and the log. In: a report. The first bundle each way is damaged, then lost, then comes.
    let send_out = format!("ferry send --state {at}/inner {at}/call.vcep {at}/mirror");
    assert_eq!(run(&send_out).await, ok);
    assert_eq!(
        run(&format!("ferry send --state {at}/outer {at}/plan.json")).await,
        ok
    );
    for side in ["inner", "outer"] {
        let drop = dir.join(format!("from-{side}"));
        flip(&drop.join(&files(&drop)[0]));
    }
    assert_eq!(
        run(&format!("ferry receive --state {at}/outer")).await,
        found
    );
    assert_eq!(
        run(&format!("ferry receive --state {at}/inner")).await,
        found
    );
    assert!(files(&dir.join("into-outer")).is_empty() && files(&dir.join("into-inner")).is_empty());
    for lost in [true, false] {
        for side in ["inner", "outer"] {
            run(&format!("ferry send --state {at}/{side} --again")).await;
            if lost {
                let drop = dir.join(format!("from-{side}"));
                for file in files(&drop) {
                    fs::remove_file(drop.join(file)).unwrap();
                }
            }
        }
        assert_eq!(run(&format!("ferry receive --state {at}/outer")).await, ok);
        assert_eq!(run(&format!("ferry receive --state {at}/inner")).await, ok);
    }
    let recordings = dir.join("into-outer/recordings");
    assert_eq!(files(&recordings), ["000001-call.vcep"]);
    let arrived = recordings.join("000001-call.vcep");
    assert_eq!(
        fs::read(&arrived).unwrap(),
        fs::read(dir.join("call.vcep")).unwrap()
    );
    assert_eq!(files(&dir.join("into-inner/reports")), ["000001-plan.json"]);
    let log = dir.join("into-outer/log/log-bank-log-sm3");
    let audit = format!(
        "log audit {} --policy {at}/mirror/sm3/policy",
        log.display()
    );
    assert_eq!(run(&audit).await, ok);

    // The log grew: only what is new goes, and it continues what is there.
    mirror(&dir.join("mirror"), 700, &secrets);
    assert_eq!(
        run(&format!("ferry send --state {at}/inner {at}/mirror")).await,
        ok
    );
    assert_eq!(run(&format!("ferry receive --state {at}/outer")).await, ok);
    assert_eq!(run(&audit).await, ok);
    let sizes = fs::read_to_string(log.join("checkpoint")).unwrap();
    assert_eq!(sizes.lines().nth(1), Some("700"));

    // A log that has another history, and a package that was tampered with, do not pass; both sides say so.
    fs::remove_dir_all(dir.join("mirror")).unwrap();
    mirror(&dir.join("mirror"), 400, &secrets);
    fs::copy(dir.join("call.vcep"), dir.join("bad.vcep")).unwrap();
    flip(&dir.join("bad.vcep"));
    let send = format!("ferry send --state {at}/inner {at}/mirror {at}/bad.vcep");
    assert_eq!(run(&send).await, ok);
    assert_eq!(
        run(&format!("ferry receive --state {at}/outer")).await,
        found
    );
    assert_eq!(run(&audit).await, ok);
    assert_eq!(files(&recordings), ["000001-call.vcep"]);
    assert_eq!(run(&format!("ferry send --state {at}/outer")).await, ok);
    run(&format!("ferry receive --state {at}/inner")).await;
    for side in ["inner", "outer"] {
        assert_eq!(
            run(&format!("ferry report --state {at}/{side} --json")).await,
            found
        );
        assert_eq!(
            run(&format!("ferry report --state {at}/{side} --lang zh")).await,
            found
        );
        assert_eq!(run(&format!("ferry status --state {at}/{side}")).await, ok);
    }
    let journal = fs::read_to_string(dir.join("inner/journal")).unwrap();
    assert_eq!(
        journal.matches("\"why\":\"inspection\"").count(),
        2,
        "{journal}"
    );

    // Whoever alters the account is found.
    let altered = journal.replacen("call.vcep", "cull.vcep", 1);
    fs::write(dir.join("inner/journal"), altered).unwrap();
    let report = run(&format!("ferry report --state {at}/inner")).await;
    assert_eq!(report, ExitCode::from(NOT_VERIFIED));
}
