// Disaster recovery in every state that its page must show: for the page's tests, for the mock and for screenshots.
// Plans are the planner's own (`tests/vectors/dr-plans.json`, written by a test of `nodes/dr`). Never part of the build.

import { readFileSync } from "node:fs";

const vectors = `${import.meta.dirname}/../../../../tests/vectors/dr-plans.json`;
export const plans = JSON.parse(readFileSync(vectors, "utf8"));
/** The moment all of it is seen, but for runs that move. */
export const AT = Date.UTC(2026, 10, 22, 6, 30, 0);

const text = (zh, en) => ({ zh, en });
const staff = (name) => ({ institution: "bank-a", name });
const CORES = ["a1-1", "a1-2", "a2-1", "a2-2", "b-1", "b-2"];
const EDGES = [["edge-a1", "a1"], ["edge-a2", "a2"]];
const centreOf = (name) => name.split("-")[0];

const member = (id, name, centre, zone, roles, voice) => ({
  id, name, centre, zone, roles, voice, mesh: `127.0.${id}.1:7443`, door: `127.0.${id}.1:4443`, public_key: "04",
});
const members = [
  ...CORES.map((name, at) => member(at + 1, name, centreOf(name), "inner", ["core", "relay"], name === "b-2" ? "learner" : "voter")),
  ...EDGES.map(([name, centre], at) => member(at + 11, name, centre, "dmz", ["edge"], "none")),
];

/** Round trips between two core nodes in microseconds: one centre, one city, two cities. */
function trip(one, other) {
  if (centreOf(one) === centreOf(other)) return 420;
  return one.startsWith("b") || other.startsWith("b") ? 30_140 : 1_640;
}

/** What a guard says of itself. */
const guard = (id, rest = {}) => ({
  node: id, sync: sync().state, proven_until: AT - 40, proves_now: true, left_ms: 930, from_before_restart: false, applied: 18_233, last_index: 18_233, ...rest,
});
function sync(rest = {}) {
  return {
    state: { counter: 4, mode: { is: "sync", guards: [5, 6], lease_ms: 1_000 }, since: AT - 3_600_000 },
    guards: [{ node: 5, proves_ms: 910, lag: 0 }, { node: 6, proves_ms: 870, lag: 2 }],
    verdict: null,
    ...rest,
  };
}

/**
 * @param {{ node?: string, leader?: string | null, silent?: string[], run?: object, lanes?: object[], sync?: object,
 *   verdict?: object, quarantine?: Record<string, object>, behind?: Record<string, object>, at?: number, control?: boolean }} is
 */
export function world(is = {}) {
  const { node = "a1-1", leader = "a1-1", silent = [], run, lanes = [], verdict = {}, quarantine = {}, behind = {}, at = AT, control = true } = is;
  const answers = CORES.filter((name) => !silent.includes(name));
  const heard = (name) => answers.includes(name) && !quarantine[name];
  const state = sync(is.sync);
  const nodes = answers.map((name) => ({
    node: name,
    epoch: quarantine[name] ? 1 : 3,
    leads: name === leader,
    applied: 18_233,
    ...(quarantine[name] && { quarantine: quarantine[name] }),
    round_trips_us: Object.fromEntries(answers.filter((other) => other !== name).map((other) => [other, trip(name, other)])),
    behind: name === leader ? Object.fromEntries(CORES.map((other) => [other, behind[other] ?? { entries: 0, ms: 0 }])) : {},
    lanes: lanes.filter((lane) => lane.lane.node === name),
    ...(name.startsWith("b") && !quarantine[name] && { verdict: { ...guard(name === "b-1" ? 5 : 6), sync: state.state, ...verdict } }),
  }));
  const up = members.filter(({ name, voice }) => voice === "voter" && heard(name)).length;
  const status = {
    cluster: "9f3c51d2a7be44d0", version: "0.1.0", node, leader: members.find(({ name }) => name === leader)?.id ?? null,
    term: 7, applied: 18_233, epoch: 3, quarantine: quarantine[node] ?? null, quorum: { voters: 5, up, needed: 3 },
    cities: [{ id: "a", name: text("甲市", "City A") }, { id: "b", name: text("乙市", "City B") }],
    centres: [
      { id: "a1", city: "a", name: text("甲市一中心", "Centre A1") },
      { id: "a2", city: "a", name: text("甲市二中心", "Centre A2") },
      { id: "b", city: "b", name: text("乙市中心", "Centre B") },
    ],
    nodes: members.map((one) => {
      const there = one.roles.includes("edge") ? !silent.includes(`${one.centre}-1`) : heard(one.name);
      return { member: one, up: there, leader: one.name === leader, matched: null, heard_ms: there ? 20 : 48_200 };
    }),
    queues: [], sessions_running: 0, recordings: 0, event_number: 100, sync: state,
  };
  const live = { at, node, applied: 18_233, leader, nodes, silent, ...(run && { run }), ...(control && { control_at: AT - 3 * 86_400_000 }) };
  return { status, live };
}

const line = (at, what, note, step) => ({ at, ...(step && { step }), what, note });
const approval = (name, at, rest = {}) => ({ officer: staff(name), at, key: `04${"9c".repeat(64)}`, signature: "30", ...rest });
const run = (plan, rest) => ({
  id: "r7k2m9qx4c", kind: "real", plan: { ...plan, made_at: AT - 120_000 }, plan_hash: "5b".repeat(32), by: staff("zhou"), at: AT - 118_000,
  inject_loss: false, approvals: [], state: { state: "proposed" }, journal: [line(AT - 118_000, "proposed", "bank-a/zhou, real")], lanes: [], ...rest,
});
const both = [approval("chenjing", AT - 61_000), approval("liuyang", AT - 9_400)];

/** Waits for the second officer. */
export const proposed = () => run(plans.centre, {
  approvals: [both[0]],
  journal: [line(AT - 118_000, "proposed", "bank-a/zhou, real"), line(AT - 61_000, "approved", "bank-a/chenjing")],
});
/** Centre A1 is held apart for five seconds, of which 2.4 are over at `at`. */
export const drill = (at = AT) => run(plans.centre, {
  approvals: both,
  state: { state: "running", step: 1, since: at - 2_400 },
  journal: [
    line(at - 118_000, "proposed", "bank-a/zhou, real"), line(at - 61_000, "approved", "bank-a/chenjing"), line(at - 5_520, "approved", "bank-a/liuyang"),
    line(at - 5_500, "begun", "", "base-line"), line(at - 2_400, "done", "measured", "base-line"), line(at - 2_400, "begun", "", "hold-apart"),
  ],
});
const laneLive = (node, service, gap_ms, silent_ms) => ({
  run: "r7k2m9qx4c", lane: { node, service }, centre: centreOf(node), sent: 275, acked: 240, gap_ms, silent_ms,
});
/** What the probers see meanwhile: A1 hears nothing, A2 was out for an election, B is out yet. */
export const drillLanes = [
  ...["login", "queue", "log"].map((service) => laneLive("a1-1", service, 2_380, 2_380)),
  laneLive("a2-1", "login", 684, 12), laneLive("a2-1", "queue", 702, 9), laneLive("a2-1", "log", 731, 28),
  laneLive("b-1", "login", 690, 8), laneLive("b-1", "queue", 716, 31), laneLive("b-1", "log", 1_240, 1_240),
];
/** A takeover, a second before it cannot be undone. */
export const takeover = () => run(plans.city, {
  approvals: [approval("chenjing", AT - 20_000, { off_since: AT - 300_000 }), approval("liuyang", AT - 2_000, { off_since: AT - 290_000 })],
  state: { state: "abort-point", step: 0, until: AT + 1_300 },
  journal: [line(AT - 118_000, "proposed", "bank-a/zhou, real"), line(AT - 1_700, "abort-point", String(AT + 1_300), "take-over")],
  proof: `RPO 0 of the sync class is proven: every sync write acknowledged before ${AT - 280_000} is here, and the other city is attested to be off since ${AT - 300_000}`,
});
/** The same, past it. */
export const takingOver = () => ({ ...takeover(), state: { state: "running", step: 0, since: AT - 400 } });

const report = (node, service, gap_ms, counts, lost = 0) => ({
  lane: { node, service }, centre: centreOf(node), from: AT - 20_000, to: AT - 2_000, sent: 900, acked: 900 - lost * 3, gap_ms, gap_from: AT - 16_000,
  latency: { counts }, serials: [[1, 900]],
});
const FAST = [420, 310, 96, 40, 12, 8, 3, 1, 2, 8, 0, 0, 0];
const FAR = [0, 0, 0, 0, 4, 860, 14, 6, 2, 14, 0, 0, 0];
export function finished(green = true, rest = {}) {
  const lost = green ? 0 : 1;
  return run(plans.centre, {
    id: green ? "r3d8w5ht2n" : "r9p4f6zv8b", approvals: both, state: { state: "done" },
    verdict: { acked: 5_388, lost, lost_first: green ? [] : ["a2-1/log:25"], rto_ms: { log: 1_248, queue: 716, login: 690 }, green },
    journal: [
      line(AT - 118_000, "proposed", "bank-a/zhou, real"), line(AT - 61_000, "approved", "bank-a/chenjing"), line(AT - 30_020, "approved", "bank-a/liuyang"),
      line(AT - 30_000, "begun", "", "base-line"), line(AT - 27_000, "done", "measured", "base-line"),
      line(AT - 27_000, "begun", "", "hold-apart"), line(AT - 21_950, "done", "a1 was held apart for 5000 ms", "hold-apart"),
      line(AT - 21_940, "begun", "", "settle"), line(AT - 20_800, "done", "6 core nodes heard and caught up", "settle"),
      line(AT - 20_790, "begun", "", "aftermath"), line(AT - 17_700, "done", "measured", "aftermath"),
      line(AT - 17_690, "begun", "", "judge"), line(AT - 17_400, "measured", "a2-1"), line(AT - 17_300, "done", "3 probers reported", "judge"),
      line(AT - 17_290, "judged", green ? "green" : "red"),
    ],
    lanes: [
      report("a1-1", "log", 5_180, FAST), report("a1-1", "queue", 5_166, FAST), report("a1-1", "login", 5_150, FAST),
      report("a2-1", "log", 1_248, FAST, lost), report("a2-1", "queue", 702, FAST), report("a2-1", "login", 684, FAST),
      report("b-1", "log", 1_240, FAR), report("b-1", "queue", 716, FAR), report("b-1", "login", 690, FAR),
    ],
    ...rest,
  });
}
export const listed = (one) => ({
  id: one.id, kind: one.kind, aim: one.plan.aim, by: one.by, at: one.at, inject_loss: one.inject_loss,
  approved_by: one.approvals.map(({ officer }) => officer), state: one.state, steps: one.plan.steps.length, ...(one.verdict && { verdict: one.verdict }),
});
const control = () => finished(false, { id: "r2c6n1yk5a", kind: "rehearsal", inject_loss: true, approvals: [], at: AT - 3 * 86_400_000 });
const switched = () => finished(true, {
  id: "r5s1b7jd3q", plan: plans.switch, at: AT - 2 * 86_400_000, verdict: { acked: 3_020, lost: 0, lost_first: [], rto_ms: { log: 88, queue: 61, login: 57 }, green: true },
});
const stopped = () => run(plans.link, { id: "r8a3e2ug6w", at: AT - 86_400_000, state: { state: "aborted", why: "bank-a/zhou: 客户高峰" } });
export const kept = () => [finished(false), finished(), stopped(), switched(), control()];

const hex = (value) => Buffer.from(value).toString("hex");
/** A report as a node hands it out; its signature signs nothing. */
export function reportOf(one) {
  const clauses = [{
    document: "GB/T 20988-2025", clause: "8.3", asks: text("应急事件响应及灾难接管", "Emergency response and takeover"),
    answer: text("时间线、批准与每一步的结果", "The timeline, the approvals and how each step went"), checked: false,
  }, {
    document: "JR/T 0168-2020", clause: "6 级", asks: text("RTO ≤ 2 分钟，RPO = 0", "RTO ≤ 2 min, RPO = 0"),
    answer: text("逐号清点的 RPO，探针实测的 RTO", "RPO counted serial by serial, RTO as the probers saw it"), checked: false,
  }];
  const statement = {
    format: "guitai-dr-report/1", made_at: AT, made_by: "a2-1", version: "0.1.0", run: one, present: [], control_at: AT - 3 * 86_400_000, clauses,
    nodes: CORES.map((name) => ({ name, centre: centreOf(name), votes: name !== "b-2" })),
  };
  return { statement: hex(JSON.stringify(statement)), signature: hex("signature"), root: hex("root certificate".repeat(9)) };
}

/** The states by name; each the whole of what the page asks for. */
export const states = {
  quiet: () => world({ behind: { "b-1": { entries: 3, ms: 31 }, "b-2": { entries: 3, ms: 33 } } }),
  proposed: () => world({ run: proposed() }),
  drill: () => world({
    node: "a2-1", leader: "a2-1", silent: ["a1-1", "a1-2"], run: drill(), lanes: drillLanes.filter(({ lane }) => lane.node !== "a1-1"),
    behind: { "b-1": { entries: 14, ms: 46 } }, sync: { guards: [{ node: 5, proves_ms: 640, lag: 14 }] },
  }),
  degraded: () => world({
    silent: ["b-1", "b-2"], behind: { "b-1": { entries: 612, ms: 71_000 }, "b-2": { entries: 612, ms: 71_000 } },
    sync: { state: { counter: 5, mode: { is: "degraded", cause: "silent", guarded_to: 17_621 }, since: AT - 72_000 }, guards: [] },
  }),
  lost: () => world({
    node: "b-1", leader: null, silent: ["a1-1", "a1-2", "a2-1", "a2-2"], sync: { guards: [] },
    verdict: { proves_now: false, left_ms: 0, proven_until: AT - 95_000 },
  }),
  takeover: () => world({
    node: "b-1", leader: null, silent: ["a1-1", "a1-2", "a2-1", "a2-2"], run: takeover(), sync: { guards: [] },
    verdict: { proves_now: false, left_ms: 0, proven_until: AT - 280_000 },
  }),
  quarantined: () => world({
    node: "a1-1", leader: null, silent: ["a2-1", "a2-2", "b-1", "b-2"], sync: { guards: [] },
    quarantine: { "a1-1": { heard: 3, told_by: "b-1", at: AT - 60_000 }, "a1-2": { heard: 3, told_by: "b-1", at: AT - 59_000 } },
  }),
};
