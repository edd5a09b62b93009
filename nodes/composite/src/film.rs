//! The film's container: a plain MP4 (ISO/IEC 14496-12) whose bytes are a head, and then for each piece its
//! picture and its sound. So a piece of the film is found by counting, and its digest can be checked without
//! decoding anything. There is no time of making in it, and no name of a machine.

use crate::graph::SAMPLE_RATE;

/// Frames of one piece, as the container keeps them.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Samples {
    pub(crate) sizes: Vec<u32>,
    /// Frames that are decodable alone, from 0.
    pub(crate) keys: Vec<u32>,
    pub(crate) data: Vec<u8>,
}

/// How the picture is decoded: the parameter sets of H.264.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Parameters {
    pub(crate) sps: Vec<u8>,
    pub(crate) pps: Vec<u8>,
}

/// Why what ffmpeg gave has no place in a film.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FilmError {
    /// No stream of H.264, each frame behind a delimiter, as it was ordered.
    #[error("the picture is no stream of H.264 frames")]
    Picture,
    /// No stream of AAC, as it was ordered.
    #[error("the sound is no stream of AAC frames")]
    Sound,
    /// Another number of frames than planned.
    #[error("a piece has {is} frames, {planned} were planned")]
    Count {
        /// There are.
        is: u64,
        /// There should be.
        planned: u64,
    },
    /// Pieces that cannot follow each other.
    #[error("pieces of the film have different parameter sets")]
    Parameters,
}

/// NAL unit types (ISO/IEC 14496-10, table 7-1).
const SLICE_KEY: u8 = 5;
const SPS: u8 = 7;
const PPS: u8 = 8;
const DELIMITER: u8 = 9;

/// Cuts an Annex B stream into frames; parameter sets and delimiters go out of it, lengths take the place of
/// start codes.
pub(crate) fn picture(stream: &[u8]) -> Result<(Parameters, Samples), FilmError> {
    let (mut parameters, mut samples) = (Parameters::default(), Samples::default());
    for unit in units(stream) {
        let kind = unit.first().ok_or(FilmError::Picture)? & 0x1f;
        match kind {
            DELIMITER => samples.sizes.push(0),
            SPS | PPS => {
                let known = if kind == SPS {
                    &mut parameters.sps
                } else {
                    &mut parameters.pps
                };
                if !known.is_empty() && known != unit {
                    return Err(FilmError::Parameters);
                }
                *known = unit.to_vec();
            }
            _ => {
                let number = samples.sizes.len().checked_sub(1);
                let number = number.and_then(|it| u32::try_from(it).ok());
                let number = number.ok_or(FilmError::Picture)?;
                if kind == SLICE_KEY && samples.keys.last() != Some(&number) {
                    samples.keys.push(number);
                }
                let length = u32::try_from(unit.len()).map_err(|_| FilmError::Picture)?;
                samples.data.extend_from_slice(&length.to_be_bytes());
                samples.data.extend_from_slice(unit);
                let size = samples.sizes.last_mut().ok_or(FilmError::Picture)?;
                *size = size.checked_add(4 + length).ok_or(FilmError::Picture)?;
            }
        }
    }
    let is_whole = samples.keys.first() == Some(&0) && samples.sizes.iter().all(|it| *it > 0);
    if is_whole && parameters.sps.len() > 3 && !parameters.pps.is_empty() {
        Ok((parameters, samples))
    } else {
        Err(FilmError::Picture)
    }
}

/// The NAL units of an Annex B stream (ISO/IEC 14496-10, annex B), without start codes and the zeros around.
fn units(stream: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = match start_code(stream) {
        Some(at) => stream.get(at + 3..),
        None => None,
    };
    std::iter::from_fn(move || {
        let from = rest?;
        let (unit, next) = match start_code(from) {
            Some(at) => (from.get(..at)?, from.get(at + 3..)),
            None => (from, None),
        };
        rest = next;
        let zeros = unit.iter().rev().take_while(|byte| **byte == 0).count();
        unit.get(..unit.len() - zeros)
    })
}

fn start_code(bytes: &[u8]) -> Option<usize> {
    bytes.windows(3).position(|three| three == [0, 0, 1])
}

/// Cuts a stream of ADTS (ISO/IEC 14496-3, 1.A.2.2) of AAC LC, 48 kHz, two channels, into frames without headers.
pub(crate) fn sound(mut stream: &[u8]) -> Result<Vec<&[u8]>, FilmError> {
    let mut frames = Vec::new();
    while !stream.is_empty() {
        let frame = (|| {
            let header: &[u8; 7] = stream.first_chunk()?;
            let [sync, kind, form, half, low, rest, _] = *header;
            // Sync word, no CRC; AAC LC, index 3 (48 kHz); two channels.
            let fits =
                sync == 0xff && kind & 0xf7 == 0xf1 && form & 0xfd == 0x4c && half & 0xc0 == 0x80;
            let length =
                usize::from(half & 3) << 11 | usize::from(low) << 3 | usize::from(rest >> 5);
            let frame = stream.get(7..length).filter(|it| fits && !it.is_empty())?;
            Some((frame, stream.get(length..)?))
        })();
        let (frame, after) = frame.ok_or(FilmError::Sound)?;
        frames.push(frame);
        stream = after;
    }
    Ok(frames)
}

/// What the head says of one piece.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct PieceTable {
    pub(crate) picture: Vec<u32>,
    pub(crate) keys: Vec<u32>,
    pub(crate) sound: Vec<u32>,
}

/// What the head is made of.
#[derive(Debug)]
pub(crate) struct Table {
    pub(crate) width: u32,
    pub(crate) height: u32,
    pub(crate) fps: u32,
    pub(crate) parameters: Parameters,
    pub(crate) pieces: Vec<PieceTable>,
}

/// Everything of the film before the bytes of its pieces.
pub(crate) fn head(table: &Table) -> Vec<u8> {
    let ftyp = boxed(b"ftyp", &[b"isom", &[0, 0, 2, 0][..], b"isomiso2avc1mp41"]);
    // Where the media begins depends on the size of what says where, which does not depend on it.
    let measured = ftyp.len() + moov(table, 0).len() + MDAT_HEADER_BYTES;
    let media: u64 = table.pieces.iter().map(bytes).sum();
    let moov = moov(table, measured as u64);
    let size = media.saturating_add(MDAT_HEADER_BYTES as u64);
    let mdat = [&[0, 0, 0, 1][..], b"mdat", &size.to_be_bytes()].concat();
    [ftyp, moov, mdat].concat()
}

/// Length, kind, and a length of 64 bits.
const MDAT_HEADER_BYTES: usize = 16;

fn bytes(piece: &PieceTable) -> u64 {
    let all = piece.picture.iter().chain(&piece.sound);
    all.map(|size| u64::from(*size)).sum()
}

/// Ticks of a frame of the picture: any number that all rates divide evenly.
const FRAME_TICKS: u32 = 1_000;
/// Ticks a second of the whole film.
const FILM_SCALE: u64 = 1_000;
/// No turning, no scaling (ISO/IEC 14496-12, 8.2.2).
const UNITY: [u32; 9] = [0x10000, 0, 0, 0, 0x10000, 0, 0, 0, 0x4000_0000];

fn moov(table: &Table, media_at: u64) -> Vec<u8> {
    let frames: u64 = table.pieces.iter().map(|it| it.picture.len() as u64).sum();
    let blocks: u64 = table.pieces.iter().map(|it| it.sound.len() as u64).sum();
    let length = frames * FILM_SCALE / u64::from(table.fps.max(1));
    let heard = blocks * AAC * FILM_SCALE / SAMPLE_RATE;
    let mut mvhd = vec![0; 12];
    put(
        &mut mvhd,
        &[FILM_SCALE as u32, length.max(heard) as u32, 0x10000],
    );
    mvhd.extend([1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    put(&mut mvhd, &UNITY);
    put(&mut mvhd, &[0, 0, 0, 0, 0, 0, 3]);
    let picture = Lane {
        id: 1,
        scale: table.fps * FRAME_TICKS,
        ticks: FRAME_TICKS,
        length,
        size: Some((table.width, table.height)),
        entry: avc1(table),
        sizes: table
            .pieces
            .iter()
            .map(|it| it.picture.as_slice())
            .collect(),
        offsets: offsets(table, media_at, |_| 0),
        keys: Some(keys(table)),
    };
    let sound = Lane {
        id: 2,
        scale: SAMPLE_RATE as u32,
        ticks: AAC as u32,
        length: heard,
        size: None,
        entry: mp4a(),
        sizes: table.pieces.iter().map(|it| it.sound.as_slice()).collect(),
        offsets: offsets(table, media_at, |it| {
            it.picture.iter().map(|size| u64::from(*size)).sum()
        }),
        keys: None,
    };
    boxed(
        b"moov",
        &[&boxed(b"mvhd", &[&mvhd]), &picture.trak(), &sound.trak()],
    )
}

const AAC: u64 = crate::graph::AAC_SAMPLES;

fn offsets(table: &Table, media_at: u64, within: impl Fn(&PieceTable) -> u64) -> Vec<u64> {
    let mut at = media_at;
    let mut offsets = Vec::new();
    for piece in &table.pieces {
        offsets.push(at + within(piece));
        at += bytes(piece);
    }
    offsets
}

fn keys(table: &Table) -> Vec<u32> {
    let (mut before, mut keys) = (1, Vec::new());
    for piece in &table.pieces {
        keys.extend(piece.keys.iter().map(|key| key + before));
        before += piece.picture.len() as u32;
    }
    keys
}

struct Lane<'a> {
    id: u32,
    scale: u32,
    ticks: u32,
    length: u64,
    size: Option<(u32, u32)>,
    entry: Vec<u8>,
    sizes: Vec<&'a [u32]>,
    offsets: Vec<u64>,
    keys: Option<Vec<u32>>,
}

impl Lane<'_> {
    fn trak(&self) -> Vec<u8> {
        let count: u32 = self.sizes.iter().map(|it| it.len() as u32).sum();
        let is_picture = self.size.is_some();
        let mut tkhd = numbers(&[3, 0, 0, self.id, 0, self.length as u32, 0, 0]);
        let volume = if is_picture { 0 } else { 0x0100_0000 };
        put(&mut tkhd, &[u32::from(!is_picture), volume]);
        put(&mut tkhd, &UNITY);
        let (width, height) = self.size.unwrap_or_default();
        put(&mut tkhd, &[width << 16, height << 16]);
        // Language "und" in five bits a letter.
        let mdhd = numbers(&[0, 0, 0, self.scale, count * self.ticks, 0x55c4_0000]);
        let (kind, about) = if is_picture {
            (b"vide", boxed(b"vmhd", &[&numbers(&[1, 0, 0])]))
        } else {
            (b"soun", boxed(b"smhd", &[&numbers(&[0, 0])]))
        };
        let hdlr = [&numbers(&[0, 0]), kind.as_slice(), &[0; 12], b"guitai\0"].concat();
        let url = boxed(b"url ", &[&numbers(&[1])]);
        let dref = boxed(b"dref", &[&numbers(&[0, 1]), &url]);
        let stbl = self.stbl(count);
        let minf = boxed(b"minf", &[&about, &boxed(b"dinf", &[&dref]), &stbl]);
        let mdia = [boxed(b"mdhd", &[&mdhd]), boxed(b"hdlr", &[&hdlr]), minf].concat();
        boxed(
            b"trak",
            &[&boxed(b"tkhd", &[&tkhd]), &boxed(b"mdia", &[&mdia])],
        )
    }

    fn stbl(&self, count: u32) -> Vec<u8> {
        let stts = numbers(&[0, 1, count, self.ticks]);
        let filled = || (1_u32..).zip(self.sizes.iter().filter(|it| !it.is_empty()));
        let mut stsc = numbers(&[0, filled().count() as u32]);
        for (number, sizes) in filled() {
            put(&mut stsc, &[number, sizes.len() as u32, 1]);
        }
        let mut stsz = numbers(&[0, 0, count]);
        for sizes in &self.sizes {
            put(&mut stsz, sizes);
        }
        let mut co64 = numbers(&[0, filled().count() as u32]);
        for (offset, sizes) in self.offsets.iter().zip(&self.sizes) {
            if !sizes.is_empty() {
                co64.extend(offset.to_be_bytes());
            }
        }
        let stss = self.keys.as_ref().map(|keys| {
            let mut stss = numbers(&[0, keys.len() as u32]);
            put(&mut stss, keys);
            boxed(b"stss", &[&stss])
        });
        let stsd = boxed(b"stsd", &[&numbers(&[0, 1]), &self.entry]);
        let tables = [
            stsd,
            boxed(b"stts", &[&stts]),
            stss.unwrap_or_default(),
            boxed(b"stsc", &[&stsc]),
            boxed(b"stsz", &[&stsz]),
            boxed(b"co64", &[&co64]),
        ];
        boxed(b"stbl", &[&tables.concat()])
    }
}

/// ISO/IEC 14496-15, 5.4.2.
fn avc1(table: &Table) -> Vec<u8> {
    let Parameters { sps, pps } = &table.parameters;
    let mut avcc = vec![1];
    avcc.extend_from_slice(sps.get(1..4).unwrap_or_default());
    avcc.extend([0xff, 0xe1]);
    avcc.extend((sps.len() as u16).to_be_bytes());
    avcc.extend_from_slice(sps);
    avcc.push(1);
    avcc.extend((pps.len() as u16).to_be_bytes());
    avcc.extend_from_slice(pps);
    if sps.get(1) == Some(&100) {
        // High profile: 4:2:0, eight bits, no extensions.
        avcc.extend([0xfd, 0xf8, 0xf8, 0]);
    }
    let mut entry = numbers(&[0, 1, 0, 0, 0, 0]);
    entry.extend((table.width as u16).to_be_bytes());
    entry.extend((table.height as u16).to_be_bytes());
    put(&mut entry, &[0x0048_0000, 0x0048_0000, 0]);
    entry.extend([0, 1]);
    entry.extend([0; 32]);
    entry.extend([0, 24, 0xff, 0xff]);
    boxed(b"avc1", &[&entry, &boxed(b"avcC", &[&avcc])])
}

/// ISO/IEC 14496-14, 5.6; AAC LC, 48 kHz, two channels.
fn mp4a() -> Vec<u8> {
    let specific = [5, 2, 0x11, 0x90];
    let rate = (crate::graph::SOUND_KBIT * 1_000).to_be_bytes();
    let mut config = vec![4, 17, 0x40, 0x15, 0, 0, 0];
    config.extend(rate);
    config.extend(rate);
    config.extend(specific);
    config[1] = 13 + specific.len() as u8;
    let mut es = vec![0, 0, 0, 0, 3, 0, 0, 2, 0];
    es.extend(&config);
    es.extend([6, 1, 2]);
    es[5] = (es.len() - 6) as u8;
    let mut entry = numbers(&[0, 1, 0, 0]);
    entry.extend([0, 2, 0, 16, 0, 0, 0, 0]);
    entry.extend(((SAMPLE_RATE as u32) << 16).to_be_bytes());
    boxed(b"mp4a", &[&entry, &boxed(b"esds", &[&es])])
}

fn numbers(numbers: &[u32]) -> Vec<u8> {
    let mut out = Vec::new();
    put(&mut out, numbers);
    out
}

fn put(out: &mut Vec<u8>, numbers: &[u32]) {
    out.extend(numbers.iter().flat_map(|number| number.to_be_bytes()));
}

fn boxed(kind: &[u8; 4], parts: &[&[u8]]) -> Vec<u8> {
    let inside = parts.concat();
    let size = (inside.len() + 8) as u32;
    [&size.to_be_bytes(), kind.as_slice(), &inside].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: [u8; 17] = [
        0, 0, 0, 1, 9, 0x10, 0, 0, 0, 1, 0x67, 100, 0, 30, 0xac, 0, 0,
    ];

    #[test]
    fn a_stream_is_cut_into_frames() {
        let mut stream = HEAD.to_vec();
        stream.extend([0, 0, 1, 0x68, 1, 0, 0, 1, 0x65, 7, 7, 7]);
        stream.extend([0, 0, 0, 1, 9, 0x30, 0, 0, 1, 0x41, 8]);
        let (parameters, samples) = picture(&stream).unwrap();
        assert_eq!(parameters.sps, [0x67, 100, 0, 30, 0xac]);
        assert_eq!(parameters.pps, [0x68, 1]);
        assert_eq!(samples.sizes, [8, 6]);
        assert_eq!(samples.keys, [0]);
        assert_eq!(
            samples.data,
            [0, 0, 0, 4, 0x65, 7, 7, 7, 0, 0, 0, 2, 0x41, 8]
        );
        for cut in 0..stream.len() {
            // Whatever is cut off: refused or read, never a panic.
            let _ = picture(&stream[..cut]).is_ok();
        }
        assert_eq!(picture(&[]), Err(FilmError::Picture));
        assert_eq!(picture(&stream[6..]), Err(FilmError::Picture));
    }

    #[test]
    fn sound_is_cut_into_frames() {
        let frame = [0xff, 0xf1, 0x4c, 0x80, 1, 0x3f, 0xfc, 1, 2];
        assert_eq!(sound(&[frame, frame].concat()).unwrap(), [[1, 2], [1, 2]]);
        assert_eq!(sound(&frame[..8]), Err(FilmError::Sound));
        assert_eq!(sound(&[1; 9]), Err(FilmError::Sound));
    }

    #[test]
    fn the_head_says_where_each_piece_is() {
        let piece = |n: u32| PieceTable {
            picture: vec![n, n + 1],
            keys: vec![0],
            sound: vec![5; 3],
        };
        let table = Table {
            width: 640,
            height: 360,
            fps: 15,
            parameters: Parameters {
                sps: vec![0x67, 100, 0, 30],
                pps: vec![0x68],
            },
            pieces: vec![piece(10), piece(20)],
        };
        let head = head(&table);
        let find = |kind: &[u8; 4]| {
            let places = head.windows(4).enumerate().filter(|(_, it)| it == kind);
            places.map(|(at, _)| at).collect::<Vec<_>>()
        };
        let offset = |at: usize| u64::from_be_bytes(head[at..at + 8].try_into().unwrap());
        let offsets: Vec<u64> = find(b"co64")
            .iter()
            .flat_map(|at| [offset(at + 12), offset(at + 20)])
            .collect();
        let begin = head.len() as u64;
        assert_eq!(offsets, [begin, begin + 36, begin + 21, begin + 36 + 41]);
        let stss = find(b"stss")[0];
        assert_eq!(
            head[stss + 8..stss + 20],
            [0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 3]
        );
        assert_eq!(head[head.len() - 16..head.len() - 8], *b"\0\0\0\x01mdat");
        assert_eq!(offset(head.len() - 8), 16 + 36 + 56);
    }
}
