//! Passwords as accounts keep them: Argon2id (RFC 9106) in PHC string format.

use argon2::{
    Argon2, PasswordHasher as _, PasswordVerifier as _,
    password_hash::{Error, PasswordHash, SaltString},
};

use crate::random;

/// A hash nobody knows a password of, with the parameters of [`hash`]: checked when an account does not
/// exist, so that the answer takes as long.
pub const NOBODY: &str = "$argon2id$v=19$m=19456,t=2,p=1$bm9ib2R5IGF0IGFsbA$\
     4mP3yqmGmY0TO0fT0hVQ0a6mYk6yZp1mQ3p2W8m3n2A";

/// A password could not be hashed: longer than Argon2 takes.
#[derive(Debug, thiserror::Error)]
#[error("the password cannot be hashed: {0}")]
pub struct PasswordError(Error);

/// Hashes a password with 19 MiB, two passes and one lane (OWASP's recommendation) and a new salt.
///
/// # Panics
/// Like [`random::fill`].
pub fn hash(password: &str) -> Result<String, PasswordError> {
    let salt = SaltString::encode_b64(&random::array::<16>()).map_err(PasswordError)?;
    let hash = Argon2::default()
        .hash_password(password.as_bytes(), &salt)
        .map_err(PasswordError)?;
    Ok(hash.to_string())
}

/// Whether `password` is the one of `phc`; a PHC string that cannot be read is nobody's.
#[must_use]
pub fn verify(phc: &str, password: &[u8]) -> bool {
    PasswordHash::new(phc)
        .is_ok_and(|hash| Argon2::default().verify_password(password, &hash).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_opens_its_own_hash_only() {
        let phc = hash("a password").unwrap();
        assert!(verify(&phc, b"a password"));
        assert!(!verify(&phc, b"another password"));
        assert!(!verify("not a hash", b"a password"));
    }

    #[test]
    fn nobody_costs_what_an_account_costs() {
        let account = hash("a password").unwrap();
        let account = PasswordHash::new(&account).unwrap();
        let nobody = PasswordHash::new(NOBODY).unwrap();
        assert_eq!(account.algorithm, nobody.algorithm);
        assert_eq!(account.version, nobody.version);
        assert_eq!(account.params, nobody.params);
        assert_eq!(
            account.hash.map(|hash| hash.len()),
            nobody.hash.map(|hash| hash.len())
        );
    }
}
