//! The header of a segment: a box of its own before the `moof`, which players pass over (ISO/IEC
//! 14496-12, 4.2 and 11.1: `uuid`). It says whose segment this is and under which turn and cluster epoch
//! it was written, inside the bytes that are hashed: a segment that wanders from one recording into
//! another, or was written by a node that no longer had a say, is told by itself.
//!
//! Version 1, all numbers big-endian:
//!
//! ```text
//! u32 size of the box   "uuid"   16 bytes "guitaiSegmentHdr"
//! u8 version = 1        u64 epoch   u32 assignment   u32 track   u32 segment
//! u8 n, n bytes: node   u8 n, n bytes: session
//! ```

use guitai_types::{Epoch, NodeName, SessionId};

/// The user type of the box.
pub const USER_TYPE: [u8; 16] = *b"guitaiSegmentHdr";
/// The version this release writes.
pub const VERSION: u8 = 1;
/// No header is longer: two ids of at most 63 bytes and 47 bytes of the rest.
pub const HEADER_BYTES_MAX: usize = 256;

/// Size and `uuid`.
const BOX_BYTES: usize = 8;

/// What a segment says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// The session it is of.
    pub session: SessionId,
    /// The node that wrote it.
    pub node: NodeName,
    /// The cluster's epoch as that node knew it then.
    pub epoch: Epoch,
    /// The number of the node's turn at recording.
    pub assignment: u32,
    /// Number of the track, from 1.
    pub track: u32,
    /// Number of the segment in its track, from 1.
    pub segment: u32,
}

/// Why bytes that begin as a header are none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HeaderError {
    /// Fewer or more bytes than it says.
    #[error("the segment's header is cut short or too long")]
    Length,
    /// A version this release does not know.
    #[error("the segment's header is of version {0}, known is {VERSION}")]
    Version(u8),
    /// An id that is none.
    #[error("the segment's header names an impossible node or session")]
    Name,
}

impl Header {
    /// The box.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut content = [&b"uuid"[..], &USER_TYPE, &[VERSION]].concat();
        content.extend_from_slice(&self.epoch.0.to_be_bytes());
        for number in [self.assignment, self.track, self.segment] {
            content.extend_from_slice(&number.to_be_bytes());
        }
        for name in [self.node.as_str(), self.session.as_str()] {
            // An id has at most 63 bytes.
            content.push(u8::try_from(name.len()).unwrap_or(u8::MAX));
            content.extend_from_slice(name.as_bytes());
        }
        let size = u32::try_from(content.len() + 4).unwrap_or(u32::MAX);
        [&size.to_be_bytes(), content.as_slice()].concat()
    }

    /// The header at the start of a segment and its length in bytes; `None` if the segment has none, as
    /// in packages of format 1.
    ///
    /// # Errors
    /// When there is one that cannot be read.
    pub fn parse(segment: &[u8]) -> Result<Option<(Self, usize)>, HeaderError> {
        if !is_header(segment) {
            return Ok(None);
        }
        let size = segment.first_chunk::<4>().ok_or(HeaderError::Length)?;
        let size = u32::from_be_bytes(*size) as usize;
        let content = segment
            .get(BOX_BYTES + USER_TYPE.len()..size)
            .filter(|_| size <= HEADER_BYTES_MAX);
        let mut rest = Reader(content.ok_or(HeaderError::Length)?);
        let [version] = rest.take()?;
        if version != VERSION {
            return Err(HeaderError::Version(version));
        }
        let epoch = Epoch(u64::from_be_bytes(rest.take()?));
        let assignment = u32::from_be_bytes(rest.take()?);
        let track = u32::from_be_bytes(rest.take()?);
        let segment = u32::from_be_bytes(rest.take()?);
        let node = rest.text()?.parse().map_err(|_| HeaderError::Name)?;
        let session = rest.text()?.parse().map_err(|_| HeaderError::Name)?;
        if !rest.0.is_empty() {
            return Err(HeaderError::Length);
        }
        let header = Self {
            session,
            node,
            epoch,
            assignment,
            track,
            segment,
        };
        Ok(Some((header, size)))
    }

    /// Bytes of the box at the start of a segment, whatever else it says; 0 if there is none.
    pub(crate) fn length(segment: &[u8]) -> usize {
        let size = segment.first_chunk().filter(|_| is_header(segment));
        size.map_or(0, |size| u32::from_be_bytes(*size) as usize)
    }
}

fn is_header(segment: &[u8]) -> bool {
    segment.get(4..8) == Some(b"uuid")
        && segment.get(BOX_BYTES..BOX_BYTES + USER_TYPE.len()) == Some(&USER_TYPE)
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take<const N: usize>(&mut self) -> Result<[u8; N], HeaderError> {
        let (taken, rest) = self.0.split_first_chunk::<N>().ok_or(HeaderError::Length)?;
        self.0 = rest;
        Ok(*taken)
    }

    fn text(&mut self) -> Result<&'a str, HeaderError> {
        let [length] = self.take()?;
        let split = self.0.split_at_checked(usize::from(length));
        let (text, rest) = split.ok_or(HeaderError::Length)?;
        self.0 = rest;
        std::str::from_utf8(text).map_err(|_| HeaderError::Name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header() -> Header {
        Header {
            session: "5e55".parse().unwrap(),
            node: "a1-2".parse().unwrap(),
            epoch: Epoch(3),
            assignment: 2,
            track: 4,
            segment: 7,
        }
    }

    #[test]
    fn the_bytes_are_frozen() {
        let expected = b"\x00\x00\x00\x37uuidguitaiSegmentHdr\x01\
            \x00\x00\x00\x00\x00\x00\x00\x03\x00\x00\x00\x02\x00\x00\x00\x04\x00\x00\x00\x07\
            \x04a1-2\x045e55";
        assert_eq!(header().encode(), expected);
        let segment = [&expected[..], b"\x00\x00\x00\x08moof"].concat();
        assert_eq!(
            Header::parse(&segment),
            Ok(Some((header(), expected.len())))
        );
    }

    #[test]
    fn a_segment_of_format_1_has_none_and_a_damaged_one_is_told() {
        assert_eq!(Header::parse(b"\x00\x00\x00\x08moof"), Ok(None));
        assert_eq!(Header::parse(b""), Ok(None));
        let bytes = header().encode();
        for length in 24..bytes.len() {
            let cut = Header::parse(&bytes[..length]);
            assert_eq!(cut, Err(HeaderError::Length), "{length}");
        }
        let mut other = bytes.clone();
        other[24] = 2;
        assert_eq!(Header::parse(&other), Err(HeaderError::Version(2)));
        let mut other = bytes.clone();
        other[46] = 0xff;
        assert_eq!(Header::parse(&other), Err(HeaderError::Name));
        let mut longer = bytes;
        longer[3] += 1;
        longer.push(0);
        assert_eq!(Header::parse(&longer), Err(HeaderError::Length));
    }
}
