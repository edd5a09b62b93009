// What the page makes of what it is told. Pure, so that every state can be tested without a page.

import type { StatusView, Text } from "@/shared/types";
import type { Aim, LaneLive, LiveView, Plan, Rpo, Run, RunView, Service, Step } from "./types";

/** `dr::OFFICERS_NEEDED`. */
export const OFFICERS_NEEDED = 2;
/** `dr::APPROVAL_LIFE_MS`. */
export const APPROVAL_LIFE_MS = 15 * 60 * 1000;
/** `dr::Histogram::BOUNDS_MS`. */
export const BOUNDS_MS = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000];
export const SERVICES: Service[] = ["login", "queue", "call", "media", "recording", "log"];

// --- the sync lease ------------------------------------------------------------------------------

/** How the lease stands. `good` is green, `wait` is amber, `bad` is red, `none` is grey. */
export type Lease =
  | { is: "proves"; tone: "good"; city: Text; leftMs: number }
  | { is: "pending"; tone: "wait"; city: Text }
  | { is: "degraded"; tone: "bad"; city: Text; since: number; cause: string; guardedTo: number }
  | { is: "alone-proves"; tone: "good"; city: Text; leftMs: number }
  | { is: "alone-window"; tone: "bad"; city: Text; from: number; until: number; restarted: boolean }
  | { is: "alone-nothing"; tone: "bad"; city: Text }
  | { is: "unguarded"; tone: "none" };

const nobody: Text = { zh: "见证城市", en: "the guard city" };

export function readLease(status: StatusView, live: LiveView): Lease {
  const sync = status.sync;
  if (!sync) return { is: "unguarded", tone: "none" };
  const { mode, since } = sync.state;
  const guards = live.nodes.flatMap((node) => node.verdict ?? []);
  const city = cityOf(status, live, mode.is === "sync" ? mode.guards[0] : (guards[0]?.node ?? sync.guards[0]?.node));
  if (mode.is === "unguarded") return { is: "unguarded", tone: "none" };
  if (mode.is === "degraded") {
    return { is: "degraded", tone: "bad", city, since, cause: mode.cause, guardedTo: mode.guarded_to };
  }
  // What the guards themselves say comes first: it is what would count with the other city gone.
  const proving = guards.filter(({ proves_now }) => proves_now);
  const own = Math.max(0, ...proving.map(({ left_ms }) => left_ms));
  if (live.leader === null) {
    if (proving.length > 0) return { is: "alone-proves", tone: "good", city, leftMs: own };
    const until = guards.filter(({ proven_until }) => proven_until !== null);
    const best = until.sort((one, other) => (other.proven_until ?? 0) - (one.proven_until ?? 0))[0];
    if (!best) return { is: "alone-nothing", tone: "bad", city };
    const from = best.proven_until ?? 0;
    return { is: "alone-window", tone: "bad", city, from, until: live.at, restarted: best.from_before_restart };
  }
  const left = Math.max(own, ...sync.guards.map(({ proves_ms }) => proves_ms));
  return left > 0 ? { is: "proves", tone: "good", city, leftMs: left } : { is: "pending", tone: "wait", city };
}

/** The guards' city; when no guard is known any more, the one of two that does not lead. */
function cityOf(status: StatusView, live: LiveView, guard: number | undefined): Text {
  const centreOf = (found: (node: StatusView["nodes"][number]) => boolean) =>
    status.centres.find(({ id }) => id === status.nodes.find(found)?.member.centre);
  const known = centreOf(({ member }) => member.id === guard)?.city;
  const leads = centreOf(({ member }) => member.name === live.leader)?.city;
  const others = status.cities.filter(({ id }) => leads !== undefined && id !== leads);
  const city = status.cities.find(({ id }) => id === known) ?? (others.length === 1 ? others[0] : undefined);
  return city?.name ?? nobody;
}

// --- nodes that were left behind -----------------------------------------------------------------

export interface LeftBehind {
  node: string;
  epoch: number;
  heard: number;
  toldBy: string;
  /** What to type next. */
  command: string;
}

export function leftBehind(status: StatusView, live: LiveView): LeftBehind[] {
  return live.nodes.flatMap(({ node, epoch, quarantine }) => {
    if (!quarantine) return [];
    const door = status.nodes.find((one) => one.member.name === node)?.member.door;
    const command = `guitai node rejoin --url http://${door ?? "…"}`;
    return [{ node, epoch, heard: quarantine.heard, toldBy: quarantine.told_by, command }];
  });
}

// --- plans ---------------------------------------------------------------------------------------

/** What one step may cost: only those that take the lead away interrupt anything. */
export function costOf(step: Step, plan: Plan): { rtoMs: [number, number]; rpo: Rpo } | undefined {
  const { act } = step.act;
  if (act !== "isolate" && act !== "lead" && act !== "take-over") return undefined;
  const { rto_ms_p50, rto_ms_p99, rpo } = plan.expected;
  return { rtoMs: [rto_ms_p50, rto_ms_p99], rpo };
}

export const missing = (plan: Plan) => plan.checks.filter(({ ok }) => !ok);

/** The longest interruption that a judged run counted, over all services. */
export const worstRto = (verdict: { rto_ms: Partial<Record<Service, number>> } | undefined) =>
  verdict && Object.keys(verdict.rto_ms).length > 0 ? Math.max(...Object.values(verdict.rto_ms)) : undefined;

/** What runs of the same scenario measured before; rehearsals cut nothing, so they count for nothing here. */
export function measuredBefore(runs: RunView[], scenario: string): { runs: number; medianMs: number; worstMs: number } | undefined {
  const counted = runs.filter((run) => run.kind === "real" && run.aim.scenario === scenario && run.verdict?.green);
  const times = counted.flatMap((run) => worstRto(run.verdict) ?? []).sort((one, other) => one - other);
  if (times.length === 0) return undefined;
  const middle = times[Math.floor((times.length - 1) / 2)] ?? 0;
  return { runs: times.length, medianMs: middle, worstMs: times[times.length - 1] ?? 0 };
}

/** An aim as the command line takes it. */
export function aimArguments(aim: Aim): string {
  const hold = "hold_ms" in aim ? ` --hold-ms ${aim.hold_ms}` : "";
  switch (aim.scenario) {
    case "node":
      return `--scenario node --node ${aim.node}${hold}`;
    case "centre":
      return `--scenario centre --centre ${aim.centre}${hold}`;
    case "link":
      return `--scenario link --centre ${aim.from} --to ${aim.to}${aim.one_way ? " --one-way" : ""}${hold}`;
    case "city":
      return `--scenario city --lost ${aim.lost} --on ${aim.on}`;
    case "switch":
      return `--scenario switch --to ${aim.to}`;
  }
}

// --- runs ----------------------------------------------------------------------------------------

export const isOver = ({ state }: { state: { state: string } }) => state.state === "aborted" || state.state === "done";

/** Index of the step a run is at; none before it began and after it ended. */
export function presentStep({ state }: Run): number | undefined {
  return "step" in state ? state.step : undefined;
}

export type StepState = "before" | "now" | "done" | "failed" | "undone";
/** How each step of a run stands, by its journal: the newest word about a step counts. */
export function stepStates(run: Run): StepState[] {
  return run.plan.steps.map((step, index) => {
    const last = run.journal.filter((line) => line.step === step.id && line.what !== "abort-point").at(-1);
    if (last?.what === "undone") return "undone";
    if (last?.what === "failed") return "failed";
    if (last?.what === "done") return "done";
    return presentStep(run) === index ? "now" : "before";
  });
}

/** When it began: with the first step, not with the proposal. */
export const begunAt = (run: Run) => run.journal.find((line) => line.what === "begun")?.at;

/** When it was over, as far as it is. */
export const endedAt = (run: Run) => (isOver(run) ? run.journal.at(-1)?.at : undefined);

/** Approvals still needed; a rehearsal needs none. */
export const approvalsMissing = (run: Run) =>
  run.kind === "real" && run.state.state === "proposed" ? Math.max(0, OFFICERS_NEEDED - run.approvals.length) : 0;

/** Until when the plan can be approved. */
export const approvableUntil = (run: Run) => run.plan.made_at + APPROVAL_LIFE_MS;

/** Whether the API lets it be aborted: not in the middle of what cannot be undone, not while it is undone. */
export function mayAbort(run: Run): boolean {
  const { state } = run;
  if (state.state === "proposed" || state.state === "abort-point") return true;
  return state.state === "running" && run.plan.steps[state.step]?.irreversible !== true;
}

/** The command by which an officer approves; a takeover is approved where it is kept, with an attestation. */
export function approveCommand(run: Run, origin: string): string {
  const command = `guitai dr approve ${run.id} --key OFFICER.key`;
  return run.plan.aim.scenario === "city" ? `${command} --off-since UNIX_MS --url ${origin}` : command;
}

export interface ServiceRow {
  service: Service;
  /** By centre: what its prober sees. None where nobody of it was heard. */
  lanes: { centre: string; node: string; gapMs: number; silentMs: number; acked: number; apart: boolean }[];
  /** Longest so far, over probers that are not held apart. */
  gapMs: number;
}

/** What the probers see, service by service; what was reported at the end takes the place of what was live. */
export function services(run: Run, live: LiveView): ServiceRow[] {
  const reported = new Set(run.lanes.map(({ lane }) => `${lane.node}/${lane.service}`));
  const going = live.nodes
    .flatMap(({ lanes }) => lanes)
    .filter((lane) => lane.run === run.id && !reported.has(`${lane.lane.node}/${lane.lane.service}`));
  const ended: LaneLive[] = run.lanes.map(({ lane, centre, sent, acked, gap_ms }) => ({
    run: run.id, lane, centre, sent, acked, gap_ms, silent_ms: 0,
  }));
  const lanes = [...going, ...ended];
  return SERVICES.flatMap((service) => {
    const own = lanes
      .filter(({ lane }) => lane.service === service)
      .map((lane) => ({
        centre: lane.centre,
        node: lane.lane.node,
        gapMs: lane.gap_ms,
        silentMs: lane.silent_ms,
        acked: lane.acked,
        apart: isApart(run, lane.lane.node, lane.centre),
      }))
      .sort((one, other) => one.centre.localeCompare(other.centre));
    if (own.length === 0) return [];
    const counted = own.filter(({ apart }) => !apart).map(({ gapMs }) => gapMs);
    return [{ service, lanes: own, gapMs: Math.max(0, ...counted) }];
  });
}

/** As the verdict counts: the silence of a prober that the drill itself cut off is no outage. */
export function isApart(run: Run, node: string, centre: string): boolean {
  if (run.kind !== "real") return false;
  return run.plan.steps.some(({ act }) => {
    if (act.act !== "isolate") return false;
    return (act.cut.cut === "node" && act.cut.node === node) || (act.cut.cut === "centre" && act.cut.centre === centre);
  });
}

/** The bound under which so many of a hundred answers came; nothing above the last bound. */
export function percentile(counts: number[], percent: number): number | undefined {
  const all = counts.reduce((sum, count) => sum + count, 0);
  let seen = 0;
  for (const [at, bound] of BOUNDS_MS.entries()) {
    seen += counts[at] ?? 0;
    if (all > 0 && seen * 100 >= all * percent) return bound;
  }
  return undefined;
}
