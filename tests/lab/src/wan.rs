//! The emulated WAN's decisions: what happens to a packet on its way, and when it comes out. No I/O;
//! time and seed are arguments, so that the same packets at the same times meet the same fate.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BinaryHeap},
    net::Ipv4Addr,
    time::Duration,
};

use guitai_host::SeededEntropy;
use serde::{Deserialize, Serialize};

/// Packets on their way at one time, over all links; more are dropped as by a full router.
pub const PACKETS_MAX: usize = 65_536;
/// The longest a packet waits for bandwidth before the link's queue counts as full.
pub const QUEUE_MAX: Duration = Duration::from_millis(300);
/// The longest delay a link may have.
pub const DELAY_MAX: Duration = Duration::from_secs(10);

/// One direction of a link between two hosts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Link {
    /// One way, in microseconds.
    pub delay_us: u64,
    /// Each packet's delay differs by up to this much, to both sides; the order is kept.
    pub jitter_us: u64,
    /// Packets lost, of a million.
    pub loss_ppm: u32,
    /// Packets that come twice, of a million.
    pub duplicate_ppm: u32,
    /// Packets that overtake those before them, of a million.
    pub reorder_ppm: u32,
    /// Bits per second; 0 is without limit.
    pub bandwidth_bps: u64,
    /// IP packets longer than this vanish without a message; 0 is none.
    pub hole_over_bytes: u32,
    /// Nothing passes.
    pub cut: bool,
}

impl Link {
    /// A healthy link with this one-way delay.
    pub const fn healthy(delay_us: u64) -> Self {
        Self {
            delay_us,
            jitter_us: 0,
            loss_ppm: 0,
            duplicate_ppm: 0,
            reorder_ppm: 0,
            bandwidth_bps: 0,
            hole_over_bytes: 0,
            cut: false,
        }
    }
}

/// What went over one direction of a link.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Passed {
    /// Packets that came out.
    pub packets: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Packets that did not come out.
    pub dropped: u64,
}

/// A packet that comes out now.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Delivery {
    /// Host it comes out at.
    pub to: usize,
    /// The IP packet.
    pub packet: Vec<u8>,
}

/// All links and what is on its way on them.
#[derive(Debug)]
pub struct Wan {
    hosts: BTreeMap<Ipv4Addr, usize>,
    links: Vec<Vec<Link>>,
    passed: Vec<Vec<Passed>>,
    /// Per link: when its wire is free again, and when the packet before comes out.
    wires: Vec<Vec<(Duration, Duration)>>,
    heap: BinaryHeap<Reverse<(Duration, u64, Delivery)>>,
    serial: u64,
    chance: SeededEntropy,
}

impl Wan {
    /// Links as `healthy(from, to)` says among hosts with these addresses.
    pub fn new(hosts: &[Ipv4Addr], seed: u64, healthy: impl Fn(usize, usize) -> Link) -> Self {
        let count = hosts.len();
        let row = |from| (0..count).map(|to| healthy(from, to)).collect();
        Self {
            hosts: hosts.iter().copied().zip(0..).collect(),
            links: (0..count).map(row).collect(),
            passed: vec![vec![Passed::default(); count]; count],
            wires: vec![vec![(Duration::ZERO, Duration::ZERO); count]; count],
            heap: BinaryHeap::new(),
            serial: 0,
            chance: SeededEntropy::new(seed),
        }
    }

    /// One direction; `None` for a host that is not there.
    pub fn link(&self, from: usize, to: usize) -> Option<Link> {
        self.links.get(from)?.get(to).copied()
    }

    /// Changes one direction for the packets that come from now on.
    pub fn set(&mut self, from: usize, to: usize, link: Link) {
        if let Some(place) = self.links.get_mut(from).and_then(|row| row.get_mut(to)) {
            *place = link;
        }
    }

    /// What one direction has carried.
    pub fn passed(&self, from: usize, to: usize) -> Passed {
        let row = self.passed.get(from);
        row.and_then(|row| row.get(to)).copied().unwrap_or_default()
    }

    /// Takes an IP packet that `from` sent at `now`; what no link carries is dropped.
    pub fn offer(&mut self, now: Duration, from: usize, packet: &[u8]) {
        let Some(to) = destination(packet).and_then(|to| self.hosts.get(&to).copied()) else {
            return;
        };
        let Some(link) = self.link(from, to) else {
            return;
        };
        match self.due(now, (from, to), link, packet.len()) {
            Some(due) => {
                let twice = self.happens(link.duplicate_ppm);
                for _ in 0..=u8::from(twice) {
                    self.serial += 1;
                    let packet = packet.to_vec();
                    let one = (due, self.serial, Delivery { to, packet });
                    self.heap.push(Reverse(one));
                }
                let passed = &mut self.passed[from][to]; // `link` has looked there already
                passed.packets += 1;
                passed.bytes += packet.len() as u64;
            }
            None => self.passed[from][to].dropped += 1, // as above
        }
    }

    /// When the next packet comes out.
    pub fn next_due(&self) -> Option<Duration> {
        self.heap.peek().map(|Reverse((due, ..))| *due)
    }

    /// The next packet that is due at `now`.
    pub fn take(&mut self, now: Duration) -> Option<Delivery> {
        if self.next_due()? > now {
            return None;
        }
        self.heap.pop().map(|Reverse((.., delivery))| delivery)
    }

    /// When a packet comes out; `None` when it never does.
    fn due(
        &mut self,
        now: Duration,
        (from, to): (usize, usize),
        link: Link,
        bytes: usize,
    ) -> Option<Duration> {
        let too_long = link.hole_over_bytes > 0 && bytes > link.hole_over_bytes as usize;
        let full = self.heap.len() + 2 > PACKETS_MAX;
        if link.cut || too_long || full || self.happens(link.loss_ppm) {
            return None;
        }
        let (free, last) = self.wires.get(from)?.get(to).copied()?;
        let begins = free.max(now);
        if begins - now > QUEUE_MAX {
            return None;
        }
        let sending = (bytes as u64 * 8_000_000).checked_div(link.bandwidth_bps);
        let sent = begins + Duration::from_micros(sending.unwrap_or(0));
        let jitter = self.chance.below(2 * link.jitter_us + 1);
        let delay = (link.delay_us + jitter).saturating_sub(link.jitter_us);
        let overtakes = self.happens(link.reorder_ppm);
        let due = if overtakes {
            sent + Duration::from_micros(delay / 2)
        } else {
            last.max(sent + Duration::from_micros(delay))
        };
        self.wires[from][to] = (sent, last.max(due)); // looked at above
        Some(due)
    }

    fn happens(&self, ppm: u32) -> bool {
        ppm > 0 && self.chance.below(1_000_000) < u64::from(ppm)
    }
}

/// Destination of an IPv4 packet (RFC 791, 3.1); nothing else is carried.
fn destination(packet: &[u8]) -> Option<Ipv4Addr> {
    if packet.first()? >> 4 != 4 {
        return None;
    }
    let octets: [u8; 4] = packet.get(16..20)?.try_into().ok()?;
    Some(octets.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: Ipv4Addr = Ipv4Addr::new(10, 1, 2, 1);
    const B: Ipv4Addr = Ipv4Addr::new(10, 3, 2, 1);

    fn wan(link: Link) -> Wan {
        Wan::new(&[A, B], 7, |_, _| link)
    }

    fn packet(to: Ipv4Addr, bytes: usize, mark: u8) -> Vec<u8> {
        let mut packet = vec![mark; bytes];
        packet[0] = 0x45;
        packet[16..20].copy_from_slice(&to.octets());
        packet
    }

    fn ms(count: u64) -> Duration {
        Duration::from_millis(count)
    }

    /// Sends `count` packets of 100 bytes, one a millisecond, and gives when each mark came out.
    fn run(link: Link, count: u8) -> Vec<(Duration, u8)> {
        let mut wan = wan(link);
        for mark in 0..count {
            wan.offer(ms(mark.into()), 0, &packet(B, 100, mark));
        }
        let mut out = Vec::new();
        while let Some(due) = wan.next_due() {
            let delivery = wan.take(due).expect("due");
            assert_eq!(delivery.to, 1);
            out.push((due, delivery.packet[50]));
        }
        out
    }

    #[test]
    fn a_packet_comes_out_after_its_delay_and_not_before() {
        let mut wan = wan(Link::healthy(15_000));
        wan.offer(ms(1), 0, &packet(B, 100, 0));
        assert_eq!(wan.take(ms(15)), None);
        assert_eq!(wan.take(ms(16)).expect("due").to, 1);
        assert_eq!(wan.passed(0, 1).bytes, 100);
    }

    #[test]
    fn a_cut_is_one_way() {
        let mut wan = wan(Link::healthy(0));
        wan.set(
            0,
            1,
            Link {
                cut: true,
                ..Link::healthy(0)
            },
        );
        wan.offer(ms(0), 0, &packet(B, 100, 0));
        assert_eq!(wan.take(ms(99)), None);
        wan.offer(ms(0), 1, &packet(A, 100, 0));
        assert_eq!(wan.take(ms(99)).expect("the way back").to, 0);
        assert_eq!((wan.passed(0, 1).dropped, wan.passed(1, 0).dropped), (1, 0));
    }

    #[test]
    fn jitter_keeps_the_order_and_its_bounds() {
        let link = Link {
            jitter_us: 4_000,
            ..Link::healthy(5_000)
        };
        let out = run(link, 200);
        let marks: Vec<u8> = out.iter().map(|(_, mark)| *mark).collect();
        assert_eq!(marks, (0..200).collect::<Vec<u8>>());
        let late = |(due, mark): &(Duration, u8)| *due - ms(u64::from(*mark));
        assert!(
            out.iter()
                .all(|one| late(one) >= ms(1) && late(one) <= ms(9))
        );
        assert!(out.iter().any(|one| late(one) < ms(4)));
        assert!(out.iter().any(|one| late(one) > ms(6)));
    }

    #[test]
    fn loss_duplicates_and_overtaking_happen_about_as_often_as_asked() {
        let half = 500_000;
        let lossy = run(
            Link {
                loss_ppm: half,
                ..Link::healthy(1_000)
            },
            200,
        );
        assert!((60..140).contains(&lossy.len()), "{}", lossy.len());
        let double = run(
            Link {
                duplicate_ppm: half,
                ..Link::healthy(1_000)
            },
            200,
        );
        assert!((260..340).contains(&double.len()), "{}", double.len());
        let mixed = run(
            Link {
                reorder_ppm: half,
                ..Link::healthy(10_000)
            },
            200,
        );
        assert!(mixed.windows(2).filter(|two| two[0].1 > two[1].1).count() > 20);
    }

    #[test]
    fn bandwidth_spaces_packets_and_its_queue_ends() {
        // 100 bytes at 80 kbit/s are 10 ms.
        let out = run(
            Link {
                bandwidth_bps: 80_000,
                ..Link::healthy(0)
            },
            200,
        );
        assert!(out.windows(2).all(|two| two[1].0 - two[0].0 == ms(10)));
        assert!(
            out.len() < 60,
            "a queue of 300 ms holds 30 packets: {}",
            out.len()
        );
    }

    #[test]
    fn a_hole_swallows_what_is_too_long() {
        let mut wan = wan(Link {
            hole_over_bytes: 1_280,
            ..Link::healthy(0)
        });
        wan.offer(ms(0), 0, &packet(B, 1_281, 0));
        assert_eq!(wan.next_due(), None);
        wan.offer(ms(0), 0, &packet(B, 1_280, 0));
        assert!(wan.next_due().is_some());
    }

    #[test]
    fn the_same_seed_gives_the_same_fate() {
        let link = Link {
            loss_ppm: 300_000,
            jitter_us: 900,
            ..Link::healthy(1_000)
        };
        assert_eq!(run(link, 100), run(link, 100));
    }

    #[test]
    fn what_is_no_ipv4_packet_for_a_host_is_dropped() {
        let mut wan = wan(Link::healthy(0));
        for bad in [
            &[][..],
            &[0x45; 19],
            &packet(Ipv4Addr::new(10, 9, 9, 9), 40, 0),
        ] {
            wan.offer(ms(0), 0, bad);
        }
        let mut six = packet(B, 40, 0);
        six[0] = 0x60;
        wan.offer(ms(0), 0, &six);
        assert_eq!(wan.next_due(), None);
    }
}
