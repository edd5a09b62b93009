// The table under the map: every flow a row, found by words and by how the matrix has it, a page at a time. Pure.

import { worse } from "./reading";
import type { FlowsSeen, SeenFlow, Standing } from "./types";

/** Rows drawn at once. */
export const PAGE_ROWS = 50;

export interface Row extends SeenFlow {
  node: string;
  from: string;
  to: string;
}

export interface Wanted {
  /** Words, all of which a row must have. */
  words: string;
  /** One standing; `trouble` is whatever is refused or undeclared; all without. */
  standing: Standing | "trouble" | "";
  /** A node, a party, or an arrow between two places; all without. */
  chosen: string;
  /** Where a party is on the map. */
  place: (party: string) => string;
}

export function rowsOf(seen: FlowsSeen | undefined): Row[] {
  const rows: Row[] = [];
  for (const { node, flows } of seen?.nodes ?? []) {
    for (const flow of flows) {
      const [from, to] = flow.way === "opened" ? [node, flow.peer] : [flow.peer, node];
      rows.push({ ...flow, node, from, to });
    }
  }
  return rows;
}

/** What is wanted of them, the worst first, as they were else. */
export function wantedOf(rows: Row[], { words, standing, chosen, place }: Wanted): Row[] {
  const needles = words.toLowerCase().split(/\s+/).filter(Boolean);
  const is = (row: Row) => {
    if (standing === "trouble" && row.standing !== "refused" && row.standing !== "undeclared") return false;
    if (standing !== "" && standing !== "trouble" && row.standing !== standing) return false;
    if (needles.length > 0) {
      const text = textOf(row);
      if (needles.some((needle) => !text.includes(needle))) return false;
    }
    return chosen === "" || isOf(row, chosen, place);
  };
  return rows.filter(is).sort((one, other) => weight(other.standing) - weight(one.standing));
}

/** What words are looked for in. */
const textOf = ({ node, from, to, protocol, rows, why }: Row) => `${node} ${from} → ${to} ${protocol} ${rows.join(" ")} ${why ?? ""}`.toLowerCase();

function isOf(row: Row, chosen: string, place: (party: string) => string): boolean {
  if (row.node === chosen || row.from === chosen || row.to === chosen) return true;
  const [from, to] = [place(row.from), place(row.to)];
  return from === chosen || to === chosen || `${from} → ${to}` === chosen || `${row.from} → ${row.to}` === chosen;
}

const ORDER: Standing[] = ["declared", "run-out", "refused", "undeclared"];
const weight = (standing: Standing) => ORDER.indexOf(worse("declared", standing));
