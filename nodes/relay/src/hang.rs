//! What a broadcast looks like inside: the hang catalog and the legacy frame container.
//!
//! The shapes are those of the crate `hang` 0.21 and the package `@moq/hang` 0.3, so their players
//! can watch our broadcasts; `docs/reference/media.md` describes them for page and recorder
//! authors. Only what Guitai publishes is modelled; members we do not know are skipped on reading.

use std::collections::BTreeMap;

use bytes::{Bytes, BytesMut};
use guitai_types::media::MediaSuite;
use moq_net::VarInt;
use serde::{Deserialize, Serialize};

/// Ending of a broadcast's name; it tells players which catalog to expect.
pub const BROADCAST_SUFFIX: &str = ".hang";
/// Name of the catalog track.
pub const CATALOG_TRACK: &str = "catalog.json";
/// Name of the video track and of its rendition.
pub const VIDEO_TRACK: &str = "video";
/// Name of the audio track and of its rendition.
pub const AUDIO_TRACK: &str = "audio";
/// Audio frames in one group: 1 s of 20 ms packets, one QUIC stream instead of fifty.
pub const AUDIO_GROUP_FRAMES: usize = 50;
/// Longest catalog in bytes: ours is under 1 KiB, a player's with thumbnails of settings under 4.
pub const CATALOG_BYTES_MAX: usize = 16 * 1024;
/// Renditions of one kind that we look at; a call has one.
pub const RENDITIONS_MAX: usize = 4;
/// How media frames are sealed, as written in the catalog.
pub const SEALED_SUITE: &str = "0xF001";
/// Name of the SFrame suite with the short tag; sound may be sealed with it.
pub const SEALED_SUITE_SHORT: &str = "0xF002";

/// What a broadcast holds. One group of [`CATALOG_TRACK`] is one version of it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Catalog {
    /// Video renditions.
    #[serde(default)]
    pub video: Renditions<VideoConfig>,
    /// Audio renditions.
    #[serde(default)]
    pub audio: Renditions<AudioConfig>,
    /// Our extension; absent when the frames are not sealed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub guitai: Option<Extension>,
}

/// Track name to how it is encoded.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Renditions<T> {
    /// By track name.
    #[serde(default = "BTreeMap::new")]
    pub renditions: BTreeMap<String, T>,
}

impl<T> Default for Renditions<T> {
    fn default() -> Self {
        Self {
            renditions: BTreeMap::new(),
        }
    }
}

/// How a video track is encoded.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct VideoConfig {
    /// WebCodecs codec string, for example `avc1.42e01f`.
    pub codec: String,
    /// How frames are wrapped.
    #[serde(default)]
    pub container: Container,
    /// `avcC` as hex; absent for Annex B, where the parameter sets stand before each key frame.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Width in pixels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub coded_width: Option<u32>,
    /// Height in pixels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub coded_height: Option<u32>,
    /// Frames per second.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub framerate: Option<f64>,
    /// Bits per second.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bitrate: Option<u64>,
}

impl VideoConfig {
    /// H.264 in Annex B, as every Guitai page publishes it.
    pub fn h264(codec: &str, width: u32, height: u32, framerate: f64, bitrate: u64) -> Self {
        Self {
            codec: codec.to_owned(),
            container: Container::Legacy,
            description: None,
            coded_width: Some(width),
            coded_height: Some(height),
            framerate: Some(framerate),
            bitrate: Some(bitrate),
        }
    }
}

/// How an audio track is encoded.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AudioConfig {
    /// WebCodecs codec string, for example `opus`.
    pub codec: String,
    /// How frames are wrapped.
    #[serde(default)]
    pub container: Container,
    /// Codec set-up as hex; absent for Opus.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Samples per second.
    pub sample_rate: u32,
    /// Channels.
    pub number_of_channels: u32,
    /// Bits per second.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bitrate: Option<u64>,
}

impl AudioConfig {
    /// Opus at 48 kHz, as every Guitai page publishes it.
    pub fn opus(channels: u32, bitrate: u64) -> Self {
        Self {
            codec: "opus".to_owned(),
            container: Container::Legacy,
            description: None,
            sample_rate: 48_000,
            number_of_channels: channels,
            bitrate: Some(bitrate),
        }
    }
}

/// How frames are wrapped.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "kind")]
pub enum Container {
    /// Varint timestamp and codec bytes; see [`encode_frame`].
    #[default]
    Legacy,
    /// Another container; a rendition with it is left alone.
    #[serde(other)]
    Other,
}

/// The member `guitai` of the catalog.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Extension {
    /// Frames are sealed end to end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sealed: Option<Sealed>,
}

/// How frames are sealed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sealed {
    /// SFrame suite, [`SEALED_SUITE`].
    pub suite: String,
    /// SFrame suite of sound where it is another one, [`SEALED_SUITE_SHORT`]. Says what the publisher
    /// does; what is accepted the session says, which no relay can change.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audio: Option<String>,
    /// The participant's number: 1 customer, 2 agent. In the first epoch the key id in a frame is
    /// `2 * kid` for video and `2 * kid + 1` for audio; each later epoch adds 8.
    pub kid: u64,
}

impl Catalog {
    /// A catalog with one video and one audio track under the usual names.
    pub fn new(video: Option<VideoConfig>, audio: Option<AudioConfig>) -> Self {
        let one = |name: &str| name.to_owned();
        Self {
            video: Renditions {
                renditions: video.into_iter().map(|v| (one(VIDEO_TRACK), v)).collect(),
            },
            audio: Renditions {
                renditions: audio.into_iter().map(|a| (one(AUDIO_TRACK), a)).collect(),
            },
            guitai: None,
        }
    }

    /// The same, saying that the frames are sealed by participant `kid`, sound with `audio`.
    #[must_use]
    pub fn sealed_by(mut self, kid: u64, audio: MediaSuite) -> Self {
        let sealed = Some(Sealed {
            suite: SEALED_SUITE.to_owned(),
            audio: match audio {
                MediaSuite::Sm4GcmSm3_128 => None,
                MediaSuite::Sm4CtrHmacSm3_80 => Some(SEALED_SUITE_SHORT.to_owned()),
            },
            kid,
        });
        self.guitai = Some(Extension { sealed });
        self
    }

    /// How the frames are sealed, if they are.
    pub fn sealed(&self) -> Option<&Sealed> {
        self.guitai.as_ref()?.sealed.as_ref()
    }

    /// Names of the tracks that we can read: [`RENDITIONS_MAX`] of each kind, legacy container.
    pub fn tracks(&self) -> Vec<String> {
        let video = self.video.renditions.iter();
        let video = video.filter(|(_, v)| v.container == Container::Legacy);
        let audio = self.audio.renditions.iter();
        let audio = audio.filter(|(_, a)| a.container == Container::Legacy);
        let video = video.map(|(name, _)| name.clone()).take(RENDITIONS_MAX);
        video
            .chain(audio.map(|(name, _)| name.clone()).take(RENDITIONS_MAX))
            .collect()
    }

    /// The catalog as it travels.
    pub fn encode(&self) -> Result<Bytes, CatalogError> {
        let json = serde_json::to_vec(self).map_err(CatalogError::Json)?;
        match json.len() {
            len if len > CATALOG_BYTES_MAX => Err(CatalogError::TooLong { len }),
            _ => Ok(json.into()),
        }
    }

    /// Reads a catalog; members we do not know are skipped.
    pub fn decode(json: &[u8]) -> Result<Self, CatalogError> {
        if json.len() > CATALOG_BYTES_MAX {
            return Err(CatalogError::TooLong { len: json.len() });
        }
        serde_json::from_slice(json).map_err(CatalogError::Json)
    }
}

/// Why a catalog cannot be written or read.
#[derive(Debug, thiserror::Error)]
pub enum CatalogError {
    /// Longer than the limit.
    #[error("the catalog has {len} bytes; the limit is {CATALOG_BYTES_MAX}")]
    TooLong {
        /// How long.
        len: usize,
    },
    /// Not the JSON it should be.
    #[error("the catalog is not the JSON of a hang catalog")]
    Json(#[source] serde_json::Error),
}

/// Why a frame cannot be wrapped or unwrapped.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// The timestamp does not fit a QUIC varint (2^62 µs are 146,000 years).
    #[error("the timestamp {0} does not fit a varint")]
    Timestamp(u64),
    /// The frame ends inside its timestamp.
    #[error("the frame ends inside its timestamp")]
    Short,
}

/// Wraps codec bytes for the wire: QUIC varint of `timestamp_us`, then the bytes.
pub fn encode_frame(timestamp_us: u64, payload: &[u8]) -> Result<Bytes, FrameError> {
    let wrong = || FrameError::Timestamp(timestamp_us);
    let varint = VarInt::try_from(timestamp_us).map_err(|_| wrong())?;
    let mut frame = BytesMut::with_capacity(size_of::<u64>() + payload.len());
    varint.encode_quic(&mut frame).map_err(|_| wrong())?;
    frame.extend_from_slice(payload);
    Ok(frame.freeze())
}

/// The inverse of [`encode_frame`]. An empty payload is a marker ("nothing until here"), not a
/// sample.
pub fn decode_frame(mut frame: Bytes) -> Result<(u64, Bytes), FrameError> {
    let varint = VarInt::decode_quic(&mut frame).map_err(|_| FrameError::Short)?;
    Ok((varint.into(), frame))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ours() -> Catalog {
        let video = VideoConfig::h264("avc1.42e01f", 640, 360, 15.0, 500_000);
        Catalog::new(Some(video), Some(AudioConfig::opus(1, 32_000)))
    }

    #[test]
    fn the_catalog_has_the_bytes_the_contract_shows() {
        let json = concat!(
            r#"{"video":{"renditions":{"video":{"codec":"avc1.42e01f","container":{"kind":"legacy"},"#,
            r#""codedWidth":640,"codedHeight":360,"framerate":15.0,"bitrate":500000}}},"#,
            r#""audio":{"renditions":{"audio":{"codec":"opus","container":{"kind":"legacy"},"#,
            r#""sampleRate":48000,"numberOfChannels":1,"bitrate":32000}}},"#,
            r#""guitai":{"sealed":{"suite":"0xF001","kid":1}}}"#
        );
        let bytes = ours()
            .sealed_by(1, MediaSuite::default())
            .encode()
            .expect("encodes");
        assert_eq!(std::str::from_utf8(&bytes), Ok(json));
        let back = Catalog::decode(&bytes).expect("decodes");
        assert_eq!(back, ours().sealed_by(1, MediaSuite::default()));
        assert_eq!(back.sealed().map(|s| s.kid), Some(1));
        assert!(!String::from_utf8_lossy(&ours().encode().expect("encodes")).contains("guitai"));
    }

    #[test]
    fn a_players_catalog_is_read_and_foreign_containers_are_left_alone() {
        let json = r#"{"clock":{"wall":1},"video":{"display":{"width":1,"height":1},"renditions":{
            "a":{"codec":"avc1.640028","container":{"kind":"cmaf","init":"AA=="}},
            "b":{"codec":"avc1.640028","jitter":50}}}}"#;
        let catalog = Catalog::decode(json.as_bytes()).expect("decodes");
        assert_eq!(catalog.tracks(), ["b"]);
        assert!(Catalog::decode(b"7").is_err());
        assert!(Catalog::decode(&vec![b' '; CATALOG_BYTES_MAX + 1]).is_err());
    }

    #[test]
    fn a_frame_round_trips_and_its_timestamp_is_a_quic_varint() {
        let frame = encode_frame(20_000, b"abc").expect("fits");
        assert_eq!(&frame[..], b"\x80\x00\x4e\x20abc");
        let (timestamp, payload) = decode_frame(frame).expect("whole");
        assert_eq!((timestamp, &payload[..]), (20_000, &b"abc"[..]));
        assert_eq!(
            encode_frame(1 << 62, b""),
            Err(FrameError::Timestamp(1 << 62))
        );
        assert_eq!(
            decode_frame(Bytes::from_static(b"\xc0\x01")),
            Err(FrameError::Short)
        );
    }
}
