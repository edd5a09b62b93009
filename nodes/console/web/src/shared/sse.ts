// Server-sent events over fetch, because EventSource cannot carry an Authorization header. The newest id seen is
// sent again after a break, to the same door or another, so nothing is missed and nothing comes twice. Where a proxy
// holds a stream back until it is whole, the page asks for short ones, one after the other.

import { ApiError, isGone, problemOf, send } from "./api";
import type { DoorsView, Problem } from "./types";
import { type Door, way } from "./way";

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
/** Pause before another door is tried, at most: a lost door's pages do not all come in one moment. */
const SWITCH_MS = 100;
/** A door sends at least a comment every 2 s; one that is silent for longer hangs. */
const SILENT_MS_MAX = 5_000;
/** … and tells the list of doors, and how things stand, at once; a stream that brings nothing at first is held back. */
const FIRST_MS_MAX = 2_500;
/** How long such short streams last, in seconds: so late is what is heard, at most. */
const PIECE_S = 1;
/** … and how far apart they begin, at least, in milliseconds. */
const PIECE_MS_MIN = 250;
/** How long a page does with short streams before it tries a long one again, in milliseconds. */
const PIECES_MS = 300_000;
/** The deployment tells its list of doors by this event of any stream. */
const DOORS = "doors";

/** Follows a stream until told to stop. */
export function follow(options: EventsOptions): () => void {
  const stopping = new AbortController();
  void run(options, stopping.signal);
  return () => stopping.abort();
}

/** The door lives, but its stream brings nothing: somebody between collects it first. */
class HeldBackError extends Error {}

async function run(options: EventsOptions, signal: AbortSignal): Promise<void> {
  let delay = RETRY_FIRST_MS;
  let lastId = "";
  let piecesUntil = -Infinity;
  while (!signal.aborted) {
    const since = performance.now();
    const inPieces = since < piecesUntil;
    const door = way.pages();
    let another = false;
    let goesOn = false;
    try {
      await readOnce(options, door, { lastId, inPieces }, signal, (message) => {
        delay = RETRY_FIRST_MS;
        if (message.id) lastId = message.id;
        if (message.event === DOORS) way.take(JSON.parse(message.data) as DoorsView);
        else options.onMessage(message);
      });
      goesOn = inPieces;
    } catch (error) {
      if (signal.aborted) return;
      if (error instanceof ApiError && [401, 403, 404].includes(error.problem.status)) {
        options.onRefused?.(problemOf(error));
        return;
      }
      goesOn = error instanceof HeldBackError;
      if (goesOn) piecesUntil = performance.now() + PIECES_MS;
      // What the door answered is about what was asked; all else is about the door.
      else another = (!(error instanceof ApiError) || isGone(error)) && way.fail(door, "pages");
    }
    if (signal.aborted) return;
    const lived = performance.now() - since;
    if (goesOn) {
      await pause(inPieces ? PIECE_MS_MIN - lived : 0);
      continue;
    }
    // A stream that lived shows that the way is open.
    if (lived > RETRY_MAX_MS) delay = RETRY_FIRST_MS;
    options.onOnline?.(false);
    await pause(another ? SWITCH_MS * Math.random() : delay * (0.75 + Math.random() / 2));
    if (!another) delay = Math.min(delay * 2, RETRY_MAX_MS);
  }
}

const pause = (milliseconds: number) => new Promise((resolve) => setTimeout(resolve, Math.max(0, milliseconds)));

async function readOnce(
  { path, token, onOnline }: EventsOptions,
  door: Door,
  { lastId, inPieces }: { lastId: string; inPieces: boolean },
  stopping: AbortSignal,
  onMessage: (message: SseMessage) => void,
): Promise<void> {
  const address = typeof path === "string" ? path : path(lastId);
  const leaving = new AbortController();
  const leave = () => leaving.abort(new DOMException("the door is gone", "TimeoutError"));
  let heldBack = false;
  const nothing = async () => {
    heldBack = await way.probe(door);
    leave();
  };
  let silence = inPieces ? setTimeout(leave, SILENT_MS_MAX) : setTimeout(() => void nothing(), FIRST_MS_MAX);
  const stop = way.onFail((node, use) => {
    if (node === door.node && use === "pages") leave();
  });
  try {
    const signal = AbortSignal.any([stopping, leaving.signal]);
    const wait = inPieces ? { wait: PIECE_S } : {};
    const response = await send("GET", address, { token, signal, lastEventId: lastId, door, ...wait });
    if (!response.body) return;
    way.serve(door, "pages");
    onOnline?.(true);
    const parser = new SseParser();
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      clearTimeout(silence);
      silence = setTimeout(leave, SILENT_MS_MAX);
      for (const message of parser.push(value)) onMessage(message);
    }
  } catch (error) {
    throw heldBack ? new HeldBackError("nothing came of the stream") : error;
  } finally {
    clearTimeout(silence);
    stop();
    leaving.abort();
  }
}
