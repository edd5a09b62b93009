import { describe, expect, test } from "vitest";
import { fromHex, toHex } from "./bytes";
import { CTR_HMAC, GCM, type Suite } from "./crypto/suites";
import { AheadError, decodeHeader, encodeHeader, firstCounter, GRACE_MS, kidOf, Opener, Ring, Sealer } from "./sframe";

// The published vectors, made with a third implementation: all of us agree or this fails.
interface Vectors {
  cipher_suite: string;
  sframe: Record<"base_key" | "kid" | "ctr" | "metadata" | "pt" | "ct", string>[];
}
const files = import.meta.glob<Vectors>("../../../../../tests/vectors/sframe-f00?.json", {
  eager: true,
  import: "default",
});
const SUITES: Suite[] = [GCM, CTR_HMAC];

describe("the vectors in tests/vectors", () => {
  const byNumber = new Map(Object.values(files).map((file) => [Number(file.cipher_suite), file]));
  for (const suite of SUITES) {
    const vectors = byNumber.get(suite)?.sframe ?? [];
    test(`are there for ${suite.toString(16)}`, () => expect(vectors.length).toBeGreaterThanOrEqual(20));
    for (const { base_key, kid, ctr, metadata, pt, ct } of vectors) {
      test(`suite ${suite.toString(16)}, kid ${kid}, counter ${ctr}, ${pt.length / 2} bytes`, () => {
        const sealer = new Sealer(suite, fromHex(base_key), BigInt(kid), BigInt(ctr));
        const frame = sealer.seal(fromHex(metadata), fromHex(pt));
        expect(toHex(frame)).toBe(ct);
        expect(toHex(new Opener(suite, fromHex(base_key)).open(fromHex(metadata), frame))).toBe(pt);
      });
    }
  }
});

const KEY = fromHex("000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f");
const VIDEO = new TextEncoder().encode("video");

describe("the header of RFC 9605", () => {
  test("has the forms of its appendix C.1", () => {
    const examples: [bigint, bigint, string][] = [
      [0n, 0n, "00"],
      [0n, 1n, "01"],
      [0n, 255n, "08ff"],
      [0n, 256n, "090100"],
      [0n, 0xffffffffffffffffn, "0fffffffffffffffff"],
      [255n, 0n, "80ff"],
      [256n, 255n, "980100ff"],
    ];
    for (const [kid, counter, hex] of examples) {
      expect(toHex(encodeHeader(kid, counter))).toBe(hex);
      expect(decodeHeader(fromHex(hex))).toEqual({ kid, counter, length: hex.length / 2 });
    }
  });

  test("is refused when cut short", () => {
    expect(() => decodeHeader(new Uint8Array(0))).toThrow();
    expect(() => decodeHeader(fromHex("0901"))).toThrow();
  });
});

describe.each(SUITES)("sealing with suite %i", (suite) => {
  test("is undone by any opener with the same key", () => {
    const sealer = new Sealer(suite, KEY, kidOf(1, "agent", "video"), 7n << 32n);
    const opener = new Opener(suite, KEY);
    for (const size of [0, 1, 15, 16, 17, 111, 112, 113, 128, 129, 5_000]) {
      const plain = new Uint8Array(size).map((_, i) => i);
      expect(opener.open(VIDEO, sealer.seal(VIDEO, plain))).toEqual(plain);
    }
  });

  test("never seals twice under one nonce, across a change of key too", () => {
    const sealer = new Sealer(suite, KEY, 2n, 0n);
    const first = sealer.seal(VIDEO, new Uint8Array(32));
    const second = sealer.seal(VIDEO, new Uint8Array(32));
    expect(decodeHeader(second).counter).toBe(decodeHeader(first).counter + 1n);
    expect(toHex(first.subarray(1))).not.toBe(toHex(second.subarray(1)));
    sealer.rekey(KEY, 10n);
    expect(decodeHeader(sealer.seal(VIDEO, new Uint8Array(1)))).toMatchObject({ kid: 10n, counter: 2n });
  });

  test("shows every changed byte, another track and another key", () => {
    const sealed = new Sealer(suite, KEY, 2n, 5n).seal(VIDEO, fromHex("00112233"));
    const opener = new Opener(suite, KEY);
    for (let at = 0; at < sealed.length; at++) {
      const changed = sealed.slice();
      changed[at] = (changed[at] ?? 0) ^ 1;
      expect(() => opener.open(VIDEO, changed), `byte ${at}`).toThrow();
    }
    expect(() => opener.open(new TextEncoder().encode("audio"), sealed)).toThrow();
    expect(() => new Opener(suite, new Uint8Array(32)).open(VIDEO, sealed)).toThrow();
    expect(() => opener.open(VIDEO, sealed.subarray(0, 8))).toThrow();
  });
});

test("each broadcast starts elsewhere, with 32 bits of frames to go", () => {
  const counters = new Set(Array.from({ length: 20 }, firstCounter));
  expect(counters.size).toBeGreaterThan(18);
  for (const counter of counters) expect(counter & 0xffffffffn).toBe(0n);
});

test("tracks are numbered as the wire format says", () => {
  const kids = (epoch: number) => [
    kidOf(epoch, "customer", "video"),
    kidOf(epoch, "customer", "audio"),
    kidOf(epoch, "agent", "video"),
    kidOf(epoch, "agent", "audio"),
  ];
  expect(kids(1)).toEqual([2n, 3n, 4n, 5n]);
  expect(kids(2)).toEqual([10n, 11n, 12n, 13n]);
});

describe("a key ring", () => {
  const keyOf = (epoch: number) => new Uint8Array(32).fill(epoch);
  const frame = (epoch: number, track: "video" | "audio") =>
    new Sealer(track === "video" ? GCM : CTR_HMAC, keyOf(epoch), kidOf(epoch, "agent", track), 1n << 32n).seal(
      new TextEncoder().encode(track),
      fromHex("aabb"),
    );
  const opens = (ring: Ring, epoch: number, now: number) =>
    (["video", "audio"] as const).map((track) => toHex(ring.open(track, frame(epoch, track), now)));

  test("opens an epoch until the grace after the next", () => {
    const ring = new Ring(CTR_HMAC);
    expect(() => opens(ring, 1, 0)).toThrow(AheadError);
    ring.add(1, keyOf(1), 0);
    expect(opens(ring, 1, 1e6)).toEqual(["aabb", "aabb"]);
    ring.add(2, keyOf(2), 1e6);
    expect(opens(ring, 1, 1e6 + GRACE_MS - 1)).toEqual(["aabb", "aabb"]);
    expect(opens(ring, 2, 1e6)).toEqual(["aabb", "aabb"]);
    expect(() => opens(ring, 1, 1e6 + GRACE_MS)).toThrow(/over/);
    expect(() => opens(ring, 3, 1e6)).toThrow(AheadError);
  });

  test("holds a bounded number of keys and takes none back", () => {
    const ring = new Ring(CTR_HMAC);
    for (let epoch = 1; epoch <= 40; epoch++) ring.add(epoch, keyOf(epoch), 0);
    ring.add(3, keyOf(3), 0);
    expect(ring.epoch).toBe(40);
    expect(() => opens(ring, 36, 0)).toThrow(/over/);
    expect(opens(ring, 37, 0)).toEqual(["aabb", "aabb"]);
  });
});
