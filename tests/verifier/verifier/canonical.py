"""Canonical JSON: RFC 8785 restricted to strings, integers of at most 53 bits, booleans, arrays and objects."""

import json

INTEGER_MAX = 2**53 - 1
DEPTH_MAX = 32  # the formats nest five deep; Python's parser must not be driven to its own limit


class NotCanonical(ValueError):
    """The bytes are not the canonical form of anything that may be stated."""


def parse(data: bytes):
    """The value whose canonical form is exactly `data`."""
    try:
        text = data.decode("utf-8")
        if _depth(text) > DEPTH_MAX:
            raise NotCanonical(f"nested deeper than {DEPTH_MAX}")
        value = json.loads(text, parse_float=_no_float, parse_constant=_no_float, object_pairs_hook=_object)
        if write(value) != data:
            raise NotCanonical("not the canonical bytes of what it says")
        return value
    except NotCanonical:
        raise
    except (ValueError, RecursionError) as error:  # UnicodeError and JSONDecodeError are ValueErrors
        raise NotCanonical(str(error)) from None


def write(value) -> bytes:
    """Canonical bytes of a value."""
    return _write(value).encode("utf-8")


def _write(value) -> str:
    if value is True:
        return "true"
    if value is False:
        return "false"
    if isinstance(value, int):
        if abs(value) > INTEGER_MAX:
            raise NotCanonical(f"{value} has more than 53 bits")
        return str(value)
    if isinstance(value, str):
        # Python escapes what RFC 8785, 3.2.2.2 says and nothing else.
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, list):
        return "[" + ",".join(map(_write, value)) + "]"
    if isinstance(value, dict):
        # RFC 8785, 3.2.3: by UTF-16 code units.
        keys = sorted(value, key=lambda key: key.encode("utf-16-be", "surrogatepass"))
        return "{" + ",".join(f"{_write(key)}:{_write(value[key])}" for key in keys) + "}"
    raise NotCanonical("null does not occur")


def _no_float(text):
    raise NotCanonical(f"{text} is no integer")


def _object(pairs):
    found = dict(pairs)
    if len(found) != len(pairs):
        raise NotCanonical("a name occurs twice in one object")
    return found


def _depth(text: str) -> int:
    """Deepest nesting, counting brackets in strings too where that makes it deeper: only an upper bound matters."""
    deepest = depth = 0
    quoted = escaped = False
    for char in text:
        if quoted:
            if escaped:
                escaped = False
            elif char == "\\":
                escaped = True
            elif char == '"':
                quoted = False
        elif char == '"':
            quoted = True
        elif char in "[{":
            depth += 1
            deepest = max(deepest, depth)
        elif char in "]}":
            depth -= 1
    return deepest
