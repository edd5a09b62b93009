// Times, aims and places in the words of the page.

import { useI18n } from "vue-i18n";
import { pick } from "@/shared/i18n";
import { clock } from "@/shared/time";
import type { StatusView } from "@/shared/types";
import { readNote } from "./notes";
import type { Aim, Kind } from "./types";

export function useSaid(status: () => StatusView | undefined) {
  const { t, locale } = useI18n();

  /** A length of time: milliseconds as long as they matter, then seconds, then a clock. */
  function span(ms: number): string {
    if (ms < 1_000) return t("dr.unit.ms", { value: Math.round(ms) });
    if (ms < 60_000) return t("dr.unit.s", { value: (ms / 1000).toFixed(ms < 10_000 ? 1 : 0) });
    return clock(ms);
  }
  const centre = (id: string) => pick(status()?.centres.find((one) => one.id === id)?.name, locale.value) || id;
  const city = (id: string) => pick(status()?.cities.find((one) => one.id === id)?.name, locale.value) || id;

  function aim(aim: Aim): string {
    switch (aim.scenario) {
      case "node":
        return t("dr.aim.node", { node: aim.node, hold: span(aim.hold_ms) });
      case "centre":
        return t("dr.aim.centre", { centre: centre(aim.centre), hold: span(aim.hold_ms) });
      case "link": {
        const ends = { from: centre(aim.from), to: centre(aim.to), hold: span(aim.hold_ms) };
        return t(aim.one_way ? "dr.aim.oneWay" : "dr.aim.link", ends);
      }
      case "city":
        return t("dr.aim.city", { lost: city(aim.lost), on: aim.on });
      case "switch":
        return t("dr.aim.switch", { to: centre(aim.to) });
    }
  }
  const kind = (run: { kind: Kind; inject_loss: boolean }) => t(`dr.run.kind.${run.inject_loss ? "control" : run.kind}`);
  const note = (text: string) => readNote(text, locale.value);

  return { span, centre, city, aim, kind, note };
}
