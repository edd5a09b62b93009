//! `flow minute`: one minute of the flow log as it is kept, its root computed again here and compared with the one in
//! the transparency log.

use std::path::PathBuf;

use clap::Args;
use guitai_evidence::log::Digest;
use guitai_types::{
    UnixMillis,
    flowlog::{MinuteKept, minute_of},
};
use serde_json::json;
use time::{PrimitiveDateTime, macros::format_description};

use super::online::READERS;
use crate::{
    Done, Language,
    args::Asked,
    failure::{FINDINGS, Failure},
    show, staff,
};

/// Arguments of `flow minute`.
#[derive(Debug, Args)]
pub struct Minute {
    /// 哪一分钟,UTC,例如 2031-05-09T07:04Z / Which minute, in UTC, such as 2031-05-09T07:04Z
    #[arg(value_name = "TIME", value_parser = minute)]
    pub time: u64,
    /// 把各行写入此文件(每行一个节点的 JSON) / Write its lines into this file (JSON of one node a line)
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// Which cluster, as whom, and how to show it.
    #[command(flatten)]
    pub asked: Asked,
}

fn minute(text: &str) -> Result<u64, String> {
    let form = format_description!("[year]-[month]-[day]T[hour]:[minute]Z");
    let time = PrimitiveDateTime::parse(text, form).map_err(|error| error.to_string())?;
    let seconds = u64::try_from(time.assume_utc().unix_timestamp());
    let seconds = seconds.map_err(|_| "before 1970".to_owned())?;
    Ok(minute_of(UnixMillis(seconds.saturating_mul(1_000))))
}

/// How a minute stands.
enum Verdict {
    Agreed,
    Waits,
    Altered,
}

pub(super) async fn show_one(arguments: &Minute, lang: Language) -> Result<Done, Failure> {
    let door = staff::enter(&arguments.asked.access, READERS).await?;
    let path = format!("/api/v1/flows/kept/{}", arguments.time);
    let kept: MinuteKept = door.get(&path).await?;
    let leaves = Digest::Sm3.leaves(kept.lines.iter().map(|line| line.as_bytes()));
    let root = guitai_types::Hex(Digest::Sm3.root(&leaves).to_vec());
    let verdict = match &kept.agreed {
        None => Verdict::Waits,
        Some(agreed) if agreed.root == root && agreed.lines as usize == kept.lines.len() => {
            Verdict::Agreed
        }
        Some(_) => Verdict::Altered,
    };
    if let Some(out) = &arguments.out {
        let mut text = kept.lines.join("\n");
        text.push('\n');
        let written = std::fs::write(out, text);
        written.map_err(|error| Failure::local(&out.display().to_string(), &error))?;
    }
    let exit = if matches!(verdict, Verdict::Altered) {
        FINDINGS
    } else {
        0
    };
    if arguments.asked.output.json {
        let word = match verdict {
            Verdict::Agreed => "agreed",
            Verdict::Waits => "waits",
            Verdict::Altered => "altered",
        };
        let value = json!({
            "minute": kept.minute, "lines": kept.lines, "root": root, "entry": kept.entry, "agreed": kept.agreed,
            "verdict": word,
        });
        return show::json(&value).map(|text| Done { text, exit });
    }
    let mut text = if arguments.out.is_some() {
        String::new()
    } else {
        kept.lines.join("\n") + "\n\n"
    };
    let (lines, entry) = (kept.lines.len(), kept.entry.unwrap_or_default());
    text.push_str(&match (verdict, lang) {
        (Verdict::Agreed, Language::Zh) => {
            format!("{lines} 行,根 {root},与日志第 {entry} 条一致;证明:guitai log prove {entry} --out … --entry …\n")
        }
        (Verdict::Agreed, Language::En) => format!(
            "{lines} lines, root {root}, as entry {entry} of the log has it; its proof: guitai log prove {entry} --out … --entry …\n"
        ),
        (Verdict::Waits, Language::Zh) => format!("{lines} 行,根 {root},尚不在任何检查点之内\n"),
        (Verdict::Waits, Language::En) => format!("{lines} lines, root {root}, in no checkpoint yet\n"),
        (Verdict::Altered, Language::Zh) => format!("! {lines} 行,根 {root},与日志第 {entry} 条不符:内容已被改动\n"),
        (Verdict::Altered, Language::En) => {
            format!("! {lines} lines, root {root}: not what entry {entry} of the log has, they were altered\n")
        }
    });
    Ok(Done { text, exit })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_minute_is_named_in_utc() {
        assert_eq!(minute("1970-01-02T00:03Z"), Ok(24 * 60 + 3));
        for wrong in [
            "",
            "1970-01-02",
            "1970-01-02T00:03",
            "1970-13-02T00:03Z",
            "1969-12-31T23:59Z",
        ] {
            minute(wrong).unwrap_err();
        }
    }
}
