//! How a person changes a running laboratory: one line of JSON each way over a Unix socket in the
//! laboratory's directory.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    os::unix::net::{UnixListener, UnixStream},
    path::{Path, PathBuf},
    time::Duration,
};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::{
    error::{LabError, io_error},
    lab::{Lab, Status, words},
    quantity,
};

/// Longest line either side reads.
const LINE_BYTES_MAX: u64 = 1 << 20;
/// How long one side waits for the other's line.
const ANSWER_MAX: Duration = Duration::from_secs(60);

/// What can be asked of a running laboratory.
#[derive(Debug, Clone, Serialize, Deserialize, clap::Subcommand)]
#[serde(rename_all = "kebab-case")]
pub enum Request {
    /// 切断链路 / Cut a link: A1-A2, A-B, a1-1 (a node from all others)
    Cut {
        /// 链路 / The link
        link: String,
        /// 仅从左到右 / From left to right only
        #[arg(long)]
        one_way: bool,
    },
    /// 恢复一条或全部链路 / Heal one link, or all
    Heal {
        /// 链路 / The link
        link: Option<String>,
    },
    /// 设置链路 / Change a link
    Link {
        /// 链路 / The link
        link: String,
        /// 设置 / What changes
        #[command(flatten)]
        change: LinkChange,
    },
    /// 冻结节点 / Freeze nodes: a node, centre or city
    Pause {
        /// 名称 / Name
        name: String,
    },
    /// 解冻 / Let frozen nodes go on
    Resume {
        /// 名称 / Name
        name: String,
    },
    /// 强制关闭 / Switch nodes off at once (SIGKILL): a node, centre or city
    Kill {
        /// 名称 / Name
        name: String,
    },
    /// 重新启动 / Start them again
    Start {
        /// 名称 / Name
        name: String,
    },
    /// 时钟 / A node's clock: an offset of its wall clock (+5s, 0s), a drift of its monotonic one
    Clock {
        /// 名称 / Name
        name: String,
        /// 墙上时钟偏移 / Offset of the wall clock
        #[arg(allow_hyphen_values = true, required_unless_present = "drift")]
        offset: Option<String>,
        /// 单调时钟快慢 / Rate of the monotonic clock, like +200ppm
        #[arg(long, allow_hyphen_values = true)]
        drift: Option<String>,
    },
    /// 磁盘故障 / Faults of a node's disk; none given: the disk is healthy again
    Disk {
        /// 名称 / Name
        name: String,
        /// 再成功 N 次后同步失败 / Every sync fails after N more
        #[arg(long)]
        fail_fdatasync_after: Option<u64>,
        /// 每次同步变慢 / Every sync takes so much longer
        #[arg(long)]
        slow: Option<String>,
        /// 磁盘已满 / No write finds room
        #[arg(long)]
        full: bool,
    },
    /// 实测往返时延 / Measured round-trip times
    Rtt,
    /// 节点、链路与现有故障 / Nodes, links and the faults in force
    Status,
    /// 拆除实验室 / Take the laboratory down
    Down,
}

/// Settings of a link; what is not given stays.
#[derive(Debug, Clone, Default, Serialize, Deserialize, clap::Args)]
pub struct LinkChange {
    /// 单向时延 / Delay of each direction, like 15ms
    #[arg(long)]
    delay: Option<String>,
    /// 抖动 / The delay varies by up to this much, to both sides
    #[arg(long)]
    jitter: Option<String>,
    /// 丢包 / Share of packets lost, like 5%
    #[arg(long)]
    loss: Option<String>,
    /// 重复 / Share of packets that come twice
    #[arg(long)]
    duplicate: Option<String>,
    /// 乱序 / Share of packets that overtake
    #[arg(long)]
    reorder: Option<String>,
    /// 带宽 / Bandwidth, like 10mbit; 0 is without limit
    #[arg(long)]
    bandwidth: Option<String>,
    /// MTU 黑洞 / IP packets over so many bytes vanish; 0 is none
    #[arg(long)]
    hole: Option<u32>,
    /// 仅从左到右 / From left to right only
    #[arg(long)]
    one_way: bool,
}

/// The laboratory's answer.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Answer {
    /// Whether it was done.
    pub ok: bool,
    /// For a person.
    pub text: String,
    /// For a program.
    pub json: Value,
}

/// Path of the socket.
pub fn socket(dir: &Path) -> PathBuf {
    dir.join("control")
}

/// Asks the laboratory in `dir`.
///
/// # Errors
/// No laboratory runs there.
pub fn request(dir: &Path, request: &Request) -> Result<Answer, LabError> {
    let at = socket(dir);
    let none = || io_error("reach a laboratory at", &at);
    let mut stream = UnixStream::connect(&at).map_err(|error| none()(error))?;
    let mut line = serde_json::to_vec(request).map_err(|error| none()(error.into()))?;
    line.push(b'\n');
    stream
        .set_read_timeout(Some(ANSWER_MAX))
        .map_err(|error| none()(error))?;
    stream.write_all(&line).map_err(|error| none()(error))?;
    let text = read_line(stream).map_err(|error| none()(error))?;
    serde_json::from_str(&text).map_err(|error| none()(error.into()))
}

/// Serves `lab` until somebody asks it to go down or `stop` says so.
///
/// # Errors
/// The socket cannot be opened.
pub fn serve(lab: &Lab, dir: &Path, stop: impl Fn() -> bool) -> Result<(), LabError> {
    let at = socket(dir);
    drop(std::fs::remove_file(&at));
    let listener = UnixListener::bind(&at).map_err(io_error("open", &at))?;
    listener
        .set_nonblocking(true)
        .map_err(io_error("open", &at))?;
    while !stop() {
        let Ok((mut stream, _)) = listener.accept() else {
            std::thread::sleep(Duration::from_millis(50));
            continue;
        };
        // One at a time: a person types, and the order of faults is the order of commands.
        let request = stream
            .set_nonblocking(false)
            .and_then(|()| stream.set_read_timeout(Some(ANSWER_MAX)))
            .and_then(|()| stream.try_clone())
            .and_then(read_line);
        let request: Result<Request, _> = request
            .map_err(|error| error.to_string())
            .and_then(|line| serde_json::from_str(&line).map_err(|error| error.to_string()));
        let answer = match &request {
            Ok(request) => answer(lab, request),
            Err(why) => refused(why.clone()),
        };
        let mut line = serde_json::to_vec(&answer).unwrap_or_default();
        line.push(b'\n');
        drop(stream.write_all(&line));
        if matches!(request, Ok(Request::Down)) {
            break;
        }
    }
    drop(std::fs::remove_file(&at));
    Ok(())
}

/// Does what is asked.
pub fn answer(lab: &Lab, request: &Request) -> Answer {
    match act(lab, request) {
        Ok(answer) => answer,
        Err(why) => refused(why),
    }
}

fn act(lab: &Lab, request: &Request) -> Result<Answer, String> {
    let said = |error: LabError| error.to_string();
    match request {
        Request::Cut { link, one_way } => lab.cut(link, *one_way),
        Request::Heal { link } => lab.heal(link.as_deref()),
        Request::Link { link, change } => change_link(lab, link, change)?,
        Request::Pause { name } => lab.pause(name),
        Request::Resume { name } => lab.resume(name),
        Request::Kill { name } => lab.kill(name),
        Request::Start { name } => lab.start(name),
        Request::Clock {
            name,
            offset,
            drift,
        } => {
            let offset = offset.as_deref().map(quantity::offset_ms).transpose()?;
            let drift = drift.as_deref().map(quantity::drift_ppm).transpose()?;
            lab.hurt(name, |faults| {
                faults.clock_ms = offset.unwrap_or(faults.clock_ms);
                faults.drift_ppm = drift.unwrap_or(faults.drift_ppm);
            })
        }
        Request::Disk {
            name,
            fail_fdatasync_after,
            slow,
            full,
        } => {
            let slow = slow.as_deref().map(quantity::duration).transpose()?;
            let slow_ms = u64::try_from(slow.unwrap_or_default().as_millis()).unwrap_or(u64::MAX);
            lab.hurt(name, |faults| {
                faults.fail_sync_after = *fail_fdatasync_after;
                faults.slow_ms = slow_ms;
                faults.full = *full;
            })
        }
        Request::Rtt => return round_trips(lab).map_err(said),
        Request::Status | Request::Down => Ok(()),
    }
    .map_err(said)?;
    let status = lab.status().map_err(said)?;
    Ok(Answer {
        ok: true,
        text: table(&status),
        json: json!(status),
    })
}

fn change_link(lab: &Lab, link: &str, change: &LinkChange) -> Result<Result<(), LabError>, String> {
    let us = |text: &Option<String>| -> Result<Option<u64>, String> {
        let duration = text.as_deref().map(quantity::duration).transpose()?;
        Ok(duration.map(|it| u64::try_from(it.as_micros()).unwrap_or(u64::MAX)))
    };
    let ppm = |text: &Option<String>| text.as_deref().map(quantity::share_ppm).transpose();
    let (delay, jitter) = (us(&change.delay)?, us(&change.jitter)?);
    let (loss, twice) = (ppm(&change.loss)?, ppm(&change.duplicate)?);
    let reorder = ppm(&change.reorder)?;
    let bandwidth = change
        .bandwidth
        .as_deref()
        .map(quantity::bandwidth)
        .transpose()?;
    Ok(lab.change(link, change.one_way, |link| {
        link.delay_us = delay.unwrap_or(link.delay_us);
        link.jitter_us = jitter.unwrap_or(link.jitter_us);
        link.loss_ppm = loss.unwrap_or(link.loss_ppm);
        link.duplicate_ppm = twice.unwrap_or(link.duplicate_ppm);
        link.reorder_ppm = reorder.unwrap_or(link.reorder_ppm);
        link.bandwidth_bps = bandwidth.unwrap_or(link.bandwidth_bps);
        link.hole_over_bytes = change.hole.unwrap_or(link.hole_over_bytes);
    }))
}

/// From the first node to every other.
fn round_trips(lab: &Lab) -> Result<Answer, LabError> {
    let Some(first) = lab.hosts().first() else {
        return Err(LabError::Refused("there is no host".to_owned()));
    };
    let (mut text, mut rows) = (String::new(), Vec::new());
    for host in lab.hosts().iter().skip(1) {
        let trip = lab.round_trip(&first.node, &host.node)?;
        let ms = trip.map(|trip| trip.as_secs_f64() * 1_000.0);
        let shown = ms.map_or_else(|| "-".to_owned(), |ms| format!("{ms:.2} ms"));
        text += &format!("{:<10} {:<10} {shown}\n", first.node, host.node);
        rows.push(json!({"from": first.node, "to": host.node, "ms": ms}));
    }
    Ok(Answer {
        ok: true,
        text,
        json: json!(rows),
    })
}

fn table(status: &Status) -> String {
    let faults = words(status);
    let mut text = String::new();
    for node in &status.nodes {
        let pid = node
            .pid
            .map_or_else(|| "-".to_owned(), |pid| pid.to_string());
        text += &format!(
            "{:<9} {:<5} {:<10} {:<18} {:>8} {:>3}  {}\n",
            node.node,
            node.centre,
            node.wan,
            node.door,
            pid,
            node.restarts,
            faults.get(&node.node).map_or("ok", String::as_str)
        );
    }
    for one in &status.links {
        text += &format!("{} -> {}  {}\n", one.from, one.to, link_words(&one.link));
    }
    let all = status.passed;
    text += &format!(
        "{} packets, {:.1} MB, {} dropped\n",
        all.packets,
        all.bytes as f64 / 1e6,
        all.dropped
    );
    text
}

fn link_words(link: &crate::wan::Link) -> String {
    if link.cut {
        return "cut".to_owned();
    }
    let mut text = format!("delay {:.2} ms", link.delay_us as f64 / 1e3);
    let share = |ppm: u32| f64::from(ppm) / 1e4;
    let parts = [
        (
            link.jitter_us > 0,
            format!(", jitter {:.2} ms", link.jitter_us as f64 / 1e3),
        ),
        (
            link.loss_ppm > 0,
            format!(", loss {} %", share(link.loss_ppm)),
        ),
        (
            link.duplicate_ppm > 0,
            format!(", twice {} %", share(link.duplicate_ppm)),
        ),
        (
            link.reorder_ppm > 0,
            format!(", overtaking {} %", share(link.reorder_ppm)),
        ),
        (
            link.bandwidth_bps > 0,
            format!(", {} bit/s", link.bandwidth_bps),
        ),
        (
            link.hole_over_bytes > 0,
            format!(", none over {} bytes", link.hole_over_bytes),
        ),
    ];
    for (is, words) in parts {
        if is {
            text += &words;
        }
    }
    text
}

fn refused(why: String) -> Answer {
    Answer {
        ok: false,
        json: json!({ "error": why }),
        text: why,
    }
}

fn read_line(stream: UnixStream) -> std::io::Result<String> {
    let mut line = String::new();
    let mut reader = BufReader::new(std::io::Read::take(stream, LINE_BYTES_MAX));
    reader.read_line(&mut line)?;
    Ok(line)
}
