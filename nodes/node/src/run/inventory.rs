//! What this node's cryptography is, read from what it is really assembled of.

use std::{net::SocketAddr, sync::Arc};

use guitai_api::InventorySource;
use guitai_crypto::{
    keys::KeyStore,
    selftest::Check,
    sm3, sm4,
    tls::{self, WebDoor},
    x509::{self, Identity},
};
use guitai_net::Door;
use guitai_types::{
    Member, Role, UnixMillis, Zone,
    inventory::{CertificateRow, Grade, Hop, Kernel, NodeInventory, Store},
    place::Text,
    sink::Sink,
};

use tokio::sync::watch;

use crate::config::Files;

/// What the inventory is made from.
pub(crate) struct Subject {
    pub(crate) member: Member,
    pub(crate) files: Files,
    pub(crate) own: Identity,
    pub(crate) seal: Option<watch::Receiver<Identity>>,
    pub(crate) tsa: Option<watch::Receiver<Identity>>,
    pub(crate) keys: KeyStore,
    /// Log, snapshots and view are sealed.
    pub(crate) metadata_sealed: bool,
    pub(crate) door: Door,
    /// TLS of its TCP port.
    pub(crate) web: Option<watch::Receiver<WebDoor>>,
    pub(crate) selftest: Vec<Check>,
    /// Where recordings are put besides.
    pub(crate) sink: Option<Sink>,
}

/// The answer to "what protects you?", made anew each time it is asked.
pub(crate) fn source(subject: Subject) -> InventorySource {
    Arc::new(move || subject.inventory())
}

/// GB/T 39786-2021, level 3: the requirement that each kind of hop or store answers.
mod clause {
    pub(super) const NETWORK: &str = "GB/T 39786 8.2 a–c";
    pub(super) const STORED: &str = "GB/T 39786 8.4 d, f";
    pub(super) const IN_TRANSIT: &str = "GB/T 39786 8.4 c, e";
    pub(super) const KEYS: &str = "GB/T 39786 8.8";
    pub(super) const USERS: &str = "GB/T 39786 8.4 a";
}

const SM4_BITS: u32 = 128;
/// What the certificate of a door's TCP port is for.
const DOOR_TLS: &str = "door-tls";

impl Subject {
    fn inventory(&self) -> NodeInventory {
        let passed = self.selftest.iter().filter(|check| check.passed).count();
        let count = |count| u32::try_from(count).unwrap_or(u32::MAX);
        NodeInventory {
            node: self.member.name.clone(),
            zone: self.member.zone,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            module: text(
                "guitai-crypto 软件密码模块(未经商用密码产品认证)",
                "guitai-crypto, a software module (no product certificate)",
            ),
            kernels: kernels(),
            selftest: (count(passed), count(self.selftest.len())),
            certificates: self.certificates(),
            hops: self.hops(),
            stores: self.stores(),
        }
    }

    fn certificates(&self) -> Vec<CertificateRow> {
        let leaf = |signer: &Option<watch::Receiver<Identity>>| {
            let signer = signer.as_ref()?;
            signer.borrow().chain.first().cloned()
        };
        let (seal, tsa) = (leaf(&self.seal), leaf(&self.tsa));
        let mut rows: Vec<_> = [("mesh", self.present()), ("seal", seal), ("tsa", tsa)]
            .into_iter()
            .filter_map(|(purpose, leaf)| sm2_row(purpose, &leaf?))
            .collect();
        let pinned = self.door.certificate_not_after_unix();
        if let (Some(hash), Some(not_after)) = (self.door.certificate_hashes().first(), pinned) {
            rows.push(CertificateRow {
                purpose: "door".to_owned(),
                subject: "guitai door".to_owned(),
                fingerprint: short(hash),
                algorithm: "ECDSA P-256, SHA-256".to_owned(),
                not_after: UnixMillis(not_after.saturating_mul(1000)),
            });
        }
        if let Some(web) = &self.web {
            let web = web.borrow();
            rows.push(CertificateRow {
                purpose: DOOR_TLS.to_owned(),
                subject: web.subject.clone(),
                fingerprint: short(&web.sha256),
                algorithm: web.algorithm.to_owned(),
                not_after: UnixMillis(web.not_after_unix.saturating_mul(1000)),
            });
        }
        rows
    }

    /// The node's certificate as its file has it: it is renewed while the node runs.
    fn present(&self) -> Option<Vec<u8>> {
        let file = std::fs::read_to_string(&self.files.identity).ok();
        let chain = file.and_then(|pem| x509::certificates_from_pem(&pem).ok());
        chain.as_ref().unwrap_or(&self.own.chain).first().cloned()
    }

    fn hops(&self) -> Vec<Hop> {
        let mut hops = Vec::new();
        let Member { zone, mesh, .. } = self.member;
        let mut between = |what, from, protocol: &str| {
            let mut algorithms = tls::offered(&tls::provider());
            algorithms.push("sm2sig_sm3".to_owned());
            hops.push(Hop {
                what,
                from,
                to: zone,
                at: format!("{mesh}/udp"),
                protocol: format!("{protocol} · QUIC"),
                algorithms,
                key_bits: SM4_BITS,
                certificate: "mesh".to_owned(),
                grade: Grade::National,
                clause: clause::NETWORK.to_owned(),
            });
        };
        if self.member.has(Role::Edge) {
            let tunnel = text("控制报文通道", "control messages");
            between(tunnel, Zone::Inner, guitai_net::TUNNEL_ALPN);
        } else {
            let consensus = text("集群共识", "consensus");
            between(consensus, Zone::Inner, guitai_net::RAFT_ALPN);
            let calls = text("节点间调用", "calls between nodes");
            between(calls, Zone::Inner, guitai_net::CALL_ALPN);
        }
        let questions = text("节点状况问询", "questions about the node");
        between(questions, Zone::Inner, guitai_net::NODE_ALPN);
        if self.relays() {
            let media = text("媒体中继", "media between relays");
            between(media, Zone::Inner, "MoQ");
        }
        hops.extend(self.door_hops());
        hops.extend(self.sink_hop());
        if self.relays() {
            hops.push(Hop {
                what: text("媒体帧端到端", "media frames, end to end"),
                from: self.opener(),
                to: zone,
                at: "客户、坐席、录制 / customer, agent, recorder".to_owned(),
                protocol: "SFrame (RFC 9605)".to_owned(),
                algorithms: ["SM4-GCM", "SM4-CTR+HMAC-SM3", "HKDF-HMAC-SM3", "SM2 PKE"]
                    .map(Into::into)
                    .to_vec(),
                key_bits: SM4_BITS,
                certificate: String::new(),
                grade: Grade::National,
                clause: clause::IN_TRANSIT.to_owned(),
            });
        }
        hops
    }

    /// The way to the object store. What goes there is sealed at rest; the names of its objects are not.
    fn sink_hop(&self) -> Option<Hop> {
        let endpoint = self.sink.as_ref()?.endpoint().ok()?;
        let (algorithms, key_bits, grade) = match (endpoint.is_tls, endpoint.is_loopback()) {
            (true, _) => (vec!["AES-GCM", "ChaCha20-Poly1305"], 128, Grade::Foreign),
            (false, true) => (Vec::new(), 0, Grade::Loopback),
            (false, false) => (Vec::new(), 0, Grade::Plain),
        };
        let tls = if endpoint.is_tls {
            "TLS 1.2–1.3"
        } else {
            "HTTP"
        };
        Some(Hop {
            what: text(
                "录制密文入对象存储",
                "ciphertext of recordings to the object store",
            ),
            from: self.member.zone,
            to: Zone::Inner,
            at: format!("{}:{}/tcp", endpoint.host, endpoint.port),
            protocol: format!("S3 · {tls}"),
            algorithms: algorithms.into_iter().map(Into::into).collect(),
            key_bits,
            certificate: String::new(),
            grade,
            clause: clause::NETWORK.to_owned(),
        })
    }

    /// The strict policy has but one kind of TLS, everywhere.
    fn in_tls(&self, plain: Hop, certificate: &str) -> Hop {
        let national = self.door.is_national();
        let (provider, grade) = match national {
            true => (tls::provider(), Grade::National),
            false => (tls::browser_provider(), Grade::Foreign),
        };
        let mut algorithms = tls::offered(&provider);
        algorithms.push(certificate.to_owned());
        Hop {
            protocol: format!("{} · TLS 1.3", plain.protocol),
            algorithms,
            key_bits: SM4_BITS,
            certificate: DOOR_TLS.to_owned(),
            grade,
            ..plain
        }
    }

    fn door_hops(&self) -> Vec<Hop> {
        let Member { zone, door, .. } = self.member;
        let plain = Hop {
            what: text("网页与接口", "pages and API"),
            from: self.opener(),
            to: zone,
            at: format!("{door}/tcp"),
            protocol: "HTTP/1.1, WebSocket".to_owned(),
            algorithms: Vec::new(),
            key_bits: 0,
            certificate: String::new(),
            grade: plain_at(door),
            clause: clause::NETWORK.to_owned(),
        };
        let mut hops = vec![match &self.web {
            None => plain,
            Some(web) => self.in_tls(plain, web.borrow().algorithm),
        }];
        if self.relays() {
            let national = self.door.is_national();
            let (provider, certificate, grade) = match national {
                true => (tls::provider(), "mesh", Grade::National),
                false => (tls::browser_provider(), "door", Grade::Foreign),
            };
            let mut algorithms = tls::offered(&provider);
            if national {
                algorithms.push("sm2sig_sm3".to_owned());
            }
            hops.push(Hop {
                what: text("浏览器媒体", "media of browsers"),
                from: self.opener(),
                to: zone,
                at: format!("{door}/udp"),
                protocol: "MoQ · WebTransport, QUIC".to_owned(),
                algorithms,
                key_bits: SM4_BITS,
                certificate: certificate.to_owned(),
                grade,
                clause: clause::NETWORK.to_owned(),
            });
        }
        hops
    }

    fn stores(&self) -> Vec<Store> {
        let mut stores = self.key_store();
        stores.push(self.key_file(
            text("节点身份私钥", "the node's private key"),
            &self.files.identity_key,
        ));
        if let Some(token) = &self.files.token_secret {
            stores.push(self.key_file(text("票据签名私钥", "key that signs tickets"), token));
        }
        if let Some(log) = &self.files.log {
            stores.push(self.key_file(
                text("透明日志私钥", "key of the transparency log"),
                &log.key,
            ));
            if let Some(witness) = &log.witness {
                stores.push(self.key_file(text("见证私钥", "key of the log's witness"), witness));
            }
        }
        if let Some(seal) = &self.files.seal {
            stores.push(self.key_file(text("证据签章私钥", "key that seals evidence"), &seal.key));
        }
        if let Some(tsa) = &self.files.tsa {
            let what = text("时间戳签名私钥", "key that signs time stamps");
            stores.push(self.key_file(what, &tsa.key));
        }
        if self.files.seal.is_some() {
            stores.push(Store {
                what: text("录音录像", "recordings"),
                path: "data/recordings".to_owned(),
                algorithms: vec!["SM4-GCM".into(), "SM3".into(), "SM2".into()],
                key_bits: SM4_BITS,
                wrapped_by: "录制密钥加密密钥 / recordings' KEK".to_owned(),
                grade: Grade::National,
                clause: clause::STORED.to_owned(),
            });
            if let Some(sink) = &self.sink {
                stores.push(Store {
                    what: text(
                        "对象存储中的录制密文(密钥不在其中)",
                        "ciphertext of recordings in the object store, without keys",
                    ),
                    path: format!("s3://{}/{}", sink.bucket, sink.prefix),
                    algorithms: vec!["SM4-GCM".into(), "SM3".into()],
                    key_bits: SM4_BITS,
                    wrapped_by: "录制密钥加密密钥 / recordings' KEK".to_owned(),
                    grade: Grade::National,
                    clause: clause::STORED.to_owned(),
                });
            }
        }
        if self.files.data.is_some() {
            // Password hashes are part of the metadata, and as safe as it is.
            for (zh, en, path, clause) in [
                ("共识日志", "consensus log", "data/raft-log", clause::STORED),
                ("快照", "snapshots", "data/raft-snapshots", clause::STORED),
                (
                    "元数据视图",
                    "view of the metadata",
                    "data/view",
                    clause::STORED,
                ),
                (
                    "登录口令(Argon2id 散列)",
                    "login passwords (Argon2id hashes)",
                    "data/raft-log, …",
                    clause::USERS,
                ),
            ] {
                stores.push(self.metadata(text(zh, en), path, clause));
            }
        }
        stores
    }

    /// A part of the metadata at rest.
    fn metadata(&self, what: Text, path: &str, clause: &str) -> Store {
        let plain = Store {
            what,
            path: path.to_owned(),
            algorithms: Vec::new(),
            key_bits: 0,
            wrapped_by: String::new(),
            grade: Grade::Plain,
            clause: clause.to_owned(),
        };
        if !self.metadata_sealed {
            return plain;
        }
        Store {
            algorithms: vec!["SM4-GCM".to_owned()],
            key_bits: SM4_BITS,
            wrapped_by: "存储密钥加密密钥 / storage KEK".to_owned(),
            grade: Grade::National,
            ..plain
        }
    }

    /// The root, and the KEKs under it.
    fn key_store(&self) -> Vec<Store> {
        let root = self.keys.device();
        let in_file = root.backend == "file";
        let mut algorithms = vec![root.algorithm.to_owned()];
        algorithms.extend(in_file.then(|| "Argon2id".to_owned()));
        let grade = if root.national {
            Grade::National
        } else {
            Grade::Foreign
        };
        let store = |what, path: String, wrapped_by: &str| Store {
            what,
            path,
            algorithms: algorithms.clone(),
            key_bits: if root.national { SM4_BITS } else { 256 },
            wrapped_by: wrapped_by.to_owned(),
            grade,
            clause: clause::KEYS.to_owned(),
        };
        let (location, by) = if in_file {
            (format!("keys/{}", root.location), "口令 / passphrase")
        } else {
            (root.location.clone(), "密码设备 / device")
        };
        let mut keks = store(
            text("密钥加密密钥", "key-encryption keys"),
            "keys/ring".to_owned(),
            "根密钥 / root key",
        );
        keks.algorithms.truncate(1);
        vec![store(text("根密钥", "root key"), location, by), keks]
    }

    /// A private key in a file of its own; a plain one was wrapped when the node read it.
    fn key_file(&self, what: Text, path: &std::path::Path) -> Store {
        let name = path.file_name().unwrap_or_default();
        Store {
            what,
            path: name.to_string_lossy().into_owned(),
            algorithms: vec!["SM4-GCM".to_owned()],
            key_bits: SM4_BITS,
            wrapped_by: "身份密钥加密密钥 / identity KEK".to_owned(),
            grade: Grade::National,
            clause: clause::KEYS.to_owned(),
        }
    }

    fn relays(&self) -> bool {
        self.member.has(Role::Edge) || self.member.has(Role::Relay)
    }

    /// Who comes to this node's door.
    fn opener(&self) -> Zone {
        if self.member.has(Role::Edge) {
            Zone::Outer
        } else {
            Zone::Inner
        }
    }
}

fn kernels() -> Vec<Kernel> {
    let kernel = |algorithm: &str, path: &str| Kernel {
        algorithm: algorithm.to_owned(),
        path: path.to_owned(),
    };
    vec![
        kernel("SM4, SM4-GCM", sm4::backend()),
        kernel("SM3, HMAC-SM3", sm3::path()),
        kernel("SM2", "portable"),
    ]
}

fn sm2_row(purpose: &str, der: &[u8]) -> Option<CertificateRow> {
    // The node's own certificate: it was verified when the mesh was bound.
    let leaf = x509::dangerous_read_unverified(der).ok()?;
    Some(CertificateRow {
        purpose: purpose.to_owned(),
        subject: leaf.common_name,
        fingerprint: short(&sm3::hash(der)),
        algorithm: "SM2, SM2-with-SM3".to_owned(),
        not_after: UnixMillis(leaf.not_after.saturating_mul(1000)),
    })
}

/// Without TLS of its own a door is as private as the wire it hangs on.
const fn plain_at(addr: SocketAddr) -> Grade {
    if addr.ip().is_loopback() {
        Grade::Loopback
    } else {
        Grade::Plain
    }
}

fn short(hash: &[u8; 32]) -> String {
    hash.iter()
        .take(8)
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

fn text(zh: &str, en: &str) -> Text {
    Text {
        zh: zh.to_owned(),
        en: en.to_owned(),
    }
}
