//! Manifests in canonical form that state what may not be stated.

use guitai_evidence::layout;
use serde_json::{Value, json};

use super::Forgery;
use crate::{dice::Dice, package::Package, world::World};

pub(crate) const FORGERIES: &[Forgery] = &[
    ("manifest: an unknown field", "manifest", unknown_field),
    ("manifest: a field missing", "manifest", field_missing),
    ("manifest: another type", "manifest", another_type),
    ("manifest: an unknown format", "manifest", unknown_format),
    ("manifest: an impossible id", "manifest", impossible_id),
    ("manifest: a number too large", "manifest", too_large),
    ("manifest: a path that leads away", "manifest", path_away),
    ("manifest: lists what signs it", "manifest", lists_itself),
    (
        "manifest: files out of order",
        "manifest",
        files_out_of_order,
    ),
    ("manifest: a file twice", "manifest", file_twice),
    (
        "manifest: a required file not listed",
        "manifest",
        not_listed,
    ),
    (
        "manifest: an impossible digest",
        "manifest",
        impossible_digest,
    ),
    ("files: another size", "files", another_size),
    ("files: another digest", "files", another_digest),
    ("files: one that is not there", "files", not_there),
    (
        "files: under a name in another case",
        "files",
        name_in_another_case,
    ),
    ("sums: another root", "sums", another_root),
    ("sums: another list", "sums", another_list),
];

const OBJECTS: &[&str] = &[
    "",
    "/session",
    "/institution",
    "/institution/name",
    "/participants/0",
    "/consent",
    "/policy",
    "/steps/0",
    "/steps/1/name",
    "/tracks/0",
    "/tracks/2/segments/1",
    "/playable/0",
    "/assignments/1",
    "/files/3",
];

fn object<'a>(package: &'a mut Package, at: &str) -> &'a mut serde_json::Map<String, Value> {
    package.at(at).as_object_mut().expect("an object")
}

fn unknown_field(package: &mut Package, _: &World, dice: &mut Dice) -> String {
    let (at, name) = (
        *dice.one_of(OBJECTS),
        *dice.one_of(&["a", "zz", "Format", "note", "paths", ""]),
    );
    object(package, at).insert(name.to_owned(), json!("x"));
    package.sign();
    format!("{name} in {at}")
}

fn field_missing(package: &mut Package, _: &World, dice: &mut Dice) -> String {
    let (at, optional) = (
        *dice.one_of(OBJECTS),
        [
            "consent",
            "assignments",
            "disowned",
            "ended_at",
            "end_reason",
            "id",
            "done_at",
            "until",
            "cause",
            "assignment",
            "epoch",
            "files",
        ],
    );
    let object = object(package, at);
    let required =
        |name: &&String| !optional.contains(&name.as_str()) || at.starts_with("/institution");
    let names: Vec<String> = object.keys().filter(required).cloned().collect();
    let name = dice.one_of(&names).clone();
    object.remove(&name);
    package.sign();
    format!("{name} of {at}")
}

fn another_type(package: &mut Package, _: &World, dice: &mut Dice) -> String {
    let at = *dice.one_of(OBJECTS);
    let object = object(package, at);
    let names: Vec<String> = object.keys().cloned().collect();
    let name = dice.one_of(&names).clone();
    let before = &object[&name];
    let others = [
        json!("x"),
        json!(-1),
        json!(true),
        json!([]),
        json!({}),
        json!([7]),
    ];
    let differs = |other: &&Value| std::mem::discriminant(*other) != std::mem::discriminant(before);
    let others: Vec<_> = others.iter().filter(differs).collect();
    let other = (*dice.one_of(&others)).clone();
    object.insert(name.clone(), other.clone());
    package.sign();
    format!("{name} of {at} as {other}")
}

fn unknown_format(package: &mut Package, _: &World, dice: &mut Dice) -> String {
    let format = *dice.one_of(&[
        "guitai-evidence/9",
        "guitai-evidence/02",
        "",
        "guitai-evidence/2 ",
        "GUITAI-EVIDENCE/2",
        "guitai-evidence/0",
    ]);
    *package.at("/format") = json!(format);
    package.sign();
    format.to_owned()
}

fn impossible_id(package: &mut Package, _: &World, dice: &mut Dice) -> String {
    let at = *dice.one_of(&[
        "/cluster",
        "/session/id",
        "/session/ticket",
        "/session/queue",
        "/session/edge",
        "/recorder",
        "/institution/id",
        "/assignments/0/node",
    ]);
    let long = "a".repeat(64);
    let id = *dice.one_of(&[
        "",
        "A1",
        "-a",
        "a_b",
        "a/b",
        "..",
        "柜",
        "a b",
        long.as_str(),
        "a\n",
        "ａ",
    ]);
    *package.at(at) = json!(id);
    package.sign();
    format!("{at} {id:?}")
}

fn too_large(package: &mut Package, _: &World, dice: &mut Dice) -> String {
    let narrow = [
        "/tracks/0/number",
        "/tracks/1/width",
        "/tracks/0/segments/0/frames",
        "/tracks/0/segments/1/number",
        "/assignments/0/number",
        "/tracks/2/channels",
        "/playable/0/tracks/0",
        "/tracks/0/segments/0/assignment",
    ];
    let at = *dice.one_of(&narrow);
    *package.at(at) = json!(*dice.one_of(&[4_294_967_296_u64, 9_007_199_254_740_991]));
    package.sign();
    at.to_owned()
}

fn path_away(package: &mut Package, _: &World, dice: &mut Dice) -> String {
    let long = "a".repeat(101);
    let paths = [
        "../x",
        "/etc/passwd",
        ".hidden",
        "a/b/c/d",
        "a\\b",
        "a b",
        long.as_str(),
        "柜",
        "",
        "a//b",
        "tracks/1/",
        "./README.txt",
        "tracks/../README.txt",
        "c:x",
        "a\u{0}b",
        "tracks/1/..",
        "trust/.x",
        "a\n",
        "ａ",
    ];
    let path = *dice.one_of(&paths);
    let files = package.array("/files");
    let mut file = dice.one_of(files).clone();
    file["path"] = json!(path);
    let less = |other: &&Value| other["path"].as_str() < Some(path);
    let at = files.iter().filter(less).count();
    files.insert(at, file);
    package.write_sums();
    package.sign();
    format!("{path:?}")
}

fn lists_itself(package: &mut Package, _: &World, dice: &mut Dice) -> String {
    let there = |path: &&str| package.entries.contains_key(*path);
    let paths: Vec<&str> = layout::UNLISTED.into_iter().filter(there).collect();
    let path = *dice.one_of(&paths);
    let content = package.bytes(path).clone();
    let sm3 = guitai_types::Hex(guitai_crypto::sm3::hash(&content).to_vec()).to_string();
    let files = package.array("/files");
    let less = |other: &&Value| other["path"].as_str() < Some(path);
    let at = files.iter().filter(less).count();
    files.insert(
        at,
        json!({ "path": path, "size": content.len(), "sm3": sm3 }),
    );
    package.sign();
    path.to_owned()
}

fn files_out_of_order(package: &mut Package, _: &World, dice: &mut Dice) -> String {
    let files = package.array("/files");
    let (a, b) = (dice.below(files.len()), dice.below(files.len() - 1));
    let b = if b >= a { b + 1 } else { b };
    files.swap(a, b);
    package.write_sums();
    package.sign();
    format!("{a} and {b}")
}

fn file_twice(package: &mut Package, _: &World, dice: &mut Dice) -> String {
    let files = package.array("/files");
    let at = dice.below(files.len());
    let file = files[at].clone();
    files.insert(at, file);
    package.write_sums();
    package.sign();
    format!("{at}")
}

fn not_listed(package: &mut Package, _: &World, dice: &mut Dice) -> String {
    let path = *dice.one_of(&[
        layout::README,
        layout::EVENTS,
        layout::GAPS,
        layout::CHAIN,
        layout::ROOT,
        layout::ROOTS,
        layout::VIEW,
    ]);
    // Format 2 does not require the last two; it has not got them.
    let path = if package.entries.contains_key(path) {
        path
    } else {
        layout::README
    };
    package.array("/files").retain(|file| file["path"] != path);
    package.write_sums();
    package.sign();
    path.to_owned()
}

fn impossible_digest(package: &mut Package, _: &World, dice: &mut Dice) -> String {
    let files = package.array("/files");
    let at = dice.below(files.len());
    let text = files[at]["sm3"].as_str().unwrap_or_default().to_owned();
    let longer = format!("{text}00");
    let bad = *dice.one_of(&[
        "",
        "00",
        &text[..62],
        &text[..63],
        longer.as_str(),
        "zz",
        "0x00",
    ]);
    files[at]["sm3"] = json!(bad);
    package.sign();
    format!("{bad:?}")
}

fn another_size(package: &mut Package, _: &World, dice: &mut Dice) -> String {
    let files = package.array("/files");
    let at = dice.below(files.len());
    let size = files[at]["size"].as_u64().unwrap_or_default();
    let other = *dice.one_of(&[size + 1, size.wrapping_sub(1), 0, 68_719_476_736]);
    files[at]["size"] = json!(if other > 68_719_476_736 || other == size {
        size + 7
    } else {
        other
    });
    package.sign();
    format!("{at}")
}

fn another_digest(package: &mut Package, _: &World, dice: &mut Dice) -> String {
    let files = package.array("/files");
    let at = dice.below(files.len());
    files[at]["sm3"] = json!(guitai_types::Hex(dice.bytes(32)).to_string());
    package.write_sums();
    package.sign();
    format!("{at}")
}

fn not_there(package: &mut Package, _: &World, dice: &mut Dice) -> String {
    let path = *dice.one_of(&[
        "customer-1.mp4",
        "agent-1.mp4",
        "README.txt",
        "tracks/1/frames.csv",
        "tracks/2/000001.m4s",
    ]);
    package.entries.remove(path);
    path.to_owned()
}

fn name_in_another_case(package: &mut Package, _: &World, dice: &mut Dice) -> String {
    let path = *dice.one_of(&[
        "README.txt",
        "customer-1.mp4",
        "tracks/1/init.mp4",
        "tracks/3/000001.m4s",
    ]);
    let entry = package.entries.remove(path).expect("it is there");
    package.entries.insert(path.to_ascii_uppercase(), entry);
    path.to_owned()
}

fn another_root(package: &mut Package, world: &World, dice: &mut Dice) -> String {
    let other = match dice.below(3) {
        0 => world.other.manifest["root"].clone(),
        1 => json!(guitai_types::Hex(dice.bytes(32)).to_string()),
        _ => package.manifest["tracks"][0]["root"].clone(),
    };
    let other = if other == package.manifest["root"] {
        json!("00")
    } else {
        other
    };
    *package.at("/root") = other.clone();
    package.sign();
    format!("{other}")
}

fn another_list(package: &mut Package, _: &World, dice: &mut Dice) -> String {
    let before = String::from_utf8(package.bytes(layout::SUMS).to_vec()).expect("a list is text");
    let lines: Vec<&str> = before.lines().collect();
    let at = dice.below(lines.len());
    let (what, after) = match dice.below(7) {
        0 => ("CRLF", before.replace('\n', "\r\n")),
        1 => ("upper case", before.to_ascii_uppercase()),
        2 => ("one space", before.replacen("  ", " ", 1 + at)),
        3 => ("binary marks", before.replace("  ", " *")),
        4 => ("no end", before.trim_end().to_owned()),
        5 => ("a line more", format!("{before}{}\n", lines[at])),
        _ => (
            "a line less",
            before.replacen(&format!("{}\n", lines[at]), "", 1),
        ),
    };
    package.put(layout::SUMS, after);
    what.to_owned()
}
