//! Every message between core nodes carries the epoch of its sender, and so does every answer.
//!
//! Version 2 of the frame: a request is the byte 16, the sender's epoch as a big-endian `u64` (0: it
//! has none yet), and the message of version 1; an answer is the byte 16, the epoch, one byte of
//! verdict (0 answered, 1 fenced: your epoch is lower than mine, 2 this node is in quarantine) and,
//! after verdict 0, the answer of version 1. No message of version 1 begins with 16: those of raft
//! begin with 1 to 5, the others with `{`.

use std::{sync::Arc, time::Duration};

use futures::future::BoxFuture;
use guitai_host::Clock;
use guitai_types::{Epoch, Member, NodeName};

use crate::{
    lineage::{Lineage, Verdict},
    transport::{Topic, Transport, Unanswered},
};

const VERSION: u8 = 16;
const ANSWERED: u8 = 0;
const FENCED: u8 = 1;
const QUARANTINED: u8 = 2;

/// A transport that speaks for one lineage only.
pub(crate) struct Fence {
    pub(crate) inner: Arc<dyn Transport>,
    pub(crate) lineage: Lineage,
    pub(crate) clock: Arc<dyn Clock>,
}

impl Transport for Fence {
    fn ask(
        &self,
        to: &Member,
        topic: Topic,
        request: Vec<u8>,
        within: Duration,
    ) -> BoxFuture<'static, Result<Vec<u8>, Unanswered>> {
        let name = to.name.clone();
        let fail = move |why: String| Unanswered {
            to: name.clone(),
            why,
        };
        // Which lineage another node is of may be asked by anybody.
        if topic != Topic::Lineage && self.lineage.is_quarantined() {
            let why = "this node is in quarantine and says nothing".to_owned();
            return Box::pin(async move { Err(fail(why)) });
        }
        let framed = frame(self.lineage.epoch(), &request);
        let asked = self.inner.ask(to, topic, framed, within);
        let (lineage, clock, from) = (self.lineage.clone(), self.clock.clone(), to.name.clone());
        Box::pin(async move {
            let answer = asked.await?;
            match read_answer(answer) {
                Some(Answer::Plain(answer)) => Ok(answer),
                Some(Answer::Fenced(epoch)) => {
                    lineage.judge(Some(epoch), &from, clock.wall());
                    Err(fail(format!("fenced: it is of epoch {}", epoch.0)))
                }
                Some(Answer::Quarantined) => Err(fail("it is in quarantine".to_owned())),
                None => Err(fail("it answered what is no answer".to_owned())),
            }
        })
    }
}

/// Lets a request in, or says what to answer instead.
pub(crate) fn admit(
    lineage: &Lineage,
    clock: &dyn Clock,
    from: &NodeName,
    topic: Topic,
    request: Vec<u8>,
) -> Result<Admitted, Option<Vec<u8>>> {
    let (epoch, request, framed) = match request.split_first() {
        Some((&VERSION, rest)) => {
            let (epoch, rest) = rest.split_first_chunk::<8>().ok_or(None)?;
            let epoch = u64::from_be_bytes(*epoch);
            ((epoch > 0).then_some(Epoch(epoch)), rest.to_vec(), true)
        }
        _ => (None, request, false),
    };
    let verdict = if topic == Topic::Lineage || (framed && epoch.is_none()) {
        // A node without any entry has nothing that could be wrong.
        if lineage.is_quarantined() && topic != Topic::Lineage {
            Verdict::Quarantined
        } else {
            Verdict::Ours
        }
    } else {
        lineage.judge(epoch, from, clock.wall())
    };
    let own = lineage.epoch();
    match verdict {
        Verdict::Ours => Ok(Admitted {
            request,
            framed,
            own,
        }),
        Verdict::Fenced => {
            tracing::warn!(%from, epoch = epoch.unwrap_or_default().0, "a message of an old epoch is refused");
            Err(framed.then(|| verdict_frame(own, FENCED)))
        }
        Verdict::Quarantined => Err(framed.then(|| verdict_frame(own, QUARANTINED))),
    }
}

/// A request that was let in.
pub(crate) struct Admitted {
    /// The message of version 1.
    pub(crate) request: Vec<u8>,
    framed: bool,
    own: Option<Epoch>,
}

/// How an answer must look to whoever sent the request.
pub(crate) struct Manner {
    framed: bool,
    own: Option<Epoch>,
}

impl Admitted {
    pub(crate) fn open(self) -> (Vec<u8>, Manner) {
        let Self {
            request,
            framed,
            own,
        } = self;
        (request, Manner { framed, own })
    }
}

impl Manner {
    pub(crate) fn answer(&self, answer: Vec<u8>) -> Vec<u8> {
        if self.framed {
            [verdict_frame(self.own, ANSWERED), answer].concat()
        } else {
            answer
        }
    }
}

fn frame(epoch: Option<Epoch>, message: &[u8]) -> Vec<u8> {
    let epoch = epoch.unwrap_or_default().0.to_be_bytes();
    [&[VERSION], &epoch[..], message].concat()
}

fn verdict_frame(own: Option<Epoch>, verdict: u8) -> Vec<u8> {
    frame(own, &[verdict])
}

enum Answer {
    Plain(Vec<u8>),
    Fenced(Epoch),
    Quarantined,
}

/// `None` for what no release before or of this one answers.
fn read_answer(answer: Vec<u8>) -> Option<Answer> {
    match answer.split_first() {
        Some((&VERSION, rest)) => {
            let (epoch, rest) = rest.split_first_chunk::<8>()?;
            let (verdict, rest) = rest.split_first()?;
            match *verdict {
                ANSWERED => Some(Answer::Plain(rest.to_vec())),
                FENCED => Some(Answer::Fenced(Epoch(u64::from_be_bytes(*epoch)))),
                QUARANTINED => Some(Answer::Quarantined),
                _ => None,
            }
        }
        _ => Some(Answer::Plain(answer)),
    }
}

/// The message of version 1 in a request that another node framed.
#[cfg(feature = "sim")]
pub(crate) fn message_asked(request: &[u8]) -> Option<&[u8]> {
    match request.split_first()? {
        (&VERSION, rest) => rest.get(size_of::<u64>()..),
        _ => Some(request),
    }
}

/// The message of version 1 in an answer of this node; `None` for a verdict without one.
#[cfg(feature = "sim")]
pub(crate) fn message_answered(answer: &[u8]) -> Option<Vec<u8>> {
    match read_answer(answer.to_vec())? {
        Answer::Plain(message) => Some(message),
        Answer::Fenced(_) | Answer::Quarantined => None,
    }
}

#[cfg(test)]
mod tests {
    use guitai_host::{SimDisk, SystemClock};

    use super::*;

    fn lineage(epoch: u64) -> Lineage {
        let lineage = Lineage::open(Arc::new(SimDisk::new())).unwrap();
        lineage.know_emptiness(|| false);
        lineage.settle(Epoch(epoch)).unwrap();
        lineage
    }

    fn let_in(lineage: &Lineage, request: &[u8]) -> Result<Vec<u8>, Option<Vec<u8>>> {
        let from = "a1-1".parse().unwrap();
        admit(lineage, &SystemClock, &from, Topic::Raft, request.to_vec())
            .map(|admitted| admitted.open().0)
    }

    #[test]
    fn the_bytes_of_the_frame_are_frozen() {
        let request = frame(Some(Epoch(0x0102)), b"\x02rest");
        assert_eq!(request, b"\x10\0\0\0\0\0\0\x01\x02\x02rest");
        let fenced = verdict_frame(Some(Epoch(3)), FENCED);
        assert_eq!(fenced, b"\x10\0\0\0\0\0\0\0\x03\x01");
        assert!(matches!(
            read_answer(fenced),
            Some(Answer::Fenced(Epoch(3)))
        ));
        let quarantined = verdict_frame(Some(Epoch(3)), QUARANTINED);
        assert!(matches!(
            read_answer(quarantined),
            Some(Answer::Quarantined)
        ));
        let cut: Vec<u8> = request[..5].to_vec();
        assert!(read_answer(cut).is_none(), "cut");
    }

    #[test]
    fn the_release_before_is_read_and_fenced_after_a_takeover() {
        let first = lineage(1);
        assert_eq!(let_in(&first, b"\x02vote").unwrap(), b"\x02vote");
        assert_eq!(let_in(&lineage(2), b"\x02vote"), Err(None));
        assert!(!first.is_quarantined());
    }

    #[test]
    fn a_lower_epoch_gets_the_higher_one_for_an_answer() {
        let second = lineage(2);
        let old = frame(Some(Epoch(1)), b"\x02vote");
        assert_eq!(
            let_in(&second, &old),
            Err(Some(verdict_frame(Some(Epoch(2)), FENCED)))
        );
        let new = frame(Some(Epoch(3)), b"\x02vote");
        assert_eq!(
            let_in(&second, &new),
            Err(Some(verdict_frame(Some(Epoch(2)), QUARANTINED)))
        );
        assert!(second.is_quarantined());
        assert_eq!(let_in(&second, b"\x10\0\0"), Err(None), "cut");
    }
}
