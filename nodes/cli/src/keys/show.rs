//! `where` and `list`: what the files say, opened only to see whether they are whole.

use guitai_crypto::keys::{KekEntry, KeyStore, Purpose, WrappedBy, Zone};
use serde::Serialize;

use super::{NodeKeys, Place, PrivateKey, STORAGE_KEY, nodes, protects, unlock};
use crate::{
    Language,
    failure::Failure,
    show::{json, when},
    table::Table,
};

/// One key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Row {
    node: String,
    key: String,
    /// `root`, `kek`, `private key`, `data keys`
    layer: &'static str,
    id: Option<String>,
    generation: Option<u32>,
    created_unix: Option<u64>,
    algorithm: &'static str,
    national: bool,
    /// What holds it: a file's or a device's name.
    lives: String,
    /// Under what it is wrapped; `plain` for a file that nobody wrapped.
    under: String,
    protects: Protects,
    /// The one zone that can use it.
    zone: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Protects {
    zh: String,
    en: String,
}

/// A node's keys, and whether they open.
#[derive(Debug, Serialize)]
struct NodeRows {
    node: String,
    zone: &'static str,
    /// The passphrase was at hand, and every key opened under its root.
    verified: bool,
    /// Why not, if not.
    why: Option<String>,
    /// A rotation of the root was cut short; the next change tidies up.
    rotation_unfinished: bool,
    keys: Vec<Row>,
}

/// Which key lives where.
pub(super) fn whereabouts(place: &Place, lang: Language) -> Result<String, Failure> {
    let mut all = Vec::new();
    for node in nodes(place)? {
        all.push(rows(&node, place)?);
    }
    if place.output.json {
        return json(&all);
    }
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
            row.node.clone(),
            row.zone.to_owned(),
            row.key.clone(),
            row.generation.map_or_else(dash, |it| it.to_string()),
            row.algorithm.to_owned(),
            row.created_unix
                .map_or_else(dash, |unix| when(unix.saturating_mul(1000))),
            row.lives.clone(),
            row.under.clone(),
            lang.pick(&row.protects.zh, &row.protects.en).to_owned(),
        ]);
    }
    let mut text = table.render();
    text.push('\n');
    for node in &all {
        let said = match &node.why {
            None => lang
                .pick("已逐把打开核对", "every key opened and fits")
                .to_owned(),
            Some(why) => format!("{}: {why}", lang.pick("未核对", "not verified")),
        };
        text.push_str(&format!("{}: {said}\n", node.node));
    }
    Ok(text)
}

fn rows(node: &NodeKeys, place: &Place) -> Result<NodeRows, Failure> {
    let inventory = &node.inventory;
    let zone = inventory.zone.as_str();
    let name = &inventory.node;
    let opened = KeyStore::open(&node.store_dir(), unlock(place, &node.dir));
    let why = opened.err().map(|error| crate::failure::chain(&error));
    let device = &inventory.device;
    let row = |key: String, layer, under: String, (zh, en): (&str, &str)| Row {
        node: name.clone(),
        key,
        layer,
        id: None,
        generation: None,
        created_unix: None,
        algorithm: "SM4-GCM",
        national: true,
        lives: "keys/ring".to_owned(),
        under,
        protects: Protects {
            zh: zh.to_owned(),
            en: en.to_owned(),
        },
        zone,
    };
    let under = match device.backend {
        "file" => "passphrase (Argon2id)",
        _ => "device",
    };
    let protects_keks = ("本节点的密钥加密密钥", "this node's KEKs");
    let mut keys = vec![Row {
        id: Some(inventory.root.name.id.to_string()),
        generation: Some(inventory.root.name.generation),
        created_unix: Some(inventory.root.name.created_unix),
        algorithm: device.algorithm,
        national: device.national,
        lives: match device.backend {
            "file" => format!("keys/{}", device.location),
            _ => device.location.clone(),
        },
        ..row("root".to_owned(), "root", under.to_owned(), protects_keks)
    }];
    for kek in newest(inventory.keks.iter()) {
        keys.push(Row {
            id: Some(kek.id.to_string()),
            generation: Some(kek.generation),
            created_unix: Some(kek.created_unix),
            ..row(
                format!("kek {}", kek.purpose),
                "kek",
                "root".to_owned(),
                protects(kek.purpose),
            )
        });
    }
    for PrivateKey {
        path,
        name: key,
        by,
    } in node.key_files()?
    {
        let under = by.map_or_else(
            || "plain".to_owned(),
            |by| format!("kek identity {}", generation(by)),
        );
        let file = path.file_name().unwrap_or_default().to_string_lossy();
        keys.push(Row {
            algorithm: "SM2",
            lives: file.into_owned(),
            ..row(format!("private {key}"), "private key", under, private(key))
        });
    }
    let data_keys = node.data_keys()?;
    for purpose in [Purpose::Storage, Purpose::Recording] {
        let of = data_keys.iter().filter(|key| key.purpose == purpose);
        let mut generations: Vec<u32> = of.clone().map(|key| generation(key.by)).collect();
        let count = generations.len();
        if count == 0 {
            continue;
        }
        generations.sort_unstable();
        generations.dedup();
        let words: Vec<String> = generations.iter().map(u32::to_string).collect();
        let (zh, en) = match purpose {
            Purpose::Recording => (format!("{count} 份录制"), format!("{count} recordings")),
            _ => (
                protects(purpose).0.to_owned(),
                protects(purpose).1.to_owned(),
            ),
        };
        let lives = match purpose {
            Purpose::Recording => "data/recordings/*/key".to_owned(),
            _ => format!("data/{STORAGE_KEY}"),
        };
        keys.push(Row {
            lives,
            ..row(
                format!("data {purpose}"),
                "data keys",
                format!("kek {purpose} {}", words.join(",")),
                (&zh, &en),
            )
        });
    }
    Ok(NodeRows {
        node: name.clone(),
        zone,
        verified: why.is_none(),
        why,
        rotation_unfinished: inventory.unfinished,
        keys,
    })
}

/// The newest generation of each purpose.
fn newest<'a>(keks: impl Iterator<Item = &'a KekEntry>) -> Vec<&'a KekEntry> {
    let mut newest: Vec<&KekEntry> = Vec::new();
    for kek in keks {
        match newest.last_mut() {
            // Sorted by purpose, then generation.
            Some(last) if last.purpose == kek.purpose => *last = kek,
            _ => newest.push(kek),
        }
    }
    newest
}

fn generation(by: WrappedBy) -> u32 {
    match by {
        WrappedBy::Version1 => 0,
        WrappedBy::Kek { generation, .. } => generation,
    }
}

fn private(key: &str) -> (&'static str, &'static str) {
    match key {
        "identity" => ("节点间 TLS 身份", "the node's TLS identity"),
        "media" => ("打开会话媒体密钥", "opens the media keys of sessions"),
        "token" => ("媒体凭证签名", "signs media tokens"),
        _ => ("证据包封印", "seals evidence packages"),
    }
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
    for node in nodes(place)? {
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

fn census(node: &NodeKeys) -> Result<Vec<Kek>, Failure> {
    let inventory = &node.inventory;
    let data_keys = node.data_keys()?;
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
