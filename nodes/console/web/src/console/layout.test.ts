import { expect, test } from "vitest";
import type { Member, NodeView, Role, StatusView } from "@/shared/types";
import { layOut, NODE_HEIGHT, NODE_WIDTH } from "./layout";

const text = { zh: "", en: "" };
function node(id: number, name: string, centre: string, zone: "dmz" | "inner", roles: Role[]): NodeView {
  const voice = zone === "inner" ? "voter" : "none";
  const member: Member = { id, name, centre, zone, roles, voice, mesh: "", door: "", public_key: "" };
  return { member, up: true, leader: id === 1, matched: 1, heard_ms: 1 };
}
const nodes = [
  node(1, "a1-1", "a1", "inner", ["core", "relay"]),
  node(2, "a1-2", "a1", "inner", ["core", "recorder"]),
  node(3, "a2-1", "a2", "inner", ["core", "relay"]),
  node(4, "a2-2", "a2", "inner", ["core", "recorder"]),
  node(5, "b-1", "b", "inner", ["core"]),
  node(11, "edge-a1", "a1", "dmz", ["edge"]),
  node(12, "edge-a2", "a2", "dmz", ["edge"]),
];
const status = {
  cities: [{ id: "a", name: text }, { id: "b", name: text }],
  centres: [
    { id: "a1", city: "a", name: text },
    { id: "a2", city: "a", name: text },
    { id: "b", city: "b", name: text },
  ],
  nodes,
  leader: 1,
} as unknown as StatusView;

test("every node has its place and none lies on another", () => {
  const { nodes: placed, width, height } = layOut(status);
  expect(placed).toHaveLength(nodes.length);
  for (const [index, one] of placed.entries()) {
    expect(one.x).toBeGreaterThanOrEqual(0);
    expect(one.x + NODE_WIDTH).toBeLessThanOrEqual(width);
    expect(one.y + NODE_HEIGHT).toBeLessThanOrEqual(height);
    for (const other of placed.slice(index + 1)) {
      const apart = Math.abs(one.x - other.x) >= NODE_WIDTH || Math.abs(one.y - other.y) >= NODE_HEIGHT;
      expect(apart, `${one.view.member.name} and ${other.view.member.name}`).toBe(true);
    }
  }
});

test("links are drawn the way they are opened: never out of the DMZ", () => {
  const { links } = layOut(status);
  const names = (kind: string) => links.filter((link) => link.kind === kind).map(({ from, to }) => `${from}>${to}`);
  expect(names("tunnel")).toHaveLength(10);
  expect(names("media").sort()).toEqual(
    ["a2-1>a1-1", "a1-1>edge-a1", "a1-1>edge-a2", "a2-1>edge-a1", "a2-1>edge-a2"].sort(),
  );
  expect(names("record").sort()).toEqual(["a1-2>a1-1", "a1-2>a2-1", "a2-2>a1-1", "a2-2>a2-1"]);
  expect(names("raft")).toHaveLength(4);
  expect(links.some(({ from }) => from.startsWith("edge"))).toBe(false);
});

test("a cluster of one node in one centre is drawn as well", () => {
  const small = { ...status, nodes: nodes.slice(0, 1), centres: status.centres.slice(0, 1), cities: status.cities.slice(0, 1) };
  expect(layOut(small).nodes).toHaveLength(1);
});
