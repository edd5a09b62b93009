// Camera and microphone, and the audio context that both the encoder and the speaker hang on.

import { AUDIO_RATE } from "./catalog";
import { prepareSealing } from "./sealing";
import workletUrl from "./worklet?worker&url";

/** Why the page cannot be heard or seen; the pages have a sentence for each. */
export type DeviceFault = "insecure" | "unsupported" | "denied" | "missing" | "busy" | "failed";

export class DeviceError extends Error {
  constructor(
    readonly fault: DeviceFault,
    cause?: unknown,
  ) {
    super(`device ${fault}`, { cause });
  }
}

/** What the browser lacks, if anything, before asking for any permission. */
export function missingFeature(): DeviceFault | undefined {
  if (!globalThis.isSecureContext) return "insecure";
  const needed = ["VideoEncoder", "VideoDecoder", "AudioEncoder", "AudioDecoder", "AudioWorkletNode"];
  if (needed.some((name) => !(name in globalThis)) || !navigator.mediaDevices) return "unsupported";
  return undefined;
}

/** The page's own picture and sound. The microphone is required; without a camera a still picture is sent. */
export class Devices {
  readonly stream: MediaStream;
  readonly context: AudioContext;
  readonly camera: MediaStreamTrack | undefined;
  readonly #microphone: MediaStreamTrack;
  readonly #analyser: AnalyserNode;
  readonly #capture: AudioWorkletNode;
  readonly #listeners = new Set<(samples: Float32Array<ArrayBuffer>) => void>();
  cameraOff = false;

  static async open(): Promise<Devices> {
    const missing = missingFeature();
    if (missing) throw new DeviceError(missing);
    const stream = await openStream();
    const context = new AudioContext({ sampleRate: AUDIO_RATE, latencyHint: "interactive" });
    try {
      await context.audioWorklet.addModule(workletUrl);
      prepareSealing();
      await context.resume();
      return new Devices(stream, context);
    } catch (cause) {
      for (const track of stream.getTracks()) track.stop();
      void context.close();
      throw new DeviceError("failed", cause);
    }
  }

  private constructor(stream: MediaStream, context: AudioContext) {
    const [microphone] = stream.getAudioTracks();
    if (!microphone) throw new DeviceError("missing");
    this.stream = stream;
    this.context = context;
    this.camera = stream.getVideoTracks()[0];
    this.#microphone = microphone;
    const source = context.createMediaStreamSource(new MediaStream([microphone]));
    this.#analyser = context.createAnalyser();
    this.#analyser.fftSize = 1024;
    this.#capture = new AudioWorkletNode(context, "guitai-microphone", {
      numberOfOutputs: 0,
      channelCount: 1,
      channelCountMode: "explicit",
    });
    this.#capture.port.onmessage = (message: MessageEvent<Float32Array<ArrayBuffer>>) => {
      for (const listener of this.#listeners) listener(message.data);
    };
    source.connect(this.#analyser);
    source.connect(this.#capture);
  }

  /** Calls back with each 20 ms of microphone samples; answers how to stop. */
  onSamples(listener: (samples: Float32Array<ArrayBuffer>) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** How loud it is now, 0 to 1, on a scale where speech moves the needle. */
  level(): number {
    const samples = new Float32Array(this.#analyser.fftSize);
    this.#analyser.getFloatTimeDomainData(samples);
    const power = samples.reduce((sum, sample) => sum + sample * sample, 0) / samples.length;
    const decibels = 10 * Math.log10(power + 1e-9);
    return Math.min(1, Math.max(0, (decibels + 60) / 50));
  }

  get muted(): boolean {
    return !this.#microphone.enabled;
  }

  set muted(muted: boolean) {
    this.#microphone.enabled = !muted;
  }

  close(): void {
    this.#listeners.clear();
    for (const track of this.stream.getTracks()) track.stop();
    void this.context.close();
  }
}

async function openStream(): Promise<MediaStream> {
  const audio = { echoCancellation: true, noiseSuppression: true, autoGainControl: true, channelCount: 1 };
  const video = {
    width: { ideal: 640 },
    height: { ideal: 360 },
    frameRate: { ideal: 15, max: 30 },
    facingMode: "user",
  };
  try {
    return await navigator.mediaDevices.getUserMedia({ audio, video });
  } catch (error) {
    if (faultOf(error) !== "missing") throw new DeviceError(faultOf(error), error);
  }
  try {
    return await navigator.mediaDevices.getUserMedia({ audio });
  } catch (error) {
    throw new DeviceError(faultOf(error), error);
  }
}

function faultOf(error: unknown): DeviceFault {
  switch (error instanceof DOMException ? error.name : "") {
    case "NotAllowedError":
    case "SecurityError":
      return "denied";
    case "NotFoundError":
    case "OverconstrainedError":
      return "missing";
    case "NotReadableError":
    case "AbortError":
      return "busy";
    default:
      return "failed";
  }
}
