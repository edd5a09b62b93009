//! The sandbox of this process: made of its configuration, entered before the first thread, sealed on an edge when it
//! serves.

use std::{
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use guitai_api::SandboxSource;
use guitai_crypto::keys::KeyStore;
use guitai_host::{SystemDisk, own_written};
use guitai_sandbox::{Edge, Inner, Rules};
use guitai_types::{
    Code, NodeName, Role, Zone,
    sandbox::{NodeSandbox, ProtectionRow, SandboxMode, SandboxState, Standing, WRITTEN_FILES_MAX},
};

use crate::{config::NodeConfig, exit::Failure, keys};

/// Where the resolver asks when an answer is too long for UDP.
const DNS: u16 = 53;

/// What this process was held to. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Sandbox {
    node: NodeName,
    zone: Zone,
    mode: SandboxMode,
    rows: Arc<Mutex<Vec<ProtectionRow>>>,
}

impl Sandbox {
    /// Gives up, for good, what the node's roles do not need. No thread may run yet.
    ///
    /// # Errors
    /// GT-0606 where all of it is required and something is missing.
    pub(crate) fn enter(config: &NodeConfig, keys: &KeyStore) -> Result<Self, Failure> {
        let rules = rules(config, keys);
        let rows = guitai_sandbox::enter(&rules, config.sandbox);
        let sandbox = Self {
            node: config.member.name.clone(),
            zone: config.member.zone,
            mode: config.sandbox,
            rows: Arc::new(Mutex::new(rows)),
        };
        sandbox.required()?;
        if !rules.seals {
            sandbox.say();
        }
        Ok(sandbox)
    }

    /// Gives up everything but serving: every socket of an edge is open, every file read.
    ///
    /// # Errors
    /// Like [`Self::enter`].
    pub(crate) fn seal(&self) -> Result<(), Failure> {
        let row = guitai_sandbox::seal(self.mode);
        let mut rows = self.rows.lock().unwrap_or_else(PoisonError::into_inner);
        rows.retain(|before| before.protection != row.protection);
        rows.push(row);
        drop(rows);
        self.required()?;
        self.say();
        Ok(())
    }

    /// Says it to whoever asks this node.
    pub(crate) fn source(&self) -> SandboxSource {
        let sandbox = self.clone();
        Arc::new(move || sandbox.view())
    }

    fn view(&self) -> NodeSandbox {
        let rows = self.rows.lock().unwrap_or_else(PoisonError::into_inner);
        NodeSandbox {
            node: self.node.clone(),
            zone: self.zone,
            mode: self.mode,
            rows: rows.clone(),
            written: written(),
        }
    }

    fn required(&self) -> Result<(), Failure> {
        lacks(&self.view()).map_or(Ok(()), |row| {
            let detail = format!("{}: {}", row.protection.words().1, row.why.en);
            Err(Failure::new(Code::SandboxMissing, detail))
        })
    }

    /// One line for the whole, and one for each thing that is not in force.
    fn say(&self) {
        let view = self.view();
        let (state, mode) = (view.state(), view.mode.as_str());
        match state {
            SandboxState::Whole => tracing::info!(state = state.as_str(), mode, "sandbox"),
            _ => tracing::warn!(state = state.as_str(), mode, "sandbox"),
        }
        for row in &view.rows {
            let (what, why) = (row.protection.words().1, row.why.en.as_str());
            match row.standing {
                Standing::InForce => tracing::info!(what, why, "sandbox: in force"),
                standing => {
                    tracing::warn!(
                        what,
                        standing = standing.words().1,
                        why,
                        "sandbox: not in force"
                    );
                }
            }
        }
    }
}

/// What is open for writing; a kernel that cannot be asked says that, too.
fn written() -> Vec<String> {
    match own_written() {
        Ok(files) => {
            let files = files.into_iter().take(WRITTEN_FILES_MAX);
            files.map(|file| file.display().to_string()).collect()
        }
        Err(error) => vec![format!("? {error}")],
    }
}

/// The first thing that is required and not in force.
fn lacks(sandbox: &NodeSandbox) -> Option<&ProtectionRow> {
    let required = sandbox.mode == SandboxMode::Require;
    let mut rows = sandbox.rows.iter();
    rows.find(|row| required && row.standing != Standing::InForce)
}

fn rules(config: &NodeConfig, keys: &KeyStore) -> Rules {
    let files = &config.files;
    let dir = parent(&files.identity_key);
    let foreign = is_foreign(&dir);
    let door = config.member.door.port();
    // Files that are replaced by others of the same name while the node runs: the rule is of their directory.
    let tls = config
        .tls
        .iter()
        .flat_map(|tls| [&tls.certificate, &tls.key]);
    let looked_at = [Some(&files.identity), files.crl.as_ref()];
    let looked_at = looked_at.into_iter().flatten().chain(tls);
    let looked_at = looked_at.map(|path| parent(path));
    if config.member.has(Role::Edge) {
        let own = [dir, config.keys.dir.clone()].into_iter().chain(looked_at);
        let own = own.chain([files.root.clone(), files.token_public.clone()]);
        let own = distinct(own);
        return guitai_sandbox::edge(Edge { own, door, foreign });
    }
    let mut own = vec![dir, config.keys.dir.clone()];
    own.extend(files.flows.as_deref().map(parent));
    let made = files.data.iter().chain(&config.films.work);
    own.extend(made.map(|dir| {
        make(dir);
        dir.clone()
    }));
    let signers = [&files.seal, &files.tsa].into_iter().flatten();
    let mut read: Vec<PathBuf> = signers.map(|signer| parent(&signer.chain)).collect();
    read.extend(looked_at);
    read.extend([files.root.clone(), files.token_public.clone()]);
    read.extend(files.token_secret.clone());
    read.extend(files.foundation.clone());
    read.extend(files.media_key.as_deref().map(parent));
    read.extend(config.films.font.clone());
    read.push(keys::passphrase(config));
    // Its own program, which it measures.
    read.extend(std::env::current_exe());
    if let Some(log) = &files.log {
        read.extend([&log.key, &log.trust].map(|path| parent(path)));
    }
    let mut sink = Vec::new();
    if let Some(wanted) = &config.sink {
        read.push(parent(&wanted.credentials_file));
        read.extend(wanted.ca_file.clone());
        sink.extend(wanted.endpoint().map(|endpoint| endpoint.port));
        sink.push(DNS);
    }
    let programs = std::env::var_os("PATH").unwrap_or_default();
    let programs = std::env::split_paths(&programs).filter(|dir| dir.is_absolute());
    let makes_films = config.member.has(Role::Recorder);
    guitai_sandbox::inner(Inner {
        own: distinct(own),
        files: distinct(read),
        programs: distinct(programs.filter(|_| makes_films)),
        door,
        sink,
        device: keys.device().backend != "file",
        foreign,
    })
}

fn parent(path: &Path) -> PathBuf {
    let parent = path.parent().filter(|dir| !dir.as_os_str().is_empty());
    parent.unwrap_or_else(|| Path::new(".")).to_owned()
}

/// A directory that the node would make: what is not there cannot be named in a rule. Where it cannot be made, whoever
/// wants to write there says so.
fn make(dir: &Path) {
    if let Err(error) = SystemDisk::new(dir) {
        tracing::warn!(dir = %dir.display(), %error, "a directory cannot be made");
    }
}

/// Whether it belongs to another user, as it does where somebody started a node of theirs as root.
fn is_foreign(dir: &Path) -> bool {
    let owner = std::fs::metadata(dir).map(|it| it.uid());
    let own = std::fs::metadata("/proc/self").map(|it| it.uid());
    matches!((owner, own), (Ok(owner), Ok(own)) if owner != own)
}

fn distinct(paths: impl IntoIterator<Item = PathBuf>) -> Vec<PathBuf> {
    let mut seen = Vec::new();
    for path in paths {
        if !seen.contains(&path) {
            seen.push(path);
        }
    }
    seen
}

#[cfg(test)]
mod tests {
    use guitai_types::{place::Text, sandbox::Protection};

    use super::*;

    #[test]
    fn only_where_all_is_required_something_missing_stops_a_node() {
        let row = |standing| ProtectionRow {
            protection: Protection::Tcp,
            standing,
            why: Text::default(),
        };
        let of = |mode, standing| NodeSandbox {
            node: "edge-a".parse().unwrap(),
            zone: Zone::Dmz,
            mode,
            rows: vec![row(Standing::InForce), row(standing)],
            written: Vec::new(),
        };
        use SandboxMode::{Enforce, Off, Report, Require};
        for standing in [Standing::Partly, Standing::Missing, Standing::Off] {
            assert!(lacks(&of(Require, standing)).is_some());
            for mode in [Enforce, Report, Off] {
                assert!(lacks(&of(mode, standing)).is_none());
            }
        }
        assert!(lacks(&of(Require, Standing::InForce)).is_none());
    }
}
