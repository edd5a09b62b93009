//! The hybrid group curveSM2MLKEM768: SM2 key agreement beside ML-KEM-768 (FIPS 203), as OpenSSL 4.0
//! and draft-yang-tls-hybrid-sm2-mlkem have it.
//!
//! A recording of today's traffic stays secret unless *both* are broken, so a later quantum computer
//! alone opens nothing. Shares are the SM2 point, then the ML-KEM encapsulation key (client) or
//! ciphertext (server); the secret is the x coordinate, then ML-KEM's shared secret. ML-KEM is no
//! Chinese standard: it adds to curveSM2 and replaces nothing of it.

use ml_kem::kem::{Decapsulate as _, KeyExport as _};
use ml_kem::ml_kem_768::{Ciphertext, DecapsulationKey, EncapsulationKey};
use ml_kem::{B32, Key, Seed};
use ring::rand::{SecureRandom as _, SystemRandom};
use rustls::crypto::{
    ActiveKeyExchange, CompletedKeyExchange, GetRandomFailed, SharedSecret, SupportedKxGroup,
};
use rustls::{Error, NamedGroup, PeerMisbehaved, ProtocolVersion};
use zeroize::{Zeroize as _, Zeroizing};

use super::kx::Exchange;
use crate::sm2::POINT_BYTES;

/// Bytes of an ML-KEM-768 encapsulation key (FIPS 203, table 3).
const ENCAPSULATION_KEY_BYTES: usize = 1184;
/// Bytes of an ML-KEM-768 ciphertext (FIPS 203, table 3).
const CIPHERTEXT_BYTES: usize = 1088;
/// Bytes of each of the two secrets.
const SECRET_BYTES: usize = 32;

#[derive(Debug)]
pub(super) struct CurveSm2MlKem768;

impl SupportedKxGroup for CurveSm2MlKem768 {
    fn start(&self) -> Result<Box<dyn ActiveKeyExchange>, Error> {
        let classical = Exchange::start()?;
        let mut seed = Zeroizing::new(Seed::default());
        random(&mut seed)?;
        let post_quantum = DecapsulationKey::from_seed(*seed);
        let key = post_quantum.encapsulation_key().to_bytes();
        let share = [classical.point(), key.as_slice()].concat();
        Ok(Box::new(Started {
            classical,
            post_quantum,
            share,
        }))
    }

    /// The server's part: it needs the client's share before it can make its own.
    fn start_and_complete(&self, peer: &[u8]) -> Result<CompletedKeyExchange, Error> {
        let (point, key) = split(peer, ENCAPSULATION_KEY_BYTES)?;
        // Checks the modulus of every coefficient (FIPS 203, 7.2).
        let key = Key::<EncapsulationKey>::try_from(key)
            .ok()
            .and_then(|key| EncapsulationKey::new(&key).ok())
            .ok_or(PeerMisbehaved::InvalidKeyShare)?;
        let classical = Exchange::start()?;
        let agreed = classical.agree(point)?;
        let mut message = Zeroizing::new(B32::default());
        random(&mut message)?;
        let (ciphertext, mut encapsulated) = key.encapsulate_deterministic(&message);
        let secret = join(agreed.as_slice(), &encapsulated);
        encapsulated.zeroize();
        Ok(CompletedKeyExchange {
            group: self.name(),
            pub_key: [classical.point(), ciphertext.as_slice()].concat(),
            secret,
        })
    }

    fn name(&self) -> NamedGroup {
        NamedGroup::Unknown(super::HYBRID_GROUP)
    }

    fn usable_for_version(&self, version: ProtocolVersion) -> bool {
        version == ProtocolVersion::TLSv1_3
    }
}

/// The client's half; both secrets are erased on drop by their own types.
struct Started {
    classical: Exchange,
    post_quantum: DecapsulationKey,
    share: Vec<u8>,
}

impl ActiveKeyExchange for Started {
    fn complete(self: Box<Self>, peer: &[u8]) -> Result<SharedSecret, Error> {
        let (point, ciphertext) = split(peer, CIPHERTEXT_BYTES)?;
        let ciphertext =
            Ciphertext::try_from(ciphertext).map_err(|_| PeerMisbehaved::InvalidKeyShare)?;
        let agreed = self.classical.agree(point)?;
        // A wrong ciphertext gives a wrong secret, not an error (FIPS 203, 6.3): Finished finds it.
        let mut decapsulated = self.post_quantum.decapsulate(&ciphertext);
        let secret = join(agreed.as_slice(), &decapsulated);
        decapsulated.zeroize();
        Ok(secret)
    }

    /// The same point goes out as a share of curveSM2 alone, so that a server without ML-KEM needs
    /// no HelloRetryRequest (draft-ietf-tls-hybrid-design, 3.2).
    fn hybrid_component(&self) -> Option<(NamedGroup, &[u8])> {
        Some((self.classical.group(), self.classical.pub_key()))
    }

    fn complete_hybrid_component(self: Box<Self>, peer: &[u8]) -> Result<SharedSecret, Error> {
        Box::new(self.classical).complete(peer)
    }

    fn pub_key(&self) -> &[u8] {
        &self.share
    }

    fn group(&self) -> NamedGroup {
        NamedGroup::Unknown(super::HYBRID_GROUP)
    }
}

/// The point and the ML-KEM part, which must have `post_quantum_bytes`.
fn split(share: &[u8], post_quantum_bytes: usize) -> Result<(&[u8], &[u8]), PeerMisbehaved> {
    match share.split_at_checked(POINT_BYTES) {
        Some((point, rest)) if rest.len() == post_quantum_bytes => Ok((point, rest)),
        _ => Err(PeerMisbehaved::InvalidKeyShare),
    }
}

/// rustls erases what it is given; the capacity is exact, so that nothing moves and leaves a copy.
fn join(classical: &[u8], post_quantum: &[u8]) -> SharedSecret {
    let mut secret = Vec::with_capacity(2 * SECRET_BYTES);
    secret.extend_from_slice(classical);
    secret.extend_from_slice(post_quantum);
    SharedSecret::from(secret)
}

fn random(out: &mut [u8]) -> Result<(), GetRandomFailed> {
    SystemRandom::new().fill(out).map_err(|_| GetRandomFailed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client() -> Box<dyn ActiveKeyExchange> {
        CurveSm2MlKem768.start().unwrap()
    }

    fn served(share: &[u8]) -> Result<CompletedKeyExchange, Error> {
        CurveSm2MlKem768.start_and_complete(share)
    }

    fn refused() -> Error {
        Error::PeerMisbehaved(PeerMisbehaved::InvalidKeyShare)
    }

    #[test]
    fn both_ends_agree_on_both_secrets() {
        let client = client();
        assert_eq!(client.pub_key().len(), 65 + 1184);
        let server = served(client.pub_key()).unwrap();
        assert_eq!(server.pub_key.len(), 65 + 1088);
        let secret = client.complete(&server.pub_key).unwrap();
        assert_eq!(secret.secret_bytes(), server.secret.secret_bytes());
        assert_eq!(secret.secret_bytes().len(), 64);
    }

    #[test]
    fn the_classical_half_serves_alone() {
        use super::super::kx::CurveSm2;
        let client = client();
        let (group, point) = client.hybrid_component().unwrap();
        assert_eq!(group, NamedGroup::Unknown(super::super::GROUP));
        let server = CurveSm2.start_and_complete(point).unwrap();
        let secret = client.complete_hybrid_component(&server.pub_key).unwrap();
        assert_eq!(secret.secret_bytes(), server.secret.secret_bytes());
    }

    #[test]
    fn shares_of_wrong_length_are_refused_at_both_ends() {
        let (first, second) = (client(), client());
        let share = first.pub_key().to_vec();
        let answer = served(second.pub_key()).unwrap().pub_key;
        for length in (0..70).chain(share.len() - 5..share.len()) {
            assert_eq!(served(&share[..length]).err(), Some(refused()), "{length}");
        }
        for length in (0..70).chain(answer.len() - 5..answer.len()) {
            let got = client().complete(&answer[..length]).err();
            assert_eq!(got, Some(refused()), "{length}");
        }
        let longer = |bytes: &[u8]| [bytes, &[0]].concat();
        assert_eq!(served(&longer(&share)).err(), Some(refused()));
        let got = client().complete(&longer(&answer)).err();
        assert_eq!(got, Some(refused()));
        // Each end's share is of no use at the other.
        assert_eq!(served(&answer).err(), Some(refused()));
        assert_eq!(client().complete(&share).err(), Some(refused()));
    }

    #[test]
    fn points_off_the_curve_are_refused_at_both_ends() {
        let first = client();
        let mut share = first.pub_key().to_vec();
        let mut answer = served(&share).unwrap().pub_key;
        share[64] ^= 1;
        answer[64] ^= 1;
        assert_eq!(served(&share).err(), Some(refused()));
        assert_eq!(first.complete(&answer).err(), Some(refused()));
    }

    /// FIPS 203, 7.2: a key whose coefficients are not reduced modulo q = 3329 is no key.
    #[test]
    fn encapsulation_keys_that_are_not_reduced_are_refused() {
        let share = client().pub_key().to_vec();
        for coefficient in [3329_u16, 4095] {
            let mut bad = share.clone();
            bad[65] = coefficient as u8;
            bad[66] = (bad[66] & 0xf0) | (coefficient >> 8) as u8;
            assert_eq!(served(&bad).err(), Some(refused()), "{coefficient}");
        }
    }

    /// FIPS 203, 6.3: implicit rejection. The ends then hold different secrets.
    #[test]
    fn an_altered_ciphertext_gives_another_secret() {
        let client = client();
        let server = served(client.pub_key()).unwrap();
        let mut answer = server.pub_key.clone();
        answer[65 + 500] ^= 1;
        let secret = client.complete(&answer).unwrap();
        let (ours, theirs) = (secret.secret_bytes(), server.secret.secret_bytes());
        assert_eq!(ours[..32], theirs[..32], "the SM2 half");
        assert_ne!(ours[32..], theirs[32..], "the ML-KEM half");
    }
}
