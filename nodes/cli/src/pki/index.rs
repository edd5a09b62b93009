//! `index.json`: what the directory holds. It is the truth; list and journal follow from it.

use std::path::PathBuf;

use guitai_crypto::x509::{Reason, Subject, Usage};
use guitai_types::Hex;
use serde::{Deserialize, Serialize};

use super::journal::{End, Record};

/// The format this release writes and reads.
pub(super) const SCHEMA: u32 = 1;
/// Most certificates of one directory; with each its names it stays readable in one piece.
pub(super) const ENTRIES_MAX: usize = 50_000;

/// The index.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Index {
    /// Format version.
    pub(super) schema: u32,
    /// O of what is issued here: the cluster's id.
    pub(super) organization: String,
    /// Whether this directory has an authority of its own.
    pub(super) authority: AuthorityState,
    /// Number of the newest revocation list; 0 before the first.
    pub(super) crl_number: u64,
    /// When it was made, seconds since 1970.
    pub(super) crl_made_at: u64,
    /// Requests that wait for an answer.
    pub(super) requests: Vec<Pending>,
    /// Certificates, in the order of their making.
    pub(super) entries: Vec<Entry>,
    /// Where the journal ends.
    pub(super) journal: End,
    /// The last records, which a crash may have kept out of the journal.
    pub(super) unwritten: Vec<Record>,
}

/// The authority of a directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AuthorityState {
    /// None: the bank's own authority signs everything.
    None,
    /// Its request waits for the bank's answer.
    Requested,
    /// It signs.
    Active,
}

/// What a certificate is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// 节点间连接 / Connections between nodes
    Node,
    /// 对外服务 / A server that others reach
    Service,
    /// 人员 / A person
    Staff,
    /// 证据签章 / Sealing evidence
    Seal,
    /// 时间戳签名 / Signing time stamps
    Tsa,
    /// 中间 CA / An authority below this one
    Intermediate,
    /// 双证书中的加密证书 / The encrypting half of a pair
    #[value(skip)]
    Encryption,
}

impl Kind {
    /// The usage of a leaf; `None` for an authority.
    pub(super) const fn usage(self) -> Option<Usage> {
        match self {
            Self::Node => Some(Usage::Tls),
            Self::Service => Some(Usage::Service),
            Self::Staff => Some(Usage::Staff),
            Self::Seal => Some(Usage::Documents),
            Self::Tsa => Some(Usage::TimeStamping),
            Self::Encryption => Some(Usage::Encryption),
            Self::Intermediate => None,
        }
    }

    /// What its files are called where it is installed: a node has one of each.
    pub(super) const fn stem(self) -> &'static str {
        match self {
            Self::Seal => "seal",
            Self::Tsa => "tsa",
            _ => "identity",
        }
    }

    /// As it is typed.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Node => "node",
            Self::Service => "service",
            Self::Staff => "staff",
            Self::Seal => "seal",
            Self::Tsa => "tsa",
            Self::Intermediate => "intermediate",
            Self::Encryption => "encryption",
        }
    }
}

/// A holder as the index keeps it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Holder {
    /// CN.
    pub common_name: String,
    /// O.
    pub organization: String,
    /// SAN.
    pub dns_names: Vec<String>,
}

impl From<&Holder> for Subject {
    fn from(holder: &Holder) -> Self {
        Self {
            common_name: holder.common_name.clone(),
            organization: holder.organization.clone(),
            dns_names: holder.dns_names.clone(),
        }
    }
}

impl From<Subject> for Holder {
    fn from(subject: Subject) -> Self {
        let Subject {
            common_name,
            organization,
            dns_names,
        } = subject;
        Self {
            common_name,
            organization,
            dns_names,
        }
    }
}

/// A request that waits for an answer; its key lies beside it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pending {
    /// Name in this directory.
    pub name: String,
    /// What for.
    pub kind: Kind,
    /// For whom.
    pub holder: Holder,
    /// When it was made, seconds since 1970.
    pub made_at: u64,
}

/// Where a certificate is put besides, and its successors after it: a node's own directory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Install {
    /// Directory, relative to the PKI's.
    pub dir: PathBuf,
    /// `<stem>.pem` and `<stem>.key.pem`; the root and the revocation list lie beside them as
    /// `root.pem` and `crl.pem`.
    pub stem: String,
}

/// A certificate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// Serial number.
    pub serial: Hex,
    /// Name in this directory; a successor has the same.
    pub name: String,
    /// What for.
    pub kind: Kind,
    /// For whom.
    pub holder: Holder,
    /// Whether its issuer is this directory's authority. Only those can be revoked here.
    pub issued_here: bool,
    /// Whether its key was made here; it lies here, or where it was put.
    pub key_here: bool,
    /// Life that its successors get, in days.
    pub days: u32,
    /// Seconds since 1970.
    pub not_before: u64,
    /// Seconds since 1970.
    pub not_after: u64,
    /// SM3 of its DER.
    pub fingerprint: Hex,
    /// The other half of the pair it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pair: Option<Hex>,
    /// Where it is put.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub install: Option<Install>,
    /// Whether it is renewed by itself before its end.
    pub renews: bool,
    /// How it stands.
    pub state: State,
}

/// How a certificate stands, its end of validity aside.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "is", deny_unknown_fields)]
pub enum State {
    /// The present one of its name.
    Current,
    /// Has a successor; valid until its end all the same.
    Superseded,
    /// Revoked.
    Revoked {
        /// Seconds since 1970.
        at: u64,
        /// As RFC 5280 names it.
        reason: String,
    },
}

impl State {
    /// The reason of a revocation.
    pub(super) fn reason(&self) -> Option<Reason> {
        let Self::Revoked { reason, .. } = self else {
            return None;
        };
        let known = Reason::ALL.into_iter().find(|one| one.as_str() == reason);
        Some(known.unwrap_or(Reason::Unspecified))
    }
}

impl Index {
    pub(super) fn new(organization: &str, authority: AuthorityState) -> Self {
        Self {
            schema: SCHEMA,
            organization: organization.to_owned(),
            authority,
            crl_number: 0,
            crl_made_at: 0,
            requests: vec![],
            entries: vec![],
            journal: End::default(),
            unwritten: vec![],
        }
    }

    /// The present certificates of a name: one, or the two of a pair.
    pub(super) fn current<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Entry> {
        let of_name = self.entries.iter().filter(move |entry| entry.name == name);
        of_name.filter(|entry| entry.state == State::Current)
    }

    /// Whether a name is used already, by a certificate or a request.
    pub(super) fn knows(&self, name: &str) -> bool {
        self.current(name).next().is_some() || self.requests.iter().any(|one| one.name == name)
    }
}
