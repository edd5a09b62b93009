// Timestamps of one broadcast. Camera and microphone count from different zeros and at different speeds; both are laid
// on the page's monotonic clock so that sound and picture of a recording stay together, however long the call.

/** A source this far from where it was expected has stopped or jumped, in microseconds… */
const JUMP_MIN = 200_000;
/** … if it stays there for this long: what is late comes after all. */
const SETTLE = 500_000;
/** The least delay is looked for over this long: whatever is delivered late is no sign of a slow clock. */
const WINDOW = 10_000_000;
/** Microseconds that a source may be moved in each: five times the worst crystal. */
const SLEW = 0.001;
/** … and at first, when all that is known is one frame that may have been late. */
const SLEW_FIRST = 0.05;
const FIRST = 5_000_000;

export class TrackClock {
  #last = -1;
  /** The source's time of the last stamp: one that goes back is another source. */
  #source = -Infinity;
  /** What is added to the source's time, and what it is moving to. */
  #offset: number | undefined;
  #target = 0;
  #began = 0;
  #before = 0;
  #window = { since: 0, least: Infinity };
  #astray: { since: number; least: number } | undefined;

  /** Microseconds since the start of the broadcast; never twice the same, never backwards. */
  stamp(sourceMicros: number, nowMicros: number): number {
    const delay = nowMicros - sourceMicros;
    const again = sourceMicros < this.#source - JUMP_MIN;
    this.#source = sourceMicros;
    const offset = again ? this.#begin(delay, nowMicros) : this.#follow(delay, nowMicros);
    this.#last = Math.max(this.#last + 1, Math.round(sourceMicros + offset));
    return this.#last;
  }

  /** The offset by what is delivered now, `delay` after the source's zero. */
  #follow(delay: number, now: number): number {
    const offset = this.#offset;
    // Delivered before it could have been: the source jumped ahead.
    if (offset === undefined || delay < offset - JUMP_MIN) return this.#begin(delay, now);
    if (delay > offset + JUMP_MIN) {
      this.#astray ??= { since: now, least: delay };
      this.#astray.least = Math.min(this.#astray.least, delay);
      if (now - this.#astray.since > SETTLE) return this.#begin(this.#astray.least, now);
    } else this.#astray = undefined;

    this.#window.least = Math.min(this.#window.least, delay);
    this.#target = Math.min(this.#target, delay);
    if (now - this.#window.since >= WINDOW) {
      this.#target = this.#window.least;
      this.#window = { since: now, least: Infinity };
    }
    const most = (now - this.#began < FIRST ? SLEW_FIRST : SLEW) * Math.max(0, now - this.#before);
    this.#before = now;
    this.#offset = offset + Math.min(Math.max(this.#target - offset, -most), most);
    return this.#offset;
  }

  #begin(offset: number, now: number): number {
    this.#offset = this.#target = offset;
    this.#began = this.#before = now;
    this.#window = { since: now, least: offset };
    this.#astray = undefined;
    return offset;
  }
}
