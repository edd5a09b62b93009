// @vitest-environment happy-dom
import { afterEach, expect, test, vi } from "vitest";
import { at, type Mounted, mount, press, said } from "@/shared/testing";
import type { Business } from "@/shared/types";
import BusinessForm from "./BusinessForm.vue";
import * as words from "./words";

let page: Mounted | undefined;
afterEach(() => page?.unmount());

const field = (name: string) => {
  const element = at(`business-${name}`);
  return (element instanceof HTMLInputElement ? element : element.querySelector("input")) as HTMLInputElement;
};
async function write(name: string, text: string) {
  field(name).value = text;
  field(name).dispatchEvent(new Event("input"));
  await page?.set({});
}

test.each(["zh", "en"] as const)("numbers are saved once, without blanks around them (%s)", async (language) => {
  const save = vi.fn(async (_: Business) => true);
  page = mount(BusinessForm, words, language, { business: undefined, working: false, save });
  expect(said("business-save")).toBe(words[language].business.save);
  await expect(press("business-save")).rejects.toThrow("cannot be pressed");
  await write("number", " HT-2026-0042 ");
  at("business").dispatchEvent(new Event("submit", { cancelable: true }));
  expect(save.mock.calls).toEqual([[{ number: "HT-2026-0042", customer: "" }]]);
  await page.set({ business: { number: "HT-2026-0042", customer: "" } });
  expect(said("business-save")).toBe(words[language].business.saved);
  expect(at("business").dataset["saved"]).toBe("true");
});

test("what another page said shows, and nobody's typing is lost by it", async () => {
  page = mount(BusinessForm, words, "zh", { business: undefined, working: false, save: vi.fn() });
  await write("customer", "C9");
  await page.set({ business: { number: "HT-1", customer: "C1" } });
  expect(field("number").value).toBe("HT-1");
  expect(field("customer").value).toBe("C9");
});
