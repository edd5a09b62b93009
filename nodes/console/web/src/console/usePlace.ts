// Which page of the console the address names. Officers who are nothing else have no page of the cluster;
// those who neither operate, approve nor audit see what they saw before.

import { onScopeDispose, ref } from "vue";
import type { Duty } from "@/shared/types";

export type Place = "cluster" | "dr" | "flows";
export const PATHS: Record<Place, string> = { cluster: "/console", dr: "/console/dr", flows: "/console/flows" };

function ofPath(path: string): Place {
  const plain = path.replace(/\/$/, "");
  return (Object.keys(PATHS) as Place[]).find((place) => PATHS[place] === plain) ?? "cluster";
}

/** The pages that somebody with these duties may see, as the API lets them. */
export function placesOf(duties: Duty[]): Place[] {
  const has = (...wanted: Duty[]) => duties.some((duty) => wanted.includes(duty));
  if (has("operator", "auditor")) return ["cluster", "dr", "flows"];
  return has("officer") ? ["dr", "flows"] : ["cluster"];
}

export function usePlace() {
  const place = ref<Place>(ofPath(location.pathname));
  const back = () => {
    place.value = ofPath(location.pathname);
  };
  addEventListener("popstate", back);
  onScopeDispose(() => removeEventListener("popstate", back));

  function go(to: Place): void {
    if (place.value !== to) history.pushState(null, "", PATHS[to] + location.search);
    place.value = to;
  }
  return { place, go };
}
