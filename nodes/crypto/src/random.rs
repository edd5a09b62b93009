//! Random bytes from the operating system.

/// Fills `out` with random bytes.
///
/// # Panics
/// If the operating system has no randomness to give. Going on with a weaker source would hand out
/// private keys, so there is no fallback; Linux fails here only when the call itself is forbidden
/// (a seccomp filter), which shows on the first key made at start-up.
pub fn fill(out: &mut [u8]) {
    try_fill(out).expect("the operating system gives random bytes");
}

/// The operating system has no randomness to give.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the operating system gives no random bytes")]
pub struct RandomError;

/// Fills `out` with random bytes, where a panic would harm others.
///
/// # Errors
/// Where [`fill`] panics.
#[expect(
    clippy::disallowed_methods,
    reason = "keys never come from the simulated entropy of `host`"
)]
pub fn try_fill(out: &mut [u8]) -> Result<(), RandomError> {
    getrandom::fill(out).map_err(|_| RandomError)
}

/// A new random array: `let nonce: [u8; 12] = random::array();`.
///
/// # Panics
/// Like [`fill`].
#[must_use]
pub fn array<const N: usize>() -> [u8; N] {
    let mut out = [0; N];
    fill(&mut out);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_draws_differ() {
        assert_ne!(array::<32>(), array::<32>());
    }
}
