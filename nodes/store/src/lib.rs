//! What a node keeps: raft log, snapshots, the sled view.
