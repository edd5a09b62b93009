//! Passwords: Argon2id away from the async threads, the same answer and the same work whether the
//! account exists or not, and a limit on attempts per account.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use guitai_crypto::password;
use guitai_host::Clock;
use guitai_types::{Code, StaffRef};
use tokio::sync::Semaphore;
use zeroize::Zeroizing;

use crate::problem::Refusal;

/// Failed attempts on one account within [`LOGIN_WINDOW_MS`]; the next is refused unseen.
pub const LOGIN_ATTEMPTS_MAX: u32 = 5;
/// How long a failed attempt counts, in milliseconds. Short: whoever guesses wrong on purpose locks
/// the owner out for as long.
pub const LOGIN_WINDOW_MS: u64 = 60_000;
/// Accounts whose attempts are remembered at once; names that do not exist count too.
pub const LOGIN_ACCOUNTS_MAX: usize = 20_000;
/// Password checks at once: each takes 19 MiB and one core for some ten milliseconds.
pub const LOGIN_CHECKS_MAX: usize = 2;
/// Logins that wait for a check; past it the caller is told to come back.
pub const LOGIN_WAITING_MAX: usize = 256;
/// Longest password in bytes.
pub const PASSWORD_BYTES_MAX: usize = 256;

/// Checks logins of one node.
pub(crate) struct Logins {
    clock: Arc<dyn Clock>,
    checks: Arc<Semaphore>,
    waiting: Arc<Semaphore>,
    attempts: Mutex<BTreeMap<StaffRef, Attempts>>,
}

#[derive(Debug, Clone, Copy)]
struct Attempts {
    failed: u32,
    first_at: Duration,
}

impl Logins {
    pub(crate) fn new(clock: Arc<dyn Clock>) -> Self {
        Self {
            clock,
            checks: Arc::new(Semaphore::new(LOGIN_CHECKS_MAX)),
            waiting: Arc::new(Semaphore::new(LOGIN_WAITING_MAX)),
            attempts: Mutex::default(),
        }
    }

    /// Whether `password` is the one of `phc`; without `phc` the same work, and no.
    pub(crate) async fn check(
        &self,
        staff: &StaffRef,
        phc: Option<String>,
        password: String,
    ) -> Result<(), Refusal> {
        let password = Zeroizing::new(password);
        if password.len() > PASSWORD_BYTES_MAX {
            let limit = format!("the limit PASSWORD_BYTES_MAX is {PASSWORD_BYTES_MAX} bytes");
            return Err(Refusal::new(Code::TooLarge, limit));
        }
        self.begin(staff)?;
        let known = phc.is_some();
        let phc = phc.unwrap_or_else(|| password::NOBODY.to_owned());
        let right = self.verify(phc, password).await? && known;
        if right {
            self.lock().remove(staff);
            return Ok(());
        }
        Err(Refusal::new(Code::BadLogin, "the login does not fit"))
    }

    async fn verify(&self, phc: String, password: Zeroizing<String>) -> Result<bool, Refusal> {
        let Ok(_waits) = self.waiting.clone().try_acquire_owned() else {
            let limit = format!("the limit LOGIN_WAITING_MAX is {LOGIN_WAITING_MAX}");
            return Err(Refusal::new(Code::TooMany, limit));
        };
        let permit = self.checks.clone().acquire_owned().await;
        let permit = permit.map_err(|error| Refusal::internal("checking a login", &error))?;
        let check = tokio::task::spawn_blocking(move || {
            let right = password::verify(&phc, password.as_bytes());
            drop(permit);
            right
        });
        check
            .await
            .map_err(|error| Refusal::internal("checking a login", &error))
    }

    /// Counts the attempt before it is made, so that many at once do not pass together.
    fn begin(&self, staff: &StaffRef) -> Result<(), Refusal> {
        let now = self.clock.monotonic();
        let counts = |attempts: &Attempts| {
            now.saturating_sub(attempts.first_at) < Duration::from_millis(LOGIN_WINDOW_MS)
        };
        let mut all = self.lock();
        if !all.contains_key(staff) && all.len() >= LOGIN_ACCOUNTS_MAX {
            all.retain(|_, attempts| counts(attempts));
        }
        if !all.contains_key(staff) && all.len() >= LOGIN_ACCOUNTS_MAX {
            let limit = format!("the limit LOGIN_ACCOUNTS_MAX is {LOGIN_ACCOUNTS_MAX}");
            return Err(Refusal::new(Code::TooMany, limit));
        }
        let entry = all.entry(staff.clone()).or_insert(Attempts {
            failed: 0,
            first_at: now,
        });
        if !counts(entry) {
            *entry = Attempts {
                failed: 0,
                first_at: now,
            };
        }
        if entry.failed >= LOGIN_ATTEMPTS_MAX {
            let limit = format!(
                "the limit LOGIN_ATTEMPTS_MAX is {LOGIN_ATTEMPTS_MAX} within {LOGIN_WINDOW_MS} ms"
            );
            return Err(Refusal::new(Code::TooMany, limit));
        }
        entry.failed += 1;
        Ok(())
    }

    /// Whether the next attempt on an account is refused unseen.
    pub(crate) fn is_locked(&self, staff: &StaffRef) -> bool {
        let all = self.lock();
        all.get(staff)
            .is_some_and(|attempts| attempts.failed >= LOGIN_ATTEMPTS_MAX)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<StaffRef, Attempts>> {
        self.attempts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use guitai_host::ManualClock;
    use guitai_types::UnixMillis;

    use super::*;

    type Outcome = Result<(), Box<dyn std::error::Error>>;

    fn code(result: Result<(), Refusal>) -> Option<Code> {
        result.err().map(|Refusal(problem)| problem.code)
    }

    #[tokio::test]
    async fn an_unknown_name_and_a_wrong_password_look_alike() -> Outcome {
        let clock = Arc::new(ManualClock::new(UnixMillis(1)));
        let logins = Logins::new(clock);
        let wang = StaffRef {
            institution: "bank".parse()?,
            name: "wang".parse()?,
        };
        let phc = password::hash("right")?;
        assert!(phc.starts_with("$argon2id$"), "{phc}");

        let unknown = logins.check(&wang, None, "right".to_owned()).await;
        let wrong = logins
            .check(&wang, Some(phc.clone()), "wrong".to_owned())
            .await;
        assert_eq!(unknown, wrong);
        assert_eq!(code(wrong), Some(Code::BadLogin));
        assert_eq!(
            logins.check(&wang, Some(phc), "right".to_owned()).await,
            Ok(())
        );
        Ok(())
    }

    #[tokio::test]
    async fn attempts_on_one_account_are_limited_and_forgotten() -> Outcome {
        let clock = Arc::new(ManualClock::new(UnixMillis(1)));
        let logins = Logins::new(clock.clone());
        let wang = StaffRef {
            institution: "bank".parse()?,
            name: "wang".parse()?,
        };
        let li = StaffRef {
            institution: "bank".parse()?,
            name: "li".parse()?,
        };
        for _ in 0..LOGIN_ATTEMPTS_MAX {
            let refused = logins.check(&wang, None, "guess".to_owned()).await;
            assert_eq!(code(refused), Some(Code::BadLogin));
        }
        let refused = logins.check(&wang, None, "guess".to_owned()).await;
        assert_eq!(code(refused), Some(Code::TooMany));
        let other = logins.check(&li, None, "guess".to_owned()).await;
        assert_eq!(code(other), Some(Code::BadLogin));

        clock.advance(Duration::from_millis(LOGIN_WINDOW_MS));
        let refused = logins.check(&wang, None, "guess".to_owned()).await;
        assert_eq!(code(refused), Some(Code::BadLogin));
        Ok(())
    }
}
