// The main job in real browsers: a customer calls through the edge, an agent accepts, each sees the
// other's moving picture, the steps are walked, the call is rated, the package verifies. Once over
// WebTransport and once over WebSocket, as where UDP is blocked. Every page is photographed in both
// languages.
import assert from "node:assert/strict";
import fs from "node:fs";
import path from "node:path";
import { after, before, test } from "node:test";
import { artifacts, BLUE, open, RED, shows } from "./browser.mjs";
import { start } from "./deployment.mjs";

const PHONE = { width: 390, height: 844 };
const DESKTOP = { width: 1360, height: 860 };
const WAIT = { timeout: 30_000 };

let bank;
/** WebTransport with the default suite, WebSocket with the one that has a short tag for sound. */
const SUITES = { wt: "sm4-gcm-sm3-128", ws: "sm4-ctr-hmac-sm3-80" };
const bankWith = async (suite) => {
  await bank?.stop();
  bank = await start({ suite });
};
before(() => bankWith(SUITES.wt));
after(() => bank?.stop());

// Waits until an attribute of a handle has a value.
const until = (page, name, attribute, value) =>
  page.waitForSelector(`[data-test="${name}"][data-${attribute}="${value}"]`, { ...WAIT, state: "attached" });

async function login(party, account) {
  await party.by("institution").fill(account.institution);
  await party.by("name").fill(account.name);
  await party.by("password").fill(account.password);
  await party.by("login").click();
}

async function takeTicket(customer, name) {
  const { by, page, shot } = customer;
  await until(page, "phase", "phase", "choose");
  await by("queue-wealth").click();
  await by("customer-name").fill(name);
  await shot(`customer-1-choose-${name}`);
  await by("choose-next").click();
  await by("consent-agree").check({ force: true });
  await shot(`customer-2-consent-${name}`);
  await by("consent-next").click();
  await by("device-start").click();
  await by("preview-video").waitFor(WAIT);
  await page.waitForTimeout(800);
  await shot(`customer-3-device-${name}`);
  await by("take-ticket").click();
}

async function whole(transport, lang) {
  const call = `${lang}-${transport}`;
  const customer = await open(bank.directory, RED, PHONE);
  const agent = await open(bank.directory, BLUE, DESKTOP);
  try {
    await customer.page.goto(`${bank.edge}?lang=${lang}&transport=${transport}`);
    await takeTicket(customer, call);
    await until(customer.page, "phase", "phase", "waiting");
    await until(customer.page, "position", "position", "1");
    await customer.shot(`customer-4-waiting-${call}`);

    await agent.page.goto(`${bank.core}desk?lang=${lang}&transport=${transport}`);
    await agent.by("login").waitFor(WAIT);
    await agent.shot(`desk-1-login-${call}`);
    await login(agent, bank.login("agent"));
    await agent.by("presence-ready").waitFor(WAIT);
    await agent.shot(`desk-2-idle-${call}`);
    await agent.by("presence-ready").click();
    await agent.by("accept").waitFor(WAIT);
    await agent.shot(`desk-3-ring-${call}`);
    await agent.by("accept").click();

    // Each page shows the other's picture, and it moves.
    await until(customer.page, "phase", "phase", "in-session");
    await until(agent.page, "phase", "phase", "busy");
    await until(customer.page, "stage", "peer", "playing");
    await until(agent.page, "stage", "peer", "playing");
    await shows(customer.by("remote-video"), BLUE);
    await shows(agent.by("remote-video"), RED);
    const wanted = transport === "ws" ? "websocket" : "webtransport";
    for (const party of [customer, agent]) {
      assert.equal(await party.by("stage").getAttribute("data-transport"), wanted);
    }

    // Who holds the key is shown: both parties and the two recorders.
    for (const party of [customer, agent]) {
      await until(party.page, "keys", "epoch", "1");
      await party.by("keys").click();
      await until(party.page, "keys", "holders", "4");
      await party.by("holder-recorder").first().waitFor(WAIT);
      assert.match(await party.by("holder-customer").innerText(), new RegExp(call));
      const recorders = await party.by("holder-recorder").allInnerTexts();
      assert.equal(recorders.length, 2);
      for (const text of recorders) assert.match(text, /a[12]-2/);
    }
    await customer.shot(`customer-5a-keys-${call}`);
    await agent.shot(`desk-4a-keys-${call}`);
    for (const party of [customer, agent]) await party.by("keys").click();

    // The recorder is shown, and the steps begin only when it runs.
    await until(customer.page, "recording", "state", "running");
    await until(agent.page, "recording", "state", "running");
    assert.match(await customer.by("recorder").innerText(), /a[12]-2/);
    await customer.shot(`customer-5-call-${call}`);
    await agent.shot(`desk-4-call-${call}`);
    await messages(customer, agent, call);

    // The customer's page is loaded again: it returns with another key pair, and the call goes on under
    // another media key, without a word from the agent.
    await customer.page.reload();
    await until(customer.page, "phase", "phase", "resume");
    await until(agent.page, "keys", "epoch", "2");
    await until(agent.page, "keys", "holders", "3");
    await customer.shot(`customer-5b-resume-${call}`);
    await customer.by("device-start").click();
    await customer.by("take-ticket").click();
    await until(customer.page, "phase", "phase", "in-session");
    for (const party of [customer, agent]) await until(party.page, "keys", "epoch", "3");
    await until(customer.page, "stage", "peer", "playing");
    await until(agent.page, "stage", "peer", "playing");
    await shows(customer.by("remote-video"), BLUE);
    await shows(agent.by("remote-video"), RED);
    await until(agent.page, "recording", "state", "running");
    await agent.shot(`desk-4b-rekeyed-${call}`);
    // What the call is about: typed in the call, completed in the wrap-up.
    await agent.by("business-number").fill(`HT-2026-${transport}`);
    await agent.by("business-save").click();
    await until(agent.page, "business", "saved", "true");
    for (const step of ["identity", "disclosure", "confirm"]) {
      const confirm = customer.by("confirm-step");
      if (await confirm.isVisible().catch(() => false)) await confirm.click();
      await agent.by(`step-done-${step}`).click(WAIT);
      await until(agent.page, `step-${step}`, "state", "done");
    }
    await agent.by("all-done").waitFor(WAIT);
    await agent.shot(`desk-5-steps-${call}`);

    await customer.by("hangup").click();
    await customer.by("hangup-yes").click();
    await until(customer.page, "phase", "phase", "ended");
    await customer.by("star-5").click();
    await customer.shot(`customer-6-rating-${call}`);
    await customer.by("rating-submit").click();
    await until(customer.page, "phase", "phase", "farewell");
    await customer.shot(`customer-7-farewell-${call}`);
    await until(agent.page, "wrap-recording", "state", "sealed");
    assert.equal(await agent.by("business-number").inputValue(), `HT-2026-${transport}`);
    await agent.by("business-customer").fill(`C-${transport}`);
    await agent.by("business-save").click();
    await until(agent.page, "business", "saved", "true");
    await agent.shot(`desk-6-wrap-up-${call}`);
    await agent.by("finish").click();
    await until(agent.page, "phase", "phase", "ready");
    await agent.by("presence-offline").click();
    await until(agent.page, "phase", "phase", "offline");
  } catch (error) {
    await customer.shot(`failed-customer-${call}`).catch(() => {});
    await agent.shot(`failed-desk-${call}`).catch(() => {});
    throw new Error(`${error.message}\ncustomer said:\n${customer.said.slice(-20).join("\n")}\nagent said:\n${agent.said.slice(-20).join("\n")}`, { cause: error });
  } finally {
    await customer.close();
    await agent.close();
  }
  return call;
}

function newestSealed(customer) {
  const answer = bank.ask("sessions");
  const sessions = Array.isArray(answer) ? answer : answer.sessions;
  const session = sessions.find((one) => one.customer === customer);
  assert.equal(session?.recording.state, "sealed");
  assert.equal(session.stars, 5);
  return session.id;
}

for (const [transport, lang] of [["wt", "zh"], ["ws", "en"]]) {
  test(`a call over ${transport}, pages in ${lang}`, async () => {
    if (transport === "ws") await bankWith(SUITES.ws);
    const customer = await whole(transport, lang);
    const session = newestSealed(customer);
    const out = path.join(bank.directory, `package-${lang}`);
    bank.run("evidence", "export", session, "--reason", "browser test", "--out", out, "--data", bank.data);
    const found = fs.existsSync(path.join(out, "manifest.json")) ? out : path.join(out, fs.readdirSync(out)[0]);
    bank.run("evidence", "verify", found, "--root", path.join(bank.data, "pki/root.pem"));
  });
}

test("the console shows centres, nodes, calls and recordings in both languages", async () => {
  const operator = await open(bank.directory, BLUE, { width: 1440, height: 1000 });
  try {
    for (const lang of ["zh", "en"]) {
      await operator.page.goto(`${bank.core}console?lang=${lang}`);
      if (lang === "zh") {
        await operator.by("login").waitFor(WAIT);
        await operator.shot("console-1-login-zh");
        await login(operator, bank.login("operator"));
      }
      await operator.by("map").waitFor(WAIT);
      await until(operator.page, "quorum", "health", "healthy");
      for (const node of ["a1-1", "a1-2", "a2-1", "a2-2", "b-1", "b-2", "edge-a1", "edge-a2", "edge-b"]) {
        await until(operator.page, `node-${node}`, "up", "true");
      }
      await operator.shot(`console-2-overview-${lang}`);
      await operator.by("tab-recordings").click();
      await operator.page.waitForSelector('[data-test="recording-state"][data-state="sealed"]', WAIT);
      await operator.shot(`console-3-recordings-${lang}`);
      await searchAndPlay(operator, lang);
      await operator.by("tab-nodes").click();
      await operator.shot(`console-4-nodes-${lang}`);
      await flows(operator, lang);
    }
  } catch (error) {
    await operator.shot("failed-console").catch(() => {});
    throw new Error(`${error.message}\n${operator.said.slice(-20).join("\n")}`, { cause: error });
  } finally {
    await operator.close();
  }
});

/** Texts and files: a number of an identity card is masked before it leaves the edge, and a file is what it is. */
async function messages(customer, agent, call) {
  const number = "11010519491231002X";
  await customer.by("message-text").fill(`我的身份证号 ${number}`);
  await customer.by("message-send").click();
  for (const party of [customer, agent]) {
    await party.page.locator('[data-test="message"]', { hasText: "**************002X" }).waitFor(WAIT);
    assert.equal(await party.page.getByText(number).count(), 0, "nobody is shown the number");
    await party.by("message-masked").first().waitFor(WAIT);
  }
  // Said to be a picture, and none.
  const page = Buffer.from("<html><script>alert(1)</script></html>");
  await customer.by("message-choose").setInputFiles({ name: "card.png", mimeType: "image/png", buffer: page });
  await customer.page.locator('[data-test="messages"] [data-code="GT-0456"]').waitFor(WAIT);
  await customer.shot(`customer-5m-refused-${call}`);
  // A picture: made anew, and the agent has it.
  const pixel = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";
  await customer.by("message-choose").setInputFiles({ name: "card.png", mimeType: "image/png", buffer: Buffer.from(pixel, "base64") });
  await agent.by("message-file").first().waitFor(WAIT);
  await agent.by("message-text").fill("收到了 / thank you");
  await agent.by("message-send").click();
  await customer.page.locator('[data-test="message"]', { hasText: "收到了" }).waitFor(WAIT);
  await customer.shot(`customer-5m-messages-${call}`);
  await agent.shot(`desk-4m-messages-${call}`);
}

/** What flows: each arrow leaves whoever opened, and all of it is declared. */
async function flows(operator, lang) {
  const { page } = operator;
  await operator.by("go-flows").click();
  await until(page, "flows", "findings", "0");
  for (const arrow of ["a1-1-edge-a1", "b-1-edge-b", "customer-edge-a1", "staff-a1-1"]) {
    await until(page, `arrow-${arrow}`, "standing", "declared");
  }
  assert.equal(await page.locator('[data-test^="arrow-edge-"]').count(), 0, "an edge opens nothing");
  await operator.shot(`console-9-flows-${lang}`);
  // Back in time: minutes of the flow log, once there are two with something in them.
  const minutes = () => operator.page.evaluate(() => Number(document.querySelector('[data-test="flow-time"]')?.dataset.minutes));
  for (let tries = 0; !((await minutes()) >= 3) && tries < 60; tries++) {
    await operator.by("flow-now").click();
    await operator.page.waitForTimeout(3_000);
    await operator.by("flow-span-3600000").click();
    await operator.page.waitForTimeout(1_000);
  }
  assert.ok((await minutes()) >= 3, "the flow log has minutes");
  await operator.page.waitForSelector('[data-test^="arrow-customer-"]', { ...WAIT, state: "attached" });
  await operator.shot(`console-9-flows-then-${lang}`);
  await operator.by("flow-now").click();
  // The matrix: what a change would mean, in words, and nothing is proposed.
  await operator.by("matrix-edit").click();
  const text = await operator.by("matrix-text").inputValue();
  assert.match(text, /\[\[rows\]\]/);
  await operator.by("matrix-text").fill(text.replaceAll("messages_per_second = 2000", "messages_per_second = 3000"));
  await operator.by("matrix-plan").click();
  await operator.page.waitForSelector('[data-test="matrix-changes"] [data-effect="widens"]', WAIT);
  await operator.shot(`console-9-matrix-${lang}`);
  await operator.by("matrix-leave").click();
  await operator.by("flow-node-edge-a1").click();
  await page.locator('[data-test="flow-sockets"]').waitFor(WAIT);
  await operator.by("flow-story").scrollIntoViewIfNeeded(WAIT);
  await operator.shot(`console-10-flow-story-${lang}`);
  await operator.by("go-cluster").click();
}

/** Looks for a recording, plays it, jumps in it; nothing is shown before the reason is given. */
async function searchAndPlay(operator, lang) {
  const { page } = operator;
  await operator.by("search-text").fill("nobody-has-this-name");
  await until(page, "search-found", "found", "0");
  // By the numbers that the agent wrote down, one in the call and one after it.
  await operator.by("search-text").fill("ht-2026-ws c-ws");
  await until(page, "search-found", "found", "1");
  assert.equal(await operator.by("business").first().textContent(), "HT-2026-ws");
  await operator.shot(`console-8-business-${lang}`);
  await operator.by("search-text").fill("edge-");
  await page.waitForFunction(() => Number(document.querySelector('[data-test="search-found"]')?.dataset.found) > 0, undefined, WAIT);
  await operator.shot(`console-5-search-${lang}`);
  // How it is kept: for how long, and where it can be read.
  const fold = page.locator(".el-table__expand-icon").first();
  await fold.click();
  await page.locator('[data-test="keeping-until"]').first().waitFor(WAIT);
  assert.ok((await page.locator('[data-test^="copy-"]').count()) >= 2, "two nodes have a copy");
  await page.locator('[data-test^="turns-"]').first().scrollIntoViewIfNeeded(WAIT);
  await operator.shot(`console-7-keeping-${lang}`);
  await fold.click();
  await page.locator('[data-test^="play-"]:not([disabled])').first().click();
  const reason = lang === "zh" ? "复核 2026-11" : "review 2026-11";
  const field = operator.by("reason");
  await field.waitFor(WAIT);
  assert.equal(await operator.by("player").count(), 0, "a recording is shown without a reason");
  await field.fill(reason);
  await operator.by("reason-yes").click();
  await operator.by("player").waitFor(WAIT);
  await operator.by("player-next").click();
  await operator.by("player-next").click();
  // At the event that is there then a page may have been away, and have no picture.
  const ready = () => [...document.querySelectorAll('[data-test="player"] video')].some((video) => video.readyState >= 2);
  await page.waitForFunction(ready, undefined, WAIT);
  await operator.by("player-play").click();
  const runs = () => [...document.querySelectorAll('[data-test="player"] video')].some((video) => video.currentTime > 1);
  await page.waitForFunction(runs, undefined, WAIT);
  await operator.shot(`console-6-player-${lang}`);
  await page.keyboard.press("Escape");
  await operator.by("player").waitFor({ ...WAIT, state: "detached" });
  await operator.by("search-clear").click();
}

test("the screenshots are there to be looked at", () => {
  const shots = fs.readdirSync(artifacts).filter((name) => name.endsWith(".png"));
  assert.ok(shots.length >= 25, `${shots.length} screenshots in ${artifacts}`);
});
