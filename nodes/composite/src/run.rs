//! One run of ffmpeg, within limits: never through a shell, with an environment of ours, in a directory of ours,
//! with arguments of ours. It may write no file; what it makes comes through a pipe, so when this process is
//! gone, however it went, ffmpeg's next byte has nowhere to go and it ends.

use std::{
    fs,
    io::{self, Read as _},
    path::Path,
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc::{RecvTimeoutError, sync_channel},
    },
    thread,
    time::Duration,
};

use rustix::process::{
    Pid, Resource, Rlimit, WaitId, WaitIdOptions, prlimit, setpriority_process, waitid,
};

/// Address space of ffmpeg in bytes.
pub(crate) const MEMORY_BYTES_MAX: u64 = 4 << 30;
/// Longest time without a byte from it.
pub(crate) const SILENCE_MAX: Duration = Duration::from_secs(300);
/// How soon a job that is to stop does so.
const LOOK: Duration = Duration::from_millis(200);
/// The lowest priority there is.
const NICEST: i32 = 19;
/// Clock ticks of `/proc` in a second: `USER_HZ` of every Linux that we run on.
const TICKS_PER_S: u64 = 100;
/// Most of its messages that are kept, in bytes: the last ones.
pub(crate) const MESSAGES_BYTES_MAX: usize = 2_048;

/// Says to a job, from another thread, that it is to stop: ffmpeg is killed, and the pieces that are done are kept.
#[derive(Debug, Clone, Default)]
pub struct Stop(Arc<AtomicBool>);

impl Stop {
    /// The job is to stop.
    pub fn stop(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether it is to.
    #[must_use]
    pub fn is_stopped(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// Gives the calling thread, and every program that it starts, the lowest priority: whoever makes films beside
/// calls does so with what the calls leave.
///
/// # Errors
/// The system refuses; nothing has changed then.
pub fn lowest_priority() -> io::Result<()> {
    // Linux takes "this process" for the calling thread, sched(7).
    setpriority_process(None, NICEST).map_err(io::Error::from)
}

/// What one run may use.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// Bytes it gives.
    pub(crate) bytes: u64,
    /// Processor time in seconds.
    pub(crate) cpu_s: u64,
}

/// Why a run of ffmpeg gave nothing.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// It did not start.
    #[error("ffmpeg cannot be started")]
    Start(#[source] io::Error),
    /// It could not be held within its limits.
    #[error("ffmpeg cannot be limited")]
    Limit(#[source] io::Error),
    /// It said nothing for too long and was killed.
    #[error("ffmpeg gave nothing for SILENCE_MAX = {} s", SILENCE_MAX.as_secs())]
    Silent,
    /// It gave too much and was killed.
    #[error("ffmpeg gave more than {0} bytes")]
    TooMuch(u64),
    /// The job is to stop.
    #[error("the job was stopped")]
    Stopped,
    /// What it gave could not be read or kept.
    #[error("what ffmpeg gave cannot be kept")]
    Keep(#[source] io::Error),
    /// It failed; the end of what it said.
    #[error("ffmpeg failed ({status}): {said}")]
    Failed {
        /// How it ended.
        status: String,
        /// The end of its messages.
        said: String,
    },
}

/// Runs ffmpeg in `dir` and gives what it writes to `keep`, in order. Gives the processor time that it took, in
/// milliseconds, as far as that is known.
pub(crate) fn run(
    ffmpeg: &Path,
    dir: &Path,
    arguments: &[String],
    limits: Limits,
    stop: &Stop,
    keep: &mut dyn FnMut(&[u8]) -> io::Result<()>,
) -> Result<u64, RunError> {
    let child = Command::new(ffmpeg)
        .args(arguments)
        .current_dir(dir)
        .env_clear()
        .env("LC_ALL", "C")
        .env("TZ", "UTC")
        .env("GLIBC_TUNABLES", SAME_MATHEMATICS)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(RunError::Start)?;
    let mut child = Killed(child);
    limit(&child.0, limits.cpu_s)?;
    let missing = || RunError::Start(io::ErrorKind::BrokenPipe.into());
    let mut out = child.0.stdout.take().ok_or_else(missing)?;
    let mut err = child.0.stderr.take().ok_or_else(missing)?;
    let (give, take) = sync_channel::<io::Result<Vec<u8>>>(8);
    let reader = thread::spawn(move || {
        loop {
            let mut buffer = vec![0; 64 * 1024];
            let read = out.read(&mut buffer).map(|read| {
                buffer.truncate(read);
                buffer
            });
            let is_last = read.as_ref().map_or(true, Vec::is_empty);
            if give.send(read).is_err() || is_last {
                return;
            }
        }
    });
    let messages = thread::spawn(move || {
        let (mut kept, mut buffer) = (Vec::new(), [0; 1_024]);
        while let Ok(read @ 1..) = err.read(&mut buffer) {
            kept.extend_from_slice(buffer.get(..read).unwrap_or_default());
            let over = kept.len().saturating_sub(MESSAGES_BYTES_MAX);
            kept.drain(..over);
        }
        String::from_utf8_lossy(&kept).trim().to_owned()
    });
    let (mut bytes, mut silent) = (0_u64, Duration::ZERO);
    let taken = loop {
        if stop.is_stopped() {
            break Err(RunError::Stopped);
        }
        match take.recv_timeout(LOOK) {
            Ok(Ok(piece)) if piece.is_empty() => break Ok(()),
            Ok(Ok(piece)) => {
                silent = Duration::ZERO;
                bytes += piece.len() as u64;
                if bytes > limits.bytes {
                    break Err(RunError::TooMuch(limits.bytes));
                }
                if let Err(error) = keep(&piece) {
                    break Err(RunError::Keep(error));
                }
            }
            Ok(Err(error)) => break Err(RunError::Keep(error)),
            Err(RecvTimeoutError::Disconnected) => break Ok(()),
            Err(RecvTimeoutError::Timeout) if silent >= SILENCE_MAX => {
                break Err(RunError::Silent);
            }
            Err(RecvTimeoutError::Timeout) => silent += LOOK,
        }
    };
    drop(take);
    if taken.is_err() {
        child.kill();
    }
    let cpu_ms = cpu_ms(&child.0);
    let status = child.0.wait().map_err(RunError::Keep)?;
    let said = messages.join().unwrap_or_default();
    drop(reader.join());
    taken?;
    if status.success() {
        return Ok(cpu_ms);
    }
    Err(RunError::Failed {
        status: status.to_string(),
        said,
    })
}

/// The C library has kernels of sine and exponential that round differently where the processor has FMA; only
/// those are used that every processor has. Other C libraries pass it over.
const SAME_MATHEMATICS: &str =
    "glibc.cpu.hwcaps=-FMA,-FMA4,-AVX2,-AVX2_Usable,-FMA_Usable,-FMA4_Usable";

/// Waits for its end and asks what it took, while it still can be asked: 0 where that is not told.
fn cpu_ms(child: &Child) -> u64 {
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
    if waitid(WaitId::Pid(Pid::from_child(child)), options).is_err() {
        return 0;
    }
    let stat = fs::read_to_string(format!("/proc/{}/stat", child.id())).unwrap_or_default();
    // Its name, in brackets, may have blanks; state is the first word after it, proc(5).
    let fields = stat.rsplit(')').next().unwrap_or_default();
    let times = fields.split_whitespace().skip(11).take(2);
    let ticks: u64 = times.filter_map(|it| it.parse::<u64>().ok()).sum();
    ticks * 1_000 / TICKS_PER_S
}

fn limit(child: &Child, cpu_s: u64) -> Result<(), RunError> {
    let pid = Pid::from_child(child);
    let limits = [
        (Resource::As, MEMORY_BYTES_MAX),
        (Resource::Cpu, cpu_s),
        (Resource::Fsize, 0),
        (Resource::Core, 0),
    ];
    for (resource, most) in limits {
        let limit = Rlimit {
            current: Some(most),
            maximum: Some(most),
        };
        match prlimit(Some(pid), resource, limit) {
            Ok(_) => {}
            // It has ended already: what it said is the better error.
            Err(rustix::io::Errno::SRCH) => return Ok(()),
            Err(error) => return Err(RunError::Limit(error.into())),
        }
    }
    Ok(())
}

/// A child that does not outlive its place in the code.
struct Killed(Child);

impl Killed {
    fn kill(&mut self) {
        // It may have ended by itself: then there is nothing to kill.
        drop(self.0.kill());
    }
}

impl Drop for Killed {
    fn drop(&mut self) {
        self.kill();
        drop(self.0.wait());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits {
        bytes: 1_000,
        cpu_s: 5,
    };

    fn shell(script: &str) -> Result<Vec<u8>, RunError> {
        let mut kept = Vec::new();
        let arguments = ["-c".to_owned(), script.to_owned()];
        let dir = tempfile::tempdir().unwrap();
        run(
            Path::new("/bin/sh"),
            dir.path(),
            &arguments,
            LIMITS,
            &Stop::default(),
            &mut |it| {
                kept.extend_from_slice(it);
                Ok(())
            },
        )?;
        Ok(kept)
    }

    #[test]
    fn what_it_says_is_kept_and_what_it_may_not_do_ends_it() {
        assert_eq!(shell("echo film").unwrap(), b"film\n");
        let failed = shell("echo why >&2; exit 3").unwrap_err().to_string();
        assert!(failed.contains("exit status: 3): why"), "{failed}");
        let long = shell("head -c 9000 /dev/zero | tr '\\0' x >&2; echo end >&2; exit 1");
        let RunError::Failed { said, .. } = long.unwrap_err() else {
            panic!("another error");
        };
        assert!(said.len() <= MESSAGES_BYTES_MAX && said.ends_with("xend"));
        assert!(matches!(shell("yes"), Err(RunError::TooMuch(1_000))));
        // Without time to be limited, then with.
        let file = shell("sleep 0.2; echo x > file");
        assert!(matches!(file, Err(RunError::Failed { .. })), "{file:?}");
        let environment = shell("env | cut -d= -f1 | sort | grep -vxE 'PWD|SHLVL|_|OLDPWD'");
        assert_eq!(environment.unwrap(), b"GLIBC_TUNABLES\nLC_ALL\nTZ\n");
    }

    #[test]
    fn a_job_that_is_to_stop_ends_what_it_runs_and_what_it_took_is_known() {
        let dir = tempfile::tempdir().unwrap();
        let stop = Stop::default();
        let run = |script: &str, keep: &mut dyn FnMut(&[u8]) -> io::Result<()>| {
            let arguments = ["-c".to_owned(), script.to_owned()];
            run(
                Path::new("/bin/sh"),
                dir.path(),
                &arguments,
                LIMITS,
                &stop,
                keep,
            )
        };
        let burn = "i=0; while [ $i -lt 300000 ]; do i=$((i+1)); done";
        assert!(run(burn, &mut |_| Ok(())).unwrap() >= 20);
        // It says one word and then nothing for as long as anybody waits.
        let told = stop.clone();
        let stopped = run("echo begun; exec sleep 1000", &mut |_| {
            told.stop();
            Ok(())
        });
        assert!(matches!(stopped, Err(RunError::Stopped)));
        assert!(matches!(
            run("echo x", &mut |_| Ok(())),
            Err(RunError::Stopped)
        ));
    }

    #[test]
    fn a_program_that_is_not_there_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let none = run(
            Path::new("/no/ffmpeg"),
            dir.path(),
            &[],
            LIMITS,
            &Stop::default(),
            &mut |_| Ok(()),
        );
        assert!(matches!(none, Err(RunError::Start(_))));
    }
}
