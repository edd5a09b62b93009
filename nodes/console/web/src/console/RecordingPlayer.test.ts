// @vitest-environment happy-dom
import { afterEach, expect, test, vi } from "vitest";
import { all, at, maybe, type Mounted, mount, press, said, settle } from "@/shared/testing";
import type { PlayData } from "./archive";
import RecordingPlayer from "./RecordingPlayer.vue";
import * as words from "./words";

let page: Mounted | undefined;
afterEach(() => page?.unmount());

const data: PlayData = {
  session: "5e55",
  recorder: "a1-2",
  started_at: 1_795_000_000_000,
  sealed_at: 1_795_000_020_000,
  length_ms: 10_000,
  files: [{ party: "customer", file: "customer-1.mp4", from_ms: 1_000, to_ms: 9_000 }],
  bars: [{ party: "customer", media: "video", from_ms: 1_000, to_ms: 9_000 }],
  gaps: [{ party: "agent", media: "audio", from_ms: 2_000, length_ms: 500, cause: "recorder-restart" }],
  marks: [{ party: "customer", media: "video", from_ms: 3_000, length_ms: 900, flaw: "frozen" }],
  events: [
    { at_ms: 0, kind: "consent", actor: "customer", details: "" },
    { at_ms: 4_000, kind: "step", actor: "agent", details: "step: risk" },
  ],
};

test("jumps from event to event, shows the picture that is there then, and who watches in it", async () => {
  const close = vi.fn();
  page = mount(RecordingPlayer, words, "zh", { data: undefined, files: undefined, viewer: "赵审计 9001", onClose: close });
  expect(maybe("player")).toBeNull();
  await page.set({ data, files: new Map([["customer-1.mp4", new Uint8Array([1])]]) });
  expect(said("player")).toContain("5e55");
  expect(all("player-mark").every((mark) => mark.textContent?.includes("赵审计 9001"))).toBe(true);
  expect(all("player-gap")[0]!.title).toBe("recorder-restart 500 ms");
  expect(all("player-flaw").map((mark) => mark.title)).toEqual(["画面停顿 900 ms"]);
  expect(at("player-customer").getAttribute("src")).toBeNull();
  await press("player-next");
  expect(at("player").dataset.at).toBe("4000");
  expect(at("player-customer").getAttribute("src")).toMatch(/^blob:/);
  expect(at("player-agent").getAttribute("src")).toBeNull();
  await press("player-before");
  expect(at("player").dataset.at).toBe("0");
  all("player-event")[1]!.click();
  await settle();
  expect(at("player").dataset.at).toBe("4000");
  at("player-line").dispatchEvent(new KeyboardEvent("keydown", { key: "ArrowRight", bubbles: true }));
  await settle();
  expect(at("player").dataset.at).toBe("5000");
});
