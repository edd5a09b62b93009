//! Every limit of the ferry, with its reason.

/// Bytes of content in one bundle unless a side says otherwise: gaps inspect files whole, so small ones pass sooner.
pub const CONTENT_BYTES_DEFAULT: u64 = 32 * 1024 * 1024;
/// Most bytes of content in one bundle: it is checked in memory before anything of it is written.
pub const CONTENT_BYTES_MAX: u64 = 256 * 1024 * 1024;
/// Most parts of a bundle: their descriptions must fit a signed note of 64 KiB.
pub const PARTS_MAX: usize = 40;
/// Most refused items that one acknowledgement names; the rest waits, and is not acknowledged before.
pub const REFUSED_ITEMS_MAX: usize = 48;
/// Most refused files that one acknowledgement names; all are counted.
pub const REFUSED_FILES_MAX: usize = 8;
/// Most missing numbers that one acknowledgement names.
pub const MISSING_MAX: usize = 64;
/// Bundles that may be unacknowledged unless a side says otherwise.
pub const OUTSTANDING_DEFAULT: u64 = 64;
/// Most bundles that may be unacknowledged: each is kept on disk until then.
pub const OUTSTANDING_MAX: u64 = 1024;
/// Bundles that carry only an acknowledgement may be so many more, and further ones only where they say that
/// something was taken: two sides that are both full would wait for each other for ever.
pub const ANSWERS_MAX: u64 = 8;
/// How far ahead of the next a bundle may be and still be waited for; more than a sender may have on the way.
pub const AHEAD_MAX: u64 = OUTSTANDING_MAX + 2 * ANSWERS_MAX;
/// Largest item: the longest evidence package (eight hours of two parties at 2 Mbit/s).
pub const ITEM_BYTES_MAX: u64 = 16 * 1024 * 1024 * 1024;
/// Largest report: it is inspected in memory.
pub const REPORT_BYTES_MAX: u64 = 16 * 1024 * 1024;
/// Longest name of an item, in bytes.
pub const NAME_BYTES_MAX: usize = 120;
/// Longest kind of an item, in bytes.
pub const KIND_BYTES_MAX: usize = 32;
/// Longest detail of a refusal, in bytes: more is cut.
pub const DETAIL_BYTES_MAX: usize = 200;
/// Milliseconds after which an unacknowledged bundle is sent again unless a side says otherwise.
pub const AGAIN_MS_DEFAULT: u64 = 30 * 60 * 1000;

const _: () = assert!(CONTENT_BYTES_DEFAULT <= CONTENT_BYTES_MAX);
const _: () = assert!(OUTSTANDING_DEFAULT <= OUTSTANDING_MAX);
const _: () = assert!(REPORT_BYTES_MAX <= ITEM_BYTES_MAX);
