//! Pure data: ids, places, commands, records, events, control messages, limits and error codes.
//!
//! Everything that two crates, two nodes or two releases must agree on stands here; nothing here
//! does anything. Formats are JSON, versioned, and only ever added to (see `docs/reference`).

pub mod attest;
pub mod audit;
pub mod bytes;
pub mod canonical;
pub mod claims;
pub mod command;
pub mod control;
pub mod custody;
pub mod date;
pub mod door;
pub mod dr;
pub mod event;
pub mod film;
pub mod flowlog;
pub mod flows;
pub mod id;
pub mod inventory;
pub mod keys;
pub mod limits;
pub mod lineage;
pub mod live;
pub mod mark;
pub mod media;
pub mod message;
pub mod observed;
pub mod officer;
pub mod origin;
pub mod passed;
pub mod permit;
pub mod place;
pub mod problem;
pub mod profile;
pub mod record;
pub mod retention;
pub mod sandbox;
pub mod sink;
pub mod sync;
pub mod time;
pub mod tlog;
pub mod view;

pub use bytes::Hex;
pub use date::Date;
pub use id::*;
pub use place::{Centre, City, Member, Role, Voice, Zone};
pub use problem::{Code, Problem};
pub use time::UnixMillis;
