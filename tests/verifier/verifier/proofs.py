"""Proofs of the log: that an entry is in a tree (RFC 9162, 2.1.3), and that one tree continues another (2.1.4)."""

from dataclasses import dataclass

from . import canonical, schema, sm3, tree
from .notes import HASHES_MAX, NotLogged, base64_bytes, decimal, hash_of

HEADER = "c2sp.org/tlog-proof@v1"
SALT_BYTES = 32


def root_of_path(index: int, count: int, leaf: bytes, path) -> bytes:
    """Root of `count` leaves that the path leads to, RFC 9162, 2.1.3.2; None where it has another length."""
    if index >= count:
        return None
    fn, sn, r = index, count - 1, leaf
    for p in path:
        if sn == 0:
            return None
        if fn & 1 or fn == sn:
            r = tree.node(p, r)
            while not fn & 1 and fn:
                fn, sn = fn >> 1, sn >> 1
        else:
            r = tree.node(r, p)
        fn, sn = fn >> 1, sn >> 1
    return r if sn == 0 else None


def continues(old_size: int, old_root: bytes, size: int, root: bytes, proof) -> bool:
    """Whether the tree of `size` begins with the one of `old_size`, RFC 9162, 2.1.4.2."""
    if old_size > size:
        return False
    if old_size == size:
        return not proof and old_root == root
    if old_size == 0:
        return not proof and old_root == tree.root([])
    path = list(proof)
    if old_size & (old_size - 1) == 0:
        path.insert(0, old_root)
    if not path:
        return False
    fn, sn = old_size - 1, size - 1
    while fn & 1:
        fn, sn = fn >> 1, sn >> 1
    fr = sr = path[0]
    for c in path[1:]:
        if sn == 0:
            return False
        if fn & 1 or fn == sn:
            fr, sr = tree.node(c, fr), tree.node(c, sr)
            while not fn & 1 and fn:
                fn, sn = fn >> 1, sn >> 1
        else:
            sr = tree.node(sr, c)
        fn, sn = fn >> 1, sn >> 1
    return (fr, sr, sn) == (old_root, root, 0)


def hashes(data: bytes) -> list:
    """One line of Base64 for each."""
    try:
        text = data.decode("ascii")
    except UnicodeDecodeError:
        raise NotLogged("not base64") from None
    if text and not text.endswith("\n"):
        raise NotLogged("the last line does not end")
    return _not_many([hash_of(line) for line in text.split("\n")[:-1]])


def _not_many(found):
    if len(found) > HASHES_MAX:
        raise NotLogged("more hashes than any tree has levels")
    return found


ENTRY = schema.fields({"at": schema.u64, "digest": schema.digest, "kind": schema.text, "v": schema.u64})
EXTRA = schema.fields({"entry": schema.text, "record": schema.text, "salt": schema.digest})


@dataclass
class Proof:
    """What a `.tlog-proof` says, and the note that it ends with."""

    index: int
    path: list
    note: bytes
    entry: str
    kind: str
    record: dict

    @classmethod
    def parse(cls, data: bytes):
        """Everything but the place in the tree is checked."""
        before, empty, note = data.partition(b"\n\n")
        try:
            lines = before.decode("utf-8").split("\n")
        except UnicodeDecodeError:
            raise NotLogged("a proof is a text") from None
        if not empty or len(lines) < 3 or lines[0] != HEADER or lines[1][:6] != "extra " or lines[2][:6] != "index ":
            raise NotLogged("not a proof with extra data and index")
        index, path = decimal(lines[2][6:]), _not_many([hash_of(line) for line in lines[3:]])
        try:
            extra = canonical.parse(base64_bytes(lines[1][6:]))
            schema.check(EXTRA, extra, "extra")
            entry = canonical.parse(extra["entry"].encode("utf-8"))
            schema.check(ENTRY, entry, "entry")
            record = canonical.parse(extra["record"].encode("utf-8"))
        except (canonical.NotCanonical, schema.NotStated) as error:
            raise NotLogged(error) from None
        if entry["v"] != 1:
            raise NotLogged(f"an entry of version {entry['v']}")
        if sm3.hash(bytes.fromhex(extra["salt"]), extra["record"].encode("utf-8")).hex() != entry["digest"]:
            raise NotLogged("the entry is of another record")
        if not isinstance(record, dict) or record.get("kind") != entry["kind"]:
            raise NotLogged("the entry and its record are of two kinds")
        return cls(index, path, note, extra["entry"], entry["kind"], record)

    def leads_to(self, checkpoint) -> bool:
        """Whether the entry is at its index of the checkpoint's tree."""
        leaf = tree.leaf(self.entry.encode("utf-8"))
        return root_of_path(self.index, checkpoint.size, leaf, self.path) == checkpoint.root
