//! The keys of the object store: read from a file that is its owner's alone, and never shown.

use std::{
    io::Read as _,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use object_store::{CredentialProvider, aws::AwsCredential};
use serde::Deserialize;
use zeroize::Zeroizing;

/// Largest file with credentials, in bytes.
pub const CREDENTIALS_BYTES_MAX: u64 = 8 * 1024;
/// Longest of its values in bytes: a session token has some hundreds.
const VALUE_BYTES_MAX: usize = 4096;

/// Why there are no credentials. What the file holds is in none of these.
#[derive(Debug, thiserror::Error)]
pub enum CredentialsError {
    /// It cannot be read.
    #[error("sink.credentials_file: {path} cannot be read")]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// Others may read it.
    #[error(
        "sink.credentials_file: {path} has mode {mode:03o}; only its owner may read it: 600 or 400"
    )]
    Open {
        /// Which.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// It holds something else.
    #[error(
        "sink.credentials_file: {path} is not a file of at most 8 KiB with access_key_id = \"…\" and secret_access_key = \"…\""
    )]
    Form {
        /// Which.
        path: PathBuf,
    },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Keys {
    access_key_id: String,
    secret_access_key: String,
    #[serde(default)]
    session_token: Option<String>,
}

/// Reads the file again when it is another than before, so that keys can be changed while the node runs.
#[derive(Debug)]
pub(crate) struct FileCredentials {
    path: PathBuf,
    read: Mutex<(Stamp, Arc<AwsCredential>)>,
}

/// By what a file is told from the one before.
type Stamp = (u64, i64, i64);

impl FileCredentials {
    pub(crate) fn open(path: &Path) -> Result<Self, CredentialsError> {
        let read = Mutex::new(read(path)?);
        let path = path.to_owned();
        Ok(Self { path, read })
    }

    /// The keys as the file has them now.
    pub(crate) fn present(&self) -> Result<Arc<AwsCredential>, CredentialsError> {
        let mut known = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        let now = std::fs::metadata(&self.path).ok().map(|it| stamp(&it));
        if now != Some(known.0) {
            *known = read(&self.path)?;
        }
        Ok(known.1.clone())
    }
}

#[async_trait::async_trait]
impl CredentialProvider for FileCredentials {
    type Credential = AwsCredential;

    async fn get_credential(&self) -> object_store::Result<Arc<AwsCredential>> {
        self.present()
            .map_err(|error| object_store::Error::Generic {
                store: "sink",
                source: Box::new(error),
            })
    }
}

fn stamp(of: &std::fs::Metadata) -> Stamp {
    (of.ino(), of.mtime(), of.mtime_nsec())
}

fn read(path: &Path) -> Result<(Stamp, Arc<AwsCredential>), CredentialsError> {
    let failed = |source| CredentialsError::Read {
        path: path.to_owned(),
        source,
    };
    let form = || CredentialsError::Form {
        path: path.to_owned(),
    };
    let file = std::fs::File::open(path).map_err(failed)?;
    let metadata = file.metadata().map_err(failed)?;
    if !metadata.is_file() || metadata.len() > CREDENTIALS_BYTES_MAX {
        return Err(form());
    }
    let mode = metadata.mode() & 0o777;
    if mode & 0o177 != 0 {
        let path = path.to_owned();
        return Err(CredentialsError::Open { path, mode });
    }
    let mut text = Zeroizing::new(String::new());
    let mut file = file.take(CREDENTIALS_BYTES_MAX);
    file.read_to_string(&mut text).map_err(failed)?;
    // The parser's own words show the line that it does not like.
    let keys: Keys = toml::from_str(&text).map_err(|_| form())?;
    // They become parts of a header.
    let is_plain = |it: &str| {
        !it.is_empty() && it.len() <= VALUE_BYTES_MAX && it.bytes().all(|c| c.is_ascii_graphic())
    };
    let are_plain = is_plain(&keys.access_key_id)
        && is_plain(&keys.secret_access_key)
        && keys.session_token.as_deref().is_none_or(is_plain);
    if !are_plain {
        return Err(form());
    }
    let credential = AwsCredential {
        key_id: keys.access_key_id,
        secret_key: keys.secret_access_key,
        token: keys.session_token,
    };
    Ok((stamp(&metadata), Arc::new(credential)))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn write(path: &Path, text: &str, mode: u32) {
        std::fs::write(path, text).unwrap();
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn a_file_that_others_may_read_is_refused_and_nothing_of_it_is_said() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("credentials.toml");
        let good = "access_key_id = \"AKX\"\nsecret_access_key = \"s3cr3t\"\n";
        for mode in [0o644, 0o640, 0o604, 0o700] {
            write(&path, good, mode);
            assert!(
                matches!(read(&path), Err(CredentialsError::Open { .. })),
                "{mode:o}"
            );
        }
        for text in [
            "",
            "access_key_id = \"AKX\"\n",
            "access_key_id = \"AKX\"\nsecret_access_key = \"s3cr3t",
            "access_key_id = \"AKX\"\nsecret_access_key = \"s3cr3t\"\nregion = \"x\"\n",
            "access_key_id = \"AKX\"\nsecret_access_key = \"s3cr3t\\nHost: x\"\n",
        ] {
            write(&path, text, 0o600);
            let error = read(&path).unwrap_err();
            assert!(matches!(error, CredentialsError::Form { .. }), "{error:?}");
            assert!(!format!("{error} {error:?}").contains("s3cr3t"));
        }
        write(&path, good, 0o400);
        let (_, keys) = read(&path).unwrap();
        assert_eq!(keys.secret_key, "s3cr3t");
        assert!(!format!("{keys:?}").contains("s3cr3t"));
    }

    #[test]
    fn other_keys_are_taken_while_the_node_runs() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("credentials.toml");
        write(
            &path,
            "access_key_id = \"A\"\nsecret_access_key = \"1\"\n",
            0o600,
        );
        let credentials = FileCredentials::open(&path).unwrap();
        assert_eq!(credentials.present().unwrap().key_id, "A");
        let next = dir.path().join("next");
        write(
            &next,
            "access_key_id = \"B\"\nsecret_access_key = \"s3cr3t\"\n",
            0o600,
        );
        std::fs::rename(&next, &path).unwrap();
        assert_eq!(credentials.present().unwrap().key_id, "B");
        assert!(!format!("{credentials:?}").contains("s3cr3t"));
    }
}
