//! What may be chosen about a composite.

use std::{fmt, str::FromStr};

use guitai_evidence::composite::{
    FPS_MAX, HEIGHTS, Layout, WATERMARK_CHARS_MAX, WIDTHS, can_be_shown,
};

/// The film's size in pixels: both even, since a chroma sample covers two by two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    /// Pixels across.
    pub width: u32,
    /// Pixels down.
    pub height: u32,
}

/// Why a setting is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SettingsError {
    /// Not two even numbers within the limits.
    #[error("a size is WIDTHxHEIGHT, even, from {}x{} to {}x{}", WIDTHS.start(), HEIGHTS.start(), WIDTHS.end(), HEIGHTS.end())]
    Size,
    /// None or too many.
    #[error("a film has 1 to {FPS_MAX} frames a second")]
    Fps,
    /// Too long, empty, or not to be shown.
    #[error(
        "a watermark has 1 to {WATERMARK_CHARS_MAX} characters, none of them a control character"
    )]
    Watermark,
}

impl FromStr for Size {
    type Err = SettingsError;

    fn from_str(text: &str) -> Result<Self, SettingsError> {
        let (width, height) = text.split_once('x').ok_or(SettingsError::Size)?;
        let number = |text: &str| text.parse::<u32>().map_err(|_| SettingsError::Size);
        Self::new(number(width)?, number(height)?)
    }
}

impl Size {
    /// A size within the limits.
    pub fn new(width: u32, height: u32) -> Result<Self, SettingsError> {
        let fits = WIDTHS.contains(&width)
            && HEIGHTS.contains(&height)
            && width.is_multiple_of(2)
            && height.is_multiple_of(2);
        fits.then_some(Self { width, height })
            .ok_or(SettingsError::Size)
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}x{}", self.width, self.height)
    }
}

/// All that may be chosen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    pub(crate) layout: Layout,
    pub(crate) size: Size,
    pub(crate) fps: u32,
    pub(crate) watermark: Option<String>,
}

impl Settings {
    /// Settings within their limits. `watermark` is burnt in beside institution and session, which always are.
    pub fn new(
        layout: Layout,
        size: Size,
        fps: u32,
        watermark: Option<String>,
    ) -> Result<Self, SettingsError> {
        if !(1..=FPS_MAX).contains(&fps) {
            return Err(SettingsError::Fps);
        }
        if watermark.as_deref().is_some_and(|text| !can_be_shown(text)) {
            return Err(SettingsError::Watermark);
        }
        Ok(Self {
            layout,
            size,
            fps,
            watermark,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_can_be_made_is_taken() {
        for good in ["640x360", "320x180", "1920x1080"] {
            assert_eq!(good.parse::<Size>().unwrap().to_string(), good);
        }
        for bad in [
            "",
            "640",
            "641x360",
            "640x361",
            "16x16",
            "4000x2000",
            "-2x4",
            "x",
        ] {
            assert_eq!(bad.parse::<Size>(), Err(SettingsError::Size), "{bad:?}");
        }
        let size: Size = "640x360".parse().unwrap();
        let with =
            |fps, text: &str| Settings::new(Layout::SideBySide, size, fps, Some(text.into()));
        assert!(with(15, "':\\%{}").is_ok());
        assert_eq!(with(0, "x"), Err(SettingsError::Fps));
        assert_eq!(with(31, "x"), Err(SettingsError::Fps));
        for bad in ["", "a\nb", &"x".repeat(61)] {
            assert_eq!(with(15, bad), Err(SettingsError::Watermark), "{bad:?}");
        }
    }
}
