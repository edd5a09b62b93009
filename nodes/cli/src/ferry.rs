//! `ferry …`: what passes a one-way file gap. Folders, disk and inspection; what is sent, taken and refused is
//! decided in `guitai-ferry`.

mod args;
mod inspect;
mod logs;
mod receive;
mod send;
mod state;
mod words;

#[cfg(test)]
mod tests;

use guitai_ferry::report::{Fault, Report, report};
use guitai_host::{Clock as _, SystemClock};
use guitai_types::UnixMillis;
use serde_json::{Value, json};

pub use args::{Ferry, Init, Place, Receive, ReportOf, Send, Since};
use state::State;

use crate::{
    Done, Language,
    failure::{FINDINGS, Failure},
    show,
};

/// Runs one `guitai ferry …` command.
pub(crate) fn run(command: &Ferry, lang: Language) -> Result<Done, Failure> {
    at(command, lang, SystemClock.wall())
}

fn at(command: &Ferry, lang: Language, now: UnixMillis) -> Result<Done, Failure> {
    match command {
        Ferry::Init(arguments) => init(arguments, lang),
        Ferry::Send(arguments) => {
            let mut state = State::open(&arguments.place)?;
            let sent = send::send(&mut state, arguments, now)?;
            let is_clean = sent.skipped.is_empty() && !sent.full;
            let text = shown(&arguments.place, &sent, || words::sent(&sent, lang))?;
            Ok(judged(text, is_clean))
        }
        Ferry::Receive(arguments) => {
            let mut state = State::open(&arguments.place)?;
            let received = receive::receive(&mut state, arguments.answer_out.as_deref(), now)?;
            let is_clean = received.refused.is_empty() && received.files.is_empty();
            let text = shown(&arguments.place, &received, || {
                words::received(&received, lang)
            })?;
            Ok(judged(text, is_clean))
        }
        Ferry::Report(arguments) => {
            let state = State::open(&arguments.place)?;
            let since = arguments.since.map(|since| since.before(now));
            let made = of(&state, since, now, arguments.overdue_hours);
            let text = shown(&arguments.place, &made, || words::report(&made, lang))?;
            Ok(judged(text, made.findings.is_empty()))
        }
        Ferry::Status(place) => {
            let state = State::open(place)?;
            let value = status(&state);
            let text = shown(place, &value, || words::status(&state, lang))?;
            Ok(judged(text, true))
        }
    }
}

fn judged(text: String, is_clean: bool) -> Done {
    let exit = if is_clean { 0 } else { FINDINGS };
    Done { text, exit }
}

fn shown(
    place: &Place,
    value: &impl serde::Serialize,
    words: impl FnOnce() -> String,
) -> Result<String, Failure> {
    if place.output.json {
        show::json(value)
    } else {
        Ok(words())
    }
}

fn of(state: &State, since: Option<UnixMillis>, now: UnixMillis, overdue_hours: u64) -> Report {
    let (records, end) = (&state.records, state.end);
    report(&state.side.terms, records, end, since, now, overdue_hours)
}

fn init(arguments: &Init, lang: Language) -> Result<Done, Failure> {
    let config = State::init(arguments)?;
    let value = json!({
        "state": arguments.place.state, "ferry": config.terms.ferry, "side": config.terms.me, "peer": config.terms.peer,
        "key": config.key, "peer_key": config.peer_key,
    });
    let text = shown(&arguments.place, &value, || words::made(&config, lang))?;
    Ok(judged(text, true))
}

fn status(state: &State) -> Value {
    let (out, into) = (&state.side.out, &state.side.into);
    let queued: Vec<Value> = out
        .waiting()
        .map(|(item, cut)| json!({ "item": item, "in_bundles": cut }))
        .collect();
    let open = into
        .open()
        .map(|(item, there)| json!({ "item": item, "there": there }));
    let outstanding: Vec<u64> = out.outstanding().keys().copied().collect();
    json!({
        "ferry": state.side.terms.ferry, "side": state.side.terms.me, "peer": state.side.terms.peer,
        "key": state.config.key, "peer_key": state.config.peer_key,
        "sent": {
            "bundles": out.last(), "acknowledged": out.acknowledged_up_to(), "outstanding": outstanding,
            "missing": out.missing(), "queued": queued,
        },
        "received": {
            "bundles": into.received(), "items": into.items(), "waiting": into.waiting(), "missing": into.missing(),
            "open": open,
        },
        "journal": state.end,
    })
}

/// One word for a fault, for people.
const fn fault_name(fault: Fault) -> (&'static str, &'static str) {
    match fault {
        Fault::ItemRefused => ("拒收", "refused"),
        Fault::FileRefused => ("坏文件", "bad file"),
        Fault::Missing => ("缺包", "missing"),
        Fault::Overdue => ("未确认", "overdue"),
    }
}
