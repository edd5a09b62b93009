// The media of one call, whole: keys, connection, what is sent and what is received.

import type { DoorView, MediaAccess, MediaSuite } from "@/shared/types";
import type { Devices } from "./devices";
import type { PageKey } from "./keys";
import { Link, type LinkState, transportChoice } from "./link";
import { Picture, Speaker } from "./output";
import { Player } from "./player";
import { Publisher } from "./publisher";
import { CTR_HMAC, GCM, type Suite } from "./crypto/suites";
import { Sealing } from "./sealing";

export interface CallStatus {
  link: LinkState;
  /** `webtransport` or `websocket` once connected. */
  transport: string;
  /** Wire version, for example `moq-lite-05`. */
  version: string;
  /** What comes from the other party. */
  peer: "absent" | "starting" | "playing" | "stalled";
  /** The media cannot be opened: wrong key, or sealed where it should not be. */
  fault: "key" | "sealed" | "decode" | undefined;
  /** Pictures drawn, and bits per second of picture received over the last second. */
  frames: number;
  bitrate: number;
  /** Seconds of sound heard. */
  heard: number;
}

export interface CallOptions {
  party: "customer" | "agent";
  devices: Devices;
  key: PageKey;
  /** Newest access data: the token is renewed while the call runs. */
  access: () => MediaAccess;
  door: () => Promise<DoorView>;
  onStatus: (status: CallStatus) => void;
}

const WATCH_MS = 1_000;
/** No picture for this long although one should come: shown to the user. */
const STALL_MS = 3_000;
/** … and the connection is made anew, each time after twice the wait: the fault may be on the other side. */
const RENEW_FIRST_MS = 5_000;
const RENEW_MAX_MS = 120_000;

export class Call {
  readonly picture = new Picture();
  readonly #options: CallOptions;
  readonly #status: CallStatus = {
    link: "connecting",
    transport: "",
    version: "",
    peer: "absent",
    fault: undefined,
    frames: 0,
    bitrate: 0,
    heard: 0,
  };
  readonly #speaker: Speaker;
  readonly #timer: ReturnType<typeof setInterval>;
  #link: Link | undefined;
  #publisher: Publisher | undefined;
  #sealing: Sealing | undefined;
  #bytesBefore = 0;
  #renewAfter = RENEW_FIRST_MS;
  #waitingSince = performance.now();

  constructor(options: CallOptions) {
    this.#options = options;
    this.#speaker = new Speaker(options.devices.context);
    this.#timer = setInterval(() => this.#watch(), WATCH_MS);
    this.picture.onFirst = () => this.#report({ peer: "playing" });
    const { sealed, audio_suite } = options.access();
    if (sealed) {
      this.#sealing = new Sealing(options.party, suiteOf(audio_suite));
      this.rekey();
    } else this.#start();
    this.#report({});
  }

  /** Takes the media key of the newest access data, if it is another: who takes part has changed. */
  rekey(): void {
    const { key, epoch } = this.#options.access();
    if (!this.#sealing || epoch <= this.#sealing.epoch) return;
    try {
      this.#sealing.rekey(epoch, this.#options.key.unwrap(key.wrapped));
    } catch {
      // A sealed call whose key cannot be opened is never sent in the clear: nothing is sent.
      return this.#report({ fault: "key" });
    }
    if (this.#status.fault === "key") this.#report({ fault: undefined });
    if (!this.#publisher) this.#start();
  }

  close(): void {
    clearInterval(this.#timer);
    this.#publisher?.close();
    this.#link?.close();
    this.#sealing?.close();
    this.#speaker.close();
    this.picture.reset();
  }

  #start(): void {
    const { party, devices, access, door } = this.#options;
    const sealing = this.#sealing;
    const audio = suiteOf(access().audio_suite);
    const publisher = new Publisher(devices, sealing && { party, audio, sealing });
    this.#publisher = publisher;
    const target = async () => {
      const view = await door();
      const { room, token } = access();
      const { webtransport, websocket, certificate_hashes: certificateHashes } = view;
      return { webtransport, websocket, certificateHashes, room, token };
    };
    this.#link = new Link(target, transportChoice(location.search), {
      onState: (link, connection) => {
        const { version = "" } = connection ?? {};
        this.#report({ link, version, transport: connection ? String(connection.transport) : "" });
      },
      onUp: (connection) => {
        publisher.attach(connection, access().publish);
        const player = new Player(connection, access().watch, {
          picture: this.picture,
          speaker: this.#speaker,
          sealing,
          onFault: (fault) => this.#report({ fault }),
          onPresent: (present) => {
            this.#waitingSince = performance.now();
            this.#report({ peer: present ? "starting" : "absent", fault: undefined });
          },
        });
        return () => {
          player.close();
          publisher.detach();
          this.#report({ peer: "absent" });
        };
      },
    });
  }

  #watch(): void {
    const { bytes, drawn, receivedAt } = this.picture;
    const bitrate = Math.max(0, bytes - this.#bytesBefore) * 8;
    this.#bytesBefore = bytes;
    let { peer } = this.#status;
    const silent = performance.now() - Math.max(receivedAt, this.#waitingSince);
    if (peer !== "absent") {
      if (receivedAt > this.#waitingSince) peer = silent > STALL_MS ? "stalled" : "playing";
      if (peer === "playing") this.#renewAfter = RENEW_FIRST_MS;
      if (silent > this.#renewAfter && this.#status.link === "connected") this.#renew();
    }
    const heard = Math.floor(this.#speaker.seconds);
    this.#report({ peer, frames: drawn, bitrate, heard, ...(peer === "playing" && { fault: undefined }) });
  }

  #renew(): void {
    this.#renewAfter = Math.min(this.#renewAfter * 2, RENEW_MAX_MS);
    this.#waitingSince = performance.now();
    this.#link?.renew();
  }

  #report(change: Partial<CallStatus>): void {
    Object.assign(this.#status, change);
    this.#options.onStatus({ ...this.#status });
  }
}

function suiteOf(name: MediaSuite): Suite {
  return name === "sm4-ctr-hmac-sm3-80" ? CTR_HMAC : GCM;
}
