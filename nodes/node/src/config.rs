//! One node's configuration: read once, whole, and refused early. Written by `up` or the installer,
//! never by hand; relative paths are relative to the file.

use std::{
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
};

use guitai_types::{
    Centre, City, ClusterId, Member, NodeName, Role, Zone,
    door::DoorLimits,
    message::MessageRules,
    origin::Origin,
    profile::{Crypto, DoorTls, Films, Raft, SCHEMA},
    sandbox::SandboxMode,
    sink::{Sink, SinkError},
};
use serde::{Deserialize, Serialize};

/// What a node needs to know before it knows anything.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct NodeConfig {
    /// Format version.
    pub(crate) schema: u32,
    /// The cluster this node belongs to.
    pub(crate) cluster: ClusterId,
    /// Whether the kernel holds it to what its roles do.
    #[serde(default, skip_serializing_if = "SandboxMode::is_default")]
    pub(crate) sandbox: SandboxMode,
    /// Itself.
    pub(crate) member: Member,
    /// Its city and centre, for what it shows before metadata is there.
    pub(crate) centre: Centre,
    /// The city of that centre.
    pub(crate) city: City,
    /// Raft timers of the cluster.
    pub(crate) raft: Raft,
    /// What the deployment demands of its cryptography.
    #[serde(default)]
    pub(crate) crypto: Crypto,
    /// Where it makes films, and with what.
    #[serde(default)]
    pub(crate) films: Films,
    /// What texts and files between customer and agent are held to.
    #[serde(default)]
    pub(crate) guard: MessageRules,
    /// How much the door of an edge takes from strangers; of no meaning elsewhere.
    #[serde(default, skip_serializing_if = "DoorLimits::is_default")]
    pub(crate) door_limits: DoorLimits,
    /// Other nodes to start from. Empty on an edge: it dials nobody and knows no inner address.
    pub(crate) peers: Vec<Member>,
    /// Files.
    pub(crate) files: Files,
    /// Its key store; a configuration of the release before does not say where.
    #[serde(default)]
    pub(crate) keys: Keys,
    /// Where its recordings are put besides; recorders only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) sink: Option<Sink>,
    /// TLS of its door's TCP port; without it pages are served in plain, on loopback only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) tls: Option<DoorTls>,
    /// What browsers call the doors that have TLS, for the list that inner nodes make; an edge is told.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) origins: BTreeMap<NodeName, Origin>,
}

/// A node's key store.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Keys {
    /// Its directory.
    pub(crate) dir: PathBuf,
    /// File of mode 600 with the passphrase of the root key, unless `GUITAI_ROOT_PASSPHRASE_FILE` or a
    /// systemd credential names one.
    pub(crate) passphrase_file: PathBuf,
}

impl Default for Keys {
    fn default() -> Self {
        Self {
            dir: PathBuf::from(guitai_cli::keys::KEYS_DIR),
            passphrase_file: PathBuf::from(guitai_cli::keys::PASSPHRASE_FILE),
        }
    }
}

/// Files of a node.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Files {
    /// Trusted root certificate.
    pub(crate) root: PathBuf,
    /// Own certificate chain.
    pub(crate) identity: PathBuf,
    /// Own key.
    pub(crate) identity_key: PathBuf,
    /// Revocation list, looked at while the node runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) crl: Option<PathBuf>,
    /// Key that opens the media keys of sessions; recorders only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) media_key: Option<PathBuf>,
    /// Public half of the key that signs tokens.
    pub(crate) token_public: PathBuf,
    /// Secret half; inner nodes only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) token_secret: Option<PathBuf>,
    /// Plain key-encryption key of the release before; read for its data directories, never written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) kek: Option<PathBuf>,
    /// Certificate chain and key that sign evidence; recorders only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) seal: Option<SignerFiles>,
    /// Certificate chain and key of the time stamp authority; core nodes only. A configuration of the release
    /// before has none, and this node then stamps nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) tsa: Option<SignerFiles>,
    /// Keys of the cluster's transparency log; core nodes only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) log: Option<LogFiles>,
    /// Its copy of the flow matrix; a directory of the release before has none and lives by the one that ships.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) flows: Option<PathBuf>,
    /// Where the node keeps data; none on an edge, which writes nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) data: Option<PathBuf>,
    /// The first log entry; only on the node that founds the cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) foundation: Option<PathBuf>,
}

/// Files of the transparency log.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct LogFiles {
    /// The log's key, the same on every core node.
    pub(crate) key: PathBuf,
    /// The key of the centre's witness, where this node is it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) witness: Option<PathBuf>,
    /// Whom readers believe: the public halves.
    pub(crate) trust: PathBuf,
}

/// Files of somebody who signs documents: the evidence seal, the time stamp authority.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SignerFiles {
    /// Certificate chain.
    pub(crate) chain: PathBuf,
    /// Key.
    pub(crate) key: PathBuf,
}

/// Why a node configuration is refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum ConfigError {
    #[error("cannot read {path}")]
    Read {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("{path} is not a node configuration")]
    Parse {
        path: PathBuf,
        #[source]
        source: Box<toml::de::Error>,
    },
    #[error("{path}: {why}")]
    Rule { path: PathBuf, why: &'static str },
    #[error("{path}: {why}")]
    Sink { path: PathBuf, why: SinkError },
}

impl NodeConfig {
    /// Reads and checks a configuration; binds nothing.
    pub(crate) fn load(path: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path).map_err(|source| ConfigError::Read {
            path: path.to_owned(),
            source,
        })?;
        let mut config: Self = toml::from_str(&text).map_err(|source| ConfigError::Parse {
            path: path.to_owned(),
            source: Box::new(source),
        })?;
        config.check().map_err(|why| ConfigError::Rule {
            path: path.to_owned(),
            why,
        })?;
        let base = path.parent().unwrap_or_else(|| Path::new("."));
        if let Some(sink) = &mut config.sink {
            sink.check().map_err(|why| ConfigError::Sink {
                path: path.to_owned(),
                why,
            })?;
            resolve_sink(sink, base);
        }
        config.tls.iter_mut().for_each(|tls| resolve_tls(tls, base));
        config.files.resolve(base);
        config.keys.dir = base.join(&config.keys.dir);
        config.keys.passphrase_file = base.join(&config.keys.passphrase_file);
        Ok(config)
    }

    fn check(&self) -> Result<(), &'static str> {
        if self.schema != SCHEMA {
            return Err("another schema than this release reads");
        }
        let edge = self.member.has(Role::Edge);
        if edge != (self.member.zone == Zone::Dmz) {
            return Err("an edge stands in the dmz, and nothing else does");
        }
        let files = &self.files;
        let knows_inside = !self.peers.is_empty()
            || files.token_secret.is_some()
            || files.kek.is_some()
            || files.media_key.is_some()
            || files.data.is_some()
            || files.log.is_some()
            || files.tsa.is_some()
            || files.foundation.is_some();
        if edge && knows_inside {
            return Err("an edge has no peers, no secret but its own key, and no data directory");
        }
        if !edge && (files.token_secret.is_none() || files.data.is_none()) {
            return Err("an inner node needs token_secret and data");
        }
        if self.member.has(Role::Recorder) && files.seal.is_none() {
            return Err("a recorder needs seal");
        }
        if self.sink.is_some() && !self.member.has(Role::Recorder) {
            return Err("only a recorder has a sink: [sink] has no place here");
        }
        if files.tsa.is_some() && !self.member.has(Role::Core) {
            return Err(
                "only a core node is a time stamp authority: [files.tsa] has no place here",
            );
        }
        if edge && !self.origins.is_empty() {
            return Err("an edge makes no list of doors: [origins] has no place here");
        }
        if !self.member.door.ip().is_loopback() && self.tls.is_none() {
            return Err(
                "pages are served in plain on loopback addresses only: give the door a certificate ([tls]), or put the bank's TLS gateway in front",
            );
        }
        Ok(())
    }
}

/// Makes the files of a door's TLS stand where they do relative to `base`.
pub(crate) fn resolve_tls(tls: &mut DoorTls, base: &Path) {
    tls.certificate = base.join(&tls.certificate);
    tls.key = base.join(&tls.key);
}

/// Makes the files of a sink stand where they do relative to `base`.
pub(crate) fn resolve_sink(sink: &mut Sink, base: &Path) {
    sink.credentials_file = base.join(&sink.credentials_file);
    if let Some(ca) = &mut sink.ca_file {
        *ca = base.join(&*ca);
    }
}

impl Files {
    fn resolve(&mut self, base: &Path) {
        let at = |path: &mut PathBuf| *path = base.join(&*path);
        at(&mut self.root);
        at(&mut self.identity);
        at(&mut self.identity_key);
        at(&mut self.token_public);
        self.token_secret.iter_mut().for_each(at);
        self.crl.iter_mut().for_each(at);
        self.media_key.iter_mut().for_each(at);
        self.kek.iter_mut().for_each(at);
        self.flows.iter_mut().for_each(at);
        self.data.iter_mut().for_each(at);
        self.foundation.iter_mut().for_each(at);
        if let Some(log) = &mut self.log {
            at(&mut log.key);
            log.witness.iter_mut().for_each(at);
            at(&mut log.trust);
        }
        for signer in [&mut self.seal, &mut self.tsa].into_iter().flatten() {
            at(&mut signer.chain);
            at(&mut signer.key);
        }
    }
}
