// @vitest-environment happy-dom
import { afterEach, expect, test, vi } from "vitest";
import { all, at, type Mounted, mount, press, said } from "@/shared/testing";
import type { Assignment, RecordingSummary, SessionView } from "@/shared/types";
import RecordingTurns from "./RecordingTurns.vue";
import * as words from "./words";

const summary = (node: string, frames: number, gaps: number): RecordingSummary => ({
  node,
  root: node.repeat(10),
  duration_ms: 61_000,
  bytes: 1_330_607,
  segments: 92,
  frames,
  gaps,
  at: 9,
});
const whole = summary("a2-2", 2744, 0);
const sealed = (one: RecordingSummary) => ({ state: "sealed", summary: one }) as const;
const turns: Assignment[] = [
  { number: 1, node: "a1-2", epoch: 1, since: 1_000, until: 4_000, cause: "recorder-gone", recording: sealed(summary("a1-2", 300, 4)) },
  { number: 2, node: "a2-2", epoch: 1, since: 1_000, recording: sealed(whole) },
  { number: 3, node: "b-2", epoch: 2, since: 4_000, recording: { state: "running", since: 4_100 } },
];
const session = { id: "d0200cef", assignments: turns, recording: sealed(whole) } as unknown as SessionView;

let page: Mounted | undefined;
afterEach(() => page?.unmount());

function shown(language: "zh" | "en", mayExport: boolean) {
  const download = vi.fn();
  page = mount(RecordingTurns, words, language, { session, mayExport, loading: "", onDownload: download });
  return download;
}

test.each([
  ["zh", "失联，已由其他节点接替", "内容最全", "4 处缺口"],
  ["en", "not heard of; another took over", "has most", "4 gaps"],
] as const)("every turn says who recorded, why it was over and what is there (%s)", (language, cause, most, gaps) => {
  shown(language, true);
  expect(at("turns-d0200cef").dataset["turns"]).toBe("3");
  expect(said("turn-1")).toContain(cause);
  expect(said("turn-1")).toContain(gaps);
  expect(said("turn-1")).not.toContain(most);
  expect(said("turn-2")).toContain(most);
  expect(all("turn-cause").length).toBe(1);
});

test("each copy that is sealed is downloaded by its node's name", async () => {
  const download = shown("en", true);
  await press("package-d0200cef-1");
  expect(download).toHaveBeenCalledWith("d0200cef", "a1-2");
  expect((at("package-d0200cef-3") as HTMLButtonElement).disabled).toBe(true);
});

test("who may not export gets no copy", () => {
  shown("en", false);
  for (const number of [1, 2, 3]) expect((at(`package-d0200cef-${number}`) as HTMLButtonElement).disabled).toBe(true);
});
