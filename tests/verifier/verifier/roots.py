"""The recorder's signed roots by the second, `roots.jsonl`."""

import re

from . import canonical, proofs, schema, sm2, tree, x509
from .package import NotReadable

FILE = "roots.jsonl"
CHAIN = re.compile(r"trust/recorder-([1-9][0-9]{0,9})\.pem", re.ASCII)
LINE = schema.fields(
    {
        "node": schema.ident,
        "second": schema.u64,
        "count": schema.u32,
        "root": schema.hexadecimal,
        "signature": schema.hexadecimal,
        "signer": schema.u32,
        "segments": schema.items(
            schema.fields(
                {
                    "index": schema.u32, "track": schema.u32, "segment": schema.u32, "salt": schema.hexadecimal,
                    "path": schema.items(schema.hexadecimal),
                }
            )
        ),
    }
)  # fmt: skip


class NotLines(ValueError):
    """The file is not of its form."""


def read(package, recorder: str) -> list:
    """The lines; raises NotLines where they cannot be read as what they should be."""
    try:
        raw = package.read(FILE)
        if raw and not raw.endswith(b"\n"):
            raise NotLines("the last line does not end")
        found = []
        for line in raw.split(b"\n")[:-1]:
            value = canonical.parse(line)
            schema.check(LINE, value, f"line {len(found) + 1}")
            found.append(value)
    except (NotReadable, canonical.NotCanonical, schema.NotStated) as error:
        raise NotLines(error) from None
    if any(a["second"] >= b["second"] for a, b in zip(found, found[1:])):
        raise NotLines("the seconds do not rise")
    for line in found:
        indexes = [place["index"] for place in line["segments"]]
        if line["node"] != recorder:
            raise NotLines(f"second {line['second']} is of {line['node']}")
        if not indexes or any(a >= b for a, b in zip(indexes, indexes[1:])):
            raise NotLines(f"second {line['second']}: segments are not ordered by index, or there are none")
    return found


def text(line) -> bytes:
    """What a recorder signs of one second."""
    return f"guitai-recorder-root/1\n{line['node']}\n{line['second']}\n{line['count']}\n{line['root']}\n".encode("ascii")


def check(findings, package, manifest, lines, root):
    """`root`: the certificate of `trust/root.pem`, or None."""
    fault = lambda detail, name=FILE: findings.fault("roots", name, detail)
    chains = _chains(fault, package, manifest, lines)
    digests = {file["path"]: file["sm3"] for file in manifest["files"]}
    stated = {(track["number"], part["number"]) for track in manifest["tracks"] for part in track["segments"]}
    under = set()
    for line in lines:
        second = line["second"]
        _signed(fault, line, chains.get(line["signer"]), manifest, root)
        for place in line["segments"]:
            which = place["track"], place["segment"]
            if which not in stated or which in under:
                fault(f"second {second}: segment {which[1]} of track {which[0]} stands under another root too, or is none")
                continue
            under.add(which)
            _leads(fault, line, place, digests)
    for track, number in sorted(stated - under):
        fault(f"segment {number} of track {track} is under no root")
    findings.holds_unless_faulty("roots", f"{len(under)} segments under {len(lines)} roots")


def _chains(fault, package, manifest, lines):
    """Certificates by the number in their file's name, the signer's first."""
    found, named = {}, {line["signer"] for line in lines}
    for file in manifest["files"]:
        if file["path"].startswith("trust/recorder-") and not CHAIN.fullmatch(file["path"]):
            fault("no number that a line could name", file["path"])
    numbers = [int(match[1]) for match in (CHAIN.fullmatch(file["path"]) for file in manifest["files"]) if match]
    if sorted(numbers) != list(range(1, len(numbers) + 1)):
        fault("the recorder's certificates are not numbered from 1")
    for number in sorted(numbers):
        path = f"trust/recorder-{number}.pem"
        if number not in named:
            fault("no line names it", path)
        try:
            chain = [x509.parse(data) for data in x509.from_pem(package.read(path))]
            if not 1 <= len(chain) <= x509.CHAIN_MAX:
                raise x509.NotTrusted(f"{len(chain)} certificates")
            found[number] = chain
        except (NotReadable, x509.NotTrusted) as error:
            fault(error, path)
    return found


def _signed(fault, line, chain, manifest, root):
    try:
        if chain is None or root is None:
            raise x509.NotTrusted(f"there is no certificate {line['signer']} that leads to a root")
        x509.path(chain, root, line["second"])
        x509.must_name(chain[0], manifest["recorder"], manifest["cluster"])
        if not sm2.is_signed(chain[0].key, text(line), bytes.fromhex(line["signature"])):
            raise x509.NotTrusted("the signature does not fit")
    except x509.NotTrusted as error:
        fault(f"second {line['second']}: {error}")


def _leads(fault, line, place, digests):
    path = f"tracks/{place['track']}/{place['segment']:06}.m4s"
    if path not in digests:
        fault("not listed in the manifest", path)
        return
    if any(len(text) != 64 for text in (place["salt"], *place["path"])):
        fault(f"under second {line['second']} by what are no hashes", path)
        return
    leaf = tree.leaf(bytes.fromhex(place["salt"]) + bytes.fromhex(digests[path]))
    hashes = map(bytes.fromhex, place["path"])
    if proofs.root_of_path(place["index"], line["count"], leaf, hashes) != bytes.fromhex(line["root"]):
        fault(f"does not lead to the root of second {line['second']}", path)
