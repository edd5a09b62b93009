// @vitest-environment happy-dom
import { afterEach, expect, test, vi } from "vitest";
import { at, type Mounted, mount, press, said, settle } from "@/shared/testing";
import RecordingSearch from "./RecordingSearch.vue";
import * as words from "./words";

let page: Mounted | undefined;
afterEach(() => {
  page?.unmount();
  vi.useRealTimers();
});

async function put(handle: string, value: string) {
  const field = at(handle) as HTMLInputElement | HTMLSelectElement;
  field.value = value;
  field.dispatchEvent(new Event(field.tagName === "SELECT" ? "change" : "input"));
  await settle();
}

test("what is looked for is asked once, when nobody types any more", async () => {
  vi.useFakeTimers();
  const search = vi.fn();
  const queues = [{ institution: "demo-bank", queue: "wealth", name: { zh: "理财", en: "Wealth" } }];
  page = mount(RecordingSearch, words, "en", { queues, found: 500, max: 500, onSearch: search });
  expect(said("search-found")).toContain("only the newest 500");
  await put("search-text", " 李 8001 ");
  await put("search-from", "2026-11-01");
  await put("search-to", "2026-11-02");
  await put("search-queue", "wealth");
  await put("search-end", "recording-lost");
  await put("search-gaps", "true");
  expect(search).not.toHaveBeenCalled();
  vi.advanceTimersByTime(300);
  expect(search).toHaveBeenCalledOnce();
  const asked = new URLSearchParams(search.mock.calls[0]![0]);
  expect(asked.get("text")).toBe("李 8001");
  // Both days are in it, by the clock of who asks.
  expect(Number(asked.get("from"))).toBe(new Date(2026, 10, 1).getTime());
  expect(Number(asked.get("to"))).toBe(new Date(2026, 10, 3).getTime());
  expect([asked.get("queue"), asked.get("end"), asked.get("gaps")]).toEqual(["wealth", "recording-lost", "true"]);
  await press("search-clear");
  vi.advanceTimersByTime(300);
  expect(search).toHaveBeenLastCalledWith(undefined);
});
