//! Everything that fuzzing found worth keeping goes through the same functions again: `tests/fuzz` says what
//! they check, `tests/fuzz/run` looks for more. The corpora of other crates are replayed by `tests/decoders`.

#[expect(
    dead_code,
    unreachable_pub,
    reason = "a module of another crate, which uses all of it"
)]
#[path = "../../../tests/fuzz/src/targets.rs"]
mod targets;

use std::path::Path;

#[test]
fn the_kept_corpus_still_passes() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fuzz/corpus");
    for (name, target) in targets::ALL {
        let mut inputs = 0;
        for entry in std::fs::read_dir(corpus.join(name)).unwrap() {
            let path = entry.unwrap().path();
            let input = std::fs::read(&path).unwrap();
            let done = std::panic::catch_unwind(|| target(&input));
            assert!(done.is_ok(), "{} fails", path.display());
            inputs += 1;
        }
        assert!(inputs > 2, "no corpus for {name}");
    }
}

/// The seeds are still what they say: honest bytes that are accepted, so that fuzzing starts from depth.
#[test]
fn seeds_are_accepted() {
    use guitai_crypto::{cms, keys, sframe, x509};
    let read = |path: &str| {
        let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fuzz/corpus");
        std::fs::read(corpus.join(path)).unwrap().split_off(1)
    };
    let roots = [targets::ROOT.to_vec()];
    let leaf = read("certificate/seed-leaf-tls");
    let verified = x509::verify_chain(&[leaf], &roots, targets::NOW).unwrap();
    assert_eq!(verified.dns_names, [targets::NAME]);
    x509::Request::from_der(&read("certificate/seed-request")).unwrap();
    let list = x509::Crl::from_der(&read("certificate/seed-crl")).unwrap();
    list.verify(targets::ROOT, targets::NOW).unwrap();
    cms::verify_detached(&read("certificate/seed-cms"), b"content", &roots).unwrap();
    keys::sdf::answer::public_key(&read("sdf/seed-public-key")).unwrap();
    for (suite, frame) in [
        (sframe::Suite::Sm4GcmSm3_128, "sframe/seed-frame"),
        (
            sframe::Suite::Sm4CtrHmacSm3_80,
            "sframe/seed-frame-short-tag",
        ),
    ] {
        let opener = sframe::Opener::new(suite, &targets::KEY);
        opener.open(b"video", &read(frame)).unwrap();
    }
    keys::RootFile::parse(&read("key_file/seed-root")).unwrap();
    keys::RingFile::parse(&read("key_file/seed-ring")).unwrap();
    keys::WrappedFile::parse(&read("key_file/seed-wrapped-file")).unwrap();
    let printed = String::from_utf8(read("key_file/seed-share")).unwrap();
    let share = keys::SealedShare::from_text(&printed).unwrap();
    let inside = targets::share_text(&read("key_file/seed-share-inside"));
    assert!(keys::SealedShare::from_text(&inside).unwrap() == share);
}
