//! The authority of a deployment on one machine: it renews what is due, and what a crash cut off it
//! completes. Nodes see the new files by themselves.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use guitai_cli::{
    keys::{KEYS_DIR, PASSPHRASE_FILE, demo_passphrase},
    pki::{Directory, PASSPHRASE_VARIABLE, PkiError},
};
use guitai_crypto::keys::{KeyStore, Unlock};
use guitai_host::{Clock as _, SystemClock};

use crate::{exit::chain, founding::PKI_DIR};

/// How often it is asked what is due.
const ASK_EVERY: Duration = Duration::from_secs(60);

/// Renews what is due under `data`, now.
pub(crate) fn renew(data: &Path, now_unix: u64) -> Result<(), PkiError> {
    let dir = data.join(PKI_DIR);
    if !Directory::is_there(&dir) {
        tracing::warn!(
            dir = %dir.display(),
            "no PKI directory: certificates of this deployment are not renewed by themselves"
        );
        return Ok(());
    }
    if std::env::var_os(PASSPHRASE_VARIABLE).is_none() {
        demo_passphrase(&dir)?;
    }
    let mut directory = Directory::open(&dir, now_unix)?;
    if directory.seal_authority(now_unix)? {
        tracing::info!("the authority's key lay in plain; it is wrapped now");
    }
    for entry in directory.renew_due(now_unix)? {
        tracing::info!(name = %entry.name, serial = %entry.serial, "certificate renewed");
        if let Some(install) = &entry.install {
            wrap(&dir.join(&install.dir), &install.stem);
        }
    }
    Ok(())
}

/// Wraps a renewed key under its node's key store. The certificate is in use already: a key that
/// stays in plain until the node's next start is worth an error in the log, not a stop.
fn wrap(node: &Path, name: &str) {
    let store = node.join(KEYS_DIR);
    if !KeyStore::exists(&store) {
        return;
    }
    let wrapped = KeyStore::open(&store, Unlock::File(node.join(PASSPHRASE_FILE)))
        .and_then(|keys| keys.wrap_key_file(&node.join(format!("{name}.key.pem")), name));
    if let Err(error) = wrapped {
        let error = chain(&error);
        tracing::error!(node = %node.display(), %error, "a renewed key stays in plain for now");
    }
}

/// Renews what is due, for ever.
pub(crate) async fn keep(data: PathBuf) {
    loop {
        tokio::time::sleep(ASK_EVERY).await;
        let data = data.clone();
        let now_unix = SystemClock::new().wall().0 / 1000;
        let renewed = tokio::task::spawn_blocking(move || renew(&data, now_unix)).await;
        match renewed {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::error!(error = %chain(&error), "certificates not renewed"),
            Err(error) => tracing::error!(%error, "certificates not renewed"),
        }
    }
}
