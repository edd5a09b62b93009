"""SM3 (GB/T 32905-2016). OpenSSL's through hashlib where it is there, else in plain Python."""

import hashlib

IV = (0x7380166F, 0x4914B2B9, 0x172442D7, 0xDA8A0600, 0xA96F30BC, 0x163138AA, 0xE38DEE4D, 0xB0FB0E4E)
MASK = 0xFFFFFFFF


def _rotl(x, n):
    n %= 32
    return ((x << n) | (x >> (32 - n))) & MASK


_T = [_rotl(0x79CC4519 if j < 16 else 0x7A879D8A, j) for j in range(64)]


def _compress(v, block):
    w = [int.from_bytes(block[i : i + 4], "big") for i in range(0, 64, 4)]
    for j in range(16, 68):
        x = w[j - 16] ^ w[j - 9] ^ _rotl(w[j - 3], 15)
        w.append(x ^ _rotl(x, 15) ^ _rotl(x, 23) ^ _rotl(w[j - 13], 7) ^ w[j - 6])
    a, b, c, d, e, f, g, h = v
    for j in range(64):
        ss1 = _rotl((_rotl(a, 12) + e + _T[j]) & MASK, 7)
        ss2 = ss1 ^ _rotl(a, 12)
        if j < 16:
            ff, gg = a ^ b ^ c, e ^ f ^ g
        else:
            ff, gg = (a & b) | (a & c) | (b & c), (e & f) | (~e & MASK & g)
        tt1 = (ff + d + ss2 + (w[j] ^ w[j + 4])) & MASK
        tt2 = (gg + h + ss1 + w[j]) & MASK
        a, b, c, d = tt1, a, _rotl(b, 9), c
        e, f, g, h = tt2 ^ _rotl(tt2, 9) ^ _rotl(tt2, 17), e, _rotl(f, 19), g
    return tuple(x ^ y for x, y in zip((a, b, c, d, e, f, g, h), v))


class Plain:
    """The algorithm in Python: some hundred times slower than OpenSSL's, and the same."""

    def __init__(self):
        self._v, self._rest, self._length = IV, b"", 0

    def update(self, data):
        self._length += len(data)
        data = self._rest + bytes(data)
        whole = len(data) - len(data) % 64
        for i in range(0, whole, 64):
            self._v = _compress(self._v, data[i : i + 64])
        self._rest = data[whole:]

    def digest(self):
        padding = b"\x80" + bytes((55 - self._length) % 64) + (8 * self._length).to_bytes(8, "big")
        v, data = self._v, self._rest + padding
        for i in range(0, len(data), 64):
            v = _compress(v, data[i : i + 64])
        return b"".join(x.to_bytes(4, "big") for x in v)


def _openssl():
    return hashlib.new("sm3")


try:
    _openssl()
    new = _openssl
except ValueError:  # a build of OpenSSL without SM3
    new = Plain


def hash(*parts: bytes) -> bytes:
    """SM3 of the parts, one after another."""
    state = new()
    for part in parts:
        state.update(part)
    return state.digest()
