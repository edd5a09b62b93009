//! The root split among officers: any `threshold` of `count` shares give it back, fewer say nothing
//! about it (Shamir, "How to share a secret", 1979, over GF(2^8)).
//!
//! Each share is sealed under its officer's passphrase (Argon2id, SM4-GCM) and written in groups of
//! five letters that a person can type ([`text`]).

mod gf256;
mod text;

use zeroize::{Zeroize as _, Zeroizing};

use super::device::RootSecret;
use super::file::RootName;
use super::passphrase::{Cost, Passphrase, SALT_BYTES};
use super::software::{open, seal};
use super::what::KeyId;
use crate::random;
use crate::sm3;
use crate::sm4::{self, KEY_BYTES};

pub use text::{GROUPS, ShareTextError};

/// Most shares of a root.
pub const SHARES_MAX: u8 = 32;
/// Bytes of the id that the shares of one splitting have in common.
const SET_BYTES: usize = 8;
/// Bytes that tell the right root from a wrong one.
const CHECK_BYTES: usize = 8;
const VERSION: u8 = 1;
const HEADER_BYTES: usize = 1 + SET_BYTES + 3 + 3 + SALT_BYTES;
const PLAIN_BYTES: usize = KeyId::BYTES + 4 + 8 + CHECK_BYTES + KEY_BYTES;
/// Bytes of a sealed share.
const SEALED_BYTES: usize = HEADER_BYTES + sm4::NONCE_BYTES + PLAIN_BYTES + sm4::TAG_BYTES;
const DOMAIN: &[u8] = b"guitai root share 1\0";
const CHECK_DOMAIN: &[u8] = b"guitai root check 1\0";

/// One officer's part of a root.
pub struct Share {
    /// The same on all shares of one splitting.
    pub set: [u8; SET_BYTES],
    /// How many are needed.
    pub threshold: u8,
    /// How many there are.
    pub count: u8,
    /// Which one this is, from 1.
    pub index: u8,
    /// The root it is of.
    pub root: RootName,
    check: [u8; CHECK_BYTES],
    value: RootSecret,
}

/// A share sealed under its officer's passphrase, as it is printed and typed.
#[derive(Clone, PartialEq, Eq)]
pub struct SealedShare {
    header: Header,
    sealed: Vec<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Header {
    set: [u8; SET_BYTES],
    threshold: u8,
    count: u8,
    index: u8,
    cost: Cost,
    salt: [u8; SALT_BYTES],
}

/// A root put together again.
pub struct RestoredRoot {
    /// What it is called.
    pub name: RootName,
    pub(crate) secret: RootSecret,
}

/// Why a root was not split.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{threshold} of {count} shares: 2 <= threshold <= shares <= {SHARES_MAX} is needed")]
pub struct SplitError {
    threshold: u8,
    count: u8,
}

/// Why shares do not give a root.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CombineError {
    /// Fewer than the threshold.
    #[error("{found} shares are fewer than the {needed} that this root needs")]
    TooFew {
        /// How many there are.
        found: usize,
        /// How many are needed.
        needed: u8,
    },
    /// Of another splitting.
    #[error("share {index} is of another set ({found}) than the first share ({wanted})")]
    Mixed {
        /// Which one.
        index: u8,
        /// Its set.
        found: String,
        /// The first share's set.
        wanted: String,
    },
    /// The same share again.
    #[error("share {index} is there twice")]
    Twice {
        /// Which one.
        index: u8,
    },
    /// All fit each other by name, but not by value.
    #[error("the shares do not give the root they name: one of them was altered")]
    NotTheRoot,
}

/// Why a sealed share did not open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("share {index} does not open: another officer's passphrase")]
pub struct ShareLocked {
    /// Which one.
    pub index: u8,
}

/// Splits a root into `count` shares of which any `threshold` give it back.
///
/// # Panics
/// Like [`random::fill`].
pub fn split(
    secret: &RootSecret,
    root: RootName,
    threshold: u8,
    count: u8,
) -> Result<Vec<Share>, SplitError> {
    if !(2..=count).contains(&threshold) || count > SHARES_MAX {
        return Err(SplitError { threshold, count });
    }
    let set = random::array();
    let check = check(secret, root);
    // For each byte of the key a polynomial of degree threshold - 1 whose constant term it is.
    let mut coefficients: Zeroizing<Vec<[u8; KEY_BYTES]>> =
        Zeroizing::new(vec![**secret; usize::from(threshold)]);
    for coefficient in coefficients.iter_mut().skip(1) {
        random::fill(coefficient);
    }
    let share = |index: u8| {
        let mut value: RootSecret = Zeroizing::new([0; KEY_BYTES]);
        for coefficient in coefficients.iter().rev() {
            for (byte, term) in value.iter_mut().zip(coefficient) {
                *byte = gf256::multiply(*byte, index) ^ term;
            }
        }
        Share {
            set,
            threshold,
            count,
            index,
            root,
            check,
            value,
        }
    };
    Ok((1..=count).map(share).collect())
}

/// Puts a root together from at least its threshold of shares; more than that are checked too.
pub fn combine(shares: &[Share]) -> Result<RestoredRoot, CombineError> {
    let Some(first) = shares.first() else {
        return Err(CombineError::TooFew {
            found: 0,
            needed: 2,
        });
    };
    for (position, share) in shares.iter().enumerate() {
        let of_set = |share: &Share| (share.set, share.threshold, share.count, share.root);
        if of_set(share) != of_set(first) || share.check != first.check {
            return Err(CombineError::Mixed {
                index: share.index,
                found: hex(&share.set),
                wanted: hex(&first.set),
            });
        }
        let mut before = shares.iter().take(position);
        if before.any(|other| other.index == share.index) {
            return Err(CombineError::Twice { index: share.index });
        }
    }
    if shares.len() < usize::from(first.threshold) {
        return Err(CombineError::TooFew {
            found: shares.len(),
            needed: first.threshold,
        });
    }
    // Through every share given: one that does not lie on the polynomial shows in the check.
    let mut secret: RootSecret = Zeroizing::new([0; KEY_BYTES]);
    for share in shares {
        // Lagrange's basis at 0: the product of x_j / (x_j - x_i); minus is xor.
        let others = shares.iter().filter(|other| other.index != share.index);
        let basis = others.fold(1, |basis, other| {
            let distance = gf256::invert(other.index ^ share.index);
            gf256::multiply(basis, gf256::multiply(other.index, distance))
        });
        for (byte, value) in secret.iter_mut().zip(share.value.iter()) {
            *byte ^= gf256::multiply(*value, basis);
        }
    }
    if check(&secret, first.root) != first.check {
        return Err(CombineError::NotTheRoot);
    }
    Ok(RestoredRoot {
        name: first.root,
        secret,
    })
}

fn check(secret: &RootSecret, root: RootName) -> [u8; CHECK_BYTES] {
    let tag = sm3::hmac(secret.as_slice(), &[CHECK_DOMAIN, &root.bytes()]);
    std::array::from_fn(|index| tag[index]) // CHECK_BYTES < the 32 of a tag
}

impl Share {
    /// Seals it under its officer's passphrase.
    ///
    /// # Panics
    /// Like [`random::fill`].
    #[must_use]
    pub fn seal(&self, passphrase: &Passphrase, cost: Cost) -> SealedShare {
        let header = Header {
            set: self.set,
            threshold: self.threshold,
            count: self.count,
            index: self.index,
            cost,
            salt: random::array(),
        };
        let gcm = sm4::Gcm::new(&passphrase.key(&header.salt, cost));
        let mut plain = Vec::with_capacity(PLAIN_BYTES);
        plain.extend_from_slice(&self.root.bytes());
        plain.extend_from_slice(&self.check);
        plain.extend_from_slice(self.value.as_slice());
        let sealed = seal(&gcm, &[DOMAIN, &header.bytes()].concat(), &plain);
        plain.zeroize();
        SealedShare { header, sealed }
    }
}

impl SealedShare {
    /// Which share it is, from 1, of how many, and how many are needed.
    #[must_use]
    pub const fn position(&self) -> (u8, u8, u8) {
        (self.header.index, self.header.count, self.header.threshold)
    }

    /// The id of its set, in hexadecimal.
    #[must_use]
    pub fn set(&self) -> String {
        hex(&self.header.set)
    }

    /// Opens it.
    pub fn open(&self, passphrase: &Passphrase) -> Result<Share, ShareLocked> {
        let Header {
            set,
            threshold,
            count,
            index,
            cost,
            salt,
        } = self.header;
        let locked = ShareLocked { index };
        let gcm = sm4::Gcm::new(&passphrase.key(&salt, cost));
        let aad = [DOMAIN, &self.header.bytes()].concat();
        let plain = open(&gcm, &aad, &self.sealed).map_err(|_| locked)?;
        let plain = <&[u8; PLAIN_BYTES]>::try_from(plain.as_slice()).map_err(|_| locked)?;
        let mut rest = plain.as_slice();
        let root = RootName {
            id: KeyId(take(&mut rest)),
            generation: u32::from_be_bytes(take(&mut rest)),
            created_unix: u64::from_be_bytes(take(&mut rest)),
        };
        Ok(Share {
            set,
            threshold,
            count,
            index,
            root,
            check: take(&mut rest),
            value: Zeroizing::new(take(&mut rest)),
        })
    }

    fn bytes(&self) -> Vec<u8> {
        [&self.header.bytes()[..], &self.sealed].concat()
    }

    fn parse(bytes: &[u8; SEALED_BYTES]) -> Result<Self, ShareTextError> {
        let mut rest = bytes.as_slice();
        let [version] = take(&mut rest);
        if version != VERSION {
            return Err(ShareTextError::Version { found: version });
        }
        let set = take(&mut rest);
        let [threshold, count, index, memory_log, passes, lanes] = take(&mut rest);
        let memory_kib = 1_u32.checked_shl(u32::from(memory_log)).unwrap_or(0);
        let sound =
            (2..=count).contains(&threshold) && count <= SHARES_MAX && (1..=count).contains(&index);
        if !sound {
            return Err(ShareTextError::Numbers);
        }
        let header = Header {
            set,
            threshold,
            count,
            index,
            cost: Cost::new(memory_kib, u32::from(passes), u32::from(lanes))?,
            salt: take(&mut rest),
        };
        Ok(Self {
            header,
            sealed: rest.to_vec(),
        })
    }
}

impl Header {
    fn bytes(&self) -> [u8; HEADER_BYTES] {
        let (memory_kib, passes, lanes) = self.cost.parts();
        let mut bytes = [0; HEADER_BYTES];
        let parts: [&[u8]; 4] = [
            &[VERSION],
            &self.set,
            // Costs within `Cost::MAX` fit a byte each; memory is a power of two by construction.
            &[
                self.threshold,
                self.count,
                self.index,
                memory_kib.ilog2() as u8,
                passes as u8,
                lanes as u8,
            ],
            &self.salt,
        ];
        bytes.copy_from_slice(&parts.concat());
        bytes
    }
}

/// The next bytes of a buffer whose length was checked as a whole.
fn take<const N: usize>(rest: &mut &[u8]) -> [u8; N] {
    match rest.split_first_chunk() {
        Some((taken, after)) => {
            *rest = after;
            *taken
        }
        None => [0; N],
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

impl std::fmt::Debug for Share {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Share({} of {}, ..)", self.index, self.count)
    }
}

impl std::fmt::Debug for SealedShare {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "SealedShare({} of {}, ..)",
            self.header.index, self.header.count
        )
    }
}

impl std::fmt::Debug for RestoredRoot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "RestoredRoot({:?}, ..)", self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROOT: RootName = RootName {
        id: KeyId([3; 16]),
        generation: 7,
        created_unix: 1_790_000_000,
    };

    fn secret() -> RootSecret {
        Zeroizing::new(std::array::from_fn(|index| (index * 17 + 3) as u8))
    }

    fn again(share: &Share) -> Share {
        Share {
            value: share.value.clone(),
            ..*share
        }
    }

    fn pick(shares: &[Share], mask: u32) -> Vec<Share> {
        let bit = |share: &&Share| mask >> (share.index - 1) & 1 == 1;
        shares.iter().filter(bit).map(again).collect()
    }

    #[test]
    fn any_threshold_of_the_shares_give_the_root_and_fewer_do_not() {
        for (threshold, count) in [(2, 2), (2, 3), (3, 5), (5, 5), (4, 7)] {
            let shares = split(&secret(), ROOT, threshold, count).unwrap();
            for mask in 1..1_u32 << count {
                let some = pick(&shares, mask);
                let result = combine(&some);
                if some.len() >= usize::from(threshold) {
                    let root = result.unwrap();
                    assert_eq!((root.secret, root.name), (secret(), ROOT), "{mask:b}");
                } else {
                    let too_few = CombineError::TooFew {
                        found: some.len(),
                        needed: threshold,
                    };
                    assert_eq!(result.unwrap_err(), too_few);
                }
            }
        }
    }

    #[test]
    fn fewer_shares_than_the_threshold_fit_every_root() {
        // Two shares of three needed: for each guess of a byte there is a third share that gives it,
        // so the two say nothing.
        let shares = split(&secret(), ROOT, 3, 3).unwrap();
        let mut seen = std::collections::BTreeSet::new();
        for guess in 0..=255 {
            let mut some = pick(&shares, 0b11);
            let mut third = again(&shares[2]);
            third.value[0] = guess;
            some.push(third);
            let mut byte = 0;
            for share in &some {
                let others = some.iter().filter(|other| other.index != share.index);
                let basis = others.fold(1, |basis, other| {
                    let distance = gf256::invert(other.index ^ share.index);
                    gf256::multiply(basis, gf256::multiply(other.index, distance))
                });
                byte ^= gf256::multiply(share.value[0], basis);
            }
            seen.insert(byte);
        }
        assert_eq!(seen.len(), 256);
    }

    #[test]
    fn mixed_doubled_and_altered_shares_are_named() {
        let shares = split(&secret(), ROOT, 2, 3).unwrap();
        let other = split(&secret(), ROOT, 2, 3).unwrap();
        let mixed = combine(&[again(&shares[0]), again(&other[1])]);
        assert!(matches!(mixed, Err(CombineError::Mixed { index: 2, .. })));
        let twice = combine(&[again(&shares[1]), again(&shares[1])]);
        assert_eq!(twice.unwrap_err(), CombineError::Twice { index: 2 });
        for wrong in 0..3 {
            let mut altered = pick(&shares, 0b111);
            altered[wrong].value[5] ^= 1;
            assert_eq!(combine(&altered).unwrap_err(), CombineError::NotTheRoot);
        }
        assert!(matches!(combine(&[]), Err(CombineError::TooFew { .. })));
    }

    #[test]
    fn thresholds_that_make_no_sense_are_refused() {
        for (threshold, count) in [(1, 3), (0, 3), (4, 3), (2, 33), (2, 0)] {
            assert!(split(&secret(), ROOT, threshold, count).is_err());
        }
        assert_eq!(split(&secret(), ROOT, 2, 32).unwrap().len(), 32);
    }

    #[test]
    fn a_sealed_share_opens_with_its_officer_s_passphrase_only() {
        let shares = split(&secret(), ROOT, 2, 3).unwrap();
        let (mine, yours) = ("an officer's words", "another officer's");
        let sealed = shares[0].seal(&Passphrase::new(mine).unwrap(), Cost::MIN);
        let typed = SealedShare::from_text(&sealed.to_text()).unwrap();
        assert!(typed == sealed);
        let opened = typed.open(&Passphrase::new(mine).unwrap()).unwrap();
        assert_eq!((opened.index, opened.root), (1, ROOT));
        assert_eq!(opened.value, shares[0].value);
        let locked = typed.open(&Passphrase::new(yours).unwrap()).unwrap_err();
        assert_eq!(locked, ShareLocked { index: 1 });
        let said = format!("{opened:?} {typed:?} {:?}", combine(&shares).unwrap());
        assert!(!said.contains(&format!("{:?}", opened.value)), "{said}");
    }
}
