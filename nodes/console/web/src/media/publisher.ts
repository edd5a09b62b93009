// One party's picture and sound as a MoQ broadcast in the hang format, sealed when the call is.

import { Broadcast, type Connection, type Group, Path, Time, type Track } from "@moq/net";
import { concat, encodeVarint, toHex } from "./bytes";
import { AUDIO_TRACK, CATALOG_TRACK, makeCatalog, VIDEO_TRACK } from "./catalog";
import type { Devices } from "./devices";
import { AUDIO_BITRATE, Encoder, type Packet } from "./encoder";
import type { Suite } from "./crypto/suites";
import type { Sealing } from "./sealing";
import { type Party, PARTY_NUMBER, type TrackKind } from "./sframe";

/** Audio packets to a group: a QUIC stream per second, not per 20 ms. */
const AUDIO_GROUP = 50;
/** How long old groups stay fetchable, in milliseconds: a recorder that was away for a moment asks for them. */
const KEPT_MS = 30_000;

/** How a party seals what it sends. */
export interface Seal {
  party: Party;
  audio: Suite;
  sealing: Sealing;
}

export class Publisher {
  readonly #seal: Seal | undefined;
  readonly #encoder: Encoder;
  #instance: Instance | undefined;

  /** Without a `seal` the media is sent in the clear: only for a cluster whose policy says so. */
  constructor(devices: Devices, seal: Seal | undefined) {
    this.#seal = seal;
    this.#encoder = new Encoder(
      devices,
      (packet) => this.#instance?.write(packet),
      () => this.#instance?.describe(this.#encoder),
    );
  }

  /** Publishes under a fresh name, since group numbers and counters start anew with each connection. */
  attach(connection: Connection.Established, prefix: string): void {
    this.detach();
    const name = `${toHex(crypto.getRandomValues(new Uint8Array(8)))}.hang`;
    this.#instance = new Instance(this.#seal);
    this.#instance.describe(this.#encoder);
    connection.publish(Path.from(prefix, name), this.#instance.broadcast);
    this.#encoder.wantKey();
  }

  detach(): void {
    this.#instance?.close();
    this.#instance = undefined;
  }

  close(): void {
    this.#encoder.close();
    this.detach();
  }
}

/** One broadcast under one name. */
class Instance {
  readonly broadcast = new Broadcast.Producer();
  readonly #seal: Seal | undefined;
  readonly #catalog: Track.Producer;
  readonly #tracks: Record<"video" | "audio", TrackWriter>;

  #closed = false;

  constructor(seal: Seal | undefined) {
    this.#seal = seal;
    // Counters begin anew with each name, so that no nonce comes twice.
    seal?.sealing.begin();
    this.#catalog = this.broadcast.createTrack(CATALOG_TRACK, { latencyMax: KEPT_MS, priority: 100 });
    const writer = (track: "video" | "audio", name: string, priority: number) => {
      const info = { timescale: Time.Timescale.MICRO, latencyMax: KEPT_MS, priority };
      return new TrackWriter(this.broadcast.createTrack(name, info), track);
    };
    this.#tracks = { audio: writer("audio", AUDIO_TRACK, 80), video: writer("video", VIDEO_TRACK, 60) };
  }

  describe(encoder: Encoder): void {
    const seal = this.#seal && { party: PARTY_NUMBER[this.#seal.party], audio: this.#seal.audio };
    this.#catalog.writeJson(makeCatalog(encoder.shape, AUDIO_BITRATE, seal));
  }

  write(packet: Packet): void {
    const track = this.#tracks[packet.track];
    if (!this.#seal) return track.write(packet, packet.data);
    // The worker answers in the order it was asked, so frames keep theirs.
    void this.#seal.sealing.seal(packet.track, packet.data).then((body) => {
      if (body && !this.#closed) track.write(packet, body);
    });
  }

  close(): void {
    this.#closed = true;
    for (const track of Object.values(this.#tracks)) track.close();
    this.#catalog.close();
    this.broadcast.close();
  }
}

class TrackWriter {
  readonly #track: Track.Producer;
  readonly #kind: TrackKind;
  #group: Group.Producer | undefined;
  #inGroup = 0;

  constructor(track: Track.Producer, kind: TrackKind) {
    this.#track = track;
    this.#kind = kind;
  }

  write(packet: Packet, body: Uint8Array): void {
    const opens = this.#kind === "video" ? packet.key : this.#inGroup >= AUDIO_GROUP;
    if (opens || (!this.#group && this.#kind === "audio")) {
      this.#group?.close();
      this.#group = this.#track.appendGroup();
      this.#inGroup = 0;
    }
    // Pictures before the first key frame belong to the broadcast before this one.
    if (!this.#group) return;
    this.#group.writeFrame({
      payload: concat(encodeVarint(packet.timestamp), body),
      timestamp: Time.Timestamp.fromMicros(packet.timestamp),
    });
    this.#inGroup++;
  }

  close(): void {
    this.#group?.close();
    this.#track.close();
  }
}
