//! The decisions of the cluster: apply(command) -> reply, events, changes. No I/O, no clock, no async.
