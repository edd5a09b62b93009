// The buffer between a network that delivers in bursts and a loudspeaker that must never wait. Runs inside the
// audio worklet; holds one channel of samples.

export class JitterBuffer {
  #samples: Float32Array;
  #start = 0;
  #length = 0;
  #target: number;
  #ceiling: number;
  #filling = true;

  /** `target` samples are gathered before the first is played; above `ceiling` the oldest are dropped. */
  constructor(target: number, ceiling: number) {
    this.#target = target;
    this.#ceiling = ceiling;
    this.#samples = new Float32Array(ceiling * 2);
  }

  get length(): number {
    return this.#length;
  }

  write(samples: Float32Array): void {
    for (const sample of samples) {
      if (this.#length === this.#samples.length) this.#drop(1);
      this.#samples[(this.#start + this.#length) % this.#samples.length] = sample;
      this.#length++;
    }
    // Too late to matter: catch up with the speaker at once rather than lag for the rest of the call.
    if (this.#length > this.#ceiling) this.#drop(this.#length - this.#target);
  }

  /** Fills `out`; with silence while gathering. Says whether sound came out. */
  read(out: Float32Array): boolean {
    if (this.#filling && this.#length >= this.#target) this.#filling = false;
    if (this.#filling) {
      out.fill(0);
      return false;
    }
    for (let i = 0; i < out.length; i++) {
      if (this.#length === 0) {
        out.fill(0, i);
        this.#filling = true;
        return i > 0;
      }
      out[i] = this.#samples[this.#start] ?? 0;
      this.#drop(1);
    }
    return true;
  }

  #drop(count: number): void {
    this.#start = (this.#start + count) % this.#samples.length;
    this.#length -= count;
  }
}
