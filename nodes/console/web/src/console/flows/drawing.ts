// Which arrows are drawn: each pair of parties while they can be told apart, else one for each pair of zones, and
// those of the node that is looked at. Pure.

import type { StatusView } from "@/shared/types";
import { type Arrow, worse } from "./reading";

/** More arrows than this nobody can tell apart, and a browser draws them slowly. */
export const ARROWS_MAX = 150;
/** Parties that are no nodes, each with a place of its own. */
export const PARTIES_MAX = 4;
/** All the other ones together. */
export const OTHERS = "others";
/** Parties that every map has a place for. */
const KNOWN = ["customer", "staff"];

export interface Drawing {
  arrows: Arrow[];
  /** An arrow stands for all between two zones. */
  summed: boolean;
  /** Arrows of the chosen node that were left out: the least. */
  left: number;
  /** Who a party is in this drawing: a node, a zone of a centre (`a1/dmz`), a party. */
  place: (party: string) => string;
}

export function drawingOf(arrows: Arrow[], status: StatusView, chosen: string): Drawing {
  const zones = new Map(status.nodes.map(({ member }) => [member.name, `${member.centre}/${member.zone}`]));
  const strangers = new Set(arrows.flatMap(({ from, to }) => [from, to]).filter((party) => !zones.has(party)));
  const few = strangers.size <= PARTIES_MAX;
  const party = (name: string) => (zones.has(name) || few || KNOWN.includes(name) ? name : OTHERS);
  if (arrows.length <= ARROWS_MAX && few) return { arrows, summed: false, left: 0, place: (name) => name };
  // Of one node each arrow by itself, the worst and widest first.
  if (zones.has(chosen)) {
    const own = sum(arrows.filter(({ from, to }) => from === chosen || to === chosen), party).sort(byWeight);
    return { arrows: own.slice(0, ARROWS_MAX), summed: false, left: Math.max(0, own.length - ARROWS_MAX), place: party };
  }
  const place = (name: string) => zones.get(name) ?? party(name);
  const all = sum(arrows, place).sort(byWeight);
  return { arrows: all.slice(0, ARROWS_MAX), summed: true, left: Math.max(0, all.length - ARROWS_MAX), place };
}

/** One arrow for all whose ends have the same places. */
function sum(arrows: Arrow[], place: (party: string) => string): Arrow[] {
  const summed = new Map<string, Arrow>();
  for (const arrow of arrows) {
    const [from, to] = [place(arrow.from), place(arrow.to)];
    const id = `${from} → ${to}`;
    const known = summed.get(id);
    if (!known) {
      summed.set(id, { ...arrow, id, from, to });
      continue;
    }
    known.standing = worse(known.standing, arrow.standing);
    known.open += arrow.open;
    known.bytes += arrow.bytes;
    known.rate += arrow.rate;
    known.flows += arrow.flows;
  }
  return [...summed.values()];
}

function byWeight(one: Arrow, other: Arrow): number {
  if (one.standing !== other.standing) return worse(one.standing, other.standing) === one.standing ? -1 : 1;
  return other.rate - one.rate || other.bytes - one.bytes || one.id.localeCompare(other.id);
}
