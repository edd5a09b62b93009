//! The cipher suite and its record layer: SM4-GCM with the nonces and AAD of RFC 8446, 5.2.

use rustls::crypto::CipherSuiteCommon;
use rustls::crypto::cipher::{
    AeadKey, InboundOpaqueMessage, InboundPlainMessage, Iv, MessageDecrypter, MessageEncrypter,
    Nonce, OutboundOpaqueMessage, OutboundPlainMessage, PrefixedPayload, Tls13AeadAlgorithm,
    UnsupportedOperationError, make_tls13_aad,
};
use rustls::crypto::tls13::HkdfUsingHmac;
use rustls::{
    CipherSuite, ConnectionTrafficSecrets, ContentType, Error, ProtocolVersion, Tls13CipherSuite,
};

use super::{hash, hmac, quic};
use crate::sm4::{self, TAG_BYTES};

/// `TLS_SM4_GCM_SM3`. rustls 0.23 has no name for it, so logs show `CipherSuite(0xc6)`.
pub(super) static TLS_SM4_GCM_SM3: Tls13CipherSuite = Tls13CipherSuite {
    common: CipherSuiteCommon {
        suite: CipherSuite::Unknown(super::SUITE),
        hash_provider: &hash::Sm3,
        // As for AES-GCM (RFC 8446, 5.5): the bound comes from GCM's 128-bit block, not the cipher.
        confidentiality_limit: 1 << 24,
    },
    hkdf_provider: &HkdfUsingHmac(&hmac::Sm3Hmac),
    aead_alg: &RecordLayer,
    quic: Some(&quic::Sm4Gcm),
};

struct RecordLayer;

impl Tls13AeadAlgorithm for RecordLayer {
    fn encrypter(&self, key: AeadKey, iv: Iv) -> Box<dyn MessageEncrypter> {
        Box::new(Records::new(&key, iv))
    }

    fn decrypter(&self, key: AeadKey, iv: Iv) -> Box<dyn MessageDecrypter> {
        Box::new(Records::new(&key, iv))
    }

    fn key_len(&self) -> usize {
        sm4::KEY_BYTES
    }

    /// rustls has no variant for SM4 secrets, so the kernel cannot take over (no kTLS).
    fn extract_keys(
        &self,
        _key: AeadKey,
        _iv: Iv,
    ) -> Result<ConnectionTrafficSecrets, UnsupportedOperationError> {
        Err(UnsupportedOperationError)
    }
}

struct Records {
    key: sm4::Gcm,
    iv: Iv,
}

impl Records {
    fn new(key: &AeadKey, iv: Iv) -> Self {
        Self {
            key: sm4::Gcm::new(&super::key_bytes(key)),
            iv,
        }
    }
}

impl MessageEncrypter for Records {
    fn encrypt(
        &mut self,
        message: OutboundPlainMessage<'_>,
        sequence: u64,
    ) -> Result<OutboundOpaqueMessage, Error> {
        let total = self.encrypted_payload_len(message.payload.len());
        let mut payload = PrefixedPayload::with_capacity(total);
        payload.extend_from_chunks(&message.payload);
        payload.extend_from_slice(&message.typ.to_array());
        let nonce = Nonce::new(&self.iv, sequence).0;
        let tag = self
            .key
            .seal_in_place(&nonce, &make_tls13_aad(total), payload.as_mut());
        payload.extend_from_slice(&tag);
        Ok(OutboundOpaqueMessage::new(
            ContentType::ApplicationData,
            ProtocolVersion::TLSv1_2,
            payload,
        ))
    }

    fn encrypted_payload_len(&self, payload_len: usize) -> usize {
        payload_len + 1 + TAG_BYTES
    }
}

impl MessageDecrypter for Records {
    fn decrypt<'a>(
        &mut self,
        mut message: InboundOpaqueMessage<'a>,
        sequence: u64,
    ) -> Result<InboundPlainMessage<'a>, Error> {
        let payload = &mut message.payload;
        let aad = make_tls13_aad(payload.len());
        let nonce = Nonce::new(&self.iv, sequence).0;
        let (data, tag) = payload
            .split_last_chunk_mut::<TAG_BYTES>()
            .ok_or(Error::DecryptError)?;
        self.key
            .open_in_place(&nonce, &aad, data, tag)
            .map_err(|_| Error::DecryptError)?;
        let plain = data.len();
        payload.truncate(plain);
        message.into_tls13_unpadded_message()
    }
}
