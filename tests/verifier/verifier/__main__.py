"""python3 -m verifier PACKAGE [--root ROOT.pem] [--json] [--lang zh|en]

Exit status 0: every check holds; 3: it does not; 2: wrong arguments. With --batch, directories are read from
standard input, one a line, and one line of JSON is written for each: {"ok", "failing"}.
"""

import argparse
import json
import os
import sys

from . import sm3, x509
from .checks import verify
from .report import failing, words


def main() -> int:
    parser = argparse.ArgumentParser(prog="verifier", description=__doc__.split("\n")[0])
    parser.add_argument("package", nargs="?", help="证据包目录 / directory of the package")
    parser.add_argument("--root", help="信任的根证书(PEM)/ root certificate to trust (PEM)")
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
    if arguments.batch:
        for line in sys.stdin:
            report = verify(line.rstrip("\n"), root)
            print(json.dumps({"ok": report["ok"], "failing": failing(report)}), flush=True)
        return 0
    if not arguments.package or not os.path.isdir(arguments.package):
        parser.error("name the directory of a package")
    report = verify(arguments.package, root)
    if arguments.json:
        print(json.dumps(report, indent=2, ensure_ascii=False))
    else:
        zh = (arguments.lang or os.environ.get("LANG", "")[:2]) == "zh"
        print(words(report, zh))
    return 0 if report["ok"] else 3


sys.exit(main())
