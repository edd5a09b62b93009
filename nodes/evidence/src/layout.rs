//! Which files a package has, what they are called, and which names are refused.

use guitai_crypto::sm3;
use guitai_types::Hex;

use crate::{manifest::Manifest, tree::Hash};

/// Canonical JSON; names every other file with its SM3.
pub const MANIFEST: &str = "manifest.json";
/// SM2 SignedData (GB/T 35275) over the manifest.
pub const SIGNED_DATA: &str = "manifest.p7s";
/// Plain SM2 signature (DER) over manifest and SignedData, for tools that know no SignedData.
pub const SIGNATURE: &str = "manifest.sig";
/// Checksum list of all files of the manifest, for `cksum -a sm3 --check` or `sm3sum -c`.
pub const SUMS: &str = "SM3SUMS";
/// Business events of the session, one canonical JSON object a line.
pub const EVENTS: &str = "events.jsonl";
/// The declared gaps, canonical JSON; equal to `gaps` of the manifest.
pub const GAPS: &str = "gaps.json";
/// The signer's chain, leaf first, without the root.
pub const CHAIN: &str = "trust/chain.pem";
/// The root the chain leads to. Compare its fingerprint with one you got another way.
pub const ROOT: &str = "trust/root.pem";
/// How to check the package, Chinese and English.
pub const README: &str = "README.txt";

/// The recorder's signed roots by the second, one canonical JSON object a line; from format 3 on.
pub const ROOTS: &str = "roots.jsonl";
/// A player for the whole; from format 3 on.
pub const VIEW: &str = "view.html";
/// What was added after the seal, and what is missing; from format 3 on.
pub const ATTACHED: &str = "attached.json";
/// SM2 SignedData over [`ATTACHED`].
pub const ATTACHED_SIGNED: &str = "attached.p7s";
/// Attached: time stamp over [`SIGNED_DATA`].
pub const TIMESTAMP: &str = "manifest.tsr";
/// Attached: whose signatures on the log's checkpoints count.
pub const LOG_POLICY: &str = "log/policy";
/// Attached: the checkpoint that all proofs lead to.
pub const CHECKPOINT: &str = "log/checkpoint";
/// Attached: one from before.
pub const CHECKPOINT_OLD: &str = "log/checkpoint.old";
/// Attached: the newer continues the older.
pub const CONSISTENCY: &str = "log/consistency";
/// Attached: the sealing is in the log.
pub const SEAL_PROOF: &str = "log/seal.tlog-proof";

/// Files that the manifest cannot name: itself, what signs it, the list derived from it, and what comes
/// after it.
pub const UNLISTED: [&str; 6] = [
    MANIFEST,
    SIGNED_DATA,
    SIGNATURE,
    SUMS,
    ATTACHED,
    ATTACHED_SIGNED,
];

/// Those of them that a package of this format has.
pub(crate) fn unlisted(manifest: &Manifest) -> &'static [&'static str] {
    const BEFORE_3: [&str; 4] = [MANIFEST, SIGNED_DATA, SIGNATURE, SUMS];
    if manifest.has_attachments() {
        &UNLISTED
    } else {
        &BEFORE_3
    }
}

/// The certificates, leaf first, by which roots were signed; numbers start at 1.
#[must_use]
pub fn recorder_chain(signer: u32) -> String {
    format!("trust/recorder-{signer}.pem")
}

/// The proof that the root of a second is in the log.
#[must_use]
pub fn root_proof(second: u64) -> String {
    format!("log/roots/{second}.tlog-proof")
}

/// Whether a path may be attached: then the manifest may not list it.
#[must_use]
pub fn is_attached(path: &str) -> bool {
    path == TIMESTAMP || path.starts_with("log/")
}

/// First line of a frame log.
pub const FRAMES_HEADER: &str = "timestamp_us,bytes,key\n";

/// A line of a frame log: the frame's time in microseconds, its bytes, 1 for a key frame.
#[must_use]
pub fn frame(time_us: u64, bytes: u64, key: bool) -> String {
    format!("{time_us},{bytes},{}\n", u8::from(key))
}

/// Longest path of a file in a package: what a plain tar header holds.
pub const PATH_BYTES_MAX: usize = 100;
/// Most files of a package: eight hours of four tracks in two-second segments, and some.
pub const FILES_MAX: usize = 100_000;
/// Largest manifest, list or event file.
pub const DOCUMENT_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// Largest single file (a playable file of a very long call).
pub const FILE_BYTES_MAX: u64 = 64 * 1024 * 1024 * 1024;

/// The initialisation part of a track.
#[must_use]
pub fn init(track: u32) -> String {
    format!("tracks/{track}/init.mp4")
}

/// A segment of a track; numbers start at 1.
#[must_use]
pub fn segment(track: u32, number: u32) -> String {
    format!("tracks/{track}/{number:06}.m4s")
}

/// The frame log of a track.
#[must_use]
pub fn frames(track: u32) -> String {
    format!("tracks/{track}/frames.csv")
}

/// The checksum list of a track, whose lines are the leaves of the track's tree.
#[must_use]
pub fn tree(track: u32) -> String {
    format!("tracks/{track}/tree.sm3")
}

/// Whether a path may be a file of a package: one to three plain names, nothing hidden, no way up.
#[must_use]
pub fn path_is_safe(path: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_');
    let name = |name: &str| !name.is_empty() && !name.starts_with('.') && name.bytes().all(plain);
    path.len() <= PATH_BYTES_MAX && path.split('/').count() <= 3 && path.split('/').all(name)
}

/// One line of a checksum list, without its end: digest, two spaces, name.
#[must_use]
pub fn sum_line(digest: &Hash, name: &str) -> String {
    format!("{}  {name}", Hex(digest.to_vec()))
}

/// Hex text as a digest.
pub(crate) fn digest(hex: &Hex) -> Option<Hash> {
    <[u8; sm3::DIGEST_BYTES]>::try_from(hex.0.as_slice()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_leaves_the_package() {
        for bad in [
            "",
            "/etc/passwd",
            "../x",
            "a/../b",
            "a//b",
            "a/",
            "./a",
            ".hidden",
            "a\\b",
            "a b",
            "柜",
            "a/b/c/d",
            "c:x",
        ] {
            assert!(!path_is_safe(bad), "{bad:?}");
        }
        assert!(!path_is_safe(&"a".repeat(PATH_BYTES_MAX + 1)));
        for good in [
            README,
            CHAIN,
            SUMS,
            &init(1),
            &segment(4, 150),
            &frames(2),
            &tree(3),
        ] {
            assert!(path_is_safe(good), "{good:?}");
        }
    }
}
