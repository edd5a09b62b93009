use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;

fn limits() -> DoorLimits {
    DoorLimits {
        connections: 20,
        strangers: 8,
        address_strangers: 4,
        address_arrivals: 0,
        address_requests: 3,
        address_tickets: 2,
        ticket_connections: 2,
        ticket_requests: 5,
        gateways: vec!["10.0.0.9".parse().unwrap()],
    }
}

fn at(address: &str) -> Source {
    Source::of(address.parse().unwrap())
}

const NOW: Duration = Duration::from_secs(7);

fn guest(limiter: &mut Limiter, address: &str) -> GuestId {
    limiter.arrive(at(address), NOW).expect("let in").guest
}

#[test]
fn an_address_is_one_of_ipv4_or_64_bits_of_ipv6() {
    assert_eq!(at("::ffff:10.1.2.3"), at("10.1.2.3"));
    assert_eq!(at("2001:db8:1:2::1"), at("2001:db8:1:2:ffff::9"));
    assert_ne!(at("2001:db8:1:2::1"), at("2001:db8:1:3::1"));
}

#[test]
fn an_address_has_so_many_strangers_and_its_served_are_none_of_them() {
    let mut limiter = Limiter::new(Rules::tcp(&limits()));
    let first = guest(&mut limiter, "10.0.0.1");
    (0..3).for_each(|_| {
        guest(&mut limiter, "10.0.0.1");
    });
    assert_eq!(
        limiter.arrive(at("10.0.0.1"), NOW),
        Err(Why::AddressFull),
        "the fifth"
    );
    limiter.served(first, "ticket").unwrap();
    guest(&mut limiter, "10.0.0.1");
    assert_eq!((limiter.strangers(), limiter.served_now()), (4, 1));
}

#[test]
fn a_newcomer_displaces_who_waits_longest_where_most_are_and_never_who_was_served() {
    let mut limiter = Limiter::new(Rules::tcp(&limits()));
    let served = guest(&mut limiter, "10.0.0.1");
    limiter.served(served, "ticket").unwrap();
    let alone = guest(&mut limiter, "10.0.0.2");
    let flood: Vec<GuestId> = (0..4).map(|_| guest(&mut limiter, "10.0.0.3")).collect();
    (4..7).for_each(|host| {
        guest(&mut limiter, &format!("10.0.0.{host}"));
    });
    assert_eq!(limiter.strangers(), 8);
    let newcomer = limiter.arrive(at("10.0.0.7"), NOW).unwrap();
    assert_eq!(
        newcomer.displaced,
        Some(flood[0]),
        "not {alone}, which waits longer"
    );
    limiter.leave(flood[0]);
    assert_eq!((limiter.strangers(), limiter.served_now()), (8, 1));
}

#[test]
fn a_ticket_keeps_some_connections_and_has_a_pace_of_its_own() {
    let mut limiter = Limiter::new(Rules::tcp(&limits()));
    let guests: Vec<GuestId> = (0..3).map(|_| guest(&mut limiter, "10.0.0.1")).collect();
    let shown = guests
        .iter()
        .map(|guest| limiter.served(*guest, "t"))
        .collect::<Vec<_>>();
    assert_eq!(shown, [Ok(()), Ok(()), Err(Why::BearerFull)]);
    // What a stranger asks is held against its address, what a bearer asks against its ticket.
    let source = at("10.0.0.1");
    let mut asked = |guest| {
        (0..9)
            .filter(|_| limiter.ask(guest, source, NOW).is_ok())
            .count()
    };
    assert_eq!(
        (asked(guests[2]), asked(guests[0]), asked(guests[1])),
        (3, 5, 0)
    );
    let tickets = (0..9).filter(|_| limiter.ticket(source, NOW).is_ok());
    assert_eq!(tickets.count(), 2);
    assert_eq!(limiter.ticket(at("10.0.0.2"), NOW), Ok(()));
    assert_eq!(limiter.ask(guests[0], source, NOW), Err(Why::BearerRate));
}

#[test]
fn a_gateway_stands_for_many() {
    let mut limiter = Limiter::new(Rules::tcp(&limits()));
    (0..8).for_each(|_| {
        guest(&mut limiter, "10.0.0.9");
    });
    assert!((0..99).all(|_| limiter.ticket(at("10.0.0.9"), NOW).is_ok()));
    let flood = guest(&mut limiter, "10.0.0.1");
    let second = guest(&mut limiter, "10.0.0.1");
    let displaced = limiter.arrive(at("10.0.0.2"), NOW).unwrap().displaced;
    assert_eq!(displaced, Some(flood), "two of one address, {second} stays");
}

#[test]
fn past_some_handshakes_an_address_must_be_proven_and_then_counts() {
    let mut limiter = Limiter::new(Rules::quic(&limits()));
    let unproven: Vec<_> = (0..4)
        .map(|_| limiter.arrive(Source::Unproven, NOW))
        .collect();
    let let_in = unproven.iter().filter(|it| it.is_ok()).count();
    assert_eq!(let_in, 2, "a quarter of the strangers' places");
    assert_eq!(unproven[3], Err(Why::Unproven));
    (0..4).for_each(|_| {
        guest(&mut limiter, "10.0.0.1");
    });
    let first = unproven[0].unwrap().guest;
    assert_eq!(
        limiter.settle(first, at("10.0.0.1"), NOW),
        Err(Why::AddressFull)
    );
    let second = unproven[1].unwrap().guest;
    assert_eq!(limiter.settle(second, at("10.0.0.2"), NOW), Ok(()));
    assert_eq!(limiter.strangers(), 5);
    assert!(limiter.arrive(Source::Unproven, NOW).is_ok());
}

#[test]
fn addresses_are_bounded_and_those_with_nothing_against_them_forgotten() {
    let rules = DoorLimits {
        connections: 60_000,
        address_arrivals: 10,
        ..limits()
    };
    let mut limiter = Limiter::new(Rules::tcp(&rules));
    let mut flood = |now, from: u32| {
        let come = |host: u32| {
            let source = Source::V4((from + host).to_be_bytes());
            limiter.arrive(source, now).map(drop)
        };
        (0..SOURCES_MAX as u32 + 9)
            .map(come)
            .filter(Result::is_ok)
            .count()
    };
    // Within one instant all of them have drawn.
    assert_eq!(flood(NOW, 0), SOURCES_MAX);
    let later = NOW + Duration::from_secs(2);
    // Eight are still here.
    assert_eq!(flood(later, 1 << 24), SOURCES_MAX - 8);
}

/// What may happen at a door.
#[derive(Debug, Clone)]
enum Act {
    Arrive(u8),
    Unproven,
    Settle(usize, u8),
    Served(usize, u8),
    Leave(usize),
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let act = prop_oneof![
        6 => (0..6_u8).prop_map(Act::Arrive),
        1 => Just(Act::Unproven),
        1 => (any::<usize>(), 0..6_u8).prop_map(|(guest, host)| Act::Settle(guest, host)),
        3 => (any::<usize>(), 0..5_u8).prop_map(|(guest, ticket)| Act::Served(guest, ticket)),
        2 => any::<usize>().prop_map(Act::Leave),
    ];
    prop::collection::vec(act, 1..300)
}

proptest! {
    #[test]
    fn whatever_comes_no_limit_is_passed_and_no_served_guest_is_displaced(acts in acts()) {
        let mut limiter = Limiter::new(Rules::quic(&limits()));
        let mut here: Vec<GuestId> = Vec::new();
        let mut served: BTreeMap<GuestId, u8> = BTreeMap::new();
        let pick = |here: &[GuestId], index: usize| here.get(index.checked_rem(here.len())?).copied();
        for (tick, act) in acts.into_iter().enumerate() {
            let now = Duration::from_millis(tick as u64);
            match act {
                Act::Arrive(_) | Act::Unproven => {
                    let source = match act {
                        Act::Arrive(host) => Source::V4([10, 0, 0, host]),
                        _ => Source::Unproven,
                    };
                    if let Ok(Entered { guest, displaced }) = limiter.arrive(source, now) {
                        if let Some(displaced) = displaced {
                            prop_assert!(!served.contains_key(&displaced));
                            prop_assert!(here.contains(&displaced));
                            here.retain(|it| *it != displaced);
                        }
                        here.push(guest);
                    }
                }
                Act::Settle(index, host) => {
                    if let Some(guest) = pick(&here, index)
                        && !served.contains_key(&guest)
                        && limiter.settle(guest, Source::V4([10, 0, 0, host]), now).is_err()
                    {
                        here.retain(|it| *it != guest);
                    }
                }
                Act::Served(index, ticket) => {
                    if let Some(guest) = pick(&here, index)
                        && limiter.served(guest, &ticket.to_string()).is_ok()
                    {
                        served.entry(guest).or_insert(ticket);
                    }
                }
                Act::Leave(index) => {
                    if let Some(guest) = pick(&here, index) {
                        limiter.leave(guest);
                        served.remove(&guest);
                        here.retain(|it| *it != guest);
                    }
                }
            }
            let strangers = here.len() - served.len();
            prop_assert_eq!(limiter.strangers() as usize, strangers);
            prop_assert_eq!(limiter.served_now() as usize, served.len());
            prop_assert!(strangers <= 8 && here.len() <= 20);
            for ticket in 0..5 {
                prop_assert!(served.values().filter(|it| **it == ticket).count() <= 2);
            }
            let of_sources: BTreeSet<GuestId> =
                limiter.sources.values().flat_map(|it| it.strangers.iter().copied()).collect();
            prop_assert_eq!(of_sources.len(), strangers);
            let weights: u32 = limiter.heaviest.iter().map(|it| it.0).sum();
            prop_assert!(weights as usize <= strangers);
            for (source, account) in &limiter.sources {
                let most = if *source == Source::Unproven { 2 } else { 4 };
                prop_assert!(limiter.is_gateway(*source) || account.strangers.len() <= most);
            }
        }
    }
}
