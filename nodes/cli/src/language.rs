//! The two languages of everything that is printed.

use clap::ValueEnum;
use guitai_types::place;

/// Language of what is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Language {
    /// 简体中文
    Zh,
    /// English
    En,
}

impl Language {
    /// The language asked for, else the one the environment's locale names.
    pub fn choose(asked: Option<Self>) -> Self {
        let locale = ["LC_ALL", "LC_MESSAGES", "LANG"]
            .iter()
            .find_map(|name| std::env::var(name).ok().filter(|value| !value.is_empty()));
        asked.unwrap_or_else(|| Self::of_locale(locale.as_deref().unwrap_or_default()))
    }

    /// Chinese where the locale says so; a terminal that says nothing may not be able to show it.
    fn of_locale(locale: &str) -> Self {
        if locale.starts_with("zh") {
            Self::Zh
        } else {
            Self::En
        }
    }

    /// One of two texts.
    pub const fn pick<'a>(self, zh: &'a str, en: &'a str) -> &'a str {
        match self {
            Self::Zh => zh,
            Self::En => en,
        }
    }

    /// One side of a text in both languages.
    pub fn of(self, text: &place::Text) -> &str {
        self.pick(&text.zh, &text.en)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_locale_decides_unless_told() {
        assert_eq!(Language::of_locale("zh_CN.UTF-8"), Language::Zh);
        for other in ["", "C", "C.UTF-8", "en_US.UTF-8", "de_DE"] {
            assert_eq!(Language::of_locale(other), Language::En, "{other:?}");
        }
        assert_eq!(Language::choose(Some(Language::Zh)), Language::Zh);
    }
}
