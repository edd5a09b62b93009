//! Manifests that are not in canonical form, and signed as they are.

use guitai_evidence::layout;

use super::Forgery;
use crate::{dice::Dice, package::Package, world::World};

pub(crate) const FORGERIES: &[Forgery] = &[
    ("manifest: a space", "manifest", space),
    ("manifest: white space around", "manifest", around),
    ("manifest: a key twice", "manifest", key_twice),
    ("manifest: keys out of order", "manifest", out_of_order),
    ("manifest: an escape too many", "manifest", escape),
    ("manifest: a number in another form", "manifest", number),
    ("manifest: null", "manifest", null),
    ("manifest: upper-case hex", "manifest", upper_case),
    ("manifest: not UTF-8", "manifest", not_utf8),
    ("manifest: a default written out", "manifest", default),
    ("manifest: no object", "manifest", no_object),
    ("manifest: too deep", "manifest", too_deep),
];

fn edit(package: &mut Package, change: impl FnOnce(&str) -> Vec<u8>) {
    let before = package.bytes(layout::MANIFEST).clone();
    let text = std::str::from_utf8(&before).expect("a manifest is text");
    let after = change(text);
    assert!(after != **before, "a forgery that changes nothing");
    package.sign_as(after);
}

/// One of the places where `what` stands becomes `with`.
fn somewhere(package: &mut Package, dice: &mut Dice, what: &str, with: &str) -> String {
    edit(package, |text| {
        let places: Vec<_> = text.match_indices(what).map(|(at, _)| at).collect();
        let at = *dice.one_of(&places);
        [&text[..at], with, &text[at + what.len()..]]
            .concat()
            .into_bytes()
    });
    format!("{what} as {with}")
}

fn space(package: &mut Package, _: &World, dice: &mut Dice) -> String {
    let (what, with) = *dice.one_of(&[
        ("\":", "\": "),
        ("},{", "}, {"),
        ("{\"", "{ \""),
        (",\"", ",\n\""),
        ("\"}", "\"\t}"),
    ]);
    somewhere(package, dice, what, with)
}

fn around(package: &mut Package, _: &World, dice: &mut Dice) -> String {
    let (before, after) = *dice.one_of(&[
        ("", "\n"),
        (" ", ""),
        ("\u{feff}", ""),
        ("", "\0"),
        ("", "{}"),
        ("", " "),
    ]);
    edit(package, |text| [before, text, after].concat().into_bytes());
    format!("{before:?} and {after:?}")
}

fn key_twice(package: &mut Package, _: &World, dice: &mut Dice) -> String {
    let (what, with) = *dice.one_of(&[
        ("\"number\":", "\"number\":1,\"number\":"),
        ("\"sealed_at\":", "\"sealed_at\":1,\"sealed_at\":"),
        ("\"path\":", "\"path\":\"a\",\"path\":"),
    ]);
    somewhere(package, dice, what, with)
}

fn out_of_order(package: &mut Package, _: &World, dice: &mut Dice) -> String {
    let (what, with) = *dice.one_of(&[
        ("\"epoch\":3,\"first_us\":", "\"first_us\":"),
        ("{\"assignment\":2,\"end_us\":", "{\"end_us\":"),
    ]);
    let moved = if what.starts_with('{') {
        ",\"assignment\":2"
    } else {
        ",\"epoch\":3"
    };
    edit(package, |text| {
        let at = text.find(what).expect("a segment");
        let rest = &text[at + what.len()..];
        let digits = rest.find(',').expect("more follows");
        [&text[..at], with, &rest[..digits], moved, &rest[digits..]]
            .concat()
            .into_bytes()
    });
    format!("{what} later")
}

fn escape(package: &mut Package, _: &World, dice: &mut Dice) -> String {
    let (what, with) = *dice.one_of(&[
        ("\"cluster\"", "\"\\u0063luster\""),
        ("guitai-evidence/", "guitai-evidence\\/"),
        ("张", "\\u5f20"),
        ("示", "\\u793a"),
        ("customer", "\\u0063ustomer"),
    ]);
    let what = if what == "张" { "王" } else { what };
    let with = if what == "王" { "\\u738b" } else { with };
    somewhere(package, dice, what, with)
}

fn number(package: &mut Package, _: &World, dice: &mut Dice) -> String {
    let with = *dice.one_of(&[
        "6.0",
        "6e0",
        "06",
        "-6",
        "+6",
        "9007199254740992",
        "18446744073709551616",
        "60e-1",
        "\"6\"",
        "true",
        "6.5",
        "-0",
        "0x6",
        "NaN",
        "Infinity",
        "1e400",
    ]);
    somewhere(package, dice, "\"events\":6", &format!("\"events\":{with}"))
}

fn null(package: &mut Package, _: &World, dice: &mut Dice) -> String {
    let (what, with) = *dice.one_of(&[
        ("\"events\":6", "\"events\":null"),
        ("\"key\":true", "\"key\":null"),
        ("\"required\":false}", "\"required\":null}"),
        (
            "{\"display\":\"王先生\",",
            "{\"display\":\"王先生\",\"id\":null,",
        ),
    ]);
    somewhere(package, dice, what, with)
}

fn upper_case(package: &mut Package, _: &World, dice: &mut Dice) -> String {
    edit(package, |text| {
        // Digests of files with a letter in them: the value after one of the "sm3" keys.
        let places: Vec<_> = text
            .match_indices("\"sm3\":\"")
            .map(|(at, key)| at + key.len())
            .collect();
        let at = *dice.one_of(&places);
        [
            &text[..at],
            &text[at..at + 64].to_ascii_uppercase(),
            &text[at + 64..],
        ]
        .concat()
        .into_bytes()
    });
    "a digest".to_owned()
}

fn not_utf8(package: &mut Package, _: &World, dice: &mut Dice) -> String {
    let bytes: [&[u8]; 5] = [
        b"\xff",
        b"\xc0\xaf",
        b"\xed\xa0\x80",
        b"\xf5\x80\x80\x80",
        b"\x80",
    ];
    let new = *dice.one_of(&bytes);
    edit(package, |text| {
        let at = text.find("Demo Bank").expect("a name");
        [&text.as_bytes()[..at], new, &text.as_bytes()[at..]].concat()
    });
    format!("{new:02x?}")
}

fn default(package: &mut Package, _: &World, dice: &mut Dice) -> String {
    let (what, with) = *dice.one_of(&[
        (
            "\"media_sealed\":true,",
            "\"media_sealed\":true,\"media_suite\":\"sm4-gcm-sm3-128\",",
        ),
        ("\"events\":6", "\"disowned\":[],\"events\":6"),
        ("\"assignment\":2,", "\"assignment\":0,"),
        ("\"epoch\":3,\"first_us\"", "\"epoch\":0,\"first_us\""),
    ]);
    // The rich package states what it disowns; there the empty list would be a second one.
    let twice = package.manifest.get("disowned").is_some() && with.starts_with("\"disowned");
    let (what, with) = if twice {
        ("\"assignment\":2,", "\"assignment\":0,")
    } else {
        (what, with)
    };
    somewhere(package, dice, what, with)
}

fn no_object(package: &mut Package, _: &World, dice: &mut Dice) -> String {
    let texts = [
        "[]",
        "{}",
        "\"guitai-evidence/2\"",
        "2",
        "true",
        "null",
        "",
        "[{}]",
        "{",
    ];
    let text = *dice.one_of(&texts);
    edit(package, |_| text.as_bytes().to_vec());
    text.to_owned()
}

fn too_deep(package: &mut Package, _: &World, dice: &mut Dice) -> String {
    let depth = *dice.one_of(&[10, 130, 5_000, 200_000]);
    edit(package, |_| {
        ["[".repeat(depth), "]".repeat(depth)].concat().into_bytes()
    });
    format!("{depth} deep")
}
