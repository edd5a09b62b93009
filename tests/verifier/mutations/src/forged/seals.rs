//! Signatures that are stripped, made again, or taken from elsewhere.

use std::rc::Rc;

use guitai_crypto::{cms, sm2, x509::Identity};
use guitai_evidence::layout;
use serde_json::{Value, json};

use super::Forgery;
use crate::{
    der::Node,
    dice::Dice,
    package::Package,
    world::{SEALED_SECONDS, World},
};

pub(crate) const FORGERIES: &[Forgery] = &[
    (
        "signed-data: a statement changed",
        "signed-data",
        statement_changed,
    ),
    ("signed-data: stripped", "signed-data", stripped),
    ("signed-data: of another package", "signed-data", of_another),
    ("signed-data: by another key", "signed-data", by_another_key),
    (
        "signed-data: by another node",
        "signed-data",
        by_another_node,
    ),
    (
        "signed-data: at another time",
        "signed-data",
        at_another_time,
    ),
    (
        "signed-data: over something else",
        "signed-data",
        over_something_else,
    ),
    ("signed-data: the root too", "signed-data", with_the_root),
    ("signed-data: not DER", "signed-data", not_der),
    ("signed-data: a byte", "signed-data", a_byte),
    ("signature: stripped", "signature", plain_stripped),
    (
        "signature: of another package",
        "signature",
        plain_of_another,
    ),
    (
        "signature: by another key",
        "signature",
        plain_by_another_key,
    ),
    (
        "signature: over something else",
        "signature",
        plain_over_something_else,
    ),
    ("signature: r and s swapped", "signature", swapped),
    ("signature: in another form", "signature", plain_form),
];

/// What somebody would like to have been otherwise, and does not sign.
fn statement_changed(package: &mut Package, _: &World, dice: &mut Dice) -> String {
    let changes: [(&str, Value); 12] = [
        ("/consent/recording", json!(false)),
        ("/consent/wording", json!("2025-01")),
        ("/steps/2/done_at", json!(1_795_000_006_000_u64)),
        ("/steps/0/required", json!(false)),
        ("/session/end_reason", json!("agent-hung-up")),
        ("/session/ended_at", json!(1_795_000_060_000_u64)),
        ("/participants/0/display", json!("李先生")),
        ("/gaps/0/length_ms", json!(1)),
        ("/gaps/0/cause", json!("disk-full")),
        ("/tracks/0/refused", json!(3)),
        ("/policy/media_sealed", json!(false)),
        ("/assignments/0/cause", json!("io-error")),
    ];
    let (at, value) = dice.one_of(&changes).clone();
    let (parent, name) = at.rsplit_once('/').expect("a pointer");
    package
        .at(parent)
        .as_object_mut()
        .expect("an object")
        .insert(name.to_owned(), value);
    let manifest = guitai_evidence::canonical::to_bytes(&package.manifest);
    package.put(layout::MANIFEST, manifest.expect("it has a form"));
    at.to_owned()
}

fn stripped(package: &mut Package, _: &World, dice: &mut Dice) -> String {
    match dice.below(3) {
        0 => drop(package.entries.remove(layout::SIGNED_DATA)),
        1 => package.put(layout::SIGNED_DATA, []),
        _ => package.put(layout::SIGNED_DATA, [0x30, 0]),
    }
    if dice.below(2) == 0 && package.entries.contains_key(layout::SIGNED_DATA) {
        package.sign_plainly();
    }
    "no SignedData".to_owned()
}

fn signed(package: &mut Package, identity: &Identity, content: &[u8], at: u64) {
    let signed = cms::sign_detached(identity, content, at).expect("an identity signs");
    package.put(layout::SIGNED_DATA, signed);
    package.sign_plainly();
}

fn of_another(package: &mut Package, world: &World, _: &mut Dice) -> String {
    let theirs = world.other.bytes(layout::SIGNED_DATA).to_vec();
    package.put(layout::SIGNED_DATA, theirs);
    package.sign_plainly();
    "and the plain signature made again".to_owned()
}

fn by_another_key(package: &mut Package, _: &World, dice: &mut Dice) -> String {
    let identity = Identity {
        chain: package.signer.identity.chain.clone(),
        key: sm2::SecretKey::generate(),
    };
    let content = package.bytes(layout::MANIFEST).clone();
    signed(package, &identity, &content, SEALED_SECONDS);
    if dice.below(2) == 0 {
        package.signer.identity = Rc::new(identity);
        package.sign_plainly();
    }
    "under the recorder's certificate".to_owned()
}

fn by_another_node(package: &mut Package, world: &World, dice: &mut Dice) -> String {
    let by = if dice.below(2) == 0 {
        &world.root
    } else {
        &world.authority
    };
    let node = *dice.one_of(&["a2-2", "a1-2"]);
    let signer = world.signer(by, node);
    let content = package.bytes(layout::MANIFEST).clone();
    signed(package, &signer.identity, &content, SEALED_SECONDS);
    format!("a new certificate of {node}")
}

fn at_another_time(package: &mut Package, _: &World, dice: &mut Dice) -> String {
    let at = *dice.one_of(&[
        SEALED_SECONDS - 1,
        SEALED_SECONDS + 1,
        SEALED_SECONDS + 3600,
        0,
        2_600_000_000,
    ]);
    let (identity, content) = (
        package.signer.identity.clone(),
        package.bytes(layout::MANIFEST).clone(),
    );
    signed(package, &identity, &content, at);
    format!("{at}")
}

fn over_something_else(package: &mut Package, world: &World, dice: &mut Dice) -> String {
    let content = match dice.below(3) {
        0 => vec![],
        1 => world.other.bytes(layout::MANIFEST).to_vec(),
        _ => [package.bytes(layout::MANIFEST).as_slice(), b"\n"].concat(),
    };
    let identity = package.signer.identity.clone();
    signed(package, &identity, &content, SEALED_SECONDS);
    format!("{} bytes", content.len())
}

fn with_the_root(package: &mut Package, world: &World, _: &mut Dice) -> String {
    let mut tree = Node::parse(package.bytes(layout::SIGNED_DATA));
    // ContentInfo, SignedData, certificates.
    let certificates = tree.at(&[1, 0, 3]).parts();
    certificates.push(Node::parse(world.root.certificate_der()));
    certificates.sort_by_key(Node::encode);
    package.put(layout::SIGNED_DATA, tree.encode());
    package.sign_plainly();
    package.attach();
    "among its certificates".to_owned()
}

fn not_der(package: &mut Package, _: &World, dice: &mut Dice) -> String {
    let before = package.bytes(layout::SIGNED_DATA).to_vec();
    // It begins with 30 82 and two bytes of length.
    let (what, after) = match dice.below(4) {
        0 => (
            "a length of three bytes",
            [&[0x30, 0x83, 0], &before[2..]].concat(),
        ),
        1 => (
            "an open length",
            [&[0x30, 0x80], &before[4..], &[0, 0]].concat(),
        ),
        2 => ("more after the end", [before.as_slice(), &[0; 2]].concat()),
        _ => (
            "wrapped once more",
            [
                &[0x30, 0x82],
                &(before.len() as u16).to_be_bytes()[..],
                &before,
            ]
            .concat(),
        ),
    };
    package.put(layout::SIGNED_DATA, after);
    package.sign_plainly();
    what.to_owned()
}

fn a_byte(package: &mut Package, _: &World, dice: &mut Dice) -> String {
    let mut bytes = package.bytes(layout::SIGNED_DATA).to_vec();
    let at = dice.below(bytes.len());
    bytes[at] ^= 1 << dice.below(8);
    package.put(layout::SIGNED_DATA, bytes);
    package.sign_plainly();
    format!("{at}, and the plain signature made again")
}

fn plain_stripped(package: &mut Package, _: &World, dice: &mut Dice) -> String {
    match dice.below(3) {
        0 => drop(package.entries.remove(layout::SIGNATURE)),
        1 => package.put(layout::SIGNATURE, []),
        _ => package.put(layout::SIGNATURE, [0x30, 6, 2, 1, 0, 2, 1, 0]),
    }
    "no plain signature".to_owned()
}

fn plain_of_another(package: &mut Package, world: &World, _: &mut Dice) -> String {
    let theirs = world.other.bytes(layout::SIGNATURE).to_vec();
    package.put(layout::SIGNATURE, theirs);
    "the other package's".to_owned()
}

fn plain_by_another_key(package: &mut Package, _: &World, _: &mut Dice) -> String {
    package.signer.identity = Rc::new(Identity {
        chain: vec![],
        key: sm2::SecretKey::generate(),
    });
    package.sign_plainly();
    "a new key".to_owned()
}

fn plain_over_something_else(package: &mut Package, _: &World, dice: &mut Dice) -> String {
    let (manifest, signed) = (
        package.bytes(layout::MANIFEST).clone(),
        package.bytes(layout::SIGNED_DATA).clone(),
    );
    let (what, content) = match dice.below(4) {
        0 => ("the manifest", manifest.to_vec()),
        1 => ("the SignedData", signed.to_vec()),
        2 => (
            "both the other way",
            [signed.as_slice(), &manifest].concat(),
        ),
        _ => (
            "a line between",
            [manifest.as_slice(), b"\n", &signed].concat(),
        ),
    };
    let signature = package.signer.identity.key.sign(&content);
    package.put(layout::SIGNATURE, signature);
    what.to_owned()
}

/// The two numbers of a signature, each with its tag and length.
fn halves(signature: &[u8]) -> (&[u8], &[u8]) {
    let at = 4 + usize::from(signature[3]);
    (&signature[2..at], &signature[at..])
}

fn swapped(package: &mut Package, _: &World, _: &mut Dice) -> String {
    let before = package.bytes(layout::SIGNATURE).clone();
    let (r, s) = halves(&before);
    package.put(layout::SIGNATURE, [&before[..2], s, r].concat());
    "s, r".to_owned()
}

fn plain_form(package: &mut Package, _: &World, dice: &mut Dice) -> String {
    let before = package.bytes(layout::SIGNATURE).clone();
    let (r, s) = halves(&before);
    let (length, count) = (before[1], r[1]);
    let (what, after) = match dice.below(4) {
        0 => (
            "a longer length",
            [&[0x30, 0x81, length], &before[2..]].concat(),
        ),
        1 => (
            "a zero before r",
            [&[0x30, length + 1, 2, count + 1, 0], &r[2..], s].concat(),
        ),
        2 => ("more after the end", [before.as_slice(), &[0]].concat()),
        _ => {
            let plain = |half: &[u8]| {
                let number = &half[2..];
                let number = &number[number.len().saturating_sub(32)..];
                [vec![0; 32 - number.len()], number.to_vec()].concat()
            };
            ("r and s without DER", [plain(r), plain(s)].concat())
        }
    };
    package.put(layout::SIGNATURE, after);
    what.to_owned()
}
