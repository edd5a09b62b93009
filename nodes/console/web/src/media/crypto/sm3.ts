// SM3 (GB/T 32905), HMAC-SM3 and HKDF-SM3 (RFC 5869 with SM3).

import { type Bytes, concat } from "../bytes";

export const DIGEST_BYTES = 32;
const BLOCK_BYTES = 64;
const IV = Int32Array.of(0x7380166f, 0x4914b2b9, 0x172442d7, 0xda8a0600, 0xa96f30bc, 0x163138aa, 0xe38dee4d, 0xb0fb0e4e);

/** The round constants, already rotated. */
const T = Int32Array.from({ length: 64 }, (_, round) => rotate(round < 16 ? 0x79cc4519 : 0x7a879d8a, round % 32));
const W = new Int32Array(68);

function rotate(x: number, bits: number): number {
  return (x << bits) | (x >>> (32 - bits));
}

function compress(v: Int32Array, data: Uint8Array, at: number): void {
  for (let i = 0; i < 16; i++, at += 4) {
    W[i] = (data[at]! << 24) | (data[at + 1]! << 16) | (data[at + 2]! << 8) | data[at + 3]!;
  }
  for (let i = 16; i < 68; i++) {
    const w3 = W[i - 3]!, w13 = W[i - 13]!;
    const x = W[i - 16]! ^ W[i - 9]! ^ ((w3 << 15) | (w3 >>> 17));
    W[i] = x ^ ((x << 15) | (x >>> 17)) ^ ((x << 23) | (x >>> 9)) ^ ((w13 << 7) | (w13 >>> 25)) ^ W[i - 6]!;
  }
  let a = v[0]!, b = v[1]!, c = v[2]!, d = v[3]!, e = v[4]!, f = v[5]!, g = v[6]!, h = v[7]!;
  for (let i = 0; i < 64; i++) {
    const a12 = (a << 12) | (a >>> 20);
    const sum = (a12 + e + T[i]!) | 0;
    const ss1 = (sum << 7) | (sum >>> 25);
    const ff = i < 16 ? a ^ b ^ c : (a & b) | (a & c) | (b & c);
    const gg = i < 16 ? e ^ f ^ g : (e & f) | (~e & g);
    const tt1 = (ff + d + (ss1 ^ a12) + (W[i]! ^ W[i + 4]!)) | 0;
    const tt2 = (gg + h + ss1 + W[i]!) | 0;
    d = c;
    c = (b << 9) | (b >>> 23);
    b = a;
    a = tt1;
    h = g;
    g = (f << 19) | (f >>> 13);
    f = e;
    e = tt2 ^ ((tt2 << 9) | (tt2 >>> 23)) ^ ((tt2 << 17) | (tt2 >>> 15));
  }
  v[0] = v[0]! ^ a;
  v[1] = v[1]! ^ b;
  v[2] = v[2]! ^ c;
  v[3] = v[3]! ^ d;
  v[4] = v[4]! ^ e;
  v[5] = v[5]! ^ f;
  v[6] = v[6]! ^ g;
  v[7] = v[7]! ^ h;
}

/** SM3 over data in parts; started from a state, so that a keyed prefix is compressed only once. */
class Hasher {
  readonly #state: Int32Array;
  readonly #rest = new Uint8Array(BLOCK_BYTES);
  #filled = 0;
  #length: number;

  constructor(state: Int32Array, before: number) {
    this.#state = state.slice();
    this.#length = before;
  }

  update(data: Uint8Array): this {
    this.#length += data.length;
    let at = 0;
    if (this.#filled > 0) {
      at = Math.min(BLOCK_BYTES - this.#filled, data.length);
      this.#rest.set(data.subarray(0, at), this.#filled);
      this.#filled += at;
      if (this.#filled < BLOCK_BYTES) return this;
      compress(this.#state, this.#rest, 0);
      this.#filled = 0;
    }
    for (; at + BLOCK_BYTES <= data.length; at += BLOCK_BYTES) compress(this.#state, data, at);
    this.#rest.set(data.subarray(at));
    this.#filled = data.length - at;
    return this;
  }

  digest(): Bytes {
    const padded = this.#filled + 9 > BLOCK_BYTES ? 2 * BLOCK_BYTES : BLOCK_BYTES;
    const last = new Uint8Array(padded);
    last.set(this.#rest.subarray(0, this.#filled));
    last[this.#filled] = 0x80;
    const view = new DataView(last.buffer);
    view.setUint32(padded - 8, Math.floor(this.#length / 0x20000000));
    view.setUint32(padded - 4, (this.#length * 8) >>> 0);
    for (let at = 0; at < padded; at += BLOCK_BYTES) compress(this.#state, last, at);
    return this.state();
  }

  state(): Bytes {
    const out = new Uint8Array(DIGEST_BYTES);
    const view = new DataView(out.buffer);
    this.#state.forEach((word, i) => view.setInt32(i * 4, word));
    return out;
  }
}

export function sm3(data: Uint8Array): Bytes {
  return new Hasher(IV, 0).update(data).digest();
}

/** An HMAC-SM3 key with both paddings already compressed. */
export class HmacKey {
  readonly #inner: Int32Array;
  readonly #outer: Int32Array;

  constructor(key: Uint8Array) {
    const block = new Uint8Array(BLOCK_BYTES);
    block.set(key.length > BLOCK_BYTES ? sm3(key) : key);
    const started = (pad: number) => {
      const state = IV.slice();
      compress(state, block.map((byte) => byte ^ pad), 0);
      return state;
    };
    this.#inner = started(0x36);
    this.#outer = started(0x5c);
  }

  tag(...parts: Uint8Array[]): Bytes {
    const inner = new Hasher(this.#inner, BLOCK_BYTES);
    for (const part of parts) inner.update(part);
    return new Hasher(this.#outer, BLOCK_BYTES).update(inner.digest()).digest();
  }
}

/** HKDF-Extract (RFC 5869, 2.2) with an empty salt. */
export function extract(input: Uint8Array): Bytes {
  return new HmacKey(new Uint8Array(0)).tag(input);
}

/** HKDF-Expand (RFC 5869, 2.3). */
export function expand(secret: Uint8Array, info: Uint8Array, length: number): Bytes {
  const key = new HmacKey(secret);
  let out: Bytes = new Uint8Array(0);
  let block: Bytes = new Uint8Array(0);
  for (let number = 1; out.length < length; number++) {
    block = key.tag(block, info, Uint8Array.of(number));
    out = concat(out, block);
  }
  return out.slice(0, length);
}
