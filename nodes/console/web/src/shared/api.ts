// HTTP as the doors speak it: JSON both ways, a bearer token, problem+json for what is refused. When a door does
// not answer, what may be asked twice is asked at the next; what may not is asked of a door that has just answered.

import type { Problem } from "./types";
import { type Door, way } from "./way";

/** A refusal the user can read; `problem.cause` and `problem.next` are in both languages. */
export class ApiError extends Error {
  constructor(readonly problem: Problem) {
    super(`${problem.code}: ${problem.detail}`);
  }
}

/** The door cannot be reached at all: not one of the server's codes. */
const UNREACHABLE: Problem = {
  status: 0,
  code: "GT-NET",
  detail: "no answer from the door",
  cause: { zh: "网络不通，或服务暂时没有响应", en: "The network is down or the service does not answer" },
  next: { zh: "检查网络后重试，页面会自动恢复", en: "Check the network; the page recovers by itself" },
};

const REQUEST_TIMEOUT_MS = 15_000;
/** … and of a door that can be replaced, less. A leader that is being elected takes less long. */
const ATTEMPT_TIMEOUT_MS = 5_000;
/** A door that has not answered after this is asked whether it lives, if there is another. */
const SLOW_MS = 1_000;
/** Doors tried for one request. */
const ATTEMPTS_MAX = 3;
/** The edge has no way inward: as good as gone. */
const NO_TUNNEL = "GT-0504";

const GONE = new DOMException("the door is gone", "TimeoutError");

export interface RequestOptions {
  token?: string | undefined;
  body?: unknown;
  /** A file in place of a body of JSON; its type is what the browser takes it for. */
  file?: Blob;
  /** Asking twice does no more than asking once. Of itself only `POST` is not so. */
  repeatable?: boolean;
  /** At this door and no other. */
  door?: Door;
  /** Let the request outlive the page. */
  keepalive?: boolean;
  signal?: AbortSignal;
  /** Id of the last server-sent event seen. */
  lastEventId?: string;
  /** An event stream should end after so many seconds, whatever happens: proxies hold it back until it is whole. */
  wait?: number;
}

export async function request<T>(method: string, path: string, options: RequestOptions = {}): Promise<T> {
  const response = await send(method, path, options);
  const text = await response.text();
  return (text === "" ? undefined : JSON.parse(text)) as T;
}

/** The raw response of a request that was not refused. */
export async function send(method: string, path: string, options: RequestOptions = {}): Promise<Response> {
  if (options.door) return await sendTo(options.door, method, path, options);
  const repeatable = options.repeatable ?? method !== "POST";
  for (let attempt = 1; ; attempt++) {
    const door = way.pages();
    const other = way.hasOther(door);
    const last = attempt >= ATTEMPTS_MAX;
    // Nothing was asked yet, so the next may be.
    if (!repeatable && other && !last && !(await way.isThere(door))) continue;
    const leaving = new AbortController();
    const slow = setTimeout(() => {
      if (repeatable && other && !last) void way.probe(door).then((lives) => lives || leaving.abort(GONE));
    }, SLOW_MS);
    try {
      const timeout = AbortSignal.timeout(repeatable && other && !last ? ATTEMPT_TIMEOUT_MS : REQUEST_TIMEOUT_MS);
      const signal = AbortSignal.any([leaving.signal, options.signal ?? timeout]);
      return await sendTo(door, method, path, { ...options, signal });
    } catch (error) {
      const another = isGone(error) && way.fail(door, "pages");
      if (!another || !repeatable || last) throw error;
    } finally {
      clearTimeout(slow);
    }
  }
}

/** Whether it is the door that failed, and not what was asked. */
export function isGone(error: unknown): boolean {
  return error instanceof ApiError && (error.problem.status === 0 || error.problem.code === NO_TUNNEL);
}

async function sendTo(door: Door, method: string, path: string, options: RequestOptions): Promise<Response> {
  const { token, body, file, lastEventId, wait, keepalive = false } = options;
  const signal = options.signal ?? AbortSignal.timeout(REQUEST_TIMEOUT_MS);
  let response: Response;
  try {
    response = await fetch(door.http + path, {
      method,
      headers: {
        ...(token && { authorization: `Bearer ${token}` }),
        ...(body !== undefined && { "content-type": "application/json" }),
        ...(file && { "content-type": file.type || "application/octet-stream" }),
        ...(lastEventId && { "last-event-id": lastEventId }),
        ...(wait !== undefined && { prefer: `wait=${wait}` }),
      },
      ...(body !== undefined && { body: JSON.stringify(body) }),
      ...(file && { body: file }),
      cache: "no-store",
      keepalive,
      signal,
    });
  } catch (error) {
    throw signal.aborted && signal.reason?.name === "AbortError" ? error : new ApiError(UNREACHABLE);
  }
  way.hear(door);
  if (!response.ok) throw new ApiError(await readProblem(response));
  return response;
}

async function readProblem(response: Response): Promise<Problem> {
  const fallback: Problem = {
    ...UNREACHABLE,
    status: response.status,
    code: `HTTP-${response.status}`,
    detail: response.statusText,
    cause: { zh: "服务没有按约定应答", en: "The service did not answer as agreed" },
  };
  try {
    const problem: unknown = await response.json();
    return isProblem(problem) ? problem : fallback;
  } catch {
    return fallback;
  }
}

function isProblem(value: unknown): value is Problem {
  return typeof value === "object" && value !== null && "code" in value && "cause" in value && "next" in value;
}

/** What to show for anything that was thrown. */
export function problemOf(error: unknown): Problem {
  if (error instanceof ApiError) return error.problem;
  return {
    ...UNREACHABLE,
    code: "GT-PAGE",
    detail: error instanceof Error ? error.message : String(error),
    cause: { zh: "页面出现意外错误", en: "Something unexpected happened in the page" },
    next: { zh: "刷新页面后重试", en: "Reload the page and try again" },
  };
}
