//! Cluster metadata: drives openraft, keeps the core's state, forwards to the leader.
