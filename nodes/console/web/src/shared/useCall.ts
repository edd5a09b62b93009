// A call's media for a component: started when there is access and devices, closed with the call.

import { onScopeDispose, type Ref, ref, shallowRef, watch } from "vue";
import { Call, type CallStatus, type Doors } from "@/media/call";
import type { Devices } from "@/media/devices";
import type { PageKey } from "@/media/keys";
import { request } from "./api";
import type { CallView, DoorEntry, DoorView } from "./types";
import { way } from "./way";

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
        doors: mediaDoors(),
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

/** Media takes the best door of the list; without a list the one that this page's node names. */
function mediaDoors(): Doors {
  let tried: DoorEntry | undefined;
  const doorOf = (node: string) => (tried?.node === node ? tried : { node, http: "" });
  return {
    choose: async () => {
      tried = way.media();
      const { node, webtransport, websocket, certificate_hashes: certificateHashes } =
        tried ?? (await request<DoorView>("GET", "/api/v1/door"));
      return { node, webtransport, websocket, certificateHashes };
    },
    serve: (node) => way.serve(doorOf(node), "media"),
    lost: async (node, lived) => {
      const door = doorOf(node);
      // A connection also ends because the call does: a door that is there is not left for that.
      if (lived && way.isGood(door, "media") && (await way.probe(door))) return false;
      return way.fail(door, "media");
    },
    fail: (node) => void way.fail(doorOf(node), "media"),
    probe: (node) => way.probe(doorOf(node)),
    onFail: (listener) => way.onFail((node, use) => use === "pages" && listener(node)),
  };
}
