import { expect, test } from "vitest";
import type { InventoryView, KeysView } from "@/shared/types";
import { byNode } from "./useSecurity";

const inventory = (nodes: string[], silent: string[], found: string[]): InventoryView => ({
  policy: "strict",
  at: 1,
  nodes: nodes.map((node) => ({
    node, zone: "inner", version: "", module: { zh: "", en: "" }, kernels: [], selftest: [1, 1], certificates: [], hops: [], stores: [],
  })),
  silent,
  findings: found.map((node) => ({ node, what: { zh: "", en: "" } })),
});
const keys = (nodes: string[], silent: string[]): KeysView => ({
  at: 1,
  nodes: nodes.map((node) => ({ node, zone: "inner", verified: true, why: null, rotation_unfinished: false, keys: [] })),
  silent,
});

test("a node of a release before, which knows one question only, is not called silent", () => {
  const nodes = byNode(inventory(["b-1", "a1-1"], ["edge-a1"], ["a1-1", "edge-a1"]), keys(["a1-1"], ["b-1", "edge-a1"]));
  expect(nodes.map(({ name, silent, findings }) => [name, silent, findings])).toEqual([
    ["a1-1", false, 1],
    ["b-1", false, 0],
    ["edge-a1", true, 1],
  ]);
  expect(nodes[1]?.keys).toBeUndefined();
  expect(nodes[2]?.zone).toBeUndefined();
});
