"""What a verification found, in the shape of `guitai evidence verify --json`."""

CHECKS = {
    "container": ("单文件证据包的格式", "form of the package in one file"),
    "manifest": ("清单为规范格式且完整", "manifest canonical and complete"),
    "root": ("证书链指向一个根", "certificates lead to one root"),
    "signed-data": ("清单的 SM2 签名数据", "SM2 SignedData over the manifest"),
    "signature": ("清单的 SM2 裸签名", "plain SM2 signature over the manifest"),
    "files": ("每个文件的大小和 SM3", "size and SM3 of every file"),
    "unlisted": ("没有多余的文件", "nothing that is not listed"),
    "sums": ("校验和清单与默克尔根", "checksum list and Merkle root"),
    "attached": ("封存之后附加的内容", "what was attached after the seal"),
    "tracks": ("每条轨道的树与事实", "tree and facts of every track"),
    "continuity": ("没有未声明的缺口", "no undeclared hole"),
    "gaps": ("缺口声明一致", "gap declarations agree"),
    "turns": ("每个分段属于录制节点的任期", "every segment of the recorder's turn"),
    "roots": ("录制节点逐秒签名的根", "the recorder's roots by the second"),
    "events": ("业务事件连续", "business events complete"),
    "timestamp": ("封存的时间戳", "time stamp over the seal"),
    "roots-logged": ("逐秒的根已入日志", "roots by the second in the log"),
    "seal-logged": ("封存已入日志", "seal in the log"),
    "checkpoint": ("日志检查点的签名", "signatures of the log's checkpoint"),
    "consistency": ("日志只增不改", "the log continues itself"),
    "composite": ("原始轨道的合成", "composite of the raw tracks"),
}
ORDER = {name: place for place, name in enumerate(CHECKS)}
POINTS = {
    "manifest": ("container", "manifest", "unlisted"),
    "files": ("files", "sums", "attached"),
    "tracks": ("tracks", "turns", "roots"),
    "signature": ("root", "signed-data", "signature"),
    "timestamp": ("timestamp",),
    "events": ("events",),
    "continuity": ("continuity", "gaps"),
    "roots-logged": ("roots-logged",),
    "seal-logged": ("seal-logged",),
    "checkpoint": ("checkpoint",),
    "consistency": ("consistency",),
    "composite": ("composite",),
}
FOR_COMPLETE = 11  # of the points
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

    def absent(self, what: str, detail: str):
        """The package has nothing of it, and may have nothing."""
        self._items.append({"what": what, "ok": True, "absent": True, "detail": detail})

    def absent_unless_faulty(self, what: str, detail: str):
        if not self._faults[what]:
            self.absent(what, detail)

    def faulty(self, *checks: str) -> bool:
        return any(self._faults[what] for what in checks)

    def report(self, facts) -> dict:
        items = sorted(self._items, key=lambda item: ORDER[item["what"]])
        points = {name: self._status(parts) for name, parts in POINTS.items()}
        ok = "fail" not in points.values()
        return {
            "ok": ok,
            "complete": ok and "absent" not in list(points.values())[:FOR_COMPLETE],
            "checks": [{"number": n, "name": name, "status": points[name]} for n, name in enumerate(points, 1)],
            "items": items,
            "facts": facts,
        }

    def _status(self, parts) -> str:
        items = [item for item in self._items if item["what"] in parts]
        # Without items: what comes before it does not hold, so that it could not be checked.
        if not items or not all(item["ok"] for item in items):
            return "fail"
        return "absent" if all(item.get("absent") for item in items) else "pass"


def failing(report: dict) -> list:
    """Names of the checks that fail, in their order."""
    return list(dict.fromkeys(item["what"] for item in report["items"] if not item["ok"]))


def words(report: dict, zh: bool) -> str:
    """The report for people."""
    lines = []
    for item in report["items"]:
        name = CHECKS[item["what"]][0 if zh else 1]
        if item.get("absent"):
            result = "缺少" if zh else "absent"
        else:
            result = ("通过" if zh else "ok") if item["ok"] else ("失败" if zh else "FAULT")
        lines.append("  ".join(filter(None, (result, f"{item['what']}: {name}", item.get("file"), item["detail"]))))
    if report["ok"]:
        lines.append("证据包通过全部检查" if zh else "every check holds")
        if not report["complete"]:
            missing = ", ".join(check["name"] for check in report["checks"] if check["status"] == "absent")
            lines.append(f"缺少:{missing}" if zh else f"absent: {missing}")
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
