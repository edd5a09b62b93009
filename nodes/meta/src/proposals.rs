//! Proposals that wait at the same moment become one entry of the log: consensus, log and followers have their
//! work once for all of them. One that waits alone goes at once.

use std::{io, time::Duration};

use futures::{StreamExt as _, stream::FuturesUnordered};
use guitai_types::{
    command::{Proposal, Reply},
    limits::COMMAND_BYTES_MAX,
};
use openraft::async_runtime::WatchReceiver as _;
use tokio::sync::{mpsc, oneshot, watch};

use crate::{
    leader::ATTEMPT_MS,
    raft::{Agreed, LogId, Proposed, Raft, TOGETHER_MAX},
};

/// Bytes of an entry that holds more than one proposal.
const TOGETHER_BYTES_MAX: usize = COMMAND_BYTES_MAX;
/// Entries under way at once. With fewer a proposal waits longer for its turn, with more each entry holds less.
const UNDER_WAY_MAX: usize = 4;
/// Proposals that wait for their turn; who comes then waits before the queue.
const WAITING_MAX: usize = 4_096;

/// What a proposal came to.
type Applied = (Reply, LogId);

struct Waiting {
    proposed: Proposed,
    tell: oneshot::Sender<Applied>,
}

/// Where proposals are handed in. Clones are the same.
#[derive(Clone)]
pub(crate) struct Proposals(mpsc::Sender<Waiting>);

/// The other end, for [`run`].
pub(crate) struct Queue(mpsc::Receiver<Waiting>);

impl Proposals {
    pub(crate) fn new() -> (Self, Queue) {
        let (hand_in, waiting) = mpsc::channel(WAITING_MAX);
        (Self(hand_in), Queue(waiting))
    }

    /// The reply, once the proposal is applied here; `None` if this node does not lead, has stopped, or had no
    /// answer within [`ATTEMPT_MS`] of its turn. It may still be applied then.
    pub(crate) async fn propose(&self, proposal: Proposal) -> io::Result<Option<Applied>> {
        let proposed = Proposed::new(proposal)?;
        let (tell, told) = oneshot::channel();
        let waiting = Waiting { proposed, tell };
        if self.0.send(waiting).await.is_err() {
            return Ok(None);
        }
        Ok(told.await.ok())
    }
}

/// Writes what is handed in, until the node stops.
pub(crate) async fn run(raft: Raft, queue: Queue, mut stopped: watch::Receiver<bool>) {
    let Queue(mut queue) = queue;
    let mut under_way = FuturesUnordered::new();
    let mut kept_back = None;
    let mut server = raft.server_metrics();
    loop {
        let first = async {
            match kept_back.take() {
                Some(waiting) => Some(waiting),
                None => queue.recv().await,
            }
        };
        let first = tokio::select! {
            biased;
            Some(()) = under_way.next() => continue,
            changed = server.changed() => {
                if changed.is_err() {
                    return;
                }
                let server = server.borrow_watched();
                if server.current_leader != Some(server.id) {
                    // Whether what is under way is applied is decided elsewhere: whoever waits asks there.
                    under_way.clear();
                }
                continue;
            }
            first = first, if under_way.len() < UNDER_WAY_MAX => first,
            _ = stopped.wait_for(|is_stopped| *is_stopped) => return,
        };
        let Some(first) = first else { return };
        let (together, next) = gather(first, || queue.try_recv().ok());
        kept_back = next;
        under_way.push(write(&raft, together));
    }
}

/// What goes into one entry with the first, and what was taken and does not fit any more.
fn gather(
    first: Waiting,
    mut next: impl FnMut() -> Option<Waiting>,
) -> (Vec<Waiting>, Option<Waiting>) {
    let mut bytes = first.proposed.bytes();
    let mut together = vec![first];
    while together.len() < TOGETHER_MAX {
        let Some(waiting) = next() else { break };
        bytes = bytes.saturating_add(waiting.proposed.bytes());
        if bytes > TOGETHER_BYTES_MAX {
            return (together, Some(waiting));
        }
        together.push(waiting);
    }
    (together, None)
}

async fn write(raft: &Raft, together: Vec<Waiting>) {
    let (proposed, tell): (Vec<_>, Vec<_>) = together
        .into_iter()
        .map(|it| (it.proposed, it.tell))
        .unzip();
    let limit = Duration::from_millis(ATTEMPT_MS);
    let written = tokio::time::timeout(limit, raft.client_write(Agreed(proposed)));
    let Ok(written) = written.await else { return };
    match written {
        Ok(written) => {
            for (tell, reply) in tell.into_iter().zip(written.data) {
                // Who asked may have given up.
                drop(tell.send((reply, written.log_id)));
            }
        }
        // Whoever waits finds its sender gone.
        Err(error) => tracing::debug!(%error, "an entry was not applied"),
    }
}

#[cfg(test)]
mod tests {
    use guitai_types::{
        MarkName, RequestId, UnixMillis,
        command::{Command, PROPOSAL_VERSION},
    };

    use super::*;

    fn waiting(bytes: usize) -> Waiting {
        let mark: MarkName = "m".parse().unwrap();
        let proposal = Proposal {
            v: PROPOSAL_VERSION,
            request: RequestId::from_random([7; 16]),
            at: UnixMillis(1),
            command: Command::PutMark {
                mark,
                value: "x".repeat(bytes),
                sync: false,
            },
            salt: None,
        };
        Waiting {
            proposed: Proposed::new(proposal).unwrap(),
            tell: oneshot::channel().0,
        }
    }

    #[test]
    fn an_entry_is_bounded_in_number_and_bytes_and_keeps_the_order() {
        let mut queue: Vec<_> = (0..TOGETHER_MAX + 5).map(|_| waiting(1)).collect();
        let (together, kept) = gather(waiting(1), || queue.pop());
        assert_eq!(
            (together.len(), kept.is_none(), queue.len()),
            (TOGETHER_MAX, true, 6)
        );

        let sizes = [1, 2, TOGETHER_BYTES_MAX / 2, TOGETHER_BYTES_MAX / 2, 3];
        let mut queue: Vec<_> = sizes.into_iter().rev().map(waiting).collect();
        let (together, kept) = gather(waiting(0), || queue.pop());
        let bytes: Vec<usize> = together.iter().map(|it| it.proposed.bytes()).collect();
        assert!(bytes.is_sorted(), "as they came");
        assert_eq!((together.len(), kept.is_some(), queue.len()), (4, true, 1));

        // One as large as may be goes alone.
        let (together, kept) = gather(waiting(TOGETHER_BYTES_MAX), || Some(waiting(1)));
        assert_eq!((together.len(), kept.is_some()), (1, true));
    }
}
