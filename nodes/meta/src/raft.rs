//! The names openraft knows our types by. Only this crate names openraft, and its versions do not
//! promise each other anything: whatever is stored or sent passes through here or through `wire`.

use std::{fmt, io, sync::Arc};

use guitai_types::command::{Proposal, Reply};
use openraft::type_config::alias::{
    LogIdOf, SnapshotMetaOf, SnapshotOf, StoredMembershipOf, VoteOf,
};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use serde_json::value::RawValue;

use crate::machine::Machine;

/// Proposals in one entry.
pub(crate) const TOGETHER_MAX: usize = 32;

#[cfg(not(feature = "sim"))]
openraft::declare_raft_types!(
    /// Our side of openraft's generics.
    pub(crate) Types:
        D = Agreed,
        R = Vec<Reply>,
        NodeId = u64,
        Node = openraft::BasicNode,
);

#[cfg(feature = "sim")]
openraft::declare_raft_types!(
    /// Our side of openraft's generics, on the simulator's runtime.
    pub(crate) Types:
        D = Agreed,
        R = Vec<Reply>,
        NodeId = u64,
        Node = openraft::BasicNode,
        AsyncRuntime = crate::sim::Runtime,
);

/// What is agreed on in one entry: proposals, in the order in which they are applied. One alone is written as
/// itself, more as a list; releases before wrote one to an entry.
#[derive(Debug, Clone)]
pub(crate) struct Agreed(pub(crate) Vec<Proposed>);

/// A proposal and its JSON: it goes into the log and to every follower, and is written out once. Clones are
/// the same.
#[derive(Debug, Clone)]
pub(crate) struct Proposed(Arc<(Proposal, Box<RawValue>)>);

impl Proposed {
    pub(crate) fn new(proposal: Proposal) -> io::Result<Self> {
        let json = serde_json::value::to_raw_value(&proposal).map_err(io::Error::other)?;
        Ok(Self(Arc::new((proposal, json))))
    }

    fn parse(json: Box<RawValue>) -> serde_json::Result<Self> {
        let proposal = serde_json::from_str(json.get())?;
        Ok(Self(Arc::new((proposal, json))))
    }

    pub(crate) fn proposal(&self) -> &Proposal {
        &self.0.0
    }

    /// Length in the log.
    pub(crate) fn bytes(&self) -> usize {
        self.0.1.get().len()
    }
}

impl Serialize for Agreed {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match &self.0[..] {
            [one] => one.0.1.serialize(serializer),
            all => serializer.collect_seq(all.iter().map(|it| &it.0.1)),
        }
    }
}

impl<'de> Deserialize<'de> for Agreed {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let json = Box::<RawValue>::deserialize(deserializer)?;
        if !json.get().starts_with('[') {
            return Ok(Self(vec![Proposed::parse(json).map_err(D::Error::custom)?]));
        }
        let all: Vec<Box<RawValue>> = serde_json::from_str(json.get()).map_err(D::Error::custom)?;
        if all.is_empty() || all.len() > TOGETHER_MAX {
            let count = all.len();
            let why = format!("{count} proposals in an entry, 1 to {TOGETHER_MAX} are allowed");
            return Err(D::Error::custom(why));
        }
        let all = all.into_iter().map(Proposed::parse);
        Ok(Self(
            all.collect::<Result<_, _>>().map_err(D::Error::custom)?,
        ))
    }
}

impl fmt::Display for Agreed {
    /// Only the requests: a command holds names of customers, and this is for logs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("requests")?;
        self.0
            .iter()
            .try_for_each(|it| write!(f, " {}", it.proposal().request))
    }
}

pub(crate) type Raft = openraft::Raft<Types, Machine>;
pub(crate) type Entry = openraft::type_config::alias::EntryOf<Types>;
pub(crate) type LogId = LogIdOf<Types>;
pub(crate) type Vote = VoteOf<Types>;
pub(crate) type Membership = StoredMembershipOf<Types>;
pub(crate) type SnapshotMeta = SnapshotMetaOf<Types>;
/// A snapshot in memory; shared, since it goes to several nodes and to the disk.
pub(crate) type SnapshotData = Arc<Vec<u8>>;
pub(crate) type Snapshot = SnapshotOf<Types, SnapshotData>;
pub(crate) type AppendRequest = openraft::raft::AppendEntriesRequest<Types>;
pub(crate) type AppendResponse = openraft::raft::AppendEntriesResponse<Types>;
pub(crate) type VoteRequest = openraft::raft::VoteRequest<Types>;
pub(crate) type VoteResponse = openraft::raft::VoteResponse<Types>;
pub(crate) type SnapshotResponse = openraft::raft::SnapshotResponse<Types>;
pub(crate) type TransferRequest = openraft::raft::TransferLeaderRequest<Types>;
pub(crate) type TransferResponse = openraft::raft::TransferLeaderResponse<Types>;

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: &str =
        r#"{"v":1,"request":"01010101010101010101010101010101","at":5,"command":{"do":"tick"}}"#;

    fn written(json: &str) -> serde_json::Result<String> {
        let agreed: Agreed = serde_json::from_str(json)?;
        serde_json::to_string(&agreed)
    }

    #[test]
    fn what_is_agreed_on_is_frozen() {
        let one: Agreed = serde_json::from_str(ONE).unwrap();
        let anew = Proposed::new(one.0[0].proposal().clone()).unwrap();
        assert_eq!(anew.bytes(), ONE.len());
        assert_eq!(serde_json::to_string(&Agreed(vec![anew])).unwrap(), ONE);
        let two = format!("[{ONE},{ONE}]");
        assert_eq!(written(&two).unwrap(), two);
        // A list of one is the one.
        assert_eq!(written(&format!(" [ {ONE} ]")).unwrap(), ONE);
    }

    #[test]
    fn what_no_release_writes_is_refused() {
        let most = |count: usize| format!("[{}]", vec![ONE; count].join(","));
        assert!(written(&most(TOGETHER_MAX)).is_ok());
        let refused = written(&most(TOGETHER_MAX + 1)).unwrap_err();
        assert!(refused.to_string().contains("1 to 32"), "{refused}");
        for wrong in ["[]", "null", "7", "[[]]", "{}", "[null]", "\"[]\""] {
            written(wrong).unwrap_err();
        }
    }
}
