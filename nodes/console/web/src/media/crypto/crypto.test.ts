import { sm3 as otherSm3, sm4 as otherSm4 } from "sm-crypto-v2";
import { expect, test } from "vitest";
import { fromHex, toHex } from "../bytes";
import { Ghash } from "./ghash";
import { expand, extract, HmacKey, sm3 } from "./sm3";
import { Sm4 } from "./sm4";
import { cipher, GCM } from "./suites";

const KEY = fromHex("0123456789abcdeffedcba9876543210");

function encipher(sm4: Sm4, block: Uint8Array): Uint8Array {
  const words = new Int32Array(32);
  const view = new DataView(block.buffer);
  for (let i = 0; i < 32; i++) words[i] = view.getInt32((i % 4) * 4);
  sm4.encipher(words);
  for (let other = 4; other < 32; other += 4) expect(words.slice(other, other + 4)).toEqual(words.slice(0, 4));
  const out = new Uint8Array(16);
  for (let i = 0; i < 4; i++) new DataView(out.buffer).setInt32(i * 4, words[i] ?? 0);
  return out;
}

/** Numbers that look random and are the same every time. */
function random(seed: number): () => number {
  return () => {
    seed = (Math.imul(seed, 1664525) + 1013904223) | 0;
    return seed >>> 8;
  };
}
function bytes(draw: () => number, length: number): Uint8Array<ArrayBuffer> {
  return new Uint8Array(length).map(() => draw() & 0xff);
}

test("SM4 gives the example of GB/T 32907", () => {
  expect(toHex(encipher(new Sm4(KEY), KEY))).toBe("681edf34d206965e86b3e94f536e4246");
});

test("SM4 equals another implementation, block by block", () => {
  const draw = random(1);
  for (let round = 0; round < 300; round++) {
    const [key, block] = [bytes(draw, 16), bytes(draw, 16)];
    const theirs = otherSm4.encrypt(block, key, { padding: "none", output: "array" });
    expect(toHex(encipher(new Sm4(key), block))).toBe(toHex(Uint8Array.from(theirs)));
  }
});

test("SM4-GCM gives RFC 8998, A.1, and equals another implementation for every length", () => {
  const nonce = fromHex("00001234567800000000abcd");
  const aad = fromHex("feedfacedeadbeeffeedfacedeadbeefabaddad2");
  const data = fromHex(["aa", "bb", "cc", "dd", "ee", "ff", "ee", "aa"].map((byte) => byte.repeat(8)).join(""));
  const tag = new Uint8Array(16);
  cipher(GCM, KEY).seal(nonce, aad, data, tag);
  expect(toHex(data)).toBe(
    "17f399f08c67d5ee19d0dc9969c4bb7d5fd46fd3756489069157b282bb200735" +
      "d82710ca5c22f0ccfa7cbf93d496ac15a56834cbcf98c397b4024a2691233b8d",
  );
  expect(toHex(tag)).toBe("83de3541e4c2b58177e065a9bf7b62ec");
  const draw = random(2);
  for (let length = 0; length < 300; length++) {
    const [key, iv, associatedData, plain] = [bytes(draw, 16), bytes(draw, 12), bytes(draw, length % 40), bytes(draw, length)];
    const theirs = otherSm4.encrypt(plain, key, { mode: "gcm", iv, associatedData, output: "array", outputTag: true });
    const ours = plain.slice();
    cipher(GCM, key).seal(iv, associatedData, ours, tag);
    expect(toHex(ours)).toBe(toHex(Uint8Array.from(theirs.output)));
    expect(toHex(tag)).toBe(toHex(Uint8Array.from(theirs.tag ?? [])));
  }
});

test("GHASH of nothing is nothing", () => {
  const out = Int32Array.of(1, 2, 3, 4);
  const ghash = new Ghash(Int32Array.of(5, 6, 7, 8));
  ghash.update(new Uint8Array(0));
  ghash.digest(out);
  expect([...out]).toEqual([0, 0, 0, 0]);
});

test("SM3 gives the examples of GB/T 32905 and equals another implementation for every length", () => {
  expect(toHex(sm3(new TextEncoder().encode("abc")))).toBe(
    "66c7f0f462eeedd9d1f2d46bdc10e4e24167c4875cf2f7a2297da02b8f4ba8e0",
  );
  const draw = random(3);
  for (let length = 0; length < 200; length++) {
    const [key, data] = [bytes(draw, length % 90), bytes(draw, length)];
    expect(toHex(sm3(data))).toBe(otherSm3(data));
    const parts = [data.subarray(0, length / 3), data.subarray(length / 3, length / 2), data.subarray(length / 2)];
    expect(toHex(new HmacKey(key).tag(...parts))).toBe(hmac(key, data));
  }
});

/** HMAC by its definition (RFC 2104) over the other SM3. */
function hmac(key: Uint8Array, data: Uint8Array): string {
  const block = new Uint8Array(64);
  block.set(key.length > 64 ? fromHex(otherSm3(key)) : key);
  const pad = (value: number, rest: Uint8Array) => Uint8Array.from([...block.map((byte) => byte ^ value), ...rest]);
  return otherSm3(pad(0x5c, fromHex(otherSm3(pad(0x36, data)))));
}

test("HKDF is RFC 5869 over HMAC", () => {
  const secret = extract(fromHex("0102"));
  const info = fromHex("aabb");
  const first = new HmacKey(secret).tag(info, Uint8Array.of(1));
  const second = new HmacKey(secret).tag(first, info, Uint8Array.of(2));
  expect(toHex(expand(secret, info, 50))).toBe(toHex(first) + toHex(second).slice(0, 36));
});
