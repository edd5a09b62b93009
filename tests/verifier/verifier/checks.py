"""The checks, each named as in the format document, and the order they are made in."""

import os

from . import attached as attaching
from . import canonical, cms, composite, logged, roots, schema, segment, sm2, sm3, stamp, tree, x509
from .container import Container, NotContainer
from .package import FILE_BYTES_MAX, FILES_MAX, NotReadable, Package, is_safe
from .report import Findings

FORMATS = ("guitai-evidence/1", "guitai-evidence/2", "guitai-evidence/3", "guitai-evidence/4")
WITH_ROOTS = FORMATS[2:]
WITH_LOSSES = FORMATS[3:]
UNLISTED = ("manifest.json", "manifest.p7s", "manifest.sig", "SM3SUMS")
REQUIRED = ("README.txt", "events.jsonl", "gaps.json", "trust/chain.pem", "trust/root.pem")
REQUIRED_3 = ("roots.jsonl", "view.html")
PARTIES, MEDIA = ("customer", "agent"), ("audio", "video")
FRAMES_HEADER = b"timestamp_us,bytes,key\n"
HOLE_US_MAX = {"video": 1_000_000, "audio": 200_000}


def verify(place, expected_root: bytes = None, readers_policy=None, film=None) -> dict:
    """The report on the package in a directory or a `.vcep`; `expected_root` is the SM3 of the root's DER that the
    caller trusts, `readers_policy` says whose signatures on the log's checkpoints count for the caller, `film` is a
    composite of the package that is to be checked with it."""
    findings = Findings()
    if os.path.isdir(place):
        return _verify(findings, Package(place), expected_root, readers_policy, film)
    try:
        package = Container(place)
    except NotContainer as error:
        findings.fault("container", os.path.basename(os.fspath(place)), error)
        return findings.report(None)
    findings.holds_unless_faulty("container", f"{len(package.entries())} entries")
    try:
        return _verify(findings, package, expected_root, readers_policy, film)
    finally:
        package.close()


def _verify(findings, package, expected_root, readers_policy, film) -> dict:
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
    signer, fingerprint, root = _trust(findings, package, manifest, raw, expected_root)
    attached, lines = None, None
    if manifest["format"] in WITH_ROOTS:
        attached, lines = _later(findings, package, manifest, root)
    found = _files(findings, package, manifest["files"] + (attached["files"] if attached else []))
    _unlisted(findings, package, manifest, attached)
    _sums(findings, package, manifest)
    segments = _tracks(findings, package, manifest, found)
    _continuity(findings, manifest)
    _gaps(findings, package, manifest)
    _turns(findings, manifest, segments, found)
    _events(findings, package, manifest)
    if manifest["format"] not in WITH_ROOTS:
        logged.none(findings, f"{manifest['format']} has none")
    elif attached is not None:
        _stamp(findings, package, manifest, attached, root)
        logged.check(findings, package, manifest, attached, lines, readers_policy)
    composite.check(findings, film, raw, manifest)
    return findings.report(_facts(manifest, signer, fingerprint, expected_root))


def _later(findings, package, manifest, root):
    """Checks attached and roots; gives the list of what is attached and the lines of the roots, None for what is none."""
    lines = None
    try:
        lines = roots.read(package, manifest["recorder"])
        roots.check(findings, package, manifest, lines, root)
    except roots.NotLines as error:
        findings.fault("roots", roots.FILE, error)
    try:
        attached = attaching.read(package)
    except attaching.NotAttached as error:
        findings.fault("attached", attaching.LIST, error)
        return None, lines
    attaching.check(findings, package, manifest, attached, lines, root)
    return attached, lines


def _stamp(findings, package, manifest, attached, root):
    is_there = attaching.STAMP in (file["path"] for file in attached["files"])
    causes = (one["cause"] for one in attached["missing"] if one["what"] == "timestamp")
    stamp.check(findings, package, manifest, is_there, f"missing: {next(causes, 'not said')}", root)


def _manifest(findings, manifest, size):
    fault = lambda detail: findings.fault("manifest", "manifest.json", detail)
    if manifest["format"] not in FORMATS:
        fault(f"format {manifest['format']} is not known")
    later = manifest["format"] in WITH_ROOTS
    paths = [file["path"] for file in manifest["files"]]
    if len(paths) > FILES_MAX:
        fault(f"more than {FILES_MAX} files")
    for path in paths:
        if not is_safe(path) or path in UNLISTED or (later and _is_later(path)):
            fault(f"{path!r} may not be listed")
    if any(a.encode() >= b.encode() for a, b in zip(paths, paths[1:])):
        fault("files are not ordered by path")
    for path in REQUIRED + (REQUIRED_3 if later else ()):
        if path not in paths:
            fault(f"{path} is not listed")
    if any(file["size"] > FILE_BYTES_MAX for file in manifest["files"]):
        fault(f"a file of more than {FILE_BYTES_MAX} bytes")
    findings.holds_unless_faulty("manifest", f"{size} bytes, {manifest['format']}")


def _is_later(path):
    return path in (attaching.LIST, attaching.SIGNED, attaching.STAMP) or path.startswith("log/")


def _trust(findings, package, manifest, raw, expected_root):
    """Checks root, signed-data and signature; gives the signer's name, the fingerprint of the root, and the root."""
    chain, fingerprint, root = None, "", None
    try:
        anchors = x509.from_pem(package.read("trust/root.pem"))
        if len(anchors) != 1:
            raise x509.NotTrusted(f"trust/root.pem holds {len(anchors)} certificates")
        fingerprint, root = sm3.hash(anchors[0]).hex(), x509.parse(anchors[0])
        chain = [x509.parse(data) for data in x509.from_pem(package.read("trust/chain.pem"))]
        if not 1 <= len(chain) <= x509.CHAIN_MAX:
            raise x509.NotTrusted(f"trust/chain.pem holds {len(chain)} certificates")
        x509.path(chain, root, manifest["sealed_at"] // 1000)
        x509.must_name(chain[0], manifest["recorder"], manifest["cluster"])
        if expected_root is not None and fingerprint != expected_root.hex():
            raise x509.NotTrusted(f"the root is {fingerprint}, not the expected one")
    except (NotReadable, x509.NotTrusted) as error:
        findings.fault("root", "trust/chain.pem", error)
    expected = "the expected root" if expected_root is not None else "no root was given, this one is"
    findings.holds_unless_faulty("root", f"{expected} {fingerprint}")
    if not chain:
        for what in ("signed-data", "signature"):
            findings.fault(what, None, "there is no certificate to check it with")
        return "", fingerprint, root

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
    return "" if findings.faulty("root") else signer, fingerprint, root


def _files(findings, package, files):
    """Gives size, SM3 in hex, and of segments what they say, of each listed file that can be read, by path."""
    found, total = {}, 0
    for file in files:
        path = file["path"]
        try:
            size, digest, head = package.measure(path)
        except NotReadable as error:
            findings.fault("files", path, error)
            continue
        found[path] = (size, digest.hex(), segment.Parsed(head, size) if path.endswith(".m4s") else None)
        total += size
        if (size, digest.hex()) != (file["size"], file["sm3"]):
            findings.fault("files", path, f"{size} bytes with SM3 {digest.hex()}, not what is listed")
    findings.holds_unless_faulty("files", f"{len(files)} files, {total} bytes")
    return found


def _unlisted(findings, package, manifest, attached):
    known = {file["path"] for file in manifest["files"]} | set(UNLISTED)
    if manifest["format"] in WITH_ROOTS:
        known |= {attaching.LIST, attaching.SIGNED}
    if attached is not None:
        known |= {file["path"] for file in attached["files"]}
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
    # Of the manifest's list: whether the files are as listed is for `files` to say.
    listed = {file["path"]: file for file in manifest["files"]}
    fault = lambda detail, name="manifest.json": findings.fault("tracks", name, detail)
    _numbers(fault, manifest)
    for track in manifest["tracks"]:
        folder = f"tracks/{track['number']}"
        names = ["init.mp4"]
        for part in track["segments"]:
            name = f"{part['number']:06}.m4s"
            names.append(name)
            segments.append((track, part, f"{folder}/{name}"))
        expected |= {f"{folder}/{name}" for name in [*names, "frames.csv", "tree.sm3"]}
        _track_tree(fault, package, track, folder, names, listed)
        _track_sums(fault, track, folder, names, listed)
        _track_frames(fault, package, track, folder, found)
    _playable(findings, package, manifest, found, listed)
    for path in sorted(expected - listed.keys()):
        findings.fault("tracks", path, "not listed in the manifest")
    for path in sorted(path for path in listed.keys() - expected if path.startswith("tracks/")):
        findings.fault("tracks", path, "belongs to no track")
    findings.holds_unless_faulty("tracks", f"{len(manifest['tracks'])} tracks, {len(segments)} segments")
    return segments


def _numbers(fault, manifest):
    """Tracks and segments are numbered from 1; in a format with losses, what is missing between is declared."""
    gaps = manifest["gaps"] if manifest["format"] in WITH_LOSSES else []
    spare = sum(gap["cause"] == "track-lost" for gap in gaps)
    lost = {(gap.get("track"), gap.get("segment"), gap.get("resumed")) for gap in gaps if gap["cause"] == "segment-lost"}
    last = 0
    for track in manifest["tracks"]:
        number = track["number"]
        spare -= number - last - 1
        if number <= last or spare < 0:
            fault(f"track {number} stands after track {last}")
            return
        last, before = number, 0
        for part in track["segments"]:
            place = (number, before, number) if before else (None, None, number)
            if part["number"] != before + 1 and (part["number"] <= before or place not in lost):
                fault(f"track {number}: segment {part['number']} stands after segment {before}")
                break
            before = part["number"]


def _track_tree(fault, package, track, folder, names, listed):
    parts = [(name, listed.get(f"{folder}/{name}")) for name in names]
    lines = [f"{part['sm3']}  {name}".encode() for name, part in parts if part]
    try:
        if package.read(f"{folder}/tree.sm3") != b"".join(line + b"\n" for line in lines):
            fault("not the list of the track's files", f"{folder}/tree.sm3")
    except NotReadable as error:
        fault(error, f"{folder}/tree.sm3")
    root = tree.root(lines).hex()
    if root != track["root"]:
        fault(f"the root of track {track['number']} is {root}")


def _track_sums(fault, track, folder, names, listed):
    number, segments = track["number"], track["segments"]
    if not segments:
        fault(f"track {number} has no segment")
        return
    sizes = [listed[f"{folder}/{name}"]["size"] for name in names[1:] if f"{folder}/{name}" in listed]
    facts = {
        "frames": sum(part["frames"] for part in segments),
        "bytes": sum(sizes),
        "end_us": segments[-1]["end_us"],
        "duration_ms": (track["end_us"] - track["first_us"]) // 1000,
    }
    for name, value in facts.items():
        if track[name] != value:
            fault(f"{name} of track {number} is {value}")
    # Times are counted from the track's first frame, lost or not.
    begins = track["first_us"] < segments[0]["first_us"] if segments[0]["number"] > 1 else track["first_us"] == segments[0]["first_us"]
    if not begins:
        fault(f"track {number} does not begin with its first segment")
    if any(part["first_us"] > part["end_us"] for part in segments):
        fault(f"track {number}: a segment ends before it begins")


def _track_frames(fault, package, track, folder, found):
    """The frame log and the manifest say of each frame what its segment does."""
    lines = [FRAMES_HEADER]
    for part in track["segments"]:
        path = f"{folder}/{part['number']:06}.m4s"
        if path not in found:
            fault("cannot be read for its frames", path)
            return
        try:
            media = found[path][2].media()
        except segment.NoMedia as error:
            fault(error, path)
            return
        stated = (part["number"], part["first_us"] - track["first_us"], part["frames"], part["end_us"], part["key"])
        time, samples = part["first_us"], media.samples
        for us, size, key in samples:
            lines.append(f"{time},{size},{int(key)}\n".encode("ascii"))
            time += us
        if stated != (media.sequence, media.base, len(samples), time, samples[0][2]):
            fault("its number, times, frames or kind are not what the manifest says", path)
    try:
        if package.read(f"{folder}/frames.csv") != b"".join(lines):
            fault("not what the segments say of their frames", f"{folder}/frames.csv")
    except NotReadable as error:
        fault(error, f"{folder}/frames.csv")


def _playable(findings, package, manifest, found, listed):
    """Each is made of its tracks' segments."""
    tracks = {track["number"]: track for track in manifest["tracks"]}
    files = [playable["file"] for playable in manifest["playable"]]
    for playable in manifest["playable"]:
        file, numbers = playable["file"], playable["tracks"]
        fault = lambda detail: findings.fault("tracks", file, detail)
        if files.count(file) > 1 or "/" in file or file not in listed:
            fault("no playable file that is listed once")
        elif not numbers or any(a >= b for a, b in zip(numbers, numbers[1:])) or not tracks.keys() >= set(numbers):
            fault("not of tracks in their order")
        else:
            mine = sorted((tracks[number] for number in numbers), key=lambda track: track["media"] != "video")
            try:
                digest = _played(package, mine, found)
                if digest != listed[file]["sm3"]:
                    fault("not made of the segments of its tracks")
            except (NotReadable, segment.NoMedia) as error:
                fault(error)


def _played(package, tracks, found) -> str:
    """SM3 of the playable file that these tracks make, in the order of their ids."""
    state = sm3.new()
    state.update(segment.together([package.read(f"tracks/{track['number']}/init.mp4") for track in tracks]))
    origin = min(track["first_us"] for track in tracks)
    parts = [(part["first_us"] - origin, id_, track, part) for id_, track in enumerate(tracks, 1) for part in track["segments"]]
    # Sorting is stable: segments of one track and time stay in the order of their numbers.
    for sequence, (base, id_, track, part) in enumerate(sorted(parts, key=lambda it: it[:2]), 1):
        path = f"tracks/{track['number']}/{part['number']:06}.m4s"
        if path not in found or base < 0 or part["first_us"] < track["first_us"]:
            raise NotReadable(f"{path} has no place in it")
        samples = found[path][2].media().samples
        head = next(package.pieces(path, 0), b"")
        begin = segment.header_length(head)
        whole = segment.moof(sequence, id_, base, samples)
        state.update(head[:begin] + whole)
        for piece in package.pieces(path, begin + len(whole)):
            state.update(piece)
    return state.digest().hex()


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
    tracks = {track["number"]: (track["party"], track["media"], {part["number"] for part in track["segments"]}) for track in manifest["tracks"]}
    for gap in gaps:
        _gap(fault, gap, tracks)
    for party in PARTIES:
        for media in MEDIA:
            if (party, media) not in seen and all((gap["party"], gap["media"]) != (party, media) for gap in gaps):
                fault(f"there is no {media} of the {party}, and no gap says so")
    findings.holds_unless_faulty("continuity", f"{len(gaps)} gaps declared, no other hole")


def _gap(fault, gap, tracks):
    """What a gap names is there, and of its party and medium."""
    for name in ("track", "resumed"):
        if name in gap and tracks.get(gap[name], ())[:2] != (gap["party"], gap["media"]):
            fault(f"a gap names a track {gap[name]} that is not there, or of another party or medium")
    if "segment" in gap:
        numbers = tracks[gap["track"]][2] if gap.get("track") in tracks else ()
        if gap["segment"] not in numbers:
            fault(f"a gap names a segment {gap['segment']} that is not there")


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
        header = found[path][2].header()
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
