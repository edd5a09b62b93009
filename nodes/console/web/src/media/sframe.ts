// SFrame (RFC 9605) with the private suite 0xF001, SM4_GCM_SM3_128: what the relays forward is what they
// cannot read. The format is fixed by docs/reference/media.md; the vectors are shared with the crypto crate.

import { hkdf, sm4 } from "sm-crypto-v2";
import { type Bytes, bigEndian, concat } from "./bytes";

const SUITE = 0xf001n;
const KEY_BYTES = 16;
const NONCE_BYTES = 12;
const TAG_BYTES = 16;
/** Keys an opener remembers: two parties with two tracks each, and room for as many again. */
const KEYS_MAX = 8;

export type Party = "customer" | "agent";

/** A party's number, as the catalog names it. */
export const PARTY_NUMBER: Record<Party, number> = { customer: 1, agent: 2 };

/** Which track of which party a frame belongs to. */
export function kidOf(party: Party, track: "video" | "audio"): bigint {
  return BigInt(PARTY_NUMBER[party] * 2 + (track === "video" ? 0 : 1));
}

/** First counter of a broadcast instance: 32 random bits above 32 bits of frames, so no nonce comes twice. */
export function firstCounter(): bigint {
  const instance = crypto.getRandomValues(new Uint32Array(1))[0] ?? 0;
  return BigInt(instance) << 32n;
}

interface FrameKey {
  key: Bytes;
  salt: Bytes;
}

function deriveKey(baseKey: Uint8Array, kid: bigint): FrameKey {
  const context = concat(bigEndian(kid, 8), bigEndian(SUITE, 2));
  const derive = (label: string, length: number) =>
    new Uint8Array(hkdf(baseKey, new Uint8Array(0), concat(new TextEncoder().encode(label), context), length));
  return {
    key: derive("SFrame 1.0 Secret key ", KEY_BYTES),
    salt: derive("SFrame 1.0 Secret salt ", NONCE_BYTES),
  };
}

function nonceOf(salt: Uint8Array, counter: bigint): Bytes {
  const nonce = bigEndian(counter, NONCE_BYTES);
  for (let i = 0; i < NONCE_BYTES; i++) nonce[i] = (nonce[i] ?? 0) ^ (salt[i] ?? 0);
  return nonce;
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
  #key: FrameKey;
  #kid: bigint;
  #counter: bigint;

  constructor(baseKey: Uint8Array, kid: bigint, firstCounter: bigint) {
    this.#key = deriveKey(baseKey, kid);
    this.#kid = kid;
    this.#counter = firstCounter;
  }

  /** `metadata` is authenticated but not sent: the track's name. */
  seal(metadata: Uint8Array, plain: Uint8Array): Bytes {
    const counter = this.#counter++;
    const header = encodeHeader(this.#kid, counter);
    const sealed = sm4.encrypt(plain, this.#key.key, {
      mode: "gcm",
      iv: nonceOf(this.#key.salt, counter),
      associatedData: concat(header, metadata),
      output: "array",
      outputTag: true,
    });
    if (!sealed.tag) throw new Error("no tag");
    return concat(header, sealed.output, sealed.tag);
  }
}

/** Opens sealed frames of any party and track; throws when a frame was not sealed with this key. */
export class Opener {
  #baseKey: Uint8Array;
  #keys = new Map<bigint, FrameKey>();

  constructor(baseKey: Uint8Array) {
    this.#baseKey = baseKey;
  }

  open(metadata: Uint8Array, frame: Uint8Array): Uint8Array {
    const { kid, counter, length } = decodeHeader(frame);
    if (frame.length < length + TAG_BYTES) throw new Error("truncated SFrame");
    const key = this.#keys.get(kid) ?? deriveKey(this.#baseKey, kid);
    const plain = sm4.decrypt(frame.subarray(length, frame.length - TAG_BYTES), key.key, {
      mode: "gcm",
      iv: nonceOf(key.salt, counter),
      associatedData: concat(frame.subarray(0, length), metadata),
      tag: frame.subarray(frame.length - TAG_BYTES),
      output: "array",
    });
    // Only a KID that proved itself is remembered: made-up ones must not push out real ones.
    if (this.#keys.size < KEYS_MAX) this.#keys.set(kid, key);
    return plain;
  }
}
