//! The Prometheus text format (version 0.0.4), and the numbers both doors have in common.

use std::{
    fmt::{Display, Write as _},
    sync::Arc,
};

use axum::response::{IntoResponse as _, Response};
use guitai_net::{CertificateStats, DoorStats};
use guitai_relay::{
    RelayStats, Traffic,
    guard::{Count, Verdict},
};
use guitai_types::sandbox::SandboxState;
use http::{HeaderValue, header};

/// Name, help, and where its values come from.
pub(crate) type Family<Record, Value> = (&'static str, &'static str, fn(&Record) -> Value);

/// Gives the numbers of a mesh's certificates when asked.
pub type CertificateSource = Arc<dyn Fn() -> CertificateStats + Send + Sync>;

/// Tells how the ways into a door stand when asked.
pub type DoorStatsSource = Arc<dyn Fn() -> Vec<DoorStats> + Send + Sync>;

/// Metrics on their way into a text.
#[derive(Debug, Default)]
pub(crate) struct Metrics(String);

impl Metrics {
    /// A metric that goes up and down.
    pub(crate) fn gauge(&mut self, name: &str, help: &str, value: impl Display) {
        self.family(name, "gauge", help);
        self.sample(name, &[], value);
    }

    /// A metric that only goes up.
    pub(crate) fn counter(&mut self, name: &str, help: &str, value: impl Display) {
        self.family(name, "counter", help);
        self.sample(name, &[], value);
    }

    /// Begins a metric that has labels; its samples follow by [`Self::sample`].
    pub(crate) fn family(&mut self, name: &str, kind: &str, help: &str) {
        // Writing to a String does not fail.
        let _ = writeln!(
            self.0,
            "# HELP guitai_{name} {help}\n# TYPE guitai_{name} {kind}"
        );
    }

    /// One value of a metric.
    pub(crate) fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: impl Display) {
        let escape = |text: &str| {
            text.replace('\\', "\\\\")
                .replace('"', "\\\"")
                .replace('\n', "\\n")
        };
        let labels: Vec<_> = labels
            .iter()
            .map(|(name, value)| format!("{name}=\"{}\"", escape(value)))
            .collect();
        let labels = if labels.is_empty() {
            String::new()
        } else {
            format!("{{{}}}", labels.join(","))
        };
        let _ = writeln!(self.0, "guitai_{name}{labels} {value}");
    }

    /// What runs here.
    pub(crate) fn about(&mut self, node: &str) {
        self.family("info", "gauge", "What runs here.");
        self.sample("info", &[("node", node), ("version", crate::VERSION)], 1);
    }

    /// What holds the process that runs here.
    pub(crate) fn sandbox(&mut self, state: SandboxState) {
        self.family(
            "sandbox",
            "gauge",
            "How the sandbox of this process stands: whole, partly, missing, report, off.",
        );
        self.sample("sandbox", &[("state", state.as_str())], 1);
    }

    /// What crossed the guard and what did not.
    pub(crate) fn guard(&mut self, counts: &[Count]) {
        let (passed, refused): (Vec<&Count>, Vec<&Count>) = counts
            .iter()
            .partition(|count| count.verdict == Verdict::Passed);
        self.family(
            "guard_passed_total",
            "counter",
            "Messages that crossed, by way and kind.",
        );
        for count in passed {
            let labels = [("way", count.direction.as_str()), ("kind", count.kind)];
            self.sample("guard_passed_total", &labels, count.count);
        }
        self.family(
            "guard_refused_total",
            "counter",
            "Messages refused, by way, kind, verdict.",
        );
        for count in refused {
            let verdict = count.verdict.as_str();
            let way = count.direction.as_str();
            let labels = [("way", way), ("kind", count.kind), ("verdict", verdict)];
            self.sample("guard_refused_total", &labels, count.count);
        }
    }

    /// Who is at the door, and who was not let in.
    pub(crate) fn door(&mut self, stats: &[DoorStats]) {
        let name = "door_connections";
        let help = "Connections at the door now: of who has shown a ticket, and of strangers.";
        self.family(name, "gauge", help);
        for it in stats {
            for (who, count) in [("stranger", it.strangers), ("served", it.served)] {
                let labels = [("way", it.way.as_str()), ("who", who)];
                self.sample(name, &labels, count);
            }
        }
        let name = "door_refused_total";
        let help = "Connections and requests that the door did not let in, by reason.";
        self.family(name, "counter", help);
        for it in stats {
            for (why, count) in &it.refused {
                let labels = [("way", it.way.as_str()), ("why", why.as_str())];
                self.sample(name, &labels, count);
            }
        }
    }

    /// The numbers of a media relay.
    pub(crate) fn relay(&mut self, stats: &RelayStats) {
        self.gauge(
            "relay_connections",
            "Media connections now.",
            stats.sessions,
        );
        self.counter(
            "relay_accepted_total",
            "Media connections let in.",
            stats.accepted,
        );
        self.family(
            "relay_refused_total",
            "counter",
            "Media connections refused, by reason.",
        );
        for (reason, count) in &stats.refused {
            self.sample("relay_refused_total", &[("reason", reason)], count);
        }
        self.counter(
            "relay_panics_total",
            "Panics caught in media connections.",
            stats.panics,
        );
        let families: [Family<Traffic, [u64; 2]>; 3] = [
            ("relay_bytes_total", "Media bytes.", |t| {
                [t.bytes_in, t.bytes_out]
            }),
            ("relay_frames_total", "Media frames.", |t| {
                [t.frames_in, t.frames_out]
            }),
            ("relay_groups_total", "Media groups.", |t| {
                [t.groups_in, t.groups_out]
            }),
        ];
        for (name, help, values) in families {
            self.family(name, "counter", help);
            for (side, traffic) in [("door", &stats.door), ("mesh", &stats.mesh)] {
                for (way, value) in ["in", "out"].into_iter().zip(values(traffic)) {
                    self.sample(name, &[("side", side), ("way", way)], value);
                }
            }
        }
    }

    /// The certificates between nodes, and what they opened.
    pub(crate) fn certificates(&mut self, stats: &CertificateStats) {
        self.gauge(
            "certificate_not_after_seconds",
            "End of the node's certificate, seconds since 1970.",
            stats.not_after,
        );
        self.counter(
            "certificate_renewals_total",
            "Renewals of the node's certificate while it runs.",
            stats.renewals,
        );
        self.gauge(
            "mesh_connections",
            "Connections between nodes open now.",
            stats.open,
        );
        self.family(
            "mesh_connections_total",
            "counter",
            "Connections between nodes made, by protocol.",
        );
        for (alpn, count) in &stats.opened {
            self.sample("mesh_connections_total", &[("alpn", alpn)], count);
        }
        self.counter(
            "mesh_revoked_refused_total",
            "Connections refused because the peer's certificate is revoked.",
            stats.refused_revoked,
        );
        self.counter(
            "mesh_revoked_closed_total",
            "Open connections ended because the peer's certificate was revoked.",
            stats.closed_revoked,
        );
        self.family(
            "crl_next_update_seconds",
            "gauge",
            "When the next revocation list is due, seconds since 1970, by issuer and number held.",
        );
        for (issuer, number, next_update) in &stats.lists {
            let labels = [("issuer", issuer.as_str()), ("number", number.as_str())];
            self.sample("crl_next_update_seconds", &labels, next_update);
        }
    }

    pub(crate) fn into_response(self) -> Response {
        let kind = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
        ([(header::CONTENT_TYPE, kind)], self.0).into_response()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_is_what_prometheus_reads() {
        let mut metrics = Metrics::default();
        metrics.gauge("raft_term", "Present term.", 3);
        metrics.family("queue_waiting", "gauge", "Customers.");
        metrics.sample(
            "queue_waiting",
            &[("queue", "a\"b"), ("institution", "c")],
            2,
        );
        assert_eq!(
            metrics.0,
            "# HELP guitai_raft_term Present term.\n# TYPE guitai_raft_term gauge\n\
             guitai_raft_term 3\n# HELP guitai_queue_waiting Customers.\n\
             # TYPE guitai_queue_waiting gauge\n\
             guitai_queue_waiting{queue=\"a\\\"b\",institution=\"c\"} 2\n"
        );
    }
}
