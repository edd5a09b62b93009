//! Errors that people see: a code with a page in `docs/reference/errors.md`, a cause and a next step,
//! in both languages. Serialised as `application/problem+json` (RFC 9457) by `api`.

use serde::{Deserialize, Serialize};

/// A refusal or failure as its reader should see it. Holds nothing secret and no personal data.
#[derive(
    Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error, utoipa::ToSchema,
)]
#[error("{code}: {detail}")]
#[serde(deny_unknown_fields)]
pub struct Problem {
    /// Stable code.
    pub code: Code,
    /// What exactly, for example the limit and the value; English, no personal data.
    pub detail: String,
}

impl Problem {
    /// A problem with its detail.
    pub fn new(code: Code, detail: impl Into<String>) -> Self {
        Self {
            code,
            detail: detail.into(),
        }
    }
}

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $code:literal, $status:literal, $zh:literal, $en:literal, $next_zh:literal, $next_en:literal;)*) => {
        /// Stable error codes.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
        #[non_exhaustive]
        pub enum Code { $($(#[$doc])* #[serde(rename = $code)] $name,)* }

        impl Code {
            /// Every code, for the reference page and its test.
            pub const ALL: &[Self] = &[$(Self::$name),*];
            /// The code as written, for example `GT-0401`.
            pub const fn as_str(self) -> &'static str { match self { $(Self::$name => $code),* } }
            /// HTTP status it is served with.
            pub const fn status(self) -> u16 { match self { $(Self::$name => $status),* } }
            /// Cause in Chinese and English.
            pub const fn cause(self) -> (&'static str, &'static str) { match self { $(Self::$name => ($zh, $en)),* } }
            /// Next step in Chinese and English.
            pub const fn next(self) -> (&'static str, &'static str) { match self { $(Self::$name => ($next_zh, $next_en)),* } }
        }
    };
}

codes! {
    /// The body or a field is not what the API says.
    BadRequest = "GT-0400", 400, "请求内容不合规范", "The request does not follow the API", "对照 /api/v1/openapi.json 检查字段", "Check the fields against /api/v1/openapi.json";
    /// No token, or one that does not verify.
    BadToken = "GT-0401", 401, "凭证缺失、无效或已过期", "The token is missing, wrong or expired", "重新取号或重新登录", "Take a new ticket or log in again";
    /// Wrong login.
    BadLogin = "GT-0402", 401, "用户名或密码不正确", "Wrong name or password", "核对机构、用户名和密码", "Check institution, name and password";
    /// Not allowed for this person.
    Forbidden = "GT-0403", 403, "没有权限", "Not allowed", "请具备权限的人员操作", "Ask someone who has the right";
    /// No such thing.
    NotFound = "GT-0404", 404, "对象不存在", "There is no such thing", "核对编号", "Check the id";
    /// The state does not allow it now.
    WrongState = "GT-0409", 409, "当前状态不允许此操作", "Not possible in the present state", "刷新后重试", "Refresh and try again";
    /// Larger than a named limit.
    TooLarge = "GT-0413", 413, "超过大小上限", "Larger than the limit", "缩小内容后重试", "Make it smaller";
    /// A message of a kind that may not cross.
    GuardRefused = "GT-0422", 422, "报文不符合跨区规则,已拒绝", "The message may not cross the zones and was refused", "查看 guitai_guard_refused_total 指标", "See the metric guitai_guard_refused_total";
    /// More than a named limit at once.
    TooMany = "GT-0429", 429, "超过数量上限", "More than the limit at once", "稍后重试", "Try again later";
    /// The flow stops because the recording does not run.
    NotRecording = "GT-0451", 409, "录音录像未在进行,业务已暂停", "The recording is not running; the business flow has stopped", "等待录制恢复或结束会话", "Wait for the recording or end the call";
    /// Consent is missing.
    NoConsent = "GT-0452", 400, "客户未同意录音录像", "The customer has not agreed to being recorded", "请客户阅读并同意", "Let the customer read and agree";
    /// A recording that was erased, or is being erased.
    RecordingErased = "GT-0453", 410, "录制已按保存期限销毁", "The recording was erased when its time was over", "用 guitai recordings show 查看依据的规则与日志条目", "See guitai recordings show for the rule and the log entry";
    /// A retention rule that would promise less than was promised.
    RetentionLocked = "GT-0454", 409, "合规锁定:不允许缩短保存期限", "Compliance lock: it must not be kept shorter", "保留原期限或更长;新业务可另设类别", "Keep the period or make it longer; new business may have a class of its own";
    /// A text that says what a rule refuses.
    TextRefused = "GT-0455", 422, "消息含有不允许发送的信息(如证件号、卡号),未发送", "The text says what must not be sent, such as the number of a card, and was not sent", "删去敏感号码后重发;需要时请当面出示证件", "Take the number out and send it again; hold a document into the camera where it is needed";
    /// A file that is not what it says, or not allowed.
    FileRefused = "GT-0456", 422, "文件不符合要求,未发送", "The file is not of an allowed kind and was not sent", "只接受 JPEG、PNG 图片和不含脚本、附件、密码的 PDF;细节说明原因", "JPEG and PNG pictures and PDFs without scripts, attachments and passwords are taken; the detail says why";
    /// No recorder has what was sent.
    NotKept = "GT-0457", 503, "录制节点暂时无法保存,消息未发送", "No recorder could keep it, so it was not sent", "稍后重试", "Try again in a moment";
    /// No node can make the film.
    NoFilmMaker = "GT-0460", 409, "没有节点能制作这段合成录像", "No node can make this film", "在录制节点安装 ffmpeg 与中文字体(Debian:apt-get install ffmpeg fonts-noto-cjk),一分钟内自动识别;细节列出各节点缺什么", "Install ffmpeg and a font with Chinese characters on a recorder (Debian: apt-get install ffmpeg fonts-noto-cjk); it is found within a minute; the detail says what each node lacks";
    /// Our own fault; the log has the chain of causes.
    Internal = "GT-0500", 500, "内部错误", "Internal error", "查看节点日志", "Look at the node's log";
    /// No leader or no quorum now.
    NoLeader = "GT-0503", 503, "集群暂无主节点", "The cluster has no leader now", "稍候会自动恢复;可用 guitai status 查看", "It recovers by itself; see guitai status";
    /// No inner node has dialled this edge.
    NoTunnel = "GT-0504", 503, "缓冲区与内网的通道未建立", "No tunnel from the inner zone to this edge", "检查内网节点是否运行", "Check that the inner nodes run";
    /// Nobody who leads has let this node take new calls for some seconds.
    NoPermit = "GT-0505", 503, "本节点暂不接新的通话", "This node may take no new calls now", "换一个入口;检查本节点与内网的连接,见 guitai status", "Use another door; check this node's connection to the inner zone, see guitai status";
    /// The node that has what is wanted is not reached.
    NodeUnreachable = "GT-0506", 503, "保存该内容的节点不可达", "The node that keeps it cannot be reached", "检查该节点是否运行:guitai status;录制另有副本时可指定其他节点", "Check that the node runs: guitai status; name another node where a recording has more than one";
    /// Full disk.
    DiskFull = "GT-0507", 507, "磁盘空间不足", "The disk is full", "清理或扩容磁盘", "Free or add disk space";
    /// Log or vote could not be made durable.
    StorageFailed = "GT-0508", 500, "日志无法落盘,节点已停止", "The log could not be made durable; the node has stopped", "检查磁盘与内核日志;修复后节点自行恢复", "Check the disk and the kernel's log; the node recovers by itself";
    /// This node was left behind on an old lineage and takes no part.
    Quarantined = "GT-0520", 503, "本节点属于旧纪元,已隔离,只读", "This node is of an old epoch: in quarantine, read-only", "在本节点执行 guitai node rejoin", "Run guitai node rejoin on this node";
    /// A forced takeover that must not happen.
    TakeoverRefused = "GT-0521", 409, "不允许接管", "The takeover is refused", "按详情处理;多数派仍在时用计划内切换", "Do as the detail says; while a majority lives, switch as planned";
    /// A rejoin that has nowhere to go.
    RejoinRefused = "GT-0522", 409, "不能重新加入", "The rejoin is refused", "核对各节点纪元:guitai status", "Compare the nodes' epochs: guitai status";
    /// A change of who votes that must not happen now.
    VoiceRefused = "GT-0523", 409, "不允许变更表决成员", "The change of voters is refused", "按详情补足余量后重试", "Restore the margin named in the detail, then try again";
    /// A profile that cannot be used.
    BadProfile = "GT-0601", 400, "部署配置有误", "The profile is wrong", "按提示修改配置", "Correct the profile as told";
    /// A port in use.
    PortTaken = "GT-0602", 409, "地址或端口已被占用", "An address is already in use", "停止占用者或修改配置", "Stop whoever uses it or change the profile";
    /// A data directory of another cluster or another release.
    ForeignData = "GT-0603", 409, "数据目录属于另一个集群", "The data directory belongs to another cluster", "换一个 --data 目录", "Choose another --data directory";
    /// A key store that does not open, or a key that does not fit.
    KeysRefused = "GT-0604", 409, "密钥库无法使用", "The key store cannot be used", "核对口令文件与 keys 目录,见 docs/operating/keys.md", "Check the passphrase file and the keys directory, see docs/operating/keys.md";
    /// A listener, a peer or a deployment that the flow matrix does not declare.
    FlowUndeclared = "GT-0605", 409, "流转矩阵未声明", "The flow matrix does not declare it", "用 guitai flow check 核对矩阵与部署;不要为绕过而增加行", "Compare matrix and deployment by guitai flow check; do not add a row to get around it";
    /// A sandbox that is required and that this machine cannot give.
    SandboxMissing = "GT-0606", 409, "本机内核给不出所要求的沙箱,节点不予启动", "This kernel cannot give the sandbox that is required; the node does not start", "用 guitai sandbox check 查看缺什么;升级内核,或把 sandbox 改为 enforce", "See guitai sandbox check for what is missing; use a newer kernel, or set sandbox to enforce";
    /// Evidence that does not verify.
    EvidenceBroken = "GT-0701", 422, "证据包校验不通过", "The evidence package does not verify", "以报告中列出的文件为准核查", "See the files named in the report";
    /// The cryptography computes wrong: nothing may be served with it.
    SelfTestFailed = "GT-0801", 500, "密码自检未通过,节点不予启动", "The cryptographic self-test failed; the node does not start", "运行 guitai crypto selftest 查看详情,检查内存与处理器或重新安装", "See guitai crypto selftest; check memory and processor, or install again";
    /// Something is protected by other means than the policy allows.
    CryptoFinding = "GT-0802", 409, "密码清单与策略不符", "The cryptographic inventory does not meet the policy", "按清单逐项整改", "Mend what the inventory lists";
}

impl std::fmt::Display for Code {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// An error and its causes on one line, outermost first. One that only hands on another says nothing new.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        let cause_text = cause_text.trim();
        if !text.ends_with(cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    text
}
