// Types of `flows.mjs`, for the tests.

import type { StatusView } from "../src/shared/types";
import type { FlowsSeen } from "../src/console/flows/types";

export function bigStatus(nodes: number): StatusView;
export function bigSeen(status: StatusView, count: number, at?: number): FlowsSeen;
