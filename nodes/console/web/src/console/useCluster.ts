// What the console shows, kept fresh: asked again every two seconds and at once when an event says so.

import { computed, onScopeDispose, ref, watch } from "vue";
import { problemOf } from "@/shared/api";
import { follow } from "@/shared/sse";
import type { ClusterEvent, Problem, SessionView, StatusView } from "@/shared/types";
import type { Ask } from "@/shared/useLogin";

const REFRESH_MS = 2_000;
/** Events come in bursts; one refresh serves a burst. */
const BURST_MS = 150;
const EVENTS_SHOWN = 60;
/** Events from before the page was opened. */
const EVENTS_BEFORE = 30;

export function useCluster(token: string, ask: Ask, expired: (problem: Problem) => void) {
  const status = ref<StatusView>();
  const calls = ref<SessionView[]>();
  const recordings = ref<SessionView[]>();
  const events = ref<ClusterEvent[]>([]);
  const online = ref(true);
  const problem = ref<Problem>();
  let timer: ReturnType<typeof setTimeout> | undefined;
  let stopped = false;
  let refreshing = false;

  async function refresh(): Promise<void> {
    clearTimeout(timer);
    if (refreshing || stopped) return;
    refreshing = true;
    try {
      const [nowStatus, nowCalls, nowRecordings] = await Promise.all([
        ask<StatusView>("GET", "/api/v1/status"),
        ask<SessionView[]>("GET", "/api/v1/sessions?state=running"),
        ask<SessionView[]>("GET", "/api/v1/recordings"),
      ]);
      status.value = nowStatus;
      calls.value = nowCalls;
      recordings.value = [...nowRecordings].sort((a, b) => b.started_at - a.started_at);
      problem.value = undefined;
    } catch (error) {
      problem.value = problemOf(error);
    } finally {
      refreshing = false;
      if (!stopped) timer = setTimeout(refresh, REFRESH_MS);
    }
  }

  let burst: ReturnType<typeof setTimeout> | undefined;
  function soon(): void {
    burst ??= setTimeout(() => {
      burst = undefined;
      void refresh();
    }, BURST_MS);
  }

  let stopEvents: (() => void) | undefined;
  function followEvents(from: number): void {
    if (stopped) return;
    stopEvents = follow({
      path: (lastId) => `/api/v1/events?from=${lastId ? Number(lastId) + 1 : from}`,
      token,
      onMessage: ({ event, data }) => {
        if (event !== "event") return;
        const one = JSON.parse(data) as ClusterEvent;
        if (events.value[0] && one.number <= events.value[0].number) return;
        events.value = [one, ...events.value].slice(0, EVENTS_SHOWN);
        soon();
      },
      onOnline: (value) => {
        online.value = value;
      },
      onRefused: expired,
    });
  }
  const begun = watch(status, (first) => {
    if (!first) return;
    begun.stop();
    followEvents(Math.max(1, first.event_number - EVENTS_BEFORE));
  });
  void refresh();

  onScopeDispose(() => {
    stopped = true;
    stopEvents?.();
    clearTimeout(timer);
    clearTimeout(burst);
  });

  const waiting = computed(() => sum((queue) => queue.waiting));
  const ready = computed(() => sum((queue) => queue.ready));
  const busy = computed(() => sum((queue) => queue.busy));
  const longest = computed(() => Math.max(0, ...(status.value?.queues ?? []).map((queue) => queue.longest_wait_ms)));
  const sum = (of: (queue: StatusView["queues"][number]) => number) =>
    (status.value?.queues ?? []).reduce((total, queue) => total + of(queue), 0);

  return { status, calls, recordings, events, online, problem, waiting, ready, busy, longest, refresh };
}
