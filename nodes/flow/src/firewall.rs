//! Rules of a host's firewall (nftables) from the matrix and nothing else: what no row allows is dropped.
//!
//! A packet filter sees addresses, ports and who begins. Rows that share all of these are one rule, which
//! counts for each of them; which of their protocols is spoken, the node itself decides. Several roles stand
//! on one host, so that peers are told apart by address and not by role: no two rules of a chain let the same
//! packet through, and each is needed.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, SocketAddr},
};

use guitai_types::Date;

use crate::{
    addresses::{Addresses, Network, Party},
    matrix::{Matrix, Row},
    names::{End, Port, Transport, Word as _},
};

/// Adds addresses to a set of a kind; gives how rules name it.
type AddSet<'a> = dyn FnMut(String, &str, Vec<String>) -> Option<String> + 'a;

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

/// Where connections go, as a packet filter sees it; who the peer is, its address says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    chain: Chain,
    transport: Transport,
    port: Port,
}

/// Rows of a place, each with its other end.
type Rows<'a> = Vec<(&'a Row, End)>;

/// Peers at the same addresses, IPv4 and IPv6, as nft writes them.
type Group = (BTreeSet<End>, [Vec<String>; 2]);

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
    let (mut holding, mut expired) = (BTreeMap::<Place, Rows<'_>>::new(), Vec::new());
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
                transport: row.transport,
                port: row.port,
            };
            holding.entry(place).or_default().push((row, peer));
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
    let counters: BTreeSet<String> = rows.map(|(row, _)| counter(row)).collect();
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
    fn chain(&mut self, holding: &BTreeMap<Place, Rows<'_>>, chain: Chain) -> String {
        let mut out = String::new();
        for (place, rows) in holding.iter().filter(|(place, _)| place.chain == chain) {
            let mut unmet: BTreeSet<End> = rows.iter().map(|(_, peer)| *peer).collect();
            for (peers, elements) in self.groups(place, rows) {
                let of_peers = rows.iter().filter(|(_, peer)| peers.contains(peer));
                let of_peers: Vec<&Row> = of_peers.map(|(row, _)| *row).collect();
                let rules = self.rules(place, &peers, elements, &of_peers);
                if !rules.is_empty() {
                    unmet.retain(|peer| !peers.contains(peer));
                    out.push_str(&remarks(&of_peers));
                    out.push_str(&rules);
                }
            }
            for peer in unmet {
                let of_peer = rows.iter().filter(|(_, of)| *of == peer);
                out.push_str(&remarks(&of_peer.map(|(row, _)| *row).collect::<Vec<_>>()));
                out.push_str(&format!(
                    "\t\t# {peer}: no addresses, nothing is let through\n"
                ));
            }
        }
        out
    }

    /// The peers of a place by address: who else stands there. More roles first, since a network may lie in
    /// another, and what lies in one is of all the roles around it.
    fn groups(&self, place: &Place, rows: &Rows<'_>) -> Vec<Group> {
        let peers: BTreeSet<End> = rows.iter().map(|(_, peer)| *peer).collect();
        let known = |peer: &End| Some((*peer, self.addresses.party(*peer)?));
        let parties: Vec<(End, &Party)> = peers.iter().filter_map(known).collect();
        let mut groups: BTreeMap<BTreeSet<End>, [Vec<String>; 2]> = BTreeMap::new();
        let mut put = |peers: BTreeSet<End>, is_v6: bool, element: String| {
            let [v4, v6] = groups.entry(peers).or_default();
            if is_v6 { v6 } else { v4 }.push(element);
        };
        match (place.chain, place.port) {
            (Chain::Output, Port::Named(name)) => {
                let all = parties.iter().flat_map(|(_, party)| party.sockets(name));
                for socket in all.collect::<BTreeSet<_>>() {
                    let at = parties.iter();
                    let at = at.filter(|(_, party)| party.sockets(name).contains(socket));
                    let element = format!("{} . {}", socket.ip(), socket.port());
                    put(at.map(|(end, _)| *end).collect(), socket.is_ipv6(), element);
                }
            }
            _ => {
                let around = |network: &Network| -> BTreeSet<End> {
                    let holds =
                        |party: &Party| party.networks.iter().any(|it| it.contains(network));
                    let at = parties.iter().filter(|(_, party)| holds(party));
                    at.map(|(end, _)| *end).collect()
                };
                let all = parties.iter().flat_map(|(_, party)| &party.networks);
                let all: BTreeSet<&Network> = all.collect();
                for network in &all {
                    let ends = around(network);
                    let is_inside = |by: &&&Network| **by != *network && by.contains(network);
                    // A set of nft's takes no network twice.
                    if all.iter().filter(is_inside).any(|by| around(by) == ends) {
                        continue;
                    }
                    put(ends, network.address().is_ipv6(), network.to_string());
                }
            }
        }
        let mut groups: Vec<Group> = groups.into_iter().collect();
        groups.sort_by_key(|(peers, _)| std::cmp::Reverse(peers.len()));
        groups
    }

    /// The rules of one group, of both families.
    fn rules(
        &mut self,
        place: &Place,
        peers: &BTreeSet<End>,
        elements: [Vec<String>; 2],
        rows: &[&Row],
    ) -> String {
        let mut out = String::new();
        let comment = comment(rows);
        for (v6, elements) in [false, true].into_iter().zip(elements) {
            let Some(met) = self.matched(place, peers, elements, v6) else {
                continue;
            };
            if place.chain == Chain::Input {
                let most = rows.iter().map(|row| row.limits.connections_per_second);
                let most: u64 = most.sum();
                out.push_str(&format!(
                    "\t\t{met} limit rate over {most}/second burst {most} packets counter name \"over_limit\" drop comment \"{comment}\"\n"
                ));
            }
            let counters: Vec<String> = rows
                .iter()
                .map(|row| format!("counter name \"{}\"", counter(row)))
                .collect();
            out.push_str(&format!(
                "\t\t{met} {} accept comment \"{comment}\"\n",
                counters.join(" ")
            ));
        }
        out
    }

    /// What a packet that begins such a connection looks like; `None` where one of the two has no address of
    /// that family.
    fn matched(
        &mut self,
        place: &Place,
        peers: &BTreeSet<End>,
        elements: Vec<String>,
        v6: bool,
    ) -> Option<String> {
        let Self { own, sets, .. } = self;
        let (ip, family) = if v6 { ("ip6", "6") } else { ("ip", "4") };
        let of = |address: IpAddr| address.is_ipv6() == v6;
        let kind = format!("ip{}_addr", if v6 { "v6" } else { "v4" });
        let mut set = |name: String, kind: &str, elements: Vec<String>| {
            if elements.is_empty() {
                return None;
            }
            let put = sets.entry(name.clone());
            put.or_insert_with(|| (kind.to_owned(), elements));
            Some(format!("@{name}"))
        };
        let (transport, pair) = (place.transport, format!("{kind} . inet_service"));
        let far = peers.iter().map(|end| end.role.word());
        let far = far.collect::<Vec<_>>().join("-");
        let way = match place.chain {
            Chain::Input => "in",
            Chain::Output => "out",
        };
        let far = format!("{way}-{transport}-{}-{far}-{family}", place.port);
        let hosts = own.hosts.iter().filter(|it| of(it.address()));
        let hosts = hosts.map(ToString::to_string).collect();
        let mine = |set: &mut AddSet<'_>| set(format!("own-{family}"), &kind, hosts);
        let met = match (place.chain, place.port) {
            (Chain::Input, Port::Named(name)) => {
                let all = match name {
                    crate::PortName::Door => &own.doors,
                    crate::PortName::Mesh => &own.meshes,
                };
                let all = all.iter().filter(|it| of(it.ip()));
                let all = all.map(|it| format!("{} . {}", it.ip(), it.port()));
                let theirs = set(far, &kind, elements)?;
                let at = set(format!("own-{name}-{family}"), &pair, all.collect())?;
                format!("{ip} saddr {theirs} {ip} daddr . {transport} dport {at}")
            }
            (Chain::Output, Port::Named(_)) => {
                let at = set(far, &pair, elements)?;
                let mine = mine(&mut set)?;
                format!("{ip} saddr {mine} {ip} daddr . {transport} dport {at}")
            }
            (Chain::Input, Port::Number(port)) => {
                let theirs = set(far, &kind, elements)?;
                let mine = mine(&mut set)?;
                format!("{ip} saddr {theirs} {ip} daddr {mine} {transport} dport {port}")
            }
            (Chain::Output, Port::Number(port)) => {
                let theirs = set(far, &kind, elements)?;
                let mine = mine(&mut set)?;
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

/// What the rows of a rule are for, in both languages.
fn remarks(rows: &[&Row]) -> String {
    let line = |row: &&Row| {
        format!(
            "\n\t\t# {}: {} / {}",
            row.id, row.purpose.zh, row.purpose.en
        )
    };
    let mut out: String = rows.iter().map(line).collect();
    out.push('\n');
    out
}

/// A row's counter. Bare ids would not do: one may be a word of nft's, such as `log`, and nft takes no quotes here.
fn counter(row: &Row) -> String {
    format!("row-{}", row.id)
}

/// Of which rows a rule is, and what they are for in English, without what would end the comment.
fn comment(rows: &[&Row]) -> String {
    let ids: Vec<&str> = rows.iter().map(|row| row.id.as_str()).collect();
    let purposes: Vec<&str> = rows.iter().map(|row| row.purpose.en.as_str()).collect();
    let all = format!("{}: {}", ids.join(" "), purposes.join("; "));
    let all = all.replace('"', "'").replace('\\', "/");
    let end = all.floor_char_boundary(COMMENT_BYTES_MAX);
    all.get(..end).unwrap_or_default().trim_end().to_owned()
}
