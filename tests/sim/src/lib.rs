//! The deterministic world: the cores under thousands of seeds.
