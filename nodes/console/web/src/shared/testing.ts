// Pages in tests: a component mounted as the pages mount theirs, looked at by its handles. Never part of the build.

import { type Component, createApp, nextTick, reactive, h } from "vue";
import { type Language, makeI18n, type Messages } from "./i18n";

export interface Mounted {
  /** Changes properties as a parent would. */
  set: (props: Record<string, unknown>) => Promise<void>;
  unmount: () => void;
}

/** Mounts in a language. Dialogs go where they go in a page, so everything is looked for in the document. */
export function mount(
  component: Component,
  words: Record<Language, Messages>,
  language: Language,
  props: Record<string, unknown>,
): Mounted {
  localStorage.setItem("guitai.language", language);
  const given = reactive({ ...props });
  const host = document.body.appendChild(document.createElement("div"));
  const app = createApp({ render: () => h(component, { ...given }) });
  app.config.warnHandler = (warning) => {
    throw new Error(warning);
  };
  app.use(makeI18n(words)).mount(host);
  return {
    set: async (changed) => {
      Object.assign(given, changed);
      await settle();
    },
    unmount: () => {
      app.unmount();
      document.body.replaceChildren();
    },
  };
}

/** The element with a handle; fails when it is not there. */
export function at(handle: string): HTMLElement {
  const found = maybe(handle);
  if (!found) throw new Error(`nothing has data-test="${handle}" in\n${document.body.innerHTML}`);
  return found;
}

export const maybe = (handle: string) => document.querySelector<HTMLElement>(`[data-test="${handle}"]`);
export const all = (handle: string) => [...document.querySelectorAll<HTMLElement>(`[data-test="${handle}"]`)];
export const said = (handle: string) => (at(handle).textContent ?? "").replace(/\s+/g, " ").trim();

export async function press(handle: string): Promise<void> {
  const button = at(handle);
  if ((button as HTMLButtonElement).disabled) throw new Error(`${handle} cannot be pressed`);
  button.click();
  await settle();
}

/** Until what was promised and drawn now is there. */
export async function settle(): Promise<void> {
  for (let turn = 0; turn < 5; turn++) {
    await Promise.resolve();
    await nextTick();
  }
}
