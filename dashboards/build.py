#!/usr/bin/env python3
"""Writes dashboards/grafana/*.json from dashboards/source/*.py.

    build.py            writes the files
    build.py --check    writes nothing; exit code 1 where a file is not what the source makes

Python 3.11, standard library only.
"""

import json
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE / "source"))
sys.dont_write_bytecode = True

import agents  # noqa: E402  the path is set above
import audit  # noqa: E402
import health  # noqa: E402
import live  # noqa: E402
import privacy  # noqa: E402
import spend  # noqa: E402
import team  # noqa: E402

OUT = HERE / "grafana"


def texts():
    """File name → what it must hold."""
    made = [module.board().json() for module in (spend, team, agents, privacy, audit, live, health)]
    return {f"{board['uid'].removeprefix('weighbridge-')}.json":
            json.dumps(board, indent=2, ensure_ascii=False) + "\n" for board in made}


def differences(wanted):
    on_disk = {path.name: path.read_text(encoding="utf-8") for path in OUT.glob("*.json")}
    changed = [name for name, text in wanted.items() if on_disk.get(name) != text]
    return changed + [name for name in on_disk if name not in wanted]


def main(arguments):
    if arguments not in ([], ["--check"]):
        print(__doc__, file=sys.stderr)
        return 2
    wanted = texts()
    if arguments:
        changed = differences(wanted)
        for name in changed:
            print(f"dashboards/grafana/{name} differs from its source: run dashboards/build.py",
                  file=sys.stderr)
        return 1 if changed else 0
    OUT.mkdir(exist_ok=True)
    for name, text in wanted.items():
        (OUT / name).write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
