//! End-to-end media frames: SFrame (RFC 9605) with the private suite 0xF001 `SM4_GCM_SM3_128`.

/// The cipher suite number: private use (RFC 9605, 8.1), because IANA has none with SM4.
pub const SUITE: u16 = 0xF001;

/// Seals the frames of one track.
pub struct Sealer(());

/// Opens frames of any track of one session.
pub struct Opener(());

/// Why a frame did not open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// Shorter than its own header and tag.
    #[error("sealed frame is cut short")]
    Short,
    /// The tag does not fit.
    #[error("sealed frame does not open: wrong key or altered bytes")]
    Sealed,
}

impl Sealer {
    /// Starts a track's sealer.
    #[must_use]
    pub fn new(base_key: &[u8; 32], kid: u64, first_ctr: u64) -> Self {
        let _ = (base_key, kid, first_ctr);
        unimplemented!()
    }

    /// Seals one frame: header, ciphertext, tag.
    pub fn seal(&mut self, metadata: &[u8], plain: &[u8]) -> Vec<u8> {
        let _ = (metadata, plain);
        unimplemented!()
    }
}

impl Opener {
    /// Starts an opener over the session's media key.
    #[must_use]
    pub fn new(base_key: &[u8; 32]) -> Self {
        let _ = base_key;
        unimplemented!()
    }

    /// Opens one frame.
    pub fn open(&self, metadata: &[u8], sealed: &[u8]) -> Result<Vec<u8>, OpenError> {
        let _ = (metadata, sealed);
        unimplemented!()
    }
}
