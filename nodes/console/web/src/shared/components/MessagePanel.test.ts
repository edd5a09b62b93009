// @vitest-environment happy-dom
import { afterEach, expect, test, vi } from "vitest";
import * as words from "@/customer/words";
import * as common from "@/shared/i18n/common";
import { all, at, type Mounted, maybe, mount, press, said, settle } from "@/shared/testing";
import type { Message } from "@/shared/types";
import MessagePanel from "./MessagePanel.vue";

let page: Mounted | undefined;
afterEach(() => page?.unmount());

const message = (number: number, from: "customer" | "agent", text: string, masked: boolean): Message => ({
  id: `m${number}`,
  number,
  at: 1_790_000_000_000,
  from,
  body: { is: "text", text },
  ...(masked && { found: [{ rule: "id-card", action: "mask", count: 1 }] }),
});
const none = vi.fn(async () => true);
const show = (language: "zh" | "en", say: (text: string) => Promise<boolean>, recording = true) => {
  const messages = [message(4, "customer", "**************002X", true), message(6, "agent", "好的", false)];
  const props = { me: "customer", messages, problem: undefined, working: false, recording, say, sendFile: none, saveFile: none };
  page = mount(MessagePanel, words, language, props);
};
const field = () => at("message-text").querySelector("textarea") ?? (at("message-text") as HTMLTextAreaElement);
async function write(text: string) {
  field().value = text;
  field().dispatchEvent(new Event("input"));
  await settle();
}

test.each(["zh", "en"] as const)("what was said shows in order, and what was masked is said (%s)", (language) => {
  show(language, vi.fn());
  expect(all("message").map((line) => line.querySelector(".text")?.textContent)).toEqual(["**************002X", "好的"]);
  expect(said("message-masked")).toBe(common[language].messages.masked);
  expect(all("message-masked")).toHaveLength(1);
});

test("a text is sent once, without blanks around it, and stays when it is refused", async () => {
  const say = vi.fn(async (_: string) => false);
  show("zh", say);
  await expect(press("message-send")).rejects.toThrow("cannot be pressed");
  await write("  我的卡号 ");
  at("messages").querySelector("form")?.dispatchEvent(new Event("submit", { cancelable: true }));
  await settle();
  expect(say.mock.calls).toEqual([["我的卡号"]]);
  expect(field().value).toBe("  我的卡号 ");
  const problem = {
    status: 422,
    code: "GT-0455",
    detail: "bank-card 1",
    cause: { zh: "消息含有不允许发送的信息", en: "x" },
    next: { zh: "删去", en: "x" },
  };
  await page?.set({ problem });
  expect(at("problem").dataset["code"]).toBe("GT-0455");
  say.mockResolvedValueOnce(true);
  at("messages").querySelector("form")?.dispatchEvent(new Event("submit", { cancelable: true }));
  await settle();
  expect(field().value).toBe("");
});

test("nothing is sent while the recording does not run", async () => {
  show("zh", vi.fn(), false);
  expect(field().disabled).toBe(true);
  expect(maybe("message-send")).not.toBeNull();
  await expect(press("message-send")).rejects.toThrow("cannot be pressed");
});

test("a file is sent by choosing or dropping it, and saved by its name", async () => {
  const [sendFile, saveFile] = [vi.fn(async (_: File) => true), vi.fn(async (_: Message) => true)];
  const file = { name: "合同.pdf", kind: "pdf", bytes: 2048, sm3: "00" } as const;
  const sent: Message = { id: "m9", number: 9, at: 1_790_000_000_000, from: "agent", body: { is: "file", file } };
  const props = { me: "customer", messages: [sent], problem: undefined, working: false, recording: true };
  page = mount(MessagePanel, words, "en", { ...props, say: none, sendFile, saveFile });
  expect(said("message-file")).toBe("合同.pdfPDF · 2.0 KiB");
  await press("message-file");
  expect(saveFile.mock.calls).toEqual([[sent]]);
  const dropped = new File(["%PDF-"], "a.pdf", { type: "application/pdf" });
  const drop = Object.assign(new Event("drop", { cancelable: true }), { dataTransfer: { files: [dropped] } });
  at("messages").dispatchEvent(drop);
  await settle();
  expect(sendFile.mock.calls).toEqual([[dropped]]);
  await page.set({ recording: false });
  at("messages").dispatchEvent(drop);
  await settle();
  expect(sendFile).toHaveBeenCalledTimes(1);
});
