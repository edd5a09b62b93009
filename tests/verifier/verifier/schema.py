"""Which fields a manifest and an event have, and of which kind: nothing else may be there."""

import re

U32_MAX, U64_MAX = 2**32 - 1, 2**53 - 1  # canonical JSON ends at 53 bits

ID = re.compile(r"[a-z0-9][a-z0-9-]{0,62}", re.ASCII)
HEX = re.compile(r"([0-9a-f]{2})*", re.ASCII)


class NotStated(ValueError):
    """A field is missing, unknown or of another kind."""


# A kind is a function that raises NotStated(why) for what is none; objects are dictionaries of kinds.


def text(value):
    _must(isinstance(value, str), "is no text")


def ident(value):
    _must(isinstance(value, str) and ID.fullmatch(value), "is no id")


def digest(value):
    hexadecimal(value)
    _must(len(value) == 64, "has not 32 bytes")


def hexadecimal(value):
    _must(isinstance(value, str) and HEX.fullmatch(value), "is not lower-case hexadecimal")


def flag(value):
    _must(isinstance(value, bool), "is no boolean")


def u32(value):
    _must(type(value) is int and 0 <= value <= U32_MAX, "is no integer of 32 bits")


def u64(value):
    _must(type(value) is int and 0 <= value <= U64_MAX, "is no integer of 53 bits")


def number_from_1(value):
    u32(value)
    _must(value > 0, "is left out where it is 0")


def epoch_from_1(value):
    u64(value)
    _must(value > 0, "is left out where it is 0")


def one_of(*values):
    def kind(value):
        _must(isinstance(value, str) and value in values, f"is none of {', '.join(values)}")

    return kind


def items(kind, empty=True):
    def all_of(value):
        _must(isinstance(value, list), "is no array")
        _must(empty or value, "is left out where it is empty")
        for place, item in enumerate(value):
            _within(f"[{place}]", kind, item)

    return all_of


def texts_by_name(value):
    _must(isinstance(value, dict), "is no object")
    for name, item in value.items():
        _within(f".{name}", text, item)


def fields(required, optional=None):
    optional = optional or {}

    def kind(value):
        _must(isinstance(value, dict), "is no object")
        for name in value:
            _must(name in required or name in optional, f"has an unknown field {name}")
        for name in required:
            _must(name in value, f"has no field {name}")
        for name, item in value.items():
            _within(f".{name}", required.get(name) or optional[name], item)

    return kind


def _within(name, kind, value):
    try:
        kind(value)
    except NotStated as error:
        why = str(error)
        raise NotStated(name + ("" if why[0] in ".[" else " ") + why) from None


def _must(holds, why):
    if not holds:
        raise NotStated(why)


NAME = fields({"zh": text, "en": text})
MEDIA = one_of("video", "audio")
END_REASON = one_of(
    "customer-left", "customer-away", "customer-hung-up", "agent-hung-up", "operator-ended", "recording-lost"
)
SEGMENT = fields(
    {"number": u32, "frames": u32, "first_us": u64, "end_us": u64, "key": flag},
    {"assignment": number_from_1, "epoch": epoch_from_1},
)
TRACK = fields(
    {
        "number": u32, "party": text, "media": MEDIA, "broadcast": text, "codec": text, "width": u32, "height": u32,
        "sample_rate": u32, "channels": u32, "started_at": u64, "first_us": u64, "end_us": u64, "duration_ms": u64,
        "frames": u64, "bytes": u64, "refused": u64, "segments": items(SEGMENT), "root": hexadecimal,
    }
)  # fmt: skip
GAP = fields(
    {"party": text, "media": MEDIA, "from_ms": u64, "length_ms": u64, "cause": text},
    {"track": u32, "segment": u32, "resumed": u32, "assignment": u32},
)
TURN = fields({"number": u32, "node": ident, "epoch": u64, "since": u64}, {"until": u64, "cause": text})
MANIFEST = fields(
    {
        "format": text,
        "cluster": ident,
        "institution": fields({"id": ident, "name": NAME}),
        "session": fields(
            {"id": ident, "ticket": ident, "queue": ident, "edge": ident, "epoch": u64, "started_at": u64},
            {"ended_at": u64, "end_reason": END_REASON},
        ),
        "participants": items(fields({"role": text, "display": text}, {"id": text})),
        "policy": fields(
            {"ring_ms": u64, "away_ms": u64, "unrecorded_ms": u64, "media_sealed": flag},
            {"media_suite": one_of("sm4-ctr-hmac-sm3-80")},
        ),
        "steps": items(fields({"id": text, "name": NAME, "required": flag}, {"done_at": u64})),
        "events": u64,
        "tracks": items(TRACK),
        "playable": items(fields({"file": text, "tracks": items(u32)})),
        "gaps": items(GAP),
        "recorder": ident,
        "started_at": u64,
        "sealed_at": u64,
        "files": items(fields({"path": text, "size": u64, "sm3": digest})),
        "root": hexadecimal,
    },
    {
        "consent": fields({"recording": flag, "wording": text, "at": u64}),
        "assignments": items(TURN, empty=False),
        "disowned": items(fields({"track": u32, "from": u32, "to": u32}), empty=False),
    },
)
EVENT = fields({"number": u64, "at": u64, "actor": text, "kind": text, "details": texts_by_name})


def check(kind, value, name: str):
    """Raises NotStated, naming the field, unless `value` is of this kind."""
    _within(name, kind, value)
