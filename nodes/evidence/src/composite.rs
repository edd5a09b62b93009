//! The composite of a package: what its description says, and what of that can be checked without making the film
//! again (`docs/reference/evidence-package.md`, "The composite of a package"). Fields are never renamed or reused.

use std::{
    fs::{self, File},
    io::{self, Read as _},
    ops::RangeInclusive,
    path::{Path, PathBuf},
};

use guitai_crypto::sm3;
use guitai_types::{Hex, SessionId, UnixMillis, problem::chain};
use serde::{Deserialize, Serialize};

use crate::{
    canonical::{self, CanonicalError},
    manifest::{Manifest, Media, Track},
    tree::Hash,
};

/// The `format` that this release writes.
pub const FORMAT: &str = "guitai-composite/1";
/// Largest description in bytes.
pub const DESCRIPTION_BYTES_MAX: u64 = 16 * 1024 * 1024;
/// Widths a film may have; even, since a chroma sample covers two by two. Below, the burnt-in words could not be read.
pub const WIDTHS: RangeInclusive<u32> = 320..=1920;
/// Heights a film may have; even.
pub const HEIGHTS: RangeInclusive<u32> = 180..=1080;
/// Most frames a second.
pub const FPS_MAX: u32 = 30;
/// Longest text of a watermark, in characters.
pub const WATERMARK_CHARS_MAX: usize = 60;
/// Length of a piece of a film in milliseconds; the last one may be shorter.
pub const CHUNK_MS: u64 = 60_000;
/// Longest call that a film is made of, in milliseconds.
pub const LENGTH_MS_MAX: u64 = 12 * 3_600_000;
const SM3_BYTES: usize = 32;
/// A film is read in pieces of this size.
const READ_BYTES: usize = 64 * 1024;

/// Why a description cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum DescriptionError {
    /// Not canonical JSON of the known fields.
    #[error("it is not canonical, or has a field that is not known")]
    Canonical(#[from] CanonicalError),
    /// A digest that is none.
    #[error("an SM3 has 32 bytes")]
    Digest,
    /// Of another format.
    #[error("its format is {0:?}, known is {FORMAT:?}")]
    Format(String),
}

/// How the panes are arranged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Layout {
    /// Agent left, customer right, of one size.
    #[default]
    SideBySide,
    /// The customer fills the picture, the agent is a small one in it.
    PictureInPicture,
}

impl Layout {
    /// As it is written.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::SideBySide => "side-by-side",
            Self::PictureInPicture => "picture-in-picture",
        }
    }
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

/// Where a track is on the call's time line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Placed {
    /// Microseconds from the session's start to its first frame; below 0 if that was earlier.
    pub start_us: i64,
    /// The publisher's timestamp of that frame.
    pub first_us: u64,
}

impl Placed {
    /// The place of a track of a call that began at `started_at`.
    #[must_use]
    pub fn of(track: &Track, started_at: UnixMillis) -> Self {
        let us = |at: u64| i64::try_from(at.saturating_mul(1_000)).unwrap_or(i64::MAX);
        let late = us(track.started_at.since(started_at));
        let early = us(started_at.since(track.started_at));
        Self {
            start_us: late - early,
            first_us: track.first_us,
        }
    }

    /// Where a timestamp of the publisher is; what is before the session's start is at its start.
    #[must_use]
    pub fn at(self, timestamp_us: u64) -> u64 {
        let within = timestamp_us.saturating_sub(self.first_us);
        if self.start_us < 0 {
            within.saturating_sub(self.start_us.unsigned_abs())
        } else {
            within.saturating_add(self.start_us.unsigned_abs())
        }
    }
}

/// The call's length in microseconds: until the last track, or the session, ends.
#[must_use]
pub fn length_us(manifest: &Manifest) -> u64 {
    let started_at = manifest.session.started_at;
    let ends = manifest.tracks.iter();
    let ends = ends.map(|track| Placed::of(track, started_at).at(track.end_us));
    let ended = manifest.session.ended_at;
    let ended = ended.map(|at| at.since(started_at).saturating_mul(1_000));
    ends.chain(ended).max().unwrap_or(0)
}

/// Frames of a film of so many microseconds; one at least.
#[must_use]
pub fn frames(length_us: u64, fps: u32) -> u64 {
    let frames = length_us.saturating_mul(u64::from(fps));
    frames.div_ceil(1_000_000).max(1)
}

/// The tracks of a package as ingredients of its film.
#[must_use]
pub fn ingredients(manifest: &Manifest) -> Vec<Ingredient> {
    let ingredient = |track: &Track| Ingredient {
        track: track.number,
        party: track.party.clone(),
        media: track.media,
        root: track.root.clone(),
    };
    manifest.tracks.iter().map(ingredient).collect()
}

/// Where the description of a film is: beside it, `film.composite.json` for `film.mp4`.
#[must_use]
pub fn description_path(film: &Path) -> PathBuf {
    film.with_extension("composite.json")
}

impl Description {
    /// Reads a description; any other bytes than the canonical ones are refused.
    pub fn parse(bytes: &[u8]) -> Result<Self, DescriptionError> {
        let read: Self = canonical::from_bytes(bytes)?;
        if read.format != FORMAT {
            return Err(DescriptionError::Format(read.format));
        }
        let recipe = &read.recipe;
        let of_recipe = [
            &recipe.manifest,
            &recipe.ffmpeg.configuration,
            &recipe.font.sm3,
        ];
        let pieces = read.chunks.iter().flat_map(|it| [&it.picture, &it.sound]);
        let pieces = pieces.chain([&read.head, &read.film]).map(|it| &it.sm3);
        if pieces.chain(of_recipe).all(|it| it.0.len() == SM3_BYTES) {
            Ok(read)
        } else {
            Err(DescriptionError::Digest)
        }
    }

    /// Reads the description beside a film. The error is for people.
    pub fn beside(film: &Path) -> Result<Self, String> {
        let path = description_path(film);
        let read = || {
            let size = fs::metadata(&path)?.len();
            if size > DESCRIPTION_BYTES_MAX {
                return Err(io::ErrorKind::FileTooLarge.into());
            }
            fs::read(&path)
        };
        let bytes = read().map_err(|error| format!("{}: {error}", path.display()))?;
        Self::parse(&bytes).map_err(|error| chain(&error))
    }

    /// Whether it is of this package: session, manifest, institution, root of every track. Says what was found.
    pub fn is_of(&self, manifest: &Manifest, manifest_sm3: &Hash) -> Result<String, String> {
        let (recipe, session) = (&self.recipe, &manifest.session.id);
        if recipe.session != *session || recipe.watermark.session != *session {
            return Err(format!(
                "it is of session {}, not {session}",
                recipe.session
            ));
        }
        if recipe.manifest.0 != manifest_sm3 || recipe.root != manifest.root {
            return Err("it is of another package of the session".to_owned());
        }
        if recipe.watermark.institution != manifest.institution.name.zh {
            return Err("it names another institution".to_owned());
        }
        let ingredients = ingredients(manifest);
        if recipe.ingredients != ingredients {
            return Err("its ingredients are not the tracks of the package".to_owned());
        }
        Ok(format!("{} tracks", ingredients.len()))
    }

    /// Whether its settings are within the limits, and its pieces are those of the call.
    pub fn has_the_calls_pieces(&self, manifest: &Manifest) -> Result<String, String> {
        let recipe = &self.recipe;
        let is_even = |size: u32, sizes: &RangeInclusive<u32>| {
            sizes.contains(&size) && size.is_multiple_of(2)
        };
        if !is_even(recipe.width, &WIDTHS) || !is_even(recipe.height, &HEIGHTS) {
            return Err("its size is not within the limits".to_owned());
        }
        if !(1..=FPS_MAX).contains(&recipe.fps) {
            return Err(format!("a film has 1 to {FPS_MAX} frames a second"));
        }
        let text = recipe.watermark.text.as_deref();
        if text.is_some_and(|text| !can_be_shown(text)) {
            return Err("its watermark is not within the limits".to_owned());
        }
        let length_us = length_us(manifest);
        let length_ms = length_us.div_ceil(1_000);
        if length_us == 0 || length_us > LENGTH_MS_MAX * 1_000 {
            return Err(format!("no film is made of a call of {length_ms} ms"));
        }
        if recipe.length_ms != length_ms || recipe.chunk_ms != CHUNK_MS {
            return Err(format!("the call has {length_ms} ms"));
        }
        let (all, most) = (
            frames(length_us, recipe.fps),
            CHUNK_MS / 1_000 * u64::from(recipe.fps),
        );
        let pieces = all.div_ceil(most);
        let planned = (0..pieces).map(|at| (at + 1, at * CHUNK_MS, most.min(all - at * most)));
        let stated = self.chunks.iter();
        let stated = stated.map(|it| (u64::from(it.number), it.from_ms, it.frames));
        if planned.eq(stated) {
            Ok(format!("{length_ms} ms in {pieces} pieces"))
        } else {
            Err("its pieces are not those of the call".to_owned())
        }
    }

    /// Reads the film once: the head, each piece, and the whole. Says what was found.
    pub fn check_film(&self, film: &Path) -> Result<String, String> {
        let failed = |error: io::Error| error.to_string();
        let mut file = File::open(film).map_err(failed)?;
        let mut whole = sm3::Hasher::new();
        let mut bytes = 0_u64;
        let mut buffer = vec![0; READ_BYTES];
        let mut part = |name: &dyn Fn() -> String, piece: &Piece| {
            let mut hasher = sm3::Hasher::new();
            let mut left = piece.bytes;
            while left > 0 {
                let most = usize::try_from(left).unwrap_or(usize::MAX).min(READ_BYTES);
                let room = buffer.get_mut(..most).unwrap_or_default();
                let read = file.read(room).map_err(failed)?;
                if read == 0 {
                    return Err(format!("the film ends within {}", name()));
                }
                let read_now = room.get(..read).unwrap_or_default();
                hasher.update(read_now);
                whole.update(read_now);
                left -= read as u64;
            }
            bytes = bytes.saturating_add(piece.bytes);
            if Hex(hasher.finish().to_vec()) == piece.sm3 {
                Ok(())
            } else {
                Err(format!("{} is not what the description says", name()))
            }
        };
        part(&|| "the head".to_owned(), &self.head)?;
        for stretch in &self.chunks {
            let number = stretch.number;
            part(
                &|| format!("the picture of piece {number}"),
                &stretch.picture,
            )?;
            part(&|| format!("the sound of piece {number}"), &stretch.sound)?;
        }
        let mut rest = [0];
        if file.read(&mut rest).map_err(failed)? != 0 {
            return Err("the film has more bytes than its pieces".to_owned());
        }
        if self.film.bytes != bytes || self.film.sm3 != Hex(whole.finish().to_vec()) {
            return Err("the whole is not what the description says".to_owned());
        }
        Ok(format!("{bytes} bytes, SM3 {}", self.film.sm3))
    }
}

/// Whether a text may be burnt in: 1 to [`WATERMARK_CHARS_MAX`] characters, none of them a control character.
#[must_use]
pub fn can_be_shown(text: &str) -> bool {
    (1..=WATERMARK_CHARS_MAX).contains(&text.chars().count()) && !text.chars().any(char::is_control)
}
