//! `dr`: plan, rehearse, carry out and look at a failover.

pub mod args;
pub(crate) mod officer;
pub(crate) mod report;
mod words;

use std::time::Duration;

use guitai_types::{
    Code, RunId,
    dr::{self, Kind, Propose, RunState},
    place::Centre,
    record::Duty,
    view::{RunView, StatusView},
};
use reqwest::Method;

use self::args::{Aim, Dr, Key, Scenario};
use crate::{
    Access, Asked, Done, FINDINGS, Language, Output,
    failure::{Failure, NOT_REACHABLE},
    http::Door,
    show, staff,
};

/// Who may begin and stop.
const ACTORS: &[Duty] = &[Duty::Operator, Duty::Officer];
/// Who may look.
const VIEWERS: &[Duty] = &[Duty::Operator, Duty::Officer, Duty::Auditor];
/// Pause between two looks at a run, in milliseconds.
const LOOK_MS: u64 = 500;
/// How long a run is followed while nobody answers, in looks: a takeover restarts a node.
const SILENT_LOOKS_MAX: u32 = 120;

/// Answers one command.
pub(crate) async fn answer(command: &Dr, lang: Language) -> Result<Done, Failure> {
    match command {
        Dr::Plan(it) => {
            let aim = aim(&it.aim)?;
            let door = staff::enter(&it.asked.access, VIEWERS).await?;
            let plan: dr::Plan = door.send(Method::POST, "/api/v1/dr/plan", &aim).await?;
            let text = if it.asked.output.json {
                show::json(&plan)?
            } else {
                words::plan(&plan, lang)
            };
            let missing = plan.missing().next().is_some();
            Ok(Done {
                text,
                exit: if missing { FINDINGS } else { 0 },
            })
        }
        Dr::Rehearse(it) => {
            let body = Propose {
                aim: aim(&it.aim)?,
                kind: Kind::Rehearsal,
                inject_loss: it.inject_loss,
            };
            propose(&it.asked, &body, true, lang).await
        }
        Dr::Run(it) => {
            let body = Propose {
                aim: aim(&it.aim)?,
                kind: Kind::Real,
                inject_loss: false,
            };
            propose(&it.asked, &body, !it.no_wait, lang).await
        }
        Dr::Failback(it) => {
            let to = match &it.to {
                Some(to) => to.clone(),
                None => first_centre(&it.asked.access).await?.id,
            };
            let body = Propose {
                aim: dr::Aim::Switch { to },
                kind: Kind::Real,
                inject_loss: false,
            };
            propose(&it.asked, &body, !it.no_wait, lang).await
        }
        Dr::Approve(it) => officer::approve(it, lang).await,
        Dr::Abort(it) => {
            let door = staff::enter(&it.asked.access, ACTORS).await?;
            let path = format!("/api/v1/dr/runs/{}/abort", it.run);
            let why = it.why.clone();
            let run: dr::Run = door.send(Method::POST, &path, &dr::Abort { why }).await?;
            // That it is over is what was asked for.
            let Done { text, .. } = done(&run, &it.asked.output, lang)?;
            Ok(Done { text, exit: 0 })
        }
        Dr::Show(it) => {
            let door = staff::enter(&it.asked.access, VIEWERS).await?;
            let run = if it.wait {
                follow(&it.asked, &it.run, lang).await?
            } else {
                look(&door, &it.run).await?
            };
            done(&run, &it.asked.output, lang)
        }
        Dr::Report(it) => report::fetch(it, lang).await,
        Dr::Verify(it) => report::verify(it, lang),
        Dr::History(it) => {
            let door = staff::enter(&it.access, VIEWERS).await?;
            let runs: Vec<RunView> = door.get("/api/v1/dr/runs").await?;
            let text = if it.output.json {
                show::json(&runs)?
            } else {
                words::history(&runs, lang)
            };
            Ok(Done { text, exit: 0 })
        }
        Dr::Key(Key::New(it)) => officer::new_key(it, lang),
        Dr::Key(Key::Register(it)) => officer::register(it, lang).await,
    }
}

/// Proposes and, if asked to, waits for the end. A verdict that is red is a finding.
async fn propose(
    asked: &Asked,
    body: &Propose,
    wait: bool,
    lang: Language,
) -> Result<Done, Failure> {
    let output = &asked.output;
    let door = staff::enter(&asked.access, ACTORS).await?;
    let run: dr::Run = door.send(Method::POST, "/api/v1/dr/runs", body).await?;
    if !wait {
        return done(&run, output, lang);
    }
    if !output.json && run.state == RunState::Proposed {
        eprintln!("{}", words::waits_for_officers(&run, lang));
    }
    let run = follow(asked, &run.id, lang).await?;
    done(&run, output, lang)
}

fn done(run: &dr::Run, output: &Output, lang: Language) -> Result<Done, Failure> {
    let text = if output.json {
        show::json(run)?
    } else {
        words::run(run, lang)
    };
    let failed = match &run.verdict {
        Some(verdict) => !verdict.green,
        None => matches!(run.state, RunState::Aborted { .. }),
    };
    Ok(Done {
        text,
        exit: if failed { FINDINGS } else { 0 },
    })
}

/// Looks again and again until the run is over, telling what happens. The node that was asked may be the
/// one that is held apart, so every look takes a door that answers.
async fn follow(asked: &Asked, id: &RunId, lang: Language) -> Result<dr::Run, Failure> {
    let mut told = 0;
    let mut silent = 0;
    let mut door = None;
    loop {
        let present = match &door {
            Some(door) => look(door, id).await,
            None => match staff::enter(&asked.access, VIEWERS).await {
                Ok(entered) => look(door.insert(entered), id).await,
                Err(failure) => Err(failure),
            },
        };
        match present {
            Ok(run) => {
                silent = 0;
                if !asked.output.json {
                    for line in run.journal.iter().skip(told) {
                        eprintln!("{}", words::journal_line(line, lang));
                    }
                    told = run.journal.len();
                }
                if run.state.is_over() {
                    return Ok(run);
                }
            }
            Err(failure) if goes_on(&failure) && silent < SILENT_LOOKS_MAX => {
                silent += 1;
                door = None;
            }
            Err(failure) => return Err(failure),
        }
        tokio::time::sleep(Duration::from_millis(LOOK_MS)).await;
    }
}

/// Whether to look again with a new login: nobody answered, or a takeover has made the token one of an older
/// epoch.
fn goes_on(failure: &Failure) -> bool {
    failure.exit == NOT_REACHABLE || failure.problem.code == Code::BadToken
}

async fn look(door: &Door, id: &RunId) -> Result<dr::Run, Failure> {
    door.get(&format!("/api/v1/dr/runs/{id}")).await
}

async fn first_centre(access: &Access) -> Result<Centre, Failure> {
    let door = staff::enter(access, VIEWERS).await?;
    let status: StatusView = door.get("/api/v1/status").await?;
    let first = status.centres.into_iter().next();
    first.ok_or_else(|| usage("the cluster has no centre", "--to"))
}

/// What was typed, as one aim; each scenario needs its own words.
fn aim(typed: &Aim) -> Result<dr::Aim, Failure> {
    let hold_ms = typed.hold_ms;
    match typed.scenario {
        Scenario::Node => Ok(dr::Aim::Node {
            node: needed(&typed.node, "--node")?,
            hold_ms,
        }),
        Scenario::Centre => Ok(dr::Aim::Centre {
            centre: needed(&typed.centre, "--centre")?,
            hold_ms,
        }),
        Scenario::Link => Ok(dr::Aim::Link {
            from: needed(&typed.centre, "--centre")?,
            to: needed(&typed.to, "--to")?,
            one_way: typed.one_way,
            hold_ms,
        }),
        Scenario::City => Ok(dr::Aim::City {
            lost: needed(&typed.lost, "--lost")?,
            on: needed(&typed.on, "--on")?,
        }),
        Scenario::Switch => Ok(dr::Aim::Switch {
            to: needed(&typed.to, "--to")?,
        }),
    }
}

fn needed<T: Clone>(given: &Option<T>, name: &str) -> Result<T, Failure> {
    given
        .clone()
        .ok_or_else(|| usage(&format!("this scenario needs {name}"), name))
}

fn usage(detail: &str, name: &str) -> Failure {
    Failure::usage(
        detail,
        &format!("加上 {name};参见 guitai dr plan --help"),
        &format!("Add {name}; see guitai dr plan --help"),
    )
}
