import { expect, test } from "vitest";
import { concat, decodeVarint, encodeVarint, fromHex, toHex } from "./bytes";

test("varints are those of RFC 9000, appendix A.1", () => {
  const examples: [string, number][] = [
    ["25", 37],
    ["7bbd", 15_293],
    ["9d7f3e7d", 494_878_333],
  ];
  for (const [hex, value] of examples) {
    expect(toHex(encodeVarint(value))).toBe(hex);
    expect(decodeVarint(fromHex(hex))[0]).toBe(value);
  }
});

test("a varint leaves what follows it, at every width", () => {
  for (const value of [0, 63, 64, 16_383, 16_384, 2 ** 30 - 1, 2 ** 30, Number.MAX_SAFE_INTEGER]) {
    const [read, rest] = decodeVarint(concat(encodeVarint(value), Uint8Array.of(9, 8)));
    expect(read).toBe(value);
    expect([...rest]).toEqual([9, 8]);
  }
});

test("a truncated varint and bad hexadecimal are refused", () => {
  expect(() => decodeVarint(new Uint8Array(0))).toThrow();
  expect(() => decodeVarint(Uint8Array.of(0x80, 1))).toThrow();
  expect(() => fromHex("0")).toThrow();
  expect(() => fromHex("0g")).toThrow();
});
