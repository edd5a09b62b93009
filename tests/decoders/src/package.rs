//! Evidence packages as a court or an auditor gets them, and what their parts say of themselves.

use std::{fs, path::Path};

use guitai_evidence::{
    Header, Manifest, Options, Reader, canonical, composite::Description, layout, quality,
    roots::RootLine, unpack, verify, view,
};
use guitai_types::record::SessionEvent;
use serde_json::Value;

use crate::Seed;

pub(crate) fn run(data: &[u8]) -> bool {
    let Some((choice, bytes)) = data.split_first() else {
        return false;
    };
    match choice % 6 {
        0 => header(bytes),
        1 => json(bytes),
        2 => description(bytes),
        3 => archive(bytes),
        4 => manifest(bytes),
        _ => line(bytes),
    }
}

fn header(bytes: &[u8]) -> bool {
    let Ok(Some((header, length))) = Header::parse(bytes) else {
        return false;
    };
    let written = header.encode();
    assert_eq!(
        bytes.get(..length),
        Some(written.as_slice()),
        "two forms of one header"
    );
    true
}

fn json(bytes: &[u8]) -> bool {
    let Ok(value) = canonical::from_bytes::<Value>(bytes) else {
        return false;
    };
    let again = canonical::to_bytes(&value).expect("it was canonical");
    assert_eq!(again, bytes, "two forms of one value");
    true
}

fn description(bytes: &[u8]) -> bool {
    let Ok(description) = Description::parse(bytes) else {
        return false;
    };
    let again = canonical::to_bytes(&description).expect("it was canonical");
    assert_eq!(again, bytes, "two forms of one description");
    true
}

/// A manifest that nobody signed: what is made of it for people must stand whatever it says.
fn manifest(bytes: &[u8]) -> bool {
    let Ok(manifest) = canonical::from_bytes::<Manifest>(bytes) else {
        return false;
    };
    let log = "timestamp_us,bytes,key\n0,100,1\n900000,7,0\n18446744073709551615,1,0\n";
    let logs: Vec<(u32, &str)> = manifest.tracks.iter().map(|it| (it.number, log)).collect();
    drop(quality::marks(&manifest, &logs));
    let page = view::page(&manifest, &[], &logs);
    assert!(!page.contains("<script src"), "a page that loads something");
    true
}

fn line(bytes: &[u8]) -> bool {
    let path_is_safe = std::str::from_utf8(bytes).is_ok_and(layout::path_is_safe);
    if path_is_safe {
        let inside = Path::new("/package").join(std::str::from_utf8(bytes).expect("text"));
        let climbs = inside.components().any(|it| it.as_os_str() == "..");
        assert!(
            inside.starts_with("/package") && !climbs,
            "a way out of the package"
        );
    }
    path_is_safe
        || serde_json::from_slice::<RootLine>(bytes).is_ok()
        || serde_json::from_slice::<SessionEvent>(bytes).is_ok()
}

/// Any bytes as a package in one file: there is a report, and it is good of nothing.
fn archive(bytes: &[u8]) -> bool {
    let dir = crate::scratch();
    let file = dir.path().join("x.vcep");
    fs::write(&file, bytes).expect("the scratch directory is writable");
    let options = Options {
        expected_root: Some([0; 32]),
        ..Options::default()
    };
    assert!(
        !verify(&file, &options).ok,
        "genuine under a root that there is not"
    );
    let out = dir.path().join("out");
    let unpacked = unpack(bytes, &out);
    let names = fs::read_dir(dir.path()).expect("it is there").count();
    assert!(names <= 2, "unpacked beside its folder");
    if let Ok(reader) = Reader::open(&file) {
        drop(reader.read(layout::MANIFEST));
    }
    unpacked.is_ok()
}

pub(crate) fn seeds() -> Vec<Seed> {
    let header = Header {
        session: "5e55".parse().expect("an id"),
        node: "a1-2".parse().expect("an id"),
        epoch: guitai_types::Epoch(3),
        assignment: 2,
        track: 4,
        segment: 7,
    };
    vec![
        Seed::new("header", 0, &header.encode()),
        Seed::new("json", 1, br#"{"a":[1,true,"x"],"b":{}}"#),
        Seed::new("path", 5, b"tracks/1/frames.csv"),
    ]
}
