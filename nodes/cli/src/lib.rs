//! The commands of `guitai`: they talk HTTP to `api` as any other client does, verify evidence offline,
//! and make demonstration calls through the doors that browsers use.
//!
//! Exit codes: 0 done, 1 failed, 2 wrong usage, 3 evidence not verified, 4 not reachable,
//! 5 an audit has findings
//! (`docs/reference/cli.md`).

mod args;
pub mod attest;
pub mod audit;
mod cluster;
mod composite;
mod crypto;
pub mod demo;
pub mod dr;
mod evidence;
mod failure;
pub mod ferry;
mod files;
pub mod flow;
mod http;
pub mod keys;
mod language;
pub mod log;
mod node;
pub mod pki;
pub mod recordings;
pub mod relay;
pub mod sandbox;
mod show;
mod sse;
mod staff;
mod table;
pub mod trace;
pub mod tsa;

use std::{process::ExitCode, time::Duration};

use guitai_host::{Clock as _, SystemClock};

pub use crate::{
    args::{
        Access, Asked, Command, Crypto, Demo, Evidence, Export, Output, Selftest, SessionState,
        Sessions, Verify,
    },
    cluster::{Account, CLUSTER_FILE, Cluster, LoginFile, ReadClusterError},
    composite::{Check, Composite, Make, Panes},
    crypto::BREAK_SELFTEST,
    dr::args::Dr,
    failure::{FAILED, FINDINGS, Failure, NOT_REACHABLE, NOT_VERIFIED, USAGE},
    files::FileError,
    language::Language,
    node::{Node, Rejoin, Replace, Voices},
    pki::args::Pki,
    tsa::Tsa,
};

/// The description of the HTTP interface; a test of `api` keeps it the same as what is served.
const OPENAPI: &str = include_str!("../../../docs/reference/openapi.json");

/// What a command has to say when it is done.
struct Done {
    text: String,
    exit: u8,
}

/// Runs one command, prints what it has to say, and gives its exit code.
pub async fn run(command: Command) -> ExitCode {
    let output = command.output().cloned();
    let json = output.as_ref().is_some_and(|output| output.json);
    let lang = Language::choose(output.and_then(|output| output.lang));
    match answer(command, lang).await {
        Ok(Done { text, exit }) => {
            print!("{text}");
            ExitCode::from(exit)
        }
        Err(failure) => failure.report(json, lang),
    }
}

async fn answer(command: Command, lang: Language) -> Result<Done, Failure> {
    let done = |text| Done { text, exit: 0 };
    match command {
        Command::Status(asked) => show::status(&asked, lang).await.map(done),
        Command::Nodes(asked) => show::nodes(&asked, lang).await.map(done),
        Command::Sessions(arguments) => show::sessions(&arguments, lang).await.map(done),
        Command::Recordings(it) => recordings::answer(&it, lang).await,
        Command::Evidence(Evidence::Export(arguments)) => {
            evidence::export(&arguments, lang).await.map(done)
        }
        Command::Evidence(Evidence::Verify(arguments)) => {
            let evidence::Verified { text, ok } = evidence::verify(&arguments, lang)?;
            Ok(Done {
                text,
                exit: if ok { 0 } else { NOT_VERIFIED },
            })
        }
        Command::Evidence(Evidence::Composite(command)) => composite::answer(command, lang).await,
        Command::Log(command) => log::run(&command, lang).await.map(done),
        Command::Attest(command) => attest::run(&command, lang).await,
        Command::Ferry(command) => ferry::run(&command, lang),
        Command::Flow(command) => flow::run(&command, lang).await,
        Command::Relay(command) => relay::run(&command, lang).await,
        Command::Trace(command) => trace::run(&command, lang).await,
        Command::Audit(command) => audit::run(&command, lang).await,
        Command::Crypto(Crypto::Inventory(asked)) => crypto::inventory(&asked, lang).await,
        Command::Crypto(Crypto::Selftest(arguments)) => crypto::selftest(&arguments, lang),
        Command::Sandbox(command) => sandbox::answer(&command, lang).await,
        Command::Pki(command) => pki::run(&command, lang).map(done),
        Command::Tsa(command) => tsa::run(&command, lang),
        Command::Keys(keys::Keys::Where(which)) if which.asks() => {
            keys::ask_where(&which, lang).await.map(done)
        }
        Command::Keys(command) => {
            let now_unix = SystemClock.wall().0 / 1000;
            keys::answer(&command, lang, now_unix).map(done)
        }
        Command::Dr(command) => dr::answer(&command, lang).await,
        Command::Node(command) => node::answer(&command, lang).await.map(done),
        Command::Demo(arguments) => make_calls(arguments, lang).await,
        Command::Openapi => Ok(done(OPENAPI.to_owned())),
    }
}

async fn make_calls(arguments: Demo, lang: Language) -> Result<Done, Failure> {
    let Demo {
        calls,
        at_once,
        talk,
        keep_package,
        data,
        output,
    } = arguments;
    let mut setting = demo::Setting::read(&data, keep_package)?;
    setting.talk = Duration::from_secs(u64::from(talk));
    let report = demo::run(&setting, calls, at_once, &SystemClock).await?;
    let text = if output.json {
        show::json(&report)?
    } else {
        report.to_words(lang)
    };
    Ok(Done {
        text,
        exit: if report.ok { 0 } else { NOT_VERIFIED },
    })
}
