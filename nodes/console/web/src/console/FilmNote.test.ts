// @vitest-environment happy-dom
import { afterEach, expect, test, vi } from "vitest";
import { ApiError } from "@/shared/api";
import { all, at, type Mounted, mount, press, said, settle } from "@/shared/testing";
import type { FilmList, FilmStage, FilmView } from "@/shared/types";
import FilmNote from "./FilmNote.vue";
import * as words from "./words";

const by = { institution: "demo-bank", name: "chenjing" };
function film(number: number, stage: FilmStage, ahead = 0): FilmView {
  return { film: { number, session: "5e55", institution: "demo-bank", layout: "side-by-side", watermark: "LN-2026-1", by, at: 1, turns: 1, stage }, ahead };
}
const made = { recorder: "a1-2", root: "07", bytes: 2_000_000, sm3: "08", length_ms: 60_000, compositor: "x", cpu_ms: 9_000, kept: 0 };
const list: FilmList = {
  films: [
    film(4, { is: "waiting", since: 1 }, 2),
    film(3, { is: "making", node: "a2-2", since: 1, heard_at: 2, done: 3, of: 6 }),
    film(2, { is: "failed", at: 1, why: "the disk is full" }),
    film(1, { is: "done", node: "a1-2", at: 1, made }),
  ],
  makers: [{ node: "a1-2", ffmpeg: "ffmpeg version 5.1" }],
};

let page: Mounted | undefined;
afterEach(() => page?.unmount());

async function shown(language: "zh" | "en", answer: FilmList, refusal?: ApiError) {
  const ask = vi.fn(async (method: string, _path: string, _options?: unknown) => {
    if (method !== "GET" && refusal) throw refusal;
    return answer;
  });
  const download = vi.fn();
  page = mount(FilmNote, words, language, { session: "5e55", mayExport: true, loading: "", ask, onDownload: download });
  await settle();
  return { ask, download };
}

test.each([
  ["zh", "前面 2 个", "50%", "the disk is full", "a1-2"],
  ["en", "2 before it", "50%", "the disk is full", "a1-2"],
] as const)("every film says where it stands (%s)", async (language, waiting, making, failed, done) => {
  const { ask, download } = await shown(language, list);
  expect(ask).toHaveBeenCalledWith("GET", "/api/v1/recordings/5e55/films");
  expect(said("film-4")).toContain(waiting);
  expect(said("film-3")).toContain(making);
  expect(said("film-2")).toContain(failed);
  expect(said("film-1")).toContain(done);
  expect(all("film-progress").length).toBe(2);
  await press("film-get-1");
  expect(download).toHaveBeenCalledWith("5e55", 1);
});

test("one is asked for with what was chosen, and cancelled", async () => {
  const { ask } = await shown("en", list);
  const input = at("film-watermark") as HTMLInputElement;
  input.value = " LN-7 ";
  input.dispatchEvent(new Event("input"));
  await settle();
  at("film-make").closest("form")!.dispatchEvent(new Event("submit"));
  await settle();
  expect(ask).toHaveBeenCalledWith("POST", "/api/v1/recordings/5e55/films", { body: { layout: "side-by-side", watermark: "LN-7" } });
  await press("film-cancel-3");
  expect(ask).toHaveBeenCalledWith("DELETE", "/api/v1/films/3", {});
});

test("where no node can make films the button says so", async () => {
  await shown("en", { films: [], makers: [{ node: "a1-2", lacks: "no ffmpeg in PATH" }] });
  expect((at("film-make") as HTMLButtonElement).disabled).toBe(true);
  expect(said("film-none")).toContain("ffmpeg");
});

test("a refusal is shown with its next step", async () => {
  const problem = { status: 410, code: "GT-0453", detail: "erased", cause: { zh: "已销毁", en: "It was erased" }, next: { zh: "看", en: "See the log" } };
  await shown("en", list, new ApiError(problem));
  await press("film-cancel-4");
  expect(document.body.textContent).toContain("It was erased");
});
