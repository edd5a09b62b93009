//! Who dials whom, by the member list: core nodes keep a tunnel to every edge, inner relays a media
//! link to every edge and to the inner relays with a lower id (so that a pair has one link).

use std::collections::BTreeMap;

use futures::StreamExt as _;
use guitai_meta::{Meta, State};
use guitai_net::{Mesh, Target};
use guitai_relay::{PeerLink, Relay, guard::Tunnels};
use guitai_types::{Member, Role, event::Change};

/// Follows the member list and keeps the links of this node. In quarantine it has no tunnel to any edge,
/// and its relay takes no token of an epoch that is over; calls in progress keep their media.
pub(crate) async fn keep(
    me: Member,
    meta: Meta,
    mesh: Mesh,
    relay: Option<Relay>,
    tunnels: Tunnels,
) {
    let following = follow(me, meta.clone(), mesh, relay.clone(), tunnels.clone());
    tokio::pin!(following);
    tokio::select! {
        biased;
        () = meta.quarantined() => {}
        () = &mut following => {}
    }
    tunnels.keep(&[]);
    if let Some(relay) = &relay {
        relay.set_epoch(meta.epoch());
    }
    // What was dialled lives as long as `following`.
    std::future::pending::<()>().await;
}

async fn follow(me: Member, meta: Meta, mesh: Mesh, relay: Option<Relay>, tunnels: Tunnels) {
    let mut links = BTreeMap::new();
    let mut events = meta.events(meta.peek(State::event_number) + 1);
    loop {
        let members: Vec<Member> = meta.peek(|state| state.members().cloned().collect());
        tunnels.keep(&tunnel_targets(&me, &members));
        if let Some(relay) = &relay {
            keep_links(&mut links, relay, &mesh, &media_targets(&me, &members));
        }
        loop {
            match events.next().await {
                Some(event) if event.change == Change::Cluster => break,
                Some(_) => {}
                None => return std::future::pending().await,
            }
        }
    }
}

fn keep_links(
    links: &mut BTreeMap<Target, PeerLink>,
    relay: &Relay,
    mesh: &Mesh,
    wanted: &[Target],
) {
    links.retain(|target, _| wanted.contains(target));
    for target in wanted {
        let dial = || relay.dial_peer(mesh.clone(), target.clone());
        links.entry(target.clone()).or_insert_with(dial);
    }
}

/// Edges this core node keeps a tunnel to.
fn tunnel_targets(me: &Member, members: &[Member]) -> Vec<Target> {
    if !me.has(Role::Core) {
        return Vec::new();
    }
    members
        .iter()
        .filter(|member| member.has(Role::Edge))
        .map(target)
        .collect()
}

/// Relays this relay keeps a link to.
fn media_targets(me: &Member, members: &[Member]) -> Vec<Target> {
    let dialled = members.iter().filter(|member| {
        let lower_relay = member.has(Role::Relay) && member.id < me.id;
        member.has(Role::Edge) || lower_relay
    });
    dialled.map(target).collect()
}

fn target(member: &Member) -> Target {
    Target {
        addr: member.mesh,
        name: member.name.clone(),
        zone: member.zone,
    }
}
