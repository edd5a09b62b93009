//! QUIC packet protection with SM4 (RFC 9001, 5, with SM4 for AES).
//!
//! No RFC maps SM4 to QUIC; this is the obvious mapping, and the one that GmSSL chose. Everything
//! here runs under quinn's locks on bytes from the network: it returns errors and never panics.

use rustls::Error;
use rustls::crypto::cipher::{AeadKey, Iv, Nonce};
use rustls::quic::{Algorithm, HeaderProtectionKey, PacketKey, Tag};

use crate::sm4::{self, TAG_BYTES};

/// Packets sealed under one key before an update: as for AES-GCM (RFC 9001, 6.6).
const CONFIDENTIALITY_LIMIT: u64 = 1 << 23;
/// Forgeries tried against one key before the connection ends: as for AES-GCM (RFC 9001, 6.6).
const INTEGRITY_LIMIT: u64 = 1 << 52;
/// Bytes of ciphertext that make the header's mask.
const SAMPLE_BYTES: usize = 16;
/// A packet number has at most this many bytes.
const PACKET_NUMBER_BYTES_MAX: usize = 4;

pub(super) struct Sm4Gcm;

impl Algorithm for Sm4Gcm {
    fn packet_key(&self, key: AeadKey, iv: Iv) -> Box<dyn PacketKey> {
        let key = sm4::Gcm::new(&super::key_bytes(&key));
        Box::new(Packets { key, iv })
    }

    fn header_protection_key(&self, key: AeadKey) -> Box<dyn HeaderProtectionKey> {
        Box::new(Headers(sm4::Block::new(&super::key_bytes(&key))))
    }

    fn aead_key_len(&self) -> usize {
        sm4::KEY_BYTES
    }
}

struct Packets {
    key: sm4::Gcm,
    iv: Iv,
}

impl Packets {
    fn open<'a>(
        &self,
        nonce: &[u8; 12],
        header: &[u8],
        payload: &'a mut [u8],
    ) -> Result<&'a [u8], Error> {
        let (data, tag) = payload
            .split_last_chunk_mut::<TAG_BYTES>()
            .ok_or(Error::DecryptError)?;
        self.key
            .open_in_place(nonce, header, data, tag)
            .map_err(|_| Error::DecryptError)?;
        Ok(data)
    }

    fn seal(&self, nonce: &[u8; 12], header: &[u8], payload: &mut [u8]) -> Tag {
        Tag::from(self.key.seal_in_place(nonce, header, payload).as_slice())
    }
}

impl PacketKey for Packets {
    fn encrypt_in_place(
        &self,
        packet_number: u64,
        header: &[u8],
        payload: &mut [u8],
    ) -> Result<Tag, Error> {
        Ok(self.seal(&Nonce::new(&self.iv, packet_number).0, header, payload))
    }

    fn encrypt_in_place_for_path(
        &self,
        path_id: u32,
        packet_number: u64,
        header: &[u8],
        payload: &mut [u8],
    ) -> Result<Tag, Error> {
        let nonce = Nonce::for_path(path_id, &self.iv, packet_number).0;
        Ok(self.seal(&nonce, header, payload))
    }

    fn decrypt_in_place<'a>(
        &self,
        packet_number: u64,
        header: &[u8],
        payload: &'a mut [u8],
    ) -> Result<&'a [u8], Error> {
        self.open(&Nonce::new(&self.iv, packet_number).0, header, payload)
    }

    fn decrypt_in_place_for_path<'a>(
        &self,
        path_id: u32,
        packet_number: u64,
        header: &[u8],
        payload: &'a mut [u8],
    ) -> Result<&'a [u8], Error> {
        let nonce = Nonce::for_path(path_id, &self.iv, packet_number).0;
        self.open(&nonce, header, payload)
    }

    fn tag_len(&self) -> usize {
        TAG_BYTES
    }

    fn confidentiality_limit(&self) -> u64 {
        CONFIDENTIALITY_LIMIT
    }

    fn integrity_limit(&self) -> u64 {
        INTEGRITY_LIMIT
    }
}

struct Headers(sm4::Block);

impl Headers {
    /// RFC 9001, 5.4.1. The number's length is in the first byte, which is itself masked: it is
    /// read after unmasking when opening, before masking when sealing.
    fn apply(
        &self,
        sample: &[u8],
        first: &mut u8,
        packet_number: &mut [u8],
        opening: bool,
    ) -> Result<(), Error> {
        const LONG_HEADER: u8 = 0x80;
        let mut mask: [u8; SAMPLE_BYTES] = sample
            .try_into()
            .map_err(|_| Error::General("header sample of wrong length".into()))?;
        if packet_number.len() > PACKET_NUMBER_BYTES_MAX {
            return Err(Error::General("packet number too long".into()));
        }
        self.0.encrypt(&mut mask);
        let [first_mask, number_mask @ ..] = mask;
        let masked_bits = if *first & LONG_HEADER == 0 {
            0x1f
        } else {
            0x0f
        };
        let masked_first = *first ^ (first_mask & masked_bits);
        let plain_first = if opening { masked_first } else { *first };
        let number_length = usize::from(plain_first & 0x03) + 1;
        *first = masked_first;
        for (byte, mask) in packet_number
            .iter_mut()
            .zip(number_mask)
            .take(number_length)
        {
            *byte ^= mask;
        }
        Ok(())
    }
}

impl HeaderProtectionKey for Headers {
    fn encrypt_in_place(
        &self,
        sample: &[u8],
        first: &mut u8,
        packet_number: &mut [u8],
    ) -> Result<(), Error> {
        self.apply(sample, first, packet_number, false)
    }

    fn decrypt_in_place(
        &self,
        sample: &[u8],
        first: &mut u8,
        packet_number: &mut [u8],
    ) -> Result<(), Error> {
        self.apply(sample, first, packet_number, true)
    }

    fn sample_len(&self) -> usize {
        SAMPLE_BYTES
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packets() -> Box<dyn PacketKey> {
        Sm4Gcm.packet_key(AeadKey::from([7; 32]), Iv::from([3; 12]))
    }

    #[test]
    fn packets_open_again_and_altered_ones_do_not() {
        let key = packets();
        let mut packet = b"payload".to_vec();
        let tag = key.encrypt_in_place(9, b"header", &mut packet).unwrap();
        packet.extend_from_slice(tag.as_ref());
        let opened = |number, header: &[u8], mut packet: Vec<u8>| {
            key.decrypt_in_place(number, header, &mut packet)
                .map(<[u8]>::to_vec)
        };
        assert_eq!(opened(9, b"header", packet.clone()).unwrap(), b"payload");
        assert!(opened(8, b"header", packet.clone()).is_err());
        assert!(opened(9, b"Header", packet.clone()).is_err());
        for length in 0..packet.len() {
            assert!(opened(9, b"header", packet[..length].to_vec()).is_err());
        }
    }

    #[test]
    fn paths_have_their_own_nonces() {
        let key = packets();
        let (mut a, mut b) = ([0; 8], [0; 8]);
        let _ = key.encrypt_in_place_for_path(1, 9, b"", &mut a).unwrap();
        let _ = key.encrypt_in_place_for_path(2, 9, b"", &mut b).unwrap();
        assert_ne!(a, b);
    }

    #[test]
    fn header_protection_comes_off_and_refuses_bad_lengths() {
        let key = Sm4Gcm.header_protection_key(AeadKey::from([7; 32]));
        for first in 0..=255u8 {
            for length in 1..=4usize {
                let plain = (first & 0xfc) | (length as u8 - 1);
                let (mut byte, mut number) = (plain, [1, 2, 3, 4]);
                key.encrypt_in_place(&[first; 16], &mut byte, &mut number[..length])
                    .unwrap();
                key.decrypt_in_place(&[first; 16], &mut byte, &mut number)
                    .unwrap();
                assert_eq!((byte, number), (plain, [1, 2, 3, 4]));
            }
        }
        let mut byte = 0;
        for sample in [0, 1, 15, 17] {
            let refused = key.decrypt_in_place(&vec![0; sample], &mut byte, &mut [0; 4]);
            assert!(refused.is_err());
        }
        let refused = key.decrypt_in_place(&[0; 16], &mut byte, &mut [0; 5]);
        assert!(refused.is_err());
    }
}
