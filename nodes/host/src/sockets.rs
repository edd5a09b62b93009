//! The sockets of this process, as the kernel has them (`/proc/self/fd`, `/proc/self/net/*`): what is open although
//! our own code does not know of it is there too.

use std::{
    collections::BTreeSet,
    ffi::OsStr,
    fs, io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    os::unix::fs::PermissionsExt as _,
    path::PathBuf,
};

/// Tables of a network namespace, with what they carry. Unix sockets do not leave the machine.
const TABLES: [(&str, Carrier); 4] = [
    ("/proc/self/net/tcp", Carrier::Tcp),
    ("/proc/self/net/tcp6", Carrier::Tcp),
    ("/proc/self/net/udp", Carrier::Udp),
    ("/proc/self/net/udp6", Carrier::Udp),
];
/// TCP_LISTEN of the kernel's `tcp_states.h`.
const LISTEN: u8 = 0x0A;

/// Nothing that is written there is kept.
const PLACES: [&str; 3] = ["/dev", "/proc", "/sys"];
/// The owner may write, of a link's mode.
const WRITABLE: u32 = 0o200;

/// What carries a socket's data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Carrier {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}

/// A socket of this process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OwnSocket {
    /// What carries it.
    pub carrier: Carrier,
    /// Where it is bound.
    pub local: SocketAddr,
    /// The other end, if it is connected.
    pub remote: Option<SocketAddr>,
    /// Whether it waits for connections; of UDP, whether it is not connected.
    pub listens: bool,
}

/// Every TCP and UDP socket that this process holds now, ordered.
///
/// # Errors
/// When `/proc` cannot be read.
pub fn own_sockets() -> io::Result<Vec<OwnSocket>> {
    // Descriptors first: a socket that is opened in between is seen the next time.
    let own = own_inodes()?;
    let mut sockets = BTreeSet::new();
    for (table, carrier) in TABLES {
        let text = match fs::read_to_string(table) {
            Ok(text) => text,
            // A kernel without IPv6 has no table of it.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        let lines = text.lines().skip(1).filter_map(|line| row(line, carrier));
        let held = lines.filter(|(inode, _)| own.contains(inode));
        sockets.extend(held.map(|(_, socket)| socket));
    }
    Ok(sockets.into_iter().collect())
}

/// Every regular file that this process has open for writing now, by its path, ordered. Devices and what is in memory
/// only are none, and its standard output and error are not: whoever started it says where they go.
///
/// # Errors
/// When `/proc` cannot be read.
pub fn own_written() -> io::Result<Vec<PathBuf>> {
    let mut files = BTreeSet::new();
    for entry in fs::read_dir("/proc/self/fd")? {
        let Ok(entry) = entry else { continue };
        let is_standard = ["1", "2"]
            .map(OsStr::new)
            .contains(&entry.file_name().as_os_str());
        // The link itself says how it was opened (proc(5)): `w` where it may be written.
        let Ok(mode) = entry.metadata().map(|it| it.permissions().mode()) else {
            continue;
        };
        let Ok(target) = fs::read_link(entry.path()) else {
            continue;
        };
        let is_file = target.is_absolute() && !PLACES.iter().any(|place| target.starts_with(place));
        if mode & WRITABLE != 0 && is_file && !is_standard {
            files.insert(target);
        }
    }
    Ok(files.into_iter().collect())
}

/// Inode numbers of the sockets among this process's descriptors.
fn own_inodes() -> io::Result<BTreeSet<u64>> {
    let mut inodes = BTreeSet::new();
    for entry in fs::read_dir("/proc/self/fd")? {
        // One that was closed meanwhile has no target any more.
        let Ok(target) = entry.and_then(|entry| fs::read_link(entry.path())) else {
            continue;
        };
        let inode: Option<u64> = target
            .to_str()
            .and_then(|it| it.strip_prefix("socket:["))
            .and_then(|it| it.strip_suffix(']'))
            .and_then(|it| it.parse().ok());
        inodes.extend(inode);
    }
    Ok(inodes)
}

/// A line of a table: `sl local_address rem_address st … inode …` (the kernel's `Documentation/networking/proc_net_tcp`).
fn row(line: &str, carrier: Carrier) -> Option<(u64, OwnSocket)> {
    let mut words = line.split_ascii_whitespace();
    let local = address(words.nth(1)?)?;
    let remote = address(words.next()?)?;
    let state = u8::from_str_radix(words.next()?, 16).ok()?;
    let inode = words.nth(5)?.parse().ok()?;
    let connected = remote.port() != 0;
    let listens = match carrier {
        Carrier::Tcp => state == LISTEN,
        Carrier::Udp => !connected,
    };
    let socket = OwnSocket {
        carrier,
        local,
        remote: connected.then_some(remote),
        listens,
    };
    Some((inode, socket))
}

/// `0100007F:1F90`: the address in groups of four bytes, each as this machine has a 32-bit number, and the port.
fn address(word: &str) -> Option<SocketAddr> {
    let (ip, port) = word.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let group = |at: usize| {
        let group = u32::from_str_radix(ip.get(at..at + 8)?, 16).ok()?;
        Some(group.to_ne_bytes())
    };
    let ip = match ip.len() {
        8 => IpAddr::V4(Ipv4Addr::from(group(0)?)),
        32 => {
            let mut bytes = [0; 16];
            for (to, at) in bytes.chunks_exact_mut(4).zip([0, 8, 16, 24]) {
                to.copy_from_slice(&group(at)?);
            }
            IpAddr::V6(Ipv6Addr::from(bytes)).to_canonical()
        }
        _ => return None,
    };
    Some(SocketAddr::new(ip, port))
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream, UdpSocket};

    use super::*;

    #[test]
    fn a_line_of_the_kernels_table_is_read() {
        // As a little-endian machine writes it.
        if cfg!(target_endian = "little") {
            let line = "  12: 0100007F:1F90 0200000A:C35A 01 00000000:00000000 00:00000000 00000000  0 0 4711 1 0";
            let (inode, socket) = row(line, Carrier::Tcp).unwrap();
            assert_eq!(inode, 4711);
            assert_eq!(socket.local, "127.0.0.1:8080".parse().unwrap());
            assert_eq!(socket.remote, Some("10.0.0.2:50010".parse().unwrap()));
            assert!(!socket.listens);
            let mapped = address("0000000000000000FFFF00000100007F:0050").unwrap();
            assert_eq!(mapped, "127.0.0.1:80".parse().unwrap());
        }
        for garbage in [
            "",
            "1:",
            "  0: 0100007F 00000000:0000 0A",
            "a b c d e f g h i j",
        ] {
            assert_eq!(row(garbage, Carrier::Tcp), None, "{garbage}");
        }
        assert_eq!(address("01:0050"), None);
        assert_eq!(address("0100007F:99999"), None);
    }

    #[test]
    fn a_file_is_written_as_long_as_it_is_open_for_that() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().canonicalize().unwrap().join("note");
        let file = fs::File::create(&path).unwrap();
        assert!(own_written().unwrap().contains(&path));
        drop(file);
        let _read = fs::File::open(&path).unwrap();
        assert!(!own_written().unwrap().contains(&path));
    }

    #[test]
    fn what_this_process_opens_is_there_and_gone_when_it_is_closed() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
        let at = listener.local_addr().unwrap();
        let stream = TcpStream::connect(at).unwrap();
        let seen = own_sockets().unwrap();
        let find = |carrier, local: SocketAddr| {
            let mut seen = seen.iter();
            seen.find(|it| it.carrier == carrier && it.local == local)
                .copied()
        };
        assert!(find(Carrier::Tcp, at).unwrap().listens);
        assert!(
            find(Carrier::Udp, udp.local_addr().unwrap())
                .unwrap()
                .listens
        );
        let opened = find(Carrier::Tcp, stream.local_addr().unwrap()).unwrap();
        assert_eq!((opened.remote, opened.listens), (Some(at), false));
        drop((listener, stream, udp));
        let listens = |it: &OwnSocket| it.local == at && it.listens;
        assert!(!own_sockets().unwrap().iter().any(listens));
    }
}
