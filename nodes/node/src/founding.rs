//! Founding a deployment: the root key, every node's identity, and one directory per node that holds
//! what that node may know and nothing else.

use std::{
    collections::BTreeMap,
    io,
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use crate::{
    config::{Files, Keys, LogFiles, NodeConfig, SignerFiles},
    flows::{self, Flows},
};
use guitai_cli::{
    Account, LoginFile,
    keys::{Seat, demo_passphrase, found as found_keys},
    pki::{Directory, Entry, Holder, Install, Kind, Order, PkiError},
};
use guitai_crypto::{
    keys::{Cost, KeyStore, OfficerKey, Passphrase, PlaceError, StoreError},
    random, sm2, x509,
};
use guitai_tlog::{Digest, Party, Signer};
use guitai_types::{
    ClusterId, Hex, Member, NodeId, NodeName, Role, Voice, Zone,
    command::Command,
    origin::Origin,
    profile::{DoorTls, Node, Profile, StaffSeed},
    record::{Duty, Staff},
    tlog::{LogTrust, LogWitness, TreeKeys},
};

/// Root certificate: a laboratory root; a bank's own CA replaces it.
const ROOT_DAYS: u32 = 3650;
/// Seal certificates; a package holds the one it was sealed with.
const SEAL_DAYS: u32 = 825;
/// Certificates of time stamp authorities, likewise.
const TSA_DAYS: u32 = 825;
/// The deployment's PKI directory below its data.
pub(crate) const PKI_DIR: &str = "pki";
/// Where the officers' own keys are left for them, below its data.
const OFFICERS_DIR: &str = "officers";

/// What was founded.
pub(crate) struct Founded {
    pub(crate) logins: LoginFile,
}

/// Why a deployment could not be founded.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum FoundError {
    #[error("cannot write {path}")]
    Write {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("cannot make the certificates")]
    Pki(#[from] PkiError),
    #[error("cannot make the key stores")]
    Keys(#[from] StoreError),
    #[error("cannot write an officer's key")]
    OfficerKey(#[from] PlaceError),
    #[error("cannot make the keys of the transparency log: {0}")]
    LogKey(String),
    #[error("cannot hash a password: {0}")]
    Password(String),
    #[error("cannot write a configuration")]
    Toml(#[from] toml::ser::Error),
    #[error("cannot read a node's configuration")]
    Parse(#[from] toml::de::Error),
    #[error("cannot write the foundation")]
    Json(#[from] serde_json::Error),
}

/// Makes everything under `data` that a first start needs.
pub(crate) fn found(
    profile: &Profile,
    flows: &Flows,
    data: &Path,
    now_unix: u64,
) -> Result<Founded, FoundError> {
    let cluster = ClusterId::from_random(random::array::<16>());
    let mut pki = Pki::create(data, &cluster, now_unix)?;

    let seats: Vec<Seat> = profile.nodes.iter().map(Seat::of).collect();
    for seat in &seats {
        make_dir(&data.join(&seat.name))?;
    }
    let stores = found_keys(data, &seats, now_unix)?;

    let mut members = Vec::new();
    for (node, keys) in profile.nodes.iter().zip(&stores) {
        let dir = data.join(node.name.as_str());
        let key = pki.node_identity(node, profile.crypto.node_certificate_days, &dir, keys)?;
        if node.roles.contains(&Role::Recorder) {
            pki.node_seal(node, &dir, keys)?;
        }
        if node.roles.contains(&Role::Core) {
            pki.node_tsa(node, &dir, keys)?;
        }
        members.push(member(node, &key));
    }

    let mut accounts = Vec::new();
    let mut staff = Vec::new();
    for seed in &profile.staff {
        let (login, mut account) = staff_account(seed)?;
        if seed.duties.contains(&Duty::Officer) {
            account.approval_key = Some(officer_key(data, &login)?);
        }
        accounts.push(login);
        staff.push(account);
    }
    let foundation = Command::Found {
        cluster: cluster.clone(),
        cities: profile.cities.clone(),
        centres: profile.centres.clone(),
        members: members.clone(),
        institutions: profile.institutions.clone(),
        staff,
        policy: profile.policy.clone(),
    };
    let log = LogParties::draw(&cluster, &members)?;
    for (member, keys) in members.iter().zip(&stores) {
        log.write(member, &data.join(member.name.as_str()), keys)?;
    }
    let founder = founder(&members);
    for member in &members {
        let dir = data.join(member.name.as_str());
        if founder == Some(member.id) {
            write_secret(
                &dir.join("foundation.json"),
                &serde_json::to_vec(&foundation)?,
            )?;
        }
        let config = node_config(
            profile,
            &cluster,
            member,
            &members,
            founder == Some(member.id),
            log.files(member),
        );
        write(&dir.join(flows::FILE), flows.text.as_bytes())?;
        write(&dir.join("node.toml"), toml::to_string(&config)?.as_bytes())?;
    }
    Ok(Founded {
        logins: LoginFile { accounts },
    })
}

/// Tells the nodes of a deployment that was founded before what may change: where the recorders' sink is now, whether
/// there is a sandbox, which doors have TLS, and what doors take from strangers.
pub(crate) fn set_changeable(data: &Path, profile: &Profile, text: &str) -> Result<(), FoundError> {
    let mut is_other = false;
    for node in &profile.nodes {
        let path = data.join(node.name.as_str()).join("node.toml");
        let read = std::fs::read_to_string(&path);
        let read = read.map_err(|source| FoundError::Write {
            path: path.clone(),
            source,
        })?;
        let mut config: NodeConfig = toml::from_str(&read)?;
        let wanted = profile.sink.clone();
        let wanted = wanted.filter(|_| node.roles.contains(&Role::Recorder));
        let next = NodeConfig {
            sink: wanted,
            sandbox: profile.sandbox,
            tls: node.tls.clone(),
            door_limits: profile.door_limits.clone(),
            origins: origins(profile, node.zone == Zone::Dmz),
            ..config.clone()
        };
        let is_same = config.sink == next.sink
            && config.sandbox == next.sandbox
            && config.tls == next.tls
            && config.door_limits == next.door_limits
            && config.origins == next.origins;
        if !is_same {
            config = next;
            replace(&path, toml::to_string(&config)?.as_bytes())?;
            is_other = true;
        }
    }
    if is_other {
        replace(&data.join("profile.toml"), text.as_bytes())?;
    }
    Ok(())
}

/// Writes a file beside another and gives it that one's name: nobody reads half of it.
pub(crate) fn replace(path: &Path, content: &[u8]) -> Result<(), FoundError> {
    let next = path.with_added_extension("next");
    let failed = |source| FoundError::Write {
        path: path.to_owned(),
        source,
    };
    write(&next, content)?;
    std::fs::rename(&next, path).map_err(failed)
}

/// The voter with the lowest id founds the cluster.
fn founder(members: &[Member]) -> Option<NodeId> {
    members
        .iter()
        .filter(|m| m.voice == Voice::Voter)
        .map(|m| m.id)
        .min()
}

fn member(node: &Node, key: &sm2::PublicKey) -> Member {
    Member {
        id: node.id,
        name: node.name.clone(),
        centre: node.centre.clone(),
        zone: node.zone,
        roles: node.roles.clone(),
        voice: node.voice,
        mesh: node.mesh,
        door: node.door,
        public_key: Hex(key.to_point().to_vec()),
    }
}

fn node_config(
    profile: &Profile,
    cluster: &ClusterId,
    member: &Member,
    members: &[Member],
    founds: bool,
    log: Option<LogFiles>,
) -> NodeConfig {
    let edge = member.zone == Zone::Dmz;
    let recorder = member.has(Role::Recorder);
    let others = members.iter().filter(|other| other.id != member.id);
    let centre = profile
        .centres
        .iter()
        .find(|centre| centre.id == member.centre);
    let city = centre.and_then(|centre| profile.cities.iter().find(|city| city.id == centre.city));
    // A checked profile declares every centre it names and every centre's city.
    let (Some(centre), Some(city)) = (centre, city) else {
        unreachable!("the profile was checked before it was founded")
    };
    let file = |name: &str| PathBuf::from(name);
    NodeConfig {
        schema: guitai_types::profile::SCHEMA,
        cluster: cluster.clone(),
        sandbox: profile.sandbox,
        member: member.clone(),
        centre: centre.clone(),
        city: city.clone(),
        raft: profile.raft.clone(),
        crypto: profile.crypto.clone(),
        films: profile.films.clone(),
        guard: profile.guard.clone(),
        door_limits: profile.door_limits.clone(),
        peers: if edge {
            Vec::new()
        } else {
            others.cloned().collect()
        },
        files: Files {
            root: file("root.pem"),
            identity: file("identity.pem"),
            identity_key: file("identity.key.pem"),
            crl: Some(file("crl.pem")),
            media_key: recorder.then(|| file("media.key.pem")),
            token_public: file("token.pub"),
            token_secret: (!edge).then(|| file("token.key.pem")),
            kek: None,
            seal: recorder.then(|| SignerFiles {
                chain: file("seal.pem"),
                key: file("seal.key.pem"),
            }),
            tsa: member.has(Role::Core).then(|| SignerFiles {
                chain: file("tsa.pem"),
                key: file("tsa.key.pem"),
            }),
            log,
            flows: Some(file(flows::FILE)),
            data: (!edge).then(|| file("data")),
            foundation: founds.then(|| file("foundation.json")),
        },
        keys: Keys::default(),
        sink: profile.sink.clone().filter(|_| recorder),
        tls: tls_of(profile, &member.name),
        origins: origins(profile, edge),
    }
}

/// TLS of a node's door.
fn tls_of(profile: &Profile, node: &NodeName) -> Option<DoorTls> {
    let mut nodes = profile.nodes.iter();
    nodes.find(|one| one.name == *node)?.tls.clone()
}

/// What browsers call the doors that have TLS; an edge makes no list of them.
fn origins(profile: &Profile, edge: bool) -> BTreeMap<NodeName, Origin> {
    let nodes = profile.nodes.iter().filter(|_| !edge);
    nodes
        .filter_map(|node| Some((node.name.clone(), node.tls.as_ref()?.origin.clone())))
        .collect()
}

/// Who signs the transparency log: every core node as the log, and one of each centre as its witness.
struct LogParties {
    key: sm2::SecretKey,
    witnesses: BTreeMap<NodeId, sm2::SecretKey>,
    trust: LogTrust,
}

impl LogParties {
    fn draw(cluster: &ClusterId, members: &[Member]) -> Result<Self, FoundError> {
        let draw = |party, name: &str| {
            let key = sm2::SecretKey::generate();
            let signer = Signer::new(party, name, key.clone());
            let signer = signer.map_err(|error| FoundError::LogKey(error.to_string()))?;
            let keys = TreeKeys {
                sm3: signer.key(Digest::Sm3).to_string(),
                sha256: signer.key(Digest::Sha256).to_string(),
            };
            Ok::<_, FoundError>((key, keys))
        };
        let (key, log) = draw(Party::Log, &format!("log.{cluster}.guitai.internal"))?;
        // The core node with the lowest id of each centre.
        let mut first: BTreeMap<_, &Member> = BTreeMap::new();
        for member in members.iter().filter(|member| member.has(Role::Core)) {
            let known = first.entry(&member.centre).or_insert(member);
            if member.id < known.id {
                *known = member;
            }
        }
        let mut witnesses = BTreeMap::new();
        let mut trusted = Vec::new();
        for (centre, member) in first {
            let name = format!("{centre}.witness.{cluster}.guitai.internal");
            let (key, keys) = draw(Party::Witness, &name)?;
            witnesses.insert(member.id, key);
            trusted.push(LogWitness {
                node: member.name.clone(),
                centre: centre.clone(),
                keys,
            });
        }
        let trust = LogTrust {
            log,
            witnesses: trusted,
        };
        Ok(Self {
            key,
            witnesses,
            trust,
        })
    }

    /// Writes what a core node keeps of it.
    fn write(&self, member: &Member, dir: &Path, keys: &KeyStore) -> Result<(), FoundError> {
        let Some(files) = self.files(member) else {
            return Ok(());
        };
        let pem = self.key.to_pkcs8_pem();
        keys.write_key_file(&dir.join(&files.key), "log", pem.as_bytes())?;
        if let (Some(path), Some(key)) = (&files.witness, self.witnesses.get(&member.id)) {
            let pem = key.to_pkcs8_pem();
            keys.write_key_file(&dir.join(path), "witness", pem.as_bytes())?;
        }
        write(
            &dir.join(&files.trust),
            &serde_json::to_vec_pretty(&self.trust)?,
        )
    }

    fn files(&self, member: &Member) -> Option<LogFiles> {
        let is_witness = self.witnesses.contains_key(&member.id);
        member.has(Role::Core).then(|| LogFiles {
            key: "log.key.pem".into(),
            witness: is_witness.then(|| "witness.key.pem".into()),
            trust: "log-trust.json".into(),
        })
    }
}

/// The keys of a deployment while it is being founded.
struct Pki {
    directory: Directory,
    token: sm2::SecretKey,
    now_unix: u64,
}

impl Pki {
    fn create(data: &Path, cluster: &ClusterId, now_unix: u64) -> Result<Self, FoundError> {
        let dir = data.join(PKI_DIR);
        make_dir(&dir)?;
        demo_passphrase(&dir)?;
        let name = format!("Guitai {cluster} root");
        let directory = Directory::init(&dir, &name, cluster.as_str(), ROOT_DAYS, now_unix)?;
        Ok(Self {
            directory,
            token: sm2::SecretKey::generate(),
            now_unix,
        })
    }

    /// Issues a certificate and puts it and its key into the node's directory.
    fn issue(
        &mut self,
        node: &Node,
        kind: Kind,
        days: u32,
        dns_names: Vec<String>,
    ) -> Result<Entry, FoundError> {
        let (name, stem) = match kind {
            Kind::Seal => (format!("{}.seal", node.name), "seal"),
            Kind::Tsa => (format!("{}.tsa", node.name), "tsa"),
            _ => (node.name.to_string(), "identity"),
        };
        let order = Order {
            name,
            kind,
            holder: Holder {
                // The verifier asks that the signer is the recorder that the manifest names.
                common_name: node.name.to_string(),
                organization: self.directory.organization().to_owned(),
                dns_names,
            },
            days,
            dual: false,
            install: Some(Install {
                dir: Path::new("..").join(node.name.as_str()),
                stem: stem.to_owned(),
            }),
            renews: true,
        };
        let mut made = self.directory.issue(&order, self.now_unix)?;
        Ok(made.swap_remove(0)) // one for an order that is not dual
    }

    /// Writes what every node has: root, own identity, token keys as its zone allows; and for a
    /// recorder the key that opens media keys. The public key is the member's.
    fn node_identity(
        &mut self,
        node: &Node,
        days: u32,
        dir: &Path,
        keys: &KeyStore,
    ) -> Result<sm2::PublicKey, FoundError> {
        let san = format!("{}.{}.guitai.internal", node.name, node.zone);
        let entry = self.issue(node, Kind::Node, days, vec![san])?;
        keys.wrap_key_file(&dir.join("identity.key.pem"), "identity")?;
        let public = Hex(self.token.public().to_point().to_vec()).to_string();
        write(&dir.join("token.pub"), public.as_bytes())?;
        if node.zone == Zone::Inner {
            let token = self.token.to_pkcs8_pem();
            keys.write_key_file(&dir.join("token.key.pem"), "token", token.as_bytes())?;
        }
        if node.roles.contains(&Role::Recorder) {
            let media = sm2::SecretKey::generate();
            let pem = media.to_pkcs8_pem();
            keys.write_key_file(&dir.join("media.key.pem"), "media", pem.as_bytes())?;
            return Ok(media.public());
        }
        let pem = self.directory.certificate_pem(&entry)?;
        let chain = x509::certificates_from_pem(&pem).map_err(PkiError::from)?;
        let leaf = chain.first().ok_or(x509::PemError::Certificates);
        let leaf = leaf.map_err(PkiError::from)?;
        let leaf = x509::dangerous_read_unverified(leaf).map_err(PkiError::from)?;
        Ok(leaf.public_key)
    }

    /// Writes what a recorder has besides: the evidence seal.
    fn node_seal(&mut self, node: &Node, dir: &Path, keys: &KeyStore) -> Result<(), FoundError> {
        self.issue(node, Kind::Seal, SEAL_DAYS, Vec::new())?;
        keys.wrap_key_file(&dir.join("seal.key.pem"), "seal")?;
        Ok(())
    }

    /// Writes what a core node has besides: the time stamp authority.
    fn node_tsa(&mut self, node: &Node, dir: &Path, keys: &KeyStore) -> Result<(), FoundError> {
        self.issue(node, Kind::Tsa, TSA_DAYS, Vec::new())?;
        keys.wrap_key_file(&dir.join("tsa.key.pem"), "tsa")?;
        Ok(())
    }
}

fn staff_account(seed: &StaffSeed) -> Result<(Account, Staff), FoundError> {
    let password = draw_password();
    let password_phc = guitai_crypto::password::hash(&password)
        .map_err(|error| FoundError::Password(error.to_string()))?;
    let login = Account {
        institution: seed.institution.clone(),
        name: seed.name.clone(),
        password,
        duties: seed.duties.clone(),
    };
    let account = Staff {
        id: guitai_types::StaffRef {
            institution: seed.institution.clone(),
            name: seed.name.clone(),
        },
        display: seed.display.clone(),
        number: seed.number.clone(),
        branch: seed.branch.clone(),
        team: seed.team.clone(),
        skills: seed.skills.clone(),
        duties: seed.duties.clone(),
        password_phc,
        approval_key: None,
    };
    Ok((login, account))
}

/// Draws an officer's own key, sealed by the password of the first login, where the officer takes it
/// away from; gives the public half.
fn officer_key(data: &Path, login: &Account) -> Result<Hex, FoundError> {
    let dir = data.join(OFFICERS_DIR);
    make_dir(&dir)?;
    let passphrase = Passphrase::new(&login.password)
        .map_err(|error| FoundError::Password(error.to_string()))?;
    let officer = format!("{}/{}", login.institution, login.name);
    let key = OfficerKey::create(&officer, &passphrase, Cost::DEFAULT);
    key.save(&dir.join(format!("{}.key", login.name)))?;
    Ok(Hex(key.public.to_vec()))
}

/// Three groups of four letters and digits that are not mistaken for one another: 60 bits.
fn draw_password() -> String {
    const ALPHABET: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";
    let drawn = random::array::<12>();
    let letters = drawn
        .iter()
        .map(|byte| char::from(ALPHABET[usize::from(byte % 32)])); // % 32 < 32
    let mut password = String::new();
    for (index, letter) in letters.enumerate() {
        if index > 0 && index % 4 == 0 {
            password.push('-');
        }
        password.push(letter);
    }
    password
}

pub(crate) fn make_dir(path: &Path) -> Result<(), FoundError> {
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(|source| FoundError::Write {
            path: path.to_owned(),
            source,
        })
}

pub(crate) fn write(path: &Path, bytes: &[u8]) -> Result<(), FoundError> {
    write_mode(path, bytes, 0o644)
}

pub(crate) fn write_secret(path: &Path, bytes: &[u8]) -> Result<(), FoundError> {
    write_mode(path, bytes, 0o600)
}

fn write_mode(path: &Path, bytes: &[u8], mode: u32) -> Result<(), FoundError> {
    let result = std::fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(mode)
        .open(path)
        .and_then(|mut file| {
            io::Write::write_all(&mut file, bytes)?;
            file.sync_all()
        });
    result.map_err(|source| FoundError::Write {
        path: path.to_owned(),
        source,
    })
}
