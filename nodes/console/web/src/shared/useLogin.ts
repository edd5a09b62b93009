// A staff login, kept for the tab: a reload does not log out, a closed tab does.

import { ref } from "vue";
import { ApiError, problemOf, request, type RequestOptions } from "./api";
import type { LoginReply, Problem, StaffView } from "./types";

const KEPT = "guitai.login";

interface Kept {
  token: string;
  staff: StaffView;
  expires_at: number;
}

function restore(): Kept | undefined {
  try {
    const kept = JSON.parse(sessionStorage.getItem(KEPT) ?? "null") as Kept | null;
    return kept && kept.expires_at > Date.now() ? kept : undefined;
  } catch {
    return undefined;
  }
}

export function useLogin() {
  const login = ref<Kept | undefined>(restore());
  const problem = ref<Problem>();
  const working = ref(false);

  async function enter(institution: string, name: string, password: string): Promise<boolean> {
    working.value = true;
    problem.value = undefined;
    try {
      const body = { institution, name, password };
      const reply = await request<LoginReply>("POST", "/api/v1/login", { body, repeatable: true });
      login.value = { token: reply.token, staff: reply.staff, expires_at: reply.expires_at };
      sessionStorage.setItem(KEPT, JSON.stringify(login.value));
      return true;
    } catch (error) {
      problem.value = problemOf(error);
      return false;
    } finally {
      working.value = false;
    }
  }

  function leave(why?: Problem): void {
    login.value = undefined;
    problem.value = why;
    sessionStorage.removeItem(KEPT);
  }

  /** A request in the name of whoever is logged in; an expired login leads back to the form. */
  async function ask<T>(method: string, path: string, options: RequestOptions = {}): Promise<T> {
    try {
      return await request<T>(method, path, { ...options, token: login.value?.token });
    } catch (error) {
      if (error instanceof ApiError && error.problem.status === 401) leave(error.problem);
      throw error;
    }
  }

  return { login, problem, working, enter, leave, ask };
}

export type Ask = ReturnType<typeof useLogin>["ask"];
