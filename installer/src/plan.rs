//! From what is wanted and what is there to steps. Reads the host, changes nothing.

use std::{
    io,
    path::{Path, PathBuf},
};

use guitai_crypto::sm3;
use guitai_types::Hex;

use crate::step::{Action, Step};

/// Files of a founded node's directory that are secret.
const SECRET: &[&str] = &[
    "identity.key.pem",
    "token.key.pem",
    "media.key.pem",
    "root-passphrase",
    "seal.key.pem",
    "tsa.key.pem",
    "foundation.json",
];
/// The key store. Copied once: on the host it is rotated, and an old copy must never come back over it.
const KEYS: &[&str] = &["keys/root", "keys/ring"];
/// Files of a founded node's directory that are not.
const PUBLIC: &[&str] = &[
    "identity.pem",
    "root.pem",
    "crl.pem",
    "token.pub",
    "seal.pem",
    "tsa.pem",
    "node.toml",
];

/// What is to be installed.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// The `guitai` binary.
    pub binary: PathBuf,
    /// A founded node's directory: `node.toml` and the files it names.
    pub node_dir: PathBuf,
    /// Root of the host's file system; another directory for a trial.
    pub root: PathBuf,
}

/// What the host is like.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Facts {
    /// systemd's major version; `None` where there is no systemd.
    pub systemd: Option<u32>,
}

/// Why no plan can be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PlanError {
    /// A file to be installed cannot be read.
    #[error("cannot read {path}")]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The directory is not a founded node's.
    #[error("{path} holds no node.toml: it is not a founded node's directory")]
    NoNode {
        /// Which.
        path: PathBuf,
    },
}

/// Steps that bring the host from what it is to what is wanted; none for what already is so.
///
/// # Errors
/// When something to be installed cannot be read.
pub fn plan(wanted: &Wanted, facts: &Facts) -> Result<Vec<Step>, PlanError> {
    if !wanted.node_dir.join("node.toml").is_file() {
        return Err(PlanError::NoNode {
            path: wanted.node_dir.clone(),
        });
    }
    let at = |path: &str| wanted.root.join(path);
    let mut steps = Vec::new();
    for (path, mode) in [
        ("opt/guitai/bin", 0o755),
        ("etc/guitai", 0o700),
        ("var/lib/guitai", 0o700),
    ] {
        make_dirs(&mut steps, &wanted.root, path, mode);
    }
    let program = at("opt/guitai/bin/guitai");
    copy(
        &mut steps,
        &wanted.binary,
        program,
        0o755,
        "程序 / the program",
    )?;
    for name in PUBLIC
        .iter()
        .filter(|name| wanted.node_dir.join(name).is_file())
    {
        let to = at("etc/guitai").join(name);
        copy(
            &mut steps,
            &wanted.node_dir.join(name),
            to,
            0o644,
            "节点配置与证书 / configuration and certificates",
        )?;
    }
    for name in SECRET
        .iter()
        .filter(|name| wanted.node_dir.join(name).is_file())
    {
        let to = at("etc/guitai").join(name);
        copy(
            &mut steps,
            &wanted.node_dir.join(name),
            to,
            0o600,
            "节点密钥 / the node's secrets",
        )?;
    }
    let keys = KEYS
        .iter()
        .filter(|name| wanted.node_dir.join(name).is_file());
    let keys: Vec<_> = keys.collect();
    if !keys.is_empty() && !at("etc/guitai/keys/ring").exists() {
        make_dirs(&mut steps, &wanted.root, "etc/guitai/keys", 0o700);
        for name in keys {
            let to = at("etc/guitai").join(name);
            copy(
                &mut steps,
                &wanted.node_dir.join(name),
                to,
                0o600,
                "节点密钥库 / the node's key store",
            )?;
        }
    }
    if let Some(version) = facts.systemd {
        make_dirs(&mut steps, &wanted.root, "etc/systemd/system", 0o755);
        write(
            &mut steps,
            at("etc/systemd/system/guitai.service"),
            unit(version),
            "服务单元 / the service unit",
        );
    }
    Ok(steps)
}

fn make_dirs(steps: &mut Vec<Step>, root: &Path, path: &str, mode: u32) {
    let mut whole = root.to_owned();
    for part in Path::new(path) {
        whole.push(part);
        let planned = steps.iter().any(|step| step.target() == &whole);
        if planned || whole.is_dir() {
            continue;
        }
        let last = whole == root.join(path);
        let action = Action::MakeDir {
            path: whole.clone(),
            mode: if last { mode } else { 0o755 },
        };
        steps.push(Step {
            action,
            why: "目录 / directory".to_owned(),
        });
    }
}

fn copy(
    steps: &mut Vec<Step>,
    from: &Path,
    to: PathBuf,
    mode: u32,
    why: &str,
) -> Result<(), PlanError> {
    let bytes = std::fs::read(from).map_err(|source| PlanError::Read {
        path: from.to_owned(),
        source,
    })?;
    let wanted = sm3::hash(&bytes);
    let there = std::fs::read(&to).is_ok_and(|present| sm3::hash(&present) == wanted);
    if !there {
        let sm3 = Hex(wanted.to_vec()).to_string();
        let action = Action::CopyFile {
            from: from.to_owned(),
            to,
            mode,
            sm3,
        };
        steps.push(Step {
            action,
            why: why.to_owned(),
        });
    }
    Ok(())
}

fn write(steps: &mut Vec<Step>, to: PathBuf, text: String, why: &str) {
    let there = std::fs::read_to_string(&to).is_ok_and(|present| present == text);
    if !there {
        steps.push(Step {
            action: Action::WriteFile {
                to,
                text,
                mode: 0o644,
            },
            why: why.to_owned(),
        });
    }
}

/// The unit. `ProtectSystem=strict` and the like exist since 232; older ones get what they know.
fn unit(systemd: u32) -> String {
    let mut unit = String::from(
        "[Unit]\nDescription=Guitai node\nAfter=network-online.target\nWants=network-online.target\n\n\
         [Service]\nExecStart=/opt/guitai/bin/guitai run --config /etc/guitai/node.toml\n\
         Restart=always\nRestartSec=1\nLimitNOFILE=65536\nNoNewPrivileges=yes\nPrivateTmp=yes\n",
    );
    if systemd >= 232 {
        unit.push_str("ProtectSystem=strict\nReadWritePaths=/etc/guitai\nProtectHome=yes\n");
    }
    unit.push_str("\n[Install]\nWantedBy=multi-user.target\n");
    unit
}
