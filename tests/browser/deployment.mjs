// One deployment for a browser test: `guitai up` with the demo profile on ports of its own.
import { spawn, execFileSync } from "node:child_process";
import { once } from "node:events";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import readline from "node:readline";

const repository = path.resolve(import.meta.dirname, "../..");
export const binary = process.env.GUITAI_BIN ?? path.join(repository, "target/debug/guitai");

/** `suite` is what the policy says sound is sealed with. */
export async function start(suite = "sm4-gcm-sm3-128") {
  const directory = fs.mkdtempSync(path.join(os.tmpdir(), "guitai-browser-"));
  const doorPort = 31000 + (process.pid % 500) * 2;
  const profile = path.join(directory, "profile.toml");
  const demo = fs.readFileSync(path.join(repository, "profiles/demo.toml"), "utf8");
  fs.writeFileSync(profile, demo.replace(/^media_suite = .*$/m, `media_suite = "${suite}"`).replaceAll(':4443"', `:${doorPort}"`).replaceAll(':7443"', `:${doorPort + 1}"`));
  const data = path.join(directory, "data");
  const up = spawn(binary, ["up", "--json", "--data", data, "--profile", profile], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  const first = readline.createInterface({ input: up.stdout })[Symbol.asyncIterator]().next();
  const line = await Promise.race([first, once(up, "exit").then(([code]) => Promise.reject(new Error(`up ended with ${code}`)))]);
  const ready = JSON.parse(line.value);
  const logins = JSON.parse(fs.readFileSync(ready.login_file, "utf8")).accounts;
  return {
    directory,
    data,
    edge: ready.edges[0],
    core: ready.cores[0],
    login: (duty) => logins.find((account) => account.duties.includes(duty)),
    // The answer of a command with --json.
    ask: (...words) => JSON.parse(execFileSync(binary, [...words, "--data", data, "--json"], { encoding: "utf8" })),
    // A command that must succeed.
    run: (...words) => execFileSync(binary, words, { encoding: "utf8" }),
    async stop() {
      if (up.exitCode === null) {
        up.kill("SIGINT");
        await once(up, "exit");
      }
      if (!process.env.GUITAI_KEEP) fs.rmSync(directory, { recursive: true, force: true });
    },
  };
}
