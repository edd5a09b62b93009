//! One party's keys for both trees, from one private key.

use guitai_crypto::{sm2, sm3, twin::Ed25519};

use super::{
    Digest,
    note::{Kind, Line, NoteError, VerifierKey},
};

/// Keeps the twin's seed apart from every other use of the private key.
const TWIN_LABEL: &[u8] = b"guitai-log-twin/1";

/// What a party does with its keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Party {
    /// Signs the heads of its own trees.
    Log,
    /// Cosigns the heads of others.
    Witness,
}

/// The keys of a log or of a witness: SM2 for the SM3 tree, Ed25519 for its twin. The seed of the second
/// is drawn from the first by SM3, so there is one private key to keep.
pub struct Signer {
    secret: sm2::SecretKey,
    twin: Ed25519,
    sm3: VerifierKey,
    sha256: VerifierKey,
}

impl Signer {
    /// The keys of a party; in each tree its name is followed by a slash and the name of the digest.
    ///
    /// # Errors
    /// When the name cannot stand in a note.
    pub fn new(party: Party, name: &str, secret: sm2::SecretKey) -> Result<Self, NoteError> {
        let (sm2_kind, twin_kind) = match party {
            Party::Log => (Kind::Sm2, Kind::Ed25519),
            Party::Witness => (Kind::Sm2Cosignature, Kind::Ed25519Cosignature),
        };
        let mut hasher = sm3::Hasher::new();
        hasher.update(TWIN_LABEL);
        hasher.update(&secret.to_pkcs8_der());
        let twin = Ed25519::from_seed(&hasher.finish());
        let twin = twin.ok_or(NoteError::Key("no Ed25519 key comes of the private key"))?;
        let name = |digest: Digest| format!("{name}/{}", digest.name());
        let point = secret.public().to_point();
        Ok(Self {
            sm3: VerifierKey::new(&name(Digest::Sm3), sm2_kind, &point)?,
            sha256: VerifierKey::new(&name(Digest::Sha256), twin_kind, &twin.public())?,
            secret,
            twin,
        })
    }

    /// The public half for a tree.
    #[must_use]
    pub const fn key(&self, digest: Digest) -> &VerifierKey {
        match digest {
            Digest::Sm3 => &self.sm3,
            Digest::Sha256 => &self.sha256,
        }
    }

    /// Signs a text for a tree; `at` as for [`Line::sign`].
    #[must_use]
    pub fn sign(&self, digest: Digest, text: &str, at: u64) -> Line {
        let key = self.key(digest);
        match digest {
            Digest::Sm3 => Line::sign(key, &|message| self.secret.sign(message), text, at),
            Digest::Sha256 => Line::sign(key, &|message| self.twin.sign(message), text, at),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PEM: &str = "\
-----BEGIN PRIVATE KEY-----\n\
MIGHAgEAMBMGByqGSM49AgEGCCqBHM9VAYItBG0wawIBAQQg19oa0JHRYDLNHs9G\n\
SrcQatfepBc/cwGF8HF3DSY6zqqhRANCAASDg2cvtJUGYWiBnQtWRnVR8fSYjgra\n\
Qa+dHEnRXlW5wJUn14KV0ia/fbl17AOmV49MSQyoooF5sPC5cFaul95U\n\
-----END PRIVATE KEY-----\n\
";
    const VKEYS: [&str; 2] = [
        "log.example/sm3+6daa18b6+/2d1aXRhaS9zbTItd2l0aC1zbTMvdjEEg4NnL7SVBmFogZ0LVkZ1UfH0mI4K2kGvnRxJ0V5VucCVJ9eCldImv325dewDplePTEkMqKKBebDwuXBWrpfeVA==",
        "log.example/sha256+5f6a46e6+AbOf+loNeqIoCBmaT6mR5fdgqAxtri5uYClIubxFGaL8",
    ];

    /// Another encoding of the private key would silently make the twin another log.
    #[test]
    fn the_twins_key_of_a_private_key_is_frozen() {
        let secret = sm2::SecretKey::from_pkcs8_pem(PEM).unwrap();
        let signer = Signer::new(Party::Log, "log.example", secret).unwrap();
        let keys = [Digest::Sm3, Digest::Sha256].map(|it| signer.key(it).to_string());
        assert_eq!(keys, VKEYS);
    }
}
