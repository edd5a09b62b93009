//! SM4 on 64-bit Arm: NEON with the AES instructions (Kunpeng 920, Phytium), and the SM4
//! instructions where the processor has them (later Kunpeng and Phytium cores).
//!
//! The same model of processor is sold with and without them, so only what the kernel says at run
//! time counts. Safety rests on [`Token`]: one exists only if the features were seen, every expanded
//! key holds one, and so the `target_feature` functions are never entered without them.

mod ghash;
mod neon;
mod sm4e;

use std::arch::is_aarch64_feature_detected;

use super::Path;
use super::compose::Composed;
use super::kernel::{AeadKernel, BlockKernel};

/// Proof that the processor has the AES instructions with PMULL, and with `SM4` also the SM4 ones.
#[derive(Clone, Copy)]
struct Token<const SM4: bool>(());

impl<const SM4: bool> Token<SM4> {
    fn detect() -> Option<Self> {
        let present = is_aarch64_feature_detected!("neon")
            && is_aarch64_feature_detected!("aes")
            && (!SM4 || is_aarch64_feature_detected!("sm4"));
        present.then_some(Self(()))
    }
}

impl Token<true> {
    fn without_sm4(self) -> Token<false> {
        Token(())
    }
}

pub(super) fn is_present(path: Path) -> bool {
    match path {
        Path::ArmSm4 => Token::<true>::detect().is_some(),
        Path::ArmNeon => Token::<false>::detect().is_some(),
        _ => false,
    }
}

pub(super) fn aead(path: Path, key: &[u8; 16]) -> Option<Box<dyn AeadKernel>> {
    match path {
        Path::ArmSm4 => {
            let token = Token::detect()?;
            let hash = |hash_key: &_| ghash::Ghash::new(token.without_sm4(), hash_key);
            Some(Box::new(Composed::new(sm4e::Block::new(token, key), hash)))
        }
        Path::ArmNeon => {
            let token = Token::detect()?;
            let hash = |hash_key: &_| ghash::Ghash::new(token, hash_key);
            Some(Box::new(Composed::new(neon::Block::new(token, key), hash)))
        }
        _ => None,
    }
}

pub(super) fn block(path: Path, key: &[u8; 16]) -> Option<Box<dyn BlockKernel>> {
    match path {
        Path::ArmSm4 => Some(Box::new(sm4e::Block::new(Token::detect()?, key))),
        Path::ArmNeon => Some(Box::new(neon::Block::new(Token::detect()?, key))),
        _ => None,
    }
}
