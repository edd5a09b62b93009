//! A data directory of `up`: which deployment it holds, who uses it now, and what the CLI reads there.
//!
//! ```text
//! <data>/profile.toml      the profile it was founded with
//! <data>/cluster.json      doors of the deployment, for the CLI and the tests
//! <data>/demo-login.json   logins made at foundation (mode 600)
//! <data>/lock              held by a running `up`
//! <data>/pki/              root certificate and its key
//! <data>/<node>/           what that node may know; its keys in keys/, its data in data/, its log in
//!                          node.log; root-passphrase opens keys/ (mode 600, the demo's way)
//! ```

use std::{
    fs::File,
    path::{Path, PathBuf},
};

use guitai_cli::{
    CLUSTER_FILE, Cluster, LoginFile,
    keys::{Seat, migrate},
};
use guitai_types::{
    Code, Date, Role, UnixMillis,
    door::DoorLimits,
    inventory::CryptoPolicy,
    profile::{Node, Profile},
    sandbox::SandboxMode,
};

use crate::{
    config::{resolve_sink, resolve_tls},
    exit::Failure,
    flows::Flows,
    founding,
    run::check_certificate,
};

/// File with the logins made at foundation.
const LOGIN_FILE: &str = "demo-login.json";

/// The profile that `up` uses when none is named: it is part of the binary.
const DEMO_PROFILE: &str = include_str!("../../../profiles/demo.toml");

/// A deployment on this machine, locked for this process.
pub(crate) struct Deployment {
    pub(crate) data: PathBuf,
    pub(crate) profile: Profile,
    pub(crate) logins: LoginFile,
    pub(crate) resumed: bool,
    _lock: File,
}

/// Reads and checks a profile; the demo's when `path` is `None`.
pub(crate) fn read_profile(path: Option<&Path>) -> Result<(Profile, String), Failure> {
    let bad = |detail: String| Failure::new(Code::BadProfile, detail);
    let (text, name) = match path {
        None => (DEMO_PROFILE.to_owned(), "profiles/demo.toml".to_owned()),
        Some(path) => {
            let text = std::fs::read_to_string(path)
                .map_err(|error| bad(format!("{}: {error}", path.display())))?;
            (text, path.display().to_string())
        }
    };
    let profile: Profile = toml::from_str(&text)
        .map_err(|error| bad(format!("{name}: {}", error.to_string().trim())))?;
    profile
        .check()
        .map_err(|error| bad(format!("{name}: {error}")))?;
    Ok((profile, text))
}

/// The files of a profile's sink stand beside the profile; nodes are told where that is. What is wrong with them is
/// said here, before anything is written or started.
fn place_sink(profile: &mut Profile, path: Option<&Path>) -> Result<(), Failure> {
    let Some(sink) = &mut profile.sink else {
        return Ok(());
    };
    let base = base(path)?;
    resolve_sink(sink, &base);
    let opened = guitai_sink::Store::open(sink);
    opened.map_err(|error| Failure::from_error(Code::BadProfile, &error))?;
    Ok(())
}

/// The directory that paths of a profile are relative to; of the profile that ships, the present one.
fn base(path: Option<&Path>) -> Result<PathBuf, Failure> {
    let file = path.unwrap_or_else(|| Path::new("profile.toml"));
    // A bare name has an empty parent, and an empty path is none.
    let file = std::path::absolute(file).map_err(|error| internal(&error))?;
    Ok(file
        .parent()
        .map_or_else(|| PathBuf::from("/"), Path::to_owned))
}

/// Like [`place_sink`], for the certificates of doors.
fn place_tls(profile: &mut Profile, path: Option<&Path>) -> Result<(), Failure> {
    let base = base(path)?;
    let policy = profile.crypto.policy;
    for tls in profile
        .nodes
        .iter_mut()
        .filter_map(|node| node.tls.as_mut())
    {
        resolve_tls(tls, &base);
        check_certificate(tls, policy)?;
    }
    Ok(())
}

/// Whether two profiles are the same but for sink, sandbox, and TLS and limits of doors, which may change while a
/// deployment lives.
fn is_same(one: &Profile, other: &Profile) -> bool {
    let plain = |node: &Node| Node {
        tls: None,
        ..node.clone()
    };
    let without = |profile: &Profile| Profile {
        sink: None,
        sandbox: SandboxMode::default(),
        nodes: profile.nodes.iter().map(plain).collect(),
        door_limits: DoorLimits::default(),
        ..profile.clone()
    };
    without(one) == without(other)
}

impl Deployment {
    /// Opens the data directory: founds a deployment in an empty one, resumes the same one, refuses another.
    /// Ports are probed by `free` before anything is written.
    pub(crate) fn open(
        data: &Path,
        profile_path: Option<&Path>,
        now_unix: u64,
        free: impl FnOnce(&Profile) -> Result<(), Failure>,
    ) -> Result<Self, Failure> {
        let (mut profile, text) = read_profile(profile_path)?;
        place_sink(&mut profile, profile_path)?;
        place_tls(&mut profile, profile_path)?;
        let logins_and_lock = if data.join(CLUSTER_FILE).is_file() {
            let (old, _) = read_profile(Some(&data.join("profile.toml")))?;
            if !is_same(&old, &profile) {
                return Err(foreign(
                    data,
                    "was founded with another profile (see its profile.toml)",
                ));
            }
            let lock = lock(data)?;
            free(&profile)?;
            take_over_old_keys(data, &profile, now_unix)?;
            founding::set_changeable(data, &profile, &text).map_err(|error| internal(&error))?;
            let cluster = cluster(&profile).map_err(|error| internal(&error))?;
            founding::replace(&data.join(CLUSTER_FILE), &cluster)
                .map_err(|error| internal(&error))?;
            let text = std::fs::read_to_string(data.join(LOGIN_FILE)).map_err(|e| internal(&e))?;
            (
                serde_json::from_str(&text).map_err(|error| internal(&error))?,
                lock,
                true,
            )
        } else {
            if data.exists() && !is_empty(data)? {
                return Err(foreign(data, "is not empty and holds no deployment"));
            }
            free(&profile)?;
            let flows = matrix(&profile, profile_path, now_unix)?;
            let (logins, lock) = found(data, &profile, &text, &flows, now_unix)?;
            (logins, lock, false)
        };
        let (logins, lock, resumed) = logins_and_lock;
        Ok(Self {
            data: data.to_owned(),
            profile,
            logins,
            resumed,
            _lock: lock,
        })
    }

    /// Who asks this deployment's doors, wherever their names lead: for each its address, and trust in what it shows.
    pub(crate) fn http(&self) -> Result<reqwest::ClientBuilder, Failure> {
        let mut http = reqwest::Client::builder().no_proxy();
        let mut trusted = Vec::new();
        for node in &self.profile.nodes {
            let Some(tls) = &node.tls else { continue };
            http = http.resolve(tls.origin.host(), node.door);
            let read = std::fs::read(&tls.certificate);
            trusted.extend(read.map_err(|error| internal(&error))?);
        }
        if !trusted.is_empty() {
            let national = self.profile.crypto.policy == CryptoPolicy::Strict;
            let trusting = guitai_crypto::tls::web_client(&trusted, national);
            let trusting =
                trusting.map_err(|error| Failure::from_error(Code::BadProfile, &error))?;
            http = http.use_preconfigured_tls(trusting);
        }
        Ok(http)
    }

    /// HTTP addresses of the edges' doors.
    pub(crate) fn edges(&self) -> Vec<url::Url> {
        urls(&self.profile, Role::Edge)
    }

    /// HTTP addresses of the inner doors.
    pub(crate) fn cores(&self) -> Vec<url::Url> {
        urls(&self.profile, Role::Core)
    }
}

/// The flow matrix that a profile names, which must cover the deployment.
fn matrix(profile: &Profile, path: Option<&Path>, now_unix: u64) -> Result<Flows, Failure> {
    let base = path
        .and_then(Path::parent)
        .unwrap_or_else(|| Path::new("."));
    let file = profile.flow_matrix.as_ref().map(|file| base.join(file));
    let flows = Flows::read(file.as_deref())?;
    let today = Date::of(UnixMillis(now_unix.saturating_mul(1_000)));
    flows.cover(profile, today)?;
    Ok(flows)
}

/// Founds beside the directory and renames: a deployment either is there whole or is not there.
fn found(
    data: &Path,
    profile: &Profile,
    text: &str,
    flows: &Flows,
    now_unix: u64,
) -> Result<(LoginFile, File), Failure> {
    let mut staged = data.as_os_str().to_owned();
    staged.push(".founding");
    let staged = PathBuf::from(staged);
    if staged.exists() {
        std::fs::remove_dir_all(&staged).map_err(|error| internal(&error))?;
    }
    founding::make_dir(&staged).map_err(|error| internal(&error))?;
    let lock = lock(&staged)?;
    let founded =
        founding::found(profile, flows, &staged, now_unix).map_err(|error| internal(&error))?;
    let logins = serde_json::to_vec_pretty(&founded.logins).map_err(|error| internal(&error))?;
    let cluster = cluster(profile).map_err(|error| internal(&error))?;
    let written = founding::write_secret(&staged.join(LOGIN_FILE), &logins)
        .and_then(|()| founding::write(&staged.join("profile.toml"), text.as_bytes()))
        .and_then(|()| founding::write(&staged.join(CLUSTER_FILE), &cluster));
    written.map_err(|error| internal(&error))?;
    std::fs::rename(&staged, data).map_err(|error| internal(&error))?;
    Ok((founded.logins, lock))
}

/// What tells the CLI where the doors are.
fn cluster(profile: &Profile) -> Result<Vec<u8>, serde_json::Error> {
    serde_json::to_vec_pretty(&Cluster {
        edges: urls(profile, Role::Edge),
        cores: urls(profile, Role::Core),
        login_file: Some(LOGIN_FILE.into()),
    })
}

/// A data directory of the release before has its keys in plain: they go into key stores now.
fn take_over_old_keys(data: &Path, profile: &Profile, now_unix: u64) -> Result<(), Failure> {
    let seats: Vec<Seat> = profile.nodes.iter().map(Seat::of).collect();
    let changed = migrate(data, &seats, now_unix)
        .map_err(|error| Failure::from_error(Code::KeysRefused, &error))?;
    if changed {
        tracing::info!("the keys of the release before are in key stores now");
    }
    Ok(())
}

fn urls(profile: &Profile, role: Role) -> Vec<url::Url> {
    let nodes = profile
        .nodes
        .iter()
        .filter(|node| node.roles.contains(&role));
    nodes.filter_map(|node| url(node).parse().ok()).collect()
}

/// Where a browser asks for a node's pages.
fn url(node: &Node) -> String {
    match &node.tls {
        Some(tls) => tls.origin.to_string(),
        None => format!("http://{}", node.door),
    }
}

fn lock(data: &Path) -> Result<File, Failure> {
    let path = data.join("lock");
    let file = std::fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .open(&path);
    let file = file.map_err(|error| internal(&error))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(std::fs::TryLockError::WouldBlock) => {
            Err(foreign(data, "is used by a running guitai up"))
        }
        Err(std::fs::TryLockError::Error(error)) => Err(internal(&error)),
    }
}

fn is_empty(dir: &Path) -> Result<bool, Failure> {
    let mut entries = std::fs::read_dir(dir).map_err(|error| internal(&error))?;
    Ok(entries.next().is_none())
}

fn foreign(data: &Path, why: &str) -> Failure {
    Failure::new(Code::ForeignData, format!("{} {why}", data.display()))
}

fn internal(error: &(dyn std::error::Error + 'static)) -> Failure {
    Failure::from_error(Code::Internal, error)
}
