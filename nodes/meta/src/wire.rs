//! What core nodes say to each other, in bytes.
//!
//! On `guitai-raft/1` a request is one byte of kind, a big-endian `u32` length of JSON, the JSON, and
//! for a piece of a snapshot its bytes. An answer is JSON: `{"Ok":…}` or `{"Err":"…"}`. The calls
//! `meta.write`, `meta.read` and `meta.status` on `guitai-call/1` are JSON both ways.

use guitai_types::{RequestId, command::Command};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::raft::{
    AppendRequest, SnapshotMeta, SnapshotResponse, TransferRequest, Vote, VoteRequest,
};

/// Bytes of a snapshot in one message.
pub(crate) const PIECE_BYTES: usize = 4 * 1024 * 1024;
/// Largest snapshot that is taken from another node.
pub(crate) const SNAPSHOT_BYTES_MAX: u64 = 1024 * 1024 * 1024;

const _: () = assert!(PIECE_BYTES * 2 <= guitai_types::limits::RPC_BYTES_MAX);

/// A raft message.
pub(crate) enum Request {
    Append(AppendRequest),
    Vote(VoteRequest),
    PreVote(VoteRequest),
    Transfer(TransferRequest),
    Piece(Box<PieceHead>, Vec<u8>),
}

/// Says what a piece of a snapshot belongs to.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct PieceHead {
    /// Vote of the leader that sends it.
    pub(crate) vote: Vote,
    pub(crate) meta: SnapshotMeta,
    /// Where in the snapshot the piece begins.
    pub(crate) offset: u64,
    /// Bytes of the whole snapshot.
    pub(crate) total: u64,
}

/// Answer to a piece.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum PieceReply {
    /// Go on.
    More,
    /// Begin again: this piece does not continue what is there.
    Again,
    /// That was the last one, and the snapshot was installed or is older than what is there.
    Done(SnapshotResponse),
}

/// Body of `meta.write`.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Write {
    pub(crate) request: RequestId,
    pub(crate) command: Command,
}

/// Answer to `meta.write` (a reply), `meta.read` (the log index a reader must have applied) and
/// `meta.status`.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum LeaderReply<T> {
    Done(T),
    /// The node asked does not lead, or could not prove it in time.
    NotLeader,
}

impl Request {
    pub(crate) fn encode(&self) -> serde_json::Result<Vec<u8>> {
        let (kind, head, tail): (u8, Vec<u8>, &[u8]) = match self {
            Self::Append(request) => (1, serde_json::to_vec(request)?, &[]),
            Self::Vote(request) => (2, serde_json::to_vec(request)?, &[]),
            Self::PreVote(request) => (3, serde_json::to_vec(request)?, &[]),
            Self::Transfer(request) => (4, serde_json::to_vec(request)?, &[]),
            Self::Piece(head, piece) => (5, serde_json::to_vec(head)?, piece),
        };
        let length = u32::try_from(head.len()).unwrap_or(u32::MAX).to_be_bytes();
        Ok([&[kind], &length[..], &head, tail].concat())
    }

    /// `None` for what no release before or of this one sends.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let (kind, rest) = bytes.split_first()?;
        let (length, rest) = rest.split_first_chunk::<4>()?;
        let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
        let (head, tail) = rest.split_at_checked(length)?;
        if *kind != 5 && !tail.is_empty() {
            return None;
        }
        Some(match kind {
            1 => Self::Append(parse(head)?),
            2 => Self::Vote(parse(head)?),
            3 => Self::PreVote(parse(head)?),
            4 => Self::Transfer(parse(head)?),
            5 => Self::Piece(Box::new(parse(head)?), tail.to_vec()),
            _ => return None,
        })
    }
}

pub(crate) fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Option<T> {
    serde_json::from_slice(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_no_release_sends_is_refused() {
        let vote = Request::Vote(VoteRequest::new(Vote::new(3, 1), None));
        let bytes = vote.encode().unwrap();
        assert!(matches!(Request::decode(&bytes), Some(Request::Vote(_))));
        assert!(Request::decode(&[]).is_none());
        assert!(Request::decode(&bytes[..bytes.len() - 1]).is_none(), "cut");
        assert!(
            Request::decode(&[&bytes[..], b"x"].concat()).is_none(),
            "too much"
        );
        assert!(
            Request::decode(&[&[9], &bytes[1..]].concat()).is_none(),
            "unknown kind"
        );
        assert!(
            Request::decode(&[2, 255, 255, 255, 255]).is_none(),
            "length beyond the end"
        );
    }

    #[test]
    fn the_bytes_of_a_vote_are_frozen() {
        let bytes = Request::Vote(VoteRequest::new(Vote::new(3, 1), None))
            .encode()
            .unwrap();
        let json = concat!(
            r#"{"vote":{"leader_id":{"term":3,"node_id":1},"committed":false},"#,
            r#""last_log_id":null,"leadership_transfer":false}"#
        );
        assert_eq!(bytes[..5], [2, 0, 0, 0, json.len() as u8]);
        assert_eq!(String::from_utf8_lossy(&bytes[5..]), json);
    }
}
