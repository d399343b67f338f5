#!/usr/bin/env python3
"""The boards over a made-up fleet: a real Prometheus with four weeks of its history.

    fleet.py check                           every expression must give something, rare ones too
    fleet.py draw --modules DIR --out DIR    a picture of each board

Exit code: that of check_queries.py or of render/draw.mjs.
"""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

from processes import prometheus

HERE = Path(__file__).resolve().parent
# 2026-11-25, 16:00 UTC: a Wednesday, late in a month. Fixed, so that the pictures change only with
# the boards.
END = 1_795_622_400
# A moment before the end, so that every range holds its last sample.
AT = END - 60
MONTH_S, STEP_S = 24 * 86400, 7200


def history(folder):
    """Blocks as Prometheus would have written them."""
    text, data = folder / "history.txt", folder / "data"
    subprocess.run([sys.executable, HERE / "synthetic.py", "--out", text, "--end", str(END)], check=True)
    # One block for all: with the usual two hours the text would be read once for each.
    subprocess.run(["promtool", "tsdb", "create-blocks-from", "openmetrics", "--max-block-duration=744h",
                    "--quiet", text, data], check=True)
    text.unlink()
    return data


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("check")
    draw = commands.add_parser("draw")
    draw.add_argument("--modules", required=True)
    draw.add_argument("--out", required=True)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        with prometheus(folder, history(folder)) as url:
            if asked.command == "check":
                command = [sys.executable, HERE / "check_queries.py", url, "--strict", "--at", str(AT),
                           "--range", str(MONTH_S), "--step", str(STEP_S)]
            else:
                command = ["node", HERE / "render" / "draw.mjs", "--prometheus", url, "--modules", asked.modules,
                           "--out", asked.out, "--at", str(AT), "--choose", "team.team=search"]
            return subprocess.run(command, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
