// A call's media for a component: started when there is access and devices, closed with the call.

import { onScopeDispose, type Ref, ref, shallowRef, watch } from "vue";
import { Call, type CallStatus } from "@/media/call";
import type { Devices } from "@/media/devices";
import type { PageKey } from "@/media/keys";
import { request } from "./api";
import type { CallView, DoorView } from "./types";

export interface CallMedia {
  status: Ref<CallStatus | undefined>;
  canvas: Ref<HTMLCanvasElement | undefined>;
}

export function useCall(
  party: "customer" | "agent",
  view: () => CallView | undefined,
  devices: () => Devices | undefined,
  key: PageKey,
): CallMedia {
  const status = ref<CallStatus>();
  const canvas = shallowRef<HTMLCanvasElement>();
  let call: Call | undefined;

  const stop = () => {
    call?.close();
    call = undefined;
    status.value = undefined;
  };
  watch(
    [() => view()?.session, devices] as const,
    ([session, present]) => {
      stop();
      if (!session || !present) return;
      let latest = view()?.media;
      call = new Call({
        party,
        devices: present,
        key,
        access: () => {
          latest = view()?.media ?? latest;
          if (!latest) throw new Error("the call has no media access");
          return latest;
        },
        door: () => request<DoorView>("GET", "/api/v1/door"),
        onStatus: (value) => {
          status.value = value;
        },
      });
      call.picture.attach(canvas.value);
    },
    { immediate: true },
  );
  watch(
    () => view()?.media.epoch,
    () => call?.rekey(),
    { flush: "sync" },
  );
  watch(canvas, (element) => call?.picture.attach(element));
  onScopeDispose(stop);
  return { status, canvas };
}
