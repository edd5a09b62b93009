// This page's way into the deployment: which doors serve it now, and who wants to know when one fails.

import { DoorBook, type Use } from "./doors";
import type { DoorEntry, DoorsView } from "./types";

/** A door that does not say how it is within this is not one to stay with, in milliseconds. */
const PROBE_MS = 700;
/** The list is asked for again when it did not come, in milliseconds. */
const LIST_RETRY_MS = 2_000;
/** A door that answered within this is there, in milliseconds. */
const FRESH_MS = 2_000;
/** The list as the page brought it (`nodes/api/src/pages.rs`). */
const BROUGHT = "doors";

/** Where pages are asked; without a list, or behind a gateway, where this page came from. */
export interface Door {
  node: string;
  http: string;
}

const HERE: Door = { node: "", http: "" };

type Listener = (node: string, use: Use) => void;

export class Way {
  readonly #book: DoorBook;
  readonly #listeners = new Set<Listener>();
  /** When a door answered last. */
  readonly #heard = new Map<string, number>();

  constructor(origin: string) {
    this.#book = new DoorBook(origin);
  }

  /**
   * Learns the doors once; afterwards the event streams tell. The page brings them, so that it can do without the
   * door it came from at once; only a node that was just started knew none yet.
   */
  async learn(): Promise<void> {
    const view = brought();
    if (view) this.take(view);
    if (view && view.doors.length > 0) return;
    for (;;) {
      try {
        const signal = AbortSignal.timeout(LIST_RETRY_MS);
        const response = await fetch("/api/v1/doors", { cache: "no-store", signal });
        const view = (response.ok ? await response.json() : undefined) as DoorsView | undefined;
        if (view) this.take(view);
        if (view && view.doors.length > 0) return;
      } catch {
        // The door is not there now; whoever needs it will see.
      }
      await new Promise((resolve) => setTimeout(resolve, LIST_RETRY_MS));
    }
  }

  take(view: DoorsView): void {
    this.#book.take(view);
  }

  /** Where to ask for pages and API now. */
  pages(): Door {
    return this.#book.order("pages", performance.now(), Math.random)[0] ?? HERE;
  }

  /** Whether there is another door for pages and API than this. */
  hasOther({ node }: Door): boolean {
    return this.#book.order("pages", performance.now(), Math.random).some((door) => door.node !== node);
  }

  /** Where to connect for media now; nothing as long as no list is known. */
  media(): DoorEntry | undefined {
    return this.#book.order("media", performance.now(), Math.random)[0];
  }

  /** A door does its service. */
  serve({ node }: Door, use: Use): void {
    this.#book.serve(node, use);
  }

  /** Whether a door was not seen to fail lately. */
  isGood({ node }: Door, use: Use): boolean {
    return this.#book.isGood(node, use, performance.now());
  }

  /** A door failed; answers whether there is another that did not. */
  fail({ node }: Door, use: Use): boolean {
    const now = performance.now();
    if (this.#book.isGood(node, use, now)) {
      this.#book.fail(node, use, now);
      for (const tell of [...this.#listeners]) tell(node, use);
    }
    const [next] = this.#book.order(use, now, Math.random);
    return next !== undefined && next.node !== node && this.#book.isGood(next.node, use, now);
  }

  /** A door answered, whatever it said. */
  hear({ node }: Door): void {
    this.#heard.set(node, performance.now());
  }

  /** Whether a door is there: it has just answered, or does so now. */
  async isThere(door: Door): Promise<boolean> {
    const at = this.#heard.get(door.node) ?? -Infinity;
    return performance.now() - at < FRESH_MS || (await this.probe(door));
  }

  /** Asks a door whether it lives; if not, it is left for everything. */
  async probe(door: Door): Promise<boolean> {
    // Behind a gateway the doors cannot be asked one by one; the connection has to notice for itself.
    if (door.http !== "" && !this.#book.mayAsk(door.node)) return true;
    try {
      const signal = AbortSignal.timeout(PROBE_MS);
      const { ok } = await fetch(`${door.http}/healthz`, { cache: "no-store", signal });
      if (ok) {
        this.hear(door);
        return true;
      }
    } catch {
      // No answer: below.
    }
    this.fail(door, "pages");
    this.fail(door, "media");
    return false;
  }

  /** Calls back when a door fails; answers how to stop. */
  onFail(listener: Listener): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }
}

function brought(): DoorsView | undefined {
  try {
    return JSON.parse(globalThis.document.getElementById(BROUGHT)?.textContent ?? "null") as DoorsView | undefined;
  } catch {
    // A page of another make: it asks.
    return undefined;
  }
}

export const way = new Way(globalThis.location?.origin ?? "");
