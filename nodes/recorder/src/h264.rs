//! H.264 as it arrives (Annex B, ITU-T H.264 annex B) to H.264 as MP4 keeps it (ISO/IEC 14496-15):
//! parameter sets apart, samples length-prefixed. Nothing is re-encoded.

/// One access unit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct AccessUnit {
    /// Sequence parameter set, if one came with it.
    pub(crate) sps: Option<Vec<u8>>,
    /// Picture parameter set, if one came with it.
    pub(crate) pps: Option<Vec<u8>>,
    /// It can be decoded without another one.
    pub(crate) key: bool,
    /// Its NAL units but parameter sets, delimiters and filler, each with a length of four bytes.
    pub(crate) sample: Vec<u8>,
}

/// Takes an Annex B access unit apart. `None` if there is no slice in it.
#[must_use]
pub(crate) fn access_unit(annex_b: &[u8]) -> Option<AccessUnit> {
    let mut unit = AccessUnit {
        sps: None,
        pps: None,
        key: false,
        sample: Vec::with_capacity(annex_b.len() + 16),
    };
    let mut slices = 0;
    for nal in nal_units(annex_b) {
        let Some(kind) = nal.first().map(|header| header & 0x1f) else {
            continue;
        };
        match kind {
            NAL_SPS => unit.sps = Some(nal.to_vec()),
            NAL_PPS => unit.pps = Some(nal.to_vec()),
            NAL_DELIMITER | NAL_FILLER => {}
            _ => {
                slices += u32::from((NAL_SLICE..=NAL_IDR).contains(&kind));
                unit.key |= kind == NAL_IDR;
                unit.sample
                    .extend_from_slice(&u32::try_from(nal.len()).ok()?.to_be_bytes());
                unit.sample.extend_from_slice(nal);
            }
        }
    }
    (slices > 0).then_some(unit)
}

/// The NAL units between start codes (three or four bytes), trailing zeros left out.
fn nal_units(annex_b: &[u8]) -> impl Iterator<Item = &[u8]> {
    let starts = annex_b
        .windows(3)
        .enumerate()
        .filter(|(_, window)| *window == [0, 0, 1]);
    let starts: Vec<usize> = starts.map(|(at, _)| at).collect();
    let ends: Vec<usize> = starts
        .iter()
        .skip(1)
        .copied()
        .chain([annex_b.len()])
        .collect();
    starts.into_iter().zip(ends).filter_map(|(start, end)| {
        let nal = annex_b.get(start + 3..end)?;
        let zeros = nal.iter().rev().take_while(|byte| **byte == 0).count();
        nal.get(..nal.len() - zeros).filter(|nal| !nal.is_empty())
    })
}

/// Width and height in pixels after cropping; `None` if the parameter set cannot be read.
#[must_use]
pub(crate) fn dimensions(sps: &[u8]) -> Option<(u32, u32)> {
    let mut bits = Bits::new(sps.get(1..)?);
    let profile = bits.take(8)?;
    bits.take(16)?; // constraint flags, level
    bits.exp_golomb()?; // seq_parameter_set_id
    let mut chroma = 1;
    if PROFILES_WITH_CHROMA.contains(&profile) {
        chroma = bits.exp_golomb()?;
        if chroma == 3 {
            bits.take(1)?; // separate_colour_plane_flag
        }
        bits.exp_golomb()?; // bit_depth_luma_minus8
        bits.exp_golomb()?; // bit_depth_chroma_minus8
        bits.take(1)?; // qpprime_y_zero_transform_bypass_flag
        if bits.take(1)? == 1 {
            for list in 0..if chroma == 3 { 12 } else { 8 } {
                if bits.take(1)? == 1 {
                    bits.skip_scaling_list(if list < 6 { 16 } else { 64 })?;
                }
            }
        }
    }
    bits.exp_golomb()?; // log2_max_frame_num_minus4
    match bits.exp_golomb()? {
        0 => drop(bits.exp_golomb()?),
        1 => {
            bits.take(1)?;
            bits.exp_golomb()?;
            bits.exp_golomb()?;
            for _ in 0..bits.exp_golomb()?.min(255) {
                bits.exp_golomb()?;
            }
        }
        _ => {}
    }
    bits.exp_golomb()?; // max_num_ref_frames
    bits.take(1)?; // gaps_in_frame_num_value_allowed_flag
    let across = bits.exp_golomb()?.checked_add(1)?;
    let down = bits.exp_golomb()?.checked_add(1)?;
    let frames_only = bits.take(1)?;
    if frames_only == 0 {
        bits.take(1)?; // mb_adaptive_frame_field_flag
    }
    bits.take(1)?; // direct_8x8_inference_flag
    let mut crop = [0; 4];
    if bits.take(1)? == 1 {
        for side in &mut crop {
            *side = bits.exp_golomb()?;
        }
    }
    let [left, right, top, bottom] = crop;
    let field = 2 - frames_only;
    let unit_x = if matches!(chroma, 1 | 2) { 2 } else { 1 };
    let unit_y = field * if chroma == 1 { 2 } else { 1 };
    let cropped = |size: u32, unit: u32, a: u32, b: u32| {
        size.checked_sub(a.checked_add(b)?.checked_mul(unit)?)
    };
    let width = cropped(across.checked_mul(16)?, unit_x, left, right)?;
    let height = cropped(
        down.checked_mul(16)?.checked_mul(field)?,
        unit_y,
        top,
        bottom,
    )?;
    let plausible = |size: u32| (1..=u32::from(u16::MAX)).contains(&size);
    (plausible(width) && plausible(height)).then_some((width, height))
}

const NAL_SLICE: u8 = 1;
const NAL_IDR: u8 = 5;
const NAL_SPS: u8 = 7;
const NAL_PPS: u8 = 8;
const NAL_DELIMITER: u8 = 9;
const NAL_FILLER: u8 = 12;
/// Profiles whose parameter set states the chroma format (7.3.2.1.1).
const PROFILES_WITH_CHROMA: [u32; 13] =
    [100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135];

/// Reads bits of a NAL unit, leaving out emulation prevention bytes.
struct Bits {
    bytes: Vec<u8>,
    at: usize,
}

impl Bits {
    fn new(nal: &[u8]) -> Self {
        let mut bytes = Vec::with_capacity(nal.len());
        let mut zeros = 0;
        for byte in nal {
            let emulation = *byte == 3 && zeros >= 2;
            zeros = if *byte == 0 { zeros + 1 } else { 0 };
            if !emulation {
                bytes.push(*byte);
            }
        }
        Self { bytes, at: 0 }
    }

    fn take(&mut self, count: u32) -> Option<u32> {
        let mut value = 0u32;
        for _ in 0..count {
            let byte = self.bytes.get(self.at / 8)?;
            value = value << 1 | u32::from(byte >> (7 - self.at % 8) & 1);
            self.at += 1;
        }
        Some(value)
    }

    /// ue(v) of 9.1.
    fn exp_golomb(&mut self) -> Option<u32> {
        let mut zeros = 0;
        while self.take(1)? == 0 {
            zeros += 1;
            if zeros > 31 {
                return None;
            }
        }
        let rest = self.take(zeros)?;
        (1u32 << zeros).checked_sub(1)?.checked_add(rest)
    }

    fn skip_scaling_list(&mut self, size: u32) -> Option<()> {
        let (mut last, mut next) = (8i64, 8i64);
        for _ in 0..size {
            if next != 0 {
                let code = i64::from(self.exp_golomb()?);
                let delta = if code % 2 == 1 {
                    (code + 1) / 2
                } else {
                    -(code / 2)
                };
                next = (last + delta + 256) % 256;
            }
            if next != 0 {
                last = next;
            }
        }
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_access_unit_is_taken_apart() {
        let stream = [
            &[0, 0, 0, 1, 0x09, 0xf0][..],                   // delimiter
            &[0, 0, 0, 1, 0x67, 0x42, 0xe0, 0x1f][..],       // SPS
            &[0, 0, 1, 0x68, 0xce][..],                      // PPS
            &[0, 0, 1, 0x06, 0x05][..],                      // SEI
            &[0, 0, 0, 1, 0x65, 0x88, 0x00, 0x80, 0, 0][..], // IDR and trailing zeros
        ]
        .concat();
        let unit = access_unit(&stream).unwrap();
        assert_eq!(unit.sps.as_deref(), Some(&[0x67, 0x42, 0xe0, 0x1f][..]));
        assert_eq!(unit.pps.as_deref(), Some(&[0x68, 0xce][..]));
        assert!(unit.key);
        assert_eq!(
            unit.sample,
            [0, 0, 0, 2, 6, 5, 0, 0, 0, 4, 0x65, 0x88, 0x00, 0x80]
        );
    }

    #[test]
    fn what_holds_no_slice_is_no_access_unit() {
        for bytes in [
            &[][..],
            &[0, 0, 1],
            &[1, 2, 3, 4],
            &[0, 0, 1, 0x67, 0x42],
            &[0, 0, 0, 0],
        ] {
            assert_eq!(access_unit(bytes), None, "{bytes:?}");
        }
        let slice = access_unit(&[0, 0, 1, 0x41, 0x9a]).unwrap();
        assert!(!slice.key && slice.sps.is_none());
    }

    #[test]
    fn dimensions_of_real_parameter_sets() {
        // 640×360 constrained baseline of x264, 1280×720 high (as in mp4-atom's own example).
        let small = [
            0x67, 0x42, 0xc0, 0x1e, 0xd9, 0x00, 0xa0, 0x2f, 0xf9, 0x70, 0x11, 0x00, 0x00, 0x03,
            0x00, 0x01, 0x00, 0x00, 0x03, 0x00, 0x1e, 0x0f, 0x16, 0x2e, 0x48,
        ];
        let large = [
            103, 100, 0, 31, 172, 217, 128, 80, 5, 187, 1, 106, 2, 2, 2, 128, 0, 0, 3, 0, 128, 0,
            0, 30, 7, 140, 24, 205,
        ];
        assert_eq!(dimensions(&small), Some((640, 360)));
        assert_eq!(dimensions(&large), Some((1280, 720)));
        for cut in 0..8 {
            assert_eq!(dimensions(&large[..cut]), None);
        }
    }
}
