// Everything a customer needs over one TCP port, and chosen by itself: where UDP is dropped without a word, through an
// HTTP proxy that knows CONNECT and nothing else. Doors with TLS of their own, real browsers, a network namespace of its own with the kernel's own packet filter. What is
// waited for is a moving picture; how long it took is printed, beside the same call with UDP open.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { after, before, test } from "node:test";
import { BLUE, open, RED, shows } from "./browser.mjs";
import { start } from "./deployment.mjs";
import { namespace } from "./namespace.mjs";
import { connectProxy } from "./proxy.mjs";

const WAIT = { timeout: 30_000 };
/** However loaded the machine is: a call that shows nothing by then is lost to its customer. */
const PATIENCE_MS = 30_000;

const lacks = namespace.lacks();
if (lacks) console.log(`SKIPPED: ${lacks}`);
const options = { skip: lacks };

let net;
let bank;
let agent;
before(async () => {
  if (lacks) return;
  net = namespace.make();
  bank = await start({ tls: true, within: net.name });
  agent = await open(bank.directory, BLUE, { width: 1360, height: 860 }, { within: net.name });
  const account = bank.login("agent");
  await agent.page.goto(`${bank.core}desk?lang=zh`);
  for (const field of ["institution", "name", "password"]) await agent.by(field).fill(account[field]);
  await agent.by("login").click();
  await agent.by("presence-ready").waitFor(WAIT);
});
after(async () => {
  await agent?.close();
  await bank?.stop();
  net?.remove();
});

const until = (page, name, attribute, value) =>
  page.waitForSelector(`[data-test="${name}"][data-${attribute}="${value}"]`, { ...WAIT, state: "attached" });

/** A customer takes a ticket; what they saw of the way there comes back. */
async function ticket(customer, address) {
  const { page, by } = customer;
  await page.goto(address);
  await by("queue-wealth").click(WAIT);
  await by("customer-name").fill("周敏");
  await by("choose-next").click();
  await by("consent-agree").check({ force: true });
  await by("consent-next").click();
  await by("device-start").click();
  await by("preview-video").waitFor(WAIT);
  await by("take-ticket").click();
  await until(page, "phase", "phase", "waiting");
}

// Notes when the page begins to connect its media, when it is connected and when a picture is drawn.
const clocks = () => {
  const seen = {};
  const note = (name, is) => {
    if (is) seen[name] ??= performance.now();
  };
  globalThis.reachSeen = seen;
  setInterval(() => {
    const stage = document.querySelector('[data-test="stage"]');
    note("began", stage);
    note("connected", stage?.dataset.link === "connected");
    const frames = Number(document.querySelector('[data-test="remote-video"]')?.dataset.frames ?? 0);
    note("picture", frames > 0);
  }, 10);
};

/** One call from the ticket to moving pictures on both sides, and its end. Prints how long the customer's page took. */
async function call(what, customer, address, before = async () => {}) {
  const { page, by } = customer;
  await page.addInitScript(clocks);
  try {
    await before();
    await ticket(customer, address);
    await agent.by("presence-ready").click(WAIT);
    await agent.by("accept").click(WAIT);
    await Promise.all([shows(by("remote-video"), BLUE, PATIENCE_MS), shows(agent.by("remote-video"), RED, PATIENCE_MS)]);
    const seen = await page.evaluate(() => globalThis.reachSeen);
    const carried = { transport: await by("stage").getAttribute("data-transport"), node: await by("stage").getAttribute("data-node") };
    const ms = (from, to) => Math.round(seen[to] - seen[from]);
    const load = execFileSync("cut", ["-d ", "-f1", "/proc/loadavg"], { encoding: "utf8" }).trim();
    console.log(`FIGURE ${what}: chosen ${ms("began", "connected")} ms, first picture ${ms("began", "picture")} ms, by ${carried.transport} at ${carried.node}, load ${load}`);
    await by("hangup").click();
    await by("hangup-yes").click();
    await until(page, "phase", "phase", "ended");
    await agent.by("finish").click(WAIT);
    await until(agent.page, "phase", "phase", "ready");
    await agent.by("presence-break").click();
    await until(agent.page, "phase", "phase", "break");
    return carried;
  } catch (error) {
    bank.keepLogs("reach");
    await customer.shot(`failed-reach-${what.replaceAll(" ", "-")}`).catch(() => {});
    await agent.shot("failed-reach-agent").catch(() => {});
    throw new Error(`${error.message}\ncustomer said:\n${customer.said.slice(-20).join("\n")}`, { cause: error });
  } finally {
    await customer.close();
  }
}

const phone = (rest = {}) => open(bank.directory, RED, { width: 390, height: 844 }, { within: net.name, ...rest });
const door = () => new URL(bank.edge);

test("with UDP open, media goes over QUIC", options, async () => {
  const { transport } = await call("UDP open", await phone(), `${bank.edge}?lang=zh`);
  assert.equal(transport, "webtransport");
});

test("where UDP is dropped without a word, media goes over the same TCP port, and the next call knows", options, async () => {
  const allow = net.drop(`udp dport ${door().port}`);
  try {
    const { transport } = await call("UDP dropped", await phone(), `${bank.edge}?lang=zh`);
    assert.equal(transport, "websocket");
    assert.ok(allow.dropped() > 0, "packets were dropped");
    // A browser that has met this network before.
    const memory = JSON.stringify([[`wss://${door().host}`, Date.now()]]);
    const again = await phone();
    await again.page.addInitScript((kept) => localStorage.setItem("guitai.websocket-won", kept), memory);
    assert.equal((await call("UDP dropped, remembered", again, `${bank.edge}?lang=zh`)).transport, "websocket");
  } finally {
    allow();
  }
});

test("through a proxy that knows CONNECT and one address, everything works", options, async () => {
  const proxy = await connectProxy({ within: net.name, only: [door().host] });
  try {
    const customer = await phone({ proxy: proxy.address });
    // The edge itself is only to be reached through the proxy: whoever passes by it is stopped.
    const allow = net.drop(`udp dport ${door().port}`);
    try {
      const { transport } = await call("CONNECT proxy", customer, `${bank.edge}?lang=zh`);
      assert.equal(transport, "websocket");
    } finally {
      allow();
    }
    const { opened, refused } = await proxy.told();
    assert.ok(opened.every((to) => to === door().host) && opened.length >= 2, `${opened}`);
    console.log(`FIGURE CONNECT proxy: ${opened.length} tunnels, ${refused.length} requests to other addresses refused`);
  } finally {
    await proxy.stop();
  }
});
