//! The node's key store: what opens it, and taking over a rotation while the node runs.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use guitai_crypto::keys::{KeyStore, Purpose, StoreError, Unlock, storage_context};
use guitai_store::{STORAGE_KEY_BYTES, Sealing};

use guitai_api::KeysSource;
use guitai_cli::keys::{Kept, STORAGE_KEY, held};

use crate::config::NodeConfig;

/// Names the file with the root's passphrase before anything else does.
const VARIABLE: &str = "GUITAI_ROOT_PASSPHRASE_FILE";
/// Where systemd puts credentials (`LoadCredential=`), and what ours is called there.
const CREDENTIALS: &str = "CREDENTIALS_DIRECTORY";
const CREDENTIAL: &str = "guitai-root-passphrase";
/// How often a running node looks whether its keys were rotated: well below the age at which
/// `guitai keys rewrap --destroy-old` destroys an old key.
const LOOK: Duration = Duration::from_secs(2);

/// Opens the store of a node.
pub(crate) fn open(config: &NodeConfig) -> Result<KeyStore, StoreError> {
    KeyStore::open(&config.keys.dir, Unlock::File(passphrase(config)))
}

/// The file with the passphrase of a node's root.
pub(crate) fn passphrase(config: &NodeConfig) -> PathBuf {
    let variable = |name| std::env::var_os(name).map(PathBuf::from);
    passphrase_file(
        variable(VARIABLE),
        variable(CREDENTIALS),
        &config.keys.passphrase_file,
    )
}

/// The environment first, then systemd's credential if there is one, then the configuration.
fn passphrase_file(
    named: Option<PathBuf>,
    credentials: Option<PathBuf>,
    configured: &Path,
) -> PathBuf {
    let credential = credentials
        .map(|dir| dir.join(CREDENTIAL))
        .filter(|path| path.is_file());
    named
        .or(credential)
        .unwrap_or_else(|| configured.to_owned())
}

/// What seals the metadata at rest: the storage key of the data directory, drawn when the directory is
/// new. One that the release before began in plain stays plain.
pub(crate) fn sealing(
    keys: &KeyStore,
    node: &str,
    data: &Path,
) -> Result<Option<Arc<Sealing>>, StoreError> {
    let path = data.join(STORAGE_KEY);
    let context = storage_context(node);
    if !path.exists() {
        let begun = ["raft-log", "raft-snapshots", "view"].map(|part| data.join(part));
        if begun.iter().any(|part| part.exists()) {
            return Ok(None);
        }
        keys.create_data_key_file(&path, Purpose::Storage, &context, STORAGE_KEY_BYTES)?;
    }
    let key = keys.open_data_key_file::<STORAGE_KEY_BYTES>(&path, Purpose::Storage, &context)?;
    Ok(Some(Arc::new(Sealing::new(&key))))
}

/// The answer to "which keys do you hold?", read anew each time it is asked.
pub(crate) fn source(config: &NodeConfig, keys: &KeyStore) -> KeysSource {
    let below = |path: &Path| path.parent().map(Path::to_owned).unwrap_or_default();
    let dir = below(&config.files.identity_key);
    let kept = Kept {
        data: config
            .files
            .data
            .clone()
            .unwrap_or_else(|| dir.join("data")),
        store: config.keys.dir.clone(),
        dir,
    };
    let (name, zone) = (config.member.name.clone(), config.member.zone);
    let keys = keys.clone();
    Arc::new(move || held(&kept, &keys, name.clone(), zone))
}

/// Takes over what `guitai keys rotate` changed, for as long as the node runs.
pub(crate) async fn follow(keys: KeyStore) {
    let mut failing = false;
    loop {
        tokio::time::sleep(LOOK).await;
        let store = keys.clone();
        // Opening a root is slow on purpose: it must not hold up what the node serves.
        let looked = tokio::task::spawn_blocking(move || store.refresh()).await;
        match looked {
            Ok(Ok(changed)) => {
                if changed {
                    tracing::info!(root = %keys.root_id(), "keys were rotated; taken over");
                }
                failing = false;
            }
            Ok(Err(error)) if !failing => {
                failing = true;
                let error = crate::exit::chain(&error);
                tracing::error!(%error, "the key store cannot be read; going on with what is open");
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_environment_is_asked_first_then_systemd_then_the_configuration() {
        let dir = tempfile::tempdir().unwrap();
        let configured = Path::new("root-passphrase");
        let credentials = || Some(dir.path().to_owned());
        assert_eq!(
            passphrase_file(None, credentials(), configured),
            configured,
            "systemd has no such credential"
        );
        let credential = dir.path().join(CREDENTIAL);
        std::fs::write(&credential, "x").unwrap();
        assert_eq!(passphrase_file(None, credentials(), configured), credential);
        let named = PathBuf::from("named");
        assert_eq!(
            passphrase_file(Some(named.clone()), credentials(), configured),
            named
        );
    }
}
