//! What a node asks of its machine: clock, entropy, a key-value view, a disk.
//!
//! Each question is a small trait with two living answers: the machine's, and one that a test or
//! the simulator drives by seed. Nothing else in the workspace asks the machine for the time, for
//! chance, or for a durable byte.

mod clock;
mod disk;
mod entropy;
mod files;
mod kv;
mod sim_disk;
mod sockets;
mod system_disk;

pub use clock::{Clock, ManualClock, SystemClock};
pub use disk::{Disk, DiskFile};
pub use entropy::{Entropy, SeededEntropy, SystemEntropy, draw16, random_id};
pub use files::raise_open_files;
pub use kv::{Batch, Kv, KvError, MemoryKv, Pair, fill};
pub use sim_disk::SimDisk;
pub use sockets::{Carrier, OwnSocket, own_sockets, own_written};
pub use system_disk::SystemDisk;
