// The other party's broadcast: opened, decoded, shown and heard.

import { type Broadcast, type Connection, type Group, Path, type Track } from "@moq/net";
import { decodeVarint } from "./bytes";
import { CATALOG_TRACK, type Catalog, readCatalog } from "./catalog";
import type { Picture, Speaker } from "./output";
import type { Sealing } from "./sealing";
import type { TrackKind } from "./sframe";

/** A group older than this is given up for a newer one, in milliseconds. */
const VIDEO_AGE_MAX = 1_000;
const AUDIO_AGE_MAX = 500;
/** Largest frame accepted, as `limits::FRAME_BYTES_MAX`. */
const FRAME_BYTES_MAX = 2 * 1024 * 1024;

export interface PlayerOptions {
  picture: Picture;
  speaker: Speaker;
  /** Absent when the call is not sealed. */
  sealing: Sealing | undefined;
  /** A frame came that this page could not open or decode. */
  onFault: (fault: "sealed" | "decode") => void;
  /** The other party publishes, or stopped. */
  onPresent: (present: boolean) => void;
}

/** Follows the broadcasts under a prefix and plays the newest. */
export class Player {
  readonly #options: PlayerOptions;
  readonly #connection: Connection.Established;
  readonly #prefix: Path.Valid;
  readonly #active: string[] = [];
  #playing: { name: string; playback: Playback } | undefined;
  #closed = false;
  #announced: ReturnType<Connection.Established["announced"]>;

  constructor(connection: Connection.Established, prefix: string, options: PlayerOptions) {
    this.#connection = connection;
    this.#options = options;
    this.#prefix = Path.from(prefix);
    this.#announced = connection.announced(this.#prefix);
    this.#follow().catch(() => undefined);
  }

  close(): void {
    this.#closed = true;
    this.#announced.close();
    this.#playing?.playback.close();
    this.#playing = undefined;
  }

  async #follow(): Promise<void> {
    for (;;) {
      const event = await this.#announced.next();
      if (!event || this.#closed) return;
      const at = this.#active.indexOf(event.path);
      if (at >= 0) this.#active.splice(at, 1);
      if (event.active) this.#active.push(event.path);
      this.#choose(event.active ? event.path : undefined);
    }
  }

  /** The newest announced wins; one announced anew under its own name is another instance. */
  #choose(fresh: string | undefined): void {
    const name = this.#active.at(-1);
    if (this.#playing && this.#playing.name === name && fresh !== name) return;
    this.#playing?.playback.close();
    this.#playing = undefined;
    this.#options.onPresent(name !== undefined);
    if (name === undefined) return;
    const broadcast = this.#connection.consume(Path.join(this.#prefix, Path.from(name)));
    this.#playing = { name, playback: new Playback(broadcast, this.#options) };
  }
}

/** One broadcast being played. */
class Playback {
  readonly #broadcast: Broadcast.Consumer;
  readonly #options: PlayerOptions;
  readonly #subscribers = new Set<Track.Subscriber>();
  #video: { codec: string; decoder: VideoDecoder; keyed: boolean } | undefined;
  #audio: AudioDecoder | undefined;
  #started = { video: "", audio: "" };
  #closed = false;

  constructor(broadcast: Broadcast.Consumer, options: PlayerOptions) {
    this.#broadcast = broadcast;
    this.#options = options;
    options.picture.reset();
    this.#readCatalogs().catch(() => undefined);
  }

  close(): void {
    this.#closed = true;
    for (const subscriber of this.#subscribers) subscriber.close();
    if (this.#video?.decoder.state !== "closed") this.#video?.decoder.close();
    if (this.#audio?.state !== "closed") this.#audio?.close();
    this.#broadcast.close();
  }

  async #readCatalogs(): Promise<void> {
    await this.#readGroups(CATALOG_TRACK, { priority: 100 }, async (group) => {
      const json = await group.readJson();
      if (json !== undefined) this.#apply(readCatalog(json));
    });
  }

  #apply(catalog: Catalog): void {
    if (catalog.sealed !== (this.#options.sealing !== undefined)) this.#options.onFault("sealed");
    const { video, audio } = catalog;
    if (video && this.#started.video !== video.track) {
      this.#started.video = video.track;
      this.#play("video", video.track, { priority: 60, latencyMax: VIDEO_AGE_MAX }, (first, timestamp, data) =>
        this.#decodePicture(video.codec, first, timestamp, data),
      );
    }
    if (audio && this.#started.audio !== audio.track) {
      this.#started.audio = audio.track;
      this.#play("audio", audio.track, { priority: 80, latencyMax: AUDIO_AGE_MAX }, (_first, timestamp, data) =>
        this.#decodeSound(audio, timestamp, data),
      );
    }
  }

  #play(
    kind: TrackKind,
    track: string,
    subscription: Track.Subscription,
    decode: (first: boolean, timestamp: number, data: Uint8Array) => void,
  ): void {
    void this.#readGroups(track, subscription, async (group) => {
      for (let first = true; ; first = false) {
        const frame = await group.readFrame();
        if (!frame || this.#closed) return;
        if (frame.payload.length > FRAME_BYTES_MAX) continue;
        const [timestamp, body] = decodeVarint(frame.payload);
        if (body.length === 0) continue;
        const data = await this.#open(kind, body);
        if (this.#closed) return;
        if (data) decode(first, timestamp, data);
        else if (first) return; // a group without its first frame cannot be decoded
      }
    });
  }

  async #open(kind: TrackKind, body: Uint8Array): Promise<Uint8Array | undefined> {
    if (!this.#options.sealing) return body;
    const data = await this.#options.sealing.open(kind, body);
    if (!data && !this.#closed) this.#options.onFault("sealed");
    return data;
  }

  /** Group after group; one that was given up on the way is skipped, not the end of the track. */
  async #readGroups(
    track: string,
    subscription: Track.Subscription,
    read: (group: Group.Consumer) => Promise<void>,
  ): Promise<void> {
    const subscriber = this.#broadcast.track(track).subscribe(subscription);
    this.#subscribers.add(subscriber);
    try {
      for (;;) {
        const group = await subscriber.nextGroup();
        if (!group || this.#closed) return;
        await read(group).catch(() => undefined);
        group.close();
      }
    } catch {
      // The track was reset; the broadcast's announcement says whether that is the end.
    } finally {
      this.#subscribers.delete(subscriber);
    }
  }

  #decodePicture(codec: string, key: boolean, timestamp: number, data: Uint8Array): void {
    if (this.#video?.codec !== codec || this.#video.decoder.state !== "configured") {
      if (!key) return;
      const decoder = new VideoDecoder({
        output: (frame) => this.#options.picture.show(frame),
        error: () => this.#options.onFault("decode"), // closed by the browser; the next key frame makes a new one
      });
      decoder.configure({ codec, optimizeForLatency: true });
      this.#video = { codec, decoder, keyed: false };
    }
    if (!key && !this.#video.keyed) return;
    this.#video.keyed = true;
    this.#options.picture.received(data.length);
    this.#video.decoder.decode(new EncodedVideoChunk({ type: key ? "key" : "delta", timestamp, data }));
  }

  #decodeSound(config: NonNullable<Catalog["audio"]>, timestamp: number, data: Uint8Array): void {
    if (this.#audio?.state !== "configured") {
      this.#audio = new AudioDecoder({
        output: (sound) => this.#options.speaker.play(sound),
        error: () => this.#options.onFault("decode"),
      });
      this.#audio.configure({
        codec: config.codec,
        sampleRate: config.sampleRate,
        numberOfChannels: config.channels,
      });
    }
    this.#audio.decode(new EncodedAudioChunk({ type: "key", timestamp, data }));
  }
}
