//! `where` and `list`: what the files say, opened only to see whether they are whole.

use guitai_crypto::keys::{KekEntry, KeyStore, Purpose, WrappedBy, Zone};
use guitai_types::{
    NodeName,
    keys::{KeysView, NodeKeys},
    record::Duty,
};
use serde::Serialize;

use super::{
    Holder, Place, Where,
    held::{newest, rows},
    holders, unlock,
};
use crate::{
    Language,
    failure::Failure,
    show::{json, when},
    staff,
    table::Table,
};

/// Which key lives where, by the files.
pub(super) fn whereabouts(place: &Place, lang: Language) -> Result<String, Failure> {
    let mut all = Vec::new();
    for node in holders(place)? {
        let opened = KeyStore::open(&node.store, unlock(place, &node.dir));
        all.push(rows(&node, opened.map(|_| true))?);
    }
    if place.output.json {
        return json(&all);
    }
    let opened = lang.pick("已逐把打开核对", "every key opened and fits");
    Ok(words(&all, opened, lang))
}

/// Which key lives where, by what the nodes of a running cluster answer.
pub(crate) async fn ask_where(which: &Where, lang: Language) -> Result<String, Failure> {
    let door = staff::enter(&which.access, &[Duty::Operator, Duty::Auditor]).await?;
    let mut view: KeysView = door.get("/api/v1/keys").await?;
    let asked = |name: &NodeName| which.node.as_ref().is_none_or(|node| node == name.as_str());
    view.nodes.retain(|node| asked(&node.node));
    view.silent.retain(asked);
    if which.output.json {
        return json(&view);
    }
    let opened = lang.pick(
        "与节点正在使用的一致",
        "what lies on the disk is what the node works with",
    );
    let mut text = words(&view.nodes, opened, lang);
    for node in &view.silent {
        let said = lang.pick("无应答,情况不明", "does not answer; nothing is known of it");
        text.push_str(&format!("{node}: {said}\n"));
    }
    Ok(text)
}

fn words(all: &[NodeKeys], opened: &str, lang: Language) -> String {
    let mut table = Table::new(match lang {
        Language::Zh => [
            "节点",
            "区域",
            "密钥",
            "代",
            "算法",
            "建立于",
            "所在",
            "受何保护",
            "保护什么",
        ],
        Language::En => [
            "node",
            "zone",
            "key",
            "gen",
            "algorithm",
            "created",
            "lives in",
            "under",
            "protects",
        ],
    });
    let dash = || "-".to_owned();
    for row in all.iter().flat_map(|node| &node.keys) {
        table.row([
            row.node.to_string(),
            row.zone.to_string(),
            row.key.clone(),
            row.generation.map_or_else(dash, |it| it.to_string()),
            row.algorithm.clone(),
            row.created_unix
                .map_or_else(dash, |unix| when(unix.saturating_mul(1000))),
            row.lives.clone(),
            row.under.clone(),
            lang.of(&row.protects).to_owned(),
        ]);
    }
    let mut text = table.render();
    text.push('\n');
    for node in all {
        let said = match &node.why {
            None => opened.to_owned(),
            Some(why) => format!("{}: {why}", lang.pick("未核对", "not verified")),
        };
        text.push_str(&format!("{}: {said}\n", node.node));
    }
    text
}

/// One KEK.
#[derive(Debug, Serialize)]
struct Kek {
    node: String,
    zone: &'static str,
    purpose: &'static str,
    generation: u32,
    id: String,
    created_unix: u64,
    /// Wraps new data keys.
    active: bool,
    /// Data keys and key files on this node that are under it.
    keys: usize,
}

/// Every KEK, old ones too, and how many keys are under each.
pub(super) fn list(place: &Place, lang: Language) -> Result<String, Failure> {
    let mut keks = Vec::new();
    for node in holders(place)? {
        keks.extend(census(&node)?);
    }
    if place.output.json {
        return json(&keks);
    }
    let mut table = Table::new(match lang {
        Language::Zh => [
            "节点",
            "区域",
            "用途",
            "代",
            "状态",
            "其下密钥",
            "建立于",
            "编号",
        ],
        Language::En => [
            "node", "zone", "purpose", "gen", "state", "keys", "created", "id",
        ],
    });
    for kek in keks {
        let state = match (kek.active, kek.generation) {
            (true, _) => lang.pick("使用中", "active"),
            (false, 0) => lang.pick("旧版本,只读", "release before, reads only"),
            (false, _) => lang.pick("只读", "reads only"),
        };
        table.row([
            kek.node,
            kek.zone.to_owned(),
            kek.purpose.to_owned(),
            kek.generation.to_string(),
            state.to_owned(),
            kek.keys.to_string(),
            when(kek.created_unix.saturating_mul(1000)),
            kek.id,
        ]);
    }
    Ok(table.render())
}

fn census(node: &Holder) -> Result<Vec<Kek>, Failure> {
    let inventory = &node.inventory;
    let data_keys = node.data_keys(usize::MAX)?;
    let files = node.key_files()?.into_iter().filter_map(|key| key.by);
    let files: Vec<WrappedBy> = files.collect();
    let active: Vec<_> = newest(inventory.keks.iter())
        .into_iter()
        .filter(|kek| kek.generation > 0)
        .map(|kek| kek.id)
        .collect();
    let count = |kek: &KekEntry| {
        let wanted = if kek.generation == 0 {
            WrappedBy::Version1
        } else {
            WrappedBy::Kek {
                id: kek.id,
                generation: kek.generation,
            }
        };
        let data = data_keys
            .iter()
            .filter(|key| key.purpose == kek.purpose && key.by == wanted);
        let private = files
            .iter()
            .filter(|by| kek.purpose == Purpose::Identity && **by == wanted);
        data.count() + private.count()
    };
    let zone: Zone = inventory.zone;
    Ok(inventory
        .keks
        .iter()
        .map(|kek| Kek {
            node: inventory.node.clone(),
            zone: zone.as_str(),
            purpose: kek.purpose.as_str(),
            generation: kek.generation,
            id: kek.id.to_string(),
            created_unix: kek.created_unix,
            active: active.contains(&kek.id),
            keys: count(kek),
        })
        .collect())
}
