//! National cryptography: SM2/SM3/SM4, the rustls provider, X.509, media frames, keys at rest.
//!
//! Everything here works on bytes and takes the time as an argument; it imports nothing of ours.
//! SM2, SM3 and SM4 are ours, the last two with one path for each kind of processor; their vector
//! kernels are the only `unsafe` code of the project. Key files are RustCrypto's (`sm2`).
//!
//! This is a software module without a product certificate (GM/T 0028): a deployment that needs one
//! keeps its long-lived keys in a certified device in front of [`x509::Identity`].

pub mod cms;
pub mod keys;
pub mod password;
pub mod random;
pub mod selftest;
pub mod sframe;
pub mod sm2;
pub mod sm3;
pub mod sm4;
pub mod tls;
pub mod tsp;
pub mod twin;
pub mod web;
pub mod x509;
