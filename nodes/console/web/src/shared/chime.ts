// A soft two-note chime, synthesised: no sound files, nothing to load.

export function chime(context: AudioContext, loud = 0.16): void {
  const start = context.currentTime + 0.02;
  for (const [frequency, offset] of [
    [659.25, 0],
    [880, 0.16],
  ] as const) {
    const tone = context.createOscillator();
    const volume = context.createGain();
    tone.frequency.value = frequency;
    volume.gain.setValueAtTime(0, start + offset);
    volume.gain.linearRampToValueAtTime(loud, start + offset + 0.02);
    volume.gain.exponentialRampToValueAtTime(0.001, start + offset + 0.7);
    tone.connect(volume).connect(context.destination);
    tone.start(start + offset);
    tone.stop(start + offset + 0.75);
  }
}
