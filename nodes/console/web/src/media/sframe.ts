// SFrame (RFC 9605) with SM4: what the relays forward is what they cannot read. The format is fixed by
// docs/reference/media.md; the vectors in tests/vectors are shared with the crypto crate.

import { type Bytes, bigEndian, concat } from "./bytes";
import { expand, extract } from "./crypto/sm3";
import { type Cipher, cipher, GCM, KEY_BYTES, type Suite, TAG_BYTES } from "./crypto/suites";

const NONCE_BYTES = 12;
/** Keys an opener remembers: two parties with two tracks each, and room for as many again. */
const KEYS_MAX = 8;
/** Epochs whose keys are held at once. */
const EPOCHS_MAX = 4;
/** How long a replaced key still opens frames that were under way, in milliseconds. */
export const GRACE_MS = 2_000;

export type Party = "customer" | "agent";
export type TrackKind = "video" | "audio";

/** A party's number, as the catalog names it. */
export const PARTY_NUMBER: Record<Party, number> = { customer: 1, agent: 2 };

/** Which track of which party a frame belongs to, and which media key it needs. Epochs begin with 1. */
export function kidOf(epoch: number, party: Party, track: TrackKind): bigint {
  return (BigInt(epoch - 1) << 3n) | BigInt(PARTY_NUMBER[party] * 2 + (track === "video" ? 0 : 1));
}

/** The media key a frame needs. */
function epochOf(kid: bigint): bigint {
  return (kid >> 3n) + 1n;
}

/** First counter of a broadcast instance: 32 random bits above 32 bits of frames, so no nonce comes twice. */
export function firstCounter(): bigint {
  const instance = crypto.getRandomValues(new Uint32Array(1))[0] ?? 0;
  return BigInt(instance) << 32n;
}

/** Key and salt of one KID (RFC 9605, 4.4.2). */
class TrackKey {
  readonly cipher: Cipher;
  readonly #salt: Bytes;

  constructor(suite: Suite, secret: Uint8Array, kid: bigint) {
    const context = concat(bigEndian(kid, 8), bigEndian(BigInt(suite), 2));
    const derive = (label: string, length: number) =>
      expand(secret, concat(new TextEncoder().encode(label), context), length);
    this.cipher = cipher(suite, derive("SFrame 1.0 Secret key ", KEY_BYTES[suite]));
    this.#salt = derive("SFrame 1.0 Secret salt ", NONCE_BYTES);
  }

  nonce(counter: bigint): Bytes {
    const nonce = bigEndian(counter, NONCE_BYTES);
    for (let i = 0; i < NONCE_BYTES; i++) nonce[i] = nonce[i]! ^ this.#salt[i]!;
    return nonce;
  }
}

function shortest(value: bigint): Bytes {
  let width = 1;
  while (value >> BigInt(8 * width)) width++;
  return bigEndian(value, width);
}

/** RFC 9605 §4.3: small numbers live in the config byte, larger ones follow it in as few bytes as possible. */
export function encodeHeader(kid: bigint, counter: bigint): Bytes {
  const [k, kidBytes] = headerField(kid);
  const [c, counterBytes] = headerField(counter);
  return concat(Uint8Array.of((k << 4) | c), kidBytes, counterBytes);
}

function headerField(value: bigint): [number, Bytes] {
  if (value < 8n) return [Number(value), new Uint8Array(0)];
  const bytes = shortest(value);
  if (bytes.length > 8) throw new Error("number too large for an SFrame header");
  return [0x8 | (bytes.length - 1), bytes];
}

export interface Header {
  kid: bigint;
  counter: bigint;
  length: number;
}

export function decodeHeader(frame: Uint8Array): Header {
  const config = frame[0];
  if (config === undefined) throw new Error("empty frame");
  let length = 1;
  const field = (bits: number): bigint => {
    if (!(bits & 0x8)) return BigInt(bits & 0x7);
    const width = (bits & 0x7) + 1;
    if (frame.length < length + width) throw new Error("truncated SFrame header");
    let value = 0n;
    for (const byte of frame.subarray(length, length + width)) value = (value << 8n) | BigInt(byte);
    length += width;
    return value;
  };
  const kid = field(config >> 4);
  const counter = field(config & 0xf);
  return { kid, counter, length };
}

/** Seals the frames of one track of one broadcast instance. */
export class Sealer {
  readonly #suite: Suite;
  #key: TrackKey;
  #kid: bigint;
  #counter: bigint;

  constructor(suite: Suite, baseKey: Uint8Array, kid: bigint, firstCounter: bigint) {
    this.#suite = suite;
    this.#key = new TrackKey(suite, extract(baseKey), kid);
    this.#kid = kid;
    this.#counter = firstCounter;
  }

  /** Goes on under the key of the next epoch; counters go on too. */
  rekey(baseKey: Uint8Array, kid: bigint): void {
    this.#key = new TrackKey(this.#suite, extract(baseKey), kid);
    this.#kid = kid;
  }

  /** `metadata` is authenticated but not sent: the track's name. */
  seal(metadata: Uint8Array, plain: Uint8Array): Bytes {
    const counter = this.#counter++;
    const header = encodeHeader(this.#kid, counter);
    const frame = new Uint8Array(header.length + plain.length + TAG_BYTES[this.#suite]);
    const data = frame.subarray(header.length, header.length + plain.length);
    frame.set(header);
    data.set(plain);
    const tag = frame.subarray(header.length + plain.length);
    this.#key.cipher.seal(this.#key.nonce(counter), concat(header, metadata), data, tag);
    return frame;
  }
}

/** Opens frames of one media key and suite; throws when a frame was not sealed with them. */
export class Opener {
  readonly #suite: Suite;
  readonly #secret: Bytes;
  readonly #keys = new Map<bigint, TrackKey>();

  constructor(suite: Suite, baseKey: Uint8Array) {
    this.#suite = suite;
    this.#secret = extract(baseKey);
  }

  open(metadata: Uint8Array, frame: Uint8Array): Bytes {
    const { kid, counter, length } = decodeHeader(frame);
    const end = frame.length - TAG_BYTES[this.#suite];
    if (end < length) throw new Error("truncated SFrame");
    const key = this.#keys.get(kid) ?? new TrackKey(this.#suite, this.#secret, kid);
    const plain = frame.slice(length, end);
    const aad = concat(frame.subarray(0, length), metadata);
    if (!key.cipher.open(key.nonce(counter), aad, plain, frame.subarray(end))) throw new Error("altered frame");
    // Only a KID that proved itself is remembered: made-up ones must not push out real ones.
    if (this.#keys.size < KEYS_MAX) this.#keys.set(kid, key);
    return plain;
  }
}

/** The frame is of an epoch to come: it may be tried again after the next key. */
export class AheadError extends Error {}

interface Held {
  epoch: number;
  openers: Record<TrackKind, Opener>;
  /** When it stops opening; absent while it is the newest. */
  until?: number;
}

/** Media keys of one session over time: the newest, and those before for frames that were under way. */
export class Ring {
  readonly #audio: Suite;
  #held: Held[] = [];

  constructor(audio: Suite) {
    this.#audio = audio;
  }

  /** The newest epoch held; 0 before the first. */
  get epoch(): number {
    return this.#held.at(-1)?.epoch ?? 0;
  }

  /** `now` in milliseconds of any clock that does not go back. */
  add(epoch: number, baseKey: Uint8Array, now: number): void {
    if (epoch <= this.epoch) return;
    const last = this.#held.at(-1);
    if (last) last.until = now + GRACE_MS;
    this.retire(now);
    this.#held.push({ epoch, openers: { video: new Opener(GCM, baseKey), audio: new Opener(this.#audio, baseKey) } });
    this.#held = this.#held.slice(-EPOCHS_MAX);
  }

  /** Forgets the keys whose time is over. */
  retire(now: number): void {
    this.#held = this.#held.filter(({ until }) => until === undefined || now < until);
  }

  open(track: TrackKind, frame: Uint8Array, now: number): Bytes {
    const { kid } = decodeHeader(frame);
    const epoch = epochOf(kid);
    if (epoch > BigInt(this.epoch)) throw new AheadError(`frame of epoch ${epoch}`);
    this.retire(now);
    const held = this.#held.find((held) => BigInt(held.epoch) === epoch);
    if (!held) throw new Error(`epoch ${epoch} is over`);
    return held.openers[track].open(new TextEncoder().encode(track), frame);
  }
}
