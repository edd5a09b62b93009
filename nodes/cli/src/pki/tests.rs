//! Whole lives of directories: what was acknowledged survives every crash, what was revoked stays so.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::Command,
};

use guitai_crypto::keys::{KeyFile, KeyStore, Unlock};
use guitai_crypto::x509::{
    self, ChainError, Demands, FitError, Identity, Reason, Usage, verify_chain_for,
};

use super::{
    acts::{AUTHORITY, Order},
    directory::{DAY_S, Directory, lock},
    files::Files,
    index::{Entry, Holder, Install, Kind, State},
    *,
};

const NOW: u64 = 1_795_300_000;

type Outcome = Result<(), Box<dyn std::error::Error>>;

fn holder(name: &str) -> Holder {
    Holder {
        common_name: name.to_owned(),
        organization: "c-1".to_owned(),
        dns_names: vec![format!("{name}.dmz.guitai.internal")],
    }
}

fn order(name: &str) -> Order {
    Order {
        name: name.to_owned(),
        kind: Kind::Node,
        holder: holder(name),
        days: 90,
        dual: false,
        install: None,
        renews: true,
    }
}

/// A directory in which an authority's key can be sealed without being asked.
fn prepared(path: &Path) -> PathBuf {
    fs::create_dir(path).expect("a directory");
    fs::set_permissions(path, fs::Permissions::from_mode(0o700)).expect("mode");
    crate::keys::demo_passphrase(path).expect("a passphrase");
    path.to_owned()
}

fn bank(dir: &Path) -> Result<Directory, PkiError> {
    prepared(&dir.join("pki"));
    Directory::init(&dir.join("pki"), "Root", "c-1", 3650, NOW)
}

/// Chain and key as they lie in the directory; they belong together and verify.
fn identity(directory: &Directory, entry: &Entry) -> Result<Identity, PkiError> {
    let key = files::read(&directory.key_path(&entry.serial))?;
    let chain = directory.certificate_pem(entry)?;
    Ok(Identity::from_pem(&chain, &key)?)
}

fn verify(directory: &Directory, entry: &Entry, now: u64) -> Result<(), ChainError> {
    let chain = directory.certificate_pem(entry).expect("chain");
    let chain = x509::certificates_from_pem(&chain).expect("chain");
    let root = directory.root_pem().expect("root");
    let roots = x509::certificates_from_pem(&root).expect("root");
    let crl = directory.crl().expect("list").expect("list");
    let demands = Demands {
        usage: entry.kind.usage(),
        crls: &[crl],
    };
    verify_chain_for(&chain, &roots, now, demands).map(drop)
}

fn mode(path: &Path) -> u32 {
    let metadata = fs::metadata(path).expect("metadata");
    metadata.permissions().mode() & 0o777
}

#[test]
fn certificates_are_issued_rotated_and_revoked_and_all_of_it_is_in_the_journal() -> Outcome {
    let dir = tempfile::tempdir()?;
    let mut directory = bank(dir.path())?;
    let node = dir.path().join("edge-a2");
    fs::create_dir(&node)?;
    let install = Install {
        dir: relative(&dir.path().join("pki"), &node),
        stem: "identity".to_owned(),
    };
    assert_eq!(install.dir, PathBuf::from("../edge-a2"));
    let order = Order {
        install: Some(install),
        ..order("edge-a2")
    };
    let first = directory.issue(&order, NOW)?.remove(0);
    assert_eq!(first.not_after, NOW + 90 * DAY_S);
    assert!(first.serial.0.len() >= 8, "64 bits of chance and more");
    verify(&directory, &first, NOW)?;
    let again = directory.issue(&order, NOW);
    assert!(matches!(again, Err(PkiError::Known(_))), "{again:?}");
    let installed = || {
        let read = |name: &str| fs::read_to_string(node.join(name)).expect(name);
        let chain = read("identity.pem");
        Identity::from_pem(&chain, &read("identity.key.pem")).expect("they fit")
    };
    let serial = |identity: &Identity| x509::identify(&identity.chain[0]).expect("serial").serial;
    let old = installed();
    assert_eq!(serial(&old), first.serial.0);
    assert!(
        !directory.key_path(&first.serial).exists(),
        "it is where it is used"
    );
    assert_eq!(mode(&node.join("identity.key.pem")), 0o600);

    let second = directory.rotate("edge-a2", false, NOW + 5)?.remove(0);
    assert_eq!(serial(&installed()), second.serial.0);
    assert_ne!(old.key.public(), installed().key.public(), "a new key");
    // The old one lives out its life.
    verify(&directory, &first, NOW + 6)?;
    verify(&directory, &second, NOW + 6)?;

    // By name both go: connections may rest on either.
    let revoked = directory.revoke("edge-a2", Reason::KeyCompromise, NOW + 10)?;
    assert_eq!(revoked.len(), 2);
    for entry in [&first, &second] {
        let refused = verify(&directory, entry, NOW + 10);
        assert!(
            matches!(refused, Err(ChainError::Revoked(_))),
            "{refused:?}"
        );
    }
    let crl = x509::crl_from_pem(&fs::read_to_string(node.join("crl.pem"))?)?;
    assert_eq!(x509::Crl::from_der(&crl)?.number().to_string(), "2");
    let twice = directory.revoke("edge-a2", Reason::Unspecified, NOW + 11);
    assert!(matches!(twice, Err(PkiError::Revoked(_))), "{twice:?}");
    // A node whose certificate was revoked comes back with a new one.
    let third = directory.rotate("edge-a2", false, NOW + 20)?.remove(0);
    verify(&directory, &third, NOW + 20)?;
    let fourth = directory.rotate("edge-a2", true, NOW + 21)?.remove(0);
    verify(&directory, &fourth, NOW + 21)?;
    let refused = verify(&directory, &third, NOW + 21);
    assert!(matches!(refused, Err(ChainError::Revoked(_))));

    let serial_text = fourth.serial.to_string().to_uppercase();
    let revoked = directory.revoke(&serial_text, Reason::Superseded, NOW + 22)?;
    assert_eq!(revoked.len(), 1);
    let refused = verify(&directory, &fourth, NOW + 22);
    assert!(matches!(refused, Err(ChainError::Revoked(_))));

    let acts: Vec<Act> = directory.journal()?.iter().map(|one| one.act).collect();
    use Act::{Founded, Issued, Revoked, Rotated};
    assert_eq!(
        acts,
        [
            Founded, Issued, Rotated, Revoked, Revoked, Rotated, Rotated, Revoked, Revoked
        ]
    );
    drop(directory);
    Directory::open(&dir.path().join("pki"), NOW + 30)?;
    assert_eq!(mode(&dir.path().join("pki")), 0o700);
    assert_eq!(mode(&dir.path().join("pki/ca.key.pem")), 0o600);
    Ok(())
}

#[test]
fn whatever_the_moment_of_a_crash_nothing_acknowledged_is_lost() -> Outcome {
    for act in ["issue", "rotate", "revoke"] {
        let mut stops = 0;
        for budget in 0.. {
            let dir = tempfile::tempdir()?;
            let mut directory = bank(dir.path())?;
            let node = dir.path().join("node");
            fs::create_dir(&node)?;
            let mut kept = order("kept");
            kept.install = Some(Install {
                dir: "../node".into(),
                stem: "identity".to_owned(),
            });
            let kept = directory.issue(&kept, NOW)?.remove(0);
            let before = directory.journal()?;
            directory.files.steps_left.set(Some(budget));
            let done = match act {
                "issue" => directory.issue(&order("new"), NOW + 1),
                "rotate" => directory.rotate("kept", false, NOW + 1),
                _ => directory.revoke("kept", Reason::KeyCompromise, NOW + 1),
            };
            drop(directory);

            // Opening may be interrupted as well.
            let path = dir.path().join("pki");
            for budget in 0..3 {
                let files = Files::default();
                files.steps_left.set(Some(budget));
                let unlock = vault::unlock(&path, None);
                drop(Directory::open_locked(
                    &path,
                    lock(&path)?,
                    files,
                    unlock,
                    NOW + 2,
                ));
            }
            let directory = Directory::open(&path, NOW + 2)?;
            let records = directory.journal()?;
            assert!(records.starts_with(&before), "the journal only grows");
            assert_eq!(directory.entries()[0].serial, kept.serial);
            let acted = records.len() > before.len();
            assert!(acted || done.is_err(), "an acknowledged act is there");
            for entry in directory.entries() {
                let revoked = matches!(entry.state, State::Revoked { .. });
                assert_eq!(verify(&directory, entry, NOW + 3).is_err(), revoked);
            }
            let present = directory
                .index
                .current("kept")
                .next()
                .or_else(|| directory.entries().first());
            let present = present.ok_or("kept")?;
            let installed = fs::read_to_string(node.join("identity.pem"))?;
            assert_eq!(installed, directory.certificate_pem(present)?);
            let key = fs::read_to_string(node.join("identity.key.pem"))?;
            Identity::from_pem(&installed, &key)?;
            let crl = fs::read_to_string(node.join("crl.pem"))?;
            assert_eq!(crl, fs::read_to_string(path.join("crl.pem"))?);
            let all = directory.entries().iter();
            let not_installed = all.filter(|entry| entry.install.is_none()).count();
            for (dir, count) in [
                ("certs", directory.entries().len()),
                ("keys", not_installed),
            ] {
                let files = fs::read_dir(path.join(dir))?.count();
                assert_eq!(files, count, "nothing lies about in {dir}");
            }
            if done.is_ok() {
                break;
            }
            stops += 1;
        }
        assert!(stops >= 5, "{act} was stopped {stops} times");
    }
    Ok(())
}

#[test]
fn a_journal_that_was_touched_is_not_believed() -> Outcome {
    let dir = tempfile::tempdir()?;
    let mut directory = bank(dir.path())?;
    directory.issue(&order("a"), NOW)?;
    directory.issue(&order("b"), NOW)?;
    drop(directory);
    let (pki, path) = (dir.path().join("pki"), dir.path().join("pki/journal.jsonl"));
    let sound = fs::read_to_string(&path)?;
    let cut: String = sound
        .lines()
        .take(1)
        .map(|line| format!("{line}\n"))
        .collect();
    for touched in [sound.replace("\"a\"", "\"x\""), cut] {
        fs::write(&path, touched)?;
        let refused = Directory::open(&pki, NOW);
        assert!(matches!(refused, Err(PkiError::Journal(_))), "{refused:?}");
    }
    fs::write(&path, sound)?;
    Directory::open(&pki, NOW)?;
    fs::set_permissions(pki.join("ca.key.pem"), fs::Permissions::from_mode(0o640))?;
    let refused = Directory::open(&pki, NOW);
    assert!(
        matches!(refused, Err(PkiError::Exposed { .. })),
        "{refused:?}"
    );
    Ok(())
}

#[test]
fn an_authority_of_the_bank_signs_an_intermediate_and_a_node() -> Outcome {
    let dir = tempfile::tempdir()?;
    let mut bank = bank(dir.path())?;
    let root = bank.root_pem()?;

    let mut node = Directory::init_empty(&dir.path().join("node"), "c-1", NOW)?;
    let request = node.request("edge-a1", Kind::Node, holder("edge-a1"), NOW)?;
    let nameless = Holder {
        dns_names: vec![],
        ..holder("x")
    };
    let refused = node.request("x", Kind::Node, nameless, NOW);
    assert!(matches!(refused, Err(PkiError::NoDnsName("node"))));
    let (entry, chain) = bank.issue_requested(None, &request, None, 90, NOW)?;
    assert_eq!((entry.name.as_str(), entry.kind), ("edge-a1", Kind::Node));
    let refused = node.import("edge-a1", &chain, None, NOW);
    assert!(matches!(refused, Err(PkiError::NoRoot)), "{refused:?}");
    let late = node.import("edge-a1", &chain, Some(&root), NOW + 91 * DAY_S);
    assert!(
        matches!(late, Err(PkiError::Fit(FitError::Chain(_)))),
        "{late:?}"
    );
    let other = node.request("edge-b", Kind::Node, holder("edge-b"), NOW)?;
    let (_, other) = bank.issue_requested(None, &other, None, 90, NOW)?;
    let refused = node.import("edge-a1", &other, Some(&root), NOW);
    assert!(matches!(refused, Err(PkiError::Pem(_))), "{refused:?}");
    let taken = node
        .import("edge-a1", &chain, Some(&root), NOW)?
        .ok_or("entry")?;
    let identity = identity(&node, &taken)?;
    let roots = x509::certificates_from_pem(&root)?;
    identity.check(&roots, &(&taken.holder).into(), Usage::Tls, NOW)?;
    let refused = node.revoke("edge-a1", Reason::Superseded, NOW);
    assert!(matches!(refused, Err(PkiError::Foreign(_))));

    let mut below = Directory::init_empty(&prepared(&dir.path().join("below")), "c-1", NOW)?;
    let request = below.request("any", Kind::Intermediate, holder("Issuing"), NOW)?;
    let refused = below.issue(&order("edge-a1"), NOW);
    assert!(matches!(refused, Err(PkiError::NoAuthority(_))));
    let (_, chain) = bank.issue_requested(None, &request, None, 1000, NOW)?;
    below.import(AUTHORITY, &chain, Some(&root), NOW)?;
    let made = below.issue(&order("edge-a1"), NOW)?.remove(0);
    verify(&below, &made, NOW)?;
    assert_eq!(below.requests(), []);
    Ok(())
}

#[test]
fn a_pair_is_issued_rotated_and_revoked_as_one() -> Outcome {
    let dir = tempfile::tempdir()?;
    let mut directory = bank(dir.path())?;
    let dual = Order {
        kind: Kind::Service,
        dual: true,
        ..order("gateway")
    };
    let check = |directory: &Directory, pair: &[Entry]| {
        let [signing, encryption] = pair else {
            panic!("{pair:?}")
        };
        let leaf = |entry| {
            let pem = directory.certificate_pem(entry).expect("chain");
            x509::certificates_from_pem(&pem).expect("chain").remove(0)
        };
        x509::check_pair(&leaf(signing), &leaf(encryption)).expect("a pair");
        assert_eq!(signing.pair.as_ref(), Some(&encryption.serial));
    };
    let first = directory.issue(&dual, NOW)?;
    check(&directory, &first);
    let second = directory.rotate("gateway", false, NOW)?;
    check(&directory, &second);
    assert_eq!(
        directory.revoke("gateway", Reason::Unspecified, NOW)?.len(),
        4
    );
    check(&directory, &directory.entries()[2..4]);
    let third = directory.rotate("gateway", false, NOW)?;
    check(&directory, &third);
    Ok(())
}

#[test]
fn what_renews_by_itself_does_so_at_two_thirds_of_its_life() -> Outcome {
    let dir = tempfile::tempdir()?;
    let mut directory = bank(dir.path())?;
    directory.issue(&order("edge-a1"), NOW)?;
    let by_hand = Order {
        renews: false,
        ..order("edge-a2")
    };
    directory.issue(&by_hand, NOW)?;
    assert_eq!(directory.renew_due(NOW + 59 * DAY_S)?, []);
    let renewed = directory.renew_due(NOW + 61 * DAY_S)?;
    let names: Vec<&str> = renewed.iter().map(|entry| &*entry.name).collect();
    assert_eq!(names, ["edge-a1"]);
    assert_eq!(directory.renew_due(NOW + 61 * DAY_S)?, []);
    // The list's number and its next update move on by opening the directory.
    drop(directory);
    let directory = Directory::open(&dir.path().join("pki"), NOW + 61 * DAY_S)?;
    let crl = directory.crl()?.ok_or("a list")?;
    crl.check_current(NOW + 70 * DAY_S)?;
    assert_eq!(crl.number().to_string(), "2");
    Ok(())
}

#[test]
fn the_authoritys_key_is_sealed_and_a_plain_one_is_wrapped_when_it_is_used() -> Outcome {
    let dir = tempfile::tempdir()?;
    let mut directory = bank(dir.path())?;
    let (pki, key) = (dir.path().join("pki"), dir.path().join("pki/ca.key.pem"));
    let sealed = fs::read_to_string(&key)?;
    assert!(
        !sealed.contains("PRIVATE KEY-----\nMI"),
        "no PKCS#8 in plain: {sealed}"
    );
    let store = KeyStore::open(
        &pki.join("store"),
        Unlock::File(pki.join("root-passphrase")),
    )?;
    let (KeyFile::Wrapped(plain) | KeyFile::Plain(plain)) = store.read_key_file(&key, "ca")?;
    directory.issue(&order("edge-a1"), NOW)?;
    drop(directory);

    // As the release before left it: in plain, with neither store nor passphrase.
    fs::write(&key, &*plain)?;
    fs::remove_dir_all(pki.join("store"))?;
    fs::rename(pki.join("root-passphrase"), dir.path().join("kept"))?;
    let mut directory = Directory::open(&pki, NOW)?;
    let refused = directory.issue(&order("edge-a2"), NOW);
    let Err(PkiError::NoPassphrase { file, .. }) = refused else {
        panic!("{refused:?}");
    };
    assert_eq!(file, pki.join("root-passphrase"));
    assert_eq!(fs::read(&key)?, *plain, "nothing was touched");
    assert!(!directory.index.knows("edge-a2"));
    drop(directory);
    fs::rename(dir.path().join("kept"), pki.join("root-passphrase"))?;
    let mut directory = Directory::open(&pki, NOW)?;
    let entry = directory.issue(&order("edge-a2"), NOW)?.remove(0);
    verify(&directory, &entry, NOW)?;
    let text = fs::read(&key)?;
    assert!(
        !text.windows(plain.len()).any(|part| part == &**plain),
        "wrapped by its first use"
    );
    assert!(KeyStore::key_file_wrapped_by(&key)?.is_some());
    assert!(!directory.seal_authority(NOW)?, "nothing is left to do");
    drop(directory);

    // Another passphrase opens nothing, and says so.
    fs::write(pki.join("root-passphrase"), "another passphrase")?;
    let refused = Directory::open(&pki, NOW)?.rotate("edge-a2", false, NOW);
    assert!(matches!(refused, Err(PkiError::Keys(_))), "{refused:?}");
    let failure = Failure::from(refused.expect_err("refused"));
    assert_eq!(failure.problem.code, Code::KeysRefused);
    Ok(())
}

#[test]
fn show_says_of_a_certificate_what_openssl_says() -> Outcome {
    let dir = tempfile::tempdir()?;
    let mut directory = bank(dir.path())?;
    let entry = directory.issue(&order("edge-a1"), NOW)?.remove(0);
    let path = directory.certificate_path(&entry.serial);
    let shown = show::fields(&fs::read_to_string(&path)?)?;
    let leaf = &shown["chain"][0];
    let asked = Command::new("openssl")
        .args(["x509", "-noout", "-serial", "-subject", "-issuer", "-in"])
        .arg(&path)
        .args(["-startdate", "-enddate", "-nameopt", "RFC2253,utf8"])
        .args(["-dateopt", "iso_8601", "-fingerprint", "-sha256"])
        .args(["-ext", "keyUsage,extendedKeyUsage,subjectAltName"])
        .output();
    let Ok(asked) = asked else {
        eprintln!("SKIPPED: no openssl on this machine; pki show was not compared");
        return Ok(());
    };
    let said = String::from_utf8(asked.stdout)?;
    let line = |name: &str| {
        let line = said.lines().find_map(|line| line.strip_prefix(name));
        line.map(str::to_owned)
            .ok_or_else(|| format!("{name} in {said}"))
    };
    let text = |field: &str| leaf[field].as_str().unwrap_or_default().to_owned();
    assert_eq!(line("serial=")?.to_lowercase(), text("serial"));
    assert_eq!(line("subject=")?, text("subject"));
    assert_eq!(line("issuer=")?, text("issuer"));
    let fingerprint = said.lines().find(|line| line.contains("ingerprint="));
    let fingerprint = fingerprint
        .and_then(|line| line.split_once('='))
        .ok_or("none")?
        .1;
    assert_eq!(fingerprint.replace(':', "").to_lowercase(), text("sha256"));
    let when = |field: &str| crate::show::when(leaf[field].as_u64().unwrap_or_default() * 1000);
    assert_eq!(line("notBefore=")?, when("not_before"));
    assert_eq!(line("notAfter=")?, when("not_after"));
    assert!(said.contains("Digital Signature"));
    assert_eq!(leaf["key_usage"], serde_json::json!(["digitalSignature"]));
    assert!(said.contains("TLS Web Server Authentication, TLS Web Client Authentication"));
    let purposes = serde_json::json!(["serverAuth", "clientAuth"]);
    assert_eq!(leaf["extended_key_usage"], purposes);
    let names = leaf["alternative_names"][0].as_str().unwrap_or_default();
    assert!(said.contains(names) && names == "DNS:edge-a1.dmz.guitai.internal");
    Ok(())
}
