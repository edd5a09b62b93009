//! `guitai`: one binary; what a process is, its profile says.

mod config;
mod deployment;
mod exit;
mod flows;
mod founding;
mod identity;
mod keys;
mod logging;
mod ports;
mod ready;
mod renewals;
mod run;
mod supervisor;
mod up;

use std::process::ExitCode;

use clap::Parser;

/// 柜台:银行自有的远程视频柜台 / Guitai: the bank's own remote video counter
#[derive(Debug, Parser)]
#[command(version, propagate_version = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// 在本机启动整个部署 / Start a whole deployment on this machine
    Up(up::Arguments),
    /// 运行一个节点 / Run one node
    Run(run::Arguments),
    #[command(flatten)]
    Client(guitai_cli::Command),
}

/// Raft, JSON and HTTP take and give back many small pieces of memory on every thread.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    match Arguments::parse().command {
        // A node enters its sandbox before it has threads.
        Command::Run(arguments) => {
            logging::node();
            run::run(arguments).unwrap_or_else(|failure| failure.report())
        }
        Command::Up(arguments) => {
            logging::command();
            up(arguments)
        }
        Command::Client(command) => {
            logging::command();
            client(command)
        }
    }
}

#[tokio::main]
async fn up(arguments: up::Arguments) -> ExitCode {
    let done = up::up(arguments).await;
    done.unwrap_or_else(|failure| failure.report())
}

#[tokio::main]
async fn client(command: guitai_cli::Command) -> ExitCode {
    guitai_cli::run(command).await
}
