import { expect, test } from "vitest";
import { DoorBook, FAILED_MS, type Use } from "./doors";
import type { DoorEntry } from "./types";

const door = (node: string, centre: string, alive = true, media = true): DoorEntry => ({
  node,
  centre,
  http: `http://${node}:4443`,
  webtransport: media ? `https://${node}:4443` : "",
  websocket: media ? `ws://${node}:4443` : "",
  certificate_hashes: [],
  alive,
});
const ALL = [door("e1", "a1"), door("e2", "a2"), door("e3", "a1"), door("e4", "b")];

function book(doors = ALL, origin = "http://e1:4443"): DoorBook {
  const made = new DoorBook(origin);
  made.take({ node: "e1", doors });
  return made;
}
const names = (made: DoorBook, use: Use = "pages", now = 0, draws: number[] = []) =>
  made.order(use, now, () => draws.shift() ?? 0).map(({ node }) => node);

test("the door that serves is kept, then those of the own centre, then the others by chance", () => {
  const made = book();
  made.serve("e1", "pages");
  expect(names(made, "pages", 0, [0.5, 0.9, 0.5, 0.1])).toEqual(["e1", "e3", "e4", "e2"]);
  expect(names(made, "pages", 0, [0.5, 0.1, 0.5, 0.9])).toEqual(["e1", "e3", "e2", "e4"]);
});

test("a door that failed comes after the others until it has had time to recover", () => {
  const made = book();
  made.serve("e1", "pages");
  made.fail("e1", "pages", 1_000);
  expect(names(made, "pages", 1_000)[0]).toBe("e3");
  expect(names(made, "pages", 1_000).at(-1)).toBe("e1");
  expect(names(made, "media", 1_000)).toContain("e1");
  expect(made.isGood("e1", "media", 1_000)).toBe(true);
  made.serve("e3", "pages");
  expect(names(made, "pages", 1_000 + FAILED_MS)[0]).toBe("e3");
  expect(made.isGood("e1", "pages", 1_000 + FAILED_MS)).toBe(true);
});

test("what is said to be dead is tried last, and only then", () => {
  const made = book([door("e1", "a1"), door("e2", "a2", false), door("e4", "b")]);
  made.fail("e1", "pages", 0);
  expect(names(made)).toEqual(["e4", "e1", "e2"]);
  // The door that serves is not left because somebody else cannot see it.
  made.take({ node: "e4", doors: [door("e1", "a1", false), door("e2", "a2")] });
  made.serve("e1", "pages");
  expect(names(made)[0]).toBe("e1");
});

test("a door that has been left is not gone back to when it is there again", () => {
  const made = book();
  made.serve("e1", "media");
  made.fail("e1", "media", 0);
  made.serve("e2", "media");
  expect(names(made, "media", 10 * FAILED_MS)[0]).toBe("e2");
});

test("media goes where the page went, before any media has", () => {
  const made = book();
  made.fail("e1", "pages", 0);
  made.fail("e1", "media", 0);
  made.serve("e4", "pages");
  // Long after, the first one may be tried again; it is not the one the page is with.
  expect(names(made, "media", 10 * FAILED_MS)[0]).toBe("e4");
});

test("media goes only where it is relayed, and home stays where the page was loaded", () => {
  const inner = [door("n1", "a1", true, false), door("n2", "a2"), door("n3", "a1")];
  const made = book(inner, "http://n1:4443");
  expect(names(made, "media")).toEqual(["n3", "n2"]);
  made.take({ node: "n2", doors: inner });
  expect(names(made, "media")).toEqual(["n3", "n2"]);
});

test("an empty list teaches nothing", () => {
  const made = book();
  made.take({ node: "e2", doors: [] });
  expect(names(made)).toHaveLength(ALL.length);
});

test("behind a gateway pages are asked where they came from, media goes through the doors", () => {
  const made = book(ALL, "https://counter.bank.example");
  expect(names(made, "pages")).toEqual([]);
  expect(names(made, "media")).toHaveLength(ALL.length);
});
