//! `init`, `rotate`, `rewrap`.

use guitai_crypto::keys::{Cost, KeyStore, NewRoot, Passphrase, Purpose, Unlock, WrappedBy, Zone};
use guitai_types::{Code, profile::Profile};
use serde::Serialize;

use super::{
    Holder, PASSPHRASE_FILE, Place, Rewrap, Rotate, Seat, found::migrate, holders, refused, unlock,
};
use crate::{
    Language,
    failure::{Failure, chain},
    show::json,
    table::Table,
};

/// Makes the key stores of a data directory of the release before.
pub(super) fn init(place: &Place, lang: Language, now_unix: u64) -> Result<String, Failure> {
    let path = place.data.join("profile.toml");
    let text = std::fs::read_to_string(&path).map_err(|error| {
        Failure::usage(
            format!("{}: {error}", path.display()),
            "用 --data 指明由 guitai up 建立的数据目录",
            "Name a data directory made by guitai up with --data",
        )
    })?;
    let profile: Profile = toml::from_str(&text)
        .map_err(|error| Failure::new(Code::BadProfile, format!("{}: {error}", path.display())))?;
    let seats: Vec<Seat> = profile.nodes.iter().map(Seat::of).collect();
    let changed = migrate(&place.data, &seats, now_unix).map_err(|error| refused(&error))?;
    if place.output.json {
        return json(&serde_json::json!({ "changed": changed, "nodes": seats.len() }));
    }
    let words = if changed {
        lang.pick(
            "密钥库已建立,旧密钥已转入",
            "Key stores are made; the old keys are in them",
        )
    } else {
        lang.pick(
            "已是本版本的密钥库,无事可做",
            "These are this release's key stores: nothing to do",
        )
    };
    Ok(format!("{words}\n"))
}

/// What was rotated on one node.
#[derive(Serialize)]
struct Rotated {
    node: String,
    layer: &'static str,
    generation: u32,
}

/// Rotates the root or the KEK of a purpose on every node that has it.
pub(super) fn rotate(rotate: &Rotate, lang: Language, now_unix: u64) -> Result<String, Failure> {
    let nodes = holders(&rotate.place)?;
    let rotated = match rotate.layer.purpose() {
        None => rotate_roots(&nodes, rotate, now_unix)?,
        Some(purpose) => rotate_keks(&nodes, purpose, &rotate.place, now_unix)?,
    };
    if rotate.place.output.json {
        return json(&rotated);
    }
    let mut table = Table::new(match lang {
        Language::Zh => ["节点", "层", "新一代"],
        Language::En => ["node", "layer", "generation"],
    });
    for one in rotated {
        table.row([one.node, one.layer.to_owned(), one.generation.to_string()]);
    }
    Ok(table.render())
}

fn rotate_keks(
    nodes: &[Holder],
    purpose: Purpose,
    place: &Place,
    now_unix: u64,
) -> Result<Vec<Rotated>, Failure> {
    let mut rotated = Vec::new();
    for node in nodes {
        let not_its = node.is_pki() && purpose != Purpose::Identity;
        if not_its || !node.inventory.zone.may_hold(purpose) {
            continue;
        }
        let store = node.open(place)?;
        let generation = store.rotate_kek(purpose, now_unix);
        rotated.push(Rotated {
            node: node.inventory.node.clone(),
            layer: purpose.as_str(),
            generation: generation.map_err(|error| refused(&error))?,
        });
    }
    Ok(rotated)
}

/// The inner nodes get one new root together, each edge one of its own. Nodes that an interrupted
/// rotation left on an older root are brought to the newest instead of drawing another.
fn rotate_roots(nodes: &[Holder], rotate: &Rotate, now_unix: u64) -> Result<Vec<Rotated>, Failure> {
    let place = &rotate.place;
    let new_passphrase = match &rotate.new_passphrase_file {
        None => None,
        Some(file) => {
            let passphrase = Passphrase::load(file);
            Some(passphrase.map_err(|error| Failure::new(Code::KeysRefused, chain(&error)))?)
        }
    };
    let mut rotated = Vec::new();
    let mut change = |node: &Holder, store: &KeyStore, root: NewRoot| {
        let present = unlock(place, &node.dir);
        let unlock = new_passphrase.clone().map_or(present, Unlock::Given);
        store
            .rotate_root(root, &unlock, now_unix)
            .map_err(|error| refused(&error))?;
        if let (Some(passphrase), None) = (&new_passphrase, &place.passphrase_file) {
            let saved = passphrase.save(&node.dir.join(PASSPHRASE_FILE));
            saved.map_err(|error| Failure::new(Code::KeysRefused, chain(&error)))?;
        }
        rotated.push(Rotated {
            node: node.inventory.node.clone(),
            layer: "root",
            generation: store.root().name.generation,
        });
        Ok::<_, Failure>(())
    };
    // The authority has a root of its own too: it may be moved to a machine without a network.
    let of_zone = |zone| {
        let of_zone = move |node: &&Holder| node.inventory.zone == zone && !node.is_pki();
        nodes.iter().filter(of_zone)
    };
    let alone = nodes.iter().filter(|node| node.is_pki());
    for one in of_zone(Zone::Dmz).chain(alone) {
        change(one, &one.open(place)?, NewRoot::software(Cost::DEFAULT))?;
    }
    let newest = of_zone(Zone::Inner)
        .map(|node| &node.inventory.root)
        .map(|root| root.name)
        .max_by_key(|name| name.generation);
    let Some(newest) = newest else {
        return Ok(rotated);
    };
    let (even, lagging): (Vec<_>, Vec<_>) =
        of_zone(Zone::Inner).partition(|node| node.inventory.root.name.id == newest.id);
    // `newest` is one of them.
    let Some((first, others)) = even.split_first() else {
        return Ok(rotated);
    };
    let store = first.open(place)?;
    if lagging.is_empty() {
        change(first, &store, new_root(rotate))?;
        for node in others {
            change(node, &node.open(place)?, store.root_copy())?;
        }
    } else {
        for node in lagging {
            change(node, &node.open(place)?, store.root_copy())?;
        }
    }
    Ok(rotated)
}

/// Where the new root of the inner zone is to be.
fn new_root(rotate: &Rotate) -> NewRoot {
    match (
        &rotate.sdf,
        rotate.kek_index,
        &rotate.pkcs11,
        &rotate.token,
        &rotate.key,
    ) {
        (Some(library), Some(index), ..) => NewRoot::sdf(library.clone(), index),
        (_, _, Some(library), Some(token), Some(key)) => {
            NewRoot::pkcs11(library.clone(), token.clone(), key.clone())
        }
        _ => NewRoot::software(Cost::DEFAULT),
    }
}

/// A running node takes over a rotation within 2 s; an old KEK is destroyed only long after.
const DESTROY_AFTER_SECONDS: u64 = 60;

/// What was wrapped anew on one node.
#[derive(Serialize)]
struct Rewrapped {
    node: String,
    data_keys: usize,
    key_files: usize,
    destroyed: usize,
}

/// Puts recordings' data keys and private key files under the newest KEKs.
pub(super) fn rewrap(rewrap: &Rewrap, lang: Language, now_unix: u64) -> Result<String, Failure> {
    let mut done = Vec::new();
    for node in holders(&rewrap.place)? {
        done.push(rewrap_node(&node, rewrap, now_unix)?);
    }
    if rewrap.place.output.json {
        return json(&done);
    }
    let mut table = Table::new(match lang {
        Language::Zh => ["节点", "数据密钥", "私钥文件", "销毁的旧密钥"],
        Language::En => ["node", "data keys", "key files", "old KEKs destroyed"],
    });
    for one in done {
        table.row([
            one.node,
            one.data_keys.to_string(),
            one.key_files.to_string(),
            one.destroyed.to_string(),
        ]);
    }
    Ok(table.render())
}

fn rewrap_node(node: &Holder, rewrap: &Rewrap, now_unix: u64) -> Result<Rewrapped, Failure> {
    let store = node.open(&rewrap.place)?;
    let mut done = Rewrapped {
        node: node.inventory.node.clone(),
        data_keys: 0,
        key_files: 0,
        destroyed: 0,
    };
    for key in node.key_files()? {
        let moved = store.rewrap_key_file(&key.path, &key.name);
        done.key_files += usize::from(moved.map_err(|error| refused(&error))?);
    }
    for key in node.data_keys(usize::MAX)? {
        let moved = store.rewrap_data_key_file(&key.path, key.purpose, &key.context);
        done.data_keys += usize::from(moved.map_err(|error| refused(&error))?);
    }
    if rewrap.destroy_old {
        still_used(node, &store, now_unix)?;
        for purpose in Purpose::ALL {
            if node.inventory.zone.may_hold(purpose) {
                let destroyed = store
                    .destroy_old(purpose)
                    .map_err(|error| refused(&error))?;
                done.destroyed += destroyed;
            }
        }
    }
    Ok(done)
}

/// A running recorder may have made a key under the old KEK since the rotation: nothing is destroyed
/// that a file still needs.
fn still_used(node: &Holder, store: &KeyStore, now_unix: u64) -> Result<(), Failure> {
    let newest = KeyStore::inventory(&node.store).map_err(|error| refused(&error))?;
    let young = newest
        .keks
        .iter()
        .find(|kek| kek.generation > 1 && kek.created_unix + DESTROY_AFTER_SECONDS > now_unix);
    if let Some(kek) = young {
        return Err(Failure::new(
            Code::WrongState,
            format!(
                "the {} KEK {} of {} is younger than DESTROY_AFTER_SECONDS = {DESTROY_AFTER_SECONDS} s: \
                 a running node may still use the one before; nothing was destroyed",
                kek.purpose, kek.generation, node.inventory.node
            ),
        ));
    }
    let is_newest = |purpose, by| {
        let generation = store.generation(purpose);
        let mut keks = newest.keks.iter();
        keks.any(|kek| {
            kek.purpose == purpose
                && Some(kek.generation) == generation
                && by
                    == WrappedBy::Kek {
                        id: kek.id,
                        generation: kek.generation,
                    }
        })
    };
    let data_keys = node.data_keys(usize::MAX)?;
    let files = node.key_files()?;
    let mut old = data_keys
        .iter()
        .filter(|key| !is_newest(key.purpose, key.by))
        .map(|key| &key.path)
        .chain(
            files
                .iter()
                .filter(|key| key.by.is_none_or(|by| !is_newest(Purpose::Identity, by)))
                .map(|key| &key.path),
        );
    match old.next() {
        None => Ok(()),
        Some(path) => Err(Failure::new(
            Code::WrongState,
            format!(
                "{} is still under an old KEK; nothing was destroyed",
                path.display()
            ),
        )),
    }
}
