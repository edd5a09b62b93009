//! What is measured: our code under secrets, and twins that leak on purpose.

use std::cell::RefCell;
use std::hint::black_box;
use std::rc::Rc;

use guitai_crypto::{random, sm2, sm3, sm4};

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Class {
    Fixed,
    Random,
}

pub(crate) struct Subject {
    pub(crate) name: String,
    pub(crate) leaks_on_purpose: bool,
    /// How many times slower than a block cipher it is: so many times fewer measurements.
    pub(crate) cost: usize,
    /// Puts the input of a class in place, with the same work for both. The number is of the measurement.
    pub(crate) prepare: Box<dyn FnMut(Class, usize)>,
    pub(crate) run: Box<dyn FnMut()>,
}

/// Inputs of each class; both come from memory of the same size, so that caches treat them alike.
const POOL: usize = 64;

impl Subject {
    /// `fixed` and `random` make the inputs of a pool, `run` takes one.
    fn new<T: Clone + 'static>(
        name: impl Into<String>,
        cost: usize,
        fixed: &T,
        random: impl Fn() -> T,
        mut run: impl FnMut(&T) + 'static,
    ) -> Self {
        let pools: [Vec<T>; 2] = [
            vec![fixed.clone(); POOL],
            (0..POOL).map(|_| random()).collect(),
        ];
        let slot = Rc::new(RefCell::new(fixed.clone()));
        let place = slot.clone();
        Self {
            name: name.into(),
            leaks_on_purpose: false,
            cost,
            prepare: Box::new(move |class, index| {
                let from = &pools[usize::from(class == Class::Random)][index % POOL];
                place.borrow_mut().clone_from(from);
            }),
            run: Box::new(move || run(&slot.borrow())),
        }
    }

    fn twin(mut self) -> Self {
        self.leaks_on_purpose = true;
        self
    }
}

pub(crate) fn all() -> Vec<Subject> {
    let mut subjects = vec![early_exit(), table()];
    for path in sm4::Path::available() {
        subjects.extend([blocks(path), schedule(path), ghash(path), tag(path)]);
    }
    for path in sm3::Path::available() {
        subjects.push(Subject::new(
            format!("SM3 {}, data", path.name()),
            1,
            &[0u8; 256],
            random::array,
            move |data| {
                black_box(path.hash(data));
            },
        ));
    }
    subjects.extend([sign(), agree()]);
    subjects
}

/// SM4 on data that is fixed or random, under one key.
fn blocks(path: sm4::Path) -> Subject {
    // The path is one of those available.
    let key = sm4::Block::with_path(path, &[7; 16]).unwrap();
    let random = || [(); 16].map(|()| random::array());
    Subject::new(
        format!("SM4 {path}, data"),
        1,
        &[[0u8; 16]; 16],
        random,
        move |blocks| {
            let mut blocks = *blocks;
            key.encrypt_many(&mut blocks);
            black_box(blocks);
        },
    )
}

/// The key schedule and one block under a key that is fixed or random.
fn schedule(path: sm4::Path) -> Subject {
    Subject::new(
        format!("SM4 {path}, key"),
        2,
        &[0u8; 16],
        random::array,
        move |key| {
            let mut block = [0x5a; 16];
            // The path is one of those available.
            sm4::Block::with_path(path, key)
                .unwrap()
                .encrypt(&mut block);
            black_box(block);
        },
    )
}

/// GHASH over bytes that are fixed or random: all of them are AAD.
fn ghash(path: sm4::Path) -> Subject {
    let key = sm4::Gcm::with_path(path, &[7; 16]).unwrap();
    Subject::new(
        format!("GHASH {path}"),
        2,
        &[0u8; 512],
        random::array,
        move |aad| {
            black_box(key.seal_in_place(&[1; 12], aad, &mut []));
        },
    )
}

/// A wrong tag is refused in the same time wherever it is wrong: the fixed class in its last byte only.
fn tag(path: sm4::Path) -> Subject {
    let key = sm4::Gcm::with_path(path, &[7; 16]).unwrap();
    let mut nearly = key.seal_in_place(&[1; 12], b"", &mut [0x5a; 64]);
    nearly[15] ^= 1;
    Subject::new(
        format!("GCM {path}, wrong tag"),
        2,
        &nearly,
        random::array,
        move |tag| {
            let mut data = [0x5a; 64];
            assert!(key.open_in_place(&[1; 12], b"", &mut data, tag).is_err());
        },
    )
}

/// SM2 signatures with a key that is fixed or random; nonces are drawn anew each time.
fn sign() -> Subject {
    let fixed = sm2::SecretKey::generate();
    Subject::new(
        "SM2 sign, key",
        10,
        &fixed,
        sm2::SecretKey::generate,
        |key| {
            drop(black_box(key.sign(b"message")));
        },
    )
}

/// SM2 key agreement with a key that is fixed or random.
fn agree() -> Subject {
    let (fixed, peer) = (
        sm2::SecretKey::generate(),
        sm2::SecretKey::generate().public(),
    );
    Subject::new(
        "SM2 agree, key",
        20,
        &fixed,
        sm2::SecretKey::generate,
        move |key| {
            drop(black_box(key.agree(&peer)));
        },
    )
}

/// The twin of a tag's check: it stops at the first difference.
fn early_exit() -> Subject {
    let expected: [u8; 16] = random::array();
    Subject::new(
        "twin: comparison that stops early",
        1,
        &expected,
        random::array,
        move |tag| {
            for _ in 0..32 {
                let mut equal = true;
                for (ours, theirs) in expected.iter().zip(tag) {
                    if black_box(ours) != black_box(theirs) {
                        equal = false;
                        break;
                    }
                }
                black_box(equal);
            }
        },
    )
    .twin()
}

/// The twin of a block cipher: rounds of look-ups in a table of 64 KiB, which are as fast as the cache has the
/// lines that the data names. Fixed data names few.
fn table() -> Subject {
    let mut table = vec![0u64; 8192];
    for entry in &mut table {
        *entry = u64::from_le_bytes(random::array());
    }
    let mut others = vec![0u8; 1 << 20];
    let mut subject = Subject::new(
        "twin: look-ups in a table",
        1,
        &[0u8; 256],
        random::array,
        move |data| {
            let pairs = data.as_chunks::<2>().0;
            let sum = pairs.iter().fold(0u64, |sum, pair| {
                sum ^ table[usize::from(u16::from_le_bytes(*pair)) % 8192]
            });
            black_box(sum);
        },
    )
    .twin();
    // Something else runs in between, as on any machine, and takes the first cache for itself.
    let mut place = subject.prepare;
    subject.prepare = Box::new(move |class, index| {
        place(class, index);
        others
            .iter_mut()
            .step_by(64)
            .for_each(|byte| *byte = byte.wrapping_add(1));
    });
    subject
}
