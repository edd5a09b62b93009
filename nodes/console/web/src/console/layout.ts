// Where things stand on the map, and which links there are. Pure, so that it can be tested without a page.

import type { NodeView, StatusView } from "@/shared/types";

export const NODE_WIDTH = 168;
export const NODE_HEIGHT = 92;
const GAP = 22;
const CENTRE_PAD = 20;
const CITY_PAD = 18;
const CITY_GAP = 26;
const CENTRE_GAP = 18;

/** Rows of the map, from the outside in. */
export const ROWS = { outer: 34, city: 78, centre: 112, dmz: 150, dmzEnd: 276, inner: 336, bottom: 0 };

export interface PlacedNode {
  view: NodeView;
  x: number;
  y: number;
}
export interface PlacedCentre {
  id: string;
  name: { zh: string; en: string };
  x: number;
  width: number;
  hasDmz: boolean;
}
export interface PlacedCity {
  id: string;
  name: { zh: string; en: string };
  x: number;
  width: number;
}
export type LinkKind = "tunnel" | "media" | "record" | "raft";
export interface PlacedLink {
  id: string;
  kind: LinkKind;
  from: string;
  to: string;
  path: string;
  up: boolean;
}
export interface MapLayout {
  width: number;
  height: number;
  cities: PlacedCity[];
  centres: PlacedCentre[];
  nodes: PlacedNode[];
  links: PlacedLink[];
}

export function layOut(status: StatusView): MapLayout {
  const cities: PlacedCity[] = [];
  const centres: PlacedCentre[] = [];
  const nodes: PlacedNode[] = [];
  let x = 0;
  let bottom = 0;
  for (const city of status.cities) {
    const cityX = x;
    x += CITY_PAD;
    for (const centre of status.centres.filter((one) => one.city === city.id)) {
      const own = status.nodes.filter(({ member }) => member.centre === centre.id);
      const dmz = own.filter(({ member }) => member.zone === "dmz");
      const inner = own.filter(({ member }) => member.zone !== "dmz").sort((a, b) => a.member.id - b.member.id);
      const columns = Math.max(1, Math.min(2, Math.max(dmz.length, inner.length)));
      const width = CENTRE_PAD * 2 + columns * NODE_WIDTH + (columns - 1) * GAP;
      nodes.push(...placeRow(dmz, x, width, columns, ROWS.dmz + 16));
      nodes.push(...placeRow(inner, x, width, columns, ROWS.inner + 34));
      centres.push({ id: centre.id, name: centre.name, x, width, hasDmz: dmz.length > 0 });
      x += width + CENTRE_GAP;
    }
    x += CITY_PAD - CENTRE_GAP;
    cities.push({ id: city.id, name: city.name, x: cityX, width: x - cityX });
    x += CITY_GAP;
  }
  for (const node of nodes) bottom = Math.max(bottom, node.y + NODE_HEIGHT);
  return {
    width: Math.max(0, x - CITY_GAP),
    height: bottom + 104,
    cities,
    centres,
    nodes,
    links: linksOf(nodes, status.leader),
  };
}

function placeRow(row: NodeView[], x: number, width: number, columns: number, y: number): PlacedNode[] {
  return row.map((view, index) => {
    const line = Math.floor(index / columns);
    const inLine = Math.min(columns, row.length - line * columns);
    const lineWidth = inLine * NODE_WIDTH + (inLine - 1) * GAP;
    const left = x + (width - lineWidth) / 2 + (index % columns) * (NODE_WIDTH + GAP);
    return { view, x: left, y: y + line * (NODE_HEIGHT + GAP) };
  });
}

/** The rule of the cluster: the inner side dials, and of two inner relays the one with the lower id. */
export function linksOf(nodes: PlacedNode[], leader: number | null): PlacedLink[] {
  const has = (node: PlacedNode, role: string) => node.view.member.roles.some((one) => one === role);
  const inner = nodes.filter(({ view }) => view.member.zone === "inner");
  const edges = nodes.filter((node) => has(node, "edge"));
  const relays = inner.filter((node) => has(node, "relay"));
  const links: PlacedLink[] = [];
  const add = (kind: LinkKind, from: PlacedNode, to: PlacedNode) => {
    const names = [from.view.member.name, to.view.member.name] as const;
    const up = from.view.up && to.view.up;
    links.push({ id: `${kind} ${names[0]} ${names[1]}`, kind, from: names[0], to: names[1], path: pathOf(kind, from, to), up });
  };
  for (const edge of edges) {
    for (const core of inner.filter((node) => has(node, "core"))) add("tunnel", core, edge);
    for (const relay of relays) add("media", relay, edge);
  }
  for (const relay of relays) {
    for (const other of relays) if (relay.view.member.id > other.view.member.id) add("media", relay, other);
    for (const recorder of inner.filter((node) => has(node, "recorder"))) add("record", recorder, relay);
  }
  const head = inner.find(({ view }) => view.member.id === leader);
  const followers = inner.filter(({ view }) => view.member.voice !== "none" && view.member.id !== leader);
  if (head) for (const follower of followers) add("raft", head, follower);
  return links;
}

function pathOf(kind: LinkKind, from: PlacedNode, to: PlacedNode): string {
  const middle = (node: PlacedNode) => node.x + NODE_WIDTH / 2;
  if (to.view.member.zone === "dmz") {
    // Up out of the inner zone; media and control side by side.
    const shift = kind === "media" ? 14 : -14;
    const lean = Math.sign(middle(from) - middle(to)) * Math.min(40, Math.abs(middle(from) - middle(to)) / 9);
    const [x1, y1, x2, y2] = [middle(from) + shift, from.y, middle(to) + lean + shift / 2, to.y + NODE_HEIGHT + 5];
    const bend = (y1 - y2) * 0.55;
    return `M${x1} ${y1}C${x1} ${y1 - bend} ${x2} ${y2 + bend} ${x2} ${y2}`;
  }
  // Inside: raft below the nodes, media and recording lower down or across the gap.
  const depth = { raft: 30, media: 52, record: 16, tunnel: 0 }[kind];
  const shift = { raft: 0, media: 26, record: -30, tunnel: 0 }[kind];
  const [x1, x2] = [middle(from) + shift, middle(to) + shift + Math.sign(middle(from) - middle(to)) * 10];
  const [y1, y2] = [from.y + NODE_HEIGHT, to.y + NODE_HEIGHT + 4];
  const low = Math.max(y1, y2) + depth + Math.abs(x2 - x1) / 34;
  return `M${x1} ${y1}C${x1} ${low} ${x1} ${low} ${(x1 + x2) / 2} ${low}S${x2} ${low} ${x2} ${y2}`;
}
