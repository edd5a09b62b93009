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

test("what may be asked twice is asked at the next door, what may not is asked there the next time", async () => {
  way.take({ node: "e1", doors: [{ ...door("e1"), http: "" }, door("e2"), door("e3")] });
  const dead = new Set(["e2"]);
  world(dead);
  way.serve(door("e2"), "pages");
  const failed: string[] = [];
  const stop = way.onFail((node, use) => failed.push(`${node} ${use}`));
  // A new ticket is not opened twice: the user is told.
  await expect(send("POST", "/api/v1/tickets", {})).rejects.toBeInstanceOf(ApiError);
  expect(failed).toEqual(["e2 pages"]);
  way.serve(door("e3"), "pages");
  expect(await (await send("POST", "/api/v1/tickets", {})).json()).toBe("e3");
  dead.add("e3");
  dead.delete("e2");
  way.serve(door("e2"), "media");
  const answer = send("PUT", "/api/v1/me/key", { body: {} });
  await expect(answer.then((response) => response.json())).resolves.toMatch(/e[12]/);
  expect(failed).toContain("e3 pages");
  stop();
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
