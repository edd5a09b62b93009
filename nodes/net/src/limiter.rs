//! Who is let in at a door that strangers reach: the decision, from an address and the time. No I/O.
//!
//! A guest is a connection. It is a stranger until it has shown a ticket ([`Limiter::served`]). Strangers are bounded
//! by address and as a whole; past the whole a newcomer takes the place of the stranger who waits longest at the address
//! that has most of them, so that a flood from few addresses displaces itself. Who was served is never displaced.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    time::Duration,
};

use guitai_types::door::DoorLimits;

use crate::pace::{Bucket, Rate};

/// Addresses that are remembered at once; those of whom nothing is held against them are forgotten first.
pub const SOURCES_MAX: usize = 65_536;
/// Connections over QUIC that have shown no ticket, at once; those in their handshake are of them.
pub const QUIC_STRANGERS_MAX: u32 = 512;
/// Of them, those whose address is not proven: anyone can write any address on a datagram.
pub const UNPROVEN_MAX: u32 = QUIC_STRANGERS_MAX / 4;
/// Handshakes that begin in a second before addresses are proven; past it every newcomer is asked to prove its own (Retry,
/// RFC 9000 8.1.2).
pub const UNPROVEN_PER_SECOND: u32 = 100;
/// How often memory is looked through for addresses that can be forgotten, at most.
const SWEEP_EVERY: Duration = Duration::from_secs(1);

const _: () = assert!(UNPROVEN_MAX < QUIC_STRANGERS_MAX);

/// Where a guest comes from, as far as it counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Source {
    /// Whoever has not proven its address: all of them are one.
    Unproven,
    /// An address of IPv4.
    V4([u8; 4]),
    /// A network of 64 bits of IPv6: whoever has one address of it has them all.
    V6([u8; 8]),
}

impl Source {
    /// That of an address.
    pub fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(address) => Self::V4(address.octets()),
            IpAddr::V6(address) => {
                let [a, b, c, d, e, f, g, h, ..] = address.octets();
                Self::V6([a, b, c, d, e, f, g, h])
            }
        }
    }
}

/// Why somebody or something is not let in, or not any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Why {
    /// The address has as many strangers' connections as it may.
    AddressFull,
    /// The address opens connections too fast.
    AddressRate,
    /// More addresses than are remembered.
    Addresses,
    /// Every place is taken by who was served.
    Full,
    /// A newcomer took the stranger's place.
    Displaced,
    /// The address has to be proven first; not a refusal, the newcomer comes again.
    Unproven,
    /// The address asks too much without a ticket.
    RequestRate,
    /// The address opens too many tickets.
    TicketRate,
    /// The ticket asks too much.
    BearerRate,
    /// The ticket has as many connections as it may.
    BearerFull,
    /// The handshake was none, or not done in time.
    Handshake,
    /// The head of a request did not come in time.
    SlowHead,
    /// What came is no request, or its head is too long.
    BadHead,
    /// The body of a request is too long.
    BodyTooLarge,
    /// What was answered is not read.
    SlowReader,
}

impl Why {
    /// Label in metrics and verdict in the account of flows.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::AddressFull => "address-full",
            Self::AddressRate => "address-rate",
            Self::Addresses => "addresses",
            Self::Full => "full",
            Self::Displaced => "displaced",
            Self::Unproven => "unproven",
            Self::RequestRate => "request-rate",
            Self::TicketRate => "ticket-rate",
            Self::BearerRate => "bearer-rate",
            Self::BearerFull => "bearer-full",
            Self::Handshake => "handshake",
            Self::SlowHead => "slow-head",
            Self::BadHead => "bad-head",
            Self::BodyTooLarge => "body-too-large",
            Self::SlowReader => "slow-reader",
        }
    }
}

/// What a door takes.
#[derive(Debug, Clone)]
pub struct Rules {
    connections: u32,
    strangers: u32,
    unproven: u32,
    unproven_arrivals: Rate,
    address_strangers: u32,
    address_arrivals: Rate,
    address_requests: Rate,
    address_tickets: Rate,
    bearer_connections: u32,
    bearer_requests: Rate,
    gateways: BTreeSet<Source>,
}

impl Rules {
    /// Those of an edge's door over TCP.
    pub fn tcp(limits: &DoorLimits) -> Self {
        let second = |count| Rate::new(count, Duration::from_secs(1));
        Self {
            connections: limits.connections,
            strangers: limits.strangers,
            unproven: 0,
            unproven_arrivals: Rate::NONE,
            address_strangers: none_is_many(limits.address_strangers),
            address_arrivals: second(limits.address_arrivals),
            address_requests: second(limits.address_requests),
            address_tickets: Rate::new(limits.address_tickets, Duration::from_secs(60)),
            bearer_connections: limits.ticket_connections,
            bearer_requests: second(limits.ticket_requests),
            gateways: limits.gateways.iter().copied().map(Source::of).collect(),
        }
    }

    /// Those of an edge's door over QUIC, beside the relay's own limit of media connections.
    pub fn quic(limits: &DoorLimits) -> Self {
        Self {
            strangers: QUIC_STRANGERS_MAX.min(limits.strangers),
            unproven: UNPROVEN_MAX.min(limits.strangers / 4),
            unproven_arrivals: Rate::new(UNPROVEN_PER_SECOND, Duration::from_secs(1)),
            ..Self::tcp(limits)
        }
    }

    /// Those of a door that only staff reach: places, and nothing by address.
    pub fn lax(connections: u32) -> Self {
        Self {
            connections,
            strangers: connections,
            unproven: UNPROVEN_MAX,
            unproven_arrivals: Rate::NONE,
            address_strangers: u32::MAX,
            address_arrivals: Rate::NONE,
            address_requests: Rate::NONE,
            address_tickets: Rate::NONE,
            bearer_connections: u32::MAX,
            bearer_requests: Rate::NONE,
            gateways: BTreeSet::new(),
        }
    }

    /// Connections that may be those of bearers.
    const fn served_max(&self) -> u32 {
        // A lax door keeps no places: whoever is there may stay.
        let rest = self.connections.saturating_sub(self.strangers);
        if rest == 0 { self.connections } else { rest }
    }
}

const fn none_is_many(count: u32) -> u32 {
    if count == 0 { u32::MAX } else { count }
}

/// Number of a connection in a limiter's life; later ones are higher.
pub type GuestId = u64;

/// Who was let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entered {
    /// The newcomer.
    pub guest: GuestId,
    /// Whose place it takes; that one is gone from the limiter.
    pub displaced: Option<GuestId>,
}

/// Keeps account of one door's guests.
#[derive(Debug)]
pub struct Limiter {
    rules: Rules,
    next: GuestId,
    guests: BTreeMap<GuestId, Standing>,
    sources: BTreeMap<Source, Account>,
    /// Sources that have strangers: how many, since when the first of them waits.
    heaviest: BTreeSet<(u32, Reverse<GuestId>, Source)>,
    bearers: BTreeMap<String, Bearer>,
    strangers: u32,
    served: u32,
    swept: Option<Duration>,
}

#[derive(Debug)]
enum Standing {
    Stranger(Source),
    Served(String),
}

/// What is known of one source.
#[derive(Debug, Default)]
struct Account {
    strangers: BTreeSet<GuestId>,
    arrivals: Bucket,
    requests: Bucket,
    tickets: Bucket,
}

impl Account {
    fn is_clear(&self, now: Duration) -> bool {
        let buckets = [&self.arrivals, &self.requests, &self.tickets];
        self.strangers.is_empty() && buckets.iter().all(|it| it.is_full(now))
    }
}

#[derive(Debug, Default)]
struct Bearer {
    connections: u32,
    requests: Bucket,
}

impl Limiter {
    /// A door nobody has come to.
    pub fn new(rules: Rules) -> Self {
        Self {
            rules,
            next: 0,
            guests: BTreeMap::new(),
            sources: BTreeMap::new(),
            heaviest: BTreeSet::new(),
            bearers: BTreeMap::new(),
            strangers: 0,
            served: 0,
            swept: None,
        }
    }

    /// Strangers' connections now.
    pub const fn strangers(&self) -> u32 {
        self.strangers
    }

    /// Connections now of who has shown a ticket.
    pub const fn served_now(&self) -> u32 {
        self.served
    }

    /// Whether an address stands for many customers.
    pub fn is_gateway(&self, source: Source) -> bool {
        self.rules.gateways.contains(&source)
    }

    /// Somebody comes in.
    ///
    /// # Errors
    /// [`Why::Unproven`] where the address has to be proven first; else why not.
    pub fn arrive(&mut self, source: Source, now: Duration) -> Result<Entered, Why> {
        self.admit(source, now)?;
        let displaced = self.make_room()?;
        let guest = self.next;
        self.next = self.next.wrapping_add(1);
        self.seat(guest, source);
        Ok(Entered { guest, displaced })
    }

    /// A stranger has proven its address.
    ///
    /// # Errors
    /// When that address has as many as it may; the guest is gone then.
    pub fn settle(&mut self, guest: GuestId, source: Source, now: Duration) -> Result<(), Why> {
        if !matches!(self.guests.get(&guest), Some(Standing::Stranger(was)) if *was != source) {
            return Ok(());
        }
        self.leave(guest);
        self.admit(source, now)?;
        self.seat(guest, source);
        Ok(())
    }

    /// A guest has shown a ticket: from now on no newcomer takes its place.
    ///
    /// # Errors
    /// When the ticket has as many connections as it may, or every place kept for who is served is taken. The guest stays
    /// what it is.
    pub fn served(&mut self, guest: GuestId, bearer: &str) -> Result<(), Why> {
        let Some(Standing::Stranger(_)) = self.guests.get(&guest) else {
            return Ok(());
        };
        if self.served >= self.rules.served_max() {
            return Err(Why::Full);
        }
        let has = self.bearers.get(bearer).map_or(0, |it| it.connections);
        if has >= self.rules.bearer_connections {
            return Err(Why::BearerFull);
        }
        self.leave(guest);
        let of = self.bearers.entry(bearer.to_owned()).or_default();
        of.connections = of.connections.saturating_add(1);
        self.served = self.served.saturating_add(1);
        let standing = Standing::Served(bearer.to_owned());
        self.guests.insert(guest, standing);
        Ok(())
    }

    /// A connection is over. One that was displaced may say so, too.
    pub fn leave(&mut self, guest: GuestId) {
        match self.guests.remove(&guest) {
            Some(Standing::Stranger(source)) => {
                self.strangers = self.strangers.saturating_sub(1);
                self.recount(source, |account| account.strangers.remove(&guest));
            }
            Some(Standing::Served(bearer)) => {
                self.served = self.served.saturating_sub(1);
                if let Some(of) = self.bearers.get_mut(&bearer) {
                    of.connections = of.connections.saturating_sub(1);
                    if of.connections == 0 {
                        self.bearers.remove(&bearer);
                    }
                }
            }
            None => {}
        }
    }

    /// A guest asks something: one who was served draws on its ticket, a stranger on its address.
    ///
    /// # Errors
    /// When there were too many.
    pub fn ask(&mut self, guest: GuestId, source: Source, now: Duration) -> Result<(), Why> {
        if let Some(Standing::Served(bearer)) = self.guests.get(&guest) {
            let rate = self.rules.bearer_requests;
            let of = self.bearers.get_mut(bearer);
            let has = of.is_none_or(|of| of.requests.take(rate, now));
            return if has { Ok(()) } else { Err(Why::BearerRate) };
        }
        let rate = self.rules.address_requests;
        self.draw(source, rate, now, |it| &mut it.requests, Why::RequestRate)
    }

    /// Somebody wants a new ticket.
    ///
    /// # Errors
    /// When the address has had too many.
    pub fn ticket(&mut self, source: Source, now: Duration) -> Result<(), Why> {
        let rate = self.rules.address_tickets;
        self.draw(source, rate, now, |it| &mut it.tickets, Why::TicketRate)
    }

    fn draw(
        &mut self,
        source: Source,
        rate: Rate,
        now: Duration,
        bucket: impl Fn(&mut Account) -> &mut Bucket,
        why: Why,
    ) -> Result<(), Why> {
        if self.is_gateway(source) {
            return Ok(());
        }
        let has = bucket(self.account(source, now)?).take(rate, now);
        if has { Ok(()) } else { Err(why) }
    }

    /// Whether a source may have one more now.
    fn admit(&mut self, source: Source, now: Duration) -> Result<(), Why> {
        let (most, rate, full, fast) = match source {
            Source::Unproven => {
                let Rules {
                    unproven,
                    unproven_arrivals,
                    ..
                } = self.rules;
                (unproven, unproven_arrivals, Why::Unproven, Why::Unproven)
            }
            Source::V4(_) | Source::V6(_) => {
                let Rules {
                    address_strangers,
                    address_arrivals,
                    ..
                } = self.rules;
                (
                    address_strangers,
                    address_arrivals,
                    Why::AddressFull,
                    Why::AddressRate,
                )
            }
        };
        if self.is_gateway(source) {
            return self.account(source, now).map(|_| ());
        }
        let account = self.account(source, now)?;
        if account.strangers.len() >= most as usize {
            return Err(full);
        }
        if !account.arrivals.take(rate, now) {
            return Err(fast);
        }
        Ok(())
    }

    /// Room for one more stranger; says who has to go for it.
    fn make_room(&mut self) -> Result<Option<GuestId>, Why> {
        let has_room = self.strangers < self.rules.strangers
            && self.strangers.saturating_add(self.served) < self.rules.connections;
        if has_room {
            return Ok(None);
        }
        let Some((_, Reverse(longest), _)) = self.heaviest.last().copied() else {
            return Err(Why::Full);
        };
        self.leave(longest);
        Ok(Some(longest))
    }

    fn seat(&mut self, guest: GuestId, source: Source) {
        self.guests.insert(guest, Standing::Stranger(source));
        self.strangers = self.strangers.saturating_add(1);
        self.recount(source, |account| account.strangers.insert(guest));
    }

    /// Changes who of a source is here, and its place among the heaviest with it.
    fn recount(&mut self, source: Source, change: impl FnOnce(&mut Account) -> bool) {
        let is_gateway = self.is_gateway(source);
        let account = self.sources.entry(source).or_default();
        // A gateway's strangers are those of many: each weighs as one that came alone.
        let weight = |account: &Account| {
            let count = u32::try_from(account.strangers.len()).unwrap_or(u32::MAX);
            let count = if is_gateway { count.min(1) } else { count };
            let first = account.strangers.first().copied();
            first.map(|first| (count, Reverse(first), source))
        };
        let was = weight(account);
        change(account);
        let is = weight(account);
        if let Some(was) = was {
            self.heaviest.remove(&was);
        }
        if let Some(is) = is {
            self.heaviest.insert(is);
        }
    }

    /// What is known of a source, a new one too while there is room.
    fn account(&mut self, source: Source, now: Duration) -> Result<&mut Account, Why> {
        if self.sources.len() >= SOURCES_MAX && !self.sources.contains_key(&source) {
            let is_due = self
                .swept
                .is_none_or(|swept| now.saturating_sub(swept) >= SWEEP_EVERY);
            if is_due {
                self.swept = Some(now);
                self.sources.retain(|_, account| !account.is_clear(now));
            }
            if self.sources.len() >= SOURCES_MAX {
                return Err(Why::Addresses);
            }
        }
        Ok(self.sources.entry(source).or_default())
    }
}

#[cfg(test)]
mod tests;
