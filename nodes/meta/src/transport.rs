//! How a message reaches another core node: over the mesh, or in tests within the process.

use std::{fmt, sync::Arc, time::Duration};

use futures::future::BoxFuture;
use guitai_net::{Calls, Mesh, Peer, RAFT_ALPN, Target};
use guitai_types::{Member, NodeName};

use crate::{service::Service, view::chain};

/// What a message is about; each has its own place on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Topic {
    Raft,
    Write,
    Read,
    Status,
    Lease,
    Lineage,
    Log,
}

impl Topic {
    /// Kind of call on `guitai-call/1`; raft has an ALPN of its own.
    const fn kind(self) -> &'static str {
        match self {
            Self::Raft => "meta.raft",
            Self::Write => "meta.write",
            Self::Read => "meta.read",
            Self::Status => "meta.status",
            Self::Lease => "meta.lease",
            Self::Lineage => "meta.lineage",
            Self::Log => "meta.log",
        }
    }
}

/// Why no answer came. Whether the message arrived is not known.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{to}: {why}")]
pub(crate) struct Unanswered {
    pub(crate) to: NodeName,
    pub(crate) why: String,
}

/// Brings a request to a node and its answer back.
pub(crate) trait Transport: Send + Sync + 'static {
    fn ask(
        &self,
        to: &Member,
        topic: Topic,
        request: Vec<u8>,
        within: Duration,
    ) -> BoxFuture<'static, Result<Vec<u8>, Unanswered>>;
}

/// The real one.
pub(crate) struct OverMesh(pub(crate) Mesh);

impl Transport for OverMesh {
    fn ask(
        &self,
        to: &Member,
        topic: Topic,
        request: Vec<u8>,
        within: Duration,
    ) -> BoxFuture<'static, Result<Vec<u8>, Unanswered>> {
        let mesh = self.0.clone();
        let target = Target {
            addr: to.mesh,
            name: to.name.clone(),
            zone: to.zone,
        };
        Box::pin(async move {
            let answer = if topic == Topic::Raft {
                mesh.call_within(&target, RAFT_ALPN, request, within).await
            } else {
                mesh.call_kind_within(&target, topic.kind(), request, within)
                    .await
            };
            answer.map_err(|error| Unanswered {
                to: target.name,
                why: chain(&error),
            })
        })
    }
}

/// Answers what comes over the mesh.
pub(crate) fn serve(mesh: &Mesh, calls: &Calls, service: &Service) {
    let raft = service.clone();
    let answer = move |peer: Peer, request: Vec<u8>| -> BoxFuture<'static, Option<Vec<u8>>> {
        let service = raft.clone();
        Box::pin(async move { service.answer(&peer.name, Topic::Raft, request).await })
    };
    mesh.serve_calls(RAFT_ALPN, Arc::new(answer));
    for topic in [
        Topic::Write,
        Topic::Read,
        Topic::Status,
        Topic::Lease,
        Topic::Lineage,
        Topic::Log,
    ] {
        let service = service.clone();
        let answer = move |peer: Peer, request: Vec<u8>| {
            let service = service.clone();
            let answered: BoxFuture<'static, Result<Vec<u8>, String>> = Box::pin(async move {
                let answer = service.answer(&peer.name, topic, request).await;
                answer.ok_or_else(|| "the request was not understood".to_owned())
            });
            answered
        };
        calls.register(topic.kind(), Arc::new(answer));
    }
}

impl fmt::Debug for OverMesh {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OverMesh")
    }
}

#[cfg(test)]
pub(crate) mod switchboard {
    //! The other one: a cluster within one process, whose lines can be cut.

    use std::{
        collections::{BTreeMap, BTreeSet},
        sync::Mutex,
    };

    use super::*;

    /// Connects the nodes of one test.
    #[derive(Clone, Default)]
    pub(crate) struct Switchboard(Arc<Mutex<Lines>>);

    #[derive(Default)]
    struct Lines {
        services: BTreeMap<NodeName, Service>,
        cut: BTreeSet<NodeName>,
    }

    /// One node's end of it.
    pub(crate) struct Plug {
        board: Switchboard,
        me: NodeName,
    }

    impl Switchboard {
        pub(crate) fn plug(&self, me: &NodeName) -> Plug {
            Plug {
                board: self.clone(),
                me: me.clone(),
            }
        }

        pub(crate) fn connect(&self, me: &NodeName, service: Service) {
            let mut lines = self.0.lock().unwrap();
            lines.services.insert(me.clone(), service);
            lines.cut.remove(me);
        }

        /// From now on nothing reaches the node and nothing leaves it.
        pub(crate) fn cut(&self, node: &NodeName) {
            self.0.lock().unwrap().cut.insert(node.clone());
        }

        pub(crate) fn mend(&self, node: &NodeName) {
            self.0.lock().unwrap().cut.remove(node);
        }

        fn service(&self, from: &NodeName, to: &NodeName) -> Option<Service> {
            let lines = self.0.lock().unwrap();
            let whole = !lines.cut.contains(from) && !lines.cut.contains(to);
            lines.services.get(to).filter(|_| whole).cloned()
        }
    }

    impl Transport for Plug {
        fn ask(
            &self,
            to: &Member,
            topic: Topic,
            request: Vec<u8>,
            within: Duration,
        ) -> BoxFuture<'static, Result<Vec<u8>, Unanswered>> {
            let (board, me, to) = (self.board.clone(), self.me.clone(), to.name.clone());
            Box::pin(async move {
                let fail = |why: &str| Unanswered {
                    to: to.clone(),
                    why: why.to_owned(),
                };
                let service = board.service(&me, &to).ok_or_else(|| fail("cut"))?;
                let answer = tokio::time::timeout(within, service.answer(&me, topic, request));
                let answer = answer.await.map_err(|_| fail("silent"))?;
                // An answer is lost, too, when the line was cut meanwhile.
                board.service(&me, &to).ok_or_else(|| fail("cut"))?;
                answer.ok_or_else(|| fail("not understood"))
            })
        }
    }
}
