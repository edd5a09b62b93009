//! Pictures: decoded to points and encoded anew. Metadata, thumbnails, colour profiles and whatever follows the
//! end of the picture stay behind; how the camera was held is put into the points first.

use std::io::Cursor;

use guitai_types::message::{FileRules, FileType};
use image::{
    DynamicImage, ExtendedColorType, ImageDecoder, ImageEncoder as _, ImageFormat, ImageReader,
    Limits,
    codecs::{
        jpeg::JpegEncoder,
        png::{CompressionType, FilterType, PngEncoder},
    },
    metadata::Orientation,
};

use crate::FileError;

/// Quality of a JPEG made anew: what a document's small print needs, at about the size it came with.
const JPEG_QUALITY: u8 = 88;
/// What a decoder may take for each point, in bytes: its output and what it works with.
const BYTES_PER_POINT: u64 = 16;
/// What a decoder may take besides.
const BYTES_BESIDES: u64 = 16 * 1024 * 1024;

pub(crate) fn remake(
    kind: FileType,
    rules: &FileRules,
    bytes: &[u8],
) -> Result<Vec<u8>, FileError> {
    let broken = |_| FileError::Broken { kind };
    let (format, max) = match kind {
        FileType::Png => (ImageFormat::Png, rules.pixels),
        _ => (ImageFormat::Jpeg, rules.pixels),
    };
    let mut reader = ImageReader::with_format(Cursor::new(bytes), format);
    let mut limits = Limits::default();
    limits.max_alloc = Some(
        max.saturating_mul(BYTES_PER_POINT)
            .saturating_add(BYTES_BESIDES),
    );
    reader.limits(limits);
    let mut decoder = reader.into_decoder().map_err(broken)?;
    // What it claims is looked at before anything is made room for.
    let (width, height) = decoder.dimensions();
    if u64::from(width) * u64::from(height) > max {
        return Err(FileError::Pixels { width, height, max });
    }
    let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
    let mut picture = DynamicImage::from_decoder(decoder).map_err(broken)?;
    picture.apply_orientation(orientation);
    encode(kind, picture).map_err(broken)
}

fn encode(kind: FileType, picture: DynamicImage) -> image::ImageResult<Vec<u8>> {
    let mut out = Vec::new();
    if kind == FileType::Png {
        let encoder =
            PngEncoder::new_with_quality(&mut out, CompressionType::Default, FilterType::Adaptive);
        let has_alpha = picture.color().has_alpha();
        let (width, height) = (picture.width(), picture.height());
        if has_alpha {
            let points = picture.into_rgba8();
            encoder.write_image(&points, width, height, ExtendedColorType::Rgba8)?;
        } else {
            let points = picture.into_rgb8();
            encoder.write_image(&points, width, height, ExtendedColorType::Rgb8)?;
        }
        return Ok(out);
    }
    let points = picture.into_rgb8();
    JpegEncoder::new_with_quality(&mut out, JPEG_QUALITY).encode_image(&points)?;
    Ok(out)
}

#[cfg(test)]
pub(crate) mod tests {
    use image::{Rgb, RgbImage};

    use super::*;
    use crate::Files;

    /// A picture of a gradient, in either kind.
    pub(crate) fn picture(kind: FileType, width: u32, height: u32) -> Vec<u8> {
        let point = |x: u32, y: u32| Rgb([(x % 256) as u8, (y % 256) as u8, 7]);
        encode(kind, RgbImage::from_fn(width, height, point).into()).unwrap()
    }

    fn files(pixels: u64) -> Files {
        Files::new(FileRules {
            pixels,
            ..FileRules::default()
        })
    }

    fn size(bytes: &[u8]) -> (u32, u32) {
        image::load_from_memory(bytes)
            .map(|it| (it.width(), it.height()))
            .unwrap()
    }

    #[test]
    fn a_picture_comes_out_as_a_picture_and_nothing_else() {
        for kind in [FileType::Jpeg, FileType::Png] {
            let sent = picture(kind, 40, 30);
            let mut stuffed = sent.clone();
            stuffed.extend_from_slice(b"PK\x03\x04 an archive behind the picture");
            let remade = files(10_000).remake(kind, &stuffed).unwrap();
            assert_eq!((remade.kind, size(&remade.bytes)), (kind, (40, 30)));
            assert!(!remade.bytes.windows(2).any(|it| it == b"PK"), "{kind:?}");
            // The second time nothing is lost but a little of a JPEG's sharpness.
            let again = files(10_000).remake(kind, &remade.bytes).unwrap();
            assert_eq!(size(&again.bytes), (40, 30));
        }
    }

    /// APP1 with Exif that says "turned by a quarter" and a place's coordinates.
    fn with_exif(jpeg: &[u8]) -> Vec<u8> {
        let tiff =
            b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0GPS 31.2304N";
        let length = u16::try_from(tiff.len() + 2).unwrap().to_be_bytes();
        [&jpeg[..2], b"\xff\xe1", &length, tiff, &jpeg[2..]].concat()
    }

    #[test]
    fn metadata_stays_behind_and_the_picture_stands_upright() {
        let sent = with_exif(&picture(FileType::Jpeg, 40, 30));
        let remade = files(10_000).remake(FileType::Jpeg, &sent).unwrap();
        assert!(!remade.bytes.windows(3).any(|it| it == b"GPS"));
        assert_eq!(size(&remade.bytes), (30, 40));
    }

    #[test]
    fn what_claims_too_much_is_refused_before_room_is_made_for_it() {
        let mut png = picture(FileType::Png, 40, 30);
        // IHDR begins at 16 with width and height; its sum covers the 17 bytes from 12.
        png[16..24].copy_from_slice(&[0x00, 0x00, 0xff, 0xff, 0x00, 0x00, 0xff, 0xff]);
        let sum = crc(&png[12..29]);
        png[29..33].copy_from_slice(&sum.to_be_bytes());
        let refused = files(16_000_000).remake(FileType::Png, &png).unwrap_err();
        let (width, height, max) = (0xffff, 0xffff, 16_000_000);
        assert_eq!(refused, FileError::Pixels { width, height, max });
        let refused = files(1_199).remake(FileType::Jpeg, &picture(FileType::Jpeg, 40, 30));
        assert_eq!(refused.unwrap_err().verdict(), "pixels");
    }

    /// CRC-32 as a PNG has it (ISO/IEC 15948, annex D), bit by bit.
    fn crc(bytes: &[u8]) -> u32 {
        !bytes.iter().fold(u32::MAX, |sum, &byte| {
            (0..8).fold(sum ^ u32::from(byte), |sum, _| {
                (sum >> 1) ^ (0xedb8_8320 * (sum & 1))
            })
        })
    }

    #[test]
    fn what_is_cut_short_or_of_another_kind_is_refused() {
        let jpeg = picture(FileType::Jpeg, 64, 64);
        let cut = files(10_000)
            .remake(FileType::Jpeg, &jpeg[..60])
            .unwrap_err();
        assert_eq!(cut.verdict(), "broken");
        let wrong = files(10_000).remake(FileType::Png, &jpeg).unwrap_err();
        assert_eq!(wrong.to_string(), "said to be png, but it is jpeg");
        let page = files(10_000).remake(FileType::Jpeg, b"<html>").unwrap_err();
        assert_eq!(page, FileError::UnknownType);
        assert_eq!(
            files(10_000).remake(FileType::Jpeg, b"").unwrap_err(),
            FileError::UnknownType
        );
    }
}
