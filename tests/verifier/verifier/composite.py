"""The composite of a package: a film and the description beside it ("The composite of a package" in the format document)."""

import os
import unicodedata

from . import canonical, schema, sm3

FORMAT = "guitai-composite/1"
DESCRIPTION_BYTES_MAX = 16 * 1024 * 1024
PIECE_MS = 60_000
LENGTH_US_MAX = 12 * 3600 * 1_000_000
WIDTHS, HEIGHTS, RATES = range(320, 1921, 2), range(180, 1081, 2), range(1, 31)
MARK_CHARS = range(1, 61)
READ_BYTES = 1 << 20

PIECE = schema.fields({"bytes": schema.u64, "sm3": schema.digest})
DESCRIPTION = schema.fields(
    {
        "format": schema.text,
        "head": PIECE,
        "film": PIECE,
        "chunks": schema.items(
            schema.fields(
                {"number": schema.u32, "from_ms": schema.u64, "frames": schema.u64, "picture": PIECE, "sound": PIECE}
            )
        ),
        "recipe": schema.fields(
            {
                "session": schema.ident,
                "manifest": schema.digest,
                "root": schema.hexadecimal,
                "ingredients": schema.items(
                    schema.fields(
                        {"track": schema.u32, "party": schema.text, "media": schema.MEDIA, "root": schema.hexadecimal}
                    )
                ),
                "layout": schema.one_of("side-by-side", "picture-in-picture"),
                "watermark": schema.fields(
                    {"institution": schema.text, "session": schema.ident}, {"text": schema.text}
                ),
                "width": schema.u32,
                "height": schema.u32,
                "fps": schema.u32,
                "length_ms": schema.u64,
                "chunk_ms": schema.u64,
                "picture_crf": schema.u32,
                "picture_kbit_max": schema.u32,
                "sound_kbit": schema.u32,
                "compositor": schema.text,
                "ffmpeg": schema.fields({"version": schema.text, "configuration": schema.digest}),
                "font": schema.fields({"name": schema.text, "sm3": schema.digest}),
            }
        ),
    }
)


class NotThat(ValueError):
    """The film is not one of this package."""


def check(findings, film, raw: bytes, manifest):
    """Checks the film at a path, or notes that none was given; `raw` is what `manifest` was read from."""
    if film is None:
        findings.absent("composite", "no composite was given")
        return
    beside = os.path.splitext(os.fspath(film))[0] + ".composite.json"
    try:
        with open(beside, "rb") as file:
            data = file.read(DESCRIPTION_BYTES_MAX + 1)
        if len(data) > DESCRIPTION_BYTES_MAX:
            raise NotThat(f"larger than {DESCRIPTION_BYTES_MAX} bytes")
        description = canonical.parse(data)
        schema.check(DESCRIPTION, description, "description")
        if description["format"] != FORMAT:
            raise NotThat(f"format {description['format']} is not known")
    except (OSError, canonical.NotCanonical, schema.NotStated, NotThat) as error:
        findings.fault("composite", os.path.basename(beside), error)
        return
    for part in (_is_of, _pieces):
        try:
            part(description, raw, manifest)
        except NotThat as error:
            findings.fault("composite", os.path.basename(beside), error)
    try:
        _bytes(description, film)
    except (OSError, NotThat) as error:
        findings.fault("composite", os.path.basename(os.fspath(film)), error)
    findings.holds_unless_faulty("composite", f"{description['film']['bytes']} bytes")


def _is_of(description, raw, manifest):
    recipe, session = description["recipe"], manifest["session"]["id"]
    if {recipe["session"], recipe["watermark"]["session"]} != {session}:
        raise NotThat(f"not of session {session}")
    if recipe["manifest"] != sm3.hash(raw).hex() or recipe["root"] != manifest["root"]:
        raise NotThat("of another package")
    if recipe["watermark"]["institution"] != manifest["institution"]["name"]["zh"]:
        raise NotThat("names another institution")
    tracks = [
        {"track": track["number"], **{name: track[name] for name in ("party", "media", "root")}}
        for track in manifest["tracks"]
    ]
    if recipe["ingredients"] != tracks:
        raise NotThat("its ingredients are not the package's tracks")


def _pieces(description, _raw, manifest):
    recipe = description["recipe"]
    if recipe["width"] not in WIDTHS or recipe["height"] not in HEIGHTS or recipe["fps"] not in RATES:
        raise NotThat("size or frames a second are not within the limits")
    mark = recipe["watermark"].get("text")
    if mark is not None and (len(mark) not in MARK_CHARS or any(unicodedata.category(c) == "Cc" for c in mark)):
        raise NotThat("the watermark is not within the limits")
    length = _length_us(manifest)
    if not 0 < length <= LENGTH_US_MAX:
        raise NotThat(f"no film is made of a call of {length} us")
    if recipe["length_ms"] != _up(length, 1000) or recipe["chunk_ms"] != PIECE_MS:
        raise NotThat(f"the call has {length} us")
    every, left, planned = recipe["fps"] * 60, max(1, _up(length * recipe["fps"], 1_000_000)), []
    while left:
        planned.append((len(planned) + 1, len(planned) * PIECE_MS, min(left, every)))
        left -= planned[-1][2]
    if planned != [(piece["number"], piece["from_ms"], piece["frames"]) for piece in description["chunks"]]:
        raise NotThat("its pieces are not those of the call")


def _length_us(manifest) -> int:
    session = manifest["session"]
    start = session["started_at"]
    ends = [
        max(0, (track["started_at"] - start) * 1000 + max(0, track["end_us"] - track["first_us"]))
        for track in manifest["tracks"]
    ]
    if "ended_at" in session:
        ends.append(max(0, session["ended_at"] - start) * 1000)
    return max(ends, default=0)


def _up(number: int, unit: int) -> int:
    return -(-number // unit)


def _bytes(description, film):
    whole, size = sm3.new(), 0
    pieces = [("the head", description["head"])]
    for piece in description["chunks"]:
        pieces += [(f"the {medium} of piece {piece['number']}", piece[medium]) for medium in ("picture", "sound")]
    with open(film, "rb") as file:
        for name, piece in pieces:
            state, left = sm3.new(), piece["bytes"]
            while left:
                data = file.read(min(left, READ_BYTES))
                if not data:
                    raise NotThat(f"the film ends within {name}")
                state.update(data)
                whole.update(data)
                left -= len(data)
            size += piece["bytes"]
            if state.digest().hex() != piece["sm3"]:
                raise NotThat(f"{name} is not what the description says")
        if file.read(1):
            raise NotThat("the film has more bytes than its pieces")
    if description["film"] != {"bytes": size, "sm3": whole.digest().hex()}:
        raise NotThat("the whole is not what the description says")
