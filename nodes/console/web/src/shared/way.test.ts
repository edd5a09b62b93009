import { afterEach, expect, test, vi } from "vitest";
import { ApiError, send } from "./api";
import type { DoorEntry } from "./types";
import { way } from "./way";

const door = (node: string): DoorEntry => ({
  node,
  centre: "a1",
  http: `http://${node}`,
  webtransport: `https://${node}`,
  websocket: `ws://${node}`,
  certificate_hashes: [],
  alive: true,
});

afterEach(() => vi.unstubAllGlobals());

/** Doors that are dead do not answer; the others say who they are. */
function world(dead: Set<string>): string[] {
  const asked: string[] = [];
  vi.stubGlobal("fetch", (url: string) => {
    asked.push(url);
    const node = new URL(url, "http://e1").host;
    return dead.has(node) ? Promise.reject(new TypeError("refused")) : Promise.resolve(new Response(`"${node}"`));
  });
  return asked;
}

test("what may be asked twice is asked at the next door, what may not only of a door that is there", async () => {
  way.take({ node: "e1", doors: [{ ...door("e1"), http: "" }, door("e2"), door("e3")] });
  const dead = new Set(["e2"]);
  const asked = world(dead);
  way.serve(door("e2"), "pages");
  const failed: string[] = [];
  const stop = way.onFail((node, use) => failed.push(`${node} ${use}`));
  // A new ticket is not opened twice: the dead door is never asked for one, and the next is by itself.
  expect(await (await send("POST", "/api/v1/tickets", {})).json()).toMatch(/e[13]/);
  expect(failed).toEqual(["e2 pages", "e2 media"]);
  expect(asked.filter((url) => url.endsWith("/api/v1/tickets"))).toHaveLength(1);
  // It dies just after it answered: what was asked may have been done, and the user is told.
  dead.delete("e2");
  way.serve(door("e2"), "pages");
  way.hear(door("e2"));
  dead.add("e2");
  way.serve(door("e2"), "media");
  await expect(send("POST", "/api/v1/tickets", {})).rejects.toBeInstanceOf(ApiError);
  way.serve(door("e3"), "pages");
  dead.add("e3");
  dead.delete("e2");
  way.serve(door("e2"), "media");
  const answer = send("PUT", "/api/v1/me/key", { body: {} });
  await expect(answer.then((response) => response.json())).resolves.toMatch(/e[12]/);
  expect(failed).toContain("e3 pages");
  stop();
});

test("a door that is silent is asked whether it lives, and left when it is not", async () => {
  vi.useFakeTimers();
  way.take({ node: "e4", doors: [{ ...door("e4"), http: "" }, door("e5")] });
  way.serve(door("e5"), "pages");
  // Packets to it are dropped: nothing ever says no.
  vi.stubGlobal("fetch", (url: string, { signal }: RequestInit) =>
    new URL(url, "http://e4").host === "e5"
      ? new Promise((_, reject) => signal?.addEventListener("abort", () => reject(signal.reason as Error)))
      : Promise.resolve(new Response('"e4"')),
  );
  vi.stubGlobal("AbortSignal", Object.assign(AbortSignal, { timeout: (ms: number) => after(ms) }));
  const begun = Date.now();
  const answer = send("GET", "/api/v1/catalogue", {}).then((response) => response.json());
  await vi.advanceTimersByTimeAsync(2_000);
  expect(await answer).toBe("e4");
  expect(Date.now() - begun).toBeLessThanOrEqual(2_000);
  vi.useRealTimers();
});

/** `AbortSignal.timeout` on the test's own clock. */
function after(milliseconds: number): AbortSignal {
  const ending = new AbortController();
  setTimeout(() => ending.abort(new DOMException("too slow", "TimeoutError")), milliseconds);
  return ending.signal;
}

test("the list that a page brings is taken before any door is asked", async () => {
  const asked = world(new Set());
  const list = JSON.stringify({ node: "e6", doors: [door("e6"), door("e7")] });
  vi.stubGlobal("document", { getElementById: (id: string) => (id === "doors" ? { textContent: list } : null) });
  await way.learn();
  expect(asked).toEqual([]);
  expect(["e6", "e7"]).toContain(way.media()?.node);
});

test("a door that does not answer a probe is left for everything", async () => {
  const dead = new Set(["e9"]);
  world(dead);
  way.take({ node: "e8", doors: [{ ...door("e8"), http: "" }, door("e9")] });
  const failed: string[] = [];
  const stop = way.onFail((node, use) => failed.push(`${node} ${use}`));
  expect(await way.probe(door("e9"))).toBe(false);
  expect(failed).toEqual(["e9 pages", "e9 media"]);
  stop();
});
