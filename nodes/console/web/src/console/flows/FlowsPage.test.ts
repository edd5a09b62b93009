// @vitest-environment happy-dom
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { states } from "../../../dev/dr.mjs";
import * as words from "@/console/words";
import { at, maybe, type Mounted, mount, press, said, settle } from "@/shared/testing";
import FlowsPage from "./FlowsPage.vue";
import { flow, node, seen } from "./testing";
import type { FlowPlan, FlowsKept, FlowsSeen, SeenFlow } from "./types";

let page: Mounted | undefined;
beforeEach(() => {
  vi.useFakeTimers({ now: 1_795_000_000_000 });
});
afterEach(() => {
  page?.unmount();
  vi.useRealTimers();
});

/** A stretch of time in which one thing was refused, and half an hour is not known. */
function then(path: string): FlowsKept {
  const asked = new URLSearchParams(path.split("?")[1]);
  const [from, to] = [Number(asked.get("from")), Number(asked.get("to"))];
  spans.push([from, to]);
  const refused = flow({ way: "accepted", peer: "customer", zone: "outer", protocol: "http", rows: [], standing: "refused", why: "too many", connections: 7, open: 0 });
  const what = { zh: "所见未知", en: "what it saw is not known" };
  return {
    from, to, minutes: 60, matrix: "m1", checkpoint: null, nodes: [node("edge-a1", [refused])],
    gaps: [{ node: "edge-a1", from, to: from + 1_800_000 }], findings: [{ node: "edge-a1", fault: "unknown", what }],
  };
}
const spans: [number, number][] = [];
const proposals: unknown[] = [];

/** A matrix of three letters is none; any other lets the DMZ do more. */
function planned(body: unknown): FlowPlan {
  const { matrix } = body as { matrix: string };
  if (matrix.length < 4) return { sm3: null, faults: ["line 1: not TOML"], widens: false, changes: [] };
  const words = { zh: "新增一行", en: "a new row" };
  return { sm3: "cd", faults: [], widens: true, changes: [{ row: "branch-12", effect: "widens", words }] };
}

async function open(language: "zh" | "en", answer: FlowsSeen) {
  const ask = async (_method: string, path: string, options?: { body?: unknown }) => {
    if (path === "/api/v1/status") return states.quiet().status;
    if (path === "/api/v1/flows/seen") return answer;
    if (path.startsWith("/api/v1/flows/kept?")) return then(path);
    if (path === "/api/v1/flows/plan") return planned(options?.body);
    if (path === "/api/v1/flows/proposals") {
      proposals.push(options?.body);
      return {};
    }
    return { present: { matrix: "version = 3", number: 3, sm3: "ab", reason: "new sink", by: { institution: "bank-a", name: "wu" }, approvals: [{ officer: { institution: "bank-a", name: "li" } }], in_force: 1 } };
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

test("the flow log is gone back into by the length of what is shown, and left again", async () => {
  await open("en", quiet());
  expect(maybe("flow-until")).toBeNull();
  spans.length = 0;
  await press("flow-span-3600000");
  const [[from, to] = [0, 0]] = spans;
  expect(to - from).toBe(3_600_000);
  expect(said("flow-verdict")).toContain("60 minutes");
  expect(said("flow-verdict")).toContain("what it saw is not known");
  expect(at("arrow-customer-edge-a1").dataset["standing"]).toBe("refused");
  expect(said("flow-story")).toContain("too many");
  // It moves on with the present, and stands still once an end is chosen.
  await vi.advanceTimersByTimeAsync(60_000);
  expect(spans.at(-1)).toEqual([from + 60_000, to + 60_000]);
  await press("flow-earlier");
  const [, earlier = 0] = spans.at(-1) ?? [];
  expect(earlier).toBe(to + 60_000 - 3_600_000);
  const asked = spans.length;
  await vi.advanceTimersByTimeAsync(180_000);
  expect(spans.length).toBe(asked);
  await press("flow-now");
  expect(maybe("flow-until")).toBeNull();
  expect(at("flows").dataset["findings"]).toBe("0");
});

/** As a person types. */
async function type(handle: string, text: string) {
  const field = at(handle) as HTMLTextAreaElement;
  field.value = text;
  field.dispatchEvent(new Event("input"));
  await settle();
}

test.each(["zh", "en"] as const)("a matrix is changed by what was looked at, with a reason (%s)", async (language) => {
  await open(language, quiet());
  expect(maybe("matrix-text")).toBeNull();
  await press("matrix-edit");
  expect((at("matrix-text") as HTMLTextAreaElement).value).toBe("version = 3");
  await type("matrix-text", "no");
  await press("matrix-plan");
  expect(said("matrix-faults")).toContain("not TOML");
  expect(maybe("matrix-propose")).toBeNull();
  await type("matrix-text", "version = 4");
  expect(maybe("matrix-faults")).toBeNull();
  await press("matrix-plan");
  expect(said("matrix-changes")).toContain(language === "zh" ? "新增一行" : "a new row");
  expect(said("matrix-verdict")).toContain(language === "zh" ? "允许了" : "allows what");
  expect((at("matrix-propose") as HTMLButtonElement).disabled).toBe(true);
  await type("matrix-reason", "branch 12");
  await press("matrix-propose");
  expect(proposals.splice(0)).toEqual([{ matrix: "version = 4", reason: "branch 12" }]);
  expect(maybe("matrix-text")).toBeNull();
  // What is typed after it was looked at has to be looked at again.
  await press("matrix-edit");
  await type("matrix-text", "version = 5");
  await press("matrix-plan");
  await type("matrix-text", "version = 6");
  expect(maybe("matrix-propose")).toBeNull();
});
