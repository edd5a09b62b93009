//! What a package says of the log: cut short, forked, proven of something else, witnessed by too few.

use std::rc::Rc;

use guitai_evidence::{
    layout,
    log::{Digest, check::Head},
};
use serde_json::json;

use super::Forgery;
use crate::{
    dice::Dice,
    log::{Logged, OTHERS, Proof, WITNESSES, WITNESSES_OLD, lines},
    package::Package,
    world::World,
};

pub(crate) const FORGERIES: &[Forgery] = &[
    ("log: truncated", "roots-logged", truncated),
    ("log: an old checkpoint", "roots-logged", old_checkpoint),
    ("log: forked before", "consistency", forked_before),
    ("log: forked after", "roots-logged", forked_after),
    ("log: another log", "checkpoint", another_log),
    ("log: another origin", "checkpoint", another_origin),
    (
        "log: another checkpoint beside",
        "roots-logged",
        checkpoint_beside,
    ),
    (
        "roots-logged: of another second",
        "roots-logged",
        of_another_second,
    ),
    (
        "roots-logged: of another root",
        "roots-logged",
        of_another_root,
    ),
    ("roots-logged: of no line", "roots-logged", of_no_line),
    ("roots-logged: another path", "roots-logged", another_path),
    (
        "seal-logged: of another entry",
        "seal-logged",
        of_another_entry,
    ),
    (
        "seal-logged: of another recording",
        "seal-logged",
        of_another_recording,
    ),
    ("seal-logged: another record", "seal-logged", another_record),
    (
        "seal-logged: an entry of another form",
        "seal-logged",
        entry_form,
    ),
    (
        "seal-logged: a proof of another form",
        "seal-logged",
        proof_form,
    ),
    (
        "checkpoint: a cosignature taken out",
        "checkpoint",
        taken_out,
    ),
    (
        "checkpoint: the log's signature taken out",
        "checkpoint",
        log_taken_out,
    ),
    (
        "checkpoint: an unknown witness",
        "checkpoint",
        unknown_witness,
    ),
    (
        "checkpoint: a signature that does not fit",
        "checkpoint",
        does_not_fit,
    ),
    (
        "checkpoint: another number of a key",
        "checkpoint",
        another_number,
    ),
    (
        "checkpoint: a policy of another form",
        "checkpoint",
        policy_form,
    ),
    (
        "checkpoint: not the reader's log",
        "checkpoint",
        not_the_readers,
    ),
    ("checkpoint: of another form", "checkpoint", checkpoint_form),
    ("consistency: broken", "consistency", broken),
    (
        "consistency: the older is the larger",
        "consistency",
        older_larger,
    ),
];

/// Writes proofs and checkpoints down, and signs.
fn put(package: &mut Package, logged: &Logged, checkpoint: &str, old: &str) {
    package.put_logged_as(logged, checkpoint, old);
    package.sign_attached();
}

fn checkpoints(package: &mut Package, logged: &Logged) -> (String, String) {
    let log = Rc::clone(&package.later().log);
    let new = log.checkpoint(logged.head(logged.leaves.len()), WITNESSES);
    (new, log.checkpoint(logged.head(logged.old), WITNESSES_OLD))
}

fn truncated(package: &mut Package, _: &World, dice: &mut Dice) -> String {
    // The log as it was before the roots were in it: their proofs lead nowhere, whatever is signed.
    let logged = package.logged();
    let size = OTHERS + dice.below(2);
    let log = Rc::clone(&package.later().log);
    let new = log.checkpoint(logged.head(size), WITNESSES);
    let (_, old) = checkpoints(package, &logged);
    put(package, &logged, &new, &old);
    let proof = match size {
        OTHERS => vec![],
        _ => {
            let mut short = logged.clone();
            short.leaves.truncate(size);
            short.consistency(OTHERS)
        }
    };
    package.put(layout::CONSISTENCY, lines(&proof));
    package.sign_attached();
    format!("to {size} entries")
}

fn old_checkpoint(package: &mut Package, _: &World, dice: &mut Dice) -> String {
    let logged = package.logged();
    let (_, old) = checkpoints(package, &logged);
    put(package, &logged, &old, &old);
    package.put(layout::CONSISTENCY, "");
    if dice.below(2) == 0 {
        // Each proof with the tree it really leads to.
        let (new, _) = checkpoints(package, &logged);
        for (path, proof) in &logged.proofs {
            package.put(path, proof.text(&new));
        }
    }
    package.sign_attached();
    "from before the roots".to_owned()
}

fn forked_before(package: &mut Package, _: &World, dice: &mut Dice) -> String {
    // Log and witnesses signed both: two histories.
    let mut other = package.logged();
    other.leaves[dice.below(OTHERS)] = [7; 32];
    let logged = package.logged();
    let (new, _) = checkpoints(package, &logged);
    let (_, old) = checkpoints(package, &other);
    put(package, &logged, &new, &old);
    "the older".to_owned()
}

fn forked_after(package: &mut Package, _: &World, dice: &mut Dice) -> String {
    let logged = package.logged();
    let mut other = package.logged();
    let at = dice.below(other.leaves.len());
    other.leaves[at] = [7; 32];
    let (new, _) = checkpoints(package, &other);
    let (_, old) = checkpoints(package, &logged);
    put(package, &logged, &new, &old);
    format!("entry {at}")
}

fn another_log(package: &mut Package, world: &World, dice: &mut Dice) -> String {
    // Of the same names, and a policy of the first.
    let logged = package.logged();
    let (mut new, mut old) = checkpoints(package, &logged);
    let theirs = &world.strange_log;
    match dice.below(2) {
        0 => new = theirs.checkpoint(logged.head(logged.leaves.len()), WITNESSES),
        _ => old = theirs.checkpoint(logged.head(OTHERS), WITNESSES_OLD),
    }
    put(package, &logged, &new, &old);
    "of the same name".to_owned()
}

fn another_origin(package: &mut Package, _: &World, dice: &mut Dice) -> String {
    let logged = package.logged();
    let (new, old) = checkpoints(package, &logged);
    let text = new.split("\n\n").next().expect("a text").to_owned() + "\n";
    let (_, rest) = text.split_once('\n').expect("an origin");
    let origin = *dice.one_of(&["log.other/sm3", "x"]);
    let log = Rc::clone(&package.later().log);
    let new = log.signed_text(&format!("{origin}\n{rest}"), &[0, 1, 3]);
    put(package, &logged, &new, &old);
    origin.to_owned()
}

fn checkpoint_beside(package: &mut Package, _: &World, dice: &mut Dice) -> String {
    // Good by itself, and not the note that the proofs end with.
    let logged = package.logged();
    let (new, old) = checkpoints(package, &logged);
    put(package, &logged, &new, &old);
    let log = Rc::clone(&package.later().log);
    let more = *dice.one_of(&[&[1, 2][..], &[1, 2, 3], &[2, 3]]);
    let other = log.checkpoint(logged.head(logged.leaves.len()), more);
    package.put(layout::CHECKPOINT, other);
    package.sign_attached();
    format!("by {more:?}")
}

fn of_another_second(package: &mut Package, _: &World, dice: &mut Dice) -> String {
    let mut logged = package.logged();
    let (new, old) = checkpoints(package, &logged);
    let count = logged.proofs.len() - 1;
    let a = dice.below(count - 1);
    let (first, second) = (logged.proofs[a].1.clone(), logged.proofs[a + 1].1.clone());
    logged.proofs[a].1 = second;
    if dice.below(2) == 0 {
        logged.proofs[a + 1].1 = first;
    }
    put(package, &logged, &new, &old);
    format!("{a} and the next")
}

/// Changes a proof's record as if that had been logged, so that only its meaning is wrong.
fn lied(package: &mut Package, at: usize, change: impl FnOnce(&mut Proof)) {
    let mut logged = package.logged();
    let proof = &mut logged.proofs[at].1;
    change(proof);
    logged.place();
    let (new, old) = checkpoints(package, &logged);
    put(package, &logged, &new, &old);
}

fn of_another_root(package: &mut Package, _: &World, dice: &mut Dice) -> String {
    let changes = [
        ("root", json!("00".repeat(32))),
        ("node", json!("a2-2")),
        ("second", json!(1_795_000_000)),
        ("count", json!(3)),
        ("signature", json!("")),
        ("second", json!("1795000002")),
        ("root", json!({})),
        ("root", json!("UPPER")),
    ];
    let (name, value) = dice.one_of(&changes).clone();
    let at = dice.below(package.logged().proofs.len() - 1);
    let gone = dice.below(4) == 0;
    lied(package, at, |proof| {
        if gone {
            proof.record["root"]
                .as_object_mut()
                .expect("an object")
                .remove(name);
        } else {
            let before = proof.record["root"][name].as_str().unwrap_or_default();
            let upper = json!(before.to_ascii_uppercase());
            proof.record["root"][name] = if value == "UPPER" {
                upper
            } else {
                value.clone()
            };
        }
        proof.digest();
    });
    format!("{name} as {value}")
}

fn of_no_line(package: &mut Package, _: &World, dice: &mut Dice) -> String {
    let (path, second) = (layout::root_proof(1_795_000_001), dice.below(2));
    let logged = package.logged();
    let (new, _) = checkpoints(package, &logged);
    package.put(&path, logged.proofs[second].1.text(&new));
    package.sign_attached();
    path
}

fn another_path(package: &mut Package, _: &World, dice: &mut Dice) -> String {
    let mut logged = package.logged();
    let (new, old) = checkpoints(package, &logged);
    let at = dice.below(logged.proofs.len() - 1);
    let proof = &mut logged.proofs[at].1;
    let what = match dice.below(4) {
        0 => {
            proof.hashes.pop();
            "one less"
        }
        1 => {
            proof.hashes.push([0; 32]);
            "one more"
        }
        2 => {
            let which = dice.below(proof.hashes.len());
            proof.hashes[which][0] ^= 1;
            "one altered"
        }
        _ => {
            proof.index += 1 + dice.below(3);
            "another index"
        }
    };
    put(package, &logged, &new, &old);
    what.to_owned()
}

fn of_another_entry(package: &mut Package, world: &World, dice: &mut Dice) -> String {
    let mut logged = package.logged();
    let (new, old) = checkpoints(package, &logged);
    let last = logged.proofs.len() - 1;
    let theirs = world.other.logged();
    let what = match dice.below(3) {
        0 => {
            logged.proofs[last].1 = logged.proofs[0].1.clone();
            "a root's"
        }
        1 => {
            logged.proofs[last].1 = theirs.proofs[theirs.proofs.len() - 1].1.clone();
            "another package's"
        }
        _ => {
            logged.proofs[last].1.index = dice.below(OTHERS);
            "an entry of others"
        }
    };
    put(package, &logged, &new, &old);
    what.to_owned()
}

fn of_another_recording(package: &mut Package, _: &World, dice: &mut Dice) -> String {
    let last = package.logged().proofs.len() - 1;
    let changes = [
        ("/session", json!("5e55000000000000000000000000bbbb")),
        ("/summary/node", json!("a2-2")),
        ("/summary/root", json!("00".repeat(32))),
        ("/summary/root", json!(7)),
        ("/summary", json!("x")),
        ("/session", json!({})),
    ];
    let (at, value) = dice.one_of(&changes).clone();
    lied(package, last, |proof| {
        *proof.record.pointer_mut(at).expect("it is there") = value.clone();
        proof.digest();
    });
    format!("{at} as {value}")
}

fn another_record(package: &mut Package, _: &World, dice: &mut Dice) -> String {
    let last = package.logged().proofs.len() - 1;
    let what = dice.below(5);
    lied(package, last, |proof| match what {
        0 => proof.salt[0] ^= 1,
        1 => proof.record["more"] = json!(true),
        2 => proof.entry["digest"] = json!("00".repeat(32)),
        3 => {
            proof.record["kind"] = json!("access");
            proof.digest();
        }
        _ => {
            proof.record["kind"] = json!("access");
            proof.entry["kind"] = json!("access");
            proof.digest();
        }
    });
    format!("way {what}")
}

fn entry_form(package: &mut Package, _: &World, dice: &mut Dice) -> String {
    let last = package.logged().proofs.len() - 1;
    let changes = [
        ("v", json!(2)),
        ("v", json!("1")),
        ("more", json!(1)),
        ("at", json!(-1)),
        ("at", json!("1")),
        ("kind", json!(7)),
        ("digest", json!(7)),
    ];
    let (name, value) = dice.one_of(&changes).clone();
    lied(package, last, |proof| proof.entry[name] = value.clone());
    format!("{name} as {value}")
}

fn proof_form(package: &mut Package, _: &World, dice: &mut Dice) -> String {
    let logged = package.logged();
    let (new, _) = checkpoints(package, &logged);
    let proof = &logged.proofs[logged.proofs.len() - 1].1;
    let good = proof.text(&new);
    let extra = crate::log::text(&proof.extra());
    let index = format!("\nindex {}\n", proof.index);
    let changed = match dice.below(14) {
        0 => good.replacen("@v1", "@v2", 1),
        1 => good.replacen(&index, &index.replace("index ", "index 0"), 1),
        2 => good.replacen("\nindex ", "\nindex +", 1),
        3 => good.replacen('\n', "\r\n", 1),
        4 => good.replacen("extra ", "extra  ", 1),
        5 => good.replacen("=\n", "\n", 1),
        6 => good.replacen("\n\n", "\n", 1),
        7 => good.replacen("\n\n", "\n\n\n", 1),
        8 => proof.text_with(&extra.replacen("\":", "\": ", 1), &new),
        9 => proof.text_with(&extra.replacen("{\"", "{\"a\":1,\"", 1), &new),
        10 => proof.text_with(&extra.replacen(",\"salt\":\"5a", ",\"salt\":\"5A", 1), &new),
        11 => proof.text_with(&extra.replacen(",\"salt\":\"5a", ",\"salt\":\"", 1), &new),
        12 => format!("{good}\n"),
        _ => String::new(),
    };
    package.put(layout::SEAL_PROOF, changed);
    package.sign_attached();
    "the seal's".to_owned()
}

/// Both checkpoints, one of them changed; the proofs end with the newer as it then is.
fn noted(
    package: &mut Package,
    dice: &mut Dice,
    change: impl FnOnce(&Logged, &Package, String, &mut Dice) -> String,
) -> String {
    let logged = package.logged();
    let (mut new, mut old) = checkpoints(package, &logged);
    let which = dice.below(2);
    match which {
        0 => new = change(&logged, package, new, dice),
        _ => old = change(&logged, package, old, dice),
    }
    put(package, &logged, &new, &old);
    ["the newer", "the older"][which].to_owned()
}

/// The signature lines of a note and what is before them.
fn halves(note: &str) -> (String, Vec<String>) {
    let (text, lines) = note.split_once("\n\n").expect("a note");
    let lines = lines.lines().map(|line| format!("{line}\n")).collect();
    (format!("{text}\n\n"), lines)
}

fn taken_out(package: &mut Package, _: &World, dice: &mut Dice) -> String {
    noted(package, dice, |_, _, note, dice| {
        let (text, mut lines) = halves(&note);
        lines.remove(1 + dice.below(lines.len() - 1));
        text + &lines.concat()
    })
}

fn log_taken_out(package: &mut Package, _: &World, dice: &mut Dice) -> String {
    noted(package, dice, |_, _, note, _| {
        let (text, lines) = halves(&note);
        text + &lines[1..].concat()
    })
}

fn unknown_witness(package: &mut Package, world: &World, dice: &mut Dice) -> String {
    noted(package, dice, |_, _, note, dice| {
        let (text, mut lines) = halves(&note);
        let body = &text[..text.len() - 1];
        let theirs = world.strange_log.signed_text(body, &[0, 1, 2, 3]);
        let (_, theirs) = halves(&theirs);
        let theirs = theirs[dice.below(theirs.len())].clone();
        // In place of one that is needed, or beside all of them.
        if dice.below(2) == 0 {
            lines.pop();
        }
        lines.push(theirs);
        text + &lines.concat()
    })
}

fn does_not_fit(package: &mut Package, world: &World, dice: &mut Dice) -> String {
    noted(package, dice, |_, package, note, dice| {
        let (text, mut lines) = halves(&note);
        let log = &package.later.as_ref().expect("format 3").log;
        let at = dice.below(lines.len());
        match dice.below(2) {
            0 => {
                // What they signed of another tree.
                let head = Head {
                    size: 99,
                    root: Digest::Sm3.root(&[]),
                };
                let other = log.signed(head, &[0, 1, 2, 3]);
                let name = lines[at].split(' ').nth(1).expect("a name").to_owned();
                let (_, theirs) = halves(&other);
                let theirs = theirs
                    .into_iter()
                    .find(|line| line.split(' ').nth(1) == Some(name.as_str()));
                lines[at] = theirs.expect("they all signed");
            }
            _ => {
                // More than the quorum needs, and one of them false.
                let third = if text.starts_with(&world.log.keys[0].0.name().to_owned()) {
                    3
                } else {
                    2
                };
                let other = log.signed_text("x\n1\nAAAA\n", &[third]);
                let (_, theirs) = halves(&other);
                let name = theirs[0].split(' ').nth(1).expect("a name").to_owned();
                lines.retain(|line| line.split(' ').nth(1) != Some(name.as_str()));
                lines.push(theirs[0].clone());
            }
        }
        text + &lines.concat()
    })
}

fn another_number(package: &mut Package, _: &World, dice: &mut Dice) -> String {
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    noted(package, dice, |_, _, note, dice| {
        let (text, mut lines) = halves(&note);
        let at = dice.below(lines.len());
        let (before, encoded) = lines[at].trim_end().rsplit_once(' ').expect("a line");
        let mut bytes = STANDARD.decode(encoded).expect("base64");
        bytes[dice.below(4)] ^= 1;
        lines[at] = format!("{before} {}\n", STANDARD.encode(bytes));
        text + &lines.concat()
    })
}

fn policy_form(package: &mut Package, _: &World, dice: &mut Dice) -> String {
    let good = String::from_utf8(package.bytes(layout::LOG_POLICY).to_vec()).expect("a text");
    let lines: Vec<&str> = good.lines().collect();
    let without = |what: &str| -> String {
        let kept = lines.iter().filter(|line| !line.starts_with(what));
        kept.map(|line| format!("{line}\n")).collect()
    };
    let (what, changed) = match dice.below(12) {
        0 => ("no quorum", without("quorum")),
        1 => ("two quorums", format!("{good}quorum none\n")),
        2 => ("no log", without("log")),
        3 => ("a log twice", format!("{good}{}\n", lines[0])),
        4 => (
            "a witness twice",
            format!("{good}{}\n", lines[1].replacen(" ", " other-", 1)),
        ),
        5 => ("no group", without("group")),
        6 => ("a word nobody knows", format!("{good}trust all\n")),
        7 => ("a control character", format!("{good}# \u{1}\n")),
        8 => ("CRLF", good.replace('\n', "\r\n")),
        9 => ("empty", String::new()),
        10 => ("more than there are", good.replacen(" 2 ", " 4 ", 1)),
        _ => ("another key", {
            let at = good.rfind("+/2").expect("a key");
            let mut bytes = good.clone().into_bytes();
            bytes[at + 60] = if bytes[at + 60] == b'A' { b'B' } else { b'A' };
            String::from_utf8(bytes).expect("text")
        }),
    };
    package.put(layout::LOG_POLICY, changed);
    package.sign_attached();
    what.to_owned()
}

fn not_the_readers(package: &mut Package, world: &World, dice: &mut Dice) -> String {
    // Log, witnesses and policy fit together, and the reader knows others.
    package.readers_policy = true;
    let strange = Rc::clone(&world.strange_log);
    package.later().log = strange;
    package.attach();
    if dice.below(2) == 0 {
        let policy = String::from_utf8(package.bytes(layout::LOG_POLICY).to_vec()).expect("a text");
        let kept = policy
            .lines()
            .filter(|line| line.starts_with("log") || line.starts_with("witness"));
        let kept: String = kept.map(|line| format!("{line}\n")).collect();
        package.put(layout::LOG_POLICY, format!("{kept}quorum none\n"));
        package.sign_attached();
    }
    "theirs".to_owned()
}

fn checkpoint_form(package: &mut Package, _: &World, dice: &mut Dice) -> String {
    let logged = package.logged();
    let (new, old) = checkpoints(package, &logged);
    let (text, lines) = halves(&new);
    let rest = lines.concat();
    let changed = match dice.below(9) {
        0 => new.replacen("\n\n", "\n", 1),
        1 => text.replacen('\n', "\n0", 1) + &rest,
        2 => new.replacen('\n', "\r\n", 1),
        3 => new.trim_end().to_owned(),
        4 => text.clone(),
        5 => format!("{new}\n"),
        6 => text.clone() + &rest.replacen('\u{2014}', "-", 1),
        7 => text.clone() + &rest.replacen(" ", "  ", 1),
        _ => text.replacen("=\n", "\n", 1) + &rest,
    };
    put(package, &logged, &changed, &old);
    "the newer".to_owned()
}

fn broken(package: &mut Package, _: &World, dice: &mut Dice) -> String {
    let logged = package.logged();
    let mut proof = logged.consistency(OTHERS);
    let at = dice.below(proof.len());
    let (what, text) = match dice.below(7) {
        0 => {
            proof[at][5] ^= 1;
            ("altered", lines(&proof))
        }
        1 => {
            proof.remove(at);
            ("one less", lines(&proof))
        }
        2 => {
            proof.insert(at, proof[at]);
            ("one more", lines(&proof))
        }
        3 => {
            proof.swap(0, 1);
            ("another order", lines(&proof))
        }
        4 => ("no end", lines(&proof).trim_end().to_owned()),
        5 => ("CRLF", lines(&proof).replace('\n', "\r\n")),
        _ => ("none", String::new()),
    };
    package.put(layout::CONSISTENCY, text);
    package.sign_attached();
    what.to_owned()
}

fn older_larger(package: &mut Package, _: &World, dice: &mut Dice) -> String {
    let logged = package.logged();
    let (new, _) = checkpoints(package, &logged);
    let log = Rc::clone(&package.later().log);
    let mut longer = logged.clone();
    longer.leaves.push([3; 32]);
    let old = log.checkpoint(longer.head(longer.leaves.len()), WITNESSES_OLD);
    put(package, &logged, &new, &old);
    let proof = match dice.below(2) {
        0 => longer.consistency(logged.leaves.len()),
        _ => vec![],
    };
    package.put(layout::CONSISTENCY, lines(&proof));
    package.sign_attached();
    "by one entry".to_owned()
}
