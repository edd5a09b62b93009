import { expect, test } from "vitest";
import { toHex } from "./bytes";
import { PageKey, wrapFor } from "./keys";

const MEDIA_KEY = "a1".repeat(32);

test("a page opens what was wrapped to it, and only that", () => {
  const mine = new PageKey();
  const wrapped = wrapFor(mine.publicKey, MEDIA_KEY);
  expect(wrapped).toMatch(/^04[0-9a-f]+$/);
  expect(wrapped.length).toBe(2 * (65 + 32 + 32));
  expect(toHex(mine.unwrap(wrapped))).toBe(MEDIA_KEY);
  expect(() => new PageKey().unwrap(wrapped)).toThrow();
  expect(() => mine.unwrap("")).toThrow();
});

test("the public key is an uncompressed point of 65 bytes, new for each page", () => {
  const keys = [new PageKey().publicKey, new PageKey().publicKey];
  for (const key of keys) expect(key).toMatch(/^04[0-9a-f]{128}$/);
  expect(keys[0]).not.toBe(keys[1]);
});
