//! The package in one file, where what holds the files together is not of its one form.

use guitai_evidence::layout;

use super::Forgery;
use crate::{
    dice::Dice,
    package::Package,
    tar::{self, BLOCK, Place},
    world::World,
};

pub(crate) const FORGERIES: &[Forgery] = &[
    ("container: a header garbled", "container", garbled),
    (
        "container: a header's other fields",
        "container",
        other_fields,
    ),
    ("container: padding that is not zero", "container", padding),
    ("container: trailing bytes", "container", trailing),
    ("container: cut", "container", cut),
    ("container: a member twice", "container", twice),
    ("container: leads away", "container", leads_away),
    ("container: long names", "container", long_names),
    (
        "container: a member of another type",
        "container",
        another_type,
    ),
    ("container: a size of another form", "container", size_form),
    ("container: blocks between", "container", between),
    ("container: nothing of a package", "container", nothing),
    ("container: two members swapped", "files", swapped),
    ("container: a member renamed", "files", renamed),
    ("container: a member more", "unlisted", more),
];

fn packed(package: &Package) -> (Vec<u8>, Vec<Place>) {
    tar::pack(&package.entries).expect("a good package can be one file")
}

fn garbled(package: &mut Package, _: &World, dice: &mut Dice) -> String {
    let (mut bytes, places) = packed(package);
    let (at, path, _) = dice.one_of(&places);
    let byte = at + dice.below(BLOCK);
    bytes[byte] ^= 1 << dice.below(8);
    package.container = Some(bytes);
    format!("{path}, byte {}", byte - at)
}

fn other_fields(package: &mut Package, _: &World, dice: &mut Dice) -> String {
    let (mut bytes, places) = packed(package);
    let (at, path, _) = dice.one_of(&places);
    let header = &mut bytes[*at..at + BLOCK];
    let fields: [(usize, &[u8]); 14] = [
        (100, b"0000600"),
        (100, b"0000755"),
        (108, b"0001750"),
        (116, b"0001750"),
        (136, b"15274000000"),
        (157, b"target"),
        (257, b"ustar  \0"),
        (265, b"root"),
        (297, b"root"),
        (329, b"0000000"),
        (345, b"tracks"),
        (500, b"x"),
        (156, b"\0"),
        (511, b"\x01"),
    ];
    let (offset, value) = *dice.one_of(&fields);
    header[offset..offset + value.len()].copy_from_slice(value);
    tar::sum(header);
    if dice.below(4) == 0 && offset == 100 {
        header[148..156].copy_from_slice(b"00000 \0 ");
    }
    package.container = Some(bytes);
    format!("{path}, offset {offset}")
}

fn padding(package: &mut Package, _: &World, dice: &mut Dice) -> String {
    let (mut bytes, places) = packed(package);
    let padded: Vec<_> = places
        .iter()
        .filter(|(_, _, size)| size % BLOCK != 0)
        .collect();
    let (at, path, size) = dice.one_of(&padded);
    let (start, end) = (at + BLOCK + size, at + BLOCK + size.next_multiple_of(BLOCK));
    let byte = start + dice.below(end - start);
    bytes[byte] = 1 + dice.below(255) as u8;
    package.container = Some(bytes);
    format!("after {path}")
}

fn trailing(package: &mut Package, _: &World, dice: &mut Dice) -> String {
    let (mut bytes, _) = packed(package);
    let what = match dice.below(5) {
        0 => {
            bytes.push(0);
            "a zero"
        }
        1 => {
            bytes.extend([0; BLOCK]);
            "a block of zeros"
        }
        2 => {
            // As tar programs fill up.
            bytes.resize(bytes.len().next_multiple_of(10_240) + 10_240, 0);
            "a record of zeros"
        }
        3 => {
            bytes.extend(tar::member(b"notes.txt", b"x"));
            "a member"
        }
        _ => {
            let count = 1 + dice.below(600);
            bytes.extend(dice.bytes(count));
            "noise"
        }
    };
    package.container = Some(bytes);
    what.to_owned()
}

fn cut(package: &mut Package, _: &World, dice: &mut Dice) -> String {
    let (mut bytes, places) = packed(package);
    let end = bytes.len();
    let (at, _, size) = dice.one_of(&places);
    let left = *dice.one_of(&[
        end - 1,
        end - BLOCK,
        end - 2 * BLOCK,
        *at,
        at + 100,
        at + BLOCK,
        at + BLOCK + size / 2,
        0,
    ]);
    bytes.truncate(left);
    package.container = Some(bytes);
    format!("to {left} of {end} bytes")
}

/// Puts blocks before the end, or before a member.
fn put_in(package: &mut Package, dice: &mut Dice, blocks: &[u8]) {
    let (mut bytes, places) = packed(package);
    let end = bytes.len() - 2 * BLOCK;
    let at = match dice.below(2) {
        0 => end,
        _ => dice.one_of(&places).0,
    };
    bytes.splice(at..at, blocks.iter().copied());
    package.container = Some(bytes);
}

fn twice(package: &mut Package, _: &World, dice: &mut Dice) -> String {
    let (_, places) = packed(package);
    let path = dice.one_of(&places).1.clone();
    let content = match dice.below(2) {
        0 => package.bytes(&path).to_vec(),
        _ => b"another".to_vec(),
    };
    put_in(package, dice, &tar::member(path.as_bytes(), &content));
    path
}

fn leads_away(package: &mut Package, _: &World, dice: &mut Dice) -> String {
    let path = *dice.one_of(&[
        "../x",
        "/etc/passwd",
        "tracks/../../x",
        "./README.txt",
        "a//b",
        "tracks/",
        "a/b/c/d",
        ".hidden",
        "a b",
        "c:x",
        "a\\b",
        "柜",
    ]);
    put_in(package, dice, &tar::member(path.as_bytes(), b"x"));
    path.to_owned()
}

fn long_names(package: &mut Package, _: &World, dice: &mut Dice) -> String {
    let name = "a".repeat(150);
    let (what, blocks) = match dice.below(3) {
        0 => {
            // As GNU tar writes them.
            let mut long = tar::member(b"././@LongLink", name.as_bytes());
            long[156] = b'L';
            tar::sum(&mut long[..BLOCK]);
            (
                "GNU",
                [long, tar::member(&name.as_bytes()[..100], b"x")].concat(),
            )
        }
        1 => {
            let record = format!("{} path={name}\n", name.len() + 10);
            let mut long = tar::member(b"PaxHeader", record.as_bytes());
            long[156] = b'x';
            tar::sum(&mut long[..BLOCK]);
            ("pax", [long, tar::member(b"short", b"x")].concat())
        }
        _ => {
            let mut member = tar::member(b"x", b"x");
            member[345..445].copy_from_slice(&name.as_bytes()[..100]);
            tar::sum(&mut member[..BLOCK]);
            ("a prefix", member)
        }
    };
    put_in(package, dice, &blocks);
    what.to_owned()
}

fn another_type(package: &mut Package, _: &World, dice: &mut Dice) -> String {
    let kind = *dice.one_of(b"1234567gxSKDV\0");
    let mut member = tar::header(b"more", 0).to_vec();
    member[156] = kind;
    if matches!(kind, b'1' | b'2') {
        member[157..168].copy_from_slice(b"/etc/passwd");
    }
    tar::sum(&mut member);
    put_in(package, dice, &member);
    format!("{}", char::from(kind).escape_default())
}

fn size_form(package: &mut Package, _: &World, dice: &mut Dice) -> String {
    let (mut bytes, places) = packed(package);
    let (at, path, size) = dice.one_of(&places);
    let header = &mut bytes[*at..at + BLOCK];
    let mut binary = vec![0x80, 0, 0, 0];
    binary.extend((*size as u64).to_be_bytes());
    let forms: [(&str, Vec<u8>); 6] = [
        ("binary", binary),
        ("spaces", format!("{size:11o} ").into_bytes()),
        ("no end", format!("{size:012o}").into_bytes()),
        ("ten digits", format!("{size:010o}\0\0").into_bytes()),
        ("huge", [vec![0x80], vec![0x7f; 11]].concat()),
        ("negative", vec![0xff; 12]),
    ];
    let (what, form) = dice.one_of(&forms);
    header[124..136].copy_from_slice(form);
    tar::sum(header);
    package.container = Some(bytes);
    format!("{path}: {what}")
}

fn between(package: &mut Package, _: &World, dice: &mut Dice) -> String {
    let (mut bytes, places) = packed(package);
    let (at, path, _) = dice.one_of(&places);
    let count = *dice.one_of(&[BLOCK, 2 * BLOCK, 3 * BLOCK]);
    bytes.splice(*at..*at, std::iter::repeat_n(0, count));
    package.container = Some(bytes);
    format!("{count} zeros before {path}")
}

fn nothing(package: &mut Package, _: &World, dice: &mut Dice) -> String {
    let bytes = match dice.below(4) {
        0 => vec![],
        1 => b"PK\x03\x04".to_vec(),
        2 => vec![0; BLOCK],
        _ => dice.bytes(2_000),
    };
    package.container = Some(bytes);
    "something else".to_owned()
}

fn swapped(package: &mut Package, _: &World, dice: &mut Dice) -> String {
    let (mut bytes, places) = packed(package);
    let paths = [layout::EVENTS, layout::README, layout::VIEW, "agent-1.mp4"];
    let (a, b) = (dice.below(4), dice.below(3));
    let b = if b >= a { b + 1 } else { b };
    let place = |path: &str| places.iter().find(|it| it.1 == path).expect("it is there");
    // The names change places, the contents stay.
    let ((at, first, size), (there, second, length)) = (place(paths[a]), place(paths[b]));
    bytes[*at..at + BLOCK].copy_from_slice(&tar::header(second.as_bytes(), *size));
    bytes[*there..there + BLOCK].copy_from_slice(&tar::header(first.as_bytes(), *length));
    package.container = Some(bytes);
    format!("{first} and {second}")
}

fn renamed(package: &mut Package, _: &World, dice: &mut Dice) -> String {
    let (mut bytes, places) = packed(package);
    let path = *dice.one_of(&[layout::EVENTS, layout::README, "customer-1.mp4"]);
    let (at, _, size) = places.iter().find(|it| it.1 == path).expect("it is there");
    bytes[*at..at + BLOCK].copy_from_slice(&tar::header(b"renamed", *size));
    package.container = Some(bytes);
    path.to_owned()
}

fn more(package: &mut Package, _: &World, dice: &mut Dice) -> String {
    let path = *dice.one_of(&["notes.txt", "tracks/1/000099.m4s", "x/y/z", "log/x"]);
    put_in(package, dice, &tar::member(path.as_bytes(), b"x"));
    path.to_owned()
}
