//! Every limit has a name and a reason; the error that reports it quotes it.

/// Longest id in bytes: fits a DNS label and a file name.
pub const ID_BYTES_MAX: usize = 63;
/// Longest control message that crosses the edge, in bytes: a ticket request is under 2 KiB.
pub const CONTROL_BYTES_MAX: usize = 16 * 1024;
/// Longest display name in characters.
pub const NAME_CHARS_MAX: usize = 40;
/// Longest free text (rating comment, step note) in characters.
pub const NOTE_CHARS_MAX: usize = 500;
/// Longest HTTP request body in bytes.
pub const BODY_BYTES_MAX: usize = 64 * 1024;
/// Longest raft or node-to-node RPC message in bytes; a snapshot travels in pieces of this.
pub const RPC_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Longest command in the raft log in bytes.
pub const COMMAND_BYTES_MAX: usize = 256 * 1024;
/// Tickets waiting in one queue; past it a customer is told to come back later.
pub const QUEUE_TICKETS_MAX: usize = 10_000;
/// Sessions running at once in a cluster (seed load 8,300 with head room).
pub const SESSIONS_RUNNING_MAX: usize = 12_000;
/// Ended sessions kept in memory; older ones stay in the recording index.
pub const SESSIONS_ENDED_KEPT: usize = 20_000;
/// Media keys of one session, one after the other; a page that is loaded again takes the next. Past it
/// nobody can join any more.
pub const KEY_EPOCHS_MAX: u32 = 64;
/// Epochs that are over of which a recorder's wraps are kept: as many as its key ring has room for.
pub const KEYS_PAST_KEPT: usize = 3;
/// Nodes that record one session at once, where the cluster has as many: one may die.
pub const RECORDERS_PER_SESSION: u8 = 2;
/// Turns at recording one session; past it nobody is put in a dead recorder's place any more.
pub const ASSIGNMENTS_MAX: usize = 32;
/// Business events in one session.
pub const SESSION_EVENTS_MAX: usize = 2_000;
/// Numbered cluster events kept for replay.
pub const EVENTS_KEPT: usize = 20_000;
/// Request ids remembered for exactly-once retries.
pub const REQUESTS_REMEMBERED: usize = 50_000;
/// Nodes of one cluster.
pub const MEMBERS_MAX: usize = 64;
/// Doors a page is told of; more would not fit into one control message.
pub const DOORS_MAX: usize = 24;
/// Staff accounts of one institution.
pub const STAFF_MAX: usize = 50_000;
/// How long a reservation rings before it times out, in milliseconds.
pub const RING_MS: u64 = 20_000;
/// How long a customer may be away (no event stream, no request) before the ticket is abandoned, in milliseconds.
pub const AWAY_MS: u64 = 30_000;
/// Life of a media or door token in milliseconds; renewed while the ticket lives.
pub const TOKEN_LIFE_MS: u64 = 2 * 60 * 60 * 1000;
/// Life of a staff login in milliseconds: one shift.
pub const LOGIN_LIFE_MS: u64 = 10 * 60 * 60 * 1000;
/// Longest segment of a recording in milliseconds (P6: gap at most 2 s).
pub const SEGMENT_MS_MAX: u64 = 2_000;
/// Largest media frame in bytes: a 1080p key frame is under 512 KiB.
pub const FRAME_BYTES_MAX: usize = 2 * 1024 * 1024;
/// Concurrent streams of one media connection each way; a few hundred, or a connection costs 1.2 MB.
pub const MEDIA_STREAMS_MAX: u32 = 256;
/// Media sessions on one relay.
pub const MEDIA_SESSIONS_MAX: usize = 4_000;
/// Refusals on one connection after which it is closed.
pub const REFUSALS_MAX: u32 = 8;
/// Free disk below which a recorder stops taking frames, in bytes.
pub const DISK_FREE_MIN: u64 = 64 * 1024 * 1024;
/// Marks of one cluster: a measurement of a few minutes numbers its writes and leaves each.
pub const MARKS_MAX: usize = 8_192;
/// Longest value of a mark in bytes.
pub const MARK_BYTES_MAX: usize = 1_024;
/// Marks given in one answer.
pub const MARKS_LISTED_MAX: usize = 4_096;
/// Longest reason for an access to a recording, in bytes.
pub const REASON_BYTES_MAX: usize = 200;
/// Longest number of a business, and of a customer at the bank, in characters.
pub const BUSINESS_CHARS_MAX: usize = 64;
/// Longest text that recordings are searched for, bytes of UTF-8.
pub const SEARCH_BYTES_MAX: usize = 200;
/// Longest signature over a recorder's root in bytes; SM2 in DER has at most 72.
pub const SIGNATURE_BYTES_MAX: usize = 128;
/// Longest checkpoint that is agreed on, in bytes: the log's signature and those of its witnesses.
pub const CHECKPOINT_BYTES_MAX: usize = 8 * 1024;
/// Longest verifier key of a log or a witness, in bytes of text.
pub const VERIFIER_KEY_BYTES_MAX: usize = 512;
/// Alarms of witnesses that are kept; the first tell most, so later ones are not taken down any more.
pub const LOG_ALARMS_KEPT: usize = 16;
/// Witnesses of a log: one per centre.
pub const WITNESSES_MAX: usize = 16;

const _: () = assert!(CONTROL_BYTES_MAX <= BODY_BYTES_MAX);
const _: () = assert!(COMMAND_BYTES_MAX < RPC_BYTES_MAX);
/// Recordings whose keeping the cluster follows. One sealed past it is kept for ever, and counted: the state is
/// in memory and in every snapshot, and each takes about half a kilobyte.
pub const RECORDINGS_KEPT_MAX: usize = 200_000;
/// Classes of the retention matrix.
pub const CLASSES_MAX: usize = 64;
/// Changes of the retention matrix in the life of a cluster: every one is remembered, because of what it promised.
pub const RETENTION_VERSIONS_MAX: u32 = 1_000;
/// Holds on one recording at once.
pub const HOLDS_MAX: usize = 16;
/// Longest description of what is wrong with a copy of a recording, in bytes.
pub const DAMAGE_BYTES_MAX: usize = 200;
/// Recordings in one list.
pub const RECORDINGS_LISTED_MAX: usize = 2_000;
/// Films of one cluster that wait or are made.
pub const FILMS_OPEN_MAX: usize = 1_000;
/// Films that the cluster remembers, with those that are finished; past it the one finished longest ago goes first.
pub const FILMS_KEPT_MAX: usize = 10_000;
/// Films in one list.
pub const FILMS_LISTED_MAX: usize = 2_000;
/// A film that is finished goes after so many milliseconds, a week: it can be made again, byte for byte.
pub const FILM_KEPT_MS: u64 = 7 * 24 * 60 * 60 * 1000;
/// Longest text burnt into a film, in characters.
pub const FILM_WATERMARK_CHARS_MAX: usize = 60;
/// Longest description of why a film was not made, or of what a node lacks to make one, in bytes.
pub const FILM_WHY_BYTES_MAX: usize = 300;
/// How often nodes take up one film; what ends the node that makes it each time is given up.
pub const FILM_TURNS_MAX: u32 = 8;
/// A node that makes a film and has not said so for so long, in milliseconds, has lost its turn.
pub const FILM_SILENT_MS: u64 = 5 * 60 * 1000;
/// How long a film waits for the node that has most of the call, in milliseconds, before any other takes it up.
pub const FILM_PATIENCE_MS: u64 = 10_000;

const _: () = assert!(FILMS_OPEN_MAX < FILMS_KEPT_MAX);

/// Longest text that a party of a call sends, in characters.
pub const MESSAGE_CHARS_MAX: usize = 500;
/// Texts and files in one session: each is an event of it.
pub const MESSAGES_MAX: usize = 400;
/// Of them, files.
pub const FILES_MAX: usize = 40;
/// Texts of one party of a call within a minute.
pub const TEXTS_PER_MINUTE_MAX: usize = 30;
/// Files of one party of a call within a minute.
pub const FILES_PER_MINUTE_MAX: usize = 6;
/// Largest file in bytes: a photograph of a document, or a contract of some pages.
pub const FILE_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Most points of a picture that a profile may allow: four bytes each while it is made anew.
pub const FILE_PIXELS_MAX: u64 = 40_000_000;
/// Most pages of a document that a profile may allow.
pub const FILE_PAGES_MAX: usize = 500;
/// Longest name of a file in characters.
pub const FILE_NAME_CHARS_MAX: usize = 80;
/// Patterns of the bank's own that are looked for in texts.
pub const PATTERNS_MAX: usize = 16;
/// Longest of them in bytes.
pub const PATTERN_BYTES_MAX: usize = 256;
/// Longest name of one, in bytes: it is a label in metrics and a word in events.
pub const PATTERN_NAME_BYTES_MAX: usize = 32;

const _: () = assert!(MESSAGES_MAX < SESSION_EVENTS_MAX);
const _: () = assert!(FILES_MAX < MESSAGES_MAX);
// A text of characters of four bytes crosses in one control message, a file in one call between nodes.
const _: () = assert!(MESSAGE_CHARS_MAX * 4 < CONTROL_BYTES_MAX / 2);
const _: () = assert!(FILE_BYTES_MAX + CONTROL_BYTES_MAX < RPC_BYTES_MAX);
