// Where decoded media goes: a canvas and the loudspeaker.

import { AUDIO_RATE } from "./catalog";
import { Pacer } from "./pacer";

/** Decoded pictures waiting to be shown; in a background tab nothing is shown and the oldest go. */
const PICTURES_MAX = 8;
/** The jitter buffer gathers 100 ms and drops what is more than 300 ms late. */
const SPEAKER_TARGET = AUDIO_RATE / 10;
const SPEAKER_CEILING = (AUDIO_RATE * 3) / 10;

/** Shows pictures evenly on a canvas, which may come and go with the page's layout. */
export class Picture {
  #canvas: HTMLCanvasElement | undefined;
  #waiting: { frame: VideoFrame; due: number }[] = [];
  #pacer = new Pacer();
  #scheduled = false;
  #drawn = 0;
  bytes = 0;
  receivedAt = 0;
  /** Called when a picture is shown after none was. */
  onFirst: (() => void) | undefined;
  #fresh = true;

  /** Pictures drawn so far; also written to the canvas as `data-frames`, for tests. */
  get drawn(): number {
    return this.#drawn;
  }

  attach(canvas: HTMLCanvasElement | undefined): void {
    this.#canvas = canvas;
  }

  received(bytes: number): void {
    this.bytes += bytes;
    this.receivedAt = performance.now();
  }

  show(frame: VideoFrame): void {
    this.#waiting.push({ frame, due: this.#pacer.due(frame.timestamp / 1000, performance.now()) });
    while (this.#waiting.length > PICTURES_MAX) this.#waiting.shift()?.frame.close();
    this.#schedule();
  }

  reset(): void {
    for (const { frame } of this.#waiting.splice(0)) frame.close();
    this.#pacer.reset();
    this.#fresh = true;
  }

  #schedule(): void {
    if (this.#scheduled || this.#waiting.length === 0) return;
    this.#scheduled = true;
    requestAnimationFrame((now) => {
      this.#scheduled = false;
      this.#drawDue(now);
      this.#schedule();
    });
  }

  #drawDue(now: number): void {
    let chosen: VideoFrame | undefined;
    while (this.#waiting[0] && this.#waiting[0].due <= now) {
      chosen?.close();
      chosen = this.#waiting.shift()?.frame;
    }
    if (!chosen) return;
    this.#draw(chosen);
    chosen.close();
  }

  #draw(frame: VideoFrame): void {
    const canvas = this.#canvas;
    if (!canvas) return;
    if (canvas.width !== frame.displayWidth || canvas.height !== frame.displayHeight) {
      canvas.width = frame.displayWidth;
      canvas.height = frame.displayHeight;
    }
    canvas.getContext("2d")?.drawImage(frame, 0, 0);
    canvas.dataset["frames"] = String(++this.#drawn);
    if (!this.#fresh) return;
    this.#fresh = false;
    this.onFirst?.();
  }
}

/** Plays decoded sound through the page's audio context, so that echo cancellation hears it too. */
export class Speaker {
  readonly #node: AudioWorkletNode;
  /** Seconds of sound handed to the loudspeaker so far. */
  seconds = 0;

  constructor(context: AudioContext) {
    this.#node = new AudioWorkletNode(context, "guitai-speaker", {
      numberOfInputs: 0,
      outputChannelCount: [1],
      processorOptions: { target: SPEAKER_TARGET, ceiling: SPEAKER_CEILING },
    });
    this.#node.connect(context.destination);
  }

  play(sound: AudioData): void {
    const samples = new Float32Array(sound.numberOfFrames);
    sound.copyTo(samples, { planeIndex: 0, format: "f32-planar" });
    sound.close();
    this.seconds += samples.length / AUDIO_RATE;
    this.#node.port.postMessage(samples, [samples.buffer]);
  }

  close(): void {
    this.#node.disconnect();
  }
}
