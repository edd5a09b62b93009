//! The boxes of a segment and of an initialisation part (ISO/IEC 14496-12), as far as a reader of a package
//! compares them: each in its one form.

/// Largest `moof`: far above the frames that a recorder puts in one segment.
pub(crate) const MOOF_BYTES_MAX: usize = 256 * 1024;
/// Bytes of a `moof` before its samples.
const MOOF_BYTES: usize = 88;
/// Bytes of a sample in it.
const SAMPLE_BYTES: usize = 12;
const BOX_BYTES: usize = 8;
const FLAGS_KEY: u32 = 0x0200_0000;
const FLAGS_DELTA: u32 = 0x0101_0000;

/// A frame as its segment says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Sample {
    /// Microseconds until the next.
    pub(crate) us: u32,
    /// Bytes of it.
    pub(crate) bytes: u32,
    /// Decodable alone.
    pub(crate) key: bool,
}

/// What a segment says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Moof {
    /// Number of the segment.
    pub(crate) sequence: u32,
    /// Microseconds since the track's beginning.
    pub(crate) base_us: u64,
    /// Its frames, at least one.
    pub(crate) samples: Vec<Sample>,
}

impl Moof {
    /// Reads a segment after its header; `size` is what it has in all. Nothing for any but the one form.
    pub(crate) fn parse(head: &[u8], size: u64) -> Option<Self> {
        let length = number(head, 0)? as usize;
        let content = head.get(..length).filter(|_| length <= MOOF_BYTES_MAX)?;
        let samples = content.get(MOOF_BYTES..)?;
        if samples.is_empty() || samples.len() % SAMPLE_BYTES != 0 {
            return None;
        }
        let sample = |sample: &[u8]| {
            // Where there is one frame alone its flags stand before the rest.
            let order = if samples.len() == SAMPLE_BYTES {
                [4, 8, 0]
            } else {
                [0, 4, 8]
            };
            let [us, bytes, flags] = order.map(|at| number(sample, at));
            Some(Sample {
                us: us?,
                bytes: bytes?,
                key: flags? == FLAGS_KEY,
            })
        };
        let samples = samples.chunks_exact(SAMPLE_BYTES).map(sample);
        let found = Self {
            sequence: number(content, 20)?,
            base_us: u64::from(number(content, 60)?) << 32 | u64::from(number(content, 64)?),
            samples: samples.collect::<Option<_>>()?,
        };
        let media: u64 = found.samples.iter().map(|it| u64::from(it.bytes)).sum();
        let media = media + BOX_BYTES as u64;
        let mdat = head.get(length..length + BOX_BYTES)?;
        let is_exact = found.placed(found.sequence, 1, found.base_us) == content
            && Some(u64::from(number(mdat, 0)?)) == Some(media)
            && mdat.ends_with(b"mdat")
            && size == length as u64 + media;
        is_exact.then_some(found)
    }

    /// The box with another place in it.
    pub(crate) fn placed(&self, sequence: u32, track: u32, base_us: u64) -> Vec<u8> {
        let size = MOOF_BYTES + SAMPLE_BYTES * self.samples.len();
        let size = u32::try_from(size).unwrap_or(u32::MAX);
        let count = u32::try_from(self.samples.len()).unwrap_or(u32::MAX);
        let is_alone = self.samples.len() == 1;
        let mut out = Vec::new();
        let mut put = |bytes: &[u8]| out.extend_from_slice(bytes);
        put(&size.to_be_bytes());
        put(b"moof\0\0\0\x10mfhd\0\0\0\0");
        put(&sequence.to_be_bytes());
        put(&size.saturating_sub(24).to_be_bytes());
        // Offsets count from the moof.
        put(b"traf\0\0\0\x10tfhd\0\x02\0\0");
        put(&track.to_be_bytes());
        put(b"\0\0\0\x14tfdt\x01\0\0\0");
        put(&base_us.to_be_bytes());
        put(&size.saturating_sub(68).to_be_bytes());
        // Data offset, and of each sample duration, size and flags.
        put(b"trun\x01\0");
        put(if is_alone { &[3, 5] } else { &[7, 1] });
        put(&count.to_be_bytes());
        put(&size.saturating_add(8).to_be_bytes());
        for sample in &self.samples {
            let flags = if sample.key { FLAGS_KEY } else { FLAGS_DELTA };
            let mut fields = [sample.us, sample.bytes, flags];
            if is_alone {
                fields.rotate_right(1);
            }
            put(fields.map(u32::to_be_bytes).as_flattened());
        }
        out
    }
}

/// One initialisation part of several tracks', which get the ids from 1; nothing where one is none.
pub(crate) fn together(inits: &[Vec<u8>]) -> Option<Vec<u8>> {
    let [first, others @ ..] = inits else {
        return None;
    };
    if others.is_empty() {
        return Some(first.clone());
    }
    let mut traks = Vec::new();
    let mut trexs = Vec::new();
    for (id, init) in (1_u32..).zip(inits) {
        let moov = one(init, b"moov")?;
        traks.extend(trak(one(moov, b"trak")?, id)?);
        let trex = boxed(b"trex", one(one(moov, b"mvex")?, b"trex")?);
        trexs.extend(with(&trex, 12, id)?);
    }
    let next = u32::try_from(inits.len()).ok()?.checked_add(1)?;
    rewritten(first, |kind, whole| match kind {
        b"moov" => {
            let moov = rewritten(whole.get(BOX_BYTES..)?, |kind, whole| match kind {
                b"mvhd" => with(whole, whole.len().checked_sub(4)?, next),
                b"trak" => Some(traks.clone()),
                b"mvex" => {
                    let mvex = rewritten(whole.get(BOX_BYTES..)?, |kind, whole| {
                        Some(if kind == b"trex" {
                            trexs.clone()
                        } else {
                            whole.to_vec()
                        })
                    });
                    Some(boxed(b"mvex", &mvex?))
                }
                _ => Some(whole.to_vec()),
            });
            Some(boxed(b"moov", &moov?))
        }
        _ => Some(whole.to_vec()),
    })
}

fn trak(content: &[u8], id: u32) -> Option<Vec<u8>> {
    let content = rewritten(content, |kind, whole| match kind {
        // Behind two times, which have twice the bytes in version 1.
        b"tkhd" if whole.get(BOX_BYTES) == Some(&1) => with(whole, 28, id),
        b"tkhd" => with(whole, 20, id),
        _ => Some(whole.to_vec()),
    });
    Some(boxed(b"trak", &content?))
}

/// Boxes one after another, each as `change` gives it.
fn rewritten(
    content: &[u8],
    change: impl Fn(&[u8; 4], &[u8]) -> Option<Vec<u8>>,
) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    for (kind, whole) in split(content)? {
        out.extend(change(&kind, whole)?);
    }
    Some(out)
}

/// Types and bytes of boxes one after another; nothing if they are none.
fn split(mut content: &[u8]) -> Option<Vec<([u8; 4], &[u8])>> {
    let mut found = Vec::new();
    while !content.is_empty() {
        let size = number(content, 0)? as usize;
        let kind = content.get(4..BOX_BYTES)?.try_into().ok()?;
        let (whole, rest) = content.split_at_checked(size.max(BOX_BYTES))?;
        if whole.len() != size {
            return None;
        }
        found.push((kind, whole));
        content = rest;
    }
    Some(found)
}

/// Content of the only box of a type.
fn one<'a>(content: &'a [u8], kind: &[u8; 4]) -> Option<&'a [u8]> {
    let boxes = split(content)?;
    let mut of_kind = boxes.into_iter().filter(|(it, _)| it == kind);
    match (of_kind.next(), of_kind.next()) {
        (Some((_, whole)), None) => whole.get(BOX_BYTES..),
        _ => None,
    }
}

fn boxed(kind: &[u8; 4], content: &[u8]) -> Vec<u8> {
    let size = u32::try_from(BOX_BYTES + content.len()).unwrap_or(u32::MAX);
    [&size.to_be_bytes(), kind.as_slice(), content].concat()
}

fn with(whole: &[u8], at: usize, number: u32) -> Option<Vec<u8>> {
    let mut out = whole.to_vec();
    out.get_mut(at..at + 4)?
        .copy_from_slice(&number.to_be_bytes());
    Some(out)
}

fn number(bytes: &[u8], at: usize) -> Option<u32> {
    let four = bytes.get(at..)?.first_chunk()?;
    Some(u32::from_be_bytes(*four))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn segment(frames: u32) -> Vec<u8> {
        let sample = |n: u32| Sample {
            us: 20_000 + n,
            bytes: 3,
            key: n == 0,
        };
        let moof = Moof {
            sequence: 7,
            base_us: 1 << 33,
            samples: (0..frames).map(sample).collect(),
        };
        let mut bytes = moof.placed(7, 1, 1 << 33);
        bytes.extend(boxed(b"mdat", &vec![7; 3 * frames as usize]));
        let size = bytes.len() as u64;
        assert_eq!(Moof::parse(&bytes, size), Some(moof));
        bytes
    }

    #[test]
    fn every_bit_before_the_media_says_something_else_or_nothing() {
        for frames in 1..4 {
            let good = segment(frames);
            let size = good.len() as u64;
            let said = Moof::parse(&good, size);
            for at in 0..good.len() - 3 * frames as usize {
                for bit in 0..8 {
                    let mut bad = good.clone();
                    bad[at] ^= 1 << bit;
                    assert_ne!(Moof::parse(&bad, size), said, "byte {at}");
                }
                assert_eq!(Moof::parse(&good[..at], size), None);
            }
            assert_eq!(Moof::parse(&good, size + 1), None);
        }
    }

    #[test]
    fn tracks_together_are_numbered_in_their_order() {
        let track = |about: &[u8]| {
            let tkhd = [&[0, 0, 0, 3][..], &[0; 8], &[0, 0, 0, 1], &[0; 68]].concat();
            let trak = [boxed(b"tkhd", &tkhd), boxed(b"mdia", about)].concat();
            let trex = boxed(b"trex", &[&[0; 4][..], &[0, 0, 0, 1], &[0; 16]].concat());
            let mvhd = boxed(b"mvhd", &[&[0; 96][..], &[0, 0, 0, 2]].concat());
            let moov = [mvhd, boxed(b"mvex", &trex), boxed(b"trak", &trak)].concat();
            [boxed(b"ftyp", b"iso6"), boxed(b"moov", &moov)].concat()
        };
        let (a, b) = (track(b"a"), track(b"b"));
        assert_eq!(together(std::slice::from_ref(&a)), Some(a.clone()));
        assert_eq!(together(&[]), None);
        assert_eq!(together(&[a.clone(), b"none".to_vec()]), None);
        let both = together(&[a, b]).unwrap();
        let moov = one(&both, b"moov").unwrap();
        assert_eq!(one(moov, b"mvhd").unwrap().last(), Some(&3));
        let mvex = split(one(moov, b"mvex").unwrap()).unwrap();
        let ids: Vec<_> = mvex.iter().map(|(_, trex)| trex[15]).collect();
        assert_eq!(ids, [1, 2]);
        let traks = split(moov).unwrap().into_iter();
        let ids = traks
            .filter(|(kind, _)| kind == b"trak")
            .map(|(_, trak)| trak[31]);
        assert_eq!(ids.collect::<Vec<_>>(), [1, 2]);
    }
}
