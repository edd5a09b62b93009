// The media connection of a call, kept up: WebTransport first, WebSocket 500 ms behind it or beside it where that won
// lately, and a new attempt whenever it drops, through another door where there is one, until the call ends.

import { Connection } from "@moq/net";
import { type Memory, Race } from "./race";

// @moq/net takes Chromium's own WebSocketStream where there is one, and that ends the whole page now and then when
// its socket closes: the `closed` promise is resolved with an empty handle (Chromium 156, a null read in V8's
// JSPromise::Fulfill under WebSocketStream::DidClose; once in seven calls on a busy machine). Over a plain WebSocket
// the same library does the same work.
Reflect.deleteProperty(globalThis, "WebSocketStream");

export interface LinkTarget {
  /** Node whose door this is. */
  node: string;
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
  /**
   * The door did not take the connection, or dropped one that had `lived`; answers whether there is another door
   * to try at once.
   */
  onLost: (target: LinkTarget, lived: boolean) => Promise<boolean>;
  /** The door takes long to answer; answers whether it lives. */
  onSlow: (target: LinkTarget) => Promise<boolean>;
}

/** A door that has not answered after this is asked whether it lives. */
const SLOW_MS = 1_000;
/** A door that does not take the connection within this is left for another… */
const CONNECT_FIRST_MS = 2_000;
/** … until all were tried: then it is the network that is slow. */
const CONNECT_TIMEOUT_MS = 5_000;
/** Pause before another door is tried, at most: a lost door's calls do not all come in one moment. */
const SWITCH_MS = 100;
const RETRY_FIRST_MS = 250;
const RETRY_MAX_MS = 2_000;

const race = new Race(memory());

export class Link {
  readonly #target: () => Promise<LinkTarget>;
  readonly #choice: TransportChoice;
  readonly #events: LinkEvents;
  readonly #closing = new AbortController();
  #connection: Connection.Established | undefined;
  #tried: LinkTarget | undefined;

  constructor(target: () => Promise<LinkTarget>, choice: TransportChoice, events: LinkEvents) {
    this.#target = target;
    this.#choice = choice;
    this.#events = events;
    void this.#run();
  }

  /** Node whose door serves now, or is being tried. */
  get node(): string {
    return this.#tried?.node ?? "";
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
    let another = true;
    this.#events.onState("connecting");
    while (!this.#closing.signal.aborted) {
      const patience: number = another ? CONNECT_FIRST_MS : CONNECT_TIMEOUT_MS;
      const connection: Connection.Established | undefined = await this.#connect(patience).catch(() => undefined);
      if (connection && !this.#closing.signal.aborted) {
        const since = performance.now();
        await this.#serve(connection);
        // A connection that lived shows that the way is open; one that is refused at once must not be hammered.
        if (performance.now() - since > RETRY_MAX_MS) delay = RETRY_FIRST_MS;
      }
      connection?.close();
      if (this.#closing.signal.aborted) return;
      this.#events.onState("reconnecting");
      another = this.#tried !== undefined && (await this.#events.onLost(this.#tried, connection !== undefined));
      const pause = another ? SWITCH_MS * Math.random() : delay * (0.75 + Math.random() / 2);
      await sleep(pause, this.#closing.signal);
      if (!another) delay = Math.min(delay * 2, RETRY_MAX_MS);
    }
  }

  async #connect(patience: number): Promise<Connection.Established> {
    const target = await this.#target();
    this.#tried = target;
    const url = (base: string) => new URL(`${base}${target.room}?jwt=${encodeURIComponent(target.token)}`);
    const leaving = new AbortController();
    const signal = AbortSignal.any([this.#closing.signal, leaving.signal, AbortSignal.timeout(patience)]);
    const slow = setTimeout(() => {
      void this.#events.onSlow(target).then((lives) => lives || leaving.abort());
    }, SLOW_MS);
    // The library decides by the presence of the class; a forced WebSocket hides it.
    if (this.#choice === "ws") Object.assign(globalThis, { WebTransport: undefined });
    const connecting = Connection.connect(url(target.webtransport), {
      webtransport: {
        serverCertificateHashes: target.certificateHashes.map((value) => ({ algorithm: "sha-256", value })),
      },
      websocket: {
        enabled: this.#choice !== "wt",
        url: url(target.websocket),
        delay: this.#choice === "ws" ? 0 : race.headStart(target.websocket, Date.now()),
      },
      signal,
    });
    const connection = await connecting.finally(() => clearTimeout(slow));
    if (this.#choice === "auto") race.won(target.websocket, String(connection.transport) === "websocket", Date.now());
    return connection;
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

/** A browser that is told to keep nothing refuses even to be asked. */
function memory(): Memory | undefined {
  try {
    return globalThis.localStorage;
  } catch {
    return undefined;
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
