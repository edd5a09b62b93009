//! Tokens: [`Claims`] with an SM2 signature around them.
//!
//! `base64url(JSON of the claims) "." base64url(signature, DER)`, without padding. Core nodes sign;
//! relays and edges hold only the public key. The signature is checked before the JSON is looked at.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use guitai_crypto::sm2::{PublicKey, SecretKey};
use guitai_types::{Epoch, UnixMillis, claims::Claims, limits::ID_BYTES_MAX, permit::Permit};

/// The only version of claims there is.
const VERSION: u8 = 1;
/// Longest token in bytes: media claims with the longest ids stay under 1 KiB.
pub const TOKEN_BYTES_MAX: usize = 2048;
/// Longest SM2 signature in DER: a sequence of two integers of 33 bytes.
const SIGNATURE_BYTES_MAX: usize = 72;
/// Tokens remembered as well signed.
const FOUND_MAX: usize = 4_096;

const _: () = assert!(TOKEN_BYTES_MAX > 2 * (8 * ID_BYTES_MAX + SIGNATURE_BYTES_MAX));

/// Before the JSON of a permit when it is signed.
const PERMIT_WORD: &[u8] = b"guitai-permit/1\0";

/// Why a token is refused. Says nothing of the token's content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// There is none.
    #[error("no token")]
    Missing,
    /// Not what a token looks like, or longer than [`TOKEN_BYTES_MAX`].
    #[error("not a token")]
    Malformed,
    /// Nobody we know signed it.
    #[error("the token's signature does not verify")]
    Signature,
    /// It was good once.
    #[error("the token has expired")]
    Expired,
    /// Issued before authority moved.
    #[error("the token is of an older epoch")]
    OldEpoch,
}

/// Issues tokens; only core nodes have one.
pub struct Signer(SecretKey);

impl Signer {
    /// Signs with the cluster's ticket key.
    pub fn new(key: SecretKey) -> Self {
        Self(key)
    }

    /// The verifier of this signer's tokens.
    pub fn verifier(&self) -> Verifier {
        Verifier::new(self.0.public())
    }

    /// The signed form of a permit. What is signed begins with a word of its own, so that no claims are
    /// ever taken for a permit, nor a permit for claims.
    pub fn permit(&self, permit: &Permit) -> String {
        let json = serde_json::to_vec(permit).unwrap_or_default();
        let signature = self.0.sign(&[PERMIT_WORD, &json].concat());
        let mut token = URL_SAFE_NO_PAD.encode(json);
        token.push('.');
        URL_SAFE_NO_PAD.encode_string(signature, &mut token);
        token
    }

    /// The token for these claims.
    pub fn sign(&self, claims: &Claims) -> String {
        // Claims are plain data and always serialise. Were it otherwise, the token would be one
        // that no verifier takes.
        let claims = serde_json::to_vec(claims).unwrap_or_default();
        let signature = self.0.sign(&claims);
        let mut token = URL_SAFE_NO_PAD.encode(claims);
        token.push('.');
        URL_SAFE_NO_PAD.encode_string(signature, &mut token);
        token
    }
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Signer")
    }
}

/// Checks tokens; clones share what they have found.
#[derive(Clone)]
pub struct Verifier {
    key: PublicKey,
    found: Arc<Mutex<Found>>,
}

/// What tokens say whose signature was found good, by the SM3 hash of the token: a page sends the same one
/// with every request, and a signature costs more than the rest of a request. In two generations, so that
/// what is in use stays when there is no room for more.
#[derive(Default)]
struct Found {
    young: HashMap<[u8; 32], Claims>,
    old: HashMap<[u8; 32], Claims>,
}

impl Found {
    fn get(&mut self, token: &[u8; 32]) -> Option<Claims> {
        if let Some(claims) = self.young.get(token) {
            return Some(claims.clone());
        }
        let claims = self.old.remove(token)?;
        self.put(*token, claims.clone());
        Some(claims)
    }

    fn put(&mut self, token: [u8; 32], claims: Claims) {
        if self.young.len() >= FOUND_MAX / 2 {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(token, claims);
    }
}

impl Verifier {
    /// Takes tokens signed by this key's owner.
    pub fn new(key: PublicKey) -> Self {
        Self {
            key,
            found: Arc::default(),
        }
    }

    /// What the token says, if it may be believed at `now` and in `min_epoch`.
    pub fn verify(
        &self,
        token: &str,
        now: UnixMillis,
        min_epoch: Epoch,
    ) -> Result<Claims, TokenError> {
        let claims = self.believed(token)?;
        if now >= claims.expires_at {
            return Err(TokenError::Expired);
        }
        if claims.epoch < min_epoch {
            return Err(TokenError::OldEpoch);
        }
        Ok(claims)
    }

    /// What the token says, whenever it was or will be good.
    fn believed(&self, token: &str) -> Result<Claims, TokenError> {
        let hash = guitai_crypto::sm3::hash(token.as_bytes());
        if let Some(claims) = self.found().get(&hash) {
            return Ok(claims);
        }
        let claims = self.signed(token, b"")?;
        let claims: Claims = serde_json::from_slice(&claims).map_err(|_| TokenError::Malformed)?;
        if claims.v != VERSION {
            return Err(TokenError::Malformed);
        }
        self.found().put(hash, claims.clone());
        Ok(claims)
    }

    fn found(&self) -> MutexGuard<'_, Found> {
        // Nothing that can panic runs under it.
        self.found.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The permit, if the cluster signed it. Whether it counts, [`crate::permit::Holder`] decides.
    pub fn permit(&self, token: &str) -> Result<Permit, TokenError> {
        let json = self.signed(token, PERMIT_WORD)?;
        let permit: Permit = serde_json::from_slice(&json).map_err(|_| TokenError::Malformed)?;
        let known = permit.v == VERSION;
        known.then_some(permit).ok_or(TokenError::Malformed)
    }

    /// What was signed after `word`.
    fn signed(&self, token: &str, word: &[u8]) -> Result<Vec<u8>, TokenError> {
        if token.is_empty() {
            return Err(TokenError::Missing);
        }
        if token.len() > TOKEN_BYTES_MAX {
            return Err(TokenError::Malformed);
        }
        let (claims, signature) = token.split_once('.').ok_or(TokenError::Malformed)?;
        // The decoder takes one spelling only: no padding, no stray bits.
        let decode = |text| {
            URL_SAFE_NO_PAD
                .decode(text)
                .map_err(|_| TokenError::Malformed)
        };
        let (claims, signature) = (decode(claims)?, decode(signature)?);
        if signature.len() > SIGNATURE_BYTES_MAX {
            return Err(TokenError::Malformed);
        }
        let verified = self.key.verify(&[word, &claims].concat(), &signature);
        verified.map_err(|_| TokenError::Signature)?;
        Ok(claims)
    }
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Verifier")
    }
}

#[cfg(test)]
mod tests {
    use guitai_types::claims::Grant;
    use proptest::prelude::*;

    use super::*;

    const NOW: UnixMillis = UnixMillis(1_800_000_000_000);

    fn claims() -> Claims {
        Claims {
            v: 1,
            expires_at: NOW.plus(1),
            epoch: Epoch(7),
            grant: Grant::Media {
                institution: "bank".parse().unwrap(),
                session: "s-1".parse().unwrap(),
                ticket: "t-1".parse().unwrap(),
                publish: vec!["customer".to_owned()],
                subscribe: vec![String::new()],
            },
        }
    }

    fn signer() -> Signer {
        Signer::new(SecretKey::generate())
    }

    #[test]
    fn a_signed_token_says_what_was_signed() {
        let signer = signer();
        let token = signer.sign(&claims());
        let verified = signer.verifier().verify(&token, NOW, Epoch(7));
        assert_eq!(verified, Ok(claims()));
    }

    #[test]
    fn the_longest_media_token_fits_the_limit() {
        let long = "x".repeat(ID_BYTES_MAX);
        let claims = Claims {
            v: 1,
            expires_at: UnixMillis(u64::MAX),
            epoch: Epoch(u64::MAX),
            grant: Grant::Media {
                institution: long.parse().unwrap(),
                session: long.parse().unwrap(),
                ticket: long.parse().unwrap(),
                publish: vec![long.clone(); 2],
                subscribe: vec![long.clone(); 2],
            },
        };
        assert!(signer().sign(&claims).len() <= TOKEN_BYTES_MAX);
    }

    #[test]
    fn time_and_epoch_are_limits() {
        let signer = signer();
        let (token, verifier) = (signer.sign(&claims()), signer.verifier());
        let verify = |now, epoch| verifier.verify(&token, now, epoch);
        assert_eq!(verify(NOW.plus(1), Epoch(7)), Err(TokenError::Expired));
        assert_eq!(verify(NOW, Epoch(8)), Err(TokenError::OldEpoch));
        assert!(verify(NOW, Epoch(0)).is_ok());
    }

    #[test]
    fn a_token_that_was_taken_once_is_still_limited_and_another_spelling_is_not_it() {
        let signer = signer();
        let (token, verifier) = (signer.sign(&claims()), signer.verifier());
        let verify = |token: &str, now, epoch| verifier.verify(token, now, epoch);
        assert!(verify(&token, NOW, Epoch(7)).is_ok());
        assert_eq!(verify(&token, NOW, Epoch(7)), Ok(claims()));
        let late = verify(&token, NOW.plus(1), Epoch(7));
        assert_eq!(late, Err(TokenError::Expired));
        assert_eq!(verify(&token, NOW, Epoch(8)), Err(TokenError::OldEpoch));
        let (said, _) = token.split_once('.').unwrap();
        let unsigned = verify(&format!("{said}."), NOW, Epoch(7));
        assert_eq!(unsigned, Err(TokenError::Signature));
    }

    #[test]
    fn so_many_tokens_are_remembered_and_one_in_use_stays() {
        let mut found = Found::default();
        let hash = |number: usize| {
            let mut hash = [0; 32];
            hash[..8].copy_from_slice(&number.to_be_bytes());
            hash
        };
        found.put(hash(0), claims());
        for number in 1..5 * FOUND_MAX {
            found.put(hash(number), claims());
            if number % 1_000 == 0 {
                assert!(found.get(&hash(0)).is_some(), "{number}");
            }
            assert!(found.young.len() + found.old.len() <= FOUND_MAX);
        }
        assert!(found.get(&hash(1)).is_none());
    }

    #[test]
    fn another_key_and_another_version_are_refused() {
        let (ours, theirs) = (signer(), signer());
        let verify = |token: &str| ours.verifier().verify(token, NOW, Epoch(7));
        assert_eq!(verify(&theirs.sign(&claims())), Err(TokenError::Signature));
        let later = Claims { v: 2, ..claims() };
        assert_eq!(verify(&ours.sign(&later)), Err(TokenError::Malformed));
        assert_eq!(verify(""), Err(TokenError::Missing));
        let long = "a".repeat(TOKEN_BYTES_MAX + 1);
        assert_eq!(verify(&long), Err(TokenError::Malformed));
    }

    #[test]
    fn a_permit_is_no_token_and_a_token_no_permit() {
        let signer = signer();
        let permit = Permit {
            v: 1,
            node: "edge-a1".parse().unwrap(),
            epoch: Epoch(7),
            nonce: guitai_types::Hex(vec![1; 16]),
            life_ms: 3_000,
        };
        let (token, verifier) = (signer.permit(&permit), signer.verifier());
        assert_eq!(verifier.permit(&token), Ok(permit));
        let as_claims = verifier.verify(&token, NOW, Epoch(0));
        assert_eq!(as_claims, Err(TokenError::Signature));
        let as_permit = verifier.permit(&signer.sign(&claims()));
        assert_eq!(as_permit, Err(TokenError::Signature));
    }

    #[test]
    fn signed_json_with_an_unknown_field_is_refused() {
        let signer = signer();
        let mut json = serde_json::to_value(claims()).unwrap();
        json["admin"] = true.into();
        let json = serde_json::to_vec(&json).unwrap();
        let encode = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        let token = format!("{}.{}", encode(&json), encode(&signer.0.sign(&json)));
        let verified = signer.verifier().verify(&token, NOW, Epoch(7));
        assert_eq!(verified, Err(TokenError::Malformed));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn a_changed_token_is_refused(at in any::<prop::sample::Index>(), to in "[A-Za-z0-9_.=-]") {
            let signer = signer();
            let token = signer.sign(&claims());
            let at = at.index(token.len());
            let changed = format!("{}{to}{}", &token[..at], &token[at + 1..]);
            prop_assume!(changed != token);
            prop_assert!(signer.verifier().verify(&changed, NOW, Epoch(7)).is_err());
        }

        #[test]
        fn garbage_is_refused(token in ".{0,300}") {
            prop_assert!(signer().verifier().verify(&token, NOW, Epoch(0)).is_err());
        }
    }
}
