//! Checks a film against its description and the package it is made of; and, where asked, by making it again.

use std::{fs, path::Path};

use guitai_evidence::{Options, Reader};
use guitai_types::{place::Text, problem::chain};
use serde::Serialize;

use crate::{
    COMPOSITOR, Description, FORMAT, MakeError, Progress, Recipe, Request, Settings, Size, Stop,
    Tools, make, make::Source,
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
    let stated = Description::beside(film);
    let read = match &stated {
        Ok(stated) => Ok(format!("{} pieces", stated.chunks.len())),
        Err(error) => Err(error.clone()),
    };
    outcome.note(What::Description, read);
    let Ok(stated) = stated else {
        return outcome.concluded();
    };
    let bytes = stated.check_film(film);
    outcome.note(What::Film, bytes);
    let Ok(source) = source else {
        return outcome.concluded();
    };
    let Reader {
        manifest,
        manifest_sm3,
        ..
    } = &source.reader;
    outcome.note(What::Ingredients, stated.is_of(manifest, manifest_sm3));
    outcome.note(What::Pieces, stated.has_the_calls_pieces(manifest));
    if let Some(tools) = again {
        let same = check_again(package, film, options, tools, &stated, progress);
        outcome.note(What::Again, same);
    }
    outcome.concluded()
}

fn settings(recipe: &Recipe) -> Result<Settings, String> {
    let size = Size::new(recipe.width, recipe.height).map_err(|error| error.to_string())?;
    let text = recipe.watermark.text.clone();
    let settings = Settings::new(recipe.layout, size, recipe.fps, text);
    settings.map_err(|error| error.to_string())
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
            stop: &Stop::default(),
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
