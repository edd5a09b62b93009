//! Packages that hang together and are signed, by somebody whose word does not count.

use std::rc::Rc;

use guitai_crypto::{
    sm2,
    x509::{self, Authority, Identity, Usage},
};
use guitai_evidence::layout;
use serde_json::json;

use super::Forgery;
use crate::{
    dice::Dice,
    package::{Package, Signer},
    world::{CLUSTER, SEALED_SECONDS, World},
};

pub(crate) const FORGERIES: &[Forgery] = &[
    (
        "root: another cluster of the same name",
        "root",
        another_cluster,
    ),
    (
        "root: another cluster's signer under this root",
        "root",
        not_under_root,
    ),
    ("root: another node", "root", another_node),
    ("root: another cluster's name", "root", another_name),
    ("root: expired", "root", expired),
    ("root: not valid yet", "root", not_yet),
    ("root: a certificate for encryption", "root", for_encryption),
    ("root: issued by a leaf", "root", by_a_leaf),
    ("root: an authority signs", "root", an_authority),
    ("root: the chain has a link too few", "root", link_missing),
    ("root: the chain is in another order", "root", link_order),
    ("root: the chain has a link too many", "root", link_more),
    ("root: the chain holds the root", "root", root_in_chain),
    ("root: no certificate", "root", no_certificate),
    ("root: two roots", "root", two_roots),
    ("root: PEM in another form", "root", pem_form),
    ("root: a certificate altered", "root", certificate_altered),
    (
        "root: sealed when nothing was valid",
        "root",
        sealed_elsewhen,
    ),
];

fn another_cluster(package: &mut Package, world: &World, _: &mut Dice) -> String {
    package.seal_by(&world.signer(&world.stranger, "a1-2"));
    "everything signed again".to_owned()
}

fn not_under_root(package: &mut Package, world: &World, _: &mut Dice) -> String {
    let mut signer = world.signer(&world.stranger, "a1-2");
    signer.root = world.root.certificate_der().to_vec();
    package.seal_by(&signer);
    "the true root beside it".to_owned()
}

fn another_node(package: &mut Package, world: &World, dice: &mut Dice) -> String {
    let node = *dice.one_of(&["a2-2", "a1-1", "a1-20", "A1-2", "a1-2 ", "root"]);
    package.seal_by(&world.signer(&world.authority, node));
    node.to_owned()
}

fn another_name(package: &mut Package, world: &World, dice: &mut Dice) -> String {
    let long = format!("{CLUSTER}0");
    let name = *dice.one_of(&[
        "other",
        "5e1f",
        long.as_str(),
        "5E1F5E1F5E1F5E1F5E1F5E1F5E1F5E1F",
    ]);
    let made = SEALED_SECONDS - 86_400;
    package.seal_by(&world.signer_of(&world.authority, "a1-2", name, Usage::Documents, made, 365));
    name.to_owned()
}

fn expired(package: &mut Package, world: &World, dice: &mut Dice) -> String {
    let days = 1 + dice.below(300) as u32;
    // Over between a second and a day before the seal; the authority began the day before it.
    let made = SEALED_SECONDS - u64::from(days) * 86_400 - 1 - dice.below(80_000) as u64;
    package.seal_by(&world.signer_of(&world.root, "a1-2", CLUSTER, Usage::Documents, made, days));
    format!("after {days} days")
}

fn not_yet(package: &mut Package, world: &World, dice: &mut Dice) -> String {
    // A certificate is valid from an hour before it is made.
    let made = SEALED_SECONDS + 3_601 + dice.below(10_000_000) as u64;
    package.seal_by(&world.signer_of(&world.root, "a1-2", CLUSTER, Usage::Documents, made, 30));
    format!("made {} s after", made - SEALED_SECONDS)
}

fn for_encryption(package: &mut Package, world: &World, _: &mut Dice) -> String {
    let made = SEALED_SECONDS - 86_400;
    let by = &world.authority;
    package.seal_by(&world.signer_of(by, "a1-2", CLUSTER, Usage::Encryption, made, 365));
    "no digitalSignature".to_owned()
}

fn by_a_leaf(package: &mut Package, world: &World, dice: &mut Dice) -> String {
    let by = if dice.below(2) == 0 {
        &world.root
    } else {
        &world.authority
    };
    let leaf = world.signer(by, "a1-1");
    let chain = [leaf.identity.chain.clone(), vec![leaf.root.clone()]].concat();
    let pem = x509::certificates_to_pem(&chain);
    let as_authority = Authority::from_pem(&pem, &leaf.identity.key.to_pkcs8_pem());
    package.seal_by(&world.signer(&as_authority.expect("a chain and its key"), "a1-2"));
    "a node's certificate as authority".to_owned()
}

fn an_authority(package: &mut Package, world: &World, _: &mut Dice) -> String {
    let made = SEALED_SECONDS - 86_400;
    let key = sm2::SecretKey::generate();
    let own = world
        .root
        .issue_authority("a1-2", CLUSTER, &key.public(), 0, 300, made);
    package.seal_by(&Signer {
        identity: Rc::new(Identity {
            chain: vec![own.expect("a certificate")],
            key,
        }),
        root: world.root.certificate_der().to_vec(),
    });
    "a certificate of an authority".to_owned()
}

/// Seals with these certificates in `trust/chain.pem`; what is signed stays as it would be.
fn with_chain(package: &mut Package, chain: &[Vec<u8>]) {
    package.put(layout::CHAIN, x509::certificates_to_pem(chain));
    package.write_list();
    package.sign();
}

fn link_missing(package: &mut Package, _: &World, dice: &mut Dice) -> String {
    let chain = package.signer.identity.chain.clone();
    let left = dice.below(chain.len());
    with_chain(package, &chain[left..=left]);
    format!("only number {left}")
}

fn link_order(package: &mut Package, _: &World, _: &mut Dice) -> String {
    let mut chain = package.signer.identity.chain.clone();
    chain.reverse();
    with_chain(package, &chain);
    "root's side first".to_owned()
}

fn link_more(package: &mut Package, world: &World, dice: &mut Dice) -> String {
    let mut chain = package.signer.identity.chain.clone();
    let more = match dice.below(4) {
        0 => chain[0].clone(),
        1 => world.signer(&world.root, "a2-2").identity.chain[0].clone(),
        2 => world.stranger.certificate_der().to_vec(),
        _ => chain[1].clone(),
    };
    let at = 1 + dice.below(chain.len());
    chain.insert(at, more);
    with_chain(package, &chain);
    format!("at {at}")
}

fn root_in_chain(package: &mut Package, world: &World, _: &mut Dice) -> String {
    let mut chain = package.signer.identity.chain.clone();
    chain.push(world.root.certificate_der().to_vec());
    with_chain(package, &chain);
    "as the last".to_owned()
}

fn no_certificate(package: &mut Package, _: &World, dice: &mut Dice) -> String {
    let path = *dice.one_of(&[layout::CHAIN, layout::ROOT]);
    let text = *dice.one_of(&[
        "",
        "\n",
        "none\n",
        "-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n",
        "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
    ]);
    package.put(path, text);
    package.write_list();
    package.sign();
    format!("{path} {text:?}")
}

fn two_roots(package: &mut Package, world: &World, dice: &mut Dice) -> String {
    let mut roots = vec![
        world.root.certificate_der().to_vec(),
        world.stranger.certificate_der().to_vec(),
    ];
    if dice.below(2) == 0 {
        roots.reverse();
    }
    package.put(layout::ROOT, x509::certificates_to_pem(&roots));
    package.write_list();
    package.sign();
    "in trust/root.pem".to_owned()
}

fn pem_form(package: &mut Package, _: &World, dice: &mut Dice) -> String {
    let path = *dice.one_of(&[layout::CHAIN, layout::ROOT]);
    let before = String::from_utf8(package.bytes(path).to_vec()).expect("PEM is text");
    let (what, after) = match dice.below(8) {
        0 => ("CRLF", before.replace('\n', "\r\n")),
        1 => ("no end of line", before.trim_end().to_owned()),
        2 => ("text before", format!("subject=a1-2\n{before}")),
        3 => ("text after", format!("{before}subject=a1-2\n")),
        4 => ("an empty line", before.replacen("-----\n", "-----\n\n", 1)),
        5 => ("a space", before.replacen("-----\n", "-----\n ", 1)),
        6 => {
            let at = before.find("-----\n").expect("a first line") + 6;
            let (head, body) = before.split_at(at);
            (
                "short lines",
                format!("{head}{}", [&body[..10], "\n", &body[10..]].concat()),
            )
        }
        _ => (
            "a tab at a line's end",
            before.replacen("-----\n", "-----\t\n", 1),
        ),
    };
    package.put(path, after);
    package.write_list();
    package.sign();
    format!("{path}: {what}")
}

fn certificate_altered(package: &mut Package, _: &World, dice: &mut Dice) -> String {
    let mut chain = package.signer.identity.chain.clone();
    let which = dice.below(chain.len());
    let at = dice.below(chain[which].len());
    chain[which][at] ^= 1 << dice.below(8);
    with_chain(package, &chain);
    format!("byte {at} of number {which}")
}

fn sealed_elsewhen(package: &mut Package, _: &World, dice: &mut Dice) -> String {
    // The certificate is valid for a year less a day from now.
    let years = *dice.one_of(&[-20_i64, -1, 1, 2, 30, 200]);
    let days = years * 370 + dice.below(9) as i64;
    let at = (SEALED_SECONDS as i64 + days * 86_400).max(0) as u64 * 1000;
    *package.at("/sealed_at") = json!(at);
    package.seal();
    format!("{at}")
}
