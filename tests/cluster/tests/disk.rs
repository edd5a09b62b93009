//! A recorder's disk fills in the middle of a call: the call shows it, the flow stops, what was closed
//! stays, and once there is room again calls are recorded again. Needs root for a small tmpfs.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use guitai_cluster::{Deployment, deployment::wait_for};

/// Size of the recorder's disk: a little more than the recorder keeps free.
const DISK: &str = "size=110m";

struct Mounted(PathBuf);

impl Mounted {
    /// A small file system at `path`, or why there is none.
    fn at(path: &Path) -> Result<Self, String> {
        fs::create_dir_all(path).map_err(|error| error.to_string())?;
        let output = Command::new("mount")
            .args(["-t", "tmpfs", "-o", DISK, "guitai-test"])
            .arg(path)
            .output()
            .map_err(|error| error.to_string())?;
        if output.status.success() {
            return Ok(Self(path.to_owned()));
        }
        Err(String::from_utf8_lossy(&output.stderr).into_owned())
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        drop(Command::new("umount").arg("--lazy").arg(&self.0).status());
    }
}

#[test]
fn a_full_disk_stops_the_flow_and_keeps_what_was_closed() {
    let mut deployment = Deployment::start();
    assert_eq!(deployment.down(), Some(0));
    let mut disks = Vec::new();
    for recorder in ["a1-2", "a2-2", "b-2"] {
        let path = deployment.data().join(recorder).join("data/recordings");
        match Mounted::at(&path) {
            Ok(disk) => disks.push(disk),
            Err(why) => {
                eprintln!("SKIPPED: a small disk needs root and tmpfs: {why}");
                return;
            }
        }
    }
    deployment.up();

    let mut call = deployment
        .command(&["demo", "--json"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("guitai demo starts");
    let session = wait_for("a running recording", Duration::from_secs(30), || {
        deployment.session_recording("running")
    });
    let fillers: Vec<PathBuf> = disks.iter().map(|disk| disk.0.join("filler")).collect();
    for filler in &fillers {
        // As much as fits: the file system says when it is full.
        drop(fs::write(filler, vec![7u8; 100 * 1024 * 1024]));
    }
    let lost = wait_for("the call to show the loss", Duration::from_secs(15), || {
        deployment.session_recording("lost")
    });
    assert_eq!(lost["id"], session["id"]);
    assert_eq!(lost["recording"]["cause"], "disk-full");
    let closed = disks
        .iter()
        .map(|disk| bytes_in(&disk.0, &fillers))
        .sum::<u64>();
    assert!(closed > 10_000, "closed segments stay: {closed} bytes");
    call.wait().expect("guitai demo ends");
    let sealed = wait_for(
        "the recording to be sealed",
        Duration::from_secs(20),
        || deployment.session_recording("sealed"),
    );
    let gaps = sealed["recording"]["summary"]["gaps"].as_u64().unwrap_or(0);
    assert!(gaps > 0, "what could not be kept is declared: {sealed:#}");

    for filler in &fillers {
        drop(fs::remove_file(filler));
    }
    let output = deployment.run(&["demo", "--json"]);
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

fn bytes_in(dir: &Path, but: &[PathBuf]) -> u64 {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    entries
        .map(|entry| entry.path())
        .filter(|path| !but.contains(path))
        .map(|path| {
            if path.is_dir() {
                bytes_in(&path, but)
            } else {
                path.metadata().map_or(0, |m| m.len())
            }
        })
        .sum()
}
