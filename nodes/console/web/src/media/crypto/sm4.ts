// SM4 (GB/T 32907), eight blocks at a time and bitsliced: no table is looked up and no branch taken by a secret, so
// neither cache nor clock tells anything about a key.
//
// Bit `p` of every byte of a word stands in plane `p` of that word: byte `b` of block `k` in bit `8 b + k`. A word of
// eight blocks is eight planes, and the S-box a circuit over planes: 125 gates for 32 substitutions. Its middle is
// the inversion of Boyar and Peralta's AES circuit ("A small depth-16 circuit for the AES S-box", 2012); the linear
// layers around it, which carry SM4's field and affine maps, were found by search and checked on all 256 values.

/** Bytes that one pass enciphers. */
export const PASS_BYTES = 128;
const ROUNDS = 32;
const FK = [0xa3b1bac6, 0x56aa3350, 0x677d9197, 0xb27022dc];
/** The circuit is that of `S(x ^ SBOX_SHIFT)`; the shift is part of the round keys. */
const SBOX_SHIFT = 0x75757575;

/** Expanded key: the planes of 32 round keys, each bit repeated for the eight blocks. */
export class Sm4 {
  readonly #roundKeys = new Int32Array(ROUNDS * 8);
  /** Four words of eight planes. */
  readonly #state = new Int32Array(32);

  constructor(key: Uint8Array) {
    if (key.length !== 16) throw new Error("an SM4 key has 16 bytes");
    const view = new DataView(key.buffer, key.byteOffset);
    const word = FK.map((constant, at) => view.getInt32(at * 4) ^ constant);
    const planes = new Int32Array(8);
    for (let round = 0; round < ROUNDS; round++) {
      const [a = 0, b = 0, c = 0, d = 0] = word;
      const s = substitute(b ^ c ^ d ^ keyConstant(round), planes);
      const key = a ^ s ^ rotate(s, 13) ^ rotate(s, 23);
      word.splice(0, 4, b, c, d, key);
      spread(key ^ SBOX_SHIFT, this.#roundKeys, round * 8);
    }
  }

  /** Enciphers eight blocks in place: `blocks` has 32 words, most significant byte first as GB/T 32907 has them. */
  encipher(blocks: Int32Array): void {
    const state = this.#state;
    for (let word = 0; word < 4; word++) transpose(blocks, word, 4, state, word * 8, 1);
    rounds(state, this.#roundKeys);
    // The last four words leave in reverse order.
    for (let word = 0; word < 4; word++) transpose(state, (3 - word) * 8, 1, blocks, word, 4);
  }
}

/** CK of GB/T 32907, 7.3.2: byte `j` of constant `i` is `(4 i + j) 7`. */
function keyConstant(round: number): number {
  let constant = 0;
  for (let byte = 0; byte < 4; byte++) constant = (constant << 8) | (((4 * round + byte) * 7) & 0xff);
  return constant;
}

function rotate(word: number, bits: number): number {
  return (word << bits) | (word >>> (32 - bits));
}

/** Writes a word's planes, each bit eight times: the same word in all blocks. */
function spread(word: number, planes: Int32Array, at: number): void {
  for (let bit = 0; bit < 8; bit++) planes[at + bit] = Math.imul((word >>> bit) & 0x01010101, 0xff);
}

/** The S-box on the four bytes of one word; only for key expansion. */
function substitute(word: number, planes: Int32Array): number {
  spread(word ^ SBOX_SHIFT, planes, 0);
  sbox(planes);
  let out = 0;
  for (let bit = 0; bit < 8; bit++) out |= ((planes[bit] ?? 0) & 0x01010101) << bit;
  return out;
}

/** Eight words to eight planes, or back: in every byte position an 8 × 8 matrix of bits is transposed. */
function transpose(from: Int32Array, at: number, step: number, to: Int32Array, toAt: number, toStep: number): void {
  let a = from[at]!, b = from[at + step]!, c = from[at + 2 * step]!, d = from[at + 3 * step]!;
  let e = from[at + 4 * step]!, f = from[at + 5 * step]!, g = from[at + 6 * step]!, h = from[at + 7 * step]!;
  let t = ((a >>> 1) ^ b) & 0x55555555; b ^= t; a ^= t << 1;
  t = ((c >>> 1) ^ d) & 0x55555555; d ^= t; c ^= t << 1;
  t = ((e >>> 1) ^ f) & 0x55555555; f ^= t; e ^= t << 1;
  t = ((g >>> 1) ^ h) & 0x55555555; h ^= t; g ^= t << 1;
  t = ((a >>> 2) ^ c) & 0x33333333; c ^= t; a ^= t << 2;
  t = ((b >>> 2) ^ d) & 0x33333333; d ^= t; b ^= t << 2;
  t = ((e >>> 2) ^ g) & 0x33333333; g ^= t; e ^= t << 2;
  t = ((f >>> 2) ^ h) & 0x33333333; h ^= t; f ^= t << 2;
  t = ((a >>> 4) ^ e) & 0x0f0f0f0f; e ^= t; a ^= t << 4;
  t = ((b >>> 4) ^ f) & 0x0f0f0f0f; f ^= t; b ^= t << 4;
  t = ((c >>> 4) ^ g) & 0x0f0f0f0f; g ^= t; c ^= t << 4;
  t = ((d >>> 4) ^ h) & 0x0f0f0f0f; h ^= t; d ^= t << 4;
  to[toAt] = a; to[toAt + toStep] = b; to[toAt + 2 * toStep] = c; to[toAt + 3 * toStep] = d;
  to[toAt + 4 * toStep] = e; to[toAt + 5 * toStep] = f; to[toAt + 6 * toStep] = g; to[toAt + 7 * toStep] = h;
}

/** All rounds over the planes of four words. */
function rounds(s: Int32Array, keys: Int32Array): void {
  const x = new Int32Array(8);
  for (let round = 0; round < ROUNDS; round++) {
    const o = (round & 3) * 8, a = ((round + 1) & 3) * 8, b = ((round + 2) & 3) * 8, c = ((round + 3) & 3) * 8;
    const k = round * 8;
    for (let p = 0; p < 8; p++) x[p] = s[a + p]! ^ s[b + p]! ^ s[c + p]! ^ keys[k + p]!;
    sbox(x);
    linear(x, s, o);
  }
}

/** `to ^= L(x)`, L(B) = B ^ (B <<< 2) ^ (B <<< 10) ^ (B <<< 18) ^ (B <<< 24) on planes: 8 bits are one byte on. */
function linear(x: Int32Array, to: Int32Array, at: number): void {
  const x0 = x[0]!, x1 = x[1]!, x2 = x[2]!, x3 = x[3]!, x4 = x[4]!, x5 = x[5]!, x6 = x[6]!, x7 = x[7]!;
  const r0 = (x6 << 8) | (x6 >>> 24), r1 = (x7 << 8) | (x7 >>> 24);
  to[at] = to[at]! ^ x0 ^ ((x0 << 24) | (x0 >>> 8)) ^ r0 ^ ((r0 << 8) | (r0 >>> 24)) ^ ((r0 << 16) | (r0 >>> 16));
  to[at + 1] = to[at + 1]! ^ x1 ^ ((x1 << 24) | (x1 >>> 8)) ^ r1 ^ ((r1 << 8) | (r1 >>> 24)) ^ ((r1 << 16) | (r1 >>> 16));
  to[at + 2] = to[at + 2]! ^ x2 ^ ((x2 << 24) | (x2 >>> 8)) ^ x0 ^ ((x0 << 8) | (x0 >>> 24)) ^ ((x0 << 16) | (x0 >>> 16));
  to[at + 3] = to[at + 3]! ^ x3 ^ ((x3 << 24) | (x3 >>> 8)) ^ x1 ^ ((x1 << 8) | (x1 >>> 24)) ^ ((x1 << 16) | (x1 >>> 16));
  to[at + 4] = to[at + 4]! ^ x4 ^ ((x4 << 24) | (x4 >>> 8)) ^ x2 ^ ((x2 << 8) | (x2 >>> 24)) ^ ((x2 << 16) | (x2 >>> 16));
  to[at + 5] = to[at + 5]! ^ x5 ^ ((x5 << 24) | (x5 >>> 8)) ^ x3 ^ ((x3 << 8) | (x3 >>> 24)) ^ ((x3 << 16) | (x3 >>> 16));
  to[at + 6] = to[at + 6]! ^ x6 ^ ((x6 << 24) | (x6 >>> 8)) ^ x4 ^ ((x4 << 8) | (x4 >>> 24)) ^ ((x4 << 16) | (x4 >>> 16));
  to[at + 7] = to[at + 7]! ^ x7 ^ ((x7 << 24) | (x7 >>> 8)) ^ x5 ^ ((x5 << 8) | (x5 >>> 24)) ^ ((x5 << 16) | (x5 >>> 16));
}

/** `S(x ^ SBOX_SHIFT)` on eight planes in place: linear layer, inversion, linear layer. */
function sbox(x: Int32Array): void {
  const x0 = x[0]!, x1 = x[1]!, x2 = x[2]!, x3 = x[3]!, x4 = x[4]!, x5 = x[5]!, x6 = x[6]!, x7 = x[7]!;
  const a1 = x2 ^ x4; const a2 = x0 ^ x3; const a3 = a2 ^ x1; const a4 = a1 ^ x5; const a5 = x6 ^ x7;
  const a6 = a3 ^ x5; const a7 = x2 ^ x6; const a8 = a1 ^ x7; const a9 = a3 ^ x7; const a10 = a4 ^ a5;
  const a11 = a5 ^ x4; const a12 = x1 ^ x7; const a13 = a1 ^ a2; const a14 = a1 ^ a3; const a15 = a10 ^ x1;
  const a16 = a11 ^ a6; const a17 = a11 ^ x0; const a18 = a12 ^ a4; const a19 = a12 ^ x3; const a20 = a13 ^ a5;
  const a21 = a17 ^ x1; const a22 = a2 ^ a4; const a23 = a3 ^ a4; const a24 = a4 ^ x3; const a25 = a6 ^ a7;
  const a26 = a7 ^ x1; const a27 = a8 ^ x0; const a28 = a9 ^ x4; const a29 = x2 ^ x7; const a30 = x3 ^ x5;
  const a31 = a30 ^ x7;
  const m1 = a18 & a15; const m2 = a24 & a6; const m3 = a29 ^ m1; const m4 = a19 & a20; const m5 = m4 ^ m1;
  const m6 = a22 & x1; const m7 = a31 & a7; const m8 = a23 ^ m6; const m9 = a27 & a26; const m10 = m9 ^ m6;
  const m11 = a14 & a28; const m12 = a9 & a10; const m13 = m12 ^ m11; const m14 = a8 & a25;
  const m15 = m14 ^ m11; const m16 = m3 ^ m2; const m17 = m5 ^ a16; const m18 = m8 ^ m7; const m19 = m10 ^ m15;
  const m20 = m16 ^ m13; const m21 = m17 ^ m15; const m22 = m18 ^ m13; const m23 = m19 ^ a21;
  const m24 = m22 ^ m23; const m25 = m22 & m20; const m26 = m21 ^ m25; const m27 = m20 ^ m21;
  const m28 = m23 ^ m25; const m29 = m28 & m27; const m30 = m26 & m24; const m31 = m20 & m23;
  const m32 = m27 & m31; const m33 = m27 ^ m25; const m34 = m21 & m22; const m35 = m24 & m34;
  const m36 = m24 ^ m25; const m37 = m21 ^ m29; const m38 = m32 ^ m33; const m39 = m23 ^ m30;
  const m40 = m35 ^ m36; const m41 = m38 ^ m40; const m42 = m37 ^ m39; const m43 = m37 ^ m38;
  const m44 = m39 ^ m40; const m45 = m42 ^ m41; const m46 = m44 & a15; const m47 = m40 & a6;
  const m48 = m39 & a20; const m49 = m43 & x1; const m50 = m38 & a7; const m51 = m37 & a26;
  const m52 = m42 & a28; const m53 = m45 & a10; const m54 = m41 & a25; const m55 = m44 & a18;
  const m56 = m40 & a24; const m57 = m39 & a19; const m58 = m43 & a22; const m59 = m38 & a31;
  const m60 = m37 & a27; const m61 = m42 & a14; const m62 = m45 & a9; const m63 = m41 & a8;
  const b1 = m46 ^ m52; const b2 = m47 ^ m55; const b3 = m50 ^ m51; const b4 = m56 ^ b2; const b5 = m59 ^ m61;
  const b6 = m54 ^ b1; const b7 = m60 ^ m63; const b8 = m62 ^ b3; const b9 = b4 ^ b7; const b10 = m48 ^ b5;
  const b11 = m53 ^ b1; const b12 = b11 ^ b9; const b13 = b6 ^ b8; const b14 = m47 ^ m58; const b15 = m48 ^ b6;
  const b16 = m49 ^ m50; const b17 = m52 ^ m53; const b18 = m57 ^ m60; const b19 = m58 ^ m62;
  const b20 = m61 ^ b13; const b21 = b10 ^ b18; const b22 = b10 ^ b3; const b23 = b12 ^ b19;
  const b24 = b12 ^ b5; const b25 = b13 ^ b14; const b26 = b16 ^ b17; const b27 = b2 ^ b21; const b28 = b20 ^ b4;
  const b29 = b22 ^ b9; const b30 = b25 ^ b5; const b31 = b27 ^ b8;
  const y0 = ~b23; const y1 = ~b29; const y2 = b30; const y3 = b15; const y4 = ~b24; const y5 = b28;
  const y6 = ~b31; const y7 = ~b26;
  x[0] = y0; x[1] = y1; x[2] = y2; x[3] = y3; x[4] = y4; x[5] = y5; x[6] = y6; x[7] = y7;
}
