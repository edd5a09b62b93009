//! When the door's certificate is replaced: a decision about times, without I/O.
//!
//! Browsers pin the certificate's hash and allow it 14 days at most. A new certificate is made well
//! before the old one ends, both hashes are published, and only days later is the new one served:
//! by then every page that still runs has asked its door again.

use guitai_crypto::web::Certificate;
use guitai_types::UnixMillis;

const DAY_MS: u64 = 24 * 60 * 60 * 1000;
/// How long a certificate lives (see `crypto::web`).
pub const LIFE_MS: u64 = 13 * DAY_MS;
/// The next certificate is made, and its hash published, at this age of the present one.
pub const MAKE_NEXT_MS: u64 = 10 * DAY_MS;
/// The next certificate is served at this age of the present one.
pub const SERVE_NEXT_MS: u64 = 12 * DAY_MS;

const _: () = assert!(MAKE_NEXT_MS < SERVE_NEXT_MS && SERVE_NEXT_MS < LIFE_MS);

/// What is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Due {
    /// Nothing.
    Nothing,
    /// Make the next certificate and give it to [`Rotation::prepare`].
    MakeNext,
    /// Serve the next certificate: [`Rotation::advance`].
    ServeNext,
}

/// The present certificate and, during the overlap, the next.
pub struct Rotation {
    present: Dated,
    next: Option<Dated>,
}

struct Dated {
    certificate: Certificate,
    made_at: UnixMillis,
}

impl Rotation {
    /// Starts with a certificate made at `now`.
    pub fn new(certificate: Certificate, now: UnixMillis) -> Self {
        let present = Dated {
            certificate,
            made_at: now,
        };
        Self {
            present,
            next: None,
        }
    }

    /// What is due at `now`.
    pub fn due(&self, now: UnixMillis) -> Due {
        let age = now.since(self.present.made_at);
        match self.next {
            None if age >= MAKE_NEXT_MS => Due::MakeNext,
            Some(_) if age >= SERVE_NEXT_MS => Due::ServeNext,
            _ => Due::Nothing,
        }
    }

    /// Publishes the next certificate, made at `now`.
    pub fn prepare(&mut self, certificate: Certificate, now: UnixMillis) {
        let made_at = now;
        self.next = Some(Dated {
            certificate,
            made_at,
        });
    }

    /// The next certificate, if there is one.
    pub fn next(&self) -> Option<&Certificate> {
        self.next.as_ref().map(|next| &next.certificate)
    }

    /// The next certificate is served from now on.
    pub fn advance(&mut self) {
        if let Some(next) = self.next.take() {
            self.present = next;
        }
    }

    /// End of validity of the certificate served now, seconds since 1970.
    pub fn not_after_unix(&self) -> u64 {
        self.present.certificate.not_after_unix
    }

    /// SHA-256 of the certificates a page may meet: the one served now, then the next.
    pub fn hashes(&self) -> Vec<[u8; 32]> {
        let all = std::iter::once(&self.present).chain(&self.next);
        all.map(|dated| dated.certificate.sha256).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn certificate(sha256: [u8; 32]) -> Certificate {
        Certificate {
            chain_der: Vec::new(),
            key_der: Vec::new().into(),
            sha256,
            not_after_unix: 0,
        }
    }

    #[test]
    fn both_hashes_are_published_for_two_days_before_the_change() {
        let start = UnixMillis(1_000);
        let mut rotation = Rotation::new(certificate([1; 32]), start);
        assert_eq!(rotation.due(start.plus(MAKE_NEXT_MS - 1)), Due::Nothing);
        let made = start.plus(MAKE_NEXT_MS);
        assert_eq!(rotation.due(made), Due::MakeNext);
        rotation.prepare(certificate([2; 32]), made);
        assert_eq!(rotation.hashes(), [[1; 32], [2; 32]]);
        assert_eq!(rotation.due(start.plus(SERVE_NEXT_MS - 1)), Due::Nothing);
        assert_eq!(rotation.due(start.plus(SERVE_NEXT_MS)), Due::ServeNext);
        rotation.advance();
        assert_eq!(rotation.hashes(), [[2; 32]]);
        // The new one's age counts from when it was made, not from when it was served.
        assert_eq!(rotation.due(made.plus(MAKE_NEXT_MS)), Due::MakeNext);
    }

    #[test]
    fn a_clock_that_goes_back_makes_nothing_due() {
        let rotation = Rotation::new(certificate([1; 32]), UnixMillis(LIFE_MS));
        assert_eq!(rotation.due(UnixMillis(0)), Due::Nothing);
    }
}
