// @vitest-environment happy-dom
import { afterEach, expect, test, vi } from "vitest";
import { at, maybe, type Mounted, mount, press, said, settle } from "@/shared/testing";
import ReasonDialog from "./ReasonDialog.vue";
import * as words from "./words";

let page: Mounted | undefined;
afterEach(() => page?.unmount());

async function asked(language: "zh" | "en") {
  const give = vi.fn();
  page = mount(ReasonDialog, words, language, { session: undefined, recorder: undefined, onGive: give });
  await page.set({ session: "5e55" });
  return give;
}

async function type(text: string) {
  const handle = at("reason");
  const input = handle instanceof HTMLInputElement ? handle : handle.querySelector("input")!;
  input.value = text;
  input.dispatchEvent(new Event("input"));
  await settle();
}

test("nothing is handed out without a reason, and what was typed is given as one line", async () => {
  const give = await asked("en");
  expect((at("reason-yes") as HTMLButtonElement).disabled).toBe(true);
  await type("   ");
  expect((at("reason-yes") as HTMLButtonElement).disabled).toBe(true);
  await type(" complaint 42 ");
  await press("reason-yes");
  expect(give).toHaveBeenCalledExactlyOnceWith("complaint 42");
});

test("the limit is of bytes, and is named", async () => {
  const give = await asked("zh");
  await type("查".repeat(66));
  expect(maybe("reason-long")).toBeNull();
  await type("查".repeat(67));
  expect(said("reason-long")).toContain("200");
  expect((at("reason-yes") as HTMLButtonElement).disabled).toBe(true);
  expect(give).not.toHaveBeenCalled();
});
