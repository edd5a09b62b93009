import { onScopeDispose, type Ref, ref } from "vue";

/** Wall time in milliseconds, ticking; stops with the component that asked. */
export function useNow(everyMs = 500): Ref<number> {
  const now = ref(Date.now());
  const timer = setInterval(() => {
    now.value = Date.now();
  }, everyMs);
  onScopeDispose(() => clearInterval(timer));
  return now;
}
