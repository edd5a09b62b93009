"""SM2 signatures (GB/T 32918.2-2016) over the curve of GB/T 32918.5-2017, verified in plain Python.

Nothing secret is handled here, so nothing needs to take constant time.
"""

from functools import lru_cache

from . import der, sm3

P = 0xFFFFFFFEFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF00000000FFFFFFFFFFFFFFFF
A = P - 3
B = 0x28E9FA9E9D9F5E344D5A9E4BCF6509A7F39789F515AB8F92DDBCBD414D940E93
N = 0xFFFFFFFEFFFFFFFFFFFFFFFFFFFFFFFF7203DF6B21C6052B53BBF40939D54123
GX = 0x32C4AE2C1F1981195F9904466A39C9948FE30BBFF2660BE1715A4589334C74C7
GY = 0xBC3736A2F4F6779C59BDCEE36B692153D0A9877CC62A474002DF32E52139F0A0
ID = b"1234567812345678"


class NotSm2(ValueError):
    """The bytes are no public key or no signature."""


def point(data: bytes):
    """A public key: 65 bytes, 0x04 and the coordinates of a point on the curve."""
    if len(data) != 65 or data[0] != 4:
        raise NotSm2("a public key is 0x04 and two coordinates")
    x, y = int.from_bytes(data[1:33], "big"), int.from_bytes(data[33:], "big")
    if x >= P or y >= P or (y * y - (x * x * x + A * x + B)) % P:
        raise NotSm2("the public key is no point of the curve")
    return x, y


def signature(data: bytes):
    """(r, s) of a DER signature; each of them 1 to n - 1."""
    outer = der.Reader(data)
    pair = outer.enter(der.SEQUENCE)
    outer.end()
    r, s = pair.integer(), pair.integer()
    pair.end()
    if not (0 < r < N and 0 < s < N):
        raise NotSm2("r or s is out of range")
    return r, s


@lru_cache(maxsize=4096)
def verify(key: bytes, message_digest_of_za_and_m: bytes, signed: bytes) -> bool:
    """Whether `signed` (DER) is by `key` over the digest that `digest` gives."""
    try:
        px, py = point(key)
        r, s = signature(signed)
    except (NotSm2, der.NotDer):
        return False
    t = (r + s) % N
    if t == 0:
        return False
    found = _sum_of_two(s, (GX, GY), t, (px, py))
    return found is not None and (int.from_bytes(message_digest_of_za_and_m, "big") + found) % N == r


def digest(key: bytes, message: bytes, identity: bytes = ID) -> bytes:
    """e of GB/T 32918.2, 5.5 and 6.1: SM3(Z_A and the message)."""
    x, y = point(key)
    parts = (A, B, GX, GY, x, y)
    bits = (8 * len(identity)).to_bytes(2, "big")
    za = sm3.hash(bits, identity, *(part.to_bytes(32, "big") for part in parts))
    return sm3.hash(za, message)


def is_signed(key: bytes, message: bytes, signed: bytes, identity: bytes = ID) -> bool:
    """Whether `signed` (DER r, s) is by `key` over `message`."""
    try:
        return verify(key, digest(key, message, identity), signed)
    except NotSm2:
        return False


# --- points in Jacobian coordinates: (X, Y, Z) is (X / Z^2, Y / Z^3), and Z = 0 the point at infinity -----------
_INFINITY = (1, 1, 0)


def _double(p):
    x, y, z = p
    if z == 0 or y == 0:
        return _INFINITY
    zz, yy = z * z % P, y * y % P
    s = 4 * x * yy % P
    m = 3 * (x - zz) * (x + zz) % P  # a = -3
    x3 = (m * m - 2 * s) % P
    return x3, (m * (s - x3) - 8 * yy * yy) % P, 2 * y * z % P


def _add(p, q):
    if p[2] == 0:
        return q
    if q[2] == 0:
        return p
    (x1, y1, z1), (x2, y2, z2) = p, q
    zz1, zz2 = z1 * z1 % P, z2 * z2 % P
    u1, u2 = x1 * zz2 % P, x2 * zz1 % P
    s1, s2 = y1 * zz2 * z2 % P, y2 * zz1 * z1 % P
    if u1 == u2:
        return _double(p) if s1 == s2 else _INFINITY
    h, r = u2 - u1, s2 - s1
    hh = h * h % P
    hhh, v = h * hh % P, u1 * hh % P
    x3 = (r * r - hhh - 2 * v) % P
    return x3, (r * (v - x3) - s1 * hhh) % P, h * z1 * z2 % P


def _sum_of_two(k, g, t, q):
    """x of [k]G + [t]Q, two bits of each scalar at a time; None for the point at infinity."""
    rows = []
    for x, y in (g, q):
        one = (x, y, 1)
        two = _double(one)
        rows.append((_INFINITY, one, two, _add(two, one)))
    table = [[_add(a, b) for b in rows[1]] for a in rows[0]]
    total = _INFINITY
    for shift in range(254, -1, -2):
        total = _double(_double(total))
        total = _add(total, table[k >> shift & 3][t >> shift & 3])
    if total[2] == 0:
        return None
    inverse = pow(total[2], -1, P)
    return total[0] * inverse * inverse % P
