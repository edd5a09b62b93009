// @vitest-environment happy-dom
// Ten thousand flows: what is drawn stays small, and each can still be found.
import { afterEach, expect, test, vi } from "vitest";
import { bigSeen, bigStatus } from "../../../dev/flows.mjs";
import * as words from "@/console/words";
import { at, maybe, type Mounted, mount, press, said, settle } from "@/shared/testing";
import { ARROWS_MAX, drawingOf, OTHERS, PARTIES_MAX } from "./drawing";
import FlowsPage from "./FlowsPage.vue";
import { arrowsOf } from "./reading";
import { PAGE_ROWS, rowsOf, wantedOf } from "./rows";
import { flow, node, seen } from "./testing";

const COUNT = 10_000;
// A document that is not drawn is slow to look through, on a machine with other work more so.
vi.setConfig({ testTimeout: 120_000 });
const status = bigStatus(60);
const many = bigSeen(status, COUNT);

let page: Mounted | undefined;
afterEach(() => page?.unmount());

async function open() {
  const ask = (_method: string, path: string) => Promise.resolve(path === "/api/v1/status" ? status : path === "/api/v1/flows/seen" ? many : { present: { number: 1, sm3: "ab", reason: "" } });
  page = mount(FlowsPage, words, "en", { ask });
  await settle();
}
const rows = () => document.querySelectorAll('[data-test="flow-rows"] tbody tr').length;
const arrows = () => document.querySelectorAll('[data-test="flow-map"] g.arrow').length;
const count = () => Number(at("flow-range").dataset["count"]);

async function find(text: string) {
  const field = document.querySelector<HTMLInputElement>('input[data-test="flow-find"], [data-test="flow-find"] input');
  if (!field) throw new Error("nothing to type into");
  field.value = text;
  field.dispatchEvent(new Event("input"));
  await settle();
}

test("of ten thousand flows a page of rows and a mapful of arrows are drawn", async () => {
  expect(arrowsOf(many).length).toBeGreaterThan(1_000);
  await open();
  expect(at("flows").dataset["flows"]).toBe(String(COUNT));
  expect(rows()).toBe(PAGE_ROWS);
  expect(arrows()).toBeGreaterThan(5);
  expect(arrows()).toBeLessThanOrEqual(ARROWS_MAX);
  expect(maybe("flow-summed")).not.toBeNull();
  // What is in trouble comes first, the worst of it foremost.
  expect(count()).toBe(60);
  expect(said("flow-rows")).toContain("undeclared");
  await press("flow-standing-all");
  expect(count()).toBe(COUNT);
  expect(rows()).toBe(PAGE_ROWS);
  await press("flow-next");
  expect(said("flow-range")).toBe("51–100 / 10000");
});

test("a flow is found by its words, and a node shows its own arrows", async () => {
  await open();
  const one = rowsOf(many)[4_321];
  if (!one) throw new Error("there are fewer");
  await find(`${one.from} ${one.to} ${one.protocol}`);
  expect(count()).toBeGreaterThan(0);
  expect(rows()).toBeLessThanOrEqual(PAGE_ROWS);
  expect(said("flow-rows")).toContain(`${one.from} → ${one.to}`);
  await find("no such thing anywhere");
  expect(count()).toBe(0);
  await find("");
  at(`flow-node-${one.node}`).dispatchEvent(new MouseEvent("click"));
  await settle();
  expect(maybe("flow-summed")).toBeNull();
  expect(arrows()).toBeGreaterThan(20);
  expect(arrows()).toBeLessThanOrEqual(ARROWS_MAX);
  expect(count()).toBeGreaterThan(100);
});

test("an arrow between zones has the sum and the worst of its flows, and chooses their rows", () => {
  const all = arrowsOf(many);
  const drawing = drawingOf(all, status, "");
  const total = (of: { bytes: number; flows: number }[], what: "bytes" | "flows") => of.reduce((sum, one) => sum + one[what], 0);
  expect(total(drawing.arrows, "flows")).toBe(total(all, "flows"));
  expect(total(drawing.arrows, "bytes")).toBe(total(all, "bytes"));
  expect(drawing.arrows[0]?.standing).toBe("undeclared");
  const [arrow] = drawing.arrows;
  const chosen = wantedOf(rowsOf(many), { words: "", standing: "", chosen: arrow?.id ?? "", place: drawing.place });
  expect(chosen.length).toBe(arrow?.flows);
  expect(chosen[0]?.standing).toBe("undeclared");
});

test("parties that nobody knows share a place when there are many", () => {
  const strangers = Array.from({ length: PARTIES_MAX + 1 }, (_, at) => flow({ uid: String(at), way: "accepted", peer: `10.9.8.${at}` }));
  const name = status.nodes[0]?.member.name ?? "";
  const drawing = drawingOf(arrowsOf(seen([node(name, strangers)])), status, "");
  expect(drawing.arrows.map(({ from }) => from)).toEqual([OTHERS]);
  const few = drawingOf(arrowsOf(seen([node(name, strangers.slice(1))])), status, "");
  expect(few.arrows).toHaveLength(PARTIES_MAX);
  expect(few.summed).toBe(false);
});
