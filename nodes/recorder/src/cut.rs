//! Cuts the frames of one track into segments. No I/O, no clock: frames in, closed segments out.

use guitai_evidence::{layout, manifest::Media};
use guitai_types::limits::SEGMENT_MS_MAX;

use crate::fmp4::Sample;

/// At a key frame, a segment at least this long is closed, so that the next decodes alone; so is
/// one that itself began without a key frame.
const CLOSE_AT_KEY_US: u64 = 900_000;
/// Longest segment; past it a segment is closed at any frame (P6: a crash loses at most this).
const SEGMENT_US_MAX: u64 = SEGMENT_MS_MAX * 1000;
/// Most frames of a segment, whatever their timestamps say.
const FRAMES_MAX: usize = 2_000;
/// Bytes after which a segment is closed, whatever its length.
const SEGMENT_BYTES_MAX: usize = 8 * 1024 * 1024;

/// A frame ready to be kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Frame {
    /// Timestamp by the publisher's clock.
    pub(crate) timestamp_us: u64,
    /// Decodable alone.
    pub(crate) key: bool,
    /// As MP4 keeps it.
    pub(crate) data: Vec<u8>,
}

/// A segment with nothing to come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Closed {
    /// First frame's timestamp.
    pub(crate) first_us: u64,
    /// Last frame's timestamp plus its duration.
    pub(crate) end_us: u64,
    /// Its frames, at least one.
    pub(crate) samples: Vec<Sample>,
}

impl Closed {
    /// Starts with a key frame.
    #[must_use]
    pub(crate) fn key(&self) -> bool {
        self.samples.first().is_some_and(|sample| sample.key)
    }

    /// One line per frame: timestamp in microseconds, bytes, 1 for a key frame.
    #[must_use]
    pub(crate) fn log(&self) -> String {
        let line = |sample: &Sample| {
            layout::frame(sample.timestamp_us, sample.data.len() as u64, sample.key)
        };
        self.samples.iter().map(line).collect()
    }
}

/// Collects the open segment of one track.
#[derive(Debug)]
pub(crate) struct Cutter {
    media: Media,
    open: Vec<Sample>,
    open_bytes: usize,
    /// Duration given to a frame whose follower is not known: that of the frame before it.
    usual_us: u32,
}

impl Cutter {
    /// Nothing collected yet.
    #[must_use]
    pub(crate) fn new(media: Media) -> Self {
        let usual_us = match media {
            Media::Video => 66_667,
            Media::Audio => 20_000,
        };
        Self {
            media,
            open: Vec::new(),
            open_bytes: 0,
            usual_us,
        }
    }

    /// Takes the next frame, whose timestamp is greater than all before it. Gives the segment that
    /// it closes, if it closes one.
    pub(crate) fn push(&mut self, frame: Frame) -> Option<Closed> {
        let closed = if self.ends_before(&frame) {
            self.close(Some(frame.timestamp_us))
        } else {
            None
        };
        self.settle(frame.timestamp_us);
        self.open_bytes += frame.data.len();
        self.open.push(Sample {
            timestamp_us: frame.timestamp_us,
            duration_us: self.usual_us,
            key: frame.key,
            data: frame.data,
        });
        closed
    }

    /// Closes what is open, because nothing more comes or it has been open too long.
    pub(crate) fn flush(&mut self) -> Option<Closed> {
        self.close(None)
    }

    fn ends_before(&self, frame: &Frame) -> bool {
        let (Some(first), Some(last)) = (self.open.first(), self.open.last()) else {
            return false;
        };
        let length = frame.timestamp_us.saturating_sub(first.timestamp_us);
        let hole = frame.timestamp_us.saturating_sub(last.timestamp_us);
        hole > self.media.hole_us_max()
            || (frame.key && (length >= CLOSE_AT_KEY_US || !first.key))
            || length + u64::from(self.usual_us) > SEGMENT_US_MAX
            || self.open.len() >= FRAMES_MAX
            || self.open_bytes + frame.data.len() > SEGMENT_BYTES_MAX
    }

    /// Now that the follower's time is known, the last frame lasts until it, unless there is a hole.
    fn settle(&mut self, next_us: u64) {
        let Some(last) = self.open.last_mut() else {
            return;
        };
        let until_next = next_us.saturating_sub(last.timestamp_us);
        if until_next <= self.media.hole_us_max() {
            last.duration_us = u32::try_from(until_next).unwrap_or(self.usual_us);
            self.usual_us = last.duration_us;
        }
    }

    fn close(&mut self, next_us: Option<u64>) -> Option<Closed> {
        if let Some(next_us) = next_us {
            self.settle(next_us);
        }
        let first_us = self.open.first()?.timestamp_us;
        let last = self.open.last()?;
        let end_us = last
            .timestamp_us
            .saturating_add(u64::from(last.duration_us));
        self.open_bytes = 0;
        Some(Closed {
            first_us,
            end_us,
            samples: std::mem::take(&mut self.open),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(media: Media, frames: &[(u64, bool)]) -> Vec<Closed> {
        let mut cutter = Cutter::new(media);
        let frame = |(ms, key): &(u64, bool)| Frame {
            timestamp_us: ms * 1000,
            key: *key,
            data: vec![0; 100],
        };
        let mut closed: Vec<Closed> = frames
            .iter()
            .filter_map(|f| cutter.push(frame(f)))
            .collect();
        closed.extend(cutter.flush());
        assert_eq!(cutter.flush(), None);
        closed
    }

    fn spans(closed: &[Closed]) -> Vec<(u64, u64, bool)> {
        closed
            .iter()
            .map(|c| (c.first_us / 1000, c.end_us / 1000, c.key()))
            .collect()
    }

    #[test]
    fn video_is_cut_at_key_frames() {
        let frames: Vec<_> = (0..40).map(|n| (n * 100, n % 10 == 0)).collect();
        let expected = [
            (0, 1000, true),
            (1000, 2000, true),
            (2000, 3000, true),
            (3000, 4000, true),
        ];
        assert_eq!(spans(&cut(Media::Video, &frames)), expected);
    }

    #[test]
    fn no_segment_is_longer_than_the_limit_even_without_key_frames() {
        let frames: Vec<_> = (0..100).map(|n| (n * 67, n == 0)).collect();
        let closed = cut(Media::Video, &frames);
        assert!(
            closed
                .iter()
                .all(|c| c.end_us - c.first_us <= SEGMENT_US_MAX)
        );
        assert_eq!(closed.iter().map(|c| c.samples.len()).sum::<usize>(), 100);
        assert!(closed.windows(2).all(|w| w[0].end_us == w[1].first_us));
    }

    #[test]
    fn audio_is_cut_by_length_and_at_holes() {
        let frames: Vec<_> = (0..50).chain(75..100).map(|n| (n * 20, true)).collect();
        assert_eq!(
            spans(&cut(Media::Audio, &frames)),
            [(0, 900, true), (900, 1000, true), (1500, 2000, true)]
        );
    }

    #[test]
    fn the_log_has_a_line_per_frame() {
        let closed = cut(Media::Video, &[(0, true), (50, false)]);
        assert_eq!(closed[0].log(), "0,100,1\n50000,100,0\n");
    }
}
