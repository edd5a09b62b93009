//! Key exchange over curveSM2 (RFC 8998, 3.2.1): plain ECDH, the secret is the x coordinate.

use rustls::crypto::{ActiveKeyExchange, GetRandomFailed, SharedSecret, SupportedKxGroup};
use rustls::{Error, NamedGroup, PeerMisbehaved};
use zeroize::Zeroizing;

use crate::sm2::{POINT_BYTES, PublicKey, SecretKey};

#[derive(Debug)]
pub(super) struct CurveSm2;

impl SupportedKxGroup for CurveSm2 {
    fn start(&self) -> Result<Box<dyn ActiveKeyExchange>, Error> {
        Ok(Box::new(Exchange::start()?))
    }

    fn name(&self) -> NamedGroup {
        NamedGroup::Unknown(super::GROUP)
    }
}

/// One end's half of an exchange.
pub(super) struct Exchange {
    /// Erased on drop by its own type.
    secret: SecretKey,
    point: [u8; POINT_BYTES],
}

impl Exchange {
    /// Draws a key pair.
    pub(super) fn start() -> Result<Self, Error> {
        // Not `generate`: a panic here would poison quinn's endpoint.
        let secret = SecretKey::try_generate().map_err(|_| GetRandomFailed)?;
        let point = secret.public().to_point();
        Ok(Self { secret, point })
    }

    /// The public half, an uncompressed point.
    pub(super) fn point(&self) -> &[u8; POINT_BYTES] {
        &self.point
    }

    /// The secret shared with the holder of `peer`.
    ///
    /// # Errors
    /// When `peer` is not an uncompressed point on the curve, or is the point at infinity.
    pub(super) fn agree(&self, peer: &[u8]) -> Result<Zeroizing<[u8; 32]>, PeerMisbehaved> {
        let peer = PublicKey::from_point(peer).map_err(|_| PeerMisbehaved::InvalidKeyShare)?;
        Ok(self.secret.agree(&peer))
    }
}

impl ActiveKeyExchange for Exchange {
    fn complete(self: Box<Self>, peer: &[u8]) -> Result<SharedSecret, Error> {
        Ok(SharedSecret::from(self.agree(peer)?.as_slice()))
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
