// How fast the pages seal and open frames, beside sm-crypto-v2 in the same run: `npm run bench`.
// CPU time of one thread, best of several windows, so that other work on the machine does not count.

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { sm4 } from "sm-crypto-v2";
import { build } from "vite";

const out = mkdtempSync(join(tmpdir(), "guitai-bench-"));
await build({
  configFile: false,
  logLevel: "error",
  root: new URL("..", import.meta.url).pathname,
  build: { ssr: "src/media/sframe.ts", outDir: out, emptyOutDir: true, minify: false },
});
const { Sealer, Opener } = await import(join(out, "sframe.js"));
rmSync(out, { recursive: true });

const key = new Uint8Array(32).fill(7);
const name = new TextEncoder().encode("video");
const SUITES = { "0xF001 SM4-GCM": 0xf001, "0xF002 SM4-CTR+HMAC-SM3": 0xf002 };

/** Microseconds of CPU per call. */
function cost(work) {
  for (let i = 0; i < 300; i++) work();
  let best = Infinity;
  for (let round = 0; round < 9; round++) {
    let calls = 0;
    const begun = process.cpuUsage();
    const until = performance.now() + 120;
    while (performance.now() < until) for (let i = 0; i < 8; i++, calls++) work();
    const { user, system } = process.cpuUsage(begun);
    best = Math.min(best, (user + system) / calls);
  }
  return best;
}

const rows = [];
for (const bytes of [80, 1200, 5000, 16384]) {
  const plain = new Uint8Array(bytes).fill(9);
  const row = (what, micros) => rows.push({ bytes, what, "µs a frame": +micros.toFixed(2), "MB/s": +(bytes / micros).toFixed(1) });
  for (const [label, suite] of Object.entries(SUITES)) {
    const sealer = new Sealer(suite, key, 2n, 1n << 40n);
    const opener = new Opener(suite, key);
    const sealed = sealer.seal(name, plain);
    row(`${label}: seal`, cost(() => sealer.seal(name, plain)));
    row(`${label}: open`, cost(() => opener.open(name, sealed)));
  }
  const options = { mode: "gcm", iv: new Uint8Array(12), associatedData: name, output: "array", outputTag: true };
  row("sm-crypto-v2 SM4-GCM: seal", cost(() => sm4.encrypt(plain, key.subarray(0, 16), options)));
}
console.table(rows);
