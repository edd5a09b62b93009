//! Segments and what is made of them, written from the format document: for the tests here, and for
//! `tests/verifier/mutations`, which includes this file.

/// One frame: microseconds until the next, bytes, whether it is a key frame.
pub(crate) type Frame = (u32, Vec<u8>, bool);

/// First line of `frames.csv`.
pub(crate) const FRAMES_HEADER: &str = "timestamp_us,bytes,key\n";
/// Bytes of a `moof` before its samples.
const MOOF_BYTES: usize = 88;

fn boxed(kind: &[u8; 4], inside: &[u8]) -> Vec<u8> {
    let size = u32::try_from(8 + inside.len()).expect("small");
    [&size.to_be_bytes(), kind.as_slice(), inside].concat()
}

/// An initialisation part of tracks with ids from 1; each is told by what it describes.
pub(crate) fn init(tracks: &[&[u8]]) -> Vec<u8> {
    let numbered = || (1_u32..).zip(tracks);
    let mut mvhd = vec![0; 96];
    mvhd.extend((tracks.len() as u32 + 1).to_be_bytes());
    let trex = |(id, _): (u32, &&[u8])| {
        let fields = [
            [0; 4],
            id.to_be_bytes(),
            [0, 0, 0, 1],
            [0; 4],
            [0; 4],
            [0; 4],
        ];
        boxed(b"trex", fields.as_flattened())
    };
    let trak = |(id, about): (u32, &&[u8])| {
        let tkhd = [
            &[0, 0, 0, 3],
            [0; 8].as_slice(),
            &id.to_be_bytes(),
            &[0; 68],
        ]
        .concat();
        let inside = [boxed(b"tkhd", &tkhd), boxed(b"mdia", about)].concat();
        boxed(b"trak", &inside)
    };
    let moov = [
        boxed(b"mvhd", &mvhd),
        boxed(b"mvex", &numbered().flat_map(trex).collect::<Vec<u8>>()),
        numbered().flat_map(trak).collect(),
    ];
    [
        boxed(b"ftyp", b"iso6\0\0\0\0iso6cmfc"),
        boxed(b"moov", &moov.concat()),
    ]
    .concat()
}

/// What follows a segment's header.
pub(crate) fn segment(sequence: u32, base_us: u64, frames: &[Frame]) -> Vec<u8> {
    let mut out = moof(sequence, 1, base_us, frames);
    let data: Vec<u8> = frames
        .iter()
        .flat_map(|(_, data, _)| data.clone())
        .collect();
    out.extend(boxed(b"mdat", &data));
    out
}

fn moof(sequence: u32, track: u32, base_us: u64, frames: &[Frame]) -> Vec<u8> {
    let size = (MOOF_BYTES + 12 * frames.len()) as u32;
    let mut out = Vec::new();
    let mut put = |bytes: &[u8]| out.extend_from_slice(bytes);
    for (size, kind) in [(size, b"moof"), (16, b"mfhd")] {
        put(&size.to_be_bytes());
        put(kind);
    }
    put(&[0; 4]);
    put(&sequence.to_be_bytes());
    for (size, kind) in [(size - 24, b"traf"), (16, b"tfhd")] {
        put(&size.to_be_bytes());
        put(kind);
    }
    put(&[0, 2, 0, 0]);
    put(&track.to_be_bytes());
    put(&[0, 0, 0, 20]);
    put(b"tfdt\x01\0\0\0");
    put(&base_us.to_be_bytes());
    put(&(size - 68).to_be_bytes());
    put(if frames.len() == 1 {
        b"trun\x01\0\x03\x05"
    } else {
        b"trun\x01\0\x07\x01"
    });
    put(&(frames.len() as u32).to_be_bytes());
    put(&(size + 8).to_be_bytes());
    for (us, data, key) in frames {
        let flags = if *key { [2, 0, 0, 0] } else { [1, 1, 0, 0] };
        let mut fields = [us.to_be_bytes(), (data.len() as u32).to_be_bytes(), flags];
        if frames.len() == 1 {
            fields.rotate_right(1);
        }
        put(fields.as_flattened());
    }
    out
}

/// Where the `moof` of a segment begins.
fn begin(segment: &[u8]) -> usize {
    match segment.get(4..8) {
        Some(b"uuid") => number(segment, 0).map_or(0, |size| size as usize),
        _ => 0,
    }
}

fn number(bytes: &[u8], at: usize) -> Option<u32> {
    let four = bytes.get(at..at + 4)?;
    Some(u32::from_be_bytes([four[0], four[1], four[2], four[3]]))
}

/// The segment with another place in it; nothing where there is no `moof`.
pub(crate) fn placed(segment: &[u8], sequence: u32, track: u32, base_us: u64) -> Option<Vec<u8>> {
    let at = begin(segment);
    let mut out = segment.to_vec();
    let moof = out.get_mut(at..at + MOOF_BYTES)?;
    if &moof[4..8] != b"moof" {
        return None;
    }
    moof[20..24].copy_from_slice(&sequence.to_be_bytes());
    moof[44..48].copy_from_slice(&track.to_be_bytes());
    moof[60..68].copy_from_slice(&base_us.to_be_bytes());
    Some(out)
}

/// The lines of `frames.csv` for a segment that begins at `first_us`.
pub(crate) fn lines(segment: &[u8], first_us: u64) -> String {
    let at = begin(segment);
    let count = number(segment, at + 80).unwrap_or(0).min(10_000) as usize;
    let (mut time, mut out) = (first_us, String::new());
    for sample in 0..count {
        let sample = at + MOOF_BYTES + 12 * sample;
        let order = if count == 1 { [4, 8, 0] } else { [0, 4, 8] };
        let [Some(us), Some(size), Some(flags)] = order.map(|at| number(segment, sample + at))
        else {
            break;
        };
        out += &format!("{time},{size},{}\n", u8::from(flags == 0x0200_0000));
        time += u64::from(us);
    }
    out
}

/// A playable file of tracks, in the order of their ids: the initialisation part, and by track the segments with
/// the time they begin at.
pub(crate) fn playable(init: &[u8], tracks: &[Vec<(u64, Vec<u8>)>]) -> Vec<u8> {
    let times = tracks.iter().flatten().map(|(first, _)| *first);
    let origin = times.min().unwrap_or(0);
    let mut parts: Vec<(u64, u32, &[u8])> = Vec::new();
    for (id, track) in (1_u32..).zip(tracks) {
        parts.extend(
            track
                .iter()
                .map(|(first, content)| (first - origin, id, content.as_slice())),
        );
    }
    parts.sort_by_key(|(base, id, _)| (*base, *id));
    let mut out = init.to_vec();
    for (sequence, (base, id, content)) in (1_u32..).zip(parts) {
        out.extend(placed(content, sequence, id, base).unwrap_or_default());
    }
    out
}
