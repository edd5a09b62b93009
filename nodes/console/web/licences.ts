// Names, versions and licence texts of everything that is bundled into the pages, as one text beside them.

import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { Plugin } from "vite";

interface Manifest {
  name: string;
  version: string;
  license?: string;
}

/** The package a module belongs to, if it comes from one. */
function packageOf(module: string): string | undefined {
  const path = module.replace(/^\0/, "").split("?")[0] ?? "";
  const at = path.lastIndexOf("/node_modules/");
  if (at < 0) return undefined;
  const [scope = "", name = ""] = path.slice(at + "/node_modules/".length).split("/");
  return join(path.slice(0, at), "node_modules", scope.startsWith("@") ? join(scope, name) : scope);
}

export function licences(): Plugin {
  return {
    name: "guitai-licences",
    generateBundle(_options, bundle) {
      const folders = new Set<string>();
      for (const chunk of Object.values(bundle)) {
        if (chunk.type !== "chunk") continue;
        for (const module of Object.keys(chunk.modules)) {
          const folder = packageOf(module);
          if (folder && existsSync(join(folder, "package.json"))) folders.add(folder);
        }
      }
      const entries = [...folders].map((folder) => {
        const { name, version, license = "?" } = JSON.parse(readFileSync(join(folder, "package.json"), "utf8")) as Manifest;
        const file = readdirSync(folder).sort().find((one) => /^licen[cs]e/i.test(one));
        const text = file ? readFileSync(join(folder, file), "utf8").trim() : "";
        return `${name} ${version} (${license})\n\n${text}`.trim();
      });
      const source = `${entries.sort().join(`\n\n${"-".repeat(72)}\n\n`)}\n`;
      this.emitFile({ type: "asset", fileName: "licences.txt", source });
    },
  };
}
