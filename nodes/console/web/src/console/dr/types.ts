// Disaster recovery in the JSON of the API, as `nodes/types/src/{dr,live,sync,lineage}.rs` write it.

import type { GuardVerdict, StaffRef, Text } from "@/shared/types";

export type Scenario = "node" | "centre" | "link" | "city" | "switch";
export type Aim =
  | { scenario: "node"; node: string; hold_ms: number }
  | { scenario: "centre"; centre: string; hold_ms: number }
  | { scenario: "link"; from: string; to: string; one_way?: boolean; hold_ms: number }
  | { scenario: "city"; lost: string; on: string }
  | { scenario: "switch"; to: string };
export type Cut =
  | { cut: "node"; node: string }
  | { cut: "centre"; centre: string }
  | { cut: "link"; from: string; to: string; one_way: boolean };
export type Voice = "voter" | "learner" | "none";
export type Act =
  | { act: "measure"; ms: number }
  | { act: "isolate"; cut: Cut; ms: number }
  | { act: "prefer"; centre?: string }
  | { act: "voices"; voices: Record<string, Voice>; before: Record<string, Voice> }
  | { act: "lead"; centre: string }
  | { act: "take-over"; on: string; epoch: number }
  | { act: "settle" }
  | { act: "judge" };

export interface Step {
  id: string;
  act: Act;
  title: Text;
  precondition: Text;
  effect: Text;
  rollback: Text;
  irreversible: boolean;
  within_ms: number;
}
export interface Check {
  id: string;
  title: Text;
  ok: boolean;
  found: string;
  need: string;
}
export type Rpo = "zero" | "sync-zero" | "unproven";
export interface Expected {
  rto_ms_p50: number;
  rto_ms_p99: number;
  rpo: Rpo;
}
export interface Plan {
  v: number;
  cluster: string;
  epoch: number;
  made_at: number;
  aim: Aim;
  checks: Check[];
  steps: Step[];
  expected: Expected;
  round_trips_us: Record<string, number>;
  binary: string;
}

export type Kind = "rehearsal" | "real";
export interface Approval {
  officer: StaffRef;
  at: number;
  off_since?: number;
  key: string;
  signature: string;
}
export type RunState =
  | { state: "proposed" }
  | { state: "running"; step: number; since: number }
  | { state: "abort-point"; step: number; until: number }
  | { state: "undoing"; step: number; why: string }
  | { state: "aborted"; why: string }
  | { state: "done" };
export interface JournalLine {
  at: number;
  step?: string;
  what: string;
  note: string;
}
export type Service = "log" | "queue" | "login" | "media" | "call" | "recording";
export interface LaneReport {
  lane: { node: string; service: Service };
  centre: string;
  from: number;
  to: number;
  sent: number;
  acked: number;
  gap_ms: number;
  gap_from: number;
  latency: { counts: number[] };
  serials: [number, number][];
}
export interface Verdict {
  acked: number;
  lost: number;
  lost_first: string[];
  rto_ms: Partial<Record<Service, number>>;
  green: boolean;
}
export interface Run {
  id: string;
  kind: Kind;
  plan: Plan;
  plan_hash: string;
  by: StaffRef;
  at: number;
  inject_loss: boolean;
  approvals: Approval[];
  state: RunState;
  journal: JournalLine[];
  lanes: LaneReport[];
  verdict?: Verdict;
  proof?: string;
}
export interface RunView {
  id: string;
  kind: Kind;
  aim: Aim;
  by: StaffRef;
  at: number;
  inject_loss: boolean;
  approved_by: StaffRef[];
  state: RunState;
  steps: number;
  verdict?: Verdict;
}

/** What is stated in a report: `guitai_evidence::drill::Statement`. */
export interface Statement {
  format: string;
  made_at: number;
  made_by: string;
  version: string;
  nodes: { name: string; centre: string; votes: boolean }[];
  run: Run;
  control_at?: number;
  clauses: { document: string; clause: string; asks: Text; answer: Text; checked: boolean }[];
}
/** Bytes in hexadecimal, as a node hands a report out. */
export interface Report {
  statement: string;
  signature: string;
  root: string;
}

export interface LaneLive {
  run: string;
  lane: { node: string; service: Service };
  centre: string;
  sent: number;
  acked: number;
  gap_ms: number;
  silent_ms: number;
}
export interface NodeLive {
  node: string;
  epoch: number;
  leads: boolean;
  applied: number;
  quarantine?: { heard: number; told_by: string; at: number };
  round_trips_us: Record<string, number>;
  behind: Record<string, { entries: number; ms: number }>;
  lanes: LaneLive[];
  verdict?: GuardVerdict;
}
export interface LiveView {
  at: number;
  node: string;
  applied: number;
  leader: string | null;
  nodes: NodeLive[];
  silent: string[];
  run?: Run;
  control_at?: number;
}
