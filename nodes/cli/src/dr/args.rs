//! What may be typed after `dr`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use guitai_types::{CentreId, CityId, NodeName, RunId, StaffName};

use crate::{Asked, Output};

/// `dr …`
#[derive(Debug, Subcommand)]
pub enum Dr {
    /// 现在会怎么做:步骤、余量、预计 RTO 与 RPO / What would be done now: steps, margins, expected RTO and RPO
    Plan(Plan),
    /// 预演:同样的步骤与代码,不切断、不切换 / Rehearse: the same steps and code, nothing is cut or moved
    Rehearse(Rehearse),
    /// 提出并执行,须两名授权人批准 / Propose and carry out; two officers must approve
    Run(Run),
    /// 授权人以本人密钥批准 / An officer approves with the own key
    Approve(Approve),
    /// 中止并回退 / Stop and undo
    Abort(Abort),
    /// 切回配置首选的中心 / Move back to the centre that the profile prefers
    Failback(Failback),
    /// 一次运行的全过程 / One run, with all that happened
    Show(One),
    /// 取回签名报告:JSON、签名、可打印页面 / Fetch the signed report: JSON, signature, a page to print
    Report(Report),
    /// 离线校验报告 / Check a report offline
    Verify(Verify),
    /// 历次运行 / All runs
    History(Asked),
    /// 授权人的密钥 / An officer's own key
    #[command(subcommand)]
    Key(Key),
}

/// What for.
#[derive(Debug, Args)]
pub struct Aim {
    /// 场景 / Scenario
    #[arg(long, value_enum)]
    pub scenario: Scenario,
    /// 节点(node) / The node (node)
    #[arg(long)]
    pub node: Option<NodeName>,
    /// 中心(centre;link 的一端) / The centre (centre; one end of a link)
    #[arg(long)]
    pub centre: Option<CentreId>,
    /// 目标中心(switch;link 的另一端) / Where to (switch; the other end of a link)
    #[arg(long)]
    pub to: Option<CentreId>,
    /// 失联城市(city) / The lost city (city)
    #[arg(long)]
    pub lost: Option<CityId>,
    /// 接管节点(city) / The node that takes over (city)
    #[arg(long)]
    pub on: Option<NodeName>,
    /// 仅单向中断(link) / Only one way is cut (link)
    #[arg(long)]
    pub one_way: bool,
    /// 隔离多久,毫秒 / How long to hold apart, in milliseconds
    #[arg(long, default_value_t = 5_000)]
    pub hold_ms: u64,
}

/// Scenario of a plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Scenario {
    /// 单节点 / One node
    Node,
    /// 整个中心 / A whole centre
    Centre,
    /// 中心间链路 / A link between centres
    Link,
    /// 城市失联,强制接管 / A lost city: takeover by force
    City,
    /// 计划内切换 / A planned switch
    Switch,
}

/// Arguments of `dr plan`.
#[derive(Debug, Args)]
pub struct Plan {
    /// What for.
    #[command(flatten)]
    pub aim: Aim,
    /// Which cluster, as whom, and how to show it.
    #[command(flatten)]
    pub asked: Asked,
}

/// Arguments of `dr rehearse`.
#[derive(Debug, Args)]
pub struct Rehearse {
    /// What for.
    #[command(flatten)]
    pub aim: Aim,
    /// 负向检验:故意丢弃一条已确认的写入,结论必须为红 / Negative control: one acknowledged write is lost on purpose, the verdict must be red
    #[arg(long)]
    pub inject_loss: bool,
    /// Which cluster, as whom, and how to show it.
    #[command(flatten)]
    pub asked: Asked,
}

/// Arguments of `dr run`.
#[derive(Debug, Args)]
pub struct Run {
    /// What for.
    #[command(flatten)]
    pub aim: Aim,
    /// 提出后不等待 / Do not wait after proposing
    #[arg(long)]
    pub no_wait: bool,
    /// Which cluster, as whom, and how to show it.
    #[command(flatten)]
    pub asked: Asked,
}

/// Arguments of `dr failback`.
#[derive(Debug, Args)]
pub struct Failback {
    /// 目标中心;默认为第一个中心 / Where to; the first centre unless given
    #[arg(long)]
    pub to: Option<CentreId>,
    /// 提出后不等待 / Do not wait after proposing
    #[arg(long)]
    pub no_wait: bool,
    /// Which cluster, as whom, and how to show it.
    #[command(flatten)]
    pub asked: Asked,
}

/// Whose key signs an approval.
#[derive(Debug, Args)]
pub struct Signer {
    /// 授权人登录名(演示数据目录中有其密钥与口令) / The officer's login name (whose key and passphrase a demonstration's data has)
    #[arg(long)]
    pub officer: Option<StaffName>,
    /// 密钥文件 / Key file
    #[arg(long)]
    pub key: Option<PathBuf>,
    /// 密钥口令;宜用环境变量 / The key's passphrase; better by the environment
    #[arg(long, env = "GUITAI_OFFICER_PASSPHRASE", hide_env_values = true)]
    pub passphrase: Option<String>,
}

/// Arguments of `dr approve`.
#[derive(Debug, Args)]
pub struct Approve {
    /// 运行编号 / Run id
    pub run: RunId,
    /// Whose key signs.
    #[command(flatten)]
    pub signer: Signer,
    /// 确认失联城市自此刻(Unix 毫秒)起已断电或断网 / Attests that the lost city is off since (Unix milliseconds)
    #[arg(long)]
    pub off_since: Option<u64>,
    /// Which cluster, as whom, and how to show it.
    #[command(flatten)]
    pub asked: Asked,
}

/// Arguments of `dr abort`.
#[derive(Debug, Args)]
pub struct Abort {
    /// 运行编号 / Run id
    pub run: RunId,
    /// 原因 / Why
    #[arg(long, default_value = "")]
    pub why: String,
    /// Which cluster, as whom, and how to show it.
    #[command(flatten)]
    pub asked: Asked,
}

/// Arguments of a command about one run.
#[derive(Debug, Args)]
pub struct One {
    /// 运行编号 / Run id
    pub run: RunId,
    /// 等到结束 / Wait until it is over
    #[arg(long)]
    pub wait: bool,
    /// Which cluster, as whom, and how to show it.
    #[command(flatten)]
    pub asked: Asked,
}

/// Arguments of `dr report`.
#[derive(Debug, Args)]
pub struct Report {
    /// 运行编号 / Run id
    pub run: RunId,
    /// 写入此目录,必须尚不存在或为空 / Directory to write to; must be new or empty
    #[arg(long)]
    pub out: PathBuf,
    /// Which cluster, as whom, and how to show it.
    #[command(flatten)]
    pub asked: Asked,
}

/// Arguments of `dr verify`.
#[derive(Debug, Args)]
pub struct Verify {
    /// 报告目录 / Directory of the report
    pub dir: PathBuf,
    /// 信任的根证书(PEM);不给则只报告所附的根 / Root certificate to trust (PEM); without it the report's own is named
    #[arg(long)]
    pub root: Option<PathBuf>,
    /// How to show it.
    #[command(flatten)]
    pub output: Output,
}

/// `dr key …`
#[derive(Debug, Subcommand)]
pub enum Key {
    /// 生成密钥文件 / Draw a key and write its file
    New(NewKey),
    /// 登记公钥 / Name the public half to the cluster
    Register(RegisterKey),
}

/// Arguments of `dr key new`.
#[derive(Debug, Args)]
pub struct NewKey {
    /// 授权人,机构/登录名 / The officer, as institution/name
    pub officer: String,
    /// 写入此文件 / File to write
    #[arg(long)]
    pub out: PathBuf,
    /// 密钥口令;宜用环境变量 / The key's passphrase; better by the environment
    #[arg(long, env = "GUITAI_OFFICER_PASSPHRASE", hide_env_values = true)]
    pub passphrase: Option<String>,
    /// How to show it.
    #[command(flatten)]
    pub output: Output,
}

/// Arguments of `dr key register`.
#[derive(Debug, Args)]
pub struct RegisterKey {
    /// 密钥文件 / Key file
    pub key: PathBuf,
    /// Which cluster, as whom, and how to show it.
    #[command(flatten)]
    pub asked: Asked,
}

impl Dr {
    pub(crate) fn output(&self) -> &Output {
        match self {
            Self::Plan(it) => &it.asked.output,
            Self::Rehearse(it) => &it.asked.output,
            Self::Run(it) => &it.asked.output,
            Self::Approve(it) => &it.asked.output,
            Self::Abort(it) => &it.asked.output,
            Self::Failback(it) => &it.asked.output,
            Self::Show(it) => &it.asked.output,
            Self::Report(it) => &it.asked.output,
            Self::Verify(it) => &it.output,
            Self::History(it) => &it.output,
            Self::Key(Key::New(it)) => &it.output,
            Self::Key(Key::Register(it)) => &it.asked.output,
        }
    }
}
