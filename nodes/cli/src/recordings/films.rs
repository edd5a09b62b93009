//! `recordings film …`: composites that the cluster makes in the background.

use std::{
    io::{IsTerminal as _, Write as _},
    path::{Path, PathBuf},
    time::Duration,
};

use clap::{Args, Subcommand};
use futures::StreamExt as _;
use guitai_evidence::composite::description_path;
use guitai_types::{
    Code, SessionId,
    film::{FilmLayout, FilmMaker, FilmStage, FilmView},
    record::Duty,
};
use reqwest::Method;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::VIEWERS as ASKERS;
use crate::{
    Asked, Done, Language,
    composite::Panes,
    evidence::in_query,
    failure::{FAILED, Failure},
    http::Door,
    show, staff,
    table::Table,
};

/// Who may have one.
const VIEWERS: &[Duty] = &[Duty::Operator, Duty::Auditor];
/// How often it is asked how far a film is.
const LOOK: Duration = Duration::from_secs(1);
/// Largest film in bytes that is downloaded: twelve hours.
const FILM_BYTES_MAX: u64 = 16 * 1024 * 1024 * 1024;
/// Largest description.
const DESCRIPTION_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// `recordings film …`
#[derive(Debug, Subcommand)]
pub enum Film {
    /// 请集群制作合成录像;后台进行,同样的不重复制作 / Have the cluster make a composite in the background; the same one is not made twice
    Make(Make),
    /// 合成录像一览:进度、何处、留到何时 / Films: how far each is, where it is, until when
    List(List),
    /// 下载合成录像及其说明;原因记入透明日志 / Download a film and its description; the reason goes into the transparency log
    Get(Get),
    /// 取消未完成的,或移除已完成的;可再请制作 / Cancel one that is not finished, or remove one that is; it can be made again
    Cancel(Cancel),
}

impl Film {
    pub(super) fn asked(&self) -> &Asked {
        match self {
            Self::Make(it) => &it.asked,
            Self::List(it) => &it.asked,
            Self::Get(it) => &it.asked,
            Self::Cancel(it) => &it.asked,
        }
    }
}

/// Arguments of `recordings film make`.
#[derive(Debug, Args)]
pub struct Make {
    /// 会话 / Session
    pub session: SessionId,
    /// 画面布局 / How the panes are arranged
    #[arg(long, value_enum, default_value_t = Panes::SideBySide)]
    pub layout: Panes,
    /// 水印文字,至多 60 字;省略则为业务编号 / Text burnt in, at most 60 characters; the number of the business without it
    #[arg(long, value_name = "TEXT")]
    pub watermark: Option<String>,
    /// 用途,可省略 / What for; may be left out
    #[arg(long, default_value = "")]
    pub reason: String,
    /// 等到完成,显示进度 / Wait until it is done, and show how far it is
    #[arg(long)]
    pub wait: bool,
    /// Which cluster, as whom, and how to show it.
    #[command(flatten)]
    pub asked: Asked,
}

/// Arguments of `recordings film list`.
#[derive(Debug, Args)]
pub struct List {
    /// 会话;省略则全部 / Session; all of them without it
    pub session: Option<SessionId>,
    /// Which cluster, as whom, and how to show it.
    #[command(flatten)]
    pub asked: Asked,
}

/// Arguments of `recordings film get`.
#[derive(Debug, Args)]
pub struct Get {
    /// 编号 / Number
    pub film: u32,
    /// 写成此文件(.mp4,必须尚不存在);说明写在旁边的 .composite.json / The film (.mp4, must not be there yet); its description goes beside it as .composite.json
    #[arg(long, value_name = "FILM.mp4")]
    pub out: PathBuf,
    /// 原因,记入透明日志 / Why; it goes into the transparency log
    #[arg(long)]
    pub reason: String,
    /// Which cluster, as whom, and how to show it.
    #[command(flatten)]
    pub asked: Asked,
}

/// Arguments of `recordings film cancel`.
#[derive(Debug, Args)]
pub struct Cancel {
    /// 编号 / Number
    pub film: u32,
    /// Which cluster, as whom, and how to show it.
    #[command(flatten)]
    pub asked: Asked,
}

/// What the door lists.
#[derive(Debug, Serialize, Deserialize)]
struct Listed {
    films: Vec<FilmView>,
    makers: Vec<FilmMaker>,
}

pub(super) async fn answer(command: &Film, lang: Language) -> Result<Done, Failure> {
    match command {
        Film::Make(it) => make(it, lang).await,
        Film::List(it) => list(it, lang).await,
        Film::Get(it) => get(it, lang).await,
        Film::Cancel(it) => cancel(it, lang).await,
    }
}

async fn make(it: &Make, lang: Language) -> Result<Done, Failure> {
    let door = staff::enter(&it.asked.access, ASKERS).await?;
    let path = format!("/api/v1/recordings/{}/films", it.session);
    let layout = match it.layout {
        Panes::SideBySide => FilmLayout::SideBySide,
        Panes::PictureInPicture => FilmLayout::PictureInPicture,
    };
    let mut body = json!({ "layout": layout, "reason": it.reason });
    if let (Some(text), Some(fields)) = (&it.watermark, body.as_object_mut()) {
        fields.insert("watermark".to_owned(), json!(text));
    }
    let mut view: FilmView = door.send(Method::POST, &path, &body).await?;
    if it.wait {
        view = wait(&door, view, lang).await?;
    }
    let is_lost = matches!(
        view.film.stage,
        FilmStage::Failed { .. } | FilmStage::Cancelled { .. }
    );
    let text = if it.asked.output.json {
        show::json(&view)?
    } else {
        table(std::slice::from_ref(&view), lang).render() + &next(&view, lang)
    };
    let exit = if is_lost { FAILED } else { 0 };
    Ok(Done { text, exit })
}

/// Asks until it is finished.
async fn wait(door: &Door, mut view: FilmView, lang: Language) -> Result<FilmView, Failure> {
    let mut to = std::io::stderr();
    let is_seen = to.is_terminal();
    while view.film.is_open() {
        tokio::time::sleep(LOOK).await;
        view = door
            .get(&format!("/api/v1/films/{}", view.film.number))
            .await?;
        if is_seen {
            // A terminal that is gone has nobody to tell.
            let _told = write!(to, "\r{:<60}", stage(&view, lang));
            let _flushed = to.flush();
        }
    }
    if is_seen {
        let _told = writeln!(to);
    }
    Ok(view)
}

async fn list(it: &List, lang: Language) -> Result<Done, Failure> {
    let door = staff::enter(&it.asked.access, ASKERS).await?;
    let path = match &it.session {
        Some(session) => format!("/api/v1/recordings/{session}/films"),
        None => "/api/v1/films".to_owned(),
    };
    let listed: Listed = door.get(&path).await?;
    let text = if it.asked.output.json {
        show::json(&listed)?
    } else {
        table(&listed.films, lang).render() + &idle(&listed.makers, lang)
    };
    Ok(Done { text, exit: 0 })
}

/// Says so where no node can make films.
fn idle(makers: &[FilmMaker], lang: Language) -> String {
    if makers.iter().any(|maker| maker.ffmpeg.is_some()) {
        return String::new();
    }
    let lack = |maker: &FilmMaker| {
        let lacks = maker.lacks.as_deref().unwrap_or("-");
        format!("\n  {}: {lacks}", maker.node)
    };
    let lacking: String = makers.iter().map(lack).collect();
    let (_, next) = (Code::NoFilmMaker.cause(), Code::NoFilmMaker.next());
    format!(
        "\n{}{lacking}\n{}\n",
        lang.pick("目前没有节点能制作合成录像", "No node can make films now"),
        lang.pick(next.0, next.1),
    )
}

async fn get(it: &Get, lang: Language) -> Result<Done, Failure> {
    if it.out.extension().is_none_or(|name| name != "mp4") {
        return Err(Failure::usage(
            format!("{} does not end in .mp4", it.out.display()),
            "--out 的文件名须以 .mp4 结尾",
            "Give --out a name that ends in .mp4",
        ));
    }
    if it.out.exists() {
        return Err(Failure::usage(
            format!("{} is there already", it.out.display()),
            "换一个 --out,或先移走该文件",
            "Choose another --out, or move the file away",
        ));
    }
    let door = staff::enter(&it.asked.access, VIEWERS).await?;
    let number = it.film;
    let view: FilmView = door.get(&format!("/api/v1/films/{number}")).await?;
    let description = description_path(&it.out);
    let reason = in_query(&it.reason);
    // The description first: a film is never without one.
    let path = format!("/api/v1/films/{number}/description");
    keep(&door, &path, &description, DESCRIPTION_BYTES_MAX).await?;
    let path = format!("/api/v1/films/{number}/file?reason={reason}");
    let kept = keep(&door, &path, &it.out, FILM_BYTES_MAX).await;
    if kept.is_err() {
        // A description without its film is of no use; that it stays is none the worse.
        drop(std::fs::remove_file(&description));
    }
    let bytes = kept?;
    let recorder = match &view.film.stage {
        FilmStage::Done { made, .. } => Some(made.recorder.clone()),
        _ => None,
    };
    if it.asked.output.json {
        let text = show::json(&json!({
            "film": number, "session": view.film.session, "out": it.out,
            "description": description, "bytes": bytes, "recorder": recorder,
        }))?;
        return Ok(Done { text, exit: 0 });
    }
    let (out, session) = (it.out.display(), &view.film.session);
    let recorder = recorder.map_or_else(|| "-".to_owned(), |it| it.to_string());
    let text = match lang {
        Language::Zh => format!(
            "合成录像已写入 {out}({bytes} 字节),说明 {}\n校验:guitai evidence export {session} --recorder {recorder} --out call.vcep --reason \"…\"\n     guitai evidence composite verify call.vcep {out}\n",
            description.display()
        ),
        Language::En => format!(
            "film written to {out} ({bytes} bytes), description {}\ncheck it: guitai evidence export {session} --recorder {recorder} --out call.vcep --reason \"…\"\n          guitai evidence composite verify call.vcep {out}\n",
            description.display()
        ),
    };
    Ok(Done { text, exit: 0 })
}

/// Downloads into a file, which has its name only when it is whole and synced; gives its bytes.
async fn keep(door: &Door, path: &str, out: &Path, bytes_max: u64) -> Result<u64, Failure> {
    let doing = format!("writing {}", out.display());
    let local = |error: &std::io::Error| Failure::local(&doing, error);
    let dir = out.parent().filter(|dir| !dir.as_os_str().is_empty());
    let file = tempfile::NamedTempFile::new_in(dir.unwrap_or_else(|| Path::new(".")));
    let mut file = file.map_err(|error| local(&error))?;
    let mut pieces = door.download(path).await?;
    let mut bytes = 0;
    while let Some(piece) = pieces.next().await {
        let piece = piece?;
        bytes += piece.len() as u64;
        if bytes > bytes_max {
            let limit = format!("{path}: more than {bytes_max} bytes");
            return Err(Failure::new(Code::TooLarge, limit));
        }
        file.write_all(&piece).map_err(|error| local(&error))?;
    }
    file.as_file().sync_all().map_err(|error| local(&error))?;
    let persisted = file.persist_noclobber(out);
    persisted.map_err(|error| local(&error.error))?;
    Ok(bytes)
}

async fn cancel(it: &Cancel, lang: Language) -> Result<Done, Failure> {
    let door = staff::enter(&it.asked.access, ASKERS).await?;
    door.delete(&format!("/api/v1/films/{}", it.film)).await?;
    let text = if it.asked.output.json {
        show::json(&json!({ "film": it.film, "cancelled": true }))?
    } else {
        let word = lang.pick("已取消或移除", "cancelled, or removed");
        format!("{} {word}\n", it.film)
    };
    Ok(Done { text, exit: 0 })
}

fn table(films: &[FilmView], lang: Language) -> Table {
    let mut table = Table::new(match lang {
        Language::Zh => [
            "编号",
            "会话",
            "布局",
            "水印",
            "申请人",
            "申请于",
            "状态",
            "留至",
        ],
        Language::En => [
            "film",
            "session",
            "layout",
            "watermark",
            "asked by",
            "asked at",
            "state",
            "until",
        ],
    });
    for view in films {
        let film = &view.film;
        table.row([
            film.number.to_string(),
            film.session.to_string(),
            match film.layout {
                FilmLayout::SideBySide => lang.pick("并排", "side by side"),
                FilmLayout::PictureInPicture => lang.pick("画中画", "picture in picture"),
            }
            .to_owned(),
            film.watermark.clone().unwrap_or_else(|| "-".to_owned()),
            film.by.name.to_string(),
            show::when(film.at.0),
            stage(view, lang),
            view.until
                .map_or_else(|| "-".to_owned(), |at| show::when(at.0)),
        ]);
    }
    table
}

/// Where a film stands, in words.
fn stage(view: &FilmView, lang: Language) -> String {
    match &view.film.stage {
        FilmStage::Waiting { .. } => match lang {
            Language::Zh => format!("排队中,前面 {} 个", view.ahead),
            Language::En => format!("waiting, {} before it", view.ahead),
        },
        FilmStage::Making { node, done, of, .. } => {
            let percent = if *of == 0 { 0 } else { done * 100 / of };
            match lang {
                Language::Zh => format!("{node} 制作中 {done}/{of}({percent}%)"),
                Language::En => format!("{node} makes it, {done}/{of} ({percent} %)"),
            }
        }
        FilmStage::Done { node, made, .. } => match lang {
            Language::Zh => format!("完成,在 {node},{} 字节", made.bytes),
            Language::En => format!("done, on {node}, {} bytes", made.bytes),
        },
        FilmStage::Failed { why, .. } => format!("{}: {why}", lang.pick("失败", "failed")),
        FilmStage::Cancelled { by, .. } => {
            format!("{} {}", lang.pick("已取消,由", "cancelled by"), by.name)
        }
    }
}

/// What to do next.
fn next(view: &FilmView, lang: Language) -> String {
    let number = view.film.number;
    let is_done = matches!(view.film.stage, FilmStage::Done { .. });
    match (is_done, view.film.is_open(), lang) {
        (true, _, Language::Zh) => {
            format!("下载:guitai recordings film get {number} --out film.mp4 --reason \"…\"\n")
        }
        (true, _, Language::En) => {
            format!(
                "download it: guitai recordings film get {number} --out film.mp4 --reason \"…\"\n"
            )
        }
        (_, true, Language::Zh) => "进度:guitai recordings film list\n".to_owned(),
        (_, true, Language::En) => "see how far it is: guitai recordings film list\n".to_owned(),
        _ => String::new(),
    }
}
