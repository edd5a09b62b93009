import { expect, test } from "vitest";
import { DOORS_MAX, HEAD_START_MS, Race, REMEMBERED_MS } from "./race";

function memory() {
  const kept = new Map<string, string>();
  return { getItem: (key: string) => kept.get(key) ?? null, setItem: (key: string, value: string) => void kept.set(key, value) };
}

test("where WebSocket won both begin together, until QUIC wins or an hour has passed", () => {
  const race = new Race(memory());
  expect(race.headStart("ws://a", 1_000)).toBe(HEAD_START_MS);
  race.won("ws://a", true, 1_000);
  expect(race.headStart("ws://a", 2_000)).toBe(0);
  expect(race.headStart("ws://b", 2_000)).toBe(HEAD_START_MS);
  race.won("ws://a", false, 3_000);
  expect(race.headStart("ws://a", 4_000)).toBe(HEAD_START_MS);
  race.won("ws://a", true, 5_000);
  expect(race.headStart("ws://a", 5_000 + REMEMBERED_MS)).toBe(HEAD_START_MS);
  expect(race.headStart("ws://a", 4_000)).toBe(HEAD_START_MS);
});

test("a page that is loaded again remembers, and so many doors at most", () => {
  const kept = memory();
  for (let door = 0; door <= DOORS_MAX; door++) new Race(kept).won(`ws://${door}`, true, 1_000);
  const race = new Race(kept);
  expect(race.headStart("ws://0", 1_001)).toBe(HEAD_START_MS);
  expect(race.headStart("ws://1", 1_001)).toBe(0);
  expect(race.headStart(`ws://${DOORS_MAX}`, 1_001)).toBe(0);
});

test("a browser that keeps nothing, or kept nonsense, is no reason to fail", () => {
  const broken = {
    getItem: () => "{1",
    setItem: () => {
      throw new Error("full");
    },
  };
  const race = new Race(broken);
  race.won("ws://a", true, 1_000);
  expect(race.headStart("ws://a", 1_001)).toBe(0);
  expect(new Race({ ...broken, getItem: () => '[["ws://a",1000],7,["x"]]' }).headStart("ws://a", 1_001)).toBe(0);
  expect(new Race(undefined).headStart("ws://a", 1)).toBe(HEAD_START_MS);
});
