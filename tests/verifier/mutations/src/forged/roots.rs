//! Roots by the second that a recorder never signed, or signed about something else.

use std::rc::Rc;

use guitai_crypto::{
    sm2,
    x509::{self, Usage},
};
use guitai_evidence::layout;
use serde_json::{Value, json};

use super::Forgery;
use crate::{
    dice::Dice,
    package::{Package, Signer, sign_line},
    world::{CLUSTER, SEALED_SECONDS, World},
};

pub(crate) const FORGERIES: &[Forgery] = &[
    ("roots: a line dropped", "roots", dropped),
    ("roots: a line twice", "roots", twice),
    ("roots: lines in another order", "roots", order),
    ("roots: a line in another form", "roots", form),
    ("roots: a field of another kind", "roots", kind),
    ("roots: paths swapped", "roots", paths_swapped),
    ("roots: a path altered", "roots", path_altered),
    ("roots: another place", "roots", another_place),
    ("roots: a segment left out", "roots", left_out),
    ("roots: a segment under two", "roots", under_two),
    ("roots: a segment that is none", "roots", none),
    ("roots: segments not ordered", "roots", not_ordered),
    ("roots: of something else, signed", "roots", something_else),
    ("roots: another number of leaves", "roots", another_count),
    ("roots: of another node, signed", "roots", another_node),
    ("roots: signed by another key", "roots", another_key),
    (
        "roots: a signature of elsewhere",
        "roots",
        signature_elsewhere,
    ),
    ("roots: another second", "roots", another_second),
    ("roots: a certificate expired", "roots", expired),
    ("roots: a certificate not valid yet", "roots", not_yet),
    ("roots: a certificate of a stranger", "roots", stranger),
    ("roots: a certificate missing", "roots", missing),
    ("roots: a certificate nobody names", "roots", unnamed),
    ("roots: certificates numbered otherwise", "roots", numbered),
];

fn lines(package: &mut Package) -> Vec<Value> {
    package.later().lines.clone()
}

/// Lists and signs with these lines.
fn seal(package: &mut Package, lines: Vec<Value>) {
    package.put_lines(lines);
    package.write_list();
    package.sign();
}

fn key(package: &Package) -> sm2::SecretKey {
    package.signer.identity.key.clone()
}

/// Changes one line, which is not signed again.
fn changed(
    package: &mut Package,
    dice: &mut Dice,
    change: impl FnOnce(&mut Value, &mut Dice),
) -> usize {
    let mut lines = lines(package);
    let at = dice.below(lines.len());
    change(&mut lines[at], dice);
    seal(package, lines);
    at
}

fn dropped(package: &mut Package, _: &World, dice: &mut Dice) -> String {
    let mut lines = lines(package);
    let at = dice.below(lines.len());
    lines.remove(at);
    seal(package, lines);
    format!("{at}")
}

fn twice(package: &mut Package, _: &World, dice: &mut Dice) -> String {
    let mut lines = lines(package);
    let at = dice.below(lines.len());
    let mut line = lines[at].clone();
    // Once as it is, once later and without its segments, signed.
    if dice.below(2) == 0 && at + 1 == lines.len() {
        line["second"] = json!(1_795_000_060);
        line["segments"] = json!([]);
        sign_line(&mut line, &key(package));
        lines.push(line);
    } else {
        lines.insert(at, line);
    }
    seal(package, lines);
    format!("{at}")
}

fn order(package: &mut Package, _: &World, dice: &mut Dice) -> String {
    let mut lines = lines(package);
    let at = dice.below(lines.len() - 1);
    lines.swap(at, at + 1);
    seal(package, lines);
    format!("{at} and the next")
}

fn form(package: &mut Package, _: &World, dice: &mut Dice) -> String {
    let before = String::from_utf8(package.bytes(layout::ROOTS).to_vec()).expect("lines are text");
    let changes = [
        ("\":", "\": "),
        ("\n", "\r\n"),
        ("\n", "\n\n"),
        ("\"node\":", "\"more\":1,\"node\":"),
        ("\"node\":", "\"node\":\"a1-2\",\"node\":"),
        ("\"signer\":1}", "\"signer\":1.0}"),
        ("\"signer\":1}", "\"signer\":1,\"to\":1}"),
        ("{\"index\":", "{\"index\":01"),
        ("[{", "[null,{"),
        ("\"salt\":\"0", "\"salt\":\""),
        ("\"path\":[\"", "\"path\":[\"00\",\""),
        ("}\n", "}"),
    ];
    let (what, with) = *dice.one_of(&changes);
    package.put(layout::ROOTS, before.replacen(what, with, 1));
    package.write_list();
    package.sign();
    format!("{what:?} as {with:?}")
}

fn kind(package: &mut Package, _: &World, dice: &mut Dice) -> String {
    let names = [
        "node",
        "second",
        "count",
        "root",
        "signature",
        "signer",
        "segments",
    ];
    let name = *dice.one_of(&names);
    let value = dice
        .one_of(&[json!(true), json!({}), json!(-1), json!("A1"), json!([7])])
        .clone();
    let what = format!("{name} as {value}");
    let before = lines(package);
    let mut lines = before.clone();
    let at = dice.below(lines.len());
    lines[at][name] = value;
    package.put_lines(lines);
    // The log has what the lines said before.
    package.later().lines = before;
    package.write_list();
    package.sign();
    what
}

fn paths_swapped(package: &mut Package, _: &World, dice: &mut Dice) -> String {
    let at = changed(package, dice, |line, dice| {
        let count = line["segments"].as_array().map_or(0, Vec::len);
        let a = dice.below(count - 1);
        let b = a + 1;
        let theirs = line["segments"][b]["path"].clone();
        line["segments"][b]["path"] = line["segments"][a]["path"].clone();
        line["segments"][a]["path"] = theirs;
    });
    format!("line {at}")
}

fn path_altered(package: &mut Package, _: &World, dice: &mut Dice) -> String {
    let at = changed(package, dice, |line, dice| {
        let path = line["segments"][0]["path"].as_array_mut().expect("a path");
        let at = dice.below(path.len());
        match dice.below(4) {
            0 => drop(path.remove(at)),
            1 => path.insert(at, path[at].clone()),
            2 => path.reverse(),
            _ => path[at] = json!("00".repeat(32)),
        }
        // A path may read the same from its end.
        path.push(json!("11".repeat(32)));
    });
    format!("line {at}")
}

fn another_place(package: &mut Package, _: &World, dice: &mut Dice) -> String {
    let at = changed(package, dice, |line, dice| {
        let last = line["segments"].as_array().map_or(0, Vec::len) - 1;
        let place = &mut line["segments"][last];
        match dice.below(3) {
            0 => place["salt"] = json!("00".repeat(32)),
            1 => place["index"] = json!(place["index"].as_u64().unwrap_or_default() + 1),
            _ => place["index"] = json!(*dice.one_of(&[99_u64, 4_294_967_295])),
        }
    });
    format!("line {at}")
}

fn left_out(package: &mut Package, _: &World, dice: &mut Dice) -> String {
    let at = changed(package, dice, |line, dice| {
        let segments = line["segments"].as_array_mut().expect("segments");
        segments.remove(dice.below(segments.len()));
    });
    format!("line {at}")
}

fn under_two(package: &mut Package, _: &World, dice: &mut Dice) -> String {
    let mut lines = lines(package);
    // Its own root once more, a moment later and signed: every path leads where it should.
    let mut again = lines[dice.below(lines.len())].clone();
    again["second"] = json!(1_795_000_060 + dice.below(5));
    sign_line(&mut again, &key(package));
    lines.push(again);
    seal(package, lines);
    "a whole line".to_owned()
}

fn none(package: &mut Package, _: &World, dice: &mut Dice) -> String {
    let at = changed(package, dice, |line, dice| {
        let (name, value) =
            *dice.one_of(&[("track", 9), ("segment", 99), ("track", 0), ("segment", 0)]);
        line["segments"][0][name] = json!(value);
    });
    format!("line {at}")
}

fn not_ordered(package: &mut Package, _: &World, dice: &mut Dice) -> String {
    let at = changed(package, dice, |line, _| {
        line["segments"].as_array_mut().expect("segments").reverse();
    });
    format!("line {at}")
}

/// Changes one line, and signs it again.
fn signed(
    package: &mut Package,
    dice: &mut Dice,
    key: &sm2::SecretKey,
    change: impl FnOnce(&mut Value, &mut Dice),
) -> usize {
    changed(package, dice, |line, dice| {
        change(line, dice);
        sign_line(line, key);
    })
}

fn something_else(package: &mut Package, _: &World, dice: &mut Dice) -> String {
    let key = key(package);
    let at = signed(package, dice, &key, |line, dice| {
        line["root"] = json!(guitai_types::Hex(dice.bytes(32)).to_string());
    });
    format!("line {at}")
}

fn another_count(package: &mut Package, _: &World, dice: &mut Dice) -> String {
    let key = key(package);
    // 9 leaves and 8 are of another shape; many numbers give a path the same length.
    let at = signed(package, dice, &key, |line, dice| {
        line["count"] = json!(*dice.one_of(&[0_u64, 1, 2, 1_000_000, 4_294_967_295]));
    });
    format!("line {at}")
}

fn another_node(package: &mut Package, _: &World, dice: &mut Dice) -> String {
    let key = key(package);
    let at = signed(package, dice, &key, |line, dice| {
        line["node"] = json!(*dice.one_of(&["a2-2", "a1-1", "a1-20"]));
    });
    format!("line {at}")
}

fn another_key(package: &mut Package, _: &World, dice: &mut Dice) -> String {
    let key = sm2::SecretKey::generate();
    let at = signed(package, dice, &key, |_, _| ());
    format!("line {at}")
}

fn signature_elsewhere(package: &mut Package, world: &World, dice: &mut Dice) -> String {
    let mut lines = lines(package);
    let at = dice.below(lines.len() - 1);
    let theirs = match (&world.other.later, dice.below(3)) {
        (Some(other), 0) => other.lines[0]["signature"].clone(),
        (_, 1) => json!(""),
        _ => lines[at + 1]["signature"].clone(),
    };
    lines[at]["signature"] = theirs;
    seal(package, lines);
    format!("line {at}")
}

fn another_second(package: &mut Package, _: &World, dice: &mut Dice) -> String {
    let mut lines = lines(package);
    let last = lines.len() - 1;
    // It still rises; the signature is over the second as it was.
    lines[last]["second"] = json!(1_795_000_050 + dice.below(9));
    seal(package, lines);
    "of the last line".to_owned()
}

/// The roots are signed by another identity of the recorder's.
fn by(package: &mut Package, signer: &Signer) {
    let mut lines = lines(package);
    for line in &mut lines {
        sign_line(line, &signer.identity.key);
    }
    let pem = x509::certificates_to_pem(&signer.identity.chain);
    package.put(&layout::recorder_chain(1), pem);
    seal(package, lines);
}

fn expired(package: &mut Package, world: &World, dice: &mut Dice) -> String {
    // Over a moment or a day before the first root.
    let made = SEALED_SECONDS - 86_400 - 200 - dice.below(80_000) as u64;
    by(
        package,
        &world.signer_of(&world.root, "a1-2", CLUSTER, Usage::Documents, made, 1),
    );
    "for the roots".to_owned()
}

fn not_yet(package: &mut Package, world: &World, dice: &mut Dice) -> String {
    // A certificate is valid from an hour before it is made.
    let made = SEALED_SECONDS + 3_601 + dice.below(80_000) as u64;
    by(
        package,
        &world.signer_of(&world.root, "a1-2", CLUSTER, Usage::Documents, made, 30),
    );
    "for the roots".to_owned()
}

fn stranger(package: &mut Package, world: &World, dice: &mut Dice) -> String {
    let made = SEALED_SECONDS - 86_400;
    let (what, signer) = match dice.below(4) {
        0 => ("another cluster", world.signer(&world.stranger, "a1-2")),
        1 => ("another node", world.signer(&world.root, "a2-2")),
        2 => (
            "for encryption",
            world.signer_of(&world.root, "a1-2", CLUSTER, Usage::Encryption, made, 30),
        ),
        _ => (
            "another name",
            world.signer_of(&world.root, "a1-2", "5e1f", Usage::Documents, made, 30),
        ),
    };
    by(package, &signer);
    what.to_owned()
}

fn missing(package: &mut Package, _: &World, dice: &mut Dice) -> String {
    let path = layout::recorder_chain(1);
    let what = match dice.below(3) {
        0 => {
            package.entries.remove(&path);
            "no file"
        }
        1 => {
            package.put(&path, "");
            "an empty one"
        }
        _ => {
            let chain = &package.signer.identity.chain[..1];
            let pem = x509::certificates_to_pem(chain);
            package.put(&path, pem);
            "the leaf alone"
        }
    };
    package.write_list();
    package.sign();
    what.to_owned()
}

fn unnamed(package: &mut Package, world: &World, dice: &mut Dice) -> String {
    let signer = world.signer(&world.root, "a1-2");
    let number = *dice.one_of(&[2_u32, 3, 17]);
    let pem = x509::certificates_to_pem(&signer.identity.chain);
    package.put(&layout::recorder_chain(number), pem);
    package.write_list();
    package.sign();
    format!("{number}")
}

fn numbered(package: &mut Package, _: &World, dice: &mut Dice) -> String {
    let number = *dice.one_of(&[2_u32, 3, 99]);
    let pem = package.bytes(&layout::recorder_chain(1)).to_vec();
    if dice.below(2) == 0 {
        package.entries.remove(&layout::recorder_chain(1));
        package.put(&layout::recorder_chain(number), pem);
    }
    let mut lines = lines(package);
    for line in &mut lines {
        line["signer"] = json!(number);
    }
    seal(package, lines);
    format!("{number}")
}

/// The recorder's identity was renewed and signs the roots from the middle on; nothing is wrong with that.
pub(crate) fn renewed(package: &mut Package, signer: &Signer) {
    let mut lines = lines(package);
    let half = lines.len() / 2;
    for line in &mut lines[half..] {
        line["signer"] = json!(2);
        sign_line(line, &signer.identity.key);
    }
    let pem = x509::certificates_to_pem(&signer.identity.chain);
    package.put(&layout::recorder_chain(2), pem);
    seal(package, lines);
    // Attached by the new one as well.
    let before = Rc::clone(&package.signer.identity);
    package.signer.identity = Rc::clone(&signer.identity);
    package.sign_attached();
    package.signer.identity = before;
}
