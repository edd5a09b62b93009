// Answers of nodes, for tests.

import type { FlowsSeen, NodeFlows, SeenFlow } from "./types";

export const flow = (rest: Partial<SeenFlow> = {}): SeenFlow => ({
  uid: "01", way: "opened", peer: "b-1", zone: "inner", protocol: "raft", rows: ["raft"], standing: "declared", why: null,
  first: 0, last: 0, connections: 1, open: 1, sent: 0, received: 0, ...rest,
});

export const node = (name: string, flows: SeenFlow[], rest: Partial<NodeFlows> = {}): NodeFlows => ({
  node: name, zone: name.startsWith("edge") ? "dmz" : "inner", matrix: "m1", since: 0, at: 0, flows, sockets: [], no_sockets: null, left_out: 0, ...rest,
});

export const seen = (nodes: NodeFlows[], at = 0, rest: Partial<FlowsSeen> = {}): FlowsSeen => ({
  at, matrix: "m1", checkpoint: null, nodes, silent: [], findings: [], ...rest,
});
