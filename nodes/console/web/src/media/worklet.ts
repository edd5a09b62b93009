// Both audio worklets: the microphone's samples out to the encoder, the decoder's samples in to the speaker.

import { JitterBuffer } from "./jitter";

declare abstract class AudioWorkletProcessor {
  readonly port: MessagePort;
  abstract process(inputs: Float32Array[][], outputs: Float32Array[][]): boolean;
}
declare function registerProcessor(name: string, processor: new (options: never) => AudioWorkletProcessor): void;

/** One Opus frame: 20 ms at 48 kHz. */
const BLOCK = 960;

class Microphone extends AudioWorkletProcessor {
  #block = new Float32Array(BLOCK);
  #filled = 0;

  process(inputs: Float32Array[][]): boolean {
    const channel = inputs[0]?.[0];
    // A muted or vanished microphone still gives time: the recording must not end because nobody speaks.
    const length = channel?.length ?? 128;
    for (let i = 0; i < length; i++) {
      this.#block[this.#filled++] = channel?.[i] ?? 0;
      if (this.#filled === BLOCK) {
        this.port.postMessage(this.#block, [this.#block.buffer]);
        this.#block = new Float32Array(BLOCK);
        this.#filled = 0;
      }
    }
    return true;
  }
}

class Speaker extends AudioWorkletProcessor {
  #buffer: JitterBuffer;

  constructor(options: { processorOptions: { target: number; ceiling: number } }) {
    super();
    this.#buffer = new JitterBuffer(options.processorOptions.target, options.processorOptions.ceiling);
    this.port.onmessage = (message: MessageEvent<Float32Array>) => this.#buffer.write(message.data);
  }

  process(_inputs: Float32Array[][], outputs: Float32Array[][]): boolean {
    const [first, ...rest] = outputs[0] ?? [];
    if (first) {
      this.#buffer.read(first);
      for (const channel of rest) channel.set(first);
    }
    return true;
  }
}

registerProcessor("guitai-microphone", Microphone);
registerProcessor("guitai-speaker", Speaker);
