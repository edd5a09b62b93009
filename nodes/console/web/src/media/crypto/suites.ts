// The two SFrame suites: what seals and opens the bytes of a frame once key, nonce and associated data are known.

import { type Bytes, bigEndian } from "../bytes";
import { Ghash } from "./ghash";
import { HmacKey } from "./sm3";
import { PASS_BYTES, Sm4 } from "./sm4";

/** `0xF001` SM4_GCM_SM3_128, `0xF002` SM4_CTR_HMAC_SM3_80; see docs/reference/media.md. */
export type Suite = 0xf001 | 0xf002;
export const GCM: Suite = 0xf001;
export const CTR_HMAC: Suite = 0xf002;

/** Bytes of a suite's key, Nk. */
export const KEY_BYTES: Record<Suite, number> = { [GCM]: 16, [CTR_HMAC]: 48 };
/** Bytes of a suite's tag, Nt. */
export const TAG_BYTES: Record<Suite, number> = { [GCM]: 16, [CTR_HMAC]: 10 };

export interface Cipher {
  /** Enciphers `data` in place and writes the tag to `tag`. */
  seal(nonce: Uint8Array, aad: Uint8Array, data: Uint8Array, tag: Uint8Array): void;
  /** Checks the tag and only then deciphers in place; says whether it fitted. */
  open(nonce: Uint8Array, aad: Uint8Array, data: Uint8Array, tag: Uint8Array): boolean;
}

export function cipher(suite: Suite, key: Uint8Array): Cipher {
  return suite === GCM ? new Gcm(key) : new CtrHmac(key);
}

/** Key stream: SM4 of counter blocks, eight at a time. */
class Stream {
  readonly #sm4: Sm4;
  readonly #blocks = new Int32Array(PASS_BYTES / 4);
  readonly #pad = new Uint8Array(PASS_BYTES);
  readonly #view = new DataView(this.#pad.buffer);

  constructor(key: Uint8Array) {
    this.#sm4 = new Sm4(key);
  }

  /** The first block that SM4 makes of zeros: GCM's hash key. */
  zero(): Int32Array {
    this.#blocks.fill(0);
    this.#sm4.encipher(this.#blocks);
    return this.#blocks.slice(0, 4);
  }

  /** XORs `data` with the stream from the block `nonce ‖ first` on; `before` gets the blocks left out in front. */
  xor(nonce: Uint8Array, first: number, data: Uint8Array, before?: Uint8Array): void {
    const skipped = before?.length ?? 0;
    for (let at = -skipped; at < data.length; at += PASS_BYTES) {
      this.#pass(nonce, first + (at + skipped) / 16);
      const from = at < 0 ? skipped : 0;
      if (at < 0) before?.set(this.#pad.subarray(0, skipped));
      const start = Math.max(at, 0);
      const end = Math.min(at + PASS_BYTES, data.length);
      for (let i = start, p = from; i < end; i++, p++) data[i] = data[i]! ^ this.#pad[p]!;
    }
  }

  #pass(nonce: Uint8Array, counter: number): void {
    const blocks = this.#blocks;
    const n0 = word(nonce, 0), n1 = word(nonce, 4), n2 = word(nonce, 8);
    for (let block = 0; block < 32; block += 4) {
      blocks[block] = n0;
      blocks[block + 1] = n1;
      blocks[block + 2] = n2;
      blocks[block + 3] = counter + block / 4;
    }
    this.#sm4.encipher(blocks);
    for (let i = 0; i < blocks.length; i++) this.#view.setInt32(i * 4, blocks[i]!);
  }
}

function word(data: Uint8Array, at: number): number {
  return (data[at]! << 24) | (data[at + 1]! << 16) | (data[at + 2]! << 8) | data[at + 3]!;
}

/** Compares in the same time wherever the difference stands. */
function same(one: Uint8Array, other: Uint8Array): boolean {
  let difference = one.length ^ other.length;
  for (let i = 0; i < one.length; i++) difference |= one[i]! ^ (other[i] ?? 0);
  return difference === 0;
}

/** SM4-GCM (RFC 8998). */
class Gcm implements Cipher {
  readonly #stream: Stream;
  readonly #ghash: Ghash;
  readonly #mask = new Uint8Array(16);
  readonly #sum = new Int32Array(4);
  readonly #own = new Uint8Array(16);

  constructor(key: Uint8Array) {
    this.#stream = new Stream(key);
    this.#ghash = new Ghash(this.#stream.zero());
  }

  seal(nonce: Uint8Array, aad: Uint8Array, data: Uint8Array, tag: Uint8Array): void {
    this.#stream.xor(nonce, 1, data, this.#mask);
    this.#tag(aad, data, tag);
  }

  open(nonce: Uint8Array, aad: Uint8Array, data: Uint8Array, tag: Uint8Array): boolean {
    // The mask of the tag and the stream come out of the same pass; nothing is handed out before the check.
    const plain = data.slice();
    this.#stream.xor(nonce, 1, plain, this.#mask);
    this.#tag(aad, data, this.#own);
    if (!same(this.#own, tag)) return false;
    data.set(plain);
    return true;
  }

  #tag(aad: Uint8Array, data: Uint8Array, tag: Uint8Array): void {
    const ghash = this.#ghash;
    ghash.reset();
    ghash.update(aad);
    ghash.update(data);
    // Lengths in bits; a frame is far shorter than 2^29 bytes.
    ghash.block(0, aad.length * 8, 0, data.length * 8);
    ghash.digest(this.#sum);
    for (let i = 0; i < 16; i++) tag[i] = this.#mask[i]! ^ ((this.#sum[i >> 2]! >>> (24 - 8 * (i & 3))) & 0xff);
  }
}

/** RFC 9605, 4.5.1 with SM4 and SM3. */
class CtrHmac implements Cipher {
  readonly #stream: Stream;
  readonly #auth: HmacKey;

  constructor(key: Uint8Array) {
    this.#stream = new Stream(key.subarray(0, 16));
    this.#auth = new HmacKey(key.subarray(16));
  }

  seal(nonce: Uint8Array, aad: Uint8Array, data: Uint8Array, tag: Uint8Array): void {
    this.#stream.xor(nonce, 0, data);
    tag.set(this.#tag(nonce, aad, data));
  }

  open(nonce: Uint8Array, aad: Uint8Array, data: Uint8Array, tag: Uint8Array): boolean {
    if (!same(this.#tag(nonce, aad, data), tag)) return false;
    this.#stream.xor(nonce, 0, data);
    return true;
  }

  #tag(nonce: Uint8Array, aad: Uint8Array, data: Uint8Array): Bytes {
    const length = (bytes: number) => bigEndian(BigInt(bytes), 8);
    const lengths = [aad.length, data.length, TAG_BYTES[CTR_HMAC]].map(length);
    return this.#auth.tag(...lengths, nonce, aad, data).slice(0, TAG_BYTES[CTR_HMAC]);
  }
}
