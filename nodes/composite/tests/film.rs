//! Real films of packages of real H.264 and Opus: looked at, listened to, made twice, killed, spoilt. Without
//! ffmpeg and a font they say that they skip.

mod world;

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use guitai_composite::{
    Description, Layout, Made, MakeError, Progress, Request, Settings, Stop, Tools, What,
    description_path, make, verify,
};
use guitai_evidence::{Options, Status, manifest::Media};
use world::{Call, Sends, gap, lacking};

fn tools() -> Tools {
    Tools::find(&std::env::var_os("PATH").unwrap(), None).unwrap()
}

fn settings(layout: Layout, watermark: &str) -> Settings {
    let size = "640x360".parse().unwrap();
    Settings::new(layout, size, 15, Some(watermark.to_owned())).unwrap()
}

fn sends(party: &'static str, from_ms: u64, to_ms: u64) -> Sends {
    Sends {
        party,
        from_ms,
        to_ms,
        picture: None,
        tone: None,
        lost: Vec::new(),
    }
}

/// 70 seconds, so that there are two pieces. The agent is red, the customer blue; the agent's picture has a hole
/// from 20 to 23 s, the customer joins after 2 s, turns from wide to tall at 40 s, and leaves at 65 s.
fn call() -> Call {
    let agent = Sends {
        picture: Some(("red", 640, 360)),
        tone: Some(440),
        lost: vec![20, 21, 22],
        ..sends("agent", 0, 70_000)
    };
    let wide = Sends {
        picture: Some(("blue", 640, 360)),
        tone: Some(1_500),
        ..sends("customer", 2_000, 40_000)
    };
    let tall = Sends {
        picture: Some(("blue", 240, 320)),
        tone: Some(1_500),
        ..sends("customer", 40_000, 65_000)
    };
    Call {
        session: "5e55",
        institution: "柜台银行':\\%{pts}[a];,%{localtime}".to_owned(),
        customer: "王'先生:\\n%{gmtime}".to_owned(),
        agent: "[agent]=;,' \\' %%".to_owned(),
        length_ms: 70_000,
        sends: vec![agent, wide, tall],
        gaps: Vec::new(),
    }
}

fn film(package: &Path, out: &Path, settings: &Settings) -> Result<Made, MakeError> {
    let (options, tools) = (Options::default(), tools());
    let request = Request {
        package,
        out,
        settings,
        options: &options,
        tools: &tools,
        stop: &Stop::default(),
    };
    make(&request, &mut |_| ())
}

/// Mean colour (red, green, blue) of a rectangle of a film at a time.
fn colour(film: &Path, at_s: f64, rectangle: &str) -> [u8; 3] {
    let ran = Command::new("ffmpeg")
        .args(["-v", "error", "-ss", &at_s.to_string(), "-i"])
        .arg(film)
        .args(["-frames:v", "1", "-vf"])
        .arg(format!(
            "crop={rectangle},scale=1:1:flags=area,format=rgb24"
        ))
        .args(["-f", "rawvideo", "-"])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&ran.stderr).into_owned();
    <[u8; 3]>::try_from(ran.stdout.as_slice()).unwrap_or_else(|_| panic!("{at_s}: {said}"))
}

fn is_red([r, g, b]: [u8; 3]) -> bool {
    r > 150 && g < 90 && b < 90
}

fn is_blue([r, g, b]: [u8; 3]) -> bool {
    b > 150 && r < 90 && g < 90
}

fn is_blank(colour: [u8; 3]) -> bool {
    colour.iter().all(|it| *it < 90)
}

/// The strongest of some frequencies in a channel (Goertzel), and how loud it is.
fn tone(film: &Path, channel: usize, at_s: u64) -> (u32, f64) {
    let ran = Command::new("ffmpeg")
        .args(["-v", "error", "-ss", &at_s.to_string(), "-t", "0.5", "-i"])
        .arg(film)
        .args(["-map", "0:a", "-f", "s16le", "-ar", "48000", "-"])
        .output()
        .unwrap();
    let samples: Vec<f64> = ran
        .stdout
        .chunks_exact(4)
        .map(|it| f64::from(i16::from_le_bytes([it[2 * channel], it[2 * channel + 1]])))
        .collect();
    assert!(
        samples.len() > 10_000,
        "{}",
        String::from_utf8_lossy(&ran.stderr)
    );
    let power = |hertz: u32| {
        let turn = 2.0 * (std::f64::consts::TAU * f64::from(hertz) / 48_000.0).cos();
        let (a, b) = samples
            .iter()
            .fold((0.0, 0.0), |(a, b), it| (it + turn * a - b, a));
        (a * a + b * b - turn * a * b).sqrt() / samples.len() as f64
    };
    let all = [440, 1_000, 1_500].map(|hertz| (hertz, power(hertz)));
    all.into_iter().max_by(|a, b| a.1.total_cmp(&b.1)).unwrap()
}

/// Left pane, where no words are: below the name and above the words in its middle.
const LEFT: &str = "200:30:60:108";
const RIGHT: &str = "200:30:380:108";
const MIDDLE_RIGHT: &str = "60:30:450:108";
/// Where the words of a blank pane are.
const LEFT_WORDS: &str = "120:40:100:155";

#[test]
fn a_film_shows_and_plays_what_the_package_has() {
    if let Some(lacking) = lacking() {
        eprintln!("SKIPPED: {lacking}");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let package = dir.path().join("package");
    world::package(&call(), &package);
    let out = dir.path().join("film.mp4");
    let settings = settings(Layout::SideBySide, "核验':\\%{n}[x];,\"");
    let made = film(&package, &out, &settings).unwrap();
    assert_eq!(made.stated.chunks.len(), 2);
    assert!(
        !dir.path().join("film.mp4.work").exists(),
        "nothing is left behind"
    );

    for (at, left, right) in [
        (1.0, "red", "blank"), // the customer has not joined
        (10.0, "red", "blue"),
        (19.8, "red", "blue"),
        (21.5, "blank", "blue"), // the hole
        (23.4, "red", "blue"),
        (50.0, "red", "tall"),
        (59.9, "red", ""),
        (60.2, "red", ""),      // the second piece
        (68.0, "red", "blank"), // the customer has left
    ] {
        for (pane, wanted) in [(LEFT, left), (RIGHT, right)] {
            let place = if wanted == "tall" { MIDDLE_RIGHT } else { pane };
            let colour = colour(&out, at, place);
            let fits = match wanted {
                "red" => is_red(colour),
                "blue" | "tall" => is_blue(colour),
                "blank" => is_blank(colour),
                _ => true,
            };
            assert!(fits, "{pane} at {at}: {colour:?} is not {wanted}");
        }
    }
    // Beside the tall picture there is nothing, where the wide one was.
    assert!(is_blank(colour(&out, 50.0, "16:30:326:108")));
    assert!(is_blue(colour(&out, 30.0, "16:30:326:108")));
    // The words are there where the picture is not.
    let [r, g, b] = colour(&out, 21.5, LEFT_WORDS);
    let [plain, ..] = colour(&out, 21.5, LEFT);
    assert!(
        r > plain + 10 && g > 30 && b > 30,
        "no words: {:?}",
        [r, g, b]
    );

    assert_eq!(tone(&out, 0, 10).0, 440);
    assert_eq!(tone(&out, 1, 10).0, 1_500);
    assert_eq!(tone(&out, 1, 50).0, 1_500);
    let quiet = tone(&out, 1, 0).1;
    assert!(
        quiet < 10.0,
        "the customer is heard before joining: {quiet}"
    );
    assert!(tone(&out, 1, 67).1 < 10.0, "and after leaving");

    // A player agrees about what is there.
    let probe = Command::new("ffprobe")
        .args(["-v", "error", "-count_frames", "-show_entries"])
        .args([
            "stream=codec_name,width,height,nb_read_frames,duration",
            "-of",
            "csv=p=0",
        ])
        .arg(&out)
        .output()
        .unwrap();
    let said = String::from_utf8(probe.stdout).unwrap();
    assert!(
        probe.stderr.is_empty(),
        "{}",
        String::from_utf8_lossy(&probe.stderr)
    );
    assert!(said.contains("h264,640,360,70.000000,1050"), "{said}");
    assert!(said.contains("aac,70.0"), "{said}");

    // Checked, and spoilt.
    let check =
        |tools: Option<&Tools>| verify(&package, &out, &Options::default(), tools, &mut |_| ());
    let tools = tools();
    let outcome = check(Some(&tools));
    assert!(outcome.ok, "{outcome:?}");
    assert_eq!(outcome.findings.len(), 6);
    assert_eq!(
        fs::read_dir(dir.path()).unwrap().count(),
        3,
        "package, film, description"
    );
    // With the package's own points, it is the twelfth.
    let options = Options {
        composite: Some(out.clone()),
        ..Options::default()
    };
    let report = guitai_evidence::verify(&package, &options);
    let last = report.checks.last().unwrap();
    assert!(report.ok && last.status == Status::Pass, "{report:?}");
    let good = fs::read(&out).unwrap();
    let stated = Description::parse(&fs::read(description_path(&out)).unwrap()).unwrap();
    let (head, first) = (stated.head.bytes, stated.chunks[0].picture.bytes);
    let sound = head + first + stated.chunks[0].sound.bytes / 2;
    for (at, named) in [
        (head / 2, "the head"),
        (head + first / 2, "the picture of piece 1"),
        (sound, "the sound of piece 1"),
        (good.len() as u64 - 1, "the sound of piece 2"),
    ] {
        let mut bad = good.clone();
        bad[at as usize] ^= 1;
        fs::write(&out, &bad).unwrap();
        let outcome = check(None);
        let finding = outcome
            .findings
            .iter()
            .find(|it| it.what == What::Film)
            .unwrap();
        assert!(!outcome.ok && finding.detail.contains(named), "{finding:?}");
    }
    for bad in [&good[..good.len() - 1], &[&good[..], b"x"].concat()] {
        fs::write(&out, bad).unwrap();
        assert!(!check(None).ok);
    }
    fs::write(&out, &good).unwrap();
    // A film of another call does not pass for one of this.
    let other = dir.path().join("other");
    let mut another = call();
    another.session = "5e56";
    another.sends.truncate(1);
    another.gaps = ["video", "audio"]
        .map(|it| {
            let media = if it == "video" {
                Media::Video
            } else {
                Media::Audio
            };
            gap("customer", media, 0, 70_000, "no-media")
        })
        .to_vec();
    world::package(&another, &other);
    let outcome = verify(&other, &out, &Options::default(), None, &mut |_| ());
    let finding = outcome
        .findings
        .iter()
        .find(|it| it.what == What::Ingredients);
    assert!(!outcome.ok && !finding.unwrap().ok, "{outcome:?}");
    // A package that does not verify is refused, and so is a film that is there.
    assert!(matches!(
        film(&package, &out, &settings),
        Err(MakeError::Exists(_))
    ));
    let segment = package.join("tracks/1/000003.m4s");
    let mut bytes = fs::read(&segment).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&segment, bytes).unwrap();
    let refused = film(&package, &dir.path().join("b.mp4"), &settings);
    assert!(
        matches!(refused, Err(MakeError::Package { .. })),
        "{refused:?}"
    );
    assert!(
        refused
            .unwrap_err()
            .to_string()
            .contains("tracks/1/000003.m4s")
    );
}

/// ffmpeg on a processor that has nothing newer than SSE2: a program in front of it that tells it so.
fn older_processor(dir: &Path) -> Tools {
    use std::os::unix::fs::PermissionsExt as _;
    let path = std::env::var_os("PATH").unwrap();
    let real = std::env::split_paths(&path).map(|dir| dir.join("ffmpeg"));
    let real = real.into_iter().find(|file| file.is_file()).unwrap();
    let script = format!(
        "#!/bin/bash\nexec {} -cpuflags sse2 \"${{@//force-cfr=1/force-cfr=1:asm=sse2}}\"\n",
        real.display()
    );
    let file = dir.join("ffmpeg");
    fs::write(&file, script).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
    Tools::find(dir.as_os_str(), None).unwrap()
}

#[test]
fn another_processor_gives_the_same_bytes() {
    if let Some(lacking) = lacking() {
        eprintln!("SKIPPED: {lacking}");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let package = dir.path().join("package");
    let mut busy = call();
    busy.length_ms = 8_000;
    busy.sends.truncate(2);
    for sends in &mut busy.sends {
        sends.to_ms = 8_000;
        sends.lost.clear();
        sends.picture = Some(("testsrc2", 640, 360));
    }
    world::package(&busy, &package);
    let (settings, options) = (settings(Layout::SideBySide, "twice"), Options::default());
    let older = dir.path().join("older");
    fs::create_dir(&older).unwrap();
    let films = [tools(), tools(), older_processor(&older)].map(|tools| {
        let out = dir.path().join("film.mp4");
        let request = Request {
            package: &package,
            out: &out,
            settings: &settings,
            options: &options,
            tools: &tools,
            stop: &Stop::default(),
        };
        make(&request, &mut |_| ()).unwrap();
        let film = fs::read(&out).unwrap();
        fs::remove_file(&out).unwrap();
        film
    });
    assert!(films[0] == films[1], "made twice");
    assert!(films[0] == films[2], "made on another processor");
}

/// The processes that a process started.
fn children(pid: u32) -> Vec<u32> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task"))
        .into_iter()
        .flatten();
    let lists =
        tasks.filter_map(|task| fs::read_to_string(task.ok()?.path().join("children")).ok());
    let lists: String = lists.collect();
    lists
        .split_whitespace()
        .filter_map(|pid| pid.parse().ok())
        .collect()
}

/// Whether a process is there and has not ended.
fn is_running(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ")
        .is_some_and(|(_, rest)| !rest.starts_with('Z'))
}

/// In the environment of this test run again as the job that is to be killed: package and film.
const JOB: &str = "GUITAI_COMPOSITE_JOB";

#[test]
fn a_killed_job_goes_on_and_gives_the_same_bytes() {
    if let Some(job) = std::env::var_os(JOB) {
        let (package, out) = (
            PathBuf::from(&job).join("package"),
            PathBuf::from(job).join("film.mp4"),
        );
        film(
            &package,
            &out,
            &settings(Layout::PictureInPicture, "killed"),
        )
        .unwrap();
        return;
    }
    if let Some(lacking) = lacking() {
        eprintln!("SKIPPED: {lacking}");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let package = dir.path().join("package");
    world::package(&call(), &package);
    let settings = settings(Layout::PictureInPicture, "killed");
    let whole = dir.path().join("whole.mp4");
    let never_killed = film(&package, &whole, &settings).unwrap();
    let wanted = fs::read(&whole).unwrap();

    // This test itself, in a process that is killed once the first piece is durable.
    let mut job = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "a_killed_job_goes_on_and_gives_the_same_bytes"])
        .env(JOB, dir.path())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let work = dir.path().join("film.mp4.work");
    let mut ffmpegs = Vec::new();
    while ffmpegs.is_empty() && job.try_wait().unwrap().is_none() {
        if work.join("000001.h264.sm3").exists() {
            ffmpegs = children(job.id());
        }
        std::thread::yield_now();
    }
    job.kill().unwrap();
    job.wait().unwrap();
    // Nobody told them, and yet they end: what they write has nowhere to go.
    assert!(!ffmpegs.is_empty(), "nothing ran when it was killed");
    while ffmpegs.iter().any(|pid| is_running(*pid)) {
        std::thread::yield_now();
    }
    let out = dir.path().join("film.mp4");
    assert!(!out.exists(), "it was killed in the middle");

    let (mut steps, options, tools) = (Vec::new(), Options::default(), tools());
    let request = Request {
        package: &package,
        out: &out,
        settings: &settings,
        options: &options,
        tools: &tools,
        stop: &Stop::default(),
    };
    let made = make(&request, &mut |step| steps.push(step)).unwrap();
    assert!(made.kept >= 1, "the first piece was made again");
    let first = Progress::Piece {
        done: 1,
        pieces: 3,
        kept: true,
    };
    assert_eq!(steps[..2], [Progress::Verified { pieces: 3 }, first]);
    assert!(
        fs::read(&out).unwrap() == wanted,
        "other bytes than never killed"
    );
    assert_eq!(made.stated, never_killed.stated);

    // The agent is small in the lower right corner, the customer large.
    assert!(is_red(colour(&out, 10.0, "150:30:450:260")));
    assert!(is_blue(colour(&out, 10.0, "300:60:40:60")));
}

#[test]
fn a_spoilt_piece_is_made_again() {
    if let Some(lacking) = lacking() {
        eprintln!("SKIPPED: {lacking}");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let package = dir.path().join("package");
    let mut short = call();
    short.length_ms = 6_000;
    for sends in &mut short.sends {
        sends.to_ms = sends.to_ms.min(6_000);
        sends.lost.clear();
    }
    short.sends.truncate(2);
    // A third party shows a document, and is heard on both sides.
    short.sends.push(Sends {
        picture: Some(("green", 640, 480)),
        tone: Some(1_000),
        ..sends("expert", 1_000, 6_000)
    });
    world::package(&short, &package);
    let settings = settings(Layout::SideBySide, "spoilt");
    let (options, tools) = (Options::default(), tools());
    let out = dir.path().join("film.mp4");
    let request = Request {
        package: &package,
        out: &out,
        settings: &settings,
        options: &options,
        tools: &tools,
        stop: &Stop::default(),
    };
    let work = dir.path().join("film.mp4.work");
    let saved = dir.path().join("saved");
    let copy = |from: &Path, to: &Path| {
        fs::create_dir(to).unwrap();
        for entry in fs::read_dir(from).unwrap() {
            let entry = entry.unwrap();
            if entry.file_type().unwrap().is_file() {
                fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
            }
        }
    };
    make(&request, &mut |step| {
        if step == Progress::Assembling {
            copy(&work, &saved);
        }
    })
    .unwrap();
    let wanted = fs::read(&out).unwrap();
    // The third party's pane is the main one; agent and customer are beside it, and left and right in the sound.
    assert!(colour(&out, 4.0, "300:60:60:80")[1] > 90);
    assert!(is_red(colour(&out, 4.0, "120:14:470:80")));
    assert!(is_blue(colour(&out, 4.0, "120:14:470:236")));

    let spoil: BTreeMap<&str, u32> =
        BTreeMap::from([("000001.h264", 1), ("sound.aac", 1), ("recipe.json", 0)]);
    for (name, kept) in spoil {
        fs::remove_file(&out).unwrap();
        copy(&saved, &work);
        let piece = work.join(name);
        let mut bytes = fs::read(&piece).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        fs::write(&piece, bytes).unwrap();
        let made = make(&request, &mut |_| ()).unwrap();
        assert_eq!(made.kept, kept, "{name}");
        assert!(fs::read(&out).unwrap() == wanted, "{name}");
    }
}
