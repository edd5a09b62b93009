// From what nodes saw to arrows: who opened, how much goes each way, how the matrix has it. Pure.

import type { MapLayout, PlacedNode } from "../layout";
import { NODE_HEIGHT, NODE_WIDTH, ROWS } from "../layout";
import type { FlowsSeen, NodeFlows, SeenFlow, Standing } from "./types";

/** The worse one decides the colour of an arrow. */
const WORSE: Standing[] = ["declared", "run-out", "refused", "undeclared"];

export interface Arrow {
  id: string;
  /** Who opened: a node, or a party that is none. */
  from: string;
  to: string;
  standing: Standing;
  /** Connections open now. */
  open: number;
  /** Bytes both ways since the node started. */
  bytes: number;
  /** Bytes a second both ways; 0 until there was a look before. */
  rate: number;
  flows: SeenFlow[];
}

/** Each pair of parties once: by the account of who opened, or of the other where that one gave none. Of a stretch of
 * time, so many milliseconds long, the rate is its mean. */
export function arrowsOf(seen: FlowsSeen, before?: FlowsSeen, stretch = 0): Arrow[] {
  const answered = new Set(seen.nodes.map(({ node }) => node));
  const known = new Map(before?.nodes.flatMap((node) => node.flows.map((flow) => [keyOf(node, flow), flow] as const)));
  const seconds = before ? (seen.at - before.at) / 1_000 : 0;
  const arrows = new Map<string, Arrow>();
  for (const node of seen.nodes) {
    for (const flow of node.flows) {
      const [from, to] = flow.way === "opened" ? [node.node, flow.peer] : [flow.peer, node.node];
      // Refusals are known to whoever refused alone.
      if (flow.way === "accepted" && answered.has(flow.peer) && flow.standing !== "refused") continue;
      const id = `${from} → ${to}`;
      const arrow = arrows.get(id) ?? { id, from, to, standing: "declared", open: 0, bytes: 0, rate: 0, flows: [] };
      const earlier = known.get(keyOf(node, flow));
      const moved = earlier ? flow.sent + flow.received - earlier.sent - earlier.received : 0;
      arrow.standing = worse(arrow.standing, flow.standing);
      arrow.open += flow.open;
      arrow.bytes += flow.sent + flow.received;
      if (seconds > 0) arrow.rate += Math.max(0, moved) / seconds;
      if (stretch > 0) arrow.rate += (flow.sent + flow.received) / (stretch / 1_000);
      arrow.flows.push(flow);
      arrows.set(id, arrow);
    }
  }
  return [...arrows.values()].sort((a, b) => a.id.localeCompare(b.id));
}

const keyOf = (node: NodeFlows, flow: SeenFlow) => `${node.node} ${flow.uid} ${flow.standing}`;
export const worse = (a: Standing, b: Standing) => (WORSE.indexOf(a) < WORSE.indexOf(b) ? b : a);

/** Width of an arrow in units of the map: a line when nothing moves, ten times as much is a little wider. */
export const widthOf = (rate: number) => 1.1 + Math.log10(1 + rate) * 0.75;

export function bytesText(count: number): string {
  const units = ["B", "kB", "MB", "GB", "TB"];
  let value = count;
  let unit = 0;
  while (value >= 999.5 && unit < units.length - 1) {
    value /= 1_000;
    unit++;
  }
  return `${unit === 0 || value >= 99.95 ? Math.round(value) : value.toFixed(1)} ${units[unit]}`;
}

/** Where parties that are no nodes stand: customers above, staff below; whoever showed no name, above too. */
export const PARTY = { width: 120, height: 30 };
export function placeOf(map: MapLayout, party: string): { x: number; y: number; node?: PlacedNode } {
  const node = map.nodes.find(({ view }) => view.member.name === party);
  if (node) return { x: node.x + NODE_WIDTH / 2, y: node.y + NODE_HEIGHT / 2, node };
  if (party === "staff") return { x: map.width / 2, y: map.height - 26 };
  return { x: party === "customer" ? map.width / 2 : map.width - PARTY.width, y: ROWS.outer - 14 };
}

/** A bow from one party to the edge of the other's box; both ways between two are told apart by their sides. */
export function pathOf(map: MapLayout, from: string, to: string): string {
  const a = placeOf(map, from);
  const b = placeOf(map, to);
  const half = (place: { node?: PlacedNode }) => (place.node ? NODE_HEIGHT : PARTY.height) / 2;
  if (Math.abs(a.y - b.y) < NODE_HEIGHT / 2) {
    // Side by side: below the boxes, deeper the further apart, and the other way deeper still.
    const shift = a.x < b.x ? 12 : -12;
    const low = a.y + half(a) + 16 + Math.abs(b.x - a.x) / 13 + (a.x < b.x ? 0 : 10);
    const [x1, x2, y] = [a.x + shift, b.x + shift, a.y + half(a)];
    return `M${x1} ${y}C${x1} ${low} ${x2} ${low} ${x2} ${y + 3}`;
  }
  const down = Math.sign(b.y - a.y);
  const shift = down * 8;
  const [y1, y2] = [a.y + down * half(a), b.y - down * (half(b) + 4)];
  const bend = (y2 - y1) * 0.5;
  return `M${a.x + shift} ${y1}C${a.x + shift} ${y1 + bend} ${b.x + shift} ${y2 - bend} ${b.x + shift} ${y2}`;
}
