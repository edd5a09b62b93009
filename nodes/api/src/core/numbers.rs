//! The numbers of an inner node.

use guitai_meta::State as MetaState;
use guitai_recorder::{Recorder, SinkStat};
use guitai_types::{record::RecordingState, view::QueueView};

use super::Core;
use crate::metrics::{Family, Metrics};

pub(super) fn of(core: &Core) -> Metrics {
    let mut metrics = Metrics::default();
    metrics.about(core.member.name.as_str());
    metrics.sandbox((core.sandbox)().state());
    consensus(core, &mut metrics);
    business(core, &mut metrics);
    if let Some(log) = core.meta.log_status() {
        metrics.gauge("log_entries", "Entries of the transparency log.", log.size);
        let help = "Entries under its newest published checkpoint.";
        metrics.gauge("log_published", help, log.published);
        let help = "Full parts of it that this node still lacks.";
        metrics.gauge("log_missing", help, log.missing);
        let help = "Times a witness was shown two trees; anything but 0 is an alarm.";
        metrics.gauge("log_alarms", help, log.alarms.len());
    }
    let streams = core.streams.open();
    metrics.gauge(
        "api_event_streams",
        "Server-sent event streams open.",
        streams,
    );
    metrics.gauge(
        "guard_tunnels",
        "Tunnels to edges.",
        core.tunnels.up().len(),
    );
    metrics.guard(&core.tunnels.stats());
    core.exchange.rules.metrics(&mut metrics);
    metrics.certificates(&core.mesh.certificate_stats());
    if let Some(relay) = &core.relay {
        metrics.relay(&relay.stats());
    }
    if let Some(recorder) = &core.recorder {
        let list = recorder.list();
        let running = list
            .iter()
            .filter(|recording| matches!(recording.state, RecordingState::Running { .. }))
            .count();
        let sum = |what: fn(&guitai_recorder::RecordingStat) -> u64| list.iter().map(what).sum();
        let (segments, bytes, gaps): (u64, u64, u64) = (
            sum(|r| r.segments),
            sum(|r| r.bytes),
            sum(|r| u64::from(r.gaps)),
        );
        metrics.gauge("recorder_recordings", "Recordings kept here.", list.len());
        metrics.gauge("recorder_running", "Recordings running here.", running);
        metrics.gauge("recorder_segments", "Durable segments kept here.", segments);
        metrics.gauge("recorder_bytes", "Bytes of segments kept here.", bytes);
        metrics.gauge(
            "recorder_gaps",
            "Declared gaps of recordings kept here.",
            gaps,
        );
    }
    metrics
}

fn consensus(core: &Core, metrics: &mut Metrics) {
    let status = core.meta.status();
    let leads = status.leader == Some(core.member.id);
    metrics.gauge("meta_term", "Present raft term.", status.term);
    metrics.gauge(
        "meta_leader",
        "1 on the leader, 0 elsewhere.",
        u8::from(leads),
    );
    metrics.gauge(
        "meta_has_leader",
        "1 if this node knows a leader.",
        u8::from(status.leader.is_some()),
    );
    metrics.gauge(
        "meta_applied_index",
        "Last log index applied here.",
        status.applied,
    );
    let (number, epoch) = core
        .meta
        .peek(|state| (state.event_number(), state.epoch()));
    metrics.counter("meta_event_number", "Number of the newest event.", number);
    metrics.gauge("meta_epoch", "Cluster epoch.", epoch.0);
}

/// What this node's recorder has in the object store.
fn sink(stat: &SinkStat, metrics: &mut Metrics) {
    let failing = u8::from(stat.failing.is_some());
    let gauges = [
        (
            "sink_failing",
            "1 while the sink refuses or does not answer.",
            u64::from(failing),
        ),
        (
            "sink_recordings_waiting",
            "Sealed recordings of this node that are not whole in the sink.",
            stat.waiting,
        ),
        (
            "sink_recordings_whole",
            "Recordings of this node that are whole in the sink, locked as promised.",
            stat.whole,
        ),
        (
            "sink_recordings_locked",
            "Erased recordings whose objects cannot be deleted yet.",
            stat.locked,
        ),
    ];
    for (name, help, value) in gauges {
        metrics.gauge(name, help, value);
    }
    let counters = [
        (
            "sink_objects_put_total",
            "Objects put into the sink and read back.",
            stat.objects_put,
        ),
        ("sink_bytes_put_total", "Their bytes.", stat.bytes_put),
        (
            "sink_objects_damaged_total",
            "Objects of the sink found otherwise than they were put, or missing.",
            stat.damaged,
        ),
        (
            "sink_files_mended_total",
            "Files of recordings that were fetched back from the sink.",
            stat.mended,
        ),
        (
            "sink_versions_deleted_total",
            "Versions of objects deleted after an erasure.",
            stat.deleted,
        ),
        (
            "sink_failures_total",
            "Looks at the sink that did not come to their end.",
            stat.failures,
        ),
    ];
    for (name, help, value) in counters {
        metrics.counter(name, help, value);
    }
}

fn business(core: &Core, metrics: &mut Metrics) {
    let (queues, sessions, recordings) = core.meta.peek(|state| {
        (
            state.queue_views(),
            state.sessions_running().count(),
            state.recordings_sealed(),
        )
    });
    metrics.gauge("sessions_running", "Sessions going on.", sessions);
    metrics.counter(
        "recordings_sealed_total",
        "Recordings sealed in the cluster.",
        recordings,
    );
    let (short, damaged) = core.meta.peek(MetaState::copies_missing);
    let help = "Recordings kept with whole copies in too few centres; a replica is being made, or cannot be.";
    metrics.gauge("recordings_short", help, short);
    let help = "Copies of recordings found damaged and not replaced.";
    metrics.gauge("recordings_damaged_copies", help, damaged);
    if let Some(stat) = core.recorder.as_ref().and_then(Recorder::sink_stat) {
        sink(&stat, metrics);
    }
    let films = core.meta.peek(MetaState::film_counts);
    metrics.gauge(
        "films_waiting",
        "Films that nobody makes yet.",
        films.waiting,
    );
    metrics.gauge("films_making", "Films that a node makes.", films.making);
    let help = "Films that could not be made, of the last week.";
    metrics.gauge("films_failed", help, films.failed);
    let help = "Nodes that can make films; 0 where none has ffmpeg and a font.";
    metrics.gauge("film_makers", help, films.makers);
    let help = "Processor milliseconds of ffmpeg for the films of the last week.";
    metrics.gauge("films_cpu_ms", help, films.cpu_ms);
    let help = "Milliseconds of the calls that they are of: below half of it goes into them.";
    metrics.gauge("films_length_ms", help, films.length_ms);
    let families: [Family<QueueView, u64>; 4] = [
        ("queue_waiting", "Customers waiting.", |queue| queue.waiting),
        (
            "queue_longest_wait_ms",
            "Longest wait in milliseconds.",
            |queue| queue.longest_wait_ms,
        ),
        ("queue_agents_ready", "Agents ready.", |queue| queue.ready),
        ("queue_agents_busy", "Agents in a call.", |queue| queue.busy),
    ];
    for (name, help, value) in families {
        metrics.family(name, "gauge", help);
        for queue in &queues {
            let labels = [
                ("institution", queue.institution.as_str()),
                ("queue", queue.queue.as_str()),
            ];
            metrics.sample(name, &labels, value(queue));
        }
    }
}
