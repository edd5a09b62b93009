//! Roots by the second: what this node made durable, of all its sessions, goes under one signed root about
//! once a second, and the root into the cluster's log while the calls still run.
//!
//! [`Roots`] decides: which segments wait, when there is a root, what is to be told and what may go. It
//! knows no disk and no clock. A root with its leaves is kept in a file beside the recordings before
//! anybody is told, and until the log has it and every session under it is sealed; so a killed recorder
//! tells what it had signed, and puts what it had not under its next root.

use std::collections::{BTreeMap, BTreeSet};

use guitai_crypto::x509::Identity;
use guitai_evidence::{
    log::Digest,
    roots::{self, RootLine, SALT_BYTES},
    tree::Hash,
};
use guitai_types::{Hex, NodeName, SessionId, UnixMillis, tlog::RecorderRoot};
use serde::{Deserialize, Serialize};

use crate::lost::Lost;

/// A durable segment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Closed {
    pub(crate) session: SessionId,
    pub(crate) track: u32,
    pub(crate) segment: u32,
    pub(crate) sm3: Hex,
}

/// A segment under a root.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Leaf {
    pub(crate) segment: Closed,
    pub(crate) salt: Hex,
}

/// A root, who signed it, and what is under it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Kept {
    /// Format version, 1.
    pub(crate) v: u16,
    pub(crate) root: RecorderRoot,
    /// The signer's certificates, DER, leaf first.
    pub(crate) chain: Vec<Hex>,
    pub(crate) leaves: Vec<Leaf>,
}

impl Kept {
    /// Signs the root of a second over segments.
    pub(crate) fn sign(
        node: &NodeName,
        second: u64,
        segments: Vec<Closed>,
        mut salt: impl FnMut() -> [u8; SALT_BYTES],
        signer: &Identity,
    ) -> Self {
        let leaf = |segment| Leaf {
            segment,
            salt: Hex(salt().to_vec()),
        };
        let leaves: Vec<Leaf> = segments.into_iter().map(leaf).collect();
        let count = u32::try_from(leaves.len()).unwrap_or(u32::MAX);
        let root = Hex(Digest::Sm3.root(&hashes(&leaves)).to_vec());
        let text = RecorderRoot::text(node, second, count, &root);
        let signature = Hex(signer.key.sign(text.as_bytes()));
        Self {
            v: 1,
            root: RecorderRoot {
                node: node.clone(),
                second,
                count,
                root,
                signature,
            },
            chain: signer.chain.iter().cloned().map(Hex).collect(),
            leaves,
        }
    }

    fn sessions(&self) -> BTreeSet<SessionId> {
        let leaves = self.leaves.iter();
        leaves.map(|leaf| leaf.segment.session.clone()).collect()
    }
}

fn hashes(leaves: &[Leaf]) -> Vec<Hash> {
    let hash = |leaf: &Leaf| {
        let fixed = |hex: &Hex| Hash::try_from(hex.0.as_slice()).unwrap_or_default();
        roots::leaf(&fixed(&leaf.salt), &fixed(&leaf.segment.sm3))
    };
    leaves.iter().map(hash).collect()
}

/// What a package says of roots: its lines, and the chains that they were signed under, the first being
/// that of `signer` 1. A segment that is under two roots, since nobody knew whether the earlier one was
/// kept, is said to be under the later.
pub(crate) fn lines(
    session: &SessionId,
    kept: &[Kept],
    lost: &Lost,
) -> (Vec<RootLine>, Vec<Vec<Hex>>) {
    let mut kept: Vec<&Kept> = kept.iter().collect();
    kept.sort_by_key(|kept| kept.root.second);
    // What is lost has no place in the package.
    let mut seen = lost.clone();
    let mut mine = Vec::new();
    for kept in kept.into_iter().rev() {
        let places: Vec<(u32, u32, u32, Hash)> = (0..)
            .zip(&kept.leaves)
            .filter(|(_, leaf)| leaf.segment.session == *session)
            .filter(|(_, leaf)| seen.insert((leaf.segment.track, leaf.segment.segment)))
            .map(|(index, leaf)| {
                let salt = Hash::try_from(leaf.salt.0.as_slice()).unwrap_or_default();
                (index, leaf.segment.track, leaf.segment.segment, salt)
            })
            .collect();
        if !places.is_empty() {
            mine.push((kept, places));
        }
    }
    let mut chains: Vec<Vec<Hex>> = Vec::new();
    let mut lines = Vec::new();
    for (kept, places) in mine.into_iter().rev() {
        let known = chains.iter().position(|chain| *chain == kept.chain);
        let at = known.unwrap_or(chains.len());
        if known.is_none() {
            chains.push(kept.chain.clone());
        }
        let root = &kept.root;
        lines.push(RootLine {
            node: root.node.clone(),
            second: root.second,
            count: root.count,
            root: root.root.clone(),
            signature: root.signature.clone(),
            signer: u32::try_from(at).unwrap_or(u32::MAX).saturating_add(1),
            segments: roots::places(&hashes(&kept.leaves), &places),
        });
    }
    (lines, chains)
}

/// What is known of the roots of a node.
#[derive(Debug, Default)]
pub(crate) struct Roots {
    /// Durable segments under no root that is kept.
    waiting: Vec<Closed>,
    /// Segments that wait or are under a root, of sessions that are not sealed.
    known: BTreeMap<SessionId, BTreeSet<(u32, u32)>>,
    /// Roots that are kept, by second: the sessions that still need them, and the root until it is told.
    kept: BTreeMap<u64, (BTreeSet<SessionId>, Option<RecorderRoot>)>,
    /// Second of the newest root.
    last: u64,
}

impl Roots {
    /// A root that an earlier run kept.
    pub(crate) fn found(&mut self, kept: &Kept, told: u64, needs: impl Fn(&SessionId) -> bool) {
        let is_told = kept.root.second <= told;
        self.add(kept);
        if is_told {
            self.told(kept.root.second);
        }
        for session in kept.sessions().iter().filter(|session| !needs(session)) {
            self.forget(session);
        }
    }

    /// A segment became durable, or is found to be: it waits unless it is known.
    pub(crate) fn closed(&mut self, segment: Closed) {
        let known = self.known.entry(segment.session.clone()).or_default();
        if known.insert((segment.track, segment.segment)) {
            self.waiting.push(segment);
        }
    }

    /// What the next root is over, and of which second; nothing when nothing waits. Each root is of a later
    /// second than the one before it, whatever the clock says.
    pub(crate) fn next(&self, now: UnixMillis) -> Option<(u64, Vec<Closed>)> {
        let second = (now.0 / 1000).max(self.last.saturating_add(1));
        let most = self.waiting.len().min(roots::LEAVES_MAX);
        let waiting = self.waiting.get(..most)?.to_vec();
        (!waiting.is_empty()).then_some((second, waiting))
    }

    /// The root is durable: what is under it waits no more.
    pub(crate) fn kept(&mut self, kept: &Kept) {
        let under: BTreeSet<(&SessionId, u32, u32)> = kept
            .leaves
            .iter()
            .map(|leaf| {
                let it = &leaf.segment;
                (&it.session, it.track, it.segment)
            })
            .collect();
        self.waiting
            .retain(|it| !under.contains(&(&it.session, it.track, it.segment)));
        self.add(kept);
    }

    /// A root of this second may have been kept or told: it is not used again.
    pub(crate) fn used(&mut self, second: u64) {
        self.last = self.last.max(second);
    }

    fn add(&mut self, kept: &Kept) {
        for leaf in &kept.leaves {
            let it = &leaf.segment;
            let known = self.known.entry(it.session.clone()).or_default();
            known.insert((it.track, it.segment));
        }
        let second = kept.root.second;
        self.last = self.last.max(second);
        self.kept
            .insert(second, (kept.sessions(), Some(kept.root.clone())));
    }

    /// The oldest root that the log has not.
    pub(crate) fn untold(&self) -> Option<&RecorderRoot> {
        self.kept.values().find_map(|(_, root)| root.as_ref())
    }

    /// The log has the root, or will never have it.
    pub(crate) fn told(&mut self, second: u64) {
        if let Some((_, root)) = self.kept.get_mut(&second) {
            *root = None;
        }
    }

    /// Whether every segment of a session that became durable is under a root.
    pub(crate) fn is_settled(&self, session: &SessionId) -> bool {
        self.waiting
            .iter()
            .all(|segment| segment.session != *session)
    }

    /// Seconds of the roots that a session needs.
    pub(crate) fn of(&self, session: &SessionId) -> Vec<u64> {
        let mine = self
            .kept
            .iter()
            .filter(|(_, (sessions, _))| sessions.contains(session));
        mine.map(|(second, _)| *second).collect()
    }

    /// The session is sealed: it needs no roots any more.
    pub(crate) fn forget(&mut self, session: &SessionId) {
        self.known.remove(session);
        self.waiting.retain(|segment| segment.session != *session);
        for (sessions, _) in self.kept.values_mut() {
            sessions.remove(session);
        }
    }

    /// Takes out the seconds whose roots are told and needed by nobody.
    pub(crate) fn spent(&mut self) -> Vec<u64> {
        let is_spent = |(sessions, root): &(BTreeSet<SessionId>, Option<RecorderRoot>)| {
            sessions.is_empty() && root.is_none()
        };
        let spent: Vec<u64> = self
            .kept
            .iter()
            .filter(|(_, it)| is_spent(it))
            .map(|(second, _)| *second)
            .collect();
        for second in &spent {
            self.kept.remove(second);
        }
        spent
    }
}

#[cfg(test)]
mod tests {
    use guitai_crypto::sm2;

    use super::*;

    fn segment(session: &str, track: u32, segment: u32) -> Closed {
        Closed {
            session: session.parse().unwrap(),
            track,
            segment,
            sm3: Hex(vec![(10 * track + segment) as u8; 32]),
        }
    }

    fn signed(second: u64, segments: Vec<Closed>) -> Kept {
        let signer = Identity {
            chain: vec![vec![1]],
            key: sm2::SecretKey::generate(),
        };
        let mut salt = 0;
        let salt = || {
            salt += 1;
            [salt; SALT_BYTES]
        };
        Kept::sign(&"a1-2".parse().unwrap(), second, segments, salt, &signer)
    }

    /// As the driver does.
    fn make(roots: &mut Roots, now_ms: u64) -> Option<Kept> {
        let (second, segments) = roots.next(UnixMillis(now_ms))?;
        let kept = signed(second, segments);
        roots.kept(&kept);
        Some(kept)
    }

    #[test]
    fn a_second_without_a_segment_has_no_root_and_a_root_is_over_all_sessions() {
        let mut roots = Roots::default();
        assert_eq!(make(&mut roots, 5_000), None);
        roots.closed(segment("5e55", 1, 1));
        roots.closed(segment("71c4", 1, 1));
        roots.closed(segment("5e55", 1, 1));
        let (one, other) = ("5e55".parse().unwrap(), "71c4".parse().unwrap());
        assert!(!roots.is_settled(&one));
        let kept = make(&mut roots, 6_900).unwrap();
        assert_eq!((kept.root.second, kept.root.count), (6, 2));
        assert!(roots.is_settled(&one) && make(&mut roots, 8_000).is_none());
        let (lines, chains) = lines(&one, std::slice::from_ref(&kept), &Lost::new());
        let [line] = &lines[..] else {
            panic!("one line");
        };
        assert_eq!((line.segments.len(), chains.len()), (1, 1));
        assert!(line.holds(&line.segments[0], &[11; 32]));
        assert_eq!(roots.of(&one), [6]);
        // The file goes when both sessions are sealed and the log has the root.
        roots.forget(&one);
        roots.told(6);
        assert_eq!(roots.spent(), [] as [u64; 0]);
        roots.forget(&other);
        assert_eq!(roots.spent(), [6]);
    }

    #[test]
    fn seconds_rise_whatever_the_clock_does() {
        let mut roots = Roots::default();
        let mut seconds = Vec::new();
        for (number, now_ms) in (1..).zip([9_000, 9_500, 3_000, 20_000]) {
            roots.closed(segment("5e55", 1, number));
            seconds.push(make(&mut roots, now_ms).unwrap().root.second);
        }
        assert_eq!(seconds, [9, 10, 11, 20]);
        roots.used(25);
        roots.closed(segment("5e55", 1, 9));
        assert_eq!(make(&mut roots, 21_000).unwrap().root.second, 26);
    }

    #[test]
    fn a_killed_recorder_tells_what_it_signed_and_roots_what_it_had_not() {
        let mut roots = Roots::default();
        roots.closed(segment("5e55", 1, 1));
        let first = make(&mut roots, 5_000).unwrap();
        roots.closed(segment("5e55", 1, 2));
        let second = make(&mut roots, 6_000).unwrap();
        roots.told(5);
        roots.closed(segment("5e55", 1, 3));
        // Killed here: the journal knows of three segments, the disk of two roots.
        let mut roots = Roots::default();
        for kept in [&first, &second] {
            roots.found(kept, 5, |_| true);
        }
        for number in 1..=3 {
            roots.closed(segment("5e55", 1, number));
        }
        assert_eq!(roots.untold(), Some(&second.root));
        let third = make(&mut roots, 2_000).unwrap();
        assert_eq!((third.root.second, third.leaves.len()), (7, 1));
        roots.told(6);
        assert_eq!(roots.untold(), Some(&third.root));
        let session = "5e55".parse().unwrap();
        let (lines, _) = lines(&session, &[third, first, second], &Lost::new());
        let seconds: Vec<u64> = lines.iter().map(|line| line.second).collect();
        assert_eq!(seconds, [5, 6, 7]);
        // Found again after the seal, a root is needed by nobody.
        let mut roots = Roots::default();
        roots.found(&signed(5, vec![segment("5e55", 1, 1)]), 5, |_| false);
        assert_eq!(roots.spent(), [5]);
    }

    #[test]
    fn a_segment_under_two_roots_is_said_to_be_under_the_later() {
        let twice = [5, 6].map(|second| signed(second, vec![segment("5e55", 1, 1)]));
        let (lines, chains) = lines(&"5e55".parse().unwrap(), &twice, &Lost::new());
        let seconds: Vec<u64> = lines.iter().map(|line| line.second).collect();
        assert_eq!((seconds, chains.len()), (vec![6], 1));
    }

    #[test]
    fn what_is_kept_is_frozen() {
        let json = r#"{"v":1,"root":{"node":"a1-2","second":5,"count":1,"root":"07","signature":"30"},"chain":["01"],"leaves":[{"segment":{"session":"5e55","track":1,"segment":2,"sm3":"0b"},"salt":"0c"}]}"#;
        let kept: Kept = serde_json::from_str(json).unwrap();
        assert_eq!(serde_json::to_string(&kept).unwrap(), json);
    }
}
