//! The few words of S3's XML that are read here.

use serde::Deserialize;

/// `GET ?object-lock`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct ObjectLockConfiguration {
    #[serde(default)]
    pub(crate) object_lock_enabled: String,
}

/// `GET ?versions`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct ListVersionsResult {
    #[serde(default)]
    pub(crate) is_truncated: bool,
    #[serde(default)]
    pub(crate) next_key_marker: String,
    #[serde(default)]
    pub(crate) next_version_id_marker: String,
    #[serde(default, rename = "Version")]
    pub(crate) versions: Vec<Version>,
    #[serde(default, rename = "DeleteMarker")]
    pub(crate) markers: Vec<Version>,
}

/// A version of an object, or the mark that one was deleted.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Version {
    pub(crate) key: String,
    #[serde(default)]
    pub(crate) version_id: String,
}

/// What an answer calls its error: the text between `<Code>` and `</Code>`, if it is a word.
pub(crate) fn code(body: &str) -> Option<&str> {
    let (_, rest) = body.split_once("<Code>")?;
    let (code, _) = rest.split_once("</Code>")?;
    let is_word =
        !code.is_empty() && code.len() <= 64 && code.bytes().all(|c| c.is_ascii_alphanumeric());
    is_word.then_some(code)
}
