// @vitest-environment happy-dom
import { afterEach, expect, test } from "vitest";
import { maybe, type Mounted, mount, said } from "@/shared/testing";
import type { RaisedAlarm } from "@/shared/types";
import LogAlarms from "./LogAlarms.vue";
import * as words from "./words";

let page: Mounted | undefined;
afterEach(() => page?.unmount());

const alarm: RaisedAlarm = {
  at: 1_795_000_000_000,
  alarm: { witness: "b-1", tree: "sm3", size: 4711, known: "ab".repeat(32), shown: "cd".repeat(32) },
};

test("two trees are shouted about in both languages, with who saw it, and what to do", () => {
  for (const language of ["zh", "en"] as const) {
    page = mount(LogAlarms, words, language, { alarms: [alarm] });
    const text = said("log-alarms");
    for (const part of ["b-1", "SM3", "4711", "abababababababab…", "cdcdcdcdcdcdcdcd…"]) expect(text).toContain(part);
    expect(text).toContain(language === "zh" ? "保全" : "keep every node's data");
    page.unmount();
  }
  page = undefined;
});

test("nothing is said where nothing was seen", () => {
  page = mount(LogAlarms, words, "en", { alarms: [] });
  expect(maybe("log-alarms")).toBeNull();
});
