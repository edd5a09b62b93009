//! Every limit of a matrix. An error that reports one quotes it.

/// Largest file of a matrix or of addresses, in bytes: [`ROWS_MAX`] rows of a kilobyte, and room for remarks.
pub const FILE_BYTES_MAX: usize = 512 * 1024;
/// Rows of a matrix. Past it nobody reviews them; the demonstration has two dozen.
pub const ROWS_MAX: usize = 256;
/// Faults of one file that are named; the first ones tell most.
pub const FAULTS_MAX: usize = 64;
/// Longest id of a row in bytes: it is the name of a firewall counter.
pub const ROW_ID_BYTES_MAX: usize = 40;
/// Longest name of a matrix, a zone or a role, in characters.
pub const NAME_CHARS_MAX: usize = 40;
/// Longest purpose in characters, each language.
pub const PURPOSE_CHARS_MAX: usize = 200;
/// Longest owner in characters.
pub const OWNER_CHARS_MAX: usize = 60;
/// Largest `limits.message_bytes`: twice the longest message between nodes.
pub const MESSAGE_BYTES_MAX: u64 = 16 * 1024 * 1024;
/// Largest `limits.messages_per_second`.
pub const MESSAGES_PER_SECOND_MAX: u64 = 1_000_000;
/// Largest `limits.connections_per_second`.
pub const CONNECTIONS_PER_SECOND_MAX: u64 = 100_000;
/// Largest version of a matrix.
pub const VERSION_MAX: u64 = 1_000_000;
/// Days before its expiry from which a row is named as expiring soon: a change of the matrix takes a month in a bank.
pub const EXPIRES_SOON_DAYS: u64 = 30;
/// Networks of one party in a file of addresses.
pub const NETWORKS_MAX: usize = 256;
/// Parties of a file of addresses, nodes included.
pub const PARTIES_MAX: usize = 256;

const _: () = assert!(MESSAGE_BYTES_MAX as usize >= guitai_types::limits::RPC_BYTES_MAX);
const _: () = assert!(PARTIES_MAX >= guitai_types::limits::MEMBERS_MAX);
