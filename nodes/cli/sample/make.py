#!/usr/bin/env python3
"""Makes customer.gts and agent.gts, the media of `guitai demo`. Needs ffmpeg with libx264 and libopus.

Run it in this folder: `python3 make.py`. The files are committed, so a build never runs it; the format is
described in README.md beside it.
"""

import json
import struct
import subprocess
import tempfile
from pathlib import Path

SECONDS = 6
FRAMES_PER_SECOND = 15
OPUS_PACKET_US = 20_000

# A colour and a tone of its own per side, so that a mixed-up track is seen and heard.
SIDES = {
    "customer": ("0x1f77b4", "sin(2*PI*220*t)*0.25*(0.6+0.4*sin(2*PI*3*t))+sin(2*PI*660*t)*0.08"),
    "agent": ("0xd62728", "sin(2*PI*330*t)*0.25*(0.6+0.4*sin(2*PI*4*t))+sin(2*PI*990*t)*0.08"),
}


def ffmpeg(*arguments: str) -> None:
    subprocess.run(["ffmpeg", "-y", "-loglevel", "error", *arguments], check=True)


def video(colour: str, folder: Path) -> list[tuple[bool, bytes]]:
    """Access units in Annex B; every 15th is an IDR with SPS and PPS before it."""
    path = folder / "video.h264"
    source = f"size=640x360:rate={FRAMES_PER_SECOND}:duration={SECONDS}"
    box = f"color=c={colour}:size=80x80:rate={FRAMES_PER_SECOND}:duration={SECONDS}"
    motion = "[0][1]overlay=x='mod(120*t,560)':y='140+100*sin(2*t)',format=yuv420p"
    ffmpeg(
        *["-f", "lavfi", "-i", f"testsrc2={source}", "-f", "lavfi", "-i", box],
        *["-filter_complex", motion, "-c:v", "libx264", "-profile:v", "baseline", "-level", "3.1"],
        *["-preset", "slow", "-crf", "34", "-g", "15", "-keyint_min", "15", "-sc_threshold", "0"],
        *["-f", "h264", str(path)],
    )
    probe = ["ffprobe", "-v", "error", "-show_entries", "packet=pos,size,flags", "-of", "json", str(path)]
    packets = json.loads(subprocess.run(probe, check=True, capture_output=True).stdout)["packets"]
    data = path.read_bytes()
    return [
        ("K" in packet["flags"], data[int(packet["pos"]) : int(packet["pos"]) + int(packet["size"])])
        for packet in packets
    ]


def audio(tone: str, folder: Path) -> list[bytes]:
    """Opus packets of 20 ms, out of the Ogg pages (RFC 3533) that ffmpeg writes."""
    path = folder / "audio.ogg"
    ffmpeg(
        *["-f", "lavfi", "-i", f"aevalsrc='{tone}':s=48000:d={SECONDS}", "-ac", "1"],
        *["-c:a", "libopus", "-b:a", "24k", "-frame_duration", "20", str(path)],
    )
    data, at, packets, open_packet = path.read_bytes(), 0, [], b""
    while at < len(data):
        assert data[at : at + 4] == b"OggS"
        laces = data[at + 27 : at + 27 + data[at + 26]]
        at += 27 + len(laces)
        for lace in laces:
            open_packet += data[at : at + lace]
            at += lace
            if lace < 255:
                packets.append(open_packet)
                open_packet = b""
    return packets[2:][: SECONDS * 1_000_000 // OPUS_PACKET_US]  # without OpusHead and OpusTags


def record(track: int, key: bool, at_us: int, data: bytes) -> bytes:
    return struct.pack(">BBII", track, int(key), at_us, len(data)) + data


def main() -> None:
    for side, (colour, tone) in SIDES.items():
        with tempfile.TemporaryDirectory() as folder:
            frames = [
                (number * 1_000_000 // FRAMES_PER_SECOND, 0, key, data)
                for number, (key, data) in enumerate(video(colour, Path(folder)))
            ]
            frames += [
                (number * OPUS_PACKET_US, 1, True, data)
                for number, data in enumerate(audio(tone, Path(folder)))
            ]
        frames.sort(key=lambda frame: (frame[0], frame[1]))
        body = b"".join(record(track, key, at, data) for at, track, key, data in frames)
        Path(f"{side}.gts").write_bytes(b"GTS1" + struct.pack(">I", SECONDS * 1_000_000) + body)


if __name__ == "__main__":
    main()
