// @vitest-environment happy-dom
import { afterEach, expect, test, vi } from "vitest";
import { at, maybe, type Mounted, mount, press, said } from "@/shared/testing";
import type { CallView } from "@/shared/types";
import CallSteps from "./CallSteps.vue";
import * as words from "./words";

const step = (id: string) => ({ id, name: { zh: `${id}名`, en: `${id} name` }, wording: { zh: "读", en: "read" }, required: true });
const call = (rest: Partial<CallView>) =>
  ({ session: "s", recording: { state: "running", since: 1 }, steps: [step("identity"), step("consent")], done: [], ...rest }) as unknown as CallView;

let page: Mounted | undefined;
afterEach(() => page?.unmount());

test.each(["zh", "en"] as const)("the customer's confirmation is shown as soon as the desk's view has it (%s)", async (language) => {
  page = mount(CallSteps, words, language, { call: call({}), working: "", finish: vi.fn(), label: vi.fn() });
  expect(maybe("confirmed-identity")).toBeNull();
  await page.set({ call: call({ confirmed: ["identity"] }) });
  expect(said("confirmed-identity")).toBe(words[language].steps.confirmed);
  expect(maybe("confirmed-consent")).toBeNull();
  // Confirmed is not done: the agent still does the step.
  expect(at("step-identity").dataset["state"]).toBe("now");
  expect(said("progress")).toBe("0 / 2");
});

test("a step is finished once, and while nothing is recorded none is", async () => {
  const finish = vi.fn(async () => true);
  page = mount(CallSteps, words, "zh", { call: call({}), working: "", finish, label: vi.fn() });
  await press("step-done-identity");
  expect(finish.mock.calls).toEqual([["identity", ""]]);
  await page.set({ call: call({ recording: { state: "lost", cause: "disk-full", at: 1 } }) });
  await expect(press("step-done-identity")).rejects.toThrow("cannot be pressed");
  expect(at("not-recording").textContent).toContain(words.zh.steps.lostTitle);
});
