//! What the calls came to, as a table or as JSON.

use std::path::PathBuf;

use guitai_types::{Code, NodeName, SessionId};
use serde::Serialize;

use crate::{Language, table::Table};

/// All calls.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DemoReport {
    /// Every call was verified.
    pub ok: bool,
    /// The calls.
    pub calls: Vec<CallReport>,
}

/// One call.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct CallReport {
    /// Which, from 1.
    pub call: usize,
    /// The session, once there was one.
    pub session: Option<SessionId>,
    /// Edge of the customer.
    pub edge: String,
    /// Door of the agent.
    pub core: String,
    /// The agent.
    pub agent: String,
    /// From the customer's request to the desk ringing, milliseconds.
    pub ring_ms: Option<u64>,
    /// From accept to both sides being connected for media, milliseconds.
    pub set_up_ms: Option<u64>,
    /// From accept to the recording running, milliseconds.
    pub recording_ms: Option<u64>,
    /// What the customer sent, and saw of the agent.
    pub customer: Side,
    /// What the agent sent, and saw of the customer.
    pub agent_side: Side,
    /// Business steps done.
    pub steps: usize,
    /// Epoch of the media key at the end: the customer's page came again once.
    pub key_epoch: u32,
    /// Node that recorded.
    pub recorder: Option<NodeName>,
    /// Recorded segments.
    pub segments: u64,
    /// Recorded frames.
    pub frames: u64,
    /// Declared gaps.
    pub gaps: u64,
    /// Stars given.
    pub stars: Option<u8>,
    /// The package verifies, and is complete.
    pub verified: bool,
    /// Where the package was kept.
    pub package: Option<PathBuf>,
    /// What the offline verifier found wrong.
    pub faults: Vec<String>,
    /// Where the call failed, if it did.
    pub failure: Option<StageFailure>,
}

/// One side's media.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Side {
    /// Frames published.
    pub sent: u64,
    /// The other side's frames seen, opened and equal to what was sent.
    pub seen: u64,
    /// The other side's frames that did not open or were not equal.
    pub broken: u64,
    /// From accept to the first of the other side's pictures, milliseconds.
    pub first_frame_ms: Option<u64>,
}

/// Where a call failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StageFailure {
    /// Stage.
    pub stage: &'static str,
    /// Code.
    pub code: Code,
    /// What exactly.
    pub detail: String,
}

impl DemoReport {
    pub(super) fn new(calls: Vec<CallReport>) -> Self {
        let ok = !calls.is_empty() && calls.iter().all(|call| call.verified);
        Self { ok, calls }
    }

    /// The table, and what went wrong below it.
    pub fn to_words(&self, lang: Language) -> String {
        let mut table = Table::new(match lang {
            Language::Zh => [
                "通话",
                "缓冲区入口",
                "内网入口",
                "振铃",
                "接通",
                "首帧(客户/坐席)",
                "客户发/坐席收",
                "坐席发/客户收",
                "步骤",
                "密钥",
                "录制分段",
                "缺口",
                "评分",
                "校验",
            ],
            Language::En => [
                "call",
                "edge",
                "inner door",
                "ring",
                "set-up",
                "first frame (c/a)",
                "customer sent/seen",
                "agent sent/seen",
                "steps",
                "keys",
                "segments",
                "gaps",
                "stars",
                "verified",
            ],
        });
        for call in &self.calls {
            table.row([
                call.call.to_string(),
                call.edge.clone(),
                call.core.clone(),
                ms(call.ring_ms),
                ms(call.set_up_ms),
                format!(
                    "{} / {}",
                    ms(call.customer.first_frame_ms),
                    ms(call.agent_side.first_frame_ms)
                ),
                format!("{} / {}", call.customer.sent, call.agent_side.seen),
                format!("{} / {}", call.agent_side.sent, call.customer.seen),
                call.steps.to_string(),
                call.key_epoch.to_string(),
                call.segments.to_string(),
                call.gaps.to_string(),
                call.stars
                    .map_or_else(|| "-".to_owned(), |stars| stars.to_string()),
                lang.pick(
                    if call.verified { "通过" } else { "不通过" },
                    if call.verified { "yes" } else { "NO" },
                )
                .to_owned(),
            ]);
        }
        let mut text = table.render();
        for call in &self.calls {
            if let Some(StageFailure {
                stage,
                code,
                detail,
            }) = &call.failure
            {
                let word = lang.pick("失败于", "failed at");
                text.push_str(&format!("{} {word} {stage}: {code} {detail}\n", call.call));
            }
            for fault in &call.faults {
                text.push_str(&format!(
                    "{} {}: {fault}\n",
                    call.call,
                    lang.pick("不符", "fault")
                ));
            }
            if let Some(package) = &call.package {
                let word = lang.pick("证据包", "package");
                text.push_str(&format!("{} {word}: {}\n", call.call, package.display()));
            }
        }
        text
    }
}

fn ms(value: Option<u64>) -> String {
    value.map_or_else(|| "-".to_owned(), |ms| format!("{ms} ms"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call() -> CallReport {
        CallReport {
            call: 1,
            edge: "127.1.1.1:4443".to_owned(),
            core: "127.1.2.1:4443".to_owned(),
            ring_ms: Some(40),
            set_up_ms: Some(120),
            customer: Side {
                sent: 390,
                seen: 385,
                broken: 0,
                first_frame_ms: Some(200),
            },
            agent_side: Side {
                sent: 389,
                seen: 388,
                broken: 0,
                first_frame_ms: Some(210),
            },
            steps: 3,
            key_epoch: 2,
            segments: 16,
            stars: Some(5),
            verified: true,
            ..CallReport::default()
        }
    }

    #[test]
    fn the_table_reads_well_and_one_bad_call_is_enough() {
        let good = DemoReport::new(vec![call()]);
        assert!(good.ok);
        assert_eq!(
            good.to_words(Language::En),
            "call  edge            inner door      ring   set-up  first frame (c/a)  \
             customer sent/seen  agent sent/seen  steps  keys  segments  gaps  stars  verified\n\
             1     127.1.1.1:4443  127.1.2.1:4443  40 ms  120 ms  200 ms / 210 ms    \
             390 / 388           389 / 385        3      2     16        0     5      yes\n"
        );
        let failure = StageFailure {
            stage: "ring",
            code: Code::WrongState,
            detail: "nobody".to_owned(),
        };
        let bad = CallReport {
            verified: false,
            failure: Some(failure),
            ..call()
        };
        let bad = DemoReport::new(vec![call(), bad]);
        assert!(!bad.ok);
        assert!(
            bad.to_words(Language::Zh)
                .ends_with("1 失败于 ring: GT-0409 nobody\n")
        );
        assert!(!DemoReport::new(Vec::new()).ok, "no call proves nothing");
    }
}
