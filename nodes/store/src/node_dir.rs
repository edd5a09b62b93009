//! One directory, one cluster, one node, one process.
//!
//! A log that two processes write, or that a node of another cluster continues, is worth nothing;
//! both are refused before anything is opened. The `cluster` file is also how an uninstaller knows
//! that a directory is ours.

use std::{
    fs::File,
    io::{self, Read as _},
    path::{Path, PathBuf},
    sync::Arc,
};

use guitai_host::{Disk, SystemDisk};
use guitai_types::{ClusterId, NodeName};
use rustix::fs::{FlockOperation, flock};

/// Names the cluster and the node that own the directory.
const MARKER: &str = "cluster";
/// Locked while a process uses the directory.
const LOCK: &str = "lock";
/// First line of the marker; a new format gets a new one.
const MARKER_HEAD: &str = "guitai-data 1";
/// Longest marker: a head and two ids.
const MARKER_BYTES_MAX: u64 = 256;

/// A node's data directory, locked until dropped.
#[derive(Debug)]
pub struct NodeDir {
    disk: SystemDisk,
    /// The kernel frees the lock when this closes, also when the process is killed.
    _lock: File,
}

impl NodeDir {
    /// Opens `path` for `node` of `cluster`; a missing or empty directory becomes theirs.
    pub fn open(
        path: &Path,
        cluster: &ClusterId,
        node: &NodeName,
    ) -> Result<Self, OpenNodeDirError> {
        let fail = |doing| {
            move |source| OpenNodeDirError::Io {
                doing,
                path: path.to_path_buf(),
                source,
            }
        };
        let disk = SystemDisk::new(path).map_err(fail("create"))?;
        let lock = lock(&disk).map_err(fail("lock"))?;
        let Some(lock) = lock else {
            return Err(OpenNodeDirError::InUse {
                path: path.to_path_buf(),
            });
        };
        let ours = format!("{MARKER_HEAD}\n{cluster}\n{node}\n");
        match read_marker(&disk).map_err(fail("read the marker of"))? {
            Some(found) if found == ours => {}
            Some(found) => {
                return Err(OpenNodeDirError::ForeignData {
                    path: path.to_path_buf(),
                    found: found.lines().skip(1).collect::<Vec<_>>().join("/"),
                    wanted: format!("{cluster}/{node}"),
                });
            }
            None => {
                let names = disk.list(Path::new("")).map_err(fail("list"))?;
                // A cut during the very first opening leaves the lock and a half-made marker.
                let half_made = ["lock", "cluster.tmp"];
                if let Some(found) = names.into_iter().find(|n| !half_made.contains(&n.as_str())) {
                    return Err(OpenNodeDirError::Unmarked {
                        path: path.to_path_buf(),
                        found,
                    });
                }
                disk.write_whole(Path::new(MARKER), ours.as_bytes())
                    .map_err(fail("mark"))?;
            }
        }
        Ok(Self { disk, _lock: lock })
    }

    /// The directory as a disk.
    pub fn disk(&self) -> Arc<dyn Disk> {
        Arc::new(self.disk.clone())
    }

    /// The directory's absolute path.
    pub fn path(&self) -> &Path {
        self.disk.root()
    }
}

/// Why a data directory was not opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenNodeDirError {
    /// The directory belongs to another cluster or another node.
    #[error("the data in {path} belong to {found}, this node is {wanted}")]
    ForeignData {
        /// The directory.
        path: PathBuf,
        /// `cluster/node` as the marker says.
        found: String,
        /// `cluster/node` as the configuration says.
        wanted: String,
    },
    /// The directory has files but no marker: it may be anyone's.
    #[error("{path} holds {found} but no data of ours")]
    Unmarked {
        /// The directory.
        path: PathBuf,
        /// One of the names in it.
        found: String,
    },
    /// Another process has it.
    #[error("another process uses the data in {path}")]
    InUse {
        /// The directory.
        path: PathBuf,
    },
    /// The machine refused.
    #[error("we could not {doing} the data directory {path}")]
    Io {
        /// The act.
        doing: &'static str,
        /// The directory.
        path: PathBuf,
        /// The machine's words.
        #[source]
        source: io::Error,
    },
}

/// The locked file, or nothing when another process holds the lock.
fn lock(disk: &SystemDisk) -> io::Result<Option<File>> {
    let path = disk.root().join(LOCK);
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(path)?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(Some(file)),
        Err(rustix::io::Errno::WOULDBLOCK) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn read_marker(disk: &SystemDisk) -> io::Result<Option<String>> {
    let file = match File::open(disk.root().join(MARKER)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        file => file?,
    };
    let mut text = String::new();
    file.take(MARKER_BYTES_MAX).read_to_string(&mut text)?;
    Ok(Some(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(path: &Path, cluster: &str, node: &str) -> Result<NodeDir, OpenNodeDirError> {
        NodeDir::open(path, &cluster.parse().unwrap(), &node.parse().unwrap())
    }

    #[test]
    fn a_directory_stays_with_its_cluster_and_node() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a1-1");
        drop(open(&path, "one", "a1-1").unwrap());
        drop(open(&path, "one", "a1-1").unwrap());
        for (cluster, node) in [("two", "a1-1"), ("one", "a1-2")] {
            let error = open(&path, cluster, node).unwrap_err();
            assert!(
                matches!(error, OpenNodeDirError::ForeignData { .. }),
                "{error}"
            );
            assert!(error.to_string().contains("belong to one/a1-1"), "{error}");
        }
    }

    #[test]
    fn two_processes_cannot_have_it() {
        let dir = tempfile::tempdir().unwrap();
        let first = open(dir.path(), "one", "a1-1").unwrap();
        let error = open(dir.path(), "one", "a1-1").unwrap_err();
        assert!(matches!(error, OpenNodeDirError::InUse { .. }), "{error}");
        drop(first);
        open(dir.path(), "one", "a1-1").unwrap();
    }

    #[test]
    fn a_directory_with_other_things_in_it_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("photos"), "mine").unwrap();
        let error = open(dir.path(), "one", "a1-1").unwrap_err();
        assert!(
            matches!(error, OpenNodeDirError::Unmarked { .. }),
            "{error}"
        );
    }
}
