// @vitest-environment happy-dom
import { afterEach, expect, test, vi } from "vitest";
import { ref } from "vue";
import { at, maybe, type Mounted, mount, press, said, settle } from "@/shared/testing";
import type { Problem, StaffView } from "@/shared/types";
import TransferDialog from "./TransferDialog.vue";
import * as words from "./words";

const colleague = (name: string, display: string, number: string): StaffView => ({
  id: { institution: "bank-a", name },
  display,
  number,
  duties: ["agent"],
  presence: "ready",
});
const wang = colleague("wang", "王磊", "8033");
const sun = colleague("sun", "孙倩", "8047");
const taken: Problem = {
  status: 409,
  code: "GT-0409",
  detail: "wang is not ready",
  cause: { zh: "对方已不在就绪状态", en: "The colleague is not ready any more" },
  next: { zh: "另选一位同事", en: "Choose another colleague" },
};

let page: Mounted | undefined;
afterEach(() => page?.unmount());

/** The dialog, closed as a call begins, over a desk that answers as told. */
async function dialog(language: "zh" | "en", asked: () => Promise<StaffView[]>, handed: (to: string) => Promise<Problem | undefined>) {
  const desk = { working: ref(""), colleagues: vi.fn(asked), transfer: vi.fn(handed) };
  const closed = vi.fn();
  page = mount(TransferDialog, words, language, {
    modelValue: false,
    desk,
    "onUpdate:modelValue": (open: boolean) => {
      closed(open);
      void page?.set({ modelValue: open });
    },
  });
  return { desk, closed, open: () => page!.set({ modelValue: true }) };
}

test.each(["zh", "en"] as const)("colleagues are asked for when it opens, chosen by name and confirmed (%s)", async (language) => {
  const { desk, closed, open } = await dialog(language, async () => [wang, sun], async () => undefined);
  expect(desk.colleagues).not.toHaveBeenCalled();
  await open();
  expect(desk.colleagues).toHaveBeenCalledTimes(1);
  expect(at("transfer-dialog").dataset["colleagues"]).toBe("2");
  expect(said("transfer-to-wang")).toBe("王磊8033");
  expect(said("transfer-yes")).toBe(words[language].transfer.go);
  // Nobody is chosen beforehand, and without a choice nothing can be confirmed.
  expect(at("transfer-to-wang").getAttribute("aria-checked")).toBe("false");
  await expect(press("transfer-yes")).rejects.toThrow("cannot be pressed");
  await press("transfer-to-sun");
  await press("transfer-to-wang");
  expect(at("transfer-to-wang").getAttribute("aria-checked")).toBe("true");
  expect(at("transfer-to-sun").getAttribute("aria-checked")).toBe("false");
  expect(desk.transfer).not.toHaveBeenCalled();
  await press("transfer-yes");
  expect(desk.transfer.mock.calls).toEqual([["wang"]]);
  expect(closed.mock.calls).toEqual([[false]]);
});

test.each([
  ["zh", taken.cause.zh, taken.next.zh],
  ["en", taken.cause.en, taken.next.en],
] as const)("a refusal says why, stays open and asks anew who is ready (%s)", async (language, cause, next) => {
  const lists = [[wang, sun], [sun]];
  const { desk, closed, open } = await dialog(language, async () => lists.shift() ?? [], async () => taken);
  await open();
  await press("transfer-to-wang");
  await press("transfer-yes");
  expect(at("problem").dataset["code"]).toBe("GT-0409");
  expect(said("problem")).toContain(cause);
  expect(said("problem")).toContain(next);
  expect(closed).not.toHaveBeenCalled();
  expect(desk.colleagues).toHaveBeenCalledTimes(2);
  expect(maybe("transfer-to-wang")).toBeNull();
  // The one chosen is gone from the list: confirming again must not hand the call to somebody unseen.
  await expect(press("transfer-yes")).rejects.toThrow("cannot be pressed");
});

test("nobody ready is said, asking again helps, and staying closes it without a transfer", async () => {
  const lists = [[], [sun]];
  const { desk, closed, open } = await dialog("zh", async () => lists.shift() ?? [], async () => undefined);
  await open();
  expect(said("transfer-none")).toBe(words.zh.transfer.none);
  await press("transfer-again");
  await settle();
  expect(maybe("transfer-none")).toBeNull();
  expect(said("transfer-to-sun")).toContain("8047");
  await press("transfer-no");
  expect(closed.mock.calls).toEqual([[false]]);
  expect(desk.transfer).not.toHaveBeenCalled();
});

test("what was chosen before is not chosen when it opens again", async () => {
  const { open } = await dialog("zh", async () => [wang], async () => undefined);
  await open();
  await press("transfer-to-wang");
  await press("transfer-no");
  await open();
  expect(at("transfer-to-wang").getAttribute("aria-checked")).toBe("false");
});
