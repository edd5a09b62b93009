//! `guitai pki …`: certificates in a directory (`docs/operating/pki.md`).
//!
//! The same code makes the directory of a deployment that `guitai up` founds, renews what is due
//! there, and puts certificates and revocation lists where the nodes read them.

mod acts;
pub mod args;
mod directory;
mod index;
mod journal;
mod show;
#[cfg(test)]
mod tests;
mod vault;
mod words;

use std::path::PathBuf;

use guitai_crypto::{keys::StoreError, x509};
use guitai_host::{Clock as _, SystemClock};
use guitai_types::{Code, Problem};
use serde_json::json;

pub use self::{
    acts::{AUTHORITY, Order, relative},
    directory::Directory,
    index::{AuthorityState, Entry, Holder, Install, Kind, Pending, State},
    journal::{Act, JournalError, Record},
    vault::PASSPHRASE_VARIABLE,
};
use crate::{
    Language,
    failure::{FAILED, Failure},
    files::{self, FileError},
    show::json as in_json,
};
use args::{Csr, Import, Init, Issue, List, Pki, Revoke, Rotate};

/// Why something in a PKI directory was not done.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PkiError {
    /// The disk.
    #[error("file")]
    File(#[from] FileError),
    /// The index is no index.
    #[error("{path} is not the index of a PKI directory")]
    Index {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
    /// Another release's format.
    #[error("{path} has schema {found}, this release reads {known}", known = index::SCHEMA)]
    Schema {
        /// Which.
        path: PathBuf,
        /// What it says.
        found: u32,
    },
    /// The journal was altered.
    #[error("journal")]
    Journal(#[from] JournalError),
    /// A key that others can read.
    #[error(
        "{path} has mode {mode:o}; a key has mode 600, and one that others could read is replaced"
    )]
    Exposed {
        /// Which.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// The authority's key is sealed, or is to be, and nothing opens it.
    #[error("the authority's key in {dir} is sealed by a passphrase, and {file} is not there")]
    NoPassphrase {
        /// The PKI directory.
        dir: PathBuf,
        /// Where the passphrase was looked for.
        file: PathBuf,
    },
    /// The key store of the directory.
    #[error("the authority's key")]
    Keys(#[from] StoreError),
    /// What was unwrapped is no text.
    #[error("{0} holds no PEM text")]
    KeyText(PathBuf),
    /// No directory.
    #[error("{0} holds no PKI")]
    NotThere(PathBuf),
    /// A directory where a new one was to be made.
    #[error("{0} holds a PKI already")]
    Exists(PathBuf),
    /// The directory only collects what another authority signs.
    #[error("{0} has no authority that signs")]
    NoAuthority(PathBuf),
    /// A name that cannot be one.
    #[error("{name:?} is no name: letters, digits, - _ . @, at most {max} bytes, and not \"ca\"")]
    Name {
        /// What was given.
        name: String,
        /// Longest in bytes.
        max: usize,
    },
    /// A name in use.
    #[error("{0} is there already")]
    Known(String),
    /// No such name, serial number or request.
    #[error("there is no {0} here")]
    Unknown(String),
    /// Another authority issued it.
    #[error("{0} was issued by another authority, which alone can replace or revoke it")]
    Foreign(String),
    /// Its key was never here.
    #[error("the key of {0} is elsewhere: its holder sends a new request")]
    KeyElsewhere(String),
    /// Done before.
    #[error("{0} is revoked already")]
    Revoked(String),
    /// An authority cannot be issued by name.
    #[error("an authority is certified by request, never by name")]
    AuthorityByName,
    /// The request does not say what for.
    #[error("the request does not say what the certificate is for")]
    NoKind,
    /// A node or service without a name to dial.
    #[error("a {0} certificate needs at least one DNS name")]
    NoDnsName(&'static str),
    /// The first import must say whom to trust.
    #[error("no root is trusted here yet")]
    NoRoot,
    /// Another root than the one trusted here.
    #[error("another root than the one trusted here")]
    OtherRoot,
    /// Full.
    #[error("more than {max} certificates", max = index::ENTRIES_MAX)]
    TooMany,
    /// A PEM text.
    #[error("PEM text")]
    Pem(#[from] x509::PemError),
    /// A certificate.
    #[error("certificate")]
    Chain(#[from] x509::ChainError),
    /// A request.
    #[error("certification request")]
    Request(#[from] x509::RequestError),
    /// A revocation list.
    #[error("revocation list")]
    Crl(#[from] x509::CrlError),
    /// The answer to a request.
    #[error("the answer does not fit the request")]
    Fit(#[from] x509::FitError),
    /// An authority.
    #[error("authority")]
    Authority(#[from] x509::AuthorityError),
    /// Issuing.
    #[error("issuing")]
    Issue(#[from] x509::IssueError),
}

/// Runs one `guitai pki …` command.
pub(crate) fn run(command: &Pki, lang: Language) -> Result<String, Failure> {
    let now = SystemClock::new().wall().0 / 1000;
    match command {
        Pki::Init(arguments) => init(arguments, lang, now),
        Pki::Csr(arguments) => csr(arguments, lang, now),
        Pki::Import(arguments) => import(arguments, lang, now),
        Pki::Issue(arguments) => issue(arguments, lang, now),
        Pki::Rotate(arguments) => rotate(arguments, lang, now),
        Pki::Revoke(arguments) => revoke(arguments, lang, now),
        Pki::List(arguments) => list(arguments, lang, now),
        Pki::Show(arguments) => show::run(arguments, lang, now),
    }
}

fn init(arguments: &Init, lang: Language, now: u64) -> Result<String, Failure> {
    let Init {
        place,
        name,
        organization,
        days,
        intermediate_of,
        csr,
        output,
    } = arguments;
    let dir = &place.dir;
    let holder = Holder {
        common_name: name.clone(),
        organization: organization.clone(),
        dns_names: vec![],
    };
    let mut request = None;
    match intermediate_of {
        _ if *csr => {
            let mut made = Directory::init_empty(dir, organization, now)?.unlocked_by(place);
            request = Some(made.request(AUTHORITY, Kind::Intermediate, holder, now)?);
        }
        None => drop(Directory::init_with(
            dir,
            place.unlock(),
            name,
            organization,
            *days,
            now,
        )?),
        Some(parent) => {
            let mut parent = Directory::open(parent, now)?;
            let root = parent.root_pem()?;
            let mut made = Directory::init_empty(dir, organization, now)?.unlocked_by(place);
            let request = made.request(AUTHORITY, Kind::Intermediate, holder, now)?;
            let (_, chain) = parent.issue_requested(None, &request, None, *days, now)?;
            made.import(AUTHORITY, &chain, Some(&root), now)?;
        }
    }
    if output.json {
        return in_json(&json!({ "dir": dir, "request": request }));
    }
    Ok(words::initialised(dir, request.as_deref(), lang))
}

fn csr(arguments: &Csr, lang: Language, now: u64) -> Result<String, Failure> {
    let Csr {
        place,
        name,
        kind,
        holder,
        output,
    } = arguments;
    let mut directory = if Directory::is_there(&place.dir) {
        Directory::open_with(&place.dir, place.unlock(), now)?
    } else {
        let organization = holder.organization.clone().ok_or_else(|| {
            Failure::usage(
                "no directory yet, and no --organization for it",
                "用 --organization 给出集群编号",
                "Name the cluster's id with --organization",
            )
        })?;
        Directory::init_empty(&place.dir, &organization, now)?.unlocked_by(place)
    };
    let holder = holder.complete(name, directory.organization());
    let request = directory.request(name, *kind, holder, now)?;
    if output.json {
        return in_json(&json!({ "name": name, "request": request }));
    }
    Ok(words::requested(name, &request, lang))
}

fn import(arguments: &Import, lang: Language, now: u64) -> Result<String, Failure> {
    let Import {
        place,
        name,
        chain,
        root,
        output,
    } = arguments;
    let chain = files::read(chain).map_err(PkiError::from)?;
    let root = root.as_deref().map(files::read).transpose();
    let root = root.map_err(PkiError::from)?;
    let mut directory = Directory::open_with(&place.dir, place.unlock(), now)?;
    let entry = directory.import(name, &chain, root.as_deref(), now)?;
    if output.json {
        return in_json(
            &json!({ "name": name, "certificate": entry.map(|e| words::view(&e, now)) }),
        );
    }
    let taken = lang.pick("已导入", "imported");
    Ok(format!("{taken} {name}\n"))
}

fn issue(arguments: &Issue, lang: Language, now: u64) -> Result<String, Failure> {
    let Issue {
        place,
        name,
        csr,
        kind,
        holder,
        days,
        dual,
        install,
        renew,
        output,
    } = arguments;
    let mut directory = Directory::open_with(&place.dir, place.unlock(), now)?;
    let (entries, pem) = match (csr, name) {
        (Some(csr), name) => {
            let request = files::read(csr).map_err(PkiError::from)?;
            let (entry, pem) =
                directory.issue_requested(name.as_deref(), &request, *kind, *days, now)?;
            (vec![entry], pem)
        }
        (None, Some(name)) => {
            let order = Order {
                name: name.clone(),
                kind: kind.ok_or(PkiError::NoKind)?,
                holder: holder.complete(name, directory.organization()),
                days: *days,
                dual: *dual,
                install: install.as_deref().map(|dir| Install {
                    dir: relative(&place.dir, dir),
                    stem: kind.unwrap_or(Kind::Node).stem().to_owned(),
                }),
                renews: *renew,
            };
            let entries = directory.issue(&order, now)?;
            let mut pem = String::new();
            for entry in &entries {
                pem += &directory.certificate_pem(entry)?;
            }
            (entries, pem)
        }
        (None, None) => {
            return Err(Failure::usage(
                "neither a name nor a request",
                "给出名称,或用 --csr 给出申请文件",
                "Give a name, or a request with --csr",
            ));
        }
    };
    if output.json {
        let views: Vec<_> = entries.iter().map(|e| words::view(e, now)).collect();
        return in_json(&json!({ "certificates": views, "pem": pem }));
    }
    Ok(words::table(&entries, lang, now) + "\n" + &pem)
}

fn rotate(arguments: &Rotate, lang: Language, now: u64) -> Result<String, Failure> {
    let mut directory = Directory::open_with(&arguments.place.dir, arguments.place.unlock(), now)?;
    let entries = directory.rotate(&arguments.name, arguments.revoke_old, now)?;
    changed(&entries, arguments.output.json, lang, now)
}

fn revoke(arguments: &Revoke, lang: Language, now: u64) -> Result<String, Failure> {
    let mut directory = Directory::open_with(&arguments.place.dir, arguments.place.unlock(), now)?;
    let revoked = directory.revoke(&arguments.which, arguments.reason.0, now)?;
    let serials: Vec<_> = revoked.iter().map(|entry| &entry.serial).collect();
    let entries = directory.entries().iter();
    let entries = entries.filter(|entry| serials.contains(&&entry.serial));
    let entries: Vec<Entry> = entries.cloned().collect();
    changed(&entries, arguments.output.json, lang, now)
}

fn changed(entries: &[Entry], json: bool, lang: Language, now: u64) -> Result<String, Failure> {
    if json {
        let views: Vec<_> = entries.iter().map(|e| words::view(e, now)).collect();
        return in_json(&json!({ "certificates": views }));
    }
    Ok(words::table(entries, lang, now))
}

fn list(arguments: &List, lang: Language, now: u64) -> Result<String, Failure> {
    let directory = Directory::open_with(&arguments.place.dir, arguments.place.unlock(), now)?;
    if arguments.journal {
        let records = directory.journal()?;
        return if arguments.output.json {
            in_json(&json!({ "journal": records }))
        } else {
            Ok(words::journal(&records, lang))
        };
    }
    let crl = directory.crl()?;
    if arguments.output.json {
        let entries = directory.entries().iter();
        let views: Vec<_> = entries.map(|entry| words::view(entry, now)).collect();
        return in_json(&json!({
            "authority": directory.authority_state(),
            "organization": directory.organization(),
            "certificates": views,
            "requests": directory.requests(),
            "crl": crl.map(|crl| words::crl_view(&crl)),
        }));
    }
    Ok(words::listing(&directory, crl.as_ref(), lang, now))
}

impl From<PkiError> for Failure {
    fn from(error: PkiError) -> Self {
        let code = match &error {
            PkiError::NotThere(_) | PkiError::Unknown(_) => Code::NotFound,
            PkiError::NoPassphrase { .. } | PkiError::Keys(_) => Code::KeysRefused,
            PkiError::Exists(_)
            | PkiError::Known(_)
            | PkiError::Foreign(_)
            | PkiError::KeyElsewhere(_)
            | PkiError::Revoked(_)
            | PkiError::NoAuthority(_) => Code::WrongState,
            PkiError::TooMany => Code::TooMany,
            PkiError::Name { .. }
            | PkiError::AuthorityByName
            | PkiError::NoKind
            | PkiError::NoDnsName(_)
            | PkiError::NoRoot
            | PkiError::OtherRoot
            | PkiError::Pem(_)
            | PkiError::Chain(_)
            | PkiError::Request(_)
            | PkiError::Fit(_)
            | PkiError::Authority(_)
            | PkiError::Crl(_)
            | PkiError::Issue(_) => Code::BadRequest,
            _ => return Self::local("PKI directory", &error),
        };
        let (cause, next) = words::advice(&error);
        Self {
            exit: FAILED,
            problem: Problem::new(code, crate::failure::chain(&error)),
            cause: Some(cause),
            next: Some(next),
        }
    }
}
