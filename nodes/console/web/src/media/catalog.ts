// The hang catalog: which tracks a broadcast has and how to decode them. `guitai` is our extension.

import { CTR_HMAC, type Suite } from "./crypto/suites";
import { json as read } from "./json";

export const CATALOG_TRACK = "catalog.json";
export const VIDEO_TRACK = "video";
export const AUDIO_TRACK = "audio";
/** Constrained baseline, level 3.1: every decoder has it, and it records to MP4 as it is. */
export const VIDEO_CODEC = "avc1.42e01f";
export const AUDIO_CODEC = "opus";
export const AUDIO_RATE = 48_000;

export interface VideoShape {
  width: number;
  height: number;
  framerate: number;
  bitrate: number;
}

/** How a page seals: its party's number, and the suite of sound. */
export interface Seal {
  party: number;
  audio: Suite;
}

/** What a page publishes; `seal` when the frames are sealed. */
export function makeCatalog(video: VideoShape, audioBitrate: number, seal: Seal | undefined): unknown {
  return {
    video: {
      renditions: {
        [VIDEO_TRACK]: {
          codec: VIDEO_CODEC,
          container: { kind: "legacy" },
          codedWidth: video.width,
          codedHeight: video.height,
          framerate: video.framerate,
          bitrate: video.bitrate,
        },
      },
    },
    audio: {
      renditions: {
        [AUDIO_TRACK]: {
          codec: AUDIO_CODEC,
          container: { kind: "legacy" },
          sampleRate: AUDIO_RATE,
          numberOfChannels: 1,
          bitrate: audioBitrate,
        },
      },
    },
    ...(seal && { guitai: { sealed: { suite: "0xF001", ...(seal.audio === CTR_HMAC && { audio: "0xF002" }), kid: seal.party } } }),
  };
}

export interface Rendition {
  track: string;
  codec: string;
}
export interface Catalog {
  video?: Rendition & { width?: number; height?: number };
  audio?: Rendition & { sampleRate: number; channels: number };
  sealed: boolean;
}

/** What we can play of a catalog: the first rendition of each kind in the container we know. */
export function readCatalog(json: unknown): Catalog {
  const root = read.record(json);
  const guitai = read.record(root["guitai"]);
  const video = firstLegacy(root["video"]);
  const audio = firstLegacy(root["audio"]);
  return {
    ...(video && {
      video: {
        track: video.name,
        codec: read.text(video.config["codec"]),
        ...(read.number(video.config["codedWidth"]) && { width: read.number(video.config["codedWidth"])! }),
        ...(read.number(video.config["codedHeight"]) && { height: read.number(video.config["codedHeight"])! }),
      },
    }),
    ...(audio && {
      audio: {
        track: audio.name,
        codec: read.text(audio.config["codec"]),
        sampleRate: read.number(audio.config["sampleRate"]) ?? AUDIO_RATE,
        channels: read.number(audio.config["numberOfChannels"]) ?? 1,
      },
    }),
    sealed: guitai["sealed"] !== undefined,
  };
}

function firstLegacy(section: unknown): { name: string; config: Record<string, unknown> } | undefined {
  const renditions = read.record(read.record(section)["renditions"]);
  for (const [name, value] of Object.entries(renditions)) {
    const config = read.record(value);
    const kind = read.record(config["container"])["kind"];
    if (kind === undefined || kind === "legacy") return { name, config };
  }
  return undefined;
}
