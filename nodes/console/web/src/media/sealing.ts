// The page's side of the sealing worker: one for a call, both directions.

import type { Bytes } from "./bytes";
import type { Suite } from "./crypto/suites";
import type { Answer, Order } from "./engine";
import type { Setup } from "./sealing.worker";
import type { Party, TrackKind } from "./sframe";

/** Waits for the next call: its script must not be fetched from a door that may be gone by then. */
let spare: Worker | undefined;

function make(): Worker {
  return new Worker(new URL("./sealing.worker.ts", import.meta.url), { type: "module" });
}

/** Makes ready what the next call needs of this page's door. */
export function prepareSealing(): void {
  spare ??= make();
}

export class Sealing {
  readonly #worker: Worker;
  readonly #calls = new Map<number, (data: Bytes | undefined) => void>();
  #last = 0;
  #epoch = 0;

  constructor(party: Party, audio: Suite) {
    this.#worker = spare ?? make();
    spare = undefined;
    this.#worker.addEventListener("message", ({ data }: MessageEvent<Answer>) => this.#answered(data));
    this.#worker.postMessage({ party, audio } satisfies Setup);
  }

  /** Epoch of the newest media key; 0 before the first. */
  get epoch(): number {
    return this.#epoch;
  }

  /** Goes on with another media key; what was asked before is sealed with the one before. */
  rekey(epoch: number, key: Bytes): void {
    this.#epoch = epoch;
    this.#tell({ do: "key", epoch, key });
  }

  /** What is sealed from here on belongs to another broadcast. */
  begin(): void {
    this.#tell({ do: "begin" });
  }

  /** Answers come in the order of the calls. `data` is given away. */
  seal(track: TrackKind, data: Bytes): Promise<Bytes | undefined> {
    return this.#ask({ do: "seal", call: ++this.#last, track, data });
  }

  /** Nothing when the frame does not open. Answers for a track come in the order of the calls. */
  open(track: TrackKind, data: Uint8Array): Promise<Bytes | undefined> {
    // What was received may be part of a larger buffer, which is not ours to give away.
    return this.#ask({ do: "open", call: ++this.#last, track, data: data.slice() });
  }

  close(): void {
    prepareSealing();
    this.#worker.terminate();
    for (const done of this.#calls.values()) done(undefined);
    this.#calls.clear();
  }

  #ask(order: Order & { call: number; data: Uint8Array }): Promise<Bytes | undefined> {
    return new Promise((resolve) => {
      this.#calls.set(order.call, resolve);
      this.#tell(order, [order.data.buffer as ArrayBuffer]);
    });
  }

  #tell(order: Order, transfer: Transferable[] = []): void {
    this.#worker.postMessage(order, transfer);
  }

  #answered({ call, data }: Answer): void {
    this.#calls.get(call)?.(data);
    this.#calls.delete(call);
  }
}
