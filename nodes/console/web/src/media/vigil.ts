// Whether the other party's picture still comes, and what to do when it does not. Pure: the time is an argument.

/** No picture for this long although one should come: is the door there? A second look every so often. */
export const PROBE_AFTER_MS = 700;
export const PROBE_EVERY_MS = 1_000;
/** … and it is shown to the user. */
export const STALL_MS = 1_500;
/** … and the connection is made anew, each time after twice the wait: the fault may be on the other side. */
export const RENEW_FIRST_MS = 5_000;
export const RENEW_MAX_MS = 120_000;

/** What is known at a moment. */
export interface Sight {
  /** The other party publishes. */
  present: boolean;
  /** The connection stands. */
  connected: boolean;
  /** When the last picture came; 0 before the first. */
  receivedAt: number;
}

/** What follows from it. */
export interface Verdict {
  peer: "absent" | "starting" | "playing" | "stalled";
  /** Ask the door whether it lives. */
  probe: boolean;
  /** Make the connection anew. */
  renew: boolean;
}

export class Vigil {
  #since: number;
  #renewAfter = RENEW_FIRST_MS;
  #probedAt = -Infinity;

  constructor(now: number) {
    this.#since = now;
  }

  /** The wait begins anew: the other party has just begun to publish, or this page to receive. */
  begin(now: number): void {
    this.#since = now;
  }

  look(now: number, { present, connected, receivedAt }: Sight): Verdict {
    if (!present) return { peer: "absent", probe: false, renew: false };
    const played = receivedAt > this.#since;
    const silent = now - Math.max(receivedAt, this.#since);
    const peer = !played ? "starting" : silent > STALL_MS ? "stalled" : "playing";
    if (peer === "playing") this.#renewAfter = RENEW_FIRST_MS;
    const probe = connected && silent > PROBE_AFTER_MS && now - this.#probedAt >= PROBE_EVERY_MS;
    if (probe) this.#probedAt = now;
    const renew = connected && silent > this.#renewAfter;
    if (renew) {
      this.#renewAfter = Math.min(this.#renewAfter * 2, RENEW_MAX_MS);
      this.#since = now;
    }
    return { peer, probe, renew };
  }
}
