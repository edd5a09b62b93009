"""RFC 6962 trees with SM3."""

from . import sm3


def leaf(data: bytes) -> bytes:
    return sm3.hash(b"\x00", data)


def node(left: bytes, right: bytes) -> bytes:
    return sm3.hash(b"\x01", left, right)


def root(leaves) -> bytes:
    """Root over the data of the leaves; of none, the hash of nothing (RFC 6962, 2.1)."""
    # A whole subtree is merged with its left neighbour of the same height at once; what is left over at the end is
    # merged from the right, which is the shape that the largest power of two on the left gives.
    stack = []
    for data in leaves:
        height, value = 0, leaf(data)
        while stack and stack[-1][0] == height:
            value = node(stack.pop()[1], value)
            height += 1
        stack.append((height, value))
    if not stack:
        return sm3.hash()
    value = stack.pop()[1]
    while stack:
        value = node(stack.pop()[1], value)
    return value
