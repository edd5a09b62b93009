// Cities, centres and the lines between them, as a picture: side by side on a wide screen, one below the other
// on a narrow one. Pure, so that it can be tested without a page.

import type { StatusView, Text } from "@/shared/types";
import type { Cut, LiveView, Voice } from "./types";

export const ROW = 46;
export const HEAD = 44;
const PAD = 18;
const CITY_HEAD = 40;

export interface Frame {
  id: string;
  name: Text;
  x: number;
  y: number;
  width: number;
  height: number;
}
export interface Row {
  name: string;
  edge: boolean;
  voice: Voice;
  /** Answered now; of an edge, that somebody is connected to it. */
  up: boolean;
  leads: boolean;
  quarantined: boolean;
  /** Kept from speaking by the drill that is running. */
  apart: boolean;
  behind?: { entries: number; ms: number };
  applied?: number;
  silentMs?: number;
}
export interface CentreFrame extends Frame {
  rows: Row[];
}
export type LinkState = "up" | "down" | "cut" | "unknown";
export interface Link {
  id: string;
  from: string;
  to: string;
  path: string;
  x: number;
  y: number;
  state: LinkState;
  /** Only what `from` sends is lost. */
  oneWay: boolean;
  /** Shortest measured round trip in microseconds. */
  rttUs?: number;
  /** How far the side that does not lead is behind. */
  behind?: { entries: number; ms: number };
}
export interface DrMap {
  width: number;
  height: number;
  cities: Frame[];
  centres: CentreFrame[];
  links: Link[];
}

const WIDE = { card: 250, gap: 132, cityGap: 150 };
const NARROW = { width: 360, gap: 62, cityGap: 62, side: 46 };

export function drawMap(status: StatusView, live: LiveView, narrow: boolean): DrMap {
  const cut = cutNow(live);
  const rowsOf = new Map(status.centres.map((centre) => [centre.id, rows(status, live, centre.id, cut)]));
  const most = Math.max(1, ...[...rowsOf.values()].map((own) => own.length));
  const cities: Frame[] = [];
  const centres: CentreFrame[] = [];
  let at = 0;
  for (const city of status.cities) {
    const own = status.centres.filter((centre) => centre.city === city.id);
    const begin = at;
    at += narrow ? CITY_HEAD : PAD;
    for (const [index, centre] of own.entries()) {
      if (index > 0) at += narrow ? NARROW.gap : WIDE.gap;
      const shown = rowsOf.get(centre.id) ?? [];
      const height = HEAD + (narrow ? shown.length : most) * ROW + 10;
      const place = narrow
        ? { x: PAD, y: at, width: NARROW.width - 2 * PAD - NARROW.side, height }
        : { x: at, y: CITY_HEAD + 6, width: WIDE.card, height };
      centres.push({ id: centre.id, name: centre.name, rows: shown, ...place });
      at += narrow ? height : WIDE.card;
    }
    at += PAD;
    const inner = HEAD + most * ROW + 10;
    cities.push(
      narrow
        ? { id: city.id, name: city.name, x: 0, y: begin, width: NARROW.width, height: at - begin }
        : { id: city.id, name: city.name, x: begin, y: 0, width: at - begin, height: CITY_HEAD + 6 + inner + PAD },
    );
    at += narrow ? NARROW.cityGap : WIDE.cityGap;
  }
  const end = Math.max(0, at - (narrow ? NARROW.cityGap : WIDE.cityGap));
  const links = linksOf(status, live, centres, narrow, cut);
  const arcs = links.some(({ id }) => !isNextTo(centres, id));
  return narrow
    ? { width: NARROW.width, height: end, cities, centres, links }
    : { width: end, height: (cities[0]?.height ?? 0) + (arcs ? 62 : 0), cities, centres, links };
}

/** What the drill that is running holds apart at this moment. */
export function cutNow({ run }: LiveView): Cut | undefined {
  if (!run || run.kind !== "real" || run.state.state !== "running") return undefined;
  const act = run.plan.steps[run.state.step]?.act;
  return act?.act === "isolate" ? act.cut : undefined;
}

function rows(status: StatusView, live: LiveView, centre: string, cut: Cut | undefined): Row[] {
  const behind = live.nodes.find(({ leads, node }) => leads && node === live.leader)?.behind ?? {};
  const own = status.nodes.filter(({ member }) => member.centre === centre);
  const sorted = [...own].sort((one, other) => one.member.id - other.member.id);
  return sorted.map(({ member, up, heard_ms }) => {
    const said = live.nodes.find(({ node }) => node === member.name);
    const edge = !member.roles.includes("core");
    return {
      name: member.name,
      edge,
      voice: member.voice,
      up: edge ? up : said !== undefined,
      leads: live.leader === member.name,
      quarantined: said?.quarantine !== undefined,
      apart: (cut?.cut === "node" && cut.node === member.name) || (cut?.cut === "centre" && cut.centre === centre),
      ...(behind[member.name] && { behind: behind[member.name] }),
      ...(said && { applied: said.applied }),
      ...(heard_ms !== null && { silentMs: heard_ms }),
    };
  });
}

function isNextTo(centres: Frame[], id: string): boolean {
  const [from, to] = id.split(" ");
  const place = (name: string | undefined) => centres.findIndex((centre) => centre.id === name);
  return Math.abs(place(from) - place(to)) === 1;
}

function linksOf(status: StatusView, live: LiveView, centres: CentreFrame[], narrow: boolean, cut: Cut | undefined): Link[] {
  const links: Link[] = [];
  for (const [index, from] of centres.entries()) {
    for (const [further, to] of centres.slice(index + 1).entries()) {
      const measured = line(status, live, from.id, to.id);
      const held = isCut(cut, from.id, to.id);
      const turned = held === "backward";
      const [one, other] = turned ? [to, from] : [from, to];
      links.push({
        id: `${from.id} ${to.id}`,
        from: one.id,
        to: other.id,
        ...(narrow ? pathDown(from, to, further) : pathAcross(from, to, further)),
        oneWay: held === "forward" || held === "backward",
        ...measured,
        state: held ? "cut" : measured.state,
      });
    }
  }
  return links;
}

function isCut(cut: Cut | undefined, from: string, to: string): false | "both" | "forward" | "backward" {
  if (cut?.cut === "centre") return cut.centre === from || cut.centre === to ? "both" : false;
  if (cut?.cut !== "link") return false;
  if (cut.from === from && cut.to === to) return cut.one_way ? "forward" : "both";
  if (cut.from === to && cut.to === from) return cut.one_way ? "backward" : "both";
  return false;
}

/** What is known of the line between two centres, whoever measured it. */
function line(status: StatusView, live: LiveView, from: string, to: string): Pick<Link, "state" | "rttUs" | "behind"> {
  const core = (centre: string) =>
    status.nodes.filter(({ member }) => member.centre === centre && member.roles.includes("core")).map(({ member }) => member.name);
  const sides = [core(from), core(to)] as const;
  const said = (names: string[]) => live.nodes.filter(({ node }) => names.includes(node));
  const [here, there] = [said(sides[0]), said(sides[1])];
  const trips = [
    ...here.flatMap((node) => sides[1].flatMap((name) => node.round_trips_us[name] ?? [])),
    ...there.flatMap((node) => sides[0].flatMap((name) => node.round_trips_us[name] ?? [])),
  ];
  if (here.length === 0 && there.length === 0) return { state: "unknown" };
  if (here.length === 0 || there.length === 0 || trips.length === 0) return { state: "down" };
  const lead = live.nodes.find(({ node }) => node === live.leader);
  const far = sides[0].includes(lead?.node ?? "") ? sides[1] : sides[1].includes(lead?.node ?? "") ? sides[0] : [];
  const lags = far.flatMap((name) => lead?.behind[name] ?? []);
  return {
    state: "up",
    rttUs: Math.min(...trips),
    ...(lags.length > 0 && { behind: { entries: Math.max(...lags.map((it) => it.entries)), ms: Math.max(...lags.map((it) => it.ms)) } }),
  };
}

/** Side by side: next to each other straight, over another one in an arc below. */
function pathAcross(from: Frame, to: Frame, between: number): { path: string; x: number; y: number } {
  const y = from.y + from.height / 2;
  if (between === 0) {
    const [x1, x2] = [from.x + from.width, to.x];
    return { path: `M${x1} ${y}H${x2}`, x: (x1 + x2) / 2, y };
  }
  const [x1, x2] = [from.x + from.width / 2, to.x + to.width / 2];
  const bottom = from.y + from.height;
  const low = bottom + 30 + 26 * between;
  const turn = 26;
  return {
    path: `M${x1} ${bottom}V${low - turn}Q${x1} ${low} ${x1 + turn} ${low}H${x2 - turn}Q${x2} ${low} ${x2} ${low - turn}V${bottom}`,
    x: (x1 + x2) / 2,
    y: low,
  };
}

/** One below the other: the same, with the arc on the right. */
function pathDown(from: Frame, to: Frame, between: number): { path: string; x: number; y: number } {
  if (between === 0) {
    const x = from.x + from.width / 2;
    const [y1, y2] = [from.y + from.height, to.y];
    return { path: `M${x} ${y1}V${y2}`, x, y: (y1 + y2) / 2 };
  }
  const [y1, y2] = [from.y + from.height / 2, to.y + to.height / 2];
  const right = from.x + from.width;
  const far = right + 12 + 20 * between;
  const turn = 16;
  return {
    path: `M${right} ${y1}H${far - turn}Q${far} ${y1} ${far} ${y1 + turn}V${y2 - turn}Q${far} ${y2} ${far - turn} ${y2}H${right}`,
    x: far,
    y: (y1 + y2) / 2,
  };
}

/** `1_640` as `1.6`, `30_120` as `30`: milliseconds as people say them. */
export function milliseconds(us: number): string {
  const ms = us / 1000;
  return ms < 10 ? ms.toFixed(1) : ms.toFixed(0);
}
