//! How a command fails: an exit code, and a code, a cause and a next step in both languages.

use std::process::ExitCode;

pub(crate) use guitai_types::problem::chain;
use guitai_types::{Code, Problem, place::Text};
use serde_json::json;

use crate::Language;

/// Exit code of a command that failed.
pub const FAILED: u8 = 1;
/// Exit code of wrong usage; clap uses the same.
pub const USAGE: u8 = 2;
/// Exit code of evidence that does not verify.
pub const NOT_VERIFIED: u8 = 3;
/// Exit code of a cluster that cannot be reached.
pub const NOT_REACHABLE: u8 = 4;
/// Exit code of an audit that found something.
pub const FINDINGS: u8 = 5;

/// Why a command failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{problem}")]
pub struct Failure {
    /// Exit code.
    pub exit: u8,
    /// What the reader is told.
    pub problem: Problem,
    /// Cause in both languages, where it is more exact than the code's own.
    pub cause: Option<Text>,
    /// Next step in both languages, where it is more exact than the code's own.
    pub next: Option<Text>,
}

impl Failure {
    /// A failure of this machine or the cluster.
    pub(crate) fn new(code: Code, detail: impl Into<String>) -> Self {
        Self {
            exit: FAILED,
            problem: Problem::new(code, detail),
            cause: None,
            next: None,
        }
    }

    /// Wrong usage that clap could not see.
    pub(crate) fn usage(detail: impl Into<String>, next_zh: &str, next_en: &str) -> Self {
        let cause = text(
            "参数不完整或相互矛盾",
            "The arguments are incomplete or contradict each other",
        );
        Self {
            exit: USAGE,
            problem: Problem::new(Code::BadRequest, detail),
            cause: Some(cause),
            next: Some(text(next_zh, next_en)),
        }
    }

    /// Nobody answers there.
    pub(crate) fn not_reachable(url: &str, error: &dyn std::error::Error) -> Self {
        let detail = format!("{url}: {}", chain(error));
        Self {
            exit: NOT_REACHABLE,
            problem: Problem::new(Code::NoLeader, detail),
            cause: Some(text("节点无应答", "The node does not answer")),
            next: Some(text(
                "检查地址与网络;集群可用 guitai up 启动",
                "Check address and network; start a cluster with guitai up",
            )),
        }
    }

    /// An error of this machine, with its chain of causes.
    pub(crate) fn local(doing: &str, error: &dyn std::error::Error) -> Self {
        Self {
            exit: FAILED,
            problem: Problem::new(Code::Internal, format!("{doing}: {}", chain(error))),
            cause: Some(text("本机操作失败", "Something failed on this machine")),
            next: Some(text(
                "按上面的细节处理后重试",
                "Act on the detail above and try again",
            )),
        }
    }

    /// Prints to standard error, as JSON if asked for, and gives the exit code.
    pub(crate) fn report(&self, json: bool, lang: Language) -> ExitCode {
        eprintln!(
            "{}",
            if json {
                self.to_json()
            } else {
                self.to_words(lang)
            }
        );
        ExitCode::from(self.exit)
    }

    pub(crate) fn to_words(&self, lang: Language) -> String {
        let Text { zh, en } = self.cause();
        let cause = lang.pick(&zh, &en);
        let Text { zh, en } = self.next();
        let next = lang.pick(&zh, &en);
        let Problem { code, detail } = &self.problem;
        let (error, detail_word, next_word) = (
            lang.pick("错误", "error"),
            lang.pick("细节", "detail"),
            lang.pick("下一步", "next"),
        );
        format!("{error} {code}: {cause}\n  {detail_word}: {detail}\n  {next_word}: {next}")
    }

    fn to_json(&self) -> String {
        let Problem { code, detail } = &self.problem;
        let body = json!({
            "error": { "code": code, "detail": detail, "cause": self.cause(), "next": self.next() },
            "exit": self.exit,
        });
        body.to_string()
    }

    fn cause(&self) -> Text {
        self.cause
            .clone()
            .unwrap_or_else(|| pair(self.problem.code.cause()))
    }

    fn next(&self) -> Text {
        self.next
            .clone()
            .unwrap_or_else(|| pair(self.problem.code.next()))
    }
}

fn pair((zh, en): (&str, &str)) -> Text {
    text(zh, en)
}

fn text(zh: &str, en: &str) -> Text {
    Text {
        zh: zh.to_owned(),
        en: en.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_reads_well_in_both_languages() {
        let failure = Failure::new(Code::NotFound, "session x1");
        assert_eq!(
            failure.to_words(Language::Zh),
            "错误 GT-0404: 对象不存在\n  细节: session x1\n  下一步: 核对编号"
        );
        assert_eq!(
            failure.to_words(Language::En),
            "error GT-0404: There is no such thing\n  detail: session x1\n  next: Check the id"
        );
        assert_eq!(
            failure.to_json(),
            r#"{"error":{"cause":{"en":"There is no such thing","zh":"对象不存在"},"code":"GT-0404","detail":"session x1","next":{"en":"Check the id","zh":"核对编号"}},"exit":1}"#
        );
    }
}
