//! Two sides over a gap that loses, keeps back, doubles, cuts, garbles and forges, under thousands of seeds.

use std::{cell::OnceCell, collections::BTreeMap, convert::Infallible};

use guitai_crypto::{sm2::SecretKey, sm3, twin};
use guitai_tlog::note::VerifierKey;
use guitai_types::UnixMillis;

use super::*;
use crate::{
    bundle::{Signer, open, seal},
    limits::ANSWERS_MAX,
    manifest::{Ack, FORMAT, Item, Manifest, Part, WhyFile, WhyItem},
    name::{Hash, Kind, KindName},
    record::{End, Record, read},
    report::{Fault, Standing},
};

/// Seeds of the great test; each is one world.
const SEEDS: u64 = 2_000;
/// Seeds that found a fault: waiting behind a lost acknowledgement, and two sides full of them.
const FOUND: [u64; 4] = [3, 13, 1267, 1645];
/// Ticks for which the gap is as bad as can be.
const BAD: u64 = 24;

struct Chance(u64);

impl Chance {
    fn next(&mut self, below: u64) -> u64 {
        // xorshift64*: enough to shake a world, the same everywhere.
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) % below
    }
}

thread_local! {
    static KEYS: OnceCell<[Vec<u8>; 3]> = const { OnceCell::new() };
}

fn secret(at: usize) -> SecretKey {
    let der = KEYS.with(|keys| {
        let keys =
            keys.get_or_init(|| [0; 3].map(|_| SecretKey::generate().to_pkcs8_der().to_vec()));
        keys[at].clone()
    });
    SecretKey::from_pkcs8_der(&der).unwrap()
}

/// One side with its folders, in memory.
struct Shore {
    side: Side,
    signer: Signer,
    peer: VerifierKey,
    journal: String,
    end: End,
    spool: BTreeMap<u64, Vec<u8>>,
    outbox: BTreeMap<u64, Vec<u8>>,
    partial: Vec<u8>,
    kept: Vec<(u64, Vec<u8>)>,
    waiting: BTreeMap<u64, Vec<u8>>,
    refused: Vec<WhyFile>,
}

impl Spool for BTreeMap<u64, Vec<u8>> {
    type Error = Infallible;
    fn read(&mut self, item: &Item, offset: u64, bytes: u64) -> Result<Vec<u8>, Infallible> {
        Ok(self[&item.number][offset as usize..][..bytes as usize].to_vec())
    }
}

/// Keeps parts; an item whose content begins with '!' does not pass its inspection.
struct Memory<'a>(&'a mut Vec<u8>, &'a mut Vec<(u64, Vec<u8>)>);

impl Shelf for Memory<'_> {
    type Error = Infallible;
    fn append(&mut self, _: &Item, offset: u64, content: &[u8]) -> Result<(), Infallible> {
        self.0.truncate(offset as usize);
        assert_eq!(self.0.len() as u64, offset);
        self.0.extend_from_slice(content);
        Ok(())
    }
    fn finish(&mut self, item: &Item, _: Kind) -> Result<Kept, Infallible> {
        let whole = std::mem::take(self.0);
        if Hash(sm3::hash(&whole)) != item.sm3 || whole.len() as u64 != item.bytes {
            return Ok(Kept::Refused(WhyItem::Digest, "SM3".to_owned()));
        }
        if whole.first() == Some(&b'!') {
            return Ok(Kept::Refused(
                WhyItem::Inspection,
                "begins with !".to_owned(),
            ));
        }
        self.1.push((item.number, whole));
        Ok(Kept::Accepted("looked at".to_owned()))
    }
    fn discard(&mut self, _: &Item) -> Result<(), Infallible> {
        self.0.clear();
        Ok(())
    }
}

fn item(number: u64, kind: &str, name: &str, content: &[u8]) -> Item {
    Item {
        number,
        kind: kind.parse().unwrap(),
        name: name.parse().unwrap(),
        bytes: content.len() as u64,
        sm3: Hash(sm3::hash(content)),
        sha256: Hash(twin::sha256(&[content])),
    }
}

impl Shore {
    fn new(me: usize) -> Self {
        let names = ["inner", "outer"].map(|it| it.parse().unwrap());
        let [inner, outer] = names;
        let (mine, theirs) = if me == 0 {
            (inner, outer)
        } else {
            (outer, inner)
        };
        let peer = bundle::verifier(&theirs, &secret(1 - me).public().to_point()).unwrap();
        let signer = Signer::new(&mine, secret(me)).unwrap();
        let terms = Terms {
            content_bytes: 64,
            outstanding: 4,
            item_bytes: 400,
            again_ms: 5,
            ..Terms::new("gap".parse().unwrap(), mine, theirs)
        };
        assert!(terms.is_sound());
        Self {
            side: Side::new(terms),
            signer,
            peer,
            journal: String::new(),
            end: End::default(),
            spool: BTreeMap::new(),
            outbox: BTreeMap::new(),
            partial: Vec::new(),
            kept: Vec::new(),
            waiting: BTreeMap::new(),
            refused: Vec::new(),
        }
    }

    fn happened(&mut self, record: &Record) {
        let (line, end) = self.end.next(record).unwrap();
        self.journal += &line;
        self.end = end;
        self.side.apply(record);
    }

    /// The process ends; the next one reads the journal, half a line of which may be the last.
    fn restart(&mut self) {
        let torn = self.journal.clone() + "{\"previous\":\"00";
        let journal = read(&torn).unwrap();
        assert_eq!(
            (journal.end, journal.bytes),
            (self.end, self.journal.len() as u64)
        );
        self.side = Side::of(self.side.terms.clone(), &journal.records);
    }

    fn queue(&mut self, at: UnixMillis, kind: &str, name: &str, content: &[u8]) {
        let item = item(self.side.out.next_item(), kind, name, content);
        self.spool.insert(item.number, content.to_vec());
        self.happened(&Record::Queued { at, item });
    }

    /// Makes what can be made, and gives what goes into the drop folder.
    fn send(&mut self, at: UnixMillis) -> Vec<(String, Vec<u8>)> {
        while let Plan::Bundle(plan) = self.side.plan() {
            let made = self.side.make(&plan, at, &self.signer, &mut self.spool);
            let (record, bytes) = made.unwrap();
            self.outbox.insert(self.side.out.last() + 1, bytes);
            self.happened(&record);
            assert!(
                self.side.out.outstanding().len() as u64
                    <= self.side.terms.outstanding + 2 * ANSWERS_MAX
            );
        }
        let numbers = self.side.again(at, false);
        let outstanding = self.side.out.outstanding();
        self.outbox
            .retain(|number, _| outstanding.contains_key(number));
        let Terms { ferry, me, .. } = &self.side.terms;
        let files = numbers
            .iter()
            .map(|number| {
                (
                    name::file_name(ferry, me, *number),
                    self.outbox[number].clone(),
                )
            })
            .collect();
        if !numbers.is_empty() {
            self.happened(&Record::Sent { at, numbers });
        }
        files
    }

    fn receive(&mut self, at: UnixMillis, files: Vec<(String, Vec<u8>)>) {
        if files.is_empty() {
            return;
        }
        let came = files.into_iter().map(|(_, bytes)| bytes);
        let waiting = std::mem::take(&mut self.waiting).into_values();
        let came: Vec<Vec<u8>> = came.chain(waiting).collect();
        let opened = came.iter().map(|bytes| (open(bytes, &self.peer), bytes));
        let mut opened: Vec<_> = opened.collect();
        // In the order of what they say of themselves, as files are in that of their names.
        opened.sort_by_key(|(it, _)| it.as_ref().map_or(0, |it| it.manifest.number));
        for (opened, bytes) in opened {
            let opened = match opened {
                Ok(opened) => opened,
                Err(refused) => {
                    self.refuse(at, refused.why);
                    continue;
                }
            };
            let number = opened.manifest.number;
            match self.side.judge(&opened.manifest, opened.statement) {
                Judged::Take => {
                    let mut shelf = Memory(&mut self.partial, &mut self.kept);
                    let Ok(record) = self.side.take(&opened, at, &mut shelf);
                    self.happened(&record);
                }
                Judged::Duplicate => self.happened(&Record::Duplicate { at, number }),
                Judged::Ahead => {
                    self.waiting.insert(number, bytes.clone());
                }
                Judged::Refused(why, _) => self.refuse(at, why),
            }
        }
        let numbers: Vec<u64> = self.waiting.keys().copied().collect();
        if !numbers.iter().eq(self.side.into.waiting()) {
            self.happened(&Record::Waiting { at, numbers });
        }
    }

    fn refuse(&mut self, at: UnixMillis, why: WhyFile) {
        self.refused.push(why);
        let (file, detail) = ("f".to_owned(), String::new());
        self.happened(&Record::FileRefused {
            at,
            file,
            bytes: 1,
            sm3: None,
            why,
            detail,
        });
    }

    fn is_done(&self) -> bool {
        let out = &self.side.out;
        out.waiting().next().is_none() && out.on_the_way().next().is_none()
    }

    fn report(&self) -> report::Report {
        let journal = read(&self.journal).unwrap();
        report::report(
            &self.side.terms,
            &journal.records,
            journal.end,
            None,
            UnixMillis(1_000),
            24,
        )
    }
}

/// What a bad gap makes of what passes.
fn harm(
    files: Vec<(String, Vec<u8>)>,
    held: &mut Vec<(String, Vec<u8>)>,
    chance: &mut Chance,
) -> Vec<(String, Vec<u8>)> {
    let mut out: Vec<(String, Vec<u8>)> = Vec::new();
    for (name, mut bytes) in files {
        match chance.next(10) {
            0 => continue,
            1 => held.push((name, bytes)),
            2 => {
                out.push((name.clone(), bytes.clone()));
                out.push((name, bytes));
            }
            3 => {
                bytes.truncate(chance.next(bytes.len() as u64) as usize);
                out.push((name, bytes));
            }
            4 => {
                let at = chance.next(bytes.len() as u64) as usize;
                bytes[at] ^= 1 << chance.next(8);
                out.push((name, bytes));
            }
            5 => {
                out.push((name.clone(), forged(&name)));
                out.push((name, bytes));
            }
            _ => out.push((name, bytes)),
        }
    }
    if chance.next(3) == 0 {
        out.append(held);
    }
    for at in (1..out.len()).rev() {
        out.swap(at, chance.next(at as u64 + 1) as usize);
    }
    out
}

/// A sound bundle of somebody else's key.
fn forged(name: &str) -> Vec<u8> {
    let from = if name.contains("inner") {
        "inner"
    } else {
        "outer"
    };
    let to = if from == "inner" { "outer" } else { "inner" };
    let signer = Signer::new(&from.parse().unwrap(), secret(2)).unwrap();
    let manifest = manifest(from, to, 1, None, Vec::new());
    seal(&manifest, &[], &signer).unwrap().bytes
}

fn manifest(
    from: &str,
    to: &str,
    number: u64,
    previous: Option<Hash>,
    parts: Vec<Part>,
) -> Manifest {
    Manifest {
        format: FORMAT.to_owned(),
        ferry: "gap".parse().unwrap(),
        from: from.parse().unwrap(),
        to: to.parse().unwrap(),
        number,
        previous,
        at: UnixMillis(1),
        settled: 0,
        ack: Ack::default(),
        parts,
    }
}

/// Four, so that they run beside each other.
#[test]
fn whatever_the_gap_does_all_arrives_once_in_order_or_is_refused_by_name_1() {
    worlds(0);
}

#[test]
fn whatever_the_gap_does_all_arrives_once_in_order_or_is_refused_by_name_2() {
    worlds(1);
}

#[test]
fn whatever_the_gap_does_all_arrives_once_in_order_or_is_refused_by_name_3() {
    worlds(2);
}

#[test]
fn whatever_the_gap_does_all_arrives_once_in_order_or_is_refused_by_name_4() {
    worlds(3);
}

/// Everything that is queued arrives once, in order and whole, or is named as refused on both sides.
fn worlds(quarter: u64) {
    let mut whys: BTreeMap<WhyFile, u64> = BTreeMap::new();
    let seeds = quarter * SEEDS / 4 + 1..=(quarter + 1) * SEEDS / 4;
    for seed in FOUND.into_iter().chain(seeds) {
        let mut chance = Chance(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15));
        let mut shores = [Shore::new(0), Shore::new(1)];
        let mut sent: [Vec<Vec<u8>>; 2] = Default::default();
        let mut held: [Vec<(String, Vec<u8>)>; 2] = Default::default();
        let items = [chance.next(8) + 1, chance.next(4)];
        let mut at = 1;
        while at < BAD || !shores.iter().all(Shore::is_done) {
            assert!(at < BAD + 300, "seed {seed}: it does not end");
            let now = UnixMillis(at);
            // From a time on the gap is a good one; until then it is as bad as can be.
            let is_bad = at < BAD;
            for me in 0..2 {
                if (sent[me].len() as u64) < items[me] && chance.next(3) == 0 {
                    let longest = if chance.next(12) == 0 { 500 } else { 200 };
                    let length = chance.next(longest);
                    let mut content: Vec<u8> =
                        (0..length).map(|_| chance.next(90) as u8 + 34).collect();
                    let is_bad = chance.next(6) == 0;
                    if let (true, Some(first)) = (is_bad, content.first_mut()) {
                        *first = b'!';
                    }
                    let kind = if chance.next(10) == 0 {
                        "hologram"
                    } else {
                        "report"
                    };
                    shores[me].queue(now, kind, "a.txt", &content);
                    sent[me].push(content);
                }
                if chance.next(16) == 0 {
                    shores[me].restart();
                }
                let files = shores[me].send(now);
                let files = if is_bad {
                    harm(files, &mut held[me], &mut chance)
                } else {
                    held[me].drain(..).chain(files).collect()
                };
                shores[1 - me].receive(now, files);
            }
            at += 1;
        }
        for me in 0..2 {
            check(seed, &sent[me], &shores[me], &shores[1 - me]);
            for why in &shores[me].refused {
                *whys.entry(*why).or_default() += 1;
            }
        }
    }
    // The gap did what it should, and nothing but damage was refused.
    let whys: Vec<WhyFile> = whys.into_keys().collect();
    assert_eq!(
        whys,
        [WhyFile::Truncated, WhyFile::Garbled, WhyFile::Forged]
    );
}

fn check(seed: u64, sent: &[Vec<u8>], from: &Shore, to: &Shore) {
    let (left, entered) = (from.report().sent.items, to.report().received.items);
    assert_eq!(left.len(), sent.len(), "seed {seed}");
    assert_eq!(entered.len(), sent.len(), "seed {seed}");
    let mut kept = to.kept.iter();
    for ((content, left), entered) in sent.iter().zip(&left).zip(&entered) {
        let item = &left.item;
        assert_eq!(*item, entered.item, "seed {seed}");
        assert_eq!(
            left.standing, entered.standing,
            "seed {seed}: item {}",
            item.number
        );
        assert_eq!(left.why, entered.why, "seed {seed}");
        let expected = if item.kind.as_str() == "hologram" {
            Some(WhyItem::UnknownKind)
        } else if content.len() > 400 {
            Some(WhyItem::TooLarge)
        } else if content.first() == Some(&b'!') {
            Some(WhyItem::Inspection)
        } else {
            None
        };
        assert_eq!(entered.why, expected, "seed {seed}");
        match expected {
            Some(_) => assert_eq!(entered.standing, Standing::Refused),
            None => {
                assert_eq!(entered.standing, Standing::Kept);
                assert_eq!(
                    kept.next(),
                    Some(&(item.number, content.clone())),
                    "seed {seed}"
                );
            }
        }
    }
    assert_eq!(kept.next(), None, "seed {seed}: something arrived twice");
}

#[test]
fn two_full_sides_do_not_wait_for_each_other() {
    let mut shores = [Shore::new(0), Shore::new(1)];
    for shore in &mut shores {
        for _ in 0..12 {
            shore.queue(UnixMillis(1), "report", "a.txt", &[b'a'; 64]);
        }
    }
    let mut at = 2;
    while !shores.iter().all(Shore::is_done) {
        let files = [0, 1].map(|me| shores[me].send(UnixMillis(at)));
        let [inner, outer] = files;
        shores[1].receive(UnixMillis(at), inner);
        shores[0].receive(UnixMillis(at), outer);
        at += 1;
        assert!(at < 30);
    }
    assert!(shores.iter().all(|shore| shore.kept.len() == 12));
    // Then there is nothing to say: acknowledgements are not acknowledged for ever.
    for round in 0..10 {
        let counts = [0, 1].map(|me| {
            let files = shores[me].send(UnixMillis(at));
            let count = files.len();
            shores[1 - me].receive(UnixMillis(at), files);
            count
        });
        assert!(round < 3 || counts == [0, 0], "round {round}: {counts:?}");
    }
}

#[test]
fn without_a_way_back_it_stops_at_the_limit_and_an_answer_by_hand_lets_it_go_on() {
    let [mut inner, mut outer] = [Shore::new(0), Shore::new(1)];
    for _ in 0..6 {
        inner.queue(UnixMillis(1), "report", "a.txt", &[b'a'; 64]);
    }
    inner.queue(UnixMillis(1), "report", "b.txt", b"!");
    let files = inner.send(UnixMillis(2));
    assert_eq!((files.len(), inner.side.plan()), (4, Plan::Full));
    outer.receive(UnixMillis(2), files);
    let by_hand = |inner: &mut Shore, outer: &Shore| {
        let answer = outer.side.answer(UnixMillis(3));
        let text = bundle::seal_answer(&answer, &outer.signer).unwrap();
        let read = bundle::open_answer(text.as_bytes(), &inner.peer).unwrap();
        let record = inner.side.answered(&read, UnixMillis(4)).unwrap();
        inner.happened(&record);
        text
    };
    let first = by_hand(&mut inner, &outer);
    let files = inner.send(UnixMillis(5));
    outer.receive(UnixMillis(5), files);
    by_hand(&mut inner, &outer);
    assert!(inner.is_done());
    let report = inner.report();
    assert_eq!((report.sent.kept, report.sent.refused), (6, 1));
    assert_eq!(report.findings.len(), 1);
    assert_eq!(report.findings[0].fault, Fault::ItemRefused);
    // An old one does no harm, another's is none, and nobody acknowledges what was never sent.
    let old = bundle::open_answer(first.as_bytes(), &inner.peer).unwrap();
    let record = inner.side.answered(&old, UnixMillis(6)).unwrap();
    inner.happened(&record);
    assert!(inner.is_done());
    assert!(outer.side.answered(&old, UnixMillis(6)).is_none());
    let garbled = first.replace("\"received\":4", "\"received\":9");
    let refused = bundle::open_answer(garbled.as_bytes(), &inner.peer).unwrap_err();
    assert_eq!(refused.why, WhyFile::Forged);
    let mut never = old.clone();
    never.ack.received = 99;
    assert!(inner.side.answered(&never, UnixMillis(6)).is_none());
}

#[test]
fn a_signed_bundle_that_does_not_fit_is_refused_with_its_reason() {
    let outer = Shore::new(1);
    let signer = Signer::new(&"inner".parse().unwrap(), secret(0)).unwrap();
    let content = b"content".to_vec();
    let part = |number: u64, offset: u64| Part {
        item: item(
            number,
            "report",
            "a.txt",
            &[b"0123456", &content[..]].concat(),
        ),
        offset,
        bytes: 7,
        sm3: Hash(sm3::hash(&content)),
    };
    let judge = |outer: &Shore, manifest: &Manifest| {
        let contents = vec![content.clone(); manifest.parts.len()];
        let sealed = seal(manifest, &contents, &signer).unwrap();
        let opened = open(&sealed.bytes, &outer.peer);
        opened.map(|it| outer.side.judge(&it.manifest, it.statement))
    };
    let made = |number, previous, parts| manifest("inner", "outer", number, previous, parts);
    let why = |judged: Result<Judged, bundle::Refused>| match judged {
        Ok(Judged::Refused(why, _)) => Some(why),
        Ok(_) => None,
        Err(refused) => Some(refused.why),
    };
    assert_eq!(why(judge(&outer, &made(1, None, vec![]))), None);
    assert_eq!(why(judge(&outer, &made(1, None, vec![part(1, 0)]))), None);
    for parts in [
        vec![part(2, 0)],
        vec![part(1, 7)],
        vec![part(1, 0), part(2, 0)],
    ] {
        assert_eq!(
            why(judge(&outer, &made(1, None, parts))),
            Some(WhyFile::Parts)
        );
    }
    let zeros = Some(Hash([0; 32]));
    assert_eq!(
        judge(&outer, &made(2, zeros, vec![])).unwrap(),
        Judged::Ahead
    );
    assert_eq!(
        why(judge(&outer, &made(5_000, zeros, vec![]))),
        Some(WhyFile::Ahead)
    );
    assert_eq!(
        why(judge(&outer, &made(1, zeros, vec![]))),
        Some(WhyFile::Garbled)
    );
    assert_eq!(
        why(judge(&outer, &made(1, None, vec![part(1, 9)]))),
        Some(WhyFile::Garbled)
    );
    let mut other = made(1, None, vec![]);
    other.ferry = "other".parse().unwrap();
    assert_eq!(why(judge(&outer, &other)), Some(WhyFile::Foreign));
    let mut future = made(1, None, vec![]);
    future.format = "guitai-ferry-bundle/2".to_owned();
    assert_eq!(why(judge(&outer, &future)), Some(WhyFile::Foreign));
    let mut liar = made(1, None, vec![]);
    (liar.ack.received, liar.ack.tip) = (3, zeros);
    assert_eq!(why(judge(&outer, &liar)), Some(WhyFile::Acknowledgement));

    // After the first was taken: another first is a second history, and a second must continue it.
    let mut outer = outer;
    let sealed = seal(&made(1, None, vec![]), &[], &signer).unwrap();
    outer.receive(UnixMillis(1), vec![(String::new(), sealed.bytes)]);
    assert_eq!(
        judge(&outer, &made(1, None, vec![])).unwrap(),
        Judged::Duplicate
    );
    assert_eq!(
        why(judge(&outer, &made(1, None, vec![part(1, 0)]))),
        Some(WhyFile::Conflict)
    );
    assert_eq!(
        why(judge(&outer, &made(2, zeros, vec![]))),
        Some(WhyFile::Previous)
    );
    assert_eq!(
        judge(&outer, &made(2, Some(sealed.statement), vec![])).unwrap(),
        Judged::Take
    );
}

#[test]
fn more_refusals_than_one_bundle_names_are_told_in_the_next() {
    let [mut inner, mut outer] = [Shore::new(0), Shore::new(1)];
    for _ in 0..70 {
        inner.queue(UnixMillis(1), "report", "a.txt", b"!");
    }
    inner.queue(UnixMillis(1), "report", "a.txt", b"good");
    let mut at = 2;
    while !inner.is_done() {
        for _ in 0..2 {
            let files = inner.send(UnixMillis(at));
            outer.receive(UnixMillis(at), files);
        }
        let files = outer.send(UnixMillis(at));
        inner.receive(UnixMillis(at), files);
        // Nothing refused is ever taken for kept.
        let sent = inner.report().sent;
        assert!(
            sent.items
                .iter()
                .take(70)
                .all(|it| it.standing != Standing::Kept)
        );
        at += 1;
        assert!(at < 30);
    }
    assert_eq!(inner.report().sent.refused, 70);
}

#[test]
fn an_altered_journal_is_not_believed() {
    let mut shore = Shore::new(0);
    for name in ["a.txt", "b.txt", "c.txt"] {
        shore.queue(UnixMillis(1), "report", name, b"x");
    }
    let text = shore.journal.clone();
    assert_eq!(read(&text).unwrap().records.len(), 3);
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    for altered in [
        text.replace("b.txt", "d.txt"),
        [lines[0], lines[2]].concat(),
        [lines[1], lines[0], lines[2]].concat(),
    ] {
        assert!(read(&altered).is_err());
    }
}

/// The bytes of a bundle are the format: another form is another version.
#[test]
fn the_form_of_a_bundle_is_frozen() {
    let content = b"{}".to_vec();
    let part = Part {
        item: item(1, "report", "a.json", &content),
        offset: 0,
        bytes: 2,
        sm3: Hash(sm3::hash(&content)),
    };
    let signer = Signer::new(&"inner".parse().unwrap(), secret(0)).unwrap();
    let sealed = seal(
        &manifest("inner", "outer", 1, None, vec![part]),
        &[content],
        &signer,
    )
    .unwrap();
    let mut archive = tar::Archive::new(&sealed.bytes[..]);
    let names: Vec<String> = archive
        .entries()
        .unwrap()
        .map(|entry| entry.unwrap().path().unwrap().display().to_string())
        .collect();
    assert_eq!(names, ["manifest", "parts/00"]);
    let text = String::from_utf8_lossy(&sealed.bytes[512..]);
    let line = text.lines().next().unwrap();
    assert_eq!(
        line,
        "{\"ack\":{\"files\":[],\"files_refused\":0,\"missing\":[],\"more\":false,\"received\":0,\"refused\":[]},\"at\":1,\
         \"ferry\":\"gap\",\"format\":\"guitai-ferry-bundle/1\",\"from\":\"inner\",\"number\":1,\"parts\":[{\"bytes\":2,\
         \"item\":{\"bytes\":2,\"kind\":\"report\",\"name\":\"a.json\",\"number\":1,\
         \"sha256\":\"44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a\",\
         \"sm3\":\"f1a823aaaaafe40e113c7f04dd72c289faf86252c4a9b57cf1d3c9e12547f9ad\"},\"offset\":0,\
         \"sm3\":\"f1a823aaaaafe40e113c7f04dd72c289faf86252c4a9b57cf1d3c9e12547f9ad\"}],\"settled\":0,\"to\":\"outer\"}"
    );
    assert_eq!(KindName::from(Kind::Report).as_str(), "report");
}
