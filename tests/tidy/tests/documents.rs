//! References hold what they are about: error codes, decisions, profiles, words.

use guitai_tidy::{read, root, tracked};
use guitai_types::{Code, profile::Profile};

#[test]
fn every_error_code_has_its_page() {
    let page = read("docs/reference/errors.md");
    for code in Code::ALL {
        let (zh, en) = code.cause();
        let (next_zh, next_en) = code.next();
        let row = format!(
            "| {code} | {} | {zh} / {en} | {next_zh} / {next_en} |",
            code.status()
        );
        assert!(
            page.contains(&row),
            "docs/reference/errors.md lacks this row:\n{row}"
        );
    }
}

#[test]
fn decisions_are_numbered_without_gap_and_say_why() {
    let tracked = tracked();
    let mut names: Vec<_> = tracked
        .iter()
        .filter_map(|path| path.strip_prefix("docs/decisions/"))
        .collect();
    names.sort_unstable();
    assert!(!names.is_empty(), "there are decisions");
    for (index, name) in names.iter().enumerate() {
        assert!(
            name.starts_with(&format!("{:04}-", index + 1)),
            "{name} is out of order"
        );
        let text = read(&format!("docs/decisions/{name}"));
        for heading in ["## Context", "## Decision", "## Consequences"] {
            assert!(text.contains(heading), "{name} lacks {heading}");
        }
    }
}

#[test]
fn every_profile_can_be_started() {
    let profiles: Vec<_> = std::fs::read_dir(root().join("profiles"))
        .expect("profiles/")
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .filter(|path| path.extension().is_some_and(|ending| ending == "toml"))
        .filter(|path| !path.to_string_lossy().ends_with(".flows.toml"))
        .collect();
    assert!(!profiles.is_empty(), "there are profiles");
    for path in profiles {
        let text = std::fs::read_to_string(&path).expect("profile is readable");
        let profile: Profile =
            toml::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        profile
            .check()
            .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    }
}

#[test]
fn the_readme_gives_the_two_commands() {
    let readme = read("README.md");
    assert!(readme.contains("cargo run --release -- up"));
    assert!(readme.contains("tests/run"));
}
