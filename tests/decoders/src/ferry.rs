//! What comes out of the gap: bundles, acknowledgements carried by hand, reports; and a side's own journal.

use guitai_crypto::{sm3, twin};
use guitai_ferry::{
    Side, Terms, bundle, inspect,
    manifest::{self, Ack, Answer, Item, Manifest, Part},
    name::{self, Hash, ItemName, Kind},
    record,
};
use guitai_tlog::note::{Line, Note, VerifierKey};
use guitai_types::{FerryId, SideName, UnixMillis};

use crate::{Seed, key};

/// Bytes of a header and of everything's measure in a tar.
const BLOCK: usize = 512;

pub(crate) fn run(data: &[u8]) -> bool {
    let Some((choice, bytes)) = data.split_first() else {
        return false;
    };
    match choice % 6 {
        0 => bundle_file(bytes),
        1 => stated(bytes),
        2 => answered(bytes),
        3 => journal(bytes),
        4 => report(bytes),
        _ => names(bytes),
    }
}

fn ferry() -> FerryId {
    "gap".parse().expect("an id")
}

fn side(name: &str) -> SideName {
    name.parse().expect("an id")
}

/// The other side's key.
fn peer() -> VerifierKey {
    bundle::verifier(&side("outer"), &key().public().to_point()).expect("a point")
}

fn signer() -> bundle::Signer {
    bundle::Signer::new(&side("outer"), key()).expect("a side's name")
}

fn mine() -> Side {
    Side::new(Terms::new(ferry(), side("inner"), side("outer")))
}

/// Any bytes: without the other side's signature nothing is opened, and a bundle has one form only.
fn bundle_file(bytes: &[u8]) -> bool {
    let Ok(opened) = bundle::open(bytes, &peer()) else {
        return false;
    };
    let contents: Vec<Vec<u8>> = opened.contents.iter().map(|it| it.to_vec()).collect();
    assert!(opened.manifest.is_sound(), "past a limit");
    assert_eq!(
        contents.len(),
        opened.manifest.parts.len(),
        "a part without content"
    );
    let again = bundle::seal(&opened.manifest, &contents, &signer()).expect("it was one");
    assert_eq!(again.statement, opened.statement, "another statement");
    drop(mine().judge(&opened.manifest, opened.statement));
    true
}

/// Any statement, signed by the other side: what a side of another release, or one that was taken over, may say.
/// The first two bytes are the length of the statement; the contents of its parts follow.
fn stated(bytes: &[u8]) -> bool {
    let Some((length, rest)) = bytes.split_first_chunk() else {
        return false;
    };
    let length = usize::from(u16::from_be_bytes(*length)).min(rest.len());
    let (statement, contents) = rest.split_at(length);
    let Some(note) = signed(statement) else {
        return false;
    };
    let mut file = entry("manifest", note.as_bytes());
    file.extend_from_slice(contents);
    bundle_file(&file)
}

fn answered(bytes: &[u8]) -> bool {
    let Some(note) = signed(bytes) else {
        return false;
    };
    let Ok(answer) = bundle::open_answer(note.as_bytes(), &peer()) else {
        return false;
    };
    assert!(answer.ack.is_sound(), "past a limit");
    drop(mine().answered(&answer, UnixMillis(1)));
    true
}

/// A journal is read to the byte, and what it adds up to can be asked.
fn journal(bytes: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return false;
    };
    let Ok(read) = record::read(text) else {
        return false;
    };
    let mut end = record::End::default();
    let mut again = String::new();
    for record in &read.records {
        let (line, next) = end.next(record).expect("it was read");
        again += &line;
        end = next;
    }
    let bytes = usize::try_from(read.bytes).expect("it is in memory");
    assert_eq!(Some(again.as_str()), text.get(..bytes), "another journal");
    assert_eq!(end, read.end, "another end");
    let side = Side::of(mine().terms, &read.records);
    drop(side.plan());
    drop(side.into.ack());
    drop(side.again(UnixMillis(1), true));
    !read.records.is_empty()
}

fn report(bytes: &[u8]) -> bool {
    let name = if bytes.first() == Some(&b'{') {
        "a.json"
    } else {
        "a.txt"
    };
    let Ok(kind) = inspect::report(name, bytes) else {
        return false;
    };
    let text = std::str::from_utf8(bytes).expect("it passed as text");
    assert!(!text.contains('\0'), "a NUL in a report");
    assert_eq!(kind == "JSON", name == "a.json", "taken for something else");
    true
}

fn names(bytes: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return false;
    };
    if let Some(number) = name::number_of(text, &ferry(), &side("outer")) {
        assert_eq!(
            name::file_name(&ferry(), &side("outer"), number),
            text,
            "two names of a bundle"
        );
        return true;
    }
    let Ok(item) = text.parse::<ItemName>() else {
        return false;
    };
    let path = std::path::Path::new(item.as_str());
    assert_eq!(
        path.file_name(),
        Some(path.as_os_str()),
        "a name that leads elsewhere"
    );
    Kind::ALL.into_iter().any(|kind| kind.may_have(&item))
}

/// A note of the other side over one line; nothing where the line cannot stand in one.
fn signed(statement: &[u8]) -> Option<String> {
    let text = String::from_utf8(statement.to_vec()).ok()? + "\n";
    let mut note = Note::new(text.clone()).ok()?;
    let secret = key();
    let line = Line::sign(&peer(), &|message| secret.sign(message), &text, 0);
    note.add(line).ok()?;
    Some(note.to_string())
}

/// One file of a tar.
fn entry(name: &str, content: &[u8]) -> Vec<u8> {
    let mut header = tar::Header::new_ustar();
    header.set_path(name).expect("a short name");
    header.set_size(content.len() as u64);
    header.set_mode(0o644);
    header.set_mtime(0);
    header.set_entry_type(tar::EntryType::Regular);
    header.set_cksum();
    let mut out = [&header.as_bytes()[..], content].concat();
    out.resize(out.len().next_multiple_of(BLOCK), 0);
    out
}

pub(crate) fn seeds() -> Vec<Seed> {
    let content = b"{\"ok\":true}".to_vec();
    let bytes = content.len() as u64;
    let part = Part {
        item: Item {
            number: 1,
            kind: Kind::Report.into(),
            name: "a.json".parse().expect("a name"),
            bytes,
            sm3: Hash(sm3::hash(&content)),
            sha256: Hash(twin::sha256(&[&content])),
        },
        offset: 0,
        bytes,
        sm3: Hash(sm3::hash(&content)),
    };
    let made = Manifest {
        format: manifest::FORMAT.to_owned(),
        ferry: ferry(),
        from: side("outer"),
        to: side("inner"),
        number: 1,
        previous: None,
        at: UnixMillis(1_795_000_000_000),
        settled: 0,
        ack: Ack::default(),
        parts: vec![part],
    };
    let sealed = bundle::seal(&made, &[content], &signer()).expect("a bundle");
    let statement = guitai_types::canonical::to_bytes(&made).expect("canonical");
    let note = signed(&statement).expect("a note");
    let rest = &sealed.bytes[entry("manifest", note.as_bytes()).len()..];
    let length = u16::try_from(statement.len()).expect("short");
    let whole = [&length.to_be_bytes()[..], &statement, rest].concat();
    let answer = Answer {
        format: manifest::ANSWER_FORMAT.to_owned(),
        ferry: ferry(),
        from: side("outer"),
        to: side("inner"),
        at: UnixMillis(1),
        ack: Ack::default(),
    };
    let answer = guitai_types::canonical::to_bytes(&answer).expect("canonical");
    let sent = record::Record::Sent {
        at: UnixMillis(1),
        numbers: vec![1],
    };
    let (first, end) = record::End::default().next(&sent).expect("canonical");
    let waiting = record::Record::Waiting {
        at: UnixMillis(2),
        numbers: vec![3, 4],
    };
    let (second, _) = end.next(&waiting).expect("canonical");
    vec![
        Seed::new("bundle", 0, &sealed.bytes),
        Seed::new("statement", 1, &whole),
        Seed::new("answer", 2, &answer),
        Seed::new("journal", 3, (first + &second).as_bytes()),
        Seed::new("report", 4, b"{\"kept\": 7}"),
        Seed::new("report-text", 4, "报告\n\tok\n".as_bytes()),
        Seed::new("name", 5, b"gap.outer.0000000007.tar"),
        Seed::new("name-item", 5, b"5e55.vcep"),
    ]
}
