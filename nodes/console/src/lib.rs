//! The pages: customer, agent desk, console; built once, embedded.
