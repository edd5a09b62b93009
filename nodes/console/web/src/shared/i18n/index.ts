// Two languages, Chinese first; the choice is remembered by the browser.

import { createI18n } from "vue-i18n";
import type { Text } from "../types";
import { en, zh } from "./common";

export type Language = "zh" | "en";
const REMEMBERED = "guitai.language";

function initial(): Language {
  const asked = new URLSearchParams(location.search).get("lang");
  if (asked === "zh" || asked === "en") return asked;
  try {
    return localStorage.getItem(REMEMBERED) === "en" ? "en" : "zh";
  } catch {
    return "zh";
  }
}

export type Messages = { [key: string]: string | Messages };

export function makeI18n(pages: Record<Language, Messages>) {
  const i18n = createI18n({
    legacy: false,
    locale: initial(),
    fallbackLocale: "zh",
    messages: { zh: join(zh, pages.zh), en: join(en, pages.en) },
  });
  document.documentElement.lang = i18n.global.locale.value === "zh" ? "zh-CN" : "en";
  return i18n;
}

/** A page's words over the common ones; a section that both have keeps the words of both. */
function join(common: Messages, page: Messages): Messages {
  const whole = { ...common };
  for (const [key, value] of Object.entries(page)) {
    const before = whole[key];
    whole[key] = typeof before === "object" && typeof value === "object" ? { ...before, ...value } : value;
  }
  return whole;
}

export function remember(language: Language): void {
  document.documentElement.lang = language === "zh" ? "zh-CN" : "en";
  try {
    localStorage.setItem(REMEMBERED, language);
  } catch {
    // Private windows may refuse; the choice then lasts as long as the page.
  }
}

/** A text of the API in the chosen language, the other when it has only that. */
export function pick(text: Text | undefined, language: string): string {
  if (!text) return "";
  return language === "en" ? text.en || text.zh : text.zh || text.en;
}
