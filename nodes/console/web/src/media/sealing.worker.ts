// The sealing worker: frames are sealed and opened here, never on the page's own thread.

import type { Suite } from "./crypto/suites";
import { type Answer, Engine, type Order } from "./engine";
import type { Party } from "./sframe";

/** How often keys that are over are forgotten and frames that wait are looked at. */
const TICK_MS = 500;

export interface Setup {
  party: Party;
  audio: Suite;
}

let engine: Engine | undefined;

function answer(answers: Answer[]): void {
  for (const one of answers) postMessage(one, { transfer: one.data ? [one.data.buffer] : [] });
}

addEventListener("message", ({ data }: MessageEvent<Setup | Order>) => {
  if ("party" in data) engine = new Engine(data.party, data.audio);
  else if (engine) answer(engine.obey(data, performance.now()));
});
setInterval(() => engine && answer(engine.obey({ do: "tick" }, performance.now())), TICK_MS);
