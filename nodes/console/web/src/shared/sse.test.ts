import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { follow, type SseMessage } from "./sse";

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

const event = (number: number) => `id: ${number}\nevent: ticket\ndata: {}\n\n`;

/** What the page asked for: the newest event it had seen, and whether it wanted a short answer. */
interface Asked {
  seen: string | null;
  short: boolean;
}

/** A door with so many events by now, behind a proxy that passes on nothing before an answer is whole. */
function collected(now: () => number): Asked[] {
  const asked: Asked[] = [];
  vi.stubGlobal("fetch", (url: string, { headers, signal }: RequestInit) => {
    if (url.endsWith("/healthz")) return Promise.resolve(new Response("{}"));
    const fields = new Headers(headers);
    const seen = fields.get("last-event-id");
    const short = fields.get("prefer") === "wait=1";
    asked.push({ seen, short });
    return new Promise((resolve, reject) => {
      signal?.addEventListener("abort", () => reject(signal.reason as Error));
      if (short) setTimeout(() => resolve(new Response(now() > Number(seen) ? event(now()) : ": nothing\n\n")), 1_000);
    });
  });
  return asked;
}

test("a stream that a proxy holds back is asked for in pieces, by itself and soon", async () => {
  let number = 1;
  const asked = collected(() => number);
  const heard: SseMessage[] = [];
  const online: boolean[] = [];
  const stop = follow({ path: "/events", token: "t", onMessage: (message) => heard.push(message), onOnline: (value) => online.push(value) });
  await vi.advanceTimersByTimeAsync(3_600);
  expect(heard.map(({ id }) => id)).toEqual(["1"]);
  number = 2;
  await vi.advanceTimersByTimeAsync(2_000);
  expect(heard.map(({ id }) => id)).toEqual(["1", "2"]);
  expect(online).not.toContain(false);
  // No faster than a piece lasts.
  expect(asked.length).toBeLessThanOrEqual(5);
  expect(asked[0]).toEqual({ seen: null, short: false });
  expect(asked.at(-1)).toEqual({ seen: "2", short: true });
  // Later it is tried whole again: the proxy may be gone.
  await vi.advanceTimersByTimeAsync(310_000);
  expect(asked.filter(({ short }) => !short).length).toBe(2);
  stop();
});

test("a stream that flows is asked for once", async () => {
  let asked = 0;
  vi.stubGlobal("fetch", (_url: string, { signal }: RequestInit) => {
    asked++;
    const body = new ReadableStream({
      start(controller) {
        const send = (text: string) => controller.enqueue(new TextEncoder().encode(text));
        send(event(1));
        const alive = setInterval(() => send(": keep-alive\n\n"), 2_000);
        signal?.addEventListener("abort", () => clearInterval(alive));
      },
    });
    return Promise.resolve(new Response(body));
  });
  const heard: SseMessage[] = [];
  const stop = follow({ path: "/events", token: "t", onMessage: (message) => heard.push(message) });
  await vi.advanceTimersByTimeAsync(60_000);
  expect(heard).toHaveLength(1);
  expect(asked).toBe(1);
  stop();
});
