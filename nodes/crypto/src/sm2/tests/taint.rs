//! No branch and no address depends on a secret: valgrind's memcheck follows secrets through the
//! machine code as if they were memory that nobody wrote (the method of Langley's ctgrind).
//!
//! Only [`Mask::reveal`](super::super::limbs::Mask) lets an answer out; anything else that jumps or
//! reads by a secret is an error. The check shows that it can find one on the public functions.

use std::hint::black_box;
use std::process::Command;

use super::super::multiply::{multiply, multiply_sum_public};
use super::super::nonce::Nonces;
use super::super::point::GENERATOR;
use super::*;

/// Names the operation to run; set by the test for its own copy under valgrind.
const OPERATION: &str = "GUITAI_TAINT";
/// What valgrind exits with when it found something.
const FOUND: i32 = 99;

#[test]
fn secrets_decide_no_branch_and_no_address() {
    if let Ok(operation) = std::env::var(OPERATION) {
        return run(&operation);
    }
    if Command::new("valgrind").arg("--version").output().is_err() {
        eprintln!("SKIPPED: no valgrind on this machine");
        return;
    }
    for operation in ["key", "nonce", "sign", "agree", "encrypt", "decrypt"] {
        let (code, report) = under_valgrind(operation);
        assert_eq!(code, Some(0), "{operation}: {report}");
    }
    let (code, report) = under_valgrind("public");
    assert_eq!(code, Some(FOUND), "a leak must be found: {report}");
}

fn under_valgrind(operation: &str) -> (Option<i32>, String) {
    let output = Command::new("valgrind")
        .args(["--quiet", &format!("--error-exitcode={FOUND}")])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "--test-threads=1"])
        .arg("sm2::tests::taint::secrets_decide_no_branch_and_no_address")
        .env(OPERATION, operation)
        .output()
        .unwrap();
    let report = [output.stdout, output.stderr].concat();
    let report = String::from_utf8_lossy(&report).into_owned();
    assert!(report.contains("1 passed"), "{operation}: {report}");
    (output.status.code(), report)
}

fn run(operation: &str) {
    let peer = generator::multiply(&random_scalar()).to_affine();
    let sealed = PublicKey(GENERATOR).encrypt(&[7; 40]).unwrap();
    let mut secret = random_scalar();
    let mut bytes = secret.to_bytes();
    let mut signer = Signer::new(&secret);
    poison(&mut secret);
    poison(&mut bytes);
    poison(&mut signer);
    let k = secret;
    let e = small(9);
    match operation {
        "key" => {
            let key = SecretKey::from_scalar(&bytes).unwrap();
            black_box(key.signing_key(DEFAULT_ID));
        }
        "nonce" => drop(black_box(Nonces::new(&secret, &e, &[1; 32]).draw())),
        // Not further: r and s are public, and their encoding branches on them.
        "sign" => drop(black_box(signer.sign_with(&k, &e).is_some())),
        "agree" => drop(black_box(multiply(&k, &peer).to_affine().x.to_bytes())),
        "encrypt" => drop(black_box(encryption::encrypt_with(&k, &peer, &[7; 40]))),
        "decrypt" => {
            let (point, rest) = sealed.split_at(POINT_BYTES);
            let (digest, body) = rest.split_first_chunk().unwrap();
            let point = PublicKey::from_point(point).unwrap();
            let message = encryption::decrypt(&secret, &point.0, digest, body);
            assert!(message.is_none(), "the key is not the one of the point G");
        }
        "public" => drop(black_box(multiply_sum_public(&k, &secret, &peer))),
        other => panic!("no operation {other}"),
    }
}

/// Makes `secret` unwritten memory for valgrind; does nothing without it.
fn poison<T>(secret: &mut T) {
    let address = std::ptr::from_mut(secret).expose_provenance();
    // VG_USERREQ__MAKE_MEM_UNDEFINED of memcheck.h.
    request(0x4d43_0001, address, size_of::<T>());
}

/// The word, written memory again for valgrind.
pub(in crate::sm2) fn declassified(mut word: u64) -> u64 {
    let address = std::ptr::from_mut(&mut word).expose_provenance();
    // VG_USERREQ__MAKE_MEM_DEFINED of memcheck.h.
    request(0x4d43_0002, address, size_of::<u64>());
    word
}

/// A client request in the form that valgrind.h gives it on this processor.
#[expect(
    unsafe_code,
    reason = "valgrind is spoken to by an instruction sequence"
)]
fn request(code: u64, address: usize, length: usize) {
    let arguments = [code, address as u64, length as u64, 0, 0, 0];
    // SAFETY: rdi is turned by 128 bits, back to where it was, and rbx exchanged with itself. Under
    // valgrind rdx is the answer, and only what it knows about the bytes named changes.
    unsafe {
        std::arch::asm!(
            "rol rdi, 3",
            "rol rdi, 13",
            "rol rdi, 61",
            "rol rdi, 51",
            "xchg rbx, rbx",
            in("rax") arguments.as_ptr(),
            inout("rdx") 0u64 => _,
            options(nostack),
        );
    }
}
