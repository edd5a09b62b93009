//! Sessions that may be resumed, kept in the accepting node's memory.
//!
//! A ticket is a random name of an entry here and carries nothing: no ticket key exists that could
//! be stolen or would have to be rotated, a ticket works once, and forgetting is certain. Every
//! server configuration has a store of its own, so a new root, certificate or revocation list, which
//! means a new configuration, ends all resumption of what was checked before it.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use rustls::server::StoresServerSessions;
use rustls::time_provider::TimeProvider;
use zeroize::Zeroizing;

/// How long a session can be resumed, in seconds. The certificates are checked anew at least so
/// often; an interrupted line is back long before.
pub const RESUMPTION_SECONDS_MAX: u64 = 3_600;
/// Sessions kept; two are issued with each handshake, and the oldest give way. About 2 MB.
const SESSIONS_MAX: usize = 1_024;

pub(super) struct Sessions {
    kept: Mutex<Kept>,
    time: Arc<dyn TimeProvider>,
}

#[derive(Default)]
struct Kept {
    by_id: HashMap<Vec<u8>, Session>,
    /// Ids in the order they came, with those taken meanwhile: never longer than [`SESSIONS_MAX`],
    /// and with it the map.
    order: VecDeque<Vec<u8>>,
}

struct Session {
    secret: Zeroizing<Vec<u8>>,
    since: u64,
}

impl Session {
    /// A clock that went back makes a session neither younger nor valid.
    fn is_fresh(&self, now: u64) -> bool {
        now.checked_sub(self.since)
            .is_some_and(|age| age < RESUMPTION_SECONDS_MAX)
    }
}

impl Sessions {
    pub(super) fn new(time: Arc<dyn TimeProvider>) -> Self {
        let kept = Mutex::default();
        Self { kept, time }
    }

    /// Nothing that can panic runs under this lock.
    fn kept(&self) -> std::sync::MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> Option<u64> {
        self.time.current_time().map(|now| now.as_secs())
    }
}

impl StoresServerSessions for Sessions {
    fn put(&self, id: Vec<u8>, secret: Vec<u8>) -> bool {
        let secret = Zeroizing::new(secret);
        let Some(since) = self.now() else {
            return false;
        };
        let mut kept = self.kept();
        let Kept { by_id, order } = &mut *kept;
        while let Some(oldest) = order.front() {
            let stale = by_id
                .get(oldest)
                .is_none_or(|session| !session.is_fresh(since));
            if !stale && order.len() < SESSIONS_MAX {
                break;
            }
            by_id.remove(oldest);
            order.pop_front();
        }
        order.push_back(id.clone());
        by_id.insert(id, Session { secret, since });
        true
    }

    /// Only TLS 1.2 asks without taking; we do not speak it.
    fn get(&self, _id: &[u8]) -> Option<Vec<u8>> {
        None
    }

    fn take(&self, id: &[u8]) -> Option<Vec<u8>> {
        let session = self.kept().by_id.remove(id)?;
        session
            .is_fresh(self.now()?)
            .then(|| session.secret.to_vec())
    }

    fn can_cache(&self) -> bool {
        true
    }
}

impl std::fmt::Debug for Sessions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Sessions({})", self.kept().by_id.len())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::time::Duration;

    use rustls::pki_types::UnixTime;

    use super::*;

    #[derive(Debug)]
    struct Clock(AtomicU64);

    impl TimeProvider for Clock {
        fn current_time(&self) -> Option<UnixTime> {
            let now = Duration::from_secs(self.0.load(Ordering::Relaxed));
            Some(UnixTime::since_unix_epoch(now))
        }
    }

    fn at(now: u64) -> (Arc<Clock>, Sessions) {
        let clock = Arc::new(Clock(AtomicU64::new(now)));
        let sessions = Sessions::new(clock.clone());
        (clock, sessions)
    }

    #[test]
    fn a_session_is_taken_once_and_not_after_its_time() {
        let (clock, sessions) = at(10_000);
        for id in [b"a", b"b", b"c"] {
            assert!(sessions.put(id.to_vec(), b"secret".to_vec()));
        }
        assert_eq!(sessions.take(b"a").unwrap(), b"secret");
        assert_eq!(sessions.take(b"a"), None);
        clock.0.store(9_999, Ordering::Relaxed);
        assert_eq!(sessions.take(b"b"), None, "the clock went back");
        let end = 10_000 + RESUMPTION_SECONDS_MAX;
        clock.0.store(end, Ordering::Relaxed);
        assert_eq!(sessions.take(b"c"), None, "too old");
    }

    #[test]
    fn the_oldest_give_way_and_nothing_grows() {
        let (clock, sessions) = at(10_000);
        for id in 0..SESSIONS_MAX as u32 + 5 {
            sessions.put(id.to_be_bytes().to_vec(), vec![1]);
        }
        assert_eq!(sessions.kept().by_id.len(), SESSIONS_MAX);
        assert_eq!(sessions.take(&4_u32.to_be_bytes()), None);
        assert!(sessions.take(&5_u32.to_be_bytes()).is_some());
        // Put and taken for ever: the order keeps the taken ones only until they are in front.
        for id in 0..3 * SESSIONS_MAX as u32 {
            let id = [id.to_be_bytes(), [0xff; 4]].concat();
            sessions.put(id.clone(), vec![1]);
            sessions.take(&id);
        }
        assert!(sessions.kept().order.len() <= SESSIONS_MAX);
        clock.0.store(99_999, Ordering::Relaxed);
        sessions.put(vec![1], vec![1]);
        assert_eq!(sessions.kept().by_id.len(), 1, "what is too old is erased");
    }
}
