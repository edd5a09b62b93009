// @vitest-environment happy-dom
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { states } from "../../../dev/dr.mjs";
import * as words from "@/console/words";
import { at, maybe, type Mounted, mount, press, said, settle } from "@/shared/testing";
import FlowsPage from "./FlowsPage.vue";
import { flow, node, seen } from "./testing";
import type { FlowsSeen, SeenFlow } from "./types";

let page: Mounted | undefined;
beforeEach(() => {
  vi.useFakeTimers({ now: 1_795_000_000_000 });
});
afterEach(() => {
  page?.unmount();
  vi.useRealTimers();
});

async function open(language: "zh" | "en", answer: FlowsSeen) {
  const ask = async (_method: string, path: string) => {
    if (path === "/api/v1/status") return states.quiet().status;
    if (path === "/api/v1/flows/seen") return answer;
    return { present: { number: 3, sm3: "ab", reason: "new sink", by: { institution: "bank-a", name: "wu" }, approvals: [{ officer: { institution: "bank-a", name: "li" } }], in_force: 1 } };
  };
  page = mount(FlowsPage, words, language, { ask });
  await settle();
}

/** A shape of a drawing has no `click()`. */
async function choose(handle: string) {
  at(handle).dispatchEvent(new MouseEvent("click"));
  await settle();
}

const customer = { way: "accepted", peer: "customer", zone: "outer", protocol: "http", rows: ["customer-pages"] } satisfies Partial<SeenFlow>;
const quiet = () => seen([node("a1-1", [flow({ peer: "edge-a1", zone: "dmz", protocol: "tunnel", rows: ["edge-control"] })]), node("edge-a1", [flow(customer)])], 5);

test.each(["zh", "en"] as const)("who opens to whom, and that all of it is declared (%s)", async (language) => {
  await open(language, quiet());
  expect(at("flows").dataset["findings"]).toBe("0");
  expect(at("arrow-a1-1-edge-a1").dataset["standing"]).toBe("declared");
  expect(at("arrow-customer-edge-a1").dataset["standing"]).toBe("declared");
  expect(said("flow-matrix")).toContain(language === "zh" ? "第 3 版" : "version 3");
  expect(said("flow-matrix")).toContain("bank-a/li");
  // Nothing chosen: only what is in trouble is told.
  expect(said("flow-story")).not.toContain("edge-control");
  await choose("flow-node-a1-1");
  expect(said("flow-story")).toContain("edge-control");
  await press("flow-all");
  expect(said("flow-story")).not.toContain("edge-control");
});

test("an undeclared socket and a refused flow are told in words and in red", async () => {
  const socket = { transport: "tcp", local: "10.0.0.1:6666", remote: null, what: "no row", standing: "undeclared", first: 0, last: 0 } as const;
  const bad = quiet();
  const refused = flow({ way: "accepted", peer: "edge-a1", zone: "dmz", protocol: "raft", rows: [], standing: "refused", why: "the DMZ opens nothing", connections: 4, open: 0 });
  bad.nodes[0] = node("a1-1", [refused], { sockets: [socket] });
  bad.findings = [{ node: "a1-1", fault: "socket", what: { zh: "未声明", en: "tcp 10.0.0.1:6666 is not declared" } }];
  await open("en", bad);
  expect(said("flow-verdict")).toContain("10.0.0.1:6666 is not declared");
  expect(at("arrow-edge-a1-a1-1").dataset["standing"]).toBe("refused");
  expect(said("flow-story")).toContain("the DMZ opens nothing");
  expect(maybe("flow-sockets")).toBeNull();
  await choose("flow-node-a1-1");
  expect(said("flow-sockets")).toContain("undeclared");
});
