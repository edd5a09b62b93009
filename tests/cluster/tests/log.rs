//! The cluster's own transparency log, with the real program: a call's recording is proven to be in it, a copy
//! is read again offline, and after the leader was killed the log continues that copy.

#[path = "../../../nodes/tlog/tests/stock/reader.rs"]
mod stock;

use std::{
    fs,
    path::Path,
    process::{Command, Output},
    time::Duration,
};

use guitai_cluster::{
    Deployment,
    deployment::{binary, wait_for},
};
use serde_json::Value;

const PATIENCE: Duration = Duration::from_secs(90);

#[test]
fn a_recording_is_proven_offline_to_be_in_the_log_and_a_killed_leader_rewrites_nothing() {
    let deployment = Deployment::start();
    let scratch = tempfile::tempdir().expect("a directory");
    let at = |name: &str| scratch.path().join(name).display().to_string();
    let called = deployment.run(&["demo", "--json"]);
    assert!(called.status.success(), "{called:?}");
    let sealed = wait_for("a sealed recording", PATIENCE, || {
        deployment.session_recording("sealed")
    });
    let session = sealed["id"].as_str().expect("an id").to_owned();

    let (proof, entry, opening) = (at("proof"), at("entry"), at("opening"));
    let prove = ["log", "prove", "--session", &session, "--out", &proof];
    let prove = [&prove[..], &["--entry", &entry, "--opening", &opening]].concat();
    wait_for("a checkpoint over the recording", PATIENCE, || {
        deployment.run(&prove).status.success().then_some(())
    });
    let public = fs::read_to_string(&entry).expect("an entry");
    assert!(!public.contains(&session), "{public} names the call");
    assert!(public.contains("recording-sealed"), "{public}");
    let behind = fs::read_to_string(&opening).expect("an opening");
    assert!(behind.contains(&session), "{behind}");
    let (seen, why) = (at("access"), at("why"));
    let by_kind = ["--kind", "access", "--out", &seen, "--entry", &why];
    let by_kind = [&["log", "prove", "--session", &session][..], &by_kind].concat();
    wait_for("a checkpoint over the access", PATIENCE, || {
        deployment.run(&by_kind).status.success().then_some(())
    });
    let access = fs::read_to_string(&why).expect("an entry");
    assert!(access.contains("\"access\""), "{access}");

    let first = at("first");
    copied(&deployment, &first);
    let (sm3, policy) = (format!("{first}/sm3"), format!("{first}/sm3/policy"));
    let verify = ["log", "verify", &proof, "--entry", &entry];
    let verify = [&verify[..], &["--policy", &policy]].concat();
    let verified = json(&offline(&verify));
    let witnesses = verified["checkpoint"]["witnesses"].as_array();
    assert!(witnesses.is_some_and(|all| all.len() >= 2), "{verified:#}");
    let twin = read_by_others(&format!("{first}/sha256"));
    for tree in ["sm3", "sha256"] {
        let (dir, policy) = (format!("{first}/{tree}"), format!("{first}/{tree}/policy"));
        let audited = json(&offline(&["log", "audit", &dir, "--policy", &policy]));
        assert_eq!(audited["ok"], true, "{audited:#}");
    }

    // The package takes the proofs along, and is checked by a policy that came another way.
    let root = deployment.data().join("pki/root.pem");
    let root = root.display().to_string();
    let trusted = ["--root", &root, "--policy", &policy];
    let mut exports = 0;
    let package = wait_for(
        "a package with the log's proofs and a time stamp",
        PATIENCE,
        || {
            exports += 1;
            let package = at(&format!("{exports}.vcep"));
            let why = ["--reason", "投诉 2026-0417"];
            let export = ["evidence", "export", &session, "--out", &package];
            let export = [&export[..], &why].concat();
            let exported = deployment.run(&export);
            assert!(exported.status.success(), "{exported:?}");
            let verify = ["evidence", "verify", &package];
            let verified = json(&offline(&[&verify[..], &trusted].concat()));
            assert_eq!(verified["ok"], true, "{verified:#}");
            let absent = |check: &&Value| check["status"] == "absent";
            let checks = verified["checks"].as_array().expect("checks").iter();
            let absent: Vec<&Value> = checks.filter(absent).map(|it| &it["name"]).collect();
            (absent == ["composite"]).then_some(package)
        },
    );
    let complete = ["evidence", "verify", &package, "--complete"];
    assert_eq!(offline(&complete).status.code(), Some(0));
    let accesses = deployment.json(&["log", "accesses", "--session", &session]);
    let accesses = accesses.as_array().expect("accesses").clone();
    let reason = |access: &Value| access["access"]["reason"].as_str().map(str::to_owned);
    let of_ours = |access: &&Value| reason(access).as_deref() == Some("投诉 2026-0417");
    assert_eq!(accesses.iter().filter(of_ours).count(), exports);
    // The call's own demonstration looked into its package as well.
    assert_eq!(accesses.len(), exports + 1);
    assert_eq!(accesses[0]["access"]["what"], "export");
    let out = at("refused.vcep");
    let export = ["evidence", "export", &session, "--out", &out];
    let refused = |reason: &str, code: &str| {
        let export = [&export[..], &["--reason", reason, "--json"]].concat();
        let refused = deployment.run(&export);
        let said = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert!(
            !refused.status.success() && said.contains(code),
            "{refused:?}"
        );
        assert!(!Path::new(&out).exists());
    };
    refused(" ", "GT-0400");
    refused(&"查".repeat(67), "REASON_BYTES_MAX");
    // Without a majority nobody is written down, and nothing is handed out.
    let majority = ["a1-2", "a2-2", "b-1", "b-2"];
    majority.iter().for_each(|node| deployment.freeze(node));
    refused("court order 7", "GT-05");
    majority.iter().for_each(|node| deployment.thaw(node));

    deployment.kill(&deployment.leader());
    wait_for("another call", PATIENCE, || {
        deployment.run(&["demo"]).status.success().then_some(())
    });
    let older = format!("{first}/sm3/checkpoint");
    let grown = wait_for("a longer log", PATIENCE, || {
        let second = at("second");
        copied(&deployment, &second);
        let dir = format!("{second}/sm3");
        let audit = ["log", "audit", &dir, "--policy", &policy, "--from", &older];
        let audited = json(&offline(&audit));
        let size = audited["checkpoint"]["size"].as_u64()?;
        (size > audited["continues"].as_u64()?).then_some(audited)
    });
    assert_eq!(grown["ok"], true);
    let second = at("second/sha256");
    let files = files(&second);
    stock::continues(&files, read_by_others(&second), twin).expect("the twin log continues");

    // Somebody changes a byte of the copy.
    let bundle = bundle(&Path::new(&sm3).join("tile/entries"));
    let mut bytes = fs::read(&bundle).expect("a bundle");
    *bytes.last_mut().expect("entries") ^= 1;
    fs::write(&bundle, bytes).expect("written");
    let audit = ["log", "audit", &sm3, "--policy", &policy];
    assert_eq!(offline(&audit).status.code(), Some(3));
    fs::write(&entry, public.replace("sealed", "ripped")).expect("written");
    assert_eq!(offline(&verify).status.code(), Some(3));
}

/// The copy of the twin log below `dir`, file by file.
fn files(dir: &str) -> impl Fn(&str) -> Option<Vec<u8>> {
    move |path| fs::read(Path::new(dir).join(path)).ok()
}

/// Checks a copy of the twin log with libraries that know nothing of us; gives its head.
fn read_by_others(dir: &str) -> (u64, tlog_tiles::Hash) {
    let files = files(dir);
    let policy = fs::read_to_string(Path::new(dir).join("policy")).expect("a policy");
    let key = policy.lines().find_map(|line| line.strip_prefix("log "));
    let head = stock::opened(&files, key.expect("the log's key")).expect("a checkpoint");
    let entries = stock::entries(&files, head.0).expect("bundles");
    stock::holds(&files, head, &entries).expect("a log");
    head
}

/// Copies the whole log; a copy that is there goes on.
fn copied(deployment: &Deployment, dir: &str) {
    let copied = deployment.run(&["log", "mirror", dir]);
    assert!(copied.status.success(), "{copied:?}");
}

/// A command that reaches no cluster.
fn offline(words: &[&str]) -> Output {
    let mut command = Command::new(binary());
    command
        .args(words)
        .args(["--json"])
        .env_remove("GUITAI_URL");
    command.output().expect("guitai runs")
}

fn json(output: &Output) -> Value {
    let said = serde_json::from_slice(&output.stdout);
    said.unwrap_or_else(|_| panic!("{output:?}"))
}

/// The widest first bundle of a copy, full or not.
fn bundle(entries: &Path) -> std::path::PathBuf {
    let full = entries.join("000");
    if full.is_file() {
        return full;
    }
    let parts = fs::read_dir(entries.join("000.p")).expect("a bundle");
    let width = |path: &std::path::PathBuf| {
        let name = path.file_name().and_then(|name| name.to_str());
        name.and_then(|name| name.parse::<u32>().ok())
    };
    let parts = parts.filter_map(|part| part.ok().map(|part| part.path()));
    parts.max_by_key(width).expect("a bundle")
}
