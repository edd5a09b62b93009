import { expect, test } from "vitest";
import { TrackClock } from "./clock";

test("timestamps of both sources lie on one clock and never go back", () => {
  const clock = new TrackClock();
  expect(clock.stamp(9_000_000, 1_000)).toBe(1_000);
  expect(clock.stamp(9_066_000, 67_500)).toBe(67_000);
  expect(clock.stamp(9_060_000, 68_000)).toBe(67_001);
  // Another source, from zero: anchored anew.
  expect(clock.stamp(1_000, 5_000_000)).toBe(5_000_000);
  // The camera is back, with its own count.
  expect(clock.stamp(19_000_000, 5_200_000)).toBe(5_200_000);
});

test("what is delivered late is where it belongs, and a source that stopped is anchored anew", () => {
  const clock = new TrackClock();
  let source = 0;
  const block = (now: number) => clock.stamp((source += 20_000), now);
  for (let now = 20_000; now <= 1_000_000; now += 20_000) block(now);
  // The page was busy for 300 ms; what waited comes in one moment.
  const burst = Array.from({ length: 15 }, () => block(1_300_000));
  expect(burst[0]).toBe(1_020_000);
  expect(burst.at(-1)).toBe(1_300_000);
  // The microphone was taken away for five seconds: what comes then is not of five seconds ago.
  let last = 0;
  for (let now = 6_320_000; now <= 7_000_000; now += 20_000) last = block(now);
  expect(Math.abs(last - 7_000_000)).toBeLessThan(20_000);
});

/** splitmix32: the same chance in every run. */
function dice(seed: number): () => number {
  return () => {
    seed = (seed + 0x9e3779b9) | 0;
    let z = seed ^ (seed >>> 16);
    z = Math.imul(z, 0x21f0aaad);
    z ^= z >>> 15;
    z = Math.imul(z, 0x735a2d97);
    return ((z ^ (z >>> 15)) >>> 0) / 2 ** 32;
  };
}

/** 200 ppm each way, so 400 between the two: the worst that crystals are sold with. */
const PPM = 200e-6;
const HOURS = 2;

test.each([1, 2, 3, 4, 5, 6])("sound and picture stay within 40 ms for two hours of bad clocks (%i)", (seed) => {
  const chance = dice(seed);
  const fast = seed % 2 === 0;
  const [audio, video] = [new TrackClock(), new TrackClock()];
  const [audioSpeed, videoSpeed] = fast ? [1 + PPM, 1 - PPM] : [1 - PPM, 1 + PPM];
  const cameraZero = chance() * 1e12;
  // Delivered a little late, always; very late now and then, all at once, when the page is busy.
  let busyUntil = 0;
  const delivered = (at: number, least: number) => {
    if (chance() < 0.0005) busyUntil = Math.max(busyUntil, at + chance() * 450_000);
    return Math.max(at + least + chance() * 30_000, busyUntil);
  };
  let worst = 0;
  let steps = 0;
  let picture = { at: 0, stamp: 0 };
  let [audioNow, videoNow, before] = [0, 0, 0];
  for (let at = 0, n = 0; at < HOURS * 3600e6; at += 20_000, n++) {
    // The page's clock is the measure. One of twenty of each is lost on the way to the encoder.
    if (n % 3 === 0 && chance() >= 0.05) {
      videoNow = Math.max(videoNow, delivered(at, 12_000));
      picture = { at, stamp: video.stamp(cameraZero + at * videoSpeed, videoNow) };
    }
    if (chance() < 0.05) continue;
    audioNow = Math.max(audioNow, delivered(at, 4_000));
    const stamp = audio.stamp(at * audioSpeed, audioNow);
    const step = Math.abs(stamp - before - 20_000 * Math.round((stamp - before) / 20_000));
    before = stamp;
    if (at < 10e6) continue;
    steps = Math.max(steps, step);
    worst = Math.max(worst, Math.abs(stamp - at - (picture.stamp - picture.at)));
  }
  expect(worst).toBeLessThan(40_000);
  // Nor is it brought together by jumps that are heard.
  expect(steps).toBeLessThan(1_000);
});
