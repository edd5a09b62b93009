// GHASH (NIST SP 800-38D, 6.4) without tables: carry-less products out of ordinary multiplications of numbers whose
// bits stand four apart, so that carries fall into the holes (Pornin, BearSSL, "ghash_ctmul32"). Constant time, as
// far as the machine multiplies in constant time, which every present one does.

/** Least significant bit of every nibble. */
const NIBBLE = 0x11111111;

/** Products of 32 by 32 bits that a product of 128 by 128 needs after Karatsuba, low halves and high halves. */
const PRODUCTS = 18;

export class Ghash {
  /** Of each factor that comes from the hash key: its bits in four groups. */
  readonly #key = new Int32Array(PRODUCTS * 4);
  readonly #a = new Int32Array(PRODUCTS);
  readonly #c = new Int32Array(PRODUCTS);
  readonly #z = new Int32Array(8);
  /** Least significant word first. */
  readonly #y = new Int32Array(4);

  /** `h` is the hash key, four words most significant first. */
  constructor(h: Int32Array) {
    const factors = new Int32Array(PRODUCTS);
    spread(h[3]!, h[2]!, h[1]!, h[0]!, factors);
    for (let i = 0; i < PRODUCTS; i++) {
      for (let group = 0; group < 4; group++) this.#key[i * 4 + group] = factors[i]! & (NIBBLE << group);
    }
  }

  reset(): void {
    this.#y.fill(0);
  }

  /** Takes data and fills it up to whole blocks with zeros. */
  update(data: Uint8Array): void {
    const whole = data.length & ~15;
    for (let at = 0; at < whole; at += 16) {
      this.block(word(data, at), word(data, at + 4), word(data, at + 8), word(data, at + 12));
    }
    if (whole === data.length) return;
    const last = new Uint8Array(16);
    last.set(data.subarray(whole));
    this.block(word(last, 0), word(last, 4), word(last, 8), word(last, 12));
  }

  /** Takes one block, four words most significant first. */
  block(x0: number, x1: number, x2: number, x3: number): void {
    const y = this.#y, a = this.#a, c = this.#c, z = this.#z, key = this.#key;
    spread(y[0]! ^ x3, y[1]! ^ x2, y[2]! ^ x1, y[3]! ^ x0, a);
    for (let i = 0; i < PRODUCTS; i++) c[i] = multiply(a[i]!, key, i * 4);
    // High halves were computed on reversed factors: 32 × 32 bits give 63, the product's top bit is free.
    for (let i = 9; i < PRODUCTS; i++) c[i] = reverse(c[i]!) >>> 1;
    for (let half = 0; half < PRODUCTS; half += 9) {
      c[half + 4] = c[half + 4]! ^ c[half]! ^ c[half + 1]!;
      c[half + 5] = c[half + 5]! ^ c[half + 2]! ^ c[half + 3]!;
      c[half + 8] = c[half + 8]! ^ c[half + 6]! ^ c[half + 7]!;
    }
    // Three products of 64 × 64 bits: low words, high words, and the sum of both.
    const l0 = c[0]!, l1 = c[9]! ^ c[4]!, l2 = c[13]! ^ c[1]!, l3 = c[10]!;
    const h0 = c[2]!, h1 = c[11]! ^ c[5]!, h2 = c[14]! ^ c[3]!, h3 = c[12]!;
    const m0 = c[6]! ^ l0 ^ h0, m1 = c[15]! ^ c[8]! ^ l1 ^ h1;
    const m2 = c[17]! ^ c[7]! ^ l2 ^ h2, m3 = c[16]! ^ l3 ^ h3;
    z[0] = l0;
    z[1] = l1;
    z[2] = l2 ^ m0;
    z[3] = l3 ^ m1;
    z[4] = h0 ^ m2;
    z[5] = h1 ^ m3;
    z[6] = h2;
    z[7] = h3;
    // GHASH counts bits from the other end: the product of 255 bits moves up by one.
    for (let i = 7; i > 0; i--) z[i] = (z[i]! << 1) | (z[i - 1]! >>> 31);
    z[0] = z[0]! << 1;
    for (let i = 0; i < 4; i++) {
      const low = z[i]!;
      z[i + 4] = z[i + 4]! ^ low ^ (low >>> 1) ^ (low >>> 2) ^ (low >>> 7);
      z[i + 3] = z[i + 3]! ^ (low << 31) ^ (low << 30) ^ (low << 25);
    }
    y[0] = z[4]!;
    y[1] = z[5]!;
    y[2] = z[6]!;
    y[3] = z[7]!;
  }

  /** The hash so far, four words most significant first. */
  digest(out: Int32Array): void {
    for (let i = 0; i < 4; i++) out[i] = this.#y[3 - i]!;
  }
}

function word(data: Uint8Array, at: number): number {
  return (data[at]! << 24) | (data[at + 1]! << 16) | (data[at + 2]! << 8) | data[at + 3]!;
}

/** The nine sums that Karatsuba multiplies, then the same of the reversed words. */
function spread(w0: number, w1: number, w2: number, w3: number, out: Int32Array): void {
  sums(w0, w1, w2, w3, out, 0);
  sums(reverse(w0), reverse(w1), reverse(w2), reverse(w3), out, 9);
}

function sums(w0: number, w1: number, w2: number, w3: number, out: Int32Array, at: number): void {
  out[at] = w0;
  out[at + 1] = w1;
  out[at + 2] = w2;
  out[at + 3] = w3;
  out[at + 4] = w0 ^ w1;
  out[at + 5] = w2 ^ w3;
  out[at + 6] = w0 ^ w2;
  out[at + 7] = w1 ^ w3;
  out[at + 8] = w0 ^ w1 ^ w2 ^ w3;
}

/** The low 32 bits of a carry-less product. */
function multiply(x: number, key: Int32Array, at: number): number {
  const x0 = x & NIBBLE, x1 = x & (NIBBLE << 1), x2 = x & (NIBBLE << 2), x3 = x & (NIBBLE << 3);
  const y0 = key[at]!, y1 = key[at + 1]!, y2 = key[at + 2]!, y3 = key[at + 3]!;
  const z0 = Math.imul(x0, y0) ^ Math.imul(x1, y3) ^ Math.imul(x2, y2) ^ Math.imul(x3, y1);
  const z1 = Math.imul(x0, y1) ^ Math.imul(x1, y0) ^ Math.imul(x2, y3) ^ Math.imul(x3, y2);
  const z2 = Math.imul(x0, y2) ^ Math.imul(x1, y1) ^ Math.imul(x2, y0) ^ Math.imul(x3, y3);
  const z3 = Math.imul(x0, y3) ^ Math.imul(x1, y2) ^ Math.imul(x2, y1) ^ Math.imul(x3, y0);
  return (z0 & NIBBLE) | (z1 & (NIBBLE << 1)) | (z2 & (NIBBLE << 2)) | (z3 & (NIBBLE << 3));
}

function reverse(x: number): number {
  x = ((x & 0x55555555) << 1) | ((x >>> 1) & 0x55555555);
  x = ((x & 0x33333333) << 2) | ((x >>> 2) & 0x33333333);
  x = ((x & 0x0f0f0f0f) << 4) | ((x >>> 4) & 0x0f0f0f0f);
  x = ((x & 0x00ff00ff) << 8) | ((x >>> 8) & 0x00ff00ff);
  return (x << 16) | (x >>> 16);
}
