//! A hash chain over records that are set down once and checked by others later.

use guitai_crypto::sm3;

/// Bytes of a link.
pub const LINK_BYTES: usize = 32;

/// Runs over records: each link is SM3 of the link before (32 zeros at the start) and the record.
#[derive(Debug, Clone, Default)]
pub struct HashChain([u8; LINK_BYTES]);

impl HashChain {
    /// The chain of no records.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a record.
    pub fn add(&mut self, record: &[u8]) {
        self.0 = sm3::hash(&[&self.0, record].concat());
    }

    /// The link of the last record.
    pub const fn end(&self) -> [u8; LINK_BYTES] {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_and_content_of_every_record_count() {
        let chain = |records: &[&[u8]]| {
            let mut chain = HashChain::new();
            records.iter().for_each(|record| chain.add(record));
            chain.end()
        };
        assert_eq!(chain(&[b"a", b"b"]), chain(&[b"a", b"b"]));
        assert_ne!(chain(&[b"a", b"b"]), chain(&[b"b", b"a"]));
        assert_ne!(chain(&[b"a", b"b"]), chain(&[b"ab"]));
        assert_eq!(chain(&[]), [0; LINK_BYTES]);
    }
}
