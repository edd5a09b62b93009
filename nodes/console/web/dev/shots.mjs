// Screenshots of every page and state in both languages, against the mock: `node dev/shots.mjs <out dir> [filter]`.

import { mkdirSync } from "node:fs";
import { chromium } from "playwright-core";

const [out = "/tmp/shots", only = ""] = process.argv.slice(2);
const base = process.env.BASE ?? "http://127.0.0.1:5180";
mkdirSync(out, { recursive: true });
const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  args: ["--no-sandbox", "--disable-gpu", "--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream", "--autoplay-policy=no-user-gesture-required"],
});
const sizes = { small: { width: 375, height: 667 }, phone: { width: 390, height: 844 }, wide: { width: 1440, height: 900 } };
const set = (path, body) => fetch(`${base}/dev/${path}`, { method: "POST", body: JSON.stringify(body) });
const wait = (page, phase) => page.locator(`[data-test=phase][data-phase=${phase}]`).waitFor({ timeout: 15_000 });
const tap = (page, name) => page.locator(`[data-test=${name}]`).click();

async function open(path, size, lang) {
  const context = await browser.newContext({ viewport: sizes[size], deviceScaleFactor: size === "wide" ? 1 : 2, permissions: ["camera", "microphone"] });
  const page = await context.newPage();
  page.on("console", (message) => ["error", "warning"].includes(message.type()) && console.log(`${path} ${size} ${lang}: ${message.text().slice(0, 300)}`));
  page.on("pageerror", (error) => console.log(`${path} ERROR ${error.stack?.slice(0, 600)}`));
  await page.goto(`${base}${path}${path.includes("?") ? "&" : "?"}lang=${lang}`);
  page.shot = (name) => page.waitForTimeout(350).then(() => page.screenshot({ path: `${out}/${name}-${size}-${lang}.png` }));
  return page;
}
const done = (page) => page.context().close();

async function customerToQueue(page, shots) {
  await page.locator("[data-test=queue-wealth]").waitFor();
  await tap(page, "queue-wealth");
  await page.locator("[data-test=customer-name]").fill("王建国");
  if (shots) await page.shot("customer-1-choose");
  await tap(page, "choose-next");
  if (shots) await page.shot("customer-2-consent");
  await page.locator("[data-test=consent-agree]").check({ force: true });
  await tap(page, "consent-next");
  if (shots) await page.shot("customer-3-device");
  await tap(page, "device-start");
  await page.locator("[data-test=mic-level]").waitFor();
  await page.waitForTimeout(1_200);
  if (shots) await page.shot("customer-4-device-on");
  await tap(page, "take-ticket");
}

async function login(page, name = "lin") {
  await page.locator("[data-test=institution]").fill("bank-a");
  await page.locator("[data-test=name]").fill(name);
  await page.locator("[data-test=password]").fill("demo");
  await tap(page, "login");
}

async function wholeCall(size, lang) {
  await set("set", { ahead: 3, agents: 4, held: true, recordMs: 2500 });
  const desk = await open("/desk", "wide", lang);
  await desk.shot("desk-1-login");
  await login(desk);
  await wait(desk, "break");
  await desk.shot("desk-2-break");
  await tap(desk, "presence-ready");
  await wait(desk, "ready");
  await desk.waitForTimeout(500);
  await desk.shot("desk-3-ready");
  const customer = await open("/", size, lang);
  await customerToQueue(customer, true);
  await wait(customer, "waiting");
  await customer.shot("customer-5-waiting");
  await set("set", { ahead: 0 });
  await customer.shot("customer-6-next");
  await set("set", { held: false });
  await tap(desk, "presence-break");
  await wait(desk, "break");
  await tap(desk, "presence-ready");
  await wait(desk, "ringing");
  await customer.shot("customer-7-ringing");
  await desk.shot("desk-4-ringing");
  await tap(desk, "accept");
  await wait(customer, "in-session");
  await customer.waitForTimeout(600);
  await customer.shot("customer-8-starting");
  await desk.shot("desk-5-starting");
  await customer.locator("[data-test=recording][data-state=running]").waitFor();
  await customer.locator("[data-test=stage][data-peer=playing]").waitFor({ timeout: 8000 }).catch(() => console.log("customer: no picture"));
  await desk.locator("[data-test=stage][data-peer=playing]").waitFor({ timeout: 8000 }).catch(() => console.log("desk: no picture"));
  await desk.waitForTimeout(3000);
  for (const [who, page] of [["customer", customer], ["desk", desk]]) {
    console.log(who, await page.locator("[data-test=stage]").evaluate((e) => ({ ...e.dataset, frames: e.querySelector("canvas").dataset.frames, size: [e.querySelector("canvas").width, e.querySelector("canvas").height] })));
  }
  await customer.shot("customer-9-call");
  await desk.shot("desk-6-call");
  for (const [who, page] of [["customer", customer], ["desk", desk]]) {
    await tap(page, "keys");
    await page.shot(`${who}-20-keys`);
    await tap(page, "keys");
  }
  customer.on("dialog", (dialog) => dialog.accept());
  await customer.reload();
  await wait(customer, "resume");
  await desk.shot("desk-21-left");
  await customer.shot("customer-21-resume");
  await tap(customer, "device-start");
  await tap(customer, "take-ticket");
  await wait(customer, "in-session");
  await customer.locator("[data-test=keys][data-epoch='3']").waitFor();
  await desk.locator("[data-test=keys][data-epoch='3']").waitFor();
  await customer.shot("customer-22-back");
  await desk.shot("desk-22-rekeyed");
  await tap(desk, "step-done-identity");
  await tap(customer, "confirm-step");
  await desk.waitForTimeout(400);
  await desk.shot("desk-7-confirmed");
  await customer.shot("customer-10-confirmed");
  await set("recording", { state: "lost", cause: "disk-full" });
  await customer.shot("customer-11-lost");
  await desk.shot("desk-8-lost");
  await set("recording", { state: "running" });
  await tap(customer, "mute");
  await tap(customer, "camera");
  await customer.waitForTimeout(900);
  await customer.shot("customer-12-muted");
  await desk.shot("desk-9-still");
  await tap(customer, "hangup");
  await customer.shot("customer-13-ask");
  await tap(customer, "hangup-yes");
  await wait(customer, "ended");
  await wait(desk, "wrap-up");
  await tap(customer, "star-5");
  await customer.shot("customer-14-rating");
  await desk.waitForTimeout(1800);
  await desk.shot("desk-10-wrapup");
  await tap(customer, "rating-submit");
  await wait(customer, "farewell");
  await customer.shot("customer-15-farewell");
  await tap(desk, "finish");
  await wait(desk, "ready");
  await desk.shot("desk-11-after");
  await tap(desk, "presence-break");
  await wait(desk, "break");
  await done(customer);
  await done(desk);
}

/** A call in which much was said, on the smallest phone: the controls stay where they are. */
async function talk(size, lang) {
  await set("set", { ahead: 0, agents: 1, held: false, recordMs: 500 });
  const desk = await open("/desk", "wide", lang);
  await login(desk);
  await wait(desk, "break");
  await tap(desk, "presence-ready");
  const customer = await open("/", size, lang);
  await customerToQueue(customer, false);
  await tap(desk, "accept");
  await wait(customer, "in-session");
  await customer.locator("[data-test=recording][data-state=running]").waitFor();
  await customer.shot("customer-30-silent");
  for (const [page, text] of [[desk, "您好,请问今天办理什么业务?"], [customer, "我想了解稳健型理财产品,期限一年左右。"], [desk, "好的,稍后我把产品说明书发给您,请您先核对身份信息,并在确认无误后点击确认。"], [customer, "Fine, thank you. I have my card here."], [desk, "请把身份证正反面对着镜头。"]]) {
    await page.locator("[data-test=message-text]").fill(text);
    await tap(page, "message-send");
    await page.locator("[data-test=message]", { hasText: text.slice(0, 8) }).first().waitFor();
  }
  await customer.locator("[data-test=message]").nth(4).waitFor();
  await customer.shot("customer-31-said");
  await customer.locator("[data-test=message-text]").scrollIntoViewIfNeeded();
  await customer.shot("customer-32-writing");
  await customer.locator("[data-test=messages] .hint").scrollIntoViewIfNeeded();
  await customer.shot("customer-33-end");
  const box = await customer.locator("[data-test=hangup]").boundingBox();
  console.log(`hang up at ${JSON.stringify(box)} of ${JSON.stringify(sizes[size])}`);
  await desk.shot("desk-31-said");
  await tap(customer, "hangup");
  await customer.shot("customer-34-ask");
  await tap(customer, "hangup-yes");
  await wait(customer, "ended");
  await wait(desk, "wrap-up");
  await tap(desk, "finish");
  await wait(desk, "ready");
  await tap(desk, "presence-break");
  await wait(desk, "break");
  await done(customer);
  await done(desk);
}

async function problems(lang) {
  await set("set", { noTunnel: true });
  const page = await open("/", "phone", lang);
  await page.locator("[data-test=problem]").waitFor();
  await page.shot("customer-90-problem");
  await set("set", { noTunnel: false });
  await done(page);
  const desk = await open("/desk", "wide", lang);
  await desk.locator("[data-test=institution]").fill("bank-a");
  await desk.locator("[data-test=name]").fill("lin");
  await desk.locator("[data-test=password]").fill("wrong");
  await tap(desk, "login");
  await desk.locator("[data-test=problem]").waitFor();
  await desk.shot("desk-90-problem");
  await done(desk);
}

async function operator(lang) {
  await set("down", { down: [], leader: 1 });
  const page = await open("/console", "wide", lang);
  await page.shot("console-1-login");
  await login(page, "ops");
  await page.locator("[data-test=map]").waitFor();
  await page.waitForTimeout(1200);
  await page.shot("console-2-overview");
  await tap(page, "tab-recordings");
  await page.shot("console-3-recordings");
  await page.locator(".el-table__expand-icon").first().click();
  await page.locator(".el-table__expand-icon").nth(1).click();
  await page.locator("[data-test=turn-2]").first().waitFor();
  await page.shot("console-3b-copies");
  await tap(page, "tab-security");
  await tap(page, "security-edge-a2");
  await page.locator("[data-test=keys]").waitFor();
  await page.screenshot({ path: `${out}/console-6-security-wide-${lang}.png`, fullPage: true });
  await set("down", { down: ["a1-1", "edge-a2"], leader: 3 });
  await page.waitForTimeout(2200);
  await tap(page, "tab-queues");
  await page.shot("console-4-down");
  await set("down", { down: ["a1-1", "a1-2", "a2-2"], leader: 3 });
  await page.waitForTimeout(2200);
  await page.screenshot({ path: `${out}/console-5-noquorum-wide-${lang}.png`, fullPage: true });
  await set("down", { down: [], leader: 1 });
  await done(page);
}

/** The disaster recovery page in a state, whole; `before` does what a person would first. */
async function recovery(state, size, lang, before = async () => {}) {
  await set("set", { dr: state, refuse: state === "refused" });
  const page = await open("/console/dr", size, lang);
  await login(page, "ops");
  await page.locator("[data-test=dr-map]").waitFor();
  await before(page);
  await page.waitForTimeout(700);
  await page.screenshot({ path: `${out}/dr-${state}-${size}-${lang}.png`, fullPage: true });
  await set("set", { dr: null, refuse: false });
  await done(page);
}
async function recoveries(size, lang) {
  const plan = (scenario) => async (page) => {
    await tap(page, `scenario-${scenario}`);
    await page.locator(`[data-test=dr-plan][data-scenario=${scenario}]`).waitFor();
  };
  await recovery("quiet", size, lang, plan("switch"));
  await recovery("refused", size, lang, plan("centre"));
  await recovery("proposed", size, lang);
  await recovery("drill", size, lang);
  await recovery("degraded", size, lang);
  await recovery("lost", size, lang, plan("city"));
  await recovery("takeover", size, lang);
  await recovery("quarantined", size, lang);
  await recovery("report", size, lang, async (page) => {
    await tap(page, "report-r9p4f6zv8b");
    await page.locator("[data-test=conclusion]").waitFor();
  });
}

const runs = {
  "call-phone-zh": () => wholeCall("phone", "zh"),
  "call-phone-en": () => wholeCall("phone", "en"),
  "call-wide-zh": () => wholeCall("wide", "zh"),
  "call-wide-en": () => wholeCall("wide", "en"),
  "talk-small-zh": () => talk("small", "zh"),
  "talk-small-en": () => talk("small", "en"),
  "talk-wide-zh": () => talk("wide", "zh"),
  "problems-zh": () => problems("zh"),
  "problems-en": () => problems("en"),
  "console-zh": () => operator("zh"),
  "console-en": () => operator("en"),
  "dr-wide-zh": () => recoveries("wide", "zh"),
  "dr-wide-en": () => recoveries("wide", "en"),
  "dr-phone-zh": () => recoveries("phone", "zh"),
  "dr-phone-en": () => recoveries("phone", "en"),
};
for (const [name, run] of Object.entries(runs)) {
  if (name.includes(only)) await run().then(() => console.log(`${name} done`), (error) => console.log(`${name} FAILED ${error.message.slice(0, 600)}`));
}
await browser.close();
