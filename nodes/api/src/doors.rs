//! The doors a page may use: every core node asks every door where media is relayed or pages are served
//! how it is, twice a second, and tells what it heard: edges to the edges, inner nodes to staff.
//!
//! [`Roll`] decides who is alive; [`Doors::keep`] asks. A door says its own certificates; everything
//! else about it comes from the member list, so that no node can speak for another.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use futures::{StreamExt as _, stream::FuturesUnordered};
use guitai_host::Clock;
use guitai_meta::{Meta, State};
use guitai_net::{CallError, Calls, Mesh};
use guitai_relay::guard::Tunnels;
use guitai_types::{
    Member, NodeName, Role, Zone,
    limits::DOORS_MAX,
    origin::Origin,
    permit::PermitView,
    sandbox::SandboxState,
    view::{DoorEntry, DoorView, DoorsView},
};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use crate::{between::target, door::DoorSource, inventory::SandboxSource};

/// How often the doors are asked, in milliseconds.
pub const DOORS_ASKED_MS: u64 = 500;
/// How long a door may take to answer, in milliseconds.
const ANSWER_MS_MAX: u64 = 700;
/// A door not heard of for longer than this is not alive, in milliseconds. One answer may get lost.
pub const DOOR_SILENT_MS_MAX: u64 = 1_600;

const _: () = assert!(DOOR_SILENT_MS_MAX > 2 * ANSWER_MS_MAX);
// A lost door is out of the list within two seconds.
const _: () = assert!(DOOR_SILENT_MS_MAX + ANSWER_MS_MAX / 2 < 2_000);

/// Answers what a node knows of its own door.
const DOOR_QUESTION: &str = "api.doors";

/// Whether pages can be served here now: a core node can read ([`Doors::fit`]), an edge has a tunnel.
pub type FitSource = Arc<dyn Fn() -> bool + Send + Sync>;

/// What a door says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Said {
    door: DoorView,
    fit: bool,
    /// Whether it takes new calls; nothing where no media is relayed.
    #[serde(default)]
    permit: Option<PermitView>,
    /// How its sandbox stands; a node of the release before says nothing.
    #[serde(default)]
    sandbox: Option<SandboxState>,
}

/// How the node's permit stands; `None` where it needs none.
pub type PermitSource = Arc<dyn Fn() -> Option<PermitView> + Send + Sync>;

/// Lets core nodes ask this one, edge or not; called once when a node is assembled.
pub fn register_door(
    questions: &Calls,
    door: DoorSource,
    fit: FitSource,
    permit: PermitSource,
    sandbox: SandboxSource,
) {
    questions.register(
        DOOR_QUESTION,
        Arc::new(move |_peer, _body| {
            let said = Said {
                door: door(),
                fit: fit(),
                permit: permit(),
                sandbox: Some(sandbox().state()),
            };
            let answer = serde_json::to_vec(&said).map_err(|error| error.to_string());
            Box::pin(std::future::ready(answer))
        }),
    );
}

/// The list as one door shows it; changes are seen by the receiver.
#[derive(Clone)]
pub(crate) struct DoorList {
    pub(crate) node: NodeName,
    pub(crate) doors: watch::Receiver<Vec<DoorEntry>>,
}

impl DoorList {
    pub(crate) fn view(&self) -> DoorsView {
        DoorsView {
            node: self.node.clone(),
            doors: self.doors.borrow().clone(),
        }
    }

    /// The list now, and whenever it changes.
    pub(crate) fn follow(&self) -> impl futures::Stream<Item = DoorsView> + Send + use<> {
        let node = self.node.clone();
        tokio_stream::wrappers::WatchStream::new(self.doors.clone()).map(move |doors| DoorsView {
            node: node.clone(),
            doors,
        })
    }
}

/// The doors as one core node knows them. Cheap to clone.
#[derive(Clone)]
pub struct Doors {
    inner: watch::Sender<Vec<DoorEntry>>,
    is_fit: Arc<AtomicBool>,
    /// Of each node that was heard of lately, what it said of its permit.
    permits: watch::Sender<BTreeMap<NodeName, PermitView>>,
    /// And of its sandbox.
    sandboxes: watch::Sender<BTreeMap<NodeName, SandboxState>>,
}

impl Default for Doors {
    fn default() -> Self {
        Self {
            inner: watch::Sender::new(Vec::new()),
            is_fit: Arc::default(),
            permits: watch::Sender::default(),
            sandboxes: watch::Sender::default(),
        }
    }
}

/// What [`Doors::keep`] works with.
pub struct DoorsDeps {
    /// This node.
    pub me: Member,
    /// The member list.
    pub meta: Meta,
    /// The way to the other doors.
    pub mesh: Mesh,
    /// This node's own door.
    pub door: DoorSource,
    /// What browsers call the doors that have TLS: this node was told, no door says it of itself.
    pub origins: BTreeMap<NodeName, Origin>,
    /// This node's own permit.
    pub permit: PermitSource,
    /// This node's own sandbox.
    pub sandbox: SandboxSource,
    /// The way to tell the edges.
    pub tunnels: Tunnels,
    /// Time.
    pub clock: Arc<dyn Clock>,
}

impl Doors {
    /// Inner doors, for staff.
    pub(crate) fn inner(&self) -> watch::Receiver<Vec<DoorEntry>> {
        self.inner.subscribe()
    }

    /// Whether this core node can serve: it has read from a leader that has a quorum, not long ago. A leader
    /// that is cut off with some of its followers still believes in itself, and they in it; none of them
    /// can read. So whoever stands on the lost side of a cut, in a drill or for real, leaves the lists.
    pub fn fit(&self) -> FitSource {
        let is_fit = self.is_fit.clone();
        Arc::new(move || is_fit.load(Ordering::Relaxed))
    }

    /// What a node said of its permit, if it was heard of lately.
    pub(crate) fn permit(&self, node: &NodeName) -> Option<PermitView> {
        self.permits.borrow().get(node).copied()
    }

    /// What a node said of its sandbox, if it was heard of lately.
    pub(crate) fn sandbox(&self, node: &NodeName) -> Option<SandboxState> {
        self.sandboxes.borrow().get(node).copied()
    }

    /// Asks and tells for ever. Runs once on every core node.
    pub async fn keep(self, deps: DoorsDeps) {
        let mut pace = tokio::time::interval(Duration::from_millis(DOORS_ASKED_MS));
        pace.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let (mut roll, mut told) = (Roll::default(), Vec::new());
        let mut read_at = None;
        loop {
            pace.tick().await;
            let members: Vec<Member> = deps.meta.peek(|state: &State| {
                let doors = state.members().filter(|member| is_door(member));
                doors.cloned().collect()
            });
            let is_fit = self.is_fit.load(Ordering::Relaxed);
            let ((), has_read) =
                tokio::join!(deps.ask_all(&mut roll, &members, is_fit), deps.can_read(),);
            let now = deps.clock.monotonic();
            if has_read {
                read_at = Some(now);
            }
            let silent_max = Duration::from_millis(DOOR_SILENT_MS_MAX);
            let is_fit = read_at.is_some_and(|at| now.saturating_sub(at) <= silent_max);
            self.is_fit.store(is_fit, Ordering::Relaxed);
            let inner = roll.list(&members, &deps.origins, Zone::Inner, now);
            self.inner.send_if_modified(|present| {
                let changed = *present != inner;
                *present = inner;
                changed
            });
            self.permits
                .send_replace(roll.lately(now, |heard| heard.permit));
            self.sandboxes
                .send_replace(roll.lately(now, |heard| heard.sandbox));
            let mut edges = roll.list(&members, &deps.origins, Zone::Dmz, now);
            if !is_fit {
                // Through this node they lead nowhere; through another, that one says so.
                edges.iter_mut().for_each(|door| door.alive = false);
            }
            if edges != told {
                told.clone_from(&edges);
                deps.tunnels.tell_doors(edges);
            }
        }
    }
}

impl DoorsDeps {
    /// Whether a leader with a quorum answers.
    async fn can_read(&self) -> bool {
        let within = Duration::from_millis(ANSWER_MS_MAX);
        let read = tokio::time::timeout(within, self.meta.read(|_| ()));
        matches!(read.await, Ok(Ok(())))
    }

    async fn ask_all(&self, roll: &mut Roll, members: &[Member], is_fit: bool) {
        let asked = members.iter().map(|member| self.ask(member, is_fit));
        let mut answers: FuturesUnordered<_> = asked.collect();
        while let Some((member, answer)) = answers.next().await {
            match answer {
                Ok(said) => roll.heard(member, said, self.clock.monotonic()),
                Err(error) => {
                    let error: &dyn std::error::Error = &error;
                    tracing::trace!(node = %member.name, error, "a door does not answer");
                }
            }
        }
    }

    async fn ask<'a>(
        &'a self,
        member: &'a Member,
        is_fit: bool,
    ) -> (&'a Member, Result<Said, AskError>) {
        if member.name == self.me.name {
            let said = Said {
                door: (self.door)(),
                fit: is_fit,
                permit: (self.permit)(),
                sandbox: Some((self.sandbox)().state()),
            };
            return (member, Ok(said));
        }
        let within = Duration::from_millis(ANSWER_MS_MAX);
        let target = target(member);
        let asked = self
            .mesh
            .question(&target, DOOR_QUESTION, Vec::new(), within);
        let said = asked.await.map_err(AskError::Call);
        (
            member,
            said.and_then(|said| Ok(serde_json::from_slice(&said)?)),
        )
    }
}

/// Why a door is not heard of.
#[derive(Debug, thiserror::Error)]
enum AskError {
    #[error("asking")]
    Call(#[from] CallError),
    #[error("understanding the answer")]
    Answer(#[from] serde_json::Error),
}

/// Who was heard of, and when.
#[derive(Default)]
struct Roll(BTreeMap<NodeName, Heard>);

struct Heard {
    hashes: Vec<String>,
    fit: bool,
    permit: Option<PermitView>,
    sandbox: Option<SandboxState>,
    at: Duration,
}

impl Roll {
    fn heard(&mut self, member: &Member, said: Said, now: Duration) {
        let Said {
            door,
            fit,
            permit,
            sandbox,
        } = said;
        // Who answers for another node is not heard.
        if door.node == member.name {
            let hashes = door.certificate_hashes;
            let heard = Heard {
                hashes,
                fit,
                permit,
                sandbox,
                at: now,
            };
            self.0.insert(member.name.clone(), heard);
        }
    }

    /// One thing that was said, of everybody who was heard of lately.
    fn lately<T>(&self, now: Duration, of: impl Fn(&Heard) -> Option<T>) -> BTreeMap<NodeName, T> {
        let silent_max = Duration::from_millis(DOOR_SILENT_MS_MAX);
        let heard = self.0.iter();
        let lately = heard.filter(|(_, heard)| now.saturating_sub(heard.at) <= silent_max);
        lately
            .filter_map(|(node, heard)| Some((node.clone(), of(heard)?)))
            .collect()
    }

    /// The doors of a zone by name. Should there be more than can be told, those alive stay.
    fn list(
        &self,
        members: &[Member],
        origins: &BTreeMap<NodeName, Origin>,
        zone: Zone,
        now: Duration,
    ) -> Vec<DoorEntry> {
        let of_zone = members.iter().filter(|member| member.zone == zone);
        let mut doors: Vec<_> = of_zone
            .map(|member| self.entry(member, origins.get(&member.name), now))
            .collect();
        doors.sort_by(|one, other| (!one.alive, &one.node).cmp(&(!other.alive, &other.node)));
        doors.truncate(DOORS_MAX);
        doors.sort_by(|one, other| one.node.cmp(&other.node));
        doors
    }

    fn entry(&self, member: &Member, origin: Option<&Origin>, now: Duration) -> DoorEntry {
        let heard = self.0.get(&member.name);
        let silent_max = Duration::from_millis(DOOR_SILENT_MS_MAX);
        let alive = |heard: &Heard| {
            let accepts = heard.permit.is_none_or(|permit| permit.accepts);
            heard.fit && accepts && now.saturating_sub(heard.at) <= silent_max
        };
        let Addresses {
            http,
            webtransport,
            websocket,
        } = Addresses::of(member, origin);
        let media = |address| match relays(member) {
            true => address,
            false => String::new(),
        };
        DoorEntry {
            node: member.name.clone(),
            centre: member.centre.clone(),
            http,
            webtransport: media(webtransport),
            websocket: media(websocket),
            certificate_hashes: heard.map(|heard| heard.hashes.clone()).unwrap_or_default(),
            alive: heard.is_some_and(alive),
        }
    }
}

/// Where browsers reach a door.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Addresses {
    /// Pages and API.
    pub http: String,
    /// Media over UDP.
    pub webtransport: String,
    /// Media over TCP.
    pub websocket: String,
}

impl Addresses {
    /// By its origin where it has TLS of its own, else by its address in plain.
    #[must_use]
    pub fn of(member: &Member, origin: Option<&Origin>) -> Self {
        match origin {
            Some(origin) => Self {
                http: origin.to_string(),
                webtransport: origin.to_string(),
                websocket: origin.websocket(),
            },
            None => Self {
                http: format!("http://{}", member.door),
                webtransport: format!("https://{}", member.door),
                websocket: format!("ws://{}", member.door),
            },
        }
    }
}

fn relays(member: &Member) -> bool {
    member.has(Role::Relay) || member.has(Role::Edge)
}

fn is_door(member: &Member) -> bool {
    match member.zone {
        Zone::Dmz => member.has(Role::Edge),
        Zone::Inner => member.has(Role::Core),
        Zone::Outer => false,
    }
}

#[cfg(test)]
mod tests {
    use guitai_types::{Hex, NodeId, Voice};

    use super::*;

    fn member(name: &str, zone: Zone, roles: &[Role]) -> Member {
        Member {
            id: NodeId(1),
            name: name.parse().unwrap(),
            centre: "a1".parse().unwrap(),
            zone,
            roles: roles.to_vec(),
            voice: Voice::None,
            mesh: "127.0.0.1:1".parse().unwrap(),
            door: "127.0.0.1:2".parse().unwrap(),
            public_key: Hex::default(),
        }
    }

    fn said(name: &str, fit: bool) -> Said {
        let door = DoorView {
            node: name.parse().unwrap(),
            centre: "elsewhere".parse().unwrap(),
            webtransport: "https://evil:1".to_owned(),
            websocket: "ws://evil:1".to_owned(),
            certificate_hashes: vec!["aa".to_owned()],
            version: "0".to_owned(),
        };
        Said {
            door,
            fit,
            permit: None,
            sandbox: Some(SandboxState::Partly),
        }
    }

    const AT: Duration = Duration::from_secs(100);
    /// No door has TLS of its own.
    const PLAIN: BTreeMap<NodeName, Origin> = BTreeMap::new();

    #[test]
    fn a_door_says_its_certificates_and_nothing_else() {
        let edge = member("edge-a", Zone::Dmz, &[Role::Edge]);
        let mut roll = Roll::default();
        roll.heard(&edge, said("edge-a", true), AT);
        let list = roll.list(std::slice::from_ref(&edge), &PLAIN, Zone::Dmz, AT);
        assert_eq!(list[0].webtransport, "https://127.0.0.1:2");
        assert_eq!(list[0].http, "http://127.0.0.1:2");
        assert_eq!(list[0].centre.as_str(), "a1");
        assert_eq!(list[0].certificate_hashes, ["aa"]);
        assert!(list[0].alive);
        let mut liar = Roll::default();
        liar.heard(&edge, said("edge-b", true), AT);
        let list = liar.list(&[edge], &PLAIN, Zone::Dmz, AT);
        assert!(!list[0].alive && list[0].certificate_hashes.is_empty());
        let sandbox = |roll: &Roll| roll.lately(AT, |heard| heard.sandbox).len();
        assert_eq!((sandbox(&roll), sandbox(&liar)), (1, 0));
    }

    #[test]
    fn a_door_with_tls_is_called_by_its_origin() {
        let edge = member("edge-a", Zone::Dmz, &[Role::Edge]);
        let origin: Origin = "https://vtm.bank.example".parse().unwrap();
        let origins = BTreeMap::from([("edge-a".parse().unwrap(), origin)]);
        let list = Roll::default().list(&[edge], &origins, Zone::Dmz, AT);
        assert_eq!(list[0].http, "https://vtm.bank.example");
        assert_eq!(list[0].webtransport, "https://vtm.bank.example");
        assert_eq!(list[0].websocket, "wss://vtm.bank.example");
    }

    #[test]
    fn who_is_silent_or_unfit_is_listed_but_not_alive() {
        let edge = member("edge-a", Zone::Dmz, &[Role::Edge]);
        let members = [edge.clone()];
        let mut roll = Roll::default();
        assert!(
            !roll.list(&members, &PLAIN, Zone::Dmz, AT)[0].alive,
            "never heard of"
        );
        roll.heard(&edge, said("edge-a", true), AT);
        let last = AT + Duration::from_millis(DOOR_SILENT_MS_MAX);
        assert!(roll.list(&members, &PLAIN, Zone::Dmz, last)[0].alive);
        let late = last + Duration::from_millis(1);
        let entry = roll.list(&members, &PLAIN, Zone::Dmz, late).remove(0);
        assert!(!entry.alive);
        assert_eq!(entry.certificate_hashes, ["aa"], "still worth a last try");
        roll.heard(&edge, said("edge-a", false), late);
        assert!(
            !roll.list(&members, &PLAIN, Zone::Dmz, late)[0].alive,
            "unfit"
        );
        for accepts in [false, true] {
            let permit = PermitView {
                accepts,
                epoch: guitai_types::Epoch(1),
                left_ms: u64::from(accepts),
            };
            let permit = Some(permit);
            let said = Said {
                permit,
                ..said("edge-a", true)
            };
            roll.heard(&edge, said, late);
            let alive = roll.list(&members, &PLAIN, Zone::Dmz, late)[0].alive;
            assert_eq!(alive, accepts, "takes no new calls");
            let permits = roll.lately(late, |heard| heard.permit);
            assert_eq!(permits.get(&edge.name).copied(), permit);
        }
    }

    #[test]
    fn zones_do_not_mix_and_who_relays_nothing_has_no_media_door() {
        let members = [
            member("a1-2", Zone::Inner, &[Role::Core, Role::Recorder]),
            member("a1-1", Zone::Inner, &[Role::Core, Role::Relay]),
            member("edge-a", Zone::Dmz, &[Role::Edge]),
        ];
        let roll = Roll::default();
        let names = |zone| -> Vec<String> {
            let list = roll.list(&members, &PLAIN, zone, AT);
            list.into_iter().map(|door| door.node.to_string()).collect()
        };
        assert_eq!(names(Zone::Inner), ["a1-1", "a1-2"]);
        assert_eq!(names(Zone::Dmz), ["edge-a"]);
        let inner = roll.list(&members, &PLAIN, Zone::Inner, AT);
        assert!(!inner[0].webtransport.is_empty() && inner[1].webtransport.is_empty());
    }

    #[test]
    fn past_the_limit_those_alive_stay() {
        let all: Vec<Member> = (0..DOORS_MAX + 3)
            .map(|n| member(&format!("edge-{n:02}"), Zone::Dmz, &[Role::Edge]))
            .collect();
        let mut roll = Roll::default();
        let last = all.last().unwrap();
        roll.heard(last, said(last.name.as_str(), true), AT);
        let list = roll.list(&all, &PLAIN, Zone::Dmz, AT);
        assert_eq!(list.len(), DOORS_MAX);
        assert!(list.iter().any(|door| door.node == last.name));
    }
}
