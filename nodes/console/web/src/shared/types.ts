// The JSON of the API, as `nodes/types` writes it.

export interface Text {
  zh: string;
  en: string;
}

export interface Problem {
  type?: string;
  title?: string;
  status: number;
  code: string;
  detail: string;
  cause: Text;
  next: Text;
}

export interface DoorView {
  node: string;
  centre: string;
  webtransport: string;
  websocket: string;
  certificate_hashes: string[];
  version: string;
}

/** One door of the deployment; without media addresses where no media is relayed. */
export interface DoorEntry {
  node: string;
  centre: string;
  http: string;
  webtransport: string;
  websocket: string;
  certificate_hashes: string[];
  alive: boolean;
}

export interface DoorsView {
  node: string;
  doors: DoorEntry[];
}

export interface Catalogue {
  institutions: { id: string; name: Text; queues: { id: string; name: Text }[] }[];
}

export type Participant = { role: "customer" } | { role: "agent" } | { role: "recorder"; node: string };

export interface RecordingSummary {
  node: string;
  root: string;
  duration_ms: number;
  bytes: number;
  segments: number;
  frames: number;
  gaps: number;
  at: number;
}

export type RecordingState =
  | { state: "starting" }
  | { state: "running"; since: number }
  | { state: "lost"; cause: string; at: number }
  | { state: "sealed"; summary: RecordingSummary };

export interface Step {
  id: string;
  name: Text;
  wording: Text;
  required: boolean;
}

export type MediaSuite = "sm4-gcm-sm3-128" | "sm4-ctr-hmac-sm3-80";

/** Who can open the media of a session now. */
export interface KeyView {
  epoch: number;
  since: number;
  audio_suite: MediaSuite;
  holders: { participant: Participant; display: string }[];
}

export interface MediaAccess {
  room: string;
  token: string;
  publish: string;
  watch: string;
  sealed: boolean;
  key: { recipient: Participant; wrapped: string };
  epoch: number;
  audio_suite: MediaSuite;
}

/** What a call is about in the bank's own systems; either may be empty. */
export interface Business {
  number: string;
  customer: string;
}

export interface CallView {
  session: string;
  peer: string;
  participants: Participant[];
  recording: RecordingState;
  started_at: number;
  steps: Step[];
  done: string[];
  /** Steps the customer has confirmed, for the agent; left out when there are none. */
  confirmed?: string[];
  /** Number of the newest message, for the agent; left out when there is none. */
  message?: number;
  /** For the agent; left out when nothing was said. */
  business?: Business;
  media: MediaAccess;
  key: KeyView;
}

export type FileType = "jpeg" | "png" | "pdf";

export interface FileHead {
  name: string;
  kind: FileType;
  bytes: number;
  sm3: string;
}

/** What a party of a call sent. */
export interface Message {
  id: string;
  number: number;
  at: number;
  from: "customer" | "agent";
  body: { is: "text"; text: string } | { is: "file"; file: FileHead };
  found?: { rule: string; action: "count" | "mask" | "block"; count: number }[];
}

export type EndReason =
  | "customer-left"
  | "customer-away"
  | "customer-hung-up"
  | "agent-hung-up"
  | "operator-ended"
  | "recording-lost";

export type TicketPhase =
  | { phase: "waiting"; position: number; agents: number }
  | { phase: "ringing" }
  | { phase: "in-session"; call: CallView }
  | { phase: "ended"; reason: EndReason; session: string | null; stars: number | null };

export interface TicketView {
  ticket: string;
  institution: string;
  queue: string;
  number: number;
  opened_at: number;
  phase: TicketPhase;
}

export interface OpenedTicket {
  ticket: string;
  token: string;
  view: TicketView;
}

export type Duty = "agent" | "operator" | "auditor" | "officer";
export type Presence = "offline" | "break" | "ready" | "ringing" | "busy" | "wrap-up";

export interface StaffRef {
  institution: string;
  name: string;
}

export interface StaffView {
  id: StaffRef;
  display: string;
  number: string;
  duties: Duty[];
  presence: Presence;
}

export interface LoginReply {
  token: string;
  staff: StaffView;
  expires_at: number;
}

export interface RingView {
  reservation: string;
  customer: string;
  queue: string;
  queue_name: Text;
  opened_at: number;
  due_at: number;
}

export interface DeskView {
  staff: StaffRef;
  display: string;
  presence: Presence;
  since: number;
  number: number;
  waiting: number;
  ring: RingView | null;
  call: CallView | null;
}

export interface SessionEvent {
  number: number;
  at: number;
  actor: string;
  kind: string;
  details: Record<string, string>;
}

/** What a node has of a recording. */
export interface KeptCopy {
  node: string;
  centre?: string;
  health:
    | { is: "unsealed" | "whole" }
    | { is: "damaged"; at: number; what: string }
    | { is: "ordered" | "replica"; at: number; from: string };
  read_at?: number;
  erased_at?: number;
}

/** How a recording is kept; a date is a day in Beijing. */
export interface KeptView {
  session: string;
  institution: string;
  ended_at: number;
  copies: KeptCopy[];
  classes: { class: string; name: Text; minimum: string; version: number; dates: { ends?: string; dispute_ended?: string }; until?: string }[];
  holds: { number: number; by: { institution: string; name: string }; at: number; reason: string }[];
  due?: { until: string; class: string; version: number };
  stage: { is: "kept" | "erasing" } | { is: "erased"; at: number; entry?: number };
  centres: string[];
  centres_wanted: number;
}

export type FilmLayout = "side-by-side" | "picture-in-picture";
/** Where a film stands; pieces are minutes of the picture, and the sound. */
export type FilmStage =
  | { is: "waiting"; since: number }
  | { is: "making"; node: string; since: number; heard_at: number; done: number; of: number }
  | { is: "done"; node: string; at: number; made: { recorder: string; root: string; bytes: number; sm3: string; length_ms: number; compositor: string; cpu_ms: number; kept: number } }
  | { is: "failed"; at: number; why: string }
  | { is: "cancelled"; at: number; by: { institution: string; name: string } };
/** A film that somebody asked for. */
export interface FilmView {
  film: {
    number: number;
    session: string;
    institution: string;
    layout: FilmLayout;
    watermark?: string;
    by: { institution: string; name: string };
    reason?: string;
    at: number;
    turns: number;
    failed_on?: Record<string, string>;
    stage: FilmStage;
  };
  ahead: number;
  until?: number;
}
export interface FilmList {
  films: FilmView[];
  makers: { node: string; ffmpeg?: string; lacks?: string }[];
}

export interface SessionView {
  id: string;
  institution: string;
  queue: string;
  customer: string;
  agent: StaffRef;
  agent_display: string;
  branch?: string;
  business?: Business;
  edge: string;
  recorders: string[];
  started_at: number;
  ended_at: number | null;
  end_reason: EndReason | null;
  recording: RecordingState;
  stars: number | null;
  key: KeyView;
  events: SessionEvent[];
  assignments: Assignment[];
}

/** One node's turn at recording a session; `until` and `cause` are there when it was over before the call's end. */
export interface Assignment {
  number: number;
  node: string;
  epoch: number;
  since: number;
  until?: number;
  cause?: string;
  recording: RecordingState;
}

export type Role = "core" | "relay" | "recorder" | "edge";
export type Zone = "outer" | "dmz" | "inner";

export interface Member {
  id: number;
  name: string;
  centre: string;
  zone: Zone;
  roles: Role[];
  voice: "voter" | "learner" | "none";
  mesh: string;
  door: string;
  public_key: string;
}

export interface NodeView {
  member: Member;
  up: boolean;
  leader: boolean;
  matched: number | null;
  heard_ms: number | null;
}

export interface QueueView {
  institution: string;
  queue: string;
  name: Text;
  waiting: number;
  longest_wait_ms: number;
  ready: number;
  busy: number;
}

export interface StatusView {
  cluster: string;
  version: string;
  node: string;
  leader: number | null;
  term: number;
  applied: number;
  epoch: number;
  /** Set when the node that answers was left behind on an old epoch: it is read-only. */
  quarantine?: { heard: number; told_by: string; at: number } | null;
  quorum: { voters: number; up: number; needed: number };
  cities: { id: string; name: Text }[];
  centres: { id: string; city: string; name: Text }[];
  nodes: NodeView[];
  queues: QueueView[];
  sessions_running: number;
  recordings: number;
  event_number: number;
  /** How the sync lease stands, as the node that answers sees it. */
  sync?: SyncView;
  /** Witnesses of the transparency log that were shown two trees; left out when there are none. */
  log_alarms?: RaisedAlarm[];
}

export interface LogAlarm {
  witness: string;
  tree: "sm3" | "sha256";
  size: number;
  /** Roots, hex: the witness' own and the one it was shown. */
  known: string;
  shown: string;
}
export interface RaisedAlarm {
  at: number;
  alarm: LogAlarm;
}

export type SyncMode =
  | { is: "unguarded" }
  | { is: "sync"; guards: number[]; lease_ms: number }
  | { is: "degraded"; cause: "silent" | "behind" | "released"; guarded_to: number };
export interface SyncState {
  counter: number;
  mode: SyncMode;
  since: number;
}
export interface GuardVerdict {
  node: number;
  sync: SyncState;
  proven_until: number | null;
  proves_now: boolean;
  left_ms: number;
  from_before_restart: boolean;
  applied: number;
  last_index: number;
}
export interface SyncView {
  state: SyncState;
  guards: { node: number; proves_ms: number; lag: number | null }[];
  verdict: GuardVerdict | null;
}

export interface ClusterEvent {
  number: number;
  at: number;
  institution: string | null;
  change: { type: string } & Record<string, unknown>;
}

export type Grade = "national" | "foreign" | "loopback" | "plain";

export interface NodeInventory {
  node: string;
  zone: Zone;
  version: string;
  module: Text;
  kernels: { algorithm: string; path: string }[];
  selftest: [number, number];
  certificates: { purpose: string; subject: string; fingerprint: string; algorithm: string; not_after: number }[];
  hops: { what: Text; from: Zone; to: Zone; at: string; protocol: string; algorithms: string[]; grade: Grade; clause: string }[];
  stores: { what: Text; path: string; algorithms: string[]; wrapped_by: string; grade: Grade; clause: string }[];
}

export interface InventoryView {
  policy: "strict" | "mixed";
  at: number;
  nodes: NodeInventory[];
  silent: string[];
  findings: { node: string; what: Text }[];
}

export interface KeyRow {
  node: string;
  key: string;
  layer: "root" | "kek" | "private key" | "data keys";
  id: string | null;
  generation: number | null;
  created_unix: number | null;
  algorithm: string;
  national: boolean;
  lives: string;
  under: string;
  protects: Text;
  zone: Zone;
}

export interface NodeKeys {
  node: string;
  zone: Zone;
  verified: boolean;
  why: string | null;
  rotation_unfinished: boolean;
  keys: KeyRow[];
}

export interface KeysView {
  at: number;
  nodes: NodeKeys[];
  silent: string[];
}
