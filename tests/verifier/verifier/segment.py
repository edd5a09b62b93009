"""The header box that each segment of format 2 begins with."""

from dataclasses import dataclass

USER_TYPE = b"guitaiSegmentHdr"
VERSION = 1


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


def _text(box: bytes, at: int):
    if at >= len(box) or at + 1 + box[at] > len(box):
        raise NoHeader("the header ends too early")
    end = at + 1 + box[at]
    try:
        return box[at + 1 : end].decode("utf-8"), end
    except UnicodeDecodeError:
        raise NoHeader("a name that is no text") from None
