//! What may be typed after `guitai pki`.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use guitai_crypto::{keys::Unlock, x509::Reason};

use super::{
    PASSPHRASE_VARIABLE,
    index::{Holder, Kind},
    vault,
};
use crate::Output;

/// Life of an authority made here, in days.
const AUTHORITY_DAYS: u32 = 3650;
/// Life of a leaf issued by hand, in days.
const LEAF_DAYS: u32 = 365;

/// `pki …`
#[derive(Debug, Subcommand)]
pub enum Pki {
    /// 建立证书目录:自签根、中间 CA,或申请由行内 CA 签发 / Make a directory: a root, an intermediate, or a request to the bank's CA
    Init(Init),
    /// 生成密钥与证书申请(PKCS#10) / Make a key and a request (PKCS#10)
    Csr(Csr),
    /// 导入行内 CA 签发的证书链 / Import the chain that the bank's CA signed
    Import(Import),
    /// 签发证书 / Issue a certificate
    Issue(Issue),
    /// 换发证书与密钥,旧证书可并存至到期 / Replace certificate and key; the old one may live out its life
    Rotate(Rotate),
    /// 吊销证书并更新吊销列表 / Revoke a certificate and renew the revocation list
    Revoke(Revoke),
    /// 列出证书,或操作日志 / List certificates, or the journal
    List(List),
    /// 显示证书、申请或吊销列表的全部内容 / Show all of a certificate, request or revocation list
    Show(Show),
}

impl Pki {
    pub(crate) const fn output(&self) -> &Output {
        match self {
            Self::Init(one) => &one.output,
            Self::Csr(one) => &one.output,
            Self::Import(one) => &one.output,
            Self::Issue(one) => &one.output,
            Self::Rotate(one) => &one.output,
            Self::Revoke(one) => &one.output,
            Self::List(one) => &one.output,
            Self::Show(one) => &one.output,
        }
    }
}

/// Which directory.
#[derive(Debug, Clone, Args)]
pub struct Place {
    /// 证书目录 / PKI directory
    #[arg(long, default_value = "guitai-data/pki")]
    pub dir: PathBuf,
    /// 封存 CA 私钥的口令文件;默认为目录中的 root-passphrase / File with the passphrase that seals the authority's key; root-passphrase in the directory unless given
    #[arg(long, env = PASSPHRASE_VARIABLE, hide_env_values = true)]
    pub passphrase_file: Option<PathBuf>,
}

impl Place {
    /// What opens the authority's key.
    pub(super) fn unlock(&self) -> Unlock {
        vault::unlock(&self.dir, self.passphrase_file.clone())
    }
}

/// For whom.
#[derive(Debug, Clone, Args)]
pub struct Who {
    /// 通用名;默认为名称 / CN; the name unless given
    #[arg(long)]
    pub common_name: Option<String>,
    /// 单位,即集群编号;默认为目录的 / O, the cluster's id; the directory's unless given
    #[arg(long)]
    pub organization: Option<String>,
    /// 域名,可多次给出 / DNS name; may be given again
    #[arg(long)]
    pub dns: Vec<String>,
}

impl Who {
    pub(super) fn complete(&self, name: &str, organization: &str) -> Holder {
        let or = |given: &Option<String>, default: &str| {
            given.clone().unwrap_or_else(|| default.to_owned())
        };
        Holder {
            common_name: or(&self.common_name, name),
            organization: or(&self.organization, organization),
            dns_names: self.dns.clone(),
        }
    }
}

/// Arguments of `pki init`.
#[derive(Debug, Args)]
pub struct Init {
    /// Which directory.
    #[command(flatten)]
    pub place: Place,
    /// CA 的名称 / The authority's name
    #[arg(long, default_value = "Guitai CA")]
    pub name: String,
    /// 单位,即集群编号 / O, the cluster's id
    #[arg(long)]
    pub organization: String,
    /// 有效期(天) / Life in days
    #[arg(long, default_value_t = AUTHORITY_DAYS)]
    pub days: u32,
    /// 由此目录的 CA 签发,作为其中间 CA / An intermediate of the authority in this directory
    #[arg(long, conflicts_with = "csr")]
    pub intermediate_of: Option<PathBuf>,
    /// 只生成申请,由行内 CA 签发后导入 / Only make a request; import what the bank's CA signs
    #[arg(long)]
    pub csr: bool,
    /// How to show it.
    #[command(flatten)]
    pub output: Output,
}

/// Arguments of `pki csr`.
#[derive(Debug, Args)]
pub struct Csr {
    /// 名称 / Name
    pub name: String,
    /// 用途 / What for
    #[arg(long, value_enum)]
    pub kind: Kind,
    /// For whom.
    #[command(flatten)]
    pub holder: Who,
    /// Which directory.
    #[command(flatten)]
    pub place: Place,
    /// How to show it.
    #[command(flatten)]
    pub output: Output,
}

/// Arguments of `pki import`.
#[derive(Debug, Args)]
pub struct Import {
    /// 申请的名称;CA 自身为 ca / Name of the request; the authority's own is ca
    pub name: String,
    /// 证书链(PEM),本证书在前 / Chain (PEM), the certificate itself first
    pub chain: PathBuf,
    /// 信任的根证书(PEM),首次导入时必须给出 / Root to trust (PEM); needed the first time
    #[arg(long)]
    pub root: Option<PathBuf>,
    /// Which directory.
    #[command(flatten)]
    pub place: Place,
    /// How to show it.
    #[command(flatten)]
    pub output: Output,
}

/// Arguments of `pki issue`.
#[derive(Debug, Args)]
pub struct Issue {
    /// 名称;有 --csr 时默认为申请的通用名 / Name; with --csr the request's CN unless given
    pub name: Option<String>,
    /// 证书申请(PEM) / Request (PEM)
    #[arg(long)]
    pub csr: Option<PathBuf>,
    /// 用途;有 --csr 时默认依申请 / What for; with --csr as requested unless given
    #[arg(long, value_enum)]
    pub kind: Option<Kind>,
    /// For whom.
    #[command(flatten)]
    pub holder: Who,
    /// 有效期(天) / Life in days
    #[arg(long, default_value_t = LEAF_DAYS)]
    pub days: u32,
    /// 双证书:另发一张加密证书 / A pair: also a certificate for encryption
    #[arg(long, conflicts_with = "csr")]
    pub dual: bool,
    /// 另放一份于此目录,换发时同步 / Also put it into this directory, and its successors
    #[arg(long, conflicts_with = "csr")]
    pub install: Option<PathBuf>,
    /// 到期前自动换发 / Renewed by itself before its end
    #[arg(long, conflicts_with = "csr")]
    pub renew: bool,
    /// Which directory.
    #[command(flatten)]
    pub place: Place,
    /// How to show it.
    #[command(flatten)]
    pub output: Output,
}

/// Arguments of `pki rotate`.
#[derive(Debug, Args)]
pub struct Rotate {
    /// 名称 / Name
    pub name: String,
    /// 立即吊销旧证书 / Revoke the old certificate at once
    #[arg(long)]
    pub revoke_old: bool,
    /// Which directory.
    #[command(flatten)]
    pub place: Place,
    /// How to show it.
    #[command(flatten)]
    pub output: Output,
}

/// Arguments of `pki revoke`.
#[derive(Debug, Args)]
pub struct Revoke {
    /// 序列号或名称 / Serial number or name
    pub which: String,
    /// 原因(RFC 5280):unspecified、keyCompromise、superseded 等 / Reason (RFC 5280)
    #[arg(long, value_parser = reason)]
    pub reason: Why,
    /// Which directory.
    #[command(flatten)]
    pub place: Place,
    /// How to show it.
    #[command(flatten)]
    pub output: Output,
}

/// A reason as typed.
#[derive(Debug, Clone, Copy)]
pub struct Why(pub Reason);

fn reason(text: &str) -> Result<Why, String> {
    let found = Reason::ALL.into_iter().find(|one| one.as_str() == text);
    let known = Reason::ALL.map(Reason::as_str).join(", ");
    found.map(Why).ok_or_else(|| format!("one of {known}"))
}

/// Arguments of `pki list`.
#[derive(Debug, Args)]
pub struct List {
    /// 显示操作日志 / Show the journal
    #[arg(long)]
    pub journal: bool,
    /// Which directory.
    #[command(flatten)]
    pub place: Place,
    /// How to show it.
    #[command(flatten)]
    pub output: Output,
}

/// Arguments of `pki show`.
#[derive(Debug, Args)]
pub struct Show {
    /// 文件(证书、申请或吊销列表)、名称或序列号 / File (certificate, request or list), name or serial number
    pub what: String,
    /// Which directory.
    #[command(flatten)]
    pub place: Place,
    /// How to show it.
    #[command(flatten)]
    pub output: Output,
}
