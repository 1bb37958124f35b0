"""The whole dapp: two directories in, an exit code out.

/gdo/base and /gdo/candidate hold what dapp.toml's `reads` names, before and after the change;
/gdo/context.json says who changed what. Exit 0 passes, 1 refuses. An uncaught exception would exit
with 1 and blame the author, so it ends with 70 here: not decided.
"""

import os
import sys


def undecided(kind, value, trace):
    sys.__excepthook__(kind, value, trace)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(70)


sys.excepthook = undecided

import json  # noqa: E402 (what cannot be imported is not decided, either)

ROOT = "/gdo"


def files(side):
    """All plain files of a side; a link in a candidate points wherever its author likes."""
    top = os.path.join(ROOT, side)
    for folder, dirs, names in os.walk(top):
        dirs.sort()
        for name in sorted(names):
            path = os.path.join(folder, name)
            if not os.path.islink(path):
                yield os.path.relpath(path, top)


def problems():
    """An example of a rule: every file starts with a title."""
    for path in files("candidate"):
        with open(os.path.join(ROOT, "candidate", path), "rb") as file:
            first = file.readline(4096)
        if not first.startswith(b"# ") or not first[2:].strip():
            message = "expected a title such as '# Opening hours'"
            yield {"path": path, "line": 1, "rule": "title", "message": message}


def main():
    found = list(problems())
    for problem in found:
        print("{path}:{line}: {message}".format(**problem))
    with open(os.path.join(ROOT, "out", "report.json"), "w") as file:
        json.dump({"problems": found}, file)
    return 1 if found else 0


sys.exit(main())
