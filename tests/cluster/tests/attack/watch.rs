//! What the attacked process holds and uses while it goes on, from `/proc`.

use std::{
    fmt, fs,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use guitai_cluster::Deployment;

/// How often it is looked.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// Ticks of processor time in a second (USER_HZ).
const TICKS: f64 = 100.0;

/// What was seen.
#[derive(Debug)]
pub(super) struct Report {
    /// Most resident memory in bytes.
    pub(super) rss_most: u64,
    /// Most open file descriptors.
    pub(super) files_most: usize,
    /// How often another process had taken its place.
    pub(super) restarts: usize,
    /// Processor seconds in a second, over all of it.
    pub(super) cores: f64,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            rss_most,
            files_most,
            restarts,
            cores,
        } = self;
        let mib = rss_most >> 20;
        write!(
            f,
            "at most {mib} MiB resident, {files_most} files, {cores:.2} cores, {restarts} restarts"
        )
    }
}

/// Looks until it is asked to end.
pub(super) struct Watch {
    pid: u32,
    end: Arc<AtomicBool>,
    looking: JoinHandle<Report>,
}

impl Watch {
    pub(super) fn begin(deployment: &Deployment, node: &str) -> Self {
        let pid = deployment.pid(node).expect("the node runs");
        let end = Arc::<AtomicBool>::default();
        let over = end.clone();
        let (ready, is_ready) = mpsc::channel();
        let looking = std::thread::spawn(move || {
            let mut report = Report {
                rss_most: 0,
                files_most: 0,
                restarts: 0,
                cores: 0.0,
            };
            let (began, ticks) = (Instant::now(), processor(pid));
            ready.send(()).expect("somebody waits");
            while !over.load(Ordering::Relaxed) {
                match resident(pid) {
                    Some(rss) => report.rss_most = report.rss_most.max(rss),
                    None => report.restarts = 1,
                }
                let files = fs::read_dir(format!("/proc/{pid}/fd")).map_or(0, Iterator::count);
                report.files_most = report.files_most.max(files);
                std::thread::sleep(LOOK_EVERY);
            }
            let used = processor(pid).saturating_sub(ticks);
            report.cores = used as f64 / TICKS / began.elapsed().as_secs_f64();
            report
        });
        is_ready.recv().expect("it looks");
        Self { pid, end, looking }
    }

    /// Resident memory now.
    pub(super) fn present(&self) -> u64 {
        resident(self.pid).unwrap_or(0)
    }

    pub(super) fn end(self) -> Report {
        self.end.store(true, Ordering::Relaxed);
        self.looking.join().expect("it looked")
    }
}

fn resident(pid: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}

fn processor(pid: u32) -> u64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let Some((_, after)) = stat.rsplit_once(") ") else {
        return 0;
    };
    // proc(5): utime and stime are the fields 14 and 15; after the name comes field 3.
    let times = after.split(' ').skip(11).take(2);
    times.filter_map(|it| it.parse::<u64>().ok()).sum()
}
