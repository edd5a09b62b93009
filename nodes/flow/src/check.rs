//! What is to be found in a matrix on a day, and against a deployment.

use guitai_types::{Date, place::Text, profile::Profile};

use crate::{
    deployment::{self, Gap},
    limits::EXPIRES_SOON_DAYS,
    matrix::{Matrix, RowId},
};

/// A day in milliseconds.
const DAY_MS: u64 = 24 * 60 * 60 * 1000;

/// Something that whoever answers for the matrix has to look at.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Finding {
    /// A row that has expired: a node in service lets it through still, and says so.
    Expired {
        /// Which.
        row: RowId,
        /// Its last day.
        since: Date,
    },
    /// A row that expires within [`EXPIRES_SOON_DAYS`].
    ExpiresSoon {
        /// Which.
        row: RowId,
        /// Its last day.
        until: Date,
    },
    /// The deployment does what no row allows.
    Gap(Gap),
    /// The row allows what the deployment has nothing for.
    Unused {
        /// Which.
        row: RowId,
    },
}

impl Finding {
    /// Whether it is only a remark: nothing is wrong yet.
    pub const fn is_remark(&self) -> bool {
        matches!(self, Self::ExpiresSoon { .. })
    }

    /// The row that it is about.
    pub const fn row(&self) -> Option<&RowId> {
        match self {
            Self::Expired { row, .. } | Self::ExpiresSoon { row, .. } | Self::Unused { row } => {
                Some(row)
            }
            Self::Gap(_) => None,
        }
    }

    /// Its name in JSON.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Expired { .. } => "expired",
            Self::ExpiresSoon { .. } => "expires-soon",
            Self::Gap(Gap::Listener { .. }) => "undeclared-listener",
            Self::Gap(Gap::Dial { .. } | Gap::Sink { .. }) => "undeclared-connection",
            Self::Unused { .. } => "unused",
        }
    }

    /// What was found, in words.
    pub fn words(&self) -> Text {
        let (zh, en) = match self {
            Self::Expired { row, since } => (
                format!("{row} 行已于 {since} 到期:节点仍放行并告警,请续期或删除"),
                format!(
                    "row {row} expired on {since}: nodes still let it through and say so; renew or remove it"
                ),
            ),
            Self::ExpiresSoon { row, until } => (
                format!("{row} 行将于 {until} 到期"),
                format!("row {row} expires on {until}"),
            ),
            Self::Gap(Gap::Listener {
                node,
                listener,
                refusal,
            }) => {
                let why = refusal.words();
                let (what, address) = (listener.what, listener.address);
                (
                    format!("节点 {node} 监听 {address}({what}),未获允许:{}", why.zh),
                    format!(
                        "node {node} listens on {address} ({what}), which is not allowed: {}",
                        why.en
                    ),
                )
            }
            Self::Gap(Gap::Dial { dial, refusal }) => {
                let why = refusal.words();
                let (from, to, protocol) = (&dial.from, &dial.to, dial.protocol);
                (
                    format!(
                        "节点 {from} 向 {to} 建立 {protocol} 连接,未获允许:{}",
                        why.zh
                    ),
                    format!(
                        "node {from} opens {protocol} to {to}, which is not allowed: {}",
                        why.en
                    ),
                )
            }
            Self::Gap(Gap::Sink { endpoint, refusal }) => {
                let why = refusal.words();
                (
                    format!(
                        "录制节点向对象存储 {endpoint} 建立 s3 连接,未获允许:{}",
                        why.zh
                    ),
                    format!(
                        "recorders open s3 to the object store {endpoint}, which is not allowed: {}",
                        why.en
                    ),
                )
            }
            Self::Unused { row } => (
                format!("{row} 行所允许的,此部署并不需要"),
                format!("row {row} allows what this deployment has nothing for"),
            ),
        };
        Text { zh, en }
    }
}

/// Everything that is to be found in a matrix on a day; against a deployment where one is given.
pub fn check(matrix: &Matrix, profile: Option<&Profile>, on: Date) -> Vec<Finding> {
    let mut findings: Vec<Finding> = matrix
        .rows()
        .iter()
        .filter_map(|row| {
            let id = row.id.clone();
            if !row.holds(on) {
                let since = row.expires;
                return Some(Finding::Expired { row: id, since });
            }
            let left = row.expires.begins().0.saturating_sub(on.begins().0) / DAY_MS;
            let until = row.expires;
            (left < EXPIRES_SOON_DAYS).then_some(Finding::ExpiresSoon { row: id, until })
        })
        .collect();
    if let Some(profile) = profile {
        let gaps = deployment::gaps(matrix, &profile.nodes, profile.sink.as_ref(), on).into_iter();
        findings.extend(gaps.map(Finding::Gap));
        let unused = deployment::unused(matrix, profile).into_iter();
        findings.extend(unused.map(|row| Finding::Unused { row }));
    }
    findings
}
