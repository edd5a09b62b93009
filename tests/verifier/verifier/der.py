"""Strict DER (X.690, 10): one encoding for each value, everything else is refused."""

BOOLEAN, INTEGER, BIT_STRING, OCTET_STRING, NULL, OID = 0x01, 0x02, 0x03, 0x04, 0x05, 0x06
UTF8_STRING, UTC_TIME, GENERALIZED_TIME = 0x0C, 0x17, 0x18
SEQUENCE, SET = 0x30, 0x31
DAYS_IN_MONTH = (31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)


class NotDer(ValueError):
    """The bytes are not DER of what is expected there."""


class Reader:
    """Reads values one after another."""

    def __init__(self, data: bytes):
        self._data, self._at = data, 0

    def done(self) -> bool:
        return self._at == len(self._data)

    def end(self):
        if not self.done():
            raise NotDer("something follows where nothing may")

    def peek(self):
        """Tag of what comes next, or None."""
        return None if self.done() else self._data[self._at]

    def element(self):
        """Tag, content and all bytes of the next value."""
        data, start = self._data, self._at
        if len(data) - start < 2:
            raise NotDer("ends too early")
        tag, length, at = data[start], data[start + 1], start + 2
        if tag & 0x1F == 0x1F:
            raise NotDer("a tag of more than one byte")
        if length & 0x80:
            count = length & 0x7F
            raw = data[at : at + count]
            if not 1 <= count <= 4 or len(raw) != count or raw[0] == 0:
                raise NotDer("a length that is not minimal")
            length, at = int.from_bytes(raw, "big"), at + count
            if length < 0x80:
                raise NotDer("a length that is not minimal")
        if len(data) - at < length:
            raise NotDer("ends too early")
        self._at = at + length
        return tag, data[at : self._at], data[start : self._at]

    def take(self, tag: int) -> bytes:
        """Content of the next value, which has this tag."""
        found, content, _ = self.element()
        if found != tag:
            raise NotDer(f"tag {found:#04x} where {tag:#04x} is expected")
        return content

    def enter(self, tag: int) -> "Reader":
        return Reader(self.take(tag))

    def whole(self, tag: int) -> bytes:
        """The next value with its tag and length."""
        start = self._at
        self.take(tag)
        return self._data[start : self._at]

    def integer(self) -> int:
        content = self.take(INTEGER)
        if not content or (len(content) > 1 and content[0] in (0, 0xFF) and (content[0] ^ content[1]) & 0x80 == 0):
            raise NotDer("an integer that is not minimal")
        return int.from_bytes(content, "big", signed=True)

    def boolean(self) -> bool:
        content = self.take(BOOLEAN)
        if content not in (b"\x00", b"\xff"):
            raise NotDer("a boolean is 0x00 or 0xff")
        return content == b"\xff"

    def oid(self) -> str:
        content = self.take(OID)
        if not content or content[-1] & 0x80:
            raise NotDer("an object identifier that ends too early")
        arcs, value, first = [], 0, True
        for byte in content:
            if first and byte == 0x80:
                raise NotDer("an arc that is not minimal")
            value, first = value << 7 | byte & 0x7F, not byte & 0x80
            if first:
                arcs.append(value)
                value = 0
        top = min(arcs[0] // 40, 2)
        return ".".join(map(str, [top, arcs[0] - 40 * top, *arcs[1:]]))

    def bit_string(self) -> bytes:
        """Content of a bit string of whole bytes."""
        content = self.take(BIT_STRING)
        if not content or content[0] != 0:
            raise NotDer("a bit string of whole bytes is expected")
        return content[1:]

    def named_bits(self) -> set:
        """Numbers of the bits that are set, X.690, 11.2."""
        content = self.take(BIT_STRING)
        if not content or content[0] > 7 or (len(content) == 1 and content[0]):
            raise NotDer("a bit string that is none")
        if len(content) > 1 and (content[-1] == 0 or content[-1] & ((1 << content[0]) - 1)):
            raise NotDer("a bit string that is not minimal")
        bits = range(8 * (len(content) - 1))
        return {n for n in bits if content[1 + n // 8] >> (7 - n % 8) & 1}

    def time(self) -> int:
        """Seconds since 1970 of a UTCTime or GeneralizedTime, RFC 5280, 4.1.2.5."""
        tag, content, _ = self.element()
        digits = {UTC_TIME: 12, GENERALIZED_TIME: 14}.get(tag)
        if digits is None or len(content) != digits + 1 or content[-1:] != b"Z" or not content[:-1].isdigit():
            raise NotDer("not a time in UTC with seconds")
        text = content[:-1].decode("ascii")
        if tag == UTC_TIME:
            text = ("19" if text[:2] >= "50" else "20") + text
        elif text < "2050":
            raise NotDer("a time before 2050 is a UTCTime")
        fields = [int(text[:4])] + [int(text[i : i + 2]) for i in range(4, 14, 2)]
        return seconds(*fields)


def length(count: int) -> bytes:
    """Bytes of a length (X.690, 10.1)."""
    if count < 0x80:
        return bytes([count])
    raw = count.to_bytes((count.bit_length() + 7) // 8, "big")
    return bytes([0x80 | len(raw)]) + raw


def seconds(year, month, day, hour, minute, second) -> int:
    """Seconds since 1970, UTC."""
    leap = year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
    if not 1 <= month <= 12 or not 1 <= day <= DAYS_IN_MONTH[month - 1] + (leap and month == 2):
        raise NotDer("no day of the calendar")
    if hour > 23 or minute > 59 or second > 59:
        raise NotDer("no time of day")
    before = year - 1
    days = 365 * before + before // 4 - before // 100 + before // 400 - 719_162
    days += sum(DAYS_IN_MONTH[: month - 1]) + (leap and month > 2) + day - 1
    return ((days * 24 + hour) * 60 + minute) * 60 + second
