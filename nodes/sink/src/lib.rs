//! The sink of recordings: an S3-compatible object store that gets what a recorder has sealed, as it is at rest.
//!
//! [`plan`] decides what is to be put, locked, read again, fetched back and deleted next; it knows neither network
//! nor disk nor clock. [`store`] does it over HTTP, [`credentials`] are read from a file and nowhere else. Whoever
//! has the files, the recorder, drives the two.
//!
//! What arrives there is ciphertext and small notes. The file with a recording's data key is never put: a copy of it
//! under a lock would outlive the recording's erasure (decision 0052).

pub mod credentials;
mod http_client;
pub mod plan;
pub mod store;
mod xml;

pub use credentials::CredentialsError;
pub use store::{Body, OpenError, Store, StoreError};
