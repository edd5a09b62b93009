import { expect, test } from "vitest";
import { shown, untar } from "./archive";

export function tar(files: Record<string, string>): Uint8Array {
  const blocks: Uint8Array[] = [];
  for (const [name, content] of Object.entries(files)) {
    const bytes = new TextEncoder().encode(content);
    const header = new Uint8Array(512);
    header.set(new TextEncoder().encode(name), 0);
    header.set(new TextEncoder().encode(`${bytes.length.toString(8).padStart(11, "0")}\0`), 124);
    const padded = new Uint8Array(Math.ceil(bytes.length / 512) * 512);
    padded.set(bytes);
    blocks.push(header, padded);
  }
  blocks.push(new Uint8Array(1024));
  const whole = new Uint8Array(blocks.reduce((sum, block) => sum + block.length, 0));
  let at = 0;
  for (const block of blocks) {
    whole.set(block, at);
    at += block.length;
  }
  return whole;
}

test("files come out as they went in, and a package that is cut short is none", () => {
  const whole = tar({ "a/b.txt": "x".repeat(513), empty: "", last: "ü" });
  const files = untar(whole);
  expect([...files.keys()]).toEqual(["a/b.txt", "empty", "last"]);
  expect(files.get("a/b.txt")!.length).toBe(513);
  expect(new TextDecoder().decode(files.get("last"))).toBe("ü");
  for (const length of [0, 100, 512, 1024, whole.length - 1024]) expect(() => untar(whole.subarray(0, length))).toThrow("cut short");
  const spoilt = whole.slice();
  spoilt[124] = 0x39;
  expect(() => untar(spoilt)).toThrow("no size");
});

test("what the package's page shows is read from it", () => {
  const data = { session: "5e55", length_ms: 7, events: [{ kind: "</script>" }] };
  const page = `<p>x</p><script type="application/json" id="data">${JSON.stringify(data).replaceAll("<", "\\u003c")}</script><script>1</script>`;
  expect(shown(untar(tar({ "view.html": page })))).toEqual(data);
  expect(() => shown(untar(tar({ other: "" })))).toThrow("view.html");
});
