"""What is in the cluster's transparency log: the seal, the roots, under a checkpoint that is believed."""

from . import attached as attaching
from . import notes, proofs
from .attached import CHECKPOINT, CHECKPOINT_OLD, CONSISTENCY, POLICY, ROOT_PROOF, SEAL_PROOF
from .notes import NotLogged
from .package import NotReadable

PARTS = ("timestamp", "roots-logged", "seal-logged", "checkpoint", "consistency")
MISSING = {"roots-logged": "root-proofs", "seal-logged": "seal-proof", "consistency": "consistency"}


def none(findings, why: str):
    """A package that has nothing of all this."""
    for what in PARTS:
        findings.absent(what, why)


def check(findings, package, manifest, attached, lines, readers_policy):
    """`attached`: the list, as read; `lines`: of `roots.jsonl`; `readers_policy`: has to believe the checkpoints too."""
    paths = {file["path"] for file in attached["files"]}
    causes = {one["what"]: one["cause"] for one in attached["missing"]}
    why = lambda what: f"missing: {causes[what]}" if what in causes else "missing"
    if CHECKPOINT not in paths:
        for part, what in MISSING.items():
            findings.absent(part, why(what))
        findings.absent("checkpoint", "nothing of the log")
        return
    # What leads to a checkpoint that nobody need believe shows nothing, and is not checked.
    new = _believed(findings, package, CHECKPOINT, readers_policy)
    if new is None:
        return
    if CONSISTENCY in paths:
        old = _believed(findings, package, CHECKPOINT_OLD, readers_policy)
        if old is not None:
            _continues(findings, package, new, old)
    else:
        findings.absent("consistency", why("consistency"))
    by = "the reader's policy" if readers_policy else "the package's own policy: its word"
    findings.holds_unless_faulty("checkpoint", f"{new.origin} at {new.size} entries, by {by}")
    if SEAL_PROOF in paths:
        _seal(findings, package, manifest, new)
    else:
        findings.absent("seal-logged", why("seal-proof"))
    if lines is not None:
        _roots(findings, package, paths, lines, new, why("root-proofs"))


def _believed(findings, package, path, readers_policy):
    """The checkpoint, if its own package and the reader believe it."""
    named = POLICY
    try:
        own = notes.Policy(package.read(POLICY))
        named = path
        found = notes.Checkpoint.parse(package.read(path))
        own.believe(found)
        own.names_each_once(found)
        if readers_policy is not None:
            readers_policy.believe(found)
        return found
    except (NotReadable, NotLogged) as error:
        findings.fault("checkpoint", named, error)
        return None


def _proof(package, path, checkpoint, kind):
    proof = proofs.Proof.parse(package.read(path))
    if proof.kind != kind:
        raise NotLogged(f"the entry is of kind {proof.kind}")
    if proof.note != package.read(CHECKPOINT):
        raise NotLogged(f"ends with another note than {CHECKPOINT}")
    if not proof.leads_to(checkpoint):
        raise NotLogged("does not lead to the checkpoint's root")
    return proof


def _roots(findings, package, paths, lines, checkpoint, why):
    by_second = {line["second"]: line for line in lines}
    there = sorted(path for path in paths if ROOT_PROOF.fullmatch(path))
    for path in there:
        try:
            line = by_second.get(int(ROOT_PROOF.fullmatch(path)[1]))
            if line is None:
                raise NotLogged("of no line of roots.jsonl")
            stated = _proof(package, path, checkpoint, "recorder-root").record.get("root")
            if not isinstance(stated, dict):
                raise NotLogged("the record has no root")
            for name in ("node", "second", "count", "root", "signature"):
                if stated.get(name) != line[name] or type(stated.get(name)) is not type(line[name]):
                    raise NotLogged(f"the record has another {name}")
        except (NotReadable, NotLogged) as error:
            findings.fault("roots-logged", path, error)
    proven = sum(attaching.root_proof(second) in paths for second in by_second)
    if proven == len(by_second):
        findings.holds_unless_faulty("roots-logged", f"{proven} of {len(by_second)} roots")
    else:
        findings.absent_unless_faulty("roots-logged", f"{proven} of {len(by_second)} roots; {why}")


def _seal(findings, package, manifest, checkpoint):
    try:
        proof = _proof(package, SEAL_PROOF, checkpoint, "recording-sealed")
        summary = proof.record.get("summary")
        if not isinstance(summary, dict):
            raise NotLogged("the record has no summary")
        found = proof.record.get("session"), summary.get("node"), summary.get("root")
        if found != (manifest["session"]["id"], manifest["recorder"], manifest["root"]):
            raise NotLogged("the record is of another recording")
        findings.holds_unless_faulty("seal-logged", f"entry {proof.index}")
    except (NotReadable, NotLogged) as error:
        findings.fault("seal-logged", SEAL_PROOF, error)


def _continues(findings, package, new, old):
    try:
        proof = proofs.hashes(package.read(CONSISTENCY))
        if old.origin != new.origin or not proofs.continues(old.size, old.root, new.size, new.root, proof):
            raise NotLogged(f"{CHECKPOINT} does not continue {CHECKPOINT_OLD}")
        findings.holds_unless_faulty("consistency", f"{old.size} to {new.size} entries")
    except (NotReadable, NotLogged) as error:
        findings.fault("consistency", CONSISTENCY, error)
