//! `evidence composite make` and `evidence composite verify`.

use std::{io::Write as _, path::PathBuf, time::Duration};

use clap::{Args, Subcommand, ValueEnum};
use guitai_composite::{
    self as composite, Advice, Failing, Layout, Made, MakeError, Outcome, Progress, Request,
    Settings, Size, Stop, Tools,
};
use guitai_host::{Clock as _, SystemClock};
use guitai_types::{Code, Problem};
use serde_json::json;

use crate::{
    Done, Language, Output, evidence,
    failure::{Failure, NOT_VERIFIED, chain},
    show,
    table::Table,
};

/// `evidence composite …`
#[derive(Debug, Subcommand)]
pub enum Composite {
    /// 由证据包制作合成录像;被中断后再次运行即续作 / Make the composite of a package; run again after an interruption, it goes on
    Make(Make),
    /// 离线校验合成录像:出自此证据包、一字节不差 / Check a composite offline: of this package, and every byte
    Verify(Check),
}

impl Composite {
    pub(crate) fn output(&self) -> &Output {
        match self {
            Self::Make(it) => &it.output,
            Self::Verify(it) => &it.output,
        }
    }
}

/// Arguments of `evidence composite make`.
#[derive(Debug, Args)]
pub struct Make {
    /// 证据包:目录或 .vcep 文件 / The package: a directory or a .vcep file
    pub package: PathBuf,
    /// 写成此文件(.mp4,必须尚不存在);说明写在旁边的 .composite.json / The film (.mp4, must not be there yet); its description goes beside it as .composite.json
    #[arg(long, value_name = "FILM.mp4")]
    pub out: PathBuf,
    /// 画面布局 / How the panes are arranged
    #[arg(long, value_enum, default_value_t = Panes::SideBySide)]
    pub layout: Panes,
    /// 水印文字,至多 60 字,烧录在机构与会话编号之外 / Text burnt in beside institution and session, at most 60 characters
    #[arg(long, value_name = "TEXT")]
    pub watermark: Option<String>,
    /// 画面大小,偶数,320x180 至 1920x1080 / Size of the picture, even, from 320x180 to 1920x1080
    #[arg(long, default_value = "640x360", value_name = "WxH")]
    pub size: Size,
    /// 每秒帧数,1 至 30 / Frames a second, 1 to 30
    #[arg(long, default_value_t = 15)]
    pub fps: u32,
    /// 中文字体文件;不给则在常见位置查找 / Font file with Chinese characters; without it the usual places are searched
    #[arg(long, value_name = "FILE")]
    pub font: Option<PathBuf>,
    /// 信任的根证书(PEM) / Root certificate to trust (PEM)
    #[arg(long)]
    pub root: Option<PathBuf>,
    /// How to show it.
    #[command(flatten)]
    pub output: Output,
}

/// Arguments of `evidence composite verify`.
#[derive(Debug, Args)]
pub struct Check {
    /// 证据包:目录或 .vcep 文件 / The package: a directory or a .vcep file
    pub package: PathBuf,
    /// 合成录像;说明在其旁边 / The film; its description is beside it
    pub film: PathBuf,
    /// 重新制作一遍并逐字节比较 / Make it once more and compare byte for byte
    #[arg(long)]
    pub again: bool,
    /// 重新制作所用的字体文件 / Font file to make it again with
    #[arg(long, value_name = "FILE", requires = "again")]
    pub font: Option<PathBuf>,
    /// 信任的根证书(PEM) / Root certificate to trust (PEM)
    #[arg(long)]
    pub root: Option<PathBuf>,
    /// How to show it.
    #[command(flatten)]
    pub output: Output,
}

/// How the panes are arranged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Panes {
    /// 坐席在左、客户在右 / Agent left, customer right
    SideBySide,
    /// 客户为主、坐席为小窗 / The customer large, the agent small
    PictureInPicture,
}

pub(crate) async fn answer(command: Composite, lang: Language) -> Result<Done, Failure> {
    // ffmpeg is waited for, in a thread where one may wait.
    let work = tokio::task::spawn_blocking(move || match command {
        Composite::Make(arguments) => make(&arguments, lang),
        Composite::Verify(arguments) => check(&arguments, lang),
    });
    let done = work.await;
    done.unwrap_or_else(|error| Err(Failure::local("making the composite", &error)))
}

fn make(arguments: &Make, lang: Language) -> Result<Done, Failure> {
    there(&arguments.package)?;
    if arguments.out.extension().is_none_or(|it| it != "mp4") {
        return Err(Failure::usage(
            format!("{} does not end in .mp4", arguments.out.display()),
            "--out 的文件名须以 .mp4 结尾",
            "Give --out a name that ends in .mp4",
        ));
    }
    let layout = match arguments.layout {
        Panes::SideBySide => Layout::SideBySide,
        Panes::PictureInPicture => Layout::PictureInPicture,
    };
    let watermark = arguments.watermark.clone();
    let settings = Settings::new(layout, arguments.size, arguments.fps, watermark);
    let settings = settings.map_err(|error| {
        let next = ("按细节修改参数", "Change the arguments as the detail says");
        Failure::usage(error.to_string(), next.0, next.1)
    })?;
    let options = evidence::options(arguments.root.as_deref(), None)?;
    let tools = find(arguments.font.as_deref())?;
    let request = Request {
        package: &arguments.package,
        out: &arguments.out,
        settings: &settings,
        options: &options,
        tools: &tools,
        stop: &Stop::default(),
    };
    let mut meter = Meter::new(arguments.output.json, lang);
    let made = composite::make(&request, &mut |step| meter.show(step));
    meter.end();
    let made = made.map_err(|error| refused(&error))?;
    let text = if arguments.output.json {
        show::json(&json!({
            "film": made.film,
            "description": made.description,
            "bytes": made.stated.film.bytes,
            "sm3": made.stated.film.sm3,
            "pieces": made.stated.chunks.len(),
            "kept": made.kept,
        }))?
    } else {
        words(&made, lang)
    };
    Ok(Done { text, exit: 0 })
}

fn words(made: &Made, lang: Language) -> String {
    let (film, description) = (made.film.display(), made.description.display());
    let (bytes, sm3) = (made.stated.film.bytes, &made.stated.film.sm3);
    match lang {
        Language::Zh => format!(
            "合成录像已写入 {film}({bytes} 字节)\n说明 {description}\nSM3 {sm3}\n用 guitai evidence composite verify 校验\n"
        ),
        Language::En => format!(
            "composite written to {film} ({bytes} bytes)\ndescription {description}\nSM3 {sm3}\ncheck it with guitai evidence composite verify\n"
        ),
    }
}

fn check(arguments: &Check, lang: Language) -> Result<Done, Failure> {
    there(&arguments.package)?;
    if !arguments.film.is_file() {
        return Err(Failure::usage(
            format!("{} is no file", arguments.film.display()),
            "给出合成录像文件",
            "Name the film",
        ));
    }
    let options = evidence::options(arguments.root.as_deref(), None)?;
    let tools = arguments
        .again
        .then(|| find(arguments.font.as_deref()))
        .transpose()?;
    let mut meter = Meter::new(arguments.output.json, lang);
    let (package, film) = (&arguments.package, &arguments.film);
    let outcome = composite::verify(package, film, &options, tools.as_ref(), &mut |step| {
        meter.show(step);
    });
    meter.end();
    let text = if arguments.output.json {
        show::json(&outcome)?
    } else {
        findings(&outcome, lang)
    };
    Ok(Done {
        text,
        exit: if outcome.ok { 0 } else { NOT_VERIFIED },
    })
}

fn findings(outcome: &Outcome, lang: Language) -> String {
    let mut table = Table::new(match lang {
        Language::Zh => ["结果", "检查项", "细节"],
        Language::En => ["result", "check", "detail"],
    });
    for it in &outcome.findings {
        table.row([
            if it.ok {
                lang.pick("通过", "ok")
            } else {
                lang.pick("不符", "FAULT")
            }
            .to_owned(),
            lang.of(&it.what.text()).to_owned(),
            it.detail.clone(),
        ]);
    }
    let verdict = match outcome.ok {
        true => lang.pick("校验通过", "verified"),
        false => lang.pick("校验不通过", "NOT verified"),
    };
    format!("{}\n{verdict}\n", table.render())
}

fn there(package: &std::path::Path) -> Result<(), Failure> {
    if package.is_dir() || package.is_file() {
        return Ok(());
    }
    Err(Failure::usage(
        format!("{} is no directory and no file", package.display()),
        "给出证据包所在的目录,或 .vcep 文件",
        "Name the directory of the package, or its .vcep file",
    ))
}

fn find(font: Option<&std::path::Path>) -> Result<Tools, Failure> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    Tools::find(&path, font).map_err(|error| advised(Code::NotFound, &error, error.advice()))
}

fn refused(error: &MakeError) -> Failure {
    let code = match error.failing() {
        Failing::Evidence => Code::EvidenceBroken,
        Failing::Request => Code::BadRequest,
        Failing::Machine => Code::Internal,
    };
    let failure = advised(code, error, error.advice());
    match error.failing() {
        Failing::Evidence => Failure {
            exit: NOT_VERIFIED,
            ..failure
        },
        Failing::Request | Failing::Machine => failure,
    }
}

fn advised(code: Code, error: &dyn std::error::Error, advice: Advice) -> Failure {
    Failure {
        exit: crate::FAILED,
        problem: Problem::new(code, chain(error)),
        cause: Some(advice.cause),
        next: Some(advice.next),
    }
}

/// Shows on standard error how far it is.
struct Meter {
    json: bool,
    lang: Language,
    clock: SystemClock,
    /// Since the first piece that was not there already, and how many were.
    begun: Option<(Duration, u32)>,
    shown: bool,
}

impl Meter {
    fn new(json: bool, lang: Language) -> Self {
        Self {
            json,
            lang,
            clock: SystemClock::new(),
            begun: None,
            shown: false,
        }
    }

    fn show(&mut self, step: Progress) {
        let now = self.clock.monotonic();
        let left = self.left(step, now);
        let line = if self.json {
            format!("{}\n", event(step, left))
        } else {
            self.shown = true;
            format!("\r{}", self.line(step, left))
        };
        // Who closed standard error does not want to know.
        let mut out = std::io::stderr().lock();
        if out.write_all(line.as_bytes()).is_ok() {
            drop(out.flush());
        }
    }

    /// Seconds left, by the pieces that were made so far.
    fn left(&mut self, step: Progress, now: Duration) -> Option<u64> {
        match step {
            Progress::Verified { .. } => {
                self.begun = Some((now, 0));
                None
            }
            Progress::Piece {
                done, kept: true, ..
            } => {
                self.begun = Some((now, done));
                None
            }
            Progress::Piece { done, pieces, .. } => {
                let (since, before) = self.begun?;
                let made = done.checked_sub(before).filter(|made| *made > 0)?;
                let each = now.saturating_sub(since) / made;
                Some((each * pieces.saturating_sub(done)).as_secs())
            }
            Progress::Assembling => None,
        }
    }

    fn line(&self, step: Progress, left: Option<u64>) -> String {
        let lang = self.lang;
        let text = match step {
            Progress::Verified { pieces } => match lang {
                Language::Zh => format!("证据包校验通过;共 {pieces} 段"),
                Language::En => format!("the package verifies; {pieces} pieces"),
            },
            Progress::Piece { done, pieces, .. } => {
                let percent = 100 * u64::from(done) / u64::from(pieces.max(1));
                let left = left.map_or_else(|| "–".to_owned(), |left| left.to_string());
                match lang {
                    Language::Zh => format!("第 {done}/{pieces} 段,{percent}%,预计还需 {left} 秒"),
                    Language::En => {
                        format!("piece {done}/{pieces}, {percent}%, about {left} s left")
                    }
                }
            }
            Progress::Assembling => lang.pick("正在拼接", "putting it together").to_owned(),
        };
        format!("{text:<60}")
    }

    fn end(&mut self) {
        if std::mem::take(&mut self.shown) {
            eprintln!();
        }
    }
}

/// A step as one line of JSON.
fn event(step: Progress, left: Option<u64>) -> serde_json::Value {
    match step {
        Progress::Verified { pieces } => json!({ "event": "verified", "pieces": pieces }),
        Progress::Piece { done, pieces, kept } => {
            let percent = 100 * u64::from(done) / u64::from(pieces.max(1));
            let mut event = json!({
                "event": "piece", "done": done, "pieces": pieces, "percent": percent, "kept": kept,
            });
            if let (Some(left), Some(fields)) = (left, event.as_object_mut()) {
                fields.insert("left_s".to_owned(), left.into());
            }
            event
        }
        Progress::Assembling => json!({ "event": "assembling" }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_counts_what_was_made_and_not_what_was_there() {
        let mut meter = Meter::new(true, Language::En);
        let piece = |done, kept| Progress::Piece {
            done,
            pieces: 5,
            kept,
        };
        let s = Duration::from_secs;
        assert_eq!(meter.left(Progress::Verified { pieces: 5 }, s(10)), None);
        assert_eq!(meter.left(piece(1, true), s(10)), None);
        assert_eq!(meter.left(piece(2, false), s(14)), Some(12));
        assert_eq!(meter.left(piece(3, false), s(20)), Some(10));
        assert_eq!(
            meter.line(piece(3, false), Some(10)).trim_end(),
            "piece 3/5, 60%, about 10 s left"
        );
        assert_eq!(
            event(piece(2, true), None).to_string(),
            r#"{"done":2,"event":"piece","kept":true,"percent":40,"pieces":5}"#
        );
    }

    #[test]
    fn what_is_missing_reads_well() {
        let error = guitai_composite::ToolsError::NoFfmpeg;
        let failure = advised(Code::NotFound, &error, error.advice());
        assert_eq!(
            failure.to_words(Language::Zh),
            "错误 GT-0404: 本机没有可用的 ffmpeg;它不随产品分发\n  细节: no ffmpeg in PATH\n  \
             下一步: 安装 ffmpeg 5.1 或更新版本(Debian:apt-get install ffmpeg)后重试"
        );
    }

    #[test]
    fn findings_read_well() {
        let finding = guitai_composite::Finding {
            what: guitai_composite::What::Film,
            ok: false,
            detail: "the head is not what the description says".to_owned(),
        };
        let outcome = Outcome {
            ok: false,
            findings: vec![finding],
        };
        assert_eq!(
            findings(&outcome, Language::Zh),
            "结果  检查项            细节\n不符  录像每个字节相符  the head is not what the description says\n\n校验不通过\n"
        );
    }
}
