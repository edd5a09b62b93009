import { describe, expect, test } from "vitest";
import { fromHex, toHex } from "./bytes";
import { decodeHeader, encodeHeader, firstCounter, kidOf, Opener, Sealer } from "./sframe";

// The vectors of the crypto crate, computed by a third implementation: all of us agree or this fails.
interface Vectors {
  suite: string;
  vectors: Record<"base_key" | "kid" | "ctr" | "metadata" | "plaintext" | "sealed", string>[];
}
const files = import.meta.glob<Vectors>("../../../../crypto/tests/vectors/sframe-sm4.json", {
  eager: true,
  import: "default",
});

describe("the vectors of nodes/crypto", () => {
  const [file] = Object.values(files);
  test("are there, for our suite", () => {
    expect(file?.suite).toBe("0xF001");
    expect(file?.vectors.length).toBeGreaterThanOrEqual(10);
  });
  for (const { base_key, kid, ctr, metadata, plaintext, sealed } of file?.vectors ?? []) {
    test(`kid ${kid}, counter ${ctr}`, () => {
      const frame = new Sealer(fromHex(base_key), BigInt(kid), BigInt(ctr)).seal(fromHex(metadata), fromHex(plaintext));
      expect(toHex(frame)).toBe(sealed);
      expect(toHex(new Opener(fromHex(base_key)).open(fromHex(metadata), frame))).toBe(plaintext);
    });
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

describe("sealing", () => {
  test("is undone by any opener with the same key", () => {
    const sealer = new Sealer(KEY, kidOf("agent", "video"), 7n << 32n);
    const opener = new Opener(KEY);
    for (const size of [0, 1, 15, 16, 17, 5_000]) {
      const plain = new Uint8Array(size).map((_, i) => i);
      expect(opener.open(VIDEO, sealer.seal(VIDEO, plain))).toEqual(plain);
    }
  });

  test("never seals twice under one nonce", () => {
    const sealer = new Sealer(KEY, 2n, 0n);
    const first = sealer.seal(VIDEO, new Uint8Array(32));
    const second = sealer.seal(VIDEO, new Uint8Array(32));
    expect(decodeHeader(second).counter).toBe(decodeHeader(first).counter + 1n);
    expect(toHex(first.subarray(1))).not.toBe(toHex(second.subarray(1)));
  });

  test("shows every changed byte, another track and another key", () => {
    const sealed = new Sealer(KEY, 2n, 5n).seal(VIDEO, fromHex("00112233"));
    const opener = new Opener(KEY);
    for (let at = 0; at < sealed.length; at++) {
      const changed = sealed.slice();
      changed[at] = (changed[at] ?? 0) ^ 1;
      expect(() => opener.open(VIDEO, changed), `byte ${at}`).toThrow();
    }
    expect(() => opener.open(new TextEncoder().encode("audio"), sealed)).toThrow();
    expect(() => new Opener(new Uint8Array(32)).open(VIDEO, sealed)).toThrow();
    expect(() => opener.open(VIDEO, sealed.subarray(0, 10))).toThrow();
  });

  test("starts each broadcast elsewhere, with 32 bits of frames to go", () => {
    const counters = new Set(Array.from({ length: 20 }, firstCounter));
    expect(counters.size).toBeGreaterThan(18);
    for (const counter of counters) expect(counter & 0xffffffffn).toBe(0n);
  });

  test("numbers the tracks as the wire format says", () => {
    const kids = [kidOf("customer", "video"), kidOf("customer", "audio"), kidOf("agent", "video"), kidOf("agent", "audio")];
    expect(kids).toEqual([2n, 3n, 4n, 5n]);
  });
});
