//! What can be done in a PKI directory.

use std::path::{Path, PathBuf};

use guitai_crypto::{
    keys::Unlock,
    sm2, sm3,
    x509::{self, Authority, Identity, Purpose, Reason, Request, Subject},
};
use guitai_types::Hex;
use zeroize::Zeroizing;

use super::{
    PkiError,
    directory::{Change, DAY_S, Directory},
    files::{PUBLIC, SECRET, read, read_if_there},
    index::{AuthorityState, ENTRIES_MAX, Entry, Holder, Index, Install, Kind, Pending, State},
    journal::Act,
    vault,
};
use crate::keys::CA_KEY_FILE;

/// Name of the authority's own request.
pub const AUTHORITY: &str = "ca";
/// Longest name in a directory: it becomes part of a file's name.
const NAME_BYTES_MAX: usize = 63;

/// A certificate to be issued.
#[derive(Debug, Clone)]
pub struct Order {
    /// Name in the directory; CN unless the holder says otherwise.
    pub name: String,
    /// What for.
    pub kind: Kind,
    /// For whom.
    pub holder: Holder,
    /// Life in days.
    pub days: u32,
    /// Also issue the encrypting half of a pair.
    pub dual: bool,
    /// Where to put it, relative to the PKI directory.
    pub install: Option<Install>,
    /// Whether it is renewed by itself.
    pub renews: bool,
}

/// A certificate on its way into the directory.
struct Made {
    entry: Entry,
    chain: Vec<Vec<u8>>,
    key: Option<sm2::SecretKey>,
}

impl Directory {
    /// Makes a directory with a self-signed root that may have one level of authorities below it. The
    /// passphrase that seals its key is in the directory's `root-passphrase` already.
    pub fn init(
        path: &Path,
        common_name: &str,
        organization: &str,
        days: u32,
        now_unix: u64,
    ) -> Result<Self, PkiError> {
        let unlock = vault::unlock(path, None);
        Self::init_with(path, unlock, common_name, organization, days, now_unix)
    }

    /// The same, with what opens the authority's key.
    pub fn init_with(
        path: &Path,
        unlock: Unlock,
        common_name: &str,
        organization: &str,
        days: u32,
        now_unix: u64,
    ) -> Result<Self, PkiError> {
        let index = Index::new(organization, AuthorityState::Active);
        let mut directory = Self::make(path, index)?;
        directory.unlock = unlock;
        let root = Authority::create_root(common_name, organization, 1, days, now_unix)?;
        let pem = x509::certificates_to_pem(&[root.certificate_der().to_vec()]);
        directory
            .files
            .write(&path.join("root.pem"), pem.as_bytes(), PUBLIC)?;
        directory.install_authority(&root, now_unix)?;
        let mut change = directory.change(now_unix);
        change.record(Act::Founded, AUTHORITY, "", format!("root {common_name}"));
        change.new_list();
        directory.commit(change)?;
        Ok(directory)
    }

    /// Makes a directory without an authority: for one that `request_authority` or the bank gives it.
    pub fn init_empty(path: &Path, organization: &str, now_unix: u64) -> Result<Self, PkiError> {
        let index = Index::new(organization, AuthorityState::None);
        let mut directory = Self::make(path, index)?;
        let mut change = directory.change(now_unix);
        change.record(Act::Founded, AUTHORITY, "", "no authority".to_owned());
        directory.commit(change)?;
        Ok(directory)
    }

    /// Makes a key and a request for it; the request's PEM is the result.
    pub fn request(
        &mut self,
        name: &str,
        kind: Kind,
        holder: Holder,
        now_unix: u64,
    ) -> Result<String, PkiError> {
        let of_authority = kind == Kind::Intermediate;
        let name = if of_authority { AUTHORITY } else { name };
        check_name(name, of_authority)?;
        if self.index.requests.iter().any(|one| one.name == name) {
            return Err(PkiError::Known(name.to_owned()));
        }
        if of_authority && self.index.authority == AuthorityState::Active {
            return Err(PkiError::Known(name.to_owned()));
        }
        check_holder(kind, &holder)?;
        let purpose = match kind.usage() {
            Some(usage) => Purpose::Leaf(usage),
            None => Purpose::Authority { path_length: 0 },
        };
        let key = sm2::SecretKey::generate();
        let request = Request::create(&Subject::from(&holder), purpose, &key)?;
        let pem = x509::request_to_pem(&request);
        let (request_path, key_path) = self.request_paths(name);
        let key = key.to_pkcs8_pem();
        if of_authority {
            self.write_authority_key(&key_path, &key, now_unix)?;
        } else {
            self.files.write(&key_path, key.as_bytes(), SECRET)?;
        }
        self.files.write(&request_path, pem.as_bytes(), PUBLIC)?;
        let mut change = self.change(now_unix);
        if of_authority {
            change.index.authority = AuthorityState::Requested;
        }
        change.record(Act::Requested, name, "", kind.as_str().to_owned());
        change.index.requests.push(Pending {
            name: name.to_owned(),
            kind,
            holder,
            made_at: now_unix,
        });
        self.commit(change)?;
        Ok(pem)
    }

    /// Takes an authority's answer to a request: it must fit key, names, usage and time, and lead to
    /// the trusted root, which is `root_pem` the first time.
    pub fn import(
        &mut self,
        name: &str,
        chain_pem: &str,
        root_pem: Option<&str>,
        now_unix: u64,
    ) -> Result<Option<Entry>, PkiError> {
        let waiting = self.index.requests.iter().position(|one| one.name == name);
        let waiting = waiting.ok_or_else(|| PkiError::Unknown(name.to_owned()))?;
        let root_path = self.path.join("root.pem");
        let held = read_if_there(&root_path)?;
        let root = match (&held, root_pem) {
            (Some(held), None) => held.clone(),
            (None, Some(given)) => given.to_owned(),
            (Some(held), Some(given)) => {
                if x509::certificates_from_pem(held)? != x509::certificates_from_pem(given)? {
                    return Err(PkiError::OtherRoot);
                }
                held.clone()
            }
            (None, None) => return Err(PkiError::NoRoot),
        };
        let roots = x509::certificates_from_pem(&root)?;
        let mut change = self.change(now_unix);
        let pending = change.index.requests.remove(waiting);
        let (_, key_path) = self.request_paths(name);
        let key = match pending.kind {
            Kind::Intermediate => self.read_authority_key(&key_path, now_unix)?,
            _ => Zeroizing::new(read(&key_path)?),
        };
        let made = match pending.kind.usage() {
            None => {
                let authority = Authority::from_pem(chain_pem, &key)?;
                authority.check(&roots, now_unix)?;
                self.install_authority(&authority, now_unix)?;
                change.index.authority = AuthorityState::Active;
                change.new_list();
                let serial = Hex(x509::identify(authority.certificate_der())?.serial);
                change.record(Act::Imported, name, &serial.to_string(), String::new());
                None
            }
            Some(usage) => {
                let identity = Identity::from_pem(chain_pem, &key)?;
                let subject = Subject::from(&pending.holder);
                let leaf = identity.check(&roots, &subject, usage, now_unix)?;
                let days = (leaf.not_after.saturating_sub(leaf.not_before)) / DAY_S;
                let made = self.describe(
                    name,
                    pending.kind,
                    pending.holder,
                    identity.chain,
                    Some(identity.key),
                    u32::try_from(days).unwrap_or(u32::MAX),
                )?;
                for entry in &mut change.index.entries {
                    if entry.name == name && entry.state == State::Current {
                        entry.state = State::Superseded;
                    }
                }
                let serial = made.entry.serial.to_string();
                change.record(Act::Imported, name, &serial, String::new());
                Some(made)
            }
        };
        if held.is_none() {
            self.files.write(&root_path, root.as_bytes(), PUBLIC)?;
        }
        let entry = made.as_ref().map(|made| made.entry.clone());
        self.take(&mut change, made)?;
        self.commit(change)?;
        let (request_path, key_path) = self.request_paths(name);
        self.files.remove(&request_path)?;
        self.files.remove(&key_path)?;
        Ok(entry)
    }

    /// Issues a certificate with a new key; for a pair, both. The signing one comes first.
    pub fn issue(&mut self, order: &Order, now_unix: u64) -> Result<Vec<Entry>, PkiError> {
        check_name(&order.name, false)?;
        check_holder(order.kind, &order.holder)?;
        if self.index.knows(&order.name) {
            return Err(PkiError::Known(order.name.clone()));
        }
        let usage = order.kind.usage().ok_or(PkiError::AuthorityByName)?;
        let authority = self.authority(now_unix)?;
        let mut change = self.change(now_unix);
        let made = self.make_all(&authority, order, usage, now_unix)?;
        let entries: Vec<Entry> = made.iter().map(|made| made.entry.clone()).collect();
        for entry in &entries {
            let serial = entry.serial.to_string();
            let kind = entry.kind.as_str().to_owned();
            change.record(Act::Issued, &entry.name, &serial, kind);
        }
        self.take(&mut change, made)?;
        self.commit(change)?;
        Ok(entries)
    }

    /// Certifies the key of a request; names and purpose are the request's, unless `kind` says so.
    pub fn issue_requested(
        &mut self,
        name: Option<&str>,
        request_pem: &str,
        kind: Option<Kind>,
        days: u32,
        now_unix: u64,
    ) -> Result<(Entry, String), PkiError> {
        let request = Request::from_der(&x509::request_from_pem(request_pem)?)?;
        let name = name.unwrap_or(&request.subject.common_name).to_owned();
        let asked = request.purpose.and_then(|purpose| match purpose {
            Purpose::Authority { .. } => Some(Kind::Intermediate),
            Purpose::Leaf(usage) => [
                Kind::Node,
                Kind::Service,
                Kind::Staff,
                Kind::Seal,
                Kind::Tsa,
                Kind::Encryption,
            ]
            .into_iter()
            .find(|kind| kind.usage() == Some(usage)),
        });
        let kind = kind.or(asked).ok_or(PkiError::NoKind)?;
        let holder = Holder::from(request.subject);
        if kind != Kind::Intermediate {
            check_name(&name, false)?;
            check_holder(kind, &holder)?;
        }
        if self.index.knows(&name) {
            return Err(PkiError::Known(name));
        }
        let authority = self.authority(now_unix)?;
        let key = request.public_key;
        let certificate = match kind.usage() {
            Some(usage) => authority.issue(&Subject::from(&holder), &key, usage, days, now_unix)?,
            None => authority.issue_authority(
                &holder.common_name,
                &holder.organization,
                &key,
                0,
                days,
                now_unix,
            )?,
        };
        let mut chain = vec![certificate];
        chain.append(&mut authority.chain());
        let pem = x509::certificates_to_pem(&chain);
        let mut made = self.describe(&name, kind, holder, chain, None, days)?;
        made.entry.issued_here = true;
        let entry = made.entry.clone();
        let mut change = self.change(now_unix);
        let serial = entry.serial.to_string();
        change.record(
            Act::Issued,
            &name,
            &serial,
            format!("{} by request", kind.as_str()),
        );
        self.take(&mut change, [made])?;
        self.commit(change)?;
        Ok((entry, pem))
    }

    /// Replaces the present certificate of a name, with a new key. The old one stays valid until its
    /// end, or is revoked as superseded with all before it.
    pub fn rotate(
        &mut self,
        name: &str,
        revoke_old: bool,
        now_unix: u64,
    ) -> Result<Vec<Entry>, PkiError> {
        let old: Vec<Entry> = self.replaceable(name).cloned().collect();
        let Some(first) = old.iter().find(|entry| entry.kind != Kind::Encryption) else {
            return Err(PkiError::Unknown(name.to_owned()));
        };
        if !first.issued_here {
            return Err(PkiError::Foreign(name.to_owned()));
        }
        if !first.key_here {
            return Err(PkiError::KeyElsewhere(name.to_owned()));
        }
        let usage = first.kind.usage().ok_or(PkiError::AuthorityByName)?;
        let order = Order {
            name: name.to_owned(),
            kind: first.kind,
            holder: first.holder.clone(),
            days: first.days,
            dual: first.pair.is_some(),
            install: first.install.clone(),
            renews: first.renews,
        };
        let authority = self.authority(now_unix)?;
        let mut change = self.change(now_unix);
        let made = self.make_all(&authority, &order, usage, now_unix)?;
        for entry in &mut change.index.entries {
            if entry.name == name && entry.state == State::Current {
                entry.state = State::Superseded;
            }
        }
        let entries: Vec<Entry> = made.iter().map(|made| made.entry.clone()).collect();
        for (entry, old) in entries.iter().zip(&old) {
            let serial = entry.serial.to_string();
            change.record(Act::Rotated, name, &serial, format!("was {}", old.serial));
        }
        self.take(&mut change, made)?;
        if revoke_old {
            for serial in self.usable(name, now_unix) {
                withdraw(&mut change, &serial, Reason::Superseded, now_unix);
            }
            change.new_list();
        }
        self.commit(change)?;
        Ok(entries)
    }

    /// Revokes a certificate by its serial number, or all of a name that are valid still.
    pub fn revoke(
        &mut self,
        which: &str,
        reason: Reason,
        now_unix: u64,
    ) -> Result<Vec<Entry>, PkiError> {
        let serial = Hex::parse(which);
        let known = |entry: &&Entry| serial.as_ref() == Some(&entry.serial);
        let by_serial = self.index.entries.iter().find(known);
        let found: Vec<Entry> = match by_serial {
            Some(entry) => vec![entry.clone()],
            // Also those before the present one: a connection may rest on any of them.
            None => {
                let usable = self.usable(which, now_unix);
                let all = self.index.entries.iter();
                all.filter(|entry| usable.contains(&entry.serial))
                    .cloned()
                    .collect()
            }
        };
        if found.is_empty() {
            let of_name = |entry: &Entry| entry.name == which;
            return Err(if self.index.entries.iter().any(of_name) {
                PkiError::Revoked(which.to_owned())
            } else {
                PkiError::Unknown(which.to_owned())
            });
        }
        for entry in &found {
            if !entry.issued_here {
                return Err(PkiError::Foreign(entry.name.clone()));
            }
            if matches!(entry.state, State::Revoked { .. }) {
                return Err(PkiError::Revoked(which.to_owned()));
            }
        }
        self.authority(now_unix)?;
        let mut change = self.change(now_unix);
        for entry in &found {
            withdraw(&mut change, &entry.serial, reason, now_unix);
        }
        change.new_list();
        self.commit(change)?;
        Ok(found)
    }

    /// Rotates whatever renews by itself and has less than a third of its life left. A seal that was put
    /// where it is used always does: the release before issued seals that did not.
    pub fn renew_due(&mut self, now_unix: u64) -> Result<Vec<Entry>, PkiError> {
        let due = |entry: &&Entry| {
            let life = entry.not_after.saturating_sub(entry.not_before);
            let left = entry.not_after.saturating_sub(now_unix);
            let renews = entry.renews
                || entry.kind == Kind::Seal && entry.install.is_some() && entry.key_here;
            renews
                && entry.issued_here
                && entry.state == State::Current
                && entry.kind != Kind::Encryption
                && left < life / 3
        };
        let due: Vec<String> = self
            .index
            .entries
            .iter()
            .filter(due)
            .map(|entry| entry.name.clone())
            .collect();
        let mut renewed = vec![];
        for name in due {
            renewed.append(&mut self.rotate(&name, false, now_unix)?);
        }
        Ok(renewed)
    }

    /// Serial numbers of a name's certificates that are neither over nor revoked.
    fn usable(&self, name: &str, now_unix: u64) -> Vec<Hex> {
        let of_name = self.index.entries.iter().filter(|one| one.name == name);
        let usable = of_name
            .filter(|one| one.not_after > now_unix && !matches!(one.state, State::Revoked { .. }));
        usable.map(|one| one.serial.clone()).collect()
    }

    /// The certificates that a rotation of `name` replaces: the present ones, or, where they were
    /// revoked, the last.
    fn replaceable<'a>(&'a self, name: &'a str) -> Box<dyn Iterator<Item = &'a Entry> + 'a> {
        if self.index.current(name).next().is_some() {
            return Box::new(self.index.current(name));
        }
        let mut of_name = self
            .index
            .entries
            .iter()
            .filter(move |one| one.name == name);
        let last = of_name.rfind(|one| one.kind != Kind::Encryption);
        Box::new(last.into_iter())
    }

    fn install_authority(&self, authority: &Authority, now_unix: u64) -> Result<(), PkiError> {
        let (chain, key) = authority.to_pem();
        let key_path = self.path.join(CA_KEY_FILE);
        self.write_authority_key(&key_path, &key, now_unix)?;
        let chain_path = self.path.join("ca.pem");
        Ok(self.files.write(&chain_path, chain.as_bytes(), PUBLIC)?)
    }

    fn make_all(
        &self,
        authority: &Authority,
        order: &Order,
        usage: x509::Usage,
        now_unix: u64,
    ) -> Result<Vec<Made>, PkiError> {
        let (subject, days) = (Subject::from(&order.holder), order.days);
        let key = sm2::SecretKey::generate();
        let make = |kind, certificate, key| {
            let mut chain = vec![certificate];
            chain.append(&mut authority.chain());
            let holder = order.holder.clone();
            let mut made = self.describe(&order.name, kind, holder, chain, Some(key), days)?;
            made.entry.issued_here = true;
            made.entry.renews = order.renews;
            Ok::<_, PkiError>(made)
        };
        let mut all = if order.dual {
            let other = sm2::SecretKey::generate();
            let (public, encryption) = (key.public(), other.public());
            let pair =
                authority.issue_pair(&subject, &public, &encryption, usage, days, now_unix)?;
            let mut signing = make(order.kind, pair.signing, key)?;
            let mut encryption = make(Kind::Encryption, pair.encryption, other)?;
            signing.entry.pair = Some(encryption.entry.serial.clone());
            encryption.entry.pair = Some(signing.entry.serial.clone());
            vec![signing, encryption]
        } else {
            let leaf = authority.issue(&subject, &key.public(), usage, days, now_unix)?;
            vec![make(order.kind, leaf, key)?]
        };
        for made in &mut all {
            made.entry.install = order.install.clone().map(|install| {
                let Install { dir, stem } = install;
                let half = made.entry.kind == Kind::Encryption;
                let stem = if half { format!("{stem}.enc") } else { stem };
                Install { dir, stem }
            });
        }
        Ok(all)
    }

    fn describe(
        &self,
        name: &str,
        kind: Kind,
        holder: Holder,
        chain: Vec<Vec<u8>>,
        key: Option<sm2::SecretKey>,
        days: u32,
    ) -> Result<Made, PkiError> {
        let leaf = chain.first().ok_or(x509::PemError::Certificates)?;
        let words = x509::describe(leaf)?;
        let entry = Entry {
            serial: Hex(words.serial),
            name: name.to_owned(),
            kind,
            holder,
            issued_here: false,
            key_here: key.is_some(),
            days,
            not_before: words.not_before,
            not_after: words.not_after,
            fingerprint: Hex(sm3::hash(leaf).to_vec()),
            pair: None,
            install: None,
            renews: false,
            state: State::Current,
        };
        if self.index.entries.len() >= ENTRIES_MAX {
            return Err(PkiError::TooMany);
        }
        Ok(Made { entry, chain, key })
    }

    /// Writes certificates and keys under their serial numbers and adds them to the change.
    fn take(
        &self,
        change: &mut Change,
        made: impl IntoIterator<Item = Made>,
    ) -> Result<(), PkiError> {
        for Made { entry, chain, key } in made {
            if let Some(key) = key {
                let pem = key.to_pkcs8_pem();
                let path = self.key_path(&entry.serial);
                self.files.write(&path, pem.as_bytes(), SECRET)?;
            }
            let pem = x509::certificates_to_pem(&chain);
            let path = self.certificate_path(&entry.serial);
            self.files.write(&path, pem.as_bytes(), PUBLIC)?;
            change.index.entries.push(entry);
        }
        Ok(())
    }
}

fn withdraw(change: &mut Change, serial: &Hex, reason: Reason, now_unix: u64) {
    let mut name = String::new();
    for entry in &mut change.index.entries {
        if entry.serial == *serial {
            entry.state = State::Revoked {
                at: now_unix,
                reason: reason.as_str().to_owned(),
            };
            name.clone_from(&entry.name);
        }
    }
    let reason = reason.as_str().to_owned();
    change.record(Act::Revoked, &name, &serial.to_string(), reason);
}

fn check_name(name: &str, of_authority: bool) -> Result<(), PkiError> {
    let letters = |c: char| c.is_ascii_alphanumeric() || "-_.@".contains(c);
    let fits = !name.is_empty()
        && name.len() <= NAME_BYTES_MAX
        && !name.starts_with('.')
        && name.chars().all(letters)
        && (of_authority || name != AUTHORITY);
    if fits {
        Ok(())
    } else {
        Err(PkiError::Name {
            name: name.to_owned(),
            max: NAME_BYTES_MAX,
        })
    }
}

/// What is dialled needs a name to be dialled by.
fn check_holder(kind: Kind, holder: &Holder) -> Result<(), PkiError> {
    if matches!(kind, Kind::Node | Kind::Service) && holder.dns_names.is_empty() {
        return Err(PkiError::NoDnsName(kind.as_str()));
    }
    Ok(())
}

/// Where `dir` lies as seen from the PKI directory, if both are on one tree.
#[must_use]
pub fn relative(pki: &Path, dir: &Path) -> PathBuf {
    match (pki.parent(), dir.parent(), dir.file_name()) {
        (Some(a), Some(b), Some(name)) if a == b => Path::new("..").join(name),
        _ => dir.to_owned(),
    }
}
