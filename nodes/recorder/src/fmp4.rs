//! Fragmented MP4 (ISO/IEC 14496-12, CMAF-like): an initialisation part per track, and segments of
//! one `moof` and one `mdat`. The timescale is microseconds, so every timestamp is kept exactly.

use guitai_evidence::Header;
use guitai_types::Hex;
use mp4_atom::{
    Audio, Avc1, Avcc, Codec, Dinf, Dops, Dref, Encode as _, FixedPoint, Ftyp, Hdlr, Mdat, Mdhd,
    Mdia, Mfhd, Minf, Moof, Moov, Mvex, Mvhd, Opus, Smhd, Stbl, Stco, Stsd, Tfdt, Tfhd, Tkhd, Traf,
    Trak, Trex, Trun, TrunEntry, TrunSamples, Url, Visual, Vmhd,
};
use serde::{Deserialize, Serialize};

/// Ticks per second of every track.
pub(crate) const TIMESCALE: u32 = 1_000_000;
/// The track id inside a file of one track.
pub(crate) const TRACK_ID: u32 = 1;

/// How a track is decoded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "codec", deny_unknown_fields)]
pub(crate) enum Setup {
    /// H.264.
    Avc {
        /// Sequence parameter set.
        sps: Hex,
        /// Picture parameter set.
        pps: Hex,
        /// Pixels across.
        width: u16,
        /// Pixels down.
        height: u16,
    },
    /// Opus.
    Opus {
        /// Samples per second.
        sample_rate: u32,
        /// Channels.
        channels: u8,
    },
}

impl Setup {
    /// Codec as in RFC 6381.
    #[must_use]
    pub(crate) fn codec(&self) -> String {
        match self {
            Self::Avc { sps, .. } => match sps.0.as_slice() {
                [_, profile, constraints, level, ..] => {
                    format!("avc1.{profile:02x}{constraints:02x}{level:02x}")
                }
                _ => "avc1".to_owned(),
            },
            Self::Opus { .. } => "opus".to_owned(),
        }
    }
}

/// One frame in a segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Sample {
    /// Timestamp by the publisher's clock.
    pub(crate) timestamp_us: u64,
    /// Until the next frame.
    pub(crate) duration_us: u32,
    /// Decodable alone.
    pub(crate) key: bool,
    /// As MP4 keeps it.
    pub(crate) data: Vec<u8>,
}

/// Why media has no MP4 form.
#[derive(Debug, thiserror::Error)]
#[error("no MP4 form")]
pub(crate) struct Mp4Error(#[from] mp4_atom::Error);

/// The initialisation part for one or more tracks, given as track id and setup.
pub(crate) fn init(tracks: &[(u32, &Setup)]) -> Result<Vec<u8>, Mp4Error> {
    let ftyp = Ftyp {
        major_brand: b"iso6".into(),
        minor_version: 0,
        compatible_brands: vec![b"iso6".into(), b"cmfc".into(), b"mp41".into()],
    };
    let trex = |(id, _): &(u32, &Setup)| Trex {
        track_id: *id,
        default_sample_description_index: 1,
        ..Default::default()
    };
    let mut traks = Vec::new();
    for (id, setup) in tracks {
        traks.push(trak(*id, setup)?);
    }
    let moov = Moov {
        mvhd: Mvhd {
            timescale: 1000,
            rate: FixedPoint::from(1),
            volume: FixedPoint::from(1),
            next_track_id: tracks
                .iter()
                .map(|(id, _)| *id)
                .max()
                .unwrap_or(0)
                .saturating_add(1),
            ..Default::default()
        },
        mvex: Some(Mvex {
            mehd: None,
            trex: tracks.iter().map(trex).collect(),
        }),
        trak: traks,
        ..Default::default()
    };
    let mut out = Vec::new();
    ftyp.encode(&mut out)?;
    moov.encode(&mut out)?;
    Ok(out)
}

fn trak(id: u32, setup: &Setup) -> Result<Trak, Mp4Error> {
    let (codec, handler, width, height) = match setup {
        Setup::Avc {
            sps,
            pps,
            width,
            height,
        } => {
            let visual = Visual {
                data_reference_index: 1,
                width: *width,
                height: *height,
                ..Default::default()
            };
            let avcc = Avcc::new(&sps.0, &pps.0)?;
            let avc1 = Avc1 {
                visual,
                avcc,
                ..Default::default()
            };
            (Codec::from(avc1), b"vide", *width, *height)
        }
        Setup::Opus {
            sample_rate,
            channels,
        } => {
            let opus = Opus {
                audio: Audio {
                    data_reference_index: 1,
                    channel_count: u16::from(*channels),
                    sample_size: 16,
                    // Opus always decodes at 48 kHz (Encapsulation of Opus in ISOBMFF, 4.3.1).
                    sample_rate: FixedPoint::from(48_000),
                },
                dops: Dops {
                    output_channel_count: *channels,
                    pre_skip: 0,
                    input_sample_rate: *sample_rate,
                    output_gain: 0,
                    channel_mapping: None,
                },
                btrt: None,
            };
            (Codec::from(opus), b"soun", 0, 0)
        }
    };
    let sound = handler == b"soun";
    let stbl = Stbl {
        stsd: Stsd {
            codecs: vec![codec],
        },
        stco: Some(Stco::default()),
        ..Default::default()
    };
    let minf = Minf {
        vmhd: (!sound).then(Vmhd::default),
        smhd: sound.then(Smhd::default),
        dinf: Dinf {
            dref: Dref {
                entries: vec![Url::default().into()],
            },
        },
        stbl,
        ..Default::default()
    };
    Ok(Trak {
        tkhd: Tkhd {
            track_id: id,
            enabled: true,
            in_movie: true,
            alternate_group: u16::from(sound),
            volume: FixedPoint::from(u8::from(sound)),
            width: FixedPoint::from(width),
            height: FixedPoint::from(height),
            ..Default::default()
        },
        mdia: Mdia {
            mdhd: Mdhd {
                timescale: TIMESCALE,
                language: "und".into(),
                ..Default::default()
            },
            hdlr: Hdlr {
                handler: handler.into(),
                name: "guitai".into(),
            },
            minf,
        },
        ..Default::default()
    })
}

/// One segment: `samples` with the first at `base_us` of the track.
pub(crate) fn segment(
    sequence: u32,
    base_us: u64,
    samples: Vec<Sample>,
) -> Result<Vec<u8>, Mp4Error> {
    let entry = |sample: &Sample| TrunEntry {
        duration: Some(sample.duration_us),
        size: u32::try_from(sample.data.len()).ok(),
        flags: Some(if sample.key { FLAGS_KEY } else { FLAGS_DELTA }),
        cts: None,
    };
    let entries: Vec<TrunEntry> = samples.iter().map(entry).collect();
    let moof = |data_offset: i32| Moof {
        mfhd: Mfhd {
            sequence_number: sequence,
        },
        traf: vec![Traf {
            tfhd: Tfhd {
                track_id: TRACK_ID,
                default_base_is_moof: true,
                ..Default::default()
            },
            tfdt: Some(Tfdt {
                base_media_decode_time: base_us,
            }),
            trun: vec![Trun {
                data_offset: Some(data_offset),
                samples: TrunSamples::Explicit(entries.clone()),
            }],
            ..Default::default()
        }],
    };
    // The offset counts from the start of the moof over its own length and the mdat's header.
    let mut measured = Vec::new();
    moof(0).encode(&mut measured)?;
    let offset = i32::try_from(measured.len() + MDAT_HEADER_BYTES)
        .map_err(|_| mp4_atom::Error::OutOfBounds)?;
    let mut out = Vec::new();
    moof(offset).encode(&mut out)?;
    let data = samples.into_iter().flat_map(|sample| sample.data).collect();
    Mdat { data }.encode(&mut out)?;
    Ok(out)
}

/// Gives a segment made by [`segment`], with or without a header before it, another place: sequence number, track id and start time of a
/// file that holds several tracks. `None` if the bytes are no such segment.
#[must_use]
pub(crate) fn rebase(segment: &mut [u8], sequence: u32, track: u32, base_us: u64) -> Option<()> {
    let header = Header::parse(segment).ok()?;
    let segment = segment.get_mut(header.map_or(0, |(_, length)| length)..)?;
    let layout_fits = segment.get(4..8)? == b"moof"
        && segment.get(12..16)? == b"mfhd"
        && segment.get(28..32)? == b"traf"
        && segment.get(36..40)? == b"tfhd"
        && segment.get(52..56)? == b"tfdt";
    if !layout_fits {
        return None;
    }
    segment
        .get_mut(20..24)?
        .copy_from_slice(&sequence.to_be_bytes());
    segment
        .get_mut(44..48)?
        .copy_from_slice(&track.to_be_bytes());
    segment
        .get_mut(60..68)?
        .copy_from_slice(&base_us.to_be_bytes());
    Some(())
}

/// Length and kind of an `mdat` below 4 GiB.
const MDAT_HEADER_BYTES: usize = 8;
/// `sample_depends_on = 2`: a sync sample (ISO/IEC 14496-12, 8.8.3.1).
const FLAGS_KEY: u32 = 0x0200_0000;
/// `sample_depends_on = 1`, `sample_is_non_sync_sample`.
const FLAGS_DELTA: u32 = 0x0101_0000;

#[cfg(test)]
mod tests {
    use super::*;

    fn opus() -> Setup {
        Setup::Opus {
            sample_rate: 48_000,
            channels: 1,
        }
    }

    fn samples() -> Vec<Sample> {
        let sample = |n: u64| Sample {
            timestamp_us: n * 20_000,
            duration_us: 20_000,
            key: n == 0,
            data: vec![n as u8; 10],
        };
        (0..3).map(sample).collect()
    }

    #[test]
    fn a_segment_is_read_back_by_the_library() {
        use mp4_atom::Decode as _;
        let bytes = segment(7, 40_000, samples()).unwrap();
        let mut rest = bytes.as_slice();
        let moof = Moof::decode(&mut rest).unwrap();
        let offset = bytes.len() - rest.len() + MDAT_HEADER_BYTES;
        assert_eq!(moof.traf[0].trun[0].data_offset, Some(offset as i32));
        assert_eq!(moof.traf[0].trun[0].samples.len(), 3);
        assert_eq!(&bytes[offset..offset + 10], [0; 10]);
    }

    #[test]
    fn rebasing_changes_place_and_nothing_else() {
        use mp4_atom::Decode as _;
        let original = segment(7, 40_000, samples()).unwrap();
        let mut moved = original.clone();
        rebase(&mut moved, 9, 3, 1_000_000).unwrap();
        let moof = Moof::decode(&mut moved.as_slice()).unwrap();
        assert_eq!(moof.mfhd.sequence_number, 9);
        assert_eq!(moof.traf[0].tfhd.track_id, 3);
        assert_eq!(
            moof.traf[0].tfdt.as_ref().unwrap().base_media_decode_time,
            1_000_000
        );
        rebase(&mut moved, 7, TRACK_ID, 40_000).unwrap();
        assert_eq!(moved, original);
        assert_eq!(rebase(&mut init(&[(1, &opus())]).unwrap(), 1, 1, 1), None);
        assert_eq!(rebase(&mut [], 1, 1, 1), None);
    }

    #[test]
    fn codec_names() {
        assert_eq!(opus().codec(), "opus");
        let sps = Hex(vec![0x67, 0x42, 0xe0, 0x1f]);
        let avc = Setup::Avc {
            sps,
            pps: Hex(vec![]),
            width: 640,
            height: 360,
        };
        assert_eq!(avc.codec(), "avc1.42e01f");
    }
}
