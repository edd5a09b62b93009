//! HTTP: what customers, staff and operators ask of a node, and how it is answered.
//!
//! Two routers, one per door: [`edge_router`] in the DMZ answers customers and asks the core through the
//! guard; [`core_router`] inside answers staff from the metadata. [`CoreDesk`] is the other end of the
//! guard, [`orders`] tells edges and relays what is over. The routes and their types describe themselves
//! in [`openapi`]; every refusal is a [`ProblemBody`].

mod between;
mod core;
mod customers;
mod door;
mod doors;
mod edge;
mod extract;
mod gate;
mod inventory;
mod layers;
mod login;
mod media_key;
mod messages;
mod metrics;
pub mod openapi;
pub mod orders;
mod origins;
mod pages;
mod permits;
mod problem;
mod serve;
mod streams;
mod visit;

pub use self::core::{
    AddStep, CoreDeps, FlowJudge, HEARD_MS_MAX, LoggedIn, Login, PACKAGES_MAX, SESSIONS_LISTED_MAX,
    SetPresence, Transfer, core_router,
};
pub use between::register_calls;
pub use customers::{CoreDesk, TOUCH_MS};
pub use door::{DoorSource, Health};
pub use doors::{
    Addresses, DOOR_SILENT_MS_MAX, DOORS_ASKED_MS, Doors, DoorsDeps, FitSource, PermitSource,
    register_door,
};
pub use edge::{CloseTicket, Confirmation, EdgeDeps, Opened, PageKey, Rating, edge_router};
pub use guitai_inspect::PatternError;
pub use inventory::{
    FlowsSource, INVENTORY_MS_MAX, InventorySource, KeysSource, MeasureSource, PassedSource,
    SandboxSource, Source, register_inventory, register_measures, register_passed,
    register_sandbox,
};
pub use layers::REQUEST_MS_MAX;
pub use login::{
    LOGIN_ACCOUNTS_MAX, LOGIN_ATTEMPTS_MAX, LOGIN_CHECKS_MAX, LOGIN_WAITING_MAX, LOGIN_WINDOW_MS,
    PASSWORD_BYTES_MAX,
};
pub use media_key::{draw_and_wrap, follow_recorders};
pub use messages::{Exchange, Recorders, Rules, Say, Shelves};
pub use metrics::{CertificateSource, DoorStatsSource};
pub use permits::{PermitDeps, register_permits, renew_permits};
pub use problem::{ProblemBody, Refusal};
pub use serve::{CONNECTIONS_MAX, HEAD_MS_MAX, TLS_MS_MAX, TlsSource, WRITE_MS_MAX, serve};
pub use streams::{STREAMS_MAX, STREAMS_PER_BEARER_MAX};

/// Version of the product.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
