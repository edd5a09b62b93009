// When to show a decoded picture. Pictures leave the sender evenly and arrive unevenly; each is held until a
// fixed time after the earliest it could have come, so that motion is even again.

/** Held time in milliseconds: what a good line's unevenness needs, near what the audio buffer holds. */
const HOLD_MS = 70;
/** A picture later than this means the line changed, not that it was uneven. */
const RESET_MS = 1_000;
/** How fast the estimate follows a sender whose clock runs slower, per picture. */
const CREEP_MS = 0.5;

export class Pacer {
  #base: number | undefined;

  /** `stamp` and `now` in milliseconds of their own clocks; answers when to show, by the clock of `now`. */
  due(stamp: number, now: number): number {
    const offset = now - stamp;
    if (this.#base === undefined || Math.abs(offset - this.#base) > RESET_MS) this.#base = offset;
    else this.#base = Math.min(offset, this.#base + CREEP_MS);
    return this.#base + stamp + HOLD_MS;
  }

  reset(): void {
    this.#base = undefined;
  }
}
