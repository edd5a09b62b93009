//! A voter that stays dead gives its voice to a learner, where the profile says after how long. The
//! cluster then bears the next loss; the dead one goes on as a learner and catches up when it is back.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use guitai_types::{Centre, CentreId, CityId, Member, NodeId, Voice};

use crate::{meta::Meta, status::RaftStatus, succession::voices};

/// Looks once, on the leader. `leads_since` is when every node has had time to be heard of by it.
pub(crate) async fn look(meta: &Meta, leads_since: Duration) {
    let Some(after) = meta.replace_after() else {
        return;
    };
    // What a new leader has not heard of may be dead for a moment only.
    if meta.now() < leads_since + after {
        return;
    }
    let (voters, learners) = voices(meta);
    let status = RaftStatus::of(meta);
    let (members, centres, drilled) = meta.peek(|state| {
        let members: Vec<Member> = state.members().cloned().collect();
        let centres = state.centres().to_vec();
        (members, centres, state.run_open().is_some())
    });
    // A drill holds nodes apart on purpose, and changes who votes itself.
    if drilled {
        return;
    }
    let ground = Ground {
        voters: &voters,
        learners: &learners,
        members: &members,
        centres: &centres,
        status: &status,
        after,
    };
    let Some((dead, heir)) = ground.choose() else {
        return;
    };
    let change = BTreeMap::from([(dead, Voice::Learner), (heir, Voice::Voter)]);
    match meta.set_voices(&change).await {
        Ok(()) => {
            tracing::warn!(%dead, %heir, ?after, "a voter stayed dead; a learner votes instead");
        }
        Err(error) => {
            tracing::warn!(%dead, %heir, %error, "a dead voter was not replaced yet");
        }
    }
}

struct Ground<'a> {
    voters: &'a BTreeSet<NodeId>,
    learners: &'a BTreeSet<NodeId>,
    members: &'a [Member],
    centres: &'a [Centre],
    status: &'a RaftStatus,
    after: Duration,
}

impl Ground<'_> {
    /// Who has been dead for so long, and the learner that should vote instead: of its centre, else of
    /// its city, else of anywhere.
    fn choose(&self) -> Option<(NodeId, NodeId)> {
        let dead = *self.voters.iter().find(|node| self.is_dead(**node))?;
        let home = self.centre(dead);
        let city = home.and_then(|home| self.city(home));
        let ready = self.learners.iter().copied();
        let heir = ready
            .filter(|node| self.status.is_ready(*node))
            .min_by_key(|node| {
                let there = self.centre(*node);
                let same_city = there.and_then(|there| self.city(there)) == city;
                (there != home, !same_city, *node)
            })?;
        Some((dead, heir))
    }

    fn is_dead(&self, node: NodeId) -> bool {
        let heard = self.status.heard_ms.get(&node);
        heard.is_none_or(|ms| Duration::from_millis(*ms) >= self.after)
    }

    fn centre(&self, node: NodeId) -> Option<&CentreId> {
        let member = self.members.iter().find(|member| member.id == node);
        member.map(|member| &member.centre)
    }

    fn city(&self, centre: &CentreId) -> Option<&CityId> {
        let centre = self.centres.iter().find(|it| &it.id == centre);
        centre.map(|centre| &centre.city)
    }
}

#[cfg(test)]
mod tests {
    use guitai_types::{Hex, Role, Zone, place::Text};

    use super::*;

    const AFTER: Duration = Duration::from_secs(60);

    fn core(number: u64, centre: &str) -> Member {
        let address = std::net::SocketAddr::from(([127, 0, 0, 1], 7443));
        Member {
            id: NodeId(number),
            name: format!("n-{number}").parse().unwrap(),
            centre: centre.parse().unwrap(),
            zone: Zone::Inner,
            roles: vec![Role::Core],
            voice: Voice::None,
            mesh: address,
            door: address,
            public_key: Hex(Vec::new()),
        }
    }

    /// 1 leads and 2 votes in A1; 3 votes in A2; 4 learns in A2, 5 in A1, 6 in B.
    fn chosen(heard: &[(u64, u64)], matched: &[(u64, u64)]) -> Option<(u64, u64)> {
        let homes = ["a1", "a1", "a2", "a2", "a1", "b"];
        let members: Vec<Member> = (1..).zip(homes).map(|(n, home)| core(n, home)).collect();
        let centre = |id: &str, city: &str| Centre {
            id: id.parse().unwrap(),
            city: city.parse().unwrap(),
            name: Text::default(),
        };
        let centres = [centre("a1", "a"), centre("a2", "a"), centre("b", "b")];
        let by_node = |pairs: &[(u64, u64)]| {
            let pairs = pairs.iter().map(|(node, value)| (NodeId(*node), *value));
            pairs.collect()
        };
        let status = RaftStatus {
            applied: 1_000,
            matched: by_node(matched),
            heard_ms: by_node(heard),
            ..RaftStatus::default()
        };
        let ids = |ids: [u64; 3]| ids.map(NodeId).into();
        let ground = Ground {
            voters: &ids([1, 2, 3]),
            learners: &ids([4, 5, 6]),
            members: &members,
            centres: &centres,
            status: &status,
            after: AFTER,
        };
        let (dead, heir) = ground.choose()?;
        Some((dead.0, heir.0))
    }

    #[test]
    fn the_nearest_ready_learner_takes_the_voice_of_a_voter_that_stayed_dead() {
        let all = [(1, 1_000), (4, 1_000), (5, 1_000), (6, 1_000)];
        let heard = |third| [(1, 0), (2, 10), (3, third), (4, 10), (5, 10), (6, 10)];
        assert_eq!(chosen(&heard(59_999), &all), None);
        assert_eq!(chosen(&heard(60_000), &all), Some((3, 4)));
        // Never heard of by this leader: dead all the time.
        assert_eq!(
            chosen(&[(1, 0), (2, 10), (4, 10), (5, 10), (6, 10)], &all),
            Some((3, 4))
        );
        // The one of its centre lags, then that of its city is silent.
        let lagging = [(1, 1_000), (4, 100), (5, 1_000), (6, 1_000)];
        assert_eq!(chosen(&heard(90_000), &lagging), Some((3, 5)));
        let silent = [(1, 0), (2, 10), (3, 90_000), (4, 10), (5, 9_000), (6, 10)];
        assert_eq!(chosen(&silent, &lagging), Some((3, 6)));
        let nobody = [(1, 1_000), (4, 100), (5, 100), (6, 100)];
        assert_eq!(chosen(&heard(90_000), &nobody), None);
    }
}
