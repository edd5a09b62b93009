//! Revoked certificates: who is refused, and which connections end.
//!
//! TLS has checked a peer's chain; whether one of its certificates was withdrawn since is checked
//! here, after every handshake, full or resumed, at both ends, and for every open connection when a
//! newer list arrives. A list is believed for its issuer's signature and only if it is newer than
//! the one held, so it may come from a file or from any peer.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
};

use guitai_crypto::x509::{self, CertificateId, ChainError, Crl, CrlError};
use guitai_types::Hex;
use quinn::{Connection, VarInt};
use rustls_pki_types::CertificateDer;

use crate::{
    mesh::{CODE_FORBIDDEN, lock},
    name::Peer,
};

/// Closing code: a certificate of the peer's chain is revoked.
pub const CODE_REVOKED: VarInt = VarInt::from_u32(4);
/// What the peer reads beside the code.
const REASON: &[u8] = b"certificate revoked";
/// What the peer reads when the flow matrix does not declare the connection any more.
const UNDECLARED: &[u8] = b"not declared any more";
/// Issuers whose lists are held; a cluster has a root and an intermediate or two.
const ISSUERS_MAX: usize = 8;

/// Why a connection whose TLS is in order is not used.
#[derive(Debug, thiserror::Error)]
pub enum ExamineError {
    /// The peer showed no certificate, or one that names no node.
    #[error("the certificate names no node")]
    Nameless,
    /// Its key may not sign, or it does not parse.
    #[error("certificate of the peer")]
    Certificate(#[from] ChainError),
    /// Expired since TLS verified it: a resumed session rests on an earlier check, up to
    /// `tls::RESUMPTION_SECONDS_MAX` ago.
    #[error("the certificate expired at {not_after} (seconds since 1970)")]
    Expired {
        /// When.
        not_after: u64,
    },
    /// Withdrawn.
    #[error("certificate {serial} of {peer} is revoked ({reason})")]
    Revoked {
        /// Whose.
        peer: Peer,
        /// Its serial number.
        serial: Hex,
        /// As RFC 5280 names it.
        reason: &'static str,
    },
}

/// Numbers of the certificates of a mesh, since it was opened.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CertificateStats {
    /// Own certificate's end, seconds since 1970.
    pub not_after: u64,
    /// How often the own certificate was replaced.
    pub renewals: u64,
    /// Connections open now.
    pub open: usize,
    /// Connections made so far, by ALPN.
    pub opened: BTreeMap<String, u64>,
    /// Connections refused for a revoked certificate.
    pub refused_revoked: u64,
    /// Open connections ended for a revoked certificate.
    pub closed_revoked: u64,
    /// Number and nextUpdate of each revocation list held, by its issuer's name.
    pub lists: Vec<(String, String, u64)>,
}

/// Lists held and connections open.
#[derive(Default)]
pub(crate) struct Revocations {
    held: Mutex<BTreeMap<Vec<u8>, Arc<Crl>>>,
    open: Mutex<Vec<Open>>,
    opened: Mutex<BTreeMap<String, u64>>,
    refused: AtomicU64,
    closed: AtomicU64,
}

struct Open {
    conn: Connection,
    peer: Peer,
    alpn: String,
    /// This node opened it.
    dialled: bool,
    /// The certificate it showed, DER.
    leaf: Vec<u8>,
    chain: Vec<CertificateId>,
}

impl Revocations {
    /// Who the peer is. From here on the connection ends when its certificate is revoked.
    pub(crate) fn examine(
        &self,
        conn: &Connection,
        alpn: &str,
        dialled: bool,
        now_unix: u64,
    ) -> Result<Peer, ExamineError> {
        let identity = conn.peer_identity().ok_or(ExamineError::Nameless)?;
        let chain = identity.downcast::<Vec<CertificateDer<'static>>>();
        let chain = chain.map_err(|_| ExamineError::Nameless)?;
        let leaf = chain.first().ok_or(ExamineError::Nameless)?;
        let read = x509::dangerous_read_unverified(leaf)?;
        let not_after = read.not_after;
        if not_after < now_unix {
            return Err(ExamineError::Expired { not_after });
        }
        let peer = Peer::of_certificate(&read.dns_names).ok_or(ExamineError::Nameless)?;
        x509::check_may_sign(leaf)?;
        let leaf = leaf.to_vec();
        let chain = chain.iter().map(|one| x509::identify(one));
        let chain = chain.collect::<Result<Vec<_>, _>>()?;
        // First among the open ones, then looked up: a list that arrives in between meets one of the
        // two.
        let open = Open {
            conn: conn.clone(),
            peer: peer.clone(),
            alpn: alpn.to_owned(),
            dialled,
            leaf,
            chain: chain.clone(),
        };
        {
            let mut all = lock(&self.open);
            all.retain(|one| one.conn.close_reason().is_none());
            all.push(open);
        }
        if let Some(refused) = self.find(&peer, &chain) {
            self.refused.fetch_add(1, Ordering::Relaxed);
            conn.close(CODE_REVOKED, REASON);
            return Err(refused);
        }
        *lock(&self.opened).entry(alpn.to_owned()).or_default() += 1;
        Ok(peer)
    }

    /// Takes a list (DER) if one of `issuers` (DER certificates) signed it and it is newer than the
    /// one held, and ends what it revokes. `false` if it is the one held.
    pub(crate) fn take(
        &self,
        list: &[u8],
        issuers: &[Vec<u8>],
        now_unix: u64,
    ) -> Result<bool, CrlError> {
        let list = Crl::from_der(list)?;
        // The last refusal is said: with one issuer of that name it is the one that matters.
        let mut verified = Err(CrlError::Issuer {
            found: list.issuer_text().to_owned(),
        });
        for issuer in issuers {
            match list.verify(issuer, now_unix) {
                Ok(()) => {
                    verified = Ok(());
                    break;
                }
                Err(CrlError::Issuer { .. }) => {}
                Err(error) => verified = Err(error),
            }
        }
        verified?;
        {
            let mut held = lock(&self.held);
            if let Some(known) = held.get(list.issuer()) {
                if known.as_der() == list.as_der() {
                    return Ok(false);
                }
                list.check_newer_than(known)?;
            }
            if held.len() < ISSUERS_MAX || held.contains_key(list.issuer()) {
                held.insert(list.issuer().to_vec(), Arc::new(list));
            }
        }
        self.close_revoked();
        Ok(true)
    }

    /// The lists held.
    pub(crate) fn lists(&self) -> Vec<Arc<Crl>> {
        lock(&self.held).values().cloned().collect()
    }

    /// Ends every open connection that `may` refuses, asked with its ALPN, its peer, and whether this node opened it.
    pub(crate) fn end_unless(&self, may: impl Fn(&str, &Peer, bool) -> bool) {
        let mut all = lock(&self.open);
        all.retain(|one| {
            let stays = one.conn.close_reason().is_none() && may(&one.alpn, &one.peer, one.dialled);
            if !stays {
                one.conn.close(CODE_FORBIDDEN, UNDECLARED);
            }
            stays
        });
    }

    /// Peers of the open connections, each with the certificate (DER) that it showed last.
    pub(crate) fn met(&self) -> BTreeMap<Peer, Vec<u8>> {
        let mut all = lock(&self.open);
        all.retain(|one| one.conn.close_reason().is_none());
        // Later connections stand behind earlier ones.
        let met = all.iter().map(|one| (one.peer.clone(), one.leaf.clone()));
        met.collect()
    }

    pub(crate) fn stats(&self) -> CertificateStats {
        let open = {
            let mut all = lock(&self.open);
            all.retain(|one| one.conn.close_reason().is_none());
            all.len()
        };
        let lists = self.lists();
        let lists = lists.iter().map(|list| {
            let issuer = list.issuer_text().to_owned();
            (issuer, list.number().to_string(), list.next_update())
        });
        CertificateStats {
            open,
            opened: lock(&self.opened).clone(),
            refused_revoked: self.refused.load(Ordering::Relaxed),
            closed_revoked: self.closed.load(Ordering::Relaxed),
            lists: lists.collect(),
            ..CertificateStats::default()
        }
    }

    fn find(&self, peer: &Peer, chain: &[CertificateId]) -> Option<ExamineError> {
        let held = lock(&self.held);
        chain.iter().find_map(|one| {
            let revoked = held.get(&one.issuer)?.revokes(one)?;
            Some(ExamineError::Revoked {
                peer: peer.clone(),
                serial: Hex(one.serial.clone()),
                reason: revoked.reason.as_str(),
            })
        })
    }

    fn close_revoked(&self) {
        let mut all = lock(&self.open);
        all.retain(|one| {
            if one.conn.close_reason().is_some() {
                return false;
            }
            let Some(revoked) = self.find(&one.peer, &one.chain) else {
                return true;
            };
            tracing::warn!(peer = %one.peer, error = %revoked, "connection ended");
            one.conn.close(CODE_REVOKED, REASON);
            self.closed.fetch_add(1, Ordering::Relaxed);
            false
        });
    }
}
