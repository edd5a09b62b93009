//! Ids. Two ids that are both text are still two types; none can hold what would be unsafe in a
//! path, a log line or a MoQ broadcast name.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::limits::ID_BYTES_MAX;

/// Why a text is no id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "an id has 1 to {ID_BYTES_MAX} characters of a-z, 0-9 and '-', and starts with a letter or digit"
)]
pub struct IdError;

fn check(text: &str) -> Result<(), IdError> {
    let ok = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    let fits = !text.is_empty() && text.len() <= ID_BYTES_MAX && !text.starts_with('-');
    if fits && text.bytes().all(ok) {
        Ok(())
    } else {
        Err(IdError)
    }
}

macro_rules! text_id {
    ($($(#[$doc:meta])* $name:ident),* $(,)?) => {$(
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, utoipa::ToSchema)]
        #[serde(try_from = "String", into = "String")]
        #[schema(value_type = String)]
        pub struct $name(String);

        impl $name {
            /// The id as text.
            pub fn as_str(&self) -> &str { &self.0 }
            /// Makes an id of random bytes drawn by the caller, as lower-case hex.
            pub fn from_random(bytes: [u8; 16]) -> Self {
                Self(crate::Hex(bytes.to_vec()).to_string())
            }
        }
        impl TryFrom<String> for $name {
            type Error = IdError;
            fn try_from(text: String) -> Result<Self, IdError> { check(&text).map(|()| Self(text)) }
        }
        impl FromStr for $name {
            type Err = IdError;
            fn from_str(text: &str) -> Result<Self, IdError> { Self::try_from(text.to_owned()) }
        }
        impl From<$name> for String { fn from(id: $name) -> Self { id.0 } }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result { f.pad(&self.0) }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result { write!(f, "{}", self.0) }
        }
    )*};
}

text_id! {
    /// One cluster; drawn once when the root key is made. A data directory belongs to one cluster.
    ClusterId,
    /// A node's name, for example `a1-2` or `edge-a1`; also the name in its certificate.
    NodeName,
    /// A city, for example `a`.
    CityId,
    /// A data centre, for example `a1`.
    CentreId,
    /// A legal person served by the cluster.
    InstitutionId,
    /// A branch of an institution.
    BranchId,
    /// A team of agents inside a branch.
    TeamId,
    /// A queue of an institution.
    QueueId,
    /// A skill that a queue asks for and an agent has.
    Skill,
    /// A staff account's login name, unique in its institution.
    StaffName,
    /// A customer's place in a queue, and everything that comes of it. Random.
    TicketId,
    /// An agent reserved for a ticket until answered or timed out. Random.
    ReservationId,
    /// One served call; also the id of its recording and its evidence package. Random.
    SessionId,
    /// One run of a disaster recovery plan. Random.
    RunId,
    /// A text or a file that a party of a call sent. Random.
    MessageId,
    /// A mark: see [`crate::mark::Mark`].
    MarkName,
    /// A class of recordings: see [`crate::retention::Rule`].
    ClassId,
    /// One file gap with its two sides: what goes through it is of one pair of chains of bundles.
    FerryId,
    /// One side of a file gap, for example `inner`; also the name of the key that signs its bundles.
    SideName,
    /// One request to change metadata, for exactly-once retries. Random.
    RequestId,
}

/// A raft node id: unique in the cluster for ever; a node whose disk was wiped gets a new one.
#[derive(
    Debug,
    Clone,
    Copy,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    utoipa::ToSchema,
)]
pub struct NodeId(pub u64);

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// Grows when authority moves (failover, revocation of a centre); a lower epoch is refused everywhere.
#[derive(
    Debug,
    Clone,
    Copy,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    utoipa::ToSchema,
)]
pub struct Epoch(pub u64);

/// A staff account: institution and login name.
#[derive(
    Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, utoipa::ToSchema,
)]
#[serde(deny_unknown_fields)]
pub struct StaffRef {
    /// The institution that employs the person.
    pub institution: InstitutionId,
    /// The login name.
    pub name: StaffName,
}

impl fmt::Display for StaffRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.institution, self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_cannot_leave_its_path() {
        for bad in [
            "",
            "-a",
            "A",
            "a/b",
            "..",
            "a.b",
            "柜",
            &"a".repeat(ID_BYTES_MAX + 1),
        ] {
            assert_eq!(SessionId::from_str(bad), Err(IdError), "{bad:?}");
        }
        assert!(SessionId::from_str("a1-2").is_ok());
        assert!(serde_json::from_str::<NodeName>("\"../x\"").is_err());
    }
}
