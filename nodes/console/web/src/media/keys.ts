// The page's SM2 key pair (GB/T 32918). It is made when the page loads and lives in memory only: a media key
// wrapped to it can be opened by this page and by nobody who finds the browser later.

import { sm2 } from "sm-crypto-v2";
import { type Bytes, fromHex } from "./bytes";

const MEDIA_KEY_BYTES = 32;
/** C1‖C3‖C2, the order of GB/T 32918.4. */
const C1C3C2 = 1;

export class PageKey {
  #secret: string;
  /** Uncompressed point, 65 bytes, lower-case hex: what the API calls `media_key`. */
  readonly publicKey: string;

  constructor() {
    const pair = sm2.generateKeyPairHex();
    this.#secret = pair.privateKey;
    this.publicKey = pair.publicKey.toLowerCase();
  }

  /** The session's media key out of its wrapping; throws when it was wrapped to another key. */
  unwrap(wrapped: string): Bytes {
    // The library wants C1 without the leading 04 that marks an uncompressed point.
    const body = wrapped.toLowerCase().replace(/^04/, "");
    const key = new Uint8Array(sm2.doDecrypt(body, this.#secret, C1C3C2, { output: "array" }));
    if (key.length !== MEDIA_KEY_BYTES) throw new Error("the media key was wrapped to another page");
    return key;
  }
}

/** Wraps like the core does; used by tests and the development mock. */
export function wrapFor(publicKey: string, key: string): string {
  return `04${sm2.doEncrypt(fromHex(key), publicKey, C1C3C2)}`;
}
