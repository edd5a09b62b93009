//! Answers the other core nodes.

use std::{
    collections::BTreeMap,
    fmt::Display,
    sync::{Arc, Mutex, PoisonError},
};

use guitai_types::{Member, NodeName};
use serde::Serialize;

use crate::{
    fence,
    meta::Meta,
    raft::{Raft, Snapshot, SnapshotMeta},
    transport::Topic,
    wire::{LeaderReply, PieceHead, PieceReply, Request, SNAPSHOT_BYTES_MAX, Write, parse},
};

/// A node's answers; clones are the same.
#[derive(Clone)]
pub(crate) struct Service {
    meta: Meta,
    /// Snapshots that are being received, one per sender at most.
    incoming: Arc<Mutex<BTreeMap<NodeName, Incoming>>>,
}

struct Incoming {
    meta: SnapshotMeta,
    data: Vec<u8>,
    total: u64,
}

impl Service {
    pub(crate) fn new(meta: Meta) -> Self {
        Self {
            meta,
            incoming: Arc::default(),
        }
    }

    /// `None` if the sender may not ask or its request is not understood.
    pub(crate) async fn answer(
        &self,
        from: &NodeName,
        topic: Topic,
        request: Vec<u8>,
    ) -> Option<Vec<u8>> {
        // Its certificate says that it is an inner node of this cluster; whether it is one of the
        // core, only the member list says.
        let Some(member) = self.meta.directory().core(from) else {
            tracing::warn!(%from, "a node that is not a core node asks the core");
            return None;
        };
        let lineage = self.meta.lineage();
        let admitted = fence::admit(lineage, self.meta.clock(), from, topic, request);
        let (request, manner) = match admitted {
            Ok(admitted) => admitted.open(),
            Err(instead) => return instead,
        };
        if topic != Topic::Lineage {
            self.meta.directory().note_heard(member.id, self.meta.now());
        }
        let answer = self.answer_topic(&member, from, topic, request).await?;
        Some(manner.answer(answer))
    }

    async fn answer_topic(
        &self,
        member: &Member,
        from: &NodeName,
        topic: Topic,
        request: Vec<u8>,
    ) -> Option<Vec<u8>> {
        match topic {
            Topic::Raft => self.raft(from, Request::decode(&request)?).await,
            Topic::Write => {
                let Write { request, command } = parse(&request)?;
                json(&match self.meta.propose_here(request, &command).await {
                    Some(reply) => LeaderReply::Done(reply),
                    None => LeaderReply::NotLeader,
                })
            }
            Topic::Read => json(&match self.meta.read_index_here().await {
                Some(index) => LeaderReply::Done(index),
                None => LeaderReply::NotLeader,
            }),
            Topic::Lease => self.meta.answer_lease(member.id, &request),
            Topic::Lineage => json(&self.meta.answer_lineage(member, parse(&request)?).await),
            Topic::Log => json(&self.meta.answer_log(parse(&request)?).await),
            Topic::Status => json(&LeaderReply::Done(self.meta.status())),
        }
    }

    async fn raft(&self, from: &NodeName, request: Request) -> Option<Vec<u8>> {
        let raft = self.meta.raft();
        match request {
            Request::Append(request) => answer(raft.append_entries(request).await),
            Request::Vote(request) => answer(raft.vote(request).await),
            Request::PreVote(request) => answer(raft.pre_vote(request).await),
            Request::Transfer(request) => answer(raft.handle_transfer_leader(request).await),
            Request::Piece(head, piece) => answer(self.piece(raft, from, *head, &piece).await),
        }
    }

    async fn piece(
        &self,
        raft: &Raft,
        from: &NodeName,
        head: PieceHead,
        piece: &[u8],
    ) -> Result<PieceReply, String> {
        if head.total > SNAPSHOT_BYTES_MAX {
            let total = head.total;
            return Err(format!(
                "{total} bytes, SNAPSHOT_BYTES_MAX is {SNAPSHOT_BYTES_MAX}"
            ));
        }
        let Some(whole) = self.gather(from, &head, piece) else {
            return Ok(PieceReply::Again);
        };
        let Some(data) = whole else {
            return Ok(PieceReply::More);
        };
        let snapshot = Snapshot {
            meta: head.meta,
            snapshot: Arc::new(data),
        };
        let installed = raft.install_full_snapshot(head.vote, snapshot).await;
        installed
            .map(PieceReply::Done)
            .map_err(|error| error.to_string())
    }

    /// Adds a piece; gives the whole when it was the last, `None` when it does not fit.
    fn gather(&self, from: &NodeName, head: &PieceHead, piece: &[u8]) -> Option<Option<Vec<u8>>> {
        let mut all = self.incoming.lock().unwrap_or_else(PoisonError::into_inner);
        if head.offset == 0 {
            let (meta, total) = (head.meta.clone(), head.total);
            all.insert(
                from.clone(),
                Incoming {
                    meta,
                    data: Vec::new(),
                    total,
                },
            );
        }
        let incoming = all.get_mut(from)?;
        let size = (incoming.data.len() + piece.len()) as u64;
        let fits = incoming.meta == head.meta
            && incoming.total == head.total
            && incoming.data.len() as u64 == head.offset
            && size <= head.total;
        if !fits {
            all.remove(from);
            return None;
        }
        incoming.data.extend_from_slice(piece);
        if size < head.total {
            return Some(None);
        }
        all.remove(from).map(|incoming| Some(incoming.data))
    }
}

fn answer<T: Serialize, E: Display>(result: Result<T, E>) -> Option<Vec<u8>> {
    json(&result.map_err(|error| error.to_string()))
}

fn json(value: &impl Serialize) -> Option<Vec<u8>> {
    serde_json::to_vec(value).ok()
}
