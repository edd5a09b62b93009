//! SM3 as the transcript hash.

use rustls::crypto::hash::{Context, Hash, HashAlgorithm, Output};

use crate::sm3;

/// TLS `HashAlgorithm` 7 is `sm3` in GM/T; the value must be its own, since resumption compares it.
const ALGORITHM: HashAlgorithm = HashAlgorithm::Unknown(7);

pub(super) struct Sm3;

impl Hash for Sm3 {
    fn start(&self) -> Box<dyn Context> {
        Box::new(Transcript(sm3::Hasher::new()))
    }

    fn hash(&self, data: &[u8]) -> Output {
        Output::new(&sm3::hash(data))
    }

    fn output_len(&self) -> usize {
        sm3::DIGEST_BYTES
    }

    fn algorithm(&self) -> HashAlgorithm {
        ALGORITHM
    }
}

struct Transcript(sm3::Hasher);

impl Context for Transcript {
    fn fork_finish(&self) -> Output {
        Output::new(&self.0.clone().finish())
    }

    fn fork(&self) -> Box<dyn Context> {
        Box::new(Self(self.0.clone()))
    }

    fn finish(self: Box<Self>) -> Output {
        Output::new(&self.0.finish())
    }

    fn update(&mut self, data: &[u8]) {
        self.0.update(data);
    }
}
