//! Texts: what the rules find in one, and what becomes of it.

use std::collections::BTreeMap;

use guitai_types::message::{Action, BANK_CARD, Found, ID_CARD, PHONE, TextRules};
use regex::{Regex, RegexBuilder};

use crate::{bank_card, id_card, number, phone};

/// Memory that one compiled pattern may take, in bytes: repetitions of repetitions are refused at the start.
const PATTERN_MEMORY_MAX: usize = 256 * 1024;
/// What a masked text keeps of the end of a find, in characters: enough for both sides to know which one was meant.
const KEPT_CHARS: usize = 4;
/// What masked characters become.
const MASK: char = '*';

/// Why the rules of a profile cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    /// No regular expression, one with look-around or back references, or one that takes too much memory.
    #[error(
        "guard.text.patterns: {name} is no pattern of at most {PATTERN_MEMORY_MAX} bytes of memory: {why}"
    )]
    Broken {
        /// Which.
        name: String,
        /// What the compiler says, in one line.
        why: String,
    },
    /// It matches where nothing is, and so everywhere.
    #[error("guard.text.patterns: {name} matches an empty text")]
    Empty {
        /// Which.
        name: String,
    },
}

/// The rules for texts, ready for use.
#[derive(Debug, Clone)]
pub struct Texts {
    id_card: Action,
    bank_card: Action,
    phone: Action,
    patterns: Vec<(String, Regex, Action)>,
}

impl Texts {
    /// Makes rules ready.
    ///
    /// # Errors
    /// A pattern that cannot be used.
    pub fn new(rules: &TextRules) -> Result<Self, PatternError> {
        let patterns = rules.patterns.iter().map(|rule| {
            let name = rule.name.clone();
            let regex = RegexBuilder::new(&rule.pattern)
                .size_limit(PATTERN_MEMORY_MAX)
                .dfa_size_limit(PATTERN_MEMORY_MAX)
                .build();
            let regex = regex.map_err(|error| {
                let why = error.to_string();
                let why = why.lines().last().unwrap_or_default().trim().to_owned();
                let name = name.clone();
                PatternError::Broken { name, why }
            })?;
            if regex.is_match("") {
                return Err(PatternError::Empty { name });
            }
            Ok((name, regex, rule.action))
        });
        Ok(Self {
            id_card: rules.id_card,
            bank_card: rules.bank_card,
            phone: rules.phone,
            patterns: patterns.collect::<Result<_, _>>()?,
        })
    }

    /// Holds a text to the rules.
    pub fn inspect(&self, text: &str) -> Verdict {
        let mut work = Work::new(text);
        let folded = work.folded.clone();
        // In this order: the digits of an identity card may also look like a telephone number.
        for (rule, action, find) in [
            (ID_CARD, self.id_card, id_card::find as Finder),
            (BANK_CARD, self.bank_card, bank_card::find),
            (PHONE, self.phone, phone::find),
        ] {
            for run in number::runs(&folded) {
                for span in find(&run) {
                    work.found(rule, action, span);
                }
            }
        }
        if !self.patterns.is_empty() {
            let (line, places) = joined(&folded);
            for (name, regex, action) in &self.patterns {
                for hit in regex.find_iter(&line) {
                    let place = |at| places.partition_point(|&start| start < at);
                    let span = (place(hit.start()), place(hit.end()));
                    work.found(name, *action, span);
                }
            }
        }
        work.verdict()
    }
}

impl Default for Texts {
    /// The rules of a profile that says nothing; they have no patterns, so nothing can be wrong with them.
    fn default() -> Self {
        let rules = TextRules::default();
        Self {
            id_card: rules.id_card,
            bank_card: rules.bank_card,
            phone: rules.phone,
            patterns: Vec::new(),
        }
    }
}

/// What became of a text. Holds nothing of it where it is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// The text as it may go through; `None` where it may not.
    pub text: Option<String>,
    /// What was found, by rule.
    pub found: Vec<Found>,
}

impl Verdict {
    /// What was found of that which refuses a text, in words without content: `id-card 1`.
    pub fn blocked(&self) -> String {
        let blocked = self.found.iter().filter(|it| it.action == Action::Block);
        let words = blocked.map(|it| format!("{} {}", it.rule, it.count));
        words.collect::<Vec<_>>().join(", ")
    }
}

/// Where a number begins, and where it is over, in characters.
pub(crate) type Span = (usize, usize);
type Finder = fn(&number::Run) -> Vec<Span>;

/// A text at work.
struct Work {
    shown: Vec<char>,
    /// The same with full-width characters made half-width, character for character.
    folded: Vec<char>,
    /// What a rule has found already: no second one finds it again.
    taken: Vec<bool>,
    counts: BTreeMap<(String, Action), u32>,
}

impl Work {
    fn new(text: &str) -> Self {
        let shown: Vec<char> = text.chars().collect();
        Self {
            folded: shown.iter().map(|&c| number::fold(c)).collect(),
            taken: vec![false; shown.len()],
            counts: BTreeMap::new(),
            shown,
        }
    }

    fn found(&mut self, rule: &str, action: Action, (start, end): Span) {
        let Some(taken) = self.taken.get_mut(start..end) else {
            return;
        };
        if taken.contains(&true) {
            return;
        }
        taken.fill(true);
        *self.counts.entry((rule.to_owned(), action)).or_default() += 1;
        if action == Action::Mask {
            let kept = end.saturating_sub(KEPT_CHARS.min((end - start) / 2));
            if let Some(masked) = self.shown.get_mut(start..kept) {
                masked.fill(MASK);
            }
        }
    }

    fn verdict(self) -> Verdict {
        let is_blocked = self
            .counts
            .keys()
            .any(|(_, action)| *action == Action::Block);
        let found = self
            .counts
            .into_iter()
            .map(|((rule, action), count)| Found {
                rule,
                action,
                count,
            });
        Verdict {
            text: (!is_blocked).then(|| self.shown.into_iter().collect()),
            found: found.collect(),
        }
    }
}

/// The characters as one string, and at which byte each begins.
fn joined(chars: &[char]) -> (String, Vec<usize>) {
    let mut line = String::with_capacity(chars.len());
    let mut places = Vec::with_capacity(chars.len());
    for &c in chars {
        places.push(line.len());
        line.push(c);
    }
    (line, places)
}

#[cfg(test)]
mod tests {
    use guitai_types::message::Pattern;
    use proptest::prelude::*;

    use super::*;

    /// A made-up number: region and date that there are, and the right check character.
    const ID: &str = "11010519491231002X";
    /// The number that ISO/IEC 7812-1 uses as its example is shorter; this is a test number of a card scheme.
    const CARD: &str = "6222021234567890128";

    fn with(action: Action) -> Texts {
        Texts::new(&TextRules {
            id_card: action,
            bank_card: action,
            phone: action,
            patterns: Vec::new(),
        })
        .unwrap()
    }

    fn found(text: &str) -> Vec<(String, u32)> {
        let verdict = with(Action::Count).inspect(text);
        assert_eq!(
            verdict.text.as_deref(),
            Some(text),
            "counting changes nothing"
        );
        verdict
            .found
            .into_iter()
            .map(|it| (it.rule, it.count))
            .collect()
    }

    fn one(rule: &str) -> Vec<(String, u32)> {
        vec![(rule.to_owned(), 1)]
    }

    #[test]
    fn identity_cards_are_found_however_they_are_written() {
        for text in [
            ID,
            "我的身份证是11010519491231002x,谢谢",
            "110105 19491231 002X",
            "110105-1949-1231-002X",
            "１１０１０５１９４９１２３１００２Ｘ",
            "x11010519491231002Xy",
            "号9911010519491231002X",
        ] {
            assert_eq!(found(text), one(ID_CARD), "{text}");
        }
        for text in [
            "110105194912310021", // the check character
            "11010519491331002X", // a month that there is not
            "99010519491231002X", // a region that there is not
            "11010519491231002",
        ] {
            let found = found(text);
            assert!(found.iter().all(|(rule, _)| rule != ID_CARD), "{text}");
        }
    }

    #[test]
    fn bank_cards_are_found_however_they_are_written() {
        for text in [
            CARD,
            "6222 0212 3456 7890 128",
            "6222-0212-3456-7890-128",
            "卡号６２２２０２１２３４５６７８９０１２８。",
            "4111111111111111",
            "4111 1111 1111 1111 谢谢",
        ] {
            assert_eq!(found(text), one(BANK_CARD), "{text}");
        }
        for text in [
            "6222021234567890129",
            "411111111111111",
            "0000000000000000",
            "订单 41111111111111110000001",
        ] {
            assert_eq!(found(text), [], "{text}");
        }
    }

    #[test]
    fn telephone_numbers_are_found_however_they_are_written() {
        for text in [
            "13800138000",
            "138 0013 8000",
            "138-0013-8000",
            "+8613800138000",
            "电话86 13800138000",
            "１３８００１３８０００",
            "010-12345678",
            "0755 1234567",
            "075512345678",
        ] {
            assert_eq!(found(text), one(PHONE), "{text}");
        }
        for text in [
            "12800138000",
            "1380013800",
            "2026-11-23 10:30",
            "138001380001234",
            "金额 1,234,567",
        ] {
            assert_eq!(found(text), [], "{text}");
        }
    }

    #[test]
    fn what_is_masked_keeps_its_last_four_and_the_rest_of_the_text() {
        let texts = with(Action::Mask);
        let masked = |text: &str| texts.inspect(text).text.unwrap();
        assert_eq!(masked(&format!("证件{ID}。")), "证件**************002X。");
        assert_eq!(masked("拨 138 0013 8000 找我"), "拨 *********8000 找我");
        let both = masked(&format!("{ID} {CARD}"));
        assert_eq!(both, "**************002X ***************0128");
        let found = texts.inspect(&format!("{ID} {CARD} {CARD}")).found;
        let counts: Vec<_> = found
            .iter()
            .map(|it| (it.rule.as_str(), it.count))
            .collect();
        assert_eq!(counts, [(BANK_CARD, 2), (ID_CARD, 1)]);
    }

    #[test]
    fn what_is_blocked_leaves_nothing_but_counts() {
        let verdict = with(Action::Block).inspect(&format!("你好 {ID}"));
        assert_eq!(verdict.text, None);
        assert_eq!(verdict.blocked(), "id-card 1");
        assert!(!format!("{verdict:?}").contains("1949"));
    }

    fn pattern(pattern: &str) -> Result<Texts, PatternError> {
        Texts::new(&TextRules {
            patterns: vec![Pattern {
                name: "customer-number".to_owned(),
                pattern: pattern.to_owned(),
                action: Action::Mask,
            }],
            ..TextRules::default()
        })
    }

    #[test]
    fn patterns_of_the_bank_are_found_and_those_that_cost_too_much_refused() {
        let texts = pattern("KH[0-9]{8}").unwrap();
        let verdict = texts.inspect("客户号KH１２３４５６７８在此");
        assert_eq!(verdict.text.as_deref(), Some("客户号******５６７８在此"));
        assert_eq!(verdict.found[0].rule, "customer-number");
        for bad in ["(", "(?=a)", r"(a)\1", "((a{100}){100}){100}", r"\w{5000}"] {
            let refused = pattern(bad).unwrap_err();
            assert!(
                matches!(refused, PatternError::Broken { .. }),
                "{bad}: {refused}"
            );
        }
        assert!(matches!(pattern("a*"), Err(PatternError::Empty { .. })));
    }

    proptest! {
        #[test]
        fn no_text_breaks_it_and_only_what_is_found_changes(text in "[ 0-9xX０-９-]{0,60}|\\PC{0,60}") {
            let verdict = with(Action::Mask).inspect(&text);
            let masked = verdict.text.unwrap();
            prop_assert_eq!(masked.chars().count(), text.chars().count());
            let is_changed = masked != text;
            prop_assert_eq!(is_changed, !verdict.found.is_empty());
        }

        #[test]
        fn every_right_number_is_found_wherever_it_stands(
            region in prop::sample::select(vec!["11", "44", "65", "83"]),
            rest in "[0-9]{4}", day in 1u32..=28, month in 1u32..=12, year in 1900u32..2100,
            order in "[0-9]{3}", before in "[a-z 是]{0,6}", after in "[,。 a-z]{0,6}",
        ) {
            let body = format!("{region}{rest}{year}{month:02}{day:02}{order}");
            let whole = format!("{body}{}", id_card::check_character(&body).unwrap());
            let text = format!("{before}{whole}{after}");
            let verdict = with(Action::Block).inspect(&text);
            prop_assert_eq!(verdict.blocked(), "id-card 1");
            prop_assert_eq!(verdict.text, None);
        }

        #[test]
        fn what_went_through_once_goes_through_unchanged(text in "[0-9 -]{0,80}") {
            let texts = with(Action::Mask);
            let once = texts.inspect(&text).text.unwrap();
            let twice = texts.inspect(&once);
            prop_assert_eq!(twice.text, Some(once));
        }
    }
}
