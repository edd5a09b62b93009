"""What lies in a package's directory: read once, links never followed, sizes limited."""

import os
import re
import stat

from . import sm3

FILES_MAX = 100_000
DOCUMENT_BYTES_MAX = 64 * 1024 * 1024
FILE_BYTES_MAX = 64 * 1024**3
PATH_BYTES_MAX = 100
PATH_PARTS_MAX = 3
PART = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]*", re.ASCII)
PIECE_BYTES = 1 << 20
HEAD_BYTES = 257 * 1024  # of a segment: its header, at most 557 bytes, and its moof, at most 256 KiB


class NotReadable(ValueError):
    """A file is not there, is no regular file, or is too large."""


def is_safe(path: str) -> bool:
    """Whether a path may name a file of a package."""
    parts = path.split("/")
    return len(path) <= PATH_BYTES_MAX and len(parts) <= PATH_PARTS_MAX and all(map(PART.fullmatch, parts))


class Package:
    """A directory."""

    def __init__(self, directory):
        self._directory = os.fspath(directory)

    def read(self, path: str, limit: int = DOCUMENT_BYTES_MAX) -> bytes:
        """A document, whole."""
        with self._open(path) as file:
            data = file.read(limit + 1)
        if len(data) > limit:
            raise NotReadable(f"larger than {limit} bytes")
        return data

    def measure(self, path: str):
        """Size, SM3 and the first bytes of a file."""
        state, size, head = sm3.new(), 0, b""
        with self._open(path) as file:
            while piece := file.read(PIECE_BYTES):
                size += len(piece)
                if size > FILE_BYTES_MAX:
                    raise NotReadable(f"larger than {FILE_BYTES_MAX} bytes")
                head = head or piece[:HEAD_BYTES]
                state.update(piece)
        return size, state.digest(), head

    def pieces(self, path: str, start: int):
        """The bytes of a file from `start` on, in pieces."""
        with self._open(path) as file:
            file.seek(start)
            while piece := file.read(PIECE_BYTES):
                yield piece

    def entries(self):
        """(path, kind) of everything below the directory; kind is `file`, `directory`, `empty` or `other`."""
        waiting, found = [""], []
        while waiting:
            folder = waiting.pop()
            with os.scandir(os.path.join(os.fsencode(self._directory), os.fsencode(folder))) as listing:
                inside = sorted(listing, key=lambda entry: entry.name)
            if folder and not inside:
                found.append((folder, "empty"))
            for entry in inside:
                name = entry.name.decode("utf-8", "surrogateescape")
                path = f"{folder}/{name}" if folder else name
                if entry.is_dir(follow_symlinks=False):
                    found.append((path, "directory"))
                    if path.count("/") < PATH_PARTS_MAX:
                        waiting.append(path)
                else:
                    found.append((path, "file" if entry.is_file(follow_symlinks=False) else "other"))
                if len(found) > 2 * FILES_MAX:
                    raise NotReadable(f"more than {2 * FILES_MAX} entries")
        return found

    def _open(self, path: str):
        if not is_safe(path):
            raise NotReadable("a path that no file of a package has")
        at = self._directory
        try:
            for part in path.split("/"):
                at = os.path.join(at, part)
                mode = os.lstat(at).st_mode
                if stat.S_ISLNK(mode):
                    raise NotReadable("a link")
            if not stat.S_ISREG(mode):
                raise NotReadable("not a regular file")
            return open(at, "rb")
        except OSError as error:
            raise NotReadable(os.strerror(error.errno) if error.errno else str(error)) from None
