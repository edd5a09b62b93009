//! Key exchange over curveSM2 (RFC 8998, 3.2.1): plain ECDH, the secret is the x coordinate.

use rustls::crypto::{ActiveKeyExchange, GetRandomFailed, SharedSecret, SupportedKxGroup};
use rustls::{Error, NamedGroup, PeerMisbehaved};
use sm2::elliptic_curve::Generate as _;
use sm2::elliptic_curve::ecdh::diffie_hellman;
use sm2::elliptic_curve::sec1::ToSec1Point as _;

use crate::sm2::POINT_BYTES;

#[derive(Debug)]
pub(super) struct CurveSm2;

impl SupportedKxGroup for CurveSm2 {
    fn start(&self) -> Result<Box<dyn ActiveKeyExchange>, Error> {
        // Not `generate`: a panic here would poison quinn's endpoint.
        let secret = sm2::SecretKey::try_generate().map_err(|_| GetRandomFailed)?;
        let point = secret.public_key().to_sec1_point(false).as_bytes().to_vec();
        Ok(Box::new(Exchange { secret, point }))
    }

    fn name(&self) -> NamedGroup {
        NamedGroup::Unknown(super::GROUP)
    }
}

struct Exchange {
    /// Erased on drop by its own type.
    secret: sm2::SecretKey,
    point: Vec<u8>,
}

impl ActiveKeyExchange for Exchange {
    fn complete(self: Box<Self>, peer: &[u8]) -> Result<SharedSecret, Error> {
        if peer.len() != POINT_BYTES || peer.first() != Some(&0x04) {
            return Err(PeerMisbehaved::InvalidKeyShare.into());
        }
        let peer =
            sm2::PublicKey::from_sec1_bytes(peer).map_err(|_| PeerMisbehaved::InvalidKeyShare)?;
        let shared = diffie_hellman(self.secret.to_nonzero_scalar(), peer.as_affine());
        Ok(SharedSecret::from(shared.raw_secret_bytes().as_slice()))
    }

    fn pub_key(&self) -> &[u8] {
        &self.point
    }

    fn group(&self) -> NamedGroup {
        NamedGroup::Unknown(super::GROUP)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ends_agree_and_bad_points_are_refused() {
        let (a, b) = (CurveSm2.start().unwrap(), CurveSm2.start().unwrap());
        let (from_a, from_b) = (a.pub_key().to_vec(), b.pub_key().to_vec());
        let (at_a, at_b) = (a.complete(&from_b).unwrap(), b.complete(&from_a).unwrap());
        assert_eq!(at_a.secret_bytes(), at_b.secret_bytes());

        let mut off_curve = from_a.clone();
        off_curve[64] ^= 1;
        let bad: [&[u8]; 5] = [&[], &[0], &off_curve, &from_a[..64], &[4; 66]];
        for point in bad {
            let refused = CurveSm2.start().unwrap().complete(point).map(drop);
            let expected = Error::PeerMisbehaved(PeerMisbehaved::InvalidKeyShare);
            assert_eq!(refused.unwrap_err(), expected);
        }
    }
}
