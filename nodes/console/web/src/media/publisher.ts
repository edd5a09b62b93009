// One party's picture and sound as a MoQ broadcast in the hang format, sealed when the call is.

import { Broadcast, type Connection, type Group, Path, Time, type Track } from "@moq/net";
import { concat, encodeVarint, toHex } from "./bytes";
import { AUDIO_TRACK, CATALOG_TRACK, makeCatalog, VIDEO_TRACK } from "./catalog";
import type { Devices } from "./devices";
import { AUDIO_BITRATE, Encoder, type Packet } from "./encoder";
import { firstCounter, kidOf, type Party, PARTY_NUMBER, Sealer } from "./sframe";

/** Audio packets to a group: a QUIC stream per second, not per 20 ms. */
const AUDIO_GROUP = 50;
/** How long old groups stay fetchable, in milliseconds: a recorder that was away for a moment asks for them. */
const KEPT_MS = 30_000;

export class Publisher {
  readonly #party: Party;
  readonly #baseKey: Uint8Array | undefined;
  readonly #encoder: Encoder;
  #instance: Instance | undefined;

  /** Without a `baseKey` the media is sent in the clear: only for a cluster whose policy says so. */
  constructor(party: Party, devices: Devices, baseKey: Uint8Array | undefined) {
    this.#party = party;
    this.#baseKey = baseKey;
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
    this.#instance = new Instance(this.#party, this.#baseKey);
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
  readonly #party: Party;
  readonly #sealed: boolean;
  readonly #catalog: Track.Producer;
  readonly #tracks: Record<"video" | "audio", TrackWriter>;

  constructor(party: Party, baseKey: Uint8Array | undefined) {
    this.#party = party;
    this.#sealed = baseKey !== undefined;
    this.#catalog = this.broadcast.createTrack(CATALOG_TRACK, { latencyMax: KEPT_MS, priority: 100 });
    const first = firstCounter();
    const writer = (track: "video" | "audio", name: string, priority: number) => {
      const info = { timescale: Time.Timescale.MICRO, latencyMax: KEPT_MS, priority };
      const sealer = baseKey && new Sealer(baseKey, kidOf(party, track), first);
      return new TrackWriter(this.broadcast.createTrack(name, info), sealer);
    };
    this.#tracks = { audio: writer("audio", AUDIO_TRACK, 80), video: writer("video", VIDEO_TRACK, 60) };
  }

  describe(encoder: Encoder): void {
    const party = this.#sealed ? PARTY_NUMBER[this.#party] : undefined;
    this.#catalog.writeJson(makeCatalog(encoder.shape, AUDIO_BITRATE, party));
  }

  write(packet: Packet): void {
    const track = this.#tracks[packet.track];
    track.write(packet, packet.track === "video" ? packet.key : track.inGroup >= AUDIO_GROUP);
  }

  close(): void {
    for (const track of Object.values(this.#tracks)) track.close();
    this.#catalog.close();
    this.broadcast.close();
  }
}

class TrackWriter {
  readonly #track: Track.Producer;
  readonly #sealer: Sealer | undefined;
  readonly #metadata: Uint8Array;
  #group: Group.Producer | undefined;
  inGroup = 0;

  constructor(track: Track.Producer, sealer: Sealer | undefined) {
    this.#track = track;
    this.#sealer = sealer;
    this.#metadata = new TextEncoder().encode(track.name);
  }

  write(packet: Packet, opens: boolean): void {
    if (opens || (!this.#group && packet.track === "audio")) {
      this.#group?.close();
      this.#group = this.#track.appendGroup();
      this.inGroup = 0;
    }
    // Pictures before the first key frame belong to the broadcast before this one.
    if (!this.#group) return;
    const body = this.#sealer ? this.#sealer.seal(this.#metadata, packet.data) : packet.data;
    this.#group.writeFrame({
      payload: concat(encodeVarint(packet.timestamp), body),
      timestamp: Time.Timestamp.fromMicros(packet.timestamp),
    });
    this.inGroup++;
  }

  close(): void {
    this.#group?.close();
    this.#track.close();
  }
}
