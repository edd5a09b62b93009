//! Makes a film: verifies the package, plans, renders piece by piece, puts the pieces together.

use std::{
    cell::Cell,
    collections::BTreeMap,
    fs::{self, File},
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use guitai_crypto::sm3;
use guitai_evidence::{Manifest, Options, Reader, Report, canonical, layout};
use guitai_types::Hex;

use crate::{
    Advice, Description, FORMAT, FilmError, GraphError, Piece, Plan, PlanError, Recipe, RunError,
    Settings, Stop, Stretch, Tools, WorkError, describe, description_path,
    film::{self, PieceTable, Table},
    graph::{self, Chunk, Clip, Drawn},
    plan,
    plan::frame_times,
    run::{self, Limits},
    work::Work,
};

/// Largest piece of picture or of sound in bytes: the sound of twelve hours.
pub(crate) const PIECE_BYTES_MAX: u64 = 512 * 1024 * 1024;
/// Processor seconds that a run of ffmpeg has for each second of the call, and for starting.
const CPU_PER_SECOND: u64 = 40;
const CPU_START: u64 = 60;

/// What is to be made.
#[derive(Debug)]
pub struct Request<'a> {
    /// The package: a directory or a `.vcep` file.
    pub package: &'a Path,
    /// The film, which must not be there yet. Its description goes beside it.
    pub out: &'a Path,
    /// How.
    pub settings: &'a Settings,
    /// What is known from elsewhere about the package's root and log.
    pub options: &'a Options,
    /// With what.
    pub tools: &'a Tools,
    /// Whoever says that it is to stop.
    pub stop: &'a Stop,
}

/// How far it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// The package verifies; so many pieces are to be made, the sound among them.
    Verified {
        /// Pieces.
        pieces: u32,
    },
    /// One more piece is durable.
    Piece {
        /// Pieces that are done.
        done: u32,
        /// Of so many.
        pieces: u32,
        /// An earlier job had made it.
        kept: bool,
    },
    /// The pieces are being put together.
    Assembling,
}

/// What was made.
#[derive(Debug)]
pub struct Made {
    /// The film.
    pub film: PathBuf,
    /// What it is made of.
    pub description: PathBuf,
    /// The same, read.
    pub stated: Description,
    /// Pieces that an earlier job had made.
    pub kept: u32,
    /// Processor milliseconds that ffmpeg took for the others.
    pub cpu_ms: u64,
}

/// Why no film was made.
#[derive(Debug, thiserror::Error)]
pub enum MakeError {
    /// The package does not verify.
    #[error("the package does not verify: {}", first_fault(report))]
    Package {
        /// What was found.
        report: Box<Report>,
    },
    /// A file of the package cannot be read, or changed since it was verified.
    #[error("reading the package")]
    Read(#[source] io::Error),
    /// The film is there already.
    #[error("{0} is there already")]
    Exists(PathBuf),
    /// The call cannot be planned.
    #[error("planning the film")]
    Plan(#[from] PlanError),
    /// A piece cannot be drawn.
    #[error("planning a piece of the film")]
    Graph(#[from] GraphError),
    /// ffmpeg failed.
    #[error("{piece}")]
    Run {
        /// Which piece.
        piece: String,
        /// Why.
        #[source]
        source: RunError,
    },
    /// The job was stopped; what is done is kept.
    #[error("the job was stopped")]
    Stopped,
    /// ffmpeg gave something else than was ordered.
    #[error("putting the film together")]
    Film(#[from] FilmError),
    /// The work directory.
    #[error("keeping the pieces")]
    Work(#[from] WorkError),
    /// The film or its description could not be written.
    #[error("writing {path}")]
    Write {
        /// What.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

fn first_fault(report: &Report) -> String {
    let fault = report.faults().next();
    fault.map_or_else(String::new, |it| {
        let file = it.file.as_deref().unwrap_or("–");
        format!("{file}: {}", it.detail)
    })
}

/// Where a film could not be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failing {
    /// The package is not what was sealed.
    Evidence,
    /// The request cannot be fulfilled.
    Request,
    /// This machine.
    Machine,
}

impl MakeError {
    /// Whose fault it is.
    #[must_use]
    pub fn failing(&self) -> Failing {
        match self {
            Self::Package { .. } | Self::Read(_) => Failing::Evidence,
            Self::Exists(_) | Self::Plan(_) | Self::Graph(_) => Failing::Request,
            Self::Run { .. }
            | Self::Stopped
            | Self::Film(_)
            | Self::Work(_)
            | Self::Write { .. } => Failing::Machine,
        }
    }

    /// Cause and next step.
    #[must_use]
    pub fn advice(&self) -> Advice {
        match self {
            Self::Package { .. } | Self::Read(_) => Advice::new(
                (
                    "证据包校验不通过,不予合成",
                    "The package does not verify; nothing is made of it",
                ),
                (
                    "运行 guitai evidence verify 查看详情,重新导出证据包",
                    "See guitai evidence verify, and export the package again",
                ),
            ),
            Self::Exists(_) => Advice::new(
                ("输出文件已存在", "The film is there already"),
                (
                    "换一个 --out,或先移走该文件",
                    "Choose another --out, or move the file away",
                ),
            ),
            Self::Plan(_) | Self::Graph(_) => Advice::new(
                (
                    "通话超出合成录像的上限",
                    "The call is past a limit of composites",
                ),
                (
                    "细节中有上限的名称;原始轨道仍可用 view.html 回放",
                    "The detail names the limit; the raw tracks play in view.html",
                ),
            ),
            Self::Run { .. } | Self::Film(_) => Advice::new(
                ("ffmpeg 未能完成合成", "ffmpeg did not finish the composite"),
                (
                    "按细节处理后以同样参数重试:已完成的部分会保留",
                    "Act on the detail and repeat the command: pieces that are done are kept",
                ),
            ),
            Self::Stopped => Advice::new(
                ("任务被中止", "The job was stopped"),
                (
                    "以同样参数再次运行即续作:已完成的部分会保留",
                    "Repeat the command to go on: pieces that are done are kept",
                ),
            ),
            Self::Work(WorkError::Busy(_)) => Advice::new(
                (
                    "另一个任务正在制作同一录像",
                    "Another job is making the same film",
                ),
                (
                    "等待其完成,或换一个 --out",
                    "Wait for it, or choose another --out",
                ),
            ),
            Self::Work(_) | Self::Write { .. } => Advice::new(
                ("无法写入输出位置", "The output cannot be written"),
                (
                    "检查该目录的权限与剩余空间后重试:已完成的部分会保留",
                    "Check the directory's permissions and free space and repeat: pieces that are done are kept",
                ),
            ),
        }
    }
}

/// A package that verifies, and the plan of its film.
pub(crate) struct Source {
    pub(crate) reader: Reader,
    pub(crate) plan: Plan,
}

impl Source {
    /// Verifies as `guitai evidence verify` does, then reads what was verified.
    pub(crate) fn open(package: &Path, options: &Options) -> Result<Self, MakeError> {
        let report = guitai_evidence::verify(package, options);
        let root = report.facts.as_ref().map(|facts| facts.root.clone());
        if !report.ok {
            return Err(MakeError::Package {
                report: Box::new(report),
            });
        }
        let reader = Reader::open(package).map_err(MakeError::Read)?;
        if root.as_ref() != Some(&reader.manifest.root) {
            let text = "another package than the one that was verified";
            return Err(MakeError::Read(io::Error::other(text)));
        }
        let mut logs = BTreeMap::new();
        for track in &reader.manifest.tracks {
            let log = reader.read(&layout::frames(track.number));
            let times = frame_times(&log.map_err(MakeError::Read)?);
            logs.insert(track.number, times.ok_or(PlanError::Log(track.number))?);
        }
        let plan = plan(&reader.manifest, &logs)?;
        Ok(Self { reader, plan })
    }

    pub(crate) fn recipe(&self, settings: &Settings, tools: &Tools) -> Recipe {
        let reader = &self.reader;
        let (manifest, sm3) = (&reader.manifest, &reader.manifest_sm3);
        describe::recipe(manifest, sm3, &self.plan, settings, tools)
    }
}

/// Makes a film of a package, or goes on where an earlier job of the same film was killed.
pub fn make(request: &Request<'_>, progress: &mut dyn FnMut(Progress)) -> Result<Made, MakeError> {
    if fs::symlink_metadata(request.out).is_ok() {
        return Err(MakeError::Exists(request.out.to_path_buf()));
    }
    let source = Source::open(request.package, request.options)?;
    let recipe = source.recipe(request.settings, request.tools);
    let known = canonical_bytes(&recipe)?;
    let work = Work::open(&Work::place(request.out), &known)?;
    let job = Job {
        source: &source,
        settings: request.settings,
        tools: request.tools,
        work: &work,
        stop: request.stop,
        cpu_ms: Cell::new(0),
    };
    let kept = job.render(progress)?;
    progress(Progress::Assembling);
    let stated = job.assemble(recipe)?;
    let description = description_path(request.out);
    publish(&work, &stated, request.out, &description)?;
    let cpu_ms = job.cpu_ms.get();
    work.remove()?;
    Ok(Made {
        film: request.out.to_path_buf(),
        description,
        stated,
        kept,
        cpu_ms,
    })
}

pub(crate) fn canonical_bytes<T: serde::Serialize>(value: &T) -> Result<Vec<u8>, WorkError> {
    Ok(canonical::to_bytes(value)?)
}

/// The film in the work directory, until it has its name.
const WHOLE: &str = "film.mp4";
/// The sound of the whole call.
const SOUND: &str = "sound.aac";

fn picture_name(chunk: Chunk) -> String {
    format!("{:06}.h264", chunk.number)
}

struct Job<'a> {
    source: &'a Source,
    settings: &'a Settings,
    tools: &'a Tools,
    work: &'a Work,
    stop: &'a Stop,
    /// What ffmpeg took so far.
    cpu_ms: Cell<u64>,
}

impl Job<'_> {
    /// Renders what is missing; gives how many pieces were there.
    fn render(&self, progress: &mut dyn FnMut(Progress)) -> Result<u32, MakeError> {
        let fps = self.settings.fps;
        let (manifest, plan) = (self.manifest(), &self.source.plan);
        let chunks = graph::chunks(plan, fps);
        let pieces = u32::try_from(chunks.len())
            .unwrap_or(u32::MAX)
            .saturating_add(1);
        progress(Progress::Verified { pieces });
        let (mut done, mut kept) = (0, 0);
        let mut tell = |was_there: bool| {
            done += 1;
            kept += u32::from(was_there);
            progress(Progress::Piece {
                done,
                pieces,
                kept: was_there,
            });
        };
        for chunk in chunks {
            if self.stop.is_stopped() {
                return Err(MakeError::Stopped);
            }
            let name = picture_name(chunk);
            let was_there = self.work.has(&name);
            if !was_there {
                let drawn = graph::picture(manifest, plan, self.settings, chunk)?;
                let arguments = graph::picture_arguments(&drawn, fps);
                let seconds = (chunk.to - chunk.from) / u64::from(fps);
                self.piece(&name, &drawn, &arguments, seconds)?;
            }
            tell(was_there);
        }
        let was_there = self.work.has(SOUND);
        if !was_there {
            let drawn = graph::sound(manifest, plan, fps)?;
            let arguments = graph::sound_arguments(&drawn);
            self.piece(SOUND, &drawn, &arguments, plan.length_us / 1_000_000)?;
        }
        tell(was_there);
        Ok(kept)
    }

    fn manifest(&self) -> &Manifest {
        &self.source.reader.manifest
    }

    fn piece(
        &self,
        name: &str,
        drawn: &Drawn,
        arguments: &[String],
        seconds: u64,
    ) -> Result<(), MakeError> {
        let bench = self.work.bench()?;
        let failed = |path: PathBuf, source| MakeError::Write { path, source };
        let put = |name: &str, content: &[u8]| {
            let path = bench.join(name);
            fs::write(&path, content).map_err(|source| failed(path, source))
        };
        put(graph::FONT_FILE, &self.tools.font)?;
        for (name, text) in &drawn.texts {
            put(name, text.as_bytes())?;
        }
        for (index, clip) in drawn.clips.iter().enumerate() {
            let path = bench.join(Clip::file(index));
            let mut file = File::create(&path).map_err(|source| failed(path.clone(), source))?;
            self.write_clip(*clip, &mut file, &path)?;
        }
        let limits = Limits {
            bytes: PIECE_BYTES_MAX,
            cpu_s: CPU_START + CPU_PER_SECOND * seconds,
        };
        let ffmpeg = &self.tools.ffmpeg;
        self.work.keep(name, |out| {
            let mut keep = |bytes: &[u8]| out.write_all(bytes);
            match run::run(ffmpeg, &bench, arguments, limits, self.stop, &mut keep) {
                Ok(cpu_ms) => {
                    self.cpu_ms.set(self.cpu_ms.get() + cpu_ms);
                    Ok(())
                }
                Err(RunError::Stopped) => Err(MakeError::Stopped),
                Err(source) => Err(MakeError::Run {
                    piece: name.to_owned(),
                    source,
                }),
            }
        })
    }

    /// The initialisation part and some segments of a track: a file that plays, with the track's own times.
    fn write_clip(&self, clip: Clip, out: &mut File, path: &Path) -> Result<(), MakeError> {
        let segments = (clip.from..=clip.to).map(|number| layout::segment(clip.track, number));
        for part in [layout::init(clip.track)].into_iter().chain(segments) {
            let content = self.source.reader.read(&part).map_err(MakeError::Read)?;
            let written = out.write_all(&content);
            written.map_err(|source| MakeError::Write {
                path: path.to_path_buf(),
                source,
            })?;
        }
        Ok(())
    }

    /// Puts the pieces together in the work directory.
    fn assemble(&self, recipe: Recipe) -> Result<Description, MakeError> {
        let fps = self.settings.fps;
        let chunks = graph::chunks(&self.source.plan, fps);
        let sound = self.read(SOUND)?;
        let blocks = film::sound(&sound)?;
        let planned = chunks
            .last()
            .map_or(0, |it| graph::sound_frames(it.to, fps));
        let is = blocks.len() as u64;
        if is < planned {
            return Err(FilmError::Count { is, planned }.into());
        }
        let heard = |chunk: &Chunk| {
            let at = |tick| usize::try_from(graph::sound_frames(tick, fps)).unwrap_or(usize::MAX);
            blocks.get(at(chunk.from)..at(chunk.to)).unwrap_or_default()
        };
        let mut table = Table {
            width: self.settings.size.width,
            height: self.settings.size.height,
            fps,
            parameters: film::Parameters::default(),
            pieces: Vec::new(),
        };
        for chunk in &chunks {
            let (parameters, samples) = self.samples(*chunk)?;
            if table.parameters != parameters && !table.pieces.is_empty() {
                return Err(FilmError::Parameters.into());
            }
            table.parameters = parameters;
            let size = |block: &&[u8]| u32::try_from(block.len()).unwrap_or(u32::MAX);
            table.pieces.push(PieceTable {
                picture: samples.sizes,
                keys: samples.keys,
                sound: heard(chunk).iter().map(size).collect(),
            });
        }
        let head = film::head(&table);
        let path = self.work.path(WHOLE);
        let failed = |source| MakeError::Write {
            path: path.clone(),
            source,
        };
        let file = File::create(&path).map_err(failed)?;
        let mut film = Counted {
            file,
            bytes: 0,
            hasher: sm3::Hasher::new(),
        };
        film.put(&head).map_err(failed)?;
        let mut stretches = Vec::new();
        for chunk in &chunks {
            let picture = self.samples(*chunk)?.1.data;
            let sound = heard(chunk).concat();
            film.put(&picture).map_err(failed)?;
            film.put(&sound).map_err(failed)?;
            stretches.push(Stretch {
                number: chunk.number,
                from_ms: chunk.from * 1_000 / u64::from(fps),
                frames: chunk.to - chunk.from,
                picture: piece(&picture),
                sound: piece(&sound),
            });
        }
        film.file.sync_all().map_err(failed)?;
        Ok(Description {
            format: FORMAT.to_owned(),
            recipe,
            head: piece(&head),
            chunks: stretches,
            film: Piece {
                bytes: film.bytes,
                sm3: Hex(film.hasher.finish().to_vec()),
            },
        })
    }

    fn samples(&self, chunk: Chunk) -> Result<(film::Parameters, film::Samples), MakeError> {
        let (parameters, samples) = film::picture(&self.read(&picture_name(chunk))?)?;
        let (is, planned) = (samples.sizes.len() as u64, chunk.to - chunk.from);
        if is == planned {
            Ok((parameters, samples))
        } else {
            Err(FilmError::Count { is, planned }.into())
        }
    }

    fn read(&self, name: &str) -> Result<Vec<u8>, MakeError> {
        let changed = || MakeError::Write {
            path: self.work.path(name),
            source: io::Error::new(io::ErrorKind::InvalidData, "changed while the job ran"),
        };
        self.work.read(name).ok_or_else(changed)
    }
}

pub(crate) fn piece(bytes: &[u8]) -> Piece {
    Piece {
        bytes: bytes.len() as u64,
        sm3: Hex(sm3::hash(bytes).to_vec()),
    }
}

struct Counted {
    file: File,
    bytes: u64,
    hasher: sm3::Hasher,
}

impl Counted {
    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.bytes += bytes.len() as u64;
        self.hasher.update(bytes);
        self.file.write_all(bytes)
    }
}

/// Gives film and description their names, the description first: a film is never without one.
fn publish(
    work: &Work,
    stated: &Description,
    film: &Path,
    description: &Path,
) -> Result<(), MakeError> {
    let bytes = canonical_bytes(stated)?;
    let failed = |path: &Path| {
        let path = path.to_path_buf();
        move |source| MakeError::Write { path, source }
    };
    let written = work.path("composite.json");
    (|| {
        let mut file = File::create(&written)?;
        file.write_all(&bytes)?;
        file.sync_all()?;
        fs::rename(&written, description)
    })()
    .map_err(failed(description))?;
    let dir = film.parent().filter(|dir| !dir.as_os_str().is_empty());
    (|| {
        fs::rename(work.path(WHOLE), film)?;
        File::open(dir.unwrap_or_else(|| Path::new(".")))?.sync_all()
    })()
    .map_err(failed(film))
}
