"""What came after the seal: `attached.json`, its signature, and what it says is missing."""

import re

from . import canonical, cms, schema, sm3, x509
from .package import DOCUMENT_BYTES_MAX, FILES_MAX, NotReadable

LIST, SIGNED = "attached.json", "attached.p7s"
FORMAT = "guitai-evidence-attached/1"
STAMP = "manifest.tsr"
POLICY, CHECKPOINT, CHECKPOINT_OLD, CONSISTENCY = (f"log/{n}" for n in ("policy", "checkpoint", "checkpoint.old", "consistency"))
SEAL_PROOF = "log/seal.tlog-proof"
CAUSE_BYTES_MAX = 64
ROOT_PROOF = re.compile(r"log/roots/(0|[1-9][0-9]{0,15})\.tlog-proof", re.ASCII)
FIXED = {STAMP, POLICY, CHECKPOINT, CHECKPOINT_OLD, CONSISTENCY, SEAL_PROOF}
WHATS = ("consistency", "root-proofs", "seal-proof", "timestamp")

SCHEMA = schema.fields(
    {
        "format": schema.text,
        "sealed": schema.digest,
        "at": schema.u64,
        "files": schema.items(schema.fields({"path": schema.text, "size": schema.u64, "sm3": schema.digest})),
        "missing": schema.items(schema.fields({"what": schema.one_of(*WHATS), "cause": schema.text})),
    }
)


class NotAttached(ValueError):
    """The list is not one."""


def root_proof(second: int) -> str:
    return f"log/roots/{second}.tlog-proof"


def read(package) -> dict:
    """The list; raises NotAttached where it is none, or none of this package: then nothing is attached."""
    try:
        found = canonical.parse(package.read(LIST))
        schema.check(SCHEMA, found, "attached")
        sealed = sm3.hash(*map(package.read, ("manifest.json", "manifest.p7s", "manifest.sig")))
    except (NotReadable, canonical.NotCanonical, schema.NotStated) as error:
        raise NotAttached(error) from None
    if found["format"] != FORMAT:
        raise NotAttached(f"format {found['format']} is not known")
    if found["sealed"] != sealed.hex():
        raise NotAttached("belongs to another seal")
    paths = [file["path"] for file in found["files"]]
    for path in paths:
        if path not in FIXED and not ROOT_PROOF.fullmatch(path):
            raise NotAttached(f"{path!r} may not be attached")
    if len(paths) > FILES_MAX or any(file["size"] > DOCUMENT_BYTES_MAX for file in found["files"]):
        raise NotAttached("too many files, or too large")
    if any(a >= b for a, b in zip(paths, paths[1:])):  # they are ASCII
        raise NotAttached("files are not ordered by path")
    whats = [missing["what"] for missing in found["missing"]]
    if any(a >= b for a, b in zip(whats, whats[1:])):
        raise NotAttached("what is missing is not ordered")
    if any(not 1 <= len(missing["cause"].encode()) <= CAUSE_BYTES_MAX for missing in found["missing"]):
        raise NotAttached("a cause that is empty or too long")
    if any(path.startswith("log/") for path in paths) and not {POLICY, CHECKPOINT} <= set(paths):
        raise NotAttached(f"files of the log without {POLICY} and {CHECKPOINT}")
    if (CHECKPOINT_OLD in paths) != (CONSISTENCY in paths):
        raise NotAttached(f"one of {CHECKPOINT_OLD} and {CONSISTENCY} without the other")
    return found


def check(findings, package, manifest, attached, lines, root):
    """`lines`: of `roots.jsonl`, None where there are none to read; `root`: certificate of `trust/root.pem`."""
    fault = lambda detail, name=LIST: findings.fault("attached", name, detail)
    paths = {file["path"] for file in attached["files"]}
    missing = {one["what"] for one in attached["missing"]}
    there = {
        "timestamp": STAMP in paths,
        "seal-proof": SEAL_PROOF in paths,
        "consistency": CONSISTENCY in paths,
    }
    if lines is not None:
        there["root-proofs"] = CHECKPOINT in paths and all(root_proof(line["second"]) in paths for line in lines)
    for what, is_there in there.items():
        if is_there == (what in missing):
            fault(f"{what} is {'there, and' if is_there else 'not there, and not'} said to be missing")
    signer = ""
    try:
        signed = package.read(SIGNED)
        chain = cms.chain_of(signed)
        at = attached["at"] // 1000
        if cms.verify(signed, package.read(LIST), chain) != at:
            raise cms.NotSigned(f"not signed at {at}")
        if root is None:
            raise x509.NotTrusted("there is no root that the signer leads to")
        x509.path(chain, root, at)
        x509.must_name(chain[0], manifest["recorder"], manifest["cluster"])
        signer = f"signed at {at}"
    except (NotReadable, cms.NotSigned, x509.NotTrusted) as error:
        fault(error, SIGNED)
    findings.holds_unless_faulty("attached", f"{len(paths)} files, {len(missing)} missing, {signer}")
