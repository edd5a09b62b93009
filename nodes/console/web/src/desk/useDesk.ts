// An agent's desk as the core tells it, and what the agent may do with it.

import { computed, onScopeDispose, ref, shallowRef, watch } from "vue";
import { DeviceError, type DeviceFault, Devices } from "@/media/devices";
import { PageKey } from "@/media/keys";
import { problemOf } from "@/shared/api";
import { chime } from "@/shared/chime";
import { follow } from "@/shared/sse";
import type { Business, DeskView, Presence, Problem, SessionView, StaffView } from "@/shared/types";
import { useAttempt } from "@/shared/useAttempt";
import type { Ask } from "@/shared/useLogin";
import { useMessages } from "@/shared/useMessages";

/** The chime repeats while it rings. */
const CHIME_MS = 2_200;

export function useDesk(token: string, ask: Ask, expired: (problem: Problem) => void) {
  const key = new PageKey();
  const view = ref<DeskView>();
  const { acting: working, problem, done } = useAttempt();
  const online = ref(true);
  const devices = shallowRef<Devices>();
  const fault = ref<DeviceFault>();
  const sessions = ref<SessionView[]>();
  /** The last call, for the wrap-up. */
  const last = ref<SessionView>();

  const presence = computed<Presence>(() => view.value?.presence ?? "offline");
  const call = computed(() => view.value?.call ?? undefined);
  const ring = computed(() => view.value?.ring ?? undefined);

  const exchange = useMessages(
    () => ({ path: call.value && `/api/v1/sessions/${call.value.session}`, token }),
    () => call.value?.message,
  );

  async function openDevices(): Promise<boolean> {
    if (devices.value) return true;
    fault.value = undefined;
    try {
      devices.value = await Devices.open();
      return true;
    } catch (error) {
      fault.value = error instanceof DeviceError ? error.fault : "failed";
      return false;
    }
  }

  /** A page that was loaded anew holds a new key; until the core knows it, no call can be opened here. */
  let keyKnown = false;

  async function setPresence(wanted: Presence): Promise<void> {
    if (wanted === "ready" && !(await openDevices())) return;
    const body = { presence: wanted, media_key: key.publicKey };
    const told = await done(() => ask("PUT", "/api/v1/me/presence", { body }), `presence-${wanted}`);
    keyKnown ||= told;
  }

  async function answer(accept: boolean): Promise<void> {
    if (!ring.value || (accept && !(await openDevices()))) return;
    const path = `/api/v1/reservations/${ring.value.reservation}/${accept ? "accept" : "reject"}`;
    await done(() => ask("POST", path), accept ? "accept" : "reject");
  }

  const finishStep = (step: string, note: string) =>
    done(() => {
      const details: Record<string, string> = note.trim() === "" ? {} : { note: note.trim() };
      return ask("POST", `/api/v1/sessions/${call.value?.session}/steps`, { body: { step, details } });
    }, "step");
  /** Says what the running call, or the one that is written up, is about in the bank's own systems. */
  const label = (business: Business) =>
    done(async () => {
      const id = call.value?.session ?? last.value?.id;
      const session = await ask<SessionView>("PUT", `/api/v1/sessions/${id}/business`, { body: business });
      if (last.value?.id === session.id) last.value = session;
    }, "business");
  const hangUp = () => done(() => ask("POST", `/api/v1/sessions/${call.value?.session}/hangup`), "hangup");
  /** Colleagues who are ready and serve the queue of the running call. */
  const colleagues = () => ask<StaffView[]>("GET", `/api/v1/sessions/${call.value?.session}/colleagues`);
  /** Hands the call to one of them; the problem if it stays here. */
  async function transfer(to: string): Promise<Problem | undefined> {
    const path = `/api/v1/sessions/${call.value?.session}/transfer`;
    const handed = await done(() => ask("POST", path, { body: { to } }), "transfer");
    return handed ? undefined : problem.value;
  }
  const finishWrapUp = () => done(() => ask("POST", "/api/v1/me/finish"), "finish");

  async function loadSessions(): Promise<void> {
    const all = await ask<SessionView[]>("GET", "/api/v1/sessions").catch(() => undefined);
    if (!all) return;
    const midnight = new Date().setHours(0, 0, 0, 0);
    const me = view.value?.staff.name;
    sessions.value = all
      .filter((session) => session.started_at >= midnight && (!me || session.agent.name === me))
      .sort((a, b) => b.started_at - a.started_at);
  }

  async function loadSession(id: string): Promise<void> {
    const session = await ask<SessionView>("GET", `/api/v1/sessions/${id}`).catch(() => undefined);
    if (!session) return;
    last.value = session;
    sessions.value = sessions.value?.map((one) => (one.id === session.id ? session : one));
  }

  /** Loaded again during a call: takes part with this page's key pair, and the call gets another media key. */
  async function rejoin(): Promise<void> {
    if (keyKnown || !call.value) return;
    keyKnown = true;
    const body = { media_key: key.publicKey };
    await ask("PUT", "/api/v1/me/key", { body }).catch((error) => {
      keyKnown = false;
      problem.value = problemOf(error);
    });
  }

  async function announceKey(): Promise<void> {
    if (keyKnown || (presence.value !== "ready" && presence.value !== "ringing")) return;
    keyKnown = true;
    const body = { presence: "ready", media_key: key.publicKey };
    await ask("PUT", "/api/v1/me/presence", { body }).catch(() => {
      keyKnown = false;
    });
  }

  let first = true;
  const stop = follow({
    path: "/api/v1/desk/events",
    token,
    onMessage: ({ event, data }) => {
      if (event !== "desk") return;
      const next = JSON.parse(data) as DeskView;
      if (view.value && next.number < view.value.number) return;
      view.value = next;
      void announceKey();
      void rejoin();
      if (first) {
        first = false;
        void loadSessions();
      }
      const session = next.call?.session ?? (next.presence === "wrap-up" ? last.value?.id : undefined);
      if (session) void loadSession(session);
    },
    onOnline: (value) => {
      online.value = value;
    },
    onRefused: expired,
  });

  watch(presence, () => void loadSessions());
  // The customer rates and the recording is sealed after the call: looked up while the agent writes up.
  const poll = setInterval(() => {
    if (presence.value === "wrap-up" && last.value) void loadSession(last.value.id);
  }, 2_000);

  let bell: ReturnType<typeof setInterval> | undefined;
  watch(ring, (now) => {
    clearInterval(bell);
    const sound = () => devices.value && chime(devices.value.context);
    if (!now) return;
    sound();
    bell = setInterval(sound, CHIME_MS);
  });

  const guard = (event: BeforeUnloadEvent) => {
    if (call.value) event.preventDefault();
  };
  addEventListener("beforeunload", guard);
  // A page that goes away may come back, loaded again; until then nobody but the others holds the key.
  const leaving = () => {
    if (!call.value || !keyKnown) return;
    ask("POST", "/api/v1/me/leave", { body: { media_key: key.publicKey }, keepalive: true }).catch(() => undefined);
  };
  addEventListener("pagehide", leaving);

  onScopeDispose(() => {
    stop();
    clearInterval(bell);
    clearInterval(poll);
    removeEventListener("beforeunload", guard);
    removeEventListener("pagehide", leaving);
    devices.value?.close();
  });

  return {
    key,
    view,
    presence,
    call,
    ring,
    online,
    problem,
    working,
    devices,
    fault,
    sessions,
    last,
    openDevices,
    setPresence,
    answer,
    finishStep,
    label,
    hangUp,
    colleagues,
    transfer,
    finishWrapUp,
    exchange,
  };
}
