// A customer's ticket from opening to the end, as the edge tells it.

import { computed, onScopeDispose, ref, shallowRef } from "vue";
import { PageKey } from "@/media/keys";
import { request } from "@/shared/api";
import { follow } from "@/shared/sse";
import { useAttempt } from "@/shared/useAttempt";
import { useMessages } from "@/shared/useMessages";
import type { OpenedTicket, Problem, TicketView } from "@/shared/types";

/** Version of the consent wording in `words.ts`; changing the wording changes this. */
export const CONSENT_WORDING = "2026-11";

export interface Request {
  institution: string;
  queue: string;
  customer: string;
  agreedAt: number;
}

/** The ticket of a running call, for a page that is loaded again; the key pair is never kept. */
const KEPT = "guitai.ticket";

interface Kept {
  ticket: string;
  token: string;
}

function kept(): Kept | undefined {
  try {
    return (JSON.parse(sessionStorage.getItem(KEPT) ?? "null") as Kept | null) ?? undefined;
  } catch {
    return undefined;
  }
}

export function useTicket() {
  const key = shallowRef(new PageKey());
  const view = ref<TicketView>();
  const online = ref(true);
  const { working, problem, attempt } = useAttempt();
  const refused = ref<Problem>();
  let token = "";
  let stop: (() => void) | undefined;

  const phase = computed(() => view.value?.phase);
  const call = computed(() => (phase.value?.phase === "in-session" ? phase.value.call : undefined));

  // A view comes whenever something was said too.
  const exchange = useMessages(
    () => ({ path: call.value && view.value ? `/api/v1/tickets/${view.value.ticket}` : undefined, token }),
    () => view.value?.number,
  );

  async function open({ institution, queue, customer, agreedAt }: Request): Promise<void> {
    const consent = { recording: true, wording: CONSENT_WORDING, at: agreedAt };
    const body = { institution, queue, customer, consent, media_key: key.value.publicKey };
    const opened = await attempt(() => request<OpenedTicket>("POST", "/api/v1/tickets", { body }));
    if (!opened) return;
    token = opened.token;
    start(opened.view);
  }

  /** Whether there is a call that this page, loaded again, can go on with. */
  const resumable = ref<Kept>();
  const before = kept();
  if (before) {
    request<TicketView>("GET", `/api/v1/tickets/${before.ticket}`, { token: before.token })
      .then(({ phase }) => {
        if (phase.phase === "in-session" && !view.value) resumable.value = before;
        else sessionStorage.removeItem(KEPT);
      })
      .catch(() => sessionStorage.removeItem(KEPT));
  }

  /** Takes part again with this page's key pair; the media key of the call changes. */
  async function resume(): Promise<void> {
    const call = resumable.value;
    if (!call) return;
    const path = `/api/v1/tickets/${call.ticket}/key`;
    const body = { media_key: key.value.publicKey };
    const next = await attempt(() => request<TicketView>("PUT", path, { token: call.token, body }));
    if (!next) return;
    token = call.token;
    start(next);
    resumable.value = undefined;
  }

  /** Hangs up a call that this page, loaded again, does not want to go on with. */
  async function giveUp(): Promise<void> {
    const call = resumable.value;
    if (!call) return;
    const body = { hang_up: true };
    await attempt(() => request("POST", `/api/v1/tickets/${call.ticket}/close`, { token: call.token, body }));
    resumable.value = undefined;
    sessionStorage.removeItem(KEPT);
  }

  function start(first: TicketView): void {
    view.value = first;
    sessionStorage.setItem(KEPT, JSON.stringify({ ticket: first.ticket, token } satisfies Kept));
    stop = follow({
      path: `/api/v1/tickets/${first.ticket}/events`,
      token,
      onMessage: ({ event, data }) => {
        if (event === "ticket") accept(JSON.parse(data) as TicketView);
      },
      onOnline: (value) => {
        online.value = value;
      },
      onRefused: (value) => {
        if (phase.value?.phase !== "ended") refused.value = value;
      },
    });
  }

  function accept(next: TicketView): void {
    // After a reconnect an edge may be a moment behind what was already seen.
    if (view.value && next.number < view.value.number) return;
    view.value = next;
    if (next.phase.phase === "ended") {
      sessionStorage.removeItem(KEPT);
      stop?.();
      online.value = true;
    }
  }

  const act = (action: string, body: unknown, keepalive = false) => {
    // Only a second rating is refused; all else is as if it had been asked once.
    const repeatable = action !== "rating";
    const path = `/api/v1/tickets/${view.value?.ticket}/${action}`;
    return request<TicketView>("POST", path, { token, body, keepalive, repeatable });
  };

  /** Does something to the ticket and takes over how it then stands; says whether it was done. */
  const change = (action: string, body: unknown) =>
    attempt(async () => {
      accept(await act(action, body));
      return true;
    });
  const close = () => change("close", { hang_up: call.value !== undefined });
  const confirm = (step: string) => change("confirm", { step });
  const rate = (stars: number, comment: string) => change("rating", { stars, comment });

  /**
   * A page that goes away frees its place in the queue at once instead of after the time-out. Out of a call it may
   * come back, loaded again; until then nobody but the others holds the key.
   */
  function leaving(): void {
    if (!view.value || phase.value?.phase === "ended") return;
    const left = call.value
      ? act("leave", { media_key: key.value.publicKey }, true)
      : act("close", { hang_up: false }, true);
    left.catch(() => undefined);
  }

  function reset(): void {
    stop?.();
    sessionStorage.removeItem(KEPT);
    token = "";
    key.value = new PageKey();
    view.value = undefined;
    problem.value = undefined;
    refused.value = undefined;
    online.value = true;
  }

  addEventListener("pagehide", leaving);
  onScopeDispose(() => {
    removeEventListener("pagehide", leaving);
    stop?.();
  });
  return { key, view, phase, call, exchange, online, problem, refused, working, open, close, confirm, rate, reset, resumable, resume, giveUp };
}
