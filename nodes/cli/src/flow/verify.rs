//! `flow verify`: the matrix tried from where this command runs. What a row allows must answer, what none allows must
//! not. It needs no login and no node of its own: a packet filter is asked with packets.
//!
//! A TCP listener answers a connection. A QUIC listener answers a version that nobody speaks by naming those it does
//! (RFC 9000, 6): nothing is decrypted and nobody is authenticated, so that the answer says that packets pass, there
//! and back, and not who listens.

use std::{
    collections::BTreeSet,
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket as StdUdp},
    time::Duration,
};

use clap::Args;
use futures::StreamExt as _;
use guitai_crypto::random;
use guitai_flow::{
    End, Transport,
    probe::{Probe, Probes, probes},
};
use serde_json::{Value, json};
use tokio::net::{TcpStream, UdpSocket};

use super::{
    Offline, Place, digest,
    loaded::{self, Compared},
    made,
};
use crate::{
    Done, Language,
    failure::{FINDINGS, Failure},
    show,
    table::Table,
};

/// Packets sent to one QUIC listener before it counts as silent.
const TRIES: u32 = 3;
/// How long one of them is waited for. A TCP connection is given all of them: the kernel sends again after a second.
const TRY_MAX: Duration = Duration::from_millis(700);
/// Probes under way at once.
const AT_ONCE_MAX: usize = 128;
/// A server drops a packet of an unknown version that is shorter (RFC 9000, 5.2.2).
const INITIAL_BYTES: usize = 1_200;
/// A version that is reserved for being unknown (RFC 9000, 15).
const UNKNOWN_VERSION: [u8; 4] = [0x1a, 0x2a, 0x3a, 0x4a];

/// Arguments of `flow verify`.
#[derive(Debug, Args)]
pub struct Verify {
    /// Which host.
    #[command(flatten)]
    pub place: Place,
    /// 另比对本机已加载的 nftables 规则与应有者(需 root、nft 与 unshare)/ Compare the nftables rules that are loaded here with those that there should be (needs root, nft and unshare)
    #[arg(long)]
    pub rules: bool,
    /// On which day, and how to show it.
    #[command(flatten)]
    pub asked: Offline,
}

/// What came of a probe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    /// An answer came back.
    Answered,
    /// Somebody said no: nobody listens, or a filter that says so.
    Refused,
    /// Nothing came back, or this host's own filter held the packet.
    Silent,
}

impl Outcome {
    const fn word(self) -> &'static str {
        match self {
            Self::Answered => "answered",
            Self::Refused => "refused",
            Self::Silent => "silent",
        }
    }

    const fn of(self, lang: Language) -> &'static str {
        match self {
            Self::Answered => lang.pick("有应答", "answers"),
            Self::Refused => lang.pick("被拒绝", "refused"),
            Self::Silent => lang.pick("无应答", "silent"),
        }
    }
}

/// What is wrong with it: a declared flow that is broken, or an open one that nobody declared.
const fn finding(probe: &Probe, outcome: Outcome) -> Option<&'static str> {
    match (probe.rows.is_empty(), outcome) {
        (false, Outcome::Refused | Outcome::Silent) => Some("broken"),
        (true, Outcome::Answered) => Some("open"),
        _ => None,
    }
}

pub(super) async fn verify(arguments: &Verify, lang: Language) -> Result<Done, Failure> {
    let on = arguments.asked.day();
    let (matrix, ends, addresses) = arguments.place.read()?;
    if let Some(end) = ends.iter().find(|end| !matrix.declares(**end)) {
        return Err(Failure::usage(
            format!("the matrix does not declare {end}"),
            "guitai flow show 列出矩阵中的角色",
            "guitai flow show lists the roles of a matrix",
        ));
    }
    let compared = if arguments.rules {
        Some(loaded::compare(&made(&matrix, &ends, &addresses, on)?)?)
    } else {
        None
    };
    let Probes { probes, untried } = probes(&matrix, &ends, &addresses, on);
    let (own, abroad): (Vec<Probe>, Vec<Probe>) =
        probes.into_iter().partition(|probe| is_own(probe.at.ip()));
    let tried = futures::stream::iter(abroad).map(|probe| async {
        let outcome = attempt(&probe).await;
        (probe, outcome)
    });
    let mut tried: Vec<_> = tried.buffer_unordered(AT_ONCE_MAX).collect().await;
    tried.sort_by_key(|(probe, _)| (probe.rows.is_empty(), probe.transport, probe.at));
    let ok = tried
        .iter()
        .all(|(probe, outcome)| finding(probe, *outcome).is_none())
        && compared.as_ref().is_none_or(Compared::is_same);
    let exit = if ok { 0 } else { FINDINGS };
    if !arguments.asked.output.json {
        let mut text = in_words(&ends, &tried, lang);
        if !own.is_empty() {
            let own: BTreeSet<String> = own.iter().map(|it| it.at.to_string()).collect();
            let own = own.into_iter().collect::<Vec<_>>().join(", ");
            text.push_str(&format!("{}: {own}\n", lang.pick("本机", "this host")));
        }
        for row in &untried {
            text.push_str(&format!(
                "{row}: {}\n",
                lang.pick("无单一地址,未测", "no single address, not tried")
            ));
        }
        if let Some(compared) = &compared {
            text.push_str(&compared.in_words(lang));
        }
        return Ok(Done { text, exit });
    }
    let own: Vec<SocketAddr> = own.iter().map(|probe| probe.at).collect();
    let value = json!({
        "from": ends, "on": on, "digest": digest(&matrix)?, "ok": ok,
        "probes": tried.iter().map(|(probe, outcome)| in_json(probe, *outcome)).collect::<Vec<_>>(),
        "own": own, "untried": untried, "rules": compared.map(|it| it.in_json()),
    });
    show::json(&value).map(|text| Done { text, exit })
}

/// Whether an address is this host's: packets to it do not leave it. Where everything is loopback, all of the
/// deployment is, and is tried.
fn is_own(address: IpAddr) -> bool {
    !address.is_loopback() && StdUdp::bind((address, 0)).is_ok()
}

async fn attempt(probe: &Probe) -> Outcome {
    match probe.transport {
        Transport::Tcp => connect(probe.at).await,
        Transport::Udp => negotiate(probe.at).await,
    }
}

async fn connect(at: SocketAddr) -> Outcome {
    match tokio::time::timeout(TRY_MAX * TRIES, TcpStream::connect(at)).await {
        Ok(Ok(_)) => Outcome::Answered,
        Ok(Err(error)) => no(&error),
        Err(_) => Outcome::Silent,
    }
}

async fn negotiate(at: SocketAddr) -> Outcome {
    let any = match at {
        SocketAddr::V4(_) => SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)),
        SocketAddr::V6(_) => SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0)),
    };
    let open = async {
        let socket = UdpSocket::bind(any).await?;
        socket.connect(at).await?;
        Ok::<_, io::Error>(socket)
    };
    let Ok(socket) = open.await else {
        return Outcome::Silent;
    };
    let mut answer = [0; INITIAL_BYTES];
    let mut last = Outcome::Silent;
    for _ in 0..TRIES {
        // This host's own filter says so here; the answer that does not come says it as well.
        drop(socket.send(&unknown_version()).await);
        match tokio::time::timeout(TRY_MAX, socket.recv(&mut answer)).await {
            Ok(Ok(_)) => return Outcome::Answered,
            Ok(Err(error)) => {
                last = no(&error);
                tokio::time::sleep(TRY_MAX).await;
            }
            Err(_) => {}
        }
    }
    last
}

fn no(error: &io::Error) -> Outcome {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => Outcome::Refused,
        _ => Outcome::Silent,
    }
}

/// A long header of a version that nobody speaks: connection ids of eight bytes, and nothing.
fn unknown_version() -> Vec<u8> {
    let (to, from): ([u8; 8], [u8; 8]) = (random::array(), random::array());
    let length = [8]; // of either id
    let mut packet = [&[0xc0][..], &UNKNOWN_VERSION, &length, &to, &length, &from].concat();
    packet.resize(INITIAL_BYTES, 0);
    packet
}

fn in_json(probe: &Probe, outcome: Outcome) -> Value {
    json!({
        "transport": probe.transport, "at": probe.at, "to": probe.to, "rows": probe.rows,
        "outcome": outcome.word(), "finding": finding(probe, outcome),
    })
}

fn in_words(ends: &BTreeSet<End>, tried: &[(Probe, Outcome)], lang: Language) -> String {
    let from: Vec<String> = ends.iter().map(ToString::to_string).collect();
    let mut table = Table::new(match lang {
        Language::Zh => ["", "至", "地址", "结果", "矩阵行"],
        Language::En => ["", "to", "address", "result", "rows"],
    });
    let mut silent = 0;
    for (probe, outcome) in tried {
        let found = finding(probe, *outcome);
        // What nobody declared and nobody answers is as it should be: counted, not listed.
        if probe.rows.is_empty() && found.is_none() {
            silent += 1;
            continue;
        }
        let mark = match found {
            None => "",
            Some("open") => lang.pick("! 未声明", "! undeclared"),
            Some(_) => lang.pick("! 不通", "! broken"),
        };
        let rows: Vec<String> = probe.rows.iter().map(ToString::to_string).collect();
        let to: Vec<String> = probe.to.iter().map(ToString::to_string).collect();
        table.row([
            mark.to_owned(),
            to.join(" "),
            format!("{} {}", probe.transport, probe.at),
            outcome.of(lang).to_owned(),
            if rows.is_empty() {
                "-".to_owned()
            } else {
                rows.join(" ")
            },
        ]);
    }
    let head = from.join(" ");
    let table = table.render();
    match lang {
        Language::Zh => format!("自 {head}\n{table}未声明且无应答:{silent}\n"),
        Language::En => format!("from {head}\n{table}undeclared, and no answer: {silent}\n"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn probe(transport: Transport, at: SocketAddr, is_declared: bool) -> Probe {
        let row = || "edge-media".parse().unwrap();
        Probe {
            transport,
            at,
            to: BTreeSet::new(),
            rows: is_declared.then(row).into_iter().collect(),
        }
    }

    #[tokio::test]
    async fn who_listens_answers_and_who_does_not_is_told() {
        let tcp = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = tcp.local_addr().unwrap();
        assert_eq!(
            attempt(&probe(Transport::Tcp, at, true)).await,
            Outcome::Answered
        );
        drop(tcp);
        assert_eq!(
            attempt(&probe(Transport::Tcp, at, true)).await,
            Outcome::Refused
        );
        let udp = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let at = udp.local_addr().unwrap();
        let mut packet = [0; 2_000];
        let answer = async {
            let (length, from) = udp.recv_from(&mut packet).await.unwrap();
            assert_eq!(length, INITIAL_BYTES);
            udp.send_to(&[0x80, 0, 0, 0, 0], from).await.unwrap();
        };
        let asked = probe(Transport::Udp, at, true);
        let (outcome, ()) = tokio::join!(attempt(&asked), answer);
        assert_eq!(outcome, Outcome::Answered);
        // It hears, and says nothing.
        assert_eq!(attempt(&asked).await, Outcome::Silent);
    }

    #[test]
    fn broken_and_open_are_findings_and_nothing_else() {
        let at = "10.0.0.1:1".parse().unwrap();
        let (declared, none) = (
            probe(Transport::Tcp, at, true),
            probe(Transport::Tcp, at, false),
        );
        assert_eq!(finding(&declared, Outcome::Answered), None);
        assert_eq!(finding(&declared, Outcome::Silent), Some("broken"));
        assert_eq!(finding(&declared, Outcome::Refused), Some("broken"));
        assert_eq!(finding(&none, Outcome::Answered), Some("open"));
        assert_eq!(finding(&none, Outcome::Refused), None);
        let words = in_words(
            &BTreeSet::new(),
            &[(declared, Outcome::Silent), (none, Outcome::Silent)],
            Language::En,
        );
        assert!(
            words.contains("! broken") && words.contains("edge-media"),
            "{words}"
        );
        assert!(words.ends_with("no answer: 1\n"), "{words}");
    }
}
