//! The paths: every implementation of SM4, which of them this processor has, and the choice.

use std::sync::LazyLock;

#[cfg(target_arch = "aarch64")]
use super::arm;
use super::compose::Composed;
use super::kernel::{AeadKernel, BlockKernel};
use super::{bitsliced, ghash_soft};
#[cfg(target_arch = "x86_64")]
use super::{x86, zhaoxin};

/// One implementation of SM4 and SM4-GCM. All give the same bytes; they differ in speed and in
/// what they ask of the processor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Path {
    /// x86-64 with GFNI, AVX-512 and VPCLMULQDQ (Intel since Ice Lake, AMD since Zen 4).
    GfniAvx512,
    /// x86-64 with GFNI and AVX2 (Intel client processors without AVX-512).
    GfniAvx2,
    /// x86-64 with AES-NI and AVX2 (Intel since Haswell, AMD and Hygon since Zen).
    AesniAvx2,
    /// x86-64 with AES-NI and SSE4.1 only (Intel since Westmere, older Zhaoxin).
    AesniSse,
    /// Zhaoxin's own SM4 instruction.
    Zhaoxin,
    /// Armv8.2 with the SM4 instructions.
    ArmSm4,
    /// Armv8 with NEON only.
    ArmNeon,
    /// Any processor.
    Bitsliced,
}

impl Path {
    /// All paths, the preferred ones first: the order of [`Path::available`].
    pub const ALL: [Self; 8] = [
        Self::GfniAvx512,
        Self::GfniAvx2,
        Self::AesniAvx2,
        Self::AesniSse,
        Self::Zhaoxin,
        Self::ArmSm4,
        Self::ArmNeon,
        Self::Bitsliced,
    ];

    /// The paths that run on this processor, best first; never empty. Detected once per process.
    #[must_use]
    pub fn available() -> Vec<Self> {
        AVAILABLE.clone()
    }

    /// The path that [`super::Gcm::new`] and [`super::Block::new`] take.
    #[must_use]
    pub fn best() -> Self {
        AVAILABLE.first().copied().unwrap_or(Self::Bitsliced)
    }

    /// The name in inventories, status pages and benches.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::GfniAvx512 => "gfni-avx512",
            Self::GfniAvx2 => "gfni-avx2",
            Self::AesniAvx2 => "aesni-avx2",
            Self::AesniSse => "aesni-sse",
            Self::Zhaoxin => "zhaoxin",
            Self::ArmSm4 => "arm-sm4",
            Self::ArmNeon => "arm-neon",
            Self::Bitsliced => "bitsliced",
        }
    }

    /// A path that the processor announces but that computed wrongly in its self-test at the start;
    /// it is not among those available.
    #[must_use]
    pub fn rejected() -> Option<Self> {
        #[cfg(target_arch = "x86_64")]
        if zhaoxin::rejected() {
            return Some(Self::Zhaoxin);
        }
        None
    }

    fn is_present(self) -> bool {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::GfniAvx512 | Self::GfniAvx2 | Self::AesniAvx2 | Self::AesniSse => {
                x86::is_present(self)
            }
            #[cfg(target_arch = "x86_64")]
            Self::Zhaoxin => zhaoxin::is_present(),
            #[cfg(target_arch = "aarch64")]
            Self::ArmSm4 | Self::ArmNeon => arm::is_present(self),
            Self::Bitsliced => true,
            _ => false,
        }
    }

    /// The AEAD of this path under `key`; `None` where the processor lacks the path.
    pub(super) fn aead(self, key: &[u8; 16]) -> Option<Box<dyn AeadKernel>> {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::GfniAvx512 | Self::GfniAvx2 | Self::AesniAvx2 | Self::AesniSse => {
                x86::aead(self, key)
            }
            #[cfg(target_arch = "x86_64")]
            Self::Zhaoxin => Some(composed(zhaoxin::block(key)?)),
            #[cfg(target_arch = "aarch64")]
            Self::ArmSm4 | Self::ArmNeon => arm::aead(self, key),
            Self::Bitsliced => Some(composed(bitsliced::Block::new(key))),
            _ => None,
        }
    }

    /// The block cipher of this path under `key`; `None` where the processor lacks the path.
    pub(super) fn block(self, key: &[u8; 16]) -> Option<Box<dyn BlockKernel>> {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::GfniAvx512 | Self::GfniAvx2 | Self::AesniAvx2 | Self::AesniSse => {
                x86::block(self, key)
            }
            #[cfg(target_arch = "x86_64")]
            Self::Zhaoxin => Some(Box::new(zhaoxin::block(key)?)),
            #[cfg(target_arch = "aarch64")]
            Self::ArmSm4 | Self::ArmNeon => arm::block(self, key),
            Self::Bitsliced => Some(Box::new(bitsliced::Block::new(key))),
            _ => None,
        }
    }
}

/// GCM with the portable GHASH.
fn composed(block: impl BlockKernel + 'static) -> Box<dyn AeadKernel> {
    Box::new(Composed::new(block, ghash_soft::Ghash::new))
}

/// The best path by name, with the one rejected if there is one.
pub(super) fn describe(best: Path, rejected: Option<Path>) -> String {
    match rejected {
        None => best.name().into(),
        Some(path) => format!("{best} ({path} failed its self-test)"),
    }
}

impl std::fmt::Display for Path {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

static AVAILABLE: LazyLock<Vec<Path>> = LazyLock::new(|| {
    Path::ALL
        .into_iter()
        .filter(|path| path.is_present())
        .collect()
});

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_available_can_be_built_and_nothing_else_can() {
        let available = Path::available();
        // Read by `tests/cross/run`.
        let names: Vec<_> = available.iter().map(|path| path.name()).collect();
        println!("SM4 paths: {}", names.join(" "));
        assert!(Path::rejected().is_none_or(|path| !available.contains(&path)));
        assert_eq!(available.first(), Some(&Path::best()));
        assert_eq!(available.last(), Some(&Path::Bitsliced));
        for path in Path::ALL {
            assert_eq!(
                path.aead(&[1; 16]).is_some(),
                available.contains(&path),
                "{path}"
            );
            assert_eq!(
                path.block(&[1; 16]).is_some(),
                available.contains(&path),
                "{path}"
            );
        }
    }

    #[test]
    fn a_rejected_path_is_named_beside_the_best() {
        assert_eq!(describe(Path::AesniAvx2, None), "aesni-avx2");
        assert_eq!(
            describe(Path::AesniAvx2, Some(Path::Zhaoxin)),
            "aesni-avx2 (zhaoxin failed its self-test)"
        );
    }

    #[test]
    fn names_are_unique() {
        let names = std::collections::HashSet::from(Path::ALL.map(Path::name));
        assert_eq!(names.len(), Path::ALL.len());
    }
}
