//! Multi-buffer hashing: one message to a lane of the vector unit, and a lane that is done takes the
//! next message.

use super::path::{LaneCompress, Path};
use super::{Block, DIGEST_BYTES, INITIAL, State, padding, to_bytes};

/// Below this share of busy lanes, one message after another is faster than all lanes at once: a
/// step of all lanes takes about as long as three blocks alone.
const STEP_BLOCKS: usize = 3;

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

    /// The block at `next`, if it is not past the end.
    fn block(&self) -> Option<&Block> {
        match self.next.checked_sub(self.blocks.len()) {
            None => self.blocks.get(self.next),
            Some(at) => self.tail.blocks[..self.tail.count].get(at),
        }
    }

    /// What is left, one block after another.
    fn run_alone(&self, path: Path, state: &mut State) {
        let whole = self.blocks.get(self.next..).unwrap_or_default();
        path.compress(state, whole);
        let done = self.next.saturating_sub(self.blocks.len());
        path.compress(state, &self.tail.blocks[done..self.tail.count]);
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
    let idle = [0; 64];
    loop {
        let busy = jobs.iter().flatten().count();
        if busy < STEP_BLOCKS.min(N) {
            break;
        }
        let blocks = jobs.each_ref().map(|job| {
            let block = job.as_ref().and_then(Job::block);
            block.unwrap_or(&idle)
        });
        // SAFETY: `path` exists, so its kernel runs here.
        unsafe { compress(&mut states, &blocks) };
        for (lane, slot) in jobs.iter_mut().enumerate() {
            let Some(job) = slot else { continue };
            job.next += 1;
            if job.block().is_none() {
                digests[job.index] = to_bytes(&states.map(|words| words[lane]));
                *slot = take();
                for (words, initial) in states.iter_mut().zip(INITIAL) {
                    words[lane] = initial;
                }
            }
        }
    }
    for (lane, job) in jobs.iter().enumerate() {
        let Some(job) = job else { continue };
        let mut state = states.map(|words| words[lane]);
        job.run_alone(path, &mut state);
        digests[job.index] = to_bytes(&state);
    }
    digests
}
