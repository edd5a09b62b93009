// The media connection of a call, kept up: WebTransport first, WebSocket 500 ms behind it, and a new attempt
// whenever it drops, until the call ends.

import { Connection } from "@moq/net";

export interface LinkTarget {
  /** `https://host:port` */
  webtransport: string;
  /** `ws://host:port` or `wss://…` */
  websocket: string;
  /** SHA-256 of the acceptable certificates, lower-case hex. */
  certificateHashes: string[];
  /** `/<institution>/<session>` */
  room: string;
  token: string;
}

export type LinkState = "connecting" | "connected" | "reconnecting" | "closed";
export type TransportChoice = "auto" | "ws" | "wt";

export interface LinkEvents {
  /** Called for each connection made; answers what to undo when it is gone. */
  onUp: (connection: Connection.Established) => () => void;
  onState: (state: LinkState, connection?: Connection.Established) => void;
}

const FALLBACK_DELAY_MS = 500;
const CONNECT_TIMEOUT_MS = 5_000;
const RETRY_FIRST_MS = 250;
const RETRY_MAX_MS = 2_000;

export class Link {
  readonly #target: () => Promise<LinkTarget>;
  readonly #choice: TransportChoice;
  readonly #events: LinkEvents;
  readonly #closing = new AbortController();
  #connection: Connection.Established | undefined;

  constructor(target: () => Promise<LinkTarget>, choice: TransportChoice, events: LinkEvents) {
    this.#target = target;
    this.#choice = choice;
    this.#events = events;
    void this.#run();
  }

  /** Drops the present connection, if any; a new one is made at once. */
  renew(): void {
    this.#connection?.close();
  }

  close(): void {
    this.#closing.abort();
    this.#connection?.close();
    this.#events.onState("closed");
  }

  async #run(): Promise<void> {
    let delay = RETRY_FIRST_MS;
    this.#events.onState("connecting");
    while (!this.#closing.signal.aborted) {
      const connection = await this.#connect().catch(() => undefined);
      if (connection && !this.#closing.signal.aborted) {
        const since = performance.now();
        await this.#serve(connection);
        // A connection that lived shows that the way is open; one that is refused at once must not be hammered.
        if (performance.now() - since > RETRY_MAX_MS) delay = RETRY_FIRST_MS;
      }
      connection?.close();
      if (this.#closing.signal.aborted) return;
      this.#events.onState("reconnecting");
      await sleep(delay * (0.75 + Math.random() / 2), this.#closing.signal);
      delay = Math.min(delay * 2, RETRY_MAX_MS);
    }
  }

  async #connect(): Promise<Connection.Established> {
    const target = await this.#target();
    const url = (base: string) => new URL(`${base}${target.room}?jwt=${encodeURIComponent(target.token)}`);
    const signal = AbortSignal.any([this.#closing.signal, AbortSignal.timeout(CONNECT_TIMEOUT_MS)]);
    // The library decides by the presence of the class; a forced WebSocket hides it.
    if (this.#choice === "ws") Object.assign(globalThis, { WebTransport: undefined });
    return await Connection.connect(url(target.webtransport), {
      webtransport: {
        serverCertificateHashes: target.certificateHashes.map((value) => ({ algorithm: "sha-256", value })),
      },
      websocket: {
        enabled: this.#choice !== "wt",
        url: url(target.websocket),
        delay: this.#choice === "ws" ? 0 : FALLBACK_DELAY_MS,
      },
      signal,
    });
  }

  async #serve(connection: Connection.Established): Promise<void> {
    this.#connection = connection;
    const undo = this.#events.onUp(connection);
    this.#events.onState("connected", connection);
    await connection.closed.catch(() => undefined);
    this.#connection = undefined;
    undo();
  }
}

function sleep(milliseconds: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, milliseconds);
    signal.addEventListener(
      "abort",
      () => {
        clearTimeout(timer);
        resolve();
      },
      { once: true },
    );
  });
}

/** `?transport=ws` or `?transport=wt` in the page's address, for tests. */
export function transportChoice(search: string): TransportChoice {
  const wanted = new URLSearchParams(search).get("transport");
  return wanted === "ws" || wanted === "wt" ? wanted : "auto";
}
