// How the page of flows does with ten thousand of them beside a hundred, in a real browser: `npm run bench:flows`. The
// built pages over the mock; status and flows are put in its place on the way. MOCK_DIST measures other built pages.

import { spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { chromium } from "playwright-core";
import { bigSeen, bigStatus } from "./flows.mjs";

const NODES = 60;
const ROUNDS = 5;
const PORT = 5191;
const base = `http://127.0.0.1:${PORT}`;
const mock = spawn(process.execPath, [new URL("mock.mjs", import.meta.url).pathname, String(PORT)], { stdio: ["ignore", "pipe", "inherit"] });
await new Promise((resolve) => mock.stdout.once("data", resolve));
const browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", args: ["--no-sandbox", "--disable-gpu"] });

// Notes when the flows are drawn, and every task that held the page up for longer than 50 ms.
const clocks = () => {
  globalThis.held = [];
  new PerformanceObserver((list) => globalThis.held.push(...list.getEntries().map(({ startTime, duration }) => [startTime, duration]))).observe({ type: "longtask", buffered: true });
  const look = () => {
    if (document.querySelector('[data-test="flow-story"]')) requestAnimationFrame(() => requestAnimationFrame(() => (globalThis.drawn ??= performance.now())));
    else requestAnimationFrame(look);
  };
  look();
};
/** Milliseconds from an act to the frame that shows what it did. */
const latency = (page, act) =>
  page.evaluate(async ([handle, text]) => {
    const range = () => document.querySelector('[data-test="flow-range"]').textContent;
    const element = document.querySelector(`input[data-test="${handle}"], [data-test="${handle}"] input, button[data-test="${handle}"]`);
    const before = range();
    const begun = performance.now();
    if (text === undefined) element.click();
    else {
      element.value = text;
      element.dispatchEvent(new Event("input", { bubbles: true }));
    }
    while (range() === before) await new Promise((resolve) => setTimeout(resolve));
    await new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(resolve)));
    return performance.now() - begun;
  }, act);
const median = (values) => values.sort((one, other) => one - other)[values.length >> 1];
const load = () => readFileSync("/proc/loadavg", "utf8").split(" ")[0];

async function measure(count) {
  const status = bigStatus(NODES);
  const body = JSON.stringify(bigSeen(status, count));
  const context = await browser.newContext({ viewport: { width: 1440, height: 900 } });
  const page = await context.newPage();
  await page.addInitScript(clocks);
  const answer = (path, text) => page.route(`**${path}`, (route) => route.fulfill({ contentType: "application/json", body: text }));
  await answer("/api/v1/status", JSON.stringify(status));
  await answer("/api/v1/flows/seen", body);
  await answer("/api/v1/flows", JSON.stringify({ present: { number: 1, sm3: "ab", reason: "" } }));
  await page.goto(`${base}/console/flows?lang=en`);
  for (const [field, value] of [["institution", "bank-a"], ["name", "ops"], ["password", "demo"]]) await page.locator(`[data-test=${field}]`).fill(value);
  await page.locator("[data-test=login]").click();
  await page.waitForFunction(() => globalThis.drawn !== undefined);
  const first = await page.evaluate(() => {
    const asked = performance.getEntriesByType("resource").find(({ name }) => name.endsWith("/flows/seen"));
    return globalThis.drawn - asked.responseEnd;
  });
  const row = { flows: count, "answer kB": Math.round(body.length / 1000), "first render ms": Math.round(first) };
  if (await page.locator("[data-test=flow-range]").count()) {
    await page.locator("[data-test=flow-standing-all]").click();
    const [filters, turns, clears] = [[], [], []];
    for (let round = 0; round < ROUNDS; round++) {
      filters.push(await latency(page, ["flow-find", `row-${round + 3}`]));
      clears.push(await latency(page, ["flow-find", ""]));
      turns.push(await latency(page, ["flow-next"]));
    }
    Object.assign(row, { "filter ms": Math.round(median(filters)), "clear ms": Math.round(median(clears)), "next page ms": Math.round(median(turns)) });
  }
  const since = await page.evaluate(() => performance.now());
  await page.waitForTimeout(13_000);
  const held = await page.evaluate((from) => Math.max(0, ...globalThis.held.filter(([at]) => at > from).map(([, ms]) => ms)), since);
  const drawn = await page.evaluate(() => [document.querySelectorAll('[data-test="flow-map"] g.arrow').length, document.querySelectorAll(".flows table tbody tr").length]);
  Object.assign(row, { "longest task of 3 refreshes ms": Math.round(held), arrows: drawn[0], rows: drawn[1], load: load() });
  if (process.env.SHOT) await page.screenshot({ path: `${process.env.SHOT}-${count}.png`, fullPage: true });
  await context.close();
  return row;
}

try {
  console.table([await measure(100), await measure(10_000), await measure(100), await measure(10_000)]);
} finally {
  await browser.close();
  mock.kill();
}
