// @vitest-environment happy-dom
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { AT, drill, drillLanes, finished, kept, listed, plans, proposed, reportOf, type Seen, states, takingOver, world } from "../../../dev/dr.mjs";
import * as words from "@/console/words";
import { ApiError } from "@/shared/api";
import { all, at, maybe, type Mounted, mount, press, said, settle } from "@/shared/testing";
import type { Duty, StaffView } from "@/shared/types";
import DrPage from "./DrPage.vue";
import { aimArguments } from "./reading";
import type { Aim, Plan } from "./types";

const LANGUAGES = ["zh", "en"] as const;
type Language = (typeof LANGUAGES)[number];
const staff = (duties: Duty[]): StaffView => ({ id: { institution: "bank-a", name: "zhou" }, display: "周", number: "1", duties, presence: "offline" });

let page: Mounted | undefined;
beforeEach(() => {
  vi.useFakeTimers({ now: AT });
});
afterEach(() => {
  page?.unmount();
  vi.useRealTimers();
});

/** The page over a node that answers with what is seen; what it is asked is kept. */
async function open(language: Language, first: Seen, duties: Duty[] = ["operator"], planned?: (aim: Aim) => Plan) {
  const node = { seen: first, asked: [] as string[], bodies: [] as unknown[], fails: undefined as Error | undefined };
  const ask = async (method: string, path: string, options?: { body?: unknown }) => {
    node.asked.push(`${method} ${path}`);
    if (options?.body !== undefined) node.bodies.push(options.body);
    if (node.fails) throw node.fails;
    if (path === "/api/v1/status") return node.seen.status;
    if (path === "/api/v1/dr/live") return { ...node.seen.live, at: Date.now() };
    if (path === "/api/v1/dr/runs" && method === "GET") return kept().map(listed);
    if (path === "/api/v1/dr/plan") return planned?.(options?.body as Aim) ?? plans[(options?.body as Aim).scenario];
    const wanted = kept().find(({ id }) => path === `/api/v1/dr/runs/${id}/report`);
    return wanted ? reportOf(wanted) : {};
  };
  page = mount(DrPage, words, language, { token: "t", staff: staff(duties), ask });
  await settle();
  return node;
}
const later = async (ms: number) => {
  await vi.advanceTimersByTimeAsync(ms);
  await settle();
};
const chinese = /[\u4e00-\u9fff]/;

test.each(LANGUAGES)("a quiet day: B proves RPO 0, every line measured, who leads and who votes (%s)", async (language) => {
  await open(language, states.quiet());
  expect(said("lease-title")).toBe(language === "zh" ? "乙市现可证明 RPO 为 0" : "City B proves RPO 0 now");
  expect(at("lease").dataset["tone"]).toBe("good");
  const links = [...document.querySelectorAll<SVGElement>("[data-link]")].map((link) => [link.dataset["link"], link.dataset["state"], link.textContent]);
  const [rtt, level, behind] = language === "zh" ? ["往返 1.6 毫秒", "已追平", "落后 3 条 · 33 毫秒"] : ["1.6 ms round trip", "caught up", "3 entries · 33 ms behind"];
  expect(links[0]).toEqual(["a1 a2", "up", `${rtt}${level}`]);
  expect(links[1]?.[2]).toContain(behind);
  expect(at("dr-node-a1-1").dataset["leads"]).toBe("true");
  expect(at("dr-node-b-2").dataset["voice"]).toBe("learner");
  expect(all("dr-node-edge-a1")).toHaveLength(1);
  expect(said("lead")).toContain(language === "zh" ? "还可再失去 2 个" : "2 more may fail");
  expect(maybe("dr-run")).toBeNull();
  expect(maybe("no-leader")).toBeNull();
});

const SCENARIOS: [Aim["scenario"], Aim][] = [
  ["node", { scenario: "node", node: "a1-1", hold_ms: 5_000 }],
  ["centre", { scenario: "centre", centre: "a1", hold_ms: 5_000 }],
  ["link", { scenario: "link", from: "a1", to: "a2", one_way: false, hold_ms: 5_000 }],
  ["switch", { scenario: "switch", to: "a2" }],
  ["city", { scenario: "city", lost: "a", on: "b-1" }],
];
test.each(SCENARIOS.flatMap(([scenario, aim]) => LANGUAGES.map((language) => [scenario, language, aim] as const)))(
  "the plan for a %s is shown as steps (%s)",
  async (scenario, language, aim) => {
    const node = await open(language, states.quiet());
    await press(`scenario-${scenario}`);
    await settle();
    const plan = plans[scenario];
    expect(at("dr-plan").dataset["scenario"]).toBe(scenario);
    expect(node.bodies).toEqual([aim]);
    for (const step of plan.steps) {
      const shown = said(`dr-step-${step.id}`);
      for (const text of [step.title, step.precondition, step.effect, step.rollback]) expect(shown).toContain(text[language].replace(/\s+/g, " "));
      expect(shown).toContain(words[language].dr.step.rollback);
      expect(shown).toMatch(/RPO/);
      expect(shown.includes(words[language].dr.step.irreversible)).toBe(step.irreversible);
    }
    expect(chinese.test(said("margins-enough"))).toBe(language === "zh");
    expect(said("command")).toBe(`guitai dr run ${aimArguments(plan.aim)}${scenario === "city" ? " --url http://127.0.5.1:4443" : ""}`);
  },
);

test("another target is another plan, and an answer that comes late is not shown for it", async () => {
  const node = await open("en", states.quiet(), ["operator"], (aim) => (aim.scenario === "switch" && aim.to === "b" ? plans["switch-city"] : plans.switch));
  await press("scenario-switch");
  expect(maybe("dr-step-voices")).toBeNull();
  await press("switch-to-b");
  await settle();
  expect(said("dr-step-voices")).toContain("the city to lead has a quorum before it leads");
  await press("scenario-centre");
  await press("hold-30000");
  expect(node.bodies.at(-1)).toEqual({ scenario: "centre", centre: "a1", hold_ms: 30_000 });
});

test.each(LANGUAGES)("a plan that lacks a margin is refused with the reason (%s)", async (language) => {
  await open(language, states.quiet(), ["operator"], () => plans["centre-refused"]);
  await press("scenario-centre");
  await settle();
  expect(at("dr-plan").dataset["refused"]).toBe("true");
  expect(said("plan-refused")).toContain(words[language].dr.plan.refused.replace("{count}", "3"));
  const reason = { zh: ["时钟偏差", "现状：相差 380 毫秒", "要求：不超过 50 毫秒"], en: ["clocks agree", "Found: 380 ms apart", "Needed: at most 50 ms"] }[language];
  for (const part of reason) expect(said("missing-clocks")).toContain(part);
  expect(said("missing-disks")).toContain("120 MiB");
  expect(all("missing-leader")).toHaveLength(0);
  for (const button of ["propose", "rehearse"]) await expect(press(button)).rejects.toThrow("cannot be pressed");
});

test("a takeover while a leader answers is refused, may be rehearsed, and is proposed at its node", async () => {
  const node = await open("zh", states.quiet(), ["officer"], () => plans["city-refused"]);
  await press("scenario-city");
  await settle();
  expect(said("missing-no-quorum")).toContain("a1-1 为主节点");
  expect(said("plan-elsewhere")).toContain("b-1");
  await expect(press("propose")).rejects.toThrow("cannot be pressed");
  await press("rehearse");
  expect(node.bodies.at(-1)).toEqual({ aim: { scenario: "city", lost: "a", on: "b-1" }, kind: "rehearsal", inject_loss: false });
});

test("a real run is proposed after one more question, a negative control says that it is one", async () => {
  const node = await open("en", states.quiet());
  await press("scenario-centre");
  await settle();
  await press("propose");
  expect(node.asked.filter((path) => path === "POST /api/v1/dr/runs")).toHaveLength(0);
  await press("propose-yes");
  await settle();
  expect(node.bodies.at(-1)).toMatchObject({ kind: "real", inject_loss: false });
  await press("control");
  await settle();
  expect(node.bodies.at(-1)).toMatchObject({ kind: "rehearsal", inject_loss: true });
});

test.each(LANGUAGES)("a drill runs with a clock, its step, its probes, and can be aborted (%s)", async (language) => {
  const node = await open(language, states.drill());
  expect(at("dr-run").dataset["state"]).toBe("running");
  expect(said("run-clock")).toContain("00:05.5");
  expect(said("run-state")).toBe(language === "zh" ? "第 2 / 5 步" : "step 2 of 5");
  expect(at("dr-step-base-line").dataset["state"]).toBe("done");
  expect(at("dr-step-hold-apart").dataset["state"]).toBe("now");
  expect(at("dr-step-hold-apart").querySelector<HTMLElement>(".bar i")?.style.width).toBe("48%");
  await later(1_000);
  expect(said("run-clock")).toContain("00:06.5");
  expect(at("dr-step-hold-apart").querySelector<HTMLElement>(".bar i")?.style.width).toBe("68%");
  expect(said("journal"), "steps by their names, not their ids").not.toContain("base-line");
  expect(at("probe-log").dataset["gap"]).toBe("1240");
  expect(said("probe-log")).toContain(language === "zh" ? "存证" : "Evidence");
  expect(at("probe-log").querySelectorAll(".silent")).toHaveLength(1);
  expect(said("silent-nodes")).toContain("a1-1 a1-2");
  expect(said("approved-chenjing")).toContain(words[language].dr.run.approved);
  expect(maybe("approvals-missing")).toBeNull();
  expect(document.querySelector<SVGElement>('[data-link="a1 b"]')?.dataset["state"]).toBe("cut");
  // What the probers see now is what is shown next.
  node.seen = world({ node: "a2-1", leader: "a2-1", run: drill(Date.now()), lanes: drillLanes.map((lane) => ({ ...lane, gap_ms: 2_900, silent_ms: 5 })) });
  await later(1_100);
  expect(at("probe-log").dataset["gap"]).toBe("2900");
  // What is planned meanwhile cannot be begun.
  await press("scenario-switch");
  await settle();
  expect(maybe("propose")).toBeNull();
  await press("abort");
  expect(node.asked.some((path) => path.endsWith("/abort"))).toBe(false);
  await press("abort-yes");
  expect(node.asked).toContain("POST /api/v1/dr/runs/r7k2m9qx4c/abort");
});

test.each(LANGUAGES)("a run that waits says who approved, who is missing and what to type (%s)", async (language) => {
  const node = await open(language, states.proposed());
  expect(at("approvals").dataset["missing"]).toBe("1");
  expect(said("approvals-missing")).toBe(language === "zh" ? "还缺 1 名授权人" : "1 more officers must approve");
  expect(said("approvals")).toContain("guitai dr approve r7k2m9qx4c --key OFFICER.key");
  expect(said("approvals")).toContain(language === "zh" ? "计划在 13:00 内有效" : "the plan is good for 13:00");
  // A plan of a quarter of an hour ago is no plan any more.
  node.seen = world({ run: { ...proposed(), plan: { ...proposed().plan, made_at: AT - 15 * 60_000 } } });
  await later(1_100);
  expect(said("approvals")).toContain(words[language].dr.run.expired);
});

test("the abort point counts down, and in what cannot be undone there is no way out", async () => {
  const node = await open("zh", states.takeover(), ["officer"]);
  expect(said("run-state")).toBe("中止点：1.3 秒 后执行不可回退的一步");
  expect(said("approved-liuyang")).toContain("已断电或断网");
  await later(500);
  expect(said("run-state")).toContain("800 毫秒");
  expect((at("abort") as HTMLButtonElement).disabled).toBe(false);
  node.seen = { ...states.takeover(), live: { ...states.takeover().live, run: takingOver() } };
  await later(1_100);
  expect(at("dr-run").dataset["state"]).toBe("running");
  await expect(press("abort")).rejects.toThrow("cannot be pressed");
  expect(said("no-abort")).toBe(words.zh.dr.run.noAbort);
});

test.each(LANGUAGES)("a degraded lease says since when, why, and what is not proven (%s)", async (language) => {
  await open(language, states.degraded());
  expect(at("lease").dataset["lease"]).toBe("degraded");
  expect(at("lease").dataset["tone"]).toBe("bad");
  expect(said("lease-title")).toBe(language === "zh" ? "已降级：不再等待乙市" : "Degraded: City B is not waited for");
  expect(said("lease-text")).toContain(words[language].dr.lease.cause.silent);
  expect(said("lease-text")).toContain("17621");
  expect(said("lease-window")).toContain("1:12");
  await later(3_000);
  expect(said("lease-window")).toContain("1:15");
  expect(at("dr-node-b-1").dataset["state"]).toBe("down");
});

test.each(LANGUAGES)("with city A lost a node of B shows what it knows, and says that nobody leads (%s)", async (language) => {
  const node = await open(language, states.lost(), ["officer"], () => plans.city);
  expect(at("dr").dataset["leader"]).toBe("");
  expect(said("no-leader")).toContain(words[language].dr.noLeader);
  expect(said("no-leader")).toContain(language === "zh" ? "b-1 截至条目 18233 所知" : "what b-1 knows, as of entry 18233");
  expect(at("lease").dataset["lease"]).toBe("alone-window");
  expect(said("lease-window")).toContain("1:35");
  expect(at("lead").dataset["health"]).toBe("lost");
  // The takeover is planned here: the other city is lost, this node takes over, and nothing can be rehearsed.
  await press("scenario-city");
  await settle();
  expect(node.bodies.at(-1)).toEqual({ scenario: "city", lost: "a", on: "b-1" });
  expect(maybe("plan-elsewhere")).toBeNull();
  expect((at("propose") as HTMLButtonElement).disabled).toBe(false);
  expect((at("rehearse") as HTMLButtonElement).disabled).toBe(true);
});

test.each(LANGUAGES)("a quarantined node says so with the next command (%s)", async (language) => {
  await open(language, states.quarantined());
  expect(said("quarantine-a1-1")).toContain(language === "zh" ? "a1-1 属于旧纪元 1，已隔离，只读" : "a1-1 is of the old epoch 1: in quarantine, read-only");
  expect(said("quarantine-a1-2")).toContain("guitai node rejoin --url http://127.0.2.1:4443");
  expect(at("dr-node-a1-1").dataset["state"]).toBe("quarantined");
});

test.each(LANGUAGES)("the report of a red run opens in the page, with files to check it offline (%s)", async (language) => {
  await open(language, states.quiet());
  const red = finished(false);
  expect(at(`history-${red.id}`).dataset["verdict"]).toBe("red");
  expect(said("control-at")).toContain(language === "zh" ? "变红" : "turned red");
  await press(`report-${red.id}`);
  await settle();
  expect(at("dr-report").dataset["verdict"]).toBe("red");
  expect(said("conclusion")).toContain(language === "zh" ? "结论为红：已确认的 5388 条中丢失 1 条" : "RED: of 5388 acknowledged writes 1 are missing");
  expect(said("lost-first")).toContain("a2-1/log:25");
  expect(said("rto-log")).toContain("1.2");
  expect(at("timeline").querySelectorAll("li")).toHaveLength(red.journal.length);
  expect(at("lanes").querySelectorAll("tbody tr")).toHaveLength(9);
  expect(at("dr-report").textContent).toContain(words[language].dr.report.unchecked);
  const saved: string[] = [];
  vi.spyOn(HTMLAnchorElement.prototype, "click").mockImplementation(function (this: HTMLAnchorElement) {
    saved.push(this.download);
  });
  for (const file of ["report.json", "report.p7s", "root.pem"]) await press(`take-${file}`);
  expect(saved).toEqual(["report.json", "report.p7s", "root.pem"]);
  await press("report-back");
  expect(maybe("dr-report")).toBeNull();
  expect(said("dr-history")).toContain(words[language].dr.history.title);
});

test("a negative control that is red is as it should be", async () => {
  await open("en", states.quiet());
  const control = kept().find(({ inject_loss }) => inject_loss);
  await press(`report-${control?.id}`);
  await settle();
  expect(said("conclusion")).toContain(words.en.dr.report.controlRed);
  expect(at("conclusion").className).toContain("fits");
});

test("an auditor looks and begins nothing", async () => {
  await open("zh", states.drill(), ["auditor"]);
  expect(maybe("abort")).toBeNull();
  page?.unmount();
  await open("zh", states.quiet(), ["auditor"]);
  await press("scenario-centre");
  await settle();
  expect(maybe("propose")).toBeNull();
  expect(at("dr-plan").textContent).toContain(words.zh.dr.plan.mayNot);
});

test("while the node does not answer, what was seen last stays and is said to be old", async () => {
  const node = await open("en", states.quiet());
  node.fails = new ApiError({ status: 0, code: "GT-NET", detail: "", cause: { zh: "", en: "" }, next: { zh: "", en: "" } });
  await later(1_100);
  expect(at("dr").dataset["stale"]).toBe("true");
  expect(said("dr-lost")).toBe(words.en.dr.lost);
  expect(at("lease").dataset["lease"]).toBe("proves");
  node.fails = undefined;
  node.seen = states.degraded();
  await later(1_100);
  expect(maybe("dr-lost")).toBeNull();
  expect(at("lease").dataset["lease"]).toBe("degraded");
});
