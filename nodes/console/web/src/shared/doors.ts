// Which door to go through: the list as the deployment tells it, what this page has seen for itself, and
// the order in which they are tried. Pure: time and chance are arguments.

import type { DoorEntry, DoorsView } from "./types";

/** Pages and API are asked at one door, media may go through another. */
export type Use = "pages" | "media";

/** How long a door that failed is tried only after the others, in milliseconds: the list knows by then. */
export const FAILED_MS = 6_000;

export class DoorBook {
  readonly #origin: string;
  #doors: DoorEntry[] = [];
  #home = "";
  #present: Record<Use, string> = { pages: "", media: "" };
  #failed: Record<Use, Map<string, number>> = { pages: new Map(), media: new Map() };

  /** `origin` is where the page was loaded from. */
  constructor(origin: string) {
    this.#origin = origin;
  }

  /** Takes the newest list; the first one says in which centre this page is at home. */
  take({ node, doors }: DoorsView): void {
    const own = doors.find(({ http }) => http === this.#origin) ?? doors.find((door) => door.node === node);
    this.#home ||= own?.centre ?? "";
    if (own && this.#mayAsk(own, doors)) this.#present.pages ||= own.node;
    if (own?.webtransport) this.#present.media ||= own.node;
    // An empty list is of a node that was just started: it knows less than the page.
    if (doors.length > 0) this.#doors = doors;
  }

  /** Notes that a door did not do its service: the page is not with it any more. */
  fail(node: string, use: Use, now: number): void {
    this.#failed[use].set(node, now + FAILED_MS);
    if (this.#present[use] === node) this.#present[use] = "";
  }

  /** Notes that a door does its service: the page stays with it. */
  serve(node: string, use: Use): void {
    this.#failed[use].delete(node);
    this.#present[use] = node;
  }

  /**
   * The doors for a use, best first: the one that serves now, for media else the one that serves pages; then those alive, of the page's own centre before
   * others, in an order of chance so that not all pages of a lost door run to the same one. Those that failed
   * come after the others, and what is said to be dead comes last: even that may be wrong.
   */
  order(use: Use, now: number, chance: () => number): DoorEntry[] {
    const usable = this.#doors.filter((door) => (use === "media" ? door.webtransport !== "" : this.#mayAsk(door, this.#doors)));
    return usable
      .map((door) => ({ door, rank: this.#rank(door, use, now), draw: chance() }))
      .sort((one, other) => one.rank - other.rank || one.draw - other.draw)
      .map(({ door }) => door);
  }

  /** Whether this page can ask a door for pages and API. */
  mayAsk(node: string): boolean {
    const door = this.#doors.find((one) => one.node === node);
    return door !== undefined && this.#mayAsk(door, this.#doors);
  }

  /** Whether a door was not seen to fail lately. */
  isGood(node: string, use: Use, now: number): boolean {
    return (this.#failed[use].get(node) ?? -Infinity) <= now;
  }

  #rank(door: DoorEntry, use: Use, now: number): number {
    const good = this.isGood(door.node, use, now);
    if (good && (this.#present[use] || this.#present.pages) === door.node) return -1;
    return (door.alive ? 0 : 4) + (good ? 0 : 2) + (door.centre === this.#home ? 0 : 1);
  }

  /** Doors answer pages of this deployment's doors only; behind a gateway the page asks where it came from. */
  #mayAsk(door: DoorEntry, doors: DoorEntry[]): boolean {
    return door.http === this.#origin || doors.some(({ http }) => http === this.#origin);
  }
}
