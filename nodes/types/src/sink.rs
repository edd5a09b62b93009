//! Where recordings are put besides the recorders' disks: an S3-compatible object store, with object lock.
//!
//! Secrets are in none of these: the file that holds them is named, and read by the node alone.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// Longest bucket name in bytes, and shortest (S3's own rule).
const BUCKET_BYTES: std::ops::RangeInclusive<usize> = 3..=63;
/// Longest prefix in bytes: with session, node and file it stays far below S3's 1,024 for a key.
pub const SINK_PREFIX_BYTES_MAX: usize = 200;
/// Longest region in bytes.
const REGION_BYTES_MAX: usize = 64;
/// Longest host name in bytes (RFC 1035, 2.3.4).
const HOST_BYTES_MAX: usize = 253;

/// An object store for copies of sealed recordings, as they are at rest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sink {
    /// `https://host[:port]`, or `http://…` to a loopback address or with [`Self::allow_http`]. Without the bucket.
    pub endpoint: String,
    /// The bucket; it must be there.
    pub bucket: String,
    /// What requests are signed for; `us-east-1` where the store has none.
    #[serde(default = "region")]
    pub region: String,
    /// What every key begins with; none by default.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub prefix: String,
    /// Whether the bucket is the first segment of the path; otherwise it is the first label of the host.
    #[serde(default = "yes")]
    pub path_style: bool,
    /// PEM file with the authorities that may vouch for the store; nobody else is believed. Wanted for https.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<PathBuf>,
    /// File of mode 600 or 400 with `access_key_id = "…"` and `secret_access_key = "…"`. It is read again while the
    /// node runs, so that keys can be changed.
    pub credentials_file: PathBuf,
    /// What object lock is asked for; there is no default, because the choice cannot be taken back.
    pub lock: LockMode,
    /// Plain http to another machine is wanted: the bank's own network protects it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub allow_http: bool,
}

/// Object lock of S3.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LockMode {
    /// Nobody can take an object away before its date, not even the bucket's owner.
    Compliance,
    /// Whoever has a right of its own for it can.
    Governance,
    /// None: whoever may write may delete.
    None,
}

/// Where an endpoint is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// Https.
    pub is_tls: bool,
    /// Name or address; an IPv6 address in brackets.
    pub host: String,
    /// Port; 443 or 80 where none is written.
    pub port: u16,
}

/// Why a sink cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("sink.{key}: {why}")]
pub struct SinkError {
    /// The key of the profile.
    pub key: &'static str,
    /// What is wrong with its value.
    pub why: &'static str,
}

impl Sink {
    /// Checks what the values show by themselves; no file is read.
    ///
    /// # Errors
    /// The first key with a bad value.
    pub fn check(&self) -> Result<(), SinkError> {
        let bad = |key, why| Err(SinkError { key, why });
        let endpoint = self.endpoint()?;
        if !endpoint.is_tls && !self.allow_http && !endpoint.is_loopback() {
            return bad(
                "endpoint",
                "plain http to another machine needs allow_http = true",
            );
        }
        if endpoint.is_tls && self.ca_file.is_none() {
            return bad(
                "ca_file",
                "https needs the authorities that may vouch for it",
            );
        }
        if !endpoint.is_tls && self.ca_file.is_some() {
            return bad("ca_file", "plain http has no certificate to vouch for");
        }
        let plain = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit();
        let edges = [self.bucket.bytes().next(), self.bucket.bytes().last()];
        let is_bucket = BUCKET_BYTES.contains(&self.bucket.len())
            && self.bucket.bytes().all(|c| plain(c) || b".-".contains(&c))
            && edges.iter().flatten().all(|c| plain(*c));
        if !is_bucket {
            return bad("bucket", "3 to 63 of a-z, 0-9, . and -, not at its ends");
        }
        let is_region = (1..=REGION_BYTES_MAX).contains(&self.region.len())
            && self
                .region
                .bytes()
                .all(|c| c.is_ascii_alphanumeric() || c == b'-');
        if !is_region {
            return bad("region", "1 to 64 letters, digits and -");
        }
        let segment = |it: &str| {
            let plain = |c: u8| c.is_ascii_alphanumeric() || b"._-".contains(&c);
            !it.is_empty() && it != "." && it != ".." && it.bytes().all(plain)
        };
        let is_prefix = self.prefix.is_empty()
            || self.prefix.len() <= SINK_PREFIX_BYTES_MAX && self.prefix.split('/').all(segment);
        if !is_prefix {
            return bad(
                "prefix",
                "at most 200 of letters, digits, . _ - and / between them",
            );
        }
        if self.credentials_file.as_os_str().is_empty() {
            return bad("credentials_file", "a file must be named");
        }
        Ok(())
    }

    /// Where it is.
    ///
    /// # Errors
    /// The endpoint is not of the form `https://host[:port]`.
    pub fn endpoint(&self) -> Result<Endpoint, SinkError> {
        let wrong = SinkError {
            key: "endpoint",
            why: "written https://host[:port], without bucket, path or password",
        };
        let (is_tls, rest) = match self.endpoint.split_once("://") {
            Some(("https", rest)) => (true, rest),
            Some(("http", rest)) => (false, rest),
            _ => return Err(wrong),
        };
        // The colons of an IPv6 address stand in its brackets.
        let after_host = rest.rfind(']').map_or(0, |at| at + 1);
        let (host, port) = match rest.get(after_host..).and_then(|it| it.rfind(':')) {
            Some(at) => {
                let at = after_host + at;
                let port = rest.get(at + 1..).unwrap_or_default();
                let is_number = !port.is_empty() && port.bytes().all(|c| c.is_ascii_digit());
                let port = port.parse::<u16>().ok().filter(|it| is_number && *it > 0);
                (rest.get(..at).unwrap_or_default(), port.ok_or(wrong)?)
            }
            None => (rest, if is_tls { 443 } else { 80 }),
        };
        let bare = host.strip_prefix('[').and_then(|it| it.strip_suffix(']'));
        let is_host = match bare {
            Some(v6) => v6.parse::<std::net::Ipv6Addr>().is_ok(),
            None => {
                let plain = |c: u8| c.is_ascii_alphanumeric() || b".-".contains(&c);
                !host.is_empty() && host.len() <= HOST_BYTES_MAX && host.bytes().all(plain)
            }
        };
        if !is_host {
            return Err(wrong);
        }
        Ok(Endpoint {
            is_tls,
            host: host.to_owned(),
            port,
        })
    }
}

impl Endpoint {
    /// Whether what is sent there stays on this machine.
    pub fn is_loopback(&self) -> bool {
        let bare = self.host.trim_start_matches('[').trim_end_matches(']');
        let address = bare.parse::<std::net::IpAddr>();
        self.host == "localhost" || address.is_ok_and(|it| it.is_loopback())
    }
}

fn region() -> String {
    "us-east-1".to_owned()
}

const fn yes() -> bool {
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sink() -> Sink {
        Sink {
            endpoint: "https://s3.bank.example:9000".to_owned(),
            bucket: "guitai-recordings".to_owned(),
            region: region(),
            prefix: "centre-a/1".to_owned(),
            path_style: true,
            ca_file: Some("ca.pem".into()),
            credentials_file: "credentials.toml".into(),
            lock: LockMode::Compliance,
            allow_http: false,
        }
    }

    #[test]
    fn every_bad_value_is_refused_by_its_key() {
        assert_eq!(sink().check(), Ok(()));
        let key = |change: &dyn Fn(&mut Sink)| {
            let mut sink = sink();
            change(&mut sink);
            sink.check().map_err(|error| error.key)
        };
        for endpoint in [
            "s3.bank.example",
            "ftp://s3.bank.example",
            "https://",
            "https://user:secret@s3.bank.example",
            "https://s3.bank.example/bucket",
            "https://s3.bank.example:0",
            "https://s3.bank.example:+80",
            "https://s3.bank.example:70000",
            "https://[::1",
            "https://s3 bank",
        ] {
            let found = key(&|it| it.endpoint = endpoint.to_owned());
            assert_eq!(found, Err("endpoint"), "{endpoint}");
        }
        let http = |endpoint: &'static str, allow| {
            key(&|it| {
                it.endpoint = endpoint.to_owned();
                it.ca_file = None;
                it.allow_http = allow;
            })
        };
        assert_eq!(http("http://10.1.2.3:9000", false), Err("endpoint"));
        assert_eq!(http("http://10.1.2.3:9000", true), Ok(()));
        assert_eq!(http("http://127.0.0.1:9000", false), Ok(()));
        assert_eq!(http("http://[::1]:9000", false), Ok(()));
        assert_eq!(http("http://localhost", false), Ok(()));
        assert_eq!(
            http("http://localhost.bank.example", false),
            Err("endpoint")
        );
        assert_eq!(key(&|it| it.ca_file = None), Err("ca_file"));
        for bucket in ["", "ab", "Bucket", "-bucket", "a_b_c", "bucket/x"] {
            let found = key(&|it| it.bucket = bucket.to_owned());
            assert_eq!(found, Err("bucket"), "{bucket}");
        }
        for prefix in ["/a", "a/", "a//b", "../a", "a b", "a?b"] {
            let found = key(&|it| it.prefix = prefix.to_owned());
            assert_eq!(found, Err("prefix"), "{prefix}");
        }
        assert_eq!(key(&|it| it.region = "a b".to_owned()), Err("region"));
        let none = PathBuf::new();
        let found = key(&|it| it.credentials_file.clone_from(&none));
        assert_eq!(found, Err("credentials_file"));
    }

    #[test]
    fn unknown_keys_and_words_are_refused_and_a_mode_must_be_said() {
        let json = serde_json::to_value(sink()).unwrap();
        let read = |json: serde_json::Value| serde_json::from_value::<Sink>(json);
        assert_eq!(read(json.clone()).unwrap(), sink());
        let mut other = json.clone();
        other["secret_access_key"] = "x".into();
        assert!(
            read(other)
                .unwrap_err()
                .to_string()
                .contains("secret_access_key")
        );
        let mut other = json.clone();
        other["lock"] = "worm".into();
        assert!(read(other).unwrap_err().to_string().contains("worm"));
        let mut other = json;
        other.as_object_mut().unwrap().remove("lock");
        assert!(read(other).unwrap_err().to_string().contains("lock"));
    }
}
