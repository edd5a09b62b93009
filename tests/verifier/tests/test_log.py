"""Proofs, notes, containers and segments, by definition and by frozen bytes."""

import io
import os
import tarfile
import tempfile
import unittest

from verifier import container, notes, proofs, segment, sm3, tree

# A log's checkpoint with its policy, as the product signed them; the keys were thrown away.
POLICY = b"""\
log log.demo.guitai/sm3+643594b4+/2d1aXRhaS9zbTItd2l0aC1zbTMvdjEEim3geBb3RYVn07KldkND67XKH9zfV7McvSkqer0WIcpppeSWdI3PhrsZsShyXNpmY4NC5mEhKwRGtr+fwhBJyA==
witness witness.a1 witness.a1+51972c9a+/2d1aXRhaS9zbTItY29zaWduYXR1cmUvdjEEQGmYMgG2ext3EndmPul5KOwUOTFJcfbNTjd3zhIL1GppVZn0F33rxNlF9g6Uo7XM9K6JWDSFkRb7+wFvkD3uiw==
witness witness.a2 witness.a2+5f1ffa19+/2d1aXRhaS9zbTItY29zaWduYXR1cmUvdjEEbSBOodJ9C6h9KUrCueM8etMmo6bV4rH7hWcjDuNhgdH3mS0uQA72xm6c5CxdzHyzG3YWVifkE/XHo+UfGpgusQ==
witness witness.b witness.b+2a59fc43+/2d1aXRhaS9zbTItY29zaWduYXR1cmUvdjEEO16K0t8Olyq/wgoGFYoQbwIMei7a4hq1QSjs3ejbb0h21pAdRHzps9nUTVPIT1E9VohxCuZPP9qLo35pDNd6YA==
group witnesses 2 witness.a1 witness.a2 witness.b
quorum witnesses
"""
CHECKPOINT = """\
log.demo.guitai/sm3
13
BGcCRawCJWXQv/SVhq5Fy2Oq0GB5X9sd4jaH6OCTyVw=

— log.demo.guitai/sm3 ZDWUtDBEAiAoivVdGBsnbHm7Sldvga6ZWXXRpGN6x9UYwIVkJf2sOQIgF+wQhJDZrBy5C5j1hSGmggjj4dDZ4Z4IQP5tGLhtl+s=
— witness.a1 UZcsmgAAAABq/YcIMEQCIEEk0Uu3+q5M9FjiOTq0rADHAF+EeTbkroEXZ6Kt/5InAiATeH8Mwd9dYYgVN6ZD0okh4i1ogEzWGIbap/7GvcQa3A==
— witness.b Kln8QwAAAABq/YcIMEUCIHcNW4g+PhzBhmspSiWXN5dVPvMX8jIwuRB+dF4Bzi6gAiEA53VftGxGSZSek1cUim+LPeRaqPtq2Iuq90Ht1ceVxcE=
"""


def path(index, leaves):
    """RFC 9162, 2.1.3.1."""
    if len(leaves) == 1:
        return []
    k = 1 << (len(leaves) - 1).bit_length() - 1
    if index < k:
        return path(index, leaves[:k]) + [tree.root(leaves[k:])]
    return path(index - k, leaves[k:]) + [tree.root(leaves[:k])]


def consistency(old, leaves, whole=True):
    """RFC 9162, 2.1.4.1."""
    if old == len(leaves):
        return [] if whole else [tree.root(leaves)]
    k = 1 << (len(leaves) - 1).bit_length() - 1
    if old <= k:
        return consistency(old, leaves[:k], whole) + [tree.root(leaves[k:])]
    return consistency(old - k, leaves[k:], False) + [tree.root(leaves[:k])]


class Proofs(unittest.TestCase):
    def test_inclusion_at_every_place_and_nowhere_else(self):
        for count in range(1, 20):
            leaves = [bytes([n]) for n in range(count)]
            root = tree.root(leaves)
            for index in range(count):
                proof = path(index, leaves)
                found = proofs.root_of_path(index, count, tree.leaf(leaves[index]), proof)
                self.assertEqual(found, root, (index, count))
                for other in range(count + 2):
                    if other != index:
                        found = proofs.root_of_path(other, count, tree.leaf(leaves[index]), proof)
                        self.assertNotEqual(found, root, (index, other, count))
                self.assertNotEqual(proofs.root_of_path(index, count, tree.leaf(leaves[index]), proof + [root]), root)
                if proof:
                    self.assertNotEqual(proofs.root_of_path(index, count, tree.leaf(leaves[index]), proof[:-1]), root)

    def test_consistency_of_every_two_sizes(self):
        leaves = [bytes([n]) for n in range(20)]
        roots = [tree.root(leaves[:n]) for n in range(21)]
        for new in range(1, 21):
            for old in range(1, new + 1):
                proof = consistency(old, leaves[:new])
                self.assertTrue(proofs.continues(old, roots[old], new, roots[new], proof), (old, new))
                self.assertFalse(proofs.continues(old, roots[0], new, roots[new], proof), (old, new))
                self.assertFalse(proofs.continues(old, roots[old], new, roots[0], proof), (old, new))
                self.assertFalse(proofs.continues(old, roots[old], new, roots[new], proof + [roots[1]]), (old, new))
                self.assertFalse(proofs.continues(new + 1, roots[old], new, roots[new], proof), (old, new))
                for at in range(len(proof)):
                    worse = proof[:at] + [sm3.hash(b"other")] + proof[at + 1 :]
                    self.assertFalse(proofs.continues(old, roots[old], new, roots[new], worse), (old, new, at))
        self.assertTrue(proofs.continues(0, roots[0], 5, roots[5], []))


class Notes(unittest.TestCase):
    def test_frozen_bytes_are_believed(self):
        policy, checkpoint = notes.Policy(POLICY), notes.Checkpoint.parse(CHECKPOINT.encode())
        self.assertEqual((checkpoint.origin, checkpoint.size), ("log.demo.guitai/sm3", 13))
        policy.believe(checkpoint)
        policy.names_each_once(checkpoint)

    def test_nothing_else_is(self):
        lines = CHECKPOINT.split("\n")
        forms = {
            "another size": CHECKPOINT.replace("\n13\n", "\n14\n"),
            "no log": "\n".join(lines[:4] + lines[5:]),
            "one witness": "\n".join(lines[:5] + lines[6:]),
            "a line twice": CHECKPOINT + lines[5] + "\n",
            "an unknown signer": CHECKPOINT + "— witness.c AAAAAAAA\n",
            "an extension": CHECKPOINT.replace("=\n\n", "=\nmore\n\n"),
            "another time": CHECKPOINT.replace("q/YcIMEQC", "q/YcJMEQC"),
            "no signatures": CHECKPOINT[: CHECKPOINT.index("—")],
        }
        policy = notes.Policy(POLICY)
        for what, text in forms.items():
            self.assertNotEqual(text, CHECKPOINT, what)
            with self.assertRaises(notes.NotLogged, msg=what):
                checkpoint = notes.Checkpoint.parse(text.encode())
                policy.believe(checkpoint)
                policy.names_each_once(checkpoint)

    def test_policies_that_mean_nothing(self):
        for text in (
            b"", b"quorum all\n", b"quorum none\nquorum none\n", b"# \x01\nquorum none\n", b"trust none\nquorum none\n",
            POLICY + POLICY.split(b"\n")[0] + b"\n", POLICY.replace(b" 2 ", b" 4 "), POLICY.replace(b"+643594b4+", b"+643594b5+"),
            POLICY.replace(b"witness witness.a2", b"witness witness.a1"), POLICY.replace(b" 2 witness.a1", b" 2 witness.b"),
        ):  # fmt: skip
            with self.assertRaises(notes.NotLogged, msg=text[:60]):
                notes.Policy(text)
        notes.Policy(b"\t # any\n\n quorum\tnone ")


class Container(unittest.TestCase):
    FILES = {"b.txt": b"b" * 513, "log/a": b"", "manifest.json": b"{}"}

    def tar(self):
        members = (container.header(path, len(data)) + data + bytes(-len(data) % 512) for path, data in self.FILES.items())
        return b"".join(members) + bytes(1024)

    def open(self, data):
        with tempfile.TemporaryDirectory() as folder:
            file = os.path.join(folder, "x.vcep")
            with open(file, "wb") as out:
                out.write(data)
            opened = container.Container(file)
            try:
                return {path: opened.read(path) for path, kind in opened.entries() if kind == "file"}
            finally:
                opened.close()

    def test_it_is_a_tar_and_every_byte_beside_the_contents_counts(self):
        good = self.tar()
        with tarfile.open(fileobj=io.BytesIO(good)) as tar:
            self.assertEqual({member.name: tar.extractfile(member).read() for member in tar}, self.FILES)
        self.assertEqual(self.open(good), self.FILES)
        contents = set(range(512, 512 + 513)) | set(range(2048 + 512, 2048 + 514))
        for at in set(range(len(good))) - contents:
            with self.assertRaises(container.NotContainer, msg=at):
                self.open(good[:at] + bytes([good[at] ^ 1]) + good[at + 1 :])
        for length in range(0, len(good), 7):
            with self.assertRaises(container.NotContainer, msg=length):
                self.open(good[:length])

    def test_large_sizes(self):
        size = 9 * 1024**3
        self.assertEqual(container.header("a", size)[124:136], b"\x80" + size.to_bytes(11, "big"))
        self.assertEqual(container.header("a", 8 * 1024**3 - 1)[124:136], b"77777777777\0")


class Segments(unittest.TestCase):
    def test_a_segment_has_one_form(self):
        for samples in ([(20_000, 3, True), (20_001, 2, False)], [(20_000, 5, True)]):
            self.one_form(samples)

    def one_form(self, samples):
        good = segment.moof(7, 1, 1 << 33, samples) + b"\0\0\0\x0dmdat" + b"abcde"
        found = segment.media(good, len(good))
        self.assertEqual((found.sequence, found.base, found.samples), (7, 1 << 33, samples))
        for at in range(len(good) - 5):
            for bit in range(8):
                bad = good[:at] + bytes([good[at] ^ 1 << bit]) + good[at + 1 :]
                try:
                    self.assertNotEqual(segment.media(bad, len(bad)), found, (at, bit))
                except segment.NoMedia:
                    pass
        for size in (0, len(good) - 1, len(good) + 1):
            with self.assertRaises(segment.NoMedia):
                segment.media(good[:size], size)


if __name__ == "__main__":
    unittest.main()
