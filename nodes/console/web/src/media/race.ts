// Which transport gets a head start at which door. QUIC does, as long as it is not known to be blocked on the way there:
// a network that drops UDP says nothing, it is only silent. Where WebSocket won, both begin together the next time, so
// that nobody waits for what will not come, and QUIC can win again; after a while it has its head start back.

/** Head start of WebTransport over WebSocket, in milliseconds. */
export const HEAD_START_MS = 500;
/** How long it is remembered that WebSocket won: networks change, and so do their rules. */
export const REMEMBERED_MS = 3_600_000;
/** Doors that are remembered; the oldest are forgotten. */
export const DOORS_MAX = 32;
const KEY = "guitai.websocket-won";

/** The part of `localStorage` that is needed. */
export type Memory = Pick<Storage, "getItem" | "setItem">;

export class Race {
  readonly #memory: Memory | undefined;
  #won: Map<string, number>;

  /** Without memory it is forgotten with the page. */
  constructor(memory: Memory | undefined) {
    this.#memory = memory;
    this.#won = read(memory);
  }

  /** Milliseconds that WebSocket waits for WebTransport at a door; `now` in milliseconds since 1970. */
  headStart(door: string, now: number): number {
    const at = this.#won.get(door);
    // A clock that was set back must not make it last for ever.
    const fresh = at !== undefined && at <= now && now - at < REMEMBERED_MS;
    return fresh ? 0 : HEAD_START_MS;
  }

  /** Notes which transport carried. */
  won(door: string, websocket: boolean, now: number): void {
    const known = this.#won.delete(door);
    if (!websocket && !known) return;
    if (websocket) this.#won.set(door, now);
    this.#won = new Map([...this.#won].slice(-DOORS_MAX));
    try {
      this.#memory?.setItem(KEY, JSON.stringify([...this.#won]));
    } catch {
      // A browser that keeps nothing: it is forgotten with the page.
    }
  }
}

function read(memory: Memory | undefined): Map<string, number> {
  try {
    const kept: unknown = JSON.parse(memory?.getItem(KEY) ?? "[]");
    const is = (one: unknown): one is [string, number] =>
      Array.isArray(one) && typeof one[0] === "string" && typeof one[1] === "number";
    return new Map(Array.isArray(kept) ? kept.filter(is).slice(-DOORS_MAX) : []);
  } catch {
    return new Map();
  }
}
