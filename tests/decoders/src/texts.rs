//! Texts that customers and agents send, held to the rules for what must not be said in the clear.

use guitai_inspect::{Texts, Verdict};
use guitai_types::message::{Action, Pattern, TextRules};

use crate::Seed;

const ACTIONS: [Action; 3] = [Action::Count, Action::Mask, Action::Block];

/// The rules that a byte names: what happens with each of the three built-in ones, and with a pattern or none.
fn rules(choice: u8) -> TextRules {
    let action = |by: u8| ACTIONS[usize::from(choice / by % 3)];
    let pattern = Pattern {
        name: "account".to_owned(),
        pattern: "KH[0-9]{8}".to_owned(),
        action: action(27),
    };
    TextRules {
        id_card: action(1),
        bank_card: action(3),
        phone: action(9),
        patterns: if choice < 81 {
            vec![pattern]
        } else {
            Vec::new()
        },
    }
}

pub(crate) fn run(data: &[u8]) -> bool {
    let Some((choice, bytes)) = data.split_first() else {
        return false;
    };
    let Ok(text) = std::str::from_utf8(bytes) else {
        return false;
    };
    let rules = rules(*choice);
    let texts = Texts::new(&rules).expect("the pattern is one");
    let verdict = texts.inspect(text);
    let is_blocked = verdict.found.iter().any(|it| it.action == Action::Block);
    assert_eq!(
        verdict.text.is_none(),
        is_blocked,
        "refused exactly where a rule says so"
    );
    let Verdict {
        text: Some(passed),
        found,
    } = verdict
    else {
        return true;
    };
    assert_eq!(
        passed.chars().count(),
        text.chars().count(),
        "characters come and go"
    );
    if found.is_empty() {
        assert_eq!(passed, text, "nothing was found and it is another text");
    }
    // What was masked is gone, whatever stands beside it.
    let again = texts.inspect(&passed);
    let left = again.found.iter().filter(|it| it.action != Action::Count);
    assert_eq!(
        left.count(),
        0,
        "found once more after it was masked: {:?}",
        again.found
    );
    // The bank's own pattern may be anything, so it may match an asterisk; these must not come back.
    assert!(
        again.text.is_some_and(|text| text == passed),
        "masked twice"
    );
    true
}

pub(crate) fn seeds() -> Vec<Seed> {
    [
        ("id-card", 1, "身份证 11010519491231002X 谢谢"),
        ("id-card-wide", 1, "１１０１０５１９４９１２３１００２Ｘ"),
        (
            "bank-card",
            3,
            "卡号 6222 0212 3456 7890 12, 4111-1111-1111-1111",
        ),
        (
            "phone",
            9,
            "请打 138 0013 8000 或 010-62781234, +86 13900139000",
        ),
        ("blocked", 2, "11010519491231002X"),
        ("pattern", 27, "KH12345678 ok"),
        ("nothing", 40, "您好,请问有什么可以帮您?"),
    ]
    .map(|(name, rules, text)| Seed::new(name, rules, text.as_bytes()))
    .to_vec()
}
