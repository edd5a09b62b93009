//! What a node asks of its machine: clock, entropy, a key-value view, a disk.
