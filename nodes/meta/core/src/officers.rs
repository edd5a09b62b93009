//! What one person may not decide alone: whose word counts towards it.

use guitai_types::{
    Problem, UnixMillis,
    dr::{APPROVAL_LIFE_MS, OFFICERS_NEEDED},
    officer::OfficerWord,
    problem::Code,
    record::{Duty, Staff},
};

use crate::check;

/// Adds an officer's word to those that are there; says whether they are enough. Words that have grown old count no
/// more: who gave one has to give it again.
///
/// # Errors
/// When it may not count: not of the officer's own account and key, given twice, grown old.
pub(crate) fn count(
    words: &mut Vec<OfficerWord>,
    account: Option<&Staff>,
    word: &OfficerWord,
    now: UnixMillis,
) -> Result<bool, Problem> {
    let mut left = words.clone();
    left.retain(|it| now.since(it.at) <= APPROVAL_LIFE_MS);
    may_count(&left, account, word, now)?;
    left.push(OfficerWord {
        // Not by a clock that is ahead does a word live longer.
        at: word.at.min(now),
        ..word.clone()
    });
    *words = left;
    Ok(words.len() >= OFFICERS_NEEDED)
}

fn may_count(
    present: &[OfficerWord],
    account: Option<&Staff>,
    word: &OfficerWord,
    now: UnixMillis,
) -> Result<(), Problem> {
    let officer = &word.officer;
    let account = account.ok_or_else(|| check::missing("officer"))?;
    if !account.duties.contains(&Duty::Officer) {
        let detail = format!("{officer} is no officer");
        return Err(Problem::new(Code::Forbidden, detail));
    }
    if account.approval_key.as_ref() != Some(&word.key) {
        let detail = format!("that is not the key {officer} registered");
        return Err(Problem::new(Code::Forbidden, detail));
    }
    if present.iter().any(|it| &it.officer == officer) {
        let detail = format!("{officer} has approved; another officer must");
        return Err(check::wrong(detail));
    }
    if present.iter().any(|it| it.key == word.key) {
        return Err(check::wrong("that key has approved; another officer must"));
    }
    let age = now.since(word.at);
    if age > APPROVAL_LIFE_MS {
        let detail =
            format!("the approval is {age} ms old, APPROVAL_LIFE_MS is {APPROVAL_LIFE_MS}");
        return Err(check::wrong(detail));
    }
    Ok(())
}
