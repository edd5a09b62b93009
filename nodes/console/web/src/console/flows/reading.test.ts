import { expect, test } from "vitest";
import { arrowsOf, bytesText, widthOf } from "./reading";
import { flow, node, seen } from "./testing";

test("a flow that both ends saw is one arrow, from who opened, by the account of who opened", () => {
  const a = node("a1-1", [flow({ peer: "b-1", sent: 100, received: 50, open: 2 })]);
  const b = node("b-1", [flow({ way: "accepted", peer: "a1-1", sent: 48, received: 99 })]);
  expect(arrowsOf(seen([a, b]))).toMatchObject([{ from: "a1-1", to: "b-1", bytes: 150, open: 2, rate: 0, standing: "declared" }]);
  // Who does not answer is known by the other's account.
  expect(arrowsOf(seen([b]))).toMatchObject([{ from: "a1-1", to: "b-1", bytes: 147 }]);
});

test("rates come from two looks, and a node that started again has none yet", () => {
  const before = seen([node("a1-1", [flow({ peer: "b-1", sent: 1_000 })])], 10_000);
  const after = (uid: string) => seen([node("a1-1", [flow({ uid, peer: "b-1", sent: 6_000 })])], 12_000);
  expect(arrowsOf(after("01"), before)[0]?.rate).toBe(2_500);
  expect(arrowsOf(after("02"), before)[0]?.rate).toBe(0);
});

test("an arrow has the colour of the worst in it, and refusals are shown though only one end knows", () => {
  const a = node("a1-1", [flow({ peer: "b-1" }), flow({ uid: "02", peer: "b-1", standing: "undeclared" })]);
  const b = node("b-1", [flow({ way: "accepted", peer: "edge-a1", standing: "refused" })]);
  const edge = node("edge-a1", []);
  expect(arrowsOf(seen([a, b, edge])).map(({ id, standing }) => [id, standing])).toEqual([
    ["a1-1 → b-1", "undeclared"],
    ["edge-a1 → b-1", "refused"],
  ]);
});

test("numbers are short and widths grow slowly", () => {
  expect([0, 999, 1_000, 12_340, 999_600, 3_000_000_000].map(bytesText)).toEqual(["0 B", "999 B", "1.0 kB", "12.3 kB", "1.0 MB", "3.0 GB"]);
  expect(widthOf(0)).toBeLessThan(widthOf(1_000));
  expect(widthOf(1e9)).toBeLessThan(9);
});
