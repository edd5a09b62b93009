// What nodes saw of their connections, as the API has it, and the matrix in force.

import type { Text, Zone } from "@/shared/types";

export type Standing = "declared" | "run-out" | "refused" | "undeclared";
export type Fault = "flow" | "socket" | "refused" | "outside" | "one-sided" | "matrix" | "silent" | "unknown" | "blind";

export interface SeenFlow {
  uid: string;
  way: "opened" | "accepted";
  peer: string;
  zone: Zone | null;
  protocol: string;
  rows: string[];
  standing: Standing;
  why: string | null;
  first: number;
  last: number;
  connections: number;
  open: number;
  sent: number;
  received: number;
}
export interface SeenSocket {
  transport: string;
  local: string;
  remote: string | null;
  what: string;
  standing: Standing;
  first: number;
  last: number;
}
export interface NodeFlows {
  node: string;
  zone: Zone;
  matrix: string;
  since: number;
  at: number;
  flows: SeenFlow[];
  sockets: SeenSocket[];
  no_sockets: string | null;
  left_out: number;
}
export interface FlowsSeen {
  at: number;
  matrix: string | null;
  checkpoint: string | null;
  nodes: NodeFlows[];
  silent: string[];
  findings: { node: string; fault: Fault; what: Text }[];
}

/** What a matrix would change: faults, or the digest and the changes in words. */
export interface FlowPlan {
  sm3: string | null;
  faults: string[];
  widens: boolean;
  changes: { row: string; effect: "widens" | "narrows" | "neutral"; words: Text }[];
}

/** A stretch of time out of the flow log. */
export interface FlowsKept {
  from: number;
  to: number;
  minutes: number;
  matrix: string | null;
  checkpoint: string | null;
  nodes: NodeFlows[];
  gaps: { node: string; from: number; to: number }[];
  findings: FlowsSeen["findings"];
}
