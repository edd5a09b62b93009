// A stand-in for the doors while the pages are worked on: one process, everything in memory, no promises kept.
// Never part of the build. `node dev/mock.mjs [port]`; media goes to the relay at MOCK_WEBTRANSPORT and
// MOCK_WEBSOCKET, when there is one; the file MOCK_CERT_HASH holds its certificate's SHA-256. For a relay that
// checks tokens, the file MOCK_TOKENS holds {"customer": …, "agent": …} for the session MOCK_SESSION.

import { randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import { readFile } from "node:fs/promises";
import http from "node:http";
import { extname } from "node:path";
import { fileURLToPath } from "node:url";
import { sm2 } from "sm-crypto-v2";
import { AT, kept, listed, plans, reportOf, states } from "./dr.mjs";

const port = Number(process.argv[2] ?? 5180);
const dist = process.env.MOCK_DIST ?? fileURLToPath(new URL("../../dist/", import.meta.url));
const id = () => randomBytes(16).toString("hex");
const text = (zh, en) => ({ zh, en });
const now = () => Date.now();
const tokens = process.env.MOCK_TOKENS ? JSON.parse(readFileSync(process.env.MOCK_TOKENS, "utf8")) : { customer: "pub", agent: "pub" };

const steps = [
  { id: "identity", name: text("身份核验", "Identity check"), wording: text("请您正对摄像头,报出姓名,并向镜头出示身份证件正反面。", "Please face the camera, state your name and show both sides of your identity card."), required: true },
  { id: "information", name: text("信息确认", "Information"), wording: text("请核对您的联系方式与风险承受能力评级:稳健型(C3),如有变化请立即告知。", "Please check your contact data and risk rating: balanced (C3)."), required: true },
  { id: "disclosure", name: text("风险揭示", "Disclosure"), wording: text("本产品为非保本浮动收益型理财产品,产品过往业绩不代表其未来表现,不等于实际收益,投资须谨慎。您应充分认识投资风险,自主作出决策。", "This product does not guarantee principal or return. Past performance does not predict the future. Please decide with care."), required: true },
  { id: "consent", name: text("客户确认", "Consent"), wording: text("请您明确回答:您是否已了解上述风险并自愿购买?", "Please answer clearly: do you understand the risk and buy of your own will?"), required: true },
  { id: "signature", name: text("电子签署", "Signature"), wording: text("", ""), required: true },
  { id: "comment", name: text("坐席备注", "Comment"), wording: text("", ""), required: false },
];
const institution = { id: "bank-a", name: text("江海银行", "Jianghai Bank"), queues: [
  { id: "wealth", name: text("理财产品购买", "Wealth products") },
  { id: "loan", name: text("个人贷款面签", "Personal loan signing") },
  { id: "account", name: text("账户与挂失", "Accounts and lost cards") },
] };
const other = { id: "bank-b", name: text("云岭农商行", "Yunling Rural Bank"), queues: [{ id: "loan", name: text("惠农贷面签", "Farm loan signing") }] };

const world = {
  number: 100, tickets: new Map(), sessions: new Map(), watchers: new Set(), events: [], recordMs: 1500,
  desk: { staff: { institution: "bank-a", name: "lin" }, display: "林晓 8021", presence: "break", since: now(), key: "", ring: null, session: null },
  nodesDown: new Set(), leader: 1, catalogue: { institutions: [institution, other] }, term: 7, applied: 18233,
};
for (let i = 0; i < 6; i++) {
  const sid = id(); const at = now() - (i + 1) * 23 * 60e3;
  const recording = i === 2 ? { state: "lost", cause: "disk-full", at: at + 200e3 } : { state: "sealed", summary: { node: i % 2 ? "a2-2" : "a1-2", root: id() + id(), duration_ms: 312e3 + i * 41e3, bytes: 24e6 + i * 3e6, segments: 600 + i * 20, frames: 40000 + i * 999, gaps: i === 4 ? 1 : 0, at: at + 400e3 } };
  world.sessions.set(sid, { id: sid, institution: "bank-a", queue: institution.queues[i % 3].id, customer: ["王建国", "陈思雨", "赵敏", "刘洋", "Zhou Li", "孙丽华"][i], agent: { institution: "bank-a", name: "lin" }, agent_display: "林晓 8021", edge: i % 2 ? "edge-a2" : "edge-a1", recorders: ["a1-2", "a2-2"], started_at: at, ended_at: at + 350e3, end_reason: i === 2 ? "recording-lost" : i % 2 ? "customer-hung-up" : "agent-hung-up", recording, stars: i === 2 ? null : 5 - (i % 3), events: [], steps, done: steps.map((s) => s.id) });
}

function changed(change) {
  world.number++; world.applied++;
  const event = { number: world.number, at: now(), institution: "bank-a", change };
  world.events.push(event);
  for (const watcher of [...world.watchers]) watcher(event);
}

/** What the parties of a call said: read after a number, or one more. */
function talk(session, party, method, url, body) {
  const said = (session.said ??= []);
  if (method === "POST") {
    said.push({ id: id(), number: said.length + 1, from: party, at: now(), body: { is: "text", text: body.text }, found: [] });
    changed({ type: "session", session: session.id });
    return said.at(-1);
  }
  return said.filter(({ number }) => number > Number(url.searchParams.get("after") ?? 0));
}

const wrap = (key, point) => (point ? "04" + sm2.doEncrypt(key, point, 1) : "");
/** Draws the next media key and wraps it to the pages that are there, as the core does. */
function rekey(session) {
  const key = new Uint8Array(randomBytes(32));
  const points = { customer: world.tickets.get(session.ticket)?.media_key, agent: world.desk.key };
  session.keys = { customer: wrap(key, points.customer), agent: wrap(key, points.agent) };
  session.epoch = (session.epoch ?? 0) + 1;
  session.keySince = now();
  changed({ type: "session", session: session.id });
}
const keyView = (session) => ({
  epoch: session.epoch ?? 1, since: session.keySince ?? session.started_at, audio_suite: "sm4-gcm-sm3-128",
  holders: [
    { participant: { role: "customer" }, display: session.customer, there: session.keys?.customer },
    { participant: { role: "agent" }, display: session.agent_display, there: session.keys?.agent },
    { participant: { role: "recorder", node: session.recorders[0] }, display: session.recorders[0], there: true },
  ].filter(({ there }) => there || session.ended_at).map(({ there: _, ...holder }) => holder),
});
const callView = (session, party) => ({
  session: session.id, peer: party === "customer" ? session.agent_display : session.customer,
  participants: [{ role: "customer" }, { role: "agent" }, ...session.recorders.slice(0, 1).map((node) => ({ role: "recorder", node }))],
  recording: session.recording, started_at: session.started_at, steps, done: session.done, ...(party === "agent" && { confirmed: session.confirmed, business: session.business }),
  media: { room: `/${session.institution}/${session.id}`, token: tokens[party], publish: party, watch: party === "customer" ? "agent" : "customer", sealed: true, key: { recipient: { role: party }, wrapped: session.keys?.[party] ?? "" }, epoch: session.epoch ?? 1, audio_suite: "sm4-gcm-sm3-128" },
  key: keyView(session),
});
function ticketView(ticket) {
  const waiting = [...world.tickets.values()].filter((t) => t.phase === "waiting");
  const phase = {
    waiting: () => ({ phase: "waiting", position: waiting.indexOf(ticket) + 1 + (world.ahead ?? 0), agents: world.desk.presence === "offline" ? 0 : world.agents ?? 1 }),
    ringing: () => ({ phase: "ringing" }),
    "in-session": () => ({ phase: "in-session", call: callView(world.sessions.get(ticket.session), "customer") }),
    ended: () => ({ phase: "ended", reason: ticket.reason, session: ticket.session ?? null, stars: ticket.stars ?? null }),
  }[ticket.phase]();
  return { ticket: ticket.id, institution: ticket.institution, queue: ticket.queue, number: world.number, opened_at: ticket.opened_at, phase };
}
function deskView() {
  const { staff, display, presence, since, ring, session } = world.desk;
  return { staff, display, presence, since, number: world.number, waiting: [...world.tickets.values()].filter((t) => t.phase === "waiting").length + (world.ahead ?? 0), ring, call: session ? callView(world.sessions.get(session), "agent") : null };
}
function setDesk(presence, rest = {}) { Object.assign(world.desk, { presence, since: now() }, rest); changed({ type: "desk", staff: world.desk.staff }); route(); }
function route() {
  if (world.desk.presence !== "ready" || world.held) return;
  const ticket = [...world.tickets.values()].find((t) => t.phase === "waiting");
  if (!ticket) return;
  ticket.phase = "ringing";
  const queue = institution.queues.find((q) => q.id === ticket.queue) ?? institution.queues[0];
  world.desk.ring = { reservation: id(), customer: ticket.customer, queue: ticket.queue, queue_name: queue.name, opened_at: ticket.opened_at, due_at: now() + 20e3, ticket: ticket.id };
  setDesk("ringing");
}
function accept() {
  const ring = world.desk.ring; const ticket = world.tickets.get(ring.ticket); const sid = process.env.MOCK_SESSION ?? id();
  const session = { id: sid, institution: ticket.institution, queue: ticket.queue, customer: ticket.customer, agent: world.desk.staff, agent_display: world.desk.display, edge: "edge-a1", recorders: ["a1-2", "a2-2"], started_at: now(), ended_at: null, end_reason: null, recording: { state: "starting" }, stars: null, events: [], done: [], ticket: ticket.id };
  world.sessions.set(sid, session); rekey(session); ticket.phase = "in-session"; ticket.session = sid;
  addEvent(session, "customer", "consent", { wording: "2026-11" }); addEvent(session, "agent", "accepted");
  world.desk.ring = null; setDesk("busy", { session: sid });
  changed({ type: "session-started", session: sid, recorders: session.recorders });
  setTimeout(() => { if (session.recording.state === "starting" && !world.heldRecording) { session.recording = { state: "running", since: now() }; addEvent(session, "recorder:a1-2", "recording-started"); changed({ type: "session", session: sid }); } }, world.recordMs);
}
function addEvent(session, actor, kind, details = {}) { session.events.push({ number: session.events.length + 1, at: now(), actor, kind, details }); }
function end(session, reason) {
  if (session.ended_at) return;
  session.ended_at = now(); session.end_reason = reason; addEvent(session, reason.startsWith("agent") ? "agent" : "customer", "hung-up");
  const ticket = world.tickets.get(session.ticket); ticket.phase = "ended"; ticket.reason = reason;
  setDesk("wrap-up", { session: null }); changed({ type: "session-ended", session: session.id, ticket: ticket.id });
  setTimeout(() => { session.recording = { state: "sealed", summary: { node: "a1-2", root: id() + id(), duration_ms: now() - session.started_at, bytes: 5e6, segments: 88, frames: 6000, gaps: 0, at: now() } }; changed({ type: "recording-sealed", session: session.id }); }, 1500);
}
/** The first recorder of every third call was gone after a minute, and b-2 took over. */
function turnsOf({ recorders, recording, started_at: since }) {
  const own = (node, lost) => recording.state !== "sealed" ? recording : { state: "sealed", summary: { ...recording.summary, node, root: node === recording.summary.node ? recording.summary.root : `${recording.summary.root.slice(8)}${recording.summary.root.slice(0, 8)}`, frames: lost ? 2610 : recording.summary.frames, duration_ms: lost ? 60e3 : recording.summary.duration_ms, bytes: lost ? recording.summary.bytes / 4 : recording.summary.bytes, gaps: lost ? 2 : recording.summary.gaps } };
  const turns = recorders.map((node, at) => ({ number: at + 1, node, epoch: 3, since, recording: own(node) }));
  if (recording.state !== "sealed" || since % 3 !== 0) return turns;
  const other = recorders.find((node) => node !== recording.summary.node);
  return [...turns.map((turn) => turn.node === other ? { ...turn, until: since + 60e3, cause: "recorder-gone", recording: own(other, true) } : turn), { number: turns.length + 1, node: "b-2", epoch: 3, since: since + 61e3, recording: own("b-2") }];
}
const sessionView = ({ keys, done, confirmed: __, ticket, epoch, keySince, steps: _, ...view }, full) => ({ ...view, assignments: turnsOf(view), key: keyView({ keys, epoch, keySince, ...view }), events: full ? view.events : [] });

const member = (nid, name, centre, zone, roles, voice, address) => ({ id: nid, name, centre, zone, roles, voice, mesh: `${address}:7443`, door: `${address}:4443`, public_key: "04" + "ab".repeat(64) });
const members = [
  member(1, "a1-1", "a1", "inner", ["core", "relay"], "voter", "127.1.2.1"), member(2, "a1-2", "a1", "inner", ["core", "recorder"], "voter", "127.1.2.2"),
  member(3, "a2-1", "a2", "inner", ["core", "relay"], "voter", "127.2.2.1"), member(4, "a2-2", "a2", "inner", ["core", "recorder"], "voter", "127.2.2.2"),
  member(5, "b-1", "b", "inner", ["core"], "voter", "127.3.2.1"),
  member(11, "edge-a1", "a1", "dmz", ["edge"], "none", "127.1.1.1"), member(12, "edge-a2", "a2", "dmz", ["edge"], "none", "127.2.1.1"),
];
const colleagues = [["wang", "王磊", "8033"], ["sun", "孙倩", "8047"]].map(([name, display, number]) => ({ id: { institution: "bank-a", name }, display, number, duties: ["agent"], presence: "ready" }));
const MOCK_NODES = [["a1-1", "inner"], ["a1-2", "inner"], ["b-1", "inner"], ["edge-a1", "dmz"], ["edge-a2", "dmz"]];
function cryptoView() {
  const hop = (zh, en, from, zone, grade, algorithms) => ({ what: text(zh, en), from, to: zone, at: "127.1.2.1:7443/udp", protocol: "guitai-raft/1 · QUIC", algorithms, key_bits: 128, certificate: "mesh", grade, clause: "GB/T 39786 8.2 a–c" });
  const sm = ["TLS_SM4_GCM_SM3", "curveSM2MLKEM768", "curveSM2", "sm2sig_sm3"];
  const nodes = MOCK_NODES.map(([node, zone]) => ({
    node, zone, version: "0.1.0", module: text("guitai-crypto 软件密码模块(未经商用密码产品认证)", "guitai-crypto, a software module (no product certificate)"),
    kernels: [{ algorithm: "SM4, SM4-GCM", path: "gfni-avx512" }, { algorithm: "SM3, HMAC-SM3", path: "avx512" }, { algorithm: "SM2", path: "portable" }], selftest: [21, 21],
    certificates: [{ purpose: "mesh", subject: node, fingerprint: "3fa91c20b7e4d516", algorithm: "SM2, SM2-with-SM3", not_after: now() + 80 * 864e5 }],
    hops: [hop("集群共识", "consensus", "inner", zone, "national", sm), hop("网页与接口", "pages and API", zone === "dmz" ? "outer" : "inner", zone, "loopback", []), ...(zone === "dmz" ? [hop("浏览器媒体", "media of browsers", "outer", zone, node === "edge-a2" ? "foreign" : "national", node === "edge-a2" ? ["TLS13_AES_128_GCM_SHA256", "X25519"] : sm)] : [])],
    stores: [{ what: text("根密钥", "root key"), path: "keys/root", algorithms: ["SM4-GCM", "Argon2id"], key_bits: 128, wrapped_by: "口令 / passphrase", grade: "national", clause: "GB/T 39786 8.8" }],
  }));
  const finding = { node: "edge-a2", what: text("链路“浏览器媒体”(127.2.1.1:4443/udp):非国密", "hop \"media of browsers\" (127.2.1.1:4443/udp): not national") };
  return { policy: "strict", at: now(), nodes, silent: [], findings: [finding] };
}
function keysView() {
  const nodes = MOCK_NODES.map(([node, zone]) => {
    const row = (key, layer, lives, under, zh, en, generation = null) => ({ node, key, layer, id: null, generation, created_unix: generation && Math.floor(now() / 1000) - 86400, algorithm: layer === "private key" ? "SM2" : "SM4-GCM", national: true, lives, under, protects: text(zh, en), zone });
    const keys = [row("root", "root", "keys/root", "passphrase (Argon2id)", "本节点的密钥加密密钥", "this node's KEKs", 1), row("kek identity", "kek", "keys/ring", "root", "本节点的私钥文件", "private key files of this node", 1)];
    if (zone === "inner") keys.push(row("kek recording", "kek", "keys/ring", "root", "本节点的录音录像", "recordings on this node", 2), row("data recording", "data keys", "data/recordings/*/key", "kek recording 1,2", "48 份录制", "48 recordings"));
    keys.push(row("private identity", "private key", "identity.key.pem", "kek identity 1", "节点间 TLS 身份", "the node's TLS identity"));
    return { node, zone, verified: true, why: null, rotation_unfinished: false, keys };
  });
  return { at: now(), nodes, silent: [] };
}
function statusView() {
  const nodes = members.map((m) => { const up = !world.nodesDown.has(m.name); return { member: m, up, leader: up && m.id === world.leader, matched: m.voice === "voter" ? world.applied - (up ? (m.id * 7) % 3 : 420) : null, heard_ms: up ? 20 + m.id * 9 : 48200 }; });
  const up = nodes.filter((n) => n.member.voice === "voter" && n.up).length;
  const queues = institution.queues.map((q, i) => ({ institution: "bank-a", queue: q.id, name: q.name, waiting: [...world.tickets.values()].filter((t) => t.phase === "waiting" && t.queue === q.id).length + [2, 0, 1][i], longest_wait_ms: [94e3, 0, 21e3][i], ready: [1, 3, 2][i], busy: [4, 2, 1][i] }));
  return { cluster: "9f3c51d2a7be44d0", version: "0.1.0", node: "a1-1", leader: up >= 3 ? world.leader : null, term: world.term, applied: world.applied, epoch: 3, quorum: { voters: 5, up, needed: 3 }, cities: [{ id: "a", name: text("甲市", "City A") }, { id: "b", name: text("乙市", "City B") }], centres: [{ id: "a1", city: "a", name: text("甲市一中心", "Centre A1") }, { id: "a2", city: "a", name: text("甲市二中心", "Centre A2") }, { id: "b", city: "b", name: text("乙市灾备中心", "Centre B") }], nodes, queues, sessions_running: [...world.sessions.values()].filter((s) => !s.ended_at).length, recordings: [...world.sessions.values()].filter((s) => s.recording.state === "sealed").length, event_number: world.number };
}

class Refused extends Error { constructor(status, code, zh, en, next_zh, next_en) { super(code); Object.assign(this, { status, code, cause: text(zh, en), next: text(next_zh, next_en) }); } }
const wrongState = () => new Refused(409, "GT-0409", "当前状态不允许此操作", "Not possible in the present state", "刷新后重试", "Refresh and try again");
const types = { ".html": "text/html; charset=utf-8", ".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml" };
const csp = "default-src 'none'; script-src 'self'; worker-src 'self' blob:; style-src 'self'; style-src-attr 'unsafe-inline'; img-src 'self' data: blob:; media-src 'self' blob:; font-src 'self'; connect-src 'self' https: ws: wss:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/** Disaster recovery as `world.dr` names it, with a clock that goes on. */
const drSince = now();
function drSeen() {
  const { status, live } = (states[world.dr] ?? states.quiet)();
  return { status, live: { ...live, at: AT + now() - drSince } };
}
function drPlan(aim) {
  if (world.refuse) return plans["centre-refused"];
  if (aim.scenario === "city") return plans[drSeen().live.leader ? "city-refused" : "city"];
  if (aim.scenario === "switch" && aim.to === "b") return plans["switch-city"];
  return plans[aim.one_way ? "link-one-way" : aim.scenario];
}

async function serve(request, response) {
  const url = new URL(request.url, "http://x"); const path = url.pathname; const key = `${request.method} ${path}`;
  const body = await new Promise((resolve) => { let all = ""; request.on("data", (c) => (all += c)).on("end", () => resolve(all ? JSON.parse(all) : {})); });
  const json = (status, value) => { response.writeHead(status, { "content-type": "application/json" }); response.end(value === undefined ? "" : JSON.stringify(value)); };
  const stream = (name, view, matches = () => true) => {
    response.writeHead(200, { "content-type": "text/event-stream", "cache-control": "no-store" });
    const send = (event) => { const v = view(event); if (v) response.write(`event: ${name}\nid: ${event?.number ?? world.number}\ndata: ${JSON.stringify(v)}\n\n`); };
    if (name !== "event") send(); else for (const event of world.events.slice(-40)) send(event);
    const watcher = (event) => matches(event) && send(event);
    world.watchers.add(watcher); request.on("close", () => world.watchers.delete(watcher));
  };
  let m;
  if (path === "/dev/set") { Object.assign(world, body); changed({ type: "cluster" }); return json(200, {}); }
  if (path === "/dev/down") { world.nodesDown = new Set(body.down); if (body.leader) { world.leader = body.leader; world.term++; } changed({ type: "cluster" }); return json(200, {}); }
  if (path === "/dev/recording") { for (const s of world.sessions.values()) if (!s.ended_at) { s.recording = { ...body, at: now(), since: now() }; changed({ type: "session", session: s.id }); } return json(200, {}); }
  if (key === "GET /api/v1/doors") return json(200, { node: "edge-a1", doors: [] });
  if (key === "GET /api/v1/door") return json(200, { node: "edge-a1", centre: "a1", webtransport: process.env.MOCK_WEBTRANSPORT ?? "https://127.0.0.1:4999", websocket: process.env.MOCK_WEBSOCKET ?? "ws://127.0.0.1:4999", certificate_hashes: process.env.MOCK_CERT_HASH ? [readFileSync(process.env.MOCK_CERT_HASH, "utf8").trim()] : [], version: "0.1.0" });
  if (key === "GET /api/v1/catalogue") { if (world.noTunnel) throw new Refused(503, "GT-0504", "缓冲区与内网的通道未建立", "No tunnel from the inner zone to this edge", "检查内网节点是否运行", "Check that the inner nodes run"); return json(200, world.catalogue); }
  if (key === "POST /api/v1/tickets") { const ticket = { id: id(), ...body, opened_at: now(), phase: "waiting" }; world.tickets.set(ticket.id, ticket); changed({ type: "ticket", ticket: ticket.id }); const view = ticketView(ticket); setTimeout(route, 50); return json(201, { ticket: ticket.id, token: "t", view }); }
  if ((m = /^\/api\/v1\/tickets\/(\w+)(?:\/(\w+))?$/.exec(path))) {
    const ticket = world.tickets.get(m[1]); if (!ticket) throw new Refused(404, "GT-0404", "对象不存在", "There is no such thing", "核对编号", "Check the id");
    const session = world.sessions.get(ticket.session);
    if (!m[2]) return json(200, ticketView(ticket));
    if (m[2] === "events") return stream("ticket", () => ticketView(ticket));
    if (m[2] === "messages") return json(200, talk(session, "customer", request.method, url, body));
    if (m[2] === "close") { if (session) end(session, "customer-hung-up"); else { ticket.phase = "ended"; ticket.reason = "customer-left"; changed({ type: "ticket", ticket: ticket.id }); } return json(200, ticketView(ticket)); }
    if (m[2] === "key") { ticket.media_key = body.media_key; rekey(session); return json(200, ticketView(ticket)); }
    if (m[2] === "leave") { if (ticket.media_key === body.media_key) { ticket.media_key = ""; rekey(session); } return json(200, ticketView(ticket)); }
    if (m[2] === "rating") { ticket.stars = body.stars; if (session) session.stars = body.stars; changed({ type: "ticket", ticket: ticket.id }); return json(200, ticketView(ticket)); }
    if (m[2] === "confirm") { session.confirmed = [...new Set([...(session.confirmed ?? []), body.step])]; addEvent(session, "customer", "confirmed", { step: body.step }); changed({ type: "session", session: session.id }); return json(200, ticketView(ticket)); }
  }
  if (key === "POST /api/v1/login") { if (body.password !== "demo") throw new Refused(401, "GT-0402", "用户名或密码不正确", "Wrong name or password", "核对机构、用户名和密码", "Check institution, name and password"); return json(200, { token: "s", expires_at: now() + 36e6, staff: { id: { institution: body.institution, name: body.name }, display: body.name === "ops" ? "周衡" : "林晓", number: "8021", duties: body.name === "ops" ? ["operator"] : ["agent"], presence: world.desk.presence } }); }
  if (key === "GET /api/v1/me") return json(200, { id: world.desk.staff, display: "林晓", number: "8021", duties: ["agent", "operator"], presence: world.desk.presence });
  if (key === "PUT /api/v1/me/presence") { if (world.desk.session) throw wrongState(); world.desk.key = body.media_key; setDesk(body.presence); return json(200, deskView()); }
  if (key === "GET /api/v1/desk") return json(200, deskView());
  if (key === "GET /api/v1/desk/events") return stream("desk", deskView);
  if ((m = /^\/api\/v1\/reservations\/(\w+)\/(accept|reject)$/.exec(path))) { if (world.desk.ring?.reservation !== m[1]) throw wrongState(); if (m[2] === "accept") accept(); else { world.tickets.get(world.desk.ring.ticket).phase = "waiting"; world.desk.ring = null; setDesk("break"); } return json(200, deskView()); }
  if (key === "PUT /api/v1/me/key") { world.desk.key = body.media_key; rekey(world.sessions.get(world.desk.session)); return json(200, deskView()); }
  if (key === "POST /api/v1/me/leave") { if (world.desk.key === body.media_key) { world.desk.key = ""; rekey(world.sessions.get(world.desk.session)); } return json(200, deskView()); }
  if (key === "POST /api/v1/me/finish") { setDesk("ready"); return json(200, deskView()); }
  if (key === "GET /api/v1/sessions") { const state = url.searchParams.get("state"); return json(200, [...world.sessions.values()].filter((s) => !state || (state === "running") === !s.ended_at).map((s) => sessionView(s)).sort((a, b) => b.started_at - a.started_at)); }
  if ((m = /^\/api\/v1\/sessions\/(\w+)(?:\/(\w+))?$/.exec(path))) {
    const session = world.sessions.get(m[1]);
    if (!m[2]) return json(200, sessionView(session, true));
    if (m[2] === "messages") return json(200, talk(session, "agent", request.method, url, body));
    if (m[2] === "steps") { if (session.recording.state !== "running") throw new Refused(409, "GT-0451", "录音录像未在进行,业务已暂停", "The recording is not running; the business flow has stopped", "等待录制恢复或结束会话", "Wait for the recording or end the call"); session.done.push(body.step); addEvent(session, "agent", "step", { step: body.step }); changed({ type: "session", session: session.id }); return json(204); }
    if (m[2] === "business") { session.business = body; addEvent(session, "agent", "business", body); changed({ type: "session", session: session.id }); return json(200, sessionView(session, true)); }
    if (m[2] === "hangup") { end(session, "agent-hung-up"); return json(204); }
  }
  if (path === "/healthz") return json(200, {});
  if (key === "GET /api/v1/status") return json(200, world.dr ? drSeen().status : statusView());
  if (key === "GET /api/v1/dr/live") return json(200, drSeen().live);
  if (key === "POST /api/v1/dr/plan") return json(200, { ...drPlan(body), aim: body });
  if (key === "GET /api/v1/dr/runs") return json(200, kept().map(listed));
  if ((m = /^\/api\/v1\/dr\/runs\/(\w+)\/report$/.exec(path))) return json(200, reportOf(kept().find((one) => one.id === m[1])));
  if (key === "GET /api/v1/crypto") return json(200, cryptoView());
  if (key === "GET /api/v1/keys") return json(200, keysView());
  if (/^GET \/api\/v1\/sessions\/[^/]+\/colleagues$/.test(key)) return json(200, colleagues);
  if (key === "GET /api/v1/nodes") return json(200, statusView().nodes);
  if (key === "GET /api/v1/queues") return json(200, statusView().queues);
  if (key === "GET /api/v1/recordings") return json(200, [...world.sessions.values()].filter((s) => s.ended_at || s.recording.state === "lost").map((s) => sessionView(s)).sort((a, b) => b.started_at - a.started_at));
  if (/^\/api\/v1\/recordings\/\w+\/package$/.test(path)) { response.writeHead(200, { "content-type": "application/x-tar" }); return response.end("tar"); }
  if (key === "GET /api/v1/events") return stream("event", (event) => event);
  const file = { "/": "customer.html", "/desk": "desk.html", "/console": "console.html", "/console/dr": "console.html", "/console/flows": "console.html" }[path] ?? path.slice(1);
  const bytes = await readFile(dist + file).catch(() => undefined);
  if (!bytes) { response.writeHead(404); return response.end(); }
  response.writeHead(200, { "content-type": types[extname(file)] ?? "application/octet-stream", "content-security-policy": csp, "cross-origin-opener-policy": "same-origin", "cross-origin-embedder-policy": "require-corp", "x-content-type-options": "nosniff" });
  response.end(bytes);
}
http.createServer((request, response) => {
  serve(request, response).catch((error) => {
    if (!(error instanceof Refused)) console.error(error);
    response.writeHead(error.status ?? 500, { "content-type": "application/problem+json" });
    response.end(JSON.stringify({ type: "about:blank", title: error.message, status: error.status ?? 500, code: error.code ?? "GT-0500", detail: error.message, cause: error.cause ?? text("内部错误", "Internal error"), next: error.next ?? text("查看节点日志", "Look at the node's log") }));
  });
}).listen(port, "127.0.0.1", () => console.log(`http://127.0.0.1:${port}`));
