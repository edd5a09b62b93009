//! Certificates that change while the node runs: its own, the seal of a recorder, the time stamp
//! authority's, the door's, and the list of those that were revoked.
//!
//! The files are looked at every few seconds and on SIGHUP. What is new is checked before it is used;
//! what does not check leaves the old in use, and is tried again: between two renames the chain and
//! the key of one renewal do not fit.

use std::{collections::BTreeMap, path::Path, sync::Arc, time::Duration};

use futures::future::join_all;
use guitai_api::TlsSource;
use guitai_crypto::{
    keys::KeyStore,
    x509::{self, Identity},
};
use guitai_host::Clock;
use guitai_meta::{Meta, State};
use guitai_net::{Door, Mesh, Target};
use guitai_types::{Member, NodeName};
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::watch,
};

use super::certificate::Certificate;
use crate::{
    config::{Files, SignerFiles},
    exit::chain,
    identity::{self, Office},
};

/// How often the files are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// How often an inner node compares its lists with one other node, in turn; with every node as soon
/// as it has a newer one.
const COMPARE_EVERY: Duration = Duration::from_secs(4);

/// What was read last.
pub(crate) struct Renewal {
    files: Files,
    keys: KeyStore,
    mesh: Mesh,
    door: Door,
    chain: String,
    list: String,
    said: bool,
    signers: Vec<Signer>,
    /// Of the door's TCP port.
    certificate: Option<Certificate>,
}

/// A recorder's seal, or a time stamp authority: documents are signed with what was sent last, and each
/// carries the certificate it was signed with, so those of before verify as before.
struct Signer {
    office: Office,
    files: SignerFiles,
    roots: Vec<Vec<u8>>,
    clock: Arc<dyn Clock>,
    sender: watch::Sender<Identity>,
    /// The chain that was looked at last, whether it could be used or not.
    chain: String,
}

impl Renewal {
    /// Takes the revocation list that is there before anything is served; the certificate is the one
    /// `own`, which mesh and door were opened with.
    pub(crate) fn begin(
        files: &Files,
        keys: &KeyStore,
        own: &Identity,
        mesh: &Mesh,
        door: &Door,
    ) -> Self {
        let mut renewal = Self {
            files: files.clone(),
            keys: keys.clone(),
            mesh: mesh.clone(),
            door: door.clone(),
            chain: x509::certificates_to_pem(&own.chain),
            list: String::new(),
            said: false,
            signers: Vec::new(),
            certificate: None,
        };
        renewal.look();
        renewal
    }

    /// Also looks after the signer `present`; what is renewed arrives at the receiver.
    pub(crate) fn with_signer(
        &mut self,
        office: Office,
        files: &SignerFiles,
        roots: Vec<Vec<u8>>,
        present: Identity,
        clock: Arc<dyn Clock>,
    ) -> watch::Receiver<Identity> {
        let chain = x509::certificates_to_pem(&present.chain);
        let (sender, receiver) = watch::channel(present);
        self.signers.push(Signer {
            office,
            files: files.clone(),
            roots,
            clock,
            sender,
            chain,
        });
        receiver
    }

    /// Also looks after the certificate of the door's TCP port; what is served arrives at the receiver.
    pub(crate) fn with_certificate(
        &mut self,
        certificate: Option<Certificate>,
    ) -> Option<TlsSource> {
        self.certificate = certificate;
        self.certificate.as_ref().map(Certificate::source)
    }

    /// Looks at the files for ever.
    pub(crate) async fn follow(mut self) {
        let mut hangup = signal(SignalKind::hangup()).ok();
        loop {
            let told = async {
                match &mut hangup {
                    Some(hangup) => hangup.recv().await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = tokio::time::sleep(LOOK_EVERY) => {}
                _ = told => tracing::info!("SIGHUP: looking at the certificate files"),
            }
            self.look();
        }
    }

    fn look(&mut self) {
        self.look_at_list();
        for signer in &mut self.signers {
            signer.look(&self.keys);
        }
        if let Some(certificate) = &mut self.certificate {
            certificate.look();
        }
        let chain = read(&self.files.identity);
        if chain == self.chain || chain.is_empty() {
            return;
        }
        match self.renew() {
            Ok(()) => {
                self.chain = chain;
                self.said = false;
                // A list of an authority that only the new chain names is looked at again.
                self.list.clear();
                tracing::info!("the node's certificate was renewed");
            }
            // The first time it may be half-way.
            Err(error) if !self.said => {
                self.said = true;
                tracing::debug!(%error, "a new certificate is not used yet");
            }
            Err(error) => tracing::warn!(%error, "a new certificate cannot be used"),
        }
    }

    fn renew(&self) -> Result<(), String> {
        let own = identity::renewed(&self.files, &self.keys).map_err(|error| chain(&error))?;
        self.mesh.renew(&own).map_err(|error| chain(&error))?;
        self.door.renew(&own).map_err(|error| chain(&error))
    }

    fn look_at_list(&mut self) {
        let Some(path) = &self.files.crl else {
            return;
        };
        let list = read(path);
        if list == self.list || list.is_empty() {
            return;
        }
        let taken = x509::crl_from_pem(&list)
            .map_err(|error| chain(&error))
            .and_then(|der| self.mesh.take_list(&der).map_err(|error| chain(&error)));
        match taken {
            Ok(true) => tracing::info!(path = %path.display(), "took a newer revocation list"),
            Ok(false) => {}
            // Also what was brought by a peer meanwhile, and is newer than the file.
            Err(error) => tracing::warn!(%error, "the revocation list in the file was not taken"),
        }
        self.list = list;
    }
}

impl Signer {
    fn look(&mut self, keys: &KeyStore) {
        let chain = read(&self.files.chain);
        if chain == self.chain || chain.is_empty() {
            return;
        }
        let now_unix = self.clock.wall().0 / 1000;
        let present = self.sender.borrow().clone();
        let (office, roots) = (self.office, &self.roots);
        let renewed =
            identity::renewed_signer(office, &self.files, keys, &present, roots, now_unix);
        match renewed {
            Ok(signer) => {
                self.sender.send_replace(signer);
                self.chain = chain;
                tracing::info!(?office, "a signer of documents was renewed");
            }
            // Between two renames chain and key do not fit: the next look may find them whole.
            Err(error) => {
                let error = crate::exit::chain(&error);
                tracing::warn!(?office, %error, "a new signer is not used; the one before signs on");
            }
        }
    }
}

/// Brings the lists of this inner node and all others to the same state: edges have nobody else who
/// would bring them one.
pub(crate) async fn spread(me: Member, meta: Meta, mesh: Mesh) {
    let mut told: BTreeMap<NodeName, Vec<String>> = BTreeMap::new();
    let mut turn = 0;
    loop {
        tokio::time::sleep(COMPARE_EVERY).await;
        let numbers = mesh.lists();
        let numbers: Vec<String> = numbers.iter().map(|one| one.number().to_string()).collect();
        if numbers.is_empty() {
            continue;
        }
        let members: Vec<Member> = meta.peek(|state: &State| {
            let others = state.members().filter(|member| member.name != me.name);
            others.cloned().collect()
        });
        turn = (turn + 1) % members.len().max(1);
        let due = members
            .iter()
            .enumerate()
            .filter(|(index, member)| *index == turn || told.get(&member.name) != Some(&numbers));
        let asked = due.map(|(_, member)| compare(&mesh, member));
        for name in join_all(asked).await.into_iter().flatten() {
            told.insert(name, numbers.clone());
        }
    }
}

/// Compares with one member; its name if it answered.
async fn compare(mesh: &Mesh, member: &Member) -> Option<NodeName> {
    match mesh.compare_lists(&Target::from(member)).await {
        Ok(()) => Some(member.name.clone()),
        Err(error) => {
            tracing::debug!(node = %member.name, %error, "revocation lists not compared");
            None
        }
    }
}

/// A file that cannot be read says nothing now; the next look may.
fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_default()
}
