//! Who looks over the shoulder of the parties of a demo call. No command has one: a test that looks for keys where none
//! may be has to know which ones there are.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Frames that are kept; later ones are not.
pub const FRAMES_MAX: usize = 4_096;

/// What the parties of a call hold and send; clones share it.
#[derive(Debug, Clone, Default)]
pub struct Witness(Arc<Mutex<Witnessed>>);

/// What was seen so far.
#[derive(Debug, Clone, Default)]
pub struct Witnessed {
    /// Media keys, one for each epoch and party, in the order in which they came into use.
    pub keys: Vec<[u8; 32]>,
    /// Frames, in the order in which they were sent; at most [`FRAMES_MAX`].
    pub frames: Vec<SealedFrame>,
}

/// A frame, as it was before it was sealed and as it went out.
#[derive(Debug, Clone)]
pub struct SealedFrame {
    /// Its track, which the seal covers.
    pub track: &'static str,
    /// What was sealed.
    pub plain: Vec<u8>,
    /// What relays see.
    pub sealed: Vec<u8>,
}

impl Witness {
    /// What was seen so far.
    pub fn seen(&self) -> Witnessed {
        self.lock().clone()
    }

    pub(super) fn key(&self, key: [u8; 32]) {
        self.lock().keys.push(key);
    }

    pub(super) fn frame(&self, track: &'static str, plain: &[u8], sealed: &[u8]) {
        let mut seen = self.lock();
        if seen.frames.len() < FRAMES_MAX {
            let (plain, sealed) = (plain.to_vec(), sealed.to_vec());
            seen.frames.push(SealedFrame {
                track,
                plain,
                sealed,
            });
        }
    }

    fn lock(&self) -> MutexGuard<'_, Witnessed> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
