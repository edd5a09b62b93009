//! One record of the log, format 1, little-endian.
//!
//! ```text
//!  0  magic "GtR1"
//!  4  length of the body, u32
//!  8  serial, u64: one more than the record before, over all segments, for ever
//! 16  durable, u64: every record with a lower serial was durable when this one was written
//! 24  kind, u8, then three zero bytes
//! 28  CRC32C of bytes 0 to 28 and the body
//! 32  body
//! ```
//!
//! `durable` is what tells damage from an unfinished write. When a record cannot be read and a
//! later one says that it was durable, acknowledged bytes are gone; when none says so, the power
//! was cut before anybody was told.

use super::Purged;

pub(super) const MAGIC: &[u8; 4] = b"GtR1";
pub(super) const HEAD_BYTES: usize = 32;
/// Longest body that is believed when read: past it a length is garbage.
const BODY_BYTES_MAX: usize = 16 << 20;

/// What a record says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Record<'a> {
    /// First in each segment: everything needed from the segments before, which may be gone.
    Head(Head),
    /// An entry of the raft log; replaces what was at its index and after.
    Entry { index: u64, data: &'a [u8] },
    /// Entries from `next` on are gone; in an empty log, the next entry will be `next`.
    Truncate { next: u64 },
    /// Entries up to `index` are gone.
    Purge { index: u64, marker: &'a [u8] },
    /// The vote.
    Vote(&'a [u8]),
    /// The committed mark.
    Committed(&'a [u8]),
}

/// The state of a log when a segment began.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) segment: u64,
    pub(super) next: u64,
    pub(super) purged: Option<Purged>,
    pub(super) vote: Option<Vec<u8>>,
    pub(super) committed: Option<Vec<u8>>,
}

/// A record found in a file.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Found<'a> {
    pub(super) serial: u64,
    pub(super) durable: u64,
    pub(super) record: Record<'a>,
    /// Length in the file, head and body.
    pub(super) len: usize,
}

/// Appends the record to `out`.
pub(super) fn encode(record: &Record<'_>, serial: u64, durable: u64, out: &mut Vec<u8>) {
    let from = out.len();
    out.extend_from_slice(MAGIC);
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(&serial.to_le_bytes());
    out.extend_from_slice(&durable.to_le_bytes());
    out.extend_from_slice(&[kind(record), 0, 0, 0]);
    out.extend_from_slice(&[0; 4]);
    encode_body(record, out);
    let body_len = (out.len() - from - HEAD_BYTES) as u32;
    out[from + 4..from + 8].copy_from_slice(&body_len.to_le_bytes());
    let crc = crc(&out[from..from + 28], &out[from + HEAD_BYTES..]);
    out[from + 28..from + 32].copy_from_slice(&crc.to_le_bytes());
}

/// The record at the start of `bytes`, when it is whole and sound.
pub(super) fn decode(bytes: &[u8]) -> Option<Found<'_>> {
    let (head, rest) = bytes.split_first_chunk::<HEAD_BYTES>()?;
    let (summed, sum) = head.split_last_chunk::<4>()?;
    let mut fields = Fields(summed);
    let magic = fields.take(4)?;
    let body_len = usize::try_from(fields.u32()?).ok()?;
    if magic != MAGIC || body_len > BODY_BYTES_MAX {
        return None;
    }
    let body = rest.get(..body_len)?;
    if crc(summed, body) != u32::from_le_bytes(*sum) {
        return None;
    }
    let serial = fields.u64()?;
    let durable = fields.u64()?;
    let kind = *fields.0.first()?;
    let record = decode_body(kind, body)?;
    Some(Found {
        serial,
        durable,
        record,
        len: HEAD_BYTES + body_len,
    })
}

fn crc(head: &[u8], body: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(head), body)
}

const fn kind(record: &Record<'_>) -> u8 {
    match record {
        Record::Head(_) => 1,
        Record::Entry { .. } => 2,
        Record::Truncate { .. } => 3,
        Record::Purge { .. } => 4,
        Record::Vote(_) => 5,
        Record::Committed(_) => 6,
    }
}

fn encode_body(record: &Record<'_>, out: &mut Vec<u8>) {
    match record {
        Record::Head(head) => {
            out.extend_from_slice(&head.segment.to_le_bytes());
            out.extend_from_slice(&head.next.to_le_bytes());
            let purged = head.purged.as_ref();
            out.extend_from_slice(&purged.map_or(0, |purged| purged.index).to_le_bytes());
            encode_optional(purged.map(|purged| purged.marker.as_slice()), out);
            encode_optional(head.vote.as_deref(), out);
            encode_optional(head.committed.as_deref(), out);
        }
        Record::Entry { index, data }
        | Record::Purge {
            index,
            marker: data,
        } => {
            out.extend_from_slice(&index.to_le_bytes());
            out.extend_from_slice(data);
        }
        Record::Truncate { next } => out.extend_from_slice(&next.to_le_bytes()),
        Record::Vote(data) | Record::Committed(data) => out.extend_from_slice(data),
    }
}

fn decode_body(kind: u8, body: &[u8]) -> Option<Record<'_>> {
    let mut fields = Fields(body);
    Some(match kind {
        1 => {
            let (segment, next, purged) = (fields.u64()?, fields.u64()?, fields.u64()?);
            let marker = fields.optional()?;
            let purged = marker.map(|marker| Purged {
                index: purged,
                marker,
            });
            let (vote, committed) = (fields.optional()?, fields.optional()?);
            Record::Head(Head {
                segment,
                next,
                purged,
                vote,
                committed,
            })
        }
        2 => Record::Entry {
            index: fields.u64()?,
            data: fields.0,
        },
        3 => Record::Truncate {
            next: fields.u64()?,
        },
        4 => Record::Purge {
            index: fields.u64()?,
            marker: fields.0,
        },
        5 => Record::Vote(body),
        6 => Record::Committed(body),
        _ => return None,
    })
}

fn encode_optional(value: Option<&[u8]>, out: &mut Vec<u8>) {
    out.push(u8::from(value.is_some()));
    let value = value.unwrap_or_default();
    out.extend_from_slice(&(value.len() as u32).to_le_bytes());
    out.extend_from_slice(value);
}

/// Bytes read from the front.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn u32(&mut self) -> Option<u32> {
        self.take(4)?.try_into().ok().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Option<u64> {
        self.take(8)?.try_into().ok().map(u64::from_le_bytes)
    }

    fn optional(&mut self) -> Option<Option<Vec<u8>>> {
        let there = *self.take(1)?.first()? == 1;
        let len = usize::try_from(self.u32()?).ok()?;
        let value = self.take(len)?;
        Some(there.then(|| value.to_vec()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoded(record: &Record<'_>) -> Vec<u8> {
        let mut out = Vec::new();
        encode(record, 7, 5, &mut out);
        out
    }

    #[test]
    fn the_format_is_frozen() {
        let bytes = encoded(&Record::Entry {
            index: 3,
            data: b"hi",
        });
        let frozen = b"GtR1\x0a\0\0\0\x07\0\0\0\0\0\0\0\x05\0\0\0\0\0\0\0\x02\0\0\0";
        assert_eq!(&bytes[..28], frozen);
        assert_eq!(&bytes[32..], b"\x03\0\0\0\0\0\0\0hi");
        assert_eq!(
            u32::from_le_bytes(bytes[28..32].try_into().unwrap()),
            FROZEN_CRC
        );
    }

    /// Of the entry above; computed once by another implementation of CRC32C (Castagnoli).
    const FROZEN_CRC: u32 = 0x14b5_41f6;

    #[test]
    fn every_record_comes_back_and_no_flipped_bit_passes() {
        let head = Head {
            segment: 9,
            next: 12,
            purged: Some(Purged {
                index: 4,
                marker: b"log id".to_vec(),
            }),
            vote: Some(vec![]),
            committed: None,
        };
        let records = [
            Record::Head(head),
            Record::Entry {
                index: 1,
                data: b"",
            },
            Record::Truncate { next: u64::MAX },
            Record::Purge {
                index: 2,
                marker: b"m",
            },
            Record::Vote(b"v"),
            Record::Committed(b"c"),
        ];
        for record in records {
            let mut bytes = encoded(&record);
            let found = decode(&bytes).unwrap();
            assert_eq!(
                (found.serial, found.durable, found.len),
                (7, 5, bytes.len())
            );
            assert_eq!(found.record, record);
            for bit in 0..bytes.len() * 8 {
                bytes[bit / 8] ^= 1 << (bit % 8);
                assert_eq!(decode(&bytes), None, "bit {bit} of {record:?}");
                bytes[bit / 8] ^= 1 << (bit % 8);
            }
            for len in 0..bytes.len() {
                assert_eq!(decode(&bytes[..len]), None);
            }
        }
    }
}
