//! A stretch of the plan as one run of ffmpeg: which segments it reads, which texts it burns in, and the graph of
//! filters. Everything in a graph is a number or a name that is made here; text that came from people goes into
//! files of its own, which ffmpeg shows as they are (`textfile=`, `expansion=none`).

use guitai_evidence::{
    composite::{self, CHUNK_MS, Placed},
    manifest::{Manifest, Segment, Track},
};
use guitai_types::place::Text;

use crate::{
    Settings,
    panes::{self, Place},
    plan::{Pane, Plan, Shown, Span},
    words,
};

/// The one rate of sound, samples a second: what Opus decodes to (RFC 7845, 5.1).
pub(crate) const SAMPLE_RATE: u64 = 48_000;
/// Samples of a frame of AAC, and what its encoder puts before the first one.
pub(crate) const AAC_SAMPLES: u64 = 1_024;
/// Constant rate factor of the picture (x264): what a teller's window looks sharp with.
pub(crate) const PICTURE_CRF: u32 = 25;
/// Most kilobits a second of the picture, over two seconds.
pub(crate) const PICTURE_KBIT_MAX: u32 = 1_500;
/// Kilobits a second of the sound.
pub(crate) const SOUND_KBIT: u32 = 64;
/// Longest graph in bytes: an argument has at most 128 KiB on Linux.
pub(crate) const GRAPH_BYTES_MAX: usize = 120 * 1024;
/// Most files of one run of ffmpeg.
pub(crate) const INPUTS_MAX: usize = 400;
/// The font in the work directory: a name of ours, wherever it came from.
pub(crate) const FONT_FILE: &str = "font";
/// Beijing time is UTC+8, without summer time (the State Council's order of 1992).
const BEIJING_S: u64 = 8 * 3_600;

/// Why a stretch cannot be drawn.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GraphError {
    /// Past [`GRAPH_BYTES_MAX`].
    #[error("the graph has {0} bytes, GRAPH_BYTES_MAX is {GRAPH_BYTES_MAX}")]
    TooLong(usize),
    /// Past [`INPUTS_MAX`].
    #[error("{0} tracks are in one run, INPUTS_MAX is {INPUTS_MAX}")]
    Inputs(usize),
}

/// A piece of the film: frames `from` to `to` (not included) of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Chunk {
    /// From 1.
    pub(crate) number: u32,
    pub(crate) from: u64,
    pub(crate) to: u64,
}

/// What a run of ffmpeg needs beside its arguments.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Drawn {
    /// In the order of the inputs.
    pub(crate) clips: Vec<Clip>,
    /// Files of text, by name.
    pub(crate) texts: Vec<(String, String)>,
    pub(crate) graph: String,
}

/// Segments `from` to `to` (both included) of a track, as one file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Clip {
    pub(crate) track: u32,
    pub(crate) from: u32,
    pub(crate) to: u32,
}

impl Clip {
    /// The name of input `n`.
    pub(crate) fn file(index: usize) -> String {
        format!("in-{index}.mp4")
    }
}

/// Frames of the whole film.
pub(crate) fn frames(plan: &Plan, fps: u32) -> u64 {
    composite::frames(plan.length_us, fps)
}

/// The pieces of the film.
pub(crate) fn chunks(plan: &Plan, fps: u32) -> Vec<Chunk> {
    let (all, most) = (frames(plan, fps), CHUNK_MS / 1_000 * u64::from(fps));
    let starts = (0..all).step_by(usize::try_from(most).unwrap_or(usize::MAX));
    let chunk = |(number, from): (u32, u64)| Chunk {
        number,
        from,
        to: all.min(from + most),
    };
    (1..).zip(starts).map(chunk).collect()
}

/// First frame of the film at or after a time.
fn tick(us: u64, fps: u32) -> u64 {
    us.saturating_mul(u64::from(fps)).div_ceil(1_000_000)
}

/// Frames of AAC that belong to the frames of the film before `tick`; whole ones, the last one filled up.
pub(crate) fn sound_frames(tick: u64, fps: u32) -> u64 {
    let samples = tick * SAMPLE_RATE / u64::from(fps.max(1));
    samples.div_ceil(AAC_SAMPLES)
}

/// The picture of a piece.
pub(crate) fn picture(
    manifest: &Manifest,
    plan: &Plan,
    settings: &Settings,
    chunk: Chunk,
) -> Result<Drawn, GraphError> {
    let mut drawing = Drawing::new(settings, chunk);
    let places = panes::places(settings.layout, settings.size, plan.panes.len());
    // The main pane is drawn first: a small one may lie over it.
    let mut order: Vec<(&Pane, Place)> = plan.panes.iter().zip(places).collect();
    order.reverse();
    for (pane, place) in &order {
        drawing.fill(*place, "0x1b2330");
        for track in tracks_of(pane) {
            let found = manifest.tracks.iter().find(|it| it.number == track);
            let placed = plan.placed.get(&track);
            let Some((found, placed)) = found.zip(placed) else {
                continue;
            };
            let shown = |span: &&Span<Shown>| span.value == Shown::Track(track);
            let spans = drawing.within(pane.picture.iter().filter(shown));
            if !spans.is_empty() {
                drawing.picture(found, *placed, *place, &spans);
            }
        }
        drawing.pane(manifest, pane, *place);
    }
    drawing.bars(manifest, plan);
    drawing.end()
}

fn tracks_of(pane: &Pane) -> Vec<u32> {
    let track = |span: &Span<Shown>| match span.value {
        Shown::Track(track) => Some(track),
        Shown::Blank(_) => None,
    };
    let mut tracks: Vec<u32> = pane.picture.iter().filter_map(track).collect();
    tracks.sort_unstable();
    tracks.dedup();
    tracks
}

/// Frames of a piece, counted from its first: `from` included, `to` not.
type Ticks = (u64, u64);

struct Drawing<'a> {
    settings: &'a Settings,
    chunk: Chunk,
    clips: Vec<Clip>,
    texts: Vec<(String, String)>,
    graph: String,
    /// Filters that were put behind one another and have no end yet.
    layers: usize,
}

impl<'a> Drawing<'a> {
    fn new(settings: &'a Settings, chunk: Chunk) -> Self {
        let (size, fps) = (settings.size, settings.fps);
        let frames = chunk.to - chunk.from;
        let graph =
            format!("color=c=0x0d1117:s={size}:r={fps},format=yuv420p,trim=end_frame={frames}[l0]");
        Self {
            settings,
            chunk,
            clips: Vec::new(),
            texts: Vec::new(),
            graph,
            layers: 0,
        }
    }

    /// Where spans of the plan are in this piece.
    fn within<'b, T: 'b>(&self, spans: impl Iterator<Item = &'b Span<T>>) -> Vec<Ticks> {
        let fps = self.settings.fps;
        let ticks = |span: &Span<T>| {
            let from = tick(span.from, fps).max(self.chunk.from);
            let to = tick(span.to, fps).min(self.chunk.to);
            (from < to).then(|| (from - self.chunk.from, to - self.chunk.from))
        };
        spans.filter_map(ticks).collect()
    }

    /// One more filter over the picture so far.
    fn layer(&mut self, filter: &str) {
        let (under, over) = (self.layers, self.layers + 1);
        self.graph += &format!(";[l{under}]{filter}[l{over}]");
        self.layers = over;
    }

    fn fill(&mut self, place: Place, color: &str) {
        let Place {
            x,
            y,
            width,
            height,
        } = place;
        self.layer(&format!(
            "drawbox=x={x}:y={y}:w={width}:h={height}:c={color}:t=fill"
        ));
    }

    /// A track in a pane during `spans`. Of frames that came since the last frame of the film the newest is
    /// taken (`round=up`): it is shown from the first frame at or after its time.
    fn picture(&mut self, track: &Track, placed: Placed, place: Place, spans: &[Ticks]) {
        let ends = spans.iter().map(|span| span.0).min();
        let (first, last) = (
            ends.unwrap_or(0),
            spans.iter().map(|span| span.1).max().unwrap_or(0),
        );
        let us = |tick: u64| (self.chunk.from + tick) * 1_000_000 / u64::from(self.settings.fps);
        let Some(clip) = clip(track, placed, us(first), us(last)) else {
            return;
        };
        let index = self.clips.len();
        self.clips.push(clip);
        let fitted = place.fit(track.width, track.height);
        let (fps, shift) = (self.settings.fps, shift(placed.start_us, us(0)));
        let (width, height) = (fitted.width, fitted.height);
        self.graph += &format!(
            ";[{index}:v]setpts=PTS{shift},fps=fps={fps}:round=up:start_time=0,\
             trim=end_frame={last},scale=w={width}:h={height}:flags=bicubic+accurate_rnd+full_chroma_int+bitexact,\
             format=yuv420p,setsar=1[p{index}]"
        );
        let (under, over) = (self.layers, self.layers + 1);
        let (x, y, enable) = (fitted.x, fitted.y, enable(spans));
        self.graph += &format!(
            ";[l{under}][p{index}]overlay=x={x}:y={y}:eval=init:format=yuv420:\
             eof_action=repeat:enable='{enable}'[l{over}]"
        );
        self.layers = over;
    }

    /// The words of a pane: whose it is, why it is blank, what is missing, and the watermark.
    fn pane(&mut self, manifest: &Manifest, pane: &Pane, place: Place) {
        let size = self.font_size();
        let whole = [(0, self.chunk.to - self.chunk.from)];
        let mut blanks: Vec<(&Shown, Vec<Ticks>)> = Vec::new();
        for span in &pane.picture {
            let ticks = self.within([span].into_iter());
            match blanks.iter_mut().find(|(value, _)| *value == &span.value) {
                Some((_, all)) => all.extend(ticks),
                None => blanks.push((&span.value, ticks)),
            }
        }
        let middle = place.y + place.height / 2;
        for (value, spans) in &blanks {
            if let Shown::Blank(why) = value {
                let Text { zh, en } = why.words();
                self.line(&zh, place, middle - size * 3 / 2, "white", "", spans);
                self.line(&en, place, middle + size / 2, "white", "", spans);
            }
        }
        let mut notes: Vec<(&Text, Vec<Ticks>)> = Vec::new();
        for note in &pane.notes {
            let ticks = self.within([note].into_iter());
            match notes.iter_mut().find(|(value, _)| *value == &note.value) {
                Some((_, all)) => all.extend(ticks),
                None => notes.push((&note.value, ticks)),
            }
        }
        // Each has a line that no other one has at the same time.
        let mut lanes: Vec<Vec<Ticks>> = Vec::new();
        for (Text { zh, en }, spans) in &notes {
            let meets = |lane: &Vec<Ticks>| {
                let others = |span: &Ticks| lane.iter().any(|it| it.0 < span.1 && span.0 < it.1);
                spans.iter().any(others)
            };
            let free = lanes.iter().position(|lane| !meets(lane));
            let number = free.unwrap_or(lanes.len());
            match lanes.get_mut(number) {
                Some(lane) => lane.extend(spans),
                None => lanes.push(spans.clone()),
            }
            let up = u32::try_from(number + 1).unwrap_or(u32::MAX);
            let y = (place.y + place.height).saturating_sub(up.saturating_mul(size * 3 / 2));
            let boxed = ":box=1:boxcolor=0x7a1f1f@0.9:boxborderw=2";
            self.line(&format!("{zh} / {en}"), place, y, "white", boxed, spans);
        }
        let Text { zh, en } = words::party(&pane.party);
        let whose = format!("{zh} / {en}  {}", pane.name);
        let boxed = ":box=1:boxcolor=black@0.5:boxborderw=2";
        self.line(&whose, place, place.y + 4, "white", boxed, &whole);
        let mut mark = manifest.session.id.to_string();
        if let Some(text) = &self.settings.watermark {
            mark = format!("{text} · {mark}");
        }
        let low = place.y + place.height * 3 / 4;
        let shadow = ":shadowcolor=black@0.4:shadowx=1:shadowy=1";
        self.line(&mark, place, low, "white@0.4", shadow, &whole);
    }

    /// Above: institution and session. Below: the time in Beijing and the time of the session.
    fn bars(&mut self, manifest: &Manifest, plan: &Plan) {
        let (size, bar) = (self.settings.size, panes::bar(self.settings.size));
        let whole = [(0, self.chunk.to - self.chunk.from)];
        let place = |y: u32, x: u32, width: u32| Place {
            x,
            y,
            width,
            height: bar,
        };
        let down = (bar.saturating_sub(self.font_size() * 5 / 4)) / 2;
        let title = format!("{} · {}", manifest.institution.name.zh, manifest.session.id);
        let above = place(0, 0, size.width);
        self.line(&title, above, above.y + down, "white", "", &whole);
        let fps = u64::from(self.settings.fps);
        let from_ms = self.chunk.from * 1_000 / fps;
        let began_ms = plan.started_at.0.saturating_add(from_ms) + BEIJING_S * 1_000;
        let half = size.width / 2;
        let below = size.height - bar;
        // Each is a template of ours: the frame's own time added to when the piece begins, as UTC.
        let clock = format!("%{{pts:gmtime:{}:%F %T}} 北京时间 UTC+8", seconds(began_ms));
        let session = format!("%{{pts:gmtime:{}:%T}} 会话时间 session", seconds(from_ms));
        for (text, x) in [(clock, 0), (session, half)] {
            let place = place(below, x, half);
            self.template(&text, place, place.y + down, "white", "", &whole);
        }
    }

    fn font_size(&self) -> u32 {
        (self.settings.size.height / 26).max(9)
    }

    /// One line of text in the middle of a pane, as it is.
    fn line(&mut self, text: &str, place: Place, y: u32, color: &str, more: &str, at: &[Ticks]) {
        let text = words::fit(text, place.width.saturating_sub(8), self.font_size());
        let more = format!(":expansion=none{more}");
        self.template(&text, place, y, color, &more, at);
    }

    fn template(
        &mut self,
        text: &str,
        place: Place,
        y: u32,
        color: &str,
        more: &str,
        at: &[Ticks],
    ) {
        if at.is_empty() {
            return;
        }
        let file = format!("text-{}", self.texts.len());
        let (size, enable, x, width) = (self.font_size(), enable(at), place.x, place.width);
        self.layer(&format!(
            "drawtext=fontfile={FONT_FILE}:textfile={file}{more}:fontsize={size}:\
             fontcolor={color}:x={x}+({width}-text_w)/2:y={y}:enable='{enable}'"
        ));
        self.texts.push((file, text.to_owned()));
    }

    fn end(mut self) -> Result<Drawn, GraphError> {
        let last = self.layers;
        self.graph += &format!(";[l{last}]null[out]");
        bounded(Drawn {
            clips: self.clips,
            texts: self.texts,
            graph: self.graph,
        })
    }
}

fn bounded(drawn: Drawn) -> Result<Drawn, GraphError> {
    if drawn.clips.len() > INPUTS_MAX {
        return Err(GraphError::Inputs(drawn.clips.len()));
    }
    if drawn.graph.len() > GRAPH_BYTES_MAX {
        return Err(GraphError::TooLong(drawn.graph.len()));
    }
    Ok(drawn)
}

/// The segments of a track that are needed to show it from `from_us` on, until `to_us`: from the last key frame
/// before on.
fn clip(track: &Track, placed: Placed, from_us: u64, to_us: u64) -> Option<Clip> {
    let begins = |segment: &Segment| placed.at(segment.first_us);
    let all = || track.segments.iter();
    let from = all()
        .rev()
        .find(|it| it.key && begins(it) <= from_us)
        .or_else(|| track.segments.first())?;
    let to = all().rev().find(|it| begins(it) <= to_us)?;
    (from.number <= to.number).then_some(Clip {
        track: track.number,
        from: from.number,
        to: to.number,
    })
}

/// The sound of the whole film: the agent left, the customer right, a third party on both sides. What AAC puts
/// before the first sample takes the place of as many samples at the start, so sound and picture begin together
/// in every player, whether it knows of the encoder's delay or not.
pub(crate) fn sound(manifest: &Manifest, plan: &Plan, fps: u32) -> Result<Drawn, GraphError> {
    let samples = frames(plan, fps) * SAMPLE_RATE / u64::from(fps.max(1));
    let (mut clips, mut graph) = (Vec::new(), String::new());
    for (index, pane) in plan.panes.iter().enumerate() {
        let mut tracks: Vec<u32> = pane.sound.iter().filter_map(|span| span.value).collect();
        tracks.sort_unstable();
        tracks.dedup();
        let mut heard = String::new();
        let mut count = 0;
        for track in tracks {
            let found = manifest.tracks.iter().find(|it| it.number == track);
            let segments = found.and_then(|it| it.segments.first().zip(it.segments.last()));
            let Some(((first, last), placed)) = segments.zip(plan.placed.get(&track)) else {
                continue;
            };
            let input = clips.len();
            clips.push(Clip {
                track,
                from: first.number,
                to: last.number,
            });
            let spans = pane.sound.iter().filter(|span| span.value == Some(track));
            let shift = placed.start_us.div_euclid(1_000) * (SAMPLE_RATE / 1_000).cast_signed();
            graph += &format!(
                "[{input}:a]asetpts=PTS{shift:+},\
                 aresample={SAMPLE_RATE}:async=1:min_hard_comp=0.04:first_pts=0,\
                 aformat=sample_fmts=fltp:channel_layouts=mono,\
                 volume=volume=0:enable='not({})'[a{input}];",
                heard_at(spans)
            );
            heard += &format!("[a{input}]");
            count += 1;
        }
        // A party that says nothing has a channel all the same.
        graph += &format!("anullsrc=r={SAMPLE_RATE}:cl=mono,aformat=sample_fmts=fltp[n{index}];");
        graph += &format!(
            "{heard}[n{index}]amix=inputs={}:normalize=0:duration=longest,\
             atrim=end_sample={samples}[v{index}];",
            count + 1
        );
    }
    graph += if plan.panes.len() > 2 {
        "[v2]asplit=2[v3][v4];[v0][v3]amix=inputs=2:normalize=0[left];\
         [v1][v4]amix=inputs=2:normalize=0[right];"
    } else {
        "[v0]anull[left];[v1]anull[right];"
    };
    graph += &format!(
        "[left][right]join=inputs=2:channel_layout=stereo:map=0.0-FL|1.0-FR,\
         atrim=start_sample={AAC_SAMPLES},asetpts=N/SR/TB[out]"
    );
    bounded(Drawn {
        clips,
        texts: Vec::new(),
        graph,
    })
}

/// Arguments of ffmpeg for the picture of a piece. One thread, since how the work is divided shows in the bytes;
/// `cpu-independent`, since x264 otherwise takes other algorithms on other processors; no B-frames, so frames are in
/// the order in which they are shown.
pub(crate) fn picture_arguments(drawn: &Drawn, fps: u32) -> Vec<String> {
    let mut arguments = inputs(drawn);
    let every = 5 * fps;
    let x264 = format!(
        "threads=1:lookahead-threads=1:sliced-threads=0:cpu-independent=1:bframes=0:aud=1:\
         repeat-headers=1:open-gop=0:scenecut=0:keyint={every}:min-keyint={every}:rc-lookahead=20:\
         force-cfr=1:vbv-maxrate={PICTURE_KBIT_MAX}:vbv-bufsize={}",
        2 * PICTURE_KBIT_MAX
    );
    let crf = PICTURE_CRF.to_string();
    let more = [
        "-c:v",
        "libx264",
        "-preset",
        "veryfast",
        "-profile:v",
        "high",
        "-crf",
        &crf,
        "-x264-params",
        &x264,
        "-pix_fmt",
        "yuv420p",
        "-fps_mode",
        "passthrough",
        "-f",
        "h264",
        "-flush_packets",
        "1",
        "pipe:1",
    ];
    arguments.extend(more.map(str::to_owned));
    arguments
}

/// Arguments of ffmpeg for the sound. Sound is decoded and encoded in floating point, where kernels of different
/// processors round differently: only what every processor has is used (`-cpuflags 0`).
pub(crate) fn sound_arguments(drawn: &Drawn) -> Vec<String> {
    let mut arguments = vec!["-cpuflags".to_owned(), "0".to_owned()];
    arguments.extend(inputs(drawn));
    let rate = format!("{SOUND_KBIT}k");
    let more = [
        "-c:a",
        "aac",
        "-b:a",
        &rate,
        "-f",
        "adts",
        "-flush_packets",
        "1",
        "pipe:1",
    ];
    arguments.extend(more.map(str::to_owned));
    arguments
}

fn inputs(drawn: &Drawn) -> Vec<String> {
    let own = |words: &[&str]| words.iter().map(|it| (*it).to_owned()).collect::<Vec<_>>();
    let mut arguments = own(&[
        "-nostdin",
        "-hide_banner",
        "-nostats",
        "-loglevel",
        "error",
        "-filter_threads",
        "1",
        "-filter_complex_threads",
        "1",
        "-copyts",
    ]);
    for index in 0..drawn.clips.len() {
        arguments.extend(own(&[
            "-threads",
            "1",
            "-protocol_whitelist",
            "file",
            "-f",
            "mov",
            "-i",
        ]));
        arguments.push(Clip::file(index));
    }
    arguments.extend(own(&["-filter_complex", &drawn.graph, "-map", "[out]"]));
    let exact = [
        "-threads",
        "1",
        "-map_metadata",
        "-1",
        "-map_chapters",
        "-1",
        "-fflags",
        "+bitexact",
        "-flags:v",
        "+bitexact",
        "-flags:a",
        "+bitexact",
    ];
    arguments.extend(own(&exact));
    arguments
}

/// What is added to a track's own time to be in the time of the piece.
fn shift(start_us: i64, piece_us: u64) -> String {
    let piece = i64::try_from(piece_us).unwrap_or(i64::MAX);
    format!("{:+}", start_us.saturating_sub(piece))
}

/// An expression that is true in these frames.
fn enable(spans: &[Ticks]) -> String {
    let between = |(from, to): &Ticks| format!("between(n,{from},{})", to.saturating_sub(1));
    spans.iter().map(between).collect::<Vec<_>>().join("+")
}

/// An expression that is true while these are heard, by the time of each frame of sound.
fn heard_at<'a>(spans: impl Iterator<Item = &'a Span<Option<u32>>>) -> String {
    let part = |us: u64| format!("{}.{:06}", us / 1_000_000, us % 1_000_000);
    let between =
        |span: &Span<Option<u32>>| format!("gte(t,{})*lt(t,{})", part(span.from), part(span.to));
    spans.map(between).collect::<Vec<_>>().join("+")
}

/// Milliseconds as seconds.
fn seconds(ms: u64) -> String {
    format!("{}.{:03}", ms / 1_000, ms % 1_000)
}

#[cfg(test)]
#[path = "graph_tests.rs"]
mod tests;
