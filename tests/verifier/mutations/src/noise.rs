//! Changes that nobody signs: bytes of any file, and which files there are.

use guitai_evidence::layout;

use crate::{
    dice::Dice,
    package::{Entry, Package},
};

/// A way to change a package; what it did, for people, or nothing where it changed nothing.
pub(crate) type Noise = fn(&mut Package, &Package, &mut Dice) -> Option<String>;

/// Every way, with its name.
pub(crate) const NOISE: &[(&str, Noise)] = &[
    ("bytes: a bit", a_bit),
    ("bytes: a byte", a_byte),
    ("bytes: some zero", some_zero),
    ("bytes: put in", put_in),
    ("bytes: taken out", taken_out),
    ("bytes: cut", cut),
    ("bytes: more at the end", more),
    ("bytes: two places swapped", places_swapped),
    ("bytes: a part twice", part_twice),
    ("bytes: a line dropped", line_dropped),
    ("bytes: two lines swapped", lines_swapped),
    ("file: removed", removed),
    ("file: emptied", emptied),
    ("file: copied under another name", copied),
    ("file: renamed", renamed),
    ("file: another case", another_case),
    ("file: two swapped", two_swapped),
    ("file: from another package", from_another),
    ("file: several from another package", several_from_another),
    ("file: a foreign one more", one_more_from_another),
    ("file: an unknown one", unknown),
    ("file: a hidden one", hidden),
    ("file: an empty folder", empty_folder),
    ("file: a folder in its place", folder_in_place),
    ("file: a link in its place", link_in_place),
    ("file: a link beside", link_beside),
    ("file: a link to a folder", link_to_folder),
    ("file: a socket in its place", socket_in_place),
    ("file: a socket beside", socket_beside),
];

/// A file of any kind, each kind as often as another: there are many segments and one manifest.
fn any_file(package: &Package, dice: &mut Dice) -> String {
    let kinds = [
        layout::MANIFEST,
        layout::SIGNED_DATA,
        layout::SIGNATURE,
        layout::SUMS,
        layout::CHAIN,
        layout::ROOT,
        layout::README,
        layout::EVENTS,
        layout::GAPS,
        "init.mp4",
        "frames.csv",
        "tree.sm3",
        ".m4s",
        "-1.mp4",
        layout::ROOTS,
        layout::VIEW,
        "recorder-1.pem",
        layout::ATTACHED,
        layout::ATTACHED_SIGNED,
        layout::TIMESTAMP,
        layout::LOG_POLICY,
        layout::CHECKPOINT,
        layout::CHECKPOINT_OLD,
        layout::CONSISTENCY,
        ".tlog-proof",
    ];
    loop {
        let kind = dice.one_of(&kinds);
        let fitting = |path: &&String| path.ends_with(kind);
        let files: Vec<_> = package.entries.keys().filter(fitting).collect();
        // A package of format 2 has not all of them.
        if !files.is_empty() {
            return (*dice.one_of(&files)).clone();
        }
    }
}

/// Changes the bytes of one file; nothing if they come out as they were.
fn bytes(
    package: &mut Package,
    dice: &mut Dice,
    change: impl FnOnce(&mut Vec<u8>, &mut Dice),
) -> Option<String> {
    let path = any_file(package, dice);
    let before = package.bytes(&path).clone();
    let mut after = before.to_vec();
    change(&mut after, dice);
    if after == **before {
        return None;
    }
    package.put(&path, after);
    Some(path)
}

/// A range of at least one byte; empty in an empty file.
fn range(of: &[u8], dice: &mut Dice) -> std::ops::Range<usize> {
    if of.is_empty() {
        return 0..0;
    }
    let start = dice.below(of.len());
    let length = 1 + dice.below((of.len() - start).min(40));
    start..start + length
}

fn a_bit(package: &mut Package, _: &Package, dice: &mut Dice) -> Option<String> {
    bytes(package, dice, |bytes, dice| {
        let at = range(bytes, dice).start;
        bytes[at] ^= 1 << dice.below(8);
    })
}

fn a_byte(package: &mut Package, _: &Package, dice: &mut Dice) -> Option<String> {
    bytes(package, dice, |bytes, dice| {
        let at = range(bytes, dice).start;
        bytes[at] = dice.roll() as u8;
    })
}

fn some_zero(package: &mut Package, _: &Package, dice: &mut Dice) -> Option<String> {
    bytes(package, dice, |bytes, dice| {
        let range = range(bytes, dice);
        bytes[range].fill(0);
    })
}

fn put_in(package: &mut Package, _: &Package, dice: &mut Dice) -> Option<String> {
    bytes(package, dice, |bytes, dice| {
        let at = dice.below(bytes.len() + 1);
        let count = 1 + dice.below(8);
        // White space is what a lenient reader passes over.
        let new = match dice.below(3) {
            0 => vec![*dice.one_of(b" \n\t\r"); count],
            _ => dice.bytes(count),
        };
        bytes.splice(at..at, new);
    })
}

fn taken_out(package: &mut Package, _: &Package, dice: &mut Dice) -> Option<String> {
    bytes(package, dice, |bytes, dice| {
        let range = range(bytes, dice);
        bytes.drain(range);
    })
}

fn cut(package: &mut Package, _: &Package, dice: &mut Dice) -> Option<String> {
    bytes(package, dice, |bytes, dice| {
        let at = range(bytes, dice).start;
        bytes.truncate(at);
    })
}

fn more(package: &mut Package, _: &Package, dice: &mut Dice) -> Option<String> {
    bytes(package, dice, |bytes, dice| {
        let count = 1 + dice.below(100);
        let new = match dice.below(4) {
            0 => b"\n".to_vec(),
            1 => vec![0; count],
            _ => dice.bytes(count),
        };
        bytes.extend(new);
    })
}

fn places_swapped(package: &mut Package, _: &Package, dice: &mut Dice) -> Option<String> {
    bytes(package, dice, |bytes, dice| {
        let (a, b) = (range(bytes, dice).start, range(bytes, dice).start);
        bytes.swap(a, b);
    })
}

fn part_twice(package: &mut Package, _: &Package, dice: &mut Dice) -> Option<String> {
    bytes(package, dice, |bytes, dice| {
        let range = range(bytes, dice);
        let part = bytes[range.clone()].to_vec();
        bytes.splice(range.end..range.end, part);
    })
}

fn lines(bytes: &[u8]) -> Vec<Vec<u8>> {
    bytes
        .split_inclusive(|byte| *byte == b'\n')
        .map(<[u8]>::to_vec)
        .collect()
}

fn line_dropped(package: &mut Package, _: &Package, dice: &mut Dice) -> Option<String> {
    bytes(package, dice, |bytes, dice| {
        let mut lines = lines(bytes);
        lines.remove(dice.below(lines.len()));
        *bytes = lines.concat();
    })
}

fn lines_swapped(package: &mut Package, _: &Package, dice: &mut Dice) -> Option<String> {
    bytes(package, dice, |bytes, dice| {
        let mut lines = lines(bytes);
        let (a, b) = (dice.below(lines.len()), dice.below(lines.len()));
        lines.swap(a, b);
        *bytes = lines.concat();
    })
}

fn removed(package: &mut Package, _: &Package, dice: &mut Dice) -> Option<String> {
    let path = any_file(package, dice);
    package.entries.remove(&path);
    Some(path)
}

fn emptied(package: &mut Package, _: &Package, dice: &mut Dice) -> Option<String> {
    let path = any_file(package, dice);
    package.put(&path, []);
    Some(path)
}

/// A name that a package could have and this one has not.
fn free_name(package: &Package, dice: &mut Dice) -> String {
    let folders = [
        "",
        "",
        "tracks/1/",
        "tracks/2/",
        "trust/",
        "tracks/",
        "tracks/9/",
        "log/",
        "x/",
    ];
    let names = [
        "000099.m4s",
        "init.mp4",
        "1.m4s",
        "notes.txt",
        "manifest.json",
        "root.pem",
        "customer-9.mp4",
        "SM3SUMS",
        "a",
    ];
    loop {
        let name = format!("{}{}", dice.one_of(&folders), dice.one_of(&names));
        if !package.entries.contains_key(&name) {
            return name;
        }
    }
}

fn copied(package: &mut Package, _: &Package, dice: &mut Dice) -> Option<String> {
    let (path, to) = (any_file(package, dice), free_name(package, dice));
    let entry = package.entries[&path].clone();
    package.entries.insert(to.clone(), entry);
    Some(format!("{path} also as {to}"))
}

fn renamed(package: &mut Package, _: &Package, dice: &mut Dice) -> Option<String> {
    let (path, to) = (any_file(package, dice), free_name(package, dice));
    let entry = package.entries.remove(&path)?;
    package.entries.insert(to.clone(), entry);
    Some(format!("{path} as {to}"))
}

fn another_case(package: &mut Package, _: &Package, dice: &mut Dice) -> Option<String> {
    let path = any_file(package, dice);
    let swap = |c: char| match c.is_ascii_lowercase() {
        true => c.to_ascii_uppercase(),
        false => c.to_ascii_lowercase(),
    };
    let to: String = match dice.below(2) {
        0 => path.chars().map(swap).collect(),
        _ => path.to_ascii_uppercase(),
    };
    if to == path {
        return None;
    }
    let entry = package.entries.remove(&path)?;
    package.entries.insert(to.clone(), entry);
    Some(format!("{path} as {to}"))
}

fn two_swapped(package: &mut Package, _: &Package, dice: &mut Dice) -> Option<String> {
    let (a, b) = (any_file(package, dice), any_file(package, dice));
    let (first, second) = (package.entries[&a].clone(), package.entries[&b].clone());
    if first == second {
        return None;
    }
    package.entries.insert(a.clone(), second);
    package.entries.insert(b.clone(), first);
    Some(format!("{a} and {b}"))
}

fn take(package: &mut Package, path: &str, from: &Package) -> bool {
    let Some(entry) = from.entries.get(path) else {
        return false;
    };
    package
        .entries
        .insert(path.to_owned(), entry.clone())
        .as_ref()
        != Some(entry)
}

fn from_another(package: &mut Package, other: &Package, dice: &mut Dice) -> Option<String> {
    let path = any_file(other, dice);
    take(package, &path, other).then_some(path)
}

fn several_from_another(package: &mut Package, other: &Package, dice: &mut Dice) -> Option<String> {
    // Sets that belong together, and never all that is signed.
    let sets: [&[&str]; 12] = [
        &[layout::ATTACHED, layout::ATTACHED_SIGNED],
        &[layout::ATTACHED, layout::ATTACHED_SIGNED, "log/"],
        &["log/"],
        &[layout::ROOTS, "trust/recorder-1.pem"],
        &[layout::MANIFEST],
        &[layout::MANIFEST, layout::SIGNED_DATA, layout::SIGNATURE],
        &[
            layout::MANIFEST,
            layout::SIGNED_DATA,
            layout::SIGNATURE,
            layout::SUMS,
        ],
        &[layout::SIGNED_DATA, layout::SIGNATURE],
        &[layout::SIGNATURE],
        &[layout::CHAIN],
        &[layout::CHAIN, layout::SIGNED_DATA, layout::SIGNATURE],
        &["tracks/1/"],
    ];
    let set = *dice.one_of(&sets);
    let within = |path: &&String| set.iter().any(|one| path.starts_with(one));
    let paths: Vec<_> = other.entries.keys().filter(within).cloned().collect();
    let taken: Vec<_> = paths
        .iter()
        .map(|path| take(package, path, other))
        .collect();
    taken.contains(&true).then(|| set.join(", "))
}

fn one_more_from_another(
    package: &mut Package,
    other: &Package,
    dice: &mut Dice,
) -> Option<String> {
    let (path, to) = (any_file(other, dice), free_name(package, dice));
    let entry = other.entries[&path].clone();
    package.entries.insert(to.clone(), entry);
    Some(format!("{path} as {to}"))
}

fn unknown(package: &mut Package, _: &Package, dice: &mut Dice) -> Option<String> {
    let path = free_name(package, dice);
    let count = dice.below(50);
    let content = dice.bytes(count);
    package.put(&path, content);
    Some(path)
}

fn hidden(package: &mut Package, _: &Package, dice: &mut Dice) -> Option<String> {
    let names = [
        ".DS_Store",
        "tracks/.x",
        "tracks/1/.000001.m4s",
        ".git/config",
        "Thumbs.db",
        "trust/root.pem~",
        "柜台.txt",
        " ",
        "a\nb",
        "tracks/1/a b",
    ];
    let path = dice.one_of(&names);
    package.put(path, b"x");
    Some((*path).to_owned())
}

fn empty_folder(package: &mut Package, _: &Package, dice: &mut Dice) -> Option<String> {
    let names = [
        "empty",
        "tracks/5",
        "tracks/1/x",
        "trust/old",
        ".hidden",
        "tracks/1/a/b",
    ];
    let path = dice.one_of(&names);
    package.entries.insert((*path).to_owned(), Entry::Empty);
    Some((*path).to_owned())
}

fn folder_in_place(package: &mut Package, _: &Package, dice: &mut Dice) -> Option<String> {
    let path = any_file(package, dice);
    package.entries.insert(path.clone(), Entry::Empty);
    Some(path)
}

fn link_in_place(package: &mut Package, _: &Package, dice: &mut Dice) -> Option<String> {
    let path = any_file(package, dice);
    // To the very bytes that belong there, elsewhere; or to nothing.
    let up = "../".repeat(path.matches('/').count());
    let to = match dice.below(3) {
        0 => "/nowhere".to_owned(),
        1 => {
            let kept = format!("kept-{}", path.replace('/', "-"));
            let entry = package.entries[&path].clone();
            package.entries.insert(kept.clone(), entry);
            format!("{up}{kept}")
        }
        _ => format!("{up}{}", any_file(package, dice)),
    };
    package
        .entries
        .insert(path.clone(), Entry::Link(to.clone()));
    Some(format!("{path} to {to}"))
}

fn link_beside(package: &mut Package, _: &Package, dice: &mut Dice) -> Option<String> {
    let path = free_name(package, dice);
    let to = dice.one_of(&["/etc/passwd", "manifest.json", ".", "..", "/nowhere"]);
    package
        .entries
        .insert(path.clone(), Entry::Link((*to).to_owned()));
    Some(format!("{path} to {to}"))
}

fn link_to_folder(package: &mut Package, _: &Package, dice: &mut Dice) -> Option<String> {
    // The files are all there, one link further.
    let folder = *dice.one_of(&["tracks/1", "tracks/3", "trust"]);
    let within = |path: &&String| path.starts_with(&format!("{folder}/"));
    let paths: Vec<_> = package.entries.keys().filter(within).cloned().collect();
    for path in paths {
        let entry = package.entries.remove(&path)?;
        package
            .entries
            .insert(path.replacen(folder, "moved", 1), entry);
    }
    let up = "../".repeat(folder.matches('/').count());
    package
        .entries
        .insert(folder.to_owned(), Entry::Link(format!("{up}moved")));
    Some(folder.to_owned())
}

fn socket_in_place(package: &mut Package, _: &Package, dice: &mut Dice) -> Option<String> {
    let path = any_file(package, dice);
    package.entries.insert(path.clone(), Entry::Socket);
    Some(path)
}

fn socket_beside(package: &mut Package, _: &Package, dice: &mut Dice) -> Option<String> {
    let path = free_name(package, dice);
    package.entries.insert(path.clone(), Entry::Socket);
    Some(path)
}
