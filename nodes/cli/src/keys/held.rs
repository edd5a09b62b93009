//! Which keys a node holds, row by row: what its files say. The node itself and the offline command
//! read them the same way.

use std::path::PathBuf;

use guitai_crypto::keys::{KekEntry, KeyStore, Purpose, StoreError, WrappedBy};
use guitai_types::{
    Code, NodeName,
    keys::{KeyLayer, KeyRow, NodeKeys},
    place::{Text, Zone},
};

use super::{Holder, KEYS_DIR, PKI_STORE_DIR, PrivateKey, STORAGE_KEY, protects};
use crate::failure::{Failure, chain};

/// Recordings whose keys are counted; above it the row says "at least". A node answers within two
/// seconds, and a recorder that is years old holds more than it can look at in that time.
pub const RECORDINGS_COUNTED_MAX: usize = 10_000;

/// Where a running node keeps its keys.
#[derive(Debug, Clone)]
pub struct Kept {
    /// Private keys, each in its file.
    pub dir: PathBuf,
    /// Its key store.
    pub store: PathBuf,
    /// Its data directory, which need not be there.
    pub data: PathBuf,
}

/// What a running node says of its own keys, with its store open as `keys`. Reads files, opens
/// nothing, and never fails: what cannot be read is the answer.
#[must_use]
pub fn held(kept: &Kept, keys: &KeyStore, node: NodeName, zone: Zone) -> NodeKeys {
    let Kept { dir, store, data } = kept.clone();
    let holder = KeyStore::inventory(&store).map(|inventory| Holder {
        dir,
        store,
        data,
        inventory,
    });
    let failed = |why| NodeKeys {
        node,
        zone,
        verified: false,
        why: Some(why),
        rotation_unfinished: false,
        keys: Vec::new(),
    };
    let holder = match holder {
        Ok(holder) => holder,
        Err(error) => return failed(chain(&error)),
    };
    rows(&holder, keys.is_current()).unwrap_or_else(|failure| failed(failure.to_string()))
}

/// The rows of one node; `whole` says whether what the files hold opens.
pub(super) fn rows(holder: &Holder, whole: Result<bool, StoreError>) -> Result<NodeKeys, Failure> {
    let inventory = &holder.inventory;
    let zone = zone(inventory.zone);
    let name: NodeName = inventory.node.parse().map_err(|_| {
        let detail = format!(
            "{}: {:?} is no node's name",
            holder.store.display(),
            inventory.node
        );
        Failure::new(Code::KeysRefused, detail)
    })?;
    let why = match whole {
        Ok(true) => None,
        Ok(false) => Some("the key ring was changed since it was opened".to_owned()),
        Err(error) => Some(chain(&error)),
    };
    let store = if holder.is_pki() {
        PKI_STORE_DIR
    } else {
        KEYS_DIR
    };
    let device = &inventory.device;
    let row = |key: String, layer, under: String, (zh, en): (&str, &str)| KeyRow {
        node: name.clone(),
        key,
        layer,
        id: None,
        generation: None,
        created_unix: None,
        algorithm: "SM4-GCM".to_owned(),
        national: true,
        lives: format!("{store}/ring"),
        under,
        protects: Text {
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
    let root = row(
        "root".to_owned(),
        KeyLayer::Root,
        under.to_owned(),
        protects_keks,
    );
    let mut keys = vec![KeyRow {
        id: Some(inventory.root.name.id.to_string()),
        generation: Some(inventory.root.name.generation),
        created_unix: Some(inventory.root.name.created_unix),
        algorithm: device.algorithm.to_owned(),
        national: device.national,
        lives: match device.backend {
            "file" => format!("{store}/{}", device.location),
            _ => device.location.clone(),
        },
        ..root
    }];
    for kek in newest(inventory.keks.iter()) {
        keys.push(KeyRow {
            id: Some(kek.id.to_string()),
            generation: Some(kek.generation),
            created_unix: Some(kek.created_unix),
            ..row(
                format!("kek {}", kek.purpose),
                KeyLayer::Kek,
                "root".to_owned(),
                protects(kek.purpose),
            )
        });
    }
    for PrivateKey {
        path,
        name: key,
        by,
    } in holder.key_files()?
    {
        let under = by.map_or_else(
            || "plain".to_owned(),
            |by| format!("kek identity {}", generation(by)),
        );
        let file = path.file_name().unwrap_or_default().to_string_lossy();
        keys.push(KeyRow {
            algorithm: "SM2".to_owned(),
            lives: file.into_owned(),
            ..row(
                format!("private {key}"),
                KeyLayer::PrivateKey,
                under,
                private(&key),
            )
        });
    }
    let data_keys = holder.data_keys(RECORDINGS_COUNTED_MAX)?;
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
        let (least_zh, least_en) = match count {
            RECORDINGS_COUNTED_MAX => ("至少 ", "at least "),
            _ => ("", ""),
        };
        let (zh, en) = match purpose {
            Purpose::Recording => (
                format!("{least_zh}{count} 份录制"),
                format!("{least_en}{count} recordings"),
            ),
            _ => (
                protects(purpose).0.to_owned(),
                protects(purpose).1.to_owned(),
            ),
        };
        let lives = match purpose {
            Purpose::Recording => "data/recordings/*/key".to_owned(),
            _ => format!("data/{STORAGE_KEY}"),
        };
        keys.push(KeyRow {
            lives,
            ..row(
                format!("data {purpose}"),
                KeyLayer::DataKeys,
                format!("kek {purpose} {}", words.join(",")),
                (&zh, &en),
            )
        });
    }
    Ok(NodeKeys {
        node: name.clone(),
        zone,
        verified: why.is_none(),
        why,
        rotation_unfinished: inventory.unfinished,
        keys,
    })
}

/// The newest generation of each purpose.
pub(super) fn newest<'a>(keks: impl Iterator<Item = &'a KekEntry>) -> Vec<&'a KekEntry> {
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

const fn generation(by: WrappedBy) -> u32 {
    match by {
        WrappedBy::Version1 => 0,
        WrappedBy::Kek { generation, .. } => generation,
    }
}

/// The zone, as the rest of the product calls it.
const fn zone(zone: guitai_crypto::keys::Zone) -> Zone {
    match zone {
        guitai_crypto::keys::Zone::Dmz => Zone::Dmz,
        guitai_crypto::keys::Zone::Inner => Zone::Inner,
    }
}

fn private(key: &str) -> (&'static str, &'static str) {
    match key {
        "identity" => ("节点间 TLS 身份", "the node's TLS identity"),
        "media" => ("打开会话媒体密钥", "opens the media keys of sessions"),
        "token" => ("媒体凭证签名", "signs media tokens"),
        "seal" => ("证据包封印", "seals evidence packages"),
        "tsa" => ("时间戳签名", "signs time stamps"),
        "log" => ("透明日志签名", "signs the transparency log"),
        "witness" => ("透明日志见证签名", "cosigns the transparency log"),
        "ca" => (
            "签发证书与吊销列表",
            "signs certificates and revocation lists",
        ),
        _ => ("为他人代存的私钥", "kept here for its certificate's holder"),
    }
}
