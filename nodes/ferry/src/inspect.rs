//! What a report may hold. It is read as what its name says it is; what only looks like it does not pass.

use serde::de::IgnoredAny;

/// Longest line of a text that is not JSON, in bytes: what is longer is data in a text's clothes.
const LINE_BYTES_MAX: usize = 1024 * 1024;

/// Why a report does not pass.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadReport {
    /// Not text.
    #[error("byte {0} is not UTF-8")]
    Text(usize),
    /// A character that no plain text has.
    #[error("a control character at byte {0}")]
    Control(usize),
    /// A line longer than any of a text.
    #[error("a line of more than {LINE_BYTES_MAX} bytes")]
    Line,
    /// Not what its name says.
    #[error("not JSON: {0}")]
    Json(String),
}

/// Inspects a report by its name's ending: text without control characters, and JSON that is one.
///
/// # Errors
/// The first thing that is wrong.
pub fn report(name: &str, bytes: &[u8]) -> Result<&'static str, BadReport> {
    let text = std::str::from_utf8(bytes).map_err(|error| BadReport::Text(error.valid_up_to()))?;
    let is_bad = |(_, c): &(usize, char)| c.is_control() && !matches!(c, '\n' | '\r' | '\t');
    if let Some((at, _)) = text.char_indices().find(is_bad) {
        return Err(BadReport::Control(at));
    }
    if name.ends_with(".json") {
        let read = serde_json::from_str::<IgnoredAny>(text);
        read.map_err(|error| BadReport::Json(error.to_string()))?;
        return Ok("JSON");
    }
    if text.lines().any(|line| line.len() > LINE_BYTES_MAX) {
        return Err(BadReport::Line);
    }
    Ok("text")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_is_what_its_name_says() {
        assert_eq!(report("a.json", br#"{"ok":true}"#), Ok("JSON"));
        assert_eq!(report("a.txt", "报告\n\tok\r\n".as_bytes()), Ok("text"));
        assert!(matches!(report("a.json", b"{"), Err(BadReport::Json(_))));
        assert!(matches!(
            report("a.json", b"{} {}"),
            Err(BadReport::Json(_))
        ));
        assert_eq!(report("a.txt", b"MZ\0"), Err(BadReport::Control(2)));
        assert_eq!(report("a.csv", b"a\xff"), Err(BadReport::Text(1)));
        let long = vec![b'a'; LINE_BYTES_MAX + 1];
        assert_eq!(report("a.md", &long), Err(BadReport::Line));
    }
}
