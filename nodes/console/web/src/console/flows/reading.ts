// From what nodes saw to arrows: who opened, how much goes each way, how the matrix has it. Pure.

import type { MapLayout } from "../layout";
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
  /** How many flows it stands for. */
  flows: number;
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
      const arrow = arrows.get(id) ?? { id, from, to, standing: "declared", open: 0, bytes: 0, rate: 0, flows: 0 };
      const earlier = known.get(keyOf(node, flow));
      const moved = earlier ? flow.sent + flow.received - earlier.sent - earlier.received : 0;
      arrow.standing = worse(arrow.standing, flow.standing);
      arrow.open += flow.open;
      arrow.bytes += flow.sent + flow.received;
      if (seconds > 0) arrow.rate += Math.max(0, moved) / seconds;
      if (stretch > 0) arrow.rate += (flow.sent + flow.received) / (stretch / 1_000);
      arrow.flows += 1;
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

export interface Place {
  x: number;
  y: number;
  /** Half of how high it is drawn. */
  half: number;
}

/** Places of nodes, zones of centres (`a1/dmz`) and parties on a map; looked up, for there may be many. */
export function placesOf(map: MapLayout, parties: string[]): (party: string) => Place {
  const places = new Map<string, Place>();
  for (const { view, x, y } of map.nodes) {
    places.set(view.member.name, { x: x + NODE_WIDTH / 2, y: y + NODE_HEIGHT / 2, half: NODE_HEIGHT / 2 });
  }
  for (const { id, x, width } of map.centres) {
    const half = (ROWS.dmzEnd - ROWS.dmz + 20) / 2;
    places.set(`${id}/dmz`, { x: x + width / 2, y: ROWS.dmzEnd - half, half });
    // Only its upper end is met: below it are the nodes.
    places.set(`${id}/inner`, { x: x + width / 2, y: ROWS.inner + 34 + NODE_HEIGHT / 2, half: NODE_HEIGHT / 2 + 12 });
  }
  const others = parties.filter((party) => !places.has(party) && party !== "customer" && party !== "staff");
  places.set("staff", { x: map.width / 2, y: map.height - 26, half: PARTY.height / 2 });
  places.set("customer", { x: map.width / 2, y: ROWS.outer - 14, half: PARTY.height / 2 });
  others.forEach((party, at) => {
    const x = map.width - PARTY.width - at * (PARTY.width + 14);
    places.set(party, { x, y: ROWS.outer - 14, half: PARTY.height / 2 });
  });
  const nowhere = { x: map.width - PARTY.width, y: ROWS.outer - 14, half: PARTY.height / 2 };
  return (party) => places.get(party) ?? nowhere;
}

/** A bow from one place to the edge of the other; both ways between two are told apart by their sides. */
export function pathOf(a: Place, b: Place): string {
  if (a === b) {
    const low = a.y + a.half;
    return `M${a.x - 26} ${low}C${a.x - 30} ${low + 34} ${a.x + 30} ${low + 34} ${a.x + 26} ${low + 3}`;
  }
  if (Math.abs(a.y - b.y) < NODE_HEIGHT / 2) {
    // Side by side: below the boxes, deeper the further apart, and the other way deeper still.
    const shift = a.x < b.x ? 12 : -12;
    const low = a.y + a.half + 16 + Math.abs(b.x - a.x) / 13 + (a.x < b.x ? 0 : 10);
    const [x1, x2, y] = [a.x + shift, b.x + shift, a.y + a.half];
    return `M${x1} ${y}C${x1} ${low} ${x2} ${low} ${x2} ${y + 3}`;
  }
  const down = Math.sign(b.y - a.y);
  const shift = down * 8;
  const [y1, y2] = [a.y + down * a.half, b.y - down * (b.half + 4)];
  const bend = (y2 - y1) * 0.5;
  return `M${a.x + shift} ${y1}C${a.x + shift} ${y1 + bend} ${b.x + shift} ${y2 - bend} ${b.x + shift} ${y2}`;
}
