//! Messages on a stream: a big-endian `u32` length and that many bytes.

use std::io;

use guitai_types::limits::RPC_BYTES_MAX;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// First allocation for a message: a length alone must not cost its whole size.
const FIRST_BYTES_MAX: usize = 64 * 1024;
const LENGTH_BYTES: usize = 4;

/// Why a message was not read or written.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    /// The length says more than the limit; nothing of it was read or written.
    #[error("a message of {length} bytes, the limit is {max}")]
    TooLarge {
        /// Announced or given length.
        length: usize,
        /// The limit.
        max: usize,
    },
    /// The stream ended inside a message.
    #[error("the stream ended inside a message")]
    Cut,
    /// The stream broke.
    #[error("stream")]
    Stream(#[source] io::Error),
}

/// Reads one message of at most `max` bytes; `None` when the stream ended before one.
pub async fn read_frame<R>(stream: &mut R, max: usize) -> Result<Option<Vec<u8>>, FrameError>
where
    R: AsyncRead + Unpin,
{
    let mut head = [0; LENGTH_BYTES];
    let mut have = 0;
    while let Some(rest) = head.get_mut(have..).filter(|rest| !rest.is_empty()) {
        match stream.read(rest).await.map_err(FrameError::Stream)? {
            0 if have == 0 => return Ok(None),
            0 => return Err(FrameError::Cut),
            read => have += read,
        }
    }
    let length = usize::try_from(u32::from_be_bytes(head)).unwrap_or(usize::MAX);
    if length > max {
        return Err(FrameError::TooLarge { length, max });
    }
    let mut message = Vec::with_capacity(length.min(FIRST_BYTES_MAX));
    let mut body = stream.take(length as u64);
    body.read_to_end(&mut message)
        .await
        .map_err(FrameError::Stream)?;
    if message.len() < length {
        return Err(FrameError::Cut);
    }
    Ok(Some(message))
}

/// Writes one message. The hard limit is [`RPC_BYTES_MAX`]; narrower ones are the caller's.
pub async fn write_frame<W>(stream: &mut W, message: &[u8]) -> Result<(), FrameError>
where
    W: AsyncWrite + Unpin,
{
    let (length, max) = (message.len(), RPC_BYTES_MAX);
    let head = match u32::try_from(length) {
        Ok(head) if length <= max => head.to_be_bytes(),
        _ => return Err(FrameError::TooLarge { length, max }),
    };
    stream.write_all(&head).await.map_err(FrameError::Stream)?;
    stream.write_all(message).await.map_err(FrameError::Stream)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn run<F: Future>(future: F) -> F::Output {
        let runtime = tokio::runtime::Builder::new_current_thread();
        let mut runtime = runtime;
        runtime.build().unwrap().block_on(future)
    }

    #[test]
    fn the_limit_is_checked_before_the_body() {
        let mut wire: &[u8] = &[0x7f, 0xff, 0xff, 0xff];
        let read = run(read_frame(&mut wire, 16));
        assert!(matches!(read, Err(FrameError::TooLarge { max: 16, .. })));
        let large = vec![0; RPC_BYTES_MAX + 1];
        let mut out = Vec::new();
        let written = run(write_frame(&mut out, &large));
        assert!(matches!(written, Err(FrameError::TooLarge { .. })));
        assert!(out.is_empty());
    }

    #[test]
    fn a_cut_stream_is_no_end() {
        for wire in [&[0][..], &[0, 0, 0], &[0, 0, 0, 2, 7]] {
            let mut wire = wire;
            assert!(matches!(
                run(read_frame(&mut wire, 16)),
                Err(FrameError::Cut)
            ));
        }
        assert!(matches!(run(read_frame(&mut &[][..], 16)), Ok(None)));
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(messages in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 0..6)) {
            run(async {
                let mut wire = Vec::new();
                for message in &messages {
                    write_frame(&mut wire, message).await.unwrap();
                }
                let mut wire = wire.as_slice();
                for message in &messages {
                    let read = read_frame(&mut wire, 300).await.unwrap();
                    prop_assert_eq!(read.as_ref(), Some(message));
                }
                prop_assert!(read_frame(&mut wire, 300).await.unwrap().is_none());
                Ok(())
            })?;
        }

        #[test]
        fn garbage_is_an_error_or_a_message_within_the_limit(wire in prop::collection::vec(any::<u8>(), 0..64)) {
            let mut wire = wire.as_slice();
            if let Ok(Some(message)) = run(read_frame(&mut wire, 32)) {
                prop_assert!(message.len() <= 32);
            }
        }
    }
}
