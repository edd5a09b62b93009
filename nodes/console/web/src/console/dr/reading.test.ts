import { expect, test } from "vitest";
import { AT, drill, drillLanes, finished, kept, listed, plans, proposed, states, takeover, takingOver, world } from "../../../dev/dr.mjs";
import { drawMap, milliseconds } from "./map";
import { readNote } from "./notes";
import {
  aimArguments, approvalsMissing, approveCommand, costOf, leftBehind, mayAbort, measuredBefore, missing, percentile, readLease, services,
  stepStates, worstRto,
} from "./reading";
import { filesOf, fromHex, statementOf } from "./report";

const lease = ({ status, live }: ReturnType<typeof world>) => readLease(status, live);

test("the lease is read in every state it can have", () => {
  expect(lease(states.quiet())).toMatchObject({ is: "proves", tone: "good", city: { zh: "乙市", en: "City B" }, leftMs: 930 });
  expect(lease(states.degraded())).toMatchObject({ is: "degraded", tone: "bad", since: AT - 72_000, cause: "silent", guardedTo: 17_621 });
  expect(lease(states.lost())).toMatchObject({ is: "alone-window", tone: "bad", from: AT - 95_000, until: AT });
  const silent = world({ sync: { guards: [{ node: 5, proves_ms: 0, lag: 4 }] }, verdict: { proves_now: false, left_ms: 0 } });
  expect(lease(silent)).toMatchObject({ is: "pending", tone: "wait" });
  const alone = world({ node: "b-1", leader: null, silent: ["a1-1", "a1-2", "a2-1", "a2-2"], sync: { guards: [] } });
  expect(lease(alone)).toMatchObject({ is: "alone-proves", tone: "good", leftMs: 930 });
  const nothing = world({ node: "b-1", leader: null, sync: { guards: [] }, verdict: { proves_now: false, proven_until: null } });
  expect(lease(nothing)).toMatchObject({ is: "alone-nothing", tone: "bad" });
  expect(lease(world({ sync: { state: { counter: 0, mode: { is: "unguarded" }, since: 0 }, guards: [] } }))).toEqual({ is: "unguarded", tone: "none" });
});

test("with the other city gone only what the guards say themselves counts", () => {
  // The asker's copy of what the leader once knew is no proof.
  const stale = world({ node: "b-1", leader: null, verdict: { proves_now: false, left_ms: 0 } });
  expect(stale.status.sync?.guards[0]?.proves_ms).toBe(910);
  expect(lease(stale)).toMatchObject({ is: "alone-window" });
});

test("who was left behind is named with the command that is next", () => {
  const { status, live } = states.quarantined();
  expect(leftBehind(status, live)).toEqual([
    { node: "a1-1", epoch: 1, heard: 3, toldBy: "b-1", command: "guitai node rejoin --url http://127.0.1.1:4443" },
    { node: "a1-2", epoch: 1, heard: 3, toldBy: "b-1", command: "guitai node rejoin --url http://127.0.2.1:4443" },
  ]);
});

test("only the step that takes the lead away costs anything", () => {
  const costly = (name: keyof typeof plans) => plans[name].steps.filter((step) => costOf(step, plans[name])).map(({ id }) => id);
  expect(costly("centre")).toEqual(["hold-apart"]);
  expect(costly("switch-city")).toEqual(["lead"]);
  expect(costly("city")).toEqual(["take-over"]);
  expect(costOf(plans.city.steps[0]!, plans.city)?.rpo).toBe("sync-zero");
});

test("a missing margin is found, and a plan that lacks nothing has none", () => {
  expect(missing(plans.centre)).toEqual([]);
  expect(missing(plans["centre-refused"]).map(({ id }) => id)).toEqual(["caught-up", "clocks", "disks"]);
  expect(missing(plans["city-refused"]).map(({ id }) => id)).toEqual(["no-quorum"]);
});

test("what was measured before counts real green runs of the scenario only", () => {
  const runs = kept().map(listed);
  expect(measuredBefore(runs, "centre")).toEqual({ runs: 1, medianMs: 1_248, worstMs: 1_248 });
  expect(measuredBefore(runs, "switch")).toEqual({ runs: 1, medianMs: 88, worstMs: 88 });
  expect(measuredBefore(runs, "link")).toBeUndefined();
  expect(worstRto({ rto_ms: {} })).toBeUndefined();
});

test("an aim is what the command line takes", () => {
  const said = (Object.keys(plans) as (keyof typeof plans)[]).map((name) => aimArguments(plans[name].aim));
  expect(said).toContain("--scenario centre --centre a1 --hold-ms 5000");
  expect(said).toContain("--scenario link --centre a1 --to a2 --one-way --hold-ms 15000");
  expect(said).toContain("--scenario city --lost a --on b-1");
  expect(said).toContain("--scenario switch --to b");
});

test("steps stand as the journal says", () => {
  expect(stepStates(drill())).toEqual(["done", "now", "before", "before", "before"]);
  expect(stepStates(finished())).toEqual(["done", "done", "done", "done", "done"]);
  const undone = drill();
  undone.state = { state: "undoing", step: 0, why: "it is late" };
  undone.journal.push({ at: AT, step: "hold-apart", what: "failed", note: "" }, { at: AT, step: "hold-apart", what: "undone", note: "" });
  expect(stepStates(undone)).toEqual(["done", "undone", "before", "before", "before"]);
});

test("it may be aborted before what cannot be undone, and not in it", () => {
  expect(mayAbort(proposed())).toBe(true);
  expect(mayAbort(drill())).toBe(true);
  expect(mayAbort(takeover())).toBe(true);
  expect(mayAbort(takingOver())).toBe(false);
  expect(mayAbort(finished())).toBe(false);
  expect(mayAbort({ ...drill(), state: { state: "undoing", step: 1, why: "" } })).toBe(false);
});

test("two officers are needed, and for a lost city they say since when it is off", () => {
  expect(approvalsMissing(proposed())).toBe(1);
  expect(approvalsMissing({ ...proposed(), kind: "rehearsal" })).toBe(0);
  expect(approvalsMissing(drill())).toBe(0);
  expect(approveCommand(proposed(), "http://b:1")).toBe("guitai dr approve r7k2m9qx4c --key OFFICER.key");
  expect(approveCommand(takeover(), "http://b:1")).toBe("guitai dr approve r7k2m9qx4c --key OFFICER.key --off-since UNIX_MS --url http://b:1");
});

test("the silence of a prober that the drill cut off is shown and not counted", () => {
  const { live } = world({ run: drill(), lanes: drillLanes });
  const rows = services(drill(), live);
  expect(rows.map(({ service, gapMs }) => [service, gapMs])).toEqual([["login", 690], ["queue", 716], ["log", 1_240]]);
  expect(rows[2]?.lanes.map(({ centre, apart, silentMs }) => [centre, apart, silentMs])).toEqual([
    ["a1", true, 2_380], ["a2", false, 28], ["b", false, 1_240],
  ]);
  // A lane of another run is none of this one; one that was reported at the end is shown as reported.
  expect(services({ ...drill(), id: "other" }, live)).toEqual([]);
  const over = services({ ...finished(), id: drill().id }, live);
  expect(over.find(({ service }) => service === "log")?.lanes.map(({ gapMs }) => gapMs)).toEqual([5_180, 1_248, 1_240]);
});

test("lines carry the measured round trip and the lag of the far side, whoever serves the page", () => {
  for (const node of ["a1-1", "b-1"]) {
    const { status, live } = world({ node, behind: { "b-1": { entries: 3, ms: 31 }, "b-2": { entries: 5, ms: 20 } } });
    const { links } = drawMap(status, live, false);
    expect(links.map(({ id, state, rttUs }) => [id, state, rttUs])).toEqual([
      ["a1 a2", "up", 1_640], ["a1 b", "up", 30_140], ["a2 b", "up", 30_140],
    ]);
    expect(links[1]?.behind).toEqual({ entries: 5, ms: 31 });
    expect(links[2]?.behind, "neither side leads").toBeUndefined();
  }
});

test("a line is cut by the drill, down when a side is silent, and unknown when both are", () => {
  const shown = ({ status, live }: ReturnType<typeof world>) => Object.fromEntries(drawMap(status, live, false).links.map(({ id, state }) => [id, state]));
  expect(shown(states.drill())).toEqual({ "a1 a2": "cut", "a1 b": "cut", "a2 b": "up" });
  expect(shown(states.degraded())).toEqual({ "a1 a2": "up", "a1 b": "down", "a2 b": "down" });
  expect(shown(states.lost())).toEqual({ "a1 a2": "unknown", "a1 b": "down", "a2 b": "down" });
  const oneWay = { ...drill(), plan: plans["link-one-way"] };
  const { status, live } = world({ run: oneWay });
  expect(drawMap(status, live, true).links[0]).toMatchObject({ id: "a1 a2", from: "a1", to: "a2", state: "cut", oneWay: true });
  // A rehearsal cuts nothing.
  expect(shown(world({ run: { ...drill(), kind: "rehearsal" } }))["a1 a2"]).toBe("up");
});

test("nothing in the picture lies on another thing, wide or narrow", () => {
  for (const narrow of [false, true]) {
    const { status, live } = states.quiet();
    const { centres, cities, width, height, links } = drawMap(status, live, narrow);
    for (const [index, one] of centres.entries()) {
      expect(one.x + one.width).toBeLessThanOrEqual(width);
      expect(one.y + one.height).toBeLessThanOrEqual(height);
      for (const other of centres.slice(index + 1)) {
        const apart = one.x + one.width <= other.x || other.x + other.width <= one.x || one.y + one.height <= other.y;
        expect(apart, `${one.id} and ${other.id}`).toBe(true);
      }
    }
    expect(cities).toHaveLength(2);
    for (const link of links) expect(link.y).toBeLessThanOrEqual(height);
  }
  expect([milliseconds(1_640), milliseconds(30_140)]).toEqual(["1.6", "30"]);
});

test("what nodes write is read in Chinese, and what is not known stays as it is", () => {
  for (const name of Object.keys(plans) as (keyof typeof plans)[]) {
    for (const check of plans[name].checks) {
      // A list of node names, or a number with its unit, is the same in both languages.
      const same = /^([ab]\d?-\d ?)+$|^\d+( MiB)?$/;
      for (const note of [check.found, check.need]) {
        expect(same.test(note) || /[\u4e00-\u9fff]|^\d+ \/ \d+$/.test(readNote(note, "zh")), `${check.id}: ${note}`).toBe(true);
      }
    }
  }
  for (const { note } of finished().journal.filter(({ note }) => note !== "" && !/^\S+$/.test(note))) {
    expect(/[\u4e00-\u9fff]/.test(readNote(note, "zh")), note).toBe(true);
  }
  expect(readNote(takeover().proof ?? "", "zh")).toMatch(/^同步类 RPO 0 得证：\d\d-\d\d \d\d:\d\d:\d\d 之前/);
  expect(readNote(takeover().proof ?? "", "en")).not.toMatch(/\d{13}/);
  expect(readNote("something new", "zh")).toBe("something new");
});

test("a report is what the command line would write", async () => {
  const { reportOf } = await import("../../../dev/dr.mjs");
  const report = reportOf(finished());
  expect(statementOf(report).run.verdict?.green).toBe(true);
  const files = filesOf(report);
  expect(files.map(({ name }) => name)).toEqual(["report.json", "report.p7s", "root.pem"]);
  expect(new TextDecoder().decode(files[0]?.bytes)).toBe(new TextDecoder().decode(fromHex(report.statement)));
  const pem = new TextDecoder().decode(files[2]?.bytes).split("\n");
  expect([pem[0], pem.at(-2), pem.at(-1)]).toEqual(["-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----", ""]);
  expect(Math.max(...pem.map((line) => line.length))).toBe(64);
  expect(() => fromHex("0g")).toThrow("not hexadecimal");
});

test("percentiles are bounds, and late answers have none", () => {
  expect(percentile([0, 0, 99, 1], 99)).toBe(5);
  expect(percentile([1, ...Array(11).fill(0), 9], 99)).toBeUndefined();
  expect(percentile([], 50)).toBeUndefined();
});
