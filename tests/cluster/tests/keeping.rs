//! How a recording ends, with the real program over ten months: its clock is set back when it is founded, and
//! right when it starts again. A hold outlives the last day; two officers release it; the keys are destroyed on
//! every node; the log proves it; another recording stays. And a copy that rots is replaced.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
    time::Duration,
};

use guitai_cluster::{Deployment, deployment::wait_for, http, officers};
use serde_json::{Value, json};

const PATIENCE: Duration = Duration::from_secs(90);
const TEN_MONTHS_S: i64 = 300 * 24 * 60 * 60;

#[test]
fn a_recording_ends_when_its_last_day_is_over_and_no_hold_is_on_it() {
    let long_lived = |profile: String| {
        profile.replace("node_certificate_days = 90", "node_certificate_days = 800")
    };
    let mut deployment = Deployment::prepare_with(long_lived);
    let Some(clock) = clock(deployment.dir.path()) else {
        return println!("skipped: no C compiler for the clock");
    };
    deployment.environment = vec![
        ("LD_PRELOAD", clock.display().to_string()),
        ("KEEPING_CLOCK_S", format!("-{TEN_MONTHS_S}")),
    ];
    deployment.up();
    let ends = called(&deployment, &[]);
    let stays = called(&deployment, &[&ends]);

    // The next matrix has a class of six months; one of five is refused.
    let next = deployment.json(&["recordings", "policy", "show"])["matrix"].clone();
    let refused = officers::refused(&set(&deployment, &next, "5m"));
    assert!(refused.contains("RETENTION_MONTHS_MIN is 6"), "{refused}");
    let set = officers::answer(&set(&deployment, &next, "6m"));
    assert_eq!(set["matrix"]["version"], 2, "{set:#}");
    let ask = |deployment: &Deployment, line: &str| deployment.ask(&format!("recordings {line}"));
    let refused = officers::refused(&ask(
        &deployment,
        &format!("class {ends} --class loan --ends 2001-01-01"),
    ));
    assert!(refused.contains("is before the recording"), "{refused}");
    let classed = officers::answer(&ask(&deployment, &format!("class {ends} --class lobby")));
    assert_eq!(classed["due"]["class"], "lobby", "{classed:#}");
    assert_eq!(classed["stage"]["is"], "kept", "{classed:#}");
    let held = officers::answer(&ask(&deployment, &format!("hold {ends} --reason 诉讼保全")));
    assert_eq!(held["holds"][0]["number"], 1, "{held:#}");

    // Ten months on its last day is over, and the hold is still there.
    deployment.down();
    deployment.environment.clear();
    deployment.up();
    let copies = copies_of(&deployment, &ends);
    assert_eq!(copies.len(), 2, "{copies:?}");
    assert!(copies.iter().all(|copy| copy.join("key").is_file()));
    std::thread::sleep(Duration::from_secs(4));
    let shown = officers::answer(&ask(&deployment, &format!("show {ends}")));
    assert_eq!(shown["stage"]["is"], "kept", "{shown:#}");
    assert!(export(&deployment, &ends, "held").status.success());

    let release = |officer: &str| ask(&deployment, &format!("release {ends} --officer {officer}"));
    let [one, other] = officers::OFFICERS;
    let approved = officers::answer(&release(one));
    assert_eq!(approved["holds"].as_array().map(Vec::len), Some(1));
    let again = officers::refused(&release(one));
    assert!(again.contains("another officer must"), "{again}");
    let released = officers::answer(&release(other));
    assert_eq!(released["holds"], json!([]), "{released:#}");

    let erased = wait_for("the end of the recording", PATIENCE, || {
        let shown = officers::answer(&ask(&deployment, &format!("show {ends}")));
        (shown["stage"]["is"] == "erased").then_some(shown)
    });
    assert!(erased["stage"]["entry"].is_u64(), "{erased:#}");
    for copy in &copies {
        let left: Vec<_> = fs::read_dir(copy).expect("a directory").flatten().collect();
        let left: Vec<_> = left.iter().map(fs::DirEntry::file_name).collect();
        assert_eq!(left, ["erased.json"], "{}", copy.display());
    }
    let refused = officers::refused(&export(&deployment, &ends, "erased"));
    assert!(refused.contains("GT-0453"), "{refused}");
    let late = officers::refused(&ask(&deployment, &format!("hold {ends} --reason 迟了")));
    assert!(late.contains("GT-0453"), "{late}");
    proven(&deployment, &ends);

    // Nobody said what the other is about: it is never erased.
    let kept = officers::answer(&ask(&deployment, &format!("show {stays}")));
    assert_eq!(kept["stage"]["is"], "kept", "{kept:#}");
    assert!(export(&deployment, &stays, "stays").status.success());
}

#[test]
fn a_copy_that_rots_is_found_by_reading_and_replaced_by_a_replica() {
    let deployment = Deployment::start();
    let session = called(&deployment, &[]);
    let placed = |exit: i32| {
        let output = deployment.ask(&format!("recordings placement {session}"));
        (output.status.code() == Some(exit)).then(|| officers::answer(&output)[0].clone())
    };
    let scrub = || deployment.ask(&format!("recordings scrub {session}"));
    let placement = wait_for("two whole copies", PATIENCE, || placed(0));
    assert_eq!(placement["centres"].as_array().map(Vec::len), Some(2));
    let clean = scrub();
    assert!(clean.status.success(), "{clean:?}");
    let read = officers::answer(&clean)[0]["copies"].clone();
    let read = read.as_array().expect("copies");
    assert!(
        read.iter()
            .all(|copy| copy["bytes"].as_u64() > Some(10_000)),
        "{read:?}"
    );

    // The one with most of the call: what is exported when nobody names a node.
    let kept = deployment.session_recording("sealed").expect("sealed");
    let best = kept["recording"]["summary"]["node"]
        .as_str()
        .expect("a node")
        .to_owned();
    let [rotten] = &copies_of(&deployment, &session)
        .into_iter()
        .filter(|copy| copy.starts_with(deployment.data().join(&best)))
        .collect::<Vec<_>>()[..]
    else {
        panic!("{best} has it");
    };
    let files = fs::read_dir(rotten).expect("a directory").flatten();
    let segment = files
        .map(|file| file.path())
        .find(|path| path.extension().is_some_and(|it| it == "seg"))
        .expect("a segment");
    let mut bytes = fs::read(&segment).expect("bytes");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0x10;
    fs::write(&segment, bytes).expect("written");

    let found = scrub();
    assert_eq!(found.status.code(), Some(5), "{found:?}");
    let said = String::from_utf8_lossy(&found.stdout).into_owned();
    assert!(
        said.contains("damaged") && said.contains("segment"),
        "{said}"
    );
    // Whoever exports meanwhile is not given what is damaged.
    let exported = export(&deployment, &session, "meanwhile");
    assert!(exported.status.success(), "{exported:?}");
    let replaced = wait_for("a replica", PATIENCE, || placed(0));
    let (_, numbers) = http::ask(deployment.door("127.1.2.1"), "GET", "/metrics", "", "");
    for metric in [
        "guitai_recordings_short 0",
        "guitai_recordings_damaged_copies 0",
    ] {
        assert!(
            numbers.lines().any(|line| line == metric),
            "{metric}: {numbers}"
        );
    }
    let copies = replaced["copies"].as_array().expect("copies").clone();
    let replica = copies.iter().find(|copy| copy["health"]["is"] == "replica");
    assert_eq!(replica.expect("a replica")["node"], best, "{replaced:#}");
    assert!(scrub().status.success());

    // What the damaged node gives out now is the other's package, whole.
    let out = deployment
        .dir
        .path()
        .join("replica.vcep")
        .display()
        .to_string();
    let line = format!("evidence export {session} --recorder {best} --reason 档案检查 --out {out}");
    let exported = deployment.ask(&line);
    assert!(exported.status.success(), "{exported:?}");
    let root = deployment.data().join("pki/root.pem").display().to_string();
    let verified = Command::new(guitai_cluster::deployment::binary())
        .args(["evidence", "verify", &out, "--root", &root])
        .output()
        .expect("guitai runs");
    assert!(verified.status.success(), "{verified:?}");
}

/// Makes the library that sets the clock back; `None` without a compiler.
fn clock(dir: &Path) -> Option<PathBuf> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/keeping/clock.c");
    let library = dir.join("clock.so");
    let mut cc = Command::new("cc");
    cc.args(["-O2", "-fPIC", "-shared", "-o"]);
    let made = cc.args([&library, &source]).output().ok()?;
    assert!(made.status.success(), "{made:?}");
    Some(library)
}

/// Makes a call and gives its session once both its recordings are sealed.
fn called(deployment: &Deployment, before: &[&str]) -> String {
    let called = deployment.run(&["demo", "--json"]);
    assert!(called.status.success(), "{called:?}");
    wait_for("a recording that is kept track of", PATIENCE, || {
        let kept = deployment.json(&["recordings", "list"]);
        let kept = kept.as_array()?.iter();
        let mut sessions = kept.filter_map(|it| it["session"].as_str());
        let session = sessions
            .find(|session| !before.contains(session))?
            .to_owned();
        // Two recorders had it, and both have to have closed it before the cluster is stopped.
        let copies = copies_of(deployment, &session);
        let is_sealed = |copy: &PathBuf| copy.join("summary.json").is_file();
        (copies.len() == 2 && copies.iter().all(is_sealed)).then_some(session)
    })
}

/// Directories of a recording, on whatever node.
fn copies_of(deployment: &Deployment, session: &str) -> Vec<PathBuf> {
    let nodes = fs::read_dir(deployment.data()).expect("data").flatten();
    let nodes = nodes.map(|node| node.path().join("data/recordings").join(session));
    nodes.filter(|copy| copy.is_dir()).collect()
}

fn set(deployment: &Deployment, matrix: &Value, minimum: &str) -> Output {
    let mut matrix = matrix.clone();
    matrix["version"] = json!(2);
    let lobby = json!({"id": "lobby", "name": {"zh": "厅堂咨询", "en": "lobby talk"},
        "starts": "recorded", "minimum": minimum, "dispute": "0m", "clause": "网络安全法第21条"});
    matrix["classes"]
        .as_array_mut()
        .expect("classes")
        .push(lobby);
    let file = deployment.dir.path().join("matrix.json");
    fs::write(&file, matrix.to_string()).expect("written");
    deployment.ask(&format!("recordings policy set {}", file.display()))
}

fn export(deployment: &Deployment, session: &str, name: &str) -> Output {
    let out = deployment.dir.path().join(format!("{name}.vcep"));
    let line = format!(
        "evidence export {session} --reason 档案检查 --out {}",
        out.display()
    );
    deployment.ask(&line)
}

/// The end of a recording is an entry of the log, and can be shown without the cluster.
fn proven(deployment: &Deployment, session: &str) {
    let at = |name: &str| deployment.dir.path().join(name).display().to_string();
    let (proof, entry, opening) = (at("proof"), at("entry"), at("opening"));
    let line = format!(
        "log prove --session {session} --kind recording-erased --out {proof} --entry {entry} --opening {opening}"
    );
    wait_for("a checkpoint over the end", PATIENCE, || {
        deployment.ask(&line).status.success().then_some(())
    });
    let opened: Value =
        serde_json::from_str(&fs::read_to_string(&opening).expect("an opening")).expect("JSON");
    let record: Value =
        serde_json::from_str(opened["record"].as_str().expect("a record")).expect("JSON");
    assert_eq!(record["session"], session, "{record:#}");
    assert_eq!(record["erasure"]["class"], "lobby", "{record:#}");
    assert_eq!(record["awaited"], json!([]), "{record:#}");
    let mirrored = deployment.run(&["log", "mirror", &at("mirror")]);
    assert!(mirrored.status.success(), "{mirrored:?}");
    let policy = at("mirror/sm3/policy");
    let verify = [
        "log", "verify", &proof, "--entry", &entry, "--policy", &policy,
    ];
    let verified = Command::new(guitai_cluster::deployment::binary())
        .args(verify)
        .output()
        .expect("guitai runs");
    assert!(verified.status.success(), "{verified:?}");
}
