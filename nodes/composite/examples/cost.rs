//! What a composite costs, beside the peer: a plain ffmpeg that puts the same two tracks side by side with a line
//! of text. Both in one run, one after the other.
//!
//! ```text
//! cargo run --release -p guitai-composite --example cost -- [--seconds N] [--keep DIR]
//! ```
//!
//! Processor seconds are those of the children that were waited for, from `/proc/self/stat` (fields 16 and 17),
//! and of this process itself. With `--keep` the package and both films stay in DIR.

#[path = "../tests/world/mod.rs"]
#[expect(dead_code, reason = "what only the tests need")]
mod world;

use std::{
    error::Error,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use guitai_composite::{Layout, Request, Settings, Stop, Tools, make};
use guitai_evidence::Options;
use world::{Call, Sends};

/// Clock ticks a second in `/proc` (`sysconf(_SC_CLK_TCK)` of Linux on every processor we run on).
const TICKS: f64 = 100.0;

fn main() -> Result<(), Box<dyn Error>> {
    let (mut seconds, mut keep) = (120, None);
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        match (word.as_str(), words.next()) {
            ("--seconds", Some(number)) => seconds = number.parse()?,
            ("--keep", Some(dir)) => keep = Some(PathBuf::from(dir)),
            _ => return Err("cost [--seconds N] [--keep DIR]".into()),
        }
    }
    let scratch = tempfile::tempdir()?;
    let dir = keep.unwrap_or_else(|| scratch.path().to_path_buf());
    fs::create_dir_all(&dir)?;
    let package = dir.join("package");
    if !package.exists() {
        world::package(&call(seconds), &package);
    }
    let tools = Tools::find(&std::env::var_os("PATH").unwrap_or_default(), None)?;
    println!("{}", tools.ffmpeg_version());
    println!(
        "load average {}",
        fs::read_to_string("/proc/loadavg")?.trim()
    );
    let settings = Settings::new(Layout::SideBySide, "640x360".parse()?, 15, None)?;
    let out = dir.join("film.mp4");
    let before = spent()?;
    let options = Options::default();
    make(
        &Request {
            package: &package,
            out: &out,
            settings: &settings,
            options: &options,
            tools: &tools,
            stop: &Stop::default(),
        },
        &mut |_| (),
    )?;
    let ours = spent()? - before;
    let before = spent()?;
    let theirs = peer(&package, &dir)?;
    let plain = spent()? - before;
    println!(
        "load average {}",
        fs::read_to_string("/proc/loadavg")?.trim()
    );
    let length = seconds as f64;
    println!("| what | CPU s | CPU s per call second | bytes |");
    println!("| --- | ---: | ---: | ---: |");
    for (what, cpu, film) in [
        ("ours", ours, &out),
        ("ffmpeg hstack,drawtext", plain, &theirs),
    ] {
        let bytes = fs::metadata(film)?.len();
        println!("| {what} | {cpu:.1} | {:.3} | {bytes} |", cpu / length);
    }
    println!("ratio {:.2}", ours / plain);
    Ok(())
}

/// Two people who move all the time: test pictures of 640×360 at 30 frames a second, and two tones.
fn call(seconds: u64) -> Call {
    let sends = |party, tone| Sends {
        party,
        from_ms: 0,
        to_ms: seconds * 1_000,
        picture: Some(("testsrc2", 640, 360)),
        tone: Some(tone),
        lost: Vec::new(),
    };
    Call {
        session: "5e55",
        institution: "柜台银行".to_owned(),
        customer: "王先生".to_owned(),
        agent: "李柜员".to_owned(),
        length_ms: seconds * 1_000,
        sends: vec![sends("agent", 440), sends("customer", 1_500)],
        gaps: Vec::new(),
    }
}

/// The film of somebody who has the tracks as files and wants one picture of them.
fn peer(package: &Path, dir: &Path) -> Result<PathBuf, Box<dyn Error>> {
    let out = dir.join("peer.mp4");
    let tracks: Vec<PathBuf> = (1..=4)
        .map(|track| joined(package, track, dir))
        .collect::<Result<_, _>>()?;
    let font = guitai_composite::FONTS
        .iter()
        .find(|it| Path::new(it).is_file());
    let font = font.ok_or("no font")?;
    let graph = format!(
        "[0:v]fps=15,scale=320:180[l];[2:v]fps=15,scale=320:180[r];\
         [l][r]hstack,pad=640:360:0:90,drawtext=fontfile={font}:text=5e55:fontsize=14:fontcolor=white:x=8:y=4[v];\
         [1:a][3:a]join=inputs=2:channel_layout=stereo[a]"
    );
    let mut ffmpeg = Command::new("ffmpeg");
    ffmpeg.args(["-v", "error", "-nostdin", "-y"]);
    for track in &tracks {
        ffmpeg.arg("-i").arg(track);
    }
    let ran = ffmpeg
        .args(["-filter_complex", &graph, "-map", "[v]", "-map", "[a]"])
        .args([
            "-c:v", "libx264", "-preset", "veryfast", "-crf", "25", "-c:a", "aac", "-b:a", "64k",
        ])
        .arg(&out)
        .status()?;
    if !ran.success() {
        return Err("the peer failed".into());
    }
    Ok(out)
}

/// A track as one file that plays.
fn joined(package: &Path, track: u32, out: &Path) -> Result<PathBuf, std::io::Error> {
    let dir = package.join(format!("tracks/{track}"));
    let mut content = fs::read(dir.join("init.mp4"))?;
    for number in 1.. {
        match fs::read(dir.join(format!("{number:06}.m4s"))) {
            Ok(segment) => content.extend(segment),
            Err(_) => break,
        }
    }
    let path = out.join(format!("track-{track}.mp4"));
    fs::write(&path, content)?;
    Ok(path)
}

/// Processor seconds of this process and of its children that ended.
fn spent() -> Result<f64, Box<dyn Error>> {
    let stat = fs::read_to_string("/proc/self/stat")?;
    let after_name = stat.rsplit_once(')').ok_or("stat")?.1;
    let fields: Vec<&str> = after_name.split_whitespace().collect();
    // From field 3 on: 14 to 17 are at 11 to 14.
    let mut ticks = 0;
    for field in fields.get(11..15).ok_or("stat")? {
        ticks += field.parse::<u64>()?;
    }
    Ok(ticks as f64 / TICKS)
}
