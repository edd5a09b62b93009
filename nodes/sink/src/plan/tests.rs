use guitai_types::Date;

use super::*;

const DAY: u64 = 24 * 60 * 60 * 1000;

/// Chance for the tests: xorshift, by seed.
struct Chance(u64);

impl Chance {
    fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % n
    }
}

fn object(bytes: u64) -> Object {
    Object {
        bytes,
        sm3: Hex(vec![7; 32]),
        version: None,
        until: None,
        held: false,
    }
}

fn files(chance: &mut Chance) -> BTreeMap<String, u64> {
    let mut files: BTreeMap<String, u64> = [
        "journal",
        "seal",
        "summary.json",
        "key",
        "key.tmp",
        "erased.json",
    ]
    .map(|name| (name.to_owned(), 1 + chance.below(9)))
    .into();
    for number in 0..chance.below(90) {
        files.insert(format!("t1-{number:06}.seg"), 1 + chance.below(9));
    }
    files
}

/// The driver, without a network: what a step says is done, and fails now and then.
fn act(
    step: &Step,
    files: &BTreeMap<String, u64>,
    there: &mut There,
    chance: &mut Chance,
    now: UnixMillis,
) {
    match step {
        Step::Put(names) => {
            for name in names {
                if chance.below(8) > 0 {
                    there.put(name, object(files[name]));
                }
            }
        }
        Step::Close => there.put(MANIFEST, object(1)),
        Step::Lock { names, until, held } => {
            for name in names {
                let object = there.object_mut(name).unwrap();
                assert!(
                    until.is_none() || *until >= object.until,
                    "a lock is never shortened"
                );
                object.until = until.or(object.until);
                object.held = *held;
            }
        }
        Step::Read => {
            there.read_at = Some(now);
            if chance.below(4) == 0 {
                there.lost("journal");
            }
        }
        Step::Rest | Step::Mend(_) | Step::Delete | Step::Locked => {}
    }
}

#[test]
fn whatever_fails_the_copy_becomes_whole_and_locked_and_then_rests() {
    for seed in 1..500 {
        let mut chance = Chance(seed * 0x9e37_79b9);
        let (mut files, mut there) = (files(&mut chance), There::new());
        let mut now = UnixMillis(1_700_000_000_000);
        let mut promise = Promise::default();
        for _ in 0..3 {
            promise = Promise {
                until: promise
                    .until
                    .max((chance.below(2) == 0).then(|| now.plus(DAY * chance.below(4000)))),
                held: chance.below(3) == 0,
            };
            let mut steps = 0;
            loop {
                let here = Here::Sealed(files.clone());
                let step = next(&here, &there, promise, LockMode::Compliance, now);
                if let Step::Put(names) | Step::Lock { names, .. } = &step {
                    assert!(names.len() <= FILES_IN_STEP_MAX && !names.is_empty());
                    assert!(!names.iter().any(|name| is_secret(name)), "{names:?}");
                }
                if step == Step::Rest {
                    break;
                }
                act(&step, &files, &mut there, &mut chance, now);
                steps += 1;
                assert!(steps < 200, "seed {seed} does not come to rest");
            }
            let public = files.keys().filter(|name| !is_secret(name));
            assert!(public.eq(there.files.keys()), "seed {seed}");
            let summary = there.summary().unwrap();
            assert!(promise.until <= summary.until && promise.held == summary.held);
            // Something comes after the seal.
            files.insert("attached".to_owned(), 1 + chance.below(9));
            now = now.plus(DAY * chance.below(40));
        }
    }
}

#[test]
fn what_is_lost_here_is_fetched_and_never_put_over_what_is_there() {
    let mut files: BTreeMap<String, u64> =
        [("journal".to_owned(), 3), ("t1-000001.seg".to_owned(), 5)].into();
    let mut there = There::new();
    for (name, bytes) in &files {
        there.put(name, object(*bytes));
    }
    let step = |files: &BTreeMap<String, u64>| {
        let here = Here::Sealed(files.clone());
        next(
            &here,
            &there,
            Promise::default(),
            LockMode::None,
            UnixMillis(0),
        )
    };
    assert_eq!(step(&files), Step::Close);
    files.insert("journal".to_owned(), 2);
    assert_eq!(step(&files), Step::Mend(vec!["journal".to_owned()]));
    files.remove("t1-000001.seg");
    files.insert("journal".to_owned(), 3);
    assert_eq!(step(&files), Step::Mend(vec!["t1-000001.seg".to_owned()]));
}

#[test]
fn nothing_is_deleted_before_its_lock_runs_out_and_a_refusal_is_not_asked_again_at_once() {
    let until = "2031-05-09".parse::<Date>().unwrap().over();
    let mut there = There::new();
    there.put("journal", object(3));
    there.put(MANIFEST, object(1));
    there.object_mut("journal").unwrap().until = Some(until);
    let step = |there: &There, now| {
        next(
            &Here::Erased,
            there,
            Promise::default(),
            LockMode::Compliance,
            now,
        )
    };
    assert_eq!(step(&there, UnixMillis(until.0 - 1)), Step::Locked);
    assert_eq!(step(&there, until), Step::Delete);
    // Somebody else locked it for longer: the bucket's own rule.
    there.refused_at = Some(until);
    assert_eq!(
        step(&there, until.plus(DELETE_AGAIN_AFTER_MS - 1)),
        Step::Locked
    );
    assert_eq!(
        step(&there, until.plus(DELETE_AGAIN_AFTER_MS)),
        Step::Delete
    );
    // A hold that ended while this node was away.
    there.refused_at = None;
    there.object_mut(MANIFEST).unwrap().held = true;
    let lift = Step::Lock {
        names: vec![MANIFEST.to_owned()],
        until: None,
        held: false,
    };
    assert_eq!(step(&there, until), lift);
    // Nothing was ever put.
    assert_eq!(step(&There::new(), UnixMillis(0)), Step::Delete);
}

#[test]
fn a_date_that_moves_in_moves_no_lock() {
    let mut there = There::new();
    let files: BTreeMap<String, u64> = [("journal".to_owned(), 3)].into();
    there.put("journal", object(3));
    there.put(MANIFEST, object(1));
    there.read_at = Some(UnixMillis(0));
    for name in ["journal", MANIFEST] {
        there.object_mut(name).unwrap().until = Some(UnixMillis(2 * DAY));
    }
    let step = |until, mode| {
        let promise = Promise { until, held: false };
        next(
            &Here::Sealed(files.clone()),
            &there,
            promise,
            mode,
            UnixMillis(0),
        )
    };
    assert_eq!(
        step(Some(UnixMillis(DAY)), LockMode::Compliance),
        Step::Rest
    );
    assert_eq!(step(None, LockMode::Compliance), Step::Rest);
    assert!(matches!(
        step(Some(UnixMillis(3 * DAY)), LockMode::Governance),
        Step::Lock { .. }
    ));
    assert_eq!(step(Some(UnixMillis(3 * DAY)), LockMode::None), Step::Rest);
}

#[test]
fn pauses_double_and_end() {
    let pauses: Vec<u64> = (1..12).map(pause_ms).collect();
    assert_eq!(pauses[..4], [1_000, 2_000, 4_000, 8_000]);
    assert!(pauses.is_sorted() && pause_ms(u32::MAX) == PAUSE_MS_MAX && pauses[10] == PAUSE_MS_MAX);
}

#[test]
fn the_manifest_is_frozen() {
    let mut there = There::new();
    there.put("journal", object(3));
    let bytes = there.manifest_bytes(&"s1".parse().unwrap(), &"a1-1".parse().unwrap());
    let text = format!(
        r#"{{"files":{{"journal":{{"bytes":3,"sm3":"{}"}}}},"node":"a1-1","session":"s1","v":1}}"#,
        "07".repeat(32)
    );
    assert_eq!(String::from_utf8(bytes).unwrap(), text);
}
