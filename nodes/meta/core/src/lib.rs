//! The decisions of the cluster: a proposal goes in; a reply, numbered events and the keys of the
//! changed records come out. No I/O, no clock, no chance, no async: time and random ids arrive in
//! the proposal and every table is ordered, so the same log gives the same bytes on every node.
//!
//! Read in this order: [`State`] (what is remembered), `apply` (one proposal), then one file per
//! rule: `cluster`, `tickets`, `desks`, `routing`, `sessions`, `due`, `dr`, `canary`. `index` holds what can be
//! computed from the records, `record` and `snapshot` are the forms on disk, `view` is what people
//! see. `tlog` is the transparency log. `keeping` is how long recordings are kept, and how they end;
//! `placement` where their copies are. `sync` is the agreed mode of sync writes, and `lease` who may change it when.

mod apply;
mod canary;
mod check;
mod cluster;
mod custody;
mod desks;
mod dr;
mod due;
mod films;
mod flows;
mod index;
mod keeping;
pub mod lease;
mod limits;
mod marks;
mod media_keys;
mod messages;
mod officers;
mod outcome;
mod placement;
mod record;
mod recorders;
mod routing;
mod sessions;
mod snapshot;
mod state;
mod sync;
mod tickets;
mod tlog;
mod view;

pub use canary::CanaryIds;
pub use dr::may_approve;
pub use films::FilmCounts;
pub use limits::{
    INSTITUTIONS_MAX, QUEUES_MAX, TICK_DUE_MAX, TICKET_ENDED_KEPT_MS, TICKETS_ENDED_KEPT,
    TOUCH_MS_MIN,
};
pub use media_keys::NextKeys;
pub use messages::Noted;
pub use outcome::Outcome;
pub use placement::Repair;
pub use record::{LoadError, RecordKey};
pub use recorders::Hearing;
pub use snapshot::{SNAPSHOT_VERSION, SnapshotError};
pub use state::State;
pub use tlog::{Full, Kept, Log, Published, policy};
