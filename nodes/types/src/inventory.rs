//! The cryptographic inventory: every hop and every store of a running cluster, with what protects it.
//!
//! An evaluator asks of each of them which algorithm, which key, which certificate, which module
//! (GB/T 39786-2021, clause 8; GM/T 0115). Each node answers for itself; [`findings`] judges the
//! answers of all by the deployment's policy.

use serde::{Deserialize, Serialize};

use crate::{NodeName, UnixMillis, Zone, place::Text};

/// Most rows one node may answer with; a node has a dozen hops and a dozen stores.
pub const ROWS_MAX: usize = 256;

/// What a deployment demands of its cryptography.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum CryptoPolicy {
    /// National algorithms everywhere; a browser needs national TLS, its own or a gateway's. Plain is
    /// only what never leaves a machine, from such a gateway to the door beside it.
    Strict,
    /// National algorithms between nodes, at rest and end to end; AES in the TLS of the browsers' door.
    #[default]
    Mixed,
}

/// How a hop or a store is protected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Grade {
    /// By national algorithms: SM2, SM3, SM4.
    National,
    /// By other algorithms than the national ones.
    Foreign,
    /// By nothing, but it never leaves the machine (a loopback address).
    Loopback,
    /// By nothing.
    Plain,
}

/// What one node says of its own cryptography.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NodeInventory {
    /// The node.
    pub node: NodeName,
    /// Its zone.
    pub zone: Zone,
    /// Its release.
    pub version: String,
    /// The cryptographic module and its standing.
    pub module: Text,
    /// Which implementation of an algorithm runs on this processor.
    pub kernels: Vec<Kernel>,
    /// Checks of the self-test at its start that passed, and how many there are.
    pub selftest: (u32, u32),
    /// Certificates in use.
    pub certificates: Vec<CertificateRow>,
    /// Ways in and out.
    pub hops: Vec<Hop>,
    /// What it keeps.
    pub stores: Vec<Store>,
}

/// One algorithm's implementation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Kernel {
    /// For example `SM4-GCM`.
    pub algorithm: String,
    /// For example `gfni-avx512`.
    pub path: String,
}

/// A certificate in use.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CertificateRow {
    /// What it is for: `mesh`, `door`, `seal`, `tsa`.
    pub purpose: String,
    /// Subject's common name.
    pub subject: String,
    /// SM3 of the certificate, the first 16 hexadecimal digits.
    pub fingerprint: String,
    /// Key and signature algorithm.
    pub algorithm: String,
    /// End of validity.
    pub not_after: UnixMillis,
}

/// One way that bytes take, as the node that accepts it or opens it sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Hop {
    /// What travels there.
    pub what: Text,
    /// The zone that opens it.
    pub from: Zone,
    /// The zone that accepts it.
    pub to: Zone,
    /// Address or node at the far or listening end.
    pub at: String,
    /// Protocol and transport, for example `guitai-raft/1 · QUIC`.
    pub protocol: String,
    /// Every algorithm that can be negotiated; nothing else can.
    pub algorithms: Vec<String>,
    /// Bits of the symmetric key; 0 where nothing protects.
    pub key_bits: u32,
    /// Which certificate, by its purpose; empty if none.
    pub certificate: String,
    /// How it is protected.
    pub grade: Grade,
    /// The requirement it answers, for example `GB/T 39786-2021 8.2 b`.
    pub clause: String,
}

/// Something kept on a disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Store {
    /// What is kept.
    pub what: Text,
    /// Where, relative to the node's directory.
    pub path: String,
    /// Algorithms for confidentiality and integrity.
    pub algorithms: Vec<String>,
    /// Bits of the symmetric key; 0 where nothing protects.
    pub key_bits: u32,
    /// What wraps its key; empty if nothing does.
    pub wrapped_by: String,
    /// How it is protected.
    pub grade: Grade,
    /// The requirement it answers.
    pub clause: String,
}

/// The inventory of a cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct InventoryView {
    /// What the deployment demands.
    pub policy: CryptoPolicy,
    /// When it was asked.
    pub at: UnixMillis,
    /// What the nodes answered.
    pub nodes: Vec<NodeInventory>,
    /// Nodes that did not answer: nothing is known of them.
    pub silent: Vec<NodeName>,
    /// What the policy does not allow.
    pub findings: Vec<Finding>,
}

/// One thing that the policy does not allow.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Finding {
    /// Which node.
    pub node: NodeName,
    /// What is found.
    pub what: Text,
}

/// Judges what the nodes answered. A node that is silent is a finding: it could hold anything.
#[must_use]
pub fn findings(
    policy: CryptoPolicy,
    nodes: &[NodeInventory],
    silent: &[NodeName],
) -> Vec<Finding> {
    let mut all = Vec::new();
    for node in nodes {
        let mut find = |zh: String, en: String| {
            all.push(Finding {
                node: node.node.clone(),
                what: Text { zh, en },
            });
        };
        for hop in &node.hops {
            // Only what a browser opens at a door may be anything but national.
            let of_door = matches!(hop.certificate.as_str(), "door" | "door-tls");
            let of_browser = hop.from == Zone::Outer || of_door;
            let allowed = allowed(hop.grade)
                || policy == CryptoPolicy::Mixed && of_browser && hop.grade == Grade::Foreign;
            if !allowed {
                let (zh, en) = hop.grade.words();
                find(
                    format!("链路“{}”({}):{zh}", hop.what.zh, hop.at),
                    format!("hop \"{}\" ({}): {en}", hop.what.en, hop.at),
                );
            }
        }
        for store in &node.stores {
            if !allowed(store.grade) {
                let (zh, en) = store.grade.words();
                find(
                    format!("存储“{}”({}):{zh}", store.what.zh, store.path),
                    format!("store \"{}\" ({}): {en}", store.what.en, store.path),
                );
            }
        }
        let (passed, checks) = node.selftest;
        if passed != checks || checks == 0 {
            find(
                format!("自检 {passed}/{checks} 通过"),
                format!("self-test: {passed} of {checks} passed"),
            );
        }
    }
    all.extend(silent.iter().map(|node| Finding {
        node: node.clone(),
        what: Text {
            zh: "节点无应答,情况不明".to_owned(),
            en: "the node does not answer; nothing is known of it".to_owned(),
        },
    }));
    all
}

const fn allowed(grade: Grade) -> bool {
    match grade {
        // What never leaves the machine needs no cipher: there the bank's gateway for national TLS
        // hands pages and API to a door. A door on any other address is plain, under either policy.
        Grade::National | Grade::Loopback => true,
        Grade::Plain | Grade::Foreign => false,
    }
}

impl Grade {
    /// In words, Chinese and English.
    #[must_use]
    pub const fn words(self) -> (&'static str, &'static str) {
        match self {
            Self::National => ("国密", "national"),
            Self::Foreign => ("非国密", "not national"),
            Self::Loopback => ("未加密(仅限本机)", "plain, this machine only"),
            Self::Plain => ("未加密", "plain"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(hops: Vec<Hop>, stores: Vec<Store>, selftest: (u32, u32)) -> NodeInventory {
        NodeInventory {
            node: "a1-1".parse().unwrap(),
            zone: Zone::Inner,
            version: String::new(),
            module: Text::default(),
            kernels: Vec::new(),
            selftest,
            certificates: Vec::new(),
            hops,
            stores,
        }
    }

    fn hop(from: Zone, grade: Grade) -> Hop {
        Hop {
            what: Text::default(),
            from,
            to: Zone::Inner,
            at: String::new(),
            protocol: String::new(),
            algorithms: Vec::new(),
            key_bits: 0,
            certificate: "mesh".to_owned(),
            grade,
            clause: String::new(),
        }
    }

    fn store(grade: Grade) -> Store {
        Store {
            what: Text::default(),
            path: String::new(),
            algorithms: Vec::new(),
            key_bits: 0,
            wrapped_by: String::new(),
            grade,
            clause: String::new(),
        }
    }

    fn count(policy: CryptoPolicy, node: NodeInventory) -> usize {
        findings(policy, &[node], &[]).len()
    }

    #[test]
    fn only_a_browsers_hop_may_be_foreign_and_only_in_mixed() {
        use CryptoPolicy::{Mixed, Strict};
        let grades = [
            Grade::National,
            Grade::Foreign,
            Grade::Loopback,
            Grade::Plain,
        ];
        let of =
            |policy, from| grades.map(|g| count(policy, node(vec![hop(from, g)], vec![], (1, 1))));
        assert_eq!(of(Strict, Zone::Outer), [0, 1, 0, 1]);
        assert_eq!(of(Strict, Zone::Inner), [0, 1, 0, 1]);
        assert_eq!(of(Mixed, Zone::Outer), [0, 0, 0, 1]);
        assert_eq!(of(Mixed, Zone::Inner), [0, 1, 0, 1]);
        let kept = |policy| grades.map(|g| count(policy, node(vec![], vec![store(g)], (1, 1))));
        assert_eq!(kept(Strict), [0, 1, 0, 1]);
        assert_eq!(kept(Mixed), [0, 1, 0, 1]);
    }

    #[test]
    fn silence_and_a_failed_self_test_are_findings() {
        let silent: NodeName = "b-1".parse().unwrap();
        let found = findings(CryptoPolicy::Mixed, &[], std::slice::from_ref(&silent));
        assert_eq!(found[0].node, silent);
        for (selftest, expected) in [((9, 9), 0), ((8, 9), 1), ((0, 0), 1)] {
            let node = node(vec![], vec![], selftest);
            assert_eq!(count(CryptoPolicy::Mixed, node), expected);
        }
    }
}
