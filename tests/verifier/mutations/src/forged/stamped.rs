//! Time stamps over something else, by nobody who may, from before the seal, or in another form: all of them
//! signed by whoever it is, and listed by the recorder.

use std::rc::Rc;

use guitai_crypto::{
    sm2, sm3,
    x509::{Authority, Identity, Usage},
};
use guitai_evidence::layout;
use serde_json::json;

use super::Forgery;
use crate::{
    der::Node,
    dice::Dice,
    package::{Package, stamp},
    world::{CLUSTER, SEALED_SECONDS, World},
};

pub(crate) const FORGERIES: &[Forgery] = &[
    ("stamp: over something else", "timestamp", something_else),
    ("stamp: of another package", "timestamp", of_another),
    ("stamp: bytes altered", "timestamp", altered),
    ("stamp: not a stamp", "timestamp", no_stamp),
    ("stamp: from before the seal", "timestamp", before),
    (
        "stamp: by a certificate for something else",
        "timestamp",
        for_else,
    ),
    (
        "stamp: by a certificate with other extensions",
        "timestamp",
        extensions,
    ),
    ("stamp: by a stranger", "timestamp", stranger),
    ("stamp: by another cluster", "timestamp", other_cluster),
    ("stamp: by an expired certificate", "timestamp", expired),
    ("stamp: by another key", "timestamp", another_key),
    ("stamp: refused by the authority", "timestamp", refused),
    ("stamp: another status", "timestamp", status),
    ("stamp: signers", "timestamp", signers),
    ("stamp: certificates", "timestamp", certificates),
    ("stamp: another policy or digest", "timestamp", policy),
    ("stamp: another algorithm", "timestamp", algorithm),
    ("stamp: another version", "timestamp", version),
    ("stamp: numbers of another size", "timestamp", numbers),
    ("stamp: a time in another form", "timestamp", time),
    ("stamp: more in it", "timestamp", more),
    ("stamp: attributes", "timestamp", attributes),
    ("stamp: not DER", "timestamp", not_der),
];

/// What the TSTInfo, the certificates and the signer are in an answer.
const DATA: [usize; 3] = [1, 1, 0];
const INFO: [usize; 6] = [1, 1, 0, 2, 1, 0];
const CERTIFICATES: [usize; 4] = [1, 1, 0, 3];
const SIGNERS: [usize; 4] = [1, 1, 0, 4];
const SIGNER: [usize; 5] = [1, 1, 0, 4, 0];
const STATUS: [usize; 1] = [0];
/// A second after the seal.
const AT: u64 = SEALED_SECONDS + 1;
const NULL: Node = Node::Leaf(5, vec![]);
/// 2.16.840.1.101.3.4.2.1
const SHA_256: [u8; 9] = [0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, 1];
/// 1.2.156.10197.1.301.1
const SM2_SIGNATURE: [u8; 9] = [0x2a, 0x81, 0x1c, 0xcf, 0x55, 1, 0x82, 0x2d, 1];
/// 2.5.29.15 and 2.5.29.37
const KEY_USAGE: [u8; 3] = [0x55, 0x1d, 0x0f];
const EXTENDED_KEY_USAGE: [u8; 3] = [0x55, 0x1d, 0x25];

/// Takes the stamp away and says so.
pub(crate) fn without(package: &mut Package, cause: &str) {
    package.entries.remove(layout::TIMESTAMP);
    package.later().missing = json!([{ "what": "timestamp", "cause": cause }]);
    package.sign_attached();
}

/// Stamps at another time.
pub(crate) fn at(package: &mut Package, at: u64) {
    let stamper = package.later().stamper.identity.clone();
    by(package, &stamper, at);
}

/// This as the stamp, listed.
fn put(package: &mut Package, stamp: Vec<u8>) {
    package.put(layout::TIMESTAMP, stamp);
    package.sign_attached();
}

fn by(package: &mut Package, identity: &Identity, at: u64) {
    let made = stamp(identity, package.bytes(layout::SIGNED_DATA), at);
    put(package, made);
}

fn identity(package: &mut Package) -> Rc<Identity> {
    package.later().stamper.identity.clone()
}

/// The stamp after a change, without a new signature.
fn edited(package: &mut Package, change: impl FnOnce(&mut Node)) {
    let mut tree = Node::parse(package.bytes(layout::TIMESTAMP));
    change(&mut tree);
    put(package, tree.encode());
}

/// The stamp after a change of its TSTInfo and of the attributes over it, signed again by the authority.
fn signed(
    package: &mut Package,
    change_info: impl FnOnce(&mut Node),
    change_attributes: impl FnOnce(&mut Vec<Node>),
) {
    let key = identity(package).key.clone();
    edited(package, |tree| {
        let info = tree.at(&INFO).content();
        let mut changed = Node::parse(info);
        change_info(&mut changed);
        *info = changed.encode();
        let digest = sm3::hash(info).to_vec();
        let signer = tree.at(&SIGNER).parts();
        let attributes = signer[3].parts();
        for attribute in attributes.iter_mut() {
            // 1.2.840.113549.1.9.4 is the digest.
            if attribute.at(&[0]).content().ends_with(&[9, 4]) {
                *attribute.at(&[1, 0]).content() = digest.clone();
            }
        }
        change_attributes(attributes);
        let message = signer[3].tagged(0x31).encode();
        *signer[5].content() = key.sign(&message);
    });
}

fn signed_info(package: &mut Package, change: impl FnOnce(&mut Node)) {
    signed(package, change, |_| {});
}

fn something_else(package: &mut Package, world: &World, dice: &mut Dice) -> String {
    let content = match dice.below(4) {
        0 => vec![],
        1 => package.bytes(layout::MANIFEST).to_vec(),
        2 => package.bytes(layout::SIGNATURE).to_vec(),
        _ => world.other.bytes(layout::SIGNED_DATA).to_vec(),
    };
    let made = stamp(&identity(package), &content, AT);
    put(package, made);
    format!("{} bytes", content.len())
}

fn of_another(package: &mut Package, world: &World, _: &mut Dice) -> String {
    put(package, world.other.bytes(layout::TIMESTAMP).to_vec());
    "the other package's".to_owned()
}

fn altered(package: &mut Package, _: &World, dice: &mut Dice) -> String {
    let mut bytes = package.bytes(layout::TIMESTAMP).to_vec();
    let at = dice.below(bytes.len());
    bytes[at] ^= 1 << dice.below(8);
    put(package, bytes);
    format!("byte {at}, and the list made again")
}

fn no_stamp(package: &mut Package, _: &World, dice: &mut Dice) -> String {
    let whole = package.bytes(layout::TIMESTAMP).to_vec();
    let (what, bytes) = match dice.below(6) {
        0 => ("nothing", vec![]),
        1 => ("the seal", package.bytes(layout::SIGNED_DATA).to_vec()),
        2 => ("cut", whole[..dice.below(whole.len())].to_vec()),
        3 => ("more after it", [&whole[..], &[0]].concat()),
        4 => ("the token alone", Node::parse(&whole).at(&[1]).encode()),
        _ => ("too long", [whole, vec![0; 81 * 1024]].concat()),
    };
    put(package, bytes);
    what.to_owned()
}

fn before(package: &mut Package, _: &World, dice: &mut Dice) -> String {
    // The seal is of half a second past.
    let back = *dice.one_of(&[60, 61, 3_600, 40_000]);
    at(package, SEALED_SECONDS - back);
    format!("{back} s")
}

fn for_else(package: &mut Package, world: &World, dice: &mut Dice) -> String {
    let made = SEALED_SECONDS - 86_400;
    let usage = *dice.one_of(&[Usage::Tls, Usage::Documents, Usage::Service, Usage::Staff]);
    let signer = match dice.below(5) {
        0 => package.signer.clone(),
        _ => world.signer_of(&world.authority, "b1-1", CLUSTER, usage, made, 365),
    };
    by(package, &signer.identity, AT);
    format!("{usage:?}, or the recorder's seal")
}

fn extensions(package: &mut Package, world: &World, dice: &mut Dice) -> String {
    let signer = world.stamper_by(&world.root, CLUSTER);
    let mut identity = (*signer.identity).clone();
    let mut tree = Node::parse(&identity.chain[0]);
    let all = tree.at(&[0]).parts().last_mut().expect("extensions");
    let all = all.at(&[0]).parts();
    let mut place = |oid: [u8; 3]| {
        let mut places = all.iter_mut();
        let at = places.position(|it| *it.at(&[0]).content() == oid);
        at.expect("the extension is there")
    };
    let (purposes, usage) = (place(EXTENDED_KEY_USAGE), place(KEY_USAGE));
    // 1.3.6.1.5.5.7.3.n: timeStamping is 8.
    let purpose = |n: u8| Node::oid(&[0x2b, 6, 1, 5, 5, 7, 3, n]);
    let named = |all: &mut Vec<Node>, named: Vec<Node>| {
        *all[purposes].at(&[2]).content() = Node::Tree(0x30, named).encode();
    };
    let what = match dice.below(8) {
        0 => {
            all[purposes].parts().remove(1);
            "not critical"
        }
        1 => {
            all.remove(purposes);
            "no purpose"
        }
        2 => {
            named(all, vec![purpose(8), purpose(1)]);
            "for servers too"
        }
        3 => {
            named(all, vec![purpose(1)]);
            "for servers, critical"
        }
        4 => {
            // 2.5.29.37.0
            named(all, vec![Node::oid(&[0x55, 0x1d, 0x25, 0])]);
            "for anything, critical"
        }
        5 => {
            named(all, vec![purpose(8), purpose(8)]);
            "twice"
        }
        6 => {
            *all[usage].at(&[2]).content() = vec![3, 2, 6, 0xc0];
            "nonRepudiation too"
        }
        _ => {
            all.remove(usage);
            "no key usage"
        }
    };
    identity.chain[0] = resigned(tree, &world.root);
    by(package, &identity, AT);
    what.to_owned()
}

/// A certificate signed again after a change.
fn resigned(mut certificate: Node, by: &Authority) -> Vec<u8> {
    let (_, pem) = by.to_pem();
    let key = sm2::SecretKey::from_pkcs8_pem(&pem).expect("an authority has a key");
    let signature = key.sign(&certificate.at(&[0]).encode());
    *certificate.at(&[2]).content() = [vec![0], signature].concat();
    certificate.encode()
}

fn stranger(package: &mut Package, world: &World, _: &mut Dice) -> String {
    let signer = world.stamper_by(&world.stranger, CLUSTER);
    by(package, &signer.identity, AT);
    "under a root of the same name".to_owned()
}

fn other_cluster(package: &mut Package, world: &World, _: &mut Dice) -> String {
    let signer = world.stamper_by(&world.authority, "another");
    by(package, &signer.identity, AT);
    "under the same root".to_owned()
}

fn expired(package: &mut Package, world: &World, dice: &mut Dice) -> String {
    let days = 1 + dice.below(300) as u32;
    // A certificate begins an hour before it is made.
    let (what, made) = match dice.below(3) {
        0 => ("not yet valid", AT + 3_601),
        _ => (
            "over",
            AT - u64::from(days) * 86_400 - 1 - dice.below(80_000) as u64,
        ),
    };
    let usage = Usage::TimeStamping;
    let signer = world.signer_of(&world.root, "b1-1", CLUSTER, usage, made, days);
    by(package, &signer.identity, AT);
    format!("{what}, {days} days")
}

fn another_key(package: &mut Package, _: &World, _: &mut Dice) -> String {
    let identity = Identity {
        chain: identity(package).chain.clone(),
        key: sm2::SecretKey::generate(),
    };
    by(package, &identity, AT);
    "under the authority's certificate".to_owned()
}

fn refused(package: &mut Package, _: &World, dice: &mut Dice) -> String {
    use guitai_crypto::tsp::{Refusal, refuse};
    let refusal = *dice.one_of(&[Refusal::Time, Refusal::Algorithm, Refusal::System]);
    put(package, refuse(refusal).expect("a refusal has a form"));
    refusal.to_string()
}

fn status(package: &mut Package, _: &World, dice: &mut Dice) -> String {
    let what = *dice.one_of(&[
        "1",
        "2",
        "255",
        "0 of two bytes",
        "a text",
        "a failure",
        "both",
        "none",
    ]);
    edited(package, |tree| {
        let status = tree.at(&STATUS).parts();
        let text = || Node::Tree(0x30, vec![Node::Leaf(12, b"granted".to_vec())]);
        let failure = || Node::Leaf(3, vec![7, 0x80]);
        match what {
            "1" => *status[0].content() = vec![1],
            "2" => *status[0].content() = vec![2],
            "255" => *status[0].content() = vec![0, 255],
            "0 of two bytes" => *status[0].content() = vec![0, 0],
            "a text" => status.push(text()),
            "a failure" => status.push(failure()),
            "both" => status.extend([text(), failure()]),
            _ => status.clear(),
        }
    });
    what.to_owned()
}

fn signers(package: &mut Package, world: &World, dice: &mut Dice) -> String {
    let other = world.stamper_by(&world.root, CLUSTER);
    let theirs = stamp(&other.identity, package.bytes(layout::SIGNED_DATA), AT);
    let mut theirs = Node::parse(&theirs);
    let what = *dice.one_of(&["none", "twice", "another besides", "of another", "by key"]);
    edited(package, |tree| match what {
        "none" => tree.at(&SIGNERS).parts().clear(),
        "twice" => {
            let own = tree.at(&SIGNER).clone();
            tree.at(&SIGNERS).parts().push(own);
        }
        "another besides" => {
            let own = theirs.at(&SIGNER).clone();
            let all = tree.at(&SIGNERS).parts();
            all.push(own);
            all.sort_by_key(Node::encode);
        }
        "of another" => *tree.at(&SIGNER) = theirs.at(&SIGNER).clone(),
        _ => tree.at(&SIGNER).parts()[1] = Node::Leaf(0x80, vec![1; 20]),
    });
    what.to_owned()
}

fn certificates(package: &mut Package, world: &World, dice: &mut Dice) -> String {
    let root = Node::parse(world.root.certificate_der());
    let other = Node::parse(&world.stamper_by(&world.root, CLUSTER).identity.chain[0]);
    let all = [
        "the root too",
        "another too",
        "one less",
        "none",
        "out of order",
        "lists",
    ];
    let what = *dice.one_of(&all);
    edited(package, |tree| {
        let found = tree.at(&CERTIFICATES).parts();
        match what {
            "the root too" => found.push(root),
            "another too" => found.push(other),
            "one less" => drop(found.remove(dice.below(found.len()))),
            "none" => found.clear(),
            _ => {}
        }
        found.sort_by_key(Node::encode);
        if what == "out of order" {
            found.reverse();
        }
        if what == "lists" {
            let data = tree.at(&DATA).parts();
            data.insert(4, Node::Tree(0xa1, vec![]));
        }
    });
    what.to_owned()
}

fn policy(package: &mut Package, _: &World, dice: &mut Dice) -> String {
    let all = ["policy", "SHA-256", "NULL", "short", "long"];
    let what = *dice.one_of(&all);
    signed_info(package, |info| match what {
        "policy" => *info.at(&[1]).content() = vec![0x2a, 3, 4],
        "SHA-256" => *info.at(&[2, 0, 0]).content() = SHA_256.to_vec(),
        "NULL" => info.at(&[2, 0]).parts().push(NULL),
        "short" => info.at(&[2, 1]).content().truncate(20),
        _ => info.at(&[2, 1]).content().push(0),
    });
    what.to_owned()
}

fn algorithm(package: &mut Package, _: &World, dice: &mut Dice) -> String {
    let what = *dice.one_of(&[
        "set",
        "set and more",
        "signer",
        "NULL",
        "signature",
        "its NULL",
        "type",
    ]);
    edited(package, |tree| match what {
        "set" => tree.at(&DATA).at(&[1, 0]).parts().push(NULL),
        "set and more" => {
            let more = Node::Tree(0x30, vec![Node::oid(&SHA_256)]);
            tree.at(&DATA).at(&[1]).parts().push(more);
        }
        "signer" => *tree.at(&SIGNER).at(&[2, 0]).content() = SHA_256.to_vec(),
        "NULL" => tree.at(&SIGNER).at(&[2]).parts().push(NULL),
        "signature" => *tree.at(&SIGNER).at(&[4, 0]).content() = SM2_SIGNATURE.to_vec(),
        "its NULL" => tree.at(&SIGNER).at(&[4]).parts().push(NULL),
        // As GB/T 35275 has it.
        _ => {
            let signed_data = vec![0x2a, 0x81, 0x1c, 0xcf, 0x55, 6, 1, 4, 2, 2];
            *tree.at(&[1, 0]).content() = signed_data;
        }
    });
    what.to_owned()
}

fn version(package: &mut Package, _: &World, dice: &mut Dice) -> String {
    let number = *dice.one_of(&[0, 2, 4, 5]);
    let what = *dice.one_of(&["data", "signer", "info"]);
    match what {
        "data" => edited(package, |it| {
            *it.at(&DATA).at(&[0]).content() = vec![number];
        }),
        "signer" => edited(package, |it| {
            *it.at(&SIGNER).at(&[0]).content() = vec![number];
        }),
        _ => signed_info(package, |it| *it.at(&[0]).content() = vec![number]),
    }
    format!("{what} {number}")
}

fn numbers(package: &mut Package, _: &World, dice: &mut Dice) -> String {
    let place = *dice.one_of(&[3, 5, 6]);
    let what = dice.below(4);
    signed_info(package, |info| {
        let value = match place {
            5 => info.at(&[5, 0]),
            place => info.at(&[place]),
        };
        *value.content() = match (place, what) {
            // Serial number: from 2^120 to 2^127 - 1.
            (3, 0) => vec![0x7f; 15],
            (3, 1) => [vec![0], vec![0xff; 16]].concat(),
            (3, 2) => [vec![0], vec![0xff; 15]].concat(),
            (3, _) => vec![0x80; 16],
            (6, 0) => vec![0x7f; 21],
            (6, 1) => [vec![0], vec![0xff; 20]].concat(),
            (6, 2) => vec![0xff; 4],
            (6, _) => vec![0, 0x7f],
            (_, 0) => vec![0],
            (_, 1) => vec![2],
            (_, 2) => vec![1, 0],
            _ => vec![0xff],
        };
    });
    format!("number {place}, {what}")
}

fn time(package: &mut Package, _: &World, dice: &mut Dice) -> String {
    let all = [
        "a fraction",
        "an offset",
        "no seconds",
        "UTCTime",
        "no day",
        "a leap second",
        "before 1970",
        "signed later",
        "signed as GeneralizedTime",
    ];
    let what = *dice.one_of(&all);
    let change = |info: &mut Node| {
        let time = info.at(&[4]);
        let text = String::from_utf8(time.content().clone()).expect("a time is text");
        let (seconds, day) = (text.trim_end_matches('Z'), &text[..8]);
        let text = match what {
            "a fraction" => format!("{seconds}.5Z"),
            "an offset" => format!("{seconds}+0000"),
            "no seconds" => format!("{}Z", &seconds[..12]),
            "UTCTime" => text[2..].to_owned(),
            "no day" => format!("{}1131{}", &text[..4], &text[8..]),
            "a leap second" => format!("{day}235960Z"),
            "before 1970" => format!("1969{}", &text[4..]),
            _ => text.clone(),
        };
        let tag = if what == "UTCTime" { 0x17 } else { 0x18 };
        *time = Node::Leaf(tag, text.into_bytes());
    };
    let attribute = |attributes: &mut Vec<Node>| {
        // 1.2.840.113549.1.9.5 is the signing time.
        let mut found = attributes.iter_mut();
        let found = found.find_map(|it| {
            let is_time = it.at(&[0]).content().ends_with(&[9, 5]);
            is_time.then(|| it.at(&[1, 0]))
        });
        let found = found.expect("a signing time");
        match what {
            "signed later" => {
                let last = found.content().len() - 2;
                found.content()[last] ^= 1;
            }
            "signed as GeneralizedTime" => {
                let text = [b"20".to_vec(), found.content().clone()].concat();
                *found = Node::Leaf(0x18, text);
            }
            _ => {}
        }
        attributes.sort_by_key(Node::encode);
    };
    signed(package, change, attribute);
    what.to_owned()
}

fn more(package: &mut Package, _: &World, dice: &mut Dice) -> String {
    let what = *dice.one_of(&[
        "ordering",
        "name",
        "extensions",
        "no nonce",
        "no accuracy",
        "millis",
        "unsigned",
        "response",
        "token",
        "signer",
    ]);
    let push = |node: &mut Node, more: Node| node.parts().push(more);
    match what {
        "ordering" => signed_info(package, |it| {
            it.parts().insert(6, Node::Leaf(1, vec![0xff]));
        }),
        "name" => signed_info(package, |it| {
            let name = Node::Tree(0xa4, vec![Node::Tree(0x30, vec![])]);
            push(it, Node::Tree(0xa0, vec![name]));
        }),
        "extensions" => signed_info(package, |it| push(it, Node::Tree(0xa1, vec![]))),
        "no nonce" => signed_info(package, |it| drop(it.parts().remove(6))),
        "no accuracy" => signed_info(package, |it| drop(it.parts().remove(5))),
        "millis" => signed_info(package, |it| {
            push(it.at(&[5]), Node::Leaf(0x80, vec![1]));
        }),
        "unsigned" => edited(package, |it| push(it.at(&SIGNER), Node::Tree(0xa1, vec![]))),
        "response" => edited(package, |it| push(it, NULL)),
        "token" => edited(package, |it| push(it.at(&[1]), NULL)),
        _ => edited(package, |it| push(it.at(&SIGNER), NULL)),
    }
    what.to_owned()
}

fn attributes(package: &mut Package, _: &World, dice: &mut Dice) -> String {
    let all = [
        "one more",
        "one less",
        "twice",
        "two values",
        "no value",
        "another certificate",
        "an issuer too",
        "out of order",
    ];
    let what = *dice.one_of(&all);
    let at = dice.below(4);
    signed(
        package,
        |_| {},
        |found| {
            // 1.2.840.113549.1.9.16.2.47 is the signing certificate.
            let mut places = found.iter_mut();
            let signing = places.position(|it| it.at(&[0]).content().ends_with(&[16, 2, 47]));
            let signing = signing.expect("a signing certificate");
            match what {
                "one more" => {
                    let value = Node::Tree(0x31, vec![Node::Leaf(12, b"more".to_vec())]);
                    found.push(Node::Tree(0x30, vec![Node::oid(&[0x2a, 3, 4]), value]));
                }
                "one less" => drop(found.remove(at)),
                "twice" => found.push(found[at].clone()),
                "two values" => {
                    let value = found[at].at(&[1, 0]).clone();
                    found[at].at(&[1]).parts().push(value);
                }
                "no value" => found[at].at(&[1]).parts().clear(),
                "another certificate" => {
                    found[signing].at(&[1, 0, 0, 0, 1]).content()[0] ^= 1;
                }
                "an issuer too" => {
                    let issuer = Node::Tree(0x30, vec![Node::Leaf(2, vec![1])]);
                    found[signing].at(&[1, 0, 0, 0]).parts().push(issuer);
                }
                _ => {}
            }
            found.sort_by_key(Node::encode);
            if what == "out of order" {
                found.reverse();
            }
        },
    );
    format!("{what}, {at}")
}

fn not_der(package: &mut Package, _: &World, dice: &mut Dice) -> String {
    let before = package.bytes(layout::TIMESTAMP).to_vec();
    // It begins with 30 82 and two bytes of length.
    let (what, after) = match dice.below(3) {
        0 => (
            "a length of three bytes",
            [&[0x30, 0x83, 0], &before[2..]].concat(),
        ),
        1 => (
            "an open length",
            [&[0x30, 0x80], &before[4..], &[0, 0]].concat(),
        ),
        _ => {
            let length = (before.len() as u16).to_be_bytes();
            (
                "wrapped once more",
                [&[0x30, 0x82], &length[..], &before].concat(),
            )
        }
    };
    put(package, after);
    what.to_owned()
}
