//! Where each protocol of the buffer area ends, and as what it goes on.

use guitai_types::place::Text;

use crate::names::Protocol;

/// The end of a protocol.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Break {
    /// Where it is taken apart.
    pub ends: Text,
    /// What is made anew there, and sent on as what.
    pub remade: Text,
    /// What goes on as it came, since nobody there can open it.
    pub unopened: Text,
}

fn text(zh: &str, en: &str) -> Text {
    Text {
        zh: zh.to_owned(),
        en: en.to_owned(),
    }
}

impl Protocol {
    /// Where it ends in the buffer area; nothing for what never meets it.
    pub fn broken(self) -> Option<Break> {
        let nothing = || text("无", "nothing");
        let frames = || {
            text(
                "媒体帧(SM4-GCM 端到端加封)",
                "media frames, sealed end to end with SM4-GCM",
            )
        };
        let (ends, remade, unopened) = match self {
            Self::Http => (
                text(
                    "边缘:HTTP 解析为类型,经检查",
                    "the edge: HTTP is decoded into a type and checked",
                ),
                text("隧道中的类型消息(tunnel)", "typed messages of the tunnel"),
                nothing(),
            ),
            Self::WebSocket | Self::WebTransport | Self::MoqDoor => (
                text(
                    "边缘:MoQ 会话终止,按令牌逐播放路径授权",
                    "the edge: the MoQ session ends; each broadcast is allowed by token",
                ),
                text(
                    "节点间 MoQ(moq-mesh),由内区建立的连接",
                    "MoQ between nodes (moq-mesh), on a connection that the inner zone opened",
                ),
                frames(),
            ),
            Self::Tunnel => (
                text(
                    "两端:每条消息解码、检查、重新生成",
                    "both ends: every message is decoded, checked and made anew",
                ),
                text(
                    "内区命令与应答;对外为 HTTP",
                    "commands and answers inside; HTTP outside",
                ),
                nothing(),
            ),
            Self::MoqMesh => (
                text(
                    "内区中继:MoQ 会话终止,限于许可的播放路径",
                    "the inner relay: the MoQ session ends; only broadcasts of its permit",
                ),
                text(
                    "坐席与录制方各自的 MoQ 会话",
                    "MoQ sessions of agents and recorders",
                ),
                frames(),
            ),
            Self::Node => (
                text(
                    "边缘:问题解码为类型,应答由边缘生成",
                    "the edge: questions are decoded; it makes the answers",
                ),
                text("不再转发", "goes no further"),
                nothing(),
            ),
            Self::Crl => (
                text(
                    "边缘:吊销列表按签发者验签",
                    "the edge: a list is verified by its authority's signature",
                ),
                text("不再转发", "goes no further"),
                nothing(),
            ),
            Self::Raft | Self::Call | Self::S3 => return None,
        };
        Some(Break {
            ends,
            remade,
            unopened,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use guitai_types::Zone;

    use super::*;
    use crate::{Matrix, Word as _};

    #[test]
    fn what_meets_the_buffer_area_ends_there_and_nothing_else_is_said_to() {
        let matrix = Matrix::shipped().unwrap();
        let meets = |protocol: Protocol| {
            let rows = matrix.rows().iter().filter(|row| row.protocol == protocol);
            let mut ends = rows.flat_map(|row| [row.from.zone, row.to.zone]);
            ends.any(|zone| zone == Zone::Dmz)
        };
        let broken: BTreeSet<_> = Protocol::ALL
            .iter()
            .filter(|it| it.broken().is_some())
            .collect();
        let met: BTreeSet<_> = Protocol::ALL.iter().filter(|it| meets(**it)).collect();
        assert_eq!(broken, met);
    }
}
