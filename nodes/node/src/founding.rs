//! Founding a deployment: the root key, every node's identity, and one directory per node that holds
//! what that node may know and nothing else.

use std::{
    io,
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use crate::config::{Files, NodeConfig, SealFiles};
use guitai_cli::{Account, LoginFile};
use guitai_crypto::{
    random, sealed, sm2,
    x509::{Authority, Identity, IssueError, Subject, Usage},
};
use guitai_types::{
    ClusterId, Hex, Member, Role, Voice, Zone,
    command::Command,
    profile::{Node, Profile, StaffSeed},
    record::Staff,
};

/// Root certificate: a laboratory root; a bank's own CA replaces it.
const ROOT_DAYS: u32 = 3650;
/// Node and seal certificates.
const LEAF_DAYS: u32 = 825;

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
    #[error("cannot issue the certificate of {name}")]
    Issue {
        name: String,
        #[source]
        source: IssueError,
    },
    #[error("cannot make the key file")]
    Kek(#[from] sealed::KekFileError),
    #[error("cannot hash a password: {0}")]
    Password(String),
    #[error("cannot write a configuration")]
    Toml(#[from] toml::ser::Error),
    #[error("cannot write the foundation")]
    Json(#[from] serde_json::Error),
}

/// Makes everything under `data` that a first start needs.
pub(crate) fn found(profile: &Profile, data: &Path, now_unix: u64) -> Result<Founded, FoundError> {
    let cluster = ClusterId::from_random(random::array::<16>());
    let pki = Pki::create(data, &cluster, now_unix)?;

    let mut members = Vec::new();
    for node in &profile.nodes {
        let dir = data.join(node.name.as_str());
        make_dir(&dir)?;
        let key = pki.node_identity(node, &dir)?;
        if node.roles.contains(&Role::Recorder) {
            pki.node_seal(node, &dir)?;
        }
        members.push(member(node, &key));
    }

    let mut accounts = Vec::new();
    let mut staff = Vec::new();
    for seed in &profile.staff {
        let (login, account) = staff_account(seed)?;
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
        );
        write(&dir.join("node.toml"), toml::to_string(&config)?.as_bytes())?;
    }
    Ok(Founded {
        logins: LoginFile { accounts },
    })
}

/// The voter with the lowest id founds the cluster.
fn founder(members: &[Member]) -> Option<guitai_types::NodeId> {
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
        member: member.clone(),
        centre: centre.clone(),
        city: city.clone(),
        raft: profile.raft.clone(),
        crypto: profile.crypto.clone(),
        peers: if edge {
            Vec::new()
        } else {
            others.cloned().collect()
        },
        files: Files {
            root: file("root.pem"),
            identity: file("identity.pem"),
            identity_key: file("identity.key.pem"),
            token_public: file("token.pub"),
            token_secret: (!edge).then(|| file("token.key.pem")),
            kek: recorder.then(|| file("kek.bin")),
            seal: recorder.then(|| SealFiles {
                chain: file("seal.pem"),
                key: file("seal.key.pem"),
            }),
            data: (!edge).then(|| file("data")),
            foundation: founds.then(|| file("foundation.json")),
        },
    }
}

/// The keys of a deployment while it is being founded.
struct Pki {
    authority: Authority,
    cluster: ClusterId,
    token: sm2::SecretKey,
    kek_file: PathBuf,
    now_unix: u64,
}

impl Pki {
    fn create(data: &Path, cluster: &ClusterId, now_unix: u64) -> Result<Self, FoundError> {
        let dir = data.join("pki");
        make_dir(&dir)?;
        let name = format!("Guitai {cluster} root");
        let authority =
            Authority::create(&name, cluster.as_str(), ROOT_DAYS, now_unix).map_err(|source| {
                FoundError::Issue {
                    name: "root".to_owned(),
                    source,
                }
            })?;
        let (certificate, key) = authority.to_pem();
        write(&dir.join("root.pem"), certificate.as_bytes())?;
        write_secret(&dir.join("root.key.pem"), key.as_bytes())?;
        let kek_file = dir.join("kek.bin");
        sealed::Kek::create(&kek_file)?;
        Ok(Self {
            authority,
            cluster: cluster.clone(),
            token: sm2::SecretKey::generate(),
            kek_file,
            now_unix,
        })
    }

    fn issue(&self, name: String, dns: Vec<String>, usage: Usage) -> Result<Identity, FoundError> {
        let key = sm2::SecretKey::generate();
        let subject = Subject {
            common_name: name.clone(),
            organization: self.cluster.to_string(),
            dns_names: dns,
        };
        let leaf = self
            .authority
            .issue(&subject, &key.public(), usage, LEAF_DAYS, self.now_unix)
            .map_err(|source| FoundError::Issue { name, source })?;
        Ok(Identity {
            chain: vec![leaf, self.authority.certificate_der().to_vec()],
            key,
        })
    }

    /// Writes what every node has: root, own identity, token keys as its zone allows.
    fn node_identity(&self, node: &Node, dir: &Path) -> Result<sm2::PublicKey, FoundError> {
        let san = format!("{}.{}.guitai.internal", node.name, node.zone);
        let identity = self.issue(node.name.to_string(), vec![san], Usage::Tls)?;
        let (chain, key) = identity.to_pem();
        write(&dir.join("identity.pem"), chain.as_bytes())?;
        write_secret(&dir.join("identity.key.pem"), key.as_bytes())?;
        write(&dir.join("root.pem"), self.authority.to_pem().0.as_bytes())?;
        let public = Hex(self.token.public().to_point().to_vec()).to_string();
        write(&dir.join("token.pub"), public.as_bytes())?;
        if node.zone == Zone::Inner {
            write_secret(
                &dir.join("token.key.pem"),
                self.token.to_pkcs8_pem().as_bytes(),
            )?;
        }
        Ok(identity.key.public())
    }

    /// Writes what a recorder has besides: the recordings' key-encryption key and the evidence seal.
    fn node_seal(&self, node: &Node, dir: &Path) -> Result<(), FoundError> {
        // The verifier asks that the signer is the recorder that the manifest names.
        let seal = self.issue(node.name.to_string(), Vec::new(), Usage::Documents)?;
        let (chain, key) = seal.to_pem();
        write(&dir.join("seal.pem"), chain.as_bytes())?;
        write_secret(&dir.join("seal.key.pem"), key.as_bytes())?;
        let path = dir.join("kek.bin");
        let kek = std::fs::read(&self.kek_file).map_err(|source| FoundError::Write {
            path: self.kek_file.clone(),
            source,
        })?;
        write_secret(&path, &kek)
    }
}

fn staff_account(seed: &StaffSeed) -> Result<(Account, Staff), FoundError> {
    let password = draw_password();
    let password_phc = guitai_api::password::hash(&password)
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
    };
    Ok((login, account))
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
