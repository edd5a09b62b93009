"""python3 -m verifier PACKAGE [--root ROOT.pem] [--policy FILE] [--composite FILM.mp4] [--complete] [--json]
    [--lang zh|en]

PACKAGE is a directory or a file, `.vcep`. Exit status 0: every check holds; 3: it does not, or with --complete one of
the first eleven points is absent; 2: wrong arguments. With --batch, packages are read from standard input, one a line
(or PACKAGE, a tab, FILM.mp4), and one line of JSON is written for each: {"ok", "failing", "statuses"}.
"""

import argparse
import json
import os
import sys

from . import notes, sm3, x509
from .checks import verify
from .report import failing, words


def main() -> int:
    parser = argparse.ArgumentParser(prog="verifier", description=" ".join(__doc__.split("\n\n")[0].split()))
    parser.add_argument("package", nargs="?", help="证据包目录或 .vcep 文件 / directory of the package, or its file")
    parser.add_argument("--root", help="信任的根证书(PEM)/ root certificate to trust (PEM)")
    parser.add_argument("--policy", help="日志签名策略 / whose signatures on the log count (C2SP tlog-policy)")
    parser.add_argument("--composite", help="由此包制成的合成录像 / a film made of the package; its description is beside it")
    parser.add_argument("--complete", action="store_true", help="缺少任一要点即不通过 / what is absent fails")
    parser.add_argument("--json", action="store_true", help="以 JSON 输出 / print JSON")
    parser.add_argument("--lang", choices=("zh", "en"), help="语言 / language; by LANG unless given")
    parser.add_argument("--batch", action="store_true", help="many packages, see above")
    arguments = parser.parse_args()
    root = None
    if arguments.root:
        try:
            with open(arguments.root, "rb") as file:
                (certificate,) = x509.from_pem(file.read())
        except (OSError, ValueError) as error:
            parser.error(f"--root: {error}")
        root = sm3.hash(certificate)
    policy = None
    if arguments.policy:
        try:
            with open(arguments.policy, "rb") as file:
                policy = notes.Policy(file.read())
        except (OSError, ValueError) as error:
            parser.error(f"--policy: {error}")
    if arguments.batch:
        for line in sys.stdin:
            package, _, film = line.rstrip("\n").partition("\t")
            report = verify(package, root, policy, film or None)
            statuses = [check["status"] for check in report["checks"]]
            print(json.dumps({"ok": report["ok"], "failing": failing(report), "statuses": statuses}), flush=True)
        return 0
    if not arguments.package or not os.path.exists(arguments.package):
        parser.error("name the directory or the file of a package")
    report = verify(arguments.package, root, policy, arguments.composite)
    if arguments.json:
        print(json.dumps(report, indent=2, ensure_ascii=False))
    else:
        zh = (arguments.lang or os.environ.get("LANG", "")[:2]) == "zh"
        print(words(report, zh))
    return 0 if report["complete" if arguments.complete else "ok"] else 3


sys.exit(main())
