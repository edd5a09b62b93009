//! What may be typed after `ferry`.

use std::{path::PathBuf, str::FromStr};

use clap::{Args, Subcommand};
use guitai_ferry::{limits, report::OVERDUE_HOURS_DEFAULT};
use guitai_types::{Date, FerryId, SideName, UnixMillis};

use crate::args::Output;

/// `ferry …`
#[derive(Debug, Subcommand)]
pub enum Ferry {
    /// 建立本侧:生成签名密钥,钉定对侧公钥 / Set up this side: draw its key, pin the other side's
    Init(Box<Init>),
    /// 将录制包、日志副本、报告装入文件包,放入投放目录;再次运行即续传 / Put packages, log copies and reports into bundles in the drop folder; run again, it goes on
    Send(Send),
    /// 取走投放目录中的文件包:验签、逐项检查、落位、记下确认 / Take the bundles in the drop folder: verify, inspect, keep, acknowledge
    Receive(Receive),
    /// 何物经网闸进出:数量、大小、摘要、检查结果、拒收 / What passed the gap: count, size, hash, inspection result, refused
    Report(ReportOf),
    /// 本侧进度:已发、未确认、已收、缺包 / Where this side stands: sent, unacknowledged, received, missing
    Status(Place),
}

impl Ferry {
    pub(crate) const fn output(&self) -> &Output {
        match self {
            Self::Init(it) => &it.place.output,
            Self::Send(it) => &it.place.output,
            Self::Receive(it) => &it.place.output,
            Self::Report(it) => &it.place.output,
            Self::Status(place) => &place.output,
        }
    }
}

/// Which side, and how to show it.
#[derive(Debug, Clone, Args)]
pub struct Place {
    /// 本侧的状态目录 / This side's state folder
    #[arg(long, default_value = "guitai-ferry", value_name = "DIR")]
    pub state: PathBuf,
    /// 签名密钥的口令文件;默认为状态目录中的 passphrase / File with the signing key's passphrase; passphrase in the state folder unless given
    #[arg(long, value_name = "FILE")]
    pub passphrase_file: Option<PathBuf>,
    /// How to show it.
    #[command(flatten)]
    pub output: Output,
}

/// Arguments of `ferry init`.
#[derive(Debug, Args)]
pub struct Init {
    /// 网闸名称,两侧相同 / Name of the gap, the same on both sides
    #[arg(long, value_name = "ID")]
    pub ferry: Option<FerryId>,
    /// 本侧名称 / Name of this side
    #[arg(long, value_name = "SIDE")]
    pub me: Option<SideName>,
    /// 对侧名称 / Name of the other side
    #[arg(long, value_name = "SIDE")]
    pub peer: Option<SideName>,
    /// 对侧的公钥(对侧 init 所印的一行);可稍后再次运行 init 给出 / The other side's key, the line its init prints; may be given later by init again
    #[arg(long, value_name = "KEY")]
    pub peer_key: Option<String>,
    /// 发出的投放目录 / Drop folder of what leaves
    #[arg(long, value_name = "DIR")]
    pub drop_out: Option<PathBuf>,
    /// 收入的投放目录 / Drop folder of what enters
    #[arg(long, value_name = "DIR")]
    pub drop_in: Option<PathBuf>,
    /// 收下的内容放在此处 / Where what was accepted is kept
    #[arg(long, value_name = "DIR")]
    pub into: Option<PathBuf>,
    /// 收录制包所信任的根证书(PEM);不给则一律拒收录制包 / Root certificate that recordings must lead to (PEM); without it recordings are refused
    #[arg(long, value_name = "PEM")]
    pub root: Option<PathBuf>,
    /// 收日志所信任的策略,可多次;不给则一律拒收日志 / Policy that a log's checkpoint must satisfy; may be given again; without it logs are refused
    #[arg(long, value_name = "FILE")]
    pub policy: Vec<PathBuf>,
    /// 另行检查每个收到的文件的程序(如杀毒),以文件路径为参数,退出码 0 为通过 / A program that inspects every file that enters too (a virus scanner): given its path, 0 lets it pass
    #[arg(long, value_name = "PROGRAM")]
    pub inspector: Option<PathBuf>,
    /// 每包内容上限(MiB)/ Most content of a bundle (MiB)
    #[arg(long, default_value_t = limits::CONTENT_BYTES_DEFAULT / MIB, value_name = "MIB",
        value_parser = clap::value_parser!(u64).range(1..=limits::CONTENT_BYTES_MAX / MIB))]
    pub content_mib: u64,
    /// 未确认的包上限;到此即停发 / Most unacknowledged bundles; sending stops there
    #[arg(long, default_value_t = limits::OUTSTANDING_DEFAULT, value_name = "N",
        value_parser = clap::value_parser!(u64).range(1..=limits::OUTSTANDING_MAX))]
    pub outstanding: u64,
    /// 未确认多少分钟后重发;0 为不自动重发(单向网闸)/ Minutes after which an unacknowledged bundle goes again; 0 for never (a gap without a way back)
    #[arg(long, default_value_t = limits::AGAIN_MS_DEFAULT / 60_000, value_name = "MINUTES")]
    pub again_minutes: u64,
    /// 投放目录中的文件静置多少秒后才读取(网闸可能直接写入)/ Seconds a file in the drop folder must rest before it is read: a gap may write in place
    #[arg(long, default_value_t = 10, value_name = "SECONDS")]
    pub settle_seconds: u64,
    /// Which side, and how to show it.
    #[command(flatten)]
    pub place: Place,
}

/// Bytes of a MiB.
pub(super) const MIB: u64 = 1024 * 1024;

/// Arguments of `ferry send`.
#[derive(Debug, Args)]
pub struct Send {
    /// 录制包(.vcep)、日志副本目录(guitai log mirror 所写)、报告(.json .txt .csv .md)/ Packages (.vcep), copies of the log (as guitai log mirror writes them), reports (.json .txt .csv .md)
    pub files: Vec<PathBuf>,
    /// 待发目录:其中的文件装入后即移走 / A spool folder: what is in it is taken out once it is queued
    #[arg(long, value_name = "DIR")]
    pub spool: Option<PathBuf>,
    /// 重发所有未确认的包 / Put every unacknowledged bundle into the drop folder again
    #[arg(long)]
    pub again: bool,
    /// 由人带回的确认文件(对侧 receive --answer-out 所写)/ An acknowledgement carried by hand, as the other side's receive --answer-out writes it
    #[arg(long, value_name = "FILE")]
    pub answer: Option<PathBuf>,
    /// Which side, and how to show it.
    #[command(flatten)]
    pub place: Place,
}

/// Arguments of `ferry receive`.
#[derive(Debug, Args)]
pub struct Receive {
    /// 另将确认写入此文件,由人带给对侧 / Write the acknowledgement into this file too, to be carried by hand
    #[arg(long, value_name = "FILE")]
    pub answer_out: Option<PathBuf>,
    /// Which side, and how to show it.
    #[command(flatten)]
    pub place: Place,
}

/// Arguments of `ferry report`.
#[derive(Debug, Args)]
pub struct ReportOf {
    /// 自何时起:24h、30d,或日期 YYYY-MM-DD(北京时间);不给则全部 / Since when: 24h, 30d, or a date in Beijing; all of it unless given
    #[arg(long, value_name = "WHEN")]
    pub since: Option<Since>,
    /// 多少小时未获确认即为问题 / Hours without an acknowledgement that are a finding
    #[arg(long, default_value_t = OVERDUE_HOURS_DEFAULT, value_name = "HOURS")]
    pub overdue_hours: u64,
    /// Which side, and how to show it.
    #[command(flatten)]
    pub place: Place,
}

/// A point in time as it is typed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Since {
    /// So many milliseconds ago.
    Ago(u64),
    /// From the beginning of a day in Beijing.
    Day(Date),
}

impl Since {
    /// The time, where it is `now`.
    pub(super) fn before(self, now: UnixMillis) -> UnixMillis {
        match self {
            Self::Ago(millis) => UnixMillis(now.0.saturating_sub(millis)),
            Self::Day(day) => day.begins(),
        }
    }
}

impl FromStr for Since {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        const HOUR_MS: u64 = 3_600_000;
        let units = [("h", HOUR_MS), ("d", 24 * HOUR_MS)];
        let ago = units.into_iter().find_map(|(unit, millis)| {
            let count: u64 = text.strip_suffix(unit)?.parse().ok()?;
            count.checked_mul(millis)
        });
        match ago {
            Some(millis) => Ok(Self::Ago(millis)),
            None => text
                .parse()
                .map(Self::Day)
                .map_err(|_| "24h, 30d or YYYY-MM-DD".to_owned()),
        }
    }
}
