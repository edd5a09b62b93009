"""Signed notes, checkpoints and policies of the SM3 tree (C2SP signed-note, tlog-checkpoint, tlog-cosignature, tlog-policy)."""

import base64
import binascii
import hashlib
import re
import unicodedata
from dataclasses import dataclass

from . import sm2, sm3

LOG, WITNESS = b"\xffguitai/sm2-with-sm3/v1", b"\xffguitai/sm2-cosignature/v1"
# Of the twin, whose signatures mean nothing here; its keys may stand in a policy for both trees.
TWINS = {LOG: b"\x01", WITNESS: b"\x04"}
ED25519_KEY_BYTES = 32
HASH_BYTES = 32
SIZE_MAX, TIME_MAX = 2**64 - 1, 2**63 - 1
TEXT_BYTES_MAX, SIGNATURES_MAX, NAME_BYTES_MAX, PARTIES_MAX, HASHES_MAX = 65_536, 64, 255, 64, 63
DECIMAL = re.compile(r"0|[1-9][0-9]{0,19}", re.ASCII)
SIGNATURE = "\u2014 "


class NotLogged(ValueError):
    """A text of the log is not in its form, or does not show what it should."""


def decimal(text: str, limit: int = SIZE_MAX) -> int:
    if not DECIMAL.fullmatch(text) or int(text) > limit:
        raise NotLogged(f"{text[:30]!r} is no number of the log")
    return int(text)


def base64_bytes(text: str) -> bytes:
    """RFC 4648, 4, in its one form."""
    try:
        data = base64.b64decode(text.encode("ascii"), validate=True)
    except (UnicodeEncodeError, binascii.Error):
        raise NotLogged("not base64") from None
    if base64.b64encode(data).decode("ascii") != text:
        raise NotLogged("not the one form of base64")
    return data


def hash_of(text: str) -> bytes:
    data = base64_bytes(text)
    if len(data) != HASH_BYTES:
        raise NotLogged(f"a hash of {len(data)} bytes")
    return data


def _is_name(name: str) -> bool:
    plain = not any(char.isspace() or unicodedata.category(char) == "Cc" for char in name)
    return 0 < len(name.encode("utf-8")) <= NAME_BYTES_MAX and "+" not in name and plain


def text_of(data: bytes) -> str:
    """A text of the log: UTF-8, of a limited size, without control characters but LF and, in a policy, tabs."""
    if len(data) > TEXT_BYTES_MAX:
        raise NotLogged(f"larger than {TEXT_BYTES_MAX} bytes")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        raise NotLogged("not UTF-8") from None


@dataclass(frozen=True)
class Key:
    """A verifier key: name, number, type and point."""

    name: str
    number: bytes
    kind: bytes
    point: bytes

    @classmethod
    def parse(cls, text: str, kind: bytes):
        """Of `<name>+<hex>+<base64>`, which is of this type."""
        parts = text.split("+", 2)
        if len(parts) != 3 or not _is_name(parts[0]):
            raise NotLogged("not a verifier key")
        name, number, material = parts[0], parts[1], base64_bytes(parts[2])
        hash_name = f"{name}\n".encode("utf-8")
        if material[: len(kind)] == kind:
            found, point = sm3.hash(hash_name, material)[:4], material[len(kind) :]
            try:
                sm2.point(point)
            except sm2.NotSm2 as error:
                raise NotLogged(f"the key of {name}: {error}") from None
        elif material[:1] == TWINS[kind] and len(material) == 1 + ED25519_KEY_BYTES:
            kind, point = TWINS[kind], material[1:]
            found = hashlib.sha256(hash_name + material).digest()[:4]
        else:
            raise NotLogged(f"the key of {name} is of another type")
        if number != found.hex():
            raise NotLogged(f"the key of {name} has the number {found.hex()}")
        return cls(name, found, kind, point)

    def signed(self, text: str, signature: bytes) -> bool:
        """Whether it signed this text of a note."""
        if self.kind == LOG:
            return sm2.is_signed(self.point, text.encode("utf-8"), signature)
        if self.kind != WITNESS:
            return False
        time = int.from_bytes(signature[:8], "big")
        if len(signature) < 8 or time > TIME_MAX:
            return False
        return sm2.is_signed(self.point, f"cosignature/v1\ntime {time}\n{text}".encode("utf-8"), signature[8:])


@dataclass
class Note:
    """A text with its signature lines."""

    text: str
    lines: list  # (name, number, signature)

    @classmethod
    def parse(cls, data: bytes):
        note = text_of(data)
        if any(char < " " and char != "\n" for char in note):
            raise NotLogged("a control character in a note")
        at = note.rfind("\n\n")
        if at < 0 or not note.endswith("\n") or at + 2 == len(note):
            raise NotLogged("a note has a text, an empty line, and signatures")
        lines = []
        for line in note[at + 2 : -1].split("\n"):
            parts = line[len(SIGNATURE) :].split(" ")
            if not line.startswith(SIGNATURE) or len(parts) != 2 or not _is_name(parts[0]):
                raise NotLogged("not a signature line")
            signature = base64_bytes(parts[1])
            if len(signature) <= 4:
                raise NotLogged("a signature line without signature")
            lines.append((parts[0], signature[:4], signature[4:]))
        if len(lines) > SIGNATURES_MAX:
            raise NotLogged(f"more than {SIGNATURES_MAX} signatures")
        return cls(note[: at + 1], lines)


@dataclass
class Checkpoint:
    """A note whose text is a tree's head."""

    note: Note
    origin: str
    size: int
    root: bytes

    @classmethod
    def parse(cls, data: bytes):
        note = Note.parse(data)
        lines = note.text[:-1].split("\n")
        if len(lines) != 3 or not lines[0]:
            raise NotLogged("a checkpoint has origin, size and root")
        return cls(note, lines[0], decimal(lines[1]), hash_of(lines[2]))


class Policy:
    """Whose signatures count."""

    def __init__(self, data: bytes):
        self.logs, self.witnesses, self._quorum = [], {}, None
        text = text_of(data)
        if any((char < " " and char not in "\t\n") or char == "\x7f" for char in text):
            raise NotLogged("a control character in a policy")
        self._groups, points = {}, set()
        for line in text.split("\n"):
            words = line.replace("\t", " ").split(" ")
            words = [word for word in words if word]
            if words and not words[0].startswith("#"):
                self._line(words, points)
        if max(map(len, (self.logs, self.witnesses, self._groups))) > PARTIES_MAX:
            raise NotLogged(f"more than {PARTIES_MAX} of a kind in a policy")
        if self._quorum is None:
            raise NotLogged("the policy has no quorum")

    def _line(self, words, points):
        kind, rest = words[0], words[1:]
        if kind == "log" and len(rest) in (1, 2):
            key = Key.parse(rest[0], LOG)
            _once(("log", key.point), points)
            self.logs.append(key)
        elif kind == "witness" and len(rest) in (2, 3):
            self._new(rest[0])
            key = Key.parse(rest[1], WITNESS)
            _once(("witness", key.point), points)
            self.witnesses[rest[0]] = key
        elif kind == "group" and len(rest) >= 3:
            name, count, members = rest[0], rest[1], rest[2:]
            self._new(name)
            if not all(self._known(member) for member in members):
                raise NotLogged(f"group {name} has a member that is not defined before")
            for member in members:
                _once(("member", member), points)
            count = {"any": 1, "all": len(members)}.get(count) or decimal(count)
            if not 1 <= count <= len(members):
                raise NotLogged(f"group {name} of {len(members)} asks for {count}")
            self._groups[name] = (count, members)
        elif kind == "quorum" and len(rest) == 1:
            if self._quorum is not None:
                raise NotLogged("the policy has two quorums")
            if rest[0] != "none" and not self._known(rest[0]):
                raise NotLogged("the quorum is not defined before")
            self._quorum = rest[0]
        else:
            raise NotLogged("a line of the policy that means nothing")

    def _known(self, name):
        return name in self.witnesses or name in self._groups

    def _new(self, name):
        if name == "none" or self._known(name):
            raise NotLogged(f"{name!r} is defined twice")

    def key(self, name: str, number: bytes):
        """The log's or witness' key that a signature line names."""
        for key in [*self.logs, *self.witnesses.values()]:
            if (key.name, key.number) == (name, number):
                return key
        return None

    def believe(self, checkpoint: Checkpoint):
        """Says why the checkpoint is not believed; nothing if it is."""
        signed = set()
        for name, number, signature in checkpoint.note.lines:
            key = self.key(name, number)
            if key is None:
                continue
            if not key.signed(checkpoint.note.text, signature):
                raise NotLogged(f"the signature of {name} does not fit")
            signed.add(key)
        if not any(key in signed for key in self.logs if key.name == checkpoint.origin):
            raise NotLogged(f"no log of the policy signed as {checkpoint.origin}")
        if self._quorum != "none" and not self._witnessed(self._quorum, signed):
            raise NotLogged("too few witnesses of the policy signed")

    def names_each_once(self, checkpoint: Checkpoint):
        """Says which signature is of a key that it does not name, or the second of one key; nothing if none is."""
        seen = set()
        for name, number, _ in checkpoint.note.lines:
            key = self.key(name, number)
            if key is None or key in seen:
                raise NotLogged(f"signed by {name}, whom the policy does not name, or twice")
            seen.add(key)

    def _witnessed(self, name, signed) -> bool:
        if name in self.witnesses:
            return self.witnesses[name] in signed
        count, members = self._groups[name]
        return sum(self._witnessed(member, signed) for member in members) >= count


def _once(what, seen):
    if what in seen:
        raise NotLogged("a key or a member that the policy names twice")
    seen.add(what)
