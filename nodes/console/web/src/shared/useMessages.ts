// What the parties of a call send each other: read whenever the page is told of something new, and sent.

import { computed, ref, watch } from "vue";
import { ApiError, type RequestOptions, request, send } from "./api";
import type { Message, Problem } from "./types";
import { useAttempt } from "./useAttempt";

/** `limits::FILE_BYTES_MAX`; a door that is sent more breaks off, and a browser takes that for a lost network. */
const FILE_BYTES_MAX = 4 * 1024 * 1024;
const TOO_LARGE: Problem = {
  status: 413,
  code: "GT-0413",
  detail: "a file of more than 4 MiB",
  cause: { zh: "超过大小上限", en: "Larger than the limit" },
  next: { zh: "缩小内容后重试", en: "Make it smaller" },
};
/** How long a browser may take to begin saving. */
const SAVED_MS = 60_000;

export interface Line {
  /** `/api/v1/tickets/…` or `/api/v1/sessions/…`; none outside of a call. */
  path: string | undefined;
  token: string;
}

/** `news` changes when there may be something new. */
export function useMessages(line: () => Line, news: () => unknown) {
  const messages = ref<Message[]>([]);
  const { working, problem, done } = useAttempt();
  const newest = computed(() => messages.value.at(-1)?.number ?? 0);
  let reading = false;
  let again = false;

  const ask = <T>(method: string, tail: string, options: RequestOptions = {}) => {
    const { path, token } = line();
    return request<T>(method, `${path}/${tail}`, { token, ...options });
  };

  function add(more: Message[]): void {
    const known = new Set(messages.value.map(({ id }) => id));
    const fresh = more.filter(({ id }) => !known.has(id));
    if (fresh.length > 0) messages.value = [...messages.value, ...fresh].sort((one, other) => one.number - other.number);
  }

  /** Reads what is new, a list at a time; a failure shows with the next message, or not at all. */
  async function read(): Promise<void> {
    again = true;
    if (reading) return;
    reading = true;
    try {
      while (again) {
        again = false;
        const { path } = line();
        if (!path) break;
        const more = await ask<Message[]>("GET", `messages?after=${newest.value}`);
        if (line().path !== path) continue;
        add(more);
        again ||= more.length > 0;
      }
    } catch {
      // The next view of the call tries again.
    } finally {
      reading = false;
    }
  }

  const say = (text: string) =>
    done(async () => {
      await ask<Message>("POST", "messages", { body: { text } });
      await read();
    });

  /** A file of a browser; what it is, the door finds out. */
  const sendFile = (file: File) =>
    done(async () => {
      if (file.size > FILE_BYTES_MAX) throw new ApiError(TOO_LARGE);
      await ask<Message>("POST", `files?name=${encodeURIComponent(file.name)}`, { file });
      await read();
    });

  /** Saves a file that was sent where the browser saves files. */
  const saveFile = (message: Message) =>
    done(async () => {
      if (message.body.is !== "file") return;
      const { path, token } = line();
      const response = await send("GET", `${path}/files/${message.id}`, { token });
      const url = URL.createObjectURL(await response.blob());
      const link = document.createElement("a");
      link.href = url;
      link.download = message.body.file.name;
      link.click();
      setTimeout(() => URL.revokeObjectURL(url), SAVED_MS);
    });

  watch(
    () => line().path,
    () => {
      messages.value = [];
      problem.value = undefined;
    },
  );
  watch([() => line().path, news], () => void read(), { immediate: true });
  return { messages, problem, working, say, sendFile, saveFile };
}
