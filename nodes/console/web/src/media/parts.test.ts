import { CTR_HMAC, GCM } from "./crypto/suites";
import { expect, test } from "vitest";
import { makeCatalog, readCatalog } from "./catalog";
import { JitterBuffer } from "./jitter";
import { transportChoice } from "./link";
import { Pacer } from "./pacer";
import { shapeFor } from "./shape";

test("a catalog reads back as it was made", () => {
  const shape = { width: 640, height: 360, framerate: 15, bitrate: 600_000 };
  const json = makeCatalog(shape, 32_000, { party: 1, audio: GCM });
  expect(json).toMatchObject({ guitai: { sealed: { suite: "0xF001", kid: 1 } } });
  const short = makeCatalog(shape, 32_000, { party: 2, audio: CTR_HMAC });
  expect(short).toMatchObject({ guitai: { sealed: { suite: "0xF001", audio: "0xF002", kid: 2 } } });
  expect(readCatalog(JSON.parse(JSON.stringify(json)))).toEqual({
    video: { track: "video", codec: "avc1.42e01f", width: 640, height: 360 },
    audio: { track: "audio", codec: "opus", sampleRate: 48_000, channels: 1 },
    sealed: true,
  });
  expect(makeCatalog(shape, 32_000, undefined)).not.toHaveProperty("guitai");
});

test("a catalog of strangers is read as far as it is understood", () => {
  expect(readCatalog(null)).toEqual({ sealed: false });
  expect(readCatalog({ video: { renditions: { hd: { codec: "avc1", container: { kind: "cmaf" } } } } })).toEqual({
    sealed: false,
  });
  expect(readCatalog({ video: { renditions: { hd: { codec: "vp8" } } } }).video).toEqual({ track: "hd", codec: "vp8" });
});

test("the jitter buffer waits, plays, and fills up again after it ran dry", () => {
  const buffer = new JitterBuffer(4, 12);
  const out = new Float32Array(2);
  buffer.write(Float32Array.of(1, 2, 3));
  expect(buffer.read(out)).toBe(false);
  buffer.write(Float32Array.of(4));
  expect(buffer.read(out)).toBe(true);
  expect([...out]).toEqual([1, 2]);
  buffer.read(out);
  buffer.read(out);
  expect([...out]).toEqual([0, 0]);
  buffer.write(Float32Array.of(5, 6));
  expect(buffer.read(out)).toBe(false);
});

test("the jitter buffer drops what is too late to matter", () => {
  const buffer = new JitterBuffer(4, 12);
  buffer.write(new Float32Array(13));
  expect(buffer.length).toBe(4);
  buffer.write(new Float32Array(500));
  expect(buffer.length).toBeLessThanOrEqual(12);
});

test("uneven arrivals are shown evenly", () => {
  const pacer = new Pacer();
  const arrivals = [1_000, 1_090, 1_140, 1_201, 1_290];
  const dues = arrivals.map((now, index) => pacer.due(index * 66, now));
  const gaps = dues.slice(1).map((due, index) => due - (dues[index] ?? 0));
  for (const gap of gaps) expect(Math.abs(gap - 66)).toBeLessThan(5);
  for (const [index, due] of dues.entries()) expect(due).toBeGreaterThan(arrivals[index] ?? 0);
});

test("a new broadcast with another clock is shown at once", () => {
  const pacer = new Pacer();
  pacer.due(0, 1_000);
  expect(pacer.due(90_000, 1_050)).toBeLessThan(1_200);
});

test("pictures are shrunk to what is sent, with even sides", () => {
  expect(shapeFor(640, 360)).toMatchObject({ width: 640, height: 360 });
  expect(shapeFor(1280, 720)).toMatchObject({ width: 640, height: 360 });
  expect(shapeFor(720, 1280)).toMatchObject({ width: 360, height: 640 });
  expect(shapeFor(333, 777)).toMatchObject({ width: 274, height: 640 });
});

test("the transport is chosen by the address only in the two known ways", () => {
  expect(transportChoice("?transport=ws")).toBe("ws");
  expect(transportChoice("?a=1&transport=wt")).toBe("wt");
  expect(transportChoice("?transport=carrier-pigeon")).toBe("auto");
});
