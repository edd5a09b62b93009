//! The command line, read by hand: a library for it would be larger than the rest of the program.

use std::path::PathBuf;

/// Language of what is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Language {
    /// 简体中文
    Zh,
    /// English
    En,
}

impl Language {
    /// One of two texts.
    pub(crate) const fn pick<'a>(self, zh: &'a str, en: &'a str) -> &'a str {
        match self {
            Self::Zh => zh,
            Self::En => en,
        }
    }
}

/// What is asked for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    Help,
    Version,
    Verify {
        package: PathBuf,
        /// PEM file with the root that is trusted.
        root: Option<PathBuf>,
        /// Whose signatures on the log's checkpoints count.
        policy: Option<PathBuf>,
        /// A film made of the package, to be checked with it.
        composite: Option<PathBuf>,
        /// A point that is absent is no success.
        complete: bool,
        json: bool,
        language: Language,
    },
}

/// Why a command line is none.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Wrong {
    #[error("未给出证据包目录 / no directory of a package is given")]
    NoPackage,
    #[error("只能给出一个证据包 / more than one package is given: {0}")]
    Second(String),
    #[error("未知选项 / unknown option {0}")]
    Unknown(String),
    #[error("选项 {0} 缺少值或值有误 / option {0} needs another value")]
    Value(&'static str),
}

/// Reads the arguments after the program's name; `locale` is what the environment says.
pub(crate) fn read(
    mut arguments: impl Iterator<Item = String>,
    locale: &str,
) -> Result<Asked, Wrong> {
    let (mut package, mut root, mut policy, mut composite) = (None, None, None, None);
    let (mut json, mut complete, mut options) = (false, false, true);
    let mut language = match locale.starts_with("zh") {
        true => Language::Zh,
        false => Language::En,
    };
    while let Some(argument) = arguments.next() {
        let (name, attached) = match argument.split_once('=') {
            Some((name, value)) if name.starts_with("--") => (name, Some(value.to_owned())),
            _ => (argument.as_str(), None),
        };
        let mut value = || attached.clone().or_else(|| arguments.next());
        match name {
            "--" if options => options = false,
            "-h" | "--help" if options => return Ok(Asked::Help),
            "-V" | "--version" if options => return Ok(Asked::Version),
            "--json" if options && attached.is_none() => json = true,
            "--complete" if options && attached.is_none() => complete = true,
            "--root" if options => {
                root = Some(PathBuf::from(value().ok_or(Wrong::Value("--root"))?));
            }
            "--policy" if options => {
                policy = Some(PathBuf::from(value().ok_or(Wrong::Value("--policy"))?));
            }
            "--composite" if options => {
                composite = Some(PathBuf::from(value().ok_or(Wrong::Value("--composite"))?));
            }
            "--lang" if options => {
                language = match value().as_deref() {
                    Some("zh") => Language::Zh,
                    Some("en") => Language::En,
                    _ => return Err(Wrong::Value("--lang")),
                };
            }
            _ if options && name.starts_with('-') => return Err(Wrong::Unknown(argument)),
            _ if package.is_some() => return Err(Wrong::Second(argument)),
            _ => package = Some(PathBuf::from(argument)),
        }
    }
    Ok(Asked::Verify {
        package: package.ok_or(Wrong::NoPackage)?,
        root,
        policy,
        composite,
        complete,
        json,
        language,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(arguments: &[&str]) -> Result<Asked, Wrong> {
        read(arguments.iter().map(|it| (*it).to_owned()), "zh_CN.UTF-8")
    }

    fn verify(package: &str, root: Option<&str>, json: bool, language: Language) -> Asked {
        Asked::Verify {
            package: package.into(),
            root: root.map(PathBuf::from),
            policy: None,
            composite: None,
            complete: false,
            json,
            language,
        }
    }

    #[test]
    fn every_form_of_a_command_line() {
        let (zh, en) = (Language::Zh, Language::En);
        assert_eq!(asked(&["p"]), Ok(verify("p", None, false, zh)));
        let whole = ["--json", "p", "--root", "r", "--lang", "en"];
        assert_eq!(asked(&whole), Ok(verify("p", Some("r"), true, en)));
        let attached = ["--root=r=s", "--lang=en", "p"];
        assert_eq!(asked(&attached), Ok(verify("p", Some("r=s"), false, en)));
        assert_eq!(asked(&["--", "-p"]), Ok(verify("-p", None, false, zh)));
        let strict = asked(&["p", "--complete", "--policy", "f", "--composite=c.mp4"]);
        let Ok(Asked::Verify {
            policy: Some(policy),
            composite: Some(film),
            complete: true,
            ..
        }) = &strict
        else {
            panic!("{strict:?}");
        };
        assert_eq!(
            (policy.as_path(), film.as_path()),
            ("f".as_ref(), "c.mp4".as_ref())
        );
        assert_eq!(asked(&["p", "--help"]), Ok(Asked::Help));
        assert_eq!(asked(&["-V"]), Ok(Asked::Version));
    }

    #[test]
    fn what_is_wrong_is_named() {
        assert_eq!(asked(&[]), Err(Wrong::NoPackage));
        assert_eq!(asked(&["a", "b"]), Err(Wrong::Second("b".to_owned())));
        let unknown = asked(&["--rot", "r", "p"]);
        assert_eq!(unknown, Err(Wrong::Unknown("--rot".to_owned())));
        assert_eq!(asked(&["p", "--root"]), Err(Wrong::Value("--root")));
        assert_eq!(asked(&["p", "--policy"]), Err(Wrong::Value("--policy")));
        assert_eq!(asked(&["p", "--lang", "fr"]), Err(Wrong::Value("--lang")));
        let json = asked(&["p", "--json=yes"]);
        assert_eq!(json, Err(Wrong::Unknown("--json=yes".to_owned())));
    }
}
