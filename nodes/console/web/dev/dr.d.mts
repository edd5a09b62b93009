// Types of `dr.mjs`, for the tests.

import type { StatusView } from "../src/shared/types";
import type { LaneLive, LiveView, Plan, Report, Run, RunView } from "../src/console/dr/types";

export interface Seen {
  status: StatusView;
  live: LiveView;
}
export const AT: number;
export const plans: Record<
  "node" | "centre" | "link" | "link-one-way" | "switch" | "switch-city" | "city" | "city-refused" | "centre-refused",
  Plan
>;
export function world(is?: Record<string, unknown>): Seen;
export function proposed(): Run;
export function drill(at?: number): Run;
export const drillLanes: LaneLive[];
export function takeover(): Run;
export function takingOver(): Run;
export function finished(green?: boolean, rest?: Partial<Run>): Run;
export function listed(run: Run): RunView;
export function kept(): Run[];
export function reportOf(run: Run): Report;
export const states: Record<"quiet" | "proposed" | "drill" | "degraded" | "lost" | "takeover" | "quarantined", () => Seen>;
