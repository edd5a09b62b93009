// What nodes saw of their connections, as the API has it, and the matrix in force.

import type { Text, Zone } from "@/shared/types";

export type Standing = "declared" | "run-out" | "refused" | "undeclared";
export type Fault = "flow" | "socket" | "refused" | "one-sided" | "matrix" | "silent" | "blind";

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
  log_size: number | null;
  nodes: NodeFlows[];
  silent: string[];
  findings: { node: string; fault: Fault; what: Text }[];
}
