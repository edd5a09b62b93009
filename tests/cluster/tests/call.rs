//! The main job: a call through the public doors, recorded, exported, verified; and found out when a
//! byte of its package changes.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use guitai_cluster::{Deployment, deployment::binary};

/// Mutations over all files of the package; each must be found.
const MUTATIONS: usize = 240;

#[test]
fn up_demo_makes_one_verified_call_and_every_changed_byte_is_found() {
    let deployment = Deployment::prepare();
    let kept = deployment.dir.path().join("package");
    let output = deployment
        .command(&["up", "--demo"])
        .arg("--profile")
        .arg(&deployment.profile)
        .arg("--keep-package")
        .arg(&kept)
        .output()
        .expect("guitai up --demo runs");
    assert!(output.status.success(), "{}", words(&output));

    let package = package_in(&kept);
    let whole = verify(&package);
    assert!(whole.status.success(), "{}", words(&whole));

    let files = files(&package);
    assert!(files.len() >= 8, "a package has files: {files:?}");
    let mut random = Random(20_261_121);
    for number in 0..MUTATIONS {
        let file = &files[number % files.len()];
        let bytes = fs::read(file).expect("file of the package");
        let at = random.below(bytes.len());
        let mut changed = bytes.clone();
        changed[at] ^= 1 << random.below(8);
        fs::write(file, &changed).expect("mutation");
        let report = verify(&package);
        fs::write(file, &bytes).expect("restored");
        let name = file
            .strip_prefix(&package)
            .expect("inside")
            .display()
            .to_string();
        assert_eq!(
            report.status.code(),
            Some(3),
            "byte {at} of {name} changed unseen: {}",
            words(&report)
        );
        assert!(
            words(&report).contains(&name),
            "{name} is not named: {}",
            words(&report)
        );
    }
    assert!(
        verify(&package).status.success(),
        "restored, it verifies again"
    );
}

fn verify(package: &Path) -> Output {
    let mut command = Command::new(binary());
    command
        .args(["evidence", "verify"])
        .arg(package)
        .arg("--json");
    command.output().expect("guitai evidence verify runs")
}

fn words(output: &Output) -> String {
    let (out, err) = (&output.stdout, &output.stderr);
    format!(
        "{}\n{}",
        String::from_utf8_lossy(out),
        String::from_utf8_lossy(err)
    )
}

/// The directory that holds `manifest.json`, `kept` itself or the one package in it.
fn package_in(kept: &Path) -> PathBuf {
    if kept.join("manifest.json").is_file() {
        return kept.to_owned();
    }
    let entries = fs::read_dir(kept)
        .expect("--keep-package leaves a directory")
        .flatten();
    let mut dirs = entries.map(|entry| entry.path());
    dirs.find(|dir| dir.join("manifest.json").is_file())
        .expect("a package with a manifest")
}

/// All non-empty files, in a fixed order.
fn files(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut open = vec![dir.to_owned()];
    while let Some(dir) = open.pop() {
        for entry in fs::read_dir(&dir).expect("readable").flatten() {
            let path = entry.path();
            if path.is_dir() {
                open.push(path);
            } else if entry.metadata().is_ok_and(|metadata| metadata.len() > 0) {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

/// SplitMix64: the same mutations every time.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) % limit as u64) as usize
    }
}
