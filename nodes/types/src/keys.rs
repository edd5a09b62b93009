//! Which key lives where: what `guitai keys where` and `GET /api/v1/keys` say of the keys at rest.
//!
//! Ids, places and dates of keys, never a key. The rows are read from the key stores' own files
//! (`guitai_crypto::keys`), offline by the command, online by each node for itself.

use serde::{Deserialize, Serialize};

use crate::{NodeName, UnixMillis, Zone, place::Text};

/// Most rows one node may answer with; a node has a root, five KEKs and a handful of private keys.
pub const KEY_ROWS_MAX: usize = 256;

/// A layer of the hierarchy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub enum KeyLayer {
    /// The root key.
    #[serde(rename = "root")]
    Root,
    /// A key-encryption key.
    #[serde(rename = "kek")]
    Kek,
    /// A private key in a file of its own.
    #[serde(rename = "private key")]
    PrivateKey,
    /// Data keys of one purpose, counted.
    #[serde(rename = "data keys")]
    DataKeys,
}

/// One key, or the data keys of one purpose.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct KeyRow {
    /// Whose it is.
    pub node: NodeName,
    /// What it is called, for example `kek recording`.
    pub key: String,
    /// Its layer.
    pub layer: KeyLayer,
    /// Id of a root or KEK, hexadecimal.
    pub id: Option<String>,
    /// Generation of a root or KEK.
    pub generation: Option<u32>,
    /// When a root or KEK was made, in Unix seconds.
    pub created_unix: Option<u64>,
    /// Its algorithm.
    pub algorithm: String,
    /// Whether that is one of the national ones.
    pub national: bool,
    /// What holds it: a file's or a device's name.
    pub lives: String,
    /// Under what it is wrapped; `plain` for a file that nobody wrapped.
    pub under: String,
    /// What it protects.
    pub protects: Text,
    /// The one zone that can use it.
    pub zone: Zone,
}

/// A node's keys. Fields that a later release adds are passed over by this one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct NodeKeys {
    /// The node.
    pub node: NodeName,
    /// Its zone.
    pub zone: Zone,
    /// Offline: the passphrase was at hand and every key opened under its root. Online: what lies on
    /// the disk is what the node opened and works with.
    pub verified: bool,
    /// Why not, if not.
    pub why: Option<String>,
    /// A rotation of the root was cut short; the next change tidies up.
    pub rotation_unfinished: bool,
    /// The keys.
    pub keys: Vec<KeyRow>,
}

/// The keys of a cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct KeysView {
    /// When it was asked.
    pub at: UnixMillis,
    /// What the nodes answered, by name.
    pub nodes: Vec<NodeKeys>,
    /// Nodes that did not answer, a release before among them: nothing is known of their keys.
    pub silent: Vec<NodeName>,
}
