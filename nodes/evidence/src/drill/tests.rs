use std::collections::BTreeMap;

use guitai_crypto::x509::{Authority, Identity, Subject, Usage};
use guitai_types::{
    Epoch, StaffRef,
    dr::{
        Act, Aim, Check, Expected, ExpectedGap, Histogram, JournalLine, LaneReport, PLAN_VERSION,
        Plan, Rpo, Service, Step,
    },
};

use super::*;

const NOW: u64 = 1_800_000_000_000;

struct Office {
    authority: Authority,
    identity: Identity,
    officers: Vec<sm2::SecretKey>,
}

impl Office {
    fn new() -> Self {
        let authority = Authority::create("test root", "test", 30, NOW / 1000).unwrap();
        let key = sm2::SecretKey::generate();
        let subject = Subject {
            common_name: "a1-1".to_owned(),
            organization: "test".to_owned(),
            dns_names: vec!["a1-1.inner.guitai.internal".to_owned()],
        };
        let leaf = authority
            .issue(&subject, &key.public(), Usage::Tls, 30, NOW / 1000)
            .unwrap();
        Self {
            authority,
            identity: Identity {
                chain: vec![leaf],
                key,
            },
            officers: vec![sm2::SecretKey::generate(), sm2::SecretKey::generate()],
        }
    }

    fn approval(&self, run: &Run, officer: usize, name: &str) -> Approval {
        let key = &self.officers[officer];
        let at = UnixMillis(NOW - 5_000);
        let text = Approval::text(&run.id, &run.plan_hash, run.kind, at, None);
        Approval {
            officer: staff(name),
            at,
            off_since: None,
            key: Hex(key.public().to_point().to_vec()),
            signature: Hex(key.sign(text.as_bytes())),
        }
    }

    fn statement(&self) -> Statement {
        let plan = plan();
        let mut run = Run {
            id: "r1".parse().unwrap(),
            kind: Kind::Real,
            plan_hash: plan_hash(&plan).unwrap(),
            plan,
            by: staff("admin"),
            at: UnixMillis(NOW - 60_000),
            inject_loss: false,
            approvals: Vec::new(),
            state: RunState::Done,
            journal: vec![JournalLine {
                at: UnixMillis(NOW - 4_000),
                step: Some("judge".to_owned()),
                what: "begun".to_owned(),
                note: "<b>not a tag</b>".to_owned(),
            }],
            lanes: vec![lane()],
            verdict: Some(Verdict {
                acked: 10,
                lost: 0,
                lost_first: Vec::new(),
                rto_ms: BTreeMap::from([(Service::Log, 40)]),
                green: true,
            }),
            proof: None,
        };
        run.approvals = vec![
            self.approval(&run, 0, "chen"),
            self.approval(&run, 1, "liu"),
        ];
        Statement {
            format: FORMAT.to_owned(),
            made_at: UnixMillis(NOW),
            made_by: "a1-1".parse().unwrap(),
            version: "0.1.0".to_owned(),
            nodes: vec![Node {
                name: "a1-1".parse().unwrap(),
                centre: "a1".parse().unwrap(),
                votes: true,
            }],
            present: vec![Present {
                lane: lane().lane,
                serials: Serials(vec![(1, 11)]),
            }],
            control_at: Some(UnixMillis(NOW - 1)),
            clauses: clauses(),
            run,
        }
    }

    fn report(&self, statement: &Statement) -> Report {
        sign(statement, &self.identity, self.authority.certificate_der()).unwrap()
    }

    fn faults(&self, change: impl FnOnce(&mut Statement)) -> Vec<&'static str> {
        let mut statement = self.statement();
        change(&mut statement);
        faults(&verify(&self.report(&statement), None))
    }
}

fn faults(verified: &Verified) -> Vec<&'static str> {
    let findings = verified.findings.iter().filter(|finding| !finding.ok);
    findings.map(|finding| finding.check).collect()
}

fn staff(name: &str) -> StaffRef {
    StaffRef {
        institution: "bank".parse().unwrap(),
        name: name.parse().unwrap(),
    }
}

fn plan() -> Plan {
    let text = || Text {
        zh: "核对".to_owned(),
        en: "compare".to_owned(),
    };
    Plan {
        v: PLAN_VERSION,
        cluster: "c1".parse().unwrap(),
        epoch: Epoch(1),
        made_at: UnixMillis(NOW - 60_000),
        aim: Aim::Switch {
            to: "a2".parse().unwrap(),
        },
        checks: vec![Check {
            id: "leader".to_owned(),
            title: text(),
            ok: true,
            found: "a1-1".to_owned(),
            need: "a leader".to_owned(),
        }],
        steps: vec![Step {
            id: "judge".to_owned(),
            act: Act::Judge,
            title: text(),
            precondition: text(),
            effect: text(),
            rollback: text(),
            irreversible: false,
            within_ms: 1_000,
        }],
        expected: Expected {
            rto_ms_p50: 60,
            rto_ms_p99: 90,
            rpo: Rpo::Zero,
            services: BTreeMap::from([(
                Service::Log,
                ExpectedGap {
                    p50_ms: 700,
                    p99_ms: 830,
                },
            )]),
        },
        round_trips_us: BTreeMap::new(),
        binary: Hex(vec![7; 32]),
    }
}

fn lane() -> LaneReport {
    let mut latency = Histogram::default();
    (0..10).for_each(|ms| latency.add(ms));
    LaneReport {
        lane: Lane {
            node: "a1-1".parse().unwrap(),
            service: Service::Log,
        },
        centre: "a1".parse().unwrap(),
        from: UnixMillis(NOW - 4_000),
        to: UnixMillis(NOW - 1_000),
        sent: 11,
        acked: 10,
        gap_ms: 40,
        gap_from: UnixMillis(NOW - 2_000),
        latency,
        serials: Serials(vec![(1, 10)]),
        last_good: Some(UnixMillis(NOW - 1_020)),
        cadence_ms: 20,
        held: None,
    }
}

#[test]
fn a_true_report_holds_and_its_page_shows_what_it_says() {
    let office = Office::new();
    let report = office.report(&office.statement());
    let fingerprint = crate::fingerprint(office.authority.certificate_der());
    let verified = verify(&report, Some(fingerprint));
    assert!(verified.ok(), "{:?}", verified.findings);
    let page = page(verified.statement.as_ref().unwrap(), &verified);
    for said in [
        "GREEN",
        "bank/chen",
        "bank/liu",
        "a1-1/log",
        "GB/T 20988-2025",
    ] {
        assert!(page.contains(said), "{said}");
    }
    assert!(
        page.contains("&lt;b&gt;not a tag"),
        "people's words are no HTML"
    );
    assert!(!page.contains("<script"));
}

#[test]
fn every_changed_byte_of_the_statement_is_found() {
    let office = Office::new();
    let report = office.report(&office.statement());
    let bytes = report.statement.0.len();
    for at in (0..bytes).step_by(37) {
        let mut changed = report.clone();
        changed.statement.0[at] ^= 1;
        assert!(!verify(&changed, None).ok(), "byte {at}");
    }
    let mut changed = report.clone();
    *changed.signature.0.last_mut().unwrap() ^= 1;
    assert_eq!(faults(&verify(&changed, None)), ["signature"]);
    assert_eq!(faults(&verify(&report, Some([0; 32]))), ["root"]);
}

#[test]
fn a_signed_untruth_is_counted_again() {
    let office = Office::new();
    // The cluster lacks a serial that was acknowledged, and the verdict says nothing of it.
    let lost = office.faults(|it| it.present[0].serials = Serials(vec![(1, 4), (6, 10)]));
    assert_eq!(lost, ["count"]);
    let none = office.faults(|it| it.present.clear());
    assert_eq!(none, ["count"]);
    let claimed = office.faults(|it| it.run.verdict.as_mut().unwrap().acked = 9);
    assert_eq!(claimed, ["count"]);
    let plan = office.faults(|it| it.run.plan.steps[0].within_ms = 9);
    assert_eq!(plan, ["plan"]);
}

#[test]
fn approvals_are_two_officers_with_two_keys_over_this_plan() {
    let office = Office::new();
    let one = office.faults(|it| drop(it.run.approvals.pop()));
    assert_eq!(one, ["approvals"]);
    let same = office.faults(|it| {
        let again = office.approval(&it.run, 0, "liu");
        it.run.approvals[1] = again;
    });
    assert_eq!(same, ["approvals"], "one key for two names");
    let forged = office.faults(|it| it.run.approvals[0].at = UnixMillis(NOW - 1));
    assert_eq!(forged, ["approvals"]);
}

#[test]
fn a_negative_control_that_is_green_is_a_fault() {
    let office = Office::new();
    assert_eq!(office.faults(|it| it.run.inject_loss = true), ["control"]);
}

#[test]
fn the_clauses_can_be_read() {
    assert!(clauses().len() >= 5);
}
