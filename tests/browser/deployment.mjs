// One deployment for a browser test: `guitai up` with the demo profile on ports of its own.
import { spawn, execFileSync } from "node:child_process";
import { once } from "node:events";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import readline from "node:readline";
import { artifacts } from "./browser.mjs";

const repository = path.resolve(import.meta.dirname, "../..");
export const binary = process.env.GUITAI_BIN ?? path.join(repository, "target/debug/guitai");

// The process that runs a node, by its configuration; a zombie has no command line.
function pidOf(file) {
  const ids = fs.readdirSync("/proc").filter((name) => /^\d+$/.test(name));
  const found = ids.find((id) => {
    try {
      return fs.readFileSync(`/proc/${id}/cmdline`, "utf8").split("\0").includes(file);
    } catch {
      return false;
    }
  });
  return found === undefined ? undefined : Number(found);
}

/** One certificate for all doors of a profile, and the profile with it: each door is called by its address. */
function withTls(directory, text) {
  const doors = [...text.matchAll(/^door = "([\d.]+):(\d+)"$/gm)];
  const names = doors.map(([, address]) => `IP:${address}`).join(",");
  const [key, certificate] = ["door.key.pem", "door.pem"];
  execFileSync("openssl", ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30",
    "-subj", "/CN=doors of a test", "-addext", "basicConstraints=critical,CA:FALSE", "-addext", `subjectAltName=${names}`, "-keyout", path.join(directory, key), "-out", path.join(directory, certificate)], { stdio: "pipe" });
  fs.chmodSync(path.join(directory, key), 0o600);
  return text.replace(/^door = "(.*)"$/gm, (line, address) => `${line}\ntls = { origin = "https://${address}", certificate = "${certificate}", key = "${key}" }`);
}

/**
 * `suite` is what the policy says sound is sealed with; with `tls` the doors have a certificate; `within` is a network
 * namespace.
 */
export async function start({ suite = "sm4-gcm-sm3-128", tls = false, within } = {}) {
  const directory = fs.mkdtempSync(path.join(os.tmpdir(), "guitai-browser-"));
  const doorPort = 31000 + (process.pid % 500) * 2;
  const profile = path.join(directory, "profile.toml");
  const demo = fs.readFileSync(path.join(repository, "profiles/demo.toml"), "utf8");
  const text = demo.replace(/^media_suite = .*$/m, `media_suite = "${suite}"`).replaceAll(':4443"', `:${doorPort}"`).replaceAll(':7443"', `:${doorPort + 1}"`);
  fs.writeFileSync(profile, tls ? withTls(directory, text) : text);
  const data = path.join(directory, "data");
  const words = ["up", "--json", "--data", data, "--profile", profile];
  const [program, ...rest] = within ? ["ip", "netns", "exec", within, binary, ...words] : [binary, ...words];
  const up = spawn(program, rest, { stdio: ["ignore", "pipe", "inherit"] });
  const first = readline.createInterface({ input: up.stdout })[Symbol.asyncIterator]().next();
  const line = await Promise.race([first, once(up, "exit").then(([code]) => Promise.reject(new Error(`up ended with ${code}`)))]);
  const ready = JSON.parse(line.value);
  const logins = JSON.parse(fs.readFileSync(ready.login_file, "utf8")).accounts;
  return {
    directory,
    data,
    edge: ready.edges[0],
    core: ready.cores[0],
    /** Freezes a node, as a host that hangs or whose cable is out. Answers how to let it go on. */
    async freeze(node) {
      const id = pidOf(path.join(data, node, "node.toml"));
      process.kill(id, "SIGSTOP");
      return () => process.kill(id, "SIGCONT");
    },
    /** Kills a node the hard way and keeps it down: whoever is started in its place is frozen at once. Answers how to bring it back. */
    async kill(node) {
      const file = path.join(data, node, "node.toml");
      const before = pidOf(file);
      process.kill(before, "SIGKILL");
      let after;
      for (let tries = 0; tries < 400 && after === undefined; tries++) {
        await new Promise((resolve) => setTimeout(resolve, 10));
        const now = pidOf(file);
        if (now !== undefined && now !== before) after = now;
      }
      if (after === undefined) throw new Error(`${node} was not started again`);
      process.kill(after, "SIGSTOP");
      return () => process.kill(after, "SIGCONT");
    },
    /** Copies every node's log to the artifacts: of a test that failed on another machine nothing else is left. */
    keepLogs(test) {
      for (const node of fs.readdirSync(data)) {
        const log = path.join(data, node, "node.log");
        if (fs.existsSync(log)) fs.copyFileSync(log, path.join(artifacts, `failed-${test}-${node}.log`));
      }
    },
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
