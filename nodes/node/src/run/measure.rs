//! What this process was started from: its program, libraries, configuration and unit. The files are opened before the
//! sandbox, which lets nothing of the kind be opened later, and read when somebody asks for the first time.

use std::{
    fs::File,
    io::{self, Read as _},
    path::{Path, PathBuf},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use guitai_api::MeasureSource;
use guitai_crypto::sm3;
use guitai_types::{
    Hex, Member, NodeName, UnixMillis, Zone,
    attest::{MEASURED_FILES_MAX, MeasuredFile, MeasuredKind, NodeMeasure, PATH_CHARS_MAX},
};

use crate::flows::Door;

/// How long whoever asks first waits for the files to be read: less than a question may take.
const READING: Duration = Duration::from_millis(1_500);
/// Bytes read at once.
const PIECE_BYTES: usize = 256 * 1024;
/// Longest list of mappings, control group or unit that is looked at, in bytes.
const LIST_BYTES_MAX: u64 = 4 * 1024 * 1024;
/// Where systemd finds units (systemd.unit(5)), the first that has one counts.
const UNIT_DIRS: [&str; 5] = [
    "/etc/systemd/system",
    "/run/systemd/system",
    "/usr/local/lib/systemd/system",
    "/usr/lib/systemd/system",
    "/lib/systemd/system",
];

/// A file that was opened at the start.
struct Opened {
    kind: MeasuredKind,
    path: PathBuf,
    file: io::Result<File>,
}

impl Opened {
    fn new(kind: MeasuredKind, path: PathBuf) -> Self {
        let file = File::open(&path);
        Self { kind, path, file }
    }

    fn measured(self) -> MeasuredFile {
        let path = self.path.to_string_lossy();
        let read = self.file.and_then(digest);
        let (bytes, sm3, why) = match read {
            Ok((bytes, sm3)) => (bytes, Some(sm3), None),
            Err(error) => (0, None, Some(error.to_string())),
        };
        MeasuredFile {
            kind: self.kind,
            path: path.chars().take(PATH_CHARS_MAX).collect(),
            bytes,
            sm3,
            why,
        }
    }
}

enum Files {
    Opened(Vec<Opened>),
    BeingRead,
    Read(Vec<MeasuredFile>),
}

/// What this process was started from. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Measure {
    node: NodeName,
    zone: Zone,
    since: UnixMillis,
    gate: Arc<Door>,
    files: Arc<(Mutex<Files>, Condvar)>,
}

impl Measure {
    /// Opens the files. To be called before the sandbox is entered.
    pub(crate) fn begin(
        config: &Path,
        member: &Member,
        gate: Arc<Door>,
        since: UnixMillis,
    ) -> Self {
        let mut files = vec![program()];
        files.extend(libraries());
        files.push(Opened::new(MeasuredKind::Configuration, absolute(config)));
        files.extend(units());
        files.truncate(MEASURED_FILES_MAX);
        Self {
            node: member.name.clone(),
            zone: member.zone,
            since,
            gate,
            files: Arc::new((Mutex::new(Files::Opened(files)), Condvar::new())),
        }
    }

    /// Says it to whoever asks this node.
    pub(crate) fn source(&self) -> MeasureSource {
        let measure = self.clone();
        Arc::new(move || measure.view())
    }

    fn view(&self) -> NodeMeasure {
        let (matrix, _) = self.gate.present();
        NodeMeasure {
            node: self.node.clone(),
            zone: self.zone,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            since: self.since,
            matrix,
            files: self.files(),
        }
    }

    /// The files, or nothing while they are being read.
    fn files(&self) -> Option<Vec<MeasuredFile>> {
        let (files, read) = &*self.files;
        let mut present = lock(files);
        if let Files::Opened(opened) = &mut *present {
            let opened = std::mem::take(opened);
            *present = Files::BeingRead;
            let of = self.files.clone();
            let reading = move || {
                let measured = opened.into_iter().map(Opened::measured).collect();
                *lock(&of.0) = Files::Read(measured);
                of.1.notify_all();
            };
            let thread = std::thread::Builder::new().name("measure".to_owned());
            if let Err(error) = thread.spawn(reading) {
                tracing::error!(%error, "this node cannot measure itself");
            }
        }
        let waited = read.wait_timeout_while(present, READING, |present| {
            matches!(present, Files::BeingRead)
        });
        let (present, _) = waited.unwrap_or_else(PoisonError::into_inner);
        match &*present {
            Files::Read(files) => Some(files.clone()),
            Files::Opened(_) | Files::BeingRead => None,
        }
    }
}

/// The program by the file that is executed, even when another one lies at its path since.
fn program() -> Opened {
    let path = std::env::current_exe().unwrap_or_else(|_| PathBuf::from("/proc/self/exe"));
    let file = File::open("/proc/self/exe");
    let kind = MeasuredKind::Program;
    Opened { kind, path, file }
}

fn libraries() -> Vec<Opened> {
    let own = std::env::current_exe().ok();
    let maps = text(Path::new("/proc/self/maps")).unwrap_or_default();
    let mapped = mapped(&maps);
    let others = mapped.into_iter().filter(|path| Some(path) != own.as_ref());
    others
        .map(|path| Opened::new(MeasuredKind::Library, path))
        .collect()
}

/// The files that are mapped to be executed (proc(5)), in order, each once.
fn mapped(maps: &str) -> Vec<PathBuf> {
    let mut paths: Vec<PathBuf> = maps
        .lines()
        .filter_map(|line| {
            let mut fields = line.splitn(6, ' ');
            let rights = fields.nth(1)?;
            let path = fields.nth(3)?.trim_start();
            let is_file = path.starts_with('/') && rights.contains('x');
            is_file.then(|| PathBuf::from(path))
        })
        .collect();
    paths.sort();
    paths.dedup();
    paths
}

/// The unit that started this process, with what was added to it; none where nobody's unit did.
fn units() -> Vec<Opened> {
    let groups = text(Path::new("/proc/self/cgroup")).unwrap_or_default();
    let Some(unit) = unit_of(&groups) else {
        return Vec::new();
    };
    let template = template_of(&unit);
    let names: Vec<&str> = [Some(unit.as_str()), template.as_deref()]
        .into_iter()
        .flatten()
        .collect();
    let places = names
        .iter()
        .flat_map(|name| UNIT_DIRS.iter().map(move |dir| Path::new(dir).join(name)));
    let mut found: Vec<PathBuf> = places.filter(|path| path.is_file()).take(1).collect();
    for dir in UNIT_DIRS {
        for name in &names {
            found.extend(additions(&Path::new(dir).join(format!("{name}.d"))));
        }
    }
    found
        .into_iter()
        .map(|path| Opened::new(MeasuredKind::Unit, path))
        .collect()
}

fn additions(dir: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(dir) else {
        return Vec::new();
    };
    let mut found: Vec<PathBuf> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|it| it == "conf"))
        .collect();
    found.sort();
    found
}

/// The service of a process by its control groups (cgroups(7)): the innermost group is the unit's.
fn unit_of(groups: &str) -> Option<String> {
    let mut lines = groups.lines();
    let path = lines.find_map(|line| {
        line.strip_prefix("0::")
            .or_else(|| line.split_once(":name=systemd:").map(|(_, path)| path))
    })?;
    let name = path.rsplit('/').next()?;
    name.ends_with(".service").then(|| name.to_owned())
}

/// `guitai@a1-1.service` is made of `guitai@.service`.
fn template_of(unit: &str) -> Option<String> {
    let (name, _) = unit.split_once('@')?;
    Some(format!("{name}@.service"))
}

fn absolute(path: &Path) -> PathBuf {
    path.canonicalize().unwrap_or_else(|_| path.to_owned())
}

fn text(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    let mut file = File::open(path)?.take(LIST_BYTES_MAX);
    file.read_to_string(&mut text)?;
    Ok(text)
}

fn digest(mut file: File) -> io::Result<(u64, Hex)> {
    let mut hasher = sm3::Hasher::new();
    let mut piece = vec![0; PIECE_BYTES];
    let mut bytes = 0;
    loop {
        let length = file.read(&mut piece)?;
        let Some(read) = piece.get(..length).filter(|read| !read.is_empty()) else {
            return Ok((bytes, Hex(hasher.finish().to_vec())));
        };
        hasher.update(read);
        bytes += length as u64;
    }
}

fn lock(files: &Mutex<Files>) -> MutexGuard<'_, Files> {
    files.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_mapped_to_be_executed_is_found_once() {
        let maps = "\
7f00-7f10 r--p 00000000 fe:00 12  /usr/lib/libc.so.6
7f10-7f20 r-xp 00001000 fe:00 12  /usr/lib/libc.so.6
7f20-7f30 r-xp 00002000 fe:00 12  /usr/lib/libc.so.6
7f30-7f40 r-xp 00000000 fe:00 13                 /opt/a b (deleted)
7f40-7f50 r-xp 00000000 00:00 0                  [vdso]
7f50-7f60 rwxp 00000000 00:00 0
";
        let expected = ["/opt/a b (deleted)", "/usr/lib/libc.so.6"].map(PathBuf::from);
        assert_eq!(mapped(maps), expected);
        let own = std::fs::read_to_string("/proc/self/maps").unwrap();
        assert!(mapped(&own).contains(&std::env::current_exe().unwrap()));
    }

    #[test]
    fn a_unit_is_known_by_the_innermost_group() {
        let unit = |groups: &str| unit_of(groups);
        let two = "0::/system.slice/system-guitai.slice/guitai@a1-1.service\n";
        assert_eq!(unit(two).as_deref(), Some("guitai@a1-1.service"));
        let one = "12:pids:/x.service\n1:name=systemd:/system.slice/guitai.service\n";
        assert_eq!(unit(one).as_deref(), Some("guitai.service"));
        assert_eq!(
            unit("0::/user.slice/user@0.service/app.slice/run.scope\n"),
            None
        );
        assert_eq!(unit(""), None);
        let template = template_of("guitai@a1-1.service");
        assert_eq!(template.as_deref(), Some("guitai@.service"));
        assert_eq!(template_of("guitai.service"), None);
    }

    #[test]
    fn a_file_is_measured_as_it_was_when_it_was_opened() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("node.toml");
        std::fs::write(&path, "abc").unwrap();
        let opened = Opened::new(MeasuredKind::Configuration, path.clone());
        std::fs::remove_file(&path).unwrap();
        std::fs::write(&path, "another").unwrap();
        let measured = opened.measured();
        // GB/T 32905, A.1.
        let expected = "66c7f0f462eeedd9d1f2d46bdc10e4e24167c4875cf2f7a2297da02b8f4ba8e0";
        assert_eq!(measured.sm3.unwrap().to_string(), expected);
        assert_eq!(measured.bytes, 3);
        let gone = Opened::new(MeasuredKind::Unit, dir.path().join("none"));
        let gone = gone.measured();
        assert!(gone.sm3.is_none() && gone.why.is_some());
    }
}
