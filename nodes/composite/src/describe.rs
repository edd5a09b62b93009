//! What a film is made of: the description beside it, canonical JSON. Fields are never renamed or reused.

use std::path::{Path, PathBuf};

use guitai_evidence::{
    canonical::{self, CanonicalError},
    manifest::{Manifest, Media},
};
use guitai_types::{Hex, SessionId};
use serde::{Deserialize, Serialize};

use crate::{COMPOSITOR, Layout, Plan, Settings, Tools, graph};

/// The `format` that this release writes.
pub const FORMAT: &str = "guitai-composite/1";
/// Largest description in bytes.
pub(crate) const DESCRIPTION_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// Why a description cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum DescriptionError {
    /// Not canonical JSON of the known fields.
    #[error("it is not canonical, or has a field that is not known")]
    Canonical(#[from] CanonicalError),
    /// Of another format.
    #[error("its format is {0:?}, known is {FORMAT:?}")]
    Format(String),
}

/// Everything a film states about itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Description {
    /// [`FORMAT`].
    pub format: String,
    /// What determines the film's bytes.
    pub recipe: Recipe,
    /// The film's bytes before its pieces.
    pub head: Piece,
    /// The pieces, in order.
    pub chunks: Vec<Stretch>,
    /// The whole film.
    pub film: Piece,
}

/// Some bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Piece {
    /// How many.
    pub bytes: u64,
    /// Their SM3.
    pub sm3: Hex,
}

/// A piece of the film.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stretch {
    /// From 1.
    pub number: u32,
    /// Milliseconds from the session's start.
    pub from_ms: u64,
    /// Frames of picture.
    pub frames: u64,
    /// Its picture.
    pub picture: Piece,
    /// Its sound.
    pub sound: Piece,
}

/// What determines a film's bytes: whoever has all of this makes the same film.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recipe {
    /// The session.
    pub session: SessionId,
    /// SM3 of the package's `manifest.json`.
    pub manifest: Hex,
    /// The package's root.
    pub root: Hex,
    /// All tracks of the package, by number.
    pub ingredients: Vec<Ingredient>,
    /// How the panes are arranged.
    pub layout: Layout,
    /// What is burnt in beside names, times and gaps.
    pub watermark: Watermark,
    /// Pixels across.
    pub width: u32,
    /// Pixels down.
    pub height: u32,
    /// Frames a second.
    pub fps: u32,
    /// Length of the call in milliseconds, rounded up.
    pub length_ms: u64,
    /// Length of a piece in milliseconds; the last one may be shorter.
    pub chunk_ms: u64,
    /// Constant rate factor of the picture.
    pub picture_crf: u32,
    /// Most kilobits a second of the picture.
    pub picture_kbit_max: u32,
    /// Kilobits a second of the sound.
    pub sound_kbit: u32,
    /// [`COMPOSITOR`].
    pub compositor: String,
    /// The ffmpeg that decoded, drew and encoded.
    pub ffmpeg: Program,
    /// The font of the words.
    pub font: Font,
}

/// A track that the film is made of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ingredient {
    /// Its number in the package.
    pub track: u32,
    /// Whose.
    pub party: String,
    /// Sound or picture.
    pub media: Media,
    /// Root of its tree.
    pub root: Hex,
}

/// The words that are always there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Watermark {
    /// The institution's name.
    pub institution: String,
    /// The session.
    pub session: SessionId,
    /// What was asked for besides; left out if nothing was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
}

/// A program.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Program {
    /// The first line of what it says about itself.
    pub version: String,
    /// SM3 of the lines after it: how it was built, and its libraries.
    pub configuration: Hex,
}

/// A font.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Font {
    /// The file's name, for people.
    pub name: String,
    /// SM3 of the file.
    pub sm3: Hex,
}

impl Recipe {
    /// What a film of this package and these settings is made of on this machine.
    pub(crate) fn of(
        manifest: &Manifest,
        manifest_sm3: &[u8; 32],
        plan: &Plan,
        settings: &Settings,
        tools: &Tools,
    ) -> Self {
        Self {
            session: manifest.session.id.clone(),
            manifest: Hex(manifest_sm3.to_vec()),
            root: manifest.root.clone(),
            ingredients: ingredients(manifest),
            layout: settings.layout,
            watermark: Watermark {
                institution: manifest.institution.name.zh.clone(),
                session: manifest.session.id.clone(),
                text: settings.watermark.clone(),
            },
            width: settings.size.width,
            height: settings.size.height,
            fps: settings.fps,
            length_ms: plan.length_us.div_ceil(1_000),
            chunk_ms: graph::CHUNK_MS,
            picture_crf: graph::PICTURE_CRF,
            picture_kbit_max: graph::PICTURE_KBIT_MAX,
            sound_kbit: graph::SOUND_KBIT,
            compositor: COMPOSITOR.to_owned(),
            ffmpeg: tools.program.clone(),
            font: tools.font_name.clone(),
        }
    }
}

pub(crate) fn ingredients(manifest: &Manifest) -> Vec<Ingredient> {
    let ingredient = |track: &guitai_evidence::manifest::Track| Ingredient {
        track: track.number,
        party: track.party.clone(),
        media: track.media,
        root: track.root.clone(),
    };
    manifest.tracks.iter().map(ingredient).collect()
}

impl Description {
    /// Reads a description; any other bytes than the canonical ones are refused.
    pub fn parse(bytes: &[u8]) -> Result<Self, DescriptionError> {
        let read: Self = canonical::from_bytes(bytes)?;
        if read.format == FORMAT {
            Ok(read)
        } else {
            Err(DescriptionError::Format(read.format))
        }
    }
}

/// Where the description of a film is: beside it, `film.composite.json` for `film.mp4`.
#[must_use]
pub fn description_path(film: &Path) -> PathBuf {
    film.with_extension("composite.json")
}
