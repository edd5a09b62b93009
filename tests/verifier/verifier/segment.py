"""Segments: the header box of formats 2 and 3, and the one form of what follows it; playable files made of them."""

import struct
from dataclasses import dataclass

USER_TYPE = b"guitaiSegmentHdr"
VERSION = 1


KEY, DELTA = 0x02000000, 0x01010000
MOOF_BYTES_MAX = 256 * 1024
BOX = struct.Struct(">I4s")
MOOF = struct.Struct(">I4sI4sIII4sI4sIII4sIQI4sIII")  # up to the samples
SAMPLE = struct.Struct(">III")


class NoHeader(ValueError):
    """What begins as a header is none."""


@dataclass
class Header:
    """What the recorder wrote before the media."""

    epoch: int
    assignment: int
    track: int
    segment: int
    node: str
    session: str


def header(data: bytes):
    """The header at the beginning of a segment; None where a segment has none."""
    if data[4:24] != b"uuid" + USER_TYPE:
        return None
    size = int.from_bytes(data[:4], "big")
    box = data[:size]
    if len(box) < size or size < 47:
        raise NoHeader("the header ends too early")
    if box[24] != VERSION:
        raise NoHeader(f"version {box[24]} of the header is not known")
    number = lambda start, end: int.from_bytes(box[start:end], "big")
    node, at = _text(box, 45)
    session, at = _text(box, at)
    if at != size:
        raise NoHeader("something follows in the header")
    return Header(number(25, 33), number(33, 37), number(37, 41), number(41, 45), node, session)


class NoMedia(ValueError):
    """What follows the header is not of the one form."""


@dataclass
class Media:
    """What a segment says of itself."""

    sequence: int
    base: int
    samples: list  # (duration in µs, bytes, whether it is a key frame)


def moof(sequence: int, track: int, base: int, samples) -> bytes:
    """The box before the samples' bytes."""
    size = MOOF.size + SAMPLE.size * len(samples)
    before = MOOF.pack(
        size, b"moof", 16, b"mfhd", 0, sequence, size - 24, b"traf", 16, b"tfhd", 0x00020000, track,
        20, b"tfdt", 0x01000000, base, size - 68, b"trun", 0x01000305 if len(samples) == 1 else 0x01000701, len(samples), size + BOX.size,
    )  # fmt: skip
    fields = [(us, count, KEY if key else DELTA) for us, count, key in samples]
    if len(fields) == 1:
        # One frame alone has its flags before the rest.
        us, count, flags = fields[0]
        fields = [(flags, us, count)]
    return before + b"".join(SAMPLE.pack(*sample) for sample in fields)


def header_length(data: bytes) -> int:
    """Bytes of the header at the beginning of a segment, whatever it says; 0 where it has none."""
    return int.from_bytes(data[:4], "big") if data[4:24] == b"uuid" + USER_TYPE else 0


def media(head: bytes, size: int) -> Media:
    """What follows the header of a segment of `size` bytes; `head` is its beginning."""
    at = header_length(head)
    length = int.from_bytes(head[at : at + 4], "big")
    box = head[at : at + min(length, MOOF_BYTES_MAX)]
    count, rest = divmod(length - MOOF.size, SAMPLE.size)
    if length > MOOF_BYTES_MAX or len(box) < length or count < 1 or rest:
        raise NoMedia("no moof")
    samples = [(us, bytes_, flags == KEY) for us, bytes_, flags in SAMPLE.iter_unpack(box[MOOF.size :])]
    if count == 1:
        flags, us, bytes_ = SAMPLE.unpack(box[MOOF.size :])
        samples = [(us, bytes_, flags == KEY)]
    fields = MOOF.unpack(box[: MOOF.size])
    found = Media(fields[5], fields[15], samples)
    if box != moof(found.sequence, 1, found.base, samples):
        raise NoMedia("the moof is not of its one form")
    content = BOX.size + sum(count for _, count, _ in samples)
    if head[at + length : at + length + BOX.size] != BOX.pack(content & 0xFFFFFFFF, b"mdat") or size != at + length + content:
        raise NoMedia("the mdat is not what the moof says")
    return found


class Parsed:
    """What the beginning of a segment says; either half raises what is wrong with it when it is asked for."""

    def __init__(self, head: bytes, size: int):
        self._header = _kept(header, head)
        self._media = _kept(media, head, size)

    def header(self):
        return _asked(self._header)

    def media(self) -> Media:
        return _asked(self._media)


def _kept(read, *arguments):
    try:
        return read(*arguments)
    except (NoHeader, NoMedia) as error:
        return error


def _asked(kept):
    if isinstance(kept, ValueError):
        raise kept
    return kept


def _text(box: bytes, at: int):
    if at >= len(box) or at + 1 + box[at] > len(box):
        raise NoHeader("the header ends too early")
    end = at + 1 + box[at]
    try:
        return box[at + 1 : end].decode("utf-8"), end
    except UnicodeDecodeError:
        raise NoHeader("a name that is no text") from None


# --- playable files: an initialisation part for several tracks ----------------------------------------------------
def boxes(data: bytes):
    """(type, bytes) of the boxes one after another."""
    found, at = [], 0
    while at < len(data):
        size = int.from_bytes(data[at : at + 4], "big")
        if size < 8 or at + size > len(data):
            raise NoMedia("not a row of boxes")
        found.append((data[at + 4 : at + 8], data[at : at + size]))
        at += size
    return found


def together(inits) -> bytes:
    """One initialisation part of several tracks', which get the ids from 1."""
    if len(inits) == 1:
        return inits[0]
    moovs = [_moov(init) for init in inits]
    traks = [_one(moov, b"trak") for moov in moovs]
    trexs = [_one(boxes(_one(moov, b"mvex")[8:]), b"trex") for moov in moovs]
    children = []
    for kind, box in moovs[0]:
        if kind == b"mvhd":
            children.append(box[:-4] + (len(inits) + 1).to_bytes(4, "big"))
        elif kind == b"trak":
            children += [_numbered_trak(trak, number) for number, trak in enumerate(traks, 1)]
        elif kind == b"mvex":
            inside = b""
            for inner, whole in boxes(box[8:]):
                if inner == b"trex":
                    whole = b"".join(_put(trex, 12, number) for number, trex in enumerate(trexs, 1))
                inside += whole
            children.append(_box(b"mvex", inside))
        else:
            children.append(box)
    first = b"".join(_box(b"moov", b"".join(children)) if kind == b"moov" else box for kind, box in boxes(inits[0]))
    return first


def _moov(init):
    return boxes(_one(boxes(init), b"moov")[8:])


def _one(found, kind):
    of_kind = [box for name, box in found if name == kind]
    if len(of_kind) != 1:
        raise NoMedia(f"{len(of_kind)} boxes {kind.decode('ascii')}")
    return of_kind[0]


def _numbered_trak(trak, number):
    inside = b""
    for kind, box in boxes(trak[8:]):
        if kind == b"tkhd":
            box = _put(box, 28 if box[8:9] == b"\x01" else 20, number)
        inside += box
    return _box(b"trak", inside)


def _put(box, at, number):
    if len(box) < at + 4:
        raise NoMedia("a box that ends too early")
    return box[:at] + number.to_bytes(4, "big") + box[at + 4 :]


def _box(kind, inside):
    return BOX.pack(8 + len(inside), kind) + inside
