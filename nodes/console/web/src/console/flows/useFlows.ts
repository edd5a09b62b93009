// What nodes saw, asked again every few seconds from whichever node serves this page.

import { onScopeDispose, ref, shallowRef } from "vue";
import { problemOf } from "@/shared/api";
import type { Problem, StatusView } from "@/shared/types";
import type { Ask } from "@/shared/useLogin";
import type { FlowsSeen } from "./types";

export const REFRESH_MS = 4_000;

export interface Version {
  number: number;
  sm3: string;
  by?: { institution: string; name: string } | null;
  reason: string;
  approvals?: { officer: { institution: string; name: string } }[];
  in_force?: number | null;
}
export interface InForce {
  present: Version;
  proposed?: Version | null;
}

export function useFlows(ask: Ask) {
  const status = ref<StatusView>();
  const seen = shallowRef<FlowsSeen>();
  const before = shallowRef<FlowsSeen>();
  const matrix = shallowRef<InForce>();
  const problem = ref<Problem>();
  let timer: ReturnType<typeof setTimeout> | undefined;
  let stopped = false;

  async function refresh(): Promise<void> {
    try {
      const [nowStatus, nowSeen] = await Promise.all([
        ask<StatusView>("GET", "/api/v1/status"),
        ask<FlowsSeen>("GET", "/api/v1/flows/seen"),
      ]);
      before.value = seen.value;
      seen.value = nowSeen;
      status.value = nowStatus;
      problem.value = undefined;
      // A cluster that was just founded has agreed on none yet.
      if (nowSeen.matrix !== null) matrix.value = await ask<InForce>("GET", "/api/v1/flows");
    } catch (error) {
      problem.value = problemOf(error);
    } finally {
      if (!stopped) timer = setTimeout(refresh, REFRESH_MS);
    }
  }
  void refresh();
  onScopeDispose(() => {
    stopped = true;
    clearTimeout(timer);
  });
  return { status, seen, before, matrix, problem };
}
