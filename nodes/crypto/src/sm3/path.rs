//! Which code compresses: chosen once per process by what the processor can do.
//!
//! Every path computes the same digests; the tests compare them all. To add one, give it a
//! [`Kernel`] and a line in [`KERNELS`].

use std::sync::OnceLock;

use super::{Block, DIGEST_BYTES, Hasher, State, many, portable};

/// One way to run SM3 on this kind of processor.
pub(super) struct Kernel {
    pub(super) name: &'static str,
    /// Whether this processor can run it. Nothing else in the kernel may be called when it cannot.
    pub(super) runs_here: fn() -> bool,
    /// Compresses the blocks, in their order, into the state.
    ///
    /// # Safety
    /// `runs_here` said yes.
    pub(super) compress: unsafe fn(&mut State, &[Block]),
    pub(super) lanes: Lanes,
    /// With fewer busy lanes than this, one message after another is faster.
    pub(super) lanes_min: usize,
}

/// Compresses the same number of blocks for each of several independent messages: word `w` of the
/// state of message `lane` is `state[w][lane]`.
///
/// # Safety
/// The kernel's `runs_here` said yes.
pub(super) type LaneCompress<const N: usize> =
    unsafe fn(state: &mut [[u32; N]; 8], blocks: &[&[Block]; N]);

/// The multi-buffer half of a kernel, by how many messages it takes at once.
#[derive(Clone, Copy)]
pub(super) enum Lanes {
    #[cfg(target_arch = "aarch64")]
    Four(LaneCompress<4>),
    #[cfg(target_arch = "x86_64")]
    Eight(LaneCompress<8>),
    Sixteen(LaneCompress<16>),
}

/// Best first; the last one runs everywhere.
const KERNELS: &[Kernel] = &[
    #[cfg(target_arch = "x86_64")]
    super::x86::avx512::KERNEL,
    #[cfg(target_arch = "x86_64")]
    super::x86::avx2::KERNEL,
    #[cfg(target_arch = "aarch64")]
    super::arm::KERNEL,
    portable::KERNEL,
];

/// One of the ways to run SM3 that this processor has, for benches and for tests that compare them.
#[derive(Clone, Copy)]
pub struct Path(&'static Kernel);

impl Path {
    /// The one that [`super::hash`] and everything else here uses.
    #[must_use]
    pub fn best() -> Self {
        static BEST: OnceLock<Path> = OnceLock::new();
        *BEST.get_or_init(|| {
            let first = Self::available().into_iter().next();
            first.unwrap_or(Self(&portable::KERNEL))
        })
    }

    /// All that run here, best first.
    #[must_use]
    pub fn available() -> Vec<Self> {
        let runs = KERNELS.iter().filter(|kernel| (kernel.runs_here)());
        runs.map(Self).collect()
    }

    /// Its name: `avx512`, `avx2`, `portable`, …
    #[must_use]
    pub fn name(self) -> &'static str {
        self.0.name
    }

    /// How many messages [`Self::hash_many`] works on at once.
    #[must_use]
    pub fn lanes(self) -> usize {
        match self.0.lanes {
            #[cfg(target_arch = "aarch64")]
            Lanes::Four(_) => 4,
            #[cfg(target_arch = "x86_64")]
            Lanes::Eight(_) => 8,
            Lanes::Sixteen(_) => 16,
        }
    }

    /// SM3 of `data`.
    #[must_use]
    pub fn hash(self, data: &[u8]) -> [u8; DIGEST_BYTES] {
        let mut hasher = Hasher::on(self);
        hasher.update(data);
        hasher.finish()
    }

    /// SM3 of each message, several at once.
    #[must_use]
    pub fn hash_many(self, messages: &[&[u8]]) -> Vec<[u8; DIGEST_BYTES]> {
        match self.0.lanes {
            #[cfg(target_arch = "aarch64")]
            Lanes::Four(lanes) => many::hash(self, lanes, messages),
            #[cfg(target_arch = "x86_64")]
            Lanes::Eight(lanes) => many::hash(self, lanes, messages),
            Lanes::Sixteen(lanes) => many::hash(self, lanes, messages),
        }
    }

    /// See [`Kernel::lanes_min`].
    pub(super) fn lanes_min(self) -> usize {
        self.0.lanes_min
    }

    #[expect(unsafe_code, reason = "entry to the vector code")]
    pub(super) fn compress(self, state: &mut State, blocks: &[Block]) {
        // SAFETY: a `Path` is made only from a kernel that runs here.
        unsafe { (self.0.compress)(state, blocks) }
    }
}

impl std::fmt::Debug for Path {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "sm3::Path({})", self.0.name)
    }
}
