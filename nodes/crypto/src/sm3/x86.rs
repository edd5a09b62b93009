//! SM3 on x86-64.
//!
//! One stream is bound by the chain from word E of one round to word E of the next: add, rotate, add
//! and three steps of P0, six cycles a round. `rounds` is written in assembly so that nothing else
//! is on that chain and the round's other twenty instructions fill the cycles beside it, in an order
//! that was found by measuring; `stream` feeds it with message words that vector instructions expand
//! for several blocks at once, between the rounds of the blocks before. With AVX-512 and eight blocks
//! or more, `group` does all of that in one piece of assembly.
//!
//! Many streams have no such chain to wait for: sixteen or eight of them lie across one register.

pub(super) mod avx2;
pub(super) mod avx512;
mod group;
mod rounds;
mod stream;
