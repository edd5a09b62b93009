// The media of one call, whole: keys, connection, what is sent and what is received.

import type { MediaAccess, MediaSuite } from "@/shared/types";
import type { Devices } from "./devices";
import type { PageKey } from "./keys";
import { Link, type LinkState, type LinkTarget, transportChoice } from "./link";
import { Picture, Speaker } from "./output";
import { Player } from "./player";
import { Publisher } from "./publisher";
import { CTR_HMAC, GCM, type Suite } from "./crypto/suites";
import { Sealing } from "./sealing";
import { Vigil } from "./vigil";

export interface CallStatus {
  link: LinkState;
  /** `webtransport` or `websocket` once connected. */
  transport: string;
  /** Wire version, for example `moq-lite-05`. */
  version: string;
  /** Node whose door carries the media, once connected. */
  node: string;
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
  doors: Doors;
  onStatus: (status: CallStatus) => void;
}

/** Where media may go. */
export interface Doors {
  /** The best door now. */
  choose: () => Promise<Omit<LinkTarget, "room" | "token">>;
  /** It carries the media. */
  serve: (node: string) => void;
  /** It took no connection, or dropped one that had `lived`; answers whether there is another to try at once. */
  lost: (node: string, lived: boolean) => Promise<boolean>;
  /** It takes connections, but no media comes. */
  fail: (node: string) => void;
  /** Asks it whether it lives; one that does not is left. */
  probe: (node: string) => Promise<boolean>;
  /** Calls back when a door failed at something else; answers how to stop. */
  onFail: (listener: (node: string) => void) => () => void;
}

const WATCH_MS = 250;
/** Bits are counted over a second. */
const COUNT_MS = 1_000;

export class Call {
  readonly picture = new Picture();
  readonly #options: CallOptions;
  readonly #status: CallStatus = {
    link: "connecting",
    transport: "",
    version: "",
    node: "",
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
  readonly #vigil = new Vigil(performance.now());
  readonly #stopHearing: () => void;
  #counted = { at: 0, bytes: 0, bitrate: 0 };

  constructor(options: CallOptions) {
    this.#options = options;
    this.#speaker = new Speaker(options.devices.context);
    this.#timer = setInterval(() => this.#watch(), WATCH_MS);
    // A door whose events broke may carry media still, or be gone: asked at once instead of waited for.
    this.#stopHearing = options.doors.onFail((node) => {
      if (node === this.#link?.node && this.#status.link === "connected") void this.#probe();
    });
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
    this.#stopHearing();
    this.#publisher?.close();
    this.#link?.close();
    this.#sealing?.close();
    this.#speaker.close();
    this.picture.reset();
  }

  #start(): void {
    const { party, devices, access, doors } = this.#options;
    const sealing = this.#sealing;
    const audio = suiteOf(access().audio_suite);
    const publisher = new Publisher(devices, sealing && { party, audio, sealing });
    this.#publisher = publisher;
    const target = async () => {
      const door = await doors.choose();
      const { room, token } = access();
      return { ...door, room, token };
    };
    this.#link = new Link(target, transportChoice(location.search), {
      onState: (link, connection) => {
        const { version = "" } = connection ?? {};
        const node = connection ? (this.#link?.node ?? "") : "";
        this.#report({ link, version, node, transport: connection ? String(connection.transport) : "" });
      },
      onLost: ({ node }, lived) => doors.lost(node, lived),
      onSlow: ({ node }) => doors.probe(node),
      onUp: (connection) => {
        doors.serve(this.#link?.node ?? "");
        publisher.attach(connection, access().publish);
        const player = new Player(connection, access().watch, {
          picture: this.picture,
          speaker: this.#speaker,
          sealing,
          onFault: (fault) => this.#report({ fault }),
          onPresent: (present) => {
            this.#vigil.begin(performance.now());
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
    const now = performance.now();
    const { bytes, drawn, receivedAt } = this.picture;
    if (now - this.#counted.at >= COUNT_MS) {
      const seconds = Math.max(1, (now - this.#counted.at) / COUNT_MS);
      this.#counted = { at: now, bytes, bitrate: Math.round((Math.max(0, bytes - this.#counted.bytes) * 8) / seconds) };
    }
    const present = this.#status.peer !== "absent";
    const connected = this.#status.link === "connected";
    const { peer, probe, renew } = this.#vigil.look(now, { present, connected, receivedAt });
    if (renew) this.#renew();
    else if (probe) void this.#probe();
    const heard = Math.floor(this.#speaker.seconds);
    const { bitrate } = this.#counted;
    this.#report({ peer, frames: drawn, bitrate, heard, ...(peer === "playing" && { fault: undefined }) });
  }

  #renew(): void {
    const link = this.#link;
    if (!link) return;
    this.#options.doors.fail(link.node);
    link.renew();
  }

  /** A door that does not answer is left at once; the connection would notice much later. */
  async #probe(): Promise<void> {
    const link = this.#link;
    const node = link?.node ?? "";
    if (await this.#options.doors.probe(node)) return;
    if (link?.node === node) link.renew();
  }

  #report(change: Partial<CallStatus>): void {
    Object.assign(this.#status, change);
    this.#options.onStatus({ ...this.#status });
  }
}

function suiteOf(name: MediaSuite): Suite {
  return name === "sm4-ctr-hmac-sm3-80" ? CTR_HMAC : GCM;
}
