//! The report as a page: self-contained, to be printed.

use guitai_types::UnixMillis;

use super::report::Answered;
use crate::{Language, failure::FINDINGS};

const STYLE: &str = include_str!("page.css");

/// What came of a question, in a word.
pub(super) const fn result(answered: &Answered, lang: Language) -> &'static str {
    match answered.exit {
        None => lang.pick("未问", "not asked"),
        Some(0) => lang.pick("无发现", "nothing found"),
        Some(FINDINGS) => lang.pick("有发现", "FINDINGS"),
        Some(_) => lang.pick("不符", "FAULT"),
    }
}

const fn class(answered: &Answered) -> &'static str {
    match answered.exit {
        None => "none",
        Some(0) => "ok",
        Some(_) => "bad",
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

/// The page.
pub(super) fn page(
    answers: &[Answered],
    since: UnixMillis,
    at: UnixMillis,
    lang: Language,
) -> String {
    let title = lang.pick("数据流转审计报告", "Audit report on the flow of data");
    let (from, to) = (since.utc(), at.utc());
    let span = match lang {
        Language::Zh => format!("回看 {from} 至 {to}"),
        Language::En => format!("From {from} to {to}"),
    };
    let what = lang.pick(
        "每一问由所列命令回答;同名 .json 文件为机器可读之应答。全部文件的 SM3 由 report.json 列出并签名,用 guitai audit verify 核验。",
        "Each question is answered by the command beside it; the .json file of the same number is the answer for machines. The SM3 of every file \
         stands in report.json, which is signed: guitai audit verify checks it.",
    );
    let mut index = String::new();
    let mut body = String::new();
    for it in answers {
        let number = it.question.number;
        let question = escaped(lang.pick(it.question.zh, it.question.en));
        let (line, text) = (escaped(&it.line), escaped(&it.text));
        let (class, word) = (class(it), result(it, lang));
        index.push_str(&format!(
            "<tr><td>{number}</td><td><a href=\"#q{number}\">{question}</a></td><td><code>guitai {line}</code></td><td><b class=\"{class}\">{word}</b></td></tr>\n"
        ));
        body.push_str(&format!(
            "<section id=\"q{number}\"><h2><span>{number}</span> {question} <b class=\"{class}\">{word}</b></h2><p><code>guitai {line}</code></p><pre>{text}</pre></section>\n"
        ));
    }
    let code = lang.pick("zh-CN", "en");
    format!(
        "<!doctype html>\n<html lang=\"{code}\"><head><meta charset=\"utf-8\"><title>{title}</title><style>{STYLE}</style></head><body>\n\
         <header><p>柜台 Guitai</p><h1>{title}</h1><p>{span}</p><p class=\"muted\">{what}</p></header>\n<table>{index}</table>\n{body}</body></html>\n"
    )
}
