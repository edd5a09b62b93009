import { expect, test } from "vitest";
import { toHex } from "./bytes";
import { CTR_HMAC } from "./crypto/suites";
import { type Answer, Engine, WAIT_MS } from "./engine";
import { decodeHeader } from "./sframe";

const key = (epoch: number) => new Uint8Array(32).fill(epoch);
const plain = () => Uint8Array.of(1, 2, 3);

function pair(): [Engine, Engine] {
  return [new Engine("customer", CTR_HMAC), new Engine("agent", CTR_HMAC)];
}
function sealed(engine: Engine, track: "video" | "audio" = "video"): Uint8Array {
  const [answer] = engine.obey({ do: "seal", call: 1, track, data: plain() }, 0);
  if (!answer?.data) throw new Error("not sealed");
  return answer.data;
}
const open = (engine: Engine, call: number, data: Uint8Array, now: number, track: "video" | "audio" = "video") =>
  engine.obey({ do: "open", call, track, data }, now);
const texts = (answers: Answer[]) => answers.map(({ call, data }) => [call, data && toHex(data)]);

test("without a key nothing leaves the page", () => {
  expect(pair()[0].obey({ do: "seal", call: 4, track: "video", data: plain() }, 0)).toEqual([{ call: 4 }]);
});

test("both tracks go through, each with its suite", () => {
  const [customer, agent] = pair();
  for (const engine of [customer, agent]) engine.obey({ do: "key", epoch: 1, key: key(1) }, 0);
  expect(texts(open(agent, 1, sealed(customer), 0))).toEqual([[1, "010203"]]);
  expect(texts(open(agent, 2, sealed(customer, "audio"), 0, "audio"))).toEqual([[2, "010203"]]);
  expect(texts(open(agent, 3, sealed(customer, "audio"), 0))).toEqual([[3, undefined]]);
});

test("frames ahead of their key wait for it and come out in order", () => {
  const [customer, agent] = pair();
  for (const engine of [customer, agent]) engine.obey({ do: "key", epoch: 1, key: key(1) }, 0);
  const before = sealed(customer);
  customer.obey({ do: "key", epoch: 2, key: key(2) }, 0);
  expect(open(agent, 1, sealed(customer), 100)).toEqual([]);
  expect(open(agent, 2, sealed(customer), 110)).toEqual([]);
  // What was under way under the former key still opens at once.
  expect(texts(open(agent, 3, before, 120))).toEqual([[3, "010203"]]);
  expect(texts(agent.obey({ do: "key", epoch: 2, key: key(2) }, 200))).toEqual([
    [1, "010203"],
    [2, "010203"],
  ]);
});

test("a frame whose key never comes is given up after a while", () => {
  const [customer, agent] = pair();
  customer.obey({ do: "key", epoch: 1, key: key(1) }, 0);
  expect(open(agent, 1, sealed(customer), 0)).toEqual([]);
  expect(agent.obey({ do: "tick" }, WAIT_MS - 1)).toEqual([]);
  expect(agent.obey({ do: "tick" }, WAIT_MS)).toEqual([{ call: 1 }]);
});

test("only so many frames wait", () => {
  const [customer, agent] = pair();
  customer.obey({ do: "key", epoch: 1, key: key(1) }, 0);
  const refused = Array.from({ length: 300 }, (_, call) => open(agent, call, sealed(customer), 0)).flat();
  expect(refused).toHaveLength(300 - 256);
});

test("who is gone opens nothing of the next key", () => {
  const [customer, former] = pair();
  for (const engine of [customer, former]) engine.obey({ do: "key", epoch: 1, key: key(1) }, 0);
  customer.obey({ do: "key", epoch: 2, key: key(2) }, 0);
  open(former, 1, sealed(customer), 0);
  expect(former.obey({ do: "tick" }, WAIT_MS)).toEqual([{ call: 1 }]);
});

test("a new broadcast starts its counters elsewhere; a new key goes on counting", () => {
  const [customer] = pair();
  customer.obey({ do: "key", epoch: 1, key: key(1) }, 0);
  const counters = () => decodeHeader(sealed(customer)).counter;
  const first = counters();
  customer.obey({ do: "key", epoch: 2, key: key(2) }, 0);
  expect(counters()).toBe(first + 1n);
  customer.obey({ do: "begin" }, 0);
  expect(counters() >> 32n).not.toBe(first >> 32n);
});
