// Pictures out of a camera track: by MediaStreamTrackProcessor where the browser has it, which also works in a
// background tab; otherwise from a hidden video element.

interface TrackProcessor {
  readable: ReadableStream<VideoFrame>;
}
type TrackProcessorClass = new (init: { track: MediaStreamTrack }) => TrackProcessor;

/** Hands each picture to `take`, which must close it; answers how to stop. */
export function readFrames(track: MediaStreamTrack, take: (frame: VideoFrame) => void): () => void {
  const processor = (globalThis as { MediaStreamTrackProcessor?: TrackProcessorClass }).MediaStreamTrackProcessor;
  return processor ? readByProcessor(new processor({ track }), take) : readByElement(track, take);
}

function readByProcessor(processor: TrackProcessor, take: (frame: VideoFrame) => void): () => void {
  const reader = processor.readable.getReader();
  const run = async () => {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      take(value);
    }
  };
  run().catch(() => undefined);
  return () => void reader.cancel().catch(() => undefined);
}

function readByElement(track: MediaStreamTrack, take: (frame: VideoFrame) => void): () => void {
  const video = document.createElement("video");
  video.muted = true;
  video.playsInline = true;
  video.srcObject = new MediaStream([track]);
  let running = true;
  const next = () => {
    if (!running) return;
    video.requestVideoFrameCallback((now) => {
      if (!running) return;
      take(new VideoFrame(video, { timestamp: Math.round(now * 1000) }));
      next();
    });
  };
  void video.play().then(next, () => undefined);
  return () => {
    running = false;
    video.srcObject = null;
  };
}
