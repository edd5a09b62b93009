// Small helpers over bytes: hexadecimal, joining, and QUIC variable-length integers (RFC 9000 §16).

export type Bytes = Uint8Array<ArrayBuffer>;

export function toHex(bytes: Uint8Array): string {
  let text = "";
  for (const byte of bytes) text += byte.toString(16).padStart(2, "0");
  return text;
}

export function fromHex(text: string): Bytes {
  if (text.length % 2 !== 0 || /[^0-9a-fA-F]/.test(text)) throw new Error("not hexadecimal");
  const bytes = new Uint8Array(text.length / 2);
  for (let i = 0; i < bytes.length; i++) bytes[i] = Number.parseInt(text.slice(i * 2, i * 2 + 2), 16);
  return bytes;
}

export function concat(...parts: Uint8Array[]): Bytes {
  const whole = new Uint8Array(parts.reduce((length, part) => length + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

/** `value` as `width` bytes, most significant first. */
export function bigEndian(value: bigint, width: number): Bytes {
  const bytes = new Uint8Array(width);
  for (let i = width - 1; i >= 0; i--) {
    bytes[i] = Number(value & 0xffn);
    value >>= 8n;
  }
  return bytes;
}

export function encodeVarint(value: number): Bytes {
  if (!Number.isSafeInteger(value) || value < 0) throw new Error("not a varint");
  if (value < 0x40) return Uint8Array.of(value);
  if (value < 0x4000) return Uint8Array.of(0x40 | (value >> 8), value & 0xff);
  if (value < 0x40000000) {
    return Uint8Array.of(0x80 | (value >>> 24), (value >>> 16) & 0xff, (value >>> 8) & 0xff, value & 0xff);
  }
  const bytes = bigEndian(BigInt(value), 8);
  bytes[0] = (bytes[0] ?? 0) | 0xc0;
  return bytes;
}

/** The number and what follows it. */
export function decodeVarint(bytes: Uint8Array): [number, Uint8Array] {
  const first = bytes[0];
  if (first === undefined) throw new Error("empty frame");
  const width = 1 << (first >> 6);
  if (bytes.length < width) throw new Error("truncated varint");
  let value = first & 0x3f;
  for (let i = 1; i < width; i++) value = value * 256 + (bytes[i] ?? 0);
  return [value, bytes.subarray(width)];
}
