// A dead node ends no call. Two real browsers in a call; the customer's edge is killed, then the relay of the
// agent's page, then whoever leads. Nobody presses anything; both see a moving picture again. The times are
// printed, not asserted: this is a machine with two cores and ten processes.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { BLUE, open, RED, shows } from "./browser.mjs";
import { start } from "./deployment.mjs";

const WAIT = { timeout: 30_000 };
/** However loaded the machine is: a call that is not back by then is lost to its customer. */
const BACK_MS_MAX = 30_000;

let bank;
before(async () => {
  bank = await start();
});
after(() => bank?.stop());

const until = (page, name, attribute, value) =>
  page.waitForSelector(`[data-test="${name}"][data-${attribute}="${value}"]`, { ...WAIT, state: "attached" });

async function call(customer, agent) {
  const { page, by } = customer;
  await page.goto(`${bank.edge}?lang=zh`);
  await until(page, "phase", "phase", "choose");
  await by("queue-wealth").click();
  await by("customer-name").fill("周敏");
  await by("choose-next").click();
  await by("consent-agree").check({ force: true });
  await by("consent-next").click();
  await by("device-start").click();
  await by("preview-video").waitFor(WAIT);
  await by("take-ticket").click();
  await until(page, "phase", "phase", "waiting");
  const account = bank.login("agent");
  await agent.page.goto(`${bank.core}desk?lang=zh`);
  await agent.by("institution").fill(account.institution);
  await agent.by("name").fill(account.name);
  await agent.by("password").fill(account.password);
  await agent.by("login").click();
  await agent.by("presence-ready").click(WAIT);
  await agent.by("accept").click(WAIT);
  await bothSee(customer, agent);
}

async function bothSee(customer, agent) {
  const parties = { customer, agent };
  const looks = await Promise.allSettled([
    shows(customer.by("remote-video"), BLUE, BACK_MS_MAX),
    shows(agent.by("remote-video"), RED, BACK_MS_MAX),
  ]);
  const blind = looks.filter(({ status }) => status === "rejected").map(({ reason }) => reason.message);
  if (blind.length === 0) return;
  // Both ends: a picture that does not come may be one that is not sent.
  for (const [name, { by }] of Object.entries(parties)) {
    const said = await by("stage").evaluate((stage) => ({ ...stage.dataset, text: stage.textContent.trim() }));
    blind.push(`${name}: ${JSON.stringify(said)}`);
  }
  throw new Error(blind.join("\n"));
}

// From here on the page notes when a new picture was drawn.
const watch = ({ page }) =>
  page.evaluate(() => {
    clearInterval(globalThis.sampler);
    const seen = { last: performance.now(), frames: "", longest: 0, messages: [] };
    globalThis.seen = seen;
    globalThis.sampler = setInterval(() => {
      const now = performance.now();
      const frames = document.querySelector('[data-test="remote-video"]')?.dataset.frames ?? "";
      const message = document.querySelector('[data-test="stage-message"]')?.textContent?.trim();
      if (message && seen.messages.at(-1) !== message) seen.messages.push(message);
      if (frames !== seen.frames) {
        seen.longest = Math.max(seen.longest, now - seen.last);
        Object.assign(seen, { last: now, frames });
      }
    }, 20);
  });
const seen = ({ page }) => page.evaluate(() => globalThis.seen);
const carrier = ({ by }) => by("stage").getAttribute("data-node");

// Kills or freezes a node and waits until both see each other again; tells the longest time without a new picture.
async function without(how, node, customer, agent) {
  const parties = [customer, agent];
  await Promise.all(parties.map(watch));
  const revive = await bank[how](node);
  await new Promise((resolve) => setTimeout(resolve, 6_000));
  await bothSee(customer, agent);
  const [atCustomer, atAgent] = await Promise.all(parties.map(seen));
  console.log(`FIGURE ${JSON.stringify({
    how,
    node,
    customer: { without_picture_ms: Math.round(atCustomer.longest), through: await carrier(customer), said: atCustomer.messages },
    agent: { without_picture_ms: Math.round(atAgent.longest), through: await carrier(agent), said: atAgent.messages },
  })}`);
  for (const { longest } of [atCustomer, atAgent]) assert.ok(longest < BACK_MS_MAX, `${longest} ms`);
  return revive;
}

const leader = () => bank.ask("status").nodes.find((one) => one.leader)?.member.name;

async function healthy() {
  for (let tries = 0; tries < 100; tries++) {
    try {
      const { nodes } = bank.ask("status");
      if (nodes.every((node) => node.up) && nodes.some((node) => node.leader)) return;
    } catch {
      // Nobody leads yet.
    }
    await new Promise((resolve) => setTimeout(resolve, 300));
  }
  throw new Error("the cluster does not become whole again");
}

test("a dead edge, a dead relay and a dead leader end no call", async () => {
  const customer = await open(bank.directory, RED, { width: 390, height: 844 });
  const agent = await open(bank.directory, BLUE, { width: 1360, height: 860 });
  try {
    await call(customer, agent);
    for (const party of [customer, agent]) await until(party.page, "recording", "state", "running");
    const [edge, relay] = [await carrier(customer), await carrier(agent)];
    assert.equal(edge, "edge-a1");
    assert.equal(relay, "a1-1");

    // The customer's edge.
    let revive = await without("kill", edge, customer, agent);
    assert.notEqual(await carrier(customer), edge);
    assert.equal(await carrier(agent), relay);
    // Events go on through the other edge, and what the customer does arrives.
    await customer.by("offline").waitFor({ state: "detached", ...WAIT });
    await customer.by("confirm-step").click(WAIT);
    await customer.page.waitForSelector('[data-test="confirm-step"][disabled]', { ...WAIT, state: "attached" });
    await customer.shot("moves-1-another-edge");
    revive();
    await healthy();

    // The edge it went to, which does not die but hangs: nothing says no, there is only silence.
    const second = await carrier(customer);
    revive = await without("freeze", second, customer, agent);
    assert.notEqual(await carrier(customer), second);
    revive();
    await healthy();

    // The relay, and the node, of the agent's page: the agent is still logged in.
    revive = await without("kill", relay, customer, agent);
    assert.notEqual(await carrier(agent), relay);
    await agent.by("step-done-identity").click(WAIT);
    await until(agent.page, "step-identity", "state", "done");
    await agent.shot("moves-2-another-relay");
    revive();
    await healthy();

    // Whoever leads now.
    revive = await without("kill", leader(), customer, agent);
    revive();
    await healthy();

    // A recorder: another one records as well, and a third one takes its place, with the next media key.
    // The parties notice nothing but who holds it.
    const running = () => bank.ask("sessions").find((one) => one.ended_at === null);
    const [recorder] = running().recorders;
    const epoch = Number(await customer.by("keys").getAttribute("data-epoch"));
    revive = await without("kill", recorder, customer, agent);
    for (const party of [customer, agent]) {
      await until(party.page, "recording", "state", "running");
      assert.ok(Number(await party.by("keys").getAttribute("data-epoch")) > epoch, "another media key");
    }
    const { assignments, recorders } = running();
    const over = assignments.findLast((turn) => turn.node === recorder);
    assert.equal(over.cause, "recorder-gone");
    assert.ok(recorders.length === 2 && !recorders.includes(recorder), `${recorders} record`);
    revive();
    await healthy();

    // The call is one, and it is recorded.
    for (const party of [customer, agent]) await until(party.page, "recording", "state", "running");
    await customer.by("hangup").click();
    await customer.by("hangup-yes").click();
    await until(customer.page, "phase", "phase", "ended");
    await until(agent.page, "wrap-recording", "state", "sealed");
  } catch (error) {
    bank.keepLogs("moves");
    await customer.shot("failed-moves-customer").catch(() => {});
    await agent.shot("failed-moves-agent").catch(() => {});
    throw new Error(`${error.message}\ncustomer said:\n${customer.said.slice(-20).join("\n")}\nagent said:\n${agent.said.slice(-20).join("\n")}`, { cause: error });
  } finally {
    await customer.close();
    await agent.close();
  }
});
