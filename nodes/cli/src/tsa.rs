//! `guitai tsa …`: a time stamp by the authority of a node's directory, and checking one offline
//! (RFC 3161; the form is that of `docs/reference/evidence-package.md`).
//!
//! Recorders ask the authority over the mesh; these commands are for whoever wants to see what it signs.

use std::{
    io::{self, Read as _, Write as _},
    path::{Path, PathBuf},
};

use clap::{Args, Subcommand};
use guitai_crypto::{
    keys::{KeyFile, KeyStore, Unlock},
    random, sm3,
    tsp::{self, Request, Stamp, StampError},
    x509::{self, Identity},
};
use guitai_host::{Clock as _, SystemClock};
use guitai_types::{Code, Hex, Problem};
use serde_json::json;

use crate::{
    Done, Language, Output,
    failure::{Failure, NOT_VERIFIED, chain},
    keys::{KEYS_DIR, PASSPHRASE_FILE},
    show,
};

/// What the authority's files in a node's directory begin with, and what its key is called.
const STEM: &str = "tsa";
/// Largest certificate file that is read: a chain in PEM, and room.
const CERTIFICATES_BYTES_MAX: u64 = 256 * 1024;

/// `tsa …`
#[derive(Debug, Subcommand)]
pub enum Tsa {
    /// 以节点目录中的时间戳证书对文件签发时间戳 / Stamp a file by the authority of a node's directory
    Stamp(Make),
    /// 离线校验文件的时间戳 / Check the stamp of a file offline
    Verify(Check),
}

impl Tsa {
    pub(crate) const fn output(&self) -> &Output {
        match self {
            Self::Stamp(it) => &it.output,
            Self::Verify(it) => &it.output,
        }
    }
}

/// Arguments of `tsa stamp`.
#[derive(Debug, Args)]
pub struct Make {
    /// 要加时间戳的文件 / The file to be stamped
    pub file: PathBuf,
    /// 时间戳写入此文件(必须尚不存在)/ File to write the stamp to, which must be new
    #[arg(long)]
    pub out: PathBuf,
    /// 核心节点的目录(含 tsa.pem)/ Directory of a core node (with tsa.pem)
    #[arg(long, value_name = "DIR")]
    pub node: PathBuf,
    /// 根密钥口令文件;默认为节点目录中的 root-passphrase / File with the root key's passphrase; root-passphrase in the node's directory unless given
    #[arg(long, value_name = "FILE")]
    pub passphrase_file: Option<PathBuf>,
    /// How to show it.
    #[command(flatten)]
    pub output: Output,
}

/// Arguments of `tsa verify`.
#[derive(Debug, Args)]
pub struct Check {
    /// 加了时间戳的文件 / The file that was stamped
    pub file: PathBuf,
    /// 时间戳文件 / The stamp
    #[arg(long)]
    pub stamp: PathBuf,
    /// 信任的根证书(PEM)/ Root certificate to trust (PEM)
    #[arg(long)]
    pub root: PathBuf,
    /// How to show it.
    #[command(flatten)]
    pub output: Output,
}

/// Runs one `guitai tsa …` command.
pub(crate) fn run(command: &Tsa, lang: Language) -> Result<Done, Failure> {
    match command {
        Tsa::Stamp(arguments) => make(arguments, lang, SystemClock.wall().0 / 1000),
        Tsa::Verify(arguments) => check(arguments, lang),
    }
}

fn make(arguments: &Make, lang: Language, now_unix: u64) -> Result<Done, Failure> {
    let identity = identity(arguments)?;
    let imprint = digest(&arguments.file)?;
    let asked = Request::new(imprint, random::array()).and_then(|request| request.to_der());
    let asked = asked.map_err(|error| Failure::local("asking for a time stamp", &error))?;
    let answer = tsp::answer(&asked, &identity, Some(now_unix), random::array());
    let (answer, refusal) =
        answer.map_err(|error| Failure::local("making a time stamp", &error))?;
    if let Some(refusal) = refusal {
        return Err(Failure::local("making a time stamp", &refusal));
    }
    // A stamp that nobody would believe is none: the certificate may be for something else.
    let (root, _) = read(&arguments.node.join("root.pem"))?;
    let stamp = believed(&answer, &imprint, &root)?;
    let out = std::fs::File::create_new(&arguments.out);
    let written = out.and_then(|mut file| {
        file.write_all(&answer)?;
        file.sync_all()
    });
    written.map_err(|error| Failure::local(&shown(&arguments.out), &error))?;
    said(&stamp, arguments.output.json, lang)
}

fn check(arguments: &Check, lang: Language) -> Result<Done, Failure> {
    let (root, _) = read(&arguments.root)?;
    let imprint = digest(&arguments.file)?;
    let answer = bounded(&arguments.stamp, tsp::STAMP_BYTES_MAX as u64)?;
    let stamp = believed(&answer, &imprint, &root)?;
    said(&stamp, arguments.output.json, lang)
}

fn believed(
    answer: &[u8],
    imprint: &[u8; sm3::DIGEST_BYTES],
    roots: &[Vec<u8>],
) -> Result<Stamp, Failure> {
    tsp::verify_imprint(answer, imprint, roots).map_err(|error: StampError| Failure {
        exit: NOT_VERIFIED,
        problem: Problem::new(Code::EvidenceBroken, chain(&error)),
        cause: None,
        next: None,
    })
}

fn said(stamp: &Stamp, json: bool, lang: Language) -> Result<Done, Failure> {
    let serial = Hex(stamp.serial.clone()).to_string();
    let (name, cluster) = (&stamp.leaf.common_name, &stamp.leaf.organization);
    let at = stamp.time_unix;
    let text = if json {
        show::json(&json!({
            "authority": name, "cluster": cluster, "time": at, "serial": serial, "policy": tsp::POLICY,
        }))?
    } else {
        match lang {
            Language::Zh => {
                format!("{name}(集群 {cluster})于 {at}(1970 年以来的秒数)所签,序列号 {serial}\n")
            }
            Language::En => format!(
                "by {name} of {cluster} at {at} (seconds since 1970), serial number {serial}\n"
            ),
        }
    };
    Ok(Done { text, exit: 0 })
}

/// The authority of a node's directory.
fn identity(arguments: &Make) -> Result<Identity, Failure> {
    let dir = &arguments.node;
    let (_, pem) = read(&dir.join(format!("{STEM}.pem")))?;
    let passphrase = arguments.passphrase_file.clone();
    let passphrase = passphrase.unwrap_or_else(|| dir.join(PASSPHRASE_FILE));
    let refused = |error: &dyn std::error::Error| Failure::new(Code::KeysRefused, chain(error));
    let keys = KeyStore::open(&dir.join(KEYS_DIR), Unlock::File(passphrase));
    let keys = keys.map_err(|error| refused(&error))?;
    let key = keys.read_key_file(&dir.join(format!("{STEM}.key.pem")), STEM);
    let (KeyFile::Wrapped(key) | KeyFile::Plain(key)) = key.map_err(|error| refused(&error))?;
    let key = std::str::from_utf8(&key).map_err(|error| refused(&error))?;
    Identity::from_pem(&pem, key).map_err(|error| refused(&error))
}

/// The certificates of a file, and its text.
fn read(path: &Path) -> Result<(Vec<Vec<u8>>, String), Failure> {
    let text = bounded(path, CERTIFICATES_BYTES_MAX)?;
    let text = String::from_utf8(text).map_err(|error| Failure::local(&shown(path), &error))?;
    let certificates = x509::certificates_from_pem(&text);
    let certificates = certificates.map_err(|error| Failure::local(&shown(path), &error))?;
    Ok((certificates, text))
}

/// A file of at most so many bytes.
fn bounded(path: &Path, max: u64) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    let read =
        std::fs::File::open(path).and_then(|file| file.take(max + 1).read_to_end(&mut bytes));
    read.map_err(|error| Failure::local(&shown(path), &error))?;
    if bytes.len() as u64 > max {
        let detail = format!("{}: more than {max} bytes", shown(path));
        return Err(Failure::new(Code::TooLarge, detail));
    }
    Ok(bytes)
}

/// SM3 of a file of any length.
fn digest(path: &Path) -> Result<[u8; sm3::DIGEST_BYTES], Failure> {
    let mut hasher = sm3::Hasher::new();
    let mut buffer = vec![0; 64 * 1024];
    let read = std::fs::File::open(path).and_then(|mut file| {
        loop {
            match file.read(&mut buffer) {
                Ok(0) => return Ok(()),
                Ok(count) => hasher.update(buffer.get(..count).unwrap_or_default()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    });
    read.map_err(|error| Failure::local(&shown(path), &error))?;
    Ok(hasher.finish())
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use guitai_crypto::{
        keys::Zone,
        sm2::SecretKey,
        x509::{Authority, Subject, Usage},
    };

    use super::*;
    use crate::keys::{Seat, found};

    type Outcome = Result<(), Box<dyn std::error::Error>>;

    fn output() -> Output {
        Output {
            json: true,
            lang: None,
        }
    }

    /// A node's directory whose certificate is for `usage`.
    fn node(data: &Path, usage: Usage, now: u64) -> Result<PathBuf, Box<dyn std::error::Error>> {
        let dir = data.join("a1-1");
        std::fs::create_dir(&dir)?;
        let root = Authority::create("root", "demo", 30, now)?;
        let key = SecretKey::generate();
        let subject = Subject {
            common_name: "a1-1".to_owned(),
            organization: "demo".to_owned(),
            dns_names: vec![],
        };
        let leaf = root.issue(&subject, &key.public(), usage, 30, now)?;
        let pem = |der: &[u8]| x509::certificates_to_pem(&[der.to_vec()]);
        std::fs::write(dir.join("root.pem"), pem(root.certificate_der()))?;
        std::fs::write(dir.join("tsa.pem"), pem(&leaf))?;
        let seat = Seat {
            name: "a1-1".to_owned(),
            zone: Zone::Inner,
        };
        let keys = found(data, &[seat], now)?.remove(0);
        keys.write_key_file(
            &dir.join("tsa.key.pem"),
            STEM,
            key.to_pkcs8_pem().as_bytes(),
        )?;
        Ok(dir)
    }

    #[test]
    fn what_is_stamped_verifies_and_openssl_can_print_it() -> Outcome {
        let dir = tempfile::tempdir()?;
        let now = 1_795_000_000;
        let home = node(dir.path(), Usage::TimeStamping, now)?;
        let file = dir.path().join("contract.pdf");
        std::fs::write(&file, "signed")?;
        let asked = Make {
            file: file.clone(),
            out: dir.path().join("contract.tsr"),
            node: home.clone(),
            passphrase_file: None,
            output: output(),
        };
        let made = make(&asked, Language::En, now)?;
        assert!(
            made.text.contains("\"authority\": \"a1-1\""),
            "{}",
            made.text
        );
        assert!(
            make(&asked, Language::En, now).is_err(),
            "the file is there"
        );
        let mut checked = Check {
            file,
            stamp: asked.out.clone(),
            root: home.join("root.pem"),
            output: output(),
        };
        assert_eq!(check(&checked, Language::En)?.text, made.text);
        checked.file = home.join("root.pem");
        let other = check(&checked, Language::En).map(|done| done.exit);
        assert_eq!(other.map_err(|failure| failure.exit), Err(NOT_VERIFIED));

        let printed = Command::new("openssl")
            .args(["ts", "-reply", "-text", "-in"])
            .arg(&asked.out)
            .output();
        let Ok(printed) = printed else {
            eprintln!("SKIPPED: there is no openssl to print the stamp");
            return Ok(());
        };
        let text = String::from_utf8_lossy(&printed.stdout);
        let reason = String::from_utf8_lossy(&printed.stderr);
        for line in [
            "Status: Granted.",
            "Policy OID: 2.25.1752934407",
            "Hash Algorithm: sm3",
            "Accuracy: 0x01 seconds",
            "Ordering: no",
        ] {
            assert!(text.contains(line), "{line}: {text}{reason}");
        }
        Ok(())
    }

    #[test]
    fn a_certificate_for_something_else_stamps_nothing() -> Outcome {
        let dir = tempfile::tempdir()?;
        let home = node(dir.path(), Usage::Documents, 1_795_000_000)?;
        let asked = Make {
            file: home.join("root.pem"),
            out: dir.path().join("root.tsr"),
            node: home.clone(),
            passphrase_file: None,
            output: output(),
        };
        let made = make(&asked, Language::En, 1_795_000_000).map(|done| done.exit);
        assert_eq!(made.map_err(|failure| failure.exit), Err(NOT_VERIFIED));
        assert!(!asked.out.exists(), "nothing is left behind");
        Ok(())
    }
}
