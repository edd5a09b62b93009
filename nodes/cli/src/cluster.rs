//! The two small files by which `guitai up` tells the commands where its cluster is.

use std::{
    io,
    path::{Path, PathBuf},
};

use guitai_types::{InstitutionId, StaffName, record::Duty};
use serde::{Deserialize, Serialize};
use url::Url;

/// Name of the file in the data directory.
pub const CLUSTER_FILE: &str = "cluster.json";
/// Longest of the two files in bytes; 64 nodes and a hundred accounts are far below.
const FILE_BYTES_MAX: u64 = 1024 * 1024;

/// `<data>/cluster.json`: the public doors of a running cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cluster {
    /// Doors of the edges, where customers come in.
    pub edges: Vec<Url>,
    /// Doors of the core nodes, where staff come in.
    pub cores: Vec<Url>,
    /// File with accounts for demonstrations, beside this one; a real installation has none.
    #[serde(default)]
    pub login_file: Option<PathBuf>,
}

/// `<data>/demo-login.json`, mode 0600: accounts drawn by `guitai up`.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LoginFile {
    /// The accounts.
    pub accounts: Vec<Account>,
}

/// One account and its password in clear. Only ever in [`LoginFile`].
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Account {
    /// Institution.
    pub institution: InstitutionId,
    /// Login name.
    pub name: StaffName,
    /// Password.
    pub password: String,
    /// Rights.
    pub duties: Vec<Duty>,
}

impl std::fmt::Debug for Account {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Account({}/{})", self.institution, self.name)
    }
}

impl std::fmt::Debug for LoginFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(&self.accounts).finish()
    }
}

impl LoginFile {
    /// The first account that has the first of these duties, else the second, and so on: a node without a
    /// leader lets operators in and nobody else.
    pub fn with_duty(&self, duties: &[Duty]) -> Option<&Account> {
        let with = |duty| self.accounts.iter().find(|it| it.duties.contains(duty));
        duties.iter().find_map(with)
    }
}

/// Why the files do not tell.
#[derive(Debug, thiserror::Error)]
pub enum ReadClusterError {
    /// Not there, or not readable.
    #[error("reading {path}")]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Not what it should be.
    #[error("understanding {path}")]
    Parse {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
}

impl Cluster {
    /// Reads `<data>/cluster.json`.
    pub fn read(data: &Path) -> Result<Self, ReadClusterError> {
        read(&data.join(CLUSTER_FILE))
    }

    /// Reads the accounts beside it; `None` where the cluster names no login file.
    pub fn read_logins(&self, data: &Path) -> Result<Option<LoginFile>, ReadClusterError> {
        self.login_file
            .as_ref()
            .map(|name| read(&data.join(name)))
            .transpose()
    }
}

fn read<T: serde::de::DeserializeOwned>(path: &Path) -> Result<T, ReadClusterError> {
    let failed = |source| ReadClusterError::Read {
        path: path.to_owned(),
        source,
    };
    let size = std::fs::metadata(path).map_err(failed)?.len();
    if size > FILE_BYTES_MAX {
        return Err(failed(io::Error::other(format!(
            "{size} bytes, at most {FILE_BYTES_MAX}"
        ))));
    }
    let bytes = std::fs::read(path).map_err(failed)?;
    serde_json::from_slice(&bytes).map_err(|source| ReadClusterError::Parse {
        path: path.to_owned(),
        source,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_files_of_up_are_read_and_strangers_refused() -> Result<(), Box<dyn std::error::Error>> {
        let dir = tempfile::tempdir()?;
        let cluster = dir.path().join(CLUSTER_FILE);
        assert!(matches!(
            Cluster::read(dir.path()),
            Err(ReadClusterError::Read { .. })
        ));

        std::fs::write(
            &cluster,
            r#"{"edges":["http://127.1.1.1:4443"],"cores":[],"login_file":"demo-login.json"}"#,
        )?;
        std::fs::write(
            dir.path().join("demo-login.json"),
            r#"{"accounts":[{"institution":"bank","name":"wang","password":"secret-word","duties":["agent"]}]}"#,
        )?;
        let read = Cluster::read(dir.path())?;
        let logins = read.read_logins(dir.path())?.ok_or("no logins")?;
        assert_eq!(
            logins.with_duty(&[Duty::Agent]).map(|a| a.name.as_str()),
            Some("wang")
        );
        assert!(logins.with_duty(&[Duty::Operator]).is_none());
        assert!(!format!("{logins:?}").contains("secret-word"));

        std::fs::write(&cluster, r#"{"edges":[],"cores":[],"extra":1}"#)?;
        assert!(matches!(
            Cluster::read(dir.path()),
            Err(ReadClusterError::Parse { .. })
        ));
        Ok(())
    }
}
