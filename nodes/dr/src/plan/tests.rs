use guitai_types::{City, Epoch, Hex, UnixMillis, Zone, place::Text};

use super::*;
use crate::Vitals;

/// Two cities, three centres, two core nodes in each; b-2 learns.
pub(crate) fn members() -> Vec<Member> {
    let names = ["a1-1", "a1-2", "a2-1", "a2-2", "b-1", "b-2"];
    let members = names.iter().enumerate().map(|(at, name)| {
        let (centre, _) = name.split_once('-').unwrap();
        Member {
            id: NodeId(at as u64 + 1),
            name: name.parse().unwrap(),
            centre: centre.parse().unwrap(),
            zone: Zone::Inner,
            roles: vec![Role::Core, Role::Relay],
            voice: if *name == "b-2" {
                Voice::Learner
            } else {
                Voice::Voter
            },
            mesh: format!("127.0.0.{}:7443", at + 1).parse().unwrap(),
            door: format!("127.0.0.{}:4443", at + 1).parse().unwrap(),
            public_key: Hex(vec![4; 65]),
        }
    });
    members.collect()
}

fn facts() -> Facts {
    let members = members();
    let ids = || members.iter().map(|member| member.id);
    let city = |id: &str| City {
        id: id.parse().unwrap(),
        name: Text::default(),
    };
    let centre = |id: &str, city: &str| Centre {
        id: id.parse().unwrap(),
        city: city.parse().unwrap(),
        name: Text::default(),
    };
    Facts {
        cluster: Some("c1".parse().unwrap()),
        epoch: Epoch(1),
        now: UnixMillis(1_000),
        cities: vec![city("a"), city("b")],
        centres: vec![centre("a1", "a"), centre("a2", "a"), centre("b", "b")],
        leader: Some(NodeId(1)),
        voters: ids().take(5).collect(),
        matched: ids().map(|id| (id, 1_000)).collect(),
        heard_ms: ids().map(|id| (id, 20)).collect(),
        round_trips_us: members
            .iter()
            .map(|member| {
                let far = member.centre.as_str() == "b";
                (member.name.clone(), if far { 30_000 } else { 1_000 })
            })
            .collect(),
        vitals: members
            .iter()
            .map(|member| {
                let vitals = Vitals {
                    clock_off_ms: 3,
                    disk_free: 8 << 30,
                    certificate_days: 80,
                };
                (member.name.clone(), vitals)
            })
            .collect(),
        heartbeat_ms: 50,
        election_ms: (200, 400),
        binary: Hex(vec![1]),
        takeover_refused: None,
        members,
    }
}

fn missing(facts: &Facts, aim: Aim) -> Vec<String> {
    let plan = plan(facts, aim).unwrap();
    plan.missing().map(|check| check.id.clone()).collect()
}

fn centre(centre: &str) -> Aim {
    Aim::Centre {
        centre: centre.parse().unwrap(),
        hold_ms: 5_000,
    }
}

fn switch(to: &str) -> Aim {
    Aim::Switch {
        to: to.parse().unwrap(),
    }
}

#[test]
fn a_healthy_cluster_may_lose_any_centre_and_move_anywhere() {
    for aim in [
        centre("a1"),
        centre("a2"),
        centre("b"),
        switch("a2"),
        switch("b"),
    ] {
        assert_eq!(
            missing(&facts(), aim.clone()),
            Vec::<String>::new(),
            "{aim:?}"
        );
    }
}

#[test]
fn what_is_missing_is_named() {
    let mut silent = facts();
    silent.heard_ms.insert(NodeId(5), 60_000);
    assert_eq!(missing(&silent, centre("a2")), ["all-heard", "quorum"]);
    let mut behind = facts();
    behind.matched.insert(NodeId(3), 100);
    behind.matched.insert(NodeId(4), 100);
    assert_eq!(missing(&behind, switch("a2")), ["caught-up", "heir"]);
    let mut clock = facts();
    let vitals = clock.vitals.values_mut().next().unwrap();
    (
        vitals.clock_off_ms,
        vitals.disk_free,
        vitals.certificate_days,
    ) = (900, 0, 1);
    assert_eq!(
        missing(&clock, switch("a2")),
        ["clocks", "disks", "certificates"]
    );
    let city = |facts: &Facts| {
        missing(
            facts,
            Aim::City {
                lost: "a".parse().unwrap(),
                on: "b-1".parse().unwrap(),
            },
        )
    };
    assert_eq!(city(&facts()), ["no-quorum"], "while the majority lives");
    let mut lost = facts();
    lost.leader = None;
    assert!(city(&lost).is_empty());
    lost.takeover_refused = Some("a2-1 answers".to_owned());
    assert_eq!(city(&lost), ["no-quorum"], "as the takeover itself would");
}

#[test]
fn an_aim_that_names_nothing_is_refused() {
    let refused = |aim| plan(&facts(), aim).unwrap_err();
    assert!(matches!(
        refused(centre("c")),
        PlanError::Unknown { what: "centre", .. }
    ));
    let node = |name: &str, hold_ms| Aim::Node {
        node: name.parse().unwrap(),
        hold_ms,
    };
    assert!(matches!(
        refused(node("a9", 5_000)),
        PlanError::Unknown { .. }
    ));
    assert!(matches!(
        refused(node("a1-1", 1)),
        PlanError::Hold { ms: 1 }
    ));
    let link = Aim::Link {
        from: "a1".parse().unwrap(),
        to: "a1".parse().unwrap(),
        one_way: false,
        hold_ms: 5_000,
    };
    assert!(matches!(refused(link), PlanError::OneEnd(_)));
    let city = Aim::City {
        lost: "a".parse().unwrap(),
        on: "a1-1".parse().unwrap(),
    };
    assert!(matches!(refused(city), PlanError::InLostCity { .. }));
}

#[test]
fn a_city_votes_by_majority_before_it_leads() {
    let voices = |to: &str| {
        let plan = plan(&facts(), switch(to)).unwrap();
        plan.steps.into_iter().find_map(|step| match step.act {
            Act::Voices { voices, before } => Some((voices, before)),
            _ => None,
        })
    };
    assert_eq!(voices("a2"), None, "city A has its majority");
    let (voices, before) = voices("b").unwrap();
    // b-1 and b-2 vote, and one node of city A: two of three are in B.
    let name = |name: &str| -> NodeName { name.parse().unwrap() };
    let learners = ["a1-2", "a2-1", "a2-2"].map(|it| (name(it), Voice::Learner));
    let mut expected: BTreeMap<_, _> = learners.into();
    expected.insert(name("b-2"), Voice::Voter);
    assert_eq!(voices, expected);
    assert_eq!(before[&name("b-2")], Voice::Learner);
    assert_eq!(before[&name("a1-2")], Voice::Voter);
}

#[test]
fn a_lost_leader_is_expected_to_cost_more_than_a_lost_follower() {
    let cost = |aim| plan(&facts(), aim).unwrap().expected.rto_ms_p50;
    assert!(cost(centre("a1")) > 500, "the leader is in a1");
    assert!(cost(centre("a2")) < 100);
    assert!(cost(switch("a2")) < 150);
}

#[test]
fn the_hash_follows_the_plan() {
    let one = plan(&facts(), switch("a2")).unwrap();
    let mut other = one.clone();
    let hash = |plan: &Plan| guitai_evidence::drill::plan_hash(plan).unwrap();
    assert_eq!(hash(&one), hash(&other));
    other.steps[0].within_ms += 1;
    assert_ne!(hash(&one), hash(&other));
    assert_eq!(hash(&one).0.len(), 32);
}

#[test]
fn one_node_of_each_centre_probes_and_never_the_one_held_apart() {
    let node = Aim::Node {
        node: "a1-1".parse().unwrap(),
        hold_ms: 5_000,
    };
    let plan = plan(&facts(), node).unwrap();
    let probers = probers(&members(), &plan.aim);
    let names: Vec<&str> = probers.values().map(|name| name.as_str()).collect();
    assert_eq!(names, ["a1-2", "a2-1", "b-1"]);
}

/// The page shows what the planner says; its tests read these (`nodes/console/web/src/console/dr`).
/// `GUITAI_BLESS=1 cargo nextest run -p guitai-dr pages_are_tested` writes them anew.
#[test]
fn the_plans_that_the_pages_are_tested_with_are_the_planners() {
    let node = |node: &str| Aim::Node {
        node: node.parse().unwrap(),
        hold_ms: 5_000,
    };
    let link = |one_way| Aim::Link {
        from: "a1".parse().unwrap(),
        to: "a2".parse().unwrap(),
        one_way,
        hold_ms: 15_000,
    };
    let city = || Aim::City {
        lost: "a".parse().unwrap(),
        on: "b-1".parse().unwrap(),
    };
    let mut alone = facts();
    alone.leader = None;
    alone.heard_ms.retain(|id, _| *id >= NodeId(5));
    alone
        .vitals
        .retain(|name, _| name.as_str().starts_with('b'));
    let mut behind = facts();
    behind.matched.insert(NodeId(5), 100);
    let vitals = behind.vitals.values_mut().next_back().unwrap();
    (vitals.clock_off_ms, vitals.disk_free) = (380, 120 << 20);
    let plans = [
        ("node", plan(&facts(), node("a1-1"))),
        ("centre", plan(&facts(), centre("a1"))),
        ("link", plan(&facts(), link(false))),
        ("link-one-way", plan(&facts(), link(true))),
        ("switch", plan(&facts(), switch("a2"))),
        ("switch-city", plan(&facts(), switch("b"))),
        ("city", plan(&alone, city())),
        ("city-refused", plan(&facts(), city())),
        ("centre-refused", plan(&behind, centre("a1"))),
    ];
    let plans = plans.map(|(name, plan)| (name, plan.unwrap()));
    let plans: BTreeMap<_, _> = plans.into_iter().collect();
    let said = serde_json::to_string_pretty(&plans).unwrap() + "\n";
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../tests/vectors/dr-plans.json"
    );
    if std::env::var_os("GUITAI_BLESS").is_some() {
        std::fs::write(path, &said).unwrap();
    }
    let kept = std::fs::read_to_string(path).unwrap_or_default();
    assert!(
        kept == said,
        "{path} is not what the planner says; see above"
    );
}
