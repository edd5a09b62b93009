// Disaster recovery as the page shows it: asked again every second from whichever node serves this page. It
// needs no leader: what is asked is answered from what that node itself knows and hears.

import { computed, onScopeDispose, ref } from "vue";
import { problemOf, send } from "@/shared/api";
import { useNow } from "@/shared/now";
import type { Problem, StatusView } from "@/shared/types";
import type { Ask } from "@/shared/useLogin";
import type { Aim, Kind, LiveView, Plan, Report, Run, RunView } from "./types";

export const REFRESH_MS = 1_000;
/** The list of runs changes seldom: looked at every so many refreshes, and when a run begins or ends. */
const RUNS_EVERY = 5;
/** How often the clocks on the page move. */
const TICK_MS = 100;

export type Recovery = ReturnType<typeof useRecovery>;

export function useRecovery(token: string, ask: Ask) {
  const status = ref<StatusView>();
  const live = ref<LiveView>();
  const runs = ref<RunView[]>();
  const problem = ref<Problem>();
  /** The cluster's time less this page's: the clocks of a drill are the cluster's. */
  const skew = ref(0);
  const tick = useNow(TICK_MS);
  const now = computed(() => tick.value + skew.value);
  let timer: ReturnType<typeof setTimeout> | undefined;
  let stopped = false;
  let refreshing = false;
  let round = 0;

  async function refresh(): Promise<void> {
    clearTimeout(timer);
    if (refreshing || stopped) return;
    refreshing = true;
    try {
      const [nowStatus, nowLive] = await Promise.all([
        ask<StatusView>("GET", "/api/v1/status"),
        ask<LiveView>("GET", "/api/v1/dr/live"),
      ]);
      const changed = nowLive.run?.id !== live.value?.run?.id;
      if (changed || round++ % RUNS_EVERY === 0) runs.value = await ask<RunView[]>("GET", "/api/v1/dr/runs");
      skew.value = nowLive.at - Date.now();
      status.value = nowStatus;
      live.value = nowLive;
      problem.value = undefined;
    } catch (error) {
      problem.value = problemOf(error);
    } finally {
      refreshing = false;
      if (!stopped) timer = setTimeout(refresh, REFRESH_MS);
    }
  }
  void refresh();
  onScopeDispose(() => {
    stopped = true;
    clearTimeout(timer);
  });

  const plan = (aim: Aim) => ask<Plan>("POST", "/api/v1/dr/plan", { body: aim, repeatable: true });
  async function propose(aim: Aim, kind: Kind, injectLoss = false): Promise<void> {
    await ask<Run>("POST", "/api/v1/dr/runs", { body: { aim, kind, inject_loss: injectLoss } });
    await refresh();
  }
  async function abort(run: string, why: string): Promise<void> {
    await ask<Run>("POST", `/api/v1/dr/runs/${run}/abort`, { body: { why } });
    await refresh();
  }
  const report = (run: string) => ask<Report>("GET", `/api/v1/dr/runs/${run}/report`);
  const reportPage = async (run: string) => (await send("GET", `/api/v1/dr/runs/${run}/report/page`, { token })).blob();

  return { status, live, runs, problem, now, plan, propose, abort, report, reportPage };
}
