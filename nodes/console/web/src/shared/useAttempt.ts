// One act of the user: that it runs is shown, and what it threw becomes the problem shown.

import { computed, ref } from "vue";
import { problemOf } from "./api";
import type { Problem } from "./types";

export function useAttempt() {
  /** Name of what runs; empty when nothing does. */
  const acting = ref("");
  const working = computed(() => acting.value !== "");
  const problem = ref<Problem>();

  /** What came of it; nothing where it failed. */
  async function attempt<T>(work: () => Promise<T>, name = "act"): Promise<T | undefined> {
    acting.value = name;
    problem.value = undefined;
    try {
      return await work();
    } catch (error) {
      problem.value = problemOf(error);
      return undefined;
    } finally {
      acting.value = "";
    }
  }

  /** Whether it was done, where nothing comes of it. */
  const done = async (work: () => Promise<unknown>, name?: string): Promise<boolean> =>
    (await attempt(async () => {
      await work();
      return true;
    }, name)) ?? false;

  return { acting, working, problem, attempt, done };
}
