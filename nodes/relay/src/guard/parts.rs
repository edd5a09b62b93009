//! What a message and a file pass through at either end of a tunnel, without the tunnel: for fuzzing, which shows what
//! can come out (`tests/decoders`).

pub use super::{
    message::{Message, Refused, decode, remake},
    pieces::{PieceError, read as read_file},
};
