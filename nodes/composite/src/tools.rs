//! What has to be installed: ffmpeg with what we ask of it, and a font with Chinese characters. All of it is
//! looked at before any work begins.

use std::{
    ffi::OsStr,
    fs, io,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use guitai_crypto::sm3;
use guitai_types::{Hex, place::Text};

use crate::{Font, Program};

/// Where fonts with Chinese characters are on the distributions we know, best first.
pub const FONTS: [&str; 8] = [
    "/usr/share/fonts/opentype/noto/NotoSansCJK-Regular.ttc",
    "/usr/share/fonts/noto-cjk/NotoSansCJK-Regular.ttc",
    "/usr/share/fonts/google-noto-cjk/NotoSansCJK-Regular.ttc",
    "/usr/share/fonts/google-noto-sans-cjk-vf-fonts/NotoSansCJK-VF.ttc",
    "/usr/share/fonts/truetype/wqy/wqy-zenhei.ttc",
    "/usr/share/fonts/truetype/wqy/wqy-microhei.ttc",
    "/usr/share/fonts/wqy-zenhei/wqy-zenhei.ttc",
    "/usr/share/fonts/truetype/droid/DroidSansFallbackFull.ttf",
];
/// Largest font file in bytes.
pub(crate) const FONT_BYTES_MAX: u64 = 128 * 1024 * 1024;

/// What ffmpeg must be able to do: the list that it shows, and the name in it.
const NEEDED: [(&str, &str); 16] = [
    ("-encoders", "libx264"),
    ("-encoders", "aac"),
    ("-decoders", "h264"),
    ("-decoders", "opus"),
    ("-filters", "drawtext"),
    ("-filters", "drawbox"),
    ("-filters", "overlay"),
    ("-filters", "scale"),
    ("-filters", "fps"),
    ("-filters", "amix"),
    ("-filters", "join"),
    ("-filters", "aresample"),
    ("-filters", "volume"),
    ("-demuxers", "mov,mp4,m4a,3gp,3g2,mj2"),
    ("-muxers", "h264"),
    ("-muxers", "adts"),
];

/// Why no composite can be made on this machine.
#[derive(Debug, thiserror::Error)]
pub enum ToolsError {
    /// There is no ffmpeg in `PATH`.
    #[error("no ffmpeg in PATH")]
    NoFfmpeg,
    /// It does not run.
    #[error("{path} does not run")]
    Runs {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It lacks something.
    #[error("{path} lacks {} ({list})", lacking.join(", "))]
    Lacks {
        /// Which.
        path: PathBuf,
        /// What it lacks.
        lacking: Vec<String>,
        /// Its version line.
        list: String,
    },
    /// There is no font with Chinese characters in a known place.
    #[error("none of the fonts {} is there", FONTS.join(", "))]
    NoFont,
    /// The font cannot be read.
    #[error("the font {path}")]
    Font {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// What an error means and what to do about it, in both languages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Advice {
    /// The cause.
    pub cause: Text,
    /// The next step.
    pub next: Text,
}

impl Advice {
    pub(crate) fn new(cause: (&str, &str), next: (&str, &str)) -> Self {
        let text = |(zh, en): (&str, &str)| Text {
            zh: zh.to_owned(),
            en: en.to_owned(),
        };
        Self {
            cause: text(cause),
            next: text(next),
        }
    }
}

impl ToolsError {
    /// Cause and next step.
    #[must_use]
    pub fn advice(&self) -> Advice {
        match self {
            Self::NoFfmpeg | Self::Runs { .. } => Advice::new(
                (
                    "本机没有可用的 ffmpeg;它不随产品分发",
                    "There is no usable ffmpeg on this machine; it does not come with the product",
                ),
                (
                    "安装 ffmpeg 5.1 或更新版本(Debian:apt-get install ffmpeg)后重试",
                    "Install ffmpeg 5.1 or newer (Debian: apt-get install ffmpeg) and try again",
                ),
            ),
            Self::Lacks { .. } => Advice::new(
                (
                    "此 ffmpeg 缺少所需的编码器或滤镜",
                    "This ffmpeg lacks an encoder or a filter that is needed",
                ),
                (
                    "安装含 libx264 与 libfreetype 的 ffmpeg(Debian 软件包 ffmpeg 即是),并使其在 PATH 中居先",
                    "Install an ffmpeg with libx264 and libfreetype (Debian's package ffmpeg is one) and put it first in PATH",
                ),
            ),
            Self::NoFont | Self::Font { .. } => Advice::new(
                (
                    "没有可用的中文字体,画面上的文字无法烧录",
                    "There is no usable font with Chinese characters to burn words in with",
                ),
                (
                    "安装中文字体(Debian:apt-get install fonts-noto-cjk),或用 --font 指定字体文件",
                    "Install one (Debian: apt-get install fonts-noto-cjk), or name a font file with --font",
                ),
            ),
        }
    }
}

/// What was found.
#[derive(Debug, Clone)]
pub struct Tools {
    pub(crate) ffmpeg: PathBuf,
    pub(crate) program: Program,
    pub(crate) font: Vec<u8>,
    pub(crate) font_name: Font,
}

impl Tools {
    /// Looks for ffmpeg in `path`, a list of directories as the environment's `PATH`, and for `font`, or one of
    /// [`FONTS`]; asks ffmpeg for all that is needed.
    pub fn find(path: &OsStr, font: Option<&Path>) -> Result<Self, ToolsError> {
        let places = std::env::split_paths(path).filter(|dir| dir.is_absolute());
        let mut programs = places.map(|dir| dir.join("ffmpeg"));
        let ffmpeg = programs.find(|file| file.is_file());
        let ffmpeg = ffmpeg.ok_or(ToolsError::NoFfmpeg)?;
        let program = ask(&ffmpeg)?;
        let known = || FONTS.iter().map(PathBuf::from).find(|file| file.is_file());
        let font_file = font.map(Path::to_path_buf).or_else(known);
        let font_file = font_file.ok_or(ToolsError::NoFont)?;
        let font = read_font(&font_file).map_err(|source| ToolsError::Font {
            path: font_file.clone(),
            source,
        })?;
        let name = font_file.file_name().unwrap_or_default();
        let font_name = Font {
            name: name.to_string_lossy().into_owned(),
            sm3: Hex(sm3::hash(&font).to_vec()),
        };
        Ok(Self {
            ffmpeg,
            program,
            font,
            font_name,
        })
    }

    /// The line by which ffmpeg names its version.
    #[must_use]
    pub fn ffmpeg_version(&self) -> &str {
        &self.program.version
    }
}

fn read_font(path: &Path) -> io::Result<Vec<u8>> {
    if fs::metadata(path)?.len() > FONT_BYTES_MAX {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    let font = fs::read(path)?;
    let starts: [&[u8]; 4] = [b"OTTO", b"ttcf", b"true", &[0, 1, 0, 0]];
    if starts.iter().any(|start| font.starts_with(start)) {
        Ok(font)
    } else {
        Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "is no OpenType font",
        ))
    }
}

fn ask(ffmpeg: &Path) -> Result<Program, ToolsError> {
    let shown = |list: &str| {
        let output = Command::new(ffmpeg)
            .args(["-hide_banner", list])
            .env_clear()
            .stdin(Stdio::null())
            .output();
        let output = output.map_err(|source| ToolsError::Runs {
            path: ffmpeg.to_path_buf(),
            source,
        })?;
        Ok::<_, ToolsError>(String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let about = shown("-version")?;
    let (version, configuration) = about.split_once('\n').unwrap_or((&about, ""));
    let mut lacking = Vec::new();
    let mut lists: Vec<(&str, String)> = Vec::new();
    for (list, name) in NEEDED {
        if !lists.iter().any(|(known, _)| *known == list) {
            lists.push((list, shown(list)?));
        }
        let has = lists.iter().filter(|(known, _)| *known == list);
        // Flags, name, description: the name is the second word of its line.
        let mut lines = has.flat_map(|(_, text)| text.lines());
        if !lines.any(|line| line.split_whitespace().nth(1) == Some(name)) {
            lacking.push(name.to_owned());
        }
    }
    if !lacking.is_empty() {
        return Err(ToolsError::Lacks {
            path: ffmpeg.to_path_buf(),
            lacking,
            list: version.to_owned(),
        });
    }
    Ok(Program {
        version: version.trim().to_owned(),
        configuration: Hex(sm3::hash(configuration.as_bytes()).to_vec()),
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn what_is_missing_is_said_before_the_work() {
        let dir = tempfile::tempdir().unwrap();
        let find = |font| Tools::find(dir.path().as_os_str(), font);
        assert!(matches!(find(None), Err(ToolsError::NoFfmpeg)));
        // One that can do nothing but say its name.
        let file = dir.path().join("ffmpeg");
        fs::write(&file, "#!/bin/sh\necho ffmpeg version 0\n").unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
        let error = find(None).unwrap_err();
        let text = error.to_string();
        assert!(
            text.contains("libx264") && text.contains("drawtext"),
            "{text}"
        );
        assert!(error.advice().next.zh.contains("libx264"));
        // One that can do all, but there is no font.
        let mut able = "#!/bin/sh\n".to_owned();
        for (_, name) in NEEDED {
            able += &format!("echo V.. {name} x\n");
        }
        fs::write(&file, able).unwrap();
        let font = dir.path().join("font");
        assert!(matches!(find(Some(&font)), Err(ToolsError::Font { .. })));
        fs::write(&font, "no font").unwrap();
        let error = find(Some(&font)).unwrap_err();
        assert!(matches!(error, ToolsError::Font { .. }));
        assert!(error.advice().next.en.contains("fonts-noto-cjk"));
        fs::write(&font, "OTTO…").unwrap();
        assert!(find(Some(&font)).is_ok());
    }
}
