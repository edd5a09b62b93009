//! The sample media, `nodes/cli/sample/`: what each side shows and says, over and over.

use std::time::Duration;

use guitai_types::Code;

use crate::failure::Failure;

const CUSTOMER: &[u8] = include_bytes!("../../sample/customer.gts");
const AGENT: &[u8] = include_bytes!("../../sample/agent.gts");

const MAGIC: &[u8] = b"GTS1";
const VIDEO: u8 = 0;
const AUDIO: u8 = 1;

/// One track of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Track {
    Video,
    Audio,
}

/// One frame of a sample; times are from the beginning of the sample.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Frame {
    pub(super) track: Track,
    pub(super) key: bool,
    pub(super) at_us: u64,
    pub(super) data: &'static [u8],
}

/// What one side shows and says.
#[derive(Debug)]
pub(super) struct Sample {
    loop_us: u64,
    frames: Vec<Frame>,
}

/// Both sides.
#[derive(Debug)]
pub(super) struct Samples {
    pub(super) customer: Sample,
    pub(super) agent: Sample,
    /// How long both show it once the recording runs.
    pub(super) talk: Duration,
}

impl Samples {
    pub(super) fn load(talk: Duration) -> Result<Self, Failure> {
        let broken = || {
            Failure::new(
                Code::Internal,
                "the sample media in this program are broken",
            )
        };
        Ok(Self {
            customer: Sample::parse(CUSTOMER).ok_or_else(broken)?,
            agent: Sample::parse(AGENT).ok_or_else(broken)?,
            talk,
        })
    }
}

impl Sample {
    fn parse(bytes: &'static [u8]) -> Option<Self> {
        let rest = bytes.strip_prefix(MAGIC)?;
        let (loop_us, mut rest) = rest.split_first_chunk()?;
        let loop_us = u64::from(u32::from_be_bytes(*loop_us));
        let mut frames = Vec::new();
        while !rest.is_empty() {
            let (&[track, key], after) = rest.split_first_chunk()?;
            let (at_us, after) = after.split_first_chunk()?;
            let (length, after) = after.split_first_chunk()?;
            let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
            let (data, after) = after.split_at_checked(length)?;
            let track = match track {
                VIDEO => Track::Video,
                AUDIO => Track::Audio,
                _ => return None,
            };
            let at_us = u64::from(u32::from_be_bytes(*at_us));
            frames.push(Frame {
                track,
                key: key != 0,
                at_us,
                data,
            });
            rest = after;
        }
        (loop_us > 0 && !frames.is_empty()).then_some(Self { loop_us, frames })
    }

    /// The frames without end, their times going on.
    pub(super) fn endless(&self) -> impl Iterator<Item = Frame> + Send + '_ {
        let turns = (0_u64..).map(|turn| turn * self.loop_us);
        turns.flat_map(|since| {
            self.frames.iter().map(move |frame| Frame {
                at_us: since + frame.at_us,
                ..*frame
            })
        })
    }

    /// Whether this is exactly the frame that belongs there.
    pub(super) fn has(&self, track: Track, at_us: u64, data: &[u8]) -> bool {
        let at_us = at_us % self.loop_us;
        let first = self.frames.partition_point(|frame| frame.at_us < at_us);
        let here = self
            .frames
            .iter()
            .skip(first)
            .take_while(|frame| frame.at_us == at_us);
        here.into_iter()
            .any(|frame| frame.track == track && frame.data == data)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_samples_are_what_a_browser_would_publish() -> Result<(), Failure> {
        let samples = Samples::load(Duration::ZERO)?;
        for sample in [&samples.customer, &samples.agent] {
            let of = |track| {
                sample
                    .frames
                    .iter()
                    .filter(move |frame| frame.track == track)
            };
            assert_eq!(of(Track::Video).count(), 90, "6 s at 15 frames/s");
            assert_eq!(of(Track::Audio).count(), 300, "6 s of 20 ms");
            for frame in of(Track::Video) {
                let parameter_sets = frame.data.starts_with(&[0, 0, 0, 1, 0x67]);
                assert_eq!(
                    frame.key, parameter_sets,
                    "SPS and PPS before each key frame"
                );
                assert_eq!(
                    frame.key,
                    frame.at_us % 1_000_000 == 0,
                    "a key frame each second"
                );
            }
            assert!(sample.frames.is_sorted_by_key(|frame| frame.at_us));
        }
        assert_ne!(samples.customer.frames, samples.agent.frames);
        Ok(())
    }

    #[test]
    fn a_frame_is_known_in_every_turn_and_a_changed_one_is_not() -> Result<(), Failure> {
        let Samples {
            customer, agent, ..
        } = Samples::load(Duration::ZERO)?;
        for frame in customer.endless().take(1_000) {
            assert!(customer.has(frame.track, frame.at_us, frame.data));
            assert!(!customer.has(frame.track, frame.at_us + 1, frame.data));
            // A picture in which nothing moved may be coded alike on both sides; a key frame never.
            let key_frame = frame.track == Track::Video && frame.key;
            assert!(!key_frame || !agent.has(frame.track, frame.at_us, frame.data));
        }
        Ok(())
    }
}
