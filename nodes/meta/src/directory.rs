//! Where the other core nodes are: what the cluster agreed on, and before that, what the node was
//! told.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use guitai_types::{Member, NodeId, NodeName, Role};

use crate::applied::Applied;

/// Core nodes by id and name, and when each was heard of; clones are the same.
#[derive(Clone)]
pub(crate) struct Directory {
    applied: Applied,
    bootstrap: Arc<Vec<Member>>,
    /// Process time of the last message from each; only of members, so it is bounded.
    heard: Arc<Mutex<BTreeMap<NodeId, Duration>>>,
}

impl Directory {
    pub(crate) fn new(applied: Applied, bootstrap: Vec<Member>) -> Self {
        Self {
            applied,
            bootstrap: Arc::new(bootstrap),
            heard: Arc::default(),
        }
    }

    pub(crate) fn by_id(&self, id: NodeId) -> Option<Member> {
        self.find(|member| member.id == id)
    }

    /// A core node by the name in its certificate.
    pub(crate) fn core(&self, name: &NodeName) -> Option<Member> {
        self.find(|member| &member.name == name && member.has(Role::Core))
    }

    /// Every core node but this one, as the cluster agreed or the node was told.
    pub(crate) fn others(&self, me: NodeId) -> Vec<Member> {
        let core = |member: &&Member| member.has(Role::Core) && member.id != me;
        let agreed: Vec<Member> = self
            .applied
            .look(|base| base.state.members().filter(core).cloned().collect());
        if agreed.is_empty() {
            self.bootstrap.iter().filter(core).cloned().collect()
        } else {
            agreed
        }
    }

    pub(crate) fn note_heard(&self, id: NodeId, now: Duration) {
        self.heard
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(id, now);
    }

    /// Milliseconds since each node sent something.
    pub(crate) fn heard_ms(&self, now: Duration) -> BTreeMap<NodeId, u64> {
        let heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        let ago = |at: &Duration| u64::try_from(now.saturating_sub(*at).as_millis());
        heard
            .iter()
            .map(|(id, at)| (*id, ago(at).unwrap_or(u64::MAX)))
            .collect()
    }

    fn find(&self, is_it: impl Fn(&Member) -> bool) -> Option<Member> {
        let agreed = self
            .applied
            .look(|base| base.state.members().find(|it| is_it(it)).cloned());
        agreed.or_else(|| self.bootstrap.iter().find(|it| is_it(it)).cloned())
    }
}
