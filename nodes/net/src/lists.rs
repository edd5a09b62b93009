//! How revocation lists travel: `guitai-crl/1`, opened by inner nodes to everyone.
//!
//! An inner node tells another which list it holds; whoever has the newer one gives it. So a list
//! that reaches one inner node reaches all, and every edge, whom only inner nodes reach. Lists are
//! signed: a peer can withhold one but not make or alter one.

use std::sync::Arc;

use guitai_crypto::{
    sm3,
    x509::{CRL_BYTES_MAX, Crl, ListNumber},
};
use guitai_types::limits::RPC_BYTES_MAX;

use crate::{CRL_ALPN, mesh::Mesh, name::Target, pool::CallError};

/// Request: which list is held. 32 bytes SM3 of the issuer's name, 20 bytes number.
const OFFER: u8 = 0;
/// Request: a list.
const GIVE: u8 = 1;
/// Answer: nothing to do, or taken.
const DONE: u8 = 0;
/// Answer to [`OFFER`]: give it.
const WANTED: u8 = 1;
/// Answer to [`OFFER`]: here is a newer one.
const NEWER: u8 = 2;
/// Answer to [`GIVE`]: not taken.
const REFUSED: u8 = 3;

const _: () = assert!(CRL_BYTES_MAX < RPC_BYTES_MAX);

impl Mesh {
    /// Answers what other nodes say about revocation lists.
    pub fn serve_lists(&self) {
        let mesh = self.clone();
        self.serve_calls(
            CRL_ALPN,
            Arc::new(move |peer, request| {
                let answer = mesh.answer(&request);
                if answer.first() == Some(&REFUSED) {
                    tracing::warn!(%peer, "a revocation list from this peer was not taken");
                }
                Box::pin(std::future::ready(Some(answer)))
            }),
        );
    }

    /// Brings this node and another to the same lists.
    pub async fn compare_lists(&self, with: &Target) -> Result<(), CallError> {
        for list in self.lists() {
            let offer = [&[OFFER][..], &digest(&list), &list.number().to_bytes()].concat();
            let answer = self.call(with, CRL_ALPN, offer).await?;
            match answer.split_first() {
                Some((&WANTED, _)) => {
                    let give = [&[GIVE], list.as_der()].concat();
                    self.call(with, CRL_ALPN, give).await?;
                }
                Some((&NEWER, list)) => self.take_from(with.peer(), list),
                _ => {}
            }
        }
        Ok(())
    }

    fn take_from(&self, peer: crate::Peer, list: &[u8]) {
        match self.take_list(list) {
            Ok(true) => tracing::info!(%peer, "took a newer revocation list"),
            Ok(false) => {}
            Err(error) => {
                let error: &dyn std::error::Error = &error;
                tracing::warn!(%peer, error, "a revocation list was not taken");
            }
        }
    }

    fn answer(&self, request: &[u8]) -> Vec<u8> {
        match request.split_first() {
            Some((&OFFER, rest)) => self.answer_offer(rest),
            Some((&GIVE, list)) => match self.take_list(list) {
                Ok(_) => vec![DONE],
                Err(error) => [&[REFUSED], error.to_string().as_bytes()].concat(),
            },
            _ => vec![REFUSED],
        }
    }

    fn answer_offer(&self, offer: &[u8]) -> Vec<u8> {
        let Some((issuer, number)) = offer.split_at_checked(sm3::DIGEST_BYTES) else {
            return vec![REFUSED];
        };
        let Some(offered) = ListNumber::from_bytes(number) else {
            return vec![REFUSED];
        };
        let lists = self.lists();
        match lists.iter().find(|list| digest(list) == issuer) {
            Some(held) if held.number() > offered => [&[NEWER], held.as_der()].concat(),
            Some(held) if held.number() == offered => vec![DONE],
            _ => vec![WANTED],
        }
    }
}

fn digest(list: &Crl) -> [u8; sm3::DIGEST_BYTES] {
    sm3::hash(list.issuer())
}
