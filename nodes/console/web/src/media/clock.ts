// Timestamps of one broadcast. Camera and microphone count from different zeros; both are laid on the page's
// monotonic clock so that sound and picture of a recording stay together.

/** A source that drifts further than this from the page's clock is anchored anew, in microseconds. */
const DRIFT_MAX = 200_000;

export class TrackClock {
  #offset: number | undefined;
  #last = -1;

  /** Microseconds since the start of the broadcast; never twice the same, never backwards. */
  stamp(sourceMicros: number, nowMicros: number): number {
    if (this.#offset === undefined || Math.abs(sourceMicros + this.#offset - nowMicros) > DRIFT_MAX) {
      this.#offset = nowMicros - sourceMicros;
    }
    this.#last = Math.max(this.#last + 1, Math.round(sourceMicros + this.#offset));
    return this.#last;
  }
}
