// The package of a recording in the page: a tar file as the format document has it, and what its own page shows.

const BLOCK = 512;
/** Larger packages are for the exported player: a page that holds them would fail without a word. */
export const PLAYED_BYTES_MAX = 1024 * 1024 * 1024;

export interface PlayFile {
  party: string;
  file: string;
  from_ms: number;
  to_ms: number;
}
export interface PlayEvent {
  at_ms: number;
  kind: string;
  actor: string;
  details: string;
}
/** What `view.html` of a package shows; times are milliseconds from the session's start. */
export interface PlayData {
  session: string;
  recorder: string;
  started_at: number;
  sealed_at: number;
  length_ms: number;
  files: PlayFile[];
  bars: { party: string; media: string; from_ms: number; to_ms: number }[];
  gaps: { party: string; media: string; from_ms: number; length_ms: number; cause: string }[];
  /** Where it was bad to look at or to hear; packages made before have none. */
  marks?: { party: string; media: string; from_ms: number; length_ms: number; flaw: string }[];
  events: PlayEvent[];
}

export class BadPackage extends Error {}

/** The files of a tar by their path; each is a view of it, nothing is copied. */
export function untar(whole: Uint8Array): Map<string, Uint8Array> {
  const files = new Map<string, Uint8Array>();
  const text = new TextDecoder();
  let at = 0;
  while (at + BLOCK <= whole.length) {
    const header = whole.subarray(at, at + BLOCK);
    if (header.every((byte) => byte === 0)) return files;
    const field = (from: number, length: number) => text.decode(header.subarray(from, from + length)).split("\0")[0]!;
    const size = sizeOf(header, field(124, 12));
    const begin = at + BLOCK;
    if (size > whole.length - begin) throw new BadPackage("cut short");
    files.set(field(0, 100), whole.subarray(begin, begin + size));
    at = begin + Math.ceil(size / BLOCK) * BLOCK;
  }
  throw new BadPackage("cut short");
}

/** Octal digits, or from 8 GiB on 0x80 and a big-endian number. */
function sizeOf(header: Uint8Array, octal: string): number {
  if (header[124] === 0x80) return header.subarray(125, 136).reduce((sum, byte) => sum * 256 + byte, 0);
  if (!/^[0-7]{1,11}$/.test(octal)) throw new BadPackage("a header has no size");
  return Number.parseInt(octal, 8);
}

/** What the package's own page shows. */
export function shown(files: Map<string, Uint8Array>): PlayData {
  const page = files.get("view.html");
  if (!page) throw new BadPackage("view.html is missing");
  const found = /<script type="application\/json" id="data">(.*?)<\/script>/s.exec(new TextDecoder().decode(page));
  if (!found) throw new BadPackage("view.html shows nothing");
  return JSON.parse(found[1]!) as PlayData;
}
