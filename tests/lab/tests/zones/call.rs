//! A call with recording through the zones, and a drill.

use std::{path::Path, time::Duration};

use guitai_cli::demo::{self, CallReport, Setting, Witness, Witnessed};
use guitai_cluster::{deployment::binary, officers};
use guitai_host::SystemClock;

use super::{
    memory::Dumps,
    site::{Site, complaint},
};

/// Longer than usual: while they talk, nodes' memories are read.
const TALK: Duration = Duration::from_secs(8);
/// So many frames have gone when memories are read.
const FRAMES_MIN: usize = 200;
const PATIENCE: Duration = Duration::from_secs(120);

/// What was seen while the call ran.
pub(crate) struct Seen {
    pub(crate) witnessed: Witnessed,
    pub(crate) dumps: Dumps,
}

/// Makes the call; its package is verified by whoever made it, and once more by the command.
pub(crate) fn make(site: &Site) -> (CallReport, Seen) {
    let packages = site.file("packages");
    let setting = Setting::read(&site.lab.data(), Some(packages));
    let mut setting = setting.expect("the deployment's own files");
    let witness = Witness::default();
    setting.talk = TALK;
    setting.witness = Some(witness.clone());
    let (made, dumps) = std::thread::scope(|scope| {
        let call = scope.spawn(|| {
            let runtime = tokio::runtime::Runtime::new().expect("a runtime");
            runtime.block_on(demo::run(&setting, 1, 1, &SystemClock))
        });
        let began = std::time::Instant::now();
        // Both parties have gone over to the second key: the first two keys are of the first epoch.
        while witness.seen().keys.len() < 4 || witness.seen().frames.len() < FRAMES_MIN {
            let is_over = call.is_finished() || began.elapsed() > PATIENCE;
            assert!(!is_over, "no call: {:?}", call.join());
            std::thread::sleep(Duration::from_millis(50));
        }
        let dumps = Dumps::take(site);
        (call.join().expect("it does not panic"), dumps)
    });
    let report = made.expect("a call");
    assert!(report.ok, "{report:#?}");
    let call = report.calls.into_iter().next().expect("one call");
    let package = call.package.as_deref().expect("it was kept");
    verifies(site, package);
    let witnessed = witness.seen();
    (call, Seen { witnessed, dumps })
}

fn verifies(site: &Site, package: &Path) {
    let mut command = std::process::Command::new(binary());
    command
        .args(["evidence", "verify"])
        .arg(package)
        .arg("--root");
    let verified = command.arg(site.lab.data().join("pki/root.pem")).output();
    let verified = verified.expect("guitai runs");
    assert!(verified.status.success(), "{}", complaint(&verified));
}

/// Rehearses the loss of a centre, with every probe; from where operators are.
pub(crate) fn drill(site: &Site) {
    let mut command = site.lab.command_at("operator", &binary()).expect("a host");
    command.args([
        "dr",
        "rehearse",
        "--scenario",
        "centre",
        "--centre",
        "a1",
        "--json",
        "--data",
    ]);
    let output = command.arg(site.lab.data()).output().expect("guitai runs");
    assert!(
        output.status.success(),
        "{} {}",
        complaint(&output),
        officers::answer(&output)
    );
}
