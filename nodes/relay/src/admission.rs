//! Who may enter which room: the decision, from a path, a token and the time. No I/O.

use guitai_types::{Epoch, InstitutionId, SessionId, TicketId, UnixMillis, claims::Grant};
use moq_net::{Pattern, Patterns};

use crate::token::{TokenError, Verifier};

/// Longest `<room>?jwt=<token>` in bytes: a media token is under 1 KiB.
const PATH_BYTES_MAX: usize = 4 * 1024;
/// Name of the query parameter that carries the token, as every MoQ client spells it.
const TOKEN_PARAMETER: &str = "jwt";

/// The room of one session: `/<institution>/<session>`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RoomName {
    /// First part.
    pub institution: InstitutionId,
    /// Second part.
    pub session: SessionId,
}

impl RoomName {
    /// Reads a path; one leading slash is optional, anything else must be exact.
    pub fn parse(path: &str) -> Option<Self> {
        let path = path.strip_prefix('/').unwrap_or(path);
        let (institution, session) = path.split_once('/')?;
        Some(Self {
            institution: institution.parse().ok()?,
            session: session.parse().ok()?,
        })
    }
}

impl std::fmt::Display for RoomName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "/{}/{}", self.institution, self.session)
    }
}

/// What a connection was let in for.
#[derive(Debug, Clone)]
pub(crate) struct Admission {
    pub(crate) room: RoomName,
    pub(crate) ticket: TicketId,
    pub(crate) epoch: Epoch,
    /// What it may publish, relative to the room.
    pub(crate) publish: Patterns,
    /// What it may see, relative to the room.
    pub(crate) subscribe: Patterns,
}

/// Why a connection is not let in.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// The path is no room, or longer than 4 KiB.
    #[error("the path is not /<institution>/<session>?jwt=<token>")]
    Path,
    /// The token does not verify.
    #[error("the token does not verify")]
    Token(#[from] TokenError),
    /// The token is good, but for something else: another room, or no media at all.
    #[error("the token is not for this room")]
    Room,
    /// Its session or ticket is over.
    #[error("the token was revoked")]
    Revoked,
    /// The node may take no new calls now: whoever leads has not said so for seconds.
    #[error("this node may take no new calls now")]
    NoPermit,
    /// The relay has as many connections as it may.
    #[error("the relay is full")]
    Full,
    /// It sent more than a call needs.
    #[error("more than {max} bytes a second")]
    TooFast {
        /// The limit.
        max: u64,
    },
    /// The MoQ handshake did not come in time.
    #[error("the handshake took too long")]
    Deadline,
    /// A node that has no business here.
    #[error("this node may not connect")]
    Node,
    /// What was said is no MoQ that we speak.
    #[error("not a MoQ handshake: {0}")]
    Handshake(String),
}

impl Refused {
    /// HTTP status to refuse an upgrade or a WebTransport request with.
    pub fn status(&self) -> u16 {
        match self {
            Self::Path | Self::Token(_) | Self::Room | Self::Revoked | Self::Node => 401,
            Self::NoPermit => 503,
            Self::Full | Self::TooFast { .. } => 429,
            Self::Deadline => 408,
            Self::Handshake(_) => 400,
        }
    }

    /// Name for counters.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Path => "path",
            Self::Token(_) => "token",
            Self::Room => "room",
            Self::Revoked => "revoked",
            Self::NoPermit => "permit",
            Self::Full => "full",
            Self::TooFast { .. } => "too-fast",
            Self::Deadline => "deadline",
            Self::Node => "node",
            Self::Handshake(_) => "handshake",
        }
    }
}

/// Decides on `<room>?jwt=<token>`. Revocation is checked when the session is entered into the
/// table, so that none can slip in between.
pub(crate) fn admit(
    path_and_query: &str,
    verifier: &Verifier,
    now: UnixMillis,
    epoch_min: Epoch,
) -> Result<Admission, Refused> {
    if path_and_query.len() > PATH_BYTES_MAX {
        return Err(Refused::Path);
    }
    let (path, query) = path_and_query
        .split_once('?')
        .unwrap_or((path_and_query, ""));
    let room = RoomName::parse(path).ok_or(Refused::Path)?;
    let mut pairs = url::form_urlencoded::parse(query.as_bytes());
    let token = pairs.find(|(name, _)| name == TOKEN_PARAMETER);
    let token = token.map(|(_, value)| value).unwrap_or_default();
    let claims = verifier.verify(&token, now, epoch_min)?;
    let Grant::Media {
        institution,
        session,
        ticket,
        publish,
        subscribe,
    } = claims.grant
    else {
        return Err(Refused::Room);
    };
    if (institution, session) != (room.institution.clone(), room.session.clone()) {
        return Err(Refused::Room);
    }
    Ok(Admission {
        room,
        ticket,
        epoch: claims.epoch,
        publish: patterns(&publish)?,
        subscribe: patterns(&subscribe)?,
    })
}

/// `customer` means everything below `customer/`; an empty prefix the whole room.
fn patterns(prefixes: &[String]) -> Result<Patterns, Refused> {
    let pattern = |prefix: &String| match prefix.as_str() {
        "" => Ok(Pattern::all()),
        prefix => Pattern::subtree(prefix).map_err(|_| Refused::Room),
    };
    prefixes.iter().map(pattern).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_room_is_two_ids() {
        let room = RoomName::parse("/demo-bank/5e1f").expect("a room");
        assert_eq!(room.to_string(), "/demo-bank/5e1f");
        assert_eq!(RoomName::parse("demo-bank/5e1f"), Some(room));
        for bad in [
            "", "/", "/a", "/a/", "//b", "/a/b/c", "/a/b/", "/a/..", "/A/b", "/*/b",
        ] {
            assert_eq!(RoomName::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_prefix_does_not_match_its_neighbour() {
        let patterns = patterns(&["customer".to_owned()]).expect("a pattern");
        assert!(patterns.matches("customer/1.hang"));
        assert!(!patterns.matches("customer2/1.hang"));
        assert!(!patterns.matches("agent/1.hang"));
    }
}
