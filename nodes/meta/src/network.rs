//! openraft's network on our transport.

use std::{future::Future, sync::Arc, time::Duration};

use futures::{
    Stream, StreamExt as _,
    future::BoxFuture,
    stream::{self, BoxStream},
};
use guitai_types::NodeId;
use openraft::{
    BasicNode, OptionalSend, RaftNetworkFactory, RaftNetworkV2,
    errors::{RPCError, ReplicationClosed, StreamingError, Unreachable},
    network::{Backoff, RPCOption, stream_append_sequential},
    raft::StreamAppendResult,
};
use serde::de::DeserializeOwned;

use crate::{
    directory::Directory,
    raft::{
        AppendRequest, AppendResponse, Snapshot, SnapshotData, SnapshotResponse, TransferRequest,
        TransferResponse, Types, Vote, VoteRequest, VoteResponse,
    },
    transport::{Topic, Transport},
    view::chain,
    wire::{PIECE_BYTES, PieceHead, PieceReply, Request, parse},
};

/// Entries are given more time than openraft's one heartbeat interval: a follower's disk may be slow
/// for a moment, and sending them all again would not make it faster.
const APPEND_MS: u64 = 1_000;
/// A message without entries (a sign of life, the newest commit) more than one interval, too: to the other
/// city and back takes most of 50 ms by itself, and a node that was given up counts as unreachable, so that
/// entries and sync writes wait for it as well.
const HEARTBEAT_MS: u64 = 250;
/// How long a node that could not be reached is left alone at first, doubled each time, in milliseconds…
const BACKOFF_FIRST_MS: u64 = 20;
/// … and at the most.
const BACKOFF_MAX_MS: u64 = 320;
/// How long a session of messages lasts beyond its last answer, in milliseconds. openraft answers a probe for
/// the end of a follower's log with the next one, but only after it has taken note of the answer; a session
/// that ends at once sends the newest commit in between, which costs the far city a round trip for every probe.
const BREATH_MS: u64 = 2;
/// A piece of a snapshot; the last one is installed within this.
const PIECE_MS: u64 = 30_000;
/// How often a snapshot is begun again before openraft is told that it failed.
const SNAPSHOT_TRIES: u32 = 3;

/// Makes the connections of one node.
#[derive(Clone)]
pub(crate) struct Network {
    pub(crate) transport: Arc<dyn Transport>,
    pub(crate) directory: Directory,
}

/// A connection to one node.
pub(crate) struct Line {
    network: Network,
    to: NodeId,
}

/// Answers to a session of messages.
type Answers<'s> = BoxStream<'s, Result<StreamAppendResult<Types>, RPCError<Types>>>;

impl RaftNetworkFactory<Types> for Network {
    type Network = Line;

    async fn new_client(&mut self, target: u64, _node: &BasicNode) -> Line {
        Line {
            network: self.clone(),
            to: NodeId(target),
        }
    }
}

impl Line {
    async fn ask<T: DeserializeOwned>(
        &self,
        request: Request,
        within: Duration,
    ) -> Result<T, Unreachable<Types>> {
        let to = self.to;
        let member = self.network.directory.by_id(to);
        let member = member.ok_or_else(|| unreachable(format!("node {to} is not known")))?;
        let bytes = request
            .encode()
            .map_err(|error| unreachable(chain(&error)))?;
        let answer = self
            .network
            .transport
            .ask(&member, Topic::Raft, bytes, within)
            .await;
        let answer = answer.map_err(|error| unreachable(chain(&error)))?;
        match parse::<Result<T, String>>(&answer) {
            Some(Ok(answer)) => Ok(answer),
            Some(Err(why)) => Err(unreachable(format!("node {to}: {why}"))),
            None => Err(unreachable(format!("node {to} answered what is no answer"))),
        }
    }

    async fn send_pieces(
        &self,
        vote: Vote,
        snapshot: &Snapshot,
    ) -> Result<SnapshotResponse, StreamingError<Types>> {
        let within = Duration::from_millis(PIECE_MS);
        let data = &snapshot.snapshot;
        for _try in 0..SNAPSHOT_TRIES {
            let mut offset = 0;
            loop {
                let end = data.len().min(offset + PIECE_BYTES);
                let piece = data.get(offset..end).unwrap_or_default().to_vec();
                let head = PieceHead {
                    vote,
                    meta: snapshot.meta.clone(),
                    offset: offset as u64,
                    total: data.len() as u64,
                };
                let request = Request::Piece(Box::new(head), piece);
                match self.ask::<PieceReply>(request, within).await? {
                    PieceReply::Done(response) => return Ok(response),
                    PieceReply::More if end < data.len() => offset = end,
                    PieceReply::More | PieceReply::Again => break,
                }
            }
        }
        Err(unreachable("the snapshot was not taken".to_owned()).into())
    }
}

impl RaftNetworkV2<Types> for Line {
    type SnapshotData = SnapshotData;

    async fn append_entries(
        &mut self,
        rpc: AppendRequest,
        option: RPCOption,
    ) -> Result<AppendResponse, RPCError<Types>> {
        let least_ms = if rpc.entries.is_empty() {
            HEARTBEAT_MS
        } else {
            APPEND_MS
        };
        let within = option.hard_ttl().max(Duration::from_millis(least_ms));
        Ok(self.ask(Request::Append(rpc), within).await?)
    }

    fn stream_append<'s, S>(
        &'s mut self,
        input: S,
        option: RPCOption,
    ) -> BoxFuture<'s, Result<Answers<'s>, RPCError<Types>>>
    where
        S: Stream<Item = AppendRequest> + OptionalSend + Unpin + 'static,
    {
        let answers = stream_append_sequential(self, input, option);
        let breath = async {
            tokio::time::sleep(Duration::from_millis(BREATH_MS)).await;
            None
        };
        Box::pin(async move {
            let end = stream::once(breath).filter_map(std::future::ready);
            let answers: Answers<'s> = answers.await?.chain(end).boxed();
            Ok(answers)
        })
    }

    async fn vote(
        &mut self,
        rpc: VoteRequest,
        option: RPCOption,
    ) -> Result<VoteResponse, RPCError<Types>> {
        Ok(self.ask(Request::Vote(rpc), option.hard_ttl()).await?)
    }

    async fn pre_vote(
        &mut self,
        rpc: VoteRequest,
        option: RPCOption,
    ) -> Result<VoteResponse, RPCError<Types>> {
        Ok(self.ask(Request::PreVote(rpc), option.hard_ttl()).await?)
    }

    fn backoff(&self) -> Option<Backoff> {
        let longer = |ms: &u64| Some((ms * 2).min(BACKOFF_MAX_MS));
        let pauses = std::iter::successors(Some(BACKOFF_FIRST_MS), longer);
        Some(Backoff::new(pauses.map(Duration::from_millis)))
    }

    async fn full_snapshot(
        &mut self,
        vote: Vote,
        snapshot: Snapshot,
        cancel: impl Future<Output = ReplicationClosed> + OptionalSend + 'static,
        _option: RPCOption,
    ) -> Result<SnapshotResponse, StreamingError<Types>> {
        tokio::select! {
            biased;
            closed = cancel => Err(closed.into()),
            sent = self.send_pieces(vote, &snapshot) => sent,
        }
    }

    async fn transfer_leader(
        &mut self,
        req: TransferRequest,
        option: RPCOption,
    ) -> Result<TransferResponse, RPCError<Types>> {
        let within = option.hard_ttl().max(Duration::from_millis(APPEND_MS));
        Ok(self.ask(Request::Transfer(req), within).await?)
    }
}

fn unreachable(why: String) -> Unreachable<Types> {
    Unreachable::from_string(why)
}
