//! What a role may do.

use std::path::PathBuf;

/// What a process may do; it gives up everything else.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rules {
    /// Files and directories, with all below them, that may be read.
    pub read: Vec<PathBuf>,
    /// Those that may be read, written, made and removed.
    pub write: Vec<PathBuf>,
    /// Directories whose programs may be executed. Empty: no program is ever executed and no process made.
    pub execute: Vec<PathBuf>,
    /// TCP ports that may be bound.
    pub binds: Vec<u16>,
    /// TCP ports that may be connected to; `None`: any. UDP is not told apart by the kernels of today.
    pub connects: Option<Vec<u16>>,
    /// Gives up sockets, connections and writing altogether once it serves ([`crate::seal`]).
    pub seals: bool,
    /// Keeps the right to pass over file modes, where the directory belongs to somebody else than the process.
    pub passes_modes: bool,
}

/// What the rules of an edge are made from.
#[derive(Debug, Clone, Default)]
pub struct Edge {
    /// Directories with its own certificate, key, revocation list and key store, which it looks at while it runs.
    pub own: Vec<PathBuf>,
    /// TCP port of its door.
    pub door: u16,
    /// Whether its directory belongs to another user.
    pub foreign: bool,
}

/// Where the kernel tells a process which sockets it has.
const OWN_SOCKETS: [&str; 2] = ["/proc/self/fd", "/proc/self/net"];

/// An edge reads its own directories and which sockets it has, serves its sockets, and does nothing else.
#[must_use]
pub fn edge(edge: Edge) -> Rules {
    let mut read = edge.own;
    read.extend(OWN_SOCKETS.map(PathBuf::from));
    Rules {
        read,
        binds: vec![edge.door],
        connects: Some(Vec::new()),
        seals: true,
        passes_modes: edge.foreign,
        ..Rules::default()
    }
}

/// What the rules of an inner node are made from.
#[derive(Debug, Clone, Default)]
pub struct Inner {
    /// Its own directories: data, keys, copies of what was agreed on.
    pub own: Vec<PathBuf>,
    /// Files elsewhere that it reads.
    pub files: Vec<PathBuf>,
    /// Directories with programs, where it makes films.
    pub programs: Vec<PathBuf>,
    /// TCP port of its door.
    pub door: u16,
    /// TCP ports of the bank's object store, and of what finds its address.
    pub sink: Vec<u16>,
    /// Its root key is in a device, whose library opens files and connections that we do not know.
    pub device: bool,
    /// Whether its directory belongs to another user.
    pub foreign: bool,
}

/// What the system's libraries, the resolver and fonts are read from.
const SYSTEM: &[&str] = &[
    "/usr",
    "/lib",
    "/lib32",
    "/lib64",
    "/bin",
    "/sbin",
    "/opt",
    "/etc",
    "/proc",
    "/sys",
    "/run",
    "/dev/null",
    "/dev/random",
    "/dev/urandom",
    "/dev/zero",
];
/// Where programs' loaders are.
const LOADERS: &[&str] = &["/usr", "/lib", "/lib64"];

/// An inner node reads the system, writes what is its own, connects by TCP to the sink if it has one, and executes
/// programs only where it makes films.
#[must_use]
pub fn inner(inner: Inner) -> Rules {
    let paths = |list: &[&str]| list.iter().map(PathBuf::from).collect::<Vec<_>>();
    let mut read = paths(SYSTEM);
    read.extend(inner.files);
    let mut write = inner.own;
    write.push(PathBuf::from("/dev/null"));
    if inner.device {
        // The library of a device keeps its tokens where it wants and asks whom it wants.
        write.push(PathBuf::from("/"));
    }
    let connects = (!inner.device).then_some(inner.sink);
    let mut execute = inner.programs;
    if !execute.is_empty() {
        execute.extend(paths(LOADERS));
    }
    Rules {
        read,
        write,
        execute,
        binds: vec![inner.door],
        connects,
        seals: false,
        passes_modes: inner.foreign,
    }
}
