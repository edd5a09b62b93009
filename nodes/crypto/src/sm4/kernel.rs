//! What a path supplies: the block cipher over many blocks, and GCM. Lengths and limits are checked
//! by the public types before they get here.

/// Blocks encrypted by one call of the default counter mode: enough to fill the widest kernel.
pub(super) const COUNTER_BLOCKS: usize = 64;

/// SM4 under one key.
pub(super) trait BlockKernel: Send + Sync {
    /// Encrypts every block in place. One block must be fast too: QUIC masks each packet's header
    /// with one.
    fn encrypt(&self, blocks: &mut [[u8; 16]]);

    /// XORs `data` with the encrypted counters `iv`, `iv + 1`, …: big-endian over all 128 bits,
    /// wrapping (NIST SP 800-38A, 6.5 and B.1).
    fn ctr(&self, iv: &[u8; 16], data: &mut [u8]) {
        let mut counter = u128::from_be_bytes(*iv);
        for part in data.chunks_mut(16 * COUNTER_BLOCKS) {
            let mut stream = [[0; 16]; COUNTER_BLOCKS];
            // A part has at most COUNTER_BLOCKS blocks.
            let stream = &mut stream[..part.len().div_ceil(16)];
            for block in stream.iter_mut() {
                *block = counter.to_be_bytes();
                counter = counter.wrapping_add(1);
            }
            self.encrypt(stream);
            xor(part, stream.as_flattened());
        }
    }

    /// As [`Self::ctr`] with `data` starting at `iv + 1`; returns the encrypted `iv`. GCM's shape:
    /// in a kernel that encrypts many blocks at the price of one, its tag's mask is free.
    fn ctr_after_mask(&self, iv: &[u8; 16], data: &mut [u8]) -> [u8; 16] {
        let counter = u128::from_be_bytes(*iv);
        let mut stream = [[0; 16]; COUNTER_BLOCKS];
        let first = data.len().min(16 * (COUNTER_BLOCKS - 1));
        // At most COUNTER_BLOCKS: one for the mask, the rest for `first` bytes.
        let stream = &mut stream[..1 + first.div_ceil(16)];
        for (index, block) in (0..).zip(stream.iter_mut()) {
            *block = counter.wrapping_add(index).to_be_bytes();
        }
        self.encrypt(stream);
        let (first, rest) = data.split_at_mut(first);
        // `stream` has at least the mask.
        xor(first, stream[1..].as_flattened());
        if !rest.is_empty() {
            let next = counter.wrapping_add(COUNTER_BLOCKS as u128);
            self.ctr(&next.to_be_bytes(), rest);
        }
        stream[0]
    }
}

/// SM4-GCM under one key.
pub(super) trait AeadKernel: Send + Sync {
    /// Encrypts `data` in place and returns the tag.
    fn seal(&self, nonce: &[u8; 12], aad: &[u8], data: &mut [u8]) -> [u8; 16];

    /// Decrypts `data` in place if `tag` fits; otherwise returns false and leaves `data` unchanged.
    /// The comparison takes the same time wherever the tags differ.
    #[must_use]
    fn open(&self, nonce: &[u8; 12], aad: &[u8], data: &mut [u8], tag: &[u8; 16]) -> bool;
}

/// XORs `stream` into `data`, as far as both go.
pub(super) fn xor(data: &mut [u8], stream: &[u8]) {
    for (byte, stream) in data.iter_mut().zip(stream) {
        *byte ^= stream;
    }
}
