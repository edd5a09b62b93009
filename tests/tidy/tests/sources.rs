//! What no tracked text may hold, and what every landing keeps true.

use guitai_tidy::{read, tracked};

const TEXT: &[&str] = &[
    ".rs", ".ts", ".vue", ".py", ".sh", ".toml", ".md", ".yml", ".yaml", ".mjs", ".html", ".css",
];

fn texts() -> impl Iterator<Item = (String, String)> {
    let is_text = |path: &String| TEXT.iter().any(|ending| path.ends_with(ending));
    let skip = |path: &String| path.contains("/dist/") || path.ends_with("tests/sources.rs");
    tracked()
        .into_iter()
        .filter(is_text)
        .filter(move |path| !skip(path))
        .map(|path| {
            let text = read(&path);
            (path, text)
        })
}

#[test]
fn nothing_is_left_unfinished() {
    let banned = [
        "todo!(",
        "unimplemented!(",
        "TODO",
        "FIXME",
        "XXX:",
        "dbg!(",
    ];
    let found: Vec<_> = texts()
        .flat_map(|(path, text)| {
            banned
                .iter()
                .filter(|word| text.contains(**word))
                .map(|word| format!("{path}: {word}"))
                .collect::<Vec<_>>()
        })
        .collect();
    assert!(found.is_empty(), "unfinished places: {found:#?}");
}

#[test]
fn no_path_of_a_machine() {
    // Put together here, so that this file does not hold what it bans.
    let banned = ["root", "home", "Users"].map(|home| format!("/{home}/"));
    let found: Vec<_> = texts()
        .filter(|(_, text)| banned.iter().any(|path| text.contains(path.as_str())))
        .map(|(path, _)| path)
        .collect();
    assert!(found.is_empty(), "paths of a machine in: {found:#?}");
}

#[test]
fn an_exception_from_a_lint_says_why() {
    let found: Vec<_> = texts()
        .filter(|(path, _)| path.ends_with(".rs"))
        .filter(|(_, text)| text.contains("#[allow(") || text.contains("#![allow("))
        .map(|(path, _)| path)
        .collect();
    assert!(
        found.is_empty(),
        "use #[expect(lint, reason = …)] in: {found:#?}"
    );
}

#[test]
fn ci_is_the_test_command_and_nothing_else() {
    let ci = read(".ci/run");
    let lines: Vec<_> = ci
        .lines()
        .filter(|l| !l.starts_with('#') && !l.trim().is_empty())
        .collect();
    assert!(
        lines
            .iter()
            .all(|line| line.contains("tests/run") || line.starts_with("cd ")),
        "{lines:?}"
    );
}

#[test]
fn the_compiler_asked_for_is_one_banks_can_get() {
    let line = read("Cargo.toml")
        .lines()
        .find(|l| l.starts_with("rust-version"))
        .map(str::to_owned);
    assert_eq!(line.as_deref(), Some("rust-version = \"1.95\""));
}
