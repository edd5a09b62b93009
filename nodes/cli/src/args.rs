//! What may be typed. The binary flattens [`Command`] beside its own commands.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use guitai_types::{InstitutionId, NodeName, SessionId, StaffName};
use url::Url;

use crate::attest::Attest;
use crate::audit::Audit;
use crate::composite::Composite;
use crate::dr::args::Dr;
use crate::ferry::Ferry;
use crate::flow::Flow;
use crate::keys::Keys;
use crate::log::Log;
use crate::node::Node;
use crate::pki::args::Pki;
use crate::recordings::Recordings;
use crate::relay::Relay;
use crate::sandbox::Sandbox;
use crate::trace::Trace;
use crate::tsa::Tsa;

/// The commands that talk to a running cluster, and the offline verifier.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// 集群概览 / The cluster at a glance
    Status(Asked),
    /// 节点一览 / The nodes and how they are
    Nodes(Asked),
    /// 会话一览 / The sessions
    Sessions(Sessions),
    /// 录制一览;保存期限、保全与销毁 / The recordings; how long they are kept, holds, and their end
    Recordings(Box<Recordings>),
    /// 证据包:导出与离线校验 / Evidence packages: export, and verify offline
    #[command(subcommand)]
    Evidence(Evidence),
    /// 透明日志:证明、副本与离线校验 / The transparency log: proofs, copies, and checks offline
    #[command(subcommand)]
    Log(Log),
    /// 流转矩阵:跨区流转、差异、防火墙规则、失陷影响 / The flow matrix: what may cross zones, diffs, firewall rules, blast radius
    #[command(subcommand)]
    Flow(Flow),
    /// 缓冲区:协议断点、消息规格、留存、存储、失陷影响 / The buffer area: where protocols end, what may cross, residue, stores, blast radius
    #[command(subcommand)]
    Relay(Relay),
    /// 一次会话的路径 / The path of one session
    #[command(subcommand)]
    Trace(Trace),
    /// 审计:谁登录、做了什么、取用了什么 / Audit: who logged in, did what, was given what
    #[command(subcommand)]
    Audit(Audit),
    /// 核验:各节点所运行者是否为批准者 / Whether what runs on every node is what was approved
    #[command(subcommand)]
    Attest(Attest),
    /// 网闸摆渡:以带编号、签名的文件包进出,逐项检查、可续传 / The ferry: what passes a file gap, in numbered, signed bundles
    #[command(subcommand)]
    Ferry(Ferry),
    /// 沙箱:各节点进程受何约束,本机内核能给什么 / The sandbox: what holds each node's process, what this kernel can give
    #[command(subcommand)]
    Sandbox(Sandbox),
    /// 密码:清单与自检 / Cryptography: the inventory and the self-test
    #[command(subcommand)]
    Crypto(Crypto),
    /// 证书:签发、换发、吊销 / Certificates: issue, rotate, revoke
    #[command(subcommand)]
    Pki(Pki),
    /// 时间戳:签发与离线校验 / Time stamps: make one, and check offline
    #[command(subcommand)]
    Tsa(Tsa),
    /// 密钥:何在、轮换、重新包裹 / Keys at rest: where they are, rotate, rewrap
    #[command(subcommand)]
    Keys(Keys),
    /// 灾备:计划、预演、切换、报告 / Disaster recovery: plan, rehearse, fail over, report
    #[command(subcommand)]
    Dr(Dr),
    /// 单个节点:纪元、重新加入、投票权 / One node: its epoch, coming back, who votes
    #[command(subcommand)]
    Node(Node),
    /// 经由浏览器所走的入口完成整通演示通话 / Complete calls through the doors that browsers use
    Demo(Demo),
    /// 打印 HTTP 接口描述(OpenAPI) / Print the description of the HTTP interface (OpenAPI)
    Openapi,
}

impl Command {
    /// How it was asked to show things; `None` where there is no choice.
    pub(crate) fn output(&self) -> Option<&Output> {
        match self {
            Self::Status(it) | Self::Nodes(it) => Some(&it.output),
            Self::Recordings(it) => Some(it.output()),
            Self::Sessions(it) => Some(&it.asked.output),
            Self::Evidence(Evidence::Export(export)) => Some(&export.asked.output),
            Self::Evidence(Evidence::Verify(verify)) => Some(&verify.output),
            Self::Evidence(Evidence::Composite(composite)) => Some(composite.output()),
            Self::Log(log) => Some(log.output()),
            Self::Flow(flow) => Some(flow.output()),
            Self::Relay(relay) => Some(&relay.asked().output),
            Self::Trace(Trace::Session(session)) => Some(&session.asked.output),
            Self::Audit(audit) => Some(audit.output()),
            Self::Attest(attest) => Some(attest.output()),
            Self::Ferry(ferry) => Some(ferry.output()),
            Self::Sandbox(sandbox) => Some(sandbox.output()),
            Self::Crypto(Crypto::Inventory(it)) => Some(&it.output),
            Self::Crypto(Crypto::Selftest(selftest)) => Some(&selftest.output),
            Self::Pki(pki) => Some(pki.output()),
            Self::Tsa(tsa) => Some(tsa.output()),
            Self::Keys(keys) => Some(keys.output()),
            Self::Dr(dr) => Some(dr.output()),
            Self::Node(node) => Some(node.output()),
            Self::Demo(demo) => Some(&demo.output),
            Self::Openapi => None,
        }
    }
}

/// Which cluster, as whom, and how to show it: what every command about a cluster takes.
#[derive(Debug, Clone, Args)]
pub struct Asked {
    /// Which cluster, and as whom.
    #[command(flatten)]
    pub access: Access,
    /// How to show it.
    #[command(flatten)]
    pub output: Output,
}

/// Arguments of `sessions`.
#[derive(Debug, Args)]
pub struct Sessions {
    /// 只列出此状态的会话 / Only sessions in this state
    #[arg(long, value_enum)]
    pub state: Option<SessionState>,
    /// Which cluster, as whom, and how to show it.
    #[command(flatten)]
    pub asked: Asked,
}

/// Which sessions to list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum SessionState {
    /// Going on.
    Running,
    /// Over.
    Ended,
}

/// `evidence …`
#[derive(Debug, Subcommand)]
pub enum Evidence {
    /// 取回一通会话的证据包 / Fetch the package of a session
    Export(Export),
    /// 离线逐项校验证据包 / Check a package offline, item by item
    Verify(Verify),
    /// 合成录像:由证据包制作、校验 / The composite: one film of the call, made from its package and checked
    #[command(subcommand)]
    Composite(Composite),
}

/// Arguments of `evidence export`.
#[derive(Debug, Args)]
pub struct Export {
    /// 会话编号 / Session id
    pub session: SessionId,
    /// 取这个节点录的那一份;不给则取内容最全的一份 / The recording this node made; without it the one that has most of the call
    #[arg(long, value_name = "NODE")]
    pub recorder: Option<NodeName>,
    /// 写入此目录(必须尚不存在或为空),或写成一个文件(名称以 .vcep 结尾,必须尚不存在)/ Directory to write to, new or empty; or, where the name ends in .vcep, one new file
    #[arg(long)]
    pub out: PathBuf,
    /// 为何取用,一行,至多 200 字节;先记入透明日志,记不下就不给 / Why it is wanted: one line, at most 200 bytes; it goes into the transparency log first, and what the log does not take is not handed out
    #[arg(long, value_name = "TEXT")]
    pub reason: String,
    /// Which cluster, as whom, and how to show it.
    #[command(flatten)]
    pub asked: Asked,
}

/// Arguments of `evidence verify`.
#[derive(Debug, Args)]
pub struct Verify {
    /// 证据包:目录或 .vcep 文件 / The package: a directory or a .vcep file
    pub package: PathBuf,
    /// 信任的根证书(PEM);不给则只报告包内的根 / Root certificate to trust (PEM); without it the package's own root is reported
    #[arg(long)]
    pub root: Option<PathBuf>,
    /// 信任的日志策略(C2SP tlog-policy);不给则采用包内的策略 / Policy for the log's checkpoints (C2SP tlog-policy); without it the package's own is taken
    #[arg(long)]
    pub policy: Option<PathBuf>,
    /// 由此包制成的合成录像,一并校验;说明须在其旁 / A film made of the package, checked with it; its description is beside it
    #[arg(long, value_name = "FILM.mp4")]
    pub composite: Option<PathBuf>,
    /// 缺少时间戳或日志证明也算不通过 / Fail also where the time stamp or proofs of the log are missing
    #[arg(long)]
    pub complete: bool,
    /// How to show it.
    #[command(flatten)]
    pub output: Output,
}

/// `crypto …`
#[derive(Debug, Subcommand)]
pub enum Crypto {
    /// 全集群密码清单:每条链路、每处存储 / What protects every hop and every store of the cluster
    Inventory(Asked),
    /// 以标准示例自检本机密码实现 / Run the standards' examples on this machine
    Selftest(Selftest),
}

/// Arguments of `crypto selftest`.
#[derive(Debug, Args)]
pub struct Selftest {
    /// 故意破坏名称以此开头的项目,检验自检能否发现 / Break the checks whose name begins so, to see that the test finds it
    #[arg(long = "break", value_name = "CHECK")]
    pub break_check: Option<String>,
    /// How to show it.
    #[command(flatten)]
    pub output: Output,
}

/// Arguments of `demo`.
#[derive(Debug, Args)]
pub struct Demo {
    /// 通话数 / How many calls
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub calls: u16,
    /// 同时进行几通;每通需要一名坐席 / How many at once; each takes an agent of its own
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=200))]
    pub at_once: u16,
    /// 开始录制后通话多少秒 / Seconds both sides talk once the recording runs
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=3600))]
    pub talk: u16,
    /// 保留证据包于此目录 / Keep the evidence packages in this directory
    #[arg(long)]
    pub keep_package: Option<PathBuf>,
    /// 数据目录(含 cluster.json) / Data directory (with cluster.json)
    #[arg(long, default_value = "guitai-data")]
    pub data: PathBuf,
    /// How to show it.
    #[command(flatten)]
    pub output: Output,
}

/// Which cluster, and as whom.
#[derive(Debug, Clone, Args)]
pub struct Access {
    /// 数据目录(含 cluster.json) / Data directory (with cluster.json)
    #[arg(long, default_value = "guitai-data")]
    pub data: PathBuf,
    /// 内网节点地址,代替 --data / Address of an inner node, instead of --data
    #[arg(long, env = "GUITAI_URL")]
    pub url: Option<Url>,
    /// 登录凭证 / Staff token
    #[arg(long, env = "GUITAI_TOKEN", hide_env_values = true)]
    pub token: Option<String>,
    /// 机构 / Institution
    #[arg(long)]
    pub institution: Option<InstitutionId>,
    /// 登录名 / Login name
    #[arg(long)]
    pub name: Option<StaffName>,
    /// 密码;宜用环境变量 / Password; better by the environment
    #[arg(long, env = "GUITAI_PASSWORD", hide_env_values = true)]
    pub password: Option<String>,
}

/// How to show it.
#[derive(Debug, Clone, Args)]
pub struct Output {
    /// 以 JSON 输出 / Print JSON
    #[arg(long)]
    pub json: bool,
    /// 语言;默认随 LANG / Language; by LANG unless given
    #[arg(long, value_enum)]
    pub lang: Option<crate::Language>,
}
