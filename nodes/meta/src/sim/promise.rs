//! What a node promises with an answer. Who votes for a leader or takes entries from it, does nothing for
//! a lower one ever after, restarts and power cuts included: everything that Raft proves rests on that.

use std::fmt;

use openraft::raft::AppendEntriesResponse;

use crate::{
    fence,
    raft::{AppendResponse, Vote, VoteResponse},
    transport::Topic,
    wire::{PieceReply, Request, parse},
};

/// A leader's name. openraft orders leaders by term and then by node, so a term may have several, one
/// after the other; what Raft says of terms holds of these.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LeaderId {
    /// The term.
    pub term: u64,
    /// The node.
    pub node: u64,
}

impl LeaderId {
    pub(super) fn of(vote: &Vote) -> Self {
        Self {
            term: vote.leader_id.term,
            node: vote.leader_id.node_id,
        }
    }
}

impl fmt::Display for LeaderId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.term, self.node)
    }
}

/// An answer on its way out.
#[derive(Debug, Clone)]
pub struct Answered {
    /// What the asker gets.
    pub bytes: Vec<u8>,
    /// What was promised with it.
    pub promise: Option<Promise>,
}

/// "Nothing for a leader below this one from now on."
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Promise {
    /// This one.
    pub to: LeaderId,
    /// Whether it was a vote; else its entries or snapshot were taken.
    pub is_vote: bool,
}

/// A request whose answer may be a promise.
pub(super) struct Asked {
    by: LeaderId,
    of: Of,
}

enum Of {
    Vote,
    Append,
    Piece,
}

/// `None` for what asks for no promise.
pub(super) fn asked(topic: Topic, request: &[u8]) -> Option<Asked> {
    if topic != Topic::Raft {
        return None;
    }
    let (vote, of) = match Request::decode(fence::message_asked(request)?)? {
        Request::Vote(request) => (request.vote, Of::Vote),
        Request::Append(request) => (request.vote, Of::Append),
        Request::Piece(head, _) => (head.vote, Of::Piece),
        Request::PreVote(_) | Request::Transfer(_) => return None,
    };
    let by = LeaderId::of(&vote);
    Some(Asked { by, of })
}

impl Asked {
    /// What this answer promises.
    pub(super) fn promised(&self, answer: &[u8]) -> Option<Promise> {
        let answer = fence::message_answered(answer)?;
        let is_promised = match self.of {
            Of::Vote => {
                parse::<Result<VoteResponse, String>>(&answer)?
                    .ok()?
                    .vote_granted
            }
            Of::Append => match parse::<Result<AppendResponse, String>>(&answer)?.ok()? {
                AppendEntriesResponse::HigherVote(_) => false,
                AppendEntriesResponse::Success
                | AppendEntriesResponse::PartialSuccess(_)
                | AppendEntriesResponse::Conflict => true,
            },
            Of::Piece => match parse::<Result<PieceReply, String>>(&answer)?.ok()? {
                PieceReply::Done(response) => LeaderId::of(&response.vote) == self.by,
                PieceReply::More | PieceReply::Again => false,
            },
        };
        is_promised.then_some(Promise {
            to: self.by,
            is_vote: matches!(self.of, Of::Vote),
        })
    }
}
