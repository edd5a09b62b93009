//! The composite of a recording: one film of what every party showed and said, made after the call from the
//! signed raw tracks of an evidence package. It is derived, not evidence, and anyone can derive it again: the
//! same package, settings, ffmpeg and font give the same bytes.
//!
//! Read in this order: [`mod@plan`] (what the picture shows when: the core, no I/O), [`Settings`] (what may be
//! chosen), `graph` (a stretch of the plan as a command for ffmpeg), `run` (that command, within limits),
//! `film` (the container), `work` (pieces that outlive a killed job), [`make`](fn@make) and [`verify`](fn@verify).
//! `docs/reference/evidence-package.md` describes `composite.json` for other implementers.

mod describe;
mod film;
mod graph;
mod line;
mod make;
mod panes;
pub mod plan;
mod run;
mod settings;
mod tools;
mod verify;
mod words;
mod work;

pub use film::FilmError;
pub use graph::GraphError;
pub use guitai_evidence::composite::{
    CHUNK_MS, Description, DescriptionError, FORMAT, Font, Ingredient, LENGTH_MS_MAX, Layout,
    Piece, Placed, Program, Recipe, Stretch, Watermark, description_path, length_us,
};
pub use make::{Failing, Made, MakeError, Progress, Request, make};
pub use plan::{Plan, PlanError, plan};
pub use run::{RunError, Stop, lowest_priority};
pub use settings::{Settings, SettingsError, Size};
pub use tools::{Advice, FONTS, Tools, ToolsError};
pub use verify::{Finding, Outcome, What, verify};
pub use work::WorkError;

/// What makes composites: a release that would give other bytes has another name.
pub const COMPOSITOR: &str = concat!("guitai-composite ", env!("CARGO_PKG_VERSION"));
