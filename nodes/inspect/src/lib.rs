//! What the parties of a call send each other, taken apart: texts are held to the rules for what must not be
//! said in the clear, files are parsed by what they are and made anew.
//!
//! No I/O, no clock, no chance, nothing of ours but types. The edge asks it, and the inner zone once more. Read
//! [`text`] first, then [`file`]; [`number`], [`id_card`], [`bank_card`] and [`phone`] find what a text holds,
//! [`picture`] and [`pdf`] take a file apart.
//!
//! What is *not* found: numbers in Chinese characters or in words, numbers spread over several messages, and
//! everything inside of pictures and documents. Whoever wants to tell a number will find a way to; the rules
//! keep those from it who did not mean to.

mod bank_card;
pub mod file;
mod id_card;
mod number;
mod pdf;
mod phone;
mod picture;
pub mod text;

pub use file::{FileError, Files, Remade};
pub use text::{PatternError, Texts, Verdict};
