//! Lists of what is attached that are stripped, made again by somebody else, or silent.

use std::rc::Rc;

use guitai_crypto::{
    cms, sm2,
    x509::{Identity, Usage},
};
use guitai_evidence::{canonical, layout};
use serde_json::{Value, json};

use super::Forgery;
use crate::{
    dice::Dice,
    package::Package,
    world::{CLUSTER, SEALED_AT, SEALED_SECONDS, World},
};

pub(crate) const FORGERIES: &[Forgery] = &[
    ("attached: stripped", "attached", stripped),
    (
        "attached: stripped beside its files",
        "unlisted",
        stripped_beside,
    ),
    (
        "attached: the signature stripped",
        "attached",
        signature_stripped,
    ),
    ("attached: of another package", "unlisted", of_another),
    (
        "attached: the list of another package",
        "attached",
        list_of_another,
    ),
    ("attached: of another seal", "unlisted", another_seal),
    ("attached: by another key", "attached", by_another_key),
    ("attached: by another node", "attached", by_another_node),
    ("attached: by an expired certificate", "attached", expired),
    ("attached: at another time", "attached", at_another_time),
    ("attached: changed and not signed", "attached", changed),
    ("attached: silent about what is missing", "attached", silent),
    (
        "attached: says missing what is there",
        "attached",
        says_missing,
    ),
    ("attached: names what nobody knows", "attached", unknown),
    (
        "attached: files without the policy",
        "unlisted",
        without_policy,
    ),
    ("attached: half a proof", "unlisted", half),
    ("attached: what may not be attached", "attached", may_not),
    ("attached: in another order", "attached", order),
    ("attached: in another form", "attached", form),
    ("attached: a file changed", "files", file_changed),
    ("attached: a file removed", "files", file_removed),
    ("attached: a file more", "unlisted", file_more),
    ("attached: listed in the manifest", "manifest", in_manifest),
    ("view: changed", "files", view_changed),
];

/// Takes away everything that is attached, and says that it is missing.
pub(crate) fn without_log(package: &mut Package) {
    package.entries.retain(|path, _| !layout::is_attached(path));
    missing(
        package,
        &["consistency", "root-proofs", "seal-proof", "timestamp"],
    );
}

/// Says that all of these are missing.
fn missing(package: &mut Package, whats: &[&str]) {
    let missing = whats
        .iter()
        .map(|what| json!({ "what": what, "cause": "no-log" }));
    package.later().missing = missing.collect();
}

/// The list as a value, and it signed after a change.
fn edited(package: &mut Package, change: impl FnOnce(&mut Value)) {
    let mut list = package.attached();
    change(&mut list);
    package.sign_attached_as(canonical::to_bytes(&list).expect("a list has a form"));
}

fn signed_by(package: &mut Package, identity: &Identity, at: u64) {
    let list = package.bytes(layout::ATTACHED).clone();
    let signed = cms::sign_detached(identity, &list, at).expect("an identity signs");
    package.put(layout::ATTACHED_SIGNED, signed);
}

fn attached_at(package: &mut Package) -> u64 {
    package.later().at / 1000
}

fn stripped(package: &mut Package, _: &World, dice: &mut Dice) -> String {
    without_log(package);
    package.entries.remove(layout::ATTACHED);
    if dice.below(2) == 0 {
        package.entries.remove(layout::ATTACHED_SIGNED);
    }
    "and everything of the log".to_owned()
}

fn stripped_beside(package: &mut Package, _: &World, dice: &mut Dice) -> String {
    match dice.below(3) {
        0 => drop(package.entries.remove(layout::ATTACHED)),
        1 => package.put(layout::ATTACHED, []),
        _ => package.put(layout::ATTACHED, "{}"),
    }
    "the list".to_owned()
}

fn signature_stripped(package: &mut Package, _: &World, dice: &mut Dice) -> String {
    match dice.below(3) {
        0 => drop(package.entries.remove(layout::ATTACHED_SIGNED)),
        1 => package.put(layout::ATTACHED_SIGNED, []),
        _ => {
            let seal = package.bytes(layout::SIGNED_DATA).to_vec();
            package.put(layout::ATTACHED_SIGNED, seal);
        }
    }
    "attached.p7s".to_owned()
}

fn of_another(package: &mut Package, world: &World, _: &mut Dice) -> String {
    without_log(package);
    for (path, entry) in &world.other.entries {
        let list = [layout::ATTACHED, layout::ATTACHED_SIGNED].contains(&path.as_str());
        if list || layout::is_attached(path) {
            package.entries.insert(path.clone(), entry.clone());
        }
    }
    "all of it".to_owned()
}

fn list_of_another(package: &mut Package, world: &World, _: &mut Dice) -> String {
    // About nothing: so no file differs.
    let mut other = world.other.clone();
    for one in [&mut *package, &mut other] {
        without_log(one);
        one.sign_attached();
    }
    for path in [layout::ATTACHED, layout::ATTACHED_SIGNED] {
        package.put(path, other.bytes(path).to_vec());
    }
    "both say that there is nothing".to_owned()
}

fn another_seal(package: &mut Package, world: &World, dice: &mut Dice) -> String {
    let sealed = match dice.below(2) {
        0 => world.other.attached()["sealed"].clone(),
        _ => json!("00".repeat(32)),
    };
    edited(package, |list| list["sealed"] = sealed.clone());
    format!("{sealed}")
}

fn by_another_key(package: &mut Package, _: &World, _: &mut Dice) -> String {
    let identity = Identity {
        chain: package.signer.identity.chain.clone(),
        key: sm2::SecretKey::generate(),
    };
    let at = attached_at(package);
    signed_by(package, &identity, at);
    "under the recorder's certificate".to_owned()
}

fn by_another_node(package: &mut Package, world: &World, dice: &mut Dice) -> String {
    let made = SEALED_SECONDS - 86_400;
    let (what, signer) = match dice.below(4) {
        0 => ("another node", world.signer(&world.root, "a2-2")),
        1 => ("another cluster", world.signer(&world.stranger, "a1-2")),
        2 => (
            "another name",
            world.signer_of(&world.root, "a1-2", "5e1f", Usage::Documents, made, 30),
        ),
        _ => (
            "for encryption",
            world.signer_of(&world.root, "a1-2", CLUSTER, Usage::Encryption, made, 30),
        ),
    };
    let at = attached_at(package);
    signed_by(package, &signer.identity, at);
    what.to_owned()
}

fn expired(package: &mut Package, world: &World, dice: &mut Dice) -> String {
    let days = 1 + dice.below(300) as u32;
    let made = SEALED_SECONDS - u64::from(days) * 86_400 - 1 - dice.below(80_000) as u64;
    let signer = world.signer_of(&world.root, "a1-2", CLUSTER, Usage::Documents, made, days);
    let at = attached_at(package);
    signed_by(package, &signer.identity, at);
    format!("after {days} days")
}

fn at_another_time(package: &mut Package, _: &World, dice: &mut Dice) -> String {
    let at = attached_at(package);
    let at = *dice.one_of(&[at - 1, at + 1, at + 3_600, 0]);
    let identity = Rc::clone(&package.signer.identity);
    signed_by(package, &identity, at);
    format!("{at}")
}

fn changed(package: &mut Package, _: &World, dice: &mut Dice) -> String {
    let mut list = package.attached();
    match dice.below(2) {
        0 => list["at"] = json!(SEALED_AT + 2_001 + dice.below(900) as u64),
        _ => list["missing"] = json!([{ "what": "timestamp", "cause": "unanswered" }]),
    }
    let bytes = canonical::to_bytes(&list).expect("a list has a form");
    package.put(layout::ATTACHED, bytes);
    "and the signature left".to_owned()
}

fn silent(package: &mut Package, _: &World, dice: &mut Dice) -> String {
    let what = match dice.below(5) {
        0 => {
            package.entries.remove(layout::TIMESTAMP);
            "the time stamp"
        }
        1 => {
            package.entries.retain(|path, _| !path.starts_with("log/"));
            "everything of the log"
        }
        2 => {
            package.entries.remove(layout::CONSISTENCY);
            package.entries.remove(layout::CHECKPOINT_OLD);
            "the proof of consistency"
        }
        3 => {
            package.entries.remove(layout::SEAL_PROOF);
            "the seal's proof"
        }
        _ => {
            let proofs = package
                .entries
                .keys()
                .filter(|path| path.starts_with("log/roots/"));
            let proofs: Vec<String> = proofs.cloned().collect();
            package.entries.remove(dice.one_of(&proofs));
            "one root's proof"
        }
    };
    package.sign_attached();
    what.to_owned()
}

fn says_missing(package: &mut Package, _: &World, dice: &mut Dice) -> String {
    let whats = *dice.one_of(&[
        &["consistency"][..],
        &["root-proofs"],
        &["seal-proof"],
        &["timestamp"],
    ]);
    missing(package, whats);
    package.sign_attached();
    whats[0].to_owned()
}

fn unknown(package: &mut Package, _: &World, dice: &mut Dice) -> String {
    without_log(package);
    let all = ["consistency", "root-proofs", "seal-proof", "timestamp"];
    let what = *dice.one_of(&["composite", "", "zz", "Timestamp", "timestamp"]);
    let mut whats = all.to_vec();
    whats.push(what);
    whats.sort_unstable();
    missing(package, &whats);
    package.sign_attached();
    what.to_owned()
}

fn without_policy(package: &mut Package, _: &World, dice: &mut Dice) -> String {
    let path = *dice.one_of(&[layout::LOG_POLICY, layout::CHECKPOINT]);
    package.entries.remove(path);
    package.sign_attached();
    path.to_owned()
}

fn half(package: &mut Package, _: &World, dice: &mut Dice) -> String {
    let path = *dice.one_of(&[layout::CONSISTENCY, layout::CHECKPOINT_OLD]);
    package.entries.remove(path);
    if dice.below(2) == 0 {
        missing(package, &["consistency"]);
    }
    package.sign_attached();
    path.to_owned()
}

fn may_not(package: &mut Package, _: &World, dice: &mut Dice) -> String {
    // Nothing else is attached, so that there is nothing that nobody lists.
    without_log(package);
    let path = *dice.one_of(&[
        "notes.txt",
        "README.txt",
        "manifest.json",
        "attached.json",
        "attached.p7s",
        "../x",
        "/etc/passwd",
        "log",
        "log/../x",
        "log/.x",
        "logs/policy",
        "tracks/1/init.mp4",
        "trust/recorder-2.pem",
    ]);
    edited(package, |list| {
        let sm3 = guitai_types::Hex(guitai_crypto::sm3::hash(b"").to_vec()).to_string();
        list["files"] = json!([{ "path": path, "size": 0, "sm3": sm3 }]);
    });
    path.to_owned()
}

fn order(package: &mut Package, _: &World, dice: &mut Dice) -> String {
    without_log(package);
    edited(package, |list| {
        let missing = list["missing"].as_array_mut().expect("a list");
        match dice.below(3) {
            0 => missing.reverse(),
            1 => missing.swap(0, 1),
            _ => missing.insert(0, missing[0].clone()),
        }
    });
    "what is missing".to_owned()
}

fn form(package: &mut Package, _: &World, dice: &mut Dice) -> String {
    without_log(package);
    package.sign_attached();
    let before = String::from_utf8(package.bytes(layout::ATTACHED).to_vec()).expect("JSON is text");
    let changes = [
        ("\":", "\": "),
        ("}]", "}]\n"),
        ("{\"at\":", "{\"aa\":1,\"at\":"),
        ("{\"at\":", "{\"at\":1,\"at\":"),
        ("guitai-evidence-attached/1", "guitai-evidence-attached/2"),
        (
            "guitai-evidence-attached/1",
            "guitai-evidence\\u002dattached/1",
        ),
        ("\"cause\":\"no-log\"", "\"cause\":1"),
        ("\"cause\":\"no-log\"", "\"cause\":\"no-log\",\"since\":1"),
        ("\"cause\":\"no-log\",", ""),
        ("\"sealed\":\"", "\"sealed\":\"00"),
    ];
    let (what, with) = *dice.one_of(&changes);
    package.sign_attached_as(before.replacen(what, with, 1).into_bytes());
    format!("{what:?} as {with:?}")
}

fn attached_file(package: &Package, dice: &mut Dice) -> String {
    let files = package
        .entries
        .keys()
        .filter(|path| layout::is_attached(path));
    let files: Vec<&String> = files.collect();
    (*dice.one_of(&files)).clone()
}

fn file_changed(package: &mut Package, _: &World, dice: &mut Dice) -> String {
    let path = attached_file(package, dice);
    let mut bytes = package.bytes(&path).to_vec();
    let at = dice.below(bytes.len());
    bytes[at] ^= 1 << dice.below(8);
    package.put(&path, bytes);
    path
}

fn file_removed(package: &mut Package, _: &World, dice: &mut Dice) -> String {
    let path = attached_file(package, dice);
    package.entries.remove(&path);
    path
}

fn file_more(package: &mut Package, _: &World, dice: &mut Dice) -> String {
    let path = *dice.one_of(&[
        "log/notes",
        "log/roots/1.tlog-proof",
        "manifest.tst",
        "log/policy.old",
        "attached.sig",
    ]);
    package.put(path, "x");
    path.to_owned()
}

fn in_manifest(package: &mut Package, _: &World, dice: &mut Dice) -> String {
    let path = *dice.one_of(&[
        layout::ATTACHED,
        layout::ATTACHED_SIGNED,
        layout::LOG_POLICY,
        layout::SEAL_PROOF,
        layout::TIMESTAMP,
    ]);
    let sm3 = guitai_types::Hex(guitai_crypto::sm3::hash(b"").to_vec()).to_string();
    let files = package.array("/files");
    let less = |other: &&Value| other["path"].as_str() < Some(path);
    let at = files.iter().filter(less).count();
    files.insert(at, json!({ "path": path, "size": 0, "sm3": sm3 }));
    package.write_sums();
    package.sign();
    path.to_owned()
}

fn view_changed(package: &mut Package, _: &World, dice: &mut Dice) -> String {
    let mut bytes = package.bytes(layout::VIEW).to_vec();
    let at = dice.below(bytes.len());
    match dice.below(3) {
        0 => bytes[at] ^= 1,
        1 => bytes.extend(b"<script>alert(1)</script>"),
        _ => bytes.truncate(at),
    }
    package.put(layout::VIEW, bytes);
    layout::VIEW.to_owned()
}
