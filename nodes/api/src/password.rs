//! Passwords as accounts keep them: Argon2id (RFC 9106) in PHC string format.

use argon2::{
    Argon2, PasswordHasher as _,
    password_hash::{Error, SaltString},
};
use guitai_host::{SystemEntropy, draw16};

/// A hash nobody knows a password of, with the parameters of [`hash`]: checked when an account does not
/// exist, so that the answer takes as long.
pub(crate) const NOBODY: &str = "$argon2id$v=19$m=19456,t=2,p=1$bm9ib2R5IGF0IGFsbA$\
     4mP3yqmGmY0TO0fT0hVQ0a6mYk6yZp1mQ3p2W8m3n2A";

/// Hashes a password with 19 MiB, two passes and one lane (OWASP's recommendation) and a new salt.
pub fn hash(password: &str) -> Result<String, Error> {
    let salt = SaltString::encode_b64(&draw16(&SystemEntropy))?;
    Ok(Argon2::default()
        .hash_password(password.as_bytes(), &salt)?
        .to_string())
}

#[cfg(test)]
mod tests {
    use argon2::password_hash::PasswordHash;

    use super::*;

    #[test]
    fn nobody_costs_what_an_account_costs() -> Result<(), Error> {
        let account = hash("a password")?;
        let (account, nobody) = (PasswordHash::new(&account)?, PasswordHash::new(NOBODY)?);
        assert_eq!(account.algorithm, nobody.algorithm);
        assert_eq!(account.version, nobody.version);
        assert_eq!(account.params, nobody.params);
        assert_eq!(
            account.hash.map(|hash| hash.len()),
            nobody.hash.map(|hash| hash.len())
        );
        Ok(())
    }
}
