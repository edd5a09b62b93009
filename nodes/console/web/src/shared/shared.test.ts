import { expect, test } from "vitest";
import * as consoleWords from "@/console/words";
import * as customerWords from "@/customer/words";
import * as deskWords from "@/desk/words";
import * as common from "./i18n/common";
import { SseParser } from "./sse";
import { bytes, clock } from "./time";

test("server-sent events are cut as the standard says, however they arrive", () => {
  const text = ': hello\nevent: ticket\nid: 7\ndata: {"a":1}\n\nretry: 10\ndata: x\ndata: y\r\n\r\nevent: gone\n\n';
  for (const size of [1, 3, 1000]) {
    const parser = new SseParser();
    const messages = [];
    for (let at = 0; at < text.length; at += size) messages.push(...parser.push(text.slice(at, at + size)));
    expect(messages).toEqual([
      { event: "ticket", id: "7", data: '{"a":1}' },
      { event: "message", id: "7", data: "x\ny" },
    ]);
  }
});

test("times and sizes read well", () => {
  expect(clock(75_000)).toBe("1:15");
  expect(clock(3_675_000)).toBe("1:01:15");
  expect(clock(-5)).toBe("0:00");
  expect(bytes(900)).toBe("900 B");
  expect(bytes(5 * 1024 * 1024)).toBe("5.0 MiB");
});

test("both languages say everything, with the same places to fill in", () => {
  const flat = (words: object, prefix = ""): [string, string][] =>
    Object.entries(words).flatMap(([key, value]) =>
      typeof value === "string" ? [[prefix + key, value] as [string, string]] : flat(value as object, `${prefix}${key}.`),
    );
  const places = (text: string) => [...text.matchAll(/\{(\w+)\}/g)].map(([, name]) => name).sort();
  for (const { zh, en } of [common, customerWords, deskWords, consoleWords]) {
    const english = new Map(flat(en));
    for (const [key, text] of flat(zh)) {
      expect(english.has(key), key).toBe(true);
      expect(places(english.get(key) ?? ""), key).toEqual(places(text));
      expect(/[\u4e00-\u9fff][,;:?!]/.test(text), `half-width punctuation in ${key}`).toBe(false);
    }
    expect(english.size).toBe(flat(zh).length);
  }
});
