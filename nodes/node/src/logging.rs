//! Structured logs: JSON lines on standard output of a node, plain lines of an operator's command.

use tracing_subscriber::{EnvFilter, fmt, layer::SubscriberExt as _, util::SubscriberInitExt as _};

/// What is logged unless `GUITAI_LOG` says otherwise.
const DEFAULT: &str = "info,openraft=warn,quinn=warn,moq_net=error,web_transport_quinn=error";

/// For a node process.
pub(crate) fn node() {
    let filter = EnvFilter::try_from_env("GUITAI_LOG").unwrap_or_else(|_| EnvFilter::new(DEFAULT));
    tracing_subscriber::registry()
        .with(filter)
        .with(fmt::layer().json().flatten_event(true))
        .init();
}

/// For a command at a terminal: only what went wrong, on standard error.
pub(crate) fn command() {
    let filter = EnvFilter::try_from_env("GUITAI_LOG")
        .unwrap_or_else(|_| EnvFilter::new("warn,moq_net=off,web_transport_quinn=off"));
    let plain = fmt::layer()
        .compact()
        .without_time()
        .with_writer(std::io::stderr);
    tracing_subscriber::registry()
        .with(filter)
        .with(plain)
        .init();
}
