//! Publishing one broadcast: a catalog, a video and an audio track.

use bytes::Bytes;
use guitai_types::limits::FRAME_BYTES_MAX;
use moq_net::{Timescale, Timestamp, broadcast, group, origin, track};

use crate::hang::{self, AUDIO_GROUP_FRAMES, AUDIO_TRACK, CATALOG_TRACK, Catalog, VIDEO_TRACK};

/// How long groups stay readable behind the live edge; a recorder that stumbles has this long.
pub const GROUP_AGE_MAX: std::time::Duration = std::time::Duration::from_secs(30);

// Send order under congestion, as `hang::catalog::PRIORITY`: higher goes first.
const PRIORITY_CATALOG: u8 = 100;
const PRIORITY_AUDIO: u8 = 80;
const PRIORITY_VIDEO: u8 = 60;

/// A broadcast being published. Dropping it without [`Publisher::finish`] reads as a loss.
pub struct Publisher {
    broadcast: broadcast::Producer,
    catalog: track::Producer,
    video: Option<Lane>,
    audio: Option<Lane>,
}

/// A track and the group being written.
struct Lane {
    track: track::Producer,
    group: Option<group::Producer>,
    frames: usize,
}

impl Publisher {
    pub(crate) fn new(
        origin: &origin::Producer,
        name: &str,
        catalog: &Catalog,
    ) -> Result<Self, PublishError> {
        let first = catalog.encode()?;
        let broadcast = origin.create_broadcast(name)?;
        let info = track::Info::default().with_priority(PRIORITY_CATALOG);
        let lane = |wanted: bool, name: &str, priority: u8| match wanted {
            true => Lane::new(&broadcast, name, priority).map(Some),
            false => Ok(None),
        };
        let has_video = catalog.video.renditions.contains_key(VIDEO_TRACK);
        let has_audio = catalog.audio.renditions.contains_key(AUDIO_TRACK);
        let mut publisher = Self {
            catalog: broadcast.create_track(CATALOG_TRACK, info)?,
            video: lane(has_video, VIDEO_TRACK, PRIORITY_VIDEO)?,
            audio: lane(has_audio, AUDIO_TRACK, PRIORITY_AUDIO)?,
            broadcast,
        };
        publisher.write_catalog(first)?;
        // Last, so that who hears of the broadcast finds its tracks.
        publisher.broadcast.announce(origin::Route::default())?;
        Ok(publisher)
    }

    /// Publishes another version of the catalog, for example after a change of resolution. Tracks
    /// that were not in the first one cannot be added.
    pub fn update_catalog(&mut self, catalog: &Catalog) -> Result<(), PublishError> {
        self.write_catalog(catalog.encode()?)
    }

    /// Publishes a video frame; a key frame begins a group. `payload` is the codec's bytes (or
    /// their sealed form).
    pub fn video(
        &mut self,
        timestamp_us: u64,
        key: bool,
        payload: &[u8],
    ) -> Result<(), WriteError> {
        let lane = self.video.as_mut().ok_or(WriteError::NoTrack)?;
        if !key && lane.group.is_none() {
            return Err(WriteError::NeedsKeyFrame);
        }
        lane.write(timestamp_us, key, payload)
    }

    /// Publishes an audio packet; every [`AUDIO_GROUP_FRAMES`]th begins a group.
    pub fn audio(&mut self, timestamp_us: u64, payload: &[u8]) -> Result<(), WriteError> {
        let lane = self.audio.as_mut().ok_or(WriteError::NoTrack)?;
        let first = lane.group.is_none() || lane.frames >= AUDIO_GROUP_FRAMES;
        lane.write(timestamp_us, first, payload)
    }

    /// Ends the broadcast: subscribers read what there is and then see that it is over.
    pub fn finish(self) -> Result<(), PublishError> {
        for lane in [self.video, self.audio].into_iter().flatten() {
            if let Some(group) = lane.group {
                group.finish()?;
            }
            lane.track.finish()?;
        }
        self.catalog.finish()?;
        self.broadcast.close();
        Ok(())
    }

    fn write_catalog(&mut self, json: Bytes) -> Result<(), PublishError> {
        let mut group = self.catalog.append_group()?;
        group.write_frame(Timestamp::now(), json)?;
        Ok(group.finish()?)
    }
}

impl Lane {
    fn new(
        broadcast: &broadcast::Producer,
        name: &str,
        priority: u8,
    ) -> Result<Self, moq_net::Error> {
        // moq-lite-05 and later carry each frame's timestamp beside it, in this scale; players
        // and relays measure a group's age by it, so it must be the container's own.
        let info = track::Info::default()
            .with_timescale(Timescale::MICRO)
            .with_max_age(GROUP_AGE_MAX)
            .with_priority(priority);
        Ok(Self {
            track: broadcast.create_track(name, info)?,
            group: None,
            frames: 0,
        })
    }

    fn write(&mut self, timestamp_us: u64, first: bool, payload: &[u8]) -> Result<(), WriteError> {
        if payload.len() > FRAME_BYTES_MAX {
            return Err(WriteError::TooLarge { len: payload.len() });
        }
        let frame = hang::encode_frame(timestamp_us, payload)?;
        let timestamp = Timestamp::from_micros(timestamp_us)
            .map_err(|_| hang::FrameError::Timestamp(timestamp_us))?;
        if first {
            if let Some(group) = self.group.take() {
                group.finish()?;
            }
            self.frames = 0;
        }
        let group = match &mut self.group {
            Some(group) => group,
            none => none.insert(self.track.append_group()?),
        };
        group.write_frame(timestamp, frame)?;
        self.frames += 1;
        Ok(())
    }
}

/// Why a broadcast could not be published or changed.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// The catalog.
    #[error("the catalog cannot be published")]
    Catalog(#[from] hang::CatalogError),
    /// The media layer.
    #[error("the broadcast cannot be published")]
    Media(#[from] moq_net::Error),
}

/// Why a frame could not be written.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// The catalog named no such track.
    #[error("the catalog of this broadcast has no such track")]
    NoTrack,
    /// A group can only begin with a key frame.
    #[error("the first frame must be a key frame")]
    NeedsKeyFrame,
    /// Longer than the limit.
    #[error("the frame has {len} bytes; the limit is {FRAME_BYTES_MAX}")]
    TooLarge {
        /// How long.
        len: usize,
    },
    /// The timestamp.
    #[error("the frame cannot be wrapped")]
    Frame(#[from] hang::FrameError),
    /// The media layer.
    #[error("the frame cannot be written")]
    Media(#[from] moq_net::Error),
}
