// A big bank's flows, for the tests of their page and for its measurement: so many, on so many nodes. The same every
// time. Never part of the build.

import { states } from "./dr.mjs";

const PROTOCOLS = ["raft", "tunnel", "moq-mesh", "call", "node", "crl"];
const AT = Date.UTC(2026, 10, 24, 6, 0, 0);

/** Status of a cluster whose centres are the demonstration's, with so many nodes. */
export function bigStatus(nodes) {
  const status = states.quiet().status;
  const [sample] = status.nodes;
  const centres = status.centres.map(({ id }) => id);
  return {
    ...status,
    nodes: Array.from({ length: nodes }, (_, at) => {
      const centre = centres[at % centres.length];
      const dmz = at % 5 === 4;
      const name = dmz ? `edge-${centre}-${at}` : `${centre}-${at}`;
      const member = { ...sample.member, id: at + 1, name, centre, zone: dmz ? "dmz" : "inner", roles: dmz ? ["edge"] : ["core"], voice: dmz ? "none" : "learner" };
      return { ...sample, member, leader: at === 0, up: true };
    }),
  };
}

/** What all nodes of a status saw: `count` flows in all; one in two hundred was refused, one in a thousand is undeclared. */
export function bigSeen(status, count, at = AT) {
  const nodes = status.nodes.map(({ member }) => ({
    node: member.name, zone: member.zone, matrix: "m1", since: AT - 86_400_000, at, flows: [], sockets: [], no_sockets: null, left_out: 0,
  }));
  for (let number = 0; number < count; number++) {
    const from = nodes[number % nodes.length];
    // Every pair in turn, then again by another protocol.
    const turn = Math.floor(number / nodes.length);
    const other = nodes[(number + 1 + (turn % (nodes.length - 1))) % nodes.length];
    const standing = number % 1_000 === 7 ? "undeclared" : number % 200 === 3 ? "refused" : "declared";
    const customer = from.zone === "dmz" && turn % 9 === 0;
    const trouble = standing !== "declared";
    from.flows.push({
      uid: String(number), way: customer ? "accepted" : "opened", peer: customer ? "customer" : other.node, zone: customer ? "outer" : other.zone,
      protocol: customer ? "http" : PROTOCOLS[turn % PROTOCOLS.length], rows: trouble ? [] : [`row-${number % 40}`], standing,
      why: trouble ? "no row allows it" : null, first: AT - 86_400_000, last: at, connections: 1 + (number % 90), open: number % 4,
      sent: number * 977 + at - AT, received: number * 311,
    });
  }
  const findings = nodes.flatMap(({ node, flows }) =>
    flows.filter(({ standing }) => standing === "undeclared").map(() => ({ node, fault: "flow", what: { zh: "流转未声明", en: "a flow is not declared" } })),
  );
  return { at, matrix: "m1", checkpoint: null, nodes, silent: [], findings };
}
