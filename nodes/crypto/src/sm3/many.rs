//! Multi-buffer hashing: one message to a lane of the vector unit, and a lane that is done takes the
//! next message.

use super::path::{LaneCompress, Path};
use super::{Block, DIGEST_BYTES, INITIAL, State, padding, to_bytes};

/// A message in a lane.
struct Job<'a> {
    /// Its place among the messages.
    index: usize,
    /// Whole blocks of the message itself, then of its padding.
    blocks: &'a [Block],
    tail: Tail,
    next: usize,
}

/// The last bytes of a message with SM3's padding: one block or two.
struct Tail {
    blocks: [Block; 2],
    count: usize,
}

impl<'a> Job<'a> {
    fn new(index: usize, message: &'a [u8]) -> Self {
        let (blocks, rest) = message.as_chunks();
        let (tail, count) = padding(rest, message.len() as u64);
        let tail = Tail {
            blocks: tail,
            count,
        };
        Self {
            index,
            blocks,
            tail,
            next: 0,
        }
    }

    /// What can be compressed next in one piece: empty when the message is done.
    fn ready(&self) -> &[Block] {
        match self.next.checked_sub(self.blocks.len()) {
            None => &self.blocks[self.next..],
            // `next` never passes the end.
            Some(done) => &self.tail.blocks[done..self.tail.count],
        }
    }

    /// What is left, one block after another.
    fn run_alone(&mut self, path: Path, state: &mut State) {
        while !self.ready().is_empty() {
            path.compress(state, self.ready());
            self.next += self.ready().len();
        }
    }
}

/// SM3 of each message.
#[expect(unsafe_code, reason = "entry to the vector code")]
pub(super) fn hash<const N: usize>(
    path: Path,
    compress: LaneCompress<N>,
    messages: &[&[u8]],
) -> Vec<[u8; DIGEST_BYTES]> {
    let mut digests = vec![[0; DIGEST_BYTES]; messages.len()];
    let mut waiting = messages.iter().enumerate();
    let mut take = || {
        waiting
            .next()
            .map(|(index, message)| Job::new(index, message))
    };
    let mut jobs: [Option<Job<'_>>; N] = std::array::from_fn(|_| take());
    let mut states: [[u32; N]; 8] = INITIAL.map(|word| [word; N]);
    loop {
        let busy = || jobs.iter().flatten();
        let Some(first) = busy().next() else { break };
        if busy().count() < path.lanes_min() {
            break;
        }
        // All lanes go as far as the one that has least in one piece. It has something: a job that is
        // done has left its lane.
        let blocks = busy()
            .map(|job| job.ready().len())
            .min()
            .unwrap_or_default();
        let pieces = jobs.each_ref().map(|job| {
            // An idle lane repeats another's work, and nobody reads its state.
            let job = job.as_ref().unwrap_or(first);
            &job.ready()[..blocks]
        });
        // SAFETY: `path` exists, so its kernel runs here.
        unsafe { compress(&mut states, &pieces) };
        for (lane, slot) in jobs.iter_mut().enumerate() {
            let Some(job) = slot else { continue };
            job.next += blocks;
            if job.ready().is_empty() {
                digests[job.index] = to_bytes(&states.map(|words| words[lane]));
                *slot = take();
                for (words, initial) in states.iter_mut().zip(INITIAL) {
                    words[lane] = initial;
                }
            }
        }
    }
    for (lane, job) in jobs.iter_mut().enumerate() {
        let Some(job) = job else { continue };
        let mut state = states.map(|words| words[lane]);
        job.run_alone(path, &mut state);
        digests[job.index] = to_bytes(&state);
    }
    digests
}
