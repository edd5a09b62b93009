// @vitest-environment happy-dom
import { afterEach, expect, test, vi } from "vitest";
import { nextTick } from "vue";
import { all, at, type Mounted, mount, said } from "@/shared/testing";
import type { KeptView } from "@/shared/types";
import KeepingNote from "./KeepingNote.vue";
import * as words from "./words";

const kept: KeptView = {
  session: "d0200cef",
  institution: "demo-bank",
  ended_at: 1_795_000_000_000,
  copies: [
    { node: "a1-2", centre: "a1", health: { is: "damaged", at: 1, what: "segment 3 of track 1" } },
    { node: "a2-2", centre: "a2", health: { is: "whole" }, read_at: 5 },
    { node: "b-2", centre: "b", health: { is: "replica", at: 2, from: "a2-2" } },
  ],
  classes: [{ class: "loan", name: { zh: "贷款面签", en: "loan signing" }, minimum: "10y", version: 1, dates: { ends: "2031-05-09" }, until: "2041-05-09" }],
  holds: [{ number: 1, by: { institution: "demo-bank", name: "chenjing" }, at: 1_795_000_000_000, reason: "(2026)沪74民终889号" }],
  due: { until: "2041-05-09", class: "loan", version: 1 },
  stage: { is: "kept" },
  centres: ["a2", "b"],
  centres_wanted: 2,
};

let page: Mounted | undefined;
afterEach(() => page?.unmount());

async function shown(language: "zh" | "en", answer: KeptView | Error) {
  const ask = vi.fn(async () => {
    if (answer instanceof Error) throw answer;
    return answer;
  });
  const centres = [{ id: "a2", name: { zh: "同城中心", en: "second centre" } }];
  page = mount(KeepingNote, words, language, { session: "d0200cef", centres, ask });
  await nextTick();
  await nextTick();
  return ask;
}

test.each([
  ["zh", "贷款面签", "损坏", "同城中心"],
  ["en", "loan signing", "damaged", "second centre"],
] as const)("last day, class, hold and copies are said (%s)", async (language, name, damaged, centre) => {
  const ask = await shown(language, kept);
  expect(ask).toHaveBeenCalledWith("GET", "/api/v1/recordings/d0200cef/keeping");
  expect(said("keeping-until")).toContain("2041-05-09");
  expect(said("keeping-classes")).toContain(name);
  expect(said("keeping-holds")).toContain("889");
  expect(said("copy-a1-2")).toContain(damaged);
  expect(at("copy-a1-2").title).toBe("segment 3 of track 1");
  expect(said("copy-a2-2")).toContain(centre);
  expect(at("copy-b-2").dataset["health"]).toBe("replica");
});

test("one without an end is kept for ever, and an erased one names its entry", async () => {
  const { due: _, ...endless } = kept;
  await shown("en", { ...endless, classes: [], holds: [] });
  expect(said("keeping-until")).toContain("no end");
  expect(all("keeping-holds").length).toBe(0);
  page?.unmount();
  await shown("en", { ...kept, stage: { is: "erased", at: 7, entry: 41 } });
  expect(said("keeping-until")).toContain("41");
});

test("a recording that is not sealed yet has no such line", async () => {
  await shown("zh", new Error("none"));
  expect(all("keeping-d0200cef").length).toBe(0);
});
