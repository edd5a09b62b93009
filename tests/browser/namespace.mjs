// A network namespace with a loopback of its own and the kernel's packet filter: what is dropped there is dropped for
// nobody else, and without a word, as firewalls do it.
import { execFileSync } from "node:child_process";

const TABLE = "inet guitai";

/** Whether a command can be run here at all. */
function has(command) {
  try {
    execFileSync("sh", ["-c", `command -v ${command}`]);
    return true;
  } catch {
    return false;
  }
}

export const namespace = {
  /** What is missing for one; nothing when all is there. */
  lacks() {
    if (process.getuid() !== 0) return "a network namespace needs root";
    const missing = ["ip", "nft", "openssl"].filter((command) => !has(command));
    return missing.length > 0 ? `there is no ${missing.join(", ")} (Debian: apt-get install iproute2 nftables openssl)` : false;
  },

  make() {
    const name = `guitai-reach-${process.pid}`;
    const ip = (...words) => execFileSync("ip", words);
    const nft = (rules) => execFileSync("ip", ["netns", "exec", name, "nft", "-f", "-"], { input: rules });
    ip("netns", "add", name);
    ip("netns", "exec", name, "ip", "link", "set", "lo", "up");
    nft(`table ${TABLE} {\nchain input {\ntype filter hook input priority 0; policy accept;\n}\n}\n`);
    return {
      name,
      /** Drops what matches any of the rules; answers how to let it through again, and how many packets there were. */
      drop(...matches) {
        nft(matches.map((match) => `add rule ${TABLE} input ${match} counter drop\n`).join(""));
        const dropped = () => {
          const { nftables } = JSON.parse(execFileSync("ip", ["netns", "exec", name, "nft", "-j", "list", "ruleset"], { encoding: "utf8" }));
          const counters = nftables.flatMap(({ rule }) => rule?.expr ?? []).map(({ counter }) => counter?.packets ?? 0);
          return counters.reduce((sum, count) => sum + count, 0);
        };
        return Object.assign(() => nft(`flush chain ${TABLE} input`), { dropped });
      },
      remove: () => ip("netns", "delete", name),
    };
  },
};
