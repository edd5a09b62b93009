//! What may be typed after `guitai keys`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use guitai_crypto::keys::Purpose;

use crate::{Access, Output};

/// `keys …`: the keys at rest of a node or of a deployment's data directory.
#[derive(Debug, Subcommand)]
pub enum Keys {
    /// 每把密钥在何处、何区可用 / Where each key lives, and which zone can use it
    Where(Where),
    /// 密钥加密密钥逐代列出 / Every key-encryption key, generation by generation
    List(Place),
    /// 为旧版本的数据目录建立密钥库 / Make the key stores of a data directory of the release before
    Init(Place),
    /// 轮换根密钥或某一用途的密钥加密密钥 / Rotate the root, or the KEK of one purpose
    Rotate(Rotate),
    /// 以最新一代重新包裹数据密钥 / Wrap data keys anew, under the newest generation
    Rewrap(Rewrap),
    /// 将根密钥分给多名保管人 / Split the root among officers
    Split(Split),
    /// 由保管人的分份恢复根密钥 / Restore the root from officers' shares
    Combine(Combine),
    /// 试用密码设备:自述、包裹、签名 / Try a device: who it is, wrapping, signing
    Device(Device),
}

impl Keys {
    /// How it was asked to show things.
    pub(crate) const fn output(&self) -> &Output {
        match self {
            Self::Where(which) => &which.output,
            Self::List(place) | Self::Init(place) => &place.output,
            Self::Rotate(rotate) => &rotate.place.output,
            Self::Rewrap(rewrap) => &rewrap.place.output,
            Self::Split(split) => &split.place.output,
            Self::Combine(combine) => &combine.output,
            Self::Device(device) => &device.output,
        }
    }
}

/// Which keys.
#[derive(Debug, Args)]
pub struct Place {
    /// 部署的数据目录,或单个节点的目录 / Data directory of a deployment, or one node's directory
    #[arg(long, default_value = "guitai-data")]
    pub data: PathBuf,
    /// 只看此节点 / Only this node
    #[arg(long)]
    pub node: Option<String>,
    /// 根密钥口令文件;默认为节点目录中的 root-passphrase / File with the root's passphrase; root-passphrase in the node's directory unless given
    #[arg(long, env = "GUITAI_ROOT_PASSPHRASE_FILE", hide_env_values = true)]
    pub passphrase_file: Option<PathBuf>,
    /// How to show it.
    #[command(flatten)]
    pub output: Output,
}

/// Arguments of `keys where`.
#[derive(Debug, Args)]
pub struct Where {
    /// 问运行中集群的每个节点,不读本机文件;给出 --url 时亦然 / Ask every node of the running cluster instead of reading files here; so does --url
    #[arg(long)]
    pub online: bool,
    /// 只看此节点 / Only this node
    #[arg(long)]
    pub node: Option<String>,
    /// 离线:根密钥口令文件;默认为节点目录中的 root-passphrase / Offline: file with the root's passphrase; root-passphrase in the node's directory unless given
    #[arg(long, env = "GUITAI_ROOT_PASSPHRASE_FILE", hide_env_values = true)]
    pub passphrase_file: Option<PathBuf>,
    /// Which cluster, and as whom; offline, its data directory.
    #[command(flatten)]
    pub access: Access,
    /// How to show it.
    #[command(flatten)]
    pub output: Output,
}

impl Where {
    /// Whether nodes are asked rather than files read.
    pub(crate) const fn asks(&self) -> bool {
        self.online || self.access.url.is_some()
    }

    /// The files to read.
    pub(crate) fn place(&self) -> Place {
        Place {
            data: self.access.data.clone(),
            node: self.node.clone(),
            passphrase_file: self.passphrase_file.clone(),
            output: self.output.clone(),
        }
    }
}

/// Arguments of `keys rotate`.
#[derive(Debug, Args)]
pub struct Rotate {
    /// 轮换哪一层 / What to rotate
    #[arg(value_enum)]
    pub layer: Layer,
    /// 新的内网根密钥置于 SDF 设备:厂商库 / Put the new inner root into an SDF device: the vendor's library
    #[arg(long, requires = "kek_index", conflicts_with = "pkcs11")]
    pub sdf: Option<String>,
    /// SDF 设备内的密钥加密密钥索引 / Index of the device's own KEK
    #[arg(long, requires = "sdf")]
    pub kek_index: Option<u32>,
    /// 新的内网根密钥置于 PKCS#11 令牌(AES-256,非国密):库 / Put it into a PKCS#11 token (AES-256, not national): the library
    #[arg(long, requires_all = ["token", "key"])]
    pub pkcs11: Option<String>,
    /// 令牌标签 / Label of the token
    #[arg(long, requires = "pkcs11")]
    pub token: Option<String>,
    /// 密钥标签,必须尚不存在 / Label of the key; must be new
    #[arg(long, requires = "pkcs11")]
    pub key: Option<String>,
    /// 新根密钥的口令或令牌 PIN 文件;不给则口令不变 / File with the new root's passphrase or PIN; the same passphrase unless given
    #[arg(long)]
    pub new_passphrase_file: Option<PathBuf>,
    /// Which keys.
    #[command(flatten)]
    pub place: Place,
}

/// What `keys rotate` rotates.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Layer {
    /// 根密钥 / The root key
    Root,
    /// 录音录像 / The KEK of recordings
    Recording,
    /// 通话 / The KEK of calls
    Call,
    /// 备份 / The KEK of backups
    Backup,
    /// 存储 / The KEK of the metadata's storage
    Storage,
    /// 身份密钥 / The KEK of private keys
    Identity,
}

impl Layer {
    /// The purpose of a KEK; `None` for the root.
    pub(crate) const fn purpose(self) -> Option<Purpose> {
        match self {
            Self::Root => None,
            Self::Recording => Some(Purpose::Recording),
            Self::Call => Some(Purpose::Call),
            Self::Backup => Some(Purpose::Backup),
            Self::Storage => Some(Purpose::Storage),
            Self::Identity => Some(Purpose::Identity),
        }
    }
}

/// Arguments of `keys rewrap`.
#[derive(Debug, Args)]
pub struct Rewrap {
    /// 随后销毁旧一代密钥 / Then destroy the older generations
    #[arg(long)]
    pub destroy_old: bool,
    /// Which keys.
    #[command(flatten)]
    pub place: Place,
}

/// Arguments of `keys split`.
#[derive(Debug, Args)]
pub struct Split {
    /// 份数 / How many shares
    #[arg(long)]
    pub shares: u8,
    /// 恢复所需份数 / How many restore the root
    #[arg(long)]
    pub threshold: u8,
    /// 每份写入此目录的一个文件 / Directory for the shares, one file each
    #[arg(long)]
    pub out: PathBuf,
    /// 各保管人的口令文件,依份的次序;不给则在终端键入 / Files with the officers' passphrases, in the order of the shares; typed unless given
    #[arg(long)]
    pub officer_passphrase_file: Vec<PathBuf>,
    /// Which keys.
    #[command(flatten)]
    pub place: Place,
}

/// Arguments of `keys combine`.
#[derive(Debug, Args)]
pub struct Combine {
    /// 部署的数据目录,或单个节点的目录 / Data directory of a deployment, or one node's directory
    #[arg(long, default_value = "guitai-data")]
    pub data: PathBuf,
    /// 分份文件;不给则键入 / Files with shares; typed unless given
    #[arg(long)]
    pub share: Vec<PathBuf>,
    /// 各保管人的口令文件,依分份的次序;不给则键入 / Files with the officers' passphrases, in the order of the shares; typed unless given
    #[arg(long)]
    pub officer_passphrase_file: Vec<PathBuf>,
    /// 恢复后的口令文件;不给则用节点目录中的 root-passphrase / File with the passphrase from now on; root-passphrase in the node's directory unless given
    #[arg(long)]
    pub new_passphrase_file: Option<PathBuf>,
    /// How to show it.
    #[command(flatten)]
    pub output: Output,
}

/// Arguments of `keys device`.
#[derive(Debug, Args)]
pub struct Device {
    /// SDF 厂商库(GM/T 0018) / The vendor's SDF library (GM/T 0018)
    #[arg(long)]
    pub sdf: String,
    /// 设备内的密钥加密密钥索引 / Index of the device's own KEK
    #[arg(long)]
    pub kek_index: u32,
    /// 设备内签名密钥的索引 / Index of a signing key of the device
    #[arg(long, requires = "password_file")]
    pub sign_index: Option<u32>,
    /// 该签名密钥的访问口令文件 / File with the password of its access right
    #[arg(long, requires = "sign_index")]
    pub password_file: Option<PathBuf>,
    /// How to show it.
    #[command(flatten)]
    pub output: Output,
}
