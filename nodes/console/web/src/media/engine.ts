// What the sealing worker does, without the worker: keys of one call, what is sealed, what is opened, and the few
// frames that came before their key. Pure but for chance; the time is an argument.

import type { Bytes } from "./bytes";
import { GCM, type Suite } from "./crypto/suites";
import { AheadError, firstCounter, kidOf, type Party, Ring, Sealer, type TrackKind } from "./sframe";

/** How long a frame waits for its key, in milliseconds: the other party may hear of it a moment earlier. */
export const WAIT_MS = 2_000;
/** Frames that wait at most; a party sends 65 a second. */
const WAITING_MAX = 256;

/** Told to the worker. `call` numbers what is answered. */
export type Order =
  | { do: "key"; epoch: number; key: Uint8Array }
  | { do: "begin" }
  | { do: "seal"; call: number; track: TrackKind; data: Uint8Array }
  | { do: "open"; call: number; track: TrackKind; data: Uint8Array }
  | { do: "tick" };

/** Told by the worker; without `data` the frame was not opened, or there was no key to seal with. */
export interface Answer {
  call: number;
  data?: Bytes;
}

interface Waiting {
  call: number;
  track: TrackKind;
  data: Uint8Array;
  until: number;
}

export class Engine {
  readonly #party: Party;
  readonly #suites: Record<TrackKind, Suite>;
  readonly #ring: Ring;
  #key: { epoch: number; key: Uint8Array } | undefined;
  #sealers: Record<TrackKind, Sealer> | undefined;
  #waiting: Waiting[] = [];

  constructor(party: Party, audio: Suite) {
    this.#party = party;
    this.#suites = { video: GCM, audio };
    this.#ring = new Ring(audio);
  }

  /** Carries out an order; `now` in milliseconds. */
  obey(order: Order, now: number): Answer[] {
    switch (order.do) {
      case "key":
        return this.#rekey(order.epoch, order.key, now);
      case "begin":
        this.#sealers = undefined;
        return [];
      case "seal":
        return [this.#seal(order.call, order.track, order.data)];
      case "open":
        return this.#open({ ...order, until: now + WAIT_MS }, now);
      case "tick":
        this.#ring.retire(now);
        return this.#retry(now);
    }
  }

  #rekey(epoch: number, key: Uint8Array, now: number): Answer[] {
    if (epoch <= this.#ring.epoch) return [];
    this.#ring.add(epoch, key, now);
    this.#key = { epoch, key };
    for (const track of ["video", "audio"] as const) {
      this.#sealers?.[track].rekey(key, kidOf(epoch, this.#party, track));
    }
    return this.#retry(now);
  }

  #seal(call: number, track: TrackKind, data: Uint8Array): Answer {
    this.#sealers ??= this.#begin();
    return this.#sealers ? { call, data: this.#sealers[track].seal(new TextEncoder().encode(track), data) } : { call };
  }

  /** Sealers of a broadcast; both tracks count from the same place under keys of their own. */
  #begin(): Record<TrackKind, Sealer> | undefined {
    if (!this.#key) return undefined;
    const { epoch, key } = this.#key;
    const first = firstCounter();
    const sealer = (track: TrackKind) =>
      new Sealer(this.#suites[track], key, kidOf(epoch, this.#party, track), first);
    return { video: sealer("video"), audio: sealer("audio") };
  }

  #open(frame: Waiting, now: number): Answer[] {
    const answer = this.#try(frame, now);
    if (answer) return [answer];
    if (this.#waiting.length >= WAITING_MAX) return [{ call: frame.call }];
    this.#waiting.push(frame);
    return [];
  }

  /** Frames that waited, in the order they came. */
  #retry(now: number): Answer[] {
    const answers: Answer[] = [];
    this.#waiting = this.#waiting.filter((frame) => {
      const answer = now < frame.until ? this.#try(frame, now) : { call: frame.call };
      if (answer) answers.push(answer);
      return !answer;
    });
    return answers;
  }

  /** Nothing when the frame has to wait. */
  #try({ call, track, data }: Waiting, now: number): Answer | undefined {
    try {
      return { call, data: this.#ring.open(track, data, now) };
    } catch (error) {
      return error instanceof AheadError ? undefined : { call };
    }
  }
}
