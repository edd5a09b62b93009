//! The bank of the simulations: places, nodes, institutions, queues, staff.

use std::{fmt::Debug, net::SocketAddr, str::FromStr};

use guitai_meta_core::State;
use guitai_types::{
    Centre, City, Hex, Member, NodeId, Role, StaffRef, Voice, Zone,
    command::Command,
    media::KeyHolder,
    place::Text,
    record::{
        Branch, Consent, Duty, Institution, Participant, Policy, Queue, Reservation, Staff, Step,
        WrappedKey,
    },
};

/// Reads an id that is known to be one.
///
/// # Panics
/// When it is none: the simulation is written wrongly.
pub fn id<T: FromStr<Err: Debug>>(text: &str) -> T {
    text.parse().expect("the simulation's ids are ids")
}

/// How large the bank is.
#[derive(Debug, Clone, Copy)]
pub struct Size {
    /// Institutions.
    pub institutions: u64,
    /// Agents of each institution.
    pub agents: u64,
}

/// Queues of every institution; an agent has the skills of the first, of both, or of one and the
/// rest, by number.
pub const QUEUES: [(&str, &[&str]); 3] = [
    ("retail", &["retail"]),
    ("loan", &["loan"]),
    ("premium", &["retail", "loan"]),
];

/// The command that founds the bank: five nodes in three centres, two of them recorders, two edges.
pub fn found(size: Size) -> Command {
    Command::Found {
        cluster: id("bank-cluster"),
        cities: [("a", "甲市"), ("b", "乙市")]
            .map(|(city, name)| City {
                id: id(city),
                name: text(name),
            })
            .into(),
        centres: [("a1", "a"), ("a2", "a"), ("b", "b")]
            .map(|(centre, city)| Centre {
                id: id(centre),
                city: id(city),
                name: text(centre),
            })
            .into(),
        members: members(),
        institutions: (0..size.institutions).map(institution).collect(),
        staff: (0..size.institutions)
            .flat_map(|bank| (0..size.agents).map(move |agent| staff(bank, agent)))
            .collect(),
        policy: Policy::default(),
    }
}

/// The staff account of an agent.
pub fn agent(bank: u64, agent: u64) -> StaffRef {
    StaffRef {
        institution: id(&format!("bank{bank}")),
        name: id(&format!("agent{agent}")),
    }
}

/// A public key that looks like one; nobody has the secret.
pub fn point(number: u64) -> Hex {
    let mut bytes = vec![7; 65];
    bytes[0] = 4;
    bytes[1..9].copy_from_slice(&number.to_be_bytes());
    Hex(bytes)
}

/// A media key wrapped to a holder. Instead of a ciphertext it says by whose key pair it opens and of
/// which epoch it is, so that the invariants can see who could open what.
pub fn wrapped(holder: &KeyHolder, epoch: u32) -> WrappedKey {
    let mut bytes = holder.public_key.0.clone();
    bytes.extend_from_slice(&epoch.to_be_bytes());
    WrappedKey {
        recipient: holder.participant.clone(),
        wrapped: Hex(bytes),
    }
}

/// Everybody whom a proposer wraps to when a reservation is accepted: both pages and all recorders.
pub fn everybody(state: &State, reservation: &Reservation) -> Vec<KeyHolder> {
    let ticket = state.ticket(&reservation.ticket);
    let desk = state.desk(&reservation.staff);
    let pages = [
        (Participant::Customer, ticket.map(|it| it.media_key.clone())),
        (Participant::Agent, desk.map(|it| it.media_key.clone())),
    ];
    let recorders = state.recorders().map(|member| {
        let node = member.name.clone();
        (
            Participant::Recorder { node },
            Some(member.public_key.clone()),
        )
    });
    let holder = |(participant, public_key): (Participant, Option<Hex>)| KeyHolder {
        participant,
        public_key: public_key.unwrap_or_default(),
    };
    pages.into_iter().chain(recorders).map(holder).collect()
}

/// A customer's consent.
pub fn consent(recording: bool) -> Consent {
    Consent {
        recording,
        wording: "2026-11".to_owned(),
        at: guitai_types::UnixMillis(0),
    }
}

fn members() -> Vec<Member> {
    let core = Role::Core;
    let nodes: [(u64, &str, &str, &[Role]); 8] = [
        (1, "a1-1", "a1", &[core, Role::Relay]),
        (2, "a1-2", "a1", &[core, Role::Recorder]),
        (3, "a2-1", "a2", &[core, Role::Relay]),
        (4, "a2-2", "a2", &[core, Role::Recorder]),
        (5, "b-1", "b", &[core]),
        (6, "edge-a1", "a1", &[Role::Edge]),
        (7, "edge-a2", "a2", &[Role::Edge]),
        (8, "b-2", "b", &[core, Role::Recorder]),
    ];
    let member = |(number, name, centre, roles): (u64, &str, &str, &[Role])| {
        let is_edge = roles.contains(&Role::Edge);
        let address = SocketAddr::from(([127, 0, 0, number as u8], 7443));
        Member {
            id: NodeId(number),
            name: id(name),
            centre: id(centre),
            zone: if is_edge { Zone::Dmz } else { Zone::Inner },
            roles: roles.to_vec(),
            voice: if is_edge { Voice::None } else { Voice::Voter },
            mesh: address,
            door: address,
            public_key: point(number),
        }
    };
    nodes.into_iter().map(member).collect()
}

fn institution(bank: u64) -> Institution {
    let queues = QUEUES.map(|(queue, skills)| Queue {
        id: id(queue),
        name: text(queue),
        skills: skills.iter().map(|skill| id(skill)).collect(),
        steps: ["identity", "disclosure"].map(step).into(),
    });
    let branch = Branch {
        id: id("main"),
        name: text("总行"),
        teams: vec![id("one")],
    };
    let name = format!("bank{bank}");
    Institution {
        id: id(&name),
        name: text(&name),
        branches: vec![branch],
        queues: queues.into(),
    }
}

fn step(name: &str) -> Step {
    Step {
        id: name.to_owned(),
        name: text(name),
        wording: Text::default(),
        required: true,
    }
}

fn staff(bank: u64, number: u64) -> Staff {
    let skills: &[&str] = match number % 3 {
        0 => &["retail"],
        1 => &["retail", "loan"],
        _ => &["loan"],
    };
    Staff {
        id: agent(bank, number),
        display: format!("柜员{number}"),
        number: format!("{number:06}"),
        branch: id("main"),
        team: id("one"),
        skills: skills.iter().map(|skill| id(skill)).collect(),
        duties: vec![Duty::Agent],
        password_phc: String::new(),
        approval_key: None,
    }
}

fn text(name: &str) -> Text {
    Text {
        zh: name.to_owned(),
        en: name.to_owned(),
    }
}
