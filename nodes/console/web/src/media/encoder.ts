// Microphone and camera to H.264 and Opus. Runs for the whole call; where the packets go may change when the
// connection is made anew.

import { AUDIO_CODEC, AUDIO_RATE, VIDEO_CODEC, type VideoShape } from "./catalog";
import { TrackClock } from "./clock";
import type { Devices } from "./devices";
import { readFrames } from "./frames";
import { FRAMERATE, SIDE_MAX, shapeFor } from "./shape";

export interface Packet {
  track: "video" | "audio";
  /** A picture that can be decoded alone; every audio packet can. */
  key: boolean;
  /** Microseconds since the encoder started. */
  timestamp: number;
  data: Uint8Array<ArrayBuffer>;
}

export const AUDIO_BITRATE = 32_000;
/** Pictures closer than this are dropped: a 30 Hz camera gives 15, a 20 Hz camera 20. In microseconds. */
const SPACING_MIN = 45_000;
/** A key frame at least every 2 s, less one still picture's spacing. In microseconds. */
const KEY_INTERVAL = 1_800_000;
/** With the camera off or stuck, a still picture every this many audio blocks (200 ms): a recording must not
 *  end because nothing is shown. Counted in audio blocks since timers stop in a background tab. */
const STILL_BLOCKS = 10;
/** A camera silent for longer than this is stuck. In milliseconds. */
const CAMERA_STUCK_MS = 1_000;
/** Pictures waiting in the encoder beyond which new ones are dropped. */
const ENCODE_QUEUE_MAX = 2;

export class Encoder {
  readonly #devices: Devices;
  readonly #emit: (packet: Packet) => void;
  readonly #reshaped: (shape: VideoShape) => void;
  readonly #started = performance.now();
  readonly #videoClock = new TrackClock();
  readonly #audioClock = new TrackClock();
  readonly #stops: (() => void)[] = [];
  #video: VideoEncoder | undefined;
  #audio: AudioEncoder;
  #shape: VideoShape;
  #lastPicture = -Infinity;
  #lastCamera = -Infinity;
  #lastKey = -Infinity;
  #keyWanted = true;
  #samples = 0;
  #blocks = 0;
  #closed = false;

  constructor(devices: Devices, emit: (packet: Packet) => void, reshaped: (shape: VideoShape) => void) {
    this.#devices = devices;
    this.#emit = emit;
    this.#reshaped = reshaped;
    const { width = SIDE_MAX, height = 360 } = devices.camera?.getSettings() ?? {};
    this.#shape = shapeFor(width, height);
    this.#audio = this.#makeAudio();
    this.#stops.push(devices.onSamples((samples) => this.#onSamples(samples)));
    if (devices.camera) this.#stops.push(readFrames(devices.camera, (frame) => this.#onCamera(frame)));
  }

  get shape(): VideoShape {
    return this.#shape;
  }

  /** The next picture will be a key frame: a new broadcast starts. */
  wantKey(): void {
    this.#keyWanted = true;
  }

  close(): void {
    this.#closed = true;
    for (const stop of this.#stops) stop();
    if (this.#video?.state !== "closed") this.#video?.close();
    if (this.#audio.state !== "closed") this.#audio.close();
  }

  #now(): number {
    return (performance.now() - this.#started) * 1000;
  }

  #onCamera(frame: VideoFrame): void {
    this.#lastCamera = performance.now();
    if (this.#closed || this.#devices.cameraOff) {
      frame.close();
      return;
    }
    const shape = shapeFor(frame.displayWidth, frame.displayHeight);
    if (shape.width !== this.#shape.width || shape.height !== this.#shape.height) this.#reshape(shape);
    this.#encodePicture(frame, this.#videoClock.stamp(frame.timestamp, this.#now()));
  }

  #reshape(shape: VideoShape): void {
    this.#shape = shape;
    this.#video?.close();
    this.#video = undefined;
    this.#reshaped(shape);
  }

  #encodePicture(frame: VideoFrame, timestamp: number): void {
    const encoder = this.#videoEncoder();
    if (timestamp - this.#lastPicture < SPACING_MIN || encoder.encodeQueueSize > ENCODE_QUEUE_MAX) {
      frame.close();
      return;
    }
    this.#lastPicture = timestamp;
    const keyFrame = this.#keyWanted || timestamp - this.#lastKey >= KEY_INTERVAL;
    if (keyFrame) {
      this.#keyWanted = false;
      this.#lastKey = timestamp;
    }
    const stamped = new VideoFrame(frame, { timestamp });
    frame.close();
    encoder.encode(stamped, { keyFrame });
    stamped.close();
  }

  #videoEncoder(): VideoEncoder {
    if (this.#video && this.#video.state === "configured") return this.#video;
    const encoder = new VideoEncoder({
      output: (chunk) => this.#emit(packetOf("video", chunk)),
      error: () => this.wantKey(), // closed by the browser; the next picture makes a new one
    });
    encoder.configure({
      codec: VIDEO_CODEC,
      width: this.#shape.width,
      height: this.#shape.height,
      bitrate: this.#shape.bitrate,
      framerate: FRAMERATE,
      latencyMode: "realtime",
      avc: { format: "annexb" },
    });
    this.#video = encoder;
    this.#keyWanted = true;
    return encoder;
  }

  #onSamples(samples: Float32Array<ArrayBuffer>): void {
    if (this.#closed) return;
    if (this.#audio.state !== "configured") this.#audio = this.#makeAudio();
    const timestamp = this.#audioClock.stamp((this.#samples / AUDIO_RATE) * 1e6, this.#now());
    this.#samples += samples.length;
    const data = new AudioData({
      format: "f32-planar",
      sampleRate: AUDIO_RATE,
      numberOfFrames: samples.length,
      numberOfChannels: 1,
      timestamp,
      data: samples,
    });
    this.#audio.encode(data);
    data.close();
    this.#blocks++;
    if (this.#blocks % STILL_BLOCKS === 0) this.#sendStill();
  }

  #sendStill(): void {
    const stuck = performance.now() - this.#lastCamera > CAMERA_STUCK_MS;
    if (!this.#devices.cameraOff && this.#devices.camera && !stuck) return;
    const now = this.#now();
    const frame = new VideoFrame(stillPicture(this.#shape), { timestamp: Math.round(now) });
    this.#encodePicture(frame, this.#videoClock.stamp(now, now));
  }

  #makeAudio(): AudioEncoder {
    const encoder = new AudioEncoder({
      output: (chunk) => this.#emit(packetOf("audio", chunk)),
      error: () => undefined, // closed by the browser; the next block makes a new one
    });
    encoder.configure({
      codec: AUDIO_CODEC,
      sampleRate: AUDIO_RATE,
      numberOfChannels: 1,
      bitrate: AUDIO_BITRATE,
      opus: { frameDuration: 20_000, application: "voip" },
    } as AudioEncoderConfig);
    return encoder;
  }
}

function packetOf(track: "video" | "audio", chunk: EncodedVideoChunk | EncodedAudioChunk): Packet {
  const data = new Uint8Array(chunk.byteLength);
  chunk.copyTo(data);
  return { track, key: chunk.type === "key", timestamp: chunk.timestamp, data };
}

/** Shown instead of a camera that is off: a calm ground with a person's outline. */
function stillPicture({ width, height }: VideoShape): OffscreenCanvas {
  const canvas = new OffscreenCanvas(width, height);
  const paint = canvas.getContext("2d");
  if (!paint) return canvas;
  const unit = Math.min(width, height) / 10;
  paint.fillStyle = "#0c2f38";
  paint.fillRect(0, 0, width, height);
  paint.fillStyle = "#2f6670";
  paint.beginPath();
  paint.arc(width / 2, height / 2 - unit, unit * 1.4, 0, Math.PI * 2);
  paint.fill();
  paint.beginPath();
  paint.ellipse(width / 2, height / 2 + unit * 3, unit * 2.6, unit * 2, 0, Math.PI, 0);
  paint.fill();
  return canvas;
}
