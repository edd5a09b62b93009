//! What is attached to a package when it is handed out: what the cluster's log proves of it, and
//! the time stamp.

use std::io;

use guitai_evidence::{
    Manifest, Signer,
    attach::{self, Attached, Missing, What},
    layout,
    log::{Checkpoint, note::Note},
};
use serde::{Deserialize, Serialize};

use crate::{
    Shared,
    cluster::Cluster,
    package::Sealed,
    proving::{self, Attachable, Wanted},
    stamping,
    vault::Vault,
};

/// Name of the sealed document that keeps what was attached, once nothing was missing.
const ATTACHED: &str = "attached";
/// Name of the sealed document that keeps a checkpoint of before the seal.
const CHECKPOINT: &str = "checkpoint";

/// A checkpoint of the log, as it was published.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Older {
    /// Format version, 1.
    v: u16,
    note: String,
}

/// Keeps the log's checkpoint of now beside a recording that has none yet. Whatever is logged of the recording
/// comes after it, so a package can show that the log did not change what was before.
pub(crate) fn keep_checkpoint(cluster: &dyn Cluster, vault: &Vault) -> io::Result<()> {
    match cluster.checkpoint() {
        Some(note) if vault.document::<Older>(CHECKPOINT)?.is_none() => {
            vault.put_document(CHECKPOINT, &Older { v: 1, note })
        }
        _ => Ok(()),
    }
}

/// What goes along with a seal; nothing for one of a format that has no attachments. Once nothing is missing
/// it stays the same.
pub(crate) async fn attached(
    shared: &Shared,
    vault: &Vault,
    sealed: &Sealed,
) -> io::Result<Option<Attached>> {
    let manifest = sealed.manifest().map_err(io::Error::other)?;
    if !manifest.has_attachments() {
        return Ok(None);
    }
    if let Some(whole) = vault.document(ATTACHED)? {
        return Ok(Some(whole));
    }
    let logged = logged(shared, vault, sealed, &manifest).await?;
    let (mut files, mut lacks) = (logged.files, logged.missing);
    match stamping::stamp(shared, vault, sealed, &manifest).await? {
        Ok(stamp) => files.push((layout::TIMESTAMP.to_owned(), stamp)),
        Err(cause) => lacks.push((What::Timestamp, cause)),
    }
    let is_whole = lacks.is_empty();
    let missing = lacks.into_iter().map(|(what, cause)| Missing {
        what,
        cause: cause.to_owned(),
    });
    let seal = shared.config.seal.borrow().clone();
    let signer = Signer {
        identity: &seal,
        root: &shared.config.root,
    };
    let at = shared.clock.wall();
    let attached = attach::attach(sealed.seal(), files, missing.collect(), at, signer);
    let attached = attached.map_err(io::Error::other)?;
    if is_whole && let Err(error) = vault.put_document(ATTACHED, &attached) {
        tracing::warn!(%error, "what was attached was not kept; it will be fetched again");
    }
    Ok(Some(attached))
}

async fn logged(
    shared: &Shared,
    vault: &Vault,
    sealed: &Sealed,
    manifest: &Manifest,
) -> io::Result<Attachable> {
    if !shared.cluster.has_log() {
        return Ok(Attachable::nothing("no-log"));
    }
    let roots = sealed.roots().map_err(io::Error::other)?;
    let older = vault.document::<Older>(CHECKPOINT)?.map(|it| it.note);
    let wanted = Wanted::of(manifest, &roots);
    let proofs = shared
        .cluster
        .proofs(wanted, older.as_deref().and_then(size));
    Ok(match proofs.await {
        Ok(Some(proofs)) => proving::attachable(&proofs, roots.len(), older.as_deref()),
        Ok(None) => Attachable::nothing("not-logged"),
        Err(error) => {
            let session = &manifest.session.id;
            tracing::warn!(%session, %error, "a package goes without proofs of the log");
            Attachable::nothing("unanswered")
        }
    })
}

/// How many entries a checkpoint is over.
fn size(note: &str) -> Option<u64> {
    let note = Note::parse(note.as_bytes()).ok()?;
    Some(Checkpoint::of(&note).ok()?.head.size)
}
