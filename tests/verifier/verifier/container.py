"""A package in one file, `.vcep`: a tar of exactly one form, read where it lies."""

import os
import stat

from . import sm3
from .package import DOCUMENT_BYTES_MAX, FILE_BYTES_MAX, FILES_MAX, HEAD_BYTES, PIECE_BYTES, NotReadable, is_safe

BLOCK = 512
END = bytes(2 * BLOCK)
PATH_BYTES = 100
OCTAL_MAX = 8**11 - 1


class NotContainer(ValueError):
    """The file departs from the one form."""


def header(path: str, size: int) -> bytes:
    """The 512 bytes before a file's content."""
    octal = size <= OCTAL_MAX
    length = f"{size:011o}\0".encode("ascii") if octal else b"\x80" + size.to_bytes(11, "big")
    before = path.encode("ascii").ljust(PATH_BYTES, b"\0") + b"0000644\0" + bytes(16) + length + b"00000000000\0"
    after = b"0" + bytes(100) + b"ustar\x0000" + bytes(247)
    total = sum(before) + 8 * 0x20 + sum(after)
    return before + f"{total:07o}\0".encode("ascii") + after


class Container:
    """The file, opened; what is in it by path. It has the reading half of `package.Package`."""

    def __init__(self, file):
        """Reads every header; `file` is a path."""
        try:
            if not stat.S_ISREG(os.lstat(file).st_mode):
                raise NotContainer("neither a directory nor a regular file")
            self._file = open(file, "rb")
        except OSError as error:
            raise NotContainer(os.strerror(error.errno) if error.errno else str(error)) from None
        try:
            self._length = os.fstat(self._file.fileno()).st_size
            self._files = self._index()
        except NotContainer:
            self.close()
            raise

    def close(self):
        self._file.close()

    def _index(self):
        found, at = {}, 0
        while True:
            block = self._at(at, BLOCK)
            if block == END[:BLOCK]:
                if self._at(at, len(END) + 1) != END:
                    raise NotContainer(f"after byte {at} come 1024 zero bytes and nothing else")
                break
            path, size = self._header(block, at)
            if path in found:
                raise NotContainer(f"{path} stands in it twice")
            if len(found) == 2 * FILES_MAX:
                raise NotContainer(f"more than {2 * FILES_MAX} files")
            start = at + BLOCK
            padding = -size % BLOCK
            if start + size + padding > self._length:
                raise NotContainer(f"{path} ends too early")
            if self._at(start + size, padding) != bytes(padding):
                raise NotContainer(f"{path} is not filled up with zero bytes")
            found[path] = (start, size)
            at = start + size + padding
        for path in found:
            parts = path.split("/")
            for count in range(1, len(parts)):
                if "/".join(parts[:count]) in found:
                    raise NotContainer(f"{path} is below a file")
        return found

    def _header(self, block: bytes, at: int):
        if len(block) < BLOCK:
            raise NotContainer("the file ends too early")
        try:
            path = block[:PATH_BYTES].rstrip(b"\0").decode("ascii")
            field = block[124:136]
            size = int.from_bytes(field[1:], "big") if field[0] == 0x80 else int(field[:11].decode("ascii"), 8)
        except ValueError:  # UnicodeDecodeError is one
            raise NotContainer(f"no header at byte {at}") from None
        # int() also takes signs and spaces: whatever it took, the header is compared with the one that is right.
        if not is_safe(path):
            raise NotContainer(f"{path!r} is no path of a package")
        if not 0 <= size <= FILE_BYTES_MAX:
            raise NotContainer(f"{path} is larger than {FILE_BYTES_MAX} bytes")
        if block != header(path, size):
            raise NotContainer(f"the header of {path} is not in its one form")
        return path, size

    def _at(self, at: int, count: int) -> bytes:
        try:
            self._file.seek(at)
            return self._file.read(count)
        except OSError as error:
            raise NotContainer(os.strerror(error.errno) if error.errno else str(error)) from None

    def read(self, path: str, limit: int = DOCUMENT_BYTES_MAX) -> bytes:
        """A document, whole."""
        start, size = self._place(path)
        if size > limit:
            raise NotReadable(f"larger than {limit} bytes")
        return self._read(start, size)

    def measure(self, path: str):
        """Size, SM3 and the first bytes of a file."""
        start, size = self._place(path)
        state, head = sm3.new(), self._read(start, min(size, HEAD_BYTES))
        for at in range(0, size, PIECE_BYTES):
            state.update(self._read(start + at, min(PIECE_BYTES, size - at)))
        return size, state.digest(), head

    def pieces(self, path: str, start: int):
        """The bytes of a file from `start` on, in pieces."""
        at, size = self._place(path)
        for from_ in range(start, size, PIECE_BYTES):
            yield self._read(at + from_, min(PIECE_BYTES, size - from_))

    def entries(self):
        """(path, kind) of everything in it, with the folders that follow from the paths."""
        folders = {path[:at] for path in self._files for at, char in enumerate(path) if char == "/"}
        return [(path, "directory") for path in sorted(folders)] + [(path, "file") for path in self._files]

    def _place(self, path: str):
        if path not in self._files:
            raise NotReadable("No such file or directory")
        return self._files[path]

    def _read(self, start: int, count: int) -> bytes:
        try:
            data = self._at(start, count)
        except NotContainer as error:
            raise NotReadable(error) from None
        if len(data) < count:
            raise NotReadable("the file became shorter")
        return data
