//! The certificate of a door's TCP port: read before anything is bound, looked at while the node runs.
//!
//! What is new is checked before it is served; what does not check leaves the old in use, and is tried again: between
//! two renames the chain and the key of one renewal do not fit.

use std::{
    fs::File,
    io::{self, Read as _},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    sync::Arc,
};

use guitai_api::TlsSource;
use guitai_crypto::tls::{WebDoor, WebDoorError, web_door};
use guitai_types::{inventory::CryptoPolicy, profile::DoorTls};
use rustls::ServerConfig;
use tokio::sync::watch;
use zeroize::Zeroizing;

use crate::exit::chain;

/// Largest file in bytes; a chain of four RSA certificates has 8 KiB.
const FILE_BYTES_MAX: u64 = 64 * 1024;

/// Why a door's certificate is not served.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum CertificateError {
    #[error("cannot read {path}")]
    Read {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("{path} is larger than the {FILE_BYTES_MAX} bytes that a certificate or key may have")]
    Large { path: PathBuf },
    #[error("{path} can be read by others (mode {mode:o}): a private key has mode 600")]
    Open { path: PathBuf, mode: u32 },
    #[error("the certificate {certificate} with the key {key} cannot be served")]
    Refused {
        certificate: PathBuf,
        key: PathBuf,
        #[source]
        source: WebDoorError,
    },
}

/// The files as they were read last, and whoever serves what is in them.
pub(crate) struct Certificate {
    tls: DoorTls,
    policy: CryptoPolicy,
    read: Files,
    sender: watch::Sender<Arc<ServerConfig>>,
    shown: watch::Sender<WebDoor>,
}

/// Bytes of both files.
#[derive(PartialEq, Eq)]
struct Files {
    chain: Vec<u8>,
    key: Zeroizing<Vec<u8>>,
}

impl Certificate {
    /// Reads and checks both files.
    pub(crate) fn open(tls: &DoorTls, policy: CryptoPolicy) -> Result<Self, CertificateError> {
        let read = Files::read(tls)?;
        let door = read.door(tls, policy)?;
        tracing::info!(origin = %tls.origin, subject = door.subject, not_after_unix = door.not_after_unix, "the door has TLS");
        Ok(Self {
            tls: tls.clone(),
            policy,
            read,
            sender: watch::Sender::new(door.config.clone()),
            shown: watch::Sender::new(door),
        })
    }

    /// What is served, now and later.
    pub(crate) fn source(&self) -> TlsSource {
        self.sender.subscribe()
    }

    /// What is served, for the inventory.
    pub(crate) fn shown(&self) -> watch::Receiver<WebDoor> {
        self.shown.subscribe()
    }

    /// Looks whether there is another.
    pub(crate) fn look(&mut self) {
        let read = match Files::read(&self.tls) {
            Ok(read) if read != self.read => read,
            Ok(_) => return,
            Err(error) => {
                let error = chain(&error);
                return tracing::debug!(%error, "the door's certificate cannot be looked at now");
            }
        };
        match read.door(&self.tls, self.policy) {
            Ok(door) => {
                self.read = read;
                tracing::info!(
                    subject = door.subject,
                    not_after_unix = door.not_after_unix,
                    "the door has another certificate"
                );
                self.sender.send_replace(door.config.clone());
                self.shown.send_replace(door);
            }
            Err(error) => {
                let error = chain(&error);
                tracing::warn!(%error, "a new certificate of the door is not served; the one before is");
            }
        }
    }
}

impl Files {
    fn read(tls: &DoorTls) -> Result<Self, CertificateError> {
        Ok(Self {
            chain: read(&tls.certificate, false)?.to_vec(),
            key: read(&tls.key, true)?,
        })
    }

    fn door(&self, tls: &DoorTls, policy: CryptoPolicy) -> Result<WebDoor, CertificateError> {
        let national = policy == CryptoPolicy::Strict;
        let door = web_door(&self.chain, &self.key, tls.origin.host(), national);
        door.map_err(|source| CertificateError::Refused {
            certificate: tls.certificate.clone(),
            key: tls.key.clone(),
            source,
        })
    }
}

fn read(path: &Path, secret: bool) -> Result<Zeroizing<Vec<u8>>, CertificateError> {
    let failed = |source| CertificateError::Read {
        path: path.to_owned(),
        source,
    };
    let file = File::open(path).map_err(failed)?;
    let metadata = file.metadata().map_err(failed)?;
    let mode = metadata.permissions().mode() & 0o777;
    if secret && mode & 0o077 != 0 {
        let path = path.to_owned();
        return Err(CertificateError::Open { path, mode });
    }
    let mut bytes = Zeroizing::new(Vec::new());
    let mut file = file.take(FILE_BYTES_MAX + 1);
    file.read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        let path = path.to_owned();
        return Err(CertificateError::Large { path });
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use std::fs::{Permissions, set_permissions, write};

    use guitai_crypto::web;

    use super::*;

    /// Writes a new certificate for `host`.
    fn renew(tls: &DoorTls, host: &str) {
        let made = web::make(&[host.to_owned()], 1_790_000_000).unwrap();
        let (chain, key) = made.to_pem();
        write(&tls.certificate, chain).unwrap();
        write(&tls.key, key.as_bytes()).unwrap();
        set_permissions(&tls.key, Permissions::from_mode(0o600)).unwrap();
    }

    fn place(dir: &Path) -> DoorTls {
        DoorTls {
            origin: "https://vtm.bank.example".parse().unwrap(),
            certificate: dir.join("door.pem"),
            key: dir.join("door.key.pem"),
        }
    }

    fn open(tls: &DoorTls) -> Result<Certificate, CertificateError> {
        Certificate::open(tls, CryptoPolicy::Mixed)
    }

    #[test]
    fn a_new_certificate_is_served_and_a_bad_one_leaves_the_old() {
        let dir = tempfile::tempdir().unwrap();
        let tls = place(dir.path());
        renew(&tls, "vtm.bank.example");
        let mut certificate = open(&tls).unwrap();
        let (source, shown) = (certificate.source(), certificate.shown());
        let first = source.borrow().clone();
        certificate.look();
        assert!(Arc::ptr_eq(&first, &source.borrow()), "nothing has changed");
        renew(&tls, "desk.bank.example");
        certificate.look();
        assert!(Arc::ptr_eq(&first, &source.borrow()), "of another name");
        std::fs::remove_file(&tls.key).unwrap();
        certificate.look();
        assert!(Arc::ptr_eq(&first, &source.borrow()), "half-way");
        let before = shown.borrow().sha256;
        renew(&tls, "vtm.bank.example");
        certificate.look();
        assert!(!Arc::ptr_eq(&first, &source.borrow()));
        assert_ne!(before, shown.borrow().sha256);
    }

    #[test]
    fn what_is_wrong_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let tls = place(dir.path());
        let said = |tls: &DoorTls| chain(&open(tls).err().unwrap());
        assert!(said(&tls).contains("door.pem"), "{}", said(&tls));
        renew(&tls, "desk.bank.example");
        assert!(
            said(&tls).contains("it is not for vtm.bank.example"),
            "{}",
            said(&tls)
        );
        renew(&tls, "vtm.bank.example");
        set_permissions(&tls.key, Permissions::from_mode(0o640)).unwrap();
        assert!(said(&tls).contains("mode 640"), "{}", said(&tls));
        std::fs::remove_file(&tls.key).unwrap();
        assert!(said(&tls).contains("door.key.pem"), "{}", said(&tls));
        write(&tls.certificate, vec![b'x'; 100_000]).unwrap();
        assert!(said(&tls).contains("larger than"), "{}", said(&tls));
    }
}
