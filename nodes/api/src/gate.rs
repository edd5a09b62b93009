//! Who asks: bearer tokens, checked for signature, time, epoch and kind.

use std::sync::Arc;

use guitai_host::Clock;
use guitai_relay::token::Verifier;
use guitai_types::{
    Code, Epoch, InstitutionId, StaffRef, TicketId,
    claims::{Claims, Grant},
    record::Duty,
};
use http::{HeaderMap, header};

use crate::problem::Refusal;

/// Longest token in bytes; ours are under 1 KiB.
const TOKEN_BYTES_MAX: usize = 4 * 1024;

/// Present epoch as this node knows it: tokens of an earlier one are refused.
pub(crate) type EpochSource = Box<dyn Fn() -> Epoch + Send + Sync>;

/// Checks bearer tokens of one door.
pub(crate) struct Gate {
    pub(crate) verifier: Verifier,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) epoch: EpochSource,
}

/// The bearer of a ticket.
#[derive(Debug, Clone)]
pub(crate) struct TicketBearer {
    pub(crate) ticket: TicketId,
    pub(crate) expires_in_ms: u64,
}

/// A logged-in member of staff.
#[derive(Debug, Clone)]
pub(crate) struct StaffBearer {
    pub(crate) staff: StaffRef,
    pub(crate) duties: Vec<Duty>,
    pub(crate) expires_in_ms: u64,
}

impl Gate {
    /// The claims of the request's token.
    fn claims(&self, headers: &HeaderMap) -> Result<Claims, Refusal> {
        let token = bearer(headers)?;
        self.verifier
            .verify(token, self.clock.wall(), (self.epoch)())
            .map_err(|error| Refusal::new(Code::BadToken, error.to_string()))
    }

    /// The bearer of exactly this ticket.
    pub(crate) fn ticket(
        &self,
        headers: &HeaderMap,
        wanted: &TicketId,
    ) -> Result<TicketBearer, Refusal> {
        let claims = self.claims(headers)?;
        let expires_in_ms = claims.expires_at.since(self.clock.wall());
        match claims.grant {
            Grant::Ticket { ticket, .. } if ticket == *wanted => Ok(TicketBearer {
                ticket,
                expires_in_ms,
            }),
            Grant::Ticket { .. } => Err(Refusal::new(
                Code::Forbidden,
                "the token is for another ticket",
            )),
            _ => Err(Refusal::new(
                Code::BadToken,
                "the token is not for a ticket",
            )),
        }
    }

    /// A member of staff, whoever it is.
    pub(crate) fn staff(&self, headers: &HeaderMap) -> Result<StaffBearer, Refusal> {
        let claims = self.claims(headers)?;
        let expires_in_ms = claims.expires_at.since(self.clock.wall());
        match claims.grant {
            Grant::Staff { staff, duties } => Ok(StaffBearer {
                staff,
                duties,
                expires_in_ms,
            }),
            _ => Err(Refusal::new(Code::BadToken, "the token is not for staff")),
        }
    }
}

impl StaffBearer {
    /// Refuses whoever has none of these duties.
    pub(crate) fn must_have(&self, duties: &[Duty]) -> Result<(), Refusal> {
        if self.has(duties) {
            return Ok(());
        }
        Err(Refusal::new(
            Code::Forbidden,
            format!("needs one of the duties {duties:?}"),
        ))
    }

    /// Whether the bearer has one of these duties.
    pub(crate) fn has(&self, duties: &[Duty]) -> bool {
        self.duties.iter().any(|duty| duties.contains(duty))
    }

    /// Refuses whoever belongs to another legal person: to them the thing does not exist.
    pub(crate) fn must_belong_to(&self, institution: &InstitutionId) -> Result<(), Refusal> {
        if self.staff.institution == *institution {
            return Ok(());
        }
        Err(Refusal::new(
            Code::NotFound,
            "no such thing in this institution",
        ))
    }
}

fn bearer(headers: &HeaderMap) -> Result<&str, Refusal> {
    let value = headers
        .get(header::AUTHORIZATION)
        .ok_or_else(|| Refusal::new(Code::BadToken, "no Authorization header"))?;
    let token = value.to_str().ok().and_then(|text| {
        let (scheme, token) = text.split_once(' ')?;
        scheme
            .eq_ignore_ascii_case("bearer")
            .then_some(token.trim())
    });
    match token {
        Some(token) if token.len() <= TOKEN_BYTES_MAX => Ok(token),
        Some(_) => Err(Refusal::new(
            Code::BadToken,
            format!("the limit TOKEN_BYTES_MAX is {TOKEN_BYTES_MAX} bytes"),
        )),
        None => Err(Refusal::new(
            Code::BadToken,
            "the Authorization header is no bearer token",
        )),
    }
}

#[cfg(test)]
mod tests {
    use guitai_crypto::sm2::SecretKey;
    use guitai_host::ManualClock;
    use guitai_relay::token::Signer;
    use guitai_types::UnixMillis;
    use http::HeaderValue;

    use super::*;

    type Outcome = Result<(), Box<dyn std::error::Error>>;

    fn gate() -> (Gate, Signer) {
        let key = SecretKey::generate();
        let verifier = Verifier::new(key.public());
        let clock = Arc::new(ManualClock::new(UnixMillis(1_000)));
        (
            Gate {
                verifier,
                clock,
                epoch: Box::new(|| Epoch(2)),
            },
            Signer::new(key),
        )
    }

    fn headers(signer: &Signer, epoch: u64, expires_at: u64, grant: Grant) -> HeaderMap {
        let expires_at = UnixMillis(expires_at);
        let token = signer.sign(&Claims {
            v: 1,
            expires_at,
            epoch: Epoch(epoch),
            grant,
        });
        let value = HeaderValue::from_str(&format!("Bearer {token}"));
        HeaderMap::from_iter(value.ok().map(|value| (header::AUTHORIZATION, value)))
    }

    fn code<T>(result: Result<T, Refusal>) -> Option<Code> {
        result.err().map(|Refusal(problem)| problem.code)
    }

    #[test]
    fn a_ticket_opens_its_own_door_only() -> Outcome {
        let (gate, signer) = gate();
        let ticket: TicketId = "t1".parse()?;
        let grant = Grant::Ticket {
            ticket: ticket.clone(),
            institution: "bank".parse()?,
        };
        let good = headers(&signer, 2, 5_000, grant.clone());
        assert_eq!(
            gate.ticket(&good, &ticket).map(|b| b.expires_in_ms).ok(),
            Some(4_000)
        );
        assert_eq!(
            code(gate.ticket(&good, &"t2".parse()?)),
            Some(Code::Forbidden)
        );
        assert_eq!(code(gate.staff(&good)), Some(Code::BadToken));

        let expired = headers(&signer, 2, 1_000, grant.clone());
        let old = headers(&signer, 1, 5_000, grant);
        for bad in [&expired, &old, &HeaderMap::new()] {
            assert_eq!(code(gate.ticket(bad, &ticket)), Some(Code::BadToken));
        }
        Ok(())
    }

    #[test]
    fn duties_and_institutions_are_kept_apart() -> Outcome {
        let (gate, signer) = gate();
        let staff = StaffRef {
            institution: "bank".parse()?,
            name: "wang".parse()?,
        };
        let grant = Grant::Staff {
            staff,
            duties: vec![Duty::Agent],
        };
        let Ok(bearer) = gate.staff(&headers(&signer, 2, 5_000, grant)) else {
            return Err("refused".into());
        };
        assert_eq!(code(bearer.must_have(&[Duty::Agent, Duty::Operator])), None);
        assert_eq!(
            code(bearer.must_have(&[Duty::Auditor])),
            Some(Code::Forbidden)
        );
        assert_eq!(
            code(bearer.must_belong_to(&"other".parse()?)),
            Some(Code::NotFound)
        );
        Ok(())
    }
}
