// The size of the picture that is sent.

import type { VideoShape } from "./catalog";

export const VIDEO_BITRATE = 600_000;
export const FRAMERATE = 15;
/** Longer side of the picture sent. */
export const SIDE_MAX = 640;

/** The camera's shape, shrunk to what is sent; even sides, as 4:2:0 wants them. */
export function shapeFor(width: number, height: number): VideoShape {
  const scale = Math.min(1, SIDE_MAX / Math.max(width, height, 1));
  const even = (side: number) => Math.max(2, Math.round((side * scale) / 2) * 2);
  return { width: even(width), height: even(height), framerate: FRAMERATE, bitrate: VIDEO_BITRATE };
}
