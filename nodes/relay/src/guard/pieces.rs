//! The bytes of a file behind its message, in frames no longer than a message. How many there are was said in the
//! message, and checked: what does not fit is no file.

use guitai_crypto::sm3;
use guitai_net::frame::{FrameError, read_frame, write_frame};
use guitai_types::{limits::CONTROL_BYTES_MAX, message::FileHead};
use tokio::io::{AsyncRead, AsyncWrite};

use super::Refusal;

/// Why a file did not come through.
#[derive(Debug, thiserror::Error)]
pub enum PieceError {
    /// It is not what its message said.
    #[error("refused")]
    Refused(#[source] Refusal),
    /// The stream broke.
    #[error("stream")]
    Lost,
}

/// Writes the bytes of a file.
pub(super) async fn write<W>(stream: &mut W, file: &[u8]) -> Result<(), FrameError>
where
    W: AsyncWrite + Unpin,
{
    for piece in file.chunks(CONTROL_BYTES_MAX) {
        write_frame(stream, piece).await?;
    }
    Ok(())
}

/// Reads exactly the file that was announced.
///
/// # Errors
/// When other bytes come, or the stream breaks.
pub async fn read<R>(stream: &mut R, head: &FileHead) -> Result<Vec<u8>, PieceError>
where
    R: AsyncRead + Unpin,
{
    let wrong = || {
        let (field, rule) = ("file", "the bytes that were announced");
        PieceError::Refused(Refusal::BadValue { field, rule })
    };
    let announced = usize::try_from(head.bytes).map_err(|_| wrong())?;
    let mut file = Vec::new();
    while file.len() < announced {
        let max = CONTROL_BYTES_MAX.min(announced - file.len());
        match read_frame(stream, max).await {
            Ok(Some(piece)) if !piece.is_empty() => file.extend_from_slice(&piece),
            Ok(_) | Err(FrameError::Cut | FrameError::TooLarge { .. }) => return Err(wrong()),
            Err(FrameError::Stream(_)) => return Err(PieceError::Lost),
        }
    }
    if sm3::hash(&file)[..] != head.sm3.0[..] {
        return Err(wrong());
    }
    Ok(file)
}

#[cfg(test)]
mod tests {
    use guitai_types::{Hex, message::FileType};

    use super::*;

    fn head(bytes: &[u8]) -> FileHead {
        FileHead {
            name: "合同.pdf".to_owned(),
            kind: FileType::Pdf,
            bytes: bytes.len() as u64,
            sm3: Hex(sm3::hash(bytes).to_vec()),
        }
    }

    async fn through(sent: &[u8], head: &FileHead) -> Result<Vec<u8>, PieceError> {
        let mut wire = Vec::new();
        write(&mut wire, sent).await.unwrap();
        read(&mut wire.as_slice(), head).await
    }

    #[tokio::test]
    async fn exactly_what_was_announced_comes_through() {
        for length in [1, CONTROL_BYTES_MAX, 3 * CONTROL_BYTES_MAX + 7] {
            let file = vec![7; length];
            assert_eq!(through(&file, &head(&file)).await.unwrap(), file);
            let mut other = file.clone();
            other[length - 1] ^= 1;
            for sent in [
                &other[..],
                &file[..length - 1],
                &[&file[..], &[7]].concat()[..],
            ] {
                // A byte more is left on the stream, where nobody reads it.
                let got = through(sent, &head(&file)).await;
                assert!(got.is_err() || sent.len() > length, "{length}");
            }
        }
    }
}
