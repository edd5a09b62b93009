//! What people read of a plan, in both languages.

use guitai_types::place::Text;

/// A text in both languages.
pub(crate) fn text(zh: impl Into<String>, en: impl Into<String>) -> Text {
    Text {
        zh: zh.into(),
        en: en.into(),
    }
}

/// Nothing to undo.
pub(crate) fn nothing() -> Text {
    text("无需回退", "nothing to undo")
}
