//! Tells the cluster which certificates and keys this node has, whenever that is other than what is known: the
//! transparency log then says which was in use when.

use std::{sync::Arc, time::Duration};

use guitai_crypto::{
    keys::KeyStore,
    sm3,
    x509::{self, Identity},
};
use guitai_meta::Meta;
use guitai_net::Mesh;
use guitai_types::{
    Hex, Member, NodeName, Zone,
    command::{Command, Reply},
    custody::{CertificateUse, HeldCertificate, HeldKey, HeldList, Holding},
};
use tokio::sync::watch;

/// How often a node looks what it has.
const LOOK_EVERY: Duration = Duration::from_secs(3);

/// Where it looks.
pub(crate) struct Custodian {
    pub(crate) member: Member,
    pub(crate) meta: Meta,
    pub(crate) mesh: Mesh,
    pub(crate) keys: KeyStore,
    /// Those that documents are signed with.
    pub(crate) signers: Vec<(CertificateUse, watch::Receiver<Identity>)>,
}

impl Custodian {
    /// Looks for as long as the node runs.
    pub(crate) async fn follow(self) {
        let this = Arc::new(self);
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            for (node, holding) in this.news() {
                this.tell(node, holding).await;
            }
        }
    }

    /// What the cluster does not know yet.
    fn news(&self) -> Vec<(NodeName, Holding)> {
        let own = [self.certificates(), self.keys()];
        let own = own
            .into_iter()
            .map(|holding| (self.member.name.clone(), holding));
        let mut all: Vec<_> = own.collect();
        let edges = self.mesh.met().into_iter();
        all.extend(edges.filter_map(|(peer, leaf)| {
            // Inner nodes speak for themselves; a node of the DMZ says nothing to the cluster.
            let certificate =
                held(CertificateUse::Node, &leaf).filter(|_| peer.zone == Zone::Dmz)?;
            let is_newer = self.meta.peek(|state| {
                let known = state.custody(&peer.name);
                let mut known = known.into_iter().flat_map(|known| &known.certificates);
                // A resumed session shows the certificate of the session before.
                known.all(|known| known.not_after_unix < certificate.not_after_unix)
            });
            let holding = Holding::Certificates {
                certificates: vec![certificate],
                lists: Vec::new(),
            };
            is_newer.then_some((peer.name, holding))
        }));
        self.meta.peek(|state| {
            if state.log().is_none() {
                return Vec::new();
            }
            let is_news = |(node, holding): &(NodeName, Holding)| {
                let is_member = state.member(node).is_some();
                let known = state.custody(node);
                is_member && !known.is_some_and(|known| known.is_known(holding))
            };
            all.into_iter().filter(is_news).collect()
        })
    }

    fn certificates(&self) -> Holding {
        let signers = self.signers.iter().filter_map(|(usage, signer)| {
            let leaf = signer.borrow().chain.first().cloned();
            held(*usage, &leaf?)
        });
        let node = held(CertificateUse::Node, &self.mesh.certificate());
        let mut certificates: Vec<_> = node.into_iter().chain(signers).collect();
        certificates.sort();
        certificates.dedup();
        let lists = self.mesh.lists();
        let mut lists: Vec<_> = lists
            .iter()
            .map(|list| HeldList {
                issuer: list.issuer_text().to_owned(),
                number: list.number().to_string(),
            })
            .collect();
        lists.sort();
        lists.dedup();
        Holding::Certificates {
            certificates,
            lists,
        }
    }

    fn keys(&self) -> Holding {
        let (root, keks) = self.keys.held();
        let keks = keks.into_iter().map(|kek| HeldKey {
            id: kek.id.to_string(),
            purpose: kek.purpose.to_string(),
            generation: kek.generation,
            created_unix: kek.created_unix,
        });
        let root = HeldKey {
            id: root.id.to_string(),
            purpose: "root".to_owned(),
            generation: root.generation,
            created_unix: root.created_unix,
        };
        let mut keys: Vec<_> = keks.chain([root]).collect();
        keys.sort();
        keys.dedup();
        Holding::Keys { keys }
    }

    async fn tell(&self, node: NodeName, holding: Holding) {
        let by = self.member.name.clone();
        let told = Command::PutHolding {
            node: node.clone(),
            by,
            holding,
        };
        // What does not come through is seen again at the next look.
        match self.meta.write(told).await {
            Ok(Reply::Refused { problem }) => {
                tracing::warn!(%node, %problem, "what it holds is not written down");
            }
            Ok(_) => {}
            Err(error) => tracing::debug!(%node, %error, "what it holds is not written down yet"),
        }
    }
}

fn held(usage: CertificateUse, leaf: &[u8]) -> Option<HeldCertificate> {
    let not_after_unix = x509::dangerous_read_unverified(leaf).ok()?.not_after;
    Some(HeldCertificate {
        usage,
        serial: Hex(x509::identify(leaf).ok()?.serial),
        sm3: Hex(sm3::hash(leaf).to_vec()),
        not_after_unix,
    })
}
