//! Who dials whom, by the member list: core nodes keep a tunnel to every edge, inner relays a media
//! link to every edge and to the inner relays with a lower id (so that a pair has one link).

use std::{collections::BTreeMap, sync::Arc};

use futures::StreamExt as _;
use guitai_meta::{Meta, State};
use guitai_net::{Mesh, Target};
use guitai_relay::{PeerLink, Relay, guard::Tunnels};
use guitai_types::{Member, Role, event::Change};

use crate::flows::Door;

/// Follows the member list and keeps the links of this node. In quarantine it has no tunnel to any edge,
/// and its relay takes no token of an epoch that is over; calls in progress keep their media.
pub(crate) async fn keep(
    me: Member,
    gate: Arc<Door>,
    meta: Meta,
    mesh: Mesh,
    relay: Option<Relay>,
    tunnels: Tunnels,
) {
    let links = (relay.clone(), tunnels.clone());
    let following = follow(me, gate, meta.clone(), mesh, links);
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

async fn follow(
    me: Member,
    gate: Arc<Door>,
    meta: Meta,
    mesh: Mesh,
    (relay, tunnels): (Option<Relay>, Tunnels),
) {
    let mut links = BTreeMap::new();
    let mut events = meta.events(meta.peek(State::event_number) + 1);
    loop {
        let members: Vec<Member> = meta.peek(|state| state.members().cloned().collect());
        if !members.is_empty() {
            gate.learn(&members);
        }
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use guitai_flow::{Matrix, Protocol, check, deployment};
    use guitai_types::{Date, Hex, UnixMillis, profile::Profile};

    use super::*;

    fn demo() -> Profile {
        toml::from_str(include_str!("../../../../profiles/demo.toml")).unwrap()
    }

    fn members(profile: &Profile) -> Vec<Member> {
        let nodes = profile.nodes.iter();
        nodes
            .map(|node| Member {
                id: node.id,
                name: node.name.clone(),
                centre: node.centre.clone(),
                zone: node.zone,
                roles: node.roles.clone(),
                voice: node.voice,
                mesh: node.mesh,
                door: node.door,
                public_key: Hex(Vec::new()),
            })
            .collect()
    }

    #[test]
    fn what_is_dialled_is_what_the_flow_matrix_is_checked_against() {
        let profile = demo();
        let members = members(&profile);
        let mut dialled = BTreeSet::new();
        for me in &members {
            for to in tunnel_targets(me, &members) {
                dialled.insert((me.name.clone(), to.name, Protocol::Tunnel));
            }
            let relays = me.has(Role::Relay).then(|| media_targets(me, &members));
            for to in relays.into_iter().flatten() {
                dialled.insert((me.name.clone(), to.name, Protocol::MoqMesh));
            }
        }
        let by_links = |dial: &deployment::Dial| {
            let relay = dial.by.role == guitai_flow::Role::Relay;
            dial.protocol == Protocol::Tunnel || (relay && dial.protocol == Protocol::MoqMesh)
        };
        let declared: BTreeSet<_> = deployment::dials(&profile.nodes)
            .into_iter()
            .filter(by_links)
            .map(|dial| (dial.from, dial.to, dial.protocol))
            .collect();
        assert_eq!(dialled, declared);
    }

    #[test]
    fn the_shipped_matrix_covers_the_demonstration() {
        // 2026-11-23, long before any row expires.
        let on = Date::of(UnixMillis(1_795_363_200_000));
        let matrix = Matrix::shipped().unwrap();
        assert_eq!(check(&matrix, Some(&demo()), on), []);
    }
}
