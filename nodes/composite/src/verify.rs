//! Checks a film against its description and the package it is made of; and, where asked, by making it again.

use std::{
    fs::{self, File},
    io::{self, Read as _},
    path::Path,
};

use guitai_crypto::sm3;
use guitai_evidence::Options;
use guitai_types::{Hex, place::Text};
use serde::Serialize;

use crate::{
    COMPOSITOR, Description, FORMAT, MakeError, Piece, Progress, Recipe, Request, Settings, Size,
    Stretch, Tools, describe, description_path, graph, make, make::Source,
};

/// What is checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum What {
    /// The package verifies.
    Package,
    /// The description can be read.
    Description,
    /// It is of this package: session, manifest, root of every track.
    Ingredients,
    /// Its pieces are those that the package's film has.
    Pieces,
    /// Every byte of the film is as described: head, each piece, the whole.
    Film,
    /// Made again, it is the same.
    Again,
}

impl What {
    /// For people.
    #[must_use]
    pub fn text(self) -> Text {
        let (zh, en) = match self {
            Self::Package => ("证据包校验通过", "package verifies"),
            Self::Description => ("说明可读且规范", "description canonical"),
            Self::Ingredients => ("由此证据包制成", "made of this package"),
            Self::Pieces => ("分段与通话相符", "pieces are those of the call"),
            Self::Film => ("录像每个字节相符", "every byte of the film"),
            Self::Again => ("重新制作逐字节相同", "made again, the same bytes"),
        };
        Text {
            zh: zh.to_owned(),
            en: en.to_owned(),
        }
    }
}

/// One thing that was checked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What.
    pub what: What,
    /// Whether it holds.
    pub ok: bool,
    /// What was found.
    pub detail: String,
}

/// What a check found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Outcome {
    /// Whether all of it holds.
    pub ok: bool,
    /// One by one; what could not be checked because of another fault is not here.
    pub findings: Vec<Finding>,
}

impl Outcome {
    fn note(&mut self, what: What, found: Result<String, String>) -> bool {
        let ok = found.is_ok();
        let (Ok(detail) | Err(detail)) = found;
        self.findings.push(Finding { what, ok, detail });
        ok
    }

    fn concluded(mut self) -> Self {
        self.ok = self.findings.iter().all(|it| it.ok);
        self
    }
}

/// Checks `film`, whose description is beside it, against `package`. With `again` the film is made once more, in
/// a directory beside it that is gone afterwards, and compared byte for byte.
pub fn verify(
    package: &Path,
    film: &Path,
    options: &Options,
    again: Option<&Tools>,
    progress: &mut dyn FnMut(Progress),
) -> Outcome {
    let mut outcome = Outcome::default();
    let source = Source::open(package, options);
    let opened = match &source {
        Ok(source) => Ok(format!("root {}", source.reader.manifest.root)),
        Err(error) => Err(chain(error)),
    };
    outcome.note(What::Package, opened);
    let stated = read_description(film);
    let read = match &stated {
        Ok(stated) => Ok(format!("{} pieces", stated.chunks.len())),
        Err(error) => Err(error.clone()),
    };
    outcome.note(What::Description, read);
    let Ok(stated) = stated else {
        return outcome.concluded();
    };
    let bytes = check_film(film, &stated);
    outcome.note(What::Film, bytes);
    let Ok(source) = source else {
        return outcome.concluded();
    };
    outcome.note(
        What::Ingredients,
        check_ingredients(&source, &stated.recipe),
    );
    outcome.note(What::Pieces, check_pieces(&source, &stated));
    if let Some(tools) = again {
        let same = check_again(package, film, options, tools, &stated, progress);
        outcome.note(What::Again, same);
    }
    outcome.concluded()
}

fn read_description(film: &Path) -> Result<Description, String> {
    let path = description_path(film);
    let read = || {
        let size = fs::metadata(&path)?.len();
        if size > describe::DESCRIPTION_BYTES_MAX {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        fs::read(&path)
    };
    let bytes = read().map_err(|error| format!("{}: {error}", path.display()))?;
    Description::parse(&bytes).map_err(|error| chain(&error))
}

fn check_ingredients(source: &Source, recipe: &Recipe) -> Result<String, String> {
    let manifest = &source.reader.manifest;
    let session = &manifest.session.id;
    if recipe.session != *session || recipe.watermark.session != *session {
        return Err(format!(
            "it is of session {}, not {session}",
            recipe.session
        ));
    }
    if recipe.manifest.0 != source.reader.manifest_sm3 || recipe.root != manifest.root {
        return Err("it is of another package of the session".to_owned());
    }
    if recipe.watermark.institution != manifest.institution.name.zh {
        return Err("it names another institution".to_owned());
    }
    let ingredients = describe::ingredients(manifest);
    if recipe.ingredients != ingredients {
        return Err("its ingredients are not the tracks of the package".to_owned());
    }
    Ok(format!("{} tracks", ingredients.len()))
}

fn settings(recipe: &Recipe) -> Result<Settings, String> {
    let size = Size::new(recipe.width, recipe.height).map_err(|error| error.to_string())?;
    let text = recipe.watermark.text.clone();
    let settings = Settings::new(recipe.layout, size, recipe.fps, text);
    settings.map_err(|error| error.to_string())
}

fn check_pieces(source: &Source, stated: &Description) -> Result<String, String> {
    let recipe = &stated.recipe;
    settings(recipe)?;
    let length_ms = source.plan.length_us.div_ceil(1_000);
    if recipe.length_ms != length_ms || recipe.chunk_ms != graph::CHUNK_MS {
        return Err(format!("the call has {length_ms} ms"));
    }
    let chunks = graph::chunks(&source.plan, recipe.fps);
    let fps = u64::from(recipe.fps);
    let planned = chunks
        .iter()
        .map(|it| (it.number, it.from * 1_000 / fps, it.to - it.from));
    let is = stated.chunks.iter();
    if planned.eq(is.map(|it| (it.number, it.from_ms, it.frames))) {
        Ok(format!("{length_ms} ms in {} pieces", chunks.len()))
    } else {
        Err("its pieces are not those of the call".to_owned())
    }
}

/// Reads the film once: the head, each piece, and the whole.
fn check_film(film: &Path, stated: &Description) -> Result<String, String> {
    let failed = |error: io::Error| error.to_string();
    let mut file = File::open(film).map_err(failed)?;
    let mut whole = sm3::Hasher::new();
    let mut bytes = 0_u64;
    let mut part = |name: String, piece: &Piece| {
        let mut hasher = sm3::Hasher::new();
        let mut left = piece.bytes;
        let mut buffer = vec![0; 64 * 1024];
        while left > 0 {
            let most = usize::try_from(left)
                .unwrap_or(usize::MAX)
                .min(buffer.len());
            let room = buffer.get_mut(..most).unwrap_or_default();
            let read = file.read(room).map_err(failed)?;
            if read == 0 {
                return Err(format!("the film ends within {name}"));
            }
            let read_now = buffer.get(..read).unwrap_or_default();
            hasher.update(read_now);
            whole.update(read_now);
            left -= read as u64;
        }
        bytes = bytes.saturating_add(piece.bytes);
        if Hex(hasher.finish().to_vec()) == piece.sm3 {
            Ok(())
        } else {
            Err(format!("{name} is not what the description says"))
        }
    };
    part("the head".to_owned(), &stated.head)?;
    for Stretch {
        number,
        picture,
        sound,
        ..
    } in &stated.chunks
    {
        part(format!("the picture of piece {number}"), picture)?;
        part(format!("the sound of piece {number}"), sound)?;
    }
    let mut rest = [0];
    if file.read(&mut rest).map_err(failed)? != 0 {
        return Err("the film has more bytes than its pieces".to_owned());
    }
    if stated.film.bytes != bytes || stated.film.sm3 != Hex(whole.finish().to_vec()) {
        return Err("the whole is not what the description says".to_owned());
    }
    Ok(format!("{bytes} bytes, SM3 {}", stated.film.sm3))
}

fn check_again(
    package: &Path,
    film: &Path,
    options: &Options,
    tools: &Tools,
    stated: &Description,
    progress: &mut dyn FnMut(Progress),
) -> Result<String, String> {
    let recipe = &stated.recipe;
    let settings = settings(recipe)?;
    let differs = [
        ("compositor", recipe.compositor.as_str(), COMPOSITOR),
        ("ffmpeg", &recipe.ffmpeg.version, &tools.program.version),
        (
            "font",
            &recipe.font.sm3.to_string(),
            &tools.font_name.sm3.to_string(),
        ),
    ]
    .into_iter()
    .find(|(_, there, here)| there != here)
    .map(|(what, there, here)| format!("{what} {there:?}, here {here:?}"));
    if let Some(differs) = differs {
        return Err(format!(
            "it was made by another {differs}: only the same ones give the same bytes"
        ));
    }
    if recipe.ffmpeg.configuration != tools.program.configuration {
        return Err("it was made by an ffmpeg that was built otherwise".to_owned());
    }
    let mut name = film.file_name().unwrap_or_default().to_os_string();
    name.push(".again.mp4");
    let out = film.with_file_name(name);
    let made = make(
        &Request {
            package,
            out: &out,
            settings: &settings,
            options,
            tools,
        },
        progress,
    );
    let made = made.map_err(|error: MakeError| chain(&error))?;
    let same = made.stated == *stated && made.stated.format == FORMAT;
    let removed = fs::remove_file(&out).and_then(|()| fs::remove_file(&made.description));
    removed.map_err(|error| format!("{}: {error}", out.display()))?;
    if same {
        return Ok(format!("SM3 {}", made.stated.film.sm3));
    }
    let pieces = made.stated.chunks.iter().zip(&stated.chunks);
    let other = pieces
        .filter(|(now, then)| now != then)
        .map(|(now, _)| now.number)
        .next();
    Err(match other {
        Some(number) => format!("piece {number} is another one"),
        None => "the head or the recipe is another one".to_owned(),
    })
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut words = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        words = format!("{words}: {error}");
        source = error.source();
    }
    words
}
