"""The checks, each named as in the format document, and the order they are made in."""

from . import canonical, cms, schema, segment, sm2, sm3, tree, x509
from .package import FILE_BYTES_MAX, FILES_MAX, NotReadable, Package, is_safe
from .report import Findings

FORMATS = ("guitai-evidence/1", "guitai-evidence/2")
UNLISTED = ("manifest.json", "manifest.p7s", "manifest.sig", "SM3SUMS")
REQUIRED = ("README.txt", "events.jsonl", "gaps.json", "trust/chain.pem", "trust/root.pem")
PARTIES, MEDIA = ("customer", "agent"), ("audio", "video")
HOLE_US_MAX = {"video": 1_000_000, "audio": 200_000}


def verify(directory, expected_root: bytes = None) -> dict:
    """The report on the package in `directory`; `expected_root` is the SM3 of the root's DER that the caller trusts."""
    findings = Findings()
    package = Package(directory)
    try:
        raw = package.read("manifest.json")
        manifest = canonical.parse(raw)
        schema.check(schema.MANIFEST, manifest, "manifest")
    except (NotReadable, canonical.NotCanonical, schema.NotStated) as error:
        findings.fault("manifest", "manifest.json", error)
        return findings.report(None)
    _manifest(findings, manifest, len(raw))
    if findings.faulty("manifest"):
        # Its paths may lead anywhere.
        return findings.report(None)
    signer, fingerprint = _trust(findings, package, manifest, raw, expected_root)
    found = _files(findings, package, manifest)
    _unlisted(findings, package, manifest)
    _sums(findings, package, manifest)
    segments = _tracks(findings, package, manifest, found)
    _continuity(findings, manifest)
    _gaps(findings, package, manifest)
    _turns(findings, manifest, segments, found)
    _events(findings, package, manifest)
    return findings.report(_facts(manifest, signer, fingerprint, expected_root))


def _manifest(findings, manifest, size):
    fault = lambda detail: findings.fault("manifest", "manifest.json", detail)
    if manifest["format"] not in FORMATS:
        fault(f"format {manifest['format']} is not known")
    paths = [file["path"] for file in manifest["files"]]
    if len(paths) > FILES_MAX:
        fault(f"more than {FILES_MAX} files")
    for path in paths:
        if not is_safe(path) or path in UNLISTED:
            fault(f"{path!r} may not be listed")
    if any(a.encode() >= b.encode() for a, b in zip(paths, paths[1:])):
        fault("files are not ordered by path")
    for path in REQUIRED:
        if path not in paths:
            fault(f"{path} is not listed")
    if any(file["size"] > FILE_BYTES_MAX for file in manifest["files"]):
        fault(f"a file of more than {FILE_BYTES_MAX} bytes")
    findings.holds_unless_faulty("manifest", f"{size} bytes, {manifest['format']}")


def _trust(findings, package, manifest, raw, expected_root):
    """Checks root, signed-data and signature; gives the signer's name, and the fingerprint of the root."""
    chain, fingerprint = None, ""
    try:
        chain_pem, root_pem = package.read("trust/chain.pem"), package.read("trust/root.pem")
        roots = x509.from_pem(root_pem)
        if len(roots) != 1:
            raise x509.NotTrusted(f"trust/root.pem holds {len(roots)} certificates")
        fingerprint = sm3.hash(roots[0]).hex()
        chain = [x509.parse(data) for data in x509.from_pem(chain_pem)]
        if not 1 <= len(chain) <= x509.CHAIN_MAX:
            raise x509.NotTrusted(f"trust/chain.pem holds {len(chain)} certificates")
        x509.path(chain, x509.parse(roots[0]), manifest["sealed_at"] // 1000)
        for attribute, value in ((x509.COMMON_NAME, manifest["recorder"]), (x509.ORGANIZATION, manifest["cluster"])):
            if chain[0].names.get(attribute) != [value]:
                raise x509.NotTrusted(f"the signer's certificate does not name {value}")
        if expected_root is not None and fingerprint != expected_root.hex():
            raise x509.NotTrusted(f"the root is {fingerprint}, not the expected one")
    except (NotReadable, x509.NotTrusted) as error:
        findings.fault("root", "trust/chain.pem", error)
    expected = "the expected root" if expected_root is not None else "no root was given, this one is"
    findings.holds_unless_faulty("root", f"{expected} {fingerprint}")
    if not chain:
        for what in ("signed-data", "signature"):
            findings.fault(what, None, "there is no certificate to check it with")
        return "", fingerprint

    signer = " ".join(chain[0].names.get(x509.COMMON_NAME, []))
    p7s = None
    try:
        p7s = package.read("manifest.p7s")
        at = cms.verify(p7s, raw, chain)
        if at != manifest["sealed_at"] // 1000:
            raise cms.NotSigned(f"signed at {at}, sealed at {manifest['sealed_at'] // 1000}")
    except (NotReadable, cms.NotSigned) as error:
        findings.fault("signed-data", "manifest.p7s", error)
    findings.holds_unless_faulty("signed-data", f"signed by {signer} at {manifest['sealed_at'] // 1000}")
    try:
        signature = package.read("manifest.sig")
        if p7s is None or not sm2.is_signed(chain[0].key, raw + p7s, signature):
            findings.fault("signature", "manifest.sig", "does not fit manifest.json and manifest.p7s")
    except NotReadable as error:
        findings.fault("signature", "manifest.sig", error)
    findings.holds_unless_faulty("signature", f"signed by {signer}")
    return "" if findings.faulty("root") else signer, fingerprint


def _files(findings, package, manifest):
    """Gives size, SM3 in hex, and first bytes of each listed file that can be read, by path."""
    found, total = {}, 0
    for file in manifest["files"]:
        path = file["path"]
        try:
            size, digest, head = package.measure(path)
        except NotReadable as error:
            findings.fault("files", path, error)
            continue
        found[path] = (size, digest.hex(), head)
        total += size
        if (size, digest.hex()) != (file["size"], file["sm3"]):
            findings.fault("files", path, f"{size} bytes with SM3 {digest.hex()}, not what is listed")
    findings.holds_unless_faulty("files", f"{len(manifest['files'])} files, {total} bytes")
    return found


def _unlisted(findings, package, manifest):
    known = {file["path"] for file in manifest["files"]} | set(UNLISTED)
    folders = {path[:at] for path in known for at, char in enumerate(path) if char == "/"}
    try:
        entries = package.entries()
    except (NotReadable, OSError) as error:
        findings.fault("unlisted", None, error)
        return
    for path, kind in entries:
        if kind == "empty":
            findings.fault("unlisted", path, "an empty directory")
        elif kind == "directory" and path not in folders:
            findings.fault("unlisted", path, "a directory of no listed file")
        elif kind == "file" and path not in known:
            findings.fault("unlisted", path, "not listed in the manifest")
        elif kind == "other" and path not in known:
            findings.fault("unlisted", path, "neither a file nor a directory")
    findings.holds_unless_faulty("unlisted", f"{len(entries)} entries, all known")


def _sums(findings, package, manifest):
    lines = [f"{file['sm3']}  {file['path']}".encode() for file in manifest["files"]]
    try:
        if package.read("SM3SUMS") != b"".join(line + b"\n" for line in lines):
            findings.fault("sums", "SM3SUMS", "not the list that the manifest gives")
    except NotReadable as error:
        findings.fault("sums", "SM3SUMS", error)
    root = tree.root(lines).hex()
    if root != manifest["root"]:
        findings.fault("sums", "manifest.json", f"the root is {root}")
    findings.holds_unless_faulty("sums", f"root {root}")


def _tracks(findings, package, manifest, found):
    """Gives every segment with its track and its path."""
    segments, expected = [], set()
    for place, track in enumerate(manifest["tracks"], 1):
        folder = f"tracks/{track['number']}"
        fault = lambda detail, name="manifest.json": findings.fault("tracks", name, detail)
        if track["number"] != place:
            fault(f"track {track['number']} stands in place {place}")
        names = ["init.mp4"]
        for number, part in enumerate(track["segments"], 1):
            name = f"{number:06}.m4s"
            names.append(name)
            segments.append((track, part, f"{folder}/{name}"))
            if part["number"] != number:
                fault(f"track {place}: segment {part['number']} stands in place {number}")
        expected |= {f"{folder}/{name}" for name in [*names, "frames.csv", "tree.sm3"]}
        _track_tree(fault, package, track, folder, names, found)
        _track_sums(fault, track, folder, names, found)
    listed = {file["path"] for file in manifest["files"]}
    for path in sorted(expected - listed):
        findings.fault("tracks", path, "not listed in the manifest")
    for path in sorted(path for path in listed - expected if path.startswith("tracks/")):
        findings.fault("tracks", path, "belongs to no track")
    findings.holds_unless_faulty("tracks", f"{len(manifest['tracks'])} tracks, {len(segments)} segments")
    return segments


def _track_tree(fault, package, track, folder, names, found):
    parts = [(name, found.get(f"{folder}/{name}")) for name in names]
    lines = [f"{part[1]}  {name}".encode() for name, part in parts if part]
    try:
        if package.read(f"{folder}/tree.sm3") != b"".join(line + b"\n" for line in lines):
            fault("not the list of the track's files", f"{folder}/tree.sm3")
    except NotReadable as error:
        fault(error, f"{folder}/tree.sm3")
    root = tree.root(lines).hex()
    if root != track["root"]:
        fault(f"the root of track {track['number']} is {root}")


def _track_sums(fault, track, folder, names, found):
    number, segments = track["number"], track["segments"]
    if not segments:
        fault(f"track {number} has no segment")
        return
    sizes = [found[f"{folder}/{name}"][0] for name in names[1:] if f"{folder}/{name}" in found]
    facts = {
        "frames": sum(part["frames"] for part in segments),
        "bytes": sum(sizes),
        "first_us": segments[0]["first_us"],
        "end_us": segments[-1]["end_us"],
        "duration_ms": (track["end_us"] - track["first_us"]) // 1000,
    }
    for name, value in facts.items():
        if track[name] != value:
            fault(f"{name} of track {number} is {value}")
    if any(part["first_us"] > part["end_us"] for part in segments):
        fault(f"track {number}: a segment ends before it begins")


def _continuity(findings, manifest):
    fault = lambda detail: findings.fault("continuity", "manifest.json", detail)
    gaps, seen = manifest["gaps"], set()
    declared = {(gap.get("track"), gap.get("segment"), gap.get("resumed")) for gap in gaps}
    for track in manifest["tracks"]:
        number, kind = track["number"], (track["party"], track["media"])
        for before, after in zip(track["segments"], track["segments"][1:]):
            hole = abs(after["first_us"] - before["end_us"])
            if hole > HOLE_US_MAX[track["media"]] and (number, before["number"], number) not in declared:
                fault(f"track {number}: {hole} µs after segment {before['number']} are not declared")
        if kind in seen and all((gap["party"], gap["media"], gap.get("resumed")) != (*kind, number) for gap in gaps):
            fault(f"track {number} goes on after no declared gap")
        seen.add(kind)
    for party in PARTIES:
        for media in MEDIA:
            if (party, media) not in seen and all((gap["party"], gap["media"]) != (party, media) for gap in gaps):
                fault(f"there is no {media} of the {party}, and no gap says so")
    findings.holds_unless_faulty("continuity", f"{len(gaps)} gaps declared, no other hole")


def _gaps(findings, package, manifest):
    try:
        if package.read("gaps.json") != canonical.write(manifest["gaps"]):
            findings.fault("gaps", "gaps.json", "not the gaps of the manifest")
    except NotReadable as error:
        findings.fault("gaps", "gaps.json", error)
    findings.holds_unless_faulty("gaps", f"{len(manifest['gaps'])} gaps")


def _turns(findings, manifest, segments, found):
    fault = lambda detail, name="manifest.json": findings.fault("turns", name, detail)
    turns, disowned = manifest.get("assignments", []), manifest.get("disowned", [])
    if manifest["format"] == FORMATS[0] and (turns or disowned):
        fault("format 1 knows no turns")
    if any(turn["number"] != place for place, turn in enumerate(turns, 1)):
        fault("turns are not numbered from 1")
    if any(a["epoch"] > b["epoch"] for a, b in zip(turns, turns[1:])):
        fault("the epoch falls from one turn to the next")
    mine = {turn["number"]: turn["epoch"] for turn in turns if turn["node"] == manifest["recorder"]}
    for track, part, path in segments:
        _header(fault, manifest, track, part, path, found)
        assignment, epoch = part.get("assignment", 0), part.get("epoch", 0)
        if not assignment:
            continue
        owned = assignment in mine and mine[assignment] <= epoch
        said = any(d["track"] == track["number"] and d["from"] <= part["number"] <= d["to"] for d in disowned)
        if owned == said:
            fault(f"{'of' if owned else 'not of'} a turn of the recorder's, and the manifest says otherwise", path)
    numbers = {(track["number"], part["number"]) for track, part, _ in segments}
    for d in disowned:
        if d["from"] > d["to"] or any((d["track"], n) not in numbers for n in (d["from"], d["to"])):
            fault(f"segments {d['from']} to {d['to']} of track {d['track']} are disowned and not there")
    none = sum(d["to"] - d["from"] + 1 for d in disowned)
    findings.holds_unless_faulty("turns", f"{len(turns)} turns, {len(segments)} segments, {none} of them declared to be of none")


def _header(fault, manifest, track, part, path, found):
    if path not in found:
        fault("there is no header to compare", path)
        return
    try:
        header = segment.header(found[path][2])
    except segment.NoHeader as error:
        fault(error, path)
        return
    stated = segment.Header(
        part.get("epoch", 0), part.get("assignment", 0), track["number"], part["number"],
        manifest["recorder"], manifest["session"]["id"],
    )  # fmt: skip
    if header != (stated if stated.assignment else None):
        fault(f"the header says {header}", path)


def _events(findings, package, manifest):
    fault = lambda detail: findings.fault("events", "events.jsonl", detail)
    events = []
    try:
        raw = package.read("events.jsonl")
        if raw and not raw.endswith(b"\n"):
            fault("the last line does not end")
        for line in raw.split(b"\n")[:-1]:
            event = canonical.parse(line)
            schema.check(schema.EVENT, event, f"event {len(events) + 1}")
            events.append(event)
    except (NotReadable, canonical.NotCanonical, schema.NotStated) as error:
        fault(error)
    if len(events) != manifest["events"]:
        fault(f"{len(events)} events, the manifest says {manifest['events']}")
    if any(event["number"] != place for place, event in enumerate(events, 1)):
        fault("events are not numbered from 1")
    if any(a["at"] > b["at"] for a, b in zip(events, events[1:])):
        fault("events are not in the order of time")
    grounds = {(event["at"], value) for event in events for value in event["details"].values()}
    for step in manifest["steps"]:
        if "done_at" in step and (step["done_at"], step["id"]) not in grounds:
            fault(f"step {step['id']} has no event of its time")
    findings.holds_unless_faulty("events", f"{len(events)} events")


def _facts(manifest, signer, fingerprint, expected_root):
    disowned = manifest.get("disowned", [])
    return {
        "session": manifest["session"]["id"],
        "signer": signer,
        "root_fingerprint": fingerprint,
        "root_expected": expected_root is not None and expected_root.hex() == fingerprint,
        "root": manifest["root"],
        "sealed_at": manifest["sealed_at"],
        "duration_ms": max((track["duration_ms"] for track in manifest["tracks"]), default=0),
        "segments_disowned": sum(max(d["to"] - d["from"] + 1, 0) for d in disowned),
        "files": len(manifest["files"]),
        "bytes": sum(file["size"] for file in manifest["files"]),
        "tracks": len(manifest["tracks"]),
        "gaps": len(manifest["gaps"]),
        "steps_missing": [s["id"] for s in manifest["steps"] if s["required"] and "done_at" not in s],
    }
