//! The words that stand where no picture is, Chinese and English: whoever watches the film must know why.

use guitai_types::place::Text;

use crate::plan::Why;

impl Why {
    /// What is burnt in.
    #[must_use]
    pub fn words(&self) -> Text {
        match self {
            Self::NotJoined => text("尚未加入", "not yet joined"),
            Self::Left => text("已离开", "left"),
            Self::CameraOff => text("无画面:摄像头关闭", "no picture: camera off"),
            Self::NothingSent => text("无画面、无声音", "no picture, no sound"),
            Self::Gap(cause) => gap(cause, "缺口", "gap"),
        }
    }
}

/// A gap of sound is a note in the picture.
pub(crate) fn sound_gap(cause: &str) -> Text {
    gap(cause, "声音缺口", "sound gap")
}

fn gap(cause: &str, zh: &str, en: &str) -> Text {
    let why = match cause {
        "frames-missing" => "帧未到达",
        "frames-refused" => "帧被拒绝",
        "republished" => "重新发布",
        "recorder-restart" => "录制节点重启",
        "recorder-away" => "录制节点离开",
        "recorder-joined" => "此前由另一节点录制",
        "recorder-replaced" => "此后由另一节点录制",
        "disk-full" => "磁盘已满",
        "io-error" => "写入失败",
        "no-media" => "没有媒体",
        other => other,
    };
    text(&format!("{zh}:{why}"), &format!("{en}: {cause}"))
}

/// What a party is called in the picture.
pub(crate) fn party(role: &str) -> Text {
    match role {
        "agent" => text("坐席", "agent"),
        "customer" => text("客户", "customer"),
        other => text(other, other),
    }
}

/// A text as one line of at most `pixels` at a font size, with an ellipsis where it was cut. Characters up to
/// U+2E7F are taken for 0.6 of the size, others for the whole: no font of [`crate::FONTS`] is wider on average.
pub(crate) fn fit(text: &str, pixels: u32, size: u32) -> String {
    let width = |c: char| if c < '\u{2e80}' { size * 6 / 10 } else { size };
    let shown = |c: char| if c.is_control() { ' ' } else { c };
    let text: String = text.chars().map(shown).collect();
    if text.chars().map(width).fold(0, u32::saturating_add) <= pixels {
        return text;
    }
    let mut left = pixels.saturating_sub(size);
    let fits = |c: &char| match left.checked_sub(width(*c)) {
        Some(rest) => {
            left = rest;
            true
        }
        None => false,
    };
    let mut cut: String = text.chars().take_while(fits).collect();
    cut.push('…');
    cut
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
    fn a_line_stays_a_line_and_within_its_width() {
        assert_eq!(fit("王先生", 60, 20), "王先生");
        assert_eq!(fit("王先生们", 60, 20), "王先…");
        assert_eq!(fit("a\nb\tc", 100, 10), "a b c");
        assert_eq!(fit("", 0, 10), "");
        assert_eq!(fit("长", 0, 10), "…");
    }
}
