//! Rules of a host's firewall (nftables) from the matrix and nothing else: what no row allows is dropped.
//!
//! A packet filter sees addresses, ports and who begins. Rows that share all of these are one rule, which
//! counts for each of them; which of their protocols is spoken, the node itself decides.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, SocketAddr},
};

use guitai_types::Date;

use crate::{
    addresses::{Addresses, Network},
    matrix::{Matrix, Row},
    names::{End, Port, Transport, Word as _},
};

/// Longest comment that nft keeps, in bytes (`NFTNL_UDATA_COMMENT_MAXLEN`).
const COMMENT_BYTES_MAX: usize = 127;

/// Why there are no rules.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FirewallError {
    /// The matrix does not know the role.
    #[error("the matrix does not declare {0}")]
    Undeclared(End),
    /// No role was named.
    #[error("no role was named")]
    Nobody,
    /// Roles of nodes only have a host.
    #[error("{0} is no role of a node")]
    NoNode(End),
    /// Nobody said where the node is.
    #[error("there are no addresses of {0}")]
    NoAddresses(End),
}

/// Which way connections of a rule go, seen from the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Chain {
    /// Opened to it.
    Input,
    /// Opened by it.
    Output,
}

/// What a packet filter can tell apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    chain: Chain,
    peer: End,
    transport: Transport,
    port: Port,
}

/// Rules for the hosts on which these roles stand together, on a day. The same arguments give the same bytes.
///
/// # Errors
/// A role is unknown, or nobody said where its nodes are. A peer without addresses is no error: nothing of it
/// is let through, and the rules say so.
pub fn firewall(
    matrix: &Matrix,
    ends: &BTreeSet<End>,
    addresses: &Addresses,
    on: Date,
) -> Result<String, FirewallError> {
    if ends.is_empty() {
        return Err(FirewallError::Nobody);
    }
    let mut own = Own::default();
    for end in ends {
        if !matrix.declares(*end) {
            return Err(FirewallError::Undeclared(*end));
        }
        if !end.role.is_node() {
            return Err(FirewallError::NoNode(*end));
        }
        let party = addresses.party(*end);
        let party = party.ok_or(FirewallError::NoAddresses(*end))?;
        own.hosts.extend(party.networks.iter().copied());
        own.doors.extend(party.doors.iter().copied());
        own.meshes.extend(party.meshes.iter().copied());
    }
    let (mut holding, mut expired) = (BTreeMap::<Place, Vec<&Row>>::new(), Vec::new());
    for row in matrix.rows() {
        let sides = [
            (row.listener(), row.opener(), Chain::Input),
            (row.opener(), row.listener(), Chain::Output),
        ];
        for (me, peer, chain) in sides {
            if !ends.contains(&me) {
                continue;
            }
            if !row.holds(on) {
                expired.push(row);
                continue;
            }
            let place = Place {
                chain,
                peer,
                transport: row.transport,
                port: row.port,
            };
            holding.entry(place).or_default().push(row);
        }
    }
    let mut writer = Writer {
        own,
        addresses,
        sets: BTreeMap::new(),
    };
    let input = writer.chain(&holding, Chain::Input);
    let output = writer.chain(&holding, Chain::Output);
    let head = head(matrix, ends, &expired, on);
    let rows = holding.values().flatten();
    let counters: BTreeSet<String> = rows.map(|row| counter(row)).collect();
    Ok(head + &writer.table(&counters, &input, &output))
}

#[derive(Default)]
struct Own {
    hosts: BTreeSet<Network>,
    doors: BTreeSet<SocketAddr>,
    meshes: BTreeSet<SocketAddr>,
}

struct Writer<'a> {
    own: Own,
    addresses: &'a Addresses,
    /// Sets by name: their type, and their elements in order.
    sets: BTreeMap<String, (String, Vec<String>)>,
}

impl Writer<'_> {
    /// The rules of one chain.
    fn chain(&mut self, holding: &BTreeMap<Place, Vec<&Row>>, chain: Chain) -> String {
        let mut out = String::new();
        for (place, rows) in holding.iter().filter(|(place, _)| place.chain == chain) {
            for row in rows {
                out.push_str(&format!(
                    "\n\t\t# {}: {} / {}",
                    row.id, row.purpose.zh, row.purpose.en
                ));
            }
            out.push('\n');
            let mut any = false;
            for v6 in [false, true] {
                let Some(met) = self.matched(place, v6) else {
                    continue;
                };
                any = true;
                if chain == Chain::Input {
                    let most = |row: &&Row| row.limits.connections_per_second;
                    let most: u64 = rows.iter().map(most).sum();
                    out.push_str(&format!(
                        "\t\t{met} limit rate over {most}/second burst {most} packets counter name \"over_limit\" drop\n"
                    ));
                }
                let counters: Vec<String> = rows
                    .iter()
                    .map(|row| format!("counter name \"{}\"", counter(row)))
                    .collect();
                let comment = comment(rows);
                out.push_str(&format!(
                    "\t\t{met} {} accept comment \"{comment}\"\n",
                    counters.join(" ")
                ));
            }
            if !any {
                out.push_str(&format!(
                    "\t\t# {}: no addresses, nothing is let through\n",
                    place.peer
                ));
            }
        }
        out
    }

    /// What a packet that begins such a connection looks like; `None` where one of the two has no address of
    /// that family.
    fn matched(&mut self, place: &Place, v6: bool) -> Option<String> {
        let Self {
            own,
            addresses,
            sets,
        } = self;
        let (ip, family) = if v6 { ("ip6", "6") } else { ("ip", "4") };
        let of = |address: IpAddr| address.is_ipv6() == v6;
        let kind = format!("ip{}_addr", if v6 { "v6" } else { "v4" });
        let peer = addresses.party(place.peer)?;
        let mut set = |name: String, kind: &str, elements: Vec<String>| {
            if elements.is_empty() {
                return None;
            }
            let put = sets.entry(name.clone());
            put.or_insert_with(|| (kind.to_owned(), elements));
            Some(format!("@{name}"))
        };
        let networks = |all: &BTreeSet<Network>| {
            let inside = |it: &&Network| !all.iter().any(|by| by != *it && by.contains(it));
            let kept = all.iter().filter(|it| of(it.address())).filter(inside);
            kept.map(ToString::to_string).collect::<Vec<_>>()
        };
        let sockets = |all: &BTreeSet<SocketAddr>| {
            let kept = all.iter().filter(|it| of(it.ip()));
            kept.map(|it| format!("{} . {}", it.ip(), it.port()))
                .collect::<Vec<_>>()
        };
        let (transport, pair) = (place.transport, format!("{kind} . inet_service"));
        let far = format!("{}-{}", place.peer.zone.word(), place.peer.role);
        let theirs = set(format!("{far}-{family}"), &kind, networks(&peer.networks))?;
        let mine = set(format!("own-{family}"), &kind, networks(&own.hosts))?;
        let met = match (place.chain, place.port) {
            (Chain::Input, Port::Named(name)) => {
                let all = match name {
                    crate::PortName::Door => &own.doors,
                    crate::PortName::Mesh => &own.meshes,
                };
                let at = set(format!("own-{name}-{family}"), &pair, sockets(all))?;
                format!("{ip} saddr {theirs} {ip} daddr . {transport} dport {at}")
            }
            (Chain::Output, Port::Named(name)) => {
                let at = sockets(peer.sockets(name));
                let at = set(format!("{far}-{name}-{family}"), &pair, at)?;
                format!("{ip} saddr {mine} {ip} daddr . {transport} dport {at}")
            }
            (Chain::Input, Port::Number(port)) => {
                format!("{ip} saddr {theirs} {ip} daddr {mine} {transport} dport {port}")
            }
            (Chain::Output, Port::Number(port)) => {
                format!("{ip} saddr {mine} {ip} daddr {theirs} {transport} dport {port}")
            }
        };
        Some(format!("{met} ct state new"))
    }

    /// The table: what was there of it before is replaced at once.
    fn table(&self, counters: &BTreeSet<String>, input: &str, output: &str) -> String {
        let mut out = String::new();
        out.push_str(
            "table inet guitai_flow\ndelete table inet guitai_flow\ntable inet guitai_flow {\n",
        );
        let ours = ["not_in_matrix", "over_limit"];
        for name in counters.iter().map(String::as_str).chain(ours) {
            out.push_str(&format!("\tcounter {name} {{\n\t}}\n"));
        }
        for (name, (kind, elements)) in &self.sets {
            let interval = if kind.contains(" . ") {
                ""
            } else {
                "\t\tflags interval\n"
            };
            let elements = elements.join(",\n\t\t\t");
            out.push_str(&format!(
                "\tset {name} {{\n\t\ttype {kind}\n{interval}\t\telements = {{\n\t\t\t{elements}\n\t\t}}\n\t}}\n"
            ));
        }
        let has_v6 = self.sets.keys().any(|name| name.ends_with("-6"));
        let neighbours = if has_v6 {
            "\t\ticmpv6 type { nd-router-advert, nd-neighbor-solicit, nd-neighbor-advert } accept\n"
        } else {
            ""
        };
        for (name, device, rules) in [("input", "iifname", input), ("output", "oifname", output)] {
            let nothing = if name == "output" && rules.is_empty() {
                "\n\t\t# 本机不主动建立任何连接 / this host opens no connection\n"
            } else {
                ""
            };
            out.push_str(&format!(
                "\tchain {name} {{\n\t\ttype filter hook {name} priority filter; policy drop;\n\t\t{device} \"lo\" accept\n\t\tct state established,related accept\n\t\tct state invalid counter name \"not_in_matrix\" drop\n{neighbours}{rules}{nothing}\n\t\tcounter name \"not_in_matrix\" drop\n\t}}\n"
            ));
        }
        out.push_str("\tchain forward {\n\t\ttype filter hook forward priority filter; policy drop;\n\t\tcounter name \"not_in_matrix\" drop\n\t}\n}\n");
        out
    }
}

/// What the rules were made from.
fn head(matrix: &Matrix, ends: &BTreeSet<End>, expired: &[&Row], on: Date) -> String {
    let who: Vec<String> = ends.iter().map(ToString::to_string).collect();
    let digest = matrix.digest().map(|it| it.to_string());
    let mut out = format!(
        "#!/usr/sbin/nft -f\n# 由流转矩阵生成,请勿手工修改 / made from the flow matrix: do not edit\n# {} {} · version {} · SM3 {}\n# {} · {on}\n",
        crate::FORMAT,
        matrix.name(),
        matrix.version(),
        digest.unwrap_or_default(),
        who.join(" "),
    );
    out.push_str("# 矩阵之外一律丢弃,含管理口(SSH)、DNS、NTP / whatever the matrix does not allow is dropped: SSH, DNS and NTP too\n");
    for row in expired {
        out.push_str(&format!(
            "# 已到期 / expired: {} ({})\n",
            row.id, row.expires
        ));
    }
    out
}

/// A row's counter. Bare ids would not do: one may be a word of nft's, such as `log`, and nft takes no quotes here.
fn counter(row: &Row) -> String {
    format!("row-{}", row.id)
}

/// What the rows of a rule are for, in English and without what would end the comment.
fn comment(rows: &[&Row]) -> String {
    let all: Vec<String> = rows
        .iter()
        .map(|row| format!("{}: {}", row.id, row.purpose.en))
        .collect();
    let all = all.join("; ").replace('"', "'").replace('\\', "/");
    let end = all.floor_char_boundary(COMMENT_BYTES_MAX);
    all.get(..end).unwrap_or_default().to_owned()
}
