// What nodes saw, asked again every few seconds from whichever node serves this page; or what the flow log has of a
// stretch of time.

import { onScopeDispose, ref, shallowRef } from "vue";
import { problemOf } from "@/shared/api";
import type { Problem, StatusView } from "@/shared/types";
import type { Ask } from "@/shared/useLogin";
import type { FlowsKept, FlowsSeen } from "./types";

export const REFRESH_MS = 4_000;
/** The flow log has a new minute so often. */
export const KEPT_MS = 60_000;

/** A stretch of time: so long, and until then; the present moves on where no end is said. */
export interface Span {
  length: number;
  until?: number;
}

export interface Version {
  number: number;
  sm3: string;
  /** Its text (TOML). */
  matrix?: string;
  by?: { institution: string; name: string } | null;
  reason: string;
  approvals?: { officer: { institution: string; name: string } }[];
  in_force?: number | null;
}
export interface InForce {
  present: Version;
  proposed?: Version | null;
  /** In force before, the latest first. */
  before?: Version[];
}

export function useFlows(ask: Ask) {
  const status = ref<StatusView>();
  const seen = shallowRef<FlowsSeen>();
  const before = shallowRef<FlowsSeen>();
  const matrix = shallowRef<InForce>();
  const problem = ref<Problem>();
  const span = shallowRef<Span>();
  const kept = shallowRef<FlowsKept>();
  let turn = 0;
  let timer: ReturnType<typeof setTimeout> | undefined;
  let stopped = false;

  async function now(mine: number): Promise<void> {
    const nowSeen = await ask<FlowsSeen>("GET", "/api/v1/flows/seen");
    if (mine !== turn) return;
    before.value = kept.value ? undefined : seen.value;
    seen.value = nowSeen;
    kept.value = undefined;
  }

  async function then({ length, until = Date.now() }: Span, mine: number): Promise<void> {
    const found = await ask<FlowsKept>("GET", `/api/v1/flows/kept?from=${until - length}&to=${until}`);
    if (mine !== turn) return;
    const { to, matrix, checkpoint, nodes, findings } = found;
    kept.value = found;
    before.value = undefined;
    seen.value = { at: to, matrix, checkpoint, nodes, silent: [], findings };
  }

  async function refresh(): Promise<void> {
    clearTimeout(timer);
    // What was asked for before is not shown any more when it comes late.
    const mine = ++turn;
    const asked = span.value;
    try {
      status.value = await ask<StatusView>("GET", "/api/v1/status");
      await (asked ? then(asked, mine) : now(mine));
      problem.value = undefined;
      // A cluster that was just founded has agreed on none yet.
      if (seen.value?.matrix) matrix.value = await ask<InForce>("GET", "/api/v1/flows");
    } catch (error) {
      if (mine === turn) problem.value = problemOf(error);
    } finally {
      const rests = asked?.until !== undefined;
      if (!stopped && !rests && mine === turn) timer = setTimeout(refresh, asked ? KEPT_MS : REFRESH_MS);
    }
  }
  /** Shows a stretch of time, or the present. */
  function travel(to?: Span): Promise<void> {
    span.value = to;
    return refresh();
  }
  void refresh();
  onScopeDispose(() => {
    stopped = true;
    clearTimeout(timer);
  });
  return { status, seen, before, kept, matrix, problem, span, travel };
}
