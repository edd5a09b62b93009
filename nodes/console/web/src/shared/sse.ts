// Server-sent events over fetch, because EventSource cannot carry an Authorization header. The newest id seen is
// sent again after a break, so nothing is missed.

import { ApiError, problemOf, send } from "./api";
import type { Problem } from "./types";

export interface SseMessage {
  event: string;
  id: string;
  data: string;
}

/** Cuts a stream of text into messages, as the HTML standard says; comments and retry hints are skipped. */
export class SseParser {
  #rest = "";
  #event = "";
  #data: string[] = [];
  #id = "";

  push(text: string): SseMessage[] {
    const messages: SseMessage[] = [];
    const lines = (this.#rest + text).split(/\r\n|\n|\r(?!$)/);
    this.#rest = lines.pop() ?? "";
    for (const line of lines) {
      if (line !== "") {
        this.#field(line);
        continue;
      }
      if (this.#data.length > 0) {
        messages.push({ event: this.#event || "message", id: this.#id, data: this.#data.join("\n") });
      }
      this.#event = "";
      this.#data = [];
    }
    return messages;
  }

  #field(line: string): void {
    const colon = line.indexOf(":");
    if (colon === 0) return;
    const name = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? "" : line.slice(colon + 1).replace(/^ /, "");
    if (name === "event") this.#event = value;
    else if (name === "data") this.#data.push(value);
    else if (name === "id") this.#id = value;
  }
}

export interface EventsOptions {
  /** Where; a function is given the newest id seen, for a stream that is resumed by its address. */
  path: string | ((lastId: string) => string);
  token: string;
  onMessage: (message: SseMessage) => void;
  /** The stream is open, or was lost and is being opened again. */
  onOnline?: (online: boolean) => void;
  /** The token is no longer accepted or the thing is gone: no further attempts. */
  onRefused?: (problem: Problem) => void;
}

const RETRY_FIRST_MS = 300;
const RETRY_MAX_MS = 5_000;

/** Follows a stream until told to stop. */
export function follow(options: EventsOptions): () => void {
  const stopping = new AbortController();
  void run(options, stopping.signal);
  return () => stopping.abort();
}

async function run(options: EventsOptions, signal: AbortSignal): Promise<void> {
  let delay = RETRY_FIRST_MS;
  let lastId = "";
  while (!signal.aborted) {
    const since = performance.now();
    try {
      await readOnce(options, lastId, signal, (message) => {
        delay = RETRY_FIRST_MS;
        if (message.id) lastId = message.id;
        options.onMessage(message);
      });
    } catch (error) {
      if (signal.aborted) return;
      if (error instanceof ApiError && [401, 403, 404].includes(error.problem.status)) {
        options.onRefused?.(problemOf(error));
        return;
      }
    }
    if (signal.aborted) return;
    // A stream that lived shows that the way is open.
    if (performance.now() - since > RETRY_MAX_MS) delay = RETRY_FIRST_MS;
    options.onOnline?.(false);
    await new Promise((resolve) => setTimeout(resolve, delay * (0.75 + Math.random() / 2)));
    delay = Math.min(delay * 2, RETRY_MAX_MS);
  }
}

async function readOnce(
  { path, token, onOnline }: EventsOptions,
  lastId: string,
  signal: AbortSignal,
  onMessage: (message: SseMessage) => void,
): Promise<void> {
  const address = typeof path === "string" ? path : path(lastId);
  const response = await send("GET", address, { token, signal, lastEventId: lastId });
  if (!response.body) return;
  onOnline?.(true);
  const parser = new SseParser();
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    for (const message of parser.push(value)) onMessage(message);
  }
}
