//! What browsers call a door that has TLS of its own.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// Longest origin in bytes: a DNS name of 253 and a port.
pub const ORIGIN_BYTES_MAX: usize = 270;
/// The port that browsers leave out of an address.
const HTTPS_PORT: u16 = 443;
const SCHEME: &str = "https://";

/// `https://<host>[:<port>]` and nothing more, as a browser writes it: port 443 is left out.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Origin {
    /// A DNS name in lower case, an IPv4 address, or an IPv6 address in brackets.
    host: String,
    port: u16,
}

/// Not what a browser would write into the header `Origin`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0} is not an origin: https://, a host in lower case, and a port if it is not 443; at most {ORIGIN_BYTES_MAX} bytes"
)]
pub struct OriginError(String);

impl Origin {
    /// The host without brackets: what the certificate is for.
    #[must_use]
    pub fn host(&self) -> &str {
        self.host
            .strip_prefix('[')
            .and_then(|host| host.strip_suffix(']'))
            .unwrap_or(&self.host)
    }

    /// The port.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// `wss://…` of the same host and port.
    #[must_use]
    pub fn websocket(&self) -> String {
        format!("wss://{}", self.authority())
    }

    fn authority(&self) -> String {
        match self.port {
            HTTPS_PORT => self.host.clone(),
            port => format!("{}:{port}", self.host),
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{SCHEME}{}", self.authority())
    }
}

impl FromStr for Origin {
    type Err = OriginError;

    fn from_str(text: &str) -> Result<Self, OriginError> {
        parse(text).ok_or_else(|| OriginError(text.chars().take(ORIGIN_BYTES_MAX).collect()))
    }
}

impl TryFrom<String> for Origin {
    type Error = OriginError;

    fn try_from(text: String) -> Result<Self, OriginError> {
        text.parse()
    }
}

impl From<Origin> for String {
    fn from(origin: Origin) -> Self {
        origin.to_string()
    }
}

fn parse(text: &str) -> Option<Origin> {
    let authority = text.strip_prefix(SCHEME)?;
    if text.len() > ORIGIN_BYTES_MAX {
        return None;
    }
    let (host, port) = match authority.strip_prefix('[') {
        Some(rest) => {
            let (host, port) = rest.split_once(']')?;
            let host: std::net::Ipv6Addr = host.parse().ok()?;
            let port = match port {
                "" => None,
                port => Some(port.strip_prefix(':')?),
            };
            (format!("[{host}]"), port)
        }
        None => {
            let (host, port) = authority
                .split_once(':')
                .map_or((authority, None), |(host, port)| (host, Some(port)));
            let label = |it: &str| {
                let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
                !it.is_empty() && it.bytes().all(plain)
            };
            if !host.split('.').all(label) {
                return None;
            }
            (host.to_owned(), port)
        }
    };
    let port = match port {
        None => HTTPS_PORT,
        // `+1` parses as a number and is none here.
        Some(port) if port.bytes().all(|b| b.is_ascii_digit()) => port.parse().ok()?,
        Some(_) => return None,
    };
    (port != 0).then_some(Origin { host, port })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_written_as_browsers_write_it() {
        for (text, written, wss, host) in [
            (
                "https://vtm.bank.example",
                "https://vtm.bank.example",
                "wss://vtm.bank.example",
                "vtm.bank.example",
            ),
            (
                "https://vtm.bank.example:443",
                "https://vtm.bank.example",
                "wss://vtm.bank.example",
                "vtm.bank.example",
            ),
            (
                "https://127.1.1.1:4443",
                "https://127.1.1.1:4443",
                "wss://127.1.1.1:4443",
                "127.1.1.1",
            ),
            (
                "https://[fd00::1]:8443",
                "https://[fd00::1]:8443",
                "wss://[fd00::1]:8443",
                "fd00::1",
            ),
        ] {
            let origin: Origin = text.parse().unwrap();
            assert_eq!(origin.to_string(), written);
            assert_eq!(origin.websocket(), wss);
            assert_eq!(origin.host(), host);
        }
    }

    #[test]
    fn more_or_less_than_an_origin_is_none() {
        let long = format!("https://{}", "a".repeat(ORIGIN_BYTES_MAX));
        for text in [
            "http://vtm.bank.example",
            "https://",
            "https://vtm.bank.example/",
            "https://user@vtm.bank.example",
            "https://vtm.bank.example:0",
            "https://vtm.bank.example:65536",
            "https://vtm.bank.example:+1",
            "https://vtm.bank.example:",
            "https://Vtm.bank.example",
            "https://vtm..example",
            "https://[fd00::1",
            "https://[x]",
            "https://[fd00::1]8443",
            &long,
        ] {
            assert!(text.parse::<Origin>().is_err(), "{text}");
        }
    }
}
