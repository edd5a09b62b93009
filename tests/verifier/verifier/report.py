"""What a verification found, in the shape of `guitai evidence verify --json`."""

CHECKS = {
    "manifest": ("清单为规范格式且完整", "manifest canonical and complete"),
    "root": ("证书链指向一个根", "certificates lead to one root"),
    "signed-data": ("清单的 SM2 签名数据", "SM2 SignedData over the manifest"),
    "signature": ("清单的 SM2 裸签名", "plain SM2 signature over the manifest"),
    "files": ("每个文件的大小和 SM3", "size and SM3 of every file"),
    "unlisted": ("没有多余的文件", "nothing that is not listed"),
    "sums": ("校验和清单与默克尔根", "checksum list and Merkle root"),
    "tracks": ("每条轨道的树与事实", "tree and facts of every track"),
    "continuity": ("没有未声明的缺口", "no undeclared hole"),
    "gaps": ("缺口声明一致", "gap declarations agree"),
    "turns": ("每个分段属于录制节点的任期", "every segment of the recorder's turn"),
    "events": ("业务事件连续", "business events complete"),
}
ORDER = {name: place for place, name in enumerate(CHECKS)}
FAULTS_MAX = 1_000


class Findings:
    """Collects them; past FAULTS_MAX of one check the rest are only counted."""

    def __init__(self):
        self._items = []
        self._faults = dict.fromkeys(CHECKS, 0)

    def fault(self, what: str, file, detail):
        self._faults[what] += 1
        if self._faults[what] <= FAULTS_MAX:
            # A name on disk need not be UTF-8; what is printed must be.
            file = None if file is None else file.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
            self._items.append({"what": what, "ok": False, "detail": str(detail), **({"file": file} if file else {})})

    def holds_unless_faulty(self, what: str, detail: str):
        if not self._faults[what]:
            self._items.append({"what": what, "ok": True, "detail": detail})

    def faulty(self, *checks: str) -> bool:
        return any(self._faults[what] for what in checks)

    def report(self, facts) -> dict:
        items = sorted(self._items, key=lambda item: ORDER[item["what"]])
        return {"ok": not self.faulty(*CHECKS), "items": items, "facts": facts}


def failing(report: dict) -> list:
    """Names of the checks that fail, in their order."""
    return list(dict.fromkeys(item["what"] for item in report["items"] if not item["ok"]))


def words(report: dict, zh: bool) -> str:
    """The report for people."""
    lines = []
    for item in report["items"]:
        name = CHECKS[item["what"]][0 if zh else 1]
        result = ("通过" if zh else "ok") if item["ok"] else ("失败" if zh else "FAULT")
        lines.append("  ".join(filter(None, (result, f"{item['what']}: {name}", item.get("file"), item["detail"]))))
    if report["ok"]:
        lines.append("证据包通过全部检查" if zh else "every check holds")
    else:
        lines.append("证据包未通过校验" if zh else "the package does not verify")
    facts = report["facts"]
    if facts and not facts["root_expected"]:
        fingerprint = facts["root_fingerprint"]
        lines.append(
            f"未给出或不符合信任的根;请与机构另行提供的指纹比对:{fingerprint}"
            if zh
            else f"no root was given that this one is; compare with what the institution told you: {fingerprint}"
        )
    return "\n".join(lines)
